"""Print the figures of both modes as ratios within one run: ``python -m benchmarks.report``.

The compared calls are interleaved and medians are taken; compile and import times come from fresh
processes.  Absolute times are not printed: these machines are shared.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.testing import assert_allclose

import dualtape as ad

from . import problems
from .bench_reverse import GRADIENTS

SMALL = """
import time, numpy as np
from numba import njit
import dualtape as ad
@njit
def warm(x):
    return x[0]
warm(np.ones(2)){warm_gradient}
@njit
def f(x):
    s = 0.0
    for i in range(x.size - 1):
        s += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return s
x = np.ones(2)
start = time.perf_counter()
{call}
print(time.perf_counter() - start)
"""
MODULE = """
from numba import njit
@njit(cache=True)
def f(x):
    return (x[0] - 1.0) ** 2 * x[1]
"""
SECOND_PROCESS = """
import time, numpy as np
from numba.core import event
import dualtape as ad, cached_module
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


def pin():
    """Stay on one core, where the system lets us."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def progress(text):
    """Say what is being measured."""
    print(f"... {text}", file=sys.stderr, flush=True)


def ratios(baseline, functions, x, calls, rounds):
    """Return the median ratio (and quartiles) of each function's time to the baseline's."""
    names = [baseline, *functions]
    times = [[] for _ in names]
    for f in names:
        f(x)
    for _ in range(rounds):
        for f, kept in zip(names, times, strict=True):
            start = time.perf_counter()
            for _ in range(calls):
                f(x)
            kept.append(time.perf_counter() - start)
    base = np.array(times[0])
    return [np.percentile(np.array(kept) / base, [50, 25, 75]) for kept in times[1:]]


def in_process(code, **environment):
    """Run code in a fresh process and return what it printed, as a number."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def compile_ratio(rounds):
    """Return the time to a first gradient over that to the function's own first call, cold.

    The package's own kernels come from its cache on disk; Numba is warm in both.
    """
    codes = [
        SMALL.format(warm_gradient="; ad.grad(warm)(np.ones(2))" * with_ad, call=call)
        for with_ad, call in ((True, "f(x)"), (True, "ad.grad(f)(x)"))
    ]
    first = (
        SMALL.format(warm_gradient="", call="ad.grad(f)(x)"),
        SMALL.format(warm_gradient="", call="f(x)"),
    )
    for code in (*codes, *first):
        in_process(code)
    warm = [in_process(codes[1]) / in_process(codes[0]) for _ in range(rounds)]
    cold = [in_process(first[0]) / in_process(first[1]) for _ in range(rounds)]
    return statistics.median(warm), statistics.median(cold)


def import_times(rounds):
    """Return (import dualtape) - (import numba), and import numba, as medians in seconds."""
    code = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    pairs = [
        (in_process(code.format("numba")), in_process(code.format("numba, dualtape")))
        for _ in range(rounds)
    ]
    return statistics.median(b - a for a, b in pairs), statistics.median(a for a, _ in pairs)


def second_process():
    """Return how many functions a second process compiles for a cached gradient."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "cached_module.py").write_text(MODULE)
        path = os.pathsep.join([folder, *filter(None, [os.environ.get("PYTHONPATH")])])
        for _ in range(2):
            count = in_process(SECOND_PROCESS, NUMBA_CACHE_DIR=folder, PYTHONPATH=path)
    return int(count)


def row(what, figure, target):
    """Print one line of the table."""
    print(f"| {what} | {figure} | {target} |", flush=True)


def spread(values):
    """Format a median with its quartiles."""
    return "{:.2f} ({:.2f}-{:.2f})".format(*values)


def reverse_rows(rounds):
    """Print the figures of reverse mode."""
    targets = ("10", "10", "6", "-")
    for (name, (f, x)), target in zip(list(GRADIENTS.items())[:4], targets, strict=True):
        progress(f"reverse: {name}")
        gradient = ad.grad(f, mode="reverse")
        expected = ad.grad(f, mode="forward")(x)
        assert_allclose(gradient(x), expected, rtol=1e-9, atol=1e-9 * abs(expected).max())
        [found] = ratios(f, [gradient], x, 50, rounds)
        row(f"reverse gradient / primal: {name}", spread(found), target)
    progress("reverse: Hessian-vector product")
    x, f = problems.point(1000), problems.rosenbrock
    product = ad.hvp(f, mode="reverse")
    assert_allclose(product(x, x), problems.rosenbrock_product(x, x), rtol=1e-9)
    [found] = ratios(f, [lambda x: product(x, x)], x, 50, rounds)
    row("H v / primal, forward over reverse: Rosenbrock n = 1000", spread(found), "25")
    progress("reverse: a tiny function")
    x, gradient = problems.point(2), ad.grad(problems.tiny, mode="reverse")
    more = extra_time(problems.tiny, gradient, x, 2000, rounds)
    row("reverse gradient of two inputs - primal call", f"{more * 1e6:.2f} us", "1.5 us")


def extra_time(f, g, x, calls, rounds):
    """Return the median of how much longer a call of g takes than one of f, in seconds."""
    more = []
    for _ in range(rounds):
        times = []
        for function in (f, g):
            start = time.perf_counter()
            for _ in range(calls):
                function(x)
            times.append(time.perf_counter() - start)
        more.append((times[1] - times[0]) / calls)
    return statistics.median(more)


def main(argv=None):
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    quick = parser.parse_args(argv).quick
    rounds = 15 if quick else 101
    pin()
    row("figure (one core, one run; median and quartiles)", "measured", "target")
    row("---", "---", "---")
    for n in (2, 8, 10):
        progress(f"gradient, n = {n}")
        x, gradient = problems.point(n), ad.grad(problems.rosenbrock)
        assert_allclose(gradient(x), problems.rosenbrock_gradient(x), rtol=1e-9)
        [found] = ratios(problems.rosenbrock_gradient, [gradient], x, 2000, rounds)
        row(f"gradient of Rosenbrock n = {n} / hand-written call", spread(found), "1.3")
    progress("ODE gradient")
    x, gradient = problems.LOTKA_VOLTERRA_INPUTS, ad.grad(problems.lotka_volterra)
    ad.check_grad(problems.lotka_volterra, x, order=1, derivative=gradient)
    [found] = ratios(problems.lotka_volterra, [gradient], x, 50, rounds)
    row("6-parameter gradient of a 1000-step RK4 loop / primal", spread(found), "2")
    for n in (2, 10):
        progress(f"Hessian, n = {n}")
        x, hessian = problems.point(n), ad.hessian(problems.rosenbrock)
        assert_allclose(hessian(x), problems.rosenbrock_hessian(x), rtol=1e-9, atol=1e-9)
        [found] = ratios(problems.rosenbrock_hessian, [hessian], x, 1000, rounds)
        row(f"Hessian of Rosenbrock n = {n} / hand-written call", spread(found), "2.5")
    reverse_rows(rounds)
    progress("compile times, in fresh processes")
    warm, cold = compile_ratio(3 if quick else 9)
    row("first gradient of a small function / compile time of its own njit", f"{warm:.2f}", "2.5")
    row("the same where it is the first compilation of the process", f"{cold:.2f}", "2.5")
    progress("import times")
    extra, numba_alone = import_times(3 if quick else 9)
    row(
        "import dualtape - import numba, in units of import numba",
        f"{extra / numba_alone:.2f} ({extra:.2f} s)",
        "0.1 s",
    )
    progress("second process")
    row("functions compiled by a second process, cached", str(second_process()), "0")


if __name__ == "__main__":
    main()
