"""Sweeps over a tape: adjoints backward, tangents forward, one or several at a time.

Reverse: for rows from the last to the first, every entry (row, column, partial) adds
``partial * adjoint[row]`` to ``adjoint[column]``.  Forward: ``tangent[row]`` is the sum of
``partial * tangent[column]``.  Both cost one multiplication and one addition an entry.

Strong zero: an adjoint that is exactly zero stays zero whatever the partial is, and so does a
partial that is zero where the adjoint is infinite or NaN: what cannot influence a result never
makes a derivative NaN.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..backend.jit import by_type, kernel
from ..numbers.emitted import strong_either
from ..numbers.registration import register
from ..numbers.types import NumberType
from ..tape.storage import BLOCK_FIELDS, MARK, tape_at, typed_view

ONE = np.uint32(1)
ADJOINT = types.void(types.int64, types.int64, types.int64, types.int64)
"""A block's adjoint: (address of the tape, number of the block, lane, width)."""


@by_type
def strong_product(partial: Any, adjoint: Any) -> Any:
    """Multiply, where an exact zero on either side gives zero."""
    if isinstance(partial, NumberType) or isinstance(adjoint, NumberType):
        return None
    return lambda partial, adjoint: 0.0 if partial == 0.0 or adjoint == 0.0 else partial * adjoint


register(strong_product, strong_either)


@intrinsic
def call_adjoint(
    typingctx: Any, function: Any, address: Any, block: Any, lane: Any, width: Any
) -> Any:
    """Call the compiled adjoint of a block by its address; its exceptions propagate."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        convention = context.call_conv
        pointer = convention.get_function_type(types.none, ADJOINT.args).as_pointer()
        target = builder.inttoptr(args[0], pointer)
        status, _ = convention.call_function(builder, target, types.none, ADJOINT.args, args[1:])
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(*(types.int64,) * 5), codegen


@by_type
def sweep_statements(tape: Any, adjoint: Any, partial: Any, first: Any, last: Any) -> Any:
    """Sweep the rows from last - 1 down to first."""
    return _sweep_numbers if isinstance(adjoint.dtype, NumberType) else sweep_floats


def sweep_floats(tape: Any, adjoint: Any, partial: Any, first: Any, last: Any) -> None:
    """Sweep backward over statements with floats."""
    row_end, col = tape.row_end, tape.col
    hi = row_end[np.uint64(last - 1)]
    for row in range(last - 1, first - 1, -1):
        lo = row_end[np.uint64(row - 1)]
        a = adjoint[np.uint64(row)]
        begin = lo
        if hi > lo and col[lo] >= MARK:
            a = adjoint[col[lo] - MARK]
            begin += ONE
        if a != 0.0:
            if a - a == 0.0:
                for e in range(begin, hi):
                    adjoint[col[e]] += partial[e] * a
            else:
                for e in range(begin, hi):
                    if partial[e] != 0.0:
                        adjoint[col[e]] += partial[e] * a
        hi = lo


def _sweep_numbers(tape: Any, adjoint: Any, partial: Any, first: Any, last: Any) -> None:
    """Sweep backward over statements with numbers."""
    row_end, col = tape.row_end, tape.col
    hi = row_end[np.uint64(last - 1)]
    for row in range(last - 1, first - 1, -1):
        lo = row_end[np.uint64(row - 1)]
        a = adjoint[np.uint64(row)]
        begin = lo
        if hi > lo and col[lo] >= MARK:
            a = adjoint[col[lo] - MARK]
            begin += ONE
        for e in range(begin, hi):
            adjoint[col[e]] += strong_product(partial[e], a)
        hi = lo


@kernel
def reverse_sweep(address: Any, first: Any, like: Any) -> None:
    """Propagate the adjoints of all rows to the rows before `first`."""
    tape = tape_at(address)
    adjoint = typed_view(tape.adjoint, like)
    partial = typed_view(tape.partial, like)
    last = tape.rows
    for block in range(tape.blocks - 1, -1, -1):
        field = block * BLOCK_FIELDS
        sweep_statements(tape, adjoint, partial, tape.block[field + 1], last)
        call_adjoint(tape.block[field + 2], address, block, 0, 1)
        last = tape.block[field]
    sweep_statements(tape, adjoint, partial, first, last)


def sweep_lanes(tape: Any, adjoint: Any, partial: Any, first: Any, last: Any, lanes: Any) -> None:
    """Sweep rows for several adjoints at once; `lanes` is a tuple with one item for each."""
    row_end, col = tape.row_end, tape.col
    width = len(lanes)
    hi = row_end[np.uint64(last - 1)]
    for row in range(last - 1, first - 1, -1):
        lo = row_end[np.uint64(row - 1)]
        a = adjoint[np.uint64(row)]
        begin = lo
        if hi > lo and col[lo] >= MARK:
            a = adjoint[col[lo] - MARK]
            begin += ONE
        careful, idle = False, True
        for j in range(width):
            careful |= a[j] - a[j] != 0.0
            idle &= a[j] == 0.0
        if not idle:
            for e in range(begin, hi):
                p = partial[e]
                b = adjoint[col[e]]
                if careful or p - p != 0.0:
                    for j in range(width):
                        b[j] += strong_product(p, a[j])
                else:
                    for j in range(width):
                        b[j] += p * a[j]
        hi = lo


_sweep_lanes = kernel(sweep_lanes)


@kernel
def vector_sweep(address: Any, first: Any, like: Any, lanes: Any) -> None:
    """Propagate several adjoints of all rows to the rows before `first` (floats only)."""
    tape = tape_at(address)
    width = len(lanes)
    rows = typed_view(tape.adjoint, like)
    adjoint = rows[: tape.rows * width].reshape((tape.rows, width))
    partial = typed_view(tape.partial, like)
    last = tape.rows
    for block in range(tape.blocks - 1, -1, -1):
        field = block * BLOCK_FIELDS
        _sweep_lanes(tape, adjoint, partial, tape.block[field + 1], last, lanes)
        for lane in range(width):
            call_adjoint(tape.block[field + 2], address, block, lane, width)
        last = tape.block[field]
    _sweep_lanes(tape, adjoint, partial, first, last, lanes)
