"""Second derivatives, forward over reverse: the gradient's own directional derivatives.

The gradient of reverse mode is differentiated forward, so its tape holds partials that are dual
numbers.  H v costs one recording and one sweep whatever the number of inputs; a Hessian takes
ceil(n / 8) of them, and its upper triangle decides, so that it is symmetric exactly.

B. Christianson, "Automatic Hessians by reverse accumulation", IMA J. Numer. Anal. 12 (1992).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, types

from . import read
from .dual import VectorDual
from .errors import ArgumentError
from .forward import require_same_structure, tangent, tangent_type, with_tangent
from .plan import Plan, base_type, is_active
from .run import Run, pick_chunk, seed_leaf, sweep
from .second import cut, nested_type

__all__ = ["hessian_driver", "hvp_driver", "read_columns"]


def hvp_driver(gradient: Any) -> Callable[..., Any]:
    """Return the driver of (x, v, *args) -> H v, given ``grad(f, mode="reverse")``."""

    def hvp(typingctx: Any, packed: Any) -> Any:
        if len(packed) < 2:
            raise ArgumentError("hvp: call it as hvp(f)(x, v, *args)")
        x_type, direction_type, *rest = packed
        arguments = types.BaseTuple.from_types([x_type, *rest])
        plan = Plan(typingctx, gradient, arguments, (0,), "hvp")
        require_same_structure(plan, direction_type)
        result = plan.run_twin(VectorDual, 1)
        returned = tangent_type(plan, result)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            values = cgutils.unpack_tuple(builder, args[0])
            inner = context.make_tuple(builder, arguments, [values[0], *values[2:]])
            run = Run(plan, context, builder, inner)
            directions = run.items(direction_type, values[1])
            found = run.input_leaves()
            buffers = run.buffers(found)
            triples = zip(found, buffers, directions, strict=True)
            y = run.call_twin(found, [with_tangent(run, *triple) for triple in triples])
            out = tangent(run, result, y)
            run.release(result, y)
            run.release_all(buffers)
            return out

        return returned(packed), codegen

    return hvp


def hessian_driver(
    gradient: Any, argnums: tuple[int, ...], *, single: bool, with_value: bool
) -> Callable[..., Any]:
    """Return the driver of the Hessian, given ``value_and_grad(f, argnums, mode="reverse")``."""
    name = "value_grad_hessian" if with_value else "hessian"

    def hessian(typingctx: Any, packed: Any) -> Any:
        plan = Plan(typingctx, gradient, packed, argnums, name)
        chunk = pick_chunk(plan.size(), None)
        result = plan.run_twin(VectorDual, chunk)
        hessian_type = nested_type(plan, single=single)
        below = base_type(result, plan.number)
        returned = types.Tuple((*below, hessian_type)) if with_value else hessian_type

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, args[0])
            found = run.input_leaves()
            matrix = run.owned(run.zeros([run.n, run.n]))
            buffers = run.buffers(found)
            kept = cgutils.alloca_once(builder, context.get_value_type(below))
            with sweep(run, chunk) as (start, _):
                pairs = zip(found, buffers, strict=True)
                y = run.call_twin(found, [seed_leaf(run, *pair, start) for pair in pairs])
                read_columns(run, found, result[1], y, matrix, start, chunk)
                with builder.if_then(builder.icmp_signed("==", start, run.constant(0))):
                    builder.store(run.base_value(result, y)[1], kept)
                run.release(result, y)
            run.release_all(buffers)
            run.kernel(read.symmetrize, matrix)
            out = cut(run, found, matrix, hessian_type, single=single)
            if not with_value:
                run.release(below, builder.load(kept))
                return out
            value, first = cgutils.unpack_tuple(builder, builder.load(kept))
            return context.make_tuple(builder, returned, [value, first, out])

        return returned(packed), codegen

    return hessian


def read_columns(
    run: Run, found: list[Any], ty: Any, y: Any, matrix: Any, start: Any, chunk: int
) -> None:
    """Copy the partials of all gradients to columns of the Hessian."""
    gradient = run.builder.extract_value(y, 1)
    column = types.intp, start
    for (_, _, offset), (leaf_type, leaf) in zip(found, run.items(ty, gradient), strict=True):
        if not is_active(leaf_type, run.plan.number):
            continue
        row = types.intp, offset
        if isinstance(leaf_type, types.Array):
            width = types.intp, run.constant(chunk)
            run.kernel(read.read_rows_from, (leaf_type, leaf), matrix, row, column, width)
        else:
            lanes = run.lanes(leaf_type, leaf, "partials")
            run.kernel(read.read_lanes_from, lanes, matrix, row, column)
