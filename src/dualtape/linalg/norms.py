"""Norms of vectors and matrices of active numbers; where they are zero see `kinks`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from ..arrays.kinks import euclidean, square_of_norm
from ..arrays.reductions import extreme
from ..arrays.tracked_sums import tracked_squares
from ..backend.jit import by_type, generic, is_missing, kernel
from ..errors import ArgumentValueError
from ..numbers.access import as_number, element_like, empty_numbers
from .inverse import inverse
from .singular import singular_values

NO_SUCH_NORM = (
    "np.linalg.norm of a matrix of active numbers: the orders are None, 'fro', 'nuc', 1, -1, 2, "
    "-2, inf, -inf"
)


@by_type
def norm(a: Any, ord: Any = None) -> Any:
    """np.linalg.norm; its derivative at zero is 0, the element of least norm."""
    if is_missing(ord):
        return lambda a, ord: euclidean(a)
    if isinstance(ord, types.UnicodeType):
        return _named_norm
    return _vector_norm if a.ndim == 1 else _matrix_norm


@by_type
def sum_of_squares(a: Any) -> Any:
    """Square of the Euclidean norm."""
    if getattr(a.dtype, "slots", 0):
        return tracked_squares

    def squares(a: Any) -> Any:
        s = element_like(a)
        for x in a.flat:
            s = s + x * x
        return s

    return squares


def _named_norm(a: Any, ord: Any) -> Any:
    if ord == "fro":
        return euclidean(a)
    if ord != "nuc":
        raise ArgumentValueError(NO_SUCH_NORM)
    return as_number(np.sum(singular_values(a)), element_like(a))


def _vector_norm(a: Any, ord: Any) -> Any:
    like = element_like(a)
    if ord == 2:
        return as_number(euclidean(a), like)
    if ord == np.inf:
        return as_number(greatest(np.abs(a), 1.0), like)
    if ord == -np.inf:
        return as_number(greatest(np.abs(a), -1.0), like)
    if ord == 0:
        return as_number(float(np.count_nonzero(a)), like)
    s = like
    if ord == 1:
        for x in a:
            s = s + np.abs(x)
        return s
    for x in a:
        s = s + np.abs(x) ** ord
    return as_number(s ** (1.0 / ord), like)


def _matrix_norm(a: Any, ord: Any) -> Any:
    if abs(ord) == 1:
        return greatest(absolute_sums(a.T), np.sign(ord) * 1.0)
    if abs(ord) == np.inf:
        return greatest(absolute_sums(a), np.sign(ord) * 1.0)
    if abs(ord) == 2:
        return singular_values(a)[0 if ord > 0 else -1]
    raise ArgumentValueError(NO_SUCH_NORM)


@kernel
def greatest(a: Any, sign: Any) -> Any:
    """Return the largest of sign * a, as an element of a; ties are split evenly."""
    if a.size == 0:
        return element_like(a)
    return extreme(a.flat, sign, element_like(a), True)


@kernel
def absolute_sums(a: Any) -> Any:
    """Return the sum of the absolute values in every row."""
    out = empty_numbers((a.shape[0],), element_like(a))
    for i in range(a.shape[0]):
        s = element_like(a)
        for x in a[i]:
            s = s + np.abs(x)
        out[i] = s
    return out


@by_type
def condition(a: Any, p: Any = None) -> Any:
    """np.linalg.cond: the product of the norms of a matrix and of its inverse."""
    if is_missing(p):
        return lambda a, p: ratio(a)
    return _named_condition if isinstance(p, types.UnicodeType) else _condition


def _named_condition(a: Any, p: Any) -> Any:
    return norm(a, p) * norm(inverse(a), p)


def _condition(a: Any, p: Any) -> Any:
    if p == 2:
        return ratio(a)
    if p == -2:
        s = singular_values(a)
        return s[-1] / s[0]
    return norm(a, p) * norm(inverse(a), p)


@generic
def ratio(a: Any) -> Any:
    """Return the largest singular value over the smallest."""
    s = singular_values(a)
    return s[0] / s[-1]


NORMS = {np.linalg.norm: norm, square_of_norm: sum_of_squares}
