"""Functions built from users' functions: compiled as they are, or parts of larger ones.

What the package builds around a user's function calls its twin, so it works on plain and on active
numbers.  It is a `Transform`: Python, compiled code and differentiated functions can call it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..functions.copies import copy_function
from ..functions.memo import remembered
from ..twin.activation import twin
from .checkpoint import plain_call
from .dispatcher import Transform
from .factory import cached, checked_function, name_of, py_func_of
from .live import live


def composed(
    choose: Callable[[Any], Any], signature: Any, inputs: tuple[int, ...], name: str
) -> Transform:
    """Return a transform that runs the function that `choose` returns for the argument types.

    That is plain code, which calls twins of users' functions and transforms of these.
    """

    def driver(typingctx: Any, packed: Any) -> Any:
        return plain_call(typingctx, twin(choose(packed)), packed)

    return Transform(copy_function(signature), driver, inputs, name)


@live
def compiled_function(f: Any, kind: str) -> Any:
    """Return f compiled: its values are those that its derivatives belong to."""
    function = checked_function(f, kind)
    if hasattr(function, "targetoptions"):
        return function  # compiled as the user wants it

    def make() -> Transform:
        transform = composed(lambda _: function, py_func_of(function), (), name_of(function))
        return cached(transform, function, "evaluated")

    return remembered(function, "evaluated", make)
