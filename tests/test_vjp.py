"""Vector-Jacobian products: `vjp` and its pullbacks."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numba
import numpy as np
import pytest
from scenarios import assert_close

import dualtape as ad
from dualtape.backend.symbols import SLOTS, TAPES
from dualtape.errors import ArgumentError, ArgumentValueError, NotScalarError

# Reverse mode adds the terms of the chain rule in another order than forward mode.
RTOL_AGREEMENT = 1e-13
# Eight significant digits of float32 minus what a dozen roundings cost.
RTOL_FLOAT32 = 1e-5
THREADS = 4
X = np.array([2.0, -3.0, 0.5])

slow = pytest.mark.slow


def leases():
    """Return how many tapes of the pool are leased."""
    gc.collect()
    return sum(TAPES[1 + 2 * slot] for slot in range(SLOTS))


@pytest.fixture(autouse=True)
def every_tape_comes_back():
    before = leases()
    yield
    assert leases() == before


# One array: y_i = x_i x_0, J = x_0 1 + x e_0'


def times_first(x):
    return x * x[0]


def jacobian_of_times_first(x):
    jacobian = np.diag(np.full(x.size, x[0]))
    jacobian[:, 0] += x
    return jacobian


def test_value_and_gradient_of_an_array():
    y, pullback = ad.vjp(times_first, X)
    assert_close(y, X * X[0])
    jacobian = jacobian_of_times_first(X)
    for i, unit in enumerate(np.eye(3)):
        found = pullback(unit)
        assert type(found) is tuple
        assert len(found) == 1
        assert_close(found[0], jacobian[i])
    assert_close(pullback(np.array([1.0, -2.0, 4.0])), (np.array([1.0, -2.0, 4.0]) @ jacobian,))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 16, 17])
def test_stacked_cotangents(count, rng):
    """They are swept in eights, fours and ones; the result is the same, bit for bit."""
    _, pullback = ad.vjp(times_first, X)
    cotangents = rng.normal(size=(count, 3))
    [found] = pullback(cotangents)
    assert found.shape == (count, 3)
    assert_close(found, cotangents @ jacobian_of_times_first(X))
    for row, cotangent in zip(found, cotangents, strict=True):
        assert row.tobytes() == pullback(cotangent)[0].tobytes()


@pytest.mark.parametrize("n", [1, 5, 100, 3000])
def test_sizes(n, rng):
    x, cotangent = rng.normal(size=n) + 3.0, rng.normal(size=n)
    y, pullback = ad.vjp(times_first, x)
    assert_close(y, x * x[0])
    expected = cotangent * x[0]
    expected[0] += x @ cotangent
    assert_close(pullback(cotangent), (expected,))


def test_pullbacks_may_be_called_again():
    _, pullback = ad.vjp(times_first, X)
    first = pullback(np.ones(3))[0]
    kept = first.copy()
    for k in range(5):
        again = pullback(np.full(3, k + 1.0))[0]
        np.testing.assert_array_equal(again, (k + 1.0) * kept)
        assert not np.shares_memory(again, first)
    np.testing.assert_array_equal(first, kept)


def test_the_recording_stays_while_others_are_made():
    """Gradients, Hessians and pullbacks in between use other tapes."""
    _, pullback = ad.vjp(times_first, X)
    _, other = ad.vjp(times_first, 10.0 * X)
    expected = pullback(np.ones(3))[0].copy()
    assert ad.grad(cubed, mode="reverse")(2.0) == 12.0
    assert ad.hessian(cubed, mode="reverse")(2.0) == 12.0
    _, third = ad.vjp(times_first, -X)
    for scale, one in ((1.0, pullback), (10.0, other), (-1.0, third), (1.0, pullback)):
        assert_close(one(np.ones(3))[0], scale * expected)


def test_arguments_may_change_afterwards():
    x = X.copy()
    y, pullback = ad.vjp(times_first, x)
    x[:] = np.nan
    assert_close(y, X * X[0])
    assert_close(pullback(np.ones(3))[0], np.ones(3) @ jacobian_of_times_first(X))
    y[:] = np.nan
    assert_close(pullback(np.ones(3))[0], np.ones(3) @ jacobian_of_times_first(X))


# One number


def cubed(x):
    return x**3


def test_a_number():
    y, pullback = ad.vjp(cubed, 2.0)
    assert (y, pullback(1.0), pullback(-0.5)) == (8.0, (12.0,), (-6.0,))
    assert type(y) is float
    assert type(pullback(1.0)[0]) is float
    [stacked] = pullback(np.array([1.0, 2.0, 0.0]))
    assert_close(stacked, np.array([12.0, 24.0, 0.0]))


def test_kinds_of_cotangents():
    _, pullback = ad.vjp(cubed, 2.0)
    for one in (1, 1.0, np.float64(1.0), np.float32(1.0), np.int64(1), np.array(1.0)):
        assert pullback(one) == (12.0,)
    assert_close(pullback([1, 2])[0], np.array([12.0, 24.0]))
    assert_close(pullback(range(3))[0], np.array([0.0, 12.0, 24.0]))
    assert_close(pullback(np.repeat(np.arange(4.0), 2)[::2])[0], 12.0 * np.arange(4.0))


FLOAT32 = pytest.param(np.float32(2.0), marks=slow)


@pytest.mark.parametrize("x", [2, np.int64(2), np.array(2), FLOAT32], ids=repr)
def test_kinds_of_numbers(x):
    y, pullback = ad.vjp(cubed, x)
    assert (y, pullback(1.0)) == (8.0, (12.0,))


@slow
def test_kinds_of_arrays():
    wide = np.zeros((3, 2))
    wide[:, 1] = X
    frozen = X.copy()
    frozen.setflags(write=False)
    for x in (list(X), wide[:, 1], X[::-1].copy()[::-1], frozen, X.astype(">f8")):
        y, pullback = ad.vjp(times_first, x)
        assert_close(y, X * X[0])
        assert_close(pullback(np.ones(3))[0], np.ones(3) @ jacobian_of_times_first(X))
    y, pullback = ad.vjp(times_first, [2, 3])
    assert_close(y, np.array([4.0, 6.0]))
    assert_close(pullback([1, 0])[0], np.array([4.0, 0.0]))


def test_single_precision():
    x = X.astype(np.float32)
    y, pullback = ad.vjp(times_first, x)
    [found] = pullback(np.ones(3, np.float32))
    assert y.dtype == found.dtype == np.float32
    np.testing.assert_allclose(found, np.ones(3) @ jacobian_of_times_first(X), rtol=RTOL_FLOAT32)


# Structures: several primals, tuples, matrices


class Pair(NamedTuple):
    a: object
    b: object


def of_structures(p, m, s):
    """Return ((s m p_1, p_0), sum of m, 3)."""
    return Pair(s * (m @ p[1]), p[0] * s), np.sum(m * m), 3.0


P, M, S = (1.5, np.array([2.0, -1.0])), np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), 0.5


def expected_of_structures(u, v, w):
    """Return the gradients of u' (s m p1) + v p0 s + w sum m^2."""
    by_p = v * S, S * (M.T @ u)
    by_m = S * np.outer(u, P[1]) + 2.0 * w * M
    by_s = float(u @ (M @ P[1]) + v * P[0])
    return by_p, by_m, by_s


def test_structures(rng):
    y, pullback = ad.vjp(of_structures, P, M, S)
    assert_close(y[0], Pair(S * (M @ P[1]), 0.75))
    assert_close(y[1:], (91.0, 3.0))
    for _ in range(3):
        u, v, w = rng.normal(size=3), *rng.normal(size=2).tolist()
        assert_close(pullback((Pair(u, v), w, 7.0)), expected_of_structures(u, v, w))
    stacked = rng.normal(size=(9, 3)), rng.normal(size=9), rng.normal(size=9)
    found = pullback((Pair(*stacked[:2]), stacked[2], np.zeros(9)))
    assert [np.shape(part) for part in (*found[0], *found[1:])] == [(9,), (9, 2), (9, 3, 2), (9,)]
    for k in range(9):
        by_p, by_m, by_s = expected_of_structures(*(part[k] for part in stacked))
        assert found[0][0][k] == pytest.approx(by_p[0], rel=RTOL_AGREEMENT)
        assert_close(found[0][1][k], by_p[1])
        assert_close(found[1][k], by_m)
        assert found[2][k] == pytest.approx(by_s, rel=RTOL_AGREEMENT)


def transposed(m):
    return 2.0 * m.T


def test_matrices(rng):
    y, pullback = ad.vjp(transposed, M)
    assert_close(y, 2.0 * M.T)
    u = rng.normal(size=(2, 3))
    assert_close(pullback(u), (2.0 * u.T,))
    stacked = rng.normal(size=(4, 2, 3))
    assert_close(pullback(stacked), (2.0 * np.swapaxes(stacked, 1, 2),))


@slow
def test_layouts_of_matrices(rng):
    u = rng.normal(size=(2, 3))
    for order in ("C", "F"):
        y, pullback = ad.vjp(transposed, np.array(M, order=order))
        assert_close(y, 2.0 * M.T)
        assert_close(pullback(u), (2.0 * u.T,))
        assert_close(pullback(np.asfortranarray(u)), (2.0 * u.T,))


def polar_list(r, phi):
    return [r * np.cos(phi), r * np.sin(phi)]


def test_a_list_counts_as_an_array():
    y, pullback = ad.vjp(polar_list, 2.0, 0.8)
    c, s = np.cos(0.8), np.sin(0.8)
    assert_close(y, 2.0 * np.array([c, s]))
    assert_close(pullback(np.array([1.0, 10.0])), (float(c + 10.0 * s), float(-2 * s + 20 * c)))
    assert_close(pullback([3, 0]), (float(3.0 * c), float(-6.0 * s)))
    by_r, by_phi = pullback(np.eye(2))
    assert_close(by_r, np.array([c, s]))
    assert_close(by_phi, np.array([-2.0 * s, 2.0 * c]))


def passive(x, n):
    return 3, n, np.ones(2)


@slow
def test_results_that_do_not_depend():
    y, pullback = ad.vjp(passive, 2.0, 5.0)
    assert y[:2] == (3, 5.0)
    assert pullback((1.0, 7.0, np.ones(2))) == (0.0, 7.0)


def same_twice(x):
    return x, x, x[0]


def test_one_row_may_be_seeded_more_than_once():
    _, pullback = ad.vjp(same_twice, X)
    found = pullback((np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 30.0]), 100.0))
    assert_close(found, (np.array([111.0, 22.0, 33.0]),))
    stacked = np.ones((8, 3)), 2.0 * np.ones((8, 3)), np.arange(8.0)
    [found] = pullback(stacked)
    expected = np.full((8, 3), 3.0)
    expected[:, 0] += np.arange(8.0)
    assert_close(found, expected)


def overwrites(x, out):
    for i in range(x.size):
        out[i] = x[i] * x[i]
        x[i] = out[i] * 2.0
    return out


def test_arguments_are_unchanged():
    x, out = X.copy(), np.zeros(3)
    y, pullback = ad.vjp(overwrites, x, out)
    assert_close(y, X * X)
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(out, 0.0)
    assert_close(pullback(np.ones(3)), (2.0 * X, np.zeros(3)))


# Agreement with forward mode


def of_many(x, w, c):
    u = np.exp(-x * c) * w
    for i in range(1, x.size):
        u[i] += np.sin(u[i - 1]) * x[i]
    return u, np.sum(u * u) / c


def test_dot_product_with_jvp(rng):
    """Check <y_bar, J v> = <J' y_bar, v>."""
    for _ in range(5):
        primals = rng.normal(size=6), rng.normal(size=6), 1.5
        v = rng.normal(size=6), rng.normal(size=6), float(rng.normal())
        cotangent = rng.normal(size=6), float(rng.normal())
        value, tangent = ad.jvp(of_many, primals, v)
        y, pullback = ad.vjp(of_many, *primals)
        assert_close(y, value, RTOL_AGREEMENT)
        gradients = pullback(cotangent)
        left = cotangent[0] @ tangent[0] + cotangent[1] * tangent[1]
        terms = [*(gradients[0] * v[0]), *(gradients[1] * v[1]), gradients[2] * v[2]]
        assert abs(left - sum(terms)) <= RTOL_AGREEMENT * sum(map(abs, terms))


# Errors


WRONG = [
    1.0,
    (np.ones(3),),
    (np.ones(3), 1.0, 1.0),
    (1.0, np.ones(3)),
    (np.ones((2, 3)), 1.0),
    (np.ones((1, 2, 3)), np.ones((1, 2))),
    ("a", 1.0),
    (np.ones(3), 1j),
    (np.ones(3, complex), 1.0),
    (None, 1.0),
    None,
    {},
]
WRONG_SIZES = [
    (np.ones(2), 1.0),
    (np.ones(4), 1.0),
    (np.ones(0), 1.0),
    (np.ones((2, 3)), np.ones(3)),
    (np.ones((3, 2)), np.ones(3)),
]


def squares(x):
    return x * x, x[0]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [(w, ArgumentError) for w in WRONG] + [(w, ArgumentValueError) for w in WRONG_SIZES],
    ids=repr,
)
def test_wrong_cotangents(wrong, error):
    _, pullback = ad.vjp(squares, X)
    with pytest.raises(error, match=r"^vjp\(squares\): "):
        pullback(wrong)
    expected = 2.0 * X + [1.0, 0.0, 0.0]
    assert_close(pullback((np.ones(3), 1.0)), (expected,))
    assert_close(pullback((np.ones((1, 3)), np.ones(1))), (expected[None],))


OTHER_SHAPES = [(3, 2), (1, 6), (4, 1, 6), (4, 3, 2)]


@pytest.mark.parametrize(
    "wrong", [np.ones(shape) for shape in OTHER_SHAPES], ids=lambda a: str(a.shape)
)
def test_cotangents_of_another_shape(wrong):
    _, pullback = ad.vjp(transposed, M)
    with pytest.raises(ArgumentValueError, match="shape"):
        pullback(wrong)
    assert_close(pullback(np.ones((2, 3))), (np.full((3, 2), 2.0),))


def test_wrong_arguments():
    with pytest.raises(ArgumentError, match="vjp"):
        ad.vjp(3, 1.0)
    for wrong in ("a", 1j, None, np.ones(2, complex), {}):
        with pytest.raises(ArgumentError, match="argument 0"):
            ad.vjp(cubed, wrong)
    with pytest.raises(ArgumentError, match="no numbers"):
        ad.vjp(cubed, ())
    for wrong in ((), (1.0, 2.0)):
        with pytest.raises(TypeError):
            ad.vjp(cubed, *wrong)


def test_results_that_have_no_cotangent():
    for f in (lambda x: x > 0.0, lambda x: None, lambda x: (x, "a")):
        with pytest.raises(NotScalarError, match="returns"):
            ad.vjp(f, 1.0)


def raises_if_negative(x):
    if x < 0.0:
        raise ValueError("negative")
    return np.sqrt(x)


def test_a_function_that_raises():
    before = leases()
    _, pullback = ad.vjp(raises_if_negative, 4.0)
    for _ in range(3):
        with pytest.raises(ValueError, match="negative"):
            ad.vjp(raises_if_negative, -4.0)
        assert leases() == before + 1
        assert pullback(1.0) == (0.25,)
        y, other = ad.vjp(raises_if_negative, 16.0)
        assert (y, other(1.0)) == (4.0, (0.125,))
        del other


# Tapes


def test_a_pullback_leases_a_tape_until_it_is_dropped():
    before = leases()
    kept = [ad.vjp(cubed, float(k))[1] for k in range(5)]
    assert leases() == before + 5
    assert len({pullback._parts[0] for pullback in kept}) == 5
    del kept[1:3]
    assert leases() == before + 3
    assert [pullback(1.0) for pullback in kept] == [(0.0,), (27.0,), (48.0,)]
    kept.clear()
    assert leases() == before


def test_more_pullbacks_than_the_pool_has_tapes():
    made = [ad.vjp(cubed, float(k)) for k in range(SLOTS + 20)]
    assert leases() == SLOTS
    for k, (y, pullback) in enumerate(made):
        assert (y, pullback(1.0)) == (k**3, (3.0 * k * k,))
        assert_close(pullback(np.ones(9))[0], np.full(9, 3.0 * k * k))
    del made[::2]
    made += [ad.vjp(cubed, float(k)) for k in range(100, 130)]
    for pullback in (pullback for _, pullback in made[-30:]):
        assert pullback(0.5)[0] in {1.5 * k * k for k in range(100, 130)}
    assert [pullback(1.0)[0] for _, pullback in made[:42]] == [3.0 * k * k for k in range(1, 84, 2)]


def test_threads_share_a_pullback(rng):
    n = 200
    x = rng.normal(size=n) + 3.0
    _, pullback = ad.vjp(times_first, x)
    cotangents = [rng.normal(size=n) for _ in range(60)]
    stacks = [np.stack(cotangents[k : k + 9]) for k in range(20)]
    expected = [pullback(c)[0] for c in (*cotangents, *stacks)]
    barrier = threading.Barrier(THREADS)

    def call(k):
        if k < THREADS:
            barrier.wait()
        return pullback((*cotangents, *stacks)[k % 80])[0]

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(call, range(400)))
    for k, gradient in enumerate(found):
        np.testing.assert_array_equal(gradient, expected[k % 80])


def test_threads_make_and_drop_pullbacks():
    def use(k):
        y, pullback = ad.vjp(cubed, float(k))
        return y, pullback(1.0)[0], pullback(np.arange(9.0))[0][3]

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(use, range(400)))
    assert found == [(k**3, 3.0 * k * k, 9.0 * k * k) for k in range(400)]


# In compiled code, and of derivatives


@slow
def test_of_a_gradient():
    gradient = ad.grad(times_cubed)
    y, pullback = ad.vjp(gradient, np.array([2.0, 5.0]))
    # f = a^3 b, gradient (3 a^2 b, a^3)
    assert_close(y, np.array([60.0, 8.0]))
    hessian = np.array([[60.0, 12.0], [12.0, 0.0]])
    assert_close(pullback(np.array([1.0, 10.0]))[0], np.array([1.0, 10.0]) @ hessian)
    assert_close(pullback(np.eye(2))[0], hessian)


def times_cubed(x):
    return x[0] ** 3 * x[1]


times_first_njit = numba.njit(times_first)


@numba.njit
def pulled_back(x, count):
    y, pullback = ad.vjp(times_first_njit, x)
    out = np.zeros((count, x.size))
    for k in range(count):
        seed = np.zeros(x.size)
        seed[k % x.size] = 1.0 + k
        out[k] = pullback(seed)[0]
    return y, out


def test_in_compiled_code():
    jacobian = jacobian_of_times_first(X)
    for _ in range(3):
        y, rows = pulled_back(X, 7)
        assert_close(y, X * X[0])
        assert_close(rows, np.array([(1.0 + k) * jacobian[k % 3] for k in range(7)]))


def radial(x):
    """Return x . d/dx of (sum x) x_0, which is 2 (sum x) x_0."""
    _, pullback = ad.vjp(times_first_njit, x)
    return np.sum(pullback(np.ones(x.size))[0] * x)


@slow
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_derivatives_of_pullbacks(mode):
    expected = np.full(3, 2.0 * X[0])
    expected[0] += 2.0 * X.sum()
    value, gradient = ad.value_and_grad(radial, mode=mode)(X)
    assert_close(gradient, expected)
    assert_close(value, float(2.0 * X.sum() * X[0]))


@numba.njit
def one_of_two(x, cotangent):
    _, pullback = ad.vjp(times_first_njit, x)
    if x[0] > 0.0:
        _, pullback = ad.vjp(times_first_njit, 2.0 * x)
    kept = [pullback, pullback]
    return kept[1](cotangent)[0]


@slow
def test_pullbacks_are_values_in_compiled_code():
    cotangent = np.array([1.0, 2.0, -1.0])
    for x, scale in ((X, 2.0), (-X, 1.0)):
        expected = scale * (cotangent @ jacobian_of_times_first(x))
        assert_close(one_of_two(x, cotangent), expected)
        with pytest.raises(ArgumentValueError, match="shape"):
            one_of_two(x, np.ones(2))


@numba.njit
def wrong_structure(x):
    return ad.vjp(times_first_njit, x)[1](1.0)


def test_wrong_cotangents_in_compiled_code():
    with pytest.raises(Exception, match="does not have the structure"):
        wrong_structure(X)
