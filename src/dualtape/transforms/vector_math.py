"""The switch for vector forms of mathematical functions in loops over arrays."""

from __future__ import annotations

from ..backend import vector_math
from ..errors import ArgumentError
from ..functions.memo import CollectableDispatcher


def set_vector_math(flag: bool) -> bool:
    """Set whether array expressions use vector mathematics; return the previous setting.

    In reverse mode and in `jvp` an expression of arrays that nobody writes to is a loop in which
    exp, log, sin, tanh, erf ... are taken from the C library four or eight at a time (glibc's
    libmvec), each within 4 units in the last place of the exact value, and in which a sum is made
    of eight.  So a value, and a branch on it, can differ from the plain function's in the last
    digits.
    With ``set_vector_math(False)``, or ``DUALTAPE_VECTOR_MATH=0`` in the environment, the value of
    a derivative is that of the plain function bit for bit, but for products of matrices.

    Derivatives called from Python are compiled again after a change.  Code of ``@njit`` functions
    that call a derivative keeps what it was compiled with, as Numba's code does.

    Parameters
    ----------
    flag : bool
        Whether to use it.

    Raises
    ------
    ArgumentError
        If it is not a bool.

    Examples
    --------
    >>> import dualtape as ad
    >>> before = ad.set_vector_math(False)
    >>> ad.set_vector_math(before)
    False
    """
    if not isinstance(flag, bool):
        raise ArgumentError(f"set_vector_math: {flag!r} is not True or False")
    before = vector_math.switch(flag)
    if before != flag:
        for derivative in list(CollectableDispatcher.alive):
            derivative.forget()
    return before
