"""SciPy's interpolating objects as functions, also where a function calls the objects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types

from ..arrays.conversion import array_from
from ..drivers.compose import composed
from ..drivers.dispatcher import Transform
from ..errors import ArgumentError
from ..functions.interpolants import INTERPOLATED, interpolant_of, shape_of
from ..functions.memo import current, remembered
from ..numbers.types import is_array
from ..twin.activation import twin


def interpolate(spline: Any) -> Callable[..., Any]:
    """Return an interpolating object of SciPy as a function for Python and compiled code.

    Parameters
    ----------
    spline : object
        A spline s(t) = sum_k c[k, i] (t - x[i])^(K - 1 - k) in the interval i (``CubicSpline``,
        ``PchipInterpolator``, ``Akima1DInterpolator``, ``PPoly``, ...), a ``BSpline``, or a
        ``RegularGridInterpolator`` ("linear" or "nearest"), of real numbers.

    Returns
    -------
    function
        ``function(t)``: at a number, a number, or a vector if the spline is one of vectors; at an
        array, an array of t's shape, followed by that of a value. ``function(t, nu)`` is the
        derivative of order nu of a piecewise polynomial. On a grid of d dimensions: at a tuple of
        d numbers, a number; at arrays of shape (d,) and (n, d), arrays of shape (1,) and (n,).
        It holds the object's coefficients and can be called in ``@njit`` code.

    Raises
    ------
    ArgumentError
        If the object is another one, or has complex coefficients.

    Notes
    -----
    Derivatives are those of the spline: exact to its order, zero beyond it; at a breakpoint those
    of the interval to the right. A plain function that is differentiated can call the object
    itself, as it is. Cost: that of the polynomial, and a search in log2(n) steps.

    Examples
    --------
    >>> import numba, numpy as np, dualtape as ad
    >>> from scipy.interpolate import CubicSpline
    >>> t = np.linspace(0.0, 3.0, 20)
    >>> spline = CubicSpline(t, np.sin(t))
    >>> table = ad.interpolate(spline)
    >>> @numba.njit
    ... def f(x):
    ...     return table(x) ** 2
    >>> abs(ad.grad(f)(0.5) - 2.0 * spline(0.5) * spline(0.5, 1)) < 1e-14
    np.True_
    """
    function = interpolant_of(spline)
    if function is None:
        raise ArgumentError(
            f"interpolate: expected a piecewise polynomial, a BSpline or a RegularGridInterpolator "
            f"of scipy.interpolate, got an object of type {type(spline).__name__}."
        )
    return interpolated(current(function))


def interpolated(function: Any) -> Transform:
    """Return the function for points and arrays of points, of one for a point."""

    def make() -> Transform:
        shape, name = shape_of(function), f"interpolate({function.__name__})"
        if shape == "points":
            return composed(lambda packed: _at_points(twin(function), *packed), _points, (0,), name)

        def choose(packed: Any) -> Any:
            return _at_numbers(twin(function), packed[0], shape)

        return composed(choose, function, (0,), name)

    return remembered(function, "interpolated", make)


INTERPOLATED.append(interpolated)


def _points(xi) -> None: ...  # type: ignore[no-untyped-def]


def _at_numbers(scalar: Any, numbers: Any, shape: tuple[int, ...]) -> Any:
    """Return the function of a number or an array of them, whose values have this shape."""
    if not is_array(numbers):

        def at_number(t, *options):  # type: ignore[no-untyped-def]
            return scalar(t, *options)

        return at_number

    def at_numbers(t, *options):  # type: ignore[no-untyped-def]
        out = np.empty((*t.shape, *shape))
        for index in np.ndindex(t.shape):
            out[index] = scalar(t[index], *options)
        return out

    return at_numbers


def _at_points(at: Any, points: Any) -> Any:
    """Return the function of one point or of several."""
    if isinstance(points, types.BaseTuple) and not any(map(is_array, points)):

        def of_tuple(xi):  # type: ignore[no-untyped-def]
            return at(array_from(xi))

        return of_tuple
    if isinstance(points, types.List):

        def of_list(xi):  # type: ignore[no-untyped-def]
            out = np.empty(1)
            out[0] = at(array_from(xi))
            return out

        return of_list
    if getattr(points, "ndim", 0) == 1:

        def of_point(xi):  # type: ignore[no-untyped-def]
            out = np.empty(1)
            out[0] = at(xi)
            return out

        return of_point
    if getattr(points, "ndim", 0) == 2:

        def of_points(xi):  # type: ignore[no-untyped-def]
            out = np.empty(xi.shape[0])
            for i in range(xi.shape[0]):
                out[i] = at(xi[i])
            return out

        return of_points
    raise ArgumentError(
        f"a RegularGridInterpolator is called with {points}; expected a tuple of numbers, or an "
        "array of shape (d,) or (n, d)."
    )
