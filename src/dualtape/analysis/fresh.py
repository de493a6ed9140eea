"""Functions and attributes that are known to make new arrays, which share no memory.

Everything not listed here may return a view of its arguments, or an argument itself: `writes`
treats the unknown as an alias.  So a function is listed only if its result is new for every
argument that Numba accepts (tests/test_views.py compares the memory of the results).
"""

from __future__ import annotations

import builtins
import cmath
import math
from types import BuiltinFunctionType
from typing import Any

import numpy as np
from numba.np.ufunc.dufunc import DUFunc
from numba.np.unsafe.ndarray import empty_inferred
from numba.stencils.stencil import StencilFunc

from ..arrays.conversion import array_from
from ..rules.rule import Rule

CONSTRUCTORS = {
    np.zeros, np.ones, np.empty, np.full, np.array, np.eye, np.identity, np.linspace, np.arange,
    np.zeros_like, np.ones_like, np.empty_like, np.full_like, np.copy, array_from,
}  # fmt: skip
_NUMPY = """
    all allclose amax amin angle any append argmax argmin argpartition argsort argwhere around
    array_equal average bincount clip column_stack concatenate convolve corrcoef correlate
    count_nonzero cov cross cumprod cumsum delete diag diag_indices diag_indices_from diagflat diff
    digitize dot dstack ediff1d extract flatnonzero geomspace histogram hstack indices insert interp
    intersect1d isclose iscomplex iscomplexobj isin isneginf isposinf isreal isrealobj kron logspace
    max mean median min nanargmax nanargmin nancumprod nancumsum nanmax nanmean nanmedian nanmin
    nanpercentile nanprod nanquantile nanstd nansum nanvar ndim nonzero outer partition percentile
    prod ptp quantile repeat roll round searchsorted select setdiff1d setxor1d shape sinc size
    sort stack std sum take take_along_axis trace trapezoid tri tril tril_indices tril_indices_from
    triu triu_indices triu_indices_from union1d unique unwrap vander var vdot vstack where
"""
_LINALG = """
    cholesky cond det eig eigh eigvals eigvalsh inv lstsq matrix_power matrix_rank norm pinv qr
    slogdet solve svd
"""
_BUILTINS = """
    abs all any bool chr complex divmod float hash hex id int isinstance len max min oct ord pow
    print range round slice str sum type
"""
NEW = CONSTRUCTORS | {empty_inferred}
NEW |= {getattr(np, name) for name in _NUMPY.split() if hasattr(np, name)}
NEW |= {getattr(builtins, name) for name in _BUILTINS.split()}
NEW |= {f for module in (math, cmath) for f in vars(module).values() if callable(f)}
NEW |= {getattr(np.linalg, name) for name in _LINALG.split()}
NEW |= {f for f in vars(np.random).values() if isinstance(f, BuiltinFunctionType)}
NEW |= {f for f in vars(np).values() if isinstance(f, type) and issubclass(f, np.generic)}
"""Functions, of Python and of NumPy as Numba compiles it, whose results are new."""
INPUTS = {np.clip: 3, np.round: 2, np.around: 2, np.dot: 2, np.nan_to_num: 1, sum: 1}
"""How many arguments these functions read; one more may be written to and returned."""
NO_VIEWS = {"shape", "size", "ndim", "dtype", "strides", "itemsize", "nbytes", "flags"}
"""Attributes that are not views of an array's memory."""
_METHODS = """
    all any argmax argmin argsort astype clip conj conjugate copy cumprod cumsum dot fill flatten
    item max mean min nonzero prod ptp repeat sort std sum take tobytes var
"""
_DRAWS = {name for name in vars(np.random.Generator) if not name.startswith("_")}
NEW_METHODS = _DRAWS | set(_METHODS.split())
"""Methods of arrays and of generators of random numbers whose results are new."""


def makes_new(function: Any, count: int, keywords: Any) -> bool:
    """Whether a function makes a new array if called with this number of arguments and keywords."""
    if "out" in keywords or "copy" in keywords:
        return False
    inputs = inputs_of(function)
    if inputs is not None:
        return count <= inputs
    if getattr(function, "copies_arguments", False):  # the result of a transform
        return not getattr(function, "shows_arguments", False)
    return isinstance(function, Rule | StencilFunc) or is_in(function, NEW)


def is_known_reader(function: Any) -> bool:
    """Whether a function is known not to write to its arguments, but for those listed as writers.

    These are functions of Python, NumPy and this package, rules, and the results of transforms.
    """
    module = (getattr(function, "__module__", None) or "").partition(".")[0]
    is_library = module in _READERS or getattr(function, "copies_arguments", False)
    kinds = Rule | StencilFunc | np.ufunc | DUFunc | type
    return is_library or isinstance(function, kinds) or is_in(function, NEW)


_READERS = {"numpy", "math", "cmath", "builtins", "operator", "_operator", "dualtape"}


def inputs_of(function: Any) -> int | None:
    """Return how many arguments a function reads, if it writes to further ones; else None."""
    if isinstance(function, np.ufunc | DUFunc):
        return int(function.nin)
    return INPUTS[function] if is_in(function, INPUTS) else None


def is_in(function: Any, functions: Any) -> bool:
    """Whether a constant, which may be unhashable, is in a set of functions."""
    try:
        return function in functions
    except TypeError:  # unhashable
        return False
