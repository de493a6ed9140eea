"""BLAS and LAPACK from compiled code, by the addresses that SciPy publishes.

Numba itself calls SciPy's library, so values agree to the last bit.  A table in `symbols` holds the
addresses.  It is filled at the first call, since SciPy's module takes long to import.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .symbols import FORTRAN, FORTRAN_SYMBOL, ROUTINES

PLAIN, FLIPPED, UPPER = map(ord, "NTU")
"""How routines use a matrix: as it is, transposed, or its upper triangle."""

_KINDS = {types.float32: "s", types.float64: "d"}
_INDEX = {name: 1 + i for i, (_, name) in enumerate(ROUTINES)}
_WITH_INFO = {name for module, name in ROUTINES if module.endswith("lapack")}
_I64, _I32, _I8 = ir.IntType(64), ir.IntType(32), ir.IntType(8)


def _routine(builder: Any, index: int) -> Any:
    """Return the address of a routine, after filling the table if necessary."""
    table_type = ir.ArrayType(_I64, len(FORTRAN))
    table = builder.module.globals.get(FORTRAN_SYMBOL)
    if table is None:
        table = ir.GlobalVariable(builder.module, table_type, FORTRAN_SYMBOL)
    zero = ir.Constant(_I64, 0)
    place = builder.gep(table, [zero, ir.Constant(_I64, index)], inbounds=True)
    missing = builder.icmp_unsigned("==", builder.load_atomic(place, "acquire", 8), zero)
    with cgutils.if_unlikely(builder, missing):
        fill = ir.FunctionType(ir.VoidType(), []).as_pointer()
        first = builder.gep(table, [zero, zero], inbounds=True)
        builder.call(builder.inttoptr(builder.load(first), fill), [])
    return builder.load_atomic(place, "acquire", 8)


@intrinsic
def as_pointer(typingctx: Any, address: Any, like: Any) -> Any:
    """Return an address as a pointer to numbers of the type of `like`, for `fortran`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.inttoptr(args[0], context.get_value_type(sig.return_type))

    return types.CPointer(like)(types.int64, like), codegen


@intrinsic
def fortran(typingctx: Any, routine: Any, args: Any) -> Any:
    """Call a routine; return its `info`, or 0 if it has none.

    Its arguments are passed in order, without `info`: arrays, pointers to numbers (see
    `as_pointer`), floats, integers, and characters by their codes (on a little-endian machine, the
    first byte of such an integer is the character).
    """
    if not isinstance(routine, types.StringLiteral):
        return None
    numbers = {ty.dtype for ty in args if isinstance(ty, types.Array | types.CPointer)}
    numbers -= {types.int32}
    if len(numbers) != 1:
        return None  # all numbers of a routine have the same precision
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
                target = dtype if isinstance(ty, types.Float) else types.int32
                value = context.cast(builder, value, ty, target)
                pointers.append(cgutils.alloca_once_value(builder, value))
        name = _KINDS[dtype] + routine.literal_value
        pointers += [info] * (name in _WITH_INFO)
        function = ir.FunctionType(ir.VoidType(), [p.type for p in pointers]).as_pointer()
        address = _routine(builder, _INDEX[name])
        builder.call(builder.inttoptr(address, function), pointers)
        return builder.load(info)

    return types.int32(routine, args), codegen
