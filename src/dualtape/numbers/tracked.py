"""`Active` and `Pending`: the numbers of reverse mode.

``Active`` is a value that has a row on a tape.  ``Pending`` with k slots is an expression not yet
recorded: a value and k (row, partial) pairs, all in registers.  Arithmetic gives Pending; it
becomes one statement of the tape where typing needs an Active (a variable of a loop, an element of
an array, an argument of a function) or where it would have more than K_MAX slots.  So there is one
row per statement of the user's code, not one per operation: C++'s expression templates, done by
Numba's type inference and across statements.

Rows are merged where LLVM can prove them equal, so ``a * a`` is one entry.

At the prompt every operation is recorded at once, which shows how a tape works.

Measured (``python -m benchmarks.tape_parameters``; gradient / primal, medians; the first rows on
a busy machine, the others in one quiet run):

    K_MAX  KEEP  Rosenbrock  Lennard-Jones  Lotka-Volterra  in-place smoother
        2     1        16.2           68.7            35.8               34.2
        4     2         8.6           17.0            13.0               24.9
        8     3        11.0           12.7            14.1               19.8
       12     2        10.1           31.4            14.9               21.2
       12     3        10.1           10.7             5.4               23.3
       16     3         7.7           10.2             6.4               18.4
       16     6         8.4            9.7             6.1               11.4

2 and 1 is one row per operation.  Time to compile grows with the square of K_MAX, since rows are
compared in pairs.
"""

from __future__ import annotations

import operator
from typing import Any, ClassVar

from llvmlite import ir
from numba.core import cgutils, types

from ..errors import MixedNumbersError
from ..tape.statement import increment_statement, provably_equal, statement
from .emitted import Emitted, find_emitted, type_of, unwrap, wrap
from .evaluation import level_of, settle
from .number import Number
from .types import partial_type

K_MAX = 16


class Slotted(Number):
    """The algebra of partials, one for each slot: of expressions that are not yet recorded."""

    __slots__ = ()
    partials: tuple[Any, ...]

    def _with_partials(self, value: Any, partials: Any) -> Any:
        """Return a number with the same slots."""
        raise NotImplementedError

    def _combine(self, other: Any, value: Any, mine: Any, others: Any) -> Any:
        """Return a number with the slots of two, given the new partials of both."""
        raise NotImplementedError

    def _is_peer(self, other: Any) -> bool | None:
        if level_of(other) == self.level and isinstance(other, Slotted):
            return True
        return super()._is_peer(other)

    def with_value(self, value: Any) -> Any:
        """Return the same slots with another value."""
        if value is self.value or (isinstance(value, float) and value == self.value):
            return self
        return self._with_partials(value, self.partials)

    def plus(self, other: Any) -> Any:
        """Sum rule."""
        return self._combine(other, self.value + other.value, self.partials, other.partials)

    def minus(self, other: Any) -> Any:
        """Sum rule."""
        negative = [-p for p in other.partials]
        return self._combine(other, self.value - other.value, self.partials, negative)

    def times(self, other: Any, product: Any = operator.mul) -> Any:
        """Product rule; zeros are left to the sweep."""
        mine = [_times(product, p, other.value) for p in self.partials]
        others = [_times(product, p, self.value) for p in other.partials]
        return self._combine(other, product(self.value, other.value), mine, others)

    def lift1(self, f: Any, f1: Any, f11: Any, product: Any = operator.mul) -> Any:
        """Chain rule: f' times every partial."""
        f1 = settle(f1)
        return self._with_partials(f, [_times(product, p, f1) for p in self.partials])

    def lift2(self, other: Any, jet: tuple[Any, ...], product: Any = operator.mul) -> Any:
        """Chain rule in two arguments."""
        f, fx, fy = jet[:3]
        mine = [_times(product, p, fx) for p in self.partials]
        others = [_times(product, p, fy) for p in other.partials]
        return self._combine(other, f, mine, others)


class Tracked(Slotted):
    """The (row, partial) pairs that Active and Pending share."""

    __slots__ = ()
    tape: Any
    rows: tuple[Any, ...]

    def _with_partials(self, value: Any, partials: Any) -> Any:
        return self._with_pairs(value, self.tape, self.rows, partials)

    def _combine(self, other: Any, value: Any, mine: Any, others: Any) -> Any:
        if not isinstance(self.tape, Emitted):
            if other.tape is not self.tape:
                raise MixedNumbersError("numbers of two tapes met in one operation")
            return self._with_pairs(value, self.tape, self.rows + other.rows, (*mine, *others))
        value = value.with_row() if isinstance(value, Number) else value
        rows, partials = _merge(value, (self.rows, mine), (other.rows, others))
        return self._with_pairs(value, either_tape(self.tape, other.tape), rows, partials)

    def _with_pairs(self, value: Any, tape: Any, rows: Any, partials: Any) -> Any:
        if isinstance(tape, Emitted):
            return Pending.of(value, tape, tuple(rows), tuple(partials))
        return tape.append(value, rows, partials)


class Active(Tracked):
    """A value with a row on a tape.

    Made by ``Tape().variable`` at the prompt and by reverse mode in compiled code; row 0 is that of
    constants.
    """

    FIELDS = ("value", "row", "tape")
    K_MAX = K_MAX
    has_tape = True
    one_slot = (1,)
    __slots__ = FIELDS
    partials: ClassVar[tuple[Any, ...]] = (1.0,)  # type: ignore[misc]

    @property
    def rows(self) -> tuple[Any, ...]:  # type: ignore[override]
        """The one row."""
        return (self.row,)

    @staticmethod
    def fields(base: Any, *widths: int) -> list[tuple[str, Any]]:
        """Return the names and types of the fields."""
        return [("value", base), ("row", types.int64), ("tape", types.int64)]

    def widths(self) -> tuple[int, ...]:
        """Return no widths: an Active has none."""
        return ()

    def __repr__(self) -> str:
        return f"Active({self.value!r}, row {self.row})"

    @staticmethod
    def pack(value: Any, ty: Any, emitted: Any) -> Any:
        """Return the LLVM value of a number or constant as an Active; a Pending is recorded."""
        context, builder = emitted.context, emitted.builder
        struct = context.make_helper(builder, ty)
        zero = ir.Constant(ir.IntType(64), 0)
        if level_of(value) < ty.level:
            struct.m_value = unwrap(value, ty.base, emitted)
            struct.m_row = struct.m_tape = zero
            return struct._getvalue()
        struct.m_value = unwrap(value.value, ty.base, emitted)
        struct.m_tape = value.tape.ir
        rows = [row.ir for row in value.rows]
        if isinstance(value, Active):
            struct.m_row = rows[0]
            return struct._getvalue()
        wide = partial_type(ty.base)
        partials = [unwrap(p, wide, emitted) for p in value.partials]
        struct.m_row = statement(context, builder, value.tape.ir, rows, partials, wide)
        return struct._getvalue()


class Pending(Tracked):
    """A value and its (row, partial) pairs, not yet recorded; only in compiled code."""

    FIELDS = ("value", "tape", "rows", "partials")
    __slots__ = FIELDS

    # Types are told apart by the number of slots: widths are (k,).

    @staticmethod
    def count_slots(widths: tuple[int, ...]) -> int:
        """Return the number of slots."""
        return widths[0]

    @staticmethod
    def joined(operands: list[tuple[int, ...]]) -> tuple[int, ...]:
        """Return the widths of the result of an operation."""
        return (sum(k for (k,) in operands),)

    @staticmethod
    def either(one: tuple[int, ...], other: tuple[int, ...]) -> tuple[int, ...]:
        """Return the widths for a variable that is sometimes one, sometimes the other."""
        return max(one, other)

    @staticmethod
    def fits(narrow: tuple[int, ...], wide: tuple[int, ...]) -> bool:
        """Whether a number with the first widths is one with the second."""
        return narrow <= wide

    def with_row(self) -> Any:
        """Record a statement: compiled functions are called with numbers that have a row."""
        tape = self.tape
        ty = type_of(self).settled
        return wrap(tape.context, tape.builder, ty, Active.pack(self, ty, tape))

    @staticmethod
    def fields(base: Any, *widths: int) -> list[tuple[str, Any]]:
        """Return the names and types of the fields."""
        (k,) = widths
        rows, partials = types.UniTuple(types.int64, k), types.UniTuple(base, k)
        return [("value", base), ("tape", types.int64), ("rows", rows), ("partials", partials)]

    def widths(self) -> tuple[int, ...]:
        """Return (k,)."""
        return (len(self.rows),)

    @staticmethod
    def pack(value: Any, ty: Any, emitted: Any) -> Any:
        """Return the LLVM value of a number or constant with as many slots as `ty` has."""
        context, builder = emitted.context, emitted.builder
        struct = context.make_helper(builder, ty)
        (k,) = ty.widths
        zero = ir.Constant(ir.IntType(64), 0)
        rows, partials, tape, primal = [], [], zero, value
        if level_of(value) == ty.level:
            rows = [row.ir for row in value.rows]
            partials = [unwrap(p, ty.base, emitted) for p in value.partials]
            tape, primal = value.tape.ir, value.value
        padding = k - len(rows)
        if padding < 0:
            raise AssertionError(f"{len(rows)} slots do not fit {ty}")
        rows += [zero] * padding
        partials += [ir.Constant(context.get_value_type(ty.base), None)] * padding
        struct.m_value, struct.m_tape = unwrap(primal, ty.base, emitted), tape
        struct.m_rows = cgutils.pack_array(builder, rows)
        struct.m_partials = context.make_tuple(builder, types.UniTuple(ty.base, k), partials)
        return struct._getvalue()


def add_to_row(result: Any, s: Any, e: Any, partials: list[Any], wide: Any) -> None:
    """Record an increment for the row of the sum `s`; `partials` are those of `e`."""
    tape, rows = either_tape(s.tape, e.tape), [row.ir for row in e.rows]
    place = tape.context, tape.builder, tape.ir
    result.m_row = increment_statement(*place, s.row.ir, rows, partials, wide)
    result.m_tape = tape.ir


def make_active(context: Any, builder: Any, ty: Any, value: Any, row: Any, tape: Any) -> Any:
    """Return an Active with this value (of the base type), row and tape."""
    struct = context.make_helper(builder, ty)
    struct.m_value, struct.m_row, struct.m_tape = value, row, tape
    return struct._getvalue()


def _times(product: Any, partial: Any, factor: Any) -> Any:
    """Multiply; 1 and -1 are resolved here, before LLVM gets a number of many parts."""
    if isinstance(partial, float) and partial == 1.0:
        return factor
    if isinstance(factor, float | int) and factor in (1.0, -1.0):
        return partial if factor == 1.0 else -partial
    return product(partial, factor)


def either_tape(tape: Any, other: Any) -> Any:
    """Return the tape of either operand: constants that became active have none."""
    builder = tape.builder
    is_missing = builder.icmp_unsigned("==", tape.ir, ir.Constant(tape.ir.type, 0))
    return tape._like(builder.select(is_missing, other.ir, tape.ir))


def _merge(value: Any, pairs: Any, other_pairs: Any) -> tuple[list[Any], list[Any]]:
    """Join the pairs of two operands, adding partials of rows that are provably equal."""
    emitted = find_emitted(value)
    context, builder = emitted.context, emitted.builder
    base = type_of(value)
    zero = ir.Constant(ir.IntType(64), 0)
    (rows, partials), (more_rows, more_partials) = map(list, pairs), map(list, other_pairs)
    for j, p in enumerate(more_partials):
        for i, q in enumerate(partials):
            is_same = provably_equal(builder, rows[i].ir, more_rows[j].ir)
            total, single = unwrap(q + p, base, emitted), unwrap(q, base, emitted)
            partial = builder.select(is_same, total, single)
            partials[i] = wrap(context, builder, base, partial)
            remaining = builder.select(is_same, zero, more_rows[j].ir)
            more_rows[j] = more_rows[j]._like(remaining)
    return rows + more_rows, partials + more_partials


Active.add_to_row = staticmethod(add_to_row)  # type: ignore[attr-defined]
Active.pending = Pending  # type: ignore[attr-defined]
Pending.settled = Active  # type: ignore[attr-defined]
