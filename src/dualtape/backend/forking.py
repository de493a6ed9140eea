"""A forked process finds no lock held by a thread that it does not have.

Python forks the calling thread alone.  A compilation in another thread would stay unfinished in the
child, which could never take the compiler's lock: so a fork waits until nothing is being compiled.
Locks that are only held for a moment are replaced in the child.

Numba internals used (seen in 0.66 to 0.68): ``global_compiler_lock``.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from typing import Any, ClassVar

from numba.core.compiler_lock import global_compiler_lock


class Lock:
    """A reentrant lock that is free in every new process."""

    _all: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._all.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(RuntimeError):  # in a child of the thread that held it
            self._lock.release()

    @classmethod
    def _free_all(cls) -> None:
        for lock in cls._all:
            lock._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=global_compiler_lock.acquire,
        after_in_parent=global_compiler_lock.release,
        after_in_child=global_compiler_lock.release,
    )
    os.register_at_fork(after_in_child=Lock._free_all)
