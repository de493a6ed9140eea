"""Directions and cotangents: their positions, and checks of their structures and shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from numba.core import cgutils

from ..backend.calls import Value
from ..errors import ArgumentError, ArgumentValueError
from .emitter import Emitter
from .signature import DerivativeTypes, is_differentiable, leaves


def direction_at(position: int) -> Callable[[Any, Any], tuple[Any, Any]]:
    """Return a function that splits the arguments of hvp into those of f and the direction."""

    def split(items: Any, _: Any) -> tuple[Any, Any]:
        if len(items) <= position:
            raise ArgumentError(
                "call it as hvp(f)(x, v, *args): the direction v follows the differentiated "
                "arguments."
            )
        return [*items[:position], *items[position + 1 :]], items[position]

    return split


def require_same_structure(derivative: DerivativeTypes, direction_type: Any) -> None:
    """Raise if a direction does not have the structure of the differentiated arguments."""
    expected = [getattr(leaf, "ndim", 0) for ty in derivative.inputs for leaf in leaves(ty)]
    dimensions = [
        getattr(leaf, "ndim", 0) if is_differentiable(leaf) else None
        for leaf in leaves(direction_type)
    ]
    if dimensions != expected:
        raise ArgumentError(
            f"{derivative.name}: the direction {direction_type} does not have the structure of the "
            f"arguments it belongs to, {', '.join(map(str, derivative.inputs))}."
        )


def aligned(emit: Emitter, direction: Value) -> list[Value]:
    """Return the leaves of a direction, one for every input; emit a check of their shapes."""
    parts = list(emit.items(direction))
    pairs = zip(emit.inputs, parts, strict=True)
    extents = [(emit.extents(x.value), emit.extents(part)) for x, part in pairs]
    require_same_extents(emit, extents, "direction", "the argument it belongs to")
    return parts


def require_same_extents(emit: Emitter, pairs: Iterable[Any], what: str, whose: str) -> None:
    """Emit code that raises if the two lists of extents in a pair differ."""
    differs: Any = cgutils.false_bit
    for expected, extents in pairs:
        for n, m in zip(expected, extents, strict=True):
            differs = emit.builder.or_(differs, emit.compare("!=", n, m))
    with cgutils.if_unlikely(emit.builder, differs):
        emit.clean_up()
        text = f"{emit.derivative.name}: every array in the {what} must have the shape of {whose}."
        emit.context.call_conv.return_user_exc(emit.builder, ArgumentValueError, (text,))
