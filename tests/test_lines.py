"""Loops over lines of planes: long expressions of arrays in reverse mode.

Partials are computed anew in the sweep or stored, operands are views, are broadcast, are dropped or
overwritten.  The reference is forward mode; values are those of the plain function.
"""

import gc

import numba
import numpy as np
import pytest
from numba.core.runtime import rtsys

import dualtape as ad
from dualtape.numbers.plane_arrays import IN_USE
from dualtape.tape.pool import TAPES

SIZES = (48, 511, 512, 513, 1300)
N = 300
RTOL = 2e-12
FUNCTIONS = {}


def function(f):
    FUNCTIONS[f.__name__] = f
    return f


@function
def slices_that_overlap(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


@function
def stored_partials_of_slices(x):
    return np.sum(np.exp(0.1 * x[1:]) * np.sin(x[:-1])) + np.mean(np.tanh(x) * x)


@function
def strides(x):
    n = x.size // 2
    return np.sum(x[::-1] * x) + np.sum(x[: 2 * n : 2] * x[1 : 2 * n : 2] ** 2)


@function
def products_of_results(x):
    y = x * x + 1.0
    z = y / (2.0 + x * x)
    y = z * y - x
    return np.sum(y * z)


@function
def a_number_of_all_elements(x):
    s = np.sum(x * x)
    return np.sum(x / s) * x[3] + np.sum(x[2] * x - x[1])


@function
def constants_only(x):
    y = 2.0 * x - 3.0
    return np.sum(y[1:] - y[:-1] + 0.5 * x[1:]) * x[0]


@function
def buffers_that_are_overwritten(x):
    w = np.ones(x.size)
    s = 0.0
    for k in range(3):
        w[:] = 1.0 + k
        y = x * w + w * w
        s += np.sum(y * x)
    w[:] = np.nan
    return s


@function
def carried(x):
    u = x * 1.0
    for _ in range(5):
        u = u * x * 0.5 + 1.0
    return np.sum(u)


@function
def dropped_operands(x):
    s = 0.0
    for k in range(10):
        y = x * (1.0 + k)
        z = np.exp(-y * y)
        s += np.sum(z * y)
    return s


@function
def kinks(x):
    y = np.maximum(x - 1.0, 0.2 * x) + np.abs(x - 0.7)
    return np.sum(np.where(y > 0.5, y * y, 3.0 * x)) + np.sum(np.sqrt(x * x + 1.0))


@function
def integers_and_booleans(x):
    k = np.arange(x.size)
    return (
        np.sum(x * k) / x.size + np.sum((x > 0.8) * x * x) + np.sum(x**3) + np.sum((x + 1.0) ** 2.5)
    )


@function
def overflow_in_what_is_not_taken(x):
    return np.sum(np.where(x > -0.6, x * x, np.exp(800.0 + x) * x))


@function
def of_vectors(x):
    return np.dot(x[1:], x[:-1]) * np.dot(x, x)


POINTS = np.linspace(-1.0, 2.0, 40 * 7).reshape(40, 7)
MATRICES = {}


def of_matrices(f):
    MATRICES[f.__name__] = f
    return f


@of_matrices
def rows_and_columns(a):
    row, column = a[:1], a[:, :1]
    return np.sum(row * column * a) + np.sum(np.exp(0.1 * row + 0.2 * column))


@of_matrices
def axes(a):
    b = a.reshape(4, 10, 7)
    first, second, third = np.sum(b * b, axis=0), np.sum(b * b, axis=1), np.sum(b, axis=2)
    return np.sum(first * first) + np.sum(second) * np.sum(third * third)


@of_matrices
def transposes(a):
    return np.sum(a.T * POINTS.T * a.T) + np.sum(a.T[1:, ::-1] * a.T[:-1])


@of_matrices
def plain_rows(a):
    w = POINTS[0] * 1.0
    y = (a - w) ** 2
    w[:] = 0.0
    return np.sum(y * POINTS) + np.sum(np.tanh(a * POINTS[:, 2:3]))


@of_matrices
def three_axes(a):
    b = a[:8].reshape(8, 1, 7) * a[8:16].reshape(1, 8, 7)
    return np.sum(b * b[:, :1]) + np.sum(b[::2, 1::3, ::-1] * b[::2, 1::3])


@of_matrices
def a_mixture(a):
    z = a @ (a.T @ a) * 0.01 - a[:1]
    logits = -0.5 * np.sum((z * z).reshape(40, 7, 1), axis=2)
    return np.sum(np.log(np.sum(np.exp(logits), axis=1)))


def points(size, rng):
    return rng.uniform(-0.5, 1.5, size)


def assert_gradients(f, x):
    value, gradient = ad.value_and_grad(f, mode="reverse")(x)
    expected, forward = ad.value_and_grad(f, mode="forward")(x)
    plain = numba.njit(f)(x)
    scale = np.max(np.abs(forward)) + abs(plain)
    np.testing.assert_allclose(value, plain, rtol=RTOL, atol=RTOL * scale)
    np.testing.assert_allclose(expected, plain, rtol=RTOL, atol=RTOL * scale)
    np.testing.assert_allclose(gradient, forward, rtol=RTOL, atol=RTOL * scale)


def some_slow(names, quick):
    return [pytest.param(n, marks=[pytest.mark.slow] * (n not in quick)) for n in names]


FEW = ("slices_that_overlap", "stored_partials_of_slices", "buffers_that_are_overwritten", "kinks")
FEW_MATRICES = ("rows_and_columns", "axes", "plain_rows")


@pytest.mark.parametrize("name", some_slow(FUNCTIONS, FEW))
def test_gradients_of_all_sizes(name, rng):
    for size in SIZES:
        assert_gradients(FUNCTIONS[name], points(size, rng))


@pytest.mark.parametrize("name", some_slow(MATRICES, FEW_MATRICES))
def test_gradients_of_matrices(name, rng):
    assert_gradients(MATRICES[name], points((40, 7), rng))


@pytest.mark.parametrize("name", some_slow(FUNCTIONS, FEW))
def test_products_along_a_direction(name, rng):
    """Planes with tangents, of few and of many elements."""
    for size in (11, *SIZES):
        x, v = points(size, rng), rng.normal(size=size)
        value, tangent = ad.jvp(FUNCTIONS[name], (x,), (v,))
        gradient = ad.grad(FUNCTIONS[name], mode="forward")(x)
        plain = numba.njit(FUNCTIONS[name])(x)
        scale = np.abs(gradient) @ np.abs(v) + abs(plain)
        np.testing.assert_allclose(value, plain, rtol=RTOL, atol=RTOL * scale)
        np.testing.assert_allclose(tangent, gradient @ v, rtol=RTOL, atol=RTOL * scale)


@pytest.mark.parametrize("name", some_slow(MATRICES, FEW_MATRICES))
def test_products_along_a_direction_of_matrices(name, rng):
    x, v = points((40, 7), rng), rng.normal(size=(40, 7))
    for a, w in ((x, v), (x.T.copy().T, v[::-1].copy()[::-1])):
        tangent = ad.jvp(MATRICES[name], (a,), (w,))[1]
        gradient = ad.grad(MATRICES[name], mode="forward")(x)
        scale = np.sum(np.abs(gradient * v))
        np.testing.assert_allclose(tangent, np.sum(gradient * v), rtol=RTOL, atol=RTOL * scale)


def test_results_along_a_direction_that_are_arrays(rng):
    def f(x, a):
        y = np.tanh(x) * x[::-1]
        return y, a @ y, np.sum(a * y, axis=1), (a.T @ a)[0]

    x, a = points(60, rng), rng.normal(size=(70, 60))
    v, w = rng.normal(size=60), rng.normal(size=(70, 60))
    _, tangents = ad.jvp(f, (x, a), (v, w))
    h = 1e-30j
    xc, ac = x + h * v, a + h * w
    y = np.tanh(xc) * xc[::-1]
    expected = (y, ac @ y, np.sum(ac * y, axis=1), (ac.T @ ac)[0])
    for found, exact in zip(tangents, expected, strict=True):
        np.testing.assert_allclose(found, exact.imag / 1e-30, rtol=RTOL, atol=1e-12)


def test_directions_leave_their_arguments_alone(rng):
    def f(x, out):
        y = x * x
        out[:] = 7.0
        return np.sum(y * x)

    x, v = points(N, rng), rng.normal(size=N)
    before = x.copy()
    tangent = ad.jvp(lambda x: f(x, np.empty(x.size)), (x,), (v,))[1]
    np.testing.assert_allclose(tangent, 3.0 * before**2 @ v, rtol=RTOL)
    np.testing.assert_array_equal(x, before)


@pytest.mark.usefixtures("allocation_statistics")
def test_directions_leave_nothing_behind(rng):
    x, v = points(2 * N, rng)[::2], rng.normal(size=2 * N)[::2]
    for f in FUNCTIONS.values():
        ad.jvp(f, (x,), (v,))
    gc.collect()
    before = rtsys.get_allocation_stats()
    for f in FUNCTIONS.values():
        ad.jvp(f, (x,), (v,))
    gc.collect()
    after = rtsys.get_allocation_stats()
    assert after.alloc - before.alloc == after.free - before.free


@pytest.mark.parametrize("name", ["slices_that_overlap", "kinks", "stored_partials_of_slices"])
def test_single_precision(name, rng):
    x = points(N, rng).astype(np.float32)
    gradient = ad.grad(FUNCTIONS[name], mode="reverse")(x)
    assert gradient.dtype == np.float32
    expected = ad.grad(FUNCTIONS[name], mode="forward")(x.astype(float))
    np.testing.assert_allclose(gradient, expected, rtol=2e-4, atol=2e-4 * np.max(np.abs(expected)))


def test_jacobians_sweep_several_adjoints(rng):
    """Eight at a time, then four, then one."""

    def f(x):
        y = np.tanh(x) * x[::-1] - 0.5 * x
        out = np.empty(13)
        for k in range(13):
            out[k] = np.sum(y * y) * (1 + k) + np.sum(y[k:] * x[: x.size - k])
        return out

    x = points(N, rng)
    reverse, forward = (ad.jacobian(f, mode=mode)(x) for mode in ("reverse", "forward"))
    scale = np.max(np.abs(forward))
    np.testing.assert_allclose(reverse, forward, rtol=RTOL, atol=RTOL * scale)


@pytest.mark.parametrize("name", ["slices_that_overlap", "dropped_operands", "products_of_results"])
def test_second_derivatives_over_reverse(name, rng):
    f, x, v = FUNCTIONS[name], points(60, rng), rng.normal(size=60)
    exact = ad.hessian(f, mode="forward")(x)
    np.testing.assert_allclose(ad.hvp(f)(x, v), exact @ v, rtol=1e-10, atol=1e-9)
    reverse = ad.jacobian(ad.grad(f, mode="reverse"), mode="reverse")(x)
    np.testing.assert_allclose(reverse, exact, rtol=1e-10, atol=1e-9)


def test_a_sparse_jacobian_has_statements(rng):
    def f(x):
        return x[1:] * x[:-1] ** 2 + np.exp(0.1 * x[1:])

    x = points(80, rng)
    sparse, forward = ad.sparse_jacobian(f)(x).toarray(), ad.jacobian(f, mode="forward")(x)
    np.testing.assert_allclose(sparse, forward, rtol=RTOL)


def test_a_pullback_keeps_values(rng):
    """It outlives the arguments, and what the function computed."""
    x, w = points(N, rng), points(N, rng)

    def f(x, w):
        y = x * w
        return y * y * x

    _, pullback = ad.vjp(f, x, w)
    expected = (3.0 * x**2 * w**2, 2.0 * x**3 * w)
    x[:], w[:] = np.nan, np.nan
    filler = [np.full(N, np.nan) for _ in range(50)]
    found = pullback(np.ones(N))
    assert len(filler) == 50
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=RTOL)


def test_arguments_that_share_memory_with_a_buffer(rng):
    """The sweep uses the values that the function has read."""

    def f(x, out):
        y = x * x
        out[:] = 7.0
        return np.sum(y * y)

    x = points(N, rng)
    before = x.copy()
    np.testing.assert_allclose(ad.grad(f, mode="reverse")(x, x), 4.0 * before**3, rtol=RTOL)


def test_a_last_chunk_of_one_line(rng):
    """The buffer of a row that is read backward is not that of one read forward."""

    def f(a):
        return np.sum(a[1] * a[0][::-1] * a * a)

    derivatives = [ad.value_and_grad(f, mode=mode) for mode in ("reverse", "forward")]
    for n in range(8, 150):
        a = rng.normal(size=(n, 7))
        (value, gradient), (expected, forward) = (derivative(a) for derivative in derivatives)
        assert value == pytest.approx(expected, rel=1e-11, abs=1e-11)
        np.testing.assert_allclose(gradient, forward, rtol=RTOL, atol=1e-11)
        tangent = ad.jvp(f, (a,), (a,))[1]
        np.testing.assert_allclose(tangent, np.sum(forward * a), rtol=1e-11, atol=1e-11)


def test_a_direction_without_influence_may_be_infinite():
    x = np.ones(60)
    found = ad.jvp(
        lambda x, y: np.sum(np.where(x > 0.5, y * y, 3.0 * y)),
        (x, x),
        (np.full(60, np.inf), x),
    )
    assert found == (60.0, 120.0)


@pytest.mark.usefixtures("allocation_statistics")
def test_pullbacks_in_compiled_code_leave_nothing_behind(rng):
    @numba.njit
    def f(x):
        y = x * x + 1.0
        return y * x + y[::-1] * x

    @numba.njit
    def pull(x):
        _, pullback = ad.vjp(f, x)
        return pullback(np.ones(x.size))[0]

    x = points(N, rng)
    y = x * x + 1.0
    expected = 3.0 * x**2 + 1.0 + y[::-1] + (2.0 * x * x[::-1])
    np.testing.assert_allclose(pull(x), expected, rtol=RTOL)
    gc.collect()
    before = rtsys.get_allocation_stats()
    pull(x)
    after = rtsys.get_allocation_stats()
    assert after.alloc - before.alloc == after.free - before.free


@pytest.mark.usefixtures("allocation_statistics")
def test_what_a_tape_holds_is_released(rng):
    x = points(N, rng)
    derivatives = [ad.value_and_grad(f, mode="reverse") for f in FUNCTIONS.values()]
    for derivative in derivatives:
        derivative(x)
    gc.collect()
    before = rtsys.get_allocation_stats()
    for _ in range(3):
        for derivative in derivatives:
            derivative(x)
    gc.collect()
    after = rtsys.get_allocation_stats()
    assert after.alloc - before.alloc == after.free - before.free
    assert not any(TAPES[1::2])


def test_a_function_that_raises_after_a_loop(rng):
    def f(x):
        y = x * x
        s = np.sum(y * y)
        if s > 0.0:
            raise ValueError("stop")
        return s

    g = ad.grad(f, mode="reverse")
    for _ in range(3):
        with pytest.raises(ValueError, match="stop"):
            g(points(N, rng))
    assert not any(TAPES[1::2])


@pytest.mark.skipif(not IN_USE, reason="without planes partials are stored")
def test_the_tape_limit_counts_what_is_held(rng):
    def f(x):
        y = x
        for _ in range(200):
            y = y * x
        return np.sum(y)

    x = points(10_000, rng)
    ad.grad(f, mode="reverse")(x)
    ad.set_tape_limit(2**22)
    try:
        with pytest.raises(ad.TapeMemoryError):
            ad.grad(f, mode="reverse")(x)
    finally:
        ad.set_tape_limit(2**33)
    ad.grad(f, mode="reverse")(x)
