"""Fusion: elementwise operations on arrays of numbers become one loop for each expression.

After type inference an operation whose result is an array of numbers, and is used by one other
operation, becomes part of that.  So does the argument of np.sum and np.mean.  This moves it to
where it is used, so it is done only if nothing between the two can change an operand.

Expressions of plain arrays are fused by Numba's own rewrite, as in the user's function.

Numba internals used (seen in 0.66 to 0.68): the rewrite registry, ``calltypes`` and ``typemap``
of the compiler's state, ``special_ops`` of the target context, which lowers expressions whose
``op`` is not Numba's.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numba.core import ir, types
from numba.core.rewrites.registry import Rewrite
from numba.np.ufunc.array_exprs import RewriteArrayExprs

from ..analysis.record_points import recorded, recorded_if_wide
from ..analysis.rewriting import statements
from ..arrays.expression import Expression, Node, Operands
from ..arrays.loop import emit_expression
from ..arrays.primal import primal_of
from ..arrays.registration import NODES, inputs_of
from ..numbers.plane_arrays import numbers_of, shape_of
from ..numbers.types import NumberType, PlanesType, highest_number, is_array, present, root

OP = "dualtape_elementwise"
REDUCTIONS = {np.sum: "sum", np.mean: "mean"}
HARMLESS_EXPRESSIONS = {
    "binop", "unary", "getattr", "getitem", "static_getitem", "build_tuple", "cast", "phi", "null",
    OP,
}  # fmt: skip
HARMLESS_CALLS = {
    slice, len, float, recorded, recorded_if_wide, primal_of, np.sum, np.mean, numbers_of, shape_of,
}  # fmt: skip


class _Operation(NamedTuple):
    """An operation that can be part of a loop."""

    position: int
    function: Any
    arguments: tuple[Any, ...]
    signature: Any
    is_fixed: bool  # whether all arrays among its operands are planes, which nobody writes to


class Fuse(Rewrite):
    """Fuses the expressions in one block of the function."""

    def __init__(self, state: Any) -> None:
        super().__init__(state)
        self.targets = state.targetctx.special_ops
        self.targets.setdefault(OP, lower)
        self.uses: Counter[str] = Counter()
        self.assignments: Counter[str] = Counter()
        for statement in statements(state.func_ir):
            if isinstance(statement, ir.Assign):
                self.assignments[statement.target.name] += 1
            if not isinstance(statement, ir.Del):
                self.uses.update(var.name for var in _operands(statement))

    def match(self, func_ir: Any, block: Any, typemap: Any, calltypes: Any) -> bool:
        """Find the operations of a block."""
        self.block, self.typemap, self.calltypes = block, typemap, calltypes
        self.operations: dict[str, _Operation] = {}
        self.carried: dict[int, _Operation] = {}
        self.copies: dict[str, tuple[int, Any]] = {}
        self.views: dict[tuple[str, str, int], str] = {}
        self.same: dict[str, str] = {}
        self.conversions: dict[int, Any] = {}
        self.harmful: list[int] = []
        for position, statement in enumerate(block.body):
            if isinstance(statement, ir.Assign):
                self._enter(position, statement)
            elif not isinstance(statement, ir.Del):
                self.harmful.append(position)
        self.sums = {p: r for p, r in self._reductions().items() if r is not None}
        return bool(self.operations) or bool(self.sums) or bool(self.carried)

    def _enter(self, position: int, statement: Any) -> None:
        value, name = statement.value, statement.target.name
        if self.assignments[name] > 1:  # carried by loops or branches: the value changes
            self.harmful.append(position)
            if isinstance(value, ir.Expr):
                operation = self._operation(position, self._function(value), value, name)
                self.carried |= {} if operation is None else {position: operation}
            return
        if isinstance(value, ir.Var):
            self.copies[name] = position, value
            return
        if not isinstance(value, ir.Expr):
            if isinstance(value, ir.Yield):  # the consumer may change an array
                self.harmful.append(position)
            return
        function = self._function(value)
        if function in (recorded, recorded_if_wide):
            if is_array(self.typemap[name]):
                self.copies[name] = position, value.args[0]
            return
        if function is numbers_of and isinstance(self.typemap[value.args[0].name], PlanesType):
            self.conversions[position] = value.args[0], self.typemap[name]
            return
        operation = self._operation(position, function, value, name)
        if operation is not None:
            self.operations[name] = operation
        elif value.op == "static_getitem" and is_array(self.typemap[name]):
            # x[:-1] written twice is one operand, unless something harmful happens in between
            is_fixed = isinstance(self.typemap[name], PlanesType)
            key = value.value.name, repr(value.index), 0 if is_fixed else len(self.harmful)
            self.same[name] = self.views.setdefault(key, name)
        elif not self._is_harmless(value, function):
            self.harmful.append(position)

    def _is_harmless(self, expr: Any, function: Any) -> bool:
        """Whether an expression changes no array."""
        if expr.op == "call":
            if function in NODES:  # unless it has an explicit output
                return len(expr.args) + len(expr.kws) <= _inputs(function, expr)
            return function in HARMLESS_CALLS or self._is_method(expr)
        if expr.op == "inplace_binop":
            return not is_array(self.typemap[expr.lhs.name])
        return expr.op in HARMLESS_EXPRESSIONS

    def _is_method(self, expr: Any) -> bool:
        method = self.typemap.get(expr.func.name)
        return isinstance(method, types.BoundFunction) and method.typing_key[1] in ("sum", "mean")

    def _function(self, expr: Any) -> Any:
        """Return the function that an expression calls, if it is known."""
        if expr.op in ("binop", "unary"):
            return expr.fn
        if expr.op != "call" or expr.vararg is not None:
            return None
        ty = self.typemap.get(expr.func.name)
        key = getattr(ty, "typing_key", None) if isinstance(ty, types.Function) else None
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def _operation(self, position: int, function: Any, expr: Any, name: str) -> _Operation | None:
        ty, signature = self.typemap.get(name), self.calltypes.get(expr)
        if function not in NODES or signature is None or not _holds(ty):
            return None
        if expr.op == "call" and (expr.kws or len(expr.args) != len(signature.args)):
            return None
        arguments = tuple(expr.args) if expr.op == "call" else tuple(expr.list_vars())
        if len(arguments) > _inputs(function, expr):
            return None  # an explicit output
        is_fixed = all(isinstance(t, PlanesType) for t in signature.args if is_array(t))
        return _Operation(position, function, arguments, signature, is_fixed)

    def _reductions(self) -> dict[int, Any]:
        """Return sums and means of arrays of numbers by position: (name, array, type, axis)."""
        methods: dict[str, tuple[str, Any]] = {}
        sums = {}
        for position, statement in enumerate(self.block.body):
            expr = getattr(statement, "value", None)
            if not isinstance(statement, ir.Assign) or not isinstance(expr, ir.Expr):
                continue
            if expr.op == "getattr" and expr.attr in ("sum", "mean"):
                methods[statement.target.name] = expr.attr, expr.value
            elif expr.op == "call" and expr.vararg is None:
                sums[position] = self._reduction(expr, methods)
        return sums

    def _reduction(self, expr: Any, methods: dict[str, tuple[str, Any]]) -> Any:
        rest = [*expr.args, *(var for _, var in expr.kws)]
        if self._is_method(expr) and expr.func.name in methods:
            name, array = methods[expr.func.name]
        else:
            name = REDUCTIONS.get(self._function(expr), "")
            if not name or not expr.args:
                return None
            array, *rest = rest
        ty = self.typemap[array.name]
        if not _holds(ty) or len(rest) > 1:
            return None
        axis = None
        if rest:
            axis_type = self.typemap[rest[0].name]
            axis = getattr(axis_type, "literal_value", None)
            if name != "sum" or axis is None or not -ty.ndim <= axis < ty.ndim or ty.ndim == 1:
                return None
            axis %= ty.ndim
        return name, array, self.calltypes[expr].return_type, axis

    def apply(self) -> Any:
        """Return the block with expressions in place of their operations."""
        self.inner: set[str] = set()
        roots: dict[int, Any] = {}
        for position, (name, array, ty, axis) in self.sums.items():
            roots[position] = self._tree_of(position, array), ty, name, axis
        for position, (array, ty) in self.conversions.items():
            tree = self._tree_of(position, array)
            if isinstance(tree, Node):
                roots[position] = tree, ty, "", None
        for position, operation in self.carried.items():
            ty = self.typemap[self.block.body[position].target.name]
            roots[position] = self._tree_from(operation, position, ty.dtype), ty, "", None
        for name, operation in reversed(self.operations.items()):
            if name not in self.inner:
                ty = self.typemap[name]
                tree = self._operation_tree(operation.position, name)
                roots[operation.position] = tree, ty, "", None
        result = self.block.copy()
        result.clear()
        for position, statement in enumerate(self.block.body):
            if isinstance(statement, ir.Assign) and statement.target.name in self.inner:
                continue
            if position in roots:
                statement = self._replaced(statement, *roots[position])  # noqa: PLW2901
            if not isinstance(statement, ir.Del):  # Numba inserts them again
                result.append(statement)
        return result

    def _replaced(self, statement: Any, tree: Any, ty: Any, reduction: str, axis: Any) -> Any:
        leaves: list[tuple[Any, Any]] = []
        numbered = self._placed(tree, leaves)
        name = reduction or "an expression"
        expression = Expression(numbered, name, ty, reduction, axis)
        operands, casts = zip(*leaves, strict=True)
        value = ir.Expr(
            OP, statement.loc, expression=expression, operands=list(operands), casts=casts
        )
        return ir.Assign(value, statement.target, statement.loc)

    def _tree_of(self, position: int, var: Any, uses: int = 1) -> Any:
        """Return the tree of a variable at a position: the variable itself, or its operation.

        It is its operation if nothing else uses it; it is used there so many times.
        """
        names = []
        while self.uses[var.name] == uses and var.name in self.copies:
            copied_at, source = self.copies[var.name]
            if not self._can_move(copied_at, position):
                break
            names.append(var.name)
            var, uses = source, 1
        operation = self.operations.get(var.name)
        if (
            operation is None
            or self.uses[var.name] != uses
            or not (operation.is_fixed or self._can_move(operation.position, position))
        ):
            return var
        self.inner.update((var.name, *names))
        return self._operation_tree(position, var.name)

    def _can_move(self, begin: int, end: int) -> bool:
        return begin < end and not any(begin < position < end for position in self.harmful)

    def _operation_tree(self, position: int, name: str) -> Any:
        """Return the tree of an operation, evaluated at a position."""
        return self._tree_from(self.operations[name], position, self.typemap[name].dtype)

    def _tree_from(self, operation: _Operation, position: int, dtype: Any) -> Any:
        children = []
        uses = Counter(var.name for var in operation.arguments)
        for var, ty in zip(operation.arguments, operation.signature.args, strict=True):
            # An operation in another precision remains separate.
            same = _holds(ty) and root(present(self.typemap[var.name]).dtype) == root(dtype)
            child = self._tree_of(position, var, uses[var.name]) if same else var
            children.append(child if not isinstance(child, ir.Var) else (child, ty))
        return NODES[operation.function](dtype, tuple(children))

    def _placed(self, tree: Any, leaves: list[tuple[Any, Any]]) -> Any:
        """Return the tree with positions in `leaves` in place of its operands."""
        if isinstance(tree, Node):
            return tree._replace(children=tuple(self._placed(c, leaves) for c in tree.children))
        leaf = (tree, self.typemap[tree.name]) if isinstance(tree, ir.Var) else tree
        for i, other in enumerate(leaves):
            if self._name(other[0]) == self._name(leaf[0]) and other[1] == leaf[1]:
                return i
        leaves.append(leaf)
        return len(leaves) - 1

    def _name(self, var: Any) -> str:
        return self.same.get(var.name, var.name)


def _operands(statement: Any) -> list[Any]:
    value = getattr(statement, "value", None)
    if isinstance(statement, ir.Assign):
        if isinstance(value, ir.Var):
            return [value]
        return list(value.list_vars()) if isinstance(value, ir.Expr) else []
    return list(statement.list_vars())


def _inputs(function: Any, expr: Any) -> int:
    """Return the number of arguments of a function without an explicit output."""
    return inputs_of(function, len(expr.args) if expr.op == "call" else len(expr.list_vars()))


def _holds(ty: Any) -> bool:
    return is_array(ty) and isinstance(ty.dtype, NumberType)


def lower(lowerer: Any, expr: Any) -> Any:
    """Emit a fused expression."""
    context, builder = lowerer.context, lowerer.builder
    values = [
        context.cast(builder, lowerer.loadvar(var.name), lowerer.typeof(var.name), target)
        for var, target in zip(expr.operands, expr.casts, strict=True)
    ]
    return emit_expression(Operands(context, builder, expr.casts, values), expr.expression)


class FusePlain(RewriteArrayExprs):
    """Numba's rewrite, for expressions without active numbers: its kernels refuse those."""

    def _match_array_expr(self, instr: Any, expr: Any, target_name: str) -> None:
        operands = [self.typemap[var.name] for var in expr.list_vars()]
        if not any(highest_number(ty) for ty in (self.typemap[target_name], *operands)):
            super()._match_array_expr(instr, expr, target_name)
