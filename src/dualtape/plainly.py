"""Calls that see the value or the kind of a number, and nothing of its derivative.

``print(x)`` and ``str(x)`` show a float, ``isinstance(x, float)`` and ``np.isscalar(x)`` ask for
one: in a twin they see what they see in the plain function.  Those that ask for a kind are given a
value of the plain type that is never computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import imputils, ir, types
from numba.core.ir_utils import mk_unique_var
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ._jit import kernel
from .conversion import primals
from .elementary import type_global
from .emit import invoke, unwrap, wrap
from .fresh import is_in
from .influence import without_derivative
from .jets import primal
from .numbertype import NumberType, highest_number, plain_type, tuple_like
from .showing import constant_of

__all__ = ["plain_value", "see_plainly"]


def see_plainly(func_ir: Any) -> None:
    """Let such calls see plain values; definitions must be up to date."""
    for block in func_ir.blocks.values():
        body: list[Any] = []
        for statement in block.body:
            made: Any = getattr(statement, "value", None)
            op = getattr(made, "op", None)
            if isinstance(statement, ir.Print):
                statement.args = tuple(_all_seen(block.scope, statement.args, plain_value, body))
            elif op == "call" and made.args:
                function = constant_of(func_ir, made.func)
                see, count = _SEEING[function] if is_in(function, _SEEING) else (None, 0)
                if see is not None:
                    seen = _all_seen(block.scope, made.args[:count], see, body)
                    made.args = [*seen, *made.args[count:]]
            body.append(statement)
        block.body = body


def _all_seen(scope: Any, variables: Any, see: Callable[..., Any], body: list[Any]) -> list[Any]:
    """Return variables that hold what is seen of others; add what makes them to the body."""
    pairs = [_seen(scope, var, see) for var in variables]
    body += [line for _, lines in pairs for line in lines]
    return [var for var, _ in pairs]


def _seen(scope: Any, var: Any, see: Callable[..., Any]) -> tuple[Any, list[Any]]:
    """Return a variable that holds what is seen of another one, and what makes it."""
    loc = var.loc
    function = ir.Var(scope, mk_unique_var("$see"), loc)
    seen = ir.Var(scope, mk_unique_var("$seen"), loc)
    return seen, [
        ir.Assign(ir.Global(see.__name__, see, loc), function, loc),
        ir.Assign(ir.Expr.call(function, [var], (), loc), seen, loc),
    ]


def plain_value(x: Any) -> Any:
    """Return the value of numbers, arrays, lists and tuples (compiled code only)."""
    raise NotImplementedError


def of_plain_kind(x: Any) -> Any:
    """Return something of the type that `x` has in the plain function (compiled code only)."""
    raise NotImplementedError


_SEEING: dict[Any, tuple[Callable[..., Any], int]] = {
    **dict.fromkeys((str, repr, hash, ascii, np.bool_), (plain_value, 1)),
    **dict.fromkeys((np.isclose, np.allclose), (plain_value, 2)),
    **dict.fromkeys((isinstance, hasattr, type, np.isscalar), (of_plain_kind, 1)),
    **dict.fromkeys((np.iscomplexobj, np.isrealobj), (of_plain_kind, 1)),
    **dict.fromkeys((np.size, np.shape), (without_derivative, 1)),  # arrays are seen as they are
}
"""What sees a number plainly: how, and how many of its arguments."""


@kernel
def array_values(a: Any) -> Any:
    """Return the primals of an array."""
    return primals(a)


@kernel
def list_values(items: Any) -> Any:
    """Return the values of what a list holds."""
    return [plain_value(item) for item in items]


def _value_type(ty: Any) -> Any:
    if isinstance(ty, types.BaseTuple):
        return tuple_like(ty, [_value_type(item) for item in ty])
    if isinstance(ty, types.Array) and highest_number(ty) is not None:
        return types.Array(plain_type(ty.dtype), ty.ndim, "C")
    if isinstance(ty, types.List) and highest_number(ty) is not None:
        return types.List(_value_type(ty.dtype))
    return plain_type(ty)


class _PlainValue(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        (ty,) = args
        ty = getattr(ty, "settled", ty)
        return signature(_value_type(ty), ty)


class _OfPlainKind(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        (ty,) = args
        return signature(plain_type(ty), ty)


type_global(plain_value, _PlainValue)
type_global(of_plain_kind, _OfPlainKind)


@lower_builtin(plain_value, types.Any)
def _lower_plain_value(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return _valued(context, builder, sig.args[0], args[0])


def _valued(context: Any, builder: Any, ty: Any, x: Any) -> Any:
    """Return the value, a new reference."""
    target = _value_type(ty)
    if target == ty:
        return imputils.impl_ret_borrowed(context, builder, ty, x)
    if isinstance(ty, NumberType):
        return unwrap(primal(wrap(context, builder, ty, x)), target)
    if isinstance(ty, types.BaseTuple):
        items = [
            _valued(context, builder, item, builder.extract_value(x, i))
            for i, item in enumerate(ty)
        ]
        return context.make_tuple(builder, target, items)
    function = array_values if isinstance(ty, types.Array) else list_values
    return invoke(context, builder, function, (ty,), (x,))[1]


@lower_builtin(of_plain_kind, types.Any)
def _lower_of_plain_kind(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    if sig.return_type == sig.args[0]:
        return imputils.impl_ret_borrowed(context, builder, sig.return_type, args[0])
    return context.get_constant_null(sig.return_type)
