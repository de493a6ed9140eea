"""Arrays of reverse mode as planes: plain values, with rows that follow from their addresses.

An array of numbers that nobody writes to has no need of a row beside every value.  The elements of
an input, and those of the result of an operation on arrays, get consecutive rows; so the row of the
element at address p is

    row = (p - origin) / (size of a value)

with one origin for the whole array.  A view (slice, step, transpose) is Numba's view of the values
with the same origin: values go to loops and to BLAS as they are, 8 bytes an element, not 24, and
rows are neither stored nor compared.

Without a tape (all elements are constants) every row is 0.

In forward mode with one direction an array is planes as well: the tangent of the element at address
p lies at p + distance, and the distance takes the place of the origin.

What does not know planes gets an array of numbers, by one copy (`numbers_of`).  A copy is only
right where nobody writes to the original: `analysis.writes` knows which arrays may be planes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, models, register_model

from ..backend.allocation import array_over, new_array
from ..backend.calls import Value, invoke
from ..backend.disk_cache import PLANES
from ..backend.jit import by_type, kernel
from .access import copy_of, empty_numbers
from .layouts import COUNT, FIRST, emit_rows, offset_of, row_at, word
from .partials import assemble, split
from .tracked import make_active
from .types import PlanesType, has_planes, without_planes

_I64 = ir.IntType(64)
IN_USE = PLANES == "1"
"""Whether planes are made; ``DUALTAPE_PLANES=0`` in the environment turns them off."""


@register_model(PlanesType)
class _PlanesModel(models.StructModel):
    def __init__(self, dmm: Any, ty: PlanesType) -> None:
        members = [("values", ty.values), ("origin", types.int64), ("tape", types.int64)]
        super().__init__(dmm, ty, members)


def emit_planes(
    context: Any, builder: Any, ty: PlanesType, values: Any, origin: Any, tape: Any
) -> Any:
    """Return planes with these values, of which they take over the reference."""
    planes = context.make_helper(builder, ty)
    planes.values, planes.origin, planes.tape = values, origin, tape
    return planes._getvalue()


def planes_from(
    context: Any, builder: Any, ty: PlanesType, values: Any, first: Any, tape: Any
) -> Any:
    """Return planes whose first element, in C-contiguous `values`, has the row `first`."""
    array = context.make_array(ty.values)(context, builder, values)
    address = builder.ptrtoint(array.data, _I64)
    origin = builder.sub(address, builder.mul(first, array.itemsize))
    return emit_planes(context, builder, ty, values, origin, tape)


def view_of(context: Any, builder: Any, ty: PlanesType, planes: Any, values: Any) -> Any:
    """Return planes with the origin and the tape, or the distance, of others, for a view."""
    source = context.make_helper(builder, planes.type, value=planes.ir)
    return emit_planes(context, builder, ty, values, source.origin, source.tape)


def values_in(context: Any, builder: Any, planes: Any) -> Any:
    """Return the array of values, whose references are not counted."""
    struct = context.make_helper(builder, planes.type, value=planes.ir)
    return Value(planes.type.values, struct.values)


def element_at(context: Any, builder: Any, planes: Any, pointer: Any) -> Any:
    """Return the number whose value is at a pointer."""
    ty = planes.type
    struct = context.make_helper(builder, ty, value=planes.ir)
    if not ty.has_rows:
        place = builder.add(builder.ptrtoint(pointer, _I64), struct.origin)
        tangent = builder.load(builder.inttoptr(place, pointer.type))
        return _dual(context, builder, ty.dtype, builder.load(pointer), tangent)
    item = context.get_abi_sizeof(context.get_data_type(ty.dtype.base))
    offset = builder.sub(builder.ptrtoint(pointer, _I64), struct.origin)
    row = builder.sdiv(offset, ir.Constant(_I64, item), flags=["exact"])
    is_constant = cgutils.is_null(builder, struct.tape)
    row = builder.select(is_constant, ir.Constant(_I64, 0), row)
    value = context.unpack_value(builder, ty.dtype.base, pointer)
    return make_active(context, builder, ty.dtype, value, row, struct.tape)


def _dual(context: Any, builder: Any, ty: Any, value: Any, tangent: Any) -> Any:
    number = context.make_helper(builder, ty)
    number.m_value = value
    number.m_partials = assemble(builder, number.m_partials.type, [tangent])
    return number._getvalue()


def new_duals(context: Any, builder: Any, ty: Any, shape: Any) -> tuple[Any, Any]:
    """Return new planes with tangents, of which all bits are undefined, and their values' helper.

    Values and tangents are one piece of memory, which the values' array owns.
    """
    both = types.Array(ty.dtype.base, 1, "C")
    count = ir.Constant(_I64, 2)
    for extent in shape:
        count = builder.mul(count, extent)
    memory = new_array(context, builder, both, [count])
    values = array_over(
        context, builder, ty.values, memory.data, shape, None, memory.meminfo, memory.parent
    )
    distance = builder.mul(builder.udiv(count, ir.Constant(_I64, 2)), memory.itemsize)
    zero = ir.Constant(_I64, 0)
    return emit_planes(context, builder, ty, values, distance, zero), memory.data


def duals_from(context: Any, builder: Any, numbers: Any) -> tuple[Any, Any]:
    """Return new planes, type and value, with the elements of an array of numbers."""
    ty = PlanesType(numbers.type.dtype, numbers.type.ndim, "C")
    array = context.make_array(numbers.type)(context, builder, numbers.ir)
    shape = cgutils.unpack_tuple(builder, array.shape, ty.ndim)
    planes, data = new_duals(context, builder, ty, shape)
    with _copied(context, builder, array, ty.ndim, data) as (source, target):
        number = context.unpack_value(builder, ty.dtype, source)
        store_element(context, builder, Value(ty, planes), target, number)
    return ty, planes


@contextmanager
def _copied(
    context: Any, builder: Any, array: Any, ndim: int, data: Any
) -> Iterator[tuple[Any, Any]]:
    """Emit a loop over the elements of an array; give the pointers to an element and its copy.

    Copies follow one another from `data`.
    """
    shape = cgutils.unpack_tuple(builder, array.shape, ndim)
    strides = cgutils.unpack_tuple(builder, array.strides, ndim)
    place = cgutils.alloca_once_value(builder, data)
    first = builder.ptrtoint(array.data, _I64)
    with cgutils.loop_nest(builder, shape, intp=_I64) as position:
        address = first
        for index, stride in zip(position, strides, strict=True):
            address = builder.add(address, builder.mul(index, stride))
        target = builder.load(place)
        yield builder.inttoptr(address, array.data.type), target
        builder.store(builder.gep(target, [ir.Constant(_I64, 1)]), place)


def store_element(context: Any, builder: Any, planes: Any, pointer: Any, number: Any) -> None:
    """Store a number with a tangent in planes at the place of its value."""
    struct = context.make_helper(builder, planes.type, value=planes.ir)
    parts = context.make_helper(builder, planes.type.dtype, value=number)
    place = builder.add(builder.ptrtoint(pointer, _I64), struct.origin)
    builder.store(parts.m_value, pointer)
    (tangent,) = split(builder, parts.m_partials, 1)
    builder.store(tangent, builder.inttoptr(place, pointer.type))


def emit_numbers(context: Any, builder: Any, value: Any) -> Any:
    """Return a value with new arrays of numbers in place of planes, a new reference."""
    ty = value.type
    if isinstance(ty, PlanesType):
        return _new_numbers(context, builder, value)
    if not has_planes(ty):
        return impl_ret_borrowed(context, builder, ty, value.ir)
    items = [
        emit_numbers(context, builder, Value(item, builder.extract_value(value.ir, i)))
        for i, item in enumerate(ty)
    ]
    return context.make_tuple(builder, without_planes(ty), items)


def _new_numbers(context: Any, builder: Any, planes: Any) -> Any:
    ty = planes.type
    if not ty.has_rows:
        return _new_duals_in_array(context, builder, planes)
    struct = context.make_helper(builder, ty, value=planes.ir)
    rows = emit_rows(context, builder, ty, planes.ir, ty.dtype)
    arg_types = types.int64, types.int64, ty.dtype
    arguments = rows, struct.tape, context.get_constant_null(ty.dtype)
    flat_type, flat = invoke(context, builder, numbers_from, arg_types, arguments)
    array = context.make_array(flat_type)(context, builder, flat)
    values = context.make_array(ty.values)(context, builder, struct.values)
    shape = cgutils.unpack_tuple(builder, values.shape, ty.ndim)
    return array_over(
        context, builder, ty.numbers, array.data, shape, None, array.meminfo, array.parent
    )


def _new_duals_in_array(context: Any, builder: Any, planes: Any) -> Any:
    ty, values = planes.type, values_in(context, builder, planes)
    array = context.make_array(values.type)(context, builder, values.ir)
    shape = cgutils.unpack_tuple(builder, array.shape, ty.ndim)
    out = new_array(context, builder, ty.numbers, shape)
    with _copied(context, builder, array, ty.ndim, out.data) as (source, target):
        context.pack_value(builder, ty.dtype, element_at(context, builder, planes, source), target)
    return out._getvalue()


@kernel
def numbers_from(rows: Any, tape: Any, like: Any) -> Any:
    """Return the elements of planes, given by the layout of their rows, as an array of numbers."""
    out = empty_numbers((word(rows, COUNT),), like)
    first = word(rows, FIRST)
    for i in range(out.size):
        place = first + offset_of(rows, i)
        out[i] = tracked_at(place, row_at(rows, place), tape, like)
    return out


@intrinsic
def tracked_at(typingctx: Any, place: Any, row: Any, tape: Any, like: Any) -> Any:
    """Return the number with the value at an address and this row."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = builder.inttoptr(args[0], context.get_data_type(like.base).as_pointer())
        value = context.unpack_value(builder, like.base, pointer)
        return make_active(context, builder, like, value, args[1], args[2])

    return like(types.int64, types.int64, types.int64, like), codegen


@intrinsic
def numbers_of(typingctx: Any, x: Any) -> Any:
    """Return a value with arrays of numbers in place of planes, copies; else as it is."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_numbers(context, builder, Value(x, args[0]))

    return without_planes(x)(x), codegen


@intrinsic
def shape_of(typingctx: Any, x: Any) -> Any:
    """Return an array of numbers with the shape of planes and without elements.

    It is for functions that look at type and shape only, such as np.zeros_like.
    """

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = values_in(context, builder, Value(x, args[0]))
        array = context.make_array(values.type)(context, builder, values.ir)
        shape = cgutils.unpack_tuple(builder, array.shape, x.ndim)
        return array_over(context, builder, x.numbers, ir.Constant(_I64, 0), shape)

    return x.numbers(x), codegen


@intrinsic
def plane_values(typingctx: Any, planes: Any) -> Any:
    """Return the values of planes, in their memory: nobody may write to them."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = values_in(context, builder, Value(planes, args[0]))
        return impl_ret_borrowed(context, builder, *values)

    return planes.values(planes), codegen


@by_type
def contiguous_values(planes: Any) -> Any:
    """Return the same, copied unless they are contiguous."""
    if planes.layout == "C":
        return lambda planes: plane_values(planes)
    return lambda planes: copy_of(plane_values(planes))


# Which functions know planes


Predicate = Callable[[Any, Any], bool]
KNOWN: dict[Any, Predicate] = {}
"""Functions that take planes, with a test of the types of their arguments and keywords."""
SHAPE_ONLY: set[Any] = {np.zeros_like, np.empty_like, np.ones_like, np.full_like}
"""Functions that look at the type and the shape of an array, not at its elements."""


MAKERS: dict[Any, Any] = {}
"""Functions whose results, where they are arrays of numbers, are made as planes in users' code, and
those that make them; None for elementwise functions, which are made by fusion."""


def know_planes(
    function: Any, test: Predicate = lambda args, kws: True, *, makes: Any = False
) -> Any:
    """Let calls of a function have planes as arguments, if the types of the arguments pass.

    What `makes` its result as planes is another function of the same arguments, or None; see
    `MAKERS`.
    """
    KNOWN[function] = test
    if makes is not False:
        MAKERS[function] = makes
    return function


def knows_planes(function: Any, args: Any, kws: Any) -> bool:
    """Whether a call of a function takes planes as they are; `args` are types."""
    try:
        test = KNOWN.get(function)
    except TypeError:  # unhashable
        return False
    return test is not None and test(tuple(args), dict(kws))


for _identity in (numbers_of, shape_of):
    know_planes(_identity)
