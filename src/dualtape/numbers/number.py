"""What all active numbers share: levels, operators, Numba types.

An active number is a value and derivatives of it.  A number *family* (`VectorDual`,
`HyperDual`) supplies its fields and its algebra: sum, product, quotient and the chain rule
(`lift1`, `lift2`).  This file supplies everything else once.

Levels.  A number over floats has level 1, a number over level-1 numbers has level 2: every
nested transform works on numbers of its own level.  In a mixed operation the higher level wins
and the lower operand is a constant to it, so the derivatives of two nested transforms can never
be confused (Siskind & Pearlmutter, "Nesting forward-mode AD in a functional framework", 2008).

Comparisons look at the primal only, so the code follows the path of the plain function.
"""

from __future__ import annotations

import math
import operator
from typing import Any, ClassVar

import numpy as np
from numba.extending import typeof_impl

from ..errors import IntegerConversionError, MissingRuleError, MixedNumbersError
from ..rules import table
from ..rules.rule import Rule
from ..rules.table import RULES
from .emitted import Emitted, call, quotient, strong, strong_either
from .evaluation import Late, jet_of, level_of, primal, repeated_product
from .strong_zero import watchful
from .types import member_type
from .ufuncs import UFUNCS


class Number:
    """An active number; see `VectorDual` and `HyperDual`."""

    FIELDS: ClassVar[tuple[str, ...]] = ()
    __slots__ = ()
    __array_priority__ = 1000.0
    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # equality looks at values only
    value: Any

    # Each family supplies these.

    @staticmethod
    def fields(base: Any, *widths: int) -> list[tuple[str, Any]]:
        """Return the names and types of the fields."""
        raise NotImplementedError

    @classmethod
    def of(cls, *fields: Any) -> Any:
        """Make a number of checked fields."""
        number = object.__new__(cls)
        for name, field in zip(cls.FIELDS, fields, strict=True):
            object.__setattr__(number, name, field)
        return number

    @classmethod
    def of_type(cls, ty: Any, fields: list[Any]) -> Any:
        """Make a number of checked fields, whose Numba type is `ty`."""
        return cls.of(*fields)

    def widths(self) -> tuple[int, ...]:
        """Return the numbers of derivatives carried."""
        raise NotImplementedError

    def with_value(self, value: Any) -> Any:
        """Return the same derivatives with another value (adding a constant)."""
        raise NotImplementedError

    def lift1(self, f: Any, f1: Any, f11: Any, product: Any = operator.mul) -> Any:
        """Push a unary jet through the chain rule."""
        raise NotImplementedError

    def lift2(self, other: Any, jet: tuple[Any, ...], product: Any = operator.mul) -> Any:
        """Push a binary jet ``(f, fx, fy, fxx, fxy, fyy)`` through the chain rule."""
        raise NotImplementedError

    def plus(self, other: Any) -> Any:
        """Add a number of the same kind."""
        raise NotImplementedError

    def minus(self, other: Any) -> Any:
        """Subtract a number of the same kind."""
        raise NotImplementedError

    def times(self, other: Any, product: Any = operator.mul) -> Any:
        """Multiply by a number of the same kind."""
        raise NotImplementedError

    # Everything below is written once for all families.

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} numbers are immutable")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} numbers are immutable")

    def __reduce__(self) -> Any:
        return type(self), tuple(getattr(self, name) for name in self.FIELDS)

    @property
    def level(self) -> int:
        """One more than the level of the value."""
        return 1 + level_of(self.value)

    def type_over(self, base: Any) -> Any:
        """Return this number's Numba type, given that of its value."""
        face: Any = type(self)
        return member_type(face, base, *self.widths())

    def with_row(self) -> Any:
        """Return the number as an argument of compiled functions; see `Pending`."""
        return self

    def named(self, key: int) -> Any:
        """Return the number as an operand that is told apart from others; see `Streamed`."""
        return self

    def decided(self, result: Any) -> Any:
        """Return what was decided by looking at the primal; see `Streamed`."""
        return result

    def strong(self, factor: Any, *, either: bool = False) -> Any:
        """Multiply by `factor`, where zeros of this number stay zero; see `emitted.strong`."""
        product = strong_either if either else strong
        if not self._is_peer(factor):
            return self.lift1(product(self.value, factor), factor, None, product)
        f = product(self.value, factor.value)
        return self.lift2(factor, (f, factor.value, self.value, None, 1.0, None), strong_either)

    def _is_peer(self, other: Any) -> bool | None:
        """Whether `other` has this level; None where `other` must handle the operation.

        Python asks the right operand of one class only where the left one is of another.
        """
        if level_of(other) > self.level:
            return None
        if level_of(other) < self.level:
            return False
        if type(other) is not type(self) or other.widths() != self.widths():
            raise MixedNumbersError(
                f"{_kind(self)} and {_kind(other)} cannot meet in one operation: both have level "
                f"{self.level}. Use numbers of one kind within one derivative."
            )
        return True

    def __add__(self, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        peer = self._is_peer(other)
        if peer is None:
            return other.__radd__(self)
        return self.plus(other) if peer else self.with_value(self.value + other)

    def __radd__(self, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        return self.with_value(other + self.value)

    def __sub__(self, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        peer = self._is_peer(other)
        if peer is None:
            return other.__rsub__(self)
        return self.minus(other) if peer else self.with_value(self.value - other)

    def __rsub__(self, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        return self.lift1(other - self.value, -1.0, None)

    def __mul__(self, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        peer = self._is_peer(other)
        if peer is None:
            return other.__rmul__(self)
        return self.times(other) if peer else self.lift1(self.value * other, other, None)

    def __rmul__(self, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        return self.lift1(other * self.value, other, None)

    def __truediv__(self, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        peer = self._is_peer(other)
        if peer is None:
            return other.__rtruediv__(self)
        return self._divide(other, operator.truediv, peer=peer)

    def __rtruediv__(self, other: Any) -> Any:
        if _foreign(other):
            return NotImplemented
        return self._divide_into(other, operator.truediv)

    def watched_times(self, other: Any) -> Any:
        """Multiply where an operand may be infinite; partials that are zero stay zero."""
        peer = self._is_peer(other)
        if peer is None:
            return other.watched_times(self)
        if peer:
            return self.times(other, watchful)
        return self.lift1(watchful(self.value, other), other, None, watchful)

    def over(self, other: Any) -> Any:
        """Divide by IEEE rules."""
        peer = self._is_peer(other)
        return other.rover(self) if peer is None else self._divide(other, quotient, peer=peer)

    def rover(self, other: Any) -> Any:
        """Divide a passive value by this number, by IEEE rules."""
        return self._divide_into(other, quotient)

    def _divide(self, other: Any, divide: Any, *, peer: bool) -> Any:
        # -(x/y)/y and not -x/(y*y), which overflows at y = 1e200.
        if not peer:
            f = divide(self.value, other)
            return self.lift1(f, quotient(1.0, other), None, strong)
        f = divide(self.value, other.value)
        fx = quotient(1.0, other.value)
        fy = -quotient(f, other.value)
        jet = (f, fx, fy, None, Late(lambda: -fx * fx), Late(lambda: -2.0 * fy * fx))
        return self.lift2(other, jet, strong)

    def _divide_into(self, other: Any, divide: Any) -> Any:
        f = divide(other, self.value)
        f1 = -quotient(f, self.value)
        return self.lift1(f, f1, Late(lambda: -2.0 * quotient(f1, self.value)), strong)

    def __neg__(self) -> Any:
        return self.lift1(-self.value, -1.0, None)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return self._apply_rule(table.absolute, (self,))

    def __mod__(self, other: Any) -> Any:
        return self._with_operator(table.remainder, operator.mod, self, other)

    def __rmod__(self, other: Any) -> Any:
        return self._with_operator(table.remainder, operator.mod, other, self)

    def __floordiv__(self, other: Any) -> Any:
        return self._with_operator(table.floor_divide, operator.floordiv, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._with_operator(table.floor_divide, operator.floordiv, other, self)

    def __divmod__(self, other: Any) -> Any:
        return self // other, self % other

    def __rdivmod__(self, other: Any) -> Any:
        return other // self, other % self

    def __pow__(self, other: Any) -> Any:
        if isinstance(other, int) and abs(other) <= LARGEST_UNROLLED_POWER:
            return self.integer_power(other)
        return self._with_operator(table.power, operator.pow, self, other)

    def __rpow__(self, other: Any) -> Any:
        return self._with_operator(table.power, operator.pow, other, self)

    def integer_power(
        self, n: int, divide: Any = operator.truediv, *, watched: bool = False
    ) -> Any:
        """Return self**n by products; `watched` where the value may be infinite."""
        # Exact at 0 for every n: no logarithm, no 0 * x**-1.
        x = self.value
        if isinstance(x, Emitted):
            f = repeated_product(x, n) if n >= 0 else divide(1.0, repeated_product(x, -n))
        elif isinstance(x, Number):
            f = x.integer_power(n, divide)
        else:
            f = x**n
        if n == 0:
            return self.lift1(f, 0.0, None)
        if n == 1:
            return self.lift1(f, 1.0, None)
        f1 = _ieee_power(x, n - 1) * float(n)
        second = Late(lambda: _ieee_power(x, n - 2) * float(n * (n - 1)))
        return self.lift1(
            f, f1, second, strong if n < 0 else watchful if n > 2 or watched else operator.mul
        )

    def _with_operator(self, rule: Rule, op: Any, x: Any, y: Any) -> Any:
        """Apply a binary rule whose value is the operator's own (it may raise)."""
        if _foreign(x) or _foreign(y):
            return NotImplemented
        top = max(x, y, key=level_of)
        if top.level > self.level:
            return top._with_operator(rule, op, x, y)
        a, b = (arg.value if level_of(arg) == self.level else arg for arg in (x, y))
        f = op(a, b) if level_of(a) or level_of(b) else plain(op, a, b)
        # Python's (-2.0)**0.5 is complex; the rule's value is nan, as in compiled code.
        return self._apply_rule(rule, (x, y), None if isinstance(f, complex) else f)

    def _apply_rule(self, rule: Rule, args: tuple[Any, ...], value: Any = None) -> Any:
        """Evaluate the rule's jet on the values and lift it into this type, with this value."""
        active = [self._is_peer(arg) for arg in args]
        if any(active[: rule.parameters]):
            raise MissingRuleError(rule.no_derivative_by(active.index(True)))
        jet = jet_of(rule, [a.value if on else a for a, on in zip(args, active, strict=True)])
        jet = jet if value is None else (value, *jet[1:])
        product = strong if rule.singular or not (rule.linear or rule.flat) else operator.mul
        args, active = args[rule.parameters :], active[rule.parameters :]
        if len(args) == 1:
            return args[0].lift1(*jet, product)
        if all(active):
            return args[0].lift2(args[1], jet, product)
        f, fx, fy, fxx, _, fyy = jet
        if active[0]:
            return args[0].lift1(f, fx, fxx, product)
        return args[1].lift1(f, fy, fyy, product)

    def __lt__(self, other: Any) -> Any:
        return compare(operator.lt, self, other)

    def __le__(self, other: Any) -> Any:
        return compare(operator.le, self, other)

    def __gt__(self, other: Any) -> Any:
        return compare(operator.gt, self, other)

    def __ge__(self, other: Any) -> Any:
        return compare(operator.ge, self, other)

    def __eq__(self, other: object) -> Any:
        return compare(operator.eq, self, other)

    def __ne__(self, other: object) -> Any:
        return compare(operator.ne, self, other)

    def __bool__(self) -> bool:
        return bool(primal(self))

    def __floor__(self) -> int:
        return math.floor(primal(self))

    def __ceil__(self) -> int:
        return math.ceil(primal(self))

    def __trunc__(self) -> int:
        return math.trunc(primal(self))

    def __round__(self, digits: int | None = None) -> Any:
        if digits is None:
            return round(primal(self))
        return self.lift1(round(primal(self), digits), 0.0, None)

    def __int__(self) -> int:
        return int(primal(self))

    def __index__(self) -> int:
        raise IntegerConversionError(INTEGER_CONVERSION)

    def __float__(self) -> float:
        raise IntegerConversionError(
            "float() of an active number would lose its derivative: use dualtape.value(x) for the "
            "primal, and numpy's functions (np.sin, not math.sin) on numbers at the prompt."
        )

    def __getattr__(self, name: str) -> Any:
        # NumPy calls x.sin() for the elements of an object array.
        rule = RULES.get(name)
        if rule is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return lambda *others: self._apply_rule(rule, (self, *others))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        function = UFUNCS.get(ufunc)
        if function is None or method != "__call__" or kwargs:
            return NotImplemented
        if any(isinstance(x, np.ndarray) and x.ndim > 0 for x in inputs):
            elementwise = np.frompyfunc(function, ufunc.nin, ufunc.nout)
            return elementwise(*(_as_object(x) if isinstance(x, Number) else x for x in inputs))
        return function(
            *(x.item() if isinstance(x, np.ndarray | np.generic) else x for x in inputs)
        )


LARGEST_UNROLLED_POWER = 0x10000  # from here on Numba's x**n is pow(x, float(n))

INTEGER_CONVERSION = (
    "an active number was used as an integer (an index, a count, an item of an integer array), "
    "which would silently lose its derivative. Where that is meant, write int(x)."
)


def constant_like(value: Any, derivative: Any) -> Any:
    """Return a derivative as a number of the kind of `value`."""
    if isinstance(derivative, Number) or not isinstance(value, Number):
        return derivative if isinstance(derivative, Number) else float(derivative)
    return value.lift1(constant_like(value.value, derivative), 0.0, None, strong)


def _as_object(number: Number) -> Any:
    """Return the number in a 0-d array, for which NumPy does not call __array_ufunc__ again."""
    array = np.empty((), dtype=object)
    array[()] = number
    return array


def _foreign(other: Any) -> bool:
    # NumPy's scalars come back through __array_ufunc__ as Python's: a value is always a float.
    return isinstance(other, np.generic) or not isinstance(other, Number | Emitted | float | int)


def _kind(number: Number) -> str:
    return f"{type(number).__name__} of width {'x'.join(map(str, number.widths()))}"


def compare(op: Any, a: Any, b: Any) -> Any:
    """Compare primals."""
    if _foreign(a) or _foreign(b):
        return NotImplemented
    return max(a, b, key=level_of).decided(plain(op, primal(a), primal(b)))


def plain(op: Any, *args: Any) -> Any:
    """Apply an operator to plain values: emit it, or compute it."""
    if any(isinstance(arg, Emitted) for arg in args):
        return call(op, *args)
    return op(*args)


def _ieee_power(x: Any, n: int) -> Any:
    if n < 0:
        return quotient(1.0, _ieee_power(x, -n))
    return x**n if level_of(x) else repeated_product(x, n)


@typeof_impl.register(Number)
def _typeof_number(val: Number, c: Any) -> Any:
    return val.type_over(typeof_impl(val.value, c))
