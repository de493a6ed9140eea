"""Numbers of a function whose recorded structure is known, and of the run that captures it.

See `tape.stream`.  A `Streamed` is nothing but its value, so arrays of it are arrays of floats;
`StreamedPending` is an expression that is not yet recorded, with a partial in each slot.  Their
twins in the capture are `Captured`, a value and its row, and `CapturedPending`, with a row in each
slot.

Statements of both runs must have the same slots, so slots are merged by type: each has a key, which
names the variable that it came from (`analysis.slot_keys`), and slots of one key are one slot.  Key
0 is that of numbers without a name, which are never merged.  Two variables of one key have the same
row; the capture checks that they do, wherever it merges two, and replays take the same decisions.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, ClassVar

from llvmlite import ir
from numba.core import cgutils, imputils, types
from numba.extending import intrinsic

from ..backend.allocation import array_over
from ..tape.stream import (
    capture_columns,
    capture_decision,
    compare_decision,
    same_row,
    store_partials,
)
from .emitted import find_emitted, unwrap, wrap
from .evaluation import level_of
from .tracked import Slotted
from .types import NumberType, member_type

K_MAX = 32  # slots with different keys; POLLU, whose species share reactions, needs 20
NAMELESS = 0
_ZERO = ir.Constant(ir.IntType(64), 0)


class Streamed(Slotted):
    """A value; what it depends on is known."""

    FIELDS: ClassVar[tuple[str, ...]] = ("value",)
    K_MAX = K_MAX
    has_tape = False
    one_slot = (NAMELESS,)
    keys = one_slot
    __slots__ = FIELDS
    partials: ClassVar[tuple[Any, ...]] = (1.0,)  # type: ignore[misc]
    pending: Any

    @staticmethod
    def fields(base: Any, *keys: int) -> list[tuple[str, Any]]:
        """Return the names and types of the fields."""
        return [("value", base)]

    def widths(self) -> tuple[int, ...]:
        """Return no widths."""
        return ()

    def named(self, key: int) -> Any:
        """Return the number as an expression with one slot of this key."""
        return self.pending.keyed((key,), self.value, self.partials)

    def decided(self, result: Any) -> Any:
        """Compare a decision with the known one."""
        compare_decision(result.builder, result.ir)
        return result

    def _with_partials(self, value: Any, partials: Any) -> Any:
        return self.pending.keyed(self.keys, value, tuple(partials))

    def _combine(self, other: Any, value: Any, mine: Any, others: Any) -> Any:
        keys = joined_keys([self.keys, other.keys])
        merged = dict(zip(slots_in(keys, self.keys), mine, strict=True))
        for place, partial in zip(_later(keys, self.keys, other.keys), others, strict=True):
            merged[place] = merged[place] + partial if place in merged else partial
        return self.pending.keyed(keys, value, tuple(merged[k] for k in range(len(keys))))

    @staticmethod
    def pack(value: Any, ty: Any, emitted: Any) -> Any:
        """Return the LLVM value of a number or constant; partials of a pending one are stored."""
        struct = emitted.context.make_helper(emitted.builder, ty)
        primal = value if level_of(value) < ty.level else value.value
        struct.m_value = unwrap(primal, ty.base, emitted)
        if isinstance(value, StreamedPending):
            partials = [unwrap(p, types.float64, emitted) for p in value.partials]
            store_partials(emitted.context, emitted.builder, partials, types.float64)
        return struct._getvalue()

    @staticmethod
    def add_to_row(result: Any, s: Any, e: Any, partials: list[Any], wide: Any) -> None:
        """Store the partials of an increment."""
        emitted = find_emitted(s)
        store_partials(emitted.context, emitted.builder, partials, wide)


class Keyed:
    """What pending expressions share whose slots are told apart by keys: widths are the keys."""

    __slots__ = ()

    @classmethod
    def of_type(cls, ty: Any, fields: list[Any]) -> Any:
        """Make a number of the keys of a type."""
        return cls.keyed(ty.widths, *fields)  # type: ignore[attr-defined]

    def widths(self) -> tuple[int, ...]:
        """Return the keys."""
        return self.keys  # type: ignore[attr-defined]

    @staticmethod
    def count_slots(keys: tuple[int, ...]) -> int:
        """Return the number of slots."""
        return len(keys)

    @staticmethod
    def joined(operands: list[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the keys of the result of an operation."""
        return joined_keys(operands)

    @staticmethod
    def either(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
        """Return the keys for a variable that is sometimes one, sometimes the other."""
        nameless = max(one.count(NAMELESS), other.count(NAMELESS))
        named = dict.fromkeys(key for key in (*one, *other) if key != NAMELESS)
        return (*named, *[NAMELESS] * nameless)

    @staticmethod
    def fits(narrow: tuple[int, ...], wide: tuple[int, ...]) -> bool:
        """Whether a number with the first keys is one with the second."""
        return not Counter(narrow) - Counter(wide)


class StreamedPending(Keyed, Streamed):
    """A value, and a partial in each slot."""

    FIELDS = ("value", "partials")
    __slots__ = ("keys", "partials")

    @classmethod
    def keyed(cls, keys: tuple[int, ...], value: Any, partials: Any) -> Any:
        """Make a number with these keys."""
        number = object.__new__(cls)
        for name, field in (("value", value), ("partials", partials), ("keys", keys)):
            object.__setattr__(number, name, field)
        return number

    @staticmethod
    def fields(base: Any, *keys: int) -> list[tuple[str, Any]]:
        """Return the names and types of the fields."""
        return [("value", base), ("partials", types.UniTuple(base, len(keys)))]

    @staticmethod
    def pack(value: Any, ty: Any, emitted: Any) -> Any:
        """Return the LLVM value of a number or constant in the slots of a type."""
        context, builder = emitted.context, emitted.builder
        struct = context.make_helper(builder, ty)
        primal, partials = value, {}
        if level_of(value) == ty.level:
            primal = value.value
            places = slots_in(ty.widths, value.keys)
            partials = dict(zip(places, value.partials, strict=True))
        struct.m_value = unwrap(primal, ty.base, emitted)
        slots = [unwrap(partials.get(k, 0.0), ty.base, emitted) for k in range(ty.slots)]
        struct.m_partials = context.make_tuple(builder, ty.struct["partials"], slots)
        return struct._getvalue()


class Captured(Streamed):
    """A value and its row."""

    FIELDS = ("value", "row")
    __slots__ = ("row",)

    @staticmethod
    def fields(base: Any, *keys: int) -> list[tuple[str, Any]]:
        """Return the names and types of the fields."""
        return [("value", base), ("row", types.int64)]

    @property
    def rows(self) -> tuple[Any, ...]:
        """The one row."""
        return (self.row,)

    def named(self, key: int) -> Any:
        """Return the number as an expression with one slot of this key."""
        return self.pending.keyed((key,), self.value, self.rows)

    def decided(self, result: Any) -> Any:
        """Note a decision."""
        capture_decision(result.context, result.builder, result.ir)
        return result

    def _with_partials(self, value: Any, partials: Any) -> Any:
        return self.pending.keyed(self.keys, value, self.rows)

    def _combine(self, other: Any, value: Any, mine: Any, others: Any) -> Any:
        keys = joined_keys([self.keys, other.keys])
        merged = dict(zip(slots_in(keys, self.keys), self.rows, strict=True))
        for place, row in zip(_later(keys, self.keys, other.keys), other.rows, strict=True):
            if place in merged:
                own = merged[place]
                merged[place] = own._like(same_row(row.builder, own.ir, row.ir))
            else:
                merged[place] = row
        return self.pending.keyed(keys, value, tuple(merged[k] for k in range(len(keys))))

    @staticmethod
    def pack(value: Any, ty: Any, emitted: Any) -> Any:
        """Return the LLVM value of a number or constant; columns of a pending one are stored."""
        struct = emitted.context.make_helper(emitted.builder, ty)
        is_constant = level_of(value) < ty.level
        struct.m_value = unwrap(value if is_constant else value.value, ty.base, emitted)
        if is_constant:
            struct.m_row = _ZERO
        elif isinstance(value, CapturedPending):
            rows = [row.ir for row in value.rows]
            struct.m_row = capture_columns(emitted.context, emitted.builder, rows)
        else:
            struct.m_row = value.row.ir
        return struct._getvalue()

    @staticmethod
    def add_to_row(result: Any, s: Any, e: Any, partials: list[Any], wide: Any) -> None:
        """Capture the columns of an increment for the row of the sum."""
        emitted, rows = find_emitted(s), [row.ir for row in e.rows]
        result.m_row = capture_columns(emitted.context, emitted.builder, rows, s.row.ir)


class CapturedPending(Keyed, Captured):
    """A value, and a row in each slot."""

    FIELDS = ("value", "rows")
    __slots__ = ("keys", "rows")

    @classmethod
    def keyed(cls, keys: tuple[int, ...], value: Any, rows: Any) -> Any:
        """Make a number with these keys."""
        number = object.__new__(cls)
        for name, field in (("value", value), ("rows", rows), ("keys", keys)):
            object.__setattr__(number, name, field)
        return number

    @property
    def partials(self) -> tuple[Any, ...]:  # type: ignore[override]
        """Ones: nobody asks for their values."""
        return (1.0,) * len(self.keys)

    @staticmethod
    def fields(base: Any, *keys: int) -> list[tuple[str, Any]]:
        """Return the names and types of the fields."""
        return [("value", base), ("rows", types.UniTuple(types.int64, len(keys)))]

    @staticmethod
    def pack(value: Any, ty: Any, emitted: Any) -> Any:
        """Return the LLVM value of a number or constant in the slots of a type."""
        context, builder = emitted.context, emitted.builder
        struct = context.make_helper(builder, ty)
        primal, rows = value, {}
        if level_of(value) == ty.level:
            primal = value.value
            places = slots_in(ty.widths, value.keys)
            rows = {place: row.ir for place, row in zip(places, value.rows, strict=True)}
        struct.m_value = unwrap(primal, ty.base, emitted)
        struct.m_rows = cgutils.pack_array(builder, [rows.get(k, _ZERO) for k in range(ty.slots)])
        return struct._getvalue()


def joined_keys(operands: list[tuple[int, ...]]) -> tuple[int, ...]:
    """Return the keys of the slots of an operation, each once; nameless ones are never merged."""
    keys: list[int] = []
    for operand in operands:
        keys += [key for key in operand if key == NAMELESS or key not in keys]
    return tuple(keys)


def slots_in(keys: tuple[int, ...], own: tuple[int, ...]) -> list[int]:
    """Return the positions of slots with these keys, nameless ones in order from the first."""
    nameless = iter([k for k, key in enumerate(keys) if key == NAMELESS])
    return [next(nameless) if key == NAMELESS else keys.index(key) for key in own]


def _later(keys: tuple[int, ...], first: tuple[int, ...], own: tuple[int, ...]) -> list[int]:
    """Return the same for the second of two operands: its nameless slots follow the first's."""
    nameless = [k for k, key in enumerate(keys) if key == NAMELESS][first.count(NAMELESS) :]
    rest = iter(nameless)
    return [next(rest) if key == NAMELESS else keys.index(key) for key in own]


def incremented(emitted: Any, ty: Any, s: Any, y: Any) -> Any:
    """Return s + y, recorded for the row of s; s and the result are LLVM values of type `ty`."""
    context, builder = emitted.context, emitted.builder
    number = wrap(context, builder, ty, s)
    result = context.make_helper(builder, ty, value=s)
    result.m_value = unwrap(number.value + (y.value if level_of(y) else y), ty.base, emitted)
    if level_of(y):
        partials = [unwrap(p, types.float64, emitted) for p in y.partials]
        ty.face.add_to_row(result, number, y, partials, types.float64)
    return result._getvalue()


def is_same_memory(ty: Any, target: Any) -> bool:
    """Whether an array type is one of floats that are numbers of another, contiguous both."""
    if not (isinstance(ty, types.Array) and isinstance(target, types.Array)):
        return False
    is_plain = ty.layout == target.layout == "C" and ty.aligned
    is_value = isinstance(target.dtype, NumberType) and target.dtype.face is Streamed
    return is_plain and is_value and ty.dtype == target.dtype.base


def as_numbers(context: Any, builder: Any, ty: Any, value: Any, target: Any) -> Any:
    """Return an array of floats as one of numbers, in its memory; no reference is counted."""
    source = context.make_array(ty)(context, builder, value)
    shape = cgutils.unpack_tuple(builder, source.shape, ty.ndim)
    owner = source.meminfo, source.parent
    return array_over(context, builder, target, source.data, shape, None, *owner)


def is_streamed(number: Any) -> bool:
    """Whether a number type is one of this module."""
    return isinstance(number, NumberType) and issubclass(number.face, Streamed)


# What `analysis.slot_keys` inserts


@intrinsic
def named(typingctx: Any, x: Any, key: Any) -> Any:
    """Return a number with a row as an expression of this key, a literal; other values pass."""
    if not isinstance(key, types.IntegerLiteral):
        return None
    is_number = is_streamed(x) and x.settled is x
    keys = (key.literal_value,)
    result = member_type(x.face.pending, x.base, *keys) if is_number else x

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if not is_number:
            return imputils.impl_ret_borrowed(context, builder, x, args[0])
        return unwrap(wrap(context, builder, x, args[0]).named(keys[0]), result)

    return result(x, key), codegen


@intrinsic
def nameless(typingctx: Any, x: Any) -> Any:
    """Return a pending expression without keys, which mean nothing in another function."""
    is_pending = is_streamed(x) and x.settled is not x
    result = member_type(x.face, x.base, *[NAMELESS] * x.slots) if is_pending else x

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if is_pending:
            return args[0]  # of the same fields
        return imputils.impl_ret_borrowed(context, builder, x, args[0])

    return result(x), codegen


@intrinsic
def noted(typingctx: Any, result: Any, a: Any, b: Any, is_captured: Any) -> Any:
    """Return the result of comparing a and b, a decision if they are plain floats."""
    if not isinstance(is_captured, types.IntegerLiteral):
        return None
    is_decision = isinstance(result, types.Boolean)
    is_decision &= any(isinstance(ty, types.Float) for ty in (a, b))
    is_decision &= not any(isinstance(ty, NumberType) for ty in (a, b))  # which note it

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        if is_decision and is_captured.literal_value:
            capture_decision(context, builder, args[0])
        elif is_decision:
            compare_decision(builder, args[0])
        return imputils.impl_ret_borrowed(context, builder, result, args[0])

    return result(result, a, b, is_captured), codegen


Streamed.pending, StreamedPending.settled = StreamedPending, Streamed  # type: ignore[attr-defined]
Captured.pending, CapturedPending.settled = CapturedPending, Captured  # type: ignore[attr-defined]
