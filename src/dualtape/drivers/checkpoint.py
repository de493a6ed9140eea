"""Checkpoints: a call stored as one block, recorded only when the reverse sweep reaches it.

The block saves the arguments of the call.  Its adjoint leases a tape of its own, records the call
there, sweeps it and adds the result to the adjoints of the arguments.  Memory is that of the
arguments and of one call instead of all calls; time is one more evaluation.

A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 12.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from numba.core import types

from ..backend.calls import Value, invoke
from ..errors import ArgumentError
from ..numbers.tracked import Active, make_active
from ..numbers.types import NumberType, highest_number, map_leaves
from ..reverse import blocks, leaf_data
from ..reverse.sweep import reverse_sweep
from .emitter import Emitter, unpacked
from .factory import Request
from .random_state import refuse_draws
from .reverse import TapeSession
from .signature import DerivativeTypes, base_type, element, is_active, leaves


def tracked_number(packed: Any) -> NumberType | None:
    """Return the number type of a call in reverse mode; None if its highest level is another."""
    number = highest_number(packed)
    return number if number is not None and number.slots else None


def checkpoint_driver(twin: Any, name: str) -> Callable[..., Any]:
    """Return the driver of a checkpointed call."""

    def call(typingctx: Any, packed: Any) -> Any:
        number = tracked_number(packed)
        if number is None:
            return plain_call(typingctx, twin, packed)
        block = CheckpointBlock(typingctx, twin, packed, number, name)
        return block.return_type(packed), block.codegen

    return call


def plain_call(typingctx: Any, twin: Any, packed: Any) -> Any:
    """Return signature and code of a call of the twin, with any kind of numbers."""
    result = typingctx.resolve_value_type(twin).get_call_type(typingctx, tuple(packed), {})

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = [builder.extract_value(args[0], i) for i in range(len(packed))]
        return invoke(context, builder, twin, tuple(packed), values)[1]

    return result.return_type(packed), codegen


def recording_types(
    typingctx: Any, twin: Any, packed: Any, number: NumberType, name: str
) -> DerivativeTypes:
    """Return the types of recording a call again from plain arguments."""
    plain_types = [map_leaves(base_type(ty, number), contiguous_type) for ty in packed]
    argnums = tuple(i for i, ty in enumerate(packed) if _is_any_active(ty, number))
    derivative = DerivativeTypes(typingctx, twin, plain_types, Request(name, argnums))
    derivative.base = number.base
    arrays = (
        i for i, ty in enumerate(packed) if any(isinstance(t, types.Array) for t in leaves(ty))
    )
    written = derivative.effects.stored & frozenset(arrays)
    if written:
        raise ArgumentError(
            f"{derivative.name}: the function writes to its argument {min(written)}, and a "
            "checkpointed call keeps its arguments; let it return a new array."
        )
    derivative.run_twin(Active)
    refuse_draws(derivative)
    return derivative


def _is_any_active(ty: Any, number: NumberType) -> bool:
    return any(is_active(leaf, number) for leaf in leaves(ty))


def contiguous_type(ty: Any) -> Any:
    """Return the type of a leaf that is loaded from the arena."""
    return types.Array(ty.dtype, ty.ndim, "C") if isinstance(ty, types.Array) else ty


def tracked_type(ty: Any, number: NumberType) -> Any:
    """Return the type of a leaf of a result with rows of its own."""
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
        self.derivative = recording_types(typingctx, twin, packed, number, name)
        twin_type = typingctx.resolve_value_type(twin)
        self.plain_types = tuple(base_type(ty, number) for ty in packed)
        self.plain_result = twin_type.get_call_type(typingctx, self.plain_types, {}).return_type
        self.return_type = map_leaves(self.derivative.result, lambda ty: tracked_type(ty, number))
        expected = [base_type(ty, number) for ty in leaves(self.return_type)]
        if expected != [contiguous_type(types.unliteral(ty)) for ty in leaves(self.plain_result)]:
            raise ArgumentError(
                f"{self.derivative.name}: the function returns {self.plain_result} for plain "
                "arguments; expected numbers, new arrays, or tuples of these."
            )
        self.arguments = SavedArguments(packed, number, self.derivative.name)

    def codegen(self, context: Any, builder: Any, sig: Any, args: Any) -> Any:
        """Emit the call on plain values, and the block."""
        values = unpacked(builder, Value(self.packed, args[0]))
        emit = Emitter(self.derivative, context, builder, values)
        y, tape = self._evaluate(emit)
        values, result_types = list(emit.items(y)), list(leaves(self.return_type))
        sizes = [
            emit.size(value) if is_active(ty, self.number) else emit.index(0)
            for ty, value in zip(result_types, values, strict=True)
        ]
        first = self.arguments.block(emit, tape, emit.total(sizes), self._adjoint)
        results = []
        for ty, value, size in zip(result_types, values, sizes, strict=True):
            results.append(_tracked(emit, ty, value, first, tape))
            first = emit.add(first, size)
        return emit.rebuild(self.return_type, iter(results)).ir

    def _evaluate(self, emit: Emitter) -> tuple[Value, Value]:
        """Call the function on plain values; return its result and the address of the tape."""
        copies, values, tape = [], [], emit.index(0)
        for value in emit.values:
            plain = []
            for leaf in emit.items(value):
                plain.append(_plain_leaf(emit, leaf, self.number))
                if is_active(leaf.type, self.number):
                    leaf_tape = emit.kernel(leaf_data.tape_of_leaf, leaf)
                    unknown = emit.compare("==", tape, emit.index(0))
                    tape = emit.index(emit.builder.select(unknown, leaf_tape.ir, tape.ir))
                    if isinstance(leaf.type, types.Array):
                        copies.append(emit.owned(plain[-1]))
            values.append(emit.rebuild(value.type, iter(plain)))
        y = Value(self.plain_result, self._call(emit, values))
        emit.release(*copies)
        return y, tape

    def _call(self, emit: Emitter, values: list[Value]) -> Any:
        """Call the function on plain values."""
        args = [value.ir for value in values], emit.clean_up
        return invoke(emit.context, emit.builder, self.twin, self.plain_types, *args)[1]

    def _adjoint(self, emit: Emitter, outer: Value, first: Value, lane: Any, rows: Any) -> None:
        """Emit the adjoint: record the call on another tape, sweep it, add to the arguments."""
        session, results = recorded_results(emit, active=True)
        for value, row in results:
            emit.kernel(leaf_data.seed_adjoint, outer, first, *lane, session.tape, row, emit.wide)
            first = emit.add(first, emit.size(value))
        session.sweep(reverse_sweep, emit.add(emit.n, emit.index(1)), emit.wide)
        for x, row in zip(emit.inputs, rows, strict=True):
            start = emit.add(x.offset, emit.index(1))
            emit.kernel(leaf_data.add_inputs, outer, row, *lane, session.tape, start, emit.wide)
        session.release_all()


def recorded_results(emit: Emitter, *, active: bool = False) -> tuple[TapeSession, Any]:
    """Record a call on another tape; return (leaf, rows) for its results, or the active ones."""
    session = TapeSession(emit)
    results = [y for y in emit.items(session.result) if not active or emit.is_active(y)]
    emit.owned(session.result)
    rows = [emit.owned(session.rows(y)) for y in results]
    session.sweep(leaf_data.clear, emit.wide)  # now that nothing more is recorded
    return session, list(zip(results, rows, strict=True))


def _plain_leaf(emit: Emitter, leaf: Value, number: NumberType) -> Value:
    """Return a leaf one level down; arrays of numbers are copied."""
    plain_type = base_type(leaf.type, number)
    if plain_type == leaf.type:
        return leaf
    if isinstance(leaf.type, types.Array):
        return emit.kernel(blocks.base_array, leaf, emit.base)
    if plain_type == types.unliteral(leaf.type):
        return emit.cast(leaf, plain_type)
    return Value(plain_type, emit.field(leaf, "value"))


def _tracked(emit: Emitter, ty: Any, plain: Value, first: Value, tape: Value) -> Value:
    """Return a plain leaf of the result as numbers with the rows from `first`."""
    if types.unliteral(plain.type) == ty:
        return emit.cast(plain, ty)
    if isinstance(ty, types.Array):
        array = emit.kernel(leaf_data.track_result, plain, first, tape, emit.zero(ty.dtype))
        emit.release(plain)
        return array
    passive = emit.compare("==", tape, emit.index(0))
    row = emit.builder.select(passive, emit.index(0).ir, first.ir)
    return Value(ty, make_active(emit.context, emit.builder, ty, plain.ir, row, tape.ir))


class SavedArguments:
    """Code that saves the arguments of a call in a block, and loads them in its adjoint."""

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

    def block(self, emit: Emitter, tape: Value, total: Value, adjoint: Any) -> Value:
        """Emit a block with `total` result rows, unless no argument is active; return the first.

        ``adjoint(emitter, tape, first row, (lane, width), rows of the inputs)`` emits its adjoint.
        """

        def body(builder: Any, arguments: Any) -> None:
            outer, block, *lane = (Value(types.int64, value) for value in arguments)
            inner = Emitter(emit.derivative, emit.context, builder, [])
            inner.values, rows = self._load(inner, outer, block)
            inner.find_inputs()
            adjoint(inner, outer, inner.kernel(leaf_data.first_row, outer, block), lane, rows)

        address = emit.index(blocks.emit_adjoint(emit.context, emit.builder, "checkpoint", body))
        first = emit.kernel(leaf_data.reserve, tape, total)
        values = [leaf for value in emit.values for leaf in emit.items(value)]
        head = emit.kernel(leaf_data.open_data, tape, emit.index(len(values)))
        for i, value in enumerate(values):
            if not _is_dummy(value.type):
                leaf = Value(types.unliteral(value.type), value.ir)
                like = emit.zero(self._stored(leaf.type))
                emit.kernel(leaf_data.store_leaf, tape, head, emit.index(i), leaf, like)
        emit.kernel(leaf_data.close_data, tape, first, emit.add(first, total), address, head)
        return first

    def _stored(self, ty: Any) -> Any:
        """Return the type of the stored elements of a leaf."""
        return self.number.base if is_active(ty, self.number) else element(ty)

    def _load(self, emit: Emitter, tape: Value, block: Value) -> tuple[list[Value], list[Value]]:
        """Emit code that loads the arguments; return them, and the rows of the inputs.

        Arrays are views of the arena.  If one leaf of an argument is active, all of its leaves are
        inputs.
        """
        rows: list[Value] = []
        numbers = itertools.count()

        def load(ty: Any, is_input: bool) -> Value:
            if isinstance(ty, types.BaseTuple):
                loaded_type = map_leaves(base_type(ty, self.number), contiguous_type)
                return emit.pack([load(item, is_input) for item in ty], loaded_type)
            leaf = tape, block, emit.index(next(numbers))
            if _is_dummy(ty):
                return Value(ty, emit.context.get_dummy_value())
            if is_input:
                rows.append(emit.kernel(leaf_data.load_rows, *leaf))
            like = emit.zero(self._stored(types.unliteral(ty)))
            if not isinstance(ty, types.Array):
                return emit.kernel(leaf_data.load_number, *leaf, like)
            shape = emit.zero(types.UniTuple(types.intp, ty.ndim))
            loaded = emit.kernel(leaf_data.load_leaf, *leaf, like, shape)
            return Value(types.Array(like.type, ty.ndim, "C"), loaded.ir)

        return [load(ty, _is_any_active(ty, self.number)) for ty in self.packed], rows


def _is_dummy(ty: Any) -> bool:
    return isinstance(ty, types.NoneType | types.Omitted | types.Dispatcher | types.Opaque)


def _is_storable(ty: Any) -> bool:
    dtype = types.unliteral(ty.dtype if isinstance(ty, types.Array) else ty)
    return _is_dummy(ty) or isinstance(dtype, types.Number | types.Boolean | NumberType)
