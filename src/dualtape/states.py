"""The states of an initial value problem that derivatives are taken along: stored or recomputed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy import integrate as scipy_integrate

from .errors import ArgumentError, ConvergenceError

__all__ = ["Trajectory", "finished", "of_states"]


def of_states(events: Any, n: int) -> Any:
    """Return events of a larger system that see its first n unknowns."""
    if events is None:
        return None

    def of_first(event: Any) -> Any:
        def seen(t: Any, z: Any, *args: Any) -> Any:
            return event(t, z[:n], *args)

        for name in ("terminal", "direction"):
            if hasattr(event, name):
                setattr(seen, name, getattr(event, name))
        return seen

    return of_first(events) if callable(events) else [of_first(event) for event in events]


class Piece(NamedTuple):
    """Some steps of a solution; `sol` is None if they are to be repeated when they are needed."""

    start: float
    end: float
    z: Any
    sol: Callable[[Any], Any] | None


class Trajectory:
    """A solution by `scipy.integrate.solve_ivp`, whose steps can be visited from the last one on.

    Parameters
    ----------
    kind : str
        Who asks, for messages.
    fun, t_span, z0, options
        As in `solve_ivp`, events included.
    times : array
        Where states are wanted.
    steps : int, optional
        Keep so many steps at a time. The solver begins anew after every so many of them; from there
        it takes the same steps again when they are needed.

    Attributes
    ----------
    found : Bunch object
        As in SciPy; of several pieces, t and y are where these begin, and the end, and sol is None.
    seen : array
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
        self.seen = np.zeros((z0.size, times.size))
        self._pieces: list[Piece] = []
        self.found = self._solved(z0, times)

    def _solved(self, z: Any, times: Any) -> Any:
        t, results = self.start, []
        while True:
            found = self._run(t, z)
            last = float(found.t[-1])
            inside = (self.direction * times >= self.direction * t) & (
                self.direction * times <= self.direction * last
            )
            if np.any(inside):
                self.seen[:, inside] = found.sol(times[inside])
            self._pieces.append(Piece(t, last, z, found.sol if self._steps is None else None))
            results.append(found)
            if found.status == 1 or last == self._bound:
                self.end = last
                return found if self._steps is None else _joined(results, self._pieces)
            t, z = last, found.y[:, -1]

    def _run(self, t: float, z: Any, **more: Any) -> Any:
        options = {**self._options, **more}
        if self._steps is not None:
            options["method"] = _limited(options["method"], self._steps)
        span = t, self._bound
        found = scipy_integrate.solve_ivp(self._fun, span, z, dense_output=True, **options)
        return finished(self._kind, found, "forward")

    def backward(self) -> Iterator[tuple[float, Callable[[Any], Any]]]:
        """Go through the pieces, the last one first: where one begins, and its states."""
        for piece in reversed(self._pieces):
            sol = piece.sol or self._run(piece.start, piece.z, events=None).sol
            yield piece.start, sol

    def check(self, times: Any) -> None:
        """Raise an error if an event came before one of some times."""
        if np.any(self.direction * times > self.direction * self.end):
            raise ArgumentError(
                f"{self._kind}: an event ended the integration at t = {self.end}, before the "
                f"observations at {times}; observe earlier, or let the event not be terminal."
            )


def finished(kind: str, found: Any, direction: str) -> Any:
    """Return SciPy's result, if there is one."""
    if not found.success:
        raise ConvergenceError(
            f"{kind}: the {direction} integration stopped at t = {found.t[-1]}: {found.message}"
        )
    return found


def _limited(method: Any, steps: int) -> Any:
    """Return a solver that has arrived after a number of steps, wherever it is then."""
    base: Any = getattr(scipy_integrate, method) if isinstance(method, str) else method

    class Limited(base):
        _left = steps

        def _step_impl(self) -> Any:
            success, message = super()._step_impl()
            self._left -= 1
            if success and self._left == 0:
                self.t_bound = self.t
            return success, message

    return Limited


def _joined(results: list[Any], pieces: list[Piece]) -> Any:
    """Return one result for all pieces."""
    joined = results[-1]
    joined.t = np.array([*(piece.start for piece in pieces), pieces[-1].end])
    joined.y = np.stack([*(piece.z for piece in pieces), joined.y[:, -1]], axis=1)
    joined.sol = None
    for name in ("nfev", "njev", "nlu"):
        setattr(joined, name, sum(getattr(found, name) for found in results))
    if joined.t_events is not None:
        for name in ("t_events", "y_events"):
            of_all = zip(*(getattr(found, name) for found in results), strict=True)
            parts = ([part for part in event if len(part)] for event in of_all)
            setattr(joined, name, [np.concatenate(p) if p else np.array([]) for p in parts])
    return joined
