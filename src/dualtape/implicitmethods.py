"""The Jacobian of a right-hand side, as SciPy's implicit methods want it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .composed import evaluated
from .forms import jacobian_for

__all__ = ["filled_in", "is_implicit", "takes_sparse"]

IMPLICIT = {"Radau", "BDF", "LSODA"}
OTHER_FORMS = ("jac", "jac_sparsity", "lband", "uband")
"""Options by which the caller chooses a Jacobian."""


def is_implicit(method: Any) -> bool:
    """Whether a method of `solve_ivp` uses a Jacobian."""
    return _name(method) in IMPLICIT


def takes_sparse(method: Any) -> bool:
    """Whether it can be sparse."""
    return _name(method) in ("Radau", "BDF")


def _name(method: Any) -> str:
    return str(getattr(method, "__name__", method))


def filled_in(
    fun: Any,
    method: Any,
    n: int,
    options: dict[str, Any],
    *,
    vectorized: bool,
    sparse: bool | str,
) -> tuple[Any, dict[str, Any]]:
    """Return right-hand side and options of `solve_ivp` with the Jacobian where it is used."""
    if not is_implicit(method) or any(options.get(name) is not None for name in OTHER_FORMS):
        return fun, options
    whole = jacobian_for(fun, 1, sparse=takes_sparse(method) and sparse)
    return evaluated(fun, "solve_ivp"), {**options, "jac": _square(whole, n, vectorized=vectorized)}


def _square(whole: Callable[..., Any], n: int, *, vectorized: bool) -> Callable[..., Any]:
    """Return the Jacobian as a matrix, whether f returns an array, a list or one number."""

    def jac(t: Any, y: Any, *args: Any) -> Any:
        found = whole(t, y[:, None] if vectorized else y, *args)
        return found if getattr(found, "shape", None) == (n, n) else np.reshape(found, (n, n))

    return jac
