"""Gradients and Jacobian-vector products of array code: products of arrays and linear algebra.

The primal is the same NumPy code under njit; the references are closed forms in NumPy.
"""

import numpy as np
from numba import njit

import dualtape as ad

from . import bench_mixture as mixture
from . import bench_pinn as pinn
from .bench_rosenbrock import point, rosenbrock_arrays, rosenbrock_gradient, written_with
from .peers import by_autograd, by_jax, by_torch, torch_gradient
from .problem import Call, Candidate, Problem, as_array, by_dualtape, by_hand

N = 500
SAMPLES, FEATURES = 100_000, 50
CALLS = 1000
SLOW = ("matmul", "inv", "slogdet")  # minutes of compilation


@njit
def solve(a, b):
    """Sum of the solution of a linear system."""
    return np.sum(np.linalg.solve(a, b))


@njit
def product(a, x):
    """Sum of a matrix times a vector."""
    return np.sum(a @ x)


@njit
def square(a):
    """Sum of a product of matrices."""
    return np.sum(a @ a)


@njit
def inverse(a):
    """Sum of an inverse."""
    return np.sum(np.linalg.inv(a))


@njit
def log_determinant(a):
    """Logarithm of a determinant."""
    return np.linalg.slogdet(a)[1]


def solve_gradient(a, b):
    """Return the gradient of `solve` by both arguments."""
    adjoint = np.linalg.solve(a.T, np.ones(b.size))
    return -np.outer(adjoint, np.linalg.solve(a, b)), adjoint


def product_gradient(a, x):
    """Return the gradient of `product` by both arguments."""
    return np.tile(x, (a.shape[0], 1)), np.sum(a, axis=0)


@njit
def product_gradient_by_hand(a, x):
    """Return the gradient of `product` by both arguments, as two new arrays."""
    by_matrix, by_vector = np.empty_like(a), np.zeros_like(x)
    for i in range(a.shape[0]):
        for j in range(x.size):
            by_matrix[i, j] = x[j]
            by_vector[j] += a[i, j]
    return by_matrix, by_vector


def square_gradient(a):
    """Return the gradient of `square`."""
    return (np.sum(a, axis=1) + np.sum(a, axis=0)[:, None],)


def inverse_gradient(a):
    """Return the gradient of `inverse`."""
    inverted = np.linalg.inv(a)
    return (-np.outer(np.sum(inverted, axis=0), np.sum(inverted, axis=1)),)


def log_determinant_gradient(a):
    """Return the gradient of `log_determinant`."""
    return (np.linalg.inv(a).T,)


def logistic_data():
    """Return features and labels of -1 and 1."""
    rng = np.random.default_rng(3)
    features = rng.standard_normal((SAMPLES, FEATURES))
    return features, np.where(rng.random(SAMPLES) < 0.5, -1.0, 1.0)


def logistic_problem():
    """Return the gradient of a logistic regression as a problem."""
    features, labels = logistic_data()
    w = np.linspace(-0.3, 0.3, FEATURES)
    loss = njit(lambda w: np.sum(np.log1p(np.exp(-labels * (features @ w)))))

    @njit
    def gradient(w):
        return features.T @ (-labels / (1.0 + np.exp(labels * (features @ w))))

    def written(np_like):
        return lambda w: np_like.sum(np_like.log1p(np_like.exp(-labels * (features @ w))))

    def torch_gradient_of(torch):
        a, b = torch.from_numpy(features), torch.from_numpy(labels)
        return torch_gradient(torch, lambda w: torch.sum(torch.log1p(torch.exp(-b * (a @ w)))))

    return Problem(
        name="logistic",
        title=f"logistic regression, {SAMPLES:,} samples of {FEATURES} features: gradient",
        primal=loss,
        args=(w,),
        reference=lambda: gradient(w),
        candidates=[
            by_hand(gradient, w),
            by_dualtape("reverse", lambda: ad.grad(loss, mode="reverse"), w),
            by_jax(lambda jax, jnp: jax.grad(written(jnp)), w),
            by_autograd(lambda autograd, anp: autograd.grad(written(anp)), w),
            by_torch(torch_gradient_of, w),
        ],
    )


def small_problem(n):
    """Return many gradients of a small array expression, called from compiled code."""
    x = point(n)
    own, by_reverse = rosenbrock_arrays, ad.grad(rosenbrock_arrays, mode="reverse")

    @njit
    def primal(x):
        s = 0.0
        for _ in range(CALLS):
            s += own(x)
        return s

    @njit
    def hand(x):
        s = np.zeros(x.size)
        for _ in range(CALLS):
            s += rosenbrock_gradient(x)
        return s

    @njit
    def reverse(x):
        s = np.zeros(x.size)
        for _ in range(CALLS):
            s += by_reverse(x)
        return s

    return Problem(
        name=f"small-arrays-{n}",
        title=f"Rosenbrock NumPy style, n = {n}, {CALLS:,} gradients in compiled code",
        primal=primal,
        args=(x,),
        reference=lambda: CALLS * rosenbrock_gradient(x),
        candidates=[
            by_hand(hand, x),
            Candidate("dualtape", "reverse", lambda: Call(reverse, (x,))),
        ],
    )


def second_order_problem():
    """Return a Hessian-vector product of a large array expression."""
    x = point(100_000)
    (v,) = directions((x,))

    def jax_product(jax, jnp):
        gradient = jax.grad(written_with(jnp))
        return lambda x, v: jax.jvp(gradient, (x,), (v,))[1]

    return Problem(
        name="rosenbrock-arrays-hvp",
        title=f"Rosenbrock NumPy style, n = {x.size:,}: Hessian-vector product",
        primal=rosenbrock_arrays,
        args=(x,),
        reference=lambda: rosenbrock_product(x, v),
        candidates=[
            Candidate("dualtape", "auto", lambda: Call(ad.hvp(rosenbrock_arrays), (x, v))),
            by_jax(jax_product, x, v),
        ],
    )


def rosenbrock_product(x, v):
    """Return the Hessian of Rosenbrock's function times a vector."""
    out = np.zeros_like(x)
    a, b, va, vb = x[:-1], x[1:], v[:-1], v[1:]
    out[:-1] += (1200.0 * a**2 - 400.0 * b + 2.0) * va - 400.0 * a * vb
    out[1:] += 200.0 * vb - 400.0 * a * va
    return out


def matrix(n):
    """Return a well conditioned symmetric matrix."""
    g = np.random.default_rng(0).standard_normal((n, n))
    return g @ g.T / n + np.eye(n)


def dot(gradient, tangents):
    """Return the directional derivative of a function with this gradient."""
    pairs = zip(gradient, tangents, strict=True)
    return sum(float(np.vdot(g, t)) for g, t in pairs)


def directions(args):
    """Return a direction for every argument."""
    rng = np.random.default_rng(1)
    return tuple(rng.standard_normal(np.shape(a)) for a in args)


def gradient_problem(name, title, f, args, gradient):
    """Return a gradient by all arguments as a problem."""
    every = tuple(range(len(args)))
    return Problem(
        name=f"{name}-gradient",
        title=f"{title}: gradient",
        primal=f,
        args=args,
        reference=lambda: gradient(*args),
        candidates=[
            *HANDS.get(name, lambda *_: [])(*args),
            by_dualtape("reverse", lambda: ad.grad(f, argnums=every, mode="reverse"), *args),
            *PEERS.get(name, lambda *_: [])(*args),
        ],
        slow=name in SLOW,
    )


def jvp_peers(written, args, tangents):
    """Return the other libraries' products; ``written(np_like, made)`` is their function.

    `made` makes a constant of the library from an array.
    """

    def jax_product(jax, jnp):
        f = written(jnp, jnp.asarray)
        return lambda *both: jax.jvp(f, both[: len(args)], both[len(args) :])[1]

    def torch_product(torch):
        f = written(torch, torch.from_numpy)
        return lambda *both: torch.func.jvp(f, both[: len(args)], both[len(args) :])[1]

    return [by_jax(jax_product, *args, *tangents), by_torch(torch_product, *args, *tangents)]


def jvp_problem(name, title, f, args, gradient):
    """Return a Jacobian-vector product by all arguments as a problem."""
    tangents = directions(args)
    own = Call(lambda x, v: ad.jvp(f, x, v), (args, tangents), lambda found: as_array(found[1]))
    return Problem(
        name=f"{name}-jvp",
        title=f"{title}: Jacobian-vector product",
        primal=f,
        args=args,
        reference=lambda: dot(gradient(*args), tangents),
        candidates=[
            Candidate("dualtape", "forward", lambda: own),
            *(jvp_peers(WRITTEN[name], args, tangents) if name in WRITTEN else []),
        ],
        slow=name in SLOW,
    )


def both_arguments(written):
    """Return what makes the peers of a function of two arrays."""

    def make(a, b):
        def jax_gradient(jax, jnp):
            gradient = jax.grad(written(jnp), argnums=(0, 1))
            return lambda a, b: jnp.concatenate([g.ravel() for g in gradient(a, b)])

        def torch_gradient(torch):
            f = written(torch)

            def gradient(a, b):
                a, b = a.requires_grad_(), b.requires_grad_()
                return torch.autograd.grad(f(a, b), (a, b))

            return gradient

        return [
            by_jax(jax_gradient, a, b),
            by_autograd(lambda autograd, anp: autograd.grad(written(anp), argnum=(0, 1)), a, b),
            by_torch(torch_gradient, a, b),
        ]

    return make


def written_solve(np_like):
    """Return `solve` for another library's arrays."""
    return lambda a, b: np_like.sum(np_like.linalg.solve(a, b))


def written_product(np_like):
    """Return `product` for another library's arrays."""
    return lambda a, x: np_like.sum(a @ x)


def written_mixture(np_like, made):
    """Return the mixture in matrix form for another library's arrays."""
    _, points = mixture.data(mixture.DIMENSIONS, mixture.COMPONENTS, mixture.POINTS)
    logsumexp = getattr(np_like, "logsumexp", None)
    if logsumexp is None:
        from jax.scipy.special import logsumexp
    return mixture.written_with(np_like, logsumexp, points, mixture.COMPONENTS)


def written_product_by_vector(np_like, made):
    """Return the product as a function of the vector."""
    a = made(matrix(N))
    return lambda x: np_like.sum(a @ x)


WRITTEN = {
    "rosenbrock-arrays": lambda np_like, made: written_with(np_like),
    "mixture-matrix": written_mixture,
    "pinn": lambda np_like, made: pinn.written_with(
        np_like, made(pinn.data(pinn.WIDTH, 100)[1]), pinn.WIDTH
    ),
    "matvec-x": written_product_by_vector,
    "matvec": lambda np_like, made: written_product(np_like),
    "solve": lambda np_like, made: written_solve(np_like),
}
"""Functions for the products of other libraries."""
HANDS = {"matvec": lambda *args: [by_hand(product_gradient_by_hand, *args)]}
PEERS = {"solve": both_arguments(written_solve), "matvec": both_arguments(written_product)}


def whole_problems():
    """Yield products along a direction for the array programs of other suites."""
    x = point(100_000)
    yield jvp_problem(
        "rosenbrock-arrays",
        f"Rosenbrock NumPy style, n = {x.size:,}",
        rosenbrock_arrays,
        (x,),
        lambda x: (rosenbrock_gradient(x),),
    )
    components = mixture.COMPONENTS
    p, points = mixture.data(mixture.DIMENSIONS, components, mixture.POINTS)
    yield jvp_problem(
        "mixture-matrix",
        "Gaussian mixture, matrix form",
        njit(lambda p: mixture.mixture_matrix(p, points, components)),
        (p,),
        lambda p: (mixture.mixture_gradient(p, points, components),),
    )
    w = pinn.WIDTH
    p, x = pinn.data(w, 100)
    yield jvp_problem(
        "pinn",
        "PINN",
        njit(lambda p: pinn.pinn_loss(p, x, w)),
        (p,),
        lambda p: (pinn.pinn_gradient(p, x, w),),
    )


def problems(small=False):
    """Yield the problems; no small ones, which would compile for as long as the large."""
    if small:
        return
    a, b = matrix(N), np.linspace(0.5, 1.5, N)
    by_vector = njit(lambda x: np.sum(a @ x))
    cases = [
        (
            "matvec-x",
            f"sum(A @ x) by x, n = {N}",
            by_vector,
            (b,),
            lambda x: (np.sum(a, axis=0),),
        ),
        ("matvec", f"sum(A @ x) by A and x, n = {N}", product, (a, b), product_gradient),
        ("solve", f"sum(solve(A, b)), n = {N}", solve, (a, b), solve_gradient),
        ("matmul", f"sum(A @ A), n = {N}", square, (a,), square_gradient),
        ("inv", f"sum(inv(A)), n = {N}", inverse, (a,), inverse_gradient),
        ("slogdet", f"slogdet(A), n = {N}", log_determinant, (a,), log_determinant_gradient),
    ]
    for case in cases:
        yield gradient_problem(*case)
        yield jvp_problem(*case)
    yield from whole_problems()
    yield logistic_problem()
    yield from map(small_problem, (4, 10, 100))
    yield second_order_problem()


def bench_arrays(run, case):
    run(case)
