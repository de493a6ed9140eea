"""Constraints of `minimize`, supplied with Jacobians and weighted Hessians."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import BFGS
from scipy.sparse import issparse

from ..drivers.factory import checked_function
from ..functions.memo import current, remembered
from ..solvers.evaluation import value_and_jacobian_for
from ..solvers.matrix_form import DenseOrSparse
from ..sparse.hessian import sparse_hessian
from ..transforms.derivatives import hessian
from ..twin.activation import twin

KIND = "minimize: constraint"


def with_derivatives(constraints: Any, n: int) -> Any:
    """Return constraints on n variables with dense Jacobians.

    A constraint that takes no Jacobian (`LinearConstraint`, say) is not changed.
    """
    return _each(constraints, lambda constraint: _with_jacobian(constraint, n, sparse=False))


def for_trust_constr(
    constraints: Any, x0: Any, options: dict[str, Any], *, sparse: bool | str
) -> tuple[Any, dict[str, Any]]:
    """Return constraints with Jacobians and Hessians, and the options of 'trust-constr'.

    For that method all Jacobians are sparse or all dense, according to its option
    `sparse_jacobian`, which is set if one of ours is sparse.
    """
    if options.get("sparse_jacobian") is False:
        sparse = False
    x0 = np.atleast_1d(np.asarray(x0, float))

    def with_both_orders(constraint: Any) -> Any:
        copied = _with_jacobian(constraint, x0.size, sparse=sparse)
        if hasattr(constraint, "fun") and type(constraint.hess) is BFGS:
            copied.hess = _weighted_hessian(constraint.fun, sparse=sparse)
        return copied

    changed = _each(constraints, with_both_orders)
    if sparse and any(_is_sparse(constraint, x0) for constraint in _as_list(changed)):
        options = {"sparse_jacobian": True, **options}
    return changed, options


def _each(constraints: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(constraints, dict) or hasattr(constraints, "lb"):
        return change(constraints)
    return [change(constraint) for constraint in constraints]


def _as_list(constraints: Any) -> list[Any]:
    return constraints if isinstance(constraints, list) else [constraints]


def _with_jacobian(constraint: Any, n: int, *, sparse: bool | str) -> Any:
    """Return a copy with function and Jacobian, unless the caller passed a Jacobian.

    The default of a `NonlinearConstraint` is '2-point'.
    """
    if isinstance(constraint, dict):
        if callable(constraint.get("jac")):
            return constraint
        fun, jac = value_and_jacobian_for(constraint["fun"], KIND, n, sparse=sparse)
        return {**constraint, "fun": fun, "jac": jac}
    if not hasattr(constraint, "fun"):
        return constraint
    copied = copy.copy(constraint)
    if isinstance(constraint.jac, str) and constraint.jac == "2-point":
        copied.fun, copied.jac = value_and_jacobian_for(constraint.fun, KIND, n, sparse=sparse)
    return copied


def _is_sparse(constraint: Any, x0: Any) -> bool:
    """Whether the Jacobian of a constraint is sparse at the starting point."""
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
        return DenseOrSparse(lambda: hessian(weighted), lambda: sparse_hessian(weighted), 0)
    return sparse_hessian(weighted) if sparse else hessian(weighted)
