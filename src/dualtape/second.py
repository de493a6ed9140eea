"""Second derivatives, forward: Hessians by hyper-dual blocks, Hessian-vector products.

One sweep of a hyper-dual of widths n and m gives an n x m block of the Hessian.  Only blocks on
and above the diagonal are computed, the others are their mirror images, and on a diagonal block
the upper triangle decides: the result is symmetric exactly.

Cost: k (k + 1) / 2 sweeps with k = ceil(n / 4) for a Hessian, ceil(n / 8) for H v.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types

from . import read, seed
from .errors import ArgumentError
from .forward import require_same_structure, tangent_type
from .hyperdual import HyperDual
from .plan import Plan, base_type, block_type, is_active, map_leaves
from .run import Run, pick_chunk, sweep

__all__ = ["hessian_driver", "hvp_driver", "second_derivative_driver"]

BLOCK = 4  # 4 x 4: e12 is 16 lanes, two to four registers


def hessian_driver(twin: Any, argnums: tuple[int, ...], *, single: bool, with_value: bool) -> Any:
    """Return the driver of the Hessian (or value, gradient and Hessian)."""
    name = "value_grad_hessian" if with_value else "hessian"

    def hessian(typingctx: Any, packed: Any) -> Any:
        plan = Plan(typingctx, twin, packed, argnums, name)
        width = min(BLOCK, pick_chunk(plan.size(), None))
        result = plan.run_twin(HyperDual, width, width)
        plan.require_scalar()
        hessian_type = nested_type(plan, single=single)
        gradient_type = plan.gradient_type(single=single)
        value_type = base_type(result, plan.number)
        returned = hessian_type
        if with_value:
            returned = types.Tuple((value_type, gradient_type, hessian_type))

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, args[0])
            found = run.input_leaves()
            flat = run.owned(run.zeros([run.n]))
            kept = cgutils.alloca_once(builder, context.get_value_type(value_type))
            matrix = run.owned(run.zeros([run.n, run.n]))
            w = (types.intp, run.constant(width))
            buffers = run.buffers(found)
            with sweep(run, width) as (row, _), _from(run, row, width) as (column, _):
                pairs = zip(found, buffers, strict=True)
                seeded = [_seed_twice(run, leaf, buffer, row, column) for leaf, buffer in pairs]
                y = run.call_twin(found, seeded)
                builder.store(run.base_value(result, y)[1], kept)
                if is_active(result, plan.number):
                    at = (types.intp, row), (types.intp, column)
                    run.kernel(read.read_block, run.lanes(result, y, "e12"), matrix, *at, w)
                    run.kernel(read.read_lanes, run.lanes(result, y, "e1"), flat, at[0])
            run.release_all(buffers)
            out = cut(run, found, matrix, hessian_type, single=single)
            if not with_value:
                run.release(*flat)
                return out
            gradient = run.unflatten(found, flat, single=single)
            return context.make_tuple(builder, returned, [builder.load(kept), gradient, out])

        return returned(packed), codegen

    return hessian


def _from(run: Run, start: Any, step: int) -> Any:
    one_more = run.builder.add(start, run.constant(1))
    enough = run.builder.icmp_signed(">", run.n, start)
    stop = run.builder.select(enough, run.n, one_more)
    return cgutils.for_range_slice(run.builder, start, stop, run.constant(step), inc=True)


def _seed_twice(run: Run, leaf: Any, buffer: Any, row: Any, column: Any) -> Any:
    ty, value, offset = leaf
    first, second = (run.builder.sub(offset, start) for start in (row, column))
    if buffer is None:
        lanes, number = [first, second], run.plan.number
        return seed.make_seeded(run.context, run.builder, number, value, ty, lanes)
    indices = (types.intp, first), (types.intp, second)
    run.kernel(seed.seed_array_twice, buffer, (ty, value), *indices, run.number)
    return buffer[1]


def nested_type(plan: Plan, *, single: bool) -> Any:
    """Return the type: for every input, for every input, a block of the two shapes."""

    def row(a: Any) -> Any:
        parts = [map_leaves(ty, lambda b: block_type(plan, a, b)) for ty in plan.inputs]
        return parts[0] if single else types.BaseTuple.from_types(parts)

    rows = [map_leaves(ty, row) for ty in plan.inputs]
    return rows[0] if single else types.BaseTuple.from_types(rows)


def cut(run: Run, found: Any, matrix: Any, whole: Any, *, single: bool) -> Any:
    if len(found) == 1 and getattr(found[0][0], "ndim", 0) == 1:
        return _wrapped(run, matrix[1], whole)
    blocks = []
    for a in found:
        row = iter([_block(run, matrix, a, b) for b in found])
        made = [run.rebuild(ty, row) for ty in run.plan.inputs]
        blocks.append(made[0] if single else _tuple(run, made))
    run.release(*matrix)
    pending = iter(blocks)
    made = [_rebuild_rows(run, ty, pending) for ty in run.plan.inputs]
    return made[0][1] if single else _tuple(run, made)[1]


def _wrapped(run: Run, value: Any, whole: Any) -> Any:
    """Put the matrix of a single leaf into the tuples that its type asks for."""
    if not isinstance(whole, types.BaseTuple):
        return value
    return run.context.make_tuple(run.builder, whole, [_wrapped(run, value, whole[0])])


def _tuple(run: Run, made: list[Any]) -> tuple[Any, Any]:
    ty = types.BaseTuple.from_types([t for t, _ in made])
    return ty, run.context.make_tuple(run.builder, ty, [v for _, v in made])


def _rebuild_rows(run: Run, ty: Any, pending: Any) -> tuple[Any, Any]:
    return run.rebuild(ty, pending)


def _block(run: Run, matrix: Any, a: Any, b: Any) -> tuple[Any, Any]:
    block = block_type(run.plan, a[0], b[0])
    sizes = []
    for ty, value, _ in (a, b):
        if isinstance(ty, types.Array):
            array = run.context.make_array(ty)(run.context, run.builder, value)
            sizes += cgutils.unpack_tuple(run.builder, array.shape)
    corner = [(types.intp, a[2]), (types.intp, b[2])]
    if not sizes:
        return block, run.kernel(read.entry, matrix, *corner)
    extents = [(types.intp, run.leaf_size(ty, value)) for ty, value, _ in (a, b)]
    shape_type = types.UniTuple(types.intp, len(sizes))
    shape = (shape_type, run.context.make_tuple(run.builder, shape_type, sizes))
    return block, run.kernel(read.submatrix, matrix, *corner, *extents, shape)


def hvp_driver(twin: Any, chunk_size: int | None) -> Any:
    """Return the driver of (x, v, *args) -> H v."""

    def hvp(typingctx: Any, packed: Any) -> Any:
        if len(packed) < 2:
            raise ArgumentError("hvp: call it as hvp(f)(x, v, *args)")
        x_type, direction_type, *rest = packed
        arguments = types.BaseTuple.from_types([x_type, *rest])
        plan = Plan(typingctx, twin, arguments, (0,), "hvp")
        require_same_structure(plan, direction_type)
        chunk = pick_chunk(plan.size(), chunk_size)
        result = plan.run_twin(HyperDual, chunk, 1)
        plan.require_scalar()
        returned = plan.gradient_type(single=True)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            values = cgutils.unpack_tuple(builder, args[0])
            inner = context.make_tuple(builder, arguments, [values[0], *values[2:]])
            run = Run(plan, context, builder, inner)
            directions = list(run.items(direction_type, values[1]))
            found = run.input_leaves()
            flat = run.owned(run.zeros([run.n]))
            buffers = run.buffers(found)
            with sweep(run, chunk) as (start, _):
                triples = zip(found, buffers, directions, strict=True)
                seeded = [_seed_direction(run, *triple, start) for triple in triples]
                y = run.call_twin(found, seeded)
                if is_active(result, plan.number):
                    lanes = run.lanes(result, y, "e12")
                    run.kernel(read.read_lanes, lanes, flat, (types.intp, start))
            run.release_all(buffers)
            return run.unflatten(found, flat, single=True)

        return returned(packed), codegen

    return hvp


def _seed_direction(run: Run, leaf: Any, buffer: Any, direction: Any, start: Any) -> Any:
    ty, value, offset = leaf
    first = (types.intp, run.builder.sub(offset, start))
    if buffer is None:
        return run.kernel(seed.seed_one_direction, (ty, value), first, direction, run.number)
    run.kernel(seed.seed_direction, buffer, (ty, value), first, direction, run.number)
    return buffer[1]


def second_derivative_driver(twin: Any) -> Any:
    """Return the driver of the second derivative of a function of one scalar."""

    def second(typingctx: Any, packed: Any) -> Any:
        plan = Plan(typingctx, twin, packed, (0,), "derivative")
        if isinstance(packed[0], types.Array | types.BaseTuple):
            raise ArgumentError(f"{plan.name}: the argument is {packed[0]}; expected one number.")
        result = plan.run_twin(HyperDual, 1, 1)
        returned = tangent_type(plan, result)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, args[0])
            found = run.input_leaves()
            zero = run.constant(0)
            y = run.call_twin(found, [_seed_twice(run, leaf, None, zero, zero) for leaf in found])
            out = _second_tangent(run, result, y)
            run.release(result, y)
            return out

        return returned(packed), codegen

    return second


def _second_tangent(run: Run, result: Any, y: Any) -> Any:
    plan, made = run.plan, []
    base = (plan.base, run.base_like)
    for ty, value in run.items(result, y):
        if isinstance(ty, types.Array):
            kernel = read.seconds_of if is_active(ty, plan.number) else read.zeros_like
            array = types.Array(plan.base, ty.ndim, "C")
            made.append((array, run.kernel(kernel, (ty, value), base)))
        elif is_active(ty, plan.number):
            made.append(run.base_number(read.second_of, (ty, value)))
        else:
            made.append(base)
    return run.rebuild(result, iter(made))[1]
