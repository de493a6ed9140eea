"""Gradient of a Gaussian mixture's log-likelihood: 10 dimensions, 25 components, 1000 points.

The parametrization is that of ADBench (F. Srajer, Z. Kukelova, A. Fitzgibbon, "A benchmark of
selected algorithmic differentiation tools on some problems in computer vision and machine
learning", Optimization Methods and Software 33 (2018)): logarithms of weights, means, logarithms of
the diagonals and the strict lower triangles of the inverse Cholesky factors; 1650 parameters.
"""

import functools
import math

import numpy as np
from numba import njit

import dualtape as ad

from .peers import by_autograd, by_casadi, by_jax, by_torch, torch_gradient
from .problem import Problem, by_dualtape, by_hand

DIMENSIONS, COMPONENTS, POINTS = 10, 25, 1000


@njit
def mixture_loop(p, x, components):
    """Log-likelihood of points x, in loops over points, components and dimensions."""
    n, d = x.shape
    k_all = components
    means, diagonal, lower = k_all, k_all + k_all * d, k_all + 2 * k_all * d
    triangle = d * (d - 1) // 2
    total, logits = 0.0, np.empty(k_all)
    scales = np.exp(p[diagonal:lower])
    for i in range(n):
        for k in range(k_all):
            logit, place = p[k], lower + k * triangle
            for j in range(d):
                z = scales[k * d + j] * (x[i, j] - p[means + k * d + j])
                for m in range(j):
                    z += p[place + m] * (x[i, m] - p[means + k * d + m])
                place += j
                logit += p[diagonal + k * d + j] - 0.5 * z * z
            logits[k] = logit
        largest = np.max(logits)
        s = 0.0
        for k in range(k_all):
            s += math.exp(logits[k] - largest)
        total += largest + math.log(s)
    weights = 0.0
    for k in range(k_all):
        weights += math.exp(p[k])
    return total - n * math.log(weights)


@njit
def factors(diagonal, lower, d):
    """Return the factors of all components below one another, shape (components * d, d)."""
    k_all = diagonal.size // d
    stacked = np.zeros((k_all * d, d))
    place = 0
    for k in range(k_all):
        for j in range(d):
            stacked[k * d + j, j] = math.exp(diagonal[k * d + j])
            for m in range(j):
                stacked[k * d + j, m] = lower[place]
                place += 1
    return stacked


@njit
def mixture_matrix(p, x, components):
    """Log-likelihood of points x, in matrix form: one product for all points and components."""
    n, d = x.shape
    k_all = components
    means = p[k_all : k_all + k_all * d]
    diagonal = p[k_all + k_all * d : k_all + 2 * k_all * d]
    stacked = factors(diagonal, p[k_all + 2 * k_all * d :], d)
    shift = np.sum(stacked.reshape(k_all, d, d) * means.reshape(k_all, 1, d), axis=2)
    z = x @ stacked.T - shift.reshape(k_all * d)
    logits = p[:k_all] + np.sum(diagonal.reshape(k_all, d), axis=1)
    logits = logits - 0.5 * np.sum((z * z).reshape(n, k_all, d), axis=2)
    largest = np.max(logits)
    inner = np.log(np.sum(np.exp(logits - largest), axis=1))
    return n * largest + np.sum(inner) - n * math.log(np.sum(np.exp(p[:k_all])))


@njit
def mixture_gradient(p, x, components):
    """Gradient of `mixture_loop`, by hand: weights of the components, then one pass of updates."""
    n, d = x.shape
    k_all = components
    means, diagonal, lower = k_all, k_all + k_all * d, k_all + 2 * k_all * d
    triangle = d * (d - 1) // 2
    g, z, logits = np.zeros(p.size), np.empty((k_all, d)), np.empty(k_all)
    scales = np.exp(p[diagonal:lower])
    for i in range(n):
        for k in range(k_all):
            logit, place = p[k], lower + k * triangle
            for j in range(d):
                s = scales[k * d + j] * (x[i, j] - p[means + k * d + j])
                for m in range(j):
                    s += p[place + m] * (x[i, m] - p[means + k * d + m])
                place += j
                z[k, j] = s
                logit += p[diagonal + k * d + j] - 0.5 * s * s
            logits[k] = logit
        largest = np.max(logits)
        total = 0.0
        for k in range(k_all):
            logits[k] = math.exp(logits[k] - largest)
            total += logits[k]
        for k in range(k_all):
            w, place = logits[k] / total, lower + k * triangle
            g[k] += w
            for j in range(d):
                t, row = -w * z[k, j], means + k * d
                g[diagonal + k * d + j] += w + t * scales[k * d + j] * (x[i, j] - p[row + j])
                g[row + j] -= t * scales[k * d + j]
                for m in range(j):
                    g[place + m] += t * (x[i, m] - p[row + m])
                    g[row + m] -= t * p[place + m]
                place += j
    weights = np.exp(p[:k_all])
    g[:k_all] -= n * weights / np.sum(weights)
    return g


def data(dimensions, components, points):
    """Return parameters and points."""
    rng = np.random.default_rng(0)
    triangle = dimensions * (dimensions - 1) // 2
    parts = [
        rng.standard_normal(components),
        rng.standard_normal(components * dimensions),
        0.3 * rng.standard_normal(components * dimensions),
        0.3 * rng.standard_normal(components * triangle),
    ]
    return np.concatenate(parts), rng.standard_normal((points, dimensions))


def written_with(np_like, logsumexp, x, components):
    """Return the matrix form for another library's arrays.

    Constant masks and a gather build the factors: in-place stores are not for all libraries.
    """
    n, d = x.shape
    rows, columns = np.tril_indices(d, -1)
    place = np.zeros((d, d), dtype=int)
    place[rows, columns] = np.arange(rows.size)
    mask = np.tril(np.ones((d, d)), -1)

    def f(p):
        weights, rest = p[:components], p[components:]
        means = rest[: components * d].reshape(components, d)
        diagonal = rest[components * d : 2 * components * d].reshape(components, d)
        lower = rest[2 * components * d :].reshape(components, rows.size)
        strict = lower[:, place.ravel()].reshape(components, d, d) * constant_of(np_like, mask)
        both = strict + constant_of(np_like, np.eye(d)) * np_like.exp(diagonal)[:, None, :]
        shift = np_like.sum(both * means[:, None, :], -1)
        z = constant_of(np_like, x) @ both.reshape(components * d, d).T - shift.reshape(-1)
        logits = weights + np_like.sum(diagonal, 1)
        logits = logits - 0.5 * np_like.sum((z * z).reshape(n, components, d), -1)
        return np_like.sum(logsumexp(logits, 1)) - n * logsumexp(weights, 0)

    return f


def constant_of(np_like, array):
    """Return a constant in the library's own form."""
    make = np_like.from_numpy if hasattr(np_like, "from_numpy") else np_like.array
    return make(array)


def jax_gradient(jax, jnp, x, components):
    """Return JAX's gradient."""
    return jax.grad(written_with(jnp, jax.scipy.special.logsumexp, x, components))


def autograd_gradient(autograd, anp, x, components):
    """Return autograd's gradient."""
    from autograd.scipy.special import logsumexp

    return autograd.grad(written_with(anp, logsumexp, x, components))


def casadi_gradient(casadi, x, components):
    """Return the gradient in matrix form: points are columns of a constant."""
    n, d = x.shape
    triangle = d * (d - 1) // 2
    p = casadi.MX.sym("p", components * (1 + 2 * d + triangle))
    points, logits = casadi.DM(x.T), []
    for k in range(components):
        mean = p[components + k * d : components + (k + 1) * d]
        diagonal = p[components * (1 + d) + k * d : components * (1 + d) + (k + 1) * d]
        start = components * (1 + 2 * d) + k * triangle
        z = casadi_factor(casadi, diagonal, p[start : start + triangle]) @ (
            points - casadi.repmat(mean, 1, n)
        )
        logits.append(p[k] + casadi.sum1(diagonal) - 0.5 * casadi.sum1(z * z))
    both = casadi.vertcat(*logits)
    largest = casadi.mmax(both)
    inner = casadi.sum2(casadi.log(casadi.sum1(casadi.exp(both - largest))))
    total = n * largest + inner - n * casadi.log(casadi.sum1(casadi.exp(p[:components])))
    return [p], casadi.gradient(total, p)


def casadi_factor(casadi, diagonal, lower):
    """Return one triangular factor, rows joined."""
    d, rows, place = diagonal.shape[0], [], 0
    for j in range(d):
        parts = [lower[place : place + j].T, casadi.exp(diagonal[j])]
        rows.append(casadi.horzcat(*parts, casadi.MX.zeros(1, d - j - 1)))
        place += j
    return casadi.vertcat(*rows)


def problems(small=False):
    """Yield the problem in matrix form and in loops."""
    sizes = (3, 2, 20) if small else (DIMENSIONS, COMPONENTS, POINTS)
    p, x = data(*sizes)
    components = sizes[1]
    given = {"x": x, "components": components}
    others = [
        by_jax(functools.partial(jax_gradient, **given), p),
        by_casadi(functools.partial(casadi_gradient, **given), p),
        by_autograd(functools.partial(autograd_gradient, **given), p),
        by_torch(
            lambda torch: torch_gradient(torch, written_with(torch, torch.logsumexp, **given)), p
        ),
    ]
    size = f"{sizes[0]} dimensions, {sizes[1]} components, {sizes[2]} points"
    for name, title, f in (
        ("loop", "loops", mixture_loop),
        ("matrix", "matrix form", mixture_matrix),
    ):
        yield Problem(
            name=f"mixture-{name}",
            title=f"Gaussian mixture ({size}), {title}: gradient",
            primal=f,
            args=(p, x, components),
            reference=lambda: mixture_gradient(p, x, components),
            candidates=[
                by_hand(mixture_gradient, p, x, components),
                by_dualtape("auto", lambda f=f: ad.grad(f), p, x, components),
                *others,
            ],
        )


def bench_gradient(run, case):
    run(case)
