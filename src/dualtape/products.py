"""Derivatives along directions: of functions of one number, J v, v^T J and H v."""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any

from . import modes
from .driver import Transform, as_float
from .errors import ArgumentError
from .forking import Lock
from .live import live
from .making import cached, checked_function, deferred, name_of, py_func_of
from .memory import current, remembered
from .travel import Traveler, sent_as

__all__ = ["Pullback", "derivative", "hvp", "jvp", "vjp"]

Function = Callable[..., Any]


@live
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

    def driver() -> Any:
        from . import activate, forward, second

        make = second.second_derivative_driver if order == 2 else forward.derivative_driver
        return make(activate.twin(function))

    def make() -> Transform:
        name = f"derivative({name_of(function)})"
        made = Transform(py_func_of(function), deferred(driver), (0,), name)
        return sent_as(cached(made, function, ("derivative", order)), "derivative", (f,), order)

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
    return jvp_function(current(f))(primals, tangents)


def jvp_function(f: Function) -> Any:
    """Return the compiled ``(primals, tangents) -> (value, tangent)`` of f."""
    function = checked_function(f, "jvp")

    def driver() -> Any:
        from . import activate, forward

        return forward.jvp_driver(activate.twin(function))

    def make() -> Transform:
        made = Transform(_jvp_signature, deferred(driver), (0, 1), f"jvp({name_of(function)})")
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
    record, pull = vjp_functions(current(f))
    inspect.signature(py_func_of(f)).bind(*primals)  # the usual TypeError where they do not fit
    primals = tuple(as_float(arg, i, record.__name__) for i, arg in enumerate(primals))
    value, address, rows = record(primals)
    return value, sent_as(Pullback(pull, address, rows, primals), "vjp", (f,), *primals)


class Pullback(Traveler):
    """What `vjp` returns to pull cotangents back; it owns the recording.

    In another process f is recorded again.
    """

    def __init__(self, pull: Any, address: int, rows: Any, primals: tuple[Any, ...]) -> None:
        self._pull = pull
        self._parts = (address, rows)
        self._primals = primals
        self._lock = Lock()  # a sweep writes to the tape
        from .pool import release_tape

        weakref.finalize(self, release_tape, address)

    def __reduce__(self) -> Any:
        return _second, super().__reduce__()

    def __call__(self, cotangent: Any) -> Any:
        """Return the gradients of sum(cotangent * value), one for every primal."""
        with self._lock:
            return self._pull(*self._parts, cotangent, self._primals)


def _second(make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return make(*args)[1]


def vjp_functions(f: Function) -> tuple[Transform, Transform]:
    """Return the compiled halves of `vjp`: record and pull."""
    function = checked_function(f, "vjp")
    name = f"vjp({name_of(function)})"

    def driver(kind: str) -> Any:
        from . import activate, pullback

        make = pullback.record_driver if kind == "record" else pullback.pull_driver
        return make(activate.twin(function))

    def make() -> tuple[Transform, Transform]:
        record = Transform(record_signature, deferred(lambda: driver("record")), (0,), name)
        pull = Transform(pull_signature, deferred(lambda: driver("pull")), (2, 3), name)
        return (
            cached(record, function, ("vjp", "record")),
            cached(pull, function, ("vjp", "pull")),
        )

    made: tuple[Transform, Transform] = remembered(function, "vjp", make)
    return made


def record_signature(primals: Any) -> None: ...


def pull_signature(address: Any, rows: Any, cotangent: Any, primals: Any) -> None: ...


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
