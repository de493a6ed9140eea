"""Addresses of other libraries' functions in generated code; see `symbols.AddressTable`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils

from .symbols import AddressTable

_I64 = ir.IntType(64)


def address_of(builder: Any, table: AddressTable, name: str) -> tuple[Any, Any]:
    """Return the first word of an entry, after filling the table if necessary, and its place."""
    table_type = ir.ArrayType(_I64, len(table.words))
    variable = builder.module.globals.get(table.symbol)
    if variable is None:
        variable = ir.GlobalVariable(builder.module, table_type, table.symbol)
    zero = ir.Constant(_I64, 0)
    index = ir.Constant(_I64, table.index[name])
    place = builder.gep(variable, [zero, index], inbounds=True)
    missing = builder.icmp_unsigned("==", builder.load_atomic(place, "acquire", 8), zero)
    with cgutils.if_unlikely(builder, missing):
        fill = ir.FunctionType(ir.VoidType(), []).as_pointer()
        first = builder.gep(variable, [zero, zero], inbounds=True)
        builder.call(builder.inttoptr(builder.load(first), fill), [])
    return builder.load_atomic(place, "acquire", 8), place
