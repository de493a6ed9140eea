"""`HyperDual`: exact second derivatives, moved forward.

x = v + a . e1 + b . e2 + c . e1 e2 with e1^2 = e2^2 = 0: a function acts as
f(v) + f' a . e1 + f' b . e2 + (f' c + f'' a b) . e1 e2, so the coefficient of e1 e2 is a second
derivative without truncation or cancellation (Fike & Alonso, "The development of hyper-dual
numbers for exact second-derivative calculations", AIAA 2011-886).  With n partials in e1 and m in
e2 the last one is an n x m block of the Hessian, row by row.
"""

from __future__ import annotations

import operator
from typing import Any

from ..errors import ArgumentValueError
from .emitted import EmittedPartials, outer, strong
from .evaluation import settle
from .number import Number, constant_like
from .partials import Partials, slot_type
from .strong_zero import guarded, watchful


class HyperDual(Number):
    """A value with first derivatives e1 (n of them), e2 (m) and mixed second ones e12 (n x m).

    Parameters
    ----------
    value : float or number
        The primal.
    e1, e2 : float, or sequence of floats
        First derivatives in the directions of e1 and of e2.
    e12 : float, or sequence of n*m floats, row by row
        Mixed second derivatives.

    Examples
    --------
    The textbook number, one direction each, differentiated twice:

    >>> import dualtape as ad
    >>> x = ad.HyperDual(4.0, 1.0, 1.0, 0.0)
    >>> x**2 + 3 * x + 2
    HyperDual(30.0, 11.0, 11.0, 2.0)
    """

    FIELDS = ("value", "e1", "e2", "e12")
    __slots__ = FIELDS
    value: Any
    e1: Any
    e2: Any
    e12: Any

    def __init__(self, value: Any, e1: Any = 1.0, e2: Any = 1.0, e12: Any = 0.0) -> None:
        value = value if isinstance(value, Number) else float(value)
        slots = [_slot(value, e) for e in (e1, e2, e12)]
        n, m, block = (len(s) if isinstance(s, tuple) else 1 for s in slots)
        if block == 1 and n * m > 1:
            slots[2] = Partials([slots[2]] * (n * m))
        elif block != n * m:
            raise ArgumentValueError(
                f"HyperDual: e12 holds {block} derivatives; e1 and e2 ask for {n} x {m}"
            )
        for name, field in zip(self.FIELDS, (value, *slots), strict=True):
            object.__setattr__(self, name, field)

    @staticmethod
    def fields(base: Any, *widths: int) -> list[tuple[str, Any]]:
        """Return the names and types of the fields."""
        n, m = widths
        slots = zip(("e1", "e2", "e12"), (n, m, n * m), strict=True)
        return [("value", base), *((name, slot_type(base, size)) for name, size in slots)]

    def widths(self) -> tuple[int, ...]:
        """Return (n, m)."""
        return _width(self.e1), _width(self.e2)

    def __repr__(self) -> str:
        return f"HyperDual({self.value!r}, {self.e1!r}, {self.e2!r}, {self.e12!r})"

    def with_value(self, value: Any) -> HyperDual:
        """Return the same derivatives with another value."""
        return HyperDual.of(value, self.e1, self.e2, self.e12)

    def plus(self, o: HyperDual) -> HyperDual:
        """Sum rule."""
        e12 = self.e12 + o.e12
        return HyperDual.of(self.value + o.value, self.e1 + o.e1, self.e2 + o.e2, e12)

    def minus(self, o: HyperDual) -> HyperDual:
        """Sum rule."""
        e12 = self.e12 - o.e12
        return HyperDual.of(self.value - o.value, self.e1 - o.e1, self.e2 - o.e2, e12)

    def times(self, o: HyperDual, product: Any = operator.mul) -> HyperDual:
        """Product rule, twice."""
        x, y = self.value, o.value
        is_watched = product is watchful
        f = (watchful if is_watched else operator.mul)(x, y)
        operands = self.e1, self.e2, self.e12, o.e1, o.e2, o.e12, y, x, None, 1.0, None
        if is_watched:
            return HyperDual.of(f, *guarded(chained2, (f, self.e1, o.e1), operands))
        return HyperDual.of(f, *chained2(product, *operands))

    def lift1(self, f: Any, f1: Any, f11: Any, product: Any = operator.mul) -> HyperDual:
        """Chain rule: e12 gets f' e12 + f'' e1 e2."""
        f1, f11 = settle(f1), settle(f11)
        operands = self.e1, self.e2, self.e12, f1, f11
        if product in (strong, watchful):
            unbounded = (f1,) if f11 is None else (f1, f11, self.e1)
            return HyperDual.of(f, *guarded(chained1, unbounded, operands))
        return HyperDual.of(f, *chained1(product, *operands))

    def lift2(self, o: HyperDual, jet: tuple[Any, ...], product: Any = operator.mul) -> HyperDual:
        """Chain rule in two arguments; second derivatives given as None are zero."""
        f, *entries = (settle(entry) for entry in jet)
        operands = self.e1, self.e2, self.e12, o.e1, o.e2, o.e12, *entries
        if product in (strong, watchful):
            return HyperDual.of(f, *guarded(chained2, (*entries, self.e1, o.e1), operands))
        return HyperDual.of(f, *chained2(product, *operands))


def chained1(product: Any, e1: Any, e2: Any, e12: Any, f1: Any, f11: Any) -> tuple[Any, ...]:
    """Chain rule of one argument."""
    block = product(e12, f1)
    if f11 is not None:
        block = block + product(outer(e1, e2, product), f11)
    return product(e1, f1), product(e2, f1), block


def chained2(
    product: Any, x1: Any, x2: Any, x12: Any, y1: Any, y2: Any, y12: Any,
    fx: Any, fy: Any, fxx: Any, fxy: Any, fyy: Any,
) -> tuple[Any, ...]:  # fmt: skip
    """Chain rule of two arguments."""
    e1 = product(x1, fx) + product(y1, fy)
    e2 = product(x2, fx) + product(y2, fy)
    e12 = product(x12, fx) + product(y12, fy)
    if fxx is not None:
        e12 = e12 + product(outer(x1, x2, product), fxx)
    if fxy is not None:
        x1_y2, y1_x2 = outer(x1, y2, product), outer(y1, x2, product)
        if isinstance(fxy, float) and fxy == 1.0:
            e12 = e12 + (x1_y2 + y1_x2)
        else:
            e12 = e12 + product(x1_y2, fxy) + product(y1_x2, fxy)
    if fyy is not None:
        e12 = e12 + product(outer(y1, y2, product), fyy)
    return e1, e2, e12


def _slot(value: Any, derivatives: Any) -> Any:
    """Return derivatives as the value of a field: a number, or several as `Partials`."""
    lanes = derivatives if hasattr(derivatives, "__len__") else [derivatives]
    items = [constant_like(value, lane) for lane in lanes]
    return items[0] if len(items) == 1 else Partials(items)


def _width(slot: Any) -> int:
    return len(slot) if isinstance(slot, tuple | EmittedPartials) else 1
