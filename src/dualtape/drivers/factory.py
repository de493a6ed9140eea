"""Making transforms: checks of functions, one transform per function and options, disk caches."""

from __future__ import annotations

import functools
import importlib
import inspect
import uuid
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any, NamedTuple

import numpy as np
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher
from numba.np.ufunc.dufunc import DUFunc

from ..backend.disk_cache import package_stamp
from ..backend.jit import use_cache
from ..backend.loading import load
from ..errors import ArgumentError
from ..functions.fingerprint import fingerprint
from ..functions.interpolants import INTERPOLATED, shape_of
from ..functions.memo import remembered
from ..functions.objects import plain_function
from ..functions.parameters import positional
from ..functions.pickling import sent_as
from ..rules.rule import Rule
from .dispatcher import Transform
from .options import checked_argnums


class Request(NamedTuple):
    """A derivative that is asked for: its name, and by which arguments (None: by all).

    With `single` argnums is a number, and the derivative by that argument is not put in a tuple.
    """

    name: str
    argnums: tuple[int, ...] | None = (0,)
    single: bool = True
    with_value: bool = False


def make_transform(
    kind: str, f: Any, argnums: Any, mode: str, options: dict[str, Any], make_driver: Any
) -> Transform:
    """Return the transform of a function for these options, made once.

    `options` are the other ones of the public function of this kind;
    ``make_driver(function, request)`` returns the driver.
    """
    function = checked_function(f, kind)
    positions = checked_argnums(kind, argnums, py_func_of(function))
    single = not isinstance(argnums, tuple)
    request = Request(kind, positions, single, with_value=kind.startswith("value"))
    key = (kind, mode, positions, single, *options.values())

    def make() -> Transform:
        driver = make_driver(function, request)
        name = f"{kind}({name_of(function)})"
        transform = cached(Transform(py_func_of(function), driver, positions, name), function, key)
        return sent_as(transform, kind, (f,), argnums, mode=mode, **options)

    return remembered(function, key, make)


def lazy_driver(
    path: str, subject: Callable[[], Any], *args: Any, **kwargs: Any
) -> Callable[[Any, Any], Any]:
    """Return a driver that is made when something is first compiled for it.

    The function at `path`, "module.name" in this package, makes it from ``subject()``.
    """

    @functools.cache
    def actual_driver() -> Any:
        module, name = path.split(".")
        make = getattr(importlib.import_module(f".{module}", __package__), name)
        return make(subject(), *args, **kwargs)

    def driver(typing_context: Any, packed: Any) -> Any:
        return actual_driver()(typing_context, packed)

    return driver


def twin_driver(path: str, function: Any, *args: Any, **kwargs: Any) -> Callable[[Any, Any], Any]:
    """Return a lazy driver around the twin of a function, whose compiler is slow to import."""

    def subject() -> Any:
        from ..twin.activation import twin

        return twin(function)

    return lazy_driver(path, subject, *args, **kwargs)


def cached(transform: Transform, function: Any, key: Any) -> Transform:
    """Let derivatives of an ``@njit(cache=True)`` function be cached beside it."""
    transform.options = key
    if type(getattr(function, "_cache", NullCache())) is not NullCache:
        use_cache(transform, lambda: _stamp(function, key), place=function.py_func)
    return transform


def identity_of(function: Any, key: Any) -> Callable[[], str]:
    """Return a function whose result identifies a transform, in every process if f is cached."""
    if type(getattr(function, "_cache", NullCache())) is not NullCache:
        return lambda: _stamp(function, key)
    unique = uuid.uuid4().hex
    return lambda: unique


def _stamp(function: Any, key: Any) -> str:
    return repr((key, package_stamp(), fingerprint(function)))


def checked_function(f: Any, kind: str) -> Any:
    """Return f as something Numba can compile, or raise."""
    f = plain_function(f)
    if shape_of(f) is not None:
        load()
        return INTERPOLATED[0](f)
    if isinstance(f, Dispatcher | FunctionType):
        if getattr(f, "py_func", f).__code__.co_flags & inspect.CO_VARKEYWORDS:
            raise ArgumentError(
                f"{kind}: {name_of(f)} takes keyword arguments of any name (**), which Numba "
                "cannot compile; name its parameters."
            )
        return f
    if isinstance(
        f, np.ufunc | DUFunc | BuiltinFunctionType | Rule | type(functools.reduce) | type(np.sum)
    ):
        return _wrapped_builtin(f)
    hint = ""
    if callable(f):
        hint = " Write a plain function (def or lambda) that calls it."
    raise ArgumentError(
        f"{kind}: expected a Python function or an njit function, got {f!r} of type "
        f"{type(f).__name__}.{hint}"
    )


@functools.cache
def _wrapped_builtin(f: Any) -> Any:
    def unary(x: Any) -> Any:
        return f(x)

    def binary(x: Any, y: Any) -> Any:
        return f(x, y)

    def ternary(x: Any, y: Any, z: Any) -> Any:
        return f(x, y, z)

    wrapper = {2: binary, 3: ternary}.get(_required_arguments(f), unary)
    wrapper.__name__ = getattr(f, "__name__", None) or f.name
    return wrapper


def _required_arguments(f: Any) -> int:
    """Return how many arguments a function of NumPy or C code requires, 1 if unknown."""
    from ..rules.table import RULES

    arity = getattr(f, "nin", None) or getattr(f, "arity", None)
    for rule in RULES.values():
        if arity is None and f in rule.targets:
            arity = rule.arity
    if arity is not None:
        return int(arity)
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
