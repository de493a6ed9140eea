"""The checks of the rules must fail on wrong rules."""

import dataclasses

import mpmath as mp
import numpy as np
import pytest
from references import REFERENCES, check_differences, check_ulps, draw, evaluate, ulp_error

from dualtape.rules.table import RULES

SEED = 7
POINTS = 20


def sin_first_off_by_1e_6(x):
    f = np.sin(x)
    return f, np.cos(x) * (1.0 + 1e-6), -f


def sin_second_with_wrong_sign(x):
    f = np.sin(x)
    return f, np.cos(x), f


def sin_second_off_by_1e_6(x):
    f = np.sin(x)
    return f, np.cos(x), -f * (1.0 + 1e-6)


def sin_swapped(x):
    f = np.sin(x)
    return f, -f, np.cos(x)


def hypot_swapped_arguments(x, y):
    f = np.hypot(x, y)
    fx, fy = x / f, y / f
    return f, fy, fx, fy * fy / f, -fx * fy / f, fx * fx / f


def hypot_swapped_second(x, y):
    f = np.hypot(x, y)
    fx, fy = x / f, y / f
    return f, fx, fy, fx * fx / f, -fx * fy / f, fy * fy / f


def hypot_wrong_mixed(x, y):
    f = np.hypot(x, y)
    fx, fy = x / f, y / f
    return f, fx, fy, fy * fy / f, -fx * fy / f * (1.0 + 1e-6), fx * fx / f


def absolute_off_by_1e_6(x):
    return np.absolute(x), np.sign(x) * (1.0 + 1e-6), 0.0


def floor_with_a_slope(x):
    return np.floor(x), 1e-6, 0.0


WRONG = [
    ("sin", sin_first_off_by_1e_6),
    ("sin", sin_second_with_wrong_sign),
    ("sin", sin_second_off_by_1e_6),
    ("sin", sin_swapped),
    ("hypot", hypot_swapped_arguments),
    ("hypot", hypot_swapped_second),
    ("hypot", hypot_wrong_mixed),
    ("absolute", absolute_off_by_1e_6),
    ("floor", floor_with_a_slope),
]


def tanh_by_its_square(x):
    f = np.tanh(x)
    f1 = 1.0 - f * f
    return f, f1, -2.0 * f * f1


def expit_by_its_complement(x):
    f = 1.0 / (1.0 + np.exp(-x))
    f1 = f * (1.0 - f)
    return f, f1, f1 * (1.0 - 2.0 * f)


def hypot_by_squares(x, y):
    f = np.sqrt(x * x + y * y)
    fx, fy = x / f, y / f
    return f, fx, fy, fy * fy / f, -fx * fy / f, fx * fx / f


def erf_without_splitting(x):
    f1 = 1.1283791670955126 * np.exp(-x * x)
    return x, f1, -2.0 * x * f1


def log_by_squares(x):
    f1 = 1.0 / np.sqrt(x * x)
    return np.log(x), f1, -f1 * f1


LOSES_DIGITS = [
    ("tanh", tanh_by_its_square, (20.0,)),
    ("expit", expit_by_its_complement, (40.0,)),
    ("hypot", hypot_by_squares, (1e200, 1e200)),
    ("hypot", hypot_by_squares, (1e-200, 1e-200)),
    ("erf", erf_without_splitting, (25.9,)),
    ("log", log_by_squares, (1e-200,)),
]


def replaced(name, jet):
    return dataclasses.replace(RULES[name], jet=jet)


@pytest.mark.parametrize(("name", "jet"), WRONG, ids=lambda p: getattr(p, "__name__", p))
def test_a_wrong_rule_fails_both_checks(name, jet):
    wrong = replaced(name, jet)
    points = draw(wrong, np.random.default_rng(SEED), POINTS)
    with pytest.raises(AssertionError, match=name):
        check_ulps(wrong, REFERENCES[name], points)
    if wrong.flat or wrong.linear:
        # Points where f does not follow the gradient count as kinks: then too few are left.
        try:
            assert check_differences(wrong, points) >= 0.9 * POINTS
        except AssertionError:
            return
        pytest.fail("a wrong slope was not noticed")
    with pytest.raises(AssertionError, match=name):
        check_differences(wrong, points)


@pytest.mark.parametrize(("name", "jet", "point"), LOSES_DIGITS)
def test_a_formula_that_loses_digits_fails(name, jet, point):
    with pytest.raises(AssertionError, match=name):
        check_ulps(replaced(name, jet), REFERENCES[name], [point])


@pytest.mark.parametrize("name", sorted({name for name, *_ in [*WRONG, *LOSES_DIGITS]}))
def test_the_right_rules_pass_at_the_same_points(name):
    row = RULES[name]
    points = draw(row, np.random.default_rng(SEED), POINTS)
    assert check_differences(row, points) >= 0.9 * POINTS
    points += [point for other, _, point in LOSES_DIGITS if other == name]
    assert check_ulps(row, REFERENCES[name], points) >= 2 * len(points)


def test_an_undeclared_nan_fails():
    def nan_second(x):
        f = np.sin(x)
        return f, np.cos(x), f - f + np.nan

    wrong = replaced("sin", nan_second)
    with pytest.raises(AssertionError, match="f11 is nan"):
        check_ulps(wrong, REFERENCES["sin"], [(1.0,)])
    with pytest.raises(AssertionError, match="sin is NaN"):
        check_differences(wrong, [(1.0,)])


def test_a_jet_replaced_is_a_jet_evaluated():
    assert evaluate(replaced("sin", sin_swapped), 0.0) == (0.0, 0.0, 1.0)


@pytest.mark.parametrize(
    ("computed", "exact", "error"),
    [
        (1.0, 1.0, 0.0),
        (1.0 + 2.0**-52, 1.0, 1.0),
        (0.0, 5e-324, 1.0),
        (float("inf"), mp.mpf(10) ** 400, 0.0),
        (-float("inf"), mp.mpf(10) ** 400, float("inf")),
        (float("inf"), 1.0, float("inf")),
        (float("nan"), 1.0, float("inf")),
    ],
)
def test_ulp_error(computed, exact, error):
    assert ulp_error(computed, exact) == error
