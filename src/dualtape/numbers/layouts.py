"""Layouts: the memory of an array described by integers, so that one kernel serves all arrays.

Numba compiles a function anew for every type of array, of which layouts and numbers of dimensions
are parts.  A kernel that takes a *layout* instead is compiled once: 64-bit words on the stack with
the address of the first element, the number of elements, the number of dimensions, the extents and
the strides in bytes.  A layout can also describe one field of the elements, such as their rows.

A layout lives as long as the function that makes it, and does not keep its array alive: see `hold`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..backend.jit import kernel
from .types import PlanesType, level

FIRST, COUNT, DIMENSIONS, EXTENTS = range(4)
_I64 = ir.IntType(64)


# Layouts, emitted while lowering


def emit_layout(
    context: Any, builder: Any, ty: Any, value: Any, field: str = "", *, shape: Any = None
) -> Any:
    """Return the layout of an array, or of one field of its elements.

    With `shape` "row" or "column" a vector is a matrix of one row or one column.
    """
    return _on_stack(builder, _words(context, builder, ty, value, field, shape))


def _words(
    context: Any, builder: Any, ty: Any, value: Any, field: str = "", shape: Any = None
) -> list[Any]:
    array = context.make_array(ty)(context, builder, value)
    extents = cgutils.unpack_tuple(builder, array.shape, ty.ndim)
    steps = cgutils.unpack_tuple(builder, array.strides, ty.ndim)
    if shape is not None and ty.ndim == 1:
        axis = 0 if shape == "row" else 1
        extents.insert(axis, ir.Constant(_I64, 1))
        steps.insert(axis, array.itemsize)
    first = array.data
    if field:
        index = list(ty.dtype.struct).index(field)
        first = cgutils.gep_inbounds(builder, first, 0, index)
    words = [builder.ptrtoint(first, _I64), array.nitems, ir.Constant(_I64, len(extents))]
    return [*words, *extents, *steps]


def emit_rows(context: Any, builder: Any, ty: Any, value: Any, number: Any) -> Any:
    """Return the layout of the rows of elements on the tape of `number`; see `rows_in`."""
    zero = ir.Constant(_I64, 0)
    if level(ty.dtype) != number.level:
        return _on_stack(builder, [zero] * 6)
    if not isinstance(ty, PlanesType):
        return _on_stack(builder, [*_words(context, builder, ty, value, "row"), zero, zero, zero])
    planes = context.make_helper(builder, ty, value=value)
    item = context.get_abi_sizeof(context.get_data_type(ty.dtype.base))
    words = _words(context, builder, ty.values, planes.values)
    return _on_stack(builder, [*words, planes.origin, ir.Constant(_I64, item), planes.tape])


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

    Three more words follow: the origin of planes, the size of a value and the tape, from which
    rows are computed.  They are 0 where rows are stored beside the values.  Elements of a lower
    level have no rows: all words are then 0.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_rows(context, builder, a, args[0], number)

    return types.int64(a, number), codegen


@intrinsic
def hold(typingctx: Any, a: Any) -> Any:
    """Do nothing, but keep an array alive that is used by its address."""
    return types.none(a), lambda context, builder, sig, args: context.get_dummy_value()


# Memory by address


def _pointer(builder: Any, address: Any, ty: Any) -> Any:
    return builder.inttoptr(address, ty.as_pointer())


@intrinsic
def word(typingctx: Any, address: Any, index: Any) -> Any:
    """Return word `index` of those at an address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(builder.gep(_pointer(builder, args[0], _I64), [args[1]]))

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def set_word(typingctx: Any, address: Any, index: Any, value: Any) -> Any:
    """Store word `index` of those at an address."""

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
def number_at(typingctx: Any, address: Any, like: Any) -> Any:
    """Return the number at an address, of the type of `like`, aligned or not."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(builder, args[0], context.get_data_type(like))
        if isinstance(like, types.Float):
            return builder.load(place, align=1)
        return context.unpack_value(builder, like, place)

    return like(types.int64, like), codegen


@intrinsic
def store(typingctx: Any, address: Any, value: Any, like: Any) -> Any:
    """Store a number at an address, converted to the type of `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        place = _pointer(builder, args[0], context.get_data_type(like))
        context.pack_value(builder, like, context.cast(builder, args[1], value, like), place)
        return context.get_dummy_value()

    return types.none(types.int64, value, like), codegen


# Kernels on layouts


@kernel
def offset_of(layout: Any, i: Any) -> int:
    """Return the offset in bytes of element i in row-major order."""
    ndim, offset = word(layout, DIMENSIONS), 0
    for d in range(ndim - 1, -1, -1):
        extent = word(layout, EXTENTS + d)
        offset += i % extent * word(layout, EXTENTS + ndim + d)
        i //= extent
    return offset


@kernel
def line_of(layout: Any) -> tuple[int, int]:
    """Return the number of elements and the step in bytes of the lines of equal steps of an array.

    A line is a run of elements in row-major order; there is at least one element.
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


@intrinsic
def row_at(typingctx: Any, rows: Any, place: Any) -> Any:
    """Return the row of the element at a place of the layout of rows; see `rows_in`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        origin, item, tape = _of_addresses(builder, args[0])
        row = cgutils.alloca_once_value(builder, ir.Constant(_I64, 0))
        with builder.if_else(cgutils.is_null(builder, origin)) as (then, otherwise):
            with then:
                builder.store(builder.load(_pointer(builder, args[1], _I64)), row)
            with otherwise, builder.if_then(cgutils.is_not_null(builder, tape)):
                offset = builder.sub(args[1], origin)
                builder.store(builder.ashr(offset, ir.Constant(_I64, 3)), row)
                is_other = builder.icmp_signed("!=", item, ir.Constant(_I64, 8))
                with builder.if_then(is_other):  # a division is slow
                    builder.store(builder.sdiv(offset, item), row)
        return builder.load(row)

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def has_steps(typingctx: Any, rows: Any) -> Any:
    """Return whether rows follow from addresses, in equal steps."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return cgutils.is_not_null(builder, _of_addresses(builder, args[0])[0])

    return types.boolean(types.int64), codegen


def _of_addresses(builder: Any, rows: Any) -> list[Any]:
    """Return the words behind a layout of rows: origin, size of a value, tape."""
    words = _pointer(builder, rows, _I64)
    ndim = builder.load(builder.gep(words, [ir.Constant(_I64, DIMENSIONS)]))
    end = builder.add(builder.shl(ndim, ir.Constant(_I64, 1)), ir.Constant(_I64, EXTENTS))
    places = [builder.gep(words, [builder.add(end, ir.Constant(_I64, i))]) for i in range(3)]
    return [builder.load(place) for place in places]


@kernel
def first_tape(rows: Any) -> int:
    """Return the tape of the first element that is not constant, 0 if all are.

    `rows` is the layout of the rows; the word after a number's row is its tape.
    """
    more = EXTENTS + 2 * word(rows, DIMENSIONS)
    if word(rows, more) != 0:
        return word(rows, more + 2) if word(rows, COUNT) > 0 else 0
    for i in range(word(rows, COUNT)):
        number = word(rows, FIRST) + offset_of(rows, i)
        if word(number, 0) > 0:
            return word(number, 1)
    return 0
