"""Tangents of a loop over lines: for each result the sum of partials times tangents.

The function of a line computes results and partials of a chunk; tangents are added from there.  In
the records of a plan the origin is the distance from a value to its tangent.
"""

from __future__ import annotations

from typing import Any

from ..backend.allocation import larger, smaller
from ..backend.jit import kernel
from ..numbers.layouts import number_at, word
from ..reverse.borrowing import array_at
from ..reverse.sweep import strong_product
from .expression_block import float_of_bits
from .lines import (
    CONSTANT,
    FUNCTION,
    KEEP,
    KIND,
    NDIM,
    OPERANDS,
    ORIGIN,
    PLANES,
    SHAPE,
    SLOT,
    STRIDES,
    add_up,
    buffers,
    call_line,
    merge_axes,
    next_block,
    place_operands,
    prepare,
)

ITEM_SIZE = 8


@kernel
def run_dual_lines(plan: Any, table: Any, like: Any) -> None:
    """Run the loop that a plan describes, and the same for tangents."""
    merge_axes(plan)
    kind, planes = word(plan, KIND), word(plan, PLANES)
    m, n, room, blocks = prepare(plan, table, 2 + planes, ITEM_SIZE)
    memory = buffers()
    partials, buffer = memory + 2 * room, memory + room * (2 + planes)
    ndim, pointers = word(plan, NDIM), table + 8 * word(plan, OPERANDS)
    inner, outer = word(plan, SHAPE + ndim - 1), word(plan, SHAPE + ndim - 2)
    record = plan + 8 * (SHAPE + ndim)
    out_outer, out_step = word(record, STRIDES + ndim - 2), word(record, STRIDES + ndim - 1)
    distance = word(record, ORIGIN)
    for _ in range(blocks):
        for i in range(0, outer, m):
            lines = smaller(m, outer - i)
            for j in range(0, inner, n):
                elements = smaller(n, inner - j)
                place_operands(plan, table, i, j, lines, elements, buffer, room)
                target = word(pointers, 0) + i * out_outer + j * out_step
                total = lines * elements
                tangents = memory + room
                if kind == KEEP:
                    call_line(word(plan, FUNCTION), total, target, table, partials, room)
                    tangents = target + distance
                else:
                    call_line(word(plan, FUNCTION), total, memory, table, partials, room)
                    add_up(memory, lines, elements, target, out_outer, out_step, kind, like)
                add_tangents(plan, pointers, i, j, lines, elements, tangents, partials, room, like)
                if kind != KEEP:
                    place = target + distance
                    add_up(tangents, lines, elements, place, out_outer, out_step, kind, like)
        if ndim > 2:
            next_block(plan, table)


@kernel
def add_tangents(
    plan: Any, pointers: Any, outer_index: Any, index: Any, lines: Any, count: Any, out: Any,
    partials: Any, room: Any, like: Any,
) -> None:  # fmt: skip
    """Set the tangents of a chunk, one after another, to the sum over all operands."""
    ndim = word(plan, NDIM)
    size, last = 8 * (STRIDES + ndim), STRIDES + ndim - 1
    record = plan + 8 * (SHAPE + ndim)
    is_first = True
    for k in range(word(plan, OPERANDS)):
        record += size
        slot = word(record, SLOT)
        if slot != 0:
            outer, step, has_plane = word(record, last - 1), word(record, last), larger(slot, 0)
            source = word(pointers, 1 + k) + outer_index * outer + index * step
            source += word(record, ORIGIN)
            constant = float_of_bits(word(record, CONSTANT))
            for i in range(lines):
                place = partials + (slot - 1) * room + i * count * ITEM_SIZE
                partial = array_at(place, smaller(has_plane, 1) * count, like)
                target = array_at(out + i * count * ITEM_SIZE, count, like)
                add_tangent(target, partial, constant, source + i * outer, step, is_first, like)
            is_first = False
    if is_first:
        target = array_at(out, lines * count, like)
        for j in range(target.size):
            target[j] = 0.0


@kernel
def add_tangent(
    out: Any, partial: Any, constant: Any, source: Any, step: Any, is_first: Any, like: Any
) -> None:
    """Add partials, or a constant if there are none, times tangents with a step in bytes."""
    n = out.size
    if is_first:
        for j in range(n):
            out[j] = 0.0
    if step == ITEM_SIZE:
        tangent = array_at(source, n, like)
        if partial.size > 0:
            for j in range(n):
                out[j] = out[j] + strong_product(partial[j], tangent[j])
        else:
            for j in range(n):
                out[j] = out[j] + constant * tangent[j]
    elif partial.size > 0:
        for j in range(n):
            out[j] = out[j] + strong_product(partial[j], number_at(source + j * step, like))
    else:
        for j in range(n):
            out[j] = out[j] + constant * number_at(source + j * step, like)
