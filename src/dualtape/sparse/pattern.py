"""The inputs that outputs of a recording depend on, and a plan to eliminate its other rows.

A tape is a sparse matrix of local partials, and the Jacobian remains when its intermediate rows are
eliminated: with g_i the gradient of row i by the inputs,

    g_i = sum of partial * g_column over the entries of i,     g_input = unit vector.

`elimination_plan` finds the patterns of all gradients that outputs need and lists the
multiplications in this order; the plan is valid for every later recording of the same structure
(`program` runs it).  Every intermediate gradient is part of that of an output, so this never
multiplies more than forward sweeps compressed by columns would.  Where gradients fill in, reverse
sweeps over the tape can be cheaper; `pattern_by_bits` finds the pattern for them, 64 outputs a
sweep.

The operands of a block (a product of arrays, a checkpointed call) are unknown: outputs that depend
on its results are taken to depend on every input.

A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapters 7 and 9.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backend.allocation import copy_items, empty_array, larger, zero_array
from ..backend.jit import entry, kernel
from ..tape.storage import BLOCK_FIELDS, MARK, tape_at, typed_view


class Structure(NamedTuple):
    """A recording of doubles, as arrays for Python.

    Attributes
    ----------
    row_end, col, partial : array
        As on the tape.
    blocks : array of int64
        As on the tape, a row for each.
    owner, first, end : array of int64
        The row that every statement belongs to; its first entry that is no mark, and the entry
        after its last.
    """

    row_end: Any
    col: Any
    partial: Any
    blocks: Any
    owner: Any
    first: Any
    end: Any


def structure_of(address: int) -> Structure:
    """Return the structure of the tape at an address, and its partials, copied."""
    row_end, col, partial, blocks = _tape_arrays(address)
    end = row_end.astype(np.int64)
    first = np.concatenate([end[:1], end[:-1]])
    owner = np.arange(end.size)
    leading = np.append(col, np.uint32(0))[first]
    marked = np.flatnonzero((end > first) & (leading >= MARK))
    owner[marked] = leading[marked] - MARK
    first[marked] += 1
    return Structure(row_end, col, partial, blocks.reshape(-1, BLOCK_FIELDS), owner, first, end)


def captured_structure(address: int) -> tuple[Structure, Any]:
    """Return the structure that was captured on the tape at an address, and the decisions."""
    return structure_of(address), _decisions(address)


@entry
def _decisions(address: Any) -> Any:
    tape = tape_at(address)
    decisions = empty_array(tape.arena_used, np.uint8)
    copy_items(decisions, tape.arena, tape.arena_used)
    return decisions


@entry
def _tape_arrays(address: Any) -> Any:
    tape = tape_at(address)
    row_end = empty_array(tape.rows, np.uint32)
    copy_items(row_end, tape.row_end, tape.rows)
    col = empty_array(tape.entries, np.uint32)
    copy_items(col, tape.col, tape.entries)
    partial = empty_array(tape.entries, np.float64)
    copy_items(partial, typed_view(tape.partial, 0.0), tape.entries)
    block = empty_array(tape.blocks * BLOCK_FIELDS, np.int64)
    copy_items(block, tape.block, tape.blocks * BLOCK_FIELDS)
    return row_end, col, partial, block


def in_blocks(structure: Structure) -> Any:
    """Return for every row whether it is the result of a block."""
    inside = np.zeros(structure.row_end.size + 1, np.int64)
    np.add.at(inside, structure.blocks[:, :2], [1, -1])
    return np.cumsum(inside[:-1]) > 0


def own_entries(structure: Structure) -> tuple[Any, Any]:
    """Return every entry that is no mark, and the row that it belongs to."""
    is_mark = np.zeros(structure.col.size, np.bool_)
    is_mark[structure.first[structure.owner != np.arange(structure.owner.size)] - 1] = True
    return np.flatnonzero(~is_mark), np.repeat(structure.owner, structure.end - structure.first)


class Plan(NamedTuple):
    """How to eliminate the intermediate rows of a tape.

    The gradient of input j is one entry at place j - 1, which is 1; those of other rows follow.

    Attributes
    ----------
    exists : bool
        Whether there is a plan: outputs need no block, and not too many multiplications.
    needed : int
        Entries of the rows that outputs depend on.
    start, length : array
        The place of the gradient of every row.
    columns : array
        The columns of all gradients.
    target, source, entry : array
        ``gradient[target] += partial[entry] * gradient[source]`` in this order.
    """

    exists: bool
    needed: int
    start: Any
    length: Any
    columns: Any
    target: Any
    source: Any
    entry: Any


def elimination_plan(structure: Structure, outputs: Any, n: int, limit: int) -> Plan:
    """Return the plan for these rows of outputs, which are 0 for outputs without inputs.

    The inputs are the rows 1 to n; beyond `limit` multiplications there is no plan.
    """
    needed = np.zeros(structure.row_end.size, np.bool_)
    needed[outputs] = True
    needed[0] = False
    parts = structure.col, structure.owner, structure.first, structure.end
    exists, count, start, length, columns, used, steps, operations = _plan(
        *parts, needed, in_blocks(structure), n, limit
    )
    return Plan(
        exists, count, start, length, columns[:used], *steps[: 3 * operations].reshape(-1, 3).T
    )


@kernel
def mark_needed(
    col: Any, owner: Any, first: Any, end: Any, needed: Any, in_block: Any, n: Any
) -> Any:
    """Mark all rows that needed ones depend on.

    Return the number of their entries, and whether no result of a block is among them.
    """
    count, exists = 0, True
    for row in range(owner.size - 1, n, -1):
        if needed[owner[row]]:
            exists &= not in_block[row]
            count += end[row] - first[row]
            for e in range(first[row], end[row]):
                needed[col[e]] = True
    return count, exists


@kernel
def grown(a: Any, used: Any, size: Any) -> Any:
    """Return an array of at least this size with the same first items."""
    if size <= a.size:
        return a
    out = empty_array(larger(2 * a.size, size), a.dtype)
    copy_items(out, a, used)
    return out


@entry
def _plan(
    col: Any, owner: Any, first: Any, end: Any, needed: Any, in_block: Any, n: Any, limit: Any
) -> Any:
    """Return the parts of `Plan`, multiplications in one array: target, source, entry.

    The entries of a sum that keeps its row are those of several statements.  No statement reads it
    before the last of them, where all of it is known.
    """
    # Row i of the derivatives by the inputs is J_i = sum over entries e of row i of c_e J_col(e),
    # with J_j = unit vector j for input j.  Rows are eliminated in the order of the tape, when all
    # J_col(e) are known, and only if an output needs them.  This is the symbolic half of
    # Gustavson's sparse product: for every row (with every statement of a sum, from the last one
    # back by `before`), entry e and nonzero t of J_col(e) there is one multiplication
    #     J[slot of column j = columns[t] in row i] += c_e * J[t].
    # `mark[j] == i` says that column j has a slot in row i already, so `mark` is never cleared.
    rows = owner.size
    count, exists = mark_needed(col, owner, first, end, needed, in_block, n)
    last, before = empty_array(rows, np.int64), empty_array(rows, np.int64)
    for row in range(rows):
        last[row], before[row] = row, -1
        if owner[row] != row:
            before[row], last[owner[row]] = last[owner[row]], row
    start, length = zero_array(rows, np.int64), zero_array(rows, np.int64)
    mark, slot = zero_array(n, np.int64), empty_array(n, np.int64)
    columns = empty_array(n + count + 16, np.uint32)
    steps = empty_array(3 * count + 48, np.uint32)
    for j in range(n):
        columns[j], start[j + 1], length[j + 1] = j, j, 1
    used, operations = n, 0
    exists &= count <= limit
    for row in range(n + 1, rows):
        own = owner[row]
        if not exists or not needed[own] or last[own] != row:
            continue
        start[own], statement = used, row
        while statement >= 0:
            for e in range(first[statement], end[statement]):
                terms = length[col[e]]
                if operations + terms > limit:
                    exists, statement = False, 0
                    break
                columns = grown(columns, used, used + terms)
                steps = grown(steps, 3 * operations, 3 * (operations + terms))
                for t in range(start[col[e]], start[col[e]] + terms):
                    j = columns[t]
                    if mark[j] != own:
                        mark[j], slot[j] = own, used
                        columns[used] = j
                        used += 1
                    steps[3 * operations] = slot[j]
                    steps[3 * operations + 1] = t
                    steps[3 * operations + 2] = e
                    operations += 1
            statement = before[statement]
        length[own] = used - start[own]
    return exists, count, start, length, columns, used, steps, operations


def pattern_by_bits(structure: Structure, outputs: Any, n: int) -> tuple[Any, Any]:
    """Return the pattern of the Jacobian as sorted ``(indptr, indices)``.

    Cost: one sweep over the tape for every 64 outputs.
    """
    parts = structure.col, structure.owner, structure.first, structure.end
    return _pattern_by_bits(*parts, np.ascontiguousarray(structure.blocks[:, :2]), outputs, n)


@entry
def _pattern_by_bits(
    col: Any, owner: Any, first: Any, end: Any, ranges: Any, outputs: Any, n: Any
) -> Any:
    m = outputs.size
    indptr = zero_array(m + 1, np.int32)
    indices = empty_array(larger(m, 16), np.int32)
    one, used = np.uint64(1), 0
    for lowest in range(0, m, 64):
        bits = zero_array(owner.size, np.uint64)
        width = 64 if m - lowest > 64 else m - lowest
        for i in range(width):
            bits[outputs[lowest + i]] |= one << np.uint64(i)
        bits[0] = 0
        dense = sweep_bits(col, owner, first, end, ranges, bits, n)
        for i in range(width):
            indices = grown(indices, used, used + n)
            flag = one << np.uint64(i)
            for j in range(n):
                if (bits[1 + j] | dense) & flag:
                    indices[used] = j
                    used += 1
            indptr[lowest + i + 1] = used
    out = empty_array(used, np.int32)
    copy_items(out, indices, used)
    return indptr, out


@kernel
def sweep_bits(col: Any, owner: Any, first: Any, end: Any, ranges: Any, bits: Any, n: Any) -> Any:
    """Propagate sets of outputs to the inputs; return the outputs that depend on all inputs."""
    dense = np.uint64(0)
    for k in range(ranges.shape[0] - 1, -2, -1):
        lowest = ranges[k, 1] if k >= 0 else n + 1
        beyond = ranges[k + 1, 0] if k + 1 < ranges.shape[0] else owner.size
        for row in range(beyond - 1, lowest - 1, -1):
            for e in range(first[row], end[row]):
                bits[col[e]] |= bits[owner[row]]
        if k >= 0:
            for row in range(ranges[k, 0], ranges[k, 1]):
                dense |= bits[row]
    return dense
