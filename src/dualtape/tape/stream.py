"""Partials without a tape: a recording whose structure is known computes values only.

The rows and columns of a recording are decided by shapes, by integers, and by every place where a
float becomes a truth value (a *decision*).  Where all of these are as in a recording that is known,
so are all statements: by induction over the run nothing else can differ.  Then a statement with k
slots only stores its partials at places that were found out before,

    data[place[e + 0]] = p_0, ..., data[place[e + k - 1]] = p_(k-1),      e += k,

and a decision is compared with the known one: ``differs |= known[d] ^ taken, d += 1``.  If one
differs, values and control flow are those of the function still, but the data is of no use.

What is known comes from a *capture*, a run of the same statements that stores their columns: every
slot on the tape, with column 0 where it is passive, and the decisions in the tape's arena.

Both run with the words of one cell of memory, which a symbol names.  Calls lease it by an atomic
compare-and-swap; one that does not get it records a tape.  Nothing else in the function's code
overlaps with the cell, and LLVM is told so (`twin.apart`): then counters stay in registers.
Measured in one run, entries over the function: Brusselator, 32 x 32, 2.1 and 2.3 without that; an
upwind scheme with a decision a cell 3.4 and 4.0.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from ..backend.allocation import larger
from ..backend.calls import invoke
from ..backend.jit import kernel
from ..backend.symbols import STREAM, STREAM_SYMBOL
from .storage import tape_at

LEASED, TAPE, CONFLICT, ENTRY, LIMIT, PLACES, DATA, DECISION, DECISIONS, KNOWN, DIFFERS = range(11)
CELL = "dualtape_cell"  # how pointers to the words are named in LLVM's code
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_ZERO, _ONE = ir.Constant(_I64, 0), ir.Constant(_I64, 1)


def _word(builder: Any, index: Any) -> Any:
    """Return the pointer to a word of the cell; its index is an LLVM value or known."""
    index = ir.Constant(_I64, index) if isinstance(index, int) else index
    cell = builder.module.globals.get(STREAM_SYMBOL)
    if cell is None:
        ty = ir.ArrayType(_I64, len(STREAM))
        cell = ir.GlobalVariable(builder.module, ty, STREAM_SYMBOL)
    return builder.gep(cell, [_ZERO, index], inbounds=True, name=CELL)


def _load(builder: Any, index: Any) -> Any:
    return builder.load(_word(builder, index))


def _pointer(builder: Any, index: int, item: Any) -> Any:
    """Return the pointer in a word of the cell."""
    return builder.inttoptr(_load(builder, index), item.as_pointer())


# While a function runs with a known structure


def store_partials(context: Any, builder: Any, partials: list[Any], base: Any) -> None:
    """Emit a statement: partials of type `base` go to the next places.

    After another decision there may be more statements than places: the next ones start again.
    """
    model, count = context.data_model_manager[base], ir.Constant(_I64, len(partials))
    entry = _load(builder, ENTRY)
    is_beyond = builder.icmp_unsigned(">", builder.add(entry, count), _load(builder, LIMIT))
    entry = builder.select(is_beyond, _ZERO, entry)
    places = _pointer(builder, PLACES, _I32)
    data = _pointer(builder, DATA, model.get_data_type())
    for k, partial in enumerate(partials):
        at = builder.add(entry, ir.Constant(_I64, k))
        place = builder.load(builder.gep(places, [at], inbounds=True))
        slot = builder.gep(data, [builder.zext(place, _I64)], inbounds=True)
        builder.store(model.as_data(builder, partial), slot)
    builder.store(builder.add(entry, count), _word(builder, ENTRY))


def compare_decision(builder: Any, taken: Any) -> None:
    """Emit the comparison of a decision, an LLVM i1, with the known one."""
    position, count = _load(builder, DECISION), _load(builder, DECISIONS)
    is_beyond = builder.icmp_unsigned(">=", position, count)
    position = builder.select(is_beyond, _ZERO, position)
    known = builder.load(builder.gep(_pointer(builder, KNOWN, _I8), [position], inbounds=True))
    differs = builder.xor(builder.zext(taken, _I8), known)
    differs = builder.or_(differs, builder.zext(is_beyond, _I8))
    before = _load(builder, DIFFERS)
    builder.store(builder.or_(before, builder.zext(differs, _I64)), _word(builder, DIFFERS))
    builder.store(builder.add(position, _ONE), _word(builder, DECISION))


# While the structure is captured


def capture_columns(context: Any, builder: Any, rows: list[Any], sum_row: Any = None) -> Any:
    """Emit a statement with the columns of its slots, LLVM int64; return its row.

    The row is 0 if all slots are passive, and `sum_row` if that is given and not 0; see
    `increment_statement`.
    """

    def call(function: Any, *values: Any) -> Any:
        return invoke(context, builder, function, [types.int64] * len(values), values)[1]

    tape = _load(builder, TAPE)
    call(_begin, tape, _ZERO if sum_row is None else sum_row)
    active = _ZERO
    for row in rows:
        call(_add_column, tape, row)
        active = builder.or_(active, row)
    return call(_end, tape, _ZERO if sum_row is None else sum_row, active)


@kernel
def _begin(address: Any, sum_row: Any) -> None:
    if sum_row > 0:
        _add_column(address, sum_row + 2**31)  # a mark


@kernel
def _add_column(address: Any, row: Any) -> None:
    tape = tape_at(address)
    if tape.entries == tape.capacity:
        tape.grow(1)
    tape.col[tape.entries] = row
    tape.entries += 1


@kernel
def _end(address: Any, sum_row: Any, active: Any) -> Any:
    tape = tape_at(address)
    row = tape.reserve(1)
    if sum_row > 0:
        return sum_row
    return row if active != 0 else 0


def capture_decision(context: Any, builder: Any, taken: Any) -> None:
    """Emit a decision, an LLVM i1, for the tape."""
    values = _load(builder, TAPE), builder.zext(taken, _I64)
    invoke(context, builder, _add_decision, [types.int64] * 2, values)


@kernel
def _add_decision(address: Any, taken: Any) -> None:
    tape, used = tape_at(address), tape_at(address).arena_used
    if used == tape.arena.size:
        tape.store(larger(used, 1024))
    tape.arena[used] = taken
    tape.arena_used = used + 1


def same_row(builder: Any, row: Any, other: Any) -> Any:
    """Return the row of two slots that types take for the same; note a conflict if they are not.

    A slot of the branch not taken has the row 0.
    """
    is_active = builder.and_(
        builder.icmp_unsigned("!=", row, _ZERO), builder.icmp_unsigned("!=", other, _ZERO)
    )
    is_conflict = builder.and_(is_active, builder.icmp_unsigned("!=", row, other))
    before = _load(builder, CONFLICT)
    after = builder.or_(before, builder.zext(is_conflict, _I64))
    builder.store(after, _word(builder, CONFLICT))
    return builder.or_(row, other)


# Around a run


@intrinsic
def lease(typingctx: Any) -> Any:
    """Lease the cell; return whether it was free."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pointer = _word(builder, LEASED)
        exchange = builder.cmpxchg(pointer, _ZERO, _ONE, "acquire", "monotonic")
        return builder.extract_value(exchange, 1)

    return types.boolean(), codegen


def emit_give_back(builder: Any) -> None:
    """Emit code that lets others lease the cell."""
    builder.store_atomic(_ZERO, _word(builder, LEASED), "release", 8)


@intrinsic
def load_word(typingctx: Any, index: Any) -> Any:
    """Return a word of the cell."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return _load(builder, args[0])

    return types.int64(types.int64), codegen


@intrinsic
def store_word(typingctx: Any, index: Any, value: Any) -> Any:
    """Set a word of the cell."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        builder.store(args[1], _word(builder, args[0]))
        return context.get_dummy_value()

    return types.none(types.int64, types.int64), codegen
