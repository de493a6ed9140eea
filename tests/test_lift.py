"""Every row of the rule table on every number type: the wiring between rules and numbers.

`test_rules` proves that jets are right; here a number must get the value of the function that was
called, bit for bit, and the derivatives that the chain rule makes of the row's jet.  The chain
rule is written once more, from its definition, with Python floats.
"""

import functools
import math

import mpmath as mp
import numba
import numpy as np
import pytest
from algebra import flat, same, same_bits
from references import DIGITS, REFERENCES, ROWS, draw, evaluate

import dualtape as ad

EPS = 2.0**-52
# Each term of a mixed second derivative is a product of three factors; the sum has up to four.
ROUNDINGS = 8
RTOL_FLOAT32 = 8 * 2.0**-23  # the jet, one product and one sum, all in single precision
# Differentiating the formula of f1 costs some digits next to the zeros of f11, not more.
RTOL_NESTED = 1e-9
RTOL_THIRD = 1e-7  # as in test_rules: f11 may carry 16 ulp, and its formula is differentiated

NOT_IN_NUMBA = {math.fmod, math.cbrt}  # Numba 0.68 compiles neither for plain floats
DRAWN = 4  # points of the sample, besides all special points and kinks

each_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


# Numbers

LANES = {
    "x": (1.0, -2.0, 0.5, 0.0, 3.0, -0.25, 0.0, 7.0),
    "y": (0.75, 0.0, -1.5, 0.0, 2.0, 1.0, -4.0, 0.5),
}
BLOCK = (0.0, 2.5, -1.0, 0.125) * 4


def vector_dual(n, which, value, seed):
    return ad.VectorDual(value, [LANES[which][(i + seed) % 8] for i in range(n)])


def hyper_dual(n, m, which, value, seed):
    e1 = [LANES[which][(i + seed) % 8] for i in range(n)]
    e2 = [LANES[which][(3 * j + seed + 1) % 8] for j in range(m)]
    e12 = [BLOCK[(k + seed) % 16] for k in range(n * m)]
    return ad.HyperDual(value, e1, e2, e12)


KINDS = {f"VectorDual{n}": functools.partial(vector_dual, n) for n in (1, 2, 4, 8)} | {
    f"HyperDual{n}x{n}": functools.partial(hyper_dual, n, n) for n in (1, 2, 4)
}
SEEDS = (0, 3)  # with both, every kind meets zero and non-zero derivatives
each_kind = pytest.mark.parametrize("kind", KINDS)


# The chain rule, from its definition


def times(row, derivative, factor):
    """Multiply; in a singular row a derivative that is exactly zero stays zero."""
    return 0.0 if row.singular and derivative == 0.0 else derivative * factor


def chain(row, jet, x, y=None):
    """Return [value, derivatives...] and for each how far rounding may move it.

    The arguments are numbers, or floats for passive ones.
    """
    first, second = (jet[1:2], jet[2:3]) if row.arity == 1 else (jet[1:3], jet[3:6])
    active = [(arg, i) for i, arg in enumerate((x, y)) if isinstance(arg, ad.VectorDual)]
    if active:
        sums = [
            sum(times(row, arg.partials[lane], first[i]) for arg, i in active)
            for lane in range(len(active[0][0].partials))
        ]
        return [jet[0], *sums], [0.0] * (1 + len(sums))
    active = [
        (lanes(arg.e1), lanes(arg.e2), lanes(arg.e12), i)
        for i, arg in enumerate((x, y))
        if isinstance(arg, ad.HyperDual)
    ]
    n, m = len(active[0][0]), len(active[0][1])
    e1 = [sum(times(row, a[k], first[i]) for a, _, _, i in active) for k in range(n)]
    e2 = [sum(times(row, b[k], first[i]) for _, b, _, i in active) for k in range(m)]
    e12, room = [], []
    for k in range(n):
        for j in range(m):
            terms = [times(row, c[k * m + j], first[i]) for _, _, c, i in active]
            terms += [
                times(row, a[k] * b[j], second[i + other])
                for a, _, _, i in active
                for _, b, _, other in active
            ]
            e12.append(sum(terms))
            room.append(ROUNDINGS * EPS * sum(map(abs, terms)))
    return [jet[0], *e1, *e2, *e12], [0.0] * (1 + n + m) + room


def lanes(slot):
    return slot if isinstance(slot, tuple) else (slot,)


def assert_chain(number, row, jet, args, name):
    expected, room = chain(row, jet, *args)
    found = flat(number)
    assert len(found) == len(expected)
    for i, (f, e, tolerance) in enumerate(zip(found, expected, room, strict=True)):
        right = same(f, e) or (math.isfinite(tolerance) and abs(f - e) <= tolerance)
        assert right, f"{name}{args}: field {i} of {found} is {f}, expected {e}"


def points(row, rng):
    return [*draw(row, rng, DRAWN), *row.special, *row.kinks]


def activities(row, make, point, seed):
    """Yield the arguments with every choice of active ones."""
    numbers = [make(which, v, seed) for which, v in zip("xy", point, strict=False)]
    yield tuple(numbers)
    if row.arity == 2:
        yield numbers[0], point[1]
        yield point[0], numbers[1]


# In compiled code


# One function that calls several takes Numba less than half the time that one for each takes.
CALLS = {
    1: lambda a: lambda *x: (a(*x),),
    2: lambda a, b: lambda *x: (a(*x), b(*x)),
    3: lambda a, b, c: lambda *x: (a(*x), b(*x), c(*x)),
    4: lambda a, b, c, d: lambda *x: (a(*x), b(*x), c(*x), d(*x)),
    5: lambda a, b, c, d, e: lambda *x: (a(*x), b(*x), c(*x), d(*x), e(*x)),
}


@functools.cache
def compiled_calls(*functions):
    """Compile calls of all functions, with Numba's default options, for any arguments."""
    return numba.njit(CALLS[len(functions)](*functions))


def name_of(function):
    return getattr(function, "__name__", None) or repr(function)


SOME = ("sin", "sqrt", "arctan2", "maximum", "erf")


def compiled_cases():
    """Yield kinds, scopes and rows; hyper-duals of some, vectors of every third run always."""
    for name in SOME:
        yield pytest.param("HyperDual2x2", "the rule", ROWS[name], id=f"HyperDual2x2-{name}")
    for kind in KINDS:
        for i, (name, row) in enumerate(ROWS.items()):
            marks = [pytest.mark.slow] * (kind != "VectorDual2" or i % 3 > 0)
            yield pytest.param(kind, "all names", row, id=f"{kind}-all names-{name}", marks=marks)


@pytest.mark.parametrize(("kind", "scope", "row"), list(compiled_cases()))
def test_compiled(kind, scope, row, rng):
    functions = (row, *row.targets) if scope == "all names" else (row,)
    in_numba = [f for f in functions if f not in NOT_IN_NUMBA]
    for point in points(row, rng):
        jet = evaluate(row, *point)
        values = dict(zip(in_numba, compiled_calls(*in_numba)(*point), strict=True))
        for seed in SEEDS:
            for args in activities(row, KINDS[kind], point, seed):
                numbers = compiled_calls(*functions)(*args)
                for function, number in zip(functions, numbers, strict=True):
                    value, name = values.get(function, jet[0]), name_of(function)
                    assert type(number) is type(KINDS[kind]("x", 0.0, 0))
                    assert same_bits(number.value, value), f"{name}{args}: {number}"
                    assert_chain(number, row, jet, args, name)


some_rows = pytest.mark.parametrize("row", [ROWS[name] for name in SOME], ids=SOME)


def single_precision(row):
    """Compile the row for float32 numbers, which exist in compiled code only."""
    if row.arity == 1:

        def call(x, p, q):
            return row(ad.VectorDual(x, (p, q)))
    else:

        def call(x, p, q, y, r, s):
            return row(ad.VectorDual(x, (p, q)), ad.VectorDual(y, (r, s)))

    return numba.njit(call)


@some_rows
def test_compiled_in_single_precision(row, rng):
    form = single_precision(row)
    for point in points(row, rng):
        numbers = [vector_dual(2, w, v, 0) for w, v in zip("xy", point, strict=False)]
        number = form(*(np.float32(field) for field in flat(numbers)))
        singles = tuple(map(np.float32, point))
        jet = evaluate(row, *singles)
        assert same_bits(number.value, *compiled_calls(row)(*singles))
        expected, _ = chain(row, jet, *numbers)
        np.testing.assert_allclose(flat(number)[1:], expected[1:], rtol=RTOL_FLOAT32)
        assert all(same(f, float(np.float32(f))) for f in flat(number))
    (signature,) = form.nopython_signatures
    assert signature.return_type.base == numba.float32


# Nested numbers: the derivative of f1 is f11


def nested(x):
    return ad.VectorDual(ad.VectorDual(x, [1.0]), [ad.VectorDual(1.0, [0.0])])


def assert_nested(number, row, jet, i, name):
    f1, f11 = jet[1 + i], jet[1 + row.arity + 2 * i]
    (outer,) = number.partials
    (inner,) = number.value.partials
    assert same(inner, f1), name
    assert same(outer.value, f1), name
    if math.isnan(f1):
        return  # no derivative (the order of polygamma), so nothing to differentiate
    scale = RTOL_NESTED * (abs(f1) + abs(f11))
    assert same(outer.partials[0], f11) or abs(outer.partials[0] - f11) <= scale, (
        f"{name}: {outer.partials[0]}, expected {f11}"
    )


@pytest.mark.parametrize(
    "row",
    [
        row if row.name in SOME else pytest.param(row, marks=pytest.mark.slow)
        for row in ROWS.values()
    ],
    ids=ROWS,
)
def test_compiled_over_another_number(row, rng):
    form = compiled_calls(row)
    for point in draw(row, rng, DRAWN):
        jet = evaluate(row, *point)
        for i in range(row.arity):
            args = [nested(v) if i == j else v for j, v in enumerate(point)]
            (number,) = form(*args)
            assert same_bits(number.value.value, *form(*point))
            assert_nested(number, row, jet, i, f"{row.name}{point}")


# At the prompt


def prompt_functions(row):
    """Return what users may call at the prompt: the rule, and ufuncs."""
    return [row, *(t for t in row.targets if isinstance(t, np.ufunc) or t is abs)]


def plain_jet(row, *point):
    """Return the jet as plain Python computes it."""
    with np.errstate(all="ignore"):
        return tuple(map(float, row.jet(*map(np.float64, point))))


@each_row
@each_kind
def test_at_the_prompt(kind, row, rng):
    for function in prompt_functions(row):
        for point in points(row, rng):
            jet = plain_jet(row, *point)
            with np.errstate(all="ignore"):
                value = function(*map(np.float64, point))
            for seed in SEEDS:
                for args in activities(row, KINDS[kind], point, seed):
                    number = function(*args)
                    assert all(type(field) is float for field in flat(number))
                    assert same_bits(number.value, value), f"{name_of(function)}{args}: {number}"
                    assert_chain(number, row, jet, args, name_of(function))


@each_row
def test_at_the_prompt_over_another_number(row, rng):
    for point in draw(row, rng, DRAWN):
        jet = plain_jet(row, *point)
        for i in range(row.arity):
            args = [nested(v) if i == j else v for j, v in enumerate(point)]
            assert_nested(row(*args), row, jet, i, f"{row.name}{point}")


@each_row
def test_third_derivatives(row, rng):
    """A hyper-dual number over a vector-dual one carries the derivative of f11 in e12."""
    value = REFERENCES[row.name][0]
    i = row.arity - 1  # the last argument: polygamma has no derivative in the first one
    for point in draw(row, rng, 3):
        inner = ad.VectorDual(point[i], [1.0])
        mixed = row(*point[:i], ad.HyperDual(inner, 1.0, 1.0, 0.0)).e12
        with mp.workdps(DIGITS):
            *passive, x = map(mp.mpf, point)
            third = float(mp.diff(functools.partial(value, *passive), x, 3))
        f1, f11 = pure_derivatives(row, point, i)
        assert same(mixed.value, f11)
        assert abs(mixed.partials[0] - third) <= RTOL_THIRD * (abs(third) + abs(f1) + abs(f11))


def pure_derivatives(row, point, i):
    jet = plain_jet(row, *point)
    return jet[1 + i], jet[1 + row.arity + 2 * i]


# The same number twice, and registration


def test_both_arguments_may_be_the_same_number():
    form = numba.njit(lambda x: (np.hypot(x, x), np.arctan2(x, x), np.power(x, x)))
    x = 1.7
    length, angle, power = form(ad.HyperDual(x, 1.0, 1.0, 0.0))
    assert flat(length) == pytest.approx([math.sqrt(2) * x, math.sqrt(2), math.sqrt(2), 0.0])
    assert flat(angle) == pytest.approx([math.pi / 4, 0.0, 0.0, 0.0])
    slope = 1 + math.log(x)
    expected = [x**x, x**x * slope, x**x * slope, x**x * (slope**2 + 1 / x)]
    assert flat(power) == pytest.approx(expected)


def test_integer_arguments_count_as_floats():
    sin = ROWS["sin"]
    form = numba.njit(lambda x, n: (sin(n), np.arctan2(x, n), np.hypot(n, x)))
    x = ad.VectorDual(2.0, [1.0])
    value, angle, length = form(x, 3)
    assert value == math.sin(3.0)
    assert flat(angle) == pytest.approx([math.atan2(2.0, 3.0), 3.0 / 13.0])
    assert flat(length) == pytest.approx([math.sqrt(13.0), 2.0 / math.sqrt(13.0)])


def test_strong_zero_is_decided_per_lane():
    singular = [row for row in ROWS.values() if row.singular and row.arity == 1]
    assert len(singular) > 10
    for row in singular:
        for (x,) in row.special:
            zero, one = row(ad.VectorDual(x, [0.0, 1.0])).partials
            assert zero == 0.0
            assert same(one, plain_jet(row, x)[1])
