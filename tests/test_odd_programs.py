"""Mistakes and odd programs: each works, or is told in our own words, and nothing is lost by it.

A function is registered by ``@program(outcome, ...)``.  `RIGHT` means that value and derivatives
are those of the njit function.  Anything else is the error and what its message says; the line that
says ``# here`` is the line that it names.  That Numba itself refuses a function is told where
``numba.njit`` of it was seen to fail, and nowhere else.
"""

import cmath
import collections
import functools
import inspect
import math
import random
import re

import numba
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import scipy.special
from numba import typed
from test_activation import assert_near, differences_of

import dualtape as ad

# Of Numba: functions in variables, lists as arguments, object mode without the lock.
pytestmark = [
    pytest.mark.filterwarnings("ignore:First-class function type feature is experimental"),
    pytest.mark.filterwarnings(r"ignore:\s*Encountered the use of a type that is scheduled"),
    pytest.mark.filterwarnings("ignore:Code running in object mode"),
]
X = np.array([0.5, 0.6])
C = np.array([1.0, 2.0])
PLACES = np.array([1, 0])
TABLE = {"a": 1.0}
NAMES = ["a", "b"]
OBJECT = object()
PROGRAMS = {}
QUICK = []
RIGHT = "right"
NO_RULE = ad.MissingRuleError, "no derivative rule"
STORED = ad.MissingRuleError, "stores an active number where a plain value is kept"
COMPLEX = ad.MissingRuleError, "complex numbers have no derivative rules"
BYTES = ad.MissingRuleError, "bytes of active numbers"
INTEGER = ad.IntegerConversionError, "integer"
NOT_SCALAR = ad.NotScalarError, "a scalar is needed"
NOT_YET = ad.UnsupportedFunctionError, "dualtape cannot differentiate this"
REFUSED = ad.UnsupportedFunctionError, "cannot be compiled by Numba itself"


def program(outcome, *args, quick=False, modes=("forward", "reverse", "hessian")):
    """Register a function of X and further arguments with what becomes of its derivatives."""

    def register(f):
        assert f.__name__ not in PROGRAMS
        PROGRAMS[f.__name__] = f, args, outcome, modes
        QUICK.extend([f.__name__] * quick)
        return f

    return register


# Sets and dictionaries


@program(RIGHT, quick=True)
def set_of_numbers(x):
    s = {x[0], x[1] * x[0], x[0], 1.0}
    total = 0.0
    for v in s:
        total += v * v
    return total * len(s) + (x[1] if x[0] in s else 0.0)


@program(RIGHT)
def set_that_grows(x):
    s = {0.125}
    s.add(x[0])
    t = set()
    for v in x:
        t.add(v * v)
    t.discard(x[0])
    return max(s) * min(t) + x[1] * len(s.union(t))


@program(RIGHT)
def set_of_integers(x):
    return x[0] * x[1] * len({1, 2})


@program(NOT_SCALAR)
def returns_a_set(x):
    return {x[0]}


@program(RIGHT)
def number_as_a_key(x):
    d = {x[0]: x[1]}
    d[x[1]] = x[0] * x[1]
    return d[x[0]] * x[1] + d[x[1]]


@program(RIGHT)
def dictionary_of_numbers(x):
    d = {"a": x[0], "b": x[1]}
    d["c"] = d["a"] * d["b"]
    return d["c"] * d.get("a", 1.0) + d.pop("b")


@program(RIGHT)
def dictionary_by_comprehension(x):
    d = {i: x[i] for i in range(2)}
    s = 0.0
    for k, v in d.items():
        s += (k + 1) * v * v
    return s


@program(RIGHT)
def dictionary_of_floats_first(x):
    d = {0: 1.0}
    d[0] = x[0]
    return d[0] * x[1]


@program(RIGHT)
def dictionary_with_types(x):
    d = typed.Dict.empty(numba.int64, numba.float64)
    d[0] = x[0]
    d[1] = 2.0
    e = typed.Dict.empty(key_type=numba.types.unicode_type, value_type=numba.float64[:])
    e["a"] = x * d[0]
    return d[0] * x[1] * d[1] * e["a"][1]


@program((ad.UnsupportedFunctionError, "uses 'TABLE', which Numba cannot compile"))
def global_dictionary(x):
    return TABLE["a"] * x[0]  # here


@program((ad.ArgumentError, "argument 1 is .* of type dict, which Numba cannot type"), {"a": 1.0})
def dictionary_as_argument(x, d):
    return d["a"] * x[0]


# Lists and tuples


@program(RIGHT)
def list_with_types(x):
    items = typed.List.empty_list(numba.float64)
    items.append(x[0])
    items.append(3.0)
    arrays = typed.List.empty_list(numba.float64[:])
    arrays.append(x * x)
    arrays[0][1] = items[1] * x[0]
    return items[0] * x[1] * np.sum(arrays[0])


@program(RIGHT)
def typed_list_of_numbers(x):
    items = typed.List()
    items.append(x[0])
    items.append(x[1])
    return items[0] * items[1]


@program(RIGHT, [1.0, 2.0])
def list_argument_written_to(x, items):
    items[0] = x[0]
    items.append(x[1])
    return items[0] * items[2]


@program(RIGHT)
def list_methods(x):
    items = [x[1], x[0], x[1]]
    items.sort()
    items.insert(0, x[0] * x[1])
    items.reverse()
    items.remove(x[1])
    return items[0] * items[1] * items.count(x[0]) + sorted(items)[0]


@program(RIGHT)
def list_slices(x):
    items = [0.0, 1.0, 2.0] + [x[0]] * 2
    items[1:3] = [x[0], x[1]]
    del items[0]
    return items[0] * items[1] * items[-1]


@program(RIGHT)
def list_of_two_kinds(x):
    items = [x[0], "a"]
    return items[0] * x[1]


@program(RIGHT)
def tuple_of_many_kinds(x):
    t = (x[0], "a", None, x)
    return t[0] * t[3][1]


@program(REFUSED)
def item_of_a_tuple_set(x):
    t = (x[0], x[1])
    t[0] = 2.0
    return t[0]


@program(REFUSED)
def item_beyond_a_tuple(x):
    t = (x[0], x[1])
    return t[5]


@program(REFUSED)
def tuple_of_another_length(x):
    a, _, _ = x[0], x[1]
    return a


@program(RIGHT)
def tuples_compared(x):
    return x[0] * x[1] if (x[0], 1.0) < (x[1], 2.0) else x[0]


Pair = collections.namedtuple("Pair", "a b")


@program(RIGHT)
def named_tuple(x):
    t = Pair(x[0], x[1])
    return t.a * t.b


@program(REFUSED)
def named_tuple_replaced(x):
    return Pair(x[0], x[1])._replace(a=x[1]).a  # here


# None


@program(RIGHT, quick=True)
def smallest_that_may_be_none(x):
    best = None
    for v in x:
        if best is None or v < best:
            best = v
    return best


@program(RIGHT)
def none_at_the_end(x):
    for v in x:
        if v > 0.55:
            return v * x[0]


@program(RIGHT)
def none_on_another_path(x):
    if x[0] < 0.0:
        return None
    if x[0] < 0.1:
        return x[0]
    return x[0] * x[1] + x[1]


@program((ad.NotScalarError, "returned None here"))
def none_on_this_path(x):
    if x[0] > 0.0:
        return None
    return x[0] * x[1]


@program(NOT_SCALAR)
def nothing_returned(x):
    x[0] * x[1]


@numba.njit
def square_or_none(v):
    if v > 5.0:
        return None
    return v * v


@program(RIGHT)
def called_function_that_may_return_none(x):
    y, z = square_or_none(x[0]), square_or_none(x[1])
    if y is None or z is None:
        return None
    return y * z + square_or_none(x[0]) * x[1]


@program(RIGHT)
def none_compared(x):
    y = None
    if x[0] > 0:
        y = x[0]
    if y == None:  # noqa: E711
        return x[1]
    return y * x[1]


@program(RIGHT, None)
def none_as_argument(x, w):
    if w is None:
        return x[0] * x[1]
    return w * x[0]


# Functions as values


@numba.njit
def square(v):
    return v * v


@numba.njit
def cube(v):
    return v * v * v


@program(RIGHT, True)
def one_of_two_functions(x, flag):
    h = square if flag else cube
    return h(x[0]) * x[1]


@program(REFUSED)
def loop_over_functions(x):
    s = 0.0
    for h in (square, cube):  # here
        s += h(x[0])
    return s


@program(RIGHT)
def functions_in_tuples_and_dictionaries(x):
    pair = (square, cube)
    return pair[0](x[0]) * pair[1](x[1])


@program(REFUSED, 1)
def computed_function(x, k):
    return (square, cube)[k](x[0])  # here


@program(RIGHT)
def map_and_filter(x):
    s = 0.0
    for v in map(square, x):
        s += v
    for v in filter(lambda v: v > 0.55, x):
        s += v
    return s


@program(REFUSED)
def reduction(x):
    return functools.reduce(lambda a, b: a * b, x)  # here


@program(RIGHT)
def inner_functions(x):
    def inner(v):
        return v * x[1]

    other = lambda v, w=2.0: v * w  # noqa: E731
    return inner(x[0]) + other(x[0])


@numba.njit
def applied(h, v):
    return h(v) * v


@program((ad.ArgumentError, "captures 'x' of the function around it"))
def inner_function_given_away(x):
    def inner(v):
        return v * x[1]

    return applied(inner, x[0])


@program(REFUSED)
def too_many_arguments(x):
    return square(x[0], x[1])  # here


@program(REFUSED)
def argument_of_another_name(x):
    return square(w=x[0])  # here


@program(RIGHT, 2.0, 3.0)
def star_arguments(x, *rest):
    return x[0] * x[1] * rest[0] + rest[1]


@program((ad.ArgumentError, "takes keyword arguments of any name"))
def keywords_of_any_name(x, **names):
    return x[0] * x[1]


@numba.njit("float64(float64[:])")
def product_of(a):
    return a[0] * a[1]


@program((ad.UnsupportedFunctionError, "explicit signatures, none of which takes"))
def types_of_no_signature(x):
    return product_of(x[0])


@numba.njit("complex128(complex128)")
def complex_square(z):
    return z * z


@program(COMPLEX)
def complex_signature(x):
    return complex_square(x[0]).real


@numba.njit
def doubled(state):
    return state * 2.0


@program((ad.ArgumentError, r"the step takes \(state\), and is called with \(state, k\)"))
def step_without_index(x):
    return ad.checkpoint_loop(doubled, x, 3, 2)[0]


# What leaves compiled code


@program(NOT_YET)
def object_mode(x):
    with numba.objmode(y="float64"):  # here
        y = float(x[0])
    return y * x[1]


@program(RIGHT)
def object_mode_of_constants(x):
    with numba.objmode(y="float64"):
        y = random.Random(1).random()
    return y * x[0] * x[1]


@numba.cfunc("float64(float64)")
def c_square(v):
    return v * v


@program(NOT_YET)
def c_function(x):
    return c_square(x[0]) * x[1]  # here


@program(RIGHT)
def c_function_of_a_constant(x):
    return c_square(2.0) * x[1] * x[0]


@program(BYTES)
def address_of_an_array(x):
    return x[0] * (x.ctypes.data != 0)  # here


@program(BYTES)
def bytes_read_as_integers(x):
    return x.view(np.int64)[0] * x[0]  # here


@program(RIGHT)
def bytes_read_as_floats(x):
    return x.view(np.float64)[0] * x[1]


@program(BYTES)
def array_of_a_buffer(x):
    return np.frombuffer(x, dtype=np.float64)[0] * x[0]  # here


@program(BYTES)
def bytes_of_an_array(x):
    return x[0] * len(x.tobytes())  # here


@program(RIGHT)
def exceptions(x):
    if x[1] < 0.0:
        raise ValueError("negative", x[1])
    try:
        y = x[0] * x[1]
        if y > 5.0:
            raise ValueError("large")
    except Exception:
        y = x[0]
    finally:
        z = x[1] * x[0]
    return y * z


# Explicit outputs


@program(RIGHT)
def output_of_ufuncs(x):
    b = np.zeros(2)
    np.multiply(x, x, b)
    np.sin(b, b)
    return np.sum(b)


@program(RIGHT)
def output_of_a_product(x):
    b = np.zeros(2)
    np.dot(np.ones((2, 2)), x, out=b)  # here
    return np.sum(b * x)


@program(RIGHT)
def output_of_clip(x):
    b = np.zeros(2)
    np.clip(x, 0.0, 0.55, b)  # here
    return np.sum(b * x)


@program(RIGHT)
def output_of_round(x):
    b = np.zeros(2)
    np.round(x, 1, b)  # here
    return np.sum(b * x)


@program(RIGHT)
def rounded_to_digits(x):
    return np.around(x, 1)[0] * x[1] + np.around(x[1] * 10.3) * x[0]


# Complex numbers


@program(COMPLEX)
def complex_product(x):
    z = x[0] * 1j  # here
    return (z * z).real


@program(COMPLEX)
def complex_number(x):
    return abs(complex(x[0], x[1]))  # here


@program(COMPLEX)
def complex_function(x):
    return cmath.exp(x[0]).real  # here


@program(NOT_YET)
def complex_array_scaled(x):
    a = np.zeros(2, np.complex128)
    a[0] = 1.0
    a *= x[0]  # here
    return a[0].real


@program(STORED)
def stored_among_complex_numbers(x):
    a = np.zeros(2, np.complex128)
    a[0] = x[0]  # here
    return a[0].real


@program(COMPLEX)
def converted_to_complex_numbers(x):
    return np.sum(x.astype(np.complex128).real)  # here


@program(REFUSED)
def fourier_transform(x):
    return np.fft.fft(x)[0].real  # here


# Vectorized functions


@numba.vectorize
def vector_square(v):
    return v * v


@numba.vectorize(["float64(float64)"])
def compiled_vector_square(v):
    return v * v


@numba.vectorize(["float64(float64, float64, float64)"])
def vector_choice(a, b, c):
    if a > b:
        return a * a * c
    return np.sin(b) / (1.0 + a * a) + c / 2


@numba.guvectorize(["(float64[:], float64[:])"], "(n)->(n)")
def squares(a, out):
    for i in range(a.shape[0]):
        out[i] = a[i] * a[i]


@program(RIGHT)
def vectorized_function_of_a_number(x):
    return vector_square(x[0]) * x[1] + vector_square(3) * x[0]


@program(RIGHT)
def compiled_vectorized_function(x):
    return np.sum(compiled_vector_square(x))


@program(RIGHT)
def vectorized_function_of_several_arrays(x):
    y = vector_choice(x.reshape((2, 1)), C * x, 2)
    return np.sum(y * y) + vector_choice(x[0], C[1], x[1])


@program(RIGHT)
def generalized_vectorized_function(x):
    out = np.zeros(2)
    squares(x, out)
    return np.sum(out) + out[0] * x[1]


@program(RIGHT)
def vectorized_function_of_constants(x):
    return np.sum(compiled_vector_square(C) * x * x)


# Arrays for results


@program(RIGHT)
def products_into_arrays(x):
    out, other = np.empty((2, 2)), np.zeros(2)
    np.dot(np.outer(x, C), np.outer(C, x), out)
    np.dot(out, x, out=other)
    return np.sum(out * out) + other[0] * other[1]


@program(RIGHT)
def clipped_and_rounded_into_arrays(x):
    out, more, rounded = np.empty(2), np.empty(2), np.empty(2)
    np.clip(x, 0.2, 0.8, out)
    np.clip(2.0 * x, 0.0, 1.5, out=more)
    np.round(x, 1, rounded)
    np.round(3.1 * x, out=rounded[::-1])
    return np.sum(out * more * x) + rounded[0] * x[1]


@program(RIGHT)
def smallest_number_of_its_type(x):
    return x[0] * (1.0 + np.finfo(x.dtype).eps) + x[1]


# Integers


@program(RIGHT, quick=True)
def integer_of_a_number(x):
    return int(x[0]) * x[1] + x[int(x[0] // 1)] * np.int32(3.5 * x[1])


@program(RIGHT)
def numpy_integer_of_a_number(x):
    return np.int64(x[0]) * x[1]


@program(RIGHT)
def integers_of_an_array(x):
    k = (3.0 * x).astype(np.int64)
    return np.sum(k * x) + x[k[0] % 2] * k[1]


@program(RIGHT)
def array_as_integers(x):
    return x[0] * np.asarray(3.3 * x, np.int64)[1] + x[1]


@program(RIGHT)
def count_of_steps(x):
    s = 0.0
    for i in range(1, int(4.3 * abs(x[0]) + 2.1)):
        s += x[0] * x[1] / i
    return s


@program(RIGHT)
def interpolation_in_a_table(x):
    t = np.array([0.0, 1.0, 4.0, 9.0, 16.0, 25.0, 36.0])
    at = 1.6 + abs(x[0])
    i = int(np.floor(at))
    return (t[i] + (at - i) * (t[i + 1] - t[i])) * x[1]


@program(INTEGER, quick=True)
def stored_among_integers(x):
    a = np.zeros(2, np.int64)
    a[0] = x[0]  # here
    return a[0] * x[1]


@program(INTEGER)
def filled_with_integers(x):
    return np.full(2, x[0], np.int64)[0] * x[1]  # here


@program(INTEGER)
def number_as_an_index(x):
    return x[x[0]]  # here


@program(RIGHT)
def floor_as_an_index(x):
    return x[math.floor(x[0])] * round(x[1] * 3) + divmod(x[1], 0.4)[1] * x[0]


@program(REFUSED)
def bits_of_a_number(x):
    return x[0] << 1  # here


@program(NO_RULE)
def mantissa_and_exponent(x):
    mantissa, _ = math.frexp(x[0])  # here
    return mantissa * x[1]


@program(RIGHT)
def truth_of_numbers(x):
    if not x[0]:
        return x[1]
    return (x[0] and x[1]) * x[0] if bool(x[1]) and np.bool_(x[0]) else x[0]


# What is not there


@program(REFUSED)
def attribute_that_is_not_there(x):
    return x.foo  # here


@program(REFUSED)
def attribute_of_numpy_that_is_not_there(x):
    return np.foo(x)


@program((ad.UnsupportedFunctionError, "uses 'undefined', which is not defined"))
def undefined_name(x):
    return x[0] * undefined  # noqa: F821  # here


@program(REFUSED)
def method_of_a_number(x):
    return x[0] * len(x[0].hex())  # here


@program((ad.UnsupportedFunctionError, "uses 'OBJECT', which Numba cannot compile"))
def global_object(x):
    return x[0] if OBJECT is None else x[1]  # here


@program(REFUSED)
def import_inside(x):
    import os  # noqa: PLC0415

    return x[0] * len(os.sep)


@program(REFUSED)
def class_inside(x):
    class Inner:
        pass

    return x[0]


@program(REFUSED)
def generator_expression(x):
    return sum(v * v for v in x)


@program(NOT_SCALAR)
def generator(x):
    yield x[0]


@program(REFUSED)
def number_called(x):
    return x[0](1.0)  # here


@program(REFUSED)
def loop_over_a_number(x):
    s = 0.0
    for v in x[0]:  # here
        s += v
    return s


@program(REFUSED)
def text_plus_number(x):
    return "a" + x[0]  # here


@program(NOT_YET)
def number_compared_with_a_text(x):
    return x[0] if x[0] == "a" else x[1]  # here


@program(REFUSED)
def variable_of_two_kinds(x):
    y = x[0]
    if x[1] > 0.0:
        y = x
    return np.sum(y)


@program(REFUSED)
def two_kinds_returned(x):
    if x[0] > 0.0:
        return x[0]
    return x


@program(REFUSED)
def global_array_changed(x):
    a = C
    a += x[0]  # here
    return a[0]


@program(REFUSED)
def global_array_written_to(x):
    C[0] = x[0]  # here
    return C[0]


@program(REFUSED)
def too_many_indices(x):
    return x[0, 0]  # here


@program(REFUSED)
def product_with_a_number(x):
    return x @ 2.0  # here


@program(REFUSED)
def power_with_a_modulus(x):
    return pow(x[0], 2, 3)  # here


# Functions without a rule


@program(NO_RULE)
def covariance(x):
    return np.cov(x, 2.0 * x)[0, 1]  # here


@program(NO_RULE)
def complex_eigenvalues(x):
    return np.linalg.eig(np.diag(x))[0][0]  # here


@program(NO_RULE)
def next_float(x):
    return math.nextafter(x[0], 1.0)  # here


@program((ad.MissingRuleError, "scipy.special.itairy, which has no derivative rule"))
def bessel_function(x):
    return scipy.special.itairy(x[0])[0]  # here


@program((ad.MissingRuleError, "draws from normal with an active parameter"))
def drawn(x):
    return np.random.normal(x[0], 1.0)  # here


# Objects


# Functions: under register_jitable and overload, chosen at run time, passed with local arrays


@numba.extending.register_jitable
def cubed(v):
    w = np.zeros(2)
    w[0] = v
    return w[0] ** 3


def halved(v):
    raise NotImplementedError


@numba.extending.overload(halved)
def _halved(v):
    if not isinstance(v, numba.types.Float):
        return None

    def implementation(v):
        w = np.zeros(1)
        w[0] = 0.5 * v
        return w[0]

    return implementation


@program(RIGHT)
def registered_functions(x):
    return cubed(x[0]) * halved(x[1]) + halved(3.0)


@numba.njit
def scaled_sum(v):
    w = np.empty_like(v)
    for i in range(v.size):
        w[i] = v[i] * (i + 1.0)
    return np.sum(w)


@numba.njit
def squared_sum(v):
    s = np.zeros(1)
    for a in v:
        s[0] += a * a
    return s[0]


@numba.njit
def applied_twice(f, v):
    local = np.zeros(v.size)
    local[:] = v * f(v)
    return f(local)


@program(RIGHT)
def functions_that_are_passed(x):
    return applied_twice(scaled_sum, x) * applied_twice(squared_sum, x)


@program(RIGHT)
def a_function_chosen_at_run_time(x):
    f = scaled_sum if x[0] > x[1] else squared_sum
    s = 0.0
    for _ in range(2):
        s += f(x) * x[0]
        f = squared_sum
    return s


@numba.experimental.jitclass([("length", numba.float64)])
class Box:
    """Holds a float."""

    def __init__(self, length):
        self.length = length

    def area(self):
        return self.length * self.length


@program(RIGHT)
def object_made_of_a_number(x):
    box = Box(x[0])
    return box.area()


@program(STORED, Box(1.0))
def number_stored_in_an_object(x, box):
    box.length = x[0]  # here
    return box.area() * x[1]


@program(RIGHT, Box(2.0))
def object_of_constants(x, box):
    return box.area() * x[1] * x[0] + Box(3.0).length


RECORD = np.dtype([("a", np.float64)])


@program(STORED, np.zeros(1, RECORD))
def number_stored_in_a_record(x, records):
    records[0]["a"] = x[0]  # here
    return records[0]["a"]


@program(RIGHT, np.ones(1, RECORD))
def record_of_constants(x, records):
    return records[0]["a"] * x[0] * x[1]


# Results


@program(NOT_SCALAR)
def text_returned(x):
    return "a"


@program(NOT_SCALAR)
def tuple_returned(x):
    return x[0], x[1]


@program(NOT_SCALAR)
def function_returned(x):
    return square


@program(COMPLEX)
def complex_number_returned(x):
    return x[0] * 1j


@program(NOT_SCALAR)
def dictionary_returned(x):
    return {"a": x[0]}


TRANSFORMS = {
    "forward": functools.partial(ad.value_and_grad, mode="forward"),
    "reverse": functools.partial(ad.value_and_grad, mode="reverse"),
    "hessian": ad.hessian,
}
OURS = re.compile(r"VectorDual|HyperDual|Active\(|Pending|Twin\(|run_driver|0x[0-9a-f]{6}")
MOST_LINES = 10


def cases():
    for name, (_, _, _, modes) in PROGRAMS.items():
        marks = [] if name in QUICK else pytest.mark.slow
        yield from (pytest.param(name, mode, marks=marks) for mode in modes)


def copies_of(args):
    return [arg.copy() if isinstance(arg, np.ndarray | list) else arg for arg in args]


def is_refused(f, args):
    """Whether Numba refuses the function without derivatives."""
    try:
        numba.njit(f).compile(tuple(numba.typeof(arg) for arg in (X, *copies_of(args))))
    except Exception:  # Numba raises what happens to fail
        return True
    return False


def sum_of_squares(x):
    return np.sum(x * x)


@pytest.fixture(autouse=True)
def next_call_is_right():
    """After every program old transforms work, and so does plain Numba."""
    old = {mode: transform(sum_of_squares) for mode, transform in TRANSFORMS.items()}
    yield
    for mode in ("forward", "reverse"):
        value, gradient = old[mode](X)
        assert value == pytest.approx(0.61, rel=1e-15)
        np.testing.assert_allclose(gradient, 2.0 * X, rtol=1e-15)
    np.testing.assert_array_equal(old["hessian"](X), 2.0 * np.eye(2))
    assert square(3.0) == 9.0


@pytest.mark.parametrize(("name", "mode"), list(cases()))
def test_program(name, mode):
    f, args, outcome, _ = PROGRAMS[name]
    if outcome == RIGHT:
        check_right(f, args, mode)
        return
    error, message = outcome
    with pytest.raises(ad.DualtapeError) as caught:
        TRANSFORMS[mode](f)(X, *copies_of(args))
    text = str(caught.value)
    assert type(caught.value) is error or error is ad.DualtapeError
    assert re.search(message, text), text
    assert len(text.splitlines()) <= MOST_LINES
    assert f.__name__ in text
    assert not OURS.search(text), text
    lines, start = inspect.getsourcelines(f)
    marked = [start + i for i, line in enumerate(lines) if line.rstrip().endswith("# here")]
    if marked:
        assert re.search(rf"line {marked[0]} of \S*test_odd_programs\.py", text), text
    if error is ad.UnsupportedFunctionError:
        told = "dualtape cannot differentiate" not in text
        assert told == is_refused(f, args), text


def check_right(f, args, mode):
    plain = numba.njit(f)

    def at(function):
        return lambda x: function(x, *copies_of(args))

    if mode == "hessian":
        assert_near(at(ad.hessian(f))(X), differences_of(at(ad.grad(f, mode="forward")), X))
        return
    value, gradient = at(TRANSFORMS[mode](f))(X)
    assert value == at(plain)(X)
    assert_near(gradient, differences_of(at(plain), X))


def test_there_are_enough_programs():
    told = [outcome for _, _, outcome, _ in PROGRAMS.values() if outcome != RIGHT]
    assert len(told) >= 60
    assert len(PROGRAMS) - len(told) >= 30


# What happens while the function runs


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_none_where_a_number_is_needed(mode):
    """The exception is the plain function's own."""

    def f(x):
        y = None
        if x[0] > 1.0:
            y = x[0]
        return y * x[1]

    for function in (numba.njit(f), ad.grad(f, mode=mode)):
        with pytest.raises(TypeError, match="expected float64, got None"):
            function(X)
    np.testing.assert_allclose(ad.grad(f, mode=mode)(X + 1.0), [1.6, 1.5], rtol=1e-15)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_an_order_of_a_norm_without_rule(mode):
    """Which order it is, is known only there."""
    with pytest.raises(ad.ArgumentValueError, match=r"np\.linalg\.norm of a matrix"):
        ad.grad(lambda x: np.linalg.norm(np.outer(x, x), 3), mode=mode)(X)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_none_returned_at_one_point_only(mode):
    gradient = ad.grad(none_on_this_path, mode=mode)
    for _ in range(3):
        with pytest.raises(ad.NotScalarError, match="returned None here"):
            gradient(X)
        np.testing.assert_allclose(gradient(-X), [-0.6, -0.5], rtol=1e-15)


def test_errors_in_a_users_own_compiled_code():
    """Nobody but the driver can tell of them there."""

    @numba.njit
    def inner(x):
        return x[0] if x[1] == "text" else x[1]

    @numba.njit
    def outer(x):
        return ad.grad(inner)(x)

    with pytest.raises(ad.UnsupportedFunctionError, match=r"grad\(inner\): line \d+ of"):
        outer(X)


COUNTS = np.array([1.0, 3.0])


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_functions_of_scipy_on_constants(mode):
    """Numba does not have them: a rule computes them of every element."""

    def poisson(x):
        rate = np.exp(x)
        k = scipy.special.gammaln(COUNTS + 1.0) + scipy.special.xlogy(COUNTS, 2.0)
        return np.sum(rate - COUNTS * np.log(rate) + k)

    value, gradient = ad.value_and_grad(poisson, mode=mode)(X)
    assert value == pytest.approx(poisson(X), rel=1e-15)
    np.testing.assert_allclose(gradient, np.exp(X) - COUNTS, rtol=1e-14)


def test_a_function_of_scipy_is_no_fault_of_another_line():
    def f(x):
        y = scipy.special.erf(x[0])
        return x[1] if y == "text" else y

    with pytest.raises(NOT_YET[0], match=r"dualtape cannot differentiate .*y == .text"):
        ad.grad(f)(X)


def test_transforms_of_all_kinds_tell_of_errors():
    for call in (
        lambda: ad.hvp(number_compared_with_a_text)(X, X),
        lambda: ad.jvp(number_compared_with_a_text, (X,), (X,)),
        lambda: ad.vjp(number_compared_with_a_text, X),
        lambda: ad.jacobian(number_compared_with_a_text)(X),
        lambda: ad.sparse_hessian(number_compared_with_a_text)(X),
        lambda: ad.check_grad(number_compared_with_a_text, X),
    ):
        with pytest.raises(NOT_YET[0], match=NOT_YET[1]):
            call()


# Keyword-only parameters: Numba takes them from Python where all are given, and not inside


@numba.njit
def scaled(v, *, factor, power=2):
    return factor * v**power


@numba.njit
def put_into(v, *, out):
    out[0] = v


def uses_keywords(x, *, h=square, factor=3.0):
    b = np.zeros(1)
    put_into(x[0] * x[1], out=b)
    return h(b[0]) + scaled(x[0], factor=x[1]) + scaled(v=x[1], power=3, factor=factor)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_keyword_only_parameters(mode):
    def written_out(x, factor):
        return (x[0] * x[1]) ** 2 + x[1] * x[0] ** 2 + factor * x[1] ** 3

    for named in ({}, {"factor": 2.0}):
        value, gradient = ad.value_and_grad(uses_keywords, mode=mode)(X, **named)
        factor = named.get("factor", 3.0)
        assert value == pytest.approx(written_out(X, factor), rel=1e-15)
        expected = ad.grad(written_out, mode="forward")(X, factor)
        np.testing.assert_allclose(gradient, expected, rtol=1e-14)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_keyword_only_parameters_without_defaults(mode):
    def f(x, *, factor):
        return factor * x[0] * x[1]

    np.testing.assert_allclose(ad.grad(f, mode=mode)(X, factor=2.0), [1.2, 1.0], rtol=1e-15)
    with pytest.raises(TypeError, match="not enough arguments"):
        ad.grad(f, mode=mode)(X)


# SciPy's solvers inside of f


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda x: scipy.integrate.quad(halved, 0.0, x[0]), "dualtape.integrate.quad"),
        (lambda x: scipy.integrate.odeint(halved, x[0], X), "dualtape.integrate.odeint"),
        (lambda x: scipy.integrate.solve_ivp(halved, X, x), "dualtape.integrate.odeint"),
        (lambda x: scipy.optimize.bisect(halved, 0.0, x[0]), "dualtape.roots.bisect"),
        (lambda x: scipy.optimize.newton(halved, x[0]), "dualtape.roots.newton"),
        (lambda x: scipy.optimize.ridder(halved, 0.0, x[0]), "dualtape.roots.brentq"),
        (lambda x: scipy.optimize.root(halved, x), "dualtape.implicit_root"),
        (lambda x: scipy.optimize.minimize(halved, x), "dualtape.implicit_minimum"),
    ],
)
def test_solvers_of_scipy_point_to_their_counterparts(call, instead):
    with pytest.raises(ad.MissingRuleError, match=rf"line \d+ of .* calls scipy\..*{instead}"):
        ad.grad(call)(X)


def test_a_value_that_an_integrand_captures():
    def f(x):
        return ad.integrate.quad(lambda t: x[0] * t, 0.0, 1.0)[0]

    with pytest.raises(ad.ArgumentError, match=r"captures 'x' .*quad\(g, a, b, \(x,\)\)"):
        ad.grad(f)(X)
