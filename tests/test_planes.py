"""Arrays of reverse mode as planes: where they are made, viewed, converted and not made.

With DUALTAPE_PLANES=0 none are made; the functions are right with and without.
The reference is forward mode, whose arrays hold numbers, and the value of the plain function.
"""

import os
import subprocess
import sys

import numba
import numpy as np
import pytest

import dualtape as ad
from dualtape.numbers.plane_arrays import IN_USE
from dualtape.numbers.types import PlanesType
from dualtape.twin.activation import twin

X = np.linspace(0.5, 1.5, 12)
RTOL = 1e-13
FUNCTIONS = {}


def function(f):
    FUNCTIONS[f.__name__] = f
    return f


@numba.njit
def matrices(x):
    return x[:6].reshape(2, 3), x[6:9], x[9]


@function
def tuple_of_views(x):
    a, b, c = matrices(x)
    return np.sum(np.tanh(a @ b + c) ** 2) + np.mean(np.exp(a.T)) + c * np.sum(a, axis=1)[0]


@function
def steps_and_transposes(x):
    m = x.reshape(3, 4)
    return np.sum(m[::2, 1:].T * m[:2, :3].T[::-1][:, :2]) + np.sum(m[:, ::-1] ** 3)


@function
def broadcast(x):
    m = x.reshape(3, 4)
    return np.sum(np.exp(m - m[:, :1]) * x[:4]) + np.sum(np.sum(m * m, axis=0) * x[4:8])


@function
def written_after_it_was_made(x):
    y = x * 2.0
    y[1] = x[0] ** 2
    z = np.zeros_like(x)
    for i in range(x.shape[0]):
        z[i] = y[i] * x[i]
    return np.sum(z * y)


@function
def written_through_a_view(x):
    y = np.sin(x)
    y[2:5][1] = x[0]
    return np.sum(y * y)


@numba.njit
def set_first(a, v):
    a[0] = v


@function
def written_by_a_callee(x):
    y = x + 1.0
    set_first(y, x[3] * x[4])
    return np.dot(y, x)


@function
def carried_by_a_loop(x):
    u, v = x, np.ones(x.size)
    for _ in range(3):
        u = u + 0.1 * np.sin(u)
        v = v * u
    return np.sum(v) + u.max()


@function
def of_one_branch(x):
    y = x[:5] * 2.0 if x[0] < 1.0 else np.ones(5)
    return np.sum(y * x[5:10]) + len(y) * x[-1]


@function
def in_containers(x):
    a, b = x[:5] * 2.0, x[5:]
    kept = [a, b]
    kept[0][0] = x[11]
    return np.sum(np.concatenate((a, b))) + kept[1][0] * np.cumsum(x)[-1] + np.median(a)


@function
def elements_in_a_loop(x):
    s = 0.0
    for v in x:
        s += v * v
    for i in range(len(x)):
        s += x[i] * x[i - 1]
    return s * x.size


@function
def long_lines(x):
    y = np.outer(x, np.linspace(0.1, 1.0, 700))
    return np.sum(y * y[::-1])


def squares(y):
    return np.sum(y**2)


@function
def nested(x):
    return np.sum(ad.grad(squares)(x) * x) + squares(x[::2])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_are_those_of_forward_mode(name):
    f = FUNCTIONS[name]
    value, found = ad.value_and_grad(f, mode="reverse")(X)
    np.testing.assert_allclose(value, numba.njit(f)(X) if name != "nested" else f(X), rtol=RTOL)
    expected = ad.grad(f, mode="forward")(X)
    np.testing.assert_allclose(found, expected, rtol=RTOL, atol=RTOL * np.abs(expected).max())


@pytest.mark.parametrize("x", [X[::-1], np.arange(1, 13), X.astype(np.float32), X.reshape(4, 3).T])
def test_arguments_that_cannot_be_used_where_they_lie(x):
    def f(x):
        return np.sum(x * x) + x.ravel()[2] ** 3

    expected = 2.0 * x.astype(float)
    expected.flat[2] += 3.0 * float(x.flat[2]) ** 2
    np.testing.assert_allclose(ad.grad(f, mode="reverse")(x), expected, rtol=1e-6)


def test_a_pullback_does_not_follow_its_argument():
    x = X.copy()
    matrix = np.arange(24.0).reshape(2, 12)
    value, pullback = ad.vjp(lambda x: (matrix @ x) * (matrix @ x), x)
    x[:] = 0.0
    np.testing.assert_allclose(pullback(np.ones(2))[0], 2.0 * (matrix @ X) @ matrix, rtol=RTOL)
    np.testing.assert_allclose(value, (matrix @ X) ** 2, rtol=RTOL)


def test_planes_are_passed_where_nobody_writes():
    def reads(x):
        return np.sum(x * x)

    def writes(x):
        x[0] = 1.0
        return np.sum(x * x)

    for f, is_made in ((reads, True), (writes, False)):
        ad.grad(f, mode="reverse")(X)
        signatures = twin(f).overloads
        assert any(isinstance(ty, PlanesType) for sig in signatures for ty in sig) == (
            is_made and IN_USE
        )


@pytest.mark.slow
@pytest.mark.skipif(not IN_USE, reason="this is the run without planes")
def test_all_of_these_without_planes():
    files = [__file__, __file__.replace("planes", "lines")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-m", "not slow", *files],
        env=os.environ | {"DUALTAPE_PLANES": "0", "PYTEST_ADDOPTS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
