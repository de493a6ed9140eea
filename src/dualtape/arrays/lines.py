"""The loop of an expression of planes: lines of elements that follow one another.

Only the innermost loops are generated for an expression: functions of a line of elements, of
pointers to plain values that follow one another, which LLVM can vectorise.  Everything around
them - broadcasting, merging axes, strides, sums, adjoints - is one kernel, `run_lines`.

A *plan* describes the loop, in 64-bit words: its axes, the functions, and a record for the results
and for every operand (`ADDRESS` and the following words).  Axes that lie one after another in all
of them are merged.  The two inner axes are run in chunks that stay in the first-level cache;
operands whose elements do not follow one another in a chunk are copied to a buffer.

The adjoint of an expression that calls no function is the same loop: the plan is kept on the tape,
the partials of each chunk are computed anew into a buffer, and are multiplied from there.  Rows
follow from addresses (`plane_arrays`), and windows of adjoints may overlap, as those of x[1:] and
x[:-1] do: each operand's are added in a loop of its own.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..backend.allocation import larger, smaller
from ..backend.jit import kernel
from ..numbers.layouts import number_at, set_word, store, word
from ..reverse.borrowing import array_at
from ..tape.storage import item_size, tape_at, typed_view
from .expression_block import add_constant_line, add_line, float_of_bits

_I8, _I64 = ir.IntType(8), ir.IntType(64)
CHUNK = 512  # elements at a time, so that buffers stay in the first-level cache
BUFFER = 16384  # bytes of all buffers
KEEP, SUM, SUM_IN_ORDER = range(3)  # what becomes of results
NDIM, OPERANDS, WORDS, MEMORY, FUNCTION, ANEW, KIND = range(7)
PARTIALS, PLANES, PLANE, PARTIAL, SHAPE = range(7, 12)
"""Words of a plan: of the loop, and of the partials.

WORDS is the length of the plan, MEMORY that of the memory of `run_lines`.  FUNCTION computes the
results and, where ANEW is 0 and a tape records, the partials: their address is PARTIALS, there are
PLANES of PLANE bytes, and a partial has PARTIAL bytes.  Else ANEW computes them in the adjoint.
"""
ADDRESS, ITEM, ORIGIN, SLOT, CONSTANT, SIZE, OWNER, STRIDES = range(8)
"""Words of a record: the address of the first element; the size of an element, 0 where one value is
that of all; the origin of rows (the row itself where ITEM is 0); one more than the plane of the
partials, -1 where they are the number CONSTANT, 0 without; the size of the value where ITEM is 0,
else, in a run, whether chunks are copied to a buffer;
Numba's reference count of planes, -1 for an array that can be written to, -2 for one that cannot;
and the strides in bytes, 0 along axes to which the operand is broadcast."""
LINE_ARGS = (types.int64,) * 5
"""A line's function: number of elements, address of the results, table with the addresses of the
operands, address of the partials, bytes of a plane of them."""


def plan_words(ndim: int, operands: int) -> int:
    """Return the length of a plan: a head, the record of the result, and one for each operand."""
    return SHAPE + ndim + (1 + operands) * (STRIDES + ndim)


def table_words(ndim: int, operands: int) -> int:
    """Return the length of the memory of `run_lines`; see there."""
    return 4 * operands + 1 + ndim


def has_room(width: int, buffers: int) -> bool:
    """Whether so many buffers of numbers of `width` bytes have some elements each."""
    return BUFFER // (width * buffers) >= 8


@intrinsic
def call_line(
    typingctx: Any, function: Any, count: Any, result: Any, table: Any, partials: Any, plane: Any
) -> Any:  # fmt: skip
    """Call the function of a line by its address."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        convention = context.call_conv
        pointer = convention.get_function_type(types.none, LINE_ARGS).as_pointer()
        target = builder.inttoptr(args[0], pointer)
        status, _ = convention.call_function(builder, target, types.none, LINE_ARGS, args[1:])
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(*(types.int64,) * 6), codegen


@intrinsic
def buffers(typingctx: Any) -> Any:
    """Return the address of memory on the stack."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        with builder.goto_entry_block():  # not by cgutils, which clears it in every call
            place = builder.alloca(ir.ArrayType(_I64, BUFFER // 8))
        place.align = 64
        return builder.ptrtoint(place, _I64)

    return types.int64(), codegen


@intrinsic
def copy_bytes(typingctx: Any, target: Any, source: Any, count: Any) -> Any:
    """Copy bytes that do not overlap."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointers = [builder.inttoptr(address, _I8.as_pointer()) for address in args[:2]]
        cgutils.raw_memcpy(builder, *pointers, args[2], 1)
        return context.get_dummy_value()

    return types.none(types.int64, types.int64, types.int64), codegen


@kernel
def merge_axes(plan: Any) -> None:
    """Merge axes into the last one, from there outward, as long as all records allow it.

    Element (i, k) of the axes (d, last) with n elements in the last one lies at i * outer + k * s.
    If outer == s * n, this is s * (i * n + k): one axis of step s.  The axes further out move
    inward by one, and an axis of one element is left at the outside.
    """
    ndim, records = word(plan, NDIM), 1 + word(plan, OPERANDS)
    shape, size = plan + 8 * SHAPE, 8 * (STRIDES + ndim)
    first = shape + 8 * (ndim + STRIDES)
    d = last = ndim - 1
    while d > 0:
        d -= 1
        n, outer = word(shape, last), word(shape, d)
        fits = True
        for r in range(records):
            strides = first + r * size
            fits &= n == 1 or outer == 1 or word(strides, d) == word(strides, last) * n
        if fits:
            for r in range(records):
                strides = first + r * size
                if n == 1:
                    set_word(strides, last, word(strides, d))
                set_word(strides, d, 0)
            set_word(shape, last, n * outer)
            set_word(shape, d, 1)
        else:
            last -= 1
            if last != d:  # axes between were merged away
                for r in range(records):
                    strides = first + r * size
                    set_word(strides, last, word(strides, d))
                    set_word(strides, d, 0)
                set_word(shape, last, outer)
                set_word(shape, d, 1)


@kernel
def gather(source: Any, step: Any, item: Any, count: Any, target: Any) -> None:
    """Copy elements with a stride to a buffer, one after another."""
    if item == 8:
        for j in range(count):
            set_word(target, j, word(source + j * step, 0))
    else:
        for j in range(count):
            copy_bytes(target + j * item, source + j * step, item)


@kernel
def add_up(
    source: Any, lines: Any, count: Any, target: Any, outer: Any, step: Any, kind: Any, like: Any
) -> None:  # fmt: skip
    """Add lines of elements to those at a target.

    Each addition waits for the one before, so a long sum is made of eight, unless in order.
    """
    item = item_size(like)
    for _ in range(lines):
        if step == 0:
            s, eights = number_at(target, like), count // 8 if kind == SUM else 0
            if eights > 0:
                a = b = c = d = e = f = g = h = like * 0.0
                for j in range(eights):
                    place = source + j * 8 * item
                    a = a + number_at(place, like)
                    b = b + number_at(place + item, like)
                    c = c + number_at(place + 2 * item, like)
                    d = d + number_at(place + 3 * item, like)
                    e = e + number_at(place + 4 * item, like)
                    f = f + number_at(place + 5 * item, like)
                    g = g + number_at(place + 6 * item, like)
                    h = h + number_at(place + 7 * item, like)
                s = s + (((a + e) + (c + g)) + ((b + f) + (d + h)))
            for j in range(8 * eights, count):
                s = s + number_at(source + j * item, like)
            store(target, s, like)
        else:
            for j in range(count):
                s = number_at(target + j * step, like) + number_at(source + j * item, like)
                store(target + j * step, s, like)
        source += count * item
        target += outer


@kernel
def add_adjoints(
    address: Any, plan: Any, pointers: Any, outer_index: Any, index: Any, lines: Any, count: Any,
    partials: Any, room: Any, lane: Any, width: Any, like: Any,
) -> None:  # fmt: skip
    """Add the adjoints of a chunk, whose partials are in buffers `room` bytes apart."""
    adjoint = typed_view(tape_at(address).adjoint, like)
    ndim = word(plan, NDIM)
    size, last = 8 * (STRIDES + ndim), STRIDES + ndim - 1
    record = plan + 8 * (SHAPE + ndim)
    result, t_outer, t = lane, lane, lane  # of the results, which come first
    for k in range(word(plan, OPERANDS) + 1):
        slot = word(record, SLOT)
        if k == 0 or slot != 0:
            outer, step, item = word(record, last - 1), word(record, last), word(record, ITEM)
            row, origin = word(record, ORIGIN), word(record, ORIGIN)
            if item > 0:
                offset = word(pointers, k) + outer_index * outer + index * step - origin
                if item == 8:  # a division is slow
                    row, outer, step = offset >> 3, outer >> 3, step >> 3
                else:
                    row, outer, step = offset // item, outer // item, step // item
            row, outer, step = row * width + lane, outer * width, step * width
            if k == 0:
                result, t_outer, t = row, outer, step
            else:
                n, merged = count, lines
                if lines > 1 and outer == step * count and t_outer == t * count:
                    n, merged = lines * count, 1
                place = partials + (slot - 1) * room
                for i in range(merged):
                    from_row, to_row = result + i * t_outer, row + i * outer
                    if slot < 0:
                        constant = float_of_bits(word(record, CONSTANT))
                        add_constant_line(adjoint, to_row, step, from_row, t, constant, n)
                    else:
                        partial = array_at(place + i * n * item_size(like), n, like)
                        add_line(adjoint, to_row, step, from_row, t, partial)
        record += size


@kernel
def place_operands(
    plan: Any, table: Any, outer_index: Any, index: Any, lines: Any, count: Any, buffer: Any,
    room: Any,
) -> None:  # fmt: skip
    """Set the table to the addresses of a chunk's operands, copied to buffers where they must be.

    What a buffer contains is noted, as address and number of elements, and not copied again.
    """
    ndim, operands = word(plan, NDIM), word(plan, OPERANDS)
    size, last = 8 * (STRIDES + ndim), STRIDES + ndim - 1
    record = plan + 8 * (SHAPE + ndim)
    pointers = table + 8 * operands
    copied = pointers + 8 * (operands + 1)
    for k in range(operands):
        record += size
        place, item = word(pointers, 1 + k), word(record, ITEM)
        if item > 0:
            outer, step = word(record, last - 1), word(record, last)
            place += outer_index * outer + index * step
            if word(record, SIZE) != 0:
                if word(copied, 2 * k) != place or word(copied, 2 * k + 1) < lines * count:
                    for i in range(lines):
                        line = i * count * item
                        gather(place + i * outer, step, item, count, buffer + line)
                    set_word(copied, 2 * k, place)
                    set_word(copied, 2 * k + 1, lines * count)
                place = buffer
                buffer += room
        set_word(table, k, place)


@kernel
def prepare(plan: Any, table: Any, buffers: Any, width: Any) -> tuple[int, int, int, int]:
    """Set the memory of a run to its beginning, and choose the chunks.

    There are so many buffers of numbers of `width` bytes, and one for each operand that is copied.
    Return lines and elements of a chunk, the size of a buffer, and the number of blocks of the two
    inner axes.
    """
    ndim, count = word(plan, NDIM), word(plan, OPERANDS)
    size, last = 8 * (STRIDES + ndim), STRIDES + ndim - 1
    shape, pointers = plan + 8 * SHAPE, table + 8 * count
    inner, outer = word(shape, ndim - 1), word(shape, ndim - 2)
    is_tiled = 2 * inner <= CHUNK and outer > 1
    record = shape + 8 * ndim
    for k in range(count + 1):
        set_word(pointers, k, word(record, ADDRESS))
        item, step = word(record, ITEM), word(record, last)
        is_apart = step != item or (is_tiled and word(record, last - 1) != item * inner)
        if k > 0 and item > 0:
            set_word(record, SIZE, 0)
            if is_apart:  # in every chunk, so that a buffer belongs to one operand
                set_word(record, SIZE, 1)
                buffers += 1
                width = larger(width, item)
        record += size
    for k in range(2 * count + ndim - 2):
        set_word(pointers, count + 1 + k, 0)
    chunk = smaller(CHUNK, BUFFER // (width * larger(1, buffers)))
    n, m, blocks = smaller(chunk, larger(inner, 1)), 1, 1
    if is_tiled:
        m = larger(1, smaller(outer, chunk // larger(inner, 1)))
    for d in range(ndim - 2):
        blocks *= word(shape, d)
    return m, n, m * n * width, blocks


@kernel
def next_block(plan: Any, table: Any) -> None:
    """Move the addresses of the first elements to the next block of the two inner axes."""
    ndim, count = word(plan, NDIM), word(plan, OPERANDS)
    size, records = 8 * (STRIDES + ndim), plan + 8 * (SHAPE + ndim)
    pointers = table + 8 * count
    indices = pointers + 8 * (3 * count + 1)
    for d in range(ndim - 3, -1, -1):
        index, extent = word(indices, d) + 1, word(plan, SHAPE + d)
        back = extent if index == extent else 0
        set_word(indices, d, index - back)
        for k in range(count + 1):
            stride = word(records + k * size, STRIDES + d) * (1 - back)
            set_word(pointers, k, word(pointers, k) + stride)
        if back == 0:
            break


@kernel
def run_lines(plan: Any, table: Any, address: Any, lane: Any, width: Any, like: Any) -> None:
    """Run the loop that a plan describes, or with the address of a tape its adjoint.

    Results, or adjoints, have the type of `like`.  `table` is memory for the addresses of operands
    in a chunk, for those of the first elements of all records, for what buffers contain, and for
    the indices of the outer axes.
    """
    is_adjoint, function, kind = address != 0, word(plan, FUNCTION), word(plan, KIND)
    own = 0 if kind == KEEP and not is_adjoint else 1  # a buffer for results
    planes = 0
    if is_adjoint:
        function = word(plan, ANEW)
        planes = word(plan, PLANES) if function != 0 else 0
    else:
        merge_axes(plan)
    widest = larger(item_size(like), word(plan, PARTIAL))
    m, n, room, blocks = prepare(plan, table, own + planes, widest)
    memory = buffers()
    buffer = memory + room * (own + planes)
    partials, plane, partial = word(plan, PARTIALS), word(plan, PLANE), word(plan, PARTIAL)
    if planes > 0:
        partials, plane, partial = memory + room * own, room, 0
    ndim, pointers = word(plan, NDIM), table + 8 * word(plan, OPERANDS)
    inner, outer = word(plan, SHAPE + ndim - 1), word(plan, SHAPE + ndim - 2)
    strides = plan + 8 * (SHAPE + ndim + STRIDES)
    out_outer, out_step = word(strides, ndim - 2), word(strides, ndim - 1)
    for _ in range(blocks):
        for i in range(0, outer, m):
            lines = smaller(m, outer - i)
            for j in range(0, inner, n):
                elements = smaller(n, inner - j)
                total = lines * elements
                if function != 0:
                    place_operands(plan, table, i, j, lines, elements, buffer, room)
                target = word(pointers, 0) + i * out_outer + j * out_step
                if is_adjoint:
                    if function != 0:
                        call_line(function, total, memory, table, partials, plane)
                    add_adjoints(
                        address, plan, pointers, i, j, lines, elements, partials, plane, lane,
                        width, like,
                    )  # fmt: skip
                elif kind == KEEP:
                    call_line(function, total, target, table, partials, plane)
                else:
                    call_line(function, total, memory, table, partials, plane)
                    add_up(memory, lines, elements, target, out_outer, out_step, kind, like)
                partials += total * partial
        if ndim > 2:
            next_block(plan, table)
