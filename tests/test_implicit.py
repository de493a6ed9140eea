"""Implicit functions against closed forms, in every mode, through every kind of solver."""

import math

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose
from scipy import optimize

import dualtape as ad
from dualtape.implicit.linear import inverse_of_matrix


def kepler(anomaly, mean, eccentricity):
    return anomaly - eccentricity * math.sin(anomaly) - mean


SOLVE = ad.implicit_root(kepler)


def orbit(v):
    return SOLVE(1.0, v[0], v[1]) ** 2


def orbit_exact(mean, e):
    """Value, gradient and Hessian of E^2, by differentiating Kepler's equation by hand."""
    x = optimize.brentq(lambda x: kepler(x, mean, e), 0.0, 3.0, xtol=1e-15)
    s, c = math.sin(x), math.cos(x)
    by = np.array([1.0, s]) / (1.0 - e * c)
    second = np.empty((2, 2))
    for i in range(2):
        for j in range(2):
            # differentiate by[i] = a_i / d by parameter j
            a, a_j = (1.0, 0.0) if i == 0 else (s, c * by[j])
            d, d_j = 1.0 - e * c, e * s * by[j] - (c if j == 1 else 0.0)
            second[i, j] = a_j / d - a * d_j / d**2
    return x * x, 2.0 * x * by, 2.0 * (np.outer(by, by) + x * second)


def test_root_of_one_equation():
    v = np.array([1.0, 0.1])
    expected = orbit_exact(*v)
    for found, wanted in zip(ad.value_grad_hessian(orbit)(v), expected, strict=True):
        assert_allclose(found, wanted, rtol=1e-12)
    assert SOLVE(1, 1.0, 0.1) == SOLVE(1.0, 1.0, 0.1)
    assert_allclose(njit(orbit)(v), expected[0], rtol=1e-14)


@pytest.mark.slow
def test_root_of_one_equation_in_reverse_mode_and_third_order():
    v = np.array([1.0, 0.1])
    _, gradient, hessian = orbit_exact(*v)
    assert_allclose(ad.grad(orbit, mode="reverse")(v), gradient, rtol=1e-12)
    assert_allclose(ad.hessian(orbit, mode="reverse")(v), hessian, rtol=1e-12)
    third = ad.derivative(lambda m: SOLVE(1.0, m, 0.1), 3)(1.0)
    second = ad.derivative(lambda m: SOLVE(1.0, m, 0.1), 2)
    h = 1e-3
    near = [second(1.0 + k * h) for k in (-2, -1, 1, 2)]
    assert_allclose(third, np.dot(near, [1.0, -8.0, 8.0, -1.0]) / (12.0 * h), rtol=1e-9)


def meet(x, p):
    """A circle of radius sqrt p0 and a parabola."""
    return np.array([x[0] ** 2 + x[1] ** 2 - p[0], x[1] - p[1] * x[0] ** 2])


def meet_exact(p):
    x, q = np.array([1.0, 1.0]), np.array([2.0, 1.0])  # at these parameters
    assert_allclose(p, q)
    slope = np.array([[2.0, 2.0], [-2.0, 1.0]])
    return x, -np.linalg.solve(slope, np.array([[-1.0, 0.0], [0.0, -1.0]]))


def by_scipy(x0, p):
    return optimize.root(meet, x0, args=(p,), tol=1e-12)


@njit
def by_iteration(x0, p):
    """Return the solution of the pair of equations in closed form."""
    u = (-1.0 + np.sqrt(1.0 + 4.0 * p[1] ** 2 * p[0])) / (2.0 * p[1])
    return np.array([np.sqrt(u / p[1]), u])


P = np.array([2.0, 1.0])


@pytest.mark.slow
@pytest.mark.parametrize("solver", [None, by_scipy, by_iteration])
def test_root_of_a_system_by_any_solver(solver):
    solve = ad.implicit_root(meet, solver)
    assert solve is ad.implicit_root(meet, solver)
    x, by_p = meet_exact(P)
    assert_allclose(solve([1.0, 0.5], P), x, rtol=1e-12)
    found = ad.jacobian(lambda p: solve(np.array([1.0, 0.5]), p))(P)
    assert_allclose(found, by_p, rtol=1e-12)


@pytest.mark.slow
def test_root_of_a_system_in_reverse_mode_and_named_in_the_function():
    def product(p):
        x = ad.implicit_root(meet)(np.array([1.0, 0.5]), p)
        return x[0] * x[1]

    x, by_p = meet_exact(P)
    expected = by_p[0] * x[1] + by_p[1] * x[0]
    assert_allclose(ad.grad(product, mode="reverse")(P), expected, rtol=1e-12)
    assert_allclose(ad.grad(product)(P), expected, rtol=1e-12)
    compiled = njit(meet)

    @njit
    def outer(p):
        return ad.implicit_root(compiled)(np.array([1.0, 0.5]), p)[0]

    assert_allclose(outer(P), x[0], rtol=1e-12)
    # The derivative by the start is zero.
    solve = ad.implicit_root(meet)
    assert not np.any(ad.jacobian(lambda s: solve(s, P))(np.array([1.0, 0.5])))


def ridge(x, weight):
    return np.sum((x - 1.0) ** 2) + weight * np.sum(x**4)


def test_minimum():
    """2 (x - 1) + 4 w x^3 = 0, so dx/dw = -4 x^3 / (2 + 12 w x^2)."""
    best = ad.implicit_minimum(ridge)
    x = np.roots([4.0, 0.0, 2.0, -2.0])
    [x] = x[np.abs(x.imag) < 1e-12].real
    by_weight = -4.0 * x**3 / (2.0 + 12.0 * x * x)
    assert_allclose(best(np.zeros(2), 1.0), x, rtol=1e-12)
    found = ad.grad(lambda w: np.sum(best(np.zeros(2), w)))(1.0)
    assert_allclose(found, 2.0 * by_weight, rtol=1e-12)


@pytest.mark.slow
def test_minimum_of_one_variable_and_second_derivative():
    def well(x, a):
        return math.cosh(x - a) + x * x

    best = ad.implicit_minimum(well)
    x = best(0.0, 1.0)
    assert_allclose(math.sinh(x - 1.0) + 2.0 * x, 0.0, atol=1e-14)
    c, s = math.cosh(x - 1.0), math.sinh(x - 1.0)
    first = c / (c + 2.0)
    expected = 2.0 * s * (first - 1.0) / (c + 2.0) ** 2
    assert_allclose(ad.derivative(lambda a: best(0.0, a))(1.0), first, rtol=1e-12)
    assert_allclose(ad.derivative(lambda a: best(0.0, a), 2)(1.0), expected, rtol=1e-10)


# Errors


def twice(x, p):
    return np.array([x[0] + x[1] - p, 2.0 * x[0] + 2.0 * x[1] - 2.0 * p])


def above(x, p):
    return x * x + p


def test_errors():
    with pytest.raises(ad.SingularJacobianError, match="singular"):
        ad.implicit_root(twice)([0.0, 0.0], 1.0)
    with pytest.raises(ad.ConvergenceError, match="no root"):
        ad.implicit_root(above)(1.3, 1.0)
    wrong = ad.implicit_root(above, lambda x0, p: 5.0)
    with pytest.raises(ad.ConvergenceError, match="not a solution"):
        wrong(1.0, -1.0)
    failed = ad.implicit_root(above, lambda x0, p: optimize.OptimizeResult(x=x0, success=False))
    with pytest.raises(ad.ConvergenceError, match="found no solution"):
        failed(1.0, -1.0)
    with pytest.raises(ad.ArgumentError, match="solver"):
        ad.implicit_root(above, 3)
    with pytest.raises(ad.ArgumentError, match="x0"):
        ad.implicit_root(above)((1.0, 2.0), 1.0)


@pytest.mark.slow
def test_inverse(rng):
    find = njit(inverse_of_matrix)
    for n in (1, 3, 12):
        matrix = rng.normal(size=(n, n)) * 10.0 ** rng.integers(-9, 9, size=(n, 1))
        matrix *= 10.0 ** rng.integers(-9, 9, size=n)
        size = np.abs(matrix) @ np.abs(np.linalg.inv(matrix))
        assert np.all(np.abs(matrix @ find(matrix) - np.eye(n)) <= 1e-13 * n * size)
    for matrix in (np.ones((2, 2)), np.zeros((2, 2)), np.full((2, 2), np.nan), np.ones((2, 3))):
        with pytest.raises(ad.SingularJacobianError):
            find(matrix)
