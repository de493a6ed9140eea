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

from .copies import owner_of
from .libraries import CUSTOM_RULES, is_library
from .objects import Members, is_object, members_of

_LIBRARIES = ("numpy", "math", "scipy", "numba", "dualtape")


class _Absent:
    """The value of a name that is not bound."""

    def __repr__(self) -> str:
        return "nothing"


ABSENT = _Absent()


class Binding(NamedTuple):
    """A name, or a member of a module or an object, and what it is bound to."""

    holder: dict[str, Any] | CellType | Members
    key: str
    label: str
    value: Any


def bindings(function: FunctionType) -> Iterator[Binding]:
    """Yield the outside names in a function's code; of modules and objects the members it uses.

    Names that are not bound are included, unless they are built in: they may be bound later.
    """
    scope, code, owner = function.__globals__, function.__code__, owner_of(function)
    if owner is not None:
        yield from _members(owner, code.co_varnames[0], _attribute_names(code), {id(owner)})
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        value = contents(cell)
        yield Binding(cell, name, name, value)
        if is_object(value):
            yield from _members(value, name, _attribute_names(code), {id(value)})
    for name in _global_names(code):
        value = scope.get(name, ABSENT)
        if value is ABSENT and hasattr(builtins, name):
            continue
        yield Binding(scope, name, name, value)
        if isinstance(value, ModuleType) or is_object(value):
            yield from _members(value, name, _attribute_names(code), {id(value)})


def contents(cell: CellType) -> Any:
    """Return what a closure's cell holds."""
    try:
        return cell.cell_contents
    except ValueError:
        return ABSENT


def _members(owner: Any, label: str, names: tuple[str, ...], seen: set[int]) -> Iterator[Binding]:
    """Yield members of a module or object with these names; of libraries those with a rule."""
    is_module = isinstance(owner, ModuleType)
    library = is_module and owner.__name__.partition(".")[0] in _LIBRARIES
    space: Any = vars(owner) if is_module else members_of(owner)
    for name in names:
        value = space.get(name, ABSENT)
        if isinstance(value, ModuleType) or (not library and is_object(value)):
            if not isinstance(value, ModuleType):
                yield Binding(space, name, f"{label}.{name}", value)
            if id(value) not in seen:
                seen.add(id(value))
                yield from _members(value, f"{label}.{name}", names, seen)
        elif value is not ABSENT and (not library or rule_of(value) is not None):
            yield Binding(space, name, f"{label}.{name}", value)


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
