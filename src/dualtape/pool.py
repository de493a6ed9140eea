"""A pool of tapes: memory is reused between calls, and no two calls ever share a tape.

A call leases a tape by an atomic compare-and-swap on the flag of a free slot, so leases are right
for calls from several threads, from prange bodies and from nested derivatives alike; tapes keep
their memory when they are given back (fresh pages cost more than a sweep).  The slots lie in
`symbols`, where compiled code from a cache finds them.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ._jit import entry, kernel
from .symbols import SLOTS, TAPES, TAPES_SYMBOL
from .tape import address_of, drop, item_size, keep, new_tape, tape_at

__all__ = ["acquire", "new_lease", "release"]

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
        free, taken = ir.Constant(_I64, 0), ir.Constant(_I64, 1)
        pointer = _word(builder, args[0])
        found = builder.cmpxchg(pointer, free, taken, "acquire", "monotonic")
        return builder.extract_value(found, 1)

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
def new_lease(item: Any) -> Any:
    """Make a tape that belongs to no slot; return its address."""
    tape = new_tape(item, load_word(0))
    keep(tape)
    address, tape.owner = address_of(tape)
    return address


@kernel
def acquire(like: Any) -> Any:
    """Lease an empty tape for partials of the type of `like`; return its address."""
    item = item_size(like)
    for slot in range(SLOTS):
        word = 1 + 2 * slot
        if claim(word):
            address = load_word(word + 1)
            if address == 0:
                address = new_lease(item)
                tape_at(address).home = word
                store_word(word + 1, address)
            tape = tape_at(address)
            tape.limit = load_word(0)
            tape.shrink()
            tape.begin(item)
            return address
    return new_lease(item)


@kernel
def new_tape_for(like: Any) -> Any:
    """Make a tape of its own for partials of the type of `like`; return its address."""
    return new_lease(item_size(like))


@kernel
def release(address: Any) -> None:
    """Give a leased tape back."""
    tape = tape_at(address)
    if tape.home < 0:
        drop(tape.owner)
    else:
        unclaim(tape.home)


def _release(address: Any) -> None:
    release(address)


@functools.cache
def _release_entry() -> Any:
    return entry(_release)


def release_tape(address: int) -> None:
    """Give a leased tape back, from Python."""
    _release_entry()(address)
