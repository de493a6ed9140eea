"""Newton's method in compiled code, for equations and for minima, with exact derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from ..backend.jit import by_type
from ..errors import ConvergenceError
from ..transforms.derivatives import value_and_jacobian, value_grad_hessian
from ..twin.activation import twin
from .linear import inverse, largest, newton_step, stepped

STEPS = 200
"""The largest number of steps of Newton's method."""
TOLERANCE = 1e-11
"""Relative length of the last step: the next one would be its square."""
DESCENT = 1e-4
"""The fraction of the predicted descent that a step must achieve (Armijo's rule)."""


@by_type
def descending(curvature: Any, slope: Any) -> Any:
    """Return a descent step, to be subtracted, and its descent at first order.

    Saddles are left along negative curvature, flat directions are not followed far.
    """
    return descending_array if isinstance(slope, types.Array) else descending_number


def descending_array(curvature: Any, slope: Any) -> Any:
    """Return the Newton step with the absolute values of the curvatures, and its descent."""
    values, vectors = np.linalg.eigh(curvature)
    steep = np.maximum(np.abs(values), 1e-10 * largest(values) + 1e-300)
    step = vectors @ ((vectors.T @ slope) / steep)
    return step, np.sum(step * slope)


def descending_number(curvature: Any, slope: Any) -> Any:
    """Return the Newton step with the absolute value of the curvature, and its descent."""
    step = slope / max(abs(curvature), 1e-300)
    return step, step * slope


def root_finder(function: Any) -> Any:
    """Return the twin of (x0, p) -> x with f(x, *p) = 0, for numbers and arrays."""
    f, both = twin(function), value_and_jacobian(function).inner

    def solve(x0, p):  # type: ignore[no-untyped-def]
        x = 1.0 * x0
        for _ in range(STEPS):
            y, slope = both(x, *p)
            size = largest(y)
            if size == 0.0:
                return x
            step, length = newton_step(inverse(slope), y), 1.0
            trial = stepped(x, length, step)
            if largest(step) <= TOLERANCE * largest(x):
                return trial
            while not largest(f(trial, *p)) <= (1.0 - DESCENT * length) * size:
                length *= 0.5
                if length < 1e-12:
                    raise ConvergenceError("Newton's method found no root: no descent")
                trial = stepped(x, length, step)
            x = trial
        raise ConvergenceError("Newton's method found no root in 200 steps")

    return twin(solve)


def minimizer(function: Any) -> Any:
    """Return the twin of (x0, p) -> x with minimal f(x, *p), for numbers and arrays."""
    f, whole = twin(function), value_grad_hessian(function).inner

    def solve(x0, p):  # type: ignore[no-untyped-def]
        x = 1.0 * x0
        for _ in range(STEPS):
            y, slope, curvature = whole(x, *p)
            (step, descent), length = descending(curvature, slope), 1.0
            if largest(step) <= TOLERANCE * (1.0 + largest(x)):
                return stepped(x, length, step)
            # Near the minimum rounding errors exceed the descent, where the full step is good.
            noise = 1e-14 * abs(y)
            while not f(stepped(x, length, step), *p) <= y - DESCENT * length * descent + noise:
                length *= 0.5
                if length < 1e-12:
                    raise ConvergenceError("Newton's method found no minimum: no descent")
            x = stepped(x, length, step)
        raise ConvergenceError("Newton's method found no minimum in 200 steps")

    return twin(solve)
