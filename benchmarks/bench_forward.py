"""Forward-mode derivatives beside hand-written ones, by problem.

``python -m pytest benchmarks --benchmark-only``; every derivative is checked before it is timed.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import dualtape as ad

from . import problems

SIZES = (2, 8, 10, 100)


def run(benchmark, group, function, x, expected):
    """Check, then time one call from Python."""
    benchmark.group = group
    assert_allclose(function(x), expected, rtol=1e-9)
    benchmark(function, x)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", ["call", "primal", "hand", "dualtape"])
def bench_gradient(benchmark, name, n):
    x = problems.point(n)
    by_hand = problems.rosenbrock_gradient
    function, expected = {
        "call": (problems.nothing, np.zeros(n)),
        "primal": (problems.rosenbrock, problems.rosenbrock.py_func(x)),
        "hand": (by_hand, by_hand(x)),
        "dualtape": (ad.grad(problems.rosenbrock), by_hand(x)),
    }[name]
    run(benchmark, f"gradient of Rosenbrock, n = {n}", function, x, expected)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", ["hand", "dualtape"])
def bench_hessian(benchmark, name, n):
    x = problems.point(n)
    by_hand = problems.rosenbrock_hessian
    function = by_hand if name == "hand" else ad.hessian(problems.rosenbrock)
    benchmark.group = f"Hessian of Rosenbrock, n = {n}"
    assert_allclose(function(x), by_hand(x), rtol=1e-9, atol=1e-9)
    benchmark(function, x)


@pytest.mark.parametrize(
    "name", ["primal", "dualtape 1", "dualtape 4", "dualtape 8", "dualtape 16"]
)
def bench_ode_gradient(benchmark, name):
    x = problems.LOTKA_VOLTERRA_INPUTS
    benchmark.group = "gradient of a Lotka-Volterra RK4 loop, 1000 steps, 6 inputs"
    if name == "primal":
        assert problems.lotka_volterra(x) == problems.lotka_volterra.py_func(x)
        benchmark(problems.lotka_volterra, x)
        return
    gradient = ad.grad(problems.lotka_volterra, chunk_size=int(name.split()[1]))
    ad.check_grad(problems.lotka_volterra, x, order=1, derivative=gradient)
    benchmark(gradient, x)
