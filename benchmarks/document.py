"""Writes what was measured: RESULTS.md, and its summary in the README."""

from pathlib import Path

from .runner import CONTROL, HARNESS, UNIT, spread
from .targets import IN_THE_WAY, TARGETS, verdict

FOLDER = Path(__file__).parent
RESULTS, README = FOLDER / "RESULTS.md", FOLDER.parent / "README.md"
BEGIN, END = "<!-- speed -->", "<!-- end speed -->"
LIBRARIES = ("hand", "dualtape", "JAX", "CasADi", "autograd", "PyTorch")
BUSY = 1.5  # slowest over fastest median of the control, above which figures are rough
SUMMARY = (
    "rosenbrock-loop-2",
    "rosenbrock-loop-10",
    "rosenbrock-hessian-10",
    "rosenbrock-loop-1000",
    "rosenbrock-product-1000",
    "rosenbrock-arrays-100000",
    "lennard-jones",
    "mixture-matrix",
    "mixture-loop",
    "logistic",
    "matvec-gradient",
    "lotka-volterra",
    "brusselator-jacobian-32",
    "brusselator-product-32",
    "pollu",
    "pinn",
    "rosenbrock-arrays-jvp",
    "mixture-matrix-jvp",
    "pinn-jvp",
    "matvec-jvp",
    "rosenbrock-arrays-hvp",
    "minimize-trust-exact-10",
    "minimize-BFGS-10",
    "bdf-rober",
)


def number(x):
    """Format a ratio with three digits, without an exponent."""
    if x >= 100:
        return f"{x:,.0f}"
    return f"{x:.1f}" if x >= 10 else f"{x:.2f}"


def quantity(x, measure="s"):
    """Format seconds with a fitting unit, or a figure with its own."""
    if measure != "s":
        return f"{number(x)} {measure}".strip()
    for factor, unit in ((1e9, "ns"), (1e6, "us"), (1e3, "ms")):
        if x * factor < 1000:
            return f"{number(x * factor)} {unit}"
    return f"{number(x)} s"


def table(head, rows):
    """Return the lines of a table."""
    return [
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(row) + " |" for row in rows),
    ]


def best(measurement, library):
    """Return the row of a library: our own as it is by default, of others the fastest."""
    labels = [x for x in measurement.seconds if x.split(",")[0] == library]
    if not labels:
        return None
    return labels[0] if library == "dualtape" else min(labels, key=lambda x: measurement.time(x)[1])


def cell(measurement, library):
    """Return the median ratio of a library, or a dash."""
    label = best(measurement, library)
    return "-" if label is None else number(measurement.ratio(label).median)


def first_in(measurement):
    """Return the library with the smallest ratio, without what is written by hand."""
    labels = {library: best(measurement, library) for library in LIBRARIES if library != "hand"}
    ratios = {k: measurement.ratio(label).median for k, label in labels.items() if label}
    return min(ratios, key=ratios.get, default="-")


def not_first(run):
    """Yield what stands in the way where another library is first."""
    for name in SUMMARY:
        if name in run and run[name].seconds:
            first = first_in(run[name])
            if first not in ("dualtape", "-"):
                reason = IN_THE_WAY.get(name, "not looked into")
                yield f"* {run[name].problem.title}, {first}: {reason}"


def summary(run, about):
    """Return the lines of the short table that also stands in the README."""
    rows = [
        [
            run[name].problem.title,
            quantity(run[name].time(UNIT).median),
            *(cell(run[name], library) for library in LIBRARIES),
            first_in(run[name]),
        ]
        for name in SUMMARY
        if name in run and run[name].seconds
    ]
    return [
        BEGIN,
        f"{about['effort'].capitalize()} of {about['date']} on {about['machine']}, one thread: "
        "time of a derivative over the time of the plain `@njit` function, medians. *hand*: a "
        "derivative written by hand under `@njit`; *dualtape*: the default mode; others: their "
        "fastest form. The last rows are whole SciPy runs over runs with hand-written derivatives.",
        "",
        *table(["", "function", *LIBRARIES, "first"], rows),
        END,
    ]


def target_rows(run, *, whole=True):
    """Return the table of targets, or of those measured, and the notes on those not met."""
    rows, notes = [], []
    for target in TARGETS:
        found = target.found(run)
        if found is None and not whole:
            continue
        said = verdict(target, found)
        limits = " then ".join(f"{x:g}" for x in (target.limit, target.then) if x is not None)
        figure = "-" if found is None else f"{number(found)} {target.unit}"
        rows.append([target.case, figure, f"<= {limits}", said, target.elsewhere or "-"])
        if target.note and said == "not met":
            notes.append(f"* {target.case}: {target.note}")
    head = ["figure", "measured", "target", "", "others, measured earlier"]
    return [*table(head, rows), "", *notes]


def problem_lines(measurement):
    """Return the heading and the table of one problem."""
    problem = measurement.problem
    measure, rows = getattr(problem, "measure", "s"), []
    for label in measurement.seconds:
        if label == CONTROL:
            continue
        ratio = ""
        if UNIT in measurement.seconds:
            least, median, most = map(number, measurement.ratio(label))
            ratio = f"{median} ({least}-{most})"
        first = measurement.first.get(label)
        rows.append(
            [
                label,
                quantity(measurement.time(label).median, measure),
                ratio,
                "" if first is None else quantity(first),
            ]
        )
    unit = f"ratio to {problem.unit}" if problem.unit else ""
    failures = [f"{label}: {text}" for label, text in measurement.failures.items()]
    lines = table(["", "median", f"{unit} (min-max)" if unit else "", "first result"], rows)
    return [f"### {problem.title}", "", *lines, "", *failures, *[""] * bool(failures)]


def drift(run):
    """Return what control and harness say about the run."""
    controls = [m.time(CONTROL).median for m in run.values() if CONTROL in m.seconds]
    harness = [m.time(HARNESS).median for m in run.values() if HARNESS in m.seconds]
    if not controls:
        return []
    least, median, most = spread(controls)
    busy = "**Other work ran on the machine: these are rough figures.** " * (most > BUSY * least)
    return [
        f"{busy}The control, a compiled loop without derivatives, took {quantity(median)}; between "
        f"problems its median went from {quantity(least)} to {quantity(most)}: the drift of the "
        f"machine. A Python function that does nothing took {quantity(spread(harness).median)}: "
        "the share of the harness in every time.",
        "",
    ]


def document(run, about, command):
    """Return the text of RESULTS.md."""
    lines = [
        "# Results",
        "",
        f"Written by `{command}`. {about['date']}; {about['machine']}.",
        f"{about['versions']}.",
        "",
        "All derivatives agreed to 1e-9 before they were timed. Ratios are taken within rounds in "
        "which all candidates take turns: median (min-max). *first result* is everything up to the "
        "first derivative: tracing, compilation, the call.",
        "",
        *drift(run),
        "## Summary",
        "",
        *summary(run, about),
        "",
        "## Rows in which another library is first",
        "",
        *not_first(run),
        "",
        "## Targets",
        "",
        *target_rows(run),
        "## Problems",
        "",
    ]
    for measurement in run.values():
        lines += problem_lines(measurement)
    return "\n".join(lines).rstrip() + "\n"


def between_markers(text):
    """Return what stands between the markers of a text, with them."""
    return text[text.index(BEGIN) : text.index(END) + len(END)]


def insert_summary(readme, results):
    """Return the README with the summary of RESULTS.md between its markers."""
    return readme.replace(between_markers(readme), between_markers(results))
