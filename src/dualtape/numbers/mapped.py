"""Rules called with arrays of constants: ``scipy.special.gammaln(k + 1.0)`` with a plain array k.

Numba does not have these functions, so the rule's function of numbers is applied to every element.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..backend.calls import invoke
from ..backend.jit import internal
from ..backend.templates import CPU_FIRST, type_global
from ..rules.rule import Rule
from ..rules.table import RULES
from .types import PLAIN


class _OnArrays(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        if kws or not any(isinstance(arg, types.Array) for arg in args):
            return None
        if not all(isinstance(getattr(arg, "dtype", arg), PLAIN) for arg in args):
            return None
        function_type = self.context.resolve_value_type(_array_function(type(self).key))
        return signature(function_type.get_call_type(self.context, args, {}).return_type, *args)

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "arrays")


@functools.cache
def _array_function(rule: Rule) -> Any:
    """Return the compiled function of arrays and numbers."""

    def of_one(a: Any) -> Any:
        out = np.empty(a.shape)
        for i in np.ndindex(a.shape):
            out[i] = rule(a[i])
        return out

    def of_two(a: Any, b: Any) -> Any:
        a, b = np.broadcast_arrays(np.asarray(a), np.asarray(b))
        out = np.empty(a.shape)
        for i in np.ndindex(a.shape):
            out[i] = rule(a[i], b[i])
        return out

    def of_three(a: Any, b: Any, c: Any) -> Any:
        a, b, c = np.broadcast_arrays(np.asarray(a), np.asarray(b), np.asarray(c))
        out = np.empty(a.shape)
        for i in np.ndindex(a.shape):
            out[i] = rule(a[i], b[i], c[i])
        return out

    def of_four(a: Any, b: Any, c: Any, d: Any) -> Any:
        a, b, c, d = np.broadcast_arrays(np.asarray(a), np.asarray(b), np.asarray(c), np.asarray(d))
        out = np.empty(a.shape)
        for i in np.ndindex(a.shape):
            out[i] = rule(a[i], b[i], c[i], d[i])
        return out

    return internal((of_one, of_two, of_three, of_four)[rule.arity - 1])


def map_rule(rule: Rule) -> None:
    """Let a rule be called with plain arrays."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return invoke(context, builder, _array_function(rule), sig.args, args)[1]

    type_global(rule, _OnArrays)
    lower_builtin((rule, "arrays"), types.VarArg(types.Any))(lower)


for _rule in RULES.values():
    map_rule(_rule)
