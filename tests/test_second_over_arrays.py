"""Second derivatives of array expressions in reverse mode, where a derivative varies.

A plain partial (2 in ``2 * y``) meets a factor that is differentiated further (``1 / (2 * y)``).
The references are closed forms: every function here is a sum of functions of one element each.
"""

import numba
import numpy as np
import pytest

import dualtape as ad

X = np.array([0.4, 0.9, 1.7])

# Function of an array, and its second derivative by each element.
FUNCTIONS = {
    "log of a multiple": (lambda y: np.sum(np.log(2.0 * y)), lambda y: -1.0 / y**2),
    "log1p of a multiple": (
        lambda y: np.sum(np.log1p(3.0 * y)),
        lambda y: -9.0 / (1.0 + 3.0 * y) ** 2,
    ),
    "sqrt of a multiple": (
        lambda y: np.sum(np.sqrt(2.0 * y)),
        lambda y: -np.sqrt(2.0) / 4.0 * y**-1.5,
    ),
    "reciprocal": (lambda y: np.sum(1.0 / y), lambda y: 2.0 / y**3),
    "reciprocal of a multiple": (lambda y: np.sum(1.0 / (4.0 * y)), lambda y: 0.5 / y**3),
    "square over plain": (lambda y: np.sum(y * y / 3.0), lambda y: 2.0 / 3.0 + 0.0 * y),
    "plain over square": (lambda y: np.sum(3.0 / (y * y)), lambda y: 18.0 / y**4),
    "power": (lambda y: np.sum((2.0 * y) ** 1.5), lambda y: 0.75 * 2.0**1.5 / np.sqrt(y)),
    "arctan2": (
        lambda y: np.sum(np.arctan2(2.0 * y, 3.0)),
        lambda y: -48.0 * y / (9.0 + 4.0 * y**2) ** 2,
    ),
    "Michaelis and Menten": (
        lambda y: np.sum(2.0 * y / (0.5 + y)),
        lambda y: -2.0 / (0.5 + y) ** 3,
    ),
    "logarithm of a quotient": (
        lambda y: np.sum(np.log(y / (1.0 + y))),
        lambda y: -1.0 / y**2 + 1.0 / (1.0 + y) ** 2,
    ),
}
V = np.array([1.0, -2.0, 0.5])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_hessian_in_reverse_mode(name):
    f, second = FUNCTIONS[name]
    value, _, hessian = ad.value_grad_hessian(f, mode="reverse")(X)
    assert value == pytest.approx(numba.njit(f)(X), rel=4e-16 * X.size)
    np.testing.assert_allclose(hessian, np.diag(second(X)), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize(
    "name", ["log of a multiple", pytest.param("Michaelis and Menten", marks=pytest.mark.slow)]
)
def test_other_second_derivatives(name):
    f, second = FUNCTIONS[name]
    expected = second(X)
    np.testing.assert_allclose(ad.hvp(f, mode="reverse")(X, V), expected * V, rtol=1e-13)
    found = ad.jacobian(ad.grad(f, mode="reverse"), mode="forward")(X)
    np.testing.assert_allclose(found, np.diag(expected), rtol=1e-13, atol=1e-14)
    sparse = ad.sparse_hessian(f)(X).toarray()
    np.testing.assert_allclose(sparse, np.diag(expected), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", ["log of a multiple", "sqrt of a multiple"])
def test_what_has_no_part_stays_zero_beside_infinities(name):
    """The second element is a constant to the function; at 0 its factor is infinite."""
    f = FUNCTIONS[name][0]

    def first_only(y):
        return f(y * np.array([1.0, 0.0, 1.0]) + np.array([0.0, 1.0, 0.0]))

    hessian = ad.hessian(first_only, mode="reverse")(np.array([0.4, 0.0, 1.7]))
    assert np.all(np.isfinite(hessian))
    assert hessian[1, 1] == 0.0


@pytest.mark.parametrize("error", [ad.MissingRuleError, AssertionError])
@pytest.mark.parametrize("sizes", [(100, 3), (3, 100)], ids=["large first", "small first"])
def test_auto_does_not_depend_on_which_size_came_first(sizes, error, monkeypatch):
    """Whatever a call for few inputs can do, every call can, and the other way round."""

    def refuse(*_args, **_options):
        raise error("no rule for reverse mode")

    monkeypatch.setattr("dualtape.drivers.reverse.gradient_driver", refuse)

    def f(x):
        return np.sum(x * x)

    gradient = ad.grad(f)
    for n in sizes:
        x = np.arange(1.0, n + 1.0)
        np.testing.assert_array_equal(gradient(x), 2.0 * x)
    with pytest.raises(ad.DualtapeError, match="no rule for reverse mode"):
        ad.grad(f, mode="reverse")(np.ones(100))
