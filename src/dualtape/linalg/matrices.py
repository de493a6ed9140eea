"""Small kernels on matrices and on stacks of them, for all rules."""

from __future__ import annotations

from typing import Any

from numba.extending import intrinsic

from ..backend.jit import by_type, generic, kernel
from ..numbers.access import element_like, empty_numbers, flat_view, flattened
from ..numbers.types import NumberType


@intrinsic
def with_root(typingctx: Any, x: Any, root: Any) -> Any:
    """Return a number of any level with another primal."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        def replace(ty: Any, value: Any) -> Any:
            if not isinstance(ty, NumberType):
                return context.cast(builder, args[1], root, ty)
            struct = context.make_helper(builder, ty, value=value)
            struct.m_value = replace(ty.base, struct.m_value)
            return struct._getvalue()

        return replace(x, args[0])

    return x(x, root), codegen


@kernel
def with_roots(a: Any, roots: Any) -> Any:
    """Return an array of numbers with other primals."""
    out = empty_numbers(a.shape, element_like(a))
    flat, source, plain = flat_view(out), flattened(a), flattened(roots)
    for i in range(flat.size):
        flat[i] = with_root(source[i], plain[i])
    return out


@kernel
def add_flat(out: Any, more: Any) -> None:
    """Add an array to another of as many elements."""
    flat, source = flat_view(out), flat_view(more)
    for i in range(flat.size):
        flat[i] = flat[i] + source[i]


@kernel
def copy_flat(out: Any, a: Any) -> None:
    """Copy an array to another of as many elements."""
    flat, source = flat_view(out), flat_view(a)
    for i in range(flat.size):
        flat[i] = source[i]


TILE = 16  # rows and columns whose cache lines stay in cache while a tile is transposed


@kernel
def transposed(a: Any) -> Any:
    """Return a C-contiguous transposed copy of a matrix."""
    rows, columns = a.shape
    out = empty_numbers((columns, rows), element_like(a))
    for top in range(0, rows, TILE):
        for left in range(0, columns, TILE):
            for j in range(left, min(left + TILE, columns)):
                for i in range(top, min(top + TILE, rows)):
                    out[j, i] = a[i, j]
    return out


@kernel
def negative(a: Any) -> Any:
    """Return -a as a C-contiguous array."""
    out = empty_numbers(a.shape, element_like(a))
    flat, source = out.reshape(out.size), a.flat
    for i in range(flat.size):
        flat[i] = -source[i]
    return out


@kernel
def transposed_planes(planes: Any) -> Any:
    """Return each plane transposed."""
    out = empty_numbers((planes.shape[0], planes.shape[2], planes.shape[1]), element_like(planes))
    for i in range(planes.shape[0]):
        for j in range(planes.shape[1]):
            for k in range(planes.shape[2]):
                out[i, k, j] = planes[i, j, k]
    return out


@generic
def stacked_rows(planes: Any) -> Any:
    """Return the rows of all planes as those of one matrix."""
    return planes.reshape((planes.shape[0] * planes.shape[1], planes.shape[2]))


@by_type
def as_rows(b: Any) -> Any:
    """Return right-hand sides as the rows of a new matrix."""
    if b.ndim == 1:
        return lambda b: b.copy().reshape((1, b.size))
    return transposed


@by_type
def from_rows(x: Any, b: Any) -> Any:
    """Return rows as a vector or as columns, in the shape of b."""
    if b.ndim == 1:
        return lambda x, b: x.reshape(x.size)
    return lambda x, b: transposed(x)
