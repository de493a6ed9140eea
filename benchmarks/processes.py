"""Time to the first gradient, cold and cached, time of imports, peak memory: fresh processes.

Times of imports and of cached gradients are processor seconds: they are a processor's work, and the
machine may be shared.
"""

import tempfile
from pathlib import Path

from .fresh import Comparison, Program
from .runner import UNIT

# The function is defined in the measured process; Numba has compiled something else before.
SMALL = """
import time
{imports}
import numpy as np
{warm}
x = np.ones(2)
start = time.perf_counter()
{define}
{call}
print(time.perf_counter() - start)
"""
LOOP = """
{decorator}
def f(x):
    s = 0.0
    for i in range(x.size - 1):
        s += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return s
"""
ARRAYS = """
def f(x):
    return {np}.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)
"""
NJIT = LOOP.format(decorator="@numba.njit")
WARM = "numba.njit(lambda x: x[0])(np.ones(2))"
IN_DOUBLE = "import jax, jax.numpy as jnp; jax.config.update('jax_enable_x64', True)"
SYMBOLS = "y = casadi.SX.sym('y', x.size)"
VALUES = """
def torch_gradient(x):
    x = torch.from_numpy(x).requires_grad_()
    return torch.autograd.grad(f(x), x)[0]
"""
OWN = "import numba, dualtape as ad"
# Library, mode, imports, definition of f and of what else is needed, gradient of f at x, module.
GRADIENTS = (
    (UNIT, "", OWN, NJIT, "f(x)", ""),
    ("dualtape", "auto", OWN, NJIT, "ad.grad(f)(x)", ""),
    ("dualtape", "reverse", OWN, NJIT, "ad.grad(f, mode='reverse')(x)", ""),
    ("JAX", "jit", IN_DOUBLE, ARRAYS.format(np="jnp"), "jax.jit(jax.grad(f))(x)", "jax"),
    (
        "CasADi",
        "",
        "import casadi",
        ARRAYS.format(np="casadi").replace("casadi.sum", "casadi.sum1") + SYMBOLS,
        "casadi.Function('g', [y], [casadi.gradient(f(y), y)])(x)",
        "casadi",
    ),
    (
        "autograd",
        "",
        "import autograd, autograd.numpy as anp",
        ARRAYS.format(np="anp"),
        "autograd.grad(f)(x)",
        "autograd",
    ),
    (
        "PyTorch",
        "",
        "import torch",
        ARRAYS.format(np="torch") + VALUES,
        "torch_gradient(x)",
        "torch",
    ),
)


def first_gradients():
    """Return the time of a first gradient in a process that has compiled something else before."""
    programs = [
        Program(
            library,
            mode,
            SMALL.format(
                imports=imports, warm=WARM if imports == OWN else "", define=define, call=call
            ),
            needs,
            prepare=True,
        )
        for library, mode, imports, define, call, needs in GRADIENTS
    ]
    return Comparison("first-gradient", "first gradient of a small function", programs)


def next_gradients():
    """Return the time of a gradient where other functions were differentiated before."""
    warm = "w = numba.njit(lambda x: x[0]); ad.grad(w)(np.ones(2)); "
    warm += "ad.grad(w, mode='reverse')(np.ones(2))"
    programs = [
        Program(
            library,
            mode,
            SMALL.format(imports=imports, warm=warm, define=define, call=call),
            prepare=True,
        )
        for library, mode, imports, define, call, _ in GRADIENTS[:3]
    ]
    return Comparison("next-gradient", "gradient of a further small function", programs)


MODULE = "from numba import njit\n" + LOOP.format(decorator="@njit(cache=True)")
CACHED = """
import time, numpy as np, numba, dualtape as ad, cached_module
x = np.ones(2)
start = time.process_time()
{call}
print(time.process_time() - start)
"""
COUNTED = """
import numpy as np, dualtape as ad, cached_module
from numba.core import event
compiled = []
class Listener(event.Listener):
    def on_start(self, e):
        compiled.append(e.data["dispatcher"])
    def on_end(self, e):
        pass
event.register("numba:compile", Listener())
ad.grad(cached_module.f)(np.ones(2))
print(len(compiled))
"""


def cached_gradients(folder):
    """Yield times and the number of compilations of a second process, everything in a cache."""
    Path(folder, "cached_module.py").write_text(MODULE)
    environment = {"NUMBA_CACHE_DIR": str(folder)}
    path = f"import sys; sys.path.insert(0, {str(folder)!r})\n"

    def program(library, mode, code):
        return Program(library, mode, path + code, prepare=True, environment=environment)

    times = [
        program(UNIT, "", CACHED.format(call="cached_module.f(x)")),
        program("dualtape", "auto", CACHED.format(call="ad.grad(cached_module.f)(x)")),
    ]
    yield Comparison("cached-gradient", "first gradient of a second process, cached", times)
    title = "functions compiled by that process"
    count = [program("dualtape", "auto", COUNTED)]
    yield Comparison("cached-compilations", title, count, measure="", unit="")


IMPORT = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"


def imports():
    """Return the time of importing each library."""
    names = (
        (UNIT, "numba", "numba"),
        ("dualtape", "numba, dualtape", ""),
        ("JAX", "jax", "jax"),
        ("CasADi", "casadi", "casadi"),
        ("autograd", "autograd", "autograd"),
        ("PyTorch", "torch", "torch"),
    )
    programs = [
        Program(library, "", IMPORT.format(modules), needs, prepare=True)
        for library, modules, needs in names
    ]
    return Comparison("import", "import", programs, unit="import numba")


# A small call compiles; what the large one adds to the peak is the memory of the derivative.  On
# Linux getrusage counts what the process that started this one held; the status file does not.
MEMORY = """
import os, re, resource
{imports}
import numpy as np
{define}
def peak():
    if os.path.exists("/proc/self/status"):
        return int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts in bytes
def gradient(x):
    {extra}
    return {call}
first = gradient(np.linspace(0.5, 1.5, 100))
before = peak()
x = np.linspace(0.5, 1.5, 1_000_000)
second = np.asarray(gradient(x))
print(peak(){less})
"""


def memory(*, growth):
    """Return the peak memory of a gradient by 1,000,000 inputs, or what it adds to the process."""
    programs = [
        Program(
            library,
            mode,
            MEMORY.format(
                imports=imports,
                define=define.replace(SYMBOLS, ""),
                call=call,
                extra=SYMBOLS.replace("SX", "MX") if library == "CasADi" else "pass",
                less=" - before" if growth else "",
            ),
            needs,
        )
        for library, mode, imports, define, call, needs in GRADIENTS
        if mode != "reverse"
    ]
    what = "memory that the gradient adds" if growth else "peak memory of the process"
    title = f"Rosenbrock, n = 1,000,000: {what}"
    name = "memory-growth" if growth else "memory-peak"
    return Comparison(name, title, programs, measure="MB")


# Every function is another one: a loop, products, linear systems, a formula in turn.
FUNCTIONS = 80
MANY = """
import gc, os, re, resource
from types import SimpleNamespace
import numba, numpy as np, dualtape as ad
from benchmarks.first_problems import BY_NAME
def resident():
    if os.path.exists("/proc/self/status"):
        return int(re.search(r"VmRSS:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts in bytes
problems = [BY_NAME[name] for name in ("rosenbrock", "logistic", "solve", "fourth-derivative")]
def answered(k):
    problem, names = problems[k % 4], {{}}
    exec(problem.module(1.0 + k / 64), names)
    f = SimpleNamespace(**names)
    {call}
    return f
kept = [answered(-1 - k) for k in range(4)]
before = resident()
kept += [answered(k) for k in range({count})]
{drop}
print(resident() - before)
"""


def memory_of_functions(count=FUNCTIONS):
    """Return what many functions add to the memory of a process, and what stays of it."""
    rows = (
        (UNIT, "", "problem.primal(f)", ""),
        (UNIT, "dropped", "problem.primal(f)", "kept.clear(); gc.collect()"),
        ("dualtape", "reverse", "problem.answer(f, ad)", ""),
        ("dualtape", "reverse, dropped", "problem.answer(f, ad)", "kept.clear(); gc.collect()"),
    )
    programs = [
        Program(library, mode, MANY.format(call=call, drop=drop, count=count))
        for library, mode, call, drop in rows
    ]
    title = f"{count} functions, loops and array code: memory that they add to the process"
    return Comparison("memory-functions", title, programs, measure="MB", slow=True)


def comparisons(only=""):
    """Yield the comparisons; the folder of the cache lives as long as its comparison is used."""
    with tempfile.TemporaryDirectory() as folder:
        every = [first_gradients(), next_gradients(), imports(), *cached_gradients(folder)]
        peaks = (memory(growth=False), memory(growth=True), memory_of_functions())
        for comparison in (*every, *peaks):
            if only in f"processes {comparison.name}":
                yield comparison
