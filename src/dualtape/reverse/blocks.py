"""Blocks: operations on whole arrays that are one object on the tape, with their own adjoint.

A block has a range of bare rows for its results, data in the tape's arena, and the address of a
compiled function that the sweep calls in its place: ``adjoint(address of the tape, number of the
block, lane, width)``.  The adjoint of row r is ``adjoints[r * width + lane]``; the function adds to
the adjoints of its operands.  Its exceptions go through the sweep.

The function is emitted into the module of the code that records the block, so its address is a
symbol there, and both can be cached on disk.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..backend.allocation import array_over
from ..backend.calls import invoke
from ..backend.jit import kernel
from ..numbers.access import element_like, empty_numbers, flat_view, flattened, map_elements
from ..numbers.layouts import (
    COUNT,
    FIRST,
    has_steps,
    line_of,
    offset_of,
    row_at,
    set_word,
    set_words,
    word,
)
from ..numbers.types import NumberType, level, map_leaves, partial_type
from ..tape.held import hold_values, owner_of
from ..tape.storage import BLOCK_FIELDS, grow, item_size, tape_at, typed_view

ADJOINT_ARGS = (types.int64,) * 4


def emit_adjoint(context: Any, builder: Any, name: str, body: Callable[..., None]) -> Any:
    """Emit a block's adjoint into the present module; return its address.

    ``body(builder, args)`` emits its code; the arguments are address, block, lane and width.
    """
    return emit_function(context, builder, f"adjoint.{name}", ADJOINT_ARGS, body)


def emit_function(
    context: Any, builder: Any, name: str, arg_types: Any, body: Callable[..., None]
) -> Any:
    """Emit a function without a result into the present module; return its address."""
    convention = context.call_conv
    function_type = convention.get_function_type(types.none, arg_types)
    unique = builder.module.get_unique_name(f"dualtape.{name}.{builder.function.name}")
    function = ir.Function(builder.module, function_type, name=unique)
    function.linkage = "internal"
    convention.decorate_function(function, list("abcdefgh"[: len(arg_types)]), arg_types)
    inner = ir.IRBuilder(function.append_basic_block("entry"))
    arguments = convention.get_arguments(function)
    body(inner, arguments)
    convention.return_value(inner, context.get_dummy_value())
    return builder.ptrtoint(function, ir.IntType(64))


def adjoint_of(adjoint: Any) -> Any:
    """Return the intrinsic for the address of a block's adjoint: of the kernel for a level.

    Its argument is a number of the block's type, or a tuple whose last item is one.
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
    """Return an array that `store_array` stored, as a view of the arena."""
    raw = tape_at(address).arena
    return typed_view(raw[offset : offset + count * item_size(like)], like)


@kernel
def enter_block(address: Any, count: Any, adjoint: Any, nbytes: Any) -> Any:
    """Enter a block with `count` results; return the first row and the address for its data."""
    tape = tape_at(address)
    offset, first = tape.store(nbytes), tape.reserve(count)
    tape.add_block(first, first + count, adjoint, offset)
    return first, place_in(address, offset)


SMALL = 512  # elements; fewer are copied sooner than held


@kernel
def hold_or_store(address: Any, a: Any, is_foreign: Any, like: Any) -> Any:
    """Keep a contiguous array until the sweep; return its offset in the arena, or a held address.

    A held address has 1 added.  An array that others may write to is copied, and so is one of a
    tape outside of the pool, which would not release it.
    """
    tape, owner = tape_at(address), owner_of(a)
    if is_foreign or owner == 0 or tape.home == 0 or a.size < SMALL:
        return store_array(address, a, like)
    hold_values(address, owner, a.size * a.itemsize)
    return data_address(a) + 1


@kernel
def kept_address(arena: Any, kept: Any) -> Any:
    """Return the address of an array that `hold_or_store` kept."""
    return kept - 1 if kept & 1 else arena + kept


def saved_type(ty: Any) -> Any:
    """Return the type of a record that is loaded: numbers are as wide as partials."""
    if isinstance(ty, types.BaseTuple):
        return map_leaves(ty, saved_type)
    if not isinstance(ty, types.Array):
        return ty
    is_number = isinstance(ty.dtype, types.Float | NumberType)
    return types.Array(partial_type(ty.dtype) if is_number else ty.dtype, ty.ndim, "C")


def emit_block(
    context: Any, builder: Any, address: Any, count: Any, adjoint: Any, record: Any, foreign: Any
) -> Any:
    """Enter a block with `count` results; return the row of the first.

    Its data, type and value, are a tuple of integers, arrays, and tuples of these.  Arrays in the
    memory of `foreign` ones are copied.
    """
    words: list[Any] = []

    def owner(array: Any) -> Any:
        return context.make_array(array[0])(context, builder, array[1]).meminfo

    def is_foreign(array: Any) -> Any:
        found = cgutils.false_bit
        for other in foreign:
            is_same = builder.icmp_unsigned("==", owner(array), owner(other))
            found = builder.or_(found, is_same)
        return found

    def write(ty: Any, item: Any) -> None:
        if isinstance(ty, types.BaseTuple):
            for i, part in enumerate(ty):
                write(part, builder.extract_value(item, i))
        elif isinstance(ty, types.Array):
            wide, keep = saved_type(ty).dtype, store_array
            arguments = [address, item, context.get_constant_null(wide)]
            arg_types = [types.int64, ty, wide]
            if ty.dtype == wide and ty.layout == "C":
                keep = hold_or_store
                arguments.insert(2, is_foreign((ty, item)))
                arg_types.insert(2, types.boolean)
            words.append(invoke(context, builder, keep, arg_types, arguments)[1])
            shape = context.make_array(ty)(context, builder, item).shape
            words.extend(cgutils.unpack_tuple(builder, shape))
        else:
            words.append(context.cast(builder, item, ty, types.int64))

    write(*record)
    size = ir.Constant(ir.IntType(64), 8 * len(words))
    arguments = address, count, adjoint, size
    both = invoke(context, builder, enter_block, (types.int64,) * 4, arguments)[1]
    row, place = cgutils.unpack_tuple(builder, both)
    first = builder.inttoptr(place, size.type.as_pointer())
    for i, word_value in enumerate(words):
        builder.store(word_value, cgutils.gep_inbounds(builder, first, i))
    return row


def emit_load(context: Any, builder: Any, address: Any, offset: Any, record: Any) -> Any:
    """Return the data of a block, of this `saved_type`; arrays are views of the arena."""
    arguments = address, ir.Constant(ir.IntType(64), 0)
    arena = invoke(context, builder, place_in, (types.int64,) * 2, arguments)[1]
    first = builder.inttoptr(builder.add(arena, offset), offset.type.as_pointer())
    numbers = itertools.count()

    def next_word() -> Any:
        return builder.load(cgutils.gep_inbounds(builder, first, next(numbers)))

    def read(ty: Any) -> Any:
        if isinstance(ty, types.BaseTuple):
            return context.make_tuple(builder, ty, [read(item) for item in ty])
        if isinstance(ty, types.Array):
            places = types.int64, types.int64
            data = invoke(context, builder, kept_address, places, (arena, next_word()))[1]
            return array_over(context, builder, ty, data, [next_word() for _ in range(ty.ndim)])
        return context.cast(builder, next_word(), types.int64, ty)

    return read(record)


@intrinsic
def base_value(typingctx: Any, x: Any, like: Any) -> Any:
    """Return a number, its value one level down, or a constant as the type of `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if getattr(x, "slots", 0) and level(x.base) == level(like):  # maybe of another width
            value = context.make_helper(builder, x, value=args[0]).m_value
            return context.cast(builder, value, x.base, like)
        return context.cast(builder, args[0], x, like)

    return like(x, like), codegen


base_array = map_elements(base_value)
"""A copy of an array one level down: ``base_array(a, like)``."""


@kernel
def add_to_adjoint(adjoint: Any, rows: Any, more: Any, lane: Any, width: Any) -> None:
    """Add an array to the adjoints of rows; row 0, that of constants, is skipped."""
    source = flattened(more)
    for i in range(rows.size):
        if rows[i] > 0:
            index = rows[i] * width + lane
            adjoint[index] = adjoint[index] + source[i]


@kernel
def place_in(address: Any, offset: Any) -> Any:
    """Return the address of an offset in the arena, valid until more is stored there."""
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
    """Store the rows of an array's elements, given by their layout; return the offset.

    Consecutive rows, such as those of inputs and of results of blocks, take no room; nothing is
    stored where all elements are constant.
    """
    tape, first = tape_at(address), word(rows, FIRST)
    offset = tape.store(16)
    count = word(rows, COUNT)
    row = row_at(rows, first) if count > 0 else 0
    gaps, any_row = np.int64(row == 0), row
    length, step = line_of(rows) if count > 0 else (1, 0)
    is_line = has_steps(rows) and length == count and row_at(rows, first + step) == row + 1
    for start in range(0, 0 if is_line else count, length):
        source = first + offset_of(rows, start)
        for i in range(length):
            gaps |= row_at(rows, source + i * step) ^ (row + start + i)
    if gaps != 0:
        list_offset = tape.store(8 * count)
        row_list = place_in(address, list_offset)
        for start in range(0, count, length):
            source = first + offset_of(rows, start)
            for i in range(length):
                item = row_at(rows, source + i * step)
                any_row |= item
                set_word(row_list, start + i, item)
        row = -1 - list_offset
        if any_row == 0:  # the list is not needed: its room is freed
            count, row, tape.arena_used = 0, 0, list_offset
    head = place_in(address, offset)
    set_words(head, (count, row))
    return offset


@kernel
def has_rows(address: Any, offset: Any) -> Any:
    """Return whether `store_rows` stored any."""
    return word(place_in(address, offset), 0) > 0


@kernel
def add_to_rows(address: Any, offset: Any, more: Any, lane: Any, width: Any, like: Any) -> None:
    """Add an array to the adjoints, of the type of `like`, of the rows that `store_rows` stored."""
    adjoint = typed_view(tape_at(address).adjoint, like)
    head, source = place_in(address, offset), flattened(more)
    count, first = word(head, 0), word(head, 1)
    if first < 0:
        row_list = place_in(address, -1 - first)
        for i in range(count):
            if word(row_list, i) > 0:
                index = word(row_list, i) * width + lane
                adjoint[index] = adjoint[index] + source[i]
        return
    if width == 1:
        window = adjoint[first : first + count]
        for i in range(count):
            window[i] = window[i] + source[i]
        return
    for i in range(count):
        index = (first + i) * width + lane
        adjoint[index] = adjoint[index] + source[i]


@kernel
def gather_adjoint(address: Any, first: Any, result: Any, lane: Any, width: Any) -> Any:
    """Return the adjoint of a result whose rows begin at `first`."""
    out = empty_numbers(result.shape, element_like(result))
    adjoint, flat = typed_view(tape_at(address).adjoint, element_like(result)), flat_view(out)
    for i in range(flat.size):
        flat[i] = adjoint[(first + i) * width + lane]
    return out


@kernel
def block_rows(address: Any, block: Any) -> Any:
    """Return the first row of a block and the offset of its data."""
    tape = tape_at(address)
    field = block * BLOCK_FIELDS
    return tape.block[field], tape.block[field + 3]


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
def as_partial(typingctx: Any, partial: Any) -> Any:
    """Return a partial in the type that the tape stores."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.cast(builder, args[0], partial, sig.return_type)

    return partial_type(partial)(partial), codegen


@kernel
def add_entry(address: Any, row: Any, partial: Any) -> None:
    """Add an entry to the statement that is open."""
    if row > 0:
        tape = tape_at(address)
        tape.col[tape.entries] = row
        wide = as_partial(partial)
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
