"""Partials: the n derivatives a number carries, as one SIMD register.

``PartialsType(base, n)`` is lowered to the LLVM vector ``<n x double>``, so one multiply of the
chain rule is one instruction for all n directions; over a base that is itself an active number
it is an array of n numbers.  In memory it is a packed array (the natural alignment of
``<8 x double>`` is 64 bytes, which elements of an array do not have).

At the prompt the same thing is `Partials`, a tuple with arithmetic.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.pythonapi import NativeValue, box, unbox
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model, typeof_impl

_I32 = ir.IntType(32)


class PartialsType(types.Type):
    """Numba type of n derivatives of one base type."""

    def __init__(self, base: Any, n: int) -> None:
        self.base = base
        self.n = n
        super().__init__(f"Partials({base},{n})")

    @property
    def is_vector(self) -> bool:
        """Whether the lanes sit in one SIMD register."""
        return isinstance(self.base, types.Float) and self.n > 1


def slot_type(base: Any, n: int) -> Any:
    """Return the type of n derivatives where a single one is a plain number."""
    return base if n == 1 else PartialsType(base, n)


@register_model(PartialsType)
class _PartialsModel(models.DataModel):
    def __init__(self, dmm: Any, t: PartialsType) -> None:
        super().__init__(dmm, t)
        self.base = dmm.lookup(t.base)
        self.n = t.n
        self.is_vector = t.is_vector

    def get_value_type(self) -> Any:
        if self.is_vector:
            return ir.VectorType(self.base.get_value_type(), self.n)
        return ir.ArrayType(self.base.get_value_type(), self.n)

    def get_data_type(self) -> Any:
        return ir.ArrayType(self.base.get_data_type(), self.n)

    def as_data(self, builder: Any, value: Any) -> Any:
        out = ir.Constant(self.get_data_type(), ir.Undefined)
        for i in range(self.n):
            lane = _extract(builder, value, i)
            out = builder.insert_value(out, self.base.as_data(builder, lane), i)
        return out

    def from_data(self, builder: Any, value: Any) -> Any:
        lanes = [
            self.base.from_data(builder, builder.extract_value(value, i)) for i in range(self.n)
        ]
        return assemble(builder, self.get_value_type(), lanes)

    def load_from_data_pointer(self, builder: Any, ptr: Any, align: int | None = None) -> Any:
        if self.is_vector:
            vector = builder.bitcast(ptr, self.get_value_type().as_pointer())
            return builder.load(vector, align=self.fe_type.base.bitwidth // 8)
        return self.from_data(builder, builder.load(ptr, align=align))

    def as_argument(self, builder: Any, value: Any) -> Any:
        return value

    def from_argument(self, builder: Any, value: Any) -> Any:
        return value

    def as_return(self, builder: Any, value: Any) -> Any:
        return self.as_data(builder, value)

    def from_return(self, builder: Any, value: Any) -> Any:
        return self.from_data(builder, value)

    def get_argument_type(self) -> Any:
        return self.get_value_type()

    def get_return_type(self) -> Any:
        return self.get_data_type()

    def traverse(self, builder: Any) -> list[Any]:
        return []


def _extract(builder: Any, value: Any, i: int) -> Any:
    if isinstance(value.type, ir.VectorType):
        return builder.extract_element(value, ir.Constant(_I32, i))
    return builder.extract_value(value, i)


def assemble(builder: Any, ir_type: Any, lanes: list[Any]) -> Any:
    """Put lane values into one vector (or array) value."""
    out = ir.Constant(ir_type, ir.Undefined)
    for i, lane in enumerate(lanes):
        if isinstance(ir_type, ir.VectorType):
            out = builder.insert_element(out, lane, ir.Constant(_I32, i))
        else:
            out = builder.insert_value(out, lane, i)
    return out


def split(builder: Any, value: Any, n: int) -> list[Any]:
    """Return the n lane values."""
    return [_extract(builder, value, i) for i in range(n)]


def splat(builder: Any, scalar: Any, n: int) -> Any:
    """Return a vector that holds `scalar` in every lane."""
    vector = ir.VectorType(scalar.type, n)
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, scalar, ir.Constant(_I32, 0))
    mask = ir.Constant(ir.VectorType(_I32, n), [0] * n)
    return builder.shuffle_vector(first, undefined, mask)


def gather_lanes(builder: Any, vector: Any, lanes: list[int]) -> Any:
    """Return a vector with the named lanes of `vector`."""
    undefined = ir.Constant(vector.type, ir.Undefined)
    mask = ir.Constant(ir.VectorType(_I32, len(lanes)), lanes)
    return builder.shuffle_vector(vector, undefined, mask)


# Reading lanes in user code: p[i], len(p), iteration by index.


@infer_global(operator.getitem)
class _GetLane(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        partials, index = args
        if isinstance(partials, PartialsType) and isinstance(index, types.Integer):
            return signature(partials.base, partials, types.intp)
        return None


@lower_builtin(operator.getitem, PartialsType, types.Integer)
def _get_lane(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    partials = sig.args[0]
    value, index = args
    n = ir.Constant(index.type, partials.n)
    from_the_end = builder.icmp_signed("<", index, ir.Constant(index.type, 0))
    index = builder.select(from_the_end, builder.add(index, n), index)
    out_of_range = builder.icmp_unsigned(">=", index, n)
    with builder.if_then(out_of_range, likely=False):
        context.call_conv.return_user_exc(builder, IndexError, ("partials index out of range",))
    if partials.is_vector:
        return builder.extract_element(value, index)
    slots = cgutils.alloca_once_value(builder, value)
    return builder.load(cgutils.gep(builder, slots, 0, index))


@infer_global(len)
class _Length(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(types.intp, *args) if isinstance(args[0], PartialsType) else None


@lower_builtin(len, PartialsType)
def _length(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return context.get_constant(types.intp, sig.args[0].n)


class Partials(tuple[Any, ...]):
    """n derivatives at the prompt: a tuple whose ``+ - *`` work lane by lane."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(list(self))

    def __add__(self, other: Iterable[Any]) -> Partials:
        return Partials(a + b for a, b in zip(self, other, strict=True))

    def __sub__(self, other: Iterable[Any]) -> Partials:
        return Partials(a - b for a, b in zip(self, other, strict=True))

    def __mul__(self, scalar: Any) -> Partials:
        return Partials(a * scalar for a in self)

    def __neg__(self) -> Partials:
        return Partials(-a for a in self)


@typeof_impl.register(Partials)
def _typeof_partials(val: Partials, c: Any) -> Any:
    return PartialsType(
        typeof_impl(float(val[0]) if isinstance(val[0], int) else val[0], c), len(val)
    )


@box(PartialsType)
def _box_partials(typ: Any, val: Any, c: Any) -> Any:
    lanes = [c.box(typ.base, lane) for lane in split(c.builder, val, typ.n)]
    lane_tuple = c.pyapi.tuple_pack(lanes)
    face = c.pyapi.unserialize(c.pyapi.serialize_object(Partials))
    boxed = c.pyapi.call_function_objargs(face, (lane_tuple,))
    for obj in (face, lane_tuple, *lanes):
        c.pyapi.decref(obj)
    return boxed


@unbox(PartialsType)
def _unbox_partials(typ: Any, obj: Any, c: Any) -> Any:
    natives = [c.unbox(typ.base, c.pyapi.tuple_getitem(obj, i)) for i in range(typ.n)]
    is_error = cgutils.false_bit
    for native in natives:
        is_error = c.builder.or_(is_error, native.is_error)
    ir_type = c.context.get_value_type(typ)
    value = assemble(c.builder, ir_type, [native.value for native in natives])
    return NativeValue(value, is_error=is_error)
