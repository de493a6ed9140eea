"""Partial functions as plain ones, so that everything that looks at functions sees what is bound.

``functools.partial(f, 3.0)`` becomes a function whose globals are f and the values that are bound.
"""

from __future__ import annotations

import functools
import inspect
import weakref
from types import FunctionType
from typing import Any

from ..errors import ArgumentError

_FUNCTIONS: weakref.WeakKeyDictionary[Any, FunctionType] = weakref.WeakKeyDictionary()


def plain_function(f: Any) -> Any:
    """Return a partial function as a function, one for each partial object; others as they are."""
    is_partial = isinstance(f, functools.partial)
    if not is_partial or not isinstance(getattr(f.func, "py_func", f.func), FunctionType):
        return f
    if f not in _FUNCTIONS:
        _FUNCTIONS[f] = _function_of(f)
    return _FUNCTIONS[f]


def _function_of(f: Any) -> FunctionType:
    inner = f.func
    name = getattr(inner, "__name__", "function")
    signature = inspect.signature(getattr(inner, "py_func", inner))
    parameters = list(signature.parameters.values())
    if any(p.kind not in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters):
        raise ArgumentError(
            f"functools.partial of {name}, which takes *args, ** or keyword-only parameters; write "
            "a plain function (def or lambda) that calls it."
        )
    bound = signature.bind_partial(*f.args, **f.keywords).arguments
    scope: dict[str, Any] = {"inner": inner, "__name__": getattr(inner, "__module__", "")}
    parts, values = [], []
    for p in parameters:
        if p.name in bound:
            scope[f"bound_{p.name}"] = bound[p.name]
            values.append(f"bound_{p.name}")
            continue
        values.append(p.name)
        if p.default is not p.empty:
            scope[f"default_{p.name}"] = p.default
            parts.append(f"{p.name}=default_{p.name}")
        else:
            parts.append(p.name)
    source = f"def partial({', '.join(parts)}):\n    return inner({', '.join(values)})"
    exec(source, scope)  # of parameter names only
    function = scope["partial"]
    assert isinstance(function, FunctionType)
    function.__name__ = function.__qualname__ = name
    return function
