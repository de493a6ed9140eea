"""Casts that the plain function makes, made by its twin as well.

A function with explicit signatures converts what it is called with, and its result:
``njit("float64(int64)")`` of 2.7 sees 2.  So do the types that ``locals=`` gives to variables, and
``np.float32(x)``.  A number is converted as its value is: to a number over another float type; to a
plain integer, which is piecewise constant and has no derivative.
"""

from __future__ import annotations

from typing import Any

from numba.core import ir, types
from numba.core.ir_utils import mk_unique_var
from numba.core.typing.templates import AbstractTemplate, signature
from numba.extending import lower_builtin

from .elementary import CPU_FIRST, type_global
from .emit import unwrap, wrap
from .errors import NO_COMPLEX, MissingRuleError, UnsupportedFunctionError
from .jets import primal
from .numbertype import PLAIN, NumberType, plain_type, root, tuple_like, with_root

__all__ = ["Casts", "cast_to"]


def cast_to(x: Any, wanted: Any) -> Any:
    """Convert to a Numba type as a compiled function with that signature does."""
    raise NotImplementedError


class _CastTo(AbstractTemplate):
    metadata = CPU_FIRST

    def generic(self, args: Any, kws: Any) -> Any:
        x, wanted = args
        x = getattr(x, "settled", x)
        return signature(_converted_type(x, wanted.instance_type), x, wanted)


type_global(cast_to, _CastTo)


@lower_builtin(cast_to, types.Any, types.Any)
def _lower_cast_to(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    target = sig.args[1].instance_type
    made = _converted(context, builder, sig.args[0], args[0], target)
    if context.enable_nrt:
        context.nrt.incref(builder, sig.return_type, made)
    return made


def _converted_type(ty: Any, wanted: Any) -> Any:
    """Return the type of a value converted to type `wanted`."""
    if isinstance(ty, NumberType):
        if isinstance(wanted, types.Complex):
            raise MissingRuleError(f"a cast to {wanted}: {NO_COMPLEX}")
        return with_root(ty, wanted) if isinstance(wanted, types.Float) else wanted
    if isinstance(ty, types.BaseTuple) and isinstance(wanted, types.BaseTuple):
        items = [_converted_type(t, w) for t, w in zip(ty, wanted, strict=True)]
        return tuple_like(ty, items)
    return wanted if isinstance(types.unliteral(ty), PLAIN) else ty


def _converted(context: Any, builder: Any, ty: Any, x: Any, wanted: Any) -> Any:
    target = _converted_type(ty, wanted)
    if isinstance(ty, types.BaseTuple) and target != ty:
        items = [
            _converted(context, builder, t, builder.extract_value(x, i), w)
            for i, (t, w) in enumerate(zip(ty, wanted, strict=True))
        ]
        return context.make_tuple(builder, target, items)
    if isinstance(ty, NumberType) and not isinstance(target, NumberType):
        x = unwrap(primal(wrap(context, builder, ty, x)), root(ty))
        return context.cast(builder, x, root(ty), target)
    return context.cast(builder, x, ty, target)


class Casts:
    """The types that a user's decorator names: signatures, and those of local variables.

    Parameters
    ----------
    function : Dispatcher or function
        The user's.
    """

    def __init__(self, function: Any) -> None:
        fixed = not getattr(function, "_can_compile", True)
        self._signatures = tuple(function.nopython_signatures) if fixed else ()
        self._locals = dict(getattr(function, "locals", {}))

    def __bool__(self) -> bool:
        return bool(self._signatures or self._locals)

    def insert(self, state: Any) -> None:
        """Put casts of arguments, results and local variables into a function's untyped IR."""
        chosen = self._chosen(state) if self._signatures else None
        for block in state.func_ir.blocks.values():
            body: list[Any] = []
            for statement in block.body:
                made = getattr(statement, "value", None)
                if isinstance(statement, ir.Return) and chosen is not None:
                    lines, statement.value = _cast(block.scope, made, chosen.return_type)
                    body += lines
                body.append(statement)
                if isinstance(statement, ir.Assign):
                    wanted = self._locals.get(statement.target.unversioned_name)
                    if isinstance(made, ir.Arg) and chosen is not None:
                        wanted = chosen.args[made.index]
                    if wanted is not None and wanted != _type_of_argument(state, made):
                        body += _cast_after(block.scope, statement, wanted)
            block.body = body

    def _chosen(self, state: Any) -> Any:
        """Return the signature that Numba picks for the plain function."""
        args = tuple(map(plain_type, state.args))
        name = state.func_id.func_name
        found = state.typingctx.resolve_overload(name, self._signatures, args, {})
        if found is None:
            given = ", ".join(map(str, args))
            raise UnsupportedFunctionError(
                f"{name} has explicit signatures, none of which takes ({given}): "
                f"{'; '.join(map(str, self._signatures))}. Call it with the types that it takes, "
                "or compile it without signatures."
            )
        return found


def _type_of_argument(state: Any, made: Any) -> Any:
    return plain_type(state.args[made.index]) if isinstance(made, ir.Arg) else None


def _cast(scope: Any, var: Any, wanted: Any) -> tuple[list[Any], Any]:
    """Return statements that convert a variable, and the variable that holds the result."""
    loc = var.loc
    function, ty, made = (
        ir.Var(scope, mk_unique_var(name), loc) for name in ("$cast_to", "$wanted", "$converted")
    )
    return [
        ir.Assign(ir.Global("cast_to", cast_to, loc), function, loc),
        ir.Assign(ir.Global("wanted", wanted, loc), ty, loc),
        ir.Assign(ir.Expr.call(function, [var, ty], (), loc), made, loc),
    ], made


def _cast_after(scope: Any, statement: Any, wanted: Any) -> list[Any]:
    """Let a statement assign to a new variable, which is converted to the old one."""
    target = statement.target
    statement.target = ir.Var(scope, mk_unique_var("$given"), statement.loc)
    lines, _ = _cast(scope, statement.target, wanted)
    lines[-1].target = target
    return lines
