"""Sorting, order statistics and interpolation of arrays of active numbers.

The order is that of the primals, computed by Numba's own functions on plain arrays; the numbers are
moved.  Where elements tie, a sort keeps their order, and an order statistic has the derivative of
least norm among those of all tied elements: their mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from ..backend.jit import by_type, kernel
from ..numbers.access import as_number, element_like, empty_numbers, flat_view, flattened
from ..numbers.registration import value
from .conversion import promoted_zero, values
from .kinks import mean_of_ties
from .primal import primal_of
from .reductions import extreme


@kernel
def sort(a: Any) -> Any:
    """np.sort: along the last axis."""
    out = a.copy()
    sort_lines(out)
    return out


@kernel
def sort_in_place(a: Any) -> None:
    """ndarray.sort: along the last axis."""
    sort_lines(a)


@by_type
def sort_lines(a: Any) -> Any:
    """Sort along the last axis; ties keep their order."""
    if a.ndim == 1:

        def sort_line(a: Any) -> None:
            a[:] = a[np.argsort(values(a), kind="mergesort")]

        return sort_line

    def sort_each(a: Any) -> None:
        for i in range(a.shape[0]):
            sort_lines(a[i])

    return sort_each


@kernel
def partition(a: Any, kth: Any) -> Any:
    """np.partition of a vector."""
    return a[np.argpartition(values(a), kth)]


@kernel
def argpartition(a: Any, kth: Any) -> Any:
    """np.argpartition of the primals."""
    return np.argpartition(values(a), kth)


@kernel
def tied_mean(a: Any, target: Any) -> Any:
    """Return the mean of the elements whose primal is `target`, or the first that is NaN."""
    mean = element_like(a)
    ties = 0
    for x in a.flat:
        if np.isnan(value(x)):
            return x
        if x == target:
            ties += 1
            mean = x if ties == 1 else mean_of_ties(mean, x, ties)
    return mean


@kernel
def median(a: Any) -> Any:
    """np.median of all elements."""
    if a.size == 0:
        raise ValueError("np.median: an empty array has no median")
    plain = values(a).flatten()
    half = a.size // 2
    upper = tied_mean(a, np.partition(plain, half)[half])
    if a.size % 2 == 1:
        return upper + 0.0
    return (tied_mean(a, np.partition(plain, half - 1)[half - 1]) + upper) / 2.0


@kernel
def quantile(a: Any, q: Any) -> Any:
    """np.quantile of all elements, with linear interpolation."""
    return quantiles(a, q, 1.0)


@kernel
def percentile(a: Any, q: Any) -> Any:
    """np.percentile of all elements, with linear interpolation."""
    return quantiles(a, q, 100.0)


@by_type
def quantiles(a: Any, q: Any, scale: Any) -> Any:
    """Return quantiles for one fraction q / whole or for an array of them."""
    if isinstance(q, types.Array):

        def of_many(a: Any, q: Any, scale: Any) -> Any:
            sorted_primals = np.sort(values(a).flatten())
            out = empty_numbers((q.size,), element_like(a))
            for i in range(q.size):
                out[i] = quantile_of(a, sorted_primals, q[i] / scale)
            return out

        return of_many
    return lambda a, q, scale: quantile_of(a, np.sort(values(a).flatten()), q / scale)


@kernel
def quantile_of(a: Any, sorted_primals: Any, fraction: Any) -> Any:
    """Return a quantile, given the sorted primals."""
    if sorted_primals.size == 0 or not 0.0 <= fraction <= 1.0:
        raise ValueError("quantiles need elements, and fractions from 0 to 1")
    rank = (sorted_primals.size - 1) * fraction
    low = int(np.floor(rank))
    high = min(low + 1, sorted_primals.size - 1)
    weight = rank - low
    lower = tied_mean(a, sorted_primals[low])
    return lower * (1.0 - weight) + tied_mean(a, sorted_primals[high]) * weight


@kernel
def unique(a: Any) -> Any:
    """np.unique; an element that occurs more than once gets the mean of the derivatives."""
    plain = np.unique(values(a))
    out = empty_numbers((plain.size,), element_like(a))
    sorted_numbers = np.sort(np.ravel(a))
    first = 0
    for i in range(plain.size):
        last = first + 1
        while last < sorted_numbers.size and sorted_numbers[last] == plain[i]:
            last += 1
        out[i] = tied_mean(sorted_numbers[first:last], plain[i])
        first = last
    return out


@kernel
def peak_to_peak(a: Any) -> Any:
    """np.ptp; ties at either end are split evenly."""
    largest = extreme(a.flat, 1.0, element_like(a), True)
    return largest - extreme(a.flat, -1.0, element_like(a), True)


@kernel
def interpolate(x: Any, xp: Any, fp: Any) -> Any:
    """np.interp: at a knot the slope is the smallest between those on both sides."""
    if xp.size == 0 or xp.size != fp.size:
        raise ValueError("np.interp: xp and fp must have one length, and at least one element")
    return interpolate_points(x, xp, fp, primal_of(xp))


@by_type
def interpolate_points(x: Any, xp: Any, fp: Any, knots: Any) -> Any:
    """Interpolate at one point or at an array of points."""
    if not isinstance(x, types.Array):
        return interpolate_at

    def at_many(x: Any, xp: Any, fp: Any, knots: Any) -> Any:
        points = flattened(x)
        out = empty_numbers(x.shape, promoted_zero(x, xp, fp))
        flat = flat_view(out)
        for i in range(points.size):
            flat[i] = interpolate_at(points[i], xp, fp, knots)
        return out

    return at_many


@kernel
def interpolate_at(x: Any, xp: Any, fp: Any, knots: Any) -> Any:
    """Return the interpolant at one point."""
    like = promoted_zero(x, xp, fp)
    point = value(x)
    if np.isnan(point):
        return as_number(x, like)
    k = np.searchsorted(knots, point, "right") - 1
    if k < 0:
        return as_number(fp[0], like)
    if point == knots[k]:
        return as_number(least_slope(fp, knots, k) * (x - xp[k]) + fp[k], like)
    if k == knots.size - 1:
        return as_number(fp[k], like)
    slope = (fp[k + 1] - fp[k]) / (xp[k + 1] - xp[k])
    return as_number(slope * (x - xp[k]) + fp[k], like)


@kernel
def least_slope(fp: Any, knots: Any, k: Any) -> Any:
    """Return the smallest number between the slopes on both sides of knot k; 0 at the ends."""
    if k == 0 or k == knots.size - 1:
        return 0.0
    slope = (value(fp[k]) - value(fp[k - 1])) / (knots[k] - knots[k - 1])
    next_slope = (value(fp[k + 1]) - value(fp[k])) / (knots[k + 1] - knots[k])
    if slope * next_slope <= 0.0:
        return 0.0
    return slope if abs(slope) < abs(next_slope) else next_slope


STATISTICS = {
    np.sort: sort,
    np.partition: partition,
    np.argpartition: argpartition,
    np.median: median,
    np.quantile: quantile,
    np.percentile: percentile,
    np.ptp: peak_to_peak,
    np.unique: unique,
}
SORT_METHODS = {"sort": sort_in_place, "ptp": peak_to_peak}
ACTIVE_POINTS = {np.interp: interpolate}
