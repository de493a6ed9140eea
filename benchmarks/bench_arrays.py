"""Print what derivatives of array code cost beside the code: ``python -m benchmarks.bench_arrays``.

The figures are ratios to the primal, the same NumPy code under njit, in one run on one core;
medians and quartiles.  Every derivative is checked before it is timed.
"""

import numba
import numpy as np
from numpy.testing import assert_allclose

import dualtape as ad

from .report import pin, progress, ratios, row, spread

N = 500


@numba.njit
def solve(a, b):
    """Sum of the solution of a linear system."""
    return np.sum(np.linalg.solve(a, b))


@numba.njit
def product(a, x):
    """Sum of a matrix times a vector."""
    return np.sum(a @ x)


@numba.njit
def inverse(a):
    """Sum of an inverse."""
    return np.sum(np.linalg.inv(a))


@numba.njit
def log_determinant(a):
    """Logarithm of a determinant."""
    return np.linalg.slogdet(a)[1]


@numba.njit
def cholesky(a):
    """Sum of a Cholesky factor."""
    return np.sum(np.linalg.cholesky(a))


@numba.njit
def square(a):
    """Sum of a product of matrices."""
    return np.sum(a @ a)


def matrix(n):
    """Return a well conditioned symmetric matrix."""
    g = np.random.default_rng(0).standard_normal((n, n))
    return g @ g.T / n + np.eye(n)


CASES = {
    "solve, both": (solve, (matrix(N), np.ones(N)), (0, 1)),
    "solve, right-hand side": (solve, (matrix(N), np.ones(N)), (1,)),
    "sum(A @ x), both": (product, (matrix(N), np.ones(N)), (0, 1)),
    "sum(A @ x), x": (product, (matrix(N), np.ones(N)), (1,)),
    "sum(A @ A)": (square, (matrix(N),), (0,)),
    "inv": (inverse, (matrix(N),), (0,)),
    "slogdet": (log_determinant, (matrix(N),), (0,)),
    "cholesky": (cholesky, (matrix(N),), (0,)),
}


def measured(name, rounds):
    """Return the ratios of gradient and JVP to the primal of one case."""
    f, args, argnums = CASES[name]
    rng = np.random.default_rng(1)
    tangents = tuple(
        rng.standard_normal(x.shape) if i in argnums else np.zeros_like(x)
        for i, x in enumerate(args)
    )
    gradient = ad.grad(f, argnums=argnums, mode="reverse")
    parts = zip(gradient(*args), argnums, strict=True)
    slope = sum(float(np.sum(g * tangents[i])) for g, i in parts)
    assert_allclose(ad.jvp(f, args, tangents)[1], slope, rtol=1e-9)
    moved = [lambda _: ad.jvp(f, args, tangents)] if len(argnums) == len(args) else []
    calls = 3 if name.startswith(("solve", "inv", "slog", "chol", "sum(A @ A)")) else 50
    return ratios(lambda _: f(*args), [lambda _: gradient(*args), *moved], None, calls, rounds)


def main(rounds=21):
    """Measure and print the table."""
    pin()
    row(f"array code, n = {N} (ratio to the primal)", "gradient", "JVP")
    row("---", "---", "---")
    for name in CASES:
        progress(name)
        found = [spread(r) for r in measured(name, rounds)]
        row(name, *[*found, "-"][:2])


if __name__ == "__main__":
    main()
