"""Functions that only compiled code calls are optimised where they end up, not on the way.

Numba optimises every function together with all that it calls, to machine code of its own: in a
chain of ten functions the innermost is optimised ten times, and machine code is made nine times
that nobody calls.  An internal function is compiled to simplified LLVM code instead, which its
callers link in; what Python calls is optimised once, with all of it.  Processor time of the first
reverse gradient without a cache, before and after: a network of three layers 72 s and 32 s, a
scalar function 13.5 s and 7.6 s; the gradients are as fast.

Numba internals used (seen to work with 0.68): ``CompilerBase.compile_extra`` with
``state.library``; ``JITCodeLibrary.finalize`` and what it keeps (``_final_module``,
``_linking_libraries``, ``_reload_init``, ``_dynamic_globals``, ``_shared_module``, ``_finalized``);
the state that ``_unserialize`` reads; names of globals.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.codegen import JITCodeLibrary, RuntimeLinker
from numba.core.compiler import Compiler

__all__ = ["InternalCompiler", "Linked"]

ENVIRONMENT, DYNAMIC = "_ZN08NumbaEnv", "numba.dynamic.globals"


class InternalLibrary(JITCodeLibrary):
    """The code of an internal function and of all that it calls, to be linked into callers.

    What Numba asks LLVM about every function in the code is asked once, about the function's own:
    a call of LLVM takes 10 us where compilations are nested, since each of them listens.
    """

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self._own: list[str] = []
        self._is_recursive = False

    def add_ir_module(self, ir_module: Any) -> None:
        """Add the function's own code."""
        self._own += [f.name for f in ir_module.functions if f.blocks and not f.linkage]
        self._is_recursive |= any(map(calls_itself, ir_module.functions))
        super().add_ir_module(ir_module)

    def finalize(self) -> None:
        """Link in what is called."""
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        globals_of = [known.name for known in self._final_module.global_variables]
        self._linking_libraries.clear()
        by_address = any(name.startswith(RuntimeLinker.PREFIX) for name in globals_of)
        if by_address or self._is_recursive:  # functions that call each other do it by address
            super().finalize()
            return
        self._dynamic_globals += [name for name in globals_of if name.startswith(DYNAMIC)]
        environments = [name for name in globals_of if name.startswith(ENVIRONMENT)]
        self._environments = str(environment_module(self._codegen, environments))
        self._codegen._engine.add_module(llvm.parse_assembly(self._environments))
        self._codegen._engine.finalize_object()
        for name in self._own:
            self._final_module.get_function(name).linkage = "linkonce_odr"
        self._shared_module = self._final_module
        self._finalized = True

    def serialize_using_object_code(self) -> Any:
        """Return what Numba's library restores: object code of environments, code to link."""
        self._ensure_finalized()
        if self._shared_module is not self._final_module:
            return super().serialize_using_object_code()
        machine_code = self._codegen._tm.emit_object(llvm.parse_assembly(self._environments))
        return self.name, "object", (machine_code, self._final_module.as_bitcode())


def calls_itself(function: Any) -> bool:
    """Whether a function calls itself: then its other overloads may call it by address."""
    calls = (i for b in function.blocks for i in b.instructions if isinstance(i, ir.CallInstr))
    return any(getattr(call.callee, "name", None) == function.name for call in calls)


def environment_module(codegen: Any, names: list[str]) -> Any:
    """Return a module of what Numba sets in the engine for every function: its environment."""
    module = codegen._create_empty_module("environments")
    pointer = ir.IntType(8).as_pointer()
    for name in names:
        made = ir.GlobalVariable(module, pointer, name)
        made.linkage, made.initializer = "common", pointer(None)
    return module


class Linked:
    """Makes a compiler one of internal functions; a base before Numba's."""

    state: Any

    def compile_extra(self, func: Any) -> Any:
        """Compile a Python function."""
        library = InternalLibrary(self.state.targetctx.codegen(), func.__qualname__)
        library.enable_object_caching()
        self.state.library = library
        return super().compile_extra(func)  # type: ignore[misc]


class InternalCompiler(Linked, Compiler):
    """Numba's compiler for internal functions."""
