"""Emitted values: the algebra of the number types, written once, run while code is generated.

The methods of `VectorDual` and `HyperDual` are straight-line formulas on their fields.  At the
prompt the fields are Python floats and the formulas compute.  When Numba lowers ``x * y`` the
fields are the objects of this module instead: each wraps an LLVM value, and ``a * b + c`` emits
the instructions.  One text of the algebra therefore serves both, and an operation on numbers
costs no run of Numba's compiler (a dispatcher call per operation compiles ten times slower).

Derivative parts follow IEEE arithmetic (`quotient`, never an exception); ``a / b`` is the
user's own division and raises where that would.
"""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types

from ..backend.calls import invoke
from .partials import PartialsType, assemble, gather_lanes, splat, split

_DOUBLE = ir.DoubleType()


class _InCode:
    """A value in generated code: its Numba type and LLVM value, and where code is emitted."""

    __slots__ = ("builder", "context", "ir", "type")

    def __init__(self, context: Any, builder: Any, ty: Any, value: Any) -> None:
        self.context = context
        self.builder = builder
        self.type = ty
        self.ir = value

    def _like(self, value: Any) -> Any:
        return type(self)(self.context, self.builder, self.type, value)


class Emitted(_InCode):
    """A float (or integer) value in generated code."""

    level = 0
    __slots__ = ()

    def cast(self, ty: Any) -> Emitted:
        """Convert to another plain type."""
        value = self.context.cast(self.builder, self.ir, self.type, ty)
        return Emitted(self.context, self.builder, ty, value)

    def constant(self, value: float) -> Emitted:
        """Return a constant of this value's type."""
        return self._like(ir.Constant(self.ir.type, float(value)))

    def _operand(self, other: Any) -> Any:
        if isinstance(other, Emitted):
            return other.cast(self.type).ir if other.type != self.type else other.ir
        return ir.Constant(self.ir.type, float(other))

    def _binary(self, instruction: str, other: Any, *, swap: bool = False) -> Any:
        if not isinstance(other, Emitted | float | int):
            return NotImplemented
        a, b = self.ir, self._operand(other)
        return self._like(getattr(self.builder, instruction)(*((b, a) if swap else (a, b))))

    def __add__(self, other: Any) -> Any:
        return self._binary("fadd", other)

    def __radd__(self, other: Any) -> Any:
        return self._binary("fadd", other, swap=True)

    def __sub__(self, other: Any) -> Any:
        return self._binary("fsub", other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary("fsub", other, swap=True)

    def __mul__(self, other: Any) -> Any:
        return self._binary("fmul", other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary("fmul", other, swap=True)

    def __neg__(self) -> Emitted:
        return self._like(self.builder.fneg(self.ir))

    def __truediv__(self, other: Any) -> Any:
        if not isinstance(other, Emitted | float | int):
            return NotImplemented
        if not isinstance(other, Emitted):
            other = self.constant(other)
        return call(operator.truediv, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self.constant(other) / self

    def over(self, other: Any) -> Emitted:
        """Divide by IEEE rules, whatever the error model of the surrounding function."""
        return self._like(self.builder.fdiv(self.ir, self._operand(other)))

    def zero(self) -> Emitted:
        """Return the zero of this type."""
        return self.constant(0.0)


class EmittedPartials(_InCode):
    """n derivatives in generated code: a vector register, or an array of numbers."""

    __slots__ = ()

    def __len__(self) -> int:
        return int(self.type.n)

    def lanes(self) -> list[Any]:
        """Return the lanes as values of the base type."""
        values = split(self.builder, self.ir, self.type.n)
        return [wrap(self.context, self.builder, self.type.base, value) for value in values]

    def build(self, lanes: list[Any]) -> EmittedPartials:
        """Return partials of this type with these lanes."""
        values = [unwrap(lane, self.type.base) for lane in lanes]
        ir_type = self.context.get_value_type(self.type)
        return self._like(assemble(self.builder, ir_type, values))

    def splat(self, scalar: Any) -> Any:
        """Return a vector of copies of `scalar`."""
        if isinstance(scalar, Emitted):
            scalar = scalar.cast(self.type.base).ir
        else:
            scalar = ir.Constant(self.ir.type.element, float(scalar))
        return splat(self.builder, scalar, self.type.n)

    def _lanewise(self, op: Any, instruction: str, other: EmittedPartials) -> EmittedPartials:
        if self.type.is_vector:
            return self._like(getattr(self.builder, instruction)(self.ir, other.ir))
        pairs = zip(self.lanes(), other.lanes(), strict=True)
        return self.build([op(a, b) for a, b in pairs])

    def __add__(self, other: EmittedPartials) -> EmittedPartials:
        return self._lanewise(operator.add, "fadd", other)

    def __sub__(self, other: EmittedPartials) -> EmittedPartials:
        return self._lanewise(operator.sub, "fsub", other)

    def __mul__(self, scalar: Any) -> EmittedPartials:
        if self.type.is_vector:
            return self._like(self.builder.fmul(self.ir, self.splat(scalar)))
        return self.build([lane * scalar for lane in self.lanes()])

    def __neg__(self) -> EmittedPartials:
        if self.type.is_vector:
            return self._like(self.builder.fneg(self.ir))
        return self.build([-lane for lane in self.lanes()])

    def zero(self) -> EmittedPartials:
        """Return zero partials of this type."""
        return zero_partials(self.context, self.builder, self.type)


def zero_partials(context: Any, builder: Any, ty: Any) -> Any:
    """Return zero derivatives of a slot type (`Emitted` where the slot is one number)."""
    return wrap(context, builder, ty, ir.Constant(context.get_value_type(ty), None))


def wrap(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    """Give an LLVM value of type `ty` the arithmetic of that type."""
    if isinstance(ty, PartialsType):
        return EmittedPartials(context, builder, ty, value)
    face = getattr(ty, "face", None)
    if face is None:
        return Emitted(context, builder, types.unliteral(ty), value)
    struct = context.make_helper(builder, ty, value=value)
    fields = [
        _wrap_field(context, builder, field_type, getattr(struct, "m_" + name))
        for name, field_type in ty.struct.items()
    ]
    return face.of_type(ty, fields)


def _wrap_field(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    if not isinstance(ty, types.BaseTuple):
        return wrap(context, builder, ty, value)
    items = split(builder, value, len(ty))
    return tuple(wrap(context, builder, t, item) for t, item in zip(ty, items, strict=True))


def unwrap(value: Any, ty: Any, emitted: Any = None) -> Any:
    """Return the LLVM value of `value` as type `ty`; passive values get zero derivatives."""
    emitted = find_emitted(value) if emitted is None else emitted
    context, builder = emitted.context, emitted.builder
    if isinstance(value, float | int):
        value = Emitted(context, builder, types.float64, ir.Constant(_DOUBLE, float(value)))
    if isinstance(value, Emitted | EmittedPartials) and value.type == ty:
        return value.ir
    if isinstance(value, EmittedPartials):
        return zero_partials(context, builder, ty).build(value.lanes()).ir
    if not hasattr(ty, "face"):
        return value.cast(ty).ir
    if hasattr(ty.face, "pack"):
        # Where a pending number becomes one with a row, this conversion records it on the tape.
        return ty.face.pack(value, ty, emitted)
    struct = context.make_helper(builder, ty)
    same_level = value.level == ty.level
    for name, field_type in ty.struct.items():
        if same_level:
            field = unwrap(getattr(value, name), field_type, emitted)
        elif name == "value":
            field = unwrap(value, field_type, emitted)
        else:
            field = ir.Constant(context.get_value_type(field_type), None)
        setattr(struct, "m_" + name, field)
    return struct._getvalue()


def find_emitted(value: Any) -> Any:
    """Return an emitted value inside `value`, which has the builder, or None."""
    if isinstance(value, Emitted | EmittedPartials):
        return value
    if getattr(value, "level", 0) == 0:
        return None
    fields = (find_emitted(getattr(value, name)) for name in value.FIELDS)
    return next((field for field in fields if field is not None), None)


def call(function: Any, *args: Any) -> Any:
    """Call a function that Numba can compile (an operator, a dispatcher) on emitted values."""
    emitted = next(e for e in map(find_emitted, args) if e is not None)
    context, builder = emitted.context, emitted.builder
    args = tuple(arg.with_row() if hasattr(arg, "with_row") else arg for arg in args)
    if getattr(builder, "is_in_arrays", False):
        function = getattr(function, "in_arrays", function)
    arg_types = tuple(type_of(arg) for arg in args)
    values = [unwrap(arg, ty, emitted) for arg, ty in zip(args, arg_types, strict=True)]
    result_type, result = invoke(context, builder, function, arg_types, values)
    return wrap(context, builder, result_type, result)


def call_tuple(function: Any, *args: Any) -> tuple[Any, ...]:
    """Call a function that returns a tuple, see `call`; another result is a tuple of one."""
    items = call(function, *args)
    if not isinstance(getattr(items, "type", None), types.BaseTuple):
        return (items,)
    values = split(items.builder, items.ir, len(items.type))
    return tuple(
        wrap(items.context, items.builder, ty, value)
        for ty, value in zip(items.type, values, strict=True)
    )


def type_of(value: Any) -> Any:
    """Return the Numba type of an emitted value or number."""
    if isinstance(value, float | int):
        return types.float64
    if isinstance(value, Emitted | EmittedPartials):
        return value.type
    base = type_of(value.value)
    return value.type_over(getattr(base, "settled", base))


# Quotient and product that `/` and `*` do not express, for emitted values and Python numbers.


def quotient(a: Any, b: Any) -> Any:
    """Divide by IEEE rules: 1/0 is inf, 0/0 is nan, and nothing is raised."""
    if getattr(b, "level", 0) > getattr(a, "level", 0):
        return b.rover(a)
    if hasattr(a, "over"):
        return a.over(b)
    if isinstance(b, Emitted):
        return b.constant(a).over(b)
    with np.errstate(all="ignore"):
        return float(np.float64(a) / np.float64(b))


def strong(partial: Any, factor: Any, *, either: bool = False) -> Any:
    """Multiply, where a `partial` that is exactly zero stays zero whatever `factor` is.

    An input that cannot influence a result can then never make its derivative NaN: the
    derivative of ``sqrt(y)`` with respect to an x that y does not depend on is 0, also at y = 0.
    With `either`, a zero `factor` decides as well.
    """
    if isinstance(partial, tuple):
        return type(partial)(strong(lane, factor, either=either) for lane in partial)
    if isinstance(partial, EmittedPartials):
        if not partial.type.is_vector:
            return partial.build([strong(lane, factor, either=either) for lane in partial.lanes()])
        return partial._like(_select(partial, partial.splat(factor), either=either))
    if hasattr(partial, "strong"):
        return partial.strong(factor, either=either)
    if getattr(factor, "level", 0) > 0:
        # A plain partial of an expression whose second factor is differentiated further. Its own
        # zero decides for all parts of the product, theirs for themselves.
        f = strong(partial, factor.value, either=either)
        return factor.lift1(f, partial, None, strong_either)
    if isinstance(partial, Emitted):
        return partial._like(_select(partial, partial._operand(factor), either=either))
    if either and isinstance(factor, Emitted):
        return strong(factor.constant(partial), factor, either=True)
    is_zero = partial == 0.0 or (either and factor == 0.0)
    return 0.0 if is_zero else partial * factor


def strong_either(partial: Any, factor: Any) -> Any:
    """Multiply, where an exact zero on either side gives zero."""
    return strong(partial, factor, either=True)


def _select(partial: Any, factor: Any, *, either: bool) -> Any:
    builder, zero = partial.builder, ir.Constant(partial.ir.type, None)
    is_zero = builder.fcmp_ordered("==", partial.ir, zero)
    if either:
        is_zero = builder.or_(is_zero, builder.fcmp_ordered("==", factor, zero))
    return builder.select(is_zero, zero, builder.fmul(partial.ir, factor))


def outer(a: Any, b: Any, product: Any = operator.mul) -> Any:
    """Return all products a_i b_j, row by row; under a strong `product`, 0 times inf is 0."""
    if product is not operator.mul:
        product = strong_either
    if isinstance(a, EmittedPartials) and isinstance(b, EmittedPartials):
        n, m = a.type.n, b.type.n
        ty = PartialsType(a.type.base, n * m)
        if a.type.is_vector:
            rows = gather_lanes(a.builder, a.ir, [i for i in range(n) for _ in range(m)])
            columns = gather_lanes(b.builder, b.ir, [j for _ in range(n) for j in range(m)])
            block = EmittedPartials(a.context, a.builder, ty, rows)
            if product is operator.mul:
                return block._like(a.builder.fmul(rows, columns))
            return block._like(_select(block, columns, either=True))
        products = [product(x, y) for x in a.lanes() for y in b.lanes()]
        return zero_partials(a.context, a.builder, ty).build(products)
    if isinstance(a, tuple) and isinstance(b, tuple):
        return type(a)(product(x, y) for x in a for y in b)
    return product(b, a) if isinstance(b, EmittedPartials | tuple) else product(a, b)
