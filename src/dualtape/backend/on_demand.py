"""A second way to compute a derivative, compiled when a call first needs it.

Forward mode is best for few inputs, reverse mode for many, and their number is only known at run
time.  Compiling both would double the time to a first gradient.  So a driver contains the code of
one mode; for sizes at which the other is faster it calls back into Python, which compiles that mode
and returns its address; the driver stores it.  If the other mode cannot be compiled, or in a
process that loaded the caller's code from a cache and has no way to compile the other mode, the
first mode is used.

Numba internals used (seen in 0.66 to 0.68): ``CompileResult.library.get_pointer_to_function``,
symbols added by ``llvmlite.binding.add_symbol``.
"""

from __future__ import annotations

import ctypes
import hashlib
import weakref
from collections.abc import Callable
from typing import Any

import llvmlite.binding
from llvmlite import ir
from numba.core import cgutils, types

_I64 = ir.IntType(64)
_SYMBOL = "dualtape_resolve"
_KNOWN: dict[int, tuple[Any, int, Any]] = {}
_USED: list[Any] = []  # keeps code alive whose address was returned
UNAVAILABLE = -1
INTERRUPTED = -2


@ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)
def _resolve(key: int) -> int:
    """Return the address of a compiled alternative; called from compiled code, takes the GIL."""
    try:
        owner, which, packed = _KNOWN[key]
        result = owner().compiled(which, packed)
        _USED.append(result)
        return int(result.library.get_pointer_to_function(result.fndesc.llvm_func_name))
    except Exception:  # whatever went wrong, the caller uses its own mode
        return UNAVAILABLE
    except KeyboardInterrupt:  # no exception leaves a callback
        return INTERRUPTED


llvmlite.binding.add_symbol(_SYMBOL, ctypes.cast(_resolve, ctypes.c_void_p).value)


def key_of(identity: str, packed: Any) -> int:
    """Return the number by which compiled code asks for an alternative."""
    digest = hashlib.sha256(f"{identity} {packed}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def register(identity: str, packed: Any, owner: Any, which: int) -> int:
    """Register the owner of an alternative for these argument types; return its key.

    ``owner.compiled(which, packed)`` returns Numba's result of compiling it. The reference to the
    owner is weak, so that unused alternatives are collected with their function.
    """
    key = key_of(f"{identity} {which}", packed)
    _KNOWN[key] = (weakref.ref(owner), which, packed)
    return key


class Alternative:
    """Code that calls the alternative of a driver."""

    def __init__(self, key: int, packed: Any, returned: Any) -> None:
        self.key = key
        self.arguments = (packed,)
        self.returned = returned

    def address(
        self, context: Any, builder: Any, condition: Any, clean_up: Callable[[], None] | None = None
    ) -> Any:
        """Return the address of the alternative; 0 unless `condition` holds and it has one.

        If its compilation is interrupted, the code of `clean_up` runs and the interrupt propagates.
        """
        # Threads read and write this cell without a lock.  That is benign: it is one aligned word,
        # which changes from 0 to an address (or UNAVAILABLE) that stays valid for good, since
        # `_USED` keeps the code alive.  Threads that find 0 at the same time all ask `_resolve`,
        # which runs under the GIL; whichever answer is stored last, every one of them is right.
        cell = cgutils.add_global_variable(builder.module, _I64, f"dualtape.cell.{self.key}")
        cell.linkage, cell.initializer = "internal", ir.Constant(_I64, 0)
        result = cgutils.alloca_once_value(builder, ir.Constant(_I64, 0))
        with builder.if_then(condition):
            builder.store(builder.load(cell), result)
            unknown = builder.icmp_signed("==", builder.load(result), ir.Constant(_I64, 0))
            with builder.if_then(unknown, likely=False):
                function_type = ir.FunctionType(_I64, [_I64])
                resolve = cgutils.get_or_insert_function(builder.module, function_type, _SYMBOL)
                address = builder.call(resolve, [ir.Constant(_I64, self.key)])
                stopped = builder.icmp_signed("==", address, ir.Constant(_I64, INTERRUPTED))
                with cgutils.if_unlikely(builder, stopped):
                    if clean_up is not None:
                        clean_up()
                    context.call_conv.return_user_exc(builder, KeyboardInterrupt, ())
                builder.store(address, cell)
                builder.store(address, result)
        zero = ir.Constant(_I64, 0)
        there = builder.icmp_signed(">", builder.load(result), zero)
        return builder.select(there, builder.load(result), zero)

    def call(self, context: Any, builder: Any, address: Any, packed: Any) -> Any:
        """Call the alternative; its exceptions propagate."""
        convention = context.call_conv
        function_type = convention.get_function_type(self.returned, self.arguments)
        function = builder.inttoptr(address, function_type.as_pointer())
        status, result = convention.call_function(
            builder, function, self.returned, self.arguments, [packed]
        )
        with cgutils.if_unlikely(builder, status.is_error):
            convention.return_status_propagate(builder, status)
        return result


def by_size(
    eager: Any, other: Alternative, packed: Any, argnums: tuple[int, ...], is_wanted: Any
) -> Any:
    """Return code that runs the alternative if ``is_wanted(builder, n)``, for n inputs."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        n = ir.Constant(_I64, 0)
        for i in argnums:
            value = builder.extract_value(args[0], i)
            n = builder.add(n, _size(context, builder, packed[i], value))
        address = other.address(context, builder, is_wanted(builder, n))
        out = cgutils.alloca_once(builder, context.get_value_type(sig.return_type))
        usable = builder.icmp_signed("!=", address, ir.Constant(_I64, 0))
        with builder.if_else(usable) as (then, otherwise):
            with then:
                builder.store(other.call(context, builder, address, args[0]), out)
            with otherwise:
                builder.store(eager(context, builder, sig, args), out)
        return builder.load(out)

    return codegen


def _size(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    """Return how many numbers a structure contains."""
    if isinstance(ty, types.BaseTuple):
        n = ir.Constant(_I64, 0)
        for i, item in enumerate(ty):
            n = builder.add(n, _size(context, builder, item, builder.extract_value(value, i)))
        return n
    if not isinstance(ty, types.Array):
        return ir.Constant(_I64, 1)
    return context.make_array(ty)(context, builder, value).nitems
