"""Random draws inside of differentiated functions: constants, and the same in every sweep.

Draws of ``np.random`` are passive: derivatives take them as constants.  But a derivative that needs
several evaluations (chunks of forward mode) must see one function, so all of them draw the same
numbers: the states of Numba's generators are restored before each.  The state of an
``np.random.Generator`` that is passed as an argument is not known here, so a function of one is
evaluated once or not at all.

Numba internals used (seen in 0.66 to 0.68): ``randomimpl.get_state_ptr`` for "np" and "py", and
the names of the functions it calls; ``CodeLibrary._final_module`` and ``_disable_inspection``,
which is set in code that was loaded from a cache.
"""

from __future__ import annotations

from typing import Any

from llvmlite.ir import Constant, IntType
from numba.core import cgutils, types
from numba.cpython import randomimpl

from ..backend.kernel_store import calls
from ..errors import ArgumentError
from .signature import DerivativeTypes, leaves

STATES = ("np", "py")
"""Numba's generators: that of np.random and that of Python's random."""
SEVERAL_EVALUATIONS = (
    "{}: the function takes a np.random.Generator, and this derivative needs several evaluations, "
    "which would draw different numbers; use mode='reverse' for a gradient, or np.random with "
    "np.random.seed, or pass what was drawn."
)


class Draws:
    """The states of Numba's generators at one point of the code being emitted."""

    def __init__(self, context: Any, builder: Any) -> None:
        self._context = context
        self._builder = builder
        self._saved = [cgutils.alloca_once(builder, randomimpl.rnd_state_t) for _ in STATES]
        for state, saved in zip(self._states(), self._saved, strict=True):
            self._copy(saved, state)

    def _states(self) -> list[Any]:
        return [randomimpl.get_state_ptr(self._context, self._builder, name) for name in STATES]

    def restore(self) -> None:
        """Emit code that restores the states."""
        for state, saved in zip(self._states(), self._saved, strict=True):
            self._copy(state, saved)

    def _copy(self, target: Any, source: Any) -> None:
        size = self._context.get_abi_sizeof(randomimpl.rnd_state_t)
        cgutils.raw_memcpy(self._builder, target, source, Constant(IntType(64), 1), size)


def draws_at_random(derivative: DerivativeTypes, *, unknown: bool) -> bool:
    """Whether the compiled twin uses a generator; `unknown` for code that came from a cache."""
    twin_type = derivative.typingctx.resolve_value_type(derivative.twin)
    sig = twin_type.get_call_type(derivative.typingctx, derivative.active, {})
    library = twin_type.dispatcher.get_compile_result(sig).library
    if getattr(library, "_disable_inspection", True):
        return unknown
    code = library._final_module
    return any(calls(code, f"numba_get_{name}_random_state") for name in STATES)


def holds_generator(ty: Any) -> bool:
    """Whether a np.random.Generator is among the arguments."""
    return any(isinstance(leaf, types.NumPyRandomGeneratorType) for leaf in leaves(ty))


def refuse_draws(derivative: DerivativeTypes) -> None:
    """Raise if a function that is evaluated again in the sweep would draw other numbers."""
    if draws_at_random(derivative, unknown=False):
        raise ArgumentError(
            f"{derivative.name}: the function draws random numbers, and its second evaluation "
            "would draw others; draw outside of it, and pass the draws as arguments."
        )
