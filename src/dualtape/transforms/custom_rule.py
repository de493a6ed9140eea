"""Derivative rules for functions of one's own, or of libraries that have none here."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from math import inf
from typing import Any

from numba.core.dispatcher import Dispatcher

from ..backend.jit import compiled
from ..errors import ArgumentError
from ..functions.libraries import CUSTOM_RULES
from ..functions.memo import CollectableDispatcher
from ..numbers.mapped import map_rule
from ..numbers.registration import register_rule
from ..rules.rule import Rule
from ..twin.constants import is_user_function


def custom_rule(function: Callable[..., Any], jet: Callable[..., Any]) -> Callable[..., Any]:
    """Give a function of one or two numbers a derivative rule.

    Wherever a differentiated function calls `function`, the jet supplies value and derivatives;
    `function` itself is not compiled and need not be known to Numba.

    Parameters
    ----------
    function : callable
        What users' code calls: a Python or njit function, a NumPy or SciPy ufunc.
    jet : function
        ``jet(x) -> (f, f1, f11)``: value, first and second derivative; or
        ``jet(x, y) -> (f, fx, fy, fxx, fxy, fyy)``.  Plain code that Numba compiles; built of
        functions with rules, it can itself be differentiated (third and higher derivatives).

    Returns
    -------
    callable
        `function`, unchanged.

    Raises
    ------
    ArgumentError
        If the jet takes another number of arguments than one or two.

    Notes
    -----
    Derivatives compiled before are compiled again at their next call from Python.
    A partial that is exactly zero stays zero through the rule, also where a derivative is infinite.

    Examples
    --------
    >>> import math, dualtape as ad
    >>> def softplus(x):
    ...     return math.log(1.0 + math.exp(x))  # overflows at x = 710
    >>> def softplus_jet(x):
    ...     s = 1.0 / (1.0 + math.exp(-x))
    ...     return max(x, 0.0) + math.log1p(math.exp(-abs(x))), s, s * (1.0 - s)
    >>> softplus = ad.custom_rule(softplus, softplus_jet)
    >>> ad.derivative(lambda x: softplus(x))(800.0)
    1.0
    """
    arity = len(inspect.signature(getattr(jet, "py_func", jet)).parameters)
    if arity not in (1, 2):
        raise ArgumentError(f"custom_rule: the jet takes {arity} arguments; expected 1 or 2")
    if getattr(function, "__module__", "") == "numpy.linalg":
        raise ArgumentError(
            f"custom_rule: np.linalg.{function.__name__} works on matrices, and a rule is for a "
            "function of one or two numbers."
        )
    plain_jet = jet.py_func if isinstance(jet, Dispatcher) else jet
    compiled_jet = compiled(plain_jet)

    def value_of_one(x: Any) -> Any:
        return compiled_jet(x)[0]

    def value_of_two(x: Any, y: Any) -> Any:
        return compiled_jet(x, y)[0]

    interval = (-inf, inf)
    rule = Rule(
        name=getattr(function, "__name__", "function"),
        jet=plain_jet,
        value=value_of_one if arity == 1 else value_of_two,
        arity=arity,
        targets=(),
        scipy=(),
        domain=(interval,) * arity,
        sample=((interval,),) * arity,
        kinks={},
        special={},
        flat=False,
        linear=False,
        singular=True,
        ulps=(inf, inf),
        doc="custom rule",
    )
    register_rule(rule)
    map_rule(rule)
    is_known = function in CUSTOM_RULES or hasattr(function, "_dualtape_memory")
    CUSTOM_RULES[function] = rule
    if is_known or not is_user_function(function):  # earlier derivatives may use it otherwise
        for derivative in list(CollectableDispatcher.alive):
            derivative.forget()
    return function
