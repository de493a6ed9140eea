"""The compiled parts of sparse derivatives, made once for each function and its options."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..drivers.dispatcher import Transform
from ..drivers.factory import cached, name_of
from ..drivers.live import live
from ..functions.memo import remembered
from ..functions.parameters import taking
from ..twin.activation import twin
from .driver import sparse_driver
from .replay_driver import capture_driver, replay_driver


@live
def recording_core(kind: str, f: Any, positions: tuple[int, ...], out: int | None) -> Transform:
    """Return the compiled ``(program, *args) -> (value, tape, rows, entries)``."""

    def driver() -> Any:
        with_value = kind.startswith("value")
        return sparse_driver(twin(f), positions, out, name=kind, with_value=with_value)

    inputs = positions if out is None else (*positions, out)
    return compiled_core(f, (kind, "core", positions, out), inputs, driver)


@live
def capture_core(kind: str, f: Any, positions: tuple[int, ...], out: int | None) -> Transform:
    """Return the compiled ``(0, *args) -> (tape, rows)``."""

    def driver() -> Any:
        return capture_driver(twin(f), positions, out, name=kind)

    inputs = positions if out is None else (*positions, out)
    return compiled_core(f, ("sparse_jacobian", "capture", positions, out), inputs, driver)


@live
def replay_core(kind: str, f: Any, positions: tuple[int, ...], out: int | None) -> Transform:
    """Return the compiled ``(header, *args) -> entries``, or ``(value, entries)``."""

    def driver() -> Any:
        with_value = kind.startswith("value")
        return replay_driver(twin(f), positions, out, name=kind, with_value=with_value)

    inputs = positions if out is None else (*positions, out)
    return compiled_core(f, (kind, "replay", positions, out), inputs, driver)


def compiled_core(
    f: Any, key: Any, inputs: Any, driver: Callable[[], Any], parameter: str = "program"
) -> Transform:
    """Return the transform that runs a driver, made once; its name is the first item of the key.

    It takes the arguments of f after one of its own, `parameter`: a `Program` in one array.
    """

    def make() -> Transform:
        positions = tuple(i + (i >= 0) for i in inputs)
        name = f"{key[0]}({name_of(f)})"
        core = Transform(taking(parameter, "*args"), driver(), positions, name)
        core.label = lambda i: f"argument {i - 1}"
        return cached(core, f, key)

    core: Transform = remembered(f, key, make)
    return core
