"""Fusion: elementwise operations on arrays of numbers become one loop for each expression.

After type inference an operation whose result is an array of numbers, and is used once, is made
part of the operation that uses it.  So is the argument of np.sum and np.mean.  It moves to where it
is used, which is done only where nothing between the two can change an operand.

Expressions of plain arrays are gathered by Numba's own rewrite, as in the user's function.

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

from .arrays import NODES
from .elementloop import emit_expression
from .elementwise import Expression, Node, Operands
from .influence import without_derivative
from .numbertype import NumberType, highest_number, present, root
from .pending import recorded, recorded_if_wide

__all__ = ["Fuse", "FusePlain"]

OP = "dualtape_elementwise"
REDUCTIONS = {np.sum: "sum", np.mean: "mean"}
HARMLESS_EXPRESSIONS = {
    "binop", "unary", "getattr", "getitem", "static_getitem", "build_tuple", "cast", "phi", "null",
    OP,
}  # fmt: skip
HARMLESS_CALLS = {
    slice, len, float, recorded, recorded_if_wide, without_derivative, np.sum, np.mean,
}  # fmt: skip


class _Found(NamedTuple):
    """An operation that can be part of a loop."""

    position: int
    function: Any
    arguments: tuple[Any, ...]
    signature: Any


class Fuse(Rewrite):
    """Gathers the expressions of one block of the function."""

    def __init__(self, state: Any) -> None:
        super().__init__(state)
        self.targets = state.targetctx.special_ops
        self.targets.setdefault(OP, lower)
        self.uses: Counter[str] = Counter()
        self.assignments: Counter[str] = Counter()
        for block in state.func_ir.blocks.values():
            for statement in block.body:
                if isinstance(statement, ir.Assign):
                    self.assignments[statement.target.name] += 1
                if not isinstance(statement, ir.Del):
                    self.uses.update(var.name for var in _operands(statement))

    def match(self, func_ir: Any, block: Any, typemap: Any, calltypes: Any) -> bool:
        """Find the operations of a block."""
        self.block, self.typemap, self.calltypes = block, typemap, calltypes
        self.found: dict[str, _Found] = {}
        self.copies: dict[str, tuple[int, Any]] = {}
        self.views: dict[tuple[str, str, int], str] = {}
        self.same: dict[str, str] = {}
        self.harmful: list[int] = []
        for position, statement in enumerate(block.body):
            if isinstance(statement, ir.Assign):
                self._enter(position, statement)
            elif not isinstance(statement, ir.Del):
                self.harmful.append(position)
        self.sums = {p: r for p, r in self._reductions().items() if r is not None}
        return bool(self.found) or bool(self.sums)

    def _enter(self, position: int, statement: Any) -> None:
        made, name = statement.value, statement.target.name
        if self.assignments[name] > 1:  # what loops and branches carry: a new value
            self.harmful.append(position)
            return
        if isinstance(made, ir.Var):
            self.copies[name] = position, made
            return
        if not isinstance(made, ir.Expr):
            if isinstance(made, ir.Yield):  # what takes it may change an array
                self.harmful.append(position)
            return
        function = self._function(made)
        if function in (recorded, recorded_if_wide):
            if isinstance(self.typemap[name], types.Array):
                self.copies[name] = position, made.args[0]
            return
        found = self._operation(position, function, made, name)
        if found is not None:
            self.found[name] = found
        elif made.op == "static_getitem" and isinstance(self.typemap[name], types.Array):
            # x[:-1] written twice is one operand, unless something is done in between
            key = made.value.name, repr(made.index), len(self.harmful)
            self.same[name] = self.views.setdefault(key, name)
        elif not self._is_harmless(made, function):
            self.harmful.append(position)

    def _is_harmless(self, made: Any, function: Any) -> bool:
        """Whether an expression changes no array."""
        if made.op == "call":
            if function in NODES:  # unless it is told where to write
                return len(made.args) + len(made.kws) <= _inputs(function, made)
            return function in HARMLESS_CALLS or self._is_method(made)
        if made.op == "inplace_binop":
            return not isinstance(self.typemap[made.lhs.name], types.Array)
        return made.op in HARMLESS_EXPRESSIONS

    def _is_method(self, made: Any) -> bool:
        method = self.typemap.get(made.func.name)
        return isinstance(method, types.BoundFunction) and method.typing_key[1] in ("sum", "mean")

    def _function(self, made: Any) -> Any:
        """Return what an expression calls, if that can be looked up."""
        if made.op in ("binop", "unary"):
            return made.fn
        if made.op != "call" or made.vararg is not None:
            return None
        called = self.typemap.get(made.func.name)
        key = getattr(called, "typing_key", None) if isinstance(called, types.Function) else None
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def _operation(self, position: int, function: Any, made: Any, name: str) -> _Found | None:
        ty, signature = self.typemap.get(name), self.calltypes.get(made)
        if function not in NODES or signature is None or not _holds(ty):
            return None
        if made.op == "call" and (made.kws or len(made.args) != len(signature.args)):
            return None
        arguments = tuple(made.args) if made.op == "call" else tuple(made.list_vars())
        if len(arguments) > _inputs(function, made):
            return None  # an explicit output
        return _Found(position, function, arguments, signature)

    def _reductions(self) -> dict[int, Any]:
        """Return sums and means of arrays of numbers by position: (name, array, type, axis)."""
        methods: dict[str, tuple[str, Any]] = {}
        sums = {}
        for position, statement in enumerate(self.block.body):
            made = getattr(statement, "value", None)
            if not isinstance(statement, ir.Assign) or not isinstance(made, ir.Expr):
                continue
            if made.op == "getattr" and made.attr in ("sum", "mean"):
                methods[statement.target.name] = made.attr, made.value
            elif made.op == "call" and made.vararg is None:
                sums[position] = self._reduction(made, methods)
        return sums

    def _reduction(self, made: Any, methods: dict[str, tuple[str, Any]]) -> Any:
        rest = [*made.args, *(var for _, var in made.kws)]
        if self._is_method(made) and made.func.name in methods:
            name, array = methods[made.func.name]
        else:
            name = REDUCTIONS.get(self._function(made), "")
            if not name or not made.args:
                return None
            array, *rest = rest
        ty = self.typemap[array.name]
        if not _holds(ty) or len(rest) > 1:
            return None
        axis = None
        if rest:
            given = self.typemap[rest[0].name]
            axis = getattr(given, "literal_value", None)
            if name != "sum" or axis is None or not -ty.ndim <= axis < ty.ndim or ty.ndim == 1:
                return None
            axis %= ty.ndim
        return name, array, self.calltypes[made].return_type, axis

    def apply(self) -> Any:
        """Return the block with its expressions in place of their operations."""
        self.inner: set[str] = set()
        roots: dict[int, Any] = {}
        for position, (name, array, ty, axis) in self.sums.items():
            roots[position] = self._gathered(position, array), ty, name, axis
        for name, found in reversed(self.found.items()):
            if name not in self.inner:
                ty = self.typemap[name]
                roots[found.position] = self._gather(found.position, name), ty, "", None
        result = self.block.copy()
        result.clear()
        for position, statement in enumerate(self.block.body):
            if isinstance(statement, ir.Assign) and statement.target.name in self.inner:
                continue
            if position in roots:
                statement = self._replaced(statement, *roots[position])  # noqa: PLW2901
            if not isinstance(statement, ir.Del):  # Numba puts them anew
                result.append(statement)
        return result

    def _replaced(self, statement: Any, tree: Any, ty: Any, reduction: str, axis: Any) -> Any:
        leaves: list[tuple[Any, Any]] = []
        made = self._numbered(tree, leaves)
        name = reduction or "an expression"
        expression = Expression(made, name, ty, reduction, axis)
        operands, wanted = zip(*leaves, strict=True)
        value = ir.Expr(
            OP, statement.loc, expression=expression, operands=list(operands), wanted=wanted
        )
        return ir.Assign(value, statement.target, statement.loc)

    def _gathered(self, position: int, var: Any) -> Any:
        """Return the tree that a variable stands for at a position: itself, or its operation."""
        names = []
        while self.uses[var.name] == 1 and var.name in self.copies:
            copied_at, source = self.copies[var.name]
            if not self._can_move(copied_at, position):
                break
            names.append(var.name)
            var = source
        found = self.found.get(var.name)
        if (
            found is None
            or self.uses[var.name] != 1
            or not self._can_move(found.position, position)
        ):
            return var
        self.inner.update((var.name, *names))
        return self._gather(position, var.name)

    def _can_move(self, begin: int, end: int) -> bool:
        return begin < end and not any(begin < at < end for at in self.harmful)

    def _gather(self, position: int, name: str) -> Any:
        """Return the tree of an operation, evaluated at a position."""
        found, dtype = self.found[name], self.typemap[name].dtype
        children = []
        for var, wanted in zip(found.arguments, found.signature.args, strict=True):
            # What is computed in another precision stays an operation of its own.
            same = _holds(wanted) and root(present(self.typemap[var.name]).dtype) == root(dtype)
            child = self._gathered(position, var) if same else var
            children.append(child if not isinstance(child, ir.Var) else (child, wanted))
        return NODES[found.function](dtype, tuple(children))

    def _numbered(self, tree: Any, leaves: list[tuple[Any, Any]]) -> Any:
        """Return the tree with positions for its operands, which are listed."""
        if isinstance(tree, Node):
            return tree._replace(children=tuple(self._numbered(c, leaves) for c in tree.children))
        leaf = (tree, self.typemap[tree.name]) if isinstance(tree, ir.Var) else tree
        for i, known in enumerate(leaves):
            if self._name(known[0]) == self._name(leaf[0]) and known[1] == leaf[1]:
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


def _inputs(function: Any, made: Any) -> int:
    """Return how many arguments a function has beside an explicit output."""
    return int(getattr(function, "nin", len(made.list_vars())))


def _holds(ty: Any) -> bool:
    return isinstance(ty, types.Array) and isinstance(ty.dtype, NumberType)


def lower(lowerer: Any, expr: Any) -> Any:
    """Emit a gathered expression."""
    context, builder = lowerer.context, lowerer.builder
    values = [
        context.cast(builder, lowerer.loadvar(var.name), lowerer.typeof(var.name), wanted)
        for var, wanted in zip(expr.operands, expr.wanted, strict=True)
    ]
    return emit_expression(Operands(context, builder, expr.wanted, values), expr.expression)


class FusePlain(RewriteArrayExprs):
    """Numba's rewrite, for expressions without active numbers: its kernels refuse those."""

    def _match_array_expr(self, instr: Any, expr: Any, target_name: str) -> None:
        operands = [self.typemap[var.name] for var in expr.list_vars()]
        if not any(highest_number(ty) for ty in (self.typemap[target_name], *operands)):
            super()._match_array_expr(instr, expr, target_name)
