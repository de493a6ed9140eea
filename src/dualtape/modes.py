"""Which driver computes a derivative: forward or reverse mode.

Break-even points measured by benchmarks/bench_modes.py.
"""

from __future__ import annotations

import functools
from typing import Any

from . import forward, over_reverse, reverse, second
from .activate import twin
from .driver import Transform
from .making import cached, checked_chunk, checked_function, checked_mode, make_transform, name_of
from .memory import remembered

__all__ = ["gradient", "hessian", "jacobian", "product"]


def gradient(kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``grad(f)`` or ``value_and_grad(f)``."""
    return _first(kind, f, argnums, mode, chunk_size, (forward, reverse), "gradient_driver")


def jacobian(kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``jacobian(f)`` or ``value_and_jacobian(f)``."""
    return _first(kind, f, argnums, mode, chunk_size, (forward, reverse), "jacobian_driver")


def _first(
    kind: str, f: Any, argnums: Any, mode: str, chunk_size: int | None, modules: Any, name: str
) -> Transform:
    with_value = kind.startswith("value")
    chunk = checked_chunk(chunk_size)
    if checked_mode(kind, mode) == "reverse":
        make = functools.partial(getattr(modules[1], name), with_value=with_value)
        return make_transform(kind, f, argnums, mode, {}, make)
    make = functools.partial(getattr(modules[0], name), with_value=with_value)
    return make_transform(kind, f, argnums, mode, {"chunk_size": chunk}, make)


def hessian(kind: str, f: Any, argnums: Any, mode: str) -> Transform:
    """Return ``hessian(f)`` or ``value_grad_hessian(f)``."""
    with_value = kind.startswith("value")
    if checked_mode(kind, mode) != "reverse":
        make = functools.partial(second.hessian_driver, with_value=with_value)
        return make_transform(kind, f, argnums, mode, {}, make)
    first = gradient("value_and_grad", f, argnums, "reverse", None)

    def make_reverse(_: Any, positions: tuple[int, ...], *, single: bool) -> Any:
        return over_reverse.hessian_driver(first, positions, single=single, with_value=with_value)

    return make_transform(kind, f, argnums, mode, {}, make_reverse)


def product(f: Any, mode: str, chunk_size: int | None) -> Transform:
    """Return ``hvp(f)``."""
    function, chunk = checked_function(f, "hvp"), checked_chunk(chunk_size)
    key = ("hvp", checked_mode("hvp", mode), chunk)

    def make() -> Transform:
        if mode == "reverse":
            driver = over_reverse.hvp_driver(gradient("grad", function, 0, "reverse", None))
        else:
            driver = second.hvp_driver(twin(function), chunk)
        made = Transform(_hvp_signature, driver, (0, 1), f"hvp({name_of(function)})")
        return cached(made, function, key)

    return remembered(function, key, make)


def _hvp_signature(x: Any, v: Any, *args: Any) -> None: ...
