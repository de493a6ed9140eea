"""What influences no result is computed on plain values: it needs no derivative.

Machine-made functions are full of statements that nobody uses; a sum that is only compared needs no
derivative either.  The value of such a statement is computed all the same, since computing it may
raise, but on the primals of its operands: nothing is recorded, no partials are emitted, and LLVM
removes what cannot raise.

The analysis goes backward over the untyped IR, as liveness does.  A variable has influence if

* a statement uses it that this analysis does not know (a return, a store, a call of a function
  that is not elementwise, an item of a list, ...), or
* an arithmetic result, a copy or a phi node that has influence is made of it.

Comparisons and functions of the primal (``value``, ``bool``, ``np.isnan``) pass no influence on:
they have no derivative.  ``a += b`` changes an array in place, so it counts as arithmetic only
where a is known to be a number.

Measured: a function of 140 statements of which 7 have influence, reverse mode: 11.2 s of processor
time to the first gradient without this pass and 2.5 s with it; its own njit takes 1.6 s.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import imputils, ir, types
from numba.core.ir_utils import mk_unique_var, replace_vars_inner
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from .conversion import values
from .elementary import PRIMAL_ONLY, type_global
from .emit import invoke, unwrap, wrap
from .fresh import is_in
from .jets import primal
from .kinks import norm_without_derivative, smooth
from .numbertype import NumberType, holds_numbers, level, root
from .scalars import elementwise_function
from .showing import constant_of

__all__ = ["drop_derivatives", "without_derivative"]


REDUCTIONS = {np.linalg.norm: norm_without_derivative, np.std: None}
"""What is without influence where its square is formed of the operands (see `squares`).

A norm is often one of three elements: that of primals needs no array of them.
"""


def without_derivative(x: Any) -> Any:
    """Return the primals of a number or an array; else x as it is (compiled code only)."""
    raise NotImplementedError


class _WithoutDerivative(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        (ty,) = args
        if not holds_numbers(ty):
            return signature(root(ty), ty)
        plain = self.context.resolve_value_type(values.at(level(ty.dtype)))
        return signature(plain.get_call_type(self.context, args, {}).return_type, ty)


@lower_builtin(without_derivative, types.Any)
def _lower_without_derivative(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    (ty,) = sig.args
    if isinstance(ty, NumberType):
        return unwrap(primal(wrap(context, builder, ty, args[0])), sig.return_type)
    if holds_numbers(ty):
        return invoke(context, builder, values.at(level(ty.dtype)), sig.args, args)[1]
    return imputils.impl_ret_borrowed(context, builder, ty, args[0])


type_global(without_derivative, _WithoutDerivative)


def drop_derivatives(func_ir: Any, scalars: set[str]) -> None:
    """Let arithmetic without influence work on primals; definitions must be up to date.

    Parameters
    ----------
    func_ir : numba FunctionIR
    scalars : set of str
        Names that hold numbers or plain scalars; see `scalars_of`.
    """
    influence = _Influence(func_ir, scalars)
    for block in func_ir.blocks.values():
        body: list[Any] = []
        primals: dict[str, Any] = {}  # of operands, made once in a block
        for statement in block.body:
            is_missing = influence.is_missing(statement)
            other = influence.of_primals(statement, block.scope) if is_missing else []
            body += other
            if is_missing and not other:
                for var in statement.value.list_vars():
                    if not influence.is_plain(var.name) and var.name not in primals:
                        primals[var.name] = ir.Var(block.scope, mk_unique_var("$primal"), var.loc)
                        body += _primal_of(block.scope, var, primals[var.name])
                replace_vars_inner(statement.value, primals)
            body.append(statement)
        block.body = body


def _primal_of(scope: Any, var: Any, target: Any) -> list[Any]:
    loc = var.loc
    function = ir.Var(scope, mk_unique_var("$without_derivative"), loc)
    return [
        ir.Assign(ir.Global("without_derivative", without_derivative, loc), function, loc),
        ir.Assign(ir.Expr.call(function, [var], (), loc), target, loc),
    ]


class _Influence:
    """Which variables of a function have influence on a result or a side effect."""

    def __init__(self, func_ir: Any, scalars: set[str]) -> None:
        self.func_ir = func_ir
        self.scalars = scalars
        sources: dict[str, list[str]] = {}
        used: list[str] = []
        for block in func_ir.blocks.values():
            for statement in block.body:
                if isinstance(statement, ir.Del):
                    continue
                passed = self._passed_on(statement)
                if passed is not None:
                    names = sources.setdefault(statement.target.name, [])
                    names += [var.name for var in passed]
                elif isinstance(statement, ir.Assign):
                    used += [var.name for var in _operands(statement.value)]
                else:
                    used += [var.name for var in statement.list_vars()]
        self.found: set[str] = set()
        while used:
            name = used.pop()
            if name not in self.found:
                self.found.add(name)
                used += sources.get(name, ())

    def is_missing(self, statement: Any) -> bool:
        """Whether a statement is arithmetic whose result has no influence."""
        return (
            isinstance(statement, ir.Assign)
            and isinstance(statement.value, ir.Expr)
            and statement.value.op != "phi"
            and statement.target.name not in self.found
            and bool(self._passed_on(statement))
        )

    def of_primals(self, statement: Any, scope: Any) -> list[Any]:
        """Let a statement call what takes arrays of numbers for their primals, if there is one."""
        made, loc = statement.value, statement.loc
        other = REDUCTIONS.get(self._reduction(made))
        if other is None:
            return []
        made.func = ir.Var(scope, mk_unique_var("$function"), loc)
        return [ir.Assign(ir.Global(other.__name__, other, loc), made.func, loc)]

    def _reduction(self, made: Any) -> Any:
        """Return which of `REDUCTIONS` an expression calls; others may write somewhere."""
        if made.op != "call" or len(made.args) != 1 or made.kws or made.vararg is not None:
            return None
        function = constant_of(self.func_ir, made.func)
        return function if is_in(function, REDUCTIONS) else None

    def is_plain(self, name: str) -> bool:
        """Whether a variable certainly holds no active number."""
        definitions = self.func_ir._definitions.get(name, ())
        while len(definitions) == 1 and isinstance(definitions[0], ir.Var):
            name = definitions[0].name
            definitions = self.func_ir._definitions.get(name, ())
        if len(definitions) != 1:
            return False
        (made,) = definitions
        is_arithmetic = getattr(made, "op", "phi") != "phi" and bool(self._operands_of(made))
        constant = isinstance(made, ir.Const | ir.Global | ir.FreeVar)
        return constant or (is_arithmetic and name not in self.found)

    def _passed_on(self, statement: Any) -> list[Any] | None:
        """Return the variables that have influence if the target has; None if they have anyway."""
        return self._operands_of(statement.value) if isinstance(statement, ir.Assign) else None

    def _operands_of(self, made: Any) -> list[Any] | None:
        if isinstance(made, ir.Var):
            return [made]
        if not isinstance(made, ir.Expr):
            return None
        if made.op == "phi":
            return [var for var in made.incoming_values if isinstance(var, ir.Var)]
        if self._reduction(made) is not None:
            return list(made.args)
        function = elementwise_function(self.func_ir, made)
        if function in PRIMAL_ONLY:
            return []
        if function is smooth:
            return [made.args[1]]
        if function is None or (made.op == "inplace_binop" and made.lhs.name not in self.scalars):
            return None
        return list(made.args) if made.op == "call" else list(made.list_vars())


def _operands(made: Any) -> list[Any]:
    return made.list_vars() if isinstance(made, ir.Inst) else []
