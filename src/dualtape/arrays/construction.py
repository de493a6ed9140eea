"""New arrays of active numbers from numbers: np.full, np.full_like, np.arange."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.core import types

from ..backend.jit import by_type, is_missing, kernel
from ..numbers.access import empty_numbers
from ..numbers.registration import value
from ..numbers.types import NumberType, promote, root, with_root
from .conversion import promoted_zero, require_float, zero_of


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


@by_type
def as_shape(shape: Any) -> Any:
    """Return a shape as a tuple."""
    if isinstance(shape, types.BaseTuple):
        return lambda shape: shape
    return lambda shape: (shape,)


@by_type
def zero_for(a: Any, fill_value: Any, dtype: Any) -> Any:
    """Return a zero of the type of the elements of such an array."""
    own = getattr(a, "dtype", a)
    target = getattr(dtype, "dtype", own)
    require_float(target, f"an array of {target} filled with active numbers")
    numbers = [ty for ty in (own, fill_value) if isinstance(ty, NumberType)]
    zero = zero_of(with_root(promote(numbers), root(target)))
    return lambda a, fill_value, dtype: zero()


@kernel
def arange(start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Any:
    """np.arange with at least one active number; the count depends on their values."""
    first, last, by = bounds(start, stop, step)
    count = max(math.ceil((value(last) - value(first)) / value(by)), 0)
    out = empty_numbers((count,), promoted_zero(first, last, by))
    for i in range(count):
        out[i] = first + i * by
    return of_kind(out, dtype)


@by_type
def of_kind(a: Any, dtype: Any) -> Any:
    """Return an array as one of a dtype, if there is one."""
    if is_missing(dtype):
        return lambda a, dtype: a
    return lambda a, dtype: a.astype(dtype)


@by_type
def bounds(start: Any, stop: Any, step: Any) -> Any:
    """Return start, stop and step."""
    if is_missing(stop):
        return lambda start, stop, step: (0.0, start, 1.0)
    if is_missing(step):
        return lambda start, stop, step: (start, stop, 1.0)
    return lambda start, stop, step: (start, stop, step)


FROM_SCALARS = {np.full: full, np.full_like: full_like, np.arange: arange}
