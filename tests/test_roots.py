"""Roots: the numbers of SciPy's searches, with derivatives by closed forms and in all nestings."""

import math

import numpy as np
import pytest
from numba import njit
from scipy import optimize

import dualtape as ad
from dualtape.roots import bisect, brentq, fixed_point, newton

slow = pytest.mark.slow
RTOL = 1e-9  # the roots are known to 2e-12, and so are slopes


@njit
def cubic(x, p, q):
    return x**3 + q * x - p


@njit
def kepler(anomaly, mean, eccentricity):
    return anomaly - eccentricity * math.sin(anomaly) - mean


@njit
def smooth_step(x, p):
    return np.tanh(p * (x - 0.3)) + 0.1


@njit
def flat(x, p):
    return (x - p[0]) * (1.0 + p[1] * x**2)


BRACKETS = [
    (cubic, 0.0, 3.0, (8.0, 0.5)),
    (kepler, 0.0, 4.0, (1.0, 0.1)),
    (smooth_step, -1.0, 2.0, (3.0,)),
    (flat, 0.0, 5.0, (np.array([1.5, 2.0]),)),
    (cubic, 3.0, 0.0, (8.0, 0.5)),
]
SEARCHES = [(bisect, optimize.bisect), (brentq, optimize.brentq)]


@pytest.mark.parametrize(("search", "theirs"), SEARCHES, ids=["bisect", "brentq"])
@pytest.mark.parametrize("case", BRACKETS, ids=lambda case: case[0].__name__)
def test_values_are_those_of_scipy(search, theirs, case):
    assert search(*case) == theirs(*case)
    f, a, b, args = case
    found = theirs(f, a, b, args, 1e-3, 1e-3)
    assert search(f, a, b, args, xtol=1e-3, rtol=1e-3) == found
    assert njit(lambda a, b, args: search(f, a, b, args, 1e-3, 1e-3))(a, b, args) == found


def root_of(p):
    """Return the exact root of the cubic and its first and second derivatives."""
    x = optimize.brentq(cubic, 0.0, 3.0, tuple(p), xtol=1e-15)
    slope = 3.0 * x**2 + p[1]
    gradient = np.array([1.0, -x]) / slope
    # s x_ij + 6 x x_i x_j + d(slope)/dp terms = 0, with f = x^3 + q x - p
    hessian = -6.0 * x * np.outer(gradient, gradient)
    hessian -= np.array([[0.0, gradient[0]], [gradient[0], 2.0 * gradient[1]]])
    return x, gradient, hessian / slope


P = np.array([8.0, 0.5])


@pytest.mark.parametrize("search", [bisect, brentq, newton])
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_derivatives(search, mode):
    def root(p):
        if search is newton:
            return newton(cubic, 1.0, (p[0], p[1]))
        return search(cubic, 0.0, 3.0, args=(p[0], p[1]))

    x, gradient, hessian = root_of(P)
    value, found = ad.value_and_grad(root, mode=mode)(P)
    assert value == root(P)
    np.testing.assert_allclose(value, x, rtol=1e-11)
    np.testing.assert_allclose(found, gradient, rtol=RTOL)
    np.testing.assert_allclose(ad.hessian(root, mode=mode)(P), hessian, rtol=RTOL)


@slow
@pytest.mark.parametrize("search", [bisect, brentq])
def test_third_derivative(search):
    """Of the cube root: 10/27 p^(-8/3)."""

    def root(p):
        return search(cubic, 0.5, 3.0, (p, 0.0))

    third = ad.derivative(root, 3)(8.0)
    np.testing.assert_allclose(third, 10.0 / 27.0 * 8.0 ** (-8.0 / 3.0), rtol=1e-8)


def test_derivatives_by_arrays_and_by_the_bracket():
    def root(p, a):
        return brentq(flat, a, 5.0, (p,)) ** 2

    by_p, by_a = ad.grad(root, (0, 1))(np.array([1.5, 2.0]), 0.0)
    np.testing.assert_allclose(by_p, [3.0, 0.0], rtol=RTOL, atol=1e-11)
    assert by_a == 0.0
    assert ad.grad(lambda a: brentq(flat, a, 5.0, (np.array([1.5, 2.0]),)))(0.0) == 0.0


def test_roots_in_a_loop():
    """Of compiled code, inside of a differentiated function."""

    @njit
    def mean_anomaly(e):
        s = 0.0
        for k in range(3):
            s += brentq(kepler, 0.0, 4.0, (0.5 + k, e))
        return s

    e, h = 0.2, 1e-5
    expected = (mean_anomaly(e + h) - mean_anomaly(e - h)) / (2.0 * h)
    np.testing.assert_allclose(ad.grad(mean_anomaly)(e), expected, rtol=1e-8)


@njit
def damped(x, p):
    return math.cos(p * x)


@njit
def spring(x, p):
    return 0.5 * np.cos(p[0] * x) + 0.1 * p[1] * x[::-1]


def test_fixed_point_of_a_number():
    x = 0.7390851332151607
    value, slope = ad.value_and_grad(lambda p: fixed_point(damped, 0.5, (p,)))(1.0)
    np.testing.assert_allclose(value, x, rtol=1e-14)
    np.testing.assert_allclose(slope, -x * math.sin(x) / (1.0 + math.sin(x)), rtol=1e-12)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_fixed_point_of_an_array(mode):
    x0, p = np.array([0.5, 0.2, 0.7]), np.array([1.0, 0.5])

    def point(p):
        return fixed_point(spring, x0, (p,))

    x = point(p)
    np.testing.assert_allclose(spring(x, p), x, rtol=1e-14)
    by_x = ad.jacobian(spring, 0, mode="forward")(x, p)
    by_p = ad.jacobian(spring, 1, mode="forward")(x, p)
    expected = np.linalg.solve(np.eye(3) - by_x, by_p)
    np.testing.assert_allclose(ad.jacobian(point, mode=mode)(p), expected, rtol=1e-12)


def test_newton_of_a_system():
    @njit
    def circle(x, r):
        return np.array([x[0] ** 2 + x[1] ** 2 - r**2, x[0] - x[1]])

    found = ad.jacobian(lambda r: newton(circle, np.array([1.0, 2.0]), (r,)))(2.0)
    np.testing.assert_allclose(found, [math.sqrt(0.5)] * 2, rtol=1e-12)


@pytest.mark.parametrize("search", [bisect, brentq])
def test_errors(search):
    with pytest.raises(ad.ArgumentValueError, match="different signs"):
        search(cubic, 5.0, 6.0, (8.0, 0.5))
    with pytest.raises(ad.ConvergenceError, match="maxiter"):
        search(cubic, 0.0, 3.0, (8.0, 0.5), maxiter=2)
    with pytest.raises(ad.SingularJacobianError):
        ad.grad(lambda p: search(triple, -1.0, 1.0, (p,)))(0.0)
    with pytest.raises(ad.ArgumentError, match="expected a Python function"):
        search(3.0, 0.0, 1.0)
    assert search(cubic, 0.0, 3.0, (27.0, 0.0)) == 3.0


@njit
def triple(x, p):
    return (x - p) ** 3


def test_no_fixed_point():
    with pytest.raises(ad.ConvergenceError, match="maxiter"):
        fixed_point(njit(lambda x, p: x + p), 0.0, (1.0,), maxiter=20)
