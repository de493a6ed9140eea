"""Products of arrays of active numbers: ``@``, np.outer, np.kron, np.cross, np.convolve.

Small products are plain loops, larger ones go to BLAS: by planes in forward mode, as a block in
reverse mode.
"""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic, register_jitable

from ..arrays.array_rule import array_rule
from ..arrays.blas import NOT_FITTING, matrix_product
from ..arrays.expression import Expression, Node, Operands
from ..arrays.loop import emit_expression
from ..arrays.tracked_sums import tracked_dot
from ..backend.calls import invoke
from ..backend.jit import by_type, generic, kernel
from ..numbers.access import element_like, empty_numbers, number_like
from ..numbers.types import PlanesType, promote
from .dual_products import dual_product, is_dual_product
from .matrices import add_flat, copy_flat
from .tracked_products import is_tracked_product, tracked_product

# Products of matrices


class Product(NamedTuple):
    """A product and its factors."""

    c: Any
    a: Any
    b: Any


@array_rule(operands=2, reverse=tracked_product)
def times(a: Any, b: Any) -> Any:
    """Product of matrices of floats or of numbers of any kind: BLAS on planes."""
    return matrix_product(a, b)


@times.keep
def product_and_factors(a: Any, b: Any) -> Any:
    """Return the product with both factors."""
    if a.shape[1] != b.shape[0]:
        raise ValueError("incompatible array sizes for np.dot(a, b)")
    return Product(times(a, b), a, b)


@times.tangent
@by_type
def product_tangent(factors: Any, da: Any, db: Any) -> Any:
    """Return dA B + A dB."""
    if isinstance(db, types.NoneType):
        return lambda factors, da, db: left_products(da, factors.b)
    if isinstance(da, types.NoneType):
        return lambda factors, da, db: right_products(factors.a, db)

    def both(factors: Any, da: Any, db: Any) -> Any:
        out = left_products(da, factors.b)
        add_flat(out, right_products(factors.a, db))
        return out

    return both


@generic
def left_products(planes: Any, b: Any) -> Any:
    """Return P_j B for all planes P_j: one product."""
    count, rows, columns = planes.shape
    products = times(planes.reshape((count * rows, columns)), b)
    return products.reshape((count, rows, b.shape[1]))


@generic
def right_products(a: Any, planes: Any) -> Any:
    """Return A P_j for all planes P_j; one product where they are vectors."""
    count, rows, columns = planes.shape
    if columns == 1:
        products = times(planes.reshape((count, rows)), a.T)
        return products.reshape((count, a.shape[0], 1))
    out = empty_numbers((count, a.shape[0], columns), number_like(a, planes))
    for j in range(count):
        copy_flat(out[j], times(a, planes[j]))
    return out


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
    if pair == (1, 1) and (isinstance(a, PlanesType) or isinstance(b, PlanesType)):
        return promote([a.dtype, b.dtype])(a, b), sum_of_products
    if is_dual_product(a, b) and (isinstance(a, PlanesType) or isinstance(b, PlanesType)):
        function = dual_product
    call_sig = typingctx.resolve_value_type(function).get_call_type(typingctx, (a, b), {})

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return invoke(context, builder, function, sig.args, args)[1]

    return call_sig.return_type(a, b), codegen


def sum_of_products(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit the product of two vectors, of which one is of planes, as one loop."""
    operands = Operands(context, builder, sig.args, args)
    extents = [vector.shape[0] for vector in operands.helpers]
    with cgutils.if_unlikely(builder, builder.icmp_signed("!=", *extents)):
        context.call_conv.return_user_exc(builder, ValueError, (NOT_FITTING,))
    tree = Node(operator.mul, False, sig.return_type, (0, 1))
    return emit_expression(operands, Expression(tree, "np.dot", sig.return_type, "sum"))


@by_type
def untracked_product(a: Any, b: Any) -> Any:
    """Product of vectors and matrices in forward mode."""
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


_MATRIX_PRODUCTS: dict[tuple[int, int], Any] = {
    (2, 1): _times_vector,
    (1, 2): _vector_times,
    (2, 2): times,
}
# Time of planes and BLAS / time of loops, square matrices of vector-duals in one run:
#     n             4      8     12     16
#     1 partial   6.6    1.8    1.1    0.7
#     8 partials 11.6    3.3    2.0    1.4
SMALL = 2048  # number of products of elements below which loops are used
_PRODUCTS: dict[tuple[int, int], Any] = {
    (2, 1): _matrix_vector,
    (1, 2): _vector_matrix,
    (2, 2): _matrix_matrix,
}


# Sliding windows: every result is the product of two slices.


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
    """Return the products of `v` with the windows of `a`, which is at least as long."""
    n = v.size
    if n == 0:
        raise ValueError("np.convolve and np.correlate: an array is empty")
    overhang = n - 1  # by how much the first window extends beyond `a`
    if mode == "same":
        overhang = n // 2
    elif mode == "valid":
        overhang = 0
    elif mode != "full":
        raise ValueError("mode must be one of 'full', 'same' and 'valid'")
    end_overhang = n - 1 - overhang if mode == "same" else overhang
    out = empty_numbers((a.size - n + 1 + overhang + end_overhang,), number_like(a, v))
    for i in range(out.size):
        start = i - overhang
        low, high = max(0, start), min(a.size, start + n)
        out[i] = dot(a[low:high], v[low - start : high - start])
    return out


# Products of elements


@by_type
def kron(a: Any, b: Any) -> Any:
    """np.kron of vectors and matrices."""
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


@by_type
def cross_of(a: Any, b: Any) -> Any:
    """Cross product."""
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
