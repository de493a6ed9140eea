"""Derivatives go to other processes: by pickle, by cloudpickle, and in pools of workers.

One process (``python objects.py``) writes derivatives of functions that only it has, a second one
reads and calls them; a third script runs pools.  What is compared with are closed forms.
"""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from numba import cloudpickle

import dualtape as ad
from dualtape import integrate, optimize
from dualtape.transforms.products import jvp_function

SOURCE = Path(ad.__file__).parents[1]
X = np.array([1.5, 2.0])

# f(x) = 2 x0^2 x1 at X: 9, gradient (4 x0 x1, 2 x0^2) = (12, 4.5)
GRADIENT = [12.0, 4.5]
HESSIAN = [[8.0, 6.0], [6.0, 0.0]]

FACTOR = 2.0


def f(x):
    return FACTOR * x[0] ** 2 * x[1]


@numba.njit
def f_njit(x):
    return FACTOR * x[0] ** 2 * x[1]


def rows(x):
    return np.array([x[0] * x[1], x[1]])


def run(code, *args, path=(), **environment):
    """Return what a new process prints."""
    places = os.pathsep.join([str(SOURCE), *map(str, path)])
    found = subprocess.run(
        [sys.executable, *(["-c", code] if "\n" in code else [code]), *args],
        env=os.environ | {"PYTHONPATH": places, "DUALTAPE_VERBOSE": "0"} | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert found.returncode == 0, found.stderr
    return found.stdout


# Identity in one process

TRANSFORMS = (
    ad.grad, ad.value_and_grad, ad.jacobian, ad.value_and_jacobian, ad.value_grad_hessian, ad.hvp,
    ad.value_and_sparse_jacobian, ad.sparse_hessian, ad.checkpoint, ad.implicit_root,
)  # fmt: skip
MADE = {transform.__name__: transform for transform in TRANSFORMS} | {
    "grad with options": lambda f: ad.grad(f, (0,), mode="reverse"),
    "jacobian in chunks": lambda f: ad.jacobian(f, chunk_size=4),
    "hessian in forward mode": lambda f: ad.hessian(f, mode="forward"),
    "second derivative": lambda f: ad.derivative(f, 2),
    "sparse_jacobian by colors": lambda f: ad.sparse_jacobian(f, method="coloring"),
    "implicit_minimum with a solver": lambda f: ad.implicit_minimum(f, f),
    "a derivative of a derivative": lambda f: ad.jacobian(ad.grad(f)),
}
PICKLERS = {"pickle": pickle, "cloudpickle": cloudpickle}


@pytest.mark.parametrize("pickler", PICKLERS)
@pytest.mark.parametrize("name", MADE)
def test_what_is_loaded_is_the_derivative_of_this_process(name, pickler):
    for function in (f, f_njit, lambda x: 2.0 * f(x)):
        made = MADE[name](function)
        assert pickle.loads(PICKLERS[pickler].dumps(made)) is made


def test_derivatives_of_numpys_functions_go_by_name():
    assert pickle.loads(pickle.dumps(ad.grad(np.dot))) is ad.grad(np.dot)
    assert pickle.loads(pickle.dumps(ad.derivative(np.sin))) is ad.derivative(np.sin)


def test_the_way_back_of_ravel_is_one_for_a_structure():
    _, unravel = ad.ravel((np.ones(2), 3.0))
    for pickler in PICKLERS.values():
        assert pickle.loads(pickler.dumps(unravel)) is unravel
    by_hand = ad.grad(lambda v: unravel(v)[1] ** 2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(by_hand))(X[[0, 1, 0]]), [0, 0, 3.0])


def test_a_function_whose_globals_have_changed_goes_by_value():
    scope = {"K": 2.0}
    exec("def f(x):\n    return K * x[0] ** 2 * x[1]", scope)
    sent = pickle.dumps(ad.grad(scope["f"], mode="forward"))
    scope["K"] = 20.0
    loaded = pickle.loads(sent)
    np.testing.assert_array_equal(loaded(X), GRADIENT)
    assert pickle.loads(sent) is loaded  # made once


def test_what_cannot_go_says_so():
    stream = sys.stdout

    def printing(x):
        stream.write("")
        return x

    with pytest.raises(pickle.PicklingError, match=r"(?s)by value.*argument.*module"):
        pickle.dumps(ad.derivative(printing))


def test_internal_functions_do_not_travel():
    with pytest.raises(pickle.PicklingError, match="internal"):
        pickle.dumps(jvp_function(f))


def test_functions_travel_without_what_is_remembered_on_them(tmp_path):
    """Also to a process without this package."""

    def local(x):
        return 2.0 * x

    ad.grad(local), ad.grad(f)
    path = tmp_path / "function"
    path.write_bytes(cloudpickle.dumps(local))
    code = """
import sys, pickle
sys.modules["dualtape"] = None
print(pickle.load(open(sys.argv[1], "rb"))(3.0))
"""
    assert run(code, str(path)).split() == ["6.0"]
    assert cloudpickle.loads(cloudpickle.dumps(f)) is f
    again = cloudpickle.loads(cloudpickle.dumps(local))
    assert ad.grad(again) is not ad.grad(local)
    assert ad.grad(again) is ad.grad(again)


# Objects with a state


def test_prepared_derivatives_keep_their_pattern():
    jacobian = ad.prepare_sparse_jacobian(rows, X)
    hessian = ad.prepare_sparse_hessian(f, X)
    for made, expected in ((jacobian, [[2.0, 1.5], [0.0, 1.0]]), (hessian, HESSIAN)):
        loaded = pickle.loads(pickle.dumps(made))
        assert type(loaded) is type(made)
        np.testing.assert_array_equal(loaded(X).toarray(), expected)
        np.testing.assert_array_equal(loaded.pattern.indices, made.pattern.indices)
        assert not loaded(X).indices.flags.writeable
    np.testing.assert_array_equal(loaded.colors, hessian.colors)


def test_patterns_and_pullbacks_and_scores():
    for made in (ad.jacobian_sparsity(rows), ad.hessian_sparsity(f)):
        loaded = pickle.loads(pickle.dumps(made))
        np.testing.assert_array_equal(loaded(X).toarray(), made(X).toarray())
        assert loaded.__name__ == made.__name__
    _, pullback = ad.vjp(f, X)
    loaded = pickle.loads(pickle.dumps(pullback))
    np.testing.assert_array_equal(loaded(1.0), [GRADIENT])
    np.testing.assert_array_equal(pullback(2.0), [np.multiply(GRADIENT, 2.0)])


def toss(theta):
    return 1.0 if np.random.random() < theta else 0.0


def log_prob(z, theta):
    return z * np.log(theta) + (1.0 - z) * np.log(1.0 - theta)


def cost(z, theta):
    return 3.0 * z


@pytest.mark.slow
def test_estimates_by_the_score_are_the_same_after_loading():
    made = ad.score_grad(cost, toss, log_prob, samples=50, baseline=None)
    loaded = pickle.loads(pickle.dumps(made))
    assert loaded(0.3, 1) == made(0.3, 1)


def test_recordings_keep_what_they_tell():
    recording = ad.record(f, X)
    loaded = pickle.loads(pickle.dumps(recording))
    assert str(loaded) == str(recording)
    assert list(loaded.steps()) == list(recording.steps())


# Results of solvers


def decay(t, y, p):
    return -p[0] * y


def last(k, t, y, p):
    return y[0]


def test_results_of_integrators():
    found = integrate.solve_ivp_sensitivity(
        decay, (0.0, 1.0), [2.0], [0.5], dense_output=True, method="BDF"
    )
    loaded = pickle.loads(pickle.dumps(found))
    for name in ("sol", "sol_dy_dp"):
        ours, theirs = getattr(loaded, name), getattr(found, name)
        np.testing.assert_array_equal(ours(0.4), theirs(0.4))
    adjoint = integrate.solve_ivp_adjoint(
        decay, (0.0, 1.0), [2.0], [0.5], observation=last, t_obs=[1.0]
    )
    loaded = pickle.loads(pickle.dumps(adjoint))
    np.testing.assert_array_equal(loaded.grad_p, adjoint.grad_p)
    np.testing.assert_array_equal(loaded.forward.sol(0.3), adjoint.forward.sol(0.3))
    stiff = integrate.solve_ivp(decay, (0, 1), [2.0], "Radau", dense_output=True, args=(X,))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(stiff)).sol(0.2), stiff.sol(0.2))


def bowl(x):
    return np.sum((x - 1.0) ** 4)


@pytest.mark.parametrize("method", ["BFGS", "L-BFGS-B", "trust-exact", "trust-constr", "SLSQP"])
def test_results_of_optimizers(method):
    found = optimize.minimize(bowl, np.zeros(2), method=method)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(found)).x, found.x)


# Other processes

OBJECTS = """
import math, pickle, sys
import numba, numpy as np
from numba import cloudpickle
import dualtape as ad
from helpers import helper

K = 2.0
X = np.array([1.5, 2.0])

def f(x):
    return K * x[0] ** 2 * x[1]

@numba.njit
def compiled(x):
    return K * x[0] ** 2 * x[1]

def maker(k):
    def closure(x):
        return helper(k) * x[0] ** 2 * x[1]
    return closure

def ruled(x):
    return 0.0 * x  # its rule says 2 x

ad.custom_rule(ruled, lambda x: (2.0 * x, 2.0, 0.0))
g = ad.grad(f)

def over(x):
    return g(x)[0] * x[1] / 4.0  # x0 x1^2

def tree(x):
    return x[0] ** 2 * ad.checkpoint(half)(x[1])

def half(y):
    return 2.0 * y

objects = {
    "main": g,
    "compiled": ad.grad(compiled),
    "closure": ad.grad(maker(2.0)),
    "lambda": ad.grad(lambda x: K * x[0] ** 2 * x[1]),
    "helper": ad.grad(helper),
    "ruled": ad.grad(lambda x: ruled(x[0] ** 2) * x[1]),
    "nested": ad.grad(over),
    "checkpointed": ad.grad(tree, mode="reverse"),
    "hessian": ad.hessian(f),
    "sparse": ad.sparse_hessian(f),
    "pullback": ad.vjp(f, X)[1],
    "prepared": ad.prepare_sparse_hessian(f, X),
    "root": ad.implicit_root(lambda x, a: x * x - a),
}
for pickler, path in ((pickle, sys.argv[1]), (cloudpickle, sys.argv[2])):
    with open(path, "wb") as file:
        file.write(pickler.dumps(objects))
"""
HELPERS = """
import numba

@numba.njit
def helper(x):
    return x
"""
READER = """
import json, pickle, sys
import numpy as np
X = np.array([1.5, 2.0])
objects, others = (pickle.load(open(path, "rb")) for path in sys.argv[1:])
calls = {"sparse": lambda o: o(X).toarray(), "prepared": lambda o: o(X).toarray(),
         "pullback": lambda o: o(1.0)[0], "root": lambda o: o(1.0, 2.0), "helper": lambda o: o(3.0)}
found = {name: np.asarray(calls.get(name, lambda o: o(X))(o)).tolist()
         for name, o in objects.items()}
import dualtape as ad, helpers
same = [name for name in objects if objects[name] is others[name]]
print(json.dumps([found, same, objects["helper"] is ad.grad(helpers.helper)]))
"""


@pytest.mark.slow
def test_another_process_calls_what_one_has_made(tmp_path):
    (tmp_path / "helpers.py").write_text(HELPERS)
    (tmp_path / "objects.py").write_text(OBJECTS)
    files = [str(tmp_path / "pickle"), str(tmp_path / "cloudpickle")]
    run(str(tmp_path / "objects.py"), *files, path=[tmp_path])
    found, same, by_name = json.loads(run(READER, *files, path=[tmp_path]))
    expected = dict.fromkeys(found, GRADIENT)
    expected |= {"hessian": HESSIAN, "sparse": HESSIAN, "prepared": HESSIAN}
    expected |= {"helper": 1.0, "root": 2.0**0.5, "nested": [4.0, 6.0]}
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-14, err_msg=name)
    assert set(found) - set(same) == {"pullback", "prepared"}  # they have a state of their own
    assert by_name


POOLS = """
import json, multiprocessing, os, pickle, sys, threading, time
from concurrent.futures import ProcessPoolExecutor
import numpy as np
from numba.core import event
import dualtape as ad

K = 2.0

def f(x):
    return K * x[0] ** 2 * x[1]

def compiling(x):
    # what a worker compiles for the second of two calls
    counter = Counter()
    event.register("numba:compile", counter)
    found = ad.grad(f)(x)
    return found.tolist(), counter.count

def same(made):
    return made

class Counter(event.Listener):
    count = 0
    def on_start(self, e):
        self.count += 1
    def on_end(self, e):
        pass

def forked(run):
    # what a child made by os.fork sends; it must not hang
    reading, writing = os.pipe()
    if not os.fork():
        os.write(writing, json.dumps(run()).encode())
        os._exit(0)
    return json.loads(os.read(reading, 1000))

if __name__ == "__main__":
    X = np.array([1.5, 2.0])
    points = [X, 2.0 * X, X, 2.0 * X]
    gradient = ad.grad(f)
    gradient(X)
    found = {}
    for method in sys.argv[1].split():
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            found[method] = [y.tolist() for y in pool.map(gradient, points, chunksize=1)]
            found[method + " compiled"] = pool.apply(compiling, (X,))
            found[method + " back"] = pool.apply(same, (gradient,)) is gradient
        with ProcessPoolExecutor(2, mp_context=context) as pool:
            found["futures " + method] = [y.tolist() for y in pool.map(ad.hessian(f), points)]
    # A child of a process that compiles in another thread, and whose pullback is in use.
    pullback = ad.vjp(f, X)[1]
    thread = threading.Thread(target=lambda: ad.hessian(lambda x: np.sum(np.exp(x)))(X))
    thread.start()
    time.sleep(0.2)
    with pullback._lock:
        found["busy"] = forked(
            lambda: [pullback(1.0)[0].tolist(), ad.grad(lambda x: 2.0 * f(x))(X).tolist()]
        )
    thread.join()
    print(json.dumps(found))
"""


@pytest.mark.slow
def test_pools_of_processes_run_derivatives(tmp_path):
    script = tmp_path / "pools.py"
    script.write_text(POOLS)
    methods = "fork spawn" if hasattr(os, "fork") else "spawn"
    found = json.loads(run(str(script), methods))
    double = (np.array([4.0, 4.0]) * GRADIENT).tolist()
    for method in methods.split():
        assert found[method] == [GRADIENT, double] * 2
        assert found[f"{method} back"]
        assert found[f"{method} compiled"][0] == GRADIENT
        assert found[f"futures {method}"] == [HESSIAN, np.multiply(HESSIAN, 2.0).tolist()] * 2
    if "fork" in methods:
        assert found["fork compiled"][1] == 0  # the parent had compiled it
        assert found["busy"] == [GRADIENT, np.multiply(GRADIENT, 2.0).tolist()]


LOKY = """
import json
import numpy as np
import dualtape as ad
from joblib import Parallel, delayed

X = np.array([1.5, 2.0])
g = ad.grad(lambda x: 2.0 * x[0] ** 2 * x[1])
print(json.dumps([y.tolist() for y in Parallel(2)(delayed(g)(k * X) for k in (1.0, 2.0))]))
"""
DASK = """
import json
import numpy as np
import dualtape as ad
import dask

X = np.array([1.5, 2.0])
g = ad.grad(lambda x: 2.0 * x[0] ** 2 * x[1])
if __name__ == "__main__":
    tasks = [dask.delayed(g)(k * X) for k in (1.0, 2.0)]
    print(json.dumps([y.tolist() for y in dask.compute(*tasks, scheduler="processes")]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(("library", "code"), [("joblib", LOKY), ("dask", DASK)])
def test_workers_of_other_libraries(library, code, tmp_path):
    pytest.importorskip(library, reason=f"{library} is no dependency; this runs where it is found")
    script = tmp_path / "workers.py"
    script.write_text(code)
    assert json.loads(run(str(script))) == [GRADIENT, np.multiply(GRADIENT, 4.0).tolist()]
