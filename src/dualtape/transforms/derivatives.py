"""The public transforms: from a function to its derivatives.

J[i, j] = dy_i/dx_j throughout: outputs first, inputs last.  Every transform returns a compiled
function with the signature of f, callable from Python and from ``@njit`` code, so transforms nest.
They are cached: ``grad(f) is grad(f)`` as long as nothing changes that f reaches, and nothing
compiles twice.  Called from Python, the derivative of a plain function is that of its present
globals, closures and helpers (see `live`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..drivers import select_mode
from ..drivers.options import Argnums

Function = Callable[..., Any]


def grad(
    f: Function, argnums: Argnums = 0, *, mode: str = "auto", chunk_size: int | None = None
) -> Any:
    """Return a function that computes the gradient of a scalar function.

    ``grad(f)(x)[j] = df/dx_j``.

    Parameters
    ----------
    f : function
        Plain Python or njit; returns one number. Its arguments named by `argnums` are real scalars,
        arrays, or (named) tuples of these; the others pass unchanged.
    argnums : int, tuple or list of int
        Which arguments to differentiate, counted from the end if negative; of several, the result
        is a tuple.
    mode : {"auto", "forward", "reverse"}
        How to differentiate. "auto" takes forward mode for up to 32 inputs (4 where f calls
        functions of ``np.linalg`` that factor matrices) and reverse mode for more; the other one is
        compiled when a call first needs it.
    chunk_size : {1, 2, 4, 8, 16}, optional
        Partials per forward sweep: 8 for arrays, as many as there are scalars (up to 8) for
        scalars. Setting it selects forward mode.

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
    TapeMemoryError
        If the recording of reverse mode does not fit; see `checkpoint` and `set_tape_limit`.

    Notes
    -----
    Cost: forward, ceil(n / chunk_size) sweeps for n inputs, each two to three times the function;
    reverse, one recording and one sweep, together five to ten times the function.

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
    return select_mode.gradient("grad", f, argnums, mode, chunk_size)


def value_and_grad(
    f: Function, argnums: Argnums = 0, *, mode: str = "auto", chunk_size: int | None = None
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
    return select_mode.gradient("value_and_grad", f, argnums, mode, chunk_size)


def jacobian(
    f: Function, argnums: Argnums = 0, *, mode: str = "auto", chunk_size: int | None = None
) -> Any:
    """Return a function that computes the Jacobian.

    ``J[i, j] = dy_i/dx_j`` with y = f(x): outputs first, inputs last.

    Parameters
    ----------
    f : function
        Returns a number, an array, a tuple or list of numbers (taken as a 1-D array), or a (named)
        tuple of arrays and numbers.
    argnums, mode, chunk_size
        As in `grad`.

    Returns
    -------
    function
        With the signature of f. The result has shape ``y.shape + x.shape``; for a tuple argument it
        has the structure of the argument. If f returns arrays in a tuple, the result has that
        structure, with these in place of the arrays.

    Raises
    ------
    NotScalarError
        When called, if f returns something that is not made of numbers.
    ArgumentError, MissingRuleError
        As in `grad`.

    Notes
    -----
    Cost: forward, ceil(n / chunk_size) sweeps for n inputs; reverse, one recording and a sweep for
    every 8 of m outputs. "auto" takes reverse mode for more than 32 inputs and n > 4 m.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.jacobian(lambda x: np.array([x[0] * x[1], x[1]]))(np.array([3.0, 2.0]))
    array([[2., 3.],
           [0., 1.]])
    """
    return select_mode.jacobian("jacobian", f, argnums, mode, chunk_size)


def value_and_jacobian(
    f: Function, argnums: Argnums = 0, *, mode: str = "auto", chunk_size: int | None = None
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
    return select_mode.jacobian("value_and_jacobian", f, argnums, mode, chunk_size)


def hessian(
    f: Function, argnums: Argnums = 0, *, mode: str = "auto", chunk_size: int | None = None
) -> Any:
    """Return a function that computes the Hessian of a scalar function.

    ``H[i, j] = d2f/dx_i dx_j``, symmetric exactly.

    Parameters
    ----------
    f, argnums, mode
        As in `grad`.
    chunk_size : {1, 2, 4, 8, 16}, optional
        Rows and columns of the block that a forward sweep computes, 4 by default. Setting it
        selects forward mode.

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
    Cost: forward, k (k + 1) / 2 sweeps of 4 x 4 hyper-dual numbers, k = ceil(n / 4); reverse,
    ceil(n / 8) gradients of reverse mode with dual numbers. "auto" changes at 24 inputs. Second
    derivatives have no truncation and no cancellation error (Fike and Alonso, AIAA 2011-886).

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.hessian(lambda x: x[0] ** 2 * x[1])(np.array([3.0, 2.0]))
    array([[4., 6.],
           [6., 0.]])
    """
    return select_mode.hessian("hessian", f, argnums, mode, chunk_size)


def value_grad_hessian(
    f: Function, argnums: Argnums = 0, *, mode: str = "auto", chunk_size: int | None = None
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
    return select_mode.hessian("value_grad_hessian", f, argnums, mode, chunk_size)
