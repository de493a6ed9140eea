"""Values that influence no result are computed without derivatives.

Generated functions are full of unused statements; a sum that is only compared needs no derivative
either.  The value of such a statement is still computed, since this may raise, but from the primals
of its operands: nothing is recorded, no partials are emitted, and LLVM removes code that cannot
raise.

The analysis goes backward over the untyped IR, as liveness does.  A variable has influence if

* it is used by a statement that this analysis does not cover (a return, a store, a call of a
  function that is not elementwise, an item of a list, ...), or
* it is an operand of an arithmetic result, a copy or a phi node that has influence.

Comparisons and functions of the primal (``value``, ``bool``, ``np.isnan``) pass no influence on:
they have no derivative.  ``a += b`` changes an array in place, so it counts as arithmetic only
if a is known to be a number.

Measured: a function of 140 statements of which 7 have influence, reverse mode: 11.2 s of processor
time to the first gradient without this pass and 2.5 s with it; its own njit takes 1.6 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import ir
from numba.core.ir_utils import replace_vars_inner

from ..arrays.kinks import norm_without_derivative, smooth
from ..arrays.primal import primal_of
from ..numbers.registration import PRIMAL_ONLY
from .fresh import is_in
from .rewriting import call, load, new_variable, statements
from .scalars import elementwise_function
from .sharing import constant_of

REDUCTIONS = {np.linalg.norm: norm_without_derivative, np.std: None}
"""Functions that have no influence if their square is formed from the operands (see `squares`).

A norm is often one of three elements; computed directly, its primal needs no array of primals.
"""


def drop_derivatives(func_ir: Any, scalars: set[str]) -> None:
    """Apply arithmetic without influence to primals; definitions must be up to date.

    Parameters
    ----------
    func_ir : numba FunctionIR
    scalars : set of str
        Names of numbers and plain scalars; see `scalars_of`.
    """
    influence = _Influence(func_ir, scalars)
    for block in func_ir.blocks.values():
        body: list[Any] = []
        primals: dict[str, Any] = {}  # of operands, computed once in a block
        for statement in block.body:
            is_missing = influence.is_missing(statement)
            other = influence.of_primals(statement, block.scope) if is_missing else []
            body += other
            if is_missing and not other:
                for var in statement.value.list_vars():
                    if not influence.is_plain(var.name) and var.name not in primals:
                        primals[var.name] = primal = new_variable(block.scope, var.loc)
                        body += call(block.scope, primal_of, [var], primal, var.loc)
                replace_vars_inner(statement.value, primals)
            body.append(statement)
        block.body = body


class _Influence:
    """Which variables of a function have influence on a result or a side effect."""

    def __init__(self, func_ir: Any, scalars: set[str]) -> None:
        self.func_ir = func_ir
        self.scalars = scalars
        sources: dict[str, list[str]] = {}
        used: list[str] = []
        for statement in statements(func_ir):
            if isinstance(statement, ir.Del):
                continue
            operands = self._passed_on(statement)
            if operands is not None:
                names = sources.setdefault(statement.target.name, [])
                names += [var.name for var in operands]
            elif isinstance(statement, ir.Assign):
                used += [var.name for var in _operands(statement.value)]
            else:
                used += [var.name for var in statement.list_vars()]
        self.influential: set[str] = set()
        while used:
            name = used.pop()
            if name not in self.influential:
                self.influential.add(name)
                used += sources.get(name, ())

    def is_missing(self, statement: Any) -> bool:
        """Whether a statement is arithmetic whose result has no influence."""
        return (
            isinstance(statement, ir.Assign)
            and isinstance(statement.value, ir.Expr)
            and statement.value.op != "phi"
            and statement.target.name not in self.influential
            and bool(self._passed_on(statement))
        )

    def of_primals(self, statement: Any, scope: Any) -> list[Any]:
        """Let a statement call a function for the primals of arrays instead, if there is one."""
        expr, loc = statement.value, statement.loc
        other = REDUCTIONS.get(self._reduction(expr))
        if other is None:
            return []
        expr.func, assignment = load(scope, other, loc)
        return [assignment]

    def _reduction(self, expr: Any) -> Any:
        """Return the function in `REDUCTIONS` that an expression calls, or None."""
        if expr.op != "call" or len(expr.args) != 1 or expr.kws or expr.vararg is not None:
            return None
        function = constant_of(self.func_ir, expr.func)
        return function if is_in(function, REDUCTIONS) else None

    def is_plain(self, name: str) -> bool:
        """Whether a variable is certainly not an active number."""
        definitions = self.func_ir._definitions.get(name, ())
        while len(definitions) == 1 and isinstance(definitions[0], ir.Var):
            name = definitions[0].name
            definitions = self.func_ir._definitions.get(name, ())
        if len(definitions) != 1:
            return False
        (node,) = definitions
        is_arithmetic = getattr(node, "op", "phi") != "phi" and bool(self._operands_of(node))
        constant = isinstance(node, ir.Const | ir.Global | ir.FreeVar)
        return constant or (is_arithmetic and name not in self.influential)

    def _passed_on(self, statement: Any) -> list[Any] | None:
        """Return the variables that have influence if the target does; None if they always do."""
        return self._operands_of(statement.value) if isinstance(statement, ir.Assign) else None

    def _operands_of(self, value: Any) -> list[Any] | None:
        if isinstance(value, ir.Var):
            return [value]
        if not isinstance(value, ir.Expr):
            return None
        if value.op == "phi":
            return [var for var in value.incoming_values if isinstance(var, ir.Var)]
        if self._reduction(value) is not None:
            return list(value.args)
        function = elementwise_function(self.func_ir, value)
        if function in PRIMAL_ONLY:
            return []
        if function is smooth:
            return [value.args[1]]
        if function is None or (value.op == "inplace_binop" and value.lhs.name not in self.scalars):
            return None
        return list(value.args) if value.op == "call" else list(value.list_vars())


def _operands(value: Any) -> list[Any]:
    return value.list_vars() if isinstance(value, ir.Inst) else []
