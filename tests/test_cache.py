"""Derivatives of ``@njit(cache=True)`` functions are cached on disk, and never stale.

One package of small modules is run by four processes with one cache: the second one compiles
nothing; before the third, everything a derivative depends on is edited; the fourth compiles
nothing again.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from children import SOURCE, run

import dualtape

# Every module has a function f with the gradient of k (x0^2 + x0 x1), k = 2, and k = 5 after the
# edit.  Numba itself looks at the file of f alone, so the edits are made in other files.

F = """
import numba
import numpy as np
import dualtape as ad
{before}

@numba.njit(cache=True)
def f(x{defaults}):
    return {factor} * (x[0] ** 2 + x[0] * x[1])

{after}
"""
MAKER = """
import numba
{before}

def make({name}):
    @numba.njit(cache=True)
    def f(x):
        return {factor} * (x[0] ** 2 + x[0] * x[1])
    return f

f = make({argument})
"""


def module(factor, *, before="", defaults="", after=""):
    """Return the source of a module; it is the same before and after the edit."""
    return [F.format(factor=factor, before=before, defaults=defaults, after=after)]


def versions(text):
    """Return a source before and after the edit: K stands for the number."""
    return [text.replace("K", "2.0"), text.replace("K", "5.0")]


PLAIN = "def factor():\n    return K\n"
NJIT = "import numba\n\n@numba.njit\n" + PLAIN
OUTER = "from inner_file import factor\n\ndef outer():\n    return factor()\n"
INNER = "import dualtape as ad\n\ndef inner(y, z):\n    return 2.0 * y + 2.5 * y * y + 5.0 * z\n"
LATE = "g = ad.grad(f)\nfrom late_file import factor\n"
RULE = (
    "import dualtape as ad\n\ndef scale(v):\n    return v\n\n"
    "ad.custom_rule(scale, lambda v: (K * v, K, 0.0))\n"
)

EDITS = {
    "own_code": {"own_code.py": [module(k)[0] for k in ("2.0", "5.0")]},
    "njit_helper": {
        "njit_helper.py": module("factor()", before="from njit_file import factor"),
        "njit_file.py": versions(NJIT),
    },
    "plain_helper_of_a_helper": {
        "plain_helper_of_a_helper.py": module("outer()", before="from outer_file import outer"),
        "outer_file.py": [OUTER],
        "inner_file.py": versions(PLAIN),
    },
    "helper_by_module_name": {
        "helper_by_module_name.py": module("named.factor()", before="import named"),
        "named.py": versions(NJIT),
    },
    "helper_of_a_submodule": {
        "helper_of_a_submodule.py": module("parcel.sub.factor()", before="import parcel.sub"),
        "parcel/__init__.py": [""],
        "parcel/sub.py": versions(NJIT),
    },
    "helper_known_later": {
        "helper_known_later.py": module("factor()", after=LATE),
        "late_file.py": versions(NJIT),
    },
    "helper_among_the_defaults": {
        "helper_among_the_defaults.py": module(
            "h()", before="from default_file import factor", defaults=", h=factor"
        ),
        "default_file.py": versions(NJIT),
    },
    "global_constant": {
        "global_constant.py": module("k", before="from constant_file import k"),
        "constant_file.py": versions("k = K\n"),
    },
    "global_tuple": {
        "global_tuple.py": module("k[1][0]", before="from tuple_file import k"),
        "tuple_file.py": versions("k = (1, (K, 3))\n"),
    },
    "global_array": {
        "global_array.py": module("k[1]", before="from array_file import k"),
        "array_file.py": versions("import numpy as np\n\nk = np.array([7.0, K])\n"),
    },
    "constant_of_a_module": {
        "constant_of_a_module.py": module("constants.k", before="import constants"),
        "constants.py": versions("k = K\n"),
    },
    "constant_of_a_submodule": {
        "constant_of_a_submodule.py": module("box.part.k", before="import box.part"),
        "box/__init__.py": [""],
        "box/part.py": versions("k = K\n"),
    },
    "default_argument": {
        "default_argument.py": module(
            "k", before="from number_file import number", defaults=", k=number"
        ),
        "number_file.py": versions("number = K\n"),
    },
    "closure_value": {
        "closure_value.py": [
            MAKER.format(before="from cell_file import v", name="k", factor="k", argument="v")
        ],
        "cell_file.py": versions("v = K\n"),
    },
    "closure_function": {
        "closure_function.py": [
            MAKER.format(before="from cells_file import v", name="k", factor="k()", argument="v")
        ],
        "cells_file.py": versions("def two():\n    return K\n\nv = two\n"),
    },
    "custom_rule": {
        "custom_rule.py": module("1.0 * scale(1.0)", before="from rule_file import scale"),
        "rule_file.py": versions(RULE),
    },
    "inner_derivative": {
        "inner_derivative.py": module(
            "ad.derivative(inner)(1.0)", before="from inner_of import inner"
        ),
        "inner_of.py": versions("def inner(y):\n    return K * y\n"),
    },
    "order_of_an_inner_derivative": {
        "order_of_an_inner_derivative.py": module("d(0.0, 0.0)", before="from order_file import d"),
        "order_file.py": [
            INNER + "d = ad.derivative(inner)\n",
            INNER + "d = ad.derivative(inner, 2)\n",
        ],
    },
    "argnums_of_an_inner_gradient": {
        "argnums_of_an_inner_gradient.py": module("d(0.0, 0.0)", before="from nums_file import d"),
        "nums_file.py": [INNER + "d = ad.grad(inner, 0)\n", INNER + "d = ad.grad(inner, 1)\n"],
    },
    "kind_of_an_inner_transform": {
        "kind_of_an_inner_transform.py": module(
            "d(np.ones(1))[0]", before="from kind_file import d"
        ),
        # value_and_grad(q) gives 2 and [5]: the edit changes which of them is returned
        "kind_file.py": [
            "import dualtape as ad\n\ndef q(y):\n    return 5.0 * y[0] - 3.0\n\n"
            + f"def d(y):\n    v, g = ad.value_and_grad(q)(y)\n    return {what}\n"
            for what in ("(v, 0.0)", "(g[0], 0.0)")
        ],
    },
}

SCRIPT = """
import importlib, json, sys
import numpy as np
from numba.core import event
import dualtape as ad

compiled = []
class Listener(event.Listener):
    def on_start(self, e):
        compiled.append(str(e.data["dispatcher"]))
    def on_end(self, e):
        pass

x = np.array([3.0, 1.0])
values, compilations = {}, {}

def record(name, value):
    values[name] = np.asarray(value).tolist()
    compilations[name] = compiled.copy()
    compiled.clear()

with event.install_listener("numba:compile", Listener()):
    for name in json.loads(sys.argv[1]):
        module = importlib.import_module(name)
        g = getattr(module, "g", None) or ad.grad(module.f)
        record(name, g(x))
    f = importlib.import_module("own_code").f
    h = importlib.import_module("of_a_scalar").f
    value, gradient = ad.value_and_grad(f)(x)
    record("value_and_grad", [value, *gradient])
    record("jacobian", ad.jacobian(f)(x))
    record("hessian", ad.hessian(f)(x))
    record("value_grad_hessian", ad.value_grad_hessian(f)(x)[2])
    record("chunk_size", ad.grad(f, chunk_size=1)(np.arange(5.0)))
    record("list", ad.grad(f)([3, 1]))
    record("hvp", ad.hvp(f)(x, x))
    record("jvp", ad.jvp(f, (x,), (x,)))
    record("derivative", [ad.derivative(h)(1.0), ad.derivative(h, 2)(1.0)])
    record("nested", ad.jacobian(ad.grad(f))(x))
print(json.dumps({"values": values, "compilations": compilations}))
"""

# k times what each transform gives for x0^2 + x0 x1 and for t^3.
OTHERS = {
    "value_and_grad": [12.0, 7.0, 3.0],
    "jacobian": [7.0, 3.0],
    "hessian": [[2.0, 1.0], [1.0, 0.0]],
    "value_grad_hessian": [[2.0, 1.0], [1.0, 0.0]],
    "chunk_size": [1.0, 0.0, 0.0, 0.0, 0.0],
    "list": [7.0, 3.0],
    "hvp": [7.0, 3.0],
    "jvp": [12.0, 24.0],
    "derivative": [3.0, 6.0],
    "nested": [[2.0, 1.0], [1.0, 0.0]],
}
SCALAR = "import numba\n\n@numba.njit(cache=True)\ndef f(t):\n    return K * t * t * t\n"


class Runs:
    """A directory of modules and what the processes that ran them said."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.code = place / "code"
        self.write(edited=False)
        self.first = self.run()
        self.second = self.run()
        self.write(edited=True)
        self.edited = self.run()
        self.again = self.run()

    def write(self, *, edited: bool) -> None:
        for files in [*EDITS.values(), {"of_a_scalar.py": versions(SCALAR)}]:
            for name, texts in files.items():
                path = self.code / name
                text = texts[-1] if edited else texts[0]
                if path.exists() and path.read_text() == text:
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)

    def run(self) -> dict:
        source = Path(dualtape.__file__).parents[1]
        environment = os.environ | {
            "NUMBA_CACHE_DIR": str(self.place / "cache"),
            "PYTHONPATH": os.pathsep.join([str(source), str(self.code)]),
            # A .pyc written in the same second as an edit would hide the edit.
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        found = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT, json.dumps(list(EDITS))],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        return json.loads(found.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return Runs(tmp_path_factory.mktemp("cache"))


pytestmark = pytest.mark.xdist_group("cache")
each_case = pytest.mark.parametrize("name", [*EDITS, *OTHERS])


def expected(name, k):
    return (k * np.array(OTHERS.get(name, [7.0, 3.0]))).tolist()


@each_case
def test_values(runs, name):
    assert runs.first["values"][name] == expected(name, 2.0)
    assert runs.second["values"][name] == expected(name, 2.0)


@each_case
def test_an_edit_gives_a_new_result(runs, name):
    assert runs.edited["values"][name] == expected(name, 5.0)
    assert runs.again["values"][name] == expected(name, 5.0)


@each_case
def test_the_second_process_compiles_nothing(runs, name):
    assert runs.first["compilations"][name] or name == "list"
    if name == "helper_among_the_defaults":
        pytest.skip("Numba caches nothing whose argument is a function")
    assert runs.second["compilations"][name] == []
    assert runs.again["compilations"][name] == []


SOLVING = """
import numba, numpy as np

@numba.njit(cache=True)
def residual(u, p):
    return u * u - 2.0 * p

@numba.njit(cache=True)
def decay(t, y, p):
    return -p[0] * y
"""
SOLVED = """
import json
import numpy as np
from numba.core import event
import dualtape as ad
from solving import decay, residual

class Count(event.Listener):
    names = []

    def on_start(self, event):
        self.names.append(event.data["dispatcher"].__name__)

    def on_end(self, event): ...

event.register("numba:compile", Count())
root = ad.implicit_root(residual)(1.0, 2.0)
found = ad.integrate.solve_ivp_sensitivity(decay, (0.0, 1.0), np.ones(1), np.ones(1), rtol=1e-9)
print(json.dumps([root, found.dy_dp[0, 0, -1], Count.names]))
"""


def test_what_solves_equations_is_kept(tmp_path):
    code = tmp_path / "code"
    code.mkdir()
    (code / "solving.py").write_text(SOLVING)
    paths = os.pathsep.join([str(SOURCE), str(code)])
    for names in (..., []):
        kept = {"NUMBA_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": paths}
        root, slope, compiled = run(SOLVED, **kept)
        assert root == pytest.approx(2.0)
        assert slope == pytest.approx(-np.exp(-1.0), rel=1e-6)
        assert names is ... or compiled == names
