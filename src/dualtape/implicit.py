"""Implicit functions: solutions of equations, differentiated by the implicit function theorem.

Where ``f(x, p) = 0`` defines x(p), ``dx/dp = -J^-1 df/dp`` with ``J = df/dx``.  The solver runs
on plain numbers.  Derivatives come from steps of Newton's method with the primal J,

    x <- x - J^-1 f(x, p),

with p and then x active: at the solution such a step changes no value, and gives derivatives of one
order more than x had, for f differs from its linear part in x by terms of the next order only.
So one step makes gradients, two make Hessians and gradients of gradients.  They are ordinary
arithmetic: every mode, and every nesting of modes, sees nothing else.

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
from numba.extending import overload

from ._jit import generic
from .activate import twin
from .composed import composed
from .driver import Transform
from .errors import ArgumentError, ConvergenceError
from .known import STATIC_TRANSFORMS
from .linear import inverse, largest, reciprocal, solution_step
from .live import live
from .making import cached, checked_function, name_of
from .memory import remembered
from .newton import minimizer, root_finder
from .primal import derivative_order, primal_of
from .transforms import grad, value_and_jacobian, value_grad_hessian
from .travel import sent_as

__all__ = ["implicit_minimum", "implicit_root"]

Function = Callable[..., Any]

NOT_SOLVED = 1e-3
"""A Newton step longer than this, relative to 1 + |x|, is not one at a solution."""


def implicit_root(f: Function, solver: Function | None = None) -> Any:
    """Return a function that solves ``f(x, *p) = 0`` for x and can be differentiated by p.

    Parameters
    ----------
    f : function
        ``f(x, *p)``, plain Python or njit: an array of n residuals for an array x of size n, or a
        number for a number. The parameters are numbers, arrays or tuples of these.
    solver : function, optional
        ``solver(x0, *p)`` returns a solution, or a result of SciPy that holds it. An njit function
        stays in compiled code; any other is called through the interpreter. If not given,
        Newton's method with the exact Jacobian and a line search.

    Returns
    -------
    function
        ``solve(x0, *p) -> x``, callable from Python, from compiled code and inside of functions
        that are differentiated. Its derivative by the starting point is zero.

    Raises
    ------
    ConvergenceError
        When called, if no solution is found, or what the solver returns is none.
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
        As in `implicit_root`; if not given, Newton's method with the exact Hessian, shifted where
        it is not positive definite, and a line search.

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
            residual, find = twin(function), root_finder(function)
            both = value_and_jacobian(function).inner
        else:
            residual, find = grad(function), minimizer(function)
            both = _first_and_second(value_grad_hessian(function).inner)
        made: dict[bool, Any] = {}

        def choose(packed: Any) -> Any:
            if not packed or isinstance(packed[0], types.BaseTuple):
                raise ArgumentError(f"{name}: x0 is a number or an array of numbers")
            scalar = not isinstance(packed[0], types.Array)
            if scalar not in made:
                chosen = find(scalar) if solver is None else _given(solver, scalar)
                made[scalar] = (_of_number if scalar else _of_array)(residual, both, chosen)
            return made[scalar]

        transform = composed(choose, _signature, (0,), name)
        if solver is None:  # what a user's solver does is in no digest of f
            return sent_as(cached(transform, function, kind), kind, (f,))
        return sent_as(transform, kind, (f, solver))

    return remembered(function, (kind, solver), make)


def _signature(x0: Any, *p: Any) -> None: ...


def _first_and_second(whole: Any) -> Any:
    """Return what gives gradient and Hessian, of what gives the value, too."""

    def first_and_second(x, *p):  # type: ignore[no-untyped-def]
        _, first, second = whole(x, *p)
        return first, second

    return twin(first_and_second)


def _of_array(residual: Any, both: Any, find: Any) -> Function:
    def linearized(x0, p):  # type: ignore[no-untyped-def]
        x = find(x0, p)
        y, slope = both(x, *p)
        inverted = inverse(slope)
        require_solution(solution_step(inverted, y), largest(x))
        return x, inverted

    # A twin of its own: its arguments are plain, so nothing in it is made active.
    solved = twin(linearized)

    def solve(x0, *p):  # type: ignore[no-untyped-def]
        found, inverted = solved(primal_of(x0), primal_of(p))
        x = found - inverted @ residual(found, *p)
        for _ in range(1, derivative_order(p)):
            x = x - inverted @ residual(x, *p)
        return x

    return solve


def _of_number(residual: Any, both: Any, find: Any) -> Function:
    def linearized(x0, p):  # type: ignore[no-untyped-def]
        x = find(x0, p)
        y, slope = both(x, *p)
        inverted = reciprocal(slope)
        require_solution(abs(inverted * y), abs(x))
        return x, inverted

    solved = twin(linearized)

    def solve(x0, *p):  # type: ignore[no-untyped-def]
        found, inverted = solved(primal_of(x0), primal_of(p))
        x = found - inverted * residual(found, *p)
        for _ in range(1, derivative_order(p)):
            x = x - inverted * residual(x, *p)
        return x

    return solve


@generic
def require_solution(step: float, size: float) -> None:
    """Raise where what a solver returned is no solution."""
    if not step <= NOT_SOLVED * (1.0 + size):
        raise ConvergenceError("the solver returned a point that is not a solution")


SOLVERS: dict[int, Any] = {}
"""Python functions that compiled code calls by number: it can hold no other reference to them."""
_numbers = itertools.count()


def _given(solver: Any, scalar: bool) -> Any:
    """Return a user's solver as compiled (x0, p) -> x."""
    if isinstance(solver, Dispatcher):

        def call(x0, p):  # type: ignore[no-untyped-def]
            return solver(x0, *p)

        return numba.njit(call)
    number = next(_numbers)
    SOLVERS[number] = solver
    through_python = _number_by_python if scalar else _array_by_python

    def call_python(x0, p):  # type: ignore[no-untyped-def]
        return through_python(number, x0, p)

    return numba.njit(call_python)


def _ask(number: int, x0: Any, p: Any) -> Any:
    """Call a solver; return the solution as an array."""
    found = SOLVERS[number](x0, *p)
    if getattr(found, "success", getattr(found, "converged", True)) is False:
        reason = getattr(found, "message", getattr(found, "flag", ""))
        raise ConvergenceError(f"the solver found no solution: {reason}")
    x = getattr(found, "x", getattr(found, "root", found))
    return np.array(x, dtype=np.float64).reshape(np.shape(x0))


@numba.njit
def _array_by_python(number: Any, x0: Any, p: Any) -> Any:
    with numba.objmode(x="float64[::1]"):
        x = _ask(number, x0, p)
    return x


@numba.njit
def _number_by_python(number: Any, x0: Any, p: Any) -> Any:
    with numba.objmode(x="float64"):
        x = float(_ask(number, x0, p))
    return x


STATIC_TRANSFORMS.update({implicit_root, implicit_minimum})


def _in_compiled_code(transform: Any) -> None:
    @overload(transform)
    def choose(f, solver=None):  # type: ignore[no-untyped-def]
        given = getattr(solver, "dispatcher", None)
        absent = solver is None or isinstance(solver, types.NoneType | types.Omitted)
        if not isinstance(f, types.Dispatcher) or (given is None and not absent):
            return None
        made = transform(f.dispatcher, given)
        return lambda f, solver=None: made


for _transform in (implicit_root, implicit_minimum):
    _in_compiled_code(_transform)
