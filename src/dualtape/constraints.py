"""Constraints of `minimize` with their Jacobians and weighted Hessians filled in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import BFGS

from .activate import twin
from .making import checked_function
from .memoize import value_and_jacobian_for
from .memory import remembered
from .transforms import hessian

__all__ = ["with_derivatives"]


def with_derivatives(constraints: Any, n: int, *, second: bool) -> Any:
    """Return constraints on n variables with derivatives, also Hessians if `second`.

    A constraint in a form that has none (`LinearConstraint`, say) stays as it is.
    """
    if isinstance(constraints, dict) or hasattr(constraints, "lb"):
        return _one(constraints, n, second=second)
    return [_one(constraint, n, second=second) for constraint in constraints]


def _one(constraint: Any, n: int, *, second: bool) -> Any:
    if isinstance(constraint, dict):
        if callable(constraint.get("jac")):
            return constraint
        fun, jac = value_and_jacobian_for(constraint["fun"], "minimize: constraint", n)
        return {**constraint, "fun": fun, "jac": jac}
    if not hasattr(constraint, "fun"):
        return constraint
    return _nonlinear(constraint, n, second=second)


def _nonlinear(constraint: Any, n: int, *, second: bool) -> Any:
    """Return a copy of a `NonlinearConstraint`.

    What it has where nothing was given, '2-point' and a BFGS of the default kind, is replaced.
    """
    f, made = constraint.fun, copy.copy(constraint)
    if isinstance(constraint.jac, str) and constraint.jac == "2-point":
        made.fun, made.jac = value_and_jacobian_for(f, "minimize: constraint", n)
    if second and type(constraint.hess) is BFGS:
        made.hess = _weighted_hessian(f)
    return made


def _weighted_hessian(f: Any) -> Callable[..., Any]:
    """Return (x, v) -> the Hessian of v^T f."""
    function = checked_function(f, "minimize: constraint")

    def make() -> Any:
        inner = twin(function)

        def weighted(x, v):  # type: ignore[no-untyped-def]
            return np.sum(v * inner(x))

        return hessian(weighted)

    return remembered(function, "weighted Hessian", make)
