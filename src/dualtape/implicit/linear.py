"""Linear algebra of Newton steps, for numbers and for arrays: inverses, lengths, steps.

The solver is compiled for each user's equations; these functions do not depend on them and are
compiled once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from ..backend.jit import by_type, generic
from ..errors import SingularJacobianError

EPSILON = 2.0**-52
SINGULAR = (
    "the Jacobian at the solution is singular (or not finite): there the solution is not a "
    "differentiable function of the parameters"
)


@by_type
def inverse(jacobian: Any) -> Any:
    """Return the inverse of a Jacobian: a matrix, or the slope of one equation."""
    return inverse_of_matrix if isinstance(jacobian, types.Array) else reciprocal


def inverse_of_matrix(jacobian: Any) -> Any:
    """Return the inverse, by Gauss-Jordan elimination with partial pivoting.

    Rows and columns are first scaled to a largest entry of 1, so that a pivot of the size of
    rounding errors indicates a singular matrix, whatever the units of its rows and columns.
    """
    n = jacobian.shape[0]
    if jacobian.shape[1] != n:
        raise SingularJacobianError("the Jacobian is not square")
    columns, work = np.ones(n), np.zeros((n, 2 * n))
    for j in range(n):
        columns[j] = scale_of(jacobian[:, j])
    for i in range(n):
        row = scale_of(jacobian[i] / columns)
        for j in range(n):
            work[i, j] = jacobian[i, j] / columns[j] / row
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


def reciprocal(jacobian: Any) -> Any:
    """Return 1 / slope."""
    if jacobian == 0.0 or not np.isfinite(jacobian):
        raise SingularJacobianError(SINGULAR)
    return 1.0 / jacobian


@by_type
def newton_step(inverted: Any, residual: Any) -> Any:
    """Return the step of Newton's method, to be subtracted, from the inverted Jacobian."""
    if isinstance(inverted, types.Array):
        return lambda inverted, residual: inverted @ residual
    return lambda inverted, residual: inverted * residual


@by_type
def largest(values: Any) -> Any:
    """Return the largest absolute value; NaN if one value is NaN."""
    if isinstance(values, types.Array):
        return lambda values: np.max(np.abs(values))
    return lambda values: abs(values)


@generic
def stepped(x: Any, length: Any, step: Any) -> Any:
    """Return ``x - length * step``."""
    return x - length * step


@generic
def scale_of(values: Any) -> Any:
    """Return the largest absolute value, a power of two for exact scaling; 1 for zeros."""
    scale = largest(values)
    if scale == 0.0 or not np.isfinite(scale):
        return 1.0
    return 2.0 ** np.floor(np.log2(scale))
