"""Arrays of active numbers: broadcasting operators, reductions, products.

Such an array is a Numba array whose elements are numbers, so indexing, slicing, views, iteration,
copies and shape functions are Numba's own.  Elementwise functions are typed here and become loops
(`elementwise`, and `fusion` for whole expressions); reductions and products are plain loops,
compiled once per type and cached.
"""

from __future__ import annotations

import builtins
import functools
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    signature,
)
from numba.extending import lower_builtin

from . import absent, base_two, combining, conversion, filling, ordering  # noqa: F401
from . import arraykernels as kernels
from .elementary import (
    CPU_FIRST,
    ELEMENTWISE,
    WITH_INTEGERS,
    NumberTemplate,
    type_global,
    value,
)
from .elementloop import emit_expression
from .elementwise import Expression, Node, Operands, chosen, element, helper
from .emit import invoke
from .errors import IntegerConversionError, MissingRuleError
from .number import INTEGER_CONVERSION
from .numbertype import PLAIN, NumberType, highest_number, holds_numbers, level, promote

__all__ = ["NODES", "register_elementwise", "route"]


class ElementwiseTemplate(AbstractTemplate):
    """Types a call with arrays in which some element is an active number."""

    metadata = CPU_FIRST
    prefer_literal = True
    result: Callable[..., Any]

    def generic(self, args: Any, kws: Any) -> Any:
        """Return the signature, or None where this is not our call."""
        arrays = [arg for arg in args if isinstance(arg, types.Array)]
        elements = [element(arg) for arg in args]
        if kws or not arrays or not any(isinstance(e, NumberType) for e in elements):
            return None
        if not all(isinstance(e, (NumberType, *PLAIN)) for e in elements):
            return None
        args = [getattr(arg, "settled", arg) for arg in args]
        elements = [element(arg) for arg in args]
        if type(self).key in INPLACE:
            if not isinstance(args[0], types.Array):
                return None
            if isinstance(args[0].dtype, types.Integer):
                raise IntegerConversionError(INTEGER_CONVERSION)
            return signature(args[0], *args)
        inputs = getattr(type(self).key, "nin", len(args))
        if len(args) == inputs + 1:  # an explicit output
            return signature(args[-1], *args) if isinstance(arrays[-1].dtype, NumberType) else None
        dtype = type(self).result(self.context, elements)
        dtype = getattr(dtype, "settled", dtype)
        return signature(types.Array(dtype, max(a.ndim for a in arrays), "C"), *args)

    def get_impl_key(self, sig: Any) -> Any:
        """Keep our lowerings apart from Numba's own."""
        return (type(self).key, "numbers")


INPLACE = {
    operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ifloordiv,
    operator.imod, operator.ipow,
}  # fmt: skip


INPLACE_NAMES = {operator.__name__ for operator in INPLACE}


def _lowering(make_node: Callable[..., Any], name: str, nin: int | None) -> Callable[..., Any]:
    """Return the lowering of one elementwise function: an expression of one node."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        count = len(args) if nin is None else nin
        given = 0 if name in INPLACE_NAMES else count
        has_target = name in INPLACE_NAMES or len(args) == count + 1
        operands = Operands(context, builder, sig.args[:count], args[:count])
        target = helper(context, builder, sig.args[given], args[given]) if has_target else None
        tree = make_node(element(sig.return_type), tuple(range(count)))
        return emit_expression(operands, Expression(tree, name, sig.return_type), target)

    return lower


NODES: dict[Any, Callable[..., Node]] = {}
"""What makes the node of a function on arrays, of the type of its results and its children."""


def register_elementwise(target: Any) -> None:
    """Let what is registered for numbers work on arrays of these, element by element."""
    function, result = ELEMENTWISE[target]
    _register(target, functools.partial(Node, function, target in WITH_INTEGERS), result)


def _register(target: Any, make_node: Callable[..., Node], result: Any) -> None:
    NODES[target] = make_node
    type_global(target, ElementwiseTemplate, result=staticmethod(result))
    name = getattr(target, "__name__", None) or target.name
    lowering = _lowering(make_node, name, getattr(target, "nin", None))
    lower_builtin((target, "numbers"), types.VarArg(types.Any))(lowering)


def _where_node(dtype: Any, children: Any) -> Node:
    return Node(chosen(dtype), False, dtype, children)


def _where_result(typing_context: Any, elements: Any) -> Any:
    return promote([types.unliteral(e) for e in elements[1:]])


_SCALAR_ONLY = {float, int, bool, max, min, round, builtins.pow, operator.truth, operator.not_}
for _target in ELEMENTWISE:
    if _target not in _SCALAR_ONLY and getattr(_target, "__module__", "") != "math":
        register_elementwise(_target)
_register(np.where, _where_node, _where_result)


class _NoActiveIndex(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        index = args[1]
        parts = index if isinstance(index, types.BaseTuple) else [index]
        if isinstance(args[0], types.Array | types.Sequence | types.BaseTuple) and any(
            isinstance(part, NumberType) for part in parts
        ):
            raise IntegerConversionError(INTEGER_CONVERSION)


class _NoActiveItem(_NoActiveIndex):
    def generic(self, args: Any, kws: Any) -> Any:
        super().generic(args, kws)
        stored = element(args[2])
        if isinstance(element(args[0]), types.Integer) and isinstance(stored, NumberType):
            raise IntegerConversionError(INTEGER_CONVERSION)


type_global(operator.getitem, _NoActiveIndex)
type_global(operator.setitem, _NoActiveItem)


# Functions of whole arrays: each leads to a kernel.


def kernel_at(kernel: Any, args: Any) -> Any:
    """Return a kernel for the highest level of its arguments; an intrinsic is one for all."""
    if not hasattr(kernel, "at"):
        return kernel
    return kernel.at(max(level(highest_number(arg)) for arg in args))


def kernel_signature(typing_context: Any, kernel: Any, args: Any, kws: Any) -> Any:
    """Return the signature of a call that leads to a kernel.

    Sums and means of all elements are typed without compiling it: `fusion` takes most of them.
    """
    if kernel in (kernels.total, kernels.mean) and len(args) == 1 and not kws:
        return signature(args[0].dtype, *args) if isinstance(args[0], types.Array) else None
    kernel_type = typing_context.resolve_value_type(kernel_at(kernel, args))
    return kernel_type.get_call_type(typing_context, args, kws)


class _Routed(AbstractTemplate):
    metadata = CPU_FIRST
    kernel: Any

    def generic(self, args: Any, kws: Any) -> Any:
        args = tuple(map(conversion.uniform_type, args))
        wanted = self._wanted((*args, *kws.values()))
        if not wanted or (type(self).key in (max, min) and len(args) != 1):
            return None
        args = tuple(getattr(arg, "settled", arg) for arg in args)
        return kernel_signature(self.context, type(self).kernel, args, kws)

    def _wanted(self, args: Any) -> bool:
        return any(map(holds_numbers, args))

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "kernel")


class _RoutedWithScalars(_Routed):
    def _wanted(self, args: Any) -> bool:
        return any(highest_number(arg) is not None for arg in args)


class _RoutedSequences(_Routed):
    def _wanted(self, args: Any) -> bool:
        return super()._wanted(args) and not any(isinstance(arg, types.Array) for arg in args)


def _call_kernel(kernel: Any) -> Callable[..., Any]:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        ty, made = invoke(context, builder, kernel_at(kernel, sig.args), sig.args, args)
        return context.cast(builder, made, ty, sig.return_type)

    return lower


def route(target: Any, kernel: Any, template: Any = _Routed) -> None:
    """Lead calls of `target` with arrays of numbers to a kernel."""
    type_global(target, template, kernel=kernel)
    lower_builtin((target, "kernel"), types.VarArg(types.Any))(_call_kernel(kernel))


class _Method(AbstractTemplate):
    kernel: Any

    def generic(self, args: Any, kws: Any) -> Any:
        args = tuple(getattr(arg, "settled", arg) for arg in args)
        found = kernel_signature(self.context, type(self).kernel, (self.this, *args), kws)
        if found.pysig is None:
            return signature(found.return_type, recvr=self.this)
        return found.as_method()

    def get_impl_key(self, sig: Any) -> Any:
        return type(self).key


METHODS = {
    "sum": kernels.total,
    "mean": kernels.mean,
    "prod": kernels.product,
    "min": kernels.minimum,
    "max": kernels.maximum,
    "dot": kernels.dot,
    "var": kernels.variance,
    "std": kernels.deviation,
    "cumsum": kernels.cumulative_sum,
    "cumprod": kernels.cumulative_product,
    "argmin": kernels.argmin,
    "argmax": kernels.argmax,
    "any": kernels.any_true,
    "all": kernels.all_true,
    "fill": kernels.fill,
    "astype": conversion.as_type,
    "view": conversion.view_as,
    **ordering.SORT_METHODS,
}


@infer_getattr
class _Methods(AttributeTemplate):
    key = types.Array
    metadata = CPU_FIRST

    def generic_resolve(self, array: Any, name: str) -> Any:
        if name in ("ctypes", "tobytes") and holds_numbers(array):
            raise MissingRuleError(f".{name} of an array of active numbers: {conversion.BYTES}")
        kernel = METHODS.get(name)
        if kernel is None or not holds_numbers(array):
            return None
        body = {"key": (types.Array, name, "number"), "kernel": kernel}
        return types.BoundFunction(type(f"Method_{name}", (_Method,), body), array)


for _name, _kernel in METHODS.items():
    lower_builtin((types.Array, _name, "number"), types.VarArg(types.Any))(_call_kernel(_kernel))
for _target, _kernel in {
    np.sum: kernels.total,
    np.mean: kernels.mean,
    np.prod: kernels.product,
    np.min: kernels.minimum,
    np.max: kernels.maximum,
    np.dot: kernels.dot,
    operator.matmul: kernels.dot,
    np.vdot: kernels.dot,
    np.outer: kernels.outer,
    np.var: kernels.variance,
    np.std: kernels.deviation,
    np.cumsum: kernels.cumulative_sum,
    np.argmin: kernels.argmin,
    np.argmax: kernels.argmax,
    np.any: kernels.any_true,
    np.all: kernels.all_true,
    max: kernels.largest,
    min: kernels.smallest,
    np.cumprod: kernels.cumulative_product,
    value: conversion.values,
    **ordering.STATISTICS,
    **combining.COMBINATIONS,
}.items():
    route(_target, _kernel)
route(np.searchsorted, kernels.search, _RoutedWithScalars)
for _target, _kernel in (
    ordering.ACTIVE_POINTS | combining.FROM_SCALARS | filling.FROM_SCALARS
).items():
    route(_target, _kernel, _RoutedWithScalars)
for _target, _kernel in combining.FROM_SEQUENCES.items():
    route(_target, _kernel, _RoutedSequences)


class _OfOneNumber(NumberTemplate):
    """A sum, a mean or an extreme of one number, which NumPy takes for an array of one."""

    result = staticmethod(lambda _, args: args[0].settled if len(args) == 1 else None)


def _same(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return context.cast(builder, args[0], sig.args[0], sig.return_type)


for _target in {np.sum, np.mean, np.prod, np.max, np.min, np.amax, np.amin, np.nanmax, np.nanmin}:
    type_global(_target, _OfOneNumber)
    lower_builtin((_target, "number"), types.VarArg(types.Any))(_same)
