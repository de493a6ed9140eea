"""Functions that a user registered with ``numba.extending``, on active numbers.

``register_jitable`` compiles a function from its own source, so it has a twin like any other.  For
``overload`` the implementation that the user's function returns for the plain types is what the
plain function runs; its twin takes the numbers.

Numba internals used (seen in 0.66 to 0.68): ``typing_context._lookup_global``, the templates of a
function type and their ``_overload_func``.
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba.core import types
from numba.core.registry import cpu_target

from ..backend.jit import by_type
from ..functions.libraries import is_library
from ..functions.memo import remembered
from ..numbers.types import highest_number, plain_type


def overloads_of(function: Any) -> list[Any]:
    """Return the functions that choose implementations of a user's function by types."""
    if not isinstance(function, FunctionType) or is_library(function):
        return []
    ty = cpu_target.typing_context._lookup_global(function)
    templates = getattr(ty, "templates", ())
    return [t._overload_func for t in templates if hasattr(t, "_overload_func")]


def is_own_source(choosers: list[Any]) -> bool:
    """Whether a function was registered by ``register_jitable``."""
    return any(f.__module__ == "numba.core.extending" for f in choosers)


def overloaded_twin(function: Any, twin: Callable[[Any], Any]) -> Any:
    """Return what stands for a user's overloaded function in a twin; None for other values."""
    choosers = overloads_of(function)
    if not choosers or is_own_source(choosers):
        return None

    def make() -> Any:
        def choose(*args: Any) -> Any:
            if highest_number(types.Tuple(args)) is None:
                return lambda *args: function(*args)
            plain = [plain_type(types.unliteral(ty)) for ty in args]
            for chooser in choosers:
                implementation = chooser(*plain)
                if implementation is not None:
                    active = twin(implementation)
                    return lambda *args: active(*args)
            return None

        result = by_type(choose)
        cpu_target.typing_context.refresh()
        cpu_target.target_context.refresh()
        return result

    return remembered(function, ("overloaded", twin), make)
