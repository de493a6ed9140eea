"""The small kernels behind checkpoints: keep arguments in the arena, get them back, pass adjoints.

What is kept of one leaf of the arguments is described by integers in the arena: how many elements,
where their rows and their values are, and the extents.  Compiled once per type, cached on disk.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np import arrayobj

from ._jit import kernel, specialized
from .adjoints import item_of, row_of, size_of, tracked
from .blocks import add_to_adjoint, block_rows, load_array, store_array, tape_of
from .errors import ArgumentError
from .seed import empty_numbers, flat_view, flattened
from .tape import tape_at, typed_view

__all__: list[str] = []

COUNT, ROWS, VALUES, EXTENTS = range(4)


@kernel
def tape_of_leaf(x: Any) -> Any:
    """Return the address of the tape of an Active or an array of them; 0 if passive."""
    return find_tape(x)


def find_tape(x: Any) -> int:
    """Return the address of a tape (compiled code only)."""
    raise NotImplementedError


@specialized(find_tape)
def _find_tape(x: Any) -> Any:
    if isinstance(x, types.Array):
        return lambda x: tape_of(x)
    return lambda x: x.tape if x.row > 0 else np.int64(0)


@kernel
def track_result(values: Any, first: Any, address: Any, like: Any) -> Any:
    """Return an array as numbers with the rows from `first`."""
    out = empty_numbers(values.shape, like)
    flat, source = flat_view(out), flattened(values)
    for i in range(flat.size):
        flat[i] = tracked(source[i], first + i if address != 0 else 0, address, like)
    return out


@kernel
def clear(address: Any, like: Any) -> None:
    """Make a zero adjoint for every row."""
    tape_at(address).clear_adjoints(1)


@kernel
def first_row(address: Any, block: Any) -> Any:
    """Return the first row of a block."""
    return block_rows(address, block)[0]


@kernel
def seed_adjoint(
    outer: Any, first: Any, lane: Any, width: Any, inner: Any, rows: Any, like: Any
) -> None:
    """Add the adjoints of a block's results to those of the rows of its replay."""
    given = typed_view(tape_at(outer).adjoint, like)
    adjoint = typed_view(tape_at(inner).adjoint, like)
    for i in range(size_of(rows)):
        row = item_of(rows, i)
        if row > 0:
            adjoint[row] = adjoint[row] + given[(first + i) * width + lane]


@kernel
def add_inputs(
    outer: Any, rows: Any, lane: Any, width: Any, inner: Any, first: Any, like: Any
) -> None:
    """Add the adjoints of a replay's inputs to those of the block's arguments."""
    adjoint = typed_view(tape_at(outer).adjoint, like)
    given = typed_view(tape_at(inner).adjoint, like)
    for i in range(rows.size):
        if rows[i] > 0:
            at = rows[i] * width + lane
            adjoint[at] = adjoint[at] + given[first + i]


@kernel
def gather_bar(outer: Any, first: Any, lane: Any, width: Any, bar: Any, count: Any) -> None:
    """Copy the adjoints of a loop's results to the first `count` elements of a vector."""
    given = typed_view(tape_at(outer).adjoint, bar[0])
    for i in range(count):
        bar[i] = given[(first + i) * width + lane]


@kernel
def require_same_size(before: Any, after: Any) -> None:
    """Raise where a step changed the shape of the state."""
    if before != after:
        raise ArgumentError("checkpoint_loop: a step must return a state of the same shape")


@kernel
def seed_from(inner: Any, rows: Any, bar: Any, at: Any) -> None:
    """Add bar[at:] to the adjoints of rows."""
    adjoint = typed_view(tape_at(inner).adjoint, bar[0])
    for i in range(size_of(rows)):
        row = item_of(rows, i)
        if row > 0:
            adjoint[row] = adjoint[row] + bar[at + i]


@kernel
def take_back(inner: Any, bar: Any, count: Any) -> None:
    """Replace the first `count` elements by the adjoints of inputs, add to the others."""
    adjoint = typed_view(tape_at(inner).adjoint, bar[0])
    for i in range(bar.size):
        bar[i] = adjoint[1 + i] if i < count else bar[i] + adjoint[1 + i]


@kernel
def scatter_bar(outer: Any, rows: Any, lane: Any, width: Any, bar: Any, at: Any) -> None:
    """Add bar[at:] to the adjoints of a block's arguments."""
    adjoint = typed_view(tape_at(outer).adjoint, bar[0])
    add_to_adjoint(adjoint, rows, bar[at : at + rows.size], lane, width)


@kernel
def reserve(address: Any, count: Any) -> Any:
    """Append bare rows; return the first, or 0 without a tape."""
    return tape_at(address).reserve(count) if address != 0 else np.int64(0)


@kernel
def open_data(address: Any, count: Any) -> Any:
    """Make room for the offsets of `count` leaves; return where."""
    return tape_at(address).store(8 * count) if address != 0 else 0


@kernel
def store_leaf(address: Any, head: Any, i: Any, leaf: Any, like: Any) -> None:
    """Keep a leaf of the arguments."""
    if address != 0:
        whole = np.int64(0)
        told = np.zeros(EXTENTS + dimensions(leaf), np.int64)
        rows = np.empty(size_of(leaf), np.int64)
        for k in range(rows.size):
            rows[k] = row_of(item_of(leaf, k))
        told[COUNT] = rows.size
        told[ROWS] = store_array(address, rows, whole)
        told[VALUES] = store_array(address, as_array(leaf), like)
        for k in range(dimensions(leaf)):
            told[EXTENTS + k] = extent(leaf, k)
        at = store_array(address, told, whole)
        load_array(address, head, i + 1, whole)[i] = at


@kernel
def close_data(address: Any, first: Any, last: Any, adjoint: Any, head: Any) -> None:
    """Enter the block."""
    if address != 0:
        tape_at(address).add_block(first, last, adjoint, head)


def dimensions(x: Any) -> int:
    """Return the number of dimensions (compiled code only)."""
    raise NotImplementedError


@specialized(dimensions)
def _dimensions(x: Any) -> Any:
    ndim = getattr(x, "ndim", 0)
    return lambda x: ndim


def extent(x: Any, k: int) -> int:
    """Return an extent of an array (compiled code only)."""
    raise NotImplementedError


@specialized(extent)
def _extent(x: Any, k: Any) -> Any:
    return (lambda x, k: x.shape[k]) if isinstance(x, types.Array) else (lambda x, k: 1)


def as_array(x: Any) -> Any:
    """Return an array of one element for a number (compiled code only)."""
    raise NotImplementedError


@specialized(as_array)
def _as_array(x: Any) -> Any:
    if isinstance(x, types.Array):
        return lambda x: x

    def wrap(x: Any) -> Any:
        out = empty_numbers((1,), x)
        out[0] = x
        return out

    return wrap


@kernel
def told_of(address: Any, block: Any, i: Any) -> Any:
    """Return what describes leaf i, as a view of the arena."""
    whole = np.int64(0)
    head = load_array(address, block_rows(address, block)[1], i + 1, whole)
    return typed_view(tape_at(address).arena[head[i] :], whole)


@kernel
def load_rows(address: Any, block: Any, i: Any) -> Any:
    """Return the rows of leaf i."""
    told = told_of(address, block, i)
    return load_array(address, told[ROWS], told[COUNT], np.int64(0))


@kernel
def load_number(address: Any, block: Any, i: Any, like: Any) -> Any:
    """Return leaf i, a number."""
    return load_array(address, told_of(address, block, i)[VALUES], 1, like)[0]


@kernel
def load_leaf(address: Any, block: Any, i: Any, like: Any, shape: Any) -> Any:
    """Return leaf i, an array of as many dimensions as `shape` has, as a view of the arena."""
    told = told_of(address, block, i)
    flat = load_array(address, told[VALUES], told[COUNT], like)
    return shaped_view(flat, told, shape)


@intrinsic
def shaped_view(typingctx: Any, flat: Any, told: Any, shape: Any) -> Any:
    """Return a flat array in the extents that `told` describes."""
    view = flat.copy(ndim=len(shape))

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = context.make_array(flat)(context, builder, args[0])
        numbers = context.make_array(told)(context, builder, args[1])
        out = context.make_array(view)(context, builder)
        extents = [
            builder.load(builder.gep(numbers.data, [ir.Constant(ir.IntType(64), EXTENTS + k)]))
            for k in range(len(shape))
        ]
        strides = [source.itemsize]
        for size in reversed(extents[1:]):
            strides.insert(0, builder.mul(strides[0], size))
        arrayobj.populate_array(
            out,
            data=source.data,
            shape=extents,
            strides=strides,
            itemsize=source.itemsize,
            meminfo=source.meminfo,
            parent=source.parent,
        )
        context.nrt.incref(builder, flat, args[0])
        return out._getvalue()

    return view(flat, told, shape), codegen
