"""Which variables hold scalars: an analysis of the untyped IR, from the types of the arguments.

What is known to be a number or a plain scalar is no array: an in-place operation changes nothing
but the variable, and there is nothing to be activated.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numba.core import ir, types

from .elementary import ELEMENTWISE
from .fresh import inputs_of, is_in
from .numbertype import PLAIN, NumberType
from .showing import constant_of

__all__ = ["NUMBERS_ONLY", "elementwise_function", "scalars_of"]

_REFUSED = {int, range, complex}
"""Conversions that lose a derivative; the refusal does not depend on who uses the result."""
NUMBERS_ONLY = {
    np.clip,
    np.around,
    operator.truth,
    *(getattr(math, f, None) for f in ("fmod", "cbrt")),
}
"""What Numba does not have for plain numbers, or not for all that are."""


def elementwise_function(func_ir: Any, made: Any) -> Any:
    """Return the elementwise function of an expression that changes nothing, or None."""
    if made.op in ("binop", "inplace_binop", "unary"):
        return made.fn if made.fn in ELEMENTWISE else None
    if made.op != "call" or made.kws or made.vararg is not None:
        return None
    function = constant_of(func_ir, made.func)
    if not is_in(function, ELEMENTWISE) or function in _REFUSED | NUMBERS_ONLY:
        return None
    inputs = inputs_of(function)
    is_read_only = inputs is None or len(made.args) <= inputs
    return function if is_read_only else None


def scalars_of(func_ir: Any, arg_types: Any) -> set[str]:
    """Return the names of variables that hold scalars; definitions must be up to date."""
    analysis = _Scalars(func_ir, arg_types)
    definitions = func_ir._definitions
    names = set(definitions)
    size = None
    while size != len(names):  # what is made of scalars alone, loops included
        size = len(names)
        names = {n for n in names if all(analysis.is_scalar(d, names) for d in definitions[n])}
    return names


class _Scalars:
    """What makes scalars in one function."""

    def __init__(self, func_ir: Any, arg_types: Any) -> None:
        self.func_ir = func_ir
        self.arg_types = arg_types

    def is_scalar(self, made: Any, names: set[str]) -> bool:
        """Whether a definition makes a number, if these names are numbers."""
        if isinstance(made, ir.Const):
            return isinstance(made.value, float | int)
        if isinstance(made, ir.Arg):
            return isinstance(types.unliteral(self.arg_types[made.index]), (NumberType, *PLAIN))
        if isinstance(made, ir.Var):
            return made.name in names
        if not isinstance(made, ir.Expr):
            return False
        if made.op in ("getitem", "static_getitem"):
            return self._is_element(made, names)
        if made.op == "pair_first":  # what a loop gives
            return self._is_counted(made.value)
        if made.op == "phi":
            return all(var.name in names for var in made.incoming_values if isinstance(var, ir.Var))
        operands = made.args if made.op == "call" else made.list_vars()
        return elementwise_function(self.func_ir, made) is not None and all(
            var.name in names for var in operands
        )

    def _is_element(self, made: Any, names: set[str]) -> bool:
        """Whether an item is one element of an argument that is an array."""
        array = self._origin(made.value)
        ty = self.arg_types[array.index] if isinstance(array, ir.Arg) else None
        if not isinstance(ty, types.Array):
            return False
        if made.op == "static_getitem":
            parts = made.index if isinstance(made.index, tuple) else (made.index,)
            return len(parts) == ty.ndim and all(isinstance(part, int) for part in parts)
        index = self._origin(made.index)
        variables = index.items if getattr(index, "op", None) == "build_tuple" else [made.index]
        return len(variables) == ty.ndim and all(var.name in names for var in variables)

    def _is_counted(self, pair: Any) -> bool:
        """Whether a loop runs over a range, or over a vector that is an argument."""
        for op in ("iternext", "getiter"):
            made = self._origin(pair)
            if getattr(made, "op", None) != op:
                return False
            pair = made.value
        made = self._origin(pair)
        if isinstance(made, ir.Arg):
            ty = self.arg_types[made.index]
            return isinstance(ty, types.Array) and ty.ndim == 1
        return getattr(made, "op", None) == "call" and constant_of(self.func_ir, made.func) is range

    def _origin(self, var: Any) -> Any:
        """Return what a variable, or the one that it is a copy of, is defined by."""
        made = var
        while isinstance(made, ir.Var):
            definitions = self.func_ir._definitions.get(made.name, ())
            made = definitions[0] if len(definitions) == 1 else None
        return made
