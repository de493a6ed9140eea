"""Transforms named in compiled code: ``grad(f)(x)`` where f is a compiled function."""

from __future__ import annotations

import inspect
from typing import Any

from numba.core import types
from numba.core.errors import RequireLiteralValue
from numba.extending import overload

__all__ = ["in_compiled_code"]


def in_compiled_code(transform: Any) -> None:
    """Let ``transform(f)`` be called in compiled code, on a compiled function."""

    def made(f: Any, *options: Any, **named: Any) -> Any:
        if not isinstance(f, types.Dispatcher):
            return None
        values = {name: _literal_value(ty) for name, ty in named.items()}
        return transform(f.dispatcher, *map(_literal_value, options), **values)

    # Numba wants the overload to have parameters like those of the transform.
    parameters = inspect.signature(transform).parameters
    if "argnums" in parameters:

        @overload(transform, prefer_literal=True)
        def choose(f, argnums=0, mode="auto"):  # type: ignore[no-untyped-def]
            result = made(f, argnums, mode=mode)
            return None if result is None else lambda f, argnums=0, mode="auto": result

    elif "mode" in parameters:

        @overload(transform, prefer_literal=True)
        def choose_mode(f, mode="auto"):  # type: ignore[no-untyped-def]
            result = made(f, mode=mode)
            return None if result is None else lambda f, mode="auto": result

    elif "order" in parameters:

        @overload(transform, prefer_literal=True)
        def choose_order(f, order=1):  # type: ignore[no-untyped-def]
            result = made(f, order)
            return None if result is None else lambda f, order=1: result

    else:

        @overload(transform)
        def choose_plain(f):  # type: ignore[no-untyped-def]
            result = made(f)
            return None if result is None else lambda f: result


def _literal_value(ty: Any) -> Any:
    """Return the constant that an argument is at compile time."""
    if isinstance(ty, types.Omitted):
        return ty.value
    if isinstance(ty, types.Literal):
        return ty.literal_value
    if isinstance(ty, types.BaseTuple) and all(isinstance(item, types.Literal) for item in ty):
        return tuple(item.literal_value for item in ty)
    if isinstance(ty, int | str):  # the default
        return ty
    raise RequireLiteralValue("options of a transform in compiled code must be constants")
