"""Reading cells in compiled code: a pass replaces constants that have a cell by reads.

Numbers are read before any pass uses constants, so that no branch is pruned for the present value.
Arrays remain constants until types are inferred: the analysis of what functions write to relies on
global arrays being read-only.

Numba internals used (seen in 0.66 to 0.68): a pass after ``FixupArgs``;
``arrayobj.populate_array``, whose ``parent`` is the array that Python gets back.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

import numpy as np
from llvmlite import ir as llvm
from numba.core import cgutils, ir, types
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.imputils import lower_constant
from numba.core.ir_utils import build_definitions
from numba.extending import intrinsic, models, register_model

from ..analysis.rewriting import load, rewrite
from ..analysis.sharing import constant_of
from ..backend.allocation import array_over
from ..functions.cells import CELLS, Cell
from .members import Member, name_members
from .tables import read_tables


class CellType(types.Opaque):
    """Numba type of one cell."""

    _numbers = itertools.count()

    def __init__(self, cell: Cell) -> None:
        self.content, self.address = cell.type, cell.address
        super().__init__(f"dualtape.cell#{next(self._numbers)}")


register_model(CellType)(models.OpaqueModel)


class Constant:
    """A cell as a constant of a function to be compiled."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._numba_type_ = CellType(cell)


@lower_constant(CellType)
def _lower_cell(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    return context.get_dummy_value()


@intrinsic
def read_cell(typingctx: Any, cell: Any) -> Any:
    """Return the value in a cell."""
    return cell.content(cell), _read_cell


def _read_cell(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    [ty] = sig.args
    word = context.get_value_type(types.intp)
    pointer = context.add_dynamic_addr(builder, ty.address, info="dualtape.cell")
    where = builder.load(builder.bitcast(pointer, word.as_pointer()))
    if not isinstance(ty.content, types.Array):
        pointer_type = context.get_data_type(ty.content).as_pointer()
        return context.unpack_value(builder, ty.content, builder.inttoptr(where, pointer_type))
    return _array(context, builder, ty.content, builder.inttoptr(where, word.as_pointer()))


def _array(context: Any, builder: Any, ty: Any, fields: Any) -> Any:
    words = [builder.load(cgutils.gep_inbounds(builder, fields, i)) for i in range(2 + 2 * ty.ndim)]
    owner = builder.inttoptr(words[1], llvm.IntType(8).as_pointer())
    shape, strides = words[2 : 2 + ty.ndim], words[2 + ty.ndim :]
    return array_over(context, builder, ty, words[0], shape, strides, parent=owner)


@register_pass(mutates_CFG=False, analysis_only=False)
class ReadCells(FunctionPass):
    """Name the attributes of objects, and read numbers that have a cell."""

    _name = "dualtape_read_cells"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        func_ir = state.func_ir
        name_members(func_ir)
        read_tables(func_ir, state.args)
        if state.cells is None:
            return False
        func_ir._definitions = build_definitions(func_ir.blocks)
        _insert_reads(func_ir, state.cells, lambda value: not isinstance(value, np.ndarray))
        return True


def read_arrays(func_ir: Any, cells: list[Cell]) -> None:
    """Read arrays that have a cell."""
    _insert_reads(func_ir, cells, lambda value: isinstance(value, np.ndarray))


def _insert_reads(func_ir: Any, cells: list[Cell], selects: Callable[[Any], bool]) -> None:
    """Let statements read the cells of the constants that they load; note these cells."""
    function = func_ir.func_id.func

    def with_read(scope: Any, statement: Any) -> list[Any]:
        cell = None
        if isinstance(statement, ir.Assign):
            cell = _cell(func_ir, function, statement, selects)
        if cell is None:
            return [statement]
        cells.append(cell)
        read, load_read = load(scope, read_cell, statement.loc)
        constant, load_cell = load(scope, Constant(cell), statement.loc)
        statement.value = ir.Expr.call(read, [constant], (), statement.loc)
        return [load_read, load_cell, statement]

    rewrite(func_ir, with_read)
    func_ir._definitions = build_definitions(func_ir.blocks)


def _cell(
    func_ir: Any, function: FunctionType, statement: Any, selects: Callable[[Any], bool]
) -> Cell | None:
    value = statement.value
    holder: Any = None
    if isinstance(value, ir.FreeVar):
        closure = function.__closure__ or ()
        if value.name in function.__code__.co_freevars:
            holder, key = closure[function.__code__.co_freevars.index(value.name)], value.name
    elif isinstance(value, Member):
        holder, key = value.holder, value.name
    elif isinstance(value, ir.Global):
        holder, key = function.__globals__, value.name
    elif getattr(value, "op", None) == "getattr":
        module = constant_of(func_ir, value.value)
        if isinstance(module, ModuleType):
            holder, key = vars(module), value.attr
    if holder is None or not selects(constant_of(func_ir, statement.target)):
        return None
    return CELLS.get((id(holder), key))
