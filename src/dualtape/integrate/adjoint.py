"""The continuous adjoint: gradients of functionals of a trajectory by one backward integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import integrate as scipy_integrate
from scipy import sparse as scipy_sparse

from ..drivers.compose import compiled_function, composed
from ..drivers.factory import checked_function, name_of
from ..errors import ArgumentError
from ..functions.memo import current, remembered
from ..solvers.evaluation import explaining_errors
from ..solvers.matrix_form import checked_form, jacobian_for
from ..transforms.derivatives import grad, value_and_grad
from ..twin.activation import twin
from .jacobians import is_implicit, takes_sparse
from .trajectory import Trajectory, finished, on_states


class AdjointResult(NamedTuple):
    """The result of `solve_ivp_adjoint`; described there."""

    value: float
    grad_p: Any
    grad_y0: Any
    y_obs: Any
    forward: Any
    nfev_adjoint: int


def solve_ivp_adjoint(
    fun: Callable[..., Any],
    t_span: Any,
    y0: Any,
    p: Any,
    args: tuple[Any, ...] = (),
    *,
    integrand: Callable[..., Any] | None = None,
    observation: Callable[..., Any] | None = None,
    t_obs: Any = (),
    method: Any = "BDF",
    events: Any = None,
    rtol: float = 1e-6,
    atol: Any = 1e-9,
    adjoint_rtol: float | None = None,
    adjoint_atol: float = 1e-9,
    checkpoint_steps: int | None = None,
    sparse: bool | str = "auto",
    **options: Any,
) -> Any:
    """Compute a functional of the solution of an initial value problem, and its gradient.

    ``G = integral of g(t, y, p) dt + sum_k h(k, t_k, y(t_k), p)`` for ``y' = f(t, y, p)``.

    Parameters
    ----------
    fun : function
        ``fun(t, y, p, *args)`` returns an array; plain Python or njit.
    t_span, y0, method, **options
        As in `scipy.integrate.solve_ivp`.
    p : array_like of shape (k,)
        The parameters.
    args : tuple
        Further arguments of `fun`, `integrand` and `observation` (data, say); not differentiated.
    integrand : function, optional
        ``g(t, y, p, *args)``, a number.
    observation : function, optional
        ``h(k, t, y, p, *args)``, a number: the contribution of the k-th observation to G.
    t_obs : array_like
        Times of the observations, in any order, within `t_span`.
    events : function or list of functions, optional
        As in SciPy, called as ``event(t, y, p, *args)``. A terminal event ends the integral, and
        the dependence of its time on p and y0 is part of the gradient.
    rtol, atol : float
        Tolerances of the forward integration.
    adjoint_rtol, adjoint_atol : float
        Those of the backward integration; `rtol` and 1e-9 if not given.
    checkpoint_steps : int, optional
        The number of steps whose states are kept at a time: the solver is restarted after this
        number of steps, and the backward pass integrates from there once more. Some hundreds are
        sensible: multistep methods begin with twenty or more small steps. By default all are kept.
    sparse : bool or "auto"
        The form of Jacobians for 'BDF' and 'Radau', as in `solve_ivp`.

    Returns
    -------
    AdjointResult
        `value`: G. `grad_p`, `grad_y0`: dG/dp and dG/dy0. `y_obs` of shape (n, len(t_obs)).
        `forward`: SciPy's result of the forward integration, with dense output, or with
        checkpoints their times and states; the integral is the last component of the states.
        `nfev_adjoint`: evaluations of the adjoint equations.

    Raises
    ------
    ArgumentError
        If there is no functional, observations lie outside of `t_span` or after a terminal event,
        or an option is wrong.
    ConvergenceError
        If an integration fails.
    UnsupportedFunctionError, MissingRuleError
        If a function has no derivative.

    Notes
    -----
    With ``H = lambda^T f + g`` the adjoint equations ``lambda' = -dH/dy``, ``mu' = -dH/dp`` run
    backward from 0; at an observation lambda and mu jump by its derivatives. ``dG/dy0`` is lambda
    and dG/dp is mu at the start. Both are under error control. The states are those of the forward
    integration's dense output, so its tolerance bounds the accuracy of the gradient. Where an event
    e(t, y, p) = 0 ends the integral, lambda and mu begin with ``-g e_y / (e_t + e_y f)`` and
    ``-g e_p / (e_t + e_y f)``. Observations are at the fixed times of `t_obs`; derivatives at times
    that move with an event are those of `solve_ivp_sensitivity`'s ``event_sensitivities``. Cost:
    two integrations, with checkpoints three, whatever the number of parameters.

    References
    ----------
    Y. Cao, S. Li, L. Petzold and R. Serban, "Adjoint sensitivity analysis for differential-
    algebraic equations", SIAM J. Sci. Comput. 24 (2003) 1076-1089.

    Examples
    --------
    >>> import numpy as np
    >>> from dualtape.integrate import solve_ivp_adjoint
    >>> def fun(t, y, p):
    ...     return -p[0] * y
    >>> def last(k, t, y, p):
    ...     return y[0]
    >>> result = solve_ivp_adjoint(fun, (0.0, 1.0), [2.0], [0.5], observation=last, t_obs=[1.0])
    >>> bool(abs(result.grad_p[0] + 2.0 * np.exp(-0.5)) < 1e-4)
    True
    """
    y0, p = np.asarray(y0, float), np.asarray(p, float)
    times = _checked_times(t_span, t_obs)
    if integrand is None and observation is None:
        raise ArgumentError("solve_ivp_adjoint: expected an integrand, an observation, or both.")
    steps = _checked_steps(checkpoint_steps, events)
    solver = {"method": method, **options}
    with explaining_errors("solve_ivp_adjoint"):
        form = takes_sparse(method) and checked_form("solve_ivp_adjoint", sparse)
        problem = _Problem(fun, integrand, y0, p, args, form)
        forward = {**solver, "rtol": rtol, "atol": atol, "events": on_states(events, y0.size)}
        trajectory = problem.forward(t_span, forward, times, steps)
        trajectory.check(times)
        result, y_obs = trajectory.result, trajectory.states[: y0.size]
        value, jumps = result.y[-1, -1] if integrand is not None else 0.0, []
        if observation is not None:
            observed = value_and_grad(observation, (2, 3))
            for k, t in enumerate(map(float, times)):
                added, slopes = observed(k, t, y_obs[:, k].copy(), p, *args)
                value += added
                jumps.append((t, np.concatenate(slopes)))
        backward = {**solver, "rtol": adjoint_rtol or rtol, "atol": adjoint_atol}
        last = problem.at_event(result, events)
        adjoint, count = problem.backward(trajectory, last, jumps, backward)
    return AdjointResult(float(value), adjoint[y0.size :], adjoint[: y0.size], y_obs, result, count)


def _checked_steps(steps: Any, events: Any) -> Any:
    if steps is None:
        return None
    if type(steps) is not int or steps < 1:
        raise ArgumentError(
            f"solve_ivp_adjoint: checkpoint_steps is {steps!r}; expected a positive integer."
        )
    if any(getattr(event, "terminal", 0) > 1 for event in _as_list(events)):
        raise ArgumentError(
            "solve_ivp_adjoint: with checkpoints, events end the integration when they first occur "
            "or not at all."
        )
    return steps


def _as_list(events: Any) -> list[Any]:
    if events is None:
        return []
    return [events] if callable(events) else list(events)


def _checked_times(t_span: Any, t_obs: Any) -> Any:
    times = np.asarray(t_obs, float)
    if times.ndim != 1 or np.any(times < min(t_span)) or np.any(times > max(t_span)):
        raise ArgumentError(
            f"solve_ivp_adjoint: t_obs is {t_obs!r}; expected times within t_span {t_span!r}."
        )
    return times


class _Problem:
    """The forward and the adjoint system of one functional."""

    def __init__(
        self, fun: Any, integrand: Any, y0: Any, p: Any, args: tuple[Any, ...], sparse: Any
    ) -> None:
        self.function = current(checked_function(fun, "solve_ivp_adjoint"))
        self.integrand = integrand
        if integrand is not None:
            self.integrand = current(checked_function(integrand, "solve_ivp_adjoint"))
        self.y0, self.p, self.args, self.sparse = y0, p, args, sparse

    def forward(self, t_span: Any, options: dict[str, Any], times: Any, steps: int | None) -> Any:
        """Integrate the states, with the integral of g as an additional one."""
        fun, z0 = compiled_function(self.function, "solve_ivp_adjoint"), self.y0
        if self.integrand is not None:
            key = ("with integral", self.integrand)
            fun = remembered(self.function, key, self._with_integral)
            z0 = np.append(z0, 0.0)
        if is_implicit(options["method"]):
            options["jac"] = jacobian_for(fun, 1, sparse=self.sparse)
        options["args"] = (self.p, *self.args)
        return Trajectory("solve_ivp_adjoint", fun, t_span, z0, options, times, steps)

    def at_event(self, result: Any, events: Any) -> Any:
        """Return the adjoint at the end: not 0 if an event determines when the integral ends."""
        n = self.y0.size
        if result.status != 1 or self.integrand is None:
            return np.zeros(n + self.p.size)
        t, y = float(result.t[-1]), result.y[:n, -1].copy()
        [event] = (
            event
            for event, times in zip(_as_list(events), result.t_events, strict=True)
            if getattr(event, "terminal", False) and times.size and times[-1] == t
        )
        arguments = t, y, self.p, *self.args
        by_t, by_y, by_p = grad(event, (0, 1, 2))(*arguments)
        rate = by_t + by_y @ compiled_function(self.function, "solve_ivp_adjoint")(*arguments)
        g = compiled_function(self.integrand, "solve_ivp_adjoint")(*arguments)
        return -g / rate * np.concatenate([by_y, by_p])

    def _with_integral(self) -> Any:
        f, g = twin(self.function), twin(self.integrand)

        def extended(t, z, p, *args):  # type: ignore[no-untyped-def]
            y = z[: z.size - 1]
            out = np.empty(z.size)
            out[: z.size - 1] = f(t, y, p, *args)
            out[z.size - 1] = g(t, y, p, *args)
            return out

        name = f"{name_of(self.function)} with {name_of(self.integrand)}"
        return composed(lambda _: extended, extended, (), name)

    def _slopes(self) -> Any:
        """Return the gradient of H by (y, p)."""
        f = twin(self.function)
        if self.integrand is None:

            def hamiltonian(y, p, t, weights, args):  # type: ignore[no-untyped-def]
                return np.sum(weights * f(t, y, p, *args))

            return grad(hamiltonian, (0, 1))
        g = twin(self.integrand)

        def with_integrand(y, p, t, weights, args):  # type: ignore[no-untyped-def]
            return np.sum(weights * f(t, y, p, *args)) + g(t, y, p, *args)

        return grad(with_integrand, (0, 1))

    def backward(
        self, trajectory: Trajectory, last: Any, jumps: Any, options: Any
    ) -> tuple[Any, int]:
        """Integrate the adjoint equations over the pieces between observations."""
        n, p, args, forward = self.y0.size, self.p, self.args, trajectory.direction
        slopes = remembered(self.function, ("adjoint", self.integrand), self._slopes)
        by_both = jacobian_for(self.function, (1, 2), sparse=self.sparse)
        adjoint, now, count = last, trajectory.end, 0
        states: Any = None

        # Time is counted from the last jump: steps there may be far below the resolution of t.
        def right_hand_side(back: float, adjoint: Any) -> Any:
            t = now - forward * back
            return forward * np.concatenate(slopes(states(t)[:n], p, t, adjoint[:n], args))

        def jac(back: float, adjoint: Any) -> Any:
            t = now - forward * back
            return forward * _of_adjoint(by_both(t, states(t)[:n], p, *args))

        if is_implicit(options["method"]):
            options = {**options, "jac": jac}
        jumps = sorted(jumps, key=lambda jump: forward * jump[0])
        for start, sol in trajectory.backward():
            states, stops = sol, [(start, 0.0)]
            while jumps and forward * jumps[-1][0] >= forward * start:
                stops.insert(-1, jumps.pop())
            for t, added in stops:
                if t != now:
                    span = (0.0, abs(now - t))
                    result = scipy_integrate.solve_ivp(right_hand_side, span, adjoint, **options)
                    adjoint = finished("solve_ivp_adjoint", result, "backward").y[:, -1]
                    now, count = t, count + result.nfev
                adjoint = adjoint + added
        return adjoint, count


def _of_adjoint(jacobian: Any) -> Any:
    """Return the Jacobian of the (linear) adjoint equations from that of f by (y, p)."""
    if scipy_sparse.issparse(jacobian):
        n, columns = jacobian.shape
        padded = scipy_sparse.csc_array((columns, columns - n))
        return scipy_sparse.hstack([jacobian.T, padded], format="csc")
    whole = np.concatenate(jacobian, axis=1).T
    out = np.zeros((len(whole), len(whole)))
    out[:, : whole.shape[1]] = whole
    return out
