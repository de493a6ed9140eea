"""Elements of structured arrays: ``p[i]["a"]``, ``for row in p``, ``len(p)``, ``p.shape``.

A structured array that is differentiated is the named tuple of its fields' arrays.  What would mean
another thing for a tuple is written in terms of the fields, for the variables that are such arrays;
any other use is refused, since a tuple would go through it in silence.
"""

from __future__ import annotations

from typing import Any

from numba.core import ir, types
from numba.core.ir_utils import build_definitions

from ..analysis.rewriting import call, new_variable, rewrite, statements
from ..analysis.sharing import constant_of
from ..backend.jit import by_type
from ..errors import UnsupportedFunctionError
from ..functions.records import TABLES
from .constants import is_user_function

_OF_ONE_FIELD = ("shape", "size", "ndim", "__len__")


def read_tables(func_ir: Any, arg_types: Any) -> None:
    """Rewrite what a function does with structured arrays, before Numba counts a tuple's items."""
    tables = _tables(func_ir, arg_types)
    if not tables:
        return
    loops: dict[str, tuple[Any, Any]] = {}  # iterators over the elements: the table of each
    pairs: dict[str, tuple[Any, Any]] = {}

    def rewritten(scope: Any, statement: Any) -> list[Any]:
        expr: Any = getattr(statement, "value", None)
        op = getattr(expr, "op", None)
        if isinstance(expr, ir.Var) and expr.name in loops:
            loops[statement.target.name] = loops[expr.name]
        if op == "iternext" and expr.value.name in loops:
            pairs[statement.target.name] = loops[expr.value.name]
        if op == "pair_first" and expr.value.name in pairs:
            table, kind = pairs[expr.value.name]
            target, statement.target = statement.target, new_variable(scope, statement.loc)
            return [statement, *_row(scope, table, kind, statement.target, target)]
        used = [v for v in statement.list_vars() if v.name in tables]
        if not used or isinstance(statement, ir.Del):
            return [statement]
        kind = tables[used[0].name]
        if isinstance(statement, ir.Assign) and statement.target.name in tables:
            return [statement]
        if op == "getattr" and expr.attr in _OF_ONE_FIELD:
            field, line = _field(scope, expr.value, kind._fields[0], statement.loc)
            expr.value = field
            return [line, statement]
        if op == "getattr" or (op == "getitem" and _is_text(func_ir, expr.index)):
            return [statement]
        if op == "getitem":
            return _row(scope, expr.value, kind, expr.index, statement.target)
        if op == "getiter":
            return _counted(scope, statement, kind, loops)
        if op == "call":
            function = constant_of(func_ir, expr.func)
            if function is len:
                field, line = _field(scope, expr.args[0], kind._fields[0], statement.loc)
                expr.args = [field]
                return [line, statement]
            if is_user_function(function):
                return [statement]
        raise UnsupportedFunctionError(
            f"line {statement.loc.line} of {statement.loc.filename} uses a structured array as a "
            "whole; a differentiated function can use its fields (p['a']), its elements (p[i], "
            "for row in p), its shape, and pass it to functions of yours."
        )

    rewrite(func_ir, rewritten)


def _tables(func_ir: Any, arg_types: Any) -> dict[str, Any]:
    """Return the variables that are structured arrays, with their classes."""
    tables: dict[str, Any] = {}
    for statement in statements(func_ir):
        value = getattr(statement, "value", None)
        if isinstance(value, ir.Arg):
            kind = getattr(arg_types[value.index], "instance_class", None)
            if kind in TABLES:
                tables[statement.target.name] = kind
        elif (
            isinstance(value, ir.Var) and value.name in tables and isinstance(statement, ir.Assign)
        ):
            tables[statement.target.name] = tables[value.name]
    definitions = build_definitions(func_ir.blocks) if tables else {}
    for name in tables:
        if len(definitions[name]) > 1:
            raise UnsupportedFunctionError(
                f"line {func_ir.loc.line} of {func_ir.loc.filename}: the name {name!r} of a "
                "structured array is assigned again; give the other value another name."
            )
    return tables


def _is_text(func_ir: Any, var: Any) -> bool:
    [definition, *others] = func_ir._definitions[var.name]
    is_constant = not others and isinstance(definition, ir.Const)
    return is_constant and isinstance(definition.value, str)


def _field(scope: Any, table: Any, name: str, loc: Any) -> tuple[Any, Any]:
    field = new_variable(scope, loc)
    return field, ir.Assign(ir.Expr.getattr(table, name, loc), field, loc)


def _row(scope: Any, table: Any, kind: Any, index: Any, target: Any) -> list[Any]:
    """Return statements that assign the element of a table at an index."""
    loc, items, position = target.loc, [], new_variable(scope, target.loc)
    lines = call(scope, _position, [index], position, loc)
    for name in kind._fields:
        field, line = _field(scope, table, name, loc)
        item = new_variable(scope, loc)
        lines += [line, ir.Assign(ir.Expr.getitem(field, position, loc), item, loc)]
        items.append(item)
    return [*lines, *call(scope, TABLES[kind], items, target, loc)]


def _counted(scope: Any, statement: Any, kind: Any, loops: Any) -> list[Any]:
    """Let a loop over the elements run over their positions."""
    table, loc = statement.value.value, statement.loc
    field, line = _field(scope, table, kind._fields[0], loc)
    count, positions = new_variable(scope, loc), new_variable(scope, loc)
    statement.value = ir.Expr.getiter(positions, loc)
    loops[statement.target.name] = table, kind
    lines = [line, *call(scope, len, [field], count, loc)]
    return [*lines, *call(scope, range, [count], positions, loc), statement]


@by_type
def _position(index: Any) -> Any:
    """Return an index, which must be that of one element."""
    if not isinstance(index, types.Integer):
        raise UnsupportedFunctionError(
            "a part of a structured array (p[1:3], p[mask]) is taken; take it of its fields "
            "(p['a'][1:3])."
        )
    return lambda index: index
