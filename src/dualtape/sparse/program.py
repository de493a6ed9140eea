"""The sparse Jacobian of a recording: a program made once per structure of the tape, then run.

Control flow is followed at every call, but most calls record rows with the same columns as the
call before.  A `Program` contains the structure it was made for; if a new recording has it too,
the entries of the Jacobian are computed without looking at patterns again, in one of three ways:

* GATHER: every entry of the Jacobian is an entry of the tape, which is the sparse Jacobian itself;
* ELIMINATE: multiplications in the order of `pattern.elimination_plan`;
* SWEEP: reverse sweeps for groups of outputs that share no input, 8 or 4 at a time.

Otherwise a new program is made.  Which of elimination and sweeps is cheaper is decided by counted
multiplications, those of a sweep weighted by their cost relative to one of elimination.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..backend.allocation import copy_items, empty_array, no_array, same_items, zero_array
from ..backend.jit import entry, kernel
from ..reverse.borrowing import array_at
from ..reverse.rows import LANES_4, LANES_8
from ..reverse.sweep import reverse_sweep, vector_sweep
from ..tape.pool import release_tape
from ..tape.storage import BLOCK_FIELDS, tape_at, typed_view
from .coloring import row_coloring
from .pattern import (
    Structure,
    elimination_plan,
    in_blocks,
    own_entries,
    pattern_by_bits,
    structure_of,
)

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
    """How the Jacobian of a recording of one structure is computed.

    All parts are arrays of uint32, passed as one array (`packed`): every array that Python passes
    to compiled code costs as much as ten entries.

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


_NO_WORDS = np.zeros(0, np.uint32)


def packed(program: Program) -> Any:
    """Return a program as one array: its head, the offsets of the other parts, and these."""
    head, *parts = program
    offsets = 14 + np.cumsum([0] + [part.size for part in parts[:-1]])
    return np.concatenate([head, offsets, *parts]).astype(np.uint32)


EMPTY = packed(Program(np.zeros(9, np.uint32), *[_NO_WORDS] * 5))


@kernel
def compute_entries(address: Any, outputs: Any, words: Any) -> Any:
    """Return whether a program computed the entries of a recording, and these.

    It does not if the structures differ.  Nor does a program of sweeps: it returns an empty array
    for `sweep`.
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
        count = b - a - words[COPIES]
        for k in range(count):
            p, g = partial[words[c + k]], gradient[words[b + k]]
            v = p * g
            if v == v or (p != 0.0 and g != 0.0):  # noqa: PLR0124  # else 0 times inf or nan
                gradient[words[a + k]] += v
        for k in range(count, b - a):
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
    offset = words[STRUCTURE]
    is_same = same_items(tape.row_end, words, offset, tape.rows)
    offset += tape.rows
    is_same &= same_items(tape.col, words, offset, tape.entries)
    offset += tape.entries
    is_same &= same_items(tape.block, words, offset, tape.blocks * BLOCK_FIELDS)
    return is_same & same_items(outputs, words, words[OUTPUTS], outputs.size)


@entry
def _entries(address: Any, outputs: Any, words: Any) -> Any:
    return compute_entries(address, outputs, words)[1]


@entry
def _sweep(address: Any, words_address: Any, length: Any, data_address: Any, size: Any) -> None:
    """Sweep the tape for groups of outputs; see `lanes_for`.

    The arrays are passed by address: Numba releases no references of a function that raises.
    """
    words = array_at(words_address, length, np.uint32(0))
    data = array_at(data_address, size, 0.0)
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
                base = step + np.uint64(lane)
                lo, hi = np.uint64(words[indptr + i]), np.uint64(words[indptr + i + ONE])
                for k in range(lo, hi):
                    data[k] = adjoint[np.uint64(words[indices + k]) * step + base]
        done += width


@kernel
def lanes_for(colors: Any) -> Any:
    """Return the number of lanes of the next sweep."""
    return 8 if colors > 4 else 4 if colors > 1 else 1


def sweep(address: int, words: Any, data: Any) -> None:
    """Compute the entries by sweeps, and give the tape back."""
    try:
        _sweep(address, words.ctypes.data, words.size, data.ctypes.data, data.size)
    finally:
        release_tape(address)


def analyze(address: int, outputs: Any, n: int, method: str) -> tuple[Any, Any, tuple[Any, Any]]:
    """Make a program for a recording, compute its entries, and give the tape back.

    Parameters
    ----------
    address : int
        Of the tape.
    outputs : array
        Rows of the outputs.
    n : int
        How many inputs there are.
    method : {"auto", "elimination", "coloring"}
        "elimination" is used unless outputs need blocks.

    Returns
    -------
    words, data, (indptr, indices)
        The program in one array, the entries of the Jacobian and its pattern.
    """
    try:
        structure = structure_of(address)
        words, pattern = make_program(structure, outputs, n, method)
        if words[KIND] == GATHER:
            return words, structure.partial[words[words[A] :]], pattern
        if words[KIND] == ELIMINATE:
            return words, _entries(address, outputs, words), pattern
        data = np.empty(int(words[SIZE]))
        _sweep(address, words.ctypes.data, words.size, data.ctypes.data, data.size)
    finally:
        release_tape(address)
    return words, data, pattern


def make_program(structure: Structure, outputs: Any, n: int, method: str) -> tuple[Any, Any]:
    """Return the program of a recording, in one array, and the pattern of its Jacobian."""
    entries = structure.col.size
    cost = LARGEST if method == "elimination" else sweep_cost(outputs.size, entries)
    limit = int(min(cost, LARGEST))
    way = _gathering(structure, outputs, n) or _elimination(structure, outputs, n, limit)
    if way is None:
        way = Way(pattern_by_bits(structure, outputs, n), math.inf, False, {}, ())
    if method == "coloring" or not (way.direct or (way.parts and method == "elimination")):
        indptr, indices = way.pattern
        colors = row_coloring(indptr, indices, n)
        count = int(colors.max(initial=-1)) + 1
        if method == "coloring" or sweep_cost(count, entries) < way.operations:
            sizes = {KIND: SWEEP, COLORS: count}
            way = way._replace(sizes=sizes, parts=(colors, indptr, indices))
    sizes = {
        INPUTS: n, ROWS: structure.row_end.size, ENTRIES: entries, BLOCKS: len(structure.blocks),
        SIZE: way.pattern[1].size, **way.sizes,
    }  # fmt: skip
    head = np.zeros(9, np.int64)
    head[list(sizes)] = list(sizes.values())
    recorded = np.concatenate([structure.row_end, structure.col, structure.blocks.ravel()])
    return packed(Program(head, recorded, outputs, *way.parts)), way.pattern


class Way(NamedTuple):
    """A way to compute the entries of a Jacobian.

    Attributes
    ----------
    pattern : tuple of arrays
        ``indptr, indices`` with sorted indices.
    operations : float
        The number of multiplications.
    direct : bool
        Whether these are so few that sweeps cannot be cheaper.
    sizes : dict
        Items of the head of the program.
    parts : tuple of arrays
        The last parts of the program.
    """

    pattern: Any
    operations: float
    direct: bool
    sizes: dict[int, int]
    parts: Any


def sweep_cost(colors: int, entries: int) -> float:
    """Return the cost of sweeps for so many colors, in multiplications of an elimination."""
    full, rest = divmod(colors, 8)
    last = 0.0 if rest == 0 else WEIGHTS[8 if rest > 4 else 4 if rest > 1 else 1]
    return (full * WEIGHTS[8] + last) * entries


def _gathering(structure: Structure, outputs: Any, n: int) -> Way | None:
    """Return the way to gather the Jacobian; None unless outputs have entries of inputs only."""
    from scipy.sparse import csr_array  # noqa: PLC0415  # takes longer than the package itself

    position = np.full(structure.row_end.size, -1)
    position[outputs] = np.arange(outputs.size)
    active = outputs > 0
    is_unique = np.array_equal(position[outputs[active]], np.flatnonzero(active))
    if not is_unique or np.any(outputs[active] <= n) or np.any(in_blocks(structure)[outputs]):
        return None
    entries, owners = own_entries(structure)
    position[0] = -1
    is_output = position[owners] >= 0
    entries, rows = entries[is_output], position[owners[is_output]]
    columns = structure.col[entries].astype(np.int64) - 1
    if np.any(columns >= n):
        return None
    matrix = csr_array((entries, (rows, columns)), shape=(outputs.size, n))
    matrix.sum_duplicates()  # and sort, which SciPy 1.13 leaves to us
    if matrix.nnz < entries.size:  # entries of one place were added
        return None
    pattern = matrix.indptr, matrix.indices
    return Way(pattern, entries.size, True, {KIND: GATHER}, (matrix.data, _NO_WORDS, _NO_WORDS))


def _elimination(structure: Structure, outputs: Any, n: int, limit: int) -> Way | None:
    """Return the way to eliminate intermediate rows, with places for gradients, or None."""
    from scipy.sparse import csr_array  # noqa: PLC0415  # takes longer than the package itself

    plan = elimination_plan(structure, outputs, n, limit)
    if not plan.exists:
        return None
    counts = plan.length[outputs]
    indptr = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    position = np.repeat(plan.start[outputs] - indptr[:-1], counts) + np.arange(indptr[-1])
    columns = plan.columns[position].astype(np.int32)
    matrix = csr_array((position, columns, indptr), shape=(outputs.size, n))
    matrix.sort_indices()
    place, scratch, copies = _places(matrix.data, n, plan.columns.size)
    target = np.concatenate([place[plan.target], copies[:, 0]])
    source = np.concatenate([place[plan.source], copies[:, 1]])
    operations = plan.target.size
    sizes = {KIND: ELIMINATE, SCRATCH: scratch, COPIES: len(copies)}
    direct = operations <= 2 * plan.needed
    return Way((indptr, matrix.indices), operations, direct, sizes, (target, source, plan.entry))


def _places(position: Any, n: int, count: int) -> Any:
    """Return the places of gradients, those of outputs first, and copies between them, (to, from).

    Behind them is the constant 1, the place of the gradients of inputs.
    """
    computed = np.flatnonzero(position >= n)[::-1]
    place = np.full(count, -1)
    place[position[computed]] = computed  # of equal positions, the first output's stays
    place[:n] = -2
    free = np.flatnonzero(place == -1)
    place[free] = position.size + np.arange(free.size)
    place[:n] = position.size + free.size
    origin = place[position]
    copies = np.flatnonzero(origin != np.arange(position.size))
    return place, free.size, np.stack([copies, origin[copies]], axis=-1)
