"""Norms, windows and rearrangements of arrays of active numbers, as plain loops.

What NumPy does with a few lines of its own is done here where Numba's version asks for a NumPy
dtype, which numbers lack, or would choose one of several elements at a tie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import register_jitable

from ._jit import kernel, specialized
from .arraykernels import dot, extreme, outer, primal_of
from .conversion import as_array, promoted_zero, values
from .elementary import value
from .errors import ArgumentValueError
from .kinks import euclidean
from .matmul import number_like, tracked_squares
from .seed import as_number, element_like, empty_numbers

__all__ = ["COMBINATIONS", "FROM_SCALARS", "FROM_SEQUENCES"]

NO_SUCH_NORM = (
    "np.linalg.norm of a matrix of active numbers: the orders are None, 'fro', 1, -1, inf, -inf; "
    "singular values are square roots of the eigenvalues of a.T @ a"
)


@kernel
def norm(a: Any, ord: Any = None) -> Any:
    """np.linalg.norm; its derivative at zero is 0, the element of least norm."""
    return norm_of(a, ord)


def norm_of(a: Any, ord: Any) -> Any:
    """Norm of a vector or a matrix (compiled code only)."""
    raise NotImplementedError


@specialized(norm_of)
def _norm_of(a: Any, ord: Any) -> Any:
    if isinstance(ord, types.NoneType | types.Omitted):
        return lambda a, ord: euclidean(a)
    if isinstance(ord, types.UnicodeType):
        return _named_norm
    return _vector_norm if a.ndim == 1 else _matrix_norm


@kernel
def sum_of_squares(a: Any) -> Any:
    """Square of the Euclidean norm."""
    return squares_of(a)


def squares_of(a: Any) -> Any:
    """Sum the squares of all elements (compiled code only)."""
    raise NotImplementedError


@specialized(squares_of)
def _squares_of(a: Any) -> Any:
    if getattr(a.dtype, "slots", 0):

        def tracked(a: Any) -> Any:
            return tracked_squares(a)

        return tracked
    if a.ndim == 1:
        return lambda a: dot(a, a)
    return lambda a: dot(np.ravel(a), np.ravel(a))


def _named_norm(a: Any, ord: Any) -> Any:
    if ord != "fro":
        raise ArgumentValueError(NO_SUCH_NORM)
    return euclidean(a)


def _vector_norm(a: Any, ord: Any) -> Any:
    like = element_like(a)
    if ord == 2:
        return as_number(euclidean(a), like)
    if ord == np.inf:
        return as_number(greatest(np.abs(a), 1.0), like)
    if ord == -np.inf:
        return as_number(greatest(np.abs(a), -1.0), like)
    if ord == 0:
        return as_number(float(np.count_nonzero(a)), like)
    s = like
    if ord == 1:
        for x in a:
            s = s + np.abs(x)
        return s
    for x in a:
        s = s + np.abs(x) ** ord
    return as_number(s ** (1.0 / ord), like)


def _matrix_norm(a: Any, ord: Any) -> Any:
    if abs(ord) == 1:
        return greatest(absolute_sums(a.T), np.sign(ord) * 1.0)
    if abs(ord) == np.inf:
        return greatest(absolute_sums(a), np.sign(ord) * 1.0)
    raise ArgumentValueError(NO_SUCH_NORM)


@kernel
def greatest(a: Any, sign: Any) -> Any:
    """Return the largest of sign * a, as an element of a; ties are split evenly."""
    if a.size == 0:
        return element_like(a)
    return extreme(a.flat, sign, element_like(a), True)


@kernel
def absolute_sums(a: Any) -> Any:
    """Return the sum of the absolute values in every row."""
    out = empty_numbers((a.shape[0],), element_like(a))
    for i in range(a.shape[0]):
        s = element_like(a)
        for x in a[i]:
            s = s + np.abs(x)
        out[i] = s
    return out


# Windows that move along a vector: every result is the product of two slices.


@kernel
def convolve(a: Any, v: Any, mode: Any = "full") -> Any:
    """np.convolve."""
    if a.size < v.size:
        return windows(v, a[::-1], mode)
    return windows(a, v[::-1], mode)


@kernel
def correlate(a: Any, v: Any, mode: Any = "valid") -> Any:
    """np.correlate."""
    if a.size < v.size:
        return windows(v, a, mode)[::-1].copy()
    return windows(a, v, mode)


@kernel
def windows(a: Any, v: Any, mode: Any) -> Any:
    """Return the products of `v` with the windows of `a`, which is not the shorter one."""
    n = v.size
    if n == 0:
        raise ValueError("np.convolve and np.correlate: an array is empty")
    before = n - 1  # how far the first window reaches out of `a`
    if mode == "same":
        before = n // 2
    elif mode == "valid":
        before = 0
    elif mode != "full":
        raise ValueError("mode must be one of 'full', 'same' and 'valid'")
    after = n - 1 - before if mode == "same" else before
    out = empty_numbers((a.size - n + 1 + before + after,), number_like(a, v))
    for i in range(out.size):
        at = i - before
        low, high = max(0, at), min(a.size, at + n)
        out[i] = dot(a[low:high], v[low - at : high - at])
    return out


# Products of elements


@kernel
def kron(a: Any, b: Any) -> Any:
    """np.kron of vectors and matrices."""
    return kron_of(a, b)


def kron_of(a: Any, b: Any) -> Any:
    """Kronecker product (compiled code only)."""
    raise NotImplementedError


@specialized(kron_of)
def _kron_of(a: Any, b: Any) -> Any:
    if not all(isinstance(ty, types.Array) and ty.ndim <= 2 for ty in (a, b)):
        return None
    if a.ndim == b.ndim == 1:
        return lambda a, b: outer(a, b).reshape(a.size * b.size)
    return lambda a, b: kron_of_matrices(np.atleast_2d(a), np.atleast_2d(b))


@kernel
def kron_of_matrices(a: Any, b: Any) -> Any:
    """Return the matrix of the blocks a[i, j] * b."""
    (m, n), (p, q) = a.shape, b.shape
    out = empty_numbers((m * p, n * q), number_like(a, b))
    for i in range(m):
        for k in range(p):
            for j in range(n):
                for h in range(q):
                    out[i * p + k, j * q + h] = a[i, j] * b[k, h]
    return out


@kernel
def cross(a: Any, b: Any) -> Any:
    """np.cross of vectors of three, or of arrays of them that broadcast together."""
    if a.shape[-1] != 3 or b.shape[-1] != 3:
        raise ValueError("np.cross of active numbers: the last axes must have length 3")
    return cross_of(a, b)


def cross_of(a: Any, b: Any) -> Any:
    """Cross product (compiled code only)."""
    raise NotImplementedError


@specialized(cross_of)
def _cross_of(a: Any, b: Any) -> Any:
    return _cross_of_vectors if a.ndim == b.ndim == 1 else _cross_of_arrays


def _cross_of_vectors(a: Any, b: Any) -> Any:
    out = empty_numbers((3,), number_like(a, b))
    fill_cross(a, b, out)
    return out


def _cross_of_arrays(a: Any, b: Any) -> Any:
    first = a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1]
    out = empty_numbers((*first.shape, 3), number_like(a, b))
    out[..., 0] = first
    out[..., 1] = a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2]
    out[..., 2] = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return out


@register_jitable
def fill_cross(a: Any, b: Any, out: Any) -> None:
    """Store the cross product of two vectors."""
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        out[i] = a[j] * b[k] - a[k] * b[j]


# Elements picked and placed


@kernel
def trace(a: Any, offset: Any = 0) -> Any:
    """np.trace of a matrix."""
    s = element_like(a)
    down, right = max(0, -offset), max(0, offset)
    for i in range(max(0, min(a.shape[0] - down, a.shape[1] - right))):
        s = s + a[i + down, i + right]
    return s


@kernel
def fill_diagonal(a: Any, x: Any) -> None:
    """np.fill_diagonal of a matrix."""
    for i in range(min(a.shape)):
        a[i, i] = x


@kernel
def extract(condition: Any, a: Any) -> Any:
    """np.extract."""
    return a.copy().reshape(a.size)[condition.copy().reshape(condition.size)]


@kernel
def ediff1d(a: Any) -> Any:
    """np.ediff1d."""
    flat = a.copy().reshape(a.size)
    return flat[1:] - flat[:-1]


@kernel
def linspace(start: Any, stop: Any, num: Any = 50) -> Any:
    """np.linspace between numbers of which one at least is active."""
    out = empty_numbers((num,), promoted_zero(start, stop, 0.0))
    if num == 1:
        out[0] = start
    if num > 1:
        step = (stop - start) / (num - 1.0)
        for i in range(num - 1):
            out[i] = start + i * step
        out[num - 1] = stop
    return out


@kernel
def append(a: Any, more: Any) -> Any:
    """np.append without an axis."""
    return appended(a, more)


def appended(a: Any, more: Any) -> Any:
    """Append elements to a flattened array (compiled code only)."""
    raise NotImplementedError


@specialized(appended)
def _appended(a: Any, more: Any) -> Any:
    if not isinstance(a, types.Array):
        return None
    if isinstance(more, types.Array):
        return lambda a, more: np.concatenate((np.ravel(a), np.ravel(more)))

    def one_more(a: Any, more: Any) -> Any:
        out = empty_numbers((a.size + 1,), promoted_zero(a, more, 0.0))
        out[:-1] = np.ravel(a)
        out[-1] = more
        return out

    return one_more


# Reductions that leave NaN out


@kernel
def nansum(a: Any) -> Any:
    """np.nansum."""
    s = element_like(a)
    for x in a.flat:
        if value(x) == value(x):
            s = s + x
    return s


@kernel
def nanprod(a: Any) -> Any:
    """np.nanprod."""
    p = element_like(a) + 1.0
    for x in a.flat:
        if value(x) == value(x):
            p = p * x
    return p


@kernel
def nanmean(a: Any) -> Any:
    """np.nanmean."""
    count = 0.0
    for x in a.flat:
        if value(x) == value(x):
            count += 1.0
    return nansum(a) / count


@kernel
def nanmax(a: Any) -> Any:
    """np.nanmax; ties are split evenly."""
    return greatest_present(a, 1.0)


@kernel
def nanmin(a: Any) -> Any:
    """np.nanmin; ties are split evenly."""
    return greatest_present(a, -1.0)


@kernel
def greatest_present(a: Any, sign: Any) -> Any:
    """Return the largest of sign * a among those that are not NaN; NaN if all are."""
    flat = np.ravel(a)
    present = flat[~np.isnan(values(flat))]
    return extreme(present.flat if present.size else flat.flat, sign, element_like(a), True)


# Comparisons look at the primals.


@kernel
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Any:
    """np.isclose of the primals."""
    return np.isclose(primal_of(a), primal_of(b), rtol, atol, equal_nan)


@kernel
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Any:
    """np.allclose of the primals."""
    return np.allclose(primal_of(a), primal_of(b), rtol, atol, equal_nan)


@kernel
def array_equal(a: Any, b: Any) -> Any:
    """np.array_equal of the primals."""
    return np.array_equal(primal_of(a), primal_of(b))


COMBINATIONS = {
    np.linalg.norm: norm,
    np.convolve: convolve,
    np.correlate: correlate,
    np.kron: kron,
    np.cross: cross,
    np.trace: trace,
    np.fill_diagonal: fill_diagonal,
    np.extract: extract,
    np.ediff1d: ediff1d,
    np.nansum: nansum,
    np.nanprod: nanprod,
    np.nanmean: nanmean,
    np.nanmax: nanmax,
    np.nanmin: nanmin,
    np.isclose: isclose,
    np.allclose: allclose,
    np.array_equal: array_equal,
}
FROM_SCALARS = {np.linspace: linspace, np.append: append}
FROM_SEQUENCES = {np.asarray: as_array}
