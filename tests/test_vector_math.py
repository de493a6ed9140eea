"""Vector forms of mathematical functions in loops over arrays: bounds, special values, the switch.

References are NumPy's functions of 80-bit numbers, and mpmath at some points.
"""

import importlib
import os
import subprocess
import sys

import mpmath
import numba
import numpy as np
import pytest

import dualtape as ad
from dualtape.backend import disk_cache, vector_math
from dualtape.rules.rule import RULES

importlib.import_module("dualtape.rules.table")  # enters the rules
ULPS = 4
COUNT = 10**6
QUICK = {"exp", "tanh", "log1p"}
NAMES = {"acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "pow": "power"}
NAMES |= {"atan": "arctan", "atanh": "arctanh", "atan2": "arctan2"}
TESTED = sorted(
    {NAMES.get(name, name) for name in vector_math._FUNCTIONS.values()} - {"erf", "erfc"}
)
"""NumPy has no erf of arrays."""
SPECIAL = [0.0, np.inf, np.nan, 5e-324, 2.2250738585072014e-308, 1e-300, 1e-17, 0.5, 1.0, 1.5, 2.0]
SPECIAL += [709.782712893384, 709.7827128933841, 745.2, 1e9, 1e22, 1e300, 1.7976931348623157e308]
SPECIAL = np.array([*SPECIAL, *(-x for x in SPECIAL)])
EXPRESSION = "np.sum(np.exp(-x * x) * np.sin(x)) + np.sum(np.tanh(x)) / np.sum(np.log1p(x * x))"


@pytest.fixture
def without_vector_math():
    before = ad.set_vector_math(False)
    yield
    ad.set_vector_math(before)


def inputs(rng, arity):
    """Return all special values, or pairs of them, and numbers of all magnitudes."""
    if arity == 2:
        pairs = np.meshgrid(SPECIAL, SPECIAL)
        parts = [[p.ravel(), *random_numbers(rng, COUNT // 3)] for p in pairs]
    else:
        parts = [[SPECIAL, *random_numbers(rng, COUNT // 3)]]
    return [np.concatenate(part) for part in parts]


def random_numbers(rng, count):
    yield rng.uniform(-2.0, 2.0, count)
    yield rng.normal(scale=100.0, size=count)
    yield rng.choice([-1.0, 1.0], count) * 10.0 ** rng.uniform(-307.0, 307.0, count)


def ulps(found, expected):
    """Return errors in units in the last place of the expected 80-bit numbers."""
    with np.errstate(all="ignore"):
        rounded = expected.astype(float)
        unit = np.spacing(np.maximum(np.abs(rounded), np.finfo(float).tiny))
        error = np.abs(found.astype(np.longdouble) - expected) / unit
    same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
    return np.where(same, 0.0, error.astype(float))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in QUICK)) for n in TESTED]
)
def test_values_are_within_four_units(name, rng):
    function = next(t for t in RULES[name].targets if t.__module__ == "numpy")
    x = inputs(rng, RULES[name].arity)
    apply = (lambda x, y: 1.0 * function(x, y)) if len(x) == 2 else lambda x: 1.0 * function(x)
    found, _ = ad.vjp(apply, *x)
    with np.errstate(all="ignore"):
        expected = function(*(a.astype(np.longdouble) for a in x))
        plain = function(*x)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(plain))
    np.testing.assert_array_equal(np.isinf(found), np.isinf(plain))
    zero = plain == 0.0
    np.testing.assert_array_equal(np.signbit(found[zero]), np.signbit(plain[zero]))
    worst = int(np.nanargmax(ulps(found, expected)))
    assert ulps(found, expected)[worst] <= ULPS, [a[worst] for a in x]


@pytest.mark.parametrize("name", ["exp", "sin", "tanh", "log1p", "expm1", "cbrt"])
def test_values_against_mpmath(name, rng):
    x = rng.uniform(0.01, 20.0, 200)
    function, exact = getattr(np, name), getattr(mpmath, name)
    found, _ = ad.vjp(lambda x: 1.0 * function(x), x)
    for value, argument in zip(found.tolist(), x.tolist(), strict=True):
        with mpmath.workdps(40):
            reference = exact(mpmath.mpf(argument))
        assert abs(value - reference) <= ULPS * np.spacing(abs(float(reference)))


@pytest.mark.skipif(vector_math._library() is None, reason="no vector forms on this machine")
def test_vector_forms_are_used(rng):
    """Some results differ from those of the scalar function."""
    x = rng.uniform(-3.0, 3.0, 10_000)
    found, _ = ad.vjp(lambda x: 1.0 * np.tanh(x), x)
    assert np.any(found != numba.njit(lambda x: 1.0 * np.tanh(x))(x))


def test_the_bound_notices_a_wrong_digit():
    expected = np.array([1.0, 2.0]).astype(np.longdouble)
    assert ulps(np.array([1.0, 2.0 * (1 + 2e-15)]), expected)[1] > ULPS


def test_without_it_values_are_those_of_the_plain_function(rng, without_vector_math):
    space = {"np": np}
    exec(f"def f(x): return {EXPRESSION}", space)
    x = rng.normal(size=3001)
    value, gradient = ad.value_and_grad(space["f"], mode="reverse")(x)
    assert value == numba.njit(space["f"])(x)
    forward = ad.grad(space["f"], mode="forward")(x)
    np.testing.assert_allclose(gradient, forward, rtol=1e-12, atol=1e-14)


def test_a_change_is_seen_by_derivatives_that_exist(rng):
    def f(x):
        return np.sum(np.exp(x) * np.cos(x))

    x = rng.normal(size=2000)
    derivative = ad.value_and_grad(f, mode="reverse")
    values = []
    for flag in (True, False, True):
        before = ad.set_vector_math(flag)
        value, gradient = derivative(x)
        np.testing.assert_allclose(gradient, np.exp(x) * (np.cos(x) - np.sin(x)), rtol=1e-13)
        values.append(value)
        ad.set_vector_math(before)
    assert values[0] == values[2]
    s = 0.0
    for term in np.exp(x) * np.cos(x):
        s += term
    assert abs(values[0] - s) <= 1e-13 * np.sum(np.abs(np.exp(x)))


def test_it_is_part_of_the_keys_of_the_cache(without_vector_math):
    without = disk_cache.package_stamp()
    ad.set_vector_math(True)
    assert disk_cache.package_stamp() != without


def test_the_switch_checks_its_argument():
    with pytest.raises(ad.ArgumentError, match="set_vector_math: 1 is not True or False"):
        ad.set_vector_math(1)


def test_without_the_library_loops_are_scalar(tmp_path):
    """The same values as without vector mathematics, up to the order of sums."""
    program = f"""
import sys
import dualtape.backend.vector_math as vector_math
vector_math._library = lambda: None
import numpy as np
import dualtape as ad
x = np.linspace(-3.0, 3.0, 1001)
value, gradient = ad.value_and_grad(lambda x: {EXPRESSION}, mode="reverse")(x)
print(value, gradient.sum())
"""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    x = np.linspace(-3.0, 3.0, 1001)
    space = {"np": np, "x": x}
    assert float(done.stdout.split()[0]) == pytest.approx(eval(EXPRESSION, space), rel=1e-13)
