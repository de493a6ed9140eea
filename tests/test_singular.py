"""Singular values, pseudo-inverses, QR factors, norms and powers of matrices of active numbers.

First derivatives against differences of NumPy's values, second ones against differences of first
ones and between the modes; closed forms where there are some.
"""

import numpy as np
import pytest

import dualtape as ad

A = np.array([[2.0, 0.3, 0.2], [0.1, 1.5, -0.4], [0.6, -0.2, 0.9]])
B = np.array([[2.0, 0.3], [0.1, 1.5], [0.4, 0.7]])
W = np.array([[1.0, -2.0, 0.5], [0.3, 0.7, 1.1], [0.2, 0.9, -1.0]])
X = np.array([1.1, 0.7, 0.4])
RTOL = 1e-8  # a 4th-order stencil; a wrong rule is off by far more
STEP = 1e-4


def square(x):
    return A * x


def tall(x):
    return B * x[:2] + x[2] * B**2


def wide(x):
    return np.ascontiguousarray((B * x[:2] + x[2] * B**2).T)


def thin(x):
    u, s, vt = np.linalg.svd(tall(x), False)
    return np.sum(W[:, :2] * ((u * np.exp(-s)) @ vt)) + np.sum(W[:2, :2] * ((vt.T * s**0.5) @ vt))


def thin_of_wide(x):
    u, s, vt = np.linalg.svd(wide(x), full_matrices=False)
    return np.sum(W[:2] * ((u * np.exp(-s)) @ vt))


def factors(x):
    q, r = np.linalg.qr(tall(x))
    return np.sum(W[:2, :2] * r) + np.sum(W[:, :2] * q)


PROGRAMS = {
    "matrix_power 0": lambda x: np.sum(x[0] * np.linalg.matrix_power(square(x), 0)),
    "matrix_power 1": lambda x: np.sum(W * np.linalg.matrix_power(square(x), 1)),
    "matrix_power 5": lambda x: np.sum(W * np.linalg.matrix_power(square(x), 5)),
    "matrix_power -2": lambda x: np.sum(W * np.linalg.matrix_power(square(x), -2)),
    "pinv": lambda x: np.sum(W[:2] * np.linalg.pinv(tall(x))),
    "pinv with a bound": lambda x: np.sum(W[:2] * np.linalg.pinv(tall(x), 1e-10)),
    "pinv of a wide matrix": lambda x: np.sum(W[:, :2] * np.linalg.pinv(wide(x))),
    "cond": lambda x: np.linalg.cond(square(x)),
    "cond 1 and -2": lambda x: np.linalg.cond(square(x), 1) + np.linalg.cond(square(x), -2),
    "cond 'fro' and 2": lambda x: np.linalg.cond(square(x), "fro") + np.linalg.cond(square(x), 2),
    "norm 2 and -2": lambda x: np.linalg.norm(square(x), 2) + np.linalg.norm(tall(x), -2),
    "norm 'nuc'": lambda x: np.linalg.norm(tall(x), "nuc"),
    "singular values": lambda x: np.sum(np.linalg.svd(square(x))[1] ** 3),
    "svd": thin,
    "svd of a wide matrix": thin_of_wide,
    "qr": factors,
    "matrix_rank": lambda x: np.linalg.matrix_rank(square(x)) * x[0],
}


def stencil(f):
    """Return differences of f along every input, as the last axis."""
    columns = [
        (8.0 * (f(X + e) - f(X - e)) - (f(X + 2.0 * e) - f(X - 2.0 * e))) / (12.0 * STEP)
        for e in STEP * np.eye(X.size)
    ]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_value_and_gradient(name, mode):
    f = PROGRAMS[name]
    value, gradient = ad.value_and_grad(f, mode=mode)(X)
    np.testing.assert_allclose(value, f(X), rtol=1e-14)
    np.testing.assert_allclose(gradient, stencil(f), rtol=RTOL, atol=RTOL)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["matrix_power 5", "pinv", "norm 2 and -2", "svd", "qr"])
def test_second_derivatives(name):
    f = PROGRAMS[name]
    hessian = ad.hessian(f)(X)
    np.testing.assert_allclose(hessian, stencil(ad.grad(f)), rtol=RTOL, atol=10.0 * RTOL)
    for outer in ("forward", "reverse"):
        nested = ad.jacobian(ad.grad(f, mode="reverse"), mode=outer)(X)
        np.testing.assert_allclose(nested, hessian, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_closed_forms(mode):
    nuclear = ad.grad(lambda a: np.linalg.norm(a, "nuc"), mode=mode)(B)
    u, _, vt = np.linalg.svd(B, full_matrices=False)
    np.testing.assert_allclose(nuclear, u @ vt, rtol=1e-13)
    largest = ad.grad(lambda a: np.linalg.norm(a, 2), mode=mode)(B)
    np.testing.assert_allclose(largest, np.outer(u[:, 0], vt[0]), rtol=1e-13)
    inverse = ad.grad(lambda a: np.sum(W * np.linalg.pinv(a)), mode=mode)(A)
    plain = np.linalg.inv(A)
    np.testing.assert_allclose(inverse, -plain.T @ W @ plain.T, rtol=1e-12)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_matrices_at_the_edge(mode):
    """The power 0 is constant, whatever the matrix; a singular one has the condition 1 / 0."""
    infinite = np.array([[np.inf, 1.0], [0.0, 2.0]])
    value, gradient = ad.value_and_grad(lambda a: np.sum(np.linalg.matrix_power(a, 0)), mode=mode)(
        infinite
    )
    assert value == 2.0
    assert not gradient.any()
    value, gradient = ad.value_and_grad(lambda a: np.linalg.cond(a, -2), mode=mode)(
        np.diag([2.0, 0.0])
    )
    assert value == 0.0
    np.testing.assert_allclose(gradient, [[0.0, 0.0], [0.0, 0.5]], atol=1e-15)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_equal_singular_values(mode):
    """The sum of squares is that of all elements, whatever singular values coincide."""
    for a in (np.eye(3), np.diag([2.0, 2.0, 1.0]), np.vstack([np.eye(2), np.zeros((1, 2))])):
        gradient = ad.grad(lambda a: np.sum(np.linalg.svd(a, False)[1] ** 2), mode=mode)(a)
        np.testing.assert_allclose(gradient, 2.0 * a, atol=1e-14)


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (lambda x: np.sum(np.linalg.svd(tall(x))[1]), "full_matrices=False"),
        (lambda x: np.sum(np.linalg.qr(wide(x))[1]), "at least as many rows as columns"),
        (lambda x: np.linalg.norm(square(x), 3), "the orders are None"),
        (lambda x: np.linalg.norm(square(x), "no"), "the orders are None"),
        (lambda x: np.sum(np.linalg.pinv(np.ones((3, 2)) * x[0])), "not full rank"),
        (lambda x: np.sum(np.linalg.pinv(tall(x), 0.9)), "not full rank"),
        (lambda x: np.sum(np.linalg.matrix_power(tall(x), 2)), "must be square"),
    ],
)
def test_errors_say_what_to_do(f, message):
    for mode in ("forward", "reverse"):
        with pytest.raises((ad.DualtapeError, np.linalg.LinAlgError), match=message):
            ad.grad(f, mode=mode)(X)
