"""The sparse Jacobian of a recording: a program made once per structure of the tape, then run.

Control flow is followed at every call, but most calls record rows with the same columns as the
call before.  A `Program` holds the structure it was made for; where a new recording has it too,
the values of the Jacobian are filled in without looking at patterns again, in one of three ways:

* GATHER: every entry of the Jacobian is an entry of the tape, which is the sparse Jacobian itself;
* ELIMINATE: multiplications in the order of `dependence.elimination_plan`;
* SWEEP: reverse sweeps for groups of outputs that share no input, 8 or 4 at a time.

Otherwise a new program is made.  Which of elimination and sweeps is cheaper is decided by counted
multiplications, those of a sweep weighted by what they cost beside one of elimination.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ._jit import entry, kernel
from .adjoints import LANES_4, LANES_8
from .allocation import copy_items, empty_array, no_array, same_items, zero_array
from .borrowing import array_at
from .coloring import row_coloring
from .dependence import (
    Structure,
    elimination_plan,
    in_blocks,
    own_entries,
    pattern_by_bits,
    structure_of,
)
from .pool import release_tape
from .sweeps import reverse_sweep, vector_sweep
from .tape import BLOCK_FIELDS, tape_at, typed_view

__all__ = ["EMPTY", "METHODS", "Program", "filled", "first_filled", "sweep"]

METHODS = ("auto", "elimination", "coloring")
NOTHING, GATHER, ELIMINATE, SWEEP = range(4)
KIND, INPUTS, ROWS, ENTRIES, BLOCKS, SIZE, SCRATCH, COPIES, COLORS = range(9)
STRUCTURE, OUTPUTS, A, B, C = range(9, 14)  # where the other parts begin in a packed program
WEIGHTS = {8: 6.5, 4: 4.5, 1: 2.0}
"""Cost of an entry in a sweep of so many lanes, in multiplications of an elimination (1 ns).

Measured on recurrences of four entries a row, whose rows count as well.
"""
ONE = np.uint64(1)
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
    """Return a program as one array: its head, where the other parts begin, and these."""
    head, *parts = program
    begins = 14 + np.cumsum([0] + [part.size for part in parts[:-1]])
    return np.concatenate([head, begins, *parts]).astype(np.uint32)


EMPTY = packed(Program(np.zeros(9, np.uint32), *[_NONE] * 5))


@kernel
def filled(address: Any, outputs: Any, words: Any) -> Any:
    """Return whether a program is of the structure of a recording, and the entries it makes.

    Those that sweeps make are left to `sweep`: then the answer is no, but there is room for them.
    """
    if not has_structure(address, outputs, words):
        return False, no_array(np.float64)
    data = empty_array(words[SIZE], np.float64)
    partial = typed_view(tape_at(address).partial, 0.0)
    a, b, c = np.uint64(words[A]), np.uint64(words[B]), np.uint64(words[C])
    if words[KIND] == GATHER:
        for k in range(b - a):
            data[k] = partial[words[a + k]]
    elif words[KIND] == ELIMINATE:
        gradient = zero_array(data.size + words[SCRATCH] + 1, np.float64)
        gradient[gradient.size - 1] = 1.0
        main = b - a - words[COPIES]
        for k in range(main):
            p, g = partial[words[c + k]], gradient[words[b + k]]
            v = p * g
            if v == v or (p != 0.0 and g != 0.0):  # noqa: PLR0124  # else 0 times inf or nan
                gradient[words[a + k]] += v
        for k in range(main, b - a):
            gradient[words[a + k]] = gradient[words[b + k]]
        copy_items(data, gradient, data.size)
    return words[KIND] != SWEEP, data


@kernel
def has_structure(address: Any, outputs: Any, words: Any) -> Any:
    """Whether a recording has the structure that a program was made for."""
    tape = tape_at(address)
    if words[KIND] == NOTHING or tape.rows != words[ROWS] or tape.entries != words[ENTRIES]:
        return False
    if tape.blocks != words[BLOCKS] or outputs.size != words[A] - words[OUTPUTS]:
        return False
    at = words[STRUCTURE]
    same = same_items(tape.row_end, words, at, tape.rows)
    at += tape.rows
    same &= same_items(tape.col, words, at, tape.entries)
    at += tape.entries
    same &= same_items(tape.block, words, at, tape.blocks * BLOCK_FIELDS)
    return same & same_items(outputs, words, words[OUTPUTS], outputs.size)


@entry
def _filled(address: Any, outputs: Any, words: Any) -> Any:
    return filled(address, outputs, words)[1]


@entry
def _sweep(address: Any, words_at: Any, words_size: Any, data_at: Any, size: Any) -> None:
    """Sweep the tape for groups of outputs; see `lanes_for`.

    The arrays are told by their addresses: Numba drops no references of a function that raises.
    """
    words = array_at(words_at, words_size, np.uint32(0))
    data = array_at(data_at, size, 0.0)
    outputs, color = np.uint64(words[OUTPUTS]), np.uint64(words[A])
    indptr, indices = np.uint64(words[B]), np.uint64(words[C])
    colors, done = np.int64(words[COLORS]), 0
    while done < colors:
        width = lanes_for(colors - done)
        tape_at(address).clear_adjoints(width)
        adjoint = typed_view(tape_at(address).adjoint, 0.0)
        for i in range(color - outputs):
            lane, row = np.int64(words[color + i]) - done, np.int64(words[outputs + i])
            if 0 <= lane < width and row > 0:
                adjoint[row * width + lane] = 1.0
        first = 1 + np.int64(words[INPUTS])
        if width == 8:
            vector_sweep(address, first, 0.0, LANES_8)
        elif width == 4:
            vector_sweep(address, first, 0.0, LANES_4)
        else:
            reverse_sweep(address, first, 0.0)
        step = np.uint64(width)
        for i in range(color - outputs):
            lane = np.int64(words[color + i]) - done
            if 0 <= lane < width:
                at = step + np.uint64(lane)
                lo, hi = np.uint64(words[indptr + i]), np.uint64(words[indptr + i + ONE])
                for k in range(lo, hi):
                    data[k] = adjoint[np.uint64(words[indices + k]) * step + at]
        done += width


@kernel
def lanes_for(colors: Any) -> Any:
    """Return how many lanes the next sweep has."""
    return 8 if colors > 4 else 4 if colors > 1 else 1


def sweep(address: int, words: Any, data: Any) -> None:
    """Fill in the entries that sweeps make, and give the tape back."""
    try:
        _sweep(address, words.ctypes.data, words.size, data.ctypes.data, data.size)
    finally:
        release_tape(address)


def first_filled(
    address: int, outputs: Any, n: int, method: str
) -> tuple[Any, Any, tuple[Any, Any]]:
    """Make a program for a recording, fill in its entries, and give the tape back.

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
    words, data, (indptr, indices)
        The program in one array, the entries of the Jacobian and its pattern.
    """
    try:
        given = structure_of(address)
        words, pattern = make_program(given, outputs, n, method)
        if words[KIND] == GATHER:
            return words, given.partial[words[words[A] :]], pattern
        if words[KIND] == ELIMINATE:
            return words, _filled(address, outputs, words), pattern
        data = np.empty(int(words[SIZE]))
        _sweep(address, words.ctypes.data, words.size, data.ctypes.data, data.size)
    finally:
        release_tape(address)
    return words, data, pattern


def make_program(given: Structure, outputs: Any, n: int, method: str) -> tuple[Any, Any]:
    """Return the program of a recording, in one array, and the pattern of its Jacobian."""
    entries = given.col.size
    most = LARGEST if method == "elimination" else sweep_cost(outputs.size, entries)
    way = _gathered(given, outputs, n) or _eliminated(given, outputs, n, int(min(most, LARGEST)))
    if way is None:
        way = Way(pattern_by_bits(given, outputs, n), math.inf, False, {}, ())
    if method == "coloring" or not (way.direct or (way.parts and method == "elimination")):
        indptr, indices = way.pattern
        colors = row_coloring(indptr, indices, n)
        count = int(colors.max(initial=-1)) + 1
        if method == "coloring" or sweep_cost(count, entries) < way.operations:
            sizes = {KIND: SWEEP, COLORS: count}
            way = way._replace(sizes=sizes, parts=(colors, indptr, indices))
    sizes = {
        INPUTS: n, ROWS: given.row_end.size, ENTRIES: entries, BLOCKS: len(given.blocks),
        SIZE: way.pattern[1].size, **way.sizes,
    }  # fmt: skip
    head = np.zeros(9, np.int64)
    head[list(sizes)] = list(sizes.values())
    structure = np.concatenate([given.row_end, given.col, given.blocks.ravel()])
    return packed(Program(head, structure, outputs, *way.parts)), way.pattern


class Way(NamedTuple):
    """A way to make the entries of a Jacobian.

    Attributes
    ----------
    pattern : tuple of arrays
        ``indptr, indices`` with sorted indices.
    operations : float
        How many multiplications it takes.
    direct : bool
        Whether these are so few that sweeps cannot be cheaper.
    sizes : dict
        What it puts in the head of a program.
    parts : tuple of arrays
        The last parts of the program.
    """

    pattern: Any
    operations: float
    direct: bool
    sizes: dict[int, int]
    parts: Any


def sweep_cost(colors: int, entries: int) -> float:
    """Return what sweeps for so many colors cost, in multiplications of an elimination."""
    full, rest = divmod(colors, 8)
    last = 0.0 if rest == 0 else WEIGHTS[8 if rest > 4 else 4 if rest > 1 else 1]
    return (full * WEIGHTS[8] + last) * entries


def _gathered(given: Structure, outputs: Any, n: int) -> Way | None:
    """Return how the Jacobian is gathered where outputs have entries of inputs only."""
    from scipy.sparse import csr_array  # noqa: PLC0415  # takes longer than the package itself

    position = np.full(given.row_end.size, -1)
    position[outputs] = np.arange(outputs.size)
    active = outputs > 0
    once = np.array_equal(position[outputs[active]], np.flatnonzero(active))
    if not once or np.any(outputs[active] <= n) or np.any(in_blocks(given)[outputs]):
        return None
    entries, owners = own_entries(given)
    position[0] = -1
    chosen = position[owners] >= 0
    entries, rows = entries[chosen], position[owners[chosen]]
    columns = given.col[entries].astype(np.int64) - 1
    if np.any(columns >= n):
        return None
    matrix = csr_array((entries, (rows, columns)), shape=(outputs.size, n))
    matrix.sum_duplicates()  # and sort, which SciPy 1.13 leaves to us
    if matrix.nnz < entries.size:  # entries of one place were added
        return None
    pattern = matrix.indptr, matrix.indices
    return Way(pattern, entries.size, True, {KIND: GATHER}, (matrix.data, _NONE, _NONE))


def _eliminated(given: Structure, outputs: Any, n: int, limit: int) -> Way | None:
    """Return how intermediate rows are eliminated, gradients put in their places."""
    from scipy.sparse import csr_array  # noqa: PLC0415  # takes longer than the package itself

    plan = elimination_plan(given, outputs, n, limit)
    if not plan.found:
        return None
    counts = plan.length[outputs]
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    position = np.repeat(plan.start[outputs] - indptr[:-1], counts) + np.arange(indptr[-1])
    columns = plan.columns[position].astype(np.int32)
    matrix = csr_array((position, columns, indptr), shape=(outputs.size, n))
    matrix.sort_indices()
    place, scratch, copies = _placed(matrix.data, n, plan.columns.size)
    target = np.concatenate([place[plan.target], copies[:, 0]])
    source = np.concatenate([place[plan.source], copies[:, 1]])
    operations = plan.target.size
    sizes = {KIND: ELIMINATE, SCRATCH: scratch, COPIES: len(copies)}
    direct = operations <= 2 * plan.needed
    return Way((indptr, matrix.indices), operations, direct, sizes, (target, source, plan.at))


def _placed(position: Any, n: int, count: int) -> Any:
    """Return where gradients go, those of outputs first; and what is copied, as (to, from).

    Behind them is the constant 1, where the gradients of inputs are.
    """
    made = np.flatnonzero(position >= n)[::-1]
    place = np.full(count, -1)
    place[position[made]] = made  # of equal positions, the first output's stays
    place[:n] = -2
    free = np.flatnonzero(place == -1)
    place[free] = position.size + np.arange(free.size)
    place[:n] = position.size + free.size
    origin = place[position]
    copied = np.flatnonzero(origin != np.arange(position.size))
    return place, free.size, np.stack([copied, origin[copied]], axis=-1)
