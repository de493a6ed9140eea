"""Functions and their derivatives for solvers: one evaluation per point.

SciPy requests the value, the gradient and the Hessian at a point by separate calls.  Derivatives
are computed together with the value, so the first of these calls computes all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..drivers.compose import compiled_function
from ..drivers.factory import py_func_of
from ..errors import MissingRuleError, UnsupportedFunctionError
from ..transforms.derivatives import hessian, value_and_grad, value_and_jacobian, value_grad_hessian
from .matrix_form import jacobian_for

ONE_SWEEP = 8
"""Number of inputs up to which a Jacobian costs little more than the value."""

_UNKNOWN = object()


class Together:
    """Functions that are computed together when one of them is called at a new point.

    Parameters
    ----------
    whole : function
        Returns the values of all of them.
    key : function
        Returns a value that identifies a point, from the arguments.
    """

    def __init__(self, whole: Callable[..., Any], key: Callable[[Any], Any]) -> None:
        self._whole = whole
        self._key_of = key
        self._key: Any = _UNKNOWN
        self._values: Any = None

    def part(self, i: int) -> Callable[..., Any]:
        """Return the function of the i-th value."""

        def part(*args: Any, **kwargs: Any) -> Any:
            key = self._key_of(args)
            if key != self._key:
                self._values = self._whole(*args, **kwargs)
                self._key = key
            return self._values[i]

        return part


def _first_bytes(args: Any) -> Any:
    return args[0].tobytes()


def objective_for(f: Callable[..., Any], *, together: bool) -> tuple[Any, Any, Any]:
    """Return value, gradient and Hessian of f(x, *args), for one run of a solver.

    `together` says whether a call for the value computes the Hessian, too.
    """
    point = Together(value_grad_hessian(f) if together else value_and_grad(f), _first_bytes)
    return point.part(0), point.part(1), point.part(2) if together else hessian(f)


def value_and_jacobian_for(
    f: Callable[..., Any], kind: str, n: int, *, sparse: bool | str = False
) -> tuple[Any, Any]:
    """Return f and its Jacobian by the first argument, for a solver with n unknowns.

    If the Jacobian takes one sweep, which gives the value anyway, both are computed together.
    """
    if n <= ONE_SWEEP and sparse is not True:
        pair = Together(value_and_jacobian(f), _first_bytes)
        return pair.part(0), pair.part(1)
    return compiled_function(f, kind), jacobian_for(f, 0, sparse=sparse)


def curve_and_jacobian_for(f: Callable[..., Any]) -> tuple[Any, Any]:
    """Return a model ``f(x, *parameters)`` and the matrix of its derivatives by these."""

    def both(x: Any, *parameters: Any) -> Any:
        argnums = tuple(range(1, len(parameters) + 1))
        y, columns = value_and_jacobian(f, argnums)(x, *parameters)
        return y, np.stack(columns, axis=-1)

    pair = Together(both, lambda args: args[1:])
    model: Any = pair.part(0)
    # SciPy counts the parameters of the model if no start is given.
    model.__signature__ = inspect.signature(py_func_of(f))
    return model, pair.part(1)


def value_of(both: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function whose value and gradient `both` returns."""

    def first(x: Any, *args: Any) -> Any:
        return both(x, *args)[0]

    return first


@contextmanager
def explaining_errors(kind: str) -> Iterator[None]:
    """Add to errors of functions without derivatives that finite differences are not used."""
    try:
        yield
    except (UnsupportedFunctionError, MissingRuleError) as error:
        raise type(error)(
            f"{kind}: {error} Finite differences are never taken instead; for these, or for "
            "derivatives of your own, call SciPy's function."
        ) from error.__cause__
