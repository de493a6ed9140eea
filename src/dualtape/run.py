"""Code of one derivative: what every driver emits around its sweeps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from numba.core import cgutils, types
from numba.np import arrayobj

from . import read, seed
from .activation import activate_value, activated_type
from .draws import SEVERAL_EVALUATIONS, Draws, draws_at_random, holds_generator
from .emit import invoke
from .errors import ArgumentError, NotScalarError
from .numbertype import NumberType, level, partial_type, tuple_like
from .partials import PartialsType
from .plan import Plan, structured

__all__ = ["CHUNKS", "Run", "pick_chunk", "seed_leaf", "sweep"]

CHUNKS = (1, 2, 4, 8, 16)
DEFAULT_CHUNK = 8  # two AVX2 registers or one of AVX-512; benchmarks/bench_ode.py compares


class Run:
    """Code of one derivative being emitted: values that go with a `Plan`."""

    def __init__(self, plan: Plan, context: Any, builder: Any, packed: Any) -> None:
        self.plan = plan
        self.context = context
        self.builder = builder
        self.values = [builder.extract_value(packed, i) for i in range(len(plan.packed))]
        self.like = context.get_constant_null(plan.number)
        self.base_like = context.get_constant_null(plan.base)
        self.number = (plan.number, self.like)
        wide = partial_type(plan.base)
        self.wide = (wide, context.get_constant_null(wide))  # what a tape holds
        self._draws: Draws | None = None
        # What is dropped where later code raises: code that gives tapes back, arrays.
        self._leases: list[Callable[[], None]] = []
        self._buffers: list[Any] = []
        self._owned: list[Any] = []

    def constant(self, value: int) -> Any:
        """Return an index constant."""
        return self.context.get_constant(types.intp, value)

    def kernel(self, function: Any, *pairs: Any, on_error: Any = None) -> Any:
        """Call a kernel on (type, value) pairs; return its result's value.

        Where it raises, all is dropped, or the code of `on_error` runs.
        """
        return self._called(function, pairs, on_error)[1]

    def _called(self, function: Any, pairs: Any, on_error: Any = None) -> tuple[Any, Any]:
        arg_types, values = [ty for ty, _ in pairs], [v for _, v in pairs]
        if on_error is None and (self._leases or self._buffers or self._owned):
            on_error = self.clean_up
        return invoke(self.context, self.builder, function, arg_types, values, on_error)

    def base_number(self, function: Any, *pairs: Any) -> tuple[Any, Any]:
        """Call a kernel that reads a derivative, maybe of another width, as the base type."""
        ty, value = self._called(function, pairs)
        return self.plan.base, self.context.cast(self.builder, value, ty, self.plan.base)

    def leaf_size(self, ty: Any, value: Any) -> Any:
        """Return how many inputs a leaf holds."""
        if not isinstance(ty, types.Array):
            return self.constant(1)
        size = self.constant(1)
        for extent in self.extents(ty, value):
            size = self.builder.mul(size, extent)
        return size

    def extents(self, ty: Any, value: Any) -> list[Any]:
        """Return the extents of an array."""
        array = self.context.make_array(ty)(self.context, self.builder, value)
        return cgutils.unpack_tuple(self.builder, array.shape)

    def size_of(self, ty: Any) -> Any:
        """Return the bytes that a number takes in memory."""
        return self.constant(self.context.get_abi_sizeof(self.context.get_data_type(ty)))

    def items(self, ty: Any, value: Any) -> Iterator[tuple[Any, Any]]:
        """Iterate over the leaves of a structure with their values."""
        if isinstance(ty, types.BaseTuple):
            for i, item in enumerate(ty):
                yield from self.items(item, self.builder.extract_value(value, i))
        else:
            yield ty, value

    def rebuild(self, ty: Any, made: Iterator[tuple[Any, Any]]) -> tuple[Any, Any]:
        """Put new leaves, given in order, into the structure of `ty`; return (type, value)."""
        if not isinstance(ty, types.BaseTuple):
            return next(made)
        pairs = [self.rebuild(item, made) for item in ty]
        new_type = tuple_like(ty, [item for item, _ in pairs])
        return new_type, self.context.make_tuple(self.builder, new_type, [v for _, v in pairs])

    def input_leaves(self) -> list[tuple[Any, Any, Any]]:
        """Return (type, value, flat index of its first input) of every differentiated leaf."""
        offset = self.constant(0)
        found = []
        for i in self.plan.argnums:
            for ty, value in self.items(self.plan.packed[i], self.values[i]):
                found.append((ty, value, offset))
                offset = self.builder.add(offset, self.leaf_size(ty, value))
        self.n = offset
        return found

    def constants(self) -> Iterator[tuple[Any, Any]]:
        """Iterate over the leaves that are neither differentiated nor written to."""
        for i, (ty, value) in enumerate(zip(self.plan.packed, self.values, strict=True)):
            if i not in self.plan.argnums and i not in self.plan.effects.written:
                yield from self.items(ty, value)

    def buffers(self, found: list[Any]) -> list[Any]:
        """Return (type, value) of an array of numbers for every leaf that is an array.

        They are filled anew before every sweep: the function may write to its arguments.
        """
        made: list[Any] = []
        self._buffers = made
        for ty, value, _ in found:
            if isinstance(ty, types.Array):
                numbers = self.kernel(seed.numbers_like, (ty, value), self.number)
                made.append((self.plan.active_leaf(ty), numbers))
            else:
                made.append(None)
        return made

    def lease(self, give_back: Callable[[], None]) -> None:
        """Let the code of `give_back` run where later code raises."""
        self._leases.append(give_back)

    def end_lease(self, give_back: Callable[[], None]) -> None:
        """Forget what `lease` was told."""
        self._leases.remove(give_back)

    def owned(self, pair: Any) -> Any:
        """Return (type, value) that is dropped where later code raises."""
        if not any(known[1] is pair[1] for known in self._owned):
            self._owned.append(pair)
        return pair

    def disown(self, pair: Any) -> None:
        """Forget what `owned` was told: it is dropped elsewhere from here on."""
        self._owned = [known for known in self._owned if known[1] is not pair[1]]

    def clean_up(self) -> None:
        """Drop what there is, before an exception goes on."""
        for give_back in self._leases:
            give_back()
        for pair in (*self._buffers, *self._owned):
            if pair is not None:
                self.context.nrt.decref(self.builder, *pair)

    def borrowed(self, ty: Any, value: Any) -> tuple[Any, Any]:
        """Return an array whose references are not counted, for kernels that may raise.

        Numba drops none of the references of a function that raises.
        """
        if not isinstance(ty, types.Array):
            return ty, value
        array = self.context.make_array(ty)(self.context, self.builder, value)
        array.meminfo = self.context.get_constant_null(types.voidptr)
        return ty, array._getvalue()

    def release_all(self, buffers: list[Any]) -> None:
        """Drop the buffers."""
        for buffer in list(buffers):
            if buffer is not None:
                self.release(*buffer)
        if buffers is self._buffers:
            self._buffers = []

    def call_twin(self, found: list[Any], seeded: list[Any], on_error: Any = None) -> Any:
        """Call the twin with these leaves in place of the differentiated ones.

        Where the user's function raises, all is dropped, or the code of `on_error` runs.
        """
        self.repeat_draws()
        plan, made, args = self.plan, [], []
        active_types = [plan.active_leaf(ty) for ty, _, _ in found]
        pending = iter(list(zip(active_types, seeded, strict=True)))
        differentiated = {i: self.rebuild(plan.packed[i], pending)[1] for i in plan.argnums}
        for i, (ty, value) in enumerate(zip(plan.packed, self.values, strict=True)):
            if i in differentiated:
                args.append(differentiated[i])
                continue
            if i in plan.effects.written:  # every sweep starts from what the caller passed
                made.append((plan.active[i], self.copied(ty, value)))
                args.append(made[-1][1])
            else:
                args.append(value)

        def clean_up() -> None:
            (on_error or self.clean_up)()
            for pair in made:
                self.release(*pair)

        twin, types_of = plan.twin, plan.active
        returned, result = invoke(self.context, self.builder, twin, types_of, args, clean_up)
        if isinstance(returned, types.Optional):
            result = self._present(returned, result, clean_up)
        for pair in made:
            self.release(*pair)
        if plan.result == types.none and not plan.in_place:
            with self.builder.if_then(cgutils.true_bit):
                message = (plan.not_scalar(),)
                self.context.call_conv.return_user_exc(self.builder, NotScalarError, message)
        return result

    def _present(self, ty: Any, value: Any, clean_up: Any) -> Any:
        """Return a result that may be None; raise where it is."""
        held = self.context.make_helper(self.builder, ty, value=value)
        with cgutils.if_unlikely(self.builder, self.builder.not_(held.valid)):
            clean_up()
            message = (NONE_RETURNED.format(self.plan.name),)
            self.context.call_conv.return_user_exc(self.builder, NotScalarError, message)
        return held.data

    def keep_draws(self, several: Any) -> None:
        """Let all evaluations that follow, several or not, draw the same random numbers."""
        if any(map(holds_generator, self.plan.packed)):
            with cgutils.if_unlikely(self.builder, several):
                self.clean_up()
                message = (SEVERAL_EVALUATIONS.format(self.plan.name),)
                self.context.call_conv.return_user_exc(self.builder, ArgumentError, message)
        if draws_at_random(self.plan, unknown=True):
            self._draws = Draws(self.context, self.builder)

    def repeat_draws(self) -> None:
        """Emit code after which the random numbers come again that `keep_draws` saw ahead."""
        if self._draws is not None:
            self._draws.restore()

    def copied(self, ty: Any, value: Any) -> Any:
        """Return an argument that the function may write to: as numbers, or a plain copy."""
        if activated_type(ty, self.plan.number) != ty:
            return activate_value(self.context, self.builder, ty, value, self.plan.number)
        if isinstance(ty, types.Array):
            return self.kernel(seed.copy_of, (ty, value))
        self.context.nrt.incref(self.builder, ty, value)
        return value

    def release(self, ty: Any, value: Any) -> None:
        """Drop a reference."""
        self.context.nrt.decref(self.builder, ty, value)
        self.disown((ty, value))

    def zeros(self, shape: list[Any], dtype: Any = None) -> tuple[Any, Any]:
        """Return (type, value) of a new zeroed array, of the base type if not told."""
        array = types.Array(dtype or self.plan.base, len(shape), "C")
        return array, seed.new_zeros(self.context, self.builder, array, shape, self.clean_up)

    def unflatten(self, found: list[Any], flat: tuple[Any, Any], *, single: bool) -> Any:
        """Cut a flat gradient into the structure of the differentiated arguments."""
        if len(found) == 1 and isinstance(found[0][0], types.Array):
            ty, value, _ = found[0]
            whole = flat[1] if ty.ndim == 1 else self.kernel(read.shaped, flat, (ty, value))
            if ty.ndim != 1:
                self.release(*flat)
            pieces = [(structured(ty, self.plan.base), whole)]
        else:
            pieces = [self.owned(self._piece(leaf, flat)) for leaf in found]
            self.release(*flat)
            for piece in pieces:
                self.disown(piece)
        pending = iter(pieces)
        parts = [self.rebuild(ty, pending) for ty in self.plan.inputs]
        if single:
            return parts[0][1]
        whole_type = types.BaseTuple.from_types([ty for ty, _ in parts])
        return self.context.make_tuple(self.builder, whole_type, [v for _, v in parts])

    def _piece(self, leaf: Any, flat: tuple[Any, Any]) -> tuple[Any, Any]:
        ty, value, offset = leaf
        at = (types.intp, offset)
        if isinstance(ty, types.Array):
            return structured(ty, self.plan.base), self.kernel(read.take, flat, at, (ty, value))
        return self.plan.base, self.kernel(read.item, flat, at)

    def lanes(self, number_type: NumberType, number: Any, field: str) -> tuple[Any, Any]:
        """Return (type, value) of a stack array that holds one field's derivatives."""
        slot = number_type.struct[field]
        count = slot.n if isinstance(slot, PartialsType) else 1
        pointer = cgutils.alloca_once(self.builder, self.context.get_data_type(slot))
        struct = self.context.make_helper(self.builder, number_type, value=number)
        model = self.context.data_model_manager[slot]
        self.builder.store(model.as_data(self.builder, getattr(struct, "m_" + field)), pointer)
        array = types.Array(number_type.base, 1, "C")
        made = self.context.make_array(array)(self.context, self.builder)
        item = self.context.get_abi_sizeof(self.context.get_data_type(number_type.base))
        arrayobj.populate_array(
            made,
            data=self.builder.bitcast(pointer, made.data.type),
            shape=[self.constant(count)],
            strides=[self.constant(item)],
            itemsize=self.constant(item),
            meminfo=None,
        )
        return array, made._getvalue()

    def base_value(self, ty: Any, value: Any) -> tuple[Any, Any]:
        """Return (type, value) of a result one level down."""
        if isinstance(ty, NumberType) and ty.level == self.plan.number.level:
            return ty.base, self.context.make_helper(self.builder, ty, value=value).m_value
        if isinstance(ty, types.Array) and level(ty.dtype) == self.plan.number.level:
            array = types.Array(ty.dtype.base, ty.ndim, "C")
            like = (ty.dtype.base, self.context.get_constant_null(ty.dtype.base))
            return array, self.kernel(read.values_of, (ty, value), like)
        if isinstance(ty, types.BaseTuple):
            pairs = [
                self.base_value(t, self.builder.extract_value(value, i)) for i, t in enumerate(ty)
            ]
            new_type = tuple_like(ty, [t for t, _ in pairs])
            return new_type, self.context.make_tuple(self.builder, new_type, [v for _, v in pairs])
        self.context.nrt.incref(self.builder, ty, value)
        return ty, value


NONE_RETURNED = (
    "{}: the function returned None here, which has no derivative; let it return a number on every "
    "path (np.nan, say), or raise an error."
)


def pick_chunk(n: int | None, wanted: int | None) -> int:
    """Return the number of partials per sweep for n inputs (None: arrays, any number).

    It does not depend on the size of the first array seen: for n = 1 to 4, 8 partials cost little
    more than fewer do, while too few would double and double again the sweeps of a later call.
    """
    if wanted is not None:
        return wanted
    if n is None or n >= DEFAULT_CHUNK:
        return DEFAULT_CHUNK
    return next(chunk for chunk in CHUNKS if chunk >= n)


def seed_leaf(run: Run, leaf: Any, buffer: Any, start: Any) -> Any:
    """Return a leaf with unit partials for the inputs from `start`."""
    ty, value, offset = leaf
    first = run.builder.sub(offset, start)
    if buffer is None:
        plan = run.plan
        return seed.make_seeded(run.context, run.builder, plan.number, value, ty, [first])
    run.kernel(seed.seed_array, buffer, (ty, value), (types.intp, first), run.number)
    return buffer[1]


def sweep(run: Run, step: int) -> Any:
    """Emit a loop over chunks of the inputs, at least one; yield the first input of each."""
    run.keep_draws(run.builder.icmp_signed(">", run.n, run.constant(step)))
    at_least_one = run.builder.select(
        run.builder.icmp_signed(">", run.n, run.constant(1)), run.n, run.constant(1)
    )
    return cgutils.for_range_slice(
        run.builder, run.constant(0), at_least_one, run.constant(step), inc=True
    )
