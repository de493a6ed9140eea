"""The block of an elementwise expression, or of a sum of one: its data and its adjoint.

For every element e and operand j with row r_j(e) and result row s(e), the adjoint adds
``partial_j(e) * adjoint[s(e)]`` to ``adjoint[r_j(e)]``.  Rows are not stored where they have equal
steps along every axis, as those of inputs, of results and of their views have: a step of 0 is that
of an operand that was broadcast, or of a result that is a sum.  Partials are stored, one plane for
each operand, so operands may be overwritten later; a partial that is the same number for all
elements is not.

Data in the arena, in words: number of operands, dimensions, elements behind the axis of a sum,
shape, steps of the result; for every operand the row of its first element, steps, offset of the
list of its rows (-1: steps hold), whether it has a plane, and its constant partial if not.  The
planes follow.

Where a tape is to be read as a matrix, and where there are few elements, there is no block: the
same data are spelled out as statements.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

from ._jit import kernel
from .blocks import (
    add_entry,
    adjoint_address,
    block_rows,
    close_statement,
    load_array,
    open_statement,
)
from .sweeps import strong_product
from .tape import tape_at, typed_view

__all__ = ["FLAGS", "HEAD", "close_block", "list_rows", "open_block", "words", "write_pattern"]

HEAD = 3  # words before the shape
FLAGS = 3  # words of an operand behind its row and steps
FEW = 8  # elements below which statements cost less than a block


@register_jitable
def words(ndim: Any, operands: Any) -> Any:
    """Return the length of a head with this many operands: where the next one begins."""
    return HEAD + 2 * ndim + operands * (1 + ndim + FLAGS)


@intrinsic
def data_address(typingctx: Any, a: Any) -> Any:
    """Return the address of an array's first element."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(a)(context, builder, args[0]).data
        return builder.ptrtoint(data, ir.IntType(64))

    return types.int64(a), codegen


@intrinsic
def row_at(typingctx: Any, a: Any, offset: Any) -> Any:
    """Return the row of the element that many bytes behind an array's first."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        data = context.make_array(a)(context, builder, args[0]).data
        pointer = cgutils.pointer_add(builder, data, args[1])
        number = context.unpack_value(builder, a.dtype, pointer)
        return context.make_helper(builder, a.dtype, value=number).m_row

    return types.int64(a, types.int64), codegen


@intrinsic
def float_of_bits(typingctx: Any, bits: Any) -> Any:
    """Return the double with these bits."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), codegen


@kernel
def open_block(address: Any, length: Any, partials: Any) -> Any:
    """Make room for a head and planes.

    Return the row of the first result, the offset of the head, and the addresses of both.
    """
    tape = tape_at(address)
    head = tape.store(8 * length)
    planes = tape.store(tape.item * partials)
    begin = data_address(tape.arena)
    return tape.rows, head, begin + head, begin + planes


@kernel
def write_pattern(address: Any, at: Any, ndim: Any, a: Any) -> None:
    """Write the row of an operand's first element, and by how much rows grow along every axis."""
    told = load_array(address, at, 1 + ndim, np.int64(0))
    first = row_at(a, 0)
    told[:] = 0
    told[0] = first
    for d in range(a.ndim):
        if a.shape[d] > 1:
            told[1 + ndim - a.ndim + d] = row_at(a, a.strides[d]) - first


@kernel
def list_rows(address: Any, head: Any, at: Any, a: Any) -> None:
    """List the rows of an operand in the order of elements."""
    ndim, count = load_array(address, head, 2, np.int64(0))[1], elements_of(address, head)
    listed = tape_at(address).store(8 * count)
    rows = load_array(address, listed, count, np.int64(0))
    shape = load_array(address, head + 8 * HEAD, ndim, np.int64(0))  # the arena may have moved
    for i in range(count):
        rest, offset = i, 0
        for d in range(ndim - 1, ndim - a.ndim - 1, -1):
            k = d - ndim + a.ndim
            if a.shape[k] > 1:
                offset += rest % shape[d] * a.strides[k]
            rest //= shape[d]
        rows[i] = row_at(a, offset)
    load_array(address, at, 2 + ndim, np.int64(0))[1 + ndim] = listed


@kernel
def close_block(address: Any, head: Any, results: Any, like: Any) -> None:
    """Enter the block, or the statements that stand for it."""
    tape = tape_at(address)
    if tape.spelled or elements_of(address, head) < FEW:
        spell_out(address, head, results, like)
        tape.arena_used = head
    else:
        first = tape.reserve(results)
        tape.add_block(first, first + results, adjoint_address(elementwise_adjoint, like), head)


@kernel
def elements_of(address: Any, head: Any) -> Any:
    """Return how many elements there are."""
    ndim, elements = load_array(address, head, 2, np.int64(0))[1], 1
    for extent in load_array(address, head + 8 * HEAD, ndim, np.int64(0)):
        elements *= extent
    return elements


@kernel
def head_of(address: Any, head: Any) -> Any:
    """Return the head, its number of operands and of dimensions, and the offset of the planes."""
    told = load_array(address, head, 2, np.int64(0))
    count, ndim = told[0], told[1]
    length = words(ndim, count)
    planes = head + (8 * length + 31) // 32 * 32
    return load_array(address, head, length, np.int64(0)), count, ndim, planes


@kernel
def elementwise_adjoint(address: Any, block: Any, lane: Any, width: Any, like: Any) -> None:
    """Add to the adjoints of all operands."""
    first, offset = block_rows(address, block)
    head, count, ndim, planes = head_of(address, offset)
    elements, item = elements_of(address, offset), tape_at(address).item
    for j in range(count):
        at = words(ndim, j)
        pattern, flags = head[at : at + 1 + ndim], head[at + 1 + ndim : at + 1 + ndim + FLAGS]
        plane = load_array(address, planes + j * elements * item, flags[1] * elements, like)
        if flags[0] >= 0:
            rows = load_array(address, flags[0], elements, np.int64(0))
            add_listed(address, head, first, rows, plane, flags, lane, width, like)
        elif pattern.any():
            add_steps(address, head, first, pattern, plane, flags, lane, width, like)


@kernel
def add_listed(
    address: Any, head: Any, first: Any, rows: Any, plane: Any, flags: Any, lane: Any, width: Any,
    like: Any,
) -> None:  # fmt: skip
    """Add to the adjoints of listed rows; row 0, that of constants, is left out."""
    adjoint, ndim = typed_view(tape_at(address).adjoint, like), head[1]
    constant = float_of_bits(flags[2])
    for i in range(rows.size):
        if rows[i] > 0:
            rest, result = i, first
            for d in range(ndim - 1, -1, -1):
                result += rest % head[HEAD + d] * head[HEAD + ndim + d]
                rest //= head[HEAD + d]
            bar, at = adjoint[result * width + lane], rows[i] * width + lane
            if flags[1]:
                adjoint[at] = adjoint[at] + strong_product(plane[i], bar)
            else:
                adjoint[at] = adjoint[at] + bar * constant


@kernel
def add_steps(
    address: Any, head: Any, first: Any, pattern: Any, plane: Any, flags: Any, lane: Any,
    width: Any, like: Any,
) -> None:  # fmt: skip
    """Add to the adjoints of rows with equal steps, a line of elements at a time."""
    adjoint, ndim = typed_view(tape_at(address).adjoint, like), head[1]
    d = ndim - 1
    inner, s, t = head[HEAD + d], pattern[1 + d], head[HEAD + ndim + d]
    while d > 0:
        below, outer, step = head[HEAD + d - 1], pattern[d], head[HEAD + ndim + d - 1]
        if inner == 1:
            s, t = outer, step
        elif below != 1 and (outer != s * inner or step != t * inner):
            break
        inner *= below
        d -= 1
    lines = 1
    for k in range(d):
        lines *= head[HEAD + k]
    constant = float_of_bits(flags[2])
    for line in range(lines):
        rest, row, result = line, pattern[0], first
        for k in range(d - 1, -1, -1):
            i = rest % head[HEAD + k]
            row += i * pattern[1 + k]
            result += i * head[HEAD + ndim + k]
            rest //= head[HEAD + k]
        row, result = row * width + lane, result * width + lane
        if flags[1]:
            partial = plane[line * inner : (line + 1) * inner]
            add_line(adjoint, row, s * width, result, t * width, partial)
        else:
            add_constant_line(adjoint, row, s * width, result, t * width, constant, inner)


@kernel
def add_line(adjoint: Any, row: Any, s: Any, result: Any, t: Any, partial: Any) -> None:
    """Add partial[i] * adjoint[result + t i] to adjoint[row + s i]."""
    n = partial.size
    if s == 1 and t == 1:
        out, bar = adjoint[row : row + n], adjoint[result : result + n]
        for i in range(n):
            out[i] = out[i] + strong_product(partial[i], bar[i])
    elif s == 1 and t == 0:
        out, single = adjoint[row : row + n], adjoint[result]
        for i in range(n):
            out[i] = out[i] + strong_product(partial[i], single)
    elif s == 0:
        total = adjoint[row]
        for i in range(n):
            total = total + strong_product(partial[i], adjoint[result + t * i])
        adjoint[row] = total
    else:
        for i in range(n):
            at = row + s * i
            adjoint[at] = adjoint[at] + strong_product(partial[i], adjoint[result + t * i])


@kernel
def add_constant_line(
    adjoint: Any, row: Any, s: Any, result: Any, t: Any, partial: Any, n: Any
) -> None:
    """Add partial * adjoint[result + t i] to adjoint[row + s i]."""
    if partial == 0.0:
        return
    if s == 1 and t == 1:
        out, bar = adjoint[row : row + n], adjoint[result : result + n]
        for i in range(n):
            out[i] = out[i] + bar[i] * partial
    else:
        for i in range(n):
            at = row + s * i
            adjoint[at] = adjoint[at] + adjoint[result + t * i] * partial


@kernel
def spell_out(address: Any, offset: Any, results: Any, like: Any) -> None:
    """Append the statements of an expression's results."""
    head, count, _, planes = head_of(address, offset)
    elements = elements_of(address, offset)
    each, inner = elements // results, head[2]
    for r in range(results):
        open_statement(address, each * count)
        for q in range(each):
            i = (r // inner * each + q) * inner + r % inner
            for j in range(count):
                add_element(address, head, planes, j, i, elements, like)
        close_statement(address)


@kernel
def add_element(
    address: Any, head: Any, planes: Any, j: Any, i: Any, elements: Any, like: Any
) -> None:
    """Add the entry of operand j of element i to the statement that is open."""
    ndim = head[1]
    at = words(ndim, j)
    listed, has_plane = head[at + 1 + ndim], head[at + 2 + ndim]
    if listed >= 0:
        row = load_array(address, listed, elements, np.int64(0))[i]
    else:
        rest, row = i, head[at]
        for d in range(ndim - 1, -1, -1):
            row += rest % head[HEAD + d] * head[at + 1 + d]
            rest //= head[HEAD + d]
    if has_plane:
        item = tape_at(address).item
        add_entry(address, row, load_array(address, planes + (j * elements + i) * item, 1, like)[0])
    else:
        constant = float_of_bits(head[at + 3 + ndim])
        if constant != 0.0:
            add_entry(address, row, like * 0.0 + constant)
