"""BLAS and LAPACK from compiled code, by the addresses that SciPy publishes.

Numba itself calls SciPy's library, so values agree to the last bit.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from .addresses import address_of
from .symbols import BLAS, FORTRAN

PLAIN, FLIPPED, UPPER = map(ord, "NTU")
"""How routines use a matrix: as it is, transposed, or its upper triangle."""

_KINDS = {types.float32: "s", types.float64: "d"}
_I32 = ir.IntType(32)


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
        name = routine.literal_value
        pointers += [info] * (name not in BLAS)
        function = ir.FunctionType(ir.VoidType(), [p.type for p in pointers]).as_pointer()
        address, _ = address_of(builder, FORTRAN, _KINDS[dtype] + name)
        builder.call(builder.inttoptr(address, function), pointers)
        return builder.load(info)

    return types.int32(routine, args), codegen
