"""Arrays that may be views of others: they are converted only where no write is lost.

An array of active numbers is other memory than one of floats.  Where `activate` converts what a
call returned and the call is not known to make new arrays, the result could be a view of an array
of floats that is read later and would not see what is written to its copy.  The analysis of
`aliasing` makes such arrays active from the start.  Here the types tell whether it could follow
them all: a conversion that copies memory which an operand may show is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from numba.core import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from .activation import activate_value, activated_type, activation_type
from .errors import UnsupportedFunctionError
from .numbertype import PLAIN, NumberType, level

__all__ = ["refuse_lost_writes", "view_activator"]

_MADE: dict[Any, tuple[NumberType, bool]] = {}
"""The intrinsics that convert what may be a view, with what they were made for."""


@functools.cache
def view_activator(number: NumberType, *, keeps_type: bool) -> Any:
    """Return the intrinsic that turns a value, which may show others, into one of `number`.

    Parameters
    ----------
    number : NumberType
    keeps_type : bool
        Whether elements are shown as what they are: as ``np.asarray(k, np.float64)`` of integers
        cannot be a view, and ``k.view(np.float64)`` is one.
    """

    @intrinsic
    def activated_view(typingctx: Any, value: Any, shown: Any) -> Any:
        target = activation_type(typingctx, value, number)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return activate_value(context, builder, sig.args[0], args[0], number)

        return target(value, shown), codegen

    # Made while a compilation is under way: its contexts must learn of the new function.
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    _MADE[activated_view] = number, keeps_type
    return activated_view


def refuse_lost_writes(state: Any) -> None:
    """Raise where an array would be copied of which another name may show the memory.

    Parameters
    ----------
    state : object
        Numba's state of one compilation, after type inference.
    """
    for block in state.func_ir.blocks.values() if _MADE else ():
        for call in block.find_exprs(op="call"):
            made = _MADE.get(getattr(state.typemap[call.func.name], "typing_key", None))
            if made is None:
                continue
            number, keeps_type = made
            value, shown = state.calltypes[call].args
            types_shown = set(_element_types(value)) if keeps_type else None
            if _is_copied(value, number) and _shows_plain(shown, number, types_shown):
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


def _element_types(ty: Any) -> Iterator[Any]:
    """Iterate over the types of elements of the arrays and lists in a value."""
    if isinstance(ty, types.BaseTuple):
        for item in ty:
            yield from _element_types(item)
    elif isinstance(ty, types.Array | types.List):
        yield ty.dtype


def _shows_plain(ty: Any, number: NumberType, wanted: set[Any] | None) -> bool:
    """Whether memory that holds no numbers of this level may be written to through a value.

    Only elements of the types in `wanted` count, if there is such a set.
    """
    if isinstance(ty, types.BaseTuple):
        return any(_shows_plain(item, number, wanted) for item in ty)
    if isinstance(ty, types.Array | types.List):
        part = getattr(ty.dtype, "underlying_float", ty.dtype)  # np.real and np.imag are views
        is_shown = wanted is None or part in wanted
        is_written = getattr(ty, "mutable", True)
        return is_written and is_shown and level(ty.dtype) < number.level
    return not isinstance(types.unliteral(ty), (_EMPTY, NumberType, *PLAIN))


_EMPTY = (
    types.UnicodeType | types.NoneType | types.Dispatcher | types.DTypeSpec | types.Module
    | types.NumPyRandomGeneratorType | types.SliceType | types.Omitted | types.RangeType
)  # fmt: skip
