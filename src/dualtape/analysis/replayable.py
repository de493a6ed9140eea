"""Whether the structure of a function's recordings is decided by what a replay compares.

A replay (see `tape.stream`) compares shapes, integers and decisions.  So wherever a float becomes
an integer or a truth value, it must be one of the comparisons that are noted; and functions whose
results have shapes, or statements, that depend on anything else must not be called.  What is not
listed here is refused, and then every call records a tape.
"""

from __future__ import annotations

import builtins
import math
import operator
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
from numba.core import ir, types
from numba.core.extending import _Intrinsic

from ..errors import DualtapeError
from ..functions.cells import SMALL
from ..numbers.registration import ELEMENTWISE
from ..numbers.streamed import is_streamed, noted
from ..numbers.types import NumberType, is_array
from ..rules.rule import Rule
from .fresh import CONSTRUCTORS, is_in
from .increments import PLAIN_OPERATOR as INCREMENTS
from .record_points import COMPARISONS
from .rewriting import statements
from .sharing import constant_of


class NotReplayableError(DualtapeError):
    """A function whose recordings cannot be replayed; users never see it."""


_PASSING = {
    "phi", "cast", "getiter", "iternext", "pair_first", "pair_second", "exhaust_iter", "null",
    "build_tuple", "build_list",
}  # fmt: skip
_BY_SHAPE = {len, np.shape, np.size, np.ndim}
"""Functions that look at shapes only."""
_DECIDING = COMPARISONS | {bool, operator.not_, operator.truth}
_REARRANGING = {
    np.copy, np.reshape, np.ravel, np.transpose, np.roll, np.concatenate, np.where,
    np.asarray, np.ascontiguousarray,
}  # fmt: skip
_METHODS = {"list.append"}
_METHODS |= {f"array.{name}" for name in ("copy", "reshape", "ravel", "transpose", "sum", "mean")}
_ATTRIBUTES = {"shape", "size", "ndim", "T", "dtype", "real"}
_MAKERS = CONSTRUCTORS - {np.arange}  # whose size may be decided by floats
_RANDOM = {f for module in (np.random, random) for f in vars(module).values() if callable(f)}
_PLAIN_MODULES = {"numpy", "math", "builtins", "operator", "_operator", "numba", "dualtape"}


def require_replayable(state: Any) -> None:
    """Raise unless the recordings of a function, whose types are inferred, can be replayed."""
    check = _Check(state)
    for ty in state.args:
        check.argument(ty)
    for statement in statements(state.func_ir):
        if not check.is_known(statement):
            raise NotReplayableError(f"{state.func_ir.func_id.func_name}: {statement}")


class _Check:
    """The statements of one function, with their types."""

    def __init__(self, state: Any) -> None:
        self.func_ir, self.typemap = state.func_ir, state.typemap

    def argument(self, ty: Any) -> None:
        """Raise if a replay could not tell whether an argument is the same."""
        if isinstance(ty, types.BaseTuple):
            for item in ty:
                self.argument(item)
        elif not isinstance(ty, _ARGUMENTS) and not (is_array(ty) and isinstance(ty.dtype, _ITEMS)):
            raise NotReplayableError(f"argument of type {ty}")

    def is_known(self, statement: Any) -> bool:
        """Whether a statement takes no decision but those that are noted."""
        if isinstance(statement, ir.SetItem | ir.StaticSetItem):
            return self._is_known_store(statement)
        if isinstance(statement, ir.Assign):
            return self._is_known_value(statement)
        return isinstance(
            statement, ir.Del | ir.Jump | ir.Branch | ir.Return | ir.Raise | ir.StaticRaise
        )

    def _type(self, var: Any) -> Any:
        return self.typemap[var.name]

    def _is_known_store(self, statement: Any) -> bool:
        container, value = self._type(statement.target), self._type(statement.value)
        if not isinstance(container, types.Array | types.List):
            return False
        if isinstance(statement, ir.SetItem) and not _is_index(self._type(statement.index)):
            return False
        return not (_has(container, _INTEGERS) and _has(value, _FLOATS))

    def _is_known_value(self, statement: Any) -> bool:
        value, result = statement.value, self._type(statement.target)
        if isinstance(value, ir.Global | ir.FreeVar):
            return not isinstance(result, types.Array) or _is_fixed(value.value)
        if isinstance(value, ir.Arg | ir.Const | ir.Var):
            return True
        if not isinstance(value, ir.Expr):
            return False
        if value.op in _PASSING:
            return True
        if value.op in ("getitem", "static_getitem", "typed_getitem"):
            is_static = value.op == "static_getitem"
            index = is_static or _is_index(self._type(value.index))
            container = self._type(value.value)
            return index and isinstance(container, types.Array | types.BaseTuple | types.List)
        if value.op == "getattr":
            is_module = isinstance(self._type(value.value), types.Module | types.NumberClass)
            return is_module or value.attr in _ATTRIBUTES or isinstance(result, types.BoundFunction)
        if value.op in ("binop", "inplace_binop", "unary"):
            operands = [value.value] if value.op == "unary" else [value.lhs, value.rhs]
            function = value.immutable_fn if value.op == "inplace_binop" else value.fn
            return self._is_known_operation(function, list(map(self._type, operands)), result)
        return value.op == "call" and self._is_known_call(value, result)

    def _is_known_operation(self, function: Any, args: list[Any], result: Any) -> bool:
        """Whether an elementwise operation is noted where it decides."""
        if not any(_has(ty, _FLOATS) for ty in args):
            return True
        if _has(result, _INTEGERS):
            if any(is_streamed(getattr(ty, "dtype", ty)) for ty in args):
                return is_in(function, _DECIDING)
            return is_in(function, COMPARISONS) and all(isinstance(ty, _REAL) for ty in args)
        return is_in(function, ELEMENTWISE)

    def _is_known_call(self, expr: Any, result: Any) -> bool:
        function_type = self._type(expr.func)
        variables = [*expr.args, *(var for _, var in expr.kws)]
        args = list(map(self._type, variables))
        if expr.vararg is not None or any(isinstance(ty, _UNKNOWN) for ty in args):
            return False
        content = getattr(args[0], "content", None) if args else None
        if isinstance(content, types.Array):  # of a cell, which is read where it is
            return not _has(content, _INTEGERS)
        if isinstance(function_type, types.BoundFunction):
            key = function_type.typing_key
            name = f"array.{key[1]}" if isinstance(key, tuple) else key
            return name in _METHODS
        function = constant_of(self.func_ir, expr.func)
        if is_in(function, _RANDOM):
            return False
        has_floats = any(_has(ty, _FLOATS) for ty in args)
        if getattr(function, "is_twin", False):
            is_checked = any(_has_streamed(ty) for ty in args)
            return is_checked or not has_floats or _is_float(result)
        if not _is_of_library(function):
            return False
        is_by_shape = is_in(function, _BY_SHAPE | {enumerate, zip})
        if not has_floats or is_by_shape or function is noted:
            return True
        if isinstance(function, _Intrinsic):  # a cast may make an integer
            return not _has(result, _INTEGERS)
        if is_in(function, {max, min}) and any(map(is_array, args)):  # of an array's elements
            return False
        if isinstance(function, Rule) or is_in(function, ELEMENTWISE):
            return self._is_known_operation(function, args, result)
        if is_in(function, INCREMENTS):
            return not _has(result, _INTEGERS)
        if any(_has_streamed(ty) for ty in args) or is_array(result):
            is_known = is_in(function, _MAKERS | _REARRANGING | {np.sum, np.mean})
            return is_known and not _has(result, _INTEGERS)
        return _is_float(result)


_ARGUMENTS = (
    NumberType, types.Float, types.Integer, types.Boolean, types.NoneType, types.Omitted,
    types.IntegerLiteral, types.BooleanLiteral,
)  # fmt: skip
_ITEMS = (NumberType, types.Float, types.Integer, types.Boolean)
_REAL = (types.Float, types.Integer, types.Boolean)
_FLOATS = (NumberType, types.Float, types.Complex)
_INTEGERS = (types.Integer, types.Boolean)
_UNKNOWN = (types.DictType, types.Set, types.NumPyRandomGeneratorType, types.UnicodeType)


def _has(ty: Any, kinds: Any) -> bool:
    """Whether a value of a type is, or contains, one of these kinds."""
    if isinstance(ty, types.BaseTuple):
        return any(_has(item, kinds) for item in ty)
    if isinstance(ty, types.Optional):
        return _has(ty.type, kinds)
    if isinstance(ty, types.Literal):
        return isinstance(types.unliteral(ty), kinds)
    if isinstance(ty, types.IterableType) and hasattr(ty, "dtype"):
        return _has(ty.dtype, kinds)
    return isinstance(ty, kinds)


def _has_streamed(ty: Any) -> bool:
    return any(map(is_streamed, _leaves(ty)))


def _leaves(ty: Any) -> Iterator[Any]:
    if isinstance(ty, types.BaseTuple):
        for item in ty:
            yield from _leaves(item)
    elif hasattr(ty, "dtype"):
        yield from _leaves(ty.dtype)
    else:
        yield ty


def _is_float(ty: Any) -> bool:
    """Whether a result is a float, or nothing."""
    return isinstance(ty, types.Float | types.NoneType)


def _is_index(ty: Any) -> bool:
    """Whether an index selects by position."""
    if isinstance(ty, types.BaseTuple):
        return all(map(_is_index, ty))
    return isinstance(
        ty, types.Integer | types.SliceType | types.EllipsisType | types.NoneType | types.Literal
    )


def _is_fixed(array: Any) -> bool:
    """Whether an array that is read from outside decides nothing, or is a constant of the code."""
    return array.dtype.kind in "fc" or array.nbytes <= SMALL


def _is_of_library(function: Any) -> bool:
    module = getattr(function, "__module__", None)
    if isinstance(function, _Intrinsic):
        module = function._defn.__module__
    if isinstance(function, np.ufunc | type | Rule):
        return True
    named = (math, np, builtins, operator)
    is_known = any(getattr(m, getattr(function, "__name__", ""), None) is function for m in named)
    return is_known or (module or "").partition(".")[0] in _PLAIN_MODULES
