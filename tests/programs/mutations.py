"""Wrong versions of the package: a copy with one line changed.  Random programs must notice each.

A mutation changes what is compiled, so it cannot be put into a process that has compiled something
already; and it must not meet the kernels that the right version keeps on disk.  So the command line
runs with the copy before the package in the path, and with a cache folder of its own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import dualtape

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutation:
    """A line of the package, and what it becomes."""

    file: str
    old: str
    new: str
    kinds: str = "grad reverse"
    """What is looked at, to be quick."""


MUTATIONS = {
    "a wrong sign in a rule": Mutation(
        "rules/table.py", "return f, -np.sin(x), -f", "return f, np.sin(x), -f", "grad forward"
    ),
    "an adjoint that forgets what it had": Mutation(
        "reverse/sweep.py",
        "            if a - a == 0.0:\n                for e in range(begin, hi):\n"
        "                    adjoint[col[e]] += partial[e] * a",
        "            if a - a == 0.0:\n                for e in range(begin, hi):\n"
        "                    adjoint[col[e]] = partial[e] * a",
    ),
    "one row for all elements that a statement stores": Mutation(
        "arrays/block_loop.py", "row = self.builder.add(self.first, i)", "row = self.first"
    ),
    "an alias missed": Mutation(
        "analysis/writes.py",
        "            for var in self._targets(statement, kind):\n"
        "                roots |= self.roots(var.name)",
        "            for var in self._targets(statement, kind):\n"
        "                roots |= {var.name}",
        "grad forward",
    ),
    "a decrement recorded as an increment": Mutation(
        "analysis/increments.py", "sign = 1.0 if op is operator.add else -1.0", "sign = 1.0"
    ),
    "a broadcast operand that gets one term of its sum": Mutation(
        "arrays/expression_block.py",
        "            total = total + strong_product(partial[i], adjoint[result + t * i])",
        "            total = strong_product(partial[i], adjoint[result + t * i])",
    ),
    "a window of adjoints without its step": Mutation(
        "arrays/lines.py",
        "row, outer, step = offset >> 3, outer >> 3, step >> 3",
        "row, outer, step = offset >> 3, outer >> 3, 1",
    ),
    "a row counted twice": Mutation(
        "numbers/tracked.py", "more_rows[j] = more_rows[j]._like(remaining)", "pass"
    ),
    "a mixed term missing in second derivatives": Mutation(
        "numbers/hyper_dual.py",
        "e12 = e12 + (x1_y2 + y1_x2)",
        "e12 = e12 + x1_y2",
        "hessian forward",
    ),
}


def mutated(mutation: Mutation, folder: Path) -> None:
    """Write the wrong version into a folder."""
    text = wrong_text(mutation)
    copy = folder / "dualtape"
    shutil.copytree(
        Path(dualtape.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__")
    )
    (copy / mutation.file).write_text(text)


def wrong_text(mutation: Mutation) -> str:
    """Return the file with the line changed, which must be there once."""
    text = (Path(dualtape.__file__).parent / mutation.file).read_text()
    if text.count(mutation.old) != 1:
        raise AssertionError(f"{mutation.file} has not once the line that a mutation changes")
    return text.replace(mutation.old, mutation.new)


def run_mutated(mutation: Mutation, folder: Path, programs: int) -> tuple[bool, str]:
    """Run random programs with the wrong version; return whether one noticed, and what was said."""
    mutated(mutation, folder)
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "NUMBA_CACHE_DIR": str(folder / "cache"),
    }
    command = [
        sys.executable, "-m", "tests.programs", "--until-fault", "--short", "--shrink-seconds", "0",
        "--programs", str(programs), "--only", mutation.kinds, "--log", str(folder / "log"),
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False
    )
    if done.returncode not in (0, 1) or "comparisons" not in done.stdout:
        raise AssertionError(done.stdout + done.stderr)
    return done.returncode == 1, done.stdout
