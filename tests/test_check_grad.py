"""`check_grad` finds wrong derivatives, and `custom_rule` makes right ones of right jets."""

# A rule belongs to the function that user code calls, so lambdas call it.
# ruff: noqa: PLW0108

import math
import re

import numba
import numpy as np
import pytest
import scipy.special
from scenarios import SCENARIOS, assert_close, rosenbrock, rosenbrock_gradient

import dualtape as ad

X = np.array([0.5, -1.0, 2.0])
# Smaller than any mistake one makes, larger than the errors of differences.
SMALL = 1e-5


def mismatch(message):
    return pytest.raises(ad.DerivativeMismatchError, match=message)


# Right derivatives

CHECKED = ["rosenbrock-3", "logistic_loss", "log_sum_exp", "of_matrix", "kepler"]


@pytest.mark.parametrize("name", CHECKED)
def test_right_gradients_pass(name):
    scenario = SCENARIOS[name]
    assert ad.check_grad(scenario.f, *scenario.args, order=1) is None


@pytest.mark.parametrize("name", ["rosenbrock-3", "of_scalar", "size-1"])
def test_right_second_derivatives_pass(name):
    scenario = SCENARIOS[name]
    assert ad.check_grad(scenario.f, *scenario.args) is None


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=repr)
def test_every_scenario_passes(scenario):
    if isinstance(scenario.args[0], tuple):
        pytest.skip("check_grad takes numbers and arrays")
    assert ad.check_grad(scenario.f, *scenario.args) is None


def test_array_valued_functions_pass():
    assert ad.check_grad(lambda x: np.sin(x) * x[0], X, order=1) is None
    assert ad.check_grad(lambda x: np.outer(x, x), X[:2], order=1) is None


def test_scalars_and_integers_pass():
    assert ad.check_grad(lambda t: math.sin(t), 0.5) is None
    assert ad.check_grad(lambda t: t**3, 2) is None
    assert ad.check_grad(lambda x: np.sum(x**3), [1, 2]) is None


def test_argnums():
    def f(a, x, b):
        return a * np.sum(x**3) * b

    assert ad.check_grad(f, 2.0, X, 3.0, argnums=1, order=1) is None
    assert ad.check_grad(f, 2.0, X, 3.0, argnums=2, order=1) is None
    assert ad.check_grad(f, 2.0, X, 3.0, argnums=-1) is None


def test_large_and_small_numbers_pass():
    assert ad.check_grad(lambda x: np.sum(1e8 * x**2), 1e4 * X, order=1) is None
    assert ad.check_grad(lambda x: np.sum(np.exp(x)), 1e-6 * X, order=1) is None


def test_the_point_is_unchanged():
    x = X.copy()
    ad.check_grad(rosenbrock, x)
    np.testing.assert_array_equal(x, X)


def test_right_hand_written_derivative_passes():
    assert ad.check_grad(rosenbrock, X, derivative=rosenbrock_gradient) is None


# Wrong derivatives, written by hand


def off_in_one_entry(x):
    g = rosenbrock_gradient(x)
    g[1] *= 1.0 + SMALL
    return g


def swapped(x):
    return rosenbrock_gradient(x)[[1, 0, 2]]


def missing_term(x):
    g = rosenbrock_gradient(x)
    g[:-1] += 2.0 * (1.0 - x[:-1])
    return g


def wrong_sign(x):
    return -rosenbrock_gradient(x)


def not_a_number(x):
    g = rosenbrock_gradient(x)
    g[2] = np.nan
    return g


WRONG = {
    off_in_one_entry: "(1,)",
    swapped: "(0,)",
    missing_term: "(0,)",
    wrong_sign: "(0,)",
    not_a_number: "(2,)",
}


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("wrong", WRONG, ids=lambda f: f.__name__)
def test_wrong_gradients_are_found(wrong, order):
    message = rf"the first derivative is wrong at entry {re.escape(WRONG[wrong])}: "
    with mismatch(message) as caught:
        ad.check_grad(rosenbrock, X, order=order, derivative=wrong)
    entry = int(WRONG[wrong][1])
    assert repr(float(wrong(X)[entry])) in str(caught.value)


def test_wrong_derivative_of_a_scalar():
    with mismatch(r"first derivative is wrong at entry \(\): 1\.5"):
        ad.check_grad(lambda t: t * t, 1.0, derivative=lambda t: 1.5)


def test_wrong_entry_of_a_jacobian():
    def f(x):
        return x * x[0]

    def transposed(x):
        return ad.jacobian(f)(x).T

    with mismatch(r"first derivative is wrong at entry \(\d, \d\)"):
        ad.check_grad(f, X, derivative=transposed)


def test_rtol():
    ad.check_grad(rosenbrock, X, order=1, derivative=off_in_one_entry, rtol=1e-3)
    with mismatch("first derivative"):
        ad.check_grad(rosenbrock, X, order=1, derivative=off_in_one_entry, rtol=1e-7)


def test_a_gradient_of_the_wrong_shape_is_found():
    with pytest.raises((ad.DualtapeError, ValueError, IndexError)):
        ad.check_grad(rosenbrock, X, derivative=lambda x: rosenbrock_gradient(x)[:2])


# Custom rules.  A rule is remembered for its function, so each test has functions of its own.


def softplus_functions():
    def softplus(x):
        return math.log(1.0 + math.exp(x))

    def jet(x):
        s = 1.0 / (1.0 + math.exp(-x))
        return max(x, 0.0) + math.log1p(math.exp(-abs(x))), s, s * (1.0 - s)

    return softplus, jet


def logistic(x):
    return 1.0 / (1.0 + math.exp(-x))


def test_custom_rule():
    softplus, jet = softplus_functions()
    assert ad.custom_rule(softplus, jet) is softplus

    def f(x):
        return softplus(x) * x

    s = logistic(0.5)
    assert_close(ad.derivative(f)(0.5), s * 0.5 + softplus(0.5))
    assert_close(ad.derivative(f, 2)(0.5), 0.5 * s * (1.0 - s) + 2.0 * s)
    assert_close(ad.derivative(lambda x: softplus(x))(800.0), 1.0)  # the function itself overflows
    ad.check_grad(f, 0.5)


@pytest.mark.parametrize("wrap", [lambda f: f, numba.njit], ids=["plain", "njit"])
def test_a_new_rule_replaces_what_was_compiled_before(wrap):
    square = wrap(lambda x: x * x)

    def f(x):
        return square(x) * x

    derivative, second = ad.derivative(f), ad.hessian(f)
    assert (derivative(2.0), second(2.0)) == (12.0, 12.0)
    ad.custom_rule(square, lambda x: (5.0 * x, 5.0, 0.0))
    assert (derivative(2.0), ad.derivative(f)(2.0), second(2.0)) == (20.0, 20.0, 10.0)
    ad.custom_rule(square, lambda x: (7.0 * x, 7.0, 0.0))
    assert (derivative(2.0), ad.derivative(f)(2.0), second(2.0)) == (28.0, 28.0, 14.0)


def test_custom_rule_in_arrays_loops_and_calls():
    softplus, jet = softplus_functions()
    ad.custom_rule(softplus, jet)

    def inner(v, factor):
        return factor * softplus(v)

    def f(x):
        out = np.zeros(x.size)
        for i in range(x.size):
            out[i] = inner(x[i], 2.0) + softplus(1.0)
        return np.sum(out * out)

    ad.check_grad(f, X, order=1)
    value, gradient, hessian = ad.value_grad_hessian(f)(X)
    s = np.array([logistic(v) for v in X])
    out = np.array([2.0 * softplus(v) + softplus(1.0) for v in X])
    assert_close(value, float(np.sum(out * out)))
    assert_close(gradient, 4.0 * out * s)
    assert_close(hessian, np.diag(8.0 * s * s + 4.0 * out * s * (1.0 - s)))


def test_custom_rule_is_differentiated_when_nested():
    softplus, jet = softplus_functions()
    ad.custom_rule(softplus, jet)
    s = logistic(0.5)
    s1 = s * (1.0 - s)
    s11 = s1 * (1.0 - 2.0 * s)
    assert_close(ad.derivative(lambda x: softplus(x), 3)(0.5), s11)
    fourth = s11 * (1.0 - 2.0 * s) - 2.0 * s1 * s1
    assert_close(ad.derivative(lambda x: softplus(x), 4)(0.5), fourth)

    def inner(y, x):
        return softplus(x * y)

    def outer(x):
        return ad.derivative(inner)(2.0, x)  # x s(2x)

    s = logistic(1.0)
    assert_close(ad.derivative(outer)(0.5), s + 0.5 * 2.0 * s * (1.0 - s))


def test_custom_rule_of_an_njit_function():
    @numba.njit
    def square(x):
        return x * x

    @numba.njit
    def jet(x):
        return x * x, 20.0 * x, 20.0  # wrong on purpose: shows that the rule is used

    ad.custom_rule(square, jet)

    @numba.njit
    def f(x):
        return square(x) + x * x

    assert_close(ad.derivative(f)(3.0), 60.0 + 6.0)
    assert_close(ad.derivative(f, 2)(3.0), 22.0)
    assert f(3.0) == 18.0


def test_custom_rule_of_two_arguments():
    def area(x, y):
        return x * x * y

    def jet(x, y):
        return x * x * y, 2.0 * x * y, x * x, 2.0 * y, 2.0 * x, 0.0

    ad.custom_rule(area, jet)

    def both(x):
        return area(x[0], x[1]) * x[1]

    ad.check_grad(both, X)
    assert_close(ad.hessian(both)(X)[:2, :2], np.array([[2.0, -2.0], [-2.0, 0.5]]))
    assert_close(ad.derivative(lambda x: area(x, 3.0))(2.0), 12.0)
    assert_close(ad.derivative(lambda y: area(2.0, y))(3.0), 4.0)
    assert_close(ad.derivative(lambda t: area(t, t), 2)(2.0), 12.0)
    assert_close(ad.derivative(lambda t: area(t, t), 3)(2.0), 6.0)


def test_custom_rule_of_a_function_unknown_to_numba():
    """exprel(x) = (e^x - 1)/x; Numba has no implementation, SciPy's runs in Python only."""

    def jet(x):
        f = math.expm1(x) / x
        f1 = (math.exp(x) - f) / x
        return f, f1, (math.exp(x) - 2.0 * f1) / x

    def f(x):
        return scipy.special.exprel(x[0]) * x[1]

    with pytest.raises(ad.MissingRuleError, match="exprel"):
        ad.grad(f)(X)
    ad.custom_rule(scipy.special.exprel, jet)
    value, gradient = ad.value_and_grad(f)(X)  # the transforms asked before know it too
    assert_close(value, float(f(X)))
    exprel = math.expm1(0.5) / 0.5
    assert_close(gradient, np.array([-(math.exp(0.5) - exprel) / 0.5, exprel, 0.0]))
    assert_close(ad.grad(f)(X), gradient)
    ad.check_grad(f, X)


def test_custom_rule_of_a_function_written_in_pure_python():
    def table(x):
        return {"value": [x**k for k in range(4)]}["value"][-1]

    ad.custom_rule(table, lambda x: (x * x * x, 3.0 * x * x, 6.0 * x))
    ad.check_grad(lambda x: table(x[0]) * x[1], X)
    assert_close(ad.derivative(lambda x: table(x), 2)(2.0), 12.0)


def test_a_zero_partial_stays_zero_through_an_infinite_derivative():
    def root(x):
        return math.sqrt(x)

    def jet(x):
        f = math.sqrt(x)
        return f, 0.5 / f, -0.25 / (f * f * f)

    ad.custom_rule(root, jet)
    assert_close(ad.grad(lambda x: root(x[0] * x[0]) + x[1])(np.zeros(2)), np.array([0.0, 1.0]))
    assert ad.derivative(lambda x: root(x))(0.0) == math.inf


def first_wrong(x):
    return x * x * x, 3.0 * x * x * (1.0 + SMALL), 6.0 * x


def second_wrong(x):
    return x * x * x, 3.0 * x * x, 6.0 * x * (1.0 + SMALL)


def second_missing(x):
    return x * x * x, 3.0 * x * x, 0.0


@pytest.mark.parametrize(
    ("jet", "order"),
    [(first_wrong, "first"), (second_wrong, "second"), (second_missing, "second")],
    ids=["first", "second", "missing"],
)
def test_wrong_jets_are_found(jet, order):
    def cube(x):
        return x**3

    ad.custom_rule(cube, jet)

    def f(x):
        return np.sum(x) + cube(x[1])

    with mismatch(f"the {order} derivative is wrong at entry"):
        ad.check_grad(f, X)
    if order == "first":
        with mismatch("first derivative"):
            ad.check_grad(f, X, order=1)


def swapped_first(x, y):
    return x * x * y, x * x, 2.0 * x * y, 2.0 * y, 2.0 * x, 0.0


def swapped_second(x, y):
    return x * x * y, 2.0 * x * y, x * x, 0.0, 2.0 * x, 2.0 * y


def mixed_missing(x, y):
    return x * x * y, 2.0 * x * y, x * x, 2.0 * y, 0.0, 0.0


@pytest.mark.parametrize(
    ("jet", "order"),
    [(swapped_first, "first"), (swapped_second, "second"), (mixed_missing, "second")],
    ids=lambda p: getattr(p, "__name__", p),
)
def test_wrong_binary_jets_are_found(jet, order):
    def area(x, y):
        return x * x * y

    ad.custom_rule(area, jet)

    def f(x):
        return area(x[0], x[1]) + x[2]

    with mismatch(f"the {order} derivative is wrong at entry"):
        ad.check_grad(f, X, order=1 if order == "first" else 2)


def test_a_new_rule_replaces_the_old_one():
    def cube(x):
        return x**3

    ad.custom_rule(cube, lambda x: (x**3, 1.0 * x, 1.0))
    assert_close(ad.derivative(lambda x: cube(x))(2.0), 2.0)
    ad.custom_rule(cube, lambda x: (x**3, 3.0 * x**2, 6.0 * x))
    assert_close(ad.derivative(lambda x: cube(x))(2.0), 12.0)


# Wrong values


def test_a_wrong_value_is_found():
    def half(x):
        return 0.5 * x

    ad.custom_rule(half, lambda x: (0.5 * x + 1e-6, 0.5, 0.0))
    message = r"the value is wrong: 1.000001 is computed with derivatives, 1.0 without"
    with mismatch(message):
        ad.check_grad(lambda x: half(x), 2.0)
    with mismatch(r"the value is wrong at entry \(1,\)"):
        ad.check_grad(lambda x: np.array([x, half(x)]), 2.0)


def test_values_that_are_nan_agree():
    assert ad.check_grad(lambda x: np.array([x, x * np.nan]), 2.0, order=1) is None
