"""Arrays made of active numbers by functions that take them: np.full_like, np.arange."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from ._jit import kernel, specialized
from .conversion import promoted_zero
from .elementary import value
from .errors import IntegerConversionError
from .number import INTEGER_CONVERSION
from .numbertype import NumberType, promote, root, with_root
from .seed import empty_numbers

__all__ = ["FROM_SCALARS"]


@kernel
def full_like(a: Any, fill_value: Any, dtype: Any = None) -> Any:
    """np.full_like: an array of active numbers where the value or the array is active."""
    out = empty_numbers(a.shape, zero_for(a, fill_value, dtype))
    flat = out.reshape(out.size)
    for i in range(flat.size):
        flat[i] = fill_value
    return out


def zero_for(a: Any, fill_value: Any, dtype: Any) -> Any:
    """Return a zero of the type that such an array holds (compiled code only)."""
    raise NotImplementedError


@specialized(zero_for)
def _zero_for(a: Any, fill_value: Any, dtype: Any) -> Any:
    wanted = getattr(dtype, "dtype", a.dtype)
    if isinstance(wanted, types.Integer | types.Boolean):
        raise IntegerConversionError(INTEGER_CONVERSION)
    numbers = [ty for ty in (a.dtype, fill_value) if isinstance(ty, NumberType)]
    like = with_root(promote(numbers), root(wanted))

    @intrinsic
    def zero(typingctx: Any) -> Any:
        return like(), lambda context, builder, sig, args: context.get_constant_null(like)

    return lambda a, fill_value, dtype: zero()


@kernel
def arange(start: Any, stop: Any = None, step: Any = None) -> Any:
    """np.arange between numbers of which one at least is active; their values tell how many."""
    first, last, by = bounds(start, stop, step)
    count = max(math.ceil((value(last) - value(first)) / value(by)), 0)
    out = empty_numbers((count,), promoted_zero(first, last, by))
    for i in range(count):
        out[i] = first + i * by
    return out


def bounds(start: Any, stop: Any, step: Any) -> Any:
    """Return start, stop and step (compiled code only)."""
    raise NotImplementedError


@specialized(bounds)
def _bounds(start: Any, stop: Any, step: Any) -> Any:
    missing = types.NoneType | types.Omitted
    if isinstance(stop, missing):
        return lambda start, stop, step: (0.0, start, 1.0)
    if isinstance(step, missing):
        return lambda start, stop, step: (start, stop, 1.0)
    return lambda start, stop, step: (start, stop, step)


FROM_SCALARS = {np.full_like: full_like, np.arange: arange}
