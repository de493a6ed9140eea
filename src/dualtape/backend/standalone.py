"""How a function becomes a kernel: the digest that names it, its stub, its machine code.

**The name** is a digest of the function's LLVM code as it is linked but not yet optimised, in which
every name that the file itself defines (of functions, globals, labels, values) is replaced by a
number in the order of appearance: Numba's names contain counters, which differ between processes.
The digest also covers the environments with their constants, the processor with its features,
the versions of Numba and LLVM, and the options of optimisation.  Kernels that it calls appear in
the code under *their* digests, so a name covers everything that is called, as in a Merkle tree, and
no list of dependencies has to be complete: two closures of one factory differ in their code, or are
the same kernel.

**Callers** link a stub with the name that Numba chose, which is inlined and calls the kernel;
nothing else in Numba or in the package notices.

Numba internals used (seen in 0.66 to 0.68): names of environments, ``Environment._memo``,
``library._final_module`` and ``_optimize_final_module``, ``Codegen._tm``, ``_create_empty_module``,
``magic_tuple``.
"""

from __future__ import annotations

import hashlib
import re
import sys
from typing import Any, NamedTuple

import llvmlite
import llvmlite.binding as llvm
import numba
from numba.core import config
from numba.core.environment import Environment
from numba.core.serialize import dumps

from .cache_entry import undefined
from .kernel_store import ENVIRONMENT, KERNEL, NEEDED, Parts, enter, load


def instructions(text: str) -> int:
    """Return roughly how many instructions LLVM code has: the lines indented by two."""
    return text.count("\n  ")


class _Face(NamedTuple):
    """How a function is called."""

    own: str
    """The name that Numba gave it."""
    name: str
    """The name of the kernel."""
    returned: str
    parameters: list[str]

    def call(self, callee: str, more: str = "") -> str:
        """Return code that calls `callee` with the function's arguments and returns its result."""
        call = f'call {self.returned} @"{callee}"({", ".join(self.parameters)}{more})'
        if self.returned == "void":
            return f"{call}\n ret void"
        return f"%result = {call}\n ret {self.returned} %result"

    def with_environment(self, parameter_name: str = "") -> str:
        """Return the parameters of the kernel."""
        return ", ".join([*self.parameters, f"ptr{parameter_name}"])


def cut_off(library: Any, text: str, own: str) -> Any:
    """Turn the code of a library into a kernel.

    Parameters
    ----------
    library : InternalLibrary
        Linked with what it calls, not optimised.
    text : str
        Its LLVM code.
    own : str
        The one function that is called from outside.

    Returns
    -------
    module or None
        The stub for callers to link; None if the code cannot be a kernel: it has environments that
        no other process could rebuild, or parts that a digest of the text would not cover.
    """
    module, codegen = library._final_module, library._codegen
    if _NAMED_TYPE.search(text) or "thread_local" in text:
        return None
    environments = _inlined_environments(module)
    if environments is None:
        return None
    everything = [*module.functions, *module.global_variables]
    fixed_names = {v.name for v in everything if v.is_declaration or v.name.startswith(NEEDED)}
    digest = hashlib.sha256(_without_names(text, fixed_names, own).encode())
    digest.update(repr(([e[1:] for e in environments], _circumstances(codegen))).encode())
    name = KERNEL + digest.hexdigest()[:40]
    face = _face_of(module.get_function(own), name)
    try:
        load(name)
    except OSError:
        enter(codegen, name, _compiled(library, face, environments))
    return _stub(codegen, face)


def _inlined_environments(module: Any) -> list[tuple[Any, str, bytes]] | None:
    """Return (global, module, pickled constants) of inlined functions; None if one has no module.

    The functions that Numba generates for array expressions belong to no module and do not use
    their environments, which Numba's caches omit, too: such globals stay empty.
    """
    environments = []
    for variable in module.global_variables:
        if not variable.name.startswith(ENVIRONMENT) or variable.name.startswith(NEEDED):
            continue
        environment = Environment._memo.get(variable.name)
        if environment is None or not (environment.can_cache() or environment.consts):
            environments.append((variable, "", b""))
            continue
        name = environment.globals.get("__name__", "")
        home = sys.modules.get(name)
        if home is None or home.__dict__ is not environment.globals:  # by exec, for example
            return None
        try:
            constants = dumps(list(environment.consts))
        except Exception:  # pickling may raise anything
            return None
        environments.append((variable, name, constants))
    return environments


_TOKEN = re.compile(
    r'(?P<message>\[\d+ x i8\] c"missing Environment: [^"]*")|(?P<scope>!"_Z[^"]*")'
    r'|(?P<define>^define )|(?P<label>^(?:"[^"]*"|[-\w$.]+)(?=:))|(?P<text>c?"[^"]*")'
    r'|@(?P<far>"[^"]*"|[-\w$.]+)|%(?P<near>"[^"]*"|[-\w$.]+)',
    re.MULTILINE,
)
_UNNAMED = re.compile(r"^(?:; ModuleID|source_filename).*\n", re.MULTILINE)
_NAMED_TYPE = re.compile(r"^%.* = type ", re.MULTILINE)


def _without_names(text: str, fixed_names: set[str], own: str) -> str:
    """Return LLVM code in which names, except fixed ones, are numbers in order of appearance.

    Quoted texts stay, and labels are numbered together with the values of their function, so that
    two programs that differ by exchanged branches stay different.  The number of `own` comes last:
    a file with two functions can be two kernels.
    """
    far: dict[str, str] = {}
    near: dict[str, str] = {}

    def renamed(match: re.Match[str]) -> str:
        kind, token = match.lastgroup, match.group()
        if kind == "far":
            name = match["far"].strip('"')
            return token if name in fixed_names else far.setdefault(name, f"@{len(far)}")
        if kind in ("near", "label"):
            return near.setdefault(match[kind].strip('"'), f"%{len(near)}")
        if kind in ("message", "scope"):  # irrelevant, and contain Numba's counters
            return ""
        if kind == "define":
            near.clear()
        return token

    return _TOKEN.sub(renamed, _UNNAMED.sub("", text)) + far[own]


def _circumstances(codegen: Any) -> tuple[Any, ...]:
    """Return the target, the optimisation options and the versions of the compilers."""
    options = (config.OPT, config.LOOP_VECTORIZE, config.SLP_VECTORIZE, config.LLVM_REFPRUNE_PASS)
    versions = (numba.__version__, llvmlite.__version__, llvm.llvm_version_info)
    return (*codegen.magic_tuple(), *map(str, options), *versions)


def _face_of(function: Any, name: str) -> _Face:
    parameters = [
        f"{a.type} {' '.join(_kept_attributes(a))} %p{i}" for i, a in enumerate(function.arguments)
    ]
    returned = str(function.global_value_type).partition("(")[0].strip()
    return _Face(function.name, name, returned, parameters)


def _kept_attributes(argument: Any) -> list[str]:
    """Return the attributes of an argument that help to optimise the caller."""
    words = [a.decode() if isinstance(a, bytes) else str(a) for a in argument.attributes]
    return [w for w in words if w in ("noalias", "captures(none)", "nocapture")]


def _stub(codegen: Any, face: _Face) -> Any:
    """Return the module that callers link."""
    environment = f'@"{ENVIRONMENT}.{face.name}"'
    header = f'{face.returned} @"{face.own}"({", ".join(face.parameters)})'
    return _module(
        codegen,
        face.name,
        f"""
        {environment} = common global ptr null
        declare {face.returned} @"{face.name}"({face.with_environment()})
        define linkonce_odr {header} alwaysinline {{
          {face.call(face.name, f", ptr {environment}")}
        }}""",
    )


def _module(codegen: Any, name: str, text: str) -> Any:
    return llvm.parse_assembly(f"{codegen._create_empty_module(name)}\n{text}")


def _compiled(library: Any, face: _Face, environments: list[tuple[Any, str, bytes]]) -> Parts:
    """Optimise a kernel and return the content of its file."""
    module, codegen = library._final_module, library._codegen
    entry = _module(
        codegen,
        face.name,
        f"""
        declare {face.returned} @"{face.own}"({", ".join(face.parameters)})
        define {face.returned} @"{face.name}"({face.with_environment(" %environment")}) {{
          {face.call(face.own)}
        }}""",
    )
    module.link_in(entry)
    _make_internal(module, face.name)
    for number, (variable, _, _) in enumerate(environments):
        variable.name = f"{face.name}.environment{number}"
    entered = tuple(
        (variable.name, home, consts) for variable, home, consts in environments if home
    )
    library._optimize_final_module()
    module = library._final_module
    module.verify()
    start = len(ENVIRONMENT) + 1
    needs = (v.name[start:] for v in module.global_variables if v.name.startswith(NEEDED))
    declared = undefined([*module.functions, *module.global_variables])
    symbols = (name for name in declared if not name.startswith(KERNEL))
    return Parts(tuple(needs), tuple(symbols), entered, bytes(codegen._tm.emit_object(module)))


def _make_internal(module: Any, name: str) -> None:
    """Make every function but the kernel itself internal, under a name of its own.

    The engine finds even local symbols of one file from others by name, and LLVM specializes
    internal functions for their calls in this file (an NRT_incref without its test for null was
    called by code that was loaded later).
    """
    for number, function in enumerate(module.functions):
        if not function.is_declaration and function.name != name:
            function.linkage = "internal"
            function.name = f"{name}.function{number}"
