"""Between arrays, lists and tuples of active numbers, and back to plain values."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from numba.core import types
from numba.core.imputils import call_getiter
from numba.core.typing.templates import AbstractTemplate, infer, signature
from numba.cpython.tupleobj import getitem_unituple
from numba.extending import intrinsic, lower_builtin

from ._jit import kernel, specialized
from .elementary import CPU_FIRST, type_global
from .errors import IntegerConversionError
from .number import INTEGER_CONVERSION
from .numbertype import PLAIN, NumberType, highest_number, holds_numbers, promote
from .read import values_of
from .seed import element_like, empty_numbers

__all__ = ["array_from", "uniform_type"]


@kernel
def array_of(items: Any) -> Any:
    """np.array of lists or tuples of numbers, nested twice at the most; a copy of an array."""
    return copied(items)


def copied(items: Any) -> Any:
    """Return a new array (compiled code only)."""
    raise NotImplementedError


@specialized(copied)
def _copied(items: Any) -> Any:
    if isinstance(items, types.Array):
        return lambda items: items.copy()
    if isinstance(items.dtype, types.Sequence | types.UniTuple | types.Array):

        def of_rows(items: Any) -> Any:
            out = empty_numbers((len(items), len(items[0])), element_like(items[0]))
            for i in range(len(items)):
                if len(items[i]) != out.shape[1]:
                    raise ValueError("the rows of an array must have one length")
                for j in range(out.shape[1]):
                    out[i, j] = items[i][j]
            return out

        return of_rows

    def of_numbers(items: Any) -> Any:
        out = empty_numbers((len(items),), element_like(items))
        for i in range(len(items)):
            out[i] = items[i]
        return out

    return of_numbers


def array_from(items: Any, dtype: Any = None) -> Any:
    """Stand-in for np.array in activated code: numbers are gathered, the rest is NumPy's.

    Numba rewrites ``np.array([x, y])`` to code that names a NumPy dtype, which numbers lack.
    """
    return np.array(items, dtype)


@specialized(array_from)
def _array_from(items: Any, dtype: Any = None) -> Any:
    wanted = getattr(dtype, "dtype", None)
    if isinstance(wanted, types.Integer | types.Boolean) and highest_number(items) is not None:
        raise IntegerConversionError(INTEGER_CONVERSION)
    if isinstance(items, NumberType):
        return lambda items, dtype=None: array_of((items,)).reshape(())
    if holds_numbers(items):
        return lambda items, dtype=None: array_of(items)
    if isinstance(items, types.BaseTuple) and highest_number(items) is not None:
        return lambda items, dtype=None: array_of(uniform(items))
    if dtype is None or isinstance(dtype, types.NoneType | types.Omitted):
        return lambda items, dtype=None: np.array(items)
    return lambda items, dtype=None: np.array(items, dtype)


def uniform_type(ty: Any) -> Any:
    """Return the type of a tuple of plain values and numbers as one of numbers alone."""
    is_mixed = isinstance(ty, types.BaseTuple) and not isinstance(ty, types.IterableType)
    if not is_mixed or not all(isinstance(item, (NumberType, *PLAIN)) for item in ty):
        return ty
    if highest_number(ty) is None:
        return ty
    return types.UniTuple(promote([types.unliteral(item) for item in ty]), len(ty))


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
    found = getitem_unituple(context, builder, signature(target.dtype, target, types.intp), values)
    return found


class _OnMixed(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        uniform = tuple(map(uniform_type, args))
        if uniform == tuple(args):
            return None
        return self.context.resolve_function_type(type(self).key, uniform, kws)

    def get_impl_key(self, sig: Any) -> Any:
        """Return the key that was found for the uniform tuple."""
        return self.context.resolve_value_type(type(self).key).get_impl_key(sig)


for _function in (enumerate, zip, sum):
    type_global(_function, _OnMixed)


@intrinsic
def uniform(typingctx: Any, items: Any) -> Any:
    """Return a tuple of plain values and numbers as a tuple of numbers."""
    target = uniform_type(items)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return context.cast(builder, args[0], sig.args[0], target)

    return target(items), codegen


@kernel
def as_type(a: Any, dtype: Any) -> Any:
    """ndarray.astype of active numbers: a copy; the root float type does not change."""
    return converted(a, dtype)


def converted(a: Any, dtype: Any) -> Any:
    """Return a copy (compiled code only)."""
    raise NotImplementedError


@specialized(converted)
def _converted(a: Any, dtype: Any) -> Any:
    wanted = getattr(dtype, "dtype", None)
    if isinstance(wanted, types.Integer | types.Boolean):
        raise IntegerConversionError(INTEGER_CONVERSION)
    return lambda a, dtype: a.copy()


@kernel
def values(a: Any) -> Any:
    """Return the primals of an array, whatever its level."""
    return primals(a)


def primals(a: Any) -> Any:
    """Return the plain values of an array (compiled code only)."""
    raise NotImplementedError


@specialized(primals)
def _primals(a: Any) -> Any:
    base = getattr(a.dtype, "base", None)
    if base is None:
        return lambda a: a
    return lambda a: primals(values_of(a, base_zero(a)))


@intrinsic
def base_zero(typingctx: Any, a: Any) -> Any:
    """Return a zero of the elements' base type."""
    base = a.dtype.base
    return base(a), lambda context, builder, sig, args: context.get_constant_null(base)


@intrinsic
def promoted_zero(typingctx: Any, x: Any, y: Any, z: Any) -> Any:
    """Return a zero of the type that holds all of these, or their elements."""
    number = promote([types.unliteral(getattr(ty, "dtype", ty)) for ty in (x, y, z)])
    return number(x, y, z), lambda context, builder, sig, args: context.get_constant_null(number)
