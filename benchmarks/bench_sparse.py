"""Sparse derivatives beside the function: ``python -m benchmarks.bench_sparse`` prints ratios.

Every derivative is checked before it is timed.  "entries" is the compiled part: recording and
entries of the Jacobian, without the ``csr_array`` around them.
"""

import argparse

import numpy as np
import pytest
from numpy.testing import assert_allclose

import dualtape as ad

from . import problems
from .report import pin, progress, ratios, row, spread

SIZES = (32, 64, 128, 256)


def in_place(f):
    """Return f with an array of its own to write into."""
    kept = {}

    def of_one(x):
        out = kept.setdefault(x.shape, np.empty_like(x))
        f(x, out)
        return out

    return of_one


def checked(jacobian, f, x):
    """Compare J v with forward mode; return the Jacobian."""
    matrix, v = jacobian(x), np.cos(np.arange(x.size)).reshape(x.shape)
    expected = ad.jvp(f, (x,), (v,))[1].ravel()
    assert_allclose(matrix @ v.ravel(), expected, rtol=1e-9, atol=1e-9 * abs(expected).max())
    return matrix


def entries_of(jacobian):
    """Return the compiled part of a sparse Jacobian that was called before."""
    program, *_ = jacobian._known
    return lambda x: jacobian._core(program, x)


CASES = {
    "Brusselator 32 x 32": (problems.brusselator, problems.brusselator_state(32)),
    "POLLU": (problems.pollu, problems.POLLU_STATE),
}


@pytest.mark.parametrize("name", ["primal", "sparse"])
@pytest.mark.parametrize("problem", CASES)
def bench_jacobian(benchmark, problem, name):
    f, x = CASES[problem]
    benchmark.group = f"sparse Jacobian: {problem}"
    jacobian = ad.sparse_jacobian(f)
    assert checked(jacobian, f, x).nnz > 0
    benchmark(f if name == "primal" else jacobian, x)


def brusselator_rows(rounds):
    """Print the Brusselator's Jacobian on grids of several sizes."""
    f, written = problems.brusselator, in_place(problems.brusselator_in_place)
    returning = ad.sparse_jacobian(f)
    writing = ad.sparse_jacobian(problems.brusselator_in_place, out=1)
    for n in SIZES:
        progress(f"Brusselator, {n} x {n}")
        x, calls = problems.brusselator_state(n), max(1, 50 * 32 * 32 // n**2)
        checked(returning, f, x)
        checked(writing, f, x)
        found = ratios(f, [returning, entries_of(returning)], x, calls, rounds)
        row(f"Brusselator {n} x {n}, returning: J / f", spread(found[0]), "5")
        row(f"Brusselator {n} x {n}, returning: entries / f", spread(found[1]), "-")
        found = ratios(written, [writing], x, calls, rounds)
        row(f"Brusselator {n} x {n}, in place: J / f", spread(found[0]), "5")


def pollu_rows(rounds):
    """Print the Jacobian of a small kinetic system, where the call itself counts."""
    progress("POLLU")
    f, x = problems.pollu, problems.POLLU_STATE
    jacobian = ad.sparse_jacobian(f)
    checked(jacobian, f, x)
    prepared = ad.prepare_sparse_jacobian(f, x)
    compared = [jacobian, entries_of(jacobian), ad.jacobian(f), prepared]
    found = ratios(f, compared, x, 1000, rounds)
    row("POLLU: J / f", spread(found[0]), "5")
    row("POLLU: entries / f", spread(found[1]), "-")
    row("POLLU: prepared J / f", spread(found[3]), "5")
    row("POLLU: dense forward Jacobian / f", spread(found[2]), "-")


def hessian_rows(rounds):
    """Print the Hessian of Rosenbrock's function with many variables."""
    progress("Hessian")
    f, x = problems.rosenbrock, problems.point(1000)
    fresh, prepared = ad.sparse_hessian(f), ad.prepare_sparse_hessian(f, x)
    expected = problems.rosenbrock_hessian(x)
    for hessian in (fresh, prepared):
        assert_allclose(hessian(x).toarray(), expected, rtol=1e-9, atol=1e-9)
    found = ratios(f, [fresh, prepared], x, 20, rounds)
    row("Rosenbrock n = 1000: sparse Hessian / f", spread(found[0]), "-")
    row("Rosenbrock n = 1000: prepared sparse Hessian / f", spread(found[1]), "-")


def main(argv=None):
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    rounds = 15 if parser.parse_args(argv).quick else 51
    pin()
    row("figure (one core, one run; median and quartiles)", "measured", "target")
    row("---", "---", "---")
    pollu_rows(rounds)
    brusselator_rows(rounds)
    hessian_rows(rounds)


if __name__ == "__main__":
    main()
