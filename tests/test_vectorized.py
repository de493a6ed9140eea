"""Functions of numba.vectorize and guvectorize: on numbers and arrays, in every mode."""

import numba
import numpy as np
import pytest

import dualtape as ad

slow = pytest.mark.slow
MODES = ["forward", "reverse"]


@numba.vectorize
def smooth(a, b):
    if a > b:
        return a * a * b
    return np.sin(a) / (1.0 + b * b)


@numba.vectorize(["float64(float64, float64)", "float32(float32, float32)"])
def signed(a, b):
    return a * np.exp(b) if a > 0.2 else b**3


@numba.vectorize(["float32(float32)"])
def single(a):
    return a * a


@numba.vectorize
def is_large(a):
    return a > 1.0


@numba.guvectorize(["(float64[:], float64[:], float64[:])"], "(n),(n)->()")
def weighted(w, a, out):
    s = 0.0
    for i in range(a.shape[0]):
        s += w[i] * a[i] ** 2
    out[0] = s


def plain(function):
    """Return the Python function of a vectorized one, element by element."""
    return np.vectorize(function._dispatcher.py_func)


X, Y = np.array([0.3, 1.7, 0.9]), np.array([1.1, 0.4, 2.0])


def complex_free_slopes(function, a, b, h=1e-6):
    """Return elementwise central differences by both arguments."""
    f = plain(function)
    by_a = (f(a + h, b) - f(a - h, b)) / (2.0 * h)
    return by_a, (f(a, b + h) - f(a, b - h)) / (2.0 * h)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("function", [smooth, signed], ids=["open", "frozen"])
def test_arrays(function, mode):
    def f(x, y):
        return np.sum(function(x, y) * function(x, 2.0))

    value, (by_x, by_y) = ad.value_and_grad(f, (0, 1), mode=mode)(X, Y)
    first, second = plain(function)(X, Y), plain(function)(X, 2.0)
    np.testing.assert_allclose(value, first @ second, rtol=1e-14)
    of_y, of_2 = complex_free_slopes(function, X, Y), complex_free_slopes(function, X, 2.0)
    np.testing.assert_allclose(by_x, of_y[0] * second + first * of_2[0], rtol=1e-8)
    np.testing.assert_allclose(by_y, of_y[1] * second, rtol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_numbers_and_broadcasting(mode):
    def f(x):
        table = smooth(x.reshape((3, 1)), Y)
        return np.sum(table) * signed(x[0], x[1]) + smooth(x[2], 3)

    found = ad.grad(f, mode=mode)(X)
    h = 1e-6
    expected = [(f_plain(X + h * e) - f_plain(X - h * e)) / (2.0 * h) for e in np.eye(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    if mode == "reverse":
        jacobian = ad.jacobian(lambda x: smooth(x, Y), mode="reverse")(X)
        np.testing.assert_allclose(
            jacobian, np.diag(complex_free_slopes(smooth, X, Y)[0]), atol=1e-9
        )


def f_plain(x):
    table = plain(smooth)(x.reshape((3, 1)), Y)
    return np.sum(table) * plain(signed)(x[0], x[1]) + plain(smooth)(x[2], 3.0)


@slow
@pytest.mark.parametrize("mode", MODES)
def test_second_derivatives(mode):
    hessian = ad.hessian(lambda x: np.sum(smooth(x, 0.5 * x[::-1])), mode=mode)(X)
    other = ad.jacobian(ad.grad(lambda x: np.sum(smooth(x, 0.5 * x[::-1])), mode="reverse"))(X)
    np.testing.assert_allclose(hessian, other, rtol=1e-12, atol=1e-13)
    np.testing.assert_array_equal(hessian, hessian.T)


def test_of_constants_and_of_truth():
    def f(x):
        w = np.where(is_large(x), smooth(Y, Y), 1.0)
        return np.sum(w * x)

    expected = np.where(X > 1.0, plain(smooth)(Y, Y), 1.0)
    np.testing.assert_allclose(ad.grad(f)(X), expected, rtol=1e-14)


def test_the_function_itself():
    by_a, by_b = complex_free_slopes(smooth, 0.3, 1.1)
    found = ad.grad(smooth, (0, 1))(0.3, 1.1)
    np.testing.assert_allclose(found, (by_a, by_b), rtol=1e-8)


def test_a_signature_without_double_precision():
    with pytest.raises(ad.MissingRuleError, match="no signature for float64"):
        ad.grad(lambda x: single(x[0]))(X)


@pytest.mark.parametrize("mode", MODES)
def test_generalized(mode):
    def f(x):
        out = np.zeros(1)
        weighted(Y, x, out)
        return out[0] * x[0]

    s = Y @ X**2
    expected = 2.0 * Y * X * X[0]
    expected[0] += s
    np.testing.assert_allclose(ad.grad(f, mode=mode)(X), expected, rtol=1e-14)


@numba.guvectorize(["(float64[:], float64, float64[:])"], "(n),()->(n)")
def shifted(a, b, out):
    for i in range(a.shape[0]):
        out[i] = a[i] * a[i] * b + a[0]


def shifted_by_hand(a, b):
    return a * a * b + a[..., :1]


ROWS = np.array([[0.3, 1.7, 0.9], [0.2, -0.4, 1.5]])


def loop_over_all(x):
    out = np.zeros((2, 3))
    shifted(x, 2.0, out)
    return out


def loop_over_some(x):
    out = np.zeros((2, 3))
    shifted(x[0], x[:, 1], out)
    return out


def loop_over_numbers(x):
    out = np.zeros(2)
    weighted(Y, x, out)
    return out * x[:, 0]


def nested_loops(x):
    out = np.zeros((2, 2, 3))
    stacked = np.empty((2, 2, 3))
    stacked[0] = x
    stacked[1] = 2.0 * x
    shifted(stacked, x[:, 2], out)
    return out


def into_an_argument(x, out):
    shifted(x, 0.5, out)
    return out


LOOPS = {
    loop_over_all: lambda x: shifted_by_hand(x, 2.0),
    loop_over_some: lambda x: shifted_by_hand(x[0], x[:, 1:2]),
    loop_over_numbers: lambda x: (x**2 @ Y) * x[:, 0],
    nested_loops: lambda x: shifted_by_hand(np.array([x, 2.0 * x]), x[:, 2:]),
    into_an_argument: lambda x: shifted_by_hand(x, 0.5),
}


@pytest.mark.parametrize("mode", [MODES[0], pytest.param(MODES[1], marks=slow)])
@pytest.mark.parametrize("f", LOOPS)
def test_generalized_with_loops(f, mode):
    """Against complex steps of the same in NumPy; the value is that of Numba's own loop."""
    more = (np.zeros((2, 3)),) if f is into_an_argument else ()
    value, jacobian = ad.value_and_jacobian(f, mode=mode)(ROWS, *more)
    np.testing.assert_allclose(value, LOOPS[f](ROWS), rtol=1e-15)
    np.testing.assert_allclose(value, numba.njit(f)(ROWS, *more), rtol=1e-15)
    for index in np.ndindex(ROWS.shape):
        step = ROWS.astype(complex)
        step[index] += 1e-30j
        slope = LOOPS[f](step).imag / 1e-30
        np.testing.assert_allclose(jacobian[(..., *index)], slope, rtol=1e-14, atol=1e-15)


def test_generalized_with_wrong_arrays():
    def differing(x):
        out = np.zeros((3, 3))
        shifted(x, 2.0, out)
        return out[0, 0]

    def fewer(x):
        out = np.zeros(3)
        weighted(2.0, x[0], out)
        return out[0]

    with pytest.raises(ValueError, match="incompatible"):
        ad.grad(differing)(ROWS)
    with pytest.raises(ad.DualtapeError, match="fewer dimensions"):
        ad.grad(fewer)(ROWS)
