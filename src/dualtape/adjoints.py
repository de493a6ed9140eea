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
from numba.np import arrayobj

from ._jit import kernel, specialized
from .allocation import empty_array, no_array
from .errors import ArgumentError
from .numbertype import NumberType, partial_type
from .seed import as_number, empty_numbers, flat_view, flattened
from .sweeps import reverse_sweep, vector_sweep
from .tape import field_pointer, tape_at, typed_view

__all__ = ["row_of", "rows_of", "sweep_gradient", "sweep_rows", "track_array", "tracked"]


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


def lent_array(
    context: Any, builder: Any, address: Any, first: Any, shape: list[Any], number: Any
) -> Any:
    """Return the inputs of a tape from number `first` on as an array of numbers, borrowed.

    They live in the tape: calls allocate nothing, and a function that raises holds nothing, since
    Numba drops no references then.
    """
    inputs = types.Array(types.uint8, 1, "C")
    pointer = field_pointer(context, builder, address, "inputs")
    source = context.make_array(inputs)(context, builder, value=builder.load(pointer))
    view = types.Array(number, len(shape), "C")
    out = context.make_array(view)(context, builder)
    size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(number)))
    strides = [size]
    for extent in reversed(shape[1:]):
        strides.insert(0, builder.mul(strides[0], extent))
    data = builder.gep(source.data, [builder.mul(first, size)])
    arrayobj.populate_array(
        out,
        data=builder.bitcast(data, out.data.type),
        shape=shape,
        strides=strides[: len(shape)],
        itemsize=size,
        meminfo=None,
        parent=None,
    )
    return out._getvalue()


@kernel
def reserve_inputs(address: Any, count: Any, nbytes: Any) -> None:
    """Append the rows of the inputs, and make room for so many bytes of them; see `lent_array`."""
    tape = tape_at(address)
    more = nbytes - tape.inputs.size
    if more > 0:
        tape.check(more)
        tape.inputs = empty_array(nbytes, np.uint8)
        tape.taken += more
    tape.reserve(count)


@kernel
def drop_inputs(address: Any) -> None:
    """Give back the memory of the inputs, after the recording."""
    tape = tape_at(address)
    tape.taken -= tape.inputs.size
    tape.inputs = no_array(np.uint8)


@kernel
def rows_of(y: Any) -> Any:
    """Return the rows of the elements of an array of numbers, in its shape."""
    rows, source = empty_numbers(y.shape, np.int64(0)), flattened(y)
    flat = flat_view(rows)
    for i in range(flat.size):
        flat[i] = row_of(source[i])
    return rows


@intrinsic
def wide_like(typingctx: Any, a: Any) -> Any:
    """Return a zero of the type of the partials of a tape for these results."""
    wide = partial_type(a.dtype)
    return wide(a), lambda context, builder, sig, args: context.get_constant_null(wide)


@kernel
def sweep_gradient(address: Any, row: Any, out: Any) -> None:
    """Fill `out` with the derivatives of a row with respect to the inputs."""
    tape, like = tape_at(address), wide_like(out)
    tape.clear_adjoints(1)
    adjoint = typed_view(tape.adjoint, like)
    if row > 0:
        adjoint[row] = as_number(1.0, like)
        reverse_sweep(address, 1 + out.size, like)
    for i in range(out.size):
        out[i] = as_number(adjoint[1 + i], out[i])


@kernel
def sweep_row(address: Any, row: Any, out: Any) -> None:
    """Fill the only row of a Jacobian."""
    sweep_gradient(address, row, out[0])


LANES_8 = (0,) * 8
LANES_4 = (0,) * 4


@kernel
def sweep_rows(address: Any, rows: Any, seeds: Any, out: Any) -> None:
    """Fill out[k, j] with the derivative of y_k, or of sum_i seeds[k, i] y_i, by input j.

    y_i has row rows[i]; `seeds` is None for the y_k themselves.  Eight adjoints, then four, then
    single ones are swept at a time.
    """
    done = sweep_many(address, rows, seeds, out, 0, LANES_8)
    done = sweep_many(address, rows, seeds, out, done, LANES_4)
    tape, like = tape_at(address), wide_like(out)
    for k in range(done, out.shape[0]):
        tape.clear_adjoints(1)
        adjoint = typed_view(tape.adjoint, like)
        add_seeds(adjoint, rows, seeds, k, 0, 1)
        reverse_sweep(address, 1 + out.shape[1], like)
        for i in range(out.shape[1]):
            out[k, i] = as_number(adjoint[1 + i], out[k, i])


def add_seeds(adjoint: Any, rows: Any, seeds: Any, k: Any, lane: Any, width: Any) -> None:
    """Add the k-th seed to the adjoints of the rows (compiled code only)."""
    raise NotImplementedError


@specialized(add_seeds)
def _add_seeds(adjoint: Any, rows: Any, seeds: Any, k: Any, lane: Any, width: Any) -> Any:
    if isinstance(seeds, types.NoneType):

        def unit(adjoint: Any, rows: Any, seeds: Any, k: Any, lane: Any, width: Any) -> None:
            if rows[k] > 0:
                adjoint[rows[k] * width + lane] = 1.0

        return unit

    def weighted(adjoint: Any, rows: Any, seeds: Any, k: Any, lane: Any, width: Any) -> None:
        for i in range(rows.size):
            if rows[i] > 0:
                at = rows[i] * width + lane
                adjoint[at] = adjoint[at] + seeds[k, i]

    return weighted


def sweep_many(address: Any, rows: Any, seeds: Any, out: Any, done: Any, lanes: Any) -> int:
    """Sweep whole groups of seeds from `done`; return how many are done (compiled code only)."""
    raise NotImplementedError


@specialized(sweep_many)
def _sweep_many(address: Any, rows: Any, seeds: Any, out: Any, done: Any, lanes: Any) -> Any:
    if isinstance(out.dtype, NumberType):
        return lambda address, rows, seeds, out, done, lanes: done

    def sweep(address: Any, rows: Any, seeds: Any, out: Any, done: Any, lanes: Any) -> Any:
        tape, like = tape_at(address), wide_like(out)
        width = len(lanes)
        while out.shape[0] - done >= width:
            tape.clear_adjoints(width)
            adjoint = typed_view(tape.adjoint, like)
            for lane in range(width):
                add_seeds(adjoint, rows, seeds, done + lane, lane, width)
            vector_sweep(address, 1 + out.shape[1], like, lanes)
            for i in range(out.shape[1]):
                for lane in range(width):
                    out[done + lane, i] = adjoint[(1 + i) * width + lane]
            done += width
        return done

    return sweep


@kernel
def count_rows(rows: Any) -> int:
    """Return how many rows there are in one leaf of a result."""
    return size_of(rows)


@kernel
def copy_rows(flat: Any, at: Any, rows: Any) -> None:
    """Copy the rows of one leaf of a result to flat[at:]."""
    for i in range(size_of(rows)):
        flat[at + i] = item_of(rows, i)


@kernel
def copy_seeds(seeds: Any, at: Any, rows: Any, cotangent: Any) -> None:
    """Copy the cotangents of one leaf to columns of seeds, a row of it for each."""
    if size_of(cotangent) != seeds.shape[0] * size_of(rows):
        raise ArgumentError("vjp: a cotangent must have the shape of the function's result")
    check_shape(rows, cotangent)
    width = size_of(rows)
    for k in range(seeds.shape[0]):
        for i in range(width):
            seeds[k, at + i] = item_of(cotangent, k * width + i)


def check_shape(rows: Any, cotangent: Any) -> None:
    """Raise where a cotangent, or each of several, has another shape (compiled code only)."""
    raise NotImplementedError


@specialized(check_shape)
def _check_shape(rows: Any, cotangent: Any) -> Any:
    if not isinstance(rows, types.Array):
        return lambda rows, cotangent: None
    more = cotangent.ndim - rows.ndim

    def check(rows: Any, cotangent: Any) -> None:
        for k in range(rows.ndim):
            if rows.shape[k] != cotangent.shape[k + more]:
                raise ArgumentError("vjp: a cotangent must have the shape of the function's result")

    return check


@kernel
def first_extent(cotangent: Any) -> int:
    """Return how many cotangents are stacked."""
    return len(cotangent)


def size_of(x: Any) -> int:
    """Return the number of elements of an array; 1 for a number (compiled code only)."""
    raise NotImplementedError


@specialized(size_of)
def _size_of(x: Any) -> Any:
    return (lambda x: x.size) if isinstance(x, types.Array) else (lambda x: 1)


def item_of(x: Any, i: Any) -> Any:
    """Return element i of a flattened array; a number itself (compiled code only)."""
    raise NotImplementedError


@specialized(item_of)
def _item_of(x: Any, i: Any) -> Any:
    return (lambda x, i: x.flat[i]) if isinstance(x, types.Array) else (lambda x, i: x)


@kernel
def empty_rows(size: Any) -> Any:
    """Return room for rows."""
    return empty_array(size, np.int64)


@kernel
def ravel(matrix: Any) -> Any:
    """Return the elements of a contiguous array in row-major order."""
    return flat_view(matrix)
