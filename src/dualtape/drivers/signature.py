"""The types of one derivative: the arguments of the twin and its result.

A differentiated argument is a scalar, an array or a tuple of these; its scalars and arrays are its
leaves.  `DerivativeTypes` decides the number type from the types of all arguments, so that the
level of a nested derivative is known before any code is emitted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from numba.core import types

from ..analysis.effects import effects_on
from ..arrays import registration as _arrays  # noqa: F401  # registers what works on numbers
from ..errors import ArgumentError, NotScalarError
from ..linalg import registration as _linalg  # noqa: F401  # registers what works on numbers
from ..numbers import construction, mapped, members, named_items  # noqa: F401  # register what works on numbers
from ..numbers.plane_arrays import IN_USE
from ..numbers.types import (
    NumberType,
    PlanesType,
    highest_number,
    level,
    map_leaves,
    may_be_planes,
    member_type,
    plain_type,
    present,
    without_planes,
)
from ..twin.comparisons import is_constant, warn_of_comparisons
from ..twin.conversion import activated_type
from ..twin.failures import compiling
from .factory import Request
from .options import nonnegative, require_count


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


class DerivativeTypes:
    """The types of one derivative: the arguments of the twin, its numbers, its result."""

    def __init__(self, typingctx: Any, twin: Any, packed: Any, request: Request) -> None:
        self.typingctx = typingctx
        self.twin = twin
        self.packed = tuple(packed)
        self.request = request
        self.name = f"{request.name}({twin.py_func.__name__})"
        argnums = tuple(range(len(self.packed))) if request.argnums is None else request.argnums
        if max(argnums, default=-1) >= len(self.packed):
            require_count(self.name, twin.py_func, len(self.packed))
        self.argnums = nonnegative(self.name, argnums, len(self.packed), "the function was called")
        self.inputs = [packed[i] for i in self.argnums]
        self._check()
        numbers = [n for n in map(highest_number, packed) if n is not None]
        narrow = all(element(ty) == types.float32 for arg in self.inputs for ty in leaves(arg))
        plain = types.float32 if narrow else types.float64
        self.base = max(numbers, key=level, default=plain)
        with compiling(twin, self.packed):
            self.effects = effects_on(twin, self.packed)
        self.active: tuple[Any, ...] = ()
        self.has_one_direction = False  # whether the tangents of arrays are given as arrays
        self.in_place = False  # whether the function writes its result to an argument

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
        """Return the number of inputs; None if it depends on the shapes of arrays."""
        inputs = [leaf for arg in self.inputs for leaf in leaves(arg)]
        return None if any(isinstance(leaf, types.Array) for leaf in inputs) else len(inputs)

    def set_number(self, number_class: Any, *widths: int) -> None:
        """Fix the number type."""
        self.widths = widths
        self.number = member_type(number_class, self.base, *widths)

    def run_twin(self, number_class: Any, *widths: int) -> Any:
        """Fix the number type, compile the twin for it and return its result type."""
        require_count(self.name, self.twin.py_func, len(self.packed))
        self.set_number(number_class, *widths)
        active = []
        for i, ty in enumerate(self.packed):
            if i in self.argnums:
                leaf = self._planes if self._may_be_planes(i) else self.active_type
                active.append(map_leaves(ty, leaf))
            else:
                active.append(self._writable(ty) if i in self.effects.written else ty)
        self.active = tuple(active)
        twin_type = self.typingctx.resolve_value_type(self.twin)
        result = twin_type.get_call_type(self.typingctx, self.active, {}).return_type
        result = present(result)  # if it is None at run time, `Emitter.call_twin` raises
        self.result = without_planes(result)
        if is_constant(self.result):
            warn_of_comparisons(self.twin)
        return self.result

    def _may_be_planes(self, i: int) -> bool:
        """Whether arrays of an argument are not written to, and their numbers may be planes."""
        if not IN_USE or getattr(self.twin, "has_labels", True) or self.in_place:
            return False
        may_be = bool(self.number.slots) or self.has_one_direction
        return may_be and may_be_planes(self.number) and i not in self.effects.exposed

    def _planes(self, ty: Any) -> Any:
        """Return the type that a leaf has in the twin, with planes in place of arrays."""
        is_leaf_array = isinstance(ty, types.Array)
        return PlanesType(self.number, ty.ndim, "C") if is_leaf_array else self.number

    def _writable(self, ty: Any) -> Any:
        """Return the type of the copy passed for an argument that the function writes to."""
        copy_type = activated_type(ty, self.number)
        is_plain_array = copy_type == ty and isinstance(ty, types.Array)
        return ty.copy(layout="C", readonly=False) if is_plain_array else copy_type

    def active_type(self, ty: Any) -> Any:
        """Return the type that a differentiated leaf has in the twin."""
        return (
            types.Array(self.number, ty.ndim, "C") if isinstance(ty, types.Array) else self.number
        )

    def require_scalar(self) -> None:
        """Raise if the result is not one number."""
        if isinstance(self.result, (NumberType, types.Number, types.Boolean, types.NoneType)):
            return  # a function that returns nothing may always raise, which its call shows
        raise NotScalarError(self.not_scalar())

    def not_scalar(self) -> str:
        """Return the message for a result that is not one number."""
        neighbour = "value_and_jacobian" if self.name.startswith("value") else "jacobian"
        if isinstance(self.result, types.Array):
            kind = f"an array of {self.result.ndim} dimension{'s' * (self.result.ndim != 1)}"
        else:
            kind = result_kind(self.result)
        return f"{self.name}: the function returns {kind}, and a scalar is needed; use {neighbour}."

    def by_input(self, leaf: Callable[[Any], Any]) -> Any:
        """Map the leaves of the inputs' types; the result is a tuple if argnums is one."""
        parts = [map_leaves(ty, leaf) for ty in self.inputs]
        return parts[0] if self.request.single else types.BaseTuple.from_types(parts)

    def row_type(self, y_type: Any) -> Any:
        """Return the type of dy/dx for one leaf y: for every leaf x, an array of both shapes."""
        return self.by_input(lambda x_type: self.block_type(y_type, x_type))

    def block_type(self, y_type: Any, x_type: Any) -> Any:
        """Return the type of dy/dx: an array of the shapes of y and x, or a number."""
        ndim = sum(ty.ndim for ty in (y_type, x_type) if isinstance(ty, types.Array))
        return types.Array(self.base, ndim, "C") if ndim else self.base

    @property
    def gradient_type(self) -> Any:
        """The type of the gradient."""
        return self.row_type(self.base)

    @property
    def hessian_type(self) -> Any:
        """The type of the Hessian: for every input, for every input, a block."""
        return self.by_input(self.row_type)

    @property
    def value_type(self) -> Any:
        """The type of the result one level down."""
        return base_type(self.result, self.number)

    def return_type(self, *parts: Any) -> Any:
        """Return the type of all parts if the value is requested, else of the last one."""
        return types.Tuple(parts) if self.request.with_value else parts[-1]


def result_kind(ty: Any) -> str:
    """Return a description of a result's type, as the plain function returns it."""
    kinds = {types.Generator: "a generator", types.DictType: "a dictionary", types.Set: "a set"}
    kinds |= dict.fromkeys((types.Dispatcher, types.Function, types.FunctionType), "a function")
    names = (name for kind, name in kinds.items() if isinstance(ty, kind))
    return next(names, f"a result of type {plain_type(ty)}")


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
    """Whether a leaf holds numbers of this level."""
    is_leaf = not isinstance(ty, types.BaseTuple)
    return is_leaf and level(getattr(ty, "dtype", ty)) == number.level
