"""Functions with other parameters: keyword-only ones as ordinary ones, or a signature alone.

Numba passes all arguments by position: it accepts calls of ``def f(x, *, scale=2.0)`` from Python
if all arguments are given, and none in compiled code.  The same code with ordinary parameters
accepts every call that Python allows.
"""

from __future__ import annotations

import inspect
from typing import Any

from .copies import copy_function
from .memo import remembered


def positional(py_func: Any) -> Any:
    """Return a Python function whose keyword-only parameters may be passed by position, too."""
    code = getattr(py_func, "__code__", None)
    if code is None or not code.co_kwonlyargcount or code.co_flags & inspect.CO_VARARGS:
        return py_func
    return remembered(py_func, "positional", lambda: _with_positional_parameters(py_func, code))


def _with_positional_parameters(py_func: Any, code: Any) -> Any:
    count = code.co_argcount + code.co_kwonlyargcount
    names = code.co_varnames[:count]
    values = py_func.__defaults__ or ()
    defaults = dict(
        zip(names[code.co_argcount - len(values) : code.co_argcount], values, strict=True)
    )
    defaults |= py_func.__kwdefaults__ or {}
    last: list[Any] = []  # in Python only the last parameters have defaults
    for name in reversed(names):
        if name not in defaults:
            break
        last.insert(0, defaults[name])
    ordinary = code.replace(co_argcount=count, co_kwonlyargcount=0)
    copy = copy_function(py_func, code=ordinary)
    copy.__defaults__, copy.__kwdefaults__ = tuple(last), None
    return copy


def taking(*names: str) -> Any:
    """Return a function of these parameters that does nothing; a name may begin with a star."""

    def nothing() -> None: ...

    kinds = inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    parameters = [inspect.Parameter(name.lstrip("*"), kinds["*" in name]) for name in names]
    nothing.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return nothing
