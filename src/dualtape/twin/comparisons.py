"""Results that depend on inputs through comparisons only, of which a warning tells.

A bisection returns the middle of an interval whose ends were chosen by comparing active numbers:
plain numbers, so the derivative is zero, although the root depends on the parameters.  The types
know it: the arguments are active, active numbers are compared, the result is a plain float.  Told
of are the differentiated function, and functions it calls that compare inside of a loop (a step
like ``1.0 if x > 0.0 else 0.0`` is what it is).

Numba internals used (seen in 0.66 to 0.68): ``typemap`` and ``return_type`` of a compiler's state.
"""

from __future__ import annotations

import weakref
from typing import Any

from numba.core import ir, types
from numba.core.analysis import compute_cfg_from_blocks

from ..analysis.increments import COMPARISONS
from ..functions.libraries import is_package_file, warn_user
from ..numbers.types import NumberType, highest_number

_TOLD: weakref.WeakSet[Any] = weakref.WeakSet()
"""The code of functions of which a warning has told."""


def note_comparisons(state: Any) -> None:
    """Note where a twin compares active numbers; types must be inferred."""
    if highest_number(types.Tuple(state.args)) is None or state.twin is None:
        return
    loops = compute_cfg_from_blocks(state.func_ir.blocks).loops().values()
    in_loops = {label for loop in loops for label in loop.body}
    found = [
        (label in in_loops, loc)
        for label, block in state.func_ir.blocks.items()
        for loc in (_compared_at(statement, state.typemap) for statement in block.body)
        if loc is not None
    ]
    if not found:
        return
    repeated = [loc for is_repeated, loc in found if is_repeated]
    state.twin.compared = repeated[0] if repeated else found[0][1]
    if repeated and is_constant(state.return_type):
        warn_of_comparisons(state.twin)


def _compared_at(statement: Any, typemap: Any) -> Any:
    """Return the line in which active numbers are compared, here or in a function called."""
    expr = getattr(statement, "value", None)
    if not isinstance(statement, ir.Assign) or not isinstance(expr, ir.Expr):
        return None
    if expr.op == "binop" and expr.fn in COMPARISONS:
        active = (highest_number(typemap[var.name]) for var in expr.list_vars())
        return statement.loc if any(isinstance(ty, NumberType) for ty in active) else None
    if expr.op == "call":
        function = getattr(typemap[expr.func.name], "dispatcher", None)
        return getattr(function, "compared", None)
    return None


def is_constant(result: Any) -> bool:
    """Whether a result is made of plain floats, which do not depend on active numbers."""
    if isinstance(result, types.BaseTuple):
        return bool(len(result)) and all(map(is_constant, result))
    if isinstance(result, types.Array | types.List):
        return is_constant(result.dtype)
    return isinstance(result, types.Float)


def warn_of_comparisons(twin: Any) -> None:
    """Tell, once, that the result of a function depends on its inputs through comparisons only."""
    loc = getattr(twin, "compared", None)
    code = twin.py_func.__code__
    if loc is None or code in _TOLD or is_package_file(code.co_filename):
        return
    _TOLD.add(code)
    warn_user(
        f"line {loc.line} of {loc.filename}: the result of {twin.__name__} depends on its inputs "
        "through comparisons only, so its derivative is zero. If it closes in on a root, as "
        "bisection does, use dualtape.roots, which has the derivative of the root; if a step is "
        "meant, this warning can be filtered (dualtape.DualtapeWarning)."
    )
