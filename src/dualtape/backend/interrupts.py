"""Ctrl-C waits while Numba's tables are filled, and nowhere else.

When they are first used, Numba's contexts take the registrations of thousands of functions from a
list, entry by entry; a module that is interrupted while it registers functions registers them again
when it is imported again.  Entries lost halfway are lost to all of Numba, so an interrupt during
these half seconds is delivered afterwards.

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


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[None]:
    """Deliver an interrupt that arrives inside at the end.

    Only the main thread gets any; a handler that is not Python's could not be restored, and stays.
    """
    handler: Any = None
    if threading.current_thread() is threading.main_thread():
        handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        yield
        return
    waiting: list[Any] = []
    signal.signal(signal.SIGINT, lambda *arguments: waiting.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
        if waiting:
            handler(*waiting[-1])


def _uninterrupted(refresh: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(refresh)
    def refresh_whole(context: Any) -> None:
        with interrupts_deferred():
            refresh(context)

    return refresh_whole


for _context in (base.BaseContext, typing_context.BaseContext):
    _context.refresh = _uninterrupted(_context.refresh)
