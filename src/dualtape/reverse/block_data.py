"""Data of a block until the sweep, by name: named tuples of integers in the tape's arena.

``offset = save(address of the tape, Data(count=n, values=i))`` and, in the adjoint,
``data = load(address, offset, Data)``.  Where fields are tuples, such as shapes, the last argument
is a record with tuples of the same lengths instead of the class.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..backend.calls import invoke
from ..backend.jit import kernel
from ..numbers.types import map_leaves
from ..tape.storage import tape_at
from .blocks import emit_load, place_in

_WORD = ir.IntType(64)


@kernel
def room(address: Any, nbytes: Any) -> Any:
    """Make room in the arena; return the offset."""
    return tape_at(address).store(nbytes)


@intrinsic
def save(typingctx: Any, address: Any, record: Any) -> Any:
    """Store a named tuple of integers and of tuples of these; return the offset."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        words = [
            context.cast(builder, value, ty, types.int64)
            for ty, value in _leaves(builder, record, args[1])
        ]
        arguments = args[0], ir.Constant(_WORD, 8 * len(words))
        offset = invoke(context, builder, room, (types.int64,) * 2, arguments)[1]
        first = _first_word(context, builder, args[0], offset)
        for i, value in enumerate(words):
            builder.store(value, builder.gep(first, [ir.Constant(_WORD, i)]))
        return offset

    return types.int64(types.int64, record), codegen


@intrinsic
def load(typingctx: Any, address: Any, offset: Any, like: Any) -> Any:
    """Return the data that `save` stored: a record of the class `like`, or shaped like `like`."""
    if isinstance(like, types.NamedTupleClass):
        cls = like.instance_class
        record = types.NamedUniTuple(types.int64, len(cls._fields), cls)
    else:
        record = map_leaves(like, lambda _: types.int64)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return emit_load(context, builder, args[0], args[1], record)

    return record(types.int64, types.int64, like), codegen


def _leaves(builder: Any, ty: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(ty, types.BaseTuple):
        for i, item in enumerate(ty):
            yield from _leaves(builder, item, builder.extract_value(value, i))
    else:
        yield ty, value


def _first_word(context: Any, builder: Any, address: Any, offset: Any) -> Any:
    place = invoke(context, builder, place_in, (types.int64,) * 2, (address, offset))[1]
    return builder.inttoptr(place, _WORD.as_pointer())
