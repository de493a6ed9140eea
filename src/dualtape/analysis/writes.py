"""Which arrays of a function are written to: an analysis of Numba's untyped IR.

An array that receives active numbers must be allocated as an array of active numbers.  So for
every store (``y[i] = ...``, ``y += ...``, ``y.fill(...)``, a call of a function that writes to
its argument) the names are followed back, through views, containers, copies of names and loop
variables, to the statements that made the array: its roots (see `sharing`).  Arrays made by a
constructor (``np.zeros``) also count as roots when they leave the function or meet other arrays,
because there their type must agree with an active one.

Numba internals used (seen in 0.66 to 0.68): ``numba.core.ir``;
``np.unsafe.ndarray.empty_inferred``, in place of ``np.array`` of a comprehension.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba import typed
from numba.core import ir
from numba.np.unsafe.ndarray import empty_inferred

from ..functions.libraries import STATIC_TRANSFORMS
from ..functions.objects import is_jitclass
from ..functions.reach import bindings
from .fresh import CONSTRUCTORS, NEW_METHODS, NO_VIEWS, inputs_of, is_in, is_known_reader
from .rewriting import statements
from .sharing import Showing, constant_of

MEMORY = {"strides", "flags", "ctypes", "data"}
"""Attributes that show where the elements of an array lie."""
_KNOWN_METHODS = {
    name
    for kind in (np.ndarray, np.random.Generator, list, dict, set, str, tuple, typed.List)
    for name in dir(kind)
} - {"view", "tobytes", "tofile", "dump", "setflags", "resize", "put", "partition", "byteswap"}
WRITERS = {"fill", "sort", "itemset"}
APPENDERS = {"append", "insert", "add", "__setitem__"}  # the last one stands in comprehensions
_WRITER_FUNCTIONS = {
    np.copyto, np.fill_diagonal, np.put, np.random.shuffle, operator.setitem,
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow,
}  # fmt: skip


class Aliases(Showing):
    """Names, definitions and stores of one function.

    Parameters
    ----------
    func_ir, effects, depths, scalars
        See `Showing`.
    appends : bool
        Whether appending to a list is a store. Numba itself refines the type of a list by what a
        function appends to it, but not the type of an argument.
    """

    def __init__(self, *args: Any, appends: bool = False, **options: Any) -> None:
        super().__init__(*args, **options)
        self.writers = WRITERS | APPENDERS | {"extend"} if appends else WRITERS
        self.uses: dict[str, list[Any]] = {}
        for statement in statements(self.func_ir):
            for var in statement.list_vars():
                self.uses.setdefault(var.name, []).append(statement)

    def _appended(self, statement: Any) -> Iterator[tuple[Any, Any]]:
        """Iterate over (container, item) of items that a statement puts into a list or dict."""
        expr = getattr(statement, "value", None)
        if isinstance(statement, ir.SetItem | ir.StaticSetItem):
            yield statement.target, statement.value
        elif not isinstance(expr, ir.Expr):
            return
        elif expr.op == "build_map":
            yield from ((statement.target, value) for _, value in expr.items)
        elif expr.op == "call":
            method = self.method(expr.func)
            if method is not None and method[1] in APPENDERS and expr.args:
                yield method[0], expr.args[-1]

    def filled_roots(self) -> set[str]:
        """Return the roots of containers into which items are put."""
        owners = (owner for s in statements(self.func_ir) for owner, _ in self._appended(s))
        return {root for owner in owners for root in self.roots(owner.name)}

    def _targets(self, statement: Any, kind: str) -> Iterator[Any]:
        if isinstance(statement, ir.SetItem | ir.StaticSetItem):
            yield statement.target
            return
        expr = statement.value if isinstance(statement, ir.Assign) else None
        if not isinstance(expr, ir.Expr):
            return
        if expr.op == "inplace_binop":
            yield expr.lhs
        elif expr.op == "call":
            yield from self._targets_of_call(expr, kind)

    def _targets_of_call(self, expr: Any, kind: str) -> Iterator[Any]:
        method = self.method(expr.func)
        if method is not None:
            if method[1] in self.writers:
                yield method[0]
            elif method[1] == "shuffle":  # of a random number generator
                yield from expr.args[:1]
            return
        function = constant_of(self.func_ir, expr.func)
        yield from (var for name, var in expr.kws if name == "out")
        inputs = inputs_of(function)
        if is_in(function, _WRITER_FUNCTIONS):
            yield expr.args[0]
        elif inputs is not None:
            yield from expr.args[inputs:]
        elif function is not None:
            analysis = self.effects_of(function, expr)
            if analysis is not None:
                effects, by_position = analysis
                yield from (v for i in getattr(effects, kind) for v in by_position.get(i, ()))

    def written_roots(self) -> set[str]:
        """Return the roots of everything that is stored into.

        Values that meet others in a variable, or in the result, count as well: their types must
        agree.
        """
        roots = self.stored_roots("written")
        returned = [s.value for s in statements(self.func_ir) if isinstance(s, ir.Return)]
        if len(returned) > 1:
            roots |= self._meeting({var.name for var in returned})
        for name, definitions in self.func_ir._definitions.items():
            if len(definitions) > 1:  # without SSA form there are no phi nodes
                roots |= self._meeting({name})
        for statement in statements(self.func_ir):
            if getattr(getattr(statement, "value", None), "op", None) == "phi":
                roots |= self._meeting({statement.target.name})
        return roots

    def _meeting(self, names: set[str]) -> set[str]:
        """Return the roots of names that meet, unless their types agree anyway.

        They do if all are parts of one argument, or if one is a number: then so are the others.
        """
        roots = {root for name in names for root in self.roots(name)}
        definitions = [d for root in roots for d in self.func_ir._definitions.get(root, [])]
        if len(definitions) == 1 and isinstance(definitions[0], ir.Arg):
            return set()
        is_number = any(
            isinstance(d, ir.Const) and isinstance(d.value, float | int) for d in definitions
        )
        return set() if is_number and not any(map(self.depth, names)) else roots

    def stored_roots(self, kind: str = "stored") -> set[str]:
        """Return the roots of what is stored into; for calls, of this kind of `Effects`."""
        roots: set[str] = set()
        for statement in statements(self.func_ir):
            for var in self._targets(statement, kind):
                roots |= self.roots(var.name)
        return roots

    def exposed_roots(self) -> set[str]:
        """Return the roots of what is stored into, or may be by code that is not known.

        What depends on the place of elements in memory counts as well.  Such an array must be the
        one that the plain function has, where a copy of any other would do.
        """
        roots = self.stored_roots("exposed")
        for statement in statements(self.func_ir):
            expr = getattr(statement, "value", None)
            for var in self._exposed_in(expr) if isinstance(expr, ir.Expr) else ():
                roots |= self.roots(var.name)
        return roots

    def _exposed_in(self, expr: Any) -> list[Any]:
        """Return the variables that an expression exposes."""
        if expr.op == "getattr":
            return [expr.value] if expr.attr in MEMORY else []
        if expr.op == "make_function" and expr.closure is not None:  # a comprehension, say
            keeps = any(is_jitclass(b.value) for b in bindings(self.func_ir.func_id.func))
            return [expr.closure] if keeps else []
        if expr.op != "call":
            return []
        args = [*expr.args, *(var for _, var in expr.kws)]
        args += [expr.vararg] if expr.vararg is not None else []
        method = self.method(expr.func)
        if method is not None:
            return [] if method[1] in _KNOWN_METHODS else [method[0], *args]
        function = constant_of(self.func_ir, expr.func)
        if function is np.lib.stride_tricks.as_strided:
            return args
        if function is None:  # a transform of this package, applied in the function itself?
            definition: Any = next(iter(self.func_ir._definitions.get(expr.func.name, [])), None)
            is_call = getattr(definition, "op", None) == "call"
            function = constant_of(self.func_ir, definition.func) if is_call else None
            function = function if is_in(function, STATIC_TRANSFORMS) else None
        is_known = function is not None and (
            self.effects_of(function, expr) is not None or is_known_reader(function)
        )
        return [] if is_known and expr.vararg is None else args

    def items(self, statement: Any, written: set[str]) -> list[Any]:
        """Return the variables whose types are the item type of a list or dict in `written`."""
        return [
            item
            for owner, item in self._appended(statement)
            if self.untyped(self.roots(owner.name) & written)
        ]

    def untyped(self, roots: set[str]) -> bool:
        """Whether some of these containers get their type from the items put into them."""
        definitions = [d for root in roots for d in self.func_ir._definitions.get(root, [])]
        return any(self.is_untyped(definition) for definition in definitions)

    def is_untyped(self, definition: Any) -> bool:
        """Whether an expression makes a container whose item type is still unknown."""
        op = getattr(definition, "op", None)
        if op == "call":
            function = constant_of(self.func_ir, definition.func)
            if function is empty_inferred:  # np.array of a comprehension
                return True
            return not definition.args and is_in(
                function, {dict, list, set, typed.List, typed.Dict}
            )
        return op == "build_map" or (op == "build_list" and not definition.items)

    def is_constructor(self, expr: Any) -> bool:
        """Whether an expression makes a new array out of plain numbers."""
        if not isinstance(expr, ir.Expr) or expr.op != "call":
            return False
        method = self.method(expr.func)
        if method is not None:
            return method[1] == "copy"
        return is_in(constant_of(self.func_ir, expr.func), CONSTRUCTORS)

    def escapes(self, name: str, seen: set[str] | None = None) -> bool:
        """Whether the array's element type must match that of other values."""
        seen = set() if seen is None else seen
        if name in seen:
            return False
        seen.add(name)
        return any(self._escapes_in(name, use, seen) for use in self.uses.get(name, []))

    def _escapes_in(self, name: str, use: Any, seen: set[str]) -> bool:
        if isinstance(use, ir.SetItem | ir.StaticSetItem | ir.Del):
            return False
        if not isinstance(use, ir.Assign):
            return True
        value, target = use.value, use.target.name
        if target == name:
            return False
        if isinstance(value, ir.Var):
            return self.escapes(target, seen)
        if not isinstance(value, ir.Expr):
            return True
        if value.op in ("binop", "unary", "getiter"):
            return False
        if value.op in ("getitem", "static_getitem"):
            return value.value.name == name and self.escapes(target, seen)
        if value.op == "getattr":
            harmless = value.attr in NO_VIEWS | NEW_METHODS
            return not harmless and self.escapes(target, seen)
        if value.op == "call":
            function = constant_of(self.func_ir, value.func)
            module = getattr(function, "__module__", None) or ""
            harmless = module.partition(".")[0] in ("numpy", "math", "builtins", "_operator")
            harmless |= isinstance(function, np.ufunc) or is_in(function, {len, range, print})
            return not harmless or bool(self.shown_by(value))
        return True
