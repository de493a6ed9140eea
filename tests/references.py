"""What the rules are tested against: mpmath references, points to test at, and the checks.

Each reference is written from the textbook, not from the rule, and evaluated with at least 60
digits, so it may cancel where the rule may not.
"""

import functools
import math
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import mpmath as mp
import numba
import numpy as np

import dualtape.rules.physics
import dualtape.rules.probability  # noqa: F401  # these fill RULES
from dualtape.rules.rule import RULES, Rule

DIGITS = 60
RTOL_RULE = 1e-9  # a 4th-order stencil is good to 1e-11; wrong rules are off by far more than 1e-9
STEP = 2.0**-13  # relative; truncation (1e-4)^4 and rounding 1e-16 / 1e-4 are both below 1e-11
SMALLEST_NORMAL = 2.0**-1022
LARGEST = 1.7976931348623157e308

TABLE = {name: row for name, row in RULES.items() if row.jet.__module__ == "dualtape.rules.table"}
"""The rows that are accurate to some units in the last place; see test_special_functions for the
others."""
ROWS = {name: row for name, row in TABLE.items() if not row.parameters}
"""Those of them that have derivatives by all their arguments."""

Reference = tuple[Callable[..., Any] | None, ...]


# Evaluation


def evaluate(rule: Rule, *args: float) -> tuple[float, ...]:
    """Return the jet of a rule at a point, compiled by Numba as the package compiles it."""
    return compiled_jet(rule.jet)(*args)


@functools.cache
def compiled_jet(jet: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a jet for floats: every rule it names stands for that rule's value."""
    names = {
        name: compiled_value(jet.__globals__[name])
        for name in jet.__code__.co_names
        if isinstance(jet.__globals__.get(name), Rule)
    }
    return compile_as_rule(FunctionType(jet.__code__, jet.__globals__ | names))


@functools.cache
def compiled_value(rule: Rule) -> Callable[..., Any]:
    return compile_call(rule.value, rule.arity)


def compile_call(function: Callable[..., Any], arity: int) -> Callable[..., Any]:
    """Compile a function that may be a built-in or a ufunc, which njit does not take itself."""
    if isinstance(function, FunctionType):
        return compile_as_rule(function)
    if arity == 1:
        return compile_as_rule(lambda x: function(x))  # noqa: PLW0108
    if arity == 2:
        return compile_as_rule(lambda x, y: function(x, y))  # noqa: PLW0108
    return compile_as_rule(lambda *args: function(*args))  # noqa: PLW0108


def compile_as_rule(function: Callable[..., Any]) -> Callable[..., Any]:
    return numba.njit(error_model="numpy", fastmath=False)(function)


# References


def _zero(*_: Any) -> Any:
    return mp.mpf(0)


def _one(*_: Any) -> Any:
    return mp.mpf(1)


def _flat(f: Callable[..., Any]) -> Reference:
    return f, _zero, _zero


def _select(f: Callable[..., Any]) -> Reference:
    def fx(x: Any, y: Any) -> Any:
        return mp.mpf("0.5") if x == y else mp.mpf(f(x, y) == x)

    return f, fx, lambda x, y: fx(y, x), _zero, _zero, _zero


def _trunc(x: Any) -> Any:
    return mp.floor(x) if x > 0 else mp.ceil(x)


def _logistic(x: Any) -> Any:
    return 1 / (1 + mp.exp(-x))


def _sinc_terms(x: Any) -> tuple[Any, Any]:
    return mp.cospi(x), mp.sinpi(x) / mp.pi


def _sinc1(x: Any) -> Any:
    # The difference is of order x^3.
    with mp.workdps(DIGITS + max(0, -3 * int(mp.log10(abs(x))))):
        c, s = _sinc_terms(x)
        return (c * x - s) / x**2


def _sinc2(x: Any) -> Any:
    with mp.workdps(DIGITS + max(0, -4 * int(mp.log10(abs(x))))):
        c, s = _sinc_terms(x)
        return (2 * s - 2 * x * c - (mp.pi * x) ** 2 * s) / x**3


def _hazard(x: Any) -> Any:
    """Return phi(x) / Phi(x) + x."""
    if x < -(10**8):
        z = -x
        return 1 / z - 2 / z**3 + 10 / z**5 - 74 / z**7 + 706 / z**9
    with mp.workdps(DIGITS + 40):
        return mp.npdf(x) / mp.ncdf(x) + x


REFERENCES: dict[str, Reference] = {
    "absolute": (abs, mp.sign, _zero),
    "sign": _flat(mp.sign),
    "floor": _flat(mp.floor),
    "ceil": _flat(mp.ceil),
    "trunc": _flat(_trunc),
    "rint": _flat(mp.nint),
    "copysign": (
        lambda x, y: abs(x) * mp.sign(y),
        lambda x, y: mp.sign(x) * mp.sign(y),
        *[_zero] * 4,
    ),
    "maximum": _select(max),
    "minimum": _select(min),
    "fmax": _select(max),
    "fmin": _select(min),
    "builtin_max": _select(max),
    "builtin_min": _select(min),
    "fmod": (
        lambda x, y: x - y * _trunc(x / y),
        _one,
        lambda x, y: -_trunc(x / y),
        *[_zero] * 3,
    ),
    "remainder": (
        lambda x, y: x - y * mp.floor(x / y),
        _one,
        lambda x, y: -mp.floor(x / y),
        *[_zero] * 3,
    ),
    "floor_divide": (lambda x, y: mp.floor(x / y), *[_zero] * 5),
    "hypot": (
        lambda x, y: mp.sqrt(x**2 + y**2),
        lambda x, y: x / mp.sqrt(x**2 + y**2),
        lambda x, y: y / mp.sqrt(x**2 + y**2),
        lambda x, y: y**2 / mp.sqrt(x**2 + y**2) ** 3,
        lambda x, y: -x * y / mp.sqrt(x**2 + y**2) ** 3,
        lambda x, y: x**2 / mp.sqrt(x**2 + y**2) ** 3,
    ),
    "power": (
        lambda x, y: x**y,
        lambda x, y: y * x ** (y - 1),
        lambda x, y: x**y * mp.log(x),
        lambda x, y: y * (y - 1) * x ** (y - 2),
        lambda x, y: x ** (y - 1) * (1 + y * mp.log(x)),
        lambda x, y: x**y * mp.log(x) ** 2,
    ),
    "sqrt": (mp.sqrt, lambda x: 1 / (2 * mp.sqrt(x)), lambda x: -1 / (4 * x * mp.sqrt(x))),
    "cbrt": (
        lambda x: mp.sign(x) * mp.cbrt(abs(x)),
        lambda x: 1 / (3 * mp.cbrt(abs(x)) ** 2),
        lambda x: -2 * mp.sign(x) / (9 * mp.cbrt(abs(x)) ** 5),
    ),
    "square": (lambda x: x * x, lambda x: 2 * x, lambda x: mp.mpf(2)),
    "reciprocal": (lambda x: 1 / x, lambda x: -1 / x**2, lambda x: 2 / x**3),
    "exp": (mp.exp, mp.exp, mp.exp),
    "exp2": (
        lambda x: mp.mpf(2) ** x,
        lambda x: mp.log(2) * mp.mpf(2) ** x,
        lambda x: mp.log(2) ** 2 * mp.mpf(2) ** x,
    ),
    "expm1": (mp.expm1, mp.exp, mp.exp),
    "log": (mp.log, lambda x: 1 / x, lambda x: -1 / x**2),
    "log2": (
        lambda x: mp.log(x) / mp.log(2),
        lambda x: 1 / (x * mp.log(2)),
        lambda x: -1 / (x**2 * mp.log(2)),
    ),
    "log10": (
        mp.log10,
        lambda x: 1 / (x * mp.log(10)),
        lambda x: -1 / (x**2 * mp.log(10)),
    ),
    "log1p": (mp.log1p, lambda x: 1 / (1 + x), lambda x: -1 / (1 + x) ** 2),
    "logaddexp": (
        lambda x, y: max(x, y) + mp.log1p(mp.exp(-abs(x - y))),
        lambda x, y: _logistic(x - y),
        lambda x, y: _logistic(y - x),
        lambda x, y: _logistic(x - y) * _logistic(y - x),
        lambda x, y: -_logistic(x - y) * _logistic(y - x),
        lambda x, y: _logistic(x - y) * _logistic(y - x),
    ),
    "xlogy": (
        lambda x, y: x * mp.log(y),
        lambda x, y: mp.log(y),
        lambda x, y: x / y,
        _zero,
        lambda x, y: 1 / y,
        lambda x, y: -x / y**2,
    ),
    "expit": (
        _logistic,
        lambda x: _logistic(x) * _logistic(-x),
        lambda x: -_logistic(x) * _logistic(-x) * mp.tanh(x / 2),
    ),
    "logit": (
        lambda x: mp.log(x / (1 - x)),
        lambda x: 1 / (x * (1 - x)),
        lambda x: (2 * x - 1) / (x * (1 - x)) ** 2,
    ),
    "sin": (mp.sin, mp.cos, lambda x: -mp.sin(x)),
    "cos": (mp.cos, lambda x: -mp.sin(x), lambda x: -mp.cos(x)),
    "tan": (mp.tan, lambda x: mp.sec(x) ** 2, lambda x: 2 * mp.tan(x) * mp.sec(x) ** 2),
    "arcsin": (
        mp.asin,
        lambda x: 1 / mp.sqrt(1 - x**2),
        lambda x: x / mp.sqrt(1 - x**2) ** 3,
    ),
    "arccos": (
        mp.acos,
        lambda x: -1 / mp.sqrt(1 - x**2),
        lambda x: -x / mp.sqrt(1 - x**2) ** 3,
    ),
    "arctan": (mp.atan, lambda x: 1 / (1 + x**2), lambda x: -2 * x / (1 + x**2) ** 2),
    "arctan2": (
        mp.atan2,
        lambda y, x: x / (x**2 + y**2),
        lambda y, x: -y / (x**2 + y**2),
        lambda y, x: -2 * x * y / (x**2 + y**2) ** 2,
        lambda y, x: (y**2 - x**2) / (x**2 + y**2) ** 2,
        lambda y, x: 2 * x * y / (x**2 + y**2) ** 2,
    ),
    "sinh": (mp.sinh, mp.cosh, mp.sinh),
    "cosh": (mp.cosh, mp.sinh, mp.cosh),
    "tanh": (
        mp.tanh,
        lambda x: mp.sech(x) ** 2,
        lambda x: -2 * mp.tanh(x) * mp.sech(x) ** 2,
    ),
    "arcsinh": (
        mp.asinh,
        lambda x: 1 / mp.sqrt(1 + x**2),
        lambda x: -x / mp.sqrt(1 + x**2) ** 3,
    ),
    "arccosh": (
        mp.acosh,
        lambda x: 1 / mp.sqrt(x**2 - 1),
        lambda x: -x / mp.sqrt(x**2 - 1) ** 3,
    ),
    "arctanh": (mp.atanh, lambda x: 1 / (1 - x**2), lambda x: 2 * x / (1 - x**2) ** 2),
    "sinc": (mp.sincpi, _sinc1, _sinc2),
    "degrees": (mp.degrees, lambda x: 180 / mp.pi, _zero),
    "radians": (mp.radians, lambda x: mp.pi / 180, _zero),
    "erf": (
        mp.erf,
        lambda x: 2 / mp.sqrt(mp.pi) * mp.exp(-(x**2)),
        lambda x: -4 * x / mp.sqrt(mp.pi) * mp.exp(-(x**2)),
    ),
    "erfc": (
        mp.erfc,
        lambda x: -2 / mp.sqrt(mp.pi) * mp.exp(-(x**2)),
        lambda x: 4 * x / mp.sqrt(mp.pi) * mp.exp(-(x**2)),
    ),
    "log_ndtr": (
        lambda x: mp.log(mp.ncdf(x)),
        lambda x: _hazard(x) - x if x < 0 else mp.npdf(x) / mp.ncdf(x),
        lambda x: -(_hazard(x) - x if x < 0 else mp.npdf(x) / mp.ncdf(x)) * _hazard(x),
    ),
    "gamma": (
        mp.gamma,
        lambda x: mp.gamma(x) * mp.digamma(x),
        lambda x: mp.gamma(x) * (mp.digamma(x) ** 2 + mp.psi(1, x)),
    ),
    "gammaln": (
        lambda x: mp.log(abs(mp.gamma(x))),
        mp.digamma,
        lambda x: mp.psi(1, x),
    ),
    "digamma": (mp.digamma, lambda x: mp.psi(1, x), lambda x: mp.psi(2, x)),
    "polygamma": tuple(lambda k, x, n=n: mp.psi(int(k) + n, x) for n in range(3)),
}

# By index in the jet, what an error is measured against if not against the derivative itself: the
# larger of two terms whose difference passes through zero, and what a value that underflows has.
SCALES: dict[tuple[str, int], Callable[..., Any]] = {
    ("sinc", 1): lambda x: 1 / max(abs(x), 1),
    ("sinc", 2): lambda x: mp.pi / max(abs(x), 1),
    ("power", 2): lambda x, y: SMALLEST_NORMAL * abs(mp.log(x)),
    ("power", 5): lambda x, y: SMALLEST_NORMAL * mp.log(x) ** 2,
    ("power", 4): lambda x, y: x ** (y - 1) * max(1, abs(y * mp.log(x))),
}


# Points


def draw(rule: Rule, rng: np.random.Generator, count: int) -> list[tuple[float, ...]]:
    """Return `count` points of the row's sample."""
    columns = []
    for intervals in rule.sample:
        low, high = np.array(intervals)[rng.integers(len(intervals), size=count)].T
        columns.append(rng.uniform(low, high))
    return [tuple(map(float, point)) for point in zip(*columns, strict=True)]


def inside(x: float, interval: tuple[float, float]) -> bool:
    return interval[0] < x < interval[1]


def edges(interval: tuple[float, float]) -> Iterator[float]:
    """Yield points ever closer to the finite ends of an interval."""
    for k in range(1, 16):
        for end, sign in zip(interval, (1.0, -1.0), strict=True):
            if math.isfinite(end):
                yield end + sign * 10.0**-k


MAGNITUDES = [float(m) for m in np.logspace(-300, 300, 83)]
COARSE = [s * float(m) for m in np.logspace(-300, 300, 9) * 1.37 for s in (1.0, -1.0)]
MODERATE = [0.3, -0.7, 1.0, -2.5, 5.0, -6.3, 9.7, 13.1, -25.9, 26.4, -37.3, 40.0, 120.6, -700.3]

# Poles and zeros of the gamma function's kin crowd the negative axis.
WIDE_INTERVAL = dict.fromkeys(("gamma", "gammaln", "digamma"), (-0.01, math.inf))


def wide(rule: Rule) -> list[tuple[float, ...]]:
    """Return points of all magnitudes, and points next to the ends of the domain."""
    if rule.arity == 2:
        return [p for p in WIDE_PAIRS.get(rule.name, _all_pairs)() if _in_domain(rule, p)]
    (domain,) = rule.domain
    interval = WIDE_INTERVAL.get(rule.name, domain)
    signed = [s * m for m in MAGNITUDES for s in (1.0, -1.0)]
    return [(x,) for x in [*signed, *MODERATE, *edges(domain)] if inside(x, interval)]


def _in_domain(rule: Rule, point: tuple[float, ...]) -> bool:
    return all(inside(x, interval) for x, interval in zip(point, rule.domain, strict=True))


def _all_pairs() -> list[tuple[float, float]]:
    near = [(x, x * (1 + d)) for x in COARSE[::3] for d in (1e-15, -1e-9, 1e-3)]
    return [(x, y) for x in COARSE for y in COARSE if x != y] + near


def _quotient_pairs() -> list[tuple[float, float]]:
    """Return pairs whose quotient does not lose its integer digits, and some exact quotients."""
    pairs = [(x * q, x) for x in COARSE for q in (-1e14, -3.7, 0.4, 1e9)]
    return pairs + [(x, y) for x in (6.0, -6.0) for y in (3.0, -3.0, 0.1)]


def _power_pairs() -> list[tuple[float, float]]:
    exponents = (-100.3, -3.0, -2.0, -1.0, -0.5, 0.3, 0.5, 1.0, 1.5, 2.0, 3.0, 0.97, 57.1)
    bases = [*MAGNITUDES[::6], 0.013, 0.9999, 1.0001, 810.0]
    return [(x, y) for x in bases for y in exponents]


def _logaddexp_pairs() -> list[tuple[float, float]]:
    near = [(x, y) for x in MODERATE for y in MODERATE if x != y]
    return [*near, (1e300, -1e300), (-1e18, 1e3), (1e-300, 3.0), (1e-300, -1e-300)]


def _polygamma_pairs() -> list[tuple[float, float]]:
    return [(k, m) for k in (0.0, 1.0, 2.0, 4.0) for m in MAGNITUDES[::3]]


WIDE_PAIRS = {
    "fmod": _quotient_pairs,
    "remainder": _quotient_pairs,
    "floor_divide": _quotient_pairs,
    "power": _power_pairs,
    "logaddexp": _logaddexp_pairs,
    "polygamma": _polygamma_pairs,
}


# Checks


def ulp_error(computed: float, exact: Any, scale: Any = 0) -> float:
    """Return the error in units in the last place of the exact result, or of a larger scale."""
    if abs(exact) > LARGEST:
        # Infinity is right, and so is the largest number.
        nearest = math.copysign(LARGEST, exact)
        return 0.0 if computed in (nearest, math.copysign(math.inf, exact)) else math.inf
    if not math.isfinite(computed):
        # Just below the largest number an intermediate result may overflow.
        near = abs(exact) > LARGEST * (1 - 1e-14) and computed == math.copysign(math.inf, exact)
        return 0.0 if near else math.inf
    size = float(min(max(abs(exact), scale, SMALLEST_NORMAL), LARGEST))
    return float(abs(computed - exact) / mp.mpf(math.ulp(size)))


def order(rule: Rule, index: int) -> int:
    """Return which derivative an entry of the jet is: 0, 1 or 2."""
    return min(index, 2) if rule.actives == 1 else (0, 1, 1, 2, 2, 2)[index]


def check_ulps(rule: Rule, reference: Reference, points: list[tuple[float, ...]]) -> int:
    """Compare derivatives with 60-digit references; return the number of comparisons."""
    count = 0
    for point in points:
        jet = evaluate(rule, *point)
        with mp.workdps(DIGITS):
            exactly = [mp.mpf(x) for x in point]
            for index in range(1, len(jet)):
                derivative = reference[index]
                if derivative is None:
                    assert math.isnan(jet[index]), _message(rule, index, point, jet[index], "nan")
                    continue
                exact = derivative(*exactly)
                scale = SCALES.get((rule.name, index), _zero)(*exactly)
                error = ulp_error(jet[index], exact, scale)
                limit = rule.ulps[order(rule, index) - 1]
                assert error <= limit, (
                    _message(rule, index, point, jet[index], mp.nstr(exact, 20))
                    + f", {error:.3g} ulp"
                )
                count += 1
    return count


def check_differences(rule: Rule, points: list[tuple[float, ...]]) -> int:
    """Compare f1 with differences of f, and f11 with differences of f1, along each argument.

    Points whose stencil straddles a kink or a jump are left out; the number of points that were
    compared is returned.
    """
    return sum(_check_differences_at(rule, point) for point in points)


# (entry, derivative of it along each argument)
SUCCESSORS = {1: {0: [1], 1: [2]}, 2: {0: [1, 2], 1: [3, 4], 2: [4, 5]}}


def _check_differences_at(rule: Rule, point: tuple[float, ...]) -> bool:
    centre = evaluate(rule, *point)
    free = range(rule.parameters, rule.arity)
    rays = [[evaluate(rule, *p) for p in _stencil(point, i)] for i in free]
    if (rule.flat or rule.linear) and not _is_smooth(centre, rays, point):
        return False
    for entry, derivatives in SUCCESSORS[rule.actives].items():
        for along, derivative in enumerate(derivatives):
            if math.isnan(centre[derivative]):
                assert REFERENCES[rule.name][derivative] is None, f"{rule.name} is NaN at {point}"
                continue
            a, b, c, d = (jet[entry] for jet in rays[along])
            difference = (a - d + 8.0 * (c - b)) / (12.0 * _step(point[free[along]]))
            scale = abs(centre[derivative]) + abs(centre[entry])
            assert abs(difference - centre[derivative]) <= RTOL_RULE * scale, _message(
                rule, derivative, point, centre[derivative], difference
            )
    return True


def _is_smooth(centre: Any, rays: Any, point: tuple[float, ...]) -> bool:
    """Return whether a piecewise linear function is linear on the whole stencil."""
    jets = [jet for ray in rays for jet in ray]
    gradient = slice(1, 1 + len(point))
    if any(jet[gradient] != centre[gradient] for jet in jets):
        return False
    moves = [abs(jet[0] - centre[0]) for jet in jets]
    # A jump is 1 or y; along the gradient f moves by no more than this.
    return max(moves) <= 4.0 * max(map(_step, point)) * max(map(abs, (*centre[gradient], 1.0)))


def _step(x: float) -> float:
    return STEP * min(max(abs(x), 0.05), 1.0)


def _stencil(point: tuple[float, ...], along: int) -> list[tuple[float, ...]]:
    h = _step(point[along])
    return [tuple(x + k * h * (i == along) for i, x in enumerate(point)) for k in (-2, -1, 1, 2)]


def _message(rule: Rule, index: int, point: Any, computed: Any, expected: Any) -> str:
    names = ("f", "f1", "f11") if rule.actives == 1 else ("f", "fx", "fy", "fxx", "fxy", "fyy")
    return f"{rule.name}{point}: {names[index]} is {computed!r}, expected {expected}"
