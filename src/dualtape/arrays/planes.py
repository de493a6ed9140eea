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

from ..backend.jit import kernel
from ..numbers.access import base_like, empty_numbers, flat_view, flattened, lane, map_elements
from ..numbers.emitted import EmittedPartials, unwrap, wrap
from ..numbers.partials import PartialsType, assemble
from ..numbers.types import NumberType, member_type
from ..numbers.vector_dual import VectorDual


@intrinsic
def lanes_in(typingctx: Any, number: Any) -> Any:
    """Return how many partials a vector-dual has."""
    count = number.widths[0]
    return types.intp(number), lambda context, builder, sig, args: context.get_constant(
        types.intp, count
    )


@kernel
def planes_of(a: Any, like: Any) -> Any:
    """Return the partials of an array of vector-duals: an array of them for each lane."""
    width = lanes_in(like)
    out = empty_numbers((width, *a.shape), base_like(like))
    flat, source = flat_view(out), flattened(a)
    size = source.size
    for i in range(size):
        x = source[i]
        for j in range(width):
            flat[j * size + i] = lane(x, 1, j)
    return out


@intrinsic
def dual_of(typingctx: Any, value: Any, planes: Any, first: Any, step: Any, like: Any) -> Any:
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
        flat[i] = dual_of(source[i], partials, i, flat.size, like)
    return out


# Hyper-duals as vector-duals over vector-duals


def nested_type(number: Any) -> NumberType:
    """Return the type of a hyper-dual as a vector-dual over a vector-dual."""
    n, m = number.widths
    return member_type(VectorDual, member_type(VectorDual, number.base, n), m)


@intrinsic
def nested_number(typingctx: Any, x: Any, like: Any) -> Any:
    """Return a hyper-dual as a vector-dual over a vector-dual, whose type is that of `like`."""
    outer, m = like, x.widths[1]
    inner = outer.base

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = wrap(context, builder, x, args[0])
        e1, e2, e12 = (_lanes(part) for part in (number.e1, number.e2, number.e12))
        primal = number.value

        def dual(value: Any, lanes: list[Any]) -> Any:
            struct = context.make_helper(builder, inner)
            struct.m_value = unwrap(value, x.base)
            slot = inner.struct["partials"]
            lane_values = [unwrap(item, x.base) for item in lanes]
            struct.m_partials = assemble(builder, context.get_value_type(slot), lane_values)
            return struct._getvalue()

        struct = context.make_helper(builder, outer)
        struct.m_value = dual(primal, e1)
        columns = [dual(e2[j], e12[j::m]) for j in range(m)]
        slot = outer.struct["partials"]
        struct.m_partials = assemble(builder, context.get_value_type(slot), columns)
        return struct._getvalue()

    return outer(x, like), codegen


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
            partials = assemble(builder, context.get_value_type(slot), values) if is_many else None
            setattr(struct, "m_" + name, partials if is_many else values[0])
        return struct._getvalue()

    return like(y, like), codegen


def _lanes(slot: Any) -> list[Any]:
    return slot.lanes() if isinstance(slot, EmittedPartials) else [slot]


nested_array = map_elements(nested_number)
unnested_array = map_elements(unnested_number)
