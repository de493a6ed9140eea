"""Comparisons in another process, which many programs share, and which may crash."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from .program import POINTS, Program

LONGEST = 300
"""Seconds of processor time for one program; who needs more is ended, and says where it was."""
PROGRAMS_OF_A_PROCESS = 150


class Worker:
    """A process that checks one program after the other, and is replaced when it dies."""

    def __init__(self) -> None:
        self._executor = self._started()

    @staticmethod
    def _started() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_begin,
            max_tasks_per_child=PROGRAMS_OF_A_PROCESS,
        )

    def check(self, program: Program, kinds: list[str] | None, points: int = POINTS):
        """Return the outcome of a program; if the process dies, that is the fault."""
        from .comparison import Fault, Outcome  # noqa: PLC0415  # imports dualtape

        try:
            return self._executor.submit(_check, program, kinds, points).result()
        except BrokenProcessPool:
            self._executor = self._started()
            outcome = Outcome(program.seed)
            died = Fault(program.seed, ", ".join(kinds or ["all"]), 0, "died", "the process died")
            outcome.faults.append(died)
            return outcome

    def close(self) -> None:
        """End the process."""
        self._executor.shutdown()


def _begin() -> None:
    os.environ["DUALTAPE_VERBOSE"] = "0"
    faulthandler.enable(sys.__stderr__)
    faulthandler.register(signal.SIGVTALRM, sys.__stderr__, chain=True)  # then it ends


def _check(program: Program, kinds: list[str] | None, points: int):
    from .comparison import check  # noqa: PLC0415
    from .kinds import KINDS  # noqa: PLC0415

    signal.setitimer(signal.ITIMER_VIRTUAL, LONGEST)
    try:
        return check(program, None if kinds is None else [KINDS[k] for k in kinds], points)
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
