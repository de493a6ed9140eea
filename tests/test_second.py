"""Second derivatives and higher: Hessians, Hessian-vector products, derivatives of order n."""

import math

import numba
import numpy as np
import pytest
from scenarios import (
    SCENARIOS,
    assert_close,
    assert_plain,
    cubes,
    of_scalar,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_hessian,
    rosenbrock_value,
)

import dualtape as ad

# Hyper-duals and duals add products in different orders.
RTOL_AGREEMENT = 1e-13
# Order k multiplies k rounded factors of condition up to about k.
RTOL_HIGH_ORDER = 1e-11

SCALAR = {name: s for name, s in SCENARIOS.items() if s.is_scalar}
VECTOR = {name: s for name, s in SCENARIOS.items() if not s.is_scalar}
ONE_ARRAY = {name: s for name, s in SCALAR.items() if isinstance(s.args[0], np.ndarray)}

each_scalar = pytest.mark.parametrize("scenario", SCALAR.values(), ids=repr)
each_vector = pytest.mark.parametrize("scenario", VECTOR.values(), ids=repr)
each_array = pytest.mark.parametrize("scenario", ONE_ARRAY.values(), ids=repr)

# One of each kind of argument; products of arrays take twenty seconds to compile.
QUICK = {
    "rosenbrock-10", "quadratic_form_loop", "kepler", "smoother", "of_matrix", "of_scalar",
    "network-namedtuple", "polynomial-extra-arguments", "size-0", "size-1",
}  # fmt: skip


def slow_unless_quick(scenarios):
    return [
        pytest.param(s, id=name, marks=[pytest.mark.slow] * (name not in QUICK))
        for name, s in scenarios.items()
    ]


@pytest.fixture
def rng():
    return np.random.default_rng(20240613)


def assert_symmetric(hessian):
    """Check H == H.T bit for bit; for structures, that block (i, j) is block (j, i) turned."""
    if not isinstance(hessian, tuple):
        half = np.ndim(hessian) // 2
        axes = (*range(half, 2 * half), *range(half))
        assert np.transpose(hessian, axes).tobytes() == np.asarray(hessian).tobytes()
        return
    for i, row in enumerate(hessian):
        for j, block in enumerate(row):
            ndim_i = np.ndim(hessian[i][i]) // 2
            ndim_j = np.ndim(hessian[j][j]) // 2
            axes = (*range(ndim_i, ndim_i + ndim_j), *range(ndim_i))
            turned = np.transpose(block, axes)
            assert turned.tobytes() == np.asarray(hessian[j][i]).tobytes()


# Every scenario


@pytest.mark.parametrize("scenario", slow_unless_quick(SCALAR))
def test_value_grad_hessian(scenario):
    value, gradient, hessian = ad.value_grad_hessian(scenario.f)(*scenario.args)
    assert_plain(value, scenario.f, *scenario.args, terms=scenario.blas_terms)
    assert_close(gradient, scenario.gradient)
    assert_close(hessian, scenario.hessian)
    assert_symmetric(hessian)
    assert_close(gradient, ad.grad(scenario.f)(*scenario.args), RTOL_AGREEMENT)


@pytest.mark.slow
@each_scalar
def test_hessian_of_njit_function(scenario):
    hessian = ad.hessian(numba.njit(scenario.f))(*scenario.args)
    assert_close(hessian, scenario.hessian)
    assert_symmetric(hessian)


@pytest.mark.parametrize("scenario", slow_unless_quick(ONE_ARRAY))
def test_hvp_is_hessian_times_vector(scenario, rng):
    x, *rest = scenario.args
    v = rng.normal(size=x.shape)
    product = ad.hvp(scenario.f)(x, v, *rest)
    assert_close(product, np.tensordot(scenario.hessian, v, axes=x.ndim))


@pytest.mark.slow
@pytest.mark.parametrize("chunk", [1, 2, 4, 8, 16])
@each_array
def test_hvp_with_every_chunk_size(scenario, chunk, rng):
    x, *rest = scenario.args
    v = rng.normal(size=x.shape)
    product = ad.hvp(scenario.f, chunk_size=chunk)(x, v, *rest)
    assert_close(product, np.tensordot(scenario.hessian, v, axes=x.ndim))


@pytest.mark.slow
@each_vector
def test_jacobian_of_the_jacobian(scenario):
    second = ad.jacobian(ad.jacobian(scenario.f))(*scenario.args)
    assert_close(second, scenario.hessian)


# Sizes and shapes


@pytest.mark.parametrize("n", range(2, 14))
def test_hessian_of_every_size(n):
    """Sizes around the width of a block: 4."""
    x = np.linspace(-1.0, 1.2, n)
    value, gradient, hessian = ad.value_grad_hessian(rosenbrock)(x)
    np.testing.assert_allclose(value, rosenbrock_value(x), rtol=1e-14)
    assert_close(gradient, rosenbrock_gradient(x))
    assert_close(hessian, rosenbrock_hessian(x))
    assert_symmetric(hessian)


def full(x):
    """Every pair of inputs interacts, and rounding differs between (i, j) and (j, i)."""
    s, p = 0.0, 1.0
    for i in range(x.size):
        s += np.sin(x[i]) * (i + 1.0) / 3.0
        p *= 1.0 + 0.1 * x[i]
    return np.exp(0.1 * s) * p / (1.0 + s * s)


@pytest.mark.parametrize("n", [1, 3, 4, 5, 9])
def test_a_full_hessian_is_symmetric_bit_for_bit(n, rng):
    x = rng.normal(size=n)
    hessian = ad.hessian(full)(x)
    assert_symmetric(hessian)
    assert_symmetric(ad.value_grad_hessian(full)(x)[2])
    columns = np.stack([ad.hvp(full)(x, e) for e in np.eye(n)], axis=-1)
    assert_close(hessian, columns, RTOL_AGREEMENT)


def test_hessian_and_jacobian_of_the_gradient_agree(rng):
    x = rng.normal(size=6)
    assert_close(ad.hessian(full)(x), ad.jacobian(ad.grad(full))(x), RTOL_AGREEMENT)


def test_hessian_of_a_scalar_argument_is_a_number():
    scenario = SCENARIOS["of_scalar"]
    hessian = ad.hessian(of_scalar)(*scenario.args)
    assert type(hessian) is float
    assert ad.hessian(of_scalar)(1) == ad.hessian(of_scalar)(1.0)


def test_hessian_takes_lists():
    assert_close(ad.hessian(rosenbrock)([1, 2]), rosenbrock_hessian(np.array([1.0, 2.0])))


# Several arguments


def mixed(x, y, z):
    return x[0] * x[0] * y + x[1] * np.sin(y) * z[0, 0] ** 2


MIXED_ARGS = np.array([2.0, -3.0]), 0.5, np.array([[0.7]])


def mixed_blocks():
    """Return the blocks of the Hessian for (x, y, z)."""
    (a, b), y, z = MIXED_ARGS
    s, c, w = math.sin(y), math.cos(y), z[0, 0]
    xx = np.array([[2.0 * y, 0.0], [0.0, 0.0]])
    xy = np.array([2.0 * a, c * w * w])
    xz = np.array([[[0.0]], [[2.0 * s * w]]])
    yz = np.array([[2.0 * b * c * w]])
    zz = np.array([[[[2.0 * b * s]]]])
    return (
        (xx, xy, xz),
        (xy, -b * s * w * w, yz),
        (np.moveaxis(xz, 0, 2), yz, zz),
    )


@pytest.mark.parametrize(
    "argnums",
    [0, (2, 0)]
    + [
        pytest.param(argnums, marks=pytest.mark.slow)
        for argnums in (1, 2, -1, (0,), (1,), (0, 1), (0, 1, 2), (1, 0), (-1, 1))
    ],
    ids=repr,
)
def test_argnums(argnums):
    blocks = mixed_blocks()
    if isinstance(argnums, tuple):
        expected = tuple(tuple(blocks[i][j] for j in argnums) for i in argnums)
    else:
        expected = blocks[argnums][argnums]
    hessian = ad.hessian(mixed, argnums)(*MIXED_ARGS)
    assert_close(hessian, expected)
    assert_symmetric(hessian)


def test_value_grad_hessian_with_argnums():
    blocks = mixed_blocks()
    value, gradient, hessian = ad.value_grad_hessian(mixed, (1, 2))(*MIXED_ARGS)
    assert_close(value, mixed(*MIXED_ARGS))
    x, y, z = MIXED_ARGS
    s, c, w = math.sin(y), math.cos(y), z[0, 0]
    first = x[0] ** 2 + x[1] * c * w * w
    assert_close(gradient, (float(first), np.array([[2.0 * x[1] * s * w]])))
    assert_close(hessian, (blocks[1][1:], blocks[2][1:]))


def test_the_same_array_twice():
    def f(x, y):
        return np.sum(x * x * y)

    x = np.array([1.0, 2.0, -3.0])
    expected = (
        (np.diag(2.0 * x), np.diag(2.0 * x)),
        (np.diag(2.0 * x), np.zeros((3, 3))),
    )
    assert_close(ad.hessian(f, (0, 1))(x, x), expected)


def test_hvp_of_a_tuple():
    scenario = SCENARIOS["network-tuple"]
    p, x = scenario.args
    rng = np.random.default_rng(5)
    v = tuple(rng.normal(size=np.shape(part)) if np.ndim(part) else 0.7 for part in p)
    product = ad.hvp(scenario.f)(p, v, x)
    expected = tuple(
        sum(np.tensordot(block, d, axes=np.ndim(d)) for block, d in zip(row, v, strict=True))
        for row in scenario.hessian
    )
    assert_close(product, (*expected[:3], float(expected[3])))


def test_hvp_of_a_scalar():
    assert_close(ad.hvp(lambda x: x**3)(2.0, 5.0), 60.0)
    assert_close(ad.hvp(lambda x: x**3)(2, 5), 60.0)


def test_hvp_takes_lists():
    x = np.array([1.0, 2.0])
    assert_close(ad.hvp(rosenbrock)([1, 2], [1, 0]), rosenbrock_hessian(x)[:, 0])


def test_hvp_and_jvp_with_default_arguments():
    def f(x, factor=3.0, power=3):
        return factor * np.sum(x**power)

    x, v = np.array([1.0, 2.0]), np.array([1.0, -1.0])
    assert_close(ad.hvp(f)(x, v), 18.0 * x * v)
    assert_close(ad.hvp(f)(x, v, 5.0), 30.0 * x * v)
    assert_close(ad.hvp(f)(x, v, 5.0, 2), 10.0 * v)
    value, tangent = ad.jvp(f, (x,), (v,))
    assert (value, tangent) == (27.0, 9.0 * (1.0 - 4.0))


def test_hvp_does_not_scale_with_the_direction():
    """H v is linear in v, also for tiny and huge v."""
    x = np.array([0.5, -1.0, 2.0])
    v = np.array([1.0, -2.0, 0.5])
    product = ad.hvp(rosenbrock)(x, v)
    for scale in (2.0**-500, 2.0**500):
        np.testing.assert_array_equal(ad.hvp(rosenbrock)(x, scale * v), scale * product)


# Results that are constant or linear


@pytest.mark.parametrize(
    "f", [lambda x: 2.0, lambda x: 3, lambda x: x[0] > 0.0], ids=["float", "int", "bool"]
)
def test_constants_have_zero_hessians(f):
    x = np.ones(3)
    value, gradient, hessian = ad.value_grad_hessian(f)(x)
    assert value == f(x)
    assert_close(gradient, np.zeros(3))
    assert_close(hessian, np.zeros((3, 3)))
    assert_close(ad.hvp(f)(x, x), np.zeros(3))


def test_linear_functions_have_zero_hessians():
    weights = np.array([2.0, -1.0, 0.5])
    value, gradient, hessian = ad.value_grad_hessian(lambda x: np.sum(weights * x))(np.ones(3))
    assert value == 1.5
    assert_close(gradient, weights)
    assert_close(hessian, np.zeros((3, 3)))


@pytest.mark.parametrize("shape", [(0,), (0, 2)], ids=str)
def test_empty_input(shape):
    def f(x):
        return 1.0 + np.sum(x * x)

    value, gradient, hessian = ad.value_grad_hessian(f)(np.zeros(shape))
    assert value == 1.0
    assert gradient.shape == shape
    assert hessian.shape == shape * 2
    assert ad.hvp(f)(np.zeros(shape), np.zeros(shape)).shape == shape


def test_results_are_arrays_of_their_own():
    x = np.array([0.5, 1.5])
    hessian = ad.hessian(rosenbrock)
    first = hessian(x)
    kept = first.copy()
    hessian(x + 1.0)
    np.testing.assert_array_equal(first, kept)
    first[:] = 0.0
    assert_close(hessian(x), kept)


# Orders one to five of functions of a scalar

SINES = (np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x))


@pytest.mark.parametrize("order", range(1, 6))
def test_derivatives_of_sine(order):
    assert_close(ad.derivative(np.sin, order)(0.7), float(SINES[order % 4](0.7)))


@pytest.mark.parametrize("order", range(1, 6))
def test_derivatives_of_exp(order):
    found = ad.derivative(lambda x: np.exp(2.0 * x), order)(0.3)
    assert_close(found, 2.0**order * math.exp(0.6), RTOL_HIGH_ORDER)


@pytest.mark.parametrize("order", range(1, 6))
def test_derivatives_of_a_power(order):
    expected = math.prod(range(5 - order, 5)) * 1.5 ** (4 - order) if order < 5 else 0.0
    assert_close(ad.derivative(lambda x: x**4, order)(1.5), float(expected))


@pytest.mark.parametrize("order", range(1, 6))
def test_derivatives_of_a_quotient(order):
    expected = (-1) ** order * math.factorial(order) / 2.5 ** (order + 1)
    assert_close(ad.derivative(lambda x: 1.0 / (1.0 + x), order)(1.5), expected, RTOL_HIGH_ORDER)


@pytest.mark.parametrize("order", range(1, 4))
def test_derivatives_of_an_array_function(order):
    def f(t):
        return np.array([t**3, np.exp(-t), 1.0])

    t = 0.4
    expected = {1: 3.0 * t * t, 2: 6.0 * t, 3: 6.0}[order], (-1.0) ** order * math.exp(-t), 0.0
    assert_close(ad.derivative(f, order)(t), np.array(expected))


def test_high_order_through_a_loop():
    def f(x):
        s, term = 0.0, 1.0
        for k in range(1, 30):
            s += term
            term *= x / k
        return s  # exp(x)

    for order in range(1, 5):
        assert_close(ad.derivative(f, order)(0.5), math.exp(0.5), RTOL_HIGH_ORDER)


def test_second_derivative_keeps_structure_and_arguments():
    def f(t, a):
        return a * t**3, np.array([t * t, a])

    assert_close(ad.derivative(f, 2)(2.0, 5.0), (60.0, np.array([2.0, 0.0])))


def test_derivative_of_order_two_and_hessian_agree():
    x = 0.7
    assert_close(ad.derivative(of_scalar, 2)(x), ad.hessian(of_scalar)(x), RTOL_AGREEMENT)
    twice = ad.derivative(ad.derivative(of_scalar))
    assert_close(ad.derivative(of_scalar, 2)(x), twice(x), RTOL_AGREEMENT)


def test_gradients_of_second_derivatives():
    """Third derivatives of a function of several inputs: the gradient of a Hessian entry."""

    def f(x):
        return x[0] ** 2 * x[1] ** 2

    hessian = ad.hessian(f)

    def entry(x):
        return hessian(x)[0, 1]  # 4 x0 x1

    assert_close(ad.grad(entry)(np.array([2.0, 3.0])), np.array([12.0, 8.0]))


def test_jacobian_of_an_array_function_twice():
    x = np.array([1.0, 2.0])
    second = ad.jacobian(ad.jacobian(cubes))(x)
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 0], expected[1, 1, 1] = 6.0, 12.0
    assert_close(second, expected)


def test_float32():
    x = np.array([0.5, -1.0], dtype=np.float32)
    value, gradient, hessian = ad.value_grad_hessian(rosenbrock)(x)
    assert gradient.dtype == hessian.dtype == np.float32
    expected = rosenbrock_hessian(x.astype(float))
    np.testing.assert_allclose(hessian, expected, rtol=1e-5)  # about seven digits
    np.testing.assert_allclose(value, rosenbrock_value(x.astype(float)), rtol=1e-5)
    assert_symmetric(hessian)
