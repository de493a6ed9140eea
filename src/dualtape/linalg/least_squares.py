"""np.linalg.lstsq of full rank, by steps of Newton's method."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays.conversion import values
from ..arrays.primal import derivative_order
from ..backend.allocation import empty_array
from ..backend.jit import generic, kernel
from ..numbers.access import element_like, empty_numbers
from .matrices import as_rows, from_rows, transposed, with_roots
from .products import times
from .solve import backsolve

NOT_FITTING = "Incompatible array sizes, system is not dimensionally valid."
NOT_FULL_RANK = (
    "lstsq: the matrix has not full rank; the solution of least norm is not differentiable there. "
    "Remove dependent columns or add a small multiple of the identity."
)


@kernel
def lstsq(a: Any, b: Any, rcond: Any = -1.0) -> Any:
    """np.linalg.lstsq of full rank: (solution, residuals, rank, None).

    With A^T (B - A X) = 0, or X = A^T Y and B - A A^T Y = 0 where there are fewer equations than
    unknowns, one step of Newton's method with the plain inverse of A^T A from the plain solution
    gives all first derivatives, and every further step those of one more order.  There is no rule
    for the singular values.
    """
    if b.shape[0] != a.shape[0]:
        raise np.linalg.LinAlgError(NOT_FITTING)
    plain_a = values(a)
    x0, squares, rank = plain_least_squares(plain_a, values(b), rcond)
    if rank < min(a.shape[0], a.shape[1]):
        raise np.linalg.LinAlgError(NOT_FULL_RANK)
    a_t, b_t, x_t = transposed(a), as_rows(b), as_rows(x0)
    if a.shape[0] >= a.shape[1]:
        gram = gram_factor(plain_a)
        rows = step(gram, a_t, a, b_t, x_t)
        for _ in range(derivative_order((a, b_t)) - 1):
            rows = step(gram, a_t, a, b_t, rows)
        residuals = b_t - times(rows, a_t)
    else:
        gram = gram_factor(transposed(plain_a))
        start = inverse_gram(gram, as_rows(values(b)))
        y = wide_step(gram, a_t, a, b_t, start)
        for _ in range(derivative_order((a, b_t)) - 1):
            y = wide_step(gram, a_t, a, b_t, y)
        rows = times(y, a)
        residuals = b_t - times(rows, a_t)
    x = with_roots(rows, x_t)
    return from_rows(x, b), sums_of_squares(residuals, squares), rank, None


@kernel
def plain_least_squares(a: Any, b: Any, rcond: Any) -> Any:
    """Return solution, residuals and rank of floats."""
    x, squares, rank, _ = np.linalg.lstsq(a, b, rcond)
    return x, squares, rank


@kernel
def gram_factor(a: Any) -> Any:
    """Return R^T, where A^T A = R^T R."""
    return transposed(np.linalg.qr(a)[1])


@generic
def inverse_gram(factor: Any, b: Any) -> Any:
    """Solve R^T R x = b for each row of b, given R transposed."""
    none = empty_array(0, np.int32)
    return backsolve(factor, backsolve(factor, b, none, True), none, False)


@generic
def step(factor: Any, a_t: Any, a: Any, b_t: Any, x: Any) -> Any:
    """Return Newton's next iterate for A^T (b - A x) = 0."""
    return x + inverse_gram(factor, times(b_t - times(x, a_t), a))


@generic
def wide_step(factor: Any, a_t: Any, a: Any, b_t: Any, y: Any) -> Any:
    """Return Newton's next iterate for b - A A^T y = 0."""
    return y + inverse_gram(factor, b_t - times(times(y, a), a_t))


@kernel
def sums_of_squares(residuals: Any, plain: Any) -> Any:
    """Return the sum of squares of each row; an empty array where NumPy returns one."""
    out = empty_numbers((plain.size,), element_like(residuals))
    for i in range(plain.size):
        s = element_like(residuals)
        for j in range(residuals.shape[1]):
            s = s + residuals[i, j] * residuals[i, j]
        out[i] = s
    return out
