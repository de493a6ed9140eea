"""Reverse-mode derivatives beside the function and hand-written ones, by problem.

``python -m pytest benchmarks --benchmark-only``; every derivative is checked before it is timed.
"""

import pytest
from numpy.testing import assert_allclose

import dualtape as ad

from . import problems

GRADIENTS = {
    "Rosenbrock loop, n = 1000": (problems.rosenbrock, problems.point(1000)),
    "Lennard-Jones, 50 bodies": (problems.lennard_jones, problems.bodies()),
    "Lotka-Volterra RK4, 1000 steps": (problems.lotka_volterra, problems.LOTKA_VOLTERRA_INPUTS),
    "in-place smoother, 50 points": (problems.smoother, problems.point(50)),
    "two inputs": (problems.tiny, problems.point(2)),
}


@pytest.mark.parametrize("mode", ["primal", "reverse"])
@pytest.mark.parametrize("problem", GRADIENTS)
def bench_gradient(benchmark, problem, mode):
    f, x = GRADIENTS[problem]
    benchmark.group = f"reverse gradient: {problem}"
    if mode == "primal":
        assert_allclose(f(x), f.py_func(x), rtol=1e-9)
        benchmark(f, x)
        return
    gradient = ad.grad(f, mode="reverse")
    expected = ad.grad(f, mode="forward")(x)
    assert_allclose(gradient(x), expected, rtol=1e-9, atol=1e-9 * abs(expected).max())
    benchmark(gradient, x)


@pytest.mark.parametrize("name", ["primal", "hand", "reverse"])
def bench_product(benchmark, name):
    x, v = problems.point(1000), problems.point(1000)[::-1].copy()
    benchmark.group = "Hessian-vector product of Rosenbrock, n = 1000"
    if name == "primal":
        assert problems.rosenbrock(x) > 0.0
        benchmark(problems.rosenbrock, x)
        return
    by_hand = problems.rosenbrock_product
    function = by_hand if name == "hand" else ad.hvp(problems.rosenbrock, mode="reverse")
    assert_allclose(function(x, v), by_hand(x, v), rtol=1e-9)
    benchmark(function, x, v)
