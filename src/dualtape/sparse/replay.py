"""Sparse Jacobians without a tape: when they are captured and replayed, called from Python.

A `Replay` is the structure of one recording, and the compiled function that computes entries as
long as nothing that decides the structure differs.  `Replays` are those of one sparse Jacobian.

The first calls record tapes.  Another two versions of the function are compiled when recording has
taken as long as that would, which costs at most twice the time of the better choice in hindsight;
likewise, a new structure is captured when recording it has taken as long as a capture.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

import numpy as np

from ..drivers.dispatcher import Transform
from ..drivers.live import LiveTransform
from ..errors import DualtapeError
from ..tape.pool import release_tape
from .pattern import captured_structure
from .places import Places, header_of, places_of
from .replay_driver import NO_LEASE

COMPILING = 0.5  # seconds of recording before the versions for replays are compiled
CAPTURING = 0.01  # at first; then what the last capture took


class Replay:
    """The Jacobian of a function for one known structure."""

    __slots__ = ("_arrays", "_glance", "address", "call", "kind", "memory", "order", "state")

    def __init__(
        self, core: Any, places: Places, known: Any, key: Any, layout: tuple[Any, Any]
    ) -> None:
        header, self._arrays = header_of(places, known, key)
        self.address: int = header.ctypes.data
        frame, self.order = layout
        self.kind, self.state = frame.__class__, frame.__dict__  # of the matrices
        self.memory: Any = None
        self._glance: Any = None
        self.call: Any = core
        if isinstance(core, LiveTransform):
            self.call, self.memory, self._glance = core.version(), core.memory, core.memory.glance

    def is_current(self) -> bool:
        """Whether what the function reads from outside is as it was."""
        glance = self._glance
        try:
            return glance is self.memory.glance and bool(glance.is_same())
        except KeyError:  # a name that is gone
            return False


class Replays:
    """The replays of one sparse Jacobian.

    Parameters
    ----------
    capture, replay : callable
        Make the compiled functions, see `replay_driver`.
    inputs : tuple of int
        Positions of the differentiated arguments, and of the one that is written to.
    method : str
        As in `sparse_jacobian`.
    """

    def __init__(
        self,
        capture: Callable[[], Transform],
        replay: Callable[[], Transform],
        inputs: tuple[int, ...],
        method: str,
    ) -> None:
        self.present: Replay | None = None
        self._make_capture, self._make_replay = capture, replay
        self._inputs, self._method = inputs, method
        self._spent, self._patience = 0.0, COMPILING
        self._is_possible = method != "coloring"

    def miss(self) -> None:
        """Forget the present replay: something that decides the structure is another now."""
        self.present, self._spent = None, 0.0

    def is_due(self, seconds: float) -> bool:
        """Note that a recording of the known structure took this long; whether to capture now."""
        self._spent += seconds
        return self._is_possible and self._spent >= self._patience

    def capture(self, args: tuple[Any, ...], n: int, layout: Callable[..., Any]) -> None:
        """Capture the structure at these arguments, with n inputs, if it can be replayed.

        ``layout(indptr, indices, shape)`` returns the frame of the matrices, and the order of the
        entries in them.
        """
        if not self._is_possible:
            return
        start = perf_counter()
        try:
            self.present = self._captured(args, n, layout)
        except (DualtapeError, OverflowError):  # a function, or an integer, of another kind
            self._is_possible = False
        self._patience = CAPTURING if self._patience == COMPILING else perf_counter() - start
        self._spent = 0.0

    def _captured(self, args: tuple[Any, ...], n: int, layout: Callable[..., Any]) -> Replay | None:
        address, rows = self._make_capture()(0, *args)
        if address <= 0:
            self._is_possible = address == NO_LEASE
            return None
        try:
            structure, known = captured_structure(address)
        finally:
            release_tape(address)
        places = None
        if not len(structure.blocks):
            places = places_of(structure, rows, n, self._method)
        if places is None or places.size == 0:
            self._is_possible = False
            return None
        key = np.array(list(self._key(args)), np.int64)
        frame = layout(*places.pattern, (rows.size, n))
        replay = Replay(self._make_replay(), places, known, key, frame)
        found = replay.call(replay.address, *args)  # compiles it
        entries = found[-1] if isinstance(found, tuple) else found
        self._is_possible = entries.size == places.size
        return replay if self._is_possible else None

    def _key(self, args: tuple[Any, ...]) -> Iterator[int]:
        for i, arg in enumerate(args):
            is_input = i in {k % len(args) for k in self._inputs}
            yield from _key_of(arg, is_input)


def _key_of(arg: Any, is_input: bool) -> Iterator[int]:
    """Iterate over the integers that `matched` compares, for one argument."""
    if isinstance(arg, tuple):
        for item in arg:
            yield from _key_of(item, is_input)
    elif isinstance(arg, np.ndarray | list | range):
        array = np.asarray(arg)
        yield from array.shape
        if array.dtype.kind in "iub" and not is_input:
            with contextlib.suppress(OverflowError):
                yield from array.ravel().astype(np.int64).tolist()
    elif isinstance(arg, bool | int | np.integer | np.bool_) and not is_input:
        yield int(arg)
