"""Typed lists and dicts whose item type is declared: ``typed.Dict.empty(int64, float64)``.

The plain function puts floats into them, its twin active numbers: where items are put into such a
container, its type is declared with active numbers in place of floats.
"""

from __future__ import annotations

from typing import Any

from numba import typed
from numba.core import ir

from ..analysis.rewriting import call, new_variable
from ..analysis.sharing import constant_of
from ..numbers.types import NumberType
from .conversion import type_activator

_DECLARING = {
    (typed.List, "empty_list"): (0, "item_type"),
    (typed.Dict, "empty"): (1, "value_type"),
}
"""Methods that make containers, with position and name of the type of the items."""


def declare_active_items(func_ir: Any, scope: Any, statement: Any, number: NumberType) -> list[Any]:
    """Let a statement that makes such a container declare active items; return what precedes."""
    expr = statement.value
    if not isinstance(expr, ir.Expr) or expr.op != "call":
        return []
    method: Any = func_ir._definitions.get(expr.func.name, [None])[0]
    if not isinstance(method, ir.Expr) or method.op != "getattr":
        return []
    owner = constant_of(func_ir, method.value)
    made = _DECLARING.get((owner, method.attr)) if isinstance(owner, type) else None
    if made is None:
        return []
    position, name = made
    declared = new_variable(scope, statement.loc)
    if position < len(expr.args):
        before = expr.args[position]
        expr.args = [*expr.args[:position], declared, *expr.args[position + 1 :]]
    else:
        options = dict(expr.kws)
        before = options.pop(name)
        expr.kws = (*options.items(), (name, declared))
    return call(scope, type_activator(number), [before], declared, statement.loc)
