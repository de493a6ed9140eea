"""Reverse mode in little memory: `checkpoint`."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any

from .activate import STATIC_TRANSFORMS, twin
from .checkpoint import checkpoint_driver
from .driver import Transform
from .making import cached, checked_function, in_compiled_code, name_of, py_func_of
from .memory import remembered

__all__ = ["checkpoint"]


def checkpoint(f: Callable[..., Any]) -> Any:
    """Return f, recorded as one block whose inside is recorded again when the sweep is there.

    Parameters
    ----------
    f : function
        Plain Python or njit; takes and returns numbers, arrays or tuples of these, and writes to
        none of its arguments.

    Returns
    -------
    function
        With the signature and the results of f. Inside of a function differentiated in reverse mode
        it keeps its arguments only; everywhere else it is f.

    Raises
    ------
    ArgumentError
        If f is not a function, writes to an argument, or takes what cannot be kept.
    TapeMemoryError
        If a single call does not fit on a tape.

    Notes
    -----
    Memory: the arguments of every call and the recording of one. Cost: one more evaluation of f.

    References
    ----------
    A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 12.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> @ad.checkpoint
    ... def step(u):
    ...     return u + 0.1 * np.sin(u)
    >>> def f(x):
    ...     u = x
    ...     for _ in range(100):
    ...         u = step(u)
    ...     return np.sum(u)
    >>> ad.grad(f, mode="reverse")(np.array([1.0])) - ad.grad(f, mode="forward")(np.array([1.0]))
    array([0.])
    """
    function = checked_function(f, "checkpoint")

    def make() -> Transform:
        name = f"checkpoint({name_of(function)})"
        driver = checkpoint_driver(twin(function), "checkpoint")
        made = Transform(_same_signature(py_func_of(function)), driver, (), name)
        return cached(made, function, "checkpoint")

    return remembered(function, "checkpoint", make)


def _same_signature(py_func: Any) -> Any:
    """Return a copy: Numba refuses a function that is compiled inside of itself."""
    parts = py_func.__code__, py_func.__globals__, py_func.__name__, py_func.__defaults__
    copy = FunctionType(*parts, py_func.__closure__)
    copy.__kwdefaults__ = py_func.__kwdefaults__
    return copy


STATIC_TRANSFORMS.add(checkpoint)
in_compiled_code(checkpoint)
