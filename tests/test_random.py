"""Random draws inside of differentiated functions: constants, the same in every evaluation."""

import random

import numba
import numpy as np
import pytest
from scenarios import assert_close

import dualtape as ad

P = np.array([0.3, 0.8])
MODES = ("forward", "reverse")


def shifted(p, n):
    """Depends on draws as the evidence bound of a variational autoencoder does."""
    np.random.seed(5)
    eps = np.random.standard_normal(n)
    return np.sum((p[0] + np.exp(0.5 * p[1]) * eps) ** 2)


@numba.njit
def seed(k):
    np.random.seed(k)
    random.seed(k)


@numba.njit
def normals(n):
    return np.random.standard_normal(n)


@numba.njit
def normals_of_five(n):
    np.random.seed(5)
    return np.random.standard_normal(n)


def by_hand(p, eps):
    """Return value, gradient and Hessian of `shifted`, given its draws."""
    s = np.exp(0.5 * p[1])
    z = p[0] + s * eps
    first = np.array([np.sum(2.0 * z), np.sum(z * s * eps)])
    cross = np.sum(s * eps)
    last = np.sum(0.5 * (s * eps) ** 2 + 0.5 * z * s * eps)
    return np.sum(z * z), first, np.array([[2.0 * eps.size, cross], [cross, last]])


@pytest.mark.parametrize("mode", MODES)
def test_reparametrisation(mode):
    value, gradient, _ = by_hand(P, normals_of_five(7))
    found = ad.value_and_grad(shifted, mode=mode)(P, 7)
    assert_close(found[0], value)
    assert_close(found[1], gradient)
    assert numba.njit(shifted)(P, 7) == pytest.approx(value, rel=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives_of_a_reparametrisation(mode):
    _, _, hessian = by_hand(P, normals_of_five(7))
    assert_close(ad.hessian(shifted, mode=mode)(P, 7), hessian)


def with_all_kinds_of_draws(x):
    """Every draw stands beside another input, so a wrong one shows."""
    order = np.random.permutation(x.size)
    weights = np.arange(1.0, x.size + 1.0)
    np.random.shuffle(weights)
    weights[0] += np.random.normal(1.0, 2.0) + np.random.randint(1, 9)
    weights[1] *= np.random.uniform(1.0, 2.0) + np.random.rand()
    weights[2:5] += np.random.choice(np.array([0.25, 0.5, 4.0]), 3)
    weights[5:8] += np.random.exponential(2.0, 3) + np.random.random(3)
    weights[8] += random.random() + random.gauss(0.0, 1.0)
    return np.sum(weights * x[order] ** 2)


X = np.linspace(0.5, 2.0, 19)


def drawn_gradient():
    """Return the gradient from values alone: the function is a quadratic form."""
    f, columns = numba.njit(with_all_kinds_of_draws), []
    for unit in 0.25 * np.eye(X.size):
        values = []
        for moved in (X + unit, X - unit):
            seed(3)
            values.append(f(moved))
        columns.append((values[0] - values[1]) / 0.5)
    return np.array(columns), normals(1)[0]


@pytest.mark.parametrize("mode", ["forward", pytest.param("reverse", marks=pytest.mark.slow)])
def test_all_evaluations_for_one_gradient_draw_the_same(mode):
    """19 inputs are three forward sweeps; what is drawn next is as after one evaluation."""
    expected, next_draw = drawn_gradient()
    seed(3)
    assert_close(ad.grad(with_all_kinds_of_draws, mode=mode)(X), expected)
    assert normals(1)[0] == next_draw


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_all_evaluations_for_one_hessian_draw_the_same(mode):
    expected, next_draw = drawn_gradient()
    seed(3)
    assert_close(ad.hessian(with_all_kinds_of_draws, mode=mode)(X), np.diag(expected / X))
    assert normals(1)[0] == next_draw


def scaled(x):
    return np.random.standard_normal(3) * x[:3] ** 2


@pytest.mark.slow
def test_a_jacobian_that_changes_to_reverse_mode_draws_the_same():
    x = np.linspace(0.5, 2.0, 40)
    seed(3)
    expected = 2.0 * x[:3] * normals(3)
    next_draw = normals(1)[0]
    for mode in ("auto", *MODES):
        seed(3)
        assert_close(ad.jacobian(scaled, mode=mode)(x)[:, :3], np.diag(expected))
        assert normals(1)[0] == next_draw


def with_generator(p, rng):
    z = p[0] + np.exp(0.5 * p[1]) * rng.standard_normal(5)
    return np.sum(z**2) + rng.random() * p[0] + rng.integers(1, 5) * p[1]


@pytest.mark.parametrize("mode", [pytest.param("forward", marks=pytest.mark.slow), "reverse"])
def test_a_generator_as_an_argument(mode):
    rng = np.random.default_rng(3)
    eps, u, k = rng.standard_normal(5), rng.random(), rng.integers(1, 5)
    value, gradient, _ = by_hand(P, eps)
    found = ad.value_and_grad(with_generator, mode=mode)(P, np.random.default_rng(3))
    assert_close(found[0], float(value + u * P[0] + k * P[1]))
    assert_close(found[1], gradient + np.array([u, k]))


def noisy(x, rng):
    return np.sum(rng.standard_normal(x.size) * x)


def test_a_generator_is_used_once_or_refused():
    expected = np.random.default_rng(1).standard_normal(19)
    assert_close(ad.grad(noisy)(X, np.random.default_rng(1)), expected)
    with pytest.raises(ad.ArgumentError, match=r"np.random.Generator.*mode='reverse'"):
        ad.grad(noisy, mode="forward")(X, np.random.default_rng(1))
    few = ad.grad(noisy, mode="forward")(X[:8], np.random.default_rng(1))
    assert_close(few, expected[:8])


ACTIVE_PARAMETERS = {
    "normal": lambda p: np.random.normal(p[0], 1.0),
    "uniform": lambda p: np.sum(np.random.uniform(0.0, p[1], 3)),
    "poisson": lambda p: p[1] * np.random.poisson(p[0]),
    "dirichlet": lambda p: np.sum(np.random.dirichlet(p)),
}


@pytest.mark.parametrize("name", ACTIVE_PARAMETERS)
def test_an_active_parameter_is_an_error_that_says_what_to_do(name):
    wanted = rf"draws from {name} with an active parameter.*standard_normal.*score_grad"
    for mode in MODES:
        with pytest.raises(ad.MissingRuleError, match=wanted):
            ad.grad(ACTIVE_PARAMETERS[name], mode=mode)(P)


def test_an_active_parameter_of_a_generator():
    with pytest.raises(ad.MissingRuleError, match="draws from normal with an active parameter"):
        ad.grad(lambda p, rng: rng.normal(p[0], 1.0))(P, np.random.default_rng(1))


def resampled(x):
    """Draws of active elements: which ones is random, the elements are active."""
    np.random.seed(1)
    np.random.shuffle(x)
    return np.sum(np.random.choice(x, 4)) + x[0] * np.random.permutation(x)[1] ** 2


@pytest.mark.slow
def test_elements_chosen_at_random_carry_their_derivatives():
    x = np.array([0.5, 2.0, 7.0])
    found = ad.grad(resampled, mode="forward")(x)
    assert_close(ad.grad(resampled, mode="reverse")(x), found)
    columns = [(resampled_copy(x + e) - resampled_copy(x - e)) / 0.02 for e in 0.01 * np.eye(3)]
    np.testing.assert_allclose(found, columns, rtol=1e-10)


@numba.njit
def resampled_copy(x):
    y = x.copy()
    np.random.seed(1)
    np.random.shuffle(y)
    return np.sum(np.random.choice(y, 4)) + y[0] * np.random.permutation(y)[1] ** 2


@ad.checkpoint
def noisy_step(u):
    return u + 0.1 * np.random.standard_normal(u.size) * u


def test_draws_of_a_checkpointed_function_are_refused():
    with pytest.raises(ad.ArgumentError, match="draws random numbers, and its second evaluation"):
        ad.grad(lambda x: np.sum(noisy_step(x)), mode="reverse")(X)


def test_a_function_that_stands_on_its_own_draws_the_same_in_every_sweep():
    """It is compiled apart from the code that looks for draws in it."""

    def f(x):
        z = np.random.standard_normal()
        s = 0.0
        for i in range(x.size):
            one = np.sin(x[i]) ** 2 + np.cos(x[i]) ** 2
            two = np.exp(x[i]) * np.exp(-x[i]) + np.sqrt(x[i]) / np.sqrt(x[i])
            s += z * x[i] + one + np.log(np.exp(two)) + np.tanh(one) / np.cosh(two)
        return s

    gradient = ad.grad(f, mode="forward")(np.linspace(0.5, 1.5, 20))  # three sweeps
    assert abs(gradient[0]) > 1e-8
    np.testing.assert_allclose(gradient, gradient[0], rtol=1e-9, atol=1e-12)
