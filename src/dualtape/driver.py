"""The compiled face of a transform: a Numba dispatcher whose body is a driver.

``grad(f)`` must cost no more per call than a hand-written ``@njit`` gradient, so what a transform
returns *is* a Numba dispatcher: argument types are matched in C and the machine code is entered
directly.  It has f's signature (names, defaults); the compiler pipeline puts a driver where f's
code would be.  Everything slow lives where dispatch fails anyway: conversion of lists and
integers, checks, compilation and the telling of errors.

Numba internals used (seen in 0.66 to 0.68): ``Dispatcher._compile_for_args`` (called from C when
no compiled version matches; what it returns is called with the original arguments), also for
arguments without a type, or whose type could not be found for an exception, where ``targetoptions``
do not say nopython at first.
"""

from __future__ import annotations

import functools
import inspect
from inspect import Parameter
from typing import Any

import numpy as np
from numba.core import types
from numba.core.dispatcher import OmittedArg

from .errors import ArgumentError
from .failing import Failure, told_by
from .known import is_library
from .loading import load
from .memory import Forgetful
from .travel import Traveler
from .verbose import announced

__all__ = ["Transform", "as_float", "count_numbers"]


class Transform(Traveler, Forgetful):
    """A function made by a transform: callable from Python and from compiled code.

    Parameters
    ----------
    signature : function
        Whose parameters the new function has.
    emit : callable
        What it computes; see `Driver`.
    inputs : tuple of int
        Which arguments are converted to floating point.
    name : str
        For messages, ``grad(f)``.
    """

    is_derivative = True
    copies_arguments = True
    is_inner = False  # whether only code of the package calls it
    shows_arguments = False  # whether a result may share memory with an argument
    _is_interrupted = False

    def __init__(
        self,
        signature: Any,
        emit: Any,
        inputs: tuple[int, ...],
        name: str,
    ) -> None:
        self.emit = emit
        options = {"nogil": True}
        super().__init__(signature, targetoptions=options, pipeline_class=self._pipeline)
        # Not named before: otherwise an argument without a Numba type (an empty list) would be
        # refused in C, before it can be converted.
        options["nopython"] = True
        self.inputs = inputs
        self.options: Any = None  # what tells transforms of one function apart
        self.__name__ = name
        self.__qualname__ = name

    def __repr__(self) -> str:
        return f"<dualtape {self.__name__}>"

    @functools.cached_property
    def driver(self) -> Any:
        """What computes the derivative in compiled code."""
        from .pipeline import Driver

        return Driver(self.emit, self.__name__)

    @functools.cached_property
    def inner(self) -> Transform:
        """The same for code of the package: linked into it, where this one stands on its own."""
        made = Transform(self.py_func, self.emit, self.inputs, self.__name__)
        made.driver, made.is_inner = self.driver, True
        return made

    def _pipeline(self, *args: Any) -> Any:
        """Return Numba's compiler of one version of the function."""
        load()  # with the next line a part of it would be imported alone
        from .pipeline import DriverCompiler

        compiler = DriverCompiler(*args)
        compiler.driver, compiler.is_inner = self.driver, self.is_inner
        return compiler

    def forget(self) -> None:
        """Drop compiled code and types."""
        super().forget()
        if "driver" in self.__dict__:
            self.driver.forget()

    def typeof_pyval(self, val: Any) -> Any:
        """Return the Numba type of an argument; C calls it, and drops what it raises."""
        try:
            return super().typeof_pyval(val)
        except KeyboardInterrupt:
            self._is_interrupted = True
            raise

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        if self._is_interrupted:
            self._is_interrupted = False
            raise KeyboardInterrupt
        converted = self._converted(args)
        if converted is not None:
            return lambda *_, **__: self(*converted)
        self._check_types(args)
        if hasattr(self.emit, "seen"):
            given = self._expanded(args)
            self.emit.seen = sum(count_numbers(given[i]) for i in self._positions(len(given)))
        with told_by(self.__name__, lambda: self._whole(args)), announced(self.__name__):
            return super()._compile_for_args(*args, **kws)

    def _whole(self, args: tuple[Any, ...]) -> Failure | None:
        """Return the user's function, if this has its parameters, and the types of a call."""
        if is_library(self.py_func):
            return None
        return Failure(self, map(self.typeof_pyval, self._expanded(args)))

    def compile(self, sig: Any) -> Any:
        """Compile for argument types, or load from the cache."""
        made = super().compile(sig)
        if hasattr(self.emit, "prepare"):
            self.emit.prepare(types.BaseTuple.from_types(_without_star(sig)))
        return made

    def _expanded(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments with what ``*args`` collected among them."""
        parameters = list(inspect.signature(self.py_func).parameters.values())
        if parameters and parameters[-1].kind is Parameter.VAR_POSITIONAL:
            return (*args[:-1], *args[-1])
        return args

    def _positions(self, count: int) -> set[int]:
        """Return the positions of the differentiated arguments among so many."""
        return {i % count for i in self.inputs if -count <= i < count}

    def _check_types(self, args: tuple[Any, ...]) -> None:
        for i, arg in enumerate(args):
            if not isinstance(arg, OmittedArg) and self.typeof_pyval(arg) is types.pyobject:
                raise ArgumentError(
                    f"{self.__name__}: argument {i} is {arg!r} of type {type(arg).__name__}, which "
                    "Numba cannot type; pass numbers, arrays, tuples, or lists that are not empty."
                )

    def _converted(self, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Return the arguments with lists and integers as floats; None if nothing changed."""
        args = self._expanded(args)
        positions = self._positions(len(args))
        new = [
            as_float(arg, i, self.__name__) if i in positions else arg for i, arg in enumerate(args)
        ]
        if all(a is b for a, b in zip(args, new, strict=True)):
            return None
        return tuple(arg.value if isinstance(arg, OmittedArg) else arg for arg in new)


def as_float(arg: Any, i: int, name: str) -> Any:
    """Convert a differentiated argument to floating point; refuse what has no derivative."""
    if isinstance(arg, OmittedArg):
        value = as_float(arg.value, i, name)
        return arg if value is arg.value else value
    if isinstance(arg, float | np.float32):
        return arg
    if isinstance(arg, tuple):
        items = [as_float(item, i, name) for item in arg]
        if all(a is b for a, b in zip(arg, items, strict=True)):
            return arg
        return type(arg)(*items) if hasattr(arg, "_fields") else tuple(items)
    if isinstance(arg, np.ndarray) and arg.ndim and arg.dtype in (np.float64, np.float32):
        return arg if type(arg) is np.ndarray and arg.dtype.isnative else np.array(arg)
    if isinstance(arg, int | np.number | np.ndarray | list | range):
        array = np.asarray(arg)
        if array.dtype.kind in "iuf" or (array.dtype.kind == "b" and array.ndim):
            return array.astype(np.float64) if array.ndim else float(array)
        if array.size == 0:
            return array.astype(np.float64)
        what = f"complex ({array.dtype})" if array.dtype.kind == "c" else f"of dtype {array.dtype}"
    else:
        from .number import Number

        if isinstance(arg, Number):
            return arg
        what = f"{arg!r} of type {type(arg).__name__}"
    raise ArgumentError(
        f"{name}: argument {i} is {what}; derivatives need a real number, a real array, or a tuple "
        "of these. Name the arguments to differentiate with argnums; the others pass unchanged."
    )


def _without_star(sig: Any) -> list[Any]:
    """Return argument types with what ``*args`` collects as arguments."""
    found = list(getattr(sig, "args", sig))
    if found and isinstance(found[-1], types.StarArgTuple | types.StarArgUniTuple):
        return [*found[:-1], *found[-1]]
    return found


def count_numbers(arg: Any) -> int:
    """Return how many numbers an argument holds."""
    return sum(map(count_numbers, arg)) if isinstance(arg, tuple) else int(np.size(arg))
