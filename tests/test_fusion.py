"""Fused elementwise expressions: blocks of the tape against forward mode and complex steps."""

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose

import dualtape as ad

X = np.linspace(0.5, 1.5, 24) + 0.01 * np.sin(np.arange(24.0))


def complex_step_gradient(f, x):
    """Return the gradient of an analytic function by imaginary steps of 1e-30."""
    columns = np.eye(x.size)
    return np.array([f(x + 1e-30j * e).imag / 1e-30 for e in columns])


def assert_gradient(f, x, rtol=1e-13):
    """Compare reverse mode with the complex step, and forward mode with reverse mode."""
    compiled = numba.njit(f)
    expected = complex_step_gradient(f, x)
    scale = np.abs(expected).max()
    reverse = ad.grad(compiled, mode="reverse")
    assert_allclose(reverse(x), expected, rtol=rtol, atol=rtol * scale)
    assert_allclose(reverse(x), expected, rtol=rtol, atol=rtol * scale)  # a tape used again
    assert_allclose(ad.grad(compiled, mode="forward")(x), expected, rtol=rtol, atol=rtol * scale)


def broadcasting(x):
    """Operands of one column, one row, no dimension, transposed, reversed, with steps."""
    a = x.reshape((4, 6))
    outer = a[:, :1] * a[0] + x[3] * a
    turned = outer.T * np.exp(-a).T + a[::-1, ::-1].T
    stepped = a[::2, 1::2] / (1.0 + a[1::2, ::2] ** 2)
    return np.sum(turned * turned) + np.sum(stepped) * np.mean(outer - 2.0 * a)


def sums_along_axes(x):
    """Sums along every axis of matrices and of 3-D arrays, as functions and as methods."""
    a, b = x.reshape((4, 6)), x.reshape((2, 3, 4))
    rows, columns = np.sum(a * a, axis=0), np.sum(np.sin(a), 1)
    last, first, middle = np.sum(b * b * b, axis=-1), b.sum(axis=0), np.sum(b, axis=1)
    total = np.sum(rows * rows) + np.sum(columns * columns[::-1])
    return total + np.sum(last * last) + np.sum(first * first * first) + (middle * middle).sum()


def irregular_rows(x):
    """Operands whose rows have no equal steps: gathered, sorted, partly constant, repeated."""
    a = x.copy()
    a[3:7] = 2.0
    a[10] = a[11]
    gathered = x[np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3])]
    return np.sum(a * a * x) + np.sum(gathered * gathered * gathered) + np.sum(a[::-1] * x)


def overwritten_operands(x):
    """What an expression read is overwritten later, in place, through views and in loops."""
    a = x.copy()
    total = 0.0
    for _ in range(3):
        b = a * a
        view = a[1:]
        view[:] = b[:-1] * 0.5
        a += b
        total = total + np.sum(b * x)
        b[:] = 0.0
    return total + np.sum(a)


def changed_between(x):
    """A temporary must be computed where it is written, not where it is used."""
    a = x.copy()
    doubled = a * 2.0
    a[0] = 5.0
    part = a[1:4]
    squared = part * part
    a[2] = x[7]
    tripled = a * 3.0
    a *= x
    return np.sum(doubled * a) + np.sum(squared) + np.sum(tripled)


def few_elements(x):
    """Arrays of a handful of elements, of one and of none."""
    total = 0.0
    for i in range(7):
        d = x[3 * i : 3 * i + 3] - x[21:]
        total = total + np.sqrt(1.0 + np.sum(d * d)) + np.sum(x[i : i + 1] * x[:1])
    return total + np.sum(x[:0] * x[:0]) + np.mean(x[:8] * 2.0)


def overlapping_target(x):
    """An element stored in place counts for the next one, as in the loop that Numba runs."""
    a = np.sin(x)
    for i in range(1, a.size):
        a[i] = a[i] + a[i - 1]
    return np.sum(a * a)


SCENARIOS = [
    broadcasting, sums_along_axes, irregular_rows, overwritten_operands, changed_between,
    few_elements, overlapping_target,
]  # fmt: skip
QUICK = {changed_between, irregular_rows}
CASES = [
    pytest.param(f, marks=() if f in QUICK else pytest.mark.slow, id=f.__name__) for f in SCENARIOS
]


@pytest.mark.parametrize("f", CASES)
def test_gradient_of_fused_expressions(f):
    assert_gradient(f, X)


@numba.njit
def overlapping_inplace(x):
    """Numba adds in place from the first element on, and so do its derivatives."""
    a = x * 1.0
    a[1:] += a[:-1]
    return a


@pytest.mark.slow
def two_steps_back(x):
    """What a loop carries is read once, and is renamed at its end."""
    p, q = x, x * x
    for _ in range(3):
        r = p + q * 2.0
        p = q
        q = r
    return np.sum(q)


def swapped_products(x):
    """Names are exchanged in one statement."""
    p, q = x, x * x
    for _ in range(3):
        p, q = q, p * q * 0.7
    return np.sum(q)


def momentum(x):
    """Two arrays are carried, each computed from both."""
    v = x * 0.0
    for _ in range(3):
        v = v * 0.9 - 0.1 * x
        x = x + v
    return np.sum(x * x)


def summed_at_every_turn(x):
    """The sum of a carried array, the last one of which is the result."""
    a, s = x, x[0]
    for _ in range(2):
        a = a * x[1]
        s = np.sum(a)
    return s


def carried_in_branches(x):
    """Names get their values in branches and are read behind them."""
    a, b = x, x * x
    for i in range(4):
        c = a * b
        if i % 2 == 0:
            a = b
            b = c
        else:
            b = a + c * 0.1
    return np.sum(b) + np.sum(a * x)


CARRIED = [two_steps_back, swapped_products, momentum, summed_at_every_turn, carried_in_branches]


@pytest.mark.parametrize(
    "f", [*CARRIED[:3], *(pytest.param(f, marks=pytest.mark.slow) for f in CARRIED[3:])]
)
def test_arrays_that_loops_carry(f):
    for n in (5, 1):  # few elements are recorded one by one
        assert_gradient(f, X[: n + 1])
    assert_gradient(f, X)
    for mode in ("forward", "reverse"):
        assert_allclose(ad.value_and_grad(f, mode=mode)(X)[0], f(X), rtol=1e-14)


def test_overlapping_inplace_operations_follow_the_primal():
    jacobian = ad.jacobian(overlapping_inplace, mode="reverse")(X)
    assert_allclose(jacobian, ad.jacobian(overlapping_inplace, mode="forward")(X), rtol=1e-14)
    assert_allclose(jacobian @ X, overlapping_inplace(X), rtol=1e-13)  # it is linear


@numba.njit
def mixed(x, c):
    """Selections, constants, plain operands, an explicit output."""
    a = x.reshape((4, 6))
    chosen = np.where(a > 1.0, a * c, 1.0 / a)
    np.add(chosen, a, chosen)
    clipped = np.clip(a, 0.7, 1.2) + np.sign(a) + c
    return np.tanh(chosen) * clipped


@pytest.mark.slow
def test_jacobians_of_all_kinds_agree():
    c = np.arange(24.0).reshape(4, 6)
    expected = ad.jacobian(mixed, mode="forward")(X, c)
    step = 1e-6
    for j in (0, 7, 23):
        e = step * np.eye(24)[j]
        difference = (mixed(X + e, c) - mixed(X - e, c)) / (2.0 * step)
        assert_allclose(expected[..., j], difference, rtol=1e-7, atol=1e-7)
    assert_allclose(ad.jacobian(mixed, mode="reverse")(X, c), expected, rtol=1e-13, atol=1e-14)
    value, pull = ad.vjp(mixed, X, c)
    assert_allclose(value, mixed(X, c), rtol=1e-15)
    weights = np.cos(np.arange(24.0)).reshape(4, 6)
    assert_allclose(pull(weights)[0], np.tensordot(weights, expected, 2), rtol=1e-13, atol=1e-14)


@numba.njit
def laplacian(u):
    """A stencil written with slices; its statements are its sparse Jacobian."""
    out = np.zeros_like(u)
    out[1:-1] = (u[2:] - 2.0 * u[1:-1] + u[:-2]) * u[1:-1]
    return out


def test_sparse_jacobian_of_array_code_has_the_pattern_of_the_loop():
    sparse = ad.sparse_jacobian(laplacian)(X)
    assert sparse.nnz <= 3 * (X.size - 2)
    assert_allclose(sparse.toarray(), ad.jacobian(laplacian, mode="forward")(X), rtol=1e-13)


@numba.njit
def cubes(x):
    """Sum of third powers, along an axis first."""
    a = x.reshape((4, 6))
    return np.sum(np.sum(a * a * a, axis=1) * 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("outer", ["forward", "reverse"])
def test_gradients_of_gradients(outer):
    hessian = ad.jacobian(ad.grad(cubes, mode="reverse"), mode=outer)(X)
    assert_allclose(hessian, np.diag(3.0 * X), rtol=1e-14, atol=1e-14)


@pytest.mark.slow
def test_single_precision_values_keep_their_type():
    x = X.astype(np.float32)
    gradient = ad.grad(cubes, mode="reverse")(x)
    assert gradient.dtype == np.float32
    assert_allclose(gradient, 1.5 * X**2, rtol=1e-6)


@numba.njit
def mismatched(x):
    """Shapes that do not broadcast."""
    return np.sum(x[:3] * x[:4])


def test_shapes_that_do_not_fit_are_refused_and_the_next_call_is_right():
    gradient = ad.grad(mismatched, mode="reverse")
    with pytest.raises(ValueError, match="do not broadcast"):
        gradient(X)
    assert_allclose(gradient(X[:3]), 2.0 * X[:3], rtol=1e-15)
