"""``numba.stencil`` kernels on arrays of active numbers.

Numba builds a stencil's loop from text that names NumPy dtypes, which numbers lack.  Here the
kernel's twin is called for every element with windows on the arrays: the same memory and strides,
seen from that element.  A window has no extent, so a negative index is not counted from its end.

Numba internals used (seen in 0.66 to 0.68): ``StencilFunc`` with its ``kernel_ir``, ``options``
and ``neighborhood``; ``ir_utils.find_const``,
``get_definition``; an index of an array of layout "A" is
``data + index * stride``, after the extent was added to a negative one (so NUMBA_BOUNDSCHECK must
not be set).
"""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from llvmlite import ir as llvm
from numba.core import cgutils, ir, types
from numba.core.compiler import run_frontend
from numba.core.ir_utils import build_definitions, find_const, get_definition, guard
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np import arrayobj
from numba.stencils.stencil import StencilFunc

from ..backend.allocation import array_over
from ..backend.calls import invoke
from ..backend.jit import internal
from ..errors import UnsupportedFunctionError
from ..functions.memo import remembered
from ..numbers.access import as_number, empty_numbers, flat_view


def is_stencil(value: Any) -> bool:
    """Whether a constant of the user's function was made by ``numba.stencil``."""
    return isinstance(value, StencilFunc)


def stencil_twin(stencil: Any, twin: Callable[[FunctionType], Any]) -> Any:
    """Return the function with the twin of its kernel that replaces a stencil in activated code."""
    kernel = twin(stencil.kernel_ir.func_id.func)
    return remembered(kernel, ("stencil", stencil.id), lambda: _new_loop(stencil, kernel))


def _new_loop(stencil: Any, kernel: Any) -> Any:
    loop = internal(stencil_loop(stencil, kernel))
    loop.copies_arguments = True  # into a new array
    # Made while a compilation is under way: its contexts must learn of the new functions.
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    return loop


def stencil_loop(stencil: Any, kernel: Any) -> Callable[..., Any]:
    """Return a function of arrays that calls `kernel` for every element.

    As in Numba, elements whose neighborhood leaves the first array are ``cval``, 0 by default.
    """
    absolute = stencil.options.get("standard_indexing", ())
    function = stencil.kernel_ir.func_id.func
    names = function.__code__.co_varnames
    relative = tuple(name not in absolute for name in names)
    reach = stencil.neighborhood or neighborhood(function, absolute)
    border = stencil.options.get("cval", 0.0)
    zero, fill = _element_zero(kernel, relative), _filling(kernel, relative, reach)

    def loop(*arrays: Any) -> Any:
        like = zero(arrays)
        out = empty_numbers(arrays[0].shape, like)
        flat = flat_view(out)
        for i in range(flat.size):
            flat[i] = as_number(border, like)
        fill(arrays, out)
        return out

    return loop


def neighborhood(function: FunctionType, absolute: Any = ()) -> list[list[int]]:
    """Return the least and the largest index of every axis that a kernel reads."""
    func_ir = run_frontend(function)
    func_ir._definitions = build_definitions(func_ir.blocks)
    bounds: list[list[int]] = []
    for block in func_ir.blocks.values():
        for expr in block.find_exprs(op="getitem"):
            owner = guard(get_definition, func_ir, expr.value)
            if isinstance(owner, ir.Arg) and owner.name not in absolute:
                _widen(bounds, _constant_index(func_ir, expr))
    return bounds


def _constant_index(func_ir: Any, expr: Any) -> tuple[int, ...]:
    definition = guard(get_definition, func_ir, expr.index)
    items = definition.items if getattr(definition, "op", None) == "build_tuple" else [expr.index]
    parts = tuple(guard(find_const, func_ir, item) for item in items)
    if not all(isinstance(part, int) for part in parts):
        raise UnsupportedFunctionError(
            f"line {expr.loc.line} of {expr.loc.filename}: an index of a stencil kernel is not a "
            "constant integer; name the neighborhood in numba.stencil(neighborhood=...)."
        )
    return parts


def _widen(bounds: list[list[int]], index: tuple[int, ...]) -> None:
    if not bounds:
        bounds += [[0, 0] for _ in index]
    for axis, part in zip(bounds, index, strict=True):
        axis[:] = min(axis[0], part), max(axis[1], part)


def _window_types(arrays: Any, relative: tuple[bool, ...]) -> tuple[Any, ...]:
    """Return the types of the kernel's arguments."""
    return tuple(
        ty.copy(layout="A") if moves else ty
        for ty, moves in zip(arrays, _moving(arrays, relative), strict=True)
    )


def _result_type(context: Any, kernel: Any, arg_types: Any) -> Any:
    sig = context.resolve_value_type(kernel).get_call_type(context, arg_types, {})
    return getattr(sig.return_type, "settled", sig.return_type)


def _element_zero(kernel: Any, relative: tuple[bool, ...]) -> Any:
    @intrinsic
    def zero(typingctx: Any, arrays: Any) -> Any:
        """Return a zero of the type of the results."""
        result = _result_type(typingctx, kernel, _window_types(arrays, relative))
        return result(arrays), lambda context, _, sig, __: context.get_constant_null(result)

    return zero


def _filling(kernel: Any, relative: tuple[bool, ...], reach: Any) -> Any:
    @intrinsic
    def fill(typingctx: Any, arrays: Any, out: Any) -> Any:
        """Store the kernel's result in every element whose neighborhood is inside."""
        windows = _window_types(arrays, relative)

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            target = context.make_array(out)(context, builder, args[1])
            values = cgutils.unpack_tuple(builder, args[0], len(arrays))
            shape = cgutils.unpack_tuple(builder, target.shape)
            moving = _moving(arrays, relative)
            for ty, value, moves in zip(arrays, values, moving, strict=True):
                if moves:
                    _check_extents(context, builder, ty, value, shape)
            extents = [
                builder.add(extent, llvm.Constant(extent.type, min(low, 0) - max(high, 0)))
                for extent, (low, high) in zip(shape, reach, strict=True)
            ]
            with cgutils.loop_nest(builder, extents, extents[0].type) as position:
                index = [
                    builder.add(i, llvm.Constant(i.type, -min(low, 0)))
                    for i, (low, _) in zip(position, reach, strict=True)
                ]
                arguments = [
                    _window(context, builder, ty, value, index) if moves else value
                    for ty, value, moves in zip(arrays, values, moving, strict=True)
                ]
                result_type, result = invoke(context, builder, kernel, windows, arguments)
                result = context.cast(builder, result, result_type, out.dtype)
                pointer = cgutils.get_item_pointer(context, builder, out, target, index)
                arrayobj.store_item(context, builder, out, result, pointer)
            return context.get_dummy_value()

        return types.none(arrays, out), codegen

    return fill


def _moving(arrays: Any, relative: tuple[bool, ...]) -> list[bool]:
    return [
        isinstance(ty, types.Array) and moves for ty, moves in zip(arrays, relative, strict=False)
    ]


def _check_extents(context: Any, builder: Any, ty: Any, value: Any, shape: Any) -> None:
    """Raise, as Numba does, where an array is smaller than the first one."""
    source = context.make_array(ty)(context, builder, value)
    for extent, least in zip(cgutils.unpack_tuple(builder, source.shape), shape, strict=True):
        with cgutils.if_unlikely(builder, builder.icmp_signed("<", extent, least)):
            message = "an array of a stencil is smaller than the first one"
            context.call_conv.return_user_exc(builder, ValueError, (message,))


def _window(context: Any, builder: Any, ty: Any, value: Any, index: Any) -> Any:
    """Return an array as seen from one of its elements."""
    source = context.make_array(ty)(context, builder, value)
    strides = cgutils.unpack_tuple(builder, source.strides, ty.ndim)
    offset = llvm.Constant(strides[0].type, 0)
    for i, stride in zip(index, strides, strict=True):
        offset = builder.add(offset, builder.mul(i, stride))
    data = cgutils.pointer_add(builder, source.data, offset, source.data.type)
    shape, owner = [llvm.Constant(offset.type, 0)] * ty.ndim, (source.meminfo, source.parent)
    return array_over(context, builder, ty.copy(layout="A"), data, shape, strides, *owner)
