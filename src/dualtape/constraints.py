"""Constraints of `minimize` with their Jacobians and weighted Hessians filled in."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import BFGS
from scipy.sparse import issparse

from .activate import twin
from .forms import Fitting
from .making import checked_function
from .memoize import value_and_jacobian_for
from .memory import current, remembered
from .sparse_second import sparse_hessian
from .transforms import hessian

__all__ = ["for_trust_constr", "with_derivatives"]

KIND = "minimize: constraint"


def with_derivatives(constraints: Any, n: int) -> Any:
    """Return constraints on n variables with dense Jacobians.

    A constraint in a form that has none (`LinearConstraint`, say) stays as it is.
    """
    return _each(constraints, lambda constraint: _with_jacobian(constraint, n, sparse=False))


def for_trust_constr(
    constraints: Any, x0: Any, options: dict[str, Any], *, sparse: bool | str
) -> tuple[Any, dict[str, Any]]:
    """Return constraints with Jacobians and Hessians, and the options of 'trust-constr'.

    That method has all Jacobians sparse or all dense, as its own option `sparse_jacobian` says; it
    is set where one of ours is sparse.
    """
    if options.get("sparse_jacobian") is False:
        sparse = False
    x0 = np.atleast_1d(np.asarray(x0, float))

    def filled_in(constraint: Any) -> Any:
        made = _with_jacobian(constraint, x0.size, sparse=sparse)
        if hasattr(constraint, "fun") and type(constraint.hess) is BFGS:
            made.hess = _weighted_hessian(constraint.fun, sparse=sparse)
        return made

    made = _each(constraints, filled_in)
    if sparse and any(_is_sparse(constraint, x0) for constraint in _listed(made)):
        options = {"sparse_jacobian": True, **options}
    return made, options


def _each(constraints: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(constraints, dict) or hasattr(constraints, "lb"):
        return change(constraints)
    return [change(constraint) for constraint in constraints]


def _listed(constraints: Any) -> list[Any]:
    return constraints if isinstance(constraints, list) else [constraints]


def _with_jacobian(constraint: Any, n: int, *, sparse: bool | str) -> Any:
    """Return a copy with function and Jacobian, if that was not given.

    A `NonlinearConstraint` has '2-point' where nothing was given.
    """
    if isinstance(constraint, dict):
        if callable(constraint.get("jac")):
            return constraint
        fun, jac = value_and_jacobian_for(constraint["fun"], KIND, n, sparse=sparse)
        return {**constraint, "fun": fun, "jac": jac}
    if not hasattr(constraint, "fun"):
        return constraint
    made = copy.copy(constraint)
    if isinstance(constraint.jac, str) and constraint.jac == "2-point":
        made.fun, made.jac = value_and_jacobian_for(constraint.fun, KIND, n, sparse=sparse)
    return made


def _is_sparse(constraint: Any, x0: Any) -> bool:
    """Whether the Jacobian of a constraint is sparse at the start."""
    if isinstance(constraint, dict):
        jac, args = constraint["jac"], constraint.get("args", ())
        return issparse(jac(x0, *args))
    jac = getattr(constraint, "jac", None)
    return callable(jac) and issparse(jac(x0))


def _weighted_hessian(f: Any, *, sparse: bool | str) -> Callable[..., Any]:
    """Return (x, v) -> the Hessian of v^T f."""
    function = current(checked_function(f, KIND))

    def make() -> Any:
        inner = twin(function)

        def weighted(x, v):  # type: ignore[no-untyped-def]
            return np.sum(v * inner(x))

        return weighted

    weighted = remembered(function, "weighted sum", make)
    if sparse == "auto":
        return Fitting(lambda: hessian(weighted), lambda: sparse_hessian(weighted), 0)
    return sparse_hessian(weighted) if sparse else hessian(weighted)
