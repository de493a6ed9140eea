"""Gradients of loops that overwrite their state: a Lotka-Volterra integration and a smoother."""

import numpy as np
from numba import njit

import dualtape as ad

from .peers import by_autograd, by_casadi, by_jax, by_torch, torch_gradient
from .problem import Problem, by_dualtape, by_hand

STEPS = 1000
STEP = 0.01
CHUNKS = (1, 2, 4, 8, 16)
INPUTS = np.array([1.1, 0.4, 0.4, 0.1, 10.0, 5.0])


@njit
def lotka_volterra(p):
    """Squared miss after 1000 classical Runge-Kutta steps; rates and initial state are inputs."""
    a, b, c, d, x, y = p[0], p[1], p[2], p[3], p[4], p[5]
    h = STEP
    for _ in range(STEPS):
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


@njit(inline="always")
def rate(a, b, c, d, x, y):
    """Right-hand side."""
    return a * x - b * x * y, d * x * y - c * y


@njit(inline="always")
def rate_adjoint(a, b, c, d, x, y, kx, ky, g):
    """Add the adjoints of the rates to g, for adjoints kx, ky of `rate`; return those of x, y."""
    g[0] += kx * x
    g[1] -= kx * x * y
    g[2] -= ky * y
    g[3] += ky * x * y
    return kx * (a - b * y) + ky * d * y, ky * (d * x - c) - kx * b * x


@njit
def trajectory(p):
    """Return the states of `lotka_volterra` at every step."""
    a, b, c, d = p[0], p[1], p[2], p[3]
    h, states = STEP, np.empty((STEPS + 1, 2))
    states[0] = p[4:]
    for i in range(STEPS):
        x, y = states[i]
        k1x, k1y = rate(a, b, c, d, x, y)
        k2x, k2y = rate(a, b, c, d, x + 0.5 * h * k1x, y + 0.5 * h * k1y)
        k3x, k3y = rate(a, b, c, d, x + 0.5 * h * k2x, y + 0.5 * h * k2y)
        k4x, k4y = rate(a, b, c, d, x + h * k3x, y + h * k3y)
        states[i + 1, 0] = x + h * (k1x + 2.0 * k2x + 2.0 * k3x + k4x) / 6.0
        states[i + 1, 1] = y + h * (k1y + 2.0 * k2y + 2.0 * k3y + k4y) / 6.0
    return states


@njit
def lotka_volterra_gradient(p):
    """Gradient of `lotka_volterra` by its discrete adjoint, by hand."""
    a, b, c, d = p[0], p[1], p[2], p[3]
    h, states, g = STEP, trajectory(p), np.zeros(6)
    sx, sy = 2.0 * (states[STEPS, 0] - 1.0), 2.0 * (states[STEPS, 1] - 2.0)
    for i in range(STEPS - 1, -1, -1):
        x, y = states[i]
        k1x, k1y = rate(a, b, c, d, x, y)
        x2, y2 = x + 0.5 * h * k1x, y + 0.5 * h * k1y
        k2x, k2y = rate(a, b, c, d, x2, y2)
        x3, y3 = x + 0.5 * h * k2x, y + 0.5 * h * k2y
        k3x, k3y = rate(a, b, c, d, x3, y3)
        x4, y4 = x + h * k3x, y + h * k3y
        wx, wy = h * sx / 6.0, h * sy / 6.0
        ux, uy = rate_adjoint(a, b, c, d, x4, y4, wx, wy, g)
        vx, vy = rate_adjoint(a, b, c, d, x3, y3, 2.0 * wx + h * ux, 2.0 * wy + h * uy, g)
        sx, sy = sx + ux + vx, sy + uy + vy
        hx, hy = 0.5 * h * vx, 0.5 * h * vy
        ux, uy = rate_adjoint(a, b, c, d, x2, y2, 2.0 * wx + hx, 2.0 * wy + hy, g)
        hx, hy = 0.5 * h * ux, 0.5 * h * uy
        vx, vy = rate_adjoint(a, b, c, d, x, y, wx + hx, wy + hy, g)
        sx, sy = sx + ux + vx, sy + uy + vy
    g[4], g[5] = sx, sy
    return g


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


def rk4(p, x, y):
    """Return one step, for scalars of any library."""
    a, b, c, d = p[0], p[1], p[2], p[3]
    h = STEP

    def k(x, y):
        return a * x - b * x * y, d * x * y - c * y

    k1x, k1y = k(x, y)
    k2x, k2y = k(x + 0.5 * h * k1x, y + 0.5 * h * k1y)
    k3x, k3y = k(x + 0.5 * h * k2x, y + 0.5 * h * k2y)
    k4x, k4y = k(x + h * k3x, y + h * k3y)
    x = x + h * (k1x + 2.0 * k2x + 2.0 * k3x + k4x) * (1.0 / 6.0)
    y = y + h * (k1y + 2.0 * k2y + 2.0 * k3y + k4y) * (1.0 / 6.0)
    return x, y


def miss(x, y):
    """Return the squared distance from (1, 2)."""
    return (x - 1.0) ** 2 + (y - 2.0) ** 2


def in_python(p):
    """Return the miss by a Python loop: what tracing libraries without loops of their own do."""
    x, y = p[4], p[5]
    for _ in range(STEPS):
        x, y = rk4(p, x, y)
    return miss(x, y)


def jax_gradient(jax, _):
    """Return reverse mode through a scan that keeps the states only."""

    def f(p):
        @jax.checkpoint
        def step(state, _):
            return rk4(p, *state), None

        (x, y), _ = jax.lax.scan(step, (p[4], p[5]), length=STEPS)
        return miss(x, y)

    return jax.grad(f)


def jax_forward(jax, _):
    """Return forward mode through a loop, six tangents at once."""

    def f(p):
        return miss(*jax.lax.fori_loop(0, STEPS, lambda _, s: rk4(p, *s), (p[4], p[5])))

    return jax.jacfwd(f)


def casadi_gradient(casadi):
    """Return the gradient of the unrolled loop, which is faster than a fold."""
    p = casadi.SX.sym("p", 6)
    return [p], casadi.gradient(in_python(p), p)


def chunked(size):
    """Return forward mode with so many partials in a sweep."""
    return by_dualtape(
        f"chunks of {size}", lambda: ad.grad(lotka_volterra, chunk_size=size), INPUTS, slow=True
    )


def lotka_volterra_problem():
    """Return the gradient of the integration as a problem."""
    p, f = INPUTS, lotka_volterra
    return Problem(
        name="lotka-volterra",
        title="Lotka-Volterra RK4, 1000 steps, 6 inputs: gradient",
        primal=f,
        args=(p,),
        reference=lambda: lotka_volterra_gradient(p),
        candidates=[
            by_hand(lotka_volterra_gradient, p),
            by_dualtape("auto", lambda: ad.grad(f), p),
            by_dualtape("forward", lambda: ad.grad(f, mode="forward"), p),
            by_dualtape("reverse", lambda: ad.grad(f, mode="reverse"), p),
            *map(chunked, CHUNKS),
            by_jax(jax_gradient, p),
            by_jax(jax_forward, p, mode="forward"),
            by_casadi(casadi_gradient, p),
            by_autograd(lambda a, _: a.grad(in_python), p, slow=True),
            by_torch(lambda torch: torch_gradient(torch, in_python), p, slow=True),
        ],
    )


def smoother_problem():
    """Return the gradient of the smoother, whose stores overwrite values still in use."""
    x = np.linspace(0.5, 1.5, 50)
    return Problem(
        name="smoother",
        title="smoother in place, 50 points, 30 steps: gradient",
        primal=smoother,
        args=(x,),
        reference=lambda: ad.grad(smoother, mode="forward")(x),
        candidates=[
            by_dualtape("auto", lambda: ad.grad(smoother), x),
            by_dualtape("forward", lambda: ad.grad(smoother, mode="forward"), x),
        ],
    )


def problems(small=False):
    """Yield the problems; the first one is small already."""
    yield lotka_volterra_problem()
    yield smoother_problem()


def bench_gradient(run, case):
    run(case)
