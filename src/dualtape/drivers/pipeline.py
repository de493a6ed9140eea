"""The compiler of a transform: Numba's pipeline with a driver in place of the function's code.

It is imported when a transform is first compiled.

Numba internals used (seen in 0.66 to 0.68): ``FunctionIR.derive``, a pass after ``FixupArgs``.
"""

from __future__ import annotations

import contextlib
import itertools
import weakref
from inspect import Parameter
from typing import Any

from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.imputils import lower_constant
from numba.core.ir_utils import build_definitions
from numba.core.typed_passes import NativeLowering
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.core.untyped_passes import FixupArgs
from numba.extending import lower_builtin, models, register_model

from ..backend.boxing import boxing_directly
from ..backend.linking import Linked
from ..numbers.types import highest_number
from ..twin.failures import is_collecting, own_errors


class Driver:
    """What a transform computes: typing and code, given the arguments as one tuple.

    Compiled code holds it as a constant.  Numba's tables keep its type, which refers to it weakly
    so that a transform is collected with its function.

    Parameters
    ----------
    emit : callable
        (typing context, tuple type) -> (signature, code generator), as for an intrinsic.
    name : str
        For messages, ``grad(f)``.
    """

    def __init__(self, emit: Any, name: str) -> None:
        self._emit = emit
        self._name = name
        self._results: dict[Any, Any] = {}
        self._numba_type_ = DriverType(self)

    def emit(self, typing_context: Any, packed: Any) -> Any:
        """Return signature and code generator, computed once per type of the arguments."""
        if packed not in self._results:
            # In a user's own compiled code nothing else reports errors.
            reporting = contextlib.nullcontext() if is_collecting() else own_errors(self._name)
            with reporting:
                self._results[packed] = self._emit(typing_context, packed)
        return self._results[packed]

    def forget(self) -> None:
        """Drop all results."""
        self._results.clear()


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
            for k in range(len(ty)):  # the items of *args become arguments again
                index = define(f"$index{k}", ir.Const(k, loc))
                args.append(define(f"$star{k}", ir.Expr.static_getitem(arg, k, index, loc)))
        packed = define("$packed", ir.Expr.build_tuple(args, loc))
        driver = define("$driver", ir.Global("driver", state.pipeline_driver, loc))
        run = define("$run", ir.Global("run_driver", run_driver, loc))
        result = define("$result", ir.Expr.call(run, [driver, packed], (), loc))
        block.append(ir.Return(define("$cast", ir.Expr.cast(result, loc)), loc))
        blocks = {0: block}
        state.func_ir = func_ir.derive(blocks)
        state.func_ir.func_id = func_ir.func_id  # `derive` numbers it Numba's way; see Linked
        state.func_ir._definitions = build_definitions(blocks)
        return True


@register_pass(mutates_CFG=True, analysis_only=False)
class LowerDriver(NativeLowering):
    """Numba's lowering, with our boxing of results."""

    _name = "dualtape_lower_driver"

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        with boxing_directly():
            return bool(super().run_pass(state))


class DriverCompiler(Linked, CompilerBase):
    """Numba's pipeline with a driver in place of the function's code."""

    driver: Driver
    is_inner = False

    def is_internal(self) -> bool:
        """Whether only compiled code calls it: no Python object could hold active numbers."""
        return self.is_inner or any(highest_number(ty) is not None for ty in self.state.args)

    def define_pipelines(self) -> list[Any]:
        """Return the pipeline."""
        self.state.pipeline_driver = self.driver
        if self.is_internal():
            self.state.flags.no_cpython_wrapper = True
        self.state.flags.no_cfunc_wrapper = True
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        manager.add_pass_after(InstallDriver, FixupArgs)
        replacements = {NativeLowering: LowerDriver}
        manager.passes = [(replacements.get(step, step), reason) for step, reason in manager.passes]
        manager.finalize()
        return [manager]
