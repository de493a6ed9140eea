"""Results as one vector of numbers, and matrices cut into the structure of results."""

from __future__ import annotations

from typing import Any

from numba.core import types

from ..backend.calls import Value
from ..errors import NotScalarError
from ..numbers import reading
from ..numbers.types import NumberType, level, map_leaves
from .emitter import Emitter, Input
from .signature import DerivativeTypes, base_type, element, leaves, result_kind


class Outputs:
    """Types and code of the result of a function whose Jacobian is computed.

    Numbers, arrays, and tuples or lists of numbers are taken as one array; other tuples are
    structures, whose numbers and arrays are concatenated into a vector.
    """

    def __init__(self, derivative: DerivativeTypes) -> None:
        self._derivative = derivative
        result = derivative.result
        self._is_structure = isinstance(result, types.BaseTuple) and any(
            isinstance(item, types.Array | types.BaseTuple) for item in result
        )
        if self._is_structure:
            self.flat_type = _array_of([element(leaf) for leaf in leaves(result)], derivative)
        else:
            self.flat_type = vector_type(derivative)
        active_type = result if self._is_structure else self.flat_type
        self.value_type = base_type(active_type, derivative.number)

    def jacobian_type(self) -> Any:
        """Return the type: for every output, in the structure of the inputs, a block."""
        return map_leaves(self.value_type, self._derivative.row_type)

    def flattened(self, emit: Emitter, raw: Value) -> Value:
        """Return the result as a vector (a number, or an array of any shape, as it is).

        Both are released if later code raises.
        """
        if not self._is_structure:
            return emit.owned(as_vector(emit, raw))
        emit.owned(raw)
        values, like = list(emit.items(raw)), emit.zero(self.flat_type.dtype)
        sizes = [emit.size(value) for value in values]
        flat, first = emit.zeros([emit.total(sizes)], self.flat_type.dtype), emit.index(0)
        for value, size in zip(values, sizes, strict=True):
            is_array = isinstance(value.type, types.Array)
            put = reading.put_array if is_array else reading.put_number
            emit.kernel(put, flat, first, value, like)
            first = emit.add(first, size)
        return flat

    def value(self, emit: Emitter, raw: Value, flat: Value) -> Value:
        """Return the value of the result, one level down."""
        return emit.base_value(raw if self._is_structure else flat)

    def release(self, emit: Emitter, raw: Value, flat: Value) -> None:
        """Release the result."""
        emit.release(flat, raw if self._is_structure else None)


def vector_type(derivative: DerivativeTypes) -> Any:
    """Return the type of a result as one array or one scalar; tuples and lists become arrays."""
    result = derivative.result
    if isinstance(result, types.Array | NumberType | types.Number | types.Boolean):
        return result
    items = list(result) if isinstance(result, types.BaseTuple) else []
    return _array_of([result.dtype] if isinstance(result, types.List) else items, derivative)


def not_numbers(derivative: DerivativeTypes) -> str:
    """Return the message for a result that is not made of numbers."""
    return (
        f"{derivative.name}: the function returns {result_kind(derivative.result)}; expected a "
        "number, an array, or a tuple or list of numbers."
    )


def _array_of(items: list[Any], derivative: DerivativeTypes) -> Any:
    if not items or not all(isinstance(ty, NumberType | types.Number) for ty in items):
        raise NotScalarError(not_numbers(derivative))
    active = any(level(ty) == derivative.number.level for ty in items)
    return types.Array(derivative.number if active else derivative.base, 1, "C")


def as_vector(emit: Emitter, value: Value) -> Value:
    """Convert a result as `vector_type` says."""
    target = vector_type(emit.derivative)
    if target == value.type:
        return value
    like = emit.zero(target.dtype)
    if isinstance(value.type, types.List):
        array = emit.kernel(reading.array_of_list, value, like)
        emit.release(value)
        return array
    uniform = emit.cast(value, types.UniTuple(target.dtype, len(value.type)))
    return emit.kernel(reading.array_of_tuple, uniform, like)


def without_lists(derivative: DerivativeTypes) -> Any:
    """Return the type of a result, with an array in place of a list."""
    is_list = isinstance(derivative.result, types.List)
    return vector_type(derivative) if is_list else derivative.result


def jacobian_blocks(emit: Emitter, matrix: Value, value: Value) -> Value:
    """Cut the matrix of all derivatives into a structure of the arguments for every output.

    The matrix is released.
    """
    emit.owned(value)
    rows, first = [], emit.index(0)
    for y in emit.items(value):
        rows.append(Input(y, first))
        first = emit.add(first, emit.size(y))
    blocks = emit.rebuild(value.type, iter(_block_rows(emit, matrix, rows)))
    emit.disown(value)
    return blocks


def hessian_blocks(emit: Emitter, matrix: Value) -> Value:
    """Cut the matrix of second derivatives into blocks, one for each pair of arguments.

    The matrix is released, or is itself the one block.
    """
    if len(emit.inputs) == 1 and getattr(emit.inputs[0].value.type, "ndim", 0) == 1:
        return emit.by_input([emit.by_input([matrix])])
    return emit.by_input(_block_rows(emit, matrix, emit.inputs))


def _block_rows(emit: Emitter, matrix: Value, rows: list[Input]) -> list[Value]:
    """Return the blocks of every output; its offset is its first row. The matrix is released."""
    emit.owned(matrix)
    blocks = [[emit.owned(_block(emit, matrix, y, x)) for x in emit.inputs] for y in rows]
    emit.release(matrix)
    for row in blocks:
        emit.disown(*row)
    return [emit.by_input(row) for row in blocks]


def _block(emit: Emitter, matrix: Value, y: Input, x: Input) -> Value:
    """Return the derivatives of one output by one input."""
    extents = [*emit.extents(y.value), *emit.extents(x.value)]
    if not extents:
        return emit.kernel(reading.entry, matrix, y.offset, x.offset)
    shape = emit.pack(extents, types.UniTuple(types.intp, len(extents)))
    sizes = emit.size(y.value), emit.size(x.value)
    return emit.kernel(reading.submatrix, matrix, y.offset, x.offset, *sizes, shape)
