"""Blocks: operations on whole arrays that the tape holds as one piece, with their own adjoint.

A block has a range of bare rows for its results, data in the tape's arena, and the address of a
compiled function that the sweep calls in its place: ``adjoint(address of the tape, number of the
block, lane, width)``.  The adjoint of row r is ``adjoints[r * width + lane]``; the function adds to
the adjoints of its operands.  Its exceptions go through the sweep.

The function is emitted into the module of the code that records the block, so its address is a
symbol there, and both can be cached on disk.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ._jit import kernel
from .emit import invoke
from .seed import empty_numbers, flat_view, flattened
from .tape import BLOCK_FIELDS, item_size, tape_at, typed_view

__all__ = [
    "ADJOINT_ARGS",
    "add_to_adjoint",
    "adjoint_address",
    "emit_adjoint",
    "load_array",
    "store_array",
]

ADJOINT_ARGS = (types.int64,) * 4


def emit_adjoint(context: Any, builder: Any, name: str, body: Callable[..., None]) -> Any:
    """Emit a block's adjoint into the present module; return its address.

    ``body(builder, args)`` emits what it does, given address, block, lane and width.
    """
    convention = context.call_conv
    function_type = convention.get_function_type(types.none, ADJOINT_ARGS)
    unique = builder.module.get_unique_name(f"dualtape.adjoint.{name}.{builder.function.name}")
    function = ir.Function(builder.module, function_type, name=unique)
    function.linkage = "internal"
    convention.decorate_function(function, list("abcd"), ADJOINT_ARGS)
    inner = ir.IRBuilder(function.append_basic_block("entry"))
    arguments = convention.get_arguments(function)
    body(inner, arguments)
    convention.return_value(inner, context.get_dummy_value())
    return builder.ptrtoint(function, ir.IntType(64))


@intrinsic
def adjoint_address(typingctx: Any, adjoint: Any, like: Any) -> Any:
    """Return the address of a block adjoint made of a kernel ``(address, ..., width, like)``."""
    sig = types.int64(adjoint, like)

    def codegen(context: Any, builder: Any, _: Any, args: Any) -> Any:
        def body(inner: Any, arguments: Any) -> None:
            values = [*arguments, context.get_constant_null(like)]
            invoke(context, inner, adjoint.dispatcher, (*ADJOINT_ARGS, like), values)

        return emit_adjoint(context, builder, adjoint.dispatcher.__name__, body)

    return sig, codegen


@kernel
def store_array(address: Any, a: Any, like: Any) -> Any:
    """Copy the elements of an array to the arena as numbers of one type; return the offset."""
    tape, source = tape_at(address), flattened(a)
    size = item_size(like)
    offset = tape.store(source.size * size)
    out = typed_view(tape.arena[offset : offset + source.size * size], like)
    for i in range(source.size):
        out[i] = base_value(source[i], like)
    return offset


@kernel
def load_array(address: Any, offset: Any, count: Any, like: Any) -> Any:
    """Return what `store_array` stored, as a view of the arena."""
    raw = tape_at(address).arena
    return typed_view(raw[offset : offset + count * item_size(like)], like)


@intrinsic
def base_value(typingctx: Any, x: Any, like: Any) -> Any:
    """Return a number as the type of `like`: itself, its value one level down, or a constant."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if getattr(x, "slots", 0) and x.base == like:
            return context.make_helper(builder, x, value=args[0]).m_value
        return context.cast(builder, args[0], x, like)

    return like(x, like), codegen


@kernel
def base_array(a: Any, like: Any) -> Any:
    """Return a copy of an array one level down."""
    out = empty_numbers(a.shape, like)
    flat, source = flat_view(out), flattened(a)
    for i in range(flat.size):
        flat[i] = base_value(source[i], like)
    return out


@kernel
def contiguous_copy(a: Any) -> Any:
    """Return a C-contiguous copy."""
    return a.copy()


@kernel
def add_to_adjoint(adjoint: Any, rows: Any, more: Any, lane: Any, width: Any) -> None:
    """Add an array to the adjoints of rows; row 0, that of constants, is left out."""
    source = flattened(more)
    for i in range(rows.size):
        if rows[i] > 0:
            at = rows[i] * width + lane
            adjoint[at] = adjoint[at] + source[i]


@kernel
def gather_adjoint(adjoint: Any, first: Any, out: Any, lane: Any, width: Any) -> None:
    """Copy the adjoints of the rows from `first` to an array."""
    flat = flat_view(out)
    for i in range(flat.size):
        flat[i] = adjoint[(first + i) * width + lane]


@kernel
def block_rows(address: Any, block: Any) -> Any:
    """Return the first row of a block and the offset of its data."""
    tape = tape_at(address)
    at = block * BLOCK_FIELDS
    return tape.block[at], tape.block[at + 3]


@kernel
def tape_of(a: Any) -> Any:
    """Return the address of the tape of an array of Actives; 0 if all elements are passive."""
    for x in a.flat:
        if x.row > 0:
            return x.tape
    return np.int64(0)
