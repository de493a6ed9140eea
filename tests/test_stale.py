"""A derivative is that of what the function is now: globals, closures, helpers, data."""

import contextlib
import gc
import types
import warnings
import weakref

import numba
import numpy as np
import pytest
from numba.core import event

import dualtape as ad

X = np.array([0.5, 0.6])


def notebook(*cells):
    """Run cells of source in one module, as a notebook does; return its namespace."""
    module = types.ModuleType("__main__")
    space = vars(module)
    space.update(np=np, ad=ad, numba=numba, x=X)
    for number, cell in enumerate(cells):
        run(space, cell, number)
    return space


def run(space, cell, number=0):
    exec(compile(cell, f"<cell {number}>", "exec"), space)


def central(f, x, h=1e-6):
    """Return the gradient by central differences."""
    steps = np.eye(x.size) * h
    return np.array([(f(x + step) - f(x - step)) / (2.0 * h) for step in steps])


def assert_now(space, name="f", transform=ad.grad, made=None):
    """Check a derivative against differences of the function as Python runs it now."""
    f = space[name]
    expected = central(getattr(f, "py_func", f), X)
    np.testing.assert_allclose((made or transform(f))(X), expected, rtol=1e-6, atol=1e-8)


class Count(event.Listener):
    """Counts what Numba compiles."""

    def __init__(self):
        self.names = []

    def on_start(self, event):
        self.names.append(event.data["dispatcher"].__name__)

    def on_end(self, event):
        pass


@contextlib.contextmanager
def nothing_compiles():
    with event.install_listener("numba:compile", Count()) as count:
        yield
    assert count.names == []


@contextlib.contextmanager
def nothing_warned():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


FUNCTION = "def f(x): return {}"
CHANGES = {  # first cells, later cells
    "number": (["K = 2.0", FUNCTION.format("K * np.sum(x**3)")], ["K = 10.0", "K = 3.0"]),
    "integer": (
        ["N = 1", "def f(x):\n    y = 0.0\n    for i in range(N): y += x[i]**2\n    return y"],
        ["N = 2", "N = 1"],
    ),
    "integer that must be a constant": (
        ["AXIS = 0", FUNCTION.format("np.sum(np.outer(x, x).sum(axis=AXIS) * np.arange(2.0))")],
        ["AXIS = 1", "AXIS = 0"],
    ),
    "number of another type": (
        ["K = 2", FUNCTION.format("K * np.sum(x**3)")],
        ["K = 2.5", "K = 3", "K = np.float32(1.5)"],
    ),
    "flag": (
        ["CUBE = False", FUNCTION.format("np.sum(x**3 if CUBE else x**2)")],
        ["CUBE = True", "CUBE = False"],
    ),
    "branch on a number": (
        ["P = 1", "def f(x):\n    if P == 1: return x[0]**2\n    return x[1]**3"],
        ["P = 2", "P = 1"],
    ),
    "text": (
        ["KIND = 'a'", "def f(x):\n    return x[0]**2 if KIND == 'a' else x[1]**3"],
        ["KIND = 'b'"],
    ),
    "small array": (
        ["A = np.array([1.0, 2.0])", FUNCTION.format("np.sum(A * x**2)")],
        ["A = np.array([3.0, 4.0])", "A[0] = 7.0", "A = np.ones(2)", "A = np.ones(1)"],
    ),
    "large array": (
        ["A = np.arange(200.0)", FUNCTION.format("np.sum(A * x[0]**2) + A[3] * x[1]**2")],
        ["A = np.ones(200)", "A[3] = 7.0", "A = np.ones(300)", "A = np.ones(400)[::2]"],
    ),
    "two names of one array": (
        ["A = B = np.arange(200.0)", FUNCTION.format("A[3] * x[0]**2 + B[4] * x[1]**2")],
        ["A = np.ones(200)", "B = np.zeros(200)"],
    ),
    "matrix": (
        ["A = np.ones((20, 2))", FUNCTION.format("np.sum((A @ x)**2)")],
        ["A = 2.0 * np.ones((20, 2))", "A = np.ones((2, 20)).T", "A[:, 0] = 5.0"],
    ),
    "tuple": (
        ["A = (1.0, np.ones(2))", FUNCTION.format("A[0] * np.sum(A[1] * x**2)")],
        ["A = (2.0, np.ones(2))", "A[1][0] = 3.0"],
    ),
    "helper": (
        ["def h(u): return u * u", FUNCTION.format("h(x[0]) + x[1]")],
        ["def h(u): return u * u * u", "h = lambda u: np.sin(u)"],
    ),
    "compiled helper": (
        ["@numba.njit\ndef h(u): return u * u", FUNCTION.format("h(x[0]) + x[1]")],
        ["@numba.njit\ndef h(u): return u * u * u"],
    ),
    "global of a helper": (
        ["K = 2.0", "def h(u): return K * u * u", FUNCTION.format("h(x[0]) + x[1]")],
        ["K = 3.0", "K = 4.0"],
    ),
    "helper of a helper": (
        ["def g(u): return u**2", "def h(u): return g(u)", FUNCTION.format("h(x[0])")],
        ["def g(u): return u**3"],
    ),
    "function of a library": (
        ["act = np.tanh", FUNCTION.format("np.sum(act(x))")],
        ["act = np.sin"],
    ),
    "name of a library": (
        ["from math import sin", FUNCTION.format("sin(x[0])")],
        ["from math import cos as sin"],
    ),
    "member of a module": (
        [
            "import types\nsettings = types.ModuleType('settings')\nsettings.K = 2.0\n"
            "settings.A = np.ones(100)",
            FUNCTION.format("settings.K * np.sum(settings.A * x[0]**2)"),
        ],
        ["settings.K = 3.0", "settings.K = 4.0", "settings.A = np.zeros(100)", "settings.A[0] = 1"],
    ),
    "closure": (
        [
            "def make():\n    k = 2.0\n"
            "    def change(value):\n        nonlocal k\n        k = value\n"
            "    def f(x): return k * np.sum(x**2)\n    return f, change\nf, change = make()"
        ],
        ["change(3.0)", "change(4.0)"],
    ),
    "array in a closure": (
        [
            "def make():\n    a = np.ones(100)\n    def change(value):\n        nonlocal a\n"
            "        a = value\n    def f(x): return a[1] * np.sum(x**2)\n    return f, change\n"
            "f, change = make()"
        ],
        ["change(np.arange(100.0))", "change(np.zeros(100))"],
    ),
    "recursion": (
        ["D = 2.0", "def f(x):\n    if x[0] > 10.0: return D * x[1]**2\n    return f(x * 3.0)"],
        ["D = 3.0", "D = 4.0"],
    ),
    "inner derivative": (
        ["K = 2.0", "def h(u): return K * u**3", FUNCTION.format("ad.grad(h)(x[0])")],
        ["K = 3.0", "K = 4.0"],
    ),
    "inner derivative by name": (
        ["K = 2.0", "def h(u): return K * u**3", "dh = ad.grad(h)", FUNCTION.format("dh(x[0])")],
        ["K = 3.0", "def h(u): return u**4\ndh = ad.grad(h)"],
    ),
    "direction": (
        ["K = 2.0", "def h(u): return K * u**3", FUNCTION.format("ad.jvp(h, (x[0],), (x[1],))[1]")],
        ["K = 3.0", "K = 4.0"],
    ),
    "loop with checkpoints": (
        [
            "K = 2.0",
            "def step(u, k): return K * u * (1.0 - u)",
            FUNCTION.format("ad.checkpoint_loop(step, x[0], 5, 2)"),
        ],
        ["K = 3.0", "K = 2.5"],
    ),
    "default argument of a helper": (
        ["def h(u, k=2.0): return k * u * u", FUNCTION.format("h(x[0])")],
        ["h.__defaults__ = (3.0,)"],
    ),
    "code of the function": (
        [FUNCTION.format("x[0]**2"), "def g(x): return x[1]**3"],
        ["f.__code__ = g.__code__"],
    ),
    "what is defined later": (
        [FUNCTION.format("x[0]**2 * LATE"), "LATE = 2.0"],
        ["LATE = 3.0"],
    ),
}  # fmt: skip


SEEN_LATER = ("__code__", "__defaults__", "import cos as sin")
"""What is looked at when a transform is asked for, not in every call."""


@pytest.mark.parametrize("mode", ["forward", pytest.param("reverse", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", CHANGES)
def test_derivatives_are_those_of_the_function_as_it_is(name, mode):
    first, later = CHANGES[name]
    space = notebook(*first)
    f = space["f"]
    made = ad.grad(f, mode=mode)
    assert_now(space, made=made)
    for number, cell in enumerate(later):
        run(space, cell, len(first) + number)
        if not any(text in cell for text in SEEN_LATER):
            assert_now(space, made=made)
        assert_now(space, made=ad.grad(f, mode=mode))


def test_the_same_object_as_long_as_nothing_changes():
    space = notebook("K = 2.0", FUNCTION.format("K * np.sum(x**3)"))
    made = ad.grad(space["f"])
    made(X)
    assert ad.grad(space["f"]) is made
    run(space, "K = 1.0 + 1.0")
    assert ad.grad(space["f"]) is made
    run(space, "def h(u): return u")  # nothing that f names
    assert ad.grad(space["f"]) is made


def test_a_cell_that_is_run_again_costs_nothing():
    cells = ["def h(u): return u * u", FUNCTION.format("h(x[0]) + x[1]")]
    space = notebook(*cells)
    made = ad.grad(space["f"])
    made(X)
    run(space, cells[0])
    with nothing_compiles():
        made(X)
        ad.grad(space["f"])(X)


@pytest.mark.parametrize("name", ["number", "integer", "small array", "large array", "closure"])
def test_a_constant_costs_one_more_compilation_and_then_none(name):
    values = {
        "closure": ["change(3.0)", "change(4.0)", "change(5.0)"],
        "integer": ["N = 2", "N = 0", "N = 1"],
        "small array": ["A = np.ones(2)", "A = np.zeros(2)", "A[0] = 5.0"],
        "large array": ["A = np.ones(300)", "A = np.ones(200)", "A[0] = 5.0"],
        "number": ["K = 3.0", "K = 4.0", "K = 5.0"],
    }[name]
    space = notebook(*CHANGES[name][0])
    made = ad.grad(space["f"])
    made(X)
    run(space, values[0])
    assert_now(space, made=made)
    with nothing_compiles():
        for cell in values[1:]:
            run(space, cell)
            assert_now(space, made=made)
            assert_now(space, made=ad.grad(space["f"]))


TRANSFORMS = {
    "value_and_grad": lambda f: ad.value_and_grad(f)(X)[1],
    "jacobian": lambda f: ad.jacobian(f)(X),
    "vjp": lambda f: ad.vjp(f, X)[1](1.0)[0],
    "jvp": lambda f: [ad.jvp(f, (X,), (e,))[1] for e in np.eye(2)],
    "sparse_jacobian": lambda f: ad.sparse_jacobian(f)(X).toarray()[0],
    "record": lambda f: [ad.record(f, X).adjoints()[i] for i in (1, 2)],
}
SECOND = {
    "hessian": lambda f: ad.hessian(f)(X),
    "hessian, reverse": lambda f: ad.hessian(f, mode="reverse")(X),
    "hvp": lambda f: [ad.hvp(f)(X, e) for e in np.eye(2)],
    "sparse_hessian": lambda f: ad.sparse_hessian(f)(X).toarray(),
    "jacobian of grad": lambda f: ad.jacobian(ad.grad(f))(X),
}
CHANGING = ["K = 2.0\nA = np.ones(100)", FUNCTION.format("K * np.sum(A[:2] * x**3)")]
LATER = ["K = 3.0", "A = np.arange(100.0)", "K = 4.0", "A[1] = 0.5"]


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform(name):
    space = notebook(*CHANGING)
    for cell in ["", *LATER]:
        run(space, cell)
        expected = 3.0 * space["K"] * space["A"][:2] * X**2
        np.testing.assert_allclose(TRANSFORMS[name](space["f"]), expected, rtol=1e-13)


@pytest.mark.parametrize("name", SECOND)
def test_every_second_derivative(name):
    space = notebook(*CHANGING)
    for cell in ["", *LATER]:
        run(space, cell)
        expected = np.diag(6.0 * space["K"] * space["A"][:2] * X)
        np.testing.assert_allclose(SECOND[name](space["f"]), expected, rtol=1e-13)


def test_prepared_sparse_objects_keep_up():
    space = notebook(*CHANGING)
    jacobian, hessian = ad.sparse_jacobian(space["f"]), ad.sparse_hessian(space["f"])
    for cell in ["", *LATER]:
        run(space, cell)
        factors = space["K"] * space["A"][:2]
        np.testing.assert_allclose(jacobian(X).toarray()[0], 3.0 * factors * X**2, rtol=1e-13)
        np.testing.assert_allclose(hessian(X).toarray(), np.diag(6.0 * factors * X), rtol=1e-13)


def test_a_fit_of_new_data():
    space = notebook(
        "data = np.ones(50)", "def loss(p): return np.sum((data - p[0])**2) + (p[1] - 2.0)**2"
    )
    for level in (1.0, 3.0, -2.0):
        run(space, f"data = np.full(50, {level})")
        found = ad.optimize.minimize(space["loss"], np.zeros(2))
        assert found.success
        np.testing.assert_allclose(found.x, [level, 2.0], atol=1e-4)
    space["data"][:] = 7.0
    np.testing.assert_allclose(ad.optimize.minimize(space["loss"], X).x, [7.0, 2.0], atol=1e-4)


def test_an_integration_with_new_parameters():
    space = notebook("RATE = 1.0", "def decay(t, y): return -RATE * y")
    for rate in (1.0, 2.0, 3.0):
        run(space, f"RATE = {rate}")
        found = ad.integrate.solve_ivp(
            space["decay"], (0.0, 1.0), np.ones(1), method="BDF", rtol=1e-8, atol=1e-10
        )
        assert found.y[0, -1] == pytest.approx(np.exp(-rate), rel=1e-5)


def test_sensitivities_with_new_parameters():
    space = notebook("RATE = 1.0", "def decay(t, y, p): return -RATE * p[0] * y")
    for rate in (1.0, 2.0):
        run(space, f"RATE = {rate}")
        found = ad.integrate.solve_ivp_sensitivity(
            space["decay"], (0.0, 1.0), np.ones(1), np.ones(1), rtol=1e-9, atol=1e-11
        )
        assert found.dy_dp[0, 0, -1] == pytest.approx(-rate * np.exp(-rate), rel=1e-6)


def test_roots_with_new_constants():
    space = notebook("K = 2.0", "def residual(u, p): return u * u - K * p")
    root = ad.implicit_root(space["residual"])
    for value in (2.0, 3.0, 5.0):
        run(space, f"K = {value}")
        assert root(1.0, 2.0) == pytest.approx(np.sqrt(2.0 * value))


def test_checkpoints_with_new_constants():
    space = notebook(
        "K = 2.0",
        "def step(u): return K * u * u",
        "marked = ad.checkpoint(step)",
        FUNCTION.format("marked(x[0])"),
    )
    made = ad.grad(space["f"], mode="reverse")
    for value in (2.0, 3.0, 5.0):
        run(space, f"K = {value}")
        np.testing.assert_allclose(made(X), [2.0 * value * X[0], 0.0])
        assert space["marked"](2.0) == 4.0 * value


def test_integrals_with_new_constants():
    space = notebook("K = 2.0", "def wave(x): return K * x")
    for value in (2.0, 3.0, 5.0):
        run(space, f"K = {value}")
        assert ad.integrate.quad(space["wave"], 0.0, 1.0)[0] == pytest.approx(value / 2.0)


def test_compiled_code_keeps_what_it_saw():
    space = notebook("K = 2.0", FUNCTION.format("K * np.sum(x**3)"), "g = ad.grad(f)")
    run(space, "@numba.njit\ndef early(x): return g(x)")
    np.testing.assert_allclose(space["early"](X), 6.0 * X**2)
    run(space, "K = 5.0")
    run(space, "@numba.njit\ndef late(x): return g(x)")
    np.testing.assert_allclose(space["early"](X), 6.0 * X**2)
    np.testing.assert_allclose(space["late"](X), 15.0 * X**2)
    np.testing.assert_allclose(space["g"](X), 15.0 * X**2)
    run(space, "K = 7.0")
    run(space, "@numba.njit\ndef later(x): return ad.grad(f2)(x)\nf2 = numba.njit(f)")
    np.testing.assert_allclose(space["later"](X), 21.0 * X**2)


COMPILED = "@numba.njit\ndef f(x): return K * np.sum(x**3)"


def test_a_compiled_function_and_its_derivative_agree():
    space = notebook("K = 2.0", COMPILED)
    f = space["f"]
    assert f(X) == pytest.approx(2.0 * np.sum(X**3))
    run(space, "K = 10.0")
    with pytest.warns(ad.DualtapeWarning, match=r"K is 10\.0 now.*f\.recompile\(\)"):
        made = ad.grad(f)
    np.testing.assert_allclose(made(X), 6.0 * X**2)  # made after the change, as f is
    with nothing_warned():  # told once
        assert ad.grad(f) is made
    f.recompile()
    np.testing.assert_allclose(made(X), 30.0 * X**2)
    assert f(X) == pytest.approx(10.0 * np.sum(X**3))
    assert ad.grad(f) is made


def test_a_compiled_function_that_was_never_called():
    space = notebook("K = 2.0", COMPILED)
    f = space["f"]
    made = ad.grad(f)
    np.testing.assert_allclose(made(X), 6.0 * X**2)
    run(space, "K = 10.0")
    with nothing_warned():
        np.testing.assert_allclose(ad.grad(f)(X), 30.0 * X**2)
    run(space, "K = 11.0")
    assert f(X) == pytest.approx(11.0 * np.sum(X**3))  # compiled here
    np.testing.assert_allclose(made(X), 33.0 * X**2)


def test_compiling_for_other_types_changes_nothing():
    space = notebook("K = 2.0", "@numba.njit\ndef f(x): return K * x * x")
    f = space["f"]
    f(1.0)
    run(space, "K = 10.0")
    f(1)  # compiled for integers now
    with pytest.warns(ad.DualtapeWarning, match="K is 10"):
        assert ad.grad(f)(1.0) == 4.0


@pytest.mark.parametrize("first", [True, False])
def test_globals_of_compiled_helpers(first):
    space = notebook(
        "K = 2.0", "@numba.njit\ndef h(u): return K * u * u", FUNCTION.format("h(x[0]) + x[1]")
    )
    made = ad.grad(space["f"])
    if first:
        assert space["f"](X) == pytest.approx(2.0 * 0.25 + 0.6)
    np.testing.assert_allclose(made(X), [2.0, 1.0])
    run(space, "K = 3.0")
    factor = 2.0 if first else 3.0  # compiled before or after the change
    assert space["f"](X) == pytest.approx(factor * 0.25 + 0.6)
    with pytest.warns(ad.DualtapeWarning, match="h was compiled") if first else nothing_warned():
        np.testing.assert_allclose(made(X), [factor, 1.0])
    space["h"].recompile()
    assert space["f"](X) == pytest.approx(3.0 * 0.25 + 0.6)
    np.testing.assert_allclose(made(X), [3.0, 1.0])


def test_members_of_modules_that_a_compiled_function_saw():
    space = notebook(
        "import types\nsettings = types.ModuleType('settings')\nsettings.K = 2.0",
        "@numba.njit\ndef f(x): return settings.K * np.sum(x**2)",
    )
    space["f"](X)
    run(space, "settings.K = 3.0")
    with pytest.warns(ad.DualtapeWarning, match=r"settings\.K is 3\.0"):
        np.testing.assert_allclose(ad.grad(space["f"])(X), 4.0 * X)


def test_closures_that_a_compiled_function_saw():
    """Of two with equal values only one is bound anew; arrays do not compare as one truth."""
    space = notebook(
        "def make(a, b, c):\n"
        "    def change(value):\n        nonlocal b\n        b = value\n"
        "    @numba.njit\n    def f(x): return a * x[0]**2 + b * x[1]**2 + np.sum(c)\n"
        "    return f, change\nf, change = make(3.0, 2.0, np.ones(3))"
    )
    space["f"](X)
    run(space, "change(3.0)")
    with pytest.warns(ad.DualtapeWarning, match=r"b is 3\.0"):
        made = ad.grad(space["f"])
    np.testing.assert_allclose(made(X), [6.0 * X[0], 4.0 * X[1]])


def test_a_call_that_fails_costs_later_changes_nothing():
    space = notebook(*CHANGES["number"][0])
    made = ad.grad(space["f"])
    made(X)
    run(space, "K = 3.0")
    made(X)
    with pytest.raises(ad.DualtapeError):
        made("text")
    run(space, "K = 4.0")
    assert_now(space, made=made)
    with nothing_compiles():
        run(space, "K = 5.0")
        assert_now(space, made=made)


def test_a_large_array_of_another_type():
    space = notebook(*CHANGES["large array"][0])
    made = ad.grad(space["f"])
    run(space, "A = np.arange(300)")  # of integers, before anything was compiled
    assert_now(space, made=made)
    with nothing_compiles():
        run(space, "A = np.arange(200)")
        assert_now(space, made=made)


def test_arrays_that_a_compiled_function_saw():
    space = notebook("A = np.array([1.0, 2.0])", "@numba.njit\ndef f(x): return np.sum(A * x**2)")
    space["f"](X)
    space["A"][0] = 5.0
    with pytest.warns(ad.DualtapeWarning, match="A changed"):
        made = ad.grad(space["f"])
    assert made(X) == pytest.approx(2.0 * X * np.array([1.0, 2.0]))


def test_what_was_superseded_is_freed():
    space = notebook("CUBE = False", FUNCTION.format("np.sum(x**3 if CUBE else x**2)"))
    made = ad.grad(space["f"])
    made(X)
    old = weakref.ref(made.version())
    run(space, "CUBE = True")
    made(X)
    gc.collect()
    assert old() is None


def test_arrays_that_were_replaced_are_freed():
    space = notebook(*CHANGES["large array"][0])
    made = ad.grad(space["f"])
    made(X)
    old = weakref.ref(space["A"])
    for _ in range(2):  # a call that runs meanwhile may still read the one before
        run(space, "A = np.ones(200)")
        made(X)
    gc.collect()
    assert old() is None


def test_global_arrays_are_read_only():
    space = notebook("A = np.zeros(100)", "def f(x):\n    A[0] = x[0]\n    return A[0] * x[1]")
    with pytest.raises(ad.DualtapeError):
        ad.grad(space["f"])(X)
    assert space["A"][0] == 0.0


def test_a_global_array_that_is_returned_is_that_array():
    space = notebook("A = np.arange(100.0)", FUNCTION.format("A"))
    value, _ = ad.value_and_jacobian(space["f"])(X)
    np.testing.assert_array_equal(value, space["A"])


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_failure_elsewhere_leaves_no_code_behind_that_reads_an_old_value(mode):
    space = notebook(
        "a = 2.0\n"
        "def helper(x):\n    return a * x[0]\n"
        "def f(x):\n    return helper(x) + a * x[1]\n"
        "def fails(x):\n    return np.zeros(a)[0] + unknown(x)"
    )
    assert_now(space, made=ad.grad(space["f"], mode=mode))
    run(space, "a = 3.0")
    gradient = ad.grad(space["f"], mode=mode)
    assert_now(space, made=gradient)
    with pytest.raises(ad.DualtapeError):  # and is compiled with constants in place of cells
        ad.grad(space["fails"], mode=mode)(X)
    ad.grad(space["helper"], mode=mode)
    for value in (4.0, 5.0):
        run(space, f"a = {value}")
        assert_now(space, made=ad.jacobian(space["f"], mode=mode))
        assert_now(space, made=gradient)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_cell_that_another_function_moved_and_the_first_value_again(mode):
    space = notebook(
        "first, second = 2.0, 5.0\na = first\n"
        "def f(x):\n    return a * x[0] * x[1]\n"
        "def g(x):\n    return a * x[0] + x[1]"
    )
    for name in "fg":
        assert_now(space, name, made=ad.grad(space[name], mode=mode))
    for value, names in (("second", "fg"), ("first", "fg"), ("second", "f"), ("first", "g")):
        run(space, f"a = {value}")
        for name in names:
            assert_now(space, name, made=ad.grad(space[name], mode=mode))
    run(space, "a = second")
    assert_now(space, "f", made=ad.grad(space["f"], mode=mode))
    run(space, "a = first\ndef h(x):\n    return a * x[1] ** 2")
    assert_now(space, "h", made=ad.grad(space["h"], mode=mode))
