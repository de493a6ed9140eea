"""Arrays and copies in kernels, at the prompt and compiled: what NumPy and Numba do, no more."""

import numba
import numpy as np
import pytest
from numba.core import event

import dualtape as ad
from dualtape.backend.allocation import (
    clear_items,
    copy_items,
    empty_array,
    fill_items,
    larger,
    no_array,
    same_items,
    smaller,
    zero_array,
)

DTYPES = (np.uint8, np.uint32, np.int32, np.int64, np.float32, np.float64, np.bool_)
SHAPES = (0, 1, 1000, (3,), (2, 3), (4, 0), (2, 3, 5))


def test_the_names_are_not_public():
    assert not {"empty_array", "copy_items"} & set(dir(ad))


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: t.__name__)
def test_new_arrays(dtype):
    @numba.njit
    def made(shape):
        return empty_array(shape, dtype), zero_array(shape, dtype), no_array(dtype)

    for shape in SHAPES:
        for empty, zeros, nothing in (
            made(shape),
            (empty_array(shape, dtype), zero_array(shape, dtype), no_array(dtype)),
        ):
            expected = np.zeros(shape, dtype)
            assert (empty.shape, empty.dtype) == (expected.shape, expected.dtype)
            assert empty.flags.c_contiguous
            assert zeros.flags.c_contiguous
            assert zeros.dtype == expected.dtype
            np.testing.assert_array_equal(zeros, expected)
            assert (nothing.shape, nothing.dtype) == ((0,), expected.dtype)
            empty[...] = 1
            np.testing.assert_array_equal(empty, np.ones(shape, dtype))


@numba.njit
def zeros_of(a, n):
    return zero_array(n, a.dtype)


def test_the_dtype_of_another_array_and_integers_of_any_width():
    for size in (np.uint8(7), np.int32(7), np.uint64(7), 7):
        made = zeros_of(np.ones(2, np.int32), size)
        assert made.dtype == np.int32
        np.testing.assert_array_equal(made, np.zeros(7))


@numba.njit
def empty_vector(n):
    return empty_array(n, np.float64).size


@numba.njit
def zero_matrix(m, n):
    return zero_array((m, n), np.float64).size


def test_sizes_that_cannot_be():
    for size in (-1, -(2**63), 2**60, 2**62, 2**63 - 1):
        with pytest.raises(MemoryError, match="Allocation failed"):
            empty_vector(size)
    for shape in ((-1, 3), (3, -1), (-1, -1), (2**32, 2**32), (2**31, 2**31), (0, -1)):
        with pytest.raises(MemoryError, match="Allocation failed"):
            zero_matrix(*shape)
    assert empty_vector(0) == zero_matrix(0, 2**40) == 0


@numba.njit
def copied(out, source, count):
    copy_items(out, source, count)
    return out


@numba.njit
def cleared(out, count):
    clear_items(out, count)
    return out


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda t: t.__name__)
def test_leading_items(dtype):
    source = np.arange(1, 11).astype(dtype)
    for count in (0, 1, 5, 10):
        expected = np.zeros(12, dtype)
        expected[:count] = source[:count]
        np.testing.assert_array_equal(copied(np.zeros(12, dtype), source, count), expected)
        expected = source.copy()
        expected[:count] = 0
        np.testing.assert_array_equal(cleared(source.copy(), count), expected)
    out = np.zeros(12, dtype)
    copy_items(out, source, 10)
    clear_items(out, 4)
    np.testing.assert_array_equal(out, [*[0] * 4, *source[4:], 0, 0])


@numba.njit
def shifted(a, by, count):
    copy_items(a, a[by:], count)


def test_copies_may_overlap():
    a = np.arange(10)
    shifted(a, 3, 7)
    np.testing.assert_array_equal(a, [3, 4, 5, 6, 7, 8, 9, 7, 8, 9])


@pytest.mark.parametrize("plain", [False, True])
def test_nothing_is_written_beyond_the_end(plain):
    copy = copy_items if plain else copied
    clear = clear_items if plain else cleared
    whole = np.full(20, 7)
    out, source = whole[5:10], np.arange(8)
    for count in (6, 8, 9, -1, 2**62, -(2**63)):
        with pytest.raises(IndexError, match="more items"):
            copy(out, source, count)
        with pytest.raises(IndexError, match="more items"):
            clear(out, count)
    with pytest.raises(IndexError, match="more items"):
        copy(whole, source, 9)
    np.testing.assert_array_equal(whole, np.full(20, 7))


def test_what_is_not_a_contiguous_vector_is_refused():
    for out, source in (
        (np.zeros(4)[::2], np.zeros(2)),
        (np.zeros(4), np.zeros(4)[::2]),
        (np.zeros(4), np.zeros(4, np.int64)),
        (np.zeros((2, 2)), np.zeros((2, 2))),
    ):
        with pytest.raises(numba.TypingError):
            copied(out, source, 1)
    for out in (np.zeros(4)[::2], np.zeros((2, 2))):
        with pytest.raises(numba.TypingError):
            cleared(out, 1)
    frozen = np.zeros(4)
    frozen.flags.writeable = False
    with pytest.raises(numba.TypingError):
        cleared(frozen, 1)


@numba.njit
def filled(out, first, last, value):
    fill_items(out, first, last, value)
    return out


@pytest.mark.parametrize("fill", [filled, fill_items])
def test_filling(fill):
    for dtype in DTYPES:
        for first, last in ((0, 0), (0, 6), (2, 5), (5, 2), (6, 6), (5, 6)):
            out, expected = np.zeros(6, dtype), np.zeros(6, dtype)
            fill(out, first, last, 1)
            expected[first:last] = 1
            np.testing.assert_array_equal(out, expected)
    whole = np.zeros(9, np.int32)
    for first, last in ((-1, 2), (0, 6), (6, 7), (0, -1), (2**62, 3)):
        with pytest.raises(IndexError, match="more items"):
            fill(whole[2:7], first, last, -1)
    assert not whole.any()


@numba.njit
def same(a, b, at, count):
    return same_items(a, b, at, count)


@pytest.mark.parametrize("compare", [same, same_items])
def test_comparing(compare):
    for wide in (np.uint32, np.int64):
        b = np.arange(100, dtype=np.uint32)
        a = np.arange(10, 60).astype(wide)
        assert compare(a, b, 10, 50)
        assert compare(a, b, 99, 0)
        assert compare(a, b, 100, 0)
        assert not compare(a, b, 11, 50)
        for k in (0, 7, 49):
            other = a.copy()
            other[k] += 1
            assert not compare(other, b, 10, 50)
            assert compare(other, b, 10, k)
        for at, count in ((0, 51), (51, 50), (-1, 5), (101, 0), (0, -1), (2**62, 2**62)):
            with pytest.raises(IndexError, match="more items"):
                compare(a, b, at, count)
    with pytest.raises(numba.TypingError):
        same(np.ones(3, np.uint32), np.ones(3, np.int64), 0, 3)  # bits of the other would be lost


@numba.njit
def both(a, b):
    return larger(a, b), smaller(a, b)


def test_integers():
    for a, b in ((1, 2), (2, 1), (3, 3), (-5, 4), (-(2**63), 2**63 - 1)):
        assert both(a, b) == (max(a, b), min(a, b)) == (larger(a, b), smaller(a, b))
    assert both(np.uint32(2**32 - 1), np.int32(-1)) == (2**32 - 1, -1)


def test_nothing_else_is_compiled():
    class Counter(event.Listener):
        compiled = 0

        def on_start(self, event):
            self.compiled += 1

        def on_end(self, event):
            pass

    counter = Counter()
    event.register("numba:compile", counter)
    try:

        @numba.njit
        def everything(n):
            a, b = empty_array(n, np.float64), zero_array((n, 2), np.int32)
            copy_items(a, zero_array(n, np.float64), larger(n, 1))
            clear_items(a, smaller(n, 3))
            return a.size + b.size + no_array(np.uint8).size

        assert everything(5) == 15
    finally:
        event.unregister("numba:compile", counter)
    assert counter.compiled == 1
