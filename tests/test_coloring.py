"""Colorings are valid: checked from the definitions, on patterns of every kind."""

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from dualtape.sparse import coloring


def arrow(n):
    matrix = np.eye(n, dtype=bool)
    matrix[0] = matrix[:, 0] = True
    return matrix


def banded(n, width):
    i = np.arange(n)
    return abs(i[:, None] - i) <= width


PATTERNS = {
    "empty": np.zeros((0, 0), bool),
    "no entries": np.zeros((4, 4), bool),
    "one": np.ones((1, 1), bool),
    "diagonal": np.eye(9, dtype=bool),
    "tridiagonal": banded(20, 1),
    "pentadiagonal": banded(17, 2),
    "arrow": arrow(15),
    "arrow, hub last": arrow(15)[::-1, ::-1],
    "dense": np.ones((7, 7), bool),
    "antidiagonal": np.eye(8, dtype=bool)[::-1],
    "cycle": np.roll(np.eye(9, dtype=bool), 1, 0) | np.roll(np.eye(9, dtype=bool), -1, 0),
}
squares = st.integers(0, 14).flatmap(
    lambda n: st.lists(st.booleans(), min_size=n * n, max_size=n * n).map(
        lambda bits: np.array(bits, bool).reshape(n, n)
    )
)


def csr(matrix):
    made = scipy.sparse.csr_array(matrix)
    return made.indptr, made.indices


def check_row_coloring(matrix):
    colors = coloring.row_coloring(*csr(matrix), matrix.shape[1])
    assert colors.shape == (matrix.shape[0],)
    for color in range(colors.max(initial=-1) + 1):
        assert np.any(colors == color)  # none is left out
        assert matrix[colors == color].sum(0).max(initial=0) <= 1
    return colors


def check_star_coloring(matrix):
    """Neighbors differ, no path of four has two colors, and decompression is exact."""
    adjacent = matrix & ~np.eye(len(matrix), dtype=bool)
    colors = coloring.star_coloring(*csr(matrix))
    neighbors = [np.flatnonzero(row) for row in adjacent]
    for v, around in enumerate(neighbors):
        for w in around:
            assert colors[v] != colors[w]
            for x in neighbors[w]:
                for y in neighbors[x]:
                    if len({v, w, x, y}) == 4:
                        assert len({colors[v], colors[w], colors[x], colors[y]}) > 2
    rng = np.random.default_rng(0)
    h = rng.integers(1, 100, matrix.shape) * matrix
    h = np.triu(h) + np.triu(h, 1).T
    count = colors.max(initial=-1) + 1
    compressed = h @ (colors[:, None] == np.arange(count))
    indptr, indices = csr(matrix)
    places = coloring.star_places(indptr, indices, colors)
    assert places.min(initial=0) >= 0
    rows = np.repeat(np.arange(len(matrix)), np.diff(indptr))
    np.testing.assert_array_equal(compressed[places[:, 0], places[:, 1]], h[rows, indices])
    return colors


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns(name):
    matrix = PATTERNS[name]
    check_row_coloring(matrix)
    check_star_coloring(matrix | matrix.T)


@settings(deadline=None, max_examples=150)
@given(squares, st.integers(0, 14))
def test_random_patterns(matrix, rows):
    check_row_coloring(matrix[:rows])
    check_star_coloring(matrix | matrix.T)


@pytest.mark.parametrize(
    ("matrix", "rows", "star"),
    [
        (banded(30, 1), 3, 3),
        (arrow(30), 30, 2),
        (np.ones((6, 6), bool), 6, 6),
        (np.eye(5, dtype=bool), 1, 1),
    ],
)
def test_counts_that_are_known(matrix, rows, star):
    assert check_row_coloring(matrix).max() + 1 == rows
    assert check_star_coloring(matrix).max() + 1 == star


@settings(deadline=None, max_examples=50)
@given(squares)
def test_transpose_and_symmetric_pattern(matrix):
    indptr, indices, order = coloring.transpose(*csr(matrix), len(matrix))
    expected = csr(matrix.T)
    np.testing.assert_array_equal(indptr, expected[0])
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_array_equal(csr(matrix)[1][order], np.nonzero(matrix.T)[0])
    union = coloring.symmetric_pattern(*csr(matrix))
    for found, wanted in zip(union, csr(matrix | matrix.T), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_an_unreadable_entry_is_told():
    """One color for two neighbors is no coloring."""
    assert coloring.star_places(*csr(np.ones((2, 2), bool)), np.zeros(2)).min() == -1


def test_large_arrows_take_linear_time():
    """The hub has ten thousand neighbors; a quadratic algorithm would visit 10**8 pairs."""
    n = 10_000
    hub = np.arange(1, n)
    rows = np.concatenate([np.zeros(n - 1, int), hub, np.arange(n)])
    cols = np.concatenate([hub, np.zeros(n - 1, int), np.arange(n)])
    matrix = scipy.sparse.csr_array((np.ones(rows.size), (rows, cols)))
    colors = coloring.star_coloring(matrix.indptr, matrix.indices)
    assert colors[0] == 0
    assert np.all(colors[1:] == 1)
