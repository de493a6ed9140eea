"""The content of a cache entry, and how it becomes code of this process again.

Code from disk needs less of Numba than compiling does: it is loaded without Numba's tables of
functions and without SciPy's linear algebra, which take Numba 0.4 s.

Numba internals used (seen in 0.66 to 0.68): ``CompileResult._reduce`` and ``_rebuild``;
``rtsys.initialize``; that globals of an environment are read in object mode only;
``Environment._memo``; ``JitEngine.is_symbol_defined``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import llvmlite.binding
from numba.core.environment import Environment, lookup_environment


class StoredEnvironment(NamedTuple):
    """The constants of a compiled function.

    Its globals are those of a module, which Numba imports to restore them; only object mode reads
    them, and code that was compiled in object mode is not cached.
    """

    module: str | None
    constants: list[Any]
    name: str

    def restore(self) -> Any:
        """Return the environment of this process."""
        existing = lookup_environment(self.name)
        if existing is not None:
            return existing
        environment = environment_of(self.module, self.constants, self.name)
        Environment._memo[self.name] = environment
        return environment


def environment_of(module: str | None, constants: list[Any], name: str) -> Any:
    """Return a new environment."""
    environment = Environment({"__name__": module})
    environment.consts[:] = constants
    environment.env_name = name
    return environment


def payload_of(cres: Any) -> Any:
    """Return the parts of a compiled function that are written to disk."""
    library, descriptor, environment, *others, referenced = cres._reduce()
    module = cres.library._final_module
    declared = undefined([*module.functions, *module.global_variables])
    environments = [_storable(e) for e in (environment, *referenced)]
    return declared, environments, (library, descriptor), others


def _storable(environment: Any) -> Any:
    if type(environment) is not Environment:  # a kernel's, which loads that kernel
        return environment
    name = environment.globals.get("__name__")
    return StoredEnvironment(name, environment.consts, environment.env_name)


def undefined(values: list[Any]) -> list[str]:
    """Return the names of the LLVM values that another file defines."""
    return [v.name for v in values if v.is_declaration and not v.name.startswith("llvm.")]


def restore(target_context: Any, payload: Any) -> Any:
    """Return the compiled function of a payload."""
    from numba.core.compiler import CompileResult  # noqa: PLC0415  # slow to import

    declared, environments, (library, descriptor), others = payload
    require_symbols(declared, target_context)
    environment, *referenced = [
        e.restore() if isinstance(e, StoredEnvironment) else e for e in environments
    ]
    parts = (library, descriptor, environment, *others, tuple(referenced))
    return CompileResult._rebuild(target_context, *parts)


def require_symbols(names: list[str] | tuple[str, ...], target_context: Any) -> None:
    """Ensure that the symbols in compiled code are defined: LLVM ends the process if one is not.

    Raises
    ------
    OSError
        If this process lacks one of them: the code then counts as absent.
    """
    engine = target_context.codegen()._engine

    def missing() -> list[str]:
        is_defined = (
            llvmlite.binding.address_of_symbol(n) or engine.is_symbol_defined(n) for n in names
        )
        return [name for name, found in zip(names, is_defined, strict=True) if not found]

    if missing():
        target_context.refresh()  # some of Numba's modules define symbols
        if missing():
            raise OSError(f"not in this process: {', '.join(missing())}")
