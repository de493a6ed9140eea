"""Transforms named in compiled code: ``grad(f)(x)`` where f is a compiled function."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.errors import RequireLiteralValue
from numba.extending import overload

from ..functions.libraries import APPLIED_TRANSFORMS, STATIC_TRANSFORMS


def nestable(transform: Any, make: Any = None, call: Callable[[Any], Any] | None = None) -> None:
    """Let a transform be called in compiled code, and in functions that are differentiated.

    The options of ``transform(f, *options)`` are constants.  If it takes values instead,
    ``make(f)`` returns the function of these, and ``call(make(f))`` has the transform's parameters.
    """
    if make is None:
        STATIC_TRANSFORMS.add(transform)
    else:
        APPLIED_TRANSFORMS[transform] = make
    signature = _comparable_signature(transform if call is None else call(None))

    def choose(*args: Any, **kwargs: Any) -> Any:
        f, *options = signature.bind(*args, **kwargs).arguments.items()
        if not isinstance(f[1], types.Dispatcher):
            return None
        if call is not None:
            return call(make(f[1].dispatcher))
        constants = {name: _constant(ty) for name, ty in options}
        derivative = transform(f[1].dispatcher, **constants)

        def implementation() -> Any:
            return derivative

        implementation.__signature__ = signature  # type: ignore[attr-defined]
        return implementation

    choose.__signature__ = signature  # type: ignore[attr-defined]
    overload(transform, prefer_literal=call is None)(choose)


def _comparable_signature(function: Any) -> inspect.Signature:
    """Return a signature as Numba compares it: without annotations and keyword-only parameters."""
    parameters = []
    for p in inspect.signature(function).parameters.values():
        kind = p.POSITIONAL_OR_KEYWORD if p.kind is p.KEYWORD_ONLY else p.kind
        parameters.append(p.replace(annotation=p.empty, kind=kind))
    return inspect.Signature(parameters)


def _constant(ty: Any) -> Any:
    """Return the constant value of an argument, known at compile time."""
    if isinstance(ty, types.Omitted):
        return ty.value
    if isinstance(ty, types.Literal):
        return ty.literal_value
    if isinstance(ty, types.NoneType):
        return None
    if isinstance(ty, types.Dispatcher):
        return ty.dispatcher
    if isinstance(ty, types.BaseTuple) and all(isinstance(item, types.Literal) for item in ty):
        return tuple(item.literal_value for item in ty)
    if isinstance(getattr(ty, "initial_value", None), list):
        return tuple(ty.initial_value)
    raise RequireLiteralValue("options of a transform in compiled code must be constants")
