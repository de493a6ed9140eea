"""Copies of Python functions: with keyword-only parameters as ordinary ones, or as they are.

Numba passes all arguments by position: of a function ``def f(x, *, scale=2.0)`` it takes calls from
Python in which all are given, and none in compiled code.  The same code with these as ordinary
parameters takes every call that Python's rules allow.
"""

from __future__ import annotations

import inspect
from types import FunctionType
from typing import Any

from .memory import remembered
from .reach import copied

__all__ = ["positional", "same_signature"]


def positional(py_func: Any) -> Any:
    """Return a Python function whose keyword-only parameters can be given by position, too."""
    code = getattr(py_func, "__code__", None)
    if code is None or not code.co_kwonlyargcount or code.co_flags & inspect.CO_VARARGS:
        return py_func
    return remembered(py_func, "positional", lambda: _made(py_func, code))


def _made(py_func: Any, code: Any) -> Any:
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[:count]
    given = py_func.__defaults__ or ()
    defaults = dict(
        zip(names[code.co_argcount - len(given) : code.co_argcount], given, strict=True)
    )
    defaults |= py_func.__kwdefaults__ or {}
    last: list[Any] = []  # Python gives defaults to the last parameters only
    for name in reversed(names):
        if name not in defaults:
            break
        last.insert(0, defaults[name])
    ordinary = code.replace(co_argcount=count, co_kwonlyargcount=0)
    made = FunctionType(ordinary, py_func.__globals__, py_func.__name__, None, py_func.__closure__)
    made.__defaults__ = tuple(last)
    made.__module__, made.__qualname__ = py_func.__module__, py_func.__qualname__
    made.__doc__ = py_func.__doc__
    return made


def same_signature(py_func: Any) -> Any:
    """Return a copy: Numba refuses a function that is compiled inside of itself."""
    return copied(py_func)
