"""Gradient of the loss of a physics-informed network: u'' + u = 0, tanh, 1-20-20-1, 100 points.

The loss holds second derivatives in the input.  In matrix form they are written out by the chain
rule (values, first and second derivatives of a layer are three matrices); "nested" takes them by
``derivative(network, 2)`` and differentiates that in reverse.
"""

import numpy as np
from numba import njit

import dualtape as ad

from .peers import by_autograd, by_casadi, by_jax, by_torch, torch_gradient
from .problem import Call, Candidate, Problem, by_dualtape, by_hand

WIDTH = 20


@njit
def unpacked(p, w):
    """Return weights and biases of the three layers."""
    a = 2 * w
    b = a + w * w
    return p[:w], p[w:a], p[a:b].reshape(w, w), p[b : b + w], p[b + w : b + 2 * w], p[b + 2 * w]


@njit
def pinn_loss(p, x, w):
    """Mean square of u'' + u over the points, plus the squares of u(0) and u(1) - sin(1)."""
    w1, b1, w2, b2, w3, b3 = unpacked(p, w)
    t = np.tanh(x.reshape(x.size, 1) * w1 + b1)
    s = 1.0 - t * t
    h1 = s * w1
    h2 = -2.0 * t * h1 * w1
    z1, z2 = h1 @ w2, h2 @ w2
    t = np.tanh(t @ w2 + b2)
    s = 1.0 - t * t
    u2 = (s * (z2 - 2.0 * t * z1 * z1)) @ w3
    u = t @ w3 + b3
    residual = u2 + u
    return np.sum(residual * residual) / x.size + u[0] ** 2 + (u[-1] - np.sin(1.0)) ** 2


@njit
def pinn_gradient(p, x, w):
    """Gradient of `pinn_loss`, by hand: the adjoint of each line, backwards."""
    w1, _, w2, b2, w3, b3 = unpacked(p, w)
    n, g = x.size, np.empty(p.size)
    column = x.reshape(n, 1)
    t = np.tanh(column * w1 + p[w : 2 * w])
    s = 1.0 - t * t
    h1 = s * w1
    h2 = -2.0 * t * h1 * w1
    z1, z2 = h1 @ w2, h2 @ w2
    t_ = np.tanh(t @ w2 + b2)
    s_ = 1.0 - t_ * t_
    curve = z2 - 2.0 * t_ * z1 * z1
    u = t_ @ w3 + b3
    u2_bar = 2.0 / n * ((s_ * curve) @ w3 + u)
    u_bar = u2_bar.copy()
    u_bar[0] += 2.0 * u[0]
    u_bar[-1] += 2.0 * (u[-1] - np.sin(1.0))
    a = 2 * w
    b = a + w * w
    g[b + w : b + 2 * w] = t_.T @ u_bar + (s_ * curve).T @ u2_bar
    g[b + 2 * w] = np.sum(u_bar)
    out = u2_bar.reshape(n, 1) * w3
    inner = out * s_
    t_bar = u_bar.reshape(n, 1) * w3 - 2.0 * t_ * out * curve - 2.0 * inner * z1 * z1
    z1_bar = -4.0 * inner * t_ * z1
    z_bar = t_bar * s_
    g[a:b] = (t.T @ z_bar + h1.T @ z1_bar + h2.T @ inner).ravel()
    g[b : b + w] = np.sum(z_bar, axis=0)
    back = w2.T.copy()
    h2_bar = inner @ back
    h1_bar = z1_bar @ back - 2.0 * h2_bar * t * w1
    t_bar = z_bar @ back - 2.0 * h2_bar * h1 * w1 - 2.0 * h1_bar * w1 * t
    pre = t_bar * s
    g[:w] = np.sum(h1_bar * s - 2.0 * h2_bar * t * h1 + pre * column, axis=0)
    g[w : 2 * w] = np.sum(pre, axis=0)
    return g


@njit
def network(x, p, w):
    """u(x)."""
    w1, b1, w2, b2, w3, b3 = unpacked(p, w)
    return np.dot(np.tanh(np.tanh(x * w1 + b1) @ w2 + b2), w3) + b3


def nested_gradient():
    """Return the gradient of the loss with u'' from `derivative`."""
    second = ad.derivative(network, 2)

    def loss(p, x, w):
        total = 0.0
        for i in range(x.size):
            residual = second(x[i], p, w) + network(x[i], p, w)
            total += residual * residual
        at_end = network(x[-1], p, w) - np.sin(1.0)
        return total / x.size + network(x[0], p, w) ** 2 + at_end**2

    return ad.grad(loss, mode="reverse")


def written_with(np_like, x, w):
    """Return the loss of `pinn_loss` for another library's arrays."""
    column, n = x.reshape(-1, 1), x.shape[0]
    target = float(np.sin(1.0))

    def loss(p):
        a, b = 2 * w, 2 * w + w * w
        w1, w2, w3 = p[:w], p[a:b].reshape(w, w), p[b + w : b + 2 * w]
        t = np_like.tanh(column * w1 + p[w:a])
        h1 = (1.0 - t * t) * w1
        h2 = -2.0 * t * h1 * w1
        z1, z2 = h1 @ w2, h2 @ w2
        t = np_like.tanh(t @ w2 + p[b : b + w])
        u2 = ((1.0 - t * t) * (z2 - 2.0 * t * z1 * z1)) @ w3
        u = t @ w3 + p[b + 2 * w]
        return np_like.sum((u2 + u) ** 2) / n + u[0] ** 2 + (u[-1] - target) ** 2

    return loss


def jax_nested(jax, jnp, x, w):
    """Return JAX's gradient with u'' by forward over forward, over all points at once."""

    def u(p, t):
        a, b = 2 * w, 2 * w + w * w
        h = jnp.tanh(t * p[:w] + p[w:a])
        h = jnp.tanh(h @ p[a:b].reshape(w, w) + p[b : b + w])
        return h @ p[b + w : b + 2 * w] + p[b + 2 * w]

    def along(f):
        return lambda t: jax.jvp(f, (t,), (jnp.ones_like(t),))[1]

    def loss(p):
        def residual(t):
            return along(along(lambda s: u(p, s)))(t) + u(p, t)

        ends = u(p, x[0]) ** 2 + (u(p, x[-1]) - np.sin(1.0)) ** 2
        return jnp.mean(jax.vmap(residual)(x) ** 2) + ends

    return jax.grad(loss)


def casadi_gradient(casadi, x, w):
    """Return the gradient; the layers are columns of matrices."""
    p = casadi.MX.sym("p", w * w + 4 * w + 1)
    a, b = 2 * w, 2 * w + w * w
    w1, w2, w3 = p[:w], casadi.reshape(p[a:b], w, w), p[b + w : b + 2 * w]
    n, row = x.size, casadi.DM(x).T
    wide = casadi.repmat(w1, 1, n)
    t = casadi.tanh(w1 @ row + casadi.repmat(p[w:a], 1, n))
    h1 = (1.0 - t * t) * wide
    h2 = -2.0 * t * h1 * wide
    z1, z2 = w2 @ h1, w2 @ h2
    t = casadi.tanh(w2 @ t + casadi.repmat(p[b : b + w], 1, n))
    u2 = w3.T @ ((1.0 - t * t) * (z2 - 2.0 * t * z1 * z1))
    u = w3.T @ t + p[b + 2 * w]
    ends = u[0] ** 2 + (u[n - 1] - np.sin(1.0)) ** 2
    return [p], casadi.gradient(casadi.sumsqr(u2 + u) / n + ends, p)


def data(w, n):
    """Return parameters and points."""
    p = np.random.default_rng(0).standard_normal(w * w + 4 * w + 1) / np.sqrt(w)
    return p, np.linspace(0.0, 1.0, n)


def problems(small=False):
    """Yield the problem; no small one, which would compile for as long as the large."""
    if small:
        return
    w, n = WIDTH, 100
    p, x = data(w, n)

    def torch_loss(torch):
        return torch_gradient(torch, written_with(torch, torch.from_numpy(x), w))

    yield Problem(
        name="pinn",
        title=f"PINN 1-{w}-{w}-1, u'' + u, {n} points, {p.size} parameters: gradient",
        primal=pinn_loss,
        args=(p, x, w),
        reference=lambda: pinn_gradient(p, x, w),
        candidates=[
            by_hand(pinn_gradient, p, x, w),
            by_dualtape("auto", lambda: ad.grad(pinn_loss), p, x, w),
            Candidate("dualtape", "nested", lambda: Call(nested_gradient(), (p, x, w)), slow=True),
            by_jax(lambda jax, jnp: jax.grad(written_with(jnp, jnp.asarray(x), w)), p),
            by_jax(lambda jax, jnp: jax_nested(jax, jnp, jnp.asarray(x), w), p, mode="nested"),
            by_casadi(lambda ca: casadi_gradient(ca, x, w), p),
            by_autograd(lambda a, anp: a.grad(written_with(anp, x, w)), p),
            by_torch(torch_loss, p),
        ],
    )


def bench_gradient(run, case):
    run(case)
