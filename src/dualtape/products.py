"""Derivatives along directions: of functions of one number, J v, v^T J and H v."""

from __future__ import annotations

import inspect
import threading
import weakref
from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import overload

from . import forward, modes, pullback, second
from ._jit import internal
from .activate import APPLIED_TRANSFORMS, STATIC_TRANSFORMS, twin
from .driver import Transform, as_float
from .errors import ArgumentError
from .making import cached, checked_function, in_compiled_code, name_of, py_func_of
from .memory import remembered
from .pool import release_tape

__all__ = ["Pullback", "derivative", "hvp", "jvp", "vjp"]

Function = Callable[..., Any]


def derivative(f: Function, order: int = 1) -> Any:
    """Return a function that computes the derivative of a function of one real number.

    Parameters
    ----------
    f : function
        Its first argument is the number; it returns numbers, arrays or tuples of these.
    order : int
        How many times to differentiate.

    Returns
    -------
    function
        With the signature of f; the result has the structure of what f returns.

    Raises
    ------
    ArgumentError
        If order is not a positive integer, or the first argument is an array.
    MissingRuleError
        As in `grad`.

    Notes
    -----
    Cost: one sweep; the numbers carry 2**order values.

    Examples
    --------
    >>> import math, dualtape as ad
    >>> ad.derivative(math.exp, 3)(0.0)
    1.0
    """
    if type(order) is not int or order < 1:
        raise ArgumentError(f"derivative: order is {order!r}; expected a positive integer")
    function = checked_function(f, "derivative")
    if order > 2:
        return derivative(derivative(function, order - 2), 2)
    driver = second.second_derivative_driver if order == 2 else forward.derivative_driver

    def make() -> Transform:
        name = f"derivative({name_of(function)})"
        made = Transform(py_func_of(function), driver(twin(function)), (0,), name)
        return cached(made, function, ("derivative", order))

    return remembered(function, ("derivative", order), make)


def jvp(f: Function, primals: Any, tangents: Any) -> Any:
    """Return ``(f(*primals), J v)``: value and derivative in one direction.

    Parameters
    ----------
    f : function
        Returns numbers, arrays or tuples of these.
    primals : tuple
        The arguments of f, all differentiated.
    tangents : tuple
        The direction v, of the same structure and shapes.

    Returns
    -------
    value, tangent
        ``tangent = sum_j J[:, j] v_j``, of the structure of the value.

    Raises
    ------
    ArgumentError
        If primals and tangents are not tuples of the same structure.
    ValueError
        If the shapes of a primal and its tangent differ.

    Notes
    -----
    Cost: one forward sweep of one partial.

    Examples
    --------
    >>> import dualtape as ad
    >>> ad.jvp(lambda x, y: x * y, (3.0, 2.0), (1.0, 0.0))
    (6.0, 2.0)
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple):
        raise ArgumentError(f"jvp({name_of(f)}): primals and tangents are tuples, one per argument")
    return jvp_function(f)(primals, tangents)


def jvp_function(f: Function) -> Any:
    """Return the compiled ``(primals, tangents) -> (value, tangent)`` of f."""
    function = checked_function(f, "jvp")

    def make() -> Transform:
        driver = forward.jvp_driver(twin(function))
        made = Transform(_jvp_signature, driver, (0, 1), f"jvp({name_of(function)})")
        return cached(made, function, ("jvp",))

    return remembered(function, ("jvp",), make)


def vjp(f: Function, *primals: Any) -> tuple[Any, Pullback]:
    """Return ``f(*primals)`` and a function that pulls cotangents back.

    ``pullback(y_bar)[k]`` is ``y_bar^T J_k``, J_k being the Jacobian by the k-th primal: for an
    array x, ``x_bar[j] = sum_i y_bar[i] dy_i/dx_j``.

    Parameters
    ----------
    f : function
        Returns a number, an array, or a tuple of these; a list counts as an array.
    *primals
        Its arguments: real scalars, arrays, or tuples of these. Lists and integers are converted.

    Returns
    -------
    value
        What f returns.
    pullback : Pullback
        Takes a cotangent in the structure of the value, or several stacked along a new first axis;
        returns a tuple with a gradient for every primal. It may be called many times, and keeps the
        recording until it is dropped.

    Raises
    ------
    ArgumentError
        If an argument is not real, or a cotangent does not fit.
    TapeMemoryError
        If the recording does not fit; see `set_tape_limit`.
    MissingRuleError
        As in `grad`.

    Notes
    -----
    Cost: one recording; then one sweep a cotangent, or one for eight that are stacked.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> y, pullback = ad.vjp(lambda x: x**2, np.array([1.0, 3.0]))
    >>> pullback(np.array([1.0, 10.0]))
    (array([ 2., 60.]),)
    """
    record, pull = vjp_functions(f)
    inspect.signature(py_func_of(f)).bind(*primals)  # the usual TypeError where they do not fit
    primals = tuple(as_float(arg, i, record.__name__) for i, arg in enumerate(primals))
    value, address, rows = record(primals)
    return value, Pullback(pull, address, rows, primals)


class Pullback:
    """What `vjp` returns to pull cotangents back; it owns the recording."""

    def __init__(self, pull: Any, address: int, rows: Any, primals: tuple[Any, ...]) -> None:
        self._pull = pull
        self._parts = (address, rows)
        self._primals = primals
        self._lock = threading.Lock()  # a sweep writes to the tape
        weakref.finalize(self, release_tape, address)

    def __call__(self, cotangent: Any) -> Any:
        """Return the gradients of sum(cotangent * value), one for every primal."""
        with self._lock:
            return self._pull(*self._parts, cotangent, self._primals)


def vjp_functions(f: Function) -> tuple[Transform, Transform]:
    """Return the compiled halves of `vjp`: record and pull."""
    function = checked_function(f, "vjp")
    name = f"vjp({name_of(function)})"

    def make() -> tuple[Transform, Transform]:
        activated = twin(function)
        record = Transform(_record_signature, pullback.record_driver(activated), (0,), name)
        pull = Transform(_pull_signature, pullback.pull_driver(activated), (2, 3), name)
        return (
            cached(record, function, ("vjp", "record")),
            cached(pull, function, ("vjp", "pull")),
        )

    made: tuple[Transform, Transform] = remembered(function, "vjp", make)
    return made


def _record_signature(primals: Any) -> None: ...


def _pull_signature(address: Any, rows: Any, cotangent: Any, primals: Any) -> None: ...


def hvp(f: Function, *, mode: str = "auto", chunk_size: int | None = None) -> Any:
    """Return a function that computes Hessian-vector products, SciPy's ``hessp``.

    ``hvp(f)(x, v, *args)[i] = sum_j H[i, j] v_j``.

    Parameters
    ----------
    f : function
        Scalar function of a real scalar, array or tuple x and of further arguments.
    mode : {"auto", "forward", "reverse"}
        Hyper-dual numbers, or forward over reverse; "auto" changes at 40 inputs.
    chunk_size : {1, 2, 4, 8, 16}, optional
        Entries of the result per forward sweep. Who names one asks for forward mode.

    Returns
    -------
    function
        ``(x, v, *args) -> H v``, of the shape and structure of x.

    Raises
    ------
    ArgumentError
        If x is not real or v has another structure than x.
    ValueError
        If the shapes of x and v differ.
    NotScalarError, MissingRuleError
        As in `grad`.

    Notes
    -----
    Cost: forward, ceil(n / chunk_size) sweeps of hyper-dual numbers; reverse, one recording and one
    sweep of a tape of dual numbers, whatever n is.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.hvp(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 2.0]), np.array([1.0, 0.0]))
    array([4., 6.])
    """
    return modes.product(f, mode, chunk_size)


def _jvp_signature(primals: Any, tangents: Any) -> None: ...


STATIC_TRANSFORMS.update({derivative, hvp})
APPLIED_TRANSFORMS[jvp] = jvp_function
for _transform in (derivative, hvp):
    in_compiled_code(_transform)


@overload(jvp)
def _jvp_in_compiled_code(f, primals, tangents):  # type: ignore[no-untyped-def]
    if not isinstance(f, types.Dispatcher):
        return None
    made = jvp_function(f.dispatcher)
    return lambda f, primals, tangents: made(primals, tangents)


def compiled_vjp(f: Function) -> Any:
    """Return ``(*primals) -> (value, pullback)`` for compiled code."""
    function = checked_function(f, "vjp")
    name = f"vjp({name_of(function)})"

    def make() -> Any:
        activated = twin(function)
        record = Transform(
            _record_signature, pullback.record_driver(activated, own=True), (0,), name
        )
        pull = Transform(_pull_signature, pullback.pull_driver(activated), (2, 3), name)
        make_pullback, plain_tuple = pullback.pullback_maker(pull), pullback.plain_tuple

        def run(*primals: Any) -> Any:
            given = plain_tuple(primals)
            value, address, rows = record(given)
            return value, make_pullback(address, rows, given)

        dispatcher = internal(run)
        dispatcher.is_derivative = dispatcher.copies_arguments = True
        return dispatcher

    return remembered(function, "compiled vjp", make)


APPLIED_TRANSFORMS[vjp] = compiled_vjp


@overload(vjp)
def _vjp_in_compiled_code(f, *primals):  # type: ignore[no-untyped-def]
    if not isinstance(f, types.Dispatcher):
        return None
    made = compiled_vjp(f.dispatcher)
    return lambda f, *primals: made(*primals)
