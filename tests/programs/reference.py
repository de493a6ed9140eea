"""Derivatives of a program without dualtape and without Numba: by complex steps, in plain Python.

The text of the program runs on complex numbers, whose imaginary parts (of 1e-20) are derivatives.
That is exact for whatever is analytic; comparisons look at real parts, powers are multiplied out,
and functions are replaced by ``f(a) + 1j b f'(a)``.  Second derivatives are differences of these,
extrapolated.

A reference also knows how near to a kink a run came (`Reference.gap`) and which way it took at
every comparison (`Reference.decisions`), so that points with kinks can be left out.
"""

from __future__ import annotations

import ast
import itertools
import math
import types
from collections.abc import Callable
from typing import Any

import numpy as np

from .program import Program, flat, leaves, mapped

STEP = 1e-20
LARGEST = 1e5
"""Values and derivatives beyond this would only tell of rounding."""
SPACING = 4e-3
"""The largest distance of the points whose gradients are subtracted."""


class DiscardError(Exception):
    """The program, or the point, is of no use as a test."""


class Reference:
    """Runs a program on complex numbers."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.gap = math.inf
        self.decisions: list[bytes] = []
        self.writes = False
        space = self._names()
        tree = ast.fix_missing_locations(_Rewritten().visit(ast.parse(program.source)))
        try:
            exec(compile(tree, f"<reference {program.seed}>", "exec"), space)
            self._f = space["f"]
        except Exception as error:
            raise DiscardError(f"{type(error).__name__}: {error}") from error

    def run(self, args: tuple[Any, ...], direction: Any) -> Any:
        """Return f, flat and complex, where all real arguments have moved in a direction."""
        lifted = self._lifted(args, direction)
        before = flat(lifted)
        try:
            with np.errstate(all="ignore"):
                found = flat(self._f(*lifted)).astype(complex)
        except Exception as error:
            raise DiscardError(f"{type(error).__name__}: {error}") from error
        self.writes = self.writes or not np.array_equal(before, flat(lifted))
        if not np.all(np.isfinite(found)) or np.max(np.abs(found), initial=0.0) > LARGEST:
            raise DiscardError("values are not tame")
        return found

    def _lifted(self, args: tuple[Any, ...], direction: Any) -> tuple[Any, ...]:
        """Return complex arguments; `direction` has a complex number for every real one."""
        rest = list(direction)

        def lift(leaf: Any) -> Any:
            count = np.size(leaf)
            step = np.array([rest.pop(0) for _ in range(count)]).reshape(np.shape(leaf))
            return leaf + step if isinstance(leaf, np.ndarray) else complex(leaf + step)

        pairs = zip(self.program.arguments, args, strict=True)
        return tuple(mapped(lift, arg) if own.is_real else np.copy(arg)[()] for own, arg in pairs)

    def count(self, args: tuple[Any, ...]) -> list[int]:
        """Return how many real numbers every argument has."""
        pairs = zip(self.program.arguments, args, strict=True)
        return [flat(arg).size if own.is_real else 0 for own, arg in pairs]

    def jacobian(self, args: tuple[Any, ...], shift: Any = 0.0) -> tuple[Any, Any]:
        """Return the value and its derivatives by all real arguments, moved by `shift`."""
        columns = []
        for unit in np.eye(sum(self.count(args))):
            y = self.run(args, shift + 1j * STEP * unit)
            columns.append(y.imag / STEP)
        found = np.stack(columns, -1)
        if not np.all(np.isfinite(found)) or np.max(np.abs(found), initial=0.0) > LARGEST:
            raise DiscardError("derivatives are not tame")
        return y.real, found

    def hessian_product(self, args: tuple[Any, ...], direction: Any) -> tuple[Any, float]:
        """Return H v of a scalar f for a direction of all real arguments, and what may be wrong.

        Central differences of gradients at three distances, extrapolated twice.  All of them must
        have decided alike, or there is a kink between them.
        """
        decided = set()

        def gradient(distance: float) -> Any:
            self.decisions = []
            found = self.jacobian(args, distance * direction)[1][0]
            decided.add(tuple(self.decisions))
            return found

        slopes = []
        for h in (SPACING, SPACING / 2.0, SPACING / 4.0):
            slopes.append((gradient(h) - gradient(-h)) / (2.0 * h))
        if len(decided) != 1:
            raise DiscardError("a kink is near")
        once = [(4.0 * fine - coarse) / 3.0 for coarse, fine in itertools.pairwise(slopes)]
        twice = (16.0 * once[1] - once[0]) / 15.0
        return twice, float(np.max(np.abs(twice - once[1])))

    # What the program's names stand for

    def near(self, distance: Any) -> None:
        """Note a distance from a kink; where no derivative moves it, it is none."""
        distance = np.atleast_1d(np.asarray(distance))
        moved = np.abs(distance.real[distance.imag != 0.0])
        if moved.size:
            self.gap = min(self.gap, float(moved.min()))

    def decide(self, decision: Any) -> Any:
        """Note which way was taken."""
        self.decisions.append(np.asarray(decision).tobytes())
        return decision

    def _names(self) -> dict[str, Any]:
        functions = _functions(self)
        arrays = _constructors()
        kinks = {
            "maximum": self.maximum,
            "minimum": self.minimum,
            "clip": lambda v, low, high: self.minimum(self.maximum(v, low), high),
            "sort": self.sort,
            "max": lambda v: self.sort(np.ravel(v))[-1],
            "min": lambda v: self.sort(np.ravel(v))[0],
            "argmax": self.argmax,
        }
        numpy = _Library(**functions, **arrays, **kinks)
        return {
            "np": numpy,
            "math": types.SimpleNamespace(**functions),
            "ad": types.SimpleNamespace(checkpoint=lambda f: f),
            "njit": lambda f: f,
            "abs": functions["abs"],
            "max": lambda a, b: a if isinstance(a, int) and a >= b else self.maximum(a, b),
            "min": lambda a, b: min(a, b) if isinstance(a, int) else self.minimum(a, b),
            "_compare": self.compare,
            "_power": power,
            "_sort_in_place": self.sort_in_place,
        }

    def compare(self, relation: str, a: Any, b: Any) -> Any:
        """Compare real parts."""
        if is_complex(a) or is_complex(b):
            self.near(np.asarray(a) - b)
        found = RELATIONS[relation](np.real(a), np.real(b))
        return self.decide(found if np.ndim(found) else bool(found))

    def maximum(self, a: Any, b: Any) -> Any:
        return self._one_of(a, b, np.real(a) >= np.real(b))

    def minimum(self, a: Any, b: Any) -> Any:
        return self._one_of(a, b, np.real(a) <= np.real(b))

    def _one_of(self, a: Any, b: Any, first: Any) -> Any:
        self.near(np.asarray(a) - b)
        found = np.where(self.decide(first), a, b)
        return found if found.ndim else complex(found)

    def sort(self, v: Any) -> Any:
        order = self.decide(np.argsort(v.real, kind="stable"))
        self.near(np.diff(v[order]))
        return v[order]

    def sort_in_place(self, v: Any) -> None:
        v[:] = self.sort(v)

    def argmax(self, v: Any) -> int:
        largest = int(np.argmax(v.real))
        self.near(np.delete(v, largest) - v[largest])
        return int(self.decide(largest))


RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "Lt": np.less,
    "Gt": np.greater,
    "LtE": np.less_equal,
    "GtE": np.greater_equal,
    "Eq": np.equal,
    "NotEq": np.not_equal,
}


class _Rewritten(ast.NodeTransformer):
    """Comparisons, powers and sorting in place become calls."""

    def visit_Compare(self, node: ast.Compare) -> Any:
        self.generic_visit(node)
        [operation], [right] = node.ops, node.comparators
        relation = ast.Constant(type(operation).__name__)
        return _call("_compare", relation, node.left, right)

    def visit_BinOp(self, node: ast.BinOp) -> Any:
        self.generic_visit(node)
        return _call("_power", node.left, node.right) if isinstance(node.op, ast.Pow) else node

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "sort" and not node.args:
            return _call("_sort_in_place", node.func.value)
        return node


def _call(name: str, *args: ast.expr) -> ast.Call:
    return ast.Call(ast.Name(name, ast.Load()), list(args), [])


class _Library(types.SimpleNamespace):
    """NumPy, but for some names."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def is_complex(a: Any) -> bool:
    """Whether a number or an array may carry a derivative."""
    return isinstance(a, complex) or getattr(a, "dtype", None) == np.complex128


def rule(value: Callable[[Any], Any], slope: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function of complex numbers and arrays, from a function and its derivative."""

    def of(z: Any) -> Any:
        if not is_complex(z):
            return value(z)
        z = np.asarray(z)
        found = value(z.real) + 1j * (slope(z.real) * z.imag)
        return found if found.ndim else complex(found)

    return of


def _functions(reference: Reference) -> dict[str, Callable[..., Any]]:
    def absolute(z: Any) -> Any:
        if is_complex(z):
            reference.near(z)
            reference.decide(np.real(z) > 0.0)
        return rule(np.abs, np.sign)(z)

    def floor(z: Any) -> Any:
        if is_complex(z):
            reference.near(z - np.rint(np.real(z)))
            reference.decide(np.floor(np.real(z)))
        return rule(np.floor, np.zeros_like)(z)

    arctangent = rule(np.arctan, lambda a: 1.0 / (1.0 + a * a))
    root = rule(np.sqrt, lambda a: 0.5 / np.sqrt(a))
    return {
        "sin": rule(np.sin, np.cos),
        "cos": rule(np.cos, lambda a: -np.sin(a)),
        "tanh": rule(np.tanh, lambda a: 1.0 / np.cosh(a) ** 2),
        "arctan": arctangent,
        "atan": arctangent,
        "exp": rule(np.exp, np.exp),
        "log": rule(np.log, lambda a: 1.0 / a),
        "sqrt": root,
        "hypot": lambda a, b: root(a * a + b * b),
        "atan2": lambda a, b: arctangent(a / b),  # b is positive
        "abs": absolute,
        "floor": floor,
    }


def power(a: Any, b: Any) -> Any:
    """Return a to the power of b: a product for integers, else by its derivatives."""
    if isinstance(b, int | np.integer):
        found = 1.0 if b >= 0 else 1.0 / a
        for _ in range(abs(int(b)) - (b < 0)):
            found = found * a if b > 0 else found / a
        return found if is_complex(a) or not np.ndim(a) else found * np.ones_like(a)
    base, exponent = np.real(a), np.real(b)
    value = base**exponent
    slope = exponent * base ** (exponent - 1.0) * np.imag(a)
    if np.any(np.imag(b)):
        slope = slope + value * np.log(base) * np.imag(b)
    return value + 1j * slope


def _constructors() -> dict[str, Callable[..., Any]]:
    def array(items: Any) -> Any:
        found = np.array(items)
        return found if found.dtype.kind in "iub" else found.astype(complex)

    return {
        "zeros": lambda shape: np.zeros(shape, complex),
        "ones": lambda shape: np.ones(shape, complex),
        "full": lambda shape, value: np.full(shape, value, complex),
        "eye": lambda size: np.eye(size, dtype=complex),
        "empty": lambda shape: np.full(shape, np.nan, complex),
        "empty_like": lambda v: np.full(v.shape, np.nan, complex),
        "arange": lambda size: np.arange(size).astype(complex),
        "linspace": lambda *bounds: np.linspace(*bounds).astype(complex),
        "array": array,
        "var": lambda v: np.mean((v - np.mean(v)) * (v - np.mean(v))),
    }


def real_leaves(program: Program, args: tuple[Any, ...]) -> list[Any]:
    """Return the arrays and numbers that one can differentiate by."""
    pairs = zip(program.arguments, args, strict=True)
    return [leaf for own, arg in pairs if own.is_real for leaf in leaves(arg)]
