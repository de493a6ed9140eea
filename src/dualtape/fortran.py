"""BLAS and LAPACK from compiled code, by the addresses that SciPy publishes.

SciPy's library is the one Numba itself calls, so values agree to the last bit.  A table at a fixed
place, known to compiled code by a symbol, holds the addresses: code that uses it can be cached on
disk.  It is filled when the first of them is called, since SciPy's module takes long to import.

Numba internals used (seen to work with 0.68): symbols added by ``llvmlite.binding.add_symbol`` are
found when compiled code is linked, also when it comes from a cache.
"""

from __future__ import annotations

import ctypes
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import get_cython_function_address, intrinsic

__all__ = ["FLIPPED", "PLAIN", "UPPER", "at", "fortran"]

PLAIN, FLIPPED, UPPER = map(ord, "NTU")
"""What routines do with a matrix: take it as it is, or transposed; read its upper triangle."""

_BLAS = ("gemm", "gemv")
_LAPACK = ("gesv", "getrf", "getrs", "trtrs")
_KINDS = {types.float32: "s", types.float64: "d"}
_ROUTINES = [
    ("scipy.linalg.cython_" + library, kind + routine)
    for kind in _KINDS.values()
    for library, routines in (("blas", _BLAS), ("lapack", _LAPACK))
    for routine in routines
]
_INDEX = {name: 1 + i for i, (_, name) in enumerate(_ROUTINES)}
_SYMBOL = "dualtape_fortran"
_TABLE = (ctypes.c_int64 * (1 + len(_ROUTINES)))()  # the address of `_fill`, then theirs


@ctypes.CFUNCTYPE(None)
def _fill() -> None:
    for i, (module, name) in enumerate(_ROUTINES):
        _TABLE[1 + i] = get_cython_function_address(module, name)


_TABLE[0] = ctypes.cast(_fill, ctypes.c_void_p).value or 0
llvmlite.binding.add_symbol(_SYMBOL, ctypes.addressof(_TABLE))
_I64, _I32, _I8 = ir.IntType(64), ir.IntType(32), ir.IntType(8)


def _routine(builder: Any, index: int) -> Any:
    """Return the address of a routine, after filling the table if that was not done."""
    table_type = ir.ArrayType(_I64, len(_TABLE))
    table = builder.module.globals.get(_SYMBOL)
    if table is None:
        table = ir.GlobalVariable(builder.module, table_type, _SYMBOL)
    zero = ir.Constant(_I64, 0)
    place = builder.gep(table, [zero, ir.Constant(_I64, index)], inbounds=True)
    missing = builder.icmp_unsigned("==", builder.load_atomic(place, "acquire", 8), zero)
    with cgutils.if_unlikely(builder, missing):
        fill = ir.FunctionType(ir.VoidType(), []).as_pointer()
        first = builder.gep(table, [zero, zero], inbounds=True)
        builder.call(builder.inttoptr(builder.load(first), fill), [])
    return builder.load_atomic(place, "acquire", 8)


@intrinsic
def at(typingctx: Any, address: Any, like: Any) -> Any:
    """Return an address as a pointer to numbers like `like`, an argument of `fortran`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(like)(types.int64, like), codegen


@intrinsic
def fortran(typingctx: Any, routine: Any, args: Any) -> Any:
    """Call a routine; return its `info`, 0 of one that has none.

    Its arguments are given in order, without `info`: arrays, pointers to numbers (see `at`),
    floats, integers, and characters by their codes, which as integers of a little-endian machine
    are characters, too.
    """
    if not isinstance(routine, types.StringLiteral):
        return None
    name = routine.literal_value
    numbers = {ty.dtype for ty in args if isinstance(ty, types.Array | types.CPointer)}
    numbers -= {types.int32}
    if len(numbers) != 1:
        return None  # a routine knows numbers of one precision
    (dtype,) = numbers

    def codegen(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        info = cgutils.alloca_once_value(builder, ir.Constant(_I32, 0))
        pointers = []
        for i, ty in enumerate(args):
            value = builder.extract_value(values[1], i)
            if isinstance(ty, types.Array):
                pointers.append(context.make_array(ty)(context, builder, value).data)
            elif isinstance(ty, types.CPointer):
                pointers.append(value)
            else:
                wanted = dtype if isinstance(ty, types.Float) else types.int32
                value = context.cast(builder, value, ty, wanted)
                pointers.append(cgutils.alloca_once_value(builder, value))
        pointers += [info] * (name in _LAPACK)
        function = ir.FunctionType(ir.VoidType(), [p.type for p in pointers]).as_pointer()
        address = _routine(builder, _INDEX[_KINDS[dtype] + name])
        builder.call(builder.inttoptr(address, function), pointers)
        return builder.load(info)

    return types.int32(routine, args), codegen
