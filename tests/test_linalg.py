"""Linear algebra of arrays of numbers, against complex steps through independent formulas.

Every row of `ROWS` is a scalar function of matrices and the same function written for complex
arrays: im f(x + i h d) / h is its derivative to rounding error, and fourth-order differences of
that one are second derivatives.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose
from test_tape_memory import leased

import dualtape as ad

RTOL_FIRST = 1e-11  # condition numbers up to 100 times a few roundings
RTOL_SECOND = 1e-8  # of differences
STEP = 1e-30
MODES = ("forward", "reverse")
W = np.random.default_rng(1).standard_normal((8, 8))


def complex_gradient(f, args):
    """Return the gradients of f by complex steps."""
    found = []
    for k, arg in enumerate(args):
        out = np.zeros(arg.shape)
        for i in np.ndindex(arg.shape):
            moved = [a.astype(complex) for a in args]
            moved[k][i] += 1j * STEP
            out[i] = np.imag(f(*moved)) / STEP
        found.append(out)
    return found


def second_derivatives(f, x):
    """Return the Hessian of a function of one array by differences of complex steps."""
    out = np.zeros(x.shape * 2)
    for i in np.ndindex(x.shape):

        def shifted(h, i=i):
            y = x.copy()
            y[i] += h
            return complex_gradient(f, (y,))[0]

        h = 1e-3
        near, far = shifted(h) - shifted(-h), shifted(2 * h) - shifted(-2 * h)
        out[i] = (8.0 * near - far) / (12.0 * h)
    return out


def lower(a):
    """Return the symmetric matrix that LAPACK sees: the lower triangle counts."""
    return np.tril(a) + np.tril(a, -1).T


def complex_cholesky(a):
    """Factor without conjugation, so that complex steps pass through."""
    a, n = lower(a), a.shape[0]
    l = np.zeros(a.shape, complex)
    for j in range(n):
        l[j, j] = np.sqrt(a[j, j] - l[j, :j] @ l[j, :j])
        for i in range(j + 1, n):
            l[i, j] = (a[i, j] - l[i, :j] @ l[j, :j]) / l[j, j]
    return l


def complex_eigen(a):
    """Return ascending eigenvalues and vectors with v^T v = 1 of a complex symmetric matrix."""
    w, v = np.linalg.eig(lower(a))
    order = np.argsort(w.real)
    w, v = w[order], v[:, order]
    return w, v / np.sqrt(np.sum(v * v, axis=0))


def complex_abs(x):
    return np.where(x.real < 0.0, -x, x)


@dataclass(frozen=True)
class Row:
    """A function, the same for complex arrays, and how its arguments of size n are made."""

    name: str
    f: Callable[..., Any]
    reference: Callable[..., Any]
    make: Callable[..., tuple[np.ndarray, ...]]
    sizes: tuple[int, ...] = (1, 2, 3, 6)


def general(rng, n):
    return (rng.standard_normal((n, n)) + 3.0 * np.eye(n),)


def symmetric(rng, n):
    a = rng.standard_normal((n, n))
    return (a @ a.T + np.diag(np.arange(1.0, n + 1.0)),)


def tall(rng, n):
    return (rng.standard_normal((n + 2, n)),)


def wide(rng, n):
    return (rng.standard_normal((n, n + 2)),)


def solve_of_both(a, b):
    x = np.linalg.solve(a, b)
    s = 0.0
    for i in range(x.size):
        s += W[0, i] * x[i] * x[i]
    return s


def solve_of_both_reference(a, b):
    x = np.linalg.solve(a, b)
    return np.sum(W[0, : x.size] * x * x)


def solve_columns(a):
    x = np.linalg.solve(a, a[:, ::-1] * a[0, 0] + a.T)
    return np.sum(x * x * x)


def inverse(a):
    x = np.linalg.inv(a)
    return np.sum(x * x * x) + x[0, 0]


def determinant(a):
    return np.linalg.det(a) ** 2


def log_determinant(a):
    sign, logarithm = np.linalg.slogdet(a)
    return sign + logarithm**2


def log_determinant_reference(a):
    d = np.linalg.det(a)
    return np.sign(d.real) + np.log(d * np.sign(d.real)) ** 2


def cholesky(a):
    l = np.linalg.cholesky(a)
    s = 0.0
    for i in range(l.shape[0]):
        for j in range(i + 1):
            s += W[i, j] * l[i, j] ** 2
    return s


def cholesky_reference(a):
    l = complex_cholesky(a)
    return np.sum(np.tril(W[: len(l), : len(l)]) * l**2)


def eigenvectors(a):
    w, v = np.linalg.eigh(a)
    s = 0.0
    for i in range(w.size):
        s += W[0, i] * w[i] ** 2
        for j in range(w.size):
            s += W[i, j] * v[i, j] ** 2
    return s


def eigenvectors_reference(a):
    w, v = complex_eigen(a)
    n = len(w)
    return np.sum(W[0, :n] * w**2) + np.sum(W[:n, :n] * v**2)


def eigenvalues(a):
    w = np.linalg.eigvalsh(a)
    return w[0] * w[0] + 2.0 * w[w.size - 1]


def eigenvalues_reference(a):
    w = complex_eigen(a)[0]
    return w[0] * w[0] + 2.0 * w[-1]


def least_squares(a):
    b = W[0, : a.shape[0]].copy()
    x, rest, rank, _ = np.linalg.lstsq(a, b)
    s = 0.5 * rank
    if rest.size > 0:
        s += rest[0] ** 2
    return s + np.sum(x * x * x)


def least_squares_reference(a):
    m, n = a.shape
    b = W[0, :m]
    x = np.linalg.solve(a.T @ a, a.T @ b) if m > n else a.T @ np.linalg.solve(a @ a.T, b)
    rest = np.sum((b - a @ x) ** 2) if m > n else 0.0
    return 0.5 * min(m, n) + rest**2 + np.sum(x**3)


def norms(a):
    s = np.linalg.norm(a) + 2.0 * np.linalg.norm(a, "fro") * np.linalg.norm(a, 1)
    s += np.linalg.norm(a, np.inf) ** 2 + np.linalg.norm(a, -np.inf) * np.linalg.norm(a, -1)
    x = a[0]
    s += np.linalg.norm(x) * np.linalg.norm(x, 1) + np.linalg.norm(x, np.inf) ** 3
    return s + np.linalg.norm(x, 2) + np.linalg.norm(x, 3) + np.linalg.norm(x, -np.inf)


def norms_reference(a):
    d, x = complex_abs(a), complex_abs(a[0])
    columns, rows = np.sort(np.sum(d, axis=0)), np.sort(np.sum(d, axis=1))
    x = x[np.argsort(x.real)]
    whole, first = np.sqrt(np.sum(d**2)), np.sqrt(np.sum(x**2))
    s = whole + 2.0 * whole * columns[-1] + rows[-1] ** 2 + rows[0] * columns[0]
    return s + first * np.sum(x) + x[-1] ** 3 + first + np.sum(x**3) ** (1 / 3) + x[0]


ROWS = (
    Row("solve a vector", solve_of_both, solve_of_both_reference,
        lambda rng, n: (*general(rng, n), rng.standard_normal(n))),
    Row("solve a matrix", solve_columns, solve_columns, general),
    Row("inv", inverse, inverse, general),
    Row("det", determinant, determinant, general),
    Row("slogdet", log_determinant, log_determinant_reference, general),
    Row("cholesky", cholesky, cholesky_reference, symmetric),
    Row("eigh", eigenvectors, eigenvectors_reference, symmetric),
    Row("eigvalsh", eigenvalues, eigenvalues_reference, symmetric),
    Row("lstsq, tall", least_squares, least_squares_reference, tall),
    Row("lstsq, wide", least_squares, least_squares_reference, wide),
    Row("norm", norms, norms_reference, general),
)  # fmt: skip
NAMES = {row.name: row for row in ROWS}


@functools.cache
def gradient_of(f, argnums, mode):
    return ad.value_and_grad(f, argnums=argnums, mode=mode)


def assert_gradient(row, mode, rng, sizes):
    for n in sizes:
        args = row.make(rng, n)
        before = [a.copy() for a in args]
        value, found = gradient_of(row.f, tuple(range(len(args))), mode)(*args)
        expected = complex_gradient(row.reference, args)
        scale = max(1.0, *(np.abs(e).max() for e in expected))
        assert value == pytest.approx(row.reference(*map(np.copy, args)).real, rel=1e-11)
        for mine, theirs, arg, kept in zip(found, expected, args, before, strict=True):
            assert_allclose(mine, theirs, rtol=RTOL_FIRST, atol=RTOL_FIRST * scale)
            np.testing.assert_array_equal(arg, kept)


# Those that compile in less than ten seconds: linear systems forward, determinants in reverse.
QUICK = {("solve a vector", "forward"), ("slogdet", "reverse")}


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(name, mode, marks=() if (name, mode) in QUICK else pytest.mark.slow)
        for name in NAMES
        for mode in MODES
    ],
)
def test_gradients(name, mode, rng):
    assert_gradient(NAMES[name], mode, rng, NAMES[name].sizes)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", list(NAMES)[1:])
def test_hessians(name, mode, rng):
    """Forward: hyper-duals.  Reverse: forward over reverse."""
    row = NAMES[name]
    hessian = ad.hessian(row.f, mode=mode)
    for n in (1, 3):
        (x,) = row.make(rng, n)
        found, expected = hessian(x), second_derivatives(row.reference, x)
        scale = max(1.0, np.abs(expected).max())
        assert_allclose(found, expected, rtol=RTOL_SECOND, atol=RTOL_SECOND * scale)


# Operands that are constant, overwritten, or of another level

A = np.array([[4.0, 1.0, -2.0], [0.5, 3.0, 1.0], [2.0, -1.0, 5.0]])
B = np.array([1.0, -2.0, 0.5])


def one_active(a, b):
    """Constants on either side, and operands that are overwritten afterwards."""
    left, right = A + 0.0, B + 0.0
    x = np.linalg.solve(left, b)
    y = np.linalg.solve(a, right)
    left[:] = 7.0
    right[:] = 7.0
    own, mine = a * 2.0, b * 3.0
    z = np.linalg.solve(own, mine)
    own[:] = 0.0
    mine[:] = 0.0
    s = x @ x + y @ y + z[0] * z[1]
    z[:] = 0.0
    return s


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_constant_and_overwritten_operands(mode, rng):
    def reference(a, b):
        x, y, z = np.linalg.solve(A, b), np.linalg.solve(a, B), np.linalg.solve(a, 1.5 * b)
        return x @ x + y @ y + z[0] * z[1]

    args = (*general(rng, 3), rng.standard_normal(3))
    found = ad.grad(one_active, argnums=(0, 1), mode=mode)(*args)
    for mine, theirs in zip(found, complex_gradient(reference, args), strict=True):
        assert_allclose(mine, theirs, rtol=RTOL_FIRST, atol=RTOL_FIRST)


@pytest.mark.slow
@pytest.mark.parametrize("outer", MODES)
@pytest.mark.parametrize("inner", MODES)
def test_derivatives_within_derivatives(inner, outer):
    """d/dt of d/db of b^T (A + t C)^-1 b is -2 X C X b with the symmetric inverse X.

    Matrices of the outer derivative meet vectors of the inner one, whose tape is another.
    """
    a, c = A @ A.T, np.diag([1.0, 2.0, 3.0])

    def form(b, t):
        return b @ np.linalg.solve(a + t * c, b) + b @ ((t * c) @ b)

    slope = ad.grad(form, mode=inner)

    def component(t, b):
        return slope(b, t) @ np.ones(3)

    x = np.linalg.inv(a + 0.3 * c)
    both = -2.0 * x @ c @ x @ B + 2.0 * c @ B
    expected = np.ones(3) @ both
    assert ad.grad(component, mode=outer)(0.3, B) == pytest.approx(expected, rel=RTOL_FIRST)
    found = ad.jacobian(ad.grad(form, argnums=1, mode=inner), mode=outer)(B, 0.3)
    assert_allclose(found, both, rtol=RTOL_FIRST)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_products_that_are_large_enough_for_blas(mode, rng):
    """Second derivatives of sums of products are constant."""
    first, second, v = rng.standard_normal((50, 50)), rng.standard_normal((50, 50)), W[0, :1]

    def f(p):
        a = first * p[0] + second * p[1]
        x = a[0].copy()
        return np.sum(a @ a) + np.sum(a @ x) + np.sum(x @ a) + np.sum(first @ a) + v[0] * x[0]

    def bilinear(a, b):
        return np.sum(a @ b) + np.sum(a @ b[0]) + np.sum(a[0] @ b)

    p, parts = np.array([0.7, -0.4]), (first, second)
    expected = np.array([[bilinear(a, b) + bilinear(b, a) for b in parts] for a in parts])
    linear = np.array([np.sum(first @ a) + v[0] * a[0, 0] for a in parts])
    value, gradient, hessian = ad.value_grad_hessian(f, mode=mode)(p)
    assert value == pytest.approx(0.5 * p @ expected @ p + linear @ p, rel=1e-11)
    assert_allclose(gradient, expected @ p + linear, rtol=1e-11)
    assert_allclose(hessian, expected, rtol=1e-11)


# Values, errors, special matrices


def everything(a):
    w, v = np.linalg.eigh(a)
    _, logarithm = np.linalg.slogdet(a)
    return (
        np.linalg.solve(a, a[0].copy()), np.linalg.inv(a), np.linalg.det(a), logarithm,
        np.linalg.cholesky(a), w, v, np.linalg.solve(a, a.T.copy()),
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("transform", [ad.jvp, ad.vjp])
def test_values_are_those_of_the_function(transform, rng):
    """To the last bit: LAPACK works on the primals as in the function itself."""
    a = A @ A.T
    expected = numba.njit(everything)(a)
    found = ad.jvp(everything, (a,), (a,))[0] if transform is ad.jvp else ad.vjp(everything, a)[0]
    for mine, own in zip(found, expected, strict=True):
        np.testing.assert_array_equal(mine, own)


def failing(a):
    return np.linalg.solve(a, np.ones(a.shape[0]))[0]


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_singular_and_other_wrong_systems(mode):
    gradient = ad.grad(failing, mode=mode)
    busy = leased()
    for _ in range(3):
        with pytest.raises(np.linalg.LinAlgError, match="singular"):
            gradient(np.ones((3, 3)))
    with pytest.raises(np.linalg.LinAlgError, match="square"):
        gradient(np.ones((3, 2)))
    with pytest.raises(np.linalg.LinAlgError, match="infs or NaNs"):
        gradient(np.array([[np.nan]]))
    assert leased() == busy
    assert_allclose(gradient(np.array([[4.0]])), [[-1.0 / 16.0]], rtol=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_errors_of_other_functions(mode):
    def not_positive(a):
        return np.linalg.cholesky(a)[0, 0]

    def deficient(a):
        return np.linalg.lstsq(a, np.ones(a.shape[0]))[0][0]

    def order_three(a):
        return np.linalg.norm(a, 3)

    with pytest.raises(np.linalg.LinAlgError, match="positive definite"):
        ad.grad(not_positive, mode=mode)(-np.eye(2))
    with pytest.raises(np.linalg.LinAlgError, match="full rank"):
        ad.grad(deficient, mode=mode)(np.ones((3, 2)))
    with pytest.raises(ValueError, match="the orders are None"):
        ad.grad(order_three, mode=mode)(np.eye(2))


SINGULAR = (
    np.zeros((1, 1)),
    np.array([[1.0, 2.0], [2.0, 4.0]]),
    np.arange(1.0, 10.0).reshape(3, 3),
    np.outer([1.0, -2.0, 0.5], [3.0, 1.0, 2.0]),
    np.zeros((3, 3)),
    np.array([[1e-9, 1.0, 0.0], [0.0, 1e-9, 1.0], [1.0, 0.0, 1e-9]]),
)


def minors(a, skipped):
    """Return det of what is left without some rows and columns."""
    rows = [i for i in range(len(a)) if i not in [r for r, _ in skipped]]
    columns = [j for j in range(len(a)) if j not in [c for _, c in skipped]]
    return np.linalg.det(a[np.ix_(rows, columns)]) if rows else 1.0


def cofactors(a):
    n = len(a)
    return np.array([[(-1.0) ** (i + j) * minors(a, [(i, j)]) for j in range(n)] for i in range(n)])


def second_cofactors(a):
    """d2 det / da_ij da_kl: signed minors without two rows and two columns."""
    n = len(a)
    out = np.zeros((n,) * 4)
    for i, j, k, l in np.ndindex(n, n, n, n):
        if i != k and j != l:
            sign = (-1.0) ** (i + j + k + l + (k < i) + (l < j))
            out[i, j, k, l] = sign * minors(a, [(i, j), (k, l)])
    return out


def det(a):
    return np.linalg.det(a)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_det_of_singular_matrices(mode):
    gradient, hessian = ad.grad(det, mode=mode), ad.hessian(det, mode=mode)
    for a in SINGULAR:
        scale = 1e-12 * max(1.0, np.abs(a).max() ** (len(a) - 1))
        assert_allclose(gradient(a), cofactors(a), rtol=1e-12, atol=scale)
        assert_allclose(hessian(a), second_cofactors(a), rtol=1e-12, atol=scale)
    assert gradient(np.zeros((0, 0))).shape == (0, 0)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_equal_eigenvalues(mode, rng):
    """Each of a cluster gets the cluster's mean; the projector on a cluster has its derivative."""

    def smallest(a):
        return np.linalg.eigvalsh(a)[0]

    def projected(a):
        v = np.linalg.eigh(a)[1][:, :2]
        return (v[0] @ v[1]) + (v[1] @ v[2])

    assert_allclose(ad.grad(smallest, mode=mode)(2.0 * np.eye(4)), np.eye(4) / 4.0, atol=1e-15)
    q = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    a = q @ np.diag([1.0, 1.0, 3.0]) @ q.T
    p = q[:, :2] @ q[:, :2].T
    weight = np.zeros((3, 3))
    weight[0, 1] = weight[1, 2] = 1.0
    rest = np.eye(3) - p
    s = (p @ weight @ rest + rest @ weight @ p) / (1.0 - 3.0)
    expected = np.tril(s + s.T) - np.diag(np.diag(s))  # one element moves two of the matrix
    assert_allclose(ad.grad(projected, mode=mode)(a), expected, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_memory_of_the_pool_is_stable(mode, rng):
    a, b = *general(rng, 6), rng.standard_normal(6)
    gradient = gradient_of(solve_of_both, (0, 1), mode)
    first = gradient(a, b)
    before = leased()
    for _ in range(50):
        again = gradient(a, b)
    assert leased() == before
    np.testing.assert_array_equal(again[1][0], first[1][0])
