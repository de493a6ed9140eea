"""A rule of a function of arrays, written here, in all modes and nestings."""

import numpy as np
import pytest

import dualtape as ad
from dualtape.arrays.array_rule import array_rule
from dualtape.arrays.blas import matrix_product
from dualtape.linalg.products import left_products, right_products


@array_rule
def cube(a):
    """Return A A A."""
    return matrix_product(matrix_product(a, a), a)


@cube.keep
def cube_data(a):
    return cube(a), matrix_product(a, a), a


@cube.tangent
def cube_tangent(data, da):
    """Return dA A A + A dA A + A A dA."""
    _, square, a = data
    first, second = left_products(da, square), left_products(right_products(a, da), a)
    return first + second + right_products(square, da)


@cube.adjoint
def cube_adjoint(data, bar):
    _, square, a = data
    first, second = matrix_product(bar, square.T), matrix_product(matrix_product(a.T, bar), a.T)
    return first + second + matrix_product(square.T, bar)


def by_rule(a):
    x = cube(a)
    return np.sum(x * x)


def by_products(a):
    x = a @ a @ a
    return np.sum(x * x)


A = np.array([[0.5, -1.0], [2.0, 0.25]])


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_gradient(mode):
    found, expected = (ad.value_and_grad(f, mode=mode)(A) for f in (by_rule, by_products))
    assert found[0] == pytest.approx(expected[0], rel=1e-15)
    np.testing.assert_allclose(found[1], expected[1], rtol=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_hessian(mode):
    found, expected = (ad.hessian(f, mode=mode)(A) for f in (by_rule, by_products))
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
