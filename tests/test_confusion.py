"""Nested derivatives: an inner derivative must not see the outer one's perturbation.

The classic programs: Siskind & Pearlmutter, "Perturbation confusion and referential transparency"
(2005); ForwardDiff's ConfusionTest; JAX's autodidax.  Numba freezes closures, so the inner
functions take the outer variable as an argument.
"""

import math

import numba
import numpy as np
import pytest
from scenarios import assert_close

import dualtape as ad

# Newton's method stops at steps of 1e-13, and a second derivative sees its square root's square.
RTOL_NEWTON = 1e-11


# D(x -> x D(y -> x + y, 1), 1) == 1


def plus(y, x):
    return x + y


def times(y, x):
    return x * y


def constant_in_y(y, x):
    return x


def test_sum():
    def f(x):
        return x * ad.derivative(plus)(1.0, x)

    assert ad.derivative(f)(1.0) == 1.0
    assert ad.derivative(f)(5.0) == 1.0


def test_product():
    def f(x):
        return x * ad.derivative(times)(1.0, x)  # x * x

    assert ad.derivative(f)(4.0) == 8.0


def test_constant_inner_function():
    def f(x):
        return ad.derivative(constant_in_y)(x, x)

    assert ad.derivative(f)(1.0) == 0.0
    assert ad.derivative(f)(4.0) == 0.0


def test_inner_derivative_at_the_outer_variable():
    def inner(y, x):
        return x * y * y

    def f(x):
        return ad.derivative(inner)(x, x)  # 2 x x

    assert ad.derivative(f)(3.0) == 12.0
    assert ad.derivative(f, 2)(3.0) == 4.0


def test_inner_function_multiplied_outside():
    """D(x -> x D(y -> x y^3, x), x) = D(3 x^4) = 12 x^3."""

    def inner(y, x):
        return x * y**3

    def f(x):
        return x * ad.derivative(inner)(x, x)

    assert_close(ad.derivative(f)(2.0), 96.0)


def test_inner_transform_made_outside():
    inner = ad.derivative(times)

    def f(x):
        return x * inner(1.0, x)

    assert ad.derivative(f)(4.0) == 8.0
    assert_close(ad.grad(f)(4.0), 8.0)


def test_inner_transform_of_njit_functions():
    times_njit = numba.njit(times)

    @numba.njit
    def f(x):
        return x * ad.derivative(times_njit)(1.0, x)

    assert f(4.0) == 16.0
    assert ad.derivative(f)(4.0) == 8.0


def test_passive_and_active_calls_of_one_inner_transform():
    """The same inner derivative, called with a float, with the outer number and with both."""
    inner = ad.derivative(times)

    def f(x):
        return inner(x, 2.0) + 3.0 * inner(2.0, x) + inner(2.0, 5.0) + inner(x, x)

    assert f(1.5) == 2.0 + 4.5 + 5.0 + 1.5
    assert ad.derivative(f)(1.5) == 4.0


# Gradients of arrays


def quadratic(y, a):
    s = 0.0
    for i in range(y.size):
        for j in range(y.size):
            s += y[i] * a[i, j] * y[j]
    return s


def quadratic_of_arrays(y, a):
    return y @ (a @ y)


# Products of arrays at two levels take 30 s to compile.
quadratics = pytest.mark.parametrize(
    "f", [quadratic, pytest.param(quadratic_of_arrays, marks=pytest.mark.slow)]
)


@pytest.fixture
def square_matrix():
    return np.random.default_rng(3).normal(size=(4, 4))


@quadratics
def test_jacobian_of_the_gradient(f, square_matrix):
    y = np.arange(4.0)
    expected = square_matrix + square_matrix.T
    assert_close(ad.jacobian(ad.grad(f))(y, square_matrix), expected)
    assert_close(ad.jacobian(ad.grad(f), 0)(y, square_matrix), expected)


@quadratics
def test_gradient_with_respect_to_the_other_argument(f, square_matrix):
    """d/dA of (A + A')y: dg_i/dA_jk = [i = j] y_k + [i = k] y_j."""
    y = np.arange(1.0, 5.0)
    eye = np.eye(4)
    expected = np.einsum("ij,k->ijk", eye, y) + np.einsum("ik,j->ijk", eye, y)
    assert_close(ad.jacobian(ad.grad(f), 1)(y, square_matrix), expected)


def cubic_form(x):
    return x[0] * x[0] * x[1] + x[1] ** 3


def test_hessian_of_a_function_with_a_gradient_inside():
    def f(x):
        g = ad.grad(cubic_form)(x)
        return 0.5 * np.sum(g * g)

    x = np.array([2.0, 3.0])
    gradient = np.array([12.0, 31.0])
    hessian = np.array([[6.0, 4.0], [4.0, 18.0]])
    # H H + sum_i g_i d^3/dx_i: third derivatives 001 -> 2, 111 -> 6.
    third = np.zeros((2, 2, 2))
    third[0, 0, 1] = third[0, 1, 0] = third[1, 0, 0] = 2.0
    third[1, 1, 1] = 6.0
    assert_close(ad.hessian(f)(x), hessian @ hessian + third @ gradient)


def test_gradient_of_a_hessian_inside():
    def f(x):
        h = ad.hessian(cubic_form)(x)
        return h[0, 0] * h[1, 1] - h[0, 1] ** 2  # 12 x1^2 - 4 x0^2

    assert_close(ad.grad(f)(np.array([2.0, 3.0])), np.array([-16.0, 72.0]))


def test_gradient_of_an_hvp_inside():
    def f(x, v):
        return np.sum(ad.hvp(cubic_form)(x, v))  # (2 x1 + 2 x0) v0 + (2 x0 + 6 x1) v1

    x, v = np.array([2.0, 3.0]), np.array([5.0, 7.0])
    expected = np.array([10.0 + 14.0, 10.0 + 42.0]), np.array([10.0, 22.0])
    assert_close(ad.grad(f, (0, 1))(x, v), expected)


def test_gradient_of_a_jvp_inside():
    def f(x):
        value, tangent = ad.jvp(cubic_form, (x,), (x,))
        return tangent - 3.0 * value  # homogeneous of degree 3: always 0

    x = np.array([2.0, 3.0])
    assert f(x) == 0.0
    assert_close(ad.grad(f)(x), np.zeros(2))


def test_the_direction_of_an_inner_jvp_is_active():
    def f(t):
        _, tangent = ad.jvp(times, (3.0, t), (t, 1.0))  # t * t + 3
        return tangent

    assert ad.derivative(f)(5.0) == 10.0


def test_gradient_of_a_jacobian_inside():
    def swap(x):
        return np.array([x[0] * x[1], x[1] ** 2])

    def f(x):
        j = ad.jacobian(swap)(x)
        return j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]  # 2 x1^2

    assert_close(ad.grad(f)(np.array([2.0, 3.0])), np.array([0.0, 12.0]))


def test_gradient_with_respect_to_a_parameter_of_an_inner_gradient():
    def energy(x, k):
        s = 0.0
        for i in range(x.size):
            s += k[i] * x[i] ** 2
        return s

    def force(x, k):
        return ad.grad(energy)(x, k)

    x, k = np.array([1.0, 2.0]), np.array([3.0, 5.0])
    assert_close(ad.jacobian(force, 1)(x, k), np.diag(2.0 * x))
    assert_close(ad.jacobian(force, (0, 1))(x, k), (np.diag(2.0 * k), np.diag(2.0 * x)))


# Three and more levels


def test_gradient_of_gradient_of_gradient():
    def g(x):
        return ad.grad(lambda_power)(x)

    def h(x):
        return ad.grad(g)(x)

    assert_close(ad.grad(h)(2.0), 24.0 * 2.0)


def lambda_power(x):
    return x**4


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_towers_of_derivative(depth):
    f = math.exp
    for _ in range(depth):
        f = ad.derivative(f)
    assert_close(f(0.5), math.exp(0.5))


def test_jacobian_of_hessian():
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 1] = expected[0, 1, 0] = expected[1, 0, 0] = 2.0
    expected[1, 1, 1] = 6.0
    assert_close(ad.jacobian(ad.hessian(cubic_form))(np.array([2.0, 3.0])), expected)


@pytest.mark.slow
def test_hessian_of_hessian():
    """Two hyper-dual levels: fourth derivatives of x0^2 x1^2."""

    def f(x):
        return x[0] ** 2 * x[1] ** 2

    def corner(x):
        return ad.hessian(f)(x)[0, 1]  # 4 x0 x1

    assert_close(ad.hessian(corner)(np.array([2.0, 3.0])), np.array([[0.0, 4.0], [4.0, 0.0]]))


# Newton's method with a derivative inside


def residual(y, x):
    return y**3 + y - x


def solve(x):
    y = 1.0 + 0.0 * x
    for _ in range(60):
        step = residual(y, x) / ad.derivative(residual)(y, x)
        y = y - step
        if abs(step) < 1e-13:
            break
    return y


def solution(x):
    """Return y, y', y'' of y^3 + y = x by hand: y' = 1/(3 y^2 + 1), y'' = -6 y y'^3."""
    y = np.roots([1.0, 0.0, 1.0, -x])
    y = float(y[np.argmin(abs(y.imag))].real)
    first = 1.0 / (3.0 * y * y + 1.0)
    return y, first, -6.0 * y * first**3


# At x = 2 the start y = 1 is the solution: no step is left to carry second derivatives.
@pytest.mark.parametrize("x", [-3.0, 0.5, 2.5, 10.0])
def test_derivatives_of_newtons_method(x):
    y, first, second = solution(x)
    assert_close(ad.derivative(solve)(x), first, RTOL_NEWTON)
    assert_close(ad.derivative(solve, 2)(x), second, RTOL_NEWTON)
    assert_close(ad.jvp(solve, (x,), (2.0,))[0], y, RTOL_NEWTON)


def system(y, p):
    return np.array([y[0] ** 2 + p[0] * y[1] - 3.0, y[1] ** 2 - p[1] * y[0] - 1.0])


def solve_system(p):
    y = np.ones(2)
    for _ in range(30):
        r = system(y, p)
        j = ad.jacobian(system)(y, p)
        det = j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]
        dy = np.array(
            [(j[1, 1] * r[0] - j[0, 1] * r[1]) / det, (j[0, 0] * r[1] - j[1, 0] * r[0]) / det]
        )
        y = y - dy
        if np.sum(dy * dy) < 1e-26:
            break
    return y


def test_jacobian_of_newtons_method_for_a_system():
    p = np.array([1.0, 0.5])
    y = solve_system(p)
    np.testing.assert_allclose(system(y, p), 0.0, atol=1e-14)
    # Implicit function theorem: dy/dp = -(dF/dy)^-1 dF/dp.
    by_y = np.array([[2.0 * y[0], p[0]], [-p[1], 2.0 * y[1]]])
    by_p = np.array([[y[1], 0.0], [0.0, -y[0]]])
    assert_close(ad.jacobian(solve_system)(p), -np.linalg.solve(by_y, by_p), RTOL_NEWTON)


def test_newtons_method_minimises_inside():
    """argmin over y of (y - sin x)^2 + y^4/4, by Newton with inner first and second derivative."""

    def energy(y, x):
        return (y - np.sin(x)) ** 2 + 0.25 * y**4

    def minimiser(x):
        y = np.sin(x)
        for _ in range(40):
            y = y - ad.derivative(energy)(y, x) / ad.derivative(energy, 2)(y, x)
        return y

    x = 0.9
    y = ad.jvp(minimiser, (x,), (1.0,))[0]
    # 2 (y - sin x) + y^3 = 0  =>  (2 + 3 y^2) y' = 2 cos x
    assert_close(ad.derivative(minimiser)(x), 2.0 * math.cos(x) / (2.0 + 3.0 * y * y), RTOL_NEWTON)
