"""Reverse mode in little memory: schedules, `checkpoint`, `checkpoint_loop`; products of arrays.

A checkpointed function is compared with the function itself in forward mode, and with closed forms.
"""

import functools
import gc
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from numba.core.runtime import _nrt_python, rtsys
from scenarios import assert_close

import dualtape as ad
from dualtape.backend.symbols import SLOTS, TAPES
from dualtape.drivers.revolve import ADVANCE, RESTORE, REVERSE, STORE, schedule, split
from dualtape.errors import ArgumentError, ArgumentValueError, TapeMemoryError

# Reverse mode adds the terms of the chain rule in another order than forward mode.
RTOL_AGREEMENT = 1e-13
# A replay does what the recording would have done, statement by statement; sums over calls may be
# added in another order: a few ulps of the largest term.
RTOL_REPLAY = 1e-15
# Eight significant digits of float32 minus what a dozen roundings cost.
RTOL_FLOAT32 = 1e-5
THREADS = 4

slow = pytest.mark.slow
grad = functools.partial(ad.grad, mode="reverse")
value_and_grad = functools.partial(ad.value_and_grad, mode="reverse")
jacobian = functools.partial(ad.jacobian, mode="reverse")
hessian = functools.partial(ad.hessian, mode="reverse")
hvp = functools.partial(ad.hvp, mode="reverse")
forward = functools.partial(ad.value_and_grad, mode="forward")


def leases():
    """Return how many tapes of the pool are leased."""
    gc.collect()
    return sum(TAPES[1 + 2 * slot] for slot in range(SLOTS))


@pytest.fixture(autouse=True)
def every_tape_comes_back():
    before = leases()
    yield
    assert leases() == before


# The binomial schedule


@functools.cache
def fewest_steps(n, slots):
    """Return the fewest forward steps that reverse n steps, by trying everything."""
    if n <= 1:
        return 0
    if slots == 1:
        return n * (n - 1) // 2
    return min(m + fewest_steps(n - m, slots - 1) + fewest_steps(m, slots) for m in range(1, n))


def simulate(actions, slots):
    """Follow a schedule; return the steps in reversed order, and how many forward steps it took."""
    present, kept, steps, reversed_steps = 0, {}, 0, []
    for action, a, b in actions:
        if action == ADVANCE:
            assert present == a < b
            present, steps = b, steps + b - a
        elif action == STORE:
            assert present == a
            assert 0 <= b < slots
            kept[b] = a
        elif action == RESTORE:
            assert kept[b] == a
            present = a
        else:
            assert action == REVERSE
            assert present == a
            reversed_steps.append(a)
    return reversed_steps, steps


@pytest.mark.parametrize("slots", range(1, 9))
def test_schedules_are_legal_and_optimal(slots):
    for n in range(41):
        actions = schedule(n, slots)
        assert actions.dtype == np.int64
        assert actions.shape == (len(actions), 3)
        order, steps = simulate(actions.tolist(), slots)
        assert order == list(range(n))[::-1]
        assert steps == fewest_steps(n, slots)
        if n > 1:
            m = split(n, slots)
            assert 1 <= m < n


@pytest.mark.parametrize(("n", "slots"), [(1000, 10), (1000, 1), (286, 10), (287, 10), (5000, 3)])
def test_long_schedules(n, slots):
    """Against the closed form r n - beta(slots + 1, r - 1)."""
    order, steps = simulate(schedule(n, slots).tolist(), slots)
    assert order == list(range(n))[::-1]
    r, beta, before = 0, 1, 0  # beta(slots, r), beta(slots + 1, r - 1)
    while beta < n:
        before += beta
        r += 1
        beta = beta * (slots + r) // r
    assert steps == r * n - before
    if (n, slots) == (1000, 10):
        assert 3 * n < steps < 4 * n  # "less than four evaluations"


# Checkpointed functions: numbers, arrays, tuples; active, passive, defaults


def number_step(u, a, k=2, scale=0.5):
    return u * np.cos(a) + scale * u**k


def array_step(u, w, weights):
    v = u + 0.1 * np.sin(u * w)
    v[0] += weights[0] * w
    return v * weights


def tuple_step(p, n):
    u, (s, which) = p
    t = s
    for i in range(n):
        t = t + u[i] * s * which[i]
    return (t, u * t), 2.5


def whole(number_step, array_step, tuple_step):
    """Return a function of arrays and numbers that calls each of them in a loop."""

    def f(x, a, weights, which, n):
        s = 0.0
        u = x
        for k in range(n):
            u = array_step(u, a, weights)
            s += number_step(u[k % 2], a) * (k + 1)
            weights = weights * 0.9  # what was kept must not change
        t = s
        (t, v), c = tuple_step((u, (s, which)), 2)
        return t * c + np.sum(v * u) + number_step(s, 0.25)

    return f


STEPS = number_step, array_step, tuple_step
PLAIN = whole(*STEPS)
KEPT = whole(*map(ad.checkpoint, STEPS))
X, A = np.array([0.5, -1.0, 2.0]), 0.3
REST = np.array([1.5, 1.0, -0.5]), np.array([2, 3]), 3


def test_gradient_of_checkpointed_functions():
    expected = forward(PLAIN, (0, 1))(X, A, *REST)
    before = [X.copy(), *(np.copy(part) for part in REST[:2])]
    for _ in range(3):
        found = value_and_grad(KEPT, (0, 1))(X, A, *REST)
        assert found[0] == expected[0]
        assert_close(found[1], expected[1], RTOL_AGREEMENT)
    for part, original in zip((X, *REST[:2]), before, strict=True):
        np.testing.assert_array_equal(part, original)
    for n in (0, 1, 2, 7):
        found = value_and_grad(KEPT, (0, 1))(X, A, *REST[:2], n)
        expected = forward(PLAIN, (0, 1))(X, A, *REST[:2], n)
        assert_close(found, expected, RTOL_AGREEMENT)


@slow
def test_gradient_is_that_of_plain_reverse_mode():
    found = value_and_grad(KEPT, (0, 1))(X, A, *REST)
    assert_close(found, value_and_grad(PLAIN, (0, 1))(X, A, *REST), RTOL_REPLAY)


def test_threads():
    """The same compiled function, from several threads."""
    f = value_and_grad(KEPT, (0, 1))
    points = [np.linspace(-1.0, k, 3) for k in range(30)]
    expected = [f(x, A, *REST) for x in points]
    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(lambda x: f(x, A, *REST), points * 4))
    for (value, gradient), (value_alone, alone) in zip(found, expected * 4, strict=True):
        assert value == value_alone
        np.testing.assert_array_equal(gradient[0], alone[0])
        assert gradient[1] == alone[1]


@pytest.fixture
def live_allocations():
    """Let Numba's runtime count allocations; return a function that says how many are live."""
    was_on = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()

    def count():
        gc.collect()
        stats = rtsys.get_allocation_stats()
        return stats.alloc - stats.free, stats.mi_alloc - stats.mi_free

    yield count
    if not was_on:
        _nrt_python.memsys_disable_stats()


@numba.njit
def identity(x):
    return x


@pytest.fixture
def no_tapes_left():
    """Lease all tapes of the pool: a call makes one of its own, whose memory is new."""
    kept = [ad.vjp(identity, 1.0)[1] for _ in range(SLOTS)]
    assert leases() == SLOTS
    yield
    kept.clear()


@pytest.mark.usefixtures("no_tapes_left")
def test_memory_is_given_back(live_allocations):
    f, loop = value_and_grad(KEPT, (0, 1)), value_and_grad(kept_loop, (0, 1))
    calls = (lambda: f(X, A, *REST)), (lambda: loop(1.5, -0.3, 10, 3))
    for call in calls:
        for _ in range(3):
            call()
        live = live_allocations()
        for _ in range(50):
            call()
        assert live_allocations() == live


# Jacobians: adjoints in lanes


def coupled(u, a):
    v = np.exp(-u) * a
    for i in range(1, u.size):
        v[i] = v[i] + u[i - 1] * v[i - 1]
    return v


def twice(step):
    return lambda x, a: step(step(x, a) + x, a * x[0])


TWICE, TWICE_KEPT = twice(coupled), twice(ad.checkpoint(coupled))


def test_jacobian_of_checkpointed_functions(rng):
    """Outputs are swept in eights, fours and ones."""
    plain = ad.value_and_jacobian(TWICE, (0, 1), mode="forward")
    found = ad.value_and_jacobian(TWICE_KEPT, (0, 1), mode="reverse")
    for n in (1, 2, 4, 7, 8, 13, 21):
        x = rng.normal(size=n)
        value, blocks = found(x, 0.7)
        expected_value, expected = plain(x, 0.7)
        np.testing.assert_array_equal(value, expected_value)
        assert_close(blocks, expected, RTOL_AGREEMENT)


def scalar_twice(step):
    return lambda x, a: np.sum(step(step(x, a) * x[0], a) ** 2)


SCALAR_TWICE = scalar_twice(coupled)
SCALAR_TWICE_KEPT = scalar_twice(ad.checkpoint(coupled))


def test_hessian_of_checkpointed_functions(rng):
    for n in (1, 3):
        x = rng.normal(size=n)
        found = hessian(SCALAR_TWICE_KEPT)(x, 0.7)
        expected = ad.hessian(SCALAR_TWICE, mode="forward")(x, 0.7)
        assert_close(found, expected, 10.0 * RTOL_AGREEMENT)


@slow
def test_hessian_is_that_of_plain_reverse_mode(rng):
    x = rng.normal(size=3)
    found, expected = (hessian(f)(x, 0.7) for f in (SCALAR_TWICE_KEPT, SCALAR_TWICE))
    assert_close(found, expected, 10.0 * RTOL_REPLAY)


@slow
def test_hvp_of_checkpointed_functions(rng):
    x, v = rng.normal(size=(2, 5))
    found = hvp(SCALAR_TWICE_KEPT)(x, v, 0.7)
    expected = ad.hessian(SCALAR_TWICE, mode="forward")(x, 0.7) @ v
    assert_close(found, expected, 100.0 * RTOL_AGREEMENT)


@slow
def test_vjp_of_checkpointed_functions(rng):
    x = rng.normal(size=4)
    y, pullback = ad.vjp(TWICE_KEPT, x, 0.7)
    value, (by_x, by_a) = ad.value_and_jacobian(TWICE, (0, 1), mode="forward")(x, 0.7)
    np.testing.assert_array_equal(y, value)
    for u in rng.normal(size=(3, 4)):
        expected = u @ by_x, float(u @ by_a)
        assert_close(pullback(u), expected, 10.0 * RTOL_AGREEMENT)
    stacked = rng.normal(size=(9, 4))
    assert_close(pullback(stacked), (stacked @ by_x, stacked @ by_a), 10.0 * RTOL_AGREEMENT)


# Nested


@ad.checkpoint
def inner(u):
    return u * np.sin(u)


def middle(u):
    return inner(inner(u)) + u


outer = ad.checkpoint(middle)


def nested(x):
    return outer(outer(x) * x) + inner(x)


def nested_by_hand(x):
    """Return value and derivative by the chain rule."""

    def s(u):
        return u * np.sin(u), np.sin(u) + u * np.cos(u)

    def m(u):
        (a, da), (b, db) = s(u), s(s(u)[0])
        return b + u, da * db + 1.0 + 0.0 * a

    (o, do), (i, di) = m(x), s(x)
    w, dw = m(o * x)
    return w + i, dw * (do * x + o) + di


def test_nested_checkpoints():
    for x in (0.7, -1.3):
        found = value_and_grad(nested)(x)
        assert found == pytest.approx(nested_by_hand(x), rel=RTOL_AGREEMENT)


@slow
def test_second_derivative_of_nested_checkpoints():
    found = hessian(nested)(0.7)
    assert found == pytest.approx(ad.derivative(nested, 2)(0.7), rel=RTOL_AGREEMENT)


# Everywhere else a checkpointed function is the function

KEPT_NUMBER, KEPT_ARRAY = ad.checkpoint(number_step), ad.checkpoint(array_step)


def test_calls_from_python():
    assert ad.checkpoint(number_step) is KEPT_NUMBER
    assert KEPT_NUMBER(1.5, 0.3) == number_step(1.5, 0.3)
    assert KEPT_NUMBER(1.5, 0.3, 3) == number_step(1.5, 0.3, 3)
    assert KEPT_NUMBER(1.5, a=0.3, scale=2.0) == number_step(1.5, 0.3, scale=2.0)
    assert KEPT_NUMBER(2, 0.0) == 4.0
    np.testing.assert_array_equal(KEPT_ARRAY(X, A, REST[0]), array_step(X, A, REST[0]))
    assert KEPT_NUMBER.__name__ == "checkpoint(number_step)"


@numba.njit
def calls_inside(x, a, weights):
    return KEPT_ARRAY(x, a, weights), ad.checkpoint(identity)(a)


def test_calls_from_compiled_code():
    u, a = calls_inside(X, A, REST[0])
    np.testing.assert_array_equal(u, array_step(X, A, REST[0]))
    assert a == A


def test_forward_mode_through_checkpoints():
    expected = ad.value_and_grad(PLAIN, mode="forward")(X, A, *REST)
    found = ad.value_and_grad(KEPT, mode="forward")(X, A, *REST)
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1], expected[1])


@slow
def test_passive_calls_in_reverse_mode():
    """A call without active arguments, and one whose result is not used, are no blocks."""

    def f(x, c):
        KEPT_NUMBER(x, c)
        return x * KEPT_NUMBER(c, 2.0)

    assert grad(f)(3.0, 1.25) == number_step(1.25, 2.0)


# What goes in and out


def changes_afterwards(step):
    def f(x, weights):
        u, weights = x.copy(), weights.copy()
        v = step(u, 0.5, weights)
        u[:] = 7.0
        weights[:] = -3.0
        return np.sum(v * v) + np.sum(u)

    return f


def test_arguments_that_change_after_the_call():
    expected = forward(changes_afterwards(array_step), (0, 1))(X, REST[0])
    found = value_and_grad(changes_afterwards(KEPT_ARRAY), (0, 1))(X, REST[0])
    assert_close(found, expected, RTOL_AGREEMENT)


@ad.checkpoint
def of_many_kinds(u, flag, none, h, counts):
    """Return what is no new number, and constants, besides numbers."""
    s = u[0] * counts[1] if flag else u[1]
    if none is not None:
        s = s * none
    return u, u[1:], h(s), 2.5, 3, np.ones(2)


@numba.njit
def squared(x):
    return x * x


def uses_many_kinds(x, counts):
    a, b, c, d, e, o = of_many_kinds(x, True, None, squared, counts)
    p, q, r, _, _, _ = of_many_kinds(x, False, 2, squared, counts)
    return np.sum(a * a[::-1]) + b[0] * c * d * e + np.sum(o) * p[0] * q[1] * r


def test_arguments_and_results_of_many_kinds():
    x, counts = np.array([1.5, -2.0, 0.5]), np.array([1, 4])
    a, b, c = x
    # 2 a c + b^2 + 7.5 b (4 a)^2 + 2 a c (2 b)^2
    value = 2 * a * c + b * b + 120.0 * a * a * b + 8.0 * a * b * b * c
    gradient = (
        2 * c + 240.0 * a * b + 8 * b * b * c,
        2 * b + 120.0 * a * a + 16 * a * b * c,
        2 * a + 8 * a * b * b,
    )
    found = value_and_grad(uses_many_kinds)(x, counts)
    assert_close(found, (float(value), np.array(gradient)), RTOL_AGREEMENT)


@ad.checkpoint
def rebinds(u, n):
    for _ in range(n):
        u = u * 2.0
    v = u
    v += 1.0
    if n > 5:
        return v
    return u if n > 2 else -v


def uses_rebinds(x):
    return rebinds(x, 1) * rebinds(x, 3) * rebinds(x, 6)


def test_functions_that_rebind_their_argument():
    """u -> -(2 u + 1), 8 u, 64 u + 1."""
    x = 0.75
    parts, slopes = (-(2 * x + 1), 8 * x, 64 * x + 1), (-2.0, 8.0, 64.0)
    expected = sum(np.prod(parts) * s / p for p, s in zip(parts, slopes, strict=True))
    value, slope = value_and_grad(uses_rebinds)(x)
    assert value == pytest.approx(np.prod(parts), rel=RTOL_AGREEMENT)
    assert slope == pytest.approx(expected, rel=RTOL_AGREEMENT)


@slow
@pytest.mark.parametrize("order", ["C", "F", "strided"])
def test_layouts(order):
    m = np.arange(6.0).reshape(3, 2) / 3.0
    m = np.repeat(m, 2, axis=1)[:, ::2] if order == "strided" else np.array(m, order=order)
    gram = ad.checkpoint(gram_matrix)

    def f(m):
        return np.sum(gram(m) * gram(m.T)[:2, :2])

    def plain(m):
        return np.sum(gram_matrix(m) * gram_matrix(m.T)[:2, :2])

    assert_close(grad(f)(m), ad.grad(plain, mode="forward")(m), RTOL_AGREEMENT)


def gram_matrix(m):
    return m.T @ m


@slow
def test_empty_arrays():
    f = ad.checkpoint(lambda u: u * u)
    assert_close(grad(lambda x: np.sum(f(x)) + 1.0)(np.zeros(0)), np.zeros(0))


@slow
def test_single_precision():
    f = ad.checkpoint(lambda u, c: u * np.sin(u) * c)
    x = np.array([0.5, 1.5], np.float32)
    gradient = grad(lambda x: np.sum(f(x, np.float32(2.0))))(x)
    assert gradient.dtype == np.float32
    expected = 2.0 * (np.sin(x) + x * np.cos(x))
    np.testing.assert_allclose(gradient, expected, rtol=RTOL_FLOAT32)


# Errors


def writes(u):
    u[0] = u[0] * 2.0
    return u


def writes_in_a_call(u):
    return writes(u)


def writes_to_a_view(p, n):
    v = p[1][1:]
    v += 1.0
    return p[1]


WRITERS = [
    (writes, lambda g: lambda x: np.sum(g(x))),
    (writes_in_a_call, lambda g: lambda x: np.sum(g(x))),
    (writes_to_a_view, lambda g: lambda x: np.sum(g((1.0, x), 2))),
]


@pytest.mark.parametrize(("f", "use"), WRITERS, ids=lambda f: f.__name__)
def test_functions_that_write_to_an_argument(f, use):
    with pytest.raises(ArgumentError, match=rf"\({f.__name__}\).*writes to its argument 0"):
        grad(use(ad.checkpoint(f)))(X)


def test_what_is_no_function():
    for wrong in (3, None, "f", np.ones(2)):
        with pytest.raises(ArgumentError, match="checkpoint"):
            ad.checkpoint(wrong)


def test_results_that_cannot_be_kept():
    lists = ad.checkpoint(lambda u: [u, u * u])
    with pytest.raises(ArgumentError, match="returns"):
        grad(lambda x: lists(x)[1])(3.0)


def long_call(u, n):
    """Iterate n times; raise where the result is large."""
    s = u * 1.0
    for _ in range(n):
        s = 0.5 * np.sin(s) + 0.5 * u
    if s > 2.0:
        raise ValueError("too large")
    return s


long_kept = ad.checkpoint(long_call)


def many_calls(call):
    def f(x, n, m):
        u = x * 1.0
        for _ in range(m):
            u = call(u, n)
        return u

    return f


MANY, MANY_KEPT = many_calls(long_call), many_calls(long_kept)


def test_a_function_that_raises():
    f = value_and_grad(MANY_KEPT)
    expected = forward(MANY)(0.5, 4, 2)
    for _ in range(3):
        with pytest.raises(ValueError, match="too large"):
            f(5.0, 4, 2)
        assert_close(f(0.5, 4, 2), expected, RTOL_AGREEMENT)


@pytest.fixture
def limited():
    """Return a function that sets the limit of tapes, which is set back after the test."""
    before = ad.set_tape_limit(2**33)
    yield ad.set_tape_limit
    ad.set_tape_limit(before)


def test_a_long_loop_in_little_memory(limited):
    """20 calls of 1000 turns: some 600 kB on one tape, 30 kB for each call."""
    f, plain = value_and_grad(MANY_KEPT), value_and_grad(MANY)
    expected = forward(MANY)(0.5, 1000, 20)
    limited(300_000)
    for _ in range(2):
        with pytest.raises(TapeMemoryError, match="checkpoint"):
            plain(0.5, 1000, 20)
        assert_close(f(0.5, 1000, 20), expected, RTOL_AGREEMENT)
    # one call that does not fit fails inside the sweep; what comes after it is right
    with pytest.raises(TapeMemoryError, match="checkpoint"):
        f(0.5, 100_000, 2)
    assert_close(f(0.5, 1000, 20), expected, RTOL_AGREEMENT)
    limited(2**33)
    assert_close(f(0.5, 100_000, 2), forward(MANY)(0.5, 100_000, 2), RTOL_AGREEMENT)


# Loops

LENGTHS, ROOM = (0, 1, 2, 10, 57), (1, 2, 3, 10)


def number_loop_step(u, k, a):
    return u + 0.1 * a * np.sin(u) / (k + 1)


def plain_loop(u, a, n):
    for k in range(n):
        u = number_loop_step(u, k, a)
    return u


def kept_loop(u, a, n, slots):
    return ad.checkpoint_loop(number_loop_step, u, n, slots, a)


@pytest.mark.parametrize("n", LENGTHS)
def test_loop_of_a_number(n):
    expected = forward(plain_loop, (0, 1))(1.5, -0.3, n)
    for slots in ROOM:
        found = value_and_grad(kept_loop, (0, 1))(1.5, -0.3, n, slots)
        assert found[0] == expected[0] == ad.checkpoint_loop(number_loop_step, 1.5, n, slots, -0.3)
        assert_close(found[1], expected[1], RTOL_AGREEMENT)


def test_a_loop_of_less_than_no_steps():
    assert value_and_grad(kept_loop, (0, 1))(1.5, -0.3, -2, 3) == (1.5, (1.0, 0.0))
    assert ad.checkpoint_loop(number_loop_step, 1.5, -2, 3, -0.3) == 1.5


def test_loops_have_room_for_the_first_state():
    for slots in (0, -1):
        with pytest.raises(ArgumentError, match="slots"):
            value_and_grad(kept_loop, (0, 1))(1.5, -0.3, 3, slots)
        with pytest.raises(ArgumentError, match="slots"):
            ad.checkpoint_loop(number_loop_step, 1.5, 3, slots, -0.3)


def test_loops_outside_of_reverse_mode():
    found = forward(kept_loop, (0, 1))(1.5, -0.3, 10, 3)
    assert found == forward(plain_loop, (0, 1))(1.5, -0.3, 10)
    assert numba.njit(kept_loop_njit)(1.5, -0.3, 10, 3) == found[0]


number_loop_step_njit = numba.njit(number_loop_step)


def kept_loop_njit(u, a, n, slots):
    return ad.checkpoint_loop(number_loop_step_njit, u, n, slots, a)


def tuple_loop_step(state, k, rates, counts, c):
    u, (s, m) = state
    rate, w = rates
    v = u * rate + w[k % 2] * np.sin(u)
    return v, (s + v[0] * c, m * 0.5 + s * counts[k % 3])


def plain_tuple_loop(x, rates, counts, n):
    state = x, (0.5, np.ones((1, 2)) * x[1])
    for k in range(n):
        state = tuple_loop_step(state, k, rates, counts, 2.0)
    return np.sum(state[0]) * state[1][0] + np.sum(state[1][1])


def kept_tuple_loop(x, rates, counts, n, slots):
    state = x, (0.5, np.ones((1, 2)) * x[1])
    state = ad.checkpoint_loop(tuple_loop_step, state, n, slots, rates, counts, 2.0)
    return np.sum(state[0]) * state[1][0] + np.sum(state[1][1])


def test_loop_of_a_tuple():
    """Active and passive numbers and arrays in the state and in the arguments."""
    args = X, (0.9, np.array([0.1, -0.2])), np.array([1, 0, 2])
    for n in LENGTHS:
        value, expected = forward(plain_tuple_loop, (0, 1))(*args, n)
        for slots in ROOM:
            found = value_and_grad(kept_tuple_loop, (0, 1))(*args, n, slots)
            assert found[0] == pytest.approx(value, rel=RTOL_AGREEMENT)
            assert_close(found[1], expected, 10.0 * RTOL_AGREEMENT)


def plain_array_loop(x, n):
    for k in range(n):
        x = coupled(x, 0.5) / (k + 1.0)
    return x


def array_loop_step(u, k):
    return coupled(u, 0.5) / (k + 1.0)


def kept_array_loop(x, n, slots):
    return ad.checkpoint_loop(array_loop_step, x, n, slots)


def test_jacobian_of_a_loop(rng):
    """Outputs are swept in lanes; arguments are passive."""
    for n, size in ((0, 2), (1, 1), (5, 9), (10, 3)):
        x = rng.uniform(0.1, 0.5, size=size)
        value, expected = ad.value_and_jacobian(plain_array_loop, mode="forward")(x, n)
        for slots in (1, 3):
            found = ad.value_and_jacobian(kept_array_loop, mode="reverse")(x, n, slots)
            np.testing.assert_array_equal(found[0], value)
            assert_close(found[1], expected, RTOL_AGREEMENT)


def scaled_loop(a, n, slots):
    return ad.checkpoint_loop(number_loop_step, 1.5, n, slots, a)


def test_hessian_of_a_loop():
    """The state starts passive, the argument is active."""

    def plain(a, n):
        return plain_loop(1.5, a, n)

    for n in (0, 1, 10):
        first, second = (ad.derivative(plain, order)(-0.3, n) for order in (1, 2))
        for slots in (1, 3):
            found = ad.value_grad_hessian(scaled_loop, mode="reverse")(-0.3, n, slots)
            expected = plain(-0.3, n), first, second
            assert found == pytest.approx(expected, rel=10.0 * RTOL_AGREEMENT)


@slow
def test_hessian_of_a_loop_of_a_tuple():
    args = X, (0.9, np.array([0.1, -0.2])), np.array([1, 0, 2])
    expected = ad.hessian(plain_tuple_loop, (0, 1), mode="forward")(*args, 5)
    for slots in (1, 3):
        found = hessian(kept_tuple_loop, (0, 1))(*args, 5, slots)
        assert_close(found, expected, 100.0 * RTOL_AGREEMENT)


@slow
def test_loops_inside_of_checkpoints_and_loops():
    @ad.checkpoint
    def short(u, a):
        return ad.checkpoint_loop(number_loop_step, u, 4, 2, a)

    def outer_step(u, k, a):
        return short(u, a) + ad.checkpoint_loop(number_loop_step, u, 3, 2, a * u) * 0.1

    def f(u, a):
        return ad.checkpoint_loop(outer_step, u, 3, 2, a)

    def plain(u, a):
        for _ in range(3):
            u = plain_loop(u, a, 4) + plain_loop(u, a * u, 3) * 0.1
        return u

    found = value_and_grad(f, (0, 1))(1.5, -0.3)
    assert_close(found, forward(plain, (0, 1))(1.5, -0.3), RTOL_AGREEMENT)


def raising_step(u, k):
    if u > 100.0:
        raise ValueError("too large")
    return u * u


def test_a_step_that_raises():
    def f(x, n):
        return ad.checkpoint_loop(raising_step, x, n, 2)

    for _ in range(3):
        with pytest.raises(ValueError, match="too large"):
            grad(f)(2.0, 6)
        assert grad(f)(2.0, 3) == 8.0 * 2.0**7


def test_a_long_time_in_little_memory(limited):
    """100 000 steps, of which a tape holds one at a time."""
    n = 100_000
    expected = forward(plain_loop, (0, 1))(1.5, -0.3, n)
    limited(100_000)
    with pytest.raises(TapeMemoryError):
        value_and_grad(plain_loop, (0, 1))(1.5, -0.3, n)
    found = value_and_grad(kept_loop, (0, 1))(1.5, -0.3, n, 100)
    assert found[0] == expected[0]
    # sums of n terms of one sign, added in another order
    assert_close(found[1], expected[1], 100.0 * RTOL_AGREEMENT)


def test_steps_must_keep_the_type_of_the_state():
    def pairs(u, k):
        return u, u

    def numbers(u, k):
        return np.sum(u)

    with pytest.raises(ArgumentError, match="the step returns"):
        grad(lambda x: ad.checkpoint_loop(pairs, x, 3, 2)[0])(1.0)
    with pytest.raises(ArgumentError, match="the step returns"):
        grad(lambda x: np.sum(ad.checkpoint_loop(numbers, x, 3, 2)))(X)


def doubled(u, k):
    return np.concatenate((u, u))


def test_steps_must_keep_the_shape_of_the_state():
    f = grad(lambda x, n: np.sum(ad.checkpoint_loop(doubled, x, n, 2)))
    for n in (1, 3):
        with pytest.raises(ArgumentValueError, match="same shape"):
            f(X, n)
    assert_close(f(X, 0), np.ones(3))


def test_steps_must_not_write_to_the_state():
    def step(u, k):
        u[0] = u[0] * 2.0
        return u

    with pytest.raises(ArgumentError, match="writes to its argument 0"):
        grad(lambda x: np.sum(ad.checkpoint_loop(step, x, 3, 2)))(X)


def test_wrong_calls_of_loops():
    with pytest.raises(ArgumentError, match="n has type"):
        ad.checkpoint_loop(number_loop_step, 1.5, 3.0, 2, 0.5)
    with pytest.raises(ArgumentError, match="slots has type"):
        ad.checkpoint_loop(number_loop_step, 1.5, 3, 2.0, 0.5)
    with pytest.raises(ArgumentError, match="checkpoint_loop"):
        ad.checkpoint_loop(3, 1.5, 3, 2)


def test_integer_states_of_loops():
    assert ad.checkpoint_loop(number_loop_step, 1, 3, 2, -0.3) == plain_loop(1.0, -0.3, 3)
    assert ad.checkpoint_loop(number_loop_step, 1, 0, 2, -0.3) == 1.0


# Products of arrays: C = A B has A_bar = C_bar B', B_bar = A' C_bar

SHAPES = [(2, 3, 4), (1, 1, 1), (5, 1, 2), (3, 3, 3), (1, 4, 1), (2, 0, 3), (0, 2, 3)]


def products(a, b, p, q, w):
    """Products of two active matrices, and with a passive one on either side."""
    return np.sum(w * (a @ b)) + 2.0 * np.sum(w * np.dot(a, q)) + 3.0 * np.sum(w * (p @ b))


def drawn(rng, *shapes):
    return [rng.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_of_matrices(shape, rng):
    m, k, n = shape
    a, b, p, q, w = drawn(rng, (m, k), (k, n), (m, k), (k, n), (m, n))
    value, (by_a, by_b) = value_and_grad(products, (0, 1))(a, b, p, q, w)
    expected = np.sum(w * (a @ b + 2.0 * a @ q + 3.0 * p @ b))
    assert value == pytest.approx(expected, rel=RTOL_AGREEMENT, abs=RTOL_AGREEMENT)
    assert_close(by_a, w @ (b + 2.0 * q).T, RTOL_AGREEMENT)
    assert_close(by_b, (a + 3.0 * p).T @ w, RTOL_AGREEMENT)


def vector_products(x, y, a, c, m):
    """Every product with vectors; c and m are passive."""
    s = x @ y + 2.0 * np.dot(x, c) + 3.0 * (c @ y)
    u = a @ x + 0.5 * (m @ x) + 0.25 * np.dot(a, c)
    v = y @ a + 0.5 * np.dot(y, m) + 0.25 * (c @ a)
    return s + u @ v


def test_products_with_vectors(rng):
    x, y, a, c, m = drawn(rng, 3, 3, (3, 3), 3, (3, 3))
    value, (by_x, by_y, by_a) = value_and_grad(vector_products, (0, 1, 2))(x, y, a, c, m)
    u, v = a @ x + 0.5 * m @ x + 0.25 * a @ c, y @ a + 0.5 * y @ m + 0.25 * c @ a
    assert value == pytest.approx(x @ y + 2 * x @ c + 3 * c @ y + u @ v, rel=RTOL_AGREEMENT)
    assert_close(by_x, y + 2.0 * c + (a + 0.5 * m).T @ v, RTOL_AGREEMENT)
    assert_close(by_y, x + 3.0 * c + (a + 0.5 * m) @ u, RTOL_AGREEMENT)
    by_a_expected = np.outer(v, x + 0.25 * c) + np.outer(y + 0.25 * c, u)
    assert_close(by_a, by_a_expected, RTOL_AGREEMENT)


def chain(a, b):
    return a @ b @ a.T


@pytest.mark.parametrize("n", [1, 2, 3])
def test_jacobian_of_a_chain_of_products(n, rng):
    """Outputs are swept in lanes, through products of products."""
    a, b = drawn(rng, (n, 2), (2, 2))
    value, (by_a, by_b) = ad.value_and_jacobian(chain, (0, 1), mode="reverse")(a, b)
    assert_close(value, a @ b @ a.T, RTOL_AGREEMENT)
    expected = np.einsum("ik,jl->ijkl", a, a)
    assert_close(by_b, expected, RTOL_AGREEMENT)
    eye = np.eye(n)
    left = np.einsum("ik,lj->ijkl", eye, b @ a.T)
    right = np.einsum("jk,il->ijkl", eye, a @ b)
    assert_close(by_a, left + right, RTOL_AGREEMENT)


def first_row(a, b):
    c = a @ b
    s = 0.0
    for j in range(c.shape[1]):
        s += c[0, j]
    return s


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_what_is_not_used_makes_no_nan(odd):
    """An exact zero stays zero, in an operand or in the adjoint of the product."""
    a, b = np.array([[1.0, 2.0], [odd, 3.0]]), np.array([[4.0, 5.0], [6.0, 7.0]])
    value, (by_a, by_b) = value_and_grad(first_row, (0, 1))(a, b)
    assert value == 16.0 + 19.0
    np.testing.assert_array_equal(by_a, [[9.0, 13.0], [0.0, 0.0]])
    np.testing.assert_array_equal(by_b, [[1.0, 1.0], [2.0, 2.0]])
    a[1, 0], b[1, 1] = 0.0, odd
    value, (by_a, by_b) = value_and_grad(first_row, (0, 1))(a, b)
    np.testing.assert_array_equal([value, by_a[0, 1]], [4.0 + 12.0 + 5.0 + 2.0 * odd, odd])
    assert by_a[0, 0] == 9.0
    np.testing.assert_array_equal(by_a[1], 0.0)
    np.testing.assert_array_equal(by_b, [[1.0, 1.0], [2.0, 2.0]])


def squared_norm(x, a):
    """Return x' A' A x, with gradient 2 A' A x and Hessian 2 A' A."""
    y = a @ x
    return y @ y


def test_second_derivatives_of_products(rng):
    a, x = drawn(rng, (4, 3), 3)
    found = ad.value_grad_hessian(squared_norm, mode="reverse")(x, a)
    gram = a.T @ a
    assert_close(found, (float(x @ gram @ x), 2.0 * gram @ x, 2.0 * gram), RTOL_AGREEMENT)


@slow
def test_second_derivatives_by_both_operands(rng):
    a, b, w = drawn(rng, (2, 2), (2, 2), (2, 2))

    def f(a, b, w):
        return np.sum(w * (a @ b))

    found = hessian(f, (0, 1))(a, b, w)
    zero = np.zeros((2, 2, 2, 2))
    mixed = np.einsum("in,kl->iknl", w, np.eye(2)).transpose(0, 1, 3, 2)
    assert_close(found, ((zero, mixed), (mixed.transpose(2, 3, 0, 1), zero)), RTOL_AGREEMENT)


@slow
def test_products_of_views(rng):
    a, b = drawn(rng, (4, 6), (3, 4))

    def f(a, b):
        return np.sum((a.T[::2] @ b.T) * (b @ a[:, 1::2]).T)

    expected = ad.value_and_grad(f, (0, 1), mode="forward")(a, b)
    assert_close(value_and_grad(f, (0, 1))(a, b), expected, 10.0 * RTOL_AGREEMENT)


@slow
def test_products_in_single_precision(rng):
    a, b, w = (part.astype(np.float32) for part in drawn(rng, (2, 3), (3, 2), (2, 2)))
    by_a, by_b = grad(lambda a, b, w: np.sum(w * (a @ b)), (0, 1))(a, b, w)
    assert by_a.dtype == by_b.dtype == np.float32
    np.testing.assert_allclose(by_a, w @ b.T, rtol=RTOL_FLOAT32, atol=RTOL_FLOAT32)
    np.testing.assert_allclose(by_b, a.T @ w, rtol=RTOL_FLOAT32, atol=RTOL_FLOAT32)


def test_shapes_that_do_not_fit(rng):
    a, b, p, q, w = drawn(rng, (2, 3), (2, 3), (2, 3), (2, 3), (2, 3))
    with pytest.raises(ValueError, match="incompatible"):
        value_and_grad(products, (0, 1))(a, b, p, q, w)
    x, y, m, c, k = drawn(rng, 3, 2, (3, 3), 3, (3, 3))
    with pytest.raises(ValueError, match="incompatible"):
        value_and_grad(vector_products, (0, 1, 2))(x, y, m, c, k)
