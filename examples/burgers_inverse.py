"""Recover the initial state and the viscosity of Burgers' equation from a few noisy sensors.

The equation u_t + (u^2 / 2)_x = nu u_xx on the periodic unit interval steepens waves into fronts;
what the sensors see later says little about details that have run into one.  Unknown are all the
values of the initial state on the grid and the logarithm of the viscosity nu.  Sought is what
minimizes

    sum of (u(t_k, x_s) - data)^2 / (2 noise^2) + smoothness / 2 * integral of (d2u/dx2)^2 at t = 0

by L-BFGS-B.  The gradient by all unknowns comes from one adjoint integration
(`dualtape.integrate.solve_ivp_adjoint`), whatever their number: `burgers` and `misfit` below are
all that is written for it.

Run it from anywhere, with dualtape and, for the figure, matplotlib installed::

    python examples/burgers_inverse.py
    python examples/burgers_inverse.py --n 48 --noise 0.1 --figure burgers.png
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

import dualtape as ad

try:
    from matplotlib.figure import Figure
except ImportError:
    Figure = None

VISCOSITY = 0.01
TIMES = np.linspace(0.025, 0.5, 20)
SMOOTHNESS = 2e-4
STATE_ERROR, VISCOSITY_ERROR = 0.1, 0.1  # relative; what counts as recovered


@njit(cache=True)
def burgers(t, u, p, sensors, data, noise):
    """Return du/dt on the grid; p holds the viscosity, and the last three are for `misfit`."""
    n = u.size
    out = np.empty(n)
    for i in range(n):
        left, right = u[i - 1], u[(i + 1) % n]
        convection = 0.25 * n * (right * right - left * left)
        out[i] = p[0] * n * n * (left - 2.0 * u[i] + right) - convection
    return out


@njit(cache=True)
def misfit(k, t, u, p, sensors, data, noise):
    """Return what the k-th observation adds to the sum."""
    s = 0.0
    for j in range(sensors.size):
        s += (u[sensors[j]] - data[k, j]) ** 2
    return 0.5 * s / noise**2


@njit(cache=True)
def roughness(u):
    """Return the integral of the square of the second derivative."""
    n = u.size
    s = 0.0
    for i in range(n):
        s += (u[i - 1] - 2.0 * u[i] + u[(i + 1) % n]) ** 2
    return s * n**3


def initial_state(n: int) -> np.ndarray:
    """Return the state that is to be recovered."""
    x = np.arange(n) / n
    return np.sin(2.0 * np.pi * x) + 0.5 * np.cos(4.0 * np.pi * x) + 0.3


@dataclass(frozen=True)
class Experiment:
    """Sensors (places on the grid), what they saw, and the standard deviation of its errors."""

    n: int
    sensors: np.ndarray
    data: np.ndarray
    noise: float

    @property
    def args(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Return what `burgers` and `misfit` take after the unknowns."""
        return self.sensors, self.data, self.noise

    def trajectory(self, unknowns: np.ndarray, times: np.ndarray) -> np.ndarray:
        """Return the states at some times, one in a row."""
        p = np.exp(unknowns[:1])
        found = ad.integrate.solve_ivp(
            burgers,
            (0.0, times[-1]),
            unknowns[1:],
            args=(p, *self.args),
            t_eval=times,
            rtol=1e-6,
            atol=1e-8,
        )
        return found.y.T

    def objective(self, unknowns: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the function to minimize and its gradient."""
        p, u = np.exp(unknowns[:1]), unknowns[1:]
        found = ad.integrate.solve_ivp_adjoint(
            burgers,
            (0.0, TIMES[-1]),
            u,
            p,
            self.args,
            observation=misfit,
            t_obs=TIMES,
            method="RK45",
            adjoint_rtol=1e-5,
            adjoint_atol=1e-4,
        )
        rough, slope = ad.value_and_grad(roughness)(u)
        gradient = np.concatenate([found.grad_p * p, found.grad_y0 + 0.5 * SMOOTHNESS * slope])
        return found.value + 0.5 * SMOOTHNESS * rough, gradient


def experiment(n: int, noise: float) -> Experiment:
    """Return an experiment with every fourth point observed."""
    sensors = np.arange(0, n, 4)
    blind = Experiment(n, sensors, np.zeros((TIMES.size, sensors.size)), noise)
    truth = np.concatenate([[np.log(VISCOSITY)], initial_state(n)])
    seen = blind.trajectory(truth, TIMES)[:, sensors]
    errors = noise * np.random.default_rng(0).normal(size=seen.shape)
    return Experiment(n, sensors, seen + errors, noise)


def recovered(given: Experiment, steps: int) -> tuple[np.ndarray, list[float]]:
    """Return the unknowns and the values of the objective on the way."""
    values: list[float] = []

    def report(intermediate_result) -> None:
        values.append(float(intermediate_result.fun))
        nu = np.exp(intermediate_result.x[0])
        show_progress(f"step {len(values)}: objective {values[-1]:.6g}, viscosity {nu:.5f}")

    found = ad.optimize.minimize(
        given.objective,
        np.concatenate([[np.log(5.0 * VISCOSITY)], np.zeros(given.n)]),
        jac=True,
        method="L-BFGS-B",
        callback=report,
        options={"maxiter": steps, "ftol": 1e-7, "gtol": 1e-3, "maxcor": 30},
    )
    return found.x, values


def show_progress(text: str) -> None:
    """Write what is running over the last such line; nothing unless a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def save_figure(path: str, given: Experiment, unknowns: np.ndarray, values: list[float]) -> str:
    """Draw the initial state, the last state and the objective; return what to tell about it."""
    if Figure is None:
        return "no figure: matplotlib is not installed"
    figure = Figure(figsize=(13.0, 4.0), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    x, truth = np.arange(given.n) / given.n, initial_state(given.n)
    left.plot(x, truth, color="0.6", linewidth=4, label="truth")
    left.plot(x, unknowns[1:], color="C3", label="recovered")
    left.set(title="initial state", xlabel="x")
    left.legend()
    states = given.trajectory(unknowns, TIMES)
    for k in (0, TIMES.size // 3, TIMES.size - 1):
        [line] = middle.plot(x, states[k], label=f"t = {TIMES[k]:.2f}")
        middle.plot(x[given.sensors], given.data[k], ".", color=line.get_color())
    middle.set(title="sensors and solution", xlabel="x")
    middle.legend()
    right.semilogy(np.arange(1, len(values) + 1), values)
    right.set(title="objective", xlabel="step")
    figure.savefig(path, dpi=120, format=None if Path(path).suffix else "png")
    return f"figure: {path}"


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--n", type=int, default=96, help="points of the grid; 96 by default")
    parser.add_argument("--noise", type=float, default=0.05, help="of the sensors; 0.05")
    parser.add_argument("--steps", type=int, default=300, help="of L-BFGS-B, at most; 300")
    parser.add_argument("--quick", action="store_true", help="a grid of 32 points")
    parser.add_argument(
        "--figure",
        default="burgers_inverse.png",
        metavar="PATH",
        help='where to save the figure, "" for none; burgers_inverse.png by default',
    )
    options = parser.parse_args(argv)
    if options.quick:
        options.n = 32
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Recover the unknowns, compare them with the truth and return 0 if they are near it."""
    options = parsed_arguments(argv)
    show_progress("compiling")
    begin = time.perf_counter()
    given = experiment(options.n, options.noise)
    unknowns, values = recovered(given, options.steps)
    show_progress("")
    truth, nu = initial_state(given.n), float(np.exp(unknowns[0]))
    error = float(np.linalg.norm(unknowns[1:] - truth) / np.linalg.norm(truth))
    seconds = time.perf_counter() - begin
    print(f"{given.data.size} observations with errors of {given.noise}, {given.n + 1} unknowns")
    print(f"objective {values[0]:.6g} -> {values[-1]:.6g} in {len(values)} steps, {seconds:.0f} s")
    print(f"viscosity {nu:.5f}, truth {VISCOSITY}")
    print(f"initial state: relative error {error:.3f}")
    if options.figure:
        print(save_figure(options.figure, given, unknowns, values))
    near = error < STATE_ERROR and abs(nu / VISCOSITY - 1.0) < VISCOSITY_ERROR
    return 0 if near else 1


if __name__ == "__main__":
    sys.exit(main())
