"""Reading cells in compiled code: a pass puts reads in the place of constants that have one.

Numbers are read before anything looks at constants, so that no branch is pruned for the value of
today.  Arrays stay constants until types are inferred: the analysis of what functions write to
knows that global arrays are read-only.

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
from numba.core.ir_utils import build_definitions, mk_unique_var
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, models, register_model
from numba.np import arrayobj

from .cells import CELLS, Cell
from .showing import constant_of

__all__ = ["ReadCells", "read_arrays"]


class CellType(types.Opaque):
    """Numba type of one cell."""

    _numbers = itertools.count()

    def __init__(self, cell: Cell) -> None:
        self.content, self.address = cell.type, cell.address
        super().__init__(f"dualtape.cell#{next(self._numbers)}")


register_model(CellType)(models.OpaqueModel)


class Constant:
    """A cell as a constant of a function that is compiled."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self._numba_type_ = CellType(cell)


@lower_constant(CellType)
def _lower_cell(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    return context.get_dummy_value()


def read_cell(cell: Any) -> Any:
    """Return what a cell holds (compiled code only)."""
    raise NotImplementedError


@infer_global(read_cell)
class _ReadCell(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        return signature(args[0].content, args[0])


@lower_builtin(read_cell, CellType)
def _lower_read_cell(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    [ty] = sig.args
    word = context.get_value_type(types.intp)
    pointer = context.add_dynamic_addr(builder, ty.address, info="dualtape.cell")
    where = builder.load(builder.bitcast(pointer, word.as_pointer()))
    if not isinstance(ty.content, types.Array):
        stored = context.get_data_type(ty.content).as_pointer()
        return context.unpack_value(builder, ty.content, builder.inttoptr(where, stored))
    return _array(context, builder, ty.content, builder.inttoptr(where, word.as_pointer()))


def _array(context: Any, builder: Any, ty: Any, fields: Any) -> Any:
    found = [builder.load(cgutils.gep_inbounds(builder, fields, i)) for i in range(2 + 2 * ty.ndim)]
    out = context.make_array(ty)(context, builder)
    arrayobj.populate_array(
        out,
        data=builder.inttoptr(found[0], out.data.type),
        shape=found[2 : 2 + ty.ndim],
        strides=found[2 + ty.ndim :],
        itemsize=context.get_constant(types.intp, context.get_abi_sizeof(
            context.get_data_type(ty.dtype))),
        meminfo=None,
        parent=builder.inttoptr(found[1], llvm.IntType(8).as_pointer()),
    )  # fmt: skip
    return out._getvalue()


@register_pass(mutates_CFG=False, analysis_only=False)
class ReadCells(FunctionPass):
    """Read numbers that have a cell."""

    _name = "dualtape_read_cells"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        if state.cells is None:
            return False
        func_ir = state.func_ir
        func_ir._definitions = build_definitions(func_ir.blocks)
        _read(func_ir, state.cells, lambda value: not isinstance(value, np.ndarray))
        return True


def read_arrays(func_ir: Any, cells: list[Cell]) -> None:
    """Read arrays that have a cell."""
    _read(func_ir, cells, lambda value: isinstance(value, np.ndarray))


def _read(func_ir: Any, cells: list[Cell], is_wanted: Callable[[Any], bool]) -> None:
    """Let statements that name what has a cell read it; note the cells that the code refers to."""
    function = func_ir.func_id.func
    for block in func_ir.blocks.values():
        body = []
        for statement in block.body:
            if isinstance(statement, ir.Assign):
                cell = _cell(func_ir, function, statement, is_wanted)
                if cell is not None:
                    cells.append(cell)
                    body += _reading(statement, cell)
            body.append(statement)
        block.body = body
    func_ir._definitions = build_definitions(func_ir.blocks)


def _cell(
    func_ir: Any, function: FunctionType, statement: Any, is_wanted: Callable[[Any], bool]
) -> Cell | None:
    made = statement.value
    holder: Any = None
    if isinstance(made, ir.FreeVar):
        closure = function.__closure__ or ()
        if made.name in function.__code__.co_freevars:
            holder, key = closure[function.__code__.co_freevars.index(made.name)], made.name
    elif isinstance(made, ir.Global):
        holder, key = function.__globals__, made.name
    elif getattr(made, "op", None) == "getattr":
        module = constant_of(func_ir, made.value)
        if isinstance(module, ModuleType):
            holder, key = vars(module), made.attr
    if holder is None or not is_wanted(constant_of(func_ir, statement.target)):
        return None
    return CELLS.get((id(holder), key))


def _reading(statement: Any, cell: Cell) -> list[Any]:
    """Let a statement read a cell; return what goes in front."""
    scope, loc = statement.target.scope, statement.loc
    function = ir.Var(scope, mk_unique_var("$read_cell"), loc)
    constant = ir.Var(scope, mk_unique_var("$cell"), loc)
    statement.value = ir.Expr.call(function, [constant], (), loc)
    return [
        ir.Assign(ir.Global("read_cell", read_cell, loc), function, loc),
        ir.Assign(ir.Global("cell", Constant(cell), loc), constant, loc),
    ]
