"""Derivatives become Python objects without running Python code, in which an interrupt is lost.

Numba looks the class of an array up by a Python function at every call, and puts what fails there
into a tuple.  An interrupt that came while compiled code ran is due at the first Python function
after it, that one: with a tuple as the result it became a SystemError, and the array leaked.
Here classes are constants of the compiled function, and what cannot be made is passed on.  It also
takes 0.3 us off every call that returns an array.  Functions of others are compiled as Numba does
it (`directly`).

Numba internals used (seen in 0.66 to 0.68): the registry of ``box`` and the functions replaced,
``NRT_adapt_ndarray_to_python_acqref``, ``env_manager``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from llvmlite import ir
from numba.core import boxing as numba_boxing  # noqa: F401  # registers what is replaced here
from numba.core import cgutils, types
from numba.core.pythonapi import _boxers

__all__ = ["box_array", "box_namedtuple", "box_tuple", "directly"]


_levels = 0


@contextlib.contextmanager
def directly() -> Iterator[None]:
    """Box in this way what is lowered meanwhile; the compiler's lock is held."""
    global _levels  # noqa: PLW0603  # Numba's table of boxes is a global one, too
    _levels += 1
    try:
        yield
    finally:
        _levels -= 1


def _in_derivatives(*classes: Any) -> Callable[[Any], Any]:
    def replace(box: Any) -> Any:
        for cls in classes:
            _boxers.functions[cls] = _chosen(box, _boxers.functions[cls])
        return box

    return replace


def _chosen(ours: Any, theirs: Any) -> Any:
    def box(typ: Any, val: Any, c: Any) -> Any:
        return (ours if _levels else theirs)(typ, val, c)

    return box


def _constant(c: Any, value: Any) -> Any:
    return c.env_manager.read_const(c.env_manager.add_const(value))


@_in_derivatives(types.Array)
def box_array(typ: Any, val: Any, c: Any) -> Any:
    """Return code that makes an array."""
    from numba.np.numpy_support import as_dtype  # noqa: PLC0415  # as Numba does

    api, i32 = c.pyapi, ir.IntType(32)
    kind = ir.FunctionType(api.pyobj, [api.voidptr, api.pyobj, i32, i32, api.pyobj])
    adapt = api._get_function(kind, name="NRT_adapt_ndarray_to_python_acqref")
    pointer = c.builder.bitcast(cgutils.alloca_once_value(c.builder, val), api.voidptr)
    told = [ir.Constant(i32, typ.ndim), ir.Constant(i32, int(typ.mutable))]
    dtype, cls = _constant(c, as_dtype(typ.dtype)), _constant(c, typ.box_type)
    made = c.builder.call(adapt, [pointer, cls, *told, dtype])
    c.context.nrt.decref(c.builder, typ, val)
    return made


@_in_derivatives(types.Tuple, types.UniTuple)
def box_tuple(typ: Any, val: Any, c: Any) -> Any:
    """Return code that makes a tuple; NULL where an item cannot be made."""
    builder, api = c.builder, c.pyapi
    made = cgutils.alloca_once_value(builder, api.tuple_new(typ.count))
    for i, ty in enumerate(typ):
        item = builder.extract_value(val, i)
        with builder.if_else(cgutils.is_null(builder, builder.load(made))) as (failed, good):
            with failed:
                c.context.nrt.decref(builder, ty, item)
            with good:
                boxed = c.box(ty, item)
                with builder.if_else(cgutils.is_null(builder, boxed)) as (missing, there):
                    with missing:
                        api.decref(builder.load(made))
                        builder.store(api.get_null_object(), made)
                    with there:
                        api.tuple_setitem(builder.load(made), i, boxed)
    return builder.load(made)


@_in_derivatives(types.NamedTuple, types.NamedUniTuple)
def box_namedtuple(typ: Any, val: Any, c: Any) -> Any:
    """Return code that makes a named tuple; NULL where an item cannot be made."""
    items = box_tuple(typ, val, c)
    made = cgutils.alloca_once_value(c.builder, c.pyapi.get_null_object())
    with c.builder.if_then(cgutils.is_not_null(c.builder, items)):
        c.builder.store(c.pyapi.call(_constant(c, typ.instance_class), items), made)
        c.pyapi.decref(items)
    return c.builder.load(made)
