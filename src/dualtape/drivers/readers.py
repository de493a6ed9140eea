"""What forward sweeps read from the twin's results, and what they return.

Each function takes the types of a derivative, and returns the type of its result and ``start``:
before the loop, ``start(emitter, direction)`` returns a `Reader`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from numba.core import types

from ..backend.calls import Value
from ..errors import NotScalarError
from ..numbers import reading
from ..numbers.types import NumberType, map_leaves
from .emitter import Emitter
from .results import Outputs, as_vector, hessian_blocks, jacobian_blocks, not_numbers, without_lists
from .signature import DerivativeTypes, base_type, leaves


class Reader(NamedTuple):
    """Code in the loop, code after it, and a context around what the loop repeats."""

    read: Callable[[Value, Any], None]
    finish: Callable[[], Value]
    guard: Callable[[], Any] = contextlib.nullcontext


def gradient(derivative: DerivativeTypes, field: str = "partials") -> Any:
    """Read the derivatives of one number by all inputs from one of its fields."""
    derivative.require_scalar()

    def start(emit: Emitter, _: Any) -> Reader:
        flat, value = emit.zeros([emit.n]), emit.variable(derivative.value_type)

        def read(y: Value, starts: Any) -> None:
            value.store(emit.base_value(y))
            if emit.is_active(y):
                emit.kernel(reading.read_lanes, emit.lanes(y, field), flat, starts[0])

        return Reader(read, lambda: emit.return_value(value.load(), emit.unflatten(flat)))

    return derivative.return_type(derivative.value_type, derivative.gradient_type), start


def hessian(derivative: DerivativeTypes) -> Any:
    """Read blocks of a symmetric matrix; on the diagonal the upper triangle decides."""
    derivative.require_scalar()

    def start(emit: Emitter, _: Any) -> Reader:
        flat, value = emit.zeros([emit.n]), emit.variable(derivative.value_type)
        matrix, width = emit.zeros([emit.n, emit.n]), emit.index(derivative.widths[0])

        def read(y: Value, starts: Any) -> None:
            value.store(emit.base_value(y))
            if emit.is_active(y):
                emit.kernel(reading.read_block, emit.lanes(y, "e12"), matrix, *starts, width)
                emit.kernel(reading.read_lanes, emit.lanes(y, "e1"), flat, starts[0])

        def finish() -> Value:
            out = hessian_blocks(emit, matrix)
            first = emit.unflatten(flat) if derivative.request.with_value else flat
            return emit.return_value(value.load(), first, out)

        return Reader(read, finish)

    parts = derivative.value_type, derivative.gradient_type, derivative.hessian_type
    return derivative.return_type(*parts), start


def gradient_columns(derivative: DerivativeTypes) -> Any:
    """Read columns of the Hessian: derivatives of (value, gradient), which the twin returns."""

    def start(emit: Emitter, _: Any) -> Reader:
        matrix, first = emit.zeros([emit.n, emit.n]), emit.variable(derivative.value_type)

        def read(y: Value, starts: Any) -> None:
            read_gradient(emit, y, matrix, starts[0])
            with emit.builder.if_then(emit.compare("==", starts[0], emit.index(0))):
                first.store(emit.base_value(y))
            emit.release(y)

        def finish() -> Value:
            emit.kernel(reading.symmetrize, matrix)
            out = hessian_blocks(emit, matrix)
            return emit.return_value(*emit.unpack(first.load()), out)

        return Reader(read, finish)

    return derivative.return_type(*derivative.value_type, derivative.hessian_type), start


def read_gradient(emit: Emitter, y: Value, matrix: Value, column: Value) -> None:
    """Copy the partials of the gradients in (value, gradient) to columns of the Hessian."""
    for x, item in zip(emit.inputs, emit.items(emit.unpack(y)[1]), strict=True):
        _read_columns(emit, item, matrix, x.offset, column)


def _read_columns(emit: Emitter, y: Value, matrix: Value, row: Value, column: Value) -> None:
    """Copy the partials of a number or an array to columns of a matrix, from a row on."""
    if not emit.is_active(y):
        return
    if isinstance(y.type, types.Array):
        width = emit.index(emit.derivative.widths[0])
        emit.kernel(reading.read_rows, y, matrix, row, column, width)
    else:
        emit.kernel(reading.read_row, emit.lanes(y, "partials"), matrix, row, column)


def tangents(derivative: DerivativeTypes) -> Any:
    """Read the derivatives of a result in one direction, in its structure."""
    return _one_partial(derivative, reading.tangents_of, reading.tangent_of)


def second_tangents(derivative: DerivativeTypes) -> Any:
    """Read the second derivatives of a result, in its structure."""
    return _one_partial(derivative, reading.seconds_of, reading.second_of)


def _one_partial(derivative: DerivativeTypes, of_array: Any, of_number: Any) -> Any:
    y_type, base = without_lists(derivative), derivative.base
    for ty in leaves(y_type):
        if not isinstance(ty, types.Array | NumberType | types.Number | types.Boolean):
            raise NotScalarError(not_numbers(derivative))
    tangent_type = map_leaves(y_type, lambda ty: derivative.block_type(ty, base))

    def start(emit: Emitter, _: Any) -> Reader:
        parts: list[Value] = []

        def tangent(y: Value) -> Value:  # zeros if it does not depend on the inputs
            if isinstance(y.type, types.Array):
                return emit.kernel(
                    of_array if emit.is_active(y) else reading.zeros_like, y, emit.base
                )
            if not emit.is_active(y):
                return emit.base
            return emit.cast(emit.kernel(of_number, y), base)  # maybe of another width

        def read(y: Value, starts: Any) -> None:
            y = y if y.type == y_type else as_vector(emit, y)
            if derivative.request.with_value:
                parts.append(emit.base_value(y))
            parts.append(emit.rebuild(y.type, map(tangent, emit.items(y))))
            emit.release(y)

        return Reader(read, lambda: emit.return_value(*parts))

    return derivative.return_type(base_type(y_type, derivative.number), tangent_type), start


def jacobian(derivative: DerivativeTypes, other: Any = None) -> Any:
    """Read the derivatives of a result of any structure by all inputs.

    The number of outputs is known after the first sweep.  If `other`, an `AutoJacobian`, is better
    for so many, it takes over: the address of its code is stored, 0 for forward mode.
    """
    outputs = Outputs(derivative)
    return_type = derivative.return_type(outputs.value_type, outputs.jacobian_type())
    packed = types.BaseTuple.from_types(derivative.packed)
    switch = None if other is None else other.alternative(packed, return_type)

    def start(emit: Emitter, _: Any) -> Reader:
        rows = emit.variable(types.Array(derivative.base, 2, "C"))
        value, out = emit.variable(outputs.value_type), emit.variable(return_type)
        address = emit.variable(types.intp)
        address.store(emit.index(0))

        def if_address(operator: str = "==") -> Any:
            return emit.builder.if_then(emit.compare(operator, address.load(), emit.index(0)))

        def read(raw: Value, starts: Any) -> None:
            y = outputs.flattened(emit, raw)
            with emit.builder.if_then(emit.compare("==", starts[0], emit.index(0))):
                first = emit.owned(outputs.value(emit, raw, y))
                matrix = emit.owned(emit.kernel(reading.new_rows, y, emit.n, emit.base))
                value.store(first)
                rows.store(matrix)
                if switch is not None:
                    condition = other.is_better(emit.builder, emit.n.ir, emit.size(y).ir)
                    code = switch.address(emit.context, emit.builder, condition, emit.clean_up)
                    address.store(emit.index(code))
                emit.disown(first, matrix)
            _read_columns(emit, y, rows.load(), emit.index(0), starts[0])
            outputs.release(emit, raw, y)

        def finish() -> Value:
            with if_address():
                blocks = jacobian_blocks(emit, rows.load(), value.load())
                out.store(emit.return_value(value.load(), blocks))
            if switch is not None:
                with if_address("!="):
                    emit.release(rows.load(), value.load())
                    emit.restore_draws()
                    call = emit.context, emit.builder, address.load().ir, emit.pack(emit.values).ir
                    out.store(Value(return_type, switch.call(*call)))
            return out.load()

        return Reader(read, finish, if_address)

    return return_type, start
