"""Partial functions as plain ones, so that everything that looks at functions sees what is bound.

``functools.partial(f, 3.0)`` becomes a function whose globals are f and the values that are bound.
"""

from __future__ import annotations

import inspect
import weakref
from types import FunctionType
from typing import Any

from ..errors import ArgumentError

_FUNCTIONS: weakref.WeakKeyDictionary[Any, FunctionType] = weakref.WeakKeyDictionary()


def function_of_partial(f: Any) -> Any:
    """Return a partial function as a function, one for each partial object."""
    if not isinstance(getattr(f.func, "py_func", f.func), FunctionType):
        return f
    if f not in _FUNCTIONS:
        _FUNCTIONS[f] = with_bound(f.func, f.args, f.keywords)
    return _FUNCTIONS[f]


def with_bound(inner: Any, args: tuple[Any, ...], keywords: dict[str, Any]) -> FunctionType:
    """Return a function that calls another with some of its parameters bound to these values."""
    name = getattr(inner, "__name__", "function")
    signature = inspect.signature(getattr(inner, "py_func", inner))
    parameters = list(signature.parameters.values())
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        raise ArgumentError(
            f"{name} takes *args or **, and some of its parameters are bound (by a partial "
            "function or as a method); write a plain function (def or lambda) that calls it."
        )
    bound = signature.bind_partial(*args, **keywords).arguments
    scope: dict[str, Any] = {"inner": inner, "__name__": getattr(inner, "__module__", "")}
    parts, values = [], []
    for p in parameters:
        by_name = p.kind is p.KEYWORD_ONLY
        if p.name in bound:
            scope[f"bound_{p.name}"] = bound[p.name]
            values.append(f"{p.name}=bound_{p.name}" if by_name else f"bound_{p.name}")
            continue
        values.append(f"{p.name}={p.name}" if by_name else p.name)
        if by_name and "*" not in parts:
            parts.append("*")
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
