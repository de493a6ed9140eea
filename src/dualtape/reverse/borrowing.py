"""Arrays that a tape refers to instead of copying them: constants of the differentiated function.

Arrays that an adjoint needs later are copied to the tape, since the function may overwrite them.
An argument that is not differentiated and that the function, with all it calls, does not write to
does not change until the sweep, if the sweep follows at once; nor does a global array, which is
read-only to Numba.  A driver registers the addresses of such arguments (`borrow`), and blocks store
only the addresses of arrays in them (`is_lasting`).

Measured in one run, gradient of sum(A @ x) by x over its primal, n = 500: 1.9 to 2.3 with a
borrowed A and 3.3 to 4.3 with a copied one.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.extending import intrinsic

from ..backend.allocation import array_over
from ..backend.jit import kernel
from ..tape.storage import tape_at


def is_borrowable(ty: Any) -> bool:
    """Whether a tape can refer to the elements of an array of this type."""
    is_plain = isinstance(ty, types.Array) and isinstance(ty.dtype, types.Float)
    return is_plain and ty.layout == "C" and ty.aligned


@kernel
def borrow(address: Any, a: Any) -> None:
    """Register an array that does not change until the tape is returned to the pool."""
    tape, place = tape_at(address), 2 * tape_at(address).borrows
    if place < tape.borrowed.size:
        tape.borrowed[place] = a.ctypes.data
        tape.borrowed[place + 1] = a.ctypes.data + a.size * a.itemsize
        tape.borrows += 1


@kernel
def is_lasting(address: Any, first: Any, is_fixed: Any) -> bool:
    """Whether the numbers at an address do not change until the sweep.

    A fixed array is one that no code can write to by this name: a global or a read-only argument.
    """
    tape = tape_at(address)
    if is_fixed:
        return tape.borrows > 0
    for k in range(tape.borrows):
        if tape.borrowed[2 * k] <= first < tape.borrowed[2 * k + 1]:
            return True
    return False


@intrinsic
def array_at(typingctx: Any, address: Any, count: Any, like: Any) -> Any:
    """Return the numbers at an address as an array, whose references are not counted."""
    view = types.Array(like, 1, "C")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return array_over(context, builder, view, args[0], [args[1]])

    return view(types.int64, types.int64, like), codegen
