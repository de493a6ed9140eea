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

    def __deepcopy__(self, memo: Any) -> Member:
        return Member(self.name, self.value, copy.deepcopy(self.loc), self.holder)


def name_members(func_ir: Any) -> None:
    """Turn attributes of objects into constants, and refuse all else that is done with these."""
    func_ir._definitions = build_definitions(func_ir.blocks)

    def named(scope: Any, statement: Any) -> list[Any]:
        expr: Any = getattr(statement, "value", None)
        if isinstance(statement, ir.Assign) and getattr(expr, "op", None) == "getattr":
            owner = constant_of(func_ir, expr.value)
            if owner is not None and is_object(owner):
                return _member(scope, statement, owner)
        before: list[Any] = []
        if getattr(expr, "op", None) == "call":
            function = constant_of(func_ir, expr.func)
            if is_object(function) and plain_function(function) is not function:
                expr.func, assignment = load(scope, plain_function(function), statement.loc)
                before = [assignment]
        for var in () if isinstance(statement, ir.Del) else statement.list_vars():
            owner = constant_of(func_ir, var)
            if owner is not None and is_object(owner):
                _check_use(statement, var, owner)
        return [*before, statement]

    rewrite(func_ir, named)
    for statement in statements(func_ir):
        constant = getattr(statement, "value", None)
        if isinstance(constant, ir.Global | ir.FreeVar) and is_object(constant.value):
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


def _check_use(statement: Any, var: Any, owner: Any) -> None:
    """Raise unless an object is only named."""
    if isinstance(statement, ir.Assign) and (
        statement.target.name == var.name or isinstance(statement.value, ir.Var)
    ):
        return
    what = "uses an object of"
    if isinstance(statement, ir.SetAttr):
        what = f"assigns the attribute {statement.attr!r} of an object of"
    raise UnsupportedFunctionError(
        f"line {statement.loc.line} of {statement.loc.filename} {what} class {_class_name(owner)}; "
        "a differentiated function can read the attributes of an object and call its methods. "
        "Pass attributes to functions rather than the object, and return what is to be kept."
    )


def _class_name(owner: Any) -> str:
    return owner.__name__ if isinstance(owner, type) else type(owner).__name__
