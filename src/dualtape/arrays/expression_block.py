"""The block of an elementwise expression, or of a sum of one: its data and its adjoint.

For every element e and operand j with row r_j(e) and result row s(e), the adjoint adds
``partial_j(e) * adjoint[s(e)]`` to ``adjoint[r_j(e)]``.  Rows are not stored where they have equal
steps along every axis, as those of inputs, of results and of their views have: a step of 0 is that
of an operand that was broadcast, or of a result that is a sum.  Partials are stored, one plane for
each operand, so operands may be overwritten later; a partial that is the same number for all
elements is not.

Data in the arena, in words: number of operands, dimensions, elements behind the axis of a sum,
elements in all, offset of the planes, shape, steps of the result; for every operand the row of its
first element, steps, offset of the list of its rows (-1: steps hold), whether it has a plane, and
its constant partial if not.

Where a tape is to be read as a matrix, and where there are few elements, there is no block: the
same data are appended as statements.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..backend.jit import kernel
from ..numbers.layouts import DIMENSIONS, EXTENTS, FIRST, number_at, row_at, set_word, word
from ..reverse.blocks import (
    add_entry,
    adjoint_of,
    base_value,
    block_rows,
    close_statement,
    open_statement,
    place_in,
)
from ..reverse.borrowing import array_at
from ..reverse.sweep import strong_product
from ..tape.storage import tape_at, typed_view

HEAD = 5  # words before the shape
FLAGS = 3  # words of an operand after its row and steps
FEW = 8  # elements below which statements cost less than a block
OPERANDS, NDIM, INNER, ELEMENTS, PLANES = range(HEAD)


def words(ndim: int, operands: int) -> int:
    """Return the length of a head with this many operands: the first word of the next operand."""
    return HEAD + 2 * ndim + operands * (1 + ndim + FLAGS)


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
    set_word(place_in(address, head), PLANES, planes)
    return tape.rows, head, place_in(address, head), place_in(address, planes)


@kernel
def write_pattern(data: Any, ndim: Any, rows: Any) -> None:
    """Write the row of an operand's first element, and the steps of rows along every axis."""
    first, own = word(rows, FIRST), word(rows, DIMENSIONS)
    row = row_at(rows, first)
    set_word(data, 0, row)
    for d in range(ndim):
        step, k = 0, d - ndim + own
        if k >= 0 and word(rows, EXTENTS + k) > 1:
            step = row_at(rows, first + word(rows, EXTENTS + own + k)) - row
        set_word(data, 1 + d, step)


@kernel
def list_rows(address: Any, offset: Any, data: Any, rows: Any) -> None:
    """List the rows of an operand, whose data begin at word `data`, in the order of elements."""
    count, own = word(place_in(address, offset), ELEMENTS), word(rows, DIMENSIONS)
    list_offset = tape_at(address).store(8 * count)
    head, row_list = place_in(address, offset), place_in(address, list_offset)
    ndim = word(head, NDIM)
    for i in range(count):
        rest, place = i, word(rows, FIRST)
        for d in range(ndim - 1, ndim - own - 1, -1):
            k = d - ndim + own
            if word(rows, EXTENTS + k) > 1:
                place += rest % word(head, HEAD + d) * word(rows, EXTENTS + own + k)
            rest //= word(head, HEAD + d)
        set_word(row_list, i, row_at(rows, place))
    set_word(head, data + 1 + ndim, list_offset)


@kernel
def close_block(address: Any, offset: Any, results: Any, like: Any) -> None:
    """Enter the block, or append its statements."""
    tape = tape_at(address)
    if tape.scalarized or word(place_in(address, offset), ELEMENTS) < FEW:
        append_statements(address, offset, results, like)
        tape.arena_used = offset
    else:
        first = tape.reserve(results)
        tape.add_block(first, first + results, address_of_adjoint(like), offset)


@kernel
def elementwise_adjoint(address: Any, block: Any, lane: Any, width: Any, like: Any) -> None:
    """Add to the adjoints of all operands."""
    first, offset = block_rows(address, block)
    head = place_in(address, offset)
    ndim, elements, plane = word(head, NDIM), word(head, ELEMENTS), word(head, PLANES)
    data = head + 8 * (HEAD + 2 * ndim)
    for _ in range(word(head, OPERANDS)):
        list_offset, has_plane = word(data, 1 + ndim), word(data, 2 + ndim)
        partial = array_at(place_in(address, plane), has_plane * elements, like)
        if list_offset >= 0:
            rows = array_at(place_in(address, list_offset), elements, elements)
            add_by_list(address, head, first, rows, partial, data, lane, width, like)
        else:
            add_steps(address, head, first, partial, data, lane, width, like)
        plane += elements * tape_at(address).item
        data += 8 * (1 + ndim + FLAGS)


address_of_adjoint = adjoint_of(elementwise_adjoint)


@kernel
def add_by_list(
    address: Any, head: Any, first: Any, rows: Any, partial: Any, data: Any, lane: Any, width: Any,
    like: Any,
) -> None:  # fmt: skip
    """Add to the adjoints of listed rows; row 0, that of constants, is skipped."""
    adjoint, ndim = typed_view(tape_at(address).adjoint, like), word(head, NDIM)
    constant = float_of_bits(word(data, 3 + ndim))
    for i in range(rows.size):
        if rows[i] > 0:
            rest, result = i, first
            for d in range(ndim - 1, -1, -1):
                result += rest % word(head, HEAD + d) * word(head, HEAD + ndim + d)
                rest //= word(head, HEAD + d)
            bar, row = adjoint[result * width + lane], rows[i] * width + lane
            if partial.size > 0:
                adjoint[row] = adjoint[row] + strong_product(partial[i], bar)
            else:
                adjoint[row] = adjoint[row] + bar * constant


@kernel
def add_steps(
    address: Any, head: Any, first: Any, partial: Any, data: Any, lane: Any, width: Any, like: Any
) -> None:
    """Add to the adjoints of rows with equal steps, a line of elements at a time."""
    adjoint, ndim = typed_view(tape_at(address).adjoint, like), word(head, NDIM)
    d = ndim - 1
    inner, s, t = word(head, HEAD + d), word(data, 1 + d), word(head, HEAD + ndim + d)
    # Merge axes into one line, from the last one outward.  Element (i, k) of the axes (d - 1, d),
    # with `inner` elements in axis d, has the row i * outer + k * s.  If outer == s * inner, this
    # is s * (i * inner + k): one axis of step s in which i * inner + k runs through all elements.
    # The same must hold for the result rows, with the steps `step` and t.  An axis of one element
    # has no step that counts: an inner one takes over the outer steps, an outer one is skipped.
    is_constant = word(data, 0) == 0 and s == 0
    while d > 0:
        n, outer, step = word(head, HEAD + d - 1), word(data, d), word(head, HEAD + ndim + d - 1)
        if inner == 1:
            s, t = outer, step
        elif n != 1 and (outer != s * inner or step != t * inner):
            break
        inner *= n
        d -= 1
    lines = 1
    for k in range(d):
        lines *= word(head, HEAD + k)
        is_constant = is_constant and word(data, 1 + k) == 0
    if is_constant:
        return
    constant = float_of_bits(word(data, 3 + ndim))
    for line in range(lines):
        rest, row, result = line, word(data, 0), first
        for k in range(d - 1, -1, -1):
            i = rest % word(head, HEAD + k)
            row += i * word(data, 1 + k)
            result += i * word(head, HEAD + ndim + k)
            rest //= word(head, HEAD + k)
        row, result = row * width + lane, result * width + lane
        if partial.size > 0:
            line_partial = partial[line * inner : (line + 1) * inner]
            add_line(adjoint, row, s * width, result, t * width, line_partial)
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
            index = row + s * i
            adjoint[index] = adjoint[index] + strong_product(partial[i], adjoint[result + t * i])


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
    elif s == 1 and t == 0:
        out, more = adjoint[row : row + n], adjoint[result] * partial
        for i in range(n):
            out[i] = out[i] + more
    else:
        for i in range(n):
            index = row + s * i
            adjoint[index] = adjoint[index] + adjoint[result + t * i] * partial


@kernel
def append_statements(address: Any, offset: Any, results: Any, like: Any) -> None:
    """Append the statements of an expression's results."""
    head = place_in(address, offset)
    ndim, count, inner = word(head, NDIM), word(head, OPERANDS), word(head, INNER)
    each = word(head, ELEMENTS) // results
    for r in range(results):
        open_statement(address, each * count)
        for q in range(each):
            i = (r // inner * each + q) * inner + r % inner
            data = head + 8 * (HEAD + 2 * ndim)
            for j in range(count):
                add_element(address, head, data, j, i, like)
                data += 8 * (1 + ndim + FLAGS)
        close_statement(address)


@kernel
def add_element(address: Any, head: Any, data: Any, j: Any, i: Any, like: Any) -> None:
    """Add the entry of operand j of element i to the open statement."""
    ndim = word(head, NDIM)
    list_offset, has_plane = word(data, 1 + ndim), word(data, 2 + ndim)
    if list_offset >= 0:
        row = word(place_in(address, list_offset), i)
    else:
        rest, row = i, word(data, 0)
        for d in range(ndim - 1, -1, -1):
            row += rest % word(head, HEAD + d) * word(data, 1 + d)
            rest //= word(head, HEAD + d)
    if has_plane:
        place = word(head, PLANES) + (j * word(head, ELEMENTS) + i) * tape_at(address).item
        add_entry(address, row, number_at(place_in(address, place), like))
    else:
        constant = float_of_bits(word(data, 3 + ndim))
        if constant != 0.0:
            add_entry(address, row, base_value(constant, like))
