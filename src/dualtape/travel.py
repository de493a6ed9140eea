"""How derivatives get to other processes: as what they were made of.

A derivative is compiled for one process, so what is pickled is a call: the public function that
made it, the user's functions, the options.  Loading calls it again, and as transforms remember what
they made, ``grad(f)`` that was loaded is the ``grad(f)`` of that process.

Functions of importable modules go by name, njit functions too, so that what these have cached on
disk is found.  Others (of ``__main__``, lambdas, closures) go by value: their code with the globals
it names and their closure, by Numba's pickler.  A process that sent one of these and gets it back,
or was forked from one that knew it, goes on with its own function, provided that nothing has
changed that it reaches; a process that gets the same function again and again, as workers do, makes
it once.  The rules of `custom_rule` for what a function reaches go with it.

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
from .known import CUSTOM_RULES

__all__ = ["Traveler", "sent_as"]

KEPT = 128
"""Functions from other processes that are kept: as many as Numba keeps."""
MAIN = ("__main__", "__mp_main__")
"""A module that is another one in every process."""


class Origin(NamedTuple):
    """A call that makes an object anew: of a public function, by its name."""

    name: str
    functions: tuple[Any, ...]
    args: tuple[Any, ...]
    options: dict[str, Any]


class Traveler:
    """A base of classes whose objects are pickled as their origin."""

    origin: Origin | None = None

    def __reduce__(self) -> Any:
        if self.origin is None:
            raise pickle.PicklingError(f"{self!r} is internal to its process")
        name, functions, args, options = self.origin
        return _made_again, (name, packed(functions), args, options)


def sent_as(made: Any, name: str, functions: tuple[Any, ...], *args: Any, **options: Any) -> Any:
    """Let an object travel as ``dualtape.name(*functions, *args, **options)``; return it."""
    made.origin = Origin(name, functions, args, options)
    for function in functions:
        if not _goes_by_name(function):
            _token_of(function)  # processes that are forked from now on know the function by it
    return made


def _made_again(name: str, parcel: Parcel, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    public = getattr(importlib.import_module(__package__), name)
    return public(*opened(parcel), *args, **options)


class Token(NamedTuple):
    """Stands for a function that goes by value."""

    text: str


class Named(NamedTuple):
    """Stands for an njit function of a module: pickle itself would take it by value."""

    module: str
    name: str


class Parcel(NamedTuple):
    """Functions on their way, with the derivative rules of what they reach.

    Attributes
    ----------
    functions, rules : tuple
        What pickle takes by name, and what stands for others.
    stamp : str
        A digest of all that functions by value reach.
    data : bytes
        Both again by value, if one of them has to go so.
    """

    functions: tuple[Any, ...]
    rules: tuple[Any, ...] = ()
    stamp: str = ""
    data: bytes = b""


def packed(functions: tuple[Any, ...]) -> Parcel:
    """Return functions in a form that every pickler takes."""
    if _STATE.is_packing:  # our own pickler is at work, and takes them as they are
        return Parcel(functions)
    stamp, seen = traced(functions)
    rules = tuple((f, rule.jet) for f, rule in CUSTOM_RULES.items() if id(f) in seen)
    if all(map(_goes_by_name, (*functions, *(f for pair in rules for f in pair)))):
        pairs = tuple((_named(f), _named(jet)) for f, jet in rules)
        return Parcel(tuple(map(_named, functions)), pairs)
    return Parcel(tuple(map(_named, functions)), (), stamp, _by_value((functions, rules)))


def opened(parcel: Parcel) -> tuple[Any, ...]:
    """Return the functions of a parcel; what they reach has its rules from here on."""
    functions = tuple(map(_found, parcel.functions))
    if not parcel.data:
        _learn(parcel.rules)
        return functions
    if None not in functions and traced(functions)[0] == parcel.stamp:
        return functions
    functions = _unpacked(parcel.data)
    for function, given in zip(functions, parcel.functions, strict=True):
        if isinstance(given, Token):
            _keep_token(function, given.text)
    return functions


@functools.lru_cache(maxsize=KEPT)
def _unpacked(data: bytes) -> Any:
    functions, rules = pickle.loads(data)
    _learn(rules)
    return functions


def _learn(rules: tuple[Any, ...]) -> None:
    for function, jet in rules:
        if _found(function) not in CUSTOM_RULES:
            importlib.import_module(__package__).custom_rule(_found(function), _found(jet))


# Names


def _goes_by_name(function: Any) -> bool:
    """Whether it has a name that every process knows, or pickles itself (as ufuncs do)."""
    if isinstance(function, Traveler) or not isinstance(function, FunctionType | Dispatcher):
        return True
    return function.__module__ not in MAIN and _found(_name_of(function)) is function


def _name_of(function: Any) -> Named:
    return Named(function.__module__ or "", function.__qualname__)


def _named(function: Any) -> Any:
    """Return what is pickled for a function."""
    if not _goes_by_name(function):
        return Token(_token_of(function))
    is_njit = isinstance(function, Dispatcher) and not isinstance(function, Traveler)
    return _name_of(function) if is_njit else function


def _found(given: Any) -> Any:
    """Return what `_named` stands for; None where there is none in this process."""
    if isinstance(given, Token):
        return _ALIVE.get(given.text)
    if not isinstance(given, Named):
        return given
    try:
        found: Any = importlib.import_module(given.module)
        for part in given.name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        return None
    return found


# Functions by value

_TOKENS: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_ALIVE: weakref.WeakValueDictionary[str, Any] = weakref.WeakValueDictionary()


def _token_of(function: Any) -> str:
    """Return what all processes call a function."""
    return _TOKENS.get(function) or _keep_token(function, uuid.uuid4().hex)


def _keep_token(function: Any, token: str) -> str:
    _TOKENS[function] = token
    _ALIVE[token] = function
    return token


class _State(threading.local):
    """Whether the pickler below is at work in this thread."""

    is_packing = False


_STATE = _State()


class _Pickler(NumbaPickler):
    """Numba's pickler, in which njit functions of modules go by name."""

    def reducer_override(self, obj: Any) -> Any:
        """Return what is pickled for an object."""
        if isinstance(obj, Dispatcher) and _goes_by_name(obj) and not isinstance(obj, Traveler):
            return _found, (_name_of(obj),)
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
