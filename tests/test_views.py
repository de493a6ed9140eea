"""Writes through views: an array sees what is written to it by any other name.

A case writes active numbers to an array through a view, a container or the result of a call, and
reads them through another name.  Its value is that of ``njit(case)``, its derivatives are those of
differences of ``njit(case)`` (exact for polynomials of degree 4, but for rounding), in forward,
hyper-dual and reverse mode.  What cannot be followed is refused with the line: `test_refused`.
"""

# A transform takes functions of Python's and Numba's, so NumPy's are wrapped.
# ruff: noqa: PLW0108

import functools
import inspect
import re
from typing import NamedTuple

import numpy as np
import pytest
from families import TOGETHER, together
from numba import njit, types
from numba.typed import Dict, List
from scenarios import assert_close

import dualtape as ad
from dualtape.analysis.effects import effects_on
from dualtape.analysis.fresh import CONSTRUCTORS, NEW, is_in

as_strided = np.lib.stride_tricks.as_strided
sliding_window_view = np.lib.stride_tricks.sliding_window_view

POINT = np.array([0.5, 0.75, -1.25, 2.0])
QUICK = 1  # groups of so many
STEP = 0.0625
OFFSETS = ((1.0, 8.0 / 12.0), (-1.0, -8.0 / 12.0), (2.0, -1.0 / 12.0), (-2.0, 1.0 / 12.0))
RTOL_DIFFERENCES = 1e-11  # some dozens of roundings, divided by two steps

CASES = {}
SCRATCH = {}
REFUSED = {}


def case(f):
    """Register a function of four numbers."""
    assert f.__name__ not in CASES
    CASES[f.__name__] = f
    return f


def scratch(*args):
    """Register a function with passive arguments that it writes to."""

    def register(f):
        assert f.__name__ not in SCRATCH
        SCRATCH[f.__name__] = f, args
        return f

    return register


def refused(message, *args):
    """Register a function that is refused, with a part of the message; its last line is named."""

    def register(f):
        REFUSED[f.__name__] = f, message, args
        return f

    return register


# Views that functions return


@case
def moved_axis(x):
    a = np.zeros((2, 3))
    b = np.moveaxis(a, 0, 1)
    b[2, 1] = x[0] * x[1]
    return np.sum(a) * x[2]


@case
def real_part(x):
    a, c = np.zeros(3), np.ones(2)
    b = np.real(a)
    b[2] = x[0] * x[1]
    c.real[1] = x[3]
    return a[2] * c[1] + np.sum(np.imag(x)) + x.imag[0]


@case
def one_more_axis(x):
    a, b, c = np.zeros((2, 3)), np.zeros(2), np.zeros(2)
    np.atleast_3d(a)[1, 1, 0] = x[0] * x[1]
    np.atleast_2d(b)[0, 1] = x[2]
    np.atleast_1d(c)[1] = x[3]
    return np.sum(a) * b[1] + c[1] * np.expand_dims(c, 0)[0, 1]


@case
def turned(x):
    a = np.zeros((2, 3))
    b = np.rot90(a)
    b[0, 1] = x[0] * x[1]
    c = np.flip(a)
    c[1, 1] = x[2]
    return a[1, 2] * a[0, 1] * x[3]


@case
def made_contiguous(x):
    a, c = np.zeros(3), np.zeros((2, 2))
    b = np.asfortranarray(a)
    b[1] = x[0] * x[1]
    np.ascontiguousarray(c)[1, 0] = x[2]
    copy = np.ascontiguousarray(c.T)
    copy[0, 0] = x[3]
    return a[1] * c[1, 0] + c[0, 0] + copy[0, 0] * copy[0, 1]


@case
def zeros_trimmed(x):
    a = np.array([0.0, 1.0, 1.0, 0.0, 0.0])
    b = np.trim_zeros(a)
    b[1] = x[0] * x[1]
    c = np.trim_zeros(a, "b")
    c[0] = x[2]
    return a[2] * a[0] + b.size * c.size * x[3]


@case
def flattened_and_reshaped(x):
    a = np.zeros((2, 2))
    b = np.ravel(a)
    b[1] = x[0] * x[1]
    np.reshape(a, (4,))[2] = x[2]
    np.ravel(a.T)[0] = x[3]  # a copy
    a.flat[3] = x[3]
    return a[0, 1] * a[1, 0] + a[0, 0] + a[1, 1] ** 2


@case
def pieces(x):
    a = np.zeros(4)
    first, second = np.split(a, 2)
    second[0] = x[0] * x[1]
    parts = np.array_split(a, 3)
    parts[0][1] = x[2]
    return a[2] * a[1] + np.sum(first) * x[3]


@case
def rows_of_a_split_matrix(x):
    a = np.zeros((2, 4))
    for part in np.vsplit(a, 2):
        part[0, 0] = x[0]
    np.hsplit(a, 2)[1][1, 0] = x[1] * x[2]
    return a[1, 2] * a[0, 0] * a[1, 0] + x[3]


@case
def broadcast_and_read(x):
    a = np.zeros(2)
    b = np.broadcast_to(a, (3, 2))
    c, d = np.broadcast_arrays(a, np.ones((2, 1)))
    a[1] = x[0] * x[1]
    return np.sum(b) * x[2] + np.sum(c * d) * x[3]


@case
def windows(x):
    a = np.zeros(4)
    w = sliding_window_view(a, 2)
    a[1] = x[0] * x[1]
    return w[0, 1] * w[1, 0] + np.sum(w) * x[2] + x[3]


@case
def in_a_loop_over_nditer(x):
    a = np.zeros((2, 2))
    for v in np.nditer(a):
        v[()] = x[0] * x[1]
    for index, v in np.ndenumerate(a):
        a[index] = v * x[2]
    return a[0, 1] * a[1, 1]


@case
def result_of_a_ufunc(x):
    a = np.zeros(4)
    b = np.multiply(x, 2.0, a)
    b[0] = x[1] * x[2]
    return a[0] * a[3]


@case
def views_of_views(x):
    a = np.zeros((2, 2, 2))
    b = np.swapaxes(np.moveaxis(a, 0, 2), 0, 1)
    c = np.transpose(np.atleast_3d(b[1]))
    c[0, 1, 0] = x[0] * x[1]
    return np.sum(a) * x[2] + np.max(a) * x[3]


@case
def one_of_two_views(x):
    a, b = np.zeros((2, 2)), np.ones((2, 2))
    c = np.flipud(a) if x[0] > 0.0 else np.fliplr(b)
    c[0, 1] = x[0] * x[1]
    return a[1, 1] * x[2] + b[0, 0] * x[3]


@case
def copy_of_a_global(x):
    a = TABLE.copy()
    np.atleast_2d(a)[0, 1] = x[0] * x[1]
    return a[0] * a[1] + TABLE[1] * x[2]


TABLE = np.array([3.0, 4.0])


@case
def array_of_another_type(x):
    k = np.zeros(2, np.int64)
    a = np.asarray(k, np.float64)
    a[1] = x[0] * x[1]
    return a[1] * x[2] + k[1] * x[3]


# Bytes


@case
def constant_strides(x):
    b = as_strided(x, (2,), (16,))
    b[0] = x[1] * x[3]
    return x[0] * b[1]


@case
def strides_of_the_array(x):
    a = np.zeros(6)
    b = as_strided(a, (2, 3), (2 * a.strides[0], a.itemsize))
    b[1, 2] = x[0] * x[1]
    c = as_strided(x, strides=(-8,), shape=(1,))
    return a[4] * x[2] + c[0] * x[3]


@case
def strides_of_a_plain_array(x):
    w = np.ones((4, 2))
    b = as_strided(x, (2, 2), w.strides)
    return b[1, 0] * b[0, 1] + x[1] * x.nbytes + x[2] * x.strides[0] + x[3] * x.itemsize


@case
def array_of_a_type_it_has(x):
    a = x * x
    b = np.asarray(a, np.float64)
    b[0] = 5.0 * x[0]
    c = np.asarray(a, dtype=np.float64).view(np.float64)
    c[1] = x[2] * x[3]
    return a[0] * a[1] + np.asarray((x[0], 1.0), np.float64)[0]


@case
def array_of_the_type_of_another(x):
    a = x * x
    np.asarray(a, x.dtype)[0] = 5.0 * x[0]
    a.view(x.dtype)[1] = x[2] * x[3]
    b = np.zeros_like(np.arange(3), dtype=x.dtype)
    np.atleast_2d(b)[0, 1] = x[0] * x[1]
    two, one = np.asarray(np.arange(3), x.dtype)[2], np.eye(2, dtype=a.dtype)[0, 0]
    return a[0] * a[1] + b[1] * two * one


# Containers


@case
def lists(x):
    a, b, c, d = np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(2)
    items = [a]
    items.append(b)
    items += [c]
    items.extend([d])
    other = items.copy()
    other[1][0] = x[0]
    items[2][1] = x[1]
    items.pop()[0] = x[2]
    ([c] * 2)[1][0] = x[3]
    return b[0] * c[1] * d[0] + c[0]


@case
def list_of_lists(x):
    a = np.zeros(2)
    rows = [[a]]
    inner = rows[0]
    rows[0].append(np.ones(2))
    inner[1][0] = x[0] * x[1]
    inner[0][1] = x[2]
    return rows[0][1][0] * a[1] * x[3]


@case
def typed_containers(x):
    a, b, c = np.zeros(2), np.zeros(2), np.zeros(2)
    items = List()
    items.append(a)
    items[0][1] = x[0]
    table = Dict()
    table[1] = b
    for v in table.values():
        v[0] = x[1]
    table.get(1, a)[1] = x[2]
    table.setdefault(2, c)[1] = x[3]
    return a[1] * b[0] * b[1] + c[1]


@case
def dict_items(x):
    a, b = np.zeros(2), np.zeros(2)
    table = {0: a, 1: b}
    for key, v in table.items():
        v[key] = x[key] * x[2]
    return a[0] * b[1] + x[3]


@case
def tuples_put_together(x):
    a, b, c = np.zeros(2), np.zeros(2), np.zeros(2)
    t = (a,) + (b,)  # noqa: RUF005
    t = t + (c,)  # noqa: RUF005
    t[1][0] = x[0]
    t[2][1] = x[1] * x[2]
    next(iter(t))[0] = x[3]
    return a[0] * b[0] + c[1]


@case
def iterated(x):
    a, b = np.zeros((2, 2)), np.zeros((2, 2))
    for i, (r, s) in enumerate(zip(a, b)):  # noqa: B905
        r[i] = x[0] * x[i]
        s[1] = x[2]
    for r in list((a, b)):  # noqa: C410
        r[0, 1] += x[3]
    return np.sum(a) * b[1, 1] + np.sum(b)


class Pair(NamedTuple):
    """A named tuple of an array and a number."""

    first: np.ndarray
    second: float


@case
def field_of_a_named_tuple(x):
    a = np.zeros(2)
    pair = Pair(a, 2.0)
    np.flip(pair.first)[0] = x[0] * x[1]
    return a[1] * pair.second * x[2] + x[3]


# Helpers


@njit
def same(a):
    return a


@njit
def swapped(a, b):
    return b, a


@njit
def put(items, a):
    items.append(a)


@njit
def last_of(*args):
    return args[-1]


@njit
def chosen_by_recursion(a, b, n):
    if n == 0:
        return a
    return chosen_by_recursion(b, a, n - 1)


@njit
def rows_of(a):
    for i in range(a.shape[0]):
        yield a[i]


@njit
def window_of(a, n=2):
    return sliding_window_view(np.moveaxis(np.atleast_2d(a), 0, 1), n, 0)


@njit
def doubled(a, out):
    for i in range(a.size):
        out[i] = 2.0 * a[i]
    return out


@case
def helpers_return_arguments(x):
    a, b, c, d = np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(4)
    same(a)[0] = x[0]
    swapped(a, b)[0][1] = x[1]
    chosen_by_recursion(a, c, 3)[1] = x[2]
    doubled(x, d)[0] = x[3]
    return a[0] * b[1] * c[1] + d[0] * d[1]


@case
def helpers_put_arguments_together(x):
    a, b = np.zeros(2), np.zeros(2)
    items = [a]
    put(items, b)
    items[1][0] = x[0] * x[1]
    last_of(x[2], items, a)[1] = x[2]
    return b[0] * a[1] + x[3]


@case
def helpers_yield_rows(x):
    a = np.zeros((2, 2))
    for row in rows_of(a):
        row[1] = x[0] * x[1]
    b = np.zeros(3)
    w = window_of(b)
    b[1] = x[2]
    return a[1, 1] * x[3] + w[1, 0, 0] * w[0, 0, 1]


# Arguments of the caller that are written to


@scratch(np.zeros(2))
def popped(x, a):
    items = [a]
    items.pop()[0] = x[0] * x[1]
    return np.sum(a) * x[2]


@scratch(np.zeros(2))
def next_of_an_iterator(x, a):
    b = next(iter((a,)))
    b[0] = x[0] * x[1]
    return np.sum(a) * x[3]


@scratch(np.zeros(2), np.zeros(2))
def joined_tuples(x, a, c):
    t = (a,) + (c,)  # noqa: RUF005
    t[1][0] = x[0] * x[1]
    return np.sum(a) + np.sum(c)


@scratch((np.zeros(2), np.zeros((2, 2))))
def tuple_of_arrays(x, buffers):
    np.rot90(buffers[1])[0, 1] = x[0] * x[1]
    doubled(x[:2], (buffers + (np.zeros(1),))[0])[1] = x[2]  # noqa: RUF005
    return np.sum(buffers[1]) * buffers[0][1]


def differences(f, x):
    """Return the gradient of f by differences."""
    steps = STEP * np.eye(x.size)
    return sum(w * np.array([f(x + k * step) for step in steps]) for k, w in OFFSETS) / STEP


@functools.cache
def reference(f, args=()):
    """Return value, gradient and Hessian of a plain function by differences."""
    plain = njit(f)

    def value(x):
        return plain(x.copy(), *copies(args))

    hessian = differences(lambda y: differences(value, y), POINT)
    return value(POINT), differences(value, POINT), hessian


def copies(args):
    return tuple(copies(a) if isinstance(a, tuple) else np.copy(a) for a in args)


def check(f, args, expected):
    x = POINT.copy()
    for mode in ("forward", "reverse"):
        value, gradient = ad.value_and_grad(f, mode=mode)(x, *args)
        assert_close(value, expected[0], 1e-15)
        assert_close(gradient, expected[1], RTOL_DIFFERENCES)
    assert_close(ad.value_grad_hessian(f)(x, *args), expected, RTOL_DIFFERENCES)
    np.testing.assert_array_equal(x, POINT)


def cases():
    """Return the names of cases; the first groups are quick."""
    return [
        name if i < QUICK * TOGETHER else pytest.param(name, marks=pytest.mark.slow)
        for i, name in enumerate(CASES)
    ]


@pytest.mark.parametrize("name", cases())
def test_case(name):
    f, which = together(name, CASES)
    check(f, (which,), reference(CASES[name]))


@pytest.mark.parametrize("name", SCRATCH)
def test_scratch(name):
    f, args = SCRATCH[name]
    given = copies(args)
    plain = njit(f)
    value = lambda x: plain(x.copy(), *copies(args))  # noqa: E731
    hessian = differences(lambda y: differences(value, y), POINT)
    check(f, given, (value(POINT), differences(value, POINT), hessian))
    for a, b in zip(_arrays(given), _arrays(args), strict=True):
        np.testing.assert_array_equal(a, b)


def _arrays(args):
    return [a for arg in args for a in (_arrays(arg) if isinstance(arg, tuple) else [arg])]


# What is refused


def list_of_an_array():
    items = List()
    items.append(np.zeros(2))
    return items


@refused("may be a view of an array of plain numbers", list_of_an_array())
def view_of_an_item_of_an_argument(x, items):
    np.flip(items[0])[0] = x[0] * x[1]
    return np.sum(items[0])


@refused("may be a view of an array of plain numbers", list_of_an_array())
def tuple_with_an_item_of_an_argument(x, items):
    (items[0],)[0][0] = x[0] * x[1]
    return np.sum(items[0])


@refused("may be a view of an array of plain numbers")
def integers_seen_as_floats(x):
    k = np.zeros(2, np.int64)
    k.view(np.float64)[0] = x[0]
    return k[0] * x[1]


@refused("may be a view of an array of plain numbers")
def parts_of_complex_numbers(x):
    z = np.zeros(2, np.complex128)
    np.imag(z)[0] = x[0] * x[1]
    return z[0].imag * x[1]


@refused("the bytes of active numbers")
def floats_seen_as_integers(x):
    return x[0] * x.view(np.int64)[0]


@refused("the bytes of active numbers")
def floats_from_a_buffer(x):
    return x[0] * np.frombuffer(x, np.float64)[1]


@refused("the bytes of active numbers")
def address(x):
    return x[0] * x.ctypes.data


@pytest.mark.parametrize("mode", ["forward", "reverse", "hessian"])
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, mode):
    f, message, args = REFUSED[name]
    derivative = ad.hessian(f) if mode == "hessian" else ad.grad(f, mode=mode)
    with pytest.raises(ad.DualtapeError, match=re.escape(message)) as caught:
        derivative(POINT.copy(), *args)
    lines, start = inspect.getsourcelines(f)
    named = int(re.search(r"line (\d+) of \S*test_views.py", str(caught.value))[1])
    assert start < named < start + len(lines)


def test_a_stride_inside_of_an_element():
    f = ad.grad(lambda x, s: np.sum(as_strided(x, (2,), (s,))))
    np.testing.assert_array_equal(f(POINT, 24), [1.0, 0.0, 0.0, 1.0])
    with pytest.raises(ValueError, match="a stride ends inside of an element"):
        f(POINT, 12)


# What is only read stays plain


READS = {}


def reads(*arg_types, written=()):
    """Register a function with types of its arguments, and the positions that it writes to."""

    def register(f):
        READS[f.__name__] = f, (VECTOR_TYPE, *arg_types), frozenset(written)
        return f

    return register


VECTOR_TYPE, MATRIX_TYPE = types.Array(types.float64, 1, "C"), types.Array(types.float64, 2, "C")


@reads(VECTOR_TYPE)
def largest_element(x, data):
    m = data[0]
    for v in data:
        if v > m:
            m = v
    return m * x[0]


@njit
def largest_of(data):
    m = 0.0
    for v in data:
        if v > m:
            m = v
    return m


@njit
def row_of(data, k):
    if k > 0:
        return data[k]
    return data[0]


@njit
def scaled(a, c):
    return a * c if c > 0.0 else np.zeros(a.size)


@njit
def distance(a, b):
    return np.sqrt((a - b) ** 2)


@reads(VECTOR_TYPE, MATRIX_TYPE)
def elements_and_rows_of_helpers(x, data, rows):
    row = rows[0]
    for i in range(3):
        if x[i] > 0.0:
            row = rows[i]
    return largest_of(data) * x[0] + np.sum(row_of(rows, 1)) + np.sum(row)


@reads(VECTOR_TYPE)
def nearest(x, data):
    best = 1e9
    for v in data:
        best = min(best, distance(x[0], v))
    return best


@reads(VECTOR_TYPE, MATRIX_TYPE, MATRIX_TYPE)
def made_of_data(x, data, rows, weights):
    y = np.reshape(data, (2, -1)) * 2.0
    y += x[0]
    z = scaled(data, 2.0)
    z[0] = x[1]
    w = data.copy()
    w[1] = x[2]
    for a, b in zip(rows, weights):  # noqa: B905
        r = a * b
        r -= x
        w[0] += np.sum(r)
    return np.sum(y) + np.sum(z) + np.sum(w)


@reads(types.Tuple((VECTOR_TYPE, types.float64)))
def made_of_a_tuple(x, p):
    y = p[0] * 2.0
    y[0] = x[0]
    return np.sum(y) + p[1]


@reads(VECTOR_TYPE, MATRIX_TYPE, written=(1, 2))
def written_through_views(x, data, rows):
    np.ravel(rows)[0] = x[0]
    (data if x[0] > 0.0 else np.moveaxis(rows, 0, 1)[0])[1] = x[1]
    return np.sum(rows)


@reads(types.UniTuple(VECTOR_TYPE, 2), VECTOR_TYPE, written=(0, 1))
def written_in_a_sum_of_tuples(x, p, data):
    (p + (x,))[1][0] = x[0]  # noqa: RUF005
    return (p[0] + data)[0]


@pytest.mark.parametrize("name", READS)
def test_what_is_only_read_stays_plain(name):
    f, arg_types, written = READS[name]
    assert effects_on(f, arg_types).written == written


# What is known to be new


V, M = np.array([0.25, 0.5, 0.75]), np.array([[2.0, 1.0], [1.0, 3.0]])
I, B = np.arange(3), V > 0.0
NEW_CALLS = {
    "angle": (V,), "append": (V, V[:0]), "argpartition": (V, 1), "argsort": (V,), "argwhere": (B,),
    "around": (V,), "bincount": (I,), "clip": (V, 0.0, 9.0), "column_stack": ((V,),),
    "concatenate": ((V,),), "convolve": (V, V[:1]), "corrcoef": (M,), "correlate": (V, V[:1]),
    "cov": (M,), "cross": (V, V), "cumprod": (V,), "cumsum": (V,), "delete": (V, 0),
    "diag": (V.reshape(3, 1),), "diagflat": (V,), "diff": (V, 0), "digitize": (V, V),
    "dot": (M, V[:2]), "dstack": ((V,),), "ediff1d": (V,), "extract": (B, V), "flatnonzero": (V,),
    "geomspace": (1.0, 2.0, 3), "histogram": (V,), "hstack": ((V,),), "insert": (V, 0, V[:0]),
    "interp": (V, V, V), "intersect1d": (V, V), "isclose": (V, V), "isin": (V, V), "kron": (V, V),
    "logspace": (0.0, 1.0, 3), "nancumprod": (V,), "nancumsum": (V,), "nonzero": (V,),
    "outer": (V, V), "partition": (V, 1), "percentile": (V, V), "quantile": (V, V),
    "repeat": (V, 1), "roll": (V, 0), "round": (V,), "searchsorted": (V, V),
    "setdiff1d": (V, V[:0]), "setxor1d": (V, V[:0]), "sinc": (V,),
    "sort": (V,), "stack": ((V,),), "take": (V, I), "tri": (3,),
    "tril": (M,), "triu": (M,), "union1d": (V, V), "unique": (V,), "unwrap": (V,), "vander": (V,),
    "vstack": ((V,),), "where": (B, V, V), "nan_to_num": (V,), "positive": (V,), "conjugate": (V,),
}  # fmt: skip
NEW_NUMBERS = {
    "all", "allclose", "amax", "amin", "any", "argmax", "argmin", "array_equal", "average",
    "count_nonzero", "iscomplexobj", "isrealobj", "max", "mean", "median", "min",
    "nanargmax", "nanargmin", "nanmax", "nanmean", "nanmedian", "nanmin", "nanpercentile",
    "nanprod", "nanquantile", "nanstd", "nansum", "nanvar", "ndim", "prod", "ptp", "shape",
    "size", "std", "sum", "trace", "trapezoid", "var", "vdot",
}  # fmt: skip
NEW_INDICES = {
    "diag_indices", "diag_indices_from", "indices", "iscomplex", "isneginf", "isposinf",
    "isreal", "tril_indices", "tril_indices_from", "triu_indices", "triu_indices_from",
}  # fmt: skip
NEW_EXPRESSIONS = {
    "astype": lambda v: v.astype(np.float64), "clip": lambda v: v.clip(0.0, 9.0),
    "conj": lambda v: v.conj(), "copy": lambda v: v.copy(), "cumsum": lambda v: v.cumsum(),
    "flatten": lambda v: v.flatten(), "repeat": lambda v: v.repeat(1),
    "take": lambda v: v.take(np.array([0, 1, 2])),
    "matrix_power": lambda v: np.linalg.matrix_power(v.reshape(1, 3).T @ v.reshape(1, 3), 1),
    "select": lambda v: np.select([v > 0.0], [v], 0.0),
    "take_along_axis": lambda v: np.take_along_axis(v, np.arange(3), 0),
    "permutation": lambda v: np.random.permutation(v), "choice": lambda v: np.random.choice(v, 3),
}  # fmt: skip


def memory_of(made):
    """Return the arrays in a result."""
    if isinstance(made, tuple | list):
        return [a for item in made for a in memory_of(item)]
    return [made] if isinstance(made, np.ndarray) else []


@pytest.mark.slow
@pytest.mark.parametrize("name", NEW_CALLS)
def test_results_of_functions_share_no_memory(name):
    function, args = getattr(np, name), NEW_CALLS[name]
    made = njit(lambda *args: function(*args))(*args)
    assert not any(np.shares_memory(a, b) for a in memory_of(made) for b in memory_of(args))


@pytest.mark.parametrize("name", NEW_EXPRESSIONS)
def test_results_of_expressions_share_no_memory(name):
    v = V.copy()
    assert not np.shares_memory(njit(NEW_EXPRESSIONS[name])(v), v)


def test_every_function_that_counts_as_new_is_tried():
    functions = {f for f in NEW if f in vars(np).values() and not isinstance(f, type | np.ufunc)}
    names = {f.__name__ for f in functions - CONSTRUCTORS}
    assert names <= NEW_NUMBERS | NEW_INDICES | set(NEW_CALLS) | set(NEW_EXPRESSIONS)


def test_views_do_not_count_as_new():
    for function in (
        np.reshape, np.ravel, np.moveaxis, np.real, np.atleast_1d, np.atleast_2d, np.atleast_3d,
        np.rot90, np.asfortranarray, np.trim_zeros, as_strided, sliding_window_view, np.split,
        np.broadcast_to, np.asarray, np.ascontiguousarray, np.diagonal, np.resize, np.squeeze,
        enumerate, zip, iter, next, reversed, list, tuple, sorted, dict,
    ):  # fmt: skip
        assert not is_in(function, NEW)
