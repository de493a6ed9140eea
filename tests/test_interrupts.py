"""Ctrl-C: answered within a second, and nothing is broken afterwards.

The signals are real ones, of other processes to children, or raised at counted moments: a signal
is due at the n-th call of a Python function, so that every run is interrupted at the same places.
"""

import gc
import json
import os
import signal
import subprocess
import sys
import threading
from typing import NamedTuple

import numba
import numpy as np
import pytest
from children import SOURCE, run
from held import leased, live_allocations

import dualtape as ad
from dualtape.backend import interrupts

POINT = np.array([1.5, 2.0])
OWNERSHIP = os.path.join("llvmlite", "binding") + os.sep
MOMENTS = 20
slow = pytest.mark.slow


def calls_of(call, *args, interrupt_at=float("inf")):
    """Call something; return how many Python functions it called until it ended or was stopped.

    At the call of the given number there is a SIGINT.  Where that is in a function whose exceptions
    Python itself drops (``__del__``, callbacks of weak references and of ctypes), there is another.
    llvmlite hands LLVM's memory over in steps that an interrupt must not part: it comes after them,
    and after what llvmlite calls between them (Numba's events of its lock).
    Nothing is collected meanwhile, so that only the call itself is counted.
    """
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        count += 1
        if count >= interrupt_at and not hands_over(frame):
            sys.settrace(None)
            signal.raise_signal(signal.SIGINT)

    def dropped(unraisable):
        if unraisable.exc_type is KeyboardInterrupt:
            sys.settrace(trace)
        else:
            hook(unraisable)

    before, hook = sys.gettrace(), sys.unraisablehook
    sys.unraisablehook = dropped
    gc.collect()
    gc.disable()
    sys.settrace(trace)
    try:
        call(*args)
    finally:
        sys.settrace(before)
        sys.unraisablehook = hook
        gc.enable()
    return count


def hands_over(frame):
    """Return whether a frame is of llvmlite's binding or called by it."""
    while frame is not None and OWNERSHIP not in frame.f_code.co_filename:
        frame = frame.f_back
    return frame is not None


def made():
    """Return a new function, its gradient, and what that is at the point."""

    def f(x):
        s = 0.0
        for i in range(x.size - 1):
            s += x[i] ** 2 * x[i + 1]
        return s

    return f, np.array([2.0 * POINT[0] * POINT[1], POINT[0] ** 2])


def interrupted(mode, moment):
    """Interrupt the first call of a derivative; return its function and its gradient.

    C code of Python may drop an exception and say nothing: then a little later, in another one.
    """
    for later in range(3):
        f, gradient = made()
        try:
            calls_of(ad.grad(f, mode=mode), POINT, interrupt_at=moment + later)
        except KeyboardInterrupt:
            return f, gradient
    raise AssertionError(f"no interrupt at call {moment} nor at the two after it")


# What llvmlite was making when it was interrupted complains when it goes.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_twenty_moments_of_a_compilation(mode):
    ad.grad(made()[0], mode=mode)(POINT)
    whole = min(calls_of(ad.grad(made()[0], mode=mode), POINT) for _ in range(2))
    for k in range(MOMENTS):
        f, gradient = interrupted(mode, 1 + whole * k // MOMENTS)
        np.testing.assert_array_equal(ad.grad(f, mode=mode)(POINT), gradient)
        assert leased() == 0
    np.testing.assert_array_equal(numba.njit(made()[0])(POINT), POINT[0] ** 2 * POINT[1])
    gc.collect()


def test_an_interrupted_call_is_over():
    """Whatever the C code of a call was doing, the next one is right."""
    f, gradient = made()
    g = ad.grad(f, mode="reverse")
    g(POINT)
    listed = POINT.tolist()  # converted by Python code, in some dozens of calls
    whole = calls_of(g, listed)
    for k in range(min(whole, MOMENTS)):
        with pytest.raises(KeyboardInterrupt):
            calls_of(g, listed, interrupt_at=1 + k)
        np.testing.assert_array_equal(g(listed), gradient)
    assert leased() == 0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("allocation_statistics")
def test_the_other_mode_of_an_automatic_derivative():
    """It compiles inside of compiled code, which passes the interrupt on and drops its arrays.

    Numba itself keeps the argument of a function that raises.
    """
    x = np.linspace(0.5, 1.5, 40)
    expected = 2.0 * x * x[0]
    expected[0] += x @ x
    for transform in (ad.value_and_grad, ad.jacobian):
        first, second, g = [transform(lambda x: np.sum(x * x) * x[0]) for _ in range(3)]
        for called in (first, second, g):
            called(POINT)
        first(x)  # loads kernels
        whole = calls_of(second, x)
        for k in range(3):
            gc.collect()
            live = live_allocations()
            with pytest.raises(KeyboardInterrupt):
                calls_of(g, x, interrupt_at=whole // 5 * (1 + k))
            assert live_allocations() <= live + 1
        found = g(x) if transform is ad.jacobian else g(x)[1]
        np.testing.assert_allclose(found, expected, rtol=1e-14)


# Held, and delivered afterwards


def test_an_interrupt_inside_is_delivered_afterwards():
    done = []

    def work():
        with interrupts.interrupts_deferred():
            with interrupts.interrupts_deferred():
                signal.raise_signal(signal.SIGINT)
                done.append(1)
            done.append(2)
        done.append(3)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [1, 2]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_handler_of_the_user_is_called():
    told = []
    before = signal.signal(signal.SIGINT, lambda number, frame: told.append(number))
    try:
        with interrupts.interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
            assert told == []
        assert told == [signal.SIGINT]
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        with interrupts.interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_other_threads_hold_nothing():
    handlers = []

    def work():
        with interrupts.interrupts_deferred():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]


# A process of its own: the first compilation


FIRST = """
import json, os, signal, sys, threading, time
import numba, numpy as np
import dualtape as ad

X = np.array([1.5, 2.0])

def f(x):
    return np.sum(x[0] ** 2 * x)

def interrupted(delay):
    sent, answered = [], threading.Event()

    def send():
        time.sleep(delay)
        while not answered.is_set():  # Python itself loses one that comes in a callback
            sent.append(time.process_time())
            os.kill(os.getpid(), signal.SIGINT)
            answered.wait(5.0)

    threading.Thread(target=send).start()
    try:
        while True:
            ad.grad(f)(X)
            time.sleep(0.001)
    except KeyboardInterrupt:
        answered.set()
        waited = time.process_time() - sent[-1]
    norm = numba.njit(lambda x: np.linalg.norm(x) + np.sum(x))
    return waited, ad.grad(f)(X).tolist(), norm(X), ad.grad(f, mode="reverse")(X).tolist()

for delay in json.loads(sys.argv[1]):
    reading, writing = os.pipe()
    if not os.fork():
        os.write(writing, json.dumps(interrupted(delay)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        print(json.dumps([delay, answer.read()]), flush=True)
    os.wait()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="children are forked, to import once")
@pytest.mark.parametrize(
    "delays",
    [
        pytest.param([0.1, 0.3], id="two"),
        pytest.param([0.05 * k for k in range(MOMENTS)], id="twenty", marks=slow),
    ],
)
def test_the_first_compilation_of_a_process(delays):
    found = subprocess.run(
        [sys.executable, "-c", FIRST, json.dumps(delays)],
        env=os.environ | {"PYTHONPATH": str(SOURCE), "DUALTAPE_VERBOSE": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=500,
    )
    assert found.returncode == 0, found.stderr
    gradient = [2.0 * 1.5 * 3.5 + 2.25, 2.25]
    answers = [json.loads(line) for line in found.stdout.splitlines()]
    assert len(answers) == len(delays)
    for delay, answer in answers:
        assert answer, (delay, found.stderr)
        waited, first, norm, reverse = json.loads(answer)
        assert waited < 1.0
        assert first == reverse == gradient
        assert norm == 6.0


# While compiled code runs


@numba.njit
def busy(n):
    s = 0.0
    for i in range(n):
        s += np.sin(0.1 * i)
    return s


class Pair(NamedTuple):
    a: np.ndarray
    b: float


RESULTS = {
    "array": (ad.grad, POINT),
    "tuple": (ad.value_and_grad, POINT),
    "nested": (lambda f: ad.value_and_grad(lambda p: f(p.a) * p.b), Pair(POINT, 2.0)),
}


@pytest.mark.usefixtures("allocation_statistics")
@pytest.mark.parametrize("kind", RESULTS)
def test_an_interrupt_while_compiled_code_runs(kind):
    """It is due once the result is there, whatever that is; the result is not kept."""
    transform, x = RESULTS[kind]
    n = 10_000
    g = transform(lambda x: np.sum(x * x) + 0.0 * busy(n))
    g(x)
    gc.collect()  # what other tests left
    live = live_allocations()
    for _ in range(20):
        timer = threading.Timer(0.02, signal.pthread_kill, [MAIN, signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            call_for_ever(g, x)
        timer.join()
    gc.collect()
    assert live_allocations() == live


MAIN = threading.main_thread().ident


def call_for_ever(g, x):
    while True:
        g(x)


# Solvers


SOLVERS = """
import json, os, signal, sys, threading, time
import numba, numpy as np
import dualtape as ad
from dualtape import integrate, optimize

@numba.njit
def busy(n):
    # some milliseconds
    s = 0.0
    for i in range(n):
        s += np.sin(0.1 * i)
    return s

N = 100_000

def rosenbrock(x):
    s = 0.0 * busy(N)
    for i in range(x.size - 1):
        s += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return s

def residuals(x):
    return np.array([10.0 * (x[1] - x[0] ** 2) + 0.0 * busy(N), 1.0 - x[0], x[0] * x[1]])

def cubic(x):
    return np.array([x[0] ** 3 - x[1] - 50.0 + 0.0 * busy(N), x[1] ** 3 - x[0] + 70.0])

def model(t, a, b):
    return a * np.exp(-b * t) + 0.0 * busy(N)

def scalar(x):
    return x * abs(x) ** 0.02 - 1e9 + 0.0 * busy(N)

def orbit(t, y):
    return np.array([y[1] + 0.0 * busy(N), -y[0]])

def decay(t, y, p):
    return -p[0] * (y - np.cos(100.0 * t)) + 0.0 * busy(N)

def last(k, t, y, p):
    return y[0]

def boundary(ya, yb):
    return np.array([ya[0], yb[0] - 1.0])

def waves(x, y):
    out = np.empty_like(y)
    out[0], out[1] = y[1] + 0.0 * busy(N), -30.0 * np.sin(y[0])
    return out

def wave(x, p):
    return np.sin(p * x) + 0.0 * busy(N)

def event(t, y, p):
    return y[0] - 10.0

start = np.linspace(-2.0, 2.0, 12)
t = np.linspace(0.0, 4.0, 9)
long = (0.0, 1e6)
one = np.array([1.0])
solvers = {
    "minimize": lambda: optimize.minimize(rosenbrock, start, method="BFGS"),
    "L-BFGS-B": lambda: optimize.minimize(rosenbrock, start, method="L-BFGS-B"),
    "trust-exact": lambda: optimize.minimize(rosenbrock, start, method="trust-exact"),
    "Nelder-Mead": lambda: optimize.minimize(rosenbrock, start, method="Nelder-Mead"),
    "multistart": lambda: optimize.multistart(
        rosenbrock, np.linspace(-3.0, 3.0, 400).reshape(100, 4), method="BFGS", workers=2),
    "multistart without derivatives": lambda: optimize.multistart(
        rosenbrock, np.linspace(-3.0, 3.0, 400).reshape(100, 4), method="Nelder-Mead", workers=2),
    "least_squares": lambda: optimize.least_squares(residuals, [-1.2, 1.0]),
    "root": lambda: optimize.root(cubic, [5.0, -5.0]),
    "curve_fit": lambda: optimize.curve_fit(model, t, np.cos(t), [1.0, 0.1], maxfev=10**6),
    "root_scalar": lambda: optimize.root_scalar(scalar, x0=1.0),
    "RK45": lambda: integrate.solve_ivp(orbit, long, [1.0, 0.0]),
    "BDF": lambda: integrate.solve_ivp(orbit, long, [1.0, 0.0], method="BDF"),
    "LSODA": lambda: integrate.solve_ivp(orbit, long, [1.0, 0.0], method="LSODA"),
    "odeint": lambda: integrate.odeint(lambda y, t: orbit_of(t, y), [1.0, 0.0], [0.0, 1e4],
                                       mxstep=10**8),
    "solve_bvp": lambda: integrate.solve_bvp(waves, boundary, t, np.ones((2, t.size))),
    "quad": lambda: integrate.quad(wave, 0.0, 1e5, (one[0],), limit=10**5),
    "sensitivity": lambda: integrate.solve_ivp_sensitivity(decay, long, one, one),
    "adjoint": lambda: integrate.solve_ivp_adjoint(
        decay, (0.0, 200.0), one, one, observation=last, t_obs=[1.0]),
}
orbit_of = numba.njit(orbit)
def is_solving(wanted):
    # whether the main thread is among SciPy's functions, or waits for threads; it compiles nothing
    frame, files = sys._current_frames()[threading.main_thread().ident], []
    while frame is not None:
        files.append(frame.f_code.co_filename)
        frame = frame.f_back
    return any(wanted in file for file in files) and not any("numba" in file for file in files)

found = {}
for name in sys.argv[1:]:
    sent = []

    def send():
        seen = 0
        while seen < 30:
            time.sleep(0.01)
            seen += is_solving("concurrent" if "multistart" in name else "scipy")
        sent.append(time.process_time())
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=send).start()
    try:
        while True:
            solvers[name]()
    except KeyboardInterrupt:
        found[name] = time.process_time() - sent[0]
    threads = [thread.name for thread in threading.enumerate()]
    if len(threads) > 1:
        found[name] = f"{threads} go on"
print(json.dumps(found))
"""
SOME = ("trust-exact", "BDF")
NAMES = [line.split('"')[1] for line in SOLVERS.splitlines() if line.startswith('    "')]


@slow  # each is asked for anew until the interrupt comes
def test_solvers_are_interrupted():
    found = run(SOLVERS, *NAMES, options=("-W", "error"))
    assert found.keys() == set(NAMES)
    late = {name: waited for name, waited in found.items() if not isinstance(waited, float)}
    assert late == {}
    assert max(found.values()) < 1.0


def test_two_solvers_are_interrupted():
    found = run(SOLVERS, *SOME, options=("-W", "error"))
    assert all(waited < 1.0 for waited in found.values()), found
