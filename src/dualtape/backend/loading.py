"""Modules that register functions with Numba are imported when something first compiles.

Some eighty modules of the package register about 1,500 functions and templates.  Only compiling
needs them, so an import of the package, and a process that finds its derivatives on disk, do
without.  Every pass of Numba's compiler is announced by an event; before the first one, for any
function (it may name `dualtape`, or hold one of its numbers), all of them are imported.  So the
order in which functions are registered does not depend on what is compiled.

An entry point ``numba_extensions`` would do so in every process of an environment that uses Numba,
and not at all if the package is only found by its path.

Code that was found on disk needs less of Numba, too; see `cache_entry`.

Numba internals used (seen in 0.66 to 0.68): that passes run under the compiler's lock.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import event
from numba.core.registry import cpu_target

from .interrupts import interrupts_deferred


class Loader(event.Listener):
    """Calls a function once, before the first pass of Numba's compiler."""

    def __init__(self, load: Callable[[], None]) -> None:
        self._load: Callable[[], None] | None = load

    def on_start(self, event: Any) -> None:
        """Load; other threads that compile wait, and so does an interrupt."""
        if self._load is not None:  # passes run under the compiler's lock
            with interrupts_deferred():
                self._load()
                cpu_target.target_context.refresh()  # this compilation has done so before
                self._load = None

    def on_end(self, event: Any) -> None:
        """Do nothing."""


_LOADERS: list[Loader] = []


def before_compilation(load: Callable[[], None]) -> None:
    """Call `load` before anything is compiled from now on."""
    _LOADERS.append(Loader(load))
    event.register("numba:run_pass", _LOADERS[-1])


def load() -> None:
    """Import now what the first compilation would import; under the compiler's lock."""
    for loader in _LOADERS:
        loader.on_start(None)
