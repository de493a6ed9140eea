"""What Numba types, a twin types too: variables that turn active late, mixed containers, functions.

A function is registered with its point by ``@at(...)``.  In both modes its value is that of the
plain njit function, its gradient that of differences of the plain function, its Hessian that of
differences of the gradient.
"""

# A transform takes functions of Python's and Numba's, so NumPy's are wrapped.

import gc
import math
import weakref
from types import FunctionType

import numba
import numpy as np
import pytest
import scipy.special
from scenarios import assert_plain
from test_activation import assert_near, differences_of

import dualtape as ad
from dualtape.analysis.scalars import NUMBERS_ONLY
from dualtape.functions.libraries import CUSTOM_RULES
from dualtape.numbers import tracked
from dualtape.numbers.registration import ELEMENTWISE
from dualtape.tape import statement

# Two functions in one variable are a feature that Numba itself calls experimental.
pytestmark = pytest.mark.filterwarnings("ignore:First-class function type feature is experimental")
CASES = {}
QUICK = []
C = np.linspace(0.1, 1.0, 5)


def at(*x, quick=False):
    """Register a function with the point to differentiate it at; `quick` ones are run always."""

    def register(f):
        assert f.__name__ not in CASES
        CASES[f.__name__] = f, np.array(x)
        QUICK.extend([f.__name__] * quick)
        return f

    return register


@numba.njit
def square(v):
    return v * v


@numba.njit
def square_of_what_may_be_none(v):  # by itself: a function of two types is no function type
    return v * v


@numba.njit
def cube(v):
    return v * v * v


# Numbers that a loop makes active


@at(0.3, 0.7, -0.2, quick=True)
def sum_that_meets_an_array(x):
    s = 0.0
    for i in range(x.size):
        s += x[i] ** 2
    return np.sum(np.exp(-C * s))


@at(0.3, 0.7, -0.2)
def recurrence_through_an_array(x):
    m = 0.0
    for _ in range(3):
        w = np.exp(-C * m)
        m = m + np.sum(w) * x[0] + x[1]
    return m


@at(0.3, 0.7, -0.2)
def array_of_a_constant_and_a_sum(x):
    s = 0.0
    for v in x:
        s += v * v
    a = np.array([0.3, s])
    return np.sum(a * a)


@at(0.3, 0.7, -0.2, quick=True)
def tuple_of_a_sum_and_a_product(x):
    t = (0.0, 1.0)
    for v in x:
        t = (t[0] + v, t[1] * v)
    return np.sum(C * t[0]) + np.sum(np.exp(C * t[1]))


@at(0.3, 0.7, -0.2)
def nested_loops_and_swaps(x):
    a, b = 0.0, 1.0
    w = np.zeros(3)
    for _ in range(3):
        for v in x:
            a, b = b, a + v * b
        w = np.full(3, a) + C[:3]
    return np.sum(w * w) + np.sum(np.where(C > 0.4, C, b))


@numba.njit
def scaled(s):
    return C * s


@numba.njit
def sum_of_scaled(s):
    return np.sum(scaled(s)) * s


@at(0.3, 0.7, -0.2)
def sum_through_a_chain_of_helpers(x):
    s = 0.0
    for v in x:
        s = s + 0.1 * sum_of_scaled(s + v)
    return np.sum(np.append(C, s) ** 2) + np.sum(np.outer(C, np.clip(C, 0.2, s)))


@at(0.3, 0.7, -0.2)
def largest_so_far(x):
    best = -1e300
    for i in range(x.size):
        if x[i] > best:
            best = x[i]
    return np.sum(np.maximum(C, best)) + np.sum(np.linspace(0.0, best, 4) ** 2)


@at(0.3, 0.7, -0.2)
def sum_that_starts_as_an_integer(x):
    s = 0
    for v in x:
        s += v
    return np.sum(C * s) * s


@numba.njit
def half_square_sum(x):
    s = 0.0
    for v in x:
        s += v * v
    return np.sum(C * s)


def gradient_of_half_square_sum(x):
    s = 0.0
    for v in ad.grad(half_square_sum)(x):
        s += v
    return np.sum(np.sin(C * s))


@at(0.3, 0.7, -0.2)
def sum_of_products_by_branches(x):
    s, p = 0.0, 1.0
    for i in range(x.size):
        if i % 2 == 0:
            s += x[i] * p
        else:
            p = np.sum(C * s) + x[i]
    return p * s


# Lists and tuples with constant rows


@at(0.5, 0.6, quick=True)
def matrix_with_constant_rows(x):
    a = np.array([[1.0, 0.0], [0.0, x[1]]])
    return a[1, 1] * x[0] + np.sum(a)


@at(0.5, 0.6)
def rotation(x):
    c, s = np.cos(x[0]), np.sin(x[0])
    r = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    v = r @ np.array([x[0], x[1], 2.0])
    return v[0] * v[1] + v[2]


@at(0.5, 0.6)
def matrix_of_tuples(x):
    a = np.array(((1.0, 0.0), (0.0, x[0] * x[1])))
    return np.sum(a * a)


@at(0.5, 0.6)
def three_levels_of_lists(x):
    a = np.array([[[1.0, x[0]], [0.0, 2.0]], [[x[1], 0.0], [1.0, 1.0]]])
    return np.sum(a**2)


@at(0.5, 0.6)
def constant_row_by_index(x):
    return [[1.0, 2.0], [x[0], x[1]]][1][0] * x[1]


@at(0.5, 0.6)
def active_row_first(x):
    rows = [[x[0], x[1]], [1.0, 2.0]]
    return rows[0][1] * rows[1][1] * x[0]


@at(0.5, 0.6, quick=True)
def active_row_appended(x):
    rows = [[1.0, 2.0]]
    rows.append([x[0], x[1]])
    return np.sum(np.array(rows) ** 2)


@at(0.5, 0.6)
def constant_row_appended(x):
    rows = []
    for i in range(2):
        rows.append([x[i], 1.0])
    rows.append([3.0, 4.0])
    s = 0.0
    for r in rows:
        s += r[0] * r[1]
    return s * x[0]


@at(0.5, 0.6)
def constant_row_appended_first(x):
    rows = []
    rows.append([3.0, 4.0])
    rows.append([x[0], x[1] * x[0]])
    return rows[1][0] * rows[1][1] + rows[0][1]


@at(0.5, 0.6)
def constant_row_with_other_names(x):
    r = [1.0, 2.0]
    q = r
    rows = [r, [x[0], x[1]]]
    q.append(3.0)
    return rows[0][2] * rows[1][1] * len(rows[0]) * x[0]


@at(0.5, 0.6)
def repeated_rows_written_to(x):
    rows = [[0.0] * 2, [1.0] * 2]
    rows.append([x[0], x[1]])
    rows[0][1] += x[1]
    return np.sum(np.array(rows) * x[0])


@at(0.5, 0.6)
def row_by_comprehension(x):
    rows = [[1.0 for j in range(2)], [x[i] for i in range(2)]]
    return np.sum(np.array(rows) ** 2 * x[0])


@at(0.5, 0.6)
def row_replaced_by_constants(x):
    rows = [[x[0], x[1]], [x[1], x[0]]]
    rows[1] = [1.0, 2.0]
    return rows[0][1] * rows[1][1] * x[0]


@at(0.5, 0.6)
def row_of_one_of_two_branches(x):
    r = [1.0, 2.0]
    if x[0] > 2.0:
        r = [x[0], x[1]]
    rows = [r, [x[0], x[1]]]
    return rows[0][1] * rows[1][1] * x[0]


@at(0.5, 0.6)
def tuple_of_lists(x):
    a = np.array(([1.0, 0.0], [x[0], x[1]]))
    return np.sum(a * a)


@at(0.5, 0.6)
def loop_over_a_tuple_of_tuples(x):
    s = 0.0
    for a, b in ((1.0, 2.0), (x[0], x[1])):
        s += a * b
    return s * x[0]


@at(0.5, 0.6)
def computed_index_of_a_tuple_of_tuples(x):
    rows = ((1.0, 2.0), (x[0], 3.0), (4.0, x[1]))
    s = 0.0
    for i in range(3):
        s += rows[i][0] * rows[i][1]
    return s * x[0]


@at(0.5, 0.6)
def list_of_tuples_with_constants(x):
    s = 0.0
    for a, b in [(1.0, 2.0), (x[0], x[1])]:
        s += a * b
    return s * x[1]


@numba.njit
def constant_row(n):
    return [1.0] * n


@at(0.5, 0.6)
def row_of_a_call(x):
    rows = [constant_row(2), [x[0], x[1]]]
    rows[0][0] += x[1]
    return rows[0][1] * rows[1][1] * x[0] * rows[0][0]


@at(0.5, 0.6)
def row_of_a_call_appended(x):
    rows = [[x[0], x[1]]]
    rows.append(constant_row(2))
    return rows[1][1] * rows[0][0] * x[1]


# Variables that start as None


@at(0.5, 0.6, 0.3, quick=True)
def smallest_with_none_at_first(x):
    best = None
    for v in x:
        if best is None or v < best:
            best = v
    return best * x[1]


@at(0.5, 0.6)
def none_unless_positive(x):
    y = None
    if x[0] > 0.0:
        y = x[0] * x[1]
    if y is None:
        return x[0]
    return y * y


@at(0.5, 0.6)
def previous_of_a_loop(x):
    w = None
    s = 0.0
    for i in range(2):
        if w is not None:
            s += w * x[i]
        w = x[i] * x[0]
    return s


@at(0.5, 0.6)
def none_or_array(x):
    w = None
    if x[0] > 0.0:
        w = x * 2.0
    if w is None:
        return x[0]
    return np.sum(w * w)


@at(0.5, 0.6)
def none_passed_to_a_call(x):
    y = None
    for v in x:
        y = v if y is None else square_of_what_may_be_none(y) * v
    return y * x[0]


# Results of branches, loops and functions that are passed on

slope_of_cube = ad.grad(cube, mode="forward")


@at(0.5, 0.6, quick=True)
def slope_at_what_a_loop_carries(x):
    y = 1.0 + 0.0 * x[0]
    for _ in range(3):
        y = y - (cube(y) - x[0]) / slope_of_cube(y)
    return y * x[1]


@at(0.5, 0.6)
def slope_at_what_branches_join(x):
    y = x[0] * x[1] if x[0] > 0.4 else x[1] + x[0]
    return slope_of_cube(y) + slope_of_cube(square(y))


@at(0.5, 0.6)
def array_of_the_turn_before(x):
    previous = None
    s = 0.0
    for i in range(3):
        current = x * (i + 1.0)
        if previous is not None:
            s += np.sum(current * previous)
        previous = current
    return s


@at(0.5, 0.6)
def smallest_and_largest(x):
    low, high = None, None
    for v in x:
        if low is None or v < low:
            low = v
        high = v if high is None else max(high, v)
    return high * high - low


# Functions in variables


@at(0.5, 0.6, quick=True)
def one_of_two_functions(x):
    h = square if x[0] > 0.4 else cube
    return h(x[0]) * x[1]


@at(0.5, 0.6)
def function_that_a_loop_changes(x):
    s = 0.0
    h = square
    for i in range(3):
        s += h(x[i % 2]) * x[0]
        h = cube if i == 0 else square
    return s


@numba.njit
def applied(v, model=square):
    return model(v) * v


@numba.njit
def summed(a, model=square):
    return np.sum(model(a))


@at(0.5, 0.6)
def function_by_default(x):
    return applied(x[0]) + applied(x[1], cube)


@at(0.5, 0.6, quick=True)
def function_by_default_on_arrays(x):
    return summed(x * x[0]) + summed(np.ones(2) * x[1], cube)


@at(0.5, 0.6)
def own_function_by_default(x, model=cube):
    return model(x[0]) * x[1]


def test_functions_in_variables_are_not_kept():
    """What calls one of several functions goes with them."""

    def derivative_of_own_functions():
        @numba.njit
        def double(v):
            return 2.0 * v

        @numba.njit
        def triple(v):
            return 3.0 * v

        def f(x):
            h = double if x[0] > 0.4 else triple
            return h(x[0])

        assert ad.grad(f)(np.array([0.5])) == 2.0
        return [weakref.ref(double), weakref.ref(triple), weakref.ref(f)]

    kept = derivative_of_own_functions()
    gc.collect()
    assert [function() for function in kept] == [None, None, None]


# Functions of numbers and axes


@at(0.5, 0.6, quick=True)
def sums_over_axes(x):
    a = x[0] * np.ones((2, 3, 4)) * x[1]
    return np.sum(np.sum(a, axis=(1, 2)) ** 2) + np.sum(np.sum(a, axis=(-1, 0)) ** 2)


@at(0.5, 0.6)
def logaddexp2(x):
    return np.logaddexp2(x[0], 2.0 * x[1]) * x[0] + np.sum(np.logaddexp2(x, C[:2]))


@at(0.5, 0.6)
def ldexp(x):
    s = 0.0
    for n in range(3):
        s += math.ldexp(x[0] * x[1], n - 1)
    return math.ldexp(s, 2) * np.ldexp(x[0], 1)


@at(0.5, 0.6)
def full_like_a_passive_array(x):
    return np.sum(np.full_like(C, x[0]) * C) * x[1] + np.sum(np.full_like(np.ones((2, 2)), x[1]))


@at(0.5, 0.6)
def arange_of_active_bounds(x):
    return np.sum(np.arange(x[0], 2.1) * x[1]) + np.sum(np.arange(x[0], 3.0 * x[1], 0.45 * x[0]))


@at(0.5, 0.6)
def arange_of_another_kind(x):
    return np.sum(np.arange(x[0], 2.1, 0.5, np.float64) ** 2)


@at(0.5, 0.6)
def full_of_a_kind(x):
    return np.sum(np.full((2, 2), x[0], np.float64)) * np.full(3, x[1])[2]


@at(0.5, 0.6)
def arange_of_an_active_stop(x):
    return np.sum(np.arange(4.0 * x[1]) * x[0])


@at(0.5, 0.6)
def reductions_of_one_number(x):
    return np.max(x[0]) * np.min(x[1]) + np.sum(x[0]) * np.mean(x[1]) * np.prod(x[1])


def chosen(quick):
    return [pytest.param(n, marks=[] if n in quick else pytest.mark.slow) for n in CASES]


# Sums in another order than Numba's: of the absolute values of what is added.
TERMS = {"sums_over_axes": 100.0}


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("name", chosen(QUICK))
def test_first_order(name, mode):
    f, x = CASES[name]
    value, gradient = ad.value_and_grad(f, mode=mode)(x)
    assert_plain(value, f, x, terms=TERMS.get(name, 0.0))
    assert_near(gradient, differences_of(f, x))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("name", chosen(QUICK[:2]))
def test_second_order(name, mode):
    f, x = CASES[name]
    assert_near(ad.hessian(f, mode=mode)(x), differences_of(ad.grad(f), x))


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_loop_over_a_gradient(mode):
    """The gradient of sum(c) |x|^2 is 2 sum(c) x: the loop sums s = 2 sum(c) sum(x)."""
    x = np.array([0.3, 0.7, -0.2])
    found = ad.grad(gradient_of_half_square_sum, mode=mode)(x)
    slope = 2.0 * np.sum(C)
    expected = np.sum(C * np.cos(C * slope * np.sum(x))) * slope
    np.testing.assert_allclose(found, np.full(3, expected), rtol=1e-13)


# What has no influence is computed on plain values


def dead(x):
    y = np.sin(x[0]) * x[1]
    z = y * y + np.exp(y)
    for i in range(2):
        z += x[i] * y
    return x[0] * x[1] if z > 0.0 else x[0]


def dead_division(x):
    y = 1.0 / (x[0] - 0.5)  # noqa: F841
    return x[0] * x[1]


def written_by_another_name(x):
    a = np.zeros(2)
    b = a
    b += x[0] * x[1]
    return a[0]


def written_by_out(x):
    out = np.empty(2)
    v = np.multiply(x, x[0] * 2.0, out)  # noqa: F841
    return out[0] + out[1]


def stored_and_dead(x):
    t = x[0] * 3.0
    items = [1.0]
    items[0] = t * x[1]
    w = t + 1.0  # noqa: F841
    return items[0]


def only_compared(x):
    s = 0.0
    for i in range(2):
        s += x[i] * x[i]
    k = 0
    while s < 2.0:
        s *= 1.5
        k += 1
    return x[0] * k + x[1]


INFLUENCES = {
    dead: lambda x: [x[1], x[0]],
    written_by_another_name: lambda x: [x[1], x[0]],
    written_by_out: lambda x: [4.0 * x[0] + 2.0 * x[1], 2.0 * x[0]],
    stored_and_dead: lambda x: [3.0 * x[1], 3.0 * x[0]],
    only_compared: lambda x: [4.0, 1.0],
}


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("f", INFLUENCES, ids=lambda f: f.__name__)
def test_what_has_influence_keeps_its_derivative(f, mode):
    x = np.array([0.4, 0.6])
    value, gradient = ad.value_and_grad(f, mode=mode)(x)
    assert value == numba.njit(f)(x)
    np.testing.assert_allclose(gradient, INFLUENCES[f](x), rtol=1e-14)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_what_has_no_influence_raises_as_before(mode):
    with pytest.raises(ZeroDivisionError):
        ad.grad(dead_division, mode=mode)(np.array([0.5, 0.6]))


def test_what_has_no_influence_is_not_recorded(monkeypatch):
    """Code that records is emitted once for the product returned, and for nothing else."""
    emitted = []

    def counted(*args):
        emitted.append(args)
        return statement.statement(*args)

    monkeypatch.setattr(tracked, "statement", counted)

    def live_and_dead(x):
        y = np.sin(x[0]) * x[1]
        z = y * y + np.exp(y)
        for i in range(2):
            z += x[i] * y
        return x[0] * x[1] if x[0] > 0.0 else x[0]

    ad.grad(live_and_dead, mode="reverse")(np.array([0.4, 0.6]))
    with_dead_statements = len(emitted)

    def live(x):
        return x[0] * x[1] if x[0] > 0.0 else x[0]

    ad.grad(live, mode="reverse")(np.array([0.4, 0.6]))
    assert len(emitted) == 2 * with_dead_statements > 0


def test_elementwise_functions_have_a_plain_form():
    """Or `influence` would make calls that Numba refuses."""
    context = numba.core.registry.cpu_target.typing_context
    ad.grad(lambda x: scipy.special.j0(np.sum(x * x)))(np.ones(2))  # what works on numbers is there
    for function in ELEMENTWISE.keys() - NUMBERS_ONLY - set(CUSTOM_RULES.values()):
        own = isinstance(function, FunctionType) and function.__module__.startswith("dualtape.")
        if own and not hasattr(ad, function.__name__):
            continue  # in no function of a user
        calls = [(numba.float64,) * n for n in (1, 2, 3, 4)]
        calls.append((numba.float64, numba.int64))
        found = []
        for args in calls:
            try:
                found.append(context.resolve_function_type(function, args, {}))
            except Exception:  # whatever a template says of a wrong number of arguments
                continue
        assert any(found), f"{function} has no plain form"


@numba.njit
def halves(v, n):
    if n == 0:
        return v
    return v * doubles(v, n - 1)


@numba.njit
def doubles(v, n):
    if n == 0:
        return 2.0
    return v + halves(v, n - 1)


@numba.njit
def pairs(v, n):
    if n == 0:
        return 1.0, v
    a, b = other_pairs(v, n - 1)
    return v * a, b + v


@numba.njit
def other_pairs(v, n):
    if n == 0:
        return v * 2.0, 2.0
    a, b = pairs(v, n - 1)
    return v * a, b - v


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("n", [4, 5])
def test_functions_that_call_each_other_and_end_with_a_constant(n, mode):
    """The calls inside are typed while only the last return statement is known: a float."""

    def f(x):
        a, b = pairs(x[0], n)
        return halves(x[0], n) * x[1] + a * b

    x = np.array([1.1, 0.5])
    value, gradient = ad.value_and_grad(f, mode=mode)(x)
    assert value == pytest.approx(numba.njit(f)(x), rel=1e-14)
    np.testing.assert_allclose(gradient, differences_of(f, x), rtol=1e-8)


@numba.njit
def sums(v, n):
    if n == 0:
        return 2.0 * v
    s, t = v - v, 0.0
    for _ in range(3):
        s = s + np.sum(C * t)  # makes inference start again, after `more_sums` was compiled
        t = t + v * more_sums(v, n - 1)
    return s


@numba.njit
def more_sums(v, n):
    if n == 0:
        return 2.0
    return v + sums(v, n - 1)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_functions_that_call_each_other_and_are_inferred_again(mode):
    def f(x):
        return sums(x[0], 4) * x[1]

    x = np.array([1.1, 0.5])
    value, gradient = ad.value_and_grad(f, mode=mode)(x)
    assert value == pytest.approx(numba.njit(f)(x), rel=1e-14)
    np.testing.assert_allclose(gradient, differences_of(f, x), rtol=1e-8)


@numba.njit
def whole_halves(v, n):
    if n == 0:
        return 1
    return v * whole_doubles(v, n - 1)


@numba.njit
def whole_doubles(v, n):
    if n == 0:
        return 2
    return v + whole_halves(v, n - 1)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_result_taken_for_an_integer_is_refused(mode):
    """Numba reads the bits of a float as an integer here."""
    with pytest.raises(ad.UnsupportedFunctionError, match=r"calls itself.*return a float"):
        ad.grad(lambda x: whole_halves(x[0], 5), mode=mode)(np.array([1.1]))
