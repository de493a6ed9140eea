"""Replays in compiled code: the capture of a function's structure, and its Jacobian's entries.

Both run the function's twin with the cell of `tape.stream`.  The capture leaves a tape with the
columns of all slots.  A replay first compares what decides the structure: shapes, integers and
integer arrays; if these, and all decisions, were as in the capture, it returns the entries, and
otherwise an empty array.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from ..analysis.replayable import NotReplayableError
from ..backend.allocation import array_over, copy_items, empty_array, no_array
from ..backend.calls import Value
from ..backend.jit import by_type, kernel
from ..drivers.emitter import Emitter, Input, unpacked
from ..drivers.factory import Request
from ..drivers.signature import DerivativeTypes, base_type
from ..numbers import access
from ..numbers.access import flat_view, flattened
from ..numbers.streamed import Captured, Streamed, as_numbers, is_same_memory
from ..reverse.borrowing import array_at
from ..tape import stream
from .driver import SparseSession, recorded, require_plain, result_type
from .places import DECISIONS, ENTRIES, HEADER, KEY, KEYS, KNOWN, PLACE, SLOTS, TOTAL, finish

NO_LEASE = -1  # in place of a tape's address: another thread has the cell
CONFLICT = -2  # slots that types take for the same have different rows


def _types(typingctx: Any, twin: Any, packed: Any, name: str, argnums: Any, out: Any) -> Any:
    """Return the types of a derivative, and those of its arguments."""
    rest = list(packed)[1:]
    positions = argnums if out is None else (*argnums, out)
    derivative = DerivativeTypes(typingctx, twin, rest, Request(name, positions))
    require_plain(derivative, None if out is None else rest[out])
    if derivative.base != types.float64:
        raise NotReplayableError(f"{name}: numbers of type {derivative.base}")
    derivative.in_place = out is not None
    return derivative


# Capture


class CaptureSession(SparseSession):
    """A capture being emitted; the tape has rows for the inputs, as that of a recording."""

    def _begin(self) -> None:
        self.emit.kernel(begin_capture, self.tape)

    def _input(self, x: Input) -> Value:
        emit = self.emit
        row = emit.add(x.offset, emit.index(1))
        if not isinstance(x.value.type, types.Array):
            return emit.kernel(captured_number, x.value, row, emit.number)
        array = emit.owned(emit.kernel(access.numbers_like, x.value, emit.number))
        emit.copies.append(array)
        emit.kernel(capture_array, array, x.value, row, emit.number)
        return array


@intrinsic
def captured(typingctx: Any, value: Any, row: Any, like: Any) -> Any:
    """Return a number of the capture with this value and row."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        struct = context.make_helper(builder, like)
        struct.m_value = context.cast(builder, args[0], value, like.base)
        struct.m_row = args[1]
        return struct._getvalue()

    return like(value, types.int64, like), codegen


@kernel
def captured_number(x: Any, row: Any, like: Any) -> Any:
    """Return an input as a number with a row."""
    return captured(x, row, like)


@kernel
def capture_array(out: Any, x: Any, first: Any, like: Any) -> None:
    """Copy an input to numbers with the rows from `first`."""
    flat, source = flat_view(out), flattened(x)
    for i in range(flat.size):
        flat[i] = captured(source[i], first + i, like)


@kernel
def begin_capture(address: Any) -> None:
    """Let statements be captured on this tape."""
    stream.store_word(stream.TAPE, address)
    stream.store_word(stream.CONFLICT, 0)


@kernel
def end_capture(address: Any) -> Any:
    """Return the tape's address, or what it is not."""
    return CONFLICT if stream.load_word(stream.CONFLICT) != 0 else address


@kernel
def claim() -> Any:
    """Lease the cell; return whether it was free."""
    return stream.lease()


def capture_driver(
    twin: Any, argnums: tuple[int, ...], out: int | None, *, name: str
) -> Callable[..., Any]:
    """Return the driver of (program, *args) -> (tape, rows of the outputs).

    Instead of the address of the tape it may return `NO_LEASE` or `CONFLICT`.
    """

    def capture(typingctx: Any, packed: Any) -> Any:
        derivative = _types(typingctx, twin, packed, name, argnums, out)
        derivative.run_twin(Captured)
        y_type = result_type(derivative) if out is None else derivative.active[out]
        return_type = types.Tuple((types.int64, types.Array(types.int64, 1, "C")))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            _, *values = unpacked(builder, Value(packed, args[0]))
            emit = Emitter(derivative, context, builder, values)
            address, rows = emit.variable(types.int64), emit.variable(return_type[1])
            address.store(emit.index(NO_LEASE))
            rows.store(emit.kernel(no_rows))
            is_leased = emit.kernel(claim)
            with builder.if_then(is_leased.ir):
                give_back = _leased(emit)
                session, y = recorded(emit, y_type, CaptureSession)
                emit.owned(y)
                found = session.flat_rows(y)
                rows.store(found)
                emit.release(y, *emit.copies)
                address.store(emit.kernel(end_capture, session.tape))
                give_back()
                emit.disown(found)
                is_conflict = emit.compare("==", address.load(), emit.index(CONFLICT))
                with builder.if_then(is_conflict):
                    session.release()
            return emit.pack([address.load(), rows.load()], return_type).ir

        return return_type(packed), codegen

    return capture


def _leased(emit: Emitter) -> Callable[[], None]:
    """Give the cell back if later code raises; return the function that emits giving it back."""

    def unclaimed() -> None:  # raises nothing
        stream.emit_give_back(emit.builder)

    emit.lease(unclaimed)

    def give_back() -> None:
        emit.end_lease(unclaimed)
        unclaimed()

    return give_back


@kernel
def no_rows() -> Any:
    """Return no rows."""
    return no_array(np.int64)


# Replay


def replay_driver(
    twin: Any, argnums: tuple[int, ...], out: int | None, *, name: str, with_value: bool
) -> Callable[..., Any]:
    """Return the driver of (address of a header, *args) -> entries, or (value, entries).

    There are no entries if anything differs from what is known; see `places`.
    """

    def replay(typingctx: Any, packed: Any) -> Any:
        derivative = _types(typingctx, twin, packed, name, argnums, out)
        derivative.run_twin(Streamed)
        y_type = derivative.result if out is None else derivative.active[out]
        data_type = types.Array(types.float64, 1, "C")
        value_type = base_type(y_type, derivative.number)
        return_type = types.Tuple((value_type, data_type)) if with_value else data_type

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            header, *values = unpacked(builder, Value(packed, args[0]))
            emit = Emitter(derivative, context, builder, values)
            emit.find_inputs()
            position = emit.index(0)
            for leaf in (leaf for value in values for leaf in emit.items(value)):
                position = emit.kernel(matched, header, position, leaf)
            data, result = emit.variable(data_type), emit.variable(value_type)
            data.store(emit.kernel(no_entries))
            result.store(emit.zero(value_type))
            is_known = emit.kernel(claim_if, header, position)
            with builder.if_then(is_known.ir):
                give_back = _leased(emit)
                buffer = emit.owned(emit.kernel(begin_replay, header))
                y = emit.owned(_run(emit))
                found = emit.owned(emit.base_value(y)) if with_value else None
                emit.release(y)
                data.store(emit.kernel(end_replay, header, buffer))
                give_back()
                emit.release(buffer)
                if found is not None:
                    result.store(found)
                    emit.disown(found)
            if with_value:
                return emit.pack([result.load(), data.load()], return_type).ir
            return data.load().ir

        return return_type(packed), codegen

    return replay


def _run(emit: Emitter) -> Value:
    """Emit the call of the twin; return the result."""
    in_place, last = emit.derivative.in_place, emit.inputs[-1]
    seeded = [_seeded(emit, x, in_place and x is last) for x in emit.inputs]
    result = emit.call_twin([value for value, _ in seeded])
    output = seeded.pop()[0] if in_place else result
    emit.release(*(value for value, is_copy in seeded if is_copy))
    if in_place:
        emit.release(result)
    return output


def _seeded(emit: Emitter, x: Input, is_output: bool) -> tuple[Value, bool]:
    """Return an input as numbers, and whether it is a copy: arrays nobody writes to are not."""
    ty, number = x.value.type, emit.derivative.number
    if not isinstance(ty, types.Array):
        return emit.cast(emit.cast(x.value, number.base), number), False
    may_show = not is_output and not emit.derivative.effects.exposed
    if may_show and is_same_memory(ty, x.active):
        numbers = as_numbers(emit.context, emit.builder, ty, x.value.ir, x.active)
        return Value(x.active, numbers), False
    return emit.owned(emit.kernel(access.to_numbers, x.value, emit.number)), True


@kernel
def no_entries() -> Any:
    """Return no entries."""
    return no_array(np.float64)


@by_type
def matched(header: Any, position: Any, value: Any) -> Any:
    """Return the position in the key after a leaf of the arguments; -1 if it is another one.

    The key has the extents of arrays, integers, and the items of arrays of integers.
    """
    if isinstance(value, types.Array):
        is_exact = isinstance(value.dtype, types.Integer | types.Boolean)
        return _matched_items if is_exact else _matched_extents
    is_exact = isinstance(value, types.Integer | types.Boolean)
    return _matched_integer if is_exact else _passed


@kernel
def _passed(header: Any, position: Any, value: Any) -> Any:
    return position


@kernel
def _matched_integer(header: Any, position: Any, value: Any) -> Any:
    words = array_at(header, HEADER, np.int64(0))
    key = array_at(words[KEY], words[KEYS], np.int64(0))
    if position < 0 or position >= key.size or key[position] != np.int64(value):
        return -1
    return position + 1


@kernel
def _matched_extents(header: Any, position: Any, value: Any) -> Any:
    for extent in value.shape:
        position = _matched_integer(header, position, extent)
    return position


@kernel
def _matched_items(header: Any, position: Any, value: Any) -> Any:
    position = _matched_extents(header, position, value)
    if position < 0:
        return position
    words = array_at(header, HEADER, np.int64(0))
    key = array_at(words[KEY], words[KEYS], np.int64(0))
    source = flattened(value)
    if position + source.size > key.size:
        return -1
    differs = False
    for i in range(source.size):
        differs |= key[position + i] != np.int64(source[i])
    return -1 if differs else position + source.size


@kernel
def claim_if(header: Any, position: Any) -> Any:
    """Lease the cell if the whole key matched; return whether it is ours."""
    words = array_at(header, HEADER, np.int64(0))
    return position == words[KEYS] and stream.lease()


@kernel
def begin_replay(header: Any) -> Any:
    """Set the words of the cell; return the buffer for the partials."""
    words = array_at(header, HEADER, np.int64(0))
    buffer = empty_array(words[TOTAL], np.float64)
    stream.store_word(stream.ENTRY, 0)
    stream.store_word(stream.LIMIT, words[SLOTS])
    stream.store_word(stream.PLACES, words[PLACE])
    stream.store_word(stream.DATA, buffer.ctypes.data)
    stream.store_word(stream.DECISION, 0)
    stream.store_word(stream.DECISIONS, words[DECISIONS])
    stream.store_word(stream.KNOWN, words[KNOWN])
    stream.store_word(stream.DIFFERS, 0)
    return buffer


@kernel
def end_replay(header: Any, buffer: Any) -> Any:
    """Return the entries; none if a decision was another one."""
    words = array_at(header, HEADER, np.int64(0))
    is_same = stream.load_word(stream.DIFFERS) == 0
    is_same &= stream.load_word(stream.DECISION) == words[DECISIONS]
    is_same &= stream.load_word(stream.ENTRY) == words[SLOTS]
    if not is_same:
        return no_array(np.float64)
    finish(buffer, header)
    size = words[ENTRIES]
    if buffer.size <= size + size // 4 + 64:
        return leading(buffer, size)
    data = empty_array(size, np.float64)
    copy_items(data, buffer, size)
    return data


@intrinsic
def leading(typingctx: Any, a: Any, count: Any) -> Any:
    """Return the first items of a vector, in its memory."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = context.make_array(a)(context, builder, args[0])
        owner = source.meminfo, source.parent
        view = array_over(context, builder, a, source.data, [args[1]], None, *owner)
        context.nrt.incref(builder, a, view)
        return view

    return a(a, types.int64), codegen
