"""Reading derivatives back: the small kernels behind every sweep.

Compiled once per type and cached on disk, whatever the user's function is; see `access` for flat
indices and ``like``.
"""

from __future__ import annotations

from typing import Any

from numba.core import types

from ..backend.jit import by_type, kernel
from .access import as_number, base_of, empty_numbers, flat_view, flattened, lane, zeros


@kernel
def read_lanes(lanes: Any, out: Any, first: Any) -> None:
    """Copy the derivatives of a number to out[first : first + lanes.size], as far as `out` goes."""
    for j in range(min(lanes.size, out.size - first)):
        out[first + j] = lanes[j]


@kernel
def read_row(lanes: Any, out: Any, row: Any, first: Any) -> None:
    """Copy the derivatives of one number to columns of a row of out."""
    read_lanes(lanes, out[row], first)


@kernel
def read_rows(y: Any, out: Any, row: Any, first: Any, width: Any) -> None:
    """Copy the partials of an array of numbers to columns of the rows of out from `row`."""
    columns = min(width, out.shape[1] - first)
    source = flattened(y)
    for i in range(source.size):
        for j in range(columns):
            out[row + i, first + j] = lane(source[i], 1, j)


@kernel
def symmetrize(matrix: Any) -> None:
    """Copy the upper triangle of a matrix to the lower one."""
    for i in range(matrix.shape[0]):
        for j in range(i):
            matrix[i, j] = matrix[j, i]


@kernel
def read_block(lanes: Any, out: Any, row: Any, column: Any, m: Any) -> None:
    """Copy e12 (n x m) to the block of a symmetric matrix at (row, column) and its transpose.

    On a diagonal block the upper triangle is copied, so that symmetry is exact.
    """
    for i in range(min(lanes.size // m, out.shape[0] - row)):
        for j in range(max(0, row + i - column), min(m, out.shape[0] - column)):
            out[row + i, column + j] = lanes[i * m + j]
            out[column + j, row + i] = lanes[i * m + j]


@kernel
def values_of(y: Any, like: Any) -> Any:
    """Return the values of an array of numbers, one level down (`like` is of that level)."""
    out = empty_numbers(y.shape, like)
    flat, source = flat_view(out), flattened(y)
    for i in range(flat.size):
        flat[i] = base_of(source[i])
    return out


@kernel
def tangents_of(y: Any, like: Any) -> Any:
    """Return the tangents of an array of one-partial numbers."""
    out = empty_numbers(y.shape, like)
    flat, source = flat_view(out), flattened(y)
    for i in range(flat.size):
        flat[i] = lane(source[i], 1, 0)
    return out


@kernel
def seconds_of(y: Any, like: Any) -> Any:
    """Return e12 of an array of textbook hyper-duals."""
    out = empty_numbers(y.shape, like)
    flat, source = flat_view(out), flattened(y)
    for i in range(flat.size):
        flat[i] = lane(source[i], 3, 0)
    return out


@kernel
def reshape_like(flat: Any, x: Any) -> Any:
    """Return a flat array in the shape of `x`."""
    return flat.reshape(x.shape)


@kernel
def new_rows(y: Any, n: Any, like: Any) -> Any:
    """Return a zeroed matrix with a row for every element of `y` and n columns."""
    return zeros((size_of(y), n), like)


@by_type
def size_of(x: Any) -> Any:
    """Return the number of elements of an array; 1 for a number."""
    return (lambda x: x.size) if isinstance(x, types.Array) else (lambda x: 1)


@kernel
def put_array(flat: Any, first: Any, y: Any, like: Any) -> None:
    """Copy the elements of an array into a vector of numbers, from `first` on."""
    source = flattened(y)
    for i in range(source.size):
        flat[first + i] = as_number(source[i], like)


@kernel
def put_number(flat: Any, first: Any, y: Any, like: Any) -> None:
    """Copy a number into a vector of numbers."""
    flat[first] = as_number(y, like)


@kernel
def array_of_list(items: Any, like: Any) -> Any:
    """Return a list of numbers as an array."""
    out = empty_numbers((len(items),), like)
    for i in range(len(items)):
        out[i] = as_number(items[i], like)
    return out


@kernel
def array_of_tuple(items: Any, like: Any) -> Any:
    """Return a tuple of numbers of one type as an array."""
    out = empty_numbers((len(items),), like)
    for i in range(len(items)):
        out[i] = items[i]
    return out


@kernel
def zeros_like(y: Any, like: Any) -> Any:
    """Return zeros in the shape of `y`."""
    return zeros(y.shape, like)


@kernel
def tangent_of(y: Any) -> Any:
    """Return the tangent of a one-partial number."""
    return lane(y, 1, 0)


@kernel
def second_of(y: Any) -> Any:
    """Return e12 of a textbook hyper-dual."""
    return lane(y, 3, 0)


@kernel
def entry(matrix: Any, row: Any, column: Any) -> Any:
    """Return one entry."""
    return matrix[row, column]


@kernel
def submatrix(matrix: Any, row: Any, column: Any, rows: Any, columns: Any, shape: Any) -> Any:
    """Return a block of a matrix, in another shape."""
    return matrix[row : row + rows, column : column + columns].copy().reshape(shape)
