"""Seeding numbers and reading derivatives back: the small kernels around every sweep.

Flat indices: the differentiated inputs of a call are numbered 0, 1, ..., n - 1 through all of its
arguments, arrays in row-major order.  A sweep with w partials covers the inputs ``first`` to
``first + w - 1``; lane j carries the derivative with respect to input ``first + j``.

Every kernel takes ``like``, a number that gives the *type* of its results; its value is not used.
Kernels are compiled once per type and cached on disk, whatever the user's function is.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic

from ..backend.allocation import array_over, new_array
from ..backend.jit import kernel
from .emitted import Emitted, unwrap, wrap, zero_partials
from .partials import PartialsType, splat
from .types import PLAIN, partial_type, promote, root


def unit(context: Any, builder: Any, slot: Any, index: Any) -> Any:
    """Return derivatives that are 1 in lane `index` and 0 elsewhere (all 0 outside)."""
    if isinstance(slot, PartialsType) and slot.is_vector:
        n = slot.n
        lanes = ir.Constant(ir.VectorType(index.type, n), list(range(n)))
        is_unit = builder.icmp_signed("==", splat(builder, index, n), lanes)
        return wrap(context, builder, slot, builder.uitofp(is_unit, context.get_value_type(slot)))
    base = slot.base if isinstance(slot, PartialsType) else slot
    one = _constant(context, builder, base, 1.0)
    zero = _constant(context, builder, base, 0.0)
    width = slot.n if isinstance(slot, PartialsType) else 1
    lanes = [
        builder.select(builder.icmp_signed("==", index, ir.Constant(index.type, j)), one, zero)
        for j in range(width)
    ]
    if not isinstance(slot, PartialsType):
        return wrap(context, builder, slot, lanes[0])
    emitted_lanes = [wrap(context, builder, base, value) for value in lanes]
    return zero_partials(context, builder, slot).build(emitted_lanes)


def _constant(context: Any, builder: Any, ty: Any, value: float) -> Any:
    plain = root(ty)
    constant = Emitted(context, builder, plain, context.get_constant(plain, value))
    return unwrap(constant, ty)


def make_seeded(
    context: Any, builder: Any, ty: Any, value: Any, value_type: Any, indices: list[Any]
) -> Any:
    """Return a number of type `ty` whose k-th group of partials is the unit of ``indices[k]``."""
    struct = context.make_helper(builder, ty)
    struct.m_value = context.cast(builder, value, value_type, ty.base)
    names = list(ty.struct)[1:]
    for name in names:
        slot = ty.struct[name]
        setattr(struct, "m_" + name, ir.Constant(context.get_value_type(slot), None))
    for name, index in zip(names, indices, strict=False):
        slot = ty.struct[name]
        setattr(struct, "m_" + name, unwrap(unit(context, builder, slot, index), slot))
    return struct._getvalue()


@intrinsic
def seeded_number(typingctx: Any, value: Any, indices: Any, like: Any) -> Any:
    """Return a number of the type of `like` with this value and unit partials at these lanes."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        count = len(sig.args[1])
        lanes = [builder.extract_value(args[1], i) for i in range(count)]
        return make_seeded(context, builder, sig.return_type, args[0], sig.args[0], lanes)

    lanes = types.UniTuple(types.intp, len(indices))
    return like(value, lanes, like), codegen


@intrinsic
def with_tangent(typingctx: Any, value: Any, tangent: Any, like: Any) -> Any:
    """Return a one-partial number with this value and tangent."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        ty = sig.return_type
        name, slot = list(ty.struct.items())[1]
        struct = context.make_helper(builder, ty, value=args[2])
        struct.m_value = context.cast(builder, args[0], sig.args[0], ty.base)
        lane_value = wrap(
            context, builder, ty.base, context.cast(builder, args[1], sig.args[1], ty.base)
        )
        partials = zero_partials(context, builder, slot).build([lane_value])
        setattr(struct, "m_" + name, unwrap(partials, slot))
        return struct._getvalue()

    return like(value, tangent, like), codegen


@intrinsic
def with_direction(typingctx: Any, value: Any, index: Any, direction: Any, like: Any) -> Any:
    """Return a hyper-dual with unit e1 at lane `index` and e2 = direction (of width 1)."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        ty = sig.return_type
        number = make_seeded(context, builder, ty, args[0], sig.args[0], [args[1]])
        struct = context.make_helper(builder, ty, value=number)
        struct.m_e2 = context.cast(builder, args[2], sig.args[2], ty.base)
        return struct._getvalue()

    return like(value, types.intp, direction, like), codegen


@intrinsic
def lane(typingctx: Any, number: Any, group: Any, index: Any) -> Any:
    """Return lane `index` of the partials in field number `group` (a literal) of a number."""
    if not isinstance(group, types.IntegerLiteral):
        return None
    name = list(number.struct)[group.literal_value]
    slot = number.struct[name]

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        struct = context.make_helper(builder, sig.args[0], value=args[0])
        value = getattr(struct, "m_" + name)
        if not isinstance(slot, PartialsType):
            return value
        if slot.is_vector:
            return builder.extract_element(value, args[2])
        slots = cgutils.alloca_once_value(builder, value)
        return builder.load(cgutils.gep(builder, slots, 0, args[2]))

    return number.base(number, group, types.intp), codegen


@intrinsic
def empty_numbers(typingctx: Any, shape: Any, like: Any) -> Any:
    """Return an uninitialised C-contiguous array of this shape, of numbers of `like`'s type."""
    array = types.Array(like, len(shape), "C")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        sizes = [builder.extract_value(args[0], i) for i in range(array.ndim)]
        return new_array(context, builder, array, sizes)._getvalue()

    return array(types.UniTuple(types.intp, array.ndim), like), codegen


def make_flat(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    """Return a C-contiguous array as a 1-D view; references are not counted."""
    source = context.make_array(ty)(context, builder, value)
    size = context.get_constant(types.intp, 1)
    for extent in cgutils.unpack_tuple(builder, source.shape):
        size = builder.mul(size, extent)
    view, owner = ty.copy(ndim=1, layout="C"), (source.meminfo, source.parent)
    return array_over(context, builder, view, source.data, [size], None, *owner)


@intrinsic
def zeros(typingctx: Any, shape: Any, like: Any) -> Any:
    """Return a C-contiguous array of this shape and of zeros of the type of `like`."""
    array = types.Array(like, len(shape), "C")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return new_zeros(context, builder, array, cgutils.unpack_tuple(builder, args[0]))

    return array(types.UniTuple(types.intp, array.ndim), like), codegen


def new_zeros(
    context: Any, builder: Any, array: Any, shape: list[Any], clean_up: Any = None
) -> Any:
    """Return a new array of zeros with these LLVM extents: all bits of a zero number are 0."""
    result = new_array(context, builder, array, shape, clean_up)
    cgutils.memset(builder, result.data, builder.mul(result.nitems, result.itemsize), 0)
    return result._getvalue()


@intrinsic
def flat_view(typingctx: Any, a: Any) -> Any:
    """Return a C-contiguous array as a 1-D view (reshape would call out of the compiled code)."""
    return view_code(a) if a.layout == "C" else None


def view_code(a: Any) -> Any:
    """Return signature and code of a C-contiguous array as a 1-D view."""
    view = a.copy(ndim=1)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return impl_ret_borrowed(context, builder, view, make_flat(context, builder, a, args[0]))

    return view(a), codegen


@intrinsic
def flattened(typingctx: Any, a: Any) -> Any:
    """Return the elements of an array in row-major order: a view if contiguous, else a copy."""
    view = a.copy(ndim=1, layout="C")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if a.layout == "C":
            flat = make_flat(context, builder, a, args[0])
            return impl_ret_borrowed(context, builder, view, flat)
        source = context.make_array(a)(context, builder, args[0])
        shape = cgutils.unpack_tuple(builder, source.shape)
        strides = cgutils.unpack_tuple(builder, source.strides)
        copy = a.copy(layout="C")
        result = new_array(context, builder, copy, shape)
        next_place = cgutils.alloca_once_value(builder, result.data)
        with cgutils.loop_nest(builder, shape, intp=shape[0].type) as position:
            item = cgutils.get_item_pointer2(
                context, builder, source.data, shape, strides, a.layout, position
            )
            place = builder.load(next_place)
            builder.store(builder.load(item), place)
            builder.store(cgutils.gep_inbounds(builder, place, 1), next_place)
        return make_flat(context, builder, copy, result._getvalue())

    return view(a), codegen


@intrinsic
def as_number(typingctx: Any, value: Any, like: Any) -> Any:
    """Convert a plain value or a number to the type of `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.cast(builder, args[0], sig.args[0], sig.return_type)

    return like(value, like), codegen


@intrinsic
def base_of(typingctx: Any, number: Any) -> Any:
    """Return a number's value, one level down; a plain value is returned as it is."""
    if isinstance(number, PLAIN):
        plain = number if isinstance(number, types.Float) else types.float64

        def convert(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return context.cast(builder, args[0], sig.args[0], plain)

        return plain(number), convert

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.make_helper(builder, sig.args[0], value=args[0]).m_value

    return number.base(number), codegen


def map_elements(function: Any) -> Any:
    """Return the kernel that applies ``function(x, like)`` to every element of an array.

    `like` is a number of the type of the results.
    """

    def apply(a: Any, like: Any) -> Any:
        out = empty_numbers(a.shape, like)
        flat, source = flat_view(out), flattened(a)
        for i in range(flat.size):
            flat[i] = function(source[i], like)
        return out

    return kernel(apply)


to_numbers = map_elements(as_number)
"""An array as numbers with zero derivatives, or of another float type: ``to_numbers(a, like)``."""


@kernel
def copy_of(a: Any) -> Any:
    """Return a C-contiguous copy."""
    return a.copy()


@kernel
def list_to_numbers(a: Any, like: Any) -> Any:
    """Return a list as a list of numbers with zero derivatives."""
    return [as_number(x, like) for x in a]


@kernel
def numbers_like(x: Any, like: Any) -> Any:
    """Return an uninitialised array of numbers in the shape of `x`."""
    return empty_numbers(x.shape, like)


@kernel
def seed_array(out: Any, x: Any, first: Any, like: Any) -> None:
    """Copy `x` to numbers; element i has unit partials in lane first + i, if there is one."""
    flat, source = flat_view(out), flattened(x)
    for i in range(flat.size):
        flat[i] = seeded_number(source[i], (first + i,), like)


@kernel
def seed_array_twice(out: Any, x: Any, first: Any, second: Any, like: Any) -> None:
    """Copy `x` to hyper-duals; e1 is seeded from `first`, e2 from `second`."""
    flat, source = flat_view(out), flattened(x)
    for i in range(flat.size):
        flat[i] = seeded_number(source[i], (first + i, second + i), like)


@kernel
def seed_tangents(out: Any, x: Any, tangent: Any, like: Any) -> None:
    """Copy `x` to one-partial numbers with these tangents."""
    flat, source, directions = flat_view(out), flattened(x), flattened(tangent)
    for i in range(flat.size):
        flat[i] = with_tangent(source[i], directions[i], like)


@kernel
def seed_direction(out: Any, x: Any, first: Any, direction: Any, like: Any) -> None:
    """Copy `x` to hyper-duals; e1 is seeded from `first`, e2 is `direction`."""
    flat, source, directions = flat_view(out), flattened(x), flattened(direction)
    for i in range(flat.size):
        flat[i] = with_direction(source[i], first + i, directions[i], like)


@kernel
def seed_tangent(x: Any, tangent: Any, like: Any) -> Any:
    """Return a one-partial number."""
    return with_tangent(x, tangent, like)


@kernel
def seed_one_direction(x: Any, first: Any, direction: Any, like: Any) -> Any:
    """Return a hyper-dual with unit e1 at lane `first` and this e2."""
    return with_direction(x, first, direction, like)


@intrinsic
def element_like(typingctx: Any, a: Any) -> Any:
    """Return a zero of the element type."""
    dtype = a.dtype
    return dtype(a), lambda context, builder, sig, args: context.get_constant_null(dtype)


@intrinsic
def number_like(typingctx: Any, a: Any, b: Any) -> Any:
    """Return a passive zero of the type of products of elements."""
    number = promote([a.dtype, b.dtype])
    return number(a, b), lambda context, builder, sig, args: context.get_constant_null(number)


@intrinsic
def base_like(typingctx: Any, number: Any) -> Any:
    """Return a zero of a number's base type."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant_null(sig.return_type)

    return number.base(number), codegen


@intrinsic
def wide_of(typingctx: Any, like: Any) -> Any:
    """Return a zero of the type of the partials on a tape of numbers over the type of `like`."""
    wide = partial_type(like)
    return wide(like), lambda context, builder, sig, args: context.get_constant_null(wide)
