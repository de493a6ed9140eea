"""Memory that compiled code refers to by a symbol, so that it can be cached on disk.

LLVM ends the process if code names an undefined symbol, and cached code, even a user's own, is
loaded without importing the module that wrote it.  So the symbols are defined when the package is
imported; everything that only compiling needs is elsewhere.

Numba internals used (seen in 0.66 to 0.68): symbols added by ``llvmlite.binding.add_symbol`` are
found when compiled code is linked, also when it comes from a cache.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable

import llvmlite.binding

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


class AddressTable:
    """Addresses of another library's functions, found when one of them is called first.

    The library takes long to import, and its addresses change from process to process.

    Parameters
    ----------
    symbol : str
        Under which compiled code knows the table.
    width : int
        Words of an entry; the first one is written last.
    names : list
        Whose entries stand in the table, in this order.
    find : callable
        name -> its words.
    """

    def __init__(
        self, symbol: str, width: int, names: list[str], find: Callable[[str], tuple[int, ...]]
    ) -> None:
        self.symbol, self.width = symbol, width
        self.index = {name: 1 + width * i for i, name in enumerate(names)}
        self.words = (ctypes.c_int64 * (1 + width * len(names)))()
        self._find = find
        self._filler = ctypes.CFUNCTYPE(None)(self.fill)
        self.words[0] = ctypes.cast(self._filler, ctypes.c_void_p).value or 0
        llvmlite.binding.add_symbol(symbol, ctypes.addressof(self.words))

    def fill(self) -> None:
        """Find all addresses; compiled code calls it by the address in the first word."""
        for name, index in self.index.items():
            for i, word in reversed(list(enumerate(self._find(name)))):
                self.words[index + i] = word


def _find_fortran(name: str) -> tuple[int, ...]:
    from numba.extending import get_cython_function_address  # noqa: PLC0415  # slow to import

    library = "blas" if name[1:] in BLAS else "lapack"
    return (get_cython_function_address(f"scipy.linalg.cython_{library}", name),)


BLAS, _LAPACK = ("gemm", "gemv"), ("gesv", "getrf", "getrs", "trtrs")
FORTRAN = AddressTable(
    "dualtape_fortran",
    1,
    [kind + routine for kind in "sd" for routine in BLAS + _LAPACK],
    _find_fortran,
)


def _find_special(name: str) -> tuple[int, ...]:
    from .scipy_addresses import find_special  # noqa: PLC0415  # slow to import

    return find_special(name)


SPECIAL_FUNCTIONS = [
    "_lambertw:Dld->D", "_riemann_zeta:d->d", "_spherical_in:ld->d", "_spherical_jn:ld->d",
    "_spherical_kn:ld->d", "_spherical_yn:ld->d", "_zeta:dd->d", "airy:d->dddd", "bdtr:dld->d",
    "bdtrc:dld->d", "beta:dd", "betainc:ddd", "betaincinv:ddd", "betaln:dd", "boxcox:dd",
    "chdtr:dd", "chdtrc:dd", "chdtri:dd", "dawsn:d", "ellipe:d", "ellipeinc:dd", "ellipk:d",
    "ellipkinc:dd", "entr:d", "erfcinv:d", "erfcx:d", "erfinv:d", "exp1:d", "expi:d",
    "expn:ld->d", "fdtr:ddd", "fdtrc:ddd", "gammainc:dd", "gammaincc:dd", "gammainccinv:dd",
    "gammaincinv:dd", "huber:dd", "hyp0f1:dd", "hyp1f1:ddd", "hyp2f1:dddd", "i0:d", "i0e:d",
    "i1:d", "i1e:d", "inv_boxcox:dd", "iv:dd", "ive:dd", "j0:d", "j1:d", "jv:dd", "k0:d",
    "k0e:d", "k1:d", "k1e:d", "kl_div:dd", "kn:ld->d", "kv:dd", "kve:dd", "log_expit:d",
    "loggamma:d", "ndtr:d", "ndtri:d", "pdtr:dd", "pdtrc:dd", "pseudo_huber:dd", "rel_entr:dd",
    "shichi:d->dd", "sici:d->dd", "stdtr:dd", "stdtrit:dd", "struve:dd", "wofz:D->D",
    "xlog1py:dd", "y0:d", "y1:d", "yn:ld->d", "yv:dd",
]  # fmt: skip
"""Functions of `scipy.special` and their arguments; with results, those that it shows as ufuncs."""
SPECIAL = AddressTable("dualtape_special", 2, SPECIAL_FUNCTIONS, _find_special)


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
