"""Checkpoints: a call that the tape holds as one block and records only when the sweep is there.

The block keeps the arguments of the call.  Its adjoint leases a tape of its own, records the call
there, sweeps it and adds what comes out to the adjoints of the arguments.  Memory is that of the
arguments and of one call instead of all calls; time is one more evaluation.

A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 12.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types

from . import blocks, replay
from .active import Active
from .adjoints import make_tracked
from .draws import refuse_draws
from .emit import invoke
from .errors import ArgumentError
from .numbertype import NumberType, highest_number, level
from .plan import Plan, base_type, leaves, map_leaves
from .reverse import Recording
from .run import Run
from .sweeps import reverse_sweep

__all__ = ["Kept", "checkpoint_driver", "plain_call", "tracked_number"]


def tracked_number(packed: Any) -> NumberType | None:
    """Return the reverse-mode number type of a call; None if its highest level is another kind."""
    number = highest_number(packed)
    return number if number is not None and number.slots else None


def checkpoint_driver(twin: Any, name: str) -> Callable[..., Any]:
    """Return the driver of a checkpointed call."""

    def call(typingctx: Any, packed: Any) -> Any:
        number = tracked_number(packed)
        if number is None:
            return plain_call(typingctx, twin, packed)
        block = CheckpointBlock(typingctx, twin, packed, number, name)
        return block.returned(packed), block.codegen

    return call


def plain_call(typingctx: Any, twin: Any, packed: Any) -> Any:
    """Return signature and code of a call of the twin, on numbers of whatever kind."""
    result = typingctx.resolve_value_type(twin).get_call_type(typingctx, tuple(packed), {})

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = [builder.extract_value(args[0], i) for i in range(len(packed))]
        return invoke(context, builder, twin, tuple(packed), values)[1]

    return result.return_type(packed), codegen


def is_active(ty: Any, number: NumberType) -> bool:
    """Whether a leaf holds numbers of this tape."""
    return level(getattr(ty, "dtype", ty)) == number.level


def plan_of(typingctx: Any, twin: Any, packed: Any, number: NumberType, name: str) -> Plan:
    """Return the plan of recording a call again from plain arguments."""
    below = [map_leaves(base_type(ty, number), contiguous) for ty in packed]
    argnums = tuple(
        i for i, ty in enumerate(packed) if any(is_active(leaf, number) for leaf in leaves(ty))
    )
    plan = Plan(typingctx, twin, below, argnums, name)
    plan.base = number.base
    arrays = (
        i for i, ty in enumerate(packed) if any(isinstance(t, types.Array) for t in leaves(ty))
    )
    written = plan.effects.stored & frozenset(arrays)
    if written:
        raise ArgumentError(
            f"{plan.name}: the function writes to its argument {min(written)}, and a "
            "checkpointed call keeps its arguments; let it return a new array."
        )
    plan.run_twin(Active)
    refuse_draws(plan)
    return plan


def contiguous(ty: Any) -> Any:
    """Return the type that a leaf has when it comes from the arena."""
    return types.Array(ty.dtype, ty.ndim, "C") if isinstance(ty, types.Array) else ty


def active_leaf(ty: Any, number: NumberType) -> Any:
    """Return the type that a leaf of a result has with rows of its own."""
    if not is_active(ty, number):
        return types.unliteral(ty)
    return types.Array(number, ty.ndim, "C") if isinstance(ty, types.Array) else number


class CheckpointBlock:
    """Types and code of one checkpointed call."""

    def __init__(
        self, typingctx: Any, twin: Any, packed: Any, number: NumberType, name: str
    ) -> None:
        self.packed = packed
        self.number = number
        self.twin = twin
        self.plan = plan_of(typingctx, twin, packed, number, name)
        twin_type = typingctx.resolve_value_type(twin)
        self.below = tuple(base_type(ty, number) for ty in packed)
        primal = twin_type.get_call_type(typingctx, self.below, {}).return_type
        self.primal = primal
        self.returned = map_leaves(self.plan.result, lambda ty: active_leaf(ty, number))
        wanted = [base_type(ty, number) for ty in leaves(self.returned)]
        if wanted != [contiguous(types.unliteral(ty)) for ty in leaves(primal)]:
            raise ArgumentError(
                f"{self.plan.name}: the function returns {primal} for plain arguments; expected "
                "numbers, new arrays, or tuples of these."
            )
        self.kept = Kept(packed, number, self.plan.name)

    def codegen(self, context: Any, builder: Any, sig: Any, args: Any) -> Any:
        """Emit the call on plain values, and the block."""
        run = Run(self.plan, context, builder, args[0])
        y, address = self._evaluate(run)
        pairs = list(zip(leaves(self.returned), run.items(self.primal, y), strict=True))
        sizes = [
            run.leaf_size(*pair) if is_active(ty, self.number) else run.constant(0)
            for ty, pair in pairs
        ]
        total = run.constant(0)
        for size in sizes:
            total = builder.add(total, size)
        first = self.kept.block(run, address, total, self._adjoint)
        made = []
        for (ty, pair), size in zip(pairs, sizes, strict=True):
            made.append(_tracked(run, ty, pair, first, address))
            first = builder.add(first, size)
        return run.rebuild(self.returned, iter(made))[1]

    def _evaluate(self, run: Run) -> tuple[Any, Any]:
        """Call the function on plain values; return its result and the address of the tape."""
        made, values, address = [], [], run.constant(0)
        for ty, value in zip(self.packed, run.values, strict=True):
            pieces = []
            for leaf in run.items(ty, value):
                pieces.append(plain_leaf(run, *leaf, self.number))
                if is_active(leaf[0], self.number):
                    found = run.kernel(replay.tape_of_leaf, leaf)
                    missing = run.builder.icmp_unsigned("==", address, run.constant(0))
                    address = run.builder.select(missing, found, address)
                    if isinstance(leaf[0], types.Array):
                        made.append(pieces[-1])
            values.append(run.rebuild(ty, iter(pieces))[1])

        def drop() -> None:
            for pair in made:
                run.release(*pair)

        y = self._call(run, values, drop)
        drop()
        return y, address

    def _call(self, run: Run, values: list[Any], on_error: Any) -> Any:
        """Call the function on plain values."""
        return invoke(run.context, run.builder, self.twin, self.below, values, on_error)[1]

    def _adjoint(self, context: Any, builder: Any, arguments: Any) -> None:
        """Emit the adjoint: record the call on another tape, sweep it, add to the arguments."""
        address, block, lane, width = arguments
        loaded, rows = self.kept.load(context, builder, address, block)
        run = Run(self.plan, context, builder, loaded)
        found = run.input_leaves()
        recording = Recording(run, found)
        inner = types.int64, recording.tape
        base = run.wide
        place = [(types.int64, value) for value in (lane, width)]
        results = [
            (ty, value)
            for ty, value in run.items(self.plan.result, recording.result)
            if is_active(ty, self.number)
        ]
        run.owned((self.plan.result, recording.result))
        result_rows = [run.owned(recording.rows(ty, value)) for ty, value in results]
        recording.sweep(replay.clear, base)  # now that nothing more is recorded
        first = run.kernel(replay.first_row, (types.int64, address), (types.int64, block))
        outer = types.int64, address
        for (ty, value), row in zip(results, result_rows, strict=True):
            at = types.int64, first
            run.kernel(replay.seed_adjoint, outer, at, *place, inner, row, base)
            first = builder.add(first, run.leaf_size(ty, value))
        start = types.int64, builder.add(run.n, run.constant(1))
        recording.sweep(reverse_sweep, start, base)
        for (_, _, offset), row in zip(found, rows, strict=True):
            at = types.int64, builder.add(offset, run.constant(1))
            run.kernel(replay.add_inputs, outer, row, *place, inner, at, base)
        recording.release_all()


def plain_leaf(run: Run, ty: Any, value: Any, number: NumberType) -> tuple[Any, Any]:
    """Return (type, value) of a leaf one level down; arrays of numbers are copied."""
    below = base_type(ty, number)
    if below == ty:
        return ty, value
    if isinstance(ty, types.Array):
        like = number.base, run.context.get_constant_null(number.base)
        return below, run.kernel(blocks.base_array, (ty, value), like)
    if below == types.unliteral(ty):
        return below, run.context.cast(run.builder, value, ty, below)
    return below, run.context.make_helper(run.builder, ty, value=value).m_value


def _tracked(run: Run, ty: Any, pair: Any, first: Any, address: Any) -> tuple[Any, Any]:
    """Return a plain leaf of the result as numbers with the rows from `first`."""
    if types.unliteral(pair[0]) == ty:
        return ty, run.context.cast(run.builder, pair[1], pair[0], ty)
    if isinstance(ty, types.Array):
        number = ty.dtype, run.context.get_constant_null(ty.dtype)
        where = (types.int64, first), (types.int64, address)
        made = ty, run.kernel(replay.track_result, pair, *where, number)
        run.release(*pair)
        return made
    passive = run.builder.icmp_unsigned("==", address, run.constant(0))
    row = run.builder.select(passive, run.constant(0), first)
    return ty, make_tracked(run.context, run.builder, ty, pair[1], row, address)


class Kept:
    """What a block keeps of the arguments of its call, and how it gets them back."""

    def __init__(self, packed: Any, number: NumberType, name: str) -> None:
        self.packed = packed
        self.number = number
        for ty in packed:
            for leaf in leaves(ty):
                if not _is_storable(leaf):
                    raise ArgumentError(
                        f"{name}: an argument of type {leaf} cannot be kept for the sweep; "
                        "expected numbers, arrays of numbers, or tuples of these."
                    )

    def block(self, run: Run, address: Any, total: Any, adjoint: Any) -> Any:
        """Emit a block with `total` result rows, unless no argument is active; return the first."""
        builder, tape = run.builder, (types.int64, address)

        def body(inner: Any, arguments: Any) -> None:
            adjoint(run.context, inner, arguments)

        where = blocks.emit_adjoint(run.context, builder, "checkpoint", body)
        first = run.kernel(replay.reserve, tape, (types.int64, total))
        found = [
            leaf
            for ty, value in zip(self.packed, run.values, strict=True)
            for leaf in run.items(ty, value)
        ]
        count = types.int64, run.constant(len(found))
        head = types.int64, run.kernel(replay.open_data, tape, count)
        for i, (ty, value) in enumerate(found):
            if not _is_dummy(ty):
                like = self._stored(types.unliteral(ty))
                zero = like, run.context.get_constant_null(like)
                leaf = types.unliteral(ty), value
                at = types.int64, run.constant(i)
                run.kernel(replay.store_leaf, tape, head, at, leaf, zero)
        last = types.int64, builder.add(first, total)
        run.kernel(replay.close_data, tape, (types.int64, first), last, (types.int64, where), head)
        return first

    def _stored(self, ty: Any) -> Any:
        """Return the type that the elements of a leaf are stored as."""
        dtype = ty.dtype if isinstance(ty, types.Array) else ty
        return self.number.base if level(dtype) == self.number.level else dtype

    def load(self, context: Any, builder: Any, address: Any, block: Any) -> tuple[Any, list[Any]]:
        """Emit what reads the arguments back; return them packed, and rows of active leaves.

        Arrays are borrowed from the arena.
        """
        rows: list[Any] = []

        def kernel(function: Any, *pairs: Any) -> Any:
            arg_types = [ty for ty, _ in pairs]
            return invoke(context, builder, function, arg_types, [v for _, v in pairs])[1]

        tape = (types.int64, address), (types.int64, block)
        counter = iter(range(10**9))

        def load(ty: Any) -> Any:
            if isinstance(ty, types.BaseTuple):
                made = map_leaves(base_type(ty, self.number), contiguous)
                return context.make_tuple(builder, made, [load(t) for t in ty])
            i = next(counter)
            if _is_dummy(ty):
                return context.get_dummy_value()
            like = self._stored(types.unliteral(ty))
            zero = like, context.get_constant_null(like)
            at = types.int64, context.get_constant(types.int64, i)
            if is_active(ty, self.number) or self._goes_along(ty):
                row_type = types.Array(types.int64, 1, "C")
                rows.append((row_type, kernel(replay.load_rows, *tape, at)))
            if not isinstance(ty, types.Array):
                return kernel(replay.load_number, *tape, at, zero)
            extents = types.UniTuple(types.intp, ty.ndim)
            shape = extents, context.get_constant_null(extents)
            return kernel(replay.load_leaf, *tape, at, zero, shape)

        active = [any(is_active(leaf, self.number) for leaf in leaves(ty)) for ty in self.packed]
        values = []
        for ty, on in zip(self.packed, active, strict=True):
            self._along = on
            values.append(load(ty))
        below = [map_leaves(base_type(ty, self.number), contiguous) for ty in self.packed]
        return context.make_tuple(builder, types.BaseTuple.from_types(below), values), rows

    def _goes_along(self, ty: Any) -> bool:
        """Whether a passive leaf stands in an argument that is differentiated for another leaf."""
        return self._along and not _is_dummy(ty)


def _is_dummy(ty: Any) -> bool:
    return isinstance(ty, types.NoneType | types.Omitted | types.Dispatcher | types.Opaque)


def _is_storable(ty: Any) -> bool:
    dtype = types.unliteral(ty.dtype if isinstance(ty, types.Array) else ty)
    return _is_dummy(ty) or isinstance(dtype, types.Number | types.Boolean | NumberType)
