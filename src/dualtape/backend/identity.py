"""The identity of a function, as a text that means the same in every process.

The cache on disk stores code under the identity of its function.  A function of a module is
identified by its place in the source; a function made by another one (the implementation chosen
for some types) also by the values that it closes over.  These must have a faithful description:
numbers, texts, Numba's types, functions of modules, kernels.  A function that closes over anything
else has no identity, and its code is not stored.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import _Intrinsic


class NoIdentityError(Exception):
    """A value that no text describes faithfully."""


def is_faithful(text: str) -> bool:
    """Whether the text of a type or a key contains no address and no number of this process."""
    return " at 0x" not in text and "#" not in text


def identity(value: Any) -> str:
    """Return a text that distinguishes a value from all others, in every process; or raise."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes | np.dtype):
        return f"{type(value).__name__} {value!r}"
    if isinstance(value, tuple):
        return f"({', '.join(map(identity, value))})"
    if isinstance(value, types.Type):
        if is_faithful(repr(value)):
            return f"{type(value).__name__} {value!r}"
        raise NoIdentityError(repr(value))
    if isinstance(value, _Intrinsic):
        return f"intrinsic {identity(value._defn)}"
    if hasattr(value, "py_func") and getattr(value, "is_kernel", False):
        return f"kernel {identity(value.py_func)}"
    if isinstance(value, FunctionType | BuiltinFunctionType | type | np.ufunc):
        return _identity_by_name(value)
    raise NoIdentityError(repr(value))


def _identity_by_name(value: Any) -> str:
    """Return the identity of a function or class by its place in a module."""
    module = getattr(value, "__module__", None) or "numpy"  # ufuncs do not name theirs
    name = getattr(value, "__qualname__", value.__name__)
    resolved: Any = sys.modules.get(module)
    for part in name.split("."):
        resolved = getattr(resolved, part, None)
    if resolved is value:
        return f"{module}:{name}"
    if not isinstance(value, FunctionType) or not module.startswith("dualtape."):
        raise NoIdentityError(repr(value))
    cells = [identity(cell.cell_contents) for cell in value.__closure__ or ()]
    defaults = identity(value.__defaults__ or ())
    line = value.__code__.co_firstlineno
    return f"{module}:{name}:{line} {value.__code__.co_code.hex()} {cells} {defaults}"
