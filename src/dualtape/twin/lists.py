"""Lists of floats that meet lists of active numbers: an analysis of typed IR for `inference`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numba.core import ir, types

from ..analysis.rewriting import call_on_result, rewrite, statements
from ..errors import UnsupportedFunctionError
from ..numbers.types import PLAIN, NumberType, highest_number
from .conversion import activator


def lists_of_numbers(
    func_ir: Any, typemap: Any, calltypes: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the variables of lists of floats that must be lists of numbers, with these types.

    The second result are those returned by calls, with the types of the numbers: such a list has no
    other name, so its conversion may copy it.

    If inference failed, `typemap` has the types so far and `calltypes` is empty.

    Raises
    ------
    UnsupportedFunctionError
        If such a list has, or may have, other names: an argument, or one that a call returns.
    """
    wider: dict[str, Any] = {}
    returned: dict[str, Any] = {}
    if not any(isinstance(ty, types.List) and highest_number(ty) for ty in typemap.values()):
        return wider, returned
    for statement in statements(func_ir):
        for name, target in _conversions(statement, typemap, calltypes):
            if _differs(typemap.get(name), target):
                wider[name] = types.List(target.dtype, reflected=typemap[name].reflected)
        wider |= _widened_operands(statement, typemap, calltypes, returned)
    return wider, returned


def convert_results(func_ir: Any, returned: dict[str, Any]) -> None:
    """Convert lists that calls return to lists of numbers."""

    def converted(scope: Any, statement: Any) -> list[Any]:
        if isinstance(statement, ir.Assign) and statement.target.name in returned:
            number = returned[statement.target.name]
            return [statement, *call_on_result(scope, statement, activator(number))]
        return [statement]

    rewrite(func_ir, converted)


def _differs(ty: Any, target: Any) -> bool:
    """Whether a conversion would copy a list of floats to one of numbers."""
    both = isinstance(ty, types.List) and isinstance(target, types.List)
    return both and highest_number(ty) is None and highest_number(target) is not None


def _conversions(statement: Any, typemap: Any, calltypes: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over (variable, type that its value is converted to)."""
    if isinstance(statement, ir.SetItem | ir.StaticSetItem):
        yield statement.value.name, getattr(typemap.get(statement.target.name), "dtype", None)
    if not isinstance(statement, ir.Assign) or statement.target.name not in typemap:
        return
    value, ty = statement.value, typemap[statement.target.name]
    if isinstance(value, ir.Var):
        yield value.name, ty
    if not isinstance(value, ir.Expr):
        return
    if value.op == "build_list":
        yield from ((item.name, ty.dtype) for item in value.items)
    elif value.op == "build_tuple":  # the plain function may treat it as one of equal lists
        lists = [t for t in ty if isinstance(t, types.List) and highest_number(t) is not None]
        yield from ((item.name, t) for item in value.items for t in lists[:1])
    elif value.op == "phi":
        yield from ((v.name, ty) for v in value.incoming_values if isinstance(v, ir.Var))
    elif value.op == "cast":
        yield value.value.name, ty
    elif value.op == "call" and calltypes.get(value) is not None:
        args = calltypes[value].args
        yield from ((var.name, target) for var, target in zip(value.args, args, strict=False))


def _widened_operands(
    statement: Any, typemap: Any, calltypes: Any, returned: dict[str, Any]
) -> dict[str, Any]:
    """Return the operands to widen, so that a list made of them contains numbers: ``[0.0] * n``.

    A list that a call returns is added to `returned`.
    """
    if not isinstance(statement, ir.Assign) or statement.target.name not in typemap:
        return {}
    value, target = statement.value, typemap[statement.target.name]
    if isinstance(value, ir.Arg):
        operands, ty = [], typemap.get(f"arg.{value.name}")
    elif isinstance(value, ir.Expr) and calltypes.get(value) is not None:
        operands, ty = value.list_vars(), calltypes[value].return_type
    else:
        return {}
    if not _differs(ty, target):
        return {}
    lists = {v.name: target for v in operands if _differs(typemap.get(v.name), target)}
    if lists:
        return lists
    is_call = getattr(value, "op", None) == "call" and isinstance(target.dtype, NumberType)
    if is_call and not any(map(_may_hold_lists, calltypes[value].args)):
        returned[statement.target.name] = target.dtype
    else:
        raise UnsupportedFunctionError(
            f"line {statement.loc.line} of {statement.loc.filename}: a list of plain numbers that "
            "is made elsewhere meets lists of active numbers; copy it first: [v for v in values]."
        )
    return {}


def _may_hold_lists(ty: Any) -> bool:
    """Whether an argument of a call may be, or contain, the list that the call returns."""
    if isinstance(ty, types.BaseTuple):
        return any(map(_may_hold_lists, ty))
    plain = (*PLAIN, NumberType, types.Array, types.NoneType, types.Omitted, types.UnicodeType)
    return not isinstance(types.unliteral(ty), (*plain, types.Dispatcher))
