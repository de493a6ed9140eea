"""A message on stderr when a compilation takes long, and the switch that turns it off."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

from ..errors import ArgumentError
from .forking import Lock

PATIENCE = 3.0
"""Seconds after which a compilation is long."""


class _State:
    """Whether messages are allowed, and whether the one message was printed."""

    def __init__(self) -> None:
        self.is_verbose = os.environ.get("DUALTAPE_VERBOSE", "1").lower() not in (
            "0",
            "no",
            "false",
        )
        self.was_said = False
        self.lock = Lock()


_STATE = _State()


def set_verbose(flag: bool) -> bool:
    """Set whether long compilations are announced on stderr; return the previous setting.

    When a compilation first takes more than three seconds, a message says what is compiled and
    where its kernels are cached. ``DUALTAPE_VERBOSE=0`` in the environment does the same as
    ``set_verbose(False)``.

    Parameters
    ----------
    flag : bool
        Whether to announce them.

    Raises
    ------
    ArgumentError
        If it is not a bool.

    Examples
    --------
    >>> import dualtape as ad
    >>> before = ad.set_verbose(False)
    >>> ad.set_verbose(before)
    False
    """
    if not isinstance(flag, bool):
        raise ArgumentError(f"set_verbose: {flag!r} is not True or False")
    before, _STATE.is_verbose = _STATE.is_verbose, flag
    return before


@contextlib.contextmanager
def announced(name: str) -> Iterator[None]:
    """Announce what is compiled inside, if it takes long and nothing was announced before."""
    if _STATE.was_said or not _STATE.is_verbose:
        yield
        return
    timer = threading.Timer(PATIENCE, _say, [name])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _say(name: Any) -> None:
    with _STATE.lock:
        if _STATE.was_said or not _STATE.is_verbose:
            return
        _STATE.was_said = True
    from .disk_cache import folder  # noqa: PLC0415  # only needed here, in the timer's thread

    try:
        where = f"its kernels are kept in {folder()}, so the next time is quicker"
    except OSError:
        where = "nothing is kept: no cache folder is writable (set NUMBA_CACHE_DIR)"
    print(
        f"dualtape: compiling {name}; {where}. DUALTAPE_VERBOSE=0 or dualtape.set_verbose(False) "
        "silences this.",
        file=sys.stderr,
        flush=True,
    )
