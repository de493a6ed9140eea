"""What the loops of reverse mode have in common: their operands on a tape, and their results."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from ..backend.calls import call_apart
from ..numbers.layouts import emit_rows, first_tape
from ..numbers.tracked import make_active
from ..numbers.types import is_array, level, partial_type
from .expression import Expression, Operands, element, i64
from .loop_results import Total, mean_from, size_of, without

_I64 = ir.IntType(64)


class TrackedLoop:
    """A loop that is recorded on a tape.

    Attributes
    ----------
    dtype, wide : type
        Types of the results and of the partials.
    slots : dict of int to int
        Positions of the operands that are differentiated, and their numbers among these.
    shape, count, results
        Extents of the loop, number of its elements and of its results.
    address, active
        The tape, 0 if no operand has one, and whether there is one.
    """

    def __init__(self, operands: Operands, expression: Expression, dtype: Any) -> None:
        self.operands, self.expression, self.dtype = operands, expression, dtype.settled
        self.context, self.builder = operands.context, operands.builder
        self.wide = partial_type(dtype.base)
        active = [i for i, ty in enumerate(operands.types) if level(element(ty)) == dtype.level]
        self.slots = {position: slot for slot, position in enumerate(active)}
        self.shape = operands.common_shape(expression.name, [i64(1)] * operands.ndim)
        self.count = size_of(self.builder, self.shape)
        self.results = self.count
        if expression.reduction:
            kept = [] if expression.axis is None else without(self.shape, expression.axis)
            self.results = size_of(self.builder, kept)
        self.address = self._tape()
        self.active = self.builder.icmp_unsigned("!=", self.address, i64(0))
        self.step = self.builder.zext(self.active, _I64)

    def kernel(self, function: Any, *args: Any, like: Any = None) -> Any:
        """Call a kernel with integers, and with a number of the type `like` if there is one."""
        arg_types = [types.int64] * len(args)
        if like is not None:
            arg_types, args = [*arg_types, like], (*args, self.context.get_constant_null(like))
        return call_apart(self.context, self.builder, function, tuple(arg_types), args)

    def bytes_of(self, ty: Any) -> Any:
        """Return the size of a number in memory."""
        return i64(self.context.get_abi_sizeof(self.context.get_data_type(ty)))

    def rows(self, position: int) -> Any:
        """Return the layout of the rows of an operand that is an array."""
        ty, value = self.operands.types[position], self.operands.args[position]
        return emit_rows(self.context, self.builder, ty, value, self.dtype)

    def _tape(self) -> Any:
        builder, address = self.builder, i64(0)
        for position in self.slots:
            ty, value = self.operands.types[position], self.operands.args[position]
            if is_array(ty):
                tape = self._tape_of_array(position)
            else:
                struct = self.context.make_helper(builder, ty, value=value)
                is_passive = builder.icmp_signed("==", struct.m_row, i64(0))
                tape = builder.select(is_passive, i64(0), struct.m_tape)
            has_tape = builder.icmp_unsigned("!=", address, i64(0))
            address = builder.select(has_tape, address, tape)
        is_empty = builder.icmp_signed("==", self.count, i64(0))
        return builder.select(is_empty, i64(0), address)

    def _tape_of_array(self, position: int) -> Any:
        return self.kernel(first_tape, self.rows(position))

    def number(self, total: Total, row: Any) -> Any:
        """Return the sum of the results, or their mean."""
        builder, s = self.builder, self.builder.load(total.slot)
        number = make_active(self.context, builder, self.dtype, s, row, self.address)
        if self.expression.reduction == "mean":
            number = mean_from(self.context, builder, self.dtype, number, self.count)
        return self.context.cast(builder, number, self.dtype, self.expression.result)
