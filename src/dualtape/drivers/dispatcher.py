"""The compiled face of a transform: a Numba dispatcher whose body is a driver.

``grad(f)`` must cost no more per call than a hand-written ``@njit`` gradient, so what a transform
returns *is* a Numba dispatcher: argument types are matched in C and the machine code is entered
directly.  It has f's signature (names, defaults); the compiler pipeline puts a driver where f's
code would be.  All slow work (conversion of lists and integers, checks, compilation, error
messages) is on the path taken when dispatch finds no compiled version.

Numba internals used (seen in 0.66 to 0.68): ``Dispatcher._compile_for_args`` (called from C when
no compiled version matches; what it returns is called with the original arguments).  It is called
for arguments without a type too, or whose typing raised, if ``targetoptions`` do not say nopython
at first.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

import numpy as np
from numba.core import types
from numba.core.dispatcher import OmittedArg

from ..backend.loading import load
from ..backend.verbose import announced
from ..errors import ArgumentError
from ..functions.libraries import is_library
from ..functions.memo import CollectableDispatcher
from ..functions.pickling import Traveler
from ..functions.records import as_tuple, is_record, with_records
from ..twin.failures import Failure, own_errors


class Body:
    """What a transform computes: signature and code for the types of its arguments.

    Parameters
    ----------
    emit : callable
        (typing context, tuple type) -> (signature, code generator), as for an intrinsic.
    """

    def __init__(self, emit: Any) -> None:
        self._emit = emit

    def __call__(self, typingctx: Any, packed: Any) -> Any:
        """Return signature and code."""
        return self._emit(typingctx, packed)

    def note_size(self, count: int) -> None:
        """Note the number of inputs of the Python call that is compiled for."""

    def prepare(self, packed: Any) -> None:
        """Register what compiled code may ask for at run time."""


class Transform(Traveler, CollectableDispatcher):
    """A function made by a transform: callable from Python and from compiled code.

    Parameters
    ----------
    signature : function
        Whose parameters the new function has.
    emit : callable
        What it computes; see `Body`.
    inputs : tuple of int
        Which arguments are converted to floating point.
    name : str
        For messages, ``grad(f)``.
    """

    is_derivative = True
    copies_arguments = True
    label: Callable[[int], str] = staticmethod("argument {}".format)  # in messages
    is_inner = False  # whether only code of the package calls it
    shows_arguments = False  # whether a result may share memory with an argument
    _is_interrupted = False

    def __init__(self, signature: Any, emit: Any, inputs: tuple[int, ...], name: str) -> None:
        self.emit = emit if isinstance(emit, Body) else Body(emit)
        options = {"nogil": True}
        super().__init__(signature, targetoptions=options, pipeline_class=self._pipeline)
        # Set only now: otherwise an argument without a Numba type (an empty list) would be refused
        # in C, before it can be converted.
        options["nopython"] = True
        self.inputs = inputs
        self.options: Any = None  # distinguish transforms of one function
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
        """The same transform for code of the package, into which it is linked."""
        inner = Transform(self.py_func, self.emit, self.inputs, self.__name__)
        inner.driver, inner.is_inner = self.driver, True
        return inner

    def _pipeline(self, *args: Any) -> Any:
        """Return Numba's compiler of one version of the function."""
        load()  # all of it; the next line would import a part only
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
            return lambda *_, **__: with_records(self(*converted))
        self._check_types(args)
        expanded = self._expanded(args)
        inputs = [expanded[i] for i in self._positions(len(expanded))]
        self.emit.note_size(sum(map(count_numbers, inputs)))
        with own_errors(self.__name__, lambda: self._whole_call(args)), announced(self.__name__):
            return super()._compile_for_args(*args, **kws)

    def _whole_call(self, args: tuple[Any, ...]) -> Failure | None:
        """Return the call as a failure of the user's function; None if its parameters are ours."""
        if is_library(self.py_func):
            return None
        return Failure(self, map(self.typeof_pyval, self._expanded(args)))

    def compile(self, sig: Any) -> Any:
        """Compile for argument types, or load from the cache."""
        entry_point = super().compile(sig)
        self.emit.prepare(types.BaseTuple.from_types(_without_star(sig)))
        return entry_point

    def _expanded(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments with the items of ``*args`` among them."""
        parameters = list(inspect.signature(self.py_func).parameters.values())
        if parameters and parameters[-1].kind is Parameter.VAR_POSITIONAL:
            return (*args[:-1], *args[-1])
        return args

    def _positions(self, count: int) -> set[int]:
        """Return the positions of the differentiated arguments among `count` arguments."""
        return {i % count for i in self.inputs if -count <= i < count}

    def _check_types(self, args: tuple[Any, ...]) -> None:
        for i, arg in enumerate(self._expanded(args)):
            if not isinstance(arg, OmittedArg) and self.typeof_pyval(arg) is types.pyobject:
                description = f"{arg!r} of type {type(arg).__name__}"
                raise ArgumentError(
                    f"{self.__name__}: {self.label(i)} is {description}, which Numba cannot type; "
                    "pass numbers, arrays, tuples, or lists that are not empty."
                )

    def _converted(self, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        """Return the arguments with lists and integers as floats; None if nothing changed."""
        args = self._expanded(args)
        positions = self._positions(len(args))
        new = [
            as_float(arg, self.label(i), self.__name__) if i in positions else arg
            for i, arg in enumerate(args)
        ]
        if all(a is b for a, b in zip(args, new, strict=True)):
            return None
        return tuple(arg.value if isinstance(arg, OmittedArg) else arg for arg in new)


def as_float(arg: Any, label: str, name: str) -> Any:
    """Convert a differentiated argument to floating point; raise if it has no derivative."""
    if isinstance(arg, OmittedArg):
        value = as_float(arg.value, label, name)
        return arg if value is arg.value else value
    if isinstance(arg, float | np.float32):
        return arg
    if is_record(arg):
        arg = as_tuple(arg)
    if isinstance(arg, tuple):
        items = [as_float(item, label, name) for item in arg]
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
        from ..numbers.number import Number

        if isinstance(arg, Number):
            return arg
        what = f"{arg!r} of type {type(arg).__name__}"
    hint = " Name the arguments to differentiate with argnums; the others pass unchanged."
    raise ArgumentError(
        f"{name}: {label} is {what}; derivatives need a real number, a real array, or a tuple of "
        f"these.{hint * label[-1].isdigit()}"
    )


def _without_star(sig: Any) -> list[Any]:
    """Return argument types with the items of ``*args`` among them."""
    arg_types = list(getattr(sig, "args", sig))
    if arg_types and isinstance(arg_types[-1], types.StarArgTuple | types.StarArgUniTuple):
        return [*arg_types[:-1], *arg_types[-1]]
    return arg_types


def count_numbers(arg: Any) -> int:
    """Return how many numbers an argument holds."""
    return sum(map(count_numbers, arg)) if isinstance(arg, tuple) else int(np.size(arg))
