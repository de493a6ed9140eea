"""Vector-Jacobian products: record once, pull back any number of cotangents.

``record`` leaves the recording on a tape that is leased as long as the pullback lives; ``pull``
sweeps it for one cotangent, or for several stacked along a new first axis (eight at a time).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types
from numba.core.typing.templates import signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from ..backend.calls import Value, invoke
from ..errors import ArgumentError, NotScalarError
from ..numbers.tracked import Active
from ..numbers.types import PlanesType, map_leaves
from ..reverse import rows as adjoints
from ..tape.storage import field_pointer, native_type
from .directions import require_same_extents
from .emitter import Emitter, unpacked
from .factory import Request
from .results import as_vector, jacobian_blocks, not_numbers, without_lists
from .reverse import TapeSession, joined_rows
from .signature import DerivativeTypes, base_type, element, is_differentiable, leaves


def _rows_type(ty: Any) -> Any:
    """Return the type of the rows of one leaf of a result."""
    return types.Array(types.int64, ty.ndim, "C") if isinstance(ty, types.Array) else types.int64


def record_driver(twin: Any, *, own: bool = False, scalarized: bool = False) -> Callable[..., Any]:
    """Return the driver of (primals,) -> (value, address of the tape, rows of the result).

    `own` and `scalarized` are those of `TapeSession`.
    """

    def record(typingctx: Any, packed: Any) -> Any:
        (arguments,) = packed
        derivative = DerivativeTypes(typingctx, twin, arguments, Request("vjp", None, single=False))
        derivative.run_twin(Active)
        y_type = without_lists(derivative)
        if not all(map(is_differentiable, leaves(y_type))):
            raise NotScalarError(not_numbers(derivative))
        value_type = base_type(y_type, derivative.number)
        return_type = types.Tuple((value_type, types.int64, map_leaves(y_type, _rows_type)))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            (primals,) = unpacked(builder, Value(packed, args[0]))
            emit = Emitter.of_call(derivative, context, builder, primals)
            session = TapeSession(emit, own=own, scalarized=scalarized)
            y = session.result
            y = y if y.type == y_type else as_vector(emit, y)
            rows = emit.rebuild(y_type, iter([session.rows(item) for item in emit.items(y)]))
            value = emit.base_value(y)
            emit.release(y)
            if own and not any(isinstance(x.active, PlanesType) for x in emit.inputs):
                emit.kernel(adjoints.drop_inputs, session.tape)
            return emit.pack([value, session.tape, rows], return_type).ir

        return return_type(packed), codegen

    return record


def pull_driver(twin: Any) -> Callable[..., Any]:
    """Return the driver of (address, rows, cotangent, primals) -> gradients."""

    def pull(typingctx: Any, packed: Any) -> Any:
        _, rows, cotangent, primals = packed
        derivative = DerivativeTypes(typingctx, twin, primals, Request("vjp", None, single=False))
        derivative.set_number(Active)
        stacked = _is_stacked(derivative, rows, cotangent)
        gradients = derivative.gradient_type
        return_type = map_leaves(gradients, _stack) if stacked else gradients

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            address, rows, seeds, primals = unpacked(builder, Value(packed, args[0]))
            emit = Emitter.of_call(derivative, context, builder, primals)
            pairs = list(zip(emit.items(rows), emit.items(seeds), strict=True))
            count = emit.kernel(adjoints.first_extent, pairs[0][1]) if stacked else emit.index(1)
            stack = [count] if stacked else []
            extents = [([*stack, *emit.extents(row)], emit.extents(bar)) for row, bar in pairs]
            require_same_extents(emit, extents, "cotangent", "the function's result")
            matrix = _sweep(emit, address, pairs, count)
            if stacked:
                stack_like = emit.kernel(adjoints.empty_rows, count)
                out = jacobian_blocks(emit, matrix, stack_like)
                emit.release(stack_like)
                return out.ir
            flat = emit.kernel(adjoints.ravel, matrix)
            emit.release(matrix)
            return emit.unflatten(flat).ir

        return return_type(packed), codegen

    return pull


def _sweep(emit: Emitter, tape: Value, pairs: Any, count: Value) -> Value:
    """Return the matrix of gradients, one row for each of `count` cotangents."""
    flat, bounds = joined_rows(emit, [row for row, _ in pairs])
    seeds = emit.zeros([count, bounds[-1]])
    for (row, cotangent), start in zip(pairs, bounds, strict=False):
        emit.kernel(adjoints.copy_seeds, emit.uncounted(seeds), start, row, cotangent)
    out = emit.zeros([count, emit.n])
    emit.kernel(adjoints.sweep_rows, tape, *map(emit.uncounted, (flat, seeds, out)))
    emit.release(flat, seeds)
    return out


def _stack(ty: Any) -> Any:
    ndim = ty.ndim if isinstance(ty, types.Array) else 0
    return types.Array(element(ty), ndim + 1, "C")


def _is_stacked(derivative: DerivativeTypes, rows: Any, cotangent: Any) -> bool:
    """Whether cotangents have one axis more than the result; raise if they do not fit."""
    results, cotangents = list(leaves(rows)), list(leaves(cotangent))
    if len(results) == len(cotangents) and all(map(is_differentiable, cotangents)):
        pairs = zip(results, cotangents, strict=True)
        extra_axes = {getattr(b, "ndim", 0) - getattr(a, "ndim", 0) for a, b in pairs}
        if extra_axes in ({0}, {1}):
            return extra_axes == {1}
    raise ArgumentError(
        f"{derivative.name}: the cotangent {cotangent} does not have the structure of the "
        "function's result; expected the same numbers and arrays, or several stacked along a new "
        "first axis."
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
        arg_types = (types.int64, self.rows, *args, self.primals)
        return signature(pull.get_call_type(context, arg_types, {}).return_type, *args, recvr=self)

    def get_call_signatures(self) -> Any:
        """Return no signatures: they depend on the cotangent."""
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
    arg_types = (types.int64, ty.rows, cotangent, ty.primals)
    values = [address, struct.rows, args[1], struct.primals]
    return invoke(context, builder, ty.pull, arg_types, values)[1]


@intrinsic
def plain_tuple(typingctx: Any, collected: Any) -> Any:
    """Return the items of ``*args`` as an ordinary tuple."""
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
