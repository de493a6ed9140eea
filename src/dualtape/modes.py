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

from .alternative import Alternative, by_size, register
from .driver import Transform
from .live import live
from .making import (
    cached,
    checked_chunk,
    checked_function,
    checked_mode,
    deferred,
    identity_of,
    make_transform,
    name_of,
)
from .memory import remembered
from .reach import factors_matrices
from .travel import sent_as

__all__ = ["gradient", "hessian", "jacobian", "product"]

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
        from .draws import holds_generator
        from .plan import leaves

        argnums = tuple(i % len(packed) for i in self.argnums if -len(packed) <= i < len(packed))
        inputs = [leaf for i in argnums for leaf in leaves(packed[i])]
        if not any(isinstance(leaf, types.Array) for leaf in inputs):
            return self.drivers[len(inputs) > self.limit](typingctx, packed)
        if holds_generator(packed):  # reverse mode evaluates the function once
            return self.drivers[1](typingctx, packed)
        first = int(self.seen is not None and self.seen > self.limit)
        try:
            sig, eager = self.drivers[first](typingctx, packed)
        except Exception:
            if not first:
                raise
            # Whatever is wrong with it: what works for few inputs works for many, as in
            # `alternative`, whichever are asked for first.
            return self.drivers[0](typingctx, packed)
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


@live
def gradient(kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``grad(f)`` or ``value_and_grad(f)``."""
    with_value, chunk = kind.startswith("value"), checked_chunk(chunk_size)

    def few(twin: Any, positions: tuple[int, ...], *, single: bool) -> Any:
        from .forward import gradient_driver

        return gradient_driver(twin, positions, chunk, single=single, with_value=with_value)

    def many(twin: Any, positions: tuple[int, ...], *, single: bool) -> Any:
        from .reverse import gradient_driver

        return gradient_driver(twin, positions, single=single, with_value=with_value)

    how = _only_forward(mode, chunk_size), {"chunk_size": chunk_size}
    return _in_mode(kind, f, argnums, how, (few, many), _limit)


def _limit(function: Any) -> int:
    """Return the inputs up to which the gradient of a function is computed forward."""
    return FACTORING if factors_matrices(function) else GRADIENT


def _only_forward(mode: str, chunk_size: int | None) -> str:
    """Return the mode; who asks for a chunk size asks for forward mode."""
    return "forward" if mode == "auto" and chunk_size is not None else mode


def _of_twin(make: Any, function: Any, positions: tuple[int, ...], **options: Any) -> Any:
    """Return the driver that `make` will make of the function's twin."""

    def driver() -> Any:
        from .activate import twin

        return make(twin(function), positions, **options)

    return deferred(driver)


def _in_mode(
    kind: str,
    f: Any,
    argnums: Any,
    how: tuple[str, dict[str, Any]],
    drivers: Any,
    limit: Callable[[Any], int],
) -> Transform:
    mode, named = how
    checked_mode(kind, mode)

    def make(function: Any, positions: tuple[int, ...], *, single: bool) -> Any:
        few, many = (_of_twin(driver, function, positions, single=single) for driver in drivers)
        if mode != "auto":
            return few if mode == "forward" else many
        identity = identity_of(function, (kind, positions, single))
        name = f"{kind}({name_of(function)})"
        return Auto((few, many), positions, limit(function), identity, name)

    return make_transform(kind, f, argnums, mode, named, make)


@live
def jacobian(kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``jacobian(f)`` or ``value_and_jacobian(f)``."""
    with_value = kind.startswith("value")
    mode = _only_forward(checked_mode(kind, mode), chunk_size)
    chunk = checked_chunk(chunk_size)

    def few(twin: Any, positions: tuple[int, ...], *, single: bool, other: Any = None) -> Any:
        from .forward import jacobian_driver

        return jacobian_driver(
            twin, positions, chunk, single=single, with_value=with_value, other=other
        )

    def many(twin: Any, positions: tuple[int, ...], *, single: bool) -> Any:
        from .reverse import jacobian_driver

        return jacobian_driver(twin, positions, single=single, with_value=with_value)

    def make(function: Any, positions: tuple[int, ...], *, single: bool) -> Any:
        if mode != "auto":
            driver = few if mode == "forward" else many
            return _of_twin(driver, function, positions, single=single)
        identity = identity_of(function, (kind, positions, single))
        other = _of_twin(many, function, positions, single=single)
        lazy = AutoJacobian(other, identity, f"{kind}({name_of(function)})")
        return lazy.driver(_of_twin(few, function, positions, single=single, other=lazy))

    return make_transform(kind, f, argnums, mode, {"chunk_size": chunk_size}, make)


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


@live
def hessian(kind: str, f: Any, argnums: Any, mode: str) -> Transform:
    """Return ``hessian(f)`` or ``value_grad_hessian(f)``."""
    with_value = kind.startswith("value")

    def few(twin: Any, positions: tuple[int, ...], *, single: bool) -> Any:
        from .second import hessian_driver

        return hessian_driver(twin, positions, single=single, with_value=with_value)

    def many(_: Any, positions: tuple[int, ...], *, single: bool) -> Any:
        from .over_reverse import hessian_driver

        first = gradient("value_and_grad", f, argnums, "reverse", None)
        return hessian_driver(first, positions, single=single, with_value=with_value)

    return _in_mode(kind, f, argnums, (mode, {}), (few, many), lambda _: HESSIAN)


@live
def product(f: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``hvp(f)``."""
    function, chunk = checked_function(f, "hvp"), checked_chunk(chunk_size)
    checked_mode("hvp", mode)
    mode = _only_forward(mode, chunk)
    key = ("hvp", mode, chunk)

    def few() -> Any:
        from . import activate, second

        return second.hvp_driver(activate.twin(function), chunk)

    def many() -> Any:
        from .over_reverse import hvp_driver

        return hvp_driver(gradient("grad", function, 0, "reverse", None))

    def make() -> Transform:
        name = f"hvp({name_of(function)})"
        driver: Any = deferred(many if mode == "reverse" else few)
        if mode == "auto":
            identity = identity_of(function, "hvp")
            driver = Auto((deferred(few), deferred(many)), (0,), PRODUCT, identity, name)
        made = cached(Transform(_hvp_signature, driver, (0, 1), name), function, key)
        return sent_as(made, "hvp", (f,), mode=mode, chunk_size=chunk)

    return remembered(function, key, make)


def _hvp_signature(x: Any, v: Any, *args: Any) -> None: ...
