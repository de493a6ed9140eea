"""The command line: any number of random programs, for some minutes.

Examples
--------
python -m tests.programs --minutes 30 --seed 7
python -m tests.programs --programs 50 --kinds 2
python -m tests.programs --show 19 --only "sparse hessian coloring"
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from .comparison import Fault, Outcome, rotating
from .generator import program
from .kinds import KINDS, applicable
from .program import Program
from .reference import DiscardError, Reference
from .shrinking import shrunk
from .workers import Worker


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m tests.programs", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--programs", type=int, default=10**9, help="at most so many")
    parser.add_argument("--seed", type=int, default=0, help="of the first program; then the next")
    parser.add_argument("--kinds", type=int, default=0, help="so many a program, else all")
    parser.add_argument("--only", default="", help="kinds by name, separated by commas")
    parser.add_argument("--log", type=Path, default=Path("random_programs.log"))
    parser.add_argument("--show", action="store_true", help="print one program, and what it does")
    parser.add_argument("--short", action="store_true", help="programs as those of the tests")
    parser.add_argument("--until-fault", action="store_true", help="end with the first fault")
    parser.add_argument("--shrink-seconds", type=float, default=300.0, help="0: do not shrink")
    return parser.parse_args()


class Session:
    """Counts of what became of the programs, a log of it, and a line of progress."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.worker = Worker()
        self.start = time.monotonic()
        self.programs = 0
        self.comparisons: Counter[str] = Counter()
        self.discarded: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()
        self.faults: list[Fault] = []
        self.seen: list[Fault] = []
        self.log = options.log.open("a")

    def note(self, text: str) -> None:
        """Write to the log."""
        self.log.write(text.rstrip() + "\n")
        self.log.flush()

    def kinds_of(self, one: Program) -> list[str]:
        if self.options.only:
            wanted = [name.strip() for name in self.options.only.split(",")]
            return [k.name for k in applicable(one) if k.name in wanted]
        kinds = rotating(one, self.options.kinds) if self.options.kinds else applicable(one)
        return [kind.name for kind in kinds]

    def run(self) -> None:
        """Check programs until the time or their number is over."""
        seed = self.options.seed
        while (
            self.programs < self.options.programs
            and time.monotonic() - self.start < 60.0 * self.options.minutes
        ):
            one = program(seed, short=self.options.short)
            self.take(one, self.checked(one))
            seed += 1
            if (self.faults or self.refused) and self.options.until_fault:
                break
        self.worker.close()

    def checked(self, one: Program) -> Outcome:
        """Return what becomes of a program; where the process dies, by its kinds one by one."""
        outcome = self.worker.check(one, self.kinds_of(one))
        if [f.what for f in outcome.faults] == ["died"]:
            singly = [self.worker.check(one, [name]) for name in self.kinds_of(one)]
            faults = [f for o in singly for f in o.faults]
            outcome.faults = faults or outcome.faults  # else it needs the programs before it
        return outcome

    def take(self, one: Program, outcome: Outcome) -> None:
        """Count the outcome of a program; shrink what is new of its faults."""
        self.programs += 1
        if outcome.discarded:
            self.discarded[_general(outcome.discarded)] += 1
        self.comparisons.update(outcome.comparisons)
        for refusal in outcome.refusals:
            self.refused[f"{refusal.what}: {_general(refusal.details)}"] += 1
        made = sum(outcome.comparisons.values())
        told = outcome.discarded or f"{made} comparisons"
        self.note(f"{one.seed}: {told}, {outcome.seconds:.1f} s")
        for fault in [*outcome.faults, *outcome.refusals]:
            if fault in outcome.faults:
                self.faults.append(fault)
            self.note(str(fault))
            if not any(fault.is_like(other) for other in self.seen):
                self.seen.append(fault)
                self.report(one, fault)
        self.progress()

    def report(self, one: Program, fault: Fault) -> None:
        """Print a fault with the smallest program that has it."""
        small = one
        if self.options.shrink_seconds and fault.kind in KINDS:
            small = shrunk(one, self.same(fault), self.options.shrink_seconds)
        text = small.script(KINDS[fault.kind].call if fault.kind in KINDS else "", fault.point)
        report = f"\n== {fault}\n-- in {text}\n"
        self.note(report)
        print(report, flush=True)

    def same(self, fault: Fault) -> Any:
        """Return whether a program has this fault."""

        def fails(candidate: Program) -> bool:
            try:
                Reference(candidate).jacobian(candidate.at(fault.point))
            except (DiscardError, SyntaxError):
                return False
            outcome = self.worker.check(candidate, [fault.kind])
            found = [*outcome.faults, *outcome.refusals]
            return not outcome.discarded and any(other.is_like(fault) for other in found)

        return fails

    def progress(self) -> None:
        minutes = (time.monotonic() - self.start) / 60.0
        line = (
            f"{minutes:6.1f} min  {self.programs} programs  "
            f"{sum(self.comparisons.values())} comparisons  "
            f"{sum(self.discarded.values())} discarded  "
            f"{sum(self.refused.values())} refused  {len(self.faults)} faults"
        )
        print(line, end="\r" if sys.stdout.isatty() else "\n", flush=True)

    def summary(self) -> str:
        """Return all counts."""
        lines = [f"programs: {self.programs}", f"comparisons: {sum(self.comparisons.values())}"]
        for title, counts in (
            ("by kind", self.comparisons),
            ("discarded", self.discarded),
            ("refused", self.refused),
        ):
            lines.append(f"{title}:")
            lines += [f"  {count:6d}  {what}" for what, count in counts.most_common()]
        lines.append(f"faults: {len(self.faults)}")
        lines += [f"  program {f.seed}, {f.kind}: {f.what}" for f in self.faults]
        return "\n".join(lines)


def _general(text: str) -> str:
    """Return the first line of a message, without numbers and names of the program."""
    first = text.strip().partition("\n")[0]
    return re.sub(r"\b[a-z]\d+c?\b", "_", re.sub(r"-?\b\d[\d.]*\b", "#", first))[:150]


def main() -> int:
    options = arguments()
    session = Session(options)
    if options.show:
        one = program(options.seed, short=options.short)
        print(one.script("", 0))
        print(session.checked(one))
        session.worker.close()
        return 0
    session.run()
    summary = session.summary()
    session.note(summary)
    print(f"\n{summary}")
    return 1 if session.faults or session.refused else 0


if __name__ == "__main__":
    raise SystemExit(main())
