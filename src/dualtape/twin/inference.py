"""Type inference of twins, which is restarted if a variable turns out late to be active.

In ``s = 0.0; for v in x: s += v`` Numba's inference first takes s for a float, then widens it to a
number.  Types derived from the float cannot always follow: with a plain array c, ``c * s`` is an
array of floats first and of numbers later, and these do not unify.  So the variables carried by a
loop that were plain first and numbers later are noted, and if inference fails it is restarted with
these as numbers from the beginning.  Inference only ever widens types: with every restart at least
one of finitely many variables is wider, so the restarts end.

A list of floats that meets lists of numbers is also found late: in ``[[1.0, 0.0], [0.0, x]]`` the
first row must be a list of numbers as well.  It cannot be converted where it is put among the
others, since it may have other names; so it is made as a list of numbers, by another inference with
a wider variable.

The third case is the result of a function that calls itself through others.  Numba types the inner
call by the result type so far and compiles the caller for it, even if the type is widened later:
``if n == 0: return 1`` makes it an integer, and the caller reads a float as one.  Here a real type
so far is announced as that of active numbers, which it is in the end; a function whose result type
turns out not to be the announced one is refused.

Planes go to whatever knows them, arrays of numbers to everything else (`plane_conversions`).
Otherwise this inference is Numba's.

Numba internals used (seen in 0.66 to 0.68): the steps of ``typed_passes.type_inference_stage``
and of ``NopythonTypeInference``; ``TypeInferer.typevars``, ``TypeVar.add_type``,
``TypeInferer.return_types_from_partial`` and ``get_return_type``, ``callstack``.
"""

from __future__ import annotations

from typing import Any

from numba.core import errors, ir, types
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.typeinfer import TypeInferer, TypeVar, TypeVarMap

from ..analysis.rewriting import statements
from ..numbers.plane_arrays import IN_USE
from ..numbers.types import NumberType, highest_number, map_leaves, may_be_planes
from .lists import convert_results, lists_of_numbers
from .plane_conversions import PlanesContext, convert_planes, let_tuples_agree


class _Variable(TypeVar):
    """The type of a variable, which may start as a number."""

    type: Any

    def __init__(self, variables: _Variables, name: str) -> None:
        super().__init__(variables.context, name)
        self.variables = variables

    def add_type(self, tp: Any, loc: Any) -> Any:
        """Widen the type; note variables that were plain before and are numbers now."""
        first = self.variables.first.get(self.var)
        if self.type is None and first is not None and not self.locked:
            self.type, self.define_loc = first, loc
        before = self.type
        after = super().add_type(tp, loc)
        was_plain = before is not None and before is not after and highest_number(before) is None
        if was_plain and highest_number(after) is not None:
            self.variables.widened[self.var] = _recorded(after)
        return after


class _Variables(TypeVarMap):
    """The types of a function's variables, some of which start with a given type."""

    def __init__(self, context: Any, first: dict[str, Any]) -> None:
        super().__init__()
        self.set_context(context)
        self.first = first
        self.widened: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self:
            self[name] = _Variable(self, name)
        return super().__getitem__(name)


class _Inferer(TypeInferer):
    """Numba's inference, in which a function keeps the result type announced to its callers."""

    number: NumberType | None = None
    """The highest among the arguments."""
    announced: set[Any]
    """Result types that callers were compiled for; a restart does not compile them again."""

    def return_types_from_partial(self) -> Any:
        """Return the type of the result so far, for a call from inside."""
        partial = super().return_types_from_partial()
        if partial is None or self.number is None:
            return partial
        announced = _active(partial, self.number)
        asks_itself = self.context.callstack[0].typeinfer is self  # and will ask again
        if announced != partial or not asks_itself:
            self.announced.add(announced)
        return announced

    def get_return_type(self, typemap: Any) -> Any:
        """Return the type of the result, to which all returned values are converted."""
        result_type = super().get_return_type(typemap)
        if not self.announced:
            return result_type
        announced, *others = self.announced
        if others or self.context.can_convert(result_type, announced) is None:
            raise errors.TypingError(
                f"the result of {self.func_ir.func_id.func_name}, which calls itself, is "
                f"{result_type} in the end, and was taken for something else before that was "
                "known; return a float in its first return statement (0.0, not 0)."
            )
        return announced


def _active(ty: Any, number: NumberType) -> Any:
    """Return a type in which real numbers are active."""
    real = types.Float | NumberType
    return map_leaves(ty, lambda leaf: number.settled if isinstance(leaf, real) else leaf)


def _recorded(ty: Any) -> Any:
    """Return the type of a value carried by a loop, in which nothing is pending."""
    return map_leaves(ty, lambda leaf: leaf.settled if isinstance(leaf, NumberType) else leaf)


@register_pass(mutates_CFG=True, analysis_only=False)
class InferTypes(FunctionPass):
    """Numba's type inference, restarted if a loop makes a plain variable a number."""

    _name = "dualtape_type_inference"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        first: dict[str, Any] = {}
        number, announced = highest_number(types.Tuple(state.args)), set[Any]()
        may_make = IN_USE and not state.has_labels and number is not None and may_be_planes(number)
        while True:
            context = PlanesContext(state.typingctx, makes=number if may_make else None)
            warnings = errors.WarningsFixer(errors.NumbaWarning)
            inferer = _Inferer(context, state.func_ir, warnings)
            inferer.typevars = _Variables(context, first)
            inferer.number, inferer.announced = number, announced
            try:
                state.typemap, state.return_type, state.calltypes = _inferred(state, inferer)
            except errors.TypingError:
                types_so_far = {name: v.type for name, v in inferer.typevars.items() if v.defined}
                wider = _carried(state.func_ir, inferer.typevars.widened)
                wider |= lists_of_numbers(state.func_ir, types_so_far, {})[0]
                if wider.items() <= first.items():
                    raise
            else:
                wider, returned = lists_of_numbers(state.func_ir, state.typemap, state.calltypes)
                convert_results(state.func_ir, returned)
                if wider.items() <= first.items() and not returned:
                    break
            first = first | wider
        convert_planes(state)
        if isinstance(state.return_type, types.Function | types.Phantom):
            raise errors.NumbaTypeError(
                f"Can't return function object ({state.return_type}) in nopython mode"
            )
        return True


def _inferred(state: Any, inferer: TypeInferer) -> Any:
    """Infer types once; return those of variables, of the result and of calls."""
    func_ir = state.func_ir
    calls = state.typingctx.callstack.register(
        state.targetctx.target, inferer, func_ir.func_id, state.args
    )
    with calls, inferer.warnings:
        for index, (name, ty) in enumerate(zip(func_ir.arg_names, state.args, strict=True)):
            inferer.seed_argument(name, index, ty)
        if state.return_type is not None:
            inferer.seed_return(state.return_type)
        for name, ty in state.locals.items():
            inferer.seed_type(name, ty)
        inferer.build_constraint()
        let_tuples_agree(inferer)
        inferer.propagate()
        return inferer.unify()


def _carried(func_ir: Any, widened: dict[str, Any]) -> dict[str, Any]:
    """Return those of the widened variables that are phi nodes.

    The others depend on these, and are left to inference: with the type of a recorded number they
    would be recorded.
    """
    phis = {
        statement.target.name
        for statement in statements(func_ir)
        if isinstance(statement, ir.Assign) and getattr(statement.value, "op", None) == "phi"
    }
    return {name: ty for name, ty in widened.items() if name in phis}
