"""Reductions and products of arrays of active numbers, as plain loops.

Compiled lazily, once per type, and cached on disk; `arrays` leads NumPy's names here.  The order of
the additions is NumPy's under Numba: from the first element to the last.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from ._jit import generic, kernel, specialized
from .conversion import values
from .elementary import value
from .emit import invoke
from .kinks import tied
from .matmul import (
    is_tracked_product,
    number_like,
    tracked_dot,
    tracked_product,
    tracked_sum,
)
from .planes import times
from .seed import element_like, empty_numbers

__all__: list[str] = []


@kernel
def total(a: Any, axis: Any = None) -> Any:
    """np.sum."""
    return reduce_sum(a, axis)


def reduce_sum(a: Any, axis: Any) -> Any:
    """Sum of all elements, or along one axis (compiled code only)."""
    raise NotImplementedError


@specialized(reduce_sum)
def _reduce_sum(a: Any, axis: Any) -> Any:
    if axis is None or isinstance(axis, types.NoneType | types.Omitted):
        if getattr(a.dtype, "slots", 0):
            return lambda a, axis: tracked_sum(a)

        def whole(a: Any, axis: Any) -> Any:
            s = element_like(a)
            for x in a.flat:
                s = s + x
            return s

        return whole
    if isinstance(axis, types.BaseTuple):
        return _sum_over_axes(len(axis))
    if a.ndim == 1:

        def only(a: Any, axis: Any) -> Any:
            check_axis(axis, 1)
            return reduce_sum(a, None)

        return only

    def along(a: Any, axis: Any) -> Any:
        k = check_axis(axis, a.ndim)
        moved = leading(a, k)
        out = moved[0].copy()
        flat = out.reshape(out.size)
        for i in range(1, moved.shape[0]):
            j = 0
            for x in moved[i].flat:
                flat[j] = flat[j] + x
                j += 1
        return out

    return along


def _sum_over_axes(count: int) -> Any:
    """Return code that sums over one axis after another."""
    if count <= 1:
        return (lambda a, axis: reduce_sum(a, axis[0])) if count else (lambda a, axis: a.copy())

    def first_and_others(a: Any, axis: Any) -> Any:
        k = check_axis(axis[0], a.ndim)
        return reduce_sum(reduce_sum(a, k), without_axis(axis[1:], k, a.ndim))

    return first_and_others


def without_axis(axes: Any, k: int, ndim: int) -> Any:
    """Return axes of an array as those of the array without axis k (compiled code only)."""
    raise NotImplementedError


@specialized(without_axis)
def _without_axis(axes: Any, k: Any, ndim: Any) -> Any:
    if len(axes) == 0:
        return lambda axes, k, ndim: ()

    def renumbered(axes: Any, k: Any, ndim: Any) -> Any:
        first = check_axis(axes[0], ndim)
        if first == k:
            raise ValueError("duplicate value in 'axis'")
        return (first - (first > k), *without_axis(axes[1:], k, ndim))

    return renumbered


def leading(a: Any, k: int) -> Any:
    """Return a view with axis k first (compiled code only)."""
    raise NotImplementedError


@specialized(leading)
def _leading(a: Any, k: Any) -> Any:
    axes = list(range(a.ndim))
    if len(axes) == 2:
        return lambda a, k: np.transpose(a) if k == 1 else np.transpose(np.transpose(a))
    orders = tuple((i, *(j for j in axes if j != i)) for i in axes)
    return lambda a, k: np.transpose(a, orders[k])


def check_axis(axis: int, ndim: int) -> int:
    """Return a non-negative axis (compiled code only)."""
    raise NotImplementedError


@specialized(check_axis)
def _check_axis(axis: Any, ndim: Any) -> Any:
    def check(axis: Any, ndim: Any) -> Any:
        if axis < -ndim or axis >= ndim:
            raise ValueError("axis is out of bounds for the array")
        return axis + ndim if axis < 0 else axis

    return check


@kernel
def mean(a: Any, axis: Any = None) -> Any:
    """np.mean."""
    s = reduce_sum(a, axis)
    return s / count_along(a, axis)


def count_along(a: Any, axis: Any) -> Any:
    """Return the number of elements in each sum (compiled code only)."""
    raise NotImplementedError


@specialized(count_along)
def _count_along(a: Any, axis: Any) -> Any:
    if axis is None or isinstance(axis, types.NoneType | types.Omitted):
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
            best = tied(best, x, ties)
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
    m = reduce_sum(a, None) / float(a.size)
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


def running(a: Any, axis: Any, combine: Any) -> Any:
    """Combine every element with all before it (compiled code only)."""
    raise NotImplementedError


@specialized(running)
def _running(a: Any, axis: Any, combine: Any) -> Any:
    if isinstance(axis, types.NoneType | types.Omitted):

        def flat(a: Any, axis: Any, combine: Any) -> Any:
            out = a.flatten()
            for i in range(1, out.size):
                out[i] = combine(out[i - 1], out[i])
            return out

        return flat

    def along(a: Any, axis: Any, combine: Any) -> Any:
        out = a.copy()
        moved = leading(out, check_axis(axis, a.ndim))
        for i in range(1, moved.shape[0]):
            moved[i] = combine(moved[i - 1], moved[i])
        return out

    return along


@kernel
def search(a: Any, v: Any, side: Any = "left") -> Any:
    """np.searchsorted of the primals."""
    return np.searchsorted(values(a), primal_of(v), side)


def primal_of(v: Any) -> Any:
    """Return the primals of a number or of an array (compiled code only)."""
    raise NotImplementedError


@specialized(primal_of)
def _primal_of(v: Any) -> Any:
    plain = values if isinstance(v, types.Array) else value

    def primals(v: Any) -> Any:
        return plain(v)

    return primals


@kernel
def fill(a: Any, x: Any) -> None:
    """ndarray.fill."""
    a[...] = x


@kernel
def outer(a: Any, b: Any) -> Any:
    """np.outer."""
    out = empty_numbers((a.size, b.size), number_like(a, b))
    i = 0
    for x in a.flat:
        j = 0
        for y in b.flat:
            out[i, j] = x * y
            j += 1
        i += 1
    return out


@intrinsic
def dot(typingctx: Any, a: Any, b: Any) -> Any:
    """np.dot and @ of vectors and matrices."""
    pair, function = (a.ndim, b.ndim), untracked_product
    if is_tracked_product(a, b):
        function = tracked_dot if pair == (1, 1) else tracked_product
    found = typingctx.resolve_value_type(function).get_call_type(typingctx, (a, b), {})

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return invoke(context, builder, function, sig.args, args)[1]

    return found.return_type(a, b), codegen


def untracked_product(a: Any, b: Any) -> Any:
    """Product of vectors and matrices in forward mode (compiled code only)."""
    raise NotImplementedError


@specialized(untracked_product)
def _untracked_product(a: Any, b: Any) -> Any:
    pair = a.ndim, b.ndim
    if pair == (1, 1):
        return _vector_vector
    large = _MATRIX_PRODUCTS.get(pair)
    if large is None:
        return None
    small = _PRODUCTS[pair]

    def of_size(a: Any, b: Any) -> Any:
        if a.size * (b.size // max(1, b.shape[0])) < SMALL:
            return small(a, b)
        return large(a, b)

    return of_size


@generic
def _vector_vector(a: Any, b: Any) -> Any:
    if a.shape[0] != b.shape[0]:
        raise ValueError("incompatible array sizes for np.dot(a, b)")
    s = element_like(a) * element_like(b)
    for k in range(a.shape[0]):
        s = s + a[k] * b[k]
    return s


@generic
def _matrix_vector(a: Any, b: Any) -> Any:
    if a.shape[1] != b.shape[0]:
        raise ValueError("incompatible array sizes for np.dot(a, b)")
    out = empty_numbers((a.shape[0],), element_like(a) * element_like(b))
    for i in range(a.shape[0]):
        s = element_like(a) * element_like(b)
        for k in range(a.shape[1]):
            s = s + a[i, k] * b[k]
        out[i] = s
    return out


@generic
def _vector_matrix(a: Any, b: Any) -> Any:
    return dot(np.transpose(b), a)


@generic
def _matrix_matrix(a: Any, b: Any) -> Any:
    if a.shape[1] != b.shape[0]:
        raise ValueError("incompatible array sizes for np.dot(a, b)")
    out = empty_numbers((a.shape[0], b.shape[1]), element_like(a) * element_like(b))
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            out[i, j] = element_like(a) * element_like(b)
        for k in range(a.shape[1]):
            for j in range(b.shape[1]):
                out[i, j] = out[i, j] + a[i, k] * b[k, j]
    return out


# Vectors are matrices of one row or one column.


@generic
def _times_vector(a: Any, b: Any) -> Any:
    return times(a, b.copy().reshape((b.size, 1)))[:, 0].copy()


@generic
def _vector_times(a: Any, b: Any) -> Any:
    return times(a.copy().reshape((1, a.size)), b)[0].copy()


@generic
def _times_matrix(a: Any, b: Any) -> Any:
    return times(a, b)


_MATRIX_PRODUCTS: dict[tuple[int, int], Any] = {
    (2, 1): _times_vector,
    (1, 2): _vector_times,
    (2, 2): _times_matrix,
}
# Time of planes and BLAS / that of loops, square matrices of vector-duals in one run:
#     n             4      8     12     16
#     1 partial   6.6    1.8    1.1    0.7
#     8 partials 11.6    3.3    2.0    1.4
SMALL = 2048  # products of elements below which there are loops
_PRODUCTS: dict[tuple[int, int], Any] = {
    (2, 1): _matrix_vector,
    (1, 2): _vector_matrix,
    (2, 2): _matrix_matrix,
}
