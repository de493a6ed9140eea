"""Evaluating a jet: in plain Python at the prompt, by its compiled form in generated code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types

from ..backend.jit import compiled
from ..errors import ArgumentError
from ..rules.rule import Rule
from .emitted import Emitted, call_tuple


def level_of(value: Any) -> int:
    """Return the nesting level of a value: 0 for a plain one."""
    return getattr(value, "level", 0)


def primal(value: Any) -> Any:
    """Return the plain value inside any number of levels."""
    while level_of(value) > 0:
        value = value.value
    return value


class Late:
    """A second derivative that is computed only by families which use it."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self.make = make


def settle(derivative: Any) -> Any:
    """Return a derivative, computed now if it is `Late`."""
    return derivative.make() if isinstance(derivative, Late) else derivative


def repeated_product(x: Any, n: int) -> Any:
    """Return x**n, n >= 0, by repeated squaring: the multiplications of Numba's own ``x**n``."""
    result = None
    while n:
        if n & 1:
            result = x if result is None else result * x
        n >>= 1
        if n:
            x = x * x
    return 1.0 if result is None else result


def jet_of(rule: Rule, values: list[Any]) -> tuple[Any, ...]:
    """Evaluate a jet: by its compiled form in generated code, in plain Python at the prompt."""
    if any(is_emitted(value) for value in values):
        return _require_complete(rule, call_tuple(compiled(rule.jet), *_in_one_precision(values)))
    # NumPy's floats never raise; a jet called by another one returns them.
    is_nested = any(isinstance(primal(value), np.float64) for value in values)
    with np.errstate(all="ignore"):
        jet = _require_complete(rule, rule.jet(*(_convert(value, np.float64) for value in values)))
        return tuple(_convert(entry, np.float64 if is_nested else float) for entry in jet)


def _require_complete(rule: Rule, jet: Any) -> tuple[Any, ...]:
    """Return a jet; raise where a user's lacks entries."""
    if isinstance(jet, tuple) and len(jet) == 3 * rule.actives:
        return jet
    returned = f"{len(jet)} values" if isinstance(jet, tuple) and len(jet) > 1 else "one value"
    expected = "(f, f1, f11)" if rule.actives == 1 else "(f, fx, fy, fxx, fxy, fyy)"
    raise ArgumentError(
        f"the jet that custom_rule was given for {rule.name} returns {returned}; "
        f"expected {expected}"
    )


def _convert(value: Any, to: Any) -> Any:
    """Return a number (or lanes of one) with all its floats converted."""
    if isinstance(value, tuple):
        return type(value)(_convert(lane, to) for lane in value)
    if level_of(value):
        fields = (getattr(value, name) for name in value.FIELDS)
        return type(value).of(*(_convert(field, to) for field in fields))
    return to(value)


def _in_one_precision(values: list[Any]) -> list[Any]:
    """Cast passive values to the precision of all: log(y) of a float32 y would lose digits."""
    plain = [primal(value) for value in values]
    single = all(isinstance(p, Emitted) and p.type == types.float32 for p in plain)
    float_type = types.float32 if single else types.float64
    return [value.cast(float_type) if isinstance(value, Emitted) else value for value in values]


def is_emitted(value: Any) -> bool:
    """Whether a value belongs to generated code."""
    return isinstance(primal(value), Emitted)
