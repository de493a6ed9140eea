"""Bytes of arrays of active numbers: counted as in the plain function, whose elements are floats.

``x.dtype``, ``x.strides``, ``x.itemsize`` and ``x.nbytes`` are those of the plain function, and
byte strides given to ``as_strided`` mean what they mean there, wherever they come from; memory that
is read as another type, or by its address, is refused.  The real part of an array of reals is the
array.  In users' functions only: what Numba and this package compile of their own works on the
elements as they are.

Numba internals used (seen in 0.66 to 0.68): ``arrayobj.reshape_unchecked``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.extending import intrinsic
from numba.np.arrayobj import reshape_unchecked

from ._jit import kernel, specialized
from .errors import MissingRuleError
from .numbertype import NumberType, highest_number, root

__all__ = ["ATTRIBUTES", "FROM_SCALARS", "METHODS", "ROUTED"]

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


def dtype(a: Any) -> Any:
    """Return the type of the elements in the plain function."""
    return a.dtype


@specialized(dtype)
def _dtype(a: Any) -> Any:
    def of_numbers(a: Any) -> Any:
        return plain_dtype(a)

    return of_numbers if is_of_numbers(a) else lambda a: a.dtype


@intrinsic
def plain_dtype(typingctx: Any, a: Any) -> Any:
    """Return the type of the elements in the plain function."""
    made = types.DType(root(a.dtype))
    return made(a), lambda context, builder, sig, args: context.get_dummy_value()


def strides(a: Any) -> Any:
    """Return the strides in bytes that an array has in the plain function."""
    return a.strides


@specialized(strides)
def _strides(a: Any) -> Any:
    def of_numbers(a: Any) -> Any:
        return plain_strides(a)

    return of_numbers if is_of_numbers(a) else lambda a: a.strides


@intrinsic
def plain_strides(typingctx: Any, a: Any) -> Any:
    """Return strides in bytes of the plain function."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(a)(context, builder, args[0])
        size = context.get_constant(types.intp, plain_size(a))
        found = [
            builder.mul(builder.sdiv(stride, array.itemsize), size)
            for stride in cgutils.unpack_tuple(builder, array.strides, a.ndim)
        ]
        return cgutils.pack_array(builder, found, context.get_value_type(types.intp))

    return types.UniTuple(types.intp, a.ndim)(a), codegen


def itemsize(a: Any) -> Any:
    """Return the bytes of an element in the plain function."""
    return a.itemsize


@specialized(itemsize)
def _itemsize(a: Any) -> Any:
    if not is_of_numbers(a):
        return lambda a: a.itemsize
    size = plain_size(a)
    return lambda a: size


def nbytes(a: Any) -> Any:
    """Return the bytes of all elements in the plain function."""
    return a.nbytes


@specialized(nbytes)
def _nbytes(a: Any) -> Any:
    if not is_of_numbers(a):
        return lambda a: a.nbytes
    size = plain_size(a)
    return lambda a: size * a.size


def ctypes(a: Any) -> Any:
    """Return the address of a plain array."""
    return a.ctypes


@specialized(ctypes)
def _ctypes(a: Any) -> Any:
    if is_of_numbers(a):
        raise MissingRuleError(_REFUSED)
    return lambda a: a.ctypes


def real_part(a: Any) -> Any:
    """Return the real part; what is real, itself."""
    return a.real


@specialized(real_part)
def _real_part(a: Any) -> Any:
    return (lambda a: a) if highest_number(a) is not None else lambda a: a.real


def imaginary_part(a: Any) -> Any:
    """Return the imaginary part; plain zeros for active numbers."""
    return a.imag


@specialized(imaginary_part)
def _imaginary_part(a: Any) -> Any:
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
"""Attributes of arrays that stand for others in activated code."""


@kernel
def as_strided(x: Any, shape: Any = None, strides: Any = None) -> Any:
    """np.lib.stride_tricks.as_strided, with strides in bytes of the plain function."""
    return strided(x, shape, strides)


def strided(x: Any, shape: Any, strides: Any) -> Any:
    """Return a view (compiled code only)."""
    raise NotImplementedError


@specialized(strided)
def _strided(x: Any, shape: Any, strides: Any) -> Any:
    size = plain_size(x)

    def with_shape(x: Any, shape: Any, strides: Any) -> Any:
        for stride in strides:
            if stride % size != 0:
                raise ValueError("as_strided of active numbers: a stride ends inside of an element")
        return reshape_unchecked(x, shape, active_strides(x, strides))

    if isinstance(shape, types.NoneType | types.Omitted):
        return lambda x, shape, strides: strided(x, x.shape, strides)
    return with_shape


@intrinsic
def active_strides(typingctx: Any, x: Any, strides: Any) -> Any:
    """Return strides in bytes of active elements for those of the plain function."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        item = context.make_array(x)(context, builder, args[0]).itemsize
        size = context.get_constant(types.intp, plain_size(x))
        given = cgutils.unpack_tuple(builder, args[1], len(strides))
        found = [
            builder.mul(builder.sdiv(context.cast(builder, v, ty, types.intp), size), item)
            for ty, v in zip(strides, given, strict=True)
        ]
        return cgutils.pack_array(builder, found, context.get_value_type(types.intp))

    return types.UniTuple(types.intp, len(strides))(x, strides), codegen


@kernel
def view(a: Any, dtype: Any) -> Any:
    """ndarray.view: of floats as floats."""
    return viewed(a, dtype)


def viewed(a: Any, dtype: Any) -> Any:
    """Return the array (compiled code only)."""
    raise NotImplementedError


@specialized(viewed)
def _viewed(a: Any, dtype: Any) -> Any:
    if getattr(dtype, "dtype", None) != root(a.dtype):
        raise MissingRuleError(_REFUSED)
    return lambda a, dtype: a


@kernel
def bytes_as_text(a: Any) -> Any:
    """ndarray.tobytes: refused."""
    return bytes_of(a)


@kernel
def from_buffer(buffer: Any, dtype: Any = None, count: Any = -1, offset: Any = 0) -> Any:
    """np.frombuffer: refused."""
    return bytes_of(buffer)


def bytes_of(a: Any) -> Any:
    """Raise while compiling."""
    raise NotImplementedError


@specialized(bytes_of)
def _bytes_of(a: Any) -> Any:
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


@kernel
def real(a: Any) -> Any:
    """np.real: the argument itself."""
    return real_part(a)


@kernel
def imag(a: Any) -> Any:
    """np.imag: plain zeros."""
    return imaginary_part(a)


METHODS = {"view": view, "tobytes": bytes_as_text}
ROUTED = {
    np.lib.stride_tricks.as_strided: as_strided,
    np.frombuffer: from_buffer,
    np.trim_zeros: trim_zeros,
}
FROM_SCALARS = {np.real: real, np.imag: imag}
