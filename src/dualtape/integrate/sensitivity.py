"""Forward sensitivities: the solution of an initial value problem with its derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import integrate as scipy_integrate
from scipy import sparse

from ..backend.jit import generic
from ..drivers.compose import composed
from ..drivers.factory import cached, checked_function, name_of
from ..errors import ArgumentError
from ..functions.memo import current, remembered
from ..solvers.evaluation import explaining_errors
from ..transforms.derivatives import grad, jacobian, value_and_jacobian
from ..twin.activation import twin
from .jacobians import is_implicit, takes_sparse
from .trajectory import on_states

DENSE = 60
"""Unknowns up to which a dense matrix of the augmented system is faster than a sparse one."""


def solve_ivp_sensitivity(
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    p: Any,
    args: tuple[Any, ...] = (),
    *,
    dy0_dp: Any = None,
    method: Any = "LSODA",
    t_eval: Any = None,
    dense_output: bool = False,
    events: Any = None,
    rtol: float = 1e-6,
    atol: Any = 1e-9,
    **options: Any,
) -> Any:
    """Solve an initial value problem together with its sensitivities to parameters.

    With ``S = dy/dp`` it solves ``y' = f(t, y, p)``, ``S' = (df/dy) S + df/dp``.

    Parameters
    ----------
    fun : function
        ``fun(t, y, p, *args)`` returns an array; plain Python or njit.
    t_span, y0, method, t_eval, dense_output, rtol, **options
        As in `scipy.integrate.solve_ivp`.
    p : array_like of shape (k,)
        The parameters.
    args : tuple
        Further arguments of `fun` and events; not differentiated.
    dy0_dp : array_like of shape (n, k), optional
        Derivatives of the initial values; 0 by default.
    events : function or list of functions, optional
        As in SciPy, called as ``event(t, y, p, *args)``.
    atol : float or array_like of shape (n,)
        Absolute tolerance of y; that of ``dy_i/dp_j`` is ``atol_i / |p_j|``, or ``atol_i`` for
        p_j = 0.

    Returns
    -------
    Bunch object
        As in SciPy, with `y` of shape (n, T) and `dy_dp` of shape (n, k, T); with `dense_output`,
        ``sol(t)`` and ``sol_dy_dp(t)``. For every event of E occurrences `y_events` (E, n) and
        `dy_dp_events` (E, n, k), the derivatives at fixed time; ``event_sensitivities()`` returns
        the total ones, by which the event's time moves: lists of dt/dp (E, k) and dy/dp (E, n, k).

    Raises
    ------
    ArgumentError
        If the shapes of y0, p and dy0_dp do not match.
    UnsupportedFunctionError, MissingRuleError
        If `fun` has no derivative.

    Notes
    -----
    The step size is controlled by the errors of states and sensitivities. Cost: one right-hand side
    is ceil(k / 8) sweeps. Implicit methods get the block diagonal part of the Jacobian, which is
    that of `fun` k + 1 times: Newton's method converges as fast as with the full Jacobian.

    An event g(t, y, p) = 0 occurs at t(p) with ``dt/dp = -(g_y S + g_p) / (g_t + g_y f)``, and the
    state there has the total derivative ``S + f dt/dp``. (Where g touches zero without crossing it
    the denominator vanishes, and these are infinite.)

    References
    ----------
    W. F. Feehery, J. E. Tolsma and P. I. Barton, "Efficient sensitivity analysis of large-scale
    differential-algebraic systems", Appl. Numer. Math. 25 (1997) 41-54.

    Examples
    --------
    >>> import numpy as np
    >>> from dualtape.integrate import solve_ivp_sensitivity
    >>> result = solve_ivp_sensitivity(lambda t, y, p: -p[0] * y, (0.0, 1.0), [2.0], [0.5])
    >>> bool(abs(result.dy_dp[0, 0, -1] + 2.0 * np.exp(-0.5)) < 1e-4)
    True
    """
    y0, p = np.asarray(y0, float), np.asarray(p, float)
    n, k = y0.size, p.size
    start = np.zeros((n, k)) if dy0_dp is None else np.asarray(dy0_dp, float)
    if y0.shape != (n,) or p.shape != (k,) or start.shape != (n, k):
        raise ArgumentError(
            f"solve_ivp_sensitivity: y0 has shape {y0.shape}, p {p.shape}, dy0_dp {start.shape}; "
            "expected (n,), (k,) and (n, k)."
        )
    augmented = _augmented(fun)

    def right_hand_side(t: Any, z: Any, p: Any, *args: Any) -> Any:
        return augmented(t, z, p, args)

    if is_implicit(method) and options.get("jac") is None:
        dense = n * (k + 1) <= DENSE or not takes_sparse(method)
        options["jac"] = _block_diagonal(fun, k, dense=dense)
    scale = np.where(p == 0.0, 1.0, np.abs(p))
    atol = np.broadcast_to(np.asarray(atol, float), (n,))
    tolerance = np.concatenate([atol, (atol[:, None] / scale).ravel()])
    with explaining_errors("solve_ivp_sensitivity"):
        result = scipy_integrate.solve_ivp(
            right_hand_side,
            t_span,
            np.concatenate([y0, start.ravel()]),
            method,
            t_eval,
            dense_output,
            on_states(events, n),
            args=(p, *args),
            rtol=rtol,
            atol=tolerance,
            **options,
        )
    result = _split(result, n, k)
    if events is not None:
        known = [events] if callable(events) else list(events)
        result.event_sensitivities = _EventSensitivities(result, fun, known, p, args)
    return result


@generic
def unpacked(z: Any, p: Any) -> Any:
    """Return a zero for each of the k parameters, the n states and their n x k sensitivities."""
    n = z.size // (p.size + 1)
    return np.zeros(p.size), z[:n], z[n:].reshape((n, p.size))


@generic
def packed(pair: Any) -> Any:
    """Return n values and their n x k derivatives as one vector."""
    value, slopes = pair
    n, k = slopes.shape
    out = np.empty(n * (k + 1))
    for i in range(n):
        out[i] = value[i]
        for j in range(k):
            out[n + i * k + j] = slopes[i, j]
    return out


def _augmented(fun: Any) -> Any:
    """Return the compiled (t, z, p, args) -> z' of states and sensitivities.

    In the direction s of the parameters f has the derivative (df/dy S + df/dp) s: one sweep of
    dual numbers computes f and the right-hand sides for eight columns of S.
    """
    function = current(checked_function(fun, "solve_ivp_sensitivity"))

    def make() -> Any:
        inner = twin(function)

        def shifted(s, t, y, sensitivity, p, args):  # type: ignore[no-untyped-def]
            return inner(t, y + sensitivity @ s, p + s, *args)

        both = value_and_jacobian(shifted).inner

        def augmented(t, z, p, args):  # type: ignore[no-untyped-def]
            zeros, y, sensitivity = unpacked(z, p)
            return packed(both(zeros, t, y, sensitivity, p, args))

        name = f"sensitivity of {name_of(function)}"
        return cached(composed(lambda _: augmented, augmented, (), name), function, "sensitivity")

    return remembered(function, "sensitivity", make)


def _block_diagonal(fun: Any, k: int, *, dense: bool) -> Callable[..., Any]:
    """Return the Jacobian of the augmented system without its dependence of S' on y."""
    by_y = jacobian(fun, 1)

    def jac(t: Any, z: Any, p: Any, *args: Any) -> Any:
        n = z.size // (k + 1)
        block = by_y(t, z[:n], p, *args)
        if not dense:
            return sparse.block_diag([block, sparse.kron(block, sparse.eye(k))], format="csc")
        out = np.zeros((z.size, z.size))
        out[:n, :n] = block
        columns = out[n:, n:].reshape(n, k, n, k)
        for j in range(k):
            columns[:, j, :, j] = block
        out[n:, n:] = columns.reshape(n * k, n * k)
        return out

    return jac


def _split(result: Any, n: int, k: int) -> Any:
    """Return SciPy's result with states and sensitivities separated."""
    whole = np.reshape(result.y, (n * (k + 1), -1))
    result.y, result.dy_dp = whole[:n], whole[n:].reshape(n, k, -1)
    if result.y_events is not None:
        events = [np.reshape(z, (-1, n * (k + 1))) for z in result.y_events]
        result.y_events = [z[:, :n] for z in events]
        result.dy_dp_events = [z[:, n:].reshape(-1, n, k) for z in events]
    if result.sol is not None:
        result.sol, result.sol_dy_dp = _States(result.sol, n), _Sensitivities(result.sol, n, k)
    return result


class _EventSensitivities(NamedTuple):
    """The derivatives of the times of events, and the total ones of the states there."""

    result: Any
    fun: Any
    events: list[Any]
    p: Any
    args: tuple[Any, ...]

    def __call__(self) -> tuple[list[Any], list[Any]]:
        result = self.result
        parts = zip(self.events, result.t_events, result.y_events, result.dy_dp_events, strict=True)
        with explaining_errors("solve_ivp_sensitivity"):
            moved = [self._of_event(*part) for part in parts]
        return [by_time for by_time, _ in moved], [total for _, total in moved]

    def _of_event(self, event: Any, times: Any, states: Any, slopes: Any) -> tuple[Any, Any]:
        slopes_of_event = grad(event, argnums=(0, 1, 2))
        by_time = np.empty((len(times), self.p.size))
        total = np.empty_like(slopes)
        for i, (t, y, slope) in enumerate(zip(times, states, slopes, strict=True)):
            by_t, by_y, by_p = slopes_of_event(t, y, self.p, *self.args)
            rate = np.asarray(self.fun(t, y, self.p, *self.args))
            by_time[i] = -(by_y @ slope + by_p) / (by_t + by_y @ rate)
            total[i] = slope + np.outer(rate, by_time[i])
        return by_time, total


class _States(NamedTuple):
    """The first n unknowns of a solution at all times."""

    sol: Callable[[Any], Any]
    n: int

    def __call__(self, t: Any) -> Any:
        return self.sol(t)[: self.n]


class _Sensitivities(NamedTuple):
    """The remaining unknowns at all times, for k parameters."""

    sol: Callable[[Any], Any]
    n: int
    k: int

    def __call__(self, t: Any) -> Any:
        return self.sol(t)[self.n :].reshape(self.n, self.k, *np.shape(t))
