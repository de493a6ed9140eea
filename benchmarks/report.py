"""Measure everything and write it down: ``python -m benchmarks.report``.

Writes RESULTS.md and RESULTS.png beside this file and the summary into the README.  ``--quick``
takes some minutes and leaves slow candidates out; ``--only NAME`` measures the problems whose
suite or name contains NAME and prints their tables without writing anything.
"""

import argparse

from . import first_answers, machine
from .bench_scipy import calls_of_brusselator
from .document import README, RESULTS, document, insert_summary, problem_lines, target_rows
from .figure import draw
from .fresh import compare
from .peers import is_installed
from .processes import comparisons
from .runner import FULL, QUICK, measure, progress
from .suites import all_problems, chosen
from .targets import Run

QUICK_PROCESSES, PROCESSES = 2, 9
QUICK_CACHES, CACHES = 1, 3  # empty caches that first answers begin with


def measured(*, quick, only=""):
    """Return the run: all problems, then what needs processes of its own."""
    run, effort = Run(), QUICK if quick else FULL
    for problem in all_problems(only):
        if not (quick and problem.slow):
            candidates = chosen(problem, quick=quick, peers=True)
            run[problem.name] = measure(problem, candidates, effort)
    for comparison in comparisons(only):
        programs = [p for p in comparison.candidates if is_installed(p)]
        rounds = 1 if comparison.slow else QUICK_PROCESSES if quick else PROCESSES
        run[comparison.name] = compare(comparison, programs, rounds)
    for found in first_answers.measured(only, QUICK_CACHES if quick else CACHES):
        run[found.problem.name] = found
    if only in "scipy bdf-brusselator":
        progress("calls of the right-hand side")
        run.counts = calls_of_brusselator()
    return run


def write(run, about, command):
    """Write RESULTS.md, the figure and the summary of the README."""
    text = document(run, about, command)
    RESULTS.write_text(text)
    README.write_text(insert_summary(README.read_text(), text))
    draw(run, about, RESULTS.with_suffix(".png"))
    progress(f"wrote {RESULTS}, its figure, and the summary in {README}")


def main(argv=None):
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few minutes")
    parser.add_argument("--only", default="", metavar="NAME", help="some problems, only printed")
    given = parser.parse_args(argv)
    machine.pin()
    about = machine.describe()
    about["effort"] = "a quick run" if given.quick else "a full run"
    run = measured(quick=given.quick, only=given.only)
    if given.only:
        tables = [line for m in run.values() for line in problem_lines(m)]
        print("\n".join([*tables, *target_rows(run, whole=False)]))
    else:
        write(run, about, "python -m benchmarks.report" + " --quick" * given.quick)


if __name__ == "__main__":
    main()
