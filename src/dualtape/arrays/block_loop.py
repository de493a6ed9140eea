"""The loop of an expression of arrays of numbers in reverse mode: one block of the tape.

Beside the value of an element it stores the partials by the operands; see `expression_block`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from ..numbers.emitted import find_emitted, unwrap, wrap
from ..numbers.plane_arrays import planes_from
from ..numbers.tracked import make_active
from ..numbers.types import PlanesType, is_array
from . import expression_block as block
from .expression import Evaluation, Local, element, i64
from .loop_results import Total, new_array, without
from .tracked_loop import TrackedLoop

_I64 = ir.IntType(64)


class BlockLoop(TrackedLoop):
    """The loop of an expression: values and partials, entered as one block."""

    def emit(self) -> Any:
        """Emit the loop and the block; return the result."""
        self._open()
        output = result = None
        if is_array(self.expression.result):
            shape = without(self.shape, self.expression.axis)
            array_type = self.expression.result.values if self.is_planes else self.expression.result
            output, result = new_array(self.context, self.builder, array_type, shape)
            if self.expression.axis is not None:
                self._clear(output, shape)
        total = Total(self.operands, self.dtype.base)
        self._loop(output, total)
        self._close()
        if output is None:
            return self.number(total, self.first)
        tracked = self.expression.result, result, self.first, self.address
        return planes_from(self.context, self.builder, *tracked) if self.is_planes else result

    @property
    def is_planes(self) -> bool:
        """Whether the results are planes."""
        return isinstance(self.expression.result, PlanesType)

    def _clear(self, output: Any, shape: list[Any]) -> None:
        """Give the sums along an axis their rows."""
        builder, zero = self.builder, self.context.get_constant_null(self.dtype.base)
        place = cgutils.alloca_once_value(builder, i64(0))
        with cgutils.loop_nest(builder, shape, intp=_I64) as position:
            i = builder.load(place)
            builder.store(builder.add(i, self.step), place)
            output.store_data(position, self._with_row(zero, i))

    def _with_row(self, value: Any, i: Any) -> Any:
        """Return a value with the row of result i, or alone if rows follow from addresses."""
        if self.is_planes:
            return value
        row = self.builder.add(self.first, i)
        return make_active(self.context, self.builder, self.dtype, value, row, self.address)

    # Before the loop

    def _open(self) -> None:
        """Make room in the tape; without one, write to dummies on the stack."""
        builder, k = self.builder, len(self.slots)
        length = block.words(self.operands.ndim, k)
        head = cgutils.alloca_once(builder, ir.ArrayType(_I64, length))
        item = self.context.get_data_type(self.wide)
        scratch = cgutils.alloca_once(builder, ir.ArrayType(item, k))
        builder.store(ir.Constant(head.type.pointee, None), head)
        offset, first = (cgutils.alloca_once_value(builder, i64(0)) for _ in range(2))
        head = cgutils.alloca_once_value(builder, builder.bitcast(head, _I64.as_pointer()))
        planes = cgutils.alloca_once_value(builder, builder.bitcast(scratch, item.as_pointer()))
        with builder.if_then(self.active, likely=True):
            size = builder.mul(self.count, i64(k))
            room = self.kernel(block.open_block, self.address, i64(length), size)
            places = cgutils.unpack_tuple(builder, room)
            builder.store(places[0], first)
            builder.store(places[1], offset)
            builder.store(builder.inttoptr(places[2], _I64.as_pointer()), head)
            builder.store(builder.inttoptr(places[3], item.as_pointer()), planes)
            self._describe(builder.load(head))
        self.offset, self.first = builder.load(offset), builder.load(first)
        self.head, self.planes = builder.load(head), builder.load(planes)

    def _field(self, head: Any, index: int) -> Any:
        return self.builder.gep(head, [i64(index)], inbounds=True)

    def _start(self, slot: int) -> int:
        """Return the first word of the data of an operand in the head."""
        return block.words(self.operands.ndim, slot)

    def _describe(self, head: Any) -> None:
        """Write shape, steps of the result, and the pattern of every operand's rows."""
        builder, ndim = self.builder, self.operands.ndim
        builder.store(i64(len(self.slots)), self._field(head, block.OPERANDS))
        builder.store(i64(ndim), self._field(head, block.NDIM))
        builder.store(self.count, self._field(head, block.ELEMENTS))
        axis, inner = self.expression.axis, i64(1)
        is_total = bool(self.expression.reduction) and axis is None
        step = i64(0 if is_total else 1)
        for d in reversed(range(ndim)):
            builder.store(self.shape[d], self._field(head, block.HEAD + d))
            builder.store(i64(0) if d == axis else step, self._field(head, block.HEAD + ndim + d))
            inner = step if d == axis else inner
            step = step if d == axis else builder.mul(step, self.shape[d])
        builder.store(inner, self._field(head, block.INNER))
        for position, slot in self.slots.items():
            operand, ty = self._start(slot), self.operands.types[position]
            value = self.operands.args[position]
            if is_array(ty):
                place = builder.ptrtoint(self._field(head, operand), _I64)
                self.kernel(block.write_pattern, place, i64(ndim), self.rows(position))
            else:
                struct = self.context.make_helper(builder, ty, value=value)
                builder.store(struct.m_row, self._field(head, operand))
                for d in range(ndim):
                    builder.store(i64(0), self._field(head, operand + 1 + d))

    # The loop

    def _loop(self, output: Any, total: Any) -> None:
        builder = self.builder
        indices = self.operands.indices()
        place = cgutils.alloca_once_value(builder, i64(0))
        patterns = self._patterns()
        self.irregular = {p: cgutils.alloca_once_value(builder, i64(0)) for p in patterns}
        with cgutils.loop_nest(builder, self.shape, intp=_I64) as position:
            values = self.operands.load(indices, position)
            i = builder.load(place)
            builder.store(builder.add(i, self.step), place)
            for p, pattern in patterns.items():
                self._check(p, pattern, values[p], position)
            y = Evaluation(self.operands, values, self.slots).of(self.expression.tree, self.dtype)
            y = y if isinstance(y, Local) else Local.of(y, (), ())
            self._store_partials(y, i)
            if output is None:
                total.add(y.value)
            elif self.expression.axis is not None:
                self._add(output, without(position, self.expression.axis), y.value)
            else:
                value = unwrap(y.value, self.dtype.base, find_emitted(y))
                output.store_data(position, self._with_row(value, i))

    def _add(self, output: Any, place: Any, value: Any) -> None:
        """Add to the value of one of the sums along an axis."""
        builder, base = self.builder, self.dtype.base
        if self.is_planes:
            s = wrap(self.context, builder, base, output.load_data(place)) + value
            output.store_data(place, unwrap(s, base, find_emitted(s)))
            return
        number = self.context.make_helper(builder, self.dtype, value=output.load_data(place))
        s = wrap(self.context, builder, base, number.m_value) + value
        number.m_value = unwrap(s, base, find_emitted(s))
        output.store_data(place, number._getvalue())

    def _patterns(self) -> dict[int, Any]:
        """Return the row of the first element and its steps, of operands that store their rows."""
        load = self.builder.load
        return {
            position: [
                load(self._field(self.head, self._start(slot) + d))
                for d in range(1 + self.operands.ndim)
            ]
            for position, slot in self.slots.items()
            if isinstance(self.operands.types[position], types.Array)
        }

    def _check(self, p: int, pattern: list[Any], value: Any, position: Any) -> None:
        """Record whether the rows of an operand deviate from equal steps."""
        builder, expected = self.builder, pattern[0]
        for step, index in zip(pattern[1:], position, strict=True):
            expected = builder.add(expected, builder.mul(step, index))
        row = self.context.make_helper(builder, element(self.operands.types[p]), value=value).m_row
        irregular = builder.load(self.irregular[p])
        builder.store(builder.or_(irregular, builder.xor(row, expected)), self.irregular[p])

    def _store_partials(self, y: Local, i: Any) -> None:
        """Store the partials; those that are constants here are written to the head later."""
        builder, model = self.builder, self.context.data_model_manager[self.wide]
        partials = dict(zip(y.rows, y.partials, strict=True))
        self.constants = {}
        for slot in range(len(self.slots)):
            partial = partials.get(slot, 0.0)
            if isinstance(partial, float | int):
                self.constants[slot] = float(partial)
                continue
            scale = builder.select(self.active, self.count, i64(1))
            index = builder.add(builder.mul(i64(slot), scale), i)
            data = model.as_data(builder, unwrap(partial, self.wide, find_emitted(y)))
            builder.store(data, builder.gep(self.planes, [index], inbounds=True))

    # After the loop

    def _close(self) -> None:
        builder = self.builder
        with builder.if_then(self.active, likely=True):
            for slot in range(len(self.slots)):
                flags = self._start(slot) + 1 + self.operands.ndim
                constant = self.constants.get(slot)
                builder.store(i64(-1), self._field(self.head, flags))
                builder.store(i64(int(constant is None)), self._field(self.head, flags + 1))
                bits = builder.bitcast(ir.Constant(ir.DoubleType(), constant or 0.0), _I64)
                builder.store(bits, self._field(self.head, flags + 2))
            for position, bad in self.irregular.items():
                with builder.if_then(builder.icmp_signed("!=", builder.load(bad), i64(0))):
                    data = i64(self._start(self.slots[position]))
                    rows = self.rows(position)
                    self.kernel(block.list_rows, self.address, self.offset, data, rows)
            self.kernel(block.close_block, self.address, self.offset, self.results, like=self.wide)
