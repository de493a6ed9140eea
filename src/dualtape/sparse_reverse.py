"""Sparse derivatives in compiled code: recordings that fill in a sparse Jacobian, compressed H S.

The Jacobian's driver gets the `Program` of an earlier call.  If the new recording has the structure
it was made for, the entries are filled in and the tape is given back; if not, or if sweeps make
them, the recording is left for Python to make a new program from, or to sweep.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from . import adjoints, elimination, read, seed
from ._jit import kernel
from .active import Active
from .dual import VectorDual
from .emit import unwrap, wrap, zero_partials
from .errors import ArgumentError
from .numbertype import NumberType
from .outputs import as_vector, vector_type
from .over_reverse import read_columns
from .plan import Plan, base_type, is_active, is_differentiable, leaves
from .reverse import Recording
from .run import Run
from .seed import flat_view, flattened

__all__ = ["LANES", "compressed_driver", "sparse_driver"]

LANES = 8  # of a compressed product


class RecordingInPlace(Recording):
    """A recording of a function that writes its result into its last differentiated argument."""

    def __init__(self, run: Run, found: list[Any]) -> None:
        ty, value, _ = found[-1]
        made = run.kernel(seed.to_numbers, (ty, value), run.number)
        self.out = run.owned((run.plan.active_leaf(ty), made))
        super().__init__(run, found, spelled=True)

    def _track(self, leaf: Any) -> Any:
        return self.out[1] if leaf is self.found[-1] else super()._track(leaf)


def sparse_driver(
    twin: Any, argnums: tuple[int, ...], out: int | None, *, name: str, with_value: bool
) -> Callable[..., Any]:
    """Return the driver of (program, *args) -> (value, tape, rows of the outputs, entries).

    The address of the tape is 0 where the entries are filled in.
    """
    positions = argnums if out is None else (*argnums, out)

    def sparse(typingctx: Any, packed: Any) -> Any:
        words_type, *rest = packed
        plan = Plan(typingctx, twin, types.BaseTuple.from_types(rest), positions, name)
        _require_plain(plan, None if out is None else rest[out])
        plan.in_place = out is not None
        result = plan.run_twin(Active)
        y_type = _result_type(plan, result) if out is None else plan.active[out]
        value_type = base_type(y_type, plan.number) if with_value else types.none
        flat_rows, data = (types.Array(ty, 1, "C") for ty in (types.int64, types.float64))
        returned = types.Tuple((value_type, types.int64, flat_rows, data))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            known, *values = cgutils.unpack_tuple(builder, args[0])
            inner = context.make_tuple(builder, types.BaseTuple.from_types(rest), values)
            run = Run(plan, context, builder, inner)
            recording, y = _recorded(run, y_type, in_place=out is not None)
            run.owned((y_type, y))
            rows = run.owned((flat_rows, _flat_rows(run, recording, y_type, y)))
            value = context.get_dummy_value()
            if with_value:
                value = run.owned((value_type, run.base_value(y_type, y)[1]))[1]
            run.release(y_type, y)
            where, given = (types.int64, recording.tape), (words_type, known)
            found = run.kernel(elimination.filled, where, rows, given)
            done, made = cgutils.unpack_tuple(builder, found)
            address = cgutils.alloca_once_value(builder, recording.tape)
            with builder.if_then(done):
                recording.release()
                builder.store(ir.Constant(recording.tape.type, 0), address)
            items = [value, builder.load(address), rows[1], made]
            return context.make_tuple(builder, returned, items)

        return returned(packed), codegen

    return sparse


def _require_plain(plan: Plan, out_type: Any) -> None:
    if isinstance(plan.base, NumberType):
        raise ArgumentError(
            f"{plan.name}: sparse derivatives cannot be differentiated again; use jacobian."
        )
    if out_type is not None and not isinstance(out_type, types.Array):
        raise ArgumentError(
            f"{plan.name}: the argument that the function writes its result to is {out_type}; "
            "expected an array. Name its position with out."
        )


def _recorded(run: Run, y_type: Any, *, in_place: bool) -> tuple[Recording, Any]:
    """Record a call; return the recording and the result as one array or number."""
    found = run.input_leaves()
    if in_place:
        run.n = found[-1][2]  # what is written to is no input
        written = RecordingInPlace(run, found)
        run.release(run.plan.result, written.result)
        run.disown(written.out)
        return written, written.out[1]
    recording, result = Recording(run, found, spelled=True), run.plan.result
    if y_type == result:
        return recording, recording.result
    return recording, as_vector(run, result, recording.result)


def _result_type(plan: Plan, result: Any) -> Any:
    """Return the type of a result: one array or number, or a tuple that holds arrays."""
    nested = isinstance(result, types.BaseTuple) and any(
        isinstance(item, types.Array | types.BaseTuple) for item in result
    )
    if nested and all(is_differentiable(leaf) for leaf in leaves(result)):
        return result
    return vector_type(plan, result)


def _flat_rows(run: Run, recording: Recording, ty: Any, y: Any) -> Any:
    """Return the rows of a result as a flat array."""
    if isinstance(ty, types.Array):
        shaped = recording.rows(ty, y)
        flat = run.kernel(adjoints.ravel, shaped)
        run.release(*shaped)
        return flat
    pieces = []
    for leaf, value in run.items(ty, y):
        passive = not isinstance(leaf, types.Array) and not is_active(leaf, run.plan.number)
        row = types.int64, run.constant(0)
        pieces.append(row if passive else recording.rows(leaf, value))
    total = run.constant(0)
    for piece in pieces:
        total = run.builder.add(total, run.kernel(adjoints.count_rows, piece))
    flat = run.kernel(adjoints.empty_rows, (types.intp, total))
    at = run.constant(0)
    for piece in pieces:
        whole = types.Array(types.int64, 1, "C"), flat
        run.kernel(adjoints.copy_rows, whole, (types.intp, at), piece)
        at = run.builder.add(at, run.kernel(adjoints.count_rows, piece))
        run.release(*piece)
    return flat


def compressed_driver(gradient: Any) -> Callable[..., Any]:
    """Return the driver of (seeds, x, *args) -> H S, given ``value_and_grad(f, mode="reverse")``.

    S has shape (n, k), k a multiple of `LANES`; a recording and a sweep for as many columns.
    """

    def compressed(typingctx: Any, packed: Any) -> Any:
        seeds_type, *rest = packed
        plan = Plan(typingctx, gradient, types.BaseTuple.from_types(rest), (0,), "sparse_hessian")
        _require_plain(plan, None)
        result = plan.run_twin(VectorDual, LANES)
        returned = types.Array(plan.base, 2, "C")

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            seeds_value, *values = cgutils.unpack_tuple(builder, args[0])
            inner = context.make_tuple(builder, types.BaseTuple.from_types(rest), values)
            run = Run(plan, context, builder, inner)
            found, seeds = run.input_leaves(), (seeds_type, seeds_value)
            matrix = run.owned((returned, run.kernel(read.zeros_like, seeds, _base(run))))
            buffers = run.buffers(found)
            count = run.kernel(width_of, seeds)
            step = run.constant(LANES)
            run.keep_draws(builder.icmp_signed(">", count, step))
            with cgutils.for_range_slice(builder, run.constant(0), count, step, inc=True) as (
                start,
                _,
            ):
                pairs = zip(found, buffers, strict=True)
                directions = [_with_seeds(run, *pair, seeds, start) for pair in pairs]
                y = run.call_twin(found, directions)
                read_columns(run, found, result[1], y, matrix, start, LANES)
                run.release(result, y)
            run.release_all(buffers)
            return matrix[1]

        return returned(packed), codegen

    return compressed


def _base(run: Run) -> tuple[Any, Any]:
    return run.plan.base, run.base_like


def _with_seeds(run: Run, leaf: Any, buffer: Any, seeds: Any, start: Any) -> Any:
    """Return a leaf with the seeds of the columns from `start` as partials."""
    ty, value, offset = leaf
    place = (types.intp, offset), (types.intp, start)
    if buffer is None:
        return run.kernel(seed_number, (ty, value), seeds, *place, run.number)
    run.kernel(seed_rows, buffer, (ty, value), seeds, *place, run.number)
    return buffer[1]


@kernel
def width_of(seeds: Any) -> Any:
    """Return the number of columns."""
    return seeds.shape[1]


@kernel
def seed_number(x: Any, seeds: Any, row: Any, start: Any, like: Any) -> Any:
    """Return a number whose partials are those columns of a row of `seeds`."""
    s = seeds[row, start : start + LANES]
    return with_partials(x, (s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]), like)


@kernel
def seed_rows(out: Any, x: Any, seeds: Any, row: Any, start: Any, like: Any) -> None:
    """Copy `x` to numbers whose partials are those columns of the rows of `seeds` from `row`."""
    flat, source = flat_view(out), flattened(x)
    for i in range(flat.size):
        flat[i] = seed_number(source[i], seeds, row + i, start, like)


@intrinsic
def with_partials(typingctx: Any, value: Any, partials: Any, like: Any) -> Any:
    """Return a number with this value and these partials."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        name, slot = list(like.struct.items())[1]
        struct = context.make_helper(builder, like, value=args[2])
        struct.m_value = context.cast(builder, args[0], sig.args[0], like.base)
        lanes = cgutils.unpack_tuple(builder, args[1])
        plain = [context.cast(builder, lane, partials.dtype, like.base) for lane in lanes]
        wrapped = [wrap(context, builder, like.base, lane) for lane in plain]
        filled = zero_partials(context, builder, slot).build(wrapped)
        setattr(struct, "m_" + name, unwrap(filled, slot))
        return struct._getvalue()

    return like(value, partials, like), codegen
