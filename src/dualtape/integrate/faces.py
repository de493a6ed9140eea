"""Initial and boundary value problems: the functions of `scipy.integrate` other than `quad`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import integrate as scipy_integrate

from ..drivers.compose import compiled_function
from ..drivers.factory import checked_function
from ..drivers.nested import nestable
from ..errors import ArgumentError
from ..functions.memo import current, remembered
from ..solvers.evaluation import explaining_errors
from ..solvers.matrix_form import checked_form
from ..transforms.derivatives import jacobian
from ..twin.activation import twin
from .jacobians import with_jacobian
from .runge_kutta import PARAMETERS, called, integrator

Function = Callable[..., Any]


def solve_ivp(
    fun: Function,
    t_span: Any,
    y0: Any,
    method: Any = "RK45",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    vectorized: bool = False,
    args: Any = None,
    *,
    sparse: bool | str = "auto",
    **options: Any,
) -> Any:
    """Solve an initial value problem: `scipy.integrate.solve_ivp` with the exact Jacobian.

    Parameters
    ----------
    fun : function
        ``fun(t, y, *args)``, plain Python or njit (for explicit methods any callable).
    t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options
        As in SciPy. For 'Radau', 'BDF' and 'LSODA' the Jacobian is supplied, unless `jac` is
        given, or `jac_sparsity`, `lband` or `uband`, which describe another form of it.
    sparse : bool or "auto"
        Whether 'Radau' and 'BDF' get it as a ``csr_array``. "auto": for more than 100 states, if at
        most a tenth of the entries is stored at the start. Its pattern may change later.

    Returns
    -------
    Bunch object
        As in SciPy.

    Raises
    ------
    UnsupportedFunctionError, MissingRuleError
        If `fun` has no derivative and the method needs one.

    Notes
    -----
    Cost: a Jacobian is ceil(n / 8) forward sweeps of `fun`, a sparse one that of `sparse_jacobian`.
    `fun` is compiled for implicit methods.

    Examples
    --------
    >>> import numpy as np
    >>> from dualtape.integrate import solve_ivp
    >>> def stiff(t, y):
    ...     return np.array([y[1], 1000.0 * ((1.0 - y[0] ** 2) * y[1] - y[0])])
    >>> solve_ivp(stiff, (0.0, 1.0), [2.0, 0.0], method="Radau").success
    True
    """
    with explaining_errors("solve_ivp"):
        n = np.size(y0)
        form = checked_form("solve_ivp", sparse)
        fun, options = with_jacobian(fun, method, n, options, vectorized=vectorized, sparse=form)
        return scipy_integrate.solve_ivp(
            fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options
        )


def odeint(func: Function, y0: Any, t: Any, *args: Any, **options: Any) -> Any:
    """Integrate dy/dt = func(y, t, *args); in compiled code it can be differentiated.

    In compiled code, inside functions that are differentiated, and from Python with parameters
    given one by one it is an adaptive Runge-Kutta method of order 5 (Dormand and Prince), for
    problems that are not stiff.  From Python in SciPy's form, ``odeint(func, y0, t, args=(...))``
    or without parameters, it is `scipy.integrate.odeint` (LSODA) with the exact Jacobian.

    Parameters
    ----------
    func : function
        ``func(y, t, *args)``, plain Python or njit: dy/dt, an array of y's shape, a list or tuple
        for y of shape (n,), a number for a number.
    y0 : array or float
        The state at t[0]; may be active.
    t : array of shape (m,)
        The times, increasing or decreasing; may be active.
    *args
        Up to eight parameters of func: numbers, arrays or tuples, active or not. A tuple alone is
        SciPy's `args`, the tuple of all parameters.
    **options
        ``rtol`` and ``atol``, 1.4e-8 if not given: a step is accepted if its estimated error is,
        in the root mean square over i, at most ``atol + rtol |y_i|``. In SciPy's form all of
        SciPy's options; `Dfun` is supplied, unless `ml` or `mu` make it banded.

    Returns
    -------
    y : array of shape (m, *y0.shape)
        The states at the times t; with SciPy's ``full_output``, and its infodict.

    Raises
    ------
    ArgumentError
        If t is no array of times.
    ConvergenceError
        If the steps of the Runge-Kutta method become too small.
    UnsupportedFunctionError, MissingRuleError
        If `func` has no derivative, where one is needed.

    Notes
    -----
    Derivatives are those of the discrete solution with the steps that the values need, right to
    the order of the tolerances. Steps end at every time of t. Cost: a step that is tried is six
    evaluations of func with plain numbers, and one that is made another six with active ones; in
    reverse mode up to three times these for 1,771 steps in an interval of t, and the memory of 20
    states and the recording of one step.

    References
    ----------
    J. R. Dormand and P. J. Prince, "A family of embedded Runge-Kutta formulae", J. Comp. Appl.
    Math. 6 (1980) 19-26.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> from dualtape.integrate import odeint
    >>> odeint(lambda y, t: -y, [1.0], np.array([0.0, 1.0]), rtol=1e-10)[1].round(6)
    array([0.367879])
    >>> def decayed(rate):
    ...     return odeint(lambda y, t, k: -k * y, 1.0, np.array([0.0, 2.0]), rate)[1]
    >>> round(ad.grad(decayed)(0.5), 6)  # -2 exp(-1)
    -0.735759
    """
    if args and not isinstance(args[0], tuple):
        if len(args) > PARAMETERS or not set(options) <= {"rtol", "atol"}:
            raise ArgumentError(
                f"odeint: parameters one by one are up to {PARAMETERS}, with the options rtol and "
                "atol; SciPy's form is odeint(func, y0, t, args=(...), ...)."
            )
        padded = (*args, *(None,) * (PARAMETERS - len(args)))
        with explaining_errors("odeint"):
            return integrator(current(func))(y0, t, *padded, **options)
    return _lsoda(func, y0, t, *args, **options)


nestable(odeint, integrator, called)


def _lsoda(
    func: Function,
    y0: Any,
    t: Any,
    args: tuple[Any, ...] = (),
    Dfun: Any = None,  # SciPy's name
    col_deriv: Any = 0,
    *positional: Any,
    tfirst: bool = False,
    **options: Any,
) -> Any:
    """Call SciPy's function with the exact Jacobian."""
    banded = len(positional) > 1 or not {"ml", "mu"}.isdisjoint(options)
    with explaining_errors("odeint"):
        if Dfun is None and not banded:
            whole = jacobian(func, 1 if tfirst else 0)
            func = compiled_function(func, "odeint")

            def Dfun(*arguments: Any) -> Any:
                matrix = whole(*arguments)
                return np.transpose(matrix) if col_deriv else matrix

        return scipy_integrate.odeint(
            func, y0, t, args, Dfun, col_deriv, *positional, tfirst=tfirst, **options
        )


def solve_bvp(
    fun: Function,
    bc: Function,
    x: Any,
    y: Any,
    p: Any = None,
    S: Any = None,  # SciPy's name
    fun_jac: Any = None,
    bc_jac: Any = None,
    *positional: Any,
    **options: Any,
) -> Any:
    """Solve a boundary value problem: `scipy.integrate.solve_bvp` with exact Jacobians.

    Parameters
    ----------
    fun : function
        ``fun(x, y)`` or ``fun(x, y, p)``: for all nodes x of shape (m,) at once, y of shape (n, m);
        plain Python or njit.
    bc : function
        ``bc(ya, yb)`` or ``bc(ya, yb, p)``, plain Python or njit.
    x, y, p, S, *positional, **options
        As in SciPy.
    fun_jac, bc_jac : function, optional
        As in SciPy; each is supplied if not given.

    Returns
    -------
    Bunch object
        As in SciPy.

    Raises
    ------
    UnsupportedFunctionError, MissingRuleError
        If `fun` or `bc` has no derivative.

    Notes
    -----
    Cost: ceil((n + k) / 8) sweeps of `fun` for n components and k parameters, over all nodes.

    Examples
    --------
    >>> import numpy as np
    >>> from dualtape.integrate import solve_bvp
    >>> def fun(x, y):
    ...     out = np.empty_like(y)
    ...     out[0], out[1] = y[1], -y[0]
    ...     return out
    >>> def bc(ya, yb):
    ...     return np.array([ya[0], yb[0] - 1.0])
    >>> x = np.linspace(0.0, np.pi / 2.0, 5)
    >>> bool(abs(solve_bvp(fun, bc, x, np.zeros((2, 5))).sol(1.0)[0] - np.sin(1.0)) < 1e-4)
    True
    """
    with explaining_errors("solve_bvp"):
        if fun_jac is None:
            fun_jac = _jacobians_at_nodes(fun, with_parameters=p is not None)
            fun = compiled_function(fun, "solve_bvp")
        if bc_jac is None:
            bc_jac = jacobian(bc, (0, 1) if p is None else (0, 1, 2))
        return scipy_integrate.solve_bvp(
            fun, bc, x, y, p, S, fun_jac, bc_jac, *positional, **options
        )


def _jacobians_at_nodes(fun: Any, *, with_parameters: bool) -> Function:
    """Return a function for df/dy of shape (n, n, m), and df/dp of shape (n, k, m).

    The values at a node depend on that node only: shifting a component at all nodes at once gives
    its derivatives at all of them.
    """
    function = current(checked_function(fun, "solve_bvp"))

    def make() -> Any:
        inner = twin(function)

        def shifted(shift, x, y):  # type: ignore[no-untyped-def]
            return inner(x, y + shift.reshape((shift.size, 1)))

        def shifted_with(shift, p, x, y):  # type: ignore[no-untyped-def]
            return inner(x, y + shift.reshape((shift.size, 1)), p)

        return jacobian(shifted_with, (0, 1)) if with_parameters else jacobian(shifted)

    whole = remembered(function, ("solve_bvp", with_parameters), make)

    def at_nodes(x: Any, y: Any) -> Any:
        return np.swapaxes(whole(np.zeros(y.shape[0]), x, y), 1, 2)

    def at_nodes_with(x: Any, y: Any, p: Any) -> Any:
        by_y, by_p = whole(np.zeros(y.shape[0]), p, x, y)
        return np.swapaxes(by_y, 1, 2), np.swapaxes(by_p, 1, 2)

    return at_nodes_with if with_parameters else at_nodes
