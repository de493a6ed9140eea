"""Every row of the table of NumPy functions: its derivatives in all modes, or the error it gets."""

import numpy as np
import pytest
from numpy_table import MARKS, README, ROWS, VECTOR, readme_table
from scenarios import assert_close

import dualtape as ad

# Differences of order 8 with steps of 2e-3: roundings of 1e-16 / 1e-3, against the largest entry.
RTOL_DIFFERENCES = 1e-10
RTOL_AGREEMENT = 1e-13
STEP = 2e-3
STENCIL = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}

supported = [row for row in ROWS if row.error is None]


def differences(f, x, step=STEP):
    """Return the Jacobian of a function, shape f(x).shape + x.shape, by central differences."""
    columns = []
    for i in np.ndindex(x.shape):
        unit = np.zeros_like(x)
        unit[i] = step
        columns.append(
            sum(
                weight * (np.asarray(f(x + k * unit)) - np.asarray(f(x - k * unit)))
                for k, weight in STENCIL.items()
            )
            / step
        )
    return np.stack(columns, axis=-1).reshape(np.shape(columns[0]) + x.shape)


def as_number(row):
    """Return f itself, or a sum in which every element of f(x) counts differently."""
    f, shape = row.f, np.shape(row.f(*row.args))
    weights = np.cos(np.arange(np.prod(shape))).reshape(shape)

    def weighted(x, *rest):
        return np.sum(weights * f(x, *rest))

    return weighted if shape else f


@pytest.mark.slow
@pytest.mark.parametrize("row", supported, ids=lambda row: row.id)
def test_forward_hyper_dual_and_reverse(row):
    """First derivatives against differences of NumPy's values, second against those of first."""
    x, *rest = row.args
    value, jacobian = ad.value_and_jacobian(row.f, mode="forward")(x, *rest)
    np.testing.assert_allclose(value, row.f(x, *rest), rtol=1e-13, atol=1e-13)
    assert_close(jacobian, differences(lambda x: row.f(x, *rest), x), RTOL_DIFFERENCES)
    same_value, reverse = ad.value_and_jacobian(row.f, mode="reverse")(x, *rest)
    assert_close(reverse, jacobian, RTOL_AGREEMENT)
    assert_close(same_value, value, RTOL_AGREEMENT)
    f = as_number(row)
    gradient = ad.grad(f, mode="forward")
    hessian = ad.hessian(f, mode="forward")(x, *rest)
    assert_close(hessian, differences(lambda x: gradient(x, *rest), x), RTOL_DIFFERENCES)


@pytest.mark.slow
@pytest.mark.parametrize(
    "row", [row for row in ROWS if row.error is not None], ids=lambda row: row.id
)
def test_rows_that_are_errors(row):
    for mode in ("forward", "reverse"):
        with pytest.raises(row.error):
            ad.jacobian(row.f, mode=mode)(*row.args)
    with pytest.raises(row.error):
        ad.hessian(as_number(row), mode="forward")(*row.args)


def test_what_numba_refuses_is_told_as_such():
    def f(x):
        return np.sum(np.tile(x, 2))

    with pytest.raises(ad.UnsupportedFunctionError, match=r"cannot be compiled by Numba.*tile"):
        ad.grad(f, mode="forward")(VECTOR)


def plus(g, f):
    """Return the sum of two functions."""
    return lambda x: g(x) + f(x)


def all_quick():
    """Return a function of VECTOR that is made of all quick rows."""
    f = np.sum
    for row in supported:
        if row.is_quick:
            f = plus(f, as_number(row))
    return f


@pytest.mark.slow
def test_gradient_of_the_quick_rows_together():
    f = all_quick()
    gradient = ad.grad(f, mode="reverse")(VECTOR)
    assert_close(gradient, differences(f, VECTOR), RTOL_DIFFERENCES)


def at_singular_points(x):
    """Ties for the largest (three by modulus) and at the median of the first four; one zero."""
    knots = np.array([0.0, 2.0, 3.0])
    ordered = np.sort(x)
    return np.array(
        [
            np.ptp(x),
            np.linalg.norm(x, np.inf),
            np.linalg.norm(x, 1),
            np.linalg.norm(x, 0),
            np.linalg.norm(x * x[3]),
            np.linalg.norm(x * x[3], 3.0),
            np.linalg.norm(x.reshape(5, 1), np.inf),
            np.median(x),
            np.median(x[:4]),
            np.median(x[:3]),
            np.quantile(x, 0.75),
            np.nanmax(x),
            np.prod(x),
            ordered[3],
            ordered[4],
            np.unique(x)[-1],
            np.interp(x[0], knots, np.array([0.0, 2.0, 5.0])),
            np.interp(x[0], knots, np.array([0.0, 2.0, 0.0])),
            np.interp(x[0], knots[:2], np.array([0.0, 2.0])),
        ]
    )


SINGULAR = np.array([2.0, 2.0, -1.0, 0.0, -2.0])
AT_SINGULAR_POINTS = np.array(
    [
        [0.5, 0.5, 0.0, 0.0, -1.0],
        [1 / 3, 1 / 3, 0.0, 0.0, -1 / 3],
        [1.0, 1.0, -1.0, 0.0, -1.0],
        [0.0] * 5,
        [0.0] * 5,
        [0.0] * 5,
        [1 / 3, 1 / 3, 0.0, 0.0, -1 / 3],
        [0.0, 0.0, 0.0, 1.0, 0.0],
        [0.25, 0.25, 0.0, 0.5, 0.0],
        [0.5, 0.5, 0.0, 0.0, 0.0],
        [0.5, 0.5, 0.0, 0.0, 0.0],
        [0.5, 0.5, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 8.0, 0.0],
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 1.0, 0.0, 0.0, 0.0],
        [0.5, 0.5, 0.0, 0.0, 0.0],
        [1.0, 0.0, 0.0, 0.0, 0.0],
        [0.0] * 5,
        [0.0] * 5,
    ]
)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_kinks_give_the_element_of_least_norm(mode):
    found = ad.jacobian(at_singular_points, mode=mode)(SINGULAR)
    assert_close(found, AT_SINGULAR_POINTS, RTOL_AGREEMENT)


def test_the_readme_shows_the_table():
    begin, end = MARKS
    assert README.read_text().partition(begin)[2].partition(end)[0] == readme_table()
