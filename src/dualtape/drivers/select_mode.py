"""Which driver computes a derivative: forward or reverse mode.

In mode "auto" forward mode computes derivatives by few inputs and reverse mode those by many.  The
break-even points below were measured by ``python -m benchmarks.modes`` as the sizes from which
reverse mode is faster on loops like Rosenbrock's function; they depend on the function, and near
them the two differ little.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba.core import types

from ..backend.on_demand import Alternative, by_size, register
from ..functions.memo import remembered
from ..functions.parameters import taking
from ..functions.pickling import sent_as
from ..functions.reach import factors_matrices
from .dispatcher import Body, Transform
from .factory import (
    Request,
    cached,
    checked_function,
    identity_of,
    lazy_driver,
    make_transform,
    name_of,
    py_func_of,
    twin_driver,
)
from .live import live
from .options import checked_argnums, checked_chunk, checked_mode, direction_position

GRADIENT = 32
"""Inputs up to which a gradient is computed forward."""
FACTORING = 4
"""The same of functions that factor matrices.

A sweep of dual numbers through a factorization costs as much as the reverse sweep for all inputs.
Measured, ratios of the gradient to the function, forward and reverse: Cholesky 2 x 2 8 and 7,
3 x 3 14 and 7, 5 x 5 35 and 7; slogdet 5, 7, 14 and 4; inv 3, 5, 11 and 3; eigvalsh 5, 7, 57 and 3.
"""
HESSIAN = 24
"""Inputs up to which a Hessian is computed by hyper-dual blocks."""
PRODUCT = 40
"""Inputs up to which H v is computed by hyper-dual numbers."""


class _WithAlternatives(Body):
    """A driver whose compiled code may ask for alternatives at run time."""

    def __init__(self, drivers: Any, identity: Callable[[], str], name: str) -> None:
        self.drivers = drivers
        self.identity = functools.cache(identity)
        self.name = name

    def prepare(self, packed: Any) -> None:
        """Register the alternatives."""
        self._keys(packed)

    def _keys(self, packed: Any) -> list[int]:
        return [register(self.identity(), packed, self, i) for i in range(len(self.drivers))]

    def compiled(self, which: int, packed: Any) -> Any:
        """Compile one of the drivers."""
        return compiled_for(self.drivers[which], packed, self.name)


class Auto(_WithAlternatives):
    """A driver that runs in one mode, with the other as an alternative for other sizes.

    Parameters
    ----------
    drivers : (callable, callable)
        For up to `limit` inputs, and for more.
    identity : callable
        Returns what identifies the transform, in every process.
    name : str
        Of the transform.
    argnums : tuple of int
        Which arguments hold the inputs.
    limit : int
        See `drivers`.
    """

    def __init__(
        self,
        drivers: tuple[Any, Any],
        identity: Callable[[], str],
        name: str,
        argnums: Any,
        limit: int,
    ) -> None:
        super().__init__(drivers, identity, name)
        self.argnums = argnums
        self.limit = limit
        self._size = 0  # inputs of the Python call that is compiled for

    def note_size(self, count: int) -> None:
        """Note the number of inputs."""
        self._size = count

    def __call__(self, typingctx: Any, packed: Any) -> Any:
        """Return signature and code."""
        from .random_state import holds_generator
        from .signature import leaves

        argnums = tuple(i % len(packed) for i in self.argnums if -len(packed) <= i < len(packed))
        inputs = [leaf for i in argnums for leaf in leaves(packed[i])]
        if not any(isinstance(leaf, types.Array) for leaf in inputs):
            return self.drivers[len(inputs) > self.limit](typingctx, packed)
        if holds_generator(packed):  # reverse mode evaluates the function once
            return self.drivers[1](typingctx, packed)
        first = int(self._size > self.limit)
        try:
            sig, eager = self.drivers[first](typingctx, packed)
        except Exception:
            if not first:
                raise
            # Whatever the reason: a function that works for few inputs works for many, as in
            # `backend.on_demand`, whichever call comes first.
            return self.drivers[0](typingctx, packed)
        other = Alternative(self._keys(packed)[1 - first], packed, sig.return_type)
        operator = "<=" if first else ">"

        def is_better(builder: Any, n: Any) -> Any:
            return builder.icmp_signed(operator, n, n.type(self.limit))

        return sig, by_size(eager, other, packed, argnums, is_better)


def compiled_for(driver: Any, packed: Any, name: str) -> Any:
    """Compile a driver as a function of its packed arguments; return Numba's result."""

    def unpacked(typingctx: Any, outer: Any) -> Any:
        sig, code = driver(typingctx, outer[0])

        def codegen(context: Any, builder: Any, _: Any, args: Any) -> Any:
            return code(context, builder, sig, (builder.extract_value(args[0], 0),))

        return sig.return_type(outer), codegen

    transform = Transform(taking("packed"), unpacked, (), name)
    transform.compile((packed,))
    return transform.overloads[(packed,)]


@live
def gradient(kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``grad(f)`` or ``value_and_grad(f)``."""
    chunk = checked_chunk(kind, chunk_size)

    def drivers(function: Any, request: Request) -> tuple[Any, Any]:
        forward = twin_driver("forward.gradient_driver", function, request, chunk)
        return forward, twin_driver("reverse.gradient_driver", function, request)

    return _by_mode(kind, f, argnums, mode, chunk_size, drivers, _limit)


def _limit(function: Any) -> int:
    """Return up to how many inputs the gradient of a function is computed forward."""
    return FACTORING if factors_matrices(function) else GRADIENT


def _checked_mode(kind: str, mode: str, chunk_size: int | None) -> str:
    """Return the mode, or raise; a chunk size selects forward mode."""
    mode = checked_mode(kind, mode)
    return "forward" if mode == "auto" and chunk_size is not None else mode


def _by_mode(
    kind: str,
    f: Any,
    argnums: Any,
    mode: str,
    chunk_size: int | None,
    drivers: Callable[[Any, Request], tuple[Any, Any]],
    limit: Callable[[Any], int],
) -> Transform:
    mode = _checked_mode(kind, mode, chunk_size)

    def make(function: Any, request: Request) -> Any:
        forward, reverse = drivers(function, request)
        if mode != "auto":
            return forward if mode == "forward" else reverse
        identity, name = identity_of(function, request), f"{kind}({name_of(function)})"
        return Auto((forward, reverse), identity, name, request.argnums, limit(function))

    return make_transform(kind, f, argnums, mode, {"chunk_size": chunk_size}, make)


@live
def jacobian(kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``jacobian(f)`` or ``value_and_jacobian(f)``."""
    mode, chunk = _checked_mode(kind, mode, chunk_size), checked_chunk(kind, chunk_size)

    def make(function: Any, request: Request) -> Any:
        path = "forward.jacobian_driver"
        forward = functools.partial(twin_driver, path, function, request, chunk)
        reverse = twin_driver("reverse.jacobian_driver", function, request)
        if mode != "auto":
            return forward() if mode == "forward" else reverse
        identity, name = identity_of(function, request), f"{kind}({name_of(function)})"
        return AutoJacobian(forward, reverse, identity, name)

    return make_transform(kind, f, argnums, mode, {"chunk_size": chunk_size}, make)


class AutoJacobian(_WithAlternatives):
    """A forward Jacobian that asks for the reverse one once the number of outputs is known."""

    def __init__(self, forward: Any, reverse: Any, identity: Callable[[], str], name: str) -> None:
        super().__init__((reverse,), identity, name)
        self._forward = forward(other=self)

    def __call__(self, typingctx: Any, packed: Any) -> Any:
        """Return signature and code."""
        return self._forward(typingctx, packed)

    def alternative(self, packed: Any, return_type: Any) -> Alternative:
        """Return the alternative for these types."""
        return Alternative(self._keys(packed)[0], packed, return_type)

    @staticmethod
    def is_better(builder: Any, n: Any, m: Any) -> Any:
        """Whether reverse mode is better for n inputs and m outputs."""
        is_large = builder.icmp_signed(">", n, n.type(GRADIENT))
        return builder.and_(is_large, builder.icmp_signed(">", n, builder.mul(m, m.type(4))))


@live
def hessian(kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``hessian(f)`` or ``value_grad_hessian(f)``."""
    chunk = checked_chunk(kind, chunk_size)

    def drivers(function: Any, request: Request) -> tuple[Any, Any]:
        def first_order() -> Transform:
            return gradient("value_and_grad", f, argnums, "reverse", None)

        forward = twin_driver("forward.hessian_driver", function, request, chunk)
        return forward, lazy_driver("forward.hessian_over_reverse_driver", first_order, request)

    return _by_mode(kind, f, argnums, mode, chunk_size, drivers, lambda _: HESSIAN)


@live
def product(f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``hvp(f)``."""
    function, chunk = checked_function(f, "hvp"), checked_chunk("hvp", chunk_size)
    mode = _checked_mode("hvp", mode, chunk)
    positions = checked_argnums("hvp", argnums, py_func_of(function))
    request = Request("hvp", positions, not isinstance(argnums, tuple))
    name = f"hvp({name_of(function)})"
    position = direction_position(name, positions)
    key = (mode, request, chunk)

    def first_order() -> Transform:
        return gradient("grad", function, argnums, "reverse", None)

    def make() -> Transform:
        forward = twin_driver("forward.hvp_driver", function, request, position, chunk)
        reverse = lazy_driver("forward.hvp_over_reverse_driver", first_order, request, position)
        driver: Any = reverse if mode == "reverse" else forward
        if mode == "auto":
            driver = Auto((forward, reverse), identity_of(function, key), name, positions, PRODUCT)
        signature = taking("x", "v", "*args") if positions == (0,) else taking("*args")
        inputs = (*positions, position)
        transform = cached(Transform(signature, driver, inputs, name), function, key)
        transform.label = functools.partial(_label, position)
        return sent_as(transform, "hvp", (f,), argnums, mode=mode, chunk_size=chunk)

    return remembered(function, key, make)


def _label(position: int, i: int) -> str:
    return "the direction" if i == position else f"argument {i - (i > position)}"
