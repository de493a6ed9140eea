"""Derivatives go straight into SciPy: `minimize`, `root`, `least_squares`, `curve_fit` and others.

Every solution is known in closed form or to many digits; that the derivatives are right shows in
the solution and in a small gradient there.
"""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scenarios import assert_close, rosenbrock
from scipy.optimize import (
    Bounds,
    LinearConstraint,
    NonlinearConstraint,
    check_grad,
    curve_fit,
    least_squares,
    minimize,
    root,
    root_scalar,
)

import dualtape as ad

START = np.array([-1.2, 1.0, 0.7])
# Gradients end below 1e-7; x is off by that times 1/0.4, the inverse of the smallest eigenvalue.
ATOL_MINIMUM = 1e-6
# Newton's methods end with a quadratic step.
ATOL_NEWTON = 1e-9
# A barrier method stops near its constraints.
ATOL_BARRIER = 1e-4

FIRST_ORDER = {
    "CG": {"gtol": 1e-8},
    "BFGS": {"gtol": 1e-8},
    "L-BFGS-B": {"gtol": 1e-8, "ftol": 1e-16},
    "TNC": {"maxfun": 1000, "gtol": 1e-10, "ftol": 1e-18, "xtol": 1e-12},
    "SLSQP": {"ftol": 1e-16},
}
SECOND_ORDER = ["dogleg", "trust-ncg", "trust-krylov", "trust-exact"]
BY_PRODUCT = ["trust-ncg", "trust-krylov"]
TIGHT = {"gtol": 1e-10}


def assert_minimum(result, atol=ATOL_MINIMUM):
    assert result.success, result.message
    assert_allclose(result.x, 1.0, atol=atol)


@pytest.mark.parametrize("method", FIRST_ORDER)
def test_first_order_methods(method):
    options = FIRST_ORDER[method]
    result = minimize(rosenbrock, START, method=method, jac=ad.grad(rosenbrock), options=options)
    assert_minimum(result)


@pytest.mark.parametrize("method", FIRST_ORDER)
def test_value_and_grad_in_one_function(method):
    both = ad.value_and_grad(rosenbrock)
    assert_minimum(minimize(both, START, method=method, jac=True, options=FIRST_ORDER[method]))


def nearly_quadratic(x):
    """Convex (dogleg wants that), minimum at 1: sum of cosh(x_i - 1) and of products."""
    s = 0.0
    for i in range(x.size):
        s += np.cosh(x[i] - 1.0)
        for j in range(i):
            s += 0.05 * (x[i] - 1.0) * (x[j] - 1.0)
    return s


@pytest.mark.parametrize("method", SECOND_ORDER)
def test_second_order_methods(method):
    f = nearly_quadratic if method == "dogleg" else rosenbrock
    result = minimize(f, START, method=method, jac=ad.grad(f), hess=ad.hessian(f), options=TIGHT)
    assert_minimum(result, ATOL_NEWTON)


@pytest.mark.parametrize("method", BY_PRODUCT)
def test_methods_with_hessian_vector_products(method):
    result = minimize(
        rosenbrock,
        START,
        method=method,
        jac=ad.grad(rosenbrock),
        hessp=ad.hvp(rosenbrock),
        options=TIGHT,
    )
    assert_minimum(result, ATOL_NEWTON)


@pytest.mark.parametrize("second", ["hess", "hessp"])
def test_newton_cg(second):
    derivative = {"hess": ad.hessian, "hessp": ad.hvp}[second](rosenbrock)
    result = minimize(
        rosenbrock,
        START,
        method="Newton-CG",
        jac=ad.grad(rosenbrock),
        options={"xtol": 1e-10},
        **{second: derivative},
    )
    assert_minimum(result, ATOL_NEWTON)


@pytest.mark.parametrize("second", ["none", "hess", "hessp"])
def test_trust_constr(second):
    options = {"hess": {"hess": ad.hessian(rosenbrock)}, "hessp": {"hessp": ad.hvp(rosenbrock)}}
    result = minimize(
        rosenbrock,
        START,
        method="trust-constr",
        jac=ad.grad(rosenbrock),
        options=TIGHT,
        **options.get(second, {}),
    )
    assert_minimum(result)


def test_fewer_evaluations_than_without_derivatives():
    with_derivatives = minimize(rosenbrock, START, method="BFGS", jac=ad.grad(rosenbrock))
    without = minimize(rosenbrock, START, method="BFGS")
    assert with_derivatives.nfev * 3 < without.nfev


# args


def shifted(x, center, weights, power=2):
    s = 0.0
    for i in range(x.size):
        s += weights[i] * (x[i] - center) ** power
    return s


@pytest.mark.parametrize("method", ["BFGS", "trust-exact", "Newton-CG", "trust-constr"])
def test_args_are_passed_on(method):
    args = (3.0, np.array([1.0, 5.0, 2.0]))
    result = minimize(
        shifted,
        START,
        args=args,
        method=method,
        jac=ad.grad(shifted),
        hess=None if method == "BFGS" else ad.hessian(shifted),
    )
    assert result.success
    assert_allclose(result.x, 3.0, atol=1e-5)  # at the methods' own tolerances


def test_args_are_passed_on_to_hessian_vector_products():
    args = (3.0, np.array([1.0, 5.0, 2.0]), 2)
    result = minimize(
        ad.value_and_grad(shifted),
        START,
        args=args,
        method="trust-krylov",
        jac=True,
        hessp=ad.hvp(shifted),
        options=TIGHT,
    )
    assert result.success
    assert_allclose(result.x, 3.0, atol=ATOL_NEWTON)


def test_bounds():
    result = minimize(
        rosenbrock,
        np.array([0.0, 0.0]),
        method="L-BFGS-B",
        jac=ad.grad(rosenbrock),
        bounds=Bounds(-2.0, [0.5, 2.0]),
    )
    assert_allclose(result.x, [0.5, 0.25], atol=1e-5)


def test_one_variable():
    """SciPy calls with arrays of one element."""

    def f(x):
        return np.cosh(x[0] - 2.0)

    result = minimize(
        f, 0.0, method="trust-exact", jac=ad.grad(f), hess=ad.hessian(f), options=TIGHT
    )
    assert_allclose(result.x, [2.0], atol=ATOL_NEWTON)


def test_scipys_own_check_of_gradients():
    # forward differences: sqrt(eps) * |H|
    assert check_grad(rosenbrock, ad.grad(rosenbrock), START) < 1e-4


# Constraints: minimise x0 + x1 on the circle of radius sqrt 2; the minimum is (-1, -1).


def circle(x):
    return np.array([x[0] ** 2 + x[1] ** 2, x[0] * x[1]])


def linear(x):
    return x[0] + x[1]


def weighted_circle(x, v):
    return np.sum(v * circle(x))


def test_nonlinear_constraint_with_weighted_hessian():
    constraint = NonlinearConstraint(
        circle,
        [2.0, -np.inf],
        [2.0, 5.0],
        jac=ad.jacobian(circle),
        hess=ad.hessian(weighted_circle),
    )
    result = minimize(
        linear,
        np.array([-2.0, -0.5]),
        method="trust-constr",
        jac=ad.grad(linear),
        hess=ad.hessian(linear),
        constraints=constraint,
    )
    assert_allclose(result.x, -1.0, atol=ATOL_BARRIER)


def test_weighted_hessian_of_constraints():
    x, v = np.array([0.3, -0.7]), np.array([2.0, 5.0])
    assert_close(ad.hessian(weighted_circle)(x, v), np.array([[4.0, 5.0], [5.0, 4.0]]))


def test_slsqp_with_constraints():
    constraints = [
        {"type": "eq", "fun": lambda x: circle(x)[0] - 2.0, "jac": ad.grad(circle_residual)},
        {"type": "ineq", "fun": below, "jac": ad.grad(below)},
    ]
    result = minimize(
        linear,
        np.array([-2.0, -0.5]),
        method="SLSQP",
        jac=ad.grad(linear),
        constraints=constraints,
        options={"ftol": 1e-14},
    )
    assert result.success
    assert_allclose(result.x, -1.0, atol=ATOL_MINIMUM)


def circle_residual(x):
    return x[0] ** 2 + x[1] ** 2 - 2.0


def below(x):
    return 3.0 - x[0]


def test_linear_constraint():
    result = minimize(
        nearly_quadratic,
        np.zeros(2),
        method="trust-constr",
        jac=ad.grad(nearly_quadratic),
        hess=ad.hessian(nearly_quadratic),
        constraints=LinearConstraint([[1.0, 1.0]], 0.0, 1.0),
    )
    assert_allclose(result.x, 0.5, atol=ATOL_BARRIER)


# Roots and fits


def intersection(x):
    """A circle and a parabola: x1 = x0^2 and |x|^2 = 2, at (1, 1)."""
    return [x[0] ** 2 + x[1] ** 2 - 2.0, x[1] - x[0] ** 2]


def intersection_arrays(x, radius):
    return np.array([x[0] ** 2 + x[1] ** 2 - radius, x[1] - x[0] ** 2])


@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_root(method):
    result = root(intersection, [2.0, 0.5], jac=ad.jacobian(intersection), method=method)
    assert result.success
    assert_allclose(result.x, 1.0, atol=1e-9)


def test_root_with_value_and_jacobian():
    result = root(
        ad.value_and_jacobian(intersection_arrays), np.array([2.0, 0.5]), args=(2.0,), jac=True
    )
    assert result.success
    assert_allclose(result.x, 1.0, atol=1e-9)


def cubic(x, a):
    return x**3 - a


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("newton", {"fprime": ad.derivative(cubic)}),
        ("halley", {"fprime": ad.derivative(cubic), "fprime2": ad.derivative(cubic, 2)}),
    ],
    ids=["newton", "halley"],
)
def test_root_of_a_scalar_function(method, options):
    result = root_scalar(cubic, args=(7.0,), x0=2.0, method=method, **options)
    assert result.converged
    assert_allclose(result.root, 7.0 ** (1.0 / 3.0), rtol=1e-14)


def residuals(p, t, y):
    out = np.empty(t.size)
    for i in range(t.size):
        out[i] = p[0] * np.exp(-p[1] * t[i]) + p[2] - y[i]
    return out


TRUE = np.array([2.5, 1.3, 0.5])
TIMES = np.linspace(0.0, 4.0, 25)
DATA = residuals(TRUE, TIMES, np.zeros(25))


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_least_squares(method):
    result = least_squares(
        residuals, np.ones(3), jac=ad.jacobian(residuals), method=method, args=(TIMES, DATA)
    )
    assert result.success
    assert_allclose(result.x, TRUE, rtol=1e-7)
    assert result.jac.shape == (25, 3)


def test_least_squares_with_a_robust_loss():
    result = least_squares(
        residuals,
        np.ones(3),
        jac=ad.jacobian(residuals),
        loss="soft_l1",
        bounds=(0.0, 10.0),
        kwargs={"t": TIMES, "y": DATA},
    )
    assert_allclose(result.x, TRUE, rtol=1e-6)


def decay(t, a, b, c):
    return a * np.exp(-b * t) + c


def decay_loop(t, a, b):
    out = np.zeros(t.size)
    for i in range(t.size):
        out[i] = a * math.exp(-b * t[i])
    return out


def test_curve_fit():
    """SciPy wants an (m, n) matrix: one column for each parameter."""
    columns = ad.jacobian(decay, (1, 2, 3))

    def jac(t, *p):
        return np.stack(columns(t, *p), axis=-1)

    found, covariance = curve_fit(decay, TIMES, DATA, p0=np.ones(3), jac=jac)
    assert_allclose(found, TRUE, rtol=1e-7)
    assert np.all(np.diag(covariance) < 1e-12)
    t, (a, b, _) = TIMES, TRUE
    expected = np.stack([np.exp(-b * t), -a * t * np.exp(-b * t), np.ones(25)], axis=-1)
    assert_close(jac(t, *TRUE), expected)


def test_curve_fit_of_a_loop_with_weights():
    data = decay_loop(TIMES, 2.0, 0.7)
    columns = ad.jacobian(decay_loop, (1, 2))
    found, _ = curve_fit(
        decay_loop,
        TIMES,
        data,
        p0=[1.0, 1.0],
        sigma=np.linspace(0.5, 1.0, 25),
        jac=lambda t, *p: np.stack(columns(t, *p), axis=-1),
    )
    assert_allclose(found, [2.0, 0.7], rtol=1e-7)


def test_curve_fit_of_a_model_with_star_arguments():
    def polynomial(t, *p):
        s = np.zeros(t.size)
        for k in range(len(p)):
            s += p[k] * t**k
        return s

    columns = ad.jacobian(polynomial, (1, 2, 3))
    data = polynomial(TIMES, 1.0, -2.0, 0.5)
    found, _ = curve_fit(
        polynomial,
        TIMES,
        data,
        p0=np.ones(3),
        jac=lambda t, *p: np.stack(columns(t, *p), axis=-1),
    )
    assert_allclose(found, [1.0, -2.0, 0.5], rtol=1e-7)
