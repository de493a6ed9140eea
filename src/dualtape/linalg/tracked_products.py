"""Products of arrays in reverse mode: each one block or one statement, BLAS on values and adjoints.

With C = A B and C_bar the adjoint of C: A_bar = C_bar B^T, B_bar = A^T C_bar.  A product of two
vectors is one statement with two entries for every pair of elements; so is a sum, with one for
every element.

M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008, section 2.1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..arrays.blas import NOT_FITTING, careful_product, matrix_product
from ..backend.allocation import array_over, new_array
from ..backend.calls import Value, call_apart, invoke
from ..backend.jit import kernel
from ..numbers.access import base_like, make_flat, wide_of
from ..numbers.layouts import (
    EXTENTS,
    FIRST,
    emit_layout,
    emit_rows,
    first_tape,
    number_at,
    set_words,
    store,
    word,
)
from ..numbers.plane_arrays import emit_numbers, planes_from, values_in
from ..numbers.tracked import make_active
from ..numbers.types import PlanesType, level, promote
from ..reverse.block_data import load
from ..reverse.blocks import (
    add_to_rows,
    adjoint_of,
    base_array,
    block_rows,
    data_address,
    place_in,
    store_rows,
)
from ..reverse.borrowing import array_at, is_lasting
from ..reverse.sweep import strong_product
from ..tape.storage import item_size, tape_at, typed_view

NOTHING = np.int64(-1)  # the place of a factor that is not stored
_I64 = ir.IntType(64)


class ProductData(NamedTuple):
    """Data of a block: extents of A (m x k) and B (k x n), their rows, and their places."""

    m: Any
    k: Any
    n: Any
    rows: Any
    other_rows: Any
    a: Any
    b: Any


def is_tracked_product(a: Any, b: Any) -> bool:
    """Whether the result of a product of two arrays belongs to a tape."""
    return bool(promote([a.dtype, b.dtype]).slots)


# Products of numbers


def emit_tracked(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit the product of two arrays on a tape; vectors are matrices of one row or one column."""
    number = sig.return_type.dtype
    levelled = [
        _of_level(context, builder, Value(*pair), number)
        for pair in zip(sig.args, args, strict=True)
    ]
    pairs = [operand for operand, _ in levelled]
    plain = [_plain_pair(context, builder, pair) for pair in pairs]
    arrays = [context.make_array(t)(context, builder, v) for t, v in plain]
    shapes = [cgutils.unpack_tuple(builder, array.shape) for array in arrays]
    differs = builder.icmp_signed("!=", shapes[0][-1], shapes[1][0])
    with cgutils.if_unlikely(builder, differs):
        context.call_conv.return_user_exc(builder, ValueError, (NOT_FITTING,))
    arguments, copies = [], []
    for (t, v), shape in zip(plain, ("row", "column"), strict=True):
        layout, copy = _values(context, builder, t, v, number, shape)
        arguments.append(layout)
        copies.append(copy)
    arguments += [emit_rows(context, builder, t, v, number) for t, v in pairs]
    arguments += [
        ir.Constant(_I64, int(not ty.mutable and copy is None))
        for (ty, _), copy in zip(plain, copies, strict=True)
    ]
    arguments.append(context.get_constant_null(number))
    signature = (*(types.int64,) * 6, number)
    out = call_apart(context, builder, product_block.at(number.level), signature, arguments)
    made = [operand for operand, is_new in levelled if is_new]
    for copy in [*filter(None, copies), *made]:
        context.nrt.decref(builder, *copy)
    c, first, address = cgutils.unpack_tuple(builder, out)
    matrix = types.Array(number.base, 2, "C")
    if sig.return_type.ndim == 1:
        c, matrix = make_flat(context, builder, matrix, c), matrix.copy(ndim=1)
    if isinstance(sig.return_type, PlanesType):
        return planes_from(context, builder, sig.return_type, c, first, address)
    numbers = _with_rows(context, builder, Value(matrix, c), first, address, sig.return_type)
    context.nrt.decref(builder, matrix, c)
    return numbers


def _with_rows(
    context: Any, builder: Any, values: Value, first: Any, address: Any, ty: Any
) -> Any:  # fmt: skip
    """Return C-contiguous values as an array of numbers with the rows from `first`, 0 without tape.

    The loop is emitted here: a kernel would be compiled for each number of dimensions.
    """
    source = context.make_array(values.type)(context, builder, values.ir)
    shape = cgutils.unpack_tuple(builder, source.shape, ty.ndim)
    out, zero = new_array(context, builder, ty, shape), ir.Constant(_I64, 0)
    is_tracked = cgutils.is_not_null(builder, address)
    with cgutils.for_range(builder, source.nitems) as loop:
        value = context.unpack_value(builder, ty.dtype.base, builder.gep(source.data, [loop.index]))
        row = builder.select(is_tracked, builder.add(first, loop.index), zero)
        number = make_active(context, builder, ty.dtype, value, row, address)
        context.pack_value(builder, ty.dtype, number, builder.gep(out.data, [loop.index]))
    return out._getvalue()


def _plain_pair(context: Any, builder: Any, operand: Value) -> Value:
    """Return the values of planes; another operand as it is."""
    if isinstance(operand.type, PlanesType):
        return values_in(context, builder, operand)
    return operand


def _of_level(context: Any, builder: Any, operand: Value, number: Any) -> tuple[Value, bool]:
    """Return an operand, and whether it was made here: of planes of a lower level.

    These belong to the tape of another derivative, and stand for numbers of that level.
    """
    if isinstance(operand.type, PlanesType) and level(operand.type.dtype) < number.level:
        numbers = emit_numbers(context, builder, operand)
        return Value(operand.type.numbers, numbers), True
    return operand, False


def _values(context: Any, builder: Any, ty: Any, value: Any, number: Any, shape: str) -> Any:
    """Return the layout of an operand's values one level down, and the copy if there is one."""
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
    number, ndim = promote([a.dtype, b.dtype]), a.ndim + b.ndim - 2
    if isinstance(a, PlanesType) or isinstance(b, PlanesType):
        return PlanesType(number, ndim, "C")(a, b), emit_tracked
    return types.Array(number, ndim, "C")(a, b), emit_tracked


def tracked_signature(a: Any, b: Any) -> Any:
    """Return signature and code of a product of arrays, not both vectors, as planes."""
    number = promote([a.dtype, b.dtype])
    return PlanesType(number, a.ndim + b.ndim - 2, "C")(a, b), emit_tracked


@kernel
def product_block(
    a: Any, b: Any, rows: Any, other_rows: Any, is_fixed: Any, is_other_fixed: Any, number: Any
) -> Any:
    """Product of two matrices as a block, which stores A if B has rows, and B if A has.

    Values and rows are given by layouts.  An operand that is fixed is read-only.  Returns the
    product, the row of its first element and the address of the tape.
    """
    like = base_like(number)
    wide = wide_of(like)
    address = first_tape(rows)
    if address == 0:
        address = first_tape(other_rows)
    a_place, b_place, a_rows, b_rows = NOTHING, NOTHING, NOTHING, NOTHING
    if address != 0:
        a_rows, b_rows = store_rows(address, rows), store_rows(address, other_rows)
        if word(place_in(address, b_rows), 0) > 0:  # there are some; see `store_rows`
            a_place = keep_matrix(address, a, is_fixed, like, wide)
        if word(place_in(address, a_rows), 0) > 0:
            b_place = keep_matrix(address, b, is_other_fixed, like, wide)
    c = matrix_product(factor(address, a_place, a, like), factor(address, b_place, b, like))
    first = np.int64(0)
    if address != 0:
        k = word(a, EXTENTS + 1)
        data = ProductData(c.shape[0], k, c.shape[1], a_rows, b_rows, a_place, b_place)
        tape = tape_at(address)
        first, offset = tape.reserve(c.size), tape.store(8 * len(data))
        set_words(place_in(address, offset), data)
        tape.add_block(first, first + c.size, address_of_adjoint(wide), offset)
    return c, first, address


@kernel
def keep_matrix(address: Any, a: Any, is_fixed: Any, like: Any, wide: Any) -> Any:
    """Store a matrix given by its layout as partials of the tape; return its place.

    It is the offset in the arena, or the negative address of elements that do not change.
    """
    m, k, first, item = word(a, EXTENTS), word(a, EXTENTS + 1), word(a, FIRST), item_size(like)
    down, right = word(a, EXTENTS + 2), word(a, EXTENTS + 3)
    is_whole = (right == item or k == 1) and (down == item * k or m == 1)
    if is_whole and item == item_size(wide) and is_lasting(address, first, is_fixed):
        return -first
    offset = tape_at(address).store(m * k * item_size(wide))
    target = place_in(address, offset)
    for i in range(m):
        source = first + i * down
        for _ in range(k):
            store(target, number_at(source, like), wide)
            source += right
            target += item_size(wide)
    return offset


@kernel
def factor(address: Any, place: Any, a: Any, like: Any) -> Any:
    """Return a matrix given by its layout as an array: of its copy in the arena, or of itself."""
    m, k, item = word(a, EXTENTS), word(a, EXTENTS + 1), item_size(like)
    if place >= 0 and item == item_size(wide_of(like)):
        return matrix_at(place_in(address, place), m, k, item * k, item, like)
    down, right = word(a, EXTENTS + 2), word(a, EXTENTS + 3)
    return matrix_at(word(a, FIRST), m, k, down, right, like)


@intrinsic
def matrix_at(
    typingctx: Any, first: Any, m: Any, n: Any, down: Any, right: Any, like: Any
) -> Any:  # fmt: skip
    """Return numbers at an address as a matrix, whose references are not counted."""
    view = types.Array(like, 2, "A")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return array_over(context, builder, view, args[0], args[1:3], args[3:5])

    return view(*(types.int64,) * 5, like), codegen


@kernel
def product_adjoint(address: Any, block: Any, lane: Any, width: Any, like: Any) -> None:
    """Add C_bar B^T to the adjoints of A and A^T C_bar to those of B."""
    first, offset = block_rows(address, block)
    data, item = load(address, offset, ProductData), item_size(like)
    m, k, n = data.m, data.k, data.n
    adjoint = typed_view(tape_at(address).adjoint, like)
    place = data_address(adjoint) + (first * width + lane) * item
    bar = matrix_at(place, m, n, n * width * item, width * item, like)
    rows, other_rows = place_in(address, data.rows), place_in(address, data.other_rows)
    if word(rows, 0) > 0:
        b, row = -data.b if data.b < 0 else place_in(address, data.b), word(rows, 1)
        if n == 1 and row >= 0 and width == 1:
            add_outer(adjoint, row, bar[:, 0], array_at(b, k, like))
        else:
            more = careful_product(bar, matrix_at(b, n, k, item, n * item, like))
            add_to_rows(address, data.rows, more, lane, width, like)
    if word(other_rows, 0) > 0:
        first_of_a = -data.a if data.a < 0 else place_in(address, data.a)
        a = matrix_at(first_of_a, k, m, item, k * item, like)
        add_to_rows(address, data.other_rows, careful_product(a, bar), lane, width, like)


address_of_adjoint = adjoint_of(product_adjoint)


@kernel
def add_outer(adjoint: Any, row: Any, bar: Any, b: Any) -> None:
    """Add the products bar[i] b[j] for a matrix times a vector, without a temporary matrix."""
    k = b.size
    for i in range(bar.size):
        line, factor = adjoint[row + i * k : row + (i + 1) * k], bar[i]
        for j in range(k):
            line[j] = line[j] + strong_product(b[j], factor)
