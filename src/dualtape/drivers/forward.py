"""Forward mode: seed numbers, run the twin, read the partials.

A driver is emitted directly into the compiled function that the user calls: a loop whose body makes
seeded copies of the differentiated arguments, calls the activated twin and copies partials out.
The loop is the same for all forward derivatives; a `ForwardSweep` defines the number, its seeds,
how often the twin is called, and what is read from its result (`readers`).  All loops over arrays
are the kernels of `numbers.access` and `numbers.reading`, compiled once for all functions, so a
first derivative costs little more than compiling the function itself.

Cost for n inputs, in sweeps: ceil(n / chunk) for a gradient or a Jacobian, each about 1 + chunk/4
times the function; k (k + 1) / 2 with k = ceil(n / 4) for a Hessian, ceil(n / 8) for H v.  The
gradient of reverse mode can be differentiated forward; the partials on its tape are dual numbers
then, and H v costs one recording and one sweep, a Hessian ceil(n / 8) of them.

B. Christianson, "Automatic Hessians by reverse accumulation", IMA J. Numer. Anal. 12 (1992).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import cgutils, types

from ..backend.allocation import array_over
from ..backend.calls import Value
from ..errors import ArgumentError
from ..numbers import access
from ..numbers.hyper_dual import HyperDual
from ..numbers.plane_arrays import emit_planes
from ..numbers.types import PlanesType
from ..numbers.vector_dual import VectorDual
from . import readers
from .directions import aligned, direction_at, require_same_structure
from .emitter import Emitter, Input, pick_chunk, unpacked
from .factory import Request
from .signature import DerivativeTypes

BLOCK = 4  # 4 x 4: e12 is 16 lanes, two to four registers


def _no_direction(items: Any, _: Any) -> tuple[Any, Any]:
    return items, None


def _same_for_all(emit: Emitter, direction: Any) -> list[Any]:
    return [direction] * len(emit.inputs)


def _primals_and_tangents(items: Any, unpack: Any) -> tuple[Any, Any]:
    primals, tangents = items
    return unpack(primals), tangents


class ForwardSweep(NamedTuple):
    """What distinguishes one forward derivative from another.

    Attributes
    ----------
    number : type
        `VectorDual` or `HyperDual`.
    widths : callable
        (number of inputs, None if it varies) -> how many partials there are in its groups.
    seed : callable
        (emitter, input, buffer, starts, its part of the direction) -> the input as numbers.
    loop : callable
        (emitter, width, direction) -> context of the loop, which yields `starts`: the first input
        of every group of partials.
    reader : callable
        What reads the results of the twin; see `readers`.
    split : callable
        (arguments of the driver, how to unpack a tuple) -> (arguments of f, direction or seeds).
    check : callable
        (types of the derivative, type of the direction); raises if they do not fit.
    align : callable
        (emitter, direction) -> its part for each input.
    """

    number: Any
    widths: Callable[[int | None], tuple[int, ...]]
    seed: Callable[..., Value]
    loop: Callable[..., Any]
    reader: Callable[[DerivativeTypes], Any]
    split: Callable[[Any, Any], tuple[Any, Any]] = _no_direction
    check: Callable[[DerivativeTypes, Any], None] = lambda *_: None
    align: Callable[[Emitter, Any], list[Any]] = _same_for_all

    def driver(self, twin: Any, request: Request) -> Callable[..., Any]:
        """Return the driver of this derivative."""

        def driver(typingctx: Any, packed: Any) -> Any:
            arguments, direction_type = self.split(list(packed), list)
            derivative = DerivativeTypes(typingctx, twin, arguments, request)
            derivative.has_one_direction = self.seed is along
            self.check(derivative, direction_type)
            derivative.run_twin(self.number, *self.widths(derivative.size()))
            return_type, start = self.reader(derivative)

            def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
                def unpack(value: Value) -> list[Value]:
                    return unpacked(builder, value)

                values, direction = self.split(unpack(Value(packed, args[0])), unpack)
                emit = Emitter(derivative, context, builder, values)
                return self._emit(emit, start, direction).ir

            return return_type(packed), codegen

        return driver

    def _emit(self, emit: Emitter, start: Any, direction: Value | None) -> Value:
        emit.find_inputs()
        parts = self.align(emit, direction)
        read, finish, guard = start(emit, direction)
        buffers = emit.buffers()
        inputs = list(zip(emit.inputs, buffers, parts, strict=True))
        with self.loop(emit, emit.derivative.widths[0], direction) as starts, guard():
            seeded = [self.seed(emit, x, buffer, starts, part) for x, buffer, part in inputs]
            read(emit.call_twin(seeded), starts)
        emit.release(*buffers, *emit.copies)
        return finish()


# Seeds.


def units(emit: Emitter, x: Input, buffer: Value | None, starts: Any, _: Any) -> Value:
    """Seed unit partials in every group, for the inputs from its start."""
    lanes = [emit.subtract(x.offset, start) for start in starts]
    if buffer is None:
        number, indices = emit.derivative.number, [lane.ir for lane in lanes]
        source = x.value.ir, x.value.type
        seeded = access.make_seeded(emit.context, emit.builder, number, *source, indices)
        return Value(number, seeded)
    kernel = access.seed_array if len(lanes) == 1 else access.seed_array_twice
    emit.kernel(kernel, buffer, x.value, *lanes, emit.number)
    return buffer


def along(emit: Emitter, x: Input, buffer: Value | None, _: Any, direction: Value) -> Value:
    """Seed a part of a direction."""
    if isinstance(x.active, PlanesType):
        return planes_along(emit, x, direction)
    if buffer is None:
        return emit.kernel(access.seed_tangent, x.value, direction, emit.number)
    emit.kernel(access.seed_tangents, buffer, x.value, direction, emit.number)
    return buffer


def planes_along(emit: Emitter, x: Input, direction: Value) -> Value:
    """Return planes of an input and a direction: as both lie where they cannot change."""
    context, builder, ty = emit.context, emit.builder, x.active
    arrays = []
    for given in (x.value, direction):
        value, base = given, ty.dtype.base
        lies = value.type.layout == "C" and value.type.aligned and value.type.dtype == base
        if not lies or emit.writes_to_others():
            value = emit.kernel(access.to_numbers, value, emit.base)
            emit.copies.append(emit.owned(value))
        arrays.append(context.make_array(value.type)(context, builder, value.ir))
    shape = cgutils.unpack_tuple(builder, arrays[0].shape, ty.ndim)
    values = array_over(context, builder, ty.values, arrays[0].data, shape)
    ends = [builder.ptrtoint(array.data, ir.IntType(64)) for array in arrays]
    distance, zero = builder.sub(ends[1], ends[0]), ir.Constant(ir.IntType(64), 0)
    return Value(ty, emit_planes(context, builder, ty, values, distance, zero))


def units_along(
    emit: Emitter, x: Input, buffer: Value | None, starts: Any, direction: Value
) -> Value:
    """Seed e1 with units and e2 with a part of a direction."""
    lane = emit.subtract(x.offset, starts[0])
    if buffer is None:
        return emit.kernel(access.seed_one_direction, x.value, lane, direction, emit.number)
    emit.kernel(access.seed_direction, buffer, x.value, lane, direction, emit.number)
    return buffer


# Loops.


@contextlib.contextmanager
def once(emit: Emitter, width: int, _: Any) -> Iterator[Any]:
    """Emit no loop."""
    yield emit.index(0), emit.index(0)


@contextlib.contextmanager
def chunks(emit: Emitter, width: int, _: Any) -> Iterator[Any]:
    """Emit a loop over chunks of the inputs."""
    emit.save_draws(emit.compare(">", emit.n, emit.index(width)))
    with _at_least_once(emit, emit.index(0), width) as start:
        yield (start,)


@contextlib.contextmanager
def upper_blocks(emit: Emitter, width: int, _: Any) -> Iterator[Any]:
    """Emit loops over the blocks on and above the diagonal of a matrix over the inputs."""
    with chunks(emit, width, None) as (row,), _at_least_once(emit, row, width) as column:
        yield row, column


@contextlib.contextmanager
def _at_least_once(emit: Emitter, start: Value, step: int) -> Iterator[Value]:
    one_more = emit.add(start, emit.index(1))
    any_left = emit.compare(">", emit.n, start)
    stop = emit.builder.select(any_left, emit.n.ir, one_more.ir)
    step_ir = emit.index(step).ir
    with cgutils.for_range_slice(emit.builder, start.ir, stop, step_ir, inc=True) as (index, _):
        yield emit.index(index)


# Checks.


def _require_number(derivative: DerivativeTypes, _: Any) -> None:
    if isinstance(derivative.inputs[0], types.Array | types.BaseTuple):
        raise ArgumentError(
            f"{derivative.name}: the argument is {derivative.inputs[0]}; expected one real number. "
            "Use grad or jacobian for several inputs."
        )


# The derivatives.


def _chunk(size: int | None) -> Callable[[int | None], tuple[int]]:
    return lambda n: (pick_chunk(n, size),)


def _block(size: int | None) -> Callable[[int | None], tuple[int, int]]:
    return lambda n: (size or min(BLOCK, pick_chunk(n, None)),) * 2


def gradient_driver(twin: Any, request: Request, chunk_size: int | None) -> Any:
    """Return the driver that computes (value and) gradient from the packed arguments."""
    sweep = ForwardSweep(VectorDual, _chunk(chunk_size), units, chunks, readers.gradient)
    return sweep.driver(twin, request)


def jacobian_driver(twin: Any, request: Request, chunk_size: int | None, other: Any = None) -> Any:
    """Return the driver that computes (value and) Jacobian from the packed arguments.

    `other` is an `AutoJacobian`, which takes over if the number of outputs, known from the first
    sweep, favors reverse mode.
    """
    reader = partial(readers.jacobian, other=other)
    return ForwardSweep(VectorDual, _chunk(chunk_size), units, chunks, reader).driver(twin, request)


def derivative_driver(twin: Any, request: Request) -> Any:
    """Return the driver of the derivative by one scalar argument."""
    reader = readers.tangents
    sweep = ForwardSweep(VectorDual, _chunk(1), units, once, reader, check=_require_number)
    return sweep.driver(twin, request)


def second_derivative_driver(twin: Any, request: Request) -> Any:
    """Return the driver of the second derivative by one scalar argument."""
    reader = readers.second_tangents
    sweep = ForwardSweep(HyperDual, lambda _: (1, 1), units, once, reader, check=_require_number)
    return sweep.driver(twin, request)


def jvp_driver(twin: Any) -> Any:
    """Return the driver of (primals, tangents) -> (value, tangent)."""
    fields = _primals_and_tangents, require_same_structure, aligned
    sweep = ForwardSweep(VectorDual, _chunk(1), along, once, readers.tangents, *fields)
    return sweep.driver(twin, Request("jvp", None, with_value=True))


def hvp_driver(twin: Any, request: Request, position: int, chunk_size: int | None) -> Any:
    """Return the driver of (x, v, *args) -> H v, with v at `position`."""
    reader = partial(readers.gradient, field="e12")
    fields = direction_at(position), require_same_structure, aligned

    def widths(n: int | None) -> tuple[int, int]:
        return pick_chunk(n, chunk_size), 1

    sweep = ForwardSweep(HyperDual, widths, units_along, chunks, reader, *fields)
    return sweep.driver(twin, request)


def hvp_over_reverse_driver(gradient: Any, request: Request, position: int) -> Any:
    """Return the driver of (x, v, *args) -> H v, given ``grad(f, argnums, mode="reverse")``."""
    fields = direction_at(position), require_same_structure, aligned
    sweep = ForwardSweep(VectorDual, _chunk(1), along, once, readers.tangents, *fields)
    return sweep.driver(gradient, request)


def hessian_driver(twin: Any, request: Request, chunk_size: int | None) -> Any:
    """Return the driver of the Hessian (or value, gradient and Hessian)."""
    sweep = ForwardSweep(HyperDual, _block(chunk_size), units, upper_blocks, readers.hessian)
    return sweep.driver(twin, request)


def hessian_over_reverse_driver(gradient: Any, request: Request) -> Any:
    """Return the driver of the Hessian, given ``value_and_grad(f, argnums, mode="reverse")``."""
    sweep = ForwardSweep(VectorDual, _chunk(None), units, chunks, readers.gradient_columns)
    return sweep.driver(gradient, request)
