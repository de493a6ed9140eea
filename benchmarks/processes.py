"""Time to the first gradient, cold and cached, time of imports, peak memory: fresh processes."""

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
start = time.perf_counter()
{call}
print(time.perf_counter() - start)
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


IMPORT = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"


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


# Every function is another one; what compiled code and its tables hold is the same on each run.
FUNCTIONS = 80
MANY = """
import os, re, resource
import numba, numpy as np, dualtape as ad
from benchmarks.first_problems import mostly_dead
{peak}
x = np.array([0.3, 0.7, 1.1])
def answer(k):
    names = {{"np": np, "njit": numba.njit}}
    exec(mostly_dead(12).replace("VARIED", str(1.0 + k / 64)), names)
    f = names["f"]
    {call}
    return f
kept = [answer(-1)]
before = peak()
kept += [answer(k) for k in range({count})]
print(peak() - before)
"""
PEAK = MEMORY[MEMORY.index("def peak()") : MEMORY.index("def gradient")]


def memory_of_functions(count=FUNCTIONS):
    """Return what many functions add to the memory of a process, with and without gradients."""
    rows = ((UNIT, "", "f(x)"), ("dualtape", "reverse", "ad.grad(f, mode='reverse')(x)"))
    programs = [
        Program(library, mode, MANY.format(peak=PEAK, call=call, count=count))
        for library, mode, call in rows
    ]
    title = f"{count} functions of 12 statements: memory that they add to the process"
    return Comparison("memory-functions", title, programs, measure="MB")


def comparisons(only=""):
    """Yield the comparisons; the folder of the cache lives as long as its comparison is used."""
    with tempfile.TemporaryDirectory() as folder:
        every = [first_gradients(), next_gradients(), imports(), *cached_gradients(folder)]
        peaks = (memory(growth=False), memory(growth=True), memory_of_functions())
        for comparison in (*every, *peaks):
            if only in f"processes {comparison.name}":
                yield comparison
