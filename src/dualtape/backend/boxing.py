"""Derivatives become Python objects without running Python code, in which an interrupt is lost.

Numba looks up the class of an array by a Python function at every call, and ignores its failure if
the array is an item of a tuple.  An interrupt that arrives while compiled code runs is raised by
the first Python function after it, which is this one: if the result was a tuple it became a
SystemError, and the array leaked.  Here classes are constants of the compiled function, and
failures are passed on.  This also saves 0.3 us in every call that returns an array.  Functions that
are not ours are compiled as Numba does it (`boxing_directly`).

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

_levels = 0


@contextlib.contextmanager
def boxing_directly() -> Iterator[None]:
    """Box in this way whatever is lowered inside; the compiler's lock must be held."""
    global _levels  # noqa: PLW0603  # Numba's table of boxes is a global one, too
    _levels += 1
    try:
        yield
    finally:
        _levels -= 1


def _in_derivatives(*classes: Any) -> Callable[[Any], Any]:
    def replace(box: Any) -> Any:
        for cls in classes:
            _boxers.functions[cls] = _choose_box(box, _boxers.functions[cls])
        return box

    return replace


def _choose_box(ours: Any, theirs: Any) -> Any:
    def box(typ: Any, val: Any, c: Any) -> Any:
        return (ours if _levels else theirs)(typ, val, c)

    return box


def _constant(c: Any, value: Any) -> Any:
    return c.env_manager.read_const(c.env_manager.add_const(value))


@_in_derivatives(types.Array)
def box_array(typ: Any, val: Any, c: Any) -> Any:
    """Return code that boxes an array."""
    from numba.np.numpy_support import as_dtype  # noqa: PLC0415  # as Numba does

    api, i32 = c.pyapi, ir.IntType(32)
    kind = ir.FunctionType(api.pyobj, [api.voidptr, api.pyobj, i32, i32, api.pyobj])
    adapt = api._get_function(kind, name="NRT_adapt_ndarray_to_python_acqref")
    pointer = c.builder.bitcast(cgutils.alloca_once_value(c.builder, val), api.voidptr)
    flags = [ir.Constant(i32, typ.ndim), ir.Constant(i32, int(typ.mutable))]
    dtype, cls = _constant(c, as_dtype(typ.dtype)), _constant(c, typ.box_type)
    boxed = c.builder.call(adapt, [pointer, cls, *flags, dtype])
    c.context.nrt.decref(c.builder, typ, val)
    return boxed


@_in_derivatives(types.Tuple, types.UniTuple)
def box_tuple(typ: Any, val: Any, c: Any) -> Any:
    """Return code that boxes a tuple; NULL if an item cannot be boxed."""
    builder, api = c.builder, c.pyapi
    out = cgutils.alloca_once_value(builder, api.tuple_new(typ.count))
    for i, ty in enumerate(typ):
        item = builder.extract_value(val, i)
        with builder.if_else(cgutils.is_null(builder, builder.load(out))) as (failed, good):
            with failed:
                c.context.nrt.decref(builder, ty, item)
            with good:
                boxed = c.box(ty, item)
                with builder.if_else(cgutils.is_null(builder, boxed)) as (missing, there):
                    with missing:
                        api.decref(builder.load(out))
                        builder.store(api.get_null_object(), out)
                    with there:
                        api.tuple_setitem(builder.load(out), i, boxed)
    return builder.load(out)


@_in_derivatives(types.NamedTuple, types.NamedUniTuple)
def box_namedtuple(typ: Any, val: Any, c: Any) -> Any:
    """Return code that boxes a named tuple; NULL if an item cannot be boxed."""
    items = box_tuple(typ, val, c)
    out = cgutils.alloca_once_value(c.builder, c.pyapi.get_null_object())
    with c.builder.if_then(cgutils.is_not_null(c.builder, items)):
        c.builder.store(c.pyapi.call(_constant(c, typ.instance_class), items), out)
        c.pyapi.decref(items)
    return c.builder.load(out)
