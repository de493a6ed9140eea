"""The compiled face of a transform: a Numba dispatcher whose body is a driver.

``grad(f)`` must cost no more per call than a hand-written ``@njit`` gradient, so what a transform
returns *is* a Numba dispatcher: argument types are matched in C and the machine code is entered
directly.  It has f's signature (names, defaults); the compiler pipeline puts a driver where f's
code would be.  Everything slow lives where dispatch fails anyway: conversion of lists and
integers, checks, compilation and the telling of errors.

Numba internals used (seen to work with 0.68): ``Dispatcher._compile_for_args`` (called from C when
no compiled version matches; what it returns is called with the original arguments), also for
arguments without a type where ``targetoptions`` do not say nopython at first;
``FunctionIR.derive``.
"""

from __future__ import annotations

import inspect
import itertools
import weakref
from inspect import Parameter
from typing import Any

import numpy as np
from numba.core import errors as numba_errors
from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.dispatcher import OmittedArg
from numba.core.imputils import lower_constant
from numba.core.ir_utils import build_definitions
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.core.untyped_passes import FixupArgs
from numba.extending import lower_builtin, models, register_model

from .activate import twin
from .aliasing import is_library
from .errors import ArgumentError, DualtapeError
from .linking import Linked
from .memory import Forgetful
from .number import Number
from .numbertype import highest_number
from .retell import located, retold

__all__ = ["Transform", "as_float", "count_numbers"]


class Driver:
    """What a transform computes: typing and code, given the arguments as one tuple.

    Compiled code holds it as a constant.  Numba's tables keep its type, which refers to it weakly,
    so that a transform can be collected with its function.

    Parameters
    ----------
    emit : callable
        (typing context, tuple type) -> (signature, code generator), as for an intrinsic.
    """

    def __init__(self, emit: Any) -> None:
        self._emit = emit
        self._made: dict[Any, Any] = {}
        self._numba_type_ = DriverType(self)

    def emit(self, typing_context: Any, packed: Any) -> Any:
        """Return signature and code generator, made once for every type of the arguments."""
        if packed not in self._made:
            self._made[packed] = self._emit(typing_context, packed)
        return self._made[packed]

    def forget(self) -> None:
        """Drop what was made."""
        self._made.clear()


class DriverType(types.Opaque):
    """Numba type of one driver."""

    _numbers = itertools.count()

    def __init__(self, driver: Driver) -> None:
        self._driver = weakref.ref(driver)
        super().__init__(f"dualtape.driver#{next(self._numbers)}")

    @property
    def driver(self) -> Any:
        """The driver; it lives as long as its transform."""
        return self._driver()


register_model(DriverType)(models.OpaqueModel)


@lower_constant(DriverType)
def _lower_driver(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    return context.get_dummy_value()


def run_driver(driver: Any, packed: Any) -> Any:
    """Run a driver (compiled code only)."""
    raise NotImplementedError


@infer_global(run_driver)
class _RunDriver(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        sig, _ = args[0].driver.emit(self.context, args[1])
        return signature(sig.return_type, *args)


@lower_builtin(run_driver, DriverType, types.Any)
def _lower_run_driver(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    inner, code = sig.args[0].driver.emit(context.typing_context, sig.args[1])
    return code(context, builder, inner, args[1:])


@register_pass(mutates_CFG=True, analysis_only=False)
class InstallDriver(FunctionPass):
    """Replace the function's code by ``return driver((arguments...))``."""

    _name = "dualtape_install_driver"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        func_ir, loc = state.func_ir, state.func_ir.loc
        scope = ir.Scope(None, loc)
        block = ir.Block(scope, loc)

        def define(name: str, value: Any) -> Any:
            var = scope.define(name, loc)
            block.append(ir.Assign(value, var, loc))
            return var

        parameters = list(func_ir.func_id.pysig.parameters.values())
        args = []
        for i, (name, ty) in enumerate(zip(func_ir.arg_names, state.args, strict=True)):
            arg = define(name, ir.Arg(name, i, loc))
            if parameters[i].kind is not Parameter.VAR_POSITIONAL:
                args.append(arg)
                continue
            for k in range(len(ty)):  # what *args collected becomes arguments again
                index = define(f"$index{k}", ir.Const(k, loc))
                args.append(define(f"$star{k}", ir.Expr.static_getitem(arg, k, index, loc)))
        packed = define("$packed", ir.Expr.build_tuple(args, loc))
        driver = define("$driver", ir.Global("driver", state.pipeline_driver, loc))
        run = define("$run", ir.Global("run_driver", run_driver, loc))
        result = define("$result", ir.Expr.call(run, [driver, packed], (), loc))
        block.append(ir.Return(define("$cast", ir.Expr.cast(result, loc)), loc))
        blocks = {0: block}
        state.func_ir = func_ir.derive(blocks)
        state.func_ir._definitions = build_definitions(blocks)
        return True


class DriverCompiler(Linked, CompilerBase):
    """Numba's pipeline with a driver in place of the function's code."""

    driver: Any = None

    def is_internal(self) -> bool:
        """Whether only compiled code calls it: no Python object could hold active numbers."""
        return any(highest_number(ty) is not None for ty in self.state.args)

    def define_pipelines(self) -> list[Any]:
        """Return the pipeline."""
        self.state.pipeline_driver = type(self).driver
        if self.is_internal():
            self.state.flags.no_cpython_wrapper = True
        self.state.flags.no_cfunc_wrapper = True
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.add_pass_after(InstallDriver, FixupArgs)
        manager.finalize()
        return [manager]


class Transform(Forgetful):
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

    def __init__(
        self,
        signature: Any,
        emit: Any,
        inputs: tuple[int, ...],
        name: str,
    ) -> None:
        self.driver = Driver(emit)
        compiler = type("DriverCompiler", (DriverCompiler,), {"driver": self.driver})
        self.emit = emit
        options = {"nogil": True}
        super().__init__(signature, targetoptions=options, pipeline_class=compiler)
        # Not named before: otherwise an argument without a Numba type (an empty list) would be
        # refused in C, before it can be converted.
        options["nopython"] = True
        self.inputs = inputs
        self.options: Any = None  # what tells transforms of one function apart
        self.__name__ = name
        self.__qualname__ = name

    def __repr__(self) -> str:
        return f"<dualtape {self.__name__}>"

    def forget(self) -> None:
        """Drop compiled code and types."""
        super().forget()
        self.driver.forget()

    def _compile_for_args(self, *args: Any, **kws: Any) -> Any:
        converted = self._converted(args)
        if converted is not None:
            return lambda *_, **__: self(*converted)
        self._check_types(args)
        if hasattr(self.emit, "seen"):
            given = self._expanded(args)
            self.emit.seen = sum(count_numbers(given[i]) for i in self._positions(len(given)))
        try:
            return super()._compile_for_args(*args, **kws)
        except DualtapeError as error:
            raise located(error, self.__name__) from error.__cause__
        except (numba_errors.NumbaError, numba_errors.UnsupportedBytecodeError) as error:
            cause = self._refusal(args) or error
            raise retold(cause, self.__name__, self.py_func) from cause

    def compile(self, sig: Any) -> Any:
        """Compile for argument types, or load from the cache."""
        made = super().compile(sig)
        if hasattr(self.emit, "prepare"):
            self.emit.prepare(types.BaseTuple.from_types(_without_star(sig)))
        return made

    def _refusal(self, args: tuple[Any, ...]) -> Exception | None:
        """Return Numba's error for the function without derivatives; None if it compiles."""
        if is_library(self.py_func):  # not the parameters of the user's function, as for hvp
            return None
        try:
            given = tuple(map(self.typeof_pyval, self._expanded(args)))
            twin(self.py_func).get_call_template(given, {})  # puts together what *args collects
        except (numba_errors.NumbaError, numba_errors.UnsupportedBytecodeError) as error:
            return error
        return None

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
    if isinstance(arg, float | np.float32 | Number):
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
