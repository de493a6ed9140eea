"""The trajectory of an initial value problem along which derivatives are taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import integrate as scipy_integrate

from ..errors import ArgumentError, ConvergenceError


def on_states(events: Any, n: int) -> Any:
    """Return events that are functions of the first n unknowns of a larger system."""
    if events is None:
        return None

    def on_first(event: Any) -> Any:
        def restricted(t: Any, z: Any, *args: Any) -> Any:
            return event(t, z[:n], *args)

        for name in ("terminal", "direction"):
            if hasattr(event, name):
                setattr(restricted, name, getattr(event, name))
        return restricted

    return on_first(events) if callable(events) else [on_first(event) for event in events]


class Piece(NamedTuple):
    """Some steps of a solution; `sol` is None if they are repeated when needed."""

    start: float
    end: float
    z: Any
    sol: Callable[[Any], Any] | None


class Trajectory:
    """A solution by `scipy.integrate.solve_ivp`, whose steps can be visited backward.

    Parameters
    ----------
    kind : str
        The calling function, for messages.
    fun, t_span, z0, options
        As in `solve_ivp`, events included.
    times : array
        The times of observations.
    steps : int, optional
        The number of steps to keep at a time. The solver is restarted after this number of steps;
        from there it repeats the same steps when they are needed.

    Attributes
    ----------
    result : Bunch object
        As in SciPy; for several pieces, t and y are their starting points and the end, and sol is
        None.
    states : array
        The states at `times`.
    """

    def __init__(
        self,
        kind: str,
        fun: Any,
        t_span: Any,
        z0: Any,
        options: dict[str, Any],
        times: Any,
        steps: int | None = None,
    ) -> None:
        self._kind, self._fun, self._options, self._steps = kind, fun, options, steps
        self._bound = float(t_span[1])
        self.start, self.end = map(float, t_span)
        self.direction = 1.0 if self.end >= self.start else -1.0
        self.states = np.zeros((z0.size, times.size))
        self._pieces: list[Piece] = []
        self.result = self._solved(z0, times)

    def _solved(self, z: Any, times: Any) -> Any:
        t, results = self.start, []
        while True:
            result = self._run(t, z)
            last = float(result.t[-1])
            inside = (self.direction * times >= self.direction * t) & (
                self.direction * times <= self.direction * last
            )
            if np.any(inside):
                self.states[:, inside] = result.sol(times[inside])
            self._pieces.append(Piece(t, last, z, result.sol if self._steps is None else None))
            results.append(result)
            if result.status == 1 or last == self._bound:
                self.end = last
                return result if self._steps is None else _concatenated(results, self._pieces)
            t, z = last, result.y[:, -1]

    def _run(self, t: float, z: Any, **more: Any) -> Any:
        options = {**self._options, **more}
        if self._steps is not None:
            options["method"] = _limited(options["method"], self._steps)
        span = t, self._bound
        result = scipy_integrate.solve_ivp(self._fun, span, z, dense_output=True, **options)
        return finished(self._kind, result, "forward")

    def backward(self) -> Iterator[tuple[float, Callable[[Any], Any]]]:
        """Iterate over the pieces, the last one first: start and dense output of each."""
        for piece in reversed(self._pieces):
            sol = piece.sol or self._run(piece.start, piece.z, events=None).sol
            yield piece.start, sol

    def check(self, times: Any) -> None:
        """Raise an error if an event ended the integration before one of these times."""
        if np.any(self.direction * times > self.direction * self.end):
            raise ArgumentError(
                f"{self._kind}: an event ended the integration at t = {self.end}, before the "
                f"observations at {times}; observe earlier, or let the event not be terminal."
            )


def finished(kind: str, result: Any, direction: str) -> Any:
    """Return SciPy's result, or raise if the integration failed."""
    if not result.success:
        raise ConvergenceError(
            f"{kind}: the {direction} integration stopped at t = {result.t[-1]}: {result.message}"
        )
    return result


def _limited(method: Any, steps: int) -> Any:
    """Return a solver that ends after a number of steps, wherever it is then."""
    base: Any = getattr(scipy_integrate, method) if isinstance(method, str) else method

    class Limited(base):
        _remaining = steps

        def _step_impl(self) -> Any:
            success, message = super()._step_impl()
            self._remaining -= 1
            if success and self._remaining == 0:
                self.t_bound = self.t
            return success, message

    return Limited


def _concatenated(results: list[Any], pieces: list[Piece]) -> Any:
    """Return the results of all pieces as one."""
    whole = results[-1]
    whole.t = np.array([*(piece.start for piece in pieces), pieces[-1].end])
    whole.y = np.stack([*(piece.z for piece in pieces), whole.y[:, -1]], axis=1)
    whole.sol = None
    for name in ("nfev", "njev", "nlu"):
        setattr(whole, name, sum(getattr(result, name) for result in results))
    if whole.t_events is not None:
        for name in ("t_events", "y_events"):
            of_all = zip(*(getattr(result, name) for result in results), strict=True)
            parts = ([part for part in event if len(part)] for event in of_all)
            setattr(whole, name, [np.concatenate(p) if p else np.array([]) for p in parts])
    return whole
