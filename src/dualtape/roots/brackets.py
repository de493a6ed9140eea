"""Roots of one equation within a bracket, by bisection and by Brent's method, in compiled code.

Both are SciPy's algorithms, step by step, so they return the same numbers.

R. P. Brent, Algorithms for Minimization without Derivatives, Prentice-Hall 1973, chapter 4.
"""

from __future__ import annotations

import math
from typing import Any

from ..backend.jit import kernel
from ..errors import ArgumentValueError, ConvergenceError
from ..twin.activation import twin

SAME_SIGN = "f(a) and f(b) must have different signs"
NOT_CONVERGED = "the bracket is not small enough after maxiter steps"


@kernel
def require_bracket(fa: float, fb: float) -> None:
    """Raise unless two values have different signs."""
    if math.isnan(fa) or math.isnan(fb) or (fa > 0.0) == (fb > 0.0):
        raise ArgumentValueError(SAME_SIGN)


def bisection(f: Any) -> Any:
    """Return the twin of (a, b, args, xtol, rtol, maxiter) -> x, by bisection."""

    def find(a, b, args, xtol, rtol, maxiter):  # type: ignore[no-untyped-def]
        fa, fb = f(a, *args), f(b, *args)
        if fa == 0.0 or fb == 0.0:
            return a if fa == 0.0 else b
        require_bracket(fa, fb)
        x, width = a, b - a
        for _ in range(maxiter):
            width *= 0.5
            middle = x + width
            fm = f(middle, *args)
            if (fm > 0.0) == (fa > 0.0) and fm != 0.0:
                x = middle
            if fm == 0.0 or abs(width) < xtol + rtol * abs(middle):
                return middle
        raise ConvergenceError(NOT_CONVERGED)

    return twin(find)


def brent(f: Any) -> Any:
    """Return the same by Brent's method: inverse quadratic steps, and bisection where they fail."""

    def find(a, b, args, xtol, rtol, maxiter):  # type: ignore[no-untyped-def]
        before, x = a, b
        f_before, fx = f(a, *args), f(b, *args)
        if f_before == 0.0 or fx == 0.0:
            return a if f_before == 0.0 else b
        require_bracket(f_before, fx)
        other, f_other, step, last = a, f_before, b - a, b - a
        for _ in range(maxiter):
            if f_before != 0.0 and fx != 0.0 and (f_before > 0.0) != (fx > 0.0):
                other, f_other = before, f_before
                step = last = x - before
            if abs(f_other) < abs(fx):
                before, x, other = x, other, x
                f_before, fx, f_other = fx, f_other, fx
            near, half = 0.5 * (xtol + rtol * abs(x)), 0.5 * (other - x)
            if fx == 0.0 or abs(half) < near:
                return x
            trial = half
            if abs(last) > near and abs(fx) < abs(f_before):
                if before == other:
                    trial = -fx * (x - before) / (fx - f_before)
                else:
                    by_before = (f_before - fx) / (before - x)
                    by_other = (f_other - fx) / (other - x)
                    numerator = f_other * by_other - f_before * by_before
                    trial = -fx * numerator / (by_other * by_before * (f_other - f_before))
                if not 2.0 * abs(trial) < min(abs(last), 3.0 * abs(half) - near):
                    trial = half
            last = half if trial == half else step
            step = trial
            before, f_before = x, fx
            if abs(step) > near:
                x += step
            else:
                x += near if half > 0.0 else -near
            fx = f(x, *args)
        raise ConvergenceError(NOT_CONVERGED)

    return twin(find)
