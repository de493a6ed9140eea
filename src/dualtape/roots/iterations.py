"""Fixed points of iterations, of numbers and of arrays, in compiled code."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from ..arrays.primal import primal_of
from ..backend.jit import by_type
from ..errors import ConvergenceError
from ..implicit.functions import implicit_solution
from ..twin.activation import twin

NO_POINT = "the iteration has not converged after maxiter steps"


@by_type
def accelerated(x0: Any, x1: Any, x2: Any) -> Any:
    """Return what Aitken's delta-squared process makes of three iterates.

    Where the second difference vanishes it is the last iterate.
    """
    return accelerated_array if isinstance(x0, types.Array) else accelerated_number


def accelerated_number(x0: Any, x1: Any, x2: Any) -> Any:
    """Return x0 - (x1 - x0)^2 / (x2 - 2 x1 + x0)."""
    second = x2 - 2.0 * x1 + x0
    return x2 if second == 0.0 else x0 - (x1 - x0) ** 2 / second


def accelerated_array(x0: Any, x1: Any, x2: Any) -> Any:
    """Return the same for each element."""
    out = np.empty(x0.shape)
    flat, a, b, c = out.reshape(out.size), x0.ravel(), x1.ravel(), x2.ravel()
    for i in range(flat.size):
        second = c[i] - 2.0 * b[i] + a[i]
        flat[i] = c[i] if second == 0.0 else a[i] - (b[i] - a[i]) ** 2 / second
    return out


@by_type
def is_near(x: Any, y: Any, xtol: Any) -> Any:
    """Whether the relative distance of all elements is at most `xtol`."""
    if isinstance(x, types.Array):
        return lambda x, y, xtol: np.max(np.abs(x - y) - xtol * np.abs(y)) <= 0.0
    return lambda x, y, xtol: abs(x - y) <= xtol * abs(y)


def fixed_points(function: Any) -> Any:
    """Return (x0, args, xtol, maxiter) -> x, which can be differentiated."""
    image = twin(function)

    def residual(x, *p):  # type: ignore[no-untyped-def]
        return x - image(x, *p)

    def find(x0, args, xtol, maxiter):  # type: ignore[no-untyped-def]
        x = 1.0 * x0
        for _ in range(maxiter):
            x1 = image(x, *args)
            x2 = image(x1, *args)
            trial = accelerated(x, x1, x2)
            if is_near(trial, x, xtol):
                return trial
            x = trial
        raise ConvergenceError(NO_POINT)

    found, at_solution = twin(find), implicit_solution(residual)

    def solve(x0, args=(), xtol=1e-12, maxiter=500):  # type: ignore[no-untyped-def]
        x = found(primal_of(x0), primal_of(args), xtol, maxiter)
        return at_solution(x, args)

    return solve
