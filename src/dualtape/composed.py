"""Functions made of users' functions: compiled as they are, or built into larger ones.

What the package builds around a user's function names its twin, so it works on plain and on active
numbers, and is handed out as a `Transform`: called from Python, from compiled code, and inside of
functions that are differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .activate import twin
from .driver import Transform
from .live import live
from .making import cached, checked_function, name_of, py_func_of
from .memory import remembered
from .positional import same_signature
from .recomputing import plain_call

__all__ = ["composed", "evaluated"]


def composed(
    choose: Callable[[Any], Any], signature: Any, inputs: tuple[int, ...], name: str
) -> Transform:
    """Return a transform that runs the function that `choose` gives for the argument types.

    The function is plain code that names twins of users' functions, and transforms of these.
    """

    def driver(typingctx: Any, packed: Any) -> Any:
        return plain_call(typingctx, twin(choose(packed)), packed)

    return Transform(same_signature(signature), driver, inputs, name)


@live
def evaluated(f: Any, kind: str) -> Any:
    """Return f compiled: a fast value that is the one its derivatives belong to."""
    function = checked_function(f, kind)
    if hasattr(function, "targetoptions"):
        return function  # compiled as the user wants it

    def make() -> Transform:
        made = composed(lambda _: function, py_func_of(function), (), name_of(function))
        return cached(made, function, "evaluated")

    return remembered(function, "evaluated", make)
