"""What a rule is: a jet, the functions it differentiates, and the data needed to test it.

A jet is a plain Python function that returns a value with its first and second derivatives.
This module contains no mathematics and depends on no number type; the rules are in `table`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature
from math import inf, isfinite
from typing import Any, TypeAlias

Number: TypeAlias = Any
"""A float, or any number type that has rules: an operand of a jet."""
Jet1: TypeAlias = tuple[Number, Number, Number]
"""Value, first and second derivative of a function of one argument."""
Jet2: TypeAlias = tuple[Number, Number, Number, Number, Number, Number]
"""``(f, fx, fy, fxx, fxy, fyy)`` of a function of two arguments."""
Interval: TypeAlias = tuple[float, float]
Point: TypeAlias = tuple[float, ...]

REALS: Interval = (-inf, inf)


@dataclass(frozen=True, eq=False)
class Rule:
    """The derivatives of one elementary function, and where they hold.

    Calling a rule computes the value for floats and applies the rule to any other number, so inside
    the table a jet may call a function by its own name even if NumPy has no function of that name.

    Attributes
    ----------
    name : str
        NumPy's name of the function where NumPy has it, otherwise SciPy's.
    jet : callable
        ``jet(x) -> (f, f1, f11)`` or ``jet(x, y) -> (f, fx, fy, fxx, fxy, fyy)``, each after
        the parameters.
    value : callable
        The function on floats alone; Numba can compile it.
    arity : int
        Number of arguments.
    parameters : int
        How many of the first arguments have no derivative; the jet is that by the other one or
        two, and the value alone if there are none.
    targets : tuple of callable
        The functions of `math`, `numpy` and `builtins` that this rule differentiates.
    scipy : tuple of str
        Names in `scipy.special` that this rule differentiates.
    domain : tuple of interval
        Per argument, the closed interval outside which value and derivatives are NaN.
    sample : tuple of tuple of interval
        Per argument, the intervals where tests draw points.
    kinks : mapping
        Point -> gradient chosen there; one-sided derivatives differ.
    special : mapping
        Point -> the jet there, exactly; None for entries that are not promised.
    flat, linear : bool
        Both derivatives vanish everywhere; the second derivatives do.
    singular : bool
        A derivative can be infinite or NaN at a point of the domain, so a partial that is exactly
        zero must be kept zero rather than multiplied.
    ulps : tuple of float
        Largest error of first and second derivatives, in units in the last place.
    doc : str
        One line, if the name does not say enough.
    """

    name: str
    jet: Callable[..., Any]
    value: Callable[..., float]
    arity: int
    targets: tuple[Callable[..., Any], ...]
    scipy: tuple[str, ...]
    domain: tuple[Interval, ...]
    sample: tuple[tuple[Interval, ...], ...]
    kinks: Mapping[Point, Point]
    special: Mapping[Point, tuple[float | None, ...]]
    flat: bool
    linear: bool
    singular: bool
    ulps: tuple[float, float]
    doc: str
    parameters: int = 0

    def __call__(self, *args: Number) -> Number:
        """Apply the rule to the number of the highest level, or compute the value of floats."""
        top = max(args, key=lambda arg: getattr(arg, "level", 0))
        if hasattr(top, "_apply_rule"):
            return top._apply_rule(self, args)
        return float(self.value(*args))

    @property
    def actives(self) -> int:
        """Number of arguments by which there are derivatives."""
        return self.arity - self.parameters

    def no_derivative_by(self, position: int) -> str:
        """Return why there is no derivative by an argument, and what to do."""
        name = list(signature(self.jet).parameters)[position]
        function = f"scipy.special.{self.scipy[0]}" if self.scipy else self.doc or self.name
        return (
            f"{function} has no derivative by its argument {name} here (no closed form that is "
            f"accurate is known): pass dualtape.value({name}) where it counts as constant, or "
            f"give a function of your own a rule with dualtape.custom_rule"
        )

    def __repr__(self) -> str:
        return f"<Rule {self.name}>"


RULES: dict[str, Rule] = {}
"""Every rule of the table by its name, in the order of the table."""


def rule(
    *targets: Callable[..., Any],
    value: Callable[..., float] | None = None,
    scipy: tuple[str, ...] = (),
    parameters: int = 0,
    domain: Any = None,
    sample: Any,
    kinks: Mapping[Any, Any] | None = None,
    special: Mapping[Any, tuple[float | None, ...]] | None = None,
    flat: bool = False,
    linear: bool = False,
    singular: bool | None = None,
    ulps: tuple[float, float] = (4, 16),
    doc: str = "",
) -> Callable[[Callable[..., Any]], Rule]:
    """Turn a jet into a `Rule` of the same name and enter it in `RULES`.

    Parameters are the attributes of `Rule`, with these shorthands: `value` defaults to the first
    target, `domain` to all reals; for a function of one argument, `domain` is one interval, points
    and chosen derivatives are plain floats; a `sample` of one interval need not be wrapped. A row
    is `singular` by default if a special point has a derivative that is not finite.

    Raises
    ------
    ValueError
        If the name is in use, or the jet does not have one or two arguments.
    """

    def register(jet: Callable[..., Any]) -> Rule:
        name = jet.__name__
        arity = len(signature(jet).parameters)
        if name in RULES:
            raise ValueError(f"rule {name!r} exists already; a function has one rule")
        if arity - parameters not in (1, 2) and arity != parameters:
            raise ValueError(f"jet {name!r} takes {arity - parameters} arguments; expected 1 or 2")
        points = {_point(x): expected for x, expected in (special or {}).items()}
        row = Rule(
            name=name,
            jet=jet,
            value=value or targets[0],
            arity=arity,
            parameters=parameters,
            targets=targets,
            scipy=scipy,
            domain=(REALS,) * arity if domain is None else _intervals(domain),
            sample=(_intervals(sample),) if arity == 1 else tuple(map(_intervals, sample)),
            kinks={_point(x): _point(gradient) for x, gradient in (kinks or {}).items()},
            special=points,
            flat=flat,
            linear=linear,
            singular=_has_infinite(points) if singular is None else singular,
            ulps=ulps,
            doc=doc,
        )
        RULES[name] = row
        return row

    return register


def _intervals(spec: Any) -> tuple[Interval, ...]:
    return tuple(spec) if isinstance(spec[0], tuple) else (spec,)


def _has_infinite(special: Mapping[Point, tuple[float | None, ...]]) -> bool:
    return any(d is not None and not isfinite(d) for jet in special.values() for d in jet[1:])


def _point(spec: Any) -> Point:
    return spec if isinstance(spec, tuple) else (spec,)
