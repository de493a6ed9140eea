"""Arrays of forward-mode numbers as planes: one array of values, one of each partial.

A rule for a whole array is written on planes, which are arrays one level down, so that at the
bottom there are arrays of floats and BLAS and LAPACK work on them.

A hyper-dual is a vector-dual over a vector-dual, x = (v + a . e1) + (b + c . e1) . e2, so the
rules of vector-duals, applied twice, are those of hyper-duals: `nested` and `unnested` convert.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic

from ._jit import generic, kernel, specialized
from .blas import plain_product
from .conversion import base_zero
from .dual import VectorDual
from .emit import EmittedPartials, unwrap, wrap
from .hyperdual import HyperDual
from .matmul import number_like, tracked_product
from .numbertype import NumberType, member_type, promote
from .partials import PartialsType, assemble
from .seed import base_of, element_like, empty_numbers, flat_view, flattened, lane

__all__ = [
    "below",
    "family",
    "from_planes",
    "lowered",
    "nested",
    "planes_of",
    "times",
    "top_number",
    "unnested",
    "with_roots",
]


def top_number(*arrays: Any) -> Any:
    """Return the element type in which arrays of these types meet."""
    return promote([a.dtype for a in arrays])


def family(number: Any) -> str:
    """Return which rule an element type needs: of "float", "tracked", "hyper" or "dual"."""
    if not isinstance(number, NumberType):
        return "float"
    if number.slots:
        return "tracked"
    return "hyper" if number.face is HyperDual else "dual"


# Between an array and its planes


@kernel
def below(a: Any) -> Any:
    """Return the values of an array of numbers, one level down."""
    out = empty_numbers(a.shape, base_zero(a))
    flat, source = flat_view(out), flattened(a)
    for i in range(flat.size):
        flat[i] = base_of(source[i])
    return out


def lowered(a: Any, like: Any) -> Any:
    """Return an array one level below the number `like`; constants are there (compiled only)."""
    raise NotImplementedError


@specialized(lowered)
def _lowered(a: Any, like: Any) -> Any:
    return (lambda a, like: below(a)) if a.dtype == like else (lambda a, like: a)


@intrinsic
def lanes_in(typingctx: Any, number: Any) -> Any:
    """Return how many partials a vector-dual has."""
    count = number.widths[0]
    return types.intp(number), lambda context, builder, sig, args: context.get_constant(
        types.intp, count
    )


@kernel
def planes_of(a: Any, like: Any) -> Any:
    """Return the partials of a matrix of vector-duals: (partials, rows, columns)."""
    width = lanes_in(like)
    out = empty_numbers((width, a.shape[0], a.shape[1]), base_zero(a))
    flat, source = flat_view(out), flattened(a)
    size = source.size
    for i in range(size):
        x = source[i]
        for j in range(width):
            flat[j * size + i] = lane(x, 1, j)
    return out


@intrinsic
def joined(typingctx: Any, value: Any, planes: Any, first: Any, step: Any, like: Any) -> Any:
    """Return a vector-dual with partial j at planes[first + j * step]."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(planes)(context, builder, args[1])
        struct = context.make_helper(builder, like)
        struct.m_value = context.cast(builder, args[0], value, like.base)
        slot, index, lanes = like.struct["partials"], args[2], []
        for _ in range(slot.n):
            pointer = builder.gep(array.data, [index])
            lanes.append(context.unpack_value(builder, planes.dtype, pointer))
            index = builder.add(index, args[3])
        struct.m_partials = assemble(builder, context.get_value_type(slot), lanes)
        return struct._getvalue()

    return like(value, planes, types.intp, types.intp, like), codegen


@kernel
def from_planes(a: Any, planes: Any, like: Any) -> Any:
    """Return an array of vector-duals from values and partials."""
    out = empty_numbers(a.shape, like)
    flat, source, partials = flat_view(out), flattened(a), flat_view(planes)
    for i in range(flat.size):
        flat[i] = joined(source[i], partials, i, flat.size, like)
    return out


# Hyper-duals as vector-duals over vector-duals


def nested_type(number: Any) -> NumberType:
    """Return the vector-dual over a vector-dual that a hyper-dual is."""
    n, m = number.widths
    return member_type(VectorDual, member_type(VectorDual, number.base, n), m)


@intrinsic
def nested_number(typingctx: Any, x: Any) -> Any:
    """Return a hyper-dual as a vector-dual over a vector-dual."""
    outer, (_, m) = nested_type(x), x.widths
    inner = outer.base

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = wrap(context, builder, x, args[0])
        e1, e2, e12 = (_lanes(part) for part in (number.e1, number.e2, number.e12))
        at = number.value

        def dual(value: Any, lanes: list[Any]) -> Any:
            struct = context.make_helper(builder, inner)
            struct.m_value = unwrap(value, x.base)
            slot = inner.struct["partials"]
            lane_values = [unwrap(item, x.base) for item in lanes]
            struct.m_partials = assemble(builder, context.get_value_type(slot), lane_values)
            return struct._getvalue()

        struct = context.make_helper(builder, outer)
        struct.m_value = dual(at, e1)
        columns = [dual(e2[j], e12[j::m]) for j in range(m)]
        slot = outer.struct["partials"]
        struct.m_partials = assemble(builder, context.get_value_type(slot), columns)
        return struct._getvalue()

    return outer(x), codegen


@intrinsic
def unnested_number(typingctx: Any, y: Any, like: Any) -> Any:
    """Return a vector-dual over a vector-dual as a hyper-dual."""
    n, m = like.widths

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = wrap(context, builder, y, args[0])
        columns = number.partials.lanes()
        parts = {
            "value": [number.value.value],
            "e1": _lanes(number.value.partials),
            "e2": [column.value for column in columns],
            "e12": [_lanes(columns[j].partials)[i] for i in range(n) for j in range(m)],
        }
        struct = context.make_helper(builder, like)
        for name, slot in like.struct.items():
            values = [unwrap(part, like.base) for part in parts[name]]
            is_many = isinstance(slot, PartialsType)
            packed = assemble(builder, context.get_value_type(slot), values) if is_many else None
            setattr(struct, "m_" + name, packed if is_many else values[0])
        return struct._getvalue()

    return like(y, like), codegen


def _lanes(slot: Any) -> list[Any]:
    return slot.lanes() if isinstance(slot, EmittedPartials) else [slot]


@intrinsic
def nested_zero(typingctx: Any, number: Any) -> Any:
    """Return a zero of the vector-dual over a vector-dual that a hyper-dual is."""
    ty = nested_type(number)
    return ty(number), lambda context, builder, sig, args: context.get_constant_null(ty)


@kernel
def nested_array(a: Any, like: Any) -> Any:
    """Return an array of hyper-duals as one of vector-duals over vector-duals."""
    out = empty_numbers(a.shape, nested_zero(like))
    flat, source = flat_view(out), flattened(a)
    for i in range(flat.size):
        flat[i] = nested_number(source[i])
    return out


def nested(a: Any, like: Any) -> Any:
    """Return an array with its hyper-duals of type `like` nested (compiled code only)."""
    raise NotImplementedError


@specialized(nested)
def _nested(a: Any, like: Any) -> Any:
    return (lambda a, like: nested_array(a, like)) if a.dtype == like else (lambda a, like: a)


@kernel
def unnested(a: Any, like: Any) -> Any:
    """Return an array of nested vector-duals as one of hyper-duals."""
    out = empty_numbers(a.shape, like)
    flat, source = flat_view(out), flattened(a)
    for i in range(flat.size):
        flat[i] = unnested_number(source[i], like)
    return out


# Another primal under the same derivatives


@intrinsic
def with_root(typingctx: Any, x: Any, root: Any) -> Any:
    """Return a number of any level with another plain value at its bottom."""

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
    """Return an array of numbers with other plain values."""
    out = empty_numbers(a.shape, element_like(a))
    flat, source, plain = flat_view(out), flattened(a), flattened(roots)
    for i in range(flat.size):
        flat[i] = with_root(source[i], plain[i])
    return out


# Products of matrices


def times(a: Any, b: Any) -> Any:
    """Product of matrices of floats or of numbers of any kind: BLAS on planes (compiled only)."""
    raise NotImplementedError


@specialized(times)
def _times(a: Any, b: Any) -> Any:
    number = top_number(a, b)
    kind = family(number)
    if kind == "tracked":
        return lambda a, b: tracked_product(a, b)
    if kind == "float":
        return lambda a, b: plain_product(a, b)
    return _hyper_times if kind == "hyper" else _dual_times


def _hyper_times(a: Any, b: Any) -> Any:
    like = number_like(a, b)
    return unnested(times(nested(a, like), nested(b, like)), like)


def _dual_times(a: Any, b: Any) -> Any:
    if a.shape[1] != b.shape[0]:
        raise ValueError("incompatible array sizes for np.dot(a, b)")
    like = number_like(a, b)
    a0, b0 = lowered(a, like), lowered(b, like)
    return from_planes(times(a0, b0), plane_products(a, a0, b, b0, like), like)


def plane_products(a: Any, a0: Any, b: Any, b0: Any, like: Any) -> Any:
    """Return the partials of a product (compiled code only)."""
    raise NotImplementedError


@specialized(plane_products)
def _plane_products(a: Any, a0: Any, b: Any, b0: Any, like: Any) -> Any:
    if b.dtype != like:
        return lambda a, a0, b, b0, like: left_products(planes_of(a, like), b0)
    if a.dtype != like:
        return lambda a, a0, b, b0, like: right_products(a0, planes_of(b, like))

    def both(a: Any, a0: Any, b: Any, b0: Any, like: Any) -> Any:
        out = left_products(planes_of(a, like), b0)
        add_flat(out, right_products(a0, planes_of(b, like)))
        return out

    return both


@generic
def left_products(planes: Any, b: Any) -> Any:
    """Return P_j B for all planes P_j: one product."""
    count, rows, columns = planes.shape
    made = times(planes.reshape((count * rows, columns)), b)
    return made.reshape((count, rows, b.shape[1]))


@generic
def right_products(a: Any, planes: Any) -> Any:
    """Return A P_j for all planes P_j; one product where they are vectors."""
    count, rows, columns = planes.shape
    if columns == 1:
        made = times(planes.reshape((count, rows)), a.T)
        return made.reshape((count, a.shape[0], 1))
    out = empty_numbers((count, a.shape[0], columns), number_like(a, planes))
    for j in range(count):
        copy_flat(out[j], times(a, planes[j]))
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
