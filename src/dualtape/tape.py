"""The tape: the sparse matrix of local partial derivatives, in CSR form.

Row i of the matrix is statement i of the computation, y_i = phi_i(y_j, ...), column j an operand,
the entry d phi_i / d y_j.  `row_end`, `col` (4 bytes) and `partial` (8 bytes for float64) hold it:
12 bytes an entry and 4 a row.  With unit diagonal added, a reverse sweep is a backward, a forward
sweep a forward substitution (Griewank & Walther, Evaluating Derivatives, 2008, chapters 4 and 9).

Row 0 is the constant: passive operands have it as their row and are never entered.  Inputs and the
results of blocks are *bare* rows, without entries.  An *increment* adds its entries to those of an
earlier row, which its first entry names (see `increments`).  A *block* is an operation on whole
arrays: a range of bare rows, the address of its own compiled adjoint, and data in the tape's arena.

`Storage` is written once: as it stands at the prompt, and as an ordinary jitclass in compiled code,
where numbers hold its address and statements are appended inline (`recording`).  Partials are
stored as bytes, so one tape serves every number type.

Numba internals used (seen to work with 0.68): an instance of a jitclass is (meminfo, data pointer),
and reference counts of a null meminfo are not kept.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.experimental import jitclass
from numba.extending import intrinsic
from numba.np import arrayobj

from ._jit import internal, kernel
from .errors import TapeMemoryError

__all__ = [
    "BLOCK_FIELDS",
    "MARK",
    "Storage",
    "address_of",
    "field_pointer",
    "grow",
    "item_size",
    "lent_array",
    "reserve_rows",
    "spell",
    "tape_at",
    "typed_view",
]

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
        How many there are; row 0 counts.
    bare : int
        How many rows have no entries of their own.
    capacity : int
        For how many entries there is room.
    item : int
        Bytes of one partial.
    limit : int
        Bytes that the tape may take, adjoints included.
    home : int
        Place in the pool, -1 if none.
    spelled : int
        Whether elementwise operations on arrays are statements, not blocks: the tape is read as a
        matrix.
    borrows : int
        How many arrays outside of the tape blocks may refer to; `borrowed` holds where each begins
        and ends.
    owner : int
        Address of what Numba counts references of this tape by.
    """

    def __init__(self, item: int, limit: int) -> None:
        self.rows = 1
        self.entries = 0
        self.capacity = 0
        self.bare = 1
        self.blocks = 0
        self.arena_used = 0
        self.item = item
        self.limit = limit
        self.home = -1
        self.spelled = 0
        self.borrows = 0
        self.owner = 0
        self.borrowed = np.zeros(16, np.int64)
        self.row_end = np.zeros(2, np.uint32)
        self.col = np.zeros(0, np.uint32)
        self.partial = np.zeros(0, np.uint8)
        self.adjoint = np.zeros(0, np.uint8)
        self.block = np.zeros(0, np.int64)
        self.arena = np.zeros(0, np.uint8)
        self.inputs = np.zeros(0, np.uint8)
        self.label = np.zeros(0, np.int32)
        self.value = np.zeros(0, np.float64)

    def begin(self, item: int) -> None:
        """Empty the tape, for partials of `item` bytes; memory is kept."""
        self.rows = 1
        self.entries = 0
        self.bare = 1
        self.blocks = 0
        self.arena_used = 0
        self.spelled = 0
        self.borrows = 0
        self.item = item
        self.capacity = min(self.col.size, self.partial.size // item)
        self.label[:] = -1

    def nbytes(self) -> int:
        """Return the bytes taken by rows, entries, adjoints and blocks."""
        rows = self.row_end.size * 4 + self.adjoint.size
        entries = self.col.size * 4 + self.partial.size
        return rows + entries + self.block.size * 8 + self.arena.size + self.inputs.size

    def mark(self) -> tuple[int, int, int, int, int]:
        """Return the present position, for `rewind`."""
        return self.rows, self.entries, self.bare, self.blocks, self.arena_used

    def rewind(self, mark: tuple[int, int, int, int, int]) -> None:
        """Forget all that was recorded after `mark`; memory is kept."""
        self.rows, self.entries, self.bare, self.blocks, self.arena_used = mark

    def check(self, more: int) -> None:
        """Raise where `more` bytes would pass the limit."""
        if self.nbytes() + more > self.limit:
            raise TapeMemoryError(
                "the tape would pass its memory limit. Record less: wrap the steps of a long loop "
                "in dualtape.checkpoint, use forward mode for few inputs, or raise the limit with "
                "dualtape.set_tape_limit."
            )

    def grow(self, more: int) -> None:
        """Make room for `more` entries, each of which may be a row."""
        capacity = max(2 * self.capacity, self.entries + more, SMALLEST)
        if capacity > LARGEST:
            raise TapeMemoryError("a tape holds at most 2**31 - 1 entries; see checkpoint")
        self.check((capacity - self.capacity) * (8 + self.item))
        col = np.empty(capacity, np.uint32)
        partial = np.empty(capacity * self.item, np.uint8)
        col[: self.entries] = self.col[: self.entries]
        partial[: self.entries * self.item] = self.partial[: self.entries * self.item]
        self.col = col
        self.partial = partial
        self.capacity = capacity
        self.fit_rows()

    def shrink(self) -> None:
        """Give memory back, where a lower limit was set since."""
        if self.nbytes() > self.limit:
            self.capacity = 0
            self.row_end = np.zeros(2, np.uint32)
            self.col = np.zeros(0, np.uint32)
            self.partial = np.zeros(0, np.uint8)
            self.adjoint = np.zeros(0, np.uint8)
            self.block = np.zeros(0, np.int64)
            self.arena = np.zeros(0, np.uint8)
            self.inputs = np.zeros(0, np.uint8)

    def fit_rows(self) -> None:
        """Let every entry there is room for be a row, beside the bare rows."""
        wanted = self.capacity + self.bare + 1
        if self.row_end.size < wanted:
            if wanted > LARGEST:
                raise TapeMemoryError("a tape holds at most 2**31 - 1 rows; see checkpoint")
            size = max(wanted, min(self.row_end.size + self.bare, LARGEST))
            self.check(4 * (size - self.row_end.size))
            row_end = np.zeros(size, np.uint32)
            row_end[: self.rows] = self.row_end[: self.rows]
            self.row_end = row_end

    def reserve(self, count: int) -> int:
        """Append bare rows; return the first."""
        first = self.rows
        self.bare += count
        self.rows += count
        if self.row_end.size < self.capacity + self.bare + 1:
            self.rows = first  # what is to be copied
            self.fit_rows()
            self.rows = first + count
        self.row_end[first : first + count] = self.entries
        return first

    def clear_adjoints(self, width: int) -> None:
        """Make `width` zero adjoints for every row."""
        wanted = self.rows * self.item * width
        if self.adjoint.size < wanted:
            self.check(wanted - self.adjoint.size)
            self.adjoint = np.zeros(wanted, np.uint8)
        else:
            self.adjoint[:wanted] = 0

    def store(self, count: int) -> int:
        """Make room for `count` bytes of a block's data in the arena; return their offset."""
        first = self.arena_used
        used = first + (count + 31) // 32 * 32
        if used > self.arena.size:
            size = max(2 * self.arena.size, used)
            self.check(size - self.arena.size)
            arena = np.empty(size, np.uint8)
            arena[:first] = self.arena[:first]
            self.arena = arena
        self.arena_used = used
        return first

    def lend(self, count: int) -> None:
        """Make room for `count` bytes of inputs as numbers; see `lent_array`."""
        if count > self.inputs.size:
            self.check(count - self.inputs.size)
            self.inputs = np.empty(count, np.uint8)

    def name(self, row: int, label: int, value: float) -> None:
        """Keep a label and a value with a row, unless it has a label."""
        if row >= self.label.size:
            size = max(2 * self.label.size, row + 1)
            labels, values = np.full(size, -1, np.int32), np.zeros(size)
            labels[: self.label.size] = self.label
            values[: self.label.size] = self.value
            self.label = labels
            self.value = values
        if self.label[row] < 0:
            self.label[row] = label
            self.value[row] = value

    def add_block(self, first: int, last: int, adjoint: int, offset: int) -> None:
        """Enter an operation on arrays whose results are the rows from `first` to before `last`."""
        at = self.blocks * BLOCK_FIELDS
        if at == self.block.size:
            block = np.zeros(max(2 * at, 16 * BLOCK_FIELDS), np.int64)
            block[:at] = self.block[:at]
            self.block = block
        self.block[at] = first
        self.block[at + 1] = last
        self.block[at + 2] = adjoint
        self.block[at + 3] = offset
        self.blocks += 1


@functools.cache
def native_class() -> Any:
    """Return `Storage` as a jitclass, made when first needed."""
    counters = ("rows", "entries", "capacity", "bare", "blocks", "arena_used", "item", "limit")
    spec: list[tuple[str, Any]] = [
        (name, types.int64) for name in (*counters, "home", "spelled", "borrows", "owner")
    ]
    arrays = {
        "row_end": types.uint32,
        "col": types.uint32,
        "partial": types.uint8,
        "adjoint": types.uint8,
        "block": types.int64,
        "borrowed": types.int64,
        "arena": types.uint8,
        "inputs": types.uint8,
        "label": types.int32,
        "value": types.float64,
    }
    spec += [(name, types.Array(dtype, 1, "C")) for name, dtype in arrays.items()]
    plain = {k: v for k, v in vars(Storage).items() if k not in ("__dict__", "__weakref__")}
    for function in plain.values():
        getattr(function, "__annotations__", {}).clear()  # Numba would take them for types
    made = jitclass(spec)(type("Tape", (), plain))
    instance = made.class_type
    instance.jit_methods.update({k: internal(f) for k, f in instance.methods.items()})
    return made


def native_type() -> Any:
    """Return the Numba type of a tape."""
    return native_class().class_type.instance_type


def field_pointer(context: Any, builder: Any, address: Any, name: str) -> Any:
    """Return the pointer to a field of the tape at an address."""
    data_type = native_type().get_data_type()
    pointer = context.get_data_type(data_type).as_pointer()
    data = context.make_data_helper(builder, data_type, ref=builder.inttoptr(address, pointer))
    return data._get_ptr_by_name("m_" + name)


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
    """Return the tape at an address, borrowed: its references are not counted."""
    tape = native_type()

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        instance = context.make_helper(builder, tape)
        instance.meminfo = ir.Constant(instance.meminfo.type, None)
        instance.data = builder.inttoptr(args[0], instance.data.type)
        return instance._getvalue()

    return tape(types.int64), codegen


@intrinsic
def address_of(typingctx: Any, tape: Any) -> Any:
    """Return the address of a tape's data and that of its reference count."""
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
    """Count one more reference, which `drop` gives back."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        context.nrt.incref(builder, tape, args[0])
        return context.get_dummy_value()

    return types.none(tape), codegen


@intrinsic
def drop(typingctx: Any, owner: Any) -> Any:
    """Give back a reference that `keep` took."""
    tape = native_type()

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        instance = context.make_helper(builder, tape)
        instance.meminfo = builder.inttoptr(args[0], instance.meminfo.type)
        context.nrt.decref(builder, tape, instance._getvalue())
        return context.get_dummy_value()

    return types.none(types.int64), codegen


@intrinsic
def item_size(typingctx: Any, like: Any) -> Any:
    """Return the bytes that a number of the type of `like` takes in memory."""

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        size = context.get_abi_sizeof(context.get_data_type(like))
        return context.get_constant(types.int64, size)

    return types.int64(like), codegen


@intrinsic
def typed_view(typingctx: Any, raw: Any, like: Any) -> Any:
    """Return bytes as an array of numbers of the type of `like`, borrowed.

    Its references are not counted: Numba drops none of a function that raises, as sweeps may.
    """
    view = types.Array(like, 1, "C")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = context.make_array(raw)(context, builder, args[0])
        out = context.make_array(view)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(like)))
        arrayobj.populate_array(
            out,
            data=builder.bitcast(source.data, out.data.type),
            shape=[builder.udiv(source.nitems, size)],
            strides=[size],
            itemsize=size,
            meminfo=None,
            parent=None,
        )
        return out._getvalue()

    return view(raw, like), codegen


@intrinsic
def lent_array(typingctx: Any, raw: Any, first: Any, x: Any, like: Any) -> Any:
    """Return bytes from number `first` on as an array in the shape of `x`, borrowed.

    The inputs of a recording live in its tape: calls allocate nothing, and a function that raises
    holds nothing, since Numba drops no references then.
    """
    view = types.Array(like, x.ndim, "C")

    def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        source = context.make_array(raw)(context, builder, args[0])
        shape = cgutils.unpack_tuple(
            builder, context.make_array(x)(context, builder, args[2]).shape
        )
        out = context.make_array(view)(context, builder)
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(like)))
        strides = [size]
        for extent in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], extent))
        data = builder.gep(source.data, [builder.mul(args[1], size)])
        arrayobj.populate_array(
            out,
            data=builder.bitcast(data, out.data.type),
            shape=shape,
            strides=strides[: x.ndim],
            itemsize=size,
            meminfo=None,
            parent=None,
        )
        return out._getvalue()

    return view(raw, first, x, like), codegen


@kernel
def grow(address: Any, more: Any) -> None:
    """Make room for more entries: the cold path of every statement."""
    tape_at(address).grow(more)


@kernel
def spell(address: Any) -> None:
    """Let elementwise operations on arrays be recorded as statements."""
    tape_at(address).spelled = 1


@kernel
def reserve_rows(address: Any, count: Any) -> Any:
    """Append bare rows; return the first."""
    return tape_at(address).reserve(count)
