"""The public transforms: from a function to its derivatives.

J[i, j] = dy_i/dx_j throughout: outputs first, inputs last.  Every transform returns a compiled
function with the signature of f, callable from Python and from ``@njit`` code, so transforms nest.
They are remembered: ``grad(f) is grad(f)``, and nothing compiles twice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
from numba.core import types
from numba.core.caching import NullCache
from numba.core.dispatcher import Dispatcher
from numba.core.errors import ForceLiteralArg
from numba.extending import overload

from . import forward, second
from ._jit import package_stamp, use_cache
from ._rule import Rule
from .activate import APPLIED_TRANSFORMS, STATIC_TRANSFORMS, twin
from .driver import Options, Transform
from .errors import ArgumentError
from .fingerprint import fingerprint
from .memory import remembered
from .run import CHUNKS

__all__ = [
    "derivative",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "value_and_grad",
    "value_and_jacobian",
    "value_grad_hessian",
]

Function = Callable[..., Any]


def grad(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    mode: str = "auto",
    chunk_size: int | None = None,
) -> Any:
    """Return a function that computes the gradient of a scalar function.

    ``grad(f)(x)[j] = df/dx_j``, in the shape (and structure) of the argument.
    """
    make = functools.partial(forward.gradient_driver, with_value=False)
    return _transform("grad", f, argnums, mode, chunk_size, make)


def value_and_grad(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    mode: str = "auto",
    chunk_size: int | None = None,
) -> Any:
    """Return a function that computes ``(f(x), grad(f)(x))`` in one go."""
    make = functools.partial(forward.gradient_driver, with_value=True)
    return _transform("value_and_grad", f, argnums, mode, chunk_size, make)


def jacobian(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    mode: str = "auto",
    chunk_size: int | None = None,
) -> Any:
    """Return a function that computes the Jacobian, of shape ``f(x).shape + x.shape``."""
    make = functools.partial(forward.jacobian_driver, with_value=False)
    return _transform("jacobian", f, argnums, mode, chunk_size, make)


def value_and_jacobian(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    mode: str = "auto",
    chunk_size: int | None = None,
) -> Any:
    """Return a function that computes ``(f(x), jacobian(f)(x))`` in one go."""
    make = functools.partial(forward.jacobian_driver, with_value=True)
    return _transform("value_and_jacobian", f, argnums, mode, chunk_size, make)


def hessian(f: Function, argnums: int | tuple[int, ...] = 0, *, mode: str = "auto") -> Any:
    """Return a function that computes the Hessian, of shape ``x.shape + x.shape``."""
    make = functools.partial(second.hessian_driver, with_value=False)
    return _transform("hessian", f, argnums, mode, None, make)


def value_grad_hessian(
    f: Function, argnums: int | tuple[int, ...] = 0, *, mode: str = "auto"
) -> Any:
    """Return a function that computes ``(f(x), grad(f)(x), hessian(f)(x))`` in one go."""
    make = functools.partial(second.hessian_driver, with_value=True)
    return _transform("value_grad_hessian", f, argnums, mode, None, make)


def derivative(f: Function, order: int = 1) -> Any:
    """Return a function that computes the derivative of a function of one scalar."""
    if type(order) is not int or order < 1:
        raise ArgumentError(f"derivative: order is {order!r}; expected a positive integer")
    function = checked_function(f, "derivative")
    if order > 2:
        return derivative(derivative(function, order - 2), 2)
    driver = second.second_derivative_driver if order == 2 else forward.derivative_driver

    def make() -> Transform:
        options = Options()
        name = f"derivative({_name(function)})"
        return Transform(_py_func(function), driver(twin(function), options), options, (0,), name)

    return remembered(function, ("derivative", order), make)


def jvp(f: Function, primals: tuple[Any, ...], tangents: tuple[Any, ...]) -> Any:
    """Return ``(f(*primals), J @ tangents)``: the directional derivative, in one forward sweep."""
    return jvp_function(f)(primals, tangents)


def jvp_function(f: Function) -> Any:
    """Return the compiled ``(primals, tangents) -> (value, tangent)`` of f."""
    function = checked_function(f, "jvp")

    def make() -> Transform:
        options = Options()
        driver = forward.jvp_driver(twin(function), options)
        return Transform(_jvp_signature, driver, options, (0, 1), f"jvp({_name(function)})")

    return remembered(function, ("jvp",), make)


def hvp(f: Function, *, chunk_size: int | None = None) -> Any:
    """Return a function ``(x, v, *args) -> H v``."""
    function = checked_function(f, "hvp")

    def make() -> Transform:
        options = Options(_checked_chunk(chunk_size))
        driver = second.hvp_driver(twin(function), options)
        return Transform(_hvp_signature, driver, options, (0, 1), f"hvp({_name(function)})")

    return remembered(function, ("hvp", chunk_size), make)


def _jvp_signature(primals: Any, tangents: Any) -> None: ...


def _hvp_signature(x: Any, v: Any, *args: Any) -> None: ...


# What `activate` may evaluate while it compiles a function that names a transform.
STATIC_TRANSFORMS.update(
    {
        grad,
        value_and_grad,
        jacobian,
        value_and_jacobian,
        hessian,
        value_grad_hessian,
        derivative,
        hvp,
    }
)
APPLIED_TRANSFORMS[jvp] = jvp_function


def _transform(
    kind: str, f: Function, argnums: Any, mode: str, chunk_size: int | None, make_driver: Any
) -> Transform:
    function = checked_function(f, kind)
    single = not isinstance(argnums, tuple)
    positions = _checked_argnums(kind, argnums)
    if mode not in ("auto", "forward"):
        raise ArgumentError(f"{kind}: mode is {mode!r}; expected 'auto' or 'forward'")

    def make() -> Transform:
        options = Options(_checked_chunk(chunk_size))
        driver = make_driver(twin(function), positions, options, single=single)
        transform = Transform(
            _py_func(function), driver, options, positions, f"{kind}({_name(function)})"
        )
        if not isinstance(getattr(function, "_cache", NullCache()), NullCache):
            key = (kind, positions, single, chunk_size)
            use_cache(transform, lambda: _stamp(function, key), place=function.py_func)
        return transform

    return remembered(function, (kind, positions, single, chunk_size), make)


def _stamp(function: Any, key: Any) -> str:
    return repr((key, package_stamp(), fingerprint(function)))


def _checked_argnums(kind: str, argnums: Any) -> tuple[int, ...]:
    positions = argnums if isinstance(argnums, tuple) else (argnums,)
    whole = all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in positions)
    if not positions or not whole or len(set(positions)) != len(positions):
        raise ArgumentError(
            f"{kind}: argnums is {argnums!r}; expected an argument number, or a tuple of "
            "different ones"
        )
    return tuple(int(i) for i in positions)


def _checked_chunk(chunk_size: int | None) -> int | None:
    if chunk_size is not None and chunk_size not in CHUNKS:
        raise ArgumentError(f"chunk_size is {chunk_size!r}; expected one of {CHUNKS}")
    return chunk_size


def checked_function(f: Any, kind: str) -> Any:
    """Return f as something Numba can compile, or raise."""
    if isinstance(f, Dispatcher | FunctionType):
        return f
    if isinstance(f, np.ufunc | BuiltinFunctionType | Rule | type(functools.reduce)):
        return _wrapped_builtin(f)
    hint = ""
    if isinstance(f, functools.partial) or callable(f):
        hint = " Write a plain function (def or lambda) that calls it."
    raise ArgumentError(
        f"{kind}: expected a Python function or an njit function, got {f!r} of type "
        f"{type(f).__name__}.{hint}"
    )


@functools.cache
def _wrapped_builtin(f: Any) -> Any:
    count = f.nin if isinstance(f, np.ufunc) else getattr(f, "arity", 1)

    def of_one(x: Any) -> Any:
        return f(x)

    def of_two(x: Any, y: Any) -> Any:
        return f(x, y)

    wrapper = of_one if count == 1 else of_two
    wrapper.__name__ = getattr(f, "__name__", None) or f.name
    return wrapper


def _py_func(function: Any) -> Any:
    return getattr(function, "py_func", function)


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))


# In a user's own @njit code a transform is named with a compiled function: grad(f)(x).


def _in_compiled_code(transform: Any) -> None:
    @overload(transform)
    def choose(f, option=None):  # type: ignore[no-untyped-def]
        if not isinstance(f, types.Dispatcher):
            return None
        if option is None or isinstance(option, types.Omitted):
            made = transform(f.dispatcher)
        elif isinstance(option, types.Literal):
            made = transform(f.dispatcher, option.literal_value)
        else:
            raise ForceLiteralArg({1})
        return lambda f, option=None: made


for _transform_function in STATIC_TRANSFORMS:
    _in_compiled_code(_transform_function)


@overload(jvp)
def _jvp_in_compiled_code(f, primals, tangents):  # type: ignore[no-untyped-def]
    if not isinstance(f, types.Dispatcher):
        return None
    made = jvp_function(f.dispatcher)
    return lambda f, primals, tangents: made(primals, tangents)
