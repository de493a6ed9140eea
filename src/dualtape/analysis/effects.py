"""Effects of users' functions on their arguments: writing to them, returning views, joining them.

The analysis of a function (see `writes`) needs those of the functions it calls.  The result depends
on, and is cached for, the nesting depth of arrays in the arguments: ``a + b`` is new for arrays,
and contains both for tuples.

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
from numba.np.ufunc.gufunc import GUFunc

from ..functions.libraries import is_library
from ..functions.memo import remembered
from ..functions.objects import plain_function
from ..numbers.types import PLAIN, NumberType, PlanesType
from .rewriting import statements
from .scalars import scalars_of
from .sharing import DEEPEST, Effects
from .writes import Aliases


def depth_of_type(ty: Any) -> int:
    """Return how deeply arrays may be nested in containers in an argument of this type."""
    ty = types.unliteral(ty)
    if isinstance(ty, types.Omitted):
        return DEEPEST if isinstance(ty.value, tuple) else 0
    if isinstance(ty, types.BaseTuple):
        return min(DEEPEST, 1 + max(map(depth_of_type, ty), default=0))
    if isinstance(ty, types.List | types.ListType):
        return min(DEEPEST, 1 + depth_of_type(ty.dtype))
    flat = (
        types.Array
        | PlanesType
        | types.UnicodeType
        | types.NoneType
        | types.Dispatcher
        | types.DTypeSpec
    )
    flat |= types.NumPyRandomGeneratorType
    return 0 if isinstance(ty, (flat, NumberType, *PLAIN)) else DEEPEST


def analyzed(function: Any) -> FunctionType | None:
    """Return the source of a function that can be analyzed, or None."""
    function = plain_function(function)
    function = getattr(function, "effects_like", function)
    if isinstance(function, GUFunc):
        function = function._dispatcher
    if getattr(function, "copies_arguments", False):  # the result of a transform
        return None
    py_func = getattr(function, "py_func", function)
    if not isinstance(py_func, FunctionType) or is_library(py_func):
        return None
    if py_func is function and cpu_target.typing_context._lookup_global(function) is not None:
        return None  # an overload, whose Python source is not compiled
    return py_func


def effects_of_call(
    function: Any, expr: Any, depth_of: Callable[[str], int]
) -> tuple[Effects, dict[int, list[Any]]] | None:
    """Return the effects of a call, and the variables passed for each parameter.

    Parameters
    ----------
    function : object
        The called object.
    expr : numba ir.Expr
        The call.
    depth_of : callable
        How deeply arrays may be nested in containers in a variable.

    Returns
    -------
    tuple or None
        None if the function has no source that could be analyzed.
    """
    py_func = analyzed(function)
    if py_func is None:
        return None
    names, star = _parameters(py_func)
    by_position: dict[int, list[Any]] = {}
    for i, var in enumerate(expr.args):
        by_position.setdefault(i if star is None else min(i, star), []).append(var)
    for name, var in expr.kws:
        if name in names:
            by_position.setdefault(names.index(name), []).append(var)
    if expr.vararg is not None:
        for i in range(len(expr.args), len(names)):
            by_position.setdefault(i, []).append(expr.vararg)
    depths = {
        i: max(depth_of(var.name) for var in variables) for i, variables in by_position.items()
    }
    return effects_of(py_func, _in_order(depths, star)), by_position


def effects_on(function: Any, arg_types: Any) -> Effects:
    """Return the effects of a function on arguments of these types; none if it is a library's.

    With types the result is more precise than that of `effects_of_call`: numbers show no array.
    """
    py_func = analyzed(function)
    if py_func is None:
        return Effects()
    names, star = _parameters(py_func)
    depths: dict[int, int] = {}
    for i, ty in enumerate(arg_types):
        position = i if star is None else min(i, star)
        depths[position] = max(depths.get(position, 0), depth_of_type(ty))
    func_ir = run_frontend(py_func)
    is_whole = star is None and len(names) == len(arg_types)
    scalars = scalars_of(func_ir, arg_types) if is_whole else set()
    argument_depths = _in_order(depths, star)
    effects = _effects_of(Aliases(func_ir, effects_of_call, argument_depths, scalars, appends=True))
    if star is None:
        return effects
    rest = frozenset(range(star, len(arg_types)))
    return effects._replace(
        stored=effects.stored | (rest if star in effects.stored else frozenset()),
        written=effects.written | (rest if star in effects.written else frozenset()),
        exposed=effects.exposed | (rest if star in effects.exposed else frozenset()),
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
"""Functions that are being analyzed, with their effects so far."""
_used_early: set[Any] = set()
"""Those of them whose incomplete effects were used for others."""


def effects_of(py_func: FunctionType, depths: tuple[int, ...]) -> Effects:
    """Return the effects of a function on arguments with arrays at these depths."""
    memory: dict[Any, Effects] = remembered(py_func, "effects", dict)
    key = py_func, depths
    if key in _under_way:  # recursion: use the effects so far, and repeat until none are added
        _used_early.add(key)
        return _under_way[key]
    if depths not in memory:
        _under_way[key] = Effects()
        try:
            effects = _fixed_point(key)
        finally:
            del _under_way[key]
            _used_early.discard(key)
        if _used_early:  # the effects may still grow
            return effects
        memory[depths] = effects
    return memory[depths]


def _fixed_point(key: tuple[FunctionType, tuple[int, ...]]) -> Effects:
    py_func, depths = key
    func_ir = run_frontend(py_func)
    while True:
        effects = _effects_of(Aliases(func_ir, effects_of_call, depths, appends=True))
        if key not in _used_early or effects == _under_way[key]:
            return effects
        _under_way[key] = effects


def _effects_of(aliases: Aliases) -> Effects:
    arguments = {
        statement.target.name: statement.value.index
        for statement in statements(aliases.func_ir)
        if isinstance(statement, ir.Assign) and isinstance(statement.value, ir.Arg)
    }

    def positions(roots: Any) -> frozenset[int]:
        return frozenset(arguments[name] for name in roots if name in arguments)

    returned = [s.value for s in statements(aliases.func_ir) if isinstance(s, ir.Return)]
    yields = [getattr(s, "value", None) for s in statements(aliases.func_ir)]
    yielded = [value.value for value in yields if isinstance(value, ir.Yield)]
    results = [*returned, *yielded]
    pairs = [
        (positions({name}), positions(root for item in items for root in aliases.roots(item)))
        for name, items in aliases.joined()
    ]
    return Effects(
        stored=positions(aliases.stored_roots()),
        written=positions(aliases.written_roots()),
        exposed=positions(aliases.exposed_roots()),
        returned=positions(root for var in results for root in aliases.roots(var.name)),
        joined=frozenset((i, j) for into, items in pairs for i in into for j in items if i != j),
        depth=DEEPEST if yielded else max((aliases.depth(var.name) for var in results), default=0),
    )
