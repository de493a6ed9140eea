"""What planes can do by themselves: views, elements, shapes and sums.

A view of planes is Numba's view of their values, with the same origin and tape; so whatever returns
a view of a plain array returns planes here.  A function that may return a copy does not belong
here: rows follow from addresses.

Numba internals used (seen in 0.66 to 0.68): ``arraydecl.get_array_index_type``,
``arrayobj.basic_indexing``, ``normalize_indices`` and ``make_view``; ``get_getattr`` of a target
context; ``BoundFunction``.
"""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
from numba.core import cgutils, types
from numba.core.imputils import call_getiter, impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.arraydecl import get_array_index_type
from numba.core.typing.templates import (
    AbstractTemplate,
    AttributeTemplate,
    infer_getattr,
    signature,
)
from numba.extending import lower_builtin, lower_cast
from numba.np import arrayobj

from ..backend.calls import Value, invoke
from ..backend.templates import CPU_FIRST, type_global
from ..numbers.plane_arrays import (
    element_at,
    emit_numbers,
    know_planes,
    values_in,
    view_of,
)
from ..numbers.types import NumberType, PlanesType
from .expression import Expression, Operands
from .loop import emit_expression

SHAPES = {"shape", "size", "ndim"}
"""Attributes that planes have from their values."""


def _view(context: Any, builder: Any, ty: Any, planes: Value, values: Any) -> Any:
    """Return planes, a new reference, for a view of the values of others."""
    result = view_of(context, builder, ty, planes, values)
    return impl_ret_borrowed(context, builder, ty, result)


# Elements and slices


def _basic_index(args: Any, kws: Any = None) -> Any:
    """Return the typing of an index that selects an element or a view, or None."""
    parts = args[1] if isinstance(args[1], types.BaseTuple) else [args[1]]
    if any(isinstance(part, NumberType) for part in parts):
        return None  # refused by its own template
    found = get_array_index_type(args[0].values, args[1])
    return None if found is None or found.advanced else found


class _GetItem(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        found = _basic_index(args) if isinstance(args[0], PlanesType) else None
        if found is None:
            return None
        is_view = isinstance(found.result, types.Array)
        result = args[0].of(found.result) if is_view else args[0].dtype
        return signature(result, args[0], found.index)

    def get_impl_key(self, sig: Any) -> Any:
        return (operator.getitem, "planes")


@lower_builtin((operator.getitem, "planes"), PlanesType, types.Any)
def _lower_getitem(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    planes = Value(sig.args[0], args[0])
    values = values_in(context, builder, planes)
    array = context.make_array(values.type)(context, builder, values.ir)
    index_types, indices = (sig.args[1],), (args[1],)
    if isinstance(sig.args[1], types.BaseTuple):
        index_types, indices = sig.args[1].types, cgutils.unpack_tuple(builder, args[1])
        index_types, indices = arrayobj.normalize_indices(context, builder, index_types, indices)
    pointer, shape, strides = arrayobj.basic_indexing(
        context, builder, values.type, array, index_types, indices,
        boundscheck=context.enable_boundscheck,
    )  # fmt: skip
    if not isinstance(sig.return_type, PlanesType):
        return element_at(context, builder, planes, pointer)
    place = values.type, array, sig.return_type.values, pointer
    view = arrayobj.make_view(context, builder, *place, shape, strides)._getvalue()
    return _view(context, builder, sig.return_type, planes, view)


type_global(operator.getitem, _GetItem)
know_planes(
    operator.getitem,
    lambda args, kws: isinstance(args[0], PlanesType) and _basic_index(args) is not None,
)


@lower_builtin("getiter", PlanesType)
def _lower_getiter(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    planes = Value(sig.args[0], args[0])
    array = emit_numbers(context, builder, planes)
    iterator = call_getiter(context, builder, planes.type.numbers, array)
    context.nrt.decref(builder, planes.type.numbers, array)
    return iterator


know_planes("getiter")


class _Length(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        is_ours = len(args) == 1 and isinstance(args[0], PlanesType)
        return signature(types.intp, *args) if is_ours and not kws else None

    def get_impl_key(self, sig: Any) -> Any:
        return (len, "planes")


@lower_builtin((len, "planes"), PlanesType)
def _lower_length(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    values = values_in(context, builder, Value(sig.args[0], args[0]))
    array = context.make_array(values.type)(context, builder, values.ir)
    return cgutils.unpack_tuple(builder, array.shape, values.type.ndim)[0]


type_global(len, _Length)
know_planes(len)


@lower_cast(PlanesType, PlanesType)
def _cast_layout(context: Any, builder: Any, from_type: Any, to_type: Any, value: Any) -> Any:
    values = values_in(context, builder, Value(from_type, value))
    return view_of(context, builder, to_type, Value(from_type, value), values.ir)


# Functions that return views


def _is_view(name: str, ty: Any) -> bool:
    return name != "ravel" or ty.layout == "C"


def _returns_view(name: str, args: Any, kws: Any) -> bool:
    return not kws and isinstance(args[0], PlanesType) and _is_view(name, args[0])


class _View(AbstractTemplate):
    """Types a function whose result shows the memory of its first argument."""

    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        if kws or not args or not isinstance(args[0], PlanesType):
            return None
        key = type(self).key
        sig = self.context.resolve_function_type(key, (args[0].values, *args[1:]), {})
        return signature(args[0].of(sig.return_type), *args)

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "planes")


def _lower_view(function: Any) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        planes = Value(sig.args[0], args[0])
        values = values_in(context, builder, planes)
        arg_types, arguments = (values.type, *sig.args[1:]), (values.ir, *args[1:])
        view = invoke(context, builder, function, arg_types, arguments)[1]
        return view_of(context, builder, sig.return_type, planes, view)

    return lower


for _function in (np.transpose, np.reshape, np.ravel, np.expand_dims):
    type_global(_function, _View)
    lower_builtin((_function, "planes"), types.VarArg(types.Any))(_lower_view(_function))
    know_planes(_function, functools.partial(_returns_view, _function.__name__))


# Sums


def sum_type(ty: PlanesType, name: str, axis: Any = None) -> Any:
    """Return the type of a sum or mean that is one loop, or None if it is not.

    It is one over all elements, and a sum also along one axis that is known.
    """
    if axis is None or isinstance(axis, types.NoneType):
        return ty.dtype
    k = getattr(axis, "literal_value", None)
    is_one = name == "sum" and isinstance(k, int) and -ty.ndim <= k < ty.ndim and ty.ndim > 1
    return PlanesType(ty.dtype, ty.ndim - 1, "C") if is_one else None


def _sum_type_of(name: str, args: Any, kws: Any) -> Any:
    """Return the same for a call."""
    rest = [*args[1:], *kws.values()]
    is_ours = args and isinstance(args[0], PlanesType) and set(kws) <= {"axis"} and len(rest) <= 1
    return sum_type(args[0], name, *rest) if is_ours else None


class _Sum(AbstractTemplate):
    """Types sums and means; those with an axis become loops by fusion."""

    metadata = CPU_FIRST
    prefer_literal = True

    def generic(self, args: Any, kws: Any) -> Any:
        key = type(self).key
        result = _sum_type_of(key.__name__, args, kws)
        return None if result is None else signature(result, *args, *kws.values())

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "planes")


def _lower_sum(name: str) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        operands = Operands(context, builder, sig.args[:1], args[:1])
        axis = getattr(sig.args[1], "literal_value", None) if len(sig.args) > 1 else None
        axis = None if axis is None else axis % sig.args[0].ndim
        expression = Expression(0, name, sig.return_type, name, axis)
        return emit_expression(operands, expression)

    return lower


def _is_loop(name: str, args: Any, kws: Any) -> bool:
    return _sum_type_of(name, args, kws) is not None


for _name in ("sum", "mean"):
    _reduction = getattr(np, _name)
    type_global(_reduction, _Sum)
    lower_builtin((_reduction, "planes"), types.VarArg(types.Any))(_lower_sum(_name))
    know_planes(_reduction, functools.partial(_is_loop, _name))


# Attributes and methods


class _Method(AbstractTemplate):
    """Types a method; its class is made for each name."""

    name: str
    prefer_literal = True  # for the axis of a sum

    def generic(self, args: Any, kws: Any) -> Any:
        result = self._result(args, kws)
        if result is None:
            return None
        return signature(result, *args, *kws.values(), recvr=self.this)

    def _result(self, args: Any, kws: Any) -> Any:
        if self.name in ("sum", "mean"):
            return _sum_type_of(self.name, (self.this, *args), kws)
        if self.name == "copy":  # nobody writes to planes
            return self.this if not args and not kws else None
        if kws:
            return None
        method = self.context.resolve_getattr(self.this.values, self.name)
        return self.this.of(method.get_call_type(self.context, args, {}).return_type)

    def get_impl_key(self, sig: Any) -> Any:
        return type(self).key


def _lower_method(name: str) -> Any:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        planes = Value(sig.args[0], args[0])
        if name in ("sum", "mean"):
            return _lower_sum(name)(context, builder, sig, args)
        if name == "copy":
            return impl_ret_borrowed(context, builder, planes.type, planes.ir)
        typing_context = context.typing_context
        values = values_in(context, builder, planes)
        method = typing_context.resolve_getattr(values.type, name)
        view_sig = method.get_call_type(typing_context, sig.args[1:], {})
        implementation = context.get_function(method, view_sig)
        context.add_linking_libs(getattr(implementation, "libs", ()))
        pairs = zip(args[1:], sig.args[1:], view_sig.args, strict=True)
        more = [context.cast(builder, *pair) for pair in pairs]
        view = implementation(builder, (values.ir, *more))
        return view_of(context, builder, sig.return_type, planes, view)

    return lower


METHODS = ("sum", "mean", "copy", "reshape", "transpose", "ravel")
for _name in METHODS:
    lower_builtin((PlanesType, _name, "planes"), types.VarArg(types.Any))(_lower_method(_name))


def knows_attribute(ty: PlanesType, name: str) -> bool:
    """Whether planes have an attribute of arrays themselves."""
    return name in SHAPES or name == "T" or (name in METHODS and _is_view(name, ty))


@infer_getattr
class _Attributes(AttributeTemplate):
    key = PlanesType
    metadata = CPU_FIRST

    def generic_resolve(self, planes: Any, name: str) -> Any:
        if not knows_attribute(planes, name):
            return None
        if name in METHODS:
            body = {"key": (PlanesType, name, "planes"), "name": name}
            return types.BoundFunction(type(f"Planes_{name}", (_Method,), body), planes)
        found = self.context.resolve_getattr(planes.values, name)
        return planes.of(found) if name == "T" else found


@lower_getattr_generic(PlanesType)
def _lower_attribute(context: Any, builder: Any, ty: Any, value: Any, name: str) -> Any:
    values = values_in(context, builder, Value(ty, value))
    found = context.get_getattr(values.type, name)(context, builder, *values, name)
    if name != "T":
        return found
    view_type = ty.of(context.typing_context.resolve_getattr(values.type, name))
    return view_of(context, builder, view_type, Value(ty, value), found)
