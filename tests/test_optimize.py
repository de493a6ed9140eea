"""`dualtape.optimize`: the derivatives a method uses are there, exact, and computed once a point.

Solutions are known in closed form; derivatives that reach SciPy are compared with SciPy's own
`rosen_der`, `rosen_hess` and `rosen_hess_prod`.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scenarios import rosenbrock
from scipy import optimize as scipy_optimize
from scipy.optimize import (
    BFGS,
    Bounds,
    LinearConstraint,
    NonlinearConstraint,
    rosen,
    rosen_der,
    rosen_hess,
    rosen_hess_prod,
)
from scipy.sparse import issparse

import dualtape as ad
from dualtape.optimize import curve_fit, least_squares, minimize, multistart, root, root_scalar
from dualtape.optimize.constraints import for_trust_constr
from dualtape.solvers import evaluation

START = np.array([-1.2, 1.0, 0.7])
BY_HAND = {"jac": rosen_der, "hess": rosen_hess}
METHODS = {
    "CG": ["jac"],
    "BFGS": ["jac"],
    "L-BFGS-B": ["jac"],
    "SLSQP": ["jac"],
    "Newton-CG": ["jac", "hess"],
    "trust-ncg": ["jac", "hess"],
    "trust-krylov": ["jac", "hess"],
    "trust-exact": ["jac", "hess"],
    "trust-constr": ["jac", "hess"],
}


@pytest.mark.parametrize("method", METHODS)
def test_same_iterations_as_with_derivatives_by_hand(method):
    """Later, rounding decides where the solvers go on this function."""
    given = {name: BY_HAND[name] for name in METHODS[method]}
    options = {"maxiter": 6}
    expected = scipy_optimize.minimize(rosen, START, method=method, options=options, **given)
    found = minimize(rosenbrock, START, method=method, options=options)
    assert (found.nit, found.message) == (expected.nit, expected.message)
    assert_allclose(found.x, expected.x, rtol=1e-8)
    assert_allclose(found.fun, expected.fun, rtol=1e-8)
    assert minimize(rosenbrock, START, method=method).fun < 1e-6


def handed_over(method, **given):
    """Return what a custom method gets, at START."""
    seen = {}

    def custom(fun, x0, args=(), **options):
        seen.update(options, fun=fun)
        return scipy_optimize.OptimizeResult(x=x0, success=True)

    minimize(rosenbrock, START, method=custom, **given)
    return seen


def test_derivatives_handed_over_are_exact():
    seen = handed_over("custom")
    assert_allclose(seen["fun"](START), rosen(START), rtol=1e-14)
    assert_allclose(seen["jac"](START), rosen_der(START), rtol=1e-13)
    assert_allclose(seen["hess"](START), rosen_hess(START), rtol=1e-13)
    assert seen["hessp"] is None


@pytest.mark.slow
def test_many_variables_get_products():
    x = np.linspace(-1.0, 1.0, 30)
    found = []

    def custom(fun, x0, jac, hess, hessp, **options):
        found.append((hess, hessp(x0, x0[::-1].copy())))
        return scipy_optimize.OptimizeResult(x=x0)

    minimize(rosenbrock, x, method=custom)
    assert found[0][0] is None
    assert_allclose(found[0][1], rosen_hess_prod(x, x[::-1]), rtol=1e-12, atol=1e-12)


def test_what_the_user_gives_is_used():
    mine = [rosen_der, rosen_hess, rosen_hess_prod]
    given = dict(zip(["jac", "hess", "hessp"], mine, strict=True))
    seen = handed_over("custom", **given)
    assert [seen[name] for name in given] == mine
    assert seen["fun"] is rosenbrock
    seen = handed_over("custom", jac=rosen_der)
    assert seen["jac"] is rosen_der
    assert_allclose(seen["hess"](START), rosen_hess(START), rtol=1e-13)
    seen = handed_over("custom", hess="2-point")
    assert seen["hess"] == "2-point"
    assert_allclose(seen["jac"](START), rosen_der(START), rtol=1e-13)


@pytest.mark.slow
def test_value_and_gradient_in_one_function_get_a_hessian():
    both = ad.value_and_grad(rosenbrock)
    found = minimize(both, START, jac=True, method="trust-exact", options={"gtol": 1e-10})
    assert_allclose(found.x, 1.0, atol=1e-9)


def test_one_evaluation_for_every_point(monkeypatch):
    calls = []

    def counted(transform):
        def made(f):
            inner = transform(f)

            def call(x, *args):
                calls.append(x.tobytes())
                return inner(x, *args)

            return call

        return made

    names = ["value_and_grad", "value_grad_hessian", "hessian"]
    for name in names:
        monkeypatch.setattr(evaluation, name, counted(getattr(evaluation, name)))
    for method in ("BFGS", "trust-exact"):
        calls.clear()
        found = minimize(rosenbrock, START, method=method)
        assert len(calls) == len(set(calls)) <= found.nfev


def shifted(x, center, weights, power=2):
    s = 0.0
    for i in range(x.size):
        s += weights[i] * (x[i] - center) ** power
    return s


def test_args_lists_and_defaults():
    weights = np.array([1.0, 5.0])
    found = minimize(shifted, [7, 1], args=(3.0, weights), method="trust-exact")
    assert_allclose(found.x, 3.0, atol=1e-9)
    assert_allclose(minimize(square_of_difference, 5, args=2.0).x, [2.0], atol=1e-6)


def square_of_difference(x, a):
    return (x[0] - a) ** 2


def circle(x):
    return np.array([x[0] ** 2 + x[1] ** 2, x[0] * x[1]])


def radius(x):
    return x[0] ** 2 + x[1] ** 2


def total(x):
    return x[0] + x[1]


NONLINEAR = {
    "vector": NonlinearConstraint(circle, [2.0, -np.inf], [2.0, 5.0]),
    "scalar": NonlinearConstraint(radius, 2.0, 2.0),
    "several": [
        LinearConstraint([[1.0, 0.0]], -np.inf, 3.0),
        NonlinearConstraint(radius, 2.0, 2.0),
    ],
}


@pytest.mark.parametrize(
    ("method", "name"),
    [("trust-constr", name) for name in NONLINEAR] + [("SLSQP", "scalar"), ("SLSQP", "several")],
)
def test_nonlinear_constraints(method, name):
    constraints = NONLINEAR[name]
    found = minimize(total, [-2.0, -0.5], method=method, constraints=constraints)
    assert_allclose(found.x, -1.0, atol=1e-4)
    one = constraints[-1] if isinstance(constraints, list) else constraints
    assert one.jac == "2-point"  # the caller's object is not changed
    assert isinstance(one.hess, BFGS)


def test_derivatives_of_constraints():
    start = [0.0, 0.0]
    made, options = for_trust_constr(NONLINEAR["vector"], start, {}, sparse="auto")
    assert options == {}
    x, v = np.array([0.3, -0.7]), np.array([2.0, 5.0])
    assert_allclose(made.jac(x), [[0.6, -1.4], [-0.7, 0.3]], rtol=1e-15)
    assert_allclose(made.hess(x, v), [[4.0, 5.0], [5.0, 4.0]], rtol=1e-15)
    given = NonlinearConstraint(radius, 2, 2, jac=radius, hess="cs")
    [kept], _ = for_trust_constr([given], start, {}, sparse="auto")
    assert kept.jac is radius
    assert kept.hess == "cs"


def neighbours(x):
    return x**2 + np.roll(x, 1)


@pytest.mark.parametrize("extra", [[], [LinearConstraint(np.ones((1, 120)), -np.inf, 150.0)]])
def test_sparse_constraints(extra):
    x = np.linspace(0.9, 1.1, 120)
    constraints = [NonlinearConstraint(neighbours, 2.0, 2.0), *extra]
    [made, *_], options = for_trust_constr(constraints, x, {}, sparse="auto")
    assert options == {"sparse_jacobian": True}
    v = np.cos(np.arange(120.0))
    slopes, curvatures = made.jac(x), made.hess(x, v)
    assert issparse(slopes)
    assert issparse(curvatures)
    assert_allclose(slopes.toarray(), 2.0 * np.diag(x) + np.roll(np.eye(120), 1, axis=0))
    assert_allclose(curvatures.toarray(), 2.0 * np.diag(v), atol=1e-15)
    found = minimize(
        lambda x: np.sum((x - 1.1) ** 2), x, method="trust-constr", constraints=constraints
    )
    assert all(issparse(jac) for jac in found.jac)
    assert_allclose(found.x, 1.0, atol=1e-5)


def test_users_choice_of_dense_constraints():
    given = {"sparse_jacobian": False}
    [made], options = for_trust_constr(
        [NonlinearConstraint(neighbours, 2.0, 2.0)], np.ones(120), given, sparse="auto"
    )
    assert options == given
    assert type(made.jac(np.ones(120))) is np.ndarray


def below(x, most):
    return most - x[0]


def off_circle(x):
    return x[0] ** 2 + x[1] ** 2 - 2.0


def test_constraints_in_dicts():
    constraints = [
        {"type": "eq", "fun": off_circle},
        {"type": "ineq", "fun": below, "args": (3.0,)},
    ]
    found = minimize(total, [-2.0, -0.5], constraints=constraints, options={"ftol": 1e-14})
    assert found.success
    assert_allclose(found.x, -1.0, atol=1e-6)
    assert sorted(constraints[0]) == ["fun", "type"]
    single = minimize(total, [-2.0, -0.5], constraints=constraints[0], method="SLSQP")
    assert_allclose(single.x, -1.0, atol=1e-4)


def test_bounds_choose_the_method():
    found = minimize(rosenbrock, [0.0, 0.0], bounds=Bounds(-2.0, [0.5, 2.0]))
    assert_allclose(found.x, [0.5, 0.25], atol=1e-5)
    assert "hess_inv" in found


def test_methods_without_derivatives_run_the_function_as_it_is():
    def f(x):
        return float(sum(sorted({"a": (x[0] - 1.0) ** 2}.values())))

    assert_allclose(minimize(f, [0.0], method="Nelder-Mead").x, 1.0, atol=1e-4)


@pytest.mark.parametrize("solve", [minimize, least_squares, root])
def test_no_finite_differences_for_what_numba_refuses(solve):
    def f(x):
        return open(x)

    with pytest.raises(ad.UnsupportedFunctionError, match="Finite differences are never taken"):
        solve(f, [1.0])


# Progress


@pytest.mark.parametrize("method", ["BFGS", "trust-exact", "trust-constr", "TNC", "Powell"])
def test_progress(method, capsys):
    seen = []
    limit = "maxfun" if method == "TNC" else "maxiter"
    minimize(
        rosenbrock,
        START,
        method=method,
        progress=True,
        options={limit: 5},
        callback=lambda x, *more: seen.append(x.copy()) and None,
    )
    lines = capsys.readouterr().out.splitlines()
    lines = [line for line in lines if "f =" in line]
    assert len(lines) == len(seen) > 0
    assert lines[0].split()[:3] == ["1", "f", "="]
    assert_allclose(float(lines[-1].split()[3]), rosen(seen[-1]), rtol=1e-9)
    if method == "Powell":
        assert "|g|" not in lines[0]
    else:
        norm = np.max(np.abs(rosen_der(seen[-1])))
        assert_allclose(float(lines[-1].split("=")[-1]), norm, rtol=1e-3)


def test_progress_with_the_other_callback(capsys):
    seen = []

    def callback(intermediate_result):
        seen.append(intermediate_result.fun)
        raise StopIteration

    found = minimize(rosenbrock, START, progress=True, callback=callback)
    assert found.status == 99
    assert len(seen) == 1 == len(capsys.readouterr().out.splitlines())


def test_progress_of_least_squares(capsys):
    least_squares(valley, [-1.2, 1.0], progress=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["0", "cost", "=", "12.1", "|g|", "=", "1.078e+02"]


@pytest.mark.parametrize("method", ["hybr", "lm"])
def test_progress_of_roots(method, capsys):
    root(chain, np.full(12, -1.0), args=(1.0,), method=method, progress=True)
    first = capsys.readouterr().out.splitlines()[0].split()
    f, slopes = chain(np.full(12, -1.0), 1.0), ad.jacobian(chain)(np.full(12, -1.0), 1.0)
    assert first[:3] == ["0", "cost", "="]
    assert_allclose(float(first[3]), 0.5 * f @ f, rtol=1e-9)
    assert_allclose(float(first[6]), np.max(np.abs(f @ slopes)), rtol=1e-3)


def test_progress_of_curves(capsys):
    curve_fit(decay, TIMES, decay(TIMES, 3.0, 0.5, 1.0), p0=[1.0, 1.0, 0.0], progress=True)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    misses = decay(TIMES, 1.0, 1.0) - decay(TIMES, 3.0, 0.5, 1.0)
    assert_allclose(float(lines[0][3]), 0.5 * misses @ misses, rtol=1e-9)
    assert float(lines[-1][3]) < 1e-12


# Least squares, roots, curves


def valley(x):
    return np.array([10.0 * (x[1] - x[0] ** 2), 1.0 - x[0]])


def chain(x, c):
    out = np.zeros(x.size)
    for i in range(x.size):
        out[i] = (3.0 - 2.0 * x[i]) * x[i] + c
        if i > 0:
            out[i] -= x[i - 1]
        if i < x.size - 1:
            out[i] -= 2.0 * x[i + 1]
    return out


@pytest.mark.parametrize("method", ["trf", "dogbox", "lm"])
def test_least_squares(method):
    found = least_squares(valley, [-1.2, 1.0], method=method)
    expected = scipy_optimize.least_squares(valley, [-1.2, 1.0], method=method)
    assert_allclose(found.x, 1.0, atol=1e-10)
    assert_allclose(found.jac, [[-20.0, 10.0], [-1.0, 0.0]], rtol=1e-9, atol=1e-12)
    assert found.nfev <= expected.nfev


def test_least_squares_of_many_unknowns_with_arguments():
    x0 = np.full(20, -1.0)
    for options in (
        {"args": (1.0,)},
        {"kwargs": {"c": 1.0}},
        {"args": (1.0,), "tr_solver": "lsmr"},
    ):
        found = least_squares(chain, x0, **options)
        assert np.max(np.abs(chain(found.x, 1.0))) < 1e-8
    mine = []

    def jac(x, c):
        mine.append(x)
        return ad.jacobian(chain)(x, c)

    least_squares(chain, x0, jac, args=(1.0,))
    assert mine


def test_sparse_jacobians_of_least_squares():
    x0 = np.full(120, -1.0)
    found = least_squares(chain, x0, args=(1.0,), tr_solver="lsmr")
    assert issparse(found.jac)
    assert found.jac.nnz == 3 * 120 - 2
    assert_allclose(found.jac.toarray(), ad.jacobian(chain)(found.x, 1.0), rtol=1e-14)
    assert np.max(np.abs(chain(found.x, 1.0))) < 1e-7
    dense = least_squares(chain, x0, args=(1.0,), tr_solver="lsmr", sparse=False)
    assert type(dense.jac) is np.ndarray
    assert_allclose(dense.x, found.x, rtol=1e-6)
    small = least_squares(valley, [-1.2, 1.0], sparse=True, progress=True)
    assert issparse(small.jac)
    assert_allclose(small.x, 1.0, atol=1e-7)
    with pytest.raises(ad.ArgumentError, match="sparse is None"):
        least_squares(valley, [-1.2, 1.0], sparse=None)


@pytest.mark.parametrize("options", [{}, {"method": "lm"}, {"options": {"col_deriv": True}}])
def test_root(options):
    x0 = np.full(12, -1.0)
    found = root(chain, x0, args=(1.0,), tol=1e-13, **options)
    assert found.success
    assert np.max(np.abs(chain(found.x, 1.0))) < 1e-10


def test_root_of_lists_and_other_methods():
    def meet(x):
        return [x[0] ** 2 + x[1] ** 2 - 2.0, x[1] - x[0] ** 2]

    assert_allclose(root(meet, [2, 1]).x, 1.0, atol=1e-9)
    assert_allclose(
        root(lambda x: np.cos(x) - x, [0.7], method="krylov").x, 0.7390851332, atol=1e-5
    )


def cubic(x, a):
    return x**3 - a


@pytest.mark.parametrize(
    "options",
    [
        {"x0": 1.0},
        {"x0": 1, "method": "newton"},
        {"x0": 1.0, "method": "halley"},
        {"x0": 1.0, "method": "halley", "fprime": lambda x, a: 3.0 * x * x},
        {"x0": 1.0, "x1": 1.5},
        {"bracket": [0.0, 3.0]},
    ],
)
def test_root_scalar(options):
    found = root_scalar(cubic, args=(2.0,), **options)
    assert found.converged
    assert_allclose(found.root, 2.0 ** (1.0 / 3.0), rtol=1e-10)
    without = {name: value for name, value in options.items() if name not in ("method", "fprime")}
    assert found.method == options.get(
        "method", scipy_optimize.root_scalar(cubic, args=(2.0,), **without).method
    )


TIMES = np.linspace(0.0, 4.0, 25)


def decay(t, a, b, c=0.0):
    return a * np.exp(-b * t) + c


def test_curve_fit():
    data = decay(TIMES, 3.0, 0.5, 1.0)
    found, covariance = curve_fit(decay, TIMES, data)
    assert_allclose(found, [3.0, 0.5, 1.0], rtol=1e-8)
    assert covariance.shape == (3, 3)
    noise = np.cos(50.0 * TIMES) * 0.1
    for options in (
        {"sigma": np.linspace(1.0, 2.0, 25)},
        {"bounds": (0.0, 5.0)},
        {"method": "dogbox"},
    ):
        expected = scipy_optimize.curve_fit(
            decay, TIMES, data + noise, p0=[1.0, 1.0, 0.0], **options
        )
        found = curve_fit(decay, TIMES, data + noise, p0=[1.0, 1.0, 0.0], **options)
        assert_allclose(found[0], expected[0], rtol=1e-6)
        assert_allclose(found[1], expected[1], rtol=1e-4)


def test_curve_fit_with_star_arguments():
    def polynomial(t, *p):
        s = np.zeros(t.size)
        for k in range(len(p)):
            s += p[k] * t**k
        return s

    found, _ = curve_fit(polynomial, TIMES, 1.0 - 2.0 * TIMES + 0.5 * TIMES**2, p0=np.ones(3))
    assert_allclose(found, [1.0, -2.0, 0.5], rtol=1e-8)


# Many starts


def hilly(x):
    s = 0.0
    for i in range(x.size):
        s += (x[i] ** 2 - 1.0) ** 2 + 0.1 * x[i]
    return s


def test_multistart():
    roots = np.sort(np.roots([4.0, 0.0, -4.0, 0.1]).real)[[0, 2]]
    found = multistart(
        hilly, [[-2.0, -1.5], [2.0, -1.0], [-1.0, 1.0], [1.5, 2.0], [0.9, -0.8]], workers=3
    )
    assert_allclose(
        [np.sort(r.x) for r in found], roots[[[0, 0], [0, 1], [0, 1], [1, 1]]], atol=1e-5
    )
    assert [r.fun for r in found] == sorted(r.fun for r in found)
    spread = multistart(hilly, 16, bounds=[(-2.0, 2.0)] * 2, method="L-BFGS-B")
    assert len(spread) == 4
    box = multistart(hilly, 16, bounds=Bounds([-2.0, 0.5], [2.0, 2.0]))
    assert_allclose([r.x[1] for r in box], roots[1], atol=1e-5)


@pytest.mark.parametrize(
    ("starts", "bounds"), [([1.0, 2.0], None), (5, None), (5, [(0.0, None)]), (0, [(0.0, 1.0)])]
)
def test_multistart_wants_points(starts, bounds):
    with pytest.raises(ad.ArgumentError, match="multistart"):
        multistart(hilly, starts, bounds=bounds)
