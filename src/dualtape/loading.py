"""When what registers functions with Numba is imported: once something first compiles.

Some eighty modules of the package register about 1,500 functions and templates.  Only compiling
needs them, so an import of the package, and a process that finds its derivatives on disk, do
without.  Every pass of Numba's compiler is announced by an event; before the first one, of whatever
function (it may name `dualtape`, or hold one of its numbers), all of them are imported.  So the
order in which functions are registered does not depend on what is compiled.

An entry point ``numba_extensions`` would do the same in every process of an environment, for all
who use Numba there, and nothing where the package is found by its path alone.

Code that was found on disk needs less of Numba, too: `Restored` loads it without Numba's own
tables of functions and SciPy's linear algebra, which take Numba 0.4 s.

Numba internals used (seen to work with 0.68): that passes run under the compiler's lock;
``rtsys.initialize``; ``CompileResult._reduce`` and ``_rebuild``; that globals of an environment are
read in object mode only; ``Environment._memo``; ``JitEngine.is_symbol_defined``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import llvmlite.binding
from numba.core import event
from numba.core.caching import CompileResultCacheImpl
from numba.core.environment import Environment, lookup_environment
from numba.core.registry import cpu_target
from numba.core.runtime import rtsys

__all__ = ["Restored", "before_compilation", "prepare"]


class Loader(event.Listener):
    """Calls a function once, before the first pass of Numba's compiler."""

    def __init__(self, load: Callable[[], None]) -> None:
        self._load: Callable[[], None] | None = load

    def on_start(self, event: Any) -> None:
        """Load; a thread that compiles at the same time waits."""
        if self._load is not None:  # passes run under the compiler's lock
            self._load()
            cpu_target.target_context.refresh()  # this compilation looked before
            self._load = None

    def on_end(self, event: Any) -> None:
        """Do nothing."""


def before_compilation(load: Callable[[], None]) -> None:
    """Call `load` before anything is compiled from now on."""
    event.register("numba:run_pass", Loader(load))


class StoredEnvironment(NamedTuple):
    """The constants of a compiled function.

    Its globals are those of a module, which Numba imports to restore them; only object mode reads
    them, and code that was compiled in object mode is not cached.
    """

    module: str | None
    constants: list[Any]
    name: str

    @classmethod
    def of(cls, environment: Any) -> StoredEnvironment:
        """Return what is stored of an environment."""
        return cls(environment.globals.get("__name__"), environment.consts, environment.env_name)

    def restored(self) -> Any:
        """Return the environment of this process."""
        known = lookup_environment(self.name)
        if known is not None:
            return known
        made = Environment({"__name__": self.module})
        made.consts[:] = self.constants
        made.env_name = self.name
        Environment._memo[self.name] = made
        return made


class Restored(CompileResultCacheImpl):
    """How compiled code is stored and restored: with the symbols and environments it needs."""

    def reduce(self, cres: Any) -> Any:
        """Return what is written."""
        library, descriptor, environment, *others, referenced = super().reduce(cres)
        module = cres.library._final_module
        declared = (v for vs in (module.functions, module.global_variables) for v in vs)
        symbols = [v.name for v in declared if v.is_declaration and not v.name.startswith("llvm.")]
        stored = [StoredEnvironment.of(e) for e in (environment, *referenced)]
        return symbols, stored, (library, descriptor), others

    def rebuild(self, target_context: Any, payload: Any) -> Any:
        """Return what was written."""
        symbols, stored, (library, descriptor), others = payload
        require(symbols, target_context)
        environment, *referenced = [e.restored() for e in stored]
        parts = (library, descriptor, environment, *others, tuple(referenced))
        return super().rebuild(target_context, parts)


def prepare(target_context: Any) -> None:
    """Make the context ready to run compiled code, not to compile."""
    rtsys.initialize(target_context)


def require(symbols: list[str], target_context: Any) -> None:
    """Make symbols known that compiled code names: LLVM ends the process where one is not."""
    engine = target_context.codegen()._engine
    known = (llvmlite.binding.address_of_symbol(s) or engine.is_symbol_defined(s) for s in symbols)
    if not all(known):
        target_context.refresh()  # some of Numba's modules define symbols
