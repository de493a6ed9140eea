"""Checking derivatives against differences: `check_grad`."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from ..drivers.dispatcher import as_float
from ..drivers.factory import checked_function, name_of, py_func_of
from ..drivers.options import Argnums, checked_argnums, require_count
from ..errors import ArgumentError, DerivativeMismatchError
from .derivatives import hessian, jacobian, value_and_jacobian

# Central difference of fourth order: error h^4 f^(5)/30 plus rounding eps |f| / h.
_OFFSETS = ((1.0, 8.0 / 12.0), (-1.0, -8.0 / 12.0), (2.0, -1.0 / 12.0), (-2.0, 1.0 / 12.0))
_STEP = np.finfo(float).eps ** 0.2
_SAME_VALUE = 1e-9  # well above rounding, well below a cast to single precision


def check_grad(
    f: Callable[..., Any],
    *args: Any,
    order: int = 2,
    argnums: Argnums = 0,
    rtol: float = 1e-6,
    derivative: Callable[..., Any] | None = None,
) -> None:
    """Compare the derivatives of a function with differences, and raise where they disagree.

    The value that the derivative is computed with is compared with the function's own.  First
    derivatives are compared with differences of f, second derivatives with differences of
    the first ones, so an error in one order does not hide behind another.  Differences are of
    fourth order with two step widths; their disagreement estimates their error.

    Parameters
    ----------
    f : callable
        Returns a number or an array.
    *args
        The point. The differentiated arguments are real numbers or arrays of them.
    order : {1, 2}
        Check first, or first and second derivatives.
    argnums : int, tuple or list of int
        Which arguments to differentiate.
    rtol : float
        Relative agreement asked for, of the largest entry of the derivative.
    derivative : callable, optional
        Check this function instead of ``jacobian(f, argnums)``: a hand-written derivative.

    Raises
    ------
    DerivativeMismatchError
        Names the first wrong entry, its value and what the differences give; or a value that is not
        the function's.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.check_grad(lambda x: np.sum(x**3), np.array([1.0, -2.0]))
    """
    function = checked_function(f, "check_grad")
    if order not in (1, 2):
        raise ArgumentError(f"check_grad: order is {order!r}; expected 1 or 2")
    positions = checked_argnums("check_grad", argnums, py_func_of(function))
    name = f"check_grad({name_of(function)})"
    require_count(name, py_func_of(function), len(args))
    for i in positions:
        args = _with(args, i, np.asarray(as_float(args[i], f"argument {i}", name), dtype=float))
    both = value_and_jacobian(f, argnums)
    first = derivative or (lambda *point: both(*point)[1])
    if derivative is None:
        _compare_values(both(*_copies(args))[0], f(*_copies(args)))
    single = not isinstance(argnums, tuple | list)
    for k, i in enumerate(positions):
        part, by = (first, "") if single else (_part(first, k), f" by argument {i}")
        _compare(f"first derivative{by}", f, part, args, i, rtol)
        for m, j in enumerate(positions * (order - 1)):
            if np.ndim(f(*args)):
                second = jacobian(jacobian(f, i), j)
            else:  # hessian uses the rules' own second derivatives
                second = hessian(f, argnums) if single else _part(hessian(f, argnums), k, m)
            both_ways = by and f"{by} and {j}"
            _compare(f"second derivative{both_ways}", part, second, args, j, rtol)


def _part(function: Any, *places: int) -> Any:
    """Return a function that returns one item of the result of another."""
    return lambda *args: functools.reduce(operator.getitem, places, function(*args))


def _compare_values(value: Any, plain_value: Any) -> None:
    """Raise if a value is not the function's own, up to rounding in sums of many terms."""
    values, plain = (np.asarray(v, dtype=float) for v in (value, plain_value))
    scale = max(1.0, float(np.max(np.abs(plain), initial=0.0, where=np.isfinite(plain))))
    if values.shape != plain.shape:
        raise DerivativeMismatchError(
            f"check_grad: with derivatives the function returns shape {values.shape}, and "
            f"{plain.shape} without."
        )
    agrees = np.isclose(values, plain, rtol=0.0, atol=_SAME_VALUE * scale, equal_nan=True)
    if not np.all(agrees):
        where = tuple(int(i) for i in np.argwhere(~agrees)[0])
        raise DerivativeMismatchError(
            f"check_grad: the value is wrong{f' at entry {where}' * bool(where)}: "
            f"{float(values[where])!r} is computed with derivatives, {float(plain[where])!r} "
            "without."
        )


def _compare(
    name: str, f: Any, derivative: Any, args: tuple[Any, ...], argnums: int, rtol: float
) -> None:
    x = np.asarray(args[argnums])

    def value_at(point: Any) -> Any:
        return np.asarray(f(*_with(args, argnums, point)), dtype=float)

    exact = np.asarray(derivative(*args), dtype=float)
    for index in np.ndindex(*x.shape):
        wide, narrow = (_difference(value_at, x, index, scale) for scale in (1.0, 0.5))
        column = exact[(..., *index)] if x.ndim else exact
        uncertainty = 10.0 * np.abs(wide - narrow)
        allowed = rtol * max(1.0, float(np.max(np.abs(narrow), initial=0.0))) + uncertainty
        wrong = ~(np.abs(column - narrow) <= allowed)
        wrong &= ~(np.isnan(column) & np.isnan(narrow))
        if np.any(wrong):
            where = tuple(int(i) for i in np.argwhere(wrong)[0])
            raise DerivativeMismatchError(
                f"check_grad: the {name} is wrong at entry {(*where, *index)}: "
                f"{float(column[where])!r}, but differences give {float(narrow[where])!r}."
            )


def _copies(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return arguments that the function may write to."""
    return tuple(arg.copy() if isinstance(arg, np.ndarray) else arg for arg in args)


def _with(args: tuple[Any, ...], argnums: int, x: Any) -> tuple[Any, ...]:
    """Return the arguments with another point, as floats."""
    moved = list(args)
    moved[argnums] = x if x.ndim else float(x)
    return tuple(moved)


def _difference(value_at: Any, x: Any, index: tuple[int, ...], scale: float) -> Any:
    h = scale * _STEP * max(1.0, abs(float(x[index])))
    total: Any = 0.0
    for offset, weight in _OFFSETS:
        moved = x.copy()
        moved[index] += offset * h
        total = total + weight * value_at(moved)
    return total / h
