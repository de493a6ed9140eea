"""The continuous adjoint: gradients of functionals of a trajectory by one backward integration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import integrate as scipy_integrate

from .activate import twin
from .composed import composed, evaluated
from .errors import ArgumentError, ConvergenceError
from .implicitmethods import is_implicit
from .making import checked_function, name_of
from .memoize import explained
from .memory import remembered
from .transforms import grad, jacobian, value_and_grad

__all__ = ["AdjointResult", "solve_ivp_adjoint"]


class AdjointResult(NamedTuple):
    """What `solve_ivp_adjoint` returns; described there."""

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
    rtol: float = 1e-6,
    atol: Any = 1e-9,
    adjoint_rtol: float | None = None,
    adjoint_atol: float = 1e-9,
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
        What else `fun`, `integrand` and `observation` take (data, say); not differentiated.
    integrand : function, optional
        ``g(t, y, p, *args)``, a number.
    observation : function, optional
        ``h(k, t, y, p, *args)``, a number: what the k-th observation adds to G.
    t_obs : array_like
        Times of the observations, in any order, within `t_span`.
    rtol, atol : float
        Tolerances of the forward integration.
    adjoint_rtol, adjoint_atol : float
        Those of the backward integration; `rtol` and 1e-9 if not given.

    Returns
    -------
    AdjointResult
        `value`: G. `grad_p`, `grad_y0`: dG/dp and dG/dy0. `y_obs` of shape (n, len(t_obs)).
        `forward`: SciPy's result of the forward integration, with dense output.
        `nfev_adjoint`: evaluations of the adjoint equations.

    Raises
    ------
    ArgumentError
        If there is no functional, or observations lie outside of `t_span`.
    ConvergenceError
        If an integration fails.
    UnsupportedFunctionError, MissingRuleError
        If a function has no derivative.

    Notes
    -----
    With ``H = lambda^T f + g`` the adjoint equations ``lambda' = -dH/dy``, ``mu' = -dH/dp`` run
    backward from 0; at an observation lambda and mu jump by its derivatives. ``dG/dy0`` is lambda
    and dG/dp is mu at the start. Both are under error control. The states are those of the forward
    integration's dense output, so its tolerance bounds the accuracy of the gradient. Cost: two
    integrations, whatever the number of parameters.

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
    >>> found = solve_ivp_adjoint(fun, (0.0, 1.0), [2.0], [0.5], observation=last, t_obs=[1.0])
    >>> bool(abs(found.grad_p[0] + 2.0 * np.exp(-0.5)) < 1e-4)
    True
    """
    y0, p = np.asarray(y0, float), np.asarray(p, float)
    times = _checked_times(t_span, t_obs)
    if integrand is None and observation is None:
        raise ArgumentError("solve_ivp_adjoint: expected an integrand, an observation, or both.")
    solver = {"method": method, **options}
    with explained("solve_ivp_adjoint"):
        problem = _Problem(fun, integrand, y0, p, args)
        forward = problem.forward(t_span, {**solver, "rtol": rtol, "atol": atol})
        seen = forward.sol(times)[: y0.size] if times.size else np.zeros((y0.size, 0))
        value, jumps = forward.y[-1, -1] if integrand is not None else 0.0, []
        if observation is not None:
            observed = value_and_grad(observation, (2, 3))
            for k, t in enumerate(map(float, times)):
                added, slopes = observed(k, t, seen[:, k].copy(), p, *args)
                value += added
                jumps.append((t, np.concatenate(slopes)))
        backward = {**solver, "rtol": adjoint_rtol or rtol, "atol": adjoint_atol}
        adjoint, count = problem.backward(t_span, forward.sol, jumps, backward)
    return AdjointResult(float(value), adjoint[y0.size :], adjoint[: y0.size], seen, forward, count)


def _checked_times(t_span: Any, t_obs: Any) -> Any:
    times = np.asarray(t_obs, float)
    if times.ndim != 1 or np.any(times < min(t_span)) or np.any(times > max(t_span)):
        raise ArgumentError(
            f"solve_ivp_adjoint: t_obs is {t_obs!r}; expected times within t_span {t_span!r}."
        )
    return times


class _Problem:
    """The forward and the adjoint system of one functional."""

    def __init__(self, fun: Any, integrand: Any, y0: Any, p: Any, args: tuple[Any, ...]) -> None:
        self.function = checked_function(fun, "solve_ivp_adjoint")
        self.integrand = integrand
        if integrand is not None:
            self.integrand = checked_function(integrand, "solve_ivp_adjoint")
        self.y0, self.p, self.args = y0, p, args

    def forward(self, t_span: Any, options: dict[str, Any]) -> Any:
        """Integrate the states, and the integral of g as one more."""
        fun, z0 = evaluated(self.function, "solve_ivp_adjoint"), self.y0
        if self.integrand is not None:
            key = ("with integral", self.integrand)
            fun = remembered(self.function, key, self._with_integral)
            z0 = np.append(z0, 0.0)
        if is_implicit(options["method"]):
            options["jac"] = jacobian(fun, 1)
        given = {"args": (self.p, *self.args), "dense_output": True, **options}
        return _finished(scipy_integrate.solve_ivp(fun, t_span, z0, **given), "forward")

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

    def backward(self, t_span: Any, sol: Any, jumps: Any, options: Any) -> tuple[Any, int]:
        """Integrate the adjoint equations over the pieces between observations."""
        n, p, args = self.y0.size, self.p, self.args
        key = ("adjoint", self.integrand)
        slopes = remembered(self.function, key, self._slopes)
        by_both = jacobian(self.function, (1, 2))

        start, end = map(float, t_span)
        forward = 1.0 if end >= start else -1.0
        adjoint, now, count = np.zeros(n + p.size), end, 0

        # Time is counted back from the last jump: steps there may be far below the spacing of t.
        def right_hand_side(back: float, adjoint: Any) -> Any:
            t = now - forward * back
            return forward * np.concatenate(slopes(sol(t)[:n], p, t, adjoint[:n], args))

        def jac(back: float, adjoint: Any) -> Any:
            t, out = now - forward * back, np.zeros((adjoint.size, adjoint.size))
            out[:, :n] = forward * np.concatenate(by_both(t, sol(t)[:n], p, *args), axis=1).T
            return out

        if is_implicit(options["method"]):
            options = {**options, "jac": jac}
        for t, added in sorted([*jumps, (start, 0.0)], key=lambda jump: -forward * jump[0]):
            if t != now:
                span = (0.0, abs(now - t))
                found = scipy_integrate.solve_ivp(right_hand_side, span, adjoint, **options)
                adjoint, now = _finished(found, "backward").y[:, -1], t
                count += found.nfev
            adjoint = adjoint + added
        return adjoint, count


def _finished(found: Any, direction: str) -> Any:
    if not found.success:
        raise ConvergenceError(
            f"solve_ivp_adjoint: the {direction} integration stopped at t = {found.t[-1]}: "
            f"{found.message}"
        )
    return found
