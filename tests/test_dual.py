"""`VectorDual`, and what all numbers share: operators, comparisons, refusals, types in Numba."""

import copy
import itertools
import math
import operator
import pickle
from collections import namedtuple
from math import inf, nan

import numba
import numpy as np
import pytest
from algebra import LAWS, RTOL_ALGEBRA, assert_same, flat, same, same_bits
from numba.core.errors import NumbaError
from numba.experimental import jitclass
from numba.typed import Dict, List

import dualtape as ad
from dualtape import HyperDual, IntegerConversionError, MixedNumbersError, VectorDual
from dualtape.numbers.partials import Partials
from dualtape.rules.table import RULES

njit_numpy = numba.njit(error_model="numpy")


def dual(value, *partials):
    return VectorDual(value, partials)


def pair(x, y):
    """Return x and y with their unit partials."""
    return dual(x, 1.0, 0.0), dual(y, 0.0, 1.0)


def in_both_worlds(f, *args):
    """Return what f gives at the prompt and in compiled code, having checked that they agree."""
    prompt, compiled = f(*args), numba.njit(f)(*args)
    assert type(prompt) is type(compiled)
    assert_same(compiled, prompt)
    return prompt


# Algebra


def test_the_textbook_example():
    number = in_both_worlds(lambda x: x**2 + 3 * x + 2, dual(4.0, 1.0))
    assert_same(number, dual(30.0, 11.0))


@pytest.mark.parametrize("world", ["prompt", "compiled"])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_algebra(law, world):
    f = law.f if world == "prompt" else numba.njit(law.f)
    for x, y in law.points:
        number = f(*pair(x, y))
        assert same_bits(number.value, f(x, y))
        assert number.partials == pytest.approx(law.gradient(x, y), rel=RTOL_ALGEBRA)


OPERATORS = [law for law in LAWS if law.is_operator]


@pytest.mark.parametrize("world", ["prompt", "compiled"])
@pytest.mark.parametrize("law", OPERATORS, ids=lambda law: law.name)
def test_operators_with_one_active_operand(law, world):
    f = law.f if world == "prompt" else numba.njit(law.f)
    for x, y in law.points:
        numbers = f(dual(x, 1.0, -2.0), y), f(x, dual(y, 1.0, -2.0))
        for number, slope in zip(numbers, law.gradient(x, y), strict=True):
            assert same_bits(number.value, f(x, y))
            assert number.partials == pytest.approx((slope, -2.0 * slope), rel=RTOL_ALGEBRA)


def all_operations(x, c):
    return (
        (x + c, c + x, x - c, c - x, x * c, c * x, x / c, c / x),
        (x // c, c // x, x % c, c % x, x**c, c**x, divmod(x, c), divmod(c, x)),
        (x < c, c < x, x <= c, c <= x, x > c, c > x, x >= c, c >= x, x == c, c == x, x != c),
    )


CONSTANTS = {
    "int": 3,
    "float": 2.5,
    "bool": True,
    "float64": np.float64(2.5),
    "float32": np.float32(2.5),
    "int64": np.int64(3),
    "uint8": np.uint8(3),
    "negative int": -2,
}


@pytest.mark.parametrize("constant", CONSTANTS.values(), ids=CONSTANTS)
def test_constants_of_every_kind_at_the_prompt(constant):
    x = dual(1.25, 1.0, -3.0)
    results = all_operations(x, constant)
    assert_same(results, all_operations(x, float(constant)))
    assert {type(field) for field in flat(results)} == {float, bool}


@pytest.mark.parametrize("constant", CONSTANTS.values(), ids=CONSTANTS)
def test_constants_of_every_kind_in_compiled_code(constant):
    # divmod(int, number) and powers by integers may be products, which round differently.
    compiled = flat(numba.njit(all_operations)(dual(1.25, 1.0, -3.0), constant))
    expected = flat(all_operations(dual(1.25, 1.0, -3.0), float(constant)))
    assert compiled == pytest.approx(expected, rel=RTOL_ALGEBRA, nan_ok=True)


def test_single_precision_constants_are_not_rounded_with():
    """A float32 scalar is taken at its value; the result stays double."""
    number = in_both_worlds(lambda x, c: x - c, dual(1.1, 1.0), np.float32(0.1))
    assert number.value == 1.1 - float(np.float32(0.1))


@pytest.mark.parametrize("n", [*range(-5, 12), 31, 1000, 0xFFFF, 0x10000, 70000])
def test_integer_powers_are_those_of_the_plain_function(n):
    literal, variable = numba.njit(lambda x: x**n), numba.njit(lambda x, n: x**n)
    for x in (1.0009, -1.0007, 0.9993):
        number = dual(x, 1.0, 0.0)
        assert same_bits((number**n).value, x**n)
        assert same_bits(literal(number).value, literal(x))
        assert same_bits(variable(number, n).value, variable(x, n))
        for power in (number**n, literal(number), variable(number, n)):
            # Some 2 log2(n) roundings of the base's powers, each amplified by up to n.
            assert power.partials[0] == pytest.approx(n * x ** (n - 1), rel=1e-15 * (abs(n) + 8))
            assert power.partials[1] == 0.0


# Powers at zero: value and first derivative, as the conventions have them

erf = RULES["erf"]
AT_ZERO = {
    "x**0": (lambda x: x**0, 1.0, 0.0),
    "x**0.0": (lambda x: x**0.0, 1.0, 0.0),
    "x**1": (lambda x: x**1, 0.0, 1.0),
    "x**1.0": (lambda x: x**1.0, 0.0, 1.0),
    "x**2": (lambda x: x**2, 0.0, 0.0),
    "x**2.0": (lambda x: x**2.0, 0.0, 0.0),
    "x**3": (lambda x: x**3, 0.0, 0.0),
    "x**3.0": (lambda x: x**3.0, 0.0, 0.0),
    "x**0.5": (lambda x: x**0.5, 0.0, inf),
    "x**1.5": (lambda x: x**1.5, 0.0, 0.0),
    "sqrt": (lambda x: np.sqrt(x), 0.0, inf),  # noqa: PLW0108
    "cbrt": (lambda x: np.cbrt(x), 0.0, inf),  # noqa: PLW0108
    "log": (lambda x: np.log(x), -inf, inf),  # noqa: PLW0108
    "log1p": (lambda x: np.log1p(x - 1.0), -inf, inf),
    "reciprocal": (lambda x: np.reciprocal(x), inf, -inf),  # noqa: PLW0108
    "arcsin": (lambda x: np.arcsin(x + 1.0), math.pi / 2, inf),
    "arccos": (lambda x: np.arccos(x + 1.0), 0.0, -inf),
    "arccosh": (lambda x: np.arccosh(x + 1.0), 0.0, inf),
    "arctanh": (lambda x: np.arctanh(x + 1.0), inf, inf),
    "2.0**x": (lambda x: 2.0**x, 1.0, math.log(2)),
    "0.0**x": (lambda x: 0.0**x, 1.0, 0.0),
    "0.0**(x+1)": (lambda x: 0.0 ** (x + 1), 0.0, 0.0),
    "x**x": (lambda x: x**x, 1.0, 0.0),
    "abs": (lambda x: abs(x), 0.0, 0.0),  # noqa: PLW0108
    "sqrt(x*x)": (lambda x: np.sqrt(x * x), 0.0, 0.0),
    "sqrt(x**2+x**4)": (lambda x: np.sqrt(x**2 + x**4), 0.0, 0.0),
    "(x*x)**0.5": (lambda x: (x * x) ** 0.5, 0.0, 0.0),
    "log(x*x)": (lambda x: np.log(x * x), -inf, 0.0),
    "hypot": (lambda x: np.hypot(x, 2 * x), 0.0, 0.0),
    "conditional": (lambda x: np.sqrt(x) if x > 0 else 0.0 * x, 0.0, 0.0),
    "maximum": (lambda x: np.maximum(x, 0.0), 0.0, 0.5),
    "minimum": (lambda x: np.minimum(0, x), 0.0, 0.5),
    "erf(x)/(x+1)": (lambda x: erf(x) / (x + 1.0), 0.0, 2.0 / math.sqrt(math.pi)),
}


@pytest.mark.parametrize("case", AT_ZERO)
def test_singular_points(case):
    f, value, first = AT_ZERO[case]
    number = in_both_worlds(f, dual(0.0, 1.0, 0.0, 2.0))
    # Strong zero: the lane that the input does not depend on stays zero beside an infinite one.
    assert_same(number, dual(value, first, 0.0, 2.0 * first))


def test_where_selects_and_never_blends():
    def root(x):
        return np.where(x > 0, np.sqrt(x), 0.0)

    at_the_prompt, compiled = root(dual(0.0, 1.0)), numba.njit(root)
    assert at_the_prompt.item() == 0.0
    assert_same(compiled(dual(0.0, 1.0)), dual(0.0, 0.0))
    assert_same(compiled(dual(4.0, 1.0)), dual(2.0, 0.25))


# Division by zero

RAISING = {
    "1/x": (lambda x: 1 / x, (inf, -inf, 0.0)),
    "x/0": (lambda x: (x + 1.0) / 0.0, (inf, inf, 0.0)),
    "x/x": (lambda x: x / x, (nan, nan, 0.0)),
    "x**-1": (lambda x: x**-1, (inf, -inf, 0.0)),
    "x**-2": (lambda x: x**-2, (inf, -inf, 0.0)),
    "5%x": (lambda x: 5.0 % x, (nan, nan, 0.0)),
    "x%0": (lambda x: (x + 1.0) % 0.0, (nan, nan, 0.0)),
    "5//x": (lambda x: 5.0 // x, (inf, 0.0, 0.0)),
    "x//0": (lambda x: (x + 1.0) // 0.0, (inf, 0.0, 0.0)),
}


@pytest.mark.parametrize("case", RAISING)
def test_division_by_zero(case):
    f, expected = RAISING[case]
    x = dual(0.0, 1.0, 0.0)
    for function, argument in ((f, 0.0), (f, x), (numba.njit(f), 0.0), (numba.njit(f), x)):
        with pytest.raises(ZeroDivisionError):
            function(argument)
    assert_same(njit_numpy(f)(x), dual(*expected))


def test_division_by_zero_of_one_number_by_another():
    x, y = pair(0.0, 2.0)
    with pytest.raises(ZeroDivisionError):
        y / x
    assert_same(njit_numpy(lambda x, y: y / x)(x, y), dual(inf, -inf, inf))


UFUNCS_AT_ZERO = {
    "divide": (lambda x: np.divide(1.0, x), (inf, -inf, 0.0)),
    "remainder": (lambda x: np.remainder(x + 1.0, 0.0), (nan, nan, 0.0)),
    "floor_divide": (lambda x: np.floor_divide(1.0, x), (inf, 0.0, 0.0)),
    "power": (lambda x: np.power(x, -1.0), (inf, -inf, 0.0)),
    "power by int": (lambda x: np.power(x, -1), (inf, -inf, 0.0)),
}


@pytest.mark.parametrize("case", UFUNCS_AT_ZERO)
def test_ufuncs_divide_by_zero_as_numpy_does(case):
    f, expected = UFUNCS_AT_ZERO[case]
    assert_same(f(dual(0.0, 1.0, 0.0)), dual(*expected))


@pytest.mark.parametrize("case", UFUNCS_AT_ZERO)
def test_ufuncs_divide_by_zero_as_numpy_does_in_compiled_code(case):
    f, expected = UFUNCS_AT_ZERO[case]
    assert_same(numba.njit(f)(dual(0.0, 1.0, 0.0)), dual(*expected))


def test_divmod_by_zero_raises_as_the_plain_function_does():
    with pytest.raises(ZeroDivisionError):
        divmod(dual(1.0, 1.0), 0.0)
    numbers = njit_numpy(lambda x: divmod(x, 0.0))(dual(1.0, 1.0))
    assert_same(numbers, (dual(inf, 0.0), dual(nan, nan)))


def test_divmod_by_zero_raises_in_compiled_code():
    with pytest.raises(ZeroDivisionError):
        numba.njit(lambda x: divmod(x, 0.0))(dual(1.0, 1.0))


def test_a_root_of_a_negative_number_is_nan():
    """Python's (-2.0)**0.5 is a complex number, Numba's is nan: a number never holds the former."""
    assert_same(in_both_worlds(lambda x: x**0.5, dual(-2.0, 1.0, 0.0)), dual(nan, nan, 0.0))
    assert_same(in_both_worlds(lambda x: (-2.0) ** x, dual(1.5, 1.0)), dual(nan, nan))


# Comparisons and truth

COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)


def all_comparisons(x, y):
    return (
        (x < y, x <= y, x > y, x >= y, x == y, x != y),
        (1 < x < 3, not x, x and y, x or y, bool(x)),
    )


def test_comparisons_look_at_the_value_only():
    compiled = numba.njit(all_comparisons)
    for x, y in itertools.product([2.0, -0.0, nan], [2.0, 0.0, 7, True]):
        expected = tuple(op(x, y) for op in COMPARISONS)
        truth = (1 < x < 3, not x, x and y, x or y, bool(x))
        for a, b in ((dual(x, 5.0), y), (x, dual(y, -5.0)), (dual(x, 1.0), dual(y, 2.0))):
            for function in (all_comparisons, compiled):
                compared, judged = function(a, b)
                assert compared == expected
                assert all(map(same, map(ad.value, judged), truth))


def test_comparisons_with_numpy_scalars():
    for x, kind in itertools.product([2.0, -0.0, nan], [np.float64, np.float32, np.int64]):
        scalar, number = kind(2), dual(x, 5.0)
        assert [op(number, scalar) for op in COMPARISONS] == [op(x, 2) for op in COMPARISONS]
        assert [op(scalar, number) for op in COMPARISONS] == [op(2, x) for op in COMPARISONS]


def test_a_number_equals_nothing_else():
    x = dual(2.0, 1.0)
    for other in ("2.0", 2 + 1j, None, (2.0,)):
        assert not x == other  # noqa: SIM201
        assert x != other
    with pytest.raises(TypeError):
        x < "2.0"  # noqa: B015


def test_branches_follow_the_value():
    def kinked(x):
        if x < 1.0:
            return x * x
        return 3.0 * x

    assert_same(in_both_worlds(kinked, dual(0.5, 1.0)), dual(0.25, 1.0))
    assert_same(in_both_worlds(kinked, dual(1.0, 1.0)), dual(3.0, 3.0))


def test_maximum_and_minimum_of_equal_numbers_share_the_derivative():
    x, y = pair(2.0, 2.0)
    assert_same(in_both_worlds(lambda x, y: -np.maximum(x, y), x, y), dual(-2.0, -0.5, -0.5))
    assert_same(numba.njit(lambda x, y: max(x, y))(x, y), dual(2.0, 0.5, 0.5))  # noqa: PLW0108
    assert_same(numba.njit(lambda x: max(1.0, x, 2))(x), dual(2.0, 0.5, 0.0))
    assert_same(numba.njit(lambda x: min(x, 2.0))(x), dual(2.0, 0.5, 0.0))
    assert_same(numba.njit(lambda x: np.clip(x, -1.0, 2.0))(x), dual(2.0, 0.5, 0.0))


def test_maximum_of_passive_arguments_first():
    assert_same(numba.njit(lambda x: max(1.0, 2.0, x))(dual(3.0, 1.0)), dual(3.0, 1.0))


# What is refused

BINARY = {
    "+": operator.add,
    "/": operator.truediv,
    "**": operator.pow,
    "%": operator.mod,
    "arctan2": np.arctan2,
    "rule": RULES["logaddexp"],
}
OTHERS = {
    "width": (dual(1.0, 1.0), dual(1.0, 1.0, 2.0)),
    "family": (dual(1.0, 1.0), HyperDual(1.0)),
    "hyper width": (HyperDual(1.0), HyperDual(1.0, [1.0, 0.0], [1.0, 0.0])),
    "inner kind": (dual(dual(1.0, 1.0), 1.0), dual(HyperDual(1.0), 1.0)),
}


@pytest.mark.parametrize("others", OTHERS.values(), ids=OTHERS)
@pytest.mark.parametrize("op", BINARY)
def test_two_kinds_of_one_level_do_not_mix(op, others):
    function = BINARY[op]
    call = numba.njit(lambda x, y: function(x, y))  # noqa: PLW0108
    for x, y in (others, others[::-1]):
        with pytest.raises(MixedNumbersError, match="one kind"):
            function(x, y)
        with pytest.raises(MixedNumbersError, match="one kind"):
            call(x, y)


def test_a_variable_holds_one_kind_of_number():
    with pytest.raises(MixedNumbersError, match=r"VectorDual1\(float64\)"):
        numba.njit(lambda x, y: x if x > 0 else y)(dual(1.0, 1.0), HyperDual(1.0))


INTEGER_USES = {
    "index": operator.index,
    "range": range,
    "list": [1, 2, 3].__getitem__,
    "float": float,
    "complex": complex,
    "math": math.sin,
    "array": lambda x: np.zeros(3, dtype=float).__setitem__(0, x),
}


@pytest.mark.parametrize("use", INTEGER_USES)
def test_conversion_that_would_lose_the_derivative_is_refused(use):
    for number in (dual(1.0, 1.0), HyperDual(1.0), dual(dual(1.0, 1.0), 1.0)):
        with pytest.raises(IntegerConversionError, match=r"int\(x\)|dualtape\.value\(x\)"):
            INTEGER_USES[use](number)


def test_conversion_is_refused_in_compiled_code():
    with pytest.raises(IntegerConversionError, match=r"write int\(x\)"):
        numba.njit(lambda x: (1, 2, 3)[x])(dual(1.0, 1.0))
    for use in (lambda x: len(range(x)), lambda x: x + 1j):
        with pytest.raises((NumbaError, IntegerConversionError), match=r"VectorDual|active"):
            numba.njit(use)(dual(1.0, 1.0))
    index = numba.njit(lambda x: (1, 2, 3)[int(x)])
    for x in (dual(1.0, 1.0), HyperDual(1.9), dual(dual(1.5, 1.0), 1.0)):
        assert index(x) == 2
        assert int(x) == 1


def test_conversion_to_complex_is_refused_in_compiled_code():
    with pytest.raises((TypeError, NumbaError)):
        numba.njit(lambda x: complex(x))(dual(1.0, 1.0))  # noqa: PLW0108


@pytest.mark.parametrize("other", ["a", None, 1j, [1.0], np.complex128(1j)], ids=repr)
@pytest.mark.parametrize("op", [operator.add, operator.mul, operator.pow, operator.mod])
def test_foreign_operands_are_refused(op, other):
    for x, y in ((dual(1.0, 1.0), other), (other, dual(1.0, 1.0))):
        with pytest.raises(TypeError):
            op(x, y)


def test_numbers_are_not_hashable():
    for number in (dual(1.0, 1.0), HyperDual(1.0)):
        with pytest.raises(TypeError, match="unhashable"):
            hash(number)


def test_numbers_are_immutable():
    x = dual(1.0, 2.0)
    for change in (
        lambda: setattr(x, "value", 3.0),
        lambda: setattr(x, "other", 3.0),
        lambda: delattr(x, "value"),
    ):
        with pytest.raises(AttributeError, match="VectorDual numbers are immutable"):
            change()
    with pytest.raises(TypeError):
        x.partials[0] = 3.0
    assert_same(x, dual(1.0, 2.0))

    def assign(x):
        x.value = 3.0

    with pytest.raises(AttributeError, match="immutable"):
        numba.njit(assign)(x)
    with pytest.raises(NumbaError, match="setitem"):
        numba.njit(lambda x: operator.setitem(x.partials, 0, 3.0))(x)


def test_unknown_attributes_are_named():
    with pytest.raises(AttributeError, match="'VectorDual' object has no attribute 'partial'"):
        dual(1.0, 1.0).partial  # noqa: B018


# Representations and copies

NUMBERS = {
    "VectorDual": dual(-0.0, 1.5, -2.0),
    "HyperDual": HyperDual(1.0, 2.0, 3.0, 4.0),
    "HyperDual2x3": HyperDual(1.0, [2.0, 3.0], [1.0, 5.0, 7.0], [*range(6)]),
    "nested": dual(HyperDual(1.0, 2.0, 3.0, 4.0), HyperDual(0.5, 0.0, 0.0, 1.0)),
    "not finite": dual(nan, inf, -inf),
}


@pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)
def test_repr_pickle_and_copy_give_the_number_back(number):
    names = {"VectorDual": VectorDual, "HyperDual": HyperDual, "nan": nan, "inf": inf}
    copies = [
        eval(repr(number), names),
        pickle.loads(pickle.dumps(number)),
        copy.copy(number),
        copy.deepcopy(number),
    ]
    for other in copies:
        assert type(other) is type(number)
        assert repr(other) == repr(number)
        assert numba.typeof(other) == numba.typeof(number)
        assert_same(other, number)


def test_fields_are_floats():
    number = VectorDual(np.float32(0.5), np.array([1, 2]))
    assert flat(number) == [0.5, 1.0, 2.0]
    assert {type(field) for field in flat(number)} == {float}
    assert type(number.partials) is Partials
    assert repr(number) == "VectorDual(0.5, [1.0, 2.0])"
    assert_same(VectorDual(3), dual(3.0, 1.0))
    with pytest.raises(TypeError):
        VectorDual(1j)


# Rounding


def test_rounding_gives_integers_or_constants():
    def rounded(x):
        return round(x), math.floor(x), math.ceil(x), math.trunc(x)

    def constants(x):
        return round(x, 1), np.floor(x), np.ceil(x), np.trunc(x), np.rint(x), np.sign(x)

    x = dual(-2.345, 1.0, 2.0)
    for number, expected in ((x, (-2, -3, -2, -2)), (dual(3.5, 1.0), (4, 3, 4, 3))):
        assert in_both_worlds(rounded, number) == expected
        assert all(type(i) is int for i in numba.njit(rounded)(number))
    zeros = [dual(v, 0.0, 0.0) for v in (-2.3, -3.0, -2.0, -2.0, -2.0, -1.0)]
    assert_same(in_both_worlds(constants, x), tuple(zeros))


# NumPy at the prompt

ARITHMETIC_UFUNCS = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
    np.remainder: operator.mod,
    np.floor_divide: operator.floordiv,
    np.power: operator.pow,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    np.divmod: divmod,
}


@pytest.mark.parametrize("ufunc", ARITHMETIC_UFUNCS, ids=lambda u: u.__name__)
def test_arithmetic_ufuncs(ufunc):
    op = ARITHMETIC_UFUNCS[ufunc]
    x = dual(1.5, 1.0, -2.0)
    for constant in (2.0, 2, np.float64(2.0), np.float32(2.0), np.int64(2), np.array(2.0)):
        assert flat(ufunc(x, constant)) == pytest.approx(flat(op(x, 2.0)))
        assert flat(ufunc(constant, x)) == pytest.approx(flat(op(2.0, x)))
    assert flat(ufunc(x, x)) == pytest.approx(flat(op(x, x)))
    floats, numbers = np.array([2.0, 3.0, 0.5]), np.array([x, 2 * x, x * x])
    pairs = [(x, floats), (floats, x), (numbers, x), (x, numbers)]
    if ufunc is not np.divmod:  # of two arrays: NumPy has no divmod of objects
        pairs += [(numbers, floats), (floats, numbers)]
    for left, right in pairs:
        lefts, rights = (a if isinstance(a, np.ndarray) else [a] * 3 for a in (left, right))
        expected = [op(a, b) for a, b in zip(lefts, rights, strict=True)]
        found = ufunc(left, right)
        found = list(zip(*found, strict=True)) if isinstance(found, tuple) else list(found)
        assert flat(found) == pytest.approx(flat(expected))


def test_other_ufuncs():
    x, numbers = dual(0.5, 2.0), np.array([dual(0.5, 2.0), dual(-1.5, 1.0)])
    assert_same(np.negative(x), dual(-0.5, -2.0))
    assert_same(np.positive(x), x)
    assert [np.isnan(x), np.isinf(x), np.isfinite(x), np.signbit(-x)] == [False, False, True, True]
    assert_same(tuple(np.sin(numbers)), tuple(map(RULES["sin"], numbers)))
    assert_same(tuple(np.hypot(numbers, x)), tuple(RULES["hypot"](n, x) for n in numbers))
    assert_same(tuple(np.arctan2(x, np.array([1.0, 2.0]))), (np.arctan2(x, 1.0), np.arctan2(x, 2)))
    assert_same(np.sum(numbers), dual(-1.0, 3.0))
    assert_same(np.dot(numbers, np.array([2.0, 1.0])), dual(-0.5, 5.0))
    assert_same(tuple(abs(numbers)), (x, dual(1.5, -1.0)))
    assert_same(tuple(np.sort(numbers)), (numbers[1], numbers[0]))


def test_ufuncs_without_a_derivative_are_refused():
    x = dual(0.5, 2.0)
    for call in (
        lambda: np.spacing(x),
        lambda: np.sin(x, out=np.zeros(1)),
        lambda: np.add.outer(x, x),
        lambda: np.bitwise_and(x, 1),
    ):
        with pytest.raises(TypeError, match="NotImplemented"):
            call()


# Nested numbers


def nested(x, depth):
    """Return x with a first derivative of 1 in each of `depth` levels."""
    number = dual(x, 1.0)
    for _ in range(depth - 1):
        number = VectorDual(number, 1.0)
    return number


def derivatives(number, depth):
    """Return value, first, second, ... derivative."""
    found = []
    for order in range(depth + 1):
        part = number
        for level in range(depth):
            part = part.partials[0] if level < order else part.value
        found.append(part)
    return found


SMOOTH = {
    "x**5": (lambda x: x**5, lambda x: [x**5, 5 * x**4, 20 * x**3, 60 * x**2]),
    "1/x": (lambda x: 1 / x, lambda x: [1 / x, -1 / x**2, 2 / x**3, -6 / x**4]),
    "x/(1+x)": (
        lambda x: x / (1 + x),
        lambda x: [x / (1 + x), (1 + x) ** -2, -2 * (1 + x) ** -3, 6 * (1 + x) ** -4],
    ),
    "sin": (
        lambda x: np.sin(2 * x),
        lambda x: [
            math.sin(2 * x),
            2 * math.cos(2 * x),
            -4 * math.sin(2 * x),
            -8 * math.cos(2 * x),
        ],
    ),
    "sqrt": (
        lambda x: np.sqrt(x),  # noqa: PLW0108
        lambda x: [x**0.5, 0.5 * x**-0.5, -0.25 * x**-1.5, 0.375 * x**-2.5],
    ),
    "x**2.5": (
        lambda x: x**2.5,
        lambda x: [x**2.5, 2.5 * x**1.5, 3.75 * x**0.5, 1.875 * x**-0.5],
    ),
    "x**x": (
        lambda x: x**x,
        lambda x: [
            x**x,
            x**x * (1 + math.log(x)),
            x**x * ((1 + math.log(x)) ** 2 + 1 / x),
            x**x * ((1 + math.log(x)) ** 3 + 3 * (1 + math.log(x)) / x - 1 / x**2),
        ],
    ),
    "exp(-x*x)": (
        lambda x: np.exp(-x * x),
        lambda x: [math.exp(-x * x) * p for p in (1, -2 * x, 4 * x * x - 2, -8 * x**3 + 12 * x)],
    ),
    "log": (
        lambda x: np.log(x),  # noqa: PLW0108
        lambda x: [math.log(x), 1 / x, -1 / x**2, 2 / x**3],
    ),
    "abs(x)*x": (lambda x: abs(-x) * x, lambda x: [x * x, 2 * x, 2, 0]),
    "x%2": (lambda x: x % 0.75, lambda x: [x % 0.75, 1, 0, 0]),
}


@pytest.mark.parametrize(
    ("world", "depth"),
    [
        ("prompt", 2),
        ("prompt", 3),
        ("compiled", 2),
        pytest.param("compiled", 3, marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("case", SMOOTH)
def test_nested_numbers_carry_higher_derivatives(case, world, depth):
    f, exact = SMOOTH[case]
    function = f if world == "prompt" else numba.njit(f)
    for x in (0.7, 2.9):
        found = derivatives(function(nested(x, depth)), depth)
        assert found == pytest.approx(exact(x)[: depth + 1], rel=RTOL_ALGEBRA, abs=1e-300)


@pytest.mark.parametrize("case", AT_ZERO)
def test_nested_numbers_agree_with_flat_ones_at_singular_points(case):
    f, value, first = AT_ZERO[case]
    number = in_both_worlds(f, VectorDual(dual(0.0, 1.0), [dual(1.0, 0.0), dual(0.0, 0.0)]))
    one, zero = number.partials
    assert_same(number.value, dual(value, first))
    assert_same(one.value, first)
    # Strong zero in both levels: not 0 * inf where the first derivative is itself infinite.
    assert_same(zero, dual(0.0, 0.0))


def test_a_number_of_a_lower_level_is_a_constant_to_a_higher_one():
    low, high = dual(3.0, 1.0), VectorDual(dual(2.0, 0.0), [dual(1.0, 0.0)])
    for f in (
        lambda x, y: x * y,
        lambda x, y: y * x,
        lambda x, y: x + y,
        lambda x, y: y - x,
        lambda x, y: x / y,
        lambda x, y: y / x,
        lambda x, y: x**y,
        lambda x, y: y % x,
        lambda x, y: np.hypot(x, y),  # noqa: PLW0108
    ):
        number = in_both_worlds(f, high, low)
        along_high, along_low = f(dual(2.0, 1.0, 0.0), dual(3.0, 0.0, 1.0)).partials
        assert number.partials[0].value == pytest.approx(along_high)
        assert number.value.partials[0] == pytest.approx(along_low)
    assert in_both_worlds(lambda x, y: x < y, high, low) is True


def test_nested_derivatives_are_not_confused():
    """D(x -> x D(y -> x + y)) is 1, D(x -> x D(y -> x y)) is 2 x, D(x -> D(y -> x)) is 0."""

    def slope(f, x):
        level = ad.VectorDual(x, 1.0)
        result = f(level)
        return result.partials[0] if getattr(result, "level", 0) == level.level else 0.0

    assert slope(lambda x: x * slope(lambda y: x + y, 1.0 + 0.0 * x), 1.0) == 1.0
    assert slope(lambda x: x * slope(lambda y: x * y, 1.0 + 0.0 * x), 4.0) == 8.0
    assert slope(lambda x: slope(lambda y: x, x), 1.0) == 0.0


def test_numbers_of_different_width_nest():
    x = VectorDual(dual(2.0, 1.0, 3.0), [1.0])
    cube = in_both_worlds(lambda x: x**3, x)
    assert_same(cube.value, dual(8.0, 12.0, 36.0))
    assert_same(cube.partials, [12.0, 12.0, 36.0])
    hyper = in_both_worlds(lambda x: x**3, VectorDual(HyperDual(2.0, 1.0, 1.0, 0.0), [1.0]))
    assert_same(hyper.partials, [12.0, 12.0, 12.0, 6.0])


# Single precision


@numba.njit
def in_single_precision(x, p, q):
    number = VectorDual(x, (p, q))
    same = number * x, number + number, np.sin(number), number / x, number - x, abs(number)
    double = number * 2.0, number + 1, number * np.float64(x), number / 3
    return same, double


def test_single_precision_stays_with_single_and_becomes_double_with_double():
    x, p, q = np.float32(0.1), np.float32(1.0), np.float32(3.0)
    same, double = in_single_precision(x, p, q)
    (signature,) = in_single_precision.nopython_signatures
    singles, doubles = signature.return_type
    assert {ty.base for ty in singles} == {numba.float32}
    assert {ty.base for ty in doubles} == {numba.float64}
    assert_same(same[0], dual(float(x * x), float(x), float(q * x)))
    assert_same(double[0], dual(2.0 * float(x), 2.0, 6.0))
    assert_same(double[3], dual(float(x) / 3.0, 1.0 / 3.0, float(q) * (1.0 / 3.0)))


def test_the_square_of_a_single_precision_number_is_that_of_the_float():
    square = numba.njit(lambda x: VectorDual(x, (x,)) ** 2)
    plain = numba.njit(lambda x: x**2)
    assert square(np.float32(0.1)).value == plain(np.float32(0.1))


# In compiled code: construction and fields


def test_constructors():
    compiled = numba.njit(lambda x: (VectorDual(x, (1.0, 0.0)), VectorDual(x, 2), VectorDual(3, x)))
    assert_same(compiled(4.0), (dual(4.0, 1.0, 0.0), dual(4.0, 2.0), dual(3.0, 4.0)))
    assert_same(compiled(4)[0], dual(4.0, 1.0, 0.0))
    copied = numba.njit(lambda x: VectorDual(2.0 * x.value, x.partials))
    assert_same(copied(dual(4.0, 1.0, 0.0)), dual(8.0, 1.0, 0.0))
    inside = numba.njit(lambda x: VectorDual(VectorDual(x, 1.0), VectorDual(1.0, 0.0)) ** 3)
    assert_same(inside(2.0), nested(2.0, 2) ** 3)


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16])
def test_fields(n):
    @numba.njit
    def fields(x, i):
        total = 0.0
        for k in range(len(x.partials)):
            total += x.partials[k]
        return x.value, x.partials, len(x.partials), x.partials[i], total

    x = VectorDual(0.5, np.arange(1.0, n + 1))
    for i in {0, n - 1, -1, -n, n // 2}:
        value, partials, length, lane, total = fields(x, i)
        assert (value, length, lane, total) == (0.5, n, x.partials[i], n * (n + 1) / 2)
        assert type(partials) is Partials
        assert partials == x.partials
    for i in (n, n + 7, -n - 1):
        with pytest.raises(IndexError, match="partials index out of range"):
            fields(x, i)


def test_fields_of_nested_numbers():
    lane = numba.njit(lambda x, i: x.partials[i])
    x = VectorDual(dual(2.0, 1.0), [dual(3.0, 4.0), dual(5.0, 6.0)])
    assert_same(lane(x, 1), dual(5.0, 6.0))
    assert numba.njit(lambda x: x.value.partials[0])(x) == 1.0
    with pytest.raises(IndexError):
        lane(x, 2)


# In compiled code: containers, variables, loops

Point = namedtuple("Point", ["x", "weight"])
X = dual(2.0, 1.0, -3.0)


def test_numbers_pass_through_tuples():
    @numba.njit
    def swapped(pair, point):
        return pair[1] * 2, (pair[0], 1), Point(point.x * point.weight, point.weight)

    twice, rest, point = swapped((1.0, X), Point(X, 3.0))
    assert_same((twice, rest[0]), (2 * X, 1.0))
    assert_same(point.x, 3.0 * X)
    assert point.weight == 3.0


def test_numbers_live_in_lists():
    @numba.njit
    def build(x):
        items = [x]
        items.append(x * x)
        items.append(1.0)
        items[0] = 5
        return items, sum(items), len(items)

    items, total, count = build(X)
    assert_same(items, [dual(5.0, 0.0, 0.0), X * X, dual(1.0, 0.0, 0.0)])
    assert_same(total, X * X + 6.0)
    assert count == 3


@pytest.mark.slow
def test_numbers_live_in_typed_containers():
    @numba.njit
    def norm(items):
        total = 0.0
        for item in items:
            total += item * item
        return total

    items = List()
    items.append(X)
    items.append(2 * X)
    assert_same(norm(items), 5 * X * X)
    assert_same(items[1], 2 * X)
    table = Dict()
    table["x"] = X
    assert_same(numba.njit(lambda d: d["x"] + 1)(table), X + 1)


def test_numbers_are_fields_of_jitclasses():
    @jitclass([("x", numba.typeof(X))])
    class Holder:
        def __init__(self, x):
            self.x = x

        def square(self):
            self.x = self.x * self.x
            return self.x

    holder = Holder(X)
    assert_same(holder.square(), X * X)
    assert_same(holder.x, X * X)


def test_variables_take_constants_and_numbers():
    @numba.njit
    def unified(x, choose):
        total = 0.0
        for _ in range(3):
            total += x
        chosen = x if choose else 1
        grown = 0
        while grown < 5:
            grown = grown + x
        return total, chosen, grown

    for choose, chosen in ((True, X), (False, dual(1.0, 0.0, 0.0))):
        assert_same(unified(X, choose), (3 * X, chosen, 3 * X))
    assert unified(2.0, True) == (6.0, 2.0, 6.0)


def test_a_variable_may_hold_no_number():
    @numba.njit
    def maybe(x, choose):
        result = None
        if choose:
            result = x
        return result

    assert_same(maybe(X, True), X)
    assert maybe(X, False) is None


def test_a_variable_takes_numbers_of_two_levels():
    @numba.njit
    def either(x, y, choose):
        return x if choose else y

    low, high = dual(3.0, 1.0), nested(2.0, 2)
    assert_same(either(low, high, False), high)
    assert_same(either(low, high, True), VectorDual(low, [dual(0.0, 0.0)]))


def test_a_list_of_numbers_takes_constants_and_numbers_of_a_lower_level():
    @numba.njit
    def filled(low, high):
        items = [high, high]
        items[0] = low
        items.append(low)
        items.append(True)
        return items

    low, high = dual(3.0, 1.0), nested(2.0, 2)
    constant = VectorDual(low, [dual(0.0, 0.0)])
    assert_same(filled(low, high), [constant, high, constant, 0 * high + 1])


def test_loops_follow_the_plain_function():
    @numba.njit
    def newton_root(a):
        x = a
        while abs(x * x - a) > 1e-14 * a:
            x = 0.5 * (x + a / x)
        return x

    number = newton_root(dual(3.0, 1.0))
    assert number.value == newton_root(3.0)
    # The loop ends one step after x converged, and the derivative converges with it.
    assert flat(number) == pytest.approx([math.sqrt(3.0), 0.5 / math.sqrt(3.0)], rel=1e-12)


def test_njit_functions_call_each_other_with_numbers():
    square = numba.njit(lambda x: x * x)
    shifted = numba.njit(lambda x, by=2.0: square(x) + by)
    assert_same(shifted(X), X * X + 2.0)
    assert_same(shifted(X, X), X * X + X)
