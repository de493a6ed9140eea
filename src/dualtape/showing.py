"""What an array, or what holds arrays, may show: the part of `aliasing` that follows names back.

A variable shows another one if what is written to it may be written to the memory of the other: a
view, an item of a container, the result of a call.  The unknown is an alias: a call that is not
known to make a new array (see `fresh`) may return a view of any of its arguments, and may put one
of them into another that can hold it.  Of users' functions their own analysis tells which (see
`effects`).

How deep arrays are in containers tells ``a + b`` of arrays, which is new, from that of tuples,
which holds what both hold.

Numba internals used (seen in 0.66 to 0.68): ``numba.core.ir``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

import numpy as np
from numba import typed
from numba.core import ir
from numba.core.dispatcher import Dispatcher

from .casting import cast_to
from .elementary import value
from .fresh import NEW_METHODS, NO_VIEWS, is_in, makes_new
from .numbertype import PLAIN

__all__ = ["DEEPEST", "Effects", "Showing", "constant_of"]

BUILDERS = {"build_tuple", "build_list", "build_set"}
DEEPEST = 4
"""How deep containers are told apart; what is unknown is as deep."""
_JOINING = {operator.add, operator.mul, operator.iadd, operator.imul}
"""Operators that put together tuples and lists, which then hold the items of both."""
_CONTAINERS = {list, tuple, dict, set, sorted, reversed, iter, typed.List, typed.Dict}
_PAIRING = {zip, enumerate}
_SPLITTING = {
    np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit, np.broadcast_arrays,
}  # fmt: skip
_METHOD_DEPTHS = {"pop": -1, "get": -1, "setdefault": -1, "values": 0, "copy": 0, "items": 1}


_CONSTANTS = type | ModuleType | FunctionType | Dispatcher | np.dtype | str


class Effects(NamedTuple):
    """What a called function does to the arrays it is given, by positions of its arguments."""

    stored: frozenset[int] = frozenset()
    """Arguments that it stores into, or what it calls."""
    written: frozenset[int] = frozenset()
    """The same, with those whose types must agree with an active one."""
    returned: frozenset[int] = frozenset()
    """Arguments whose memory the result may show."""
    joined: frozenset[tuple[int, int]] = frozenset()
    """Pairs of arguments of which the first may hold the second in the end."""
    depth: int = 0
    """How deep arrays may be in containers in the result."""


class Called(NamedTuple):
    """What a call does to arrays, in variables of the caller."""

    shown: list[Any]
    depth: int
    joined: list[tuple[Any, Any]]


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


class Showing:
    """What the variables of one function show.

    Parameters
    ----------
    func_ir : numba FunctionIR
        With up-to-date definitions.
    effects : callable
        ``effects(function, expr, depth_of)``: the `Effects` of a function that has an analysis of
        its own, with the variables given to it by position; None for others.
    depths : sequence of int
        How deep arrays may be in containers in the arguments: 0 for arrays and numbers.
    scalars : set of str
        Names that are known to hold numbers, which show nothing.
    """

    def __init__(
        self,
        func_ir: Any,
        effects: Callable[..., tuple[Effects, dict[int, list[Any]]] | None],
        depths: Any = (),
        scalars: Any = frozenset(),
    ) -> None:
        self.func_ir = func_ir
        self._effects = effects
        self._arg_depths = depths
        self.scalars = scalars
        self._depths: dict[str, int] = {}
        self._joined: dict[str, set[str]] = {}  # what is put into containers, by their roots
        self._edges: dict[str, tuple[list[str], bool]] = {}
        while self._deepened() or self._put_together():
            self._edges.clear()

    def statements(self) -> Iterator[Any]:
        """Iterate over all statements."""
        for block in self.func_ir.blocks.values():
            yield from block.body

    def method(self, func: Any) -> tuple[Any, str] | None:
        """Return (object, name) of a method call."""
        definitions = self.func_ir._definitions.get(func.name, [])
        found = len(definitions) == 1 and getattr(definitions[0], "op", None) == "getattr"
        if found and constant_of(self.func_ir, func) is None:
            return definitions[0].value, definitions[0].attr
        return None

    def effects_of(self, function: Any, expr: Any) -> Any:
        """Return the effects of a call of a user's function, and what it is given."""
        return self._effects(function, expr, self.depth)

    # Depths

    def depth(self, name: str) -> int:
        """Return how deep arrays may be in containers in a variable."""
        return self._depths.get(name, 0)

    def _deepest(self, variables: Any) -> int:
        return max((self.depth(var.name) for var in variables), default=0)

    def _deepened(self) -> bool:
        """Let depths grow until they agree with all definitions; whether any did."""
        grown, changed = False, True
        while changed:
            changed = False
            for name, definitions in self.func_ir._definitions.items():
                if name in self.scalars:
                    continue
                found = max((self._depth_of(made) for made in definitions), default=0)
                found = max([found, *(1 + self.depth(item) for item in self._joined.get(name, ()))])
                if found > self.depth(name) and self.depth(name) < DEEPEST:
                    self._depths[name] = min(found, DEEPEST)
                    grown = changed = True
        return grown

    def _depth_of(self, made: Any) -> int:
        if isinstance(made, ir.Var):
            return self.depth(made.name)
        if isinstance(made, ir.Arg):
            return self._arg_depths[made.index] if made.index < len(self._arg_depths) else 0
        if isinstance(made, ir.Global | ir.FreeVar):
            return DEEPEST if isinstance(made.value, tuple | list | dict) else 0
        if not isinstance(made, ir.Expr):
            return 0
        if made.op in BUILDERS or made.op == "build_map":
            return 1 + self._deepest(items_of(made))
        if made.op in ("getitem", "static_getitem"):
            return self._item_depth(made.value.name, is_slice=self._is_slice(made))
        if made.op == "iternext" or (made.op == "getattr" and made.attr not in NO_VIEWS):
            return self._item_depth(made.value.name)
        if made.op in ("binop", "inplace_binop"):
            return self._deepest((made.lhs, made.rhs)) if made.fn in _JOINING else 0
        if made.op == "call":
            return self._called(made).depth
        if made.op in ("unary", "getattr", "make_function"):
            return 0
        return self._deepest(made.list_vars())  # phi, pair_first, exhaust_iter, ...

    def _item_depth(self, name: str, *, is_slice: bool = False) -> int:
        depth = self.depth(name)
        return depth if is_slice or depth == DEEPEST else max(0, depth - 1)

    def _is_slice(self, made: Any) -> bool:
        if made.op == "static_getitem":
            return isinstance(made.index, slice)
        definitions = self.func_ir._definitions.get(made.index.name, [])
        calls = [d for d in definitions if getattr(d, "op", None) == "call"]
        return any(constant_of(self.func_ir, call.func) is slice for call in calls)

    # Calls

    def _called(self, expr: Any) -> Called:
        given = [*expr.args, *(var for _, var in expr.kws)]
        given += [expr.vararg] if expr.vararg is not None else []
        method = self.method(expr.func)
        if method is not None:
            return self._called_method(*method, given)
        function = constant_of(self.func_ir, expr.func)
        keywords = [name for name, _ in expr.kws]
        if expr.vararg is None and makes_new(function, len(expr.args), keywords):
            return Called([], 0, [])
        deepest = self._deepest(given)
        if is_in(function, _CONTAINERS):
            return Called(given, max(1, deepest), [])
        if is_in(function, _PAIRING):
            return Called(given, 1 + max(1, deepest), [])
        if isinstance(function, type) and issubclass(function, tuple):
            return Called(given, 1 + deepest, [])
        if function is value:
            return Called(given, 0, [])
        if function is cast_to and isinstance(constant_of(self.func_ir, given[1]), PLAIN):
            return Called([], 0, [])
        if _is_numpy(function):
            known = not isinstance(function, type)  # np.nditer gives tuples of views
            return Called(given, int(is_in(function, _SPLITTING)) if known else DEEPEST, [])
        found = None if function is None else self.effects_of(function, expr)
        if found is None:
            joined = [(a, b) for a in given for b in given if a is not b and self.depth(a.name)]
            return Called(given, DEEPEST, joined)
        effects, by_position = found
        shown = [var for i in sorted(effects.returned) for var in by_position.get(i, ())]
        pairs = [
            (a, b)
            for i, j in effects.joined
            for a in by_position.get(i, ())
            for b in by_position.get(j, ())
        ]
        return Called(shown, effects.depth, pairs)

    def _called_method(self, owner: Any, name: str, given: list[Any]) -> Called:
        depth = self.depth(owner.name)
        if depth == 0:
            is_new = name in NEW_METHODS
            return Called([] if is_new else [owner, *given], 0, [])
        found = DEEPEST
        if name in _METHOD_DEPTHS and depth < DEEPEST:
            found = max(0, max(depth, 1 + self._deepest(given)) + _METHOD_DEPTHS[name])
        return Called([owner, *given], found, [(owner, item) for item in given])

    # What shows what

    def shown_by(self, made: Any) -> list[Any] | None:
        """Return the variables that a definition may show; None if what it makes is new."""
        if isinstance(made, ir.Var):
            return [made]
        if not isinstance(made, ir.Expr):
            return None
        if made.op == "phi":
            return [v for v in made.incoming_values if isinstance(v, ir.Var)]
        if made.op in BUILDERS or made.op == "build_map":
            return list(items_of(made))
        if made.op in ("binop", "inplace_binop"):
            joined = self._depth_of(made) > 0
            kept = [made.lhs] if made.op == "inplace_binop" else None
            return [made.lhs, made.rhs] if joined else kept
        if made.op == "call":
            return self._called(made).shown or None
        if made.op in ("unary", "make_function"):
            return None
        if made.op == "getattr":
            return None if made.attr in NO_VIEWS else [made.value]
        if made.op in ("getitem", "static_getitem"):
            return [made.value]
        return list(made.list_vars())

    def operands(self, made: Any) -> list[Any]:
        """Return the variables of which a definition may show memory that can be written to."""
        return [
            var
            for var in self.shown_by(made) or ()
            if var.name not in self.scalars
            and not isinstance(constant_of(self.func_ir, var), _CONSTANTS)
            and not all(
                isinstance(d, ir.Const) for d in self.func_ir._definitions.get(var.name, [None])
            )
        ]

    def keeps_type(self, made: Any) -> bool:
        """Whether what a definition shows are elements of the type that they have elsewhere."""
        if made.op != "call":
            return True
        function = constant_of(self.func_ir, made.func)
        return _is_numpy(function) and function is not np.frombuffer

    def makes(self, made: Any) -> bool:
        """Whether a definition makes what it shows, or holds it, as far as is known."""
        if isinstance(made, ir.Expr):
            joins = made.op == "binop" or made.op in BUILDERS or made.op == "build_map"
            return joins or made.op == "call" or self.shown_by(made) is None
        return not isinstance(made, ir.Var)

    def _edges_of(self, name: str) -> tuple[list[str], bool]:
        """Return the names that a variable may show, and whether it is a root itself."""
        if name not in self._edges:
            definitions = self.func_ir._definitions.get(name, [])
            shown = [v.name for made in definitions for v in self.shown_by(made) or ()]
            shown = [other for other in shown if other not in self.scalars]
            self._edges[name] = shown, any(map(self.makes, definitions))
        return self._edges[name]

    def roots(self, name: str) -> set[str]:
        """Return the names of the statements (or arguments) that made what a variable shows."""
        found: set[str] = set()
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if name in seen or name in self.scalars:
                continue
            seen.add(name)
            shown, is_root = self._edges_of(name)
            if is_root:
                found.add(name)
            waiting += [*shown, *self._joined.get(name, ())]
        return found

    def _put_together(self) -> bool:
        """Note what is put into containers after they were made; whether anything is new."""
        changed = False
        for statement in self.statements():
            for owner, item in self._pairs(statement):
                if item.name in self.scalars or not self.depth(owner.name):
                    continue
                for root in self.roots(owner.name):
                    held = self._joined.setdefault(root, set())
                    if self.depth(root) and item.name not in held:
                        held.add(item.name)
                        changed = True
        return changed

    def _pairs(self, statement: Any) -> list[tuple[Any, Any]]:
        """Return (container, item) of what a statement may put into containers."""
        if isinstance(statement, ir.SetItem | ir.StaticSetItem | ir.SetAttr):
            return [(statement.target, statement.value)]
        expr = getattr(statement, "value", None)
        if not isinstance(expr, ir.Expr):
            return []
        if expr.op == "inplace_binop" and expr.fn in _JOINING:
            return [(expr.lhs, expr.rhs)]
        return self._called(expr).joined if expr.op == "call" else []

    def joined(self) -> Iterator[tuple[str, set[str]]]:
        """Iterate over containers, by their roots, and names of what is put into them."""
        yield from self._joined.items()


def _is_numpy(function: Any) -> bool:
    return (getattr(function, "__module__", None) or "").partition(".")[0] == "numpy"


def items_of(made: Any) -> Any:
    """Return the variables that a container is made of."""
    return [value for _, value in made.items] if made.op == "build_map" else made.items
