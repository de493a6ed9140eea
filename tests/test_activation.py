"""User code of every kind is differentiated as it is: one function for each construct.

A function is registered with its point by ``@at(...)`` and checked in three ways: its value is that
of the plain function, its gradient is that of differences of the plain function, and its Hessian is
that of differences of the gradient (exact for polynomials of degree 4, but for rounding).  The
arguments are as they were after every call.
"""

# A transform takes functions of Python's and Numba's, so NumPy's are wrapped.

import math
import operator
from typing import NamedTuple

import numba
import numpy as np
import pytest
from scenarios import assert_close, assert_plain, asserting

import dualtape as ad

# Differences of fourth order, h = 2^-10: truncation 1e-12 f^(5), rounding 1e-16 |f| / 1e-3.
STEP = 2.0**-10
RTOL_DIFFERENCES = 1e-9
OFFSETS = ((1.0, 8.0 / 12.0), (-1.0, -8.0 / 12.0), (2.0, -1.0 / 12.0), (-2.0, 1.0 / 12.0))

CASES = {}


def at(*x, passive=()):
    """Register a function with the point to differentiate it at, and its other arguments."""

    def register(f):
        assert f.__name__ not in CASES
        CASES[f.__name__] = f, np.array(x), *passive
        return f

    return register


def differences(f, x):
    """Return df_i/dx_j by differences, outputs first."""
    columns = []
    for index in np.ndindex(x.shape):
        total = 0.0
        for offset, weight in OFFSETS:
            moved = x.copy()
            moved[index] += offset * STEP
            total = total + weight * np.asarray(f(moved)) / STEP
        columns.append(total)
    return np.moveaxis(np.array(columns).reshape(x.shape + np.shape(columns[0])), 0, -1)


def differences_of(f, x):
    """Return derivatives of f by differences, in the shape f(x).shape + x.shape."""
    flat = differences(lambda y: f(y.reshape(x.shape)), x.ravel())
    return flat.reshape(flat.shape[:-1] + x.shape)


def assert_near(found, expected):
    scale = max(1.0, float(np.max(np.abs(expected))))
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=RTOL_DIFFERENCES * scale)


def copies_of(args):
    return [np.copy(arg) if isinstance(arg, np.ndarray) else arg for arg in args]


# Arrays made in the function


@at(1.5, -0.5, 2.0)
def zeros(x):
    y = np.zeros(x.size)
    for i in range(x.size):
        y[i] = x[i] ** 2 * x[0]
    return np.sum(y)


@at(1.5, -0.5)
def zeros_with_dtype(x):
    y = np.zeros(2, dtype=np.float64)
    z = np.zeros(2, np.float64)
    y[0] = x[0] * x[1]
    z[1] = y[0] ** 2
    return y[0] + z[1]


@at(1.5, -0.5)
def zeros_two_dimensional(x):
    y = np.zeros((2, x.size))
    for i in range(2):
        for j in range(x.size):
            y[i, j] = x[j] ** (i + 2)
    return np.sum(y)


@at(1.5, -0.5)
def ones(x):
    y = np.ones(3)
    y[1] = x[0] * x[1]
    y[2] *= x[1]
    return y[0] + y[1] * y[2]


@at(1.5, -0.5)
def empty(x):
    y = np.empty((x.size, x.size))
    for i in range(x.size):
        for j in range(x.size):
            y[i, j] = x[i] * x[j] ** 2
    return y[0, 1] + y[1, 1]


@at(1.5, -0.5)
def full(x):
    y = np.full(3, 2.5)
    y[0] = x[0] ** 2
    return y[0] * y[1] + y[2] * x[1]


@at(1.5, -0.5)
def full_of_active(x):
    y = np.full(3, x[0] * x[1])
    return np.sum(y) * y[2]


@at(1.5, -0.5)
def full_two_dimensional(x):
    y = np.full((2, 2), x[1])
    y[0, 1] = x[0]
    return np.sum(y * y * y)


@at(1.5, -0.5)
def array_of_list(x):
    y = np.array([x[0], x[1] * x[0], 2.0])
    return y[0] * y[1] * y[2]


@at(1.5, -0.5)
def array_of_list_with_integers(x):
    y = np.array([1, x[0], x[1] * x[0]])
    return y[0] * y[1] * y[2]


@at(1.5, -0.5)
def array_of_tuple(x):
    y = np.array((x[0], x[1] ** 3))
    return y[0] * y[1]


@at(1.5, -0.5)
def array_of_lists(x):
    y = np.array([[x[0], 1.0], [0.5, x[1]]])
    return y[0, 0] * y[1, 1] + y[0, 1] * x[0] ** 2


@at(1.5, -0.5)
def array_of_constants_written_to(x):
    y = np.array([1.0, 2.0, 3.0])
    y[1] = x[0] * x[1]
    return y[0] + y[1] * y[2]


@at(1.5, -0.5)
def array_with_dtype(x):
    y = np.array([x[0], x[1]], dtype=np.float64)
    return y[0] * y[1] ** 2


@at(1.5, -0.5)
def zeros_like(x):
    y = np.zeros_like(x)
    y[1] = x[0] ** 3
    return y[0] + y[1] * x[1]


@at(1.5, -0.5)
def zeros_like_a_passive_array(x):
    passive = np.arange(3.0)
    y = np.zeros_like(passive)
    y[2] = x[0] ** 3
    return y[2] * x[1] + passive[1] * x[0]


@at(1.5, -0.5)
def ones_empty_and_full_like(x):
    y, z, w = np.ones_like(x), np.empty_like(x), np.full_like(x, 2.0)
    z[0], z[1] = x[1], x[0] * x[0]
    w[0] = z[1]
    return y[0] * z[0] + w[0] * w[1]


@at(1.5, -0.5)
def like_with_integer_dtype(x):
    counts = np.zeros_like(x, dtype=np.int64)
    for i in range(x.size):
        counts[i] += i + 1
    return counts[0] * x[0] ** 2 + x[counts[0]] ** 3


@at(1.5, -0.5)
def linspace(x):
    t = np.linspace(0.0, 1.0, 5)
    s = 0.0
    for i in range(t.size):
        s += (x[0] * t[i] + x[1]) ** 2
    return s


@at(1.5, -0.5)
def linspace_written_to(x):
    t = np.linspace(0.0, 1.0, 5)
    for i in range(1, t.size):
        t[i] = t[i - 1] * x[0] + x[1]
    return t[-1]


@at(1.5, -0.5)
def arange(x):
    t = np.arange(4)
    k = np.arange(1.0, 4.0)
    return np.sum(x[0] ** k) + x[t[1]] ** 2 + np.sum(t * x[1])


@at(1.5, -0.5)
def arange_written_to(x):
    t = np.arange(3.0)
    t[0] = x[0]
    t[1:] *= x[1]
    return t[0] * t[1] * t[2]


@at(1.5, -0.5)
def eye(x):
    a = np.eye(2)
    a[0, 1] = x[0]
    a[1, 1] *= x[1]
    return a[0, 1] ** 2 * a[1, 1] + a[0, 0]


@at(1.5, -0.5)
def identity(x):
    a = x[0] * np.identity(2)
    a[0, 1] = x[1]
    return np.sum(a * a * a)


@at(1.5, -0.5)
def copies(x):
    y = x.copy()
    z = np.copy(x)
    y[0] = z[1] * x[1]
    z[0] = 3.0
    return y[0] * y[1] + z[0] * x[0]


@at(1.5, -0.5)
def copy_of_a_passive_array(x):
    table = np.array([1.0, 2.0])
    y = table.copy()
    y[0] = x[0] * x[1]
    return y[0] + table[0] * x[1] ** 2


@at(1.5, -0.5)
def integer_arrays_stay_integer(x):
    index = np.zeros(2, dtype=np.int64)
    index[0] = 1
    order = np.array([1, 0])
    return x[index[0]] ** 2 * x[order[1]]


@at(1.5, -0.5)
def boolean_arrays_stay_boolean(x):
    flags = np.zeros(2, dtype=np.bool_)
    for i in range(2):
        flags[i] = x[i] > 0.0
    s = 0.0
    for i in range(2):
        if flags[i]:
            s += x[i] ** 3
    return s


# Accumulators and other variables of changing type


@at(1.5, -0.5)
def float_accumulator(x):
    s = 0.0
    for v in x:
        s += v * v
    return s


@at(1.5, -0.5)
def integer_accumulator(x):
    s = 0
    for v in x:
        s += v**3
    return s


@at(1.5, -0.5)
def integer_product(x):
    p = 1
    for v in x:
        p *= v
    return p


@at(1.5, -0.5)
def counter_and_sum(x):
    n, s = 0, 0.0
    for v in x:
        n += 1
        s = s + n * v**2
    return s / n


@at(1.5, -0.5)
def numpy_float_accumulator(x):
    s = np.float64(0.0)
    for v in x:
        s += np.float64(v) * 2.0 + float(v) ** 2
    return s


@at(1.5, -0.5)
def assigned_in_one_branch(x):
    y = 0.0
    if x[0] > 1.0:
        y = x[0] * x[1]
    return y + x[1] ** 2


@at(1.5, -0.5)
def assigned_in_the_branch_not_taken(x):
    y = 2
    if x[0] < 1.0:
        y = x[0] * x[1]
    return y * x[1] ** 2


@at(1.5, -0.5)
def tuple_accumulator(x):
    pair = (0.0, 1.0)
    for v in x:
        pair = (pair[0] + v * v, pair[1] * v)
    return pair[0] * pair[1]


@at(1.5, -0.5)
def array_accumulator(x):
    y = np.zeros(2)
    for i in range(3):
        y = y + (i + 1.0) * x * x
    return y[0] * y[1]


@at(1.5, -0.5)
def array_accumulator_in_place(x):
    y = np.zeros(2)
    for i in range(3):
        y += (i + 1.0) * x * x
    return y[0] * y[1]


@at(1.5, -0.5)
def array_from_a_passive_expression(x):
    y = 2.0 * np.arange(2.0) + 1.0
    for _ in range(2):
        y = y * x
    return np.sum(y)


@at(1.5, -0.5)
def array_of_one_of_two_branches(x):
    if x[0] > 0.0:  # noqa: SIM108
        y = np.zeros(2)
    else:
        y = np.ones(2)
    y[0] = x[0] * x[1]
    return y[0] * y[0] + y[1]


@at(1.5, -0.5)
def active_or_passive_array(x):
    y = np.array([3.0, 4.0])
    if x[1] < 0.0:
        y = x * x
    return y[0] * y[1]


# Control flow


@at(1.5, -0.5, 4.0)
def while_loop(x):
    y, k = x[0], 0
    while y < 39.0:
        y = y * x[0] + x[2]
        k += 1
    return y * k


@at(1.5, -0.5, 4.0)
def break_and_continue(x):
    s = 0.0
    for i in range(10):
        if i == 1:
            continue
        s += x[i % 3] ** 2
        if s > 20.0:
            break
    return s * x[0]


@at(1.5, -0.5, 4.0)
def while_true(x):
    y = x[0]
    while True:
        y = 0.5 * (y + x[2] / y)
        if abs(y * y - x[2]) < 1e-14:
            return y * x[0]


@at(1.5, -0.5, 4.0)
def loop_else(x):
    for v in x:
        if v > 100.0:
            s = v
            break
    else:
        s = x[0] * x[2]
    return s * s


@at(1.5, -0.5, 4.0)
def nested_loops_and_early_return(x):
    s = 0.0
    for i in range(3):
        for j in range(i, -1, -1):
            s += x[i] * x[j]
            if s > 10.0:
                return s * s
    return s


@at(1.5, -0.5, 4.0)
def branches(x):
    s = 0.0
    for v in x:
        if v > 2.0:
            s += v**3
        elif v > 0.0:
            s += v**2
        else:
            s -= v * x[0]
    return s


@at(1.5, -0.5, 4.0)
def conditions(x):
    s = x[0] if x[1] < 0.0 else x[2]
    if 0.0 < x[0] < 2.0 and not (x[1] > 0.0 or x[2] == 1.0):
        s = s * x[2]
    big = x[2] >= 3.0
    return s * x[1] if big else s


@at(1.5, -0.5, 4.0)
def truth_of_a_number(x):
    return x[0] ** 2 if x[0] else x[1]


@at(1.5, -0.5, 4.0)
def branch_not_taken_would_be_nan(x):
    s = x[0] * x[0]
    if x[1] > 0.0:
        s += math.sqrt(x[1]) + math.log(x[1])
    return s


@at(1.5, -0.5, 4.0)
def conditional_expression_in_a_loop(x):
    return sum([v * v if v > 0.0 else -v * v * v for v in x])


# Tuples


class Point(NamedTuple):
    """A pair of coordinates."""

    a: float
    b: float


@at(1.5, -0.5)
def swap(x):
    a, b = x[0], x[1] ** 2
    for _ in range(3):
        a, b = b, a * b
    return a


@at(1.5, -0.5)
def tuple_of_mixed_types(x):
    t = (x[0], 2, 3.0, x[1])
    return t[0] * t[1] + t[2] * t[3] ** 2


@at(1.5, -0.5)
def loop_over_a_tuple(x):
    s = 0.0
    for v in (x[0], x[1] * x[0], x[0]):
        s += v**2
    return s


@at(1.5, -0.5)
def loops_over_tuples_of_mixed_types(x):
    t = (x[0] * x[1], 2.0, 3, x[1])
    s = 0.0
    for v in t:
        s += v * v
    for i, v in enumerate(t):
        s += i * v**3
    for i in range(-2, 2):
        s += t[i] * x[0]
    for v, w in zip((x[0], 1.0), (2.0, x[1])):  # noqa: B905
        s += v * w
    return s + sum(t) * max(t) + min((1.0, x[0] ** 2))


def sum_of_products(*args):
    s, last = 0.0, 1.0
    for v in args:
        s += v * last
        last = v
    return s


@at(1.5, -0.5)
def star_arguments_of_mixed_types(x):
    return (
        sum_of_products(x[0], 2.0, x[1]) * sum_of_products(*x.shape) * sum_of_products(x[0], x[1])
    )


@at(1.5, -0.5)
def nested_tuples(x):
    t = ((x[0], x[1]), (2.0, (x[0] * x[1], 3)))
    (a, b), (c, (d, e)) = t
    return a * b * c * d * e


@at(1.5, -0.5)
def namedtuple(x):
    p = Point(x[0] * x[1], 2.0)
    q = Point(p.b, p.a)
    return q.b * p.a + q.a * x[0]


@at(1.5, -0.5)
def namedtuple_accumulator(x):
    p = Point(0.0, 2.0)
    for i in range(2):
        p = Point(p.a + x[i] ** 2, p.b)
    return p.a * p.b * x[0]


@at(1.5, -0.5)
def tuple_of_arrays(x):
    t = (x * x, np.ones(2))
    return t[0][0] * t[1][1] + t[0][1] * x[0]


@at(1.5, -0.5)
def writing_through_a_tuple_of_arrays(x):
    a, b = np.zeros(2), np.zeros(2)
    t = (a, b)
    t[0][0] = x[0] ** 2
    t[1][1] = x[1] ** 2
    return a[0] * b[1]


@at(1.5, -0.5)
def writing_in_a_loop_over_a_tuple_of_arrays(x):
    a, b = np.zeros(2), np.ones(2)
    for y in (a, b):
        y[0] = x[0] * x[1]
    return a[0] * b[0] + b[1] * x[0]


# Lists


@at(1.5, -0.5, 2.0)
def list_append(x):
    items = []
    for v in x:
        items.append(v * v)
    return items[0] * items[1] + items[-1]


@at(1.5, -0.5, 2.0)
def list_append_to_constants(x):
    items = [0.0]
    for v in x:
        items.append(items[-1] * x[0] + v)
    return items[-1] ** 2


@at(1.5, -0.5, 2.0)
def list_append_constant_first(x):
    items = []
    items.append(1.0)
    for v in x:
        items.append(items[-1] * v)
    return items[-1] * items[1]


@at(1.5, -0.5, 2.0)
def list_of_zeros(x):
    items = [0.0] * x.size
    for i in range(x.size):
        items[i] = x[i] ** 2
    return items[0] * items[1]


@at(1.5, -0.5, 2.0)
def list_of_integers_for_indices(x):
    order = [2, 0, 1]
    order.append(0)
    s = 0.0
    for k, i in enumerate(order):
        s += k * x[i] ** 2
    return s


@at(1.5, -0.5, 2.0)
def list_comprehension(x):
    squares = [v * v for v in x if v > 0.0]
    return squares[0] * squares[1]


@at(1.5, -0.5, 2.0)
def list_comprehension_of_constants_written_to(x):
    items = [0.0 for _ in range(3)]
    items[1] = x[0] * x[1]
    return items[1] ** 2 + items[0]


@at(1.5, -0.5, 2.0)
def nested_list_comprehension_written_to(x):
    rows = [[0.0 for _ in range(2)] for _ in range(3)]
    rows[2][1] = x[0] * x[1]
    return rows[2][1] ** 2 + rows[0][0]


@at(1.5, -0.5, 2.0)
def list_of_constant_tuples_written_to(x):
    items = [(0.0, 1) for _ in range(2)]
    items[1] = (x[0] * x[1], 2)
    return items[1][0] * items[1][1] * x[2] + items[0][0]


@at(1.5, -0.5, 2.0)
def list_of_lists(x):
    rows = [[v, 2.0 * v] for v in x]
    return rows[0][1] * rows[2][0]


@at(1.5, -0.5, 2.0)
def list_of_arrays(x):
    rows = [x * k for k in range(3)]
    return np.sum(rows[2] * rows[1])


@at(1.5, -0.5, 2.0)
def writing_through_a_list_of_arrays(x):
    a, b = np.zeros(2), np.zeros(2)
    rows = [a, b]
    rows[0][1] = x[0] * x[1]
    rows[1][0] = x[2] ** 2
    return a[1] * b[0]


@at(1.5, -0.5, 2.0)
def list_methods(x):
    items = [x[0], x[1]]
    items.insert(1, x[2] * x[0])
    items.extend([x[1], 3.0])
    last = items.pop()
    items.reverse()
    return last * items[1] * items[2] * len(items)


@at(1.5, -0.5, 2.0)
def builtins_on_lists(x):
    items = [v * x[0] for v in x]
    return sum(items) * max(items) + min(items) ** 2


@at(1.5, -0.5, 2.0)
def list_from_a_call(x):
    items = powers(x[0], 4)
    items[0] = items[1] * x[1]
    return sum(items)


def powers(v, n):
    return [v**k for k in range(n)]


@at(1.5, -0.5, 2.0)
def list_slices_and_copies(x):
    items = [x[0], x[1], x[2], 1.0]
    part = items[1:3]
    part[0] = x[0] ** 2
    again = list(items)
    again[0] = 5.0
    return part[0] * part[1] * items[1] * items[0] + again[0] * again[1] ** 2


@at(1.5, -0.5, 2.0)
def array_of_a_grown_list(x):
    items = []
    for v in x:
        items.append(v)
        items.append(2.0 * v)
    a = np.array(items)
    return np.sum(a * a * a)


# Dictionaries


@at(1.5, -0.5)
def dict_values(x):
    d = {0: x[0], 1: x[1] ** 2}
    d[5] = d[0] * d[1]
    return d[5] * d[0]


@at(1.5, -0.5)
def dict_of_constants_written_to(x):
    d = {1: 0.0}
    d[1] = x[0] * x[1]
    d[2] = 4.0
    return d[1] ** 2 * d[2]


@at(1.5, -0.5)
def dict_comprehension_written_to(x):
    d = {i: 0.0 for i in range(3)}  # noqa: C420
    d[1] = x[0] * x[1]
    return d[1] ** 2 + d[0]


@at(1.5, -0.5)
def empty_dict_given_a_constant_first(x):
    d = dict()  # noqa: C408
    d[0] = 0.0
    d[0] += x[0] * x[1]
    return d[0] ** 2


@at(1.5, -0.5)
def call_that_writes_to_a_dict(x):
    d = {0: 1.0}
    store_second(d, x[0] * x[1])
    return d[1] ** 2 * d[0]


def store_second(d, v):
    d[1] = v


@at(1.5, -0.5)
def dict_loop(x):
    d = {"first": x[0], "second": x[1] * x[0]}
    s = 0.0
    for key in d:  # noqa: PLC0206
        s += d[key] ** 2
    for v in d.values():
        s += v**3
    return s


@at(1.5, -0.5)
def dict_of_counts(x):
    counts = {0: 0}
    for v in x:
        if v > 0.0:
            counts[0] += 1
    return counts[0] * x[0] ** 2


# Calls of other functions


def square(v):
    return v * v


@numba.njit
def cube(v):
    return v * v * v


def fill_squares(x, out):
    for i in range(x.size):
        out[i] = x[i] * x[i]


@numba.njit
def scale_in_place(a, factor):
    a *= factor


def scale_twice(a, factor):
    scale_in_place(a, factor)
    scale_in_place(factor=factor, a=a)


def new_array(x):
    y = np.zeros(x.size + 1)
    y[1:] = x * x
    return y


def first_row(a):
    return a[0]


def same_array(a):
    return a


@at(1.5, -0.5)
def calls(x):
    return square(x[0]) * cube(x[1]) + square(3.0) + square(2) * x[0]


@at(1.5, -0.5)
def call_that_writes(x):
    y = np.zeros(x.size)
    fill_squares(x, y)
    return y[0] * y[1]


@at(1.5, -0.5)
def call_that_writes_through_another(x):
    y = np.ones(x.size)
    scale_twice(y, x[0] * x[1])
    return y[0] * x[0] + y[1]


@at(1.5, -0.5)
def call_that_writes_to_a_view(x):
    y = np.zeros((2, 2))
    fill_squares(x, y[1])
    fill_squares(x, y[:, 0])
    return np.sum(y * x[0])


@at(1.5, -0.5)
def call_that_writes_by_keyword(x):
    y = np.zeros(x.size)
    fill_squares(out=y, x=x)
    return y[0] * y[1]


@at(1.5, -0.5)
def call_on_passive_arrays_only(x):
    table = np.zeros(2)
    fill_squares(np.array([1.0, 2.0]), table)
    return table[1] * x[0] ** 2 + x[1]


@at(1.5, -0.5)
def call_that_returns_a_new_array(x):
    y = new_array(new_array(x))
    return y[2] * y[3]


@at(1.5, -0.5)
def writing_to_what_a_call_returned(x):
    y = new_array(np.ones(1))
    y[0] = x[0] * x[1]
    return y[0] * y[0] + y[1]


@at(1.5, -0.5)
def writing_to_a_view_that_a_call_returned(x):
    a = np.zeros((2, 2))
    row = first_row(a)
    row[1] = x[0] * x[1]
    return a[0, 1] * x[0]


@at(1.5, -0.5)
def writing_to_an_argument_that_a_call_returned(x):
    a = np.zeros(2)
    b = same_array(a)
    b[1] = x[0] * x[1]
    return a[1] * x[0]


@numba.njit
def sum_by_recursion(a):
    if a.size == 1:
        return a[0] * a[0]
    middle = a.size // 2
    return sum_by_recursion(a[:middle]) + sum_by_recursion(a[middle:])


@numba.njit
def fibonacci(v, n):
    if n < 2:
        return v
    return fibonacci(v, n - 1) + v * fibonacci(v, n - 2)


@at(1.5, -0.5, 2.0)
def recursion_on_arrays(x):
    return sum_by_recursion(x) * x[0]


@at(1.5, -0.5)
def array_without_dimension(x):
    return np.array(x[0] * x[1])[()] + np.sum(np.array(x[0]) * x)


@at(1.1, -0.5)
def recursion_on_numbers(x):
    return fibonacci(x[0], 5) * x[1]


def with_defaults(v, power=2, factor=3.0):
    return factor * v**power


@at(1.5, -0.5)
def default_and_keyword_arguments(x):
    a = with_defaults(x[0])
    b = with_defaults(x[1], factor=x[0])
    c = with_defaults(power=3, v=x[1])
    return a * b + c


def several_results(x):
    return x[0] * x[1], np.array([x[1], 1.0]), 3


@at(1.5, -0.5)
def call_with_several_results(x):
    a, b, n = several_results(x)
    return a * b[0] * n + b[1] * x[0] ** 2


@at(1.5, -0.5)
def inner_function(x):
    def g(v):
        return v * v + 1.0

    return g(x[0]) * g(x[1])


@at(1.5, -0.5)
def inner_function_that_captures(x):
    a = x[0] * x[1]

    def g(v):
        return a * v

    return g(x[0]) + g(2.0)


@at(1.5, -0.5)
def inner_lambda(x):
    g = lambda v: v**3  # noqa: E731
    return g(x[0]) * x[1]


def passive_helper(n):
    table = np.zeros(n)
    for i in range(n):
        table[i] = i + 1.0
    return table


@at(1.5, -0.5)
def passive_call(x):
    t = passive_helper(3)
    return t[2] * x[0] * x[1]


@at(1.5, -0.5)
def writing_to_the_result_of_a_passive_call(x):
    t = passive_helper(3)
    t[0] = x[0] ** 2
    return t[0] * t[2] * x[1]


def accumulate_into(items, v):
    items.append(v * v)


@at(1.5, -0.5)
def call_that_appends(x):
    items = [1.0]
    accumulate_into(items, x[0])
    accumulate_into(items, x[1])
    return items[0] + items[1] * items[2]


# Writing in place, views


@at(1.5, -0.5, 2.0)
def overwritten_elements(x):
    u = x.copy()
    left = u[0]
    for i in range(1, 3):
        here = u[i]
        u[i] = left * here  # the old neighbour, not the new one
        left = here
    return u[1] * u[2]


@at(1.5, -0.5, 2.0)
def overwriting_the_argument(x):
    old = x[0]
    x[0] = x[1] * x[2]
    x[1] += old
    return x[0] * x[1]


@at(1.5, -0.5, 2.0)
def views(x):
    u = np.zeros(5)
    middle = u[1:4]
    middle[:] = x
    right = middle[1:]
    right[0] = u[1] * u[3]
    return u[2] * u[1] + right[1]


@at(1.5, -0.5, 2.0)
def view_of_the_argument(x):
    y = x[1:]
    y[0] = x[0] * x[1]
    return x[1] * x[2]


@at(1.5, -0.5, 2.0)
def steps_and_negative_indices(x):
    u = np.zeros(6)
    u[::2] = x
    u[-1] = x[-1] * x[-2]
    u[1:5:2] = x[::-1][:2]
    return np.sum(u * u * np.arange(6.0)) + u[-2] * x[-3]


@at(1.5, -0.5, 2.0)
def another_name(x):
    a = np.zeros(3)
    b = a
    a[0] = x[0]
    b[1] = x[1] * a[0]
    return a[1] * b[0]


@at(1.5, -0.5, 2.0)
def one_of_two_names(x):
    a, b = np.zeros(2), np.ones(2)
    c = a if x[0] > 0.0 else b
    c[0] = x[0] * x[1]
    return a[0] ** 2 + b[0] * x[2]


@at(1.5, -0.5, 2.0)
def array_in_place_operators(x):
    y = np.array([1.0, 2.0, 3.0])
    y += x
    y -= 0.5 * x[0]
    y *= x
    y /= 1.0 + x * x
    y **= 2
    return np.sum(y)


@at(1.5, -0.5, 2.0)
def in_place_operators_change_other_names(x):
    a = np.zeros(3)
    b = a
    a += x * x
    return np.sum(b * x)


@at(1.5, -0.5, 2.0)
def in_place_on_a_passive_expression(x):
    y = np.arange(3.0) * 2.0
    y += x
    y[1] = y[0] * x[1]
    return np.sum(y * y)


@at(1.5, -0.5, 2.0)
def in_place_on_elements_and_slices(x):
    y = np.ones((2, 3))
    y[0] *= x
    y[1, 1:] += x[:2] * x[2]
    y[:, 0] -= x[0]
    y[1, 2] /= x[2]
    return np.sum(y * y)


@at(1.5, -0.5, 2.0)
def assigned_to_slices(x):
    y = np.zeros(4)
    y[:3] = x * x
    y[3:] = 7.0
    y[1:3] = y[0:2]
    return y[1] * y[2] + y[3] * y[0]


@at(1.5, -0.5, 2.0)
def assigned_constants(x):
    y = x * x
    y[0] = 3
    y[1] = 0.5
    return y[0] * y[1] * y[2] + x[0]


@at(1.5, -0.5, 2.0)
def filled(x):
    y = np.empty(3)
    y.fill(x[0])
    z = np.empty(2)
    z[:] = x[1] * x[2]
    return y[0] * y[2] * z[1]


@at(1.5, -0.5, 2.0)
def element_swaps(x):
    y = x.copy()
    y[0], y[2] = y[2], y[0]
    y[0], y[1] = y[1] * y[0], y[0]
    return y[0] * y[1] + y[2] ** 2


@at(1.5, -0.5, 2.0)
def boolean_mask(x):
    positive = x[x > 0.0]
    return np.sum(positive * positive * positive)


@at(1.5, -0.5, 2.0)
def assigned_by_mask(x):
    y = x * x
    y[x < 0.0] = 3.0
    return np.sum(y * x)


@at(1.5, -0.5, 2.0)
def fancy_index(x):
    y = x[np.array([2, 0, 0])]
    return y[0] * y[1] * y[2]


@at(1.5, -0.5, 2.0)
def ufunc_with_out(x):
    y = np.empty(3)
    np.multiply(x, x, y)
    np.add(y, x[0], y)
    return y[1] * y[2]


@at(1.5, -0.5, 2.0)
def reshaped_view(x):
    a = np.zeros((2, 3))
    flat = a.reshape(6)
    flat[1] = x[0] * x[1]
    a.ravel()[5] = x[2] ** 2
    return a[0, 1] * a[1, 2]


@at(1.5, -0.5, 2.0)
def transposed_view(x):
    a = np.zeros((2, 3))
    a.T[2, 1] = x[0] * x[1]
    b = np.transpose(a)
    b[0, 0] = x[2]
    return a[1, 2] * a[0, 0]


@at(1.5, -0.5, 2.0)
def flat_view(x):
    a = np.zeros((2, 2))
    a.flat[3] = x[0] * x[1]
    s = 0.0
    for v in a.flat:
        s += v * v
    return s * x[2]


@at(1.5, -0.5, 2.0)
def loop_over_rows_that_writes(x):
    a = np.zeros((2, 3))
    for k, row in enumerate(a):
        row[:] = x ** (k + 1)
    return a[0, 0] * a[1, 1]


@at(1.5, -0.5, 2.0)
def reused_buffer(x):
    work = np.empty(3)
    s = 0.0
    for k in range(3):
        for i in range(3):
            work[i] = x[i] * (k + 1.0) + (work[i - 1] if i > 0 else 0.0)
        s += work[2] ** 2
    return s


# Loops over several things


@at(1.5, -0.5, 2.0)
def enumerate_and_zip(x):
    s = 0.0
    for i, v in enumerate(x):
        s += i * v * v
    for a, b, c in zip(x, x[::-1], (1.0, 2.0, 3.0)):  # noqa: B905
        s += a * b * c
    return s


@at(1.5, -0.5, 2.0)
def zip_active_and_passive(x):
    weights = np.array([2.0, 3.0, 5.0])
    s = 0.0
    for w, v in zip(weights, x):  # noqa: B905
        s += w * v**2
    return s


@at(1.5, -0.5, 2.0)
def enumerate_with_start(x):
    s = 0.0
    for i, v in enumerate(x, 1):
        s += v**i
    return s


@at(1.5, -0.5, 2.0)
def loop_over_rows(x):
    s = 0.0
    for row in x.reshape(3, 1) * np.ones((1, 2)):
        s += row[0] * row[1] ** 2
    return s


@at(1.5, -0.5, 2.0)
def ndenumerate_and_ndindex(x):
    a = x.reshape((3, 1))
    s = 0.0
    for index, v in np.ndenumerate(a):
        s += (index[0] + 1.0) * v * v
    for i, j in np.ndindex(a.shape):
        s += a[i, j] ** 3
    return s


@at(1.5, -0.5, 2.0)
def shapes(x):
    a = x.reshape(1, 3)
    n, m = a.shape
    return len(x) * a.ndim * a.size * n * m * x[0] ** 2 + a.shape[1] * x[1]


# NumPy on arrays


@at(1.5, -0.5, 2.0)
def where(x):
    y = np.where(x > 0.0, x * x, -x)
    z = np.where(x > 1.0, x, 0.5)
    return np.sum(y * z) + np.where(x[0] > 1.0, x[0], x[1]) * x[2]


@at(1.5, -0.5, 2.0)
def clip(x):
    return np.sum(np.clip(x, 0.0, 1.75) ** 2 * x)


@at(1.5, -0.5, 2.0)
def clip_of_numbers(x):
    return min(max(x[0], 0.0), 1.0) * x[1] + max(x[2], x[0], 1.0) ** 2


@at(1.5, -0.5, 2.0)
def maximum_and_minimum(x):
    y = np.array([2.0, 1.0, -1.0])
    return np.sum(np.maximum(x, y) * np.minimum(x, 1.0)) + np.maximum(x[0], x[1]) * x[2]


@at(1.5, -0.5, 2.0)
def elementwise_functions(x):
    y = np.exp(0.3 * x) + np.sin(x) * np.cos(x) + np.tanh(x) + np.sqrt(4.0 + x)
    return np.sum(y * np.log(3.0 + x) + np.abs(x) ** 1.5 + x**2 / (1.0 + x**2) - x**3)


@at(1.5, -0.5, 2.0)
def functions_of_numbers(x):
    return math.exp(x[1]) * np.sin(x[0]) + math.sqrt(x[2]) * abs(x[1]) ** 3 - x[0] ** x[2]


@at(1.5, -0.5, 2.0)
def functions_of_two_arrays(x):
    y = np.array([1.0, 2.0, 0.5])
    return np.sum(np.hypot(x, y) * np.arctan2(x, y) + np.power(y, x))


@at(1.5, -0.5, 2.0)
def operators(x):
    y = -x + +x * 2 - 3 / (x + 5) + 2 ** (x / 4) + (x + 4) ** 0.5
    return np.sum(y) + operator.mul(x[0], x[1])


@at(1.5, -0.5, 2.0)
def remainders(x):
    return np.sum((x % 0.8) ** 2) + (x[0] // 1.0) * x[1] + divmod(x[2], 0.8)[1] ** 2


@at(1.5, -0.5, 2.0)
def integer_powers(x):
    n = 3
    k = np.arange(3)
    return np.sum(x**n) + np.sum(x**k) + x[0] ** -2 + x[1] ** 0 + pow(x[2], 2)


@at(1.5, -0.5, 2.0)
def broadcasting(x):
    column = x.reshape(3, 1)
    a = column * x + np.arange(3.0) - column[1]
    b = x[:, np.newaxis] * np.ones((1, 2)) + 1.0
    return np.sum(a * a) + np.sum(b**3)


@at(1.5, -0.5, 2.0)
def reductions(x):
    y = x * x
    return np.sum(y) * np.mean(x) + np.prod(y) + np.min(x) ** 3 + np.max(x) * x[0]


@at(1.5, -0.5, 2.0)
def reduction_methods(x):
    y = x * x
    return y.sum() * x.mean() + y.prod() + x.min() ** 3 + x.max() * x[0] + x.dot(y)


@at(1.5, -0.5, 2.0)
def argmin_and_argmax(x):
    return x[np.argmin(x)] ** 2 * x[x.argmax()]


@at(1.5, -0.5, 2.0)
def variance_and_deviation(x):
    return np.var(x) * x[0] + np.std(x) + x.var() + x.std()


@at(1.5, -0.5, 2.0)
def cumulative_sum(x):
    return np.sum(np.cumsum(x) ** 3) + np.sum(x.cumsum() ** 2)


@at(1.5, -0.5, 2.0)
def norm(x):
    return np.linalg.norm(x) * x[0] + np.linalg.norm(x[:2])


@at(1.5, -0.5, 2.0)
def dot(x):
    a = np.arange(9.0).reshape(3, 3) / 4.0
    return np.dot(x, np.dot(a, x)) + np.dot(x, x) * np.dot(np.ones(3), x)


@at(1.5, -0.5, 2.0)
def matrix_products(x):
    a = np.arange(6.0).reshape(2, 3) / 4.0
    b = np.outer(x, x)
    c = a @ b
    return np.sum(c @ c.T) + (x @ b) @ x + np.sum(a @ x) + np.sum(x[:2] @ a)


@at(1.5, -0.5, 2.0)
def any_and_all(x):
    s = x[0] * x[0]
    if np.any(x < 0.0):
        s = s * x[2]
    if np.all(x > -1.0):
        s = s * x[1]
    return s


@at(1.5, -0.5, 2.0)
def comparisons_of_arrays(x):
    return np.sum((x > 0.0) * x * x) + np.sum(x >= 1.0) * x[1]


def matrix_at(n, m):
    """Register a function of a matrix."""

    def register(f):
        rng = np.random.default_rng(n * m)
        CASES[f.__name__] = f, np.round(rng.normal(size=(n, m)), 3)
        return f

    return register


@matrix_at(2, 3)
def matrix_elements(a):
    n, m = a.shape
    s = 0.0
    for i in range(n):
        for j in range(m):
            s += a[i][j] * a[i, (j + 1) % m] * a[-1, j]
    return s


@matrix_at(2, 3)
def matrix_rows_and_columns(a):
    s = np.sum(a[0] * a[1]) + np.sum(a[:, 1] ** 3)
    b = np.zeros((3, 2))
    b[:, 0] = a[1, :]
    b[1, :] = a[:, 2] * a[0, 0]
    return s + np.sum(b * b * a.T)


@matrix_at(2, 3)
def matrix_submatrices(a):
    b = a[:, 1:]
    c = b[::-1, ::-1]
    return np.sum(b * c) + np.sum(a[..., 0] ** 2) * a[1, 2]


@matrix_at(2, 3)
def sums_along_axes(a):
    rows, columns = np.sum(a * a, axis=1), np.sum(a, axis=0)
    return np.sum(rows * rows) + np.prod(columns) + np.sum(a.sum(axis=-1) ** 3)


@matrix_at(2, 3)
def means_along_axes(a):
    return np.sum(np.sum(a**3, 0) / 2.0) + np.mean(a * a) * np.min(a) * a.max()


@matrix_at(2, 3)
def matrix_reductions(a):
    return a.sum() ** 2 + np.prod(a) + a.mean() * np.linalg.norm(a)


@matrix_at(2, 3)
def flattened(a):
    b = a.flatten()
    b[0] = b[1] * b[2]
    c = a.reshape(3, 2)
    return np.sum(b * a.ravel()) + np.sum(c[2] ** 3)


@matrix_at(2, 3)
def three_dimensions(a):
    b = np.zeros((2, 2, 3))
    for i in range(2):
        b[i] = a * a[i, 0]
        b[i, 1, ::2] *= 2.0
    return np.sum(b[1, :, 1] * b[0, 1, 2]) + np.sum(b)


@matrix_at(2, 3)
def matrix_times_its_transpose(a):
    b = a @ a.T
    return b[0, 0] * b[1, 1] - b[0, 1] ** 2


@matrix_at(3, 3)
def determinant_by_elimination(a):
    u = a.copy()
    d = 1.0
    for k in range(3):
        pivot = k
        for i in range(k + 1, 3):
            if abs(u[i, k]) > abs(u[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(3):
                u[k, j], u[pivot, j] = u[pivot, j], u[k, j]
            d = -d
        d *= u[k, k]
        for i in range(k + 1, 3):
            u[i, k:] -= u[k, k:] * (u[i, k] / u[k, k])
    return d


# Writes that the function sees through another name


def last_row(a):
    return a[-1]


def with_counter(a):
    return a, 1


@at(1.5, -0.5)
def tuple_of_computed_arrays(x):
    a, b = 2.0 * np.ones(2), np.arange(2.0) + 1.0
    t = (a, b)
    t[0][0] = x[0] ** 2
    t[1][1] = x[1] ** 2
    return a[0] * b[1] + a[1] * x[0]


@at(1.5, -0.5)
def list_of_computed_arrays(x):
    a, b = 2.0 * np.ones(2), np.arange(2.0) + 1.0
    rows = [a, b]
    rows[0][0] = x[0] ** 2
    rows[1][1] = x[1] ** 2
    return a[0] * b[1] + a[1] * x[0]


@at(1.5, -0.5)
def loop_over_a_tuple_of_computed_arrays(x):
    a, b = 2.0 * np.ones(2), np.arange(2.0) + 1.0
    for y in (a, b):
        y[0] = x[0] * x[1]
    return a[0] * b[0] + b[1] * x[0]


@at(1.5, -0.5, passive=(np.ones((2, 2)),))
def view_of_scratch_returned_by_a_call(x, work):
    row = last_row(work)
    row[0] = x[0] * x[1]
    return work[1, 0] * x[0] + work[0, 0]


@at(1.5, -0.5)
def view_of_a_computed_array_returned_by_a_call(x):
    a = 2.0 * np.ones((2, 2))
    row = last_row(a)
    row[0] = x[0] * x[1]
    return a[1, 0] * x[0] + a[0, 0]


@at(1.5, -0.5)
def array_returned_in_a_tuple_by_a_call(x):
    a = 2.0 * np.ones(2)
    b, n = with_counter(a)
    b[n] = x[0] * x[1]
    return a[1] * x[0]


@at(1.5, -0.5, passive=(np.ones(2), np.ones(2)))
def scratch_in_a_tuple(x, first, second):
    for work in (first, second):
        work[0] = x[0] * x[1]
    pair = (first, second)
    pair[1][1] = x[0] ** 2
    return first[0] * second[0] + second[1]


@at(1.5, -0.5, passive=(np.ones(2),))
def scratch_by_another_name(x, work):
    again = work
    half = again[1:]
    half[0] = x[0] * x[1]
    work[0] = x[1]
    return again[0] * work[1]


@at(1.5, -0.5, passive=(np.ones(2), np.zeros(2)))
def one_of_two_scratch_arrays(x, first, second):
    chosen = first if x[0] > 0.0 else second
    chosen[0] = x[0] * x[1]
    return first[0] ** 2 + second[0] * x[1]


@at(1.5, -0.5, passive=(np.ones((3, 2)),))
def scratch_rows_in_a_loop(x, work):
    for row in work:
        row[0] *= x[0]
        row[1] += x[1]
    return np.sum(work * work)


@at(1.5, -0.5, passive=(np.ones(3),))
def scratch_written_by_a_call_of_a_call(x, work):
    scale_twice(work[1:], x[0])
    return work[0] * x[1] + work[1] * work[2]


@at(1.5, -0.5, passive=(np.array([2.0, 3.0]),))
def passive_argument_that_becomes_active(x, a):
    for _ in range(2):
        a = a * x
    return np.sum(a)


@at(1.5, -0.5, passive=(np.array([2.0, 3.0]),))
def passive_argument_or_active_array(x, a):
    y = a
    if x[0] > 0.0:
        y = x * x
    return y[0] * y[1] * a[0]


@at(1.5, -0.5)
def two_names_of_one_accumulator(x):
    total = np.zeros(2)
    for k in range(2):
        part = total
        part[k] += x[k] ** 2
        total = part
    return total[0] * total[1]


@at(1.5, -0.5)
def swapped_buffers(x):
    old, new = np.zeros(2), np.ones(2)
    for _ in range(3):
        new[0] = old[1] + x[0]
        new[1] = old[0] * x[1]
        old, new = new, old
    return old[0] * new[1] + old[1] ** 2


@at(1.5, -0.5)
def buffer_in_a_namedtuple(x):
    p = Point(np.zeros(2), 2.0 * np.ones(2))
    p.a[0] = x[0] ** 2
    p.b[1] = x[1] ** 2
    return p.a[0] * p.b[1]


@at(1.5, -0.5)
def buffer_kept_after_its_owner_is_rebound(x):
    a = np.zeros(2)
    b = a[:1]
    a = np.ones(2)
    b[0] = x[0] * x[1]
    return b[0] * a[0]


def zeros_or_squares(x, flag):
    if flag:
        return np.zeros(2)
    return x * x


def table_or_squares(x, flag):
    if flag:
        return np.array([1.0, 2.0])
    return x * x


def number_or_product(x, flag):
    if flag:
        return 1.0
    return x[0] * x[1]


@at(1.5, -0.5)
def results_of_different_branches(x):
    a, b = zeros_or_squares(x, True), zeros_or_squares(x, False)
    c, d = table_or_squares(x, True), table_or_squares(x, False)
    return np.sum((a + c) * b * d) + number_or_product(x, True) * number_or_product(x, False)


@at(1.5, -0.5)
def list_of_constants_passed_on(x):
    items = [1.0, 2.0]
    store_first(items, x[0])
    return items[0] ** 2 * items[1] * x[1]


def store_first(items, v):
    items[0] = v


@at(1.5, -0.5)
def list_of_tuples(x):
    items = [(0.0, 1.0)]
    for v in x:
        items.append((v, items[-1][0] * v))
    return items[2][1] * items[1][0]


@at(1.5, -0.5)
def none_as_default(x):
    return weighted_sum(x) * weighted_sum(x, np.array([1.0, 2.0]))


def weighted_sum(x, weights=None):
    if weights is None:
        return np.sum(x)
    return np.sum(weights * x)


@at(1.5, -0.5, passive=("square", True, None))
def options_of_other_types(x, kind, flag, nothing):
    if kind == "square" and flag and nothing is None:
        return x[0] ** 2 * x[1]
    return x[1]


@at(1.5, -0.5, 2.0)
def arrays_joined(x):
    y = np.concatenate((x, np.zeros(1), x * x))
    z = np.append(x, 1.0)
    return np.sum(y * y) * z[1] + z[3]


@at(1.5, -0.5, 2.0)
def arrays_stacked(x):
    y = np.stack((x, x * x))
    z = np.column_stack((x, np.ones(3)))
    w = np.vstack((x, 2.0 * x))
    return np.sum(y * w) + np.sum(z[:, 0] ** 3)


@at(1.5, -0.5, 2.0)
def arrays_rearranged(x):
    y = np.flip(x) * np.roll(x, 1)
    return np.sum(y[:2] * np.diff(x)) + np.sum(np.repeat(x, 2) ** 3)


@at(1.5, -0.5, 2.0)
def sorted_copy(x):
    y = np.sort(x)
    return y[0] * y[1] ** 2 + y[2] ** 3


@at(1.5, -0.5, 2.0)
def sorted_in_place(x):
    y = x.copy()
    y.sort()
    z = x * x
    order = np.argsort(x)
    return y[0] * y[2] ** 2 + z[order[0]]


@at(1.5, -0.5, 2.0)
def cumulative_product(x):
    return np.sum(np.cumprod(x) ** 2)


@at(1.5, -0.5, 2.0)
def search_in_a_table(x):
    table = np.array([0.0, 1.0, 1.75, 3.0])
    k = np.searchsorted(table, x[0])
    weight = (x[0] - table[k - 1]) / (table[k] - table[k - 1])
    return weight * x[1] + (1.0 - weight) * x[2]


@at(1.5, -0.5, 2.0)
def generator_of_numbers(x):
    s = 0.0
    for v in products(x):
        s += v * v
    return s


def products(x):
    p = 1.0
    for v in x:
        p = p * v
        yield p


@at(1.5, -0.5, 2.0)
def typed_list(x):
    items = numba.typed.List()
    for v in x:
        items.append(v * v)
    return items[0] * items[2]


@at(1.5, -0.5, 2.0)
def constants_of_modules(x):
    return np.pi * x[0] ** 2 + math.e * x[1] * x[2] + min(np.inf, x[2])


# What Numba computes by BLAS: the sum of the absolute values of what is added.
BY_BLAS = {"matrix_products": 20.0, "matrix_times_its_transpose": 20.0, "norm": 20.0}


def assert_value(name, found):
    """Compare a value with the plain function's."""
    f, *args = CASES[name]
    if name == "loops_over_tuples_of_mixed_types":  # which Numba takes in twins only
        assert found == f(*args)
    else:
        assert_plain(found, f, *args, terms=BY_BLAS.get(name, 0.0))


# Each case is compiled twice, which takes minutes for all of them: these are run always.
QUICK_SECOND = {
    "zeros", "tuple_accumulator", "namedtuple", "list_append_to_constants", "dict_values",
    "call_that_writes", "overwritten_elements", "assigned_by_mask", "where", "reductions",
    "comparisons_of_arrays", "swapped_buffers",
}  # fmt: skip
QUICK_FIRST = QUICK_SECOND | set(list(CASES)[::8])


def cases(quick):
    assert CASES.keys() >= quick
    return [pytest.param(name, marks=[] if name in quick else pytest.mark.slow) for name in CASES]


@pytest.mark.parametrize("name", cases(QUICK_FIRST))
def test_first_order(name):
    """In several sweeps, so that nothing is carried from one to the next."""
    f, x, *args = CASES[name]
    original = copies_of((x, *args))
    value, gradient = ad.value_and_grad(f, chunk_size=2)(x, *args)
    assert_value(name, value)
    assert_near(gradient, differences_of(lambda y: f(y, *copies_of(args)), x))
    for arg, before in zip((x, *args), original, strict=True):
        np.testing.assert_array_equal(arg, before)


@pytest.mark.parametrize("name", cases(QUICK_SECOND))
def test_second_order(name):
    f, x, *args = CASES[name]
    gradient_of = ad.grad(f, chunk_size=2)
    value, gradient, hessian = ad.value_grad_hessian(f)(x, *args)
    assert_value(name, value)
    assert_close(gradient, gradient_of(x, *args))
    assert_near(hessian, differences_of(lambda y: gradient_of(y, *args), x))


# Where differences cannot look: kinks, jumps, branches not taken


def test_equality_looks_at_the_value():
    def f(x):
        s = 0.0
        for v in x:
            if v != 0.0:
                s += 1.0 / v
        return s

    x = np.array([0.5, 0.0, -2.0])
    assert_close(ad.grad(f)(x), np.array([-4.0, 0.0, -0.25]))
    assert_close(ad.hessian(f)(x), np.diag([16.0, 0.0, -0.25]))


def test_an_input_without_influence_never_makes_nan():
    def f(x):
        y = 0.0 * x[0]  # its partial is exactly zero: sqrt's infinite derivative does not meet it
        return math.sqrt(y) + math.log(y + 1.0) + x[1]

    assert_close(ad.grad(f)(np.array([3.0, 2.0])), np.array([0.0, 1.0]))


# Numbers to plain values


def test_value_makes_indices_and_constants():
    def f(x):
        k = int(ad.value(x[0]))
        return x[k] ** 2 + ad.value(x[1]) * x[2] + np.sum(ad.value(x))

    x = np.array([1.7, 3.0, 2.0])
    # Numba compiles value of a float as the float itself
    assert ad.value_and_grad(f)(x)[0] == 9.0 + 6.0 + 6.7
    assert_close(ad.grad(f)(x), np.array([0.0, 6.0, 3.0]))


def test_rounding_has_zero_derivative():
    def f(x):
        return np.floor(x[0]) * x[1] + round(x[0]) + np.ceil(x[1]) * x[0] + np.sign(x[1])

    x = np.array([1.7, -2.4])
    assert_close(ad.grad(f)(x), np.array([-2.0, 1.0]))


# Exceptions


class CustomError(Exception):
    """An exception of the user's."""


def raising(x):
    if x[0] < 0.0:
        raise ValueError("negative input", 3)
    return x[0] ** 2


def raising_custom(x):
    if x[0] < 0.0:
        raise CustomError("of the user")
    return x[0] ** 2


def raising_in_a_call(x):
    y = np.zeros(2)
    y[0] = raising(x)
    return y[0]


def dividing(x):
    return x[0] ** 2 if x[0] > 0.0 else 1 / (x[0] - x[0])


RAISING = {
    raising: (ValueError, "negative input"),
    raising_custom: (CustomError, "of the user"),
    asserting: (AssertionError, "must not be negative"),
    raising_in_a_call: (ValueError, "negative input"),
    dividing: (ZeroDivisionError, "division by zero"),
}


@pytest.mark.parametrize("f", RAISING, ids=lambda f: f.__name__)
def test_exceptions_of_the_function_come_through(f):
    error, message = RAISING[f]
    good, bad = np.array([2.0]), np.array([-1.0])
    for transform in (ad.grad, ad.hessian):
        derivative = transform(f)
        expected = derivative(good)
        for _ in range(2):
            with pytest.raises(error, match=message) as caught:
                derivative(bad)
            assert type(caught.value) is error
            np.testing.assert_array_equal(derivative(good), expected)
    assert_close(ad.grad(f)(good), np.array([4.0]))


def test_arguments_of_an_exception_are_kept():
    with pytest.raises(ValueError, match="negative") as caught:
        ad.grad(raising)(np.array([-1.0]))
    assert caught.value.args == ("negative input", 3)


def test_exceptions_caught_in_the_function():
    def f(x):
        try:
            if x[0] < 0.0:
                raise ValueError("inside")
            y = x[0] ** 2
        except Exception:
            y = -x[0]
        return y

    assert_close(ad.grad(f)(np.array([2.0])), np.array([4.0]))
    assert_close(ad.grad(f)(np.array([-2.0])), np.array([-1.0]))


# Other values of a user's program


@numba.experimental.jitclass([("stiffness", numba.float64), ("table", numba.float64[:])])
class Spring:
    """A passive object with a method."""

    def __init__(self, stiffness):
        self.stiffness = stiffness
        self.table = np.arange(3.0)

    def energy(self, d):
        return 0.5 * self.stiffness * d * d


def test_passive_jitclass_argument():
    def f(x, spring):
        return 0.5 * spring.stiffness * (x[1] - x[0]) ** 2 + spring.table[2] * x[0]

    gradient = ad.grad(f)(np.array([1.0, 3.0]), Spring(4.0))
    assert_close(gradient, np.array([-8.0 + 2.0, 8.0]))


def test_method_of_a_passive_jitclass():
    def f(x, spring):
        return spring.energy(x[1] - x[0])

    assert_close(ad.grad(f)(np.array([1.0, 3.0]), Spring(4.0)), np.array([-8.0, 8.0]))


def test_check_grad_agrees_on_arrays_of_results():
    def f(x):
        out = np.zeros((2, x.size))
        out[0] = x * x[0]
        out[1, ::-1] = np.exp(x)
        return out

    ad.check_grad(f, np.array([0.5, -0.25, 1.0]))
    x = np.array([0.5, -0.25])
    expected = np.zeros((2, 2, 2))
    expected[0, 0, 0], expected[0, 1] = 1.0, (-0.25, 0.5)
    expected[1, 1, 0], expected[1, 0, 1] = np.exp(x)
    assert_close(ad.jacobian(f)(x), expected)


@pytest.mark.parametrize("more", [(), (2.0,)])
def test_collected_arguments_are_handed_on_as_one(more):
    """A tuple that ``*args`` made is an argument like others to the next function."""

    @numba.njit
    def scaled(x, factors):
        return np.sum(x**2) * (1.0 + len(factors))

    slopes = ad.grad(scaled)

    @numba.njit
    def outer(y, *factors):
        return np.sum(slopes(y, factors) ** 2)

    y = np.array([1.0, -3.0])
    np.testing.assert_allclose(ad.grad(outer)(y, *more), 8.0 * (1.0 + len(more)) ** 2 * y)
