"""Cholesky factors and eigenvectors of symmetric arrays of numbers, by implicit rules.

LAPACK reads the lower triangle of the matrix, so the results depend on that alone: dA stands for
the symmetric matrix of the lower triangle's differentials, and adjoints of the upper triangle are
zero.  With Phi(M) the lower triangle of M, its diagonal halved, and F_ij = 1 / (w_j - w_i):

    A = L L^T        dL = L Phi(L^-1 dA L^-T),   S = L^-T Phi(L^T L_bar) L^-1,
    A = V diag(w) V^T   M = V^T dA V,  dw = diag M,  dV = V (F o M),
                     S = V (diag(w_bar) + F o (V^T V_bar)) V^T,

and A_bar is the lower triangle of S + S^T, its diagonal halved.

Equal eigenvalues: each gets the mean of its cluster's dw, the element of least norm of Clarke's
subdifferential; F is 0 within a cluster, so functions of the subspace alone are right.  The
single eigenvectors of a cluster have no derivative.

M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008, section 3.1; I. Murray, "Differentiation of the Cholesky decomposition",
arXiv:1602.07527, 2016.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..arrays.array_rule import array_rule
from ..arrays.blas import careful_product
from ..arrays.conversion import values
from ..backend.allocation import empty_array
from ..backend.jit import generic, kernel
from ..numbers.access import element_like, empty_numbers, flat_view
from ..numbers.reading import symmetrize
from .matrices import copy_flat, stacked_rows, transposed, transposed_planes
from .products import left_products, times
from .solve import backsolve


@kernel
def apply_phi(a: Any) -> None:
    """Replace M by Phi(M)."""
    for i in range(a.shape[0]):
        a[i, i] = a[i, i] * 0.5
        for j in range(i):
            a[j, i] = 0.0


@kernel
def fold_into_lower(s: Any) -> None:
    """Replace S, the adjoint of a symmetric matrix, by that of its lower triangle."""
    for i in range(s.shape[0]):
        for j in range(i):
            s[i, j] = s[i, j] + s[j, i]
            s[j, i] = 0.0


# Cholesky factors


@array_rule
def triangle(a: Any) -> Any:
    """Return the lower Cholesky factor."""
    return np.linalg.cholesky(a)


@triangle.tangent
def triangle_tangent(l: Any, da: Any) -> Any:
    """Return L Phi(L^-1 dA L^-T)."""
    for i in range(da.shape[0]):
        symmetrize(da[i].T)  # the lower triangle counts
    inner = congruence(l, da, True)
    for i in range(inner.shape[0]):
        apply_phi(inner[i])
    return transposed_planes(left_products(transposed_planes(inner), transposed(l)))  # of (L Phi)^T


@triangle.adjoint
def triangle_adjoint(l: Any, bar: Any) -> Any:
    """Return the lower triangle of S + S^T, S = L^-T Phi(L^T L_bar) L^-1."""
    n = l.shape[0]
    for i in range(n):
        for j in range(i):
            bar[j, i] = 0.0
    inner = careful_product(l.T, bar)
    apply_phi(inner)
    s = congruence(l, inner.reshape((1, n, n)), False)[0]
    fold_into_lower(s)
    return s


@generic
def congruence(l: Any, planes: Any, flipped: Any) -> Any:
    """Return L^-1 M^T L^-T if `flipped`, else L^-T M^T L^-1, for every plane M."""
    none = empty_array(0, np.int32)
    first = backsolve(l, stacked_rows(planes), none, flipped).reshape(planes.shape)
    return backsolve(l, stacked_rows(transposed_planes(first)), none, flipped).reshape(planes.shape)


# Eigenvalues and eigenvectors


class Eigenpairs(NamedTuple):
    """Eigenvalues, eigenvectors, and where clusters of equal eigenvalues end."""

    w: Any
    v: Any
    ends: Any


@array_rule(results=2)
def eigen(a: Any) -> Any:
    """Return eigenvalues and eigenvectors of a symmetric matrix."""
    w, v = np.linalg.eigh(a)
    return w, np.ascontiguousarray(v)


@eigen.keep
def eigen_data(a: Any) -> Any:
    """Return eigenvalues, eigenvectors and clusters."""
    w, v = eigen(a)
    return Eigenpairs(w, v, clusters(values(w)))


@eigen.tangent
def eigen_tangent(pairs: Any, da: Any) -> Any:
    """Return diag M and V (F o M), M = V^T dA V."""
    w, v, ends = pairs
    vt, n = transposed(v), w.size
    dw = empty_numbers((da.shape[0], n), element_like(w))
    for i in range(da.shape[0]):
        symmetrize(da[i].T)  # the lower triangle counts
        m = times(times(vt, da[i]), v)
        average_clusters(flat_view(m)[:: n + 1], ends, dw[i])
        divide_by_gaps(m, w, ends)
        copy_flat(da[i], times(v, m))
    return dw, da


@eigen.adjoint
def eigen_adjoint(pairs: Any, w_bar: Any, v_bar: Any) -> Any:
    """Return the lower triangle of S + S^T, S = V (diag(w_bar) + F o (V^T V_bar)) V^T."""
    w, v, ends = pairs
    inner = careful_product(v.T, v_bar)
    divide_by_gaps(inner, w, ends)
    average_clusters(w_bar, ends, flat_view(inner)[:: w.size + 1])
    s = careful_product(careful_product(v, inner), v.T)
    fold_into_lower(s)
    return s


@kernel
def clusters(w: Any) -> Any:
    """Return for each of ascending eigenvalues the end of the cluster of those equal to it."""
    n = w.size
    ends = np.empty(n, np.int64)
    if n > 0:
        tolerance = 4.0 * n * np.spacing(max(abs(w[0]), abs(w[n - 1])))
        end = n
        for i in range(n - 1, -1, -1):
            if i + 1 < n and w[i + 1] - w[i] > tolerance:
                end = i + 1
            ends[i] = end
    return ends


@kernel
def average_clusters(x: Any, ends: Any, out: Any) -> None:
    """Fill `out` with the means of x over each cluster."""
    start = 0
    while start < ends.size:
        end = ends[start]
        s = x[start] * 1.0
        for i in range(start + 1, end):
            s = s + x[i]
        for i in range(start, end):
            out[i] = s / (end - start)
        start = end


@kernel
def divide_by_gaps(m: Any, w: Any, ends: Any) -> None:
    """Replace M by F o M."""
    for i in range(w.size):
        for j in range(w.size):
            if ends[i] == ends[j]:
                m[i, j] = 0.0
            else:
                m[i, j] = m[i, j] / (w[j] - w[i])
