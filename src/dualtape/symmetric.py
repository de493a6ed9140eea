"""Cholesky factors and eigenvectors of symmetric arrays of numbers, by implicit rules.

LAPACK reads the lower triangle of the matrix, so that is what the results depend on: dA stands for
the symmetric matrix of the lower triangle's differentials, and adjoints of the upper triangle are
zero.  With Phi(M) the lower triangle of M, its diagonal halved, and F_ij = 1 / (w_j - w_i):

    A = L L^T        dL = L Phi(L^-1 dA L^-T),   S = L^-T Phi(L^T L_bar) L^-1,
    A = V diag(w) V^T   M = V^T dA V,  dw = diag M,  dV = V (F o M),
                     S = V (diag(w_bar) + F o (V^T V_bar)) V^T,

and A_bar is the lower triangle of S + S^T, its diagonal halved.

Equal eigenvalues: each gets the mean of its cluster's dw, the element of least norm of Clarke's
subdifferential; F is 0 within a cluster, so what depends on the subspace alone is right.  The
single eigenvectors of a cluster have no derivative.

M. B. Giles, "Collected matrix derivative results for forward and reverse mode algorithmic
differentiation", 2008, section 3.1; I. Murray, "Differentiation of the Cholesky decomposition",
arXiv:1602.07527, 2016.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._jit import generic, kernel, specialized
from .adjoints import wide_like
from .allocation import empty_array
from .blocks import (
    add_to_rows,
    adjoint_of,
    block_rows,
    gather_adjoint,
    load_array,
    store_array,
    store_rows,
    tape_of,
)
from .conversion import values
from .layouts import rows_in
from .matmul import times as careful_times
from .planes import (
    copy_flat,
    family,
    from_planes,
    left_products,
    lowered,
    nested,
    planes_of,
    times,
    unnested,
)
from .replay import track_result
from .seed import element_like, empty_numbers
from .solving import WHOLE, solved, stacked, turned
from .tape import tape_at, typed_view

__all__ = ["eigen", "triangle"]


@kernel
def mirror(a: Any) -> None:
    """Replace the upper triangle by the lower one."""
    for i in range(a.shape[0]):
        for j in range(i):
            a[j, i] = a[i, j]


@kernel
def halve(a: Any) -> None:
    """Replace a matrix by its lower triangle with half the diagonal."""
    for i in range(a.shape[0]):
        a[i, i] = a[i, i] * 0.5
        for j in range(i):
            a[j, i] = 0.0


@kernel
def fold(s: Any) -> None:
    """Replace S, an adjoint of the whole symmetric matrix, by that of its lower triangle."""
    for i in range(s.shape[0]):
        for j in range(i):
            s[i, j] = s[i, j] + s[j, i]
            s[j, i] = 0.0


# Cholesky factors


def triangle(a: Any) -> Any:
    """Return the lower Cholesky factor (compiled code only)."""
    raise NotImplementedError


@specialized(triangle)
def _triangle(a: Any) -> Any:
    kind = family(a.dtype)
    if kind == "tracked":
        of_level = tracked_triangle.at(a.dtype.level)
        return lambda a: of_level(a)
    if kind == "float":
        return lambda a: plain_triangle(a)
    return _hyper_triangle if kind == "hyper" else _dual_triangle


@kernel
def plain_triangle(a: Any) -> Any:
    """Return the Cholesky factor of a matrix of floats."""
    return np.linalg.cholesky(a)


def _hyper_triangle(a: Any) -> Any:
    like = element_like(a)
    return unnested(triangle(nested(a, like)), like)


def _dual_triangle(a: Any) -> Any:
    like = element_like(a)
    l = triangle(lowered(a, like))
    planes = planes_of(a, like)
    for i in range(planes.shape[0]):
        mirror(planes[i])
    inner = between(l, planes, True)
    for i in range(planes.shape[0]):
        halve(inner[i])
    products = left_products(turned_planes(inner), turned(l))  # (L Phi)^T
    return from_planes(l, turned_planes(products), like)


@generic
def between(l: Any, planes: Any, flipped: Any) -> Any:
    """Return L^-1 M^T L^-T if `flipped`, else L^-T M^T L^-1, for every plane M."""
    none = empty_array(0, np.int32)
    first = solved(l, none, stacked(planes), flipped).reshape(planes.shape)
    return solved(l, none, stacked(turned_planes(first)), flipped).reshape(planes.shape)


@kernel
def turned_planes(planes: Any) -> Any:
    """Return each plane transposed."""
    out = empty_numbers((planes.shape[0], planes.shape[2], planes.shape[1]), element_like(planes))
    for i in range(planes.shape[0]):
        for j in range(planes.shape[1]):
            for k in range(planes.shape[2]):
                out[i, k, j] = planes[i, j, k]
    return out


@kernel
def tracked_triangle(a: Any) -> Any:
    """Cholesky factor as a block: the factor is kept."""
    number = element_like(a)
    l = triangle(lowered(a, number))
    address, first = tape_of(a), WHOLE
    if address != 0:
        tape = tape_at(address)
        first = tape.reserve(l.size)
        kept = wide_like(l)
        told = np.array([l.shape[0], 0, 0])
        told[1] = store_rows(address, rows_in(a, number))
        told[2] = store_array(address, l, kept)
        at = store_array(address, told, WHOLE)
        tape.add_block(first, first + l.size, address_of_triangle_adjoint(kept), at)
    return track_result(l, first, address, number)


@kernel
def triangle_adjoint(address: Any, block: Any, lane: Any, width: Any, kept: Any) -> None:
    """Add the adjoint of a Cholesky factor to those of the lower triangle."""
    first, offset = block_rows(address, block)
    told = load_array(address, offset, 3, WHOLE)
    n = told[0]
    l = load_array(address, told[2], n * n, kept).reshape((n, n))
    adjoint = typed_view(tape_at(address).adjoint, kept)
    bar = empty_numbers((n, n), kept)
    gather_adjoint(adjoint, first, bar, lane, width)
    for i in range(n):
        for j in range(i):
            bar[j, i] = 0.0
    inner = careful_times(l.T, bar)
    halve(inner)
    s = between(l, inner.reshape((1, n, n)), False)[0]
    fold(s)
    add_to_rows(address, told[1], adjoint, s, lane, width)


address_of_triangle_adjoint = adjoint_of(triangle_adjoint)


# Eigenvalues and eigenvectors


def eigen(a: Any) -> tuple[Any, Any]:
    """Return eigenvalues and eigenvectors of a symmetric matrix (compiled code only)."""
    raise NotImplementedError


@specialized(eigen)
def _eigen(a: Any) -> Any:
    kind = family(a.dtype)
    if kind == "tracked":
        of_level = tracked_eigen.at(a.dtype.level)
        return lambda a: of_level(a)
    if kind == "float":
        return lambda a: plain_eigen(a)
    return _hyper_eigen if kind == "hyper" else _dual_eigen


@kernel
def plain_eigen(a: Any) -> Any:
    """Return eigenvalues and eigenvectors of a matrix of floats."""
    w, v = np.linalg.eigh(a)
    return w, np.ascontiguousarray(v)


def _hyper_eigen(a: Any) -> Any:
    like = element_like(a)
    w, v = eigen(nested(a, like))
    return unnested(w, like), unnested(v, like)


def _dual_eigen(a: Any) -> Any:
    like = element_like(a)
    w, v = eigen(lowered(a, like))
    ends = clusters(values(w))
    vt, planes = turned(v), planes_of(a, like)
    moved = empty_numbers((planes.shape[0], w.size), element_like(w))
    for i in range(planes.shape[0]):
        mirror(planes[i])
        m = times(times(vt, planes[i]), v)
        share(m, ends, moved[i])
        spread(m, w, ends)
        copy_flat(planes[i], times(v, m))
    return from_planes(w, moved, like), from_planes(v, planes, like)


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
def share(m: Any, ends: Any, out: Any) -> None:
    """Fill `out` with the diagonal, averaged over each cluster."""
    start = 0
    while start < ends.size:
        end = ends[start]
        s = m[start, start] * 1.0
        for i in range(start + 1, end):
            s = s + m[i, i]
        for i in range(start, end):
            out[i] = s / (end - start)
        start = end


@kernel
def spread(m: Any, w: Any, ends: Any) -> None:
    """Replace M by F o M."""
    for i in range(w.size):
        for j in range(w.size):
            if ends[i] == ends[j]:
                m[i, j] = 0.0
            else:
                m[i, j] = m[i, j] / (w[j] - w[i])


@kernel
def tracked_eigen(a: Any) -> Any:
    """Eigenvalues and eigenvectors as one block: both are kept."""
    number = element_like(a)
    w, v = eigen(lowered(a, number))
    address, first = tape_of(a), WHOLE
    if address != 0:
        tape = tape_at(address)
        first = tape.reserve(w.size + v.size)
        kept = wide_like(w)
        told = np.array([w.size, 0, 0, 0, 0])
        told[1] = store_rows(address, rows_in(a, number))
        told[2] = store_array(address, w, kept)
        told[3] = store_array(address, v, kept)
        told[4] = store_array(address, clusters(values(w)), WHOLE)
        at = store_array(address, told, WHOLE)
        tape.add_block(first, first + w.size + v.size, address_of_eigen_adjoint(kept), at)
    vectors = track_result(v, first + w.size, address, number)
    return track_result(w, first, address, number), vectors


@kernel
def eigen_adjoint(address: Any, block: Any, lane: Any, width: Any, kept: Any) -> None:
    """Add the adjoints of eigenvalues and eigenvectors to those of the lower triangle."""
    first, offset = block_rows(address, block)
    told = load_array(address, offset, 5, WHOLE)
    n = told[0]
    w = load_array(address, told[2], n, kept)
    v = load_array(address, told[3], n * n, kept).reshape((n, n))
    ends = load_array(address, told[4], n, WHOLE)
    adjoint = typed_view(tape_at(address).adjoint, kept)
    bar, v_bar = empty_numbers((n, n), kept), empty_numbers((n, n), kept)
    gather_adjoint(adjoint, first + n, v_bar, lane, width)
    inner = careful_times(v.T, v_bar)
    spread(inner, w, ends)
    for i in range(n):
        for j in range(n):
            bar[i, j] = 0.0
        bar[i, i] = adjoint[(first + i) * width + lane]
    means = empty_numbers((n,), kept)
    share(bar, ends, means)
    for i in range(n):
        inner[i, i] = means[i]
    s = careful_times(careful_times(v, inner), v.T)
    fold(s)
    add_to_rows(address, told[1], adjoint, s, lane, width)


address_of_eigen_adjoint = adjoint_of(eigen_adjoint)
