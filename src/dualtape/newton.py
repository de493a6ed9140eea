"""Newton's method in compiled code, for equations and for minima, with exact derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._jit import generic
from .activate import twin
from .errors import ConvergenceError
from .linear import largest, newton_step, reciprocal, stepped
from .transforms import value_and_jacobian, value_grad_hessian

__all__ = ["minimizer", "root_finder"]

STEPS = 200
"""Most steps of Newton's method, and of one line search."""
TOLERANCE = 1e-11
"""Relative length of the last step: the next one would be its square."""
DESCENT = 1e-4
"""Part of the promised descent that a step must bring (Armijo's rule)."""


@generic
def descending(curvature: Any, slope: Any) -> Any:
    """Return a step that descends when it is subtracted, and by how much at first order.

    Saddles are left along negative curvature, flat directions are not followed far.
    """
    values, vectors = np.linalg.eigh(curvature)
    steep = np.maximum(np.abs(values), 1e-10 * largest(values) + 1e-300)
    step = vectors @ ((vectors.T @ slope) / steep)
    return step, np.sum(step * slope)


def root_finder(function: Any) -> Callable[[bool], Any]:
    """Return what makes the twin of (x0, p) -> x with f(x, *p) = 0, for numbers or arrays."""

    def find(scalar: bool) -> Any:
        f, both = twin(function), value_and_jacobian(function).inner

        def solve(x0, p):  # type: ignore[no-untyped-def]
            x = x0.copy()
            for _ in range(STEPS):
                y, slope = both(x, *p)
                size, step, length = largest(y), newton_step(slope, y), 1.0
                trial = stepped(x, length, step)
                if largest(step) <= TOLERANCE * largest(x) or size == 0.0:
                    return trial
                while not largest(f(trial, *p)) <= (1.0 - DESCENT * length) * size:
                    length *= 0.5
                    if length < 1e-12:
                        raise ConvergenceError("Newton's method found no root: no descent")
                    trial = stepped(x, length, step)
                x = trial
            raise ConvergenceError("Newton's method found no root in 200 steps")

        def solve_scalar(x0, p):  # type: ignore[no-untyped-def]
            x = 1.0 * x0
            for _ in range(STEPS):
                y, slope = both(x, *p)
                if y == 0.0:
                    return x
                step, length = y * reciprocal(slope), 1.0
                if abs(step) <= TOLERANCE * abs(x):
                    return x - step
                while not abs(f(x - length * step, *p)) <= (1.0 - DESCENT * length) * abs(y):
                    length *= 0.5
                    if length < 1e-12:
                        raise ConvergenceError("Newton's method found no root: no descent")
                x = x - length * step
            raise ConvergenceError("Newton's method found no root in 200 steps")

        return twin(solve_scalar if scalar else solve)

    return find


def minimizer(function: Any) -> Callable[[bool], Any]:
    """Return what makes the twin of (x0, p) -> x with f(x, *p) least, for numbers or arrays."""

    def find(scalar: bool) -> Any:
        f, whole = twin(function), value_grad_hessian(function).inner

        def solve(x0, p):  # type: ignore[no-untyped-def]
            x = x0.copy()
            for _ in range(STEPS):
                y, slope, curvature = whole(x, *p)
                (step, descent), length = descending(curvature, slope), 1.0
                if largest(step) <= TOLERANCE * (1.0 + largest(x)):
                    return stepped(x, length, step)
                # Near the minimum rounding hides the descent; the step is good there.
                noise = 1e-14 * abs(y)
                while not f(stepped(x, length, step), *p) <= y - DESCENT * length * descent + noise:
                    length *= 0.5
                    if length < 1e-12:
                        raise ConvergenceError("Newton's method found no minimum: no descent")
                x = stepped(x, length, step)
            raise ConvergenceError("Newton's method found no minimum in 200 steps")

        def solve_scalar(x0, p):  # type: ignore[no-untyped-def]
            x = 1.0 * x0
            for _ in range(STEPS):
                y, slope, curvature = whole(x, *p)
                if slope == 0.0 and curvature >= 0.0:
                    return x
                step, length = slope / max(abs(curvature), 1e-300), 1.0
                if abs(step) <= TOLERANCE * (1.0 + abs(x)):
                    return x - step
                descent, noise = step * slope, 1e-14 * abs(y)
                while not f(x - length * step, *p) <= y - DESCENT * length * descent + noise:
                    length *= 0.5
                    if length < 1e-12:
                        raise ConvergenceError("Newton's method found no minimum: no descent")
                x = x - length * step
            raise ConvergenceError("Newton's method found no minimum in 200 steps")

        return twin(solve_scalar if scalar else solve)

    return find
