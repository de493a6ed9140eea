"""The loop of an expression of planes in reverse mode.

Many elements are run by lines of plain values (`line_loop`), and are one block of the tape.  Few
elements are statements, one for each result; so are all elements where the tape is to be read as a
matrix.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba.core import cgutils

from ..backend import vector_math
from ..numbers.emitted import find_emitted, unwrap
from ..numbers.plane_arrays import planes_from
from ..numbers.types import PlanesType, is_array, level
from ..tape.statement import Statements
from ..tape.storage import field_pointer, open_statements
from . import lines
from .expression import Evaluation, Local, element, i64
from .line_block import enter_lines, partials_room
from .line_loop import LineLoop
from .loop_results import Total, new_array, without
from .tracked_loop import TrackedLoop

_I64 = ir.IntType(64)
SHORT = 48  # elements below which statements cost less than the calls for lines


def is_plain(operands: Any, result: Any) -> bool:
    """Whether there are planes among the operands, and no arrays of numbers with rows.

    Planes of another derivative, of a lower level, stand for numbers of that level.
    """
    if isinstance(result, PlanesType) != is_array(result):
        return False
    dtype, arrays = element(result), [ty for ty in operands.types if is_array(ty)]
    are_plain = (isinstance(ty, PlanesType) == (level(ty.dtype) == dtype.level) for ty in arrays)
    return any(isinstance(ty, PlanesType) for ty in arrays) and all(are_plain)


class PlaneLoop(TrackedLoop):
    """The loop of an expression whose operands store no rows."""

    def emit(self) -> Any:
        """Emit the loop; return the result."""
        builder, context, result_type = self.builder, self.context, self.expression.result
        output = values = None
        if is_array(result_type):
            shape = without(self.shape, self.expression.axis)
            output, values = new_array(context, builder, result_type.values, shape)
        total = Total(self.operands, self.dtype.base)
        first = cgutils.alloca_once_value(builder, i64(0))
        expression = self.expression
        loop = LineLoop(self.operands, expression.tree, self.dtype, self.wide, self.slots)
        loop.emit_functions(expression.name)
        with builder.if_else(self._is_long(loop)) as (then, otherwise):
            with then:
                self._by_lines(loop, output, total, first)
            with otherwise:
                self._by_statements(output, total, first)
        row = builder.load(first)
        if output is None:
            return self.number(total, row)
        return planes_from(context, builder, result_type, values, row, self.address)

    def _tape_of_array(self, position: int) -> Any:
        ty, value = self.operands.types[position], self.operands.args[position]
        return self.context.make_helper(self.builder, ty, value=value).tape

    def _is_long(self, loop: LineLoop) -> Any:
        """Return whether the loop is one over lines.

        A function of partials needs a tape.  Where partials are computed anew the tape holds
        values, which only the pool releases: not on a tape of a pullback in compiled code.
        """
        builder = self.builder
        if not loop.has_room(1):
            return cgutils.false_bit
        is_long = builder.icmp_signed(">=", self.count, i64(SHORT))
        without_tape = is_long if loop.is_anew or not loop.planes else cgutils.false_bit
        place = cgutils.alloca_once_value(builder, without_tape)
        with builder.if_then(self.active):
            pointer = field_pointer(self.context, builder, self.address, "scalarized")
            is_apart = builder.icmp_signed("==", builder.load(pointer), i64(0))
            if loop.is_anew and loop.planes:
                home = field_pointer(self.context, builder, self.address, "home")
                is_pooled = builder.icmp_signed("!=", builder.load(home), i64(0))
                is_apart = builder.and_(is_apart, is_pooled)
            builder.store(builder.and_(is_long, is_apart), place)
        return builder.load(place)

    # Many elements

    def _by_lines(self, loop: LineLoop, output: Any, total: Total, first: Any) -> None:
        """Emit the loop over lines, and the block; store the row of the first result."""
        builder, expression = self.builder, self.expression
        sums = lines.SUM if vector_math.is_on() else lines.SUM_IN_ORDER
        kind, out, steps = sums, total.slot, [i64(0)] * len(self.shape)
        if output is not None:
            kind, out, steps = lines.KEEP, output.data, list(output.strides)
            if expression.axis is not None:
                kind = sums
                steps.insert(expression.axis, i64(0))
                nbytes = builder.mul(self.results, self.bytes_of(self.dtype.base))
                cgutils.memset(builder, output.data, nbytes, 0)
        function, place, plane, offset = loop.results, i64(0), i64(0), i64(0)
        if loop.planes and not loop.is_anew:
            function = loop.partials
            plane = builder.mul(self.count, self.bytes_of(self.wide))
            offset, place = self._room(builder.mul(plane, i64(loop.planes)))
        out = builder.ptrtoint(out, _I64)
        partials = [function, place, plane]
        plan, table = loop.plan(self.shape, kind, [out, i64(0)], steps, partials)
        loop.run(lines.run_lines, plan, table, *[i64(0)] * 3)
        with builder.if_then(self.active):
            entry = self.address, plan, self.results, offset
            builder.store(self.kernel(enter_lines, *entry, like=self.wide), first)

    def _room(self, nbytes: Any) -> tuple[Any, Any]:
        """Make room for partials; return its offset on the tape and its address."""
        builder = self.builder
        both = [cgutils.alloca_once_value(builder, i64(0)) for _ in range(2)]
        with builder.if_then(self.active):
            room = self.kernel(partials_room, self.address, nbytes)
            for variable, value in zip(both, cgutils.unpack_tuple(builder, room), strict=True):
                builder.store(value, variable)
        offset, place = map(builder.load, both)
        return offset, place

    # Few elements

    def _by_statements(self, output: Any, total: Total, first: Any) -> None:
        """Emit a loop that appends a statement for every result; store the row of the first."""
        builder, axis, sums = self.builder, self.expression.axis, bool(self.expression.reduction)
        every = range(len(self.shape))
        inner = [axis] if axis is not None else [d for d in every if sums]
        outer = [d for d in every if d not in inner]
        with builder.if_then(self.active):
            entries = builder.mul(self.count, i64(len(self.slots)))
            opened = self.kernel(open_statements, self.address, entries, self.results)
            builder.store(opened, first)
        place = self.address, self.active, builder.load(first)
        statements = Statements(self.context, builder, self.wide, *place)
        indices = self.operands.indices()
        with self._nest(outer) as at_result:
            builder.store(self.context.get_constant_null(self.dtype.base), total.slot)
            with self._nest(inner) as within:
                places = {**at_result, **within}
                keep_small(builder)
                values = self.operands.load(indices, [places[d] for d in every])
                y = Evaluation(self.operands, values, self.slots).local(
                    self.expression.tree, self.dtype
                )
                self._append(statements, y, values)
                if sums:
                    total.add(y.value)
                else:
                    value = unwrap(y.value, self.dtype.base, find_emitted(y))
                    output.store_data([places[d] for d in every], value)
            statements.close()
            if axis is not None:
                output.store_data([at_result[d] for d in outer], builder.load(total.slot))
        statements.end()

    def _append(self, statements: Statements, y: Local, values: list[Any]) -> None:
        """Append the entries of an element."""
        partials = dict(zip(y.rows, y.partials, strict=True))
        for position, slot in self.slots.items():
            partial = partials.get(slot, 0.0)
            if isinstance(partial, float | int) and partial == 0.0:
                continue
            ty = element(self.operands.types[position])
            number = self.context.make_helper(self.builder, ty, value=values[position])
            statements.append(number.m_row, unwrap(partial, self.wide, find_emitted(y)))

    @contextmanager
    def _nest(self, axes: list[int]) -> Iterator[dict[int, Any]]:
        """Emit loops over some axes; give the indices by axis."""
        shape = [self.shape[d] for d in axes]
        with cgutils.loop_nest(self.builder, shape, intp=_I64) as position:
            yield dict(zip(axes, position, strict=True))


def keep_small(builder: Any) -> None:
    """Emit an empty instruction that must not be duplicated: LLVM leaves the loop as it is.

    Loops over few elements gain nothing by being unrolled or vectorised, and took half of the time
    of compiling a first gradient of a network (1.7 times its njit function, 1.3 so).
    """
    function_type = ir.FunctionType(ir.VoidType(), [])
    call = builder.asm(function_type, "", "", [], side_effect=True)
    set.add(call.attributes, "noduplicate")  # llvmlite does not know it
