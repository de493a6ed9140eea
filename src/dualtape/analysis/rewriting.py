"""Rewriting Numba's untyped IR: new variables, calls of constant functions, all statements.

Numba internals used (seen in 0.66 to 0.68): ``numba.core.ir``, ``ir_utils.mk_unique_var``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from numba.core import ir
from numba.core.ir_utils import mk_unique_var


def statements(func_ir: Any) -> Iterator[Any]:
    """Iterate over all statements of a function."""
    for block in func_ir.blocks.values():
        yield from block.body


def rewrite(func_ir: Any, change: Callable[[Any, Any], list[Any]]) -> None:
    """Replace every statement by those that ``change(scope, statement)`` returns."""
    for block in func_ir.blocks.values():
        block.body = [new for old in block.body for new in change(block.scope, old)]


def new_variable(scope: Any, loc: Any) -> Any:
    """Return a variable under a name that is not in use."""
    return ir.Var(scope, mk_unique_var("$dualtape"), loc)


def load(scope: Any, constant: Any, loc: Any) -> tuple[Any, Any]:
    """Return a new variable for a constant, and the statement that assigns it."""
    var = new_variable(scope, loc)
    name = getattr(constant, "__name__", "constant")
    return var, ir.Assign(ir.Global(name, constant, loc), var, loc)


def call(scope: Any, function: Any, args: Any, target: Any, loc: Any) -> list[Any]:
    """Return statements that call a constant function and assign the result to a variable."""
    var, assignment = load(scope, function, loc)
    return [assignment, ir.Assign(ir.Expr.call(var, list(args), (), loc), target, loc)]


def call_on_result(scope: Any, statement: Any, function: Any, *more: Any) -> list[Any]:
    """Let a statement assign to a new variable; return statements that call a function on it.

    The result of the function is assigned to the old target; `more` are further arguments.
    """
    target, loc = statement.target, statement.loc
    statement.target = new_variable(scope, loc)
    return call(scope, function, [statement.target, *more], target, loc)
