"""What is compared: a function, its derivative by several libraries, as data."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

# All candidates compute the same derivative by other sums: some dozens of roundings, times the
# condition of the problem.
AGREEMENT = 1e-9


def as_array(result):
    """Return a result of any library as one flat array."""
    if hasattr(result, "toarray"):
        result = result.toarray()
    if isinstance(result, tuple | list):
        return np.concatenate([as_array(part) for part in result])
    return np.asarray(result, dtype=float).ravel()


class Call(NamedTuple):
    """What is timed: ``function(*args)``; `read` makes an array of what it returns."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    read: Callable[[Any], np.ndarray] = as_array


@dataclass(frozen=True)
class Candidate:
    """One library's way to the derivative.

    `make` does what its user does once: imports, transforms, converts arguments.  `needs` names the
    module that must be installed, `slow` ones are left out of quick runs and of smoke runs.
    """

    library: str
    mode: str
    make: Callable[[], Call]
    needs: str = ""
    slow: bool = False

    @property
    def label(self):
        """Return the name of a row: library and mode."""
        return f"{self.library}, {self.mode}" if self.mode else self.library


@dataclass(frozen=True)
class Problem:
    """A derivative to compute.

    `primal` is the plain njit function, the unit of all ratios, and `reference` returns the
    derivative every candidate has to agree with.  Problems of one `series` differ in `size` and
    make one curve of the figure.
    """

    name: str
    title: str
    primal: Callable[..., Any]
    args: tuple[Any, ...]
    reference: Callable[[], Any]
    candidates: Sequence[Candidate]
    unit: str = "the njit function"
    series: str = ""
    size: int = 0
    rtol: float = AGREEMENT
    slow: bool = False  # left out of quick runs


def by_hand(derivative, *args):
    """Return the candidate written by hand under njit."""
    return Candidate("hand", "", lambda: Call(derivative, args))


def by_dualtape(mode, transform, *args, slow=False):
    """Return a candidate of this package; `transform` is called once and returns the function."""
    return Candidate("dualtape", mode, lambda: Call(transform(), args), slow=slow)
