"""What NumPy's functions do with numbers at the prompt: ``np.sin(x)``, also of object arrays."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from ..rules import table
from ..rules.table import RULES
from .emitted import quotient
from .evaluation import primal

UFUNCS: dict[Any, Any] = {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: quotient,
    np.divmod: lambda x, y: (table.floor_divide(x, y), table.remainder(x, y)),
    np.negative: operator.neg,
    np.positive: operator.pos,
    np.less: operator.lt,
    np.less_equal: operator.le,
    np.greater: operator.gt,
    np.greater_equal: operator.ge,
    np.equal: operator.eq,
    np.not_equal: operator.ne,
    np.isnan: lambda x: bool(np.isnan(primal(x))),
    np.isinf: lambda x: bool(np.isinf(primal(x))),
    np.isfinite: lambda x: bool(np.isfinite(primal(x))),
    np.signbit: lambda x: bool(np.signbit(primal(x))),
} | {
    target: rule
    for rule in RULES.values()
    for target in rule.targets
    if isinstance(target, np.ufunc)
}
