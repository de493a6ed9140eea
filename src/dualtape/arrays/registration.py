"""Arrays of active numbers: broadcasting operators and functions of whole arrays.

Such an array is a Numba array whose elements are numbers, so indexing, slicing, views, iteration,
copies and shape functions are Numba's own.  Elementwise functions are typed here and become loops
(`expression`, and `fusion` for whole expressions); functions of whole arrays lead to kernels,
compiled once per type and cached; those of linear algebra stand in `linalg.registration`.
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

from ..backend.calls import invoke
from ..backend.jit import kernel
from ..backend.templates import CPU_FIRST, type_global
from ..errors import IntegerConversionError
from ..numbers import base_two, none_comparison, watched  # noqa: F401
from ..numbers.emitted import call, quotient
from ..numbers.evaluation import level_of
from ..numbers.number import INTEGER_CONVERSION
from ..numbers.plane_arrays import know_planes
from ..numbers.registration import (
    ELEMENTWISE,
    INPLACE_OF,
    WITH_INTEGERS,
    NumberTemplate,
    value,
)
from ..numbers.types import (
    PLAIN,
    NumberType,
    PlanesType,
    highest_number,
    holds_numbers,
    is_array,
    level,
    promote,
)
from ..rules import table
from ..rules.rule import Rule
from . import byte_counts, construction, conversion, kinks, order, rearranging
from . import reductions as kernels
from .expression import Expression, Node, Operands, element, helper, select_function
from .loop import emit_expression


class ElementwiseTemplate(AbstractTemplate):
    """Types a call with arrays in which some element is an active number."""

    metadata = CPU_FIRST
    prefer_literal = True
    result: Callable[..., Any]

    def generic(self, args: Any, kws: Any) -> Any:
        """Return the signature, or None if no array of numbers is involved."""
        arrays = [arg for arg in args if is_array(arg)]
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
        inputs = inputs_of(type(self).key, len(args))
        if len(args) > inputs:  # an explicit output
            return signature(args[-1], *args) if isinstance(arrays[-1].dtype, NumberType) else None
        dtype = type(self).result(self.context, elements)
        dtype, ndim = getattr(dtype, "settled", dtype), max(a.ndim for a in arrays)
        if any(isinstance(a, PlanesType) and a.dtype.level == level(dtype) for a in arrays):
            return signature(PlanesType(dtype, ndim, "C"), *args)
        return signature(types.Array(dtype, ndim, "C"), *args)

    def get_impl_key(self, sig: Any) -> Any:
        """Keep our lowerings apart from Numba's own."""
        return (type(self).key, "numbers")


_INPUTS = {np.clip: 3, np.round: 2, np.around: 2}


def inputs_of(function: Any, count: int) -> int:
    """Return how many of `count` arguments an elementwise function reads; one more is written."""
    return min(count, getattr(function, "nin", _INPUTS.get(function, count)))


INPLACE = set(INPLACE_OF.values())
INPLACE_NAMES = {operator.__name__ for operator in INPLACE}


def _lowering(make_node: Callable[..., Any], name: str, function: Any) -> Callable[..., Any]:
    """Return the lowering of one elementwise function: an expression of one node."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        count = inputs_of(function, len(args))
        index = 0 if name in INPLACE_NAMES else count
        has_target = name in INPLACE_NAMES or len(args) == count + 1
        operands = Operands(context, builder, sig.args[:count], args[:count])
        target = helper(context, builder, sig.args[index], args[index]) if has_target else None
        tree = make_node(element(sig.return_type), tuple(range(count)))
        return emit_expression(operands, Expression(tree, name, sig.return_type), target)

    return lower


@kernel
def floor_quotient(x: Any, y: Any) -> Any:
    """X // y, which raises nothing in a kernel."""
    return x // y


@kernel
def remainder(x: Any, y: Any) -> Any:
    """X % y, which raises nothing in a kernel."""
    return x % y


def _never_raising(rule: Rule, plain: Any) -> Callable[..., Any]:
    """Return a binary rule with the value of `plain`."""

    def apply(x: Any, y: Any) -> Any:
        top = max(x, y, key=level_of)
        if not level_of(top):
            return call(plain, x, y)
        inner = [v.value if level_of(v) == top.level else v for v in (x, y)]
        return top._apply_rule(rule, (x, y), apply(*inner))

    return apply


ON_ARRAYS = {
    operator.truediv: quotient,
    operator.floordiv: _never_raising(table.floor_divide, floor_quotient),
    operator.mod: _never_raising(table.remainder, remainder),
}
ON_ARRAYS |= {INPLACE_OF[operator]: function for operator, function in ON_ARRAYS.items()}
"""Division: between scalars that by zero raises, on arrays it is inf or NaN as in NumPy."""

NODES: dict[Any, Callable[..., Node]] = {}
"""Functions that return the node of a function on arrays, from its result type and children."""


def register_elementwise(target: Any) -> None:
    """Let a function registered for numbers work on arrays of them, element by element."""
    function, result = ELEMENTWISE[target]
    function = ON_ARRAYS.get(target, function)
    _register(target, functools.partial(Node, function, target in WITH_INTEGERS), result)


def _register(target: Any, make_node: Callable[..., Node], result: Any) -> None:
    NODES[target] = make_node
    test = functools.partial(_only_reads_planes, target)
    know_planes(target, test, **({} if target in INPLACE else {"makes": None}))
    type_global(target, ElementwiseTemplate, result=staticmethod(result))
    name = getattr(target, "__name__", None) or target.name
    lowering = _lowering(make_node, name, target)
    lower_builtin((target, "numbers"), types.VarArg(types.Any))(lowering)


def _only_reads_planes(target: Any, args: Any, kws: Any) -> bool:
    """Whether an elementwise function writes to nothing, or not to planes."""
    if target in INPLACE:
        return not isinstance(args[0], PlanesType)
    return not kws and len(args) <= inputs_of(target, len(args))


def _where_node(dtype: Any, children: Any) -> Node:
    return Node(select_function(dtype), False, dtype, children)


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
        item = element(args[2])
        if isinstance(element(args[0]), types.Integer) and isinstance(item, NumberType):
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


class _KernelTemplate(AbstractTemplate):
    metadata = CPU_FIRST
    kernel: Any
    count = 0  # of arguments, if that tells kernels apart

    def generic(self, args: Any, kws: Any) -> Any:
        if self.count not in (0, len(args)):
            return None
        args = tuple(map(conversion.uniform_type, args))
        applies = self._applies((*args, *kws.values()))
        if not applies or (type(self).key in (max, min) and len(args) != 1):
            return None
        args = tuple(getattr(arg, "settled", arg) for arg in args)
        return kernel_signature(self.context, type(self).kernel, args, kws)

    def _applies(self, args: Any) -> bool:
        return any(map(holds_numbers, args))

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "kernel", type(self).count)


class _ScalarKernelTemplate(_KernelTemplate):
    def _applies(self, args: Any) -> bool:
        return any(highest_number(arg) is not None for arg in args)


class _SequenceKernelTemplate(_KernelTemplate):
    def _applies(self, args: Any) -> bool:
        has_dtype = len(args) > 1
        return super()._applies(args) and (has_dtype or not isinstance(args[0], types.Array))


def _call_kernel(kernel: Any) -> Callable[..., Any]:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        ty, result = invoke(context, builder, kernel_at(kernel, sig.args), sig.args, args)
        return context.cast(builder, result, ty, sig.return_type)

    return lower


def route(target: Any, kernel: Any, template: Any = _KernelTemplate, count: int = 0) -> None:
    """Lead calls of `target` with arrays of numbers, with so many arguments, to a kernel."""
    type_global(target, template, kernel=kernel, count=count)
    lower_builtin((target, "kernel", count), types.VarArg(types.Any))(_call_kernel(kernel))


class _Method(AbstractTemplate):
    kernel: Any

    def generic(self, args: Any, kws: Any) -> Any:
        args = tuple(getattr(arg, "settled", arg) for arg in args)
        sig = kernel_signature(self.context, type(self).kernel, (self.this, *args), kws)
        if sig.pysig is None:
            return signature(sig.return_type, recvr=self.this)
        return sig.as_method()

    def get_impl_key(self, sig: Any) -> Any:
        return type(self).key


METHODS: dict[str, Any] = {}
"""Kernels of the methods of arrays that hold numbers."""


def route_method(name: str, kernel: Any) -> None:
    """Lead calls of a method of arrays of numbers to a kernel."""
    METHODS[name] = kernel
    key = types.Array, name, "number"
    lower_builtin(key, types.VarArg(types.Any))(_call_kernel(kernel))


_METHODS = {
    "sum": kernels.total,
    "mean": kernels.mean,
    "prod": kernels.product,
    "min": kernels.minimum,
    "max": kernels.maximum,
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
    **order.SORT_METHODS,
    **byte_counts.METHODS,
}


@infer_getattr
class _Methods(AttributeTemplate):
    key = types.Array
    metadata = CPU_FIRST

    def generic_resolve(self, array: Any, name: str) -> Any:
        kernel = METHODS.get(name)
        if kernel is None or not holds_numbers(array):
            return None
        body = {"key": (types.Array, name, "number"), "kernel": kernel}
        return types.BoundFunction(type(f"Method_{name}", (_Method,), body), array)


for _name, _kernel in _METHODS.items():
    route_method(_name, _kernel)
for _target, _kernel in {
    np.sum: kernels.total,
    np.mean: kernels.mean,
    np.prod: kernels.product,
    np.min: kernels.minimum,
    np.max: kernels.maximum,
    np.amin: kernels.minimum,
    np.amax: kernels.maximum,
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
    kinks.square_of_deviation: kernels.variance,
    **order.STATISTICS,
    **rearranging.COMBINATIONS,
    **byte_counts.ROUTED,
}.items():
    route(_target, _kernel)
route(np.searchsorted, kernels.search, _ScalarKernelTemplate)
for _target, _kernel in (
    order.ACTIVE_POINTS
    | rearranging.FROM_SCALARS
    | construction.FROM_SCALARS
    | byte_counts.FROM_SCALARS
).items():
    route(_target, _kernel, _ScalarKernelTemplate)
for _target, _kernel in rearranging.FROM_SEQUENCES.items():
    route(_target, _kernel, _SequenceKernelTemplate)


class _OfOneNumber(NumberTemplate):
    """A sum, a mean or an extreme of one number, which NumPy takes for an array of one."""

    result = staticmethod(lambda _, args: args[0].settled if len(args) == 1 else None)


def _same(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return context.cast(builder, args[0], sig.args[0], sig.return_type)


for _target in {np.sum, np.mean, np.prod, np.max, np.min, np.amax, np.amin, np.nanmax, np.nanmin}:
    type_global(_target, _OfOneNumber)
    lower_builtin((_target, "number"), types.VarArg(types.Any))(_same)
