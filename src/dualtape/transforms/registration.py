"""Transforms in compiled code, registered with Numba at the first compilation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend.jit import internal
from ..drivers import vjp as pullback
from ..drivers.factory import checked_function
from ..drivers.nested import nestable
from ..functions.memo import remembered
from .derivatives import (
    grad,
    hessian,
    jacobian,
    value_and_grad,
    value_and_jacobian,
    value_grad_hessian,
)
from .products import derivative, hvp, jvp, jvp_function, vjp, vjp_halves


def compiled_vjp(f: Callable[..., Any]) -> Any:
    """Return ``(*primals) -> (value, pullback)`` for compiled code."""
    function = checked_function(f, "vjp")

    def make() -> Any:
        record, pull = vjp_halves(function, own=True)
        make_pullback, plain_tuple = pullback.pullback_maker(pull), pullback.plain_tuple

        def run(*primals: Any) -> Any:
            arguments = plain_tuple(primals)
            value, address, rows = record(arguments)
            return value, make_pullback(address, rows, arguments)

        dispatcher = internal(run)
        dispatcher.is_derivative = dispatcher.copies_arguments = True
        return dispatcher

    return remembered(function, "compiled vjp", make)


# In a user's own @njit code a transform is named with a compiled function: grad(f)(x).
for _transform in (
    derivative,
    grad,
    hessian,
    hvp,
    jacobian,
    value_and_grad,
    value_and_jacobian,
    value_grad_hessian,
):
    nestable(_transform)
nestable(jvp, jvp_function, lambda push: lambda f, primals, tangents: push(primals, tangents))
nestable(vjp, compiled_vjp, lambda record: lambda f, *primals: record(*primals))
