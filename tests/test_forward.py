"""First derivatives in forward mode: `grad`, `jacobian`, `jvp` and `derivative`."""

import gc
import math
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
import pytest
from numba.core.runtime import rtsys
from scenarios import (
    SCENARIOS,
    Network,
    assert_close,
    assert_plain,
    cubes,
    logistic_loss,
    njit_of,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_value,
    smoother,
)

import dualtape as ad

CHUNKS = (1, 2, 4, 8, 16)
CALLS = 1000
THREADS = 4


@pytest.fixture
def rng():
    return np.random.default_rng(20240611)


def transforms_of(scenario):
    """Return the transforms for this kind of result: derivative, value and derivative."""
    if scenario.is_scalar:
        return ad.grad, ad.value_and_grad
    return ad.jacobian, ad.value_and_jacobian


def matrix():
    """Every scenario x chunk size x form x transform; of each one case runs always."""
    for i, scenario in enumerate(SCENARIOS.values()):
        for chunk in CHUNKS:
            for form in ("plain", "njit"):
                for with_value in (False, True):
                    quick = [(8, "plain", True), (2, "njit", False)][i % 2]
                    yield pytest.param(
                        scenario,
                        chunk,
                        form,
                        with_value,
                        id=f"{scenario}-chunk{chunk}-{form}{'-value' if with_value else ''}",
                        marks=[] if (chunk, form, with_value) == quick else pytest.mark.slow,
                    )


@pytest.mark.parametrize(("scenario", "chunk", "form", "with_value"), list(matrix()))
def test_scenario(scenario, chunk, form, with_value):
    f = scenario.f if form == "plain" else njit_of(scenario.f)
    transform = transforms_of(scenario)[with_value](f, chunk_size=chunk)
    result = transform(*scenario.args)
    if not with_value:
        assert_close(result, scenario.first)
        return
    assert type(result) is tuple
    value, derivative = result
    assert_close(derivative, scenario.first)
    assert_close(value, scenario.value)
    assert_plain(value, scenario.f, *scenario.args, terms=scenario.blas_terms)


def bind(f, rest):
    """Return f with its arguments after the first fixed, as closure values."""
    if not rest:
        return f
    a = rest[0]
    if len(rest) == 1:
        return lambda x: f(x, a)
    b = rest[1]
    if len(rest) == 2:
        return lambda x: f(x, a, b)
    c = rest[2]
    return lambda x: f(x, a, b, c)


def direction_like(x, rng):
    if isinstance(x, tuple):
        parts = [direction_like(part, rng) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    return rng.normal(size=np.shape(x)) if np.ndim(x) else float(rng.normal())


def product(derivative, direction, value):
    """Return J v from a Jacobian (or gradient) in the structure of the argument."""
    if isinstance(direction, tuple):
        pairs = zip(derivative, direction, strict=True)
        return sum(product(part, v, value) for part, v in pairs)
    return np.tensordot(derivative, direction, axes=np.ndim(direction))


QUICK_JVPS = {
    "rosenbrock-10", "rosenbrock_arrays-10", "kepler", "of_matrix", "of_scalar",
    "network-namedtuple", "polar_tuple", "polar_list", "curve-of-a-scalar",
}  # fmt: skip


@pytest.mark.parametrize(
    "scenario",
    [
        pytest.param(scenario, id=name, marks=[pytest.mark.slow] * (name not in QUICK_JVPS))
        for name, scenario in SCENARIOS.items()
    ],
)
def test_jvp_is_jacobian_times_tangent(scenario, rng):
    x, *rest = scenario.args
    f = bind(njit_of(scenario.f), rest)
    v = direction_like(x, rng)
    value, tangent = ad.jvp(f, (x,), (v,))
    assert_plain(value, scenario.f, *scenario.args, terms=scenario.blas_terms)
    if isinstance(value, tuple | list):  # jvp keeps what a Jacobian makes an array of
        value, tangent = np.array(value), np.array(tangent)
    expected = product(scenario.first, v, scenario.value)
    assert_close(tangent, float(expected) if np.ndim(expected) == 0 else expected)


def test_jvp_of_several_arguments():
    def f(x, y):
        return x[0] * y + x[1] * y**2

    value, tangent = ad.jvp(f, (np.array([2.0, 3.0]), 0.5), (np.array([1.0, -1.0]), 4.0))
    assert value == 2.0 * 0.5 + 3.0 * 0.25
    # y x_dot0 + y^2 x_dot1 + (x0 + 2 x1 y) y_dot
    assert tangent == 0.5 - 0.25 + (2.0 + 3.0) * 4.0


def test_jvp_takes_lists_and_integers():
    def f(x, y):
        return x[0] * x[1] * y

    assert ad.jvp(f, ([2, 3], 4), ([1, 0], 1)) == (24.0, 3.0 * 4.0 + 6.0)


# argnums


def weighted(x, y, z):
    return x[0] * y + x[1] * y * y * z[0, 0]


X, Y, Z = np.array([2.0, -3.0]), 0.5, np.array([[7.0]])
GRADIENTS = (
    np.array([0.5, 0.25 * 7.0]),
    2.0 - 3.0 * 2.0 * 0.5 * 7.0,
    np.array([[-3.0 * 0.25]]),
)


@pytest.mark.parametrize("argnums", [0, 1, 2, -1, -2, -3, np.int64(1)])
def test_one_argnum(argnums):
    assert_close(ad.grad(weighted, argnums)(X, Y, Z), GRADIENTS[argnums])


@pytest.mark.parametrize("argnums", [(0,), (1,), (0, 1, 2), (2, 0), (-1, 0), (1, -1)], ids=repr)
def test_tuple_of_argnums(argnums):
    expected = tuple(GRADIENTS[i] for i in argnums)
    assert_close(ad.grad(weighted, argnums)(X, Y, Z), expected)
    value, gradient = ad.value_and_grad(weighted, argnums=argnums)(X, Y, Z)
    assert value == weighted(X, Y, Z)
    assert_close(gradient, expected)


def test_jacobian_with_argnums():
    def f(x, y):
        return np.array([x[0] * y, x[1] - y, y**3])

    expected = np.array([[0.5, 0.0], [0.0, 1.0], [0.0, 0.0]]), np.array([2.0, -1.0, 0.75])
    assert_close(ad.jacobian(f, (0, 1))(X, Y), expected)
    assert_close(ad.jacobian(f, -1)(X, Y), expected[1])
    value, jacobian = ad.value_and_jacobian(f, (1, 0))(X, Y)
    np.testing.assert_array_equal(value, f(X, Y))
    assert_close(jacobian, expected[::-1])


def test_argnums_of_a_tuple_and_an_array():
    def f(p, x):
        return p[0] * x[0] + p[1][0] * x[1]

    gradient = ad.grad(f, (0, 1))((2.0, np.array([3.0])), X)
    assert_close(gradient, ((2.0, np.array([-3.0])), np.array([2.0, 3.0])))


def test_the_same_array_twice_and_overwritten():
    def f(x, y):
        x[0] = 2.0 * x[0]  # y must not see this
        y[1] = x[0] * y[1]
        return x[0] + y[0] + x[1] * y[1]

    x = np.array([3.0, 5.0])
    before = x.copy()
    # f = 2 x0 + y0 + x1 (2 x0 y1)
    expected = np.array([2.0 + 2.0 * 25.0, 2.0 * 3.0 * 5.0]), np.array([1.0, 2.0 * 5.0 * 3.0])
    assert_close(ad.grad(f, (0, 1))(x, x), expected)
    np.testing.assert_array_equal(x, before)


# The arguments after the call


def overwrites(x, scratch, out):
    for i in range(x.size):
        scratch[i] = x[i] * x[i]
        x[i] = scratch[i] * out[i]
    out[0] = x[0]
    return np.sum(x) + out[0]


def test_jvp_and_hvp_leave_arguments_unchanged():
    args = np.array([1.0, 2.0]), np.zeros(2), np.ones(2)
    before = [arg.copy() for arg in args]
    v = np.array([1.0, -1.0])
    assert_close(ad.hvp(overwrites)(args[0], v, *args[1:]), np.array([4.0, -2.0]))
    zero = np.zeros(2)
    value, tangent = ad.jvp(overwrites, args, (v, zero, zero))
    assert value == 6.0
    assert tangent == 2.0 * 2.0 - 4.0
    for arg, original in zip((*args, v), (*before, [1.0, -1.0]), strict=True):
        np.testing.assert_array_equal(arg, original)


def test_scratch_arrays_carry_derivatives():
    def f(x, scratch):
        scratch[0] = x[0]
        for i in range(1, x.size):
            scratch[i] = scratch[i - 1] * x[i]
        return scratch[-1]

    x = np.array([2.0, 3.0, 5.0])
    assert_close(ad.grad(f)(x, np.zeros(3)), np.array([15.0, 10.0, 6.0]))
    assert_close(ad.grad(f)(x, np.full(3, np.nan)), np.array([15.0, 10.0, 6.0]))


@pytest.mark.parametrize("chunk", [1, 8])
def test_integer_scratch_is_as_new_in_every_sweep(chunk):
    def f(x, counts):
        for i in range(x.size):
            if x[i] > 0.0:
                counts[0] += 1
        return counts[0] * np.sum(x)

    counts = np.zeros(1, dtype=np.int64)
    value, gradient = ad.value_and_grad(f, chunk_size=chunk)(np.array([1.0, -1.0, 2.0]), counts)
    assert value == 4.0
    assert_close(gradient, np.full(3, 2.0))
    assert counts[0] == 0


@pytest.mark.parametrize("chunk", [1, 8])
def test_boolean_scratch_is_as_new_in_every_sweep(chunk):
    def f(x, seen):
        s = 0.0
        for i in range(x.size):
            if not seen[i]:
                s += x[i] ** 2
            seen[i] = True
        return s

    seen = np.array([False, True, False])
    gradient = ad.grad(f, chunk_size=chunk)(np.array([1.0, -1.0, 2.0]), seen)
    assert_close(gradient, np.array([2.0, 0.0, 4.0]))
    np.testing.assert_array_equal(seen, [False, True, False])


# No memory of earlier calls


def test_a_gradient_does_not_depend_on_an_earlier_call(rng):
    def f(x):
        if x[0] > 0.0:
            out = np.empty(x.size)  # not initialised: nothing may be left from another call
            for i in range(x.size):
                out[i] = x[i] ** 2
            return np.sum(out)
        return x[1] ** 3

    gradient = ad.grad(f)
    for _ in range(20):
        x = rng.normal(size=4)
        expected = 2.0 * x if x[0] > 0.0 else np.array([0.0, 3.0 * x[1] ** 2, 0.0, 0.0])
        assert_close(gradient(x), expected)


@pytest.mark.parametrize("chunk", [2, None])
def test_sizes_change_between_calls(chunk):
    gradient = ad.value_and_grad(rosenbrock, chunk_size=chunk)
    for n in (3, 10, 1, 0, 37, 2, 8, 9, 16, 17):
        x = np.linspace(-1.0, 1.5, n)
        value, derivative = gradient(x)
        np.testing.assert_allclose(value, rosenbrock_value(x), rtol=1e-14)
        assert_close(derivative, rosenbrock_gradient(x) if n > 1 else np.zeros(n))


# Kinds of input


def test_constant_broadcast_array():
    x = np.broadcast_to(np.float64(0.5), 3)
    assert_close(ad.grad(rosenbrock)(x), rosenbrock_gradient(np.full(3, 0.5)))


@pytest.mark.parametrize(
    "x",
    [
        [1, 2, 3],
        np.array([1, 2, 3]),
        np.array([1, 2, 3], dtype=np.uint8),
        range(1, 4),
        [1, 2.0, np.int32(3)],
    ],
    ids=["list", "int64", "uint8", "range", "mixed-list"],
)
def test_integers_are_converted(x):
    gradient = ad.grad(rosenbrock)(x)
    assert_close(gradient, rosenbrock_gradient(np.array([1.0, 2.0, 3.0])))


@pytest.mark.parametrize(
    "x",
    [2, 2.0, np.float64(2.0), np.int64(2), np.array(2.0), np.array(2)],
    ids=lambda x: type(x).__name__ + str(getattr(x, "dtype", "")),
)
def test_scalars_are_converted(x):
    def cube(t):
        return t**3

    assert_close(ad.grad(cube)(x), 12.0)
    assert_close(ad.derivative(cube)(x), 12.0)
    assert_close(ad.jacobian(cube)(x), 12.0)


def test_integer_division_follows_the_converted_float():
    def half(x):
        return x[0] / 2 + x[1] // 2

    value, gradient = ad.value_and_grad(half)([3, 3])
    assert value == 1.5 + 1.0
    assert_close(gradient, np.array([0.5, 0.0]))


class Pair(NamedTuple):
    """A namedtuple of a test."""

    a: object
    b: object


def test_lists_and_integers_inside_tuples():
    def f(p):
        return p[0][0] * p[0][1] * p[1]

    assert_close(ad.grad(f)(([2, 3], 4)), (np.array([12.0, 8.0]), 6.0))
    assert_close(ad.grad(f)((np.array([2, 3]), np.int32(4))), (np.array([12.0, 8.0]), 6.0))


def test_lists_and_integers_inside_namedtuples():
    def f(p):
        return p.a[0] * p.a[1] * p.b

    gradient = ad.grad(f)(Pair([2, 3], 4))
    assert_close(gradient, Pair(np.array([12.0, 8.0]), 6.0))
    assert gradient.b == 6.0


def test_nested_tuples():
    def f(p):
        (a, b), c = p
        return a * b[0] + c.a * c.b

    gradient = ad.grad(f)(((2.0, np.array([3.0])), Pair(4.0, 5.0)))
    assert_close(gradient, ((3.0, np.array([2.0])), Pair(5.0, 4.0)))


def test_a_tuple_of_numbers():
    def f(p):
        s = 0.0
        for a in p:
            s += a * a
        return s

    assert_close(ad.grad(f)((1.0, 2.0, 3.0)), (2.0, 4.0, 6.0))
    assert_close(ad.grad(f)((1, 2)), (2.0, 4.0))
    value, tangent = ad.jvp(f, ((1.0, 2.0),), ((1.0, 0.5),))
    assert (value, tangent) == (5.0, 4.0)


def test_jacobian_of_a_tuple_argument():
    def f(p):
        return np.array([p[0] * p[1][0], p[1][1]])

    expected = np.array([3.0, 0.0]), np.array([[2.0, 0.0], [0.0, 1.0]])
    assert_close(ad.jacobian(f)((2.0, np.array([3.0, 4.0]))), expected)


# Calls: defaults, keywords, *args


def scaled(x, scale=2.0, power=2):
    return scale * np.sum(x**power)


def test_differentiating_a_default_argument():
    assert_close(ad.grad(scaled, 1)(X), 13.0)
    assert_close(ad.grad(scaled, 1)(X, 5.0), 13.0)
    assert_close(ad.grad(scaled, (0, 1))(X, scale=3), (6.0 * X, 13.0))


def test_only_star_arguments():
    def f(*xs):
        return xs[0] * xs[1]

    assert_close(ad.grad(f, (0, 1))(3.0, 4.0), (4.0, 3.0))
    assert_close(ad.grad(f)(3, 4), 4.0)


def test_calling_user_functions_with_keywords():
    def g(x, power=2, factor=1.0):
        return factor * x**power

    def f(x):
        return g(x, factor=3.0) + g(power=3, x=x)

    assert_close(ad.grad(f)(2.0), 3.0 * 4.0 + 12.0)


# Zero sizes, no dependence


@pytest.mark.parametrize("empty", [[], [[]], range(0)], ids=repr)
def test_empty_list(empty):
    value, gradient = ad.value_and_grad(lambda x: np.sum(x * x) + 1.0)(empty)
    assert value == 1.0
    assert gradient.shape == np.shape(empty)
    assert ad.hessian(lambda x: np.sum(x * x))(empty).size == 0


def test_jacobian_at_an_empty_input():
    def f(x):
        return np.array([1.0, 2.0]) + np.sum(x)

    value, jacobian = ad.value_and_jacobian(f)(np.zeros(0))
    np.testing.assert_array_equal(value, [1.0, 2.0])
    assert jacobian.shape == (2, 0)


def test_tuple_with_one_part_that_depends():
    def f(x):
        return x[0] * x[1], 5.0, 7

    value, jacobian = ad.value_and_jacobian(f)(X)
    np.testing.assert_array_equal(value, [-6.0, 5.0, 7.0])
    assert_close(jacobian, np.array([[-3.0, 2.0], [0.0, 0.0], [0.0, 0.0]]))


# Functions of every kind


def test_lambda():
    assert_close(ad.grad(lambda x: x[0] * x[1])(X), np.array([-3.0, 2.0]))


def test_njit_function_with_options():
    fast = numba.njit(fastmath=True, nogil=True, inline="always")(rosenbrock)
    assert_close(ad.grad(fast)(X), rosenbrock_gradient(X))


def test_parallel_function():
    @numba.njit(parallel=True)
    def f(x):
        s = 0.0
        for i in numba.prange(x.size):
            s += x[i] ** 2
        return s

    assert_close(ad.grad(f)(X), 2.0 * X)


def test_njit_function_with_a_signature():
    @numba.njit("float64(float64[:])")
    def f(x):
        return x[0] * x[1]

    assert_close(ad.grad(f)(X), np.array([-3.0, 2.0]))


def test_closure_over_constants():
    def power_sum(power, weights):
        return lambda x: np.sum(weights * x**power)

    weights = np.array([3.0, 5.0])
    assert_close(ad.grad(power_sum(2, weights))(X), 2.0 * weights * X)
    assert_close(ad.grad(power_sum(3, weights))(X), 3.0 * weights * X**2)


def test_closure_over_functions():
    def square(x):
        return x * x

    @numba.njit
    def cube(x):
        return x * x * x

    def twice(g):
        return lambda x: g(g(x))

    assert_close(ad.derivative(twice(square))(2.0), 4.0 * 8.0)
    assert_close(ad.derivative(twice(cube))(1.5), 9.0 * 1.5**8)
    assert_close(ad.derivative(twice(twice(square)))(1.1), 16.0 * 1.1**15)


def test_functions_as_arguments():
    @numba.njit
    def cube(x):
        return x * x * x

    def f(x, g):
        return g(x) + x

    assert_close(ad.grad(f)(2.0, cube), 13.0)


def test_ufunc_of_an_array():
    assert_close(ad.jacobian(np.exp)(X), np.diag(np.exp(X)))


GLOBAL_WEIGHTS = np.array([2.0, 4.0])
GLOBAL_PAIR = (3.0, 5)


def test_globals():
    def f(x):
        return np.sum(GLOBAL_WEIGHTS * x) * GLOBAL_PAIR[0] + x[0] ** GLOBAL_PAIR[1]

    assert_close(ad.grad(f)(X), 3.0 * GLOBAL_WEIGHTS + np.array([5.0 * 2.0**4, 0.0]))


def test_global_arrays_are_never_changed():
    def f(x):
        a = GLOBAL_WEIGHTS.copy()
        a[0] = x[0] * x[1]
        return a[0] + a[1]

    before = GLOBAL_WEIGHTS.copy()
    assert_close(ad.grad(f)(X), np.array([-3.0, 2.0]))
    np.testing.assert_array_equal(GLOBAL_WEIGHTS, before)


# From compiled code

rosenbrock_njit = numba.njit(rosenbrock)
rosenbrock_grad = ad.grad(rosenbrock)


@numba.njit
def descend(x, rate, steps):
    for _ in range(steps):
        x = x - rate * rosenbrock_grad(x)
    return x


@numba.njit
def named_inside(x):
    return ad.grad(rosenbrock_njit)(x)


@numba.njit
def scaled_njit(x, scale):
    return scale * np.sum(x * x)


@numba.njit
def doubled(x):
    return 2.0 * x * x


def test_gradient_as_a_global_of_njit_code():
    x = np.array([-1.0, 1.2])
    expected = x.copy()
    for _ in range(3):
        expected = expected - 1e-3 * rosenbrock_gradient(expected)
    np.testing.assert_allclose(descend(x, 1e-3, 3), expected, rtol=1e-13)


def test_gradient_named_inside_njit_code():
    x = np.array([-1.0, 1.2, 0.5])
    assert_close(named_inside(x), rosenbrock_gradient(x))


def test_every_transform_inside_njit_code():
    @numba.njit
    def first(x):
        value, gradient = ad.value_and_grad(scaled_njit)(x, 2.0)
        rows = ad.jacobian(doubled)(x)
        values, same_rows = ad.value_and_jacobian(doubled)(x)
        pair = ad.grad(scaled_njit, (0, 1))(x, 2.0)
        return value, gradient, rows, values, same_rows, pair

    value, gradient, rows, values, same_rows, pair = first(X)
    assert value == 26.0
    assert_close(gradient, 4.0 * X)
    assert_close(rows, np.diag(4.0 * X))
    np.testing.assert_array_equal(values, 2.0 * X * X)
    assert_close(same_rows, np.diag(4.0 * X))
    assert_close(pair, (4.0 * X, 13.0))


def test_second_order_transforms_inside_njit_code():
    @numba.njit
    def second(x, v):
        value, gradient, hessian = ad.value_grad_hessian(scaled_njit)(x, 2.0)
        again = ad.hessian(scaled_njit)(x, 2.0)
        return value, gradient, hessian, again, ad.hvp(scaled_njit)(x, v, 2.0)

    value, gradient, hessian, again, product = second(X, X)
    assert value == 26.0
    assert_close(gradient, 4.0 * X)
    assert_close(hessian, 4.0 * np.eye(2))
    assert_close(again, 4.0 * np.eye(2))
    assert_close(product, 4.0 * X)


def test_jvp_and_derivative_inside_njit_code():
    @numba.njit
    def third(x):
        value, tangent = ad.jvp(doubled, (x,), (1.0,))
        return value, tangent, ad.derivative(doubled)(x), ad.derivative(doubled, 2)(x)

    assert third(3.0) == (18.0, 12.0, 12.0, 4.0)


def test_transform_of_a_transform_inside_njit_code():
    @numba.njit
    def second(x):
        return ad.jacobian(ad.grad(rosenbrock_njit))(x)

    assert_close(second(X), ad.hessian(rosenbrock)(X))


def test_gradient_in_a_parallel_loop():
    @numba.njit(parallel=True)
    def many(points):
        out = np.empty_like(points)
        for i in numba.prange(points.shape[0]):
            out[i] = rosenbrock_grad(points[i])
        return out

    points = np.linspace(-1.0, 1.0, 60).reshape(20, 3)
    expected = np.array([rosenbrock_gradient(x) for x in points])
    np.testing.assert_allclose(many(points), expected, rtol=1e-12, atol=1e-12)


# Identity of transforms, memory, threads

TRANSFORMS = [
    ad.grad,
    ad.value_and_grad,
    ad.jacobian,
    ad.value_and_jacobian,
    ad.hessian,
    ad.value_grad_hessian,
    ad.hvp,
    ad.derivative,
]


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: t.__name__)
def test_transforms_are_remembered(transform):
    def f(x):
        return x * x

    assert transform(f) is transform(f)
    assert transform(f) is not transform(lambda x: x * x)


def test_options_make_other_transforms():
    def f(x, y):
        return x * y

    assert ad.grad(f) is ad.grad(f, 0) is ad.grad(f, argnums=0, mode="auto")
    made = [ad.grad(f), ad.grad(f, 1), ad.grad(f, (0,)), ad.grad(f, chunk_size=2)]
    made += [ad.value_and_grad(f), ad.jacobian(f)]
    assert len({id(transform) for transform in made}) == len(made)


def test_nothing_is_compiled_twice():
    gradient = ad.grad(lambda x: np.sum(x * x))
    gradient(X)
    gradient(X + 1.0)
    gradient(np.ones(5))
    gradient([1, 2])
    assert len(gradient.signatures) == 1


@pytest.mark.parametrize(
    "use",
    [
        lambda f: ad.grad(f)(2.0),
        lambda f: ad.jacobian(f)(np.ones(2)),
        lambda f: ad.hessian(f)(2.0),
        lambda f: ad.jvp(f, (2.0,), (1.0,)),
        lambda f: ad.derivative(ad.grad(f))(2.0),
        lambda f: ad.grad(numba.njit(f))(2.0),
    ],
    ids=["grad", "jacobian", "hessian", "jvp", "nested", "njit"],
)
def test_a_function_and_its_derivatives_can_be_collected(use):
    def f(x):
        return x * x

    use(f)
    dead = weakref.ref(f)
    del f
    gc.collect()
    assert dead() is None


def test_metadata():
    def squares(x):
        """Sum of squares."""
        return np.sum(x * x)

    gradient = ad.grad(squares)
    assert gradient.__name__ == "grad(squares)"
    assert "grad(squares)" in repr(gradient)


def makes_lists(x):
    items = [0.0]
    for i in range(x.size):
        items.append(x[i] * items[-1] + 1.0)
    rows = [x * x for _ in range(3)]
    return items[-1] + np.sum(rows[1])


def returns_tuple_of_arrays(x):
    return x * x, x[0]


SCENARIO_CALLS = {
    name: (transforms_of(SCENARIOS[name])[1], SCENARIOS[name].f, SCENARIOS[name].args)
    for name in (
        "rosenbrock-3",
        "rosenbrock_arrays-10",
        "quadratic_form",
        "smoother",
        "network-tuple",
        "network-namedtuple",
        "matrix_valued",
        "polar_list",
        "polar_tuple",
        "size-0-array",
    )
}
LEAK_CALLS = SCENARIO_CALLS | {
    "lists": (ad.grad, makes_lists, (X,)),
    "overwritten": (ad.value_and_grad, overwrites, (np.ones(3), np.ones(3), np.ones(3))),
    "several-argnums": (lambda f: ad.grad(f, (0, 1, 2)), weighted, (X, Y, Z)),
    "hessian": (ad.value_grad_hessian, rosenbrock, (X,)),
    "hessian-of-tuple": (
        ad.hessian,
        SCENARIOS["network-tuple"].f,
        SCENARIOS["network-tuple"].args,
    ),
    "hvp": (ad.hvp, rosenbrock, (X, X)),
    "derivative": (ad.derivative, SCENARIOS["curve-of-a-scalar"].f, (0.3,)),
    "second-derivative": (lambda f: ad.derivative(f, 2), SCENARIOS["curve-of-a-scalar"].f, (0.3,)),
    "jvp": (lambda f: lambda x: ad.jvp(f, (x,), (x,)), cubes, (X,)),
    "jvp-of-tuple": (lambda f: lambda x: ad.jvp(f, (x,), (x,)), returns_tuple_of_arrays, (X,)),
    "jacobian-of-grad": (lambda f: ad.jacobian(ad.grad(f)), rosenbrock, (X,)),
    "list-input": (ad.value_and_grad, rosenbrock, ([0.5, 1.5],)),
    "constant": (ad.value_and_jacobian, lambda x: np.arange(3.0), (X,)),
    "identity": (ad.value_and_jacobian, lambda x: x, (X,)),
    "constant-tuple": (ad.jacobian, lambda x: (1.0, 2), (X,)),
    "constant-list": (ad.jacobian, lambda x: [1.0, 2.0], (X,)),
}


def live_allocations():
    stats = rtsys.get_allocation_stats()
    return stats.alloc - stats.free, stats.mi_alloc - stats.mi_free


# Each collects all garbage of a large process several times.
QUICK_LEAK_CALLS = {
    "rosenbrock-3", "network-namedtuple", "lists", "hessian", "jvp-of-tuple",
}  # fmt: skip


@pytest.mark.usefixtures("allocation_statistics")
@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK_LEAK_CALLS else pytest.param(name, marks=pytest.mark.slow)
        for name in LEAK_CALLS
    ],
)
def test_memory_is_given_back(name):
    transform, f, args = LEAK_CALLS[name]
    g = transform(f)
    for _ in range(3):
        g(*args)
    arrays = [arg for arg in args if isinstance(arg, np.ndarray)]
    gc.collect()
    references = [sys.getrefcount(arg) for arg in arrays]
    live = live_allocations()
    for _ in range(CALLS):
        g(*args)
    gc.collect()
    assert live_allocations() == live
    assert [sys.getrefcount(arg) for arg in arrays] == references


def test_threads_agree():
    gradient = ad.value_and_grad(smoother)
    points = [np.linspace(-1.0, k, 9) for k in range(40)]
    expected = [gradient(x, 3) for x in points]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda x: gradient(x, 3), points * 5))
    for (value, derivative), (value_alone, derivative_alone) in zip(
        found, expected * 5, strict=True
    ):
        assert value == value_alone
        np.testing.assert_array_equal(derivative, derivative_alone)


def test_threads_make_one_transform():
    def f(x):
        return x * x

    barrier = threading.Barrier(THREADS)

    def make(_):
        barrier.wait()
        return ad.grad(f)

    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(make, range(THREADS)))
    assert all(transform is made[0] for transform in made)


# derivative


def test_derivative_of_a_scalar_function():
    assert_close(ad.derivative(math.exp)(1.0), math.e)
    assert_close(ad.grad(math.hypot)(3.0, 4.0), 0.6)
    assert_close(ad.grad(np.dot)(np.ones(2), np.array([2.0, 3.0])), np.array([2.0, 3.0]))
    assert_close(ad.derivative(lambda x: x**3)(2), 12.0)


def test_derivative_of_an_array_function():
    scenario = SCENARIOS["curve-of-a-scalar"]
    assert_close(ad.derivative(scenario.f)(*scenario.args), scenario.first)


def test_derivative_keeps_structure():
    def f(t):
        return t * t, np.array([t, 2.0 * t]), 5.0

    assert_close(ad.derivative(f)(3.0), (6.0, np.array([1.0, 2.0]), 0.0))


def test_derivative_of_a_namedtuple():
    def f(t):
        return Pair(t * t, 3.0 * t)

    assert_close(ad.derivative(f)(3.0), Pair(6.0, 3.0))


def test_derivative_with_extra_arguments():
    def f(x, a, power=2):
        return a * x**power

    assert_close(ad.derivative(f)(3.0, 5.0), 30.0)
    assert_close(ad.derivative(f)(3.0, 5.0, power=3), 135.0)


def test_namedtuple_argument_of_logistic_loss_in_a_wrapper():
    """A function that takes its parameters apart and calls another one."""
    scenario = SCENARIOS["logistic_loss"]
    w, features, labels, ridge = scenario.args

    def loss(p):
        return logistic_loss(p.weights, p.shift, p.out, p.bias)

    gradient = ad.grad(loss)(Network(w, features, labels, ridge))
    assert type(gradient) is Network
    assert_close(gradient.weights, scenario.gradient)
    assert_close(gradient.bias, float(0.5 * w @ w))
