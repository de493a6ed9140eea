"""The hand-written arithmetic of numbers as data: functions of two arguments, differentiated twice.

What is no row of the rule table (operators, powers, mixed operands) stands here with its
derivatives by hand, for the tests of every number type.  Beside it: how numbers are compared.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# A derivative is a few operations on the operands, each rounded to half an ulp (1e-16), of terms
# of which none is 100 times larger than the result.
RTOL_ALGEBRA = 1e-13

POINTS = ((3.7, 1.6), (-2.3, 0.7), (2.1, -1.9), (-0.45, -3.25))
POSITIVE = ((3.7, 1.6), (0.3, -2.25), (1.0, 4.5))


@dataclass(frozen=True)
class Law:
    """A function of x and y, its gradient (fx, fy) and its Hessian (fxx, fxy, fyy)."""

    name: str
    f: Callable[..., Any]
    gradient: Callable[..., tuple[float, float]]
    hessian: Callable[..., tuple[float, float, float]]
    points: tuple[tuple[float, float], ...] = POINTS

    @property
    def is_operator(self) -> bool:
        """Whether this is one binary operator and nothing else."""
        return self.name.startswith("x") and self.name.endswith("y") and "," not in self.name


def _flat(x: float, y: float) -> tuple[float, float, float]:
    return 0.0, 0.0, 0.0


def _augmented(x: Any, y: Any) -> Any:
    z = x
    z += y
    z *= x
    z -= 2
    z /= y
    return z


def _augmented_powers(x: Any, y: Any) -> Any:
    z = x
    z **= 2
    w = y
    w %= 0.5
    v = x
    v //= 2
    return z + w + v


def _polynomial(x: Any, y: Any) -> Any:
    return x**2 * y + 3 * x * y**2 - x / y + 2


LAWS = [
    Law("x+y", lambda x, y: x + y, lambda x, y: (1, 1), _flat),
    Law("x-y", lambda x, y: x - y, lambda x, y: (1, -1), _flat),
    Law("x*y", lambda x, y: x * y, lambda x, y: (y, x), lambda x, y: (0, 1, 0)),
    Law(
        "x/y",
        lambda x, y: x / y,
        lambda x, y: (1 / y, -x / y**2),
        lambda x, y: (0, -1 / y**2, 2 * x / y**3),
    ),
    Law("x//y", lambda x, y: x // y, lambda x, y: (0, 0), _flat),
    Law("x%y", lambda x, y: x % y, lambda x, y: (1, -math.floor(x / y)), _flat),
    Law("divmod(x,y)[0]", lambda x, y: divmod(x, y)[0], lambda x, y: (0, 0), _flat),
    Law(
        "divmod(x,y)[1]",
        lambda x, y: divmod(x, y)[1],
        lambda x, y: (1, -math.floor(x / y)),
        _flat,
    ),
    Law(
        "divmod(7.5,x)",
        lambda x, y: divmod(7.5, x)[1] + y,
        lambda x, y: (-math.floor(7.5 / x), 1),
        _flat,
    ),
    Law(
        "x**y",
        lambda x, y: x**y,
        lambda x, y: (y * x ** (y - 1), x**y * math.log(x)),
        lambda x, y: (
            y * (y - 1) * x ** (y - 2),
            x ** (y - 1) * (1 + y * math.log(x)),
            x**y * math.log(x) ** 2,
        ),
        POSITIVE,
    ),
    Law("-x", lambda x, y: -x, lambda x, y: (-1, 0), _flat),
    Law("+x", lambda x, y: +x, lambda x, y: (1, 0), _flat),
    Law("abs(x)", lambda x, y: abs(x), lambda x, y: (math.copysign(1, x), 0), _flat),
    Law("max", lambda x, y: max(x, y, -9), lambda x, y: (float(x > y), float(y > x)), _flat),
    Law("min", lambda x, y: min(x, y, 5.5), lambda x, y: (float(x < y), float(y < x)), _flat),
    Law(
        "x+2,2+y", lambda x, y: (x + 2) * (2 + y), lambda x, y: (y + 2, x + 2), lambda *_: (0, 1, 0)
    ),
    Law(
        "x-2,2-y",
        lambda x, y: (x - 2) * (2 - y),
        lambda x, y: (2 - y, 2 - x),
        lambda *_: (0, -1, 0),
    ),
    Law("x*3,y*1.5", lambda x, y: x * 3 - 1.5 * y, lambda x, y: (3, -1.5), _flat),
    Law(
        "x/4,4/y",
        lambda x, y: x / 4 + 4 / y,
        lambda x, y: (0.25, -4 / y**2),
        lambda x, y: (0, 0, 8 / y**3),
    ),
    Law(
        "x%3,7.5%y",
        lambda x, y: x % 3 + 7.5 % y,
        lambda x, y: (1, -math.floor(7.5 / y)),
        _flat,
    ),
    Law("x//2,7//y", lambda x, y: x // 2 + 7 // y, lambda x, y: (0, 0), _flat),
    Law("bools", lambda x, y: True + x - False * y, lambda x, y: (1, 0), _flat),
    Law("x**0", lambda x, y: x**0 + y, lambda x, y: (0, 1), _flat),
    Law("x**1", lambda x, y: x**1 * y**1, lambda x, y: (y, x), lambda x, y: (0, 1, 0)),
    Law("x**2", lambda x, y: x**2, lambda x, y: (2 * x, 0), lambda x, y: (2, 0, 0)),
    Law("x**3", lambda x, y: x**3, lambda x, y: (3 * x**2, 0), lambda x, y: (6 * x, 0, 0)),
    Law("x**7", lambda x, y: x**7, lambda x, y: (7 * x**6, 0), lambda x, y: (42 * x**5, 0, 0)),
    Law(
        "x**-1",
        lambda x, y: x**-1,
        lambda x, y: (-(x**-2), 0),
        lambda x, y: (2 * x**-3, 0, 0),
    ),
    Law(
        "x**-3",
        lambda x, y: x**-3,
        lambda x, y: (-3 * x**-4, 0),
        lambda x, y: (12 * x**-5, 0, 0),
    ),
    Law("x**3.0", lambda x, y: x**3.0, lambda x, y: (3 * x**2, 0), lambda x, y: (6 * x, 0, 0)),
    Law(
        "x**2.5",
        lambda x, y: x**2.5,
        lambda x, y: (2.5 * x**1.5, 0),
        lambda x, y: (3.75 * x**0.5, 0, 0),
        POSITIVE,
    ),
    Law(
        "2**x",
        lambda x, y: 2**x + y,
        lambda x, y: (2**x * math.log(2), 1),
        lambda x, y: (2**x * math.log(2) ** 2, 0, 0),
    ),
    Law(
        "pow(x,2)",
        lambda x, y: pow(x, 2) * y,
        lambda x, y: (2 * x * y, x * x),
        lambda x, y: (2 * y, 2 * x, 0),
    ),
    Law(
        "augmented",
        _augmented,
        lambda x, y: ((2 * x + y) / y, (2 - x * x) / y**2),
        lambda x, y: (2 / y, -2 * x / y**2, -2 * (2 - x * x) / y**3),
    ),
    Law("augmented powers", _augmented_powers, lambda x, y: (2 * x, 1), lambda x, y: (2, 0, 0)),
    Law(
        "polynomial",
        _polynomial,
        lambda x, y: (2 * x * y + 3 * y**2 - 1 / y, x**2 + 6 * x * y + x / y**2),
        lambda x, y: (2 * y, 2 * x + 6 * y + 1 / y**2, 6 * x - 2 * x / y**3),
    ),
    Law(
        "builtin sum",
        lambda x, y: sum([x, y, x, 1.0]),
        lambda x, y: (2, 1),
        _flat,
    ),
]


# Comparison


def flat(number: Any) -> list[Any]:
    """Return all fields of a number, of lanes or of a tuple of such, in order."""
    if isinstance(number, tuple | list):
        return [field for item in number for field in flat(item)]
    names = getattr(number, "FIELDS", None)
    return [number] if names is None else flat([getattr(number, name) for name in names])


def same(a: float, b: float) -> bool:
    """Return whether two floats are equal, all NaNs being one."""
    return a == b or (math.isnan(a) and math.isnan(b))


def same_bits(a: float, b: float) -> bool:
    """Return whether two floats are equal, also in the sign of zero."""
    return same(a, b) and (math.isnan(a) or math.copysign(1.0, a) == math.copysign(1.0, b))


def assert_same(number: Any, expected: Any) -> None:
    """Compare all fields exactly."""
    ours, theirs = flat(number), flat(expected)
    assert len(ours) == len(theirs), f"{number!r}, expected {expected!r}"
    assert all(map(same, ours, theirs)), f"{number!r}, expected {expected!r}"
