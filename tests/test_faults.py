"""Faults from outside: memory that is refused, exceptions everywhere, many threads, full disks.

After each of them the next call is right, no tape is leased and no memory is kept.
"""

import gc
import os
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest
from children import run
from held import leased, live_allocations

import dualtape as ad
from dualtape import integrate, optimize

POINT = np.array([1.5, 2.0])
slow = pytest.mark.slow


# Memory that is refused: in a process of its own, whose compiled code asks here for memory


ALLOCATIONS = """
import ctypes, gc, json
import llvmlite.binding as llvm
import numba, numpy as np
from numba.core.registry import cpu_target
from numba.core.runtime import _nrt_python, rtsys
import dualtape as ad
from dualtape.backend import symbols

count, fails_at, kept = 0, None, []

def replace(name, *kinds):
    if name not in _nrt_python.c_helpers:
        return
    kind = ctypes.CFUNCTYPE(ctypes.c_void_p, *kinds)
    original = kind(_nrt_python.c_helpers[name])

    @kind
    def allocate(*args):
        global count
        count += 1
        return None if count == fails_at else original(*args)

    kept.append(allocate)
    llvm.add_symbol("NRT_" + name, ctypes.cast(allocate, ctypes.c_void_p).value)

rtsys.initialize(cpu_target.target_context)  # adds the real ones
size, pointer = ctypes.c_size_t, ctypes.c_void_p
for safe in ("", "_safe"):
    replace("MemInfo_alloc" + safe, size)
    replace("MemInfo_alloc" + safe + "_aligned", size, ctypes.c_uint)
    replace("MemInfo_alloc_dtor" + safe, size, pointer)
replace("MemInfo_new_varsize", size)
replace("MemInfo_new_varsize_dtor", size, pointer)
replace("MemInfo_varsize_alloc", pointer, size)
replace("MemInfo_varsize_realloc", pointer, size)
replace("Allocate", size)
_nrt_python.memsys_enable_stats()

def live():
    gc.collect()
    stats = rtsys.get_allocation_stats()
    return stats.alloc - stats.free

def leased():
    return sum(symbols.TAPES[1 + 2 * slot] for slot in range(symbols.SLOTS))

def f(x, n):
    a, b = x
    for i in range(n):
        a = a + 0.001 * np.sin(b)
        b = b * 0.999 + a * a * 0.001
    return a * b

@ad.checkpoint
def step(a, b):
    for i in range(20):
        a = a + 0.001 * np.sin(b)
    return a, b * 0.999

def checkpointed(x, n):
    a, b = x
    for _ in range(5):
        a, b = step(a, b)
    return a * b

def arrays(x, n):
    u = np.full(n // 10, x[0])
    for _ in range(2):
        u = np.tanh(u * x[1])
    return np.sum(u)

def many(x, n):
    return np.array([x[0] * x[1], x[0], x[1] ** 2])

X, N = (1.5, 2.0), 3000
derivatives = {
    "gradient": ad.value_and_grad(f, mode="reverse"),
    "hessian": ad.hessian(f, mode="reverse"),
    "checkpoint": ad.grad(checkpointed, mode="reverse"),
    "arrays": ad.grad(arrays, mode="reverse"),
    "jacobian": ad.jacobian(many, mode="reverse"),
    "forward": ad.jacobian(many, mode="forward"),
    "pullback": lambda x, n: ad.vjp(lambda_of_two, *x)[1](1.0),
    "sparse": lambda x, n: ad.sparse_jacobian(lambda_of_two, (0, 1))(*x).toarray(),
}
lambda_of_two = lambda a, b: a * np.sin(b) + b * b

def flat(found):
    if isinstance(found, tuple):
        return [number for item in found for number in flat(item)]
    return np.ravel(found).tolist()

answers = {}
for name, g in derivatives.items():
    expected, faults, refused, kept_most = flat(g(X, N)), [], 0, 0
    for pooled in (True, False):
        for slot in range(symbols.SLOTS):
            symbols.TAPES[1 + 2 * slot] = not pooled
        taken = leased()
        fails_at, count = None, 0
        g(X, N)
        total = count
        for k in range(1, total + 1):
            before = live()
            fails_at, count = k, 0
            try:
                g(X, N)
            except MemoryError:
                refused += 1
            fails_at = None
            kept_most = max(kept_most, live() - before)
            if flat(g(X, N)) != expected:
                faults.append(f"wrong after {k} of {total}")
            if leased() != taken:
                faults.append(f"leased after {k} of {total}")
        if refused < total:  # a gradient by numbers on a pooled tape allocates nothing
            faults.append(f"{refused} of {total} raised")
        for slot in range(symbols.SLOTS):
            symbols.TAPES[1 + 2 * slot] = 0
    answers[name] = [refused, faults, kept_most]
print(json.dumps(answers))
"""


@slow
def test_memory_that_is_refused_at_every_allocation():
    """What a kernel had allocated when it raised stays: Numba drops nothing of such a function."""
    answers = run(ALLOCATIONS)
    for name, (refused, faults, kept) in answers.items():
        assert faults == [], name
        assert refused > 10, name
        assert kept <= 8, name


# Exceptions in every phase


def sum_or_error(x, y, k):
    s = x * y
    if k == 1:
        raise ValueError("in the recording")
    if k == 2:
        return s + 1.0 // (k - 2)
    return s


class Refusing:
    """A stream that takes no line."""

    def write(self, text):
        raise OSError("no space left")

    def flush(self):
        """Do nothing."""


def event_that_fails(t, y):
    raise ValueError("in an event")


def decay(t, y):
    return -y


def bowl(x):
    return np.sum((x - 1.0) ** 2)


def failing_callback(x):
    raise ValueError("in a callback")


@numba.njit
def square_minus(x, a):
    return x * x - a


def solver_that_fails(x0, a):
    if a > 5.0:
        raise ValueError("in a solver")
    return np.sqrt(a)


root = ad.implicit_root(square_minus, solver_that_fails)
root_gradient = ad.grad(lambda a: root(1.0, a))
in_reverse = ad.value_and_grad(sum_or_error, (0, 1), mode="reverse")
forward = ad.hessian(sum_or_error, (0, 1), mode="forward")


def times_first(x):
    return x * x[0]


def pulled_back(cotangent):
    return ad.vjp(times_first, POINT)[1](cotangent)


right_hand_side = ad.sparse_jacobian(lambda x: x * x[0])

# name: (what raises, the exception, what is called then, and returns)
PHASES = {
    "recording": (lambda: in_reverse(2.0, 3.0, 1), ValueError, lambda: in_reverse(2.0, 3.0, 0)[1]),
    "division": (
        lambda: in_reverse(2.0, 3.0, 2),
        ZeroDivisionError,
        lambda: in_reverse(3.0, 2.0, 0),
    ),
    "hyper-dual sweep": (lambda: forward(2.0, 3.0, 1), ValueError, lambda: forward(2.0, 3.0, 0)),
    "conversion of a text": (
        lambda: in_reverse("2", 3.0, 0),
        ad.ArgumentError,
        lambda: in_reverse(2, 3, 0),
    ),
    "conversion of a list": (
        lambda: right_hand_side([[1.0], [2.0, 3.0]]),
        ValueError,
        lambda: right_hand_side([1, 2]).toarray(),
    ),
    "number of arguments": (lambda: in_reverse(2.0), TypeError, lambda: in_reverse(2.0, 3.0, 0)),
    "shape of a cotangent": (
        lambda: pulled_back(np.ones(3)),
        ad.ArgumentValueError,
        lambda: pulled_back(np.ones(2)),
    ),
    "a solver in Python": (lambda: root_gradient(9.0), ValueError, lambda: root_gradient(4.0)),
    "a callback of SciPy": (
        lambda: optimize.minimize(bowl, POINT, method="BFGS", callback=failing_callback),
        ValueError,
        lambda: optimize.minimize(bowl, POINT, method="BFGS").x.round(6),
    ),
    "an event of SciPy": (
        lambda: integrate.solve_ivp(decay, (0, 1), [1.0], "BDF", events=event_that_fails),
        ValueError,
        lambda: integrate.solve_ivp(decay, (0, 1), [0.0], "BDF").y[:, -1],
    ),
}
ANSWERS = {
    "recording": [3.0, 2.0],
    "division": [6.0, 2.0, 3.0],
    "hyper-dual sweep": [0.0, 1.0, 1.0, 0.0],
    "conversion of a text": [6.0, 3.0, 2.0],
    "conversion of a list": [2.0, 0.0, 2.0, 1.0],
    "number of arguments": [6.0, 3.0, 2.0],
    "shape of a cotangent": [5.0, 1.5],
    "a solver in Python": [0.25],
    "a callback of SciPy": [1.0, 1.0],
    "an event of SciPy": [0.0],
}


def flat(found):
    if isinstance(found, tuple):
        return [number for item in found for number in flat(item)]
    return np.ravel(found).tolist()


@pytest.mark.usefixtures("allocation_statistics")
@pytest.mark.parametrize("phase", PHASES)
def test_an_exception_in_every_phase(phase):
    failing, error, good = PHASES[phase]
    assert flat(good()) == ANSWERS[phase]
    with pytest.raises(error):
        failing()
    gc.collect()
    live = live_allocations()
    for _ in range(20):
        with pytest.raises(error):
            failing()
        assert flat(good()) == ANSWERS[phase]
    gc.collect()
    assert leased() == 0
    assert live_allocations() - live == 20 * ARGUMENTS.get(phase, 0)


ARGUMENTS = {"shape of a cotangent": 4}
"""Numba keeps the arrays that a function was given where it raises: cotangent, primal and rows."""


def test_a_stream_that_takes_no_line(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Refusing())
    with pytest.raises(OSError, match="no space"):
        optimize.minimize(bowl, POINT, method="BFGS", progress=True)
    monkeypatch.undo()
    assert optimize.minimize(bowl, POINT, method="BFGS").x.round(6).tolist() == [1.0, 1.0]


# Threads


THREADS = 16


def cubic(x, k):
    s = 0.0
    for i in range(x.size):
        s += k * x[i] ** 3
    return s


@pytest.mark.usefixtures("allocation_statistics")
@pytest.mark.parametrize("shared", [True, False], ids=["shared", "different"])
def test_sixteen_threads_of_ten_thousand_calls(shared):
    """Every thread has numbers of its own, so that a tape that two of them use would show."""
    calls = 10_000
    makers = [
        lambda f: ad.grad(f, mode="reverse"),
        lambda f: ad.grad(f, mode="forward"),
        lambda f: ad.hvp(f, mode="reverse"),
        lambda f: ad.value_and_grad(f, mode="reverse"),
    ]

    def work(k):
        x, maker = POINT + k, 0 if shared else k % len(makers)
        args = (x, x, float(k)) if maker == 2 else (x, float(k))
        expected = 6.0 * k * x * x if maker == 2 else 3.0 * k * x * x
        wrong = 0
        for _ in range(calls):
            found = derivatives[maker](*args)
            gradient = found[1] if maker == 3 else found
            wrong += not (gradient[0] == expected[0] and gradient[1] == expected[1])
        return wrong

    derivatives = [make(cubic) for make in makers]
    work(1)
    gc.collect()
    live = live_allocations()
    with ThreadPoolExecutor(THREADS) as executor:
        assert list(executor.map(work, range(1, 1 + THREADS))) == [0] * THREADS
    gc.collect()
    # every slot of the pool may have got a tape of some arrays
    assert live_allocations() - live <= 20 * THREADS
    assert leased() == 0


# Places for the cache


CACHING = """
import json, os, resource, stat, sys
from pathlib import Path
import numba, numpy as np
import dualtape as ad

X = np.array([1.5, 2.0])
first, second = map(Path, sys.argv[1:3])

def answers():
    def f(x):
        return 2.0 * x[0] ** 2 * x[1]
    return [ad.grad(f)(X).tolist(), ad.grad(f, mode="reverse")(X).tolist(),
            ad.hessian(f)(X).tolist()]

def leftovers():
    return [str(path) for folder in (first, second) for path in folder.rglob("*.tmp")]

def files():
    return sorted(str(path) for folder in (first, second) for path in folder.rglob("*"))
"""
READ_ONLY = (
    CACHING
    + """
os.environ["NUMBA_CACHE_DIR"] = str(first)
warm = answers()  # imports what somebody without rights may not read
for folder in (first, *first.rglob("*"), second):
    if folder.is_dir():
        folder.chmod(0o555)
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
writable = [os.access(folder, os.W_OK) for folder in (first, second)]
before = files()
known = answers()
def g(x):
    return np.sum(np.exp(x) * x)
other = ad.grad(g, mode="reverse")(X).tolist()
os.environ["NUMBA_CACHE_DIR"] = str(second)
there = answers(), ad.hessian(g, mode="reverse")(X).tolist()
print(json.dumps([writable, warm, known, other, there, files() == before]))
"""
)


@slow
@pytest.mark.skipif(not hasattr(os, "setuid"), reason="rights are those of POSIX")
def test_a_cache_folder_that_cannot_be_written_to():
    with tempfile.TemporaryDirectory() as root:  # those of pytest are the user's own
        folders = [Path(root) / "first", Path(root) / "second"]
        for folder in folders:
            folder.mkdir()
        for folder in (Path(root), *folders):
            folder.chmod(0o755)
        writable, warm, known, other, there, same = run(READ_ONLY, *map(str, folders))
    assert writable == [False, False]
    assert warm == known == there[0] == [[12.0, 4.5], [12.0, 4.5], [[8.0, 6.0], [6.0, 0.0]]]
    np.testing.assert_allclose(other, np.exp(POINT) * (1.0 + POINT), rtol=1e-14)
    np.testing.assert_allclose(there[1], np.diag(np.exp(POINT) * (2.0 + POINT)), rtol=1e-14)
    assert same


FULL = (
    CACHING
    + """
os.environ["NUMBA_CACHE_DIR"] = str(first)
found = []
for size in (0, 100, 3000):  # nothing can be written, a header, a part
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    found.append(answers())
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
found.append(answers())
print(json.dumps([found, leftovers()]))
"""
)


@slow
def test_a_full_disk(tmp_path):
    pytest.importorskip("resource", reason="limits are those of POSIX")
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
    args = str(tmp_path / "first"), str(tmp_path / "second")
    found, leftovers = run(FULL, *args)
    assert found == [[[12.0, 4.5], [12.0, 4.5], [[8.0, 6.0], [6.0, 0.0]]]] * 4
    assert leftovers == []
    found, _ = run(FULL, *args)  # what the first process has written is read, or not taken
    assert found == [[[12.0, 4.5], [12.0, 4.5], [[8.0, 6.0], [6.0, 0.0]]]] * 4
