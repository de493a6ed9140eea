"""Objects of a user's jitclass that hold active numbers, compared with the plain function."""

import numba
import numpy as np
import pytest
from numba.experimental import jitclass

import dualtape as ad

X = np.array([0.3, 0.7])
WEIGHTS = np.array([1.0, 2.0, 3.0])
SPEC = [
    ("rate", numba.float64),
    ("values", numba.float64[:]),
    ("count", numba.int64),
    ("history", numba.float64[::1]),
    ("small", numba.float32),
    ("pair", numba.types.UniTuple(numba.float64, 2)),
]


@jitclass(SPEC)
class Model:
    def __init__(self, rate, values, count):
        self.rate = rate
        self.values = values
        self.count = count
        self.history = np.zeros(count)
        self.small = 0.5
        self.pair = (rate, 2.0)

    @property
    def double(self):
        return 2.0 * self.rate

    @double.setter
    def double(self, value):
        self.rate = value / 2.0

    def energy(self):
        return self.rate * np.sum(self.values**2)

    def scale(self, factor):
        self.rate = self.rate * factor

    def push(self, i, value):
        self.history[i] = value
        self.count += 1

    @staticmethod
    def square(x):
        return x * x


@jitclass([("total", numba.float64), ("count", numba.int64)])
class Mean:
    def __init__(self):
        self.total = 0.0
        self.count = 0

    def add(self, x):
        self.total += x
        self.count += 1

    def mean(self):
        return self.total / self.count


@numba.njit
def helper(model):
    return model.energy() * model.square(model.rate)


def methods_and_fields(x):
    model = Model(x[0], x, 3)
    model.scale(x[1])
    model.rate += x[1]
    model.push(1, x[0] * x[1])
    model.push(2, 3.0)
    model.double = model.double * x[0]
    s = np.sum(model.history) * model.square(x[1]) + model.pair[0] * model.pair[1]
    return model.energy() + model.double * model.count + s * model.small


def made_of_constants(x):
    mean = Mean()
    for v in x:
        mean.add(v * v)
    return mean.mean()


def passed_on(x):
    model = Model(2.0, WEIGHTS, 4)
    model.rate = x[0] * x[1]
    return helper(model)


def in_a_list(x):
    models = [Model(x[i], x, 3) for i in range(2)]
    s = 0.0
    for model in models:
        s += model.energy() * model.rate
    return s


def shares_an_array(x):
    y = 2.0 * x
    model = Model(x[0], y, 3)
    model.values[0] = x[1] * x[1]
    y[1] *= x[0]
    return np.sum(y**2) + model.energy()


def another_name(x):
    model = Model(x[0], x, 3)
    other = model if x[0] > 0.0 else Model(x[1], x, 1)
    other.rate *= x[1]
    return model.rate * other.double


def second_class(x):
    mean = Mean()
    model = Model(x[0] * x[1], x * x, 2)
    for k in range(3):
        model.push(k % 2, model.history[0] + x[0])
        mean.add(model.history[k % 2])
    return mean.mean() * model.rate


FUNCTIONS = (
    methods_and_fields,
    made_of_constants,
    passed_on,
    in_a_list,
    shares_an_array,
    another_name,
    second_class,
)


def differences(f, x):
    """Return central differences, extrapolated: right to about 1e-10."""

    def central(h):
        return np.array([(f(x + h * e) - f(x - h * e)) / (2.0 * h) for e in np.eye(x.size)])

    return (4.0 * central(1e-4) - central(2e-4)) / 3.0


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("f", FUNCTIONS)
def test_derivatives(f, mode):
    plain = numba.njit(f)
    value, gradient = ad.value_and_grad(f, mode=mode)(X)
    assert value == plain(X)
    np.testing.assert_allclose(gradient, differences(plain, X), rtol=1e-9, atol=1e-10)


@pytest.mark.slow
@pytest.mark.parametrize("f", FUNCTIONS)
def test_second_derivatives(f):
    gradient = ad.grad(f)
    expected = np.array([differences(lambda x, i=i: gradient(x)[i], X) for i in range(2)])
    for mode in ("forward", "reverse"):
        np.testing.assert_allclose(ad.hessian(f, mode=mode)(X), expected, rtol=1e-8, atol=1e-9)


def test_a_plain_array_that_gets_active_numbers():
    def f(x, w):
        model = Model(x[0], w, 1)
        model.values[0] = x[1]
        return model.energy() + w[0] * w[1]  # the same array

    plain = numba.njit(f)
    expected = differences(lambda x: plain(x, WEIGHTS.copy()), X)
    for mode in ("forward", "reverse"):
        gradient = ad.grad(f, mode=mode)(X, WEIGHTS.copy())
        np.testing.assert_allclose(gradient, expected, rtol=1e-9)


def test_a_local_plain_array_that_gets_active_numbers():
    def f(x):
        w = np.ones(3)
        model = Model(x[0], w, 1)
        model.values[0] = x[1]
        return model.energy() + w[0] * w[1]

    for mode in ("forward", "reverse"):
        gradient = ad.grad(f, mode=mode)(X)
        np.testing.assert_allclose(gradient, differences(numba.njit(f), X), rtol=1e-9)


def test_an_object_that_is_an_argument_is_a_constant():
    def f(x, mean):
        return mean.mean() * x[0]

    mean = Mean()
    mean.add(3.0)
    for mode in ("forward", "reverse"):
        assert ad.grad(f, mode=mode)(X, mean).tolist() == [3.0, 0.0]
