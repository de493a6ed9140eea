"""Where rules meet number types, and only here.

Operators, comparisons and every function of the rule table are registered for active numbers: a
typing template gives the result's type, the lowering runs the number's own methods on emitted
values (`emitted`).  ``np.sin``, ``math.sin`` and the rule object `table.sin` itself lead to the
same row.  Templates with direct lowering keep compile times low: no operation runs Numba's
compiler.  Results are converted to their type by ``unwrap``; where that is a number with a row,
`pack` of `tracked` records the expression.
Templates come before the generic ones, so that jitclass's own operator overloads are not
tried first.
"""

from __future__ import annotations

import builtins
import functools
import math
import operator
from collections.abc import Callable
from types import FunctionType
from typing import Any

import numpy as np
from numba.core import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import lower_builtin, register_jitable

from ..backend.templates import CPU_FIRST, type_global
from ..errors import NO_COMPLEX, IntegerConversionError, MissingRuleError
from ..rules import special_functions, table
from ..rules.rule import Rule
from ..rules.table import RULES
from .emitted import Emitted, call, find_emitted, quotient, unwrap, wrap
from .evaluation import level_of, primal
from .number import INTEGER_CONVERSION, LARGEST_UNROLLED_POWER
from .rule_values import register_value, value_of
from .types import (
    PLAIN,
    NumberType,
    cast,
    limit_slots,
    operation_type,
    present,
    promote,
    root,
    with_root,
)

# x**2 is a product, x**2.0 is not: these functions get integer operands unconverted.
WITH_INTEGERS = {operator.pow, operator.ipow, np.power, builtins.pow, builtins.round}
WITH_INTEGERS |= {np.round, np.around}


ELEMENTWISE: dict[Any, tuple[Callable[..., Any], Callable[..., Any]]] = {}
"""Functions of numbers, as (function on wrapped operands, type of the result)."""


class NumberTemplate(AbstractTemplate):
    """Types a call in which some argument is an active number and the others are plain."""

    metadata = CPU_FIRST
    result: Callable[..., Any]

    def generic(self, args: Any, kws: Any) -> Any:
        """Return the signature, or None where this is not our call."""
        args = [present(arg) for arg in args]
        if kws or not any(isinstance(arg, NumberType) for arg in args):
            return None
        if not all(isinstance(arg, (NumberType, *PLAIN)) for arg in args):
            return None
        args = limit_slots(tuple(args))
        result = type(self).result(self.context, args)
        return None if result is None else signature(result, *args)

    def get_impl_key(self, sig: Any) -> Any:
        """Keep our lowerings apart from Numba's own for the same function."""
        return (type(self).key, "number")


def register(target: Any, function: Any, result: Callable[..., Any] | None = None) -> None:
    """Let `target` work on active numbers in compiled code.

    Parameters
    ----------
    target : callable
        The function in the user's code: an operator, ``np.sin``, a rule.
    function : callable
        Takes wrapped operands, returns a wrapped result.
    result : callable, optional
        (typing context, argument types) -> result type; by default the promoted number type.
    """
    ELEMENTWISE[target] = (function, result or _operation)
    type_global(
        target,
        NumberTemplate,
        result=staticmethod(result or _operation),
        prefer_literal=target in WITH_INTEGERS,
    )
    lower_builtin((target, "number"), types.VarArg(types.Any))(
        _lowering(function, keeps_integers=target in WITH_INTEGERS)
    )


def _lowering(function: Callable[..., Any], *, keeps_integers: bool) -> Callable[..., Any]:
    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        compute = scalar_code(context, builder, function, sig.args, sig.return_type, keeps_integers)
        return compute(*args)

    return lower


def scalar_code(
    context: Any,
    builder: Any,
    function: Callable[..., Any],
    arg_types: Any,
    result: Any,
    keeps_integers: bool,
) -> Callable[..., Any]:
    """Return a function from LLVM operands to the LLVM value of ``function(*operands)``."""
    plain_types = [types.unliteral(ty) for ty in arg_types]
    float_type = root(result if isinstance(result, NumberType) else promote(plain_types))

    def compute(*values: Any) -> Any:
        operands = [
            operand(context, builder, ty, value, float_type)
            for ty, value in zip(arg_types, values, strict=True)
        ]
        if not keeps_integers:
            operands = [x.cast(float_type) if isinstance(x, Emitted) else x for x in operands]
        emitted = next(e for e in map(find_emitted, operands) if e is not None)
        return unwrap(function(*operands), result, emitted)

    return compute


def operand(context: Any, builder: Any, ty: Any, value: Any, float_type: Any) -> Any:
    """Wrap one operand; constant integers stay Python's, so that x**2 has a constant exponent."""
    if isinstance(ty, types.IntegerLiteral):
        return ty.literal_value
    if isinstance(ty, NumberType):
        target = with_root(ty, float_type)
        return wrap(context, builder, target, cast(context, builder, ty, target, value))
    return wrap(context, builder, ty, value)


def _operation(typing_context: Any, args: Any) -> Any:
    return operation_type([types.unliteral(arg) for arg in args])


def _power_type(typing_context: Any, args: Any) -> Any:
    """Return the type of x**y: the one of x for an integer y, as in Numba."""
    is_integer = isinstance(types.unliteral(args[1]), types.Integer | types.Boolean)
    return _operation(typing_context, args[:1] if is_integer else args)


def _boolean(typing_context: Any, args: Any) -> Any:
    return types.boolean


# Operators and comparisons.

INPLACE_OF = {
    operator.add: operator.iadd,
    operator.sub: operator.isub,
    operator.mul: operator.imul,
    operator.truediv: operator.itruediv,
    operator.floordiv: operator.ifloordiv,
    operator.mod: operator.imod,
    operator.pow: operator.ipow,
}
for _op, _inplace in INPLACE_OF.items():
    register(_op, _op, _power_type if _op is operator.pow else None)
    register(_inplace, _op, _power_type if _op is operator.pow else None)
for _unary in (operator.neg, operator.pos):
    register(_unary, _unary)
for _comparison, _same in {
    operator.lt: np.less, operator.le: np.less_equal, operator.gt: np.greater,
    operator.ge: np.greater_equal, operator.eq: np.equal, operator.ne: np.not_equal,
}.items():  # fmt: skip
    register(_comparison, _comparison, _boolean)
    register(_same, _comparison, _boolean)
for _ufunc, _operator in {
    np.add: operator.add,
    np.subtract: operator.sub,
    np.multiply: operator.mul,
    np.divide: quotient,
    np.negative: operator.neg,
    np.positive: operator.pos,
    np.conjugate: operator.pos,
}.items():
    register(_ufunc, _operator)


class _DivmodTemplate(NumberTemplate):
    """The quotient and the remainder, each with the error model of the calling function."""

    result = staticmethod(lambda _, args: types.UniTuple(_operation(_, args), 2))


@lower_builtin((divmod, "number"), types.VarArg(types.Any))
def _lower_divmod(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    parts = [
        scalar_code(context, builder, op, sig.args, sig.return_type.dtype, False)(*args)
        for op in (operator.floordiv, operator.mod)
    ]
    return context.make_tuple(builder, sig.return_type, parts)


type_global(divmod, _DivmodTemplate)


# Rules, under every name a user may call them by.


def _never_of_parameters(rule: Rule) -> Callable[..., Any]:
    def result(typing_context: Any, args: Any) -> Any:
        for i in range(rule.parameters):
            if isinstance(args[i], NumberType):
                raise MissingRuleError(rule.no_derivative_by(i))
        return _operation(typing_context, args)

    return result


def _function_of(rule: Rule) -> Callable[..., Any]:
    def apply(*args: Any) -> Any:
        args = tuple(_literal_as_float(arg) for arg in args)
        return rule(*args)

    return apply


def _literal_as_float(arg: Any) -> Any:
    return float(arg) if isinstance(arg, int) else arg


def register_rule(rule: Rule) -> None:
    """Make a rule callable in compiled code, by its own name and by its targets."""
    register_value(rule)
    result = _never_of_parameters(rule) if rule.parameters else None
    register(rule, _function_of(rule), result)
    for target in rule.targets:
        if target not in (max, min, np.power):
            register(target, _function_of(rule))


for _function in vars(special_functions).values():
    if isinstance(_function, FunctionType) and _function.__module__ == special_functions.__name__:
        register_jitable(_function)
for _rule in RULES.values():
    register_rule(_rule)
register(builtins.pow, operator.pow, _power_type)


def _power(x: Any, y: Any) -> Any:
    """Return np.power: unlike x**y it never raises, and its value is not computed by products."""
    if not isinstance(y, int) or abs(y) > LARGEST_UNROLLED_POWER:
        return table.power(x, _literal_as_float(y))
    if isinstance(x, Emitted):
        return call(np.power, x, x.constant(y))
    return x.integer_power(y, quotient).with_value(_power(x.value, y))


register(np.power, _power, _power_type)


def _on_any(rule: Rule, *args: Any) -> Any:
    """Apply a rule to operands that may all be passive."""
    args = tuple(_literal_as_float(arg) for arg in args)
    if any(isinstance(arg, Emitted) for arg in args) and not any(map(level_of, args)):
        return call(value_of(rule), *args)
    return rule(*args)


def _reduction(rule: Rule) -> Callable[..., Any]:
    return lambda *args: functools.reduce(functools.partial(_on_any, rule), args)


register(max, _reduction(table.builtin_max))
register(min, _reduction(table.builtin_min))


def _clip(x: Any, low: Any, high: Any) -> Any:
    return _on_any(table.minimum, _on_any(table.maximum, x, low), high)


register(np.clip, _clip)


# Functions that are locally constant: they look at the primal.


def _of_primal(target: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    def function(x: Any, *others: Any) -> Any:
        return call(target, primal(x), *others)

    def result(typing_context: Any, args: Any) -> Any:
        plain = (root(args[0]), *map(types.unliteral, args[1:]))
        return typing_context.resolve_function_type(target, plain, {}).return_type

    return function, result


_LOCALLY_CONSTANT = (
    math.isnan, math.isinf, math.isfinite, np.isnan, np.isinf, np.isfinite, np.signbit,
    math.floor, math.ceil, math.trunc, int,
)  # fmt: skip
for _target in _LOCALLY_CONSTANT:
    register(_target, *_of_primal(_target))


class _WhereTemplate(NumberTemplate):
    """np.where(condition, x, y) selects; it never blends, so a value not taken is not used."""

    result = staticmethod(lambda _, args: promote([types.unliteral(arg) for arg in args[1:]]))


@lower_builtin((np.where, "number"), types.VarArg(types.Any))
def _lower_where(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    condition = context.is_true(builder, sig.args[0], args[0])
    x, y = (
        context.cast(builder, value, ty, sig.return_type)
        for value, ty in zip(args[1:], sig.args[1:], strict=True)
    )
    return builder.select(condition, x, y)


type_global(np.where, _WhereTemplate)


def _round(x: Any, digits: Any = None) -> Any:
    if digits is None:
        return call(round, primal(x))
    digits = digits if isinstance(digits, Emitted) else integer_constant(find_emitted(x), digits)
    return call(round, primal(x), digits)


def integer_constant(emitted: Any, value: int) -> Emitted:
    """Return an integer constant of the code that an emitted value belongs to."""
    constant = emitted.context.get_constant(types.intp, value)
    return Emitted(emitted.context, emitted.builder, types.intp, constant)


def _round_result(typing_context: Any, args: Any) -> Any:
    return types.int64 if len(args) == 1 else _operation(typing_context, args[:1])


def _round_result_float(typing_context: Any, args: Any) -> Any:
    return _operation(typing_context, args[:1])


register(round, _round, _round_result)
for _rounding in (np.round, np.around):
    register(_rounding, lambda x, digits=0: _round(x, digits), _round_result_float)


def primal_is_true(x: Any) -> Any:
    """Return whether the primal is not zero (NaN is true, as in Python)."""
    return x.decided(call(operator.ne, primal(x), 0.0))


register(bool, primal_is_true, _boolean)
register(operator.truth, primal_is_true, _boolean)
register(operator.not_, lambda x: x.decided(call(operator.eq, primal(x), 0.0)), _boolean)
register(float, lambda x: x, lambda _, args: with_root(args[0], types.float64))


def _refuse_integer(typing_context: Any, args: Any) -> Any:
    raise IntegerConversionError(INTEGER_CONVERSION)


register(range, lambda *args: args[0], _refuse_integer)


def _refuse_complex(typing_context: Any, args: Any) -> Any:
    raise MissingRuleError(f"complex() of an active number: {NO_COMPLEX}")


register(complex, lambda *args: args[0], _refuse_complex)


def value(x: Any) -> Any:
    """Return the primal of `x`: the plain value, without any derivative.

    What depends on ``value(x)`` is constant to every derivative, so it is also the way to stop a
    gradient.

    Parameters
    ----------
    x : float or number
        Plain values pass unchanged.

    Examples
    --------
    >>> import dualtape as ad
    >>> ad.value(ad.VectorDual(3.0, [1.0]))
    3.0
    """
    return primal(x)


register(value, primal, lambda typing_context, args: root(args[0]))
PRIMAL_ONLY = {value, *_LOCALLY_CONSTANT}
PRIMAL_ONLY |= {target for target, (_, result) in ELEMENTWISE.items() if result is _boolean}
"""Functions with plain results, for which the derivatives of operands do not matter."""


@infer_global(value)
class _ValueOfPlain(AbstractTemplate):
    def generic(self, args: Any, kws: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], PLAIN):
            return signature(args[0], args[0])
        return None


@lower_builtin(value, types.Any)
def _lower_value_of_plain(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    return args[0]
