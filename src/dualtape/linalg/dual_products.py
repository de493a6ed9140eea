"""Products of planes with tangents: C = A B and dC = dA B + A dB, by BLAS on plain arrays."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ..arrays.blas import NOT_FITTING, matrix_product, multiply
from ..backend.calls import Value, call_apart, invoke
from ..backend.jit import kernel
from ..numbers.access import to_numbers
from ..numbers.layouts import EXTENTS, FIRST, emit_layout, number_at, set_word, store, word
from ..numbers.plane_arrays import duals_from, new_duals, values_in
from ..numbers.types import NumberType, PlanesType, may_be_planes, promote
from .tracked_products import matrix_at, tracked_signature

_I64 = ir.IntType(64)


def is_dual_product(a: Any, b: Any) -> bool:
    """Whether a product, not of two vectors, is one of arrays with one tangent, maybe planes."""
    if sorted((a.ndim, b.ndim)) not in ([1, 2], [2, 2]):
        return False
    numbers = [ty.dtype for ty in (a, b) if isinstance(ty.dtype, NumberType)]
    return bool(numbers) and all(not n.slots and may_be_planes(n) for n in numbers)


def dual_signature(a: Any, b: Any) -> Any:
    """Return signature and code of a product of arrays with one tangent."""
    ndim = a.ndim + b.ndim - 2
    return PlanesType(promote([a.dtype, b.dtype]), ndim, "C")(a, b), _emit


@intrinsic
def dual_product(typingctx: Any, a: Any, b: Any) -> Any:
    """Product of arrays with one tangent, not both vectors, of which one or both are planes."""
    return dual_signature(a, b)


@intrinsic
def product_as_planes(typingctx: Any, a: Any, b: Any) -> Any:
    """Product of arrays, not both vectors, whose result are planes."""
    return dual_signature(a, b) if is_dual_product(a, b) else tracked_signature(a, b)


def _emit(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    operands, made = [], []
    base = sig.return_type.dtype.base
    for ty, arg in zip(sig.args, args, strict=True):
        operand = _split(context, builder, ty, arg, base)
        operands.append(operand)
        if operand.ir is not arg:
            made.append(operand)
    layouts, distances, extents = [], [], []
    for operand, face in zip(operands, ("row", "column"), strict=True):
        plain, distance = operand, ir.Constant(_I64, 0)
        if isinstance(operand.type, PlanesType):
            plain = values_in(context, builder, operand)
            planes = context.make_helper(builder, operand.type, value=operand.ir)
            distance = planes.origin
        layouts.append(emit_layout(context, builder, *plain, shape=face))
        distances.append(distance)
        array = context.make_array(plain.type)(context, builder, plain.ir)
        extents.append(cgutils.unpack_tuple(builder, array.shape, plain.type.ndim))
    differs = builder.icmp_signed("!=", extents[0][-1], extents[1][0])
    with cgutils.if_unlikely(builder, differs):
        context.call_conv.return_user_exc(builder, ValueError, (NOT_FITTING,))
    shape = [*extents[0][:-1], *extents[1][1:]]
    result, data = new_duals(context, builder, sig.return_type, shape)
    out = context.make_helper(builder, sig.return_type, value=result)
    place, zero = builder.ptrtoint(data, _I64), context.get_constant_null(base)
    arguments = *layouts, *distances, place, out.origin, zero
    arg_types = (*(types.int64,) * 6, base)
    call_apart(context, builder, multiply_duals, arg_types, arguments)
    for operand in made:
        context.nrt.decref(builder, *operand)
    return result


def _split(context: Any, builder: Any, ty: Any, value: Any, base: Any) -> Value:
    """Return planes or a plain array of the base type for an operand."""
    if isinstance(ty, PlanesType) or ty.dtype == base:
        return Value(ty, value)
    if isinstance(ty.dtype, NumberType):
        return Value(*duals_from(context, builder, Value(ty, value)))
    like = context.get_constant_null(base)
    return Value(*invoke(context, builder, to_numbers, (ty, base), (value, like)))


@kernel
def multiply_duals(
    a: Any, b: Any, a_distance: Any, b_distance: Any, out: Any, distance: Any, like: Any
) -> None:
    """Store the product of two matrices given by their layouts, and its tangent."""
    multiply(False, a, b, out, like)
    x, y = word(a, FIRST), word(b, FIRST)
    if a_distance != 0:
        set_word(a, FIRST, x + a_distance)
        multiply(False, a, b, out + distance, like)
        set_word(a, FIRST, x)
    if b_distance != 0:
        set_word(b, FIRST, y + b_distance)
        if a_distance == 0:
            multiply(False, a, b, out + distance, like)
        else:
            add(matrix_product(matrix_in(a, like), matrix_in(b, like)), out + distance, like)


@kernel
def matrix_in(a: Any, like: Any) -> Any:
    """Return the matrix with a layout, whose references are not counted."""
    m, n = word(a, EXTENTS), word(a, EXTENTS + 1)
    return matrix_at(word(a, FIRST), m, n, word(a, EXTENTS + 2), word(a, EXTENTS + 3), like)


@kernel
def add(c: Any, out: Any, like: Any) -> None:
    """Add a matrix to one at an address."""
    place = out
    for x in c.flat:
        store(place, x + number_at(place, like), like)
        place += 8
