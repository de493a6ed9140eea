"""Functions of SciPy in differentiated functions: rules of special functions, and counterparts."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from ..errors import MissingRuleError
from ..numbers.registration import SCIPY
from ..rules.rule import Rule

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


def rule_of_scipy(function: Any, loc: Any) -> Rule | None:
    """Return the rule of a function of `scipy.special`; None for what is no function of SciPy."""
    if not isinstance(function, np.ufunc):
        _refuse_counterpart(function, loc)
        return None
    return _special_rule(function, loc) if "scipy.special" in sys.modules else None


def _special_rule(ufunc: Any, loc: Any) -> Rule | None:
    special = sys.modules["scipy.special"]
    name = ufunc.__name__
    if getattr(special, name, None) is not ufunc or getattr(np, name, None) is ufunc:
        return None
    for alias, rule in SCIPY.items():
        if getattr(special, alias, None) is ufunc:
            return rule
    where = f"line {loc.line} of {loc.filename}" if loc is not None else "the function"
    raise MissingRuleError(
        f"{where} calls scipy.special.{name}, which has no derivative rule; "
        f"give it one with dualtape.custom_rule."
    )
