"""Appending a statement to the tape: the instructions emitted for every recorded expression.

If all operands are passive, nothing is recorded and the result is passive.  Otherwise the (row,
partial) pairs are stored behind the last entry; the pair of a passive operand is stored too but not
counted, so the next one overwrites it, which is cheaper than a branch for each.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from ..backend.calls import invoke
from .storage import MARK, field_pointer, grow

_I32, _I64 = ir.IntType(32), ir.IntType(64)
_ZERO = ir.Constant(_I64, 0)
DATA = 4  # position of the data pointer in Numba's array struct


def statement(
    context: Any, builder: Any, tape: Any, rows: list[Any], partials: list[Any], base: Any
) -> Any:
    """Emit a statement with these operand rows and partials; return its row, 0 if passive.

    Parameters
    ----------
    tape : LLVM int64
        Address of the tape; not used if all rows are 0.
    rows : list of LLVM int64
    partials : list of LLVM values of type `base`
    """
    any_active = functools.reduce(builder.or_, rows)
    row = cgutils.alloca_once_value(builder, _ZERO)
    with builder.if_then(builder.icmp_unsigned("!=", any_active, _ZERO), likely=True):
        builder.store(_append(context, builder, tape, rows, partials, base), row)
    return builder.load(row)


def increment_statement(
    context: Any,
    builder: Any,
    tape: Any,
    sum_row: Any,
    rows: list[Any],
    partials: list[Any],
    base: Any,
) -> Any:
    """Emit a statement whose entries belong to the row `sum_row`; return that row.

    If `sum_row` is 0 it is an ordinary statement and its own row is returned. Otherwise its first
    entry is a mark: the row `sum_row` with the highest bit set.
    """
    any_active = functools.reduce(builder.or_, rows)
    row = cgutils.alloca_once_value(builder, sum_row)
    with builder.if_then(builder.icmp_unsigned("!=", any_active, _ZERO), likely=True):
        own = _append(context, builder, tape, rows, partials, base, sum_row)
        is_new = builder.icmp_unsigned("==", sum_row, _ZERO)
        builder.store(builder.select(is_new, own, sum_row), row)
    return builder.load(row)


def _append(
    context: Any,
    builder: Any,
    tape: Any,
    rows: list[Any],
    partials: list[Any],
    base: Any,
    sum_row: Any = None,
) -> Any:
    def field(name: str) -> Any:
        return field_pointer(context, builder, tape, name)

    def data(name: str) -> Any:
        return _data(context, builder, tape, name)

    count = ir.Constant(_I64, len(rows) + (sum_row is not None))
    entries = builder.load(field("entries"))
    full = builder.icmp_signed(">", builder.add(entries, count), builder.load(field("capacity")))
    with builder.if_then(full, likely=False):
        invoke(context, builder, grow, (types.int64, types.int64), (tape, count))
    n = builder.load(field("rows"))
    model = context.data_model_manager[base]
    col = data("col")
    partial = builder.bitcast(data("partial"), model.get_data_type().as_pointer())
    if sum_row is not None:
        mark = builder.or_(builder.trunc(sum_row, _I32), ir.Constant(_I32, int(MARK)))
        builder.store(mark, builder.gep(col, [entries], inbounds=True))
        has_mark = builder.icmp_unsigned("!=", sum_row, _ZERO)
        entries = builder.add(entries, builder.zext(has_mark, _I64))
    for row, value in zip(rows, partials, strict=True):
        builder.store(builder.trunc(row, _I32), builder.gep(col, [entries], inbounds=True))
        slot = builder.gep(partial, [entries], inbounds=True)
        builder.store(model.as_data(builder, value), slot)
        is_active = builder.icmp_unsigned("!=", row, _ZERO)
        entries = builder.add(entries, builder.zext(is_active, _I64))
    end = builder.gep(data("row_end"), [n], inbounds=True)
    builder.store(builder.trunc(entries, _I32), end)
    builder.store(builder.add(n, ir.Constant(_I64, 1)), field("rows"))
    builder.store(entries, field("entries"))
    return n


def _data(context: Any, builder: Any, tape: Any, name: str) -> Any:
    """Return the pointer to the first element of an array of the tape."""
    pointer = field_pointer(context, builder, tape, name)
    zero, position = ir.Constant(_I32, 0), ir.Constant(_I32, DATA)
    return builder.load(builder.gep(pointer, [zero, position], inbounds=True))


class Statements:
    """Statements that are appended one after another to rows that are reserved.

    There is room for them (`open_statements`).  Without a tape all is written to the stack.
    """

    def __init__(
        self, context: Any, builder: Any, base: Any, tape: Any, is_tape: Any, first: Any
    ) -> None:
        self.builder, self.tape, self.is_tape = builder, tape, is_tape
        self.model = context.data_model_manager[base]
        self._context, self._step = context, builder.zext(is_tape, _I64)
        self._row = cgutils.alloca_once_value(builder, first)
        self._entry = cgutils.alloca_once_value(builder, _ZERO)
        kinds = {"col": _I32, "partial": self.model.get_data_type(), "row_end": _I32}
        places = {name: self._on_stack(kind) for name, kind in kinds.items()}
        with builder.if_then(is_tape):
            builder.store(builder.load(self._field("entries")), self._entry)
            for name, kind in kinds.items():
                data = _data(context, builder, tape, name)
                builder.store(builder.bitcast(data, kind.as_pointer()), places[name])
        self._places = {name: builder.load(place) for name, place in places.items()}

    def _on_stack(self, kind: Any) -> Any:
        return cgutils.alloca_once_value(self.builder, cgutils.alloca_once(self.builder, kind))

    def _field(self, name: str) -> Any:
        return field_pointer(self._context, self.builder, self.tape, name)

    def append(self, row: Any, partial: Any) -> None:
        """Append an entry to the open statement; one of row 0, that of constants, is dropped."""
        builder, entry = self.builder, self.builder.load(self._entry)
        data = {"col": builder.trunc(row, _I32), "partial": self.model.as_data(builder, partial)}
        for name, value in data.items():
            builder.store(value, builder.gep(self._places[name], [entry], inbounds=True))
        is_active = builder.and_(builder.icmp_unsigned("!=", row, _ZERO), self.is_tape)
        builder.store(builder.add(entry, builder.zext(is_active, _I64)), self._entry)

    def close(self) -> None:
        """End the open statement."""
        builder, row = self.builder, self.builder.load(self._row)
        end = builder.gep(self._places["row_end"], [row], inbounds=True)
        builder.store(builder.trunc(builder.load(self._entry), _I32), end)
        builder.store(builder.add(row, self._step), self._row)

    def end(self) -> None:
        """End the last statement."""
        with self.builder.if_then(self.is_tape):
            self.builder.store(self.builder.load(self._entry), self._field("entries"))


def provably_equal(builder: Any, row: Any, other: Any) -> Any:
    """Whether LLVM can prove two rows equal: ``a * a`` then becomes one entry.

    ``llvm.is.constant`` of the comparison is decided when other optimisations are done; where it is
    not provable nothing is left of the code that depends on it.
    """
    i1 = ir.IntType(1)
    provable = builder.module.declare_intrinsic("llvm.is.constant", [i1], ir.FunctionType(i1, [i1]))
    equal = builder.icmp_unsigned("==", row, other)
    return builder.and_(equal, builder.call(provable, [equal]))
