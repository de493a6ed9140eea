"""Integrals that can be differentiated with respect to limits and parameters of the integrand.

From Python `quad` is SciPy's.  In compiled code and inside functions that are differentiated it is
an adaptive Gauss-Kronrod rule, in two steps: panels are chosen with plain numbers; then the rule is
applied to these panels with the numbers that the parameters are.  By Leibniz' rule

    d/dp of int_a^b f(x, p) dx = int_a^b df/dp dx + f(b, p) db/dp - f(a, p) da/dp:

the parameters are active in the sum, and the last terms come from integrals over [b0, b] and
[a0, a], where b0 is the primal of b: these have length zero, but their derivatives are f at the
limits, and with a Gauss rule of three points those of second to sixth order are correct, too.

R. Piessens et al., QUADPACK, Springer 1983 (the rule, the error estimate, the map for infinite
limits).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import integrate as scipy_integrate

from ..arrays.primal import primal_of
from ..backend.jit import kernel
from ..drivers.compose import compiled_function, composed
from ..drivers.dispatcher import Transform
from ..drivers.factory import checked_function, name_of
from ..drivers.nested import nestable
from ..functions.memo import current, remembered
from ..numbers.registration import value
from ..numbers.types import NumberType
from ..solvers.evaluation import explaining_errors
from ..twin.activation import twin

NODES = np.array(
    [
        0.995657163025808080735527280689003,
        0.973906528517171720077964012084452,
        0.930157491355708226001207180059508,
        0.865063366688984510732096688423493,
        0.780817726586416897063717578345042,
        0.679409568299024406234327365114874,
        0.562757134668604683339000099272694,
        0.433395394129247190799265943165784,
        0.294392862701460198131126603103866,
        0.148874338981631210884826001129720,
        0.0,
    ]
)
"""The nonnegative nodes of the Kronrod rule with 21 points; every second is one of Gauss' 10."""
KRONROD = np.array(
    [
        0.011694638867371874278064396062192,
        0.032558162307964727478818972459390,
        0.054755896574351996031381300244580,
        0.075039674810919952767043140916190,
        0.093125454583697605535065465083366,
        0.109387158802297641899210590325805,
        0.123491976262065851077958109585166,
        0.134709217311473325928054001771707,
        0.142775938577060080797094273138717,
        0.147739104901338491374841515972068,
        0.149445554002916905664936468389821,
    ]
)
GAUSS = np.array(
    [
        0.066671344308688137593568809893332,
        0.149451349150580593145863397657697,
        0.219086362515982043995534934228163,
        0.269266719309996355091226921569469,
        0.295524224714752870173815619188769,
    ]
)
"""Weights of Gauss' rule with 10 points."""
EDGE_NODES = np.array([0.5 - math.sqrt(0.15), 0.5, 0.5 + math.sqrt(0.15)])
EDGE_WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0

FINITE, UPWARD, DOWNWARD, LINE = 0, 1, 2, 3


def quad(
    f: Callable[..., Any],
    a: Any,
    b: Any,
    args: Any = (),
    full_output: Any = 0,
    epsabs: float = 1.49e-8,
    epsrel: float = 1.49e-8,
    limit: int = 50,
    *positional: Any,
    **options: Any,
) -> Any:
    """Integrate a function: `scipy.integrate.quad`, which can be differentiated.

    Parameters
    ----------
    f : function
        ``f(x, *args)``, plain Python or njit.
    a, b : float
        The limits; infinite ones are allowed. In compiled code they may be active.
    args : tuple
        Parameters of f, which may be active in compiled code.
    full_output, epsabs, epsrel, limit, *positional, **options
        As in SciPy. In compiled code there are only ``quad(f, a, b, args)`` and, by position,
        ``quad(f, a, b, args, 0, epsabs, epsrel, limit)``.

    Returns
    -------
    y, abserr
        As in SciPy; `full_output` has an effect in Python only.

    Raises
    ------
    UnsupportedFunctionError
        If f cannot be compiled.

    Notes
    -----
    The error estimate is that of the value; derivatives are integrated over the same panels. Cost:
    21 evaluations of f for every panel tried, and 21 with active numbers for every final panel.

    Examples
    --------
    >>> import numba, numpy as np, dualtape as ad
    >>> from dualtape.integrate import quad
    >>> @numba.njit
    ... def wave(x, p):
    ...     return np.sin(p * x)
    >>> def integral(b, p):
    ...     return quad(wave, 0.0, b, (p,))[0]
    >>> by_b, by_p = ad.grad(integral, (0, 1))(1.0, 2.0)
    >>> bool(abs(by_b - np.sin(2.0)) < 1e-14)
    True
    """
    with explaining_errors("quad"):
        args = args if isinstance(args, tuple) else (args,)
        compiled = compiled_function(current(f), "quad")

        def integrand(*arguments: Any) -> Any:  # interrupts are only raised in Python
            return compiled(*arguments)

        return scipy_integrate.quad(
            integrand,
            a,
            b,
            args,
            full_output,
            epsabs,
            epsrel,
            limit,
            *positional,
            **options,
        )


@kernel
def kind_of(a: Any, b: Any) -> Any:
    """Return how an interval is mapped to a finite one, and whether its limits are reversed."""
    if math.isinf(a) and math.isinf(b):
        return LINE, a > b
    if math.isinf(b):
        return (UPWARD if b > 0.0 else DOWNWARD), b < 0.0
    if math.isinf(a):
        return (DOWNWARD if a < 0.0 else UPWARD), a > 0.0
    return FINITE, b < a


def _rule(inner: Any) -> Any:
    """Return the twins of the integrand on a finite interval and of the choice of panels."""

    def transformed(t, kind, origin, args):  # type: ignore[no-untyped-def]
        """Return the integrand in the variable t of the finite interval."""
        if kind == FINITE:
            return inner(t, *args)
        distance = (1.0 - t) / t
        if kind == LINE:
            return (inner(distance, *args) + inner(-distance, *args)) / (t * t)
        x = origin + distance if kind == UPWARD else origin - distance
        return inner(x, *args) / (t * t)

    twin_transformed = twin(transformed)

    def panel(lo, hi, kind, origin, args):  # type: ignore[no-untyped-def]
        """Return Kronrod's integral and QUADPACK's estimate of its error."""
        center, half = 0.5 * (lo + hi), 0.5 * (hi - lo)
        values = np.empty(21)
        for i in range(10):
            values[2 * i] = twin_transformed(center - half * NODES[i], kind, origin, args)
            values[2 * i + 1] = twin_transformed(center + half * NODES[i], kind, origin, args)
        values[20] = twin_transformed(center, kind, origin, args)
        kronrod, gauss = KRONROD[10] * values[20], 0.0
        for i in range(10):
            pair = values[2 * i] + values[2 * i + 1]
            kronrod += KRONROD[i] * pair
            if i % 2 == 1:
                gauss += GAUSS[i // 2] * pair
        mean, variation = 0.5 * kronrod, KRONROD[10] * abs(values[20] - 0.5 * kronrod)
        for i in range(20):
            variation += KRONROD[i // 2] * abs(values[i] - mean)
        error, variation = abs(half * (kronrod - gauss)), abs(half) * variation
        if variation != 0.0 and error != 0.0:
            error = variation * min(1.0, (200.0 * error / variation) ** 1.5)
        return half * kronrod, error

    twin_panel = twin(panel)

    def panels(lo, hi, kind, origin, args, epsabs, epsrel, limit):  # type: ignore[no-untyped-def]
        """Halve the panel with the largest error until the sum is accurate enough."""
        edges = np.empty((max(limit, 1), 2))
        integrals = np.empty((max(limit, 1), 2))
        edges[0, 0], edges[0, 1] = lo, hi
        integrals[0, 0], integrals[0, 1] = twin_panel(lo, hi, kind, origin, args)
        count = 1
        while count < limit:
            total, error = np.sum(integrals[:count, 0]), np.sum(integrals[:count, 1])
            if error <= max(epsabs, epsrel * abs(total)):
                break
            worst = np.argmax(integrals[:count, 1])
            left, right = edges[worst, 0], edges[worst, 1]
            middle = 0.5 * (left + right)
            edges[worst, 1], edges[count, 0], edges[count, 1] = middle, middle, right
            for i in (worst, count):
                whole = twin_panel(edges[i, 0], edges[i, 1], kind, origin, args)
                integrals[i, 0], integrals[i, 1] = whole
            count += 1
        return edges[:count], np.sum(integrals[:count, 1])

    return twin_transformed, twin(panels)


def _integral(inner: Any, active: tuple[bool, bool]) -> Callable[..., Any]:
    """Return the compiled form of `quad`, given which limits are active."""
    transformed, panels = _rule(inner)
    by_lower, by_upper = active

    def integral(a, b, args=(), full_output=0, epsabs=1.49e-8, epsrel=1.49e-8, limit=50):  # type: ignore[no-untyped-def]
        start, end = value(a), value(b)
        kind, is_reversed = kind_of(start, end)
        lo, hi, origin = 0.0, 1.0, 0.0
        if kind == FINITE:
            lo, hi = min(start, end), max(start, end)
        elif kind != LINE:
            origin = end if math.isinf(start) else start
        edges, error = panels(lo, hi, kind, origin, primal_of(args), epsabs, epsrel, limit)
        total = 0.0
        for k in range(edges.shape[0]):
            center = 0.5 * (edges[k, 0] + edges[k, 1])
            half = 0.5 * (edges[k, 1] - edges[k, 0])
            part = KRONROD[10] * transformed(center, kind, origin, args)
            for i in range(10):
                step = half * NODES[i]
                pair = transformed(center - step, kind, origin, args) + transformed(
                    center + step, kind, origin, args
                )
                part += KRONROD[i] * pair
            total += half * part
        if is_reversed:
            total = -total
        if by_upper and not math.isinf(end):
            width = b - end
            for i in range(3):
                total += EDGE_WEIGHTS[i] * width * inner(end + EDGE_NODES[i] * width, *args)
        if by_lower and not math.isinf(start):
            width = a - start
            for i in range(3):
                total -= EDGE_WEIGHTS[i] * width * inner(start + EDGE_NODES[i] * width, *args)
        return total, error

    return integral


def quad_function(f: Any) -> Transform:
    """Return the compiled (a, b, args, ...) -> (integral, error) of an integrand."""
    function = checked_function(f, "quad")

    def make() -> Transform:
        integrals: dict[Any, Any] = {}

        def choose(packed: Any) -> Any:
            active = isinstance(packed[0], NumberType), isinstance(packed[1], NumberType)
            if active not in integrals:
                integrals[active] = _integral(twin(function), active)
            return integrals[active]

        return composed(choose, _quad_signature, (), f"quad({name_of(function)})")

    return remembered(function, "quad", make)


def _quad_signature(  # type: ignore[no-untyped-def]
    a, b, args=(), full_output=0, epsabs=1.49e-8, epsrel=1.49e-8, limit=50
) -> None: ...


def _called(made: Any) -> Any:
    return lambda f, a, b, args=(), full_output=0, epsabs=1.49e-8, epsrel=1.49e-8, limit=50: made(
        a, b, args, full_output, epsabs, epsrel, limit
    )


nestable(quad, quad_function, _called)
