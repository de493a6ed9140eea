"""Rules called with plain numbers compute their values: ``erf(0.5)`` in a jet, or in a twin."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from numba.core import types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..backend.jit import compiled
from ..backend.templates import CPU_FIRST, type_global
from ..rules.rule import Rule
from .emitted import call, unwrap, wrap
from .types import PLAIN


class _RuleOnFloats(AbstractTemplate):
    """A rule object called with plain numbers computes the primal."""

    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        if kws or not all(isinstance(arg, PLAIN) for arg in args):
            return None
        floats = [arg if isinstance(arg, types.Float) else types.float64 for arg in args]
        value_type = self.context.resolve_value_type(value_of(type(self).key))
        sig = value_type.get_call_type(self.context, tuple(floats), {})
        return signature(sig.return_type, *floats)

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "floats")


def value_of(rule: Rule) -> Any:
    """Return what computes the value of a rule in compiled code."""
    return compiled(rule.value) if isinstance(rule.value, FunctionType) else rule.value


def _lower_value(rule: Rule) -> Callable[..., Any]:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        operands = [wrap(context, builder, ty, v) for ty, v in zip(sig.args, args, strict=True)]
        return unwrap(call(value_of(rule), *operands), sig.return_type)

    return lower


def register_value(rule: Rule) -> None:
    """Let a rule be called with plain numbers in compiled code."""
    type_global(rule, _RuleOnFloats)
    lower_builtin((rule, "floats"), types.VarArg(types.Any))(_lower_value(rule))
