"""Where one-sided derivatives differ: ties, and norms of vectors that begin with zeros.

A tie of several elements has the derivative of least norm, which is the mean of theirs.  The value
is any of theirs, not a mean of values: with infinities that would be NaN.

A norm is a chain of `hypot`, and hypot(0, 0) is a kink with derivative 0.  Begun at a zero, the
chain would lose the second derivatives by every zero that it meets before its first other
element: those of ``norm((0, 3))`` are diag(1/3, 0).  So it begins with another element.

Squares of kinks are smooth.  What a square is of is found by `squares`, which lets the twin compute
it from the operands of the kink, by a function of this file, and gives it the value that it has in
the plain function, by `smooth`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import imputils, types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ._jit import kernel, specialized
from .elementary import register, type_global, value
from .emit import strong
from .jets import level_of, primal
from .numbertype import NumberType, highest_number, operation_type
from .seed import element_like

__all__ = [
    "euclidean",
    "norm_without_derivative",
    "smooth",
    "square_of_absolute",
    "square_of_deviation",
    "square_of_hypot",
    "square_of_norm",
    "square_of_root",
    "tied",
]

TINY = 1e-290  # what is smaller has a reciprocal that may overflow


def tied(mean: Any, x: Any, count: Any) -> Any:
    """Return the mean of `count` tied elements: `x` and the mean of the others (compiled only)."""
    raise NotImplementedError


def _tied(mean: Any, x: Any, count: Any) -> Any:
    if not level_of(mean):
        return mean
    weight = 1.0 / count
    entries = _tied(mean.value, x.value, count), 1.0 - weight, weight, None, None, None
    return mean.lift2(x, entries)


register(tied, _tied)


@kernel
def euclidean(a: Any) -> Any:
    """Square root of the sum of squares; its derivative at zero is 0, the one of least norm."""
    h, begun, begins_tiny = element_like(a), False, False
    for x in a.flat:
        if not begun:
            begun, begins_tiny = True, np.abs(value(x)) <= TINY
        h = np.hypot(h, x)
    return euclidean_from(a, leader(a)) if begins_tiny else h


@kernel
def euclidean_from(a: Any, first: Any) -> Any:
    """Return the same, begun at the element of this index."""
    h = element_like(a)
    for i, x in enumerate(a.flat):
        if i == first:
            h = np.abs(x)
    for i, x in enumerate(a.flat):
        if i != first:
            h = np.hypot(h, x)
    return h


@kernel
def euclidean_value(a: Any) -> Any:
    """Primal of the same."""
    h = 0.0
    for x in a.flat:
        h = np.hypot(h, value(x))
    return h


@kernel
def leader(a: Any) -> int:
    """Return the index of the first element that is not tiny, else of the largest."""
    found, largest = 0, 0.0
    for i, x in enumerate(a.flat):
        size = np.abs(value(x))
        if not size <= TINY:
            return i
        if size > largest:
            found, largest = i, size
    return found


# Squares of kinks (compiled code only). Of plain values they are not needed, and are the first
# operand, whatever it is.


def square_of_absolute(x: Any) -> Any:
    """Return abs(x)**2."""
    raise NotImplementedError


def square_of_root(x: Any) -> Any:
    """Return sqrt(x)**2: x, and NaN where x is negative."""
    raise NotImplementedError


def square_of_hypot(x: Any, y: Any) -> Any:
    """Return hypot(x, y)**2."""
    raise NotImplementedError


def square_of_norm(a: Any) -> Any:
    """Return the sum of the squares of all elements."""
    raise NotImplementedError


def norm_without_derivative(a: Any) -> Any:
    """Return the primal of the norm of a vector, or of the Frobenius norm of a matrix."""
    raise NotImplementedError


@specialized(norm_without_derivative)
def _norm_without_derivative(a: Any) -> Any:
    is_active = isinstance(a, types.Array) and isinstance(a.dtype, NumberType)
    norm = euclidean_value if is_active else np.linalg.norm

    def without_derivative(a: Any) -> Any:
        return norm(a)

    return without_derivative


def square_of_deviation(a: Any) -> Any:
    """Return the variance of all elements."""
    raise NotImplementedError


def smooth(power: Any, same: Any) -> Any:
    """Return the value of `power` with the derivatives of `same`."""
    raise NotImplementedError


def _square(x: Any) -> Any:
    return x.integer_power(2, watched=True) if level_of(x) else x * x


def _root_squared(x: Any) -> Any:
    plain = primal(x)
    inside = plain.builder.fcmp_ordered(">=", plain.ir, plain.zero().ir)
    one, nan = (ir.Constant(plain.ir.type, v) for v in (1.0, float("nan")))
    factor = plain._like(plain.builder.select(inside, one, nan))
    return x.lift1(x.value, factor, None, strong)


def _smooth(power: Any, same: Any) -> Any:
    if not level_of(same):
        return power
    inner = power.value if level_of(power) == same.level else power
    return same.with_value(_smooth(inner, same.value))


def _like_same(typing_context: Any, args: Any) -> Any:
    return operation_type([args[1]]) if isinstance(args[1], NumberType) else None


class _FirstOperand(AbstractTemplate):
    """Types the call where nothing has a derivative."""

    def generic(self, args: Any, kws: Any) -> Any:
        last = args[-1] if type(self).key is smooth else types.Tuple(args)
        return None if highest_number(last) is not None else signature(args[0], *args)

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "plain")


def _first_operand(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return imputils.impl_ret_borrowed(context, builder, sig.return_type, args[0])


register(square_of_absolute, _square)
register(square_of_root, _root_squared)
register(square_of_hypot, lambda x, y: _square(x) + _square(y))
register(smooth, _smooth, _like_same)
for _function in (
    square_of_absolute, square_of_root, square_of_hypot, square_of_norm, square_of_deviation, smooth
):  # fmt: skip
    type_global(_function, _FirstOperand)
    lower_builtin((_function, "plain"), types.VarArg(types.Any))(_first_operand)
