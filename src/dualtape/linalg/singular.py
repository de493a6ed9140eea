"""Singular values and vectors, pseudo-inverses and QR factors, by implicit rules.

With A = U diag(s) V^T (as many columns as singular values), P = U^T dA V, S = diag(s) and
F_ij = 1 / (s_j^2 - s_i^2), zero where singular values are equal:

    ds = diag P,    dU = U (F o (P S + S P^T)) + (I - U U^T) dA V S^-1,
                    dV = V (F o (S P + P^T S)) + (I - V V^T) dA^T U S^-1,
    A_bar = U ((F o (X - X^T)) S + S (F o (Y - Y^T)) + diag(s_bar)) V^T
            + (I - U U^T) U_bar S^-1 V^T + U S^-1 V_bar^T (I - V V^T),
    with X = U^T U_bar, Y = V^T V_bar.

As for eigenvalues, each of a cluster of equal singular values gets the mean of the cluster's
derivatives, and functions of the subspaces alone are right; U S V^T written out is not one of them.

With P the pseudo-inverse of a matrix of full rank,

    dP = -P dA P + P P^T dA^T (I - A P) + (I - P A) dA^T P^T P.

With A = Q R of full column rank, C = Q^T dA R^-1 and low(C) its strictly lower triangle,

    W = low(C) - low(C)^T,  dQ = Q W + (I - Q Q^T) dA R^-1,  dR = (C - W) R,
    A_bar = (Q_bar + Q L) R^-T,  L = low(M) + low(M)^T + diag M,  M = R R_bar^T - Q_bar^T Q.

J. Townsend, "Differentiating the singular value decomposition", 2016; G. Golub, V. Pereyra, "The
differentiation of pseudo-inverses and nonlinear least squares problems", SIAM J. Numer. Anal. 10,
1973; S. F. Walter, L. Lehmann, "Algorithmic differentiation of linear algebra functions", 2010.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arrays.array_rule import array_rule
from ..arrays.conversion import values
from ..backend.jit import generic, kernel
from ..errors import ArgumentValueError
from ..numbers.access import element_like, empty_numbers, flat_view, zeros
from .inverse import inverse
from .matrices import copy_flat, transposed
from .products import times
from .symmetric import average_clusters, clusters, divide_by_gaps

WIDE = (
    "np.linalg.qr of active numbers needs at least as many rows as columns; factor a.T, or the "
    "first columns"
)
NOT_FULL_RANK = (
    "np.linalg.pinv: the matrix has not full rank, where its pseudo-inverse jumps and has no "
    "derivative"
)


class Singular(NamedTuple):
    """Singular vectors and values, V^T, V, and where clusters of equal values end."""

    u: Any
    s: Any
    vt: Any
    v: Any
    ends: Any


@array_rule(results=3)
def thin_svd(a: Any) -> Any:
    """Return U, s and V^T with as many columns and rows as singular values."""
    u, s, vt = np.linalg.svd(a, False)
    return np.ascontiguousarray(u), s, np.ascontiguousarray(vt)


@thin_svd.keep
def singular_data(a: Any) -> Any:
    """Return singular values, vectors and clusters."""
    u, s, vt = thin_svd(a)
    return Singular(u, s, vt, transposed(vt), clusters(-values(s)))


@thin_svd.tangent
def thin_svd_tangent(data: Any, da: Any) -> Any:
    """Return the tangents of U, s and V^T."""
    u, s, vt, v, ends = data
    ut, count = transposed(u), da.shape[0]
    du = empty_numbers((count, *u.shape), element_like(u))
    ds = empty_numbers((count, s.size), element_like(s))
    dvt = empty_numbers((count, *vt.shape), element_like(vt))
    for k in range(count):
        p = times(ut, times(da[k], v))
        average_clusters(flat_view(p)[:: s.size + 1], ends, ds[k])
        left = times(u, rotation(scaled_sum(p, s), s, ends))
        add_scaled_rest(left, u, ut, times(da[k], v), s)
        copy_flat(du[k], left)
        right = times(v, rotation(scaled_sum(transposed(p), s), s, ends))
        add_scaled_rest(right, v, vt, times(transposed(da[k]), u), s)
        copy_flat(dvt[k], transposed(right))
    return du, ds, dvt


@thin_svd.adjoint
def thin_svd_adjoint(data: Any, u_bar: Any, s_bar: Any, vt_bar: Any) -> Any:
    """Return the adjoint of A."""
    u, s, vt, v, ends = data
    ut, v_bar = transposed(u), transposed(vt_bar)
    x, y = times(ut, u_bar), times(vt, v_bar)
    x, y = rotation(x - transposed(x), s, ends), rotation(y - transposed(y), s, ends)
    inner = empty_numbers(x.shape, element_like(x))
    mean = empty_numbers(s.shape, element_like(s_bar))
    average_clusters(s_bar, ends, mean)
    for i in range(s.size):
        for j in range(s.size):
            inner[i, j] = x[i, j] * s[j] + s[i] * y[i, j]
        inner[i, i] = inner[i, i] + mean[i]
    left, right = times(u, inner), zeros(v.shape, element_like(v))
    add_scaled_rest(left, u, ut, u_bar, s)
    add_scaled_rest(right, v, vt, v_bar, s)
    return times(left, vt) + times(u, transposed(right))


@generic
def singular_values(a: Any) -> Any:
    """Return the singular values, the largest first."""
    return thin_svd(a)[1]


@kernel
def scaled_sum(p: Any, s: Any) -> Any:
    """Return P S + S P^T."""
    out = empty_numbers(p.shape, element_like(p))
    for i in range(s.size):
        for j in range(s.size):
            out[i, j] = p[i, j] * s[j] + s[i] * p[j, i]
    return out


@kernel
def rotation(a: Any, s: Any, ends: Any) -> Any:
    """Replace A by F o A; return it. The difference of squares would lose digits."""
    divide_by_gaps(a, s, ends)
    for i in range(s.size):
        for j in range(s.size):
            if ends[i] != ends[j]:
                a[i, j] = a[i, j] / (s[i] + s[j])
    return a


@generic
def add_scaled_rest(out: Any, u: Any, ut: Any, b: Any, s: Any) -> None:
    """Add (I - U U^T) B S^-1, which is nothing where U is square; a zero s adds nothing."""
    if u.shape[0] == u.shape[1]:
        return
    rest = b - times(u, times(ut, b))
    for j in range(s.size):
        if s[j] != 0.0:
            for i in range(rest.shape[0]):
                out[i, j] = out[i, j] + rest[i, j] / s[j]


# Pseudo-inverses


class PseudoInverse(NamedTuple):
    """The pseudo-inverse P, the matrix A, and P^T."""

    p: Any
    a: Any
    pt: Any


@array_rule
def pseudo_inverse(a: Any) -> Any:
    """Return the pseudo-inverse of a matrix."""
    return np.ascontiguousarray(np.linalg.pinv(a))


@pseudo_inverse.keep
def pseudo_inverse_data(a: Any) -> Any:
    """Return the pseudo-inverse, with what its derivative needs."""
    p = pseudo_inverse(a)
    return PseudoInverse(p, a, transposed(p))


@pseudo_inverse.tangent
def pseudo_inverse_tangent(data: Any, da: Any) -> Any:
    """Return dP."""
    p, a, pt = data
    out = empty_numbers((da.shape[0], *p.shape), element_like(p))
    outer, inner = times(p, pt), times(pt, p)
    for k in range(da.shape[0]):
        dat = transposed(da[k])
        first, second = times(outer, dat), times(dat, inner)
        dp = (first - times(times(first, a), p)) + (second - times(p, times(a, second)))
        copy_flat(out[k], dp - times(times(p, da[k]), p))
    return out


@pseudo_inverse.adjoint
def pseudo_inverse_adjoint(data: Any, bar: Any) -> Any:
    """Return -P^T B P^T + (I - A P) B^T P P^T + P^T P B^T (I - P A)."""
    p, a, pt = data
    bt = transposed(bar)
    first, second = times(bt, times(p, pt)), times(times(pt, p), bt)
    rest = (first - times(a, times(p, first))) + (second - times(times(second, p), a))
    return rest - times(times(pt, bar), pt)


@kernel
def require_full_rank(a: Any, rcond: Any) -> None:
    """Raise where np.linalg.pinv leaves out singular values, and their derivatives with them."""
    s = np.linalg.svd(a, False)[1]
    if np.any(s <= rcond * s[0]):
        raise np.linalg.LinAlgError(NOT_FULL_RANK)


# QR factors


class Orthogonal(NamedTuple):
    """Q, R, R^-1 and Q^T."""

    q: Any
    r: Any
    inverse: Any
    qt: Any


@array_rule(results=2)
def qr_factors(a: Any) -> Any:
    """Return Q and R of a matrix with at least as many rows as columns."""
    if a.shape[0] < a.shape[1]:
        raise ArgumentValueError(WIDE)
    q, r = np.linalg.qr(a)
    return np.ascontiguousarray(q), np.ascontiguousarray(r)


@qr_factors.keep
def qr_data(a: Any) -> Any:
    """Return the factors with R^-1."""
    q, r = qr_factors(a)
    return Orthogonal(q, r, inverse(r), transposed(q))


@qr_factors.tangent
def qr_tangent(data: Any, da: Any) -> Any:
    """Return dQ and dR."""
    q, r, r_inverse, qt = data
    dq = empty_numbers((da.shape[0], *q.shape), element_like(q))
    dr = empty_numbers((da.shape[0], *r.shape), element_like(r))
    for k in range(da.shape[0]):
        scaled = times(da[k], r_inverse)
        c = times(qt, scaled)
        turning = empty_numbers(c.shape, element_like(c))
        for i in range(c.shape[0]):
            turning[i, i] = 0.0
            for j in range(i):
                turning[i, j] = c[i, j]
                turning[j, i] = -c[i, j]
        copy_flat(dq[k], times(q, turning) + (scaled - times(q, c)))
        copy_flat(dr[k], times(c - turning, r))
    return dq, dr


@qr_factors.adjoint
def qr_adjoint(data: Any, q_bar: Any, r_bar: Any) -> Any:
    """Return (Q_bar + Q L) R^-T."""
    q, r, r_inverse, _ = data
    for i in range(r_bar.shape[0]):
        for j in range(i):
            r_bar[i, j] = 0.0
    m = times(r, transposed(r_bar)) - times(transposed(q_bar), q)
    for i in range(m.shape[0]):
        for j in range(i):
            m[j, i] = m[i, j]
    return times(q_bar + times(q, m), transposed(r_inverse))
