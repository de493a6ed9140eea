"""Formalities: imports point downward, files stay small, what is public is documented."""

import ast
import doctest
import importlib
import inspect
import itertools
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dualtape

SOURCE = Path(dualtape.__file__).parent
ROOT = Path(__file__).parent.parent
ORDER = [
    "errors",
    "backend",
    "rules",
    "functions",
    "tape",
    "numbers",
    "reverse",
    "arrays",
    "linalg",
    "analysis",
    "twin",
    "drivers",
    ("sparse", "transforms", "recording"),
    "implicit",
    "solvers",
    ("optimize", "integrate", "roots"),
    "precompile",
]
"""Packages and single modules, lowest first: what one imports stands before it; those of one place
do not import each other."""
APART = {("analysis", "linalg"), ("twin", "linalg")}
"""Imports that the order would allow: twins find linear algebra in Numba's registry only."""
RANK = {
    name: rank
    for rank, names in enumerate(ORDER)
    for name in ((names,) if isinstance(names, str) else names)
}
FILES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")
MODULES = {".".join(path.relative_to(SOURCE).with_suffix("").parts): path for path in FILES}
MODULES = {name.removesuffix(".__init__"): path for name, path in MODULES.items()}
TREES = {name: ast.parse(path.read_text()) for name, path in MODULES.items()}
PACKAGES = sorted(name for name, path in MODULES.items() if path.name == "__init__.py")
FACES = ("optimize", "integrate", "roots")
"""Packages that users import by name: their docstrings and `__all__` are the users' own."""
LARGEST_FILE = 450
PUBLIC = [name for name in dir(dualtape) if not name.startswith("_")]
PUBLIC = [name for name in PUBLIC if not inspect.ismodule(getattr(dualtape, name))]


def package_of(name):
    return name.partition(".")[0]


def imports_of(name):
    """Return the package's own modules that a module imports, with the names it uses of each."""
    found = {}
    folder = name.split(".") if name in PACKAGES else name.split(".")[:-1]
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = folder[: len(folder) - node.level + 1]
            source = ".".join([*parts, *([node.module] if node.module else [])])
            for alias in node.names:
                whole = f"{source}.{alias.name}".removeprefix(".")
                if whole in MODULES:
                    used = attributes_of(alias.asname or alias.name, TREES[name])
                    found.setdefault(whole, set()).update(used)
                else:
                    found.setdefault(source, set()).add(alias.name)
    return found


def attributes_of(module, tree):
    nodes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return {n.attr for n in nodes if isinstance(n.value, ast.Name) and n.value.id == module}


def open_names(package):
    """Return what a package's table of contents lets others use: names, by module."""
    module = importlib.import_module(f"dualtape.{package}")
    return {f"{package}.{name}": set(names.split()) for name, names in module.OPEN.items()}


def test_the_order_has_every_package_and_nothing_else():
    assert set(RANK) == {package_of(name) for name in MODULES}


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_downward(name):
    own = package_of(name)
    for other in map(package_of, imports_of(name)):
        assert other == own or RANK[other] < RANK[own], f"{name} imports from {other}"
        assert (own, other) not in APART, f"{name} imports from {other}"


def test_no_import_cycles():
    done = set()

    def visit(name, path):
        assert name not in path, " -> ".join([*path, name])
        if name not in done:
            for other in imports_of(name):
                visit(other, [*path, name])
            done.add(name)

    for name in MODULES:
        visit(name, [])


def test_packages_open_what_others_use_and_no_more():
    used = {}
    for name in MODULES:
        for other, names in imports_of(name).items():
            if package_of(other) != package_of(name) and "." in other:
                used.setdefault(other, set()).update(names)
    tables = [open_names(p) for p in PACKAGES if p not in FACES]
    assert used == {name: names for table in tables for name, names in table.items()}


@pytest.mark.parametrize("name", [p for p in PACKAGES if p not in FACES])
def test_the_contents_of_a_package_name_its_modules(name):
    doc = ast.get_docstring(TREES[name])
    inside = [m.partition(".")[2] for m in MODULES if m.startswith(f"{name}.")]
    assert [m for m in inside if f"`{m}`" not in doc] == []


@pytest.mark.parametrize("name", MODULES)
def test_file_size_and_docstring(name):
    assert len(MODULES[name].read_text().splitlines()) <= LARGEST_FILE
    assert ast.get_docstring(TREES[name]), f"{name} has no module docstring"


@pytest.mark.parametrize("name", FACES)
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
    assert found.stdout.split() == ["False", "dualtape.optimize", "dualtape.integrate.faces"]
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


SLOW_EXAMPLES = {"sparse", "transforms", "recording", "implicit", "integrate"}
"""Their modules have quick tests, or the README shows the same."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=pytest.mark.slow) if package_of(n) in SLOW_EXAMPLES else n
        for n, path in MODULES.items()
        if re.search(r"^ +>>> ", path.read_text(), re.MULTILINE)
    ],
)
def test_examples_in_docstrings(name):
    results = doctest.testmod(importlib.import_module(f"dualtape.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_the_picture_in_the_contributing_guide():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    picture = text.partition("\n## Packages\n")[2].partition("\n## ")[0]
    drawn = [line.split()[0] for line in re.findall(r"^    (\S.*)$", picture, re.MULTILINE)]
    assert drawn == list(RANK)


def places_in_the_readme():
    """Return (file, function) of the places between grad(f)(x) and sin, for both modes."""
    section = (ROOT / "README.md").read_text().partition("\n## Reading the code\n")[2]
    section = section.partition("\n## ")[0]
    lists = re.split(r"^1\. ", section, flags=re.MULTILINE)[1:]
    pattern = r"(?:^\d\. |\A)`([\w/]+)\.py`: `(\w+)`"
    return [re.findall(pattern, text, re.MULTILINE) for text in lists]


def test_the_places_in_the_readme_exist_and_each_names_the_next():
    forward, backward = places_in_the_readme()
    assert len(forward) == len(backward) == 5
    assert forward[4:] == [("numbers/number", "_apply_rule")]
    for places in (forward, backward):
        for file, function in places:
            tree = TREES[file.replace("/", ".")]
            names = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
            assert function in names, f"{file}.py has no {function}"
        for (file, _), (other, function) in itertools.pairwise(places):
            text = MODULES[file.replace("/", ".")].read_text()
            module = other.rpartition("/")[2]
            assert re.search(rf"\b{module}(\.{function}\b| import )|\b{function}\b", text), (
                f"{file}.py does not name {other}.{function}"
            )


def test_runtime_dependencies_are_three():
    text = (ROOT / "pyproject.toml").read_text()
    [listed] = re.findall(r"^dependencies = \[(.*)\]$", text, re.MULTILINE)
    assert re.findall(r'"([a-z]+)', listed) == ["numba", "numpy", "scipy"]


def test_formulas_never_use_fastmath():
    assert not [path for path in FILES if "fastmath=True" in path.read_text()]
