"""What the grammar writes with: random choices, names in scope, lines of text."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

Shape = tuple[int, ...]
Choice = tuple[Any, Callable[[], str]]


@dataclass(frozen=True)
class Variable:
    """A name and what it stands for."""

    name: str
    kind: str  # number, integer, flag, array, list (of numbers), indices
    shape: Shape = ()
    is_stored_into: bool = True  # elements may be assigned to
    is_rebound: bool = True  # the name itself may be assigned to


@dataclass
class Scope:
    """The names that a statement may use."""

    variables: list[Variable] = field(default_factory=list)

    def inner(self) -> Scope:
        """Return the scope of a block: what is named there is not used after it."""
        return Scope(list(self.variables))

    def add(self, name: str, kind: str, shape: Shape = (), **flags: bool) -> str:
        """Name something; return the name."""
        self.variables.append(Variable(name, kind, shape, **flags))
        return name

    def freeze(self, name: str) -> None:
        """Let a name keep what it stands for, as the list that a loop goes through."""
        self.variables = [
            replace(v, is_stored_into=False, is_rebound=False) if v.name == name else v
            for v in self.variables
        ]

    def all(
        self,
        kind: str,
        shape: Shape | None = None,
        *,
        ndim: int | None = None,
        stored: bool = False,
        rebound: bool = False,
    ) -> list[Variable]:
        """Return the variables of a kind, of a shape, that may be written to."""
        return [
            v
            for v in self.variables
            if v.kind == kind
            and (shape is None or v.shape == shape)
            and (ndim is None or len(v.shape) == ndim)
            and (v.is_stored_into or not stored)
            and (v.is_rebound or not rebound)
        ]


class Writer:
    """Random choices, names and lines.  The layers of the grammar derive from it."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.depth = 0
        self.count = 0

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.random.random() < probability

    def one_of(self, *items: Any) -> Any:
        """Return one of the items, all alike."""
        return self.random.choice(items)

    def some(self, items: list[Variable]) -> Any:
        """Return one of the variables; those that are younger more often."""
        return items[max(self.random.randrange(len(items)) for _ in range(2))]

    def draw(self, *choices: Choice) -> str:
        """Return what one choice, drawn by weight, writes; a weight of 0 (False, []) leaves out."""
        usable = [(float(weight), write) for weight, write in choices if weight]
        [write] = self.random.choices([w for _, w in usable], [weight for weight, _ in usable])
        return write()

    def constant(self) -> str:
        """Return a constant of moderate size."""
        return f"{self.random.uniform(-1.4, 1.4):.2f}"

    def positive(self) -> str:
        """Return a positive constant."""
        return f"{self.random.uniform(0.2, 1.4):.2f}"

    def new(self, prefix: str) -> str:
        """Return a name that is not used yet."""
        self.count += 1
        return f"{prefix}{self.count}"

    def emit(self, *lines: str) -> None:
        """Write lines at the present depth."""
        self.lines += [("    " * self.depth + line).rstrip() for line in lines]

    @contextlib.contextmanager
    def indented(self, head: str) -> Iterator[None]:
        """Write a head, and what follows one level deeper."""
        self.emit(head)
        before = len(self.lines)
        self.depth += 1
        yield
        if len(self.lines) == before:
            self.emit("pass")
        self.depth -= 1
