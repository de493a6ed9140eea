"""Transforms of plain Python functions: what Python calls is what the function is now.

``grad(f)`` of a plain function that reaches globals, closures or helpers is two derivatives.  In
compiled code it is that of f as it was when that code was compiled.  Called from Python, it looks
at what f reaches and hands the call to the derivative of f's present form: the same one as long as
nothing changed, or where the change could be put into a cell (see `memory`).

A function that reaches nothing but libraries has none of this; its derivative is called without a
detour.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from .cells import FIXED
from .driver import Transform
from .errors import DualtapeError
from .memory import Memory, current, is_living, is_plain, memory_of, source_of

__all__ = ["LiveTransform", "live"]


class LiveTransform(Transform):
    """A transform that renews itself.

    Parameters
    ----------
    made : Transform
        The derivative of the function as it is.
    given : function
        The user's plain function, or a renewing transform of it.
    maker : callable
        ``maker(function)`` returns this transform of another function.
    """

    def __init__(self, made: Transform, given: Any, maker: Callable[[Any], Transform]) -> None:
        self._given, self._maker, self._made = given, maker, made
        self.source = source_of(given)
        self._memory: Memory = memory_of(self.source)
        self._version: tuple[Any, Any] = (None, None)
        super().__init__(made.py_func, None, made.inputs, made.__name__)
        self.options, self.shows_arguments = made.options, made.shows_arguments
        self.origin = made.origin

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Call the derivative of the function as it is now."""
        glance, version = self._memory.glance, self._version  # keeps alive what the code may read
        try:
            is_same = glance is version[0] and glance.is_same()
        except KeyError:  # a name that is gone
            is_same = False
        return version[1](*args, **named) if is_same else self._called(args, named)

    def _called(self, args: Any, named: Any) -> Any:
        """Call a derivative that may not be compiled yet."""
        version = self.version()
        self._version = self._memory.glance, version
        try:
            return version(*args, **named)
        except DualtapeError:
            numbers = self._memory.fix_numbers()
            if not numbers:
                raise
        try:  # nothing compiles where a number must be a constant: then it is one
            return self._called(args, named)
        except DualtapeError:  # that was not the reason
            FIXED.difference_update(numbers)
            raise

    def version(self) -> Transform:
        """Return the derivative of the function as it is now."""
        return self._maker(current(self._given))

    @property
    def emit(self) -> Any:
        """What it computes in compiled code."""
        return self._frozen().emit

    @emit.setter
    def emit(self, _: Any) -> None: ...

    @property
    def driver(self) -> Any:
        """What computes the derivative in compiled code."""
        return self._frozen().driver

    def _frozen(self) -> Transform:
        made = self._maker(self._given)
        if made is not self._made:
            self._made = made
            super().forget()
        return made

    def compile(self, sig: Any) -> Any:
        """Compile for argument types, for compiled code."""
        self._frozen()
        return super().compile(sig)

    def forget(self) -> None:
        """Drop compiled code and types."""
        super().forget()
        self._made.forget()


def live(maker: Callable[..., Any]) -> Callable[..., Any]:
    """Let a function that makes transforms of its argument f make ones that renew themselves."""
    position = list(inspect.signature(maker).parameters).index("f")

    @functools.wraps(maker)
    def made(*args: Any, **named: Any) -> Any:
        if "f" in named:
            args, named = _bound(maker, args, named)
        before, given, after = args[:position], args[position], args[position + 1 :]

        def again(function: Any) -> Any:
            return maker(*before, function, *after, **named)

        source = source_of(given)
        if is_living(source) or not is_plain(source):
            return again(given)
        memory = memory_of(source)
        memory.look()
        kinds = (*map(type, after), *map(type, named.values()))  # True is 1
        call = maker, before, given, after, kinds, *named.items()
        try:
            found = memory.entries.get(call)
        except TypeError:  # options that cannot be hashed
            return again(given)  # which refuses them
        if found is not None:
            return found
        found = again(given)
        if memory.places:  # one for what is the same transform, however it is asked for
            renewing = LiveTransform(found, given, again)
            found = memory.entries.setdefault(("live", found), renewing)
        memory.entries[call] = found
        return found

    return made


def _bound(maker: Any, args: Any, named: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    bound = inspect.signature(maker).bind(*args, **named)
    return bound.args, bound.kwargs
