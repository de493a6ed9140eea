"""Solve the Brusselator with diffusion in two dimensions by implicit methods.

Two chemicals react and diffuse on the unit square, which is periodic (E. Hairer and G. Wanner,
Solving Ordinary Differential Equations II, section IV.10)::

    u_t = 1 + u^2 v - 4.4 u + alpha (u_xx + u_yy) + f(t, x, y)
    v_t = 3.4 u - u^2 v     + alpha (v_xx + v_yy)

with alpha = 0.1, u = 22 y (1 - y)^1.5 and v = 27 x (1 - x)^1.5 at t = 0; f adds 5 within the disk
of radius 0.1 about (0.3, 0.6) from t = 1.1 on.  The method of lines on an n x n grid makes 2 n^2
stiff equations of it, whose Jacobian has six entries in a row.

BDF and Radau solve them with the exact sparse Jacobian, which `dualtape.integrate.solve_ivp` fills
in, and for comparison with SciPy's finite differences: with the sparsity pattern given, and without
it, where the Jacobian is a full matrix.  The table shows wall time (all functions are compiled
beforehand) and calls of the right-hand side, those of the differences included; a recording of
the right-hand side for a Jacobian counts as one.  LU counts factorizations; the last column is the
largest difference to the solution with the exact Jacobian.

Run it from anywhere, with dualtape and, for the picture, matplotlib installed.  The larger grid
takes some minutes.  Nearly all of the time is SuperLU's, whose many small products lose by the
threads of OpenBLAS::

    OPENBLAS_NUM_THREADS=1 python examples/brusselator_2d.py
    python examples/brusselator_2d.py --n 32 --methods BDF --figure ""
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit
from scipy import integrate

import dualtape as ad

try:
    from matplotlib.figure import Figure
except ImportError:
    Figure = None

ALPHA = 0.1
MOST_FULL = {"BDF": 3000, "Radau": 1000}
"""Unknowns up to which full matrices are tried: Radau's are complex, and many more are factored."""


@njit(cache=True)
def brusselator(t, y, n):
    """Return dy/dt; y holds u and v on the grid, row by row."""
    u, v = y[: n * n].reshape(n, n), y[n * n :].reshape(n, n)
    out = np.empty((2, n, n))
    diffusion = ALPHA * n * n
    for i in range(n):
        for j in range(n):
            left, right, down, up = i - 1, (i + 1) % n, j - 1, (j + 1) % n
            lap_u = u[left, j] + u[right, j] + u[i, down] + u[i, up] - 4.0 * u[i, j]
            lap_v = v[left, j] + v[right, j] + v[i, down] + v[i, up] - 4.0 * v[i, j]
            reaction = u[i, j] ** 2 * v[i, j]
            out[0, i, j] = 1.0 + reaction - 4.4 * u[i, j] + diffusion * lap_u
            out[1, i, j] = 3.4 * u[i, j] - reaction + diffusion * lap_v
            if t >= 1.1 and (i / n - 0.3) ** 2 + (j / n - 0.6) ** 2 <= 0.01:
                out[0, i, j] += 5.0
    return out.ravel()


def start(n: int) -> np.ndarray:
    """Return the initial state on the grid of the points (i / n, j / n)."""
    x, y = np.meshgrid(np.arange(n) / n, np.arange(n) / n, indexing="ij")
    return np.concatenate([22.0 * y * (1.0 - y) ** 1.5, 27.0 * x * (1.0 - x) ** 1.5]).ravel()


@dataclass(frozen=True)
class Run:
    """What one solution took."""

    solution: Any
    seconds: float
    calls: int


def run(solve: Callable[..., Any], end: float, n: int, label: str, **options: Any) -> Run:
    """Solve up to a time; show on the way how far it is."""

    def watch(t: float, y: np.ndarray, n: int) -> float:
        show_progress(f"{label}: t = {t:.3f} of {end}")
        return 1.0  # an event that never happens

    calls = 0

    def counted(t: float, y: np.ndarray, n: int) -> np.ndarray:
        nonlocal calls
        calls += 1
        return brusselator(t, np.ascontiguousarray(y), n)  # SciPy shifts columns of a matrix

    # What fills in derivatives compiles the function itself.
    exact = solve is ad.integrate.solve_ivp
    begin = time.perf_counter()
    found = solve(
        brusselator if exact else counted,
        (0.0, end),
        start(n),
        args=(n,),
        events=watch,
        t_eval=sorted({0.0, min(1.5, end), end}),
        rtol=1e-5,
        atol=1e-7,
        **options,
    )
    seconds = time.perf_counter() - begin
    if not found.success:
        raise RuntimeError(f"{label}: {found.message}")
    return Run(found, seconds, found.nfev + found.njev if exact else calls)


def compared(n: int, method: str, end: float, everything: bool) -> tuple[list[str], Any]:
    """Return the lines of the table for one grid and method, and the solution."""
    name = f"{n} x {n} {method}"
    exact = run(ad.integrate.solve_ivp, end, n, f"{name}, exact", method=method)
    lines = [row(name, "exact sparse Jacobian", exact, exact)]
    pattern = ad.jacobian_sparsity(brusselator, 1)(0.0, start(n), n)
    label = "differences, pattern given"
    options = {"method": method, "jac_sparsity": pattern}
    lines.append(
        row("", label, run(integrate.solve_ivp, end, n, f"{name}, {label}", **options), exact)
    )
    label = "differences, full matrix"
    if everything or 2 * n * n <= MOST_FULL[method]:
        full = run(integrate.solve_ivp, end, n, f"{name}, {label}", method=method)
        lines.append(row("", label, full, exact))
    else:
        lines.append(f"{'':16s}{label:28s} not run: matrices of {8e-9 * (2 * n * n) ** 2:.2f} GB")
    return lines, exact.solution


def warm_up() -> None:
    """Compile everything, by a solution on the smallest grid where the Jacobian is sparse."""
    run(ad.integrate.solve_ivp, 1e-3, 8, "compiling", method="BDF")
    ad.jacobian_sparsity(brusselator, 1)(0.0, start(4), 4)


def heading() -> str:
    """Return the line above the table."""
    columns = f"{'seconds':>10s}{'ratio':>8s}{'calls':>9s}{'LU':>7s}{'difference':>12s}"
    return f"{'grid':16s}{'Jacobian':28s}{columns}"


def row(name: str, label: str, found: Run, exact: Run) -> str:
    """Return one line of the table."""
    difference = np.max(np.abs(found.solution.y - exact.solution.y))
    figures = f"{found.seconds:10.2f}{found.seconds / exact.seconds:8.2f}{found.calls:9d}"
    return f"{name:16s}{label:28s}{figures}{found.solution.nlu:7d}{difference:12.1e}"


def show_progress(text: str) -> None:
    """Write what is running over the last such line; nothing unless a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def save_figure(path: str, solution: Any, n: int) -> str:
    """Draw u and v at the stored times and return what to tell about it."""
    if Figure is None:
        return "no figure: matplotlib is not installed"
    figure = Figure(figsize=(3.6 * solution.t.size, 6.2), layout="constrained")
    panels = figure.subplots(2, solution.t.size, squeeze=False)
    fields = solution.y.reshape(2, n, n, -1)
    for k, t in enumerate(solution.t):
        for panel, field, name in zip(panels[:, k], fields[..., k], "uv", strict=True):
            image = panel.imshow(field.T, origin="lower", extent=(0.0, 1.0, 0.0, 1.0))
            figure.colorbar(image, ax=panel, shrink=0.8)
            panel.set_title(f"{name}, t = {t:g}", fontsize=10)
    figure.savefig(path, dpi=120, format=None if Path(path).suffix else "png")
    return f"figure: {path}"


def parsed_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--n", type=int, nargs="+", default=[32, 128], help="points in a direction; 32 and 128"
    )
    parser.add_argument("--methods", nargs="+", choices=["BDF", "Radau"], default=["BDF", "Radau"])
    parser.add_argument("--end", type=float, default=11.5, help="time to stop at; 11.5 by default")
    parser.add_argument("--full", action="store_true", help="try full matrices of any size")
    parser.add_argument("--quick", action="store_true", help="a grid of 8 x 8, up to t = 1.5")
    parser.add_argument(
        "--figure",
        default="brusselator_2d.png",
        metavar="PATH",
        help='where to save the picture, "" for none; brusselator_2d.png by default',
    )
    options = parser.parse_args(argv)
    if options.quick:
        options.n, options.end = [8], 1.5
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Solve with all methods, print the table and return 0."""
    options = parsed_arguments(argv)
    show_progress("compiling")
    begin = time.perf_counter()
    warm_up()
    compilation = time.perf_counter() - begin
    print(heading())
    for n in options.n:
        for method in options.methods:
            lines, solution = compared(n, method, options.end, options.full)
            show_progress("")
            print("\n".join(lines), flush=True)
    print(f"{compilation:.0f} s of compilation are not in these times")
    if options.figure:
        print(save_figure(options.figure, solution, options.n[-1]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
