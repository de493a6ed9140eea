"""Functions that are differentiated in the benchmarks, with derivatives written by hand."""

import numpy as np
from numba import njit


@njit
def rosenbrock(x):
    """Chained Rosenbrock function."""
    s = 0.0
    for i in range(x.size - 1):
        s += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return s


@njit
def rosenbrock_gradient(x):
    """Gradient of `rosenbrock`, by hand."""
    g = np.zeros_like(x)
    for i in range(x.size - 1):
        t = x[i + 1] - x[i] ** 2
        g[i] += -400.0 * t * x[i] - 2.0 * (1.0 - x[i])
        g[i + 1] += 200.0 * t
    return g


@njit
def rosenbrock_hessian(x):
    """Hessian of `rosenbrock`, by hand."""
    n = x.size
    h = np.zeros((n, n))
    for i in range(n - 1):
        h[i, i] += 1200.0 * x[i] ** 2 - 400.0 * x[i + 1] + 2.0
        h[i, i + 1] -= 400.0 * x[i]
        h[i + 1, i] -= 400.0 * x[i]
        h[i + 1, i + 1] += 200.0
    return h


@njit
def lotka_volterra(p):
    """Squared miss after 1000 classical Runge-Kutta steps; rates and initial state are inputs."""
    a, b, c, d, x, y = p[0], p[1], p[2], p[3], p[4], p[5]
    h = 0.01
    for _ in range(1000):
        k1x = a * x - b * x * y
        k1y = d * x * y - c * y
        x2 = x + 0.5 * h * k1x
        y2 = y + 0.5 * h * k1y
        k2x = a * x2 - b * x2 * y2
        k2y = d * x2 * y2 - c * y2
        x3 = x + 0.5 * h * k2x
        y3 = y + 0.5 * h * k2y
        k3x = a * x3 - b * x3 * y3
        k3y = d * x3 * y3 - c * y3
        x4 = x + h * k3x
        y4 = y + h * k3y
        k4x = a * x4 - b * x4 * y4
        k4y = d * x4 * y4 - c * y4
        x = x + h * (k1x + 2.0 * k2x + 2.0 * k3x + k4x) * (1.0 / 6.0)
        y = y + h * (k1y + 2.0 * k2y + 2.0 * k3y + k4y) * (1.0 / 6.0)
    return (x - 1.0) * (x - 1.0) + (y - 2.0) * (y - 2.0)


LOTKA_VOLTERRA_INPUTS = np.array([1.1, 0.4, 0.4, 0.1, 10.0, 5.0])


@njit
def nothing(x):
    """Return an array: what the call itself costs."""
    return np.zeros_like(x)


def point(n):
    """Return n inputs between 0.5 and 1.5."""
    return np.linspace(0.5, 1.5, n)


@njit
def lennard_jones(p):
    """Energy of bodies at (p[0], p[1], p[2]), (p[3], p[4], p[5]), ..."""
    energy = 0.0
    for i in range(len(p) // 3):
        for j in range(i):
            dx = p[3 * i] - p[3 * j]
            dy = p[3 * i + 1] - p[3 * j + 1]
            dz = p[3 * i + 2] - p[3 * j + 2]
            s = 1.0 / (dx * dx + dy * dy + dz * dz)
            s6 = s * s * s
            energy += 4.0 * (s6 * s6 - s6)
    return energy


@njit
def lennard_jones_gradient(p):
    """Gradient of `lennard_jones`, by hand."""
    g = np.zeros_like(p)
    for i in range(len(p) // 3):
        for j in range(i):
            dx = p[3 * i] - p[3 * j]
            dy = p[3 * i + 1] - p[3 * j + 1]
            dz = p[3 * i + 2] - p[3 * j + 2]
            s = 1.0 / (dx * dx + dy * dy + dz * dz)
            s6 = s * s * s
            t = -24.0 * s * (2.0 * s6 * s6 - s6)
            g[3 * i] += t * dx
            g[3 * i + 1] += t * dy
            g[3 * i + 2] += t * dz
            g[3 * j] -= t * dx
            g[3 * j + 1] -= t * dy
            g[3 * j + 2] -= t * dz
    return g


@njit
def rosenbrock_product(x, v):
    """Hessian of `rosenbrock` times v, by hand."""
    out = np.zeros_like(x)
    for i in range(x.size - 1):
        cross = -400.0 * x[i]
        out[i] += (1200.0 * x[i] ** 2 - 400.0 * x[i + 1] + 2.0) * v[i] + cross * v[i + 1]
        out[i + 1] += cross * v[i] + 200.0 * v[i + 1]
    return out


@njit
def smoother(x):
    """30 smoothing steps written into a local array through a view, elements overwritten."""
    n = x.size
    u = np.zeros(n)
    for i in range(n):
        u[i] = x[i] * x[i]
    inner = u[1:-1]
    for _ in range(30):
        left = u[0]
        for i in range(n - 2):
            here = inner[i]
            inner[i] = 0.25 * left + 0.5 * here + 0.25 * u[i + 2]
            left = here
        u[0] = 1.0
    s = 0.0
    for i in range(n):
        s += u[i] * x[i]
    return s


@njit
def tiny(x):
    """Two inputs: what a call of reverse mode costs by itself."""
    return x[0] * x[1] + x[0]


def bodies():
    """Return 50 bodies near the points of a grid, three coordinates each."""
    grid = np.array([[i, j, k] for i in range(5) for j in range(5) for k in range(2)], float)
    return (1.1 * grid + 0.05 * np.random.default_rng(0).standard_normal(grid.shape)).ravel()
