"""Vector forms of exp, sin, tanh ... from the C library, in loops that LLVM vectorises.

A call that carries the attribute ``vector-function-abi-variant`` becomes a call of the named vector
form where its loop is vectorised; no option of LLVM is needed, and no library but glibc: libmvec
has exp, log, sin, cos and pow since 2.22, and the others below since 2.35.  Where the library or a
function is missing (macOS, Windows, musl) the attribute is left out, and the loop stays scalar.

Results are within 4 ulp of the exact values.  A loop over 10^5 elements, scalar / vector forms, ns
an element (Zen 4): exp 3.9 / 0.9, sin 9.7 / 1.0, tanh 12.8 / 2.0, erf 13.7 / 1.5, log1p 10.8 / 0.9.

Vector ABI: "x86 psABI vector function ABI", names _ZGV<isa><mask><lanes>v..._<function>.
"""

from __future__ import annotations

import ctypes
import functools
import os
import platform
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import config

LIBRARY = "libmvec.so.1"
_ONE = "acos acosh asin asinh atan atanh cbrt cos cosh erf erfc exp exp2 expm1 log log10 log1p log2"
_ONE += " sin sinh tan tanh"
_TWO = "atan2 hypot pow"
_INTRINSICS = ("cos", "exp", "exp2", "log", "log10", "log2", "pow", "sin")
_FUNCTIONS = {name: name for name in (*_ONE.split(), *_TWO.split())}
_FUNCTIONS |= {f"llvm.{name}.f64": name for name in _INTRINSICS}
_ISAS = (("b", 2, "sse2"), ("d", 4, "avx2"), ("e", 8, "avx512f"))
_DOUBLE = ir.DoubleType()
_USED = "llvm.compiler.used"


class _State:
    """Whether vector forms are used."""

    def __init__(self) -> None:
        text = os.environ.get("DUALTAPE_VECTOR_MATH", "1").lower()
        self.is_on = text not in ("0", "no", "false")


_STATE = _State()


def is_on() -> bool:
    """Whether loops over arrays may use vector forms, and sums of several sums."""
    return _STATE.is_on


def switch(flag: bool) -> bool:
    """Set whether they may; return the previous setting.  Compiled code stays as it is."""
    before, _STATE.is_on = _STATE.is_on, flag
    return before


@functools.cache
def _library() -> Any:
    """Return the library, loaded for compiled code, or None."""
    if platform.machine() not in ("x86_64", "AMD64") or platform.system() != "Linux":
        return None
    try:
        llvm.load_library_permanently(LIBRARY)
        return ctypes.CDLL(LIBRARY)
    except (OSError, RuntimeError):
        return None


def load() -> None:
    """Load the library, of which compiled code on disk may name functions."""
    _library()


def circumstances() -> str:
    """Return what decides on the code of loops over arrays: it is part of the keys of caches."""
    if not _STATE.is_on or _library() is None:
        return ""
    return str(os.confstr("CS_GNU_LIBC_VERSION"))


@functools.cache
def _isas(cpu_features: str | None) -> tuple[tuple[str, int], ...]:
    """Return letters and numbers of lanes of the processor that code is compiled for."""
    if cpu_features is None:
        host = llvm.get_host_cpu_features()
        return tuple((letter, lanes) for letter, lanes, needed in _ISAS if host.get(needed))
    return tuple(
        (letter, lanes) for letter, lanes, n in _ISAS if f"+{n}" in cpu_features.split(",")
    )


@functools.cache
def _variants(name: str, isas: tuple[tuple[str, int], ...]) -> tuple[tuple[str, int], ...]:
    """Return symbols and numbers of lanes of a function's vector forms."""
    library = _library()
    arguments = "vv" if name in _TWO.split() else "v"
    symbols = [(f"_ZGV{letter}N{lanes}{arguments}_{name}", lanes) for letter, lanes in isas]
    return tuple(pair for pair in symbols if library is not None and hasattr(library, pair[0]))


def let_vectorize(module: Any) -> None:
    """Let calls of mathematical functions in an emitted module become vector calls."""
    isas = _isas(config.CPU_FEATURES)
    for function in list(module.functions):
        for block in function.blocks:
            for call in block.instructions:
                name = isinstance(call, ir.CallInstr) and _FUNCTIONS.get(call.callee.name)
                if name and call.type == _DOUBLE:
                    _mark(module, call, _variants(name, isas))


def _mark(module: Any, call: Any, variants: tuple[tuple[str, int], ...]) -> None:
    if not variants:
        return
    arguments = "v" * len(call.args)
    told = ",".join(
        f"_ZGV_LLVM_N{lanes}{arguments}_{call.callee.name}({symbol})" for symbol, lanes in variants
    )
    # llvmlite knows no attributes with values
    set.add(call.attributes, f'"vector-function-abi-variant"="{told}"')
    set.update(call.attributes, ("nounwind", "readnone"))
    for symbol, lanes in variants:
        if symbol not in module.globals:
            vector = ir.VectorType(_DOUBLE, lanes)
            ir.Function(module, ir.FunctionType(vector, [vector] * len(call.args)), name=symbol)
    _keep(module)


def _keep(module: Any) -> None:
    """Keep the declarations, which nothing calls yet, until loops are vectorised."""
    pointer = ir.IntType(8).as_pointer()
    kept = [v.bitcast(pointer) for name, v in module.globals.items() if name.startswith("_ZGV")]
    used = module.globals.get(_USED)
    if used is None:
        used = ir.GlobalVariable(module, ir.ArrayType(pointer, 0), _USED)
        used.linkage, used.section = "appending", "llvm.metadata"
    used.value_type = ir.ArrayType(pointer, len(kept))
    used.type = used.value_type.as_pointer()
    used.initializer = ir.Constant(used.value_type, kept)
