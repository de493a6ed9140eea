"""What is kept of every operation while `record` runs: its name, its line, its value.

Only the twins made for `record` contain this; the fast ones pay nothing.  There every operation is
a row of its own, and the label of the row is the number of a `Label`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numba.core import imputils, ir, types
from numba.core.ir_utils import mk_unique_var
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ._jit import kernel
from .adjoints import row_of
from .elementary import type_global
from .emit import invoke
from .numbertype import NumberType
from .seed import flattened
from .showing import constant_of
from .tape import tape_at

__all__ = ["LABELS", "Label", "label_operations"]


@dataclass(frozen=True)
class Label:
    """Where a row comes from."""

    operation: str
    filename: str = ""
    line: int = 0


LABELS: list[Label] = [Label("input")]
SYMBOLS = {
    "add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**", "neg": "-", "iadd": "+",
    "isub": "-", "imul": "*", "itruediv": "/", "ipow": "**", "matmul": "@", "mod": "%",
    "floordiv": "//", "pos": "+",
}  # fmt: skip


def labelled(x: Any, label: int) -> Any:
    """Return `x`, recorded and labelled if it is tracked (compiled code only)."""
    raise NotImplementedError


class _Labelled(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(getattr(args[0], "settled", args[0]), args[0], types.int64)


@lower_builtin(labelled, types.Any, types.Integer)
def _lower_labelled(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    ty = sig.return_type
    made = context.cast(builder, args[0], sig.args[0], ty)
    number = getattr(ty, "dtype", ty) if isinstance(ty, types.Array) else ty
    if isinstance(number, NumberType) and number.slots and number.level == 1:
        setter = set_labels if isinstance(ty, types.Array) else set_label
        invoke(context, builder, setter, (ty, types.int64), (made, args[1]))
    return imputils.impl_ret_borrowed(context, builder, ty, made)


type_global(labelled, _Labelled)


@kernel
def set_label(number: Any, label: Any) -> None:
    """Keep label and value of the row of a number that has no label yet."""
    row = row_of(number)
    if row > 0:
        tape_at(number.tape).name(row, label, number.value)


@kernel
def set_labels(numbers: Any, label: Any) -> None:
    """Keep label and value of every element."""
    source = flattened(numbers)
    for i in range(source.size):
        set_label(source[i], label)


def label_operations(func_ir: Any) -> None:
    """Label the result of every operation and call of a user's function."""
    for block in func_ir.blocks.values():
        body: list[Any] = []
        for statement in block.body:
            body.append(statement)
            label = _label_of(func_ir, statement)
            if label is not None:
                body += _labelling(block.scope, statement, label)
        block.body = body


def _label_of(func_ir: Any, statement: Any) -> Label | None:
    expr = getattr(statement, "value", None)
    if not isinstance(statement, ir.Assign) or not isinstance(expr, ir.Expr):
        return None
    if expr.op in ("binop", "inplace_binop", "unary"):
        name = getattr(expr.fn, "__name__", str(expr.fn))
    elif expr.op == "call":
        function = constant_of(func_ir, expr.func)
        name = getattr(function, "__name__", None) or getattr(function, "name", "")
        if not name or isinstance(function, type) or getattr(function, "__module__", "") == "":
            return None
    else:
        return None
    loc = statement.loc
    return Label(SYMBOLS.get(name, name), str(loc.filename), int(loc.line))


def _labelling(scope: Any, statement: Any, label: Label) -> list[Any]:
    """Return statements that label the result, and let the statement assign to a new name."""
    target, loc = statement.target, statement.loc
    statement.target = ir.Var(scope, mk_unique_var("$operation"), loc)
    function, number = (ir.Var(scope, mk_unique_var(f"${n}"), loc) for n in ("labelled", "label"))
    LABELS.append(label)
    return [
        ir.Assign(ir.Global("labelled", labelled, loc), function, loc),
        ir.Assign(ir.Const(len(LABELS) - 1, loc), number, loc),
        ir.Assign(ir.Expr.call(function, [statement.target, number], (), loc), target, loc),
    ]
