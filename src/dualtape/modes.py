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

from . import forward, over_reverse, reverse, second
from .activate import twin
from .alternative import Alternative, by_size, register
from .draws import holds_generator
from .driver import Transform
from .making import (
    cached,
    checked_chunk,
    checked_function,
    checked_mode,
    identity_of,
    make_transform,
    name_of,
)
from .memory import remembered
from .plan import leaves

__all__ = ["gradient", "hessian", "jacobian", "product"]

GRADIENT = 32
"""Inputs up to which a gradient is computed forward."""
HESSIAN = 24
"""Inputs up to which a Hessian is computed by hyper-dual blocks."""
PRODUCT = 40
"""Inputs up to which H v is computed by hyper-dual numbers."""


class Auto:
    """A driver that runs in one mode, with the other as an alternative for other sizes.

    Parameters
    ----------
    drivers : (callable, callable)
        Those for up to `limit` inputs and for more.
    argnums : tuple of int
        Which arguments count.
    limit : int
        See above.
    identity : callable
        What tells this transform from all others, in every process.
    name : str
        Of the transform.
    """

    def __init__(
        self,
        drivers: tuple[Any, Any],
        argnums: tuple[int, ...],
        limit: int,
        identity: Callable[[], str],
        name: str,
    ) -> None:
        self.drivers = drivers
        self.argnums = argnums
        self.limit = limit
        self.identity = functools.cache(identity)
        self.name = name
        self.seen: int | None = None  # inputs of the Python call that is compiled for

    def __call__(self, typingctx: Any, packed: Any) -> Any:
        """Return signature and code."""
        argnums = tuple(i % len(packed) for i in self.argnums if -len(packed) <= i < len(packed))
        inputs = [leaf for i in argnums for leaf in leaves(packed[i])]
        if not any(isinstance(leaf, types.Array) for leaf in inputs):
            return self.drivers[len(inputs) > self.limit](typingctx, packed)
        if holds_generator(packed):  # reverse mode evaluates the function once
            return self.drivers[1](typingctx, packed)
        first = int(self.seen is not None and self.seen > self.limit)
        sig, eager = self.drivers[first](typingctx, packed)
        other = Alternative(self.prepare(packed, 1 - first), packed, sig.return_type)
        operator = "<=" if first else ">"

        def wanted(builder: Any, n: Any) -> Any:
            return builder.icmp_signed(operator, n, n.type(self.limit))

        return sig, by_size(eager, other, packed, argnums, wanted)

    def prepare(self, packed: Any, which: int | None = None) -> int:
        """Make the alternatives known that compiled code may ask for; return one's key."""
        return [register(self.identity(), packed, self, i) for i in range(2)][which or 0]

    def compiled(self, which: int, packed: Any) -> Any:
        """Compile one of the drivers."""
        return compiled_for(self.drivers[which], packed, self.name)


def compiled_for(driver: Any, packed: Any, name: str) -> Any:
    """Compile a driver as a function of its packed arguments; return Numba's result."""

    def unpacked(typingctx: Any, outer: Any) -> Any:
        sig, code = driver(typingctx, outer[0])

        def codegen(context: Any, builder: Any, _: Any, args: Any) -> Any:
            return code(context, builder, sig, (builder.extract_value(args[0], 0),))

        return sig.return_type(outer), codegen

    transform = Transform(_packed_signature, unpacked, (), name)
    transform.compile((packed,))
    return transform.overloads[(packed,)]


def _packed_signature(packed: Any) -> None: ...


def gradient(kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``grad(f)`` or ``value_and_grad(f)``."""
    with_value = kind.startswith("value")
    few = functools.partial(
        forward.gradient_driver, with_value=with_value, chunk_size=checked_chunk(chunk_size)
    )
    many = functools.partial(reverse.gradient_driver, with_value=with_value)
    return _in_mode(kind, f, argnums, _only_forward(mode, chunk_size), (few, many), GRADIENT)


def _only_forward(mode: str, chunk_size: int | None) -> tuple[str, int | None]:
    """Return mode and option; who asks for a chunk size asks for forward mode."""
    return ("forward" if mode == "auto" and chunk_size is not None else mode), chunk_size


def _in_mode(
    kind: str, f: Any, argnums: Any, how: tuple[str, Any], drivers: Any, limit: int
) -> Transform:
    mode, option = how
    checked_mode(kind, mode)

    def make(activated: Any, positions: tuple[int, ...], *, single: bool, option: Any) -> Any:
        few, many = drivers
        if mode != "auto":
            return (few if mode == "forward" else many)(activated, positions, single=single)
        made = [driver(activated, positions, single=single) for driver in (few, many)]
        function = checked_function(f, kind)
        identity = identity_of(function, (kind, positions, single))
        name = f"{kind}({name_of(function)})"
        return Auto((made[0], made[1]), positions, limit, identity, name)

    return make_transform(kind, f, argnums, mode, {"option": option}, make)


def jacobian(kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``jacobian(f)`` or ``value_and_jacobian(f)``."""
    with_value = kind.startswith("value")
    mode, _ = _only_forward(checked_mode(kind, mode), chunk_size)
    chunk = checked_chunk(chunk_size)
    few = functools.partial(forward.jacobian_driver, with_value=with_value, chunk_size=chunk)
    many = functools.partial(reverse.jacobian_driver, with_value=with_value)

    def make(activated: Any, positions: tuple[int, ...], *, single: bool, option: Any) -> Any:
        if mode != "auto":
            return (few if mode == "forward" else many)(activated, positions, single=single)
        function = checked_function(f, kind)
        identity = identity_of(function, (kind, positions, single))
        other = many(activated, positions, single=single)
        lazy = AutoJacobian(other, identity, f"{kind}({name_of(function)})")
        return lazy.driver(few(activated, positions, single=single, other=lazy))

    return make_transform(kind, f, argnums, mode, {"option": chunk_size}, make)


class AutoJacobian:
    """The alternative of a forward Jacobian, asked for once the number of outputs is known."""

    def __init__(self, other: Any, identity: Callable[[], str], name: str) -> None:
        self.other = other
        self.identity = functools.cache(identity)
        self.name = name

    def driver(self, emit: Any) -> Any:
        """Return the forward driver, which compiled code from a cache can ask the same of."""
        emit.prepare = self.prepare
        return emit

    def prepare(self, packed: Any) -> int:
        """Make the alternative known; return its key."""
        return register(self.identity(), packed, self, 0)

    def compiled(self, which: int, packed: Any) -> Any:
        """Compile the reverse driver."""
        return compiled_for(self.other, packed, self.name)

    def __call__(self, packed: Any, returned: Any) -> Alternative:
        """Return the alternative for these types."""
        return Alternative(self.prepare(packed), packed, returned)

    @staticmethod
    def wanted(builder: Any, n: Any, m: Any) -> Any:
        """Whether reverse mode is better for n inputs and m outputs."""
        many = builder.icmp_signed(">", n, n.type(GRADIENT))
        return builder.and_(many, builder.icmp_signed(">", n, builder.mul(m, m.type(4))))


def hessian(kind: str, f: Any, argnums: Any, mode: str) -> Transform:
    """Return ``hessian(f)`` or ``value_grad_hessian(f)``."""
    with_value = kind.startswith("value")
    few = functools.partial(second.hessian_driver, with_value=with_value)

    def many(_: Any, positions: tuple[int, ...], *, single: bool) -> Any:
        first = gradient("value_and_grad", f, argnums, "reverse", None)
        return over_reverse.hessian_driver(first, positions, single=single, with_value=with_value)

    return _in_mode(kind, f, argnums, (mode, None), (few, many), HESSIAN)


def product(f: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``hvp(f)``."""
    function, chunk = checked_function(f, "hvp"), checked_chunk(chunk_size)
    checked_mode("hvp", mode)
    mode, _ = _only_forward(mode, chunk)
    key = ("hvp", mode, chunk)

    def make() -> Transform:
        name = f"hvp({name_of(function)})"
        few = second.hvp_driver(twin(function), chunk)
        many = over_reverse.hvp_driver(gradient("grad", function, 0, "reverse", None))
        driver = many if mode == "reverse" else few
        if mode == "auto":
            driver = Auto((few, many), (0,), PRODUCT, identity_of(function, "hvp"), name)
        return cached(Transform(_hvp_signature, driver, (0, 1), name), function, key)

    return remembered(function, key, make)


def _hvp_signature(x: Any, v: Any, *args: Any) -> None: ...
