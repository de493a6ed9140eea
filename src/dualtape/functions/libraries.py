"""Which functions called by user code are known to the package before anything is compiled."""

from __future__ import annotations

import builtins
import os
import sys
import warnings
from pathlib import Path
from typing import Any

from ..errors import DualtapeWarning
from ..rules.rule import Rule

CUSTOM_RULES: dict[Any, Rule] = {}
"""User functions that have a rule of their own."""
STATIC_TRANSFORMS: set[Any] = set()
"""Functions like grad: called with constants in user code, evaluated at compile time."""
APPLIED_TRANSFORMS: dict[Any, Any] = {}
"""Functions like jvp, whose first argument is a constant, and for each a function that turns this
constant into one of the other arguments."""
_BUILTINS = {id(value) for name, value in vars(builtins).items() if name != "_"}
"""Without ``_``, the last result at a prompt, which may be an array."""
_PACKAGE = str(Path(__file__).parents[1]) + os.sep


def is_library(function: Any) -> bool:
    """Whether a function belongs to a library that Numba (or this package) supports."""
    module = (getattr(function, "__module__", None) or "").partition(".")[0]
    libraries = ("numpy", "numba", "math", "scipy", "builtins", "dualtape", "operator")
    return module in libraries or id(function) in _BUILTINS


def is_package_file(filename: str) -> bool:
    """Whether a file, absolute or relative to the working directory, belongs to this package."""
    return os.path.abspath(filename).startswith(_PACKAGE)


def warn_user(message: str) -> None:
    """Issue a warning for the line that called the package."""
    frame: Any = sys._getframe(1)
    level = users_level = 2
    while frame is not None:
        if is_package_file(frame.f_code.co_filename):
            users_level = level + 1
        frame, level = frame.f_back, level + 1
    warnings.warn(DualtapeWarning(message), stacklevel=users_level)
