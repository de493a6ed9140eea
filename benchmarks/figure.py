"""Draws what was measured: ratios by problem and library, and cost against size."""

from .document import LIBRARIES, SUMMARY, best
from .runner import UNIT

PANELS = (
    ("gradient, Rosenbrock loop", "gradient, Rosenbrock loop", "inputs"),
    ("Hessian, Rosenbrock loop", "Hessian, Rosenbrock loop", "inputs"),
    ("sparse Jacobian, Brusselator", "sparse Jacobian, Brusselator", "states"),
)
COLORS = dict(zip(LIBRARIES, ("0.4", "C3", "C0", "C2", "C1", "C4"), strict=True))
MARKERS = dict(zip(LIBRARIES, "sovD^P", strict=True))


def draw(run, about, path):
    """Write the figure."""
    from matplotlib.figure import Figure  # not needed where nothing is drawn

    figure = Figure(figsize=(13, 9), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1.25, 1))
    draw_ratios(left.subplots(), run)
    for axes, (series, title, size) in zip(right.subplots(3, 1), PANELS, strict=True):
        draw_series(axes, run, series)
        axes.set(title=title, xlabel=size, ylabel="seconds", xscale="log", yscale="log")
        axes.grid(alpha=0.3)
    figure.suptitle(f"Cost of derivatives ({about['date']}; {about['machine']})", fontsize=9)
    figure.savefig(path, dpi=110)


def draw_ratios(axes, run):
    """Draw the median ratio to the primal of every library, a line for each problem."""
    names = [name for name in SUMMARY if name in run and run[name].seconds][::-1]
    for library in LIBRARIES:
        points = []
        for y, name in enumerate(names):
            label = best(run[name], library)
            if label is not None:
                points.append((run[name].ratio(label).median, y))
        if points:
            style = {"color": COLORS[library], "marker": MARKERS[library]}
            axes.plot(*zip(*points, strict=True), linestyle="", label=library, **style)
    axes.axvline(1.0, color="0.7", linewidth=1)
    axes.set_yticks(range(len(names)), [wrapped(run[n].problem.title) for n in names], fontsize=7)
    axes.set(xscale="log", xlabel="time of the derivative / time of the function")
    axes.grid(axis="x", alpha=0.3)
    if names:
        axes.legend(fontsize=8)


def wrapped(title):
    """Return a title with a line break before what is computed."""
    return title.replace(": ", ":\n").replace(" (", "\n(")


def draw_series(axes, run, series):
    """Draw the cost of every library against the size of the problem."""
    measured = sorted(
        (m for m in run.values() if m.seconds and m.problem.series == series),
        key=lambda m: m.problem.size,
    )
    for library in ("function", *LIBRARIES):
        points = []
        for m in measured:
            label = UNIT if library == "function" else best(m, library)
            if label is not None:
                points.append((m.problem.size, m.time(label).median))
        if points:
            style = {"color": COLORS.get(library, "0.8"), "marker": MARKERS.get(library, ".")}
            axes.plot(*zip(*points, strict=True), label=library, markersize=4, **style)
    if measured:
        axes.legend(fontsize=6)
