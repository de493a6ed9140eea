"""Structures of arrays as vectors: the way there, the way back, derivatives on the way."""

from typing import NamedTuple

import numba
import numpy as np
import pytest
from scenarios import assert_close
from scipy.optimize import minimize

import dualtape as ad


class Layer(NamedTuple):
    """Parameters of one layer."""

    weights: np.ndarray
    bias: np.ndarray


class Network(NamedTuple):
    """Parameters of two layers, a tuple among them, and a number."""

    first: Layer
    second: tuple
    scale: float


def random_network(seed, hidden=3):
    rng = np.random.default_rng(seed)
    first = Layer(rng.normal(size=(hidden, 2)), rng.normal(size=hidden))
    return Network(first, (rng.normal(size=(1, hidden)), rng.normal(size=1)), 1.3)


def loss(p, x, y):
    hidden = np.tanh(x @ p.first.weights.T + p.first.bias)
    weights, bias = p.second
    return np.sum((p.scale * (hidden @ weights.T)[:, 0] + bias[0] - y) ** 2)


P = random_network(1)
RNG = np.random.default_rng(7)
DATA = RNG.normal(size=(6, 2)), RNG.normal(size=6)
VECTOR, UNRAVEL = ad.ravel(P)


def loss_of_vector(v, x, y):
    return loss(UNRAVEL(v), x, y)


def same(a, b):
    """Compare structures exactly, with their types and shapes."""
    assert type(a) is type(b)
    if isinstance(a, tuple):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            same(x, y)
    else:
        assert np.shape(a) == np.shape(b)
        assert np.array_equal(a, b)


def test_round_trip_of_nested_tuples():
    assert VECTOR.shape == (6 + 3 + 3 + 1 + 1,)
    same(UNRAVEL(VECTOR), P)
    expected = [P.first.weights.ravel(), P.first.bias, P.second[0].ravel(), P.second[1], [P.scale]]
    assert np.array_equal(VECTOR, np.concatenate(expected))
    same(UNRAVEL(np.repeat(VECTOR, 2)[::2]), P)


@pytest.mark.parametrize(
    "tree",
    [
        2.5,
        np.arange(3.0),
        np.arange(24.0).reshape(2, 3, 4),
        np.arange(6.0).reshape(2, 3).T,
        (1.0,),
        (np.zeros((0, 3)), (np.ones(2), ()), 3.0),
        (),
    ],
    ids=str,
)
def test_round_trip_of_small_structures(tree):
    vector, unravel = ad.ravel(tree)
    assert vector.dtype == np.float64
    same(unravel(vector), tree)


def test_it_is_a_copy_there_and_views_back():
    x = np.ones(2)
    vector, unravel = ad.ravel((x, 1.0))
    back, _ = unravel(vector)
    vector[0] = 5.0
    assert back[0] == 5.0
    assert x[0] == 1.0


def test_precision():
    single = np.ones(2, np.float32)
    vector, unravel = ad.ravel((single, single))
    assert vector.dtype == np.float32
    assert unravel(vector)[0].dtype == np.float32
    vector, unravel = ad.ravel((single, 1.0))
    assert vector.dtype == np.float64
    assert unravel(vector)[0].dtype == np.float64


def test_one_function_for_all_trees_of_a_structure():
    assert ad.ravel(random_network(2))[1] is UNRAVEL
    assert ad.ravel(random_network(2, hidden=4))[1] is not UNRAVEL


@pytest.mark.parametrize(
    "tree", [np.arange(3), (1.0, 2), 1 + 2j, [1.0, 2.0], (np.array([1j]), 1.0), "abc"], ids=str
)
def test_what_has_no_derivative_is_refused(tree):
    with pytest.raises(ad.ArgumentError, match="expected real numbers and arrays"):
        ad.ravel(tree)


def test_unravel_refuses_other_vectors():
    for wrong in (VECTOR[:-1], np.append(VECTOR, 0.0)):
        with pytest.raises(ad.ArgumentValueError, match="another length"):
            UNRAVEL(wrong)
    for wrong in (np.arange(VECTOR.size), VECTOR.reshape(2, 7), 3.0):
        with pytest.raises(ad.ArgumentError, match="vector of real numbers"):
            UNRAVEL(wrong)


def loss_gradient(p, x, y):
    """Return the gradient by hand."""
    hidden = np.tanh(x @ p.first.weights.T + p.first.bias)
    raw = (hidden @ p.second[0].T)[:, 0]
    r = 2.0 * (p.scale * raw + p.second[1][0] - y)
    by_hidden = p.scale * np.outer(r, p.second[0][0]) * (1.0 - hidden**2)
    first = Layer(by_hidden.T @ x, by_hidden.sum(axis=0))
    second = (p.scale * (r @ hidden)[None, :], np.array([r.sum()]))
    return Network(first, second, float(r @ raw))


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_gradients_have_the_structure_and_are_those_of_the_vector(mode):
    """The gradient by the structure, and that by its vector, against one by hand."""
    expected = loss_gradient(P, *DATA)
    gradient = ad.grad(loss, mode=mode)(P, *DATA)
    assert_close(gradient, expected, 1e-11)
    flat, unravel = ad.ravel(gradient)
    assert unravel is UNRAVEL
    value, by_vector = ad.value_and_grad(loss_of_vector, mode=mode)(VECTOR, *DATA)
    assert value == pytest.approx(loss(P, *DATA), rel=1e-13)
    assert_close(by_vector, flat, 1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_second_derivatives_by_the_vector(mode):
    hessian = ad.hessian(loss_of_vector, mode=mode)(VECTOR, *DATA)
    step = 1e-3
    for j in range(VECTOR.size):
        unit = np.zeros(VECTOR.size)
        unit[j] = step
        column = sum(
            w * (ad.ravel(loss_gradient(UNRAVEL(VECTOR + k * unit), *DATA))[0]
                 - ad.ravel(loss_gradient(UNRAVEL(VECTOR - k * unit), *DATA))[0])
            for k, w in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
        ) / step  # fmt: skip
        np.testing.assert_allclose(hessian[j], column, atol=1e-10 * np.max(np.abs(hessian)))


def test_unravel_in_compiled_code_and_writes_through_its_views():
    @numba.njit
    def f(v, c):
        p = UNRAVEL(v * c)
        p.first.bias[0] = p.scale**2  # of what belongs to f itself
        return np.sum(p.first.bias) + p.second[1][0] * p.scale

    bias, scale = slice(6, 9), 13
    expected = np.zeros(VECTOR.size)
    expected[7:9] = 2.0
    expected[12] = 4.0 * VECTOR[scale]
    expected[scale] = 8.0 * VECTOR[scale] + 4.0 * VECTOR[12]
    rest = 2.0 * np.sum(VECTOR[bias][1:]) + 4.0 * VECTOR[12] * VECTOR[scale]
    assert f(VECTOR, 2.0) == pytest.approx(4.0 * VECTOR[scale] ** 2 + rest)
    for mode in ("forward", "reverse"):
        assert_close(ad.grad(f, mode=mode)(VECTOR, 2.0), expected)


@pytest.mark.slow  # the README's example is one, too
def test_a_network_is_trained_with_scipy():
    x = np.linspace(-2.0, 2.0, 40)[:, None] * np.array([1.0, 0.5])
    y = np.sin(1.5 * x[:, 0])
    found = minimize(
        ad.value_and_grad(loss_of_vector, mode="reverse"), VECTOR, args=(x, y), jac=True,
        method="BFGS",
    )  # fmt: skip
    p = UNRAVEL(found.x)
    assert isinstance(p, Network)
    assert loss(p, x, y) == pytest.approx(found.fun)
    assert found.fun < 0.01 * loss(P, x, y)
    start = ad.grad(loss_of_vector)(VECTOR, x, y)
    assert np.max(np.abs(found.jac)) < 1e-3 * np.max(np.abs(start))


class Answer(NamedTuple):
    """A result that holds arrays, one of which is constant."""

    table: np.ndarray
    rest: tuple
    constant: np.ndarray


def answer(p, x):
    hidden = np.tanh(p.first.weights @ x + p.first.bias)
    return Answer(np.outer(hidden, x), (p.scale**2, p.second[0] @ hidden), np.ones(2))


def flat_answer(vector, x):
    found = answer(UNRAVEL(vector), x)
    return np.concatenate(
        (found.table.ravel(), np.array([found.rest[0]]), found.rest[1], np.ones(2))
    )


def rows_of(part, m):
    """Return a Jacobian's structure of inputs, for m outputs, as a matrix."""
    leaves = (*part.first, *part.second, part.scale)
    return np.concatenate([np.reshape(leaf, (m, -1)) for leaf in leaves], axis=1)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobian_of_a_structure_by_another(mode):
    """Of (2 W, b_0 b_1) by (W, b)."""

    def f(p):
        return Layer(2.0 * p.weights, p.bias[:1] * p.bias[1])

    p = Layer(np.array([[7.0, 1.0]]), np.array([3.0, 5.0]))
    of_weights, of_bias = ad.jacobian(f, mode=mode)(p)
    assert isinstance(of_weights, Layer)
    np.testing.assert_array_equal(of_weights.weights, 2.0 * np.eye(2).reshape(1, 2, 1, 2))
    np.testing.assert_array_equal(of_weights.bias, np.zeros((1, 2, 2)))
    np.testing.assert_array_equal(of_bias.weights, np.zeros((1, 1, 2)))
    np.testing.assert_array_equal(of_bias.bias, [[5.0, 3.0]])


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_jacobians_of_structures_by_structures(mode):
    """Outputs outside, inputs inside; against the Jacobian of one vector by the other."""
    x = np.array([0.4, -1.1])
    value, found = ad.value_and_jacobian(answer, mode=mode)(P, x)
    assert_close(value, answer(P, x), 1e-14)
    assert isinstance(found, Answer)
    assert isinstance(found.rest[1], Network)
    assert found.table.first.weights.shape == (3, 2, 3, 2)
    assert type(found.rest[0].scale) is float
    parts = zip((found.table, *found.rest, found.constant), (6, 1, 1, 2), strict=True)
    rows = np.concatenate([rows_of(part, m) for part, m in parts])
    assert_close(rows, ad.jacobian(flat_answer, mode=mode)(VECTOR, x), 1e-13)
    by_x = ad.jacobian(answer, (1, 0), mode=mode)(P, x)
    assert_close(by_x.table[1], found.table, 1e-14)
    assert by_x.rest[1][0].shape == (1, 2)
