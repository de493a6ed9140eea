"""Gradient of the chained Rosenbrock function, in loops and in NumPy style, 2 to 100,000 inputs."""

import numpy as np
from numba import njit

import dualtape as ad

from .peers import by_autograd, by_casadi, by_jax, by_torch, torch_gradient
from .problem import Problem, by_dualtape, by_hand

SIZES = (2, 10, 100, 1000, 10_000, 100_000)
ARRAY_SIZES = (10, 1000, 100_000)
MOST_FORWARD = 10  # inputs; above, forward mode is not what one would choose
MOST_SCALARS = 1000  # inputs of a CasADi expression of scalars; above, of arrays


@njit
def rosenbrock(x):
    """Chained Rosenbrock function."""
    s = 0.0
    for i in range(x.size - 1):
        s += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return s


@njit
def rosenbrock_arrays(x):
    """Chained Rosenbrock function, NumPy style."""
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@njit
def rosenbrock_gradient(x):
    """Gradient of `rosenbrock`, by hand."""
    g = np.zeros_like(x)
    for i in range(x.size - 1):
        t = x[i + 1] - x[i] ** 2
        g[i] += -400.0 * t * x[i] - 2.0 * (1.0 - x[i])
        g[i + 1] += 200.0 * t
    return g


def point(n):
    """Return n inputs between 0.5 and 1.5."""
    return np.linspace(0.5, 1.5, n)


def written_with(np_like):
    """Return the function in NumPy style for another library's arrays."""

    def f(x):
        return np_like.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)

    return f


def casadi_symbol(casadi, n):
    """Return the input: scalars where there are few, else one array."""
    return (casadi.SX if n <= MOST_SCALARS else casadi.MX).sym("x", n)


def casadi_rosenbrock(casadi, x):
    """Return the expression."""
    return casadi.sum1(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def casadi_gradient(casadi, n):
    """Return input and gradient."""
    x = casadi_symbol(casadi, n)
    return [x], casadi.gradient(casadi_rosenbrock(casadi, x), x)


def peers(x):
    """Return the other libraries' gradients: array code for all of them."""
    few = [by_casadi(lambda ca: casadi_gradient(ca, x.size), x, gcc=True)]
    return [
        by_jax(lambda jax, jnp: jax.grad(written_with(jnp)), x),
        by_casadi(lambda ca: casadi_gradient(ca, x.size), x),
        *few * (x.size <= MOST_SCALARS),
        by_autograd(lambda autograd, anp: autograd.grad(written_with(anp)), x),
        by_torch(lambda torch: torch_gradient(torch, written_with(torch)), x),
    ]


def gradient_problem(name, title, f, n, modes):
    """Return the gradient of one form of the function as a problem."""
    x = point(n)
    own = [by_dualtape(mode, lambda mode=mode: ad.grad(f, mode=mode), x) for mode in modes]
    return Problem(
        name=f"{name}-{n}",
        title=f"Rosenbrock {title}, n = {n:,}: gradient",
        primal=f,
        args=(x,),
        reference=lambda: rosenbrock_gradient(x),
        candidates=[by_hand(rosenbrock_gradient, x), *own, *peers(x)],
        series=f"gradient, Rosenbrock {title}",
        size=n,
    )


def problems(small=False):
    """Yield the problems; the first one is small already."""
    for n in SIZES:
        modes = ("auto", "forward", "reverse") if n <= MOST_FORWARD else ("auto",)
        yield gradient_problem("rosenbrock-loop", "loop", rosenbrock, n, modes)
    for n in ARRAY_SIZES:
        modes = ("auto", "reverse") if n <= MOST_FORWARD else ("auto",)
        yield gradient_problem("rosenbrock-arrays", "NumPy style", rosenbrock_arrays, n, modes)


def bench_gradient(run, case):
    run(case)
