"""Transforms called in compiled code: registered with Numba when something first compiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import overload

from . import pullback
from ._jit import internal
from .activate import twin
from .driver import Transform
from .known import APPLIED_TRANSFORMS, STATIC_TRANSFORMS
from .making import checked_function, name_of
from .memory import remembered
from .named import in_compiled_code
from .products import (
    derivative,
    hvp,
    jvp,
    jvp_function,
    pull_signature,
    record_signature,
    vjp,
)
from .transforms import (
    grad,
    hessian,
    jacobian,
    value_and_grad,
    value_and_jacobian,
    value_grad_hessian,
)

__all__ = ["compiled_vjp"]

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
    STATIC_TRANSFORMS.add(_transform)
    in_compiled_code(_transform)
APPLIED_TRANSFORMS[jvp] = jvp_function


@overload(jvp)
def _jvp_in_compiled_code(f, primals, tangents):  # type: ignore[no-untyped-def]
    if not isinstance(f, types.Dispatcher):
        return None
    made = jvp_function(f.dispatcher)
    return lambda f, primals, tangents: made(primals, tangents)


def compiled_vjp(f: Callable[..., Any]) -> Any:
    """Return ``(*primals) -> (value, pullback)`` for compiled code."""
    function = checked_function(f, "vjp")
    name = f"vjp({name_of(function)})"

    def make() -> Any:
        activated = twin(function)
        record = Transform(
            record_signature, pullback.record_driver(activated, own=True), (0,), name
        )
        pull = Transform(pull_signature, pullback.pull_driver(activated), (2, 3), name)
        make_pullback, plain_tuple = pullback.pullback_maker(pull), pullback.plain_tuple

        def run(*primals: Any) -> Any:
            given = plain_tuple(primals)
            value, address, rows = record(given)
            return value, make_pullback(address, rows, given)

        dispatcher = internal(run)
        dispatcher.is_derivative = dispatcher.copies_arguments = True
        return dispatcher

    return remembered(function, "compiled vjp", make)


APPLIED_TRANSFORMS[vjp] = compiled_vjp


@overload(vjp)
def _vjp_in_compiled_code(f, *primals):  # type: ignore[no-untyped-def]
    if not isinstance(f, types.Dispatcher):
        return None
    made = compiled_vjp(f.dispatcher)
    return lambda f, *primals: made(*primals)
