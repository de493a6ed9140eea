"""Activation: every user function gets one twin that works on active numbers.

The twin is the same Python function, compiled by a Numba pipeline with one more pass.  No source,
no globals are edited.  With the argument types of the call at hand, the pass

* sends calls of other user functions to their twins, and `scipy.special` names to rules;
* makes the arrays that active numbers are stored in arrays of numbers (see `aliasing`), whose bytes
  count as those of floats (see `bytecounts`);
* evaluates transforms named in the function (``grad(g)(x)``), so that derivatives nest.

Without an active argument it changes nothing but the callees, and the twin is the function.

Numba internals used (seen in 0.66 to 0.68): ``CompilerBase`` and ``DefaultPassBuilder``, a pass
after ``ReconstructSSA``, ``NopythonRewrites`` and the rewrite registry,
``Dispatcher(py_func, targetoptions=..., pipeline_class=...)``.
"""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np
from numba.core import ir, types
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import build_definitions, mk_unique_var
from numba.core.postproc import PostProcessor
from numba.core.rewrites.registry import RewriteRegistry, rewrite_registry
from numba.core.typed_passes import NopythonRewrites, NopythonTypeInference
from numba.core.untyped_passes import FixupArgs, ReconstructSSA
from numba.np.ufunc.array_exprs import RewriteArrayExprs

from ._rule import Rule
from .activation import activator, item_activator
from .aliasing import Aliases
from .bytecounts import ATTRIBUTES
from .casting import Casts, cast_to
from .celled import ReadCells, read_arrays
from .choice import choose_by_number
from .constructors import refuse_foreign_numbers
from .conversion import array_from
from .effects import depth_of_type, effects_of_call
from .elementary import SCIPY
from .errors import MissingRuleError
from .failing import compiling
from .fresh import is_in
from .fusion import Fuse, FusePlain
from .increments import keep_rows
from .inference import InferTypes
from .influence import drop_derivatives
from .known import APPLIED_TRANSFORMS, CUSTOM_RULES, STATIC_TRANSFORMS
from .labels import label_operations
from .linking import Linked
from .memory import Forgetful, current, is_living, remembered
from .numbertype import NumberType, highest_number
from .pending import record_pending
from .plainly import see_plainly
from .positional import positional
from .scalars import scalars_of
from .showing import constant_of
from .snapshots import as_compiled
from .squares import smooth_squares
from .stencil import is_stencil, stencil_twin
from .users import is_user_function, name_functions, static_value, undefined
from .views import refuse_lost_writes, view_activator
from .wild import watch_products

__all__ = ["ActivatingCompiler", "is_user_function", "twin"]


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
            see_plainly(func_ir)
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
        func_ir._definitions = build_definitions(func_ir.blocks)
        if state.cells is not None:
            read_arrays(func_ir, state.cells)
        return True

    def _replace_callees(self, func_ir: Any, *, active: bool) -> None:
        for block in func_ir.blocks.values():
            body = []
            for statement in block.body:
                if not isinstance(statement, ir.Assign):
                    body.append(statement)
                    continue
                if getattr(statement.value, "op", None) == "call":
                    body += self._rewrite_call(func_ir, statement, active=active)
                body.append(statement)
                found = constant_of(func_ir, statement.target)
                if found is ir.UNDEFINED:
                    raise undefined(statement)
                if found is not None:
                    now = self._now(found)
                    replacement = active_form(now, statement.loc, labels=self.labels)
                    if replacement is None and now is not found:
                        replacement = now
                    if replacement is not None:
                        name = getattr(found, "__name__", "function")
                        statement.value = ir.Global(name, replacement, statement.loc)
            block.body = body

    def _now(self, function: Any) -> Any:
        """Return what stands for a constant in code that Python calls."""
        return current(function) if self.is_living else function

    def _static(self, func_ir: Any, var: Any) -> Any:
        return self._now(static_value(func_ir, var))

    def _rewrite_call(self, func_ir: Any, statement: Any, *, active: bool) -> list[Any]:
        """Evaluate ``grad(g)``, whose arguments are constants; see through ``np.float64(x)``.

        Returns statements to put in front.
        """
        call = statement.value
        function = constant_of(func_ir, call.func)
        if function is np.float64:
            return _with_function(statement, "float", float)
        wanted = types.float32 if function is np.float32 else function
        if isinstance(wanted, types.Float) and len(call.args) == 1 and active:
            return _cast(statement, wanted)
        if function is np.array and active:
            return _with_function(statement, "array_from", array_from)
        if is_in(function, APPLIED_TRANSFORMS):
            applied = APPLIED_TRANSFORMS[function](self._static(func_ir, call.args[0]))
            call.args = call.args[1:]
            return _with_function(statement, applied.__name__, applied)
        if is_in(function, STATIC_TRANSFORMS):
            arguments = [self._static(func_ir, var) for var in call.args]
            options = {name: static_value(func_ir, var) for name, var in call.kws}
            transform = function(*arguments, **options)
            statement.value = ir.Global(function.__name__, transform, statement.loc)
            func_ir._definitions[statement.target.name] = [statement.value]
        return []

    def _activate_arrays(
        self, func_ir: Any, number: NumberType, scalars: set[str], arg_types: Any
    ) -> set[str]:
        """Let arrays hold numbers where these are stored; return names of what is written to."""
        depths = [depth_of_type(ty) for ty in arg_types]
        aliases = Aliases(func_ir, effects_of_call, depths, scalars)
        written = aliases.written()
        for block in func_ir.blocks.values():
            body = []
            for statement in block.body:
                for item in aliases.items(statement, written):
                    body += _item_converted(block.scope, statement, item, number)
                body.append(statement)
                if isinstance(statement, ir.Assign) and _may_hold_numbers(statement.value):
                    if aliases.is_untyped(statement.value):
                        continue
                    name = statement.target.name
                    made = aliases.is_constructor(statement.value)
                    if name in written or (made and aliases.escapes(name)):
                        activated, shown = activator(number), aliases.operands(statement.value)
                        if shown:  # it may be a view of these
                            keeps_type = aliases.keeps_type(statement.value)
                            activated = view_activator(number, keeps_type=keeps_type)
                        body += _converted(block.scope, statement, shown, activated)
            block.body = body
        return written


def _with_function(statement: Any, name: str, function: Any) -> list[Any]:
    """Let a call statement call another function."""
    loc = statement.loc
    var = ir.Var(statement.target.scope, mk_unique_var("$function"), loc)
    statement.value.func = var
    return [ir.Assign(ir.Global(name, function, loc), var, loc)]


def _cast(statement: Any, wanted: Any) -> list[Any]:
    """Let a call convert its argument to a Numba type."""
    loc = statement.loc
    var = ir.Var(statement.target.scope, mk_unique_var("$wanted"), loc)
    statement.value.args = [*statement.value.args, var]
    given = ir.Assign(ir.Global(str(wanted), wanted, loc), var, loc)
    return [given, *_with_function(statement, "cast_to", cast_to)]


def _converted(scope: Any, statement: Any, shown: list[Any], activated: Any) -> list[Any]:
    """Let a statement make what is converted to its target by those that are returned."""
    target, loc = statement.target, statement.loc
    statement.target = ir.Var(scope, mk_unique_var("$plain"), loc)
    function = ir.Var(scope, mk_unique_var("$activated"), loc)
    body: list[Any] = []
    given = [statement.target]
    if shown:
        given.append(ir.Var(scope, mk_unique_var("$shown"), loc))
        body.append(ir.Assign(ir.Expr.build_tuple(shown, loc), given[1], loc))
    return [
        *body,
        ir.Assign(ir.Global("activated", activated, loc), function, loc),
        ir.Assign(ir.Expr.call(function, given, (), loc), target, loc),
    ]


def _item_converted(scope: Any, statement: Any, item: Any, number: NumberType) -> list[Any]:
    """Let a statement put a converted item into a list or dict; return what goes in front."""
    loc, activated = statement.loc, item_activator(number)
    made = ir.Var(scope, mk_unique_var("$item"), loc)
    function = ir.Var(scope, mk_unique_var("$activated"), loc)
    if isinstance(statement, ir.SetItem | ir.StaticSetItem):
        statement.value = made
    elif statement.value.op == "build_map":
        expr = statement.value
        expr.items = [(k, made if value is item else value) for k, value in expr.items]
    else:
        statement.value.args = (*statement.value.args[:-1], made)
    return [
        ir.Assign(ir.Global("activated_item", activated, loc), function, loc),
        ir.Assign(ir.Expr.call(function, [item], (), loc), made, loc),
    ]


def _count_as_plain(func_ir: Any) -> None:
    """Let the bytes of arrays be counted as in the plain function."""
    for block in func_ir.blocks.values():
        body: list[Any] = []
        for statement in block.body:
            made: Any = getattr(statement, "value", None)
            is_field = isinstance(made, ir.Expr) and made.op == "getattr"
            if is_field and made.attr in ATTRIBUTES and constant_of(func_ir, made.value) is None:
                statement.value = ir.Expr.call(made.value, [made.value], (), made.loc)
                body += _with_function(statement, made.attr, ATTRIBUTES[made.attr])
            body.append(statement)
        block.body = body


def _may_hold_numbers(value: Any) -> bool:
    if not isinstance(value, ir.Expr):
        return False
    return value.op in ("call", "binop", "build_list", "build_tuple", "unary")


def active_form(value: Any, loc: Any = None, *, labels: bool = False) -> Any:
    """Return what stands for a constant of the user's function in its twin, or None."""
    try:
        rule = CUSTOM_RULES.get(value)
    except TypeError:  # unhashable: an array, a list
        return None
    if rule is not None:
        return rule
    if is_user_function(value):
        return twin(value, labels=labels)
    if is_stencil(value):
        return stencil_twin(value, functools.partial(twin, labels=labels))
    if isinstance(value, np.ufunc) and "scipy.special" in sys.modules:
        return _special_rule(value, loc)
    return None


def _special_rule(ufunc: Any, loc: Any) -> Rule | None:
    special = sys.modules["scipy.special"]
    name = ufunc.__name__
    if getattr(special, name, None) is not ufunc or getattr(np, name, None) is ufunc:
        return None
    for alias, rule in SCIPY.items():
        if getattr(special, alias, None) is ufunc:
            return rule
    where = f"line {loc.line} of {loc.filename}" if loc is not None else "the function"
    raise MissingRuleError(
        f"{where} calls scipy.special.{name}, which has no derivative rule; "
        f"give it one with dualtape.custom_rule."
    )


@register_pass(mutates_CFG=True, analysis_only=False)
class RewritesForNumbers(NopythonRewrites):
    """Numba's rewrites, with our own in place of the one that gathers array expressions."""

    _name = "dualtape_rewrites"

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        refuse_foreign_numbers(state)
        refuse_lost_writes(state)
        if not any(highest_number(ty) is not None for ty in state.typemap.values()):
            return bool(super().run_pass(state))
        watch_products(state)
        registry = RewriteRegistry()
        registry.rewrites["after-inference"] = [Fuse]
        for rewrite in rewrite_registry.rewrites["after-inference"]:
            ours = FusePlain if rewrite is RewriteArrayExprs else rewrite
            registry.rewrites["after-inference"].append(ours)
        processor = PostProcessor(state.func_ir)
        processor.run(True)
        registry.apply("after-inference", state)
        processor.remove_dels()
        return True


OURS = {NopythonTypeInference: InferTypes, NopythonRewrites: RewritesForNumbers}


class ActivatingCompiler(Linked, CompilerBase):
    """Numba's own pipeline with the pass `Activate`; twins are only called from compiled code."""

    activation: type = Activate
    casts: Any = None
    cells: Any = None

    def define_pipelines(self) -> list[Any]:
        """Return the pipeline."""
        self.state.casts, self.state.cells = self.casts, self.cells
        manager = DefaultPassBuilder.define_nopython_pipeline(self.state)
        if any(step is FixupArgs for step, _ in manager.passes):  # not in a block in object mode
            manager.add_pass_after(ReadCells, FixupArgs)
        manager.add_pass_after(self.activation, ReconstructSSA)
        manager.passes = [(OURS.get(step, step), told) for step, told in manager.passes]
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


class Twin(Forgetful):
    """The activated form of a user function."""

    is_derivative = True
    is_twin = True
    original: Any

    def forget(self) -> None:
        """Drop compiled code; what is compiled next is what the function is then."""
        super().forget()
        self.py_func = self._compiler.py_func = positional(as_compiled(self.original))

    def compile(self, sig: Any) -> Any:
        """Compile for argument types; what fails is noted for those who tell of it."""
        with compiling(self, sig):
            return super().compile(sig)


def twin(function: Any, *, labels: bool = False) -> Any:
    """Return the activated twin of a Python function or of an njit function.

    What a transform made is compiled for active arguments as it is. With `labels` it is the one for
    `record`.
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
            compiler.casts, compiler.cells = casts, cells
            return compiler

        made = Twin(py_func, targetoptions=options, pipeline_class=pipeline)
        made.original = function
        return made

    return remembered(function, ("twin", labels), make)


def twin_options(function: Any) -> dict[str, Any]:
    """Return the njit options of the user's decorator, but for those that change results."""
    options = dict(getattr(function, "targetoptions", {}))
    for name in ("fastmath", "parallel", "cache", "inline"):
        options.pop(name, None)
    options.update(nopython=True, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)
    return options
