"""Making transforms: checks of what users pass, the memory of what was made, caches on disk."""

from __future__ import annotations

import functools
import inspect
import uuid
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher

from ._jit import use_cache
from ._rule import Rule
from .diskcache import package_stamp
from .driver import Transform
from .errors import ArgumentError
from .fingerprint import fingerprint
from .memory import remembered
from .positional import positional
from .travel import sent_as

__all__ = [
    "cached",
    "checked_argnums",
    "checked_chunk",
    "checked_function",
    "checked_mode",
    "deferred",
    "identity_of",
    "make_transform",
    "name_of",
    "py_func_of",
]


def make_transform(
    kind: str, f: Any, argnums: Any, mode: str, named: dict[str, Any], make_driver: Any
) -> Transform:
    """Return the transform of a function for these options, made once.

    The options in `named` are those of the public function of this kind.

    ``make_driver(function, positions, single=single)`` returns what it computes.
    """
    function = checked_function(f, kind)
    single = not isinstance(argnums, tuple)
    positions = checked_argnums(kind, argnums)
    key = (kind, mode, positions, single, *named.values())

    def make() -> Transform:
        driver = make_driver(function, positions, single=single)
        name = f"{kind}({name_of(function)})"
        made = cached(Transform(py_func_of(function), driver, positions, name), function, key)
        return sent_as(made, kind, (f,), argnums, mode=mode, **named)

    return remembered(function, key, make)


def deferred(make: Callable[[], Any]) -> Callable[[Any, Any], Any]:
    """Return a driver that is made when something is first compiled for it."""
    made = functools.cache(make)

    def driver(typing_context: Any, packed: Any) -> Any:
        return made()(typing_context, packed)

    return driver


def cached(transform: Transform, function: Any, key: Any) -> Transform:
    """Let derivatives of an ``@njit(cache=True)`` function be cached beside it."""
    transform.options = key
    if type(getattr(function, "_cache", NullCache())) is not NullCache:
        use_cache(transform, lambda: _stamp(function, key), place=function.py_func)
    return transform


def identity_of(function: Any, key: Any) -> Callable[[], str]:
    """Return what tells a transform from all others, in every process if f is cached."""
    if type(getattr(function, "_cache", NullCache())) is not NullCache:
        return lambda: _stamp(function, key)
    unique = uuid.uuid4().hex
    return lambda: unique


def _stamp(function: Any, key: Any) -> str:
    return repr((key, package_stamp(), fingerprint(function)))


def checked_mode(kind: str, mode: str) -> str:
    """Return the mode, or raise."""
    if mode not in ("auto", "forward", "reverse"):
        raise ArgumentError(f"{kind}: mode is {mode!r}; expected 'auto', 'forward' or 'reverse'")
    return mode


def checked_argnums(kind: str, argnums: Any) -> tuple[int, ...]:
    """Return the argument numbers as a tuple, or raise."""
    positions = argnums if isinstance(argnums, tuple) else (argnums,)
    whole = all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in positions)
    if not positions or not whole or len(set(positions)) != len(positions):
        raise ArgumentError(
            f"{kind}: argnums is {argnums!r}; expected an argument number, or a tuple of "
            "different ones"
        )
    return tuple(int(i) for i in positions)


def checked_chunk(chunk_size: int | None) -> int | None:
    """Return the chunk size, or raise."""
    if chunk_size is not None:
        from .run import CHUNKS

        if chunk_size not in CHUNKS:
            raise ArgumentError(f"chunk_size is {chunk_size!r}; expected one of {CHUNKS}")
    return chunk_size


def checked_function(f: Any, kind: str) -> Any:
    """Return f as something Numba can compile, or raise."""
    if isinstance(f, Dispatcher | FunctionType):
        if getattr(f, "py_func", f).__code__.co_flags & inspect.CO_VARKEYWORDS:
            raise ArgumentError(
                f"{kind}: {name_of(f)} takes keyword arguments of any name (**), which Numba "
                "cannot compile; name its parameters."
            )
        return f
    if isinstance(f, np.ufunc | BuiltinFunctionType | Rule | type(functools.reduce) | type(np.sum)):
        return _wrapped_builtin(f)
    hint = ""
    if isinstance(f, functools.partial) or callable(f):
        hint = " Write a plain function (def or lambda) that calls it."
    raise ArgumentError(
        f"{kind}: expected a Python function or an njit function, got {f!r} of type "
        f"{type(f).__name__}.{hint}"
    )


@functools.cache
def _wrapped_builtin(f: Any) -> Any:
    def of_one(x: Any) -> Any:
        return f(x)

    def of_two(x: Any, y: Any) -> Any:
        return f(x, y)

    wrapper = of_two if _required_arguments(f) == 2 else of_one
    wrapper.__name__ = getattr(f, "__name__", None) or f.name
    return wrapper


def _required_arguments(f: Any) -> int:
    """Return how many arguments a function of NumPy or of C code must be given, 1 if unknown."""
    from .rules import RULES

    known = getattr(f, "nin", None) or getattr(f, "arity", None)
    for rule in RULES.values():
        if known is None and f in rule.targets:
            known = rule.arity
    if known is not None:
        return int(known)
    try:
        parameters = inspect.signature(f).parameters.values()
    except ValueError:  # of some builtins
        return 1
    return sum(p.default is p.empty for p in parameters)


def py_func_of(function: Any) -> Any:
    """Return the Python function of an njit function, with all parameters by position."""
    return positional(getattr(function, "py_func", function))


def name_of(function: Any) -> str:
    """Return a function's name, for messages."""
    return str(getattr(function, "__name__", function))
