"""Lowering of replays, whose cell overlaps with nothing else in memory.

Every statement of a replay loads and stores counters in a cell (see `tape.stream`).  LLVM keeps
them in registers if it knows that no other store of the function can change them, and no other load
read them.

Numba internals used (seen in 0.66 to 0.68): ``Lower.lower_function_body``, ``lowering_class`` of
the pass ``NativeLowering``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.compiler_machinery import register_pass
from numba.core.lowering import Lower
from numba.core.typed_passes import NativeLowering

from ..numbers.streamed import Streamed
from ..numbers.types import highest_number
from ..tape.stream import CELL


class _ApartLower(Lower):
    def lower_function_body(self) -> Any:
        body = super().lower_function_body()
        module = self.module
        domain = module.add_metadata([ir.MetaDataString(module, "dualtape")])
        scope = module.add_metadata([ir.MetaDataString(module, "cell"), domain])
        scopes = module.add_metadata([scope])
        for block in self.function.blocks:
            for instruction in block.instructions:
                if isinstance(instruction, ir.LoadInstr | ir.StoreInstr):
                    is_cell = getattr(instruction.operands[-1], "name", "").startswith(CELL)
                    instruction.set_metadata("alias.scope" if is_cell else "noalias", scopes)
        return body


@register_pass(mutates_CFG=True, analysis_only=False)
class LowerApart(NativeLowering):
    """Numba's lowering, for replays with the knowledge that the cell is apart."""

    _name = "dualtape_lower_apart"
    _is_replay = False

    @property
    def lowering_class(self) -> Any:
        """The class that lowers a function."""
        return _ApartLower if self._is_replay else Lower

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        number = highest_number(types.Tuple(state.args))
        self._is_replay = number is not None and number.settled.face is Streamed
        return bool(super().run_pass(state))
