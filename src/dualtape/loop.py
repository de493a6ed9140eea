"""Time stepping in little memory: a loop as one block, reversed by the binomial schedule.

The block keeps the first state and the other arguments.  Its adjoint follows `schedule`: it steps
forward from kept states, records a single step at a time, and carries one vector of adjoints, of
the state and of the arguments, from the last step to the first.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import register_jitable

from . import blocks, replay
from ._jit import internal, kernel
from .activation import activate_value, activated_type
from .driver import Transform
from .emit import invoke
from .errors import ArgumentError
from .numbertype import NumberType, highest_number
from .plan import Plan, base_type, map_leaves
from .recomputing import (
    CheckpointBlock,
    Kept,
    active_leaf,
    contiguous,
    is_active,
    plan_of,
    tracked_number,
)
from .reverse import Recording
from .run import Run
from .schedule import ADVANCE, RESTORE, STORE, schedule, split
from .sweeps import reverse_sweep

__all__ = ["loop_driver"]

register_jitable(split)
_schedule = kernel(schedule)


@kernel
def require_slots(slots: Any) -> None:
    """Raise where there is no room for the first state."""
    if slots < 1:
        raise ArgumentError("checkpoint_loop: slots must be at least 1")


def loop_driver(twin: Any, name: str) -> Callable[..., Any]:
    """Return the driver of (state, n, slots, *args) -> the state after n steps."""
    forward = _forward(twin)

    def call(typingctx: Any, packed: Any) -> Any:
        if len(packed) < 3:
            raise ArgumentError(f"{name}: call it as checkpoint_loop(step, state, n, slots, *args)")
        for i, what in ((1, "n"), (2, "slots")):
            if not isinstance(types.unliteral(packed[i]), types.Integer):
                raise ArgumentError(f"{name}: {what} has type {packed[i]}; expected an integer")
        state, _, _, *args = packed
        _check_step(twin.py_func, args, name)
        number = highest_number(packed)
        started = map_leaves(state, lambda ty: _started(ty, number))
        whole = types.BaseTuple.from_types([started, types.intp, types.intp, *args])
        tape_number = tracked_number(packed)
        if tape_number is None:
            returned, code = started, _plain_code(forward, whole)
        else:
            block = LoopBlock(typingctx, twin, forward, whole, tape_number, name)
            returned, code = block.returned, block.codegen

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            values = [builder.extract_value(args[0], i) for i in range(len(packed))]
            for i in (1, 2):
                values[i] = context.cast(builder, values[i], packed[i], types.intp)
            invoke(context, builder, require_slots, (types.intp,), (values[2],))
            values[0] = _start(context, builder, state, values[0], number)
            made = context.make_tuple(builder, whole, values)
            out = code(context, builder, returned(whole), (made,))
            if number is not None:
                context.nrt.decref(builder, started, values[0])
            return out

        return returned(packed), codegen

    return call


def _check_step(step: Any, args: list[Any], name: str) -> None:
    """Refuse a step that does not take the state, the index of the step and the arguments."""
    signature = inspect.signature(step)
    try:
        signature.bind(None, None, *args)
    except TypeError as error:
        given = ", ".join(["state", "k", *(f"argument {i}" for i in range(len(args)))])
        raise ArgumentError(
            f"{name}: the step takes {signature}, and is called with ({given}): the state, the "
            "index of the step, and what follows the slots."
        ) from error


def _started(ty: Any, number: NumberType | None) -> Any:
    """Return the type that a leaf of the state has in the loop."""
    if number is None:
        return types.float64 if isinstance(types.unliteral(ty), types.Integer) else ty
    if isinstance(ty, types.Array):
        return activated_type(ty, number) if not is_active(ty, number) else contiguous(ty)
    return number if isinstance(types.unliteral(ty), types.Number | NumberType) else ty


def _start(context: Any, builder: Any, ty: Any, value: Any, number: Any) -> Any:
    """Return the first state as numbers; a new reference where there are any."""
    if isinstance(ty, types.BaseTuple):
        items = [
            _start(context, builder, t, builder.extract_value(value, i), number)
            for i, t in enumerate(ty)
        ]
        made = map_leaves(ty, lambda leaf: _started(leaf, number))
        return context.make_tuple(builder, made, items)
    if number is None:
        return context.cast(builder, value, ty, _started(ty, number))
    if isinstance(ty, types.Array):
        if is_active(ty, number) and ty.layout != "C":
            return invoke(context, builder, blocks.contiguous_copy, (ty,), (value,))[1]
        return activate_value(context, builder, ty, value, number)
    return context.cast(builder, value, ty, _started(ty, number))


def _forward(twin: Any) -> Any:
    def forward(state: Any, n: Any, args: Any) -> Any:
        for k in range(n):
            state = twin(state, k, *args)
        return state

    return internal(forward)


def _plain_code(forward: Any, whole: Any) -> Any:
    def code(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        values = [builder.extract_value(args[0], i) for i in range(len(whole))]
        rest = types.BaseTuple.from_types(list(whole)[3:])
        packed = context.make_tuple(builder, rest, values[3:])
        given = (whole[0], types.intp, rest)
        return invoke(context, builder, forward, given, (values[0], values[1], packed))[1]

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
        self.step = plan_of(typingctx, twin, step, number, name)
        self.below = tuple(map_leaves(base_type(ty, number), contiguous) for ty in packed)
        self.primal = self.below[0]
        found = map_leaves(self.step.result, lambda ty: active_leaf(ty, number))
        if found != packed[0]:
            raise ArgumentError(
                f"{name}: the step returns {found} for a state {packed[0]}; expected a new state "
                "of the same type."
            )
        self.returned = packed[0]
        inputs = (0, *(i + 1 for i in self.step.argnums if i > 1))
        self.plan = Plan(typingctx, twin, self.below, inputs, name)
        self.plan.base = number.base
        self.plan.number = number
        self.kept = Kept(packed, number, name)
        self.backward = _backward(twin, step_back(self.step, number))

    def _call(self, run: Run, values: list[Any], on_error: Any) -> Any:
        rest = types.BaseTuple.from_types([base_type(ty, self.number) for ty in self.packed][3:])
        packed = run.context.make_tuple(run.builder, rest, values[3:])
        given = (self.primal, types.intp, rest)
        arguments = (values[0], values[1], packed)
        return invoke(run.context, run.builder, self.forward, given, arguments, on_error)[1]

    def _adjoint(self, context: Any, builder: Any, arguments: Any) -> None:
        """Emit the adjoint: go backward by the schedule, add to the adjoints of the arguments."""
        address, block, lane, width = arguments
        loaded, rows = self.kept.load(context, builder, address, block)
        run = Run(self.plan, context, builder, loaded)
        found = run.input_leaves()
        bar = run.owned(run.zeros([run.n], run.wide[0]))
        outer = types.int64, address
        place = [(types.int64, value) for value in (lane, width)]
        first = types.int64, run.kernel(replay.first_row, outer, (types.int64, block))
        count = run.constant(0)
        for ty, value in run.items(self.primal, run.values[0]):
            count = builder.add(count, run.leaf_size(ty, value))
        run.kernel(replay.gather_bar, outer, first, *place, bar, (types.intp, count))
        rest = types.BaseTuple.from_types(list(self.below)[3:])
        packed = rest, context.make_tuple(builder, rest, run.values[3:])
        given = [(ty, value) for ty, value in zip(self.below[:3], run.values[:3], strict=True)]
        run.kernel(self.backward, *given, packed, bar)
        for (_, _, offset), row in zip(found, rows, strict=True):
            run.kernel(replay.scatter_bar, outer, row, *place, bar, (types.intp, offset))
        run.release(*bar)


def _backward(twin: Any, back: Any) -> Any:
    def backward(state: Any, n: Any, slots: Any, args: Any, bar: Any) -> None:
        kept = [state]
        for _ in range(1, slots):
            kept.append(state)
        actions = _schedule(n, slots)
        for i in range(actions.shape[0]):
            action, a, b = actions[i, 0], actions[i, 1], actions[i, 2]
            if action == ADVANCE:
                for k in range(a, b):
                    state = twin(state, k, *args)
            elif action == STORE:
                kept[b] = state
            elif action == RESTORE:
                state = kept[b]
            else:
                back(state, a, args, bar)

    return internal(backward)


def step_back(plan: Plan, number: NumberType) -> Transform:
    """Return (state, k, args, bar): carry adjoints in `bar` from after a step to before it."""

    def driver(typingctx: Any, packed: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            state, k, rest, given = (builder.extract_value(args[0], i) for i in range(4))
            others = [builder.extract_value(rest, i) for i in range(len(packed[2]))]
            whole = types.BaseTuple.from_types(list(plan.packed))
            run = Run(
                plan, context, builder, context.make_tuple(builder, whole, [state, k, *others])
            )
            recording = Recording(run, run.input_leaves())
            inner, base = (types.int64, recording.tape), run.wide
            bar = packed[3], given
            results = list(run.items(plan.result, recording.result))
            run.owned((plan.result, recording.result))
            rows = [run.owned(recording.rows(ty, value)) for ty, value in results]
            recording.sweep(replay.clear, base)  # now that nothing more is recorded
            sizes = zip(run.items(plan.packed[0], state), results, strict=True)
            for before, after in sizes:
                pair = [(types.intp, run.leaf_size(*leaf)) for leaf in (before, after)]
                run.kernel(replay.require_same_size, *pair)
            count = run.constant(0)
            for (ty, value), row in zip(results, rows, strict=True):
                run.kernel(replay.seed_from, inner, row, bar, (types.intp, count))
                count = builder.add(count, run.leaf_size(ty, value))
            recording.sweep(reverse_sweep, (types.int64, builder.add(run.n, run.constant(1))), base)
            run.kernel(replay.take_back, inner, bar, (types.intp, count))
            recording.release_all()
            return context.get_dummy_value()

        return types.none(packed), codegen

    return Transform(_back_signature, driver, (), f"{plan.name} step")


def _back_signature(state: Any, k: Any, args: Any, bar: Any) -> None: ...
