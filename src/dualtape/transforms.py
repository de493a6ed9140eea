"""The public transforms: from a function to its derivatives.

J[i, j] = dy_i/dx_j throughout: outputs first, inputs last.  Every transform returns a compiled
function with the signature of f, callable from Python and from ``@njit`` code, so transforms nest.
They are remembered: ``grad(f) is grad(f)``, and nothing compiles twice.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.extending import overload

from . import forward, second
from .activate import APPLIED_TRANSFORMS, STATIC_TRANSFORMS, twin
from .driver import Transform
from .errors import ArgumentError
from .making import (
    cached,
    checked_chunk,
    checked_function,
    in_compiled_code,
    make_transform,
    name_of,
    py_func_of,
)
from .memory import remembered

__all__ = [
    "derivative",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "value_and_grad",
    "value_and_jacobian",
    "value_grad_hessian",
]

Function = Callable[..., Any]


def grad(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    mode: str = "auto",
    chunk_size: int | None = None,
) -> Any:
    """Return a function that computes the gradient of a scalar function.

    ``grad(f)(x)[j] = df/dx_j``.

    Parameters
    ----------
    f : function
        Plain Python or njit; returns one number. Its arguments named by `argnums` are real scalars,
        arrays, or (named) tuples of these; the others pass unchanged.
    argnums : int or tuple of int
        Which arguments to differentiate; with a tuple the result is a tuple.
    mode : {"auto", "forward"}
        How to differentiate; forward mode is the one there is.
    chunk_size : {1, 2, 4, 8, 16}, optional
        Partials per sweep: 8 for arrays, as many as there are scalars (up to 8) for scalars.

    Returns
    -------
    function
        With the signature of f. The gradient has shape and structure of the argument; it is float64
        (float32 if all differentiated arguments are). Lists and integers are converted.

    Raises
    ------
    NotScalarError
        When called, if f returns anything but one number; `jacobian` is for that.
    ArgumentError
        If f is not a function, or an argument to differentiate is not real.
    MissingRuleError
        If f calls something that has no derivative rule; see `custom_rule`.

    Notes
    -----
    Cost: ceil(n / chunk_size) forward sweeps for n inputs. A sweep of 8 partials costs two to three
    times the function.

    References
    ----------
    A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapter 3.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> def f(x):
    ...     return x[0] ** 2 * x[1]
    >>> ad.grad(f)(np.array([3.0, 2.0]))
    array([12.,  9.])
    """
    make = functools.partial(forward.gradient_driver, with_value=False)
    options = {"chunk_size": checked_chunk(chunk_size)}
    return make_transform("grad", f, argnums, mode, options, make)


def value_and_grad(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    mode: str = "auto",
    chunk_size: int | None = None,
) -> Any:
    """Return a function that computes ``(f(x), grad(f)(x))`` in one go.

    Parameters, errors and cost are those of `grad`; the value is free. It is what
    ``scipy.optimize.minimize(fun, x0, jac=True)`` takes as ``fun``.

    Returns
    -------
    function
        ``x, *args -> (value, gradient)``.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.value_and_grad(lambda x: np.sum(x**2))(np.array([3.0, 4.0]))
    (25.0, array([6., 8.]))
    """
    make = functools.partial(forward.gradient_driver, with_value=True)
    options = {"chunk_size": checked_chunk(chunk_size)}
    return make_transform("value_and_grad", f, argnums, mode, options, make)


def jacobian(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    mode: str = "auto",
    chunk_size: int | None = None,
) -> Any:
    """Return a function that computes the Jacobian.

    ``J[i, j] = dy_i/dx_j`` with y = f(x): outputs first, inputs last.

    Parameters
    ----------
    f : function
        Returns a number, an array, or a tuple or list of numbers (taken as a 1-D array).
    argnums, mode, chunk_size
        As in `grad`.

    Returns
    -------
    function
        With the signature of f. The result has shape ``y.shape + x.shape``; for a tuple argument it
        has the structure of the argument.

    Raises
    ------
    NotScalarError
        When called, if f returns something that is not made of numbers.
    ArgumentError, MissingRuleError
        As in `grad`.

    Notes
    -----
    Cost: ceil(n / chunk_size) forward sweeps for n inputs, whatever the number of outputs.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.jacobian(lambda x: np.array([x[0] * x[1], x[1]]))(np.array([3.0, 2.0]))
    array([[2., 3.],
           [0., 1.]])
    """
    make = functools.partial(forward.jacobian_driver, with_value=False)
    options = {"chunk_size": checked_chunk(chunk_size)}
    return make_transform("jacobian", f, argnums, mode, options, make)


def value_and_jacobian(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    mode: str = "auto",
    chunk_size: int | None = None,
) -> Any:
    """Return a function that computes ``(f(x), jacobian(f)(x))`` in one go.

    Parameters, errors and cost are those of `jacobian`; the value is free.

    Returns
    -------
    function
        ``x, *args -> (value, Jacobian)``.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.value_and_jacobian(lambda x: 2.0 * x)(np.array([1.0, 5.0]))
    (array([ 2., 10.]), array([[2., 0.],
           [0., 2.]]))
    """
    make = functools.partial(forward.jacobian_driver, with_value=True)
    options = {"chunk_size": checked_chunk(chunk_size)}
    return make_transform("value_and_jacobian", f, argnums, mode, options, make)


def hessian(f: Function, argnums: int | tuple[int, ...] = 0, *, mode: str = "auto") -> Any:
    """Return a function that computes the Hessian of a scalar function.

    ``H[i, j] = d2f/dx_i dx_j``, symmetric exactly.

    Parameters
    ----------
    f, argnums, mode
        As in `grad`.

    Returns
    -------
    function
        With the signature of f. The result has shape ``x.shape + x.shape``; for a tuple argument it
        is a structure of blocks, ``H[a][b]`` for inputs a and b.

    Raises
    ------
    NotScalarError, ArgumentError, MissingRuleError
        As in `grad`.

    Notes
    -----
    Cost: k (k + 1) / 2 sweeps of 4 x 4 hyper-dual numbers, k = ceil(n / 4). Second derivatives have
    no truncation and no cancellation error (Fike and Alonso, AIAA 2011-886).

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 2.0]))
    array([[4., 6.],
           [6., 0.]])
    """
    make = functools.partial(second.hessian_driver, with_value=False)
    return make_transform("hessian", f, argnums, mode, {}, make)


def value_grad_hessian(
    f: Function, argnums: int | tuple[int, ...] = 0, *, mode: str = "auto"
) -> Any:
    """Return a function that computes ``(f(x), grad(f)(x), hessian(f)(x))`` in one go.

    Parameters, errors and cost are those of `hessian`; value and gradient are free.

    Returns
    -------
    function
        ``x, *args -> (value, gradient, Hessian)``.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.value_grad_hessian(lambda x: x**3)(2.0)
    (8.0, 12.0, 12.0)
    """
    make = functools.partial(second.hessian_driver, with_value=True)
    return make_transform("value_grad_hessian", f, argnums, mode, {}, make)


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


def hvp(f: Function, *, chunk_size: int | None = None) -> Any:
    """Return a function that computes Hessian-vector products, SciPy's ``hessp``.

    ``hvp(f)(x, v, *args)[i] = sum_j H[i, j] v_j``.

    Parameters
    ----------
    f : function
        Scalar function of a real scalar, array or tuple x and of further arguments.
    chunk_size : {1, 2, 4, 8, 16}, optional
        Entries of the result per sweep.

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
    Cost: ceil(n / chunk_size) sweeps of hyper-dual numbers.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.hvp(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 2.0]), np.array([1.0, 0.0]))
    array([4., 6.])
    """
    function = checked_function(f, "hvp")

    def make() -> Transform:
        driver = second.hvp_driver(twin(function), checked_chunk(chunk_size))
        made = Transform(_hvp_signature, driver, (0, 1), f"hvp({name_of(function)})")
        return cached(made, function, ("hvp", chunk_size))

    return remembered(function, ("hvp", chunk_size), make)


def _jvp_signature(primals: Any, tangents: Any) -> None: ...


def _hvp_signature(x: Any, v: Any, *args: Any) -> None: ...


# What `activate` may evaluate while it compiles a function that names a transform.
STATIC_TRANSFORMS.update(
    {
        grad,
        value_and_grad,
        jacobian,
        value_and_jacobian,
        hessian,
        value_grad_hessian,
        derivative,
        hvp,
    }
)
APPLIED_TRANSFORMS[jvp] = jvp_function


# In a user's own @njit code a transform is named with a compiled function: grad(f)(x).
for _transform_function in STATIC_TRANSFORMS:
    in_compiled_code(_transform_function)


@overload(jvp)
def _jvp_in_compiled_code(f, primals, tangents):  # type: ignore[no-untyped-def]
    if not isinstance(f, types.Dispatcher):
        return None
    made = jvp_function(f.dispatcher)
    return lambda f, primals, tangents: made(primals, tangents)
