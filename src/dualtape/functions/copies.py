"""Copies of functions, which keep what they are bound to."""

from __future__ import annotations

from types import CellType, CodeType, FunctionType
from typing import Any

OWNER = "_dualtape_owner"
"""Attribute of a function made of a method: the object that its first parameter is."""
SHAPE = "_dualtape_shape"
"""Attribute of a function made of an interpolant: the shape of its value, or "points"."""


def copy_function(
    function: Any,
    scope: dict[str, Any] | None = None,
    closure: tuple[CellType, ...] | None = None,
    code: CodeType | None = None,
) -> FunctionType:
    """Return a copy of a function, with other globals, closure or code if these are given.

    Numba cannot compile a function while it compiles that function, but can compile a copy.
    """
    copy = FunctionType(
        function.__code__ if code is None else code,
        function.__globals__ if scope is None else scope,
        function.__name__,
        function.__defaults__,
        function.__closure__ if closure is None else closure,
    )
    copy.__kwdefaults__, copy.__doc__ = function.__kwdefaults__, function.__doc__
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    copy.__dict__.update({k: v for k, v in function.__dict__.items() if k in (OWNER, SHAPE)})
    return copy


def owner_of(function: Any) -> Any:
    """Return the object that the first parameter of a function is; None of ordinary functions."""
    return function.__dict__.get(OWNER) if isinstance(function, FunctionType) else None
