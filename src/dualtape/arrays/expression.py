"""Elementwise expressions: trees of functions over operands that broadcast together.

A tree is evaluated once an element, with the numbers' own methods on emitted values; intermediate
results are not stored.  In reverse mode `Local` numbers carry the partials by the operands in
registers.  `loop` emits the loop around it.

Numba internals used (seen in 0.66 to 0.68): ``npyimpl._ArrayHelper`` and ``_ScalarHelper``, which
index broadcast operands.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

from llvmlite import ir
from numba.core import cgutils, types
from numba.np import npyimpl

from ..backend.calls import Value
from ..numbers.emitted import Emitted, unwrap, wrap
from ..numbers.number import Number
from ..numbers.plane_arrays import element_at, store_element, values_in
from ..numbers.registration import operand
from ..numbers.tracked import Tracked
from ..numbers.types import NumberType, PlanesType, is_array, partial_type, promote, root

_I64, _I1 = ir.IntType(64), ir.IntType(1)


def i64(value: int) -> Any:
    """Return an integer constant."""
    return ir.Constant(_I64, value)


def element(ty: Any) -> Any:
    """Return the type of an array's elements, or a scalar's own."""
    return ty.dtype if is_array(ty) else ty


class Node(NamedTuple):
    """A function of elements; a child is another node, or the position of an operand."""

    function: Callable[..., Any]
    keeps_integers: bool
    dtype: Any
    children: tuple[Any, ...]


class Expression(NamedTuple):
    """The result of a loop: a tree, or its sum or mean; over all elements if `axis` is None."""

    tree: Any
    name: str
    result: Any
    reduction: str = ""
    axis: int | None = None


class Local(Tracked):
    """A number of reverse mode inside a loop over elements.

    Its pairs are (position of an operand, partial by the element of that operand).
    """

    FIELDS = ("value", "rows", "partials")
    __slots__ = FIELDS
    tape: ClassVar[None] = None  # type: ignore[misc]

    def widths(self) -> tuple[int, ...]:
        """Return no widths: there is no type of such numbers."""
        return ()

    def _combine(self, other: Any, value: Any, mine: Any, others: Any) -> Any:
        total = dict(zip(self.rows, mine, strict=True))
        for row, partial in zip(other.rows, others, strict=True):
            total[row] = total[row] + partial if row in total else partial
        return self._with_pairs(value, None, tuple(total), tuple(total.values()))

    def _with_pairs(self, value: Any, tape: Any, rows: Any, partials: Any) -> Any:
        value = value.with_row() if isinstance(value, Number) else value
        return Local.of(value, tuple(rows), tuple(partials))


def select_function(dtype: Any) -> Callable[..., Any]:
    """Return the function of np.where: it selects and never blends."""

    def select(condition: Any, x: Any, y: Any) -> Any:
        context, builder = condition.context, condition.builder
        flag = context.is_true(builder, condition.type, condition.ir)

        def pick(a: Any, b: Any, ty: Any) -> Any:
            pair = (unwrap(v, ty, condition) for v in (a, b))
            return wrap(context, builder, ty, builder.select(flag, *pair))

        local = next((v for v in (x, y) if isinstance(v, Local)), None)
        if local is None:
            return pick(x, y, dtype)
        base, wide = dtype.base, partial_type(dtype.base)
        parts = [
            dict(zip(v.rows, v.partials, strict=True)) if isinstance(v, Local) else {}
            for v in (x, y)
        ]
        rows = tuple({**parts[0], **parts[1]})
        partials = [pick(parts[0].get(row, 0.0), parts[1].get(row, 0.0), wide) for row in rows]
        x, y = (v.value if isinstance(v, Local) else v for v in (x, y))
        return Local.of(pick(x, y, base), rows, tuple(partials))

    return select


class Operands:
    """The operands of a loop, indexed as they broadcast."""

    def __init__(self, context: Any, builder: Any, arg_types: Any, args: Any) -> None:
        self.context, self.builder = context, builder
        self.types, self.args = arg_types, args
        pairs = zip(arg_types, args, strict=True)
        self.helpers = [helper(context, builder, ty, arg) for ty, arg in pairs]
        self.ndim = max((getattr(array, "ndim", 0) for array in self.helpers), default=0)

    def common_shape(self, name: str, shape: list[Any]) -> list[Any]:
        """Return the shape to which `shape` and all operands broadcast, checked as NumPy does."""
        builder, one, conflict = self.builder, i64(1), cgutils.false_bit
        for array in self.helpers:
            for k in range(getattr(array, "ndim", 0)):
                axis, extent = len(shape) - array.ndim + k, array.shape[k]
                is_stretched = builder.icmp_signed("==", shape[axis], one)
                differs = builder.icmp_signed("!=", extent, shape[axis])
                differs = builder.and_(differs, builder.icmp_signed("!=", extent, one))
                conflict = builder.or_(conflict, builder.and_(differs, builder.not_(is_stretched)))
                shape[axis] = builder.select(is_stretched, extent, shape[axis])
        self.refuse_if(conflict, name)
        return shape

    def refuse_if(self, condition: Any, name: str) -> None:
        """Raise where shapes do not fit."""
        with cgutils.if_unlikely(self.builder, condition):
            message = (
                f"{name} on arrays of active numbers: the shapes of the operands do not broadcast "
                "together; each extent must be 1 or the same in all of them"
            )
            self.context.call_conv.return_user_exc(self.builder, ValueError, (message,))

    def indices(self) -> list[Any]:
        """Return the indices of the operands in a loop over the common shape."""
        return [array.create_iter_indices() for array in self.helpers]

    def load(self, indices: list[Any], position: Any) -> list[Any]:
        """Return the elements at a position of the loop."""
        values = []
        for i, (index, array) in enumerate(zip(indices, self.helpers, strict=True)):
            index.update_indices(position, i)
            values.append(array.load_data(index.as_values()))
        return values


def helper(context: Any, builder: Any, ty: Any, arg: Any) -> Any:
    """Return the helper that loads and stores elements of an operand."""
    if isinstance(ty, PlanesType):
        return _PlanesHelper(context, builder, Value(ty, arg))
    if not isinstance(ty, types.Array):
        return npyimpl._ScalarHelper(context, builder, arg, ty)
    array = context.make_array(ty)(context, builder, arg)
    shape = cgutils.unpack_tuple(builder, array.shape, ty.ndim)
    strides = cgutils.unpack_tuple(builder, array.strides, ty.ndim)
    return npyimpl._ArrayHelper(
        context, builder, shape, strides, array.data, ty.layout, ty.dtype, ty.ndim, arg
    )


class _PlanesHelper:
    """Loads the elements of planes: an array helper of their values."""

    def __init__(self, context: Any, builder: Any, planes: Any) -> None:
        self.context, self.builder, self.planes = context, builder, planes
        self.values = helper(context, builder, *values_in(context, builder, planes))
        self.ndim, self.shape = self.values.ndim, self.values.shape

    @property
    def distance(self) -> Any:
        """The distance in bytes from a value to its tangent."""
        struct = self.context.make_helper(self.builder, self.planes.type, value=self.planes.ir)
        return struct.origin

    def create_iter_indices(self) -> Any:
        """Return the indices of a loop."""
        return self.values.create_iter_indices()

    def load_data(self, indices: Any) -> Any:
        """Return an element."""
        pointer = self.values._load_effective_address(indices)
        return element_at(self.context, self.builder, self.planes, pointer)

    def store_data(self, indices: Any, number: Any) -> None:
        """Store an element with its tangent."""
        pointer = self.values._load_effective_address(indices)
        store_element(self.context, self.builder, self.planes, pointer, number)


class Evaluation:
    """The tree, evaluated on the elements at one position."""

    def __init__(self, operands: Operands, values: list[Any], slots: dict[int, int]) -> None:
        self.operands, self.values, self.slots = operands, values, slots
        self.known: dict[Any, Any] = {}  # what is used twice is computed once

    def of(self, tree: Any, dtype: Any) -> Any:
        """Return the value of a tree whose floats have the precision of `dtype`."""
        if isinstance(tree, int):
            return self._leaf(tree, root(dtype))
        if tree not in self.known:
            self.known[tree] = self._node(tree, dtype)
        return self.known[tree]

    def _node(self, tree: Node, dtype: Any) -> Any:
        dtype = tree.dtype if isinstance(tree.dtype, NumberType) else self._operand_type(tree)
        children = [self.of(child, dtype) for child in tree.children]
        if not tree.keeps_integers:
            children = [self._as_float(x, root(dtype)) for x in children]
        return tree.function(*children)

    def local(self, tree: Any, dtype: Any) -> Local:
        """Return the value of a tree with its partials; see `Kernel.in_arrays`."""
        builder = self.operands.builder
        builder.is_in_arrays = True
        y = self.of(tree, dtype)
        builder.is_in_arrays = False
        return y if isinstance(y, Local) else Local.of(y, (), ())

    def _operand_type(self, tree: Node) -> Any:
        """Return the promoted type of operands of a function without a number: of a comparison."""
        operand_types = [element(self.operands.types[child]) for child in tree.children]
        return promote([types.unliteral(ty) for ty in operand_types])

    def _as_float(self, x: Any, float_type: Any) -> Any:
        return x.cast(float_type) if isinstance(x, Emitted) else x

    def _leaf(self, position: int, float_type: Any) -> Any:
        context, builder = self.operands.context, self.operands.builder
        ty = element(self.operands.types[position])
        number = operand(context, builder, ty, self.values[position], float_type)
        if position in self.slots:
            return Local.of(number.value, (self.slots[position],), (1.0,))
        return number.named(1 + position) if isinstance(number, Number) else number
