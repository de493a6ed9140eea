"""The generated part of a loop over planes: the function of a line, and its plan; see `lines`."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from ..backend.calls import call_apart
from ..numbers.emitted import find_emitted, unwrap
from ..numbers.tracked import Active, make_active
from ..numbers.types import PlanesType, is_array, level, member_type
from ..reverse.blocks import emit_function
from . import lines
from .expression import Evaluation, element, i64

_I64 = ir.IntType(64)


class _Line:
    """The operands of a line, as `Evaluation` needs them: where code is emitted, and the types."""

    def __init__(self, context: Any, builder: Any, operand_types: Any) -> None:
        self.context, self.builder, self.types = context, builder, operand_types


class LineLoop:
    """The loop of an expression without rows in memory.

    Parameters
    ----------
    operands : Operands
    tree : Node or int
    dtype : NumberType
        Type of the results, whose values are stored.
    wide : type
        Type of the partials.
    slots : dict of int to int
        Positions of the operands that are differentiated, and their planes of partials.
    """

    def __init__(self, operands: Any, tree: Any, dtype: Any, wide: Any, slots: Any) -> None:
        self.operands, self.tree, self.dtype = operands, tree, dtype
        self.wide, self.slots = wide, slots
        self.context, self.builder = operands.context, operands.builder
        self.constants: dict[int, float] = {}
        self.computed: list[int] = []

    @property
    def planes(self) -> int:
        """Number of the planes of partials, without those that are one constant."""
        return len(self.computed)

    def has_room(self, more: int) -> bool:
        """Whether the buffers suffice: one for every operand and partial, and some more."""
        kinds = [self.value_type(k) for k in range(len(self.operands.types))]
        sizes = [
            self.context.get_abi_sizeof(self.context.get_data_type(ty))
            for ty in (*kinds, self.wide, self.dtype.base)
        ]
        return lines.has_room(max(sizes), len(kinds) + len(self.slots) + more)

    def value_type(self, position: int) -> Any:
        """Return the type of an operand's values in memory."""
        ty = element(self.operands.types[position])
        return ty.base if position in self.slots else types.unliteral(ty)

    def emit_functions(self, name: str) -> None:
        """Emit the functions of a line, for results and for partials; note their addresses.

        Partials are computed anew where that calls no function: arithmetic costs less than memory.
        """
        self.results, function = self._function(name, is_kept=True, has_partials=False)
        self.is_anew = not _calls(function)
        self.partials, _ = self._function(name, is_kept=not self.is_anew, has_partials=True)

    def _function(self, name: str, *, is_kept: bool, has_partials: bool) -> tuple[Any, Any]:
        """Emit a function of a line that stores results, partials or both.

        Return its address and itself.
        """
        functions = []

        def body(builder: Any, args: Any) -> None:
            count, out, table, partials, plane = args
            functions.append(builder.function)
            pointers = [self._pointer(builder, table, k) for k in range(len(self.operands.types))]
            fixed = {
                k: self._load(builder, pointer, k)
                for k, pointer in enumerate(pointers)
                if not is_array(self.operands.types[k])
            }
            with cgutils.for_range(builder, count) as loop:
                values = [
                    fixed[k] if k in fixed else self._load(builder, pointer, k, loop.index)
                    for k, pointer in enumerate(pointers)
                ]
                y = self._element(builder, values)
                if is_kept:
                    value = unwrap(y.value, self.dtype.base, find_emitted(y))
                    self._store(builder, self.dtype.base, value, out, loop.index)
                if has_partials:
                    self._store_partials(builder, y, loop.index, partials, plane)

        address = emit_function(self.context, self.builder, name, lines.LINE_ARGS, body)
        return address, functions[0]

    def _pointer(self, builder: Any, table: Any, k: int) -> Any:
        words = builder.inttoptr(table, _I64.as_pointer())
        address = builder.load(builder.gep(words, [i64(k)]))
        data_type = self.context.get_data_type(self.value_type(k))
        return builder.inttoptr(address, data_type.as_pointer())

    def _load(self, builder: Any, pointer: Any, k: int, index: Any = None) -> Any:
        """Return an operand as the number that `Evaluation` takes."""
        if index is not None:
            pointer = builder.gep(pointer, [index])
        value = self.context.unpack_value(builder, self.value_type(k), pointer)
        mark(builder, value, "noalias")
        if k not in self.slots:
            return value
        return make_active(self.context, builder, self._kind(k), value, i64(0), i64(0))

    def _kind(self, k: int) -> Any:
        """Return the type of an operand as `Evaluation` sees it: with a slot a tracked number."""
        ty = element(self.operands.types[k])
        return member_type(Active, ty.base) if k in self.slots else ty

    def _element(self, builder: Any, values: Any) -> Any:
        """Return an element, with partials by position."""
        kinds = [self._kind(k) for k in range(len(self.operands.types))]
        line: Any = _Line(self.context, builder, kinds)
        return Evaluation(line, values, self.slots).local(self.tree, self.dtype)

    def _store_partials(self, builder: Any, y: Any, index: Any, partials: Any, plane: Any) -> None:
        """Store the partials; those that are constants here become part of the plan."""
        found = dict(zip(y.rows, y.partials, strict=True))
        for slot in range(len(self.slots)):
            partial = found.get(slot, 0.0)
            if isinstance(partial, float | int):
                self.constants[slot] = float(partial)
                continue
            place = builder.add(partials, builder.mul(plane, i64(len(self.computed))))
            self.computed.append(slot)
            value = unwrap(partial, self.wide, find_emitted(y))
            self._store(builder, self.wide, value, place, index)

    def _store(self, builder: Any, ty: Any, value: Any, address: Any, index: Any) -> None:
        model = self.context.data_model_manager[ty]
        pointer = builder.inttoptr(address, model.get_data_type().as_pointer())
        data = model.as_data(builder, value)
        mark(builder, builder.store(data, builder.gep(pointer, [index])), "alias.scope")

    def plan(
        self, shape: list[Any], kind: int, out: list[Any], steps: list[Any], partials: list[Any]
    ) -> tuple[Any, Any]:
        """Emit the plan; return its address and that of the memory to run it.

        `out` are the address of the results and what their record has as origin; they have these
        steps in bytes along the axes.  `partials` are the function to be called, the address of
        the partials, and the bytes of one plane.
        """
        if len(shape) == 1:
            shape, steps = [i64(1), *shape], [i64(0), *steps]
        zero, ndim, count = i64(0), len(shape), len(self.operands.types)
        function, address, plane = partials
        anew = self.partials if self.is_anew and self.planes else zero
        length, more = lines.plan_words(ndim, count), lines.table_words(ndim, count)
        words = [i64(ndim), i64(count), i64(length), i64(more), function, anew, i64(kind)]
        words += [address, i64(self.planes), plane, self._size(self.wide), *shape]
        place, origin = out
        words += [place, self._size(self.dtype.base), origin, *[zero] * (lines.STRIDES - 3), *steps]
        for k in range(count):
            words += self._record(k, ndim)
        return self._on_stack(words, length), self._on_stack([], more)

    def run(self, kernel: Any, plan: Any, table: Any, *more: Any) -> None:
        """Emit the call that runs a plan."""
        base = self.dtype.base
        arguments = plan, table, *more, self.context.get_constant_null(base)
        arg_types = (*(types.int64,) * (2 + len(more)), base)
        call_apart(self.context, self.builder, kernel.at(level(base)), arg_types, arguments)

    def _size(self, ty: Any) -> Any:
        return i64(self.context.get_abi_sizeof(self.context.get_data_type(ty)))

    def _record(self, k: int, ndim: int) -> list[Any]:
        """Return the record of an operand, aligned to the last axes."""
        builder, zero, ty = self.builder, i64(0), self.operands.types[k]
        slot = constant = zero
        if k in self.slots:
            number = self.slots[k]
            known = self.constants.get(number)  # zero times an infinite adjoint is zero
            bits = ir.Constant(ir.DoubleType(), known or 0.0)
            constant = builder.bitcast(bits, _I64)
            if known is None:
                slot = i64(1 + self.computed.index(number))
            elif known != 0.0:
                slot = i64(-1)
        if not is_array(ty):
            address, origin, size = self._number(k)
            if k in self.slots:
                slot = self._if_active(origin, slot)
            return [address, zero, origin, slot, constant, size, zero, *[zero] * ndim]
        array_type, value, origin = ty, self.operands.args[k], zero
        owner = i64(-1 if ty.mutable else -2)
        if isinstance(ty, PlanesType):
            planes = self.context.make_helper(builder, ty, value=value)
            array_type, value, origin = ty.values, planes.values, planes.origin
            slot = self._if_active(planes.tape, slot)
        array = self.context.make_array(array_type)(self.context, builder, value)
        if isinstance(ty, PlanesType):
            owner = builder.ptrtoint(array.meminfo, _I64)
        steps = [zero] * (ndim - ty.ndim)
        extents = cgutils.unpack_tuple(builder, array.shape, ty.ndim)
        strides = cgutils.unpack_tuple(builder, array.strides, ty.ndim)
        for extent, stride in zip(extents, strides, strict=True):
            is_stretched = builder.icmp_signed("==", extent, i64(1))
            steps.append(builder.select(is_stretched, zero, stride))
        address = builder.ptrtoint(array.data, _I64)
        return [address, array.itemsize, origin, slot, constant, zero, owner, *steps]

    def _if_active(self, word: Any, slot: Any) -> Any:
        """Return a slot, 0 for a constant: one of row 0, or planes without a tape."""
        return self.builder.select(cgutils.is_null(self.builder, word), i64(0), slot)

    def _number(self, k: int) -> tuple[Any, Any, Any]:
        """Return the address of the value of an operand that is no array, its row and its size."""
        ty, value = self.operands.types[k], self.operands.args[k]
        builder, plain, row = self.builder, self.value_type(k), i64(0)
        if k in self.slots:
            number = self.context.make_helper(builder, ty, value=value)
            value, row = number.m_value, number.m_row
        else:
            value = self.context.cast(builder, value, ty, plain)
        return self._in_memory(plain, value), row, self._size(plain)

    def _in_memory(self, ty: Any, value: Any) -> Any:
        """Return the address of a value in memory."""
        place = cgutils.alloca_once(self.builder, self.context.get_data_type(ty))
        self.context.pack_value(self.builder, ty, value, place)
        return self.builder.ptrtoint(place, _I64)

    def _on_stack(self, words: list[Any], length: int) -> Any:
        place = cgutils.alloca_once(self.builder, ir.ArrayType(_I64, length))
        for i, value in enumerate(words):
            self.builder.store(value, cgutils.gep_inbounds(self.builder, place, 0, i))
        return self.builder.ptrtoint(place, _I64)


def _calls(function: Any) -> bool:
    """Whether a function calls another that is more than an instruction of the processor."""
    return any(
        isinstance(instruction, ir.CallInstr) and instruction.callee.name not in _INSTRUCTIONS
        for block in function.blocks
        for instruction in block.instructions
    )


_INSTRUCTIONS = {
    f"llvm.{name}.f64" for name in ("fabs", "sqrt", "copysign", "fma", "floor", "ceil")
}


def mark(builder: Any, instruction: Any, kind: str) -> None:
    """Tell LLVM that results and operands do not overlap: results are in memory of their own."""
    if not isinstance(instruction, ir.LoadInstr | ir.StoreInstr):
        return
    module = builder.module
    domain = module.add_metadata([ir.MetaDataString(module, "dualtape.lines")])
    scope = module.add_metadata([ir.MetaDataString(module, "dualtape.results"), domain])
    instruction.set_metadata(kind, module.add_metadata([scope]))
