"""Activation: every user function gets one twin that works on active numbers.

The twin is the same Python function, compiled by a Numba pipeline with one more pass.  Neither the
source nor globals are changed.  For the argument types of the call, the pass

* replaces other user functions by their twins, and functions of `scipy.special` by rules;
* turns arrays in which active numbers are stored into arrays of numbers (see `analysis.writes`),
  whose bytes are counted as those of floats (see `arrays.byte_counts`);
* evaluates transforms used in the function (``grad(g)(x)``), so that derivatives nest.

Numba leads calls of np.sin and others with numbers to what `numbers.registration.register_rule`
registered.  Without an active argument only the callees are replaced, and the twin equals the
function.

Numba internals used (seen in 0.66 to 0.68): ``CompilerBase`` and ``DefaultPassBuilder``, a pass
after ``ReconstructSSA``, ``NopythonRewrites`` and the rewrite registry,
``Dispatcher(py_func, targetoptions=..., pipeline_class=...)``.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.postproc import PostProcessor
from numba.core.rewrites.registry import RewriteRegistry, rewrite_registry
from numba.core.typed_passes import NativeLowering, NopythonRewrites, NopythonTypeInference
from numba.core.untyped_passes import FixupArgs, ReconstructSSA
from numba.np.numpy_support import from_dtype
from numba.np.ufunc.array_exprs import RewriteArrayExprs

from ..analysis.casts import Casts, cast_to
from ..analysis.choice import choose_by_number
from ..analysis.effects import depth_of_type, effects_of_call
from ..analysis.fresh import is_in
from ..analysis.increments import keep_rows
from ..analysis.influence import drop_derivatives
from ..analysis.record_points import record_pending
from ..analysis.replayable import require_replayable
from ..analysis.rewriting import call, call_on_result, load, new_variable, rewrite
from ..analysis.scalars import scalars_of
from ..analysis.sharing import constant_of
from ..analysis.slot_keys import give_keys
from ..analysis.squares import smooth_squares
from ..analysis.unbounded import watch_products
from ..analysis.writes import Aliases
from ..arrays.byte_counts import ATTRIBUTES
from ..arrays.conversion import array_from
from ..arrays.stencil import is_stencil, stencil_twin
from ..backend.linking import Linked
from ..functions.interpolants import INTERPOLATED, shape_of
from ..functions.libraries import APPLIED_TRANSFORMS, CUSTOM_RULES, STATIC_TRANSFORMS
from ..functions.memo import CollectableDispatcher, current, is_living, remembered
from ..functions.objects import is_jitclass, plain_function
from ..functions.parameters import positional
from ..functions.snapshots import as_compiled
from ..numbers.construction import refuse_foreign_numbers
from ..numbers.plane_arrays import IN_USE
from ..numbers.streamed import is_streamed
from ..numbers.types import NumberType, highest_number, may_be_planes
from .apart import LowerApart
from .cell_reads import ReadCells, read_arrays
from .comparisons import note_comparisons
from .constants import is_user_function, name_functions, static_value, undefined
from .conversion import activator, item_activator
from .failures import compiling
from .fusion import Fuse, FusePlain
from .inference import InferTypes
from .jitclasses import class_of_numbers
from .labels import label_operations
from .outputs import pass_output_by_position
from .overloads import overloaded_twin
from .plain_calls import pass_plain_values
from .plane_conversions import limit_planes
from .scipy_functions import rule_of_scipy
from .typed_containers import declare_active_items
from .vectorized import vectorized_twin
from .views import refuse_lost_writes, view_activator


@register_pass(mutates_CFG=False, analysis_only=False)
class Activate(FunctionPass):
    """Rewrite a user's untyped IR for the argument types of this compilation."""

    _name = "dualtape_activate"
    labels = False

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        func_ir = state.func_ir
        func_ir._definitions = build_definitions(func_ir.blocks)
        number = highest_number(types.Tuple(state.args))
        self.number = number.settled if number is not None else None
        casts = getattr(state, "casts", None)
        if casts:
            casts.insert(state)
        self.is_living = state.cells is not None
        name_functions(func_ir, state.args)
        choose_by_number(func_ir)
        func_ir._definitions = build_definitions(func_ir.blocks)
        self._replace_callees(func_ir, active=number is not None)
        if number is not None:
            func_ir._definitions = build_definitions(func_ir.blocks)
            pass_plain_values(func_ir)
            func_ir._definitions = build_definitions(func_ir.blocks)
            scalars = scalars_of(func_ir, state.args)
            written = self._activate_arrays(func_ir, number, scalars, state.args)
            if not self.labels:
                func_ir._definitions = build_definitions(func_ir.blocks)
                smooth_squares(func_ir, written)
                func_ir._definitions = build_definitions(func_ir.blocks)
                drop_derivatives(func_ir, scalars)
            func_ir._definitions = build_definitions(func_ir.blocks)
            _count_as_plain(func_ir)
        if number is not None and number.slots:
            func_ir._definitions = build_definitions(func_ir.blocks)
            if self.labels:
                label_operations(func_ir)
            else:
                keep_rows(func_ir)
                record_pending(func_ir)
                if is_streamed(number):
                    func_ir._definitions = build_definitions(func_ir.blocks)
                    give_keys(func_ir, number.face, written)
        func_ir._definitions = build_definitions(func_ir.blocks)
        if state.cells is not None:
            read_arrays(func_ir, state.cells)
        return True

    def _replace_callees(self, func_ir: Any, *, active: bool) -> None:
        def replaced(_: Any, statement: Any) -> list[Any]:
            if not isinstance(statement, ir.Assign):
                return [statement]
            before: list[Any] = []
            if getattr(statement.value, "op", None) == "call":
                before = self._rewrite_call(func_ir, statement, active=active)
            constant = constant_of(func_ir, statement.target)
            if constant is ir.UNDEFINED:
                raise undefined(statement)
            if constant is not None and not isinstance(statement.value, ir.Arg):
                now = self._now(plain_function(constant))
                replacement = active_form(now, statement.loc, labels=self.labels)
                if replacement is None and now is not constant:
                    replacement = now
                if replacement is not None:
                    name = getattr(constant, "__name__", "function")
                    statement.value = ir.Global(name, replacement, statement.loc)
            return [*before, statement]

        rewrite(func_ir, replaced)

    def _now(self, function: Any) -> Any:
        """Return the current state of a constant in code that Python calls."""
        return current(function) if self.is_living else function

    def _static(self, func_ir: Any, var: Any) -> Any:
        return self._now(static_value(func_ir, var))

    def _rewrite_call(self, func_ir: Any, statement: Any, *, active: bool) -> list[Any]:
        """Evaluate ``grad(g)``, whose arguments are constants; replace conversions and np.array.

        Returns statements to insert in front.
        """
        expr = statement.value
        function = constant_of(func_ir, expr.func)
        if function is np.float64:
            return [_call_instead(statement, float)]
        target = _number_class(function)
        if target is not None and len(expr.args) == 1 and active:
            ty, assignment = load(statement.target.scope, target, statement.loc)
            expr.args = [*expr.args, ty]
            return [assignment, _call_instead(statement, cast_to)]
        if is_jitclass(function) and self.number is not None:
            like = class_of_numbers(function, self.number, _labelled_twin if self.labels else twin)
            return [_call_instead(statement, like)]
        if function is np.array and active:
            return [_call_instead(statement, array_from)]
        if is_in(function, APPLIED_TRANSFORMS):
            applied = APPLIED_TRANSFORMS[function](self._static(func_ir, expr.args[0]))
            expr.args = expr.args[1:]
            return [_call_instead(statement, applied)]
        if is_in(function, STATIC_TRANSFORMS):
            arguments = [self._static(func_ir, var) for var in expr.args]
            options = {name: static_value(func_ir, var) for name, var in expr.kws}
            transform = function(*arguments, **options)
            statement.value = ir.Global(function.__name__, transform, statement.loc)
            func_ir._definitions[statement.target.name] = [statement.value]
        return pass_output_by_position(statement, function) if active else []

    def _activate_arrays(
        self, func_ir: Any, number: NumberType, scalars: set[str], arg_types: Any
    ) -> set[str]:
        """Activate arrays in which numbers are stored; return the names of arrays written to."""
        depths = [depth_of_type(ty) for ty in arg_types]
        aliases = Aliases(func_ir, effects_of_call, depths, scalars)
        written, filled = aliases.written_roots(), aliases.filled_roots()
        may_have_planes = IN_USE and may_be_planes(number) and not self.labels
        exposed = aliases.exposed_roots() if may_have_planes else set()
        stored = aliases.stored_roots("exposed") if may_have_planes else set()

        def activated(scope: Any, statement: Any) -> list[Any]:
            lines: list[Any] = []
            for item in aliases.items(statement, written):
                lines += _item_converted(scope, statement, item, number)
            if isinstance(statement, ir.Assign) and statement.target.name in filled:
                lines += declare_active_items(func_ir, scope, statement, number)
            lines.append(statement)
            if isinstance(statement, ir.Assign) and _may_hold_numbers(statement.value):
                name, expr = statement.target.name, statement.value
                is_new = aliases.is_constructor(expr)
                if aliases.is_untyped(expr):
                    return lines
                if name in written or (is_new and aliases.escapes(name)):
                    lines += _converted(scope, statement, aliases, number)
            return lines

        rewrite(func_ir, activated)
        if may_have_planes:
            limit_planes(func_ir, exposed, stored, scalars, arg_types)
        return written


def _number_class(function: Any) -> Any:
    """Return the Numba type that a call like ``np.int64(x)`` converts to, or None."""
    if isinstance(function, types.Float | types.Integer):
        return function
    is_class = isinstance(function, type) and issubclass(function, np.float32 | np.integer)
    return from_dtype(np.dtype(function)) if is_class else None


def _call_instead(statement: Any, function: Any) -> Any:
    """Let a call statement call another function; return the statement that loads it."""
    statement.value.func, assignment = load(statement.target.scope, function, statement.loc)
    return assignment


def _converted(scope: Any, statement: Any, aliases: Aliases, number: NumberType) -> list[Any]:
    """Let a statement assign to a new variable; return statements that convert it to the old."""
    expr, loc = statement.value, statement.loc
    shown = aliases.operands(expr)
    if not shown:
        return call_on_result(scope, statement, activator(number))
    # The result may be a view of these.
    function = view_activator(number, keeps_type=aliases.keeps_type(expr))
    operands = new_variable(scope, loc)
    assignment = ir.Assign(ir.Expr.build_tuple(shown, loc), operands, loc)
    return [assignment, *call_on_result(scope, statement, function, operands)]


def _item_converted(scope: Any, statement: Any, item: Any, number: NumberType) -> list[Any]:
    """Let a statement put a converted item into a list or dict; return statements in front."""
    converted = new_variable(scope, statement.loc)
    if isinstance(statement, ir.SetItem | ir.StaticSetItem):
        statement.value = converted
    elif statement.value.op == "build_map":
        expr = statement.value
        expr.items = [(k, converted if value is item else value) for k, value in expr.items]
    else:
        statement.value.args = (*statement.value.args[:-1], converted)
    return call(scope, item_activator(number), [item], converted, statement.loc)


def _count_as_plain(func_ir: Any) -> None:
    """Replace attributes of arrays that count bytes, which count as in the plain function."""

    def counted(_: Any, statement: Any) -> list[Any]:
        expr: Any = getattr(statement, "value", None)
        is_field = isinstance(expr, ir.Expr) and expr.op == "getattr"
        if is_field and expr.attr in ATTRIBUTES and constant_of(func_ir, expr.value) is None:
            statement.value = ir.Expr.call(expr.value, [expr.value], (), expr.loc)
            return [_call_instead(statement, ATTRIBUTES[expr.attr]), statement]
        return [statement]

    rewrite(func_ir, counted)


def _may_hold_numbers(value: Any) -> bool:
    if not isinstance(value, ir.Expr):
        return False
    return value.op in ("call", "binop", "build_list", "build_tuple", "unary")


def active_form(value: Any, loc: Any = None, *, labels: bool = False) -> Any:
    """Return the replacement for a constant of the user's function in its twin, or None."""
    try:
        rule = CUSTOM_RULES.get(value)
    except TypeError:  # unhashable: an array, a list
        return None
    if rule is not None:
        return rule
    vectorized = vectorized_twin(value, _labelled_twin if labels else twin)
    if vectorized is not None:
        return vectorized
    overloaded = overloaded_twin(value, _labelled_twin if labels else twin)
    if overloaded is not None:
        return overloaded
    if shape_of(value) is not None:
        return INTERPOLATED[0](value)
    if is_user_function(value):
        return twin(value, labels=labels)
    if is_stencil(value):
        return stencil_twin(value, functools.partial(twin, labels=labels))
    return rule_of_scipy(value, loc, functools.partial(twin, labels=labels))


@register_pass(mutates_CFG=True, analysis_only=False)
class RewritesForNumbers(NopythonRewrites):
    """Numba's rewrites, with ours instead of the one that collects array expressions."""

    _name = "dualtape_rewrites"

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        refuse_foreign_numbers(state)
        refuse_lost_writes(state)
        if not any(highest_number(ty) is not None for ty in state.typemap.values()):
            return bool(super().run_pass(state))
        note_comparisons(state)
        if any(is_streamed(highest_number(ty)) for ty in state.args):
            require_replayable(state)
        watch_products(state)
        registry = RewriteRegistry()
        registry.rewrites["after-inference"] = [Fuse]
        for theirs in rewrite_registry.rewrites["after-inference"]:
            ours = FusePlain if theirs is RewriteArrayExprs else theirs
            registry.rewrites["after-inference"].append(ours)
        processor = PostProcessor(state.func_ir)
        processor.run(True)
        registry.apply("after-inference", state)
        processor.remove_dels()
        return True


OURS = {
    NopythonTypeInference: InferTypes,
    NopythonRewrites: RewritesForNumbers,
    NativeLowering: LowerApart,
}


class ActivatingCompiler(Linked, CompilerBase):
    """Numba's own pipeline with the pass `Activate`; twins are only called from compiled code."""

    activation: Any = Activate
    casts: Any = None
    cells: Any = None
    twin: Any = None

    def define_pipelines(self) -> list[Any]:
        """Return the pipeline."""
        self.state.casts, self.state.cells, self.state.twin = self.casts, self.cells, self.twin
        self.state.has_labels = self.activation.labels
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        if any(step is FixupArgs for step, _ in manager.passes):  # not in a block in object mode
            manager.add_pass_after(ReadCells, FixupArgs)
        manager.add_pass_after(self.activation, ReconstructSSA)
        manager.passes = [(OURS.get(step, step), reason) for step, reason in manager.passes]
        manager.finalize()
        return [manager]


@register_pass(mutates_CFG=False, analysis_only=False)
class ActivateWithLabels(Activate):
    """The same for `record`: every operation is a row and has a label."""

    _name = "dualtape_activate_with_labels"
    labels = True


class LabellingCompiler(ActivatingCompiler):
    """The pipeline of twins made for `record`."""

    activation = ActivateWithLabels


class Twin(CollectableDispatcher):
    """The activated form of a user function."""

    is_derivative = True
    is_twin = True
    original: Any
    compared: Any = None  # the line where active numbers were found to be compared

    def forget(self) -> None:
        """Drop compiled code; the next compilation takes the function as it is then."""
        super().forget()
        self.py_func = self._compiler.py_func = positional(as_compiled(self.original))

    def compile(self, sig: Any) -> Any:
        """Compile for argument types; failures are noted for error messages."""
        with compiling(self, sig):
            return super().compile(sig)


def twin(function: Any, *, labels: bool = False) -> Any:
    """Return the activated twin of a Python function or of an njit function.

    The result of a transform is its own twin. With `labels` it is the twin for `record`.
    """
    if getattr(function, "is_derivative", False):
        return function

    def make() -> Twin:
        py_func = positional(as_compiled(function))
        options = twin_options(function)
        casts = Casts(function)
        cells: list[Any] | None = [] if is_living(function) else None

        def pipeline(*args: Any) -> Any:
            compiler = (LabellingCompiler if labels else ActivatingCompiler)(*args)
            compiler.casts, compiler.cells, compiler.twin = casts, cells, result
            return compiler

        result = Twin(py_func, targetoptions=options, pipeline_class=pipeline)
        result.original, result.has_labels = function, labels
        return result

    return remembered(function, ("twin", labels), make)


def _labelled_twin(function: Any) -> Any:
    return twin(function, labels=True)


def twin_options(function: Any) -> dict[str, Any]:
    """Return the njit options of the user's decorator, without those that change results."""
    options = dict(getattr(function, "targetoptions", {}))
    for name in ("fastmath", "parallel", "cache", "inline"):
        options.pop(name, None)
    options.update(nopython=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return options
