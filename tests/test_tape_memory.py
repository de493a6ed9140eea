"""Tapes and their pool: growth, limits, threads, exceptions; memory is given back.

A tape is right at every size, also where it grows in the middle of a statement.  Whatever ends a
recording, its tape goes back to the pool empty, and no two recordings ever share one.
"""

import gc
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from held import leased, live_allocations
from numba.core.runtime import rtsys
from scenarios import (
    SCENARIOS,
    assert_close,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_hessian,
    rosenbrock_value,
    smoother,
)

import dualtape as ad
from dualtape.backend import symbols
from dualtape.tape.storage import BLOCK_FIELDS, SMALLEST, Storage

CALLS = 1000
THREADS = 4
SLOTS = symbols.SLOTS
slow = pytest.mark.slow

rosenbrock_njit = numba.njit(rosenbrock)
rosenbrock_grad = ad.grad(rosenbrock, mode="reverse")
rosenbrock_both = ad.value_and_grad(rosenbrock, mode="reverse")
rosenbrock_hess = ad.hessian(rosenbrock, mode="reverse")


@pytest.fixture
def rng():
    return np.random.default_rng(20240621)


@pytest.fixture(autouse=True)
def nothing_is_leased():
    """After every test all slots of the pool are free and the limit is what it was."""
    limit = ad.set_tape_limit(symbols.DEFAULT_LIMIT)
    ad.set_tape_limit(limit)
    gc.collect()  # pullbacks of other tests
    yield
    assert leased() == 0
    assert ad.set_tape_limit(limit) == limit


def flags():
    """Return the positions of the flags of all slots, in the words of the pool."""
    return range(1, 1 + 2 * SLOTS, 2)


@pytest.fixture
def full_pool():
    """Take all slots, so that every recording starts on a new, empty tape and drops it."""
    free = [i for i in flags() if not symbols.TAPES[i]]
    for i in free:
        symbols.TAPES[i] = 1
    yield
    for i in free:
        symbols.TAPES[i] = 0


@pytest.fixture
def small_limit():
    """Allow tapes of 100 kB, on new tapes."""
    before = ad.set_tape_limit(100_000)
    yield
    ad.set_tape_limit(before)


# Growth


def signs(x, a, b):
    """Return s after s = s a_i + x1 b_i: one statement of two entries a turn."""
    s = x[0]
    for i in range(a.size):
        s = s * a[i] + x[1] * b[i]
    return s


def signs_gradient(a, b):
    """All a are 1 or -1 and all b are integers, so this is exact."""
    after = np.append(np.cumprod(a[::-1])[::-1], 1.0)
    return np.array([after[0], float(np.sum(b * after[1:]))])


signs_grad = ad.grad(signs, mode="reverse")


def random_signs(rng, n):
    return rng.choice([-1.0, 1.0], size=n), rng.integers(-9, 10, size=n).astype(float)


BOUNDARIES = sorted(
    {0, 1, 2, 3}
    | {
        size // entries + d
        for entries in (1, 2)
        for size in (1024, 2048, 4096)
        for d in range(-2, 3)
    }
)


@pytest.mark.usefixtures("full_pool")
@pytest.mark.parametrize("n", BOUNDARIES)
def test_growth_of_a_new_tape(n, rng):
    a, b = random_signs(rng, n)
    np.testing.assert_array_equal(signs_grad(np.array([0.5, 2.0]), a, b), signs_gradient(a, b))


def test_growth_of_a_kept_tape(rng):
    """Larger and smaller recordings take turns on one tape."""
    sizes = [2**k + d for k in range(17) for d in (-1, 0, 1)]
    for n in rng.permutation(sizes):
        a, b = random_signs(rng, n)
        found = signs_grad(np.array([0.5, 2.0]), a, b)
        np.testing.assert_array_equal(found, signs_gradient(a, b))


@pytest.mark.usefixtures("full_pool")
@pytest.mark.parametrize("n", [1, 1021, 1022, 1023, 1024, 1025, 2047, 2048, 2049, 5000])
def test_many_inputs_on_a_new_tape(n):
    """Inputs are rows without entries, so rows and entries grow apart."""
    x = np.linspace(-1.0, 1.0, n)
    value, gradient = rosenbrock_both(x)
    np.testing.assert_allclose(value, rosenbrock_value(x), rtol=1e-13)
    assert_close(gradient, rosenbrock_gradient(x) if n > 1 else np.zeros(1))


def wide_statements(x, n):
    """Return a sum of statements of twelve entries and of one."""
    s = 0.0
    for _ in range(n):
        s += x[0] * x[1] + x[2] * x[3] + x[4] * x[5] + x[0] * x[2] + x[1] * x[4]
        s = -s
    return s


@slow
@pytest.mark.usefixtures("full_pool")
def test_growth_in_the_middle_of_wide_statements():
    gradient = ad.grad(wide_statements, mode="reverse")
    x = np.arange(1.0, 7.0)
    once = np.array([x[1] + x[2], x[0] + x[4], x[3] + x[0], x[2], x[5] + x[1], x[4]])
    for n in range(400):
        # s -> -(s + p): the sum of alternating signs
        np.testing.assert_array_equal(gradient(x, n), -once if n % 2 else 0.0 * once)


@slow
@pytest.mark.usefixtures("full_pool")
def test_ten_million_statements(rng):
    n = 10_000_000
    a, b = random_signs(rng, n)
    np.testing.assert_array_equal(signs_grad(np.array([0.5, 2.0]), a, b), signs_gradient(a, b))


@slow
@pytest.mark.usefixtures("full_pool")
@pytest.mark.parametrize("n", [510, 511, 512, 513, 1023, 1024, 1025, 3000])
def test_growth_with_partials_that_are_duals(n, rng):
    """Entries of a tape for second derivatives are nine times as large."""
    a, b = random_signs(rng, n)

    def f(x, a, b):
        s = signs(x, a, b)
        return s * s

    found = ad.hessian(f, mode="reverse")(np.array([0.5, 2.0]), a, b)
    g = signs_gradient(a, b)
    np.testing.assert_array_equal(found, 2.0 * np.outer(g, g))


def test_one_tape_serves_every_number_type(rng):
    """Partials of 4, 8, 16 and 72 bytes follow each other in the memory of one slot."""
    product = ad.grad(lambda x: x[0] * x[1] * x[2], mode="reverse")
    calls = {
        "float32": (product, 3, np.float32, lambda x: np.prod(x) / x),
        "float64": (rosenbrock_grad, 30, float, rosenbrock_gradient),
        "duals": (rosenbrock_hess, 12, float, rosenbrock_hessian),
    }
    for name in rng.permutation(list(calls) * 8):
        transform, n, dtype, expected = calls[name]
        x = rng.uniform(0.5, 2.0, size=n).astype(dtype)
        found, wanted = transform(x), expected(x.astype(float))
        assert found.dtype == dtype
        rtol = 1e-12 if dtype is float else 1e-6
        np.testing.assert_allclose(found, wanted, rtol=0.0, atol=rtol * np.max(np.abs(wanted)))


# The tape itself, at the prompt: the code that is compiled too


def test_rows_and_entries_survive_growth(rng):
    tape = Storage(8, 2**40)
    tape.begin(8)
    tape.scalarized = 1  # all ends of rows are noted
    ends, cols = [], []
    for _ in range(300):
        if rng.uniform() < 0.3:
            count = int(rng.integers(1, 400))
            first = tape.reserve(count)
            assert first == 1 + len(ends)
            ends += [len(cols)] * count
            continue
        width = int(rng.integers(1, 40))
        if tape.entries + width > tape.capacity:
            tape.grow(width)
        for _ in range(width):
            cols.append(int(rng.integers(0, tape.rows)))
            tape.col[tape.entries] = cols[-1]
            tape.entries += 1
        ends.append(len(cols))
        tape.row_end[tape.rows] = tape.entries
        tape.rows += 1
    assert tape.rows == 1 + len(ends)
    np.testing.assert_array_equal(tape.row_end[1 : tape.rows], ends)
    np.testing.assert_array_equal(tape.col[: tape.entries], cols)
    assert tape.partial.size >= 8 * tape.entries
    assert tape.row_end.size > tape.rows


@pytest.mark.parametrize("first", [4, 8, 72])
@pytest.mark.parametrize("second", [4, 8, 72])
def test_capacity_follows_the_size_of_partials(first, second):
    tape = Storage(first, 2**40)
    tape.begin(first)
    tape.grow(3000)
    tape.begin(second)
    assert (tape.rows, tape.entries, tape.blocks) == (1, 0, 0)
    assert tape.capacity <= tape.col.size
    assert tape.capacity * second <= tape.partial.size
    tape.grow(tape.capacity + 1)
    assert tape.capacity * second <= tape.partial.size
    assert tape.capacity < tape.row_end.size


def test_rewinding():
    tape = Storage(8, 2**40)
    tape.begin(8)
    tape.reserve(5)
    mark = tape.mark()
    tape.reserve(7)
    tape.add_block(6, 13, 0, tape.store(100))
    assert (tape.rows, tape.blocks) == (13, 1)
    tape.rewind(mark)
    assert tape.mark() == mark
    assert tape.reserve(2) == 6


def test_blocks_and_their_data_survive_growth():
    tape = Storage(8, 2**40)
    tape.begin(8)
    offsets = []
    for k in range(100):
        offsets.append(tape.store(33 * k))
        tape.arena[offsets[-1] : offsets[-1] + 33 * k] = k
        tape.add_block(k, k + 1, 10 * k, offsets[-1])
    found = tape.block[: 100 * BLOCK_FIELDS].reshape(100, BLOCK_FIELDS)
    steps = np.arange(100)
    np.testing.assert_array_equal(found, np.stack([steps, steps + 1, 10 * steps, offsets], axis=-1))
    for k, offset in enumerate(offsets):
        assert offset % 32 == 0
        assert (tape.arena[offset : offset + 33 * k] == k).all()


def test_bytes_are_counted():
    tape = Storage(8, 20 * SMALLEST)
    assert tape.nbytes() < 100
    tape.grow(1)
    assert tape.nbytes() >= SMALLEST * (4 + 8 + 4)
    with pytest.raises(ad.TapeMemoryError, match=r"memory limit.*set_tape_limit"):
        tape.grow(SMALLEST)
    assert tape.capacity == SMALLEST


# Limits


@pytest.mark.usefixtures("full_pool", "small_limit")
def test_a_recording_beyond_the_limit(rng):
    large, small = random_signs(rng, 100_000), random_signs(rng, 1000)
    x = np.array([0.5, 2.0])
    for _ in range(3):
        with pytest.raises(ad.TapeMemoryError, match=r"limit.*checkpoint.*set_tape_limit"):
            signs_grad(x, *large)
        np.testing.assert_array_equal(signs_grad(x, *small), signs_gradient(*small))
    ad.set_tape_limit(2**30)
    np.testing.assert_array_equal(signs_grad(x, *large), signs_gradient(*large))


def test_a_recording_beyond_the_limit_in_a_slot_of_the_pool(rng):
    x, small = np.array([0.5, 2.0]), random_signs(rng, 1000)
    huge = random_signs(rng, 2_000_000)
    before = ad.set_tape_limit(10_000_000)
    try:
        for _ in range(2 * SLOTS):
            with pytest.raises(ad.TapeMemoryError):
                signs_grad(x, *huge)
        np.testing.assert_array_equal(signs_grad(x, *small), signs_gradient(*small))
    finally:
        ad.set_tape_limit(before)
    assert leased() == 0


@pytest.mark.usefixtures("full_pool")
def test_adjoints_beyond_the_limit():
    """A recording that just fits leaves no room for the adjoints of its sweep."""
    x = np.linspace(-1.0, 1.0, 40_000)  # inputs have rows and adjoints, but few entries
    total = ad.grad(lambda x: x[0] * x[1], mode="reverse")
    before = ad.set_tape_limit(300_000)
    try:
        with pytest.raises(ad.TapeMemoryError):
            total(x)
        assert_close(total(x[:3]), np.array([x[1], x[0], 0.0]))
    finally:
        ad.set_tape_limit(before)
    expected = np.zeros(x.size)
    expected[:2] = x[1], x[0]
    assert_close(total(x), expected)


@pytest.mark.parametrize("nbytes", [0, -1, 2.0**20, "1", True, None], ids=repr)
def test_limits_that_are_none(nbytes):
    with pytest.raises(ad.ArgumentError, match="set_tape_limit"):
        ad.set_tape_limit(nbytes)


def test_the_limit_returns_what_it_was():
    before = ad.set_tape_limit(12345)
    assert ad.set_tape_limit(before) == 12345
    assert issubclass(ad.TapeMemoryError, MemoryError)


# Exceptions


def failing(x, k):
    """Raise in the middle of the recording, at element k."""
    s = 0.0
    for i in range(x.size):
        s = s + x[i] ** 2 * x[0]
        if i == k:
            raise ValueError("at an element", i)
    return s


def failing_gradient(x):
    gradient = 2.0 * x * x[0]
    gradient[0] += np.sum(x * x)
    return gradient


failing_grad = ad.grad(failing, mode="reverse")
POINT = np.array([1.5, -0.5, 2.0])


def test_a_function_that_raises_leaves_a_clean_pool():
    """More often than the pool has slots."""
    for _ in range(2 * SLOTS):
        with pytest.raises(ValueError, match="at an element") as caught:
            failing_grad(POINT, 1)
        assert caught.value.args == ("at an element", 1)
    assert leased() == 0
    assert_close(failing_grad(POINT, 9), failing_gradient(POINT))


@pytest.mark.usefixtures("full_pool")
def test_a_function_that_raises_on_a_tape_of_its_own():
    for _ in range(10):
        with pytest.raises(ValueError, match="at an element"):
            failing_grad(POINT, 1)
    assert_close(failing_grad(POINT, 9), failing_gradient(POINT))


def outer_of_failing(x, k):
    g = failing_grad(x, k)
    return g[0] * g[1]


@slow
def test_a_nested_derivative_that_raises():
    """Two tapes are leased where it raises: both go back."""
    nested = ad.grad(outer_of_failing, mode="reverse")
    for _ in range(2 * SLOTS):
        with pytest.raises(ValueError, match="at an element"):
            nested(POINT, 2)
    assert leased() == 0
    # g0 = S + 2 x0^2, g1 = 2 x1 x0 with S = x.x
    x, total = POINT, float(POINT @ POINT)
    g0, g1 = total + 2.0 * x[0] ** 2, 2.0 * x[1] * x[0]
    by_g0 = 2.0 * x + np.array([4.0 * x[0], 0.0, 0.0])
    by_g1 = 2.0 * np.array([x[1], x[0], 0.0])
    assert_close(nested(POINT, 9), g1 * by_g0 + g0 * by_g1)


@slow
@pytest.mark.parametrize(
    "transform",
    [ad.value_and_grad, ad.jacobian, ad.value_and_jacobian, ad.hessian, ad.value_grad_hessian],
    ids=lambda t: t.__name__,
)
def test_every_transform_of_a_function_that_raises(transform):
    derivative = transform(failing, mode="reverse")
    expected = derivative(POINT, 9)
    for _ in range(2 * SLOTS):
        with pytest.raises(ValueError, match="at an element"):
            derivative(POINT, 1)
    assert leased() == 0
    for found, wanted in zip(derivative(POINT, 9), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@slow
def test_hvp_of_a_function_that_raises():
    product = ad.hvp(failing, mode="reverse")
    for _ in range(2 * SLOTS):
        with pytest.raises(ValueError, match="at an element"):
            product(POINT, POINT, 1)
    assert leased() == 0
    # H = 2 x0 I + 2 (x e0' + e0 x')
    e0 = np.array([1.0, 0.0, 0.0])
    matrix = 2.0 * POINT[0] * np.eye(3) + 2.0 * (np.outer(POINT, e0) + np.outer(e0, POINT))
    assert_close(product(POINT, POINT, 9), matrix @ POINT)


@slow
def test_exceptions_caught_in_compiled_code():
    """Also between two good calls, whose tapes must be their own."""

    @numba.njit
    def careful(x, k):
        first = failing_grad(x, 9)
        caught = 0
        for _ in range(100):
            try:
                first += failing_grad(x, k)
            except Exception:
                caught += 1
        return first + failing_grad(x, 9), caught

    gradient, caught = careful(POINT, 1)
    assert caught == 100
    assert_close(gradient, 2.0 * failing_gradient(POINT))
    gradient, caught = careful(POINT, 9)
    assert caught == 0
    assert_close(gradient, 102.0 * failing_gradient(POINT))


# Threads


def test_threads_agree_with_one_thread():
    sizes = [3, 300, 40, 2000, 7] * 8
    points = [np.linspace(-1.0, 1.2, n) for n in sizes]
    expected = [rosenbrock_both(x) for x in points]
    with ThreadPoolExecutor(THREADS) as executor:
        found = list(executor.map(rosenbrock_both, points * 5))
    for (value, gradient), (value_alone, gradient_alone) in zip(found, expected * 5, strict=True):
        assert value == value_alone
        np.testing.assert_array_equal(gradient, gradient_alone)


def test_threads_of_many_kinds():
    """Gradients, Hessians and failing calls at once, started together."""
    barrier = threading.Barrier(THREADS)
    x = np.linspace(-1.0, 1.2, 50)
    first, second, third = rosenbrock_gradient(x), rosenbrock_hessian(x), failing_gradient(x)

    def work(which):
        barrier.wait()
        for _ in range(30):
            if which % 4 == 0:
                assert_close(rosenbrock_grad(x), first)
            elif which % 4 == 1:
                assert_close(rosenbrock_hess(x), second)
            elif which % 4 == 2:
                with pytest.raises(ValueError, match="at an element"):
                    failing_grad(x, 20)
            else:
                assert_close(failing_grad(x, 99), third)
        return which

    with ThreadPoolExecutor(THREADS) as executor:
        assert list(executor.map(work, range(THREADS))) == list(range(THREADS))


@slow
@pytest.mark.usefixtures("full_pool")
def test_threads_without_a_slot_left():
    points = [np.linspace(-1.0, 1.2, n) for n in (3, 300, 40, 2000, 7)] * 8
    expected = [rosenbrock_grad(x) for x in points]
    with ThreadPoolExecutor(THREADS) as executor:
        found = list(executor.map(rosenbrock_grad, points * 5))
    for gradient, gradient_alone in zip(found, expected * 5, strict=True):
        np.testing.assert_array_equal(gradient, gradient_alone)


@numba.njit(parallel=True)
def many_gradients(points):
    out = np.empty_like(points)
    for i in numba.prange(points.shape[0]):
        out[i] = rosenbrock_grad(points[i])
    return out


def test_gradients_in_a_parallel_loop(rng):
    points = rng.normal(size=(200, 6))
    expected = np.array([rosenbrock_grad(x) for x in points])
    for _ in range(5):
        np.testing.assert_array_equal(many_gradients(points), expected)


@slow
def test_every_transform_in_a_parallel_loop(rng):
    @numba.njit(parallel=True)
    def many(points):
        n, size = points.shape
        values, matrices = np.empty(n), np.empty((n, size, size))
        for i in numba.prange(n):
            value, gradient = ad.value_and_grad(rosenbrock_njit, mode="reverse")(points[i])
            product = ad.hvp(rosenbrock_njit, mode="reverse")(points[i], gradient)
            values[i] = value + np.sum(product)
            matrices[i] = ad.hessian(rosenbrock_njit, mode="reverse")(points[i])
        return values, matrices

    points = rng.normal(size=(100, 5))
    values, matrices = many(points)
    for x, value, matrix in zip(points, values, matrices, strict=True):
        product = rosenbrock_hessian(x) @ rosenbrock_gradient(x)
        np.testing.assert_allclose(value, rosenbrock_value(x) + np.sum(product), rtol=1e-12)
        assert_close(matrix, rosenbrock_hessian(x))


def squared_norm_of_gradient(x):
    g = rosenbrock_grad(x)
    return np.sum(g * g)


@slow
def test_nested_derivatives_in_threads():
    nested = ad.grad(squared_norm_of_gradient, mode="reverse")
    points = [np.linspace(-1.0, 1.2, n) for n in (2, 3, 20, 200)] * 5
    with ThreadPoolExecutor(THREADS) as executor:
        found = list(executor.map(nested, points))
    for x, gradient in zip(points, found, strict=True):
        assert_close(gradient, 2.0 * rosenbrock_hessian(x) @ rosenbrock_gradient(x))


# Memory is given back


def kept_by(call, count):
    """Return how many allocations `count` calls leave behind."""
    for _ in range(3):
        call()
    gc.collect()
    live = live_allocations()
    for _ in range(count):
        call()
    gc.collect()
    return live_allocations() - live


def in_reverse(transform):
    return lambda f: transform(f, mode="reverse")


def makes_lists(x):
    items = [0.0]
    for i in range(x.size):
        items.append(x[i] * items[-1] + 1.0)
    rows = [x * x for _ in range(3)]
    return items[-1] + np.sum(rows[1])


def writes_to_arguments(x, scratch, out):
    for i in range(x.size):
        scratch[i] = x[i] * x[i]
        x[i] = scratch[i] * out[i]
    return np.sum(x) + out[0]


BOTH = SCENARIOS["network-tuple"]
ONES = np.ones(3)
LEAK_CALLS = {
    "gradient": (in_reverse(ad.grad), rosenbrock, (POINT,)),
    "value_and_grad": (in_reverse(ad.value_and_grad), rosenbrock, (POINT,)),
    "hessian": (in_reverse(ad.hessian), rosenbrock, (POINT,)),
    "tuple-result": (in_reverse(ad.jacobian), lambda x: (x[0] * x[1], x[1], 3.0), (POINT,)),
}
SLOW_LEAK_CALLS = {
    "hvp": (in_reverse(ad.hvp), rosenbrock, (POINT, POINT)),
    "value_grad_hessian": (in_reverse(ad.value_grad_hessian), rosenbrock, (POINT,)),
    "jacobian": (in_reverse(ad.jacobian), lambda x: x * x[0], (POINT,)),
    "value_and_jacobian": (in_reverse(ad.value_and_jacobian), lambda x: x * x[0], (POINT,)),
    "list-result": (in_reverse(ad.jacobian), lambda x: [x[0] * x[1], x[1]], (POINT,)),
    "identity": (in_reverse(ad.value_and_jacobian), lambda x: x, (POINT,)),
    "constant": (in_reverse(ad.value_and_jacobian), lambda x: np.arange(3.0), (POINT,)),
    "constant-tuple": (in_reverse(ad.jacobian), lambda x: (1.0, 2), (POINT,)),
    "lists": (in_reverse(ad.grad), makes_lists, (POINT,)),
    "overwritten": (in_reverse(ad.value_and_grad), writes_to_arguments, (ONES, ONES, ONES)),
    "overwritten-hessian": (in_reverse(ad.hessian), writes_to_arguments, (ONES, ONES, ONES)),
    "smoother": (in_reverse(ad.grad), smoother, (POINT, 3)),
    "matrix-products": (in_reverse(ad.grad), lambda x: x @ (np.outer(x, x) @ x), (POINT,)),
    "tuple-input": (in_reverse(ad.value_and_grad), BOTH.f, BOTH.args),
    "tuple-input-hessian": (in_reverse(ad.hessian), BOTH.f, BOTH.args),
    "list-input": (in_reverse(ad.grad), rosenbrock, ([0.5, 1.5],)),
    "several-argnums": (
        lambda f: ad.grad(f, (0, 1), mode="reverse"),
        lambda x, y: np.sum(x * y),
        (POINT, ONES),
    ),
    "jacobian-of-grad": (
        lambda f: ad.jacobian(ad.grad(f, mode="reverse"), mode="reverse"),
        rosenbrock,
        (POINT,),
    ),
}


@pytest.mark.usefixtures("allocation_statistics")
@pytest.mark.parametrize(
    "name", [*LEAK_CALLS, *(pytest.param(name, marks=slow) for name in SLOW_LEAK_CALLS)]
)
def test_memory_is_given_back(name):
    transform, f, args = (LEAK_CALLS | SLOW_LEAK_CALLS)[name]
    g = transform(f)
    g(*args)
    gc.collect()  # what compiling left
    arrays = [arg for arg in args if isinstance(arg, np.ndarray)]
    references = [sys.getrefcount(arg) for arg in arrays]
    assert kept_by(lambda: g(*args), CALLS) == 0
    assert [sys.getrefcount(arg) for arg in arrays] == references


@pytest.mark.usefixtures("allocation_statistics")
def test_a_warm_call_allocates_nothing_but_its_result():
    def allocations(call):
        call()
        before = rtsys.get_allocation_stats().alloc
        call()
        return rtsys.get_allocation_stats().alloc - before

    plain = allocations(lambda: rosenbrock_njit(POINT))
    assert allocations(lambda: rosenbrock_grad(POINT)) == plain + 1


@pytest.mark.usefixtures("allocation_statistics", "full_pool")
def test_tapes_of_their_own_are_dropped():
    assert kept_by(lambda: rosenbrock_grad(POINT), CALLS) == 0


def failing_scalar(x, k):
    y = x * x
    if k > 0:
        raise ValueError("of a number")
    return y * x


def expecting(error, call):
    """Return a call that must raise."""

    def checked():
        with pytest.raises(error):
            call()

    return checked


@pytest.mark.usefixtures("allocation_statistics")
@pytest.mark.parametrize(
    "transform",
    [
        ad.grad,
        pytest.param(ad.value_and_grad, marks=slow),
        pytest.param(ad.jacobian, marks=slow),
        pytest.param(ad.hessian, marks=slow),
        pytest.param(ad.value_grad_hessian, marks=slow),
    ],
    ids=lambda t: t.__name__,
)
def test_memory_is_given_back_where_the_function_raises(transform):
    """A number is differentiated: Numba itself leaks arrays that a raising function was given."""
    g = transform(failing_scalar, mode="reverse")
    assert kept_by(expecting(ValueError, lambda: g(2.0, 1)), CALLS) == 0


@numba.njit
def failing_njit(x, k):
    for i in range(x.size):
        x[i] = x[i] + 0.0
        if i == k:
            raise ValueError("at an element")
    return x[0]


@numba.njit
def passing_on_njit(x, k):
    packed = (x, k)
    return failing_njit(packed[0], packed[1])


@pytest.mark.usefixtures("allocation_statistics")
def test_no_more_is_kept_than_by_plain_functions_that_raise():
    plain = kept_by(expecting(ValueError, lambda: passing_on_njit(POINT, 1)), CALLS)
    ours = kept_by(expecting(ValueError, lambda: failing_grad(POINT, 1)), CALLS)
    assert ours <= plain


def endless(x, n):
    s = x
    for _ in range(n):
        s = s * 1.5 + x
    return s


@pytest.mark.usefixtures("allocation_statistics", "full_pool", "small_limit")
def test_memory_is_given_back_where_the_limit_is_passed():
    g = ad.grad(endless, mode="reverse")
    assert kept_by(expecting(ad.TapeMemoryError, lambda: g(2.0, 100_000)), CALLS) == 0
    assert g(2.0, 1) == 2.5


@pytest.mark.usefixtures("allocation_statistics", "full_pool", "small_limit")
def test_memory_is_given_back_where_adjoints_pass_the_limit():
    """The recording fits and the sweep does not; the inputs come as a tuple of numbers."""
    n = 2000

    def f(x, n):
        s, t = x
        for _ in range(n):
            s = s * 0.5 + t
        return s

    g = ad.grad(f, mode="reverse")
    assert_close(g((2.0, 3.0), 1), (0.5, 1.0))
    # 4096 entries of 16 bytes with their rows, then 2003 adjoints of 8 bytes
    ad.set_tape_limit(70_000)
    assert kept_by(expecting(ad.TapeMemoryError, lambda: g((2.0, 3.0), n)), CALLS) == 0
