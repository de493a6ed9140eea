"""`VectorDual`: a value and its derivatives in n directions, moved forward together.

With x = v + p . e, where e_i e_j = 0, every function acts as f(x) = f(v) + f'(v) p . e: the
coefficient of e_i is the derivative in direction i (Clifford 1873; Wengert, "A simple automatic
derivative evaluation program", 1964).  n partials share one evaluation of the value and sit in
one SIMD register.
"""

from __future__ import annotations

import operator
from typing import Any

from .emitted import strong
from .evaluation import settle
from .number import Number, constant_like
from .partials import Partials, PartialsType
from .strong_zero import guarded, watchful


class VectorDual(Number):
    """A value with n partials: a vector-dual number.

    Parameters
    ----------
    value : float or number
        The primal; over another number the derivatives nest.
    partials : sequence of n floats, or a number if n is 1
        Derivatives of the value in n directions.  In compiled code a tuple; n is 1, 2, 4, 8 or
        16 there, so that partials fill SIMD registers.

    Examples
    --------
    >>> import dualtape as ad
    >>> x = ad.VectorDual(4.0, [1.0, 0.0])
    >>> x**2 + 3 * x + 2
    VectorDual(30.0, [11.0, 0.0])
    """

    FIELDS = ("value", "partials")
    has_planes = True
    __slots__ = FIELDS
    value: Any
    partials: Any

    def __init__(self, value: Any, partials: Any = 1.0) -> None:
        value = value if isinstance(value, Number) else float(value)
        lanes = partials if hasattr(partials, "__len__") else [partials]
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "partials", Partials(constant_like(value, p) for p in lanes))

    @staticmethod
    def fields(base: Any, *widths: int) -> list[tuple[str, Any]]:
        """Return the names and types of the fields."""
        return [("value", base), ("partials", PartialsType(base, widths[0]))]

    def widths(self) -> tuple[int, ...]:
        """Return (n,)."""
        return (len(self.partials),)

    def __repr__(self) -> str:
        return f"VectorDual({self.value!r}, {self.partials!r})"

    def with_value(self, value: Any) -> VectorDual:
        """Return the same partials with another value."""
        return VectorDual.of(value, self.partials)

    def plus(self, other: VectorDual) -> VectorDual:
        """Sum rule."""
        return VectorDual.of(self.value + other.value, self.partials + other.partials)

    def minus(self, other: VectorDual) -> VectorDual:
        """Sum rule."""
        return VectorDual.of(self.value - other.value, self.partials - other.partials)

    def times(self, other: VectorDual, product: Any = operator.mul) -> VectorDual:
        """Product rule."""
        is_watched = product is watchful
        f = (watchful if is_watched else operator.mul)(self.value, other.value)
        operands = self.partials, other.value, other.partials, self.value
        if is_watched:
            return VectorDual.of(f, *guarded(chained2, (f,), operands))
        return VectorDual.of(f, *chained2(product, *operands))

    def lift1(self, f: Any, f1: Any, f11: Any, product: Any = operator.mul) -> VectorDual:
        """Chain rule: f' times every partial."""
        # A comparison of the partials costs no more than one of the factor.
        product = strong if product is watchful else product
        return VectorDual.of(f, product(self.partials, settle(f1)))

    def lift2(
        self, other: VectorDual, jet: tuple[Any, ...], product: Any = operator.mul
    ) -> VectorDual:
        """Chain rule: fx times the partials of x plus fy times those of y."""
        f, fx, fy = jet[:3]
        operands = self.partials, fx, other.partials, fy
        if product in (strong, watchful):
            return VectorDual.of(f, *guarded(chained2, (fx, fy), operands))
        return VectorDual.of(f, *chained2(product, *operands))


def chained2(product: Any, p: Any, fx: Any, q: Any, fy: Any) -> tuple[Any]:
    """Chain rule of two arguments."""
    return (product(p, fx) + product(q, fy),)
