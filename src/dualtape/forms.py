"""The form in which a solver gets a matrix of derivatives: dense, or sparse where that pays.

Sparse matrices save sweeps and, in the solver, most of a factorization; they cost a recording and
an overhead in every operation.  So small or full ones are dense.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import ArgumentError, TapeMemoryError
from .sparse import sparse_jacobian
from .transforms import jacobian

__all__ = ["Fitting", "checked_form", "jacobian_for"]

UNKNOWNS = 100
"""Up to so many, SciPy's solvers are no faster with sparse matrices (chains, BDF and Radau)."""
DENSITY = 0.1
"""Stored entries, as a share of all, above which factors fill in and dense ones are faster."""


def checked_form(kind: str, sparse: Any) -> Any:
    """Return the option `sparse` if it is one of those that exist."""
    if sparse is True or sparse is False or (isinstance(sparse, str) and sparse == "auto"):
        return sparse
    raise ArgumentError(f"{kind}: sparse is {sparse!r}; expected True, False or 'auto'")


def jacobian_for(
    f: Callable[..., Any], position: int | tuple[int, ...], *, sparse: bool | str
) -> Callable[..., Any]:
    """Return the Jacobian of f by arguments, for one run of a solver.

    With `sparse` it is a ``csr_array``, with "auto" where that pays; otherwise it is dense, with a
    block for each position if there are several.
    """
    if sparse == "auto":
        return Fitting(
            lambda: jacobian(f, position), lambda: sparse_jacobian(f, position), position
        )
    return sparse_jacobian(f, position) if sparse else jacobian(f, position)


class Fitting:
    """A matrix of derivatives for one run of a solver; the first call decides on its form.

    Solvers ask once whether matrices are sparse.  The pattern may well change from point to point.

    Parameters
    ----------
    dense, sparse : function
        Return the derivative in one form.
    position : int or tuple of int
        Of the differentiated arguments.
    """

    def __init__(
        self,
        dense: Callable[[], Callable[..., Any]],
        sparse: Callable[[], Callable[..., Any]],
        position: int | tuple[int, ...],
    ) -> None:
        self._dense, self._sparse = dense, sparse
        self._positions = position if isinstance(position, tuple) else (position,)
        self._chosen: Callable[..., Any] | None = None

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Return the matrix."""
        if self._chosen is not None:
            return self._chosen(*args, **named)
        if sum(np.size(args[i]) for i in self._positions) > UNKNOWNS:
            sparse = self._sparse()
            try:
                found = sparse(*args, **named)
            except TapeMemoryError:  # forward mode records nothing
                found = None
            if found is not None and found.nnz <= DENSITY * math.prod(found.shape):
                self._chosen = sparse
                return found
        self._chosen = self._dense()
        return self._chosen(*args, **named)
