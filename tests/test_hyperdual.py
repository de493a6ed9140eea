"""`HyperDual`: exact second derivatives of everything that `test_dual` tests the first ones of."""

import math
from math import inf, nan

import numba
import numpy as np
import pytest
from algebra import LAWS, RTOL_ALGEBRA, assert_same, flat, same_bits
from numba.core.errors import NumbaError

from dualtape import HyperDual, IntegerConversionError, MixedNumbersError, VectorDual
from dualtape.numbers.partials import Partials
from dualtape.rules.table import RULES

njit_numpy = numba.njit(error_model="numpy")


def hyper(x):
    """Return the textbook number: one direction, taken twice."""
    return HyperDual(x, 1.0, 1.0, 0.0)


def pair(x, y):
    """Return x and y with unit derivatives, so that e12 of a result is its Hessian."""
    return HyperDual(x, [1.0, 0.0], [1.0, 0.0]), HyperDual(y, [0.0, 1.0], [0.0, 1.0])


def in_both_worlds(f, *args):
    """Return what f gives at the prompt and in compiled code, having checked that they agree."""
    prompt, compiled = f(*args), numba.njit(f)(*args)
    assert type(prompt) is type(compiled)
    assert_same(compiled, prompt)
    return prompt


# Algebra


def test_the_textbook_example():
    number = in_both_worlds(lambda x: x**2 + 3 * x + 2, HyperDual(4.0, 1.0, 1.0, 0.0))
    assert_same(number, HyperDual(30.0, 11.0, 11.0, 2.0))
    assert repr(number) == "HyperDual(30.0, 11.0, 11.0, 2.0)"


@pytest.mark.parametrize("world", ["prompt", "compiled"])
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_algebra(law, world):
    f = law.f if world == "prompt" else numba.njit(law.f)
    for x, y in law.points:
        number = f(*pair(x, y))
        fxx, fxy, fyy = law.hessian(x, y)
        assert same_bits(number.value, f(x, y))
        assert number.e1 == pytest.approx(law.gradient(x, y), rel=RTOL_ALGEBRA)
        assert number.e2 == number.e1
        assert number.e12 == pytest.approx((fxx, fxy, fxy, fyy), rel=RTOL_ALGEBRA)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_directions_and_second_derivatives_of_the_arguments(law, rng):
    """e12 is u'Hw along two directions, and the gradient times what e12 held before."""
    u, w, c = rng.normal(size=(3, 2))
    for x, y in law.points:
        gradient = np.array(law.gradient(x, y))
        fxx, fxy, fyy = law.hessian(x, y)
        terms = np.outer(u, w) * [[fxx, fxy], [fxy, fyy]], gradient * c
        number = law.f(HyperDual(x, u[0], w[0], c[0]), HyperDual(y, u[1], w[1], c[1]))
        # The sum may cancel, so errors are measured against its terms.
        scale = RTOL_ALGEBRA * (sum(np.abs(t).sum() for t in terms) + np.abs(gradient).sum())
        scale *= 1 + np.abs([*u, *w]).max()
        assert number.e1 == pytest.approx(gradient @ u, abs=scale)
        assert number.e2 == pytest.approx(gradient @ w, abs=scale)
        assert number.e12 == pytest.approx(sum(t.sum() for t in terms), abs=scale)


OPERATORS = [law for law in LAWS if law.is_operator]


@pytest.mark.parametrize("world", ["prompt", "compiled"])
@pytest.mark.parametrize("law", OPERATORS, ids=lambda law: law.name)
def test_operators_with_one_active_operand(law, world):
    f = law.f if world == "prompt" else numba.njit(law.f)
    for x, y in law.points:
        numbers = f(hyper(x), y), f(x, hyper(y))
        fxx, _, fyy = law.hessian(x, y)
        for number, slope, curvature in zip(numbers, law.gradient(x, y), (fxx, fyy), strict=True):
            assert same_bits(number.value, f(x, y))
            expected = (slope, slope, curvature)
            assert flat(number)[1:] == pytest.approx(expected, rel=RTOL_ALGEBRA)


def _rosenbrock(x, y):
    return (1 - x) ** 2 + 100.0 * (y - x**2) ** 2


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 2), (2, 1), (2, 3), (4, 4), (3, 1)])
def test_blocks_of_every_shape(n, m, rng):
    """Each entry of a block is the number that its two directions alone give."""
    u, w, c = rng.normal(size=(2, n)), rng.normal(size=(2, m)), rng.normal(size=(2, n, m))
    x, y = (HyperDual(v, u[i], w[i], c[i].ravel()) for i, v in enumerate((-1.2, 0.9)))
    number = in_both_worlds(_rosenbrock, x, y)
    assert number.widths() == (n, m)
    e1, e2, e12 = (np.reshape(np.array(flat((s,))), -1) for s in (number.e1, number.e2, number.e12))
    for i in range(n):
        for j in range(m):
            x1, y1 = (HyperDual(v, u[k, i], w[k, j], c[k, i, j]) for k, v in enumerate((-1.2, 0.9)))
            single = _rosenbrock(x1, y1)
            found = (number.value, e1[i], e2[j], e12[i * m + j])
            assert found == pytest.approx(flat(single), rel=RTOL_ALGEBRA, abs=1e-10)


def test_exchanging_the_directions_transposes_the_block(rng):
    def f(x, y):
        return np.sin(x * y) / (x + np.exp(y)) + x**y

    (a, b), (c, d) = rng.normal(size=(2, 2, 2))
    there = f(HyperDual(1.3, a, c), HyperDual(0.4, b, d))
    back = f(HyperDual(1.3, c, a), HyperDual(0.4, d, b))
    assert there.e1 == back.e2
    transposed = np.reshape(back.e12, (2, 2)).T.ravel()
    assert there.e12 == pytest.approx(tuple(transposed), rel=RTOL_ALGEBRA)


def test_the_hessian_of_a_quadratic_form_in_one_sweep(rng):
    matrix = rng.integers(-5, 6, size=(4, 4)).astype(float)

    @numba.njit
    def form(a, b, c, d, matrix):
        x = (a, b, c, d)
        total = 0.0
        for i in range(4):
            for j in range(4):
                total += x[i] * matrix[i, j] * x[j]
        return total

    point = [1.0, -2.0, 0.5, 3.0]
    numbers = [HyperDual(v, unit, unit) for v, unit in zip(point, np.eye(4), strict=True)]
    number = form(*numbers, matrix)
    symmetric = matrix + matrix.T
    assert number.value == np.array(point) @ matrix @ point
    np.testing.assert_array_equal(number.e1, symmetric @ point)
    np.testing.assert_array_equal(np.reshape(number.e12, (4, 4)), symmetric)


# Singular points: value, first and second derivative at 0, as the conventions have them

AT_ZERO = {
    "x**0": (lambda x: x**0, 1.0, 0.0, 0.0),
    "x**0.0": (lambda x: x**0.0, 1.0, 0.0, 0.0),
    "x**1": (lambda x: x**1, 0.0, 1.0, 0.0),
    "x**1.0": (lambda x: x**1.0, 0.0, 1.0, 0.0),
    "x**2": (lambda x: x**2, 0.0, 0.0, 2.0),
    "x**2.0": (lambda x: x**2.0, 0.0, 0.0, 2.0),
    "x**3": (lambda x: x**3, 0.0, 0.0, 0.0),
    "x**3.0": (lambda x: x**3.0, 0.0, 0.0, 0.0),
    "x**4": (lambda x: x**4, 0.0, 0.0, 0.0),
    "x**0.5": (lambda x: x**0.5, 0.0, inf, -inf),
    "x**1.5": (lambda x: x**1.5, 0.0, 0.0, inf),
    "x**2.5": (lambda x: x**2.5, 0.0, 0.0, 0.0),
    "sqrt": (lambda x: np.sqrt(x), 0.0, inf, -inf),  # noqa: PLW0108
    "log": (lambda x: np.log(x), -inf, inf, -inf),  # noqa: PLW0108
    "reciprocal": (lambda x: np.reciprocal(x), inf, -inf, inf),  # noqa: PLW0108
    "arcsin": (lambda x: np.arcsin(x + 1.0), math.pi / 2, inf, inf),
    "arccosh": (lambda x: np.arccosh(x + 1.0), 0.0, inf, -inf),
    "abs": (lambda x: abs(x), 0.0, 0.0, 0.0),  # noqa: PLW0108
    "maximum": (lambda x: np.maximum(x, 0.0), 0.0, 0.5, 0.0),
    "hypot": (lambda x: np.hypot(x, 2 * x), 0.0, 0.0, 0.0),
    "0.0**(x+1)": (lambda x: 0.0 ** (x + 1), 0.0, 0.0, 0.0),
    "floor": (lambda x: np.floor(x), 0.0, 0.0, 0.0),  # noqa: PLW0108
    "conditional": (lambda x: np.sqrt(x) if x > 0 else 0.0 * x, 0.0, 0.0, 0.0),
    "sinc": (lambda x: sinc(x), 1.0, 0.0, -(math.pi**2) / 3),  # noqa: PLW0108
}
sinc = RULES["sinc"]


@pytest.mark.parametrize("case", AT_ZERO)
def test_singular_points(case):
    f, value, first, second = AT_ZERO[case]
    number = in_both_worlds(f, HyperDual(0.0, [1.0, 0.0], [1.0, 0.0]))
    # Strong zero: what does not depend on the input stays zero beside what is infinite.
    expected = HyperDual(value, [first, 0.0], [first, 0.0], [second, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(flat(number), flat(expected), rtol=RTOL_ALGEBRA)


def test_powers_with_a_variable_integer_exponent():
    power = numba.njit(lambda x, n: x**n)
    for n, expected in enumerate([(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 2.0), (0.0,) * 3]):
        value, first, second = expected
        assert_same(power(hyper(0.0), n), HyperDual(value, first, first, second))
        assert_same(power(hyper(2.0), n), hyper(2.0) ** n)


def test_strong_zero_through_a_square_root():
    """sqrt(x*x) at 0: its argument has no first derivative there, so the root has none."""
    number = in_both_worlds(lambda x: np.sqrt(x * x), hyper(0.0))
    assert_same((number.value, number.e1, number.e2), (0.0, 0.0, 0.0))
    x, y = pair(0.0, 0.0)
    number = in_both_worlds(lambda x, y: np.sqrt(x**2 + y**2), x, y)
    assert_same(
        (number.value, number.e1, number.e2), (0.0, Partials([0.0] * 2), Partials([0.0] * 2))
    )
    assert number.e12[1] == 0.0
    assert number.e12[2] == 0.0


def test_an_input_without_influence_never_makes_a_derivative_nan():
    x, y = pair(0.0, 0.0)
    for f in (
        lambda x, y: np.sqrt(y),
        lambda x, y: np.log(y) + x * x,
        lambda x, y: x * 3.0 + y**0.5,
        lambda x, y: np.arccosh(y + 1.0) - x,
    ):
        number = in_both_worlds(f, x, y)
        assert not any(map(math.isnan, flat(number)))
        assert math.isinf(number.e12[3])
        assert number.e12[1] == number.e12[2] == 0.0


@pytest.mark.parametrize(
    ("e1", "e2", "block"),
    [
        ([1.0, 0.0], [1.0, 0.0], [-inf, 0.0, 0.0, 0.0]),
        ([0.0, 1.0], 1.0, [0.0, -inf]),
        (1.0, [0.0, 1.0], [0.0, -inf]),
        (1.0, 0.0, 0.0),
    ],
)
def test_strong_zero_holds_in_blocks(e1, e2, block):
    """Through two singular functions: the inner derivatives are infinite or exactly zero."""
    for f in (lambda x: np.sqrt(np.sqrt(x)), lambda x: (x**0.5) ** 0.5):
        number = in_both_worlds(f, HyperDual(0.0, e1, e2))
        assert_same(number.e12, block if isinstance(block, float) else Partials(block))


@pytest.mark.parametrize(
    "number",
    [
        VectorDual(hyper(0.0), [HyperDual(1.0, 0.0, 0.0, 0.0), HyperDual(0.0, 0.0, 0.0, 0.0)]),
        HyperDual(VectorDual(0.0, [1.0]), [1.0, 0.0], [1.0, 0.0]),
    ],
    ids=["VectorDual over HyperDual", "HyperDual over VectorDual"],
)
def test_strong_zero_holds_in_nested_numbers(number):
    for f in (np.sqrt, np.log, np.cbrt):
        root = in_both_worlds(lambda x, f=f: f(x), number)
        lanes = root.partials if isinstance(root, VectorDual) else root.e1
        assert math.isinf(flat(lanes[0])[0])
        assert not any(flat(lanes[1]))
        if isinstance(root, HyperDual):
            assert not any(flat(root.e12[1:]))


# Division by zero


def test_division_by_zero():
    for f in (lambda x: 1 / x, lambda x: x**-1):
        for function, x in ((f, hyper(0.0)), (numba.njit(f), hyper(0.0)), (numba.njit(f), 0.0)):
            with pytest.raises(ZeroDivisionError):
                function(x)
        x = HyperDual(0.0, [1.0, 0.0], [1.0, 0.0])
        assert_same(
            njit_numpy(f)(x), HyperDual(inf, [-inf, 0.0], [-inf, 0.0], [inf, 0.0, 0.0, 0.0])
        )


def test_division_of_numbers_by_zero_in_the_numpy_error_model():
    x, y = pair(0.0, 2.0)
    number = njit_numpy(lambda x, y: y / x)(x, y)
    assert_same(number, HyperDual(inf, [-inf, inf], [-inf, inf], [inf, -inf, -inf, 0.0]))
    quotient = njit_numpy(lambda x: x / x)(hyper(0.0))
    assert_same((quotient.value, quotient.e1), (nan, nan))


def test_division_keeps_the_digits_of_large_and_small_arguments():
    """-(x/y)/y and not -x/(y*y), which overflows."""
    for scale in (1e200, 1e-150):
        x, y = pair(3.0 * scale, 2.0 * scale)
        number = in_both_worlds(lambda x, y: x / y, x, y)
        slopes = (0.5 / scale, -0.75 / scale)
        assert number.e1 == pytest.approx(slopes, rel=RTOL_ALGEBRA, abs=0.0)
        if scale < 1.0:
            block = tuple(b / scale / scale for b in (0.0, -0.25, -0.25, 0.75))
            assert number.e12 == pytest.approx(block, rel=RTOL_ALGEBRA, abs=0.0)
        else:  # 1 / y**2 is below the smallest number
            assert number.e12 == (0.0, 0.0, 0.0, 0.0)


# Nested numbers


def test_a_hyper_dual_number_over_a_dual_one_has_third_derivatives():
    def f(x):
        return x**4 / (1.0 + x) + np.exp(-x) * np.sin(x) + x**2.5

    x = 1.7
    exact = (
        12 * x**2 / (1 + x) - 8 * x**3 / (1 + x) ** 2 + 2 * x**4 / (1 + x) ** 3
        - 2 * math.exp(-x) * math.cos(x) + 3.75 * x**0.5,
        24 * x / (1 + x) - 36 * x**2 / (1 + x) ** 2 + 24 * x**3 / (1 + x) ** 3
        - 6 * x**4 / (1 + x) ** 4 + 2 * math.exp(-x) * (math.cos(x) + math.sin(x))
        + 1.875 * x**-0.5,
    )  # fmt: skip
    seed = HyperDual(VectorDual(x, [1.0]), 1.0, 1.0, 0.0)
    for function in (f, numba.njit(f)):
        number = function(seed)
        assert flat(number.e12) == pytest.approx(exact, rel=RTOL_ALGEBRA)
        assert_same(number.e1, number.e2)
        assert number.value.partials[0] == pytest.approx(number.e1.value, rel=RTOL_ALGEBRA)
        assert number.e1.partials[0] == pytest.approx(exact[0], rel=RTOL_ALGEBRA)


def test_four_levels_of_differentiation():
    """A hyper-dual number over a hyper-dual number: the fourth derivative of x**6."""
    number = in_both_worlds(lambda x: x**6, HyperDual(hyper(2.0), 1.0, 1.0, 0.0))
    assert number.e12.e12 == 360 * 2.0**2
    assert number.e12.e1 == 120 * 2.0**3
    assert number.e1.e12 == 120 * 2.0**3
    assert number.value.e12 == 30 * 2.0**4


def test_blocks_over_numbers_with_several_partials():
    x = HyperDual(VectorDual(2.0, [1.0, 3.0]), [1.0, 0.0], [1.0, 2.0])
    number = in_both_worlds(lambda x: x**3 * 2.0 - 1.0 / x, x)
    second, third = 12 * 2.0 - 2 / 2.0**3, 12 + 6 / 2.0**4
    assert [flat(entry) for entry in number.e12] == [
        pytest.approx([c * second, c * third, 3 * c * third]) for c in (1.0, 2.0, 0.0, 0.0)
    ]


def test_a_dual_number_meets_a_hyper_dual_one_of_a_higher_level():
    low, high = VectorDual(3.0, [1.0]), HyperDual(VectorDual(2.0, [0.0]), 1.0, 1.0, 0.0)
    number = in_both_worlds(lambda x, y: x**2 * y - y / x, high, low)
    assert_same(number.e12, VectorDual(2 * 3.0 - 2 * 3.0 / 8.0, [2.0 - 2.0 / 8.0]))
    number = in_both_worlds(lambda x, y: np.arctan2(y, x), high, low)
    assert number.e1.partials[0] == pytest.approx((9.0 - 4.0) / 13.0**2)


# Construction, fields, refusals


def test_constructor_at_the_prompt():
    assert_same(HyperDual(2), HyperDual(2.0, 1.0, 1.0, 0.0))
    block = HyperDual(2.0, [1, 0], np.eye(3)[0])
    assert block.e12 == (0.0,) * 6
    assert {type(field) for field in flat(block)} == {float}
    assert type(block.e1) is Partials
    assert type(HyperDual(2.0, [1.0], [3.0], [4.0]).e1) is float
    with pytest.raises(ValueError, match="e12 holds 3 derivatives; e1 and e2 ask for 2 x 2"):
        HyperDual(2.0, [1.0, 0.0], [1.0, 0.0], [0.0] * 3)
    with pytest.raises(TypeError):
        HyperDual(1j)


def test_constructor_in_compiled_code():
    single = numba.njit(lambda x: HyperDual(x, 1.0, 1, 0.0) ** 3)
    assert_same(single(2.0), HyperDual(8.0, 12.0, 12.0, 12.0))
    assert_same(single(2), HyperDual(8.0, 12.0, 12.0, 12.0))
    block = numba.njit(lambda x: HyperDual(x, (1.0, 0.0), (0.0, 1.0), (0.0,) * 4) ** 2)
    assert_same(block(3.0), HyperDual(9.0, [6.0, 0.0], [0.0, 6.0], [0.0, 2.0, 0.0, 0.0]))
    over = numba.njit(lambda x: HyperDual(VectorDual(x, 1.0), 1.0, 1.0, 0.0) ** 3)
    assert_same(over(2.0).e12, VectorDual(12.0, [6.0]))
    with pytest.raises(NumbaError):
        numba.njit(lambda x: HyperDual(x, 1.0))(2.0)


def test_fields_in_compiled_code():
    fields = numba.njit(lambda x: (x.value, x.e1, x.e2, x.e12))
    assert fields(HyperDual(1.0, 2.0, 3.0, 4.0)) == (1.0, 2.0, 3.0, 4.0)
    lanes = numba.njit(lambda x, i: (x.e1[i], x.e2[-1], x.e12[5], len(x.e1), len(x.e12)))
    x = HyperDual(1.0, [2.0, 3.0], [4.0, 5.0, 6.0], [*range(6)])
    assert lanes(x, 1) == (3.0, 6.0, 5.0, 2, 6)
    with pytest.raises(IndexError):
        lanes(x, 2)


def test_refusals():
    x = hyper(1.0)
    with pytest.raises(AttributeError, match="HyperDual numbers are immutable"):
        x.e12 = 1.0
    with pytest.raises(IntegerConversionError):
        range(x)
    with pytest.raises(IntegerConversionError):
        numba.njit(lambda x: (1, 2, 3)[x])(x)
    with pytest.raises(MixedNumbersError):
        x + VectorDual(1.0)
    with pytest.raises(MixedNumbersError):
        numba.njit(lambda x, y: np.hypot(x, y))(x, VectorDual(1.0))  # noqa: PLW0108


def test_comparisons_look_at_the_value_only():
    def compare(x, y):
        return x < y, x <= 2, x == 2.0, x < 3.0, x != y, bool(x), not x

    found = in_both_worlds(compare, hyper(2.0), HyperDual(2.0, 5.0, 7.0, 9.0))
    assert found == (False, True, True, True, False, True, False)


def test_rounding_gives_integers_or_constants():
    def rounded(x):
        return round(x), math.floor(x), round(x, 1), np.floor(x)

    whole, floor, *constants = in_both_worlds(rounded, HyperDual(2.345, [1.0, 2.0], 1.0))
    assert (whole, floor) == (2, 2)
    zeros = ([0.0, 0.0], 0.0, [0.0, 0.0])
    assert_same(constants, [HyperDual(2.3, *zeros), HyperDual(2.0, *zeros)])


def test_ufuncs_at_the_prompt():
    x = hyper(0.5)
    numbers = np.array([x, 2 * x])
    assert_same(np.multiply(2.0, x), 2 * x)
    assert_same(tuple(np.sin(numbers)), (np.sin(x), np.sin(2 * x)))
    assert_same(tuple(np.array([1.0, 3.0]) * x), (x, 3 * x))
    assert_same(np.dot(numbers, numbers), 5 * x * x)
    assert_same(sum(numbers), 3 * x)
    assert_same(max(x, 2 * x), 2 * x)


# In compiled code


def test_single_precision():
    @numba.njit
    def cubes(x, one, zero):
        number = HyperDual(x, one, one, zero)
        return number * number * number, number * 2.0

    single, double = cubes(np.float32(0.1), np.float32(1.0), np.float32(0.0))
    (signature,) = cubes.nopython_signatures
    assert [ty.base for ty in signature.return_type] == [numba.float32, numba.float64]
    # a few roundings of 6e-8
    assert flat(single) == pytest.approx([0.001, 0.03, 0.03, 0.6], rel=1e-6)
    assert_same(double, HyperDual(2.0 * float(np.float32(0.1)), 2.0, 2.0, 0.0))


def test_variables_containers_and_loops():
    @numba.njit
    def horner(x, coefficients, pair):
        total = 0.0
        for c in coefficients:
            total = total * x + c
        items = [x]
        items.append(1.0)
        return total, items, (pair[1], pair[0] if x > 0 else 2)

    x = HyperDual(2.0, [1.0, 0.0], [1.0, 3.0])
    total, items, swapped = horner(x, np.array([3.0, -1.0, 2.0, 5.0]), (x, 1.5))
    assert_same(total, ((3.0 * x - 1.0) * x + 2.0) * x + 5.0)
    assert_same(items, [x, HyperDual(1.0, [0.0, 0.0], [0.0, 0.0])])
    assert_same(swapped, (1.5, x))


def test_newton_iterations_converge_in_their_derivatives_too():
    @numba.njit
    def root(a):
        x = a
        for _ in range(12):
            x = 0.5 * (x + a / x)
        return x

    number = root(hyper(3.0))
    exact = [math.sqrt(3), 0.5 / math.sqrt(3), 0.5 / math.sqrt(3), -0.25 / 3**1.5]
    assert flat(number) == pytest.approx(exact, rel=RTOL_ALGEBRA)
