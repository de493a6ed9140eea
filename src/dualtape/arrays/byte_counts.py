"""Bytes of arrays of active numbers: counted as in the plain function, whose elements are floats.

``x.dtype``, ``x.strides``, ``x.itemsize`` and ``x.nbytes`` are those of the plain function, and so
are the byte strides that ``as_strided`` takes; reading memory as another type, or by its address,
is refused.  The real part of an array of reals is the array.  This holds in users' functions only:
code of Numba and of this package works on the actual elements.

Numba internals used (seen in 0.66 to 0.68): ``arrayobj.reshape_unchecked``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import reshape_unchecked

from ..backend.jit import by_type, is_missing, kernel
from ..errors import MissingRuleError
from ..numbers.plane_arrays import SHAPE_ONLY, know_planes
from ..numbers.types import NumberType, highest_number, root

_REFUSED = (
    "the bytes of active numbers are not those of floats; read them from a plain array: "
    "dualtape.value(a)."
)


def plain_size(ty: Any) -> int:
    """Return the bytes of an element in the plain function."""
    return int(root(ty.dtype).bitwidth) // 8


def is_of_numbers(ty: Any) -> bool:
    """Whether a type is that of arrays of active numbers."""
    return isinstance(ty, types.Array) and isinstance(ty.dtype, NumberType)


@by_type
def dtype(a: Any) -> Any:
    """Return the type of the elements in the plain function."""
    return (lambda a: plain_dtype(a)) if is_of_numbers(a) else lambda a: a.dtype


@intrinsic
def plain_dtype(typingctx: Any, a: Any) -> Any:
    """Return the type of the elements in the plain function."""
    ty = types.DType(root(a.dtype))
    return ty(a), lambda context, builder, sig, args: context.get_dummy_value()


@by_type
def strides(a: Any) -> Any:
    """Return the strides in bytes that an array has in the plain function."""
    return (lambda a: plain_strides(a)) if is_of_numbers(a) else lambda a: a.strides


@intrinsic
def plain_strides(typingctx: Any, a: Any) -> Any:
    """Return strides in bytes of the plain function."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(a)(context, builder, args[0])
        size = context.get_constant(types.intp, plain_size(a))
        plain = [
            builder.mul(builder.sdiv(stride, array.itemsize), size)
            for stride in cgutils.unpack_tuple(builder, array.strides, a.ndim)
        ]
        return cgutils.pack_array(builder, plain, context.get_value_type(types.intp))

    return types.UniTuple(types.intp, a.ndim)(a), codegen


@by_type
def itemsize(a: Any) -> Any:
    """Return the bytes of an element in the plain function."""
    if not is_of_numbers(a):
        return lambda a: a.itemsize
    size = plain_size(a)
    return lambda a: size


@by_type
def nbytes(a: Any) -> Any:
    """Return the bytes of all elements in the plain function."""
    if not is_of_numbers(a):
        return lambda a: a.nbytes
    size = plain_size(a)
    return lambda a: size * a.size


@by_type
def ctypes(a: Any) -> Any:
    """Return the address of a plain array."""
    if is_of_numbers(a):
        raise MissingRuleError(_REFUSED)
    return lambda a: a.ctypes


@by_type
def real_part(a: Any) -> Any:
    """Return the real part; of reals, the argument itself."""
    return (lambda a: a) if highest_number(a) is not None else lambda a: a.real


@by_type
def imaginary_part(a: Any) -> Any:
    """Return the imaginary part; plain zeros for active numbers."""
    number = a.dtype if is_of_numbers(a) else a
    if not isinstance(number, NumberType):
        return lambda a: a.imag
    plain = np.float32 if root(number) == types.float32 else np.float64
    return (lambda a: plain(0.0)) if number is a else lambda a: np.zeros(a.shape, plain)


ATTRIBUTES = {
    "dtype": dtype,
    "strides": strides,
    "itemsize": itemsize,
    "nbytes": nbytes,
    "ctypes": ctypes,
    "real": real_part,
    "imag": imaginary_part,
}
"""Functions that replace attributes of arrays in activated code."""


@by_type
def as_strided(x: Any, shape: Any = None, strides: Any = None) -> Any:
    """np.lib.stride_tricks.as_strided, with strides in bytes of the plain function."""
    size = plain_size(x)

    def with_shape(x: Any, shape: Any, strides: Any) -> Any:
        for stride in strides:
            if stride % size != 0:
                raise ValueError("as_strided of active numbers: a stride ends inside of an element")
        return reshape_unchecked(x, shape, active_strides(x, strides))

    if is_missing(shape):
        return lambda x, shape, strides: as_strided(x, x.shape, strides)
    return with_shape


@intrinsic
def active_strides(typingctx: Any, x: Any, strides: Any) -> Any:
    """Return strides in bytes of active elements for those of the plain function."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        item = context.make_array(x)(context, builder, args[0]).itemsize
        size = context.get_constant(types.intp, plain_size(x))
        plain = cgutils.unpack_tuple(builder, args[1], len(strides))
        active = [
            builder.mul(builder.sdiv(context.cast(builder, v, ty, types.intp), size), item)
            for ty, v in zip(strides, plain, strict=True)
        ]
        return cgutils.pack_array(builder, active, context.get_value_type(types.intp))

    return types.UniTuple(types.intp, len(strides))(x, strides), codegen


@by_type
def view(a: Any, dtype: Any) -> Any:
    """ndarray.view: of floats as floats."""
    if getattr(dtype, "dtype", None) != root(a.dtype):
        raise MissingRuleError(_REFUSED)
    return lambda a, dtype: a


@by_type
def to_bytes(a: Any) -> Any:
    """ndarray.tobytes: refused."""
    raise MissingRuleError(_REFUSED)


@by_type
def from_buffer(buffer: Any, dtype: Any = None, count: Any = -1, offset: Any = 0) -> Any:
    """np.frombuffer: refused."""
    raise MissingRuleError(_REFUSED)


@kernel
def trim_zeros(filt: Any, trim: Any = "fb") -> Any:
    """np.trim_zeros: a view without the zeros at both ends, or at one."""
    first, last = 0, filt.size
    if trim != "b":
        while first < last and filt[first] == 0.0:
            first += 1
    if trim != "f":
        while first < last and filt[last - 1] == 0.0:
            last -= 1
    return filt[first:last]


METHODS = {"view": view, "tobytes": to_bytes}
ROUTED = {
    np.lib.stride_tricks.as_strided: as_strided,
    np.frombuffer: from_buffer,
    np.trim_zeros: trim_zeros,
}
SHAPE_ONLY.update((dtype, itemsize, nbytes, imaginary_part, np.imag))
know_planes(real_part)
FROM_SCALARS = {np.real: real_part, np.imag: imaginary_part}
