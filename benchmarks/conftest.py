"""Makes pytest cases of the problems of a module: every row that the report would show.

With ``--benchmark-disable`` it is a smoke run: of each module the first problem, small, by hand and
by this package in its first mode.
"""

from itertools import islice

import pytest

from .machine import pin
from .problem import Call, Candidate
from .runner import HARNESS, UNIT, nothing, prepared
from .suites import chosen


def rows(problem):
    """Return the primal and the harness as candidates, which have no derivative to check."""
    return [
        Candidate(UNIT, "", lambda: Call(problem.primal, problem.args)),
        Candidate(HARNESS, "", lambda: Call(nothing, problem.args)),
    ]


def first_of_each(candidates):
    """Return the first candidate of every library."""
    return list({c.library: c for c in reversed(candidates)}.values())


def pytest_generate_tests(metafunc):
    """Parametrize `case` over problems and candidates."""
    if "case" not in metafunc.fixturenames:
        return
    smoke = metafunc.config.getoption("benchmark_disable")
    cases = []
    problems = metafunc.module.problems(small=smoke)
    for problem in islice(problems, 1 if smoke else None):
        derivatives = chosen(problem, quick=smoke, peers=not smoke)
        wanted = first_of_each(derivatives) if smoke else [*rows(problem), *derivatives]
        for candidate in wanted:
            name = f"{problem.name}-{candidate.label}".replace(", ", "-")
            cases.append(pytest.param((problem, candidate), id=name))
    metafunc.parametrize("case", cases)


@pytest.fixture
def run(benchmark, request):
    """Return what checks one case and times it."""
    if not request.config.getoption("benchmark_disable"):
        pin()

    def run_case(case):
        problem, candidate = case
        benchmark.group = problem.title
        if candidate.library in (UNIT, HARNESS):
            call = candidate.make()
        else:
            call, benchmark.extra_info["first result"] = prepared(problem, candidate)
        benchmark(call.function, *call.args)

    return run_case
