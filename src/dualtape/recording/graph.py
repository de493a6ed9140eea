"""Pictures of a recording: Graphviz text, and a figure if matplotlib is installed.

Every row is a node with its operation, value and adjoint; every entry is an edge from operand to
result, labelled with the partial.  Adjoints flow against the edges, multiplied by the partials.
"""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from .record import Recording, Statement

LARGEST = 500  # rows of a picture that is still legible


def dot(recording: Recording, y: Any = None) -> str:
    r"""Return a recording as Graphviz text.

    Parameters
    ----------
    recording : Tape or Recorded
        The result of `record`, or a `Tape` at the prompt.
    y : Active or int, optional
        The result (or its row) whose adjoints are shown, if there are several.

    Returns
    -------
    str
        For ``dot -Tsvg`` or any other reader of the DOT language; needs no other package.

    Raises
    ------
    ArgumentError
        If the recording has more than 500 rows, or several results and `y` names none.

    Examples
    --------
    >>> import dualtape as ad
    >>> print(ad.graph.dot(ad.record(lambda x, y: x * y, 3.0, 4.0)))
    digraph recording {
      rankdir=LR;
      node [shape=box, style=rounded, fontname="Helvetica"];
      1 [label="input x\nvalue 3\nadjoint 4", style="rounded,filled", fillcolor="#dce9f5"];
      2 [label="input y\nvalue 4\nadjoint 3", style="rounded,filled", fillcolor="#dce9f5"];
      3 [label="*\nvalue 12\nadjoint 1", style="rounded,filled", fillcolor="#fbe3d2"];
      1 -> 3 [label="4"];
      2 -> 3 [label="3"];
    }
    """
    statements, adjoint = _checked(recording, y)
    lines = ["digraph recording {", "  rankdir=LR;"]
    lines.append('  node [shape=box, style=rounded, fontname="Helvetica"];')
    for s in statements:
        color = _color(recording, s)
        fill = f', style="rounded,filled", fillcolor="{color}"' if color else ""
        label = _text(recording, s, adjoint[s.row]).replace("\n", "\\n")
        lines.append(f'  {s.row} [label="{label}"{fill}];')
    for s in statements:
        for row, p in zip(s.operands, s.partials, strict=True):
            lines.append(f'  {row} -> {s.row} [label="{p:.4g}"];')
    return "\n".join([*lines, "}"])


def draw(recording: Recording, y: Any = None, ax: Any = None) -> Any:
    """Draw a recording with matplotlib; inputs stand left, results right.

    Parameters
    ----------
    recording, y
        As in `dot`.
    ax : matplotlib axes, optional
        The axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ImportError
        If matplotlib is missing: install the "plot" extra.
    ArgumentError
        As in `dot`.

    Examples
    --------
    >>> import dualtape as ad
    >>> ax = ad.graph.draw(ad.record(lambda x, y: x**2 * y + y + 2.0, 3.0, 4.0))
    >>> len(ax.texts)
    18
    """
    import matplotlib.pyplot as plt  # noqa: PLC0415  # an extra

    statements, adjoint = _checked(recording, y)
    places = _places(statements)
    if ax is None:
        columns = 1 + max((x for x, _ in places.values()), default=0)
        tallest = max((abs(y) for _, y in places.values()), default=0)
        _, ax = plt.subplots(figsize=(2.2 * columns + 1.0, 2.4 * tallest + 2.5), layout="tight")
    for s in statements:
        for row, p in zip(s.operands, s.partials, strict=True):
            _edge(ax, places[row], places[s.row], f"{p:.4g}")
    for s in statements:
        box = {"boxstyle": "round,pad=0.4", "fc": _color(recording, s) or "white", "ec": "0.3"}
        ax.text(
            *places[s.row], _text(recording, s, adjoint[s.row]), ha="center", va="center", bbox=box
        )
    ax.set_axis_off()
    ax.margins(0.15)
    ax.autoscale_view()
    return ax


def _checked(recording: Recording, y: Any) -> tuple[list[Statement], Any]:
    statements = recording.statements()
    if len(statements) > LARGEST:
        raise ArgumentError(
            f"the recording has {len(statements)} rows; a picture of more than {LARGEST} cannot be "
            "read. Record a smaller problem."
        )
    return statements, recording.adjoints(y)


def _text(recording: Recording, s: Statement, adjoint: float) -> str:
    name = recording.title(s)
    value = "" if s.value != s.value and not s.operation else f"\nvalue {s.value:.4g}"
    return f"{name}{value}\nadjoint {adjoint:.4g}"


def _color(recording: Recording, s: Statement) -> str:
    if s.operation == "input":
        return "#dce9f5"
    return "#fbe3d2" if s.row in recording.outputs else ""


def _places(statements: list[Statement]) -> dict[int, tuple[float, float]]:
    """Return (column, height) of every row: longest paths give columns, operands the order."""
    column: dict[int, int] = {}
    for s in statements:
        column[s.row] = 1 + max((column[row] for row in s.operands), default=-1)
    places: dict[int, tuple[float, float]] = {}
    for k in range(1 + max(column.values(), default=0)):
        members = [s for s in statements if column[s.row] == k]
        members.sort(key=lambda s: _mean([places[row][1] for row in s.operands], -s.row))
        for i, s in enumerate(members):
            places[s.row] = (float(k), i - (len(members) - 1) / 2)
    return places


def _mean(heights: list[float], otherwise: float) -> float:
    return sum(heights) / len(heights) if heights else otherwise


def _edge(ax: Any, start: tuple[float, float], end: tuple[float, float], text: str) -> None:
    # Edges over several columns, or along a row of nodes, are bent to pass beside the nodes.
    span = end[0] - start[0]
    bend = 0.0 if span <= 1 else 0.4 if start[1] <= end[1] else -0.4
    style = {"arrowstyle": "-|>", "color": "0.5", "shrinkA": 28, "shrinkB": 28}
    style["connectionstyle"] = f"arc3,rad={bend}"
    ax.annotate("", xy=end, xytext=start, arrowprops=style)
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 - bend * span / 2
    ax.text(*middle, text, ha="center", va="center", fontsize=8, color="0.3", backgroundcolor="w")
    ax.plot(*zip(start, end, strict=True), alpha=0.0)
