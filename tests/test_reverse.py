"""Reverse mode: every scenario, every rule of the table, and user code of every kind.

The scenarios and the functions below have derivatives by hand.  A rule must have the derivatives
of its jet bit for bit, alone and behind a partial that is exactly zero.  Functions registered by
``@case`` share compilations: a group of them is one function of (x, which), which runs one.
"""

import functools
import math
from math import inf, nan

import numba
import numpy as np
import pytest
from algebra import LAWS, RTOL_ALGEBRA, same_bits
from references import ROWS, draw, evaluate
from scenarios import (
    SCENARIOS,
    assert_close,
    assert_plain,
    rosenbrock,
    rosenbrock_gradient,
    rosenbrock_hessian,
    rosenbrock_value,
)
from test_activation import CASES as CONSTRUCTS
from test_activation import assert_value, copies_of
from test_lift import NOT_IN_NUMBA

import dualtape as ad

# Reverse mode adds the terms of the chain rule in another order than forward mode.
RTOL_AGREEMENT = 1e-13
# Eight significant digits of float32 minus what a dozen roundings cost.
RTOL_FLOAT32 = 1e-5
# The derivative of the formula of f' is not the formula of f'': a few digits next to its zeros.
RTOL_NESTED = 1e-12

grad = functools.partial(ad.grad, mode="reverse")
value_and_grad = functools.partial(ad.value_and_grad, mode="reverse")
jacobian = functools.partial(ad.jacobian, mode="reverse")
value_and_jacobian = functools.partial(ad.value_and_jacobian, mode="reverse")
hessian = functools.partial(ad.hessian, mode="reverse")
value_grad_hessian = functools.partial(ad.value_grad_hessian, mode="reverse")
hvp = functools.partial(ad.hvp, mode="reverse")

slow = pytest.mark.slow


@pytest.fixture
def rng():
    return np.random.default_rng(20240617)


# Every scenario

QUICK_FIRST = {
    "rosenbrock-2", "rosenbrock-37", "quadratic_form_loop", "kepler", "network-namedtuple",
    "of_scalar", "polar_tuple",
}  # fmt: skip
QUICK_SECOND = {"rosenbrock-10"}


def scenarios(quick, wanted):
    """Return the scenarios as parameters; those that are not quick are slow."""
    assert quick <= SCENARIOS.keys()
    return [
        pytest.param(scenario, id=name, marks=[slow] * (name not in quick))
        for name, scenario in SCENARIOS.items()
        if wanted(scenario)
    ]


def is_any(scenario):
    return True


def is_scalar(scenario):
    return scenario.is_scalar


def is_of_one_array(scenario):
    return scenario.is_scalar and isinstance(scenario.args[0], np.ndarray)


def assert_value_of_primal(scenario, value):
    assert_plain(value, scenario.f, *scenario.args, terms=scenario.blas_terms)


@pytest.mark.parametrize("scenario", scenarios(QUICK_FIRST, is_any))
def test_first_derivative(scenario):
    transform = value_and_grad if scenario.is_scalar else value_and_jacobian
    before = copies_of([arg for arg in scenario.args if isinstance(arg, np.ndarray)])
    value, derivative = transform(scenario.f)(*scenario.args)
    assert_close(derivative, scenario.first)
    assert_value_of_primal(scenario, value)
    after = [arg for arg in scenario.args if isinstance(arg, np.ndarray)]
    for arg, original in zip(after, before, strict=True):
        np.testing.assert_array_equal(arg, original)


@slow
@pytest.mark.parametrize("scenario", scenarios(set(), is_any))
def test_first_derivative_of_njit_function(scenario):
    f = numba.njit(scenario.f)
    if scenario.is_scalar:
        assert_close(grad(f)(*scenario.args), scenario.gradient)
        value, _ = value_and_grad(f)(*scenario.args)
    else:
        assert_close(jacobian(f)(*scenario.args), scenario.jacobian)
        value, _ = value_and_jacobian(f)(*scenario.args)
    assert_value_of_primal(scenario, value)


@slow
@pytest.mark.parametrize("scenario", scenarios(set(), is_scalar))
def test_jacobian_of_a_scalar_function_is_its_gradient(scenario):
    assert_close(jacobian(scenario.f)(*scenario.args), scenario.gradient)


@pytest.mark.parametrize("scenario", scenarios(QUICK_SECOND, is_scalar))
def test_value_grad_hessian(scenario):
    value, gradient, second = value_grad_hessian(scenario.f)(*scenario.args)
    assert_value_of_primal(scenario, value)
    assert_close(gradient, scenario.gradient)
    assert_close(second, scenario.hessian)
    if is_of_one_array(scenario):
        n = scenario.inputs
        assert (
            second.reshape(n, n).tobytes() == np.ascontiguousarray(second.reshape(n, n).T).tobytes()
        )


@slow
@pytest.mark.parametrize("scenario", scenarios(set(), is_scalar))
def test_hessian(scenario):
    assert_close(hessian(scenario.f)(*scenario.args), scenario.hessian)


@pytest.mark.parametrize("scenario", scenarios({"rosenbrock-10"}, is_of_one_array))
def test_hvp(scenario, rng):
    x, *rest = scenario.args
    v = rng.normal(size=x.shape)
    product = hvp(scenario.f)(x, v, *rest)
    assert_close(product, np.tensordot(scenario.hessian, v, axes=x.ndim))


@slow
def test_hvp_of_a_tuple(rng):
    scenario = SCENARIOS["network-tuple"]
    p, x = scenario.args
    v = tuple(rng.normal(size=np.shape(part)) if np.ndim(part) else 0.7 for part in p)
    expected = tuple(
        sum(np.tensordot(block, d, axes=np.ndim(d)) for block, d in zip(row, v, strict=True))
        for row in scenario.hessian
    )
    assert_close(hvp(scenario.f)(p, v, x), (*expected[:3], float(expected[3])))


def test_hvp_of_a_scalar():
    assert_close(hvp(lambda x: x**3)(2.0, 5.0), 60.0)


@slow
@pytest.mark.parametrize("scenario", scenarios(set(), lambda s: not s.is_scalar))
def test_jacobian_of_the_jacobian(scenario):
    assert_close(jacobian(jacobian(scenario.f))(*scenario.args), scenario.hessian)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33])
def test_every_size(n):
    """The same three compiled functions, with sizes around the widths of chunks and lanes."""
    x = np.linspace(-1.2, 1.3, n)
    value, gradient, second = value_grad_hessian(rosenbrock)(x)
    np.testing.assert_allclose(value, rosenbrock_value(x), rtol=1e-14)
    assert_close(gradient, rosenbrock_gradient(x) if n > 1 else np.zeros(1))
    assert_close(second, rosenbrock_hessian(x) if n > 1 else np.zeros((1, 1)))
    assert_close(value_and_grad(rosenbrock)(x), (value, gradient), RTOL_AGREEMENT)


def chained(x):
    out = np.empty(x.size)
    p = 1.0
    for i in range(x.size):
        p = p * x[i] + x[0]
        out[i] = p
    return out


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 13, 16, 17, 25])
def test_jacobian_of_every_size(n):
    """Outputs are swept in eights, fours and ones."""
    x = 0.5 + np.linspace(-1.0, 1.0, n)
    value, found = value_and_jacobian(chained)(x)
    assert_close(value, chained(x))
    expected = np.zeros((n, n))
    p, row = 1.0, np.zeros(n)
    for i in range(n):
        row = row * x[i]
        row[i] += p
        row[0] += 1.0
        p = p * x[i] + x[0]
        expected[i] = row
    assert_close(found, expected)


# Every rule of the table

DRAWN = 5  # points of the sample, besides all special points and kinks
GROUPED = 4  # rules in one compilation


def called(row):
    """Return the function that users call."""
    return next((f for f in row.targets if f not in NOT_IN_NUMBA), row)


def groups_of(arity, quick):
    """Return groups of rules as parameters; only the group of the first quick rules is quick."""
    rows = sorted((row for row in ROWS.values() if row.arity == arity), key=lambda r: r.name)
    rows.sort(key=lambda r: r.name not in quick)
    parts = [rows[i : i + GROUPED] for i in range(0, len(rows), GROUPED)]
    return [
        pytest.param(part, id="-".join(row.name for row in part), marks=[slow] * (i > 0))
        for i, part in enumerate(parts)
    ]


def padded(rows):
    """Return the functions, some twice, to make up a group."""
    functions = [called(row) for row in rows]
    return [functions[i % len(functions)] for i in range(GROUPED)]


def unary_group(a, b, c, d):
    """Apply each to p + z z, whose partial with respect to z is exactly zero at z = 0."""
    return lambda p, z: (
        a(p[0] + z[0] * z[0]),
        b(p[1] + z[1] * z[1]),
        c(p[2] + z[2] * z[2]),
        d(p[3] + z[3] * z[3]),
    )


def binary_group(a, b, c, d):
    return lambda x, y: (a(x[0], y[0]), b(x[1], y[1]), c(x[2], y[2]), d(x[3], y[3]))


def unary_sum(a, b, c, d):
    return lambda x: a(x[0]) + b(x[1]) + c(x[2]) + d(x[3])


def binary_sum(a, b, c, d):
    return lambda x: a(x[0], x[1]) + b(x[2], x[3]) + c(x[4], x[5]) + d(x[6], x[7])


@functools.cache
def of_rules(make, *functions):
    return make(*functions)


def points_of(rows, rng):
    """Yield one point for each rule of a group, until all of every rule have been there."""
    points = [[*draw(row, rng, DRAWN), *row.special, *row.kinks] for row in rows]
    for k in range(max(map(len, points))):
        yield [own[k % len(own)] for own in points]


def assert_diagonal(block, expected, rows, at):
    """Check the derivative of every rule; others do not depend on its argument: exactly zero."""
    for i, row in enumerate(rows):
        assert same_bits(block[i, i] + 0.0, expected[i] + 0.0), (
            f"{row.name}{at[i]}: {block[i, i]}, expected {expected[i]}"
        )
    others = block[: len(rows), : len(rows)].copy()
    np.fill_diagonal(others, 0.0)
    assert not others.any(), f"{at}: {block}"


@pytest.mark.parametrize("rows", groups_of(1, ("sin", "sqrt", "log", "absolute")))
def test_unary_rules(rows, rng):
    f = of_rules(unary_group, *padded(rows))
    for at in points_of(rows, rng):
        p = np.array([at[i % len(rows)][0] for i in range(GROUPED)])
        values, (by_p, by_z) = value_and_jacobian(f, (0, 1))(p, np.zeros(GROUPED))
        jets = [evaluate(row, *point) for row, point in zip(rows, at, strict=True)]
        # A rule that is not singular promises no strong zero where its derivative is infinite.
        finite = [i for i, row in enumerate(rows) if row.singular or math.isfinite(jets[i][1])]
        for i, (jet, row) in enumerate(zip(jets, rows, strict=True)):
            assert same_bits(values[i], jet[0]), row.name
        assert_diagonal(by_p, [jet[1] for jet in jets], rows, at)
        assert not by_z[finite].any()
        values_forward, forward = ad.value_and_jacobian(f, (0, 1), mode="forward")(
            p, np.zeros(GROUPED)
        )
        np.testing.assert_array_equal(values, values_forward)
        np.testing.assert_array_equal(by_p, forward[0])
        np.testing.assert_array_equal(by_z[finite], forward[1][finite])


@pytest.mark.parametrize("rows", groups_of(2, ("arctan2", "power", "maximum", "hypot")))
@pytest.mark.parametrize(
    "argnums",
    [(0, 1), pytest.param(0, marks=slow), pytest.param(1, marks=slow)],
    ids=["both", "left", "right"],
)
def test_binary_rules(rows, argnums, rng):
    f = of_rules(binary_group, *padded(rows))
    for at in points_of(rows, rng):
        x, y = np.array([at[i % len(rows)] for i in range(GROUPED)]).T.copy()
        values, blocks = value_and_jacobian(f, argnums)(x, y)
        jets = [evaluate(row, *point) for row, point in zip(rows, at, strict=True)]
        for i, jet in enumerate(jets):
            assert same_bits(values[i], jet[0]), rows[i].name
        for k in (0, 1):
            if argnums == (0, 1) or argnums == k:
                block = blocks[k] if argnums == (0, 1) else blocks
                assert_diagonal(block, [jet[1 + k] for jet in jets], rows, at)


def assert_second(found, expected, scale, name):
    """Compare second derivatives where the jet's own is finite."""
    if math.isfinite(expected):
        assert abs(found - expected) <= RTOL_NESTED * scale, f"{name}: {found}, not {expected}"
    else:
        assert not math.isfinite(found), f"{name}: {found}, not {expected}"


@slow
@pytest.mark.parametrize("rows", groups_of(1, ()))
def test_second_derivatives_of_unary_rules(rows, rng):
    f = of_rules(unary_sum, *padded(rows))
    for _ in range(DRAWN):
        at = [draw(row, rng, 1)[0] for row in rows]
        x = np.array([at[i % len(rows)][0] for i in range(GROUPED)])
        found = hessian(f)(x)
        for i, row in enumerate(rows):
            jet = evaluate(row, *at[i])
            assert_second(found[i, i], jet[2], sum(map(abs, jet)), f"{row.name}{at[i]}")
        np.fill_diagonal(found, 0.0)
        assert not found.any()


@slow
@pytest.mark.parametrize("rows", groups_of(2, ()))
def test_second_derivatives_of_binary_rules(rows, rng):
    rows = [row for row in rows if row.name != "polygamma"]  # no derivative by its order
    f = of_rules(binary_sum, *padded(rows))
    for _ in range(DRAWN):
        at = [draw(row, rng, 1)[0] for row in rows]
        found = hessian(f)(np.array([at[i % len(rows)] for i in range(GROUPED)]).ravel())
        for i, row in enumerate(rows):
            jet = evaluate(row, *at[i])
            block = found[2 * i : 2 * i + 2, 2 * i : 2 * i + 2]
            for k, entry in zip((3, 4, 5), (block[0, 0], block[0, 1], block[1, 1]), strict=True):
                assert_second(entry, jet[k], sum(map(abs, jet)), f"{row.name}{at[i]}[{k}]")
        for i in range(GROUPED):  # what is left: rules do not depend on arguments of others
            found[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = 0.0
        assert not found.any()


# Operators

LAW_GROUPS = [LAWS[i : i + 6] for i in range(0, len(LAWS), 6)]


def law_tuple(a, b, c, d, e, f):
    return lambda x: (
        a(x[0], x[1]),
        b(x[0], x[1]),
        c(x[0], x[1]),
        d(x[0], x[1]),
        e(x[0], x[1]),
        f(x[0], x[1]),
    )


def common_points(laws):
    """Return the points of the group; laws for positive numbers are asked at theirs only."""
    return sorted({point for law in laws for point in law.points})


@pytest.mark.parametrize(
    "laws",
    [
        pytest.param(laws, id=laws[0].name, marks=[slow] * (i > 0))
        for i, laws in enumerate(LAW_GROUPS)
    ],
)
def test_operators(laws):
    functions = [laws[i % len(laws)].f for i in range(6)]
    f = of_rules(law_tuple, *functions)
    checked = 0
    for point in common_points(laws):
        value, rows = value_and_jacobian(f)(np.array(point))
        for i, law in enumerate(laws):
            if point not in law.points:
                continue
            checked += 1
            np.testing.assert_allclose(value[i], law.f(*point), rtol=RTOL_ALGEBRA, atol=0.0)
            np.testing.assert_allclose(
                rows[i], law.gradient(*point), rtol=RTOL_ALGEBRA, atol=0.0, err_msg=law.name
            )
    assert checked >= 3 * len(laws)


@slow
@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_second_derivatives_of_operators(law):
    def f(x):
        return g(x[0], x[1])

    g = law.f
    for point in law.points:
        xx, xy, yy = law.hessian(*point)
        expected = np.array([[xx, xy], [xy, yy]], dtype=float)
        np.testing.assert_allclose(hessian(f)(np.array(point)), expected, rtol=RTOL_ALGEBRA, atol=0)


# User code of every kind: f(x) of four numbers a, b, c, d, and its gradient by hand

POINT = np.array([1.5, -0.5, 2.0, 0.7])
CASES = {}
TOGETHER = 8  # functions in one compilation


def case(expected, reason=None):
    """Register a function with its gradient; one that is wrong now has a `reason`."""

    def register(f):
        assert f.__name__ not in CASES
        CASES[f.__name__] = f, expected, reason
        return f

    return register


# Mutation and aliasing


@case(lambda a, b, c, d: (b * c, a * c, a * b, 0.0))
def overwritten_after_it_was_read(x):
    u = x.copy()
    left = u[0]
    u[0] = u[1] * u[2]
    return left * u[0]


@case(lambda a, b, c, d: (b, a + c * c * d, 2.0 * b * c * d, b * c * c))
def overwritten_in_a_loop(x):
    u = x.copy()
    left = u[0]
    for i in range(1, u.size):
        here = u[i]
        u[i] = left * here
        left = here
    return u[1] + u[2] * u[3]


@case(
    lambda a, b, c, d: (
        b + 2.0 * a * b * b * c,
        a + 2.0 * a * a * b * c,
        a * a * b * b,
        0.0,
    )
)
def writes_to_its_argument(x):
    x[0] = x[0] * x[1]
    x[1] = x[0] * x[0]
    return x[0] + x[1] * x[2]


@case(lambda a, b, c, d: (4.0 * c * d, 0.0, 4.0 * a * d, 4.0 * a * c))
def written_through_a_view(x):
    u = x.copy()
    v = u[1:3]
    v[0] = u[0] * u[3]
    v *= 2.0
    return u[1] * u[2]


@case(lambda a, b, c, d: (2.0 * a * b * b + b * c, 2.0 * a * a * b + a * c, a * b, 0.0))
def written_through_a_reversed_view(x):
    u = x.copy()
    v = u[::-1][::2]
    v[0] = u[0] * u[1]
    v[1] = v[0] + u[2]
    return u[3] * u[1]


@case(lambda a, b, c, d: (2.0 * a * c + c, 0.0, a * a + a, 0.0))
def rows_of_a_matrix(x):
    m = x.copy().reshape((2, 2))
    row = m[0]
    row[1] = m[1, 0] * row[0]
    m[1] = row
    return m[1, 1] * m[1, 0] + m[0, 1]


def fill(out, x):
    for i in range(x.size):
        out[i] = x[i] * x[0]


@case(lambda a, b, c, d: (2.0 * a * b * c, a * a * c, a * a * b, 0.0))
def buffer_written_in_a_call(x):
    out = np.empty(x.size)
    fill(out, x)
    return out[1] * out[2]


def swap(u, i, j):
    u[i], u[j] = u[j], u[i]


@case(lambda a, b, c, d: (0.0, 2.0 * b * c, b * b, 0.0))
def elements_swapped(x):
    u = x.copy()
    swap(u, 0, 1)
    u[1], u[2] = u[2], u[1]
    return u[0] ** 2 * u[1]


def _accumulated(a, b, c, d):
    x = np.array([a, b, c, d])
    return np.cumsum(x * x) + 2.0 * x * np.cumsum(x[::-1])[::-1]


@case(_accumulated)
def accumulated_in_elements(x):
    u = np.zeros(2)
    for v in x:
        u[0] += v * v
        u[1] += u[0] * v
    return u[1]


@case(lambda a, b, c, d: (7.0 * a**6 * b, a**7, 0.0, 0.0))
def buffers_swapped(x):
    u, w = x.copy(), np.zeros_like(x)  # the same type in single precision
    for _ in range(3):
        for i in range(x.size):
            w[i] = u[i] * u[0]
        u, w = w, u
    return u[1]


@case(lambda a, b, c, d: (b * c, a * c, a * b, 0.0))
def one_of_two_arrays(x):
    u = x.copy()
    w = u if x[0] > 0.0 else x
    w[1] = w[0] * w[2]
    return u[1] * x[1]


@case(lambda a, b, c, d: (8.0 * b * c, 8.0 * a * c, 8.0 * a * b, 0.0))
def shifted_slice(x):
    u = x.copy()
    u[1:] = 2.0 * u[:-1]
    return u[1] * u[2] * u[3]


@case(lambda a, b, c, d: (b * c, a * c, a * b, 0.0))
def overlapping_slices(x):
    u = x.copy()
    u[1:] = u[:-1]
    return u[1] * u[2] * u[3]


@case(lambda a, b, c, d: (8.0 * a**7, 0.0, 0.0, 0.0))
def element_times_itself(x):
    u = x.copy()
    for _ in range(3):
        u[0] = u[0] * u[0]
    return u[0]


@case(
    lambda a, b, c, d: (
        (2.0 * a - 1.0) / d,
        (2.0 * b - 1.0) / d,
        (2.0 * c - 1.0) / d,
        1.0 - (a * a - a + b * b - b + c * c - c) / d**2,
    )
)
def operators_in_place(x):
    u = x.copy()
    u *= u
    u -= x
    u /= x[3]
    return np.sum(u)


@case(lambda a, b, c, d: (0.0, 9.0 * c, 9.0 * b, 0.0))
def overwritten_by_a_constant(x):
    u = x.copy()
    u[0] = 3.0
    u[1] = u[0] * u[1]
    return u[0] * u[1] * u[2]


@case(lambda a, b, c, d: (b, a, 0.0, 0.0))
def array_stored_and_forgotten(x):
    u = np.zeros(3)
    for i in range(3):
        u[i] = x[i] ** 5
        u[i] = x[0] * x[1]
    return u[2]


@case(lambda a, b, c, d: (2.0 * a, 0.0, 2.0 * c, 3.0 * d * d))
def written_by_mask(x):
    u = x * x
    u[x < 0.0] = 1.0
    u[3] *= x[3]
    return np.sum(u)


# Control flow


@case(lambda a, b, c, d: (2.0 * a * c, 0.0, a * a, 0.0))
def break_and_continue(x):
    y, k = 1.0, 0
    while True:
        k += 1
        if k == 2:
            continue
        if k > 3:
            break
        y = y * x[0]
    return y * x[2]


@case(lambda a, b, c, d: (-32.0, 0.0, 16.0, 16.0))
def passive_then_active_in_a_loop(x):
    s = 1.0
    for i in range(6):
        s = 2.0 * s
        if i == 1:
            s = s - x[0]
            s = s - x[0]
            s = s + x[2] + x[3]
    return s


def _between(a, b, c, d):
    x = np.array([a, b, c, d])
    return x + np.sum(x)


@case(_between)
def accumulator_read_between_increments(x):
    s, t = 0.0, 0.0
    for v in x:
        s += v
        t += s * v
    return t


@case(lambda a, b, c, d: (18.0 * b, 18.0 * a, 0.0, 0.0))
def accumulator_doubled(x):
    s = 0.0
    for k in range(3):
        s += x[0] * x[1]
        s += s * k
    return s + x[0] * x[1] * 3.0


def _several(a, b, c, d):
    x = np.array([a, b, c, d])
    total, squares, product = np.sum(x), np.sum(x * x), np.prod(x)
    return squares * product + 2.0 * x * total * product + total * squares * product / x


@case(_several)
def several_accumulators(x):
    total, squares, product = 0.0, 0, 1.0
    for v in x:
        total += v
        squares += v * v
        product *= v
    return total * squares * product


@case(lambda a, b, c, d: (1.5**20 * b, 1.5**20 * a, 0.0, 0.0))
def reused_in_a_loop(x):
    y = x[0] * x[1]
    for _ in range(20):
        y = y + y * 0.5
    return y


def _wide(a, b, c, d):
    w1 = 2.0 * (a * b + c * d) + 1.0
    return b * w1, a * w1, d * w1, c * w1


@case(_wide)
def wide_and_reused(x):
    w = x[0] * x[1] + x[2] * x[3]
    return w * w + w


def _wider(a, b, c, d):
    # 3 (a + b)^2 (c + d) + products
    s, t = a + b, c + d
    return (
        6.0 * s * t + b * c * d,
        6.0 * s * t + a * c * d,
        3.0 * s * s + a * b * d,
        3.0 * s * s + a * b * c,
    )


@case(_wider)
def wider_than_a_statement_may_be(x):
    return (
        (x[0] + x[1]) * (x[0] + x[1]) * (x[2] + x[3])
        + (x[0] + x[1]) * (x[2] + x[3]) * (x[0] + x[1])
        + (x[2] + x[3]) * (x[0] + x[1]) * (x[0] + x[1])
        + x[0] * x[1] * x[2] * x[3]
    )


@case(lambda a, b, c, d: (2.0 * b + c, 2.0 * a, a, -2.0))
def conditional_expressions(x):
    y = x[0] * x[1] if x[2] > 0.0 else x[0]
    z = y if y > 10.0 else 2.0
    w = 1 if x[1] > 0.0 else x[0] * x[2] - x[3] * z
    return y * z + w


def clipped(v, low, high):
    if v < low:
        return low
    if v > high:
        return high * v
    if v == 0.0:
        return 1
    return v * v + v


def clipped_twice(v, low, high):
    w = clipped(v, low, high)
    if w > 5.0:
        return clipped(w * v, low, high)
    return clipped(w, low, 2.0 * high)


def _clipped(a, b, c, d):
    """a, b, d: v -> w = v v + v -> w w + w; c: w = 6, which is over 5, and w c over 3: 3 w c."""
    gradient = [(2.0 * (v * v + v) + 1.0) * (2.0 * v + 1.0) for v in (a, b, c, d)]
    gradient[2] = 3.0 * (3.0 * c * c + 2.0 * c)
    return gradient


@case(_clipped)
def several_returns(x):
    s = 0.0
    for v in x:
        s += clipped_twice(v, -1.0, 3.0)
    return s


def power(v, n):
    if n == 0:
        return 1.0
    return v * power(v, n - 1)


@case(lambda a, b, c, d: (4.0 * a**3 * c, 0.0, a**4, 0.0))
def recursion(x):
    return power(x[0], 4) * x[2]


def tree(v, w, n):
    if n < 1:
        return v
    if n < 2:
        return w
    return tree(v, w, n - 1) * tree(v, w, n - 2)


@case(lambda a, b, c, d: (3.0 * a * a * b**5, 5.0 * a**3 * b**4, 0.0, 0.0))
def recursion_with_two_branches(x):
    return tree(x[0], x[1], 5)


def alternate(v, n):
    return v if n == 0 else 2.0 * alternate_back(v * v, n - 1)


def alternate_back(v, n):
    return v if n == 0 else 3.0 * alternate(v, n - 1)


@case(lambda a, b, c, d: (36.0 * 4.0 * a**3, 0.0, 0.0, 0.0))
def mutual_recursion(x):
    return alternate(x[0], 4)


@case(lambda a, b, c, d: (b * c, a * c, a * b, 0.0))
def early_return_from_nested_loops(x):
    p = 1.0
    for _ in range(2):
        for j in range(4):
            p *= x[j]
            if j == 2:
                return p
    return 0.0 * p


@case(lambda a, b, c, d: (2.0 * a * b**3, 3.0 * a**2 * b**2, 0.0, 0.0))
def carried_pair(x):
    p, q = x[0], x[1]
    for _ in range(3):
        p, q = q, p * q
    return q


def _nested_sum(a, b, c, d):
    """Differentiate (a + b + c + d) (a a + a a b)."""
    total, factor = a + b + c + d, a * a + a * a * b
    return factor + total * (2.0 * a + 2.0 * a * b), factor + total * a * a, factor, factor


@case(_nested_sum)
def expression_carried_into_an_inner_loop(x):
    s = 0.0
    for i in range(x.size):
        p = x[i] * x[0]
        for j in range(2):
            p = p * x[j]
            s += p
    return s


@case(lambda a, b, c, d: (0.0, 0.0, 0.0, 2.0 * d))
def differences_that_vanish(x):
    y = x[0] * x[1]
    return (y - y) * x[2] + (x[0] - x[0]) + x[3] * x[3]


@case(lambda a, b, c, d: (-b, -a, 1.0, 0.0))
def signs(x):
    y = -(x[0] * x[1])
    z = -y
    return +y + x[2] + (z - -y)


# Tuples and lists


@case(lambda a, b, c, d: (2.0 * a * b * c * d + 1.0, a * a * c * d, a * a * b * d, a * a * b * c))
def tuples_in_a_loop(x):
    pair = (0.0, 1.0)
    for v in x:
        pair = (v, pair[1] * v)
    return pair[1] * x[0] + x[0] + 0.0 * pair[0]


@case(lambda a, b, c, d: (b, a, 2.0 * c, 0.0))
def loop_over_a_tuple(x):
    s = 0.0
    for v in (x[0] * x[1], x[2] * x[2]):
        s += v
    return s


@case(lambda a, b, c, d: (b + 1.0, a, 2.0 * c, 0.0))
def loop_over_a_tuple_of_mixed_kinds(x):
    s = 0.0
    for v in (x[0] * x[1], x[0], x[2] * x[2]):
        s += v
    return s


@case(lambda a, b, c, d: (4.0 * a**3 * b * c * d, a**4 * c * d, a**4 * b * d, a**4 * b * c))
def list_of_products(x):
    items = [x[0]]
    for v in x:
        items.append(items[-1] * v)
    items[0] = items[-1] * x[0] ** 2
    return items[0]


@case(
    lambda a, b, c, d: (2.0 * a * d, 2.0 * b * d, 2.0 * c * d, a * a + b * b + c * c + 3.0 * d * d)
)
def list_comprehension(x):
    return sum([v * v for v in x]) * x[3]


@case(lambda a, b, c, d: (b * c, a * c, a * b, 2.0 * d))
def list_of_tuples(x):
    pairs = [(x[0], x[1] * x[2]), (x[3], x[3] * 1.0)]
    s = 0.0
    for p, q in pairs:
        s += p * q
    return s


@case(lambda a, b, c, d: (b, a, d * math.cos(c * d), c * math.cos(c * d)))
def enumerate_and_zip(x):
    s = 0.0
    for i, (p, q) in enumerate(zip(x[:-1], x[1:])):  # noqa: B905, RUF007
        if i == 0:
            s += p * q
        elif i == 2:
            s += math.sin(p * q)
    return s


@case(lambda a, b, c, d: (3.0 * a * a * c, 0.0, a**3, 0.0))
def integer_powers(x):
    n = 3
    y = x[0] ** n
    n = 1
    return y * x[2] ** n


@case(lambda a, b, c, d: (0.0, 0.0, 2.0 * c, 1.0))
def extremes(x):
    m = max(x[0] * x[1], x[2] * x[2], 1.0)
    return m + min(x[0], x[3]) + abs(x[3] - x[3])


@case(lambda a, b, c, d: (b * b, 2.0 * a * b, 0.0, 0.0))
def derivative_inside(x):
    return inner_gradient(x[1], x[0])


def square_times(y, k):
    return k * y**3 / 3.0


inner_gradient = ad.derivative(square_times)


def groups():
    """Return the cases in groups; those known to be wrong alone."""
    right = [name for name in CASES if CASES[name][2] is None]
    made = [right[i : i + TOGETHER] for i in range(0, len(right), TOGETHER)]
    return made + [[name] for name in CASES if name not in right]


def chosen(f0, f1, f2, f3, f4, f5, f6, f7):
    def f(x, which):
        if which == 0:
            return f0(x)
        if which == 1:
            return f1(x)
        if which == 2:
            return f2(x)
        if which == 3:
            return f3(x)
        if which == 4:
            return f4(x)
        if which == 5:
            return f5(x)
        if which == 6:
            return f6(x)
        return f7(x)

    return f


@functools.cache
def group_of(name):
    """Return the function of (x, which) that a case is in, and which it is."""
    found = next(group for group in groups() if name in group)
    if len(found) == 1:
        f = CASES[name][0]
        return (lambda x, which: f(x)), 0
    functions = [CASES[found[i % len(found)]][0] for i in range(TOGETHER)]
    return _chosen(*functions), found.index(name)


_chosen = functools.cache(chosen)


def cases(quick):
    """Return the names of cases; only the groups with these numbers are quick."""
    return [
        pytest.param(
            name,
            marks=[slow] * (i not in quick)
            + [pytest.mark.xfail(reason=reason, strict=True)] * (reason is not None),
        )
        for i, group in enumerate(groups())
        for name, reason in ((name, CASES[name][2]) for name in group)
    ]


@pytest.mark.parametrize("name", cases({4}))
def test_case(name):
    plain, expected, _ = CASES[name]
    f, which = group_of(name)
    x = POINT.copy()
    value, gradient = value_and_grad(f)(x, which)
    np.testing.assert_array_equal(x, POINT)
    assert_close(value, float(plain(POINT.copy())), RTOL_AGREEMENT)
    assert_close(gradient, np.array(expected(*POINT)))


@slow
@pytest.mark.parametrize("name", cases(()))
def test_second_derivatives_of_case(name):
    f, which = group_of(name)
    found = value_grad_hessian(f)(POINT, which)
    assert_close(found[1], np.array(CASES[name][1](*POINT)))
    assert_close(found, ad.value_grad_hessian(f, mode="forward")(POINT, which))


@slow
@pytest.mark.parametrize("name", cases(()))
def test_case_in_single_precision(name):
    f, which = group_of(name)
    gradient = grad(f)(POINT.astype(np.float32), which)
    assert gradient.dtype == np.float32
    expected = np.array(CASES[name][1](*POINT))
    atol = RTOL_FLOAT32 * np.max(np.abs(expected))
    np.testing.assert_allclose(gradient, expected, rtol=0.0, atol=atol)


# User code of every kind, once more: what forward mode is tested with, against forward mode


@slow
@pytest.mark.parametrize("name", CONSTRUCTS)
def test_construct(name):
    f, x, *args = CONSTRUCTS[name]
    original = copies_of((x, *args))
    value, gradient = value_and_grad(f)(x, *args)
    assert_close(gradient, ad.grad(f, mode="forward")(x, *args), RTOL_AGREEMENT)
    assert_value(name, value)
    for arg, before in zip((x, *args), original, strict=True):
        np.testing.assert_array_equal(arg, before)


@slow
@pytest.mark.parametrize("name", CONSTRUCTS)
def test_second_derivatives_of_construct(name):
    f, x, *args = CONSTRUCTS[name]
    assert_close(hessian(f)(x, *args), ad.hessian(f, mode="forward")(x, *args))


# Arguments

X = np.array([2.0, -3.0])


def overwritten_twice(x, y):
    x[0] = 2.0 * x[0]  # y must not see this
    y[1] = x[0] * y[1]
    return x[0] + y[0] + x[1] * y[1]


@slow
def test_second_derivatives_of_the_same_array_twice():
    x = np.array([3.0, 5.0])
    xx, xy = np.array([[0.0, 10.0], [10.0, 0.0]]), np.array([[0.0, 10.0], [0.0, 6.0]])
    expected = (xx, xy), (xy.T, np.zeros((2, 2)))
    assert_close(hessian(overwritten_twice, (0, 1))(x, x), expected)


def weighted(x, y, z):
    return x[0] * y + x[1] * y * y * z[0, 0]


Y, Z = 0.5, np.array([[7.0]])
GRADIENTS = (
    np.array([0.5, 0.25 * 7.0]),
    2.0 - 3.0 * 2.0 * 0.5 * 7.0,
    np.array([[-3.0 * 0.25]]),
)


@pytest.mark.parametrize(
    "argnums",
    [(2, 0, 1), *(pytest.param(n, marks=slow) for n in (0, 1, -1, (0,), (-1, 1)))],
    ids=repr,
)
def test_argnums(argnums):
    single = not isinstance(argnums, tuple)
    expected = GRADIENTS[argnums] if single else tuple(GRADIENTS[i] for i in argnums)
    value, gradient = value_and_grad(weighted, argnums)(X, Y, Z)
    assert_close(value, weighted(X, Y, Z[0, 0] * np.ones((1, 1))))
    assert_close(gradient, expected)


@slow
def test_second_derivatives_with_argnums():
    b, y, w = X[1], Y, Z[0, 0]
    xx, xy, xz = np.zeros((2, 2)), np.array([1.0, 2.0 * y * w]), np.array([[[0.0]], [[y * y]]])
    yz, zz = np.array([[2.0 * b * y]]), np.zeros((1, 1, 1, 1))
    expected = (xx, xy, xz), (xy, 2.0 * b * w, yz), (np.moveaxis(xz, 0, 2), yz, zz)
    assert_close(hessian(weighted, (0, 1, 2))(X, Y, Z), expected)
    assert_close(hessian(weighted, (2, 1))(X, Y, Z), ((zz, yz), (yz, expected[1][1])))


def layouts():
    x = np.array([0.5, -1.0, 2.0, 1.5])
    frozen = x.copy()
    frozen.setflags(write=False)
    return {
        "every-second": np.repeat(x, 2)[::2],
        "reversed": x[::-1].copy()[::-1],
        "read-only": frozen,
        "big-endian": x.astype(">f8"),
        "list": list(x),
        "float16": x.astype(np.float16),
    }


@slow
def test_float32_jacobian_and_hessian():
    x = np.array([0.5, -1.0, 2.0], dtype=np.float32)
    plain = x.astype(float)
    found = jacobian(chained)(x)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, jacobian(chained)(plain), rtol=RTOL_FLOAT32)
    value, gradient, second = value_grad_hessian(rosenbrock)(x)
    assert gradient.dtype == second.dtype == np.float32
    np.testing.assert_allclose(second, rosenbrock_hessian(plain), rtol=RTOL_FLOAT32)
    np.testing.assert_allclose(value, rosenbrock_value(plain), rtol=RTOL_FLOAT32)


@slow
@pytest.mark.parametrize("shape", [(0,), (0, 2)], ids=str)
def test_second_derivatives_of_empty_input(shape):
    def f(x):
        return 1.0 + np.sum(x * x)

    value, gradient, second = value_grad_hessian(f)(np.zeros(shape))
    assert value == 1.0
    assert gradient.shape == shape
    assert second.shape == shape * 2
    assert hvp(f)(np.zeros(shape), np.zeros(shape)).shape == shape


# Results


def test_results_of_every_kind_in_one_tuple():
    """Constants, integers, inputs themselves, the same number several times."""

    def f(x):
        y = x[0] * x[1]
        return 3.5, 3, x.size, np.floor(x[0]) * x[1], x[1], y, y, x[0], x[1], y + 1.0

    value, found = value_and_jacobian(f)(X)
    assert_close(value, np.array([3.5, 3.0, 2.0, -6.0, -3.0, -6.0, -6.0, 2.0, -3.0, -5.0]))
    y, none, a, b = [-3.0, 2.0], [0.0, 0.0], [1.0, 0.0], [0.0, 1.0]
    expected = [none, none, none, [0.0, 2.0], b, y, y, a, b, y]
    assert_close(found, np.array(expected))


def test_arrays_that_depend_in_places():
    """Elements never written keep row 0; elements written twice have the last row."""

    def f(x):
        out = np.ones((3, 2))
        out[1, 1] = x[0] ** 5
        out[1, 1] = x[1]
        out[2] = x * x[0]
        return out

    value, found = value_and_jacobian(f)(X)
    assert_close(value, np.array([[1.0, 1.0], [1.0, -3.0], [4.0, -6.0]]))
    expected = np.zeros((3, 2, 2))
    expected[1, 1] = 0.0, 1.0
    expected[2] = [[4.0, 0.0], [-3.0, 2.0]]
    assert_close(found, expected)


# NaN, infinity, zeros: a partial goes to the inputs that influence the result and to no other


def of_four(x):
    s = x[0] * x[1] + x[2] * x[3]
    if x[3] > 100.0:
        s = s + np.sqrt(x[1])
    return s


@pytest.mark.parametrize("special", [nan, inf, -inf, 0.0, -0.0, 1e308, 5e-324])
@pytest.mark.parametrize("position", range(4))
def test_special_inputs(position, special):
    x = POINT.copy()
    x[position] = special
    gradient = grad(of_four)(x)
    a, b, c, d = x
    expected = np.array([b, a, d, c])
    if d > 100.0:
        expected[1] = nan  # b is negative
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize(
    "special", [(inf, inf), (nan, nan), (0.0, inf), (inf, 0.0), (-inf, nan), (0.0, 0.0)], ids=str
)
def test_pairs_of_special_inputs(special):
    x = np.array([*special, 2.0, 3.0])
    np.testing.assert_array_equal(grad(of_four)(x), [x[1], x[0], 3.0, 2.0])


def at_the_edge(x):
    """Square roots at 0, in ways that an input has no influence."""
    y = 0.0 * x[0]
    z = x[1] * x[1]
    u = np.zeros(2)
    u[0] = x[2] - x[2]
    return np.sqrt(y) + np.sqrt(z) + np.sqrt(u[1]) + np.log(y + 1.0) + x[3]


def test_strong_zeros():
    """The derivative of sqrt(x x) at 0 is 0: its infinite partial does not meet the zero."""
    x = np.array([3.0, 0.0, 5.0, 2.0])
    np.testing.assert_array_equal(grad(at_the_edge)(x), [0.0, 0.0, 0.0, 1.0])
    x[1] = 4.0
    np.testing.assert_array_equal(grad(at_the_edge)(x), [0.0, 1.0, 0.0, 1.0])
    x[1] = -4.0
    np.testing.assert_array_equal(grad(at_the_edge)(x), [0.0, -1.0, 0.0, 1.0])


def infinite_then_forgotten(x):
    """Infinite partials in statements whose adjoint is zero."""
    u = np.zeros(2)
    u[0] = np.sqrt(x[0])
    u[1] = np.log(x[0]) * x[1]
    return x[1] * x[2] + 0.0 * u[0]


def test_adjoints_that_are_zero_stay_zero():
    x = np.array([0.0, 3.0, 2.0])
    np.testing.assert_array_equal(grad(infinite_then_forgotten)(x), [0.0, 2.0, 3.0])
    np.testing.assert_array_equal(
        jacobian(lambda x: (np.sqrt(x[0]), x[1], x[0] * x[1], -np.log(x[0])))(x[:2]),
        [[inf, 0.0], [0.0, 1.0], [3.0, 0.0], [-inf, 0.0]],
    )


# Functions of every kind


@slow
@pytest.mark.parametrize(
    "options",
    [{}, {"parallel": True}, {"fastmath": True, "nogil": True}, {"inline": "always"}],
    ids=str,
)
def test_njit_functions_with_options(options):
    @numba.njit(**options)
    def f(x):
        s = 0.0
        for i in numba.prange(x.size):
            s += x[i] ** 2
        return s

    x = np.linspace(-1.0, 1.0, 11)
    assert_close(grad(f)(x), 2.0 * x)


GLOBAL_WEIGHTS = np.array([2.0, 4.0])


@slow
def test_globals_and_closures():
    weights = np.array([3.0, 5.0])

    def f(x):
        a = GLOBAL_WEIGHTS.copy()
        a[0] = x[0] * x[1]
        return a[0] + np.sum(weights * x)

    before = GLOBAL_WEIGHTS.copy()
    assert_close(grad(f)(X), np.array([-3.0 + 3.0, 2.0 + 5.0]))
    np.testing.assert_array_equal(GLOBAL_WEIGHTS, before)


@slow
def test_value_makes_constants():
    def f(x):
        k = int(ad.value(x[0]))
        return x[k] ** 2 + ad.value(x[1]) * x[2] + np.sum(ad.value(x))

    assert_close(grad(f)(np.array([1.7, 3.0, 2.0])), np.array([0.0, 6.0, 3.0]))


@slow
def test_jacobian_of_a_ufunc():
    assert_close(jacobian(np.exp)(X), np.diag(np.exp(X)))


def test_transforms_are_remembered():
    def f(x):
        return x * x

    for transform in (ad.grad, ad.jacobian, ad.hessian, ad.hvp, ad.value_and_grad):
        made = transform(f, mode="reverse")
        assert transform(f, mode="reverse") is made
        assert transform(f, mode="forward") is not made


def test_only_scalars_have_gradients():
    with pytest.raises(ad.NotScalarError, match=r"grad\(chained\)"):
        grad(chained)(X)


# What has a module of slow tests, at a glance


@ad.checkpoint
def squared_sine(x):
    return math.sin(x) ** 2


def test_pullback_of_a_checkpointed_call():
    y, pullback = ad.vjp(lambda x: x * squared_sine(x), 0.7)
    assert_close(y, 0.7 * math.sin(0.7) ** 2)
    assert_close(pullback(3.0), (3.0 * (math.sin(0.7) ** 2 + 0.7 * math.sin(1.4)),))
