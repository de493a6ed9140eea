"""Arrays for results by keyword: ``np.clip(x, 0.0, 1.0, out=y)`` has them by position in a twin."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import ir

from ..analysis.fresh import INPUTS, is_in
from ..analysis.rewriting import new_variable


def pass_output_by_position(statement: Any, function: Any) -> list[Any]:
    """Turn the keyword `out` of a call into its last argument; return statements before it."""
    expr = statement.value
    if not is_in(function, INPUTS) or [name for name, _ in expr.kws] != ["out"]:
        return []
    args, before = list(expr.args), []
    if function in (np.round, np.around) and len(args) == 1:  # the number of decimals
        zero = new_variable(statement.target.scope, statement.loc)
        before = [ir.Assign(ir.Const(0, statement.loc), zero, statement.loc)]
        args.append(zero)
    if len(args) == INPUTS[function]:
        expr.args, expr.kws = [*args, expr.kws[0][1]], ()
        return before
    return []
