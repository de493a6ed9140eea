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

from ._jit import kernel
from .emit import invoke
from .layouts import COUNT, FIRST, line_of, offset_of, set_word, set_words, word
from .numbertype import level, partial_type
from .seed import empty_numbers, flat_view, flattened
from .tape import BLOCK_FIELDS, grow, item_size, tape_at, typed_view

__all__ = [
    "ADJOINT_ARGS",
    "add_entry",
    "add_to_adjoint",
    "add_to_rows",
    "adjoint_of",
    "close_statement",
    "emit_adjoint",
    "has_rows",
    "load_array",
    "open_statement",
    "place_in",
    "store_array",
    "store_rows",
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


def adjoint_of(adjoint: Any) -> Any:
    """Return what gives the address of a block adjoint: of the kernel's form for a level.

    Its last argument tells the numbers of the block, or is a tuple of what does, whose last item
    has the level.
    """

    @intrinsic
    def address_of_adjoint(typingctx: Any, like: Any) -> Any:
        of_level = adjoint.at(level(like[-1] if isinstance(like, types.BaseTuple) else like))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            def body(inner: Any, arguments: Any) -> None:
                values = [*arguments, context.get_constant_null(like)]
                invoke(context, inner, of_level, (*ADJOINT_ARGS, like), values)

            return emit_adjoint(context, builder, adjoint.py_func.__name__, body)

        return types.int64(like), codegen

    return address_of_adjoint


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
def place_in(address: Any, offset: Any) -> Any:
    """Return the address of what is at an offset in the arena, until more is stored there."""
    return data_address(tape_at(address).arena) + offset


@intrinsic
def data_address(typingctx: Any, a: Any) -> Any:
    """Return the address of an array's first element."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(a)(context, builder, args[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(a), codegen


@kernel
def store_rows(address: Any, rows: Any) -> Any:
    """Keep the rows of an array's elements, told by their layout; return the offset.

    Rows that follow each other, as those of inputs and of results of blocks do, take no room;
    there are none where all elements are constant.
    """
    tape, first = tape_at(address), word(rows, FIRST)
    told_at = tape.store(16)
    count = word(rows, COUNT)
    row = word(first, 0) if count > 0 else 0
    gaps, found = np.int64(row == 0), row
    length, step = line_of(rows) if count > 0 else (1, 0)
    for start in range(0, count, length):
        at = first + offset_of(rows, start)
        for i in range(length):
            gaps |= word(at + i * step, 0) ^ (row + start + i)
    if gaps != 0:
        listed_at = tape.store(8 * count)
        listed = place_in(address, listed_at)
        for start in range(0, count, length):
            at = first + offset_of(rows, start)
            for i in range(length):
                found |= word(at + i * step, 0)
                set_word(listed, start + i, word(at + i * step, 0))
        row = -1 - listed_at
        if found == 0:  # the list is not needed: its room is given back
            count, row, tape.arena_used = 0, 0, listed_at
    told = place_in(address, told_at)
    set_words(told, (count, row))
    return told_at


@kernel
def has_rows(address: Any, offset: Any) -> Any:
    """Return whether `store_rows` kept any."""
    return word(place_in(address, offset), 0) > 0


@kernel
def add_to_rows(address: Any, offset: Any, adjoint: Any, more: Any, lane: Any, width: Any) -> None:
    """Add an array to the adjoints of the rows that `store_rows` kept."""
    told, source = place_in(address, offset), flattened(more)
    count, first = word(told, 0), word(told, 1)
    if first < 0:
        listed = place_in(address, -1 - first)
        for i in range(count):
            if word(listed, i) > 0:
                at = word(listed, i) * width + lane
                adjoint[at] = adjoint[at] + source[i]
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
