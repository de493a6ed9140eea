"""What the first derivative of a function costs: processor seconds and compilations.

Two processes share a cache that is empty at first, and each differentiates two functions which
differ in their code: the first one finds no kernels, the second one finds them on disk.  The unit
is what Numba takes for a third such function without derivatives.  A third process runs twice, with
functions that ``njit(cache=True)`` keeps.  Numba has compiled something else before, as JAX has, so
that their own start is not part of the figures.
"""

import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .first_problems import BY_NAME, PROBLEMS
from .fresh import Comparison
from .peers import is_installed, jax_module
from .problem import as_array
from .runner import UNIT, Measurement, check, progress, told

EMPTY, KERNELS, SECOND = "empty cache", "kernels on disk", "second function"
KEPT = "function in the cache"
# What the processes of a round ask for: the first value of VARIED, and how.
PROCESSES = ((1.25, ""), (2.25, ""), (3.25, "kept"), (4.25, "peer"))


@dataclass(frozen=True)
class Situation:
    """A row: whose answer, in which of the processes, and which of its answers it is."""

    library: str
    mode: str
    process: int
    place: int
    needs: str = ""

    @property
    def label(self):
        """Return the name of a row."""
        return f"{self.library}, {self.mode}" if self.mode else self.library


SITUATIONS = (
    Situation(UNIT, "", 1, 0),
    Situation("dualtape", EMPTY, 0, 1),
    Situation("dualtape", KERNELS, 1, 1),
    Situation("dualtape", SECOND, 1, 2),
    Situation("dualtape", KEPT, 2, 1),
    Situation("JAX", "jit", 3, 1, "jax"),
)


class Compilations:
    """Counts what Numba compiles."""

    def __init__(self):
        from numba.core import event

        class Listener(event.Listener):
            def on_start(self, _, kept=self):
                kept.count += 1

            def on_end(self, _):
                pass

        self.count = 0
        event.register("numba:compile", Listener())


def module_of(text, name, folder):
    """Import a text as a user's module; what is there from an earlier process stays as it is."""
    path = Path(folder, f"{name}.py")
    if not path.exists():
        path.write_text(text)
    importlib.invalidate_caches()
    return importlib.import_module(name)


def timed(problem, varied, ask, folder, counter, **how):
    """Return the processor seconds and compilations of one answer, and the answer.

    `ask` gets the module; defining the function is part of what is timed.
    """
    text = problem.module(varied, **how)
    before, start = counter.count, time.process_time()
    answer = as_array(ask(module_of(text, f"user_{round(1000 * varied)}", folder)))
    return (time.process_time() - start, counter.count - before), answer


def answers(problem, varied, folder, **how):
    """Return what the plain function and two derivatives cost, in this process."""
    import numba

    import dualtape

    for name in problem.modules:
        importlib.import_module(name)
    numba.njit(lambda x: x[0])(np.ones(2))
    counter = Compilations()
    asks = (problem.primal, *2 * [lambda m: problem.answer(m, dualtape)])
    return costs(problem, varied, asks, folder, counter, **how)


def peer_answers(problem, varied, folder):
    """Return what JAX takes for a derivative, after another function; the others are not asked."""
    jax = jax_module()
    jax.jit(lambda x: x[0])(np.ones(2)).block_until_ready()
    asks = (lambda _: None, lambda m: problem.asked(m, jax))
    return costs(problem, varied, asks, folder, Compilations(), peer=True)


def costs(problem, varied, asks, folder, counter, **how):
    """Return the costs of answers for values of VARIED, the derivatives checked."""
    found = []
    for k, ask in enumerate(asks):
        value = varied + 0.125 * k
        cost, answer = timed(problem, value, ask, folder, counter, **how)
        if k:
            check(problem.name, answer, as_array(problem.reference(value)), problem.rtol)
        found.append(cost)
    return found


def process(name, varied, how, cache):
    """Return the costs that a fresh process measures."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.first_answers", name, str(varied), how],
        cwd=Path(__file__).parent.parent,
        env=os.environ | {"NUMBA_CACHE_DIR": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return json.loads(done.stdout.splitlines()[-1])


def comparisons(only=""):
    """Yield the tables of a problem: processor seconds, then compilations."""
    for problem in PROBLEMS:
        rows = [s for s in SITUATIONS if s.library != "JAX" or problem.asked]
        name = f"first-{problem.name}"
        if only in name:
            yield Comparison(name, f"first answer, {problem.title}", rows)
            counts = [row for row in rows if row.library != "JAX"]
            title = f"compilations of the first answer, {problem.title}"
            yield Comparison(f"{name}-count", title, counts, measure="", unit="")


def rounds_of(problem, rounds):
    """Return the costs of every round by process; a process that fails is told of."""
    found, failures = [], {}
    for k in range(rounds):
        progress(f"first answers of {problem.name}: {k + 1} of {rounds}")
        with tempfile.TemporaryDirectory() as cache:
            costs = {}
            for i, (varied, how) in enumerate(PROCESSES):
                if how == "peer" and not (problem.asked and is_installed(SITUATIONS[-1])):
                    continue
                try:
                    if how == "kept":
                        process(problem.name, varied, how, cache)
                    costs[i] = process(problem.name, varied, how, cache)
                except Exception as error:
                    failures[i] = told(error)
        found.append(costs)
    return found, failures


def measured(only="", rounds=1):
    """Yield the measurements of all tables."""
    tables = iter(comparisons(only))
    for seconds, counts in zip(tables, tables, strict=True):
        name = seconds.name.removeprefix("first-")
        found, failures = rounds_of(BY_NAME[name], rounds)
        for k, table in enumerate((seconds, counts)):
            yield measurement(table, found, failures, k)


def measurement(table, found, failures, which):
    """Return the figures of a table from the costs of all rounds."""
    result = Measurement(table)
    for row in table.candidates:
        if row.process in failures:
            result.failures[row.label] = failures[row.process]
        elif all(row.process in costs for costs in found):
            figures = [costs[row.process][row.place][which] for costs in found]
            result.seconds[row.label] = np.array(figures, dtype=float)
    return result


def main(name, varied, how=""):
    """Measure in this process and print the costs."""
    problem, varied = BY_NAME[name], float(varied)
    with tempfile.TemporaryDirectory() as passing:
        # Files that a cache knows are there in the next process, too.
        folder = os.environ["NUMBA_CACHE_DIR"] if how == "kept" else passing
        sys.path.insert(0, folder)
        if how == "peer":
            found = peer_answers(problem, varied, folder)
        else:
            found = answers(problem, varied, folder, cached=how == "kept")
        print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
