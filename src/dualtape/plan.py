"""The types of one derivative: what the twin is called with, what comes back.

A differentiated argument is a scalar, an array or a tuple of these; its scalars and arrays are its
leaves.  `Plan` decides the number type from the types of all arguments, so that the level of a
nested derivative is known before any code is emitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from numba.core import types

from . import arrays, constructors, linalg, mapped, members  # noqa: F401  # register what works on numbers
from .activation import activated_type
from .effects import effects_on
from .errors import ArgumentError, NotScalarError
from .failing import compiling
from .numbertype import (
    NumberType,
    highest_number,
    level,
    member_type,
    plain_type,
    present,
    promote_plain,
    tuple_like,
)

__all__ = ["Plan", "base_type", "is_active", "leaves", "map_leaves", "structured"]


def map_leaves(ty: Any, function: Callable[[Any], Any]) -> Any:
    """Apply `function` to the scalar and array types of a structure of tuples."""
    if isinstance(ty, types.BaseTuple):
        return tuple_like(ty, [map_leaves(item, function) for item in ty])
    return function(ty)


def leaves(ty: Any) -> Iterator[Any]:
    """Iterate over the scalar and array types of a structure of tuples."""
    if isinstance(ty, types.BaseTuple):
        for item in ty:
            yield from leaves(item)
    else:
        yield ty


def element(ty: Any) -> Any:
    """Return the type of the numbers in a leaf."""
    return ty.dtype if isinstance(ty, types.Array) else types.unliteral(ty)


def is_differentiable(ty: Any) -> bool:
    """Whether a leaf can carry derivatives."""
    return isinstance(element(ty), types.Float | types.Integer | NumberType)


def float_for(ty: Any) -> Any:
    """Return the number type one level below the duals that a leaf is turned into."""
    dtype = element(ty)
    return dtype if isinstance(dtype, NumberType) else promote_plain(dtype)


def structured(ty: Any, base: Any) -> Any:
    """Return the type of a gradient with respect to an argument of type `ty`."""

    def leaf(leaf_type: Any) -> Any:
        is_array = isinstance(leaf_type, types.Array)
        return types.Array(base, leaf_type.ndim, "C") if is_array else base

    return map_leaves(ty, leaf)


class Plan:
    """The types of one derivative: the arguments of the twin, its numbers, its result."""

    def __init__(
        self, typingctx: Any, twin: Any, packed: Any, argnums: tuple[int, ...], name: str
    ) -> None:
        self.typingctx = typingctx
        self.twin = twin
        self.packed = tuple(packed)
        self.name = f"{name}({twin.py_func.__name__})"
        self.argnums = self._positions(argnums)
        self.inputs = [packed[i] for i in self.argnums]
        self._check()
        numbers = [n for n in map(highest_number, packed) if n is not None]
        narrow = all(element(ty) == types.float32 for arg in self.inputs for ty in leaves(arg))
        plain = types.float32 if narrow else types.float64
        self.base = max(numbers, key=level, default=plain)
        with compiling(twin, self.packed):
            self.effects = effects_on(twin, self.packed)
        self.in_place = False  # whether the result is what the function writes to an argument

    def _positions(self, argnums: tuple[int, ...]) -> tuple[int, ...]:
        count = len(self.packed)
        for i in argnums:
            if not -count <= i < count:
                raise ArgumentError(
                    f"{self.name}: argnums asks for argument {i}, but the function was called "
                    f"with {count} argument{'' if count == 1 else 's'}."
                )
        positions = tuple(i % count for i in argnums)
        if len(set(positions)) != len(positions):
            raise ArgumentError(f"{self.name}: argnums {argnums} names one argument twice.")
        return positions

    def _check(self) -> None:
        if not [leaf for arg in self.inputs for leaf in leaves(arg)]:
            raise ArgumentError(f"{self.name}: the arguments to differentiate hold no numbers.")
        for i, arg in zip(self.argnums, self.inputs, strict=True):
            for leaf in leaves(arg):
                if not is_differentiable(leaf):
                    raise ArgumentError(
                        f"{self.name}: argument {i} has type {arg}, which has no derivative; "
                        "expected a real scalar, a real array or a tuple of these."
                    )

    def size(self) -> int | None:
        """Return the number of inputs where the types tell it."""
        found = [leaf for arg in self.inputs for leaf in leaves(arg)]
        return None if any(isinstance(leaf, types.Array) for leaf in found) else len(found)

    def use(self, face: Any, *widths: int) -> None:
        """Fix the number type."""
        self.number = member_type(face, self.base, *widths)

    def run_twin(self, face: Any, *widths: int) -> Any:
        """Fix the number type, compile the twin for it and return its result type."""
        self.use(face, *widths)
        active = []
        for i, ty in enumerate(self.packed):
            if i in self.argnums:
                active.append(map_leaves(ty, self.active_leaf))
            else:
                active.append(self._writable(ty) if i in self.effects.written else ty)
        self.active = tuple(active)
        twin_type = self.typingctx.resolve_value_type(self.twin)
        found = twin_type.get_call_type(self.typingctx, self.active, {}).return_type
        self.result = present(found)  # where it is None, `Run.call_twin` raises
        return self.result

    def _writable(self, ty: Any) -> Any:
        """Return the type of an argument that the function writes to: it gets a copy."""
        made = activated_type(ty, self.number)
        is_plain_array = made == ty and isinstance(ty, types.Array)
        return ty.copy(layout="C", readonly=False) if is_plain_array else made

    def active_leaf(self, ty: Any) -> Any:
        """Return the type that a differentiated leaf has in the twin."""
        return (
            types.Array(self.number, ty.ndim, "C") if isinstance(ty, types.Array) else self.number
        )

    def require_scalar(self) -> None:
        """Raise where the result is not one number."""
        if isinstance(self.result, (NumberType, types.Number, types.Boolean, types.NoneType)):
            return  # a function that returns nothing may always raise: it is called to see
        raise NotScalarError(self.not_scalar())

    def not_scalar(self) -> str:
        """Return the message for a result that is not one number."""
        neighbour = "value_and_jacobian" if self.name.startswith("value") else "jacobian"
        if isinstance(self.result, types.Array):
            what = f"an array of {self.result.ndim} dimension{'s' * (self.result.ndim != 1)}"
        else:
            what = told_kind(self.result)
        return f"{self.name}: the function returns {what}, and a scalar is needed; use {neighbour}."

    def gradient_type(self, *, single: bool) -> Any:
        """Return the type of the gradient: a tuple if argnums is one."""
        parts = [structured(ty, self.base) for ty in self.inputs]
        return parts[0] if single else types.BaseTuple.from_types(parts)


def told_kind(ty: Any) -> str:
    """Return what a result is, in the words of the plain function."""
    kinds = {types.Generator: "a generator", types.DictType: "a dictionary", types.Set: "a set"}
    kinds |= dict.fromkeys((types.Dispatcher, types.Function, types.FunctionType), "a function")
    found = (what for kind, what in kinds.items() if isinstance(ty, kind))
    return next(found, f"a result of type {plain_type(ty)}")


def base_type(ty: Any, number: NumberType) -> Any:
    """Return the type of a result one level down."""

    def leaf(leaf_type: Any) -> Any:
        if isinstance(leaf_type, NumberType) and leaf_type.level == number.level:
            return leaf_type.base
        if isinstance(leaf_type, types.Array) and level(leaf_type.dtype) == number.level:
            return types.Array(leaf_type.dtype.base, leaf_type.ndim, "C")
        return types.unliteral(leaf_type)

    return map_leaves(ty, leaf)


def is_active(ty: Any, number: NumberType) -> bool:
    """Whether a result of this type carries derivatives of this level."""
    return level(element(ty)) == number.level if not isinstance(ty, types.BaseTuple) else False


def block_type(plan: Plan, y_type: Any, x_type: Any) -> Any:
    """Return the type of dy/dx for one leaf: an array of the shapes of y and x, or a number."""
    ndim = sum(ty.ndim for ty in (y_type, x_type) if isinstance(ty, types.Array))
    return types.Array(plan.base, ndim, "C") if ndim else plan.base
