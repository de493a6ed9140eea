"""A pool of tapes: memory is reused between calls, and no two calls ever share a tape.

A call leases a tape by an atomic compare-and-swap on the flag of a free slot, so leases are safe
for calls from several threads, from prange bodies and from nested derivatives alike; tapes keep
their memory when they are returned (fresh pages cost more than a sweep).  The slots are in
`symbols`, where cached code finds them.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..backend.jit import entry, kernel
from ..backend.symbols import SLOTS, TAPES, TAPES_SYMBOL
from .held import count_less
from .storage import address_of, drop, keep, new_tape, tape_at

_I64 = ir.IntType(64)


def _word(builder: Any, index: Any) -> Any:
    """Return the pointer to a word of the pool."""
    ty = ir.ArrayType(_I64, len(TAPES))
    pool = builder.module.globals.get(TAPES_SYMBOL)
    if pool is None:
        pool = ir.GlobalVariable(builder.module, ty, TAPES_SYMBOL)
    return builder.gep(pool, [ir.Constant(_I64, 0), index], inbounds=True)


@intrinsic
def claim(typingctx: Any, word: Any) -> Any:
    """Set the flag in a word; return whether it was free."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        free, in_use = ir.Constant(_I64, 0), ir.Constant(_I64, 1)
        pointer = _word(builder, args[0])
        exchange = builder.cmpxchg(pointer, free, in_use, "acquire", "monotonic")
        return builder.extract_value(exchange, 1)

    return types.boolean(types.int64), codegen


@intrinsic
def unclaim(typingctx: Any, word: Any) -> Any:
    """Free the flag in a word."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store_atomic(ir.Constant(_I64, 0), _word(builder, args[0]), "release", 8)
        return context.get_dummy_value()

    return types.none(types.int64), codegen


@intrinsic
def load_word(typingctx: Any, word: Any) -> Any:
    """Return a word of the pool."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_word(builder, args[0]))

    return types.int64(types.int64), codegen


@intrinsic
def store_word(typingctx: Any, word: Any, value: Any) -> Any:
    """Set a word of the pool."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[1], _word(builder, args[0]))
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), codegen


@kernel
def acquire(item: Any, pooled: Any) -> Any:
    """Lease an empty tape for partials of `item` bytes; return its address.

    Unless `pooled`, or if all slots are in use, it is a new tape outside of the pool.
    """
    home = 0
    if pooled:
        for slot in range(SLOTS):
            if claim(1 + 2 * slot):
                home = 1 + 2 * slot
                break
    address = load_word(home + 1) if home > 0 else 0
    if address != 0 and tape_at(address).taken > load_word(0):  # a lower limit was set since
        drop(tape_at(address).owner)
        address = 0
    if address == 0:
        tape = new_tape(item, load_word(0))
        keep(tape)
        address, tape.owner = address_of(tape)
        tape.home = home
        if home > 0:
            store_word(home + 1, address)
    else:
        tape_at(address).limit = load_word(0)
        tape_at(address).begin(item)
    return address


@kernel
def release(address: Any) -> None:
    """Return a leased tape to the pool."""
    tape = tape_at(address)
    for i in range(tape.holds):
        count_less(tape.held[i])
    tape.taken -= tape.held_bytes
    tape.holds = tape.held_bytes = 0
    if tape.home == 0:
        drop(tape.owner)
    else:
        unclaim(tape.home)


def _release(address: Any) -> None:
    release(address)


@functools.cache
def _release_entry() -> Any:
    return entry(_release)


def release_tape(address: int) -> None:
    """Return a leased tape to the pool, from Python."""
    _release_entry()(address)
