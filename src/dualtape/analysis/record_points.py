"""Where expressions are recorded: an analysis of the user's IR for reverse mode.

Typing alone records an expression where it is stored.  This pass adds the points that types do not
show: values carried by a loop (or their types would grow with every iteration), arguments of calls
and items of lists (or they would be compiled for every width), and values used more than once (or
their entries would be repeated at every use), if they are wider than KEEP.

Numba internals used (seen in 0.66 to 0.68): phi nodes of ``ReconstructSSA``,
``analysis.compute_cfg_from_blocks``.
"""

from __future__ import annotations

import operator
from collections import Counter
from typing import Any

from numba.core import imputils, ir
from numba.core.analysis import compute_cfg_from_blocks
from numba.core.dispatcher import Dispatcher
from numba.core.ir_utils import build_definitions
from numba.extending import intrinsic

from ..arrays.primal import primal_of
from ..numbers.plane_arrays import know_planes
from ..numbers.registration import ELEMENTWISE, value
from .fresh import is_in
from .increments import PLAIN_OPERATOR as INCREMENTS
from .rewriting import call, call_on_result, new_variable, rewrite
from .sharing import constant_of

KEEP = 6
OF_PRIMAL = (value, primal_of)
COMPARISONS = {
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
}  # fmt: skip


@intrinsic
def recorded(typingctx: Any, x: Any) -> Any:
    """Return `x`, recorded if it is pending."""
    return getattr(x, "settled", x)(x), _record


@intrinsic
def recorded_if_wide(typingctx: Any, x: Any) -> Any:
    """Return `x`, recorded if it is pending with more than KEEP slots."""
    return (x.settled if getattr(x, "slots", 0) > KEEP else x)(x), _record


for _function in (recorded, recorded_if_wide):
    know_planes(_function)


def _record(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    result = context.cast(builder, args[0], sig.args[0], sig.return_type)
    return imputils.impl_ret_borrowed(context, builder, sig.return_type, result)


def record_pending(func_ir: Any) -> None:
    """Insert calls that record pending expressions; definitions must be, and stay, up to date."""
    _record_carried(func_ir)
    func_ir._definitions = build_definitions(func_ir.blocks)
    computed = _Computed(func_ir)
    reused = computed.reused()

    def with_records(scope: Any, statement: Any) -> list[Any]:
        lines = _with_recorded_items(func_ir, computed, scope, statement)
        if isinstance(statement, ir.Assign) and statement.target.name in reused:
            lines += call_on_result(scope, statement, recorded_if_wide)
        return lines

    rewrite(func_ir, with_records)


def _record_carried(func_ir: Any) -> None:
    """Record values carried by a loop, at the end of the block that they come from."""
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
                    var = new_variable(block.scope, incoming.loc)
                    block.body[-1:-1] = call(block.scope, recorded, [incoming], var, incoming.loc)
                    expr.incoming_values[i] = var


class _Computed:
    """Which names are results of arithmetic, and how often these are used."""

    def __init__(self, func_ir: Any) -> None:
        self.func_ir = func_ir
        self.depth = self._depths()
        self.block_of: dict[str, int] = {}
        self.passing: set[str] = set()  # results of phi nodes and calls
        self.copies: dict[str, str] = {}
        for label, block in func_ir.blocks.items():
            for statement in block.body:
                if isinstance(statement, ir.Assign):
                    self._enter(label, statement)

    def _depths(self) -> dict[int, int]:
        loops = compute_cfg_from_blocks(self.func_ir.blocks).loops().values()
        return {label: sum(label in loop.body for loop in loops) for label in self.func_ir.blocks}

    def _enter(self, label: int, statement: Any) -> None:
        name, value = statement.target.name, statement.value
        if len(self.func_ir._definitions.get(name, ())) != 1:
            return
        if isinstance(value, ir.Var):
            self.copies[name] = value.name
        elif isinstance(value, ir.Expr) and self._is_arithmetic(value):
            self.block_of[name] = label
        elif isinstance(value, ir.Expr) and self._passes_on(value):
            self.passing.add(name)

    def _is_arithmetic(self, expr: Any) -> bool:
        if expr.op in ("binop", "inplace_binop"):
            return expr.fn not in COMPARISONS
        if expr.op == "call":
            function = constant_of(self.func_ir, expr.func)
            return getattr(function, "is_derivative", False) or is_elementwise(function)
        return bool(expr.op == "unary")

    def _passes_on(self, expr: Any) -> bool:
        """Whether the result may be pending although nothing is computed here."""
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
        """Whether a variable may be a pending expression."""
        if not isinstance(var, ir.Var):
            return False
        root = self.root(var.name)
        return root in self.block_of or root in self.passing

    def reused(self) -> set[str]:
        """Return the names of results that are used more than once, or in an inner loop."""
        uses: Counter[str] = Counter()
        for label, block in self.func_ir.blocks.items():
            for statement in block.body:
                for var in self._operands(statement):
                    root = self.root(var.name)
                    if root in self.block_of:
                        uses[root] += 1 + (self.depth[label] > self.depth[self.block_of[root]])
        return {name for name, count in uses.items() if count > 1}

    def _operands(self, statement: Any) -> list[Any]:
        value = getattr(statement, "value", None)
        if isinstance(statement, ir.Del) or isinstance(value, ir.Var):
            return []
        if isinstance(value, ir.Expr):
            if value.op in ("binop", "inplace_binop") and value.fn in COMPARISONS:
                return []
            if value.op == "call" and is_in(constant_of(self.func_ir, value.func), OF_PRIMAL):
                return []
            if value.op == "phi":
                return [v for v in value.incoming_values if isinstance(v, ir.Var)]
            return list(value.list_vars())
        return list(statement.list_vars())


def is_elementwise(function: Any) -> bool:
    """Whether a function is arithmetic, whose result may be pending."""
    return is_in(function, ELEMENTWISE) or is_in(function, INCREMENTS)


def _with_recorded_items(
    func_ir: Any, computed: _Computed, scope: Any, statement: Any
) -> list[Any]:
    """Return the statement, preceded by statements that record the values it passes on."""
    before: list[Any] = []

    def record(var: Any) -> Any:
        if not computed.is_computed(var):
            return var
        result = new_variable(scope, statement.loc)
        before.extend(call(scope, recorded, [var], result, statement.loc))
        return result

    expr = getattr(statement, "value", None)
    if isinstance(statement, ir.SetItem | ir.StaticSetItem):
        statement.value = record(statement.value)  # of an array, or of a dict
    if not isinstance(expr, ir.Expr):
        return [*before, statement]
    function = constant_of(func_ir, expr.func) if expr.op == "call" else None
    if expr.op == "call" and not (is_elementwise(function) or function is primal_of):
        expr.args = [record(var) for var in expr.args]
        expr.kws = [(name, record(var)) for name, var in expr.kws]
    elif expr.op in ("build_list", "build_tuple", "build_set"):
        expr.items = [record(var) for var in expr.items]
    elif expr.op == "build_map":
        expr.items = [(key, record(var)) for key, var in expr.items]
    return [*before, statement]
