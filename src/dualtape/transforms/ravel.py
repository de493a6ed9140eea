"""Structures of arrays as one vector, and back, as optimizers need for a network's parameters.

The inverse is an ordinary function of slices and reshapes, generated for the structure and compiled
as by ``numba.njit``.  So Python and compiled code call it alike, and derivatives see only views.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numba.core import types
from numba.core.registry import CPUDispatcher

from ..backend.jit import by_type
from ..errors import ArgumentError, ArgumentValueError
from ..numbers.types import NumberType

Shape = tuple[int, ...] | None
"""The shape of an array; None for a number."""


def ravel(tree: Any) -> tuple[Any, Callable[[Any], Any]]:
    """Return the numbers of a structure as one vector, and the inverse function.

    Parameters
    ----------
    tree
        A real number, a real array, or a tuple or named tuple of these, nested to any depth.

    Returns
    -------
    vector : array of shape (n,)
        A copy of all numbers, in order, arrays row by row: float32 if all of them are, float64
        otherwise.
    unravel : function
        ``unravel(vector)`` has the structure of the tree; its arrays are views of the vector, of
        the vector's type. Callable from Python and from ``@njit`` code, also inside of functions
        that are differentiated by the vector. There is one for all trees of a structure.

    Raises
    ------
    ArgumentError
        If the tree holds anything else: integers and complex numbers have no derivatives. By
        ``unravel``, for what is not a vector of real numbers.
    ArgumentValueError
        By ``unravel``, if the vector has another length.

    Notes
    -----
    The conventions are those of ``jax.flatten_util.ravel_pytree``, except that numbers of several
    precisions do not get them back: the views are of one vector. Cost: a copy; the inverse is
    free. `unravel` is compiled when first called.

    Examples
    --------
    >>> from typing import NamedTuple
    >>> import numpy as np, dualtape as ad
    >>> class Layer(NamedTuple):
    ...     weights: np.ndarray
    ...     bias: float
    >>> vector, unravel = ad.ravel(Layer(np.array([[1.0, 2.0], [3.0, 4.0]]), 5.0))
    >>> vector
    array([1., 2., 3., 4., 5.])
    >>> unravel(10.0 * vector)
    Layer(weights=array([[10., 20.],
           [30., 40.]]), bias=50.0)
    >>> ad.grad(lambda v: np.sum(unravel(v).weights ** 2))(vector)
    array([2., 4., 6., 8., 0.])
    """
    parts = list(_parts(tree))
    narrow = bool(parts) and all(part.dtype == np.float32 for part in parts)
    dtype = np.float32 if narrow else np.float64
    vector = np.concatenate([np.zeros(0, dtype), *(part.ravel() for part in parts)], dtype=dtype)
    return vector, _unravel_function(_structure(tree))


def _parts(tree: Any) -> Iterator[Any]:
    """Iterate over the numbers and arrays of a structure, as arrays."""
    if isinstance(tree, tuple):
        for item in tree:
            yield from _parts(item)
        return
    if isinstance(tree, float | np.floating | np.ndarray):
        part = np.asarray(tree)
        if part.dtype in (np.float64, np.float32):
            yield part
            return
    what = f"an array of {tree.dtype}" if isinstance(tree, np.ndarray) else f"{tree!r}"
    raise ArgumentError(
        f"ravel: found {what} of type {type(tree).__name__}; expected real numbers and arrays, in "
        "(named) tuples. Integers have no derivatives: write 1.0, convert with astype(float), or "
        "leave them out."
    )


def _structure(tree: Any) -> Any:
    """Return what identifies a structure: shapes, in pairs (class, items) for tuples."""
    if isinstance(tree, tuple):
        return type(tree), tuple(_structure(item) for item in tree)
    return np.shape(tree) if np.ndim(tree) else None


@functools.lru_cache(maxsize=256)
def _unravel_function(structure: Any) -> Any:
    """Return the compiled inverse, the same one for equal structures."""
    names: dict[str, Any] = {
        "__name__": "unraveled",  # not of this package: it gets twins like users' code
        "ascontiguousarray": np.ascontiguousarray,
        "require_vector": require_vector,
    }
    expression, size = _expression(structure, 0, names)
    source = (
        "def unravel(vector):\n"
        f"    require_vector(vector, {size})\n"
        "    vector = ascontiguousarray(vector)\n"
        f"    return {expression}\n"
    )
    exec(source, names)
    unravel = Unravel(names["unravel"], targetoptions={"nogil": True, "nopython": True})
    unravel.structure = structure
    return unravel


class Unravel(CPUDispatcher):
    """An inverse of `ravel`; there is one for a structure in every process."""

    structure: Any

    def __reduce__(self) -> Any:
        return _unravel_function, (self.structure,)


def _expression(structure: Any, first: int, names: dict[str, Any]) -> tuple[str, int]:
    """Return the code of a structure whose numbers start at `first`, and where they end."""
    is_tuple = isinstance(structure, tuple) and structure and isinstance(structure[0], type)
    if not is_tuple:
        return _leaf_expression(structure, first)
    cls, items = structure
    code = ""
    for item in items:
        part, first = _expression(item, first, names)
        code += f"{part}, "
    if cls is tuple:
        return f"({code})", first
    name = f"{cls.__name__}_{len(names)}"
    names[name] = cls
    return f"{name}({code})", first


def _leaf_expression(shape: Shape, first: int) -> tuple[str, int]:
    if shape is None:
        return f"vector[{first}]", first + 1
    last = first + math.prod(shape)
    part = f"vector[{first}:{last}]"
    return (part if len(shape) == 1 else f"{part}.reshape({shape})"), last


@by_type
def require_vector(vector: Any, size: Any) -> Any:
    """Raise unless the argument of `unravel` is a vector of this length."""
    is_array = isinstance(vector, types.Array) and isinstance(
        vector.dtype, types.Float | NumberType
    )
    if not is_array or vector.ndim != 1:
        raise ArgumentError(f"unravel: got {vector}; expected a vector of real numbers")

    def check(vector: Any, size: Any) -> None:
        if vector.size != size:
            raise ArgumentValueError(
                "unravel: the vector has another length than the one that ravel returned"
            )

    return check
