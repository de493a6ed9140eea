"""An adaptive Runge-Kutta method that can be differentiated, for compiled code and inside f.

Steps are chosen with plain numbers; then the same steps are made with the numbers that first state,
times and parameters are.  So a derivative is that of the discrete solution with its steps held
fixed, which converges to the sensitivity of the solution as the tolerances do.  Times may be
active: a step of size h in the interval from t0 to t1 is h (1 + d(t1 - t0) / (t1 - t0)), so the
derivative of the state at t1 by t1 is the right-hand side.  In reverse mode the steps of every
interval are one loop with checkpoints: the tape holds a single step.

J. R. Dormand and P. J. Prince, J. Comp. Appl. Math. 6 (1980) 19-26 (the coefficients);
E. Hairer, S. P. Norsett and G. Wanner, Solving Ordinary Differential Equations I, 2nd ed.,
Springer 1993, section II.4 (the choice of the step, also of the first).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types

from ..arrays.conversion import array_from
from ..arrays.primal import primal_of
from ..backend.jit import by_type, is_missing, kernel
from ..drivers.compose import composed
from ..drivers.dispatcher import Transform
from ..drivers.factory import checked_function, name_of
from ..errors import ArgumentError, ConvergenceError
from ..functions.memo import remembered
from ..numbers.registration import value
from ..numbers.types import highest_number, is_array
from ..transforms.checkpoint import loop_function
from ..twin.activation import twin

SLOTS = 20
"""States that the reverse sweep of one interval may save: 1,771 steps are made three times."""
LIMIT = 1_000_000
"""Steps that may be made in one interval."""
TOLERANCE = 1.4e-8
C = np.array([0.0, 1.0 / 5.0, 3.0 / 10.0, 4.0 / 5.0, 8.0 / 9.0, 1.0])
A = np.array(
    [
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [1.0 / 5.0, 0.0, 0.0, 0.0, 0.0],
        [3.0 / 40.0, 9.0 / 40.0, 0.0, 0.0, 0.0],
        [44.0 / 45.0, -56.0 / 15.0, 32.0 / 9.0, 0.0, 0.0],
        [19372.0 / 6561.0, -25360.0 / 2187.0, 64448.0 / 6561.0, -212.0 / 729.0, 0.0],
        [9017.0 / 3168.0, -355.0 / 33.0, 46732.0 / 5247.0, 49.0 / 176.0, -5103.0 / 18656.0],
    ]
)
B = np.array([35.0 / 384.0, 0.0, 500.0 / 1113.0, 125.0 / 192.0, -2187.0 / 6784.0, 11.0 / 84.0])
E = np.array(
    [
        71.0 / 57600.0, 0.0, -71.0 / 16695.0, 71.0 / 1920.0, -17253.0 / 339200.0, 22.0 / 525.0,
        -1.0 / 40.0,
    ]
)  # fmt: skip
"""Of the difference between the results of fifth and fourth order."""


@by_type
def as_state(rate: Any) -> Any:
    """Return what a right-hand side returns as an array or a number."""
    if isinstance(rate, types.List | types.BaseTuple):
        return lambda rate: array_from(rate)
    return lambda rate: rate


@kernel
def require_progress(h: float, t: float, count: int) -> None:
    """Raise if the steps are too small, or too many."""
    if not abs(h) > 1e-14 * abs(t) or not abs(h) > 0.0 or count >= LIMIT:
        raise ConvergenceError(
            "odeint: the steps become too small; is the problem stiff, or the solution not finite?"
        )


@kernel
def next_step(h: float, error: float) -> float:
    """Return the size of the next step, given the error of this one in units of the tolerance."""
    if not error < math.inf:  # NaN, too
        return 0.2 * h
    if error == 0.0:
        return 10.0 * h
    return h * min(10.0, max(0.2, 0.9 * error**-0.2))


def _parts(rhs: Any, is_scalar: bool) -> Any:
    """Return the twins of a step, of a step with its error, and of the size of the first one."""

    def moved(y, h, weights, rates, count):  # type: ignore[no-untyped-def]
        """Return y + h sum_j weights[j] rates[j], element by element, which compiles quickly."""
        before, out = y.reshape(-1), np.empty(y.size)
        for i in range(y.size):
            slope = 0.0
            for j in range(count):
                slope += weights[j] * rates[j, i]
            out[i] = before[i] + h * slope
        return out.reshape(y.shape)

    def moved_number(y, h, weights, rates, count):  # type: ignore[no-untyped-def]
        slope = 0.0
        for j in range(count):
            slope += weights[j] * rates[j]
        return y + h * slope

    moved_twin = twin(moved_number if is_scalar else moved)

    def stages(y, t, h, k1, args):  # type: ignore[no-untyped-def]
        """Return the state after a step, and the right-hand sides at its stages."""
        rates = np.empty((6, y.size))
        rates[0] = k1.reshape(-1)
        for i in range(1, 6):
            rate = as_state(rhs(moved_twin(y, h, A[i], rates, i), t + C[i] * h, *args))
            rates[i] = rate.reshape(-1)
        return moved_twin(y, h, B, rates, 6), rates

    def stages_of_number(y, t, h, k1, args):  # type: ignore[no-untyped-def]
        rates = np.empty(6)
        rates[0] = k1
        for i in range(1, 6):
            rates[i] = rhs(moved_twin(y, h, A[i], rates, i), t + C[i] * h, *args)
        return moved_twin(y, h, B, rates, 6), rates

    stages_twin = twin(stages_of_number if is_scalar else stages)

    def size(errors, y, after, rtol, atol):  # type: ignore[no-untyped-def]
        scaled = errors / (atol + rtol * np.maximum(np.abs(y), np.abs(after)))
        return np.sqrt(np.mean(scaled * scaled))

    def size_of_number(error, y, after, rtol, atol):  # type: ignore[no-untyped-def]
        return abs(error / (atol + rtol * max(abs(y), abs(after))))

    norm = twin(size_of_number if is_scalar else size)

    def errors_of_stages(rates, y):  # type: ignore[no-untyped-def]
        total = np.dot(E[:6], rates)
        return total if is_scalar else total.reshape(y.shape)

    errors_of = twin(errors_of_stages)

    def tried(y, t, h, k1, args, rtol, atol):  # type: ignore[no-untyped-def]
        """Return the state after a step, the right-hand side there, and the error."""
        after, rates = stages_twin(y, t, h, k1, args)
        k7 = as_state(rhs(after, t + h, *args))
        errors = h * (errors_of(rates, y) + E[6] * k7)
        return after, k7, norm(errors, y, after, rtol, atol)

    def first_step(y, t, k1, args, span, rtol, atol):  # type: ignore[no-untyped-def]
        """Return a first step for which an explicit Euler step is accurate enough."""
        zero = 0.0 * y
        d0, d1 = norm(y, y, zero, rtol, atol), norm(k1, y, zero, rtol, atol)
        h = 0.01 * d0 / d1 if d0 > 1e-5 and d1 > 1e-5 else 1e-6
        h = min(h, abs(span))
        sign = 1.0 if span > 0.0 else -1.0
        k2 = as_state(rhs(y + sign * h * k1, t + sign * h, *args))
        d2 = norm(k2 - k1, y, zero, rtol, atol) / h
        top = max(d1, d2)
        other = (0.01 / top) ** 0.2 if top > 1e-15 else max(1e-6, 1e-3 * h)
        return sign * min(100.0 * h, other)

    return stages_twin, twin(tried), twin(first_step)


def _steps(rhs: Any, tried: Any, first_step: Any) -> Any:
    """Return the twin of the choice of steps: states, and the beginnings and sizes of steps."""

    def steps(y0, t, args, rtol, atol):  # type: ignore[no-untyped-def]
        states = [1.0 * y0]
        y, h, rate = states[0], 0.0, as_state(rhs(states[0], t[0], *args))
        starts, sizes = [t[0]], [0.0]
        counts = np.zeros(t.size, np.int64)
        for j in range(1, t.size):
            now, end = t[j - 1], t[j]
            if now != end and (h == 0.0 or (h > 0.0) != (end > now)):
                h = first_step(y, now, rate, args, end - now, rtol, atol)
            while now != end:
                is_last = abs(end - now) <= abs(h)
                size = end - now if is_last else h
                after, rate_after, error = tried(y, now, size, rate, args, rtol, atol)
                if error <= 1.0:
                    starts.append(now)
                    sizes.append(size)
                    counts[j] += 1
                    now = end if is_last else now + size
                    y, rate = after, rate_after
                following = next_step(size, error)
                if not (is_last and error <= 1.0 and abs(following) < abs(h)):
                    h = following
                require_progress(h, now, counts[j])
            states.append(y)
        return states, np.array(starts[1:]), np.array(sizes[1:]), counts

    return twin(steps)


def _integral(rhs: Any, has_array: bool, has_numbers: bool) -> Callable[..., Any]:
    """Return the code of (y0, t, rtol, atol, args): of an array or a number, active or plain."""
    is_scalar = not has_array
    stages, *parts = _parts(rhs, is_scalar)
    steps = _steps(rhs, *parts)

    def joined(states):  # type: ignore[no-untyped-def]
        if is_scalar:
            return np.array(states)
        out = np.empty((len(states), *states[0].shape))
        for j in range(len(states)):
            out[j] = states[j]
        return out

    joined_twin = twin(joined)

    def plain(y0, t, rtol, atol, args):  # type: ignore[no-untyped-def]
        states, _, _, _ = steps(y0, t, args, rtol, atol)
        return joined_twin(states)

    def step(y, k, starts, sizes, begin, span, length, args):  # type: ignore[no-untyped-def]
        """Make a step whose beginning and size change with the interval."""
        t, h = begin, span
        if length != 0.0:
            change = span - value(span)
            part = (starts[k] - value(begin)) / length
            t = starts[k] + (begin - value(begin)) + part * change
            h = sizes[k] + sizes[k] / length * change
        y_now = y + 0.0 if is_scalar else y
        return stages(y_now, t, h, as_state(rhs(y_now, t, *args)), args)[0]

    loop = loop_function(step)

    def active(y0, t, rtol, atol, args):  # type: ignore[no-untyped-def]
        times = primal_of(t)
        _, starts, sizes, counts = steps(primal_of(y0), times, primal_of(args), rtol, atol)
        y = loop(1.0 * y0, 0, SLOTS, starts, sizes, t[0], t[0] - t[0], 0.0, args)
        states, first = [y], 0
        for j in range(1, times.size):
            length = times[j] - times[j - 1]
            last = first + counts[j]
            count = counts[j] if length != 0.0 else 1  # a step of size 0, which moves with t[j]
            y = loop(
                y, count, SLOTS, starts[first:last], sizes[first:last], t[j - 1], t[j] - t[j - 1],
                length, args,
            )  # fmt: skip
            first = last
            states.append(y)
        return joined_twin(states)

    return active if has_numbers else plain


def _signature(  # type: ignore[no-untyped-def]
    y0, t, a0=None, a1=None, a2=None, a3=None, a4=None, a5=None, a6=None, a7=None,
    rtol=TOLERANCE, atol=TOLERANCE,
) -> None: ...  # fmt: skip


PARAMETERS = 8
"""Parameters of a right-hand side that can be given one by one."""


def integrator(rhs: Any) -> Transform:
    """Return the compiled (y0, t, a0, ..., a7, rtol, atol) -> states of a right-hand side."""
    function = checked_function(rhs, "odeint")

    def make() -> Transform:
        def choose(packed: Any) -> Any:
            given = [ty for ty in list(packed)[2:-2] if not is_missing(ty)]
            is_tuple = len(given) == 1 and isinstance(given[0], types.BaseTuple)
            names = [f"a{i}" for i in range(PARAMETERS)]
            args = "a0" if is_tuple else f"({''.join(f'{name}, ' for name in names[: len(given)])})"
            source = (
                f"def odeint(y0, t, {', '.join(names)}, rtol, atol):\n"
                f"    return integral(y0, t, rtol, atol, {args})"
            )
            if not is_array(packed[1]) or packed[1].ndim != 1:
                raise ArgumentError(f"odeint: t has type {packed[1]}; expected an array of times")
            has_numbers = highest_number(packed) is not None
            integral = _integral(twin(function), is_array(packed[0]), has_numbers)
            scope: dict[str, Any] = {"integral": twin(integral)}
            exec(source, scope)  # of names of our own
            return scope["odeint"]

        return composed(choose, _signature, (0, 1), f"odeint({name_of(function)})")

    return remembered(function, "odeint", make)


def called(made: Any) -> Any:
    """Return the function that compiled code calls, for the compiled function of `integrator`."""
    return lambda func, y0, t, a0=None, a1=None, a2=None, a3=None, a4=None, a5=None, a6=None, \
        a7=None, rtol=TOLERANCE, atol=TOLERANCE: made(
            y0, t, a0, a1, a2, a3, a4, a5, a6, a7, rtol, atol
        )  # fmt: skip
