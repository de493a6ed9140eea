"""What was made for a function is remembered on the function, and goes when the function goes."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

__all__ = ["remembered"]


def remembered(function: Any, key: Any, make: Callable[[], Any]) -> Any:
    """Return what was made for this function and key before, or make it.

    The memory names its owner because functools.wraps copies attributes to other functions.
    """
    memory: dict[Any, Any]
    owner, memory = getattr(function, "_dualtape_memory", (None, {}))
    if owner is None or owner() is not function:
        memory = {}
        function._dualtape_memory = (weakref.ref(function), memory)
    if key not in memory:
        memory[key] = make()
    return memory[key]
