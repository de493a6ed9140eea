"""Every row of the rule table, against references, differences, Numba and its own declarations.

Nothing here names a row unless a test is about that row alone: what a row promises stands in the
table, what is true stands in `references`.
"""

import builtins
import functools
import math
import operator
import weakref
from math import inf, nan

import mpmath as mp
import numpy as np
import pytest
import scipy.special
from references import (
    DIGITS,
    REFERENCES,
    RTOL_RULE,
    STEP,
    TABLE,
    check_differences,
    check_ulps,
    compile_call,
    draw,
    evaluate,
    wide,
)

from dualtape.rules.rule import RULES, Rule, rule

SEED = 20240229
# NumPy's SIMD tanh and CPython's gamma and lgamma differ from the C library's, which Numba calls;
# near a zero of lgamma the relative difference grows.
RTOL_PYTHON = 1e-12
RTOL_SCIPY = 1e-12  # SciPy's kernels are other formulas of about 15 digits
RTOL_MPMATH = 1e-25  # mpmath differentiates numerically at DIGITS digits
RTOL_THIRD = 1e-8  # differences of f11, which may carry 16 ulp of noise

each_rule = pytest.mark.parametrize("row", TABLE.values(), ids=TABLE)
UNARY = {name: row for name, row in TABLE.items() if row.arity == 1}
BINARY = {name: row for name, row in TABLE.items() if row.arity == 2}
SPECIAL = {name: row for name, row in TABLE.items() if row.special}
KINKED = {name: row for name, row in TABLE.items() if row.kinks}
CURVED = {name: row for name, row in TABLE.items() if not (row.flat or row.linear)}


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)


def same(a, b):
    """Return whether two floats are equal, all NaNs being one."""
    return a == b or (math.isnan(a) and math.isnan(b))


def same_bits(a, b):
    return same(a, b) and (math.isnan(a) or math.copysign(1.0, a) == math.copysign(1.0, b))


def plain(row, *args):
    """Return the jet as plain Python computes it."""
    with np.errstate(all="ignore"):
        return row.jet(*map(np.float64, args))


# The derivatives


def test_every_row_has_a_reference():
    assert set(REFERENCES) == set(TABLE)


@each_rule
def test_derivatives_on_the_sample(row, rng):
    assert check_ulps(row, REFERENCES[row.name], draw(row, rng, 100)) >= 200


@each_rule
def test_derivatives_at_all_magnitudes(row):
    assert check_ulps(row, REFERENCES[row.name], wide(row)) >= 100


@each_rule
def test_derivatives_against_differences(row, rng):
    count = 40
    # Only a stencil across a kink or a jump is left out, which is rare.
    assert check_differences(row, draw(row, rng, count)) >= 0.9 * count


@each_rule
def test_references_against_numerical_differentiation(row, rng):
    """The references are formulas too: mpmath's differences of f must agree with them."""
    reference = REFERENCES[row.name]
    directions = {1: [(1,), (2,)], 2: [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]}[row.actives]
    with mp.workdps(DIGITS):
        for point in draw(row, rng, 2):
            at = tuple(map(mp.mpf, point))
            for direction, formula in zip(directions, reference[1:], strict=True):
                if formula is not None:
                    f = functools.partial(reference[0], *at[: row.parameters])
                    free = at[row.parameters :]
                    n = direction if row.actives == 2 else direction[0]
                    numerical = mp.diff(f, free if row.actives == 2 else free[0], n)
                    assert mp.almosteq(numerical, formula(*at), RTOL_MPMATH, RTOL_MPMATH)


# Declarations of the row


@pytest.mark.parametrize("row", SPECIAL.values(), ids=SPECIAL)
def test_special_points(row):
    for point, expected in row.special.items():
        jet = evaluate(row, *point)
        assert len(expected) == len(jet)
        assert all(e is None or same(c, e) for c, e in zip(jet, expected, strict=True)), (
            f"{row.name}{point}: {jet}, expected {expected}"
        )


@pytest.mark.parametrize("row", KINKED.values(), ids=KINKED)
def test_kinks(row):
    """At a kink stands the shortest vector between the gradients on its two sides."""
    for point, chosen in row.kinks.items():
        jet = evaluate(row, *point)
        assert jet[1 : 1 + row.arity] == chosen
        assert not any(jet[1 + row.arity :])
        side = np.array([0.6, -0.8])[: row.arity] * STEP
        here, there = (
            np.array(evaluate(row, *(np.array(point) + s))[1 : 1 + row.arity])
            for s in (side, -side)
        )
        t = np.clip(np.dot(here, here - there) / np.dot(here - there, here - there), 0.0, 1.0)
        np.testing.assert_allclose(here + t * (there - here), chosen, atol=1e-15)


@each_rule
def test_nan_outside_the_domain(row, rng):
    inside = draw(row, rng, 1)[0]
    outside = [
        (*inside[:i], x, *inside[i + 1 :])
        for i, (low, high) in enumerate(row.domain)
        for x in (low - 1e-9, low - 7.3, high + 1e-9, high + 7.3, math.copysign(inf, low))
        if math.isfinite(x) and not low <= x <= high
    ]
    for point in outside:
        jet, within = evaluate(row, *point), evaluate(row, *inside)
        # Entries that vanish everywhere, or do not depend on the argument, may stay.
        changed = [c for c, w in zip(jet, within, strict=True) if not same(c, w)]
        assert changed
        assert all(map(math.isnan, changed)), f"{row.name}{point}: {jet}"
    bounded = any(math.isfinite(end) for interval in row.domain for end in interval)
    assert bool(outside) == bounded


@pytest.mark.parametrize("row", CURVED.values(), ids=CURVED)
def test_nan_in_nan_out(row, rng):
    inside = draw(row, rng, 1)[0]
    for i in range(row.arity):
        jet = evaluate(row, *inside[:i], nan, *inside[i + 1 :])
        assert math.isnan(jet[0])
        assert any(map(math.isnan, jet[1 : 1 + row.actives]))


@each_rule
def test_flat_and_linear_mean_what_they_say(row, rng):
    jets = np.array([evaluate(row, *point) for point in draw(row, rng, 50)])
    jets = np.nan_to_num(jets, nan=1.0)  # a derivative that does not exist is not zero
    first, second = jets[:, 1 : 1 + row.actives], jets[:, 1 + row.actives :]
    assert row.flat == (not first.any())
    assert (row.flat or row.linear) == (not second.any())


@each_rule
def test_singular_rows_show_where(row):
    """A row is singular exactly if a special point shows a derivative that is not finite."""
    entries = [d for jet in row.special.values() for d in jet[1:] if d is not None]
    assert row.singular == (not np.isfinite(entries).all())


@pytest.mark.parametrize("row", BINARY.values(), ids=BINARY)
def test_samples_are_not_symmetric(row, rng):
    points = draw(row, rng, 200)
    assert len(set(points)) == 200
    assert row.sample[0] != row.sample[1]


@each_rule
def test_samples_lie_in_the_domain_and_have_both_signs_if_legal(row):
    for intervals, (low, high) in zip(row.sample, row.domain, strict=True):
        assert all(low <= a <= b <= high for a, b in intervals)
        # A negative base has a derivative for integer exponents only, an order is positive.
        if row.name not in {"power", "polygamma"}:
            assert any(a < 0.0 for a, _ in intervals) == (low < 0.0)


# Values


UNSUPPORTED = {math.fmod, math.cbrt}  # Numba 0.68 compiles neither
TARGETS = [(row, t) for row in TABLE.values() for t in row.targets if t not in UNSUPPORTED]


def full_name(parameter):
    """Return sin, numpy.sin or math.sin."""
    if isinstance(parameter, Rule):
        return parameter.name
    return f"{getattr(parameter, '__module__', None) or 'numpy'}.{parameter.__name__}"


SIGNED_ZEROS_AND_INFINITIES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, inf, -inf, nan, 1e300, -1e-300]


@pytest.mark.parametrize(("row", "target"), TARGETS, ids=full_name)
def test_value_is_what_numba_computes_for_the_target(row, target, rng):
    compiled = compile_call(target, row.arity)
    points = draw(row, rng, 300) + [p for p in wide(row) if len(p) == row.arity][::5]
    if row.arity == 1:
        points += [(x,) for x in SIGNED_ZEROS_AND_INFINITIES]
    else:
        points += [(x, y) for x in SIGNED_ZEROS_AND_INFINITIES for y in SIGNED_ZEROS_AND_INFINITIES]
    for point in points:
        assert same_bits(evaluate(row, *point)[0], compiled(*point)), f"{row.name}{point}"


@each_rule
def test_plain_python_agrees_and_never_raises(row, rng):
    corners = [(x,) * row.arity for x in SIGNED_ZEROS_AND_INFINITIES]
    for point in corners + wide(row)[::3]:
        assert len(plain(row, *point)) == len(evaluate(row, *point))
    for point in [*row.special, *row.kinks, *draw(row, rng, 20)]:
        np.testing.assert_allclose(
            np.array(plain(row, *point), dtype=float),
            evaluate(row, *point),
            rtol=RTOL_PYTHON,
            atol=RTOL_PYTHON,
        )


@each_rule
def test_calling_a_rule_with_floats_gives_the_value(row, rng):
    for point in draw(row, rng, 5):
        value = row(*point)
        assert type(value) is float
        assert value == row.value(*point)


def scipy_names():
    return [(row, name) for row in TABLE.values() for name in row.scipy]


@pytest.mark.parametrize(("row", "name"), scipy_names(), ids=lambda p: getattr(p, "name", p))
def test_scipy_agrees(row, name, rng):
    # SciPy's sinc is NumPy's; polygamma takes integer orders and positive x only.
    function = getattr(scipy.special, name)
    points = [p for p in draw(row, rng, 50) if row.name != "polygamma" or p[1] > 0.0]
    for point in points:
        np.testing.assert_allclose(row(*point), function(*point), rtol=RTOL_SCIPY)


@pytest.mark.parametrize("name", ["expit", "logit", "log_ndtr", "digamma", "gammaln", "gamma"])
def test_kernels_at_all_magnitudes(name):
    """Values, not only derivatives, are good to 1e-13 far out, where SciPy may overflow."""
    compared = 0
    for (x,) in wide(TABLE[name]):
        with mp.workdps(DIGITS), np.errstate(all="ignore"):
            if abs(x) > 1e100:
                continue  # mpmath's gamma would not come back
            exact = REFERENCES[name][0](mp.mpf(x))
            if 1e-300 < abs(exact) < 1e300:
                assert abs(TABLE[name](x) / exact - 1) < 1e-13, f"{name}({x})"
                compared += 1
    assert compared > 20


def test_polygamma_of_negative_arguments():
    for k in range(5):
        for x in (-0.3, -1.5, -7.25, -30.9, -1000.1):
            computed = evaluate(TABLE["polygamma"], float(k), x)
            with mp.workdps(DIGITS):
                exact = [mp.psi(k + i, mp.mpf(x)) for i in range(3)]
            # Two terms of the reflection may cancel; 1e-10 still tells any mistake.
            np.testing.assert_allclose(computed, list(map(float, exact)), rtol=1e-10)


def test_polygamma_far_out_on_the_negative_axis_does_not_loop():
    assert evaluate(TABLE["polygamma"], 1.0, -1e15 + 0.5)[0] == pytest.approx(math.pi**2)


# Points that one row alone has


@pytest.mark.parametrize(
    ("name", "first"),
    [("absolute", 0.0), ("sign", 0.0), ("reciprocal", -inf)]
    + [(name, inf) for name in ("sqrt", "cbrt", "log", "log2", "log10", "logit")],
)
def test_negative_zero_is_zero(name, first):
    assert evaluate(TABLE[name], -0.0)[1] == first


@pytest.mark.parametrize(
    ("x", "y", "first", "second"),
    [
        (-2.0, 3.0, 12.0, -12.0),
        (-2.0, 2.0, -4.0, 2.0),
        (-2.0, 1.0, 1.0, 0.0),
        (-2.0, 0.0, 0.0, 0.0),
        (-2.0, -1.0, -0.25, -0.25),
        (0.0, -2.0, -inf, inf),
        (0.0, 1.0, 1.0, 0.0),
        (0.0, 0.0, 0.0, 0.0),
        (1e-200, 2.0, 2e-200, 2.0),
        (1e300, 2.0, 2e300, 2.0),
        (1e-200, 3.0, 0.0, 6e-200),
        (inf, 1.0, 1.0, 0.0),
    ],
)
def test_power_of_a_passive_exponent(x, y, first, second):
    _, fx, _, fxx, _, _ = evaluate(TABLE["power"], x, y)
    assert (fx, fxx) == (first, second)


@pytest.mark.parametrize(
    ("x", "y", "floored", "truncated"),
    [
        (7.0, 2.0, -3.0, -3.0),
        (-7.0, 2.0, 4.0, 3.0),
        (7.0, -2.0, 4.0, 3.0),
        (6.0, 0.1, -59.0, -59.0),
    ],
)
def test_remainders_count_whole_multiples(x, y, floored, truncated):
    """6 / 0.1 rounds to 60, but 0.1 is slightly more than a tenth and goes 59 times into 6."""
    assert evaluate(TABLE["remainder"], x, y)[2] == floored
    assert evaluate(TABLE["fmod"], x, y)[2] == truncated


def test_tails_that_a_naive_formula_loses():
    assert evaluate(TABLE["tanh"], 20.0)[1] == pytest.approx(4.0 * math.exp(-40.0), rel=1e-15)
    assert evaluate(TABLE["expit"], 40.0)[1] == pytest.approx(math.exp(-40.0), rel=1e-15)
    assert evaluate(TABLE["hypot"], 1e200, 1e200)[1] == pytest.approx(math.sqrt(0.5), rel=1e-15)
    assert evaluate(TABLE["arctan2"], 1e-200, 1e-200)[1] == pytest.approx(5e199, rel=1e-15)


# Jets on numbers that carry derivatives: nested differentiation


class Tangent:
    """The least number a jet must work with: value and derivative, rules through the table."""

    level = 1

    def __init__(self, value, dot):
        self.value, self.dot = value, dot

    def _apply_rule(self, row, args):
        pairs = [(a.value, a.dot) if isinstance(a, Tangent) else (a, 0.0) for a in args]
        f, *partials = row.jet(*(value for value, _ in pairs))
        # A derivative of exactly zero stays zero where the partial is infinite.
        pairs = pairs[row.parameters :]
        terms = [p * dot for p, (_, dot) in zip(partials, pairs, strict=False) if dot != 0.0]
        return Tangent(f, sum(terms))

    def __array_ufunc__(self, ufunc, method, *inputs):
        if ufunc in OPERATORS:
            return OPERATORS[ufunc](*map(tangent, inputs))
        return self._apply_rule(BY_TARGET[ufunc], inputs)

    def __abs__(self):
        return self._apply_rule(TABLE["absolute"], (self,))

    def __neg__(self):
        return Tangent(-self.value, -self.dot)

    def __add__(self, other):
        other = tangent(other)
        return Tangent(self.value + other.value, self.dot + other.dot)

    def __sub__(self, other):
        return self + -tangent(other)

    def __mul__(self, other):
        other = tangent(other)
        return Tangent(self.value * other.value, self.dot * other.value + self.value * other.dot)

    def __truediv__(self, other):
        other = tangent(other)
        q = self.value / other.value
        return Tangent(q, (self.dot - q * other.dot) / other.value)

    def __rsub__(self, other):
        return tangent(other) - self

    def __rtruediv__(self, other):
        return tangent(other) / self

    __radd__, __rmul__ = __add__, __mul__
    __hash__ = None


def comparison(compare):
    return lambda self, other: compare(self.value, tangent(other).value)


COMPARISONS = {
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
}
for _op in COMPARISONS.values():
    setattr(Tangent, f"__{_op.__name__}__", comparison(_op))

# A NumPy float on the left asks its own ufunc first.
OPERATORS = COMPARISONS | {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: operator.truediv,
}

BY_TARGET = {target: row for row in TABLE.values() for target in row.targets}


def tangent(x):
    return x if isinstance(x, Tangent) else Tangent(np.float64(x), np.float64(0.0))


def nested(row, point, along):
    """Return value and derivative along one argument of every entry of the jet."""
    args = [
        Tangent(np.float64(x), np.float64(1.0)) if i == along else np.float64(x)
        for i, x in enumerate(point)
    ]
    with np.errstate(all="ignore"):
        return [tangent(entry) for entry in row.jet(*args)]


SUCCESSORS = {1: [[1, 2]], 2: [[1, 3, 4], [2, 4, 5]]}  # along each argument, of f, fx, fy
SMOOTH_AT_ZERO = ["tanh", "sinc", "arctan", "arcsinh", "erf", "erfc", "expit", "log_ndtr", "square"]


def assert_nested(row, point):
    """Check that the derivative of each entry, by the jets of its pieces, is the next entry."""
    jet = plain(row, *point)
    size = max(1.0, *(abs(entry) for entry in jet if entry == entry))
    for along, successors in enumerate(SUCCESSORS[row.actives]):
        entries = nested(row, point, row.parameters + along)
        np.testing.assert_array_equal([float(e.value) for e in entries], jet)
        known = [i for i in range(len(successors)) if REFERENCES[row.name][successors[i]]]
        np.testing.assert_allclose(
            [float(entries[i].dot) for i in known],
            [jet[successors[i]] for i in known],
            rtol=RTOL_PYTHON,
            atol=RTOL_PYTHON * size,
        )


@each_rule
def test_jets_run_on_numbers_with_derivatives(row, rng):
    for point in draw(row, rng, 10):
        assert_nested(row, point)


@pytest.mark.parametrize(
    ("name", "point"),
    [(name, (0.0,)) for name in SMOOTH_AT_ZERO]
    + [("logaddexp", (1.5, 1.5)), ("arctan2", (0.0, 2.0)), ("arctan2", (1.5, 1.5))]
    + [("hypot", (0.0, -3.0)), ("xlogy", (0.0, 2.0)), ("expit", (800.0,)), ("logit", (0.5,))]
    + [("power", (2.0, y)) for y in (-1.0, 0.0, 1.0, 2.0)],
)
def test_branches_for_special_points_keep_derivatives(name, point):
    assert_nested(TABLE[name], point)


@pytest.mark.parametrize("row", UNARY.values(), ids=UNARY)
def test_third_derivatives_through_nesting(row, rng):
    points = [x for (x,) in draw(row, rng, 10)]
    points += [0.0] * (row.name in SMOOTH_AT_ZERO)
    for x in points:
        if row.linear or row.flat:
            assert nested(row, (x,), 0)[2].dot == 0.0
            continue
        h = STEP * min(max(abs(x), 0.05), 1.0)
        a, b, c, d = (plain(row, x + k * h)[2] for k in (-2, -1, 1, 2))
        jet = plain(row, x)
        third = (a - d + 8.0 * (c - b)) / (12.0 * h)
        scale = abs(third) + sum(map(abs, jet))
        assert abs(float(nested(row, (x,), 0)[2].dot) - third) <= RTOL_THIRD * scale, x


@pytest.mark.parametrize(("n", "third"), [(1.0, 0.0), (2.0, 0.0), (3.0, 6.0), (4.0, 0.0)])
def test_third_derivative_of_a_power_at_zero(n, third):
    assert nested(TABLE["power"], (0.0, n), 0)[3].dot == third


# The registry


def test_targets_and_scipy_names_are_unique():
    targets = [target for row in RULES.values() for target in row.targets]
    names = [name for row in RULES.values() for name in row.scipy]
    assert len(set(targets)) == len(targets)
    assert len(set(names)) == len(names)
    assert all(callable(getattr(scipy.special, name)) for name in names)


@each_rule
def test_a_row_has_the_name_of_its_function(row):
    names = {target.__name__ for target in row.targets} | set(row.scipy)
    aliases = {"builtin_max": "max", "builtin_min": "min"}
    assert aliases.get(row.name, row.name) in names
    assert row.jet.__name__ == row.name
    assert repr(row) == f"<Rule {row.name}>"


def test_numpy_and_math_names_lead_to_the_same_row():
    pairs = {"arcsin": "asin", "arctan2": "atan2", "arccosh": "acosh", "power": "pow"}
    same_name = ["sin", "exp", "log1p", "hypot", "sqrt", "copysign", "fmod", "degrees", "cbrt"]
    for ours, theirs in (pairs | {name: name for name in same_name}).items():
        assert BY_TARGET[getattr(np, ours)] is BY_TARGET[getattr(math, theirs)] is TABLE[ours]
    assert BY_TARGET[builtins.abs] is BY_TARGET[np.fabs] is TABLE["absolute"]


def test_rules_are_immutable_hashable_and_weakly_referenceable():
    row = TABLE["sin"]
    assert weakref.ref(row)() is row
    assert {row: 1}[row] == 1
    with pytest.raises(AttributeError):
        row.flat = True


def test_registration_refuses_a_second_rule_and_a_wrong_arity():
    def sin(x):
        return x, x, x

    def three(x, y, z):
        return x, y, z

    with pytest.raises(ValueError, match="rule 'sin' exists already"):
        rule(np.sin, sample=(0.0, 1.0))(sin)
    with pytest.raises(ValueError, match="jet 'three' takes 3 arguments; expected 1 or 2"):
        rule(np.sin, sample=(0.0, 1.0))(three)
    assert "three" not in RULES


def test_a_rule_gives_way_to_the_number_of_the_highest_level():
    class Number:
        def __init__(self, level):
            self.level = level

        def _apply_rule(self, row, args):
            return self.level, row.name, len(args)

    assert TABLE["hypot"](Number(1), Number(2)) == (2, "hypot", 2)
    assert TABLE["hypot"](3.0, Number(1)) == (1, "hypot", 2)
    assert TABLE["hypot"](3.0, 4.0) == 5.0
    assert isinstance(TABLE["hypot"], Rule)


def test_tolerance_of_differences_is_tight():
    """The tolerances above are promises of the package; loosening one should be noticed."""
    assert RTOL_RULE <= 1e-9
    assert {row.name for row in TABLE.values() if row.ulps != (4, 16)} == {"gamma"}
