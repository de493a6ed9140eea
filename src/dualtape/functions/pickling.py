"""How derivatives are pickled: as the calls that made them.

A derivative is compiled for one process, so the pickle contains a call: the public function that
made it, the user's functions, the options.  Loading repeats the call, and since transforms cache
their results, a loaded ``grad(f)`` is the ``grad(f)`` of that process.

Functions of importable modules are pickled by name, njit functions too, so that their caches on
disk are found.  Others (of ``__main__``, lambdas, closures) are pickled by value: their code with
the globals it uses and their closure, by Numba's pickler.  A process that sent one of these and
gets it back, or was forked from one that knew it, uses its own function, provided that nothing it
reaches has changed; a process that gets the same function again and again, as workers do, makes
it once.  The rules of `custom_rule` for functions it reaches are pickled with it.

Numba internals used (seen in 0.66 to 0.68): ``serialize.NumbaPickler``, and its
``reducer_override``, which is cloudpickle's.
"""

from __future__ import annotations

import functools
import importlib
import io
import pickle
import threading
import uuid
import weakref
from types import FunctionType
from typing import Any, NamedTuple

from numba.core.dispatcher import Dispatcher
from numba.core.serialize import NumbaPickler

from .fingerprint import traced
from .libraries import CUSTOM_RULES

KEPT = 128
"""Number of functions from other processes that are kept: as many as Numba keeps."""
MAIN = ("__main__", "__mp_main__")
"""Names of the module that differs between processes."""


class Origin(NamedTuple):
    """A call that makes an equal object: of a public function, by its name."""

    name: str
    functions: tuple[Any, ...]
    args: tuple[Any, ...]
    options: dict[str, Any]


class Traveler:
    """A base class of objects that are pickled as their origin."""

    origin: Origin | None = None

    def __reduce__(self) -> Any:
        if self.origin is None:
            raise pickle.PicklingError(f"{self!r} is internal to its process")
        name, functions, args, options = self.origin
        return _remake, (name, pack(functions), args, options)


def sent_as(result: Any, name: str, functions: tuple[Any, ...], *args: Any, **options: Any) -> Any:
    """Pickle an object as ``dualtape.name(*functions, *args, **options)``; return it."""
    result.origin = Origin(name, functions, args, options)
    for function in functions:
        if not _goes_by_name(function):
            _token_of(function)  # processes forked from now on recognize the function by it
    return result


def _remake(name: str, parcel: Parcel, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    public = getattr(importlib.import_module("dualtape"), name)
    return public(*unpack(parcel), *args, **options)


class Token(NamedTuple):
    """Stands for a function that goes by value."""

    text: str


class Named(NamedTuple):
    """Stands for an njit function of a module: pickle itself would take it by value."""

    module: str
    name: str


class Parcel(NamedTuple):
    """Pickled functions, with the derivative rules of the functions that they reach.

    Attributes
    ----------
    functions, rules : tuple
        Functions that pickle takes by name, and references to others.
    stamp : str
        A digest of everything that functions by value reach.
    data : bytes
        All of them by value, if one of them must be.
    """

    functions: tuple[Any, ...]
    rules: tuple[Any, ...] = ()
    stamp: str = ""
    data: bytes = b""


def pack(functions: tuple[Any, ...]) -> Parcel:
    """Return functions in a form that every pickler can handle."""
    if _STATE.is_packing:  # our own pickler is running, and takes them as they are
        return Parcel(functions)
    stamp, seen = traced(functions)
    rules = tuple((f, rule.jet) for f, rule in CUSTOM_RULES.items() if id(f) in seen)
    if all(map(_goes_by_name, (*functions, *(f for pair in rules for f in pair)))):
        pairs = tuple((_reference_to(f), _reference_to(jet)) for f, jet in rules)
        return Parcel(tuple(map(_reference_to, functions)), pairs)
    return Parcel(tuple(map(_reference_to, functions)), (), stamp, _by_value((functions, rules)))


def unpack(parcel: Parcel) -> tuple[Any, ...]:
    """Return the functions of a parcel, after registering the rules that come with them."""
    functions = tuple(map(_resolve, parcel.functions))
    if not parcel.data:
        _learn(parcel.rules)
        return functions
    if None not in functions and traced(functions)[0] == parcel.stamp:
        return functions
    functions = _unpacked(parcel.data)
    for function, reference in zip(functions, parcel.functions, strict=True):
        if isinstance(reference, Token):
            _keep_token(function, reference.text)
    return functions


@functools.lru_cache(maxsize=KEPT)
def _unpacked(data: bytes) -> Any:
    functions, rules = pickle.loads(data)
    _learn(rules)
    return functions


def _learn(rules: tuple[Any, ...]) -> None:
    for function, jet in rules:
        if _resolve(function) not in CUSTOM_RULES:
            importlib.import_module("dualtape").custom_rule(_resolve(function), _resolve(jet))


# Names


def _goes_by_name(function: Any) -> bool:
    """Whether it has a name that is valid in every process, or pickles itself (as ufuncs do)."""
    if isinstance(function, Traveler) or not isinstance(function, FunctionType | Dispatcher):
        return True
    return function.__module__ not in MAIN and _resolve(_name_of(function)) is function


def _name_of(function: Any) -> Named:
    return Named(function.__module__ or "", function.__qualname__)


def _reference_to(function: Any) -> Any:
    """Return the object that is pickled in place of a function."""
    if not _goes_by_name(function):
        return Token(_token_of(function))
    is_njit = isinstance(function, Dispatcher) and not isinstance(function, Traveler)
    return _name_of(function) if is_njit else function


def _resolve(reference: Any) -> Any:
    """Return the function of a reference; None if this process does not have it."""
    if isinstance(reference, Token):
        return _ALIVE.get(reference.text)
    if not isinstance(reference, Named):
        return reference
    try:
        target: Any = importlib.import_module(reference.module)
        for part in reference.name.split("."):
            target = getattr(target, part)
    except (ImportError, AttributeError, ValueError):
        return None
    return target


# Functions by value

_TOKENS: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_ALIVE: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def _token_of(function: Any) -> str:
    """Return the token of a function, the same in all processes."""
    return _TOKENS.get(function) or _keep_token(function, uuid.uuid4().hex)


def _keep_token(function: Any, token: str) -> str:
    _TOKENS[function] = token
    _ALIVE[token] = function
    return token


class _State(threading.local):
    """Whether the pickler below is running in this thread."""

    is_packing = False


_STATE = _State()


class _Pickler(NumbaPickler):
    """Numba's pickler, but njit functions of modules are pickled by name."""

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object is pickled."""
        if isinstance(obj, Dispatcher) and _goes_by_name(obj) and not isinstance(obj, Traveler):
            return _resolve, (_name_of(obj),)
        return super().reducer_override(obj)


def _by_value(content: Any) -> bytes:
    buffer = io.BytesIO()
    before, _STATE.is_packing = _STATE.is_packing, True
    try:
        _Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(content)
    except Exception as error:
        raise pickle.PicklingError(
            f"a function that goes to another process by value reaches what cannot go: {error}; "
            "pass that as an argument, or put the function into a module."
        ) from error
    finally:
        _STATE.is_packing = before
    return buffer.getvalue()
