"""Which variables are scalars: an analysis of the untyped IR, from the types of the arguments.

In-place operations on a number or a plain scalar change only the variable, not an array that others
see, and there is nothing to activate.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numba.core import ir, types

from ..numbers.registration import ELEMENTWISE
from ..numbers.types import PLAIN, NumberType, is_array
from .fresh import inputs_of, is_in
from .sharing import constant_of

_REFUSED = {range, complex}
"""Conversions that lose a derivative; they are refused even if the result is not used."""
NUMBERS_ONLY = {
    np.clip,
    np.around,
    operator.truth,
    *(getattr(math, f, None) for f in ("fmod", "cbrt")),
}
"""Functions that Numba does not support for plain numbers, or not for all types of them."""


def elementwise_function(func_ir: Any, expr: Any) -> Any:
    """Return the elementwise function of an expression without side effects, or None."""
    if expr.op in ("binop", "inplace_binop", "unary"):
        return expr.fn if expr.fn in ELEMENTWISE else None
    if expr.op != "call" or expr.kws or expr.vararg is not None:
        return None
    function = constant_of(func_ir, expr.func)
    if not is_in(function, ELEMENTWISE) or function in _REFUSED | NUMBERS_ONLY:
        return None
    inputs = inputs_of(function)
    is_read_only = inputs is None or len(expr.args) <= inputs
    return function if is_read_only else None


def scalars_of(func_ir: Any, arg_types: Any) -> set[str]:
    """Return the names of scalar variables; definitions must be up to date."""
    analysis = _Scalars(func_ir, arg_types)
    definitions = func_ir._definitions
    names = set(definitions)
    size = None
    while size != len(names):  # the greatest fixed point: everything computed from scalars only
        size = len(names)
        names = {n for n in names if all(analysis.is_scalar(d, names) for d in definitions[n])}
    return names


class _Scalars:
    """Which definitions of one function are scalars."""

    def __init__(self, func_ir: Any, arg_types: Any) -> None:
        self.func_ir = func_ir
        self.arg_types = arg_types

    def is_scalar(self, node: Any, names: set[str]) -> bool:
        """Whether a definition is a scalar, if these names are scalars."""
        if isinstance(node, ir.Const):
            return isinstance(node.value, float | int)
        if isinstance(node, ir.Arg):
            return isinstance(types.unliteral(self.arg_types[node.index]), (NumberType, *PLAIN))
        if isinstance(node, ir.Var):
            return node.name in names
        if not isinstance(node, ir.Expr):
            return False
        if node.op in ("getitem", "static_getitem"):
            return self._is_element(node, names)
        if node.op == "pair_first":  # the variable of a loop
            return self._is_counted(node.value)
        if node.op == "phi":
            return all(var.name in names for var in node.incoming_values if isinstance(var, ir.Var))
        operands = node.args if node.op == "call" else node.list_vars()
        return elementwise_function(self.func_ir, node) is not None and all(
            var.name in names for var in operands
        )

    def _is_element(self, expr: Any, names: set[str]) -> bool:
        """Whether an item is one element of an argument that is an array."""
        array = self._origin(expr.value)
        ty: Any = self.arg_types[array.index] if isinstance(array, ir.Arg) else None
        if not is_array(ty):
            return False
        if expr.op == "static_getitem":
            parts = expr.index if isinstance(expr.index, tuple) else (expr.index,)
            return len(parts) == ty.ndim and all(isinstance(part, int) for part in parts)
        index = self._origin(expr.index)
        variables = index.items if getattr(index, "op", None) == "build_tuple" else [expr.index]
        return len(variables) == ty.ndim and all(var.name in names for var in variables)

    def _is_counted(self, pair: Any) -> bool:
        """Whether a loop runs over a range, or over a vector that is an argument."""
        for op in ("iternext", "getiter"):
            node = self._origin(pair)
            if getattr(node, "op", None) != op:
                return False
            pair = node.value
        node = self._origin(pair)
        if isinstance(node, ir.Arg):
            ty = self.arg_types[node.index]
            return is_array(ty) and ty.ndim == 1
        return getattr(node, "op", None) == "call" and constant_of(self.func_ir, node.func) is range

    def _origin(self, var: Any) -> Any:
        """Return the definition of a variable, or of the one that it is a copy of."""
        node = var
        while isinstance(node, ir.Var):
            definitions = self.func_ir._definitions.get(node.name, ())
            node = definitions[0] if len(definitions) == 1 else None
        return node
