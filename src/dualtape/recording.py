"""Appending a statement to the tape: the instructions emitted at every recorded expression.

All operands passive: nothing is recorded and the result is passive.  Otherwise the (row, partial)
pairs are stored behind the last entry; a passive operand's pair is stored too but not counted, so
the next one overwrites it, which is cheaper than a branch for each.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from .emit import invoke
from .tape import MARK, field_pointer, grow

__all__ = ["increment_statement", "provably_equal", "statement"]

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
    kept: Any,
    rows: list[Any],
    partials: list[Any],
    base: Any,
) -> Any:
    """Emit a statement whose entries belong to the row `kept`; return that row.

    If `kept` is 0 it is an ordinary statement and its own row is returned. Otherwise its first
    entry is a mark: the row `kept` with the highest bit set.
    """
    any_active = functools.reduce(builder.or_, rows)
    row = cgutils.alloca_once_value(builder, kept)
    with builder.if_then(builder.icmp_unsigned("!=", any_active, _ZERO), likely=True):
        own = _append(context, builder, tape, rows, partials, base, kept)
        is_new = builder.icmp_unsigned("==", kept, _ZERO)
        builder.store(builder.select(is_new, own, kept), row)
    return builder.load(row)


def _append(
    context: Any,
    builder: Any,
    tape: Any,
    rows: list[Any],
    partials: list[Any],
    base: Any,
    kept: Any = None,
) -> Any:
    def field(name: str) -> Any:
        return field_pointer(context, builder, tape, name)

    def data(name: str) -> Any:
        zero, position = ir.Constant(_I32, 0), ir.Constant(_I32, DATA)
        return builder.load(builder.gep(field(name), [zero, position], inbounds=True))

    count = ir.Constant(_I64, len(rows) + (kept is not None))
    entries = builder.load(field("entries"))
    full = builder.icmp_signed(">", builder.add(entries, count), builder.load(field("capacity")))
    with builder.if_then(full, likely=False):
        invoke(context, builder, grow, (types.int64, types.int64), (tape, count))
    n = builder.load(field("rows"))
    model = context.data_model_manager[base]
    col = data("col")
    partial = builder.bitcast(data("partial"), model.get_data_type().as_pointer())
    if kept is not None:
        mark = builder.or_(builder.trunc(kept, _I32), ir.Constant(_I32, int(MARK)))
        builder.store(mark, builder.gep(col, [entries], inbounds=True))
        has_mark = builder.icmp_unsigned("!=", kept, _ZERO)
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


def provably_equal(builder: Any, row: Any, other: Any) -> Any:
    """Whether LLVM can prove two rows equal: ``a * a`` then becomes one entry.

    ``llvm.is.constant`` of the comparison is decided when other optimisations are done; where it is
    not provable nothing is left of the code that depends on it.
    """
    i1 = ir.IntType(1)
    provable = builder.module.declare_intrinsic("llvm.is.constant", [i1], ir.FunctionType(i1, [i1]))
    equal = builder.icmp_unsigned("==", row, other)
    return builder.and_(equal, builder.call(provable, [equal]))
