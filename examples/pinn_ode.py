"""Solve differential equations with a small neural network: physics-informed, in plain Numba code.

A network u(x) of two hidden layers of tanh is trained so that the equation holds at points of the
interval.  Derivatives by x are taken by `ad.derivative` inside of the residuals (dual and
hyper-dual numbers), those by the parameters go through these, in reverse mode for the loss and in
whole Jacobians for the residuals; nothing is written twice.

* oscillator: u'' + u = 0, u(0) = 0, u(1) = sin 1; the solution is sin x.
* logistic: u' = r u (1 - u), whose rate r is unknown and estimated together with the network from
  noisy data.

Each is trained three times from the same parameters: by Adam, as tutorials do, by L-BFGS-B, and by
`least_squares`, which sees every residual instead of the sum of their squares and reaches an error
below 1e-6 with the oscillator.

Run it from anywhere, with dualtape and, for the figure, matplotlib installed::

    python examples/pinn_ode.py
    python examples/pinn_ode.py --problem logistic --trainers least_squares
"""

from __future__ import annotations

import argparse
import inspect
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from scipy import optimize

import dualtape as ad

try:
    from matplotlib.figure import Figure
except ImportError:
    Figure = None

WIDTH = 8
SIZE = WIDTH * (WIDTH + 4) + 1
RATE, FIRST, NOISE = 1.5, 0.1, 0.02  # what the data of the logistic problem are made with
ACCURACY = 1e-6


# The network: plain functions of numbers and arrays.


@njit
def dense(weights, bias, h):
    """Return weights @ h + bias."""
    out = np.empty_like(bias)
    for i in range(bias.size):
        out[i] = bias[i]
        for j in range(h.size):
            out[i] += weights[i, j] * h[j]
    return out


@njit
def network(x, layers):
    """Return u(x) of one number; layers are the arrays that `unpacked` returns."""
    w1, b1, w2, b2, w3, b3 = layers
    h = np.tanh(w1 * x + b1)
    h = np.tanh(dense(w2, b2, h))
    return np.sum(w3 * h) + b3[0]


@njit
def unpacked(theta):
    """Return weights and biases as arrays, from all parameters in a row."""
    w1, b1, b2, w3 = theta[: 4 * WIDTH].reshape(4, WIDTH)
    w2 = theta[4 * WIDTH : SIZE - 1].reshape(WIDTH, WIDTH)
    return w1, b1, w2, b2, w3, theta[SIZE - 1 : SIZE]


def parameters(rng: np.random.Generator) -> np.ndarray:
    """Return random parameters: weights that keep the size of what they multiply, biases of 0."""
    edges = rng.normal(size=(4, WIDTH)) * np.array([[1.0], [0.0], [0.0], [WIDTH**-0.5]])
    return np.concatenate([edges.ravel(), rng.normal(size=WIDTH**2) * WIDTH**-0.5, [0.0]])


slope = ad.derivative(network)
curvature = ad.derivative(network, 2)


# The problems: residuals of the equation, then of what else is known.


@njit
def oscillator(theta, x):
    """Return the residuals of u'' + u = 0 with the boundary conditions."""
    layers = unpacked(theta)
    out = np.empty(x.size + 2)
    for i in range(x.size):
        out[i] = (curvature(x[i], layers) + network(x[i], layers)) / np.sqrt(x.size)
    out[x.size] = network(0.0, layers)
    out[x.size + 1] = network(1.0, layers) - np.sin(1.0)
    return out


@njit
def logistic(theta, x, times, data):
    """Return the residuals of u' = r u (1 - u), r being the last parameter, and of the data.

    In units of the noise; the equation is to hold ten times as well.
    """
    layers, r = unpacked(theta), theta[SIZE]
    out = np.empty(x.size + times.size)
    for i in range(x.size):
        u = network(x[i], layers)
        out[i] = (slope(x[i], layers) - r * u * (1.0 - u)) / (0.1 * NOISE)
    for k in range(times.size):
        out[x.size + k] = (network(times[k], layers) - data[k]) / NOISE
    return out


def logistic_solution(t: np.ndarray, r: float = RATE) -> np.ndarray:
    """Return the solution that starts at FIRST."""
    return FIRST / (FIRST + (1.0 - FIRST) * np.exp(-r * t))


@dataclass(frozen=True)
class Problem:
    """Residuals of (theta, *args), a point to start from, and the solution."""

    name: str
    residuals: Callable[..., Any]
    args: tuple[np.ndarray, ...]
    start: np.ndarray
    solution: Callable[[np.ndarray], np.ndarray]
    data: tuple[np.ndarray, ...] = ()

    @property
    def points(self) -> np.ndarray:
        """Return points to compare with the solution at."""
        return np.linspace(self.args[0][0], self.args[0][-1], 201)

    def values(self, theta: np.ndarray) -> np.ndarray:
        """Return the network at these points."""
        layers = unpacked(theta)
        return np.array([network(x, layers) for x in self.points])

    def error(self, theta: np.ndarray) -> float:
        """Return the largest error there."""
        return float(np.max(np.abs(self.values(theta) - self.solution(self.points))))


def problem(name: str) -> Problem:
    """Return one of the problems."""
    rng = np.random.default_rng(1)
    start = parameters(rng)
    if name == "oscillator":
        return Problem(name, oscillator, (np.linspace(0.0, 1.0, 30),), start, np.sin)
    times = np.linspace(0.0, 4.0, 25)
    data = logistic_solution(times) + NOISE * rng.normal(size=times.size)
    args = (np.linspace(0.0, 4.0, 40), times, data)
    return Problem(name, logistic, args, np.append(start, 1.0), logistic_solution, (times, data))


# Training


@dataclass
class Training:
    """A run of one trainer."""

    trainer: str
    theta: np.ndarray
    losses: list[float]
    seconds: float


Report = Callable[[float], None]


def adam(given: Problem, loss: Any, steps: int, report: Report) -> np.ndarray:
    """Follow the gradient by Adam (Kingma and Ba, 2015) with a step size that goes down to 0."""
    value_and_grad, theta = ad.value_and_grad(loss), given.start.copy()
    mean, square = np.zeros_like(theta), np.zeros_like(theta)
    for k in range(steps):
        value, gradient = value_and_grad(theta, *given.args)
        report(value)
        mean += 0.1 * (gradient - mean)
        square += 0.001 * (gradient**2 - square)
        direction = mean / (1.0 - 0.9 ** (k + 1))
        size = np.sqrt(square / (1.0 - 0.999 ** (k + 1))) + 1e-8
        theta -= 0.01 * (1.0 - k / steps) * direction / size
    return theta


def l_bfgs_b(given: Problem, loss: Any, steps: int, report: Report) -> np.ndarray:
    """Minimize the loss by L-BFGS-B; the gradient is filled in."""
    return ad.optimize.minimize(
        loss,
        given.start,
        args=given.args,
        method="L-BFGS-B",
        callback=lambda intermediate_result: report(intermediate_result.fun),
        options={"maxiter": steps, "maxfun": 2 * steps, "ftol": 0.0, "gtol": 1e-10},
    ).x


def least_squares(given: Problem, loss: Any, steps: int, report: Report) -> np.ndarray:
    """Solve for all residuals at once; the Jacobian is filled in.

    SciPy tells of its steps from 1.16 on; before, there is no progress and no curve of the loss.
    """
    told = {"callback": lambda intermediate_result: report(2.0 * intermediate_result.cost)}
    if "callback" not in inspect.signature(optimize.least_squares).parameters:
        told = {}
    return ad.optimize.least_squares(
        given.residuals,
        given.start,
        args=given.args,
        ftol=1e-15,
        xtol=1e-15,
        gtol=1e-15,
        max_nfev=500,
        **told,
    ).x


TRAINERS = {"Adam": adam, "L-BFGS-B": l_bfgs_b, "least_squares": least_squares}


def loss_of(residuals: Any) -> Any:
    """Return the sum of squares of residuals, compiled."""

    @njit
    def loss(theta, *args):
        return np.sum(residuals(theta, *args) ** 2)

    return loss


def trained(given: Problem, trainer: str, loss: Any, steps: int) -> Training:
    """Run one trainer; show on the way how far it is."""
    losses: list[float] = []

    def report(value: float) -> None:
        losses.append(float(value))
        show_progress(f"{given.name}, {trainer}: step {len(losses)}, loss {value:.3e}")

    begin = time.perf_counter()
    theta = TRAINERS[trainer](given, loss, steps, report)
    return Training(trainer, theta, losses, time.perf_counter() - begin)


def rate(given: Problem, theta: np.ndarray) -> tuple[float, float]:
    """Return the estimated rate and its standard error.

    The residuals are in units of their standard deviations, so the covariance of all parameters is
    the inverse of J^T J: of its part that the residuals determine.
    """
    jacobian = ad.jacobian(given.residuals)(theta, *given.args)
    return float(theta[-1]), float(np.sqrt(np.linalg.pinv(jacobian.T @ jacobian, 1e-12)[-1, -1]))


def show_progress(text: str) -> None:
    """Write what is running over the last such line; nothing unless a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def save_figure(path: str, given: Problem, runs: Sequence[Training]) -> str:
    """Draw losses and solutions and return what to tell about it."""
    if Figure is None:
        return "no figure: matplotlib is not installed"
    figure = Figure(figsize=(13.0, 4.0), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    x, exact = given.points, given.solution(given.points)
    middle.plot(x, exact, color="0.6", linewidth=4, label="exact")
    if given.data:
        middle.plot(*given.data, ".", color="0.3", label="data")
    for run in runs:
        u = given.values(run.theta)
        left.loglog(np.arange(1, len(run.losses) + 1), run.losses, label=run.trainer)
        middle.plot(x, u, linewidth=1, label=run.trainer)
        right.semilogy(x, np.abs(u - exact), linewidth=1, label=run.trainer)
    left.set(title="loss", xlabel="step")
    middle.set(title=f"{given.name}: u", xlabel="x")
    right.set(title="error", xlabel="x")
    middle.legend()
    figure.savefig(path, dpi=120, format=None if Path(path).suffix else "png")
    return f"figure: {path}"


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--problem", choices=["oscillator", "logistic"], default="oscillator")
    parser.add_argument("--trainers", nargs="+", choices=list(TRAINERS), default=list(TRAINERS))
    parser.add_argument("--steps", type=int, default=5000, help="of Adam and L-BFGS-B; 5000")
    parser.add_argument("--quick", action="store_true", help="200 steps of these")
    parser.add_argument(
        "--figure",
        default="pinn_ode.png",
        metavar="PATH",
        help='where to save the figure, "" for none; pinn_ode.png by default',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Train, print the table and return 0 if least squares found the solution."""
    options = parsed_arguments(argv)
    given = problem(options.problem)
    loss = loss_of(given.residuals)
    runs, right = [], True
    print(f"{given.name:16s}{'steps':>7s}{'seconds':>9s}{'loss':>11s}{'largest error':>15s}")
    for trainer in options.trainers:
        show_progress(f"{given.name}, {trainer}: compiling")
        run = trained(given, trainer, loss, 200 if options.quick else options.steps)
        show_progress("")
        error = given.error(run.theta)
        figures = f"{run.seconds:9.1f}{loss(run.theta, *given.args):11.1e}{error:15.1e}"
        print(f"{trainer:16s}{len(run.losses):7d}{figures}", end="")
        if given.name == "logistic":
            found, deviation = rate(given, run.theta)
            print(f"   r = {found:.4f} +- {deviation:.4f}", end="")
            right &= trainer != "least_squares" or abs(found - RATE) < 3.0 * deviation
        else:
            right &= trainer != "least_squares" or error < ACCURACY
        print(flush=True)
        runs.append(run)
    print("seconds are with compilation")
    if options.figure:
        print(save_figure(options.figure, given, runs))
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
