"""Random draws inside of differentiated functions: constants, and the same in every sweep.

What ``np.random`` returns is passive: derivatives take it as it is.  But a derivative that needs
several evaluations (chunks of forward mode) must see one function, so all of these draw what the
first one draws: the states of Numba's generators are put back before each.  The state of an
``np.random.Generator`` that is passed as an argument is not known here, so with one the function is
evaluated once or not at all.

Numba internals used (seen in 0.66 to 0.68): ``randomimpl.get_state_ptr`` for "np" and "py", and
the names of the functions it calls; ``CodeLibrary._final_module`` and ``_disable_inspection``,
which tells code that was loaded from a cache.
"""

from __future__ import annotations

from typing import Any

from llvmlite.ir import Constant, IntType
from numba.core import cgutils, types
from numba.cpython import randomimpl

from .errors import ArgumentError
from .plan import Plan, leaves
from .store import calls

__all__ = ["Draws", "draws_at_random", "holds_generator", "refuse_draws"]

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
        self._kept = [cgutils.alloca_once(builder, randomimpl.rnd_state_t) for _ in STATES]
        for state, kept in zip(self._states(), self._kept, strict=True):
            self._copy(kept, state)

    def _states(self) -> list[Any]:
        return [randomimpl.get_state_ptr(self._context, self._builder, name) for name in STATES]

    def restore(self) -> None:
        """Emit code that puts the states back: what follows draws the same numbers."""
        for state, kept in zip(self._states(), self._kept, strict=True):
            self._copy(state, kept)

    def _copy(self, to: Any, source: Any) -> None:
        size = self._context.get_abi_sizeof(randomimpl.rnd_state_t)
        cgutils.raw_memcpy(self._builder, to, source, Constant(IntType(64), 1), size)


def draws_at_random(plan: Plan, *, unknown: bool) -> bool:
    """Whether the compiled twin uses a generator; `unknown` for code that came from a cache."""
    twin_type = plan.typingctx.resolve_value_type(plan.twin)
    sig = twin_type.get_call_type(plan.typingctx, plan.active, {})
    library = twin_type.dispatcher.get_compile_result(sig).library
    if getattr(library, "_disable_inspection", True):
        return unknown
    code = library._final_module
    return any(calls(code, f"numba_get_{name}_random_state") for name in STATES)


def holds_generator(ty: Any) -> bool:
    """Whether a np.random.Generator is among the arguments."""
    return any(isinstance(leaf, types.NumPyRandomGeneratorType) for leaf in leaves(ty))


def refuse_draws(plan: Plan) -> None:
    """Raise where a function that is evaluated again in the sweep would draw other numbers."""
    if draws_at_random(plan, unknown=False):
        raise ArgumentError(
            f"{plan.name}: the function draws random numbers, and its second evaluation would "
            "draw others; draw outside of it, and pass the draws as arguments."
        )
