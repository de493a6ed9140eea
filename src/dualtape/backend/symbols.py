"""Memory that compiled code refers to by a symbol, so that it can be cached on disk.

LLVM ends the process if code names an undefined symbol, and cached code, even a user's own, is
loaded without importing the module that wrote it.  So the symbols are defined when the package is
imported; everything that only compiling needs is elsewhere.

Numba internals used (seen in 0.66 to 0.68): symbols added by ``llvmlite.binding.add_symbol`` are
found when compiled code is linked, also when it comes from a cache.
"""

from __future__ import annotations

import ctypes

import llvmlite.binding
from numba.extending import get_cython_function_address

from ..errors import ArgumentError
from . import vector_math

SLOTS = 64  # tapes in the pool; calls beyond allocate their own
DEFAULT_LIMIT = 2**33  # bytes of one tape
TAPES_SYMBOL = "dualtape_pool"
TAPES = (ctypes.c_int64 * (1 + 2 * SLOTS))(DEFAULT_LIMIT)  # limit, then flag and tape of a slot
llvmlite.binding.add_symbol(TAPES_SYMBOL, ctypes.addressof(TAPES))
STREAM_SYMBOL = "dualtape_stream"
STREAM = (ctypes.c_int64 * 16)()  # see `tape.stream`
llvmlite.binding.add_symbol(STREAM_SYMBOL, ctypes.addressof(STREAM))
vector_math.load()

_LIBRARIES = {"blas": ("gemm", "gemv"), "lapack": ("gesv", "getrf", "getrs", "trtrs")}
ROUTINES = [
    (f"scipy.linalg.cython_{library}", kind + routine)
    for kind in "sd"
    for library, routines in _LIBRARIES.items()
    for routine in routines
]
FORTRAN_SYMBOL = "dualtape_fortran"
FORTRAN = (ctypes.c_int64 * (1 + len(ROUTINES)))()  # the address of `_fill`, then those of ROUTINES


@ctypes.CFUNCTYPE(None)
def _fill() -> None:
    for i, (module, name) in enumerate(ROUTINES):
        FORTRAN[1 + i] = get_cython_function_address(module, name)


FORTRAN[0] = ctypes.cast(_fill, ctypes.c_void_p).value or 0
llvmlite.binding.add_symbol(FORTRAN_SYMBOL, ctypes.addressof(FORTRAN))


def set_tape_limit(nbytes: int) -> int:
    """Set the memory limit of a tape in bytes; return the previous one.

    Parameters
    ----------
    nbytes : int
        The limit of every tape from now on; 8 GiB by default. A recording that would exceed it
        raises `TapeMemoryError`.

    Raises
    ------
    ArgumentError
        If it is not a positive integer.

    Examples
    --------
    >>> import dualtape as ad
    >>> before = ad.set_tape_limit(2**30)
    >>> ad.set_tape_limit(before) == 2**30
    True
    """
    if type(nbytes) is not int or nbytes <= 0:
        raise ArgumentError(f"set_tape_limit: {nbytes!r} is not a positive number of bytes")
    before, TAPES[0] = TAPES[0], nbytes
    return before
