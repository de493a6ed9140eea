"""Where the elements of an array are, told by integers: one kernel for all kinds of arrays.

Numba compiles a function anew for every type of array, of which layouts and numbers of dimensions
are parts.  A kernel that is given a *layout* instead is compiled once: a place on the stack that
holds, in words of 64 bits, the address of the first element, the number of elements and that of
dimensions, the extents and the steps in bytes.  It tells as well where one field of the elements
is, as their rows.

A layout lives as long as the function that makes it, and does not keep its array alive: see `hold`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ._jit import kernel
from .numbertype import level

__all__ = [
    "COUNT",
    "DIMENSIONS",
    "EXTENTS",
    "FIRST",
    "emit_layout",
    "emit_rows",
    "first_tape",
    "hold",
    "layout_of",
    "line_of",
    "loaded",
    "offset_of",
    "rows_in",
    "set_word",
    "set_words",
    "store",
    "word",
]

FIRST, COUNT, DIMENSIONS, EXTENTS = range(4)
_I64 = ir.IntType(64)
WORD = 8


# Layouts, made while lowering


def emit_layout(
    context: Any, builder: Any, ty: Any, value: Any, field: str = "", *, shape: Any = None
) -> Any:
    """Return the layout of an array, or of one field of its elements.

    A vector is told as a matrix of one row or one column where `shape` is "row" or "column".
    """
    array = context.make_array(ty)(context, builder, value)
    extents = cgutils.unpack_tuple(builder, array.shape, ty.ndim)
    steps = cgutils.unpack_tuple(builder, array.strides, ty.ndim)
    if shape is not None and ty.ndim == 1:
        at = 1 if shape == "row" else 0
        extents.insert(1 - at, ir.Constant(_I64, 1))
        steps.insert(1 - at, array.itemsize)
    first = array.data
    if field:
        index = list(ty.dtype.struct).index(field)
        first = cgutils.gep_inbounds(builder, first, 0, index)
    words = [builder.ptrtoint(first, _I64), array.nitems, ir.Constant(_I64, len(extents))]
    return _on_stack(builder, [*words, *extents, *steps])


def emit_rows(context: Any, builder: Any, ty: Any, value: Any, number: Any) -> Any:
    """Return the layout of the rows of elements on the tape of `number`; see `rows_in`."""
    if level(ty.dtype) == number.level:
        return emit_layout(context, builder, ty, value, "row")
    return _on_stack(builder, [ir.Constant(_I64, 0)] * 2)


def _on_stack(builder: Any, words: list[Any]) -> Any:
    place = cgutils.alloca_once(builder, ir.ArrayType(_I64, len(words)))
    for i, value in enumerate(words):
        builder.store(value, cgutils.gep_inbounds(builder, place, 0, i))
    return builder.ptrtoint(place, _I64)


@intrinsic
def layout_of(typingctx: Any, a: Any) -> Any:
    """Return the layout of an array."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_layout(context, builder, a, args[0])

    return types.int64(a), codegen


@intrinsic
def rows_in(typingctx: Any, a: Any, number: Any) -> Any:
    """Return the layout of the rows of an array's elements on the tape of `number`.

    There are none, and its first words are 0, where the elements are of a lower level.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_rows(context, builder, a, args[0], number)

    return types.int64(a, number), codegen


@intrinsic
def hold(typingctx: Any, a: Any) -> Any:
    """Do nothing: an array that is known by its address lives until here."""
    return types.none(a), lambda context, builder, sig, args: context.get_dummy_value()


# Memory by address


def _pointer(builder: Any, address: Any, ty: Any) -> Any:
    return builder.inttoptr(address, ty.as_pointer())


@intrinsic
def word(typingctx: Any, address: Any, index: Any) -> Any:
    """Return the integer that is `index` words behind an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(builder.gep(_pointer(builder, args[0], _I64), [args[1]]))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def set_word(typingctx: Any, address: Any, index: Any, value: Any) -> Any:
    """Store an integer `index` words behind an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = builder.gep(_pointer(builder, args[0], _I64), [args[1]])
        builder.store(args[2], place)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), codegen


@intrinsic
def set_words(typingctx: Any, address: Any, values: Any) -> Any:
    """Store a tuple of integers at an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        first = _pointer(builder, args[0], _I64)
        items = cgutils.unpack_tuple(builder, args[1])
        for i, (ty, value) in enumerate(zip(values, items, strict=True)):
            place = builder.gep(first, [ir.Constant(_I64, i)])
            builder.store(context.cast(builder, value, ty, types.int64), place)
        return context.get_dummy_value()

    return types.none(types.int64, values), codegen


@intrinsic
def loaded(typingctx: Any, address: Any, like: Any) -> Any:
    """Return the number like `like` at an address, aligned or not."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(builder, args[0], context.get_data_type(like))
        if isinstance(like, types.Float):
            return builder.load(place, align=1)
        return context.unpack_value(builder, like, place)

    return like(types.int64, like), codegen


@intrinsic
def store(typingctx: Any, address: Any, value: Any, like: Any) -> Any:
    """Store a number at an address as one like `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(builder, args[0], context.get_data_type(like))
        context.pack_value(builder, like, context.cast(builder, args[1], value, like), place)
        return context.get_dummy_value()

    return types.none(types.int64, value, like), codegen


# Kernels on layouts


@kernel
def offset_of(layout: Any, i: Any) -> int:
    """Return how many bytes element i in row-major order is behind the first."""
    ndim, offset = word(layout, DIMENSIONS), 0
    for d in range(ndim - 1, -1, -1):
        extent = word(layout, EXTENTS + d)
        offset += i % extent * word(layout, EXTENTS + ndim + d)
        i //= extent
    return offset


@kernel
def line_of(layout: Any) -> tuple[int, int]:
    """Return how many elements in row-major order have equal steps, and their step in bytes.

    Lines of as many make up the whole array; there is at least one element.
    """
    ndim, length, step = word(layout, DIMENSIONS), 1, 0
    for d in range(ndim - 1, -1, -1):
        extent = word(layout, EXTENTS + d)
        if extent > 1:
            if length == 1:
                step = word(layout, EXTENTS + ndim + d)
            elif word(layout, EXTENTS + ndim + d) != step * length:
                break
            length *= extent
    return length, step


@kernel
def first_tape(rows: Any) -> int:
    """Return the tape of the first element that is not constant, given their rows; 0 if all are.

    The tape of a number is behind its row.
    """
    for i in range(word(rows, COUNT)):
        at = word(rows, FIRST) + offset_of(rows, i)
        if word(at, 0) > 0:
            return word(at, 1)
    return 0
