"""Gradient of the Lennard-Jones energy of 50 bodies: a double loop over 1225 pairs."""

import numpy as np
from numba import njit

import dualtape as ad

from .peers import by_autograd, by_casadi, by_jax, by_torch, torch_gradient
from .problem import Problem, by_dualtape, by_hand


@njit
def lennard_jones(p):
    """Energy of bodies at (p[0], p[1], p[2]), (p[3], p[4], p[5]), ..."""
    energy = 0.0
    for i in range(len(p) // 3):
        for j in range(i):
            dx = p[3 * i] - p[3 * j]
            dy = p[3 * i + 1] - p[3 * j + 1]
            dz = p[3 * i + 2] - p[3 * j + 2]
            s = 1.0 / (dx * dx + dy * dy + dz * dz)
            s6 = s * s * s
            energy += 4.0 * (s6 * s6 - s6)
    return energy


@njit
def lennard_jones_gradient(p):
    """Gradient of `lennard_jones`, by hand."""
    g = np.zeros_like(p)
    for i in range(len(p) // 3):
        for j in range(i):
            dx = p[3 * i] - p[3 * j]
            dy = p[3 * i + 1] - p[3 * j + 1]
            dz = p[3 * i + 2] - p[3 * j + 2]
            s = 1.0 / (dx * dx + dy * dy + dz * dz)
            s6 = s * s * s
            t = -24.0 * s * (2.0 * s6 * s6 - s6)
            g[3 * i] += t * dx
            g[3 * i + 1] += t * dy
            g[3 * i + 2] += t * dz
            g[3 * j] -= t * dx
            g[3 * j + 1] -= t * dy
            g[3 * j + 2] -= t * dz
    return g


def bodies():
    """Return 50 bodies near the points of a grid, three coordinates each."""
    grid = np.array([[i, j, k] for i in range(5) for j in range(5) for k in range(2)], float)
    return (1.1 * grid + 0.05 * np.random.default_rng(0).standard_normal(grid.shape)).ravel()


def written_with(np_like, first, second):
    """Return the energy for another library's arrays; the pairs are given."""

    def energy(p):
        q = p.reshape(-1, 3)
        apart = q[first] - q[second]
        s = 1.0 / np_like.sum(apart * apart, 1)
        s6 = s * s * s
        return np_like.sum(4.0 * (s6 * s6 - s6))

    return energy


def all_pairs(np_like):
    """Return the energy from the full matrix of distances, which XLA prefers to gathering pairs."""

    def energy(p):
        q = p.reshape(-1, 3)
        apart = q[:, None, :] - q[None, :, :]
        diagonal = np_like.eye(q.shape[0])
        s = 1.0 / (np_like.sum(apart * apart, -1) + diagonal)
        s6 = s * s * s
        return 2.0 * np_like.sum((1.0 - diagonal) * (s6 * s6 - s6))

    return energy


def casadi_gradient(casadi, n):
    """Return input and gradient of the double loop on scalars."""
    p = casadi.SX.sym("p", n)
    energy = 0.0
    for i in range(n // 3):
        for j in range(i):
            apart = p[3 * i : 3 * i + 3] - p[3 * j : 3 * j + 3]
            s = 1.0 / casadi.sumsqr(apart)
            s6 = s * s * s
            energy += 4.0 * (s6 * s6 - s6)
    return [p], casadi.gradient(energy, p)


def problems(small=False):
    """Yield the problem."""
    p = bodies()[: 9 if small else None]
    pairs = np.tril_indices(p.size // 3, -1)

    def torch_pairs(torch):
        return torch_gradient(torch, written_with(torch, *map(torch.from_numpy, pairs)))

    yield Problem(
        name="lennard-jones",
        title=f"Lennard-Jones, {p.size // 3} bodies: gradient",
        primal=lennard_jones,
        args=(p,),
        reference=lambda: lennard_jones_gradient(p),
        candidates=[
            by_hand(lennard_jones_gradient, p),
            by_dualtape("auto", lambda: ad.grad(lennard_jones), p),
            by_jax(lambda jax, jnp: jax.grad(written_with(jnp, *pairs)), p),
            by_casadi(lambda ca: casadi_gradient(ca, p.size), p),
            by_casadi(lambda ca: casadi_gradient(ca, p.size), p, gcc=True),
            by_autograd(lambda a, anp: a.grad(all_pairs(anp)), p),
            by_torch(torch_pairs, p),
        ],
    )


def bench_gradient(run, case):
    run(case)
