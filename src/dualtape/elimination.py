"""The sparse Jacobian of a recording: a program made once per structure of the tape, then run.

Control flow is followed at every call, but most calls record rows with the same columns as the
call before.  A `Program` holds the structure it was made for; where a new recording has it too,
the values of the Jacobian are filled in without looking at patterns again, by one of three kernels:

* GATHER: every entry of the Jacobian is an entry of the tape, which is the sparse Jacobian itself;
* ELIMINATE: multiplications in the order of `dependence.elimination_plan`;
* SWEEP: reverse sweeps for groups of outputs that share no input, 8 or 4 at a time.

Otherwise a new program is made.  Which of elimination and sweeps is cheaper is decided by counted
multiplications, those of a sweep weighted by what they cost beside one of elimination.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ._jit import entry, kernel
from .adjoints import LANES_4, LANES_8
from .coloring import row_coloring, transpose
from .dependence import ONE, elimination_plan, pattern_by_bits, tape_arrays
from .sweeps import reverse_sweep, vector_sweep
from .tape import BLOCK_FIELDS, tape_at, typed_view

__all__ = ["EMPTY", "METHODS", "Program", "fill_from", "has_structure", "make_program", "new_data"]

METHODS = ("auto", "elimination", "coloring")
NOTHING, GATHER, ELIMINATE, SWEEP = range(4)
KIND, INPUTS, ROWS, ENTRIES, BLOCKS, SIZE, SCRATCH, COPIES, COLORS = range(9)
WEIGHTS = {8: 6.5, 4: 4.5, 1: 2.0}
"""Cost of an entry in a sweep of so many lanes, in multiplications of an elimination (1 ns).

Measured on recurrences of four entries a row, whose rows count as well.
"""
LARGEST = 2**31 - 1  # multiplications of a program


class Program(NamedTuple):
    """What makes a Jacobian of a recording of one structure.

    All parts are arrays of uint32, and stand in one array (`packed`) as the argument of a call:
    every array that Python passes costs as much as ten entries.

    Attributes
    ----------
    head : array
        Kind and sizes.
    structure : array
        Row ends, columns and blocks of the tape.
    outputs : array
        Rows of the outputs.
    a, b, c : array
        GATHER: the tape's entry for every entry of the Jacobian.  ELIMINATE: target, source and
        entry of every multiplication.  SWEEP: colors of the outputs, and the pattern.
    """

    head: Any
    structure: Any
    outputs: Any
    a: Any
    b: Any
    c: Any


_NONE = np.zeros(0, np.uint32)


def packed(program: Program) -> Any:
    """Return a program as one array: where each part ends, and the parts."""
    ends = len(program) + np.cumsum([part.size for part in program])
    return np.concatenate([ends, *program]).astype(np.uint32)


EMPTY = packed(Program(np.zeros(9, np.uint32), *[_NONE] * 5))


@kernel
def unpacked(words: Any) -> Any:
    """Return the program in an array."""
    return Program(
        words[6 : words[0]],
        words[words[0] : words[1]],
        words[words[1] : words[2]],
        words[words[2] : words[3]],
        words[words[3] : words[4]],
        words[words[4] : words[5]],
    )


@kernel
def has_structure(address: Any, outputs: Any, words: Any) -> Any:
    """Whether a recording has the structure that a program was made for."""
    program = unpacked(words)
    tape, head = tape_at(address), program.head
    if head[KIND] == NOTHING or tape.rows != head[ROWS] or tape.entries != head[ENTRIES]:
        return False
    if tape.blocks != head[BLOCKS] or outputs.size != program.outputs.size:
        return False
    known = program.structure
    differ = differences(tape.row_end, known, tape.rows)
    differ |= differences(tape.col, known[tape.rows :], tape.entries)
    for i in range(outputs.size):
        differ |= np.uint32(outputs[i]) ^ program.outputs[i]
    at = tape.rows + tape.entries
    for k in range(tape.blocks):
        for side in range(2):
            differ |= np.uint32(tape.block[k * BLOCK_FIELDS + side]) ^ known[at]
            at += 1
    return differ == 0


@kernel
def differences(a: Any, b: Any, count: Any) -> Any:
    """Return the bits in which two arrays differ."""
    differ = np.uint32(0)
    for i in range(count):
        differ |= a[i] ^ b[i]
    return differ


@kernel
def new_data(matched: Any, words: Any) -> Any:
    """Return room for the entries of a Jacobian, none where the program does not match."""
    return np.empty(unpacked(words).head[SIZE] if matched else np.uint32(0), np.float64)


@kernel
def fill(address: Any, words: Any, data: Any) -> None:
    """Fill in the entries of the Jacobian of a recording of the program's structure."""
    program = unpacked(words)
    kind = program.head[KIND]
    if kind == GATHER:
        partial = typed_view(tape_at(address).partial, 0.0)
        for k in range(data.size):
            data[k] = partial[program.a[k]]
    elif kind == ELIMINATE:
        fill_by_elimination(address, program, data)
    else:
        fill_by_sweeps(address, program, data)


@kernel
def fill_by_elimination(address: Any, program: Any, data: Any) -> None:
    """Accumulate gradients of all needed rows; an exact zero stays zero."""
    partial = typed_view(tape_at(address).partial, 0.0)
    size, copies = data.size, np.int64(program.head[COPIES])
    gradient = np.zeros(size + np.int64(program.head[SCRATCH]) + 1)
    gradient[-1] = 1.0
    main = program.a.size - copies
    for k in range(main):
        p, g = partial[program.c[k]], gradient[program.b[k]]
        v = p * g
        if v == v or (p != 0.0 and g != 0.0):  # noqa: PLR0124  # else 0 times inf or nan
            gradient[program.a[k]] += v
    for k in range(main, main + copies):
        gradient[program.a[k]] = gradient[program.b[k]]
    data[:] = gradient[:size]


@kernel
def fill_by_sweeps(address: Any, program: Any, data: Any) -> None:
    """Sweep the tape for groups of outputs; see `lanes_for`."""
    colors, done = np.int64(program.head[COLORS]), 0
    while done < colors:
        width = lanes_for(colors - done)
        tape_at(address).clear_adjoints(width)
        adjoint = typed_view(tape_at(address).adjoint, 0.0)
        for i in range(program.outputs.size):
            lane, row = np.int64(program.a[i]) - done, np.int64(program.outputs[i])
            if 0 <= lane < width and row > 0:
                adjoint[row * width + lane] = 1.0
        first = 1 + np.int64(program.head[INPUTS])
        if width == 8:
            vector_sweep(address, first, 0.0, LANES_8)
        elif width == 4:
            vector_sweep(address, first, 0.0, LANES_4)
        else:
            reverse_sweep(address, first, 0.0)
        for i in range(program.outputs.size):
            lane = np.int64(program.a[i]) - done
            if 0 <= lane < width:
                for k in range(program.b[i], program.b[i + 1]):
                    data[k] = adjoint[(1 + np.int64(program.c[k])) * width + lane]
        done += width


@kernel
def lanes_for(colors: Any) -> Any:
    """Return how many lanes the next sweep has."""
    return 8 if colors > 4 else 4 if colors > 1 else 1


@entry
def _fill(address: Any, words: Any, data: Any) -> None:
    fill(address, words, data)


def fill_from(address: int, words: Any, size: int) -> Any:
    """Return the entries of the Jacobian of a recording, from Python."""
    data = np.empty(size)
    _fill(address, words, data)
    return data


def make_program(address: int, outputs: Any, n: int, method: str) -> tuple[Any, Any, Any]:
    """Return the program of a recording, in one array, and the pattern of its Jacobian.

    Parameters
    ----------
    address : int
        Of the tape.
    outputs : array
        Rows of the outputs.
    n : int
        How many inputs there are.
    method : {"auto", "elimination", "coloring"}
        "elimination" is followed as long as outputs do not need blocks.

    Returns
    -------
    words, indptr, indices
    """
    row_end, col, ranges = tape_arrays(address)
    most = sweep_cost(outputs.size, col.size)
    limit = LARGEST if method == "elimination" else int(min(most, LARGEST))
    found, needed, *plan = elimination_plan(row_end, col, ranges, outputs, n, limit)
    if found:
        indptr, indices, made = _arranged(outputs, n, plan)
    else:
        indptr, indices = pattern_by_bits(row_end, col, ranges, outputs, n)
    head = np.zeros(9, np.int64)
    head[[INPUTS, ROWS, ENTRIES, BLOCKS, SIZE]] = (
        n, row_end.size, col.size, len(ranges), indices.size,
    )  # fmt: skip
    structure = np.concatenate([row_end, col, ranges.ravel().astype(np.uint32)])
    operations = plan[3].size
    direct = found and operations <= 2 * needed
    if method == "coloring" or not found or (method == "auto" and not direct):
        colors = row_coloring(indptr, indices, n)
        count = int(colors.max(initial=-1)) + 1
        if method == "coloring" or not found or sweep_cost(count, col.size) < operations:
            head[[KIND, COLORS]] = SWEEP, count
            made = [a.astype(np.uint32) for a in (colors, indptr, indices)]
            return packed(Program(head, structure, outputs, *made)), indptr, indices
    head[[KIND, SCRATCH, COPIES]] = made[:3]
    return packed(Program(head, structure, outputs, *made[3:])), indptr, indices


def sweep_cost(colors: int, entries: int) -> float:
    """Return what sweeps for so many colors cost, in multiplications of an elimination."""
    full, rest = divmod(colors, 8)
    last = 0.0 if rest == 0 else WEIGHTS[8 if rest > 4 else 4 if rest > 1 else 1]
    return (full * WEIGHTS[8] + last) * entries


def _arranged(outputs: Any, n: int, plan: list[Any]) -> Any:
    """Return the sorted pattern and the program of a plan, its gradients put in their places."""
    start, length, columns, target, source, at = plan
    indptr, indices, position = _unsorted(outputs, n, start, length, columns)
    column_ptr, rows, order = transpose(indptr, indices, n)
    indptr, indices, again = transpose(column_ptr, rows, outputs.size)
    position = position[order[again]]
    place, scratch, copies = _placed(position, columns.size)
    target, source = place[target], place[np.minimum(source, np.uint32(columns.size))]
    if scratch == 0 and len(copies) == 0 and target.size == indices.size:
        gather = np.empty(indices.size, np.uint32)
        gather[target] = at
        return indptr, indices, [GATHER, 0, 0, gather, _NONE, _NONE]
    target = np.concatenate([target, copies[:, 0]])
    source = np.concatenate([source, copies[:, 1]])
    return indptr, indices, [ELIMINATE, scratch, len(copies), target, source, at]


@entry
def _unsorted(outputs: Any, n: Any, start: Any, length: Any, columns: Any) -> Any:
    """Return the pattern of the outputs, and where each entry is among all gradients."""
    m = outputs.size
    indptr = np.zeros(m + 1, np.int32)
    for i in range(m):
        row = outputs[i]
        count = length[row] if row > n else np.int64(row > 0)
        indptr[i + 1] = indptr[i] + count
    indices = np.empty(indptr[m], np.int32)
    position = np.empty(indptr[m], np.uint32)
    for i in range(m):
        row, k = outputs[i], indptr[i]
        if 0 < row <= n:
            indices[k], position[k] = row - 1, ONE
        for t in range(indptr[i + 1] - k if row > n else 0):
            indices[k + t] = columns[start[row] + t]
            position[k + t] = start[row] + t
    return indptr, indices, position


@entry
def _placed(position: Any, count: Any) -> Any:
    """Return where gradients go: those of outputs first; and what is copied, as (to, from).

    The last place is that of the constant 1.
    """
    unset = ONE
    place = np.full(count + 1, unset, np.uint32)
    copied = 0
    for k in range(position.size):
        p = position[k]
        if p != ONE and place[p] == unset:
            place[p] = k
        else:
            copied += 1
    scratch = 0
    for p in range(count):
        if place[p] == unset:
            place[p] = position.size + scratch
            scratch += 1
    place[count] = position.size + scratch
    copies = np.empty((copied, 2), np.uint32)
    copied = 0
    for k in range(position.size):
        origin = place[min(np.int64(position[k]), count)]
        if origin != k:
            copies[copied, 0], copies[copied, 1] = k, origin
            copied += 1
    return place, scratch, copies
