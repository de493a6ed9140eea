"""What was made for a function is remembered on the function, and goes when the function goes.

Numba internals used (seen in 0.66 to 0.68): ``Dispatcher.add_overload`` and the field
``type_annotation`` of a compile result, which only ``inspect_types`` reads;
``Dispatcher._make_finalizer`` and ``_reset_overloads``.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

from numba.core.registry import CPUDispatcher

__all__ = ["Forgetful", "remembered"]

_LOCK = threading.Lock()


class Forgetful(CPUDispatcher):
    """A dispatcher that can be collected with the function that remembers it.

    Numba keeps the overloads of a dispatcher while it lives, their annotation keeps the function,
    and the function keeps the dispatcher.
    """

    alive: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alive.add(self)

    def add_overload(self, cres: Any) -> None:
        """Keep compiled code without its annotation."""
        super().add_overload(cres._replace(type_annotation=None))

    def forget(self) -> None:
        """Drop compiled code, as ``Dispatcher.recompile`` does, and what was found on disk."""
        self._make_finalizer()()
        self._reset_overloads()
        self._cache.__dict__.pop("_identity", None)


def remembered(function: Any, key: Any, make: Callable[[], Any]) -> Any:
    """Return what was made for this function and key before, or make it.

    The memory names its owner because functools.wraps copies attributes to other functions.
    """
    with _LOCK:
        owner, memory = getattr(function, "_dualtape_memory", (None, {}))
        if owner is None or owner() is not function:
            memory = {}
            function._dualtape_memory = (weakref.ref(function), memory)
    if key in memory:
        return memory[key]
    # Making may compile, which takes Numba's lock: it is not held under ours. Of two threads that
    # make the same thing, both get what was kept first.
    return memory.setdefault(key, make())
