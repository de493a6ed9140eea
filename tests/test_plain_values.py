"""The value is the plain function's: casts, and questions about the kind of a number.

A function is registered with its point and its derivatives by ``@at(...)``.  In both modes and to
second order its value is that of the njit function, bit for bit.  Derivatives are closed forms; at
numbers that were cast to single precision they agree to single precision.
"""

import math

import numba
import numpy as np
import pytest

import dualtape as ad

X = np.array([0.5, 0.6])
C = np.array([1.0, 2.0])
RTOL_SINGLE = 1e-6
CASES = {}
QUICK = []


def at(gradient, hessian=((0.0, 0.0), (0.0, 0.0)), *args, quick=False):
    """Register a function of X with the gradient and the Hessian there."""

    def register(f):
        assert f.__name__ not in CASES
        CASES[f.__name__] = f, args, np.array(gradient), np.array(hessian)
        QUICK.extend([f.__name__] * quick)
        return f

    return register


PRODUCT = (0.6, 0.5), ((0.0, 1.0), (1.0, 0.0))
SQUARE_TIMES = (0.6, 0.25), ((1.2, 1.0), (1.0, 0.0))  # of a * a * b


# Explicit signatures


@numba.njit("float64(int64)")
def whole(n):
    return n * 1.0


@numba.njit("float64(float64)")
def square(v):
    return v * v


@numba.njit("float32(float32)")
def single_square(v):
    return v * v


@numba.njit("float32(float64)")
def rounded_square(v):
    return v * v


@numba.njit("int64(float64)")
def truncated(v):
    return v * 2


@numba.njit("boolean(float64)")
def is_there(v):
    return v


@numba.njit(["int64(int64)", "float64(float64)"])
def square_of_either(v):
    return v * v


@numba.njit("float64(float64[:])")
def product_of(a):
    return a[0] * a[1]


@numba.njit("UniTuple(float32, 2)(float64)")
def pair(v):
    return v, v * v


@numba.njit("float64(UniTuple(float32, 2))")
def product_of_pair(t):
    return t[0] * t[1]


@numba.njit("float64(float64, int64)")
def repeated(v, n):
    for _ in range(n):
        v = v * v
    return v


@numba.njit(locals={"y": numba.float32, "k": numba.int64})
def with_types_of_variables(v):
    y = v * 1.1
    k = v * 7.0
    return y * v * k


@at((2.0, 0.0), quick=True)
def argument_cast_to_an_integer(x):
    return whole(x[0] * 5.4) * x[0]


@at(*SQUARE_TIMES)
def argument_of_the_type_of_the_signature(x):
    return square(x[0]) * x[1]


@at((0.6 * 1.21, 0.25 * 1.21), ((1.2 * 1.21, 1.21), (1.21, 0.0)), quick=True)
def argument_and_result_cast_to_single(x):
    return single_square(1.1 * x[0]) * x[1]


@at((0.0, 1.08), ((0.0, 0.0), (0.0, 3.6)))
def result_cast_to_single(x):
    return rounded_square(x[1]) * x[1]


@at((4.0, 0.0))
def result_cast_to_an_integer(x):
    return truncated(x[1] * 4.0) * x[0]


@at((1.0, 0.0))
def result_cast_to_a_boolean(x):
    return x[0] if is_there(x[0]) else x[1]


@at((4.0, 0.0), ((8.0, 0.0), (0.0, 0.0)))
def one_of_two_signatures(x):
    return square_of_either(x[0]) * square_of_either(2)


@at(*PRODUCT)
def array_in_any_order(x):
    return product_of(x[::-1])


@at((0.216, 0.54), ((0.0, 1.08), (1.08, 1.8)))
def result_is_a_tuple_of_singles(x):
    a, b = pair(x[1])
    return a * b * x[0]


@at(*SQUARE_TIMES)
def argument_is_a_tuple_of_singles(x):
    return product_of_pair((x[1], x[0])) * x[0]


@at((4.0 * 0.5**3 * 0.6, 0.5**4), ((12.0 * 0.25 * 0.6, 0.5), (0.5, 0.0)))
def variable_that_starts_as_an_argument(x):
    return repeated(x[0], 2) * x[1]


@at((1.1 * 3 * 2 * 0.5 * 0.6, 1.1 * 0.25 * 3), ((1.1 * 6 * 0.6, 1.1 * 3), (1.1 * 3, 0.0)))
def variables_with_types(x):
    return with_types_of_variables(x[0]) * x[1]


@at((0.6 * 1.21, 0.25 * 1.21), ((1.2 * 1.21, 1.21), (1.21, 0.0)))
@numba.njit("float64(float32[:])")
def own_signature(x):
    return (x[0] * x[0] * x[1]) * 1.21


# Single precision


@at((3.0, 0.0), quick=True)
def stored_in_single(x):
    b = np.zeros(1, np.float32)
    b[0] = x[0] * 0.2
    return x[0] * x[0] if b[0] == x[0] * 0.2 else 3.0 * x[0]


@at((0.6, 1.5), ((0.0, 1.0), (1.0, 0.0)))
def array_as_single(x):
    y = x.astype(np.float32)
    return y[0] * y[1] + x[1]


@at(*PRODUCT)
def array_of_a_list_in_single(x):
    b = np.array([x[0], x[1]], dtype=np.float32)
    return b[0] * b[1]


@at((0.6, 2.5), ((0.0, 1.0), (1.0, 0.0)))
def filled_in_single(x):
    b = np.full(2, x[1], np.float32)
    return b[0] * x[0] + np.sum(b)


@at((0.726, 0.605), ((0.0, 1.21), (1.21, 0.0)))
def sum_in_place_in_single(x):
    b = np.zeros(2, np.float32)
    b += x * 1.1
    return b[0] * b[1]


@at((3 * 1.21 * 0.25 + 1.21 * 0.36, 2 * 1.21 * 0.6 * 0.5), ((3.63, 1.452), (1.452, 1.21)))
def slice_in_single(x):
    b = np.zeros(4, np.float32)
    b[1:3] = x * 1.1
    return np.sum(b * b) * x[0]


E0, E1 = math.exp(0.5), math.exp(0.6)


@at((E0 * 1.5 + 1, E1 * 1.6 + 1), ((E0 * 2.5, 0.0), (0.0, E1 * 2.6)), quick=True)
def expression_of_two_precisions(x):
    b = np.zeros(2, np.float32)
    b[:] = x
    return np.sum(np.exp(b) * x + b)


@at((0.6, 1.6), ((0.0, 1.0), (1.0, 0.0)))
def number_as_single_and_back(x):
    y = np.float32(x[1])
    return np.float64(y) * x[0] + float(y) * 1.1


@at((1.6, 0.5), ((2.0, 1.0), (1.0, 0.0)))
def loop_in_single(x):
    s = np.float32(0.0)
    for v in x:
        s += np.float32(v)
    return s * x[0]


@at(*PRODUCT)
def cast_by_the_type_of_numba(x):
    return numba.float32(x[1]) * x[0]


@at((0.726, 0.605), ((0.0, 1.21), (1.21, 0.0)), np.zeros(2, np.float32))
def argument_in_single(x, a):
    a[0] = x[0] * 1.1
    a[1] = x[1] * 1.1
    return a[0] * a[1]


@at((2.0, 2.4), ((4.0, 0.0), (0.0, 4.0)))
def arrays_of_two_precisions_joined(x):
    return np.sum(np.concatenate((x.astype(np.float32), x)) ** 2)


@at((0.726, 2.065), ((0.0, 1.21), (1.21, 0.6)), quick=True)
def type_of_another_array(x):
    h = np.zeros(2, np.float32)
    h[0] = 0.2 * x[0]
    b = np.array([x[1] * 0.3, 1.0], h.dtype)
    c = (x * 1.1).astype(h.dtype)
    np.asarray(h, h.dtype)[1] = x[1] * 1.1
    unit = np.finfo(x.dtype).eps / np.finfo(h.dtype).eps * 2.0**29
    return b[0] * x[1] + c[0] * c[1] + h[1] * unit + x.dtype.type(0)


@at((4.2, 3.25), ((1.2, 7.0), (7.0, 0.0)), np.ones(2, np.float32))
def copy_of_singles_in_double(x, h):
    k = h * np.float32(2.0)
    a = np.asarray(k, np.float64)
    a[0] = x[0] * x[1]
    k[1] = 3.0 * x[0]
    return a[0] * x[0] + a[1] * k[1] * x[1]


# Questions about the kind of a number


@at((1.0, 0.0), ((2.0, 0.0), (0.0, 0.0)), quick=True)
def is_a_float(x):
    y = x[0]
    return y * y if isinstance(y, float) else 0.0


@at((1.0, 0.0), ((2.0, 0.0), (0.0, 0.0)))
def is_a_float_or_an_integer(x):
    y = x[0]
    return y * y if isinstance(y, (float, int)) else 0.0


@at(*PRODUCT)
def is_not_an_integer(x):
    return x[0] if isinstance(x[0], (int, complex, str, bool)) else x[0] * x[1]


@at(*PRODUCT)
def is_a_scalar(x):
    return x[0] * x[1] if np.isscalar(x[0]) and not np.isscalar(x) else x[0]


@at(*PRODUCT)
def is_real(x):
    return x[0] * x[1] if np.isrealobj(x) and not np.iscomplexobj(x * 2.0) else x[0]


@at(*PRODUCT)
def has_attributes(x):
    y = x[0]
    return y * x[1] if hasattr(y, "real") and not hasattr(y, "shape") else y


@at(*PRODUCT)
def containers_are_what_they_are(x):
    t, rows = (x[0], 1), [x[0], x[1]]
    right = isinstance(t, tuple) and isinstance(rows, list) and isinstance(t[0], float)
    return rows[0] * rows[1] if right and isinstance(t[1], int) else 0.0


@numba.njit
def square_of_anything(v):
    if isinstance(v, float):
        return v * v
    return np.sum(v * v)


@at(*SQUARE_TIMES)
def asked_in_a_called_function(x):
    return square_of_anything(x[0]) * x[1]


@at(*PRODUCT)
def texts_of_numbers(x):
    half, more = 0.5, 0.6
    same = str(x[0]) == str(half) and f"<{x[1]}, {x[0]}>" == f"<{more}, {half}>"
    return x[0] * x[1] if same else x[0]


@at((1.2, 1.0), ((0.0, 2.0), (2.0, 0.0)))
def attributes_of_floats(x):
    return x[0].real * x[1].conjugate() + x[0].item() * x[1] + x[0].imag


@at((2.4, 2.0), ((0.0, 4.0), (4.0, 0.0)))
def sizes(x):
    count = np.size(x[0]) + np.size(x) + len(np.shape(x[0])) + len(np.shape(x))
    return x[0] * x[1] * count


@at((16.0, 0.0))
def bytes_of_an_array(x):
    return x[0] * x.nbytes


@at(*PRODUCT)
def in_a_set(x):
    return x[0] * x[1] if x[1] in {0.6, 2.0} and x[0] not in {1.0} else x[0]


@at(*PRODUCT)
def close_to_each_other(x):
    near = np.isclose(x[0], 0.5) and np.allclose(x, np.array([0.5, 0.6]))
    return x[0] * x[1] if near else x[0]


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[] if n in QUICK else pytest.mark.slow) for n in CASES]
)
def test_value_and_derivatives(name, mode):
    f, args, gradient, hessian = CASES[name]
    x = X.astype(np.float32) if name == "own_signature" else X
    given = [np.copy(a) for a in args]
    plain = (f if name == "own_signature" else numba.njit(f))(x, *given)
    value, found = ad.value_and_grad(f, mode=mode)(x, *args)
    assert value == plain
    np.testing.assert_allclose(found, gradient, rtol=RTOL_SINGLE, atol=RTOL_SINGLE)
    value, found, second = ad.value_grad_hessian(f, mode=mode)(x, *args)
    assert value == plain
    np.testing.assert_allclose(found, gradient, rtol=RTOL_SINGLE, atol=RTOL_SINGLE)
    np.testing.assert_allclose(second, hessian, rtol=RTOL_SINGLE, atol=RTOL_SINGLE)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_printed_are_plain_values(mode, capfd):
    def f(x):
        print("x is", x[0], x, 1, [x[1]], (x[0], 2))
        return x[0] * x[1]

    numba.njit(f)(X)
    expected = capfd.readouterr().out
    ad.grad(f, mode=mode)(X)
    ad.hessian(f, mode="forward")(X)
    found = capfd.readouterr()
    assert found.out.splitlines() == expected.splitlines() * 2
    assert "Exception" not in found.err
