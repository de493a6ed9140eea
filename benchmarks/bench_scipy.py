"""SciPy with derivatives from dualtape beside derivatives written by hand.

``python -m pytest benchmarks --benchmark-only -k scipy``, or ``python -m benchmarks.bench_scipy``
for ratios of interleaved runs within one process.
"""

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose
from scipy import integrate, optimize, sparse

import dualtape.integrate
import dualtape.optimize

from . import problems
from .report import pin, progress, ratios, row, spread

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


# BDF on the Brusselator

GRID = 32
STEPS = {"t_span": (0.0, 0.5), "method": "BDF", "rtol": 1e-5, "atol": 1e-7}


@njit
def brusselator(t, y):
    """Return dy/dt of a flat state."""
    return problems.brusselator(y.reshape(2, GRID, GRID)).ravel()


@njit
def entries_by_hand(y, data):
    """Write the Jacobian's entries, the six of a row in the order of `structure_by_hand`."""
    cells = GRID * GRID
    c = 0.02 * (GRID - 1) ** 2
    for k in range(cells):
        u, v = y[k], y[cells + k]
        data[k, 0], data[k, 1] = 2.0 * u * v - 4.4 - 4.0 * c, u * u
        data[cells + k, 0], data[cells + k, 1] = -u * u - 4.0 * c, 3.4 - 2.0 * u * v
        data[k, 2:] = c
        data[cells + k, 2:] = c


def structure_by_hand():
    """Return the columns of every row: itself, the other species, and the four neighbours."""
    cells = GRID * GRID
    i, j = np.divmod(np.arange(cells), GRID)
    around = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
    near = np.stack([(a % GRID) * GRID + b % GRID for a, b in around], axis=1)
    k = np.arange(cells)[:, None]
    return np.concatenate(
        [np.hstack([k, cells + k, near]), np.hstack([cells + k, k, cells + near])]
    )


def jacobian_by_hand():
    """Return (t, y) -> the Jacobian, as someone would write it who wants it fast."""
    columns = structure_by_hand()
    size = len(columns)
    order = (np.argsort(columns, axis=1) + 6 * np.arange(size)[:, None]).ravel()
    indices = columns.ravel()[order].astype(np.int32)
    indptr = np.arange(0, 6 * size + 1, 6, dtype=np.int32)

    def jac(t, y):
        data = np.empty((size, 6))
        entries_by_hand(y, data)
        return sparse.csr_array((data.ravel()[order], indices, indptr), shape=(size, size))

    return jac


def brusselator_solutions():
    """Return y0 -> solution: Jacobian by hand, filled in, and by differences of known pattern."""
    jac = jacobian_by_hand()
    pattern = jac(0.0, problems.brusselator_state(GRID).ravel()) != 0.0

    def by_hand(y0):
        return integrate.solve_ivp(brusselator, y0=y0, jac=jac, **STEPS)

    def filled_in(y0):
        return dualtape.integrate.solve_ivp(brusselator, y0=y0, **STEPS)

    calls = [0]

    def counted(t, y):
        calls[0] += 1
        return brusselator(t, np.ascontiguousarray(y))

    def by_differences(y0):
        calls[0] = 0
        found = integrate.solve_ivp(counted, y0=y0, jac_sparsity=pattern, **STEPS)
        found.calls = calls[0]  # SciPy's nfev leaves those for the Jacobian out
        return found

    return by_hand, filled_in, by_differences


def brusselator_rows(rounds):
    """Print what an exact sparse Jacobian costs in BDF, and what it saves."""
    progress(f"BDF, Brusselator {GRID} x {GRID}")
    by_hand, filled_in, by_differences = brusselator_solutions()
    y0 = problems.brusselator_state(GRID).ravel()
    expected, found, differences = by_hand(y0), filled_in(y0), by_differences(y0)
    assert_allclose(found.y[:, -1], expected.y[:, -1], rtol=1e-9)
    assert_allclose(differences.y[:, -1], expected.y[:, -1], rtol=1e-4)
    ours, theirs = ratios(by_hand, [filled_in, by_differences], y0, 1, rounds)
    name = f"BDF, Brusselator {GRID} x {GRID}"
    row(f"{name} / sparse Jacobian by hand", spread(ours), "1.1")
    row(f"{name}, differences of known pattern / by hand", spread(theirs), "-")
    calls = f"{found.nfev + found.njev} : {differences.calls}"
    row(f"{name}, calls: exact (with recordings) : differences", calls, "fewer")


def main():
    """Print the ratios."""
    pin()
    row("figure (one core, one run; median and quartiles)", "measured", "target")
    row("---", "---", "---")
    brusselator_rows(15)
    for method in METHODS:
        [found] = ratios(by_hand(method), [filled_in(method)], np.zeros(N), 3, 41)
        row(
            f"minimize Rosenbrock n = {N}, {method} / hand-written derivatives",
            spread(found),
            "1.1",
        )


if __name__ == "__main__":
    main()
