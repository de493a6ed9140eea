"""Pictures of recordings: Graphviz text and the figure."""

import re
import sys

import numpy as np
import pytest

import dualtape as ad
from dualtape.errors import ArgumentError
from dualtape.recording.graph import LARGEST


def polynomial(x, y):
    return x**2 * y + y + 2.0


@pytest.fixture(scope="module")
def recorded():
    return ad.record(polynomial, 3.0, 4.0)


def nodes(text):
    """Return {row: (title, value, adjoint, color)} of a picture; value and color may be None."""
    pattern = r'^  (\d+) \[label="(.*?)(?:\\nvalue (\S+))?\\nadjoint ([^\\"]+)"(.*)\];$'
    found = {}
    for row, title, value, adjoint, style in re.findall(pattern, text, re.MULTILINE):
        color = re.search(r'fillcolor="(#\w+)"', style)
        found[int(row)] = title, value or None, float(adjoint), color and color.group(1)
    return found


def edges(text):
    """Return [(operand, row, partial)]."""
    found = re.findall(r'^  (\d+) -> (\d+) \[label="(\S+)"\];$', text, re.MULTILINE)
    return [(int(a), int(b), float(p)) for a, b, p in found]


def test_dot(recorded):
    text = ad.graph.dot(recorded)
    lines = text.splitlines()
    assert lines[0] == "digraph recording {"
    assert lines[-1] == "}"
    found = nodes(text)
    inputs, result = found[1][3], found[6][3]
    assert found == {
        1: ("input x", "3", 24.0, inputs),
        2: ("input y", "4", 10.0, inputs),
        3: ("**", "9", 4.0, None),
        4: ("*", "36", 1.0, None),
        5: ("+", "40", 1.0, None),
        6: ("+", "42", 1.0, result),
    }
    assert None not in (inputs, result)
    assert inputs != result
    assert sorted(edges(text)) == [
        (1, 3, 6.0),
        (2, 4, 9.0),
        (2, 5, 1.0),
        (3, 4, 4.0),
        (4, 5, 1.0),
        (5, 6, 1.0),
    ]
    assert len(lines) == 4 + len(found) + len(edges(text))


def test_adjoints_flow_along_the_edges_of_the_picture(recorded):
    """The adjoint of a node is the sum of partial times adjoint over the edges that leave it."""
    text = ad.graph.dot(recorded)
    found = nodes(text)
    for row in range(1, 6):
        total = sum(p * found[end][2] for start, end, p in edges(text) if start == row)
        assert found[row][2] == total


def test_dot_of_a_tape_at_the_prompt():
    tape = ad.Tape()
    x, y = tape.variable(2.0), tape.variable(5.0)
    z = np.exp(x - 2.0) * y
    text = ad.graph.dot(tape)
    assert [node[:3] for node in nodes(text).values()] == [
        ("input", "2", 5.0),
        ("input", "5", 1.0),
        ("-", "0", 5.0),
        ("exp", "1", 5.0),
        ("*", "5", 1.0),
    ]
    assert sorted(edges(text)) == [(1, 3, 1.0), (2, 5, 1.0), (3, 4, 1.0), (4, 5, 5.0)]
    w = y * y
    assert [node[2] for node in nodes(ad.graph.dot(tape, z)).values()] == [5, 1, 5, 5, 1, 0]
    assert [node[2] for node in nodes(ad.graph.dot(tape, w)).values()] == [0, 10, 0, 0, 0, 1]
    assert ad.graph.dot(tape) == ad.graph.dot(tape, w) == ad.graph.dot(tape, w.row)


def test_values_are_rounded_for_reading():
    tape = ad.Tape()
    x = tape.variable(1.0 / 3.0)
    y = x * 1e-7
    text = ad.graph.dot(tape)
    assert [node[1] for node in nodes(text).values()] == ["0.3333", "3.333e-08"]
    assert edges(text) == [(1, 2, 1e-7)]
    assert y.value == 1.0 / 3.0 * 1e-7


def test_nothing_recorded():
    text = ad.graph.dot(ad.Tape())
    assert nodes(text) == {}
    assert edges(text) == []


def two_results(x, y):
    return x * y, np.array([x, y - x])


@pytest.fixture(scope="module")
def several():
    return ad.record(two_results, 2.0, 7.0)


def test_several_results(several):
    product, same, difference = several.outputs
    with pytest.raises(ArgumentError, match="3 results"):
        ad.graph.dot(several)
    found = {y: nodes(ad.graph.dot(several, y)) for y in several.outputs}
    assert [found[product][row][2] for row in (1, 2)] == [7.0, 2.0]
    assert [found[same][row][2] for row in (1, 2)] == [1.0, 0.0]
    assert [found[difference][row][2] for row in (1, 2)] == [-1.0, 1.0]
    colors = {row: node[3] for row, node in found[product].items()}
    assert colors[product] == colors[difference] is not None
    assert colors[same] == colors[2] != colors[product]  # an input stays one


def long_tape(rows):
    tape = ad.Tape()
    x = tape.variable(1.0)
    for _ in range(rows - 1):
        x = x * 1.0
    return tape


def test_pictures_have_a_largest_size():
    text = ad.graph.dot(long_tape(LARGEST))
    assert len(nodes(text)) == LARGEST == 500
    assert len(edges(text)) == LARGEST - 1
    for picture in (ad.graph.dot, ad.graph.draw):
        with pytest.raises(ArgumentError, match="501 rows"):
            picture(long_tape(LARGEST + 1))


@pytest.fixture
def axes():
    """Return matplotlib's axes, closed after the test."""
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415  # an extra

    _, ax = pyplot.subplots(figsize=(16.0, 12.0))
    yield ax
    pyplot.close("all")


def placed(ax):
    """Return {title: [texts]} of the nodes, and how many texts stand at edges."""
    boxes, others = {}, 0
    for text in ax.texts:
        if "adjoint" in text.get_text():
            boxes.setdefault(text.get_text().splitlines()[0], []).append(text)
        elif text.get_text():
            others += 1
    return boxes, others


def assert_apart(texts, ax):
    """Check that no two boxes of nodes overlap on the canvas."""
    ax.figure.draw_without_rendering()
    boxes = [text.get_bbox_patch().get_window_extent() for text in texts]
    assert all(box.width > 0 and box.height > 0 for box in boxes)
    for i, box in enumerate(boxes):
        for other in boxes[i + 1 :]:
            assert not box.overlaps(other), (box, other)


def test_draw(recorded, axes):
    drawn = ad.graph.draw(recorded, ax=axes)
    assert drawn is axes
    boxes, partials = placed(axes)
    assert {title: len(texts) for title, texts in boxes.items()} == {
        "input x": 1,
        "input y": 1,
        "**": 1,
        "*": 1,
        "+": 2,
    }
    assert partials == 6
    assert len(axes.texts) == 6 + 2 * 6  # an arrow is an empty text
    nodes = [text for texts in boxes.values() for text in texts]
    values = sorted(float(re.search(r"value (\S+)", t.get_text()).group(1)) for t in nodes)
    assert values == [3.0, 4.0, 9.0, 36.0, 40.0, 42.0]
    assert_apart(nodes, axes)


def test_inputs_stand_left_and_results_right(recorded, axes):
    ad.graph.draw(recorded, ax=axes)
    boxes, _ = placed(axes)
    at = {text.get_text(): text.get_position() for texts in boxes.values() for text in texts}
    x = {title.split("\n")[1]: place[0] for title, place in at.items()}
    assert x["value 3"] == x["value 4"] == min(x.values())
    assert x["value 3"] < x["value 9"] < x["value 36"] < x["value 40"] < x["value 42"]
    assert len(set(at.values())) == 6


def of_many(x):
    return np.sum(np.sin(x) * x) * x[0]


def test_a_wider_recording_fits(axes):
    found = ad.record(of_many, np.linspace(0.5, 1.5, 6))
    ax = ad.graph.draw(found)  # a figure of its own size
    boxes, partials = placed(ax)
    nodes = [text for texts in boxes.values() for text in texts]
    assert len(nodes) == len(found.statements())
    assert partials == found.to_scipy().nnz
    assert ax is not axes
    assert_apart(nodes, ax)
    left = [text.get_position()[0] for title in boxes if "input" in title for text in boxes[title]]
    assert set(left) == {0.0}
    [last] = [t for t in nodes if t.get_text().endswith("adjoint 1") and "*" in t.get_text()]
    assert last.get_position()[0] == max(text.get_position()[0] for text in nodes)


def test_draw_of_several_results(several, axes):
    with pytest.raises(ArgumentError, match="3 results"):
        ad.graph.draw(several, ax=axes)
    boxes, _ = placed(ad.graph.draw(several, several.outputs[0], axes))
    assert [text.get_text() for text in boxes["input x"]] == ["input x\nvalue 2\nadjoint 7"]


def test_draw_without_matplotlib(recorded, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="matplotlib"):
        ad.graph.draw(recorded)


def test_draw_of_an_empty_tape(axes):
    assert ad.graph.draw(ad.Tape(), ax=axes) is axes
    assert not axes.texts
