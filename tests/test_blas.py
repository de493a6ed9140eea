"""Products and substitutions by layouts: all layouts agree with NumPy, one kernel serves them."""

import numba
import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided, sliding_window_view

import dualtape as ad
from dualtape.arrays import blas
from dualtape.backend.allocation import empty_array
from dualtape.linalg import lapack
from dualtape.numbers import layouts

SIZES = [0, 1, 3, 9]  # products of some are left to loops, others to BLAS


@numba.njit
def plain(a, b):
    return blas.matrix_product(a, b)


@numba.njit
def careful(a, b):
    return blas.careful_product(a, b)


def padded(a, around):
    m, n = a.shape
    large = np.full((m + around, n + around + 1), np.nan, a.dtype)
    large[1 : 1 + m, 2 : 2 + n] = a
    return large[1 : 1 + m, 2 : 2 + n]


def strided(a):
    m, n = a.shape
    large = np.full((2 * m, 3 * n), np.nan, a.dtype)
    large[::2, ::3] = a
    return large[::2, ::3]


def views(a):
    """Return views with the elements of a matrix in many layouts."""
    rows_first = np.ascontiguousarray(a)
    return [
        rows_first,
        np.asfortranarray(a),
        padded(a, 3),
        padded(a.T, 4).T,
        strided(a),
        strided(a.T).T,
        rows_first[::-1].copy()[::-1],
        rows_first[:, ::-1].copy()[:, ::-1],
        np.asfortranarray(a[::-1, ::-1])[::-1, ::-1],
    ]


def assert_product(found, a, b):
    assert found.dtype == a.dtype
    assert found.flags.c_contiguous
    bound = 8 * np.finfo(a.dtype).eps * (np.abs(a) @ np.abs(b))
    assert np.all(np.abs(found - a @ b) <= bound)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_products_of_all_layouts(dtype, rng):
    for m in SIZES:
        for k in SIZES:
            for n in SIZES:
                a = rng.normal(size=(m, k)).astype(dtype)
                b = rng.normal(size=(k, n)).astype(dtype)
                for x in views(a):
                    for y in views(b):
                        assert_product(plain(x, y), a, b)
                    assert_product(careful(x, y), a, b)
    assert {sig[-1] for sig in blas.multiply._dispatcher.signatures} <= {
        numba.float64,
        numba.float32,
    }


def test_products_of_rows_that_overlap_or_repeat(rng):
    x = rng.normal(size=40)
    windows = sliding_window_view(x, 9)
    repeated = np.broadcast_to(x[:9], (32, 9))
    back = as_strided(x[20:], shape=(9, 9), strides=(-8, 8))
    for a in (windows, repeated, back, x.reshape(8, 5)[:, ::2]):
        for b in (a.T, windows.T[: a.shape[1]], rng.normal(size=(a.shape[1], 1))):
            for product in (plain, careful):
                assert_product(product(a, b), a, b)


def test_an_exact_zero_stays_zero_beside_infinities(rng):
    for n in (2, 9):
        a, b = rng.normal(size=(n, n)), rng.normal(size=(n, n))
        a[0], b[1, 0], b[:, 1] = 0.0, np.inf, np.nan
        found = careful(a, b)
        np.testing.assert_array_equal(found[0], np.zeros(n))
        assert np.all(np.isinf(found[1:, 0]))
        assert np.all(np.isnan(found[1:, 1]))
        np.testing.assert_allclose(found[:, 2:], a @ b[:, 2:], rtol=1e-13)
        assert np.isnan(plain(a, b)[0]).any()


def test_a_wrong_inner_extent_is_refused():
    with pytest.raises(ValueError, match="incompatible array sizes"):
        plain(np.ones((2, 3)), np.ones((2, 3)))


# Layouts


@numba.njit
def first_words(a):
    layout = layouts.layout_of(a)
    out = empty_array(3 + 2 * a.ndim, np.int64)
    for i in range(out.size):
        out[i] = layouts.word(layout, i)
    length, step = layouts.line_of(layout) if a.size > 0 else (0, 0)
    offsets = empty_array(a.size, np.int64)
    for i in range(a.size):
        offsets[i] = layouts.offset_of(layout, i)
    return out, length, step, offsets


@pytest.mark.parametrize(
    ("a", "line"),
    [
        (np.zeros((3, 4)), (12, 8)),
        (np.zeros((3, 4)).T, (3, 32)),
        (np.zeros((3, 4))[::-1], (4, 8)),
        (np.zeros((3, 8))[:, ::2], (12, 16)),
        (np.zeros((3, 1, 4))[:, :, :2], (2, 8)),
        (np.zeros((5, 1)), (5, 8)),
        (np.zeros((5, 3))[:, 1:2], (5, 24)),
        (np.zeros((1, 1)), (1, 0)),
        (np.zeros((2, 0)), (0, 0)),
    ],
)
def test_a_layout_tells_where_elements_are(a, line):
    found, length, step, offsets = first_words(a)
    address = a.__array_interface__["data"][0]
    np.testing.assert_array_equal(found, [address, a.size, a.ndim, *a.shape, *a.strides])
    assert (length, step) == line
    expected = [np.dot(i, a.strides) for i in np.ndindex(a.shape)]
    np.testing.assert_array_equal(offsets, expected)


# Substitutions


@numba.njit
def substituted(at, b, flipped):
    lu, pivots, _ = lapack.factor(at)
    return lapack.substitute(lu, pivots, b, flipped)


@numba.njit
def substituted_in_triangle(at, b, flipped):
    return lapack.substitute(at, empty_array(0, np.int32), b, flipped)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, lapack.SMALL - 1, lapack.SMALL])
@pytest.mark.parametrize("flipped", [False, True])
def test_substitutions_by_loops_and_by_lapack(n, flipped, rng):
    a = rng.normal(size=(n, n)) + n * rng.permutation(np.eye(n))
    upper = np.triu(rng.normal(size=(n, n))) + 2.0 * n * np.eye(n)
    for count in (0, 1, 4):
        b = rng.normal(size=(count, n))
        for matrix, solve in ((a, substituted), (upper, substituted_in_triangle)):
            expected = np.linalg.solve(matrix.T if flipped else matrix, b.T).T
            found = solve(matrix.T.copy(), b, flipped)
            np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-13)


# Products on a tape


def products(a, b):
    s = (a.T @ b).sum() + (a[::-1, ::-1] @ b[:, ::2]).sum() * 0.5
    s += np.sum(a[1] @ b * b[0]) + np.sum((a[:2, ::2] @ b[:2, 2]) * a[:2, 0])
    s += np.sum((b[:, :1].T @ a[:, :1]) * (a[:1] @ b[:, 1:2])) + (a[:, :0] @ b[:0]).sum()
    return s + np.sum((b.T @ a.T) * a[:, 1])


@pytest.mark.parametrize("active", [(0,), (1,), (0, 1)])
def test_gradients_of_products_in_many_layouts(active, rng):
    args = rng.normal(size=(3, 3)), rng.normal(size=(3, 3))
    found = ad.grad(products, argnums=active, mode="reverse")(*args)
    for k, mine in zip(active, found, strict=True):
        expected = np.empty((3, 3))
        for place in np.ndindex(3, 3):
            changed = [x.astype(complex) for x in args]
            changed[k][place] += 1e-20j
            expected[place] = products(*changed).imag / 1e-20
        np.testing.assert_allclose(mine, expected, rtol=1e-13, atol=1e-13)
