"""What the first answers are: functions of a user, as texts, and what is asked of them.

Each text is a module of its own, as a user's file is.  VARIED in it is a number, so that one text
makes several functions which differ in their code alone: like ones, none of them the same.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

OWN = "import math\nimport numba\nimport numpy as np\nnjit = numba.njit({options})\n"
PEER = "import jax\nimport jax.numpy as np\nnjit = lambda f: f\n"
STEP = 1e-20  # of complex steps: there is no difference that could lose digits


@dataclass(frozen=True)
class FirstProblem:
    """A function and its first derivative.

    `text` is what every library reads, `own` and `peer` what only Numba and JAX do.  `primal` calls
    the plain function of a module, `answer` asks this package for the derivative and `asked` asks
    JAX; `reference` returns it for a value of VARIED.  `modules` are imported before time is taken.
    """

    name: str
    title: str
    mode: str
    text: str
    primal: Callable[[Any], Any]
    answer: Callable[[Any, Any], Any]
    reference: Callable[[float], Any]
    asked: Callable[[Any, Any], Any] | None = None
    own: str = ""
    peer: str = ""
    modules: tuple[str, ...] = ()
    rtol: float = 1e-9

    def module(self, varied, *, peer=False, cached=False):
        """Return the text of a module with one of the functions."""
        head = PEER if peer else OWN.format(options="cache=True" if cached else "")
        return head + (self.text + (self.peer if peer else self.own)).replace("VARIED", str(varied))


def interpreted(text, varied):
    """Return the names of a text that plain Python runs, with NumPy."""
    names = {"np": np, "njit": lambda f: f}
    exec(text.replace("VARIED", str(varied)), names)
    return names


def complex_gradient(text, x, *more):
    """Return what computes the gradient by x by complex steps, from the text as plain Python."""

    def gradient(varied, x=x):
        f = interpreted(text, varied)["f"]
        steps = 1j * STEP * np.eye(x.size)
        return np.array([f(x + step, *more).imag / STEP for step in steps])

    return gradient


def complex_hessian(text, x, *more, h=1e-3):
    """Return what computes the Hessian: differences of complex steps, the error of order h^6."""
    gradient = complex_gradient(text, x, *more)
    weights = ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))

    def hessian(varied):
        rows = []
        for e in np.eye(x.size):
            sides = (
                w * (gradient(varied, x + k * h * e) - gradient(varied, x - k * h * e))
                for k, w in weights
            )
            rows.append(sum(sides) / h)
        return np.array(rows)

    return hessian


NETWORK = """
@njit
def f(p, x, y):
    w1, b1 = p[:15].reshape(5, 3), p[15:20]
    w2, b2 = p[20:40].reshape(4, 5), p[40:44]
    w3, b3 = p[44:48].reshape(1, 4), p[48:49]
    h = np.tanh(x @ w1.T + b1)
    h = np.tanh(h @ w2.T + b2)
    r = h @ w3.T + b3 - y
    return VARIED * np.sum(r * r)
"""
_random = np.random.default_rng(0)
NETWORK_POINT = tuple(_random.standard_normal(shape) for shape in (49, (50, 3), (50, 1)))

LOGISTIC = """
@njit
def f(w, x, y):
    return np.sum(np.log(1.0 + np.exp(-y * (x @ w)))) + VARIED * np.sum(w * w)
"""
LOGISTIC_POINT = (
    0.1 * _random.standard_normal(50),
    _random.standard_normal((200, 50)),
    np.sign(_random.standard_normal(200)),
)

LOOP = """
@njit
def f(x):
    s = 0.0
    for i in range(x.size - 1):
        s += VARIED * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return s
"""
LOOP_OF_ARRAYS = """
def f(x):
    return np.sum(VARIED * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
"""
LOOP_POINT = (np.linspace(0.5, 1.5, 100),)

SOLVE = """
@njit
def f(a, b):
    return VARIED * np.sum(np.linalg.solve(a, b)) + np.linalg.slogdet(a)[1]
"""
SOLVE_POINT = (_random.standard_normal((6, 6)) + 4.0 * np.eye(6), _random.standard_normal(6))


def solve_gradient(varied):
    """Return the gradient of SOLVE by both arguments."""
    a, b = SOLVE_POINT
    adjoint = varied * np.linalg.solve(a.T, np.ones(b.size))
    return np.linalg.inv(a).T - np.outer(adjoint, np.linalg.solve(a, b)), adjoint


EQUATION = """
@njit
def residual(x, p):
    return x + 0.2 * np.sin(VARIED * x) * p - p * p
"""
ROOT = """
import dualtape as ad
solve = ad.implicit_root(residual)
start = np.zeros(3)
@njit
def f(p):
    return np.sum(solve(start, p) ** 2)
"""
ROOT_PEER = """
def solved(g, x):
    return jax.lax.fori_loop(0, 10, lambda _, x: x - linear(jax.jacfwd(g)(x), g(x)), x)
def linear(j, r):
    return np.linalg.solve(j, r)
def f(p):
    x = jax.lax.custom_root(
        lambda x: residual(x, p), np.zeros(3), solved, lambda g, y: linear(jax.jacfwd(g)(y), y)
    )
    return np.sum(x**2)
"""
ROOT_POINT = np.array([0.5, 0.8, 1.1])


def root_gradient(varied):
    """Return the gradient of ROOT: its equations have one unknown each, 2 x dx/dp by parts."""
    p, x = ROOT_POINT, np.zeros(3)
    for _ in range(50):
        slope = 1.0 + 0.2 * varied * np.cos(varied * x) * p
        x = x - (x + 0.2 * np.sin(varied * x) * p - p * p) / slope
    return 2.0 * x * (2.0 * p - 0.2 * np.sin(varied * x)) / slope


STENCIL = """
@njit
def f(u):
    out = np.empty_like(u)
    for i in range(u.size):
        out[i] = u[(i + 1) % u.size] - 2.0 * u[i] + u[i - 1] + VARIED * u[i] ** 3
    return out
"""
STENCIL_PEER = """
def f(u):
    return np.roll(u, -1) - 2.0 * u + np.roll(u, 1) + VARIED * u**3
"""
STENCIL_POINT = np.linspace(0.5, 1.5, 50)


def stencil_jacobian(varied):
    """Return the Jacobian of STENCIL, dense."""
    n = STENCIL_POINT.size
    diagonal = np.diag(3.0 * varied * STENCIL_POINT**2 - 2.0)
    return diagonal + np.roll(np.eye(n), 1, axis=0) + np.roll(np.eye(n), -1, axis=0)


ROBERTSON = """
@njit
def f(t, y, p):
    slow, back, fast = p[0] * y[0], p[1] * y[1] * y[2], VARIED * p[2] * y[1] ** 2
    return np.array([back - slow, slow - back - fast, fast])
"""
ROBERTSON_SPAN, ROBERTSON_START = (0.0, 0.4), np.array([1.0, 0.0, 0.0])
ROBERTSON_RATES = np.array([0.04, 1e4, 3e7])


def robertson_sensitivity(varied):
    """Return the last dy/dp, from the equations for all nine written out."""
    from scipy.integrate import solve_ivp  # not in the processes that are measured

    a, b, c = ROBERTSON_RATES * [1.0, 1.0, varied]
    by_rates = np.array([[-1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [0.0, -varied, varied]])

    def together(_, z):
        y, s = z[:3], z[3:].reshape(3, 3)
        slow, back, fast = a * y[0], b * y[1] * y[2], c * y[1] ** 2
        to = np.array([[-a, b * y[2], b * y[1]], [a, 0.0, 0.0], [0.0, 2.0 * c * y[1], 0.0]])
        to[1] = -to[0] - to[2]
        explicit = (by_rates.T * [1.0, 1.0, 1.0]) @ np.diag([y[0], y[1] * y[2], y[1] ** 2])
        return np.append([back - slow, slow - back - fast, fast], (to @ s + explicit).ravel())

    start = np.append(ROBERTSON_START, np.zeros(9))
    found = solve_ivp(together, ROBERTSON_SPAN, start, "Radau", rtol=1e-10, atol=1e-20)
    return found.y[3:, -1]


CURVE = """
@njit
def f(x):
    return np.log(1.0 + np.exp(np.sin(VARIED * x))) / (1.0 + x * x)
"""


def fourth_of_curve(varied, x=0.7, radius=0.25, points=64):
    """Return the fourth derivative of CURVE, by Cauchy's integral on a circle inside its poles."""
    turns = np.exp(2j * np.pi * np.arange(points) / points)
    values = interpreted(CURVE, varied)["f"](x + radius * turns)
    return 24.0 * np.mean(values / (radius * turns) ** 4).real


STATEMENTS = (
    "np.sin({a} * {b}) + {c} * {a}",
    "({a} - {b}) * np.cos({c}) / (2.0 + {b} * {b})",
    "np.exp(-{a} * {a}) * {b} + {c} ** 2",
    "np.tanh({a} + {b} * {c}) - {c} * {b}",
)


def mostly_dead(statements=140, live=12):
    """Return a function of so many statements, of which the result needs some of the first."""
    lines = ["    v0, v1, v2 = x[0], x[1], VARIED * x[2]"]
    for k in range(3, statements + 2):
        a, b, c = (f"v{max(0, i)}" for i in (k - 1, k - 3 - k % 5, k - 9))
        lines.append(f"    v{k} = " + STATEMENTS[k % len(STATEMENTS)].format(a=a, b=b, c=c))
    return "\n".join(["", "@njit", "def f(x):", *lines, f"    return v{live} * v{live - 1}", ""])


DEAD = mostly_dead()
DEAD_POINT = np.array([0.3, 0.7, 1.1])


def jitted_gradient(*args, argnums=0):
    """Return what asks JAX for a gradient."""
    return lambda m, jax: jax.jit(jax.grad(m.f, argnums))(*args)


def reverse_gradient(*args, argnums=0):
    """Return what asks this package for a gradient in reverse mode."""
    return lambda m, ad: ad.grad(m.f, argnums=argnums, mode="reverse")(*args)


def gradient_problem(name, title, text, args, reference, *, argnums=0, **more):
    """Return a gradient in reverse mode as a problem."""
    return FirstProblem(
        name,
        f"{title}: gradient",
        "reverse",
        text,
        primal=lambda m: m.f(*args),
        answer=reverse_gradient(*args, argnums=argnums),
        asked=jitted_gradient(*args, argnums=argnums),
        reference=reference,
        **more,
    )


PROBLEMS = (
    gradient_problem(
        "network",
        "network of three layers, 49 parameters, 50 points",
        NETWORK,
        NETWORK_POINT,
        complex_gradient(NETWORK, *NETWORK_POINT),
    ),
    FirstProblem(
        "network-hessian",
        "the same network: Hessian",
        "auto",
        NETWORK,
        primal=lambda m: m.f(*NETWORK_POINT),
        answer=lambda m, ad: ad.hessian(m.f)(*NETWORK_POINT),
        asked=lambda m, jax: jax.jit(jax.hessian(m.f))(*NETWORK_POINT),
        reference=complex_hessian(NETWORK, *NETWORK_POINT),
    ),
    gradient_problem(
        "logistic",
        "logistic regression, 50 weights",
        LOGISTIC,
        LOGISTIC_POINT,
        complex_gradient(LOGISTIC, *LOGISTIC_POINT),
    ),
    gradient_problem(
        "rosenbrock",
        "Rosenbrock loop, n = 100",
        "",
        LOOP_POINT,
        complex_gradient(LOOP, *LOOP_POINT),
        own=LOOP,
        peer=LOOP_OF_ARRAYS,
    ),
    gradient_problem(
        "solve", "solve and slogdet", SOLVE, SOLVE_POINT, solve_gradient, argnums=(0, 1)
    ),
    FirstProblem(
        "implicit-root",
        "sum of squares of an implicit_root: gradient",
        "reverse",
        EQUATION,
        primal=lambda m: m.residual(np.zeros(3), ROOT_POINT),
        answer=reverse_gradient(ROOT_POINT),
        asked=jitted_gradient(ROOT_POINT),
        reference=root_gradient,
        own=ROOT,
        peer=ROOT_PEER,
        modules=("dualtape",),
    ),
    FirstProblem(
        "sparse-jacobian",
        "stencil of 4 lines: sparse Jacobian",
        "auto",
        "",
        primal=lambda m: m.f(STENCIL_POINT),
        answer=lambda m, ad: ad.sparse_jacobian(m.f)(STENCIL_POINT).toarray(),
        asked=lambda m, jax: jax.jit(jax.jacfwd(m.f))(STENCIL_POINT),
        reference=stencil_jacobian,
        own=STENCIL,
        peer=STENCIL_PEER,
        modules=("scipy.sparse",),
    ),
    FirstProblem(
        "sensitivity",
        "Robertson: solve_ivp_sensitivity",
        "auto",
        ROBERTSON,
        primal=lambda m: m.f(0.0, ROBERTSON_START, ROBERTSON_RATES),
        answer=lambda m, ad: ad.integrate.solve_ivp_sensitivity(
            m.f, ROBERTSON_SPAN, ROBERTSON_START, ROBERTSON_RATES
        ).dy_dp[..., -1],
        reference=robertson_sensitivity,
        modules=("dualtape.integrate",),
        rtol=1e-2,  # a few times the tolerance of the integration
    ),
    FirstProblem(
        "fourth-derivative",
        "log(1 + exp(sin(c x))) / (1 + x^2): fourth derivative",
        "auto",
        CURVE,
        primal=lambda m: m.f(0.7),
        answer=lambda m, ad: ad.derivative(m.f, 4)(0.7),
        asked=lambda m, jax: jax.jit(jax.grad(jax.grad(jax.grad(jax.grad(m.f)))))(0.7),
        reference=fourth_of_curve,
    ),
    gradient_problem(
        "dead-statements",
        "140 statements, most of them dead, 3 inputs",
        DEAD,
        (DEAD_POINT,),
        complex_gradient(DEAD, DEAD_POINT),
    ),
)
BY_NAME = {problem.name: problem for problem in PROBLEMS}
