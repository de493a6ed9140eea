"""Which inputs the outputs of a recording depend on, and how its intermediate rows are eliminated.

A tape is a sparse matrix of local partials, and the Jacobian is what is left when its intermediate
rows are eliminated: with g_i the gradient of row i by the inputs,

    g_i = sum of partial * g_column over the entries of i,     g_input = unit vector.

`elimination_plan` finds the patterns of all gradients that outputs need and lists the
multiplications in this order, so that the plan serves every later recording of the same structure
(`elimination` runs it).  Every intermediate gradient is part of that of an output, so this never
multiplies more than forward sweeps compressed by columns would.  Where gradients fill in, reverse
sweeps over the tape can be cheaper; `pattern_by_bits` finds the pattern for them, 64 outputs a
sweep.

A block (a product of arrays, a checkpointed call) does not tell its operands: what depends on its
results is taken to depend on every input.

A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapters 7 and 9.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._jit import entry, kernel
from .tape import BLOCK_FIELDS, MARK, tape_at

__all__ = ["elimination_plan", "pattern_by_bits", "tape_arrays"]

ONE = np.uint32(2**32 - 1)  # the gradient of an input, as a source


@entry
def tape_arrays(address: Any) -> Any:
    """Return copies of a tape's row ends and columns, and first and last row of its blocks."""
    tape = tape_at(address)
    ranges = np.empty((tape.blocks, 2), np.int64)
    for i in range(tape.blocks):
        ranges[i, 0] = tape.block[i * BLOCK_FIELDS]
        ranges[i, 1] = tape.block[i * BLOCK_FIELDS + 1]
    return tape.row_end[: tape.rows].copy(), tape.col[: tape.entries].copy(), ranges


@kernel
def entries_of(row_end: Any, col: Any, row: Any) -> Any:
    """Return the row that a statement belongs to, its first entry and the one after the last."""
    lo, hi = np.int64(row_end[row - 1]), np.int64(row_end[row])
    if hi > lo and col[lo] >= MARK:
        return np.int64(col[lo] - MARK), lo + 1, hi
    return np.int64(row), lo, hi


@kernel
def needed_rows(row_end: Any, col: Any, outputs: Any, n: Any) -> Any:
    """Return which rows outputs depend on, and how many entries those rows have."""
    needed = np.zeros(row_end.size, np.bool_)
    count = 0
    for row in outputs:
        needed[row] = True
    needed[0] = False
    for row in range(row_end.size - 1, n, -1):
        owner, lo, hi = entries_of(row_end, col, row)
        if needed[owner]:
            count += hi - lo
            for e in range(lo, hi):
                needed[col[e]] = True
    return needed, count


@kernel
def chains(row_end: Any, col: Any, n: Any) -> Any:
    """Return the last statement of every row, and the one before each of the same row.

    The entries of a sum that keeps its row are those of several statements.  Nothing reads it
    before the last of them, so there all of it is known.
    """
    last = np.arange(row_end.size)
    before = np.full(row_end.size, -1, np.int64)
    for row in range(n + 1, row_end.size):
        owner, _, _ = entries_of(row_end, col, row)
        if owner != row:
            before[row], last[owner] = last[owner], row
    return last, before


@kernel
def longer(a: Any, used: Any, more: Any) -> Any:
    """Return an array with room for `more` elements behind the first `used`."""
    if used + more <= a.size:
        return a
    grown = np.empty(max(2 * a.size, used + more), a.dtype)
    grown[:used] = a[:used]
    return grown


@entry
def elimination_plan(row_end: Any, col: Any, ranges: Any, outputs: Any, n: Any, limit: Any) -> Any:
    """Return how to eliminate the intermediate rows of a tape.

    Parameters
    ----------
    row_end, col, ranges : array
        As from `tape_arrays`.
    outputs : array
        Rows of the outputs; 0 where one does not depend on inputs.
    n : int
        The inputs are the rows 1 to n.
    limit : int
        Most multiplications; beyond, and where outputs need a block, there is no plan.

    Returns
    -------
    found : bool
    needed : int
        Entries of the rows that outputs depend on.
    start, length, columns : array
        Where the gradient of each row is, and the columns of all gradients.
    target, source, at : array
        ``gradient[target] += partial[at] * gradient[source]`` in this order; a source `ONE` is 1.
    """
    rows = row_end.size
    needed, count = needed_rows(row_end, col, outputs, n)
    last, before = chains(row_end, col, n)
    start, length = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    columns = np.empty(count + 16, np.uint32)
    target = np.empty(count + 16, np.uint32)
    source, at = target.copy(), target.copy()
    mark, slot = np.zeros(n, np.int64), np.zeros(n, np.int64)
    used = ops = 0
    found = count <= limit
    for k in range(ranges.shape[0]):
        for row in range(ranges[k, 0], ranges[k, 1]):
            found &= not needed[row]
    row = n
    while found and row < rows - 1:
        row += 1
        owner, _, _ = entries_of(row_end, col, row)
        if not needed[owner] or last[owner] != row:
            continue
        start[owner] = used
        statement = row
        while statement >= 0 and found:
            _, lo, hi = entries_of(row_end, col, statement)
            for e in range(lo, hi):
                c = np.int64(col[e])
                terms = 1 if c <= n else length[c]
                if ops + terms > limit:
                    found = False
                    break
                columns = longer(columns, used, terms)
                target, source = longer(target, ops, terms), longer(source, ops, terms)
                at = longer(at, ops, terms)
                for t in range(terms):
                    j = c - 1 if c <= n else np.int64(columns[start[c] + t])
                    if mark[j] != owner:
                        mark[j], slot[j] = owner, used
                        columns[used] = j
                        used += 1
                    target[ops], at[ops] = slot[j], e
                    source[ops] = ONE if c <= n else start[c] + t
                    ops += 1
            statement = before[statement]
        length[owner] = used - start[owner]
    return (
        found, count, start, length, columns[:used],
        target[:ops], source[:ops], at[:ops],
    )  # fmt: skip


@entry
def pattern_by_bits(row_end: Any, col: Any, ranges: Any, outputs: Any, n: Any) -> Any:
    """Return the pattern of the Jacobian as sorted ``(indptr, indices)``.

    Cost: one sweep over the tape for every 64 outputs.
    """
    m = outputs.size
    indptr = np.zeros(m + 1, np.int32)
    indices = np.empty(max(m, 16), np.int32)
    bits = np.empty(row_end.size, np.uint64)
    one, used = np.uint64(1), 0
    for first in range(0, m, 64):
        bits[:] = 0
        width = min(64, m - first)
        for i in range(width):
            bits[outputs[first + i]] |= one << np.uint64(i)
        bits[0] = 0
        dense = sweep_bits(row_end, col, ranges, bits, n)
        for i in range(width):
            indices = longer(indices, used, n)
            flag = one << np.uint64(i)
            for j in range(n):
                if (bits[1 + j] | dense) & flag:
                    indices[used] = j
                    used += 1
            indptr[first + i + 1] = used
    return indptr, indices[:used].copy()


@kernel
def sweep_bits(row_end: Any, col: Any, ranges: Any, bits: Any, n: Any) -> Any:
    """Carry sets of outputs to the inputs; return those that depend on all."""
    dense = np.uint64(0)
    for k in range(ranges.shape[0] - 1, -2, -1):
        first = ranges[k, 1] if k >= 0 else n + 1
        last = ranges[k + 1, 0] if k + 1 < ranges.shape[0] else row_end.size
        for row in range(last - 1, first - 1, -1):
            owner, lo, hi = entries_of(row_end, col, row)
            for e in range(lo, hi):
                bits[col[e]] |= bits[owner]
        if k >= 0:
            for row in range(ranges[k, 0], ranges[k, 1]):
                dense |= bits[row]
    return dense
