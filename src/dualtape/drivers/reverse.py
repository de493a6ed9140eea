"""Reverse mode: record the function once, sweep the tape backward, read the adjoints.

A driver leases a tape (`pool`), gives every input a row, calls the activated twin, which appends a
row for every statement, and sweeps.  Cost: one recording and one sweep for a gradient, whatever the
number of inputs; a sweep for each further output.

A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapters 3, 4 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types

from ..backend.calls import Value, invoke
from ..numbers import reading
from ..numbers.plane_arrays import planes_from
from ..numbers.tracked import Active, make_active
from ..numbers.types import PlanesType
from ..reverse import rows as adjoints
from ..reverse.borrowing import borrow, is_borrowable
from ..tape import pool
from ..tape.storage import set_flag
from .emitter import Emitter, Input
from .factory import Request
from .results import Outputs, jacobian_blocks
from .signature import DerivativeTypes


class TapeSession:
    """The code of one recording being emitted: a leased tape and the result of the twin.

    With `own` the tape belongs to no pool, and is freed with the last reference to it; with
    `scalarized` elementwise operations are statements, so that the tape can be read as a matrix;
    with `at_once` all sweeps follow before the arguments can change.
    """

    def __init__(
        self, emit: Emitter, *, own: bool = False, scalarized: bool = False, at_once: bool = False
    ) -> None:
        self.emit, self.at_once = emit, at_once
        pooled = Value(types.boolean, emit.context.get_constant(types.boolean, not own))
        self.tape = emit.kernel(pool.acquire, emit.bytes_of(emit.wide.type), pooled)
        emit.lease(self._give_back)
        if scalarized:
            set_flag(emit.context, emit.builder, self.tape.ir, "scalarized")
        if at_once:
            self._borrow()
        nbytes = emit.index(0)
        if any(isinstance(x.value.type, types.Array) for x in emit.inputs):
            size = emit.bytes_of(emit.number.type)
            nbytes = emit.index(emit.builder.mul(emit.n.ir, size.ir))
        emit.kernel(adjoints.reserve_inputs, self.tape, emit.n, nbytes)
        self._begin()
        self.result = emit.call_twin([self._track(x) for x in emit.inputs])

    def _begin(self) -> None:
        """Emit what is to be done before the function is called."""

    def _borrow(self) -> None:
        """Let the tape refer to arrays that do not change, instead of copying them.

        The flag counts them from 1: global arrays are borrowed even if no argument is.
        """
        set_flag(self.emit.context, self.emit.builder, self.tape.ir, "borrows")
        for value in self.emit.constants():
            if is_borrowable(value.type):
                self.emit.kernel(borrow, self.tape, value)

    def _track(self, x: Input) -> Value:
        emit, number = self.emit, self.emit.number.type
        row = emit.add(x.offset, emit.index(1))
        if not isinstance(x.value.type, types.Array):
            primal = emit.cast(x.value, number.base).ir
            tracked = make_active(emit.context, emit.builder, number, primal, row.ir, self.tape.ir)
            return Value(number, tracked)
        shape, context = [extent.ir for extent in emit.extents(x.value)], emit.context
        inputs = self.tape.ir, x.offset.ir, shape, number
        if isinstance(x.active, PlanesType):
            values = self._values(x, inputs)
            planes = x.active, values.ir, row.ir, self.tape.ir
            return Value(x.active, planes_from(context, emit.builder, *planes))
        array_type = emit.derivative.active_type(x.value.type)
        array = Value(array_type, adjoints.input_array(context, emit.builder, *inputs))
        emit.kernel(adjoints.track_array, array, x.value, row, self.tape, emit.number)
        return array

    def _values(self, x: Input, inputs: Any) -> Value:
        """Return the values of an input: as they lie where they cannot change, else a copy.

        They can where the function writes to an argument that shares their memory.
        """
        emit, ty = self.emit, x.value.type
        lasts = self.at_once and not emit.writes_to_others()
        if lasts and ty.layout == "C" and ty.aligned and ty.dtype == x.active.values.dtype:
            if is_borrowable(ty):
                emit.kernel(borrow, self.tape, x.value)
            return x.value
        address, first, shape, number = inputs
        place = address, first, shape, number, x.active.values.dtype
        copy = adjoints.input_array(emit.context, emit.builder, *place)
        values = Value(x.active.values, copy)
        emit.kernel(adjoints.copy_values, values, x.value)
        return values

    def rows(self, value: Value) -> Value:
        """Return the row of a number, which is recorded now if pending, or the rows of an array.

        The row of a constant is 0.
        """
        if isinstance(value.type, types.Array):
            return self.emit.kernel(adjoints.rows_of, value)
        if not self.emit.is_active(value):
            return self.emit.index(0)
        active = self.emit.cast(value, self.emit.number.type)
        return Value(types.int64, self.emit.field(active, "row"))

    def flat_rows(self, y: Value) -> Value:
        """Return the rows of a result as one array, which is released if later code raises."""
        emit, rows = self.emit, [self.rows(leaf) for leaf in self.emit.items(y)]
        if isinstance(y.type, types.Array):
            flat = emit.owned(emit.kernel(adjoints.ravel, *rows))
        else:
            flat, _ = joined_rows(emit, rows)
        emit.release(*rows)
        return flat

    def sweep(self, kernel: Any, *values: Value) -> None:
        """Call a kernel that sweeps the tape."""
        self.emit.kernel(kernel, self.tape, *map(self.emit.uncounted, values))

    def gradient(self) -> Value:
        """Sweep the tape; return the derivatives of the result, in the structure of the inputs."""
        emit = self.emit
        if not emit.is_active(self.result):
            return emit.unflatten(emit.zeros([emit.n]))
        row = self.rows(self.result)
        if emit.wide.type != emit.base.type:
            matrix = emit.zeros([emit.index(1), emit.n])
            self.sweep(adjoints.sweep_row, row, matrix)
            flat = emit.kernel(adjoints.ravel, matrix)
            emit.release(matrix)
            return emit.unflatten(emit.owned(flat))
        self.sweep(adjoints.sweep_gradient, row, emit.n, emit.wide)
        place = self.tape.ir, emit.n.ir, emit.base.type
        flat = adjoints.input_adjoints(emit.context, emit.builder, *place)
        return emit.unflatten(Value(types.Array(emit.base.type, 1, "C"), flat), is_view=True)

    def release_all(self) -> None:
        """Give back the tape and release everything."""
        self.release()
        self.emit.clean_up()

    def release(self) -> None:
        """Give back the tape."""
        self.emit.end_lease(self._give_back)
        self._give_back()

    def _give_back(self) -> None:  # raises nothing
        emit, tape = self.emit, self.tape
        invoke(emit.context, emit.builder, pool.release, (tape.type,), (tape.ir,))


def joined_rows(emit: Emitter, rows: list[Value]) -> tuple[Value, list[Value]]:
    """Return the rows of several leaves as one array, and the bounds of each of them in it."""
    bounds = [emit.index(0)]
    for piece in rows:
        bounds.append(emit.add(bounds[-1], emit.kernel(adjoints.count_rows, piece)))
    flat = emit.owned(emit.kernel(adjoints.empty_rows, bounds[-1]))
    for piece, start in zip(rows, bounds, strict=False):
        emit.kernel(adjoints.copy_rows, flat, start, piece)
    return flat, bounds


def gradient_driver(twin: Any, request: Request) -> Callable[..., Any]:
    """Return the driver that computes (value and) gradient from the packed arguments."""

    def gradient(typingctx: Any, packed: Any) -> Any:
        derivative = DerivativeTypes(typingctx, twin, packed, request)
        derivative.run_twin(Active)
        derivative.require_scalar()

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = Emitter.of_call(derivative, context, builder, Value(packed, args[0]))
            session = TapeSession(emit, at_once=True)
            gradient = session.gradient()
            session.release()
            return emit.return_value(emit.base_value(session.result), gradient).ir

        return_type = derivative.return_type(derivative.value_type, derivative.gradient_type)
        return return_type(packed), codegen

    return gradient


def jacobian_driver(twin: Any, request: Request) -> Callable[..., Any]:
    """Return the driver that computes (value and) Jacobian, one sweep per 8 outputs."""

    def jacobian(typingctx: Any, packed: Any) -> Any:
        derivative = DerivativeTypes(typingctx, twin, packed, request)
        derivative.run_twin(Active)
        outputs = Outputs(derivative)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            emit = Emitter.of_call(derivative, context, builder, Value(packed, args[0]))
            session = TapeSession(emit, at_once=True)
            raw = session.result
            y = outputs.flattened(emit, raw)
            matrix = emit.owned(emit.kernel(reading.new_rows, y, emit.n, emit.base))
            if emit.is_active(y):
                _sweep_outputs(session, y, matrix)
            session.release()
            value = outputs.value(emit, raw, y)
            outputs.release(emit, raw, y)
            return emit.return_value(value, jacobian_blocks(emit, matrix, value)).ir

        return_type = derivative.return_type(outputs.value_type, outputs.jacobian_type())
        return return_type(packed), codegen

    return jacobian


def _sweep_outputs(session: TapeSession, y: Value, matrix: Value) -> None:
    if not isinstance(y.type, types.Array):
        session.sweep(adjoints.sweep_row, session.rows(y), matrix)
        return
    emit, rows = session.emit, session.flat_rows(y)
    no_seeds = Value(types.none, emit.context.get_dummy_value())
    session.sweep(adjoints.sweep_rows, rows, no_seeds, matrix)
    emit.release(rows)
