"""The loop of an elementwise expression: one for all of it, which stores the results or adds them.

In reverse mode the loop is recorded as a whole: of planes by `plane_loop`, of arrays of numbers by
`block_loop`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils
from numba.core.imputils import impl_ret_borrowed

from ..numbers.emitted import find_emitted, unwrap
from ..numbers.types import PlanesType, level
from .block_loop import BlockLoop
from .dual_loop import DualLoop
from .expression import Evaluation, Expression, Operands, element, i64
from .loop_results import Sums, Total, new_array
from .plane_loop import PlaneLoop, is_plain

_I64 = ir.IntType(64)


def emit_expression(operands: Operands, expression: Expression, target: Any = None) -> Any:
    """Emit the loop of an expression; return its result, a new reference.

    With a `target` (its helper) elements are stored there, each with its own statement of the tape:
    a target may overlap its operands, and then stored elements are operands of the next ones.
    """
    dtype = element(expression.result)
    if getattr(dtype, "has_tape", False) and target is None:
        recorder: Any = PlaneLoop if is_plain(operands, expression.result) else BlockLoop
        return recorder(operands, expression, dtype).emit()
    if target is None and _has_duals(operands, expression.result):
        return DualLoop(operands, expression, dtype).emit()
    builder = operands.builder
    shape, store, result = _destination(operands, expression, target)
    indices = operands.indices()
    with cgutils.loop_nest(builder, shape, intp=_I64) as position:
        values = operands.load(indices, position)
        y = Evaluation(operands, values, {}).of(expression.tree, dtype)
        store(position, y)
    return result()


def _has_duals(operands: Operands, result: Any) -> bool:
    """Whether planes with tangents take part, of the level of the result."""
    planes = [ty for ty in (*operands.types, result) if isinstance(ty, PlanesType)]
    return any(level(ty.dtype) == level(element(result)) and not ty.has_rows for ty in planes)


def _destination(operands: Operands, expression: Expression, target: Any) -> Any:
    """Return the shape of the loop, the function that stores an element, and one for the result."""
    context, builder, name = operands.context, operands.builder, expression.name
    dtype = element(expression.result)
    if expression.axis is not None:
        shape = operands.common_shape(name, [i64(1)] * operands.ndim)
        sums = Sums(operands, expression, shape)
        return shape, sums.add, lambda: sums.sums
    if expression.reduction:
        shape = operands.common_shape(name, [i64(1)] * operands.ndim)
        total = Total(operands, dtype)
        return shape, lambda _, y: total.add(y), lambda: total.result(expression, shape)
    if target is not None:
        shape = operands.common_shape(name, list(target.shape))
        for own, common in zip(target.shape, shape, strict=True):
            operands.refuse_if(builder.icmp_signed("!=", own, common), name)
        result = impl_ret_borrowed(context, builder, expression.result, target.return_val)
        output = target
    else:
        shape = operands.common_shape(name, [i64(1)] * expression.result.ndim)
        output, result = new_array(context, builder, expression.result, shape)

    def store(position: Any, y: Any) -> None:
        output.store_data(position, unwrap(y, dtype, find_emitted(y)))

    return shape, store, lambda: result
