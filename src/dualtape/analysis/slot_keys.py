"""Names of slots: a pass over functions whose structure is known, or is being captured.

The expressions of such a run are merged by type (see `numbers.streamed`): ``u * u * v`` has two
slots because both u are the same variable.  This pass gives every variable that arithmetic uses,
and that is no expression itself, a key.  Two loads of one item of an array that nobody writes to
have the same key.

In static single assignment form a variable has one value as long as an expression of it is alive:
where an expression can be used, its definition comes after those of its operands on every path, and
what loops carry is recorded.  The capture compares the rows wherever it merges two slots.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numba.core import ir
from numba.core.ir_utils import build_definitions

from ..numbers.streamed import Captured, named, nameless, noted
from .increments import PLAIN_OPERATOR as INCREMENTS
from .record_points import COMPARISONS, is_elementwise
from .rewriting import call, call_on_result, new_variable, rewrite
from .sharing import constant_of


def give_keys(func_ir: Any, face: Any, written: set[str]) -> None:
    """Name the slots of a function, and note the decisions that it takes by plain floats.

    Definitions must be, and stay, up to date; `written` are names of arrays that are written to.
    """
    names = _Names(func_ir, written)
    keyed = {root: new_variable(var.scope, var.loc) for root, var in names.operands.items()}

    def changed(scope: Any, statement: Any) -> list[Any]:
        if not isinstance(statement, ir.Assign):
            return [statement]
        for expr, k, var in names.arithmetic(statement):
            _replace(expr, k, keyed.get(names.root(var.name), var))
        if _is_comparison(statement.value):
            expr = statement.value
            is_captured, constant = _constant(scope, int(face is Captured), statement.loc)
            operands = expr.lhs, expr.rhs, is_captured
            return [constant, statement, *call_on_result(scope, statement, noted, *operands)]
        return [statement]

    rewrite(func_ir, changed)
    for block in func_ir.blocks.values():
        block.body = _with_names(block, names, keyed)
    func_ir._definitions = build_definitions(func_ir.blocks)


def _with_names(block: Any, names: _Names, keyed: dict[str, Any]) -> list[Any]:
    """Return the statements of a block, with names given after definitions."""
    body: list[Any] = []
    waiting: list[Any] = []
    for statement in block.body:
        is_phi = getattr(getattr(statement, "value", None), "op", None) == "phi"
        if not is_phi:
            body += waiting
            waiting = []
        if isinstance(statement, ir.Assign) and getattr(statement.value, "op", None) == "cast":
            value = new_variable(block.scope, statement.loc)
            body += call(block.scope, nameless, [statement.value.value], value, statement.loc)
            statement.value.value = value
        body.append(statement)
        target = statement.target.name if isinstance(statement, ir.Assign) else None
        if target in keyed:
            var, loc = statement.target, statement.loc
            key, constant = _constant(block.scope, names.keys[target], loc)
            waiting += [constant, *call(block.scope, named, [var, key], keyed[target], loc)]
    return body


def _constant(scope: Any, value: int, loc: Any) -> tuple[Any, Any]:
    """Return a new variable for an integer, and the statement that assigns it."""
    var = new_variable(scope, loc)
    return var, ir.Assign(ir.Const(value, loc), var, loc)


def _is_comparison(expr: Any) -> bool:
    return getattr(expr, "op", None) == "binop" and expr.fn in COMPARISONS


def _replace(expr: Any, k: int | str, var: Any) -> None:
    """Replace an operand of an expression, by its name or its position."""
    if isinstance(k, str):
        setattr(expr, k, var)
    else:
        expr.args = [var if i == k else arg for i, arg in enumerate(expr.args)]


class _Names:
    """The variables of a function that arithmetic uses, and their keys.

    Attributes
    ----------
    operands : dict
        The variables by name, followed back through copies.
    keys : dict of str to int
        Their keys.
    """

    def __init__(self, func_ir: Any, written: set[str]) -> None:
        self.func_ir, self._written = func_ir, written
        self._definitions = func_ir._definitions
        self.operands: dict[str, Any] = {}
        self.keys: dict[str, int] = {}
        numbers: dict[Any, int] = {}
        for block in func_ir.blocks.values():
            for statement in block.body:
                for _, _, var in self.arithmetic(statement):
                    root = self.root(var.name)
                    if root not in self.keys and self._is_source(root):
                        value = self._value_of(root)
                        self.keys[root] = numbers.setdefault(value, 1 + len(numbers))
                        self.operands[root] = var

    def arithmetic(self, statement: Any) -> Iterator[tuple[Any, int | str, Any]]:
        """Iterate over the operands of a statement's arithmetic: expression, place, variable."""
        expr = getattr(statement, "value", None)
        if not isinstance(statement, ir.Assign) or not isinstance(expr, ir.Expr):
            return
        if expr.op == "unary":
            yield expr, "value", expr.value
        elif expr.op in ("binop", "inplace_binop") and not _is_comparison(expr):
            yield expr, "lhs", expr.lhs
            yield expr, "rhs", expr.rhs
        elif expr.op == "call" and not expr.kws:
            function = constant_of(self.func_ir, expr.func)
            if is_elementwise(function):
                first = 1 if function in INCREMENTS else 0  # the sum keeps its row
                for k in range(first, len(expr.args)):
                    yield expr, k, expr.args[k]

    def _definition(self, name: str) -> Any:
        definitions = self._definitions.get(name, ())
        return definitions[0] if len(definitions) == 1 else None

    def root(self, name: str) -> str:
        """Return the name that a name is a copy of."""
        seen = set()
        while isinstance(self._definition(name), ir.Var) and name not in seen:
            seen.add(name)
            name = self._definition(name).name
        return name

    def _is_source(self, name: str) -> bool:
        """Whether a variable may be a number with a row."""
        definition = self._definition(name)
        if isinstance(definition, ir.Arg):
            return True
        if not isinstance(definition, ir.Expr):
            return False
        if definition.op == "call":
            function = constant_of(self.func_ir, definition.func)
            return not is_elementwise(function) or function in INCREMENTS
        return definition.op in ("getitem", "static_getitem", "phi", "pair_first")

    def _value_of(self, name: str) -> Any:
        """Return what is equal for variables of equal values."""
        expr = self._definition(name)
        op = getattr(expr, "op", None)
        if op not in ("getitem", "static_getitem"):
            return name
        array = self.root(expr.value.name)
        if array in self._written:
            return name
        return array, repr(expr.index) if op == "static_getitem" else self._index(expr.index.name)

    def _index(self, name: str) -> Any:
        root = self.root(name)
        definition = self._definition(root)
        if getattr(definition, "op", None) == "build_tuple":
            return tuple(self._index(item.name) for item in definition.items)
        return repr(definition.value) if isinstance(definition, ir.Const) else root
