"""Sparse derivatives in compiled code: the entries of a sparse Jacobian, and compressed H S.

The Jacobian's driver gets the `Program` of an earlier call.  If the new recording has the structure
it was made for, the entries are computed and the tape is given back; if not, or if sweeps compute
them, the recording is left for Python to make a new program from, or to sweep.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from numba.core import cgutils, types

from ..backend.calls import Value
from ..backend.jit import kernel
from ..drivers.emitter import Emitter, Input, unpacked
from ..drivers.factory import Request
from ..drivers.forward import ForwardSweep
from ..drivers.readers import Reader, read_gradient
from ..drivers.results import as_vector, vector_type
from ..drivers.reverse import TapeSession
from ..drivers.signature import DerivativeTypes, base_type, is_differentiable, leaves
from ..errors import ArgumentError
from ..numbers import access, reading
from ..numbers.access import as_number, flat_view, flattened
from ..numbers.tracked import Active
from ..numbers.types import NumberType
from ..numbers.vector_dual import VectorDual
from . import program

LANES = 8  # of a compressed product


def sparse_driver(
    twin: Any, argnums: tuple[int, ...], out: int | None, *, name: str, with_value: bool
) -> Callable[..., Any]:
    """Return the driver of (program, *args) -> (value, tape, rows of the outputs, entries).

    The address of the tape is 0 if the entries are computed.
    """
    positions = argnums if out is None else (*argnums, out)

    def sparse(typingctx: Any, packed: Any) -> Any:
        rest = list(packed)[1:]
        derivative = DerivativeTypes(typingctx, twin, rest, Request(name, positions))
        require_plain(derivative, None if out is None else rest[out])
        derivative.in_place = out is not None
        derivative.run_twin(Active)
        y_type = result_type(derivative) if out is None else derivative.active[out]
        value_type = base_type(y_type, derivative.number) if with_value else types.none
        vectors = (types.Array(ty, 1, "C") for ty in (types.int64, types.float64))
        return_type = types.Tuple((value_type, types.int64, *vectors))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            words, *values = unpacked(builder, Value(packed, args[0]))
            emit = Emitter(derivative, context, builder, values)
            session, y = recorded(emit, y_type)
            emit.owned(y)
            rows = session.flat_rows(y)
            value = Value(types.none, context.get_dummy_value())
            if with_value:
                value = emit.owned(emit.base_value(y))
            emit.release(y)
            entries = emit.kernel(program.compute_entries, session.tape, rows, words)
            is_done, data = emit.unpack(entries)
            address = emit.variable(types.int64)
            address.store(session.tape)
            with builder.if_then(is_done.ir):
                session.release()
                address.store(emit.index(0))
            return emit.pack([value, address.load(), rows, data], return_type).ir

        return return_type(packed), codegen

    return sparse


def require_plain(derivative: DerivativeTypes, out_type: Any) -> None:
    """Raise if a sparse derivative cannot be made of these types."""
    if isinstance(derivative.base, NumberType):
        raise ArgumentError(
            f"{derivative.name}: sparse derivatives cannot be differentiated again; use jacobian."
        )
    if out_type is not None and not isinstance(out_type, types.Array):
        raise ArgumentError(
            f"{derivative.name}: the argument that the function writes its result to is "
            f"{out_type}; expected an array. Name its position with output_argnum."
        )


class SparseSession(TapeSession):
    """A recording to be read as a matrix."""

    def __init__(self, emit: Emitter) -> None:
        self.out: Value | None = None
        if emit.derivative.in_place:
            copy = emit.kernel(access.to_numbers, emit.inputs[-1].value, emit.number)
            self.out = emit.owned(copy)
        super().__init__(emit, scalarized=True)

    def _track(self, x: Input) -> Value:
        if self.out is not None and x is self.emit.inputs[-1]:
            return self.out
        return self._input(x)

    def _input(self, x: Input) -> Value:
        return super()._track(x)


def recorded(emit: Emitter, y_type: Any, kind: Any = SparseSession) -> tuple[Any, Value]:
    """Record a call; return the recording and the result as one array or number."""
    emit.find_inputs()
    if emit.derivative.in_place:
        emit.n = emit.inputs[-1].offset  # the array written to is no input
        in_place = kind(emit)
        emit.release(in_place.result)
        emit.disown(in_place.out)
        return in_place, in_place.out
    session = kind(emit)
    y = session.result
    return session, y if y.type == y_type else as_vector(emit, y)


def result_type(derivative: DerivativeTypes) -> Any:
    """Return the type of a result: one array or number, or a tuple that holds arrays."""
    result = derivative.result
    nested = isinstance(result, types.BaseTuple) and any(
        isinstance(item, types.Array | types.BaseTuple) for item in result
    )
    if nested and all(is_differentiable(leaf) for leaf in leaves(result)):
        return result
    return vector_type(derivative)


def compressed_driver(gradient: Any, argnums: tuple[int, ...]) -> Callable[..., Any]:
    """Return the driver of (seeds, *args) -> H S, given ``value_and_grad(f, mode="reverse")``.

    S has shape (n, k), k a multiple of `LANES`; each recording and sweep is for `LANES` columns.
    """
    sweep = ForwardSweep(
        VectorDual,
        widths=lambda _: (LANES,),
        seed=_with_seeds,
        loop=_columns,
        reader=_compressed,
        split=lambda items, _: (items[1:], items[0]),
        check=lambda derivative, _: require_plain(derivative, None),
    )
    return sweep.driver(gradient, Request("sparse_hessian", argnums))


def _compressed(derivative: DerivativeTypes) -> Any:
    """Read columns of H S: the partials of (value, gradient)."""

    def start(emit: Emitter, seeds: Value) -> Reader:
        matrix = emit.owned(emit.kernel(reading.zeros_like, seeds, emit.base))

        def read(y: Value, start: Value) -> None:
            read_gradient(emit, y, matrix, start)
            emit.release(y)

        return Reader(read, lambda: matrix)

    return types.Array(derivative.base, 2, "C"), start


@contextlib.contextmanager
def _columns(emit: Emitter, width: int, seeds: Value) -> Iterator[Any]:
    """Emit a loop over the columns of the seeds."""
    count, step = emit.kernel(width_of, seeds), emit.index(width)
    emit.save_draws(emit.compare(">", count, step))
    bounds = emit.index(0).ir, count.ir, step.ir
    with cgutils.for_range_slice(emit.builder, *bounds, inc=True) as (start, _):
        yield emit.index(start)


def _with_seeds(emit: Emitter, x: Input, buffer: Value | None, start: Any, seeds: Value) -> Value:
    """Return an input with the seeds of the columns from `start` as partials."""
    if buffer is None:
        return emit.kernel(seed_number, x.value, seeds, x.offset, start, emit.number)
    emit.kernel(seed_rows, buffer, x.value, seeds, x.offset, start, emit.number)
    return buffer


@kernel
def width_of(seeds: Any) -> Any:
    """Return the number of columns."""
    return seeds.shape[1]


@kernel
def seed_number(x: Any, seeds: Any, row: Any, start: Any, like: Any) -> Any:
    """Return a number whose partials are the seeds of a row in the columns from `start`."""
    s = seeds[row, start : start + LANES]
    return as_number(VectorDual(x, (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7])), like)


@kernel
def seed_rows(out: Any, x: Any, seeds: Any, row: Any, start: Any, like: Any) -> None:
    """Copy `x` to numbers, whose partials are seeds of the rows from `row`; see `seed_number`."""
    flat, source = flat_view(out), flattened(x)
    for i in range(flat.size):
        flat[i] = seed_number(source[i], seeds, row + i, start, like)
