"""Standalone kernels: machine code under a name that is a digest of what it does.

A large internal function is not linked into its callers (`standalone` says how it is separated).
It is optimised once, its machine code enters the engine under the name
``dualtape.kernel.<digest>``, and callers call that name.  Equal names mean equal code, in every
process.

Code that calls a kernel refers to it by an *environment*.  Numba's code has a global for every
function that was inlined in it, and every cache on disk (ours, and Numba's own of a user's
``njit``, ``guvectorize`` or ``cfunc``) pickles the environments of all such globals with the
code.  A call of a kernel passes the kernel's environment as one more argument, which the kernel
ignores.  So

* whatever calls a kernel, directly or indirectly, has the kernel's environment in its entry;
* pickling that environment writes the kernel to the store, if it is not there already;
* unpickling it loads the kernel and all that it calls; or raises OSError if anything is missing or
  damaged, which Numba's caches and ours treat as a missing entry: it is compiled again.

Before anything enters the engine, all files are read and checked, and all C functions that they
call are known: LLVM ends the process if it cannot find a symbol.

Only the wrapper of a ``guvectorize`` function is cached by Numba without environments: if it
calls kernels that are not in the engine it counts as absent (`_forget_wrappers_without_kernels`).

Numba internals used (seen in 0.66 to 0.68): ``Environment`` (``_memo``, pickled with what refers
to its global), ``IndexDataCacheFile.load`` (an OSError is a miss),
``CodeLibraryCacheImpl.rebuild``, ``_engine._ee``, ``_engine._defined_symbols``, ``set_env``.
"""

from __future__ import annotations

import pickle
import re
from typing import Any, NamedTuple

import llvmlite.binding as llvm
from numba.core.caching import CodeLibraryCacheImpl
from numba.core.compiler_lock import global_compiler_lock
from numba.core.environment import Environment
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

from .cache_entry import environment_of, require_symbols
from .disk_cache import folder, read_sealed, write_sealed

ENVIRONMENT = "_ZN08NumbaEnv"
KERNEL = "dualtape.kernel."
NEEDED = f"{ENVIRONMENT}.{KERNEL}"


class Parts(NamedTuple):
    """The content of a file of the store."""

    needs: tuple[str, ...]
    """The kernels that this one calls."""
    symbols: tuple[str, ...]
    """The C functions and variables that it uses."""
    environments: tuple[tuple[str, str, bytes], ...]
    """Of the functions inlined in it: global in the machine code, module, pickled constants."""
    code: bytes
    """An object file."""


class _KernelEnvironment(Environment):
    """The environment of a kernel; caches store it with the code of the kernel's callers."""

    __slots__ = ("kernel",)

    def can_cache(self) -> bool:
        return True

    def __reduce__(self) -> Any:
        return load, (self.kernel.name if self.kernel.is_kept() else "",)


class _Kernel:
    """A kernel in the engine."""

    def __init__(self, name: str, parts: Parts, *, is_on_disk: bool) -> None:
        self.name = name
        self.parts = parts
        self._is_on_disk = is_on_disk
        self.environment: Any = None
        self._inlined: list[Any] = []  # the engine holds addresses of these environments

    def is_kept(self) -> bool:
        """Write it and all it calls to the store, if necessary; return whether that worked."""
        if not all(_IN_ENGINE[name].is_kept() for name in self.parts.needs):
            return False
        try:
            path = folder() / self.name
            if not (self._is_on_disk and path.exists()):  # a file that was not read may be damaged
                write_sealed(path, dumps(tuple(self.parts)))
                self._is_on_disk = True
        except OSError:
            return False
        return True

    def enter(self, codegen: Any) -> None:
        """Enter it into the engine."""
        engine = codegen._engine
        engine._ee.add_object_file(llvm.ObjectFileRef.from_data(self.parts.code))
        engine._defined_symbols.add(self.name)
        _IN_ENGINE[self.name] = self
        for name, module, constants in self.parts.environments:
            inlined = environment_of(module, pickle.loads(constants), name)
            self._inlined.append(inlined)
            codegen.set_env(name, inlined)
        self.environment = _KernelEnvironment({"__name__": __name__})
        self.environment.env_name = ENVIRONMENT + "." + self.name
        self.environment.kernel = self
        Environment._memo[self.environment.env_name] = self.environment


_IN_ENGINE: dict[str, _Kernel] = {}
"""Kernels by name; like the engine, we keep them forever."""


def enter(codegen: Any, name: str, parts: Parts) -> None:
    """Enter a kernel that was just compiled into the engine."""
    _Kernel(name, parts, is_on_disk=False).enter(codegen)


def load(name: str) -> Any:
    """Return the environment of a kernel, after reading it from the store if necessary.

    Raises
    ------
    OSError
        If it, or a kernel that it calls, is not in the store or cannot be used in this process.
    """
    with global_compiler_lock:
        missing: dict[str, _Kernel] = {}
        _gather(name, missing)
        codegen = cpu_target.target_context.codegen()
        for kernel in missing.values():  # those that are called come first
            kernel.enter(codegen)
        return _IN_ENGINE[name].environment


def calls(module: Any, name: str) -> bool:
    """Whether code calls a C function of this name, directly or in a kernel that it calls."""
    if any(f.name == name for f in module.functions):
        return True
    kernels = [v.name for v in module.global_variables if v.name.startswith(NEEDED)]
    return any(_kernel_calls(variable[len(ENVIRONMENT) + 1 :], name) for variable in kernels)


def _kernel_calls(kernel: str, name: str) -> bool:
    parts = _IN_ENGINE[kernel].parts
    return name in parts.symbols or any(_kernel_calls(other, name) for other in parts.needs)


def _gather(name: str, kernels: dict[str, _Kernel]) -> None:
    """Read a kernel and those it calls, unless they are in the engine."""
    if name in _IN_ENGINE or name in kernels:
        return
    kernel = _read(name)
    for other in kernel.parts.needs:
        _gather(other, kernels)
    kernels[name] = kernel


def _read(name: str) -> _Kernel:
    if not name:
        raise OSError("this kernel could not be written")
    try:
        parts = Parts(*pickle.loads(read_sealed(folder() / name)))
        for _, _, constants in parts.environments:  # must fail before the engine has the code
            pickle.loads(constants)
    except OSError:
        raise
    except Exception as error:  # from a module that no longer exists, for example
        raise OSError(f"{name}: {error}") from error
    require_symbols(parts.symbols, cpu_target.target_context)
    return _Kernel(name, parts, is_on_disk=True)


def _forget_wrappers_without_kernels() -> None:
    """Make Numba's cache of wrappers miss if one calls a kernel that cannot be loaded."""
    rebuild, kernel_name = (
        CodeLibraryCacheImpl.rebuild,
        re.compile(rb"dualtape\.kernel\.[0-9a-f]{40}"),
    )

    def rebuilt(self: Any, target_context: Any, payload: Any) -> Any:
        try:
            for name in set(kernel_name.findall(b"".join(payload[2]))):
                load(name.decode())
        except OSError:
            return None
        return rebuild(self, target_context, payload)

    CodeLibraryCacheImpl.rebuild = rebuilt


_forget_wrappers_without_kernels()
