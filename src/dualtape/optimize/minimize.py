"""Minimization by SciPy with exact derivatives, from one starting point or from many."""

from __future__ import annotations

import inspect
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from scipy import optimize as scipy_optimize

from ..drivers.select_mode import HESSIAN
from ..errors import ArgumentError
from ..solvers.evaluation import explaining_errors, objective_for, value_of
from ..solvers.matrix_form import checked_form
from ..transforms.derivatives import hessian
from ..transforms.products import hvp
from .constraints import for_trust_constr, with_derivatives

Function = Callable[..., Any]

WITHOUT = {"nelder-mead", "powell", "cobyla", "cobyqa"}
"""Methods that use no derivatives."""
TRUST_REGION = {"dogleg", "trust-exact", "trust-ncg"}
"""Methods that use the Hessian at nearly every point where they use the value."""
DENSE = {"dogleg", "trust-exact"}
"""Methods that need the Hessian itself."""
SECOND = {*DENSE, "newton-cg", "trust-ncg", "trust-krylov", "trust-constr"}
"""Methods that use second derivatives."""
PLAIN_CALLBACK = {"tnc", "cobyla", "cobyqa"}
"""Methods whose callback gets x alone."""


def minimize(
    fun: Function,
    x0: Any,
    args: Any = (),
    method: Any = None,
    jac: Any = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    tol: float | None = None,
    callback: Any = None,
    options: Any = None,
    *,
    progress: bool = False,
    sparse: bool | str = "auto",
) -> Any:
    """Minimize a scalar function: `scipy.optimize.minimize` with exact derivatives.

    Parameters
    ----------
    fun : function
        ``fun(x, *args)``, plain Python or njit.
    x0, args, method, bounds, tol, callback, options
        As in SciPy.
    jac, hess, hessp
        As in SciPy; those that `method` uses are supplied if not given. Hessians are dense for up
        to 24 variables; for more, methods that can do so use products ``H v``.
    constraints
        As in SciPy; a dict gets its ``jac``, a `NonlinearConstraint` also the Hessian weighted by
        the multipliers, instead of SciPy's defaults '2-point' and ``BFGS()``.
    progress : bool
        Print number, value and largest gradient entry of every iteration.
    sparse : bool or "auto"
        Whether 'trust-constr' gets Jacobians and Hessians of constraints as ``csr_array``. "auto":
        for more than 100 variables, if at most a tenth of the entries is stored.

    Returns
    -------
    scipy.optimize.OptimizeResult
        As in SciPy.

    Raises
    ------
    UnsupportedFunctionError, MissingRuleError
        If `fun` or a constraint has no derivative.

    Notes
    -----
    Cost: the value at a point is computed together with the gradient, and in trust-region methods
    with the Hessian; f is not evaluated separately.

    Examples
    --------
    >>> import numpy as np
    >>> from dualtape.optimize import minimize
    >>> result = minimize(lambda x: np.sum((x**2 - 2.0) ** 2), [1.0, 1.0], method="trust-exact")
    >>> result.x.round(6)
    array([1.414214, 1.414214])
    """
    args = args if isinstance(args, tuple) else (args,)
    name = _method_name(method, bounds, constraints)
    sparse = checked_form("minimize", sparse)
    with explaining_errors("minimize"):
        if name not in WITHOUT:
            n = np.size(x0)
            functions = fun, jac, hess, hessp
            fun, jac, hess, hessp = _with_derivatives(functions, name, n, options or {})
            if not (isinstance(constraints, tuple | list) and len(constraints) == 0):
                if name == "trust-constr":
                    constraints, options = for_trust_constr(
                        constraints, x0, options or {}, sparse=sparse
                    )
                else:
                    constraints = with_derivatives(constraints, n)
        if progress:
            callback = _reporting(name, callback, (fun, jac, args))
        fun = _stoppable(fun)
        return scipy_optimize.minimize(
            fun, x0, args, method, jac, hess, hessp, bounds, constraints, tol, callback, options
        )


def _method_name(method: Any, bounds: Any, constraints: Any) -> str:
    """Return the name of the method that SciPy will use, in lower case."""
    if method is None:
        if not (isinstance(constraints, tuple | list) and len(constraints) == 0):
            return "slsqp"
        return "bfgs" if bounds is None else "l-bfgs-b"
    return "_custom" if callable(method) else str(method).lower()


def _with_derivatives(
    functions: Any, method: str, n: int, options: Any
) -> tuple[Any, Any, Any, Any]:
    """Return fun, jac, hess and hessp, with those supplied that the method uses."""
    fun, jac, hess, hessp = functions
    wants_second = (method in SECOND or method == "_custom") and hess is None and hessp is None
    if jac is not None and jac is not False:
        if not wants_second:
            return functions
        f = value_of(fun) if jac is True else fun
        return fun, jac, *_second_derivatives(f, method, n, hessian)
    dense = wants_second and (method in DENSE or n <= HESSIAN)
    together = dense and method in TRUST_REGION and n <= HESSIAN
    value, gradient, whole_hessian = objective_for(fun, together=together)
    if wants_second:
        hess, hessp = _second_derivatives(fun, method, n, lambda _: whole_hessian)
    return value, gradient, hess, hessp


def _second_derivatives(f: Any, method: str, n: int, dense: Any) -> tuple[Any, Any]:
    if method in DENSE or n <= HESSIAN:
        return dense(f), None
    return None, hvp(f)


def _reporting(method: str, callback: Any, functions: Any) -> Any:
    """Return a callback that prints a line and calls the user's."""
    fun, jac, args = functions
    count = 0

    def line(x: Any, value: Any) -> None:
        nonlocal count
        count += 1
        text = f"{count:5d}  f = {float(value):<17.10g}"
        if callable(jac):
            text += f"  |g| = {np.max(np.abs(jac(x, *args)), initial=0.0):.3e}"
        print(text, flush=True)

    if method in PLAIN_CALLBACK:

        def plain(x: Any) -> Any:
            line(x, fun(x, *args))
            return callback(x) if callback is not None else None

        return plain
    takes_result = callback is not None and set(inspect.signature(callback).parameters) == {
        "intermediate_result"
    }

    def report(intermediate_result: Any) -> Any:
        x = np.asarray(intermediate_result.x)
        line(x, intermediate_result.fun)
        if callback is None:
            return None
        if takes_result:
            return callback(intermediate_result=intermediate_result)
        more = (intermediate_result,) if method == "trust-constr" else ()
        return callback(np.copy(x), *more)

    return report


def multistart(
    fun: Function,
    starts: Any,
    args: Any = (),
    method: Any = None,
    bounds: Any = None,
    *,
    workers: int | None = None,
    rtol: float = 1e-5,
    seed: int = 0,
    **options: Any,
) -> list[Any]:
    """Minimize from many points in parallel and return the distinct minima.

    Parameters
    ----------
    fun : function
        As in `minimize`.
    starts : array_like of shape (k, n), or int
        The starting points, or their number: they are then distributed over the box `bounds` by a
        Latin hypercube.
    args, method, bounds, **options
        Passed on to `minimize`.
    workers : int, optional
        Number of threads, by default that of processors. Compiled functions run in parallel;
        SciPy's own Python code does not.
    rtol : float
        Results whose variables agree up to ``rtol * (1 + max |x|)`` are one minimum.
    seed : int
        The seed of the Latin hypercube.

    Returns
    -------
    list of scipy.optimize.OptimizeResult
        One successful result for each minimum, the lowest first.

    Raises
    ------
    ArgumentError
        If the starting points are not rows, or a number of them is given without finite bounds.

    Examples
    --------
    >>> from dualtape.optimize import multistart
    >>> minima = multistart(lambda x: (x[0] ** 2 - 1.0) ** 2 + 0.1 * x[0], [[-2.0], [0.5], [2.0]])
    >>> [round(float(result.x[0]), 4) for result in minima]
    [-1.0123, 0.9873]
    """

    def run(x0: Any) -> Any:
        return minimize(fun, x0, args, method, bounds=bounds, **options)

    return _run_from(run, _start_points(starts, bounds, seed), workers, rtol)


def _run_from(
    run: Callable[[Any], Any], points: Any, workers: int | None, rtol: float
) -> list[Any]:
    """Run a solver from every point; return the distinct successful results, the lowest first.

    After an exception, or an interrupt, the other runs end at their next evaluation.
    """
    first = run(points[0])  # compiles everything before the threads start
    stop = threading.Event()

    def run_until_stopped(point: Any) -> Any:
        _THREAD.stop = stop
        return run(point)

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        try:
            results = [first, *pool.map(run_until_stopped, points[1:])]
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return _distinct([result for result in results if result.success], rtol)


class _Thread(threading.local):
    """The event that ends the runs of this thread."""

    stop: threading.Event | None = None


_THREAD = _Thread()


def _stoppable(fun: Function) -> Function:
    """Return a function that raises once the event of this thread is set, if it has one."""
    stop = _THREAD.stop
    if stop is None:
        return fun

    def checked(*args: Any) -> Any:
        if stop.is_set():
            raise InterruptedError("another run of multistart has failed, or was interrupted")
        return fun(*args)

    return checked


def _start_points(starts: Any, bounds: Any, seed: int) -> Any:
    """Return the starting points, one in a row."""
    if not isinstance(starts, int | np.integer):
        points = np.asarray(starts, dtype=float)
        if points.ndim == 2 and len(points):
            return points
        raise ArgumentError(
            f"multistart: starts has shape {points.shape}; expected one point in a row, (k, n)"
        )
    if bounds is None or starts < 1:
        raise ArgumentError("multistart: a number of starts needs to be positive, and bounds")
    lower, upper = _box(bounds)
    if not np.all(np.isfinite(upper - lower)):
        raise ArgumentError("multistart: a number of starts needs finite bounds")
    # A Latin hypercube: every slice of every variable has one point.
    rng, n = np.random.default_rng(seed), lower.size
    slices = rng.permuted(np.tile(np.arange(starts), (n, 1)), axis=1).T
    sample = (slices + rng.random((starts, n))) / starts
    return lower + sample * (upper - lower)


def _box(bounds: Any) -> tuple[Any, Any]:
    if hasattr(bounds, "lb"):
        lower, upper = np.broadcast_arrays(np.atleast_1d(bounds.lb), bounds.ub)
        return np.asarray(lower, float), np.asarray(upper, float)
    pairs = np.array([[-np.inf if a is None else a, np.inf if b is None else b] for a, b in bounds])
    return pairs[:, 0].astype(float), pairs[:, 1].astype(float)


def _distinct(results: list[Any], rtol: float) -> list[Any]:
    """Return one result for each minimum, the lowest there."""
    minima: list[Any] = []
    for result in sorted(results, key=lambda result: float(result.fun)):
        scale = rtol * (1.0 + np.max(np.abs(result.x), initial=0.0))
        if all(np.max(np.abs(result.x - other.x), initial=0.0) > scale for other in minima):
            minima.append(result)
    return minima
