"""Functions of SciPy in differentiated functions: rules of special functions, and counterparts."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numba.core.registry import cpu_target

from ..errors import MissingRuleError
from ..rules.rule import RULES

_ROOT = "dualtape.roots.{name}(f, ..., args=(...)), which has the derivative of the root"
_SYSTEM = "dualtape.implicit_root(f)(x0, *args), which has the derivative of the solution"
_ODE = (
    "dualtape.integrate.odeint(rhs, y0, t, *args) there, or solve_ivp_sensitivity or "
    "solve_ivp_adjoint of dualtape.integrate outside"
)
_COUNTERPARTS = {
    ("scipy.integrate", "quad"): (
        "dualtape.integrate.quad(g, a, b, args=(...)) with all that varies in g among args: "
        "g(t, *args)"
    ),
    **{("scipy.optimize", n): _ROOT for n in ("bisect", "brentq", "newton", "fixed_point")},
    **{
        ("scipy.optimize", n): _ROOT.format(name="brentq")
        for n in ("brenth", "ridder", "toms748", "root_scalar")
    },
    ("scipy.optimize", "root"): _SYSTEM,
    ("scipy.optimize", "fsolve"): _SYSTEM,
    ("scipy.optimize", "minimize"): (
        "dualtape.implicit_minimum(f)(x0, *args), which has the derivative of the minimum"
    ),
    ("scipy.integrate", "odeint"): _ODE,
    ("scipy.integrate", "solve_ivp"): _ODE,
}
"""What to call instead of a function: by package and name."""


def _refuse_counterpart(function: Any, loc: Any) -> None:
    """Raise if a function of SciPy has a counterpart here, which is to be called instead."""
    module = str(getattr(function, "__module__", ""))
    if not module.startswith(("scipy.integrate", "scipy.optimize")):
        return
    package = ".".join(module.split(".")[:2])
    name = getattr(function, "__name__", "")
    instead = _COUNTERPARTS.get((package, name))
    if instead is not None:
        where = f"line {loc.line} of {loc.filename}" if loc is not None else "the function"
        raise MissingRuleError(
            f"{where} calls {package}.{name}, which Numba cannot compile; call "
            f"{instead.format(name=name)}."
        )


def rule_of_scipy(function: Any, loc: Any, make_twin: Callable[[Any], Any]) -> Any:
    """Return the rule of a function of `scipy.special`, or the twin of what is made of rules.

    None for what is no function of SciPy.
    """
    if "scipy.special" in sys.modules and callable(function):
        special = sys.modules["scipy.special"]
        name = getattr(function, "__name__", "")
        if getattr(special, name, None) is function and getattr(np, name, None) is not function:
            return _special_rule(function, name, loc, make_twin)
    _refuse_counterpart(function, loc)
    return None


@functools.cache
def _made_of_rows() -> Any:
    """Register the special functions, also for the compilation that is under way."""
    from . import special_compositions  # see `arrays.special_rows`

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    return special_compositions


def _special_rule(function: Any, name: str, loc: Any, make_twin: Callable[[Any], Any]) -> Any:
    made = _made_of_rows()
    if name in made.BY_TYPE:
        return made.BY_TYPE[name]
    if name in made.COMPOSED:
        return make_twin(made.COMPOSED[name])
    special = sys.modules["scipy.special"]
    for rule in RULES.values():
        if any(getattr(special, alias, None) is function for alias in rule.scipy):
            return rule
    where = f"line {loc.line} of {loc.filename}" if loc is not None else "the function"
    instead = made.REFUSED.get(name, "give it one with dualtape.custom_rule")
    raise MissingRuleError(
        f"{where} calls scipy.special.{name}, which has no derivative rule; {instead}."
    )
