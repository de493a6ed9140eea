"""A digest of everything a compiled derivative depends on, for its cache on disk.

The digest covers the code of the function and of every user function it reaches, with defaults,
closure values and the globals they name.  Changing any of them, in whatever file, gives a new cache
entry: a stale derivative is never loaded.
"""

from __future__ import annotations

import contextlib
import hashlib
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

from .known import CUSTOM_RULES, is_library

__all__ = ["fingerprint", "traced"]


def fingerprint(function: Any) -> str:
    """Return a digest of a function and all it reaches."""
    return traced(function)[0]


def traced(function: Any) -> tuple[str, set[int]]:
    """Return the fingerprint of a function or of several, and the ids of all functions reached."""
    digest, seen = hashlib.sha256(), set[int]()
    _add(digest, function, seen)
    return digest.hexdigest(), seen


def _add(digest: Any, value: Any, seen: set[int]) -> None:
    if id(value) in seen:
        return
    rule = _rule_of(value)
    if rule is not None:
        seen.add(id(value))
        _add(digest, rule.jet, seen)
    elif isinstance(value, Dispatcher):
        seen.add(id(value))
        told = value.__name__, value.targetoptions, getattr(value, "options", None), value.locals
        digest.update(repr(told).encode())
        if not value._can_compile:  # explicit signatures, to which arguments are cast
            digest.update(repr(value.nopython_signatures).encode())
        origin = getattr(value, "origin", None)  # of a derivative, which may have another signature
        _add(digest, origin.functions if origin else value.py_func, seen)
    elif isinstance(value, FunctionType):
        seen.add(id(value))
        _add_function(digest, value, seen)
    elif isinstance(value, np.ndarray):
        digest.update(str((value.dtype, value.shape)).encode() + value.tobytes())
    elif isinstance(value, tuple | list):
        for item in value:
            _add(digest, item, seen)
    elif isinstance(value, ModuleType):
        digest.update(value.__name__.encode())
    else:
        digest.update(repr(value).encode())


def _add_function(digest: Any, function: FunctionType, seen: set[int]) -> None:
    digest.update(function.__qualname__.encode())
    if is_library(function):
        return
    _add(digest, (function.__defaults__ or ()), seen)
    _add(digest, tuple(sorted((function.__kwdefaults__ or {}).items())), seen)
    for cell in function.__closure__ or ():
        with contextlib.suppress(ValueError):  # not set yet
            _add(digest, cell.cell_contents, seen)
    _add_code(digest, function.__code__, function.__globals__, seen)


def _add_code(digest: Any, code: CodeType, scope: dict[str, Any], seen: set[int]) -> None:
    digest.update(code.co_code + repr((code.co_names, code.co_varnames)).encode())
    for name in code.co_names:
        if name in scope:
            value = scope[name]
            _add(digest, value, seen)
            if isinstance(value, ModuleType):
                _add_members(digest, value, code.co_names, seen)
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            _add_code(digest, constant, scope, seen)
        else:
            digest.update(repr(constant).encode())


def _add_members(digest: Any, module: ModuleType, names: tuple[str, ...], seen: set[int]) -> None:
    """Add what is reached as module.name; of libraries only what has a rule of the user's."""
    library = module.__name__.partition(".")[0] in _LIBRARIES
    for name in names:
        if not hasattr(module, name):
            continue
        member = getattr(module, name)
        if isinstance(member, ModuleType):
            if id(member) not in seen:
                seen.add(id(member))
                _add_members(digest, member, names, seen)
        elif not library or _rule_of(member) is not None:
            _add(digest, member, seen)


_LIBRARIES = ("numpy", "math", "scipy", "numba", "dualtape")


def _rule_of(value: Any) -> Any:
    return CUSTOM_RULES.get(value) if callable(value) and value.__hash__ is not None else None
