"""Infinities, ties, zeros and overflow: what every derivative is there, in closed form.

A family is one function whose second argument chooses what it computes, so that a mode is
compiled once for all rows of it.
"""

import functools
import math
from math import inf, nan
from typing import NamedTuple

import numba
import numpy as np
import pytest

import dualtape as ad
from dualtape.numbers import vector_dual

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

# One element that overflows, or has a pole, leaves the derivatives by all others what they are.


@numba.njit
def exponential(v):
    return np.exp(v)


def overflows(a, which):
    if which == 0:
        return np.sum(np.exp(a))
    if which == 1:
        return a[0] ** 2 + np.cosh(a[2])
    if which == 2:
        return np.sum(np.exp(a) * a)
    if which == 3:
        s = 0.0
        for v in a:
            s += exponential(v) * v
        return s
    if which == 4:
        made = np.empty(3)
        for i in range(3):
            made[i] = np.exp(a[i])
        s = 0.0
        for i in range(3):
            s += made[i] * made[i]
        return s
    if which == 5:
        w = np.exp(a)
        w *= a
        return np.sum(w)
    if which == 6:
        return np.sum((1e200 * a) ** 3)
    if which == 7:
        s = 0.0
        for v in a:
            s += math.exp(v) ** 2 / 2.0
        return s
    if which == 8:
        return np.sum(a ** np.exp(a))
    if which == 9:
        return np.sum(np.sqrt(a) * np.log(a + 1.0))
    if which == 10:
        return np.sqrt(a[0]) * a[1] + a[2]
    return np.sum(np.log(a) * a)


def diagonal(family, which, point, value, first, second):
    """Return the row of a function that is a sum of functions of one element each."""
    return Row(family, which, point, value, tuple(first), np.diag(second))


E, E2 = np.exp(1.0), np.exp(2.0)
HUGE = (1.0, 2.0, 800.0)
OVERFLOWS = [
    diagonal(overflows, 0, HUGE, inf, (E, E2, inf), (E, E2, inf)),
    diagonal(overflows, 1, (3.0, 1.0, -800.0), inf, (6.0, 0.0, -inf), (2.0, 0.0, inf)),
    diagonal(overflows, 2, HUGE, inf, (2 * E, 3 * E2, inf), (3 * E, 4 * E2, inf)),
    diagonal(overflows, 3, HUGE, inf, (2 * E, 3 * E2, inf), (3 * E, 4 * E2, inf)),
    diagonal(
        overflows, 4, HUGE, inf, (2 * E**2, 2 * E2**2, inf), (4 * E**2, 4 * E2**2, inf)
    ),
    diagonal(overflows, 5, HUGE, inf, (2 * E, 3 * E2, inf), (3 * E, 4 * E2, inf)),
    diagonal(overflows, 6, (1e-200, 2e-200, 1e100), inf, (3e200, 12e200, inf), (nan, nan, nan)),
    diagonal(overflows, 7, HUGE, inf, (E**2, E2**2, inf), (2 * E**2, 2 * E2**2, inf)),
    diagonal(
        overflows, 8, (1.0, 1.0, 800.0), inf, (E, E, inf), (E * E - E + 2 * E,) * 2 + (nan,)
    ),
    Row(
        overflows, 10, (0.0, 1.0, 4.0), 4.0, (inf, 0.0, 1.0),
        ((-inf, inf, 0.0), (inf, 0.0, 0.0), (0.0, 0.0, 0.0)),
    ),
    diagonal(
        overflows, 11, (1.0, -1.0, 2.0), nan, (1.0, nan, 1.0 + np.log(2.0)), (1.0, nan, 0.5)
    ),
]  # fmt: skip


# Even powers of kinks are smooth at the kink, and have the value of the power.


def squares(x, which):
    r = np.linalg.norm(x)
    if which == 0:
        return abs(x[0]) ** 2 + np.fabs(x[1]) ** 2.0
    if which == 1:
        return r**2
    if which == 2:
        return np.hypot(x[0], x[1]) ** 2
    if which == 3:
        return np.sqrt(x[0] * x[0] + x[1] * x[1]) ** 2
    if which == 4:
        return np.std(x) ** 2 + x.std() ** 2
    if which == 5:
        return np.exp(-(r**2) / 2)
    if which == 6:
        return np.sum(np.abs(x) ** 2)
    if which == 7:
        d = math.sqrt(x[0] ** 2 + x[1] ** 2)
        return d * d
    if which == 8:
        return (3.0 * r / 2.0) ** 2 + r**4
    if which == 9:
        return np.square(-np.linalg.norm(x.reshape((1, 2))))
    if which == 10:
        return np.power((x[0] ** 2 + x[1] ** 2) ** 0.5, 2)
    if which == 11:
        return x[0] * (r * x[1]) ** 2 + abs(r) ** 2
    s = 0.0
    for v in x:
        w = 2.0 * abs(v)
        s += w**2
    return s


def stale(x, which):
    r = np.abs(x)
    r[0] = 3.0 * x[1]
    return np.sum(r**2) + which


ORIGIN, ELSEWHERE = (0.0, 0.0), (0.3, -0.4)
I2, SPREAD = np.eye(2), np.array([[0.5, -0.5], [-0.5, 0.5]])
NN, BELL = np.outer(ELSEWHERE, ELSEWHERE), np.exp(-0.125)
SQUARES = [
    *(Row(squares, k, ORIGIN, 0.0, (0.0, 0.0), 2 * I2) for k in (0, 1, 2, 3, 6, 7, 9, 10, 11)),
    *(Row(squares, k, ELSEWHERE, 0.25, (0.6, -0.8), 2 * I2) for k in (0, 1, 2, 3, 6, 7, 9, 10)),
    Row(squares, 4, (0.7, 0.7), 0.0, (0.0, 0.0), 2 * SPREAD),
    Row(squares, 4, ELSEWHERE, 0.245, (0.7, -0.7), 2 * SPREAD),
    Row(squares, 5, ORIGIN, 1.0, (0.0, 0.0), -I2),
    Row(squares, 5, ELSEWHERE, BELL, (-0.3 * BELL, 0.4 * BELL), BELL * (NN - I2)),
    Row(squares, 8, ORIGIN, 0.0, (0.0, 0.0), 4.5 * I2),
    Row(squares, 8, ELSEWHERE, 0.625, (1.65, -2.2), 5.5 * I2 + 8 * NN),
    Row(squares, 12, ORIGIN, 0.0, (0.0, 0.0), 8 * I2),
    Row(squares, 12, ELSEWHERE, 1.0, (2.4, -3.2), 8 * I2),
    Row(stale, 1, ELSEWHERE, 2.6, (0.0, -8.0), ((0.0, 0.0), (0.0, 20.0))),
]

ROWS = [*TIES, *NORMS, *QUOTIENTS, *OVERFLOWS, *SQUARES]


@pytest.mark.parametrize(
    "mode", [pytest.param(m, marks=[pytest.mark.slow] * (m == "over reverse")) for m in MODES]
)
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


@pytest.mark.parametrize(
    ("f", "is_watched"),
    [
        (lambda x: x[0] * x[1] * x[0] - 2.0 * x[1] ** 2 * x[0], False),
        (lambda x: math.sin(x[0]) * x[1] * math.tanh(x[1]), False),
        (lambda x: x[0] * x[1] / 2.0 * x[1], False),
        (lambda x: math.exp(x[0]) * x[1], True),
        (lambda x: exponential(x[0]) * x[1], True),
    ],
)
def test_only_products_of_what_may_be_infinite_are_watched(f, is_watched, monkeypatch):
    guards = []
    guarded = vector_dual.guarded

    def spy(*args):
        guards.append(args)
        return guarded(*args)

    monkeypatch.setattr(vector_dual, "guarded", spy)
    ad.grad(numba.njit(f), mode="forward")(np.array([0.3, 0.4]))
    assert bool(guards) == is_watched


def test_nested_forward_mode():
    """A number over numbers: what is zero stays zero in every part of it."""
    f, x = (lambda a: np.sum(np.exp(a) * a)), np.array(HUGE)
    hessian = ad.jacobian(ad.grad(f, mode="forward"), mode="forward")(x)
    np.testing.assert_allclose(hessian, np.diag([3 * E, 4 * E2, inf]), rtol=1e-13)
    np.testing.assert_allclose(
        ad.hvp(f)(x, np.array([1.0, 2.0, 0.0])), [3 * E, 8 * E2, 0.0], rtol=1e-13
    )
