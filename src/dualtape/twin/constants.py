"""User functions and other constants in the code of a function."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from numba.core import ir
from numba.core.dispatcher import Dispatcher
from numba.core.ir_utils import build_definitions
from numba.core.registry import cpu_target

from ..analysis.rewriting import statements
from ..analysis.sharing import constant_of
from ..errors import ArgumentError, UnsupportedFunctionError
from ..functions.libraries import is_library
from .overloads import is_own_source, overloads_of


def name_functions(func_ir: Any, arg_types: Any) -> None:
    """Turn functions that are arguments, or their defaults, into constants of the function."""
    for statement in statements(func_ir):
        value = getattr(statement, "value", None)
        if isinstance(value, ir.Arg):
            ty = arg_types[value.index]
            function = getattr(ty, "dispatcher", getattr(ty, "value", None))
            if is_user_function(function):
                statement.value = ir.Global(value.name, function, value.loc)
    func_ir._definitions = build_definitions(func_ir.blocks)


def undefined(statement: Any) -> UnsupportedFunctionError:
    """Return the error for a name that is bound to nothing."""
    name, loc = statement.value.name, statement.loc
    error = UnsupportedFunctionError(
        f"line {loc.line} of {loc.filename} uses {name!r}, which is not defined; define it before "
        "the derivative is computed, or pass it as an argument."
    )
    error.__cause__ = NameError(f"name {name!r} is not defined")
    return error


def static_value(func_ir: Any, var: Any) -> Any:
    """Return a constant argument of a transform in compiled code, or raise."""
    definition = func_ir.get_definition(var)
    if isinstance(definition, ir.Const | ir.Global | ir.FreeVar):
        return definition.value
    if isinstance(definition, ir.Expr) and definition.op in ("build_tuple", "build_list"):
        return tuple(static_value(func_ir, item) for item in definition.items)
    constant = constant_of(func_ir, var)
    if constant is None:
        raise ArgumentError(
            f"{var.loc}: a transform inside a compiled function needs a function and options that "
            "are constants there; define the function outside, and pass what varies as arguments."
        )
    return constant


def is_user_function(value: Any) -> bool:
    """Whether `value` is a function that has a twin."""
    if isinstance(value, Dispatcher):
        return not getattr(value, "is_derivative", False) and not is_library(value.py_func)
    if not isinstance(value, FunctionType) or is_library(value):
        return False
    # A function that Numba knows by an overload is not compiled from its own source.
    choosers = overloads_of(value)
    is_known = cpu_target.typing_context._lookup_global(value) is not None
    return is_own_source(choosers) if choosers else not is_known
