"""Around a recording: inputs get rows, adjoints are read back.

The differentiated inputs of a call have the rows 1 to n of its tape, in the order of their flat
indices (see `seed`).  These kernels are compiled once per type and cached on disk, whatever the
user's function is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ._jit import kernel, specialized
from .numbertype import NumberType
from .seed import as_number, element_like, flat_view, flattened
from .sweeps import reverse_sweep, vector_sweep
from .tape import tape_at, typed_view

__all__ = ["row_of", "sweep_gradient", "sweep_jacobian", "sweep_rows", "track_array", "tracked"]


def make_tracked(context: Any, builder: Any, ty: Any, value: Any, row: Any, tape: Any) -> Any:
    """Return an Active with this value (of the base type), row and tape."""
    struct = context.make_helper(builder, ty)
    struct.m_value, struct.m_row, struct.m_tape = value, row, tape
    return struct._getvalue()


@intrinsic
def tracked(typingctx: Any, value: Any, row: Any, address: Any, like: Any) -> Any:
    """Return an Active like `like` with this value and row."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        primal = context.cast(builder, args[0], sig.args[0], like.base)
        return make_tracked(context, builder, like, primal, args[1], args[2])

    return like(value, types.int64, types.int64, like), codegen


@intrinsic
def row_of(typingctx: Any, number: Any) -> Any:
    """Return the row of an Active; 0 of anything passive."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if not hasattr(number, "slots") or number.slots != 1:
            return ir.Constant(ir.IntType(64), 0)
        return context.make_helper(builder, number, value=args[0]).m_row

    return types.int64(number), codegen


@kernel
def track_array(out: Any, x: Any, first: Any, address: Any, like: Any) -> None:
    """Copy `x` to Actives with the rows from `first`."""
    flat, source = flat_view(out), flattened(x)
    for i in range(flat.size):
        flat[i] = tracked(source[i], first + i, address, like)


@kernel
def rows_of(y: Any) -> Any:
    """Return the rows of the elements of an array of numbers."""
    rows, source = np.empty(y.size, np.int64), flattened(y)
    for i in range(rows.size):
        rows[i] = row_of(source[i])
    return rows


@kernel
def sweep_gradient(address: Any, row: Any, out: Any) -> None:
    """Fill `out` with the derivatives of a row with respect to the inputs."""
    tape, like = tape_at(address), element_like(out)
    tape.clear_adjoints(1)
    adjoint = typed_view(tape.adjoint, like)
    if row > 0:
        adjoint[row] = as_number(1.0, like)
        reverse_sweep(address, 1 + out.size, like)
    for i in range(out.size):
        out[i] = adjoint[1 + i]


@kernel
def sweep_row(address: Any, row: Any, out: Any) -> None:
    """Fill the only row of a Jacobian."""
    sweep_gradient(address, row, out[0])


@kernel
def sweep_rows(address: Any, rows: Any, cotangent: Any, out: Any) -> None:
    """Fill `out` with the derivatives of sum(cotangent * y), y in these rows."""
    tape, like = tape_at(address), element_like(out)
    tape.clear_adjoints(1)
    adjoint = typed_view(tape.adjoint, like)
    source = flattened(cotangent)
    for i in range(rows.size):
        if rows[i] > 0:
            adjoint[rows[i]] = adjoint[rows[i]] + source[i]
    reverse_sweep(address, 1 + out.size, like)
    for i in range(out.size):
        out[i] = adjoint[1 + i]


@kernel
def sweep_jacobian(address: Any, rows: Any, out: Any) -> None:
    """Fill out[i, j] with the derivative of row i of `rows` with respect to input j."""
    done = sweep_many(address, rows, out, 0, LANES_8)
    done = sweep_many(address, rows, out, done, LANES_4)
    for i in range(done, rows.size):
        sweep_gradient(address, rows[i], out[i])


LANES_8 = (0,) * 8
LANES_4 = (0,) * 4


def sweep_many(address: Any, rows: Any, out: Any, done: Any, lanes: Any) -> int:
    """Sweep for whole groups of outputs from `done`; return how many are done (compiled only)."""
    raise NotImplementedError


@specialized(sweep_many)
def _sweep_many(address: Any, rows: Any, out: Any, done: Any, lanes: Any) -> Any:
    if isinstance(out.dtype, NumberType):
        return lambda address, rows, out, done, lanes: done

    def sweep(address: Any, rows: Any, out: Any, done: Any, lanes: Any) -> Any:
        tape, like = tape_at(address), element_like(out)
        width = len(lanes)
        while rows.size - done >= width:
            tape.clear_adjoints(width)
            adjoint = typed_view(tape.adjoint, like)
            for j in range(width):
                if rows[done + j] > 0:
                    adjoint[rows[done + j] * width + j] = 1.0
            vector_sweep(address, 1 + out.shape[1], like, lanes)
            for i in range(out.shape[1]):
                for j in range(width):
                    out[done + j, i] = adjoint[(1 + i) * width + j]
            done += width
        return done

    return sweep
