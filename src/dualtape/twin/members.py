"""Attributes of users' objects in compiled code: constants, calls of properties, or refused.

An object itself never gets into compiled code: its methods are functions of their own (see
`functions.objects`), and its attributes are values like those of globals.
"""

from __future__ import annotations

import copy
from typing import Any

from numba.core import ir
from numba.core.ir_utils import build_definitions

from ..analysis.rewriting import load, rewrite, statements
from ..analysis.sharing import constant_of
from ..errors import UnsupportedFunctionError
from ..functions.objects import Members, is_object, is_property, members_of, plain_function


class Member(ir.Global):
    """The value of an attribute, and where it is looked up."""

    def __init__(self, name: str, value: Any, loc: Any, holder: Members) -> None:
        super().__init__(name, value, loc)
        self.holder = holder

    def __deepcopy__(self, memo: Any) -> Member:  # Numba's own would forget the holder
        return Member(self.name, self.value, copy.deepcopy(self.loc), self.holder)


def name_members(func_ir: Any) -> None:
    """Turn attributes of objects into constants, and refuse all else that is done with these."""
    func_ir._definitions = build_definitions(func_ir.blocks)
    kept: set[str] = set()  # of classes that mean something to Numba, of exceptions for example

    def named(scope: Any, statement: Any) -> list[Any]:
        expr: Any = getattr(statement, "value", None)
        op, before = getattr(expr, "op", None), []
        if isinstance(statement, ir.Assign) and op == "getattr":
            owner = constant_of(func_ir, expr.value)
            if owner is not None and is_object(owner):
                return _member(scope, statement, owner)
        if op == "call":
            function = constant_of(func_ir, expr.func)
            if is_object(function) and plain_function(function) is not function:
                expr.func, assignment = load(scope, plain_function(function), statement.loc)
                before = [assignment]
        for var in () if isinstance(statement, ir.Del) else statement.list_vars():
            owner = constant_of(func_ir, var)
            if owner is None or not is_object(owner) or _names(statement, var):
                continue
            if not isinstance(owner, type):
                raise _refusal(statement, owner)
            kept.add(var.name)
        return [*before, statement]

    rewrite(func_ir, named)
    for statement in statements(func_ir):
        constant: Any = getattr(statement, "value", None)
        is_constant = isinstance(constant, ir.Global | ir.FreeVar)
        if is_constant and is_object(constant.value) and statement.target.name not in kept:
            statement.value = ir.Const(None, statement.loc)
    func_ir._definitions = build_definitions(func_ir.blocks)


def _member(scope: Any, statement: Any, owner: Any) -> list[Any]:
    """Let a statement assign the value of an attribute; return it with what comes before."""
    name, loc = statement.value.attr, statement.loc
    members = members_of(owner)
    absent = object()
    value = members.get(name, absent)
    if value is absent:
        error = UnsupportedFunctionError(
            f"line {loc.line} of {loc.filename} reads the attribute {name!r}, which the object of "
            f"class {_class_name(owner)} does not have."
        )
        error.__cause__ = AttributeError(name)
        raise error
    if is_property(owner, name):
        function, assignment = load(scope, value, loc)
        statement.value = ir.Expr.call(function, [], (), loc)
        return [assignment, statement]
    statement.value = Member(name, value, loc, members)
    return [statement]


def _names(statement: Any, var: Any) -> bool:
    """Whether a statement does nothing but give a variable, or give it to another name."""
    is_copy = isinstance(getattr(statement, "value", None), ir.Var)
    return isinstance(statement, ir.Assign) and (is_copy or statement.target.name == var.name)


def _refusal(statement: Any, owner: Any) -> UnsupportedFunctionError:
    what = "uses an object of"
    if isinstance(statement, ir.SetAttr):
        what = f"assigns the attribute {statement.attr!r} of an object of"
    return UnsupportedFunctionError(
        f"line {statement.loc.line} of {statement.loc.filename} {what} class {_class_name(owner)}; "
        "a differentiated function can read the attributes of an object and call its methods. "
        "Pass attributes to functions rather than the object, and return what is to be kept."
    )


def _class_name(owner: Any) -> str:
    return owner.__name__ if isinstance(owner, type) else type(owner).__name__
