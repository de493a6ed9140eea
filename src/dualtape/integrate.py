"""SciPy's integrators with exact derivatives filled in, and derivatives of their results.

``from dualtape.integrate import solve_ivp``: signatures, defaults and results of `solve_ivp`,
`solve_bvp`, `odeint` and `quad` are those of `scipy.integrate`.  Implicit methods get the Jacobian
of the right-hand side, `solve_bvp` those of equations and boundary conditions; explicit methods
are called as they are.  `quad` can be differentiated; `solve_ivp_sensitivity` and
`solve_ivp_adjoint` differentiate solutions of initial value problems.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import integrate as scipy_integrate

from .activate import twin
from .adjoint import solve_ivp_adjoint
from .composed import evaluated
from .forms import checked_form
from .implicitmethods import filled_in
from .making import checked_function
from .memoize import explained
from .memory import current, remembered
from .quadrature import quad
from .sensitivity import solve_ivp_sensitivity
from .transforms import jacobian

__all__ = [
    "odeint",
    "quad",
    "solve_bvp",
    "solve_ivp",
    "solve_ivp_adjoint",
    "solve_ivp_sensitivity",
]

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
        As in SciPy. For 'Radau', 'BDF' and 'LSODA' the Jacobian is filled in, unless `jac` is
        given, or `jac_sparsity`, `lband` or `uband`, which describe another form of it.
    sparse : bool or "auto"
        Whether 'Radau' and 'BDF' get it as a ``csr_array``. "auto": for more than 100 states, if at
        most a tenth of the entries is stored at the start. Its pattern may change on the way.

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
    with explained("solve_ivp"):
        n = np.size(y0)
        form = checked_form("solve_ivp", sparse)
        fun, options = filled_in(fun, method, n, options, vectorized=vectorized, sparse=form)
        return scipy_integrate.solve_ivp(
            fun, t_span, y0, method, t_eval, dense_output, events, vectorized, args, **options
        )


def odeint(
    func: Function,
    y0: Any,
    t: Any,
    args: tuple[Any, ...] = (),
    Dfun: Any = None,  # SciPy's name
    col_deriv: Any = 0,
    *positional: Any,
    tfirst: bool = False,
    **named: Any,
) -> Any:
    """Integrate with LSODA: `scipy.integrate.odeint` with the exact Jacobian.

    Parameters
    ----------
    func : function
        ``func(y, t, *args)``, or ``func(t, y, *args)`` with `tfirst`; plain Python or njit.
    y0, t, args, col_deriv, *positional, tfirst, **named
        As in SciPy. With `ml` or `mu` the Jacobian is banded, and none is filled in.
    Dfun : function, optional
        As in SciPy; filled in if not given.

    Returns
    -------
    y, infodict
        As in SciPy.

    Raises
    ------
    UnsupportedFunctionError, MissingRuleError
        If `func` has no derivative.

    Examples
    --------
    >>> import numpy as np
    >>> from dualtape.integrate import odeint
    >>> odeint(lambda y, t: -y, [1.0], np.array([0.0, 1.0]), rtol=1e-10)[1].round(6)
    array([0.367879])
    """
    banded = len(positional) > 1 or not {"ml", "mu"}.isdisjoint(named)
    with explained("odeint"):
        if Dfun is None and not banded:
            whole = jacobian(func, 1 if tfirst else 0)
            func = evaluated(func, "odeint")

            def Dfun(*given: Any) -> Any:
                found = whole(*given)
                return np.transpose(found) if col_deriv else found

        return scipy_integrate.odeint(
            func, y0, t, args, Dfun, col_deriv, *positional, tfirst=tfirst, **named
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
    **named: Any,
) -> Any:
    """Solve a boundary value problem: `scipy.integrate.solve_bvp` with exact Jacobians.

    Parameters
    ----------
    fun : function
        ``fun(x, y)`` or ``fun(x, y, p)``: for all nodes x of shape (m,) at once, y of shape (n, m);
        plain Python or njit.
    bc : function
        ``bc(ya, yb)`` or ``bc(ya, yb, p)``, plain Python or njit.
    x, y, p, S, *positional, **named
        As in SciPy.
    fun_jac, bc_jac : function, optional
        As in SciPy; each is filled in if not given.

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
    with explained("solve_bvp"):
        if fun_jac is None:
            fun_jac = _jacobians_at_nodes(fun, with_parameters=p is not None)
            fun = evaluated(fun, "solve_bvp")
        if bc_jac is None:
            bc_jac = jacobian(bc, (0, 1) if p is None else (0, 1, 2))
        return scipy_integrate.solve_bvp(fun, bc, x, y, p, S, fun_jac, bc_jac, *positional, **named)


def _jacobians_at_nodes(fun: Any, *, with_parameters: bool) -> Function:
    """Return what gives df/dy of shape (n, n, m), and df/dp of shape (n, k, m).

    A node's values depend on that node only: a shift of a component at all nodes at once has its
    derivatives at all of them.
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
