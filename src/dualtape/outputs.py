"""What a function returns, as one vector of numbers, and Jacobians cut into its structure."""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types

from . import read
from .errors import NotScalarError
from .numbertype import NumberType, level
from .plan import Plan, base_type, block_type, element, leaves, map_leaves, told_kind
from .run import Run

__all__ = ["Outputs", "as_vector", "jacobian_blocks", "vector_type"]


class Outputs:
    """Types and code of the result of a function whose Jacobian is computed.

    Numbers, arrays, and tuples or lists of numbers are taken as one array; other tuples are
    structures, whose numbers and arrays are put one after another into a vector.
    """

    def __init__(self, plan: Plan, result: Any) -> None:
        self._plan = plan
        self._result = result
        self._is_structure = isinstance(result, types.BaseTuple) and any(
            isinstance(item, types.Array | types.BaseTuple) for item in result
        )
        if self._is_structure:
            self.flat_type = self._structure_type()
            self.value_type = base_type(result, plan.number)
        else:
            self.flat_type = vector_type(plan, result)
            self.value_type = base_type(self.flat_type, plan.number)

    def _structure_type(self) -> Any:
        elements = [element(leaf) for leaf in leaves(self._result)]
        if not all(isinstance(ty, NumberType | types.Number) for ty in elements):
            raise NotScalarError(_not_numbers(self._plan, self._result))
        active = any(level(ty) == self._plan.number.level for ty in elements)
        return types.Array(self._plan.number if active else self._plan.base, 1, "C")

    def jacobian_type(self, *, single: bool) -> Any:
        """Return the type: for every output, in the structure of the inputs, a block."""

        def row(y_type: Any) -> Any:
            parts = [
                map_leaves(ty, lambda x_type: block_type(self._plan, y_type, x_type))
                for ty in self._plan.inputs
            ]
            return parts[0] if single else types.BaseTuple.from_types(parts)

        return map_leaves(self.value_type, row)

    def flattened(self, run: Run, raw: Any) -> Any:
        """Return the result as a vector (a number, or an array of any shape, as it is)."""
        if not self._is_structure:
            return as_vector(run, self._result, raw)
        dtype = self.flat_type.dtype
        like = dtype, run.context.get_constant_null(dtype)
        found = list(run.items(self._result, raw))
        size = run.constant(0)
        for ty, value in found:
            size = run.builder.add(size, run.leaf_size(ty, value))
        flat = run.zeros([size], dtype)
        first = run.constant(0)
        for ty, value in found:
            put = read.put_array if isinstance(ty, types.Array) else read.put_number
            run.kernel(put, flat, (types.intp, first), (ty, value), like)
            first = run.builder.add(first, run.leaf_size(ty, value))
        return flat[1]

    def value(self, run: Run, raw: Any, flat: Any) -> Any:
        """Return the value of the result, one level down."""
        source = (self._result, raw) if self._is_structure else (self.flat_type, flat)
        return run.base_value(*source)[1]

    def release(self, run: Run, raw: Any, flat: Any) -> None:
        """Drop the result."""
        run.release(self.flat_type, flat)
        if self._is_structure:
            run.release(self._result, raw)


def _not_numbers(plan: Plan, result: Any) -> str:
    return (
        f"{plan.name}: the function returns {told_kind(result)}; expected a number, an array, or "
        "a tuple or list of numbers."
    )


def vector_type(plan: Plan, result: Any) -> Any:
    """Return the type of a result as one array or one scalar; tuples and lists become arrays."""
    if isinstance(result, types.Array | NumberType | types.Number | types.Boolean):
        return result
    items = list(result) if isinstance(result, types.BaseTuple) else []
    if isinstance(result, types.List):
        items = [result.dtype]
    if not items or not all(isinstance(t, NumberType | types.Number) for t in items):
        raise NotScalarError(_not_numbers(plan, result))
    active = any(level(t) == plan.number.level for t in items)
    return types.Array(plan.number if active else plan.base, 1, "C")


def as_vector(run: Run, ty: Any, value: Any) -> Any:
    """Convert a result as `vector_type` says."""
    target = vector_type(run.plan, ty)
    if target == ty:
        return value
    like = (target.dtype, run.context.get_constant_null(target.dtype))
    if isinstance(ty, types.List):
        made = run.kernel(read.array_of_list, (ty, value), like)
        run.release(ty, value)
        return made
    uniform = types.UniTuple(target.dtype, len(ty))
    packed = run.context.cast(run.builder, value, ty, uniform)
    return run.kernel(read.array_of_tuple, (uniform, packed), like)


def jacobian_blocks(run: Run, found: Any, matrix: Any, value: Any, *, single: bool) -> Any:
    """Cut the matrix of all derivatives, for every output into the structure of the arguments.

    The matrix is released.
    """
    made, row, blocks = [], run.constant(0), [run.owned(value)]
    run.owned(matrix)
    for y in run.items(*value):
        pieces = [run.owned(_block(run, matrix, row, y, leaf)) for leaf in found]
        blocks += pieces
        pending = iter(pieces)
        parts = [run.rebuild(ty, pending) for ty in run.plan.inputs]
        made.append(parts[0] if single else _packed(run, parts))
        row = run.builder.add(row, run.leaf_size(*y))
    run.release(*matrix)
    for block in blocks:
        run.disown(block)
    return run.rebuild(value[0], iter(made))[1]


def _packed(run: Run, parts: list[tuple[Any, Any]]) -> tuple[Any, Any]:
    ty = types.BaseTuple.from_types([part for part, _ in parts])
    return ty, run.context.make_tuple(run.builder, ty, [value for _, value in parts])


def _block(run: Run, matrix: Any, row: Any, y: Any, leaf: Any) -> tuple[Any, Any]:
    """Return the derivatives of one output, whose first row is given, by one leaf."""
    ty, x, offset = leaf
    block = block_type(run.plan, y[0], ty)
    sizes = []
    for array_type, array in (y, (ty, x)):
        if isinstance(array_type, types.Array):
            struct = run.context.make_array(array_type)(run.context, run.builder, array)
            sizes += cgutils.unpack_tuple(run.builder, struct.shape)
    corner = (types.intp, row), (types.intp, offset)
    if not sizes:
        return block, run.kernel(read.entry, matrix, *corner)
    extents = [(types.intp, run.leaf_size(*pair)) for pair in (y, (ty, x))]
    shape_type = types.UniTuple(types.intp, len(sizes))
    shape = shape_type, run.context.make_tuple(run.builder, shape_type, sizes)
    return block, run.kernel(read.submatrix, matrix, *corner, *extents, shape)
