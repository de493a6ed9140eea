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
from numba.extending import intrinsic

from ._jit import kernel, specialized
from .adjoints import row_of, tracked
from .blocks import (
    add_entry,
    add_to_rows,
    adjoint_address,
    adjoint_of_rows,
    adjoint_window,
    base_array,
    base_value,
    block_rows,
    close_statement,
    has_rows,
    load_array,
    open_statement,
    store_array,
    store_rows,
    tape_of,
    tape_on,
)
from .borrowing import keep_array, kept_array
from .numbertype import NumberType, level, partial_type, promote
from .seed import as_number, empty_numbers, flat_view
from .sweeps import strong_product
from .tape import tape_at, typed_view

__all__ = ["is_tracked_product", "tracked_dot", "tracked_product", "tracked_sum"]


def is_tracked_product(a: Any, b: Any) -> bool:
    """Whether the result of a product of two arrays belongs to a tape."""
    return bool(promote([a.dtype, b.dtype]).slots)


def number_like(a: Any, b: Any) -> Any:
    """Return a passive zero of the type of products of elements (compiled code only)."""
    raise NotImplementedError


@specialized(number_like)
def _number_like(a: Any, b: Any) -> Any:
    return _zero_maker(promote([a.dtype, b.dtype]))


def _zero_maker(number: Any) -> Any:
    @intrinsic
    def zero(typingctx: Any) -> Any:
        return number(), lambda context, builder, sig, args: context.get_constant_null(number)

    return lambda a, b: zero()


@intrinsic
def base_like(typingctx: Any, number: Any) -> Any:
    """Return a zero of a number's base type."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant_null(sig.return_type)

    return number.base(number), codegen


@intrinsic
def wide_of(typingctx: Any, number: Any) -> Any:
    """Return a zero of the type of the partials on the tape of a number."""
    wide = partial_type(number.base)
    return wide(number), lambda context, builder, sig, args: context.get_constant_null(wide)


@kernel
def tape_of_two(a: Any, b: Any, number: Any) -> int:
    """Return the tape of the first element of the type of `number`; 0 if all are constant."""
    found = tape_on(a, number)
    return found if found != 0 else tape_on(b, number)


@kernel
def tracked_product(a: Any, b: Any) -> Any:
    """Product of two matrices as a block; it keeps the factors of what is not constant."""
    if a.shape[1] != b.shape[0]:
        raise ValueError("incompatible array sizes for np.dot(a, b)")
    number = number_like(a, b)
    like, wide = base_like(number), wide_of(number)
    address = tape_of_two(a, b, number)
    shape = np.array([a.shape[0], a.shape[1], b.shape[1], 0, 0, -1, -1])
    if address != 0:
        shape[3] = store_rows(address, a, number)
        shape[4] = store_rows(address, b, number)
        if has_rows(address, shape[4]):
            shape[5] = keep_array(address, a, wide)
        if has_rows(address, shape[3]):
            shape[6] = keep_array(address, b, wide)
    a0, b0 = factor_of(address, shape[5], a, like), factor_of(address, shape[6], b, like)
    c = base_product(a0, b0)
    first, step = np.int64(0), np.int64(address != 0)
    if address != 0:
        tape = tape_at(address)
        first = tape.reserve(c.size)
        offset = store_array(address, shape, np.int64(0))
        tape.add_block(first, first + c.size, address_of_adjoint(wide), offset)
    out = empty_numbers(c.shape, number)
    flat, values = flat_view(out), flat_view(c)
    for i in range(flat.size):
        flat[i] = tracked(values[i], first + step * i, address, number)
    return out


def factor_of(address: Any, kept: Any, a: Any, like: Any) -> Any:
    """Return an array one level down: itself, what was kept of it, or a copy (compiled only)."""
    raise NotImplementedError


@specialized(factor_of)
def _factor_of(address: Any, kept: Any, a: Any, like: Any) -> Any:
    if a.dtype == like:
        return lambda address, kept, a, like: a
    if partial_type(like) != like:
        return lambda address, kept, a, like: base_array(a, like)

    def kept_or_copied(address: Any, kept: Any, a: Any, like: Any) -> Any:
        if kept >= 0:
            return load_array(address, kept, a.size, like).reshape(a.shape)
        return base_array(a, like)

    return kept_or_copied


def base_product(a: Any, b: Any) -> Any:
    """Product of matrices one level down (compiled code only)."""
    raise NotImplementedError


@specialized(base_product)
def _base_product(a: Any, b: Any) -> Any:
    number = promote([a.dtype, b.dtype])
    if not isinstance(number, NumberType):
        return lambda a, b: plain_product(a, b)
    if not number.slots:
        return lambda a, b: np.dot(a, b)
    below = tracked_product.at(number.level)
    return lambda a, b: below(a, b)


@kernel
def plain_product(a: Any, b: Any) -> Any:
    """Product of matrices of floats; those of one row or column are vectors to BLAS."""
    if b.shape[1] == 1:
        return np.dot(a, np.ascontiguousarray(b).reshape(b.size)).reshape((a.shape[0], 1))
    if a.shape[0] == 1:
        return np.dot(np.ascontiguousarray(a).reshape(a.size), b).reshape((1, b.shape[1]))
    return np.dot(a, b)


def address_of_adjoint(like: Any) -> int:
    """Return the address of `product_adjoint` for a base type (compiled code only)."""
    raise NotImplementedError


@specialized(address_of_adjoint)
def _address_of_adjoint(like: Any) -> Any:
    made = product_adjoint.at(level(like))
    return lambda like: adjoint_address(made, like)


@kernel
def product_adjoint(address: Any, block: Any, lane: Any, width: Any, like: Any) -> None:
    """Add C_bar B^T to the adjoints of A and A^T C_bar to those of B."""
    first, offset = block_rows(address, block)
    head = load_array(address, offset, 7, np.int64(0))
    m, k, n = head[0], head[1], head[2]
    adjoint = typed_view(tape_at(address).adjoint, like)
    bar = adjoint_window(adjoint, first, m * n, lane, width).reshape((m, n))
    if has_rows(address, head[3]):
        b = kept_array(address, head[6], k * n, like)
        window = adjoint_of_rows(address, head[3], adjoint, width)
        if n == 1 and window.size > 0:
            add_outer(window, bar.reshape(m), b)
        else:
            more = times(bar, b.reshape((k, n)).T)
            add_to_rows(address, head[3], adjoint, more, lane, width)
    if has_rows(address, head[4]):
        a = kept_array(address, head[5], m * k, like).reshape((m, k))
        add_to_rows(address, head[4], adjoint, times(a.T, bar), lane, width)


@kernel
def add_outer(window: Any, bar: Any, b: Any) -> None:
    """Add the products bar[i] b[j]: a matrix times a vector needs no matrix beside its adjoint."""
    k = b.size
    for i in range(bar.size):
        line, factor = window[i * k : (i + 1) * k], bar[i]
        for j in range(k):
            line[j] = line[j] + strong_product(b[j], factor)


def times(a: Any, b: Any) -> Any:
    """Product of matrices in which an exact zero stays zero (compiled code only)."""
    raise NotImplementedError


@specialized(times)
def _times(a: Any, b: Any) -> Any:
    if isinstance(promote([a.dtype, b.dtype]), NumberType):
        return lambda a, b: base_product(a, b)
    return lambda a, b: careful_product(a, b)


@kernel
def careful_product(a: Any, b: Any) -> Any:
    """Product of matrices of floats in which an exact zero stays zero."""
    c = plain_product(a, b)
    s = c.sum()
    if s - s != 0.0:  # inf or nan: only products with an exact zero may be left out
        for i in range(c.shape[0]):
            for j in range(c.shape[1]):
                c[i, j] = 0.0
                for k in range(a.shape[1]):
                    c[i, j] += strong_product(a[i, k], b[k, j])
    return c


@kernel
def tracked_dot(a: Any, b: Any) -> Any:
    """Product of two vectors as one statement."""
    if a.shape[0] != b.shape[0]:
        raise ValueError("incompatible array sizes for np.dot(a, b)")
    number = number_like(a, b)
    like = base_like(number)
    address = tape_of_two(a, b, number)
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
