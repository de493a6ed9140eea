"""Calls of transforms: arguments and layouts, results, constants; the same in both modes."""

import math
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from scenarios import assert_close, rosenbrock, rosenbrock_gradient, rosenbrock_value

import dualtape as ad

THREADS = 4
# Eight significant digits of float32 minus what a dozen roundings cost.
RTOL_FLOAT32 = 1e-5

X = np.array([2.0, -3.0])


@pytest.fixture(params=["forward", "reverse"])
def mode(request):
    return request.param


# Arguments


def test_an_argument_that_is_not_used(mode):
    def f(x, y):
        return y * y

    assert_close(ad.grad(f, (0, 1), mode=mode)(X, 3.0), (np.zeros(2), 6.0))


def overwrites(x, scratch, out):
    for i in range(x.size):
        scratch[i] = x[i] * x[i]
        x[i] = scratch[i] * out[i]
    out[0] = x[0]
    return np.sum(x) + out[0]


OVERWRITTEN = np.array([1.0, 2.0, 3.0]), np.full(3, np.nan), np.array([4.0, 5.0, 6.0])
# x0^2 out0 counts twice
VALUE = 4.0 + 20.0 + 54.0 + 4.0
GRADIENT, HESSIAN = np.array([16.0, 20.0, 36.0]), np.diag([16.0, 10.0, 12.0])
EXPECTED = {
    ad.grad: GRADIENT,
    ad.value_and_grad: (VALUE, GRADIENT),
    ad.jacobian: GRADIENT,
    ad.hessian: HESSIAN,
    ad.value_grad_hessian: (VALUE, GRADIENT, HESSIAN),
    ad.hvp: HESSIAN @ GRADIENT,
}


@pytest.mark.parametrize("transform", EXPECTED, ids=lambda t: t.__name__)
def test_arguments_are_unchanged(transform, mode):
    x, *rest = [arg.copy() for arg in OVERWRITTEN]
    v = GRADIENT.copy()
    found = transform(overwrites, mode=mode)(x, *([v] if transform is ad.hvp else []), *rest)
    for arg, original in zip((x, *rest, v), (*OVERWRITTEN, GRADIENT), strict=True):
        np.testing.assert_array_equal(arg, original)
    assert_close(found, EXPECTED[transform])


def test_scratch_inside_a_tuple_and_through_a_view(mode):
    def f(x, work):
        first, second = work
        first[:] = x * x
        row = second[1]
        row[0] = first[0] * first[1]
        return second[1, 0]

    x = np.array([2.0, 3.0])
    work = np.zeros(2), np.zeros((2, 2))
    expected = np.array([2.0 * 2.0 * 9.0, 4.0 * 2.0 * 3.0])
    assert_close(ad.grad(f, mode=mode)(x, work), expected)
    assert not np.any(work[0])
    assert not np.any(work[1])


def overwritten_twice(x, y):
    x[0] = 2.0 * x[0]  # y must not see this
    y[1] = x[0] * y[1]
    return x[0] + y[0] + x[1] * y[1]


@pytest.mark.parametrize("argnums", [(0, 1), 0, 1], ids=repr)
def test_the_same_array_twice(argnums, mode):
    x = np.array([3.0, 5.0])
    # f = 2 x0 + y0 + x1 (2 x0 y1)
    expected = np.array([2.0 + 2.0 * 25.0, 2.0 * 3.0 * 5.0]), np.array([1.0, 2.0 * 5.0 * 3.0])
    found = ad.grad(overwritten_twice, argnums, mode=mode)(x, x)
    assert_close(found, expected if argnums == (0, 1) else expected[argnums])
    np.testing.assert_array_equal(x, [3.0, 5.0])


def scaled(x, scale=2.0, power=2):
    return scale * np.sum(x**power)


CALL_FORMS = {
    "defaults": lambda g: g(X),
    "positional": lambda g: g(X, 2.0, 2),
    "keyword": lambda g: g(X, power=2),
    "keywords-out-of-order": lambda g: g(X, power=2, scale=2.0),
    "all-keywords": lambda g: g(scale=2.0, x=X),
    "list-by-keyword": lambda g: g(x=[2, -3], power=2),
    "list-and-defaults": lambda g: g([2, -3]),
}


@pytest.mark.parametrize("form", CALL_FORMS)
def test_default_and_keyword_arguments(form, mode):
    assert_close(CALL_FORMS[form](ad.grad(scaled, mode=mode)), 4.0 * X)


def test_another_default_value(mode):
    assert_close(ad.grad(scaled, mode=mode)(X, scale=3.0), 6.0 * X)
    assert_close(ad.grad(scaled, mode=mode)(X, power=3), 6.0 * X**2)


def test_star_arguments(mode):
    def f(x, *rest):
        s = x * x
        for r in rest:
            s += x * r
        return s

    assert_close(ad.grad(f, mode=mode)(3.0, 4.0), 10.0)
    assert_close(ad.grad(f, mode=mode)(3.0, 4.0, 5.0), 15.0)
    assert_close(ad.grad(f, (0, 1, 2), mode=mode)(3.0, 4.0, 5.0), (15.0, 3.0, 3.0))


# Layouts and types


def layouts():
    x = np.array([0.5, -1.0, 2.0, 1.5])
    wide = np.zeros((4, 3))
    wide[:, 1] = x
    frozen = x.copy()
    frozen.setflags(write=False)
    return {
        "contiguous": x,
        "every-second": np.repeat(x, 2)[::2],
        "reversed": x[::-1].copy()[::-1],
        "column": wide[:, 1],
        "read-only": frozen,
        "big-endian": x.astype(">f8"),
        "list": list(x),
        "list-of-numpy-floats": [np.float64(a) for a in x],
        "float16": x.astype(np.float16),
    }


@pytest.mark.parametrize("layout", layouts())
def test_layouts_of_a_vector(layout, mode):
    x = layouts()[layout]
    plain = np.array(x, dtype=float)
    assert_close(ad.grad(rosenbrock, mode=mode)(x), rosenbrock_gradient(plain))
    np.testing.assert_array_equal(np.array(x, dtype=float), plain)


def matrix_layouts():
    a = np.arange(6.0).reshape(2, 3) / 4.0
    return {
        "C": a,
        "Fortran": np.asfortranarray(a),
        "transposed": np.ascontiguousarray(a.T).T,
        "strided": np.repeat(a, 2, axis=1)[:, ::2],
        "list-of-lists": a.tolist(),
    }


def weighted_squares(a):
    s = 0.0
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            s += (i + 1.0) * (j + 2.0) * a[i, j] ** 2
    return s


@pytest.mark.parametrize("layout", matrix_layouts())
def test_layouts_of_a_matrix(layout, mode):
    a = matrix_layouts()[layout]
    weights = np.outer([1.0, 2.0], [2.0, 3.0, 4.0])
    gradient = ad.grad(weighted_squares, mode=mode)(a)
    assert_close(gradient, 2.0 * weights * np.array(a))
    assert gradient.flags.c_contiguous


def test_float32_stays_float32(mode):
    x = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    value, gradient = ad.value_and_grad(rosenbrock, mode=mode)(x)
    assert gradient.dtype == np.float32
    np.testing.assert_allclose(gradient, rosenbrock_gradient(x.astype(float)), rtol=RTOL_FLOAT32)
    np.testing.assert_allclose(value, rosenbrock_value(x.astype(float)), rtol=RTOL_FLOAT32)
    assert isinstance(ad.grad(lambda t: t * t, mode=mode)(np.float32(3.0)), float)


def test_float32_and_float64_together(mode):
    def f(x, y):
        return x[0] * y[0]

    gradient = ad.grad(f, (0, 1), mode=mode)(np.ones(1, np.float32), np.full(1, 1.0 + 1e-12))
    assert gradient[0].dtype == np.float64
    assert gradient[0][0] == 1.0 + 1e-12


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)], ids=str)
def test_empty_input(shape, mode):
    def f(x):
        return 1.0 + np.sum(x * x)

    value, gradient = ad.value_and_grad(f, mode=mode)(np.zeros(shape))
    assert value == 1.0
    assert gradient.shape == shape


def test_empty_output(mode):
    def f(x):
        return x[:0]

    value, jacobian = ad.value_and_jacobian(f, mode=mode)(np.ones(3))
    assert value.shape == (0,)
    assert jacobian.shape == (0, 3)


@pytest.mark.parametrize("f", [np.sin, math.sin], ids=["ufunc", "builtin"])
def test_numpy_and_math_functions_themselves(f, mode):
    assert_close(ad.grad(f, mode=mode)(0.5), math.cos(0.5))


# Results


def test_results_are_arrays_of_their_own(mode):
    gradient = ad.grad(rosenbrock, mode=mode)
    x = np.array([0.5, 1.5])
    first = gradient(x)
    kept = first.copy()
    second = gradient(x + 1.0)
    assert not np.shares_memory(first, second)
    assert not np.shares_memory(first, x)
    np.testing.assert_array_equal(first, kept)
    assert first.flags.owndata or first.base is not None
    first[:] = 0.0
    np.testing.assert_array_equal(gradient(x), kept)


def test_the_value_of_an_identity_is_a_copy(mode):
    value, jacobian = ad.value_and_jacobian(lambda x: x, mode=mode)(X)
    np.testing.assert_array_equal(value, X)
    np.testing.assert_array_equal(jacobian, np.eye(2))
    assert not np.shares_memory(value, X)


CONSTANTS = {
    "float": (lambda x: 3.5, 3.5),
    "int": (lambda x: 3, 3),
    "comparison": (lambda x: x[0] > 1.0, True),
    "size": (lambda x: x.size, 2),
    "passive": (lambda x: np.floor(x[0]) * 1.0, 2.0),
    "vanishing": (lambda x: 0.0 * x[0] + 2.0, 2.0),
    "once-active": (lambda x: x[0] * x[1] - x[0] * x[1], 0.0),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_results_that_do_not_depend(name, mode):
    f, expected = CONSTANTS[name]
    value, gradient, second = ad.value_grad_hessian(f, mode=mode)(X)
    assert value == expected
    assert_close(gradient, np.zeros(2))
    assert_close(second, np.zeros((2, 2)))
    value, gradient = ad.value_and_grad(f, mode=mode)(X)
    assert value == expected
    assert_close(gradient, np.zeros(2))
    assert_close(ad.jacobian(f, mode=mode)(X), np.zeros(2))
    assert_close(ad.hvp(f, mode=mode)(X, X), np.zeros(2))
    value, tangent = ad.jvp(f, (X,), (np.ones(2),))
    assert value == expected
    assert tangent == 0.0


def test_arrays_that_do_not_depend(mode):
    def f(x):
        return np.arange(3.0)

    value, jacobian = ad.value_and_jacobian(f, mode=mode)(X)
    np.testing.assert_array_equal(value, [0.0, 1.0, 2.0])
    assert_close(jacobian, np.zeros((3, 2)))


# Singular points of arrays


def test_norm_at_the_origin(mode):
    origin = np.zeros(3)
    assert_close(ad.grad(np.linalg.norm, mode=mode)(origin), origin)
    assert_close(ad.grad(lambda x: np.sqrt(np.sum(x * x)), mode=mode)(origin), origin)


def test_products_with_zeros_are_exact(mode):
    x = np.array([0.0, 3.0, 0.0, 2.0])
    expected = np.zeros((4, 4))
    expected[0, 2] = expected[2, 0] = 6.0
    _, gradient, second = ad.value_grad_hessian(np.prod, mode=mode)(x)
    assert_close(gradient, np.zeros(4))
    assert_close(second, expected)
    found = ad.grad(lambda x: np.prod(x[1:]), mode=mode)(x)
    assert_close(found, np.array([0.0, 0.0, 6.0, 0.0]))


TIES = {
    "np.max": (np.max, [0.5, 0.5, 0.0]),
    "min": (lambda x: x[:2].min(), [0.5, 0.5, 0.0]),
    "np.maximum": (lambda x: np.maximum(x[0], x[1]), [0.5, 0.5, 0.0]),
    "max": (lambda x: max(x[0], x[1], x[2]), [0.5, 0.5, 0.0]),
    "np.clip": (lambda x: np.clip(x, 0.0, 2.0).sum(), [0.5, 0.5, 1.0]),
}


@pytest.mark.parametrize("name", TIES)
def test_ties_are_split_evenly(name, mode):
    f, expected = TIES[name]
    assert_close(ad.grad(f, mode=mode)(np.array([2.0, 2.0, 1.0])), np.array(expected))


def test_where_selects_and_never_blends(mode):
    def f(x):
        return np.sum(np.where(x > 0.0, np.sqrt(x), x * x))

    x = np.array([4.0, 0.0, -1.0])
    value, gradient, second = ad.value_grad_hessian(f, mode=mode)(x)
    assert value == 3.0
    assert_close(gradient, np.array([0.25, 0.0, -2.0]))
    assert_close(second, np.diag([-0.25 / 8.0, 2.0, 2.0]))


# Transforms


TRANSFORMS = (ad.grad, ad.value_and_grad, ad.jacobian, ad.value_and_jacobian, ad.hessian, ad.hvp)


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: t.__name__)
def test_transforms_are_remembered_by_mode(transform):
    def f(x):
        return x * x

    for mode in ("forward", "reverse"):
        made = transform(f, mode=mode)
        assert transform(f, mode=mode) is made
        assert transform(f) is not made
        assert transform(lambda x: x * x, mode=mode) is not made


def test_threads_compile_together(mode):
    """The first call is made by all threads at once, for inputs that prefer different chunks."""

    def f(x):
        s = 0.0
        for i in range(x.size):
            s += x[i] ** 3
        return s

    gradient = ad.grad(f, mode=mode)
    barrier = threading.Barrier(THREADS)

    def first_call(n):
        barrier.wait()
        return gradient(np.full(n, 2.0))

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(first_call, range(1, THREADS + 1)))
    for n, derivative in enumerate(found, start=1):
        assert_close(derivative, np.full(n, 12.0))
