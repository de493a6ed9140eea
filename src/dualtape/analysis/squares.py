"""Even powers of kinks: smooth functions, recognised in the IR of a twin.

``abs(x)**2`` is x * x, but the second derivative of abs is 0 where x is 0, so the chain rule gives
0 for the second derivative of the square, which is 2; that of ``sqrt(x * x)**2`` is NaN.  Where
the IR shows an even power of a kink (abs, hypot, a norm, a square root, a standard deviation), of
its negative or of its products and quotients with other values, the power is formed from the
operands of the kink: for ``r = K(x)``, ``w = r * c`` and ``w**4``

    s = square_of_K(x);   s' = (s * c) * c;   smooth(w**4, s'**2)

each next to the statement it belongs to, where the operands still have the same values.  The value
remains that of ``w**4``.  Powers of arrays that are written to, in branches, or in another function
than the kink, are not changed.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numba.core import ir

from ..arrays.kinks import (
    smooth,
    square_of_absolute,
    square_of_deviation,
    square_of_hypot,
    square_of_norm,
    square_of_root,
)
from .rewriting import call, new_variable, rewrite, statements
from .sharing import constant_of

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
    """Form even powers of kinks from the operands of the kinks; definitions must be up to date.

    Parameters
    ----------
    func_ir : numba FunctionIR
    written : set of str
        Names of arrays that may be written to.
    """
    analysis = _Squares(func_ir, written)
    powers = {}
    for statement in statements(func_ir):
        power = analysis.even_power(statement)
        square = None if power is None else analysis.square(power[0])
        if power is not None and square is not None:
            powers[id(statement)] = square, power[1] // 2

    def with_squares(scope: Any, statement: Any) -> list[Any]:
        lines = [statement]
        if id(statement) in powers:
            lines = _smoothed(scope, statement, *powers[id(statement)])
        if isinstance(statement, ir.Assign):
            lines += analysis.beside.get(statement.target.name, ())
        return lines

    if powers:
        rewrite(func_ir, with_squares)


class _Squares:
    """Squares of the kinks in a function by name, and the statements that form them."""

    def __init__(self, func_ir: Any, written: set[str]) -> None:
        self.func_ir, self.written = func_ir, written
        self.squares: dict[str, Any] = {}
        self.beside: dict[str, list[Any]] = {}
        """Statements to insert behind the definition of a name."""

    def even_power(self, statement: Any) -> tuple[Any, int] | None:
        """Return base and exponent, if a statement forms an even power."""
        expr = getattr(statement, "value", None)
        if not isinstance(statement, ir.Assign) or not isinstance(expr, ir.Expr):
            return None
        base, exponent = None, None
        if expr.op in ("binop", "inplace_binop"):
            if expr.fn in PRODUCTS and self._root(expr.lhs) == self._root(expr.rhs):
                return expr.lhs, 2
            if expr.fn in EXPONENTIATIONS:
                base, exponent = expr.lhs, self._constant(expr.rhs)
        elif expr.op == "call" and not expr.kws:
            function = self._function_of(expr)
            if function is np.square and len(expr.args) == 1:
                return expr.args[0], 2
            if function in POWERS and len(expr.args) == 2:
                base, exponent = expr.args[0], self._constant(expr.args[1])
        if isinstance(exponent, int | float) and exponent > 0 and exponent % 2 == 0:
            return base, int(exponent)
        return None

    def square(self, var: Any) -> Any:
        """Return the variable for the square of a kink, or None."""
        name = var.name
        if name not in self.squares:
            self.squares[name] = None
            node = self._definition(name)
            if node is not None and name not in self.written:
                self.squares[name] = self._square_of(var, node)
        return self.squares[name]

    def _square_of(self, var: Any, node: Any) -> Any:
        if isinstance(node, ir.Var):
            return self.square(node)
        if not isinstance(node, ir.Expr):
            return None
        if node.op == "unary" and node.fn in SIGNS:
            return self.square(node.value)
        if node.op in ("binop", "inplace_binop"):
            return self._square_of_operation(var, node)
        return self._square_of_call(var, node) if node.op == "call" else None

    def _square_of_call(self, var: Any, expr: Any) -> Any:
        function, args = self._function_of(expr), expr.args
        if function is None:
            return self._square_of_method(var, expr)
        kink = KINKS.get(function)
        if kink is square_of_norm and self._is_euclidean(expr):
            return self._beside(var, kink, args[:1])
        if expr.kws or kink is square_of_norm:
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

    def _is_euclidean(self, expr: Any) -> bool:
        order = [*expr.args[1:], *(value for _, value in expr.kws)]
        return all(self._constant(value, missing=()) in EUCLIDEAN for value in order)

    def _square_of_operation(self, var: Any, expr: Any) -> Any:
        left, right = expr.lhs, expr.rhs
        if expr.fn in EXPONENTIATIONS and self._constant(right) == 0.5:
            return self._beside(var, square_of_root, [left])
        if expr.fn in PRODUCTS:
            square, factor = self.square(left), right
            if square is None:
                square, factor = self.square(right), left
            return None if square is None else self._scaled(var, operator.mul, square, factor)
        if expr.fn in QUOTIENTS:
            square = self.square(left)
            return None if square is None else self._scaled(var, np.divide, square, right)
        return None

    def _square_of_method(self, var: Any, expr: Any) -> Any:
        method = self._definition(expr.func.name)
        is_method = isinstance(method, ir.Expr) and method.op == "getattr"
        if is_method and method.attr == "std" and not expr.args and not expr.kws:
            return self._beside(var, square_of_deviation, [method.value])
        return None

    def _beside(self, var: Any, function: Any, args: Any) -> Any:
        result, statements = _call(var.scope, function, args, var.loc)
        self.beside.setdefault(var.name, []).extend(statements)
        return result

    def _scaled(self, var: Any, operation: Any, square: Any, factor: Any) -> Any:
        """Multiply or divide by a factor twice: its square might overflow."""
        for _ in range(2):
            square = self._beside(var, operation, [square, factor])
        return square

    def _definition(self, name: str) -> Any:
        definitions = self.func_ir._definitions.get(name, ())
        return definitions[0] if len(definitions) == 1 else None

    def _root(self, var: Any) -> str:
        name, node = var.name, self._definition(var.name)
        while isinstance(node, ir.Var):
            name, node = node.name, self._definition(node.name)
        return str(name)

    def _constant(self, var: Any, missing: Any = None) -> Any:
        node = self._definition(self._root(var))
        if isinstance(node, ir.Expr) and node.op == "unary" and node.fn is operator.neg:
            value = self._constant(node.value)
            return -value if isinstance(value, int | float) else missing
        return node.value if isinstance(node, ir.Const | ir.Global | ir.FreeVar) else missing

    def _function_of(self, expr: Any) -> Any:
        function = constant_of(self.func_ir, expr.func)
        try:
            hash(function)
        except TypeError:
            return None
        return function


def _call(scope: Any, function: Any, args: Any, loc: Any) -> tuple[Any, list[Any]]:
    """Return the variable for the result of a call, and the statements."""
    result = new_variable(scope, loc)
    if function is operator.mul:
        return result, [ir.Assign(ir.Expr.binop(function, *args, loc), result, loc)]
    return result, call(scope, function, args, result, loc)


def _smoothed(scope: Any, statement: Any, square: Any, exponent: int) -> list[Any]:
    """Return a statement that forms an even power, with the derivatives of a power of a square."""
    loc, target = statement.loc, statement.target
    power, before = square, []
    if exponent > 1:
        number, power = new_variable(scope, loc), new_variable(scope, loc)
        expr = ir.Expr.binop(operator.pow, square, number, loc)
        before = [ir.Assign(ir.Const(exponent, loc), number, loc), ir.Assign(expr, power, loc)]
    plain = new_variable(scope, loc)
    result, calls = _call(scope, smooth, [plain, power], loc)
    return [*before, ir.Assign(statement.value, plain, loc), *calls, ir.Assign(result, target, loc)]
