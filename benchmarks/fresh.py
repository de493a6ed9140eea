"""Figures that need a process of their own: times of imports and compilations, peak memory.

A program is Python code whose last printed word is the figure; programs of one comparison are run
in turns, as the calls of `runner` are.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from .runner import Measurement, progress


@dataclass(frozen=True)
class Program:
    """One library's program; `prepare` is run once before, where caches are to be filled."""

    library: str
    mode: str
    code: str
    needs: str = ""
    slow: bool = False
    prepare: bool = False
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def label(self):
        """Return the name of a row: library and mode."""
        return f"{self.library}, {self.mode}" if self.mode else self.library


@dataclass(frozen=True)
class Comparison:
    """Programs that print the same figure, in seconds or megabytes; the first one is the unit."""

    name: str
    title: str
    candidates: Sequence[Program]
    measure: str = "s"
    unit: str = "the njit function"
    series: str = ""
    size: int = 0
    slow: bool = False  # one round


def figure_of(program):
    """Run a program in a fresh process and return the figure it prints.

    Modules are compiled to bytecode on disk, as those of installed packages are.
    """
    environment = os.environ | program.environment
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    done = subprocess.run(
        [sys.executable, "-c", program.code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(done.stdout.split()[-1])


def compare(comparison, programs, rounds):
    """Return the figures of all programs, in turns."""
    found, able = Measurement(comparison), []
    for program in programs:
        progress(f"{comparison.name}: {program.label}")
        try:
            if program.prepare:
                figure_of(program)
            found.seconds[program.label] = np.array([figure_of(program)])
            able.append(program)
        except RuntimeError as error:
            found.failures[program.label] = str(error)
            progress(f"{program.label} failed: {error}")
    for _ in range(rounds - 1):
        for program in able:
            more = np.append(found.seconds[program.label], figure_of(program))
            found.seconds[program.label] = more
    return found
