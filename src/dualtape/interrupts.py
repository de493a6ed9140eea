"""Ctrl-C waits while Numba's tables are filled, and nowhere else.

Numba's contexts read what thousands of functions register as they are first used, and take every
entry from a list that is gone then; a module that registers functions and is interrupted registers
them again when it is imported again.  What half of it knows is lost to all of Numba, so an
interrupt in these half seconds is delivered when they are over.

Numba internals used (seen in 0.66 to 0.68): ``refresh`` of both contexts.
"""

from __future__ import annotations

import contextlib
import functools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

from numba.core import base
from numba.core.typing import context as typing_context

__all__ = ["held"]


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Deliver an interrupt that comes inside when this is left.

    Only the main thread gets any; a handler that is not Python's cannot be put back, and stays.
    """
    handler: Any = None
    if threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        yield
        return
    waiting: list[Any] = []
    signal.signal(signal.SIGINT, lambda *told: waiting.append(told))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if waiting:
            handler(*waiting[-1])


def _held(refresh: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(refresh)
    def refresh_whole(context: Any) -> None:
        with held():
            refresh(context)

    return refresh_whole


for _context in (base.BaseContext, typing_context.BaseContext):
    _context.refresh = _held(_context.refresh)
