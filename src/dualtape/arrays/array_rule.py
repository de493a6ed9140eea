"""Rules of functions of arrays: value, tangent and adjoint, each written once.

    @array_rule
    def inverse(a):                     # X = A^-1 of floats
        return np.ascontiguousarray(np.linalg.inv(a))

    @inverse.tangent
    def inverse_tangent(x, da):         # -X dA X for every direction
        ...

    @inverse.adjoint
    def inverse_adjoint(x, bar):        # -X^T X_bar X^T
        ...

A rule gets arrays one level below the numbers that it is for: floats, where the numbers are over
floats, else numbers of another derivative.  So all nestings come from one rule, and a rule does not
depend on how values, tangents and adjoints are stored with the numbers.

The arguments of a rule
    data      what `keep` returns for the operands: the results, then what derivatives need besides.
              Without `keep`, the result alone.
    tangents  for every operand an array with the directions along its first axis, or None for an
              operand that is constant.  The tangent of each result has the same first axis.
    bars      for every result its adjoint, an array that may be overwritten; the rule returns the
              adjoints of the operands.  With several operands it also gets flags: which are needed.
    partials  of a function with one number as its (last) result: an array like the operand.

Vector-duals are arrays of values and of tangents, hyper-duals are nested vector-duals, and a tape
has a block with the data, or a statement if the result is a number.
"""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..backend.calls import Value, invoke
from ..backend.jit import by_type, generic, kernel
from ..backend.templates import type_global
from ..numbers.access import flat_view, flattened
from ..numbers.hyper_dual import HyperDual
from ..numbers.layouts import FIRST, emit_rows, first_tape, hold, offset_of, row_at, rows_in, word
from ..numbers.plane_arrays import contiguous_values
from ..numbers.reading import values_of
from ..numbers.types import NumberType, PlanesType, promote
from ..reverse.blocks import (
    add_entry,
    add_to_rows,
    block_rows,
    close_statement,
    emit_adjoint,
    emit_block,
    emit_load,
    gather_adjoint,
    has_rows,
    open_statement,
    saved_type,
    store_rows,
    tape_of,
)
from ..reverse.leaf_data import track_result
from ..reverse.rows import active_number, row_of
from .blas import careful_product
from .planes import (
    dual_of,
    from_planes,
    nested_array,
    nested_type,
    planes_of,
    unnested_array,
    unnested_number,
)


class Code:
    """Emits calls on values; `finish` drops the references to their results."""

    def __init__(self, context: Any, builder: Any) -> None:
        self.context, self.builder = context, builder
        self.references: list[Value] = []

    def call(self, function: Any, *args: Value) -> Value:
        """Call a function of compiled code."""
        arg_types, values = [a.type for a in args], [a.ir for a in args]
        result = Value(*invoke(self.context, self.builder, function, arg_types, values))
        self.references.append(result)
        return result

    def zero(self, ty: Any) -> Value:
        """Return a zero, or nothing, of a type."""
        return Value(ty, self.context.get_constant_null(ty))

    def integer(self, value: Any) -> Value:
        """Return an integer."""
        if isinstance(value, int):
            value = ir.Constant(ir.IntType(64), value)
        return Value(types.int64, value)

    def items(self, value: Value) -> list[Value]:
        """Return the items of a tuple, or else the value alone."""
        if not isinstance(value.type, types.BaseTuple):
            return [value]
        extract = self.builder.extract_value
        return [Value(ty, extract(value.ir, i)) for i, ty in enumerate(value.type)]

    def group(self, ty: Any, values: list[Value]) -> Any:
        """Return values as a tuple, or the only value if the type is not a tuple."""
        if not isinstance(ty, types.BaseTuple):
            return values[0].ir
        return self.context.make_tuple(self.builder, ty, [value.ir for value in values])

    def size(self, array: Value) -> Any:
        """Return the number of elements of an array."""
        return self.context.make_array(array.type)(self.context, self.builder, array.ir).nitems

    def finish(self, ty: Any, values: list[Value]) -> Any:
        """Return values as one of this type, and drop the references to all others."""
        out = self.group(ty, values)
        self.context.nrt.incref(self.builder, ty, out)
        for value in self.references:
            self.context.nrt.decref(self.builder, value.type, value.ir)
        return out


class ArrayRule:
    """The rule of one function; see the module's docstring.

    Attributes
    ----------
    value : function
        The function of arrays of floats; its calls with other arrays lead to the rule.
    plain : kernel
        Its compiled form for floats.
    operands, results : int
        How many of the first arguments, and of the first items of the data, have derivatives.
    reverse : kernel or intrinsic, optional
        Replaces the block in reverse mode.
    """

    def __init__(self, value: Any, operands: int, results: int, reverse: Any) -> None:
        self.value, self.operands, self.results = value, operands, results
        self.plain, self.reverse, self.keep = kernel(value), reverse, value
        self.tangent: Any
        self.adjoint: Any
        self.partials: Any = None

    def define(self, part: str, function: Any) -> Any:
        """Set a part of the rule."""
        if not hasattr(function, "__wrapped__"):  # else `by_type` has registered it
            generic(function)
        setattr(self, part, function)
        return function

    def number(self, arg_types: Any) -> Any:
        """Return the type in which the elements of operands meet."""
        return promote([a.dtype for a in arg_types[: self.operands]])

    def function(self, number: Any) -> Any:
        """Return the function to call directly, if there is one."""
        if not isinstance(number, NumberType):
            return self.plain
        return self.reverse if number.slots else None

    def result(self, typing_context: Any, arg_types: Any) -> Any:
        """Return the type of the result: the one of one level down, with numbers as elements."""
        number = self.number(arg_types)
        function = self.function(number)
        if function is not None:
            function_type = typing_context.resolve_value_type(function)
            return function_type.get_call_type(typing_context, arg_types, {}).return_type
        lower_types = [
            types.Array(number.base, ty.ndim, "C") if is_of(number, ty) else ty for ty in arg_types
        ]
        lower_result = self.result(typing_context, tuple(lower_types))
        items = list(lower_result) if isinstance(lower_result, types.BaseTuple) else [lower_result]
        constant = len(items) - 1 if self.partials is not None else 0
        items[constant:] = [self._raise_type(ty, number) for ty in items[constant:]]
        return types.Tuple(items) if isinstance(lower_result, types.BaseTuple) else items[0]

    @staticmethod
    def _raise_type(ty: Any, number: Any) -> Any:
        return types.Array(number, ty.ndim, "C") if isinstance(ty, types.Array) else number

    def lower(self, context: Any, builder: Any, sig: Any, args: Any) -> Any:
        """Emit a call."""
        number = self.number(sig.args)
        function = self.function(number)
        if function is not None:
            return invoke(context, builder, function, sig.args, args)[1]
        code, operands = Code(context, builder), list(map(Value, sig.args, args))
        if number.face is HyperDual:
            results = self._on_hyper_duals(code, operands, number)
        else:
            results = self._on_numbers(code, operands, number)
        return code.finish(sig.return_type, results)

    def _on_hyper_duals(self, code: Code, args: list[Value], number: Any) -> list[Value]:
        over, like = code.zero(nested_type(number)), code.zero(number)
        nested = [code.call(nested_array, a, over) if is_of(number, a.type) else a for a in args]

        def unnest(x: Value) -> Value:
            if isinstance(x.type, types.Array):
                return code.call(unnested_array, x, like)
            return code.call(unnested_number, x, like) if x.type == over.type else x

        return [unnest(x) for x in code.items(code.call(self.value, *nested))]

    def _on_numbers(self, code: Code, args: list[Value], number: Any) -> list[Value]:
        like, base, operands = code.zero(number), code.zero(number.base), args[: self.operands]
        values = [self._lowered(code, a, base) if is_of(number, a.type) else a for a in args]
        data = code.call(self.keep, *values)
        if self.partials is not None:
            *others, value = code.items(data)
            weights = code.call(self.partials, data, *values[: self.operands])
            function = as_statement if number.slots else as_dual
            return [*others, code.call(function, value, operands[0], weights, like)]
        results = code.items(data)[: self.results]
        if number.slots:
            return self._as_block(code, operands, data, like)
        tangents = [
            code.call(planes_of, a, like) if is_of(number, a.type) else code.zero(types.none)
            for a in operands
        ]
        result_tangents = code.items(code.call(self.tangent, data, *tangents))
        return [
            code.call(from_planes, x, planes, like)
            for x, planes in zip(results, result_tangents, strict=True)
        ]

    @staticmethod
    def _lowered(code: Code, a: Value, base: Value) -> Value:
        """Return the values of an operand, one level down."""
        is_planes = isinstance(a.type, PlanesType)
        return code.call(contiguous_values, a) if is_planes else code.call(values_of, a, base)

    def _as_block(self, code: Code, operands: list[Value], data: Value, like: Value) -> Any:
        """Enter a block with the rows of operands and the data; return the results."""
        context, builder = code.context, code.builder
        results = code.items(data)[: self.results]
        rows = [code.integer(emit_rows(context, builder, *a, like.type)) for a in operands]
        address = code.call(first_tape, rows[0])
        for more in rows[1:]:
            has_tape = cgutils.is_not_null(builder, address.ir)
            other = code.call(first_tape, more)
            address = code.integer(builder.select(has_tape, address.ir, other.ir))
        count = code.integer(0)
        for x in results:
            count = code.integer(builder.add(count.ir, code.size(x)))
        foreign = [a for a in operands if isinstance(a.type, types.Array)]
        first = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(64), 0))
        with builder.if_then(cgutils.is_not_null(builder, address.ir)):
            places = [code.call(store_rows, address, layout).ir for layout in rows]
            both = types.Tuple([types.UniTuple(types.int64, len(rows)), data.type])
            row_offsets = context.make_tuple(builder, both[0], places)
            record = context.make_tuple(builder, both, [row_offsets, data.ir])
            adjoint = self._address_of_adjoint(context, builder, saved_type(both))
            block = address.ir, count.ir, adjoint, (both, record), foreign
            row = emit_block(context, builder, *block)
            builder.store(row, first)
        row, numbers = code.integer(builder.load(first)), []
        for x in results:
            numbers.append(code.call(track_result, x, row, address, like))
            row = code.integer(builder.add(row.ir, code.size(x)))
        return numbers

    def _address_of_adjoint(self, context: Any, builder: Any, record: Any) -> Any:
        """Emit the adjoint of a block with data of this type."""

        def body(inner: Any, arguments: Any) -> None:
            code = Code(context, inner)
            address, block, lane, width = map(code.integer, arguments)
            row, offset = code.items(code.call(block_rows, address, block))
            block_data = Value(record, emit_load(context, inner, address.ir, offset.ir, record))
            row_offsets, data = code.items(block_data)
            bars, results = [], code.items(data)[: self.results]
            for x in results:
                bars.append(code.call(gather_adjoint, address, row, x, lane, width))
                row = code.integer(inner.add(row.ir, code.size(x)))
            rows = code.items(row_offsets)
            if self.operands > 1:
                is_needed = [code.call(has_rows, address, place) for place in rows]
                ty = types.UniTuple(types.boolean, len(rows))
                bars.append(Value(ty, code.group(ty, is_needed)))
            adjoints = code.items(code.call(self.adjoint, data, *bars))
            like = code.zero(results[0].type.dtype)
            for place, more in reversed(list(zip(rows, adjoints, strict=True))):
                code.call(add_to_rows, address, place, more, lane, width, like)
            code.finish(types.none, [code.zero(types.none)])

        return emit_adjoint(context, builder, self.value.__name__, body)


def is_of(number: Any, ty: Any) -> bool:
    """Whether a type is that of arrays of these numbers; other operands are constant to a rule."""
    is_planes = isinstance(ty, PlanesType) and ty.has_rows
    return (isinstance(ty, types.Array) or is_planes) and ty.dtype == number


class _Template(AbstractTemplate):
    rule: ArrayRule

    def generic(self, args: Any, kws: Any) -> Any:
        return signature(type(self).rule.result(self.context, args), *args)

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "array rule")


def array_rule(
    value: Any = None, *, operands: int = 1, results: int = 1, reverse: Any = None
) -> Any:
    """Let a function of arrays of floats work on arrays of numbers.

    Decorators of the function set its rule: ``keep``, ``tangent`` and ``adjoint``, or ``partials``.
    """
    if value is None:
        return functools.partial(array_rule, operands=operands, results=results, reverse=reverse)
    rule = ArrayRule(value, operands, results, reverse)
    for part in ("keep", "tangent", "adjoint", "partials"):
        setattr(value, part, functools.partial(rule.define, part))
    type_global(value, _Template, rule=rule)
    lower_builtin((value, "array rule"), types.VarArg(types.Any))(rule.lower)
    return value


# Functions whose result is a number


@kernel
def as_dual(value: Any, a: Any, partials: Any, like: Any) -> Any:
    """Return a vector-dual with the sums of partials times those of the elements of an array."""
    planes, size = planes_of(a, like), a.size
    sums = careful_product(planes.reshape((planes.shape[0], size)), partials.reshape((size, 1)))
    return dual_of(value, flat_view(sums), 0, 1, like)


@by_type
def as_statement(value: Any, a: Any, partials: Any, like: Any) -> Any:
    """Record a number with an entry for every element of an array."""
    return _statement_of_planes if isinstance(a, PlanesType) else _statement_of_numbers


@kernel
def _statement_of_planes(value: Any, a: Any, partials: Any, like: Any) -> Any:
    rows = rows_in(a, like)
    address, first = first_tape(rows), word(rows, FIRST)
    if address == 0:
        return active_number(value, 0, 0, like)
    entries = flattened(partials)
    open_statement(address, entries.size)
    for i in range(entries.size):
        add_entry(address, row_at(rows, first + offset_of(rows, i)), entries[i])
    hold(a)
    return active_number(value, close_statement(address), address, like)


@kernel
def _statement_of_numbers(value: Any, a: Any, partials: Any, like: Any) -> Any:
    address = tape_of(a)
    if address == 0:
        return active_number(value, 0, 0, like)
    open_statement(address, a.size)
    source, entries = flattened(a), flattened(partials)
    for i in range(source.size):
        add_entry(address, row_of(source[i]), entries[i])
    return active_number(value, close_statement(address), address, like)
