"""Soft sorting and ranking, the smooth maximum, straight-through rounding: in all modes."""

import itertools
import math

import numba
import numpy as np
import pytest
from scenarios import assert_close
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

import dualtape as ad

X = np.array([0.7, -1.3, 2.1, 0.4, -0.6, 1.9])
MODES = ("forward", "reverse")


def projected(z, w):
    """Project z onto the permutahedron of w, by quadratic programming over all its vertices."""
    vertices = np.array(list(itertools.permutations(w)))
    start = np.full(len(vertices), 1.0 / len(vertices))
    found = minimize(
        lambda p: np.sum((p @ vertices - z) ** 2),
        start,
        jac=lambda p: 2.0 * vertices @ (p @ vertices - z),
        bounds=[(0.0, 1.0)] * len(vertices),
        constraints={"type": "eq", "fun": lambda p: np.sum(p) - 1.0},
        method="SLSQP",
        options={"maxiter": 1000, "ftol": 1e-16},
    )
    return found.x @ vertices


@pytest.mark.parametrize("strength", [0.2, 0.6, 1.3, 40.0])
def test_soft_sort_and_soft_rank_are_projections_onto_the_permutahedron(strength):
    x = X[:4]
    ranks = np.arange(1.0, 5.0)
    expected = projected(ranks / strength, x)
    np.testing.assert_allclose(ad.soft_sort(x, strength), expected, atol=1e-6)
    expected = projected(x / strength, ranks)
    np.testing.assert_allclose(ad.soft_rank(x, strength), expected, atol=1e-6)


@pytest.mark.parametrize("strength", [1e-300, 1e-9, 0.19])
def test_the_hard_limit_is_exact(strength):
    """The least gap of X is 0.2, the largest 1.2."""
    assert np.array_equal(ad.soft_sort(X, strength), np.sort(X))
    assert np.array_equal(ad.soft_rank(X, strength), np.argsort(np.argsort(X)) + 1.0)
    tied = np.array([2.0, 5.0, 2.0, 2.0])
    assert np.array_equal(ad.soft_rank(tied, strength), [2.0, 4.0, 2.0, 2.0])
    assert np.array_equal(ad.soft_sort(tied, strength), np.sort(tied))


def test_the_hard_limit_of_the_smooth_maximum():
    assert ad.smooth_maximum(X, 1e-5) == np.max(X)
    assert ad.smooth_maximum(1e300 * X, 1.0) == 2.1e300
    assert ad.smooth_maximum([-math.inf, 3.0], 1.0) == 3.0
    assert ad.smooth_maximum([-math.inf, -math.inf], 1.0) == -math.inf
    np.testing.assert_allclose(ad.smooth_maximum(X, 0.7), 0.7 * logsumexp(X / 0.7), rtol=1e-15)


@numba.njit
def relaxed(x, t):
    """Everything at once, with an active temperature: one array per mode to compile."""
    y = np.empty(3 * x.size + 2)
    y[: x.size] = ad.soft_sort(x * x[1], t)
    y[x.size : 2 * x.size] = ad.soft_rank(x * x[1], 2.0 * t)
    y[2 * x.size : 3 * x.size] = ad.round_ste(x * 3.0) * x[2]
    y[3 * x.size] = ad.smooth_maximum(x * x[1], t)
    y[3 * x.size + 1] = ad.round_ste(x[0] * t) ** 2
    return y


def blocks_of(z, w):
    """Return a matrix that takes the mean over the blocks which isotonic regression pools."""
    blocks = [[i] for i in range(z.size)]
    k = 0
    while k < len(blocks) - 1:
        a, b = blocks[k], blocks[k + 1]
        if np.mean((z - w)[a]) > np.mean((z - w)[b]):
            blocks[k : k + 2] = [a + b]
            k = max(k - 1, 0)
        else:
            k += 1
    matrix = np.zeros((z.size, z.size))
    for block in blocks:
        matrix[np.ix_(block, block)] = 1.0 / len(block)
    return matrix


def relaxed_jacobian(x, t):
    """Return the derivatives of `relaxed` by x and t, in closed form."""
    n = x.size
    u = x * x[1]
    du = np.column_stack([np.diag(np.full(n, x[1])), np.zeros(n)])
    du[:, 1] += x
    dt = np.eye(n + 1)[n]
    order = np.argsort(u)
    ranks = np.arange(1.0, n + 1.0)
    mean = blocks_of(ranks / t, u[order])
    z_bar = ranks - mean @ ranks
    sort = mean @ du[order] - np.outer(z_bar, dt) / t**2
    mean = blocks_of(u[order] / (2.0 * t), ranks)
    change = (np.eye(n) - mean) @ (du[order] / (2.0 * t) - np.outer(u[order], dt) / (2.0 * t**2))
    rank = np.empty((n, n + 1))
    rank[order] = change
    rounded = 3.0 * x[2] * np.eye(n, n + 1)
    rounded[:, 2] += np.rint(3.0 * x)
    p = softmax(u / t)
    maximum = p @ du + (logsumexp(u / t) - p @ u / t) * dt
    last = 2.0 * np.rint(x[0] * t) * (t * np.eye(n + 1)[0] + x[0] * dt)
    return np.vstack([sort, rank, rounded, maximum, last])


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_derivatives_are_those_of_the_closed_form(mode):
    for t in (0.45, 0.9, 3.0):
        value, (by_x, by_t) = ad.value_and_jacobian(relaxed, (0, 1), mode=mode)(X, t)
        assert_close(value, relaxed(X, t))
        assert_close(np.column_stack([by_x, by_t]), relaxed_jacobian(X, t))


def smooth(x):
    return (
        ad.smooth_maximum(x, 0.6) ** 2
        + ad.round_ste(x[0]) * x[1]
        + np.sum(ad.soft_sort(x, 0.9)[:3] ** 2)
    )


@pytest.mark.parametrize("mode", ["forward", pytest.param("reverse", marks=pytest.mark.slow)])
def test_second_derivatives(mode):
    p, m = softmax(X / 0.6), 0.6 * logsumexp(X / 0.6)
    expected = 2.0 * np.outer(p, p) + 2.0 * m * (np.diag(p) - np.outer(p, p)) / 0.6
    expected[0, 1] += 1.0
    expected[1, 0] += 1.0
    order = np.argsort(X)
    mean = blocks_of(np.arange(1.0, 7.0) / 0.9, X[order])
    by_x = (mean @ np.eye(6)[order])[:3]
    assert_close(ad.hessian(smooth, mode=mode)(X), expected + 2.0 * by_x.T @ by_x)


def test_spearmans_correlation_can_be_trained():
    """Soft ranks of a score, fitted to given ranks: the use they are made for."""
    target = np.array([3.0, 1.0, 2.0, 5.0, 4.0])

    def loss(score):
        return np.sum((ad.soft_rank(score, 1.0) - target) ** 2)

    gradient = ad.value_and_grad(loss, mode="reverse")
    found = minimize(gradient, np.linspace(0.0, 1.0, 5), jac=True, method="BFGS")
    assert np.array_equal(np.argsort(np.argsort(found.x)) + 1.0, target)
    np.testing.assert_allclose(ad.soft_rank(found.x), target, atol=1e-5)


def test_errors_say_what_was_expected():
    for wrong in ("word", np.array([1j]), 3.0):
        with pytest.raises(ad.ArgumentError, match="real numbers"):
            ad.soft_sort(wrong)
    with pytest.raises(ad.ArgumentError, match="vector"):
        ad.soft_rank(np.eye(2))
    for function in (ad.soft_sort, ad.soft_rank, ad.smooth_maximum):
        with pytest.raises(ad.ArgumentValueError, match="must be positive"):
            function(X, 0.0)
    with pytest.raises(ad.ArgumentValueError, match="empty"):
        ad.smooth_maximum(np.zeros(0))
    with pytest.raises(ad.ArgumentError, match="vector"):
        ad.grad(lambda x: np.sum(ad.soft_sort(x.reshape(2, 3))))(X)


def test_integers_lists_and_single_precision():
    assert_close(ad.soft_sort([3, 1, 2], 0.1), np.array([1.0, 2.0, 3.0]))
    assert ad.soft_sort(np.zeros(0)).shape == (0,)
    assert ad.round_ste(2.5) == 2.0
    assert np.array_equal(ad.round_ste(np.array([0.4, 1.5])), [0.0, 2.0])
    assert ad.smooth_maximum(np.ones(1, np.float32), 1e-6) == 1.0
