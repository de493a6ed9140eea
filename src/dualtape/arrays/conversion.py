"""Between arrays, lists and tuples of active numbers, and back to plain values."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
from numba.core import types
from numba.core.imputils import call_getiter
from numba.core.typing.templates import AbstractTemplate, infer, signature
from numba.cpython.tupleobj import getitem_unituple
from numba.extending import intrinsic, lower_builtin

from ..backend.jit import by_type, is_missing
from ..backend.templates import CPU_FIRST, type_global
from ..errors import NO_COMPLEX, IntegerConversionError, MissingRuleError
from ..numbers.access import base_like, element_like, empty_numbers, to_numbers
from ..numbers.number import INTEGER_CONVERSION
from ..numbers.plane_arrays import contiguous_values
from ..numbers.reading import values_of
from ..numbers.types import (
    PLAIN,
    NumberType,
    PlanesType,
    highest_number,
    holds_numbers,
    promote,
    root,
    tuple_like,
    with_root,
)


@by_type
def array_of(items: Any) -> Any:
    """np.array of lists or tuples of numbers, nested to any depth; a copy of an array."""
    if isinstance(items, types.Array):
        return lambda items: items.copy()
    if isinstance(getattr(items, "dtype", None), NumberType):

        def of_numbers(items: Any) -> Any:
            out = empty_numbers((len(items),), element_like(items))
            for i in range(len(items)):
                out[i] = items[i]
            return out

        return of_numbers
    if holds_numbers(items) and isinstance(getattr(items.dtype, "dtype", None), NumberType):

        def of_rows(items: Any) -> Any:
            out = empty_numbers((len(items), len(items[0])), element_like(items[0]))
            for i in range(len(items)):
                if len(items[i]) != out.shape[1]:
                    raise ValueError("the rows of an array must have one length")
                for j in range(out.shape[1]):
                    out[i, j] = items[i][j]
            return out

        return of_rows
    zero = zero_of(promote([types.unliteral(ty) for ty in leaves(items)]))

    def of_nested(items: Any) -> Any:
        out = empty_numbers(nested_shape(items), zero())
        gather(out, items)
        return out

    return of_nested


@by_type
def nested_shape(items: Any) -> Any:
    """Return the shape of the array of nested sequences."""
    if isinstance(items, types.Array):
        return lambda items: items.shape
    if isinstance(item_type(items), (NumberType, *PLAIN)):
        return lambda items: (len(items),)
    return lambda items: (len(items), *nested_shape(items[0]))


@by_type
def gather(out: Any, items: Any) -> Any:
    """Store the items of nested sequences in an array."""

    def of_rows(out: Any, items: Any) -> None:
        if len(items) != out.shape[0]:
            raise ValueError("the rows of an array must have one length")
        for i in range(len(items)):
            gather(out[i], items[i])

    def of_numbers(out: Any, items: Any) -> None:
        if len(items) != out.shape[0]:
            raise ValueError("the rows of an array must have one length")
        for i in range(len(items)):
            out[i] = items[i]

    return of_numbers if out.ndim == 1 else of_rows


def item_type(ty: Any) -> Any:
    """Return the type of the items of a sequence."""
    ty = uniform_type(ty)
    return getattr(ty, "dtype", ty[0] if isinstance(ty, types.BaseTuple) else ty)


def leaves(ty: Any) -> list[Any]:
    """Return the types of all items of nested sequences."""
    if isinstance(ty, types.BaseTuple):
        return [leaf for item in ty for leaf in leaves(item)]
    return leaves(ty.dtype) if isinstance(ty, types.Sequence | types.Array) else [ty]


@by_type
def array_from(items: Any, dtype: Any = None) -> Any:
    """np.array in activated code: numbers are gathered, other items left to NumPy.

    Numba rewrites ``np.array([x, y])`` to code with a NumPy dtype, which numbers lack.
    """
    target = getattr(dtype, "dtype", None)
    if highest_number(items) is not None:
        require_float(target, f"np.array of active numbers as {target}")
    if isinstance(items, NumberType):
        return lambda items, dtype: array_of((items,)).reshape(())
    if highest_number(items) is not None and target in (types.float32, types.float64):
        return lambda items, dtype: array_of(items).astype(dtype)
    if highest_number(items) is not None:
        return lambda items, dtype: array_of(items)
    if is_missing(dtype):
        return lambda items, dtype: np.array(items)
    return lambda items, dtype: np.array(items, dtype)


def uniform_type(ty: Any) -> Any:
    """Return the uniform type of a tuple whose items differ only in which are active numbers.

    In the plain function ``(1.0, x)`` and ``((1.0, 2.0), (x, y))`` are tuples of equal items, so a
    loop may run over them and an index may be computed.
    """
    if not isinstance(ty, types.BaseTuple) or highest_number(ty) is None:
        return ty
    if isinstance(ty, types.IterableType):
        return ty
    item = functools.reduce(_unify, map(types.unliteral, ty))
    return ty if item is None else types.UniTuple(item, len(ty))


def _unify(a: Any, b: Any) -> Any:
    """Return the type to which both convert, or None."""
    if a == b or a is None or b is None:
        return a if a == b else None
    if isinstance(a, (NumberType, *PLAIN)) and isinstance(b, (NumberType, *PLAIN)):
        return promote([a, b])
    if not isinstance(a, types.BaseTuple) or not isinstance(b, types.BaseTuple):
        return None
    if len(a) != len(b) or getattr(a, "instance_class", 0) != getattr(b, "instance_class", 0):
        return None
    items = [_unify(types.unliteral(x), types.unliteral(y)) for x, y in zip(a, b, strict=True)]
    return None if None in items else tuple_like(a, items)


@infer
class _IterateMixed(AbstractTemplate):
    """A loop over floats is one over floats and numbers where some of them are active."""

    key = "getiter"

    def generic(self, args: Any, kws: Any) -> Any:
        target = uniform_type(args[0])
        return None if target == args[0] else signature(target.iterator_type, args[0])


@lower_builtin("getiter", types.Tuple)
@lower_builtin("getiter", types.NamedTuple)
def _iterate_mixed(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    target = sig.return_type.container
    return call_getiter(
        context, builder, target, context.cast(builder, args[0], sig.args[0], target)
    )


class _MixedItem(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        target = uniform_type(args[0])
        if target == args[0] or not isinstance(args[1], types.Integer):
            return None
        return signature(target.dtype, args[0], types.intp)

    def get_impl_key(self, sig: Any) -> Any:
        return (operator.getitem, "mixed")


type_global(operator.getitem, _MixedItem)


@lower_builtin((operator.getitem, "mixed"), types.Any, types.intp)
def _item_of_mixed(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    target = uniform_type(sig.args[0])
    values = context.cast(builder, args[0], sig.args[0], target), args[1]
    return getitem_unituple(context, builder, signature(target.dtype, target, types.intp), values)


class _OnMixed(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        uniform = tuple(map(uniform_type, args))
        if uniform == tuple(args):
            return None
        return self.context.resolve_function_type(type(self).key, uniform, kws)

    def get_impl_key(self, sig: Any) -> Any:
        """Return the key for the uniform tuple."""
        return self.context.resolve_value_type(type(self).key).get_impl_key(sig)


for _function in (enumerate, zip, sum):
    type_global(_function, _OnMixed)


@by_type
def as_type(a: Any, dtype: Any) -> Any:
    """ndarray.astype of active numbers: a copy over the float type, or of constant integers."""
    target = getattr(dtype, "dtype", None)
    if isinstance(target, types.Integer | types.Boolean):
        return lambda a, dtype: values(a).astype(dtype)
    require_float(target, f"astype({target}) of active numbers")
    if target not in (types.float32, types.float64) or target == root(a.dtype):
        return lambda a, dtype: a.copy()
    zero = zero_of(with_root(a.dtype, target))
    return lambda a, dtype: to_numbers(a, zero())


def require_float(target: Any, action: str) -> None:
    """Raise where active numbers would become integers or complex numbers."""
    if isinstance(target, types.Integer | types.Boolean):
        raise IntegerConversionError(INTEGER_CONVERSION)
    if isinstance(target, types.Complex):
        raise MissingRuleError(f"{action}: {NO_COMPLEX}")


def zero_of(number: Any) -> Any:
    """Return the intrinsic for a zero of a number type."""

    @intrinsic
    def zero(typingctx: Any) -> Any:
        return number(), lambda context, builder, sig, args: context.get_constant_null(number)

    return zero


@by_type
def as_array(items: Any, dtype: Any = None) -> Any:
    """np.asarray: an array itself where the type of its elements does not change."""
    if not isinstance(items, types.Array):
        return lambda items, dtype: array_from(items, dtype)
    if is_missing(dtype) or getattr(dtype, "dtype", None) == root(items.dtype):
        return lambda items, dtype: items
    return lambda items, dtype: as_type(items, dtype)


@by_type
def values(a: Any) -> Any:
    """Return the primals of an array of any level; a plain array is returned itself."""
    base = getattr(a.dtype, "base", None)
    if base is None:
        return lambda a: a
    if isinstance(a, PlanesType) and a.has_rows:
        return lambda a: values(contiguous_values(a))
    return lambda a: values(values_of(a, base_like(element_like(a))))


@intrinsic
def promoted_zero(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """Return a zero of the type to which all of these, or their elements, are promoted."""
    number = promote([types.unliteral(getattr(ty, "dtype", ty)) for ty in (x, y, z)])
    return number(x, y, z), lambda context, builder, sig, args: context.get_constant_null(number)
