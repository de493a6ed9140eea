"""``np.linalg`` for arrays of numbers: NumPy's names lead here, to one kernel each."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..arrays.conversion import values
from ..arrays.registration import route, route_method
from ..backend.jit import generic, kernel
from ..errors import ArgumentValueError
from ..numbers.access import element_like, zeros
from ..numbers.plane_arrays import know_planes, numbers_of
from ..numbers.types import PlanesType, is_array
from .determinant import determinant, log_determinant
from .dual_products import is_dual_product, product_as_planes
from .inverse import inverse
from .least_squares import NOT_FITTING, lstsq
from .matrices import as_rows, from_rows
from .norms import NORMS, condition
from .products import convolve, correlate, cross, dot, kron, outer
from .singular import pseudo_inverse, qr_factors, require_full_rank, thin_svd
from .solve import require_finite, system_solution
from .symmetric import eigen, triangle

NOT_SQUARE = "Last 2 dimensions of the array must be square."


@kernel
def solve(a: Any, b: Any) -> Any:
    """np.linalg.solve."""
    require_square(a)
    if b.shape[0] != a.shape[0]:
        raise np.linalg.LinAlgError(NOT_FITTING)
    require_finite(values(b))
    return from_rows(system_solution(a, as_rows(numbers_of(b))), b)


@kernel
def dot_into(a: Any, b: Any, out: Any) -> Any:
    """np.dot with an array for the result."""
    product = dot(a, b)
    if product.shape != out.shape:
        raise ValueError("output array has the wrong shape for this product")
    out[...] = product
    return out


@generic
def require_square(a: Any) -> None:
    """Raise unless a matrix is square."""
    if a.shape[0] != a.shape[1]:
        raise np.linalg.LinAlgError(NOT_SQUARE)


def of_square(function: Any) -> Any:
    """Return the kernel of a function of a square matrix."""

    def of_checked_matrix(a: Any) -> Any:
        require_square(a)
        return function(a)

    return kernel(of_checked_matrix)


@generic
def eigenvalues(a: Any) -> Any:
    """Return the eigenvalues of a symmetric matrix."""
    return eigen(a)[0]


FULL = (
    "np.linalg.svd of active numbers that are no square matrix: more singular vectors than values "
    "have no derivative; write np.linalg.svd(a, full_matrices=False)"
)


@kernel
def svd(a: Any, full_matrices: Any = True) -> Any:
    """np.linalg.svd."""
    if full_matrices and a.shape[0] != a.shape[1]:
        raise ArgumentValueError(FULL)
    return thin_svd(a)


@kernel
def pinv(a: Any, rcond: Any = 1e-15) -> Any:
    """np.linalg.pinv of full rank."""
    require_full_rank(values(a), rcond)
    return pseudo_inverse(a)


@kernel
def rank(a: Any, tol: Any = None) -> Any:
    """np.linalg.matrix_rank, which is locally constant."""
    return np.linalg.matrix_rank(values(a), tol)


@kernel
def power(a: Any, n: Any) -> Any:
    """np.linalg.matrix_power, by repeated squaring."""
    require_square(a)
    if n < 0:
        return power_of(inverse(a), -n)
    return power_of(a, n)


@generic
def power_of(a: Any, n: Any) -> Any:
    """Return A^n, n >= 0."""
    square = numbers_of(a).copy()
    result = zeros(a.shape, element_like(square))  # the identity
    for i in range(a.shape[0]):
        result[i, i] = 1.0
    is_identity = True
    while n > 0:
        if n & 1:
            result = square if is_identity else dot(result, square)
            is_identity = False
        n >>= 1
        if n > 0:
            square = dot(square, square)
    return result


def is_product(args: Any, kws: Any) -> bool:
    """Whether the arguments are two vectors or matrices."""
    if len(args) != 2 or kws or not all(is_array(ty) and ty.ndim in (1, 2) for ty in args):
        return False
    duals = [ty for ty in args if isinstance(ty, PlanesType) and not ty.has_rows]
    return not duals or args[0].ndim == args[1].ndim == 1 or is_dual_product(*args)


for _target, _kernel in {
    np.dot: dot,
    operator.matmul: dot,
    np.vdot: dot,
    np.outer: outer,
    np.convolve: convolve,
    np.correlate: correlate,
    np.kron: kron,
    np.cross: cross,
    np.linalg.solve: solve,
    np.linalg.inv: of_square(inverse),
    np.linalg.det: of_square(determinant),
    np.linalg.slogdet: of_square(log_determinant),
    np.linalg.cholesky: of_square(triangle),
    np.linalg.eigh: of_square(eigen),
    np.linalg.eigvalsh: of_square(eigenvalues),
    np.linalg.lstsq: lstsq,
    np.linalg.svd: svd,
    np.linalg.pinv: pinv,
    np.linalg.qr: qr_factors,
    np.linalg.cond: condition,
    np.linalg.matrix_power: power,
    np.linalg.matrix_rank: rank,
    **NORMS,
}.items():
    route(_target, _kernel, count=2 if _target is np.dot else 0)
route(np.dot, dot_into, count=3)
route_method("dot", dot)
for _target in (np.dot, operator.matmul, np.vdot):
    know_planes(_target, is_product, makes=product_as_planes)


def are_on_tape(args: Any, kws: Any) -> bool:
    """Whether the planes among the arguments have rows: rules take their values as they are."""
    return not kws and all(ty.has_rows for ty in args if isinstance(ty, PlanesType))


for _name in ("solve", "inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh"):
    know_planes(getattr(np.linalg, _name), are_on_tape)
