"""Determinants of arrays of numbers, by Jacobi's formula.

d det A = tr(adj(A) dA): the partial derivatives of det are the cofactors, which exist whether A is
singular or not.  d log|det A| = tr(A^-1 dA).  In reverse mode a determinant is one statement with
an entry for every element.

Cofactors are det(A) A^-T as long as pivots are of one scale.  Else A = U S V^T separates the
(nearly) singular part; with B = U^T A V in blocks of the regular and the singular part, and the
Schur complement C = B22 - B21 B11^-1 B12, whose adjugate needs no pivots, the adjugate of B is

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

from ..arrays.array_rule import array_rule
from ..arrays.conversion import values
from ..backend.jit import by_type, generic, kernel
from ..numbers.access import element_like, empty_numbers, to_numbers
from ..numbers.types import NumberType
from .inverse import inverse
from .lapack import factor, substitute
from .matrices import transposed
from .products import times

SAME_SCALE = 1e-5  # pivots below this fraction of the largest belong to the singular part


@array_rule
def determinant(a: Any) -> Any:
    """Return the determinant of a matrix."""
    return np.linalg.det(a)


@determinant.partials
def determinant_partials(value: Any, a: Any) -> Any:
    """Return the cofactors."""
    return cofactors(a)


# Cofactors


@by_type
def cofactors(a: Any) -> Any:
    """Return the matrix of cofactors."""
    return _number_cofactors if isinstance(a.dtype, NumberType) else plain_cofactors


@kernel
def plain_cofactors(a: Any) -> Any:
    """Return the cofactors of a matrix of floats."""
    lu, pivots, has_pivots = factor(transposed(a))
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
    lu, _, has_pivots = factor(transposed(a))
    return has_pivots and is_of_one_scale(lu)


@kernel
def is_of_one_scale(lu: Any) -> Any:
    """Return whether no pivot is small relative to the largest."""
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
        return scaled_by(inverse(transposed(a)), determinant(a))
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
    sign = np.linalg.det(u) * np.linalg.det(vt)
    product = times(times(u, transposed(adjugate)), np.ascontiguousarray(vt))
    return scaled_by(product, sign)


@generic
def block_adjugate(b: Any, rank: Any) -> Any:
    """Return the adjugate of a matrix whose block behind `rank` is close to zero."""
    if rank == 0:
        return small_adjugate(b)[1]
    first = inverse(b[:rank, :rank].copy())
    x = times(first, b[:rank, rank:].copy())
    y = times(b[rank:, :rank].copy(), first)
    y_block_x = times(b[rank:, :rank].copy(), x)
    det_c, adj_c = small_adjugate(b[rank:, rank:] - y_block_x)
    det_1 = determinant(b[:rank, :rank].copy())
    x_adj, adj_y = times(x, adj_c), times(adj_c, y)
    x_adj_y = times(x_adj, y)
    out = empty_numbers(b.shape, element_like(b))
    for i in range(b.shape[0]):
        for j in range(b.shape[0]):
            if i < rank and j < rank:
                out[i, j] = det_1 * (first[i, j] * det_c + x_adj_y[i, j])
            elif i < rank:
                out[i, j] = -det_1 * x_adj[i, j - rank]
            elif j < rank:
                out[i, j] = -det_1 * adj_y[i - rank, j]
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


@array_rule
def log_determinant(a: Any) -> Any:
    """Return the sign, which is constant, and the logarithm of the absolute determinant."""
    return np.linalg.slogdet(a)


@log_determinant.partials
def log_partials(sign_and_log: Any, a: Any) -> Any:
    """Return A^-T, or NaN where A is singular."""
    if sign_and_log[0] == 0.0:
        return scaled_by(a, math.nan)
    return inverse(transposed(a))
