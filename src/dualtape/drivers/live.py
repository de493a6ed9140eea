"""Transforms of plain Python functions: Python calls the derivative of the present function.

``grad(f)`` of a plain function that reaches globals, closures or helpers is two derivatives.  In
compiled code it is that of f as it was when that code was compiled.  Called from Python, it checks
what f reaches and calls the derivative of f's present form: the same one as long as nothing
changed, or the change could be put into a cell (see `functions.memo`).

The derivative of a function that reaches only libraries is called directly.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ..errors import DualtapeError
from ..functions.cells import FIXED
from ..functions.memo import Memory, current, is_living, is_plain, memory_of, source_of
from ..functions.objects import plain_function
from .dispatcher import Transform


class LiveTransform(Transform):
    """A transform that renews itself.

    Parameters
    ----------
    transform : Transform
        The derivative of the function as it is.
    f : function
        The user's plain function, or a renewing transform of it.
    maker : callable
        ``maker(function)`` returns this transform of another function.
    """

    def __init__(self, transform: Transform, f: Any, maker: Callable[[Any], Transform]) -> None:
        self._function, self._maker, self._transform = f, maker, transform
        self.source = source_of(f)
        self.memory: Memory = memory_of(self.source)
        self._version: tuple[Any, Any] = (None, None)
        super().__init__(transform.py_func, None, transform.inputs, transform.__name__)
        self.options, self.shows_arguments = transform.options, transform.shows_arguments
        self.origin = transform.origin

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the derivative of the function as it is now."""
        glance, version = self.memory.glance, self._version  # keeps alive what the code may read
        try:
            is_same = glance is version[0] and glance.is_same()
        except KeyError:  # a name that is gone
            is_same = False
        return version[1](*args, **kwargs) if is_same else self._call_present(args, kwargs)

    def _call_present(self, args: Any, kwargs: Any) -> Any:
        """Call the derivative of the function as it is now, which may not be compiled yet."""
        version = self.version()
        self._version = self.memory.glance, version
        try:
            return version(*args, **kwargs)
        except DualtapeError:
            numbers = self.memory.fix_numbers()
            if not numbers:
                raise
        try:  # again with constants: numbers in cells do not compile where a constant is needed
            return self._call_present(args, kwargs)
        except DualtapeError:  # it had another reason
            FIXED.difference_update(numbers)
            raise

    def version(self) -> Transform:
        """Return the derivative of the function as it is now."""
        return self._maker(current(self._function))

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
        transform = self._maker(self._function)
        if transform is not self._transform:
            self._transform = transform
            super().forget()
        return transform

    def compile(self, sig: Any) -> Any:
        """Compile for argument types, for compiled code."""
        self._frozen()
        return super().compile(sig)

    def forget(self) -> None:
        """Drop compiled code and types."""
        super().forget()
        self._transform.forget()


def live(maker: Callable[..., Any]) -> Callable[..., Any]:
    """Let the transforms that a function makes of its argument f renew themselves."""
    position = list(inspect.signature(maker).parameters).index("f")

    @functools.wraps(maker)
    def make_live(*args: Any, **kwargs: Any) -> Any:
        if "f" in kwargs:
            args, kwargs = _bound(maker, args, kwargs)
        before, f = args[:position], plain_function(args[position])
        after = tuple(map(_hashable, args[position + 1 :]))
        kwargs = {name: _hashable(option) for name, option in kwargs.items()}

        def make(function: Any) -> Any:
            return maker(*before, function, *after, **kwargs)

        source = source_of(f)
        if is_living(source) or not is_plain(source):
            return make(f)
        memory = memory_of(source)
        memory.look()
        kinds = tuple(map(_kind, (*after, *kwargs.values())))  # True == 1
        call = maker, before, f, after, kinds, *kwargs.items()
        try:
            transform = memory.entries.get(call)
        except TypeError:  # options that cannot be hashed
            return make(f)  # raises
        if transform is not None:
            return transform
        transform = make(f)
        if memory.places:  # one for the same transform, however it is called
            renewing = LiveTransform(transform, f, make)
            transform = memory.entries.setdefault(("live", transform), renewing)
        memory.entries[call] = transform
        return transform

    return make_live


def _hashable(option: Any) -> Any:
    return tuple(option) if isinstance(option, list) else option


def _kind(option: Any) -> Any:
    return tuple(map(type, option)) if isinstance(option, tuple) else type(option)


def _bound(maker: Any, args: Any, kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    bound = inspect.signature(maker).bind(*args, **kwargs)
    return bound.args, bound.kwargs
