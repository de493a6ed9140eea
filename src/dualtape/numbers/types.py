"""Numba types of active numbers: one by-value jitclass per family, base and widths.

`member_type` makes (once) the jitclass of one member and returns its instance type.  Types know
how they meet: floats and integers convert to a number (a constant has zero derivatives), so
``s = 0.0; s += dual``, ``y = dual if c else 0.0`` and ``a[i] = 1.0`` type as users expect, and a
number of a lower level converts to one of a higher level.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.core.typeconv import Conversion
from numba.extending import lower_cast

from ..backend.value_struct import ByValueInstance, by_value_jitclass
from ..errors import MixedNumbersError
from .emitted import unwrap, wrap

PLAIN = (types.Float, types.Integer, types.Boolean)


class NumberType(ByValueInstance, types.Hashable):
    """Numba type of the members of a number family."""

    def __init__(self, class_type: Any) -> None:
        _, (face, base, *widths) = class_type.reduction
        self.face = face
        self.base = base
        self.widths = tuple(widths)
        self.level = 1 + level(base)
        super().__init__(class_type)
        sizes = "x".join(map(str, widths))
        self.name = f"{face.__name__}{sizes}({base})"

    def __str__(self) -> str:
        return self.name

    @property
    def settled(self) -> NumberType:
        """The type of a number of this type that can be stored: pending ones are recorded."""
        face = getattr(self.face, "settled", None)
        return self if face is None else member_type(face, self.base)

    @property
    def slots(self) -> int:
        """How many (row, partial) pairs a number of reverse mode carries; 0 in forward mode."""
        if self.settled is not self:
            return int(self.face.count_slots(self.widths))
        return int(hasattr(self.face, "pending"))

    @property
    def has_tape(self) -> bool:
        """Whether these are numbers of reverse mode, recorded on a tape."""
        return bool(self.slots) and self.settled.face.has_tape

    def joined(self, others: list[NumberType]) -> NumberType:
        """Return the pending type of an operation on numbers of these types of one level."""
        face = self.settled.face.pending
        return member_type(face, self.base, *face.joined([_slots_of(ty) for ty in others]))

    def either(self, other: NumberType) -> NumberType:
        """Return the pending type of a variable that is sometimes this, sometimes `other`."""
        face = self.settled.face.pending
        return member_type(face, self.base, *face.either(self.widths, other.widths))

    def can_convert_from(self, typingctx: Any, other: Any) -> Any:
        """Constants become numbers with zero derivatives."""
        if isinstance(other, PLAIN):
            return Conversion.safe
        if isinstance(other, NumberType) and other.level < self.level:
            return Conversion.safe
        if self.slots and isinstance(other, NumberType) and other.level == self.level:
            has_slots = self.settled is self or bool(other.slots)
            fits = has_slots and (
                self.settled is self or self.face.fits(_slots_of(other), self.widths)
            )
            if fits and other.settled == self.settled:
                return Conversion.safe
            same = with_root(other.settled, root(self)) == self.settled
            return Conversion.promote if fits and same else None  # as Numba stores other widths
        same = isinstance(other, NumberType) and with_root(other, root(self)) == self
        return Conversion.promote if same else None

    def unify(self, typingctx: Any, other: Any) -> Any:
        """Return the type of a variable that is sometimes this, sometimes `other`."""
        if not isinstance(other, (*PLAIN, NumberType)):
            return None
        other = types.unliteral(other)
        result = promote([self, other])
        if self.settled is not self and result == self.settled:
            # Expressions of two branches stay pending; `twin.activation` records the variables
            # that loops carry.
            if level(other) < self.level:
                return self
            if other.settled is not other:
                return self.either(other)
        return result


def _slots_of(number: NumberType) -> tuple[int, ...]:
    """Return the widths of a number as a pending expression."""
    return number.face.one_slot if number.settled is number else number.widths


def may_be_planes(number: NumberType) -> bool:
    """Whether arrays of these numbers may be planes: on a tape, or with one tangent each."""
    is_dual = getattr(number.face, "has_planes", False) and number.widths == (1,)
    return number.has_tape or (is_dual and number.base == types.float64)


class PlanesType(types.IterableType):
    """Numba type of an array of numbers whose values are a plain array; see `plane_arrays`.

    Attributes
    ----------
    dtype : NumberType
        Type of the elements.
    ndim : int
    layout : str
        Layout of the values: "C", "F" or "A".
    """

    def __init__(self, dtype: NumberType, ndim: int, layout: str) -> None:
        self.dtype, self.ndim, self.layout = dtype, ndim, layout
        super().__init__(f"planes({dtype}, {ndim}d, {layout})")

    @property
    def key(self) -> Any:
        """What distinguishes one type from another."""
        return self.dtype, self.ndim, self.layout

    @property
    def has_rows(self) -> bool:
        """Whether the elements have rows on a tape; else they have tangents."""
        return bool(self.dtype.slots)

    @property
    def values(self) -> Any:
        """The type of the array of values, one level down."""
        return types.Array(self.dtype.base, self.ndim, self.layout)

    @property
    def numbers(self) -> Any:
        """The type of the same as an array of numbers."""
        return types.Array(self.dtype, self.ndim, "C")

    @property
    def iterator_type(self) -> Any:
        """The type of the iterator, which runs over an array of numbers."""
        return self.numbers.iterator_type

    def of(self, view: Any) -> Any:
        """Return the type of planes whose values are of another array type."""
        return PlanesType(self.dtype, view.ndim, view.layout)

    def unify(self, typingctx: Any, other: Any) -> Any:
        """Return the type of a variable that is sometimes this, sometimes `other`."""
        if isinstance(other, PlanesType) and other.key[:2] == self.key[:2]:
            return PlanesType(self.dtype, self.ndim, "A")
        if isinstance(other, types.Array):
            return typingctx.unify_pairs(self.numbers, other)
        return None

    def can_convert_to(self, typingctx: Any, other: Any) -> Any:
        """Planes of a known layout are such of any layout."""
        is_wider = isinstance(other, PlanesType) and other.key == (*self.key[:2], "A")
        return Conversion.safe if is_wider else None


def has_planes(ty: Any) -> bool:
    """Whether a value is planes, or a tuple that contains some."""
    if isinstance(ty, types.BaseTuple):
        return any(map(has_planes, ty))
    return isinstance(ty, PlanesType)


def without_planes(ty: Any) -> Any:
    """Return the type with arrays of numbers in place of planes."""
    return map_leaves(ty, lambda leaf: leaf.numbers if isinstance(leaf, PlanesType) else leaf)


def is_array(ty: Any) -> bool:
    """Whether a type is that of an array, of numbers or plain, or of planes."""
    return isinstance(ty, types.Array | PlanesType)


def present(ty: Any) -> Any:
    """Return the type of a value that is not None, of a variable that may start as None."""
    return ty.type if isinstance(ty, types.Optional) else ty


def level(ty: Any) -> int:
    """Return the nesting level of a type: 0 for plain ones."""
    return ty.level if isinstance(ty, NumberType) else 0


def highest_number(ty: Any) -> NumberType | None:
    """Return the number type of the highest level in an argument type."""
    ty = present(ty)
    if isinstance(ty, NumberType):
        return ty
    if isinstance(ty, types.Array | types.List | types.ListType | types.Set | PlanesType):
        return highest_number(ty.dtype)
    if isinstance(ty, types.BaseTuple):
        numbers = [n for n in map(highest_number, ty) if n is not None]
        return max(numbers, key=level, default=None)
    if isinstance(ty, types.ClassInstanceType):
        return getattr(ty.class_type, "number", None)
    return None


def holds_numbers(ty: Any) -> bool:
    """Whether a type is an array, list or tuple of active numbers, or of containers of them."""
    if isinstance(ty, types.Array | types.List | types.UniTuple | PlanesType):
        return isinstance(ty.dtype, NumberType) or holds_numbers(ty.dtype)
    return False


def tuple_like(ty: Any, items: list[Any]) -> Any:
    """Return the tuple type of the same kind (namedtuples keep their class)."""
    cls = getattr(ty, "instance_class", None)
    return types.BaseTuple.from_types(items, None if cls is tuple else cls)


def plain_type(ty: Any) -> Any:
    """Return the plain function's type in place of one with active numbers."""
    if highest_number(ty) is None:
        return ty
    if isinstance(ty, NumberType):
        return root(ty)
    if isinstance(ty, types.Optional):
        return types.Optional(plain_type(ty.type))
    if isinstance(ty, PlanesType):
        return ty.values.copy(dtype=root(ty.dtype))
    if isinstance(ty, types.Array):
        return ty.copy(dtype=root(ty.dtype))
    if isinstance(ty, types.BaseTuple):
        return tuple_like(ty, [plain_type(item) for item in ty])
    if isinstance(ty, types.ListType):
        return types.ListType(plain_type(ty.dtype))
    return types.List(plain_type(ty.dtype), reflected=ty.reflected)


def root(ty: Any) -> Any:
    """Return the float type at the bottom."""
    while isinstance(ty, NumberType):
        ty = ty.base
    return ty


def promote_plain(ty: Any) -> Any:
    """Return the float type in which derivatives of a plain argument are computed."""
    ty = types.unliteral(ty)
    return ty if isinstance(ty, types.Float) else types.float64


def with_root(ty: Any, float_type: Any) -> Any:
    """Return the same nesting of numbers over another float type."""
    if not isinstance(ty, NumberType):
        return float_type
    return member_type(ty.face, with_root(ty.base, float_type), *ty.widths)


def promote(arg_types: list[Any]) -> Any:
    """Return the type of a result of all these operands.

    Raises
    ------
    MixedNumbersError
        If two different kinds of numbers of the highest level meet.
    """
    arg_types = [getattr(ty, "settled", ty) for ty in arg_types]
    top = max(arg_types, key=level)
    for ty in arg_types:
        if level(ty) == level(top) and with_root(ty, root(top)) != top:
            raise MixedNumbersError(
                f"{ty} and {top} cannot meet in one operation: both have level {top.level}. "
                "Use numbers of one kind within one derivative."
            )
    # As NumPy: float32 with float32 stays float32, anything else computes in float64.
    narrow = all(root(ty) == types.float32 for ty in arg_types)
    return with_root(top, types.float32 if narrow else types.float64)


def partial_type(base: Any) -> Any:
    """Return the type of the partials on a tape of numbers over `base`: never single precision.

    A function of float32 numbers may go on in float64, and its tape holds one kind of partials.
    """
    return with_root(base, types.float64)


def limit_slots(arg_types: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return operand types of an operation with not too many slots: wide ones are recorded."""
    narrow = list(arg_types)
    while _too_many_slots(narrow):
        widest = max(range(len(narrow)), key=lambda i: getattr(narrow[i], "slots", 0))
        if narrow[widest].slots == 1:
            break
        narrow[widest] = narrow[widest].settled
    return tuple(narrow)


def _too_many_slots(arg_types: list[Any]) -> bool:
    pending = [ty for ty in arg_types if getattr(ty, "slots", 0)]
    if not pending:
        return False
    face = pending[0].settled.face
    if len({ty.settled for ty in pending}) > 1:  # of different levels
        return sum(ty.slots for ty in pending) > face.K_MAX
    return face.pending.count_slots(face.pending.joined(list(map(_slots_of, pending)))) > face.K_MAX


def operation_type(arg_types: list[Any]) -> Any:
    """Return the type of a scalar operation's result: of reverse numbers, one still pending."""
    top = promote(arg_types)
    if not top.slots:
        return top
    return top.joined([ty for ty in arg_types if level(ty) == top.level])


@functools.cache
def member_type(face: Any, base: Any, *widths: int) -> NumberType:
    """Return the Numba type of `face` numbers over `base` with these numbers of derivatives.

    Parameters
    ----------
    face : type
        `VectorDual` or `HyperDual`.
    base : numba type
        float64, float32 or another number type (nested derivatives).
    *widths : int
        How many derivatives each group of partials holds.
    """
    spec = face.fields(base, *widths)

    class Member:  # a class statement creates only attributes that Numba accepts
        __module__ = face.__module__
        __qualname__ = "_".join((face.__name__, *map(str, widths)))  # part of the type's name
        __doc__ = ", ".join(name for name, _ in spec)

        def __init__(self) -> None:  # jitclasses have one; `construction` makes numbers
            pass

    Member.__name__ = face.__name__
    reduction = (member_type, (face, base, *widths))
    jitclass = by_value_jitclass(spec, reduction, NumberType)(Member)
    return jitclass.class_type.instance_type


@lower_cast(types.Float, NumberType)
@lower_cast(types.Integer, NumberType)
@lower_cast(types.Boolean, NumberType)
@lower_cast(NumberType, NumberType)
def _cast(context: Any, builder: Any, from_type: Any, to_type: Any, value: Any) -> Any:
    return cast(context, builder, from_type, to_type, value)


def cast(context: Any, builder: Any, from_type: Any, to_type: Any, value: Any) -> Any:
    """Convert an LLVM value to number type `to_type`."""
    if from_type == to_type:
        return value
    if isinstance(from_type, PLAIN):
        value = context.cast(builder, value, from_type, root(to_type))
        from_type = root(to_type)
    return unwrap(wrap(context, builder, from_type, value), to_type)


def map_leaves(ty: Any, function: Callable[[Any], Any]) -> Any:
    """Apply `function` to the scalar and array types of a structure of tuples."""
    if isinstance(ty, types.BaseTuple):
        return tuple_like(ty, [map_leaves(item, function) for item in ty])
    return function(ty)
