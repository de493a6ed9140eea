"""Modes agree: forward, reverse and hyper-dual derivatives, products with them, all nestings.

Whatever order the chain rule is multiplied in, the derivative is one.  So two modes check each
other at every point, also where nobody has a closed form, as for the random programs below.
"""

import functools
import itertools
import math

import numba
import numpy as np
import pytest
from scenarios import (
    SCENARIOS,
    assert_close,
    assert_plain,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_hessian,
)

import dualtape as ad

# The modes add the same products of partials in different orders.
RTOL_AGREEMENT = 1e-13
# Newton's method stops at steps of 1e-13, and a second derivative sees its square root's square.
RTOL_NEWTON = 1e-11

MODES = ("forward", "reverse")
slow = pytest.mark.slow


@pytest.fixture
def rng():
    return np.random.default_rng(20240619)


def combinations(depth, quick):
    """Return every choice of modes for so many levels, innermost first."""
    quick = {*quick, ("forward",) * depth}
    return [
        pytest.param(*modes, marks=[slow] * (modes not in quick), id="-in-".join(modes))
        for modes in itertools.product(MODES, repeat=depth)
    ]


def pairs(*quick):
    return pytest.mark.parametrize(("inner", "outer"), combinations(2, quick))


REVERSE = ("reverse", "reverse")


def some(quick, wanted):
    """Return scenarios as parameters; those that are not quick are slow."""
    return [
        pytest.param(scenario, id=name, marks=[slow] * (name not in quick))
        for name, scenario in SCENARIOS.items()
        if wanted(scenario)
    ]


def is_of_one_array(scenario):
    return scenario.is_scalar and isinstance(scenario.args[0], np.ndarray)


# Every scenario


@pytest.mark.parametrize("scenario", some({"of_matrix", "polar_list"}, lambda scenario: True))
def test_values_and_first_derivatives(scenario):
    transform = ad.value_and_grad if scenario.is_scalar else ad.value_and_jacobian
    value, derivative = transform(scenario.f, mode="forward")(*scenario.args)
    same_value, reverse = transform(scenario.f, mode="reverse")(*scenario.args)
    assert_close(reverse, derivative, RTOL_AGREEMENT)
    for found in (value, same_value):
        assert_plain(found, scenario.f, *scenario.args, terms=scenario.blas_terms)


@pytest.mark.parametrize(
    "scenario", some({"sum_of_cumulative_products"}, lambda scenario: scenario.is_scalar)
)
def test_hyper_dual_and_reverse_second_derivatives(scenario):
    """Value, gradient and Hessian; the gradient of forward mode is a third one."""
    forward = ad.value_grad_hessian(scenario.f, mode="forward")(*scenario.args)
    reverse = ad.value_grad_hessian(scenario.f, mode="reverse")(*scenario.args)
    assert_close(reverse, forward, 10.0 * RTOL_AGREEMENT)  # twice as many factors
    gradient = ad.grad(scenario.f, mode="forward")(*scenario.args)
    assert_close(reverse[1], gradient, RTOL_AGREEMENT)


# Products with derivatives


def weighted(f):
    """Return x -> <w, f(x)>."""
    return lambda x, w: np.sum(w * f(x))


is_array = {"cumulative_products", "matrix_valued", "polar_array", "curve-of-a-scalar"}


@pytest.mark.parametrize(
    "scenario", some({"cumulative_products"}, lambda s: s.name in is_array | {"size-1-array"})
)
def test_dot_products(scenario, rng):
    """<w, J v> = <J' w, v>: forward on the left, reverse on the right."""
    (x,) = scenario.args
    backward = ad.grad(weighted(scenario.f), mode="reverse")
    for _ in range(3):
        v = rng.normal(size=np.shape(x)) if np.ndim(x) else float(rng.normal())
        w = rng.normal(size=np.shape(scenario.value))
        _, tangent = ad.jvp(scenario.f, (x,), (v,))
        right = float(np.sum(backward(x, w) * np.asarray(v)))
        largest = float(np.max(np.abs(w)) * np.max(np.abs(tangent)))
        assert abs(float(np.sum(w * tangent)) - right) <= RTOL_AGREEMENT * largest * np.size(w)


@pytest.mark.parametrize("scenario", some({"kepler"}, is_of_one_array))
def test_products_with_the_hessian(scenario, rng):
    x, *rest = scenario.args
    matrix = ad.hessian(scenario.f, mode="forward")(x, *rest)
    for _ in range(2):
        v = rng.normal(size=x.shape)
        expected = np.tensordot(matrix, v, axes=x.ndim)
        for mode in MODES:
            product = ad.hvp(scenario.f, mode=mode)(x, v, *rest)
            assert_close(product, expected, 10.0 * RTOL_AGREEMENT)


@slow
@pytest.mark.parametrize("n", [1, 4, 9])
def test_jacobian_of_the_gradient_is_the_hessian(n):
    x = np.linspace(-1.0, 1.2, n)
    expected = rosenbrock_hessian(x) if n > 1 else np.zeros((1, 1))
    for inner, outer in itertools.product(MODES, repeat=2):
        second = ad.jacobian(ad.grad(rosenbrock, mode=inner), mode=outer)
        assert_close(second(x), expected)


@pytest.mark.parametrize("f", [lambda x: 2.0 - np.sum(x), lambda x: np.mean(x + x)])
def test_second_derivatives_of_sums_of_few_elements(f):
    """They are spelled out as statements, whose partials are constants."""
    x = np.linspace(-1.0, 1.2, 3)
    second = ad.jacobian(ad.grad(f, mode="reverse"), mode="reverse")
    np.testing.assert_array_equal(second(x), np.zeros((3, 3)))


# Random programs: a machine with registers, whose programs overwrite them


def run(x, code):
    """Run instructions (operation, target, left, right) on registers; return their weighted sum.

    Every operation maps [-2, 2] to itself, so that nothing overflows however long a program is.
    """
    u = np.empty(2 * x.size)
    u[: x.size], u[x.size :] = x, 0.5 * x[::-1]
    total = 0.0
    for k in range(code.shape[0]):
        op, to, i, j = code[k]
        a, b = u[i], u[j]
        if op == 0:
            u[to] = 0.5 * (a + b)
        elif op == 1:
            u[to] = 0.5 * a * b
        elif op == 2:
            u[to] = np.sin(a) - 0.5 * np.cos(b)
        elif op == 3:
            u[to] = a / (1.0 + b * b)
        elif op == 4:
            u[to] = a if a > b else 0.5 * b
        elif op == 5:
            u[to], u[i] = u[i], u[to]
        elif op == 6:
            u[to] *= b * 0.5
        elif op == 7:
            u[i : i + 2] = 0.5 * u[j : j + 2]
        elif op == 8:
            u[to] = 0.25
        else:
            total += a * b
    for i in range(u.size):
        total += u[i] * (i + 1.0)
    return total


def random_program(rng, n):
    size = int(rng.integers(1, 80))
    code = rng.integers(0, 2 * n - 1, size=(size, 4))
    code[:, 0] = rng.integers(0, 10, size=size)
    return code


def test_random_programs(rng):
    """Compare all entries, relative to the largest that an intermediate derivative can have."""
    n, depends = 5, 0
    for _ in range(400):
        code, x = random_program(rng, n), rng.uniform(-1.0, 1.0, size=n)
        value, gradient = ad.value_and_grad(run, mode="forward")(x, code)
        same_value, reverse = ad.value_and_grad(run, mode="reverse")(x, code)
        assert same_value == value
        scale = 1.0 + float(np.max(np.abs(gradient)))
        np.testing.assert_allclose(reverse, gradient, rtol=0.0, atol=RTOL_AGREEMENT * scale)
        depends += np.count_nonzero(gradient)
    assert depends > 400 * n // 3


@slow
def test_second_derivatives_of_random_programs(rng):
    n, depends = 5, 0
    for _ in range(200):
        code, x = random_program(rng, n), rng.uniform(-1.0, 1.0, size=n)
        _, gradient, matrix = ad.value_grad_hessian(run, mode="forward")(x, code)
        _, reverse, same_matrix = ad.value_grad_hessian(run, mode="reverse")(x, code)
        scale = 1.0 + float(np.max(np.abs(gradient))) + float(np.max(np.abs(matrix)))
        np.testing.assert_allclose(reverse, gradient, rtol=0.0, atol=RTOL_AGREEMENT * scale)
        np.testing.assert_allclose(same_matrix, matrix, rtol=0.0, atol=RTOL_AGREEMENT * scale)
        assert same_matrix.tobytes() == np.ascontiguousarray(same_matrix.T).tobytes()
        depends += np.count_nonzero(matrix)
    assert depends > 200


# Nested derivatives: an inner derivative must not see the outer one's perturbation


def plus(y, x):
    return x + y


def times(y, x):
    return x * y


def cubed(y, x):
    return x * y**3


def squared(y, x):
    return x * y * y


def constant_in_y(y, x):
    return x


@slow
@pairs()
def test_perturbations_are_not_confused(inner, outer):
    """D(x -> x D(y -> x + y, 1), 1) == 1 and its kin, as entries of one array."""
    of_plus, of_times = ad.grad(plus, mode=inner), ad.grad(times, mode=inner)
    of_cubed, of_constant = ad.grad(cubed, mode=inner), ad.grad(constant_in_y, mode=inner)
    of_squared = ad.grad(squared, mode=inner)

    def f(x):
        return (
            x * of_plus(1.0, x),  # x
            x * of_times(1.0, x),  # x x
            x * of_cubed(x, x),  # 3 x^4
            of_constant(x, x),  # 0
            of_squared(x, x),  # 2 x x
            of_times(x, 2.0) + 3.0 * of_times(2.0, x) + of_times(2.0, 5.0) + of_times(x, x),
        )

    value, found = ad.value_and_jacobian(f, mode=outer)(2.0)
    np.testing.assert_array_equal(value, [2.0, 4.0, 48.0, 0.0, 8.0, 2.0 + 6.0 + 5.0 + 2.0])
    np.testing.assert_array_equal(found, [1.0, 4.0, 96.0, 0.0, 8.0, 4.0])


@pairs(("forward", "reverse"), ("reverse", "forward"), REVERSE)
def test_perturbations_of_a_sum_are_not_confused(inner, outer):
    """D(x -> x D(y -> x + y, 1), 1) == 1, not 2."""
    derivative = ad.grad(plus, mode=inner)

    def f(x):
        return x * derivative(1.0, x)

    assert ad.grad(f, mode=outer)(1.0) == 1.0
    assert ad.grad(f, mode=outer)(5.0) == 1.0


def quadratic(y, a):
    s = 0.0
    for i in range(y.size):
        for j in range(y.size):
            s += y[i] * a[i, j] * y[j]
    return s


@pairs(REVERSE)
def test_jacobian_of_the_gradient_of_a_quadratic_form(inner, outer, rng):
    y, a = np.arange(4.0), rng.normal(size=(4, 4))
    assert_close(ad.jacobian(ad.grad(quadratic, mode=inner), mode=outer)(y, a), a + a.T)


@slow
@pairs()
def test_jacobian_of_the_gradient_with_respect_to_the_matrix(inner, outer, rng):
    """d/dA of (A + A')y: dg_i/dA_jk = [i = j] y_k + [i = k] y_j."""
    y, a, eye = np.arange(1.0, 4.0), rng.normal(size=(3, 3)), np.eye(3)
    expected = np.einsum("ij,k->ijk", eye, y) + np.einsum("ik,j->ijk", eye, y)
    assert_close(ad.jacobian(ad.grad(quadratic, mode=inner), 1, mode=outer)(y, a), expected)


def quadratic_of_arrays(y, a):
    return y @ (a @ y)


@slow
@pairs()
def test_nested_derivatives_of_matrix_products(inner, outer, rng):
    y, a = np.arange(4.0), rng.normal(size=(4, 4))
    gradient = ad.grad(quadratic_of_arrays, mode=inner)
    assert_close(ad.jacobian(gradient, mode=outer)(y, a), a + a.T)


# First, second and third derivatives of x0^2 x1 + x1^3 at (2, 3)

X = np.array([2.0, 3.0])
VALUE, GRADIENT = 12.0 + 27.0, np.array([12.0, 4.0 + 27.0])
HESSIAN = np.array([[6.0, 4.0], [4.0, 18.0]])
THIRD = np.zeros((2, 2, 2))
THIRD[0, 0, 1] = THIRD[0, 1, 0] = THIRD[1, 0, 0] = 2.0
THIRD[1, 1, 1] = 6.0


def cubic_form(x):
    return x[0] * x[0] * x[1] + x[1] ** 3


@functools.cache
def half_square_of_the_gradient(inner):
    gradient = ad.grad(cubic_form, mode=inner)

    def f(x):
        g = gradient(x)
        return 0.5 * np.sum(g * g)

    return f


@pairs(("reverse", "forward"))
def test_gradient_of_the_norm_of_a_gradient(inner, outer):
    value, found = ad.value_and_grad(half_square_of_the_gradient(inner), mode=outer)(X)
    assert_close(value, float(0.5 * GRADIENT @ GRADIENT))
    assert_close(found, HESSIAN @ GRADIENT)


@slow
@pairs()
def test_hessian_of_the_norm_of_a_gradient(inner, outer):
    found = ad.hessian(half_square_of_the_gradient(inner), mode=outer)(X)
    assert_close(found, HESSIAN @ HESSIAN + THIRD @ GRADIENT)


@pairs()
def test_value_and_grad_inside(inner, outer):
    both = ad.value_and_grad(cubic_form, mode=inner)

    def f(x):
        value, gradient = both(x)
        return value * gradient[0]

    expected = GRADIENT * GRADIENT[0] + VALUE * HESSIAN[0]
    assert_close(ad.grad(f, mode=outer)(X), expected)


@slow
@pairs()
def test_hessian_inside(inner, outer):
    second = ad.hessian(cubic_form, mode=inner)

    def f(x):
        h = second(x)
        return h[0, 0] * h[1, 1] - h[0, 1] ** 2  # 12 x1^2 - 4 x0^2

    assert_close(ad.grad(f, mode=outer)(X), np.array([-16.0, 72.0]))


@slow
@pairs()
def test_hvp_inside(inner, outer):
    product = ad.hvp(cubic_form, mode=inner)

    def f(x, v):
        return np.sum(product(x, v))  # (2 x1 + 2 x0) v0 + (2 x0 + 6 x1) v1

    v = np.array([5.0, 7.0])
    expected = np.array([10.0 + 14.0, 10.0 + 42.0]), np.array([10.0, 22.0])
    assert_close(ad.grad(f, (0, 1), mode=outer)(X, v), expected)


@slow
@pairs()
def test_jacobian_inside(inner, outer):
    def swap(x):
        return np.array([x[0] * x[1], x[1] ** 2])

    first = ad.jacobian(swap, mode=inner)

    def f(x):
        j = first(x)
        return j[0, 0] * j[1, 1] - j[0, 1] * j[1, 0]  # 2 x1^2

    assert_close(ad.grad(f, mode=outer)(X), np.array([0.0, 12.0]))


@slow
@pairs()
def test_jacobian_of_the_hessian(inner, outer):
    assert_close(ad.jacobian(ad.hessian(cubic_form, mode=inner), mode=outer)(X), THIRD)


@slow
@pairs()
def test_hvp_of_an_entry_of_the_hessian(inner, outer):
    """Fourth derivatives of x0^2 x1^2, of four levels."""
    second = ad.hessian(lambda x: x[0] ** 2 * x[1] ** 2, mode=inner)

    def corner(x):
        return second(x)[0, 1]  # 4 x0 x1

    v = np.array([5.0, 7.0])
    assert_close(ad.hvp(corner, mode=outer)(X, v), 4.0 * v[::-1])


@slow
@pytest.mark.parametrize("outer", MODES)
def test_jvp_and_derivative_inside(outer):
    def f(x):
        value, tangent = ad.jvp(cubic_form, (x,), (x,))
        # homogeneous of degree 3: the first part is always 0
        return tangent - 3.0 * value + ad.derivative(cubed)(x[0], x[1])

    # derivative: 3 x1 x0^2
    assert_close(ad.grad(f, mode=outer)(X), np.array([6.0 * 2.0 * 3.0, 3.0 * 4.0]))


@slow
@pairs()
def test_parameters_of_an_inner_gradient(inner, outer):
    def energy(x, k):
        s = 0.0
        for i in range(x.size):
            s += k[i] * x[i] ** 2
        return s

    force = ad.grad(energy, mode=inner)

    def f(x, k):
        return force(x, k)

    k = np.array([3.0, 5.0])
    expected = np.diag(2.0 * k), np.diag(2.0 * X)
    assert_close(ad.jacobian(f, (0, 1), mode=outer)(X, k), expected)


@pairs()
def test_levels_meet_in_a_buffer(inner, outer):
    """An array made inside holds the numbers of the level of what is stored."""

    def through_a_buffer(y, x):
        work = np.zeros(2)
        work[0] = x * y
        work[1] = work[0] * y
        return work[1]  # x y^2

    derivative = ad.grad(through_a_buffer, mode=inner)

    def f(x):
        out = np.zeros(3)
        out[0] = x
        out[1] = derivative(x, x)  # 2 x^2
        out[2] = through_a_buffer(2.0, x)  # 4 x
        return out

    assert_close(ad.jacobian(f, mode=outer)(3.0), np.array([1.0, 12.0, 4.0]))


@pairs()
def test_branches_at_every_level(inner, outer):
    def one_or_the_other(y, x):
        return x * y if y > x else y * y

    derivative = ad.grad(one_or_the_other, mode=inner)

    def f(x):
        return derivative(2.0, x)  # x where 2 > x, else 4

    assert ad.grad(f, mode=outer)(1.0) == 1.0
    assert ad.grad(f, mode=outer)(3.0) == 0.0


@slow
@pairs()
def test_an_inner_derivative_in_a_loop(inner, outer):
    """A tape for every turn, while the outer one records."""
    derivative = ad.grad(squared, mode=inner)

    def f(x):
        y = x
        for _ in range(5):
            y = y + 0.1 * derivative(y, x)  # y + 0.2 x y
        return y  # x (1 + 0.2 x)^5

    x = 1.5
    expected = (1.0 + 0.2 * x) ** 5 + x * (1.0 + 0.2 * x) ** 4
    assert_close(ad.grad(f, mode=outer)(x), expected)


# Three and more levels


def fourth_power(x):
    return x**4


@pytest.mark.parametrize(
    ("first", "second", "third"), combinations(3, {("forward", "reverse", "reverse")})
)
def test_three_gradients(first, second, third):
    f = ad.grad(ad.grad(ad.grad(fourth_power, mode=first), mode=second), mode=third)
    assert_close(f(2.0), 48.0)


@pytest.mark.parametrize(("first", "second", "third"), combinations(3, ()))
def test_three_levels_with_every_variable_in_the_innermost(first, second, third):
    def innermost(z, y, x):
        return x * y**2 * z**3

    of_innermost = ad.grad(innermost, mode=first)

    def middle(y, x):
        return of_innermost(y, y, x) * x  # 3 x^2 y^4

    of_middle = ad.grad(middle, mode=second)

    def outer(x):
        return of_middle(x, x)  # 12 x^5

    assert_close(outer(1.5), 12.0 * 1.5**5)
    assert_close(ad.grad(outer, mode=third)(1.5), 60.0 * 1.5**4)


@pytest.mark.parametrize(("first", "second", "third"), combinations(3, ()))
def test_three_levels_of_sums(first, second, third):
    """D(x -> x D(y -> x y D(z -> x + y + z, 1), 1), 1): inner 1, middle x, outer 2 x."""

    def innermost(z, y, x):
        return x + y + z

    of_innermost = ad.grad(innermost, mode=first)

    def middle(y, x):
        return x * y * of_innermost(1.0, y, x)

    of_middle = ad.grad(middle, mode=second)

    def outer(x):
        return x * of_middle(1.0, x)

    assert ad.grad(outer, mode=third)(1.0) == 2.0


@slow
def test_a_tower_of_reverse_mode():
    f = np.exp
    for _ in range(4):
        f = ad.grad(f, mode="reverse")
    assert_close(f(0.5), math.exp(0.5))


# Newton's method with a derivative inside


def residual(y, x):
    return y**3 + y - x


@functools.cache
def newton(inner):
    slope = ad.grad(residual, mode=inner)

    def solve(x):
        y = 1.0 + 0.0 * x
        for _ in range(60):
            step = residual(y, x) / slope(y, x)
            y = y - step
            if abs(step) < 1e-13:
                break
        return y

    return solve


def solution(x):
    """Return y, y', y'' of y^3 + y = x by hand: y' = 1/(3 y^2 + 1), y'' = -6 y y'^3."""
    y = np.roots([1.0, 0.0, 1.0, -x])
    y = float(y[np.argmin(abs(y.imag))].real)
    first = 1.0 / (3.0 * y * y + 1.0)
    return y, first, -6.0 * y * first**3


@pairs(REVERSE)
def test_derivative_of_newtons_method(inner, outer):
    for x in (-3.0, 0.5, 2.5, 10.0):
        y, first, _ = solution(x)
        value, found = ad.value_and_grad(newton(inner), mode=outer)(x)
        assert_close(value, y, RTOL_NEWTON)
        assert_close(found, first, RTOL_NEWTON)


@slow
@pairs()
def test_second_derivative_of_newtons_method(inner, outer):
    for x in (-3.0, 0.5, 2.5, 10.0):
        assert_close(ad.hessian(newton(inner), mode=outer)(x), solution(x)[2], RTOL_NEWTON)


# Inside compiled code

rosenbrock_njit = numba.njit(rosenbrock)
rosenbrock_grad = ad.grad(rosenbrock, mode="reverse")


@numba.njit(cache=False)
def descend(x, rate, steps):
    for _ in range(steps):
        x = x - rate * rosenbrock_grad(x)
    return x


def test_reverse_gradient_as_a_global_of_njit_code():
    x = np.array([-1.0, 1.2])
    expected = x.copy()
    for _ in range(3):
        expected = expected - 1e-3 * rosenbrock_gradient(expected)
    np.testing.assert_allclose(descend(x, 1e-3, 3), expected, rtol=1e-13)


@numba.njit
def scaled_njit(x, scale):
    return scale * np.sum(x * x)


@numba.njit
def doubled(x):
    return 2.0 * x * x


@slow
def test_first_order_transforms_inside_njit_code():
    @numba.njit(cache=False)
    def first(x):
        value, gradient = ad.value_and_grad(scaled_njit, mode="reverse")(x, 2.0)
        rows = ad.jacobian(doubled, mode="reverse")(x)
        values, same_rows = ad.value_and_jacobian(doubled, mode="reverse")(x)
        pair = ad.grad(scaled_njit, (0, 1), mode="reverse")(x, 2.0)
        return value, gradient, rows, values, same_rows, pair

    value, gradient, rows, values, same_rows, pair = first(X)
    assert value == 26.0
    assert_close(gradient, 4.0 * X)
    assert_close(rows, np.diag(4.0 * X))
    np.testing.assert_array_equal(values, 2.0 * X * X)
    assert_close(same_rows, np.diag(4.0 * X))
    assert_close(pair, (4.0 * X, 13.0))


@slow
def test_second_order_reverse_inside_njit_code():
    @numba.njit(cache=False)
    def second(x, v):
        value, gradient, matrix = ad.value_grad_hessian(scaled_njit, mode="reverse")(x, 2.0)
        again = ad.hessian(scaled_njit, mode="reverse")(x, 2.0)
        product = ad.hvp(scaled_njit, mode="reverse")(x, v, 2.0)
        nested = ad.jacobian(ad.grad(rosenbrock_njit, mode="reverse"), mode="reverse")(x)
        return value, gradient, matrix, again, product, nested

    value, gradient, matrix, again, product, nested = second(X, X)
    assert value == 26.0
    assert_close(gradient, 4.0 * X)
    assert_close(matrix, 4.0 * np.eye(2))
    assert_close(again, 4.0 * np.eye(2))
    assert_close(product, 4.0 * X)
    assert_close(nested, rosenbrock_hessian(X))


@pytest.mark.parametrize("mode", [*MODES, "auto"])
def test_every_mode_by_name(mode):
    assert_close(ad.grad(rosenbrock, mode=mode)(X), rosenbrock_gradient(X))
