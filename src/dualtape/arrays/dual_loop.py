"""The loop of an expression of planes with tangents, in forward mode with one direction.

Many elements are run by lines of plain values, tangents beside them (`dual_lines`); few elements,
and those of arrays of numbers, one by one.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from ..backend import vector_math
from ..numbers.emitted import find_emitted, unwrap, wrap
from ..numbers.partials import split
from ..numbers.types import is_array, level
from . import lines, plane_loop
from .dual_lines import run_dual_lines
from .expression import Evaluation, Expression, Operands, element, i64
from .line_loop import LineLoop
from .loop_results import Total, new_array, size_of, without
from .plane_loop import is_plain

_I64 = ir.IntType(64)


class DualLoop:
    """The loop of an expression whose operands or results are planes with tangents."""

    def __init__(self, operands: Operands, expression: Expression, dtype: Any) -> None:
        self.operands, self.expression, self.dtype = operands, expression, dtype
        self.context, self.builder = operands.context, operands.builder
        self.shape = operands.common_shape(expression.name, [i64(1)] * operands.ndim)

    def emit(self) -> Any:
        """Emit the loop; return the result."""
        builder, expression = self.builder, self.expression
        output = result = None
        if is_array(expression.result):
            shape = without(self.shape, expression.axis)
            output, result = new_array(self.context, builder, expression.result, shape)
            if expression.axis is not None:
                self._clear(output, shape)
        total = Total(self.operands, self.dtype)
        loop = self._line_loop()
        if is_plain(self.operands, expression.result) and loop.has_room(2):
            count = size_of(builder, self.shape)
            is_long = builder.icmp_signed(">=", count, i64(plane_loop.SHORT))
            with builder.if_else(is_long) as (then, otherwise):
                with then:
                    self._by_lines(loop, output, total)
                with otherwise:
                    self._by_elements(output, total)
        else:
            self._by_elements(output, total)
        return total.result(expression, self.shape) if output is None else result

    def _clear(self, output: Any, shape: list[Any]) -> None:
        zero = self.context.get_constant_null(self.dtype)
        with cgutils.loop_nest(self.builder, shape, intp=_I64) as position:
            output.store_data(position, zero)

    def _by_elements(self, output: Any, total: Total) -> None:
        axis = self.expression.axis
        indices = self.operands.indices()
        with cgutils.loop_nest(self.builder, self.shape, intp=_I64) as position:
            values = self.operands.load(indices, position)
            y = Evaluation(self.operands, values, {}).of(self.expression.tree, self.dtype)
            if output is None:
                total.add(y)
            else:
                self._store(output, position if axis is None else without(position, axis), y)

    def _store(self, output: Any, place: Any, y: Any) -> None:
        """Store an element, or add it to a sum along an axis."""
        if self.expression.axis is not None:
            s = wrap(self.context, self.builder, self.dtype, output.load_data(place))
            y = s + y
        output.store_data(place, unwrap(y, self.dtype, find_emitted(y)))

    def _line_loop(self) -> _DualLineLoop:
        active = [
            i for i, ty in enumerate(self.operands.types) if level(element(ty)) == self.dtype.level
        ]
        slots = {position: slot for slot, position in enumerate(active)}
        tree = self.expression.tree
        return _DualLineLoop(self.operands, tree, self.dtype, self.dtype.base, slots)

    def _by_lines(self, loop: _DualLineLoop, output: Any, total: Total) -> None:
        builder, expression = self.builder, self.expression
        loop.emit_function(expression.name)
        kind = lines.SUM if vector_math.is_on() else lines.SUM_IN_ORDER
        if output is None:
            out, steps = [total.slot, i64(8)], [i64(0)] * len(self.shape)
        else:
            values, distance = output.values, output.distance
            out, steps = [values.data, distance], list(values.strides)
            if expression.axis is None:
                kind = lines.KEEP
            else:
                steps.insert(expression.axis, i64(0))
        out[0] = builder.ptrtoint(out[0], _I64)
        plan, table = loop.plan(self.shape, kind, out, steps, [loop.results, i64(0), i64(0)])
        loop.run(run_dual_lines, plan, table)


class _DualLineLoop(LineLoop):
    """A loop whose operands and results have tangents."""

    is_anew = False

    def emit_function(self, name: str) -> None:
        """Emit the function of a line, for results and partials."""
        self.results, _ = self._function(name, is_kept=True, has_partials=True)

    def _if_active(self, word: Any, slot: Any) -> Any:
        return slot

    def _number(self, k: int) -> tuple[Any, Any, Any]:
        if k not in self.slots:
            return super()._number(k)
        ty, value = self.operands.types[k], self.operands.args[k]
        number = self.context.make_helper(self.builder, ty, value=value)
        (tangent,) = split(self.builder, number.m_partials, 1)
        pair = types.UniTuple(ty.base, 2)
        both = self.context.make_tuple(self.builder, pair, [number.m_value, tangent])
        return self._in_memory(pair, both), i64(8), i64(16)
