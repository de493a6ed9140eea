"""LU factors that are computed once and used many times: LAPACK's gesv, getrf, getrs and trtrs.

Numba's ``np.linalg.solve`` factors at each call and discards the factors, so a derivative through
it would pay the cubic cost again: with n = 500, in one run, factoring takes as long as ``solve``
itself, and a substitution with known factors a twenty-fifth of that.

Arrays are C-contiguous and LAPACK reads them by columns: it gets matrices transposed, and
right-hand sides as rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..backend.allocation import empty_array
from ..backend.fortran import FLIPPED, PLAIN, UPPER, fortran
from ..backend.jit import kernel
from .matrices import transposed

# OpenBLAS wakes its threads for a system of two equations: 16 ms instead of 1 us on a machine with
# two busy cores.  Time of loops / that of OpenBLAS with one thread, in one run:
#     n                         4     8    16    24    32    64
#     1 right-hand side       1.1   1.3   2.1   1.9   2.0   2.6
#     n right-hand sides      0.8   0.9   0.9   1.0   1.1   1.5
SMALL = 32  # rows below which there are loops


@kernel
def factor(a_t: Any) -> Any:
    """Return the LU factors and pivots of A, given A^T, and whether A is regular."""
    lu, n = a_t.copy(), a_t.shape[0]
    pivots = empty_array(n, np.int32)
    if n == 0:
        return lu, pivots, True
    info = fortran("getrf", (n, n, lu, n, pivots))
    return lu, pivots, info == 0


@kernel
def solve_and_factor(a_t: Any, b: Any) -> Any:
    """Solve A x = b for each row of b as NumPy does, given A^T, which the factors overwrite.

    Return x, LU factors, pivots, and whether A is regular.
    """
    lu, x, n = a_t, b.copy(), a_t.shape[0]
    pivots = empty_array(n, np.int32)
    if n == 0:
        return x, lu, pivots, True
    info = fortran("gesv", (n, x.shape[0], lu, n, pivots, x, n))
    return x, lu, pivots, info == 0


@kernel
def substitute(lu: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    """Solve A x = b, or A^T x = b if `flipped`, for each row of b.

    Without pivots `lu` is itself the (lower triangular) transposed matrix.
    """
    n, count = lu.shape[0], b.shape[0]
    if n < SMALL:
        return substitute_by_loops(lu, pivots, b, flipped)
    x, side = b.copy(), FLIPPED if flipped else PLAIN
    if count == 0:
        return x
    if pivots.size == 0:
        fortran("trtrs", (UPPER, side, PLAIN, n, count, lu, n, x, n))
    else:
        fortran("getrs", (side, n, count, lu, n, pivots, x, n))
    return x


@kernel
def substitute_by_loops(lu: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    """Do `substitute` for all right-hand sides at once, as the columns of a matrix.

    A = P L U, and row j of `lu` is column j of L and U; the unit diagonal of L is not stored.
    """
    x, n = transposed(b), lu.shape[0]
    if flipped:
        for j in range(n):
            for i in range(j):
                subtract(x, j, lu[j, i], i)
            divide(x, j, lu[j, j])
        for j in range(pivots.size - 1, -1, -1):
            for i in range(j + 1, n):
                subtract(x, j, lu[j, i], i)
        for j in range(pivots.size - 1, -1, -1):
            swap(x, j, pivots[j] - 1)
        return transposed(x)
    for j in range(pivots.size):
        swap(x, j, pivots[j] - 1)
    for j in range(pivots.size):
        for i in range(j + 1, n):
            subtract(x, i, lu[j, i], j)
    for j in range(n - 1, -1, -1):
        divide(x, j, lu[j, j])
        for i in range(j):
            subtract(x, i, lu[j, i], j)
    return transposed(x)


@kernel
def subtract(x: Any, i: Any, factor: Any, j: Any) -> None:
    """Subtract a multiple of row j from row i."""
    for k in range(x.shape[1]):
        x[i, k] -= factor * x[j, k]


@kernel
def divide(x: Any, i: Any, by: Any) -> None:
    """Divide row i by a number."""
    for k in range(x.shape[1]):
        x[i, k] /= by


@kernel
def swap(x: Any, i: Any, j: Any) -> None:
    """Exchange rows i and j."""
    for k in range(x.shape[1]):
        x[i, k], x[j, k] = x[j, k], x[i, k]
