"""Methods and tests that Numba has for floats, on active numbers: ``x.item()``, ``x in {1.0}``."""

from __future__ import annotations

import operator
from typing import Any

from numba.core import types
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    signature,
)
from numba.extending import lower_builtin

from ..backend.templates import CPU_FIRST, type_global
from .emitted import unwrap, wrap
from .evaluation import primal
from .types import NumberType, root

_THE_NUMBER_ITSELF = ("conjugate", "item")


class _Itself(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return None if args or kws else signature(self.this, recvr=self.this)

    def get_impl_key(self, sig: Any) -> Any:
        return type(self).key


class _Hash(AbstractTemplate):
    """The hash of the value, since equality compares values: for sets of numbers."""

    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.intp, recvr=self.this)

    def get_impl_key(self, sig: Any) -> Any:
        return type(self).key


@infer_getattr
class _Members(AttributeTemplate):
    key = NumberType

    def generic_resolve(self, number: Any, name: str) -> Any:
        template = _Hash if name == "__hash__" else _Itself
        if name not in (*_THE_NUMBER_ITSELF, "__hash__"):
            return None
        body = {"key": (NumberType, name)}
        return types.BoundFunction(type(f"Method_{name}", (template,), body), number)


class _InSet(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        items, x = args
        if isinstance(items, types.Set) and isinstance(x, NumberType):
            return signature(types.boolean, items, x.settled)
        return None

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "number")


type_global(operator.contains, _InSet)


@lower_builtin((operator.contains, "number"), types.Set, NumberType)
def _in_set(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Compare values, as every comparison does."""
    items, number = sig.args
    plain = unwrap(primal(wrap(context, builder, number, args[1])), root(number))
    inner = signature(types.boolean, items, items.dtype)
    implementation = context.get_function(operator.contains, inner)
    return implementation(
        builder, (args[0], context.cast(builder, plain, root(number), items.dtype))
    )


@lower_builtin((NumberType, "__hash__"), NumberType)
def _hash(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    number, plain = sig.args[0], root(sig.args[0])
    value = unwrap(primal(wrap(context, builder, number, args[0])), plain)
    function = context.typing_context.resolve_value_type(hash)
    inner = function.get_call_type(context.typing_context, (plain,), {})
    return context.get_function(function, inner)(builder, (value,))


for _name in _THE_NUMBER_ITSELF:

    @lower_builtin((NumberType, _name), NumberType)
    def _itself(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return args[0]
