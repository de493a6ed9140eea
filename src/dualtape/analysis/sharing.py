"""What arrays and containers may show: the part of `writes` that follows names back.

A variable shows another one if writing to it may write to the memory of the other: a view, an item
of a container, the result of a call.  The unknown is an alias: a call that is not known to make a
new array (see `fresh`) may return a view of any of its arguments, and may put one of them into
another that can contain it.  For users' functions this is known from their own analysis (see
`effects`).

The nesting depth of arrays in containers distinguishes ``a + b`` of arrays, which is new, from that
of tuples, which contains the items of both.

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

from ..functions.copies import owner_of
from ..functions.objects import is_object, members_of
from ..numbers.registration import value
from ..numbers.types import PLAIN
from .casts import cast_to
from .fresh import NEW_METHODS, NO_VIEWS, is_in, makes_new
from .rewriting import statements

BUILDERS = {"build_tuple", "build_list", "build_set"}
DEEPEST = 4
"""The largest depth of containers that is distinguished, and the depth of the unknown."""
_JOINING = {operator.add, operator.mul, operator.iadd, operator.imul}
"""Operators that concatenate tuples and lists, whose results contain the items of both."""
_CONTAINERS = {list, tuple, dict, set, sorted, reversed, iter, typed.List, typed.Dict}
_PAIRING = {zip, enumerate}
_SPLITTING = {
    np.split, np.array_split, np.hsplit, np.vsplit, np.dsplit, np.broadcast_arrays,
}  # fmt: skip
_METHOD_DEPTHS = {"pop": -1, "get": -1, "setdefault": -1, "values": 0, "copy": 0, "items": 1}


_CONSTANTS = type | ModuleType | FunctionType | Dispatcher | np.dtype | str


class Effects(NamedTuple):
    """The effects of a function on the arrays in its arguments, by position."""

    stored: frozenset[int] = frozenset()
    """Arguments that it, or a function it calls, stores into."""
    written: frozenset[int] = frozenset()
    """The same, with those whose types must agree with an active one."""
    exposed: frozenset[int] = frozenset()
    """Arguments that are stored into, or that unknown code may store into."""
    returned: frozenset[int] = frozenset()
    """Arguments whose memory the result may show."""
    joined: frozenset[tuple[int, int]] = frozenset()
    """Pairs of arguments of which the first may contain the second in the end."""
    depth: int = 0
    """How deeply arrays may be nested in containers in the result."""


class CallEffects(NamedTuple):
    """The effects of a call on arrays, in variables of the caller."""

    shown: list[Any]
    depth: int
    joined: list[tuple[Any, Any]]


def constant_of(func_ir: Any, var: Any) -> Any:
    """Return the global, closure, or member of a module or object that a variable is, or None."""
    definitions = func_ir._definitions.get(var.name, [])
    if len(definitions) != 1:
        return None
    definition = definitions[0]
    if isinstance(definition, ir.Global | ir.FreeVar):
        return definition.value
    if isinstance(definition, ir.Arg):
        return owner_of(func_ir.func_id.func) if definition.index == 0 else None
    if isinstance(definition, ir.Expr) and definition.op == "getattr":
        owner = constant_of(func_ir, definition.value)
        if isinstance(owner, ModuleType):
            return getattr(owner, definition.attr, None)
        if owner is not None and is_object(owner):
            return members_of(owner).get(definition.attr)
    return None


class Showing:
    """What the variables of one function show.

    Parameters
    ----------
    func_ir : numba FunctionIR
        With up-to-date definitions.
    effects : callable
        ``effects(function, expr, depth_of)``: the `Effects` of a function that has an analysis of
        its own, with the variables passed for its parameters; None for others.
    depths : sequence of int
        How deeply arrays may be nested in containers in the arguments: 0 for arrays and numbers.
    scalars : set of str
        Names that are known to be numbers, which show nothing.
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
        self._joined: dict[str, set[str]] = {}  # items put into containers, by their roots
        self._edges: dict[str, tuple[list[str], bool]] = {}
        while self._deepened() or self._put_together():
            self._edges.clear()

    def method(self, func: Any) -> tuple[Any, str] | None:
        """Return (object, name) of a method call."""
        definitions = self.func_ir._definitions.get(func.name, [])
        is_method = len(definitions) == 1 and getattr(definitions[0], "op", None) == "getattr"
        if is_method and constant_of(self.func_ir, func) is None:
            return definitions[0].value, definitions[0].attr
        return None

    def effects_of(self, function: Any, expr: Any) -> Any:
        """Return the effects of a call of a user's function, and its arguments."""
        return self._effects(function, expr, self.depth)

    # Depths

    def depth(self, name: str) -> int:
        """Return how deeply arrays may be nested in containers in a variable."""
        return self._depths.get(name, 0)

    def _deepest(self, variables: Any) -> int:
        return max((self.depth(var.name) for var in variables), default=0)

    def _deepened(self) -> bool:
        """Let depths grow until they agree with all definitions; return whether any did."""
        grown, changed = False, True
        while changed:
            changed = False
            for name, definitions in self.func_ir._definitions.items():
                if name in self.scalars:
                    continue
                depth = max((self._depth_of(node) for node in definitions), default=0)
                depth = max([depth, *(1 + self.depth(item) for item in self._joined.get(name, ()))])
                if depth > self.depth(name) and self.depth(name) < DEEPEST:
                    self._depths[name] = min(depth, DEEPEST)
                    grown = changed = True
        return grown

    def _depth_of(self, node: Any) -> int:
        if isinstance(node, ir.Var):
            return self.depth(node.name)
        if isinstance(node, ir.Arg):
            return self._arg_depths[node.index] if node.index < len(self._arg_depths) else 0
        if isinstance(node, ir.Global | ir.FreeVar):
            return DEEPEST if isinstance(node.value, tuple | list | dict) else 0
        if not isinstance(node, ir.Expr):
            return 0
        if node.op in BUILDERS or node.op == "build_map":
            return 1 + self._deepest(items_of(node))
        if node.op in ("getitem", "static_getitem"):
            return self._item_depth(node.value.name, is_slice=self._is_slice(node))
        if node.op == "iternext" or (node.op == "getattr" and node.attr not in NO_VIEWS):
            return self._item_depth(node.value.name)
        if node.op in ("binop", "inplace_binop"):
            return self._deepest((node.lhs, node.rhs)) if node.fn in _JOINING else 0
        if node.op == "call":
            return self._call_effects(node).depth
        if node.op in ("unary", "getattr", "make_function"):
            return 0
        return self._deepest(node.list_vars())  # phi, pair_first, exhaust_iter, ...

    def _item_depth(self, name: str, *, is_slice: bool = False) -> int:
        depth = self.depth(name)
        return depth if is_slice or depth == DEEPEST else max(0, depth - 1)

    def _is_slice(self, expr: Any) -> bool:
        if expr.op == "static_getitem":
            return isinstance(expr.index, slice)
        definitions = self.func_ir._definitions.get(expr.index.name, [])
        calls = [d for d in definitions if getattr(d, "op", None) == "call"]
        return any(constant_of(self.func_ir, call.func) is slice for call in calls)

    # Calls

    def _call_effects(self, expr: Any) -> CallEffects:
        args = [*expr.args, *(var for _, var in expr.kws)]
        args += [expr.vararg] if expr.vararg is not None else []
        method = self.method(expr.func)
        if method is not None:
            return self._method_effects(*method, args)
        function = constant_of(self.func_ir, expr.func)
        keywords = [name for name, _ in expr.kws]
        if expr.vararg is None and makes_new(function, len(expr.args), keywords):
            return CallEffects([], 0, [])
        deepest = self._deepest(args)
        if is_in(function, _CONTAINERS):
            return CallEffects(args, max(1, deepest), [])
        if is_in(function, _PAIRING):
            return CallEffects(args, 1 + max(1, deepest), [])
        if isinstance(function, type) and issubclass(function, tuple):
            return CallEffects(args, 1 + deepest, [])
        if function is value:
            return CallEffects(args, 0, [])
        if function is cast_to and isinstance(constant_of(self.func_ir, args[1]), PLAIN):
            return CallEffects([], 0, [])
        if _is_numpy(function):
            is_plain = not isinstance(function, type)  # np.nditer gives tuples of views
            return CallEffects(args, int(is_in(function, _SPLITTING)) if is_plain else DEEPEST, [])
        analysis = None if function is None else self.effects_of(function, expr)
        if analysis is None:
            pairs = [(a, b) for a in args for b in args if a is not b and self.depth(a.name)]
            return CallEffects(args, DEEPEST, pairs)
        effects, by_position = analysis
        shown = [var for i in sorted(effects.returned) for var in by_position.get(i, ())]
        pairs = [
            (a, b)
            for i, j in effects.joined
            for a in by_position.get(i, ())
            for b in by_position.get(j, ())
        ]
        return CallEffects(shown, effects.depth, pairs)

    def _method_effects(self, owner: Any, name: str, arguments: list[Any]) -> CallEffects:
        depth = self.depth(owner.name)
        if depth == 0:
            is_new = name in NEW_METHODS
            return CallEffects([] if is_new else [owner, *arguments], 0, [])
        result_depth = DEEPEST
        if name in _METHOD_DEPTHS and depth < DEEPEST:
            result_depth = max(0, max(depth, 1 + self._deepest(arguments)) + _METHOD_DEPTHS[name])
        return CallEffects([owner, *arguments], result_depth, [(owner, item) for item in arguments])

    # What shows what

    def shown_by(self, node: Any) -> list[Any] | None:
        """Return the variables that a definition may show; None if its value is new."""
        if isinstance(node, ir.Var):
            return [node]
        if not isinstance(node, ir.Expr):
            return None
        if node.op == "phi":
            return [v for v in node.incoming_values if isinstance(v, ir.Var)]
        if node.op in BUILDERS or node.op == "build_map":
            return list(items_of(node))
        if node.op in ("binop", "inplace_binop"):
            joined = self._depth_of(node) > 0
            target = [node.lhs] if node.op == "inplace_binop" else None
            return [node.lhs, node.rhs] if joined else target
        if node.op == "call":
            return self._call_effects(node).shown or None
        if node.op in ("unary", "make_function"):
            return None
        if node.op == "getattr":
            return None if node.attr in NO_VIEWS else [node.value]
        if node.op in ("getitem", "static_getitem"):
            return [node.value]
        return list(node.list_vars())

    def operands(self, node: Any) -> list[Any]:
        """Return the variables whose memory a definition may show and which can be written to."""
        return [
            var
            for var in self.shown_by(node) or ()
            if var.name not in self.scalars
            and not isinstance(constant_of(self.func_ir, var), _CONSTANTS)
            and not all(
                isinstance(d, ir.Const) for d in self.func_ir._definitions.get(var.name, [None])
            )
        ]

    def keeps_type(self, expr: Any) -> bool:
        """Whether a definition shows elements with the type that they have elsewhere."""
        if expr.op != "call":
            return True
        function = constant_of(self.func_ir, expr.func)
        return _is_numpy(function) and function is not np.frombuffer

    def makes(self, node: Any) -> bool:
        """Whether a definition may have made the memory that it shows, or contains it."""
        if isinstance(node, ir.Expr):
            joins = node.op == "binop" or node.op in BUILDERS or node.op == "build_map"
            return joins or node.op == "call" or self.shown_by(node) is None
        return not isinstance(node, ir.Var)

    def _edges_of(self, name: str) -> tuple[list[str], bool]:
        """Return the names that a variable may show, and whether it is a root itself."""
        if name not in self._edges:
            definitions = self.func_ir._definitions.get(name, [])
            shown = [v.name for node in definitions for v in self.shown_by(node) or ()]
            shown = [other for other in shown if other not in self.scalars]
            self._edges[name] = shown, any(map(self.makes, definitions))
        return self._edges[name]

    def roots(self, name: str) -> set[str]:
        """Return the targets of the statements (or arguments) that made what a variable shows."""
        roots: set[str] = set()
        seen: set[str] = set()
        waiting = [name]
        while waiting:
            name = waiting.pop()
            if name in seen or name in self.scalars:
                continue
            seen.add(name)
            shown, is_root = self._edges_of(name)
            if is_root:
                roots.add(name)
            waiting += [*shown, *self._joined.get(name, ())]
        return roots

    def _put_together(self) -> bool:
        """Note items put into containers after these were made; return whether any is new."""
        changed = False
        for statement in statements(self.func_ir):
            for owner, item in self._pairs(statement):
                if item.name in self.scalars or not self.depth(owner.name):
                    continue
                for root in self.roots(owner.name):
                    items = self._joined.setdefault(root, set())
                    if self.depth(root) and item.name not in items:
                        items.add(item.name)
                        changed = True
        return changed

    def _pairs(self, statement: Any) -> list[tuple[Any, Any]]:
        """Return (container, item) of items that a statement may put into containers."""
        if isinstance(statement, ir.SetItem | ir.StaticSetItem | ir.SetAttr):
            return [(statement.target, statement.value)]
        expr = getattr(statement, "value", None)
        if not isinstance(expr, ir.Expr):
            return []
        if expr.op == "inplace_binop" and expr.fn in _JOINING:
            return [(expr.lhs, expr.rhs)]
        return self._call_effects(expr).joined if expr.op == "call" else []

    def joined(self) -> Iterator[tuple[str, set[str]]]:
        """Iterate over containers, by their roots, and names of items put into them."""
        yield from self._joined.items()


def _is_numpy(function: Any) -> bool:
    return (getattr(function, "__module__", None) or "").partition(".")[0] == "numpy"


def items_of(expr: Any) -> Any:
    """Return the variables in a container."""
    return [value for _, value in expr.items] if expr.op == "build_map" else expr.items
