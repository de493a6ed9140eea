"""Coloring of sparsity patterns: which rows or columns can be computed together.

Pure graph code on patterns in CSR form (`indptr`, `indices`, without duplicates); it knows nothing
of derivatives.  Rows of a Jacobian that share no column can be seeded at once, and each entry is
read from the sum; for a symmetric Hessian a *star coloring* of its adjacency graph suffices: colors
of neighbors differ and every path on four vertices has three colors, so that every entry or its
mirror is the only one in its place of a compressed column.

A. H. Gebremedhin, F. Manne, A. Pothen, "What color is your Jacobian? Graph coloring for computing
derivatives", SIAM Review 47 (2005), sections 3.4 and 4.4.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.allocation import copy_items, empty_array, fill_items, larger, smaller, zero_array
from ..backend.jit import entry, kernel


def transpose(indptr: Any, indices: Any, columns: int) -> Any:
    """Return ``(indptr, indices, order)`` of the transposed pattern, with sorted indices.

    Entry k of the transpose is entry ``order[k]`` of the pattern.
    """
    return _transpose(_index(indptr), _index(indices), columns)


def row_coloring(indptr: Any, indices: Any, columns: int) -> Any:
    """Return a color for every row, such that rows of one color share no column.

    Greedy, rows with many entries first; empty rows get color 0.  Every coloring needs as many
    colors as the fullest column has entries.
    """
    indptr, indices = _index(indptr), _index(indices)
    column_ptr, rows, _ = _transpose(indptr, indices, columns)
    return _row_coloring(indptr, indices, column_ptr, rows, _largest_first(indptr))


def star_coloring(indptr: Any, indices: Any) -> Any:
    """Return a star coloring of the adjacency graph of a symmetric pattern.

    Greedy, vertices with many neighbors first; diagonal entries do not count.
    """
    indptr, indices = _index(indptr), _index(indices)
    return _star_coloring(indptr, indices, _largest_first(indptr))


def star_places(indptr: Any, indices: Any, colors: Any) -> Any:
    """Return the places in B = H S from which the entries of a symmetric matrix H are read.

    S has a column for every color, the sum of the unit vectors of its vertices.  Entry k is
    ``B[places[k, 0], places[k, 1]]``, the same place as its mirror's, so that the result is
    symmetric exactly; -1 if the coloring does not allow it to be read.
    """
    return _star_places(_index(indptr), _index(indices), _index(colors))


def symmetric_pattern(indptr: Any, indices: Any) -> Any:
    """Return the union of a square pattern and its transpose, with sorted indices."""
    return _symmetric_pattern(_index(indptr), _index(indices))


def upper_places(union_ptr: Any, union: Any, indptr: Any, indices: Any) -> Any:
    """Return from which entry of a pattern each entry of its symmetric union is read.

    An entry and its mirror are read from the same one, in the upper triangle if there is one.
    """
    return _upper_places(*map(_index, (union_ptr, union, indptr, indices)))


def _index(a: Any) -> Any:
    return np.ascontiguousarray(a, dtype=np.int32)


def _largest_first(indptr: Any) -> Any:
    return np.argsort(-np.diff(indptr), kind="stable").astype(np.int32)


@kernel
def minus_ones(size: Any) -> Any:
    """Return an array of -1."""
    out = empty_array(size, np.int32)
    fill_items(out, 0, size, -1)
    return out


@entry
def _transpose(indptr: Any, indices: Any, columns: Any) -> Any:
    start = zero_array(columns + 1, np.int32)
    for column in indices:
        start[column + 1] += 1
    for j in range(columns):
        start[j + 1] += start[j]
    rows, order = empty_array(indices.size, np.int32), empty_array(indices.size, np.int32)
    free = empty_array(columns, np.int32)  # the next free place of each column
    copy_items(free, start, columns)
    for i in range(indptr.size - 1):
        for k in range(indptr[i], indptr[i + 1]):
            place = free[indices[k]]
            free[indices[k]] = place + 1
            rows[place], order[place] = i, k
    return start, rows, order


@entry
def _row_coloring(indptr: Any, indices: Any, column_ptr: Any, rows: Any, order: Any) -> Any:
    colors, forbidden = minus_ones(indptr.size - 1), minus_ones(indptr.size)
    for i in order:
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            for t in range(column_ptr[j], column_ptr[j + 1]):
                if colors[rows[t]] >= 0:
                    forbidden[colors[rows[t]]] = i
        color = 0
        while forbidden[color] == i:
            color += 1
        colors[i] = color
    return colors


@entry
def _star_coloring(indptr: Any, indices: Any, order: Any) -> Any:
    n = indptr.size - 1
    colors, forbidden = minus_ones(n), minus_ones(n + 1)
    members = zero_array(n + 1, np.int32)  # how many vertices have a color
    for v in order:
        for w in indices[indptr[v] : indptr[v + 1]]:
            if w == v:
                continue
            if colors[w] >= 0:
                forbidden[colors[w]] = v
                if members[colors[w]] == 1:
                    continue  # no path v - w - x - y with y like w: hubs cost nothing
            for x in indices[indptr[w] : indptr[w + 1]]:
                if x in (v, w) or colors[x] < 0 or forbidden[colors[x]] == v:
                    continue
                if colors[w] < 0:
                    forbidden[colors[x]] = v
                    continue
                for y in indices[indptr[x] : indptr[x + 1]]:
                    if y != w and colors[y] == colors[w]:
                        forbidden[colors[x]] = v
                        break
        color = 0
        while forbidden[color] == v:
            color += 1
        colors[v] = color
        members[color] += 1
    return colors


@entry
def _star_places(indptr: Any, indices: Any, colors: Any) -> Any:
    n = indptr.size - 1
    places = minus_ones(2 * indices.size).reshape((indices.size, 2))
    count = 0  # of colors
    for color in colors:
        count = larger(count, color + 1)
    seen = zero_array((2, count), np.int32)  # last row (from 1) with a color, how often it has it
    is_single = zero_array(indices.size, np.bool_)
    for i in range(n):
        for k in range(indptr[i], indptr[i + 1]):
            color = colors[indices[k]]
            seen[1, color] = seen[1, color] + 1 if seen[0, color] == i + 1 else 1
            seen[0, color] = i + 1
        for k in range(indptr[i], indptr[i + 1]):
            is_single[k] = seen[1, colors[indices[k]]] == 1
    for i in range(n):
        for k in range(indptr[i], indptr[i + 1]):
            j = indices[k]
            if j < i:
                continue
            lo, hi = indptr[j], indptr[j + 1]
            mirror = lo + np.searchsorted(indices[lo:hi], i)
            if is_single[k]:
                places[k, 0], places[k, 1] = i, colors[j]
            elif is_single[mirror]:
                places[k, 0], places[k, 1] = j, colors[i]
            places[mirror] = places[k]
    return places


@entry
def _symmetric_pattern(indptr: Any, indices: Any) -> Any:
    n = indptr.size - 1
    column_ptr, rows, _ = _transpose(indptr, indices, n)
    start, merged = zero_array(n + 1, np.int32), empty_array(2 * indices.size, np.int32)
    count = 0
    for i in range(n):
        a, b = indptr[i], column_ptr[i]
        while a < indptr[i + 1] or b < column_ptr[i + 1]:
            left = indices[a] if a < indptr[i + 1] else np.int32(n)
            right = rows[b] if b < column_ptr[i + 1] else np.int32(n)
            merged[count] = smaller(left, right)
            a += left <= right
            b += right <= left
            count += 1
        start[i + 1] = count
    union = empty_array(count, np.int32)
    copy_items(union, merged, count)
    return start, union


@entry
def _upper_places(union_ptr: Any, union: Any, indptr: Any, indices: Any) -> Any:
    places = empty_array(union.size, np.int64)
    for i in range(union_ptr.size - 1):
        for k in range(union_ptr[i], union_ptr[i + 1]):
            row, column = smaller(i, union[k]), larger(i, union[k])
            for _ in range(2):
                lo, hi = indptr[row], indptr[row + 1]
                place = lo + np.searchsorted(indices[lo:hi], column)
                if place < hi and indices[place] == column:
                    break
                row, column = column, row
            places[k] = place
    return places
