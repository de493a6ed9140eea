"""Reading derivatives back: the small kernels behind every sweep.

Compiled once per type and cached on disk, whatever the user's function is; see `seed` for flat
indices and ``like``.
"""

from __future__ import annotations

from typing import Any

from numba.core import types

from ._jit import internal_kernel, specialized
from .seed import as_number, base_of, empty_numbers, lane, zeros

__all__: list[str] = []


@internal_kernel
def read_partials(y: Any, out: Any, first: Any, width: Any) -> None:
    """Copy the partials of a number to out[first : first + width]."""
    for j in range(min(width, out.size - first)):
        out[first + j] = lane(y, 1, j)


@internal_kernel
def read_mixed(y: Any, out: Any, first: Any, width: Any) -> None:
    """Copy e12 of a hyper-dual with m = 1 to out[first : first + width]."""
    for j in range(min(width, out.size - first)):
        out[first + j] = lane(y, 3, j)


@internal_kernel
def read_rows(y: Any, out: Any, first: Any, width: Any) -> None:
    """Copy the partials of an array of numbers to columns of out (m, n)."""
    columns = min(width, out.shape[1] - first)
    i = 0
    for number in y.flat:
        for j in range(columns):
            out[i, first + j] = lane(number, 1, j)
        i += 1


@internal_kernel
def read_row(y: Any, out: Any, first: Any, width: Any) -> None:
    """Copy the partials of one number to columns of out (1, n)."""
    read_partials(y, out[0], first, width)


@internal_kernel
def read_block(y: Any, out: Any, row: Any, column: Any, n: Any, m: Any) -> None:
    """Copy e12 (n x m) to the block of a symmetric matrix at (row, column) and its mirror."""
    for i in range(min(n, out.shape[0] - row)):
        for j in range(min(m, out.shape[0] - column)):
            second = lane(y, 3, i * m + j)
            # On a diagonal block the upper triangle decides, so that symmetry is exact.
            if row + i <= column + j:
                out[row + i, column + j] = second
                out[column + j, row + i] = second


@internal_kernel
def values_of(y: Any, like: Any) -> Any:
    """Return the values of an array of numbers, one level down (`like` is of that level)."""
    out = empty_numbers(y.shape, like)
    flat = out.reshape(out.size)
    i = 0
    for number in y.flat:
        flat[i] = base_of(number)
        i += 1
    return out


@internal_kernel
def tangents_of(y: Any, like: Any) -> Any:
    """Return the tangents of an array of one-partial numbers."""
    out = empty_numbers(y.shape, like)
    flat = out.reshape(out.size)
    i = 0
    for number in y.flat:
        flat[i] = lane(number, 1, 0)
        i += 1
    return out


@internal_kernel
def seconds_of(y: Any, like: Any) -> Any:
    """Return e12 of an array of textbook hyper-duals."""
    out = empty_numbers(y.shape, like)
    flat = out.reshape(out.size)
    i = 0
    for number in y.flat:
        flat[i] = lane(number, 3, 0)
        i += 1
    return out


@internal_kernel
def take(flat: Any, first: Any, x: Any) -> Any:
    """Return flat[first : first + x.size] in the shape of `x`, as an array of its own."""
    return flat[first : first + x.size].copy().reshape(x.shape)


@internal_kernel
def shaped(flat: Any, x: Any) -> Any:
    """Return a flat array in the shape of `x`."""
    return flat.reshape(x.shape)


@internal_kernel
def item(flat: Any, index: Any) -> Any:
    """Return one element."""
    return flat[index]


@internal_kernel
def new_rows(y: Any, n: Any, like: Any) -> Any:
    """Return a zeroed matrix with a row for every element of `y` and n columns."""
    return zeros((count(y), n), like)


def count(y: Any) -> int:
    """Return the number of elements of a result (compiled code only)."""
    raise NotImplementedError


@specialized(count)
def _count(y: Any) -> Any:
    if isinstance(y, types.Array):
        return lambda y: y.size
    return lambda y: 1


@internal_kernel
def columns(rows: Any, first: Any, size: Any, shape: Any) -> Any:
    """Return columns first : first + size of a matrix, in another shape."""
    return rows[:, first : first + size].copy().reshape(shape)


@internal_kernel
def corner(rows: Any, first: Any) -> Any:
    """Return one element of the first row."""
    return rows[0, first]


@internal_kernel
def array_of_list(items: Any, like: Any) -> Any:
    """Return a list of numbers as an array."""
    out = empty_numbers((len(items),), like)
    for i in range(len(items)):
        out[i] = as_number(items[i], like)
    return out


@internal_kernel
def array_of_tuple(items: Any, like: Any) -> Any:
    """Return a tuple of numbers of one type as an array."""
    out = empty_numbers((len(items),), like)
    for i in range(len(items)):
        out[i] = items[i]
    return out


@internal_kernel
def zeros_like(y: Any, like: Any) -> Any:
    """Return zeros in the shape of `y`."""
    return zeros(y.shape, like)


@internal_kernel
def tangent_of(y: Any) -> Any:
    """Return the tangent of a one-partial number."""
    return lane(y, 1, 0)


@internal_kernel
def second_of(y: Any) -> Any:
    """Return e12 of a textbook hyper-dual."""
    return lane(y, 3, 0)


@internal_kernel
def entry(matrix: Any, row: Any, column: Any) -> Any:
    """Return one entry."""
    return matrix[row, column]


@internal_kernel
def submatrix(matrix: Any, row: Any, column: Any, rows: Any, columns: Any, shape: Any) -> Any:
    """Return a block of a matrix, in another shape."""
    return matrix[row : row + rows, column : column + columns].copy().reshape(shape)
