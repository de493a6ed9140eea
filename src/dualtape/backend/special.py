"""Functions of `scipy.special` from compiled code: SciPy's own, so that values are SciPy's.

`scipy.special.cython_special` publishes most of them as C functions.  What it lacks (zeta, ...) or
returns by pointers (airy) is called as NumPy does it: by the inner loop of the ufunc, over one
element.  In one run a call of j0, ndtr, gammaln takes 5.6, 13.4, 17.0 ns by the C function, and
11.7, 24.8, 26.7 by the loop.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..errors import MissingRuleError
from .addresses import address_of
from .scipy_addresses import find_special, find_ufunc
from .symbols import SPECIAL
from .templates import type_global

_I64, _I32, _DOUBLE = ir.IntType(64), ir.IntType(32), ir.DoubleType()
_POINTER = ir.IntType(8).as_pointer()


class _SpecialTemplate(AbstractTemplate):
    """SciPy computes in double precision, and rounds where all arguments are single."""

    def generic(self, args: Any, kws: Any) -> Any:
        function = type(self).key
        if kws or len(args) != function.count:
            return None
        if not function.exists():
            raise MissingRuleError(f"this version of SciPy has no scipy.special.{function.name}")
        is_single = all(arg == types.float32 for arg in args)
        return signature(types.float32 if is_single else types.float64, *args)

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "scipy")


def _lower(function: SpecialFunction, context: Any, builder: Any, sig: Any, args: Any) -> Any:
    doubles = [
        context.cast(builder, value, ty, types.float64)
        for ty, value in zip(sig.args, args, strict=True)
    ]
    result = function.emit(builder, doubles)
    return context.cast(builder, result, types.float64, sig.return_type)


@dataclass(frozen=True, eq=False)
class SpecialFunction:
    """A real function of doubles, computed by a function of `scipy.special`.

    Attributes
    ----------
    described : str
        Name and types, one of `SPECIAL_FUNCTIONS`.
    count : int
        Number of arguments.
    arrange : callable, optional
        Returns what SciPy is passed, from the arguments: a pair is a complex number.
    output : int
        Which result is the value.
    part : str
        What of a complex result: ``real``, ``imag``, or ``if_real``, which is NaN elsewhere.
    """

    described: str
    count: int
    arrange: Callable[..., list[Any]] | None = None
    output: int = 0
    part: str = ""

    def __post_init__(self) -> None:
        """Let compiled code call it."""
        type_global(self, _SpecialTemplate)
        lower_builtin((self, "scipy"), types.VarArg(types.Any))(functools.partial(_lower, self))

    @property
    def name(self) -> str:
        """The name of the ufunc."""
        return self.described.partition(":")[0]

    def __call__(self, *args: float) -> float:
        """Compute the value at the prompt."""
        passed = self.arrange(*args) if self.arrange else list(args)
        numbers = [complex(*arg) if isinstance(arg, tuple) else arg for arg in passed]
        inputs = self.described.partition(":")[2]
        numbers = [
            int(x.real) if code == "l" else x for x, code in zip(numbers, inputs, strict=False)
        ]
        with np.errstate(all="ignore"):
            result = find_ufunc(self.name)(*numbers)
        result = result[self.output] if isinstance(result, tuple) else result
        if self.part == "if_real":
            return float(result.real) if result.imag == 0.0 else float("nan")
        return float(getattr(result, self.part) if self.part else result)

    def exists(self) -> bool:
        """Whether this SciPy has the function."""
        return find_special(self.described)[0] != 0

    def emit(self, builder: Any, args: list[Any]) -> Any:
        """Emit a call on LLVM doubles."""
        passed = self.arrange(*args) if self.arrange else args
        result = _emit_call(builder, self.described, _constants(passed), self.output)
        if not self.part:
            return result
        real, imaginary = result
        if self.part == "if_real":
            is_real = builder.fcmp_ordered("==", imaginary, ir.Constant(_DOUBLE, 0.0))
            return builder.select(is_real, real, ir.Constant(_DOUBLE, float("nan")))
        return real if self.part == "real" else imaginary


def _constants(passed: Any) -> Any:
    """Return arguments with all Python numbers as constants."""
    if isinstance(passed, list | tuple):
        return type(passed)(map(_constants, passed))
    return ir.Constant(_DOUBLE, passed) if isinstance(passed, float) else passed


def _emit_call(builder: Any, described: str, args: list[Any], output: int) -> Any:
    """Emit a call; return a result, NaN if cached code meets a SciPy without the function."""
    inputs, _, results = described.partition(":")[2].partition("->")
    address, place = address_of(builder, SPECIAL, described)
    places = [cgutils.alloca_once(builder, _IR_TYPES[code]) for code in results or "d"]
    nan = ir.Constant(_DOUBLE, float("nan"))
    is_complex = results[output : output + 1] == "D"
    _store_number(builder, (nan, nan) if is_complex else nan, places[output])
    exists = builder.icmp_unsigned("!=", address, ir.Constant(_I64, 0))
    with builder.if_then(exists, likely=True):
        if results:
            data = builder.load(builder.gep(place, [ir.Constant(_I32, 1)], inbounds=True))
            _call_loop(builder, address, data, [*_in_memory(builder, inputs, args), *places])
        else:
            function = ir.FunctionType(_DOUBLE, [_DOUBLE] * len(args) + [_I32]).as_pointer()
            skips_dispatch = ir.Constant(_I32, 1)
            result = builder.call(builder.inttoptr(address, function), [*args, skips_dispatch])
            builder.store(result, places[0])
    return _load_number(builder, places[output])


_IR_TYPES = {"d": _DOUBLE, "l": _I64, "D": ir.ArrayType(_DOUBLE, 2)}


def _in_memory(builder: Any, codes: str, args: list[Any]) -> list[Any]:
    """Store arguments, as a loop wants them, and return where."""
    places = []
    for code, arg in zip(codes, args, strict=True):
        value = builder.fptosi(arg, _I64) if code == "l" else arg
        places.append(cgutils.alloca_once(builder, _IR_TYPES[code]))
        _store_number(builder, value, places[-1])
    return places


def _call_loop(builder: Any, address: Any, data: Any, places: list[Any]) -> None:
    """Call the inner loop of a ufunc for one element; steps between elements are not used."""
    pointers = cgutils.alloca_once(builder, _POINTER, len(places))
    for i, place in enumerate(places):
        builder.store(
            builder.bitcast(place, _POINTER), builder.gep(pointers, [ir.Constant(_I32, i)])
        )
    count = cgutils.alloca_once_value(builder, ir.Constant(_I64, 1))
    steps = cgutils.alloca_once(builder, _I64, len(places))
    for i in range(len(places)):
        builder.store(ir.Constant(_I64, 0), builder.gep(steps, [ir.Constant(_I32, i)]))
    args = [pointers, count, steps, builder.inttoptr(data, _POINTER)]
    function = ir.FunctionType(ir.VoidType(), [arg.type for arg in args]).as_pointer()
    builder.call(builder.inttoptr(address, function), args)


def _store_number(builder: Any, value: Any, place: Any) -> None:
    if isinstance(value, tuple):
        parts = builder.insert_value(ir.Constant(_IR_TYPES["D"], None), value[0], 0)
        value = builder.insert_value(parts, value[1], 1)
    builder.store(value, place)


def _load_number(builder: Any, place: Any) -> Any:
    value = builder.load(place)
    if value.type == _DOUBLE:
        return value
    return builder.extract_value(value, 0), builder.extract_value(value, 1)
