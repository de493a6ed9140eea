"""Even powers of kinks: smooth functions, recognised in the IR of a twin.

``abs(x)**2`` is x * x, but the second derivative of abs is 0 where x is 0, so the chain rule gives
0 for the second derivative of the square, which is 2; that of ``sqrt(x * x)**2`` is NaN.  Where
the IR shows that an even power is taken of a kink (abs, hypot, a norm, a square root, a standard
deviation), also of its negative and of products and quotients with other values, the power is
formed of the operands of the kink: for ``r = K(x)``, ``w = r * c`` and ``w**4``

    s = square_of_K(x);   s' = (s * c) * c;   smooth(w**4, s'**2)

each beside the statement it belongs to, where operands have the values that the statement saw.
The value stays that of ``w**4``.  What is formed of arrays that are written to, in branches, or in
another function than the kink, is left as it is.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numba.core import ir
from numba.core.ir_utils import mk_unique_var

from .kinks import (
    smooth,
    square_of_absolute,
    square_of_deviation,
    square_of_hypot,
    square_of_norm,
    square_of_root,
)
from .showing import constant_of

__all__ = ["smooth_squares"]

KINKS = {
    abs: square_of_absolute,
    np.abs: square_of_absolute,
    np.fabs: square_of_absolute,
    math.fabs: square_of_absolute,
    np.hypot: square_of_hypot,
    math.hypot: square_of_hypot,
    np.sqrt: square_of_root,
    math.sqrt: square_of_root,
    np.std: square_of_deviation,
    np.linalg.norm: square_of_norm,
}
POWERS = {np.power, np.float_power, math.pow, pow}
EUCLIDEAN = (None, 2, "fro")
SIGNS = {operator.neg, operator.pos}
PRODUCTS = {operator.mul, operator.imul}
QUOTIENTS = {operator.truediv, operator.itruediv}
EXPONENTIATIONS = {operator.pow, operator.ipow}


def smooth_squares(func_ir: Any, written: set[str]) -> None:
    """Form even powers of kinks of what the kinks are made of; definitions must be up to date.

    Parameters
    ----------
    func_ir : numba FunctionIR
    written : set of str
        Names of what may be written to after it was made.
    """
    found = _Squares(func_ir, written)
    powers = {}
    for block in func_ir.blocks.values():
        for statement in block.body:
            power = found.even_power(statement)
            square = None if power is None else found.square(power[0])
            if power is not None and square is not None:
                powers[id(statement)] = square, power[1] // 2
    if not powers:
        return
    for block in func_ir.blocks.values():
        body: list[Any] = []
        for statement in block.body:
            if id(statement) in powers:
                body += _smoothed(block.scope, statement, *powers[id(statement)])
            else:
                body.append(statement)
            if isinstance(statement, ir.Assign):
                body += found.beside.get(statement.target.name, ())
        block.body = body


class _Squares:
    """Squares of the names of a function that hold kinks, and the statements that form them."""

    def __init__(self, func_ir: Any, written: set[str]) -> None:
        self.func_ir, self.written = func_ir, written
        self.squares: dict[str, Any] = {}
        self.beside: dict[str, list[Any]] = {}
        """What is put behind the definition of a name."""

    def even_power(self, statement: Any) -> tuple[Any, int] | None:
        """Return base and exponent, where a statement forms an even power."""
        made = getattr(statement, "value", None)
        if not isinstance(statement, ir.Assign) or not isinstance(made, ir.Expr):
            return None
        base, exponent = None, None
        if made.op in ("binop", "inplace_binop"):
            if made.fn in PRODUCTS and self._root(made.lhs) == self._root(made.rhs):
                return made.lhs, 2
            if made.fn in EXPONENTIATIONS:
                base, exponent = made.lhs, self._constant(made.rhs)
        elif made.op == "call" and not made.kws:
            function = self._called(made)
            if function is np.square and len(made.args) == 1:
                return made.args[0], 2
            if function in POWERS and len(made.args) == 2:
                base, exponent = made.args[0], self._constant(made.args[1])
        if isinstance(exponent, int | float) and exponent > 0 and exponent % 2 == 0:
            return base, int(exponent)
        return None

    def square(self, var: Any) -> Any:
        """Return the variable that holds the square of a kink, or None."""
        name = var.name
        if name not in self.squares:
            self.squares[name] = None
            made = self._definition(name)
            if made is not None and name not in self.written:
                self.squares[name] = self._square_of(var, made)
        return self.squares[name]

    def _square_of(self, var: Any, made: Any) -> Any:
        if isinstance(made, ir.Var):
            return self.square(made)
        if not isinstance(made, ir.Expr):
            return None
        if made.op == "unary" and made.fn in SIGNS:
            return self.square(made.value)
        if made.op in ("binop", "inplace_binop"):
            return self._square_of_operation(var, made)
        return self._square_of_call(var, made) if made.op == "call" else None

    def _square_of_call(self, var: Any, made: Any) -> Any:
        function, args = self._called(made), made.args
        if function is None:
            return self._square_of_method(var, made)
        kink = KINKS.get(function)
        if kink is square_of_norm and self._is_euclidean(made):
            return self._beside(var, kink, args[:1])
        if made.kws or kink is square_of_norm:
            return None
        if function in POWERS and len(args) == 2 and self._constant(args[1]) == 0.5:
            return self._beside(var, square_of_root, args[:1])
        if len(args) == 1 and (function is float or kink is square_of_absolute):
            inner = self.square(args[0])
            if inner is not None or function is float:
                return inner
        if kink is None or len(args) != (2 if kink is square_of_hypot else 1):
            return None
        return self._beside(var, kink, args)

    def _is_euclidean(self, made: Any) -> bool:
        order = [*made.args[1:], *(value for _, value in made.kws)]
        return all(self._constant(value, missing=()) in EUCLIDEAN for value in order)

    def _square_of_operation(self, var: Any, made: Any) -> Any:
        left, right = made.lhs, made.rhs
        if made.fn in EXPONENTIATIONS and self._constant(right) == 0.5:
            return self._beside(var, square_of_root, [left])
        if made.fn in PRODUCTS:
            square, factor = self.square(left), right
            if square is None:
                square, factor = self.square(right), left
            return None if square is None else self._scaled(var, operator.mul, square, factor)
        if made.fn in QUOTIENTS:
            square = self.square(left)
            return None if square is None else self._scaled(var, np.divide, square, right)
        return None

    def _square_of_method(self, var: Any, made: Any) -> Any:
        method = self._definition(made.func.name)
        is_method = isinstance(method, ir.Expr) and method.op == "getattr"
        if is_method and method.attr == "std" and not made.args and not made.kws:
            return self._beside(var, square_of_deviation, [method.value])
        return None

    def _beside(self, var: Any, function: Any, args: Any) -> Any:
        made, statements = _call(var.scope, function, args, var.loc)
        self.beside.setdefault(var.name, []).extend(statements)
        return made

    def _scaled(self, var: Any, operation: Any, square: Any, factor: Any) -> Any:
        """Multiply or divide by the square of a factor, twice by itself: it may not overflow."""
        for _ in range(2):
            square = self._beside(var, operation, [square, factor])
        return square

    def _definition(self, name: str) -> Any:
        definitions = self.func_ir._definitions.get(name, ())
        return definitions[0] if len(definitions) == 1 else None

    def _root(self, var: Any) -> str:
        name, made = var.name, self._definition(var.name)
        while isinstance(made, ir.Var):
            name, made = made.name, self._definition(made.name)
        return str(name)

    def _constant(self, var: Any, missing: Any = None) -> Any:
        made = self._definition(self._root(var))
        if isinstance(made, ir.Expr) and made.op == "unary" and made.fn is operator.neg:
            value = self._constant(made.value)
            return -value if isinstance(value, int | float) else missing
        return made.value if isinstance(made, ir.Const | ir.Global | ir.FreeVar) else missing

    def _called(self, made: Any) -> Any:
        function = constant_of(self.func_ir, made.func)
        try:
            hash(function)
        except TypeError:
            return None
        return function


def _call(scope: Any, function: Any, args: Any, loc: Any) -> tuple[Any, list[Any]]:
    """Return the variable that holds the result of a call, and the statements."""
    made = ir.Var(scope, mk_unique_var("$square"), loc)
    if function is operator.mul:
        return made, [ir.Assign(ir.Expr.binop(function, *args, loc), made, loc)]
    called = ir.Var(scope, mk_unique_var("$function"), loc)
    return made, [
        ir.Assign(ir.Global(function.__name__, function, loc), called, loc),
        ir.Assign(ir.Expr.call(called, list(args), (), loc), made, loc),
    ]


def _smoothed(scope: Any, statement: Any, square: Any, exponent: int) -> list[Any]:
    """Return a statement that forms an even power, with the derivatives of a power of a square."""
    loc, target = statement.loc, statement.target
    power, before = square, []
    if exponent > 1:
        number = ir.Var(scope, mk_unique_var("$exponent"), loc)
        power = ir.Var(scope, mk_unique_var("$square"), loc)
        expr = ir.Expr.binop(operator.pow, square, number, loc)
        before = [ir.Assign(ir.Const(exponent, loc), number, loc), ir.Assign(expr, power, loc)]
    plain = ir.Var(scope, mk_unique_var("$power"), loc)
    made, calls = _call(scope, smooth, [plain, power], loc)
    return [*before, ir.Assign(statement.value, plain, loc), *calls, ir.Assign(made, target, loc)]
