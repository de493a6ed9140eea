"""The kinds of functions that other libraries test themselves with: value and derivatives.

Values are the plain compiled function's, bit for bit; derivatives are those of differences of the
plain function's values, of first and of second order, in all modes.
"""

import functools

import numpy as np
import peer_arrays  # noqa: F401 - registers its families
import pytest
from families import together
from peer_kinds import FAMILIES
from scenarios import assert_close, assert_plain, njit_of
from test_numpy_table import differences

import dualtape as ad

# Differences of order 8 with steps h = 2^-8: truncation h^8 f^(9) / 630, roundings of f / h^2.
STEP = 2.0**-8
RTOL_DIFFERENCES = 1e-9
QUICK = {"formula", "flow"}

KINDS = [(family, name) for family, made in FAMILIES.items() for name in made.functions]


def kinds(quick):
    """Return all kinds as parameters; those of other families are slow."""
    return pytest.mark.parametrize(
        ("family", "name"),
        [
            pytest.param(*kind, id=kind[1], marks=[] if kind[0] in quick else [pytest.mark.slow])
            for kind in KINDS
        ],
    )


@functools.cache
def plain_derivatives(family, name):
    """Return first and second derivatives by differences of the plain function."""
    f, x = njit_of(FAMILIES[family].functions[name]), FAMILIES[family].point

    def value(x):
        return f(x if np.ndim(x) else float(x))

    first = differences(value, x, STEP)
    second = differences(lambda x: differences(value, x, STEP), x, STEP)
    return first, second


def point_of(family):
    x = FAMILIES[family].point
    return x.copy() if x.ndim else float(x)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@kinds(QUICK)
def test_value_and_first_derivatives(family, name, mode):
    made = FAMILIES[family]
    f, which = together(name, made.functions)
    transform = ad.value_and_grad if made.is_scalar else ad.value_and_jacobian
    x = point_of(family)
    value, found = transform(f, mode=mode)(x, which)
    assert_plain(value, made.functions[name], x, terms=made.blas_terms[name])
    assert_close(found, plain_derivatives(family, name)[0], RTOL_DIFFERENCES)
    np.testing.assert_array_equal(x, made.point)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@kinds(())
def test_second_derivatives(family, name, mode):
    made = FAMILIES[family]
    f, which = together(name, made.functions)
    if made.is_scalar:
        second = ad.hessian(f, mode=mode)
    else:
        second = ad.jacobian(ad.jacobian(f, mode=mode), mode=mode)
    found = second(point_of(family), which)
    assert_close(found, plain_derivatives(family, name)[1], RTOL_DIFFERENCES)
