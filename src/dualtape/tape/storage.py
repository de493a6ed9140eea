"""The tape: the sparse matrix of local partial derivatives, in CSR form.

Row i of the matrix is statement i of the computation, y_i = phi_i(y_j, ...), column j an operand,
the entry d phi_i / d y_j.  `row_end`, `col` (4 bytes) and `partial` (8 bytes for float64) hold it:
12 bytes an entry and 4 a row.  With unit diagonal added, a reverse sweep is a backward, a forward
sweep a forward substitution (Griewank & Walther, Evaluating Derivatives, 2008, chapters 4 and 9).

Row 0 belongs to the constants: passive operands have it as their row and get no entry.  Inputs and
the results of blocks are *bare* rows, without entries.  An *increment* adds its entries to those of
an earlier row, named by its first entry (see `analysis.increments`).  A *block* is an operation on
whole arrays: a range of bare rows, the address of its compiled adjoint, and data in the tape's
arena.

`Storage` is written once: an ordinary class at the prompt, and compiled as an ordinary jitclass,
whose address numbers contain and to which statements are appended inline (`statement`).  Partials
are stored as bytes, so one tape serves every number type.

Numba internals used (seen in 0.66 to 0.68): an instance of a jitclass is (meminfo, data pointer),
and reference counts of a null meminfo are not kept.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.experimental import jitclass
from numba.extending import intrinsic

from ..backend.allocation import (
    array_over,
    clear_items,
    copy_items,
    empty_array,
    fill_items,
    item_size_of,
    larger,
    no_array,
    smaller,
    zero_array,
)
from ..backend.jit import internal, kernel
from ..errors import TapeMemoryError

SMALLEST = 1024  # entries
LARGEST = 2**31 - 1  # rows and entries are numbered in 32 bits
MARK = np.uint32(
    2**31
)  # set in the column of a first entry: the statement's entries belong to that row
BLOCK_FIELDS = 4  # first row, row after the last, address of the adjoint, offset in the arena


class Storage:
    """Rows, entries and blocks; see the module's docstring.

    Attributes
    ----------
    rows, entries, blocks : int
        Their numbers, row 0 included.
    bare : int
        Number of rows without entries of their own.
    capacity : int
        Number of entries for which there is room.
    item : int
        Size of a partial in bytes.
    taken, limit : int
        Size of the tape in bytes, adjoints included, and its limit.
    home : int
        Position in the pool, 0 if it has none.
    scalarized : int
        Whether elementwise operations on arrays are recorded as statements instead of blocks,
        because the tape is read as a matrix.
    borrows : int
        Number of arrays outside of the tape to which blocks may refer; `borrowed` contains where
        each begins and ends.
    holds, held_bytes : int
        Number of references that blocks hold to values outside of the tape, and the size of these;
        `held` contains the addresses of their counts.
    owner : int
        Address of Numba's reference count of this tape.
    """

    def __init__(self, item: int, limit: int) -> None:
        self.rows = 1
        self.entries = 0
        self.capacity = 0
        self.bare = 1
        self.blocks = 0
        self.arena_used = 0
        self.item = item
        self.taken = 8
        self.limit = limit
        self.home = 0
        self.scalarized = 0
        self.borrows = 0
        self.holds = 0
        self.held_bytes = 0
        self.owner = 0
        self.borrowed = zero_array(16, np.int64)
        self.held = no_array(np.int64)
        self.row_end = zero_array(2, np.uint32)
        self.col = no_array(np.uint32)
        self.partial = no_array(np.uint8)
        self.adjoint = no_array(np.uint8)
        self.block = no_array(np.int64)
        self.arena = no_array(np.uint8)
        self.inputs = no_array(np.uint8)
        self.label = no_array(np.int32)
        self.value = no_array(np.float64)

    def begin(self, item: int) -> None:
        """Empty the tape, for partials of `item` bytes, without freeing memory."""
        self.rows = 1
        self.entries = 0
        self.bare = 1
        self.blocks = 0
        self.arena_used = 0
        self.scalarized = 0
        self.borrows = 0
        self.item = item
        self.capacity = smaller(self.col.size, self.partial.size // item)
        fill_items(self.label, 0, self.label.size, -1)

    def nbytes(self) -> int:
        """Return the size of rows, entries, adjoints and blocks in bytes."""
        return self.taken

    def mark(self) -> tuple[int, int, int, int, int]:
        """Return the present position, for `rewind`."""
        return self.rows, self.entries, self.bare, self.blocks, self.arena_used

    def rewind(self, mark: tuple[int, int, int, int, int]) -> None:
        """Drop everything recorded after `mark`, without freeing memory."""
        self.rows, self.entries, self.bare, self.blocks, self.arena_used = mark

    def check(self, more: int) -> None:
        """Raise if `more` bytes would exceed the limit."""
        if self.taken + more > self.limit:
            raise TapeMemoryError(
                "the tape would pass its memory limit. Record less: wrap the steps of a long loop "
                "in dualtape.checkpoint, use forward mode for few inputs, or raise the limit with "
                "dualtape.set_tape_limit."
            )

    def grow(self, more: int) -> None:
        """Make room for `more` entries, each possibly a row of its own, and for the bare rows."""
        capacity, size = self.capacity, self.row_end.size
        if more > 0:
            capacity = larger(larger(2 * capacity, self.entries + more), SMALLEST)
        if capacity > LARGEST:
            raise TapeMemoryError("a tape holds at most 2**31 - 1 entries; see checkpoint")
        row_capacity = capacity + self.bare + 1
        if row_capacity > LARGEST:
            raise TapeMemoryError("a tape holds at most 2**31 - 1 rows; see checkpoint")
        if size < row_capacity:
            size = larger(row_capacity, smaller(size + self.bare, LARGEST))
        nbytes = 4 * (size - self.row_end.size)
        if capacity > self.capacity:
            nbytes += 4 * (capacity - self.col.size) + capacity * self.item - self.partial.size
        self.check(nbytes)
        if capacity > self.capacity:
            col = empty_array(capacity, np.uint32)
            partial = empty_array(capacity * self.item, np.uint8)
            copy_items(col, self.col, self.entries)
            copy_items(partial, self.partial, self.entries * self.item)
            self.col = col
            self.partial = partial
        if size > self.row_end.size:
            row_end = empty_array(size, np.uint32)
            copy_items(row_end, self.row_end, self.rows)
            self.row_end = row_end
        self.capacity = capacity
        self.taken += nbytes

    def reserve(self, count: int) -> int:
        """Append bare rows; return the first.

        The end of the last one is noted, of the others only where the tape is read as a matrix.
        """
        first = self.rows
        self.bare += count
        if self.row_end.size < self.capacity + self.bare + 1:
            self.grow(0)
        self.rows = first + count
        start = first if self.scalarized else larger(first, self.rows - 1)
        fill_items(self.row_end, start, self.rows, self.entries)
        return first

    def clear_adjoints(self, width: int) -> None:
        """Make `width` zero adjoints for every row."""
        nbytes = self.rows * self.item * width
        more = nbytes - self.adjoint.size
        if more > 0:
            self.check(more)
            self.adjoint = empty_array(nbytes, np.uint8)
            self.taken += more
        clear_items(self.adjoint, nbytes)

    def store(self, count: int) -> int:
        """Make room for `count` bytes of a block's data in the arena; return their offset."""
        first = self.arena_used
        used = first + (count + 31) // 32 * 32
        if used > self.arena.size:
            size = larger(2 * self.arena.size, used)
            more = size - self.arena.size
            self.check(more)
            arena = empty_array(size, np.uint8)
            copy_items(arena, self.arena, first)
            self.arena = arena
            self.taken += more
        self.arena_used = used
        return first

    def name(self, row: int, label: int, value: float) -> None:
        """Attach a label and a value to a row, unless it has a label."""
        old_size = self.label.size
        if row >= old_size:
            size = larger(2 * old_size, row + 1)
            labels, values = empty_array(size, np.int32), zero_array(size, np.float64)
            copy_items(labels, self.label, old_size)
            copy_items(values, self.value, old_size)
            fill_items(labels, old_size, size, -1)
            self.label = labels
            self.value = values
        if self.label[row] < 0:
            self.label[row] = label
            self.value[row] = value

    def add_block(self, first: int, last: int, adjoint: int, offset: int) -> None:
        """Add an operation on arrays whose results are the rows `first` to `last - 1`."""
        start = self.blocks * BLOCK_FIELDS
        if start == self.block.size:
            more = larger(start, 16 * BLOCK_FIELDS)
            self.check(8 * more)
            block = empty_array(start + more, np.int64)
            copy_items(block, self.block, start)
            self.block = block
            self.taken += 8 * more
        self.block[start] = first
        self.block[start + 1] = last
        self.block[start + 2] = adjoint
        self.block[start + 3] = offset
        self.blocks += 1


@functools.cache
def native_class() -> Any:
    """Return `Storage` as a jitclass, made when first needed."""
    integers = (
        "rows", "entries", "capacity", "bare", "blocks", "arena_used", "item", "taken", "limit",
        "home", "scalarized", "borrows", "holds", "held_bytes", "owner",
    )  # fmt: skip
    spec: list[tuple[str, Any]] = [(name, types.int64) for name in integers]
    arrays = {
        "row_end": types.uint32,
        "col": types.uint32,
        "partial": types.uint8,
        "adjoint": types.uint8,
        "block": types.int64,
        "borrowed": types.int64,
        "held": types.int64,
        "arena": types.uint8,
        "inputs": types.uint8,
        "label": types.int32,
        "value": types.float64,
    }
    spec += [(name, types.Array(dtype, 1, "C")) for name, dtype in arrays.items()]
    plain = {k: v for k, v in vars(Storage).items() if k not in ("__dict__", "__weakref__")}
    for function in plain.values():
        getattr(function, "__annotations__", {}).clear()  # Numba would take them for types
    cls = jitclass(spec)(type("Tape", (), plain))
    instance = cls.class_type
    instance.jit_methods.update({k: internal(f) for k, f in instance.methods.items()})
    return cls


def native_type() -> Any:
    """Return the Numba type of a tape."""
    return native_class().class_type.instance_type


def field_pointer(context: Any, builder: Any, address: Any, name: str) -> Any:
    """Return the pointer to a field of the tape at an address."""
    data_type = native_type().get_data_type()
    pointer = context.get_data_type(data_type).as_pointer()
    data = context.make_data_helper(builder, data_type, ref=builder.inttoptr(address, pointer))
    return data._get_ptr_by_name("m_" + name)


def set_flag(context: Any, builder: Any, address: Any, name: str) -> None:
    """Set an integer of the tape at an address to one."""
    pointer = field_pointer(context, builder, address, name)
    builder.store(context.get_constant(types.int64, 1), pointer)


@intrinsic
def new_tape(typingctx: Any, item: Any, limit: Any) -> Any:
    """Make a tape."""
    class_type = native_class().class_type
    sig = typingctx.resolve_function_type(class_type, (types.int64, types.int64), {})

    def codegen(context: Any, builder: Any, _: Any, args: Any) -> Any:
        return context.get_function(class_type, sig)(builder, args)

    return sig.return_type(types.int64, types.int64), codegen


@intrinsic
def tape_at(typingctx: Any, address: Any) -> Any:
    """Return the tape at an address, without counting the reference."""
    tape = native_type()

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        instance = context.make_helper(builder, tape)
        instance.meminfo = ir.Constant(instance.meminfo.type, None)
        instance.data = builder.inttoptr(args[0], instance.data.type)
        return instance._getvalue()

    return tape(types.int64), codegen


@intrinsic
def address_of(typingctx: Any, tape: Any) -> Any:
    """Return the addresses of a tape's data and of its reference count."""
    pair = types.UniTuple(types.int64, 2)

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        instance = context.make_helper(builder, tape, value=args[0])
        i64 = ir.IntType(64)
        pointers = [instance.data, instance.meminfo]
        values = [builder.ptrtoint(pointer, i64) for pointer in pointers]
        return context.make_tuple(builder, pair, values)

    return pair(tape), codegen


@intrinsic
def keep(typingctx: Any, tape: Any) -> Any:
    """Count one more reference, to be released by `drop`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        context.nrt.incref(builder, tape, args[0])
        return context.get_dummy_value()

    return types.none(tape), codegen


@intrinsic
def drop(typingctx: Any, owner: Any) -> Any:
    """Release a reference counted by `keep`."""
    tape = native_type()

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        instance = context.make_helper(builder, tape)
        instance.meminfo = builder.inttoptr(args[0], instance.meminfo.type)
        context.nrt.decref(builder, tape, instance._getvalue())
        return context.get_dummy_value()

    return types.none(types.int64), codegen


@intrinsic
def item_size(typingctx: Any, like: Any) -> Any:
    """Return the size in memory, in bytes, of a number of the type of `like`."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        size = context.get_abi_sizeof(context.get_data_type(like))
        return context.get_constant(types.int64, size)

    return types.int64(like), codegen


@intrinsic
def typed_view(typingctx: Any, raw: Any, like: Any) -> Any:
    """Return bytes as an array of numbers of the type of `like`, borrowed (see `array_over`).

    Sweeps may raise, and Numba releases no references of a function that raises.
    """
    view = types.Array(like, 1, "C")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = context.make_array(raw)(context, builder, args[0])
        size = context.get_constant(types.intp, item_size_of(context, view))
        return array_over(context, builder, view, source.data, [builder.udiv(source.nitems, size)])

    return view(raw, like), codegen


@kernel
def open_statements(address: Any, entries: Any, results: Any) -> Any:
    """Make room for statements with so many entries; return the row of the first."""
    tape = tape_at(address)
    if tape.entries + entries > tape.capacity:
        tape.grow(entries)
    return tape.reserve(results)


@kernel
def grow(address: Any, more: Any) -> None:
    """Make room for more entries: the cold path of every statement."""
    tape_at(address).grow(more)
