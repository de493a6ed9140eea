"""SciPy's interpolating objects as plain functions of one point, over the objects' own arrays.

``CubicSpline(t, y)`` and others are objects of compiled classes.  What they compute is written out
here, in SciPy's order of operations, as functions whose closures hold the coefficients: so they are
watched as every array is that a function reaches, and differentiated as every function is.

The kinds are those of ``PPoly`` (CubicSpline, PchipInterpolator, Akima1DInterpolator, ...),
``BSpline`` (by de Boor's recurrence) and ``RegularGridInterpolator`` (linear and nearest).

C. de Boor, A Practical Guide to Splines, Springer 1978, chapter X.
"""

from __future__ import annotations

import math
import sys
import weakref
from types import FunctionType
from typing import Any

import numpy as np

from ..errors import ArgumentError
from .copies import SHAPE

_FUNCTIONS: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
INTERPOLATED: list[Any] = []
"""The function that extends such a function to arrays, once it is imported."""
NONE, FREE, PERIODIC = 0, 1, 2  # extrapolation
_CLASSES = ("PPoly", "BSpline", "RegularGridInterpolator")


def interpolant_of(value: Any) -> Any:
    """Return an interpolating object of SciPy as a function of one point; None for other values."""
    if not str(type(value).__module__).startswith("scipy.interpolate"):
        return None
    module = sys.modules["scipy.interpolate"]
    for name in _CLASSES:
        if isinstance(value, getattr(module, name)):
            return _remembered(value, name)
    return None


def _remembered(value: Any, name: str) -> Any:
    coefficients = value.values if name == "RegularGridInterpolator" else value.c
    function, those = _FUNCTIONS.get(value, (None, None))
    if function is not None and those is coefficients:
        return function
    make = {"PPoly": _piecewise, "BSpline": _b_spline}.get(name, _on_grid)
    scalar, shape = make(value)
    scalar.__dict__[SHAPE] = shape
    scalar.__module__ = "interpolants"  # it is differentiated as a user's function is
    scalar.__name__ = scalar.__qualname__ = type(value).__name__
    _FUNCTIONS[value] = scalar, coefficients
    return scalar


def shape_of(function: Any) -> Any:
    """Return the shape of the value of such a function; None for other functions."""
    return function.__dict__.get(SHAPE) if isinstance(function, FunctionType) else None


def _real(array: Any, what: str) -> Any:
    if np.iscomplexobj(array):
        raise ArgumentError(f"{what} has complex coefficients, which have no derivative here")
    return np.ascontiguousarray(array, np.float64)


def _columns(c: Any, spline: Any, leading: int) -> tuple[Any, Any]:
    """Return coefficients with their values along one last axis, and the shape of a value."""
    if spline.axis != 0 or c.ndim > leading + 1:
        raise ArgumentError(
            f"{type(spline).__name__} with axis={spline.axis} and coefficients of shape {c.shape}; "
            "an interpolant that is differentiated has numbers or vectors as values, along axis 0."
        )
    return c.reshape(*c.shape[:leading], -1), c.shape[leading:]


def _users(function: Any) -> Any:
    """Let a function be differentiated as those of users are."""
    function.__module__ = "interpolants"
    return function


@_users
def _position(t, x, low, high):  # type: ignore[no-untyped-def]
    """Return i with x[i] <= t < x[i + 1], low <= i < high; the first or last one outside."""
    while high - low > 1:
        middle = (low + high) // 2
        if t < x[middle]:
            high = middle
        else:
            low = middle
    return low


@_users
def _inside(t, first, last, extrapolation):  # type: ignore[no-untyped-def]
    """Return the point at which to evaluate; NaN where there is no value."""
    if extrapolation == PERIODIC:
        return first + (t - first) % (last - first)
    if extrapolation == NONE and not first <= t <= last:
        return t * math.nan
    return t


def _extrapolation(spline: Any) -> int:
    if spline.extrapolate == "periodic":
        return PERIODIC
    return FREE if spline.extrapolate else NONE


@_users
def _polynomial(s, c, i, j, nu):  # type: ignore[no-untyped-def]
    """Return the derivative of order nu of sum_k c[K - 1 - k, i, j] s^k."""
    power, result = 1.0, 0.0
    for k in range(nu, c.shape[0]):
        factor = 1.0
        for m in range(k, k - nu, -1):
            factor *= m
        result = result + c[c.shape[0] - 1 - k, i, j] * power * factor
        power = power * s
    return result


@_users
def _de_boor(t, knots, c, degree, i, j):  # type: ignore[no-untyped-def]
    """Return sum_m c[m, j] B_m(t) for t in the interval i of the knots."""
    d = np.empty(degree + 1)
    for m in range(degree + 1):
        d[m] = c[i - degree + m, j]
    for r in range(1, degree + 1):
        for m in range(degree, r - 1, -1):
            left = knots[m + i - degree]
            weight = (t - left) / (knots[m + 1 + i - r] - left)
            d[m] = (1.0 - weight) * d[m - 1] + weight * d[m]
    return d[degree]


def _piecewise(spline: Any) -> tuple[Any, Any]:
    """Return sum_k c[K - 1 - k, i] (t - x[i])^k for t in the interval i, and its derivatives."""
    name = type(spline).__name__
    c, shape = _columns(_real(spline.c, name), spline, 2)
    x, extrapolation = _real(spline.x, name), _extrapolation(spline)
    if x[0] > x[-1]:
        raise ArgumentError(f"{name} has decreasing breakpoints; give it increasing ones")
    count = c.shape[2]

    def number(t, nu=0):  # type: ignore[no-untyped-def]
        t = _inside(t, x[0], x[-1], extrapolation)
        i = _position(t, x, 0, x.size - 1)
        return _polynomial(t - x[i], c, i, 0, nu)

    def vector(t, nu=0):  # type: ignore[no-untyped-def]
        t = _inside(t, x[0], x[-1], extrapolation)
        i = _position(t, x, 0, x.size - 1)
        out = np.empty(count)
        for j in range(count):
            out[j] = _polynomial(t - x[i], c, i, j, nu)
        return out

    return (vector if shape else number), shape


def _b_spline(spline: Any) -> tuple[Any, Any]:
    """Return sum_m c[m] B_m(t), evaluated by de Boor's recurrence."""
    name, degree = type(spline).__name__, int(spline.k)
    c, shape = _columns(_real(spline.c, name), spline, 1)
    knots, extrapolation = _real(spline.t, name), _extrapolation(spline)
    last, count = knots.size - degree - 1, c.shape[1]

    def number(t):  # type: ignore[no-untyped-def]
        t = _inside(t, knots[degree], knots[last], extrapolation)
        return _de_boor(t, knots, c, degree, _position(t, knots, degree, last), 0)

    def vector(t):  # type: ignore[no-untyped-def]
        t = _inside(t, knots[degree], knots[last], extrapolation)
        i = _position(t, knots, degree, last)
        out = np.empty(count)
        for j in range(count):
            out[j] = _de_boor(t, knots, c, degree, i, j)
        return out

    return (vector if shape else number), shape


def _on_grid(grid: Any) -> tuple[Any, Any]:
    """Return the value at a point: multilinear in its cell, or that of the nearest vertex."""
    name, dimensions = type(grid).__name__, len(grid.grid)
    if grid.method not in ("linear", "nearest") or grid.values.ndim != dimensions:
        raise ArgumentError(
            f"{name} with method={grid.method!r} and values of {grid.values.ndim} dimensions; one "
            "that is differentiated is 'linear' or 'nearest', and its values are numbers."
        )
    if any(axis[0] > axis[-1] for axis in grid.grid):
        raise ArgumentError(f"{name} has a decreasing axis; give it increasing ones")
    values = _real(grid.values, name)
    axes = np.concatenate([_real(axis, name) for axis in grid.grid])
    sizes = np.array([axis.size for axis in grid.grid])
    begins = np.cumsum(sizes) - sizes
    flat, is_nearest = values.reshape(-1), grid.method == "nearest"
    raises, fills = bool(grid.bounds_error), grid.fill_value is not None
    fill = float(grid.fill_value) if fills else 0.0

    def at(point):  # type: ignore[no-untyped-def]
        if point.size != dimensions:
            raise ValueError("the point has another number of coordinates than the grid")
        cells = np.empty(dimensions, np.int64)
        weights = np.empty(dimensions)
        is_outside = False
        for k in range(dimensions):
            axis = axes[begins[k] : begins[k] + sizes[k]]
            i = _position(point[k], axis, 0, sizes[k] - 1)
            cells[k] = i
            weights[k] = (point[k] - axis[i]) / (axis[i + 1] - axis[i])
            is_outside |= not axis[0] <= point[k] <= axis[-1]
        if is_outside and raises:
            raise ValueError("one of the requested points is out of bounds")
        result = 0.0
        for vertex in range(2**dimensions):
            weight, index = 1.0, 0
            for k in range(dimensions):
                bit = (vertex >> k) & 1
                index = index * sizes[k] + cells[k] + bit
                if is_nearest:
                    weight *= 1.0 if (weights[k] > 0.5) == (bit == 1) else 0.0
                else:
                    weight *= weights[k] if bit == 1 else 1.0 - weights[k]
            result += weight * flat[index]
        if is_outside and fills:
            result = fill
        return result

    return at, "points"
