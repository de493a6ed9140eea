"""Determinants of arrays of numbers, by Jacobi's formula.

d det A = tr(adj(A) dA): the partial derivatives of det are the cofactors, which exist whether A is
singular or not.  d log|det A| = tr(A^-1 dA).  In reverse mode a determinant is one statement with
an entry for every element.

Cofactors are det(A) A^-T as long as pivots are of one scale.  Else A = U S V^T splits off what is
(nearly) singular; with B = U^T A V in blocks of the regular and the singular part, and the Schur
complement C = B22 - B21 B11^-1 B12, whose adjugate needs no pivots, the adjugate of B is

    det(B11) [ B11^-1 det C + X adj(C) Y   -X adj(C) ]      X = B11^-1 B12,
             [ -adj(C) Y                    adj(C)   ]      Y = B21 B11^-1.

So derivatives of every order are right at singular matrices.

M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008, section 2.2; D. K. Faddeev and V. N. Faddeeva, Computational Methods of
Linear Algebra, 1963, for adj(C).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._jit import generic, kernel, specialized
from .adjoints import row_of, tracked
from .blocks import add_entry, close_statement, open_statement, tape_of
from .conversion import values
from .lapack import factor, substitute
from .matmul import times as careful_times
from .planes import (
    family,
    joined,
    lowered,
    nested,
    planes_of,
    times,
    unnested_number,
)
from .seed import element_like, empty_numbers, flat_view, to_numbers
from .solving import inverse, turned

__all__ = ["determinant", "log_determinant"]

SAME_SCALE = 1e-5  # a pivot smaller than this beside the largest belongs to the singular part


def determinant(a: Any) -> Any:
    """Return the determinant of a matrix (compiled code only)."""
    raise NotImplementedError


@specialized(determinant)
def _determinant(a: Any) -> Any:
    kind = family(a.dtype)
    if kind == "tracked":
        of_level = tracked_determinant.at(a.dtype.level)
        return lambda a: of_level(a)
    if kind == "float":
        return lambda a: plain_determinant(a)
    return _hyper_determinant if kind == "hyper" else _dual_determinant


@kernel
def plain_determinant(a: Any) -> Any:
    """Return the determinant of a matrix of floats."""
    return np.linalg.det(a)


def _hyper_determinant(a: Any) -> Any:
    like = element_like(a)
    return unnested_number(determinant(nested(a, like)), like)


def _dual_determinant(a: Any) -> Any:
    like = element_like(a)
    a0 = lowered(a, like)
    return with_weights(determinant(a0), a, cofactors(a0), like)


@generic
def with_weights(value: Any, a: Any, weights: Any, like: Any) -> Any:
    """Return a vector-dual with the sums of weights times partials of the elements of a matrix."""
    planes = planes_of(a, like)
    size = a.shape[0] * a.shape[1]
    sums = careful_times(planes.reshape((planes.shape[0], size)), weights.reshape((size, 1)))
    return joined(value, flat_view(sums), 0, 1, like)


@generic
def as_statement(value: Any, a: Any, weights: Any) -> Any:
    """Record a value with an entry for every element of a matrix."""
    number = element_like(a)
    address = tape_of(a)
    if address == 0:
        return tracked(value, 0, 0, number)
    open_statement(address, a.size)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            add_entry(address, row_of(a[i, j]), weights[i, j])
    return tracked(value, close_statement(address), address, number)


@kernel
def tracked_determinant(a: Any) -> Any:
    """Return a determinant as one statement."""
    a0 = lowered(a, element_like(a))
    return as_statement(determinant(a0), a, cofactors(a0))


# Cofactors


def cofactors(a: Any) -> Any:
    """Return the matrix of cofactors (compiled code only)."""
    raise NotImplementedError


@specialized(cofactors)
def _cofactors(a: Any) -> Any:
    if family(a.dtype) == "float":
        return lambda a: plain_cofactors(a)
    return _number_cofactors


@kernel
def plain_cofactors(a: Any) -> Any:
    """Return the cofactors of a matrix of floats."""
    lu, pivots, has_pivots = factor(turned(a))
    n = a.shape[0]
    if has_pivots and is_of_one_scale(lu):
        inverse_rows = substitute(lu, pivots, np.eye(n, dtype=a.dtype), False)
        return scaled_determinant(lu, pivots) * inverse_rows
    u, s, vt = np.linalg.svd(a)
    sign = np.linalg.det(u) * np.linalg.det(vt)
    for i in range(n):
        others = sign
        for j in range(n):
            if j != i:
                others *= s[j]
        u[:, i] *= others
    return np.dot(u, vt)


@kernel
def is_regular(a: Any) -> Any:
    """Return whether a matrix of floats is far from singular."""
    lu, _, has_pivots = factor(turned(a))
    return has_pivots and is_of_one_scale(lu)


@kernel
def is_of_one_scale(lu: Any) -> Any:
    """Return whether no pivot is small beside the largest."""
    pivots = np.abs(np.diag(lu))
    return pivots.size == 0 or pivots.min() > SAME_SCALE * pivots.max()


@kernel
def scaled_determinant(lu: Any, pivots: Any) -> Any:
    """Return the product of the pivots, which overflows only if the result does."""
    mantissa, exponent = 1.0, 0
    for i in range(pivots.size):
        part, more = math.frexp(lu[i, i] if pivots[i] == i + 1 else -lu[i, i])
        mantissa, again = math.frexp(mantissa * part)
        exponent += more + again
    return math.ldexp(mantissa, exponent)


def _number_cofactors(a: Any) -> Any:
    plain = values(a)
    if is_regular(plain):
        return scaled_by(inverse(turned(a)), determinant(a))
    return singular_cofactors(a, plain)


@generic
def scaled_by(a: Any, x: Any) -> Any:
    """Return a matrix times a number."""
    out = empty_numbers(a.shape, element_like(a))
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = a[i, j] * x
    return out


@generic
def singular_cofactors(a: Any, plain: Any) -> Any:
    """Return the cofactors of a matrix of numbers that is close to a singular one."""
    u, s, vt = np.linalg.svd(plain)
    rank = 0
    while rank < s.size and s[rank] > SAME_SCALE * s[0]:
        rank += 1
    b = times(times(np.ascontiguousarray(u.T), a), np.ascontiguousarray(vt.T))
    adjugate = block_adjugate(b, rank)
    signed = np.linalg.det(u) * np.linalg.det(vt)
    back = times(times(u, turned(adjugate)), np.ascontiguousarray(vt))
    return scaled_by(back, signed)


@generic
def block_adjugate(b: Any, rank: Any) -> Any:
    """Return the adjugate of a matrix whose block behind `rank` is close to zero."""
    if rank == 0:
        return small_adjugate(b)[1]
    first = inverse(b[:rank, :rank].copy())
    x = times(first, b[:rank, rank:].copy())
    y = times(b[rank:, :rank].copy(), first)
    more = times(b[rank:, :rank].copy(), x)
    det_c, adj_c = small_adjugate(b[rank:, rank:] - more)
    det_1 = determinant(b[:rank, :rank].copy())
    left, right = times(x, adj_c), times(adj_c, y)
    both = times(left, y)
    out = empty_numbers(b.shape, element_like(b))
    for i in range(b.shape[0]):
        for j in range(b.shape[0]):
            if i < rank and j < rank:
                out[i, j] = det_1 * (first[i, j] * det_c + both[i, j])
            elif i < rank:
                out[i, j] = -det_1 * left[i, j - rank]
            elif j < rank:
                out[i, j] = -det_1 * right[i - rank, j]
            else:
                out[i, j] = det_1 * adj_c[i - rank, j - rank]
    return out


@generic
def small_adjugate(c: Any) -> Any:
    """Return determinant and adjugate of a small matrix without division by its elements."""
    n = c.shape[0]
    power = to_numbers(np.eye(n), element_like(c))
    adjugate = power
    last = element_like(c) + 1.0
    for k in range(1, n + 1):
        adjugate = power
        power = times(c, adjugate)
        trace = element_like(c)
        for i in range(n):
            trace = trace + power[i, i]
        last = -trace / k
        for i in range(n):
            power[i, i] = power[i, i] + last
    if n % 2 == 0:
        return last, scaled_by(adjugate, -1.0)
    return -last, scaled_by(adjugate, 1.0)


# Logarithms of determinants


def log_determinant(a: Any) -> Any:
    """Return the sign and the logarithm of the absolute determinant (compiled code only)."""
    raise NotImplementedError


@specialized(log_determinant)
def _log_determinant(a: Any) -> Any:
    kind = family(a.dtype)
    if kind == "tracked":
        of_level = tracked_log_determinant.at(a.dtype.level)
        return lambda a: of_level(a)
    if kind == "float":
        return lambda a: plain_log_determinant(a)
    return _hyper_log_determinant if kind == "hyper" else _dual_log_determinant


@kernel
def plain_log_determinant(a: Any) -> Any:
    """Return sign and logarithm of the determinant of a matrix of floats."""
    return np.linalg.slogdet(a)


def _hyper_log_determinant(a: Any) -> Any:
    like = element_like(a)
    sign, logarithm = log_determinant(nested(a, like))
    return sign, unnested_number(logarithm, like)


def _dual_log_determinant(a: Any) -> Any:
    like = element_like(a)
    a0 = lowered(a, like)
    sign, logarithm = log_determinant(a0)
    return sign, with_weights(logarithm, a, gradient_of_log(a0, sign), like)


@generic
def gradient_of_log(a: Any, sign: Any) -> Any:
    """Return A^-T, or NaN where A is singular."""
    if sign == 0.0:
        return scaled_by(a, math.nan)
    return inverse(turned(a))


@kernel
def tracked_log_determinant(a: Any) -> Any:
    """Return the logarithm of a determinant as one statement."""
    a0 = lowered(a, element_like(a))
    sign, logarithm = log_determinant(a0)
    return sign, as_statement(logarithm, a, gradient_of_log(a0, sign))
