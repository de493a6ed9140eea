"""Lists of floats that meet lists of active numbers: an analysis of typed IR for `inference`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numba.core import ir, types
from numba.core.ir_utils import mk_unique_var

from .activation import activator
from .errors import UnsupportedFunctionError
from .numbertype import PLAIN, NumberType, highest_number

__all__ = ["convert_results", "lists_of_numbers"]


def lists_of_numbers(
    func_ir: Any, typemap: Any, calltypes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the variables that hold lists of floats and must hold lists of numbers, by type.

    The second result are those which a call makes as lists of floats, with the numbers that they
    must hold: there is no other name for such a list, so its conversion may copy it.

    Of an inference that failed the types are those known so far, and no types of calls.

    Raises
    ------
    UnsupportedFunctionError
        If such a list has, or may have, other names: an argument, or what a call passes on.
    """
    wider: dict[str, Any] = {}
    returned: dict[str, Any] = {}
    if not any(isinstance(ty, types.List) and highest_number(ty) for ty in typemap.values()):
        return wider, returned
    for block in func_ir.blocks.values():
        for statement in block.body:
            for name, wanted in _conversions(statement, typemap, calltypes):
                if _differs(typemap.get(name), wanted):
                    wider[name] = types.List(wanted.dtype, reflected=typemap[name].reflected)
            wider |= _made_elsewhere(statement, typemap, calltypes, returned)
    return wider, returned


def convert_results(func_ir: Any, returned: dict[str, Any]) -> None:
    """Convert lists that calls return to lists of numbers."""
    for block in func_ir.blocks.values():
        body: list[Any] = []
        for statement in block.body:
            body.append(statement)
            if isinstance(statement, ir.Assign) and statement.target.name in returned:
                number = returned[statement.target.name]
                target, loc = statement.target, statement.loc
                statement.target = ir.Var(block.scope, mk_unique_var("$returned"), loc)
                function = ir.Var(block.scope, mk_unique_var("$activated"), loc)
                call = ir.Expr.call(function, [statement.target], (), loc)
                body += [
                    ir.Assign(ir.Global("activated", activator(number), loc), function, loc),
                    ir.Assign(call, target, loc),
                ]
        block.body = body


def _differs(ty: Any, wanted: Any) -> bool:
    """Whether a conversion would copy a list of floats to one of numbers."""
    both = isinstance(ty, types.List) and isinstance(wanted, types.List)
    return both and highest_number(ty) is None and highest_number(wanted) is not None


def _conversions(statement: Any, typemap: Any, calltypes: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over (variable, type that its value is converted to)."""
    if isinstance(statement, ir.SetItem | ir.StaticSetItem):
        yield statement.value.name, getattr(typemap.get(statement.target.name), "dtype", None)
    if not isinstance(statement, ir.Assign) or statement.target.name not in typemap:
        return
    made, ty = statement.value, typemap[statement.target.name]
    if isinstance(made, ir.Var):
        yield made.name, ty
    if not isinstance(made, ir.Expr):
        return
    if made.op == "build_list":
        yield from ((item.name, ty.dtype) for item in made.items)
    elif made.op == "build_tuple":  # the plain function may treat it as one of equal lists
        lists = [t for t in ty if isinstance(t, types.List) and highest_number(t) is not None]
        yield from ((item.name, t) for item in made.items for t in lists[:1])
    elif made.op == "phi":
        yield from ((v.name, ty) for v in made.incoming_values if isinstance(v, ir.Var))
    elif made.op == "cast":
        yield made.value.name, ty
    elif made.op == "call" and calltypes.get(made) is not None:
        args = calltypes[made].args
        yield from ((var.name, wanted) for var, wanted in zip(made.args, args, strict=False))


def _made_elsewhere(
    statement: Any, typemap: Any, calltypes: Any, returned: dict[str, Any]
) -> dict[str, Any]:
    """Return the operands to widen, so that a list made of them holds numbers: ``[0.0] * n``.

    A list that a call returns is entered among those returned.
    """
    if not isinstance(statement, ir.Assign) or statement.target.name not in typemap:
        return {}
    made, wanted = statement.value, typemap[statement.target.name]
    if isinstance(made, ir.Arg):
        operands, ty = [], typemap.get(f"arg.{made.name}")
    elif isinstance(made, ir.Expr) and calltypes.get(made) is not None:
        operands, ty = made.list_vars(), calltypes[made].return_type
    else:
        return {}
    if not _differs(ty, wanted):
        return {}
    lists = {v.name: wanted for v in operands if _differs(typemap.get(v.name), wanted)}
    if lists:
        return lists
    is_call = getattr(made, "op", None) == "call" and isinstance(wanted.dtype, NumberType)
    if is_call and not any(map(_may_hold_lists, calltypes[made].args)):
        returned[statement.target.name] = wanted.dtype
    else:
        raise UnsupportedFunctionError(
            f"line {statement.loc.line} of {statement.loc.filename}: a list of plain numbers that "
            "is made elsewhere meets lists of active numbers; copy it first: [v for v in values]."
        )
    return {}


def _may_hold_lists(ty: Any) -> bool:
    """Whether an argument of a call may be, or hold, the list that the call returns."""
    if isinstance(ty, types.BaseTuple):
        return any(map(_may_hold_lists, ty))
    plain = (*PLAIN, NumberType, types.Array, types.NoneType, types.Omitted, types.UnicodeType)
    return not isinstance(types.unliteral(ty), (*plain, types.Dispatcher))
