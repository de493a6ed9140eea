"""Cells: where compiled code reads the value of a name that may be rebound.

A constant that is compiled into code costs a compilation when it changes.  Numbers and arrays can
instead be read through the pointer of a cell: Python moves the pointer, the code stays.  The value
pointed to is complete and never changes, so that code running in another thread sees either the old
or the new one; the caller of that code keeps it alive (see `memo`).
"""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
from numba.core import types
from numba.np.numpy_support import from_dtype, map_layout

from .reach import Binding

SMALL = 512
"""Size in bytes up to which an array is a constant of the code and compared at every call.

Comparing 512 bytes takes 0.06 us; small arrays are often tables of coefficients, which compilers
fold into the code.
"""


class Cell:
    """The value of one name, for compiled code.

    Attributes
    ----------
    type : numba type
        The type of the value; arrays are read-only, as Numba's global arrays are.
    address : int
        The address of the pointer to the value: a number, or the fields of an array (address of
        the data, address of the array object, shape, strides).
    held : tuple
        The objects that must stay alive while code may read the value.
    """

    def __init__(self, binding: Binding) -> None:
        value = binding.value
        self.holder = binding.holder  # alive, so that the key is not that of another name
        self._value_type = _type_of(value)
        is_array = isinstance(value, np.ndarray)
        self.type = self._value_type.copy(readonly=True) if is_array else self._value_type
        self._pointer = np.zeros(1, np.intp)
        self.address = self._pointer.ctypes.data
        self.held: tuple[Any, ...] = ()
        self._before: tuple[Any, ...] = ()
        self._put(value)

    def takes(self, value: Any) -> bool:
        """Whether code that reads this cell can read this value."""
        return is_movable(value) and _type_of(value) == self._value_type

    def show(self, value: Any) -> None:
        """Hold a value of the same type from now on; `held` stays what it is if it is that one."""
        if self.held[0] is not value:
            self._put(value)

    def _put(self, value: Any) -> None:
        if isinstance(value, np.ndarray):
            fields = [value.ctypes.data, id(value), *value.shape, *value.strides]
            storage = np.array(fields, np.intp)
        else:
            storage = np.array([value])
        self._before = self.held
        self.held = value, storage
        self._pointer[0] = storage.ctypes.data


CELLS: weakref.WeakValueDictionary[tuple[int, str], Cell] = weakref.WeakValueDictionary()
"""The cells in use, by the scope and the name of their values."""
FIXED: set[tuple[int, str]] = set()
"""Names whose values must be constants of the code: it did not compile with cells."""


def key_of(binding: Binding) -> tuple[int, str]:
    """Return the key of a binding among the cells."""
    return id(binding.holder), binding.key


def cell_of(binding: Binding) -> Cell | None:
    """Return the cell of a name, made now if the value is a large array; None if it has none."""
    key, value = key_of(binding), binding.value
    cell = CELLS.get(key)
    if cell is not None and cell.takes(value):
        cell.show(value)
        return cell
    if isinstance(value, np.ndarray) and value.nbytes > SMALL and is_movable(value):
        return make_cell(binding)
    return None


def make_cell(binding: Binding) -> Cell:
    """Make a cell for a name; it lives as long as it is referenced."""
    cell = CELLS[key_of(binding)] = Cell(binding)
    return cell


def content_of(value: Any) -> bytes | None:
    """Return the bytes of the arrays in a constant, which may be modified; None without arrays."""
    if isinstance(value, np.ndarray):
        return value.tobytes() if value.dtype != object else None
    if isinstance(value, tuple):
        parts = [content_of(item) for item in value]
        if any(part is not None for part in parts):
            return b"|".join(part or b"" for part in parts)
    return None


def is_movable(value: Any) -> bool:
    """Whether a cell can hold a value."""
    if isinstance(value, np.ndarray):
        return type(value) is np.ndarray and value.dtype.kind in "iufc" and value.dtype.isnative
    number = int | float | complex | np.number
    return isinstance(value, number) and not isinstance(value, bool)


def _type_of(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return types.Array(
            from_dtype(value.dtype), value.ndim, map_layout(value), aligned=value.flags.aligned
        )
    return from_dtype(np.array(value).dtype)
