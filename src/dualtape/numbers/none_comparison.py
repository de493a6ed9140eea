"""Comparisons of active numbers with None, which a variable may hold at first.

In ``if best is None or v < best`` inference meets the comparison before it knows that best becomes
a number.  As in Python None equals no number, and ordering the two is a TypeError.  So is None
where a number is needed, with the message of the plain function.
"""

from __future__ import annotations

import operator
from typing import Any

from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin, lower_cast

from ..backend.templates import CPU_FIRST, type_global
from .types import NumberType, root

_EQUALITY = {operator.eq: False, operator.ne: True}
_ORDERS = {operator.lt: "<", operator.le: "<=", operator.gt: ">", operator.ge: ">="}


class _WithNone(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        kinds = {NumberType: False, types.NoneType: False}
        for kind in kinds:
            kinds[kind] = any(isinstance(arg, kind) for arg in args)
        return signature(types.boolean, *args) if all(kinds.values()) else None

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "none")


def _lowering(function: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if function in _ORDERS:
            text = f"'{_ORDERS[function]}' not supported between a number and None"
            with builder.if_then(context.get_constant(types.boolean, True)):
                context.call_conv.return_user_exc(builder, TypeError, (text,))
        return context.get_constant(types.boolean, _EQUALITY.get(function, False))

    return lower


@lower_cast(types.Optional, NumberType)
def _cast_optional(context: Any, builder: Any, from_type: Any, to_type: Any, value: Any) -> Any:
    optional = context.make_helper(builder, from_type, value=value)
    with cgutils.if_unlikely(builder, builder.not_(cgutils.as_bool_bit(builder, optional.valid))):
        text = f"expected {root(to_type)}, got None"
        context.call_conv.return_user_exc(builder, TypeError, (text,))
    return context.cast(builder, optional.data, from_type.type, to_type)


for _function in (*_EQUALITY, *_ORDERS):
    type_global(_function, _WithNone)
    lower_builtin((_function, "none"), types.VarArg(types.Any))(_lowering(_function))
