"""Sparse matrices of one pattern: made from a frame, whose indices they share or copy."""

from __future__ import annotations

from typing import Any

import numpy as np


def positions_in(pattern: Any, indptr: Any, indices: Any) -> Any:
    """Return the position of every entry of `pattern` among other entries, -1 if missing.

    None if those are not all in the pattern.
    """
    wide = np.int64(max(pattern.shape[1], 1))

    def keys(starts: Any, columns: Any) -> Any:
        rows = np.repeat(np.arange(starts.size - 1, dtype=np.int64), np.diff(starts))
        return rows * wide + columns

    expected, entries = keys(pattern.indptr, pattern.indices), keys(indptr, indices)
    places = np.searchsorted(expected, entries)
    if np.any(places == expected.size) or np.any(expected[places] != entries):
        return None
    positions = np.full(expected.size, -1)
    positions[places] = np.arange(entries.size)
    return positions


def frame_of(indptr: Any, indices: Any, shape: tuple[int, int], dtype: Any = np.float64) -> Any:
    """Return a matrix of zeros, from which `with_data` makes others of the same pattern."""
    from scipy.sparse import csr_array  # noqa: PLC0415  # takes longer than the package itself

    frame = csr_array((np.zeros(indices.size, dtype), indices, indptr), shape=shape)
    frame.has_canonical_format = True
    return frame


def with_data(frame: Any, data: Any, share: bool = False) -> Any:
    """Return a matrix with the pattern of `frame`, whose index arrays it shares or copies.

    Like ``copy.copy`` it sets the state of a new object; the checks of the constructor take several
    times as long as a small Jacobian.
    """
    matrix = object.__new__(frame.__class__)
    state = {"data": data}
    if not share:
        state |= {"indices": frame.indices.copy(), "indptr": frame.indptr.copy()}
    matrix.__dict__ = frame.__dict__ | state
    return matrix


def frozen(frame: Any) -> Any:
    """Make the index arrays of a frame read-only, so that they can be shared; return it."""
    frame.indices.flags.writeable = frame.indptr.flags.writeable = False
    return frame


def as_pattern(matrix: Any) -> Any:
    """Return the pattern of a matrix, as a matrix of bool."""
    return with_data(matrix, np.ones(matrix.nnz, np.bool_))
