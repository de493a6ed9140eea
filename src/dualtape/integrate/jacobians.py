"""The Jacobian of a right-hand side, in the form expected by SciPy's implicit methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..drivers.compose import compiled_function
from ..solvers.matrix_form import jacobian_for

IMPLICIT = {"Radau", "BDF", "LSODA"}
OTHER_FORMS = ("jac", "jac_sparsity", "lband", "uband")
"""Options by which the caller chooses a Jacobian."""


def is_implicit(method: Any) -> bool:
    """Whether a method of `solve_ivp` uses a Jacobian."""
    return _name(method) in IMPLICIT


def takes_sparse(method: Any) -> bool:
    """Whether a method of `solve_ivp` accepts a sparse Jacobian."""
    return _name(method) in ("Radau", "BDF")


def _name(method: Any) -> str:
    return str(getattr(method, "__name__", method))


def with_jacobian(
    fun: Any,
    method: Any,
    n: int,
    options: dict[str, Any],
    *,
    vectorized: bool,
    sparse: bool | str,
) -> tuple[Any, dict[str, Any]]:
    """Return right-hand side and options of `solve_ivp`, with the Jacobian if it is used."""
    if not is_implicit(method) or any(options.get(name) is not None for name in OTHER_FORMS):
        return fun, options
    whole = jacobian_for(fun, 1, sparse=takes_sparse(method) and sparse)
    options = {**options, "jac": _square(whole, n, vectorized=vectorized)}
    return compiled_function(fun, "solve_ivp"), options


def _square(whole: Callable[..., Any], n: int, *, vectorized: bool) -> Callable[..., Any]:
    """Return the Jacobian as a matrix, whether f returns an array, a list or one number."""

    def jac(t: Any, y: Any, *args: Any) -> Any:
        matrix = whole(t, y[:, None] if vectorized else y, *args)
        return matrix if getattr(matrix, "shape", None) == (n, n) else np.reshape(matrix, (n, n))

    return jac
