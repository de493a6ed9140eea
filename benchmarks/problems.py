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


@njit
def brusselator_in_place(x, out):
    """Brusselator on a periodic grid by the method of lines; x[0] and x[1] are the two species."""
    n = x.shape[1]
    c = 0.02 * (n - 1) ** 2
    for i in range(n):
        up, down = (i if i > 0 else n) - 1, i + 1 if i < n - 1 else 0
        for j in range(n):
            left, right = (j if j > 0 else n) - 1, j + 1 if j < n - 1 else 0
            u, v = x[0, i, j], x[1, i, j]
            r = u * u * v
            du = x[0, up, j] + x[0, down, j] + x[0, i, left] + x[0, i, right] - 4.0 * u
            dv = x[1, up, j] + x[1, down, j] + x[1, i, left] + x[1, i, right] - 4.0 * v
            out[0, i, j] = 1.0 + r - 4.4 * u + c * du
            out[1, i, j] = 3.4 * u - r + c * dv


@njit
def brusselator(x):
    """Return what `brusselator_in_place` writes."""
    out = np.empty_like(x)
    brusselator_in_place(x, out)
    return out


def brusselator_state(n):
    """Return a smooth state on an n x n grid."""
    i, j = np.meshgrid(np.arange(n) / n, np.arange(n) / n, indexing="ij")
    return np.array([22.0 * j * (1.0 - j) ** 1.5, 27.0 * i * (1.0 - i) ** 1.5])


@njit
def pollu(y):
    """Air pollution: 20 species, 25 reactions (Verwer 1994; Hairer and Wanner's test set)."""
    r1, r2, r3 = 0.35 * y[0], 26.6 * y[1] * y[3], 12300.0 * y[4] * y[1]
    r4, r5, r6 = 0.86e-3 * y[6], 0.82e-3 * y[6], 15000.0 * y[6] * y[5]
    r7, r8, r9 = 0.13e-3 * y[8], 24000.0 * y[8] * y[5], 16500.0 * y[10] * y[1]
    r10, r11, r12 = 9000.0 * y[10] * y[0], 0.022 * y[12], 12000.0 * y[9] * y[1]
    r13, r14, r15 = 1.88 * y[13], 16300.0 * y[0] * y[5], 4.8e6 * y[2]
    r16, r17, r18 = 0.35e-3 * y[3], 0.0175 * y[3], 1e8 * y[15]
    r19, r20, r21 = 4.44e11 * y[15], 1240.0 * y[16] * y[5], 2.1 * y[18]
    r22, r23, r24 = 5.78 * y[18], 0.0474 * y[0] * y[3], 1780.0 * y[18] * y[0]
    r25 = 3.12 * y[19]
    f = np.empty(20)
    f[0] = -r1 - r10 - r14 - r23 - r24 + r2 + r3 + r9 + r11 + r12 + r22 + r25
    f[1] = -r2 - r3 - r9 - r12 + r1 + r21
    f[2] = -r15 + r1 + r17 + r19 + r22
    f[3] = -r2 - r16 - r17 - r23 + r15
    f[4] = -r3 + 2.0 * r4 + r6 + r7 + r13 + r20
    f[5] = -r6 - r8 - r14 - r20 + r3 + 2.0 * r18
    f[6] = -r4 - r5 - r6 + r13
    f[7] = r4 + r5 + r6 + r7
    f[8] = -r7 - r8
    f[9] = -r12 + r7 + r9
    f[10] = -r9 - r10 + r8 + r11
    f[11] = r9
    f[12] = -r11 + r10
    f[13] = -r13 + r12
    f[14] = r14
    f[15] = -r18 - r19 + r16
    f[16] = -r20
    f[17] = r20
    f[18] = -r21 - r22 - r24 + r23 + r25
    f[19] = -r25 + r24
    return f


POLLU_STATE = np.zeros(20)
POLLU_STATE[[1, 3, 6, 7, 8, 16]] = 0.2, 0.04, 0.1, 0.3, 0.01, 0.007
