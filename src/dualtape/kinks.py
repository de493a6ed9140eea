"""Where one-sided derivatives differ: ties, and norms of vectors that begin with zeros.

A tie of several elements has the derivative of least norm, which is the mean of theirs.  The value
is any of theirs, not a mean of values: with infinities that would be NaN.

A norm is a chain of `hypot`, and hypot(0, 0) is a kink with derivative 0.  Begun at a zero, the
chain would lose the second derivatives by every zero that it meets before its first other
element: those of ``norm((0, 3))`` are diag(1/3, 0).  So it begins with another element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._jit import kernel
from .elementary import register, value
from .jets import level_of
from .seed import element_like

__all__ = ["euclidean", "tied"]

TINY = 1e-290  # what is smaller has a reciprocal that may overflow


def tied(mean: Any, x: Any, count: Any) -> Any:
    """Return the mean of `count` tied elements: `x` and the mean of the others (compiled only)."""
    raise NotImplementedError


def _tied(mean: Any, x: Any, count: Any) -> Any:
    if not level_of(mean):
        return mean
    weight = 1.0 / count
    entries = _tied(mean.value, x.value, count), 1.0 - weight, weight, None, None, None
    return mean.lift2(x, entries)


register(tied, _tied)


@kernel
def euclidean(a: Any) -> Any:
    """Square root of the sum of squares; its derivative at zero is 0, the one of least norm."""
    first, h = leader(a), element_like(a)
    for i, x in enumerate(a.flat):
        if i == first:
            h = np.abs(x)
    for i, x in enumerate(a.flat):
        if i != first:
            h = np.hypot(h, x)
    return h


@kernel
def leader(a: Any) -> int:
    """Return the index of the first element that is not tiny, else of the largest."""
    found, largest = 0, 0.0
    for i, x in enumerate(a.flat):
        size = np.abs(value(x))
        if not size <= TINY:
            return i
        if size > largest:
            found, largest = i, size
    return found
