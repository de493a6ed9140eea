"""References that a tape holds to memory outside of it, for blocks that read values in the sweep.

They are released where the tape is returned to the pool (`pool.release`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..backend.allocation import copy_items, empty_array, larger
from ..backend.jit import kernel
from .storage import tape_at


@intrinsic
def owner_of(typingctx: Any, a: Any) -> Any:
    """Return the address of an array's reference count, 0 if it has none."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        array = context.make_array(a)(context, builder, args[0])
        return builder.ptrtoint(array.meminfo, ir.IntType(64))

    return types.int64(a), codegen


def _change_of_count(change: str) -> Any:
    """Return the intrinsic that counts a reference by the address of its count, or one less."""
    array_type = types.Array(types.uint8, 1, "C")

    @intrinsic
    def change_count(typingctx: Any, owner: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            array = context.make_array(array_type)(context, builder)
            array.meminfo = builder.inttoptr(args[0], array.meminfo.type)
            getattr(context.nrt, change)(builder, array_type, array._getvalue())
            return context.get_dummy_value()

        return types.none(types.int64), codegen

    return change_count


_count_more, count_less = _change_of_count("incref"), _change_of_count("decref")


@kernel
def hold_values(address: Any, owner: Any, nbytes: Any) -> None:
    """Keep values with this reference count until the tape is returned to the pool."""
    tape = tape_at(address)
    if tape.holds == tape.held.size:
        size = larger(2 * tape.holds, 16)
        tape.check(8 * size)
        held = empty_array(size, np.int64)
        copy_items(held, tape.held, tape.holds)
        tape.taken += 8 * (size - tape.holds)
        tape.held = held
    tape.check(nbytes)
    tape.taken += nbytes
    tape.held_bytes += nbytes
    tape.held[tape.holds] = owner
    tape.holds += 1
    _count_more(owner)
