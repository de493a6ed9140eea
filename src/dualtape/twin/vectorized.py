"""Functions of ``numba.vectorize`` and ``numba.guvectorize`` on active numbers.

An elementwise function becomes a loop over the broadcast elements, with the twin of its scalar
function; on plain values it is called as it is.  A generalized one is the twin of its kernel, where
the arguments have the dimensions of its layout.

Numba internals used (seen in 0.66 to 0.68): ``DUFunc``, ``GUFunc``, their ``_dispatcher``,
``_frozen``, ``types`` and ``signature``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core import types
from numba.core.registry import cpu_target
from numba.np.numpy_support import as_dtype
from numba.np.ufunc.dufunc import DUFunc
from numba.np.ufunc.gufunc import GUFunc

from ..arrays.conversion import zero_of
from ..backend.jit import by_type, kernel
from ..errors import MissingRuleError
from ..functions.memo import remembered
from ..numbers.access import empty_numbers
from ..numbers.types import NumberType, highest_number, is_array
from .constants import is_user_function

_LOOPS = """
def vectorized({names}):
    shape = {shape}
    {broadcast}
    out = {new}
    for index in {indices}:
        out[index] = scalar({items})
    return out
"""


def vectorized_twin(function: Any, twin: Callable[[Any], Any]) -> Any:
    """Return what stands for a vectorized function in a twin; None for other values.

    ``twin(function)`` returns the twin of a function.
    """
    if isinstance(function, GUFunc):
        return _of_kernel(function, twin)
    if not isinstance(function, DUFunc):
        return None
    scalar_function = function._dispatcher.py_func
    if not is_user_function(scalar_function):
        return None
    key = ("vectorized", id(function), twin)
    return remembered(scalar_function, key, lambda: _elementwise(function, twin(scalar_function)))


def _elementwise(function: Any, scalar: Any) -> Any:
    only_floats = bool(function._frozen)
    doubles = f"{'d' * function.nin}->d"

    def choose(*args: Any) -> Any:
        if highest_number(types.Tuple(args)) is None:
            return lambda *args: function(*args)
        if only_floats and doubles not in function.types:
            raise MissingRuleError(
                f"{function.__name__} has no signature for float64, in which active numbers are "
                "computed; give it one, or leave its signatures out."
            )
        if not any(map(is_array, args)):
            return _on_numbers(scalar, args, only_floats)
        return _on_arrays(scalar, args, only_floats)

    return _registered(choose)


def _registered(choose: Any) -> Any:
    """Return the function that `choose` implements; the present compilation may call it."""
    function = by_type(choose)
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    return function


def _item(name: str, ty: Any, only_floats: bool) -> str:
    is_plain = not isinstance(ty, NumberType) and only_floats
    return f"float({name})" if is_plain else name


def _compiled_source(source: str, **names: Any) -> Any:
    exec(source, names)  # of the text above, with names of our own
    return names["vectorized"]


def _on_numbers(scalar: Any, args: Any, only_floats: bool) -> Any:
    items = (_item(f"args[{i}]", ty, only_floats) for i, ty in enumerate(args))
    source = f"def vectorized(*args):\n    return scalar({', '.join(items)})"
    return _compiled_source(source, scalar=scalar)


def _on_arrays(scalar: Any, args: Any, only_floats: bool) -> Any:
    """Return the loop over the elements of arrays of these types."""
    elements = tuple(ty.dtype if is_array(ty) else types.unliteral(ty) for ty in args)
    shapes = [f"args[{i}].shape" for i, ty in enumerate(args) if is_array(ty)]
    ndim = max(ty.ndim for ty in args if is_array(ty))
    shape = shapes[0] if len(shapes) == 1 else f"np.broadcast_shapes({', '.join(shapes)})"
    broadcast, items = [], []
    for i, ty in enumerate(args):
        value = f"np.broadcast_to(args[{i}], shape)" if is_array(ty) else f"args[{i}]"
        value = f"args[{i}]" if len(shapes) == 1 else value
        broadcast.append(f"a{i} = {value}")
        item = f"a{i}[index]" if is_array(ty) else f"a{i}"
        items.append(_item(item, elements[i], only_floats))
    plain = tuple(types.float64 if only_floats and not _is_number(t) else t for t in elements)
    result = _result_type(scalar, plain)
    is_number = isinstance(result, NumberType)
    source = _LOOPS.format(
        names="*args",
        shape=shape,
        broadcast="; ".join(broadcast),
        new="empty_numbers(shape, zero())" if is_number else "np.empty(shape, dtype)",
        indices="range(shape[0])" if ndim == 1 else "np.ndindex(shape)",
        items=", ".join(items),
    )
    names = {"scalar": scalar, "np": np, "empty_numbers": empty_numbers}
    names |= {"zero": zero_of(result)} if is_number else {"dtype": as_dtype(result)}
    return _compiled_source(source, **names)


def _is_number(ty: Any) -> bool:
    return isinstance(ty, NumberType)


def _result_type(scalar: Any, arg_types: Any) -> Any:
    context = cpu_target.typing_context
    function_type = context.resolve_value_type(scalar)
    result = function_type.get_call_type(context, arg_types, {}).return_type
    return getattr(result, "settled", result)


# Generalized functions


def _of_kernel(function: Any, twin: Callable[[Any], Any]) -> Any:
    body = function._dispatcher.py_func
    if not is_user_function(body):
        return None
    layout = [
        len([name for name in part.split(",") if name.strip()])
        for part in re.findall(r"\(([^)]*)\)", function.signature)
    ]

    def make() -> Any:
        def choose(*args: Any) -> Any:
            extra = [_ndim(ty) - core for ty, core in zip(args, layout, strict=True)]
            if min(extra) < 0:
                raise MissingRuleError(
                    f"{function.__name__}{function.signature} gets arrays of fewer dimensions than "
                    "its layout names."
                )
            if max(extra) == 0:
                active = twin(body)
                return lambda *args: active(*args)
            return _looped(body, stub, layout, extra, function.nin, twin)

        stub = _registered(choose)
        stub.effects_like = body
        return stub

    return remembered(body, ("generalized", id(function), twin), make)


def _ndim(ty: Any) -> int:
    return int(ty.ndim) if is_array(ty) else 0


def _looped(
    body: Any, whole: Any, layout: list[int], extra: list[int], count: int, twin: Any
) -> Any:
    """Return the loop over the first dimension of arrays that have the most beyond their layout.

    Those with fewer dimensions are used whole in every repetition, as Numba does it.
    """
    most = max(extra)
    looped = [i for i, k in enumerate(extra) if k == most]
    sizes = ", ".join(f"a{i}.shape[0]" for i in looped)
    parts = [f"a{i}" for i in range(len(extra))]
    for i in looped:
        is_number = i >= count and layout[i] == 0 and most == 1  # which the kernel writes to item 0
        parts[i] = f"a{i}[k : k + 1]" if is_number else f"a{i}[k]"
    names = ", ".join(f"a{i}" for i in range(len(extra)))
    source = (
        f"def looped({names}):\n    size = loop_size(({sizes},))\n"
        f"    for k in range(size):\n        inner({', '.join(parts)})"
    )
    inner = twin(body) if most == 1 else whole
    scope: dict[str, Any] = {"inner": inner, "loop_size": loop_size, "__name__": body.__module__}
    exec(source, scope)  # of names of our own
    active = twin(scope["looped"])
    return lambda *args: active(*args)


@kernel
def loop_size(sizes: Any) -> Any:
    """Return the number of repetitions for arrays of these sizes; raise as Numba does."""
    for n in sizes:
        if n != sizes[0]:
            raise ValueError("Loop and array shapes are incompatible")
    return sizes[0]
