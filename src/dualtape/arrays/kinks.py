"""Derivatives where one-sided ones differ: ties, and norms of vectors that begin with zeros.

A tie of several elements has the derivative of least norm, which is the mean of theirs.  The value
is that of any of them, not a mean of values: with infinities that would be NaN.

A norm is a chain of `hypot`, and hypot(0, 0) is a kink with derivative 0.  A chain that begins with
zeros would lose the second derivatives by each of them: those of ``norm((0, 3))`` are diag(1/3, 0).
So it begins with another element.

Squares of kinks are smooth.  `analysis.squares` finds them and lets the twin compute such a square
from the operands of the kink, by a function of this file, with the value that it has in the plain
function, by `smooth`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import imputils, types
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from ..backend.jit import by_type, kernel
from ..backend.templates import type_global
from ..numbers.access import element_like
from ..numbers.emitted import strong
from ..numbers.evaluation import level_of, primal
from ..numbers.registration import register, value
from ..numbers.types import NumberType, highest_number, operation_type

TINY = 1e-290  # the reciprocal of smaller numbers may overflow


def mean_of_ties(mean: Any, x: Any, count: Any) -> Any:
    """Return the mean of `count` tied elements: `x` and the mean of the others (compiled only)."""
    raise NotImplementedError


def _mean_of_ties(mean: Any, x: Any, count: Any) -> Any:
    if not level_of(mean):
        return mean
    weight = 1.0 / count
    entries = _mean_of_ties(mean.value, x.value, count), 1.0 - weight, weight, None, None, None
    return mean.lift2(x, entries)


register(mean_of_ties, _mean_of_ties)


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
    """Return the same norm, computed from the element `first` on."""
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
    """Return the primal of the norm."""
    h = 0.0
    for x in a.flat:
        h = np.hypot(h, value(x))
    return h


@kernel
def leader(a: Any) -> int:
    """Return the index of the first element that is not tiny, else of the largest."""
    index, largest = 0, 0.0
    for i, x in enumerate(a.flat):
        size = np.abs(value(x))
        if not size <= TINY:
            return i
        if size > largest:
            index, largest = i, size
    return index


# Squares of kinks (compiled code only). They are not needed for plain values, for which they return
# the first operand.


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


@by_type
def norm_without_derivative(a: Any) -> Any:
    """Return the primal of the norm of a vector, or of the Frobenius norm of a matrix."""
    is_active = isinstance(a, types.Array) and isinstance(a.dtype, NumberType)
    return euclidean_value if is_active else lambda a: np.linalg.norm(a)


def square_of_deviation(a: Any) -> Any:
    """Return the variance of all elements."""
    raise NotImplementedError


def smooth(power: Any, same: Any) -> Any:
    """Return the value of `power` with the derivatives of `same`."""
    raise NotImplementedError


def _square(x: Any) -> Any:
    return x.integer_power(2, watched=True) if level_of(x) else x * x


def _square_of_root(x: Any) -> Any:
    plain = primal(x)
    is_real = plain.builder.fcmp_ordered(">=", plain.ir, plain.zero().ir)
    one, nan = (ir.Constant(plain.ir.type, v) for v in (1.0, float("nan")))
    factor = plain._like(plain.builder.select(is_real, one, nan))
    return x.lift1(x.value, factor, None, strong)


def _smooth(power: Any, same: Any) -> Any:
    if not level_of(same):
        return power
    inner = power.value if level_of(power) == same.level else power
    return same.with_value(_smooth(inner, same.value))


def _like_same(typing_context: Any, args: Any) -> Any:
    return operation_type([args[1]]) if isinstance(args[1], NumberType) else None


class _FirstOperand(AbstractTemplate):
    """Types calls without derivatives."""

    def generic(self, args: Any, kws: Any) -> Any:
        last = args[-1] if type(self).key is smooth else types.Tuple(args)
        return None if highest_number(last) is not None else signature(args[0], *args)

    def get_impl_key(self, sig: Any) -> Any:
        return (type(self).key, "plain")


def _first_operand(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return imputils.impl_ret_borrowed(context, builder, sig.return_type, args[0])


register(square_of_absolute, _square)
register(square_of_root, _square_of_root)
register(square_of_hypot, lambda x, y: _square(x) + _square(y))
register(smooth, _smooth, _like_same)
for _function in (
    square_of_absolute, square_of_root, square_of_hypot, square_of_norm, square_of_deviation, smooth
):  # fmt: skip
    type_global(_function, _FirstOperand)
    lower_builtin((_function, "plain"), types.VarArg(types.Any))(_first_operand)
