"""Time stepping in little memory: a loop as one block, reversed by the binomial schedule.

The block saves the first state and the other arguments.  Its adjoint follows `revolve`: it steps
forward from saved states, records a single step at a time, and carries one vector of adjoints, of
the state and of the arguments, from the last step to the first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import register_jitable

from ..backend.calls import Value, invoke
from ..backend.jit import internal, kernel
from ..errors import ArgumentError
from ..functions.parameters import taking
from ..numbers.access import copy_of
from ..numbers.plane_arrays import numbers_of
from ..numbers.types import NumberType, highest_number, map_leaves
from ..reverse import leaf_data
from ..reverse.sweep import reverse_sweep
from ..twin.conversion import activate_value, activated_type
from .checkpoint import (
    CheckpointBlock,
    SavedArguments,
    contiguous_type,
    recorded_results,
    recording_types,
    tracked_number,
    tracked_type,
)
from .dispatcher import Transform
from .emitter import Emitter, unpacked
from .factory import Request
from .revolve import ADVANCE, RESTORE, STORE, schedule, split
from .signature import DerivativeTypes, base_type, is_active

register_jitable(split)
_schedule = kernel(schedule)


@kernel
def require_slots(slots: Any) -> None:
    """Raise if there is no room for the first state."""
    if slots < 1:
        raise ArgumentError("checkpoint_loop: slots must be at least 1")


def loop_driver(twin: Any, name: str) -> Callable[..., Any]:
    """Return the driver of (state, n, slots, *args) -> the state after n steps."""
    forward = _forward(twin)

    def call(typingctx: Any, packed: Any) -> Any:
        if len(packed) < 3:
            raise ArgumentError(f"{name}: call it as checkpoint_loop(step, state, n, slots, *args)")
        for i, label in ((1, "n"), (2, "slots")):
            if not isinstance(types.unliteral(packed[i]), types.Integer):
                raise ArgumentError(f"{name}: {label} has type {packed[i]}; expected an integer")
        state, _, _, *args = packed
        _check_step(twin.py_func, args, name)
        number = highest_number(packed)
        state_type = map_leaves(state, lambda ty: _state_type(ty, number))
        loop_args = types.BaseTuple.from_types([state_type, types.intp, types.intp, *args])
        tape_number = tracked_number(packed)
        if tape_number is None:
            return_type, code = state_type, _plain_code(forward, loop_args)
        else:
            block = LoopBlock(typingctx, twin, forward, loop_args, tape_number, name)
            return_type, code = block.return_type, block.codegen

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            values = [builder.extract_value(args[0], i) for i in range(len(packed))]
            for i in (1, 2):
                values[i] = context.cast(builder, values[i], packed[i], types.intp)
            invoke(context, builder, require_slots, (types.intp,), (values[2],))
            values[0] = _first_state(context, builder, state, values[0], number)
            arguments = context.make_tuple(builder, loop_args, values)
            out = code(context, builder, return_type(loop_args), (arguments,))
            if number is not None:
                context.nrt.decref(builder, state_type, values[0])
            return out

        return return_type(packed), codegen

    return call


def _check_step(step: Any, args: list[Any], name: str) -> None:
    """Raise if a step does not take the state, the index of the step and the arguments."""
    signature = inspect.signature(step)
    try:
        signature.bind(None, None, *args)
    except TypeError as error:
        arguments = ", ".join(["state", "k", *(f"argument {i}" for i in range(len(args)))])
        raise ArgumentError(
            f"{name}: the step takes {signature}, and is called with ({arguments}): the state, the "
            "index of the step, and what follows the slots."
        ) from error


def _state_type(ty: Any, number: NumberType | None) -> Any:
    """Return the type of a leaf of the state in the loop."""
    if number is None:
        return types.float64 if isinstance(types.unliteral(ty), types.Integer) else ty
    if isinstance(ty, types.Array):
        return activated_type(ty, number) if not is_active(ty, number) else contiguous_type(ty)
    return number if isinstance(types.unliteral(ty), types.Number | NumberType) else ty


def _first_state(context: Any, builder: Any, ty: Any, value: Any, number: Any) -> Any:
    """Return the first state as numbers, as a new reference if there are any."""
    if isinstance(ty, types.BaseTuple):
        items = [
            _first_state(context, builder, t, builder.extract_value(value, i), number)
            for i, t in enumerate(ty)
        ]
        state_type = map_leaves(ty, lambda leaf: _state_type(leaf, number))
        return context.make_tuple(builder, state_type, items)
    if number is None:
        return context.cast(builder, value, ty, _state_type(ty, number))
    if isinstance(ty, types.Array):
        if is_active(ty, number) and ty.layout != "C":
            return invoke(context, builder, copy_of, (ty,), (value,))[1]
        return activate_value(context, builder, ty, value, number)
    return context.cast(builder, value, ty, _state_type(ty, number))


def _forward(twin: Any) -> Any:
    def forward(state: Any, n: Any, args: Any) -> Any:
        for k in range(n):
            state = numbers_of(twin(state, k, *args))
        return state

    return internal(forward)


def _plain_code(forward: Any, loop_args: Any) -> Any:
    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = [builder.extract_value(args[0], i) for i in range(len(loop_args))]
        rest = types.BaseTuple.from_types(list(loop_args)[3:])
        packed = context.make_tuple(builder, rest, values[3:])
        arg_types = (loop_args[0], types.intp, rest)
        return invoke(context, builder, forward, arg_types, (values[0], values[1], packed))[1]

    return code


class LoopBlock(CheckpointBlock):
    """Types and code of one checkpointed loop."""

    def __init__(
        self, typingctx: Any, twin: Any, forward: Any, packed: Any, number: NumberType, name: str
    ) -> None:
        self.packed = packed
        self.number = number
        self.forward = forward
        step = types.BaseTuple.from_types([packed[0], types.intp, *list(packed)[3:]])
        self.step = recording_types(typingctx, twin, step, number, name)
        plain_types = tuple(map_leaves(base_type(ty, number), contiguous_type) for ty in packed)
        self.plain_result = plain_types[0]
        result = map_leaves(self.step.result, lambda ty: tracked_type(ty, number))
        if result != packed[0]:
            raise ArgumentError(
                f"{name}: the step returns {result} for a state {packed[0]}; expected a new state "
                "of the same type."
            )
        self.return_type = packed[0]
        inputs = (0, *(i + 1 for i in self.step.argnums if i > 1))
        self.derivative = DerivativeTypes(typingctx, twin, plain_types, Request(name, inputs))
        self.derivative.base = number.base
        self.derivative.number = number
        self.arguments = SavedArguments(packed, number, name)
        self.backward = _backward(twin, step_back(self.step))

    def _call(self, emit: Emitter, values: list[Value]) -> Any:
        state, n, _, *rest = values
        packed = emit.pack(rest)
        arg_types, args = (self.plain_result, types.intp, packed.type), (state.ir, n.ir, packed.ir)
        return invoke(emit.context, emit.builder, self.forward, arg_types, args, emit.clean_up)[1]

    def _adjoint(self, emit: Emitter, outer: Value, first: Value, lane: Any, rows: Any) -> None:
        """Emit the adjoint: go backward by the schedule, add to the adjoints of the arguments."""
        bar = emit.zeros([emit.n], emit.wide.type)
        count = emit.total([emit.size(leaf) for leaf in emit.items(emit.values[0])])
        emit.kernel(leaf_data.gather_bar, outer, first, *lane, bar, count)
        emit.kernel(self.backward, *emit.values[:3], emit.pack(emit.values[3:]), bar)
        for x, row in zip(emit.inputs, rows, strict=True):
            emit.kernel(leaf_data.scatter_bar, outer, row, *lane, bar, x.offset)
        emit.release(bar)


def _backward(twin: Any, back: Any) -> Any:
    def backward(state: Any, n: Any, slots: Any, args: Any, bar: Any) -> None:
        states = [state]
        for _ in range(1, slots):
            states.append(state)
        actions = _schedule(n, slots)
        for i in range(actions.shape[0]):
            action, a, b = actions[i, 0], actions[i, 1], actions[i, 2]
            if action == ADVANCE:
                for k in range(a, b):
                    state = twin(state, k, *args)
            elif action == STORE:
                states[b] = state
            elif action == RESTORE:
                state = states[b]
            else:
                back(state, a, args, bar)

    return internal(backward)


def step_back(step: DerivativeTypes) -> Transform:
    """Return a function (state, k, args, bar) that pulls the adjoints in `bar` back by one step."""

    def driver(typingctx: Any, packed: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            state, k, rest, bar = unpacked(builder, Value(packed, args[0]))
            emit = Emitter(step, context, builder, [state, k, *unpacked(builder, rest)])
            emit.find_inputs()
            session, results = recorded_results(emit)
            for before, (after, _) in zip(emit.items(state), results, strict=True):
                emit.kernel(leaf_data.require_same_size, emit.size(before), emit.size(after))
            count = emit.index(0)
            for value, row in results:
                emit.kernel(leaf_data.seed_from, session.tape, row, bar, count)
                count = emit.add(count, emit.size(value))
            session.sweep(reverse_sweep, emit.add(emit.n, emit.index(1)), emit.wide)
            emit.kernel(leaf_data.update_bar, session.tape, bar, count)
            session.release_all()
            return context.get_dummy_value()

        return types.none(packed), codegen

    return Transform(taking("state", "k", "args", "bar"), driver, (), f"{step.name} step")
