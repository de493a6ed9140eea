"""From a seed to a program: its arguments, its constants, its helpers, f."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from .helpers import Helpers
from .idioms import Idioms
from .program import Argument, Program
from .writer import Scope, Shape

WEIGHTS = ("0.31", "0.47", "0.64", "0.81", "0.58", "0.73", "0.29", "0.92")
"""Of what f returns; all different, so that no two derivatives cancel."""


class Generator(Idioms, Helpers):
    """Writes one program."""

    def __init__(self, seed: int, statements: int) -> None:
        super().__init__(seed)
        self.seed = seed
        self.budget = statements
        self.n, self.k = self.random.randint(3, 5), self.random.randint(2, 3)
        self.helpers: list[tuple[str, str, Shape]] = []
        self.constants: dict[str, Shape] = {}
        self.is_closure = self.chance(0.35)
        self.is_scalar = self.chance(0.72)
        self.arguments = self.signature()

    def signature(self) -> tuple[Argument, ...]:
        """Return the arguments: the first is real, the others are plain data of any kind."""
        first = self.argument("x", {"vector": 5, "matrix": 3, "pair": 1, "number": 0.4})
        any_kind = {
            "vector": 3, "matrix": 2, "number": 1.2, "pair": 0.8, "integer": 1, "indices": 0.8,
        }  # fmt: skip
        names = ("c", "d", "e")[: self.random.choices([1, 2, 3], [3, 3, 1])[0]]
        return (first, *(self.argument(name, any_kind) for name in names))

    def argument(self, name: str, kinds: dict[str, float]) -> Argument:
        [kind] = self.random.choices(list(kinds), list(kinds.values()))
        shape: Shape = (self.n,) if kind in ("vector", "pair", "indices") else ()
        layouts = ["C"]
        if kind == "matrix":
            shape = self.one_of((self.n, self.k), (self.n, self.k), (self.n, self.n))
            layouts = ["C", "C", "C", "F", "strided"]
        elif kind == "vector":
            layouts = ["C", "C", "C", "C", "strided", "reversed"]
        return Argument(name, kind, shape, self.one_of(*layouts))

    def argnums(self) -> int | tuple[int, ...]:
        real = [i for i, a in enumerate(self.arguments) if a.is_real]
        if len(real) == 1 or self.chance(0.45):
            return 0
        if self.chance(0.25):
            return self.random.choice(real[1:])
        chosen = self.random.sample(real, self.random.randint(2, len(real)))
        return tuple(chosen) if self.chance(0.3) else tuple(sorted(chosen))

    def program(self) -> Program:
        """Write it."""
        self.outside()
        self.emit("")
        for _ in range(self.random.choices([0, 1, 2], [3, 4, 2])[0]):
            self.helper()
        if self.chance(0.3):
            self.emit("@njit")
        with self.indented(f"def f({', '.join(a.name for a in self.arguments)}):"):
            scope = self.scope_of_arguments()
            self.beginning(scope)
            while self.budget > 0:
                self.statement(scope)
            self.emit(f"return {self.result(scope)}")
        if self.is_closure:
            self.emit("", "return f")
            self.depth = 0
            self.emit("", "", f"f = make({', '.join(self.passed)})")
        source = "\n".join(self.lines) + "\n"
        return Program(self.seed, source, self.arguments, self.argnums(), self.is_scalar)

    def outside(self) -> None:
        """Write constants: globals, or what a function around f and its helpers is given."""
        self.constants = {"G": (self.n,), "M": (self.n, self.k)}
        rng = np.random.default_rng([self.seed, 99])
        values = [
            f"np.array({rng.uniform(-1, 1, s).round(2).tolist()})" for s in self.constants.values()
        ]
        names, values = ["K", *self.constants], [self.constant(), *values]
        self.passed = values
        if self.is_closure:
            self.emit(f"def make({', '.join(names)}):")
            self.depth += 1
        else:
            self.emit(*(f"{name} = {value}" for name, value in zip(names, values, strict=True)))

    def scope_of_arguments(self) -> Scope:
        """Return the names that f begins with; pairs are taken apart."""
        scope = Scope()
        for a in self.arguments:
            if a.kind == "pair":
                v, s = self.new("v"), self.new("s")
                self.emit(f"{v}, {s} = {a.name}")
                scope.add(v, "array", a.shape)
                scope.add(s, "number")
            elif a.kind in ("vector", "matrix"):
                # Few programs write to their arguments, or all would be the same in this.
                scope.add(a.name, "array", a.shape, is_stored_into=self.chance(0.35))
            else:
                scope.add(a.name, a.kind, a.shape, is_rebound=a.kind == "number")
        return scope

    def beginning(self, scope: Scope) -> None:
        """Write a number and an array to begin with, which may be plain data at first."""
        name = self.new("s")
        self.emit(f"{name} = {self.one_of('0.0', '1.0', '0.0', self.leaf(scope))}")
        scope.add(name, "number")
        vectors = scope.all("array", (self.n,))
        if vectors and self.chance(0.4):
            value = f"{self.some(vectors).name}.copy()"
        elif self.chance(0.6):
            value = self.constructed(Scope(), (self.n,))
        else:
            value = self.array(scope, (self.n,), 1)
            value = f"1.0 * {value}" if value in [v.name for v in scope.variables] else value
        self.emit(f"{scope.add(self.new('a'), 'array', (self.n,))} = {value}")

    def result(self, scope: Scope) -> str:
        """Return what f returns: much of what it has computed, each with a weight of its own."""
        numbers = self.sample(scope.all("number"), 3)
        arrays = self.sample(scope.all("array"), 3)
        lists = self.sample(scope.all("list"), 1)
        weights = iter(WEIGHTS)
        terms = [f"{next(weights)} * {s}" for s in numbers]
        terms += [f"np.sum({a.name} * {next(weights)})" for a in arrays]
        terms += [f"{name}[-1]" for name in lists]
        total = " + ".join(terms)
        if self.is_scalar:
            return total
        a, b = self.some(arrays), self.some(arrays)
        return self.draw(
            (2, lambda: f"{a.name} * ({total})"),
            (1, lambda: a.name),
            (1, lambda: f"np.array([{', '.join(terms)}])"),
            (0.8, lambda: f"({a.name}, {total})"),
            (0.5, lambda: f"({a.name} * 0.7, {b.name})"),
            (0.5, lambda: f"[{', '.join(terms)}]"),
        )

    def sample(self, variables: list[Any], most: int) -> list[Any]:
        """Return some variables (their names, of numbers and lists); the youngest among them."""
        chosen = variables[-1:] + self.random.sample(
            variables[:-1], min(most - 1, max(0, len(variables) - 1))
        )
        return [v if v.kind == "array" else v.name for v in chosen]


def program(seed: int, *, short: bool = False) -> Program:
    """Return the program of a seed: of 4 to 12 statements, and blocks with more; or of 2 to 5."""
    statements = random.Random(seed).randint(*((2, 5) if short else (4, 12)))
    return Generator(seed, statements).program()
