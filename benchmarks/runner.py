"""Checks that candidates agree, then times them in turns.

In each round every candidate is called in a loop of some milliseconds, so that what slows the
machine down for a while slows all of them; ratios are taken within a round.  Two more rows tell
what the figures are worth: the harness around a Python function that does nothing, and a control,
a loop that has nothing to do with derivatives.
"""

import gc
import sys
import time
from dataclasses import dataclass, field
from itertools import repeat
from typing import NamedTuple

import numba
import numpy as np

from .problem import Call

UNIT, HARNESS, CONTROL = "primal", "harness", "control"


class AgreementError(AssertionError):
    """A candidate computes something else than the reference."""


class Spread(NamedTuple):
    """Least, median and most of some figures."""

    least: float
    median: float
    most: float


class Effort(NamedTuple):
    """How long is measured: rounds, seconds for a sample, most seconds for one candidate."""

    rounds: int
    sample: float
    most: float
    fewest: int  # rounds, however long they take


QUICK, FULL = Effort(9, 1e-3, 1.0, 2), Effort(41, 3e-3, 6.0, 3)


@dataclass
class Measurement:
    """What was measured of a problem: seconds of a call, by label and round (nan: took no part)."""

    problem: object
    seconds: dict[str, np.ndarray] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def time(self, label):
        """Return the spread of the seconds of a call."""
        return spread(self.seconds[label])

    def ratio(self, label, to=UNIT):
        """Return the spread of the ratio of two times, taken within each round."""
        return spread(self.seconds[label] / self.seconds[to])


def spread(figures):
    """Return least, median and most of the figures that are there."""
    figures = np.asarray(figures, dtype=float)
    figures = figures[~np.isnan(figures)]
    return Spread(*(float(f) for f in np.percentile(figures, [0, 50, 100])))


def progress(text):
    """Say what is being measured."""
    print(f"... {text}", file=sys.stderr, flush=True)


def check(label, found, expected, rtol):
    """Raise where a result is not the expected one, relative to the largest entry of that."""
    found, expected = np.asarray(found), np.asarray(expected)
    if found.shape != expected.shape:
        raise AgreementError(f"{label} has shape {found.shape}, expected {expected.shape}")
    largest = np.max(np.abs(expected), initial=0.0)
    error = np.abs(found - expected)
    wrong = ~(error <= rtol * largest)
    if wrong.any():
        k = int(np.argmax(np.where(np.isnan(error), np.inf, error)))
        raise AgreementError(
            f"{label}: entry {k} is {found[k]}, expected {expected[k]} to {rtol:g} of {largest:g}"
        )


def prepared(problem, candidate, expected=None):
    """Make a candidate, call it, check its result; return the call and the seconds it all took."""
    start = time.perf_counter()
    call = candidate.make()
    result = call.function(*call.args)
    first = time.perf_counter() - start
    if expected is None:
        expected = reference(problem)
    check(f"{problem.name}: {candidate.label}", call.read(result), expected, problem.rtol)
    return call, first


def reference(problem):
    """Return the derivative of a problem as one array."""
    return Call(problem.reference).read(problem.reference())


def nothing(*args):
    """Do nothing: what the harness itself costs."""


@numba.njit
def control(n):
    """Arithmetic without a derivative, some ten microseconds long."""
    s = 0.5
    for _ in range(n):
        s = 3.7 * s * (1.0 - s)
    return s


def told(error):
    """Say that a candidate failed, and return the line for the results."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    progress(f"failed: {text}")
    return text


def measure(problem, candidates, effort):
    """Check and time a problem; a candidate that fails is reported and not timed."""
    found = Measurement(problem)
    try:
        expected = reference(problem)
    except Exception as error:
        found.failures["reference"] = told(error)
        return found
    calls = {
        UNIT: Call(problem.primal, problem.args),
        HARNESS: Call(nothing, problem.args),
        CONTROL: Call(control, (2000,)),
    }
    for call in calls.values():
        call.function(*call.args)  # compiles
    for candidate in candidates:
        progress(f"{problem.name}: {candidate.label}")
        try:
            calls[candidate.label], found.first[candidate.label] = prepared(
                problem, candidate, expected
            )
        except Exception as error:
            found.failures[candidate.label] = told(error)
    found.seconds = interleave(calls, effort)
    return found


def sample(call, loops):
    """Return the seconds of one call, from a loop of calls."""
    function, args, _ = call
    start = time.perf_counter()
    for _ in repeat(None, loops):
        function(*args)
    return (time.perf_counter() - start) / loops


def loops_for(call, seconds):
    """Return how many calls take about so many seconds, and what one takes."""
    loops, taken = 1, sample(call, 1)
    while taken * loops < seconds / 4:
        loops *= 4
        taken = sample(call, loops)
    return max(1, round(seconds / taken)), taken


def interleave(calls, effort):
    """Return seconds by label and round; calls that take long take part in fewer rounds."""
    plan = {}
    for label, call in calls.items():
        loops, taken = loops_for(call, effort.sample)
        wanted = int(effort.most / (taken * loops))
        rounds = min(effort.rounds, max(effort.fewest, wanted))
        plan[label] = call, loops, effort.rounds // rounds
    seconds = {label: np.full(effort.rounds, np.nan) for label in calls}
    gc.collect()
    gc.disable()
    try:
        for i in range(effort.rounds):
            for label, (call, loops, stride) in plan.items():
                if i % stride == 0:
                    seconds[label][i] = sample(call, loops)
    finally:
        gc.enable()
    return seconds
