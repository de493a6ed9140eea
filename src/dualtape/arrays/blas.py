"""Products of matrices of floats: one kernel for all arrays, given by their layouts (`layouts`).

BLAS gets matrices without a copy, with its transpose flags, where either rows or columns are
contiguous and do not overlap; others are copied first.  Its matrices are stored by columns, so it
computes C^T = B^T A^T.

Where an exact zero has to stay zero beside infinities and NaNs (see `reverse.sweep`), the product
is computed by BLAS, and again by loops if it is not finite.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..backend.allocation import new_array
from ..backend.calls import call_apart, invoke
from ..backend.fortran import FLIPPED, PLAIN, as_pointer, fortran
from ..backend.jit import kernel
from ..numbers.access import as_number, empty_numbers
from ..numbers.layouts import EXTENTS, FIRST, emit_layout, hold, layout_of, number_at, store, word
from ..numbers.types import NumberType
from ..tape.storage import item_size

NOT_FITTING = "incompatible array sizes for np.dot(a, b)"
LARGEST = 2**31 - 1  # BLAS counts with 32 bits

# Time of loops / time of BLAS with one thread, square matrices of doubles in one run:
#     n                    2      3      4      5      6      8     10     12
#     n by n            0.06   0.14   0.32   0.49   0.65    3.9    3.3    4.8
#     times a vector    0.06   0.09   0.12   0.16   0.19   0.36   0.45   0.63
SMALL = 200  # number of products of elements up to which loops are used


@kernel
def multiply(careful: Any, a: Any, b: Any, c: Any, like: Any) -> None:
    """Store A B at the address c in row-major order, for matrices of floats given by layouts."""
    m, k, n = word(a, EXTENTS), word(a, EXTENTS + 1), word(b, EXTENTS + 1)
    if m * k * n <= SMALL or m > LARGEST or k > LARGEST or n > LARGEST:
        multiply_by_loops(careful, a, b, c, like)
        return
    is_ready, is_other_ready = leading(a, like) != 0, leading(b, like) != 0
    if is_ready and is_other_ready:
        multiply_by_blas(a, b, c, like)
    else:
        x, y = copy_matrix(a, not is_ready, like), copy_matrix(b, not is_other_ready, like)
        multiply_by_blas(
            a if is_ready else layout_of(x), b if is_other_ready else layout_of(y), c, like
        )
        hold(x)
        hold(y)
    if careful:
        s = 0.0
        for i in range(m * n):
            s += number_at(c + i * item_size(like), like)
        if s - s != 0.0:  # inf or nan: skip the products with an exact zero
            multiply_by_loops(careful, a, b, c, like)


@kernel
def multiply_by_loops(careful: Any, a: Any, b: Any, c: Any, like: Any) -> None:
    """Store A B at an address; with `careful`, an exact zero stays zero."""
    m, k, n = word(a, EXTENTS), word(a, EXTENTS + 1), word(b, EXTENTS + 1)
    a_down, a_right = word(a, EXTENTS + 2), word(a, EXTENTS + 3)
    b_down, b_right = word(b, EXTENTS + 2), word(b, EXTENTS + 3)
    none = as_number(0.0, like)
    for i in range(m):
        for j in range(n):
            s, x, y = none, word(a, FIRST) + i * a_down, word(b, FIRST) + j * b_right
            for _ in range(k):
                p, q = number_at(x, like), number_at(y, like)
                if not careful or (p != 0.0 and q != 0.0):
                    s += p * q
                x += a_right
                y += b_down
            store(c, s, like)
            c += item_size(like)


@kernel
def leading(a: Any, like: Any) -> int:
    """Return BLAS's leading dimension of a matrix: negative if columns are contiguous, 0 if none.

    Overlapping rows, such as those of a sliding window, have none.
    """
    lines, length, item, sign = word(a, EXTENTS), word(a, EXTENTS + 1), item_size(like), 1
    row_step, column_step = word(a, EXTENTS + 2), word(a, EXTENTS + 3)
    if column_step != item and length != 1:
        if row_step != item and lines != 1:
            return 0
        lines, length, row_step, sign = length, lines, column_step, -1
    if lines == 1:
        return sign * length
    if row_step % item != 0 or row_step < length * item or row_step > LARGEST * item:
        return 0
    return sign * (row_step // item)


@kernel
def copy_matrix(a: Any, is_needed: Any, like: Any) -> Any:
    """Return a contiguous copy of a matrix given by its layout; an empty one if not needed."""
    m, n = word(a, EXTENTS) if is_needed else 0, word(a, EXTENTS + 1)
    out = empty_numbers((m, n), like)
    for i in range(m):
        x = word(a, FIRST) + i * word(a, EXTENTS + 2)
        for j in range(n):
            out[i, j] = number_at(x, like)
            x += word(a, EXTENTS + 3)
    return out


@kernel
def multiply_by_blas(a: Any, b: Any, c: Any, like: Any) -> None:
    """Store A B at an address, for matrices with leading dimensions.

    A matrix of one row or column is a vector, with which BLAS is quicker.
    """
    m, k, n = word(a, EXTENTS), word(a, EXTENTS + 1), word(b, EXTENTS + 1)
    lda, ldb, item = leading(a, like), leading(b, like), item_size(like)
    x, y, z = (
        as_pointer(word(a, FIRST), like),
        as_pointer(word(b, FIRST), like),
        as_pointer(c, like),
    )
    one, none = as_number(1.0, like), as_number(0.0, like)
    if n == 1:
        step = word(b, EXTENTS + 2) // item
        if lda > 0:
            fortran("gemv", (FLIPPED, k, m, one, x, lda, y, step, none, z, 1))
        else:
            fortran("gemv", (PLAIN, m, k, one, x, -lda, y, step, none, z, 1))
    elif m == 1:
        step = word(a, EXTENTS + 3) // item
        if ldb > 0:
            fortran("gemv", (PLAIN, n, k, one, y, ldb, x, step, none, z, 1))
        else:
            fortran("gemv", (FLIPPED, k, n, one, y, -ldb, x, step, none, z, 1))
    else:
        side, other = FLIPPED if ldb < 0 else PLAIN, FLIPPED if lda < 0 else PLAIN
        fortran("gemm", (side, other, n, m, k, one, y, abs(ldb), x, abs(lda), none, z, n))


# Products of arrays


def emit_product(context: Any, builder: Any, arg_types: Any, args: Any, careful: int) -> Any:
    """Emit the product of two matrices of floats of one type; return it."""
    dtype, pairs = arg_types[0].dtype, list(zip(arg_types, args, strict=True))
    x, y = (context.make_array(ty)(context, builder, v) for ty, v in pairs)
    (m, k), (other, n) = (cgutils.unpack_tuple(builder, array.shape) for array in (x, y))
    with cgutils.if_unlikely(builder, builder.icmp_signed("!=", k, other)):
        context.call_conv.return_user_exc(builder, ValueError, (NOT_FITTING,))
    result = new_array(context, builder, types.Array(dtype, 2, "C"), [m, n])
    values = [ir.Constant(ir.IntType(64), careful)]
    values += [emit_layout(context, builder, ty, v) for ty, v in pairs]
    values += [builder.ptrtoint(result.data, values[0].type), context.get_constant_null(dtype)]
    call_apart(context, builder, multiply, (*(types.int64,) * 4, dtype), values)
    return result._getvalue()


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
def matrix_product(typingctx: Any, a: Any, b: Any) -> Any:
    """Product of matrices of floats of one type, or of numbers."""
    return _product(typingctx, a, b, 0)


@intrinsic
def careful_product(typingctx: Any, a: Any, b: Any) -> Any:
    """Product of matrices in which an exact zero stays zero."""
    return _product(typingctx, a, b, 1)
