"""Linear algebra of Newton steps, compiled once: the inverse of a small matrix, lengths, steps.

What solves a user's equations is compiled for each of them, so it calls what does not depend on
them instead of writing it out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._jit import generic
from .errors import SingularJacobianError

__all__ = ["inverse", "largest", "newton_step", "reciprocal", "solution_step", "stepped"]

EPSILON = 2.0**-52
SINGULAR = (
    "the Jacobian at the solution is singular (or not finite): there the solution is not a "
    "differentiable function of the parameters"
)


@generic
def inverse(matrix: Any) -> Any:
    """Return the inverse, by Gauss-Jordan elimination with partial pivoting.

    Rows and columns are first scaled to a largest entry of 1, so that a pivot of the size of
    rounding errors tells a singular matrix, whatever the units of its rows and columns.
    """
    n = matrix.shape[0]
    if matrix.shape[1] != n:
        raise SingularJacobianError("the Jacobian is not square")
    columns, work = np.ones(n), np.zeros((n, 2 * n))
    for j in range(n):
        columns[j] = scale_of(matrix[:, j])
    for i in range(n):
        row = scale_of(matrix[i] / columns)
        for j in range(n):
            work[i, j] = matrix[i, j] / columns[j] / row
        work[i, n + i] = 1.0 / row
    for k in range(n):
        pivot = k + np.argmax(np.abs(work[k:, k]))
        if not abs(work[pivot, k]) > n * EPSILON:
            raise SingularJacobianError(SINGULAR)
        if pivot != k:
            for j in range(2 * n):
                work[k, j], work[pivot, j] = work[pivot, j], work[k, j]
        work[k] /= work[k, k]
        for i in range(n):
            if i != k and work[i, k] != 0.0:
                work[i] -= work[i, k] * work[k]
    out = np.empty((n, n))
    for i in range(n):
        out[i] = work[i, n:] / columns[i]
    return out


@generic
def newton_step(jacobian: Any, residual: Any) -> Any:
    """Return the step of Newton's method that is to be subtracted."""
    return inverse(jacobian) @ residual


@generic
def solution_step(inverted: Any, residual: Any) -> Any:
    """Return the length of the Newton step at what a solver returned, the Jacobian inverted."""
    return largest(inverted @ residual)


@generic
def largest(values: Any) -> Any:
    """Return the largest absolute value, NaN if one is NaN."""
    return np.max(np.abs(values))


@generic
def stepped(x: Any, length: Any, step: Any) -> Any:
    """Return ``x - length * step``."""
    return x - length * step


@generic
def reciprocal(slope: Any) -> Any:
    """Return 1 / slope, the inverse of the Jacobian of one equation."""
    if slope == 0.0 or not np.isfinite(slope):
        raise SingularJacobianError(SINGULAR)
    return 1.0 / slope


@generic
def scale_of(values: Any) -> Any:
    """Return the largest absolute value, a power of two for exact scaling; 1 for zeros."""
    scale = largest(values)
    if scale == 0.0 or not np.isfinite(scale):
        return 1.0
    return 2.0 ** np.floor(np.log2(scale))
