"""Arrays made of active numbers by functions that take them: np.full, np.full_like, np.arange."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.core import types

from ._jit import kernel, specialized
from .conversion import promoted_zero, zero_of
from .elementary import value
from .errors import NO_COMPLEX, IntegerConversionError, MissingRuleError
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


@kernel
def full(shape: Any, fill_value: Any, dtype: Any = None) -> Any:
    """np.full: an array of active numbers where the value is active."""
    out = empty_numbers(as_shape(shape), zero_for(fill_value, fill_value, dtype))
    flat = out.reshape(out.size)
    for i in range(flat.size):
        flat[i] = fill_value
    return out


def as_shape(shape: Any) -> Any:
    """Return a shape as a tuple (compiled code only)."""
    raise NotImplementedError


@specialized(as_shape)
def _as_shape(shape: Any) -> Any:
    if isinstance(shape, types.BaseTuple):
        return lambda shape: shape
    return lambda shape: (shape,)


def zero_for(a: Any, fill_value: Any, dtype: Any) -> Any:
    """Return a zero of the type that such an array holds (compiled code only)."""
    raise NotImplementedError


@specialized(zero_for)
def _zero_for(a: Any, fill_value: Any, dtype: Any) -> Any:
    kept = getattr(a, "dtype", a)
    wanted = getattr(dtype, "dtype", kept)
    if isinstance(wanted, types.Integer | types.Boolean):
        raise IntegerConversionError(INTEGER_CONVERSION)
    if isinstance(wanted, types.Complex):
        raise MissingRuleError(f"an array of {wanted} filled with active numbers: {NO_COMPLEX}")
    numbers = [ty for ty in (kept, fill_value) if isinstance(ty, NumberType)]
    zero = zero_of(with_root(promote(numbers), root(wanted)))
    return lambda a, fill_value, dtype: zero()


@kernel
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """np.arange between numbers of which one at least is active; their values tell how many."""
    first, last, by = bounds(start, stop, step)
    count = max(math.ceil((value(last) - value(first)) / value(by)), 0)
    out = empty_numbers((count,), promoted_zero(first, last, by))
    for i in range(count):
        out[i] = first + i * by
    return of_kind(out, dtype)


def of_kind(a: Any, dtype: Any) -> Any:
    """Return an array as one of a dtype, if there is one (compiled code only)."""
    raise NotImplementedError


@specialized(of_kind)
def _of_kind(a: Any, dtype: Any) -> Any:
    if isinstance(dtype, types.NoneType | types.Omitted):
        return lambda a, dtype: a
    return lambda a, dtype: a.astype(dtype)


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


FROM_SCALARS = {np.full: full, np.full_like: full_like, np.arange: arange}
