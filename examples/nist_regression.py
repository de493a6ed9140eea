"""Fit the nonlinear-regression problems of NIST with exact derivatives.

The StRD collection of NIST has data sets with parameters certified to eleven digits, and two
starting points for each: one far away, one nearer.  Here 20 of them are fitted from both, with
derivatives that come from plain Python loops:

* ``minimize(method="trust-exact")`` with ``ad.grad(loss)`` and ``ad.hessian(loss)``;
* ``least_squares`` with ``ad.jacobian(residuals)``;
* for comparison, the same without derivatives: ``minimize(method="BFGS")`` and ``least_squares``,
  both with finite differences.

For each fit the table shows how many digits of the worst parameter agree with the certified ones
(11 at most), and the time it took.  The fits with exact derivatives end with ten Newton or
Gauss-Newton steps, for the last digits.  Compilation is not in these times: every function is
called once beforehand.

Run it from anywhere, with dualtape, SciPy and, for the figure, matplotlib installed::

    python examples/nist_regression.py
    python examples/nist_regression.py --problems Thurber Eckerle4 --figure thurber.png
"""

from __future__ import annotations

import argparse
import functools
import re
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Any

import numba
import numpy as np
from scipy.optimize import least_squares, minimize

import dualtape as ad

try:
    from matplotlib.figure import Figure
except ImportError:
    Figure = None

DATA = Path(__file__).resolve().parent / "data"
ENOUGH_DIGITS = 6.0
MOST_DIGITS = 11.0  # as many as the certified values have


# The models, as the data files give them, for one data point.


def misra1a(x, b):
    """Misra1a and BoxBOD."""
    return b[0] * (1 - exp(-b[1] * x))


def misra1b(x, b):
    """Misra1b."""
    return b[0] * (1 - (1 + b[1] * x / 2) ** (-2))


def misra1c(x, b):
    """Misra1c."""
    return b[0] * (1 - (1 + 2 * b[1] * x) ** (-0.5))


def misra1d(x, b):
    """Misra1d."""
    return b[0] * b[1] * x / (1 + b[1] * x)


def chwirut(x, b):
    """Chwirut1 and Chwirut2."""
    return exp(-b[0] * x) / (b[1] + b[2] * x)


def dan_wood(x, b):
    """DanWood."""
    return b[0] * x ** b[1]


def lanczos(x, b):
    """Lanczos1, Lanczos2 and Lanczos3."""
    return b[0] * exp(-b[1] * x) + b[2] * exp(-b[3] * x) + b[4] * exp(-b[5] * x)


def gauss(x, b):
    """Gauss1 and Gauss2."""
    first_peak = b[2] * exp(-((x - b[3]) ** 2) / b[4] ** 2)
    second_peak = b[5] * exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return b[0] * exp(-b[1] * x) + first_peak + second_peak


def bennett5(x, b):
    """Bennett5."""
    return b[0] * (b[1] + x) ** (-1 / b[2])


def eckerle4(x, b):
    """Eckerle4."""
    return b[0] / b[1] * exp(-0.5 * ((x - b[2]) / b[1]) ** 2)


def mgh09(x, b):
    """MGH09."""
    return b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3])


def mgh10(x, b):
    """MGH10."""
    return b[0] * exp(b[1] / (x + b[2]))


def rat42(x, b):
    """Rat42."""
    return b[0] / (1 + exp(b[1] - b[2] * x))


def rat43(x, b):
    """Rat43."""
    return b[0] / (1 + exp(b[1] - b[2] * x)) ** (1 / b[3])


def thurber(x, b):
    """Thurber."""
    above = b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3
    below = 1 + b[4] * x + b[5] * x**2 + b[6] * x**3
    return above / below


MODELS: dict[str, Callable[..., Any]] = {
    "Misra1a": misra1a,
    "Misra1b": misra1b,
    "Misra1c": misra1c,
    "Misra1d": misra1d,
    "Chwirut1": chwirut,
    "Chwirut2": chwirut,
    "DanWood": dan_wood,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Lanczos1": lanczos,
    "Lanczos2": lanczos,
    "Lanczos3": lanczos,
    "Bennett5": bennett5,
    "BoxBOD": misra1a,
    "Eckerle4": eckerle4,
    "MGH09": mgh09,
    "MGH10": mgh10,
    "Rat42": rat42,
    "Rat43": rat43,
    "Thurber": thurber,
}


@dataclass(frozen=True)
class Problem:
    """One data file.

    Parameters
    ----------
    name : str
        As NIST calls it.
    x, y : ndarray
        The data.
    starts : ndarray, shape (2, n)
        Two starting points for the n parameters.
    certified : ndarray, shape (n,)
        The parameters to be found.
    rss : float
        The certified residual sum of squares.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    starts: np.ndarray
    certified: np.ndarray
    rss: float


def read_problem(path: Path) -> Problem:
    """Read a data file: parameters in lines 41 to 60, data (y, then x) from line 61 on."""
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    header = "\n".join(lines[40:60])
    rows = re.findall(r"^ *b\d+ *= *(\S+) +(\S+) +(\S+)", header, flags=re.MULTILINE)
    start_1, start_2, certified = np.array(rows, dtype=float).T
    rss = re.search(r"Residual Sum of Squares: *(\S+)", header)
    if rss is None:
        raise ValueError(f"{path}: no residual sum of squares in lines 41 to 60")
    y, x = np.loadtxt(lines[60:], unpack=True)
    starts = np.array([start_1, start_2])
    return Problem(path.stem, x.copy(), y.copy(), starts, certified, float(rss[1]))


def digits(found: np.ndarray, certified: np.ndarray) -> float:
    """Return the digits of the worst parameter that agree with the certified ones.

    This is the "log relative error" that NIST uses: -log10 of the relative error, here between 0
    and 11.
    """
    error = np.max(np.abs(found - certified) / np.abs(certified))
    if not np.isfinite(error):
        return 0.0
    return float(np.clip(-np.log10(max(error, 1e-300)), 0.0, MOST_DIGITS))


@dataclass(frozen=True)
class Compiled:
    """The compiled functions of one model."""

    model: Any
    loss: Any
    gradient: Any
    hessian: Any
    residuals: Any
    jacobian: Any


@functools.cache
def compiled(model: Callable[..., Any]) -> Compiled:
    """Return what the solvers need for a model.  Nothing compiles before it is called."""
    value = numba.njit(model)

    def loss(z, x, y, scale):
        # The sum of squares as a function of z = b / scale: trust-exact takes one radius for all
        # variables, so they should be about equally large.  Differentiating with respect to z
        # takes care of the chain rule.
        b = np.empty(len(z))
        for j in range(len(z)):
            b[j] = scale[j] * z[j]
        total = 0.0
        for i in range(len(x)):
            r = y[i] - value(x[i], b)
            total += r * r
        return total

    def residuals(b, x, y):
        r = np.empty(len(x))
        for i in range(len(x)):
            r[i] = y[i] - value(x[i], b)
        return r

    return Compiled(
        value,
        numba.njit(loss),
        ad.grad(loss),
        ad.hessian(loss),
        numba.njit(residuals),
        ad.jacobian(residuals),
    )


def warm_up(functions: Compiled, problem: Problem) -> float:
    """Call every function once and return how long that took: it is nearly all compilation."""
    begin = time.perf_counter()
    x, y, b = problem.x, problem.y, problem.starts[0]
    functions.model(x[0], b)
    for function in (functions.loss, functions.gradient, functions.hessian):
        function(np.ones(len(b)), x, y, b)
    for function in (functions.residuals, functions.jacobian):
        function(b, x, y)
    return time.perf_counter() - begin


# The solvers.  Each has one set-up for all problems, and takes the certified start only.


def trust_exact(functions: Compiled, problem: Problem, start: np.ndarray) -> np.ndarray:
    """Minimize the sum of squares with its exact gradient and Hessian.

    The variables are scaled by the starting point, so the search begins at (1, ..., 1).  The first
    trust radius is a tenth of that.  With SciPy's own, 1, the first steps change a parameter by as
    much as itself, and some of the exponentials overflow.  A tenth was found by trial: the
    problems with several local minima or flat regions (Eckerle4 and BoxBOD from start 1, Lanczos
    from both) depend on it, and with another radius they may end elsewhere or overflow.

    ``gtol=0`` lets the search go on for as long as the quadratic model promises any improvement.
    The sum of squares at the minimum may be 1e3 or 1e-25, so no fixed bound would do.
    """
    found = minimize(
        functions.loss,
        np.ones(len(start)),
        args=(problem.x, problem.y, start),
        method="trust-exact",
        jac=functions.gradient,
        hess=functions.hessian,
        options={"gtol": 0.0, "initial_trust_radius": 0.1, "maxiter": 2000},
    )

    def newton_step(b: np.ndarray) -> np.ndarray:
        args = (np.ones(len(b)), problem.x, problem.y, b)
        return -np.linalg.solve(functions.hessian(*args), functions.gradient(*args))

    return polished(newton_step, start * found.x)


def polished(step: Callable[[np.ndarray], np.ndarray], b: np.ndarray) -> np.ndarray:
    """Return b after ten full steps, each given relative to the parameters.

    The solvers compare values of the loss.  Near the minimum these differ by less than their
    rounding errors when the parameters still have only half their digits right; exact derivatives
    do not have this problem.  (Steps from finite differences would not help: their errors are as
    large as what is left to do.)  Far from the minimum steps are large, and are not taken.
    """
    for _ in range(10):
        try:
            relative = step(b)
        except np.linalg.LinAlgError:  # a singular matrix: not at a minimum
            break
        if not np.max(np.abs(relative)) < 0.01:
            break
        b = b * (1.0 + relative)
    return b


def bfgs_without_derivatives(
    functions: Compiled, problem: Problem, start: np.ndarray
) -> np.ndarray:
    """Minimize the same scaled loss with finite differences of its values."""
    found = minimize(
        functions.loss,
        np.ones(len(start)),
        args=(problem.x, problem.y, start),
        method="BFGS",
        options={"gtol": 0.0, "maxiter": 2000},
    )
    return start * found.x


def least_squares_exact(functions: Compiled, problem: Problem, start: np.ndarray) -> np.ndarray:
    """Solve the least-squares problem with the exact Jacobian."""
    args = (problem.x, problem.y)

    def gauss_newton_step(b: np.ndarray) -> np.ndarray:
        jacobian = functions.jacobian(b, *args) * b
        return -np.linalg.lstsq(jacobian, functions.residuals(b, *args))[0]

    return polished(gauss_newton_step, solved(functions, problem, start, functions.jacobian))


def least_squares_without_derivatives(
    functions: Compiled, problem: Problem, start: np.ndarray
) -> np.ndarray:
    """Solve the least-squares problem with a Jacobian of finite differences."""
    return solved(functions, problem, start, "2-point")


def solved(functions: Compiled, problem: Problem, start: np.ndarray, jacobian: Any) -> np.ndarray:
    """Call SciPy's least_squares.

    ``x_scale="jac"`` scales the variables by the columns of the Jacobian, anew in every step.
    """
    found = least_squares(
        functions.residuals,
        start,
        jac=jacobian,
        args=(problem.x, problem.y),
        x_scale="jac",
        ftol=1e-15,
        xtol=1e-15,
        gtol=1e-15,
        max_nfev=5000,
    )
    return found.x


EXACT = (trust_exact, least_squares_exact)
SOLVERS = (*EXACT, bfgs_without_derivatives, least_squares_without_derivatives)
HEADINGS = ("trust-exact", "least_sq", "BFGS fd", "least_sq fd")


@dataclass(frozen=True)
class Fit:
    """Where a solver ended, how good that is and how long it took."""

    b: np.ndarray
    digits: float
    seconds: float


def fit(solver: Any, functions: Compiled, problem: Problem, start: np.ndarray) -> Fit:
    """Run one solver from one start."""
    with warnings.catch_warnings():
        # Finite differences and trial steps may overflow; what counts is where the solver ends.
        warnings.simplefilter("ignore")
        begin = time.perf_counter()
        b = solver(functions, problem, start)
        seconds = time.perf_counter() - begin
    return Fit(b, digits(b, problem.certified), seconds)


def heading() -> str:
    """Return the two lines above the table."""
    columns = "".join(f"{name:>13s}" for name in HEADINGS)
    above = f"{'':14s}{'digits, at most 11':^52s} |{'milliseconds':^52s}"
    return f"{above.rstrip()}\n{'problem  start':14s}{columns} |{columns}"


def row(problem: Problem, number: int, fits: Sequence[Fit]) -> str:
    """Return one line of the table."""
    found = "".join(f"{each.digits:13.1f}" for each in fits)
    times = "".join(f"{1e3 * each.seconds:13.1f}" for each in fits)
    return f"{problem.name:9s}{number:5d}{found} |{times}"


def show_progress(text: str) -> None:
    """Write what is running over the last such line; nothing unless a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def save_figure(path: str, fits: Sequence[tuple[Problem, np.ndarray]]) -> str:
    """Draw data and fitted curves and return what to tell about it."""
    if Figure is None:
        return "no figure: matplotlib is not installed"
    columns = min(5, len(fits))
    rows = -(-len(fits) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.5 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, (problem, b) in zip(panels, fits, strict=False):
        x = np.linspace(problem.x.min(), problem.x.max(), 400)
        model = compiled(MODELS[problem.name]).model
        panel.plot(problem.x, problem.y, ".", color="0.55", markersize=4)
        panel.plot(x, [model(each, b) for each in x], color="C3", linewidth=1.2)
        panel.set_title(problem.name, fontsize=10)
        panel.tick_params(labelsize=7)
    for panel in panels[len(fits) :]:
        panel.set_axis_off()
    figure.savefig(path, dpi=120, format=None if Path(path).suffix else "png")
    return f"figure: {path}"


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--problems",
        nargs="+",
        choices=list(MODELS),
        default=list(MODELS),
        metavar="NAME",
        help=f"which to fit, of {', '.join(MODELS)}; all by default",
    )
    parser.add_argument(
        "--figure",
        default="nist_regression.png",
        metavar="PATH",
        help='where to save the figure, "" for none; nist_regression.png by default',
    )
    return parser.parse_args(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """Fit, print the table and return 0 if every fit with exact derivatives is right."""
    options = parsed_arguments(argv)
    compilation = 0.0
    exact: list[Fit] = []
    curves = []
    print(heading())
    for name in options.problems:
        problem = read_problem(DATA / f"{name}.dat")
        functions = compiled(MODELS[name])
        show_progress(f"{name}: compiling")
        compilation += warm_up(functions, problem)
        for number, start in enumerate(problem.starts, 1):
            fits = []
            for solver, title in zip(SOLVERS, HEADINGS, strict=True):
                show_progress(f"{name}, start {number}: {title}")
                fits.append(fit(solver, functions, problem, start))
            show_progress("")
            print(row(problem, number, fits), flush=True)
            exact += fits[: len(EXACT)]
        curves.append((problem, fits[1].b))
    print(f"fd: finite differences; {compilation:.0f} s of compilation are not in these times")
    if options.figure:
        print(save_figure(options.figure, curves))
    right = sum(each.digits >= ENOUGH_DIGITS for each in exact)
    print(f"nist: {right} of {len(exact)} fits reach the certified parameters to 6 digits or more")
    return 0 if right == len(exact) else 1


if __name__ == "__main__":
    sys.exit(main())
