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
time to the first gradient without this pass and 3.3 s with it; its own njit takes 1.6 s.
"""

from __future__ import annotations

from typing import Any

from numba.core import imputils, ir, types
from numba.core.ir_utils import mk_unique_var, replace_vars_inner
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from .elementary import PRIMAL_ONLY, type_global
from .emit import unwrap, wrap
from .jets import primal
from .numbertype import NumberType, root
from .scalars import elementwise_function

__all__ = ["drop_derivatives", "without_derivative"]


def without_derivative(x: Any) -> Any:
    """Return the primal of a number; anything else as it is (compiled code only)."""
    raise NotImplementedError


class _WithoutDerivative(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        (ty,) = args
        return signature(root(ty), ty)


@lower_builtin(without_derivative, types.Any)
def _lower_without_derivative(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    (ty,) = sig.args
    if isinstance(ty, NumberType):
        return unwrap(primal(wrap(context, builder, ty, args[0])), sig.return_type)
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
            if influence.is_missing(statement):
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
        function = elementwise_function(self.func_ir, made)
        if function in PRIMAL_ONLY:
            return []
        if function is None or (made.op == "inplace_binop" and made.lhs.name not in self.scalars):
            return None
        return list(made.args) if made.op == "call" else list(made.list_vars())


def _operands(made: Any) -> list[Any]:
    return made.list_vars() if isinstance(made, ir.Inst) else []
