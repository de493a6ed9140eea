"""Numbers constructed in compiled code: ``VectorDual(x, (1.0, 0))``, ``HyperDual(x, 1, 1, 0)``."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..backend.templates import type_global
from ..errors import MixedNumbersError
from .emitted import unwrap, wrap, zero_partials
from .hyper_dual import HyperDual
from .partials import PartialsType
from .types import PLAIN, NumberType, highest_number, level, member_type, promote_plain
from .vector_dual import VectorDual


def _slot_width(ty: Any) -> int | None:
    if isinstance(ty, PartialsType):
        return ty.n
    if isinstance(ty, types.BaseTuple):
        return len(ty)
    return 1 if isinstance(ty, (NumberType, *PLAIN)) else None


def _result_type(face: Any, args: Any) -> Any:
    base = args[0] if isinstance(args[0], NumberType) else promote_plain(args[0])
    widths = [_slot_width(ty) for ty in args[1:]]
    if None in widths or len(widths) != len(face.FIELDS) - 1:
        return None
    return member_type(face, base, *widths[: len(face.FIELDS) // 2])


class _Constructor(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        if kws or len(args) != len(self.key.FIELDS):
            return None
        result = _result_type(type(self).key, args)
        return None if result is None else signature(result, *args)


def _lower_constructor(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    struct = context.make_helper(builder, sig.return_type)
    for (name, slot), ty, arg in zip(sig.return_type.struct.items(), sig.args, args, strict=True):
        setattr(struct, "m_" + name, _slot_value(context, builder, ty, arg, slot))
    return struct._getvalue()


def _slot_value(context: Any, builder: Any, ty: Any, arg: Any, slot: Any) -> Any:
    if not isinstance(slot, PartialsType):
        if isinstance(ty, types.BaseTuple):
            ty, arg = ty[0], builder.extract_value(arg, 0)
        return context.cast(builder, arg, ty, slot)
    if isinstance(ty, PartialsType):
        return unwrap(wrap(context, builder, ty, arg), slot)
    if isinstance(ty, types.BaseTuple):
        pairs = [(t, builder.extract_value(arg, i)) for i, t in enumerate(ty)]
    else:
        pairs = [(ty, arg)]
    lanes = [
        wrap(context, builder, slot.base, context.cast(builder, v, t, slot.base)) for t, v in pairs
    ]
    return zero_partials(context, builder, slot).build(lanes).ir


def refuse_foreign_numbers(state: Any) -> None:
    """Raise where a function makes numbers that could be confused with those of its derivative.

    A number constructed from a plain value has the level of the outermost derivative.  If it met
    numbers of a derivative, two unrelated directions would be added.  One constructed from a number
    of the derivative has a higher level, and may be used.

    Parameters
    ----------
    state : object
        Numba's state of one compilation, after type inference.
    """
    numbers = [n for n in map(highest_number, state.args) if n is not None]
    for block in state.func_ir.blocks.values() if numbers else ():
        for call in block.find_exprs(op="call"):
            face = getattr(state.typemap[call.func.name], "typing_key", None)
            own_level = max(map(level, numbers))
            if face in _FACES and level(state.calltypes[call].return_type) <= own_level:
                raise MixedNumbersError(_FOREIGN.format(call.loc.line, call.loc.filename))
    if not numbers and highest_number(state.return_type) is not None:
        loc = state.func_ir.loc
        raise MixedNumbersError(_FOREIGN.format(loc.line, loc.filename))


_FACES = (VectorDual, HyperDual)
_FOREIGN = (
    "line {} of {}: a number made of a plain value inside a differentiated function could not be "
    "told from those of the derivative; make it of an active number, or use dualtape.derivative."
)
for _face in _FACES:
    type_global(_face, _Constructor)
    lower_builtin(_face, types.VarArg(types.Any))(_lower_constructor)
