"""The primal of whole structures, and how many times what holds numbers is being differentiated."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import imputils, types
from numba.extending import intrinsic

from ._jit import kernel
from .elementary import value
from .emit import invoke
from .hyperdual import HyperDual
from .numbertype import NumberType, highest_number, root
from .plan import map_leaves

__all__ = ["derivative_order", "primal_of"]


@kernel
def primal_array(x: Any) -> Any:
    """Return the primal of an array."""
    out = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        out[i] = value(x[i])
    return out


def _primal_type(ty: Any) -> Any:
    def leaf(leaf_type: Any) -> Any:
        if isinstance(leaf_type, types.Array) and isinstance(leaf_type.dtype, NumberType):
            return types.Array(types.float64, leaf_type.ndim, "C")
        return root(leaf_type)

    return map_leaves(ty, leaf)


@intrinsic
def primal_of(typingctx: Any, x: Any) -> Any:
    """Return a number, an array, or a tuple of these without derivatives (compiled code only)."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _converted(context, builder, sig.args[0], args[0])

    return _primal_type(x)(x), codegen


def _converted(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    """Return the primal, a new reference."""
    target = _primal_type(ty)
    if target == ty:
        return imputils.impl_ret_borrowed(context, builder, ty, x)
    if isinstance(ty, types.BaseTuple):
        items = [
            _converted(context, builder, item, builder.extract_value(x, i))
            for i, item in enumerate(ty)
        ]
        return context.make_tuple(builder, target, items)
    function = primal_array if isinstance(ty, types.Array) else primal_number
    return invoke(context, builder, function, (ty,), (x,))[1]


@kernel
def primal_number(x: Any) -> Any:
    """Return the primal of a number."""
    return value(x)


@intrinsic
def derivative_order(typingctx: Any, x: Any) -> Any:
    """Return the order of the highest derivatives that a structure carries (compiled code only)."""
    order, number = 0, highest_number(x)
    while isinstance(number, NumberType):
        order += 2 if number.face is HyperDual else 1
        number = number.base

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.get_constant(types.intp, order)

    return types.intp(x), codegen
