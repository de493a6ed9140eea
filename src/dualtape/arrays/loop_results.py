"""Results of a loop over elements: new arrays, sums, means.

Numba internals used (seen in 0.66 to 0.68): ``arrayobj._empty_nd_impl``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.core.imputils import impl_ret_new_ref
from numba.np import arrayobj

from ..numbers.emitted import Emitted, find_emitted, unwrap, wrap
from ..numbers.plane_arrays import new_duals
from ..numbers.streamed import incremented, is_streamed
from ..numbers.types import PlanesType, root
from .expression import Expression, Operands, helper, i64


def new_array(context: Any, builder: Any, ty: Any, shape: list[Any]) -> tuple[Any, Any]:
    """Return the helper of a new array or of new planes with tangents, and these."""
    if isinstance(ty, PlanesType):
        planes, _ = new_duals(context, builder, ty, shape)
        return helper(context, builder, ty, planes), impl_ret_new_ref(context, builder, ty, planes)
    array = arrayobj._empty_nd_impl(context, builder, ty, shape)._getvalue()
    return helper(context, builder, ty, array), impl_ret_new_ref(context, builder, ty, array)


def size_of(builder: Any, shape: list[Any]) -> Any:
    """Return the number of elements."""
    count = i64(1)
    for extent in shape:
        count = builder.mul(count, extent)
    return count


class Total:
    """A sum over the elements, from the first to the last."""

    def __init__(self, operands: Operands, ty: Any) -> None:
        self.operands, self.type = operands, ty
        zero = operands.context.get_constant_null(ty)
        self.slot = cgutils.alloca_once_value(operands.builder, zero)

    def add(self, y: Any) -> None:
        """Add one element."""
        context, builder = self.operands.context, self.operands.builder
        builder.store(sum_of(context, builder, self.type, builder.load(self.slot), y), self.slot)

    def result(self, expression: Expression, shape: list[Any]) -> Any:
        """Return the sum, or the mean."""
        context, builder = self.operands.context, self.operands.builder
        s = builder.load(self.slot)
        if expression.reduction == "mean":
            s = mean_from(context, builder, self.type, s, size_of(builder, shape))
        return s


class Sums:
    """Sums along an axis."""

    def __init__(self, operands: Operands, expression: Expression, shape: list[Any]) -> None:
        self.axis, self.type = expression.axis, expression.result.dtype
        self.context, self.builder = operands.context, operands.builder
        self.shape = without(shape, self.axis)
        self.array, self.sums = new_array(self.context, self.builder, expression.result, self.shape)
        with cgutils.loop_nest(self.builder, self.shape, intp=ir.IntType(64)) as position:
            self.array.store_data(position, self.context.get_constant_null(self.type))

    def add(self, position: Any, y: Any) -> None:
        """Add one element of the loop to its sum."""
        place = without(position, self.axis)
        s = self.array.load_data(place)
        self.array.store_data(place, sum_of(self.context, self.builder, self.type, s, y))


def sum_of(context: Any, builder: Any, ty: Any, s: Any, y: Any) -> Any:
    """Return s + y, where the old value of s is not used again; s is an LLVM value."""
    number = wrap(context, builder, ty, s)
    if is_streamed(ty):
        return incremented(find_emitted(number), ty, s, y)
    return unwrap(number + y, ty, find_emitted(number))


def without(items: Any, axis: Any) -> list[Any]:
    """Return a list without one item."""
    return [item for d, item in enumerate(items) if d != axis]


def mean_from(context: Any, builder: Any, ty: Any, s: Any, count: Any) -> Any:
    """Return s / count; with no elements it is NaN, as in NumPy."""
    number = wrap(context, builder, ty, s)
    n = Emitted(context, builder, root(ty), builder.sitofp(count, context.get_value_type(root(ty))))
    quotient = number.over(n)
    return unwrap(quotient, ty, find_emitted(quotient))
