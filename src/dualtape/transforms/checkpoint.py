"""Reverse mode in little memory: `checkpoint` and `checkpoint_loop`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..drivers.checkpoint import checkpoint_driver
from ..drivers.checkpoint_loop import loop_driver
from ..drivers.dispatcher import Transform
from ..drivers.factory import cached, checked_function, name_of, py_func_of
from ..drivers.live import live
from ..drivers.nested import nestable
from ..functions.copies import copy_function
from ..functions.memo import current, remembered
from ..functions.parameters import taking
from ..functions.pickling import sent_as
from ..twin.activation import twin


@live
def checkpoint(f: Callable[..., Any]) -> Any:
    """Return f, stored as one block and recorded only when the reverse sweep reaches it.

    Parameters
    ----------
    f : function
        Plain Python or njit; takes and returns numbers, arrays or tuples of these, and writes to
        none of its arguments.

    Returns
    -------
    function
        With the signature and the results of f. Inside of a function differentiated in reverse mode
        it saves its arguments only; everywhere else it is f.

    Raises
    ------
    ArgumentError
        If f is not a function, writes to an argument, draws random numbers (its second evaluation
        would draw others) or takes arguments that cannot be saved.
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
    >>> ad.grad(f, mode="reverse")(np.array([1.0])).round(12)
    array([0.00013554])
    """
    function = checked_function(f, "checkpoint")

    def make() -> Transform:
        name = f"checkpoint({name_of(function)})"
        driver = checkpoint_driver(twin(function), "checkpoint")
        transform = Transform(copy_function(py_func_of(function)), driver, (), name)
        transform.shows_arguments = True  # in forward mode it is a plain call
        return sent_as(cached(transform, function, "checkpoint"), "checkpoint", (f,))

    return remembered(function, "checkpoint", make)


def checkpoint_loop(step: Callable[..., Any], state: Any, n: int, slots: int, *args: Any) -> Any:
    """Return the state after n steps of a loop, whose derivatives take little memory.

    ``for k in range(n): state = step(state, k, *args)``

    Parameters
    ----------
    step : function
        ``step(state, k, *args)`` returns the next state, of the same type and shape; it writes to
        none of its arguments.
    state
        The first state: a number, an array, or a tuple of these.
    n : int
        Number of steps.
    slots : int
        How many states the reverse sweep may save, including the first one.
    *args
        What else the steps depend on, active or not; all active values must be arguments.

    Returns
    -------
    state
        After the last step.

    Raises
    ------
    ArgumentError
        If the step changes the type of the state, or an argument cannot be saved.

    Notes
    -----
    Memory: `slots` states and the recording of one step. Cost: the fewest forward steps possible
    for as many slots, ``r n`` at the most with r the smallest number for which
    ``(slots + r)! / (slots! r!) >= n``: 1000 steps with 10 slots take less than four evaluations.

    References
    ----------
    A. Griewank and A. Walther, "Algorithm 799: revolve", ACM TOMS 26 (2000) 19-45.

    Examples
    --------
    >>> import numba, numpy as np, dualtape as ad
    >>> @numba.njit
    ... def step(u, k, rate):
    ...     return u + 0.01 * rate * np.sin(u)
    >>> def f(rate):
    ...     return np.sum(ad.checkpoint_loop(step, np.ones(3), 1000, 10, rate))
    >>> abs(ad.grad(f, mode="reverse")(0.2) - ad.grad(f, mode="forward")(0.2)) < 1e-12
    True
    """
    return loop_function(current(step))(state, n, slots, *args)


def loop_function(step: Callable[..., Any]) -> Transform:
    """Return the compiled function (state, n, slots, *args) of a step."""
    function = checked_function(step, "checkpoint_loop")

    def make() -> Transform:
        name = f"checkpoint_loop({name_of(function)})"
        parameters = taking("state", "n", "slots", "*args")
        transform = Transform(parameters, loop_driver(twin(function), name), (), name)
        transform.shows_arguments = True  # the state, if there are no steps
        return transform

    return remembered(function, "checkpoint_loop", make)


def _call(loop: Any) -> Any:
    return lambda step, state, n, slots, *args: loop(state, n, slots, *args)


nestable(checkpoint)
nestable(checkpoint_loop, loop_function, _call)
