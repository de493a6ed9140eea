"""Casts in the plain function, repeated in its twin.

A function with explicit signatures converts its arguments and its result:
``njit("float64(int64)")`` receives 2 for 2.7.  So do the types of variables in ``locals=``, and
``np.float32(x)``.  Numbers are converted like their values: to a number over another float type; or
to a plain integer, which is piecewise constant and has no derivative.
"""

from __future__ import annotations

from typing import Any

from numba.core import ir, types
from numba.extending import intrinsic

from ..errors import NO_COMPLEX, MissingRuleError, UnsupportedFunctionError
from ..numbers.emitted import unwrap, wrap
from ..numbers.evaluation import primal
from ..numbers.types import PLAIN, NumberType, plain_type, root, tuple_like, with_root
from .rewriting import call, call_on_result, load, new_variable, rewrite


@intrinsic
def cast_to(typingctx: Any, x: Any, target: Any) -> Any:
    """Convert to a Numba type, as a compiled function with that signature does."""
    x = getattr(x, "settled", x)
    return _converted_type(x, target.instance_type)(x, target), _cast_to


def _cast_to(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    target = sig.args[1].instance_type
    result = _converted(context, builder, sig.args[0], args[0], target)
    if context.enable_nrt:
        context.nrt.incref(builder, sig.return_type, result)
    return result


def _converted_type(ty: Any, target: Any) -> Any:
    """Return the type of a value converted to type `target`."""
    if isinstance(ty, NumberType):
        if isinstance(target, types.Complex):
            raise MissingRuleError(f"a cast to {target}: {NO_COMPLEX}")
        return with_root(ty, target) if isinstance(target, types.Float) else target
    if isinstance(ty, types.BaseTuple) and isinstance(target, types.BaseTuple):
        items = [_converted_type(t, w) for t, w in zip(ty, target, strict=True)]
        return tuple_like(ty, items)
    return target if isinstance(types.unliteral(ty), PLAIN) else ty


def _converted(context: Any, builder: Any, ty: Any, x: Any, target: Any) -> Any:
    result_type = _converted_type(ty, target)
    if isinstance(ty, types.BaseTuple) and result_type != ty:
        items = [
            _converted(context, builder, t, builder.extract_value(x, i), w)
            for i, (t, w) in enumerate(zip(ty, target, strict=True))
        ]
        return context.make_tuple(builder, result_type, items)
    if isinstance(ty, NumberType) and not isinstance(result_type, NumberType):
        x = unwrap(primal(wrap(context, builder, ty, x)), root(ty))
        return context.cast(builder, x, root(ty), result_type)
    return context.cast(builder, x, ty, result_type)


class Casts:
    """The types in a user's decorator: signatures, and those of local variables.

    Parameters
    ----------
    function : Dispatcher or function
        The user's function.
    """

    def __init__(self, function: Any) -> None:
        fixed = not getattr(function, "_can_compile", True)
        self._signatures = tuple(function.nopython_signatures) if fixed else ()
        self._locals = dict(getattr(function, "locals", {}))

    def __bool__(self) -> bool:
        return bool(self._signatures or self._locals)

    def insert(self, state: Any) -> None:
        """Insert casts of arguments, results and local variables into a function's untyped IR."""
        signature = self._signature(state) if self._signatures else None

        def with_casts(scope: Any, statement: Any) -> list[Any]:
            value: Any = getattr(statement, "value", None)
            if isinstance(statement, ir.Return) and signature is not None:
                ty, assignment = load(scope, signature.return_type, value.loc)
                statement.value = new_variable(scope, value.loc)
                cast = call(scope, cast_to, [value, ty], statement.value, value.loc)
                return [assignment, *cast, statement]
            if isinstance(statement, ir.Assign):
                target = self._locals.get(statement.target.unversioned_name)
                if isinstance(value, ir.Arg) and signature is not None:
                    target = signature.args[value.index]
                if target is not None and target != _type_of_argument(state, value):
                    ty, assignment = load(scope, target, statement.loc)
                    cast = call_on_result(scope, statement, cast_to, ty)
                    return [statement, assignment, *cast]
            return [statement]

        rewrite(state.func_ir, with_casts)

    def _signature(self, state: Any) -> Any:
        """Return the signature that Numba picks for the plain function."""
        args = tuple(map(plain_type, state.args))
        name = state.func_id.func_name
        signature = state.typingctx.resolve_overload(name, self._signatures, args, {})
        if signature is None:
            description = ", ".join(map(str, args))
            raise UnsupportedFunctionError(
                f"{name} has explicit signatures, none of which takes ({description}): "
                f"{'; '.join(map(str, self._signatures))}. Call it with the types that it takes, "
                "or compile it without signatures."
            )
        return signature


def _type_of_argument(state: Any, value: Any) -> Any:
    return plain_type(state.args[value.index]) if isinstance(value, ir.Arg) else None
