"""Functions of base two: ``ldexp(x, n)`` is x * 2**n, ``np.logaddexp2`` is np.logaddexp scaled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.core import types

from ..rules import table
from .emitted import Emitted, call, find_emitted, strong
from .evaluation import level_of
from .registration import WITH_INTEGERS, integer_constant, register
from .types import NumberType, operation_type


def _ldexp(x: Any, n: Any) -> Any:
    """Return x * 2**n: linear in x, and the factor is exact."""
    if not isinstance(n, Emitted):
        n = integer_constant(find_emitted(x), n)
    if not level_of(x):
        return call(math.ldexp, x, n)
    factor = call(math.ldexp, n.cast(types.float64).constant(1.0), n)
    return x.lift1(_ldexp(x.value, n), factor, None, strong)


def _ldexp_type(typing_context: Any, args: Any) -> Any:
    x, n = args
    return operation_type([x]) if isinstance(x, NumberType) and _is_whole(n) else None


def _is_whole(ty: Any) -> bool:
    return isinstance(types.unliteral(ty), types.Integer)


def _logaddexp2(x: Any, y: Any) -> Any:
    """Return log2(2**x + 2**y); the derivatives are those of logaddexp at x log 2, y log 2."""
    if not level_of(x) and not level_of(y):
        return call(np.logaddexp2, x, y)
    a, b = (table.LN2 * (v if isinstance(v, Emitted) or level_of(v) else float(v)) for v in (x, y))
    scaled = table.logaddexp(a, b) * (1.0 / table.LN2)
    inner = [v.value if level_of(v) == scaled.level else v for v in (x, y)]
    return scaled.with_value(_logaddexp2(*inner))


for _target in (math.ldexp, np.ldexp):
    WITH_INTEGERS.add(_target)
    register(_target, _ldexp, _ldexp_type)
register(np.logaddexp2, _logaddexp2)
