"""Where this process has the functions of `scipy.special` that `special` calls.

Internals used: the names and signatures of ``__pyx_capi__`` (seen in SciPy 1.13 to 1.17), and the
fields of a ufunc, which are part of NumPy's C interface (``ufuncobject.h``).
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np


class _Ufunc(ctypes.Structure):
    """The beginning of NumPy's ``PyUFuncObject``."""

    _fields_ = [
        ("head", ctypes.c_ssize_t * 2),
        ("counts", ctypes.c_int * 4),
        ("functions", ctypes.POINTER(ctypes.c_void_p)),
        ("data", ctypes.POINTER(ctypes.c_void_p)),
        ("ntypes", ctypes.c_int),
    ]


def find_ufunc(name: str) -> Any:
    """Return a ufunc of `scipy.special`, also one that only its Python functions call."""
    import scipy.special  # noqa: PLC0415  # slow to import

    modules = [scipy.special, *(getattr(scipy.special, m, None) for m in _MODULES)]
    found = (getattr(module, name, None) for module in modules)
    return next((function for function in found if isinstance(function, np.ufunc)), None)


_MODULES = ("_ufuncs", "_special_ufuncs")


def find_special(described: str) -> tuple[int, int]:
    """Return the address of a function and, for a loop, what it is passed; zeros for none."""
    name, codes = described.split(":")
    return _find_loop(name, codes) if "->" in codes else (_find_c(name, len(codes)), 0)


def _find_loop(name: str, codes: str) -> tuple[int, int]:
    ufunc = find_ufunc(name)
    if ufunc is None or codes not in ufunc.types:
        return 0, 0
    loops, i = _Ufunc.from_address(id(ufunc)), ufunc.types.index(codes)
    return loops.functions[i] or 0, loops.data[i] or 0


def _find_c(name: str, count: int) -> int:
    """Return the address of the C function of doubles; some have a version for each type."""
    from scipy.special import cython_special  # noqa: PLC0415  # slow to import

    signature = f"double ({'double, ' * count}int __pyx_skip_dispatch)".encode()
    is_valid, pointer = ctypes.pythonapi.PyCapsule_IsValid, ctypes.pythonapi.PyCapsule_GetPointer
    is_valid.argtypes = pointer.argtypes = (ctypes.py_object, ctypes.c_char_p)
    pointer.restype = ctypes.c_void_p
    for version in ("", *(f"__pyx_fuse_{i}" for i in range(4))):
        capsule = cython_special.__pyx_capi__.get(version + name)
        if capsule is not None and is_valid(capsule, signature):
            return int(pointer(capsule, signature))
    return 0
