"""Compare the run times of two versions: ``python -m benchmarks.versions BASE NEW``.

BASE and NEW are source trees, or the `python` of environments in which a version is installed.
Each has a process that stays alive, on the same core, with the problems of this tree; in each round
both are asked for a sample in turns, and the figures are ratios NEW / BASE taken within rounds.
``--only NAME ...`` takes the problems whose suite or name contains one of the names, ``--quick``
leaves slow ones out.  What seems slower than it may be is measured again until the median is known
well enough to say so.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from . import machine
from .runner import FULL, loops_for, prepared, progress, reference, sample, told
from .suites import OWN, all_problems, chosen

LIMIT = 1.03
ROUNDS, MOST_ROUNDS = 31, 310
ROOT = Path(__file__).parent.parent
HEAD = ("| row | base | new | ratio (quartiles) | rounds | |", "|---|---:|---:|---:|---:|---|")


class Server:
    """What the process of a version does: prepares a problem, samples its calls."""

    def __init__(self):
        self.cores = os.sched_getaffinity(0)
        self.calls = {}

    def prepare(self, name, quick):
        """Compile and check the rows of a problem; return the seconds of a call by label."""
        os.sched_setaffinity(0, self.cores)  # both versions compile at the same time
        (problem,) = (p for p in all_problems(name) if p.name == name)
        expected, self.calls, taken = reference(problem), {}, {}
        for candidate in chosen(problem, quick=quick, peers=False):
            if candidate.library != OWN[1]:
                continue
            try:
                call, _ = prepared(problem, candidate, expected)
            except Exception as error:
                taken[candidate.label] = told(error)
            else:
                self.calls[candidate.label] = call
                taken[candidate.label] = loops_for(call, FULL.sample)[1]
        machine.pin()
        return taken

    def sample(self, label, loops):
        """Return the seconds of one call."""
        return sample(self.calls[label], loops)


def serve(questions, answers):
    """Answer questions, one a line, until there are no more."""
    server = Server()
    for line in questions:
        name, *args = json.loads(line)
        print(json.dumps(getattr(server, name)(*args)), file=answers, flush=True)


class Version:
    """The process of a source tree, or of an environment that is given by its `python`."""

    def __init__(self, place):
        installed = Path(place).is_file()
        path = "" if installed else str(Path(place, "src").resolve())
        # An environment's `python` is a link: followed, it would be the one of no environment.
        cache = Path(tempfile.gettempdir(), "dualtape-versions", *Path(place).absolute().parts[1:])
        environment = os.environ | {"PYTHONPATH": path, "NUMBA_CACHE_DIR": str(cache)}
        python = str(Path(place).absolute()) if installed else sys.executable
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.versions", "--serve"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, *question):
        """Send a question."""
        print(json.dumps(question), file=self.process.stdin, flush=True)

    def answer(self):
        """Wait for the answer."""
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a version ended with {self.process.wait()}")
        return json.loads(line)

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def interval(ratios):
    """Return an interval that holds the median in 19 of 20 cases, by order statistics."""
    ordered, n = np.sort(ratios), len(ratios)
    k = max(0, math.floor(n / 2 - 0.98 * math.sqrt(n)))
    return float(ordered[k]), float(ordered[n - 1 - k])


def decided(ratios, limit=LIMIT):
    """Whether the median is within the limit, or beyond it for certain."""
    return np.median(ratios) <= limit or interval(ratios)[0] > limit


def verdict(ratios, limit=LIMIT):
    """Say what the ratios tell."""
    if np.median(ratios) <= limit:
        return "met"
    return "slower" if decided(ratios, limit) else "undecided"


def turns(versions, label, loops, rounds):
    """Return the seconds of both versions by round; who begins alternates."""
    seconds = np.empty((rounds, 2))
    for i in range(rounds):
        for k in (0, 1) if i % 2 else (1, 0):
            versions[k].ask("sample", label, loops)
            seconds[i, k] = versions[k].answer()
    return seconds


def compared(versions, label, taken):
    """Return the seconds of a row, with as many rounds as it takes to decide on it."""
    loops = max(1, round(FULL.sample / taken))
    rounds = max(FULL.fewest, min(ROUNDS, int(FULL.most / (taken * loops))))
    seconds = turns(versions, label, loops, rounds)
    most = rounds * MOST_ROUNDS // ROUNDS
    while len(seconds) < most and not decided(seconds[:, 1] / seconds[:, 0]):
        seconds = np.concatenate([seconds, turns(versions, label, loops, rounds)])
    return seconds


def row(name, seconds):
    """Return the line of a row."""
    ratios = seconds[:, 1] / seconds[:, 0]
    low, high = np.percentile(ratios, [25, 75])
    base, new = (f"{1e6 * x:.4g} us" for x in np.median(seconds, axis=0))
    ratio = f"{np.median(ratios):.3f} ({low:.3f}-{high:.3f})"
    return f"| {name} | {base} | {new} | {ratio} | {len(ratios)} | {verdict(ratios)} |"


def rows(versions, problem, *, quick):
    """Yield the lines of a problem."""
    for version in versions:
        version.ask("prepare", problem.name, quick)
    base, new = (version.answer() for version in versions)
    for label in new:
        name = f"{problem.name}: {label.removeprefix('dualtape, ')}"
        taken = base.get(label), new[label]
        failures = [x for x in taken if not isinstance(x, float)]
        if failures:
            yield f"| {name} | | | | | failed: {failures[0]} |"
        else:
            yield row(name, compared(versions, label, max(taken)))


def compare(base, new, only=("",), *, quick=False):
    """Yield the lines of the table of two trees."""
    problems = {p.name: p for part in only for p in all_problems(part) if not (quick and p.slow)}
    yield from HEAD
    versions = [Version(base), Version(new)]
    try:
        for k, problem in enumerate(problems.values(), 1):
            progress(f"{k} of {len(problems)}: {problem.name}")
            yield from rows(versions, problem, quick=quick)
    finally:
        for version in versions:
            version.close()


def main(argv=None):
    """Compare, or be one of the two processes."""
    if argv is None and sys.argv[1:] == ["--serve"]:
        answers, sys.stdout = sys.stdout, sys.stderr  # whatever else is printed is no answer
        serve(sys.stdin, answers)
        return
    parser = argparse.ArgumentParser(prog="python -m benchmarks.versions", description=__doc__)
    parser.add_argument("base")
    parser.add_argument("new")
    parser.add_argument("--only", nargs="*", default=[""], metavar="NAME", help="some problems")
    parser.add_argument("--quick", action="store_true", help="without slow problems")
    given = parser.parse_args(argv)
    for line in compare(given.base, given.new, given.only, quick=given.quick):
        print(line, flush=True)


if __name__ == "__main__":
    main()
