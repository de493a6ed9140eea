"""The small kernels behind checkpoints: arguments in the arena, adjoints of results and inputs.

A leaf is a number or an array of a structure.  Kernels are compiled once per type, cached on disk.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from ..backend.jit import by_type, kernel
from ..errors import ArgumentValueError
from ..numbers.access import empty_numbers, flat_view, flattened
from ..numbers.layouts import set_word, word
from ..numbers.reading import size_of
from ..tape.storage import tape_at, typed_view
from .block_data import load, save
from .blocks import add_to_adjoint, block_rows, load_array, place_in, store_array, tape_of
from .rows import active_number, item_of, row_of


class LeafData(NamedTuple):
    """Data of a number or an array: its number of elements, offsets of rows and values, shape."""

    size: int
    rows: int
    values: int
    shape: Any


@kernel
def tape_of_leaf(x: Any) -> Any:
    """Return the address of the tape of an Active or an array of them; 0 if passive."""
    return find_tape(x)


@by_type
def find_tape(x: Any) -> Any:
    """Return the address of a tape."""
    if isinstance(x, types.Array):
        return tape_of
    return lambda x: x.tape if x.row > 0 else np.int64(0)


@kernel
def track_result(values: Any, first: Any, address: Any, like: Any) -> Any:
    """Return an array as numbers with the rows from `first`."""
    out = empty_numbers(values.shape, like)
    flat, source = flat_view(out), flattened(values)
    for i in range(flat.size):
        flat[i] = active_number(source[i], first + i if address != 0 else 0, address, like)
    return out


@kernel
def clear(address: Any, like: Any) -> None:
    """Set the adjoints of all rows to zero."""
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
    result_adjoint = typed_view(tape_at(outer).adjoint, like)
    adjoint = typed_view(tape_at(inner).adjoint, like)
    for i in range(size_of(rows)):
        row = item_of(rows, i)
        if row > 0:
            adjoint[row] = adjoint[row] + result_adjoint[(first + i) * width + lane]


@kernel
def add_inputs(
    outer: Any, rows: Any, lane: Any, width: Any, inner: Any, first: Any, like: Any
) -> None:
    """Add the adjoints of a replay's inputs to those of the block's arguments."""
    adjoint = typed_view(tape_at(outer).adjoint, like)
    input_adjoint = typed_view(tape_at(inner).adjoint, like)
    for i in range(rows.size):
        if rows[i] > 0:
            index = rows[i] * width + lane
            adjoint[index] = adjoint[index] + input_adjoint[first + i]


@kernel
def gather_bar(outer: Any, first: Any, lane: Any, width: Any, bar: Any, count: Any) -> None:
    """Copy the adjoints of a loop's results to the first `count` elements of a vector."""
    adjoint = typed_view(tape_at(outer).adjoint, bar[0])
    for i in range(count):
        bar[i] = adjoint[(first + i) * width + lane]


@kernel
def require_same_size(size: Any, new_size: Any) -> None:
    """Raise where a step changed the shape of the state."""
    if size != new_size:
        raise ArgumentValueError("checkpoint_loop: a step must return a state of the same shape")


@kernel
def seed_from(inner: Any, rows: Any, bar: Any, offset: Any) -> None:
    """Add bar[offset:] to the adjoints of rows."""
    adjoint = typed_view(tape_at(inner).adjoint, bar[0])
    for i in range(size_of(rows)):
        row = item_of(rows, i)
        if row > 0:
            adjoint[row] = adjoint[row] + bar[offset + i]


@kernel
def update_bar(inner: Any, bar: Any, count: Any) -> None:
    """Set the first `count` elements to the adjoints of inputs; add those of the others."""
    adjoint = typed_view(tape_at(inner).adjoint, bar[0])
    for i in range(bar.size):
        bar[i] = adjoint[1 + i] if i < count else bar[i] + adjoint[1 + i]


@kernel
def scatter_bar(outer: Any, rows: Any, lane: Any, width: Any, bar: Any, offset: Any) -> None:
    """Add bar[offset:] to the adjoints of a block's arguments."""
    adjoint = typed_view(tape_at(outer).adjoint, bar[0])
    add_to_adjoint(adjoint, rows, bar[offset : offset + rows.size], lane, width)


@kernel
def reserve(address: Any, count: Any) -> Any:
    """Append bare rows; return the first, or 0 without a tape."""
    return tape_at(address).reserve(count) if address != 0 else np.int64(0)


@kernel
def open_data(address: Any, count: Any) -> Any:
    """Make room for the offsets of `count` leaves; return its offset."""
    return tape_at(address).store(8 * count) if address != 0 else 0


@kernel
def store_leaf(address: Any, head: Any, i: Any, leaf: Any, like: Any) -> None:
    """Store a leaf of the arguments."""
    if address != 0:
        rows = np.empty(size_of(leaf), np.int64)
        for k in range(rows.size):
            rows[k] = row_of(item_of(leaf, k))
        row_offset = store_array(address, rows, np.int64(0))
        value_offset = store_array(address, as_array(leaf), like)
        offset = save(address, LeafData(rows.size, row_offset, value_offset, shape_of(leaf)))
        set_word(place_in(address, head), i, offset)


@kernel
def close_data(address: Any, first: Any, last: Any, adjoint: Any, head: Any) -> None:
    """Enter the block."""
    if address != 0:
        tape_at(address).add_block(first, last, adjoint, head)


@by_type
def shape_of(x: Any) -> Any:
    """Return the shape of an array; () of a number."""
    return (lambda x: x.shape) if isinstance(x, types.Array) else (lambda x: ())


@by_type
def as_array(x: Any) -> Any:
    """Return an array of one element for a number."""
    if isinstance(x, types.Array):
        return lambda x: x

    def wrap(x: Any) -> Any:
        out = empty_numbers((1,), x)
        out[0] = x
        return out

    return wrap


@kernel
def data_of_leaf(address: Any, block: Any, i: Any, shape: Any) -> Any:
    """Return the data of leaf i, whose shape has as many items as `shape`."""
    head = place_in(address, block_rows(address, block)[1])
    return load(address, word(head, i), LeafData(0, 0, 0, shape))


@kernel
def load_rows(address: Any, block: Any, i: Any) -> Any:
    """Return the rows of leaf i."""
    leaf = data_of_leaf(address, block, i, ())
    return load_array(address, leaf.rows, leaf.size, np.int64(0))


@kernel
def load_number(address: Any, block: Any, i: Any, like: Any) -> Any:
    """Return leaf i, a number."""
    return load_array(address, data_of_leaf(address, block, i, ()).values, 1, like)[0]


@kernel
def load_leaf(address: Any, block: Any, i: Any, like: Any, shape: Any) -> Any:
    """Return leaf i, an array with the dimensions of `shape`, as a view of the arena."""
    leaf = data_of_leaf(address, block, i, shape)
    return load_array(address, leaf.values, leaf.size, like).reshape(leaf.shape)
