"""Records and structured arrays as named tuples of their fields, and derivatives as the same.

A structured array is the named tuple of its fields' arrays; what is done with its elements in a
function is rewritten (see `twin.tables`).
"""

from __future__ import annotations

import collections
import functools
from typing import Any

import numpy as np

from ..errors import ArgumentError

TABLES: dict[Any, Any] = {}
"""The class of the elements of each class of structured arrays."""
_MAKE: Any = collections.namedtuple  # of classes whose fields are known at run time


def is_record(arg: Any) -> bool:
    """Whether a value is a record or a structured array."""
    return isinstance(arg, np.void | np.ndarray) and arg.dtype.names is not None


@functools.cache
def _tuple_class(dtype: np.dtype[Any], ndim: int) -> Any:
    """Return the class of the named tuples that stand for records, or arrays, of this type."""
    names = dtype.names or ()
    try:
        kind = _MAKE("table" if ndim else "record", names)
    except ValueError as error:
        raise ArgumentError(
            f"a record with the fields {', '.join(map(repr, names))}: {error}; rename them to "
            "differentiate by it."
        ) from None
    kind.dtype, kind.ndim = dtype, ndim
    if ndim:
        TABLES[kind] = _tuple_class(dtype, 0)
    return kind


def as_tuple(arg: Any) -> Any:
    """Return a record or structured array as a named tuple; arrays are copies."""
    kind = _tuple_class(arg.dtype, getattr(arg, "ndim", 0))
    if kind.ndim == 0 and isinstance(arg, np.ndarray):
        arg = arg[()]
    return kind(*(_part(arg[name]) for name in kind._fields))


def _part(value: Any) -> Any:
    if is_record(value):
        return as_tuple(value)
    return np.array(value) if isinstance(value, np.ndarray) else value


def with_records(result: Any) -> Any:
    """Return a result in which the named tuples that stand for records are records."""
    if not isinstance(result, tuple):
        return result
    items = [with_records(item) for item in result]
    kind: Any = type(result)
    if not hasattr(kind, "_fields"):
        return kind(items)
    if isinstance(getattr(kind, "dtype", None), np.dtype):
        record = _record_of(kind, items)
        if record is not None:
            return record
    return kind(*items)


def _record_of(kind: Any, items: list[Any]) -> Any:
    """Return the record of these fields; None if they have other shapes, as in a Jacobian."""
    if any(isinstance(item, tuple) for item in items):
        return None
    parts = [np.asarray(item) for item in items]
    shape = parts[0].shape[: kind.ndim]
    fields = []
    for name, part in zip(kind._fields, parts, strict=True):
        if part.shape != shape + kind.dtype[name].shape:
            return None
        fields.append((name, part.dtype, kind.dtype[name].shape))
    result = np.empty(shape, np.dtype(fields))
    for name, part in zip(kind._fields, parts, strict=True):
        result[name] = part
    return result if kind.ndim else result[()]
