"""What a function reads from outside: globals, members of modules, closures, and those of helpers.

Compiled code contains these as constants.  The digest of a derivative on disk covers their values
(`fingerprint`), and results in this process are valid as long as they do not change (`memo`).
"""

from __future__ import annotations

import builtins
import dis
import functools
from collections.abc import Iterator
from types import CellType, CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from .libraries import CUSTOM_RULES, is_library

_LIBRARIES = ("numpy", "math", "scipy", "numba", "dualtape")


class _Absent:
    """The value of a name that is not bound."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


class Binding(NamedTuple):
    """A name, or a member of a module, and what it is bound to."""

    holder: dict[str, Any] | CellType
    key: str
    label: str
    value: Any


def bindings(function: FunctionType) -> Iterator[Binding]:
    """Yield the outside names in the code of a function; of modules also the members it uses.

    Names that are not bound are included, unless they are built in: they may be bound later.
    """
    names = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for name, cell in names:
        yield Binding(cell, name, name, contents(cell))
    scope, code = function.__globals__, function.__code__
    for name in _global_names(code):
        value = scope.get(name, ABSENT)
        if value is ABSENT and hasattr(builtins, name):
            continue
        yield Binding(scope, name, name, value)
        if isinstance(value, ModuleType):
            yield from _members(value, name, _attribute_names(code), {id(value)})


def contents(cell: CellType) -> Any:
    """Return what a closure's cell holds."""
    try:
        return cell.cell_contents
    except ValueError:
        return ABSENT


def _members(
    module: ModuleType, label: str, names: tuple[str, ...], seen: set[int]
) -> Iterator[Binding]:
    """Yield members of a module with these names; of libraries only those with a custom rule."""
    library = module.__name__.partition(".")[0] in _LIBRARIES
    for name in names:
        value = vars(module).get(name, ABSENT)
        if isinstance(value, ModuleType):
            if id(value) not in seen:
                seen.add(id(value))
                yield from _members(value, f"{label}.{name}", names, seen)
        elif value is not ABSENT and (not library or rule_of(value) is not None):
            yield Binding(vars(module), name, f"{label}.{name}", value)


def nested_code(code: CodeType) -> Iterator[CodeType]:
    """Yield a code object and those of the functions and comprehensions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from nested_code(constant)


@functools.lru_cache(1024)
def _global_names(code: CodeType) -> tuple[str, ...]:
    loads = ("LOAD_GLOBAL", "LOAD_NAME")
    steps = (step for part in nested_code(code) for step in dis.get_instructions(part))
    return tuple(dict.fromkeys(step.argval for step in steps if step.opname in loads))


@functools.lru_cache(1024)
def _attribute_names(code: CodeType) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for part in nested_code(code) for name in part.co_names))


def copy_function(
    function: Any,
    scope: dict[str, Any] | None = None,
    closure: tuple[CellType, ...] | None = None,
) -> FunctionType:
    """Return a copy of a function, with other globals and another closure if these are given.

    Numba cannot compile a function while it compiles that function, but can compile a copy.
    """
    copy = FunctionType(
        function.__code__,
        function.__globals__ if scope is None else scope,
        function.__name__,
        function.__defaults__,
        function.__closure__ if closure is None else closure,
    )
    copy.__kwdefaults__, copy.__doc__ = function.__kwdefaults__, function.__doc__
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy


def rule_of(value: Any) -> Any:
    """Return the user's rule for a function, or None."""
    return CUSTOM_RULES.get(value) if callable(value) and value.__hash__ is not None else None


def is_named_by_library(binding: Binding) -> bool:
    """Whether a binding is a module, or a library's function or class under its own name."""
    value = binding.value
    if isinstance(value, ModuleType):
        return True
    is_definition = callable(value) and getattr(value, "__name__", None) == binding.key
    return is_definition and is_library(value) and rule_of(value) is None


def factors_matrices(function: Any, seen: frozenset[int] = frozenset()) -> bool:
    """Whether a function, or one that it calls, uses a matrix factorization of np.linalg."""
    function = getattr(function, "py_func", function)
    if not isinstance(function, FunctionType) or is_library(function) or id(function) in seen:
        return False
    names = _attribute_names(function.__code__)
    if "linalg" in names and not _FACTORING.isdisjoint(names):
        return True
    values = [binding.value for binding in bindings(function)]
    is_named = any(
        getattr(value, "__module__", None) == "numpy.linalg" and value.__name__ in _FACTORING
        for value in values
    )
    return is_named or any(factors_matrices(value, seen | {id(function)}) for value in values)


_FACTORING = frozenset(["solve", "inv", "det", "slogdet", "cholesky", "eigh", "eigvalsh", "lstsq"])
