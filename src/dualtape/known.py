"""What the package knows of the functions that a user's code calls, before anything is compiled."""

from __future__ import annotations

import builtins
from typing import Any

from ._rule import Rule

__all__ = ["APPLIED_TRANSFORMS", "CUSTOM_RULES", "STATIC_TRANSFORMS", "is_library"]

CUSTOM_RULES: dict[Any, Rule] = {}
"""The user's own functions that have a rule."""
STATIC_TRANSFORMS: set[Any] = set()
"""Functions like grad: called with constants in a user's function, evaluated at compile time."""
APPLIED_TRANSFORMS: dict[Any, Any] = {}
"""Functions like jvp, whose first argument is a constant, with what makes them of it."""
_BUILTINS = {id(value) for name, value in vars(builtins).items() if name != "_"}
"""Not the last result at a prompt, which may be an array."""


def is_library(function: Any) -> bool:
    """Whether a function is one that Numba (or this package) knows by itself."""
    module = (getattr(function, "__module__", None) or "").partition(".")[0]
    libraries = ("numpy", "numba", "math", "scipy", "builtins", "dualtape", "operator")
    return module in libraries or id(function) in _BUILTINS
