"""Functions with SciPy's values: every row against mpmath, and through the transforms.

The references are the functions only; mpmath differentiates them numerically at DIGITS digits, so
no formula of the tables is repeated here.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import mpmath as mp
import numba
import numpy as np
import pytest
import scipy.special as sc
from references import ROWS, evaluate

import dualtape as ad
from dualtape.analysis.unbounded import names_with_poles
from dualtape.backend.scipy_addresses import find_special, find_ufunc
from dualtape.backend.special import SpecialFunction
from dualtape.backend.symbols import SPECIAL_FUNCTIONS
from dualtape.rules import special_values
from dualtape.rules.rule import RULES
from dualtape.twin.special_compositions import BY_TYPE, COMPOSED, REFUSED

DIGITS = 40
POINTS = 3
RTOL = 1e-11  # of an entry, or of a thousandth of the largest one
LOOSE = {"dawsn": 1e-10, "faddeeva": 1e-9, "elliptic_moment": 1e-10, "kl_div": 1e-10}
SPECIAL = {name: row for name, row in RULES.items() if name not in ROWS}
NO_DERIVATIVE = "riemann_zeta"  # nothing but a value


def _half(n):
    return n + mp.mpf(1) / 2


def _spherical(f):
    return lambda n, x: mp.sqrt(mp.pi / 2 / x) * f(_half(n), x)


def _faddeeva(part, k, x, y):
    z = mp.mpc(x, y)
    w = mp.exp(-z * z) * mp.erfc(-1j * z)
    w = w if k == 0 else 2j / mp.sqrt(mp.pi) - 2 * z * w
    return w.real if part == 0 else w.imag


def _gamma(a, x):
    return mp.gammainc(a, 0, x, regularized=True)


def _gamma_above(a, x):
    return mp.gammainc(a, x, regularized=True)


def _beta(a, b, x):
    return mp.betainc(a, b, 0, x, regularized=True)


def _fisher(dfn, dfd, x):
    return _beta(dfn / 2, dfd / 2, dfn * x / (dfn * x + dfd))


def _student(df, t):
    tail = mp.hyp2f1(mp.mpf(1) / 2, (df + 1) / 2, mp.mpf(3) / 2, -t * t / df)
    scale = mp.gamma((df + 1) / 2) / mp.sqrt(mp.pi * df) / mp.gamma(df / 2)
    return mp.mpf(1) / 2 + t * tail * scale


def _moment(n, k, phi, m):
    return mp.quad(lambda t: mp.sin(t) ** (2 * k) * (1 - m * mp.sin(t) ** 2) ** (-n / 2), [0, phi])


def _huber(delta, r):
    return r * r / 2 if abs(r) <= delta else delta * (abs(r) - delta / 2)


REFERENCES = {
    "polygamma": lambda k, x: mp.psi(int(k), x),
    "jv": mp.besselj, "yv": mp.bessely, "iv": mp.besseli, "kv": mp.besselk,
    "yn": mp.bessely, "kn": mp.besselk,
    "ive": lambda v, x: mp.exp(-abs(x)) * mp.besseli(v, x),
    "kve": lambda v, x: mp.exp(x) * mp.besselk(v, x),
    "j0": lambda x: mp.besselj(0, x), "j1": lambda x: mp.besselj(1, x),
    "y0": lambda x: mp.bessely(0, x), "y1": lambda x: mp.bessely(1, x),
    "i0": lambda x: mp.besseli(0, x), "i1": lambda x: mp.besseli(1, x),
    "k0": lambda x: mp.besselk(0, x), "k1": lambda x: mp.besselk(1, x),
    "i0e": lambda x: mp.exp(-abs(x)) * mp.besseli(0, x),
    "i1e": lambda x: mp.exp(-abs(x)) * mp.besseli(1, x),
    "k0e": lambda x: mp.exp(x) * mp.besselk(0, x),
    "k1e": lambda x: mp.exp(x) * mp.besselk(1, x),
    "spherical_j": _spherical(mp.besselj), "spherical_y": _spherical(mp.bessely),
    "spherical_i": _spherical(mp.besseli), "spherical_k": _spherical(mp.besselk),
    "struve": mp.struveh,
    "airy_ai": mp.airyai, "airy_ai_prime": lambda x: mp.airyai(x, derivative=1),
    "airy_bi": mp.airybi, "airy_bi_prime": lambda x: mp.airybi(x, derivative=1),
    "hyp2f1": mp.hyp2f1, "hyp1f1": mp.hyp1f1, "hyp0f1": mp.hyp0f1,
    "ellipk": mp.ellipk, "ellipe": mp.ellipe, "ellipkinc": mp.ellipf, "ellipeinc": mp.ellipe,
    "elliptic_moment": _moment,
    "exp1": mp.e1, "expi": mp.ei, "expn": mp.expint,
    "sine_integral": mp.si, "cosine_integral": mp.ci,
    "hyperbolic_sine_integral": mp.shi, "hyperbolic_cosine_integral": mp.chi,
    "lambert_w": lambda k, x: mp.lambertw(x, int(k)).real,
    "dawsn": lambda x: mp.sqrt(mp.pi) / 2 * mp.exp(-x * x) * mp.erfi(x),
    "erfcx": lambda x: mp.exp(x * x) * mp.erfc(x),
    "faddeeva": _faddeeva,
    "normal_density": mp.npdf,
    "gamma_density": lambda a, x: x ** (a - 1) * mp.exp(-x) / mp.gamma(a),
    "beta_density": lambda a, b, x: x ** (a - 1) * (1 - x) ** (b - 1) / mp.beta(a, b),
    "gamma_slope": lambda a, x: (a - 1) / x - 1,
    "beta_slope": lambda a, b, x: (a - 1) / x - (b - 1) / (1 - x),
    "student_density": lambda v, t: (
        (1 + t * t / v) ** (-(v + 1) / 2) / mp.sqrt(v) / mp.beta(v / 2, mp.mpf(1) / 2)
    ),
    "ndtr": mp.ncdf, "ndtri": lambda p: mp.sqrt(2) * mp.erfinv(2 * p - 1),
    "erfinv": mp.erfinv, "erfcinv": lambda p: mp.erfinv(1 - p),
    "log_expit": lambda x: -mp.log1p(mp.exp(-x)),
    "loggamma": mp.loggamma, "beta": mp.beta, "betaln": lambda a, b: mp.log(mp.beta(a, b)),
    "hurwitz_zeta": mp.zeta,
    "gammainc": _gamma, "gammaincc": _gamma_above,
    "chdtr": lambda v, x: _gamma(v / 2, x / 2), "chdtrc": lambda v, x: _gamma_above(v / 2, x / 2),
    "pdtr": lambda k, m: _gamma_above(mp.floor(k) + 1, m),
    "pdtrc": lambda k, m: _gamma(mp.floor(k) + 1, m),
    "betainc": _beta, "fdtr": _fisher, "fdtrc": lambda a, b, x: 1 - _fisher(a, b, x),
    "bdtr": lambda k, n, p: _beta(n - k, k + 1, 1 - p),
    "bdtrc": lambda k, n, p: 1 - _beta(n - k, k + 1, 1 - p),
    "stdtr": _student,
    "entr": lambda x: -x * mp.log(x), "rel_entr": lambda x, y: x * mp.log(x / y),
    "kl_div": lambda x, y: x * mp.log(x / y) - x + y,
    "xlog1py": lambda x, y: x * mp.log1p(y),
    "huber": _huber, "pseudo_huber": lambda d, r: d * d * (mp.sqrt(1 + (r / d) ** 2) - 1),
    "boxcox": lambda x, c: (x**c - 1) / c, "inv_boxcox": lambda y, c: (1 + c * y) ** (1 / c),
}  # fmt: skip
INVERSES = {
    "gammaincinv": _gamma, "gammainccinv": _gamma_above, "betaincinv": _beta, "stdtrit": _student,
    "chdtri": lambda v, x: _gamma_above(v / 2, x / 2),
}  # fmt: skip


def points_of(row, count=POINTS):
    rng = np.random.default_rng(len(row.name))
    points = []
    for _ in range(count):
        chosen = [intervals[rng.integers(len(intervals))] for intervals in row.sample]
        points.append(tuple(float(rng.uniform(*interval)) for interval in chosen))
    return points


def exact(row, point):
    """Return the jet at a point, by mpmath."""
    fixed = [mp.mpf(v) for v in point[: row.parameters]]
    free = tuple(mp.mpf(v) for v in point[row.parameters :])
    if row.name in INVERSES:
        (p,) = free
        start = mp.mpf(row(*point))
        distribution = INVERSES[row.name]
        x = mp.findroot(lambda x: distribution(*fixed, x) - p, start)
        slope, curvature = (mp.diff(lambda x: distribution(*fixed, x), x, n) for n in (1, 2))
        return [x, 1 / slope, -curvature / slope**3]

    def f(*args):
        return REFERENCES[row.name](*fixed, *args)

    if len(free) == 1:
        return [f(*free), mp.diff(f, free[0]), mp.diff(f, free[0], 2)]
    orders = [(1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]
    return [f(*free), *(mp.diff(f, free, order) for order in orders)]


def errors_of(row, jet, point):
    """Return the errors of the entries of a jet, relative to the larger of what RTOL is of."""
    with mp.workdps(DIGITS):
        expected = exact(row, point)
        size = max(abs(e) for e in expected)
        assert len(jet) == len(expected)
        return [
            float(abs(c - e) / max(abs(e), size / 1000)) if np.isfinite(c) else np.inf
            for c, e in zip(jet, expected, strict=True)
        ]


def test_every_row_has_a_reference():
    assert set(SPECIAL) == {*REFERENCES, *INVERSES, NO_DERIVATIVE}


@pytest.mark.parametrize("name", [name for name in SPECIAL if name != NO_DERIVATIVE])
def test_jets(name):
    row = SPECIAL[name]
    for point in points_of(row):
        with np.errstate(all="ignore"):
            jet = [float(entry) for entry in row.jet(*map(np.float64, point))]
        assert max(errors_of(row, jet, point)) < LOOSE.get(name, RTOL), (point, jet)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("jv", (0, 1 + 1e-9, 1)), ("gammainc", (0, 1, 1 + 1e-9)), ("kv", (0, -1, 1))],
)
def test_a_wrong_jet_is_found(name, wrong):
    row = SPECIAL[name]
    (point,) = points_of(row, 1)
    jet = [float(entry) * factor for entry, factor in zip(row.jet(*point), wrong, strict=True)]
    assert max(errors_of(row, jet, point)) > RTOL


CURVED = {name: row for name, row in SPECIAL.items() if name != NO_DERIVATIVE}


@pytest.mark.parametrize("name", [name for name, row in SPECIAL.items() if row.special])
def test_special_points(name):
    for point, expected in SPECIAL[name].special.items():
        np.testing.assert_array_equal(evaluate(SPECIAL[name], *point), expected)


@pytest.mark.parametrize("name", [name for name, row in SPECIAL.items() if row.kinks])
def test_kinks(name):
    """At a kink stands the shortest vector between the derivatives on its two sides."""
    row = SPECIAL[name]
    assert row.actives == 1
    for point, (chosen,) in row.kinks.items():
        *fixed, x = point
        left, right = (evaluate(row, *fixed, x + step)[1] for step in (-1e-6, 1e-6))
        assert left * right < 0.0
        assert evaluate(row, *point)[1] == chosen == 0.0


def test_exponential_distributions_at_zero():
    """Where the density is exp(-x), its slope is -1 at 0 as well."""
    assert evaluate(SPECIAL["gammainc"], 1.0, 0.0) == (0.0, 1.0, -1.0)
    assert evaluate(SPECIAL["gammaincc"], 1.0, 0.0) == (1.0, -1.0, 1.0)
    assert evaluate(SPECIAL["betainc"], 1.0, 1.0, 0.0) == (0.0, 1.0, 0.0)
    assert evaluate(SPECIAL["pdtr"], 0.0, 0.0) == (1.0, -1.0, 1.0)


@pytest.mark.parametrize("row", CURVED.values(), ids=CURVED)
def test_derivatives_outside_the_domain_are_nan(row):
    (inside,) = points_of(row, 1)
    within = evaluate(row, *inside)
    for i, (low, high) in enumerate(row.domain):
        if i < row.parameters:
            continue
        for x in (low - 1e-9, low - 7.3, high + 1e-9, high + 7.3):
            if not np.isfinite(x):
                continue
            jet = evaluate(row, *inside[:i], x, *inside[i + 1 :])
            # Entries that do not depend on the argument may stay.
            entries = zip(jet[1:], within[1:], strict=True)
            assert all(np.isnan(e) for e, before in entries if e not in (before, 0.0)), (x, jet)
            assert np.isnan(jet[1:]).any()


@pytest.mark.parametrize("row", CURVED.values(), ids=CURVED)
def test_nan_in_nan_out(row):
    (inside,) = points_of(row, 1)
    for i in range(row.parameters, row.arity):
        jet = evaluate(row, *inside[:i], np.nan, *inside[i + 1 :])
        assert np.isnan(jet[0])
        assert np.isnan(jet[1 : 1 + row.actives]).any()


@pytest.mark.parametrize("row", SPECIAL.values(), ids=SPECIAL)
def test_compiled_values_and_jets_are_those_of_the_prompt(row):
    for point in points_of(row):
        with np.errstate(all="ignore"):
            jet = [float(entry) for entry in row.jet(*map(np.float64, point))]
        compiled = evaluate(row, *point)
        assert row(*point) == jet[0]
        if isinstance(row.value, SpecialFunction):
            assert compiled[0] == jet[0]
        scale = max(map(abs, jet))
        np.testing.assert_allclose(compiled, jet, rtol=1e-10, atol=1e-12 * scale)


@pytest.mark.parametrize(
    "name", sorted(name for row in SPECIAL.values() for name in row.scipy if name != "polygamma")
)
def test_values_are_those_of_scipy(name):
    row = next(row for row in SPECIAL.values() if name in row.scipy)
    function = getattr(sc, name)
    for point in points_of(row, 20):
        whole = [code == "l" for code in row.value.described.partition(":")[2]]
        args = [int(v) if i else v for v, i in zip(point, whole, strict=False)]
        assert row(*point) == function(*args)


def test_all_functions_of_the_table_of_addresses_are_used_and_exist():
    values = [row.value for row in SPECIAL.values()] + list(vars(special_values).values())
    used = {value.described for value in values if isinstance(value, SpecialFunction)}
    assert used == set(SPECIAL_FUNCTIONS)
    assert all(find_special(described)[0] for described in SPECIAL_FUNCTIONS)
    assert find_special("nosuch:d") == (0, 0)
    assert find_special("nosuch:d->d") == (0, 0)
    assert find_ufunc("nosuch") is None


def test_a_function_that_this_scipy_lacks_is_refused_by_name():
    gone = SpecialFunction("nosuch:d", 1)
    assert not gone.exists()
    with pytest.raises(ad.MissingRuleError, match=r"SciPy has no scipy\.special\.nosuch"):
        numba.njit(lambda x: gone(x))(1.0)  # noqa: PLW0108  # njit takes functions only


def test_the_readme_names_every_function():
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    table = readme.partition("<!-- special -->")[2].partition("<!-- end special -->")[0]
    cells = " ".join(line.split("|")[1] for line in table.splitlines()[3:])
    named = set(re.findall(r"[a-z]\w+", cells))
    ruled = {name for row in RULES.values() for name in row.scipy} | {*COMPOSED, *BY_TYPE, *REFUSED}
    assert ruled <= named


def test_functions_made_of_rows_count_as_having_poles():
    """So that derivatives that are zero stay zero in products with them."""
    assert {*COMPOSED, *BY_TYPE} <= names_with_poles()


# Through the transforms


def call(name, count):
    """Return a function that calls one of SciPy's with constants, but for the last arguments."""
    arguments = ", ".join(f"p[{i}]" for i in range(count))
    scope = {"function": getattr(sc, name)}
    text = f"def f(x, p):\n    return np.sum(function({arguments + ', ' * bool(count)}x))\n"
    exec(compile(text, __file__, "exec"), scope | {"np": np}, scope)
    return scope["f"]


BY_ONE = {
    name: row
    for row in SPECIAL.values()
    for name in row.scipy
    if row.arity - row.parameters == 1 and row.scipy
}


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_ONE)
def test_gradients_of_arrays(name):
    row, mode = BY_ONE[name], ("forward", "reverse")[list(BY_ONE).index(name) % 2]
    points = points_of(row)
    parameters = np.array([0.0, *points[0][:-1]])[1:]
    x = np.array([point[-1] for point in points])
    value, gradient = ad.value_and_grad(call(name, row.parameters), mode=mode)(x, parameters)
    with np.errstate(all="ignore"):
        jets = np.array([row.jet(*map(np.float64, (*parameters, v))) for v in x], dtype=float)
    np.testing.assert_allclose(value, jets[:, 0].sum(), rtol=1e-12)
    np.testing.assert_allclose(gradient, jets[:, 1], rtol=1e-10)


X = np.array([0.4, 1.3, 2.2])
K = np.array([1.0, 2.0, 5.0])
M = np.array([[0.3, 1.2, -0.4], [2.0, 0.1, 0.5]])
PROGRAMS = {
    "passive arrays": lambda x: (
        np.sum(sc.kv(K, x)) + np.sum(sc.iv(0.5, K)) * x[0] + np.sum(sc.betainc(K, 2.0, 0.3)) * x[1]
    ),
    "four arguments": lambda x: (
        np.sum(sc.hyp2f1(K, 1.0, 2.5, 0.3 * x)) + x[0] * np.sum(sc.hyp2f1(K, K, 9.5, 0.1))
    ),
    "airy": lambda x: sc.airy(x[0])[0] * sc.airy(x[1])[3] + np.sum(sc.airy(-x)[2]),
    "integrals": lambda x: (
        sc.sici(x[0])[0] + sc.sici(x[1])[1] + sc.shichi(x[2])[0] + sc.sici(-x[0])[0]
    ),
    "spherical": lambda x: (
        np.sum(sc.spherical_jn(2, x))
        + sc.spherical_yn(1, x[0])
        + sc.spherical_in(0, x[1])
        + sc.spherical_kn(1, x[2])
    ),
    "spherical, negative, derivative": lambda x: (
        np.sum(sc.spherical_jn(1, -x)) * np.sum(sc.spherical_yn(2, -x))
        + np.sum(sc.spherical_in(3, -x)) * np.sum(sc.spherical_kn(2, -x))
        + sc.spherical_jn(2, x[0], True) * sc.spherical_yn(1, -x[1], derivative=True)
        + sc.spherical_in(2, -x[2], True) * sc.spherical_kn(0, x[2], True)
        + sc.spherical_kn(1, -x[1], True)
    ),
    "zeta": lambda x: sc.zeta(2.0, x[0]) + np.sum(sc.zeta(3.0, x)) + x[0] * sc.zeta(3.0),
    "voigt": lambda x: np.sum(sc.voigt_profile(x, x[0], x[1])),
    "voigt without a width": lambda x: (
        np.sum(sc.voigt_profile(x, 0.0, x[1]))
        + np.sum(sc.voigt_profile(x, K - 1.0, 0.7))
        + sc.voigt_profile(x[0], 0.0, x[2]) * sc.voigt_profile(0.3, 0.2, 0.1)
    ),
    "logsumexp": lambda x: sc.logsumexp(x) + sc.logsumexp(x, b=K) + sc.logsumexp(x + 800.0),
    "logsumexp of rows": lambda x: (
        np.sum(sc.logsumexp(M * x, axis=1) * K[:2]) + np.sum(sc.logsumexp(M * x, axis=0) * K)
    ),
    "softmax": lambda x: sc.softmax(x)[0] + sc.log_softmax(x)[1],
    "softmax of rows": lambda x: (
        sc.softmax(M * x, axis=1)[0, 1]
        + sc.log_softmax(M * x, axis=0)[1, 2]
        + sc.softmax(M * x, axis=-1)[1, 1]
    ),
    "polygamma": lambda x: sc.polygamma(1, x[0]) + np.sum(sc.polygamma(2, x)),
    "Poisson": lambda x: np.sum(K * np.log(x) - x - sc.gammaln(K + 1.0)),
    "incomplete elliptic": lambda x: (
        np.sum(sc.ellipkinc(0.5 * x, 0.3 * x[0])) + sc.ellipeinc(0.4, 0.02 * x[1])
    ),
    "Lambert": lambda x: np.sum(sc.lambertw(x).real) + sc.lambertw(-0.2 * x[0], -1).real,
    "several active": lambda x: (
        sc.beta(x[0], x[1])
        + sc.betaln(x[0], 2.0)
        + np.sum(sc.boxcox(x, 0.3))
        + sc.inv_boxcox(x[0], x[1])
        + np.sum(sc.huber(1.0, x))
        + sc.pseudo_huber(x[0], x[2])
    ),
    "real parts": lambda x: (
        np.sum(np.real(x) * np.conj(x)) + x[0].real * x[1].conjugate() + x.imag[0]
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(name):
    """Value as SciPy's; derivatives by differences of the plain function."""
    f = PROGRAMS[name]
    h = 1e-4 * np.eye(3)
    stencil = [(8.0 * (f(X + e) - f(X - e)) - (f(X + 2.0 * e) - f(X - 2.0 * e))) / 12e-4 for e in h]
    for mode in ("forward", "reverse"):
        value, gradient = ad.value_and_grad(f, mode=mode)(X)
        np.testing.assert_allclose(value, f(X), rtol=1e-14)
        np.testing.assert_allclose(gradient, stencil, rtol=1e-9, atol=1e-10)


def test_second_derivatives_through_nesting():
    def f(x):
        return sc.jv(1.0, x[0]) * sc.gammainc(2.5, x[1]) + sc.ndtri(0.2 * x[0])

    hessian = ad.hessian(f)(X)
    np.testing.assert_allclose(ad.jacobian(ad.grad(f))(X), hessian, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(ad.hessian(f, mode="reverse")(X), hessian, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(
    ("f", "name"),
    [
        (lambda x: sc.jv(x[0], 1.0), "scipy.special.jv has no derivative by its argument v"),
        (lambda x: np.sum(sc.kv(x, 2.0)), "scipy.special.kv has no derivative by its argument v"),
        (lambda x: sc.gammainc(x[0], x[1]), "gammainc has no derivative by its argument a"),
        (lambda x: sc.betainc(1.0, x[0], 0.5), "betainc has no derivative by its argument b"),
        (lambda x: sc.zeta(x[0]), "scipy.special.zeta has no derivative by its argument x"),
        (lambda x: sc.spherical_jn(x[0], 1.0), "scipy.special.spherical_jn has no derivative by"),
        (lambda x: sc.polygamma(x[0], 1.0), "polygamma has no derivative by its argument k"),
        (lambda x: sc.wofz(x[0]), "scipy.special.wofz, .* complex numbers"),
        (lambda x: sc.mathieu_a(2, x[0]), "mathieu_a, which has no derivative rule"),
    ],
)
def test_derivatives_by_parameters_are_refused_by_name(f, name):
    with pytest.raises(ad.MissingRuleError, match=name):
        ad.grad(f)(X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(sc.logsumexp(M * x, axis=2)),
        lambda x: np.sum(sc.logsumexp(M * x, axis=-3, b=M)),
        lambda x: np.sum(sc.softmax(M * x, axis=2)),
        lambda x: np.sum(sc.log_softmax(x, axis=1)),
        lambda x: sc.logsumexp(x, axis=-2),
    ],
)
def test_an_axis_out_of_bounds(f):
    with pytest.raises(ValueError, match="out of bounds"):
        ad.grad(f)(X)


@pytest.mark.parametrize(
    "f",
    [
        lambda x: np.sum(sc.logsumexp(x, keepdims=True)),
        lambda x: sc.logsumexp(x, return_sign=True),
    ],
)
def test_options_of_logsumexp_that_are_refused(f):
    with pytest.raises(ad.ArgumentValueError, match="neither keepdims nor return_sign"):
        ad.grad(f)(X)


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_ONE)
def test_third_derivatives(name):
    """Each jet runs on numbers that carry derivatives themselves."""
    row = BY_ONE[name]
    *parameters, t = points_of(row, 1)[0]
    third = ad.derivative(call(name, row.parameters), order=3)(t, np.array([0.0, *parameters])[1:])
    fixed = list(map(mp.mpf, parameters))

    def f(x):
        if name not in INVERSES:
            return REFERENCES[row.name](*fixed, x)
        return mp.findroot(lambda y: INVERSES[name](*fixed, y) - x, mp.mpf(row(*parameters, t)))

    with mp.workdps(DIGITS):
        expected = mp.diff(f, mp.mpf(t), 3)
    np.testing.assert_allclose(third, float(mp.re(expected)), rtol=1e-8)


def test_what_a_parameter_depends_on_is_constant_with_value():
    gradient = ad.grad(lambda x: sc.jv(ad.value(x[0]), x[0]))(X)
    assert gradient[0] == pytest.approx(sc.jvp(X[0], X[0]), rel=1e-13)


def test_a_compiled_derivative_finds_the_functions_in_another_process(tmp_path):
    """Addresses change from process to process; the second one compiles nothing."""
    program = tmp_path / "program.py"
    program.write_text(
        "import json, numpy as np, scipy.special as sc, dualtape as ad\n"
        "def f(x):\n"
        "    return sc.jv(1.0, x[0]) + sc.spherical_jn(2, x[1]) + sc.zeta(3.0, x[1])\n"
        "gradient = ad.grad(f)\n"
        "print(json.dumps(gradient(np.array([0.4, 1.3])).tolist()))\n"
    )
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    found = [
        json.loads(
            subprocess.run(
                [sys.executable, program],
                env=environment,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for _ in range(2)
    ]
    assert found[0] == found[1]
    expected = [sc.jvp(1, 0.4), sc.spherical_jn(2, 1.3, True) - 3.0 * sc.zeta(4.0, 1.3)]
    np.testing.assert_allclose(found[0], expected, rtol=1e-13)
