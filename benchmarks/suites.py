"""The modules with problems, in the order of the report."""

import importlib

from .peers import is_installed

SUITES = (
    "rosenbrock",
    "hessian",
    "lennard_jones",
    "ode",
    "mixture",
    "pinn",
    "brusselator",
    "pollu",
    "arrays",
    "overhead",
    "scipy",
)
OWN = ("hand", "dualtape")


def chosen(problem, *, quick, peers):
    """Return the candidates of a problem that are installed and wanted."""
    wanted = [c for c in problem.candidates if is_installed(c) and not (quick and c.slow)]
    return [c for c in wanted if peers or c.library in OWN]


def all_problems(only="", small=False):
    """Yield the problems whose suite or name contains `only`."""
    for suite in SUITES:
        module = importlib.import_module(f".bench_{suite}", __package__)
        for problem in module.problems(small=small):
            if only in suite or only in problem.name:
                yield problem
