"""Vector-Jacobian products: record once, pull cotangents back as often as wanted.

``record`` leaves the recording on a tape that is leased until the pullback is dropped; ``pull``
sweeps it for one cotangent, or for several that are stacked along a new first axis (eight at a
time).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types
from numba.core.typing.templates import signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from . import adjoints
from .active import Active
from .emit import invoke
from .errors import ArgumentError
from .outputs import as_vector, jacobian_blocks, vector_type
from .plan import Plan, base_type, element, is_active, is_differentiable, leaves, map_leaves
from .reverse import Recording
from .run import Run
from .tape import field_pointer, native_type

__all__ = ["pull_driver", "pullback_maker", "record_driver"]


def _rows_type(ty: Any) -> Any:
    """Return the type of the rows of one leaf of a result."""
    return types.Array(types.int64, ty.ndim, "C") if isinstance(ty, types.Array) else types.int64


def record_driver(twin: Any, *, own: bool = False, spelled: bool = False) -> Callable[..., Any]:
    """Return the driver of (primals,) -> (value, address of the tape, rows of the result).

    The tape is one of the pool, or with `own` one that goes with its last reference; `spelled` is
    that of `Recording`.
    """

    def record(typingctx: Any, packed: Any) -> Any:
        (primals,) = packed
        plan = Plan(typingctx, twin, primals, tuple(range(len(primals))), "vjp")
        result = plan.run_twin(Active)
        y_type = vector_type(plan, result) if isinstance(result, types.List) else result
        for leaf in leaves(y_type):
            if not is_differentiable(leaf):
                raise ArgumentError(
                    f"{plan.name}: the function returns {result}; expected real numbers, arrays, "
                    "or tuples of these."
                )
        value_type, rows_type = base_type(y_type, plan.number), map_leaves(y_type, _rows_type)
        returned = types.Tuple((value_type, types.int64, rows_type))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, builder.extract_value(args[0], 0))
            recording = Recording(run, run.input_leaves(), own=own, spelled=spelled)
            y = recording.result if y_type == result else as_vector(run, result, recording.result)
            made = iter([_rows(recording, *pair) for pair in run.items(y_type, y)])
            rows = run.rebuild(y_type, made)[1]
            value = run.base_value(y_type, y)[1]
            run.release(y_type, y)
            if own:
                run.kernel(adjoints.drop_inputs, (types.int64, recording.tape))
            return context.make_tuple(builder, returned, [value, recording.tape, rows])

        return returned(packed), codegen

    return record


def _rows(recording: Recording, ty: Any, value: Any) -> tuple[Any, Any]:
    if isinstance(ty, types.Array):
        return _rows_type(ty), recording.run.kernel(adjoints.rows_of, (ty, value))
    if is_active(ty, recording.run.plan.number):
        return recording.row(ty, value)
    return types.int64, recording.run.constant(0)


def pull_driver(twin: Any) -> Callable[..., Any]:
    """Return the driver of (address, rows, cotangent, primals) -> gradients."""

    def pull(typingctx: Any, packed: Any) -> Any:
        _, rows, cotangent, primals = packed
        plan = Plan(typingctx, twin, primals, tuple(range(len(primals))), "vjp")
        plan.use(Active)
        stacked = _is_stacked(plan, rows, cotangent)
        gradients = plan.gradient_type(single=False)
        returned = map_leaves(gradients, _stack) if stacked else gradients

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            address, row_value, seeds, inner = cgutils.unpack_tuple(builder, args[0])
            run = Run(plan, context, builder, inner)
            found = run.input_leaves()
            pairs = list(zip(run.items(rows, row_value), run.items(cotangent, seeds), strict=True))
            count = run.constant(1)
            if stacked:
                count = run.kernel(adjoints.first_extent, pairs[0][1])
            matrix = _sweep(run, (types.int64, address), pairs, count)
            if stacked:
                return _stacked_blocks(run, found, matrix, count, returned)
            flat = types.Array(plan.base, 1, "C"), run.kernel(adjoints.ravel, matrix)
            run.release(*matrix)
            return run.unflatten(found, flat, single=False)

        return returned(packed), codegen

    return pull


def _sweep(run: Run, tape: Any, pairs: Any, count: Any) -> tuple[Any, Any]:
    """Return the matrix of gradients, one row for each of `count` cotangents."""
    offsets = [run.constant(0)]
    for row, _ in pairs:
        offsets.append(run.builder.add(offsets[-1], run.kernel(adjoints.count_rows, row)))
    total = types.intp, offsets[-1]
    flat = types.Array(types.int64, 1, "C"), run.kernel(adjoints.empty_rows, total)
    flat, seeds = run.owned(flat), run.owned(run.zeros([count, offsets[-1]]))
    for (row, given), at in zip(pairs, offsets, strict=False):
        run.kernel(adjoints.copy_rows, flat, (types.intp, at), row)
        place = types.intp, at
        copied = run.borrowed(*seeds), place, row, given
        run.kernel(adjoints.copy_seeds, *copied)
    out = run.owned(run.zeros([count, run.n]))
    lent = [run.borrowed(*pair) for pair in (flat, seeds, out)]
    run.kernel(adjoints.sweep_rows, tape, *lent)
    run.release_all([flat, seeds])
    return out


def _stacked_blocks(run: Run, found: Any, matrix: Any, count: Any, returned: Any) -> Any:
    along = types.Array(types.int64, 1, "C"), run.kernel(adjoints.empty_rows, (types.intp, count))
    out = jacobian_blocks(run, found, matrix, along, single=False)
    run.release(*along)
    return out


def _stack(ty: Any) -> Any:
    ndim = ty.ndim if isinstance(ty, types.Array) else 0
    return types.Array(element(ty), ndim + 1, "C")


def _is_stacked(plan: Plan, rows: Any, cotangent: Any) -> bool:
    """Whether cotangents have one axis more than the result; raise where they do not fit."""
    wanted, given = list(leaves(rows)), list(leaves(cotangent))
    if len(wanted) == len(given) and all(map(is_differentiable, given)):
        pairs = zip(wanted, given, strict=True)
        more = {getattr(b, "ndim", 0) - getattr(a, "ndim", 0) for a, b in pairs}
        if more in ({0}, {1}):
            return more == {1}
    raise ArgumentError(
        f"{plan.name}: the cotangent {cotangent} does not have the structure of the function's "
        "result; expected the same numbers and arrays, or several stacked along a new first axis."
    )


class PullbackType(types.Callable):
    """Numba type of a pullback in compiled code: a tape, rows and primals."""

    def __init__(self, pull: Any, rows: Any, primals: Any) -> None:
        self.pull = pull
        self.rows = rows
        self.primals = primals
        super().__init__(f"Pullback({pull.__name__}#{id(pull)},{rows},{primals})")

    def get_call_type(self, context: Any, args: Any, kws: Any) -> Any:
        """Return the signature of a call with a cotangent."""
        pull = context.resolve_value_type(self.pull)
        given = (types.int64, self.rows, *args, self.primals)
        return signature(pull.get_call_type(context, given, {}).return_type, *args, recvr=self)

    def get_call_signatures(self) -> Any:
        """Return nothing known beforehand."""
        return (), True

    def get_impl_key(self, sig: Any) -> Any:
        """Return the key of the lowering."""
        return PullbackType


@register_model(PullbackType)
class _PullbackModel(models.StructModel):
    def __init__(self, dmm: Any, ty: PullbackType) -> None:
        members = [("tape", native_type()), ("rows", ty.rows), ("primals", ty.primals)]
        super().__init__(dmm, ty, members)


@lower_builtin(PullbackType, PullbackType, types.Any)
def _call_pullback(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    ty, cotangent = sig.args
    struct = cgutils.create_struct_proxy(ty)(context, builder, value=args[0])
    tape = context.make_helper(builder, native_type(), value=struct.tape)
    address = builder.ptrtoint(tape.data, context.get_value_type(types.int64))
    given = (types.int64, ty.rows, cotangent, ty.primals)
    values = [address, struct.rows, args[1], struct.primals]
    return invoke(context, builder, ty.pull, given, values)[1]


@intrinsic
def plain_tuple(typingctx: Any, collected: Any) -> Any:
    """Return what ``*args`` collected as an ordinary tuple."""
    ty = types.BaseTuple.from_types(list(collected))

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        context.nrt.incref(builder, ty, args[0])
        return args[0]

    return ty(collected), codegen


def pullback_maker(pull: Any) -> Any:
    """Return the intrinsic (address, rows, primals) -> pullback; it takes over the tape."""

    @intrinsic
    def make(typingctx: Any, address: Any, rows: Any, primals: Any) -> Any:
        ty = PullbackType(pull, rows, primals)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            struct = cgutils.create_struct_proxy(ty)(context, builder)
            tape = context.make_helper(builder, native_type())
            tape.data = builder.inttoptr(args[0], tape.data.type)
            owner = builder.load(field_pointer(context, builder, args[0], "owner"))
            tape.meminfo = builder.inttoptr(owner, tape.meminfo.type)
            struct.tape, struct.rows, struct.primals = tape._getvalue(), args[1], args[2]
            for t, value in ((rows, args[1]), (primals, args[2])):
                context.nrt.incref(builder, t, value)
            return struct._getvalue()

        return ty(types.int64, rows, primals), codegen

    return make
