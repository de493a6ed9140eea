"""Partial functions: derivatives of the function with what is bound."""

import functools

import numpy as np
import pytest
from numba import njit

import dualtape as ad

X = np.array([0.7, 1.3])


def scaled(a, x, b=2.0):
    return a * x[0] ** b * x[1]


def expected(a, x, b=2.0):
    return np.array([a * b * x[0] ** (b - 1.0) * x[1], a * x[0] ** b])


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("f", [scaled, njit(scaled)], ids=["plain", "njit"])
def test_partial(f, mode):
    for options in ({}, {"b": 3.0}):
        part = functools.partial(f, 3.0, **options)
        found = ad.grad(part, mode=mode)(X)
        np.testing.assert_allclose(found, expected(3.0, X, **options), rtol=1e-14)
        assert ad.value_and_grad(part, mode=mode)(X)[0] == part(X)


def test_one_transform_for_one_object():
    part = functools.partial(scaled, 3.0)
    assert ad.grad(part) is ad.grad(part)
    other = functools.partial(scaled, 4.0)
    np.testing.assert_allclose(ad.grad(other)(X), expected(4.0, X), rtol=1e-14)


def test_other_transforms():
    part = functools.partial(functools.partial(scaled, 3.0), b=1.0)
    np.testing.assert_allclose(ad.hessian(part)(X), [[0.0, 3.0], [3.0, 0.0]], atol=1e-14)
    np.testing.assert_allclose(ad.jvp(part, (X,), (X,))[1], 2.0 * part(X), rtol=1e-14)
    np.testing.assert_allclose(ad.vjp(part, X)[1](1.0)[0], expected(3.0, X, 1.0), rtol=1e-14)
    rows = functools.partial(lambda c, x: c * x**2, 5.0)
    found = ad.sparse_jacobian(rows)(X).toarray()
    np.testing.assert_allclose(found, np.diag(10.0 * X), rtol=1e-14)


def test_bound_arrays_are_never_stale():
    for size in (2, 200):
        weights = np.ones(size)
        part = functools.partial(lambda w, x: w[0] * x[0] * x[1] + w[-1] * x[1], weights)
        gradient = ad.grad(part)
        np.testing.assert_array_equal(gradient(X), [X[1], X[0] + 1.0])
        weights[0] = 3.0
        np.testing.assert_array_equal(gradient(X), [3.0 * X[1], 3.0 * X[0] + 1.0])


def test_refused():
    def several(*args):
        return args[0]

    with pytest.raises(ad.ArgumentError, match=r"several takes \*args"):
        ad.grad(functools.partial(several, 1.0))
