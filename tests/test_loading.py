"""What is imported when: what registers at the first compilation, nothing more for cached code."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys

import pytest
from test_architecture import MODULES, SOURCE, package_of

import dualtape

ALWAYS = {
    "backend",
    "backend.heap",
    "backend.interrupts",
    "backend.loading",
    "backend.on_demand",
    "backend.symbols",
    "backend.vector_math",
    "errors",
}
# What calls a derivative and looks for it on disk, but compiles nothing.
FRONT = ALWAYS | {
    "backend.cache_entry", "backend.disk_cache", "backend.forking", "backend.identity",
    "backend.jit", "backend.kernel_store", "backend.verbose", "drivers", "drivers.dispatcher",
    "drivers.factory", "drivers.live", "drivers.options", "drivers.select_mode", "functions",
    "functions.cells", "functions.copies", "functions.fingerprint", "functions.libraries",
    "functions.interpolants", "functions.memo", "functions.objects", "functions.parameters",
    "functions.partial", "functions.pickling", "functions.reach", "functions.records",
    "functions.snapshots", "rules", "rules.rule", "transforms", "transforms.derivatives",
    "transforms.products", "twin", "twin.failures",
}  # fmt: skip
DECORATORS = (
    r"^@(overload|intrinsic|lower_\w+|infer\w*|box|unbox|kernel|by_type|specialized|generic)\b"
)
CALLS_OF_NUMBA = r"^(register_model|type_global|infer_global|.*typeof_impl.register)\b"
REGISTERING = {
    name
    for name, path in MODULES.items()
    if re.search(f"{DECORATORS}|{CALLS_OF_NUMBA}", path.read_text(), re.MULTILINE)
}
# What is registered when a function first names one of scipy.special.
ON_DEMAND = {"arrays.special_rows", "twin.special_compositions"}
LOADED = "{m.partition('.')[2] for m in sys.modules if m.startswith('dualtape.')}"


def run(code, **environment):
    """Return what a new process prints, as JSON."""
    found = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"PYTHONPATH": str(SOURCE.parent)} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout.splitlines()[-1])


def test_an_import_loads_nothing_that_registers():
    code = f"import sys, json, dualtape; print(json.dumps([[*{LOADED}], [*sys.modules]]))"
    loaded, everything = map(set, run(code))
    assert loaded == ALWAYS
    assert not everything & {"numba.np.arrayobj", "scipy.linalg"}


def test_the_table_of_contents_is_what_type_checkers_see():
    tree = ast.parse((SOURCE / "__init__.py").read_text())
    [block] = [node for node in tree.body if isinstance(node, ast.If) and len(node.body) > 1]
    told = {alias.name: node.module for node in block.body for alias in node.names if node.module}
    assert told == dualtape._HOME | {"graph": "recording"}
    assert {alias.asname for node in block.body for alias in node.names} == set(dualtape.__all__)


def test_every_public_name_is_there():
    scope = {}
    exec("from dualtape import *", scope)
    public = {name for name in scope if not name.startswith("_")}
    assert public == set(dualtape.__all__) <= set(dir(dualtape))
    assert all(scope[name] is getattr(dualtape, name) for name in public)
    with pytest.raises(ImportError, match="cannot import name 'gradient'"):
        exec("from dualtape import gradient", {})


def test_no_module_hides_a_public_name():
    """An imported module becomes an attribute of the package."""
    assert set(dualtape._HOME) & set(map(package_of, MODULES)) == set()


def test_symbols_of_compiled_code_are_made_by_an_import():
    assert {n for n, path in MODULES.items() if "add_symbol(" in path.read_text()} <= ALWAYS


def test_imports_do_not_wait_for_the_compiler():
    """A thread that compiles imports under Numba's lock: the other order would be a deadlock."""
    code = f"""
import importlib, json, threading, dualtape
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
cpu_target.target_context  # whoever compiles has made it
names = {list(MODULES)!r}
thread = threading.Thread(target=lambda: [importlib.import_module("dualtape." + n) for n in names])
with global_compiler_lock:
    thread.start()
    thread.join(60)
    print(json.dumps(thread.is_alive()))
"""
    assert run(code) is False


START = """
import json, math, sys
import numba, numpy as np
"""
FIRST = {
    "compiled_before_the_import": """
numba.njit(lambda x: x + 1.0)(1.0)
import dualtape as ad

@numba.njit
def f(v):
    x = ad.VectorDual(v, (1.0,))
    return (x * np.sin(x)).partials[0]

print(json.dumps(f(2.0)))
""",
    "a_number_in_compiled_code": """
import dualtape as ad

@numba.njit
def f(v):
    x = ad.VectorDual(v, (1.0,))
    return (x * np.sin(x)).partials[0]

print(json.dumps(f(2.0)))
""",
    "a_number_as_argument": """
from dualtape import HyperDual
f = numba.njit(lambda x: x * np.sin(x))
print(json.dumps(f(HyperDual(2.0, 1.0, 1.0, 0.0)).e1))
""",
    "a_transform_in_compiled_code": """
import dualtape as ad

@numba.njit
def g(x):
    return x * np.sin(x)

@numba.njit
def f(x):
    return ad.grad(g)(x)

print(json.dumps(f(2.0)))
""",
    "a_transform_in_a_ufunc": """
import dualtape as ad
g = ad.derivative(lambda x: x * np.sin(x))

@numba.vectorize(["float64(float64)"])
def f(x):
    return g(x)

print(json.dumps(f(2.0)))
""",
    "a_transform_in_a_callback": """
import dualtape as ad
g = ad.grad(lambda x: x * np.sin(x), mode="reverse")

@numba.cfunc("float64(float64)")
def f(x):
    return g(x)

print(json.dumps(f.ctypes(2.0)))
""",
    "a_number_in_a_jitclass": """
import dualtape as ad

@numba.experimental.jitclass([("x", numba.typeof(ad.VectorDual(1.0, [1.0])))])
class Holder:
    def __init__(self, x):
        self.x = x * np.sin(x)

@numba.njit
def f(v):
    return Holder(ad.VectorDual(v, (1.0,))).x.partials[0]

print(json.dumps(f(2.0)))
""",
    "at_the_prompt": """
import dualtape as ad
x = ad.VectorDual(2.0, [1.0])
print(json.dumps((x * np.sin(x)).partials[0]))
""",
    "threads": """
import threading
import dualtape as ad

@numba.njit
def own(v):
    x = ad.VectorDual(v, (1.0,))
    return (x * np.sin(x)).partials[0]

calls = [own, ad.derivative(lambda x: x * np.sin(x)), ad.grad(lambda x: x * np.sin(x))]
barrier, found = threading.Barrier(len(calls) + 1), []

def call(f):
    barrier.wait()
    found.append(f(2.0))

threads = [threading.Thread(target=call, args=(f,)) for f in calls]
for thread in threads:
    thread.start()
barrier.wait()
assert ad.sparse_jacobian and ad.score_grad and ad.HyperDual  # imported at the same time
for thread in threads:
    thread.join()
assert len(found) == len(calls) and max(found) - min(found) < 1e-15, found
print(json.dumps(found[0]))
""",
}


@pytest.mark.parametrize("name", FIRST)
def test_first_thing_in_a_process(name):
    """x sin(x) has the derivative sin(x) + x cos(x)."""
    expected = 0.9092974268256817 - 2.0 * 0.4161468365471424
    assert abs(run(START + FIRST[name]) - expected) < 1e-15


MODULE = """
import numba
import numpy as np
import dualtape as ad

@numba.njit(cache=True)
def f(x):
    s = 0.0
    for i in range(x.size):
        s += x[i] ** 3
    return s

@numba.njit(cache=True)
def with_a_hash(x):
    return x[0] ** 3 + x[1] ** 3 + 0.0 * (hash("word") % 3)

@numba.njit(cache=True)
def of_a_system(x):
    a = np.array([[2.0, 1.0], [1.0, 3.0]])
    return np.sum(np.linalg.solve(a, a @ x**3))

@numba.njit(cache=True)
def of_one(t):
    return t**3

@numba.njit(cache=True)
def own(x):
    return ad.grad(f)(x)

@numba.njit(cache=True)
def own_of_a_system(x):
    return ad.grad(of_a_system, mode="reverse")(x)
"""
X, V = [1.0, 2.0], [0.5, 0.25]
CALLS = {
    "grad": ("ad.grad(m.f)(x)", [3.0, 12.0]),
    "value_and_grad": ("ad.value_and_grad(m.f)(x)[1]", [3.0, 12.0]),
    "reverse": ("ad.grad(m.f, mode='reverse')(x)", [3.0, 12.0]),
    "jacobian": ("ad.jacobian(m.f)(x)", [3.0, 12.0]),
    "hessian": ("ad.hessian(m.f)(x)", [[6.0, 0.0], [0.0, 12.0]]),
    "hvp": ("ad.hvp(m.f)(x, v)", [3.0, 3.0]),
    "derivative": ("ad.derivative(m.of_one)(2.0)", 12.0),
    "jvp": ("ad.jvp(m.f, (x,), (v,))[1]", 4.5),
    # SciPy's LAPACK, whose address compiled code finds in a table
    "system": ("ad.grad(m.of_a_system, mode='reverse')(x)", [3.0, 12.0]),
}
OTHERS = {
    # the hash of a string is in a symbol that one of Numba's modules makes when it is imported
    "hash": ("ad.grad(m.with_a_hash)(x)", [3.0, 12.0]),
    "own": ("m.own(x)", [3.0, 12.0]),
    "own_of_a_system": ("m.own_of_a_system(x)", [3.0, 12.0]),
}
SECOND = """
import json, sys
import numpy as np
import dualtape as ad, loaded_module as m
from numba.core import event

compiled = []
class Listener(event.Listener):
    def on_start(self, e):
        compiled.append(str(e.data["dispatcher"]))
    def on_end(self, e):
        pass

event.register("numba:compile", Listener())
x, v = np.array({x}), np.array({v})
value = np.asarray({call}).tolist()
first = [value, compiled.copy(), sorted({loaded}), "numba.np.arrayobj" in sys.modules]
first.append(np.asarray(ad.grad(lambda y: np.sum(y**3))(x)).tolist())  # compiles now
print(json.dumps([*first, sorted({loaded})]))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A module whose derivatives were compiled by another process."""
    folder = tmp_path_factory.mktemp("loading")
    (folder / "loaded_module.py").write_text(MODULE)
    calls = "\n".join(call for call, _ in (CALLS | OTHERS).values())
    code = f"import numpy as np, dualtape as ad, loaded_module as m\nx = np.array({X})\n"
    run(f"{code}v = np.array({V})\n{calls}\nprint(0)", PYTHONPATH=path_of(folder))
    return folder


def path_of(folder):
    return os.pathsep.join([str(SOURCE.parent), str(folder)])


def second(place, call):
    code = SECOND.format(x=X, v=V, call=call, loaded=LOADED)
    return run(code, PYTHONPATH=path_of(place))


@pytest.mark.parametrize("name", CALLS)
def test_cached_derivatives_load_little_and_compile_nothing(place, name):
    call, expected = CALLS[name]
    value, compiled, loaded, arrays, later, everything = second(place, call)
    assert value == expected
    assert compiled == []
    assert set(loaded) <= FRONT
    assert not arrays
    assert later == [3.0, 12.0]
    apart = ("optimize", "integrate", "roots")
    loaded = {n for n in REGISTERING - ON_DEMAND if package_of(n) not in apart}
    assert set(everything) >= loaded
    assert not ON_DEMAND & set(everything)


@pytest.mark.parametrize("name", OTHERS)
def test_cached_code_finds_its_symbols(place, name):
    call, expected = OTHERS[name]
    value, compiled, *_ = second(place, call)
    assert value == expected
    assert compiled == []


def test_what_is_loaded_for_cached_code_registers_nothing():
    assert not REGISTERING & FRONT


def test_where_public_names_live_is_where_they_say():
    for name, module in dualtape._HOME.items():
        found = getattr(dualtape, name)
        assert inspect.getmodule(found).__name__ == f"dualtape.{module}"
