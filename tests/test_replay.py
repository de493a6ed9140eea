"""Sparse Jacobians without a tape: what is replayed, what is compared, and what is refused."""

import threading

import numpy as np
import pytest
from children import SOURCE, run
from held import leased
from numba import njit

import dualtape as ad
from dualtape.backend.symbols import STREAM
from dualtape.numbers.number import Number
from dualtape.numbers.streamed import Captured, Streamed
from dualtape.tape.stream import LEASED

RTOL = 1e-12


@pytest.fixture(autouse=True)
def everything_comes_back():
    yield
    assert leased() == 0
    assert STREAM[LEASED] == 0


def assert_right(jacobian, f, args, argnums=0):
    """Compare with forward mode, which knows nothing of structures; the pattern may be larger."""
    found = jacobian(*args)
    blocks = ad.jacobian(f, argnums, mode="forward")(*args)
    y = f(*args)
    if not isinstance(y, tuple):
        y, blocks = (y,), (blocks,)
    rows = []
    for part, block in zip(y, blocks, strict=True):
        row = block if isinstance(argnums, tuple) else (block,)
        rows.append(np.hstack([np.reshape(b, (np.size(part), -1)) for b in row]))
    expected = np.vstack(rows)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found.toarray(), expected, rtol=RTOL, atol=RTOL * scale)
    return found


def is_replayed(jacobian):
    return jacobian._replays.present is not None


def replayed(f, args, argnums=0, **options):
    """Return the sparse Jacobian of f with the structure at a point."""
    jacobian = ad.sparse_jacobian(f, argnums, **options)
    jacobian(*args)
    jacobian.prepare_replay(args)
    return jacobian


# Functions that are replayed


def stencil(x):
    out = np.empty_like(x)
    n = x.size
    for i in range(n):
        left, right = x[i - 1], x[i + 1 if i < n - 1 else 0]
        out[i] = x[i] ** 2 * left - np.sin(right) / x[i] + x[i]
    return out


def upwind(x):
    out = np.empty(x.size)
    for i in range(x.size):
        u = x[i]
        if u > 0.3:
            out[i] = u * (u - x[i - 1])
        else:
            out[i] = -u * (x[(i + 1) % x.size] - u)
    return out


def fluxes(x):
    flux = np.empty(x.size + 1)
    flux[0], flux[-1] = x[0], x[-1] ** 2
    for i in range(1, x.size):
        flux[i] = 0.5 * (x[i - 1] ** 2 + x[i] ** 2) - x[i] + x[i - 1]
    return flux[1:] - flux[:-1]


def assembled(x):
    out = np.zeros(x.size)
    for i in range(x.size - 1):
        f = x[i] * np.exp(x[i + 1])
        out[i] -= f
        out[i + 1] += f
    return out


def summed(x):
    out = np.empty(x.size)
    for i in range(x.size):
        s = 0.0
        for j in range(i, min(i + 3, x.size)):
            s += x[j] * x[i]
        out[i] = s
    return out


def in_arrays(x):
    y = x[1:] * x[:-1] + np.where(x[1:] > 0.5, x[1:] ** 2, 1.0)
    return np.concatenate((y - np.roll(x, 1)[1:], np.exp(x[:2])))


def with_means(x):
    return x**2 - np.mean(x) * np.sum(x * x)


@njit
def rate(a, b):
    return a * b / (1.0 + b)


@njit
def fill(x, out):
    for i in range(x.size):
        out[i] = rate(x[i], x[i - 1]) - rate(x[i - 2], x[i])


def through_helpers(x):
    out = np.zeros_like(x)
    fill(x, out)
    return out


def while_loops(x):
    out = np.empty(x.size)
    for i in range(x.size):
        s, k = x[i], 0
        while s < 3.0 and k < 5:
            s = s * 1.7 + x[0]
            k += 1
        out[i] = s
    return out


def either(x):
    out = np.empty(x.size)
    for i in range(x.size):
        a, b = x[i], x[i - 1]
        y = a * b if a > b else a - x[0]
        out[i] = y * y + a
    return out


def in_lists(x):
    parts = [x[0] * x[1]]
    for i in range(1, x.size):
        parts.append(x[i] * parts[0])
    out = np.empty(len(parts))
    for i, part in enumerate(parts):
        out[i] = part
    return out


def constants(x):
    out = np.ones(x.size + 1)
    out[0] = 2.0 * x[1]
    out[2] = x[1] + x[2]
    return out


def pairs(x):
    return x[0] * x[1], x[1:] * x[0]


def matrices(x):
    out = np.empty_like(x)
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            out[i, j] = x[i, j] * x[i, j - 1] + x[i - 1, j] * max(x[i, j], 0.2)
    return out


LINE = np.linspace(0.12, 0.93, 7)
REPLAYED = [
    stencil, upwind, fluxes, assembled, summed, in_arrays, with_means, through_helpers,
    while_loops, either, in_lists, constants, pairs,
]  # fmt: skip
CASES = {f.__name__: (f, LINE) for f in REPLAYED} | {"matrices": (matrices, LINE[:6].reshape(2, 3))}


@pytest.mark.parametrize("name", CASES)
def test_entries(name):
    """At two more points of the same decisions, and at one of others."""
    f, x = CASES[name]
    recorded = ad.sparse_jacobian(f)(x)
    jacobian = replayed(f, (x,))
    assert is_replayed(jacobian)
    for scale in (1.0, 1.001):
        found = assert_right(jacobian, f, (scale * x,))
        np.testing.assert_array_equal(found.indptr, recorded.indptr)
        np.testing.assert_array_equal(found.indices, recorded.indices)
        assert is_replayed(jacobian)
    assert_right(jacobian, f, (x[::-1].copy(),))
    assert_right(jacobian, f, (x,))


@pytest.mark.parametrize("name", ["upwind", "either", "while_loops", "in_arrays"])
def test_another_decision_is_recorded(name):
    f, x = CASES[name]
    jacobian = replayed(f, (x,))
    assert_right(jacobian, f, (1.3 - x,))
    assert not is_replayed(jacobian)
    jacobian.prepare_replay((1.3 - x,))
    assert is_replayed(jacobian)
    assert_right(jacobian, f, (1.3 - x,))


@pytest.mark.parametrize("name", ["upwind", "either"])
def test_decisions_are_compared(name, monkeypatch):
    """What compares results notices where decisions are not compared."""
    for face in (Streamed, Captured):
        monkeypatch.setattr(face, "decided", Number.decided)
    f, x = CASES[name]
    again = njit(f)  # has derivatives of its own
    jacobian = replayed(again, (x,))
    assert is_replayed(jacobian)
    assert_right(jacobian, again, (x,))
    with pytest.raises(AssertionError, match="Not equal"):
        assert_right(jacobian, again, (1.3 - x,))


def test_slots_of_one_key_are_compared(monkeypatch):
    """A wrong key is a conflict in the capture, and then tapes are recorded."""
    monkeypatch.setattr("dualtape.analysis.slot_keys._Names._value_of", lambda self, name: 0)
    f = njit(stencil)  # has derivatives of its own
    jacobian = replayed(f, (LINE,))
    assert not is_replayed(jacobian)
    assert_right(jacobian, f, (LINE,))


def test_value_and_jacobian():
    transform = ad.value_and_sparse_jacobian(upwind)
    transform(LINE)
    transform.prepare_replay((LINE,))
    for x in (LINE, 1.01 * LINE, -LINE):
        value, jacobian = transform(x)
        np.testing.assert_array_equal(value, upwind(x))
        assert_right(lambda x, found=jacobian: found, upwind, (x,))


def test_written_in_place():
    def rhs(t, y, out):
        for i in range(y.size):
            if t > 1.0:
                out[i] += y[i] * y[i - 1]
            else:
                out[i] = y[i] ** 2

    def returned(t, y):
        out = np.zeros_like(y)
        rhs(t, y, out)
        return out

    jacobian = replayed(rhs, (0.5, LINE, np.zeros(7)), 1, output_argnum=2)
    out = np.ones(7)
    for t in (0.5, 0.7):
        found = jacobian(t, LINE, out)
        assert is_replayed(jacobian)
        np.testing.assert_allclose(found.toarray(), np.diag(2.0 * LINE), rtol=RTOL)
    expected = ad.jacobian(returned, 1)(1.5, LINE)
    np.testing.assert_allclose(jacobian(1.5, LINE).toarray(), expected, rtol=RTOL)
    assert not is_replayed(jacobian)  # a float that is not differentiated decided
    np.testing.assert_array_equal(out, 1.0)


def test_arguments_that_are_written_to_are_left_alone():
    def f(x, work):
        for i in range(x.size):
            work[i] = x[i] * x[i - 1]
            x[i] = work[i] + 1.0
        return work * x

    args = LINE.copy(), np.zeros(7)
    jacobian = replayed(f, args)
    assert is_replayed(jacobian)
    assert_right(jacobian, lambda x, work: f(x.copy(), work.copy()), args)
    np.testing.assert_array_equal(args[0], LINE)
    np.testing.assert_array_equal(args[1], 0.0)


def test_shapes_and_integers_are_compared():
    def f(x, step, table):
        out = np.zeros(x.size)
        for i in range(x.size):
            out[i] = x[i] * x[i - step] + x[table[i]]
        return out

    table = np.arange(7)[::-1].copy()
    jacobian = replayed(f, (LINE, 1, table))
    for args in (
        (LINE, 1, table),
        (LINE, 2, table),
        (LINE[:4], 1, table[3:]),
        (LINE, 1, 6 - table),
    ):
        assert_right(jacobian, f, args)
        jacobian.prepare_replay(args)
        assert is_replayed(jacobian)
    table[2] = 0  # in place
    assert_right(jacobian, f, (LINE, 1, table))


def test_arrays_of_any_layout():
    x = np.linspace(0.1, 2.0, 24).reshape(4, 6)
    jacobian = replayed(matrices, (x[::2, ::2].copy(),))
    for view in (x[::2, ::2], x[:2, :3].T.copy().T, x[:2, :3]):
        assert_right(jacobian, matrices, (view,))
        assert is_replayed(jacobian)


def test_tuples_and_several_arguments():
    def f(pair, c, x):
        a, b = pair
        return a * x + b[0] * x**2 + c

    args = (1.5, np.array([2.0, 3.0])), 0.5, LINE
    jacobian = replayed(f, args, (0, 2))
    assert is_replayed(jacobian)
    expected = np.hstack(
        [LINE[:, None], LINE[:, None] ** 2, np.zeros((7, 1)), np.diag(1.5 + 4.0 * LINE)]
    )
    np.testing.assert_allclose(jacobian(*args).toarray(), expected, rtol=RTOL)
    assert is_replayed(jacobian)


# What decides the structure in another way is recorded


TABLE = np.arange(200) % 7


def by_position(x):
    return x * x[np.argmax(x)]


def by_value(x):
    return x * x[int(ad.value(x[0]) * 7.0)]


def by_numpy_integer(x):
    return x * x[np.int64(7.0 * x[0])]


def by_largest(x):
    return x * max(x)


def by_floor(x, t):
    return x * x[int(np.floor(t))]


def by_mask(x):
    y = x[x > 0.5]
    return np.array([y[0] * y[-1]])


def by_order(x):
    return np.sort(x) * x[0]


def by_steps(x, t):
    return x * x[np.arange(0.0, t, 0.5).size]


def by_global(x):
    return x * x[TABLE[150]]


def by_truth(x, t):
    return x * (x[0] if t else x[1])


def by_key(x, t):
    places = {0.5: 1, 1.5: 2}
    return x * x[places[t]]


def products(x):
    return np.outer(x, x) @ x


REFUSED = {
    by_position: [(LINE,), (LINE[::-1].copy(),)],
    by_value: [(LINE,), (LINE[::-1].copy(),)],
    by_numpy_integer: [(LINE,), (LINE[::-1].copy(),)],
    by_largest: [(LINE,), (LINE[::-1].copy(),)],
    by_floor: [(LINE, 1.5), (LINE, 3.5)],
    by_mask: [(LINE,), (LINE[::-1].copy(),)],
    by_order: [(LINE,), (LINE[::-1].copy(),)],
    by_steps: [(LINE, 1.0), (LINE, 2.0)],
    by_truth: [(LINE, 1.0), (LINE, 0.0)],
    by_key: [(LINE, 0.5), (LINE, 1.5)],
    products: [(LINE,), (2.0 * LINE,)],
}


@pytest.mark.parametrize("f", REFUSED, ids=lambda f: f.__name__)
def test_refused(f):
    first, second = REFUSED[f]
    jacobian = replayed(f, first)
    assert not is_replayed(jacobian)
    assert_right(jacobian, f, first)
    assert_right(jacobian, f, second)


def test_large_arrays_of_integers_from_outside_are_refused():
    jacobian = replayed(by_global, (LINE,))
    assert not is_replayed(jacobian)
    assert_right(jacobian, by_global, (LINE,))
    before = TABLE[150]
    TABLE[150] = (before + 1) % 7
    try:
        assert_right(jacobian, by_global, (LINE,))
    finally:
        TABLE[150] = before


# Around it


SHIFT = 1


def shifted(x):
    return x * np.roll(x, SHIFT)


def test_changed_globals(monkeypatch):
    """Also of functions whose code reads a number where it is."""
    jacobian = replayed(shifted, (LINE,))
    assert is_replayed(jacobian)
    for shift in (2, 3, 1):
        monkeypatch.setitem(globals(), "SHIFT", shift)
        assert_right(jacobian, shifted, (LINE,))
        jacobian.prepare_replay((LINE,))
        assert_right(jacobian, shifted, (LINE,))


def test_prepared():
    prepared = ad.prepare_sparse_jacobian(stencil, LINE)
    assert is_replayed(prepared)
    found = prepared(2.0 * LINE)
    assert found.indices is prepared(LINE).indices
    assert_right(prepared, stencil, (2.0 * LINE,))
    first = prepared(LINE)
    kept = first.data.copy()
    prepared(3.0 * LINE)
    np.testing.assert_array_equal(first.data, kept)


def test_prepared_at_the_larger_pattern():
    prepared = ad.prepare_sparse_jacobian(both_ways, np.array([1.0, 2.0, 3.0]))
    assert is_replayed(prepared)
    x = np.array([-1.0, 2.0, 3.0])
    for _ in range(2):
        assert prepared(x).nnz == 6
        np.testing.assert_allclose(prepared(x).toarray(), ad.jacobian(both_ways)(x), rtol=RTOL)
        prepared.prepare_replay((x,))
        assert is_replayed(prepared)


def both_ways(x):
    out = np.empty(3)
    for i in range(3):
        out[i] = x[i] * x[i - 1] if x[0] > 0.0 else x[i] ** 2
    return out


def test_it_begins_by_itself(monkeypatch):
    """When recording has taken as long as compiling would."""
    monkeypatch.setattr("dualtape.sparse.replay.COMPILING", 0.0)
    f = njit(lambda x: x[1:] * x[:-1])
    jacobian = ad.sparse_jacobian(f)
    jacobian(LINE)
    assert not is_replayed(jacobian)  # the first call analysed
    jacobian(LINE)
    assert is_replayed(jacobian)
    assert_right(jacobian, f, (LINE,))
    assert not is_replayed(ad.sparse_jacobian(f, method="coloring"))


def test_an_exception_comes_through():
    def f(x):
        if x[0] > 5.0:
            raise ValueError("too large")
        return x * x[0]

    jacobian = replayed(f, (LINE,))
    assert is_replayed(jacobian)
    for _ in range(3):
        with pytest.raises(ValueError, match="too large"):
            jacobian(LINE + 6.0)
        assert STREAM[LEASED] == 0
        assert_right(jacobian, f, (LINE,))


def test_many_threads():
    """One at a time has the cell; the others record."""
    x = np.linspace(0.1, 0.9, 4000)
    jacobian = ad.prepare_sparse_jacobian(stencil, x)
    expected = [jacobian(k * x).data.copy() for k in range(1, 5)]
    assert is_replayed(jacobian)
    wrong = []

    def work(k):
        for _ in range(50):
            if not np.array_equal(jacobian(k * x).data, expected[k - 1]):
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


MODULE = """
import numpy as np
from numba import njit

@njit(cache=True)
def f(x):
    out = np.empty(x.size)
    for i in range(x.size):
        out[i] = x[i] ** 2 * x[i - 1] if x[i] > 0.0 else x[i]
    return out
"""
CHILD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from numba.core import event
import dualtape as ad
from replayed_module import f
with event.install_recorder("numba:compile") as recorder:
    prepared = ad.prepare_sparse_jacobian(f, np.array([1.0, 2.0, 3.0]))
    found = prepared(np.array([2.0, 3.0, 4.0])).toarray().tolist()
names = [str(e.data["dispatcher"].py_func.__name__) for _, e in recorder.buffer if e.is_start]
print(json.dumps([found, prepared._replays.present is not None, len(names)]))
"""


def test_from_the_cache_of_another_process(tmp_path):
    (tmp_path / "replayed_module.py").write_text(MODULE)
    expected = [[16.0, 0.0, 4.0], [9.0, 12.0, 0.0], [0.0, 16.0, 24.0]]
    first = run(CHILD, str(tmp_path))
    second = run(CHILD, str(tmp_path))
    assert first[:2] == second[:2] == [expected, True]
    assert second[2] < first[2]
    assert SOURCE.exists()
