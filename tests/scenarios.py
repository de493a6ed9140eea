"""Functions with known derivatives: data for tests and benchmarks.

Every function is plain Python loops or NumPy code, without a decorator.  Beside it stand its
derivatives by hand, written in NumPy and never by differences.  The differentiated argument is the
first one; J[i, j] = dy_i/dx_j, outputs first, so

* `gradient` (scalar functions) has the structure of the first argument,
* `jacobian` (other functions) has shape ``f(x).shape + x.shape``,
* `hessian` has shape ``f(x).shape + x.shape + x.shape``; for tuples it is a tuple of tuples.

`assert_close` compares what a transform returned with them: values, shapes, structure and types;
`assert_plain` compares a value with the plain compiled function's.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any, NamedTuple

import numba
import numpy as np

SEED = 20240607
# Some dozens of roundings of 1e-16, against the largest entry (small ones come from cancellation).
RTOL_CLOSED_FORM = 1e-12


@dataclass(frozen=True)
class Scenario:
    """A function, a point, and what its derivatives are there."""

    name: str
    f: Callable[..., Any]
    args: tuple[Any, ...]
    value: Any
    gradient: Any = None
    jacobian: Any = None
    hessian: Any = None
    # Numba's dot and @ are BLAS calls, which add in another order than a loop does: the sum of the
    # absolute values of what is added.
    blas_terms: float = 0.0

    @property
    def is_scalar(self) -> bool:
        """Whether the function returns one number."""
        return self.jacobian is None

    @property
    def first(self) -> Any:
        """The first derivative: gradient or Jacobian."""
        return self.gradient if self.is_scalar else self.jacobian

    @property
    def inputs(self) -> int:
        """How many numbers are differentiated with respect to."""
        return count(self.args[0])

    def __repr__(self) -> str:
        return self.name


def count(x: Any) -> int:
    """Return how many numbers a structure holds."""
    return sum(map(count, x)) if isinstance(x, tuple) else int(np.size(x))


def assert_close(found: Any, expected: Any, rtol: float = RTOL_CLOSED_FORM) -> None:
    """Compare structure, types, shapes and values; `rtol` is relative to the largest entry."""
    if isinstance(expected, tuple):
        assert type(found) is type(expected)
        assert len(found) == len(expected)
        for part, expected_part in zip(found, expected, strict=True):
            assert_close(part, expected_part, rtol)
        return
    if np.ndim(expected) == 0:
        assert type(found) is float
    else:
        assert type(found) is np.ndarray
        assert found.dtype == np.float64
        assert found.shape == np.shape(expected)
    largest = float(np.max(np.abs(expected), initial=0.0))
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=rtol * largest)


_compiled: dict[Any, Any] = {}


def njit_of(f: Callable[..., Any]) -> Any:
    """Return the one compiled form of a function, whose plain helpers are compiled with it."""
    if not isinstance(f, FunctionType):
        return f
    if f not in _compiled:
        scope = dict(f.__globals__)
        copy = FunctionType(f.__code__, scope, f.__name__, f.__defaults__, f.__closure__)
        copy.__kwdefaults__ = f.__kwdefaults__
        _compiled[f] = numba.njit(copy)
        for name in f.__code__.co_names:
            helper = scope.get(name)
            if isinstance(helper, FunctionType) and helper.__module__ == f.__module__:
                scope[name] = njit_of(helper)
    return _compiled[f]


def assert_plain(found: Any, f: Callable[..., Any], *args: Any, terms: float = 0.0) -> None:
    """Compare a value with that of the plain njit function, bit for bit.

    `terms` is the sum of the absolute values of what is added in another order (by BLAS): then the
    two may differ by 8 roundings of it.
    """
    expected = njit_of(f)(*[np.copy(arg) if isinstance(arg, np.ndarray) else arg for arg in args])
    if terms:
        allowed = 8.0 * np.finfo(float).eps * terms
        np.testing.assert_allclose(found, expected, rtol=0.0, atol=allowed)
        return
    assert _bytes_of(found) == _bytes_of(expected), f"{found!r}, the plain function: {expected!r}"


def _bytes_of(value: Any) -> bytes:
    """Return the bits of the numbers of a structure, one after the other."""
    if isinstance(value, tuple | list):
        return b"".join(map(_bytes_of, value))
    return np.asarray(value, dtype=float).tobytes()


# Rosenbrock's valley, chained: polynomial of degree 4, tridiagonal Hessian.


def rosenbrock(x):
    s = 0.0
    for i in range(x.size - 1):
        s += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return s


def rosenbrock_arrays(x):
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def rosenbrock_value(x):
    a, b = x[:-1], x[1:]
    return float(np.sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2))


def rosenbrock_gradient(x):
    a, b = x[:-1], x[1:]
    g = np.zeros_like(x)
    g[:-1] = -400.0 * a * (b - a * a) - 2.0 * (1.0 - a)
    g[1:] += 200.0 * (b - a * a)
    return g


def rosenbrock_hessian(x):
    a, b = x[:-1], x[1:]
    diagonal = np.zeros_like(x)
    diagonal[:-1] = 1200.0 * a * a - 400.0 * b + 2.0
    diagonal[1:] += 200.0
    return np.diag(diagonal) + np.diag(-400.0 * a, 1) + np.diag(-400.0 * a, -1)


def _rosenbrock(n, f=rosenbrock):
    x = np.linspace(-1.2, 1.3, n)
    return Scenario(
        name=f"{f.__name__}-{n}",
        f=f,
        args=(x,),
        value=rosenbrock_value(x),
        gradient=rosenbrock_gradient(x),
        hessian=rosenbrock_hessian(x),
    )


# y'Ay with A not symmetric: gradient (A + A')y.


def quadratic_form(y, a):
    return y @ (a @ y)


def quadratic_form_loop(y, a):
    s = 0.0
    for i in range(y.size):
        for j in range(y.size):
            s += y[i] * a[i, j] * y[j]
    return s


def _quadratic(f, *, by_blas):
    rng = np.random.default_rng(SEED)
    a, y = rng.normal(size=(5, 5)), rng.normal(size=5)
    return Scenario(
        name=f.__name__,
        f=f,
        args=(y, a),
        value=float(y @ a @ y),
        gradient=(a + a.T) @ y,
        hessian=a + a.T,
        blas_terms=float(np.abs(y) @ np.abs(a) @ np.abs(y)) if by_blas else 0.0,
    )


# Lennard-Jones: e(u) = 4 (u^-6 - u^-3) of the squared distance u of every pair.


def lennard_jones(x):
    energy = 0.0
    for i in range(x.shape[0]):
        for j in range(i):
            u = 0.0
            for k in range(x.shape[1]):
                u += (x[i, k] - x[j, k]) ** 2
            s = 1.0 / (u * u * u)
            energy += 4.0 * (s * s - s)
    return energy


def lennard_jones_derivatives(x):
    """Return value, gradient and Hessian: de = 2 e' d.dx, d2e = 4 e'' d d' + 2 e' I."""
    n, dim = x.shape
    value, gradient = 0.0, np.zeros((n, dim))
    hessian = np.zeros((n, dim, n, dim))
    for i in range(n):
        for j in range(i):
            d = x[i] - x[j]
            u = float(d @ d)
            value += 4.0 * (u**-6 - u**-3)
            e1 = 4.0 * (-6.0 * u**-7 + 3.0 * u**-4)
            e11 = 4.0 * (42.0 * u**-8 - 12.0 * u**-5)
            gradient[i] += 2.0 * e1 * d
            gradient[j] -= 2.0 * e1 * d
            block = 4.0 * e11 * np.outer(d, d) + 2.0 * e1 * np.eye(dim)
            hessian[i, :, i] += block
            hessian[j, :, j] += block
            hessian[i, :, j] -= block
            hessian[j, :, i] -= block
    return value, gradient, hessian


def _lennard_jones():
    x = np.array([[0.0, 0.1, -0.1], [1.1, 0.0, 0.2], [0.4, 1.0, 0.0], [0.5, 0.3, 1.2]])
    value, gradient, hessian = lennard_jones_derivatives(x)
    return Scenario("lennard_jones-4", lennard_jones, (x,), value, gradient, hessian=hessian)


# Lotka-Volterra by Runge-Kutta 4: p = (alpha, beta, gamma, delta, prey, predators).


def lotka_volterra(p, steps, dt):
    a, b, c, d, u, v = p[0], p[1], p[2], p[3], p[4], p[5]
    loss = 0.0
    for _ in range(steps):
        k1, l1 = a * u - b * u * v, d * u * v - c * v
        p2, q2 = u + 0.5 * dt * k1, v + 0.5 * dt * l1
        k2, l2 = a * p2 - b * p2 * q2, d * p2 * q2 - c * q2
        p3, q3 = u + 0.5 * dt * k2, v + 0.5 * dt * l2
        k3, l3 = a * p3 - b * p3 * q3, d * p3 * q3 - c * q3
        p4, q4 = u + dt * k3, v + dt * l3
        k4, l4 = a * p4 - b * p4 * q4, d * p4 * q4 - c * q4
        u = u + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        v = v + dt / 6.0 * (l1 + 2.0 * l2 + 2.0 * l3 + l4)
        loss += (u - 1.0) ** 2 + v * v
    return loss


def lotka_volterra_tangent(p, p_dot, steps, dt):
    """Return the tangent of `lotka_volterra` by hand: each line linearised, line by line."""

    def rate(u, v, u_dot, v_dot):
        a, b, c, d = p[:4]
        a_dot, b_dot, c_dot, d_dot = p_dot[:4]
        k, l = a * u - b * u * v, d * u * v - c * v
        k_dot = a_dot * u + a * u_dot - b_dot * u * v - b * (u_dot * v + u * v_dot)
        l_dot = d_dot * u * v + d * (u_dot * v + u * v_dot) - c_dot * v - c * v_dot
        return np.array([k, l, k_dot, l_dot])

    state = np.array([p[4], p[5], p_dot[4], p_dot[5]])
    loss_dot = 0.0
    for _ in range(steps):
        k1 = rate(*state)
        k2 = rate(*(state + 0.5 * dt * k1))
        k3 = rate(*(state + 0.5 * dt * k2))
        k4 = rate(*(state + dt * k3))
        state = state + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
        u, v, u_dot, v_dot = state
        loss_dot = loss_dot + 2.0 * (u - 1.0) * u_dot + 2.0 * v * v_dot
    return loss_dot


def _lotka_volterra():
    """First derivatives by complex step; second ones by complex step through the tangent."""
    p = np.array([1.1, 0.4, 0.5, 0.2, 2.0, 1.0])
    steps, dt, h = 12, 0.1, 1e-30
    unit = np.eye(p.size)
    gradient = [lotka_volterra(p + 1j * h * e, steps, dt).imag / h for e in unit]
    hessian = [
        [lotka_volterra_tangent(p + 1j * h * d, e, steps, dt).imag / h for d in unit] for e in unit
    ]
    return Scenario(
        name="lotka_volterra",
        f=lotka_volterra,
        args=(p, steps, dt),
        value=float(lotka_volterra(p, steps, dt)),
        gradient=np.array(gradient),
        hessian=np.array(hessian),
    )


# Logistic loss with a ridge: gradient -X'(y s(-m))/m + lambda w, Hessian X' diag(s s) X / m + ...


def logistic_loss(w, features, labels, ridge=0.5):
    loss = 0.0
    for i in range(features.shape[0]):
        margin = 0.0
        for j in range(w.size):
            margin += features[i, j] * w[j]
        loss += np.log1p(np.exp(-labels[i] * margin))
    penalty = 0.0
    for j in range(w.size):
        penalty += w[j] * w[j]
    return loss / features.shape[0] + 0.5 * ridge * penalty


def _logistic_loss():
    rng = np.random.default_rng(SEED + 1)
    features, w = rng.normal(size=(12, 4)), rng.normal(size=4)
    labels, ridge = np.where(rng.uniform(size=12) < 0.5, -1.0, 1.0), 0.25
    margin = labels * (features @ w)
    s = 1.0 / (1.0 + np.exp(margin))  # the logistic function of -margin
    weights = s * (1.0 - s) / margin.size
    return Scenario(
        name="logistic_loss",
        f=logistic_loss,
        args=(w, features, labels, ridge),
        value=float(np.mean(np.log1p(np.exp(-margin))) + 0.5 * ridge * w @ w),
        gradient=-features.T @ (labels * s) / margin.size + ridge * w,
        hessian=features.T @ (weights[:, None] * features) + ridge * np.eye(w.size),
    )


# log-sum-exp: gradient p = softmax(x), Hessian diag(p) - pp'.


def log_sum_exp(x):
    m = np.max(x)
    return m + np.log(np.sum(np.exp(x - m)))


def _log_sum_exp():
    x = np.array([0.3, -1.0, 2.5, 2.4, 0.0, -7.0, 1.0])
    total = float(np.sum(np.exp(x)))
    p = np.exp(x) / total
    return Scenario(
        "log_sum_exp", log_sum_exp, (x,), math.log(total), p, hessian=np.diag(p) - np.outer(p, p)
    )


# Kepler's equation E - e sin E = M, solved to convergence.  By the implicit function theorem
# E_M = 1/d, E_e = sin E/d with d = 1 - e cos E.


def kepler(x):
    mean, eccentricity = x[0], x[1]
    e = mean + eccentricity * np.sin(mean)
    step = 1.0
    while abs(step) > 1e-13:
        step = (e - eccentricity * np.sin(e) - mean) / (1.0 - eccentricity * np.cos(e))
        e = e - step
    return e


def _kepler():
    anomaly, eccentricity = 1.9, 0.6
    mean = anomaly - eccentricity * math.sin(anomaly)
    s, c = math.sin(anomaly), math.cos(anomaly)
    d = 1.0 - eccentricity * c
    em, ee = 1.0 / d, s / d
    # d depends on M through E, and on e itself: d_M = e s E_M, d_e = e s E_e - c.
    dm, de = eccentricity * s * em, eccentricity * s * ee - c
    mixed = -de / d**2
    hessian = [[-dm / d**2, mixed], [mixed, c * ee / d - s * de / d**2]]
    return Scenario(
        name="kepler",
        f=kepler,
        args=(np.array([mean, eccentricity]),),
        value=anomaly,
        gradient=np.array([em, ee]),
        hessian=np.array(hessian),
    )


# An in-place smoother: u = S x is linear, f = |u|^2 / 2 has gradient S'Sx and Hessian S'S.


def smoother(x, sweeps):
    u = x.copy()
    inner = u[1:-1]
    odd = inner[::2]
    for _ in range(sweeps):
        left = u[0]
        for i in range(1, u.size - 1):
            here = u[i]
            u[i] = 0.25 * left + 0.5 * here + 0.25 * u[i + 1]
            left = here
        inner *= 0.875
        odd[:] = 2.0 * odd - 0.125 * u[-1]
    s = 0.0
    for i in range(u.size):
        s += u[i] * u[i]
    return 0.5 * s


def smoother_matrix(n, sweeps):
    """Return S: three-point mean, damping of the inner points, change of every second of them."""
    mean = np.eye(n)
    for i in range(1, n - 1):
        mean[i, i - 1 : i + 2] = 0.25, 0.5, 0.25
    damp, last = np.eye(n), np.eye(n)
    damp[1:-1] *= 0.875
    for i in range(1, n - 1, 2):
        last[i, i] = 2.0
        last[i, -1] -= 0.125
    return np.linalg.matrix_power(last @ damp @ mean, sweeps)


def _smoother():
    x = np.array([1.0, -0.5, 2.0, 0.25, 0.0, 3.0, -1.5])
    s = smoother_matrix(x.size, 3)
    u = s @ x
    return Scenario("smoother", smoother, (x, 3), float(0.5 * u @ u), s.T @ u, hessian=s.T @ s)


# Cumulative products, one input zero: every derivative is a product of what is left.


def cumulative_products(x):
    out = np.empty(x.size)
    p = 1.0
    for i in range(x.size):
        p *= x[i]
        out[i] = p
    return out


def sum_of_cumulative_products(x):
    p, s = 1.0, 0.0
    for i in range(x.size):
        p *= x[i]
        s += p
    return s


def products_without(x, *left_out):
    """Return the products of the first 1, 2, ... entries, some replaced by their derivative."""
    factors = x.copy()
    factors[list(left_out)] = 1.0
    products = np.cumprod(factors)
    products[: max(left_out, default=0)] = 0.0
    return products


def _cumulative_products():
    x = np.array([1.5, -2.0, 0.0, 0.7, 3.0])
    n = x.size
    jacobian = np.stack([products_without(x, j) for j in range(n)], axis=-1)
    hessian = np.zeros((n, n, n))
    for j in range(n):
        for k in range(n):
            if j != k:
                hessian[:, j, k] = products_without(x, j, k)
    value = products_without(x)
    return [
        Scenario(
            "cumulative_products",
            cumulative_products,
            (x,),
            value,
            jacobian=jacobian,
            hessian=hessian,
        ),
        Scenario(
            "sum_of_cumulative_products",
            sum_of_cumulative_products,
            (x,),
            float(value.sum()),
            jacobian.sum(0),
            hessian=hessian.sum(0),
        ),
    ]


# A matrix argument: sum of exp(c x) + (sum of x)^2 / 2, full Hessian.


def of_matrix(x, c):
    s, total = 0.0, 0.0
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            s += np.exp(c[i, j] * x[i, j])
            total += x[i, j]
    return s + 0.5 * total * total


def _of_matrix():
    x = np.array([[0.1, -0.4, 0.3], [1.0, 0.0, -0.2]])
    c = np.array([[1.0, -2.0, 0.5], [0.25, 1.5, 1.0]])
    value = float(np.sum(np.exp(c * x)) + 0.5 * x.sum() ** 2)
    gradient = c * np.exp(c * x) + x.sum()
    hessian = np.diag((c * c * np.exp(c * x)).ravel()) + 1.0
    return Scenario(
        "of_matrix", of_matrix, (x, c), value, gradient, hessian=hessian.reshape(2, 3, 2, 3)
    )


# One scalar.


def of_scalar(x):
    return x * math.sin(x) + math.exp(-0.5 * x * x)


def _of_scalar():
    x = 0.7
    s, c, g = math.sin(x), math.cos(x), math.exp(-0.5 * x * x)
    gradient, hessian = s + x * c - x * g, 2.0 * c - x * s + (x * x - 1.0) * g
    return Scenario("of_scalar", of_scalar, (x,), x * s + g, gradient, hessian=hessian)


# A tiny network: f = bias + sum over k of out_k tanh(z_k), z = weights @ x + shift.


class Network(NamedTuple):
    """Parameters of one hidden layer."""

    weights: Any
    shift: Any
    out: Any
    bias: Any


def network(p, x):
    weights, shift, out, bias = p
    y = bias
    for k in range(shift.size):
        z = shift[k]
        for j in range(x.size):
            z += weights[k, j] * x[j]
        y += out[k] * np.tanh(z)
    return y


def network_by_names(p, x):
    y = p.bias
    for k in range(p.shift.size):
        y += p.out[k] * np.tanh(np.sum(p.weights[k] * x) + p.shift[k])
    return y


def _networks():
    rng = np.random.default_rng(SEED + 2)
    p = Network(rng.normal(size=(3, 2)), rng.normal(size=3), rng.normal(size=3), 0.3)
    x = np.array([0.5, -1.0])
    t = np.tanh(p.weights @ x + p.shift)
    t1 = 1.0 / np.cosh(p.weights @ x + p.shift) ** 2
    t11 = -2.0 * t * t1
    gradient = Network(np.outer(p.out * t1, x), p.out * t1, t, 1.0)
    eye = np.eye(3)
    # dz_k/dweights_kj = x_j, dz_k/dshift_k = 1: every block is a product of these.
    ww = np.einsum("k,kl,i,j->kilj", p.out * t11, eye, x, x)
    ws = np.einsum("k,kl,i->kil", p.out * t11, eye, x)
    wo = np.einsum("k,kl,i->kil", t1, eye, x)
    so = np.diag(t1)
    zero = np.zeros(3)
    hessian = (
        (ww, ws, wo, np.zeros((3, 2))),
        (np.moveaxis(ws, 2, 0), np.diag(p.out * t11), so, zero),
        (np.moveaxis(wo, 2, 0), so, np.zeros((3, 3)), zero),
        (np.zeros((3, 2)), zero, zero, 0.0),
    )
    value = float(p.out @ t + p.bias)
    named = Network(*(Network(*row) for row in hessian))
    return [
        Scenario("network-tuple", network, (tuple(p), x), value, tuple(gradient), hessian=hessian),
        Scenario("network-namedtuple", network_by_names, (p, x), value, gradient, hessian=named),
    ]


# Extra arguments of several kinds: an integer, a tuple, an array of integers, a default.


def polynomial(x, degree, scales, which, offset=2.0):
    s = offset
    for i in range(which.size):
        s += scales[0] * x[which[i]] ** degree
    return s * scales[1]


def _polynomial():
    x, which = np.array([1.5, -0.5, 2.0]), np.array([2, 0, 0])
    degree, scales = 4, (0.5, 3.0)
    counts = np.array([2.0, 0.0, 1.0])
    value = scales[1] * (2.0 + scales[0] * np.sum(counts * x**degree))
    factor = scales[0] * scales[1] * counts
    return Scenario(
        name="polynomial-extra-arguments",
        f=polynomial,
        args=(x, degree, scales, which),
        value=float(value),
        gradient=factor * 4.0 * x**3,
        hessian=np.diag(factor * 12.0 * x**2),
    )


# Results that are matrices, tuples and lists.


def matrix_valued(x):
    out = np.zeros((x.size, 2))
    for i in range(x.size):
        out[i, 0] = x[i] * x[0]
        out[i, 1] = np.sin(x[i])
    return out


def _matrix_valued():
    x = np.array([0.5, -1.0, 2.0])
    n = x.size
    jacobian, hessian = np.zeros((n, 2, n)), np.zeros((n, 2, n, n))
    for i in range(n):
        jacobian[i, 0, i] += x[0]
        jacobian[i, 0, 0] += x[i]
        jacobian[i, 1, i] = np.cos(x[i])
        hessian[i, 0, i, 0] += 1.0
        hessian[i, 0, 0, i] += 1.0
        hessian[i, 1, i, i] = -np.sin(x[i])
    value = np.stack([x * x[0], np.sin(x)], axis=-1)
    return Scenario("matrix_valued", matrix_valued, (x,), value, jacobian=jacobian, hessian=hessian)


def polar_tuple(x):
    return x[0] * np.cos(x[1]), x[0] * np.sin(x[1])


def polar_list(x):
    out = [x[0] * np.cos(x[1])]
    out.append(x[0] * np.sin(x[1]))
    return out


def polar_array(x):
    return np.array([x[0] * np.cos(x[1]), x[0] * np.sin(x[1])])


def _polar(f):
    r, phi = 2.0, 0.8
    c, s = math.cos(phi), math.sin(phi)
    return Scenario(
        name=f.__name__,
        f=f,
        args=(np.array([r, phi]),),
        value=np.array([r * c, r * s]),
        jacobian=np.array([[c, -r * s], [s, r * c]]),
        hessian=np.array([[[0.0, -s], [-s, -r * c]], [[0.0, c], [c, -r * s]]]),
    )


def curve(t):
    return np.array([np.cos(t), np.sin(2.0 * t), t])


def _curve():
    t = 0.4
    return Scenario(
        name="curve-of-a-scalar",
        f=curve,
        args=(t,),
        value=np.array([math.cos(t), math.sin(2.0 * t), t]),
        jacobian=np.array([-math.sin(t), 2.0 * math.cos(2.0 * t), 1.0]),
        hessian=np.array([-math.cos(t), -4.0 * math.sin(2.0 * t), 0.0]),
    )


# Nothing, and one.


def sum_of_cubes(x):
    s = 1.0
    for i in range(x.size):
        s += x[i] ** 3
    return s


def cubes(x):
    return x**3


def _small():
    empty, one = np.zeros(0), np.array([2.0])
    return [
        Scenario("size-0", sum_of_cubes, (empty,), 1.0, empty, hessian=np.zeros((0, 0))),
        Scenario("size-1", sum_of_cubes, (one,), 9.0, np.array([12.0]), hessian=np.array([[12.0]])),
        Scenario(
            name="size-0-array",
            f=cubes,
            args=(empty,),
            value=empty,
            jacobian=np.zeros((0, 0)),
            hessian=np.zeros((0, 0, 0)),
        ),
        Scenario(
            name="size-1-array",
            f=cubes,
            args=(one,),
            value=np.array([8.0]),
            jacobian=np.array([[12.0]]),
            hessian=np.array([[[12.0]]]),
        ),
    ]


def asserting(x):
    """Fail for negative input.  It stands here because pytest rewrites the asserts of tests."""
    assert x[0] >= 0.0, "must not be negative"
    return x[0] ** 2


SCENARIOS = {
    scenario.name: scenario
    for scenario in [
        _rosenbrock(2),
        _rosenbrock(3),
        _rosenbrock(10),
        _rosenbrock(37),
        _rosenbrock(10, rosenbrock_arrays),
        _quadratic(quadratic_form, by_blas=True),
        _quadratic(quadratic_form_loop, by_blas=False),
        _lennard_jones(),
        _lotka_volterra(),
        _logistic_loss(),
        _log_sum_exp(),
        _kepler(),
        _smoother(),
        *_cumulative_products(),
        _of_matrix(),
        _of_scalar(),
        *_networks(),
        _polynomial(),
        _matrix_valued(),
        _polar(polar_tuple),
        _polar(polar_list),
        _polar(polar_array),
        _curve(),
        *_small(),
    ]
}
