"""The form of matrices of derivatives for solvers: dense, or sparse where that is faster.

Sparse matrices save sweeps and, in the solver, most of a factorization; they cost a recording and
an overhead in every operation.  So small or full matrices are dense.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import ArgumentError, TapeMemoryError
from ..sparse.jacobian import sparse_jacobian
from ..transforms.derivatives import jacobian

UNKNOWNS = 100
"""Size up to which SciPy's solvers are no faster with sparse matrices (chains, BDF and Radau)."""
DENSITY = 0.1
"""Fraction of stored entries above which factors fill in and dense matrices are faster."""


def checked_form(kind: str, sparse: Any) -> Any:
    """Return the option `sparse`, or raise if it is invalid."""
    if sparse is True or sparse is False or (isinstance(sparse, str) and sparse == "auto"):
        return sparse
    raise ArgumentError(f"{kind}: sparse is {sparse!r}; expected True, False or 'auto'")


def jacobian_for(
    f: Callable[..., Any], position: int | tuple[int, ...], *, sparse: bool | str
) -> Callable[..., Any]:
    """Return the Jacobian of f with respect to some arguments, for one run of a solver.

    With `sparse` it is a ``csr_array``, with "auto" if that is faster; otherwise it is dense, with
    a block for each position if there are several.
    """
    if sparse == "auto":
        return DenseOrSparse(
            lambda: jacobian(f, position), lambda: sparse_jacobian(f, position), position
        )
    return sparse_jacobian(f, position) if sparse else jacobian(f, position)


class DenseOrSparse:
    """A matrix of derivatives for one run of a solver; the first call determines its form.

    Solvers check once whether matrices are sparse.  The pattern may change from point to point.

    Parameters
    ----------
    dense, sparse : function
        Return the derivative in one form.
    position : int or tuple of int
        Positions of the differentiated arguments.
    """

    def __init__(
        self,
        dense: Callable[[], Callable[..., Any]],
        sparse: Callable[[], Callable[..., Any]],
        position: int | tuple[int, ...],
    ) -> None:
        self._dense, self._sparse = dense, sparse
        self._positions = position if isinstance(position, tuple) else (position,)
        self._derivative: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the matrix."""
        if self._derivative is not None:
            return self._derivative(*args, **kwargs)
        if sum(np.size(args[i]) for i in self._positions) > UNKNOWNS:
            sparse = self._sparse()
            try:
                matrix = sparse(*args, **kwargs)
            except TapeMemoryError:  # forward mode records nothing
                matrix = None
            if matrix is not None and matrix.nnz <= DENSITY * math.prod(matrix.shape):
                self._derivative = sparse
                return matrix
        self._derivative = self._dense()
        return self._derivative(*args, **kwargs)
