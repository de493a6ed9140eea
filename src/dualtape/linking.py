"""Functions that only compiled code calls are optimised where they end up, not on the way.

Numba optimises every function together with all that it calls, to machine code of its own: in a
chain of ten functions the innermost is optimised ten times, and machine code is made nine times
that nobody calls.  An internal function is compiled to simplified LLVM code instead, which its
callers link in; what Python calls is optimised once, with all of it.  Processor time of the first
reverse gradient without a cache, before and after: a network of three layers 72 s and 32 s, a
scalar function 13.5 s and 7.6 s; the gradients are as fast.

Numba internals used (seen in 0.66 to 0.68): ``CompilerBase.compile_extra`` with
``state.library``; ``JITCodeLibrary.finalize`` and what it keeps (``_final_module``,
``_linking_libraries``, ``_reload_init``, ``_dynamic_globals``, ``_shared_module``, ``_finalized``);
the state that ``_unserialize`` reads; names of globals.
"""

from __future__ import annotations

import secrets
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core.codegen import JITCodeLibrary, RuntimeLinker
from numba.core.compiler import Compiler

from .apart import cut_off, instructions
from .store import ENVIRONMENT

__all__ = ["InlinedCompiler", "InternalCompiler", "Linked"]

DYNAMIC = "numba.dynamic.globals"
APART = 150
"""Instructions above which an internal function stands on its own (see `apart`).

With 60 a first gradient of a network takes 0.83 s instead of 0.93 s, but loops become 10 % slower:
smaller functions are better inlined.
"""


class InternalLibrary(JITCodeLibrary):
    """The code of an internal function and of all that it calls, to be linked into callers.

    What Numba asks LLVM about every function in the code is asked once, about the function's own:
    a call of LLVM takes 10 us where compilations are nested, since each of them listens.
    """

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self._final_module: Any
        self.is_inlined = False
        self._own: list[str] = []
        self._is_recursive = False

    def add_ir_module(self, ir_module: Any) -> None:
        """Add the function's own code."""
        self._own += [f.name for f in ir_module.functions if f.blocks and not f.linkage]
        self._is_recursive |= any(map(calls_itself, ir_module.functions))
        super().add_ir_module(ir_module)

    def finalize(self) -> None:
        """Link in what is called, and let what is large stand on its own."""
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._linking_libraries.clear()
        names = [known.name for known in self._final_module.global_variables]
        by_address = any(name.startswith(RuntimeLinker.PREFIX) for name in names)
        if by_address or self._is_recursive:  # functions that call each other do it by address
            super().finalize()
            return
        self._dynamic_globals += [name for name in names if name.startswith(DYNAMIC)]
        environments = [name for name in names if name.startswith(ENVIRONMENT)]
        environments += self._cut_off()
        self._environments = str(environment_module(self._codegen, environments))
        self._codegen._engine.add_module(llvm.parse_assembly(self._environments))
        self._codegen._engine.finalize_object()
        for name in self._own:
            self._final_module.get_function(name).linkage = "linkonce_odr"
        self._shared_module = self._final_module
        self._finalized = True

    def _cut_off(self) -> list[str]:
        """Put a stub in place of large code; return the environments that the stub refers to."""
        if self.is_inlined or self._dynamic_globals or len(self._own) != 1:
            return []
        text = str(self._final_module)
        stub = cut_off(self, text, self._own[0]) if instructions(text) > APART else None
        if stub is None:
            return []
        self._final_module = stub
        return [variable.name for variable in stub.global_variables]

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
    is_inlined = False

    def is_internal(self) -> bool:
        """Whether only compiled code calls what is compiled."""
        return True

    def compile_extra(self, func: Any) -> Any:
        """Compile a Python function."""
        if self.is_internal():
            library = InternalLibrary(self.state.targetctx.codegen(), func.__qualname__)
            library.enable_object_caching()
            library.is_inlined = self.is_inlined
            self.state.library = library
        return super().compile_extra(func)  # type: ignore[misc]

    def _compile_bytecode(self) -> Any:
        """Name the function apart from those of other processes, then go on.

        Numba numbers functions in the order of compilation. Two that were compiled in two
        processes, kept on disk and loaded by a third may have one name, and the engine takes the
        first of them.
        """
        function, number = self.state.func_id, secrets.randbits(48)
        function.unique_id = number
        function.unique_name = f"{function.func_qualname}${number}"
        return super()._compile_bytecode()  # type: ignore[misc]


class InternalCompiler(Linked, Compiler):
    """Numba's compiler for internal functions."""


class InlinedCompiler(InternalCompiler):
    """The same for those that are inlined however large they are."""

    is_inlined = True
