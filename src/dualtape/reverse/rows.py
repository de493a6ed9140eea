"""Around a recording: inputs get rows, adjoints are read back.

The differentiated inputs of a call have the rows 1 to n of its tape, in the order of their flat
indices (see `numbers.access`).  These kernels are compiled once per type and cached on disk,
whatever the user's function is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..backend.allocation import array_over, empty_array, no_array
from ..backend.jit import by_type, kernel
from ..numbers.access import as_number, element_like, empty_numbers, flat_view, flattened, wide_of
from ..numbers.reading import size_of
from ..numbers.tracked import make_active
from ..numbers.types import NumberType
from ..tape.storage import field_pointer, tape_at, typed_view
from .sweep import reverse_sweep, vector_sweep


@intrinsic
def active_number(typingctx: Any, value: Any, row: Any, address: Any, like: Any) -> Any:
    """Return an Active of the type of `like` with this value and row."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        primal = context.cast(builder, args[0], sig.args[0], like.base)
        return make_active(context, builder, like, primal, args[1], args[2])

    return like(value, types.int64, types.int64, like), codegen


@intrinsic
def row_of(typingctx: Any, number: Any) -> Any:
    """Return the row of an Active; 0 for anything passive."""

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
        flat[i] = active_number(source[i], first + i, address, like)


def input_array(
    context: Any, builder: Any, address: Any, first: Any, shape: list[Any], number: Any,
    dtype: Any = None,
) -> Any:  # fmt: skip
    """Return a view of the inputs of a tape from number `first` on, as an array of numbers.

    With `dtype` the elements are of that type, which is not larger.
    They are stored in the tape: calls allocate nothing, and a function that raises leaks nothing,
    since Numba then drops no references.
    """
    inputs = types.Array(types.uint8, 1, "C")
    pointer = field_pointer(context, builder, address, "inputs")
    source = context.make_array(inputs)(context, builder, value=builder.load(pointer))
    view = types.Array(dtype or number, len(shape), "C")
    size = context.get_abi_sizeof(context.get_data_type(number))
    offset = builder.mul(first, context.get_constant(types.intp, size))
    return array_over(context, builder, view, builder.gep(source.data, [offset]), shape)


@kernel
def copy_values(out: Any, x: Any) -> None:
    """Copy the elements of an array to another of its shape."""
    flat, source = flat_view(out), flattened(x)
    for i in range(flat.size):
        flat[i] = as_number(source[i], flat[i])


@kernel
def reserve_inputs(address: Any, count: Any, nbytes: Any) -> None:
    """Append the rows of the inputs, and make room for `nbytes` of inputs; see `input_array`."""
    tape = tape_at(address)
    more = nbytes - tape.inputs.size
    if more > 0:
        tape.check(more)
        tape.inputs = empty_array(nbytes, np.uint8)
        tape.taken += more
    tape.reserve(count)


@kernel
def drop_inputs(address: Any) -> None:
    """Free the memory of the inputs, after the recording."""
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


@kernel
def sweep_gradient(address: Any, row: Any, count: Any, like: Any) -> None:
    """Compute the derivatives of a row with respect to the inputs: their adjoints."""
    tape = tape_at(address)
    tape.clear_adjoints(1)
    if row > 0:
        typed_view(tape.adjoint, like)[row] = as_number(1.0, like)
        reverse_sweep(address, 1 + count, like)


def input_adjoints(context: Any, builder: Any, address: Any, count: Any, dtype: Any) -> Any:
    """Return the adjoints of the inputs as a view of the tape."""
    pointer = field_pointer(context, builder, address, "adjoint")
    raw = types.Array(types.uint8, 1, "C")
    source = context.make_array(raw)(context, builder, value=builder.load(pointer))
    view = types.Array(dtype, 1, "C")
    first = builder.bitcast(source.data, context.get_data_type(dtype).as_pointer())
    first = builder.gep(first, [context.get_constant(types.intp, 1)])  # row 0: constants
    return array_over(context, builder, view, first, [count])


@kernel
def sweep_row(address: Any, row: Any, out: Any) -> None:
    """Fill the only row of a Jacobian."""
    like = wide_of(element_like(out))
    sweep_gradient(address, row, out.shape[1], like)
    adjoint = typed_view(tape_at(address).adjoint, like)
    for i in range(out.shape[1]):
        out[0, i] = as_number(adjoint[1 + i], out[0, i])


LANES_8 = (0,) * 8
LANES_4 = (0,) * 4


@kernel
def sweep_rows(address: Any, rows: Any, seeds: Any, out: Any) -> None:
    """Fill out[k, j] with the derivative of y_k, or of sum_i seeds[k, i] y_i, by input j.

    y_i has row rows[i]; `seeds` is None for the y_k themselves.  Eight adjoints are swept at a
    time, then four, then single ones.
    """
    done = sweep_many(address, rows, seeds, out, 0, LANES_8)
    done = sweep_many(address, rows, seeds, out, done, LANES_4)
    tape, like = tape_at(address), wide_of(element_like(out))
    for k in range(done, out.shape[0]):
        tape.clear_adjoints(1)
        adjoint = typed_view(tape.adjoint, like)
        add_seeds(adjoint, rows, seeds, k, 0, 1)
        reverse_sweep(address, 1 + out.shape[1], like)
        for i in range(out.shape[1]):
            out[k, i] = as_number(adjoint[1 + i], out[k, i])


@by_type
def add_seeds(adjoint: Any, rows: Any, seeds: Any, k: Any, lane: Any, width: Any) -> Any:
    """Add the k-th seed to the adjoints of the rows."""
    if isinstance(seeds, types.NoneType):

        def unit(adjoint: Any, rows: Any, seeds: Any, k: Any, lane: Any, width: Any) -> None:
            if rows[k] > 0:
                adjoint[rows[k] * width + lane] = 1.0

        return unit

    def combination(adjoint: Any, rows: Any, seeds: Any, k: Any, lane: Any, width: Any) -> None:
        for i in range(rows.size):
            if rows[i] > 0:
                index = rows[i] * width + lane
                adjoint[index] = adjoint[index] + seeds[k, i]

    return combination


@by_type
def sweep_many(address: Any, rows: Any, seeds: Any, out: Any, done: Any, lanes: Any) -> Any:
    """Sweep whole groups of seeds from `done`; return how many are done."""
    if isinstance(out.dtype, NumberType):
        return lambda address, rows, seeds, out, done, lanes: done

    def sweep(address: Any, rows: Any, seeds: Any, out: Any, done: Any, lanes: Any) -> Any:
        tape, like = tape_at(address), wide_of(element_like(out))
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
    """Return the number of rows of one leaf of a result."""
    return size_of(rows)


@kernel
def copy_rows(flat: Any, offset: Any, rows: Any) -> None:
    """Copy the rows of one leaf of a result to flat[offset:]."""
    for i in range(size_of(rows)):
        flat[offset + i] = item_of(rows, i)


@kernel
def copy_seeds(seeds: Any, offset: Any, rows: Any, cotangent: Any) -> None:
    """Copy the cotangents of one leaf to columns of `seeds`, one row for each cotangent."""
    width = size_of(rows)
    for k in range(seeds.shape[0]):
        for i in range(width):
            seeds[k, offset + i] = item_of(cotangent, k * width + i)


@kernel
def first_extent(cotangent: Any) -> int:
    """Return the number of stacked cotangents."""
    return len(cotangent)


@by_type
def item_of(x: Any, i: Any) -> Any:
    """Return element i of an array in row-major order; a number itself."""
    return (lambda x, i: x.flat[i]) if isinstance(x, types.Array) else (lambda x, i: x)


@kernel
def empty_rows(size: Any) -> Any:
    """Return an uninitialised vector for rows."""
    return empty_array(size, np.int64)


@kernel
def ravel(matrix: Any) -> Any:
    """Return the elements of a contiguous array in row-major order."""
    return flat_view(matrix)
