"""Numba types of active numbers: one by-value jitclass per family, base and widths.

`member_type` makes (once) the jitclass of one member and returns its instance type.  Types know
how they meet: floats and integers convert to a number (a constant has zero derivatives), so
``s = 0.0; s += dual``, ``y = dual if c else 0.0`` and ``a[i] = 1.0`` type as users expect, and a
number of a lower level converts to one of a higher level.
"""

from __future__ import annotations

import functools
from typing import Any

from numba.core import types
from numba.core.typeconv import Conversion
from numba.extending import lower_cast

from .byvalue import ByValueInstance, by_value_jitclass
from .emit import unwrap, wrap
from .errors import MixedNumbersError

__all__ = [
    "PLAIN",
    "NumberType",
    "cast",
    "highest_number",
    "holds_numbers",
    "level",
    "member_type",
    "narrowed",
    "operation_type",
    "partial_type",
    "plain_type",
    "present",
    "promote",
    "promote_plain",
    "root",
    "tuple_like",
    "with_root",
]

PLAIN = (types.Float, types.Integer, types.Boolean)


class NumberType(ByValueInstance):
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
        if hasattr(self.face, "pending"):
            return 1
        return self.widths[0] if self.settled is not self else 0

    def with_slots(self, count: int) -> NumberType:
        """Return the pending type with this many slots."""
        face = getattr(self.settled.face, "pending", None)
        return member_type(face, self.base, count)

    def can_convert_from(self, typingctx: Any, other: Any) -> Any:
        """Constants become numbers with zero derivatives."""
        if isinstance(other, PLAIN):
            return Conversion.safe
        if isinstance(other, NumberType) and other.level < self.level:
            return Conversion.safe
        if self.slots and isinstance(other, NumberType) and other.level == self.level:
            fits = self.settled is self or other.slots <= self.slots
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
            # Expressions of two branches stay pending; what loops carry is recorded by `activate`.
            if level(other) < self.level:
                return self
            if other.settled is not other:
                return self.with_slots(max(self.slots, other.slots))
        return result


def present(ty: Any) -> Any:
    """Return the type of a value that is there: a variable that starts as None may hold it."""
    return ty.type if isinstance(ty, types.Optional) else ty


def level(ty: Any) -> int:
    """Return the nesting level of a type: 0 for plain ones."""
    return ty.level if isinstance(ty, NumberType) else 0


def highest_number(ty: Any) -> NumberType | None:
    """Return the number type of the highest level found in an argument type."""
    ty = present(ty)
    if isinstance(ty, NumberType):
        return ty
    if isinstance(ty, types.Array | types.List | types.ListType):
        return highest_number(ty.dtype)
    if isinstance(ty, types.BaseTuple):
        found = [n for n in map(highest_number, ty) if n is not None]
        return max(found, key=level, default=None)
    return None


def holds_numbers(ty: Any) -> bool:
    """Whether a type is an array, list or tuple of active numbers, or of such."""
    if isinstance(ty, types.Array | types.List | types.UniTuple):
        return isinstance(ty.dtype, NumberType) or holds_numbers(ty.dtype)
    return False


def tuple_like(ty: Any, items: list[Any]) -> Any:
    """Return the tuple type of the same kind (namedtuples keep their class)."""
    cls = getattr(ty, "instance_class", None)
    return types.BaseTuple.from_types(items, None if cls is tuple else cls)


def plain_type(ty: Any) -> Any:
    """Return the type that the plain function has in place of one with active numbers."""
    if highest_number(ty) is None:
        return ty
    if isinstance(ty, NumberType):
        return root(ty)
    if isinstance(ty, types.Optional):
        return types.Optional(plain_type(ty.type))
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
    """Return the type that holds a result of all these operands.

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


def narrowed(arg_types: tuple[Any, ...], limit: int) -> tuple[Any, ...]:
    """Return operand types with at most `limit` slots in all: the widest are recorded first."""
    narrow = list(arg_types)
    while sum(getattr(ty, "slots", 0) for ty in narrow) > limit:
        widest = max(range(len(narrow)), key=lambda i: getattr(narrow[i], "slots", 0))
        if narrow[widest].slots == 1:
            break
        narrow[widest] = narrow[widest].settled
    return tuple(narrow)


def operation_type(arg_types: list[Any]) -> Any:
    """Return the type of a scalar operation's result: of reverse numbers, one still pending."""
    top = promote(arg_types)
    if not top.slots:
        return top
    return top.with_slots(sum(ty.slots for ty in arg_types if level(ty) == top.level))


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

    class Member:  # a class statement, whose attributes are those that Numba knows of
        __module__ = face.__module__
        __qualname__ = face.__name__
        __doc__ = ", ".join(name for name, _ in spec)
        __init__ = _INITS[face.FIELDS]

    Member.__name__ = face.__name__
    reduction = (member_type, (face, base, *widths))
    jitclass = by_value_jitclass(spec, reduction, NumberType)(Member)
    return jitclass.class_type.instance_type


def _init_vector_dual(self: Any, value: Any, partials: Any) -> None:
    self.value = value
    self.partials = partials


def _init_hyper_dual(self: Any, value: Any, e1: Any, e2: Any, e12: Any) -> None:
    self.value = value
    self.e1 = e1
    self.e2 = e2
    self.e12 = e12


def _init_active(self: Any, value: Any, row: Any, tape: Any) -> None:
    self.value = value
    self.row = row
    self.tape = tape


def _init_pending(self: Any, value: Any, tape: Any, rows: Any, partials: Any) -> None:
    self.value = value
    self.tape = tape
    self.rows = rows
    self.partials = partials


_INITS = {
    ("value", "partials"): _init_vector_dual,
    ("value", "e1", "e2", "e12"): _init_hyper_dual,
    ("value", "row", "tape"): _init_active,
    ("value", "tape", "rows", "partials"): _init_pending,
}


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
