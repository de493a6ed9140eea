"""Implicit functions: solutions of equations, differentiated by the implicit function theorem.

If ``f(x, p) = 0`` defines x(p), then ``dx/dp = -J^-1 df/dp`` with ``J = df/dx``.  The solver runs
on plain numbers.  Derivatives come from steps of Newton's method with the primal J,

    x <- x - J^-1 f(x, p),

with p and then x active: at the solution such a step does not change the value, and adds the
derivatives of one more order, for f differs from its linear part in x by terms of the next order
only.  So one step gives gradients, two give Hessians and gradients of gradients.  The steps are
ordinary arithmetic, so they work in every mode and every nesting of modes.

A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, section 15.2.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core import types
from numba.core.dispatcher import Dispatcher

from ..arrays.primal import derivative_order, primal_of
from ..backend.jit import by_type, generic
from ..drivers.compose import composed
from ..drivers.dispatcher import Transform
from ..drivers.factory import cached, checked_function, name_of
from ..drivers.live import live
from ..drivers.nested import nestable
from ..errors import ArgumentError, ConvergenceError
from ..functions.memo import remembered
from ..functions.pickling import sent_as
from ..transforms.derivatives import grad, value_and_jacobian, value_grad_hessian
from ..twin.activation import twin
from .linear import inverse, largest, newton_step
from .newton import minimizer, root_finder

Function = Callable[..., Any]

NOT_SOLVED = 1e-3
"""Where the Newton step is longer than this, relative to 1 + |x|, there is no solution."""


def implicit_root(f: Function, solver: Function | None = None) -> Any:
    """Return a function that solves ``f(x, *p) = 0`` for x and can be differentiated by p.

    Parameters
    ----------
    f : function
        ``f(x, *p)``, plain Python or njit: an array of n residuals for an array x of size n, or a
        number for a number. The parameters are numbers, arrays or tuples of these.
    solver : function, optional
        ``solver(x0, *p)`` returns a solution, or a result of SciPy that contains it. An njit
        function is called from compiled code, any other through the interpreter. By default
        Newton's method with the exact Jacobian and a line search.

    Returns
    -------
    function
        ``solve(x0, *p) -> x``, callable from Python, from compiled code and inside functions
        that are differentiated. Its derivative with respect to the starting point is zero.

    Raises
    ------
    ConvergenceError
        When called, if no solution is found, or the solver returns a point that is none.
    SingularJacobianError
        When called, if the Jacobian at the solution is singular: there is no derivative.
    ArgumentError
        If f or the solver is not a function.

    Notes
    -----
    Cost: the solver, one Jacobian and its inverse, and for derivatives of order r another r
    evaluations of f with active numbers. With r steps of Newton's method from the solution the
    derivatives are those of the implicit function theorem.

    References
    ----------
    A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, section 15.2.

    Examples
    --------
    >>> import math, numba, dualtape as ad
    >>> @numba.njit
    ... def kepler(anomaly, mean, eccentricity):
    ...     return anomaly - eccentricity * math.sin(anomaly) - mean
    >>> solve = ad.implicit_root(kepler)
    >>> round(solve(1.0, 1.0, 0.1), 12)
    1.088597752398
    >>> round(ad.grad(lambda m: solve(1.0, m, 0.1))(1.0), 12)
    1.048627827636
    """
    return _implicit("implicit_root", f, solver)


def implicit_minimum(f: Function, solver: Function | None = None) -> Any:
    """Return a function that minimizes ``f(x, *p)`` over x and can be differentiated by p.

    ``dx/dp = -H^-1 d2f/dxdp`` with H the Hessian by x.

    Parameters
    ----------
    f : function
        ``f(x, *p)``, plain Python or njit: a number, for an array x or a number x. The parameters
        are numbers, arrays or tuples of these.
    solver : function, optional
        As in `implicit_root`; by default Newton's method with the exact Hessian, modified if it is
        not positive definite, and a line search.

    Returns
    -------
    function
        ``solve(x0, *p) -> x``, as in `implicit_root`.

    Raises
    ------
    ConvergenceError, SingularJacobianError, ArgumentError
        As in `implicit_root`; the Jacobian is the Hessian.

    Notes
    -----
    Cost: as `implicit_root` of the gradient.

    Examples
    --------
    >>> import numba, numpy as np, dualtape as ad
    >>> @numba.njit
    ... def ridge(x, weight):
    ...     return np.sum((x - 1.0) ** 2) + weight * np.sum(x**2)
    >>> best = ad.implicit_minimum(ridge)
    >>> def norm(weight):
    ...     return np.sum(best(np.zeros(2), weight))
    >>> round(ad.grad(norm)(1.0), 12)
    -0.5
    """
    return _implicit("implicit_minimum", f, solver)


@live
def _implicit(kind: str, f: Any, solver: Any) -> Transform:
    function = checked_function(f, kind)
    if solver is not None and not callable(solver):
        raise ArgumentError(f"{kind}: the solver is {solver!r}; expected a function or None")

    def make() -> Transform:
        name = f"{kind}({name_of(function)})"
        if kind == "implicit_root":
            residual, find = twin(function), root_finder
            both = value_and_jacobian(function).inner
        else:
            residual, find = grad(function), minimizer
            both = _gradient_and_hessian(value_grad_hessian(function).inner)
        solve = _solution(
            residual, both, find(function) if solver is None else _compiled_solver(solver)
        )

        def choose(arg_types: Any) -> Any:
            if not arg_types or isinstance(arg_types[0], types.BaseTuple):
                raise ArgumentError(f"{name}: x0 is a number or an array of numbers")
            return solve

        transform = composed(choose, _signature, (0,), name)
        if solver is None:  # the digest of f does not cover a user's solver
            return sent_as(cached(transform, function, kind), kind, (f,))
        return sent_as(transform, kind, (f, solver))

    return remembered(function, (kind, solver), make)


def _signature(x0: Any, *p: Any) -> None: ...


def _gradient_and_hessian(whole: Any) -> Any:
    """Return a function for gradient and Hessian, from one that returns the value, too."""

    def first_and_second(x, *p):  # type: ignore[no-untyped-def]
        _, first, second = whole(x, *p)
        return first, second

    return twin(first_and_second)


def _solution(residual: Any, both: Any, find: Any) -> Function:
    """Return (x0, *p) -> x, which can be differentiated; for numbers and for arrays."""

    def linearized(x0, p):  # type: ignore[no-untyped-def]
        x = find(x0, p)
        y, slope = both(x, *p)
        inverted = inverse(slope)
        require_solution(largest(newton_step(inverted, y)), largest(x))
        return x, inverted

    # A twin of its own: its arguments are plain, so nothing in it is activated.
    solved = twin(linearized)

    def solve(x0, *p):  # type: ignore[no-untyped-def]
        x_plain, inverted = solved(primal_of(x0), primal_of(p))
        x = x_plain - newton_step(inverted, residual(x_plain, *p))
        for _ in range(1, derivative_order(p)):
            x = x - newton_step(inverted, residual(x, *p))
        return x

    return solve


def implicit_solution(f: Any) -> Any:
    """Return (x, p) -> x with derivatives, for a solution x of f(x, *p) = 0 that was found."""

    def itself(x0, p):  # type: ignore[no-untyped-def]
        return x0

    solve = twin(_solution(twin(f), value_and_jacobian(f).inner, twin(itself)))

    def at_solution(x, p):  # type: ignore[no-untyped-def]
        return solve(x, *p)

    return twin(at_solution)


@generic
def require_solution(step: float, size: float) -> None:
    """Raise if a solver returned a point that is not a solution."""
    if not step <= NOT_SOLVED * (1.0 + size):
        raise ConvergenceError("the solver returned a point that is not a solution")


SOLVERS: dict[int, Any] = {}
"""Python functions that compiled code calls by number: it cannot refer to them otherwise."""
_numbers = itertools.count()


def _compiled_solver(solver: Any) -> Any:
    """Return a user's solver as compiled (x0, p) -> x."""
    if isinstance(solver, Dispatcher):

        def call(x0, p):  # type: ignore[no-untyped-def]
            return solver(x0, *p)

        return numba.njit(call)
    number = next(_numbers)
    SOLVERS[number] = solver

    def call_python(x0, p):  # type: ignore[no-untyped-def]
        return through_python(number, x0, p)

    return numba.njit(call_python)


@by_type
def through_python(number: Any, x0: Any, p: Any) -> Any:
    """Return the solution of the solver with this number."""
    if isinstance(x0, types.Array):
        return lambda number, x0, p: _array_by_python(number, x0, p)
    return lambda number, x0, p: _number_by_python(number, x0, p)


def _call_solver(number: int, x0: Any, p: Any) -> Any:
    """Call a solver; return the solution as an array."""
    result = SOLVERS[number](x0, *p)
    if getattr(result, "success", getattr(result, "converged", True)) is False:
        reason = getattr(result, "message", getattr(result, "flag", ""))
        raise ConvergenceError(f"the solver found no solution: {reason}")
    x = getattr(result, "x", getattr(result, "root", result))
    return np.array(x, dtype=np.float64).reshape(np.shape(x0))


@numba.njit
def _array_by_python(number: Any, x0: Any, p: Any) -> Any:
    with numba.objmode(x="float64[::1]"):
        x = _call_solver(number, x0, p)
    return x


@numba.njit
def _number_by_python(number: Any, x0: Any, p: Any) -> Any:
    with numba.objmode(x="float64"):
        x = float(_call_solver(number, x0, p))
    return x


nestable(implicit_root)
nestable(implicit_minimum)
