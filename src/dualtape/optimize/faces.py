"""Least squares, roots and curves: the functions of `scipy.optimize` other than `minimize`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import optimize as scipy_optimize

from ..drivers.compose import compiled_function
from ..solvers.evaluation import (
    curve_and_jacobian_for,
    explaining_errors,
    value_and_jacobian_for,
    value_of,
)
from ..solvers.matrix_form import checked_form
from ..transforms.derivatives import jacobian, value_and_grad, value_grad_hessian
from ..transforms.products import derivative

Function = Callable[..., Any]


def least_squares(
    fun: Function,
    x0: Any,
    jac: Any = None,
    *positional: Any,
    args: tuple[Any, ...] = (),
    kwargs: Any = None,
    progress: bool = False,
    sparse: bool | str = "auto",
    **options: Any,
) -> Any:
    """Minimize a sum of squares: `scipy.optimize.least_squares` with the exact Jacobian.

    Parameters
    ----------
    fun : function
        ``fun(x, *args, **kwargs)`` returns the residuals; plain Python or njit.
    x0, args, kwargs, *positional, **options
        As in SciPy.
    jac : function or {'2-point', '3-point', 'cs'}, optional
        As in SciPy; supplied if not given.
    progress : bool
        Print number, cost and largest gradient entry of every accepted step.
    sparse : bool or "auto"
        Whether the supplied Jacobian is a ``csr_array``, for which SciPy uses
        ``tr_solver="lsmr"``. "auto": with that solver, for more than 100 unknowns, if at most a
        tenth of the entries is stored.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As in SciPy.

    Raises
    ------
    UnsupportedFunctionError, MissingRuleError
        If `fun` has no derivative.

    Notes
    -----
    Cost: for up to 8 unknowns residuals and Jacobian come from one sweep for each point.

    Examples
    --------
    >>> import numpy as np
    >>> from dualtape.optimize import least_squares
    >>> def residuals(x):
    ...     return np.array([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])
    >>> least_squares(residuals, [-1.2, 1.0]).x.round(9)
    array([1., 1.])
    """
    with explaining_errors("least_squares"):
        if jac is None:
            sparse = checked_form("least_squares", sparse)
            if sparse == "auto" and options.get("tr_solver") != "lsmr":
                sparse = False
            fun, jac = value_and_jacobian_for(fun, "least_squares", np.size(x0), sparse=sparse)
        if progress and callable(jac):
            jac = _reporting_residuals(fun, jac)
        return scipy_optimize.least_squares(
            fun, x0, jac, *positional, args=args, kwargs=kwargs or {}, **options
        )


def _reporting_residuals(fun: Function, jac: Function) -> Function:
    """Return a Jacobian that prints a line: solvers call it at the points they accept."""
    count = 0

    def report(x: Any, *args: Any, **options: Any) -> Any:
        nonlocal count
        matrix, residuals = jac(x, *args, **options), np.atleast_1d(fun(x, *args, **options))
        gradient = residuals @ matrix if np.ndim(matrix) > 1 else residuals * matrix
        cost, largest = 0.5 * residuals @ residuals, np.max(np.abs(gradient), initial=0.0)
        print(f"{count:5d}  cost = {cost:<17.10g}  |g| = {largest:.3e}", flush=True)
        count += 1
        return matrix

    return report


def root(
    fun: Function,
    x0: Any,
    args: Any = (),
    method: str = "hybr",
    jac: Any = None,
    tol: float | None = None,
    callback: Any = None,
    options: Any = None,
    *,
    progress: bool = False,
) -> Any:
    """Solve a system of equations: `scipy.optimize.root` with the exact Jacobian.

    Parameters
    ----------
    fun : function
        ``fun(x, *args)``, plain Python or njit.
    x0, args, method, tol, callback, options
        As in SciPy.
    jac : function or bool, optional
        As in SciPy; for the methods that use it ('hybr', 'lm') supplied if not given.
    progress : bool
        Print number, half the sum of squares and its largest gradient entry whenever a Jacobian is
        computed: at every accepted point of 'lm', at fewer of 'hybr'.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As in SciPy.

    Raises
    ------
    UnsupportedFunctionError, MissingRuleError
        If `fun` has no derivative.

    Notes
    -----
    Cost: 'lm' as `least_squares`; 'hybr' uses few Jacobians, each computed in separate sweeps.

    Examples
    --------
    >>> import numpy as np
    >>> from dualtape.optimize import root
    >>> root(lambda x: np.array([x[0] ** 2 + x[1] ** 2 - 2.0, x[0] - x[1]]), [2.0, 0.5]).x
    array([1., 1.])
    """
    with explaining_errors("root"):
        if (jac is None or jac is False) and method in ("hybr", "lm"):
            if method == "lm":
                fun, jac = value_and_jacobian_for(fun, "root", np.size(x0))
            else:
                fun, jac = compiled_function(fun, "root"), jacobian(fun)
            if progress:
                jac = _reporting_residuals(fun, jac)
            if (options or {}).get("col_deriv"):
                jac = _transposed(jac)
        return scipy_optimize.root(fun, x0, args, method, jac, tol, callback, options)


def _transposed(jac: Function) -> Function:
    return lambda x, *args: np.transpose(jac(x, *args))


def root_scalar(
    f: Function,
    args: Any = (),
    method: str | None = None,
    bracket: Any = None,
    fprime: Any = None,
    fprime2: Any = None,
    x0: float | None = None,
    x1: float | None = None,
    **options: Any,
) -> Any:
    """Find a root of a function of one number: `scipy.optimize.root_scalar`.

    Parameters
    ----------
    f : function
        ``f(x, *args)``, plain Python or njit.
    args, method, bracket, x0, x1, **options
        As in SciPy: `method` is 'brentq' with a bracket, 'secant' with x1, else 'newton'.
    fprime, fprime2
        As in SciPy; for 'newton' and 'halley' supplied if not given, and then computed in the
        sweep of the value.

    Returns
    -------
    scipy.optimize.RootResults
        As in SciPy.

    Raises
    ------
    UnsupportedFunctionError, MissingRuleError
        If `f` has no derivative.

    Examples
    --------
    >>> from dualtape.optimize import root_scalar
    >>> print(root_scalar(lambda x: x**3 - 2.0, x0=1.0, method="halley").root.round(12))
    1.259921049895
    """
    method_used = method
    if method is None and bracket is None and x0 is not None and x1 is None:
        method_used = "halley" if fprime and fprime2 else "newton"
    name = (method_used or "").lower()
    with explaining_errors("root_scalar"):
        if name in ("newton", "halley"):
            if not fprime:
                whole = name == "halley" and not fprime2
                f, fprime = (value_grad_hessian if whole else value_and_grad)(f), True
                fprime2 = True if whole else fprime2
            elif name == "halley" and not fprime2:
                fprime2 = derivative(value_of(f) if fprime is True else f, 2)
        points = {"bracket": bracket, "fprime": fprime, "fprime2": fprime2, "x0": x0, "x1": x1}
        return scipy_optimize.root_scalar(f, args, method_used, **points, **options)


def curve_fit(
    f: Function,
    xdata: Any,
    ydata: Any,
    p0: Any = None,
    sigma: Any = None,
    absolute_sigma: bool = False,
    check_finite: bool | None = None,
    bounds: Any = (-np.inf, np.inf),
    method: str | None = None,
    jac: Any = None,
    *,
    progress: bool = False,
    **kwargs: Any,
) -> Any:
    """Fit a model to data: `scipy.optimize.curve_fit` with the exact Jacobian.

    Parameters
    ----------
    f : function
        ``f(xdata, *parameters)``, plain Python or njit; the parameters are numbers.
    xdata, ydata, p0, sigma, absolute_sigma, check_finite, bounds, method, **kwargs
        As in SciPy.
    jac : function or str, optional
        As in SciPy; supplied if not given.
    progress : bool
        Print number, half the sum of squares (without `sigma`) and its largest gradient entry of
        every accepted step.

    Returns
    -------
    popt, pcov
        As in SciPy.

    Raises
    ------
    UnsupportedFunctionError, MissingRuleError
        If `f` has no derivative.

    Notes
    -----
    Cost: values and Jacobian at a point take ceil(n / 8) sweeps for n parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from dualtape.optimize import curve_fit
    >>> t = np.linspace(0.0, 4.0, 9)
    >>> curve_fit(lambda t, a, b: a * np.exp(-b * t), t, 3.0 * np.exp(-0.5 * t))[0].round(9)
    array([3. , 0.5])
    """
    with explaining_errors("curve_fit"):
        if jac is None:
            f, jac = curve_and_jacobian_for(f)
        if progress and callable(jac):
            model = f
            jac = _reporting_residuals(lambda x, *p: model(x, *p) - np.asarray(ydata), jac)
        return scipy_optimize.curve_fit(
            f, xdata, ydata, p0, sigma, absolute_sigma, check_finite, bounds, method, jac, **kwargs
        )
