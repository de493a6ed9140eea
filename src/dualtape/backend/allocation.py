"""Memory in kernels: arrays, copies and zeros as instructions, not as functions to be compiled.

Numba compiles its overloads of ``np.empty``, ``np.zeros``, ``max`` and ``min`` anew for every type,
and an assignment to a slice brings in fifteen functions on strings for one message about shapes:
together two thirds of what a first gradient without a cache had to compile.  The functions of this
module become instructions where kernels call them, and do the same at the prompt.

No size is trusted: a negative or overflowing one raises MemoryError, as does one that the system
refuses, and nothing is copied or cleared beyond the end of an array.

Numba internals used (seen in 0.66 to 0.68): ``NRTContext.meminfo_alloc_aligned_unchecked``,
``BaseContext.get_preferred_array_alignment``, ``arrayobj.populate_array``; types whose class is
``DTypeSpec`` stand for a dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.types.abstract import DTypeSpec
from numba.extending import lower_builtin, type_callable
from numba.np import arrayobj

_I1, _I64 = ir.IntType(1), ir.IntType(64)
_ZERO = ir.Constant(_I64, 0)
TOO_LARGE = "Allocation failed (probably too large)."  # as Numba says it
TOO_MANY = "more items than the array has"


def emitted(
    result: Callable[..., Any], codegen: Callable[..., Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Emit instructions where compiled code calls the decorated function.

    Parameters
    ----------
    result : callable
        Types of the arguments -> type of the result, None if there is none.
    codegen : callable
        As for ``numba.extending.lower_builtin``.
    """

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        type_callable(function)(lambda context: result)
        lower_builtin(function, types.VarArg(types.Any))(codegen)
        return function

    return register


# Allocation


def new_array(
    context: Any,
    builder: Any,
    ty: Any,
    shape: list[Any],
    clean_up: Callable[[], None] | None = None,
) -> Any:
    """Return the struct of a new C-contiguous array of this type; its extents are LLVM values.

    If there is no memory, the code of `clean_up` runs before MemoryError is raised.
    """
    size = context.get_constant(types.intp, item_size_of(context, ty))
    strides, refused = [size], ir.Constant(_I1, 0)
    for extent in reversed(shape):
        product = builder.smul_with_overflow(strides[0], extent)
        strides.insert(0, builder.extract_value(product, 0))
        for sign in (builder.extract_value(product, 1), builder.icmp_signed("<", extent, _ZERO)):
            refused = builder.or_(refused, sign)

    def refuse_where(condition: Any) -> None:
        with cgutils.if_unlikely(builder, condition):
            if clean_up is not None:
                clean_up()
            context.call_conv.return_user_exc(builder, MemoryError, (TOO_LARGE,))

    refuse_where(refused)
    align = context.get_preferred_array_alignment(ty.dtype)
    memory = context.nrt.meminfo_alloc_aligned_unchecked(builder, strides[0], align)
    refuse_where(cgutils.is_null(builder, memory))
    data = context.nrt.meminfo_data(builder, memory)
    out = context.make_array(ty)(context, builder)
    arrayobj.populate_array(
        out,
        data=builder.bitcast(data, out.data.type),
        shape=shape,
        strides=strides[1:],
        itemsize=size,
        meminfo=memory,
    )
    return out


def array_over(
    context: Any,
    builder: Any,
    ty: Any,
    data: Any,
    shape: Any,
    strides: Any = None,
    meminfo: Any = None,
    parent: Any = None,
) -> Any:
    """Return an array over memory at `data`, a pointer or an address; C-contiguous by default.

    No reference is counted: the owner of the memory must outlive the array, or be its `meminfo`.
    """
    out = context.make_array(ty)(context, builder)
    item = context.get_constant(types.intp, item_size_of(context, ty))
    if strides is None:
        strides = [item]
        for extent in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], extent))
    convert = builder.inttoptr if isinstance(data.type, ir.IntType) else builder.bitcast
    arrayobj.populate_array(
        out,
        data=convert(data, out.data.type),
        shape=shape,
        strides=strides[: len(shape)],
        itemsize=item,
        meminfo=meminfo,
        parent=parent,
    )
    return out._getvalue()


def item_size_of(context: Any, array: Any) -> int:
    """Return the bytes of one item of an array type."""
    size: int = context.get_abi_sizeof(context.get_data_type(array.dtype))
    return size


def _array_type(shape: Any, dtype: Any) -> Any:
    dimensions = list(shape) if isinstance(shape, types.BaseTuple) else [shape]
    if not isinstance(dtype, DTypeSpec) or not all(map(_is_integer, dimensions)):
        return None
    return types.Array(dtype.dtype, len(dimensions), "C")


def _is_integer(ty: Any) -> bool:
    return isinstance(ty, types.Integer)


def _allocate(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Emit the array that a call of `empty_array` or `zero_array` makes; return its struct."""
    ty, value = sig.args[0], args[0]
    pairs = [(ty, value)]
    if isinstance(ty, types.BaseTuple):
        pairs = list(zip(ty, cgutils.unpack_tuple(builder, value), strict=True))
    shape = [context.cast(builder, v, t, types.intp) for t, v in pairs]
    return new_array(context, builder, sig.return_type, shape)


def _lower_empty(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _allocate(context, builder, sig, args)._getvalue()


def _lower_zeros(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    out = _allocate(context, builder, sig, args)
    cgutils.memset(builder, out.data, builder.mul(out.nitems, out.itemsize), 0)
    return out._getvalue()


@emitted(_array_type, _lower_empty)
def empty_array(shape: Any, dtype: Any) -> Any:
    """Return an uninitialised C-contiguous array; `shape` is an integer or a tuple of them."""
    return np.empty(shape, dtype)


@emitted(_array_type, _lower_zeros)
def zero_array(shape: Any, dtype: Any) -> Any:
    """Return a C-contiguous array of zeros; `shape` is an integer or a tuple of them."""
    return np.zeros(shape, dtype)


def _vector_type(dtype: Any) -> Any:
    return _array_type(types.intp, dtype)


def _lower_nothing(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return array_over(context, builder, sig.return_type, _ZERO, [_ZERO])


@emitted(_vector_type, _lower_nothing)
def no_array(dtype: Any) -> Any:
    """Return an empty vector, which takes no memory."""
    return np.empty(0, dtype)


# Leading items


def _require_at_most(context: Any, builder: Any, count: Any, *arrays: Any) -> None:
    """Raise if an array has fewer items; a negative count fails the unsigned comparison, too."""
    missing = ir.Constant(_I1, 0)
    for array in arrays:
        missing = builder.or_(missing, builder.icmp_unsigned(">", count, array.nitems))
    with cgutils.if_unlikely(builder, missing):
        context.call_conv.return_user_exc(builder, IndexError, (TOO_MANY,))


def _is_vector(ty: Any) -> bool:
    return isinstance(ty, types.Array) and ty.ndim == 1 and ty.layout == "C"


def _type_of_copy(out: Any, source: Any, count: Any) -> Any:
    vectors = _is_vector(out) and _is_vector(source) and out.dtype == source.dtype
    return types.none if vectors and out.mutable and _is_integer(count) else None


def _lower_copy(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    out, source = (
        context.make_array(ty)(context, builder, value)
        for ty, value in zip(sig.args[:2], args[:2], strict=True)
    )
    count = context.cast(builder, args[2], sig.args[2], types.intp)
    _require_at_most(context, builder, count, out, source)
    cgutils.raw_memmove(builder, out.data, source.data, count, out.itemsize)
    return context.get_dummy_value()


@emitted(_type_of_copy, _lower_copy)
def copy_items(out: Any, source: Any, count: int) -> None:
    """Copy the first `count` items of a contiguous vector to another of the same type."""
    if not 0 <= count <= min(out.size, source.size):
        raise IndexError(TOO_MANY)
    out[:count] = source[:count]


def _type_of_clear(out: Any, count: Any) -> Any:
    return types.none if _is_vector(out) and out.mutable and _is_integer(count) else None


def _lower_clear(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    out = context.make_array(sig.args[0])(context, builder, args[0])
    count = context.cast(builder, args[1], sig.args[1], types.intp)
    _require_at_most(context, builder, count, out)
    cgutils.memset(builder, out.data, builder.mul(count, out.itemsize), 0)
    return context.get_dummy_value()


@emitted(_type_of_clear, _lower_clear)
def clear_items(out: Any, count: int) -> None:
    """Set the first `count` items of a contiguous vector to zero."""
    if not 0 <= count <= out.size:
        raise IndexError(TOO_MANY)
    out[:count] = 0


def _type_of_fill(out: Any, first: Any, last: Any, value: Any) -> Any:
    whole = _is_integer(first) and _is_integer(last) and isinstance(value, types.Number)
    return types.none if _is_vector(out) and out.mutable and whole else None


def _lower_fill(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    out = context.make_array(sig.args[0])(context, builder, args[0])
    first, last = (context.cast(builder, args[i], sig.args[i], types.intp) for i in (1, 2))
    value = context.cast(builder, args[3], sig.args[3], sig.args[0].dtype)
    item = context.data_model_manager[sig.args[0].dtype].as_data(builder, value)
    _require_at_most(context, builder, last, out)
    _require_at_most(context, builder, first, out)
    with cgutils.for_range_slice(builder, first, last, ir.Constant(_I64, 1)) as (k, _):
        builder.store(item, builder.gep(out.data, [k], inbounds=True))
    return context.get_dummy_value()


@emitted(_type_of_fill, _lower_fill)
def fill_items(out: Any, first: int, last: int, value: Any) -> None:
    """Set the items of a contiguous vector from `first` to before `last` to one value."""
    if not 0 <= first <= out.size or not 0 <= last <= out.size:
        raise IndexError(TOO_MANY)
    out[first:last] = value


def _type_of_comparison(a: Any, b: Any, offset: Any, count: Any) -> Any:
    vectors = _is_vector(a) and _is_vector(b) and _is_integer(a.dtype) and _is_integer(b.dtype)
    narrower = vectors and b.dtype.bitwidth <= a.dtype.bitwidth
    return types.boolean if narrower and _is_integer(offset) and _is_integer(count) else None


def _lower_compare(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    a, b = (
        context.make_array(ty)(context, builder, value)
        for ty, value in zip(sig.args[:2], args[:2], strict=True)
    )
    offset, count = (context.cast(builder, args[i], sig.args[i], types.intp) for i in (2, 3))
    _require_at_most(context, builder, count, a)
    _require_at_most(context, builder, offset, b)
    _require_at_most(context, builder, builder.add(offset, count), b)
    item = b.data.type.pointee
    differ = cgutils.alloca_once_value(builder, ir.Constant(item, 0))
    with cgutils.for_range(builder, count) as loop:
        one = builder.load(builder.gep(a.data, [loop.index], inbounds=True))
        one = builder.trunc(one, item) if one.type != item else one
        other = builder.load(builder.gep(b.data, [builder.add(offset, loop.index)], inbounds=True))
        builder.store(builder.or_(builder.load(differ), builder.xor(one, other)), differ)
    return builder.icmp_unsigned("==", builder.load(differ), ir.Constant(item, 0))


@emitted(_type_of_comparison, _lower_compare)
def same_items(a: Any, b: Any, offset: int, count: int) -> bool:
    """Whether the first `count` integers of a vector are found in another, from `offset` on.

    If those of the other vector have fewer bits, only these are compared.
    """
    if not 0 <= count <= a.size or not 0 <= offset <= offset + count <= b.size:
        raise IndexError(TOO_MANY)
    return bool(np.all(a[:count].astype(b.dtype) == b[offset : offset + count]))


# Integers


def _type_of_choice(a: Any, b: Any) -> Any:
    return types.intp if _is_integer(a) and _is_integer(b) else None


def _lower_choice(relation: str) -> Callable[..., Any]:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        a, b = (
            context.cast(builder, value, ty, types.intp)
            for ty, value in zip(sig.args, args, strict=True)
        )
        return builder.select(builder.icmp_signed(relation, a, b), a, b)

    return lower


@emitted(_type_of_choice, _lower_choice(">"))
def larger(a: int, b: int) -> int:
    """Return the larger of two integers."""
    return max(a, b)


@emitted(_type_of_choice, _lower_choice("<"))
def smaller(a: int, b: int) -> int:
    """Return the smaller of two integers."""
    return min(a, b)
