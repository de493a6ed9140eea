"""What a call costs by itself: from Python, and a thousand calls from a loop under njit."""

import numpy as np
from numba import njit

import dualtape as ad

from .peers import by_autograd, by_casadi, by_jax, by_torch, torch_gradient
from .problem import Problem, by_dualtape, by_hand

CALLS = 1000


@njit
def tiny(x):
    """Two inputs, three operations."""
    return x[0] * x[1] + x[0] * x[0]


@njit
def tiny_gradient(x):
    """Gradient of `tiny`, by hand."""
    g = np.empty(2)
    g[0] = x[1] + 2.0 * x[0]
    g[1] = x[0]
    return g


def casadi_gradient(casadi):
    """Return input and gradient."""
    x = casadi.SX.sym("x", 2)
    return [x], casadi.gradient(x[0] * x[1] + x[0] * x[0], x)


def plain(x):
    """Return the same for any library's arrays."""
    return x[0] * x[1] + x[0] * x[0]


def descent(gradient):
    """Return a compiled loop that calls a gradient."""

    @njit
    def steps(x):
        x = x.copy()
        for _ in range(CALLS):
            x -= 1e-4 * gradient(x)
        return x

    return steps


@njit
def calls_of_primal(x):
    """Loop of `descent` with the function in place of its gradient: the unit."""
    x = x.copy()
    for _ in range(CALLS):
        x -= 1e-4 * tiny(x)
    return x


def problems(small=False):
    """Yield the problems; the first one is small already."""
    x, hand = np.array([0.5, 1.5]), descent(tiny_gradient)

    def nested(mode):
        return by_dualtape(mode, lambda: descent(ad.grad(tiny, mode=mode)), x)

    yield Problem(
        name="call-python",
        title="gradient of two inputs, called from Python",
        primal=tiny,
        args=(x,),
        reference=lambda: tiny_gradient(x),
        candidates=[
            by_hand(tiny_gradient, x),
            by_dualtape("auto", lambda: ad.grad(tiny), x),
            by_dualtape("reverse", lambda: ad.grad(tiny, mode="reverse"), x),
            by_jax(lambda jax, jnp: jax.grad(plain), x),
            by_casadi(casadi_gradient, x),
            by_casadi(casadi_gradient, x, gcc=True),
            by_autograd(lambda autograd, anp: autograd.grad(plain), x),
            by_torch(lambda torch: torch_gradient(torch, plain), x),
        ],
    )
    yield Problem(
        name="call-njit",
        title=f"gradient of two inputs, {CALLS} calls from a loop under njit",
        primal=calls_of_primal,
        args=(x,),
        reference=lambda: hand(x),
        candidates=[by_hand(hand, x), nested("auto"), nested("reverse")],
    )


def bench_call(run, case):
    run(case)
