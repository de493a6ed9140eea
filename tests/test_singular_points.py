"""Infinities, ties, zeros and overflow: what every derivative is there, in closed form.

A family is one function whose second argument chooses what it computes, so that a mode is
compiled once for all rows of it.
"""

import functools
from math import inf, nan
from typing import NamedTuple

import numba
import numpy as np
import pytest

import dualtape as ad

MODES = {
    "forward": lambda f: ad.value_and_grad(f, mode="forward"),
    "reverse": lambda f: ad.value_and_grad(f, mode="reverse"),
    "hyper-dual": lambda f: ad.value_grad_hessian(f, mode="forward"),
    "over reverse": lambda f: ad.value_grad_hessian(f, mode="reverse"),
}


class Row(NamedTuple):
    """A point at which a function is singular, with what is right there (NaN: not promised)."""

    family: object
    which: int
    point: tuple
    value: float
    gradient: tuple
    hessian: object = None  # None: zero


@functools.cache
def derivative(family, mode):
    return MODES[mode](family)


@functools.cache
def plain(family):
    return numba.njit(family)


def check(row, mode):
    x = np.array(row.point)
    value, gradient, *hessian = derivative(row.family, mode)(x, row.which)
    assert value == pytest.approx(plain(row.family)(x, row.which), rel=1e-15, nan_ok=True)
    assert value == pytest.approx(row.value, rel=1e-14, nan_ok=True)
    assert_promised(gradient, np.array(row.gradient))
    if hessian:
        expected = np.zeros((x.size, x.size)) if row.hessian is None else row.hessian
        assert_promised(hessian[0], np.array(expected))


def assert_promised(found, expected):
    """Check all but what is not promised; what is 0 must be exactly that."""
    promised = ~np.isnan(expected)
    scale = np.max(np.abs(expected[np.isfinite(expected)]), initial=0.0)
    np.testing.assert_allclose(found[promised], expected[promised], rtol=1e-13, atol=1e-15 * scale)


# Ties of infinities: the value is the infinity, the derivative the mean of those of all tied.


def extremes(p, which):
    low = np.array([-inf + p[0], -inf + 2.0 * p[1], -inf + p[0] * p[1]])
    high = -low
    if which == 0:
        return np.max(low)
    if which == 1:
        return np.min(high)
    if which == 2:
        return low.max() + np.amax(low)
    if which == 3:
        return np.nanmax(np.append(low, nan))
    if which == 4:
        return np.nanmin(np.append(nan, high))
    if which == 5:
        return np.median(low)
    if which == 6:
        return np.median(high[:2])
    if which == 7:
        return np.linalg.norm(low, inf)
    if which == 8:
        return np.linalg.norm(high, -inf)
    if which == 9:
        return max([low[0], low[1], low[2]])
    if which == 10:
        return max(low[0], low[1])
    if which == 11:
        return np.maximum(low[0], low[1])
    if which == 12:
        return np.max(np.array([low[0], 3.0 * p[0], -inf]))
    if which == 13:
        return np.unique(low)[0]
    if which == 14:
        return np.percentile(np.append(low, 1.0), 33.0)
    if which == 15:
        return np.ptp(np.append(low, p[0]))
    return np.linalg.norm(high.reshape((3, 1)) * np.ones((1, 2)), inf)


AT = (0.5, 0.4)  # where the gradients are (1, 0), (0, 2) and (0.4, 0.5)
MEAN = ((1.0 + 0.4) / 3.0, (2.0 + 0.5) / 3.0)
CROSS = ((0.0, 1.0 / 3.0), (1.0 / 3.0, 0.0))
MINUS = tuple(-d for d in MEAN)
MINUS_CROSS = tuple(tuple(-h for h in line) for line in CROSS)


def twice(rows):
    return tuple(tuple(2.0 * h for h in line) for line in rows)


TIES = [
    Row(extremes, 0, AT, -inf, MEAN, CROSS),
    Row(extremes, 1, AT, inf, MINUS, MINUS_CROSS),
    Row(extremes, 2, AT, -inf, tuple(2.0 * d for d in MEAN), twice(CROSS)),
    Row(extremes, 3, AT, -inf, MEAN, CROSS),
    Row(extremes, 4, AT, inf, MINUS, MINUS_CROSS),
    Row(extremes, 5, AT, -inf, MEAN, CROSS),
    Row(extremes, 6, AT, inf, (-0.5, -1.0)),
    Row(extremes, 7, AT, inf, MINUS, MINUS_CROSS),
    Row(extremes, 8, AT, inf, MINUS, MINUS_CROSS),
    Row(extremes, 9, AT, -inf, MEAN, CROSS),
    Row(extremes, 10, AT, -inf, (0.5, 1.0)),
    Row(extremes, 11, AT, -inf, (0.5, 1.0)),
    Row(extremes, 12, AT, 1.5, (3.0, 0.0)),
    Row(extremes, 13, AT, -inf, MEAN, CROSS),
    Row(extremes, 15, AT, inf, (1.0 - MEAN[0], -MEAN[1]), MINUS_CROSS),
    Row(extremes, 16, AT, inf, tuple(2.0 * d for d in MINUS), twice(MINUS_CROSS)),
]


# A norm is smooth but at the origin, whichever elements are zero.


def norms(x, which):
    if which == 0:
        return np.linalg.norm(x)
    if which == 1:
        return np.linalg.norm(x.reshape((1, x.size)))
    if which == 2:
        return np.linalg.norm(x, 2)
    if which == 3:
        return np.linalg.norm(x - np.array([1.0, 1.0, 1.0]))
    if which == 4:
        return np.linalg.norm(np.append(np.zeros(2), x))
    return 0.5 * (np.linalg.norm(x) - 1.0) ** 2  # a bond of length 1


def of_norm(family, which, point, offset=0.0):
    x = np.array(point) - offset
    r = np.sqrt(x @ x)
    n = x / r
    return Row(family, which, point, r, tuple(n), (np.eye(x.size) - np.outer(n, n)) / r)


def of_bond(point):
    n = np.array(point) / np.linalg.norm(point)
    r = np.linalg.norm(point)
    hessian = np.outer(n, n) + (1.0 - 1.0 / r) * (np.eye(n.size) - np.outer(n, n))
    return Row(norms, 5, point, 0.5 * (r - 1.0) ** 2, tuple((r - 1.0) * n), hessian)


NORMS = [
    *(of_norm(norms, 0, p) for p in [(0.0, 3.0), (3.0, 0.0), (0.0, 0.0, -3.0), (0.0, 3.0, 4.0)]),
    of_norm(norms, 0, (1e-300, 0.0, 3.0)),
    of_norm(norms, 0, (0.0, 2.0, 0.0, 1.0)),
    of_norm(norms, 1, (0.0, 0.0, 3.0)),
    of_norm(norms, 2, (0.0, -3.0)),
    of_norm(norms, 3, (1.0, 1.0, 3.0), 1.0),
    of_norm(norms, 4, (0.0, 5.0)),
    of_bond((0.0, 0.0, 1.5)),
    of_bond((0.0, 1.5, 0.0)),
    Row(norms, 0, (0.0, 0.0), 0.0, (0.0, 0.0)),
]


# Division by zero on arrays is that of NumPy, whatever the function does between scalars.

shifted_reciprocal = numba.njit(lambda v: 1.0 / (v - 0.3))


def quotients(y, which):
    d = y - 0.3
    if which == 0:
        return np.sum(np.where(y > 0.35, 1.0 / d, 0.0))
    if which == 1:
        return np.sum(np.where(y > 0.35, shifted_reciprocal(y), 0.0))
    if which == 2:
        z = y * 1.0
        z /= d
        return np.sum(np.where(y > 0.35, z, 0.0))
    if which == 3:
        w = 1 / d
        w[0] = 1.0
        return np.sum(w)
    if which == 4:
        return np.sum(np.where(y > 0.35, y % d, 0.0))
    if which == 5:
        return np.sum(np.where(y > 0.35, 1.0 // d, y))
    if which == 6:
        return np.sum(np.where(y > 0.35, y / (np.array([0.3, 0.4, 0.5]) - 0.3), 0.0))
    if which == 7:
        return np.sum(np.where(y > 0.35, np.sum(y) / d, 0.0))
    return np.sum(1.0 / d)


A, B = 0.4 - 0.3, 0.5 - 0.3
POINT = (0.3, 0.4, 0.5)
FIRST, SECOND = (0.0, -1.0 / A**2, -1.0 / B**2), np.diag([0.0, 2.0 / A**3, 2.0 / B**3])
QUOTIENTS = [
    Row(quotients, 0, POINT, 1.0 / A + 1.0 / B, FIRST, SECOND),
    Row(quotients, 1, POINT, 1.0 / A + 1.0 / B, FIRST, SECOND),
    Row(
        quotients, 2, POINT, 0.4 / A + 0.5 / B, (0.0, -0.3 / A**2, -0.3 / B**2),
        np.diag([0.0, 0.6 / A**3, 0.6 / B**3]),
    ),
    Row(quotients, 3, POINT, 1.0 + 1.0 / A + 1.0 / B, FIRST, SECOND),
    Row(quotients, 4, POINT, 0.4 % A + 0.5 % B, (0.0, 1.0 - 0.4 // A, 1.0 - 0.5 // B)),
    Row(quotients, 5, POINT, 0.3 + 1.0 // A + 1.0 // B, (1.0, 0.0, 0.0)),
    Row(quotients, 6, POINT, 0.4 / A + 0.5 / B, (0.0, 1.0 / A, 1.0 / B)),
    Row(
        quotients, 7, POINT, 1.2 / A + 1.2 / B,
        (1.0 / A + 1.0 / B, 1.0 / A + 1.0 / B - 1.2 / A**2, 1.0 / A + 1.0 / B - 1.2 / B**2),
        np.full((3, 3), nan),
    ),
    Row(
        quotients, 8, POINT, inf, (-inf, -1.0 / A**2, -1.0 / B**2),
        np.diag([inf, 2.0 / A**3, 2.0 / B**3]),
    ),
]  # fmt: skip

ROWS = [*TIES, *NORMS, *QUOTIENTS]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "row", ROWS, ids=[f"{row.family.__name__} {row.which} {row.point}" for row in ROWS]
)
def test_singular_points(row, mode):
    check(row, mode)


def test_division_between_scalars_raises_as_in_the_plain_function():
    def f(y):
        return 1.0 / (y[0] - 0.3) + y[1]

    for function in (numba.njit(f), ad.grad(f), ad.grad(f, mode="reverse")):
        with pytest.raises(ZeroDivisionError):
            function(np.array([0.3, 0.4]))
