"""`dualtape.integrate`: SciPy's integrators with Jacobians, and derivatives of their results.

References: closed forms, central differences of tight solutions, forward against adjoint, and what
the CVODES examples cvsRoberts_FSA and cvsRoberts_ASA print for Robertson's problem.
"""

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose
from scipy import integrate as scipy_integrate
from scipy import sparse

import dualtape as ad
from dualtape.integrate import (
    odeint,
    quad,
    solve_bvp,
    solve_ivp,
    solve_ivp_adjoint,
    solve_ivp_sensitivity,
)

RATES = np.array([0.04, 1e4, 3e7])
START = np.array([1.0, 0.0, 0.0])
TIGHT = {"rtol": 1e-10, "atol": 1e-14}


def robertson(t, y, p):
    slow, back, fast = p[0] * y[0], p[1] * y[1] * y[2], p[2] * y[1] ** 2
    return np.array([back - slow, slow - back - fast, fast])


def robertson_list(t, y, a, b, c):
    return [b * y[1] * y[2] - a * y[0], a * y[0] - b * y[1] * y[2] - c * y[1] ** 2, c * y[1] ** 2]


# As SciPy's


@pytest.mark.parametrize("method", ["Radau", "BDF", "LSODA", scipy_integrate.BDF])
def test_implicit_methods_get_the_jacobian(method):
    found = solve_ivp(robertson, (0.0, 40.0), START, method, args=(RATES,), rtol=1e-8, atol=1e-12)
    assert found.success
    assert_allclose(found.y[:, -1], [0.7158271, 9.185535e-6, 0.2841637], rtol=1e-6)
    lists = solve_ivp(robertson_list, (0, 40), [1, 0, 0], method, args=tuple(RATES), **TIGHT)
    assert_allclose(lists.y[:, -1], found.y[:, -1], rtol=1e-6)
    by_differences = scipy_integrate.solve_ivp(
        robertson, (0.0, 40.0), START, method, args=(RATES,), rtol=1e-8, atol=1e-12
    )
    assert found.nfev <= by_differences.nfev


def test_explicit_methods_are_scipys():
    def not_compilable(t, y):
        return [-v for v in dict(enumerate(y)).values()]

    found = solve_ivp(not_compilable, (0.0, 1.0), [1.0], t_eval=[0.5, 1.0])
    expected = scipy_integrate.solve_ivp(not_compilable, (0.0, 1.0), [1.0], t_eval=[0.5, 1.0])
    np.testing.assert_array_equal(found.y, expected.y)


def test_what_the_user_gives_is_used():
    used = []

    def jac(t, y):
        used.append(t)
        return -np.eye(1)

    solve_ivp(lambda t, y: -y, (0.0, 1.0), [1.0], method="BDF", jac=jac)
    assert used
    assert_allclose(odeint(lambda y, t: -y, [1.0], [0.0, 1.0], Dfun=lambda y, t: jac(t, y))[1],
                    np.exp(-1.0), rtol=1e-6)  # fmt: skip


# Sparse Jacobians

MANY = 120


def switching(t, y, reach):
    """Diffusion; where y is large, an element depends on one further away, too."""
    out = np.empty(y.size)
    for i in range(y.size):
        left, right = y[i - 1] if i > 0 else 0.0, y[i + 1] if i < y.size - 1 else 0.0
        out[i] = 50.0 * (left - 2.0 * y[i] + right) - y[i] ** 3
        if y[i] > 0.5:
            out[i] += y[(i + reach) % y.size]
    return out


def jacobian_seen(monkeypatch, fun, n, method, **options):
    """Return the Jacobian that SciPy gets, at ones, and what it is given."""
    seen = {}
    monkeypatch.setattr(scipy_integrate, "solve_ivp", lambda *_, **given: seen.update(given))
    solve_ivp(fun, (0.0, 1.0), np.ones(n), method, **options)
    monkeypatch.undo()
    return seen["jac"](0.0, np.ones(n), *(options.get("args") or ()))


def test_form_of_the_jacobian(monkeypatch):
    args = {"args": (7,)}
    many, few = (jacobian_seen(monkeypatch, switching, n, "BDF", **args) for n in (MANY, 20))
    assert sparse.issparse(many)
    assert type(few) is np.ndarray
    expected = ad.jacobian(switching, 1)
    assert_allclose(many.toarray(), expected(0.0, np.ones(MANY), 7), atol=1e-13)
    assert_allclose(few, expected(0.0, np.ones(20), 7), atol=1e-13)
    for given in (("LSODA", {}), ("Radau", {"sparse": False})):
        assert type(jacobian_seen(monkeypatch, switching, MANY, given[0], **given[1], **args)) is (
            np.ndarray
        )
    assert sparse.issparse(jacobian_seen(monkeypatch, switching, 20, "BDF", sparse=True, **args))
    assert type(jacobian_seen(monkeypatch, switching, MANY, "BDF", jac=lambda *_: 1, **args)) is int
    with pytest.raises(ad.ArgumentError, match="sparse is 'no'"):
        solve_ivp(switching, (0.0, 1.0), np.ones(3), "BDF", sparse="no", **args)


def all_together(t, y):
    return -y * np.sum(y)


def test_full_jacobians_and_long_recordings_stay_dense(monkeypatch):
    found = jacobian_seen(monkeypatch, all_together, MANY, "BDF")
    assert_allclose(found, -np.ones((MANY, MANY)) - MANY * np.eye(MANY), rtol=1e-14)
    limit = ad.set_tape_limit(1000)
    try:
        found = jacobian_seen(monkeypatch, switching, MANY, "BDF", args=(7,))
    finally:
        ad.set_tape_limit(limit)
    assert type(found) is np.ndarray


@pytest.mark.parametrize("method", ["BDF", "Radau"])
def test_patterns_change_on_the_way(method):
    y0 = np.where(np.arange(MANY) < 40, 1.0, 0.1)
    options = {"method": method, "args": (7,), "rtol": 1e-8, "atol": 1e-10}
    found = solve_ivp(switching, (0.0, 2.0), y0, **options)
    expected = solve_ivp(switching, (0.0, 2.0), y0, sparse=False, **options)
    assert found.success
    assert_allclose(found.y[:, -1], expected.y[:, -1], rtol=1e-6)
    patterns = ad.jacobian_sparsity(switching, 1)
    first, last = patterns(0.0, y0, 7), patterns(0.0, found.y[:, -1], 7)
    assert first.nnz != last.nnz


@pytest.mark.slow
def test_vectorized_scalar_and_what_numba_refuses():
    def decay(t, y):
        return -2.0 * y

    found = solve_ivp(decay, (0.0, 1.0), [1.0], method="Radau", vectorized=True, **TIGHT)
    assert_allclose(found.y[:, -1], np.exp(-2.0), rtol=1e-8)
    found = solve_ivp(lambda t, y: -y[0], (0.0, 1.0), [1.0], method="BDF", **TIGHT)
    assert_allclose(found.y[:, -1], np.exp(-1.0), rtol=1e-8)
    with pytest.raises(ad.UnsupportedFunctionError, match="Finite differences are never taken"):
        solve_ivp(lambda t, y: vars(y), (0.0, 1.0), [1.0], method="BDF")


@pytest.mark.parametrize("options", [{}, {"col_deriv": True}])
def test_odeint(options):
    times = np.array([0.0, 0.4, 40.0])

    def swapped(y, t, p):
        return robertson(t, y, p)

    y = odeint(swapped, START, times, (RATES,), rtol=1e-9, atol=1e-12, **options)
    assert_allclose(y[-1], [0.7158271, 9.185535e-6, 0.2841637], rtol=1e-6)
    first = odeint(robertson, START, times, (RATES,), rtol=1e-9, atol=1e-12, tfirst=True)
    assert_allclose(first, y, rtol=1e-6, atol=1e-12)


def wave(x, y, p):
    out = np.empty_like(y)
    out[0], out[1] = y[1], -(p[0] ** 2) * y[0]
    return out


def ends(ya, yb, p):
    return np.array([ya[0], yb[0], ya[1] - p[0]])


@pytest.mark.slow
def test_solve_bvp_with_a_parameter():
    x, y = np.linspace(0.0, 1.0, 5), np.zeros((2, 5))
    y[0, 1], y[0, 3] = 1.0, -1.0
    found = solve_bvp(wave, ends, x, y, p=[6.0], tol=1e-8)
    assert_allclose(found.p, 2.0 * np.pi, rtol=1e-8)
    assert_allclose(found.sol(0.3)[0], np.sin(0.6 * np.pi), rtol=1e-6)


def test_solve_bvp_jacobians(monkeypatch):
    seen = {}

    def keep(fun, bc, x, y, p, singular, fun_jac, bc_jac):
        seen.update(fun_jac=fun_jac, bc_jac=bc_jac)

    monkeypatch.setattr(scipy_integrate, "solve_bvp", keep)
    x, y, p = np.linspace(0.0, 1.0, 4), np.arange(8.0).reshape(2, 4), np.array([3.0])
    solve_bvp(wave, ends, x, y, p)
    by_y, by_p = seen["fun_jac"](x, y, p)
    assert_allclose(by_y, np.stack([[[0.0, 1.0], [-9.0, 0.0]]] * 4, axis=-1))
    assert_allclose(by_p[:, 0], [np.zeros(4), -6.0 * y[0]])
    ya, yb, by_parameters = seen["bc_jac"](y[:, 0].copy(), y[:, 1].copy(), p)
    assert_allclose(ya, [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]])
    assert_allclose(yb, [[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert_allclose(by_parameters, [[0.0], [0.0], [-1.0]])
    solve_bvp(lambda x, y: y * y, lambda ya, yb: ya - yb, x, y)
    diagonal = np.zeros((2, 2, 4))
    diagonal[0, 0], diagonal[1, 1] = 2.0 * y
    assert_allclose(seen["fun_jac"](x, y), diagonal)
    mine = seen["fun_jac"]
    solve_bvp(wave, ends, x, y, p, None, mine, mine)
    assert seen == {"fun_jac": mine, "bc_jac": mine}


# Integrals


@njit
def sine(x, p):
    return np.sin(p * x)


def area(v):
    return quad(sine, v[0], v[1], (v[2],))[0]


def area_exact(a, b, p):
    return (np.cos(p * a) - np.cos(p * b)) / p


def test_quad_is_scipys_from_python():
    assert quad(sine, 0.0, 1.0, (2.0,)) == scipy_integrate.quad(sine, 0.0, 1.0, (2.0,))
    assert len(quad(sine, 0.0, 1.0, 2.0, full_output=1)) == 3


def test_derivatives_of_integrals():
    a, b, p = v = np.array([0.2, 1.0, 2.0])
    moment = (np.sin(p * b) * b - np.sin(p * a) * a) / p - area_exact(a, b, p) / p
    value, gradient, hessian = ad.value_grad_hessian(area)(v)
    assert_allclose(value, area_exact(a, b, p), rtol=1e-14)
    assert_allclose(gradient, [-np.sin(p * a), np.sin(p * b), moment], rtol=1e-13)
    second = scipy_integrate.quad(lambda x: -x * x * np.sin(p * x), a, b, epsabs=1e-14)[0]
    expected = np.array(
        [
            [-p * np.cos(p * a), 0.0, -a * np.cos(p * a)],
            [0.0, p * np.cos(p * b), b * np.cos(p * b)],
            [-a * np.cos(p * a), b * np.cos(p * b), second],
        ]
    )
    assert_allclose(hessian, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.slow
def test_derivatives_of_integrals_in_reverse_mode_and_in_compiled_code():
    v = np.array([1.0, 0.2, 2.0])  # from the upper to the lower limit
    assert_allclose(ad.grad(area, mode="reverse")(v), ad.grad(area, mode="forward")(v), rtol=1e-13)
    assert_allclose(njit(area)(v), area_exact(*v), rtol=1e-14)


@njit
def bell(x, s):
    return np.exp(-x * x / s)


def tails(v):
    line = quad(bell, -np.inf, np.inf, (v[0],))[0]
    return line + 2.0 * quad(bell, v[1], np.inf, (v[0],))[0] + quad(bell, -np.inf, v[1], (v[0],))[0]


@njit
def kink(x, c):
    return np.sqrt(abs(x - c))


@pytest.mark.slow
def test_infinite_limits_and_refined_panels():
    s, a = v = np.array([2.0, 0.3])
    value, gradient = ad.value_and_grad(tails)(v)
    whole = np.sqrt(np.pi * s)
    upper = scipy_integrate.quad(lambda x: np.exp(-x * x / s), a, np.inf, epsabs=1e-13)[0]
    assert_allclose(value, 2.0 * whole + upper, rtol=1e-9)

    def slope(x):
        return np.exp(-x * x / s) * x * x / s**2

    by_s = whole / s + scipy_integrate.quad(slope, a, np.inf, epsabs=1e-13)[0]
    assert_allclose(gradient, [by_s, -np.exp(-a * a / s)], rtol=1e-8)
    found, error = njit(lambda c: quad(kink, 0.0, 1.0, (c,)))(0.3)
    assert abs(found - (0.3**1.5 + 0.7**1.5) / 1.5) < 1e-8
    assert 0.0 < error < 1.5e-8


# Sensitivities. What CVODES prints at t = 0.4 has five digits.

PUBLISHED = np.array(
    [
        [-3.5595e-01, 9.5428e-08, -1.5832e-11],
        [3.9025e-04, -2.1310e-10, -5.2900e-13],
        [3.5556e-01, -9.5215e-08, 1.6361e-11],
    ]
)


def central(function, p, relative=1e-4):
    """Return fourth-order differences of a function by p, columns last."""
    columns = []
    for j, pj in enumerate(p):
        h = relative * pj
        terms = []
        for k, weight in ((-2, 1.0), (-1, -8.0), (1, 8.0), (2, -1.0)):
            moved = p.copy()
            moved[j] += k * h
            terms.append(weight * np.asarray(function(moved)))
        columns.append(sum(terms) / (12.0 * h))
    return np.stack(columns, axis=-1)


def end_state(p, t=0.4):
    return solve_ivp(robertson, (0.0, t), START, "Radau", args=(p,), rtol=1e-12, atol=1e-16).y[
        :, -1
    ]


@pytest.mark.parametrize(
    "method", ["Radau", *(pytest.param(m, marks=pytest.mark.slow) for m in ("LSODA", "BDF"))]
)
def test_sensitivities_of_robertsons_problem(method):
    found = solve_ivp_sensitivity(robertson, (0.0, 0.4), START, RATES, method=method, **TIGHT)
    assert_allclose(found.y[:, -1], [9.8517e-01, 3.3864e-05, 1.4794e-02], rtol=2e-5)
    assert_allclose(found.dy_dp[:, :, -1], PUBLISHED, rtol=1e-4)
    assert_allclose(found.dy_dp[:, :, -1], central(end_state, RATES), rtol=2e-6)
    assert found.dy_dp.shape == (3, 3, found.t.size)


@pytest.mark.slow
def test_sensitivities_of_initial_values_and_events():
    """y = a exp(-k t), both parameters."""

    def decay(t, y, p, scale):
        return -p[1] * scale * y

    def half(t, y, p, scale):
        return y[0] - 0.5 * p[0]

    half.terminal, half.direction = True, -1.0
    p = np.array([2.0, 0.7])
    found = solve_ivp_sensitivity(
        decay, (0.0, 3.0), p[:1], p, (1.0,), dy0_dp=[[1.0, 0.0]], events=half, method="RK45",
        dense_output=True, rtol=1e-10, atol=1e-12,
    )  # fmt: skip
    t_half = np.log(2.0) / 0.7
    assert found.status == 1
    assert_allclose(found.t_events[0], [t_half], rtol=1e-8)
    assert_allclose(found.y_events[0], [[1.0]], rtol=1e-8)
    assert_allclose(found.dy_dp_events[0], [[[0.5, -t_half]]], rtol=1e-7)
    [by_time], [total] = found.event_sensitivities()  # the state there is p[0] / 2 for every p[1]
    assert_allclose(by_time, [[0.0, -t_half / 0.7]], rtol=1e-7, atol=1e-8)
    assert_allclose(total, [[[0.5, 0.0]]], rtol=1e-7, atol=1e-8)
    assert_allclose(found.sol(0.5), 2.0 * np.exp([-0.35]), rtol=1e-8)
    assert_allclose(found.sol_dy_dp(0.5), np.exp(-0.35) * np.array([[1.0, -1.0]]), rtol=1e-7)
    with pytest.raises(ad.ArgumentError, match="dy0_dp"):
        solve_ivp_sensitivity(decay, (0.0, 1.0), p, p, (1.0,), dy0_dp=[1.0])


@pytest.mark.slow
def test_sensitivities_of_a_large_system_use_a_sparse_matrix():
    def chain(t, y, p):
        out = np.empty(y.size)
        for i in range(y.size):
            left = y[i - 1] if i > 0 else 0.0
            right = y[i + 1] if i < y.size - 1 else 0.0
            out[i] = p[0] * (left - 2.0 * y[i] + right) + p[1]
        return out

    p, y0 = np.array([400.0, 1.0]), np.linspace(0.0, 1.0, 30)
    found = solve_ivp_sensitivity(chain, (0.0, 0.1), y0, p, method="BDF", rtol=1e-9, atol=1e-12)

    def last(q):
        args = {"args": (q,), "rtol": 1e-11, "atol": 1e-14}
        return solve_ivp(chain, (0.0, 0.1), y0, "Radau", **args).y[:, -1]

    assert_allclose(found.dy_dp[:, :, -1], central(last, p), rtol=1e-4, atol=1e-8)


# The adjoint


def stored(t, y, p):
    return y[2]


def cvodes_integrand(t, y, p):
    return y[0] + p[1] * y[1] * y[2]


def squared_miss(k, t, y, p):
    return (y[0] - 0.9) ** 2 + k * y[2] * p[0]


@pytest.mark.slow
def test_adjoint_agrees_with_differences_and_forward_sensitivities():
    times, y0 = [0.3, 0.1, 0.4], np.array([0.9, 3e-5, 0.1])
    found = solve_ivp_adjoint(
        robertson, (0.0, 0.4), y0, RATES, integrand=stored, observation=squared_miss,
        t_obs=times, adjoint_atol=1e-12, **TIGHT,
    )  # fmt: skip

    def functional(v):
        options = {"args": (v[:3],), "dense_output": True, "rtol": 1e-12, "atol": 1e-16}

        z0 = np.append(v[3:], 0.0)
        sol = solve_ivp(extended_njit, (0.0, 0.4), z0, "Radau", **options).sol
        seen = sum(squared_miss(k, t, sol(t), v) for k, t in enumerate(times))
        return sol(0.4)[3] + seen

    expected = central(functional, np.concatenate([RATES, y0]))
    assert_allclose(found.value, functional(np.concatenate([RATES, y0])), rtol=1e-9)
    assert_allclose(found.grad_p, expected[:3], rtol=1e-5)
    assert_allclose(found.grad_y0, expected[3:], rtol=1e-5)
    forward = solve_ivp_sensitivity(
        robertson, (0.0, 0.4), START, RATES, method="BDF", t_eval=[0.4], **TIGHT
    )
    last = solve_ivp_adjoint(
        robertson, (0.0, 0.4), START, RATES, observation=first_species, t_obs=[0.4], **TIGHT
    )
    assert_allclose(last.grad_p, forward.dy_dp[0, :, -1], rtol=1e-5)
    assert_allclose(last.y_obs, forward.y, rtol=1e-8)


@njit
def extended_njit(t, z, p):
    slow, back, fast = p[0] * z[0], p[1] * z[1] * z[2], p[2] * z[1] ** 2
    return np.array([back - slow, slow - back - fast, fast, z[2]])


def first_species(k, t, y, p):
    return y[0]


@pytest.mark.slow
def test_adjoint_of_robertsons_problem_over_long_times():
    """What CVODES' example with the integrand y1 + p2 y2 y3 printed, at a tolerance of 1e-4."""
    span, options = (0.0, 4e7), {"rtol": 1e-8, "atol": 1e-14, "adjoint_atol": 1e-8}
    found = solve_ivp_adjoint(robertson, span, START, RATES, integrand=cvodes_integrand, **options)
    assert_allclose(found.value, 1.8219e4, rtol=5e-3)
    assert_allclose(found.grad_p, [-7.8383e5, 3.1991, -5.3301e-4], rtol=5e-3)
    assert_allclose(found.grad_y0, [3.4249e4, 3.4206e4, 3.4139e4], rtol=5e-3)
    pieces = solve_ivp_adjoint(
        robertson, span, START, RATES, integrand=cvodes_integrand, checkpoint_steps=150, **options
    )
    assert 3 < pieces.forward.t.size < found.forward.t.size / 20
    assert_allclose(pieces.grad_p, found.grad_p, rtol=1e-3)
    assert_allclose(pieces.grad_y0, found.grad_y0, rtol=1e-3)
    forward = solve_ivp_sensitivity(
        extended_njit, span, np.append(START, 0.0), RATES, method="BDF", rtol=1e-9, atol=1e-14
    )
    stored_last = solve_ivp_adjoint(robertson, span, START, RATES, integrand=stored, **options)
    assert_allclose(stored_last.grad_p, forward.dy_dp[3, :, -1], rtol=1e-4)


def test_adjoint_backward_in_time_by_an_explicit_method():
    """y(0) = a of y' = -k y with y(1) = b: a = b exp(k)."""
    found = solve_ivp_adjoint(
        decays, (1.0, 0.0), [2.0], [0.7], (1.0,), observation=scaled, t_obs=[0.0], method="DOP853",
        rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    assert_allclose(found.value, 2.0 * np.exp(0.7), rtol=1e-9)
    assert_allclose(found.grad_p, [2.0 * np.exp(0.7)], rtol=1e-8)
    assert_allclose(found.grad_y0, [np.exp(0.7)], rtol=1e-8)


def decays(t, y, p, scale):
    return -p[0] * scale * y


def scaled(k, t, y, p, scale):
    return scale * y[0]


def drained(t, y, p, scale):
    """Torricelli's flow with a leak p[0] and a supply p[1]."""
    return np.array([p[1] - p[0] * y[0], scale * y[0]])


def level(t, y, p, scale):
    return y[0] - 0.2 * p[0]


def volume(t, y, p, scale):
    return y[0] * p[1] + t


def late(t, y, p, scale):
    return t - 10.0


def first_squared(k, t, y, p, scale):
    return (1.0 + k) * y[0] ** 2


@pytest.mark.parametrize("steps", [None, 4])
def test_events_of_the_adjoint(steps):
    """The time of a terminal event depends on everything; against differences."""
    level.terminal, level.direction = True, -1.0
    y0, p, times = np.array([1.5, 0.0]), np.array([0.9, 0.05]), [0.4, 0.1]
    options = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-13}

    def functional(v):
        def rhs(t, z):
            return [*drained(t, z, v[:2], 1.0), volume(t, z, v, 1.0)]

        def event(t, z):
            return level(t, z, v, 1.0)

        event.terminal, event.direction = True, -1.0
        found = scipy_integrate.solve_ivp(
            rhs, (0.0, 9.0), [*v[2:], 0.0], events=event, dense_output=True, **options
        )
        assert found.status == 1
        seen = sum((1.0 + k) * found.sol(t)[0] ** 2 for k, t in enumerate(times))
        return found.y[2, -1] + seen

    found = solve_ivp_adjoint(
        drained, (0.0, 9.0), y0, p, (1.0,), integrand=volume, observation=first_squared,
        t_obs=times, events=[level, late], checkpoint_steps=steps, adjoint_atol=1e-12, **options,
    )  # fmt: skip
    v = np.concatenate([p, y0])
    assert_allclose(found.value, functional(v), rtol=1e-10)
    v[3] = 1e-3  # a step relative to 0 is none; nothing depends on y0[1]
    expected = central(functional, v, 1e-3)
    assert_allclose(found.grad_p, expected[:2], rtol=1e-7)
    assert_allclose(found.grad_y0, expected[2:], rtol=1e-7, atol=2e-8)
    ended = found.forward.t[-1]
    assert_allclose(found.forward.t_events[0], [ended], rtol=1e-12)
    assert found.forward.t_events[1].size == 0
    assert_allclose(found.forward.y[0, -1], 0.2 * p[0], rtol=1e-10)
    with pytest.raises(ad.ArgumentError, match="an event ended the integration"):
        solve_ivp_adjoint(
            drained, (0.0, 9.0), y0, p, (1.0,), observation=first_squared, t_obs=[8.0],
            events=level, **options,
        )  # fmt: skip


@pytest.mark.parametrize(("method", "steps"), [("BDF", 40), ("RK45", 10)])
def test_checkpoints_of_the_adjoint(method, steps):
    """Few states are kept, and the gradient is the same up to the tolerance."""
    given = {
        "observation": first_squared, "t_obs": [0.0, 0.7, 2.0], "integrand": volume,
        "method": method, "rtol": 1e-9, "atol": 1e-11,
    }  # fmt: skip
    problem = drained, (0.0, 2.0), [1.5, 0.0], [0.9, 0.05], (1.0,)
    whole = solve_ivp_adjoint(*problem, **given)
    pieces = solve_ivp_adjoint(*problem, checkpoint_steps=steps, **given)
    assert pieces.forward.sol is None
    assert 2 < pieces.forward.t.size < whole.forward.t.size / 4
    for name in ("value", "grad_p", "grad_y0", "y_obs"):
        assert_allclose(getattr(pieces, name), getattr(whole, name), rtol=3e-6, atol=1e-8)
    times, k = np.array([0.0, 0.7, 2.0]), np.arange(1.0, 4.0)
    decayed = np.exp(-0.9 * times)
    states = 1.5 * decayed + (1.0 - decayed) * 0.05 / 0.9
    assert_allclose(pieces.y_obs[0], states, rtol=1e-7)
    by_y0 = 2.0 * np.sum(k * states * decayed) + 0.05 * (1.0 - decayed[-1]) / 0.9
    assert_allclose(pieces.grad_y0, [by_y0, 0.0], rtol=1e-6, atol=1e-9)
    for wrong, event in ((0, None), (2.0, None), (3, level)):
        level.terminal = 2
        with pytest.raises(ad.ArgumentError, match="checkpoint"):
            solve_ivp_adjoint(*problem, checkpoint_steps=wrong, events=event, **given)


def diffusing(t, y, p):
    out = np.empty(y.size)
    for i in range(y.size):
        left, right = y[i - 1] if i > 0 else 0.0, y[i + 1] if i < y.size - 1 else 0.0
        out[i] = p[0] * (left - 2.0 * y[i] + right) - p[1] * y[i]
    return out


def energy(t, y, p):
    return np.sum(y**2)


@pytest.mark.slow
def test_adjoint_of_a_large_system_is_sparse():
    """Linear, with symmetric matrix A: G = y0^T (exp(2 A T) - 1) / (2 A) y0."""
    y0, p = np.sin(np.arange(150.0)), np.array([30.0, 0.5])
    options = {"integrand": energy, "rtol": 1e-9, "atol": 1e-11, "adjoint_atol": 1e-11}
    found = solve_ivp_adjoint(diffusing, (0.0, 0.2), y0, p, **options)
    dense = solve_ivp_adjoint(diffusing, (0.0, 0.2), y0, p, sparse=False, **options)
    second = np.diag(np.ones(149), 1) + np.diag(np.ones(149), -1) - 2.0 * np.eye(150)
    rates, modes = np.linalg.eigh(30.0 * second - 0.5 * np.eye(150))
    grown = np.expm1(0.4 * rates) / (2.0 * rates)
    assert_allclose(found.value, (modes.T @ y0) ** 2 @ grown, rtol=1e-7)
    assert_allclose(found.grad_y0, 2.0 * modes @ (grown * (modes.T @ y0)), rtol=1e-5, atol=1e-7)
    assert_allclose(found.grad_p, dense.grad_p, rtol=1e-6)
    assert_allclose(found.grad_y0, dense.grad_y0, rtol=1e-6, atol=1e-9)


def explodes(t, y, p):
    return y**2 * p[0]


def test_errors_of_the_adjoint():
    given = explodes, (0.0, 1.0), [1.0], [0.5]
    with pytest.raises(ad.ArgumentError, match="expected an integrand"):
        solve_ivp_adjoint(*given)
    with pytest.raises(ad.ArgumentError, match="within t_span"):
        solve_ivp_adjoint(*given, observation=first_species, t_obs=[2.0])
    with (
        pytest.raises(ad.ConvergenceError, match="forward integration stopped"),
        np.errstate(all="ignore"),
    ):
        solve_ivp_adjoint(explodes, (0.0, 3.0), [1.0], [1.0], integrand=squares, method="RK45")


def squares(t, y, p):
    return y[0] ** 2
