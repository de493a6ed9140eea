"""Hessians, sparse Hessians and Hessian-vector products of the chained Rosenbrock function."""

import numpy as np
from numba import njit

import dualtape as ad

from .bench_rosenbrock import casadi_rosenbrock, casadi_symbol, point, rosenbrock, written_with
from .peers import by_autograd, by_casadi, by_jax, by_torch
from .problem import Call, Candidate, Problem, by_dualtape, by_hand

SIZES = (2, 10, 100, 1000)
PRODUCT_SIZES = (10, 1000, 100_000)
SPARSE_SIZES = (100, 1000, 10_000)
MOST_DENSE = 100  # inputs; above, only the hand-written and the compiled peers take part


@njit
def rosenbrock_hessian(x):
    """Hessian of `rosenbrock`, by hand."""
    n = x.size
    h = np.zeros((n, n))
    for i in range(n - 1):
        h[i, i] += 1200.0 * x[i] ** 2 - 400.0 * x[i + 1] + 2.0
        h[i, i + 1] -= 400.0 * x[i]
        h[i + 1, i] -= 400.0 * x[i]
        h[i + 1, i + 1] += 200.0
    return h


@njit
def rosenbrock_product(x, v):
    """Hessian of `rosenbrock` times v, by hand."""
    out = np.zeros_like(x)
    for i in range(x.size - 1):
        cross = -400.0 * x[i]
        out[i] += (1200.0 * x[i] ** 2 - 400.0 * x[i + 1] + 2.0) * v[i] + cross * v[i + 1]
        out[i + 1] += cross * v[i] + 200.0 * v[i + 1]
    return out


@njit
def rosenbrock_bands(x):
    """Diagonal and upper diagonal of the Hessian of `rosenbrock`, by hand."""
    diagonal, upper = np.zeros(x.size), np.empty(x.size - 1)
    for i in range(x.size - 1):
        diagonal[i] += 1200.0 * x[i] ** 2 - 400.0 * x[i + 1] + 2.0
        diagonal[i + 1] += 200.0
        upper[i] = -400.0 * x[i]
    return diagonal, upper


def direction(n):
    """Return the vector of the products."""
    return np.linspace(1.5, 0.5, n)


def casadi_hessian(casadi, n):
    """Return input and Hessian, which CasADi stores sparse."""
    x = casadi_symbol(casadi, n)
    return [x], casadi.hessian(casadi_rosenbrock(casadi, x), x)[0]


def casadi_product(casadi, n):
    """Return inputs and Hessian-vector product."""
    x, v = casadi_symbol(casadi, n), casadi_symbol(casadi, n)
    gradient = casadi.gradient(casadi_rosenbrock(casadi, x), x)
    return [x, v], casadi.jtimes(gradient, x, v)


def jax_product(jax, jnp):
    """Return forward over reverse."""
    gradient = jax.grad(written_with(jnp))
    return lambda x, v: jax.jvp(gradient, (x,), (v,))[1]


def torch_product(torch):
    """Return forward over reverse."""
    gradient = torch.func.grad(written_with(torch))
    return lambda x, v: torch.func.jvp(gradient, (x,), (v,))[1]


def autograd_product(autograd, anp):
    """Return reverse over reverse, as autograd does it."""
    return autograd.hessian_vector_product(written_with(anp))


def hessian_problem(n):
    """Return the dense Hessian as a problem."""
    x, f = point(n), rosenbrock
    modes = ("auto", "forward", "reverse") if n <= MOST_DENSE else ("auto",)
    own = [by_dualtape(mode, lambda mode=mode: ad.hessian(f, mode=mode), x) for mode in modes]
    slow = n > MOST_DENSE
    return Problem(
        name=f"rosenbrock-hessian-{n}",
        title=f"Rosenbrock loop, n = {n:,}: Hessian",
        primal=f,
        args=(x,),
        reference=lambda: rosenbrock_hessian(x),
        candidates=[
            by_hand(rosenbrock_hessian, x),
            *own,
            by_jax(lambda jax, jnp: jax.hessian(written_with(jnp)), x, slow=slow),
            by_casadi(lambda ca: casadi_hessian(ca, n), x),
            by_casadi(lambda ca: casadi_hessian(ca, n), x, gcc=True),
            by_autograd(lambda a, anp: a.hessian(written_with(anp)), x, slow=slow),
            by_torch(lambda torch: torch.func.hessian(written_with(torch)), x, slow=slow),
        ],
        series="Hessian, Rosenbrock loop",
        size=n,
    )


def product_problem(n):
    """Return the Hessian-vector product as a problem."""
    x, v, f = point(n), direction(n), rosenbrock
    return Problem(
        name=f"rosenbrock-product-{n}",
        title=f"Rosenbrock loop, n = {n:,}: Hessian-vector product",
        primal=f,
        args=(x,),
        reference=lambda: rosenbrock_product(x, v),
        candidates=[
            by_hand(rosenbrock_product, x, v),
            by_dualtape("auto", lambda: ad.hvp(f), x, v),
            by_jax(jax_product, x, v),
            by_casadi(lambda ca: casadi_product(ca, n), x, v),
            by_autograd(autograd_product, x, v),
            by_torch(torch_product, x, v),
        ],
        series="Hessian-vector product, Rosenbrock loop",
        size=n,
    )


def from_bands(bands):
    """Return the two bands and the mirrored one as one array."""
    return np.concatenate([*bands, bands[1]])


def to_bands(matrix):
    """Return diagonal, upper and lower band of a sparse matrix; there is nothing else in it."""
    bands = [matrix.diagonal(k) for k in (0, 1, -1)]
    assert abs(matrix).sum() <= 1.01 * sum(abs(b).sum() for b in bands)
    return np.concatenate(bands)


def sparse_problem(n):
    """Return the sparse Hessian as a problem."""
    x, f = point(n), rosenbrock

    def own(mode, transform):
        return Candidate("dualtape", mode, lambda: Call(transform(), (x,), to_bands))

    return Problem(
        name=f"rosenbrock-sparse-hessian-{n}",
        title=f"Rosenbrock loop, n = {n:,}: sparse Hessian",
        primal=f,
        args=(x,),
        reference=lambda: from_bands(rosenbrock_bands(x)),
        candidates=[
            Candidate("hand", "", lambda: Call(rosenbrock_bands, (x,), from_bands)),
            own("auto", lambda: ad.sparse_hessian(f)),
            own("prepared", lambda: ad.prepare_sparse_hessian(f, x)),
        ],
        series="sparse Hessian, Rosenbrock loop",
        size=n,
    )


def problems(small=False):
    """Yield the problems; the first one is small already."""
    yield from map(hessian_problem, SIZES)
    yield from map(product_problem, PRODUCT_SIZES)
    yield from map(sparse_problem, SPARSE_SIZES)


def bench_hessian(run, case):
    run(case)
