"""Forward mode: seed numbers, run the twin, read the partials.

A driver is emitted directly into the compiled function that the user calls: a loop over chunks of
inputs whose body makes seeded copies of the differentiated arguments, calls the activated twin
and copies partials out.  All loops over arrays are the kernels of `seed` and `read`, compiled once
for all functions, so a first derivative costs little more than compiling the function itself.

Cost: ceil(n / chunk) sweeps for n inputs, each about 1 + chunk/4 times the function.
"""

from __future__ import annotations

import functools
from typing import Any

from numba.core import cgutils, types

from . import read, seed
from .dual import VectorDual
from .errors import ArgumentError, NotScalarError
from .numbertype import NumberType
from .outputs import Outputs, as_vector, jacobian_blocks, vector_type
from .plan import (
    Plan,
    base_type,
    is_active,
    is_differentiable,
    leaves,
    map_leaves,
)
from .run import Run, pick_chunk, seed_leaf, sweep

__all__ = ["derivative_driver", "gradient_driver", "jacobian_driver", "jvp_driver"]


def gradient_driver(
    twin: Any, argnums: tuple[int, ...], chunk_size: int | None, *, single: bool, with_value: bool
) -> Any:
    """Return the driver that computes (value and) gradient from the packed arguments."""
    name = "value_and_grad" if with_value else "grad"

    def gradient(typingctx: Any, packed: Any) -> Any:
        plan = Plan(typingctx, twin, packed, argnums, name)
        chunk = pick_chunk(plan.size(), chunk_size)
        result = plan.run_twin(VectorDual, chunk)
        plan.require_scalar()
        gradient_type = plan.gradient_type(single=single)
        value_type = base_type(result, plan.number)
        returned = types.Tuple((value_type, gradient_type)) if with_value else gradient_type

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, args[0])
            found = run.input_leaves()
            flat = run.owned(run.zeros([run.n]))
            buffers = run.buffers(found)
            kept = cgutils.alloca_once(builder, context.get_value_type(value_type))
            with sweep(run, chunk) as (start, _):
                y = run.call_twin(found, _seeded(run, found, buffers, start))
                builder.store(run.base_value(result, y)[1], kept)
                if is_active(result, plan.number):
                    lanes = run.lanes(result, y, "partials")
                    run.kernel(read.read_lanes, lanes, flat, (types.intp, start))
            run.release_all(buffers)
            out = run.unflatten(found, flat, single=single)
            if not with_value:
                return out
            return context.make_tuple(builder, returned, [builder.load(kept), out])

        return returned(packed), codegen

    return gradient


def _seeded(run: Run, found: list[Any], buffers: list[Any], start: Any) -> list[Any]:
    pairs = zip(found, buffers, strict=True)
    return [seed_leaf(run, leaf, buffer, start) for leaf, buffer in pairs]


def jacobian_driver(
    twin: Any,
    argnums: tuple[int, ...],
    chunk_size: int | None,
    *,
    single: bool,
    with_value: bool,
    other: Any = None,
) -> Any:
    """Return the driver that computes (value and) Jacobian from the packed arguments.

    With `other`, an `AutoJacobian`, the first sweep tells how many outputs there are; where reverse
    mode is better for so many, it takes over.
    """
    name = "value_and_jacobian" if with_value else "jacobian"

    def jacobian(typingctx: Any, packed: Any) -> Any:
        plan = Plan(typingctx, twin, packed, argnums, name)
        chunk = pick_chunk(plan.size(), chunk_size)
        result = plan.run_twin(VectorDual, chunk)
        outputs = Outputs(plan, result)
        y_type, value_type = outputs.flat_type, outputs.value_type
        jacobian_type = outputs.jacobian_type(single=single)
        returned = types.Tuple((value_type, jacobian_type)) if with_value else jacobian_type
        switch = None if other is None else other(packed, returned)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, args[0])
            found = run.input_leaves()
            taken = cgutils.alloca_once_value(builder, run.constant(0))
            out = cgutils.alloca_once(builder, context.get_value_type(returned))
            rows = types.Array(plan.base, 2, "C")
            matrix = cgutils.alloca_once(builder, context.get_value_type(rows))
            kept = cgutils.alloca_once(builder, context.get_value_type(value_type))
            buffers = run.buffers(found)
            with sweep(run, chunk) as (start, _), builder.if_then(_is_zero(run, taken)):
                raw = run.call_twin(found, _seeded(run, found, buffers, start))
                y = outputs.flattened(run, raw)
                with builder.if_then(builder.icmp_signed("==", start, run.constant(0))):
                    builder.store(outputs.value(run, raw, y), kept)
                    pairs = (y_type, y), (types.intp, run.n), (plan.base, run.base_like)
                    builder.store(run.kernel(read.new_rows, *pairs), matrix)
                    if switch is not None:
                        wanted = other.wanted(builder, run.n, run.leaf_size(y_type, y))
                        made = [(rows, builder.load(matrix)), (value_type, builder.load(kept))]
                        clean_up = functools.partial(_drop, run, outputs, (raw, y), made)
                        builder.store(switch.address(context, builder, wanted, clean_up), taken)
                _read_columns(run, y_type, y, (rows, builder.load(matrix)), start, chunk)
                outputs.release(run, raw, y)
            run.release_all(buffers)
            filled, value = (rows, builder.load(matrix)), (value_type, builder.load(kept))
            with builder.if_then(_is_zero(run, taken)):
                made = jacobian_blocks(run, found, filled, value, single=single)
                if with_value:
                    made = context.make_tuple(builder, returned, [value[1], made])
                else:
                    run.release(*value)
                builder.store(made, out)
            if switch is not None:
                with builder.if_then(builder.not_(_is_zero(run, taken))):
                    run.release(*filled)
                    run.release(*value)
                    run.repeat_draws()
                    address = builder.load(taken)
                    builder.store(switch.call(context, builder, address, args[0]), out)
            return builder.load(out)

        return returned(packed), codegen

    return jacobian


def _drop(run: Run, outputs: Outputs, result: tuple[Any, Any], made: list[Any]) -> None:
    outputs.release(run, *result)
    run.release_all(made)
    run.clean_up()


def _read_columns(run: Run, ty: Any, y: Any, matrix: Any, start: Any, chunk: int) -> None:
    """Copy the partials of a result to columns of the Jacobian."""
    if not is_active(ty, run.plan.number):
        return
    at = types.intp, start
    if isinstance(ty, types.Array):
        width = types.intp, run.constant(chunk)
        run.kernel(read.read_rows, (ty, y), matrix, at, width)
    else:
        run.kernel(read.read_row, run.lanes(ty, y, "partials"), matrix, at)


def _is_zero(run: Run, pointer: Any) -> Any:
    return run.builder.icmp_signed("==", run.builder.load(pointer), run.constant(0))


def derivative_driver(twin: Any) -> Any:
    """Return the driver of the derivative of a function of one scalar."""

    def derivative(typingctx: Any, packed: Any) -> Any:
        plan = Plan(typingctx, twin, packed, (0,), "derivative")
        if isinstance(packed[0], types.Array | types.BaseTuple):
            raise ArgumentError(
                f"{plan.name}: the argument is {packed[0]}; expected one real number. "
                "Use grad or jacobian for several inputs."
            )
        result = plan.run_twin(VectorDual, 1)
        returned = tangent_type(plan, result)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, args[0])
            found = run.input_leaves()
            y = run.call_twin(found, _seeded(run, found, run.buffers(found), run.constant(0)))
            out = tangent(run, result, y)
            run.release(result, y)
            return out

        return returned(packed), codegen

    return derivative


def tangent_type(plan: Plan, result: Any) -> Any:
    """Return the type of the tangent of a result."""

    def leaf(ty: Any) -> Any:
        return types.Array(plan.base, ty.ndim, "C") if isinstance(ty, types.Array) else plan.base

    for ty in leaves(result):
        if not isinstance(ty, types.Array | NumberType | types.Number | types.Boolean):
            raise NotScalarError(
                f"{plan.name}: the function returns {result}; expected numbers, arrays, or tuples "
                "of these."
            )
    return map_leaves(result, leaf)


def tangent(run: Run, result: Any, y: Any) -> Any:
    """Return the tangents of a result, in its structure; zeros where it does not depend."""
    plan, made = run.plan, []
    base = (plan.base, run.base_like)
    for ty, value in run.items(result, y):
        if isinstance(ty, types.Array):
            kernel = read.tangents_of if is_active(ty, plan.number) else read.zeros_like
            made.append((tangent_type(plan, ty), run.kernel(kernel, (ty, value), base)))
        elif is_active(ty, plan.number):
            made.append(run.base_number(read.tangent_of, (ty, value)))
        else:
            made.append(base)
    return run.rebuild(result, iter(made))[1]


def jvp_driver(twin: Any) -> Any:
    """Return the driver of (primals, tangents) -> (value, tangent)."""

    def jvp(typingctx: Any, packed: Any) -> Any:
        primals, tangents = packed
        plan = Plan(typingctx, twin, primals, tuple(range(len(primals))), "jvp")
        require_same_structure(plan, tangents)
        result = plan.run_twin(VectorDual, 1)
        y_type = vector_type(plan, result) if isinstance(result, types.List) else result
        value_type = base_type(y_type, plan.number)
        returned = types.Tuple((value_type, tangent_type(plan, y_type)))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, builder.extract_value(args[0], 0))
            directions = run.items(tangents, builder.extract_value(args[0], 1))
            found = run.input_leaves()
            buffers = run.buffers(found)
            triples = zip(found, buffers, directions, strict=True)
            y = run.call_twin(found, [with_tangent(run, *triple) for triple in triples])
            y = y if y_type == result else as_vector(run, result, y)
            value = run.base_value(y_type, y)[1]
            out = tangent(run, y_type, y)
            run.release(y_type, y)
            run.release_all(buffers)
            return context.make_tuple(builder, returned, [value, out])

        return returned(packed), codegen

    return jvp


def require_same_structure(plan: Plan, directions: Any) -> None:
    """Raise where directions do not have the structure of the differentiated arguments."""
    wanted = [getattr(leaf, "ndim", 0) for ty in plan.inputs for leaf in leaves(ty)]
    given = [
        getattr(leaf, "ndim", 0) if is_differentiable(leaf) else None for leaf in leaves(directions)
    ]
    if wanted != given:
        raise ArgumentError(
            f"{plan.name}: the direction {directions} does not have the structure of the "
            f"arguments it belongs to, {', '.join(map(str, plan.inputs))}."
        )


def with_tangent(run: Run, leaf: Any, buffer: Any, direction: Any) -> Any:
    ty, value, _ = leaf
    if buffer is None:
        return run.kernel(seed.seed_tangent, (ty, value), direction, run.number)
    run.kernel(seed.seed_tangents, buffer, (ty, value), direction, run.number)
    return buffer[1]
