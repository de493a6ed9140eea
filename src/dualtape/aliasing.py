"""Which arrays of a function are written to: an analysis of Numba's untyped IR.

An array that receives active numbers must be allocated as an array of active numbers.  So for
every store (``y[i] = ...``, ``y += ...``, ``y.fill(...)``, a call of a function that writes to
its argument) the names are followed back, through views, copies of names and loop variables, to
the statements that made the array: its roots.  Arrays made by a constructor (``np.zeros``) also
count as roots when they leave the function or meet other arrays, because there their type must
agree with an active one.

Numba internals used (seen to work with 0.68): ``numba.core.ir`` and ``ir_utils``,
``compiler.run_frontend``; ``np.unsafe.ndarray.empty_inferred``, in place of ``np.array`` of a
comprehension.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numba import typed
from numba.core import ir
from numba.core.compiler import run_frontend
from numba.np.unsafe.ndarray import empty_inferred

from .conversion import array_from
from .known import is_library
from .memory import remembered

__all__ = ["Aliases", "constant_of", "written_arguments"]

BUILDERS = {"build_tuple", "build_list"}
VIEWS = {"T", "real", "flat", "reshape", "ravel", "transpose", "view", "swapaxes", "squeeze"}
WRITERS = {"fill", "sort", "itemset"}
APPENDERS = {"append", "insert", "__setitem__"}  # the last one stands in comprehensions
_VIEW_FUNCTIONS = {
    np.reshape, np.ravel, np.transpose, np.swapaxes, np.asarray, np.ascontiguousarray, np.squeeze,
    np.expand_dims, np.atleast_1d, np.atleast_2d, np.flip, np.fliplr, np.flipud, np.broadcast_to,
    np.nditer, np.ndenumerate, enumerate, zip, reversed, iter,
}  # fmt: skip
_WRITER_FUNCTIONS = {np.copyto, np.fill_diagonal, np.put, np.random.shuffle}
CONSTRUCTORS = {
    np.zeros, np.ones, np.empty, np.full, np.array, np.eye, np.identity, np.linspace, np.arange,
    np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.copy, array_from,
}  # fmt: skip
_READ_ONLY = {"shape", "size", "ndim", "dtype", "strides", "itemsize", "sum", "mean", "min", "max"}
_READ_ONLY |= {"prod", "dot", "any", "all", "argmin", "argmax", "std", "var", "copy", "astype"}


def constant_of(func_ir: Any, var: Any) -> Any:
    """Return the global, closure or module constant that a variable holds, or None."""
    definitions = func_ir._definitions.get(var.name, [])
    if len(definitions) != 1:
        return None
    definition = definitions[0]
    if isinstance(definition, ir.Global | ir.FreeVar):
        return definition.value
    if isinstance(definition, ir.Expr) and definition.op == "getattr":
        owner = constant_of(func_ir, definition.value)
        if isinstance(owner, ModuleType):
            return getattr(owner, definition.attr, None)
    return None


class Aliases:
    """Names, definitions and stores of one function.

    Parameters
    ----------
    func_ir : numba FunctionIR
        With up-to-date definitions.
    writes : callable
        Which argument positions a called function writes to.
    appends : bool
        Whether appending to a list is a store. Numba itself refines the type of a list by what a
        function appends to it, but not the type of an argument.
    """

    def __init__(
        self, func_ir: Any, writes: Callable[[Any], frozenset[int]], *, appends: bool = False
    ) -> None:
        self.func_ir = func_ir
        self.writes = writes
        self.writers = WRITERS | APPENDERS | {"extend"} if appends else WRITERS
        self.uses: dict[str, list[Any]] = {}
        for statement in self._statements():
            for var in statement.list_vars():
                self.uses.setdefault(var.name, []).append(statement)
        self.appended: dict[str, list[Any]] = {}  # what is put into containers that start empty
        for owner, item in [pair for s in self._statements() for pair in self._appended(s)]:
            for root in self.roots(owner):
                if self.untyped({root}):
                    self.appended.setdefault(root, []).append(item)

    def _statements(self) -> Iterator[Any]:
        for block in self.func_ir.blocks.values():
            yield from block.body

    def _appended(self, statement: Any) -> Iterator[tuple[Any, Any]]:
        """Iterate over (container, item) of what a statement puts into a list or dict."""
        expr = getattr(statement, "value", None)
        if isinstance(statement, ir.SetItem | ir.StaticSetItem):
            yield statement.target, statement.value
        elif not isinstance(expr, ir.Expr):
            return
        elif expr.op == "build_map":
            yield from ((statement.target, value) for _, value in expr.items)
        elif expr.op == "call":
            method = self._method(expr.func)
            if method is not None and method[1] in APPENDERS and expr.args:
                yield method[0], expr.args[-1]

    def _method(self, func: Any) -> tuple[Any, str] | None:
        """Return (object, name) of a method call."""
        definitions = self.func_ir._definitions.get(func.name, [])
        found = len(definitions) == 1 and getattr(definitions[0], "op", None) == "getattr"
        if found and constant_of(self.func_ir, func) is None:
            return definitions[0].value, definitions[0].attr
        return None

    def _aliased(self, definition: Any) -> list[Any] | None:
        """Return the variables whose arrays a definition passes on; None for a new array."""
        if isinstance(definition, ir.Var):
            return [definition]
        if not isinstance(definition, ir.Expr):
            return None
        if definition.op == "phi":
            return [v for v in definition.incoming_values if isinstance(v, ir.Var)]
        if definition.op in ("getitem", "static_getitem", "iternext", "pair_first", "getiter"):
            return [definition.value]
        if definition.op in ("exhaust_iter", "cast"):
            return [definition.value]
        if definition.op in BUILDERS:
            return list(definition.items)
        if definition.op == "inplace_binop":
            return [definition.lhs]
        if definition.op == "getattr" and definition.attr not in _READ_ONLY:
            return [definition.value]  # a view, or the field of a named tuple
        if definition.op == "call":
            method = self._method(definition.func)
            if method is not None and method[1] in VIEWS:
                return [method[0]]
            if is_in(constant_of(self.func_ir, definition.func), _VIEW_FUNCTIONS):
                return list(definition.args)
            # a function may return one of its arguments, a named tuple holds them
            if self._calls_user(definition) or self._is_builder(definition):
                return [*definition.args, *(var for _, var in definition.kws)]
        return None

    def _calls_user(self, definition: Any) -> bool:
        if getattr(definition, "op", None) != "call":
            return False
        function = constant_of(self.func_ir, definition.func)
        py_func = getattr(function, "py_func", function)
        return isinstance(py_func, FunctionType) and not is_library(py_func)

    def _is_builder(self, definition: Any) -> bool:
        op = getattr(definition, "op", "")
        if op != "call":
            return op in BUILDERS
        function = constant_of(self.func_ir, definition.func)
        return isinstance(function, type) and issubclass(function, tuple)

    def roots(self, var: Any, seen: set[str] | None = None) -> set[str]:
        """Return the names of the statements (or arguments) that made the array `var` shows."""
        seen = set() if seen is None else seen
        if var.name in seen:
            return set()
        seen.add(var.name)
        found: set[str] = set()
        for definition in self.func_ir._definitions.get(var.name, []):
            aliased = self._aliased(definition)
            if aliased is None or self._is_builder(definition) or self._calls_user(definition):
                found.add(var.name)
            for other in [*(aliased or ()), *self.appended.get(var.name, ())]:
                found |= self.roots(other, seen)
        return found

    def _stored(self, statement: Any) -> Iterator[Any]:
        if isinstance(statement, ir.SetItem | ir.StaticSetItem):
            yield statement.target
            return
        expr = statement.value if isinstance(statement, ir.Assign) else None
        if not isinstance(expr, ir.Expr):
            return
        if expr.op == "inplace_binop":
            yield expr.lhs
        elif expr.op == "call":
            yield from self._stored_by_call(expr)

    def _stored_by_call(self, expr: Any) -> Iterator[Any]:
        method = self._method(expr.func)
        if method is not None:
            if method[1] in self.writers:
                yield method[0]
            elif method[1] == "shuffle":  # of a generator of random numbers
                yield from expr.args[:1]
            return
        function = constant_of(self.func_ir, expr.func)
        yield from (var for name, var in expr.kws if name == "out")
        if is_in(function, _WRITER_FUNCTIONS):
            yield expr.args[0]
        elif isinstance(function, np.ufunc):
            yield from expr.args[function.nin :]
        elif function is not None:
            written = self.writes(function)
            yield from (arg for i, arg in enumerate(expr.args) if i in written)
            names = _argument_names(function) if expr.kws and written else ()
            yield from (
                var for name, var in expr.kws if name in names and names.index(name) in written
            )

    def written(self) -> set[str]:
        """Return the roots of everything that is stored into.

        What meets something else in one variable, or in the result, counts as well: their types
        must agree.
        """
        found = self.stored()
        returned = [s.value for s in self._statements() if isinstance(s, ir.Return)]
        for var in returned if len(returned) > 1 else ():
            found |= self.roots(var)
        for name, definitions in self.func_ir._definitions.items():
            if len(definitions) > 1:  # without SSA form there are no phi nodes
                found |= self.roots(SimpleNamespace(name=name))
        for statement in self._statements():
            if getattr(getattr(statement, "value", None), "op", None) == "phi":
                found |= self.roots(statement.target)
        return found

    def stored(self) -> set[str]:
        """Return the roots of what is stored into, and of nothing else."""
        found: set[str] = set()
        for statement in self._statements():
            for var in self._stored(statement):
                found |= self.roots(var)
        return found

    def items(self, statement: Any, written: set[str]) -> list[Any]:
        """Return the variables whose types tell what a list or dict in `written` holds."""
        return [
            item
            for owner, item in self._appended(statement)
            if self.untyped(self.roots(owner) & written)
        ]

    def untyped(self, roots: set[str]) -> bool:
        """Whether some of these containers get their type from what is put into them."""
        definitions = [d for root in roots for d in self.func_ir._definitions.get(root, [])]
        return any(self.is_untyped(definition) for definition in definitions)

    def is_untyped(self, definition: Any) -> bool:
        """Whether an expression makes a container that knows nothing of its items."""
        op = getattr(definition, "op", None)
        if op == "call":
            function = constant_of(self.func_ir, definition.func)
            if function is empty_inferred:  # np.array of a comprehension
                return True
            return not definition.args and is_in(function, {dict, list, typed.List, typed.Dict})
        return op == "build_map" or (op == "build_list" and not definition.items)

    def is_constructor(self, expr: Any) -> bool:
        """Whether an expression makes a new array out of plain numbers."""
        if not isinstance(expr, ir.Expr) or expr.op != "call":
            return False
        method = self._method(expr.func)
        if method is not None:
            return method[1] == "copy"
        return is_in(constant_of(self.func_ir, expr.func), CONSTRUCTORS)

    def escapes(self, name: str, seen: set[str] | None = None) -> bool:
        """Whether an array is used in a way that its element type must fit others."""
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
            return value.attr not in _READ_ONLY and self.escapes(target, seen)
        if value.op == "call":
            function = constant_of(self.func_ir, value.func)
            known = getattr(function, "__module__", None) or ""
            harmless = known.partition(".")[0] in ("numpy", "math", "builtins", "_operator")
            harmless |= isinstance(function, np.ufunc) or is_in(function, {len, range, print})
            return not harmless or is_in(function, _VIEW_FUNCTIONS)
        return True


def is_in(function: Any, functions: Any) -> bool:
    """Whether a constant, which may be unhashable, is among some functions."""
    try:
        return function in functions
    except TypeError:  # unhashable
        return False


def _argument_names(function: Any) -> tuple[str, ...]:
    code = getattr(function, "py_func", function).__code__
    return tuple(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])


_in_progress: set[Any] = set()


def written_arguments(py_func: FunctionType) -> frozenset[int]:
    """Return the positions of the array arguments that a function (or what it calls) writes to."""
    if py_func in _in_progress:  # recursion: what it writes is found where it is first entered
        return frozenset()
    _in_progress.add(py_func)
    try:
        found: frozenset[int] = remembered(py_func, "writes", lambda: _find_written(py_func))
    finally:
        _in_progress.discard(py_func)
    return found


def stored_arguments(function: Any) -> frozenset[int]:
    """Return the positions of the arguments that a function, or what it calls, stores into."""
    py_func = getattr(function, "py_func", function)
    func_ir = run_frontend(py_func)
    return _positions(func_ir, Aliases(func_ir, writes_of, appends=True).stored())


def _find_written(py_func: FunctionType) -> frozenset[int]:
    func_ir = run_frontend(py_func)
    return _positions(func_ir, Aliases(func_ir, writes_of, appends=True).written())


def _positions(func_ir: Any, roots: set[str]) -> frozenset[int]:
    """Return the positions of the arguments among some roots."""
    names = {}
    for block in func_ir.blocks.values():
        for statement in block.body:
            if isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Arg):
                names[statement.target.name] = statement.value.index
    return frozenset(names[name] for name in roots if name in names)


def writes_of(function: Any) -> frozenset[int]:
    """Return the positions a called function writes to; functions of libraries write nothing."""
    if getattr(function, "copies_arguments", False):  # what a transform made
        return frozenset()
    py_func = getattr(function, "py_func", function)
    if not isinstance(py_func, FunctionType) or is_library(py_func):
        return frozenset()
    return written_arguments(py_func)
