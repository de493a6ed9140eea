"""Labels of operations for `record`: name, line and value.

Only the twins made for `record` contain these, at no cost for others.  In them every operation has
its own row, and the label of the row is the number of a `Label`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numba.core import imputils, ir, types
from numba.extending import intrinsic

from ..analysis.rewriting import call_on_result, new_variable, rewrite
from ..analysis.sharing import constant_of
from ..backend.calls import invoke
from ..backend.jit import kernel
from ..numbers.access import flattened
from ..numbers.types import NumberType
from ..reverse.rows import row_of
from ..tape.storage import tape_at


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


@intrinsic
def labelled(typingctx: Any, x: Any, label: Any) -> Any:
    """Return `x`, recorded and labelled if it is tracked."""
    return getattr(x, "settled", x)(x, types.int64), _label


def _label(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    ty = sig.return_type
    result = context.cast(builder, args[0], sig.args[0], ty)
    number = getattr(ty, "dtype", ty) if isinstance(ty, types.Array) else ty
    if isinstance(number, NumberType) and number.slots and number.level == 1:
        setter = set_labels if isinstance(ty, types.Array) else set_label
        invoke(context, builder, setter, (ty, types.int64), (result, args[1]))
    return imputils.impl_ret_borrowed(context, builder, ty, result)


@kernel
def set_label(number: Any, label: Any) -> None:
    """Store label and value for the row of a number, unless it has a label."""
    row = row_of(number)
    if row > 0:
        tape_at(number.tape).name(row, label, number.value)


@kernel
def set_labels(numbers: Any, label: Any) -> None:
    """Store the label and the value of every element."""
    source = flattened(numbers)
    for i in range(source.size):
        set_label(source[i], label)


def label_operations(func_ir: Any) -> None:
    """Label the result of every operation and call of a user's function."""

    def with_label(scope: Any, statement: Any) -> list[Any]:
        label = _label_of(func_ir, statement)
        if label is None:
            return [statement]
        LABELS.append(label)
        number = new_variable(scope, statement.loc)
        assignment = ir.Assign(ir.Const(len(LABELS) - 1, statement.loc), number, statement.loc)
        return [statement, assignment, *call_on_result(scope, statement, labelled, number)]

    rewrite(func_ir, with_label)


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
