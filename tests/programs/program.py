"""What a program is: text, arguments, and how the text becomes a function."""

from __future__ import annotations

import ast
import linecache
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

POINTS = 3
"""A derivative is compiled once and called at so many points."""


@dataclass(frozen=True)
class Argument:
    """An argument of f: its kind, and how its numbers lie in memory."""

    name: str
    kind: str  # vector, matrix, number, pair (of a vector and a number), integer, indices
    shape: tuple[int, ...] = ()
    layout: str = "C"  # C, F, strided, reversed

    @property
    def is_real(self) -> bool:
        """Whether one can differentiate by it."""
        return self.kind not in ("integer", "indices")

    def drawn(self, rng: np.random.Generator) -> Any:
        """Return random numbers of moderate size."""
        if self.kind == "number":
            return float(rng.uniform(0.2, 1.5))
        if self.kind == "integer":
            return int(rng.integers(1, 4))
        if self.kind == "indices":
            return rng.integers(0, self.shape[0], self.shape)
        numbers = laid_out(rng.uniform(-1.5, 1.5, self.shape), self.layout)
        return (numbers, float(rng.uniform(0.2, 1.5))) if self.kind == "pair" else numbers


def laid_out(numbers: Any, layout: str) -> Any:
    """Return an equal array of this layout."""
    if layout == "F":
        return np.asfortranarray(numbers)
    if layout == "strided":
        room = np.full([2 * size for size in numbers.shape], np.nan)
        places = (slice(None, None, 2),) * numbers.ndim
        room[places] = numbers
        return room[places]
    return numbers[::-1].copy()[::-1] if layout == "reversed" else numbers


@dataclass(frozen=True)
class Program:
    """A function f, as text, and how to call it."""

    seed: int
    source: str
    arguments: tuple[Argument, ...]
    argnums: int | tuple[int, ...]
    is_scalar: bool

    @property
    def positions(self) -> tuple[int, ...]:
        """The arguments that are differentiated."""
        return (self.argnums,) if isinstance(self.argnums, int) else self.argnums

    def at(self, point: int) -> tuple[Any, ...]:
        """Return the arguments of the point with this number."""
        rng = np.random.default_rng([self.seed, point])
        return tuple(argument.drawn(rng) for argument in self.arguments)

    def function(self) -> Callable[..., Any]:
        """Return f as a user writes it, for dualtape."""
        import dualtape as ad  # noqa: PLC0415  # the reference runs without it

        return self._run(ast.parse(self.source), {"ad": ad, "njit": numba.njit})

    def compiled(self) -> Callable[..., Any]:
        """Return f as an njit function that calls njit functions."""
        tree = _Compiled().visit(ast.parse(self.source))
        return self._run(tree, {"ad": _Plain, "njit": numba.njit})

    def _run(self, tree: ast.Module, names: dict[str, Any]) -> Callable[..., Any]:
        file = f"<program {self.seed}>"
        linecache.cache[file] = (len(self.source), None, self.source.splitlines(True), file)
        space = {"np": np, "math": math, "__name__": __name__, **names}
        exec(compile(ast.fix_missing_locations(tree), file, "exec"), space)
        function: Callable[..., Any] = space["f"]
        return function

    def script(self, call: str, point: int) -> str:
        """Return a text to paste: the program and a call of a transform at a point."""
        given = ", ".join(f"{a.name}={text_of(v)}" for a, v in zip_of(self, self.at(point)))
        layouts = {a.name: a.layout for a in self.arguments if a.layout != "C"}
        return "\n".join(
            [
                "import math",
                "import dualtape as ad",
                "import numpy as np",
                "from numba import njit",
                *([f"# layouts of arguments: {layouts}"] if layouts else []),
                "",
                self.source.rstrip(),
                "",
                f"args = dict({given})",
                call.replace("argnums", f"argnums={self.argnums}"),
            ]
        )


class _Plain:
    """Stands for dualtape in a program without derivatives."""

    @staticmethod
    def checkpoint(f: Any) -> Any:
        return f


class _Compiled(ast.NodeTransformer):
    """Every function that is not inside of f or a helper becomes an njit function."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        if node.name == "make":
            return self.generic_visit(node)
        node.decorator_list = [ast.Name("njit", ast.Load())]
        return node


def zip_of(program: Program, values: tuple[Any, ...]) -> Any:
    """Return pairs of arguments and their values."""
    return zip(program.arguments, values, strict=True)


def text_of(value: Any) -> str:
    """Return an expression that has this value."""
    if isinstance(value, tuple):
        return "(" + ", ".join(map(text_of, value)) + ")"
    return f"np.array({value.tolist()})" if isinstance(value, np.ndarray) else repr(value)


# Structures of numbers: tuples of arrays and numbers


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """Return the same structure of function(leaf)."""
    if isinstance(tree, tuple | list):
        return tuple(mapped(function, part) for part in tree)
    return function(tree)


def leaves(tree: Any) -> list[Any]:
    """Return the arrays and numbers of a structure in order."""
    if isinstance(tree, tuple | list):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def flat(tree: Any) -> Any:
    """Return all numbers of a structure as a vector."""
    parts = [np.asarray(leaf).reshape(-1) for leaf in leaves(tree)]
    return np.concatenate(parts) if parts else np.zeros(0)


def filled(tree: Any, numbers: Any) -> Any:
    """Return the structure with these numbers, in order; arrays keep their shape."""
    rest = list(numbers)

    def fill(leaf: Any) -> Any:
        taken = [rest.pop(0) for _ in range(np.size(leaf))]
        return np.array(taken).reshape(leaf.shape) if isinstance(leaf, np.ndarray) else taken[0]

    return mapped(fill, tree)


def copied(tree: Any) -> Any:
    """Return the structure with arrays of its own, laid out alike."""

    def copy(leaf: Any) -> Any:
        if not isinstance(leaf, np.ndarray):
            return leaf
        if leaf.flags.c_contiguous:
            return leaf.copy()
        if leaf.flags.f_contiguous:
            return leaf.copy("F")
        return laid_out(leaf, "reversed" if leaf.strides[0] < 0 else "strided")

    return mapped(copy, tree)
