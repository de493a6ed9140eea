"""LU factors that are made once and solved with many times: LAPACK's getrf, getrs and trtrs.

Numba's ``np.linalg.solve`` factors at each call and keeps nothing, so a derivative through it would
pay the cubic cost again: with n = 500, in one run, factoring takes as long as ``solve`` itself, and
a substitution with factors that are there a twenty-fifth of that.  Numba wraps getrf but not getrs
or trtrs; all three are taken here from SciPy, whose library is the one Numba itself calls, so
values agree to the last bit.

A table of `symbols` holds the addresses.  It is filled when the first of them is called, since
SciPy's module takes long to import.

Arrays are C-contiguous and LAPACK reads them by columns: it is given matrices transposed, and
right-hand sides as rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from ._jit import kernel
from .symbols import LAPACK, LAPACK_SYMBOL, ROUTINES

__all__ = ["PIVOT", "factor", "substitute"]

PIVOT = np.int32(0)
"""A number of the type of pivots: LAPACK's integer in the SciPy that Numba can call."""

_KINDS = {types.float32: "s", types.float64: "d"}
_I64 = ir.IntType(64)
_I32 = ir.IntType(32)


def _routine(builder: Any, index: int) -> Any:
    """Return the address of a routine, after filling the table if that was not done."""
    table_type = ir.ArrayType(_I64, len(LAPACK))
    table = builder.module.globals.get(LAPACK_SYMBOL)
    if table is None:
        table = ir.GlobalVariable(builder.module, table_type, LAPACK_SYMBOL)
    zero = ir.Constant(_I64, 0)
    place = builder.gep(table, [zero, ir.Constant(_I64, index)], inbounds=True)
    missing = builder.icmp_unsigned("==", builder.load_atomic(place, "acquire", 8), zero)
    with cgutils.if_unlikely(builder, missing):
        fill = ir.FunctionType(ir.VoidType(), []).as_pointer()
        first = builder.gep(table, [zero, zero], inbounds=True)
        builder.call(builder.inttoptr(builder.load(first), fill), [])
    return builder.load_atomic(place, "acquire", 8)


@intrinsic
def fortran(typingctx: Any, routine: Any, args: Any) -> Any:
    """Call a routine; return its `info`.

    Its arguments are given in order, without `info`: arrays, integers, and characters as uint8.
    """
    if not isinstance(routine, types.StringLiteral):
        return None
    dtype = next(ty.dtype for ty in args if isinstance(ty, types.Array))
    index = 1 + ROUTINES.index(_KINDS[dtype] + routine.literal_value)

    def codegen(context: Any, builder: Any, sig: Any, values: Any) -> Any:
        info = cgutils.alloca_once_value(builder, ir.Constant(_I32, 0))
        pointers = []
        for i, ty in enumerate(args):
            value = builder.extract_value(values[1], i)
            if isinstance(ty, types.Array):
                pointers.append(context.make_array(ty)(context, builder, value).data)
                continue
            wanted = ty if ty == types.uint8 else types.int32
            value = context.cast(builder, value, ty, wanted)
            pointers.append(cgutils.alloca_once_value(builder, value))
        pointers.append(info)
        function = ir.FunctionType(ir.VoidType(), [p.type for p in pointers]).as_pointer()
        address = _routine(builder, index)
        builder.call(builder.inttoptr(address, function), pointers)
        return builder.load(info)

    return types.int32(routine, args), codegen


PLAIN, FLIPPED, UPPER, GENERAL = np.uint8(78), np.uint8(84), np.uint8(85), np.uint8(78)  # N T U N


@kernel
def factor(at: Any) -> Any:
    """Return the LU factors and pivots of a matrix given transposed, and whether it is regular."""
    lu, n = at.copy(), at.shape[0]
    pivots = np.empty(n, np.int32)
    if n == 0:
        return lu, pivots, True
    info = fortran("getrf", (n, n, lu, n, pivots))
    return lu, pivots, info == 0


@kernel
def substitute(lu: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    """Solve A x = b, or A^T x = b if `flipped`, for each row of b.

    Without pivots `lu` is itself the (lower triangular) transposed matrix.
    """
    x, n = b.copy(), lu.shape[0]
    if x.size == 0:
        return x
    side = FLIPPED if flipped else PLAIN
    count = x.shape[0]
    if pivots.size == 0:
        fortran("trtrs", (UPPER, side, GENERAL, n, count, lu, n, x, n))
    else:
        fortran("getrs", (side, n, count, lu, n, pivots, x, n))
    return x
