"""Primal values of nested structures, and their order of differentiation."""

from __future__ import annotations

from typing import Any

from numba.core import imputils, types
from numba.extending import intrinsic

from ..backend.calls import invoke
from ..backend.jit import kernel
from ..numbers.emitted import unwrap, wrap
from ..numbers.evaluation import primal
from ..numbers.hyper_dual import HyperDual
from ..numbers.types import NumberType, highest_number, plain_type, tuple_like
from .conversion import values


def primal_type(ty: Any) -> Any:
    """Return the type of a structure in the plain function."""
    if isinstance(ty, types.BaseTuple):
        return tuple_like(ty, [primal_type(item) for item in ty])
    if isinstance(ty, types.Array) and highest_number(ty) is not None:
        return types.Array(plain_type(ty.dtype), ty.ndim, "C")
    if isinstance(ty, types.List) and highest_number(ty) is not None:
        return types.List(primal_type(ty.dtype))
    return plain_type(ty)


@intrinsic
def primal_of(typingctx: Any, x: Any) -> Any:
    """Return the values of numbers, arrays, lists and tuples of these, whatever their level."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _primal(context, builder, sig.args[0], args[0])

    return primal_type(x)(x), codegen  # a pending number is not recorded for it


def _primal(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    """Return the primal, a new reference."""
    target = primal_type(ty)
    if target == ty:
        return imputils.impl_ret_borrowed(context, builder, ty, x)
    if isinstance(ty, NumberType):
        return unwrap(primal(wrap(context, builder, ty, x)), target)
    if isinstance(ty, types.BaseTuple):
        items = [
            _primal(context, builder, item, builder.extract_value(x, i))
            for i, item in enumerate(ty)
        ]
        return context.make_tuple(builder, target, items)
    function = values if isinstance(ty, types.Array) else list_primals
    return invoke(context, builder, function, (ty,), (x,))[1]


@kernel
def list_primals(items: Any) -> Any:
    """Return the primals of the items of a list."""
    return [primal_of(item) for item in items]


@intrinsic
def derivative_order(typingctx: Any, x: Any) -> Any:
    """Return the order of the highest derivatives that a structure carries."""
    order, number = 0, highest_number(x)
    while isinstance(number, NumberType):
        order += 2 if number.face is HyperDual else 1
        number = number.base

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant(types.intp, order)

    return types.intp(x), codegen
