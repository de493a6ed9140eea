"""The store of kernels: right in every process, whatever happened to its files.

Every program here runs in processes of its own with a cache of its own, and prints what it
computed and how many functions it compiled.
"""

import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import dualtape
from dualtape.backend import disk_cache
from dualtape.backend.standalone import _without_names

pytestmark = pytest.mark.xdist_group("store")

MODULE = """
import numpy as np
from numba import njit, vectorize, guvectorize, cfunc
import dualtape as ad

@njit(cache=True)
def f(x):
    s = 0.0
    for i in range(x.size - 1):
        s += (x[i + 1] - x[i] ** 2) ** 2 + np.exp(0.1 * x[i])
    return s

@njit(cache=True)
def residuals(x):
    out = np.zeros(x.size)
    for i in range(1, x.size):
        out[i] = x[i] * x[i - 1] + np.sin(x[i])
    return out

@njit(cache=True)
def arrays(x):
    return np.sum(np.tanh(x[1:] * x[:-1]) + 0.5 * x[1:])

@njit(cache=True)
def products(x):
    m = x[:4].reshape(2, 2)
    return np.sum(m @ m)

@njit(cache=True)
def scalar(t):
    return np.sin(t) * t
"""
DERIVATIVES = {
    "reverse": "ad.grad(m.f, mode='reverse')(x)",
    "forward": "ad.grad(m.f, mode='forward')(x)",
    "hessian": "ad.hessian(m.f)(x)",
    "hvp": "ad.hvp(m.f)(x, x)",
    "jacobian": "ad.jacobian(m.residuals, mode='reverse')(x)",
    "arrays": "ad.grad(m.arrays, mode='reverse')(x)",
    "products": "ad.grad(m.products, mode='reverse')(x)",
    "scalar": "ad.derivative(m.scalar, 2)(0.7)",
    "sparse": "ad.sparse_jacobian(m.residuals)(x).toarray()",
    "value_and_grad": "ad.value_and_grad(m.f)(x)[1]",
}
PROGRAM = """
import json, sys
sys.path.insert(0, {folder!r})
import numpy as np
from numba.core import event
import dualtape as ad

class Counter(event.Listener):
    count = 0
    def on_start(self, e):
        self.count += 1
    def on_end(self, e):
        pass

counter = Counter()
event.register("numba:compile", counter)
import derivatives_of_a_module as m

x = np.linspace(0.4, 1.3, 6)
found = {{}}
for name, code in json.loads(sys.argv[1]).items():
    found[name] = np.ravel(eval(code)).tolist()
print(json.dumps([found, counter.count]))
"""
GOLDEN = 0.618  # multiples of it, modulo 1, are spread evenly
SHORT = {name: DERIVATIVES[name] for name in ("reverse", "scalar", "arrays")}


class Place:
    """A module of a user's, a cache, and processes that use both."""

    def __init__(self, folder: Path, module: str = MODULE) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        (folder / "derivatives_of_a_module.py").write_text(module)

    def start(self, codes: dict, cache: Path | None = None) -> subprocess.Popen:
        """Start a process."""
        source = str(Path(dualtape.__file__).parents[1])
        environment = os.environ | {
            "NUMBA_CACHE_DIR": str(cache or self.cache),
            "PYTHONPATH": source,
        }
        return subprocess.Popen(
            [sys.executable, "-c", PROGRAM.format(folder=str(self.folder)), json.dumps(codes)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, codes: dict, cache: Path | None = None) -> list:
        """Return what a process computed, and how many functions it compiled."""
        return result_of(self.start(codes, cache))


def result_of(process):
    out, err = process.communicate()
    assert process.returncode == 0, err[-3000:]
    return json.loads(out.splitlines()[-1])


def assert_same(found, expected):
    """The same code gives the same bits."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name] == values, name


def own_files(cache):
    """Return the files of the package in a cache: entries and kernels."""
    return [
        p for p in cache.rglob("*") if p.name.startswith("dualtape.kernel.") or p.suffix == ".entry"
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Return a place whose cache holds ten derivatives."""
    made = Place(tmp_path_factory.mktemp("store"))
    made.expected, _ = made.run(DERIVATIVES)
    return made


def test_the_first_process_computes_derivatives(place):
    x = np.linspace(0.4, 1.3, 6)
    d = 2.0 * (x[1:] - x[:-1] ** 2)
    gradient = np.zeros(6)
    gradient[1:] += d
    gradient[:-1] += -2.0 * x[:-1] * d + 0.1 * np.exp(0.1 * x[:-1])
    for name in ("reverse", "forward", "value_and_grad"):
        np.testing.assert_allclose(place.expected[name], gradient, rtol=1e-14)
    second = 2.0 * np.cos(0.7) - 0.7 * np.sin(0.7)
    np.testing.assert_allclose(place.expected["scalar"], [second], rtol=1e-14)


def test_a_second_process_compiles_nothing(place):
    found, compiled = place.run(DERIVATIVES)
    assert_same(found, place.expected)
    assert compiled == 0


def test_the_store_keeps_no_temporary_files(place):
    assert own_files(place.cache)
    assert not list(place.cache.rglob("*.tmp"))


def damage(files, chance, random_numbers):
    """Delete, cut, overwrite or exchange some of the files; return how many."""
    changed = [p for p in files if random_numbers.random() < chance]
    changed = changed or [random_numbers.choice(files)]
    for path in changed:
        kind = random_numbers.choice(["delete", "cut", "empty", "flip", "exchange"])
        data = bytearray(path.read_bytes())
        if kind == "delete":
            path.unlink()
        elif kind == "cut":
            path.write_bytes(data[: random_numbers.randrange(len(data))])
        elif kind == "empty":
            path.write_bytes(b"")
        elif kind == "flip":
            data[random_numbers.randrange(len(data))] ^= 1 << random_numbers.randrange(8)
            path.write_bytes(data)
        else:
            other = random_numbers.choice([p for p in files if p.exists()])
            path.write_bytes(other.read_bytes())
            other.write_bytes(data)
    return len(changed)


QUICK_TRIALS, TRIALS = 3, 50


@pytest.mark.parametrize(
    "seed",
    [
        *range(QUICK_TRIALS),
        *(pytest.param(i, marks=pytest.mark.slow) for i in range(QUICK_TRIALS, TRIALS)),
    ],
)
def test_damaged_files_are_compiled_anew(place, tmp_path, seed):
    """After it the cache is whole: what the damaged process wrote, the next one uses."""
    cache, numbers = tmp_path / "cache", random.Random(seed)
    shutil.copytree(place.cache, cache)
    files = sorted(own_files(cache))
    chance = 0.5 if seed % 10 == 0 else numbers.choice([0.01, 0.03, 0.1])
    assert damage(files, chance, numbers) > 0
    found, _ = place.run(DERIVATIVES, cache)
    assert_same(found, place.expected)
    found, compiled = place.run(DERIVATIVES, cache)
    assert_same(found, place.expected)
    assert compiled == 0


def test_a_damaged_kernel_alone_is_written_again(place, tmp_path):
    cache = tmp_path / "cache"
    shutil.copytree(place.cache, cache)
    kernels = [p for p in own_files(cache) if p.name.startswith("dualtape.kernel.")]
    assert kernels
    for path in kernels:
        path.write_bytes(path.read_bytes()[:-1])
    found, compiled = place.run(SHORT, cache)
    assert_same(found, {name: place.expected[name] for name in SHORT})
    assert compiled > 0
    assert place.run(SHORT, cache)[1] == 0


def test_two_processes_fill_one_cache_at_once(tmp_path, place):
    cache = tmp_path / "cache"
    processes = [place.start(SHORT, cache) for _ in range(2)]
    for process in processes:
        found, _ = result_of(process)
        assert_same(found, {name: place.expected[name] for name in SHORT})
    found, compiled = place.run(SHORT, cache)
    assert compiled == 0
    assert_same(found, {name: place.expected[name] for name in SHORT})


@pytest.mark.slow
def test_a_killed_process_leaves_a_cache_that_can_be_used(place, tmp_path):
    """Twenty processes are killed at moments spread over a compilation.

    Each goes on with the cache that the one before left; one that had ended leaves none.
    """
    expected = {name: place.expected[name] for name in SHORT}
    start = time.perf_counter()
    place.run(SHORT, tmp_path / "another")
    whole = time.perf_counter() - start
    cache, killed = tmp_path / "cache", 0
    for i in itertools.count():
        process = place.start(SHORT, cache)
        try:
            process.wait(whole * (0.2 + i * GOLDEN % 0.8))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            killed += 1
            if killed == 20:
                break
        else:
            assert_same(result_of(process)[0], expected)
            shutil.rmtree(cache)
    assert_same(place.run(SHORT, cache)[0], expected)
    assert place.run(SHORT, cache)[1] == 0


THREADS = """
import threading, sys
sys.path.insert(0, {folder!r})
import numpy as np
import dualtape as ad
import derivatives_of_a_module as m

x = np.linspace(0.4, 1.3, 6)
calls = [
    lambda: ad.grad(m.f, mode="reverse")(x),
    lambda: ad.grad(m.arrays, mode="reverse")(x),
    lambda: ad.hessian(m.f)(x),
    lambda: ad.grad(m.f, mode="reverse")(x),
]
found, failures = [None] * len(calls), []

def run(i):
    try:
        found[i] = calls[i]()
    except BaseException as error:
        failures.append(error)

threads = [threading.Thread(target=run, args=(i,)) for i in range(len(calls))]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
assert all(np.array_equal(a, call()) for a, call in zip(found, calls))
"""


def run_code(code, cache):
    source = str(Path(dualtape.__file__).parents[1])
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": source}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def test_threads_load_and_compile_at_once(place, tmp_path):
    cache = tmp_path / "cache"
    for _ in range(2):  # compiling, then loading
        run_code(THREADS.format(folder=str(place.folder)), cache)


CALLERS = """
import numpy as np
from numba import cfunc, guvectorize, njit, vectorize
import dualtape as ad

@njit(cache=True)
def f(x):
    s = 0.0
    for i in range(x.size):
        s += np.exp(x[i]) * x[i]
    return s

gradient = ad.grad(f, mode="reverse")

@guvectorize(["float64[:], float64[:]"], "(n)->(n)", cache=True)
def gradients(x, out):
    g = gradient(x)
    for i in range(x.size):
        out[i] = g[i]

@vectorize(["float64(float64)"], cache=True)
def slopes(x):
    return gradient(np.array([x, 0.5]))[0]

@cfunc("float64(float64)", cache=True)
def slope(x):
    return gradient(np.array([x, 0.5]))[0]

@njit(cache=True)
def call(x):
    return gradient(x)[0]
"""
CALL = """
import sys
sys.path.insert(0, {folder!r})
import numpy as np
import callers

x = np.array([[0.3, 0.5], [1.0, -1.0]])
expected = np.exp(x) * (1.0 + x)
np.testing.assert_allclose(callers.gradients(x), expected, rtol=1e-14)
np.testing.assert_allclose(callers.slopes(x[0]), expected[0], rtol=1e-14)
np.testing.assert_allclose(callers.slope.ctypes(0.3), expected[0, 0], rtol=1e-14)
np.testing.assert_allclose(callers.call(x[1]), expected[1, 0], rtol=1e-14)
"""


def test_users_caches_outlive_the_store(tmp_path):
    """Numba's cached guvectorize, vectorize, cfunc and njit functions call a derivative.

    First the store is deleted, then only the user's entries, then each kernel is damaged.
    """
    (tmp_path / "callers.py").write_text(CALLERS)
    code, cache = CALL.format(folder=str(tmp_path)), tmp_path / "cache"
    run_code(code, cache)
    run_code(code, cache)
    (store,) = cache.rglob("dualtape-*")
    shutil.rmtree(store)
    run_code(code, cache)
    run_code(code, cache)
    for path in [p for p in own_files(cache) if store not in p.parents]:
        path.unlink()
    run_code(code, cache)
    for path in own_files(cache):
        path.write_bytes(b"dualtape")
    run_code(code, cache)
    run_code(code, cache)


def test_a_changed_package_forgets_kernels(tmp_path):
    """A user's cached code that calls kernels of another state of the package is compiled anew."""
    source = Path(dualtape.__file__).parent
    package = tmp_path / "package" / "dualtape"
    shutil.copytree(source, package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "callers.py").write_text(CALLERS)
    code, cache = CALL.format(folder=str(tmp_path)), tmp_path / "cache"
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(package.parent)}
    for text in ("", "\n# changed\n"):
        with (package / "reverse" / "sweep.py").open("a") as file:
            file.write(text)
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
    assert len(list(cache.rglob("dualtape-*"))) == 2


# Names.  The same program with other numbers of Numba's is one kernel; anything else is another.

LLVM = """
define i32 @"_ZN3foo4v123"(ptr %a, i64 %b) {
entry:
  %x.1 = load i64, ptr %a
  %c = icmp eq i64 %x.1, %b
  br i1 %c, label %yes, label %no
yes:
  call void @outside(ptr @".const.7")
  br label %no
no:
  ret i32 0
}
@".const.7" = private constant [3 x i8] c"abc"
declare void @outside(ptr)
"""


def digest_of(text):
    own = "_ZN3foo4v123" if "v123" in text else "_ZN3foo4v9"
    return _without_names(text, {"outside"}, own)


@pytest.mark.parametrize(
    ("old", "new"), [("v123", "v9"), (".const.7", ".const.88"), ("x.1", "x.2"), ("yes", "then")]
)
def test_names_of_a_file_do_not_count(old, new):
    assert digest_of(LLVM.replace(old, new)) == digest_of(LLVM)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("label %yes, label %no", "label %no, label %yes"),
        ("icmp eq", "icmp ne"),
        ('c"abc"', 'c"abd"'),
        ("outside", "elsewhere"),
        ("ret i32 0", "ret i32 1"),
        ("i64 %x.1, %b", "i64 %b, %x.1"),
    ],
)
def test_everything_else_counts(old, new):
    assert digest_of(LLVM.replace(old, new)) != digest_of(LLVM)


def test_kernels_have_the_same_names_whatever_was_compiled_before(place, tmp_path):
    cache = tmp_path / "cache"
    place.run({"scalar": DERIVATIVES["scalar"], "reverse": DERIVATIVES["reverse"]}, cache)
    names = {p.name for p in own_files(cache) if p.name.startswith("dualtape.kernel.")}
    assert names
    assert names <= {p.name for p in own_files(place.cache)}


# Files.


def test_sealed_files(tmp_path):
    path = tmp_path / "folder" / "name"
    disk_cache.write_sealed(path, b"payload")
    assert disk_cache.read_sealed(path) == b"payload"
    path.rename(tmp_path / "folder" / "other")
    with pytest.raises(OSError, match="damaged"):
        disk_cache.read_sealed(tmp_path / "folder" / "other")
    with pytest.raises(FileNotFoundError):
        disk_cache.read_sealed(path)


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        disk_cache.write_sealed(tmp_path / "name", b"payload")
    assert list(tmp_path.iterdir()) == []
