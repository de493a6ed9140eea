"""Functions and their derivatives for solvers: one evaluation for every point.

SciPy asks for the value, the gradient and the Hessian at one point by separate calls.  A derivative
brings the value with it, so the first of these calls computes what the others will ask for.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .composed import evaluated
from .errors import MissingRuleError, UnsupportedFunctionError
from .forms import jacobian_for
from .making import py_func_of
from .transforms import (
    hessian,
    value_and_grad,
    value_and_jacobian,
    value_grad_hessian,
)

__all__ = [
    "Objective",
    "curve_and_jacobian_for",
    "explained",
    "first_part",
    "value_and_jacobian_for",
]

ONE_SWEEP = 8
"""Inputs up to which a Jacobian costs little more than the value."""

_UNKNOWN = object()


class Objective:
    """A scalar function of ``(x, *args)`` with derivatives, for one run of a solver.

    Parameters
    ----------
    f : function
        To be differentiated by its first argument.
    together : bool
        Whether a call for the value computes the Hessian too.
    """

    def __init__(self, f: Callable[..., Any], *, together: bool) -> None:
        self._with_gradient = value_and_grad(f)
        self._with_hessian = value_grad_hessian(f)
        self._second = hessian(f)
        self._together = together
        self._key: Any = _UNKNOWN
        self._value: Any = None
        self._gradient: Any = None
        self._hessian: Any = None

    def value(self, x: Any, *args: Any) -> Any:
        """Return f(x)."""
        key = x.tobytes()
        if key != self._key:
            self._evaluate(key, x, args)
        return self._value

    def gradient(self, x: Any, *args: Any) -> Any:
        """Return the gradient at x."""
        key = x.tobytes()
        if key != self._key:
            self._evaluate(key, x, args)
        return self._gradient

    def hessian(self, x: Any, *args: Any) -> Any:
        """Return the Hessian at x."""
        key = x.tobytes()
        if key != self._key and self._together:
            self._evaluate(key, x, args)
        if key != self._key or self._hessian is None:
            return self._second(x, *args)
        return self._hessian

    def _evaluate(self, key: bytes, x: Any, args: tuple[Any, ...]) -> None:
        if self._together:
            self._value, self._gradient, self._hessian = self._with_hessian(x, *args)
        else:
            self._value, self._gradient = self._with_gradient(x, *args)
        self._key = key


class Pair:
    """A function and its Jacobian, both computed when one of them is asked for."""

    def __init__(self, both: Callable[..., Any], key: Callable[[Any], Any]) -> None:
        self._both = both
        self._key_of = key
        self._key: Any = _UNKNOWN
        self._found: Any = None

    def value(self, *args: Any, **named: Any) -> Any:
        """Return what f returns."""
        return self._at(args, named)[0]

    def jacobian(self, *args: Any, **named: Any) -> Any:
        """Return the Jacobian."""
        return self._at(args, named)[1]

    def _at(self, args: Any, named: Any) -> Any:
        key = self._key_of(args)
        if key != self._key:
            self._found = self._both(*args, **named)
            self._key = key
        return self._found


def _first_bytes(args: Any) -> Any:
    return args[0].tobytes()


def value_and_jacobian_for(
    f: Callable[..., Any], kind: str, n: int, *, sparse: bool | str = False
) -> tuple[Any, Any]:
    """Return f and its Jacobian by the first argument, for a solver with n unknowns.

    Where the Jacobian is one sweep, which has the value anyway, both are computed together.
    """
    if n <= ONE_SWEEP and sparse is not True:
        pair = Pair(value_and_jacobian(f), _first_bytes)
        return pair.value, pair.jacobian
    return evaluated(f, kind), jacobian_for(f, 0, sparse=sparse)


def curve_and_jacobian_for(f: Callable[..., Any]) -> tuple[Any, Any]:
    """Return a model ``f(x, *parameters)`` and the matrix of its derivatives by these."""

    def both(x: Any, *parameters: Any) -> Any:
        argnums = tuple(range(1, len(parameters) + 1))
        y, columns = value_and_jacobian(f, argnums)(x, *parameters)
        return y, np.stack(columns, axis=-1)

    pair = Pair(both, lambda args: args[1:])

    def model(x: Any, *parameters: Any) -> Any:
        return pair.value(x, *parameters)

    # SciPy counts the parameters of the model where no start is given.
    model.__signature__ = inspect.signature(py_func_of(f))  # type: ignore[attr-defined]
    return model, pair.jacobian


def first_part(both: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function whose value and gradient `both` returns."""

    def first(x: Any, *args: Any) -> Any:
        return both(x, *args)[0]

    return first


@contextmanager
def explained(kind: str) -> Iterator[None]:
    """Say of a function without derivatives that nothing else is used in their place."""
    try:
        yield
    except (UnsupportedFunctionError, MissingRuleError) as error:
        raise type(error)(
            f"{kind}: {error} Finite differences are never taken instead; for these, or for "
            "derivatives of your own, call SciPy's function."
        ) from error.__cause__
