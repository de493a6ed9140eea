"""Blocks: operations on whole arrays that the tape holds as one piece, with their own adjoint.

A block has a range of bare rows for its results, data in the tape's arena, and the address of a
compiled function that the sweep calls in its place: ``adjoint(address of the tape, number of the
block, lane, width)``.  The adjoint of row r is ``adjoints[r * width + lane]``; the function adds to
the adjoints of its operands.  Its exceptions go through the sweep.

The function is emitted into the module of the code that records the block, so its address is a
symbol there, and both can be cached on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ._jit import kernel, specialized
from .adjoints import row_of
from .emit import invoke
from .numbertype import level, partial_type
from .seed import empty_numbers, flat_view, flattened
from .tape import BLOCK_FIELDS, grow, item_size, tape_at, typed_view

__all__ = [
    "ADJOINT_ARGS",
    "add_entry",
    "add_to_adjoint",
    "add_to_rows",
    "adjoint_address",
    "adjoint_of_rows",
    "adjoint_window",
    "close_statement",
    "emit_adjoint",
    "has_rows",
    "load_array",
    "open_statement",
    "store_array",
    "store_rows",
    "tape_on",
]

ADJOINT_ARGS = (types.int64,) * 4


def emit_adjoint(context: Any, builder: Any, name: str, body: Callable[..., None]) -> Any:
    """Emit a block's adjoint into the present module; return its address.

    ``body(builder, args)`` emits what it does, given address, block, lane and width.
    """
    convention = context.call_conv
    function_type = convention.get_function_type(types.none, ADJOINT_ARGS)
    unique = builder.module.get_unique_name(f"dualtape.adjoint.{name}.{builder.function.name}")
    function = ir.Function(builder.module, function_type, name=unique)
    function.linkage = "internal"
    convention.decorate_function(function, list("abcd"), ADJOINT_ARGS)
    inner = ir.IRBuilder(function.append_basic_block("entry"))
    arguments = convention.get_arguments(function)
    body(inner, arguments)
    convention.return_value(inner, context.get_dummy_value())
    return builder.ptrtoint(function, ir.IntType(64))


@intrinsic
def adjoint_address(typingctx: Any, adjoint: Any, like: Any) -> Any:
    """Return the address of a block adjoint made of a kernel ``(address, ..., width, like)``."""
    sig = types.int64(adjoint, like)

    def codegen(context: Any, builder: Any, _: Any, args: Any) -> Any:
        def body(inner: Any, arguments: Any) -> None:
            values = [*arguments, context.get_constant_null(like)]
            invoke(context, inner, adjoint.dispatcher, (*ADJOINT_ARGS, like), values)

        return emit_adjoint(context, builder, adjoint.dispatcher.__name__, body)

    return sig, codegen


@kernel
def store_array(address: Any, a: Any, like: Any) -> Any:
    """Copy the elements of an array to the arena as numbers of one type; return the offset."""
    tape, source = tape_at(address), flattened(a)
    size = item_size(like)
    offset = tape.store(source.size * size)
    out = typed_view(tape.arena[offset : offset + source.size * size], like)
    for i in range(source.size):
        out[i] = base_value(source[i], like)
    return offset


@kernel
def load_array(address: Any, offset: Any, count: Any, like: Any) -> Any:
    """Return what `store_array` stored, as a view of the arena."""
    raw = tape_at(address).arena
    return typed_view(raw[offset : offset + count * item_size(like)], like)


@intrinsic
def base_value(typingctx: Any, x: Any, like: Any) -> Any:
    """Return a number as the type of `like`: itself, its value one level down, or a constant."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if getattr(x, "slots", 0) and level(x.base) == level(like):  # maybe of another width
            value = context.make_helper(builder, x, value=args[0]).m_value
            return context.cast(builder, value, x.base, like)
        return context.cast(builder, args[0], x, like)

    return like(x, like), codegen


@kernel
def base_array(a: Any, like: Any) -> Any:
    """Return a copy of an array one level down."""
    out = empty_numbers(a.shape, like)
    flat, source = flat_view(out), flattened(a)
    for i in range(flat.size):
        flat[i] = base_value(source[i], like)
    return out


@kernel
def contiguous_copy(a: Any) -> Any:
    """Return a C-contiguous copy."""
    return a.copy()


@kernel
def add_to_adjoint(adjoint: Any, rows: Any, more: Any, lane: Any, width: Any) -> None:
    """Add an array to the adjoints of rows; row 0, that of constants, is left out."""
    source = flattened(more)
    for i in range(rows.size):
        if rows[i] > 0:
            at = rows[i] * width + lane
            adjoint[at] = adjoint[at] + source[i]


@kernel
def store_rows(address: Any, a: Any, number: Any) -> Any:
    """Keep the rows of an array's elements of the type of `number`; return the offset.

    Rows that follow each other, as those of inputs and of results of blocks do, take no room.
    """
    told_at = tape_at(address).store(16)
    count, first = row_range(a, number)
    told = load_array(address, told_at, 2, np.int64(0))
    told[0], told[1] = count, first
    if first < 0:
        rows_at = tape_at(address).store(8 * count)
        rows, source = load_array(address, rows_at, count, np.int64(0)), flattened(a)
        for i in range(count):
            rows[i] = row_of(source[i])
        load_array(address, told_at, 2, np.int64(0))[1] = -1 - rows_at
    return told_at


def row_range(a: Any, number: Any) -> tuple[int, int]:
    """Return how many rows there are, 0 if all elements are constant, and the first of them.

    It is -1 where they do not follow each other.  An array of numbers of a lower level has no rows
    on this tape (compiled code only).
    """
    raise NotImplementedError


@specialized(row_range)
def _row_range(a: Any, number: Any) -> Any:
    if level(a.dtype) != number.level:
        return lambda a, number: (np.int64(0), np.int64(0))

    def of_numbers(a: Any, number: Any) -> Any:
        if tape_of(a) == 0:
            return np.int64(0), np.int64(0)
        source = flattened(a)
        first = row_of(source[0])
        gaps = np.int64(first == 0)
        for i in range(source.size):
            gaps |= row_of(source[i]) ^ (first + i)
        return source.size, first if gaps == 0 else np.int64(-1)

    return of_numbers


@kernel
def has_rows(address: Any, offset: Any) -> Any:
    """Return whether `store_rows` kept any."""
    return load_array(address, offset, 1, np.int64(0))[0] > 0


@kernel
def add_to_rows(address: Any, offset: Any, adjoint: Any, more: Any, lane: Any, width: Any) -> None:
    """Add an array to the adjoints of the rows that `store_rows` kept."""
    told, source = load_array(address, offset, 2, np.int64(0)), flattened(more)
    count, first = told[0], told[1]
    if first < 0:
        add_to_adjoint(
            adjoint, load_array(address, -1 - first, count, np.int64(0)), more, lane, width
        )
        return
    if width == 1:
        window = adjoint[first : first + count]
        for i in range(count):
            window[i] = window[i] + source[i]
        return
    for i in range(count):
        at = (first + i) * width + lane
        adjoint[at] = adjoint[at] + source[i]


@kernel
def adjoint_of_rows(address: Any, offset: Any, adjoint: Any, width: Any) -> Any:
    """Return the adjoints of the rows that `store_rows` kept as a view; empty if there is none."""
    told = load_array(address, offset, 2, np.int64(0))
    count = told[0] if told[1] >= 0 and width == 1 else np.int64(0)
    return adjoint[told[1] : told[1] + count]


def tape_on(a: Any, number: Any) -> int:
    """Return the tape of an array's elements of the type of `number`; 0 if they are all constant.

    An array of a lower level has a tape of its own, which is none here (compiled code only).
    """
    raise NotImplementedError


@specialized(tape_on)
def _tape_on(a: Any, number: Any) -> Any:
    if level(a.dtype) == number.level:
        return lambda a, number: tape_of(a)
    return lambda a, number: np.int64(0)


@kernel
def adjoint_window(adjoint: Any, first: Any, count: Any, lane: Any, width: Any) -> Any:
    """Return the adjoints of the rows from `first`: a view where they are not interleaved."""
    if width == 1:
        return adjoint[first : first + count]
    out = empty_numbers((count,), adjoint[0])
    gather_adjoint(adjoint, first, out, lane, width)
    return out


@kernel
def gather_adjoint(adjoint: Any, first: Any, out: Any, lane: Any, width: Any) -> None:
    """Copy the adjoints of the rows from `first` to an array."""
    flat = flat_view(out)
    for i in range(flat.size):
        flat[i] = adjoint[(first + i) * width + lane]


@kernel
def block_rows(address: Any, block: Any) -> Any:
    """Return the first row of a block and the offset of its data."""
    tape = tape_at(address)
    at = block * BLOCK_FIELDS
    return tape.block[at], tape.block[at + 3]


@kernel
def tape_of(a: Any) -> Any:
    """Return the address of the tape of an array of Actives; 0 if all elements are passive."""
    for x in a.flat:
        if x.row > 0:
            return x.tape
    return np.int64(0)


@kernel
def open_statement(address: Any, count: Any) -> None:
    """Make room for a statement of up to `count` entries."""
    tape = tape_at(address)
    if tape.entries + count > tape.capacity:
        grow(address, count)


@intrinsic
def widened(typingctx: Any, partial: Any) -> Any:
    """Return a partial as the tape holds it."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.cast(builder, args[0], partial, sig.return_type)

    return partial_type(partial)(partial), codegen


@kernel
def add_entry(address: Any, row: Any, partial: Any) -> None:
    """Add an entry to the statement that is open."""
    if row > 0:
        tape = tape_at(address)
        tape.col[tape.entries] = row
        wide = widened(partial)
        typed_view(tape.partial, wide)[tape.entries] = wide
        tape.entries += 1


@kernel
def close_statement(address: Any) -> Any:
    """End a statement; return its row."""
    tape = tape_at(address)
    row = tape.rows
    tape.row_end[row] = tape.entries
    tape.rows = row + 1
    return row
