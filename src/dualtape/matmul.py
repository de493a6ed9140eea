"""Products of arrays in reverse mode: one block or one statement each, BLAS on values and adjoints.

With C = A B and C_bar the adjoint of C: A_bar = C_bar B^T, B_bar = A^T C_bar.  A product of two
vectors is one statement with two entries for every pair of elements; so is a sum, with one for
every element.

M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008, section 2.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np import arrayobj

from ._jit import kernel
from .adjoints import row_of, tracked
from .blas import NOT_FITTING, emit_product
from .blocks import (
    add_entry,
    add_to_rows,
    adjoint_of,
    base_array,
    base_value,
    block_rows,
    close_statement,
    data_address,
    has_rows,
    open_statement,
    place_in,
    store_rows,
    tape_of,
)
from .borrowing import array_at, is_lasting, kept_at
from .emit import call_apart, invoke
from .layouts import (
    EXTENTS,
    FIRST,
    emit_layout,
    emit_rows,
    first_tape,
    loaded,
    rows_in,
    set_words,
    store,
    word,
)
from .numbertype import NumberType, level, partial_type, promote
from .seed import as_number, empty_numbers, flat_view, make_flat
from .sweeps import strong_product
from .tape import item_size, tape_at, typed_view

__all__ = [
    "is_tracked_product",
    "number_like",
    "tracked_dot",
    "tracked_product",
    "tracked_squares",
    "tracked_sum",
]

NOTHING = np.int64(-1)  # the place of what is not kept
WORDS = 7  # of a block: extents m, k and n, rows of both factors, places of both
_I64 = ir.IntType(64)


def is_tracked_product(a: Any, b: Any) -> bool:
    """Whether the result of a product of two arrays belongs to a tape."""
    return bool(promote([a.dtype, b.dtype]).slots)


@intrinsic
def number_like(typingctx: Any, a: Any, b: Any) -> Any:
    """Return a passive zero of the type of products of elements."""
    number = promote([a.dtype, b.dtype])
    return number(a, b), lambda context, builder, sig, args: context.get_constant_null(number)


@intrinsic
def base_like(typingctx: Any, number: Any) -> Any:
    """Return a zero of a number's base type."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant_null(sig.return_type)

    return number.base(number), codegen


@intrinsic
def wide_of(typingctx: Any, like: Any) -> Any:
    """Return a zero of the type of the partials on a tape of numbers over the type of `like`."""
    wide = partial_type(like)
    return wide(like), lambda context, builder, sig, args: context.get_constant_null(wide)


# Products one level down


def _product(typingctx: Any, a: Any, b: Any, careful: int) -> Any:
    if a.dtype == b.dtype and not isinstance(a.dtype, NumberType):
        result = types.Array(a.dtype, 2, "C")
    else:
        result = typingctx.resolve_function_type(np.dot, (a, b), {}).return_type

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if isinstance(result.dtype, NumberType):
            return invoke(context, builder, np.dot, sig.args, args)[1]
        return emit_product(context, builder, sig.args, args, careful)

    return result(a, b), codegen


@intrinsic
def base_product(typingctx: Any, a: Any, b: Any) -> Any:
    """Product of matrices one level down."""
    return _product(typingctx, a, b, 0)


@intrinsic
def times(typingctx: Any, a: Any, b: Any) -> Any:
    """Product of matrices in which an exact zero stays zero."""
    return _product(typingctx, a, b, 1)


# Products of numbers


def emit_tracked(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit the product of two arrays on a tape; vectors are matrices of one row or one column."""
    number = sig.return_type.dtype
    pairs = list(zip(sig.args, args, strict=True))
    arrays = [context.make_array(t)(context, builder, v) for t, v in pairs]
    shapes = [cgutils.unpack_tuple(builder, array.shape) for array in arrays]
    differs = builder.icmp_signed("!=", shapes[0][-1], shapes[1][0])
    with cgutils.if_unlikely(builder, differs):
        context.call_conv.return_user_exc(builder, ValueError, (NOT_FITTING,))
    given, made = [], []
    for (t, v), shape in zip(pairs, ("row", "column"), strict=True):
        layout, copy = _values(context, builder, t, v, number, shape)
        given.append(layout)
        made.append(copy)
    given += [emit_rows(context, builder, t, v, number) for t, v in pairs]
    given += [
        ir.Constant(_I64, int(not ty.mutable and copy is None))
        for ty, copy in zip(sig.args, made, strict=True)
    ]
    given.append(context.get_constant_null(number))
    signature = (*(types.int64,) * 6, number)
    out = call_apart(context, builder, product_block.at(number.level), signature, given)
    for copy in filter(None, made):
        context.nrt.decref(builder, *copy)
    if sig.return_type.ndim == 2:
        return out
    return make_flat(context, builder, types.Array(number, 2, "C"), out)


def _values(context: Any, builder: Any, ty: Any, value: Any, number: Any, shape: str) -> Any:
    """Return the layout of an operand's values one level down, and of what it is if of a copy."""
    if ty.dtype == number.base:
        return emit_layout(context, builder, ty, value, shape=shape), None
    if level(ty.dtype) == number.level and ty.dtype.base == number.base:
        return emit_layout(context, builder, ty, value, "value", shape=shape), None
    like = context.get_constant_null(number.base)
    copy = invoke(context, builder, base_array, (ty, number.base), (value, like))
    return emit_layout(context, builder, *copy, shape=shape), copy


@intrinsic
def tracked_product(typingctx: Any, a: Any, b: Any) -> Any:
    """Product of arrays, not both vectors, as a block."""
    if sorted((a.ndim, b.ndim)) not in ([1, 2], [2, 2]):
        return None
    number = promote([a.dtype, b.dtype])
    return types.Array(number, a.ndim + b.ndim - 2, "C")(a, b), emit_tracked


@kernel
def product_block(
    a: Any, b: Any, rows: Any, other_rows: Any, is_fixed: Any, is_other_fixed: Any, number: Any
) -> Any:
    """Product of two matrices as a block, which keeps the factors of what is not constant.

    Values and rows are told by layouts.  An operand that is fixed is read-only.
    """
    like = base_like(number)
    wide = wide_of(like)
    address = first_tape(rows)
    if address == 0:
        address = first_tape(other_rows)
    kept, other_kept, at, other_at = NOTHING, NOTHING, NOTHING, NOTHING
    if address != 0:
        at, other_at = store_rows(address, rows), store_rows(address, other_rows)
        if has_rows(address, other_at):
            kept = keep_matrix(address, a, is_fixed, like, wide)
        if has_rows(address, at):
            other_kept = keep_matrix(address, b, is_other_fixed, like, wide)
    c = base_product(factor(address, kept, a, like), factor(address, other_kept, b, like))
    first, step = np.int64(0), np.int64(address != 0)
    if address != 0:
        tape = tape_at(address)
        first = tape.reserve(c.size)
        offset = tape.store(8 * WORDS)
        told = place_in(address, offset)
        inner = word(a, EXTENTS + 1)
        set_words(told, (c.shape[0], inner, c.shape[1], at, other_at, kept, other_kept))
        tape.add_block(first, first + c.size, address_of_adjoint(wide), offset)
    out = empty_numbers(c.shape, number)
    flat, values = flat_view(out), flat_view(c)
    for i in range(flat.size):
        flat[i] = tracked(values[i], first + step * i, address, number)
    return out


@kernel
def keep_matrix(address: Any, a: Any, is_fixed: Any, like: Any, wide: Any) -> Any:
    """Keep a matrix told by its layout as partials of the tape; return its place.

    It is the offset in the arena, or the negative address of elements that are lasting.
    """
    m, k, first, item = word(a, EXTENTS), word(a, EXTENTS + 1), word(a, FIRST), item_size(like)
    down, right = word(a, EXTENTS + 2), word(a, EXTENTS + 3)
    is_whole = (right == item or k == 1) and (down == item * k or m == 1)
    if is_whole and item == item_size(wide) and is_lasting(address, first, is_fixed):
        return -first
    offset = tape_at(address).store(m * k * item_size(wide))
    to = place_in(address, offset)
    for i in range(m):
        at = first + i * down
        for _ in range(k):
            store(to, loaded(at, like), wide)
            at += right
            to += item_size(wide)
    return offset


@kernel
def factor(address: Any, kept: Any, a: Any, like: Any) -> Any:
    """Return a matrix told by its layout as an array: what was kept of it, or where it is."""
    m, k, item = word(a, EXTENTS), word(a, EXTENTS + 1), item_size(like)
    if kept >= 0 and item == item_size(wide_of(like)):
        return matrix_at(place_in(address, kept), m, k, item * k, item, like)
    down, right = word(a, EXTENTS + 2), word(a, EXTENTS + 3)
    return matrix_at(word(a, FIRST), m, k, down, right, like)


@intrinsic
def matrix_at(
    typingctx: Any, first: Any, m: Any, n: Any, down: Any, right: Any, like: Any
) -> Any:  # fmt: skip
    """Return numbers at an address as a matrix, borrowed: its references are not counted."""
    view = types.Array(like, 2, "A")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        out = context.make_array(view)(context, builder)
        item = context.get_abi_sizeof(context.get_data_type(like))
        arrayobj.populate_array(
            out,
            data=builder.inttoptr(args[0], out.data.type),
            shape=args[1:3],
            strides=args[3:5],
            itemsize=context.get_constant(types.intp, item),
            meminfo=None,
            parent=None,
        )
        return out._getvalue()

    return view(*(types.int64,) * 5, like), codegen


@kernel
def product_adjoint(address: Any, block: Any, lane: Any, width: Any, like: Any) -> None:
    """Add C_bar B^T to the adjoints of A and A^T C_bar to those of B."""
    first, offset = block_rows(address, block)
    told, item = place_in(address, offset), item_size(like)
    m, k, n = word(told, 0), word(told, 1), word(told, 2)
    rows, other_rows = word(told, 3), word(told, 4)
    adjoint = typed_view(tape_at(address).adjoint, like)
    place = data_address(adjoint) + (first * width + lane) * item
    bar = matrix_at(place, m, n, n * width * item, width * item, like)
    if has_rows(address, rows):
        b, row = kept_at(address, word(told, 6)), word(place_in(address, rows), 1)
        if n == 1 and row >= 0 and width == 1:
            add_outer(adjoint, row, bar[:, 0], array_at(b, k, like))
        else:
            more = times(bar, matrix_at(b, n, k, item, n * item, like))
            add_to_rows(address, rows, adjoint, more, lane, width)
    if has_rows(address, other_rows):
        a = matrix_at(kept_at(address, word(told, 5)), k, m, item, k * item, like)
        add_to_rows(address, other_rows, adjoint, times(a, bar), lane, width)


address_of_adjoint = adjoint_of(product_adjoint)


@kernel
def add_outer(adjoint: Any, row: Any, bar: Any, b: Any) -> None:
    """Add the products bar[i] b[j]: a matrix times a vector needs no matrix beside its adjoint."""
    k = b.size
    for i in range(bar.size):
        line, factor = adjoint[row + i * k : row + (i + 1) * k], bar[i]
        for j in range(k):
            line[j] = line[j] + strong_product(b[j], factor)


@kernel
def tracked_dot(a: Any, b: Any) -> Any:
    """Product of two vectors as one statement."""
    if a.shape[0] != b.shape[0]:
        raise ValueError("incompatible array sizes for np.dot(a, b)")
    number = number_like(a, b)
    like = base_like(number)
    address = first_tape(rows_in(a, number))
    if address == 0:
        address = first_tape(rows_in(b, number))
    s = like * 0.0
    if address == 0:
        for k in range(a.size):
            s = s + base_value(a[k], like) * base_value(b[k], like)
        return tracked(s, 0, 0, number)
    open_statement(address, 2 * a.size)
    for k in range(a.size):
        x, y = base_value(a[k], like), base_value(b[k], like)
        s = s + x * y
        add_entry(address, row_of(as_number(a[k], number)), y)
        add_entry(address, row_of(as_number(b[k], number)), x)
    return tracked(s, close_statement(address), address, number)


@kernel
def tracked_sum(a: Any) -> Any:
    """Sum of all elements as one statement."""
    number = number_like(a, a)
    like = base_like(number)
    s = like * 0.0
    address = tape_of(a)
    if address == 0:
        for x in a.flat:
            s = s + base_value(x, like)
        return tracked(s, 0, 0, number)
    open_statement(address, a.size)
    one = as_number(1.0, like)  # an expression would be a pending number, of another size
    for x in a.flat:
        s = s + base_value(x, like)
        add_entry(address, x.row, one)
    return tracked(s, close_statement(address), address, number)


@kernel
def tracked_squares(a: Any) -> Any:
    """Sum of the squares of all elements as one statement."""
    number = number_like(a, a)
    like = base_like(number)
    s = like * 0.0
    address = tape_of(a)
    if address == 0:
        for x in a.flat:
            s = s + base_value(x, like) * base_value(x, like)
        return tracked(s, 0, 0, number)
    open_statement(address, a.size)
    for x in a.flat:
        v = base_value(x, like)
        s = s + v * v
        add_entry(address, x.row, as_number(v + v, like))
    return tracked(s, close_statement(address), address, number)
