"""Arrays that may be views of others: they are converted only where no write is lost.

An array of active numbers is other memory than one of floats.  Where `activate` converts what a
call returned and the call is not known to make new arrays, the result could be a view of an array
of floats that is read later and would not see what is written to its copy.  The analysis of
`aliasing` makes such arrays active from the start.  Here the types tell whether it could follow
them all: a conversion that copies memory which an operand may show is refused.
"""

from __future__ import annotations

import functools
from typing import Any

from numba.core import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from .activation import activate_value, activated_type, activation_type
from .errors import UnsupportedFunctionError
from .numbertype import PLAIN, NumberType, level

__all__ = ["refuse_lost_writes", "view_activator"]

_NUMBERS: dict[Any, NumberType] = {}
"""The intrinsics that convert what may be a view, with their numbers."""


@functools.cache
def view_activator(number: NumberType) -> Any:
    """Return the intrinsic that turns a value, which may show others, into one of `number`."""

    @intrinsic
    def activated_view(typingctx: Any, value: Any, shown: Any) -> Any:
        target = activation_type(typingctx, value, number)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return activate_value(context, builder, sig.args[0], args[0], number)

        return target(value, shown), codegen

    # Made while a compilation is under way: its contexts must learn of the new function.
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    _NUMBERS[activated_view] = number
    return activated_view


def refuse_lost_writes(state: Any) -> None:
    """Raise where an array would be copied of which another name may show the memory.

    Parameters
    ----------
    state : object
        Numba's state of one compilation, after type inference.
    """
    for block in state.func_ir.blocks.values() if _NUMBERS else ():
        for call in block.find_exprs(op="call"):
            number = _NUMBERS.get(getattr(state.typemap[call.func.name], "typing_key", None))
            if number is None:
                continue
            value, shown = state.calltypes[call].args
            if _is_copied(value, number) and any(_shows_plain(ty, number) for ty in shown):
                raise UnsupportedFunctionError(_LOST.format(call.loc.line, call.loc.filename))


_LOST = (
    "line {} of {}: active numbers may be written to what this returns, and it may be a view of an "
    "array of plain numbers, which would not hold them; make that array in the function that "
    "writes to it (np.zeros, np.copy), or work on a copy (.copy())."
)


def _is_copied(ty: Any, number: NumberType) -> bool:
    """Whether a conversion puts the items of arrays or lists into other memory."""
    if isinstance(ty, types.BaseTuple):
        return any(_is_copied(item, number) for item in ty)
    return isinstance(ty, types.Array | types.List) and activated_type(ty, number) != ty


def _shows_plain(ty: Any, number: NumberType) -> bool:
    """Whether memory that holds no numbers of this level may be written to through a value."""
    if isinstance(ty, types.BaseTuple):
        return any(_shows_plain(item, number) for item in ty)
    if isinstance(ty, types.Array):
        return ty.mutable and level(ty.dtype) < number.level
    if isinstance(ty, types.List):
        return level(ty.dtype) < number.level
    return not isinstance(types.unliteral(ty), (_EMPTY, NumberType, *PLAIN))


_EMPTY = (
    types.UnicodeType | types.NoneType | types.Dispatcher | types.DTypeSpec | types.Module
    | types.NumPyRandomGeneratorType | types.SliceType | types.Omitted | types.RangeType
)  # fmt: skip
