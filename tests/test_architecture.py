"""Formalities: imports point downward, files stay small, what is public is documented."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dualtape

SOURCE = Path(dualtape.__file__).parent
ROOT = Path(__file__).parent.parent
FLOORS = [
    [
        "errors", "interrupts", "forking", "symbols", "loading", "identity", "restoring",
        "diskcache", "store", "apart", "linking", "_jit", "_rule", "known", "rules", "special",
        "reach", "cells", "fingerprint", "snapshots", "memory", "positional", "schedule",
        "coloring", "allocation", "verbose", "boxing",
    ],
    ["byvalue", "partials", "emit", "guard", "numbertype", "jets", "tape", "pool", "recording"],
    ["number", "dual", "hyperdual", "active"],
    [
        "elementary", "watched", "absent", "mapped", "members", "base_two", "constructors", "seed",
        "read", "conversion", "arraykernels", "kinks", "ordering", "bytecounts",
        "combining", "filling", "arrays", "elementwise", "elementblock", "elementloop", "stencil",
        "relaxations", "sweeps", "adjoints", "blocks", "borrowing", "matmul", "replay",
        "fortran", "layouts", "blas", "lapack", "planes", "solving", "determinants", "symmetric",
        "linalg", "dependence", "elimination",
    ],
    [
        "fresh", "showing", "aliasing", "effects", "views", "casting", "increments", "pending",
        "labels", "scalars", "influence", "wild", "squares", "plainly",
        "fusion", "lists", "inference", "choice", "activation", "celled", "users", "activate",
        "plan", "travel", "draws", "run", "outputs", "forward", "second",
        "reverse", "over_reverse", "pullback", "recomputing", "loop", "alternative", "retell",
        "failing", "pipeline", "driver", "live", "rulemaking", "making", "named", "modes",
        "sparse_reverse",
    ],
    [
        "flattening", "products", "transforms", "calling", "score", "testing", "recorder", "graph",
        "checkpointing", "sparse", "sparse_second", "composed", "primal", "linear",
        "newton", "implicit",
    ],
    [
        "forms", "memoize", "constraints", "minimizing", "optimize",
        "implicitmethods", "states", "sensitivity", "adjoint", "quadrature", "integrate",
        "precompile",
    ],
]  # fmt: skip
MODULES = sorted(module.name for module in pkgutil.iter_modules([str(SOURCE)]))
LARGEST_FILE = 450
PUBLIC = [name for name in dir(dualtape) if not name.startswith("_")]
PUBLIC = [name for name in PUBLIC if not inspect.ismodule(getattr(dualtape, name))]


def imports_of(name):
    """Return the package's own modules that a module imports."""
    tree = ast.parse((SOURCE / f"{name}.py").read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1:
            if node.module:
                found.add(node.module)
            else:
                found.update(alias.name for alias in node.names)
    return found


def floor_of(name):
    return next(i for i, names in enumerate(FLOORS) if name in names)


def test_every_module_has_a_floor():
    assert sorted(name for names in FLOORS for name in names) == MODULES


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downward(name):
    for other in imports_of(name):
        assert floor_of(other) <= floor_of(name), f"{name} imports {other} from a higher floor"


def test_no_import_cycles():
    graph = {name: imports_of(name) for name in MODULES}
    done = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in graph[name]:
                visit(other, [*path, name])
            done.add(name)

    for name in MODULES:
        visit(name, [])


@pytest.mark.parametrize("name", MODULES)
def test_file_size_and_docstring(name):
    text = (SOURCE / f"{name}.py").read_text()
    assert len(text.splitlines()) <= LARGEST_FILE
    assert ast.get_docstring(ast.parse(text)), f"{name} has no module docstring"


@pytest.mark.parametrize("name", ["optimize", "integrate"])
def test_faces_of_scipy_are_documented(name):
    """They are imported by name: SciPy is not loaded with the package."""
    module = importlib.import_module(f"dualtape.{name}")
    for function in (getattr(module, name) for name in module.__all__):
        doc = inspect.getdoc(function)
        assert ">>>" in doc
        assert "Parameters\n---" in doc
        assert all(
            p.annotation is not p.empty for p in inspect.signature(function).parameters.values()
        )


def test_import_does_not_load_scipys_solvers():
    code = "import sys, dualtape; print([m for m in sys.modules if m.startswith('scipy.')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "scipy.optimize" not in found.stdout
    assert "scipy.integrate" not in found.stdout


def test_faces_of_scipy_are_loaded_when_used():
    code = (
        "import sys, dualtape as ad; before = 'dualtape.optimize' in sys.modules; "
        "print(before, ad.optimize.__name__, ad.integrate.solve_ivp.__module__)"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "dualtape.optimize", "dualtape.integrate"]
    with pytest.raises(AttributeError, match="has no attribute 'optimise'"):
        dualtape.optimise  # noqa: B018


def is_slow(node):
    """Whether a test, or a whole file of tests by its pytestmark, is marked slow as a whole."""
    if isinstance(node, ast.FunctionDef):
        return any("slow" in ast.unparse(d).split(".") for d in node.decorator_list)
    return ast.unparse(node).startswith("pytestmark = pytest.mark.slow")


def names_in_quick_tests():
    """Return all names and attributes in the tests that the README's command runs."""
    found = set()
    for path in Path(__file__).parent.glob("test_*.py"):
        body = ast.parse(path.read_text()).body
        if not any(is_slow(node) for node in body if isinstance(node, ast.Assign)):
            quick = (n for node in body if not is_slow(node) for n in ast.walk(node))
            found |= {getattr(n, "id", getattr(n, "attr", None)) for n in quick}
    return found


def test_the_quick_tests_have_one_of_every_public_function():
    public = {*PUBLIC, *dualtape.optimize.__all__, *dualtape.integrate.__all__}
    assert public - names_in_quick_tests() == set()


@pytest.mark.parametrize("name", PUBLIC)
def test_public_objects_are_documented(name):
    doc = inspect.getdoc(getattr(dualtape, name))
    assert doc, f"{name} has no docstring"
    assert doc.splitlines()[0].endswith((".", ":"))


@pytest.mark.parametrize("name", [n for n in PUBLIC if inspect.isfunction(getattr(dualtape, n))])
def test_public_functions_say_what_they_take_and_show_an_example(name):
    function = getattr(dualtape, name)
    doc = inspect.getdoc(function)
    assert ">>>" in doc
    assert "Parameters\n---" in doc or re.search(r"Parameters, errors and cost are those of", doc)
    parameters = inspect.signature(function).parameters.values()
    assert all(p.annotation is not p.empty for p in parameters)


# Their modules have quick tests, or the README shows the same.
SLOW_EXAMPLES = (
    "checkpointing", "graph", "implicit", "integrate", "products", "recorder", "relaxations",
    "score", "sensitivity", "sparse", "sparse_second",
)  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if n in SLOW_EXAMPLES else n
        for n in MODULES
        if re.search(r"^ +>>> ", (SOURCE / f"{n}.py").read_text(), re.MULTILINE)
    ],
)
def test_examples_in_docstrings(name):
    results = doctest.testmod(importlib.import_module(f"dualtape.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_floors_in_the_contributing_guide():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for i, names in enumerate(FLOORS):
        [line] = re.findall(rf"^    {i}  (.*(?:\n       .*)*)$", text, re.MULTILINE)
        assert line.split() == names


def test_runtime_dependencies_are_three():
    text = (ROOT / "pyproject.toml").read_text()
    [listed] = re.findall(r"^dependencies = \[(.*)\]$", text, re.MULTILINE)
    assert re.findall(r'"([a-z]+)', listed) == ["numba", "numpy", "scipy"]


def test_formulas_never_use_fastmath():
    assert not [p.name for p in SOURCE.glob("*.py") if "fastmath=True" in p.read_text()]
