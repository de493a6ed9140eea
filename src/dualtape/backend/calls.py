"""Calls of compiled functions from generated code; the callee's code is linked in.

Numba internals used (seen in 0.66 to 0.68): ``get_call_type`` of the type of a dispatcher, the
types of starred and omitted arguments, and the call convention.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from numba.core import cgutils, imputils, types


class Value(NamedTuple):
    """A value of emitted code: its Numba type and its LLVM value."""

    type: Any
    ir: Any


def invoke(
    context: Any, builder: Any, function: Any, arg_types: Any, args: Any, on_error: Any = None
) -> tuple[Any, Any]:
    """Call a dispatcher on LLVM values; return its result's type and value (a new reference).

    If it raises, the code that `on_error` emits runs before the exception propagates.
    """
    typing_context = context.typing_context
    function_type = typing_context.resolve_value_type(function)
    sig = function_type.get_call_type(typing_context, tuple(arg_types), {})
    starred = sig.args and isinstance(sig.args[-1], types.StarArgTuple | types.StarArgUniTuple)
    first = len(sig.args) - 1
    # The values of *args are passed as one tuple, which the caller may have built already.
    if starred and tuple(arg_types[first:]) != (sig.args[-1],):
        rest = context.make_tuple(builder, sig.args[-1], args[first:])
        arg_types, args = (*arg_types[:first], sig.args[-1]), (*args[:first], rest)
    for omitted in sig.args[len(args) :]:  # defaults take no room in a call
        arg_types, args = (*arg_types, omitted), (*args, context.get_dummy_value())
    values = [
        context.cast(builder, value, ty, target)
        for value, ty, target in zip(args, arg_types, sig.args, strict=True)
    ]
    if on_error is not None:
        return sig.return_type, _guarded(context, builder, function_type, sig, values, on_error)
    implementation = context.get_function(function_type, sig)
    context.add_linking_libs(getattr(implementation, "libs", ()))
    return sig.return_type, implementation(builder, values)


def call_apart(context: Any, builder: Any, function: Any, arg_types: Any, args: Any) -> Any:
    """Call a dispatcher as `invoke` does, but never inlined: for long-running functions."""
    function_type = context.typing_context.resolve_value_type(function)
    sig = function_type.get_call_type(context.typing_context, tuple(arg_types), {})
    compiled = function_type.dispatcher.get_compile_result(sig)
    context.add_linking_libs([compiled.library])
    declared = context.declare_function(builder.module, compiled.fndesc)
    convention, described = context.call_conv, compiled.fndesc
    status, result = convention.call_function(
        builder, declared, described.restype, described.argtypes, args, attrs=("noinline",)
    )
    with cgutils.if_unlikely(builder, status.is_error):
        convention.return_status_propagate(builder, status)
    return result


def _guarded(
    context: Any, builder: Any, function_type: Any, sig: Any, values: Any, on_error: Any
) -> Any:
    compiled = function_type.dispatcher.get_compile_result(sig)
    context.add_linking_libs([compiled.library])
    function = context.declare_function(builder.module, compiled.fndesc)
    convention = context.call_conv
    restype, argtypes = compiled.fndesc.restype, compiled.fndesc.argtypes
    status, result = convention.call_function(builder, function, restype, argtypes, values)
    with cgutils.if_unlikely(builder, status.is_error):
        on_error()
        convention.return_status_propagate(builder, status)
    return imputils.fix_returning_optional(context, builder, sig, status, result)
