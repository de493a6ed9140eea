"""SciPy with derivatives from `dualtape.optimize` beside derivatives written by hand.

``python -m pytest benchmarks --benchmark-only -k scipy``, or ``python -m benchmarks.bench_scipy``
for ratios of interleaved runs within one process.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import optimize

import dualtape.optimize

from . import problems
from .report import pin, ratios, row, spread

N = 10
METHODS = {
    "trust-exact": {"jac": problems.rosenbrock_gradient, "hess": problems.rosenbrock_hessian},
    "BFGS": {"jac": problems.rosenbrock_gradient},
    "Newton-CG": {"jac": problems.rosenbrock_gradient, "hess": problems.rosenbrock_hessian},
}


def by_hand(method):
    """Return x0 -> result, with the derivatives the method uses written by hand."""
    given = METHODS[method]
    return lambda x0: optimize.minimize(problems.rosenbrock, x0, method=method, **given)


def filled_in(method):
    """Return x0 -> result, with the derivatives filled in."""
    return lambda x0: dualtape.optimize.minimize(problems.rosenbrock, x0, method=method)


@pytest.mark.parametrize("name", ["hand", "dualtape"])
@pytest.mark.parametrize("method", METHODS)
def bench_scipy_minimize(benchmark, method, name):
    x0 = np.zeros(N)
    benchmark.group = f"minimize Rosenbrock, n = {N}, {method}"
    assert_allclose(filled_in(method)(x0).x, by_hand(method)(x0).x, rtol=1e-3)
    benchmark(by_hand(method) if name == "hand" else filled_in(method), x0)


def main():
    """Print the ratios."""
    pin()
    for method in METHODS:
        [found] = ratios(by_hand(method), [filled_in(method)], np.zeros(N), 3, 41)
        row(
            f"minimize Rosenbrock n = {N}, {method} / hand-written derivatives",
            spread(found),
            "1.1",
        )


if __name__ == "__main__":
    main()
