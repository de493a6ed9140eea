"""What an entry of the cache holds, and how it becomes code of this process again.

Code that was found on disk needs less of Numba than compiling does: it is loaded without Numba's
tables of functions and SciPy's linear algebra, which take Numba 0.4 s.

Numba internals used (seen in 0.66 to 0.68): ``CompileResult._reduce`` and ``_rebuild``;
``rtsys.initialize``; that globals of an environment are read in object mode only;
``Environment._memo``; ``JitEngine.is_symbol_defined``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import llvmlite.binding
from numba.core.environment import Environment, lookup_environment

__all__ = ["environment_of", "reduced", "require_symbols", "restored", "undefined"]


class StoredEnvironment(NamedTuple):
    """The constants of a compiled function.

    Its globals are those of a module, which Numba imports to restore them; only object mode reads
    them, and code that was compiled in object mode is not cached.
    """

    module: str | None
    constants: list[Any]
    name: str

    def restored(self) -> Any:
        """Return the environment of this process."""
        known = lookup_environment(self.name)
        if known is not None:
            return known
        made = environment_of(self.module, self.constants, self.name)
        Environment._memo[self.name] = made
        return made


def environment_of(module: str | None, constants: list[Any], name: str) -> Any:
    """Return a new environment."""
    made = Environment({"__name__": module})
    made.consts[:] = constants
    made.env_name = name
    return made


def reduced(cres: Any) -> Any:
    """Return what is written of a compiled function."""
    library, descriptor, environment, *others, referenced = cres._reduce()
    module = cres.library._final_module
    declared = undefined([*module.functions, *module.global_variables])
    stored = [_stored(e) for e in (environment, *referenced)]
    return declared, stored, (library, descriptor), others


def _stored(environment: Any) -> Any:
    if type(environment) is not Environment:  # one that loads the kernel it stands for
        return environment
    name = environment.globals.get("__name__")
    return StoredEnvironment(name, environment.consts, environment.env_name)


def undefined(values: list[Any]) -> list[str]:
    """Return the names of those LLVM values that another file defines."""
    return [v.name for v in values if v.is_declaration and not v.name.startswith("llvm.")]


def restored(target_context: Any, payload: Any) -> Any:
    """Return the compiled function that was written."""
    from numba.core.compiler import CompileResult  # noqa: PLC0415  # slow to import

    declared, stored, (library, descriptor), others = payload
    require_symbols(declared, target_context)
    environment, *referenced = [
        e.restored() if isinstance(e, StoredEnvironment) else e for e in stored
    ]
    parts = (library, descriptor, environment, *others, tuple(referenced))
    return CompileResult._rebuild(target_context, *parts)


def require_symbols(names: list[str] | tuple[str, ...], target_context: Any) -> None:
    """Make symbols known that compiled code names: LLVM ends the process where one is not.

    Raises
    ------
    OSError
        If this process does not have one of them: then the code counts as absent.
    """
    engine = target_context.codegen()._engine

    def missing() -> list[str]:
        known = (
            llvmlite.binding.address_of_symbol(n) or engine.is_symbol_defined(n) for n in names
        )
        return [name for name, is_known in zip(names, known, strict=True) if not is_known]

    if missing():
        target_context.refresh()  # some of Numba's modules define symbols
        if missing():
            raise OSError(f"not in this process: {', '.join(missing())}")
