"""Constant arguments that a function does not write to are not copied to the tape, others are."""

import numpy as np
import pytest

import dualtape as ad
from dualtape.analysis.sharing import Effects

N = 100
RNG = np.random.default_rng(11)
A = RNG.normal(size=(N, N))
X = RNG.normal(size=N)
EXPECTED = 2.0 * A.T @ (A @ X)  # gradient of |A x|^2


def squares(y):
    return np.sum(y * y)


def untouched(a, x):
    return squares(a @ x)


def in_a_callee(a, x):
    return untouched(a, x)


def a_view(a, x):
    upper, lower = a[: N // 2], a[N // 2 :]
    return squares(upper @ x) + squares(lower @ x)


def a_copy_is_overwritten(a, x):
    b = a.copy()
    y = a @ x
    b[:] = 0.0
    return squares(y)


def overwritten(a, x):
    y = a @ x
    a[:] = 0.0
    return squares(y)


def fill_second_row(b):
    b[1, :] = 3.0


def overwritten_through_a_view_by_a_callee(a, x):
    y = a @ x
    fill_second_row(a[2:])
    return squares(y)


def shuffled(a, x):
    y = a @ x
    np.random.shuffle(a)
    return squares(y)


def sorted_in_place(a, x):
    y = a @ x
    a[0].sort()
    return squares(y)


def incremented(a, x):
    y = a @ x
    a += 1.0
    return squares(y)


QUICK = [in_a_callee, overwritten, overwritten_through_a_view_by_a_callee, shuffled]
SLOW = [untouched, a_view, a_copy_is_overwritten, sorted_in_place, incremented]


@pytest.mark.parametrize("f", [*QUICK, *(pytest.param(f, marks=pytest.mark.slow) for f in SLOW)])
def test_gradients_are_those_of_the_values_at_the_product(f):
    given = A.copy()
    found = ad.grad(f, 1, mode="reverse")(given, X)
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-12)
    np.testing.assert_array_equal(given, A)


@pytest.fixture
def little_memory():
    """Let a tape hold all but a matrix."""
    before = ad.set_tape_limit(5 * 8 * N * N // 8)
    yield
    ad.set_tape_limit(before)


@pytest.mark.usefixtures("little_memory")
def test_what_is_kept_by_address_takes_no_memory():
    np.testing.assert_allclose(ad.grad(in_a_callee, 1, mode="reverse")(A, X), EXPECTED, rtol=1e-12)


@pytest.mark.usefixtures("little_memory")
def test_global_arrays_take_no_memory():
    found = ad.grad(lambda x: squares(A @ x), mode="reverse")(X)
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-12)


def test_a_pullback_called_later_has_a_copy_of_what_was_read_only():
    given = A.copy()
    view = given[:]
    view.flags.writeable = False
    value, pullback = ad.vjp(lambda x, a: a @ x, X, view)
    given[:] = 0.0
    np.testing.assert_allclose(pullback(value)[0], A.T @ (A @ X), rtol=1e-12)


@pytest.mark.usefixtures("little_memory")
def test_what_is_written_to_is_copied():
    with pytest.raises(ad.TapeMemoryError):
        ad.grad(overwritten, 1, mode="reverse")(A.copy(), X)


def test_another_name_of_the_same_memory_is_written_to():
    def f(a, b, x):
        y = a @ x
        b[:] = 0.0
        return squares(y)

    given = A.copy()
    found = ad.grad(f, 2, mode="reverse")(given, given[:], X)
    np.testing.assert_allclose(found, EXPECTED, rtol=1e-12)


def test_arrays_in_tuples():
    def f(data, x):
        a, b = data
        return squares(a @ x - b)

    b = RNG.normal(size=N)
    found = ad.grad(f, 1, mode="reverse")((A, b), X)
    np.testing.assert_allclose(found, 2.0 * A.T @ (A @ X - b), rtol=1e-12)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*faster on contiguous arrays")
@pytest.mark.parametrize("given", [np.asfortranarray(A), A[::2], np.rint(4.0 * A).astype(int)])
def test_other_layouts_and_types(given):
    found = ad.grad(untouched, 1, mode="reverse")(given, X)
    a = given.astype(float)
    np.testing.assert_allclose(found, 2.0 * a.T @ (a @ X), rtol=1e-12)


@pytest.mark.slow
def test_jacobians_sweep_several_times():
    def f(a, x):
        return a @ x

    np.testing.assert_array_equal(ad.jacobian(f, 1, mode="reverse")(A, X), A)


def test_a_pullback_called_later_has_a_copy():
    given = A.copy()
    value, pullback = ad.vjp(lambda x, a: a @ x, X, given)
    given[:] = 0.0
    np.testing.assert_allclose(pullback(value)[0], A.T @ (A @ X), rtol=1e-12)


def test_a_tape_forgets_what_it_borrowed():
    """The memory of the first call is overwritten within the second, which leases its tape."""
    given = A.copy()
    ad.grad(in_a_callee, 1, mode="reverse")(given, X)

    def f(a, x):
        y = a @ x
        a[:] = 0.0
        return squares(y)

    run = ad.jacobian(lambda x, a: np.array([f(a, x), 1.0]), mode="reverse")
    np.testing.assert_allclose(run(X, given)[0], EXPECTED, rtol=1e-12)


def test_this_file_would_see_a_missing_copy(monkeypatch):
    """With all arguments borrowed, also those written to, the gradient is one of zeros."""
    monkeypatch.setattr(
        "dualtape.drivers.signature.effects_on", lambda function, arg_types: Effects()
    )

    def f(a, x):
        y = a @ x
        a[:] = 0.0
        return squares(y)

    found = ad.grad(f, 1, mode="reverse")(A.copy(), X)
    np.testing.assert_array_equal(found, 0.0)
