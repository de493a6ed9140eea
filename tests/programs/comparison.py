"""All derivatives of a program against the reference, and against each other."""

from __future__ import annotations

import contextlib
import functools
import random
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numba.core import config

import dualtape as ad
from dualtape.arrays import plane_loop

from .kinds import KINDS, Kind, Probe, applicable
from .program import POINTS, Program, copied, flat, laid_out
from .reference import DiscardError, Reference

RTOL_FIRST = 1e-10
"""Complex steps have no truncation error; sums of values up to 1e5 are rounded."""
RTOL_AGREEMENT = 1e-9
"""Second derivatives of different kinds: sums of more and larger terms than the first."""
RTOL_SECOND = 1e-6
"""Extrapolated differences at distances of 4e-3: their error is of sixth order."""
ROUGH = 1e-4
"""Where two extrapolations differ by more than this, neither is a reference."""
NEAREST_KINK = 1e-9
QUICKLY = 4
"""All but each fourth program are compiled without optimisation, which takes two thirds."""


@dataclass(frozen=True)
class Fault:
    """Something that is wrong with one kind of derivative of a program."""

    seed: int
    kind: str
    point: int
    what: str  # value, derivative, symmetry, arguments, or the name of an exception
    details: str

    def __str__(self) -> str:
        head = f"program {self.seed}, {self.kind}, point {self.point}: {self.what}"
        return f"{head}\n{self.details}"

    def is_like(self, other: Fault) -> bool:
        """Whether it is the same kind of fault (of a smaller program)."""
        mine, others = (_kind_of_message(f.details) for f in (self, other))
        return (self.kind, self.what, mine) == (other.kind, other.what, others)


def _kind_of_message(details: str) -> str:
    """Return the part of a message that does not change with the program, if it is a message."""
    first = details.partition("\n")[0]
    return "" if first.startswith("found") else first.rpartition(": ")[2][:40]


@dataclass
class Outcome:
    """What became of one program."""

    seed: int
    discarded: str = ""
    comparisons: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    refusals: list[Fault] = field(default_factory=list)
    kinks: int = 0
    seconds: float = 0.0


class Case:
    """A point and what should be found there."""

    def __init__(self, reference: Reference, point: int, args: tuple[Any, ...]) -> None:
        self.reference, self.point, self.args = reference, point, args
        reference.gap = np.inf
        self.value, self.jacobian = reference.jacobian(args)
        self.is_smooth = reference.gap > NEAREST_KINK
        rng = np.random.default_rng([reference.program.seed, point, 1])
        sizes = self.jacobian.shape[::-1]
        self.probe = Probe(*(rng.uniform(0.5, 1.5, s) * rng.choice([-1, 1], s) for s in sizes))

    def columns(self, positions: tuple[int, ...]) -> list[int]:
        """Return the columns of the Jacobian by all arguments that belong to these, in order."""
        ends = np.cumsum(self.reference.count(self.args))
        counts = self.reference.count(self.args)
        return [int(c) for i in positions for c in range(ends[i] - counts[i], ends[i])]

    @functools.cache  # noqa: B019  # a case lives as long as the comparison of its program
    def second(self, positions: tuple[int, ...]) -> tuple[Any, float]:
        """Return the product of the Hessian with the direction, and its possible error."""
        columns = self.columns(positions)
        direction = np.zeros_like(self.probe.direction)
        direction[columns] = self.probe.direction[columns]
        product, error = self.reference.hessian_product(self.args, direction)
        if error > ROUGH * self.scale(product):
            raise DiscardError("the differences do not converge")
        return product[columns], error

    def scale(self, derivative: Any) -> float:
        """Return what errors are relative to."""
        largest = [np.max(np.abs(a), initial=1.0) for a in (self.jacobian, self.value, derivative)]
        return float(max(largest))


def cases_of(program: Program, points: int = POINTS) -> list[Case]:
    """Return the points of a program; at the last one, arguments may be one and the same array."""
    reference = Reference(program)
    cases = [Case(reference, point, program.at(point)) for point in range(points)]
    if all(np.all(case.jacobian == 0.0) for case in cases):
        raise DiscardError("no derivative")
    if not reference.writes and program.seed % 3 == 0:
        cases[-1] = Case(reference, points - 1, shared(program.at(points - 1)))
    return cases


def shared(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the arguments with one array in place of all real ones of one shape and layout."""
    seen: dict[Any, Any] = {}

    def one(arg: Any) -> Any:
        if not isinstance(arg, np.ndarray) or arg.dtype != float:
            return arg
        return seen.setdefault((arg.shape, arg.strides), arg)

    return tuple(map(one, args))


@contextlib.contextmanager
def compiled_quickly(quickly: bool) -> Iterator[None]:
    """Compile without optimisation, or as always."""
    before = config.OPT
    config.OPT = type(before)(0) if quickly else before
    try:
        yield
    finally:
        config.OPT = before


def rotating(program: Program, count: int) -> list[Kind]:
    """Return some of the kinds of a program, other ones for the next program."""
    kinds = applicable(program)
    return random.Random(program.seed).sample(kinds, min(count, len(kinds)))


@contextlib.contextmanager
def loops_over_lines(flag: bool) -> Iterator[None]:
    """Let array expressions of reverse mode be loops over lines, however short they are."""
    before = plane_loop.SHORT
    plane_loop.SHORT = 1 if flag else before
    try:
        yield
    finally:
        plane_loop.SHORT = before


def check(program: Program, kinds: list[Kind] | None = None, points: int = POINTS) -> Outcome:
    """Compare kinds of derivatives, all if not told, of a program."""
    outcome = Outcome(program.seed)
    start = time.process_time()
    try:
        cases = cases_of(program, points)
        with warnings.catch_warnings(), compiled_quickly(program.seed % QUICKLY != 0):
            warnings.simplefilter("ignore")
            f = program.function()
            second: dict[Any, Any] = {}
            with loops_over_lines(program.seed % 2 == 1):
                for kind in applicable(program) if kinds is None else kinds:
                    _check_kind(program, f, kind, cases, second, outcome)
    except DiscardError as error:
        outcome.discarded = str(error)
        outcome.faults.clear()
        outcome.refusals.clear()
    outcome.seconds = time.process_time() - start
    return outcome


def _check_kind(
    program: Program,
    f: Any,
    kind: Kind,
    cases: list[Case],
    second: dict[Any, Any],
    outcome: Outcome,
) -> None:
    for case in cases:
        if not case.is_smooth:
            outcome.kinks += 1
            continue
        args = copied_together(case.args)
        try:
            value, derivative = kind.compute(program, f, args, case.probe)
        except ad.PatternError:
            continue  # another branch than the one that was prepared
        except Exception as error:
            _tell_of_error(program, kind, case, error, outcome)
            return
        wrong = _differences(kind, case, value, derivative, second)
        if kind.order and not np.array_equal(flat(args), flat(case.args)):
            wrong = wrong or ("arguments", f"found {args}\nbefore {case.args}")
        if wrong:
            what, details = wrong
            _compare_plain(program, case, value)
            outcome.faults.append(Fault(program.seed, kind.name, case.point, what, details))
            return
        outcome.comparisons[kind.name] += 1


def copied_together(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return copies; what was one array stays one array."""
    made: dict[int, Any] = {}
    return tuple(made.setdefault(id(arg), copied(arg)) for arg in args)


def _differences(
    kind: Kind, case: Case, value: Any, derivative: Any, second: dict[Any, Any]
) -> tuple[str, str] | None:
    """Return what is wrong and the numbers, or None."""
    if value is not None and not _near(flat(value), case.value, RTOL_FIRST * case.scale(0.0)):
        return "value", _told(flat(value), case.value)
    positions = kind.positions(case.reference.program)
    columns = case.columns(positions)
    direction = case.probe.direction
    if kind.order == 1:
        expected = {
            "matrix": lambda: case.jacobian[:, columns],
            "direction": lambda: case.jacobian @ direction,
            "cotangent": lambda: case.probe.cotangent @ case.jacobian,
        }[kind.expected]()
        if not _near(derivative, expected, RTOL_FIRST * case.scale(expected)):
            return "derivative", _told(derivative, expected)
    if kind.order == 2:
        is_hessian = derivative.ndim == 2 and "hessian" in kind.name
        if is_hessian and not np.array_equal(derivative, derivative.T):
            return "symmetry", _told(derivative, derivative.T)
        product = derivative @ direction[columns] if derivative.ndim == 2 else derivative
        other, of = second.setdefault((case.point, positions), (product, kind.name))
        if not _near(product, other, RTOL_AGREEMENT * case.scale(other)):
            return "derivative", f"{_told(product, other)}\n(that of {of})"
        with contextlib.suppress(DiscardError):
            expected, error = case.second(positions)
            if not _near(product, expected, RTOL_SECOND * case.scale(expected) + 10.0 * error):
                return "derivative", _told(product, expected)
    return None


def _near(found: Any, expected: Any, tolerance: float) -> bool:
    return found.shape == expected.shape and bool(np.all(np.abs(found - expected) <= tolerance))


def _told(found: Any, expected: Any) -> str:
    return f"found\n{np.asarray(found)!r}\nexpected\n{np.asarray(expected)!r}"


def _tell_of_error(
    program: Program, kind: Kind, case: Case, error: Exception, outcome: Outcome
) -> None:
    """Note a refusal or a fault, unless Numba refuses the program itself."""
    _compare_plain(program, case, None)
    told = Fault(program.seed, kind.name, case.point, type(error).__name__, str(error))
    refused = isinstance(error, ad.DualtapeError)
    (outcome.refusals if refused else outcome.faults).append(told)


def _compare_plain(program: Program, case: Case, found: Any) -> None:
    """Discard programs of which Numba makes something else than Python, and dualtape the same."""
    try:
        plain = flat(program.compiled()(*copied(case.args)))
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise DiscardError(f"Numba: {type(error).__name__}: {reason}") from error
    tolerance = RTOL_FIRST * case.scale(0.0)
    alike = found is None or _near(flat(found), plain, tolerance)
    if alike and not _near(plain, case.value, tolerance):
        raise DiscardError("Numba computes something else than Python")


def names(kinds: str) -> list[Kind]:
    """Return kinds by their names, separated by commas."""
    return [KINDS[name.strip()] for name in kinds.split(",")]


__all__ = ["Case", "Fault", "Outcome", "check", "laid_out", "names", "rotating"]
