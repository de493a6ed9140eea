"""Sparse Jacobian and Jacobian-vector product of the Brusselator by the method of lines.

Sparse Jacobians are measured in their steady state, see `steady`.  A problem beside it, Burgers'
equation by an upwind scheme, takes a decision in each of its cells.

JAX, autograd and PyTorch have no sparse Jacobians: their users color the columns and take one
product for each color, which is done here with colors given beforehand; the entries are left
compressed.
"""

from time import perf_counter

import numpy as np
from numba import njit
from scipy import sparse

import dualtape as ad
from dualtape.sparse.coloring import row_coloring, transpose

from .peers import by_autograd, by_casadi, by_jax, by_torch
from .problem import Call, Candidate, Problem, by_dualtape, by_hand

GRIDS = (8, 16, 32, 64, 128, 256)
COMPARED = 32  # the grid on which other libraries take part
NEIGHBORS = ((-1, 0), (1, 0), (0, -1), (0, 1))


@njit
def brusselator_in_place(x, out):
    """Brusselator on a periodic grid by the method of lines; x[0] and x[1] are the two species."""
    n = x.shape[1]
    c = 0.02 * (n - 1) ** 2
    for i in range(n):
        up, down = (i if i > 0 else n) - 1, i + 1 if i < n - 1 else 0
        for j in range(n):
            left, right = (j if j > 0 else n) - 1, j + 1 if j < n - 1 else 0
            u, v = x[0, i, j], x[1, i, j]
            r = u * u * v
            du = x[0, up, j] + x[0, down, j] + x[0, i, left] + x[0, i, right] - 4.0 * u
            dv = x[1, up, j] + x[1, down, j] + x[1, i, left] + x[1, i, right] - 4.0 * v
            out[0, i, j] = 1.0 + r - 4.4 * u + c * du
            out[1, i, j] = 3.4 * u - r + c * dv


@njit
def brusselator(x):
    """Return what `brusselator_in_place` writes."""
    out = np.empty_like(x)
    brusselator_in_place(x, out)
    return out


@njit
def brusselator_entries(x):
    """Entries of the Jacobian by hand, six a row: the own and the other species, then neighbors."""
    n = x.shape[1]
    c = 0.02 * (n - 1) ** 2
    out = np.empty((2, n, n, 6))
    for i in range(n):
        for j in range(n):
            u, v = x[0, i, j], x[1, i, j]
            out[0, i, j, 0] = 2.0 * u * v - 4.4 - 4.0 * c
            out[0, i, j, 1] = u * u
            out[1, i, j, 0] = -u * u - 4.0 * c
            out[1, i, j, 1] = 3.4 - 2.0 * u * v
            for k in range(2, 6):
                out[0, i, j, k] = c
                out[1, i, j, k] = c
    return out


@njit
def brusselator_product(x, v):
    """Jacobian times v, by hand."""
    n = x.shape[1]
    c = 0.02 * (n - 1) ** 2
    out = np.empty_like(x)
    for i in range(n):
        up, down = (i if i > 0 else n) - 1, i + 1 if i < n - 1 else 0
        for j in range(n):
            left, right = (j if j > 0 else n) - 1, j + 1 if j < n - 1 else 0
            a, b, s, t = x[0, i, j], x[1, i, j], v[0, i, j], v[1, i, j]
            r = 2.0 * a * b * s + a * a * t
            ds = v[0, up, j] + v[0, down, j] + v[0, i, left] + v[0, i, right] - 4.0 * s
            dt = v[1, up, j] + v[1, down, j] + v[1, i, left] + v[1, i, right] - 4.0 * t
            out[0, i, j] = r - 4.4 * s + c * ds
            out[1, i, j] = 3.4 * s - r + c * dt
    return out


def brusselator_state(n):
    """Return a smooth state on an n x n grid, nowhere zero, so that no entry is by accident."""
    i, j = np.meshgrid(np.arange(n) / n, np.arange(n) / n, indexing="ij")
    return 0.1 + np.array([22.0 * j * (1.0 - j) ** 1.5, 27.0 * i * (1.0 - i) ** 1.5])


def columns(n):
    """Return the columns of the entries of `brusselator_entries`, row by row."""
    cells = np.arange(2 * n * n).reshape(2, n, n)
    around = [np.roll(cells, (-i, -j), axis=(1, 2)) for i, j in NEIGHBORS]
    return np.stack([cells, cells[::-1], *around], axis=-1).reshape(-1, 6)


def as_matrix(entries, n):
    """Return the CSR matrix of the hand-written entries."""
    size = 2 * n * n
    parts = (np.ravel(entries), columns(n).ravel(), np.arange(0, 6 * size + 1, 6))
    return sparse.csr_array(parts, shape=(size, size))


def sorted_entries(matrix):
    """Return data in the order of sorted columns; the patterns are the same for all."""
    matrix = sparse.csr_array(matrix).copy()
    matrix.sum_duplicates()
    return matrix.data


def colored(n):
    """Return seeds by color, and where each entry is read from the products: (row, color)."""
    pattern = as_matrix(np.ones((2 * n * n, 6)), n)
    pattern.sort_indices()
    size = pattern.shape[0]
    indptr, indices, _ = transpose(pattern.indptr, pattern.indices, size)
    colors = row_coloring(indptr, indices, size)
    seeds = np.zeros((colors.max() + 1, size))
    seeds[colors, np.arange(size)] = 1.0
    rows = np.repeat(np.arange(size), np.diff(pattern.indptr))
    return seeds.reshape(-1, 2, n, n), rows, colors[pattern.indices]


def written_with(np_like):
    """Return the right-hand side for another library's arrays."""
    roll, stack = np_like.roll, np_like.stack

    def f(x):
        c = 0.02 * (x.shape[1] - 1) ** 2
        u, v = x[0], x[1]
        r = u * u * v
        du = roll(u, 1, 0) + roll(u, -1, 0) + roll(u, 1, 1) + roll(u, -1, 1) - 4.0 * u
        dv = roll(v, 1, 0) + roll(v, -1, 0) + roll(v, 1, 1) + roll(v, -1, 1) - 4.0 * v
        return stack((1.0 + r - 4.4 * u + c * du, 3.4 * u - r + c * dv))

    return f


def casadi_function(casadi, n):
    """Return input and right-hand side, scalars in the order of a raveled array."""
    x = casadi.SX.sym("x", 2 * n * n)
    near = columns(n)
    cells = n * n
    c = 0.02 * (n - 1) ** 2

    def spread(k):
        return sum((x[near[k, j].tolist()] for j in range(3, 6)), x[near[k, 2].tolist()])

    u, v = x[:cells], x[cells:]
    r = u * u * v
    du, dv = spread(slice(0, cells)) - 4.0 * u, spread(slice(cells, None)) - 4.0 * v
    return x, casadi.vertcat(1.0 + r - 4.4 * u + c * du, 3.4 * u - r + c * dv)


def casadi_jacobian(casadi, n):
    """Return input and sparse Jacobian."""
    x, f = casadi_function(casadi, n)
    return [x], casadi.jacobian(f, x)


def casadi_product(casadi, n):
    """Return inputs and product."""
    x, f = casadi_function(casadi, n)
    v = casadi.SX.sym("v", 2 * n * n)
    return [x, v], casadi.jtimes(f, x, v)


def product_peers(x, v):
    """Return the other libraries' products."""
    flat = x.ravel(), v.ravel()

    def jax_product(jax, jnp):
        return lambda x, v: jax.jvp(written_with(jnp), (x,), (v,))[1]

    def torch_product(torch):
        return lambda x, v: torch.func.jvp(written_with(torch), (x,), (v,))[1]

    return [
        by_jax(jax_product, x, v),
        by_casadi(lambda ca: casadi_product(ca, x.shape[1]), *flat),
        by_casadi(lambda ca: casadi_product(ca, x.shape[1]), *flat, gcc=True),
        by_autograd(lambda a, anp: lambda x, v: a.make_jvp(autograd_form(anp))(x)(v)[1], x, v),
        by_torch(torch_product, x, v),
    ]


def autograd_form(anp):
    """Return the right-hand side with autograd's stack, which has no forward rule, replaced."""
    f = written_with(AutogradNames(anp))
    return lambda x: f(x).reshape(x.shape)


class AutogradNames:
    """The two functions `written_with` takes, of those that autograd has in forward mode."""

    def __init__(self, anp):
        self.roll = anp.roll
        self.stack = lambda parts: anp.concatenate([p.ravel() for p in parts])


def jacobian_peers(x):
    """Return the other libraries' compressed Jacobians; CasADi's is sparse by itself."""
    seeds, rows, colors = colored(x.shape[1])

    def read(matrix):
        return sorted_entries(matrix.reshape(x.size, x.size))

    def jax_jacobian(jax, jnp):
        def entries(x):
            one = jax.vmap(lambda v: jax.jvp(written_with(jnp), (x,), (v,))[1])
            return one(jnp.asarray(seeds)).reshape(len(seeds), -1)[colors, rows]

        return entries

    def torch_jacobian(torch):
        kept, f = torch.from_numpy(seeds), written_with(torch)
        at = torch.from_numpy(colors), torch.from_numpy(rows)

        def entries(x):
            one = torch.func.vmap(lambda v: torch.func.jvp(f, (x,), (v,))[1])
            return one(kept).reshape(len(seeds), -1)[at]

        return entries

    def autograd_jacobian(autograd, anp):
        def entries(x):
            product = autograd.make_jvp(autograd_form(anp))(x)
            return np.array([product(v)[1].ravel() for v in seeds])[colors, rows]

        return entries

    casadi = [
        by_casadi(lambda ca: casadi_jacobian(ca, x.shape[1]), x.ravel(), gcc=g) for g in (0, 1)
    ]
    return [
        by_jax(jax_jacobian, x),
        *(sparse_reading(c, read) for c in casadi),
        by_autograd(autograd_jacobian, x),
        by_torch(torch_jacobian, x),
    ]


def sparse_reading(candidate, read):
    """Return a candidate whose result is read as the entries of a sparse matrix."""

    def make():
        call = candidate.make()
        return call._replace(read=lambda result: read(call.read(result)))

    return Candidate(candidate.library, candidate.mode, make, candidate.needs, candidate.slow)


def steady(jacobian, *args):
    """Return a sparse Jacobian after two seconds of calls: by then it has compiled what it will."""
    jacobian(*args)
    start = perf_counter()
    while perf_counter() < start + 2.0:
        jacobian(*args)
    return jacobian


@njit
def upwind(u):
    """Return the rates of Burgers' equation on a ring: the side of a difference is decided by u."""
    n = u.size
    out = np.empty(n)
    for i in range(n):
        left, right = (i if i > 0 else n) - 1, i + 1 if i < n - 1 else 0
        out[i] = -u[i] * (u[i] - u[left]) if u[i] > 0.0 else -u[i] * (u[right] - u[i])
    return out


def upwind_jacobian(u):
    """Return the Jacobian of `upwind`, by hand."""
    n, rows = u.size, np.arange(u.size)
    is_right = u > 0.0
    side = np.where(is_right, rows - 1, rows + 1) % n
    own = np.where(is_right, u[side] - 2.0 * u, 2.0 * u - u[side])
    parts = np.concatenate([own, np.where(is_right, u, -u)])
    places = np.concatenate([rows, rows]), np.concatenate([rows, side])
    return sparse.csr_array((parts, places), shape=(n, n))


def upwind_problem():
    """Return the sparse Jacobian of `upwind`, decisions at random, as a problem."""
    u = np.random.default_rng(0).standard_normal(2000)

    def of(mode, transform):
        return Candidate("dualtape", mode, lambda: Call(transform(), (u,), sorted_entries))

    return Problem(
        name="upwind-jacobian",
        title="Burgers' equation, upwind, 2,000 cells: sparse Jacobian",
        primal=upwind,
        args=(u,),
        reference=lambda: sorted_entries(upwind_jacobian(u)),
        candidates=[
            of("auto", lambda: steady(ad.sparse_jacobian(upwind), u)),
            of("prepared", lambda: ad.prepare_sparse_jacobian(upwind, u)),
        ],
    )


def jacobian_problem(n):
    """Return the sparse Jacobian as a problem."""
    x = brusselator_state(n)
    f, in_place = brusselator, brusselator_in_place

    def expected():
        return sorted_entries(as_matrix(brusselator_entries(x), n))

    def of(mode, transform, *args):
        return Candidate("dualtape", mode, lambda: Call(transform(), args, sorted_entries))

    def by_entries():
        return Call(brusselator_entries, (x,), lambda e: sorted_entries(as_matrix(e, n)))

    return Problem(
        name=f"brusselator-jacobian-{n}",
        title=f"Brusselator {n} x {n}: sparse Jacobian",
        primal=f,
        args=(x,),
        reference=expected,
        candidates=[
            Candidate("hand", "", by_entries),
            of("auto", lambda: steady(ad.sparse_jacobian(f), x), x),
            of("in place", lambda: steady(ad.sparse_jacobian(in_place, output_argnum=1), x), x),
            of("prepared", lambda: ad.prepare_sparse_jacobian(f, x), x),
            *(jacobian_peers(x) if n == COMPARED else []),
        ],
        series="sparse Jacobian, Brusselator",
        size=x.size,
    )


def product_problem(n):
    """Return the product as a problem."""
    x = brusselator_state(n)
    v = np.cos(np.arange(x.size)).reshape(x.shape)
    return Problem(
        name=f"brusselator-product-{n}",
        title=f"Brusselator {n} x {n}: Jacobian-vector product",
        primal=brusselator,
        args=(x,),
        reference=lambda: brusselator_product(x, v),
        candidates=[
            by_hand(brusselator_product, x, v),
            by_dualtape("forward", lambda: lambda x, v: ad.jvp(brusselator, (x,), (v,))[1], x, v),
            *product_peers(x, v),
        ],
    )


def problems(small=False):
    """Yield the problems; the first one is small already."""
    yield from map(jacobian_problem, GRIDS)
    yield upwind_problem()
    yield product_problem(COMPARED)


def bench_brusselator(run, case):
    run(case)
