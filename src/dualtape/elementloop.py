"""The loop of an elementwise expression: one for all of it.

It stores the results or adds them up.  In reverse mode the loop is one *block* of the tape
(`elementblock`): beside the value of an element it stores the partials by the operands.

Numba internals used (seen in 0.66 to 0.68): ``arrayobj._empty_nd_impl``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed, impl_ret_new_ref
from numba.np import arrayobj

from .adjoints import make_tracked
from .elementblock import HEAD, close_block, list_rows, open_block, words, write_pattern
from .elementwise import Evaluation, Expression, Local, Operands, element, helper
from .emit import Emitted, call_apart, find_emitted, unwrap, wrap
from .layouts import emit_layout, first_tape
from .numbertype import level, partial_type, root

__all__ = ["emit_expression"]

_I64 = ir.IntType(64)


def _int(value: int) -> Any:
    return ir.Constant(_I64, value)


def emit_expression(operands: Operands, expression: Expression, target: Any = None) -> Any:
    """Emit the loop of an expression; return its result, a new reference.

    With a `target` (its helper) elements are stored there, one statement of the tape each: a target
    may overlap its operands, and what is stored then counts for the next element.
    """
    dtype = element(expression.result)
    if getattr(dtype, "slots", 0) and target is None:
        return _Block(operands, expression, dtype).emit()
    builder = operands.builder
    shape, store, made = _destination(operands, expression, target)
    indices = operands.indices()
    with cgutils.loop_nest(builder, shape, intp=_I64) as position:
        values = operands.loaded(indices, position)
        y = Evaluation(operands, values, {}).of(expression.tree, dtype)
        store(position, y)
    return made()


def _destination(operands: Operands, expression: Expression, target: Any) -> Any:
    """Return the shape of the loop, what stores an element, and what returns the result."""
    context, builder, name = operands.context, operands.builder, expression.name
    dtype = element(expression.result)
    if expression.axis is not None:
        shape = operands.common_shape(name, [_int(1)] * _dimensions(operands))
        sums = _Sums(operands, expression, shape)
        return shape, sums.add, lambda: sums.made
    if expression.reduction:
        shape = operands.common_shape(name, [_int(1)] * _dimensions(operands))
        total = _Total(operands, dtype)
        return shape, lambda _, y: total.add(y), lambda: total.result(expression, shape)
    if target is not None:
        shape = operands.common_shape(name, list(target.shape))
        for own, common in zip(target.shape, shape, strict=True):
            operands.refuse_if(builder.icmp_signed("!=", own, common), name)
        made = impl_ret_borrowed(context, builder, expression.result, target.return_val)
        output = target
    else:
        shape = operands.common_shape(name, [_int(1)] * expression.result.ndim)
        output, made = new_array(context, builder, expression.result, shape)

    def store(position: Any, y: Any) -> None:
        output.store_data(position, unwrap(y, dtype, find_emitted(y)))

    return shape, store, lambda: made


def new_array(context: Any, builder: Any, ty: Any, shape: list[Any]) -> tuple[Any, Any]:
    """Return the helper of a new array, and the array."""
    array = arrayobj._empty_nd_impl(context, builder, ty, shape)._getvalue()
    return helper(context, builder, ty, array), impl_ret_new_ref(context, builder, ty, array)


def _dimensions(operands: Operands) -> int:
    return max(getattr(array, "ndim", 0) for array in operands.helpers)


def _size(builder: Any, shape: list[Any]) -> Any:
    count = _int(1)
    for extent in shape:
        count = builder.mul(count, extent)
    return count


class _Total:
    """A sum over the elements, from the first to the last."""

    def __init__(self, operands: Operands, ty: Any) -> None:
        self.operands, self.type = operands, ty
        zero = operands.context.get_constant_null(ty)
        self.slot = cgutils.alloca_once_value(operands.builder, zero)

    def add(self, y: Any) -> None:
        """Add one element."""
        context, builder = self.operands.context, self.operands.builder
        s = wrap(context, builder, self.type, builder.load(self.slot)) + y
        builder.store(unwrap(s, self.type, find_emitted(s)), self.slot)

    def result(self, expression: Expression, shape: list[Any]) -> Any:
        """Return the sum, or the mean."""
        context, builder = self.operands.context, self.operands.builder
        s = builder.load(self.slot)
        if expression.reduction == "mean":
            s = divided(context, builder, self.type, s, _size(builder, shape))
        return s


class _Sums:
    """Sums along an axis."""

    def __init__(self, operands: Operands, expression: Expression, shape: list[Any]) -> None:
        self.axis, self.type = expression.axis, expression.result.dtype
        self.context, self.builder = operands.context, operands.builder
        self.shape = without(shape, self.axis)
        self.array, self.made = new_array(self.context, self.builder, expression.result, self.shape)
        with cgutils.loop_nest(self.builder, self.shape, intp=_I64) as position:
            self.array.store_data(position, self.context.get_constant_null(self.type))

    def add(self, position: Any, y: Any) -> None:
        """Add one element of the loop to its sum."""
        place = without(position, self.axis)
        s = wrap(self.context, self.builder, self.type, self.array.load_data(place)) + y
        self.array.store_data(place, unwrap(s, self.type, find_emitted(s)))


def without(items: Any, axis: Any) -> list[Any]:
    """Return a list without one item."""
    return [item for d, item in enumerate(items) if d != axis]


def divided(context: Any, builder: Any, ty: Any, s: Any, count: Any) -> Any:
    """Return s / count; with no elements it is NaN, as in NumPy."""
    number = wrap(context, builder, ty, s)
    n = Emitted(context, builder, root(ty), builder.sitofp(count, context.get_value_type(root(ty))))
    quotient = number.over(n)
    return unwrap(quotient, ty, find_emitted(quotient))


class _Block:
    """The loop of an expression in reverse mode: values and partials, entered as one block."""

    def __init__(self, operands: Operands, expression: Expression, dtype: Any) -> None:
        self.operands, self.expression, self.dtype = operands, expression, dtype.settled
        self.context, self.builder = operands.context, operands.builder
        self.ndim = _dimensions(operands)
        self.wide = partial_type(dtype.base)
        tracked = [i for i, ty in enumerate(operands.types) if level(element(ty)) == dtype.level]
        self.slots = {position: slot for slot, position in enumerate(tracked)}

    def kernel(self, function: Any, *pairs: Any) -> Any:
        """Call a kernel with (type, value) pairs."""
        arg_types, args = zip(*pairs, strict=True)
        return call_apart(self.context, self.builder, function, arg_types, args)

    def emit(self) -> Any:
        """Emit all of it; return the result."""
        builder, expression = self.builder, self.expression
        shape = self.operands.common_shape(expression.name, [_int(1)] * self.ndim)
        self.shape, self.count = shape, _size(builder, shape)
        self.results = self._results()
        self._open()
        output = made = None
        if isinstance(expression.result, types.Array):
            shape = without(shape, expression.axis)
            output, made = new_array(self.context, builder, expression.result, shape)
            if expression.axis is not None:
                self._clear(output, shape)
        total = _Total(self.operands, self.dtype.base)
        self._loop(output, total)
        self._close()
        if output is not None:
            return made
        s = builder.load(total.slot)
        tracked = make_tracked(self.context, builder, self.dtype, s, self.first, self.address)
        if expression.reduction == "mean":
            tracked = divided(self.context, builder, self.dtype, tracked, self.count)
        return self.context.cast(builder, tracked, self.dtype, expression.result)

    def _results(self) -> Any:
        if not self.expression.reduction:
            return self.count
        kept = without(self.shape, self.expression.axis)
        return _int(1) if self.expression.axis is None else _size(self.builder, kept)

    def _clear(self, output: Any, shape: list[Any]) -> None:
        """Give the sums along an axis their rows."""
        builder, zero = self.builder, self.context.get_constant_null(self.dtype.base)
        place = cgutils.alloca_once_value(builder, _int(0))
        with cgutils.loop_nest(builder, shape, intp=_I64) as position:
            i = builder.load(place)
            builder.store(builder.add(i, self.step), place)
            output.store_data(position, self._numbered(zero, i))

    def _numbered(self, value: Any, i: Any) -> Any:
        """Return a value with the row of result i."""
        row = self.builder.add(self.first, i)
        return make_tracked(self.context, self.builder, self.dtype, value, row, self.address)

    # What is known before the loop.

    def _open(self) -> None:
        """Find the tape, and make room in it; without one, rooms of no size are on the stack."""
        builder, k = self.builder, len(self.slots)
        self.address = self._tape()
        self.active = builder.icmp_unsigned("!=", self.address, _int(0))
        length = words(self.ndim, k)
        head = cgutils.alloca_once(builder, ir.ArrayType(_I64, length))
        item = self.context.get_data_type(self.wide)
        scratch = cgutils.alloca_once(builder, ir.ArrayType(item, k))
        builder.store(ir.Constant(head.type.pointee, None), head)
        offset, first = (cgutils.alloca_once_value(builder, _int(0)) for _ in range(2))
        head = cgutils.alloca_once_value(builder, builder.bitcast(head, _I64.as_pointer()))
        planes = cgutils.alloca_once_value(builder, builder.bitcast(scratch, item.as_pointer()))
        int64 = types.int64
        with builder.if_then(self.active, likely=True):
            room = self.kernel(
                open_block, (int64, self.address), (int64, _int(length)),
                (int64, builder.mul(self.count, _int(k))),
            )  # fmt: skip
            told = cgutils.unpack_tuple(builder, room)
            builder.store(told[0], first)
            builder.store(told[1], offset)
            builder.store(builder.inttoptr(told[2], _I64.as_pointer()), head)
            builder.store(builder.inttoptr(told[3], item.as_pointer()), planes)
            self._describe(builder.load(head))
        self.offset, self.first = builder.load(offset), builder.load(first)
        self.head, self.planes = builder.load(head), builder.load(planes)
        self.step = builder.zext(self.active, _I64)

    def _tape(self) -> Any:
        builder, found = self.builder, _int(0)
        for position in self.slots:
            ty, value = self.operands.types[position], self.operands.args[position]
            if isinstance(ty, types.Array):
                tape = self.kernel(first_tape, (types.int64, self._rows(position)))
            else:
                struct = self.context.make_helper(builder, ty, value=value)
                is_passive = builder.icmp_signed("==", struct.m_row, _int(0))
                tape = builder.select(is_passive, _int(0), struct.m_tape)
            is_known = builder.icmp_unsigned("!=", found, _int(0))
            found = builder.select(is_known, found, tape)
        is_empty = builder.icmp_signed("==", self.count, _int(0))
        return builder.select(is_empty, _int(0), found)

    def _rows(self, position: int) -> Any:
        """Return the layout of the rows of an operand that is an array."""
        ty, value = self.operands.types[position], self.operands.args[position]
        return emit_layout(self.context, self.builder, ty, value, "row")

    def _field(self, head: Any, at: int) -> Any:
        return self.builder.gep(head, [_int(at)], inbounds=True)

    def _at(self, slot: int) -> int:
        """Return where the data of an operand begin in the head."""
        return words(self.ndim, slot)

    def _describe(self, head: Any) -> None:
        """Write shape, steps of the result, and the pattern of every operand's rows."""
        builder, ndim, int64 = self.builder, self.ndim, types.int64
        builder.store(_int(len(self.slots)), self._field(head, 0))
        builder.store(_int(ndim), self._field(head, 1))
        builder.store(self.count, self._field(head, 3))
        axis, inner = self.expression.axis, _int(1)
        is_total = bool(self.expression.reduction) and axis is None
        step = _int(0 if is_total else 1)
        for d in reversed(range(ndim)):
            builder.store(self.shape[d], self._field(head, HEAD + d))
            builder.store(_int(0) if d == axis else step, self._field(head, HEAD + ndim + d))
            inner = step if d == axis else inner
            step = step if d == axis else builder.mul(step, self.shape[d])
        builder.store(inner, self._field(head, 2))
        for position, slot in self.slots.items():
            at, ty = self._at(slot), self.operands.types[position]
            value = self.operands.args[position]
            if isinstance(ty, types.Array):
                place = builder.ptrtoint(self._field(head, at), _I64)
                rows = int64, self._rows(position)
                self.kernel(write_pattern, (int64, place), (int64, _int(ndim)), rows)
            else:
                struct = self.context.make_helper(builder, ty, value=value)
                builder.store(struct.m_row, self._field(head, at))
                for d in range(ndim):
                    builder.store(_int(0), self._field(head, at + 1 + d))

    # The loop.

    def _loop(self, output: Any, total: Any) -> None:
        builder = self.builder
        indices = self.operands.indices()
        place = cgutils.alloca_once_value(builder, _int(0))
        patterns = self._patterns()
        self.irregular = {p: cgutils.alloca_once_value(builder, _int(0)) for p in patterns}
        with cgutils.loop_nest(builder, self.shape, intp=_I64) as position:
            values = self.operands.loaded(indices, position)
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
                output.store_data(position, self._numbered(value, i))

    def _add(self, output: Any, place: Any, value: Any) -> None:
        """Add to the value of one of the sums along an axis."""
        builder, base = self.builder, self.dtype.base
        number = self.context.make_helper(builder, self.dtype, value=output.load_data(place))
        s = wrap(self.context, builder, base, number.m_value) + value
        number.m_value = unwrap(s, base, find_emitted(s))
        output.store_data(place, number._getvalue())

    def _patterns(self) -> dict[int, Any]:
        """Return the row of the first element and its steps, of every operand that is an array."""
        load = self.builder.load
        return {
            position: [
                load(self._field(self.head, self._at(slot) + d)) for d in range(1 + self.ndim)
            ]
            for position, slot in self.slots.items()
            if isinstance(self.operands.types[position], types.Array)
        }

    def _check(self, p: int, pattern: list[Any], value: Any, position: Any) -> None:
        """Note where the rows of an operand do not have equal steps."""
        builder, expected = self.builder, pattern[0]
        for step, index in zip(pattern[1:], position, strict=True):
            expected = builder.add(expected, builder.mul(step, index))
        row = self.context.make_helper(builder, element(self.operands.types[p]), value=value).m_row
        seen = builder.load(self.irregular[p])
        builder.store(builder.or_(seen, builder.xor(row, expected)), self.irregular[p])

    def _store_partials(self, y: Local, i: Any) -> None:
        """Store the partials that are not known here; those that are go to the head."""
        builder, model = self.builder, self.context.data_model_manager[self.wide]
        partials = dict(zip(y.rows, y.partials, strict=True))
        self.constants = {}
        for slot in range(len(self.slots)):
            partial = partials.get(slot, 0.0)
            if isinstance(partial, float | int):
                self.constants[slot] = float(partial)
                continue
            scale = builder.select(self.active, self.count, _int(1))
            at = builder.add(builder.mul(_int(slot), scale), i)
            data = model.as_data(builder, unwrap(partial, self.wide, find_emitted(y)))
            builder.store(data, builder.gep(self.planes, [at], inbounds=True))

    # What is done after it.

    def _close(self) -> None:
        builder, int64 = self.builder, types.int64
        with builder.if_then(self.active, likely=True):
            for slot in range(len(self.slots)):
                flags = self._at(slot) + 1 + self.ndim
                constant = self.constants.get(slot)
                builder.store(_int(-1), self._field(self.head, flags))
                builder.store(_int(int(constant is None)), self._field(self.head, flags + 1))
                bits = builder.bitcast(ir.Constant(ir.DoubleType(), constant or 0.0), _I64)
                builder.store(bits, self._field(self.head, flags + 2))
            for position, bad in self.irregular.items():
                with builder.if_then(builder.icmp_signed("!=", builder.load(bad), _int(0))):
                    self.kernel(
                        list_rows, (int64, self.address), (int64, self.offset),
                        (int64, _int(self._at(self.slots[position]))),
                        (int64, self._rows(position)),
                    )  # fmt: skip
            like = self.wide, self.context.get_constant_null(self.wide)
            self.kernel(
                close_block,
                (int64, self.address),
                (int64, self.offset),
                (int64, self.results),
                like,
            )
