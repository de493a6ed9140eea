"""Every way in which dualtape computes a derivative, as a table."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import dualtape as ad

from .program import Program, copied, filled, flat, leaves, mapped

Found = tuple[Any, Any]
"""The value, or None, and the derivative as a vector or a matrix."""


@dataclass(frozen=True)
class Probe:
    """Random directions: for all real arguments, and for the value."""

    direction: Any
    cotangent: Any


@dataclass(frozen=True)
class Kind:
    """One way to compute a derivative.

    `compute` takes the program, f, its arguments and a `Probe`.  Of order 2 it returns the Hessian,
    or its product with the direction, by `positions` of the program.
    """

    name: str
    order: int  # 0 for the value alone
    compute: Callable[[Program, Any, tuple[Any, ...], Probe], Found]
    applies: Callable[[Program], bool] = lambda program: True
    by_first: bool = False  # by argument 0, whatever the program's argnums are
    expected: str = "matrix"  # or direction (J v), cotangent (v^T J)
    call: str = ""  # to paste

    def positions(self, program: Program) -> tuple[int, ...]:
        """The arguments that are differentiated."""
        if self.expected != "matrix":
            return tuple(i for i, a in enumerate(program.arguments) if a.is_real)
        return (0,) if self.by_first else program.positions


def is_scalar(program: Program) -> bool:
    return program.is_scalar


def is_real(program: Program) -> bool:
    """Whether all arguments are real, as jvp and vjp take them."""
    return all(a.is_real for a in program.arguments)


def has_first_array(program: Program) -> bool:
    return program.is_scalar and program.arguments[0].kind in ("vector", "matrix")


# Structures of blocks as matrices


def rows_of(found: Any, inputs: Any, outputs: Any) -> Any:
    """Return a Jacobian as a matrix: of outputs by inputs, both flat.

    `outputs` and `inputs` tell the structures; in every leaf of the outputs' structure there is
    the inputs' structure, whose leaves have both shapes.
    """
    if isinstance(outputs, tuple):
        parts = [rows_of(f, inputs, o) for f, o in zip(found, outputs, strict=True)]
        return np.concatenate(parts)
    rows = np.size(outputs)
    shapes = mapped(lambda leaf: np.shape(outputs) + np.shape(leaf), inputs)
    for block, shape in zip(leaves(found), shapes_of(shapes), strict=True):
        assert np.shape(block) == shape, f"a block has shape {np.shape(block)}, not {shape}"
    return np.concatenate([np.reshape(block, (rows, -1)) for block in leaves(found)], axis=1)


def shapes_of(tree: Any) -> list[tuple[int, ...]]:
    """Return the shapes in a structure of shapes."""
    if all(isinstance(part, int) for part in tree):
        return [tree]
    return [shape for part in tree for shape in shapes_of(part)]


def inputs_of(program: Program, args: tuple[Any, ...]) -> Any:
    """Return what is differentiated by, in the structure that results have."""
    if isinstance(program.argnums, int):
        return args[program.argnums]
    return tuple(args[i] for i in program.argnums)


# First derivatives


def value(program: Program, f: Any, args: Any, probe: Probe) -> Found:
    return program.compiled()(*args), np.zeros(0)


def gradient(mode: str) -> Any:
    def compute(program: Program, f: Any, args: Any, probe: Probe) -> Found:
        found, derivative = ad.value_and_grad(f, program.argnums, mode=mode)(*args)
        return found, rows_of(derivative, inputs_of(program, args), found)

    return compute


def jacobian(mode: str) -> Any:
    def compute(program: Program, f: Any, args: Any, probe: Probe) -> Found:
        found, derivative = ad.value_and_jacobian(f, program.argnums, mode=mode)(*args)
        outputs = np.array(found) if isinstance(found, list) else found
        return found, rows_of(derivative, inputs_of(program, args), outputs)

    return compute


def sparse_jacobian(method: str) -> Any:
    def compute(program: Program, f: Any, args: Any, probe: Probe) -> Found:
        transform = ad.value_and_sparse_jacobian(f, program.argnums, method=method)
        found, derivative = transform(*args)
        return found, derivative.toarray()

    return compute


def prepared_jacobian(program: Program, f: Any, args: Any, probe: Probe) -> Found:
    prepared = ad.prepare_sparse_jacobian(f, *copied(args), argnums=program.argnums)
    return None, prepared(*args).toarray()


def replayed_jacobian(program: Program, f: Any, args: Any, probe: Probe) -> Found:
    """Return the Jacobian with the structure known, after one with that of another point."""
    transform = ad.value_and_sparse_jacobian(f, program.argnums)
    _, before = transform(*copied(args))
    transform.prepare_replay(copied(args))
    found, derivative = transform(*args)
    np.testing.assert_allclose(before.toarray(), derivative.toarray(), rtol=1e-12)
    return found, derivative.toarray()


def jvp(program: Program, f: Any, args: Any, probe: Probe) -> Found:
    found, tangent = ad.jvp(f, args, filled(args, probe.direction))
    return found, flat(tangent)


def vjp(program: Program, f: Any, args: Any, probe: Probe) -> Found:
    found, pullback = ad.vjp(f, *args)
    like = np.array(found) if isinstance(found, list) else found
    return found, flat(pullback(filled(like, probe.cotangent)))


# Second derivatives


def hessian(mode: str) -> Any:
    def compute(program: Program, f: Any, args: Any, probe: Probe) -> Found:
        found, _, second = ad.value_grad_hessian(f, program.argnums, mode=mode)(*args)
        inputs = inputs_of(program, args)
        return found, rows_of(second, inputs, inputs)

    return compute


def hvp(mode: str) -> Any:
    def compute(program: Program, f: Any, args: Any, probe: Probe) -> Found:
        first, *rest = args
        direction = filled(first, probe.direction[: flat(first).size])
        return None, flat(ad.hvp(f, mode=mode)(first, direction, *rest))

    return compute


def sparse_hessian(method: str) -> Any:
    def compute(program: Program, f: Any, args: Any, probe: Probe) -> Found:
        return None, ad.sparse_hessian(f, method=method)(*args).toarray()

    return compute


def nested(inner: str, outer: str) -> Any:
    def compute(program: Program, f: Any, args: Any, probe: Probe) -> Found:
        second = ad.jacobian(ad.grad(f, mode=inner), mode=outer)(*args)
        return None, rows_of(second, args[0], args[0])

    return compute


MODES = ("forward", "reverse")
KINDS = {
    kind.name: kind
    for kind in [
        Kind("value", 0, value),
        *(
            Kind(f"grad {m}", 1, gradient(m), is_scalar, call=f"ad.grad(f, argnums, mode={m!r})")
            for m in MODES
        ),
        *(
            Kind(f"jacobian {m}", 1, jacobian(m), call=f"ad.jacobian(f, argnums, mode={m!r})")
            for m in MODES
        ),
        *(
            Kind(
                f"sparse {m}",
                1,
                sparse_jacobian(m),
                call=f"ad.sparse_jacobian(f, argnums, method={m!r})",
            )
            for m in ("elimination", "coloring")
        ),
        Kind("replayed", 1, replayed_jacobian, call="ad.sparse_jacobian(f, argnums)"),
        Kind("prepared", 1, prepared_jacobian, call="ad.sparse_jacobian(f, argnums)"),
        Kind("jvp", 1, jvp, is_real, expected="direction", call="ad.jvp"),
        Kind("vjp", 1, vjp, is_real, expected="cotangent", call="ad.vjp"),
        *(
            Kind(
                f"hessian {m}", 2, hessian(m), is_scalar, call=f"ad.hessian(f, argnums, mode={m!r})"
            )
            for m in MODES
        ),
        *(
            Kind(f"hvp {m}", 2, hvp(m), is_scalar, by_first=True, call=f"ad.hvp(f, mode={m!r})")
            for m in MODES
        ),
        *(
            Kind(
                f"sparse hessian {m}",
                2,
                sparse_hessian(m),
                has_first_array,
                by_first=True,
                call=f"ad.sparse_hessian(f, method={m!r})",
            )
            for m in ("elimination", "coloring")
        ),
        *(
            Kind(
                f"{outer} over {inner}",
                2,
                nested(inner, outer),
                has_first_array,
                by_first=True,
                call=f"ad.jacobian(ad.grad(f, mode={inner!r}), mode={outer!r})",
            )
            for inner, outer in itertools.product(MODES, MODES)
        ),
    ]
}


def applicable(program: Program) -> list[Kind]:
    """Return the kinds that a program has."""
    return [kind for kind in KINDS.values() if kind.applies(program)]
