"""SciPy end to end: the time of a whole minimization or integration, by who gives derivatives.

The unit is SciPy with functions and derivatives written by hand under njit.  Every derivative
agrees with those to 1e-9 before it is used; the solutions then agree as far as the solver goes.
"""

import numpy as np
from numba import njit
from scipy import integrate, optimize

import dualtape as ad
import dualtape.integrate
import dualtape.optimize

from . import bench_brusselator as brusselator
from .bench_hessian import casadi_hessian, rosenbrock_hessian
from .bench_rosenbrock import (
    casadi_rosenbrock,
    casadi_symbol,
    point,
    rosenbrock,
    rosenbrock_gradient,
    written_with,
)
from .peers import bound_casadi, jax_module
from .problem import AGREEMENT, Call, Candidate, Problem
from .runner import check

SIZES = (2, 10, 100)
METHODS = ("BFGS", "Newton-CG", "trust-exact")
# As far as the others go: with its own 1e-5 Newton-CG stops at n = 100 where roundings decide.
STRICT = {"Newton-CG": {"options": {"xtol": 1e-9}}}
SOLUTION = 1e-3  # the methods stop at gradients of 1e-5 and steps of 1e-8, not at roundings
TRAJECTORY = 1e-3  # a hundred times the tolerance of the integrations
GRID = 32
TOLERANCES = {"rtol": 1e-6, "atol": 1e-10}


def minimizer(method, fun, gradient, hessian, x0):
    """Check derivatives, then return the call that minimizes with them (jac=True: both at once)."""
    x = point(x0.size)
    first = fun(x)[1] if gradient is True else gradient(x)
    check(f"gradient for {method}", np.ravel(first), rosenbrock_gradient(x), AGREEMENT)
    given = {"jac": gradient, **STRICT.get(method, {})}
    if method != "BFGS":
        found = np.ravel(hessian(x))
        check(f"Hessian for {method}", found, rosenbrock_hessian(x).ravel(), AGREEMENT)
        given["hess"] = hessian
    return Call(lambda x0: optimize.minimize(fun, x0, method=method, **given).x, (x0,))


def jax_minimizer(method, x0):
    """Return JAX's call: value and gradient in one jitted function."""
    jax = jax_module()
    f = written_with(jax.numpy)
    both, hessian = jax.jit(jax.value_and_grad(f)), jax.jit(jax.hessian(f))

    def value_and_gradient(x):
        value, gradient = both(x)
        return float(value), np.asarray(gradient)

    return minimizer(method, value_and_gradient, True, lambda x: np.asarray(hessian(x)), x0)


def casadi_minimizer(method, x0):
    """Return CasADi's call."""
    import casadi

    x = casadi_symbol(casadi, x0.size)
    f = casadi_rosenbrock(casadi, x)
    value = bound_casadi(casadi.Function("f", [x], [f]))
    gradient = bound_casadi(casadi.Function("g", [x], [casadi.gradient(f, x)]))
    hessian = casadi_hessian(casadi, x0.size)
    dense = casadi.Function("h", hessian[0], [casadi.densify(hessian[1])])
    matrix, n = bound_casadi(dense), x0.size
    return minimizer(method, lambda x: value(x)[0], gradient, lambda x: matrix(x).reshape(n, n), x0)


def autograd_minimizer(method, x0):
    """Return autograd's call."""
    import autograd

    f = written_with(autograd.numpy)
    both = autograd.value_and_grad(f)
    return minimizer(method, both, True, autograd.hessian(f), x0)


def minimize_problem(method, n):
    """Return a minimization of Rosenbrock's function as a problem."""
    x0, f = np.zeros(n), rosenbrock
    unit = minimizer(method, f, rosenbrock_gradient, rosenbrock_hessian, x0)

    more = STRICT.get(method, {})

    def filled_in():
        return Call(lambda x0: dualtape.optimize.minimize(f, x0, method=method, **more).x, (x0,))

    def given():
        return minimizer(method, f, ad.grad(f), ad.hessian(f), x0)

    slow = n > 10
    return Problem(
        name=f"minimize-{method}-{n}",
        title=f"minimize Rosenbrock, n = {n}, {method}",
        primal=unit.function,
        args=(x0,),
        reference=lambda: unit.function(x0),
        candidates=[
            Candidate("dualtape", "filled in", filled_in),
            Candidate("dualtape", "given", given),
            Candidate("JAX", "jit", lambda: jax_minimizer(method, x0), "jax"),
            Candidate("CasADi", "", lambda: casadi_minimizer(method, x0), "casadi"),
            Candidate("autograd", "", lambda: autograd_minimizer(method, x0), "autograd", slow),
        ],
        unit="SciPy with hand-written derivatives",
        rtol=SOLUTION,
    )


@njit
def robertson(t, y):
    """ROBER: three species, rates of 0.04 to 3e7."""
    slow, back, fast = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
    return np.array([back - slow, slow - back - fast, fast])


@njit
def robertson_jacobian(t, y):
    """Jacobian of `robertson`, by hand."""
    a, b, c = 1e4 * y[2], 1e4 * y[1], 6e7 * y[1]
    return np.array([[-0.04, a, b], [0.04, -a - c, -b], [0.0, c, 0.0]])


@njit
def brusselator_flat(t, y):
    """Evaluate the Brusselator at a flat state."""
    return brusselator.brusselator(y.reshape(2, GRID, GRID)).ravel()


def hand_jacobian():
    """Return the hand-written sparse Jacobian of `brusselator_flat`."""
    places = brusselator.columns(GRID).ravel()
    matrix = brusselator.as_matrix(np.ones((2 * GRID * GRID, 6)), GRID)

    def jacobian(t, y):
        entries = brusselator.brusselator_entries(y.reshape(2, GRID, GRID)).ravel()
        return type(matrix)((entries, places, matrix.indptr), shape=matrix.shape)

    return jacobian


def integration(fun, jac, end, y0, expected=None):
    """Check a Jacobian, then return the call that integrates with it."""
    if expected is not None:
        found, wanted = (
            j.toarray() if hasattr(j, "toarray") else j for j in (jac(0.0, y0), expected)
        )
        check("Jacobian for BDF", np.ravel(found), np.ravel(wanted), AGREEMENT)

    def solved(y0):
        return integrate.solve_ivp(fun, (0.0, end), y0, "BDF", jac=jac, **TOLERANCES).y[:, -1]

    return Call(solved, (y0,))


def with_jax(fun, jac):
    """Return a right-hand side and its Jacobian, of state alone, for SciPy."""
    jax = jax_module()
    f, j = jax.jit(fun(jax.numpy)), jax.jit(jac(jax))
    return (lambda t, y: np.asarray(f(y))), (lambda t, y: np.asarray(j(y)))


def jax_robertson(jnp):
    """Return `robertson` of the state."""

    def f(y):
        slow, back, fast = 0.04 * y[0], 1e4 * y[1] * y[2], 3e7 * y[1] ** 2
        return jnp.stack([back - slow, slow - back - fast, fast])

    return f


def jax_brusselator():
    """Return right-hand side and sparse Jacobian by colors."""
    seeds, rows, colors = brusselator.colored(GRID)
    matrix = brusselator.as_matrix(np.ones((2 * GRID * GRID, 6)), GRID)
    matrix.sort_indices()

    def flat(jnp):
        f = brusselator.written_with(jnp)
        return lambda y: f(y.reshape(2, GRID, GRID)).ravel()

    def entries(jax):
        def jacobian(y):
            state, f = y.reshape(2, GRID, GRID), brusselator.written_with(jax.numpy)
            one = jax.vmap(lambda v: jax.jvp(f, (state,), (v,))[1])
            return one(jax.numpy.asarray(seeds)).reshape(len(seeds), -1)[colors, rows]

        return jacobian

    fun, values = with_jax(flat, entries)
    parts = matrix.indices, matrix.indptr
    return fun, lambda t, y: type(matrix)((values(t, y), *parts), shape=matrix.shape)


def robertson_problem():
    """Return the integration of ROBER as a problem."""
    y0, end = np.array([1.0, 0.0, 0.0]), 1e4
    expected = robertson_jacobian(0.0, y0)
    unit = integration(robertson, robertson_jacobian, end, y0)

    def filled_in():
        solve = dualtape.integrate.solve_ivp
        return Call(
            lambda y0: solve(robertson, (0.0, end), y0, "BDF", **TOLERANCES).y[:, -1], (y0,)
        )

    def given():
        return integration(robertson, ad.jacobian(robertson, 1), end, y0, expected)

    def by_jax():
        both = with_jax(jax_robertson, lambda jax: jax.jacfwd(jax_robertson(jax.numpy)))
        return integration(*both, end, y0, expected)

    return Problem(
        name="bdf-rober",
        title="solve_ivp, BDF, ROBER",
        primal=unit.function,
        args=(y0,),
        reference=lambda: unit.function(y0),
        candidates=[
            Candidate("dualtape", "filled in", filled_in),
            Candidate("dualtape", "given", given),
            Candidate("JAX", "jit", by_jax, "jax"),
            Candidate("SciPy", "differences", lambda: integration(robertson, None, end, y0)),
        ],
        unit="SciPy with hand-written derivatives",
        rtol=TRAJECTORY,
    )


def brusselator_problem():
    """Return the integration of the Brusselator as a problem."""
    y0, end = brusselator.brusselator_state(GRID).ravel(), 1.0
    f, by_hand = brusselator_flat, hand_jacobian()
    unit, expected = integration(f, by_hand, end, y0), by_hand(0.0, y0)

    def filled_in():
        solve = dualtape.integrate.solve_ivp
        return Call(lambda y0: solve(f, (0.0, end), y0, "BDF", **TOLERANCES).y[:, -1], (y0,))

    def given():
        return integration(f, ad.sparse_jacobian(f, 1), end, y0, expected)

    def differences():
        options = {**TOLERANCES, "jac_sparsity": expected}
        return Call(
            lambda y0: integrate.solve_ivp(f, (0.0, end), y0, "BDF", **options).y[:, -1], (y0,)
        )

    return Problem(
        name="bdf-brusselator",
        title=f"solve_ivp, BDF, Brusselator {GRID} x {GRID}",
        primal=unit.function,
        args=(y0,),
        reference=lambda: unit.function(y0),
        candidates=[
            Candidate("dualtape", "filled in", filled_in),
            Candidate("dualtape", "given", given),
            Candidate(
                "JAX", "jit", lambda: integration(*jax_brusselator(), end, y0, expected), "jax"
            ),
            Candidate("SciPy", "differences", differences),
        ],
        unit="SciPy with hand-written derivatives",
        rtol=TRAJECTORY,
    )


def calls_of_brusselator():
    """Return how often BDF calls the right-hand side: with exact entries, with differences."""
    y0, counts = brusselator.brusselator_state(GRID).ravel(), []
    jacobians = {"jac": ad.sparse_jacobian(brusselator_flat, 1)}
    pattern = {"jac_sparsity": hand_jacobian()(0.0, y0)}
    for given in (jacobians, pattern):
        calls = []

        def counted(t, y, calls=calls):
            calls.append(t)
            return brusselator_flat(t, y)

        integrate.solve_ivp(counted, (0.0, 1.0), y0, "BDF", **given, **TOLERANCES)
        counts.append(len(calls))
    return tuple(counts)


def problems(small=False):
    """Yield the problems; the first one is small already."""
    for method in METHODS:
        for n in SIZES:
            yield minimize_problem(method, n)
    yield robertson_problem()
    yield brusselator_problem()


def bench_scipy(run, case):
    run(case)
