"""Conversions of planes to arrays of numbers where a call does not know planes.

Types are inferred as if planes were arrays of numbers in such calls (`PlanesContext`).  Afterwards
`convert_planes` inserts the conversions: one copy, made where the planes are, for all such uses.

Nobody writes to planes (`analysis.writes` sees to it), so a copy is as good as the original.  If a
write is found here, the analysis was wrong, and the function is refused: the write would be lost.

Numba internals used (seen in 0.66 to 0.68): ``resolve_function_type``, ``resolve_getattr`` and
``resolve_setitem`` of a typing context, as ``typeinfer`` calls them; ``typemap`` and ``calltypes``
of the compiler's state.
"""

from __future__ import annotations

import itertools
import operator
from typing import Any

import numpy as np
from numba import typed
from numba.core import ir, types
from numba.core.errors import new_error_context
from numba.core.typeinfer import BuildTupleConstraint
from numba.np.unsafe.ndarray import empty_inferred

from ..analysis.fresh import is_in
from ..analysis.rewriting import call, call_on_result, load, new_variable, rewrite, statements
from ..analysis.sharing import constant_of
from ..arrays.plane_views import knows_attribute
from ..errors import UnsupportedFunctionError
from ..numbers.plane_arrays import MAKERS, SHAPE_ONLY, knows_planes, numbers_of, shape_of
from ..numbers.types import NumberType, PlanesType, has_planes, may_be_planes, without_planes

_OF_TUPLES = {operator.getitem, operator.add, len, "getiter"}
"""What Numba does with tuples, whatever their items are."""


def _takes_planes(function: Any, args: Any, kws: Any) -> bool:
    """Whether planes are ordinary arguments of a call: of a twin, of a tuple's own, or of ours."""
    if isinstance(function, types.Dispatcher | types.RecursiveCall):
        dispatcher = getattr(function, "dispatcher_type", function).dispatcher
        return hasattr(dispatcher, "original")
    if isinstance(function, types.BoundFunction):
        return isinstance(function.this, PlanesType)
    if isinstance(function, types.NamedTupleClass):
        return True
    key = _function(function)
    if args and isinstance(args[0], types.BaseTuple) and is_in(key, _OF_TUPLES):
        return True
    return knows_planes(key, args, kws)


def _function(ty: Any) -> Any:
    """Return the function that a type stands for, as `knows_planes` has it."""
    return getattr(ty, "typing_key", ty)


class PlanesContext:
    """A typing context in which what does not know planes is typed for arrays of numbers.

    If it `makes` planes of a kind of numbers, they are the results of operations on arrays of any
    kind.
    """

    def __init__(self, context: Any, *, makes: NumberType | None) -> None:
        self._context = context
        self._makes = makes

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def resolve_function_type(self, func: Any, args: Any, kws: Any) -> Any:
        """Return the signature of a call."""
        if any(map(has_planes, (*args, *kws.values()))) and not _takes_planes(func, args, kws):
            args = tuple(map(without_planes, args))
            kws = {name: without_planes(ty) for name, ty in kws.items()}
        sig = self._context.resolve_function_type(func, args, kws)
        key = _function(func)
        if self._makes is None or sig is None or not _is_of(sig.return_type, self._makes):
            return sig
        if not is_in(key, MAKERS) or not knows_planes(key, args, kws):
            return sig
        made = sig.return_type
        return sig.replace(return_type=PlanesType(made.dtype, made.ndim, "C"))

    def unify_pairs(self, first: Any, second: Any) -> Any:
        """Return the type of a variable of two types; one that may be None has no planes."""
        return _without_optional_planes(self._context.unify_pairs(first, second))

    def unify_types(self, *found: Any) -> Any:
        """Return the type of a variable that is of several types."""
        return _without_optional_planes(self._context.unify_types(*found))

    def resolve_getattr(self, typ: Any, attr: str) -> Any:
        """Return the type of an attribute."""
        if isinstance(typ, PlanesType) and not knows_attribute(typ, attr):
            typ = typ.numbers
        return self._context.resolve_getattr(typ, attr)

    def resolve_setitem(self, target: Any, index: Any, value: Any) -> Any:
        """Return the signature of a store."""
        target, value = without_planes(target), without_planes(value)
        return self._context.resolve_setitem(target, index, value)

    def resolve_static_setitem(self, target: Any, index: Any, value: Any) -> Any:
        """Return the signature of a store at a constant index."""
        target, value = without_planes(target), without_planes(value)
        return self._context.resolve_static_setitem(target, index, value)


def _without_optional_planes(ty: Any) -> Any:
    is_wide = isinstance(ty, types.Optional) and has_planes(ty.type)
    return types.Optional(without_planes(ty.type)) if is_wide else ty


def _is_of(ty: Any, number: NumberType) -> bool:
    """Whether a type is that of arrays of numbers of a kind."""
    return isinstance(ty, types.Array) and getattr(ty.dtype, "settled", None) == number.settled


def _may_be_planes(ty: Any) -> bool:
    """Whether arrays of a type may be planes in another place."""
    is_of_numbers = isinstance(ty, types.Array) and isinstance(ty.dtype, NumberType)
    return is_of_numbers and may_be_planes(ty.dtype)


class TupleConstraint(BuildTupleConstraint):
    """A tuple of planes and arrays of numbers is one of arrays of numbers, which are uniform."""

    def __call__(self, typeinfer: Any) -> None:
        """Add the type of the tuple."""
        with new_error_context("typing of tuple at {loc}", loc=self.loc):
            variables = [typeinfer.typevars[item.name] for item in self.items]
            for items in itertools.product(*(variable.get() for variable in variables)):
                agree = without_planes if any(map(_may_be_planes, items)) else lambda ty: ty
                ty = types.BaseTuple.from_types([agree(item) for item in items])
                typeinfer.add_type(self.target, ty, loc=self.loc)


def let_tuples_agree(inferer: Any) -> None:
    """Let an inference build tuples by `TupleConstraint`."""
    constraints = inferer.constraints.constraints
    for i, constraint in enumerate(constraints):
        if type(constraint) is BuildTupleConstraint:
            constraints[i] = TupleConstraint(constraint.target, constraint.items, constraint.loc)


class _Conversions:
    """The conversions of one function."""

    def __init__(self, state: Any) -> None:
        self.state, self.typemap, self.calltypes = state, state.typemap, state.calltypes
        self.converted: dict[tuple[str, Any], Any] = {}
        self.before: dict[int, Any] = {}

    def type_of(self, var: Any) -> Any:
        return self.typemap[var.name]

    def use(self, var: Any, function: Any = numbers_of) -> Any:
        """Return the variable to use instead of one that may be planes."""
        ty = self.typemap.get(var.name) if isinstance(var, ir.Var) else None
        if ty is None or not has_planes(ty):
            return var
        key = var.name, function
        if key not in self.converted:
            self.converted[key] = new_variable(var.scope, var.loc)
        return self.converted[key]

    def enter(self, statement: Any) -> None:
        """Let a statement use converted variables."""
        if isinstance(statement, ir.SetItem | ir.StaticSetItem):
            self.refuse_write(statement.target, statement)
            statement.value = self.use(statement.value)
        elif isinstance(statement, ir.SetAttr):
            statement.value = self.use(statement.value)
        elif isinstance(statement, ir.Return):
            if not has_planes(self.state.return_type):
                statement.value = self.use(statement.value)
        elif isinstance(statement, ir.Assign):
            self.enter_assignment(statement)

    def enter_assignment(self, statement: Any) -> None:
        """Convert what is assigned, or the operands of its expression."""
        value = statement.value
        is_wide = has_planes(self.type_of(statement.target))
        if isinstance(value, ir.Var):
            statement.value = value if is_wide else self.use(value)
        if not isinstance(value, ir.Expr):
            return
        if value.op == "cast":
            value.value = value.value if is_wide else self.use(value.value)
        elif value.op == "build_tuple":
            wanted = self.type_of(statement.target)
            pairs = zip(value.items, wanted, strict=True)
            value.items = [item if has_planes(ty) else self.use(item) for item, ty in pairs]
        elif value.op == "phi":
            if not is_wide:
                value.incoming_values[:] = [self.use(v) for v in value.incoming_values]
        elif value.op == "getattr":
            ty = self.type_of(value.value)
            if isinstance(ty, PlanesType) and not knows_attribute(ty, value.attr):
                value.value = self.use(value.value)
        elif value.op in ("binop", "inplace_binop", "unary", "getitem", "static_getitem", "call"):
            self.enter_operation(value)
            self.make_planes(statement)

    def enter_operation(self, expr: Any) -> None:
        """Convert the operands of an operation that does not know planes."""
        if expr.op == "call":
            function = self.type_of(expr.func)
            args, kws = list(expr.args), dict(expr.kws)
        else:
            is_item = expr.op in ("getitem", "static_getitem")
            function, kws = operator.getitem if is_item else expr.fn, {}
            args = _operands(expr)
        arg_types = [self.type_of(var) for var in args]
        kw_types = {name: self.type_of(var) for name, var in kws.items()}
        if not any(map(has_planes, (*arg_types, *kw_types.values()))):
            return
        if _takes_planes(function, arg_types, kw_types):
            return
        if expr.op == "inplace_binop":
            self.refuse_write(expr.lhs, expr)
        is_shape = is_in(_function(function), SHAPE_ONLY) and isinstance(arg_types[0], PlanesType)
        convert = shape_of if is_shape else numbers_of
        uses = {var.name: self.use(var, convert) for var in (*args, *kws.values())}
        if expr.op == "call":
            expr.args = tuple(uses[var.name] for var in expr.args)
            expr.kws = tuple((name, uses[var.name]) for name, var in expr.kws)
            if expr.vararg is not None:
                expr.vararg = self.use(expr.vararg)
            return
        for name in ("lhs", "rhs", "value"):
            var = expr._kws.get(name)
            if var is not None and var.name in uses:
                expr._kws[name] = uses[var.name]

    def make_planes(self, statement: Any) -> None:
        """Let an operation whose result are planes be a call of the function that makes them."""
        expr, ty = statement.value, self.type_of(statement.target)
        function = _function(self.type_of(expr.func)) if expr.op == "call" else expr._kws.get("fn")
        if not isinstance(ty, PlanesType) or not is_in(function, MAKERS):
            return
        if MAKERS[function] is not None:
            args = list(expr.args) if expr.op == "call" else _operands(expr)
            var, assignment = self.loaded(MAKERS[function], args[0])
            self.before[id(statement)] = [assignment]
            statement.value = ir.Expr.call(var, args, (), expr.loc)
            arg_types = tuple(map(self.type_of, args))
            self.calltypes[statement.value] = self.signature(var, arg_types)

    def loaded(self, function: Any, near: Any) -> tuple[Any, Any]:
        """Return a variable for a function, and the statement that loads it."""
        var, assignment = load(near.scope, function, near.loc)
        self.typemap[var.name] = self.state.typingctx.resolve_value_type(function)
        return var, assignment

    def signature(self, var: Any, arg_types: Any) -> Any:
        """Return the signature of a call of a function that was loaded."""
        return self.type_of(var).get_call_type(self.state.typingctx, arg_types, {})

    def refuse_write(self, var: Any, statement: Any) -> None:
        """Raise where planes are written to."""
        if isinstance(self.typemap.get(var.name), PlanesType):
            raise UnsupportedFunctionError(
                f"line {statement.loc.line} of {statement.loc.filename}: this writes to an array "
                "that was taken for one that nobody writes to; write to a copy of it (.copy())."
            )

    def lines_after(self, statement: Any) -> list[Any]:
        """Return the statements that convert the target of an assignment."""
        lines: list[Any] = []
        for (name, function), converted in self.converted.items():
            if name == statement.target.name:
                lines += self._line(statement.target, function, converted)
        return lines

    def _line(self, var: Any, function: Any, converted: Any) -> list[Any]:
        ty = self.type_of(var)
        function_var, assignment = self.loaded(function, var)
        expr = ir.Expr.call(function_var, [var], (), var.loc)
        if converted.name not in self.typemap:
            self.typemap[converted.name] = without_planes(ty)
        self.calltypes[expr] = self.signature(function_var, (ty,))
        return [assignment, ir.Assign(expr, converted, var.loc)]


def limit_planes(
    func_ir: Any, exposed: set[str], stored: set[str], scalars: set[str], arg_types: Any
) -> None:
    """Let what may be written to, and what is put into containers, be arrays of numbers.

    A tuple may contain planes.

    Parameters
    ----------
    func_ir : numba FunctionIR
        Not yet typed.
    exposed : set of str
        The roots of arrays that may be written to; see `analysis.writes`.
    stored : set of str
        The roots of those that are written to.
    scalars : set of str
        Names of numbers.
    arg_types : sequence of types
    """

    def limited(scope: Any, statement: Any) -> list[Any]:
        value = getattr(statement, "value", None)
        if not isinstance(statement, ir.Assign):
            return [statement]
        if isinstance(value, ir.Arg):
            if statement.target.name not in exposed or not has_planes(arg_types[value.index]):
                return [statement]
            if statement.target.name in stored:
                raise AssertionError(f"planes were passed for {value.name}, which is written to")
            return [statement, *call_on_result(scope, statement, numbers_of)]
        if isinstance(value, ir.Yield) or getattr(value, "op", None) in _CONTAINERS:
            return [*_numbers_in(scope, value, scalars), statement]
        is_made = getattr(value, "op", None) in _MAKERS and statement.target.name in exposed
        if is_made and not _is_allocated(func_ir, value):
            return [statement, *call_on_result(scope, statement, numbers_of)]
        return [statement]

    rewrite(func_ir, limited)


_CONTAINERS = {"build_list", "build_set", "build_map"}
_MAKERS = {"call", "binop", "unary"}


def _is_allocated(func_ir: Any, expr: Any) -> bool:
    """Whether an expression makes an array or a container whose elements are set afterwards.

    Its type may not be known yet: it follows from the elements.
    """
    return expr.op == "call" and is_in(constant_of(func_ir, expr.func), _ALLOCATORS)


_ALLOCATORS: set[Any] = {np.zeros, np.ones, np.empty, np.zeros_like, np.ones_like, np.empty_like}
_ALLOCATORS |= {empty_inferred, dict, list, set, typed.Dict, typed.List}


def _numbers_in(scope: Any, value: Any, scalars: set[str]) -> list[Any]:
    """Let a container or a yield have arrays of numbers; return the statements that make them."""
    lines: list[Any] = []

    def converted(var: Any) -> Any:
        if var.name in scalars:
            return var
        target = new_variable(scope, var.loc)
        lines.extend(call(scope, numbers_of, [var], target, var.loc))
        return target

    if isinstance(value, ir.Yield):
        value.value = converted(value.value)
    elif value.op == "build_map":
        value.items = [(key, converted(item)) for key, item in value.items]
    else:
        value.items = [converted(item) for item in value.items]
    return lines


def _operands(expr: Any) -> list[Any]:
    if expr.op == "getitem":
        return [expr.value, expr.index]
    if expr.op == "static_getitem":
        return [expr.value, expr.index_var] if expr.index_var is not None else [expr.value]
    return list(expr.list_vars())


def convert_planes(state: Any) -> None:
    """Insert conversions of planes; types have been inferred."""
    if not any(map(has_planes, state.typemap.values())):
        return
    conversions = _Conversions(state)
    for statement in statements(state.func_ir):
        conversions.enter(statement)
    for block in state.func_ir.blocks.values():
        block.body = _with_conversions(block.body, conversions)


def _with_conversions(body: list[Any], conversions: _Conversions) -> list[Any]:
    """Return the statements of a block with conversions behind assignments, after phi nodes."""
    lines: list[Any] = []
    waiting: list[Any] = []
    for statement in body:
        is_phi = getattr(getattr(statement, "value", None), "op", None) == "phi"
        if not is_phi:
            lines += waiting
            waiting = []
        lines += [*conversions.before.get(id(statement), ()), statement]
        if isinstance(statement, ir.Assign):
            more = conversions.lines_after(statement)
            if is_phi:
                waiting += more
            else:
                lines += more
    return lines
