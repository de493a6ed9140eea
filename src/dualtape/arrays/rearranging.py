"""Functions of NumPy that pick, place, combine or compare elements, as plain loops.

They replace Numba's versions that need a NumPy dtype, which numbers lack, or that would choose one
of several elements at a tie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from ..backend.jit import by_type, kernel
from ..numbers.access import element_like, empty_numbers
from ..numbers.registration import value
from .conversion import as_array, promoted_zero, values
from .primal import primal_of
from .reductions import extreme


@kernel
def trace(a: Any, offset: Any = 0) -> Any:
    """np.trace of a matrix."""
    s = element_like(a)
    down, right = max(0, -offset), max(0, offset)
    for i in range(max(0, min(a.shape[0] - down, a.shape[1] - right))):
        s = s + a[i + down, i + right]
    return s


@kernel
def fill_diagonal(a: Any, x: Any) -> None:
    """np.fill_diagonal of a matrix."""
    for i in range(min(a.shape)):
        a[i, i] = x


@kernel
def extract(condition: Any, a: Any) -> Any:
    """np.extract."""
    return a.copy().reshape(a.size)[condition.copy().reshape(condition.size)]


@kernel
def ediff1d(a: Any) -> Any:
    """np.ediff1d."""
    flat = a.copy().reshape(a.size)
    return flat[1:] - flat[:-1]


@kernel
def linspace(start: Any, stop: Any, num: Any = 50) -> Any:
    """np.linspace between numbers of which at least one is active."""
    out = empty_numbers((num,), promoted_zero(start, stop, 0.0))
    if num == 1:
        out[0] = start
    if num > 1:
        step = (stop - start) / (num - 1.0)
        for i in range(num - 1):
            out[i] = start + i * step
        out[num - 1] = stop
    return out


@by_type
def append(a: Any, more: Any) -> Any:
    """np.append without an axis."""
    if not isinstance(a, types.Array):
        return None
    if isinstance(more, types.Array):
        return lambda a, more: np.concatenate((np.ravel(a), np.ravel(more)))

    def one_more(a: Any, more: Any) -> Any:
        out = empty_numbers((a.size + 1,), promoted_zero(a, more, 0.0))
        out[:-1] = np.ravel(a)
        out[-1] = more
        return out

    return one_more


# Reductions that skip NaN


@kernel
def nansum(a: Any) -> Any:
    """np.nansum."""
    s = element_like(a)
    for x in a.flat:
        if value(x) == value(x):
            s = s + x
    return s


@kernel
def nanprod(a: Any) -> Any:
    """np.nanprod."""
    p = element_like(a) + 1.0
    for x in a.flat:
        if value(x) == value(x):
            p = p * x
    return p


@kernel
def nanmean(a: Any) -> Any:
    """np.nanmean."""
    count = 0.0
    for x in a.flat:
        if value(x) == value(x):
            count += 1.0
    return nansum(a) / count


@kernel
def nanmax(a: Any) -> Any:
    """np.nanmax; ties are split evenly."""
    return greatest_without_nan(a, 1.0)


@kernel
def nanmin(a: Any) -> Any:
    """np.nanmin; ties are split evenly."""
    return greatest_without_nan(a, -1.0)


@kernel
def greatest_without_nan(a: Any, sign: Any) -> Any:
    """Return the largest of sign * a among those that are not NaN; NaN if all are."""
    flat = np.ravel(a)
    comparable = flat[~np.isnan(values(flat))]
    return extreme(comparable.flat if comparable.size else flat.flat, sign, element_like(a), True)


# Comparisons of primals


@kernel
def isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Any:
    """np.isclose of the primals."""
    return np.isclose(primal_of(a), primal_of(b), rtol, atol, equal_nan)


@kernel
def allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Any:
    """np.allclose of the primals."""
    return np.allclose(primal_of(a), primal_of(b), rtol, atol, equal_nan)


@kernel
def array_equal(a: Any, b: Any) -> Any:
    """np.array_equal of the primals."""
    return np.array_equal(primal_of(a), primal_of(b))


COMBINATIONS = {
    np.trace: trace,
    np.fill_diagonal: fill_diagonal,
    np.extract: extract,
    np.ediff1d: ediff1d,
    np.nansum: nansum,
    np.nanprod: nanprod,
    np.nanmean: nanmean,
    np.nanmax: nanmax,
    np.nanmin: nanmin,
    np.isclose: isclose,
    np.allclose: allclose,
    np.array_equal: array_equal,
}
FROM_SCALARS = {np.linspace: linspace, np.append: append}
FROM_SEQUENCES = {np.asarray: as_array}
