"""Calls that use only the value or the type of a number, not its derivative.

``print(x)`` and ``str(x)`` show a float, ``isinstance(x, float)`` and ``np.isscalar(x)`` test for
one: in a twin their arguments are those of the plain function.  Those that use the type get a zero
of the plain type; the value is never computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import imputils, ir
from numba.extending import intrinsic

from ..analysis.fresh import is_in
from ..analysis.rewriting import call, new_variable, rewrite
from ..analysis.sharing import constant_of
from ..arrays.primal import primal_of
from ..numbers.plane_arrays import know_planes
from ..numbers.types import plain_type


def pass_plain_values(func_ir: Any) -> None:
    """Pass plain values to such calls; definitions must be up to date."""

    def with_plain_values(scope: Any, statement: Any) -> list[Any]:
        expr: Any = getattr(statement, "value", None)
        lines: list[Any] = []
        if isinstance(statement, ir.Print):
            statement.args = tuple(_plain_values(scope, statement.args, primal_of, lines))
        elif getattr(expr, "op", None) == "call" and expr.args:
            function = constant_of(func_ir, expr.func)
            convert, count = _TAKE_PLAIN[function] if is_in(function, _TAKE_PLAIN) else (None, 0)
            if convert is not None:
                plain = _plain_values(scope, expr.args[:count], convert, lines)
                expr.args = [*plain, *expr.args[count:]]
        return [*lines, statement]

    rewrite(func_ir, with_plain_values)


def _plain_values(
    scope: Any, variables: Any, convert: Callable[..., Any], lines: list[Any]
) -> list[Any]:
    """Return variables for the plain values of others; append statements that assign them."""
    plain = [new_variable(scope, var.loc) for var in variables]
    for var, target in zip(variables, plain, strict=True):
        lines += call(scope, convert, [var], target, var.loc)
    return plain


@intrinsic
def of_plain_kind(typingctx: Any, x: Any) -> Any:
    """Return a value of the type that `x` has in the plain function."""
    plain = plain_type(x)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if plain == x:
            return imputils.impl_ret_borrowed(context, builder, x, args[0])
        return context.get_constant_null(plain)

    return plain(x), codegen


know_planes(of_plain_kind)
_TAKE_PLAIN: dict[Any, tuple[Callable[..., Any], int]] = {
    **dict.fromkeys((str, repr, hash, ascii, np.bool_), (primal_of, 1)),
    **dict.fromkeys((np.isclose, np.allclose), (primal_of, 2)),
    **dict.fromkeys((isinstance, hasattr, type, np.isscalar), (of_plain_kind, 1)),
    **dict.fromkeys((np.iscomplexobj, np.isrealobj), (of_plain_kind, 1)),
    **dict.fromkeys((np.size, np.shape), (primal_of, 1)),  # arrays are passed as they are
}
"""Functions that take plain values: the conversion, and the number of arguments converted."""
