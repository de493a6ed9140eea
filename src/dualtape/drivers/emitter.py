"""Code of one derivative: the instructions that every driver emits around its sweeps."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

from numba.core import cgutils, types

from ..backend.allocation import array_over, new_array
from ..backend.calls import Value, invoke
from ..errors import ArgumentError, NotScalarError
from ..numbers import access, reading
from ..numbers.partials import PartialsType
from ..numbers.plane_arrays import emit_numbers
from ..numbers.types import has_planes, partial_type, tuple_like, without_planes
from ..twin.conversion import activate_value, activated_type
from .options import CHUNKS
from .random_state import SEVERAL_EVALUATIONS, Draws, draws_at_random, holds_generator
from .signature import DerivativeTypes, is_active, leaves

DEFAULT_CHUNK = 8  # two AVX2 registers or one of AVX-512; benchmarks/bench_ode.py compares


class Input(NamedTuple):
    """A number or an array of the differentiated arguments, and the flat index of its first.

    `active` is its type in the twin.
    """

    value: Value
    offset: Value
    active: Any = None


class Variable:
    """A variable on the stack."""

    def __init__(self, context: Any, builder: Any, ty: Any) -> None:
        self.type = ty
        self._builder = builder
        self._pointer = cgutils.alloca_once(builder, context.get_value_type(ty))

    def store(self, value: Value) -> None:
        """Store a value."""
        self._builder.store(value.ir, self._pointer)

    def load(self) -> Value:
        """Return the stored value."""
        return Value(self.type, self._builder.load(self._pointer))


def unpacked(builder: Any, packed: Value) -> list[Value]:
    """Return the items of a tuple."""
    return [Value(ty, builder.extract_value(packed.ir, i)) for i, ty in enumerate(packed.type)]


class Emitter:
    """The code of one derivative being emitted: values of the types in `DerivativeTypes`."""

    def __init__(
        self, derivative: DerivativeTypes, context: Any, builder: Any, values: list[Value]
    ) -> None:
        self.derivative = derivative
        self.context = context
        self.builder = builder
        self.values = values
        self.number = self.zero(derivative.number)
        self.base = self.zero(derivative.base)
        self.wide = self.zero(partial_type(derivative.base))  # the partials on a tape
        self._draws: Draws | None = None
        self.copies: list[Value] = []  # of inputs, released after the sweep
        # Cleaned up if later code raises: code that gives tapes back, arrays to release.
        self._leases: list[Callable[[], None]] = []
        self._owned: list[Value] = []

    @classmethod
    def of_call(
        cls, derivative: DerivativeTypes, context: Any, builder: Any, packed: Value
    ) -> Emitter:
        """Return the emitter for these packed arguments, with their inputs."""
        emit = cls(derivative, context, builder, unpacked(builder, packed))
        emit.find_inputs()
        return emit

    def zero(self, ty: Any) -> Value:
        """Return the zero of a type, which stands for the type in calls of kernels."""
        return Value(ty, self.context.get_constant_null(ty))

    def index(self, value: Any) -> Value:
        """Return an index: a constant, or an LLVM value."""
        constant = self.context.get_constant(types.intp, value) if type(value) is int else value
        return Value(types.intp, constant)

    def add(self, a: Value, b: Value) -> Value:
        """Return the sum of two indices."""
        return Value(a.type, self.builder.add(a.ir, b.ir))

    def subtract(self, a: Value, b: Value) -> Value:
        """Return the difference of two indices."""
        return Value(a.type, self.builder.sub(a.ir, b.ir))

    def total(self, sizes: list[Value]) -> Value:
        """Return the sum of indices."""
        return functools.reduce(self.add, sizes, self.index(0))

    def compare(self, operator: str, a: Value, b: Value) -> Any:
        """Return the result of comparing two indices, for a branch."""
        return self.builder.icmp_signed(operator, a.ir, b.ir)

    def variable(self, ty: Any) -> Variable:
        """Return a new variable on the stack."""
        return Variable(self.context, self.builder, ty)

    def kernel(self, function: Any, *values: Value) -> Value:
        """Call a kernel; clean up if it raises."""
        arg_types, args = [value.type for value in values], [value.ir for value in values]
        on_error = self.clean_up if self._leases or self._owned else None
        return Value(*invoke(self.context, self.builder, function, arg_types, args, on_error))

    def cast(self, value: Value, ty: Any) -> Value:
        """Convert a value."""
        return Value(ty, self.context.cast(self.builder, value.ir, value.type, ty))

    def field(self, number: Value, name: str) -> Any:
        """Return a field of a number."""
        struct = self.context.make_helper(self.builder, number.type, value=number.ir)
        return getattr(struct, "m_" + name)

    def size(self, value: Value) -> Value:
        """Return how many numbers a leaf holds."""
        size = self.index(1)
        for extent in self.extents(value):
            size = self.index(self.builder.mul(size.ir, extent.ir))
        return size

    def extents(self, value: Value) -> list[Value]:
        """Return the extents of an array; none of a number."""
        if not isinstance(value.type, types.Array):
            return []
        array = self.context.make_array(value.type)(self.context, self.builder, value.ir)
        return [self.index(extent) for extent in cgutils.unpack_tuple(self.builder, array.shape)]

    def bytes_of(self, ty: Any) -> Value:
        """Return the size of a number in memory, in bytes."""
        return self.index(self.context.get_abi_sizeof(self.context.get_data_type(ty)))

    def unpack(self, value: Value) -> list[Value]:
        """Return the items of a tuple."""
        return unpacked(self.builder, value)

    def pack(self, values: list[Value], ty: Any = None) -> Value:
        """Return a tuple, of type `ty` if given."""
        ty = types.BaseTuple.from_types([value.type for value in values]) if ty is None else ty
        return Value(ty, self.context.make_tuple(self.builder, ty, [value.ir for value in values]))

    def items(self, value: Value) -> Iterator[Value]:
        """Iterate over the leaves of a structure."""
        if isinstance(value.type, types.BaseTuple):
            for item in self.unpack(value):
                yield from self.items(item)
        else:
            yield value

    def rebuild(self, ty: Any, leaves: Iterator[Value]) -> Value:
        """Put new leaves, in order, into the structure of `ty`."""
        if not isinstance(ty, types.BaseTuple):
            return next(leaves)
        items = [self.rebuild(item, leaves) for item in ty]
        return self.pack(items, tuple_like(ty, [item.type for item in items]))

    def by_input(self, leaves: list[Value]) -> Value:
        """Put values, one for every input, into the structure of the differentiated arguments."""
        remaining = iter(leaves)
        parts = [self.rebuild(ty, remaining) for ty in self.derivative.inputs]
        return parts[0] if self.derivative.request.single else self.pack(parts)

    def return_value(self, *parts: Value) -> Value:
        """Return all parts if the value is requested, else the last one; release the others."""
        if self.derivative.request.with_value:
            return self.pack(list(parts), types.Tuple([part.type for part in parts]))
        self.release(*parts[:-1])
        return parts[-1]

    def find_inputs(self) -> list[Input]:
        """Return the leaves of the differentiated arguments; count their numbers."""
        self.n = self.index(0)
        self.inputs: list[Input] = []
        for i in self.derivative.argnums:
            active = leaves(self.derivative.active[i]) if self.derivative.active else repeat(None)
            for value, ty in zip(self.items(self.values[i]), active, strict=False):
                self.inputs.append(Input(value, self.n, ty))
                self.n = self.add(self.n, self.size(value))
        return self.inputs

    def constants(self) -> Iterator[Value]:
        """Iterate over the leaves that are neither differentiated nor written to."""
        for i, value in enumerate(self.values):
            if i not in self.derivative.argnums and i not in self.derivative.effects.written:
                yield from self.items(value)

    def buffers(self) -> list[Value | None]:
        """Return an array of numbers for every input that is an array.

        They are filled before every sweep, as the function may write to its arguments.
        """
        return [
            self.owned(self.kernel(access.numbers_like, value, self.number))
            if isinstance(active, types.Array)
            else None
            for value, _, active in self.inputs
        ]

    def writes_to_others(self) -> bool:
        """Whether the function writes to arguments that are not differentiated."""
        return not set(self.derivative.effects.written) <= set(self.derivative.argnums)

    def lease(self, give_back: Callable[[], None]) -> None:
        """Run the code of `give_back` if later code raises."""
        self._leases.append(give_back)

    def end_lease(self, give_back: Callable[[], None]) -> None:
        """Undo `lease`."""
        self._leases.remove(give_back)

    def owned(self, value: Value) -> Value:
        """Return a value, which is released if later code raises."""
        if not any(known.ir is value.ir for known in self._owned):
            self._owned.append(value)
        return value

    def disown(self, *values: Value) -> None:
        """Undo `owned`: these values are released elsewhere from here on."""
        for value in values:
            self._owned = [known for known in self._owned if known.ir is not value.ir]

    def clean_up(self) -> None:
        """Give back tapes and release values, before an exception propagates."""
        for give_back in self._leases:
            give_back()
        for value in self._owned:
            self.context.nrt.decref(self.builder, *value)

    def uncounted(self, value: Value) -> Value:
        """Return an array whose references are not counted, for kernels that may raise.

        Numba releases none of the references of a function that raises.
        """
        if not isinstance(value.type, types.Array):
            return value
        array = self.context.make_array(value.type)(self.context, self.builder, value.ir)
        array.meminfo = self.context.get_constant_null(types.voidptr)
        return Value(value.type, array._getvalue())

    def release(self, *values: Value | None) -> None:
        """Release references."""
        for value in values:
            if value is not None:
                self.context.nrt.decref(self.builder, *value)
                self.disown(value)

    def call_twin(self, seeded: list[Value]) -> Value:
        """Call the twin with these numbers as inputs; clean up if it raises."""
        self.restore_draws()
        derivative, copies, args = self.derivative, [], []
        inputs = iter(seeded)
        differentiated = {i: self.rebuild(derivative.packed[i], inputs) for i in derivative.argnums}
        for i, value in enumerate(self.values):
            if i in differentiated:
                args.append(differentiated[i].ir)
            elif i in derivative.effects.written:  # every sweep starts from what the caller passed
                copies.append(Value(derivative.active[i], self._copy(value)))
                args.append(copies[-1].ir)
            else:
                args.append(value.ir)

        def clean_up() -> None:
            self.clean_up()
            self.release(*copies)

        call = self.context, self.builder, derivative.twin, derivative.active, args, clean_up
        result = Value(*invoke(*call))
        if has_planes(result.type):
            numbers = emit_numbers(self.context, self.builder, result)
            self.context.nrt.decref(self.builder, *result)
            result = Value(without_planes(result.type), numbers)
        if isinstance(result.type, types.Optional):
            result = self._present(result, clean_up)
        self.release(*copies)
        if derivative.result == types.none and not derivative.in_place:
            with self.builder.if_then(cgutils.true_bit):
                self._raise(NotScalarError, derivative.not_scalar())
        return result

    def _present(self, value: Value, clean_up: Callable[[], None]) -> Value:
        """Return a result that may be None; raise if it is."""
        optional = self.context.make_helper(self.builder, value.type, value=value.ir)
        with cgutils.if_unlikely(self.builder, self.builder.not_(optional.valid)):
            clean_up()
            self._raise(NotScalarError, NONE_RETURNED.format(self.derivative.name))
        return Value(self.derivative.result, optional.data)

    def _raise(self, error: type[Exception], message: str) -> None:
        self.context.call_conv.return_user_exc(self.builder, error, (message,))

    def save_draws(self, is_repeated: Any) -> None:
        """Emit code that saves the random state, so that all evaluations draw the same numbers."""
        if any(map(holds_generator, self.derivative.packed)):
            with cgutils.if_unlikely(self.builder, is_repeated):
                self.clean_up()
                self._raise(ArgumentError, SEVERAL_EVALUATIONS.format(self.derivative.name))
        if draws_at_random(self.derivative, unknown=True):
            self._draws = Draws(self.context, self.builder)

    def restore_draws(self) -> None:
        """Emit code that restores the random state saved by `save_draws`."""
        if self._draws is not None:
            self._draws.restore()

    def _copy(self, value: Value) -> Any:
        """Copy an argument that the function may write to, as numbers if it can hold them."""
        number = self.derivative.number
        if activated_type(value.type, number) != value.type:
            return activate_value(self.context, self.builder, *value, number)
        if isinstance(value.type, types.Array):
            return self.kernel(access.copy_of, value).ir
        self.context.nrt.incref(self.builder, *value)
        return value.ir

    def zeros(self, shape: list[Value], dtype: Any = None) -> Value:
        """Return a new owned array of zeros, of the base type unless given."""
        array = types.Array(dtype or self.derivative.base, len(shape), "C")
        extents = [extent.ir for extent in shape]
        zeros = access.new_zeros(self.context, self.builder, array, extents, self.clean_up)
        return self.owned(Value(array, zeros))

    def unflatten(self, flat: Value, *, is_view: bool = False) -> Value:
        """Cut a flat gradient, which is released, into the structure of the inputs.

        Nothing of it becomes part of the result if it is a view.
        """
        first = self.inputs[0].value
        if is_view or len(self.inputs) > 1 or not isinstance(first.type, types.Array):
            pieces = [self.owned(self._piece(x, flat)) for x in self.inputs]
            self.release(flat)
            self.disown(*pieces)
        elif first.type.ndim == 1:
            pieces = [flat]
        else:
            pieces = [self.kernel(reading.reshape_like, flat, first)]
            self.release(flat)
        return self.by_input(pieces)

    def _piece(self, x: Input, flat: Value) -> Value:
        """Return the part of a flat gradient that belongs to one input, a copy."""
        context, builder, dtype = self.context, self.builder, flat.type.dtype
        source = context.make_array(flat.type)(context, builder, flat.ir)
        first = builder.gep(source.data, [x.offset.ir])
        if not isinstance(x.value.type, types.Array):
            return Value(dtype, context.unpack_value(builder, dtype, first))
        ty = types.Array(dtype, x.value.type.ndim, "C")
        shape = [extent.ir for extent in self.extents(x.value)]
        out = new_array(context, builder, ty, shape, self.clean_up)
        nbytes = builder.mul(out.nitems, out.itemsize)
        cgutils.raw_memcpy(builder, out.data, first, nbytes, 1)
        return Value(ty, out._getvalue())

    def lanes(self, number: Value, field: str) -> Value:
        """Return an array on the stack with the derivatives in one field."""
        slot, base = number.type.struct[field], number.type.base
        count = slot.n if isinstance(slot, PartialsType) else 1
        pointer = cgutils.alloca_once(self.builder, self.context.get_data_type(slot))
        model = self.context.data_model_manager[slot]
        self.builder.store(model.as_data(self.builder, self.field(number, field)), pointer)
        array = types.Array(base, 1, "C")
        shape = [self.index(count).ir]
        return Value(array, array_over(self.context, self.builder, array, pointer, shape))

    def is_active(self, value: Value) -> bool:
        """Whether a leaf of a result carries derivatives of this level."""
        return is_active(value.type, self.derivative.number)

    def base_value(self, value: Value) -> Value:
        """Return a result one level down."""
        if isinstance(value.type, types.BaseTuple):
            items = [self.base_value(item) for item in self.unpack(value)]
            return self.pack(items, tuple_like(value.type, [item.type for item in items]))
        if not self.is_active(value):
            self.context.nrt.incref(self.builder, *value)
            return value
        if isinstance(value.type, types.Array):
            return self.kernel(reading.values_of, value, self.zero(value.type.dtype.base))
        return Value(value.type.base, self.field(value, "value"))


NONE_RETURNED = (
    "{}: the function returned None here, which has no derivative; let it return a number on every "
    "path (np.nan, say), or raise an error."
)


def pick_chunk(n: int | None, chunk_size: int | None) -> int:
    """Return the number of partials per sweep for n inputs (None: arrays, any number).

    It does not depend on the size of the first array seen: for n = 1 to 4, 8 partials cost little
    more than fewer do, while too few would multiply the sweeps of a later call.
    """
    if chunk_size is not None:
        return chunk_size
    if n is None or n >= DEFAULT_CHUNK:
        return DEFAULT_CHUNK
    return next(chunk for chunk in CHUNKS if chunk >= n)
