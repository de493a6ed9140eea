"""The benchmarks measure what they say: agreement, turns, statistics, and what is written down."""

import sys

import numpy as np
import pytest

from benchmarks import document, first_answers, versions
from benchmarks.first_problems import BY_NAME, CURVE, PROBLEMS, fourth_of_curve, interpreted
from benchmarks.fresh import Comparison, Program, compare, figure_of
from benchmarks.problem import Call, Candidate, Problem, as_array
from benchmarks.processes import comparisons, memory_of_functions
from benchmarks.runner import (
    UNIT,
    AgreementError,
    Effort,
    Measurement,
    check,
    interleave,
    measure,
    spread,
)
from benchmarks.suites import all_problems, chosen
from benchmarks.targets import TARGETS, Run, Target, verdict

SHORT = Effort(rounds=3, sample=0.0, most=1e6, fewest=1)
X = np.array([1.0, 2.0, 3.0])


def square(x):
    return float(x @ x)


def problem_with(*candidates):
    return Problem("square", "square: gradient", square, (X,), lambda: 2.0 * X, candidates)


def candidate(library, gradient, mode="", **more):
    return Candidate(library, mode, lambda: Call(gradient, (X,)), **more)


def wrong_gradient(x):
    """A gradient with a relative error of 1e-8 in its last entry."""
    return 2.0 * x * np.array([1.0, 1.0, 1.0 + 1e-8])


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (wrong_gradient(X), "entry 2"),
        (2.0 * X * [1.0, np.nan, 1.0], "entry 1"),
        (2.0 * X[:2], "shape"),
    ],
)
def test_check_refuses_a_wrong_derivative(found, message):
    with pytest.raises(AgreementError, match=message):
        check("library", found, 2.0 * X, 1e-9)


def test_check_takes_roundings_relative_to_the_largest_entry():
    assert check("library", [1.0, 1e-13], [1.0, 0.0], 1e-9) is None


def test_a_wrong_candidate_is_told_of_and_not_timed():
    problem = problem_with(
        candidate("right", lambda x: 2.0 * x), candidate("wrong", wrong_gradient)
    )
    found = measure(problem, problem.candidates, SHORT)
    assert "right" in found.seconds
    assert "wrong" not in found.seconds
    assert found.failures["wrong"].startswith("AgreementError: square: wrong: entry 2")


def test_a_problem_without_a_reference_is_told_of():
    problem = Problem("p", "p", square, (X,), lambda: 1 / 0, [candidate("any", square)])
    found = measure(problem, problem.candidates, SHORT)
    assert found.failures == {"reference": "ZeroDivisionError: division by zero"}
    assert not found.seconds


def test_candidates_take_turns():
    seen = []
    calls = {name: Call(lambda name=name: seen.append(name)) for name in "abc"}
    seconds = interleave(calls, SHORT)
    assert seen[-9:] == list("abc") * 3
    assert all(len(s) == 3 and np.all(s >= 0.0) for s in seconds.values())


def test_calls_that_take_long_take_part_in_fewer_rounds():
    calls = {"long": Call(lambda: sum(range(10_000))), "short": Call(lambda: None)}
    seconds = interleave(calls, Effort(rounds=8, sample=0.0, most=0.0, fewest=2))
    assert np.isnan(seconds["long"]).tolist() == [False, True, True, True] * 2


def test_ratios_are_taken_within_rounds():
    seconds = {UNIT: np.array([1.0, 2.0, 4.0]), "slow": np.array([3.0, np.nan, 4.0])}
    assert Measurement(None, seconds).ratio("slow") == (1.0, 2.0, 3.0)
    assert spread([5.0, np.nan, 1.0, 2.0]) == (1.0, 2.0, 5.0)


def test_chosen_candidates():
    problem = problem_with(
        candidate("hand", None),
        candidate("dualtape", None, "auto"),
        candidate("dualtape", None, "nested", slow=True),
        candidate("JAX", None),
        candidate("other", None, needs="a_module_that_is_not_installed"),
    )

    def labels(**wanted):
        return [c.label for c in chosen(problem, **wanted)]

    own = ["hand", "dualtape, auto"]
    assert labels(quick=True, peers=False) == own
    assert labels(quick=True, peers=True) == [*own, "JAX"]
    assert labels(quick=False, peers=True) == [*own, "dualtape, nested", "JAX"]


def test_results_of_all_kinds_become_one_array():
    assert as_array((1.0, [[2.0, 3.0]])).tolist() == [1.0, 2.0, 3.0]


def test_fresh_processes():
    good = Program("good", "", "print('noise'); print(3.5)")
    bad = Program("bad", "", "raise SystemExit('no such thing')")
    assert figure_of(good) == 3.5
    found = compare(Comparison("name", "title", [good, bad]), [good, bad], 2)
    assert found.seconds["good"].tolist() == [3.5, 3.5]
    assert found.failures == {"bad": "no such thing"}


def test_one_text_makes_different_functions():
    assert len(BY_NAME) == len(PROBLEMS)
    for problem in PROBLEMS:
        first, second = (problem.module(varied) for varied in (1.25, 2.25))
        assert first != second
        assert "VARIED" not in first


def test_references_of_first_answers_have_no_error_that_matters():
    problem = BY_NAME["dead-statements"]
    f = interpreted(problem.text, 1.25)["f"]
    point, h = np.array([0.3, 0.7, 1.1]), 1e-5
    differences = [(f(point + h * e) - f(point - h * e)) / (2.0 * h) for e in np.eye(3)]
    np.testing.assert_allclose(problem.reference(1.25), differences, rtol=1e-8, atol=1e-8)
    coefficients = np.polynomial.Chebyshev.interpolate(
        interpreted(CURVE, 1.25)["f"], 40, domain=[0.2, 1.2]
    )
    fourth = coefficients.deriv(4)(0.7)
    assert abs(fourth_of_curve(1.25) - fourth) < 1e-7 * abs(fourth)


def test_first_answers_find_the_kernels_of_an_earlier_process():
    seconds, counts = first_answers.measured("first-rosenbrock")
    assert not seconds.failures
    compiled = {label: figures[0] for label, figures in counts.seconds.items()}
    assert compiled["primal"] == 1
    assert compiled["dualtape, kernels on disk"] < compiled["dualtape, empty cache"]
    assert compiled["dualtape, second function"] <= compiled["dualtape, kernels on disk"]
    assert compiled["dualtape, function in the cache"] == 0
    assert min(figures[0] for figures in seconds.seconds.values()) > 0.0


def test_a_first_answer_that_is_wrong_is_refused(tmp_path, monkeypatch):
    problem = BY_NAME["rosenbrock"]
    monkeypatch.syspath_prepend(tmp_path)
    asks = (lambda _: None, lambda _: np.zeros(100))
    with pytest.raises(AgreementError, match="rosenbrock"):
        first_answers.costs(problem, 7.25, asks, tmp_path, first_answers.Compilations())


def test_memory_of_functions_is_measured():
    _, dropped, *_ = memory_of_functions(count=1).candidates
    assert figure_of(dropped) < 100.0


@pytest.mark.parametrize(
    ("ratios", "said"),
    [
        (np.linspace(0.9, 1.1, 31), "met"),
        (np.linspace(1.06, 1.1, 31), "slower"),
        (np.linspace(0.9, 1.2, 31), "undecided"),
    ],
)
def test_verdicts_on_versions(ratios, said):
    assert versions.verdict(ratios) == said
    assert versions.decided(ratios) == (said != "undecided")


class Scripted:
    """A version whose samples are known before."""

    def __init__(self, name, seconds, seen):
        self.name, self.seconds, self.seen = name, seconds, seen

    def ask(self, *_):
        self.seen.append(self.name)

    def answer(self):
        return self.seconds


def test_versions_take_turns_and_rows_are_repeated_a_bounded_number_of_times(monkeypatch):
    seen = []
    pair = [Scripted("base", 1.0, seen), Scripted("new", 2.0, seen)]
    assert versions.turns(pair, "row", 1, 2).tolist() == [[1.0, 2.0]] * 2
    assert seen == ["new", "base", "base", "new"]
    assert len(versions.compared(pair, "row", 1e-3)) == versions.ROUNDS
    monkeypatch.setattr(versions, "decided", lambda _: False)
    assert len(versions.compared(pair, "row", 1e-3)) == versions.MOST_ROUNDS


def test_a_version_compared_with_itself(tmp_path):
    # one tree, and an environment that has it: its `python` is a program that sets the path
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={versions.ROOT / "src"} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    lines = list(versions.compare(versions.ROOT, python, ["rosenbrock-loop-2"], quick=True))
    assert lines[:2] == list(versions.HEAD)
    assert len(lines) > 2
    assert not [line for line in lines if "failed" in line]


@pytest.fixture(scope="module")
def everything():
    """Return a run with made-up times for every row there could be."""
    run = Run()
    for problem in [*all_problems(), *comparisons(), *first_answers.comparisons()]:
        labels = [c.label for c in problem.candidates]
        seconds = {label: np.array([2e-6, 2e-6]) for label in labels}
        run[problem.name] = Measurement(problem, {UNIT: np.array([1e-6, 2e-6]), **seconds})
    run.counts = (1, 4)
    return run


def test_targets_are_rows_that_are_measured(everything):
    assert [target.case for target in TARGETS if target.found(everything) is None] == []
    assert len({target.case for target in TARGETS}) == len(TARGETS)
    assert set(document.SUMMARY) <= set(everything)


def test_verdicts():
    target = Target("case", lambda run: run.ratio("square", "hand", UNIT), 3.0, 1.5)
    assert [verdict(target, x) for x in (None, 3.1, 3.0, 1.5)] == [
        "not measured",
        "not met",
        "met",
        "met, also the next",
    ]
    assert target.found(Run()) is None


def test_document_and_readme(everything):
    about = {"date": "2026-01-02", "machine": "a machine", "versions": "v", "effort": "a run"}
    text = document.document(everything, about, "command")
    assert "| POLLU, 20 species, 25 reactions: Jacobian | 1.50 us | 1.50 | 1.50 |" in text
    assert "its calls of the right-hand side over those with finite differences | 0.25 x" in text
    readme = f"before\n{document.BEGIN}\nold\n{document.END}\nafter"
    inserted = document.insert_summary(readme, text)
    assert inserted == f"before\n{document.between_markers(text)}\nafter"


def test_figure_is_drawn(everything, tmp_path):
    pytest.importorskip("matplotlib")
    from benchmarks.figure import draw  # noqa: PLC0415

    draw(everything, {"date": "2026-01-02", "machine": "a machine"}, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.234e-7, "123 ns"), (2.5e-5, "25.0 us"), (0.0314, "31.4 ms"), (4, "4.00 s")],
)
def test_times_are_written_with_three_digits(seconds, text):
    assert document.quantity(seconds) == text


def test_readme_shows_the_summary_of_the_results():
    results = document.RESULTS.read_text()
    summary = document.between_markers(results)
    assert document.between_markers(document.README.read_text()) == summary
    assert summary.count("\n| ") > len(document.SUMMARY) / 2
