"""A digest of everything a compiled derivative depends on, for its cache on disk.

The digest covers the code of the function and of every user function it reaches, with defaults,
closure values and the globals they use.  Changing any of them, in any file, gives a new cache
entry: a stale derivative is never loaded.
"""

from __future__ import annotations

import hashlib
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core.dispatcher import Dispatcher

from .libraries import is_library
from .objects import is_object
from .reach import bindings, nested_code, rule_of


def fingerprint(function: Any) -> str:
    """Return a digest of a function and all it reaches."""
    return traced(function)[0]


def traced(function: Any) -> tuple[str, set[int]]:
    """Return the fingerprint of a function or of several, and the ids of all functions reached."""
    digest, seen = hashlib.sha256(), set[int]()
    _add(digest, function, seen)
    return digest.hexdigest(), seen


def is_same(old: Any, new: Any) -> bool:
    """Whether code that was compiled with one value is valid for the other."""
    if type(old) is not type(new):
        return False
    if isinstance(old, tuple):
        return len(old) == len(new) and all(map(is_same, old, new))
    if isinstance(old, FunctionType | Dispatcher):
        return old is new or fingerprint(old) == fingerprint(new)
    return isinstance(old, int | float | complex | str | bytes) and repr(old) == repr(new)


def _add(digest: Any, value: Any, seen: set[int]) -> None:
    if id(value) in seen:
        return
    rule = rule_of(value)
    if rule is not None:
        seen.add(id(value))
        _add(digest, rule.jet, seen)
    elif isinstance(value, Dispatcher):
        seen.add(id(value))
        description = (
            value.__name__,
            value.targetoptions,
            getattr(value, "options", None),
            value.locals,
        )
        digest.update(repr(description).encode())
        if not value._can_compile:  # arguments are cast to explicit signatures
            digest.update(repr(value.nopython_signatures).encode())
        origin = getattr(value, "origin", None)  # of a derivative, whose signature may differ
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
    elif is_object(value):  # what is used of it are bindings of their own
        digest.update(getattr(value, "__qualname__", type(value).__qualname__).encode())
    else:
        digest.update(repr(value).encode())


def _add_function(digest: Any, function: FunctionType, seen: set[int]) -> None:
    digest.update(function.__qualname__.encode())
    if is_library(function):
        return
    _add(digest, (function.__defaults__ or ()), seen)
    _add(digest, tuple(sorted((function.__kwdefaults__ or {}).items())), seen)
    _add_code(digest, function.__code__)
    for binding in bindings(function):
        digest.update(binding.label.encode())
        _add(digest, binding.value, seen)


def _add_code(digest: Any, code: CodeType) -> None:
    for part in nested_code(code):
        constants = [value for value in part.co_consts if not isinstance(value, CodeType)]
        names = part.co_names, part.co_varnames, constants
        digest.update(part.co_code + repr(names).encode())
