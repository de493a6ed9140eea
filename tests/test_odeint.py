"""The Runge-Kutta method that can be differentiated, against closed forms and SciPy."""

import numba
import numpy as np
import pytest
from scipy import integrate

import dualtape as ad
from dualtape.integrate import odeint

MODES = ("forward", "reverse")
T = np.array([0.0, 0.7, 0.7, 2.0])
RATES = np.array([0.8, 0.3])


@numba.njit
def decay(y, t, rate):
    return -rate * y * t


def closed(y0, t0, t1, rate):
    return y0 * np.exp(-rate * (t1**2 - t0**2) / 2.0)


@numba.njit
def oscillator(y, t, p):
    return [y[1], -p[0] * y[0] - p[1] * y[1] + np.sin(t)]


def matrix_rate(y, t, p):
    return p[0] * y @ y - p[1] * y


@pytest.mark.parametrize("mode", MODES)
def test_a_number_by_state_times_and_parameter(mode):
    def f(x):
        y = odeint(decay, x[0], np.array([x[1], 1.5, x[2]]), x[3], rtol=1e-11, atol=1e-11)
        return y[1] * y[2]

    def exact(x):
        return closed(x[0], x[1], 1.5, x[3]) * closed(x[0], x[1], x[2], x[3])

    x = np.array([1.3, 0.2, 2.0, 0.6])
    value, gradient = ad.value_and_grad(f, mode=mode)(x)
    assert value == pytest.approx(exact(x), rel=1e-9)
    expected = [exact(x + 1e-30j * e).imag / 1e-30 for e in np.eye(4)]
    np.testing.assert_allclose(gradient, expected, rtol=1e-8)


@pytest.mark.parametrize("mode", MODES)
def test_a_system_by_state_and_parameters(mode):
    def f(x):
        return odeint(oscillator, x[:2], T, x[2:], rtol=1e-10, atol=1e-12)

    def reference(x):
        result = integrate.solve_ivp(
            lambda t, y: oscillator(y, t, x[2:]), (0.0, 2.0), x[:2], "DOP853", [0.0, 0.7, 2.0],
            rtol=1e-13, atol=1e-14,
        )  # fmt: skip
        return result.y.T[[0, 1, 1, 2]]

    x = np.append([1.0, 0.5], RATES)
    value, matrix = ad.value_and_jacobian(f, mode=mode)(x)
    assert matrix.shape == (4, 2, 4)
    np.testing.assert_allclose(value, reference(x), rtol=1e-9)
    h = 1e-4
    expected = [(reference(x + h * e) - reference(x - h * e)) / (2.0 * h) for e in np.eye(4)]
    np.testing.assert_allclose(np.moveaxis(matrix, 2, 0), expected, rtol=1e-6, atol=1e-8)
    np.testing.assert_array_equal(value[1], value[2])


@pytest.mark.slow
def test_second_order_and_states_of_two_dimensions():
    y0 = np.array([[0.2, 0.1], [0.0, 0.3]])

    def f(p):
        return np.sum(odeint(matrix_rate, y0, T, p, rtol=1e-11, atol=1e-12)[-1] ** 2)

    p = np.array([0.5, 0.9])
    gradients = [ad.grad(f, mode=mode) for mode in MODES]
    np.testing.assert_allclose(gradients[0](p), gradients[1](p), rtol=1e-12)
    h = 1e-5
    steps = h * np.eye(2)
    expected = [(f(p + e) - f(p - e)) / (2.0 * h) for e in steps]
    np.testing.assert_allclose(gradients[0](p), expected, rtol=1e-6)
    second = [(gradients[0](p + e) - gradients[0](p - e)) / (2.0 * h) for e in steps]
    for mode in MODES:
        np.testing.assert_allclose(ad.hessian(f, mode=mode)(p), second, rtol=1e-6)


def test_from_python_and_compiled_code():
    def plain(y0, rate):
        return odeint(decay, y0, T, rate)

    one, other = plain(1.5, 0.5), numba.njit(plain)(1.5, 0.5)
    np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(one, closed(1.5, 0.0, T, 0.5), rtol=1e-7)
    value, _ = ad.value_and_jacobian(plain)(1.5, 0.5)
    np.testing.assert_allclose(value, one, rtol=1e-14)
    backward = odeint(decay, one[-1], T[::-1].copy(), 0.5, rtol=1e-9)
    np.testing.assert_allclose(backward, closed(1.5, 0.0, T[::-1], 0.5), rtol=1e-6)

    @numba.njit
    def in_scipys_form(rate):
        return odeint(decay, 1.5, T, (rate,), rtol=1e-9, atol=1e-9)[-1]

    assert in_scipys_form(0.5) == pytest.approx(closed(1.5, 0.0, 2.0, 0.5), rel=1e-8)
    expected = -2.0 * closed(1.5, 0.0, 2.0, 0.5)
    assert ad.grad(in_scipys_form)(0.5) == pytest.approx(expected, rel=1e-7)
    by_scipy = integrate.odeint(decay, [1.5], T, (0.5,))
    np.testing.assert_array_equal(odeint(decay, [1.5], T, (0.5,)), by_scipy)


@pytest.mark.parametrize("tolerance", [1e-4, 1e-7, 1e-10])
def test_errors_and_their_derivatives_follow_the_tolerance(tolerance):
    def f(rate):
        return odeint(decay, 1.0, np.array([0.0, 3.0]), rate, rtol=tolerance, atol=tolerance)[1]

    value, slope = ad.value_and_grad(f)(0.7)
    assert abs(value - closed(1.0, 0.0, 3.0, 0.7)) < 10.0 * tolerance
    assert abs(slope + 4.5 * closed(1.0, 0.0, 3.0, 0.7)) < 100.0 * tolerance


def test_a_changed_parameter_outside_is_seen():
    scope = {"odeint": odeint, "T": T, "k": 0.5}
    exec(
        "def rhs(y, t, a):\n    return -k * a * y\ndef f(a):\n    return odeint(rhs, 1.0, T, a)[3]",
        scope,
    )
    gradient = ad.grad(scope["f"])
    for k in (0.5, 1.0, 0.25):
        scope["k"] = k
        assert gradient(1.0) == pytest.approx(-2.0 * k * np.exp(-2.0 * k), rel=1e-6)


def test_reverse_mode_records_one_step_at_a_time():
    def f(rate):
        return odeint(decay, 1.0, np.array([0.0, 40.0]), rate, rtol=1e-13, atol=1e-13)[1]

    def recorded(rate):  # fewer statements than the several hundred steps of f have
        y = 1.0
        for k in range(10_000):
            y = y - 1e-4 * rate * y * k
        return y

    before = ad.set_tape_limit(1)
    try:
        # What an earlier recording left in the tape counts; below its size the tape is made anew.
        with pytest.raises(ad.TapeMemoryError):
            ad.grad(recorded, mode="reverse")(0.01)
        ad.set_tape_limit(100_000)
        assert ad.grad(f, mode="reverse")(0.01) == pytest.approx(-800.0 * np.exp(-8.0), rel=1e-9)
        with pytest.raises(ad.TapeMemoryError):
            ad.grad(recorded, mode="reverse")(0.01)
    finally:
        ad.set_tape_limit(before)


@pytest.mark.parametrize("mode", MODES)
def test_many_times(mode):
    times = np.linspace(0.0, 3.0, 400)
    slope = ad.grad(lambda rate: np.sum(odeint(decay, 1.0, times, rate)), mode=mode)(0.7)
    expected = np.sum(-(times**2) / 2.0 * closed(1.0, 0.0, times, 0.7))
    assert slope == pytest.approx(expected, rel=1e-7)


def explodes(y, t, a):
    return a * y * y


def test_errors():
    with pytest.raises(ad.ConvergenceError, match="steps become too small"):
        odeint(explodes, 1.0, np.array([0.0, 2.0]), 1.0)
    with pytest.raises(ad.ArgumentError, match="array of times"):
        odeint(decay, 1.0, 2.0, 1.0)
    with pytest.raises(ad.ArgumentError, match="one by one"):
        odeint(decay, 1.0, T, 1.0, full_output=True)
    with pytest.raises(ad.ConvergenceError, match="steps become too small"):
        ad.grad(lambda a: odeint(explodes, 1.0, np.array([0.0, 2.0]), a)[1])(1.0)
