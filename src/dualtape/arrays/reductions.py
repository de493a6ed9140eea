"""Reductions of arrays of active numbers, as plain loops.

Compiled lazily, once per type, and cached on disk; `registration` leads NumPy's names here.  The
order of the additions is NumPy's under Numba: from the first element to the last.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numba.core import types

from ..backend.jit import by_type, is_missing, kernel
from ..numbers.access import element_like
from .conversion import values
from .kinks import mean_of_ties
from .primal import primal_of
from .tracked_sums import tracked_sum


@by_type
def total(a: Any, axis: Any = None) -> Any:
    """np.sum of all elements, or along one axis or several."""
    if is_missing(axis):
        if getattr(a.dtype, "has_tape", False):
            return lambda a, axis: tracked_sum(a)

        def of_all(a: Any, axis: Any) -> Any:
            s = element_like(a)
            for x in a.flat:
                s = s + x
            return s

        return of_all
    if isinstance(axis, types.BaseTuple):
        return _sum_over_axes(len(axis))
    if a.ndim == 1:

        def of_vector(a: Any, axis: Any) -> Any:
            check_axis(axis, 1)
            return total(a, None)

        return of_vector

    def along_axis(a: Any, axis: Any) -> Any:
        k = check_axis(axis, a.ndim)
        lines = leading(a, k)
        out = lines[0].copy()
        flat = out.reshape(out.size)
        for i in range(1, lines.shape[0]):
            j = 0
            for x in lines[i].flat:
                flat[j] = flat[j] + x
                j += 1
        return out

    return along_axis


def _sum_over_axes(count: int) -> Any:
    """Return code that sums over one axis after another."""
    if count <= 1:
        return (lambda a, axis: total(a, axis[0])) if count else (lambda a, axis: a.copy())

    def first_and_others(a: Any, axis: Any) -> Any:
        k = check_axis(axis[0], a.ndim)
        return total(total(a, k), without_axis(axis[1:], k, a.ndim))

    return first_and_others


@by_type
def without_axis(axes: Any, k: Any, ndim: Any) -> Any:
    """Return axes of an array as those of the array without axis k."""
    if len(axes) == 0:
        return lambda axes, k, ndim: ()

    def renumber(axes: Any, k: Any, ndim: Any) -> Any:
        first = check_axis(axes[0], ndim)
        if first == k:
            raise ValueError("duplicate value in 'axis'")
        return (first - (first > k), *without_axis(axes[1:], k, ndim))

    return renumber


@by_type
def leading(a: Any, k: Any) -> Any:
    """Return a view with axis k first."""
    axes = list(range(a.ndim))
    if len(axes) == 2:
        return lambda a, k: np.transpose(a) if k == 1 else np.transpose(np.transpose(a))
    orders = tuple((i, *(j for j in axes if j != i)) for i in axes)
    return lambda a, k: np.transpose(a, orders[k])


@by_type
def check_axis(axis: Any, ndim: Any) -> Any:
    """Return a non-negative axis."""

    def check(axis: Any, ndim: Any) -> Any:
        if axis < -ndim or axis >= ndim:
            raise ValueError("axis is out of bounds for the array")
        return axis + ndim if axis < 0 else axis

    return check


@kernel
def mean(a: Any, axis: Any = None) -> Any:
    """np.mean."""
    s = total(a, axis)
    return s / count_along(a, axis)


@by_type
def count_along(a: Any, axis: Any) -> Any:
    """Return the number of elements in each sum."""
    if is_missing(axis):
        return lambda a, axis: float(a.size)
    return lambda a, axis: float(a.shape[check_axis(axis, a.ndim)])


@kernel
def product(a: Any) -> Any:
    """np.prod: the running product rule is exact with any number of zeros."""
    p = element_like(a) + 1.0
    for x in a.flat:
        p = p * x
    return p


@kernel
def maximum(a: Any) -> Any:
    """np.max: NaN is passed on; at a tie the derivative is split evenly."""
    return extreme(a.flat, 1.0, element_like(a), True)


@kernel
def minimum(a: Any) -> Any:
    """np.min: NaN is passed on; at a tie the derivative is split evenly."""
    return extreme(a.flat, -1.0, element_like(a), True)


@kernel
def largest(items: Any) -> Any:
    """max(iterable): a NaN counts only where it comes first."""
    return extreme(items, 1.0, element_like(items), False)


@kernel
def smallest(items: Any) -> Any:
    """min(iterable): a NaN counts only where it comes first."""
    return extreme(items, -1.0, element_like(items), False)


@kernel
def extreme(items: Any, sign: Any, best: Any, nan_passes: Any) -> Any:
    """Return the largest of sign * items; best is replaced by the first item."""
    ties = 0
    for x in items:
        if nan_passes and x != x:
            return x
        if ties == 0 or sign * x > sign * best:
            best = x
            ties = 1
        elif x == best:
            ties += 1
            best = mean_of_ties(best, x, ties)
    if ties == 0:
        raise ValueError("an empty sequence has no minimum and no maximum")
    return best


@kernel
def argmax(a: Any) -> Any:
    """np.argmax of the primals."""
    return np.argmax(values(a))


@kernel
def argmin(a: Any) -> Any:
    """np.argmin of the primals."""
    return np.argmin(values(a))


@kernel
def any_true(a: Any) -> Any:
    """np.any of the primals."""
    for x in a.flat:
        if x != 0.0:
            return True
    return False


@kernel
def all_true(a: Any) -> Any:
    """np.all of the primals."""
    for x in a.flat:
        if x == 0.0:
            return False
    return True


@kernel
def variance(a: Any) -> Any:
    """np.var."""
    m = total(a, None) / float(a.size)
    s = element_like(a)
    for x in a.flat:
        s = s + (x - m) * (x - m)
    return s / float(a.size)


@kernel
def deviation(a: Any) -> Any:
    """np.std; its derivative at equal elements is NaN."""
    return np.sqrt(variance(a))


@kernel
def cumulative_sum(a: Any, axis: Any = None) -> Any:
    """np.cumsum of the flattened array, or along one axis."""
    return running(a, axis, operator.add)


@kernel
def cumulative_product(a: Any) -> Any:
    """np.cumprod of the flattened array."""
    return running(a, None, operator.mul)


@by_type
def running(a: Any, axis: Any, combine: Any) -> Any:
    """Combine every element with all before it."""
    if is_missing(axis):

        def flat(a: Any, axis: Any, combine: Any) -> Any:
            out = a.flatten()
            for i in range(1, out.size):
                out[i] = combine(out[i - 1], out[i])
            return out

        return flat

    def along_axis(a: Any, axis: Any, combine: Any) -> Any:
        out = a.copy()
        lines = leading(out, check_axis(axis, a.ndim))
        for i in range(1, lines.shape[0]):
            lines[i] = combine(lines[i - 1], lines[i])
        return out

    return along_axis


@kernel
def search(a: Any, v: Any, side: Any = "left") -> Any:
    """np.searchsorted of the primals."""
    return np.searchsorted(values(a), primal_of(v), side)


@kernel
def fill(a: Any, x: Any) -> None:
    """ndarray.fill."""
    a[...] = x
