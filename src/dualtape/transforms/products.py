"""Derivatives along directions: of functions of one number, J v, v^T J and H v."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from ..backend.forking import Lock
from ..drivers import select_mode
from ..drivers.dispatcher import Transform, as_float
from ..drivers.factory import Request, cached, checked_function, name_of, py_func_of, twin_driver
from ..drivers.live import live
from ..drivers.options import Argnums, checked_argnum
from ..errors import ArgumentError
from ..functions.memo import current, remembered
from ..functions.parameters import taking
from ..functions.pickling import Traveler, sent_as
from ..functions.records import with_records

Function = Callable[..., Any]


@live
def derivative(f: Function, order: int = 1, *, argnums: int = 0) -> Any:
    """Return a function that computes the derivative of a function of one real number.

    Parameters
    ----------
    f : function
        One of its arguments is the number; it returns numbers, arrays or tuples of these.
    order : int
        How many times to differentiate.
    argnums : int
        Which argument is the number. By several, `jacobian` gives the partial derivatives.

    Returns
    -------
    function
        With the signature of f; the result has the structure of what f returns.

    Raises
    ------
    ArgumentError
        If order is not a positive integer, or the argument is an array.
    MissingRuleError
        As in `grad`.

    Notes
    -----
    Cost: one sweep; the numbers carry 2**order values. ``jvp(f, (t,), (1.0,))`` gives the value
    as well.

    Examples
    --------
    >>> import math, dualtape as ad
    >>> ad.derivative(math.exp, 3)(0.0)
    1.0
    """
    if type(order) is not int or order < 1:
        raise ArgumentError(f"derivative: order is {order!r}; expected a positive integer")
    function = checked_function(f, "derivative")
    positions = (checked_argnum("derivative", argnums, py_func_of(function)),)
    if order > 2:
        return derivative(derivative(function, order - 2, argnums=argnums), 2, argnums=argnums)
    key = ("derivative", order, positions)
    path = "forward.second_derivative_driver" if order == 2 else "forward.derivative_driver"

    def make() -> Transform:
        name = f"derivative({name_of(function)})"
        driver = twin_driver(path, function, Request("derivative", positions))
        transform = cached(Transform(py_func_of(function), driver, positions, name), function, key)
        return sent_as(transform, "derivative", (f,), order, argnums=argnums)

    return remembered(function, key, make)


def jvp(f: Function, primals: Any, tangents: Any) -> Any:
    """Return ``(f(*primals), J v)``: value and derivative in one direction.

    Parameters
    ----------
    f : function
        Returns numbers, arrays or tuples of these.
    primals : tuple or list
        The arguments of f, all differentiated.
    tangents : tuple or list
        The direction v, of the same structure and shapes.

    Returns
    -------
    value, tangent
        ``tangent = sum_j J[:, j] v_j``, of the structure of the value.

    Raises
    ------
    ArgumentError
        If primals and tangents are not tuples of the same structure.
    ArgumentValueError
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
    transform = jvp_function(current(f))
    if not isinstance(primals, tuple | list) or not isinstance(tangents, tuple | list):
        raise ArgumentError(
            f"{transform.__name__}: primals and tangents must be tuples, one item per argument of "
            "the function"
        )
    return transform(tuple(primals), tuple(tangents))


def jvp_function(f: Function) -> Any:
    """Return the compiled ``(primals, tangents) -> (value, tangent)`` of f."""
    function = checked_function(f, "jvp")

    def make() -> Transform:
        name, driver = f"jvp({name_of(function)})", twin_driver("forward.jvp_driver", function)
        transform = Transform(taking("primals", "tangents"), driver, (0, 1), name)
        transform.label = ("a primal", "a tangent").__getitem__
        return cached(transform, function, ("jvp",))

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
        If an argument is not real, or a cotangent has another structure than the value.
    ArgumentValueError
        If a cotangent has another shape than the value.
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
    label = "argument {} of the function".format
    primals = tuple(as_float(x, label(i), record.__name__) for i, x in enumerate(primals))
    value, address, rows = record(primals)
    return value, sent_as(Pullback(pull, address, rows, primals), "vjp", (f,), *primals)


class Pullback(Traveler):
    """The second result of `vjp`, which pulls cotangents back; it owns the recording.

    In another process f is recorded again.
    """

    def __init__(self, pull: Any, address: int, rows: Any, primals: tuple[Any, ...]) -> None:
        self._pull = pull
        self._parts = (address, rows)
        self._primals = primals
        self._lock = Lock()  # a sweep writes to the tape
        from ..tape.pool import release_tape

        weakref.finalize(self, release_tape, address)

    def __reduce__(self) -> Any:
        return _pullback_of, super().__reduce__()

    def __call__(self, cotangent: Any) -> Any:
        """Return the gradients of sum(cotangent * value), one for every primal."""
        with self._lock:
            return with_records(self._pull(*self._parts, cotangent, self._primals))


def _pullback_of(make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return make(*args)[1]


def vjp_functions(f: Function) -> tuple[Transform, Transform]:
    """Return the compiled halves of `vjp`: record and pull."""
    function = checked_function(f, "vjp")

    def make() -> tuple[Transform, Transform]:
        record, pull = vjp_halves(function)
        pull.label = ("the tape", "a row", "a cotangent", "a primal").__getitem__
        record = cached(record, function, ("vjp", "record"))
        return record, cached(pull, function, ("vjp", "pull"))

    halves: tuple[Transform, Transform] = remembered(function, "vjp", make)
    return halves


def vjp_halves(function: Any, **options: Any) -> tuple[Transform, Transform]:
    """Return the transforms that record a function, and pull cotangents back."""
    name, pull = f"vjp({name_of(function)})", twin_driver("vjp.pull_driver", function)
    record = twin_driver("vjp.record_driver", function, **options)
    return (
        Transform(taking("primals"), record, (0,), name),
        Transform(taking("address", "rows", "cotangent", "primals"), pull, (2, 3), name),
    )


def hvp(
    f: Function, argnums: Argnums = 0, *, mode: str = "auto", chunk_size: int | None = None
) -> Any:
    """Return a function that computes Hessian-vector products, SciPy's ``hessp``.

    ``hvp(f)(x, v, *args)[i] = sum_j H[i, j] v_j``.

    Parameters
    ----------
    f : function
        Scalar function of a real scalar, array or tuple x and of further arguments.
    argnums : int, tuple or list of int
        Which arguments x is. The direction v follows the last of them; of several, v and H v are
        tuples: ``hvp(f, (0, 1))(x, y, (v_x, v_y), *args)``.
    mode : {"auto", "forward", "reverse"}
        Hyper-dual numbers, or forward over reverse; "auto" changes at 40 inputs.
    chunk_size : {1, 2, 4, 8, 16}, optional
        Entries of the result per forward sweep. Setting it selects forward mode.

    Returns
    -------
    function
        ``(x, v, *args) -> H v``, of the shape and structure of x.

    Raises
    ------
    ArgumentError
        If x is not real or v has another structure than x.
    ArgumentValueError
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
    return select_mode.product(f, argnums, mode, chunk_size)
