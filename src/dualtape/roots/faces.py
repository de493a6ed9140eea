"""What users call: each function finds a root with plain numbers and returns it with derivatives.

If f(x, p) = 0 defines x(p), then dx/dp = -(df/dp) / (df/dx).  With s the slope df/dx at the root
that was found, steps

    x <- x - (f(x, p) - f0) / s,        f0 the value of f(x, p) without derivatives,

add the derivatives of one more order each and leave the value as it is, to the last bit: it is the
number that the search returned, also where f does not vanish there exactly (see `implicit`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arrays.primal import derivative_order, primal_of
from ..drivers.compose import composed
from ..drivers.dispatcher import Transform
from ..drivers.factory import checked_function, name_of
from ..drivers.live import live
from ..drivers.nested import nestable
from ..functions.memo import current, remembered
from ..implicit.functions import implicit_root
from ..implicit.linear import inverse, newton_step
from ..numbers.types import highest_number
from ..transforms.derivatives import value_and_jacobian
from ..twin.activation import twin
from .brackets import bisection, brent
from .iterations import fixed_points

XTOL, RTOL, MAXITER = 2e-12, 8.881784197001252e-16, 100  # those of scipy.optimize
Function = Callable[..., Any]


def bisect(
    f: Function, a: Any, b: Any, args: Any = (), xtol: float = XTOL, rtol: float = RTOL,
    maxiter: int = MAXITER,
) -> Any:  # fmt: skip
    """Find a root of ``f(x, *args)`` between a and b by bisection; differentiable by `args`.

    ``dx/dp = -(df/dp) / (df/dx)`` at the root; the derivatives by a and b are zero.

    Parameters
    ----------
    f : function
        ``f(x, *args)``, plain Python or njit, a number for a number x.
    a, b : float
        The bracket: f has different signs there.
    args : tuple
        Parameters of f: numbers, arrays or tuples of these, active or not.
    xtol, rtol : float
        The root is known to ``xtol + rtol * |x|``.
    maxiter : int
        The largest number of steps.

    Returns
    -------
    x : float
        As `scipy.optimize.bisect` returns it.

    Raises
    ------
    ArgumentValueError
        If f has the same sign at a and b, or is NaN there.
    ConvergenceError
        If the bracket is not small enough after `maxiter` steps.
    SingularJacobianError
        If derivatives are wanted and df/dx is zero at the root.

    Notes
    -----
    Cost: the evaluations of f that the search needs; for derivatives of order r the slope df/dx
    and another r evaluations with active numbers.

    References
    ----------
    A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, section 15.2.

    Examples
    --------
    >>> import numba, dualtape as ad
    >>> from dualtape.roots import bisect
    >>> @numba.njit
    ... def cubic(x, p):
    ...     return x**3 - p
    >>> round(ad.grad(lambda p: bisect(cubic, 0.0, 3.0, (p,)))(8.0), 9)  # p**(-2/3) / 3
    0.083333333
    """
    return bisect_of(current(f))(a, b, args, xtol, rtol, maxiter)


def brentq(
    f: Function, a: Any, b: Any, args: Any = (), xtol: float = XTOL, rtol: float = RTOL,
    maxiter: int = MAXITER,
) -> Any:  # fmt: skip
    """Find a root of ``f(x, *args)`` between a and b by Brent's method; differentiable by `args`.

    ``dx/dp = -(df/dp) / (df/dx)`` at the root; where f is smooth, far fewer steps than `bisect`.

    Parameters
    ----------
    f, a, b, args, xtol, rtol, maxiter
        As in `bisect`, as are errors and cost.

    Returns
    -------
    x : float
        As `scipy.optimize.brentq` returns it.

    References
    ----------
    R. P. Brent, Algorithms for Minimization without Derivatives, Prentice-Hall 1973, chapter 4.

    Examples
    --------
    >>> import math, numba, dualtape as ad
    >>> from dualtape.roots import brentq
    >>> @numba.njit
    ... def kepler(anomaly, mean, eccentricity):
    ...     return anomaly - eccentricity * math.sin(anomaly) - mean
    >>> def anomaly(eccentricity):
    ...     return brentq(kepler, 0.0, 4.0, (1.0, eccentricity))
    >>> round(ad.grad(anomaly)(0.1), 9)
    0.929060686
    """
    return brentq_of(current(f))(a, b, args, xtol, rtol, maxiter)


def newton(f: Function, x0: Any, args: Any = ()) -> Any:
    """Find a root of ``f(x, *args)`` by Newton's method with exact slopes and a line search.

    Parameters
    ----------
    f : function
        ``f(x, *args)``: a number for a number x, or n residuals for an array of size n.
    x0 : float or array
        Where the search starts; the derivative by it is zero.
    args : tuple
        Parameters of f, active or not.

    Returns
    -------
    x : float or array
        As `implicit_root` finds it, whose errors and cost are those of this function.

    Examples
    --------
    >>> import numba, numpy as np, dualtape as ad
    >>> from dualtape.roots import newton
    >>> @numba.njit
    ... def circle(x, r):
    ...     return np.array([x[0] ** 2 + x[1] ** 2 - r**2, x[0] - x[1]])
    >>> by_r = ad.jacobian(lambda r: newton(circle, np.array([1.0, 2.0]), (r,)))(2.0)
    >>> by_r.round(9)
    array([0.70710678, 0.70710678])
    """
    return newton_of(current(f))(x0, args)


def fixed_point(
    f: Function, x0: Any, args: Any = (), xtol: float = 1e-12, maxiter: int = 500
) -> Any:
    """Find x with ``x = f(x, *args)`` by iteration, accelerated by Steffensen's method.

    ``dx/dp = (1 - df/dx)^-1 df/dp`` at the fixed point, also of arrays.

    Parameters
    ----------
    f : function
        ``f(x, *args)``: a number for a number x, or an array of the shape of x.
    x0 : float or array
        Where the iteration starts; the derivative by it is zero.
    args : tuple
        Parameters of f, active or not.
    xtol : float
        The relative length of the last step.
    maxiter : int
        The largest number of steps, of two evaluations each.

    Returns
    -------
    x : float or array
        The fixed point, improved by one step of Newton's method.

    Raises
    ------
    ConvergenceError
        If there is none after `maxiter` steps.
    SingularJacobianError
        If 1 - df/dx is singular there.

    Examples
    --------
    >>> import math, numba, dualtape as ad
    >>> from dualtape.roots import fixed_point
    >>> @numba.njit
    ... def damped(x, p):
    ...     return math.cos(p * x)
    >>> round(ad.grad(lambda p: fixed_point(damped, 0.5, (p,)))(1.0), 9)
    -0.297474342
    """
    return fixed_point_of(current(f))(x0, args, xtol, maxiter)


# For compiled code


def _within_bracket(kind: str, f: Any, algorithm: Any) -> Transform:
    """Return the compiled (a, b, args, xtol, rtol, maxiter) -> x."""
    function = checked_function(f, kind)

    def make() -> Transform:
        residual = twin(function)
        find, both = algorithm(residual), value_and_jacobian(function).inner

        def plain(a, b, args=(), xtol=XTOL, rtol=RTOL, maxiter=MAXITER):  # type: ignore[no-untyped-def]
            return find(a, b, args, xtol, rtol, maxiter)

        def active(a, b, args=(), xtol=XTOL, rtol=RTOL, maxiter=MAXITER):  # type: ignore[no-untyped-def]
            start, end = primal_of(a), primal_of(b)
            x0 = find(start, end, primal_of(args), xtol, rtol, maxiter)
            _, slope = both(x0, *primal_of(args))
            inverted = inverse(slope)
            value = residual(x0, *args)
            x = x0 - newton_step(inverted, value - primal_of(value))
            for _ in range(1, derivative_order(args)):
                value = residual(x, *args)
                x = x - newton_step(inverted, value - primal_of(value))
            return x

        def constant(a, b, args=(), xtol=XTOL, rtol=RTOL, maxiter=MAXITER):  # type: ignore[no-untyped-def]
            return find(primal_of(a), primal_of(b), args, xtol, rtol, maxiter)

        def choose(packed: Any) -> Any:
            if highest_number(packed[2]) is not None:
                return active
            bracket = map(highest_number, packed[:2])
            return plain if all(n is None for n in bracket) else constant

        return composed(choose, _bracket_signature, (), f"{kind}({name_of(function)})")

    return remembered(function, kind, make)


def _bracket_signature(  # type: ignore[no-untyped-def]
    a, b, args=(), xtol=XTOL, rtol=RTOL, maxiter=MAXITER
) -> None: ...


@live
def bisect_of(f: Any) -> Transform:
    """Return the compiled form of `bisect`."""
    return _within_bracket("bisect", f, bisection)


@live
def brentq_of(f: Any) -> Transform:
    """Return the compiled form of `brentq`."""
    return _within_bracket("brentq", f, brent)


def _from_start(kind: str, function: Any, solve: Any, signature: Any) -> Transform:
    def make() -> Transform:
        return composed(lambda _: solve(), signature, (), f"{kind}({name_of(function)})")

    return remembered(function, kind, make)


@live
def newton_of(f: Any) -> Transform:
    """Return the compiled form of `newton`."""
    function = checked_function(f, "newton")

    def solver() -> Any:
        root = implicit_root(function)

        def solve(x0, args=()):  # type: ignore[no-untyped-def]
            return root(x0, *args)

        return solve

    return _from_start("newton", function, solver, _newton_signature)


@live
def fixed_point_of(f: Any) -> Transform:
    """Return the compiled form of `fixed_point`."""
    function = checked_function(f, "fixed_point")
    return _from_start("fixed_point", function, lambda: fixed_points(function), _point_signature)


def _newton_signature(x0, args=()) -> None: ...  # type: ignore[no-untyped-def]


def _point_signature(  # type: ignore[no-untyped-def]
    x0, args=(), xtol=1e-12, maxiter=500
) -> None: ...


def _bracket_call(made: Any) -> Any:
    return lambda f, a, b, args=(), xtol=XTOL, rtol=RTOL, maxiter=MAXITER: made(
        a, b, args, xtol, rtol, maxiter
    )


nestable(bisect, bisect_of, _bracket_call)
nestable(brentq, brentq_of, _bracket_call)
nestable(newton, newton_of, lambda made: lambda f, x0, args=(): made(x0, args))
nestable(
    fixed_point,
    fixed_point_of,
    lambda made: lambda f, x0, args=(), xtol=1e-12, maxiter=500: made(x0, args, xtol, maxiter),
)
