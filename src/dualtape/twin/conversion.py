"""Conversion of arrays, lists and tuples of floats to ones of active numbers, and their types.

`activation` inserts these conversions where a container is made in which active numbers are stored.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba.core import imputils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from ..backend.calls import invoke
from ..numbers.access import list_to_numbers, to_numbers
from ..numbers.plane_arrays import know_planes
from ..numbers.streamed import as_numbers, is_same_memory
from ..numbers.types import NumberType, level, root, tuple_like, with_root


def activated_type(ty: Any, number: NumberType) -> Any:
    """Return the type that `activated` gives a value of type `ty`."""
    lower = level(number) - 1
    if isinstance(ty, types.Array) and level(ty.dtype) <= lower and _is_real(ty.dtype):
        return types.Array(_over(ty.dtype, number), ty.ndim, "C")
    if isinstance(ty, types.List):
        return types.List(_active_item(ty.dtype, number))
    if isinstance(ty, types.BaseTuple):
        is_named = getattr(ty, "instance_class", tuple) is not tuple  # not unified item by item
        return tuple_like(
            ty, [_active_field(t, number) if is_named else activated_type(t, number) for t in ty]
        )
    return ty


def activation_type(typingctx: Any, ty: Any, number: NumberType) -> Any:
    """Return the same, and compile the conversion of such values."""
    target = activated_type(ty, number)
    for kind, kernel in ((types.Array, to_numbers), (types.List, list_to_numbers)):
        if isinstance(ty, kind) and target != ty:
            like = target.dtype
            typingctx.resolve_value_type(kernel).get_call_type(typingctx, (ty, like), {})
    return target


def _active_item(ty: Any, number: NumberType) -> Any:
    """Return the type of a converted list item."""
    if isinstance(ty, types.BaseTuple):
        return tuple_like(ty, [_active_item(item, number) for item in ty])
    return _over(ty, number) if _is_real(ty) and level(ty) < number.level else ty


def _over(ty: Any, number: NumberType) -> Any:
    """Return the type of numbers with the precision of plain ones."""
    plain = root(ty)
    return with_root(number, plain) if plain in (types.float32, types.float64) else number


def _active_field(ty: Any, number: NumberType) -> Any:
    """Return the type of a converted field of a named tuple."""
    return activated_type(_active_item(ty, number), number)


def declared_type(ty: Any, number: NumberType) -> Any:
    """Return the type with active numbers of what a user declared: a field, an item."""
    if isinstance(ty, types.Array):  # of any layout, where it is declared so
        item = activated_type(ty, number).dtype
        return ty if item == ty.dtype else types.Array(item, ty.ndim, ty.layout)
    return _active_field(ty, number)


@functools.cache
def type_activator(number: NumberType) -> Any:
    """Return the intrinsic that turns a type, as a value of compiled code, into `declared_type`."""

    @new_intrinsic
    def activated_class(typingctx: Any, cls: Any) -> Any:
        declared = getattr(cls, "instance_type", cls)  # Numba types float64[:] as such an array
        target = declared_type(declared, number)
        return types.TypeRef(target)(cls), lambda context, *_: context.get_dummy_value()

    return activated_class


def _is_real(ty: Any) -> bool:
    return isinstance(ty, types.Float | NumberType)


def new_intrinsic(function: Callable[..., Any]) -> Any:
    """Make an intrinsic during a compilation, whose contexts must register it."""
    result = intrinsic(function)
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    return result


@functools.cache
def activator(number: NumberType) -> Any:
    """Return the intrinsic that converts new arrays and lists of floats to ones of `number`."""

    @new_intrinsic
    def activated(typingctx: Any, value: Any) -> Any:
        target = activation_type(typingctx, value, number)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            if is_same_memory(value, target):
                numbers = as_numbers(context, builder, value, args[0], target)
                return imputils.impl_ret_borrowed(context, builder, target, numbers)
            return activate_value(context, builder, sig.args[0], args[0], number)

        return target(value), codegen

    return know_planes(activated)


@functools.cache
def item_activator(number: NumberType) -> Any:
    """Return the intrinsic that converts items of lists and dicts to ones of `number`."""

    @new_intrinsic
    def activated_item(typingctx: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            item = context.cast(builder, args[0], sig.args[0], sig.return_type)
            return imputils.impl_ret_borrowed(context, builder, sig.return_type, item)

        return _active_item(value, number)(value), codegen

    return activated_item


def activate_value(context: Any, builder: Any, ty: Any, value: Any, number: NumberType) -> Any:
    """Convert an LLVM value to its `activated_type`; return a new reference."""
    return _converted(context, builder, ty, value, activated_type(ty, number))


def _converted(context: Any, builder: Any, ty: Any, value: Any, target: Any) -> Any:
    if target == ty:
        return imputils.impl_ret_borrowed(context, builder, ty, value)
    if isinstance(ty, types.BaseTuple):
        items = [
            _converted(context, builder, t, builder.extract_value(value, i), item_target)
            for i, (t, item_target) in enumerate(zip(ty, target, strict=True))
        ]
        return context.make_tuple(builder, target, items)
    if isinstance(target, NumberType):
        return context.cast(builder, value, ty, target)
    like = context.get_constant_null(target.dtype)
    kernel = to_numbers if isinstance(ty, types.Array) else list_to_numbers
    return invoke(context, builder, kernel, (ty, target.dtype), (value, like))[1]
