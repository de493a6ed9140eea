"""Arrays of active numbers: broadcasting operators, reductions, products.

Such an array is a Numba array whose elements are numbers, so indexing, slicing, views, iteration,
copies and shape functions are Numba's own.  Elementwise functions are emitted here as one loop per
operation; reductions and products are plain loops compiled once per type and cached.

Numba internals used (seen to work with 0.68): ``npyimpl._ArrayHelper`` and ``_ScalarHelper``, which
index broadcast operands; ``arrayobj._empty_nd_impl``.
"""

from __future__ import annotations

import builtins
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed, impl_ret_new_ref
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    signature,
)
from numba.extending import lower_builtin
from numba.np import arrayobj, npyimpl

from . import arraykernels as kernels
from . import combining, conversion, ordering
from .elementary import CPU_FIRST, ELEMENTWISE, WITH_INTEGERS, scalar_code, type_global, value
from .emit import invoke
from .errors import IntegerConversionError
from .number import INTEGER_CONVERSION
from .numbertype import PLAIN, NumberType, highest_number, holds_numbers, level, promote

__all__ = ["register_elementwise", "route"]


def _element(ty: Any) -> Any:
    return ty.dtype if isinstance(ty, types.Array) else ty


class ElementwiseTemplate(AbstractTemplate):
    """Types a call with arrays in which some element is an active number."""

    metadata = CPU_FIRST
    prefer_literal = True
    result: Callable[..., Any]

    def generic(self, args: Any, kws: Any) -> Any:
        """Return the signature, or None where this is not our call."""
        arrays = [arg for arg in args if isinstance(arg, types.Array)]
        elements = [_element(arg) for arg in args]
        if kws or not arrays or not any(isinstance(e, NumberType) for e in elements):
            return None
        if not all(isinstance(e, (NumberType, *PLAIN)) for e in elements):
            return None
        args = [getattr(arg, "settled", arg) for arg in args]
        elements = [_element(arg) for arg in args]
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


def _helper(context: Any, builder: Any, ty: Any, arg: Any) -> Any:
    if not isinstance(ty, types.Array):
        return npyimpl._ScalarHelper(context, builder, arg, ty)
    array = context.make_array(ty)(context, builder, arg)
    shape = cgutils.unpack_tuple(builder, array.shape, ty.ndim)
    strides = cgutils.unpack_tuple(builder, array.strides, ty.ndim)
    return npyimpl._ArrayHelper(
        context, builder, shape, strides, array.data, ty.layout, ty.dtype, ty.ndim, arg
    )


def _fit(context: Any, builder: Any, name: str, shape: list[Any], inputs: list[Any]) -> list[Any]:
    """Return the common shape of a given shape and of all inputs, checked as NumPy broadcasts."""
    one = ir.Constant(ir.IntType(64), 1)
    conflict = cgutils.false_bit
    for operand in inputs:
        if not hasattr(operand, "ndim"):
            continue
        for k in range(operand.ndim):
            axis, extent = len(shape) - operand.ndim + k, operand.shape[k]
            stretched = builder.icmp_signed("==", shape[axis], one)
            differs = builder.icmp_signed("!=", extent, shape[axis])
            differs = builder.and_(differs, builder.icmp_signed("!=", extent, one))
            conflict = builder.or_(conflict, builder.and_(differs, builder.not_(stretched)))
            shape[axis] = builder.select(stretched, extent, shape[axis])
    _raise_if(context, builder, conflict, name)
    return shape


def _raise_if(context: Any, builder: Any, condition: Any, name: str) -> None:
    with cgutils.if_unlikely(builder, condition):
        message = (
            f"{name} on arrays of active numbers: the shapes of the operands do not broadcast "
            "together; each extent must be 1 or the same in all of them"
        )
        context.call_conv.return_user_exc(builder, ValueError, (message,))


def _output(context: Any, builder: Any, sig: Any, inputs: list[Any], name: str, target: Any) -> Any:
    """Return where results go: a new array, or `target` if there is one."""
    one = ir.Constant(ir.IntType(64), 1)
    if target is not None:
        fitted = _fit(context, builder, name, list(target.shape), inputs)
        for own, common in zip(target.shape, fitted, strict=True):
            _raise_if(context, builder, builder.icmp_signed("!=", own, common), name)
        return target
    result = sig.return_type
    shape = _fit(context, builder, name, [one] * result.ndim, inputs)
    array = arrayobj._empty_nd_impl(context, builder, result, shape)._getvalue()
    return _helper(context, builder, result, array)


def _loop(make_code: Callable[..., Any], name: str, nin: int | None = None) -> Callable[..., Any]:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        pairs = zip(sig.args, args, strict=True)
        inputs = [_helper(context, builder, ty, arg) for ty, arg in pairs]
        count = len(inputs) if nin is None else nin
        given = 0 if name in INPLACE_NAMES else len(inputs) - 1
        has_target = name in INPLACE_NAMES or len(inputs) == count + 1
        target = inputs[given] if has_target else None
        inputs = inputs[:count]
        output = _output(context, builder, sig, inputs, name, target)
        elements = [_element(ty) for ty in sig.args[:count]]
        compute = make_code(context, builder, elements, sig.return_type.dtype)
        indices = [operand.create_iter_indices() for operand in inputs]
        with cgutils.loop_nest(builder, output.shape, intp=output.shape[0].type) as position:
            values = []
            for i, (index, operand) in enumerate(zip(indices, inputs, strict=True)):
                index.update_indices(position, i)
                values.append(operand.load_data(index.as_values()))
            output.store_data(position, compute(*values))
        if has_target:
            return impl_ret_borrowed(context, builder, sig.return_type, args[given])
        return impl_ret_new_ref(context, builder, sig.return_type, output.return_val)

    return lower


def register_elementwise(target: Any) -> None:
    """Let what is registered for numbers work on arrays of these, element by element."""
    function, result = ELEMENTWISE[target]

    def code(context: Any, builder: Any, arg_types: Any, dtype: Any) -> Any:
        keeps = target in WITH_INTEGERS
        return scalar_code(context, builder, function, arg_types, dtype, keeps)

    type_global(target, ElementwiseTemplate, result=staticmethod(result))
    name = getattr(target, "__name__", None) or target.name
    lowering = _loop(code, name, getattr(target, "nin", None))
    lower_builtin((target, "numbers"), types.VarArg(types.Any))(lowering)


_SCALAR_ONLY = {float, int, bool, max, min, round, builtins.pow, operator.truth, operator.not_}
for _target in ELEMENTWISE:
    if _target not in _SCALAR_ONLY and getattr(_target, "__module__", "") != "math":
        register_elementwise(_target)


def _where_code(context: Any, builder: Any, arg_types: Any, dtype: Any) -> Any:
    def compute(condition: Any, x: Any, y: Any) -> Any:
        chosen = context.is_true(builder, arg_types[0], condition)
        x = context.cast(builder, x, arg_types[1], dtype)
        return builder.select(chosen, x, context.cast(builder, y, arg_types[2], dtype))

    return compute


def _where_result(typing_context: Any, elements: Any) -> Any:
    return promote([types.unliteral(e) for e in elements[1:]])


type_global(np.where, ElementwiseTemplate, result=staticmethod(_where_result))
lower_builtin((np.where, "numbers"), types.VarArg(types.Any))(_loop(_where_code, "where"))


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
        stored = _element(args[2])
        if isinstance(_element(args[0]), types.Integer) and isinstance(stored, NumberType):
            raise IntegerConversionError(INTEGER_CONVERSION)


type_global(operator.getitem, _NoActiveIndex)
type_global(operator.setitem, _NoActiveItem)


# Functions of whole arrays: each leads to a kernel.


def kernel_at(kernel: Any, args: Any) -> Any:
    """Return a kernel for the highest level of its arguments."""
    return kernel.at(max(level(highest_number(arg)) for arg in args))


class _Routed(AbstractTemplate):
    metadata = CPU_FIRST
    kernel: Any

    def generic(self, args: Any, kws: Any) -> Any:
        args = tuple(map(conversion.uniform_type, args))
        wanted = self._wanted((*args, *kws.values()))
        if not wanted or (type(self).key in (max, min) and len(args) != 1):
            return None
        args = tuple(getattr(arg, "settled", arg) for arg in args)
        kernel = kernel_at(type(self).kernel, args)
        return self.context.resolve_value_type(kernel).get_call_type(self.context, args, kws)

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
        return invoke(context, builder, kernel_at(kernel, sig.args), sig.args, args)[1]

    return lower


def route(target: Any, kernel: Any, template: Any = _Routed) -> None:
    """Lead calls of `target` with arrays of numbers to a kernel."""
    type_global(target, template, kernel=kernel)
    lower_builtin((target, "kernel"), types.VarArg(types.Any))(_call_kernel(kernel))


class _Method(AbstractTemplate):
    kernel: Any

    def generic(self, args: Any, kws: Any) -> Any:
        args = tuple(getattr(arg, "settled", arg) for arg in args)
        args = (self.this, *args)
        kernel_type = self.context.resolve_value_type(kernel_at(type(self).kernel, args))
        return kernel_type.get_call_type(self.context, args, kws).as_method()

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
    **ordering.SORT_METHODS,
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
for _target, _kernel in (ordering.ACTIVE_POINTS | combining.FROM_SCALARS).items():
    route(_target, _kernel, _RoutedWithScalars)
for _target, _kernel in combining.FROM_SEQUENCES.items():
    route(_target, _kernel, _RoutedSequences)
