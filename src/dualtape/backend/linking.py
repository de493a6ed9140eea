"""Functions that only compiled code calls are optimised in their final callers, not before.

Numba optimises every function together with all that it calls, to machine code of its own: in a
chain of ten functions the innermost is optimised ten times, and nine of the ten machine codes are
never called.  An internal function is compiled to simplified LLVM code instead, which its callers
link in; a function called from Python is optimised once, with all of it.  Processor time of the
first reverse gradient without a cache, before and after: a network of three layers 72 s and 32 s, a
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

from .kernel_store import ENVIRONMENT
from .standalone import cut_off, instructions
from .vector_math import let_vectorize

DYNAMIC = "numba.dynamic.globals"
APART = 150
"""Number of instructions above which an internal function becomes a kernel (see `standalone`).

With 60 the first gradient of a network takes 0.83 s instead of 0.93 s, but loops become 10 %
slower: smaller functions are better inlined.
"""


class InternalLibrary(JITCodeLibrary):
    """The code of an internal function and of all that it calls, to be linked into callers.

    Numba's queries of LLVM about every function in the code are made once, for the function's own:
    each call of LLVM takes 10 us in nested compilations, since every one of them listens.
    """

    def __init__(self, codegen: Any, name: str) -> None:
        super().__init__(codegen, name)
        self._final_module: Any
        self.is_inlined = self.is_vectorized = False
        self._own: list[str] = []
        self._is_recursive = False

    def add_ir_module(self, ir_module: Any) -> None:
        """Add the function's own code."""
        self._own += [f.name for f in ir_module.functions if f.blocks and not f.linkage]
        if self.is_vectorized:
            let_vectorize(ir_module)
        self._is_recursive |= any(map(calls_itself, ir_module.functions))
        super().add_ir_module(ir_module)

    def finalize(self) -> None:
        """Link in the callees, replace large code by a stub, and do not optimise."""
        # Numba's `finalize` optimises and emits machine code.  The rest of its work is done here:
        # link the code of callees, note globals that bind the code to this process, define
        # environments, and set the linkage of the function's own names.
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._linking_libraries.clear()
        names = [variable.name for variable in self._final_module.global_variables]
        by_address = any(name.startswith(RuntimeLinker.PREFIX) for name in names)
        # Mutually recursive functions call each other through an address that Numba's linker
        # fills in when both are machine code: these must be compiled as Numba does it.
        if by_address or self._is_recursive:
            super().finalize()
            return
        self._dynamic_globals += [name for name in names if name.startswith(DYNAMIC)]
        environments = [name for name in names if name.startswith(ENVIRONMENT)]
        environments += self._cut_off()
        # Python sets the environment of each function through a global in the engine.  This code
        # never enters the engine itself, so a module that has these globals alone does.
        self._environments = str(environment_module(self._codegen, environments))
        self._codegen._engine.add_module(llvm.parse_assembly(self._environments))
        self._codegen._engine.finalize_object()
        # Every caller links a copy: copies are equal, and those no longer called may be dropped.
        for name in self._own:
            self._final_module.get_function(name).linkage = "linkonce_odr"
        self._shared_module = self._final_module
        self._finalized = True

    def _cut_off(self) -> list[str]:
        """Replace large code by a stub; return the environments that the stub refers to."""
        if self.is_inlined or self._dynamic_globals or len(self._own) != 1:
            return []
        text = str(self._final_module)
        stub = cut_off(self, text, self._own[0]) if instructions(text) > APART else None
        if stub is None:
            return []
        self._final_module = stub
        return [variable.name for variable in stub.global_variables]

    def serialize_using_object_code(self) -> Any:
        """Return the state that Numba restores: object code of environments, code to link."""
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
    """Return a module with the globals that Numba sets in the engine, one environment each."""
    module = codegen._create_empty_module("environments")
    pointer = ir.IntType(8).as_pointer()
    for name in names:
        variable = ir.GlobalVariable(module, pointer, name)
        variable.linkage, variable.initializer = "common", pointer(None)
    return module


class Linked:
    """A compiler of internal functions; a base class to be listed before Numba's."""

    state: Any
    is_inlined = is_vectorized = False

    def is_internal(self) -> bool:
        """Whether only compiled code calls the function."""
        return True

    def compile_extra(self, func: Any) -> Any:
        """Compile a Python function."""
        if self.is_internal():
            library = InternalLibrary(self.state.targetctx.codegen(), func.__qualname__)
            library.enable_object_caching()
            library.is_inlined, library.is_vectorized = self.is_inlined, self.is_vectorized
            self.state.library = library
        return super().compile_extra(func)  # type: ignore[misc]

    def _compile_bytecode(self) -> Any:
        """Give the function a name that no other process uses, then go on.

        Numba numbers functions in the order of compilation. Two functions compiled in two
        processes, cached on disk and loaded by a third could have the same name, and the engine
        would use the first of them for both.
        """
        function, number = self.state.func_id, secrets.randbits(48)
        function.unique_id = number
        function.unique_name = f"{function.func_qualname}${number}"
        return super()._compile_bytecode()  # type: ignore[misc]


class InternalCompiler(Linked, Compiler):
    """Numba's compiler for internal functions."""


class InlinedCompiler(InternalCompiler):
    """The same for functions that are always inlined."""

    is_inlined = True


class VectorizedCompiler(InternalCompiler):
    """The same for functions whose calls of mathematical functions may become vector calls."""

    is_vectorized = True
