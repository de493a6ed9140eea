"""The strong zero at the price of one comparison: careful products only where they are needed.

A partial that is exactly zero stays zero beside an infinite or NaN factor (`emitted.strong`).
Where all factors are finite the ordinary product gives the same, so an operation on numbers tests
once whether they are.  The careful formula is a separate function of the module, one for each
operation and type: it hardly ever runs, and should neither be compiled again for every product of
the user's code nor take registers from it.
"""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types

from .emitted import Emitted, EmittedPartials, find_emitted, strong, type_of, unwrap, wrap
from .evaluation import level_of


def watchful(partial: Any, factor: Any) -> Any:
    """Multiply by a factor that is infinite only by overflow or because an operand is.

    Numbers that carry partials forward are `guarded` against it; where rows are recorded the zeros
    are adjoints, and the sweep takes care of them.
    """
    top = max(partial, factor, key=level_of)
    if level_of(top):
        return top.watched_times(factor if top is partial else partial)
    return partial * factor


def guarded(
    compute: Callable[..., Any], unbounded: tuple[Any, ...], operands: tuple[Any, ...]
) -> Any:
    """Return ``compute(product, *operands)``, whose product is `strong` unless all is finite.

    Parameters
    ----------
    compute : callable
        A formula on derivatives that returns a tuple of them; it has no closure.
    tested : tuple
        Factors that may be infinite or NaN; None is skipped.
    operands : tuple
        Values, derivatives, or None.
    """
    emitted = next((e for e in map(find_emitted, operands) if e is not None), None)
    if emitted is None or any(map(_has_rows, operands)):
        return compute(strong, *operands)
    ordinary = compute(operator.mul, *operands)
    flag = _not_finite(emitted, unbounded)
    if flag is None:
        return ordinary
    builder = emitted.builder
    slot_types = [type_of(slot) for slot in ordinary]
    values = [unwrap(slot, ty, emitted) for slot, ty in zip(ordinary, slot_types, strict=True)]
    entry = builder.block
    with cgutils.if_unlikely(builder, flag):
        results = _call_careful(emitted, compute, operands, slot_types)
        careful_values = [builder.extract_value(results, i) for i in range(len(values))]
        careful = builder.block
    phis = [builder.phi(value.type) for value in values]
    for phi, value, other in zip(phis, values, careful_values, strict=True):
        phi.add_incoming(value, entry)
        phi.add_incoming(other, careful)
    pairs = zip(slot_types, phis, strict=True)
    return tuple(wrap(emitted.context, builder, ty, phi) for ty, phi in pairs)


def _has_rows(value: Any) -> bool:
    """Whether a value consists of numbers with rows: these are recorded where they are computed."""
    ty = None if value is None else type_of(value)
    while ty is not None and not getattr(ty, "slots", 0):
        ty = getattr(ty, "base", None)
    return ty is not None


def _not_finite(emitted: Any, unbounded: tuple[Any, ...]) -> Any:
    """Return a flag that is set if a factor is infinite or NaN, or None if none can be.

    Floats are added up first: a sum is finite only if all of it is.
    """
    builder, total, flags = emitted.builder, None, []
    for value in _floats(unbounded):
        if isinstance(value, float | int):
            if not math.isfinite(value):
                return cgutils.true_bit
        elif isinstance(value, EmittedPartials):
            flags.append(_any_not_finite(builder, value))
        elif isinstance(value.type, types.Float):
            total = value if total is None else total + value
    if total is not None:
        flags.append(builder.fcmp_unordered("!=", *_difference(builder, total.ir)))
    if not flags:
        return None
    flag = flags[0]
    for other in flags[1:]:
        flag = builder.or_(flag, other)
    return flag


def _floats(values: Any) -> Any:
    """Iterate over the floats and vectors of floats in numbers and partials."""
    for value in values:
        if isinstance(value, EmittedPartials) and not value.type.is_vector:
            yield from _floats(value.lanes())
        elif isinstance(value, Emitted | EmittedPartials | float | int):
            yield value
        elif value is not None:
            yield from _floats(getattr(value, name) for name in value.FIELDS)


def _difference(builder: Any, value: Any) -> Any:
    """Return x - x and 0, which are equal where x is finite."""
    return builder.fsub(value, value), ir.Constant(value.type, None)


def _any_not_finite(builder: Any, partials: EmittedPartials) -> Any:
    lanes = builder.fcmp_unordered("!=", *_difference(builder, partials.ir))
    bits = ir.IntType(partials.type.n)
    return builder.icmp_unsigned("!=", builder.bitcast(lanes, bits), ir.Constant(bits, 0))


def _call_careful(
    emitted: Any, compute: Any, operands: tuple[Any, ...], slot_types: list[Any]
) -> Any:
    """Call the careful formula; return its results in one value."""
    context, builder = emitted.context, emitted.builder
    operands = tuple(
        Emitted(context, builder, types.float64, ir.Constant(ir.DoubleType(), float(x)))
        if isinstance(x, float | int)
        else x
        for x in operands
    )
    arg_types = [None if x is None else type_of(x) for x in operands]
    pairs = [(x, ty) for x, ty in zip(operands, arg_types, strict=True) if ty is not None]
    args = [unwrap(x, ty, emitted) for x, ty in pairs]
    result = ir.LiteralStructType([context.get_value_type(ty) for ty in slot_types])
    name = f"{compute.__module__}.{compute.__qualname__} {arg_types} {slot_types}"
    name = f"dualtape_strong_{hashlib.sha256(name.encode()).hexdigest()[:32]}"
    function = builder.module.globals.get(name)
    if function is None:
        signature = ir.FunctionType(result, [arg.type for arg in args])
        function = ir.Function(builder.module, signature, name)
        function.linkage = "internal"
        for attribute in ("noinline", "cold", "nounwind"):
            function.attributes.add(attribute)
        _define(context, function, compute, arg_types, slot_types)
    return builder.call(function, args)


def _define(
    context: Any, function: Any, compute: Any, arg_types: list[Any], slot_types: list[Any]
) -> None:
    builder = ir.IRBuilder(function.append_basic_block("entry"))
    args = iter(function.args)
    operands = [None if ty is None else wrap(context, builder, ty, next(args)) for ty in arg_types]
    emitted = next(e for e in map(find_emitted, operands) if e is not None)
    results = ir.Constant(function.return_value.type, ir.Undefined)
    for i, (slot, ty) in enumerate(zip(compute(strong, *operands), slot_types, strict=True)):
        results = builder.insert_value(results, unwrap(slot, ty, emitted), i)
    builder.ret(results)
