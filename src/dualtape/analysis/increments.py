"""Sums that keep their row: ``s += e`` where the old value of s is not used again.

As a statement of its own, every execution of ``s += e`` would have an entry for the old s, and the
sweep would carry the adjoint of s through a chain of memory operations.  But if the old value is
dead afterwards, the new one may keep its row: the entries of e are recorded *for that row*.  When
the reverse sweep reaches them, contributions of later uses have been added to the row's adjoint and
those of earlier ones have not, so the adjoint is exactly that of the new s.

A sum is a web of names connected by copies, loops and increments that begins with constants.  It
qualifies if every name is dead once its row was passed on, so that the row has one owner at a time,
and if its value is only read where no increment can follow (comparisons use the primal and do not
count).

Measured in one run with and without (gradient / primal): Rosenbrock loop, n = 1000, 7.8 and 11.0;
Lennard-Jones, 50 bodies, 9.7 and 9.8 (few of its entries are those of the sum).
"""

from __future__ import annotations

import operator
from typing import Any

from numba.core import imputils, ir, types
from numba.core.ir_utils import build_definitions
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..backend.templates import type_global
from ..numbers.emitted import find_emitted, unwrap, wrap
from ..numbers.types import NumberType, partial_type, promote
from .rewriting import load, rewrite, statements


def increment(s: Any, e: Any) -> Any:
    """Return s + e, recorded for the row of s."""
    raise NotImplementedError


def decrement(s: Any, e: Any) -> Any:
    """Return s - e, recorded for the row of s."""
    raise NotImplementedError


PLAIN_OPERATOR = {increment: operator.add, decrement: operator.sub}
INCREMENTS = {
    operator.add: increment,
    operator.iadd: increment,
    operator.sub: decrement,
    operator.isub: decrement,
}
COMPARISONS = {
    operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne,
}  # fmt: skip


class _Increment(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        plain = [types.unliteral(arg) for arg in args]
        numbers = all(isinstance(ty, types.Number | types.Boolean | NumberType) for ty in plain)
        top = promote(plain) if numbers and any(isinstance(t, NumberType) for t in plain) else None
        if top is not None and top.slots:
            return signature(top, top, plain[1])
        return self.context.resolve_function_type(PLAIN_OPERATOR[type(self).key], args, {})

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "increment")


def _lowering(key: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        number = sig.return_type
        if not isinstance(number, NumberType) or not number.slots:
            return context.get_function(PLAIN_OPERATOR[key], sig)(builder, args)
        return _increment(context, builder, sig, args, PLAIN_OPERATOR[key])

    return lower


def _increment(context: Any, builder: Any, sig: Any, args: Any, op: Any) -> Any:
    number, other = sig.args
    s, e = (wrap(context, builder, t, v) for t, v in zip(sig.args, args, strict=True))
    total = op(s, e)
    result = context.make_helper(builder, number, value=args[0])
    result.m_value = _base(total.value, number.base)
    if getattr(other, "level", 0) == number.level:
        sign = 1.0 if op is operator.add else -1.0
        wide = partial_type(number.base)
        partials = [_base(sign * p, wide, total) for p in e.partials]
        number.face.add_to_row(result, s, e, partials, wide)
    return imputils.impl_ret_borrowed(context, builder, number, result._getvalue())


def _base(value: Any, base: Any, like: Any = None) -> Any:
    return unwrap(value, base, find_emitted(value) or find_emitted(like))


for _function in PLAIN_OPERATOR:
    type_global(_function, _Increment)
    lower_builtin((_function, "increment"), types.VarArg(types.Any))(_lowering(_function))


def keep_rows(func_ir: Any) -> None:
    """Replace the increments of sums that qualify; definitions must be up to date."""
    webs = _Webs(func_ir)
    sums = set[str]().union(*webs.qualified())

    def with_calls(scope: Any, statement: Any) -> list[Any]:
        if webs.is_increment(statement) and statement.target.name in sums:
            return [_load_increment(scope, statement), statement]
        return [statement]

    rewrite(func_ir, with_calls)
    func_ir._definitions = build_definitions(func_ir.blocks)


def _load_increment(scope: Any, statement: Any) -> Any:
    """Turn ``s + e`` into a call; return the statement that loads the function."""
    expr, loc = statement.value, statement.loc
    var, assignment = load(scope, INCREMENTS[_operator_of(expr)], loc)
    statement.value = ir.Expr.call(var, [expr.lhs, expr.rhs], (), loc)
    return assignment


def _operator_of(expr: Any) -> Any:
    return expr.immutable_fn if expr.op == "inplace_binop" else expr.fn


class _Webs:
    """Sums of a function: names joined by copies, phi nodes and increments."""

    def __init__(self, func_ir: Any) -> None:
        self.func_ir = func_ir
        self.parent: dict[str, str] = {}
        for statement in statements(func_ir):
            for source in self._row_sources(statement):
                self._join(statement.target.name, source.name)

    def is_increment(self, statement: Any) -> bool:
        """Whether a statement adds to its left operand."""
        expr: Any = getattr(statement, "value", None)
        return (
            isinstance(statement, ir.Assign)
            and getattr(expr, "op", None) in ("binop", "inplace_binop")
            and _operator_of(expr) in INCREMENTS
            and expr.lhs.name != expr.rhs.name
        )

    def _row_sources(self, statement: Any) -> list[Any]:
        """Return the variables whose row a statement would pass on to its target."""
        if not isinstance(statement, ir.Assign):
            return []
        value = statement.value
        if isinstance(value, ir.Var):
            return [value]
        if getattr(value, "op", None) == "phi":
            return [v for v in value.incoming_values if isinstance(v, ir.Var)]
        return [value.lhs] if self.is_increment(statement) else []

    def _root(self, name: str) -> str:
        while self.parent.get(name, name) != name:
            name = self.parent[name]
        return name

    def _join(self, a: str, b: str) -> None:
        for name in (a, b):
            self.parent.setdefault(name, name)
        self.parent[self._root(a)] = self._root(b)

    def qualified(self) -> list[set[str]]:
        """Return the webs whose increments may keep their row."""
        webs: dict[str, set[str]] = {}
        for name in self.parent:
            webs.setdefault(self._root(name), set()).add(name)
        return [web for web in webs.values() if self._qualifies(web)]

    def _qualifies(self, web: set[str]) -> bool:
        increments = starts = joins = 0
        for name in web:
            for node in self.func_ir._definitions.get(name, ()):
                passes_row_on = isinstance(node, ir.Var) or getattr(node, "op", None) == "phi"
                if isinstance(node, ir.Const) and isinstance(node.value, float):
                    starts += 1
                elif getattr(node, "op", None) in ("binop", "inplace_binop"):
                    increments += 1
                elif not passes_row_on:
                    return False
                else:
                    joins += getattr(node, "op", None) == "phi"
        if not (increments and starts and joins):  # without a loop, 1.0 - x would be one
            return False
        return _Flow(self, web).is_sound()


class _Flow:
    """Whether names of a web are dead once their row was passed on, and read only at the end.

    Two backward data flow analyses over the blocks b of the control flow graph, with the effect of
    the statements of b in reverse order as the transfer function T_b:

        live(b)  = T_b(union over successors s of edge(b, s))     names whose value is still used
        grows(b) = T_b(any over successors s of grows(s))         an increment may still follow

    A phi node x = phi(v from b, ...) in s is a copy x = v on the edge from b: on that edge x dies
    and v is live, ``edge(b, s) = (live(s) - {x}) | {v}``; v is moved there, so it must not be live
    in s itself.  Both functions are monotone and the sets finite: iterated from empty sets they
    reach the least fixed point, where the conditions are checked at every statement.
    """

    def __init__(self, webs: _Webs, web: set[str]) -> None:
        self.webs = webs
        self.web = web
        self.blocks = webs.func_ir.blocks
        self.successors = {
            label: block.terminator.get_targets() for label, block in self.blocks.items()
        }
        self.live: dict[int, frozenset[str]] = dict.fromkeys(self.blocks, frozenset())
        self.grows: dict[int, bool] = dict.fromkeys(self.blocks, False)

    def is_sound(self) -> bool:
        """Iterate `live` and `grows` to the fixed point, then check every block."""
        changed = True
        while changed:
            changed = False
            for label in self.blocks:
                live, grows, _ = self._backward(label)
                if live != self.live[label] or grows != self.grows[label]:
                    self.live[label], self.grows[label] = live, grows
                    changed = True
        return all(self._backward(label)[2] for label in self.blocks)

    def _backward(self, label: int) -> tuple[frozenset[str], bool, bool]:
        """Return `live` and `grows` at the start of a block, and whether the block is sound."""
        live, grows, sound = set(), False, True
        for successor in self.successors[label]:
            after = set(self.live[successor])
            for statement in self.blocks[successor].body:
                expr: Any = getattr(statement, "value", None)
                if getattr(expr, "op", None) != "phi" or statement.target.name not in self.web:
                    continue
                after.discard(statement.target.name)
                incoming = expr.incoming_values[expr.incoming_blocks.index(label)]
                if isinstance(incoming, ir.Var):
                    sound &= incoming.name not in self.live[successor]
                    after.add(incoming.name)
            live |= after
            grows |= self.grows[successor]
        for statement in reversed(self.blocks[label].body):
            grows, ok = self._before(statement, live, grows)
            sound &= ok
        return frozenset(live), grows, sound

    def _before(self, statement: Any, live: set[str], grows: bool) -> tuple[bool, bool]:
        """Apply the transfer function of a statement; return `grows` before it, and soundness."""
        expr: Any = getattr(statement, "value", None)
        if isinstance(statement, ir.Del) or getattr(expr, "op", None) == "phi":
            return grows, True
        sound = True
        target = statement.target.name if isinstance(statement, ir.Assign) else None
        inside = target in self.web
        if inside:
            live.discard(target)
        passed = {v.name for v in self.webs._row_sources(statement)} if inside else set()
        used = {v.name for v in statement.list_vars() if v.name in self.web} - {target}
        sound &= not (passed & live)  # the row has one owner: the old name must be dead
        reads = used - passed
        is_comparison = getattr(expr, "op", None) == "binop" and expr.fn in COMPARISONS
        if reads and grows and not is_comparison:
            sound = False
        live |= used
        if inside and isinstance(expr, ir.Const):  # a new sum starts here, in a row of its own
            grows = False
        if inside and self.webs.is_increment(statement):
            grows = True
        return grows, sound
