"""Where expressions are recorded: an analysis of the user's IR for reverse mode.

Typing alone records an expression where it is stored.  This pass adds the places that types do not
show: what a loop carries (or its type would grow with every turn), arguments of calls and items of
lists (or they would be compiled for every width), and values used more than once (or their entries
would be repeated at every use), where they are wider than KEEP.

Numba internals used (seen in 0.66 to 0.68): phi nodes of ``ReconstructSSA``,
``analysis.compute_cfg_from_blocks``.
"""

from __future__ import annotations

import operator
from collections import Counter
from typing import Any

from numba.core import imputils, ir, types
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.dispatcher import Dispatcher
from numba.core.ir_utils import build_definitions, mk_unique_var
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from .elementary import ELEMENTWISE, type_global, value
from .fresh import is_in
from .increments import PLAIN_OPERATOR as INCREMENTS
from .influence import without_derivative
from .showing import constant_of

__all__ = ["KEEP", "record_pending"]

KEEP = 6
OF_PRIMAL = (value, without_derivative)
COMPARISONS = {
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
}  # fmt: skip


def recorded(x: Any) -> Any:
    """Return `x`, recorded if it is pending (compiled code only)."""
    raise NotImplementedError


def recorded_if_wide(x: Any) -> Any:
    """Return `x`, recorded if it is pending with more than KEEP slots (compiled code only)."""
    raise NotImplementedError


class _Recorded(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        (ty,) = args
        wide = getattr(ty, "slots", 0) > (KEEP if type(self).key is recorded_if_wide else 0)
        return signature(ty.settled if wide else ty, ty)

    def get_impl_key(self, sig: Any) -> Any:
        return type(self).key


def _lower_recorded(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    made = context.cast(builder, args[0], sig.args[0], sig.return_type)
    return imputils.impl_ret_borrowed(context, builder, sig.return_type, made)


for _function in (recorded, recorded_if_wide):
    type_global(_function, _Recorded)
    lower_builtin(_function, types.Any)(_lower_recorded)


def record_pending(func_ir: Any) -> None:
    """Insert the records; definitions must be up to date and are kept so."""
    _record_carried(func_ir)
    func_ir._definitions = build_definitions(func_ir.blocks)
    computed = _Computed(func_ir)
    reused = computed.reused()
    for block in func_ir.blocks.values():
        body: list[Any] = []
        for statement in block.body:
            body += _with_recorded_items(func_ir, computed, block.scope, statement)
            if isinstance(statement, ir.Assign) and statement.target.name in reused:
                target = statement.target
                statement.target = ir.Var(block.scope, mk_unique_var("$pending"), statement.loc)
                call = _call(block.scope, recorded_if_wide, statement.target, target)
                body += call
        block.body = body


def _call(scope: Any, function: Any, argument: Any, target: Any) -> list[Any]:
    loc = target.loc
    var = ir.Var(scope, mk_unique_var("$record"), loc)
    return [
        ir.Assign(ir.Global(function.__name__, function, loc), var, loc),
        ir.Assign(ir.Expr.call(var, [argument], (), loc), target, loc),
    ]


def _record_carried(func_ir: Any) -> None:
    """Record what comes round a loop at the end of the block that it comes from."""
    blocks = func_ir.blocks
    for loop in compute_cfg_from_blocks(blocks).loops().values():
        for statement in blocks[loop.header].body:
            expr: Any = getattr(statement, "value", None)
            if getattr(expr, "op", None) != "phi":
                continue
            for i, label in enumerate(expr.incoming_blocks):
                incoming = expr.incoming_values[i]
                if label in loop.body and isinstance(incoming, ir.Var):
                    block = blocks[label]
                    var = ir.Var(block.scope, mk_unique_var("$carried"), incoming.loc)
                    block.body[-1:-1] = _call(block.scope, recorded, incoming, var)
                    expr.incoming_values[i] = var


class _Computed:
    """Which names hold results of arithmetic, and how often these are used."""

    def __init__(self, func_ir: Any) -> None:
        self.func_ir = func_ir
        self.depth = self._depths()
        self.made_at: dict[str, int] = {}
        self.passed_on: set[str] = set()  # by a join of branches, by a function
        self.copies: dict[str, str] = {}
        for label, block in func_ir.blocks.items():
            for statement in block.body:
                if isinstance(statement, ir.Assign):
                    self._enter(label, statement)

    def _depths(self) -> dict[int, int]:
        loops = compute_cfg_from_blocks(self.func_ir.blocks).loops().values()
        return {label: sum(label in loop.body for loop in loops) for label in self.func_ir.blocks}

    def _enter(self, label: int, statement: Any) -> None:
        name, made = statement.target.name, statement.value
        if len(self.func_ir._definitions.get(name, ())) != 1:
            return
        if isinstance(made, ir.Var):
            self.copies[name] = made.name
        elif isinstance(made, ir.Expr) and self._is_arithmetic(made):
            self.made_at[name] = label
        elif isinstance(made, ir.Expr) and self._passes_on(made):
            self.passed_on.add(name)

    def _is_arithmetic(self, expr: Any) -> bool:
        if expr.op in ("binop", "inplace_binop"):
            return expr.fn not in COMPARISONS
        if expr.op == "call":
            function = constant_of(self.func_ir, expr.func)
            return getattr(function, "is_derivative", False) or _is_elementwise(function)
        return bool(expr.op == "unary")

    def _passes_on(self, expr: Any) -> bool:
        """Whether the result may be pending though nothing is computed here."""
        return expr.op == "phi" or (
            expr.op == "call" and isinstance(constant_of(self.func_ir, expr.func), Dispatcher)
        )

    def root(self, name: str) -> str:
        """Return the name that a name is a copy of."""
        seen = set()
        while name in self.copies and name not in seen:
            seen.add(name)
            name = self.copies[name]
        return name

    def is_computed(self, var: Any) -> bool:
        """Whether a variable may hold a pending expression."""
        if not isinstance(var, ir.Var):
            return False
        root = self.root(var.name)
        return root in self.made_at or root in self.passed_on

    def reused(self) -> set[str]:
        """Return the names of results that are used more than once, or in a loop further in."""
        uses: Counter[str] = Counter()
        for label, block in self.func_ir.blocks.items():
            for statement in block.body:
                for var in self._operands(statement):
                    root = self.root(var.name)
                    if root in self.made_at:
                        uses[root] += 1 + (self.depth[label] > self.depth[self.made_at[root]])
        return {name for name, count in uses.items() if count > 1}

    def _operands(self, statement: Any) -> list[Any]:
        made = getattr(statement, "value", None)
        if isinstance(statement, ir.Del) or isinstance(made, ir.Var):
            return []
        if isinstance(made, ir.Expr):
            if made.op in ("binop", "inplace_binop") and made.fn in COMPARISONS:
                return []
            if made.op == "call" and constant_of(self.func_ir, made.func) in OF_PRIMAL:
                return []
            if made.op == "phi":
                return [v for v in made.incoming_values if isinstance(v, ir.Var)]
            return list(made.list_vars())
        return list(statement.list_vars())


def _is_elementwise(function: Any) -> bool:
    return is_in(function, ELEMENTWISE) or is_in(function, INCREMENTS)


def _with_recorded_items(
    func_ir: Any, computed: _Computed, scope: Any, statement: Any
) -> list[Any]:
    """Return the statement with what it passes on recorded before it."""
    before: list[Any] = []

    def record(var: Any) -> Any:
        if not computed.is_computed(var):
            return var
        made = ir.Var(scope, mk_unique_var("$recorded"), statement.loc)
        before.extend(_call(scope, recorded, var, made))
        return made

    expr = getattr(statement, "value", None)
    if isinstance(statement, ir.SetItem | ir.StaticSetItem):
        statement.value = record(statement.value)  # of an array, or of a dict
    if not isinstance(expr, ir.Expr):
        return [*before, statement]
    called = constant_of(func_ir, expr.func) if expr.op == "call" else None
    if expr.op == "call" and not (_is_elementwise(called) or called is without_derivative):
        expr.args = [record(var) for var in expr.args]
        expr.kws = [(name, record(var)) for name, var in expr.kws]
    elif expr.op in ("build_list", "build_tuple"):
        expr.items = [record(var) for var in expr.items]
    elif expr.op == "build_map":
        expr.items = [(key, record(var)) for key, var in expr.items]
    return [*before, statement]
