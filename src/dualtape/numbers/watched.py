"""Products and powers of numbers that may be infinite, separate from ``*`` and ``**``.

Most products of a user's function are of finite numbers and need no care; `analysis.unbounded`
finds the others.
"""

from __future__ import annotations

import operator
from typing import Any

from .evaluation import level_of
from .registration import ELEMENTWISE, INPLACE_OF, WITH_INTEGERS, register
from .strong_zero import watchful


def watched_mul(x: Any, y: Any) -> Any:
    """Return x * y, in which partials that are zero stay zero (compiled code only)."""
    raise NotImplementedError


def watched_imul(x: Any, y: Any) -> Any:
    """Do ``x *= y`` in the same way (compiled code only)."""
    raise NotImplementedError


def watched_pow(x: Any, n: Any) -> Any:
    """Return x**n in the same way (compiled code only)."""
    raise NotImplementedError


def _power(x: Any, n: Any) -> Any:
    if isinstance(n, int) and level_of(x):
        return x.integer_power(n, watched=True)
    return x**n


WITH_INTEGERS.add(watched_pow)
INPLACE_OF[watched_mul] = watched_imul
register(watched_mul, watchful)
register(watched_imul, watchful)
register(watched_pow, _power, ELEMENTWISE[operator.pow][1])
WATCHED = {
    operator.mul: watched_mul,
    operator.imul: watched_imul,
    operator.pow: watched_pow,
}
