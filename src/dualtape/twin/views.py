"""Arrays that may be views of others are converted only if no write is lost.

An array of active numbers has other memory than one of floats.  If `activation` converts the result
of a call that is not known to make new arrays, this could be a view of an array of floats, and
writes to the copy would be lost to later reads of that array.  The analysis in `analysis.writes`
makes such arrays active from the start.  Here the types show whether it found them all: a
conversion that copies memory which an operand may show is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from numba.core import types

from ..errors import UnsupportedFunctionError
from ..numbers.plane_arrays import know_planes
from ..numbers.types import PLAIN, NumberType, level
from .conversion import activate_value, activated_type, activation_type, new_intrinsic

_VIEW_ACTIVATORS: dict[Any, tuple[NumberType, bool]] = {}
"""The intrinsics that convert possible views, with the parameters of `view_activator`."""


@functools.cache
def view_activator(number: NumberType, *, keeps_type: bool) -> Any:
    """Return the intrinsic that converts a value, which may show others, to one of `number`.

    Parameters
    ----------
    number : NumberType
    keeps_type : bool
        Whether views have the element type of the memory they show: ``np.asarray(k, np.float64)``
        of integers cannot be a view, but ``k.view(np.float64)`` is one.
    """

    @new_intrinsic
    def activated_view(typingctx: Any, value: Any, shown: Any) -> Any:
        target = activation_type(typingctx, value, number)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return activate_value(context, builder, sig.args[0], args[0], number)

        return target(value, shown), codegen

    _VIEW_ACTIVATORS[activated_view] = number, keeps_type
    return know_planes(activated_view)


def refuse_lost_writes(state: Any) -> None:
    """Raise if an array would be copied whose memory another name may show.

    Parameters
    ----------
    state : object
        Numba's state of one compilation, after type inference.
    """
    for block in state.func_ir.blocks.values() if _VIEW_ACTIVATORS else ():
        for call in block.find_exprs(op="call"):
            entry = _VIEW_ACTIVATORS.get(getattr(state.typemap[call.func.name], "typing_key", None))
            if entry is None:
                continue
            number, keeps_type = entry
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
    """Whether a conversion copies the items of arrays or lists."""
    if isinstance(ty, types.BaseTuple):
        return any(_is_copied(item, number) for item in ty)
    return isinstance(ty, types.Array | types.List) and activated_type(ty, number) != ty


def _element_types(ty: Any) -> Iterator[Any]:
    """Iterate over the element types of the arrays and lists in a value."""
    if isinstance(ty, types.BaseTuple):
        for item in ty:
            yield from _element_types(item)
    elif isinstance(ty, types.Array | types.List):
        yield ty.dtype


def _shows_plain(ty: Any, number: NumberType, element_types: set[Any] | None) -> bool:
    """Whether memory without numbers of this level may be written to through a value.

    Only elements of the types in `element_types` count, if it is not None.
    """
    if isinstance(ty, types.BaseTuple):
        return any(_shows_plain(item, number, element_types) for item in ty)
    if isinstance(ty, types.Array | types.List):
        part = getattr(ty.dtype, "underlying_float", ty.dtype)  # np.real and np.imag are views
        is_shown = element_types is None or part in element_types
        is_written = getattr(ty, "mutable", True)
        return is_written and is_shown and level(ty.dtype) < number.level
    return not isinstance(types.unliteral(ty), (_EMPTY, NumberType, *PLAIN))


_EMPTY = (
    types.UnicodeType | types.NoneType | types.Dispatcher | types.DTypeSpec | types.Module
    | types.NumPyRandomGeneratorType | types.SliceType | types.Omitted | types.RangeType
)  # fmt: skip
