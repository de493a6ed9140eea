"""One of several functions in one variable: ``h = g1 if flag else g2`` and then ``h(x)``.

Numba gives such a variable a type with the signature of the first call; the twins of the functions
have more than one.  So the variable becomes the number of the function, and its calls become calls
of a function that branches on the number.  This is done if the variable only takes part in copies,
phi nodes and calls.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType, SimpleNamespace
from typing import Any

from numba.core import ir
from numba.core.dispatcher import Dispatcher

from ..functions.memo import remembered
from .rewriting import load, rewrite, statements
from .sharing import constant_of


def choose_by_number(func_ir: Any) -> None:
    """Replace functions in variables by numbers; definitions must be up to date."""
    webs = _webs(func_ir)
    if not webs:
        return
    web_of = {name: web for web in webs for name in web.names}

    def by_number(scope: Any, statement: Any) -> list[Any]:
        expr: Any = getattr(statement, "value", None)
        if isinstance(statement, ir.Assign) and statement.target.name in web_of:
            web = web_of[statement.target.name]
            if isinstance(expr, ir.Global | ir.FreeVar | ir.Expr) and not _is_phi(expr):
                number = web.functions.index(constant_of(func_ir, statement.target))
                statement.value = ir.Const(number, statement.loc)
        elif getattr(expr, "op", None) == "call" and expr.func.name in web_of:
            web = web_of[expr.func.name]
            names = tuple(name for name, _ in expr.kws)
            choice = choice_of(web.functions, len(expr.args), names)
            var, assignment = load(scope, choice, statement.loc)
            expr.args, expr.func = [expr.func, *expr.args], var
            return [assignment, statement]
        return [statement]

    rewrite(func_ir, by_number)


class _Web:
    """Variables connected by copies and phi nodes, and the functions that they may be."""

    def __init__(self, names: set[str], functions: list[Any]) -> None:
        self.names = names
        self.functions = tuple(functions)


def _is_phi(node: Any) -> bool:
    return getattr(node, "op", None) == "phi"


def _webs(func_ir: Any) -> list[_Web]:
    """Return the webs with more than one function that are only copied and called."""
    webs: list[_Web] = []
    moves = list(_moves(func_ir))
    for start, definitions in func_ir._definitions.items():
        if (
            len(definitions) == 1
            and _is_phi(definitions[0])
            and not any(start in web.names for web in webs)
        ):
            web = _web(func_ir, start, moves)
            if web is not None and _only_called(func_ir, web.names):
                webs.append(web)
    return webs


def _function_in(func_ir: Any, var: Any) -> Any:
    constant = constant_of(func_ir, var)
    return constant if isinstance(constant, Dispatcher | FunctionType) else None


def _web(func_ir: Any, start: str, moves: list[tuple[str, str]]) -> _Web | None:
    """Return the web of a variable, or None if it may be anything but known functions."""
    names: set[str] = set()
    functions: list[Any] = []
    waiting = [start]
    while waiting:
        name = waiting.pop()
        if name in names:
            continue
        names.add(name)
        definitions = func_ir._definitions.get(name, ())
        if len(definitions) != 1:
            return None
        (node,) = definitions
        if isinstance(node, ir.Var):
            waiting.append(node.name)
        elif _is_phi(node):
            if not all(isinstance(v, ir.Var) for v in node.incoming_values):
                return None  # it may be undefined
            waiting += [v.name for v in node.incoming_values]
        else:
            function = _function_in(func_ir, SimpleNamespace(name=name))
            if function is None:
                return None
            if not any(function is other for other in functions):
                functions.append(function)
        waiting += [target for target, source in moves if source == name]
    return _Web(names, functions) if len(functions) > 1 else None


def _moves(func_ir: Any) -> Any:
    """Iterate over (target, source) of copies and phi nodes."""
    for statement in statements(func_ir):
        expr: Any = getattr(statement, "value", None)
        if isinstance(statement, ir.Assign) and (isinstance(expr, ir.Var) or _is_phi(expr)):
            sources = [expr] if isinstance(expr, ir.Var) else expr.incoming_values
            yield from ((statement.target.name, v.name) for v in sources if hasattr(v, "name"))


def _only_called(func_ir: Any, names: set[str]) -> bool:
    for statement in statements(func_ir):
        expr: Any = getattr(statement, "value", None)
        if isinstance(statement, ir.Del):
            continue
        if isinstance(statement, ir.Assign) and statement.target.name in names:
            continue
        used = {var.name for var in statement.list_vars()} & names
        if getattr(expr, "op", None) == "call" and expr.vararg is None:
            others = [*expr.args, *(var for _, var in expr.kws)]
            used -= {expr.func.name} - {var.name for var in others}
        if used:
            return False
    return True


def choice_of(
    functions: tuple[Any, ...], count: int, keywords: tuple[str, ...]
) -> Callable[..., Any]:
    """Return a function of a number and the arguments of a call, which calls the function chosen.

    It is cached on the first of the functions.
    """
    key = ("choice", functions, count, keywords)
    return remembered(functions[0], key, lambda: _choice(functions, count, keywords))


def _choice(
    functions: tuple[Any, ...], count: int, keywords: tuple[str, ...]
) -> Callable[..., Any]:
    args = [f"a{i}" for i in range(count)]
    head = ", ".join(["number", *args, *keywords])
    call = ", ".join([*args, *(f"{name}={name}" for name in keywords)])
    lines = [
        f"    if number == {i}:\n        return f{i}({call})" for i in range(1, len(functions))
    ]
    text = "\n".join([f"def choice({head}):", *lines, f"    return f0({call})"])
    scope = {f"f{i}": function for i, function in enumerate(functions)}
    exec(compile(text, "<choice of functions>", "exec"), scope)
    chooser = scope["choice"]
    chooser.__module__ = "__main__"
    return chooser
