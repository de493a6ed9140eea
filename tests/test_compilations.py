"""What a first derivative compiles where no cache is: counted, since times depend on the machine.

Numba's own overloads count, as do the user's function and its twin.  A bound is what is needed
now; more is a reason to look at what was compiled (the message of a failure names it).
"""

import subprocess
import sys

import pytest

PROGRAM = """
import numpy as np
from numba.core import event
import dualtape as ad


class Names(event.Listener):
    def on_start(self, event):
        function = event.data["dispatcher"].py_func
        print(f"{function.__module__}.{function.__qualname__}")

    def on_end(self, event):
        pass


def rosenbrock(x):
    s = 0.0
    for i in range(x.size - 1):
        s += 100.0 * (x[i + 1] - x[i] ** 2) ** 2 + (1.0 - x[i]) ** 2
    return s


def stencil(u):
    r = np.zeros(u.size)
    for i in range(1, u.size - 1):
        r[i] = u[i - 1] - 2.0 * u[i] + u[i + 1] + u[i] ** 2
    return r


def network(p):
    # three layers with 46 parameters, at 50 points
    first, second = np.tanh(points @ p[:12].reshape(4, 3).T + p[12:16]), p[16:36].reshape(5, 4)
    residual = np.tanh(first @ second.T + p[36:41]) @ p[41:46] - targets
    return np.sum(residual * residual)


points, targets = np.ones((50, 3)), np.ones(50)
event.register("numba:compile", Names())
x = np.linspace(-1.0, 1.0, 100)
"""

CASES = {
    "gradient of a loop in reverse": ("ad.grad(rosenbrock, mode='reverse')(x)", 16),
    "gradient of a network in reverse": ("ad.grad(network, mode='reverse')(x[:46])", 55),
    "sparse Jacobian of a stencil": ("ad.sparse_jacobian(stencil)(x)", 23),
}


@pytest.mark.parametrize("name", CASES)
def test_how_many_functions_a_first_derivative_compiles(name, tmp_path, monkeypatch):
    call, most = CASES[name]
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM + call], capture_output=True, text=True, check=True
    )
    names = found.stdout.split()
    assert len(names) <= most, f"{len(names)} functions:\n" + "\n".join(sorted(names))
    strings = [name for name in names if "unicode" in name or "repr" in name]
    assert not strings, "functions on strings for the text of an error"
