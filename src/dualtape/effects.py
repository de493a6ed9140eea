"""What users' functions do to their arguments: write to them, return views of them, join them.

The analysis of a function (see `aliasing`) needs that of what it calls.  It is remembered for how
deep the arguments may hold arrays: ``a + b`` is new for arrays, and holds both for tuples.

Numba internals used (seen in 0.66 to 0.68): ``compiler.run_frontend``,
``typing_context._lookup_global``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba.core import ir, types
from numba.core.compiler import run_frontend
from numba.core.registry import cpu_target

from .aliasing import Aliases
from .known import is_library
from .memory import remembered
from .numbertype import PLAIN, NumberType
from .scalars import scalars_of
from .showing import DEEPEST, Effects

__all__ = ["depth_of_type", "effects_of_call", "effects_on"]


def depth_of_type(ty: Any) -> int:
    """Return how deep arrays may be in containers in an argument of this type."""
    ty = types.unliteral(ty)
    if isinstance(ty, types.Omitted):
        return DEEPEST if isinstance(ty.value, tuple) else 0
    if isinstance(ty, types.BaseTuple):
        return min(DEEPEST, 1 + max(map(depth_of_type, ty), default=0))
    if isinstance(ty, types.List | types.ListType):
        return min(DEEPEST, 1 + depth_of_type(ty.dtype))
    flat = types.Array | types.UnicodeType | types.NoneType | types.Dispatcher | types.DTypeSpec
    flat |= types.NumPyRandomGeneratorType
    return 0 if isinstance(ty, (flat, NumberType, *PLAIN)) else DEEPEST


def analyzed(function: Any) -> FunctionType | None:
    """Return the source of a function that can be analyzed, or None."""
    if getattr(function, "copies_arguments", False):  # what a transform made
        return None
    py_func = getattr(function, "py_func", function)
    if not isinstance(py_func, FunctionType) or is_library(py_func):
        return None
    if py_func is function and cpu_target.typing_context._lookup_global(function) is not None:
        return None  # Numba knows it by an overload, and does not read its source
    return py_func


def effects_of_call(
    function: Any, expr: Any, depth_of: Callable[[str], int]
) -> tuple[Effects, dict[int, list[Any]]] | None:
    """Return what a called function does, and the variables that it is given by position.

    Parameters
    ----------
    function : object
        What is called.
    expr : numba ir.Expr
        The call.
    depth_of : callable
        How deep arrays may be in containers in a variable.

    Returns
    -------
    tuple or None
        None if the function has no source that could be analyzed.
    """
    py_func = analyzed(function)
    if py_func is None:
        return None
    names, star = _parameters(py_func)
    given: dict[int, list[Any]] = {}
    for i, var in enumerate(expr.args):
        given.setdefault(i if star is None else min(i, star), []).append(var)
    for name, var in expr.kws:
        if name in names:
            given.setdefault(names.index(name), []).append(var)
    if expr.vararg is not None:
        for i in range(len(expr.args), len(names)):
            given.setdefault(i, []).append(expr.vararg)
    depths = {i: max(depth_of(var.name) for var in found) for i, found in given.items()}
    return effects_of(py_func, _in_order(depths, star)), given


def effects_on(function: Any, arg_types: Any) -> Effects:
    """Return what a function does to arguments of these types; nothing if it is a library's.

    The types tell more than `effects_of_call` knows: what is a number shows no array.
    """
    py_func = analyzed(function)
    if py_func is None:
        return Effects()
    names, star = _parameters(py_func)
    depths: dict[int, int] = {}
    for i, ty in enumerate(arg_types):
        at = i if star is None else min(i, star)
        depths[at] = max(depths.get(at, 0), depth_of_type(ty))
    func_ir = run_frontend(py_func)
    is_whole = star is None and len(names) == len(arg_types)
    scalars = scalars_of(func_ir, arg_types) if is_whole else set()
    given = _in_order(depths, star)
    found = _found(Aliases(func_ir, effects_of_call, given, scalars, appends=True))
    if star is None:
        return found
    rest = frozenset(range(star, len(arg_types)))
    return found._replace(
        stored=found.stored | (rest if star in found.stored else frozenset()),
        written=found.written | (rest if star in found.written else frozenset()),
    )


def _parameters(py_func: FunctionType) -> tuple[list[str], int | None]:
    """Return the names of a function's parameters, and the position of ``*args``."""
    parameters = inspect.signature(py_func).parameters
    kinds = [parameter.kind for parameter in parameters.values()]
    star = inspect.Parameter.VAR_POSITIONAL
    return list(parameters), kinds.index(star) if star in kinds else None


def _in_order(depths: dict[int, int], star: int | None) -> tuple[int, ...]:
    """Return depths by position, without zeros at the end."""
    if star in depths:
        depths = depths | {star: min(DEEPEST, 1 + depths[star])}
    last = max((i for i, depth in depths.items() if depth), default=-1)
    return tuple(depths.get(i, 0) for i in range(last + 1))


_under_way: dict[Any, Effects] = {}
"""Functions that are being analyzed, with what is known of them so far."""
_asked: set[Any] = set()
"""Those of them whose effects, as far as known, went into others."""


def effects_of(py_func: FunctionType, depths: tuple[int, ...]) -> Effects:
    """Return what a function does to its arguments, which hold arrays so deep."""
    memory: dict[Any, Effects] = remembered(py_func, "effects", dict)
    key = py_func, depths
    if key in _under_way:  # recursion: what is known so far, until nothing is added
        _asked.add(key)
        return _under_way[key]
    if depths not in memory:
        _under_way[key] = Effects()
        try:
            found = _settled(key)
        finally:
            del _under_way[key]
            _asked.discard(key)
        if _asked:  # more may become known
            return found
        memory[depths] = found
    return memory[depths]


def _settled(key: tuple[FunctionType, tuple[int, ...]]) -> Effects:
    py_func, depths = key
    func_ir = run_frontend(py_func)
    while True:
        found = _found(Aliases(func_ir, effects_of_call, depths, appends=True))
        if key not in _asked or found == _under_way[key]:
            return found
        _under_way[key] = found


def _found(aliases: Aliases) -> Effects:
    arguments = {
        statement.target.name: statement.value.index
        for statement in aliases.statements()
        if isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Arg)
    }

    def positions(roots: Any) -> frozenset[int]:
        return frozenset(arguments[name] for name in roots if name in arguments)

    returned = [s.value for s in aliases.statements() if isinstance(s, ir.Return)]
    yields = [getattr(s, "value", None) for s in aliases.statements()]
    yielded = [made.value for made in yields if isinstance(made, ir.Yield)]
    results = [*returned, *yielded]
    joined = [
        (positions({name}), positions(root for item in held for root in aliases.roots(item)))
        for name, held in aliases.joined()
    ]
    return Effects(
        stored=positions(aliases.stored()),
        written=positions(aliases.written()),
        returned=positions(root for var in results for root in aliases.roots(var.name)),
        joined=frozenset((i, j) for into, held in joined for i in into for j in held if i != j),
        depth=DEEPEST if yielded else max((aliases.depth(var.name) for var in results), default=0),
    )
