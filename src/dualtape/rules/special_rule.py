"""Rows whose values are SciPy's: how `physics` and `probability` enter them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backend.special import SpecialFunction
from .rule import Rule, rule

ULPS = (1e5, 1e6)
"""SciPy's functions lose some digits, their derivatives some more: up to 2e-11 and 2e-10, relative
to the largest of value and derivatives; most rows lose none of these."""


def special_rule(
    described: str,
    *,
    sample: Any,
    arrange: Callable[..., list[Any]] | None = None,
    output: int = 0,
    part: str = "",
    is_named: bool = True,
    **fields: Any,
) -> Callable[[Callable[..., Any]], Rule]:
    """Turn a jet into a `Rule` with the value of a function of `scipy.special`.

    Parameters
    ----------
    described : str
        One of `SPECIAL_FUNCTIONS`; arrange, output and part are those of `SpecialFunction`.
    is_named : bool
        Whether the row has the arguments, and differentiates calls, of the function of that name.
    **fields
        Attributes of `Rule`.
    """
    name = described.partition(":")[0]

    def register(jet: Callable[..., Any]) -> Rule:
        count = jet.__code__.co_argcount
        value = SpecialFunction(described, count, arrange, output, part)
        scipy = (name,) if is_named else ()
        make = rule(value=value, scipy=scipy, sample=sample, ulps=ULPS, singular=True, **fields)
        return make(jet)

    return register
