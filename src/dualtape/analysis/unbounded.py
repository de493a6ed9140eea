"""Which variables may be infinite: an analysis for products that go forward.

If one element of an array overflows, its own derivative is infinite, and those by all other
inputs are 0 times infinity in every product it takes part in: NaN, where reverse mode has zeros.
Products that check for this cost a comparison and a branch, a quarter of the time of a loop that
only multiplies.  So a product is checked (watched) only if an operand may be infinite: if it
depends, in this function, on a function that can overflow or has a pole (exp, log, a quotient, a
large power), on elements of an array in which such a value is stored, or on the result of a
function that contains one.  Polynomials count as finite, and so do arguments.

Numba internals used (seen in 0.66 to 0.68): ``typemap`` and ``calltypes`` of the compiler's
state; ``fn`` and ``immutable_fn`` of operators in the IR.
"""

from __future__ import annotations

import dis
import functools
import itertools
import operator
from types import CodeType
from typing import Any

import numpy as np
from numba.core import ir, types

from ..backend.special import SpecialFunction
from ..backend.symbols import SPECIAL_FUNCTIONS
from ..numbers.evaluation import jet_of
from ..numbers.registration import ELEMENTWISE
from ..numbers.types import NumberType
from ..numbers.watched import WATCHED
from ..rules.rule import Rule
from ..rules.table import RULES
from .fresh import is_in
from .rewriting import statements

PROBES = (0.0, 1.0, -1.0, 2e3, -2e3)
LARGEST_TAME = 2  # a larger power may overflow
QUOTIENTS = {operator.truediv, operator.itruediv, np.divide}
POWERS = {operator.pow, operator.ipow, np.power, pow}


def watch_products(state: Any) -> None:
    """Watch products and powers of operands that may be infinite; after type inference."""
    infinite = _Unbounded(state).names
    if not infinite:
        return
    for statement in statements(state.func_ir):
        expr: Any = getattr(statement, "value", None)
        if getattr(expr, "op", None) not in ("binop", "inplace_binop"):
            continue
        watched = WATCHED.get(expr.fn)
        if watched is not None and _matters(expr, state.typemap, infinite):
            expr.fn = watched
            if expr.op == "inplace_binop":
                expr.immutable_fn = WATCHED[expr.immutable_fn]


def _matters(expr: Any, typemap: Any, infinite: set[str]) -> bool:
    """Whether a factor of a derivative may be infinite; passive operands have no derivative."""
    x, y = expr.lhs.name, expr.rhs.name
    active = [_is_active(typemap[name]) for name in (x, y)]
    if all(active):
        return x in infinite or y in infinite
    if expr.fn in POWERS:
        return active[0] and x in infinite
    return (active[0] and y in infinite) or (active[1] and x in infinite)


def _is_active(ty: Any) -> bool:
    return isinstance(getattr(ty, "dtype", ty), NumberType)


@functools.cache
def has_pole(rule: Rule) -> bool:
    """Whether values or derivatives of a rule are infinite or NaN at ordinary points."""
    is_elementary = RULES.get(rule.name) is rule and not rule.parameters
    if not is_elementary or isinstance(rule.value, SpecialFunction):
        return True  # unknown, or not worth the time of finding out
    points = itertools.product(PROBES, repeat=rule.arity)
    return not all(np.isfinite(jet_of(rule, list(point))).all() for point in points)


@functools.cache
def rule_of(function: Any) -> Rule | None:
    """Return the rule of a function of `math` or NumPy."""
    if isinstance(function, Rule):
        return function
    return next((rule for rule in RULES.values() if function in rule.targets), None)


@functools.cache
def names_with_poles() -> set[str]:
    """Return the names of functions with poles in source code."""
    poles = [rule for rule in RULES.values() if has_pole(rule)]
    special = {described.partition(":")[0].lstrip("_") for described in SPECIAL_FUNCTIONS}
    return (
        {target.__name__ for rule in poles for target in rule.targets}
        | {name for rule in poles for name in rule.scipy}
        | (special | {"voigt_profile", "logsumexp", "softmax", "log_softmax"})
    )


def contains_pole(function: Any, seen: set[Any]) -> bool:
    """Whether a function, or one that it calls, divides or calls a function with a pole."""
    code = getattr(function, "__code__", None)
    if code is None or code in seen:
        return False
    seen.add(code)
    if names_with_poles().intersection(code.co_names) or _divides(code):
        return True
    globals_used = [function.__globals__.get(name) for name in code.co_names]
    enclosed = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    return any(contains_pole(getattr(f, "py_func", f), seen) for f in (*globals_used, *enclosed))


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _divides(code: CodeType) -> bool:
    """Whether code divides, or computes a power with a large or unknown exponent."""
    before = None
    for instruction in dis.get_instructions(code):
        if instruction.opname == "BINARY_OP":
            symbol = instruction.argrepr.rstrip("=")
            tame = before is not None and before.argval in range(LARGEST_TAME + 1)
            if symbol in ("/", "//", "%") or (symbol == "**" and not tame):
                return True
        before = instruction
    return False


class _Unbounded:
    """The names of values that may be infinite."""

    def __init__(self, state: Any) -> None:
        self.typemap = state.typemap
        self.users: dict[str, list[str]] = {}  # names computed from a name
        self.sources: dict[str, list[str]] = {}  # names that may share the memory of a name
        self.stored: dict[str, list[str]] = {}  # names of containers in which a name is stored
        self.constants: dict[str, Any] = {}
        self.names: set[str] = set()
        for statement in statements(state.func_ir):
            if isinstance(getattr(statement, "value", None), ir.Const | ir.Global | ir.FreeVar):
                self.constants[statement.target.name] = statement.value.value
        begin = [name for statement in statements(state.func_ir) for name in self._enter(statement)]
        self._propagate(begin)

    def _enter(self, statement: Any) -> list[str]:
        """Note dependences; return the names that may be infinite by themselves."""
        if isinstance(statement, ir.SetItem | ir.StaticSetItem | ir.SetAttr | ir.StoreMap):
            self.stored.setdefault(statement.value.name, []).append(statement.target.name)
            return []
        if not isinstance(statement, ir.Assign):
            return []
        value, target = statement.value, statement.target.name
        if isinstance(value, ir.Var):
            self._pass_on([value.name], target, shares=True)
        if not isinstance(value, ir.Expr):
            return []
        operands = [var.name for var in value.list_vars()]
        function = self._function(value)
        if function is None or value.op == "phi":
            self._pass_on(operands, target, shares=True)
            if value.op == "call":
                self._pass_into(value)
            return [target] if self._returns_pole(value) else []
        self._pass_on(operands, target, shares=False)
        return [target] if self._is_source(function, operands) else []

    def _pass_on(self, operands: list[str], target: str, *, shares: bool) -> None:
        for name in operands:
            self.users.setdefault(name, []).append(target)
        if shares:
            self.sources.setdefault(target, []).extend(operands)

    def _pass_into(self, expr: Any) -> None:
        """Note that a method may store its arguments (``items.append(x)``)."""
        for var in expr.args:
            self.stored.setdefault(var.name, []).append(expr.func.name)

    def _function(self, expr: Any) -> Any:
        """Return the elementwise function of an expression."""
        if expr.op in ("binop", "inplace_binop", "unary"):
            return expr.fn
        if expr.op != "call":
            return None
        ty = self.typemap.get(expr.func.name)
        key = getattr(ty, "typing_key", None) if isinstance(ty, types.Function) else None
        return key if is_in(key, ELEMENTWISE) else None

    def _is_source(self, function: Any, operands: list[str]) -> bool:
        if function in QUOTIENTS:
            divisor = operands[-1]
            return divisor not in self.constants and _is_active(self.typemap[divisor])
        if function in POWERS:
            exponent = self.constants.get(operands[-1])
            return not isinstance(exponent, int | float) or not 0 <= exponent <= LARGEST_TAME
        rule = rule_of(function)
        return rule is not None and has_pole(rule)

    def _returns_pole(self, expr: Any) -> bool:
        if expr.op != "call":
            return False
        dispatcher = getattr(self.typemap.get(expr.func.name), "dispatcher", None)
        return contains_pole(getattr(dispatcher, "py_func", None), set())

    def _propagate(self, begin: list[str]) -> None:
        storage: set[str] = set()
        todo = [(name, False) for name in begin]
        while todo:
            name, is_storage = todo.pop()
            if is_storage and name not in storage:
                storage.add(name)
                todo += [(source, True) for source in self.sources.get(name, ())]
            if name not in self.names:
                self.names.add(name)
                todo += [(user, False) for user in self.users.get(name, ())]
                todo += [(target, True) for target in self.stored.get(name, ())]
