"""The tape: storage, recordings at the prompt, recordings of compiled functions."""

import gc
import inspect
import math
import operator
import re

import numba
import numpy as np
import pytest
import scipy.sparse
from references import ROWS, draw
from scipy.sparse.linalg import spsolve_triangular

import dualtape as ad
from dualtape.backend.symbols import DEFAULT_LIMIT, SLOTS, TAPES
from dualtape.errors import ArgumentError, TapeMemoryError
from dualtape.recording import record
from dualtape.reverse.sweep import reverse_sweep
from dualtape.tape import storage
from dualtape.tape.storage import SMALLEST, Storage, native_class, tape_at

# Sums of products in another order: a dozen roundings of 1e-16, terms of one size.
RTOL_ORDER = 1e-14
# Eight significant digits of float32 minus what a dozen roundings cost.
RTOL_FLOAT32 = 1e-5
LIMIT = 10**9


# At the prompt


@pytest.fixture
def pair():
    """Return a tape and its inputs x = 3 (row 1) and y = 4 (row 2)."""
    made = ad.Tape()
    return made, made.variable(3.0), made.variable(4.0)


def told(recording, first=1):
    """Return (operation, operands, partials) of the rows from `first`."""
    rows = recording.statements()[first - 1 :]
    return [(s.operation, s.operands, s.partials) for s in rows]


def test_a_tape_begins_empty():
    made = ad.Tape()
    assert (made.rows, made.entries, made.statements()) == (1, 0, [])
    assert made.to_scipy().shape == (1, 1)
    np.testing.assert_array_equal(made.adjoints(), [0.0])
    assert str(made).splitlines() == [str(made)]


def test_operations_become_rows(pair):
    made, x, y = pair
    z = x * y + y
    assert (z.value, z.row) == (16.0, 4)
    assert told(made) == [
        ("input", (), ()),
        ("input", (), ()),
        ("*", (1, 2), (4.0, 3.0)),
        ("+", (3, 2), (1.0, 1.0)),
    ]
    assert [s.value for s in made.statements()] == [3.0, 4.0, 12.0, 16.0]
    assert [s.row for s in made.statements()] == [1, 2, 3, 4]


def test_rows_know_their_line(pair):
    made, x, y = pair
    line = inspect.currentframe().f_lineno + 1
    z = x * y
    [statement] = made.statements()[2:]
    assert statement.line == f"{__file__}:{line}"
    assert statement.row == z.row


ONE_ROW = {
    "x + y": (lambda x, y: x + y, "+", {1: 1.0, 2: 1.0}),
    "x - y": (lambda x, y: x - y, "-", {1: 1.0, 2: -1.0}),
    "x * y": (lambda x, y: x * y, "*", {1: 4.0, 2: 3.0}),
    "x / y": (lambda x, y: x / y, "/", {1: 0.25, 2: -3.0 / 16.0}),
    "x + 2": (lambda x, y: x + 2, "+", {1: 1.0}),
    "2 + x": (lambda x, y: 2 + x, "+", {1: 1.0}),
    "x - 2": (lambda x, y: x - 2, "-", {1: 1.0}),
    "x * 2.0": (lambda x, y: x * 2.0, "*", {1: 2.0}),
    "float64 * x": (lambda x, y: np.float64(2.0) * x, "*", {1: 2.0}),
    "x / 2": (lambda x, y: x / 2, "/", {1: 0.5}),
    "6 / x": (lambda x, y: 6 / x, "/", {1: -6.0 / 9.0}),
    "x**3": (lambda x, y: x**3, "**", {1: 27.0}),
    "x**0": (lambda x, y: x**0, "**", {1: 0.0}),
    "x**-1": (lambda x, y: x**-1, "**", {1: -1.0 / 9.0}),
    "-x": (lambda x, y: -x, "-", {1: -1.0}),
    "abs(x)": (lambda x, y: abs(x), "abs", {1: 1.0}),
    "np.exp": (lambda x, y: np.exp(x), "exp", {1: math.exp(3.0)}),
    "np.sqrt": (lambda x, y: np.sqrt(y), "sqrt", {2: 0.25}),
    "np.arctan2": (np.arctan2, "arctan2", {1: 4.0 / 25.0, 2: -3.0 / 25.0}),
    "np.maximum": (np.maximum, "maximum", {1: 0.0, 2: 1.0}),
    "np.multiply": (np.multiply, "*", {1: 4.0, 2: 3.0}),
    "np.sum": (lambda x, y: np.sum(np.array([x, y])), "+", {1: 1.0, 2: 1.0}),
    # equal operands are one entry
    "x + x": (lambda x, y: x + x, "+", {1: 2.0}),
    "x - x": (lambda x, y: x - x, "-", {1: 0.0}),
    "x * x": (lambda x, y: x * x, "*", {1: 6.0}),
    "x / x": (lambda x, y: x / x, "/", {1: 0.0}),
    "np.hypot(x, x)": (lambda x, y: np.hypot(x, x), "hypot", {1: math.sqrt(2.0)}),
    "x**2.5": (lambda x, y: x**2.5, "**", {1: 2.5 * 3.0**1.5}),
    "x**y": (lambda x, y: x**y, "**", {1: 108.0, 2: 81.0 * math.log(3.0)}),
    "2**x": (lambda x, y: 2**x, "**", {1: 8.0 * math.log(2.0)}),
    "x % 2.0": (lambda x, y: x % 2.0, "%", {1: 1.0}),
    "y // x": (lambda x, y: y // x, "//", {2: 0.0, 1: 0.0}),
    "2 - x": (lambda x, y: 2 - x, "-", {1: -1.0}),
}


@pytest.mark.parametrize(("f", "operation", "partials"), ONE_ROW.values(), ids=ONE_ROW)
def test_one_operation_is_one_row(f, operation, partials, pair):
    made, x, y = pair
    z = f(x, y)
    assert z.value == pytest.approx(f(3.0, 4.0), rel=RTOL_ORDER)
    [(name, operands, found)] = told(made, 3)
    assert name == operation
    assert operands == tuple(partials)
    assert found == pytest.approx(tuple(partials.values()), rel=RTOL_ORDER)
    assert z.row == 3


def test_what_is_not_recorded(pair):
    made, x, y = pair
    rows = made.rows
    assert (+x).row == 1
    assert x.value + 1.0 == 4.0
    assert np.where(x > 2.0, x, y).item().row == 1
    assert max(x, y).row == 2
    assert (x < y, x == 3.0, bool(x), ad.value(y)) == (True, True, True, 4.0)
    assert made.rows == rows


def test_constants_have_row_zero(pair):
    made, x, _ = pair
    constant = made.append(5.0, (0, 0), (7.0, 8.0))
    assert (constant.value, constant.row) == (5.0, 0)
    assert made.rows == 3
    z = constant * x
    assert told(made, 3) == [("*", (1,), (5.0,))]
    assert made.gradient(z, (x, constant)) == (5.0, 0.0)
    assert made.gradient(constant, x) == 0.0
    assert made.gradient(2.5, x) == 0.0


def test_partials_of_equal_rows_are_added():
    made = ad.Tape()
    x, y = made.variable(1.0), made.variable(2.0)
    made.append(0.0, (x.row, y.row, 0, x.row), (1.5, 2.0, 9.0, -0.5))
    [(_, operands, partials)] = told(made, 3)
    assert (operands, partials) == ((1, 2), (1.0, 2.0))


def test_only_plain_numbers_are_variables(pair):
    made, x, _ = pair
    for value in ("3", x, [1.0], None, 1j, np.ones(2)):
        with pytest.raises(ArgumentError, match=r"Tape\.variable"):
            made.variable(value)
    assert made.rows == 3
    for value in (2, np.float32(2.0), np.int64(2)):
        number = made.variable(value)
        assert type(number.value) is float
        assert number.value == 2.0


def of_three(x, y, z):
    """Return a scalar with gradient `gradient_of_three`."""
    u = np.exp(x * y) + z
    return u * u / y - np.sin(z)


def gradient_of_three(x, y, z):
    u = math.exp(x * y) + z
    ux, uy = y * math.exp(x * y), x * math.exp(x * y)
    return 2 * u * ux / y, 2 * u * uy / y - u * u / y**2, 2 * u / y - math.cos(z)


AT = (0.5, 1.25, -2.0)


def test_gradient_in_every_structure():
    made = ad.Tape()
    x, y, z = map(made.variable, AT)
    w = of_three(x, y, z)
    expected = gradient_of_three(*AT)
    assert made.gradient(w, (x, y, z)) == pytest.approx(expected, rel=RTOL_ORDER)
    one = made.gradient(w, y)
    assert type(one) is float
    assert one == pytest.approx(expected[1], rel=RTOL_ORDER)
    assert made.gradient(w, [z, x]) == pytest.approx([expected[2], expected[0]], rel=RTOL_ORDER)
    array = made.gradient(w, np.array([[x, y, z, x]]))
    assert array.shape == (1, 4)
    assert array.dtype == np.float64
    np.testing.assert_allclose(array, [[*expected, expected[0]]], rtol=RTOL_ORDER)
    nested = made.gradient(w, (x, [y, np.array([z])]))
    assert nested[0] == array[0, 0]
    assert nested[1][0] == one
    assert nested[1][1].tolist() == [array[0, 2]]
    # of anything on the tape, not only of the last row
    assert made.gradient(x * y, w) == 0.0
    assert made.gradient(w, w) == 1.0


def test_gradient_of_array_functions_at_the_prompt():
    made = ad.Tape()
    x = np.array([made.variable(v) for v in (1.0, -0.5, 2.0)])
    y = np.sum(np.exp(x) * x) + np.dot(x, x)
    values = np.array([1.0, -0.5, 2.0])
    expected = np.exp(values) * (1.0 + values) + 2.0 * values
    np.testing.assert_allclose(made.gradient(y, x), expected, rtol=RTOL_ORDER)


def test_adjoints_of_every_row(pair):
    made, x, y = pair
    z = x * y + y
    np.testing.assert_array_equal(made.adjoints(z), [0.0, 4.0, 4.0, 1.0, 1.0])
    np.testing.assert_array_equal(made.adjoints(), made.adjoints(z))
    np.testing.assert_array_equal(made.adjoints(4), made.adjoints(z))
    np.testing.assert_array_equal(made.adjoints(3), [0.0, 4.0, 3.0, 1.0, 0.0])
    np.testing.assert_array_equal(made.adjoints(0), np.zeros(5))
    assert made.outputs == (4,)


def test_an_adjoint_that_is_zero_stays_zero():
    made = ad.Tape()
    x = made.variable(0.0)
    root = np.sqrt(x)  # infinite derivative
    y = 0.0 * root + x
    assert made.statements()[1].partials == (math.inf,)
    assert made.gradient(y, x) == 1.0


def test_infinite_adjoints_at_the_prompt():
    """Without a warning, too: they are errors here."""
    made = ad.Tape()
    x = made.variable(0.0)
    assert made.gradient(np.sqrt(x) * 2.0, x) == math.inf


def test_steps(pair):
    made, x, y = pair
    assert list(made.steps(x * y + y)) == [
        "row 4 (+) has adjoint 1.0: row 3 gets 1.0 * 1.0, row 2 gets 1.0 * 1.0",
        "row 3 (*) has adjoint 1.0: row 1 gets 4.0 * 1.0, row 2 gets 3.0 * 1.0",
        "row 2 (input) has adjoint 4.0",
        "row 1 (input) has adjoint 4.0",
    ]


def test_printing(pair):
    made, x, y = pair
    z = x / y - y
    assert z.value == -3.25
    header, *lines = str(made).splitlines()
    assert header.split() == ["row", "operation", "value", "adjoint", "partials"]
    rows = [re.fullmatch(r" *(\d+)  (\S+) +(\S+) +(\S+) *(.*)", line).groups() for line in lines]
    assert rows == [
        ("1", "input", "3", "0.25", ""),
        ("2", "input", "4", "-1.1875", ""),
        ("3", "/", "0.75", "1", "d/d1 = 0.25, d/d2 = -0.1875"),
        ("4", "-", "-3.25", "1", "d/d3 = 1, d/d2 = -1"),
    ]
    assert not [line for line in lines if line != line.rstrip()]
    assert repr(z) == "Active(-3.25, row 4)"


def assert_same_by_substitution(recording, row):
    """Solve (1 - L)' a = e_row, L the CSR matrix of local partials, and compare adjoints."""
    matrix = recording.to_scipy()
    size = 1 + len(recording.statements())
    assert isinstance(matrix, scipy.sparse.csr_array)
    assert matrix.shape == (size, size)
    for s in recording.statements():
        entries = slice(matrix.indptr[s.row], matrix.indptr[s.row + 1])
        assert tuple(matrix.indices[entries]) == s.operands
        assert tuple(matrix.data[entries]) == s.partials
    assert matrix.nnz == sum(len(s.operands) for s in recording.statements())
    dense = matrix.toarray()
    assert not np.triu(dense).any()
    unit = np.zeros(size)
    unit[row] = 1.0
    system = scipy.sparse.csr_array(np.eye(size) - dense.T)
    solved = spsolve_triangular(system, unit, lower=False)
    found = recording.adjoints(row)
    np.testing.assert_allclose(found, solved, rtol=RTOL_ORDER, atol=RTOL_ORDER * abs(solved).max())
    return found


def test_a_reverse_sweep_is_a_backward_substitution():
    made = ad.Tape()
    numbers = list(map(made.variable, AT))
    w = of_three(*numbers)
    found = assert_same_by_substitution(made, w.row)
    np.testing.assert_allclose(found[1:4], gradient_of_three(*AT), rtol=RTOL_ORDER)


def test_mark_and_rewind(pair):
    made, x, y = pair
    z = x * y
    mark, before = made.mark(), str(made)
    for _ in range(3):
        w = np.sin(z) + y
        assert made.rows == 6
        made.rewind(mark)
        assert w.row == 5
        assert str(made) == before
        assert len(made.statements()) == 3
    w = z - x  # takes the place of what was forgotten
    assert (w.row, told(made, 4)) == (4, [("-", (3, 1), (1.0, -1.0))])
    assert made.gradient(w, (x, y)) == (3.0, 3.0)


def test_variables_may_come_late(pair):
    made, x, y = pair
    z = x * y
    late = made.variable(10.0)
    assert late.row == 4
    assert made.gradient(z * late + late, (x, y, late)) == (40.0, 30.0, 13.0)


def test_growth_at_the_prompt():
    made = ad.Tape()
    x = made.variable(1.0)
    y, sizes, n = x, set(), SMALLEST + 50
    for k in range(n):
        y = y * x if k % 2 else y + x  # two entries each
        sizes.add(made.capacity)
    assert made.rows == n + 2
    assert made.entries > 2 * SMALLEST
    assert len(sizes) == 3  # room is doubled
    assert made.capacity == 4 * SMALLEST
    assert made.nbytes() == 4 * made.row_end.size + 12 * made.capacity
    assert len(made.statements()) == n + 1
    # at x = 1, y -> y x adds y to dy/dx, y -> y + x adds 1: value and derivative by hand
    value, slope = 1.0, 1.0
    for k in range(n):
        slope, value = (slope + value, value) if k % 2 else (slope + 1.0, value + 1.0)
    assert y.value == value
    assert made.gradient(y, x) == slope


def test_growth_by_variables():
    made = ad.Tape()
    numbers = [made.variable(float(k)) for k in range(SMALLEST + 10)]
    total = sum(numbers[1:], start=numbers[0])
    gradient = made.gradient(total, np.array(numbers))
    np.testing.assert_array_equal(gradient, np.ones(SMALLEST + 10))


def test_the_limit_at_the_prompt():
    made = ad.Tape()
    x = made.variable(2.0)
    made.limit = 12 * SMALLEST // 2
    with pytest.raises(TapeMemoryError, match="set_tape_limit"):
        x * x
    made.limit = DEFAULT_LIMIT
    assert made.gradient(x * x, x) == 4.0


def test_numbers_of_two_tapes_do_not_mix():
    one, other = ad.Tape(), ad.Tape()
    x, y = one.variable(3.0), other.variable(4.0)
    with pytest.raises(TypeError):
        x * y
    with pytest.raises(TypeError):
        one.gradient(y, x)


def test_gradient_is_of_one_number(pair):
    made, x, y = pair
    for result in (np.array([x * y, x]), [x * y, x]):
        with pytest.raises(ArgumentError):
            made.gradient(result, x)


def test_gradient_is_by_numbers_of_the_tape(pair):
    made, x, y = pair
    with pytest.raises(ArgumentError):
        made.gradient(x * y, (x, 4.0))


def at_the_prompt(row):
    """Return what is called at the prompt: NumPy's function where there is one."""
    return next((f for f in row.targets if isinstance(f, np.ufunc)), row)


def points_of(row, rng):
    return [*draw(row, rng, 2), *row.kinks, *row.special]


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_rules_at_the_prompt(row, rng):
    """Adjoints are, bit for bit, the partials of a VectorDual."""
    f = at_the_prompt(row)
    for point in points_of(row, rng):
        made = ad.Tape()
        numbers = [made.variable(v) for v in point]
        with np.errstate(all="ignore"):
            y = f(*numbers)
            gradient = made.gradient(y, numbers)
            duals = [ad.VectorDual(v, e) for v, e in zip(point, np.eye(row.arity), strict=True)]
            expected = f(*duals)
        assert len(made.statements()) == row.arity + 1
        np.testing.assert_array_equal(y.value, expected.value)
        np.testing.assert_array_equal(gradient, list(expected.partials))
        for k in range(row.arity) if row.arity > 1 else ():
            mixed = list(point)
            mixed[k] = numbers[k]
            with np.errstate(all="ignore"):
                z = f(*mixed)
                partial = made.gradient(z, numbers[k])
            np.testing.assert_array_equal(z.value, expected.value)
            np.testing.assert_array_equal(partial, expected.partials[k])


# Storage


def test_bytes_of_an_entry_and_of_a_row():
    made = ad.Tape()
    x = made.variable(2.0)
    x * x
    assert made.col.itemsize + made.partial.view(np.float64).itemsize == 12
    assert made.row_end.itemsize == 4
    assert made.nbytes() == made.row_end.nbytes + 12 * made.capacity
    single = Storage(4, LIMIT)
    single.grow(1)
    assert single.col.nbytes + single.partial.nbytes == 8 * single.capacity


def test_room_of_a_new_storage():
    made = Storage(8, LIMIT)
    assert made.nbytes() == 8  # two row ends
    made.grow(1)
    assert made.capacity == SMALLEST
    made.grow(SMALLEST * 5)
    assert made.capacity == SMALLEST * 5
    made.entries = 5 * SMALLEST
    made.grow(1)
    assert made.capacity == SMALLEST * 10
    assert made.row_end.size > made.capacity + made.bare


def fill(made, rows, first):
    """Append rows of two entries."""
    for k in range(rows):
        if made.entries + 2 > made.capacity:
            made.grow(2)
        made.col[made.entries] = first + k
        made.col[made.entries + 1] = first + 2 * k
        made.partial[made.entries * made.item : (made.entries + 2) * made.item] = k % 256
        made.entries += 2
        made.row_end[made.rows] = made.entries
        made.rows += 1


fill_compiled = numba.njit(fill)


def exercise(made, fill):
    """Use every method of a tape, each at one place; return what is on it after every round."""
    states = []
    mark = made.mark()
    for k in range(4):
        if k == 3:
            made.begin(4)
        first = made.reserve(3 + 2000 * (k == 1))
        made.row_end[first : made.rows - 1] = made.entries  # only the last one is noted
        fill(made, 700 + 800 * (k == 1), first)
        offset = 0
        for j in range(40):
            made.add_block(k, 2 * j, 3 * j, 4 * j)
            offset = made.store(j)
        for j in range(3):
            made.name(100 * k + j // 2, 7 + j, 0.5 * j)
        made.clear_adjoints(3 - k % 2)
        counters = (made.rows, made.entries, made.capacity, made.bare, made.blocks, made.item)
        sizes = (made.nbytes(), made.arena_used, offset, first, made.adjoint.sum())
        contents = (
            made.row_end[: made.rows].copy(),
            made.col[: made.entries].copy(),
            made.partial[: made.entries * made.item].copy(),
            made.block[: made.blocks * 4].copy(),
            made.label.copy(),
        )
        states.append((counters, sizes, contents, made.value.copy()))
        made.adjoint[:] = 1
        if k == 1:
            made.rewind(mark)
        mark = made.mark()
    return states


@pytest.fixture(scope="module")
def native():
    """Return compiled functions of a tape as a jitclass."""
    make = native_class()
    run = numba.njit(exercise)

    @numba.njit
    def exercised(item):
        return run(make(item, LIMIT), fill_compiled)

    run_grow = numba.njit(grow)

    @numba.njit
    def limited(limit, what, count):
        return run_grow(make(8, limit), what, count)

    return exercised, limited


@pytest.mark.slow  # no method of a jitclass is cached: 10 s
def test_the_compiled_tape_does_what_the_plain_one_does(native):
    plain, compiled = exercise(Storage(8, LIMIT), fill), native[0](8)
    for found, expected in zip(compiled, plain, strict=True):
        assert found[:2] == expected[:2]
        for array, expected_array in zip(found[2], expected[2], strict=True):
            assert array.dtype == expected_array.dtype
            np.testing.assert_array_equal(array, expected_array)
        np.testing.assert_array_equal(found[3], expected[3])


def test_what_is_on_a_tape():
    one, two, rewound, begun = exercise(Storage(8, LIMIT), fill)
    assert one[0] == (704, 1400, 2 * SMALLEST, 4, 40, 8)
    assert two[0] == (704 + 2003 + 1500, 4400, 8 * SMALLEST, 2007, 80, 8)
    assert rewound[0] == (704 + 703, 2800, 8 * SMALLEST, 7, 80, 8)
    assert begun[0][:2] == (704, 1400)
    assert begun[0][3:] == (4, 40, 4)
    assert [state[1][3] for state in (one, two, rewound, begun)] == [1, 704, 704, 1]
    row_end, col, partial, block, label = two[2]
    assert row_end[3] == 0  # of bare rows the last one's end is noted
    np.testing.assert_array_equal(np.diff(row_end[3:704]), 2)
    assert row_end[2706] == 1400
    np.testing.assert_array_equal(np.diff(row_end[2706:]), 2)
    np.testing.assert_array_equal(col[1400::2], 704 + np.arange(1500))
    np.testing.assert_array_equal(partial[1400 * 8 :: 16], np.arange(1500) % 256)
    expected = [[k, 2 * j, 3 * j, 4 * j] for k in range(2) for j in range(40)]
    np.testing.assert_array_equal(block.reshape(80, 4), expected)
    # the first label of a row counts
    assert {row: (label[row], two[3][row]) for row in np.flatnonzero(label + 1)} == {
        0: (7, 0.0),
        1: (9, 1.0),
        100: (7, 0.0),
        101: (9, 1.0),
    }
    assert np.flatnonzero(begun[2][4] + 1).tolist() == [300, 301]
    for state in (one, two, rewound, begun):
        used, offset = state[1][1:3]
        assert used % 32 == offset % 32 == 0
        assert used == offset + 64  # the last block's 39 bytes
    # zeroes, and ones where more room was needed before
    assert one[1][4] == two[1][4] == 0
    rows, wide = 704 + 703, 8 * 2 * (704 + 3503)
    assert rewound[1][4] == wide - 8 * 3 * rows


def grow(made, what, count):
    if what == 0:
        made.grow(count)
    elif what == 1:
        made.store(count)
    elif what == 2:
        made.reserve(count)
    else:
        made.reserve(2000)
        made.clear_adjoints(count)
    return made.nbytes()


METHODS = {"grow": (0, 10_000), "store": (1, 10**5), "reserve": (2, 10**5), "clear": (3, 10)}


@pytest.mark.parametrize("method", METHODS)
def test_limits(method):
    what, count = METHODS[method]
    made = Storage(8, 10**6)
    assert grow(made, what, count) == made.nbytes()
    assert 10**5 < made.nbytes() <= 10**6
    for limit in (made.nbytes() - 1, 20_000):
        with pytest.raises(TapeMemoryError, match="checkpoint"):
            grow(Storage(8, limit), what, count)
    assert grow(Storage(8, made.nbytes()), what, count) == made.nbytes()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_limits_of_the_compiled_tape(method, native):
    what, count = METHODS[method]
    assert native[1](10**6, what, count) == grow(Storage(8, 10**6), what, count)
    with pytest.raises(TapeMemoryError, match="checkpoint"):
        native[1](20_000, what, count)


def test_a_tape_that_was_refused_memory_is_as_before():
    made = Storage(8, 20_000)
    made.grow(1)
    first = made.reserve(3)
    fill(made, 10, first)
    before = made.mark(), made.nbytes(), made.row_end.copy(), made.col[: made.entries].copy()
    with pytest.raises(TapeMemoryError):
        made.grow(10_000)
    with pytest.raises(TapeMemoryError):
        made.store(10_000)
    with pytest.raises(TapeMemoryError):
        made.clear_adjoints(1000)
    assert (made.mark(), made.nbytes()) == before[:2]
    np.testing.assert_array_equal(made.row_end, before[2])
    np.testing.assert_array_equal(made.col[: made.entries], before[3])


def test_rows_and_entries_have_32_bits():
    made = Storage(8, 2**62)
    made.entries = storage.LARGEST
    with pytest.raises(TapeMemoryError, match=r"2\*\*31 - 1 entries"):
        made.grow(1)
    made = Storage(8, 2**62)
    made.capacity, made.bare = 2**30, 2**30
    with pytest.raises(TapeMemoryError, match=r"2\*\*31 - 1 rows"):
        made.grow(0)


# Recordings of compiled functions


def leases():
    """Return how many tapes of the pool are leased."""
    return sum(TAPES[1 + 2 * slot] for slot in range(SLOTS))


def polynomial(x, y):
    return x**2 * y + y + 2.0


@pytest.fixture(scope="module")
def recorded():
    return ad.record(polynomial, 3.0, 4.0)


def test_record(recorded):
    assert recorded.value == 42.0
    assert type(recorded.value) is float
    assert (recorded.inputs, recorded.outputs) == (2, (6,))
    assert told(recorded) == [
        ("input", (), ()),
        ("input", (), ()),
        ("**", (1,), (6.0,)),
        ("*", (3, 2), (4.0, 9.0)),
        ("+", (4, 2), (1.0, 1.0)),
        ("+", (5,), (1.0,)),
    ]
    assert [s.value for s in recorded.statements()] == [3.0, 4.0, 9.0, 36.0, 40.0, 42.0]
    assert [s.row for s in recorded.statements()] == [1, 2, 3, 4, 5, 6]
    line = polynomial.__code__.co_firstlineno + 1
    assert {s.line for s in recorded.statements()[2:]} == {f"{__file__}:{line}"}
    assert [recorded.title(s) for s in recorded.statements()[:3]] == ["input x", "input y", "**"]
    np.testing.assert_array_equal(recorded.adjoints(), [0, 24, 10, 4, 1, 1, 1])
    np.testing.assert_array_equal(recorded.adjoints(4), [0, 24, 9, 4, 1, 0, 0])
    assert_same_by_substitution(recorded, 6)


def test_printing_and_steps_of_record(recorded):
    assert list(recorded.steps()) == [
        "row 6 (+) has adjoint 1.0: row 5 gets 1.0 * 1.0",
        "row 5 (+) has adjoint 1.0: row 4 gets 1.0 * 1.0, row 2 gets 1.0 * 1.0",
        "row 4 (*) has adjoint 1.0: row 3 gets 4.0 * 1.0, row 2 gets 9.0 * 1.0",
        "row 3 (**) has adjoint 4.0: row 1 gets 6.0 * 4.0",
        "row 2 (input y) has adjoint 10.0",
        "row 1 (input x) has adjoint 24.0",
    ]
    lines = str(recorded).splitlines()
    assert len(lines) == 7
    assert lines[4].split() == [
        "4", "*", "36", "1", "d/d3", "=", "4,", "d/d2", "=", "9",
    ]  # fmt: skip


def scaled_entry(u, k):
    u[k] = u[k] * u[0]
    return u[k] + 1.0


def of_every_kind(x, y, n=2):
    u = x.copy()
    for k in range(1, x.size):
        unused = scaled_entry(u, k)
    s = 0.0
    for k in range(n):
        s += u[k] * y
    if s < 0.0:
        return unused
    s = s - math.sin(u[1])
    return s / np.sum(np.exp(u))


def gradient_of_every_kind(x, y):
    """Differentiate s / e with s = (x0 + x0 x1) y - sin(x0 x1), by hand."""
    a, b, c = x
    s, e = (a + a * b) * y - math.sin(a * b), math.exp(a) + math.exp(a * b) + math.exp(a * c)
    s_x = (1 + b) * y - b * math.cos(a * b), a * y - a * math.cos(a * b), 0.0
    e_x = (
        math.exp(a) + b * math.exp(a * b) + c * math.exp(a * c),
        a * math.exp(a * b),
        a * math.exp(a * c),
    )
    by_x = [(p - s / e * q) / e for p, q in zip(s_x, e_x, strict=True)]
    return np.array(by_x), (a + a * b) / e


def test_record_loops_calls_branches_and_arrays():
    x, y = np.array([2.0, 0.5, -1.0]), 1.5
    before = x.copy()
    found = ad.record(of_every_kind, x, y)
    np.testing.assert_array_equal(x, before)
    assert found.value == pytest.approx(of_every_kind(x.copy(), y), rel=RTOL_ORDER)
    adjoint = found.adjoints()
    by_x, by_y = gradient_of_every_kind(x, y)
    np.testing.assert_allclose(adjoint[1:5], [*by_x, by_y], rtol=RTOL_ORDER)
    forward = ad.grad(of_every_kind, (0, 1), mode="forward")(x, y)
    np.testing.assert_allclose(adjoint[1:4], forward[0], rtol=RTOL_ORDER)
    assert adjoint[4] == pytest.approx(forward[1], rel=RTOL_ORDER)
    operations = [s.operation for s in found.statements()]
    assert operations == [
        *["input"] * 4,
        *["*", "+"] * 2,
        *["*", "+"] * 2,
        "sin", "-",
        *["exp"] * 3,
        "sum", "/",
    ]  # fmt: skip
    assert [found.names[row] for row in range(1, 5)] == ["x[0]", "x[1]", "x[2]", "y"]
    first = scaled_entry.__code__.co_firstlineno
    assert [s.line for s in found.statements()[4:6]] == [f"{__file__}:{first + k}" for k in (1, 2)]
    assert all(math.isfinite(s.value) for s in found.statements())
    values = {s.row: s.value for s in found.statements()}
    assert values[5] == 1.0  # u[1] = x[1] x[0]
    assert values[found.outputs[0]] == found.value
    assert_same_by_substitution(found, found.outputs[0])


def fast_recording(f, *args):
    """Return row_end, col, partial, labels and values of the tape of `vjp`."""
    _, pullback = ad.vjp(f, *args)
    return record._tape_entry()(*pullback._parts)


def test_fast_recordings_have_a_row_for_a_statement_and_no_labels():
    row_end, col, partial, labels, values = fast_recording(polynomial, 3.0, 4.0)
    np.testing.assert_array_equal(row_end, [0, 0, 0, 2])
    assert dict(zip(col.tolist(), partial.tolist(), strict=True)) == {1: 24.0, 2: 10.0}
    np.testing.assert_array_equal(labels, np.full(4, -1))
    assert np.isnan(values).all()


def weighted_sum(x, y):
    s = 0.0
    for k in range(x.size):
        s += x[k] * y
    return s


def test_fast_recordings_have_one_row_for_an_increment():
    row_end, *_ = fast_recording(weighted_sum, np.ones(10), 2.0)
    assert row_end.size == 1 + 11 + 10


def of_several(x, a, t):
    return x * a[1, 0], np.array([x, 2.0 * a[0, 1]]), 3.0, t[0] * t[1][0]


def test_record_several_results():
    a, t = np.array([[1.0, 2.0], [3.0, 4.0]]), (5.0, np.array([7.0]))
    found = ad.record(of_several, 2, a, t)
    assert found.value[0] == 6.0
    np.testing.assert_array_equal(found.value[1], [2.0, 4.0])
    assert found.value[2:] == (3.0, 35.0)
    assert found.inputs == 7
    first, same, doubled, constant, product = found.outputs
    assert (same, constant) == (1, 0)
    names = [found.names[row] for row in range(1, 6)]
    assert names == ["x", "a[0, 0]", "a[0, 1]", "a[1, 0]", "a[1, 1]"]
    size = 1 + len(found.statements())
    for row, expected in (
        (first, {1: 3.0, 4: 2.0}),
        (same, {1: 1.0}),
        (doubled, {3: 2.0}),
        (constant, {}),
        (product, {6: 7.0, 7: 5.0}),
    ):
        unit = np.zeros(size)
        unit[list(expected)] = list(expected.values())
        np.testing.assert_array_equal(found.adjoints(row)[1:8], unit[1:8])
    with pytest.raises(ArgumentError, match="5 results"):
        found.adjoints()
    with pytest.raises(ArgumentError, match="5 results"):
        next(found.steps())
    table = str(found).splitlines()  # without adjoints
    assert len(table) == size
    assert table[1].split() == ["1", "input", "x", "2"]


def test_names_of_nested_tuples():
    found = ad.record(of_several, 2.0, np.ones((2, 2)), (5.0, np.array([7.0])))
    assert [found.names[row] for row in (6, 7)] == ["t[0]", "t[1][0]"]


def product_of_two(x):
    return x[0] * x[1]


def test_record_in_single_precision():
    x = np.array([1.1, 2.3], np.float32)
    found = ad.record(product_of_two, x)
    [statement] = found.statements()[2:]
    assert statement.partials == (float(x[1]), float(x[0]))
    np.testing.assert_array_equal(found.adjoints()[1:3], x[::-1])
    assert found.value == pytest.approx(1.1 * 2.3, rel=RTOL_FLOAT32)


def raises_if_negative(x):
    if x < 0.0:
        raise ValueError("negative")
    return np.sqrt(x)


def test_record_of_a_function_that_raises():
    before = leases()
    for _ in range(2):
        with pytest.raises(ValueError, match="negative"):
            ad.record(raises_if_negative, -1.0)
        found = ad.record(raises_if_negative, 4.0)
        assert (found.value, found.adjoints()[1]) == (2.0, 0.25)
    assert leases() == before


def test_what_record_refuses():
    with pytest.raises(ArgumentError, match="record"):
        ad.record(3, 1.0)
    with pytest.raises(ArgumentError, match="argument 1"):
        ad.record(polynomial, 1.0, "a")
    assert ad.record(polynomial, 3, np.float32(4.0)).value == 42.0


def test_recordings_are_copies(recorded):
    """Another recording of the same function, or a gradient, leaves the first one as it was."""
    before = str(recorded)
    other = ad.record(polynomial, -1.0, 2.0)
    assert ad.grad(polynomial, mode="reverse")(1.0, 1.0) == 2.0
    assert str(recorded) == before
    np.testing.assert_array_equal(other.adjoints()[1:3], [-4.0, 2.0])
    del other
    gc.collect()
    assert str(recorded) == before


square_later = ad.checkpoint(lambda x: x * x)


@pytest.mark.slow  # 20 s
def test_record_of_blocks():
    """Products of matrices and checkpoints are one piece of a tape; here they are spelled out."""
    a = np.array([[1.0, 2.0], [3.0, 4.0]])
    found = ad.record(lambda a: square_later(np.sum(a @ a)) + a[0, 0], a)
    assert found.value == 54.0**2 + 1.0
    expected = a.sum(0)[:, None] + a.sum(1)[None, :]  # row j and column i: 1 A' + A' 1
    expected *= 2.0 * 54.0
    expected[0, 0] += 1.0
    np.testing.assert_array_equal(found.adjoints()[1:5].reshape(2, 2), expected)
    assert_same_by_substitution(found, found.outputs[0])
    operations = [s.operation for s in found.statements()[4:]]
    assert operations == [*["@"] * 4, "sum", "checkpoint(<lambda>)", "+"]
    assert [s.value for s in found.statements()[4:8]] == [7.0, 10.0, 15.0, 22.0]


# Sweeps


@numba.njit
def forward_sweep(made, inputs, tangent):
    """Carry the tangents of inputs forward to all statements; blocks are not supported."""
    partial = storage.typed_view(made.partial, tangent[0])
    lo = made.row_end[np.uint64(inputs)]
    for row in range(1 + inputs, made.rows):
        hi = made.row_end[np.uint64(row)]
        if hi > lo:
            target, begin, s = np.uint64(row), lo, tangent[0] * 0.0
            if made.col[lo] >= storage.MARK:
                target = np.uint64(made.col[lo] - storage.MARK)
                begin += np.uint32(1)
                s = s + tangent[target]
            for e in range(begin, hi):
                s = s + partial[e] * tangent[made.col[e]]
            tangent[target] = s
        lo = hi


@numba.njit
def swept(address, inputs, row, tangents):
    """Return the adjoints of the inputs and the tangent of a row."""
    made = tape_at(address)
    adjoint = storage.typed_view(made.adjoint, 0.0)
    adjoint[: made.rows] = 0.0
    adjoint[row] = 1.0
    reverse_sweep(address, 1 + inputs, 0.0)
    forward = np.zeros(made.rows)
    forward[1 : 1 + inputs] = tangents
    forward_sweep(made, inputs, forward)
    return adjoint[1 : 1 + inputs].copy(), forward


def test_forward_and_reverse_sweeps_agree(rng):
    x, y = np.array([2.0, 0.5, -1.0]), 1.5
    _, pullback = ad.vjp(of_every_kind, x, y)
    [by_x, by_y] = pullback(1.0)  # makes room for adjoints
    address, row = pullback._parts
    expected = np.array([*by_x, by_y])
    by_hand = gradient_of_every_kind(x, y)
    np.testing.assert_allclose(expected, [*by_hand[0], by_hand[1]], rtol=RTOL_ORDER)
    for _ in range(5):
        v = rng.normal(size=4)
        adjoint, tangent = swept(address, 4, row, v)
        np.testing.assert_array_equal(adjoint, expected)
        assert abs(tangent[row] - expected @ v) <= RTOL_ORDER * (np.abs(expected) @ np.abs(v))
        np.testing.assert_array_equal(tangent[1:5], v)
        assert tangent[0] == 0.0


def test_strong_zeros_of_the_sweep(pair):
    """Neither a zero adjoint nor a zero partial makes NaN of what is infinite."""
    made, x, y = pair
    made.append(1.0, (x.row, y.row), (math.inf, 1.0))
    made.append(1.0, (3, y.row), (0.0, 2.0))
    assert made.adjoints(4)[1:3].tolist() == [0.0, 2.0]
    made.append(1.0, (4,), (math.inf,))
    made.append(1.0, (3, x.row), (math.nan, 0.0))
    with np.errstate(all="ignore"):
        assert made.adjoints(5)[1:3].tolist() == [0.0, math.inf]
        assert np.isnan(made.adjoints(6)[1:3]).all()


def test_operators_of_numbers_and_arrays_at_the_prompt(pair):
    made, x, y = pair
    for op in (operator.add, operator.mul, operator.sub, operator.truediv):
        z = op(np.array([1.0, 2.0]), x)
        assert z.dtype == object
        expected = op(np.array([1.0, 2.0]), ad.VectorDual(3.0, 1.0))
        for number, dual in zip(z, expected, strict=True):
            assert number.value == dual.value
            assert made.gradient(number, (x, y)) == (dual.partials[0], 0.0)
