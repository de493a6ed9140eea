"""Numbers made in compiled code: ``VectorDual(x, (1.0, 0.0))``, ``HyperDual(x, 1, 1, 0)``."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from .dual import VectorDual
from .elementary import type_global
from .emit import unwrap, wrap, zero_partials
from .hyperdual import HyperDual
from .numbertype import PLAIN, NumberType, member_type, promote_plain
from .partials import PartialsType

__all__: list[str] = []


def _slot_width(ty: Any) -> int | None:
    if isinstance(ty, PartialsType):
        return ty.n
    if isinstance(ty, types.BaseTuple):
        return len(ty)
    return 1 if isinstance(ty, (NumberType, *PLAIN)) else None


def _constructed(face: Any, args: Any) -> Any:
    base = args[0] if isinstance(args[0], NumberType) else promote_plain(args[0])
    widths = [_slot_width(ty) for ty in args[1:]]
    if None in widths or len(widths) != len(face.FIELDS) - 1:
        return None
    return member_type(face, base, *widths[: len(face.FIELDS) // 2])


class _Constructor(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        if kws or len(args) != len(self.key.FIELDS):
            return None
        result = _constructed(type(self).key, args)
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


for _face in (VectorDual, HyperDual):
    type_global(_face, _Constructor)
    lower_builtin(_face, types.VarArg(types.Any))(_lower_constructor)
