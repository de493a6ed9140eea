"""Type inference of twins, which starts again where it learns late that something is active.

In ``s = 0.0; for v in x: s += v`` the type of s is known in the second turn only: Numba's inference
takes s for a float, then widens it to a number.  What was made of the float meanwhile cannot always
follow: with a plain array c, ``c * s`` is an array of floats first and of numbers later, and these
do not unify.  So the variables that a loop carries, and that were plain first and numbers later,
are remembered, and where inference fails it starts again with these as numbers from the beginning.
Inference only ever widens types: with every restart at least one of finitely many variables is
known to be wider, so there is an end.

A list of floats that meets lists of numbers is the other thing learnt late: in ``[[1.0, 0.0], [0.0,
x]]`` the first row must hold numbers as well.  A list cannot be converted where it is put among the
others, since it may have other names; so it is made as a list of numbers, which is again an
inference with a variable known to be wider.

The third is the result of a function that calls itself through others.  Numba types the inner call
by what is known of the result so far and compiles the caller for it, whatever becomes known later:
``if n == 0: return 1`` makes it an integer, and the caller reads a float as one.  Here a result so
far that is real is announced as an active number, and is one in the end; a function whose result
becomes something else than was announced is refused.

Otherwise nothing is done that Numba's inference does not do.

Numba internals used (seen in 0.66 to 0.68): the steps of ``typed_passes.type_inference_stage``
and of ``NopythonTypeInference``; ``TypeInferer.typevars``, ``TypeVar.add_type``,
``TypeInferer.return_types_from_partial`` and ``get_return_type``, ``callstack``.
"""

from __future__ import annotations

from typing import Any

from numba.core import errors, ir, types
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.typeinfer import TypeInferer, TypeVar, TypeVarMap

from .lists import convert_results, lists_of_numbers
from .numbertype import NumberType, highest_number, tuple_like

__all__ = ["InferTypes"]


class _Variable(TypeVar):
    """The type of a variable, which may start as a number."""

    type: Any

    def __init__(self, variables: _Variables, name: str) -> None:
        super().__init__(variables.context, name)
        self.variables = variables

    def add_type(self, tp: Any, loc: Any) -> Any:
        """Widen the type; remember where it was plain and holds numbers now."""
        first = self.variables.first.get(self.var)
        if self.type is None and first is not None and not self.locked:
            self.type, self.define_loc = first, loc
        before = self.type
        after = super().add_type(tp, loc)
        was_plain = before is not None and before is not after and highest_number(before) is None
        if was_plain and highest_number(after) is not None:
            self.variables.widened[self.var] = _settled(after)
        return after


class _Variables(TypeVarMap):
    """The types of a function's variables, with those that some of them start with."""

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
    """Numba's inference, in which a function keeps what others were told of its result."""

    number: NumberType | None = None
    """The highest among the arguments."""
    told: set[Any]
    """What callers were compiled for; they are not compiled anew where inference starts again."""

    def return_types_from_partial(self) -> Any:
        """Return the type of the result for a call from inside, as far as it is known."""
        partial = super().return_types_from_partial()
        if partial is None or self.number is None:
            return partial
        announced = _active(partial, self.number)
        asks_itself = self.context.callstack[0].typeinfer is self  # and will ask again
        if announced != partial or not asks_itself:
            self.told.add(announced)
        return announced

    def get_return_type(self, typemap: Any) -> Any:
        """Return the type of the result, to which returned values are converted."""
        found = super().get_return_type(typemap)
        if not self.told:
            return found
        announced, *others = self.told
        if others or self.context.can_convert(found, announced) is None:
            raise errors.TypingError(
                f"the result of {self.func_ir.func_id.func_name}, which calls itself, is {found} "
                "in the end, and was taken for something else before that was known; return a "
                "float in its first return statement (0.0, not 0)."
            )
        return announced


def _active(ty: Any, number: NumberType) -> Any:
    """Return the type of an active number for what is real."""
    if isinstance(ty, types.BaseTuple):
        return tuple_like(ty, [_active(item, number) for item in ty])
    return number.settled if isinstance(ty, types.Float | NumberType) else ty


def _settled(ty: Any) -> Any:
    """Return the type in which a loop carries a value: nothing in it is pending."""
    if isinstance(ty, types.BaseTuple):
        return tuple_like(ty, [_settled(item) for item in ty])
    return ty.settled if isinstance(ty, NumberType) else ty


@register_pass(mutates_CFG=True, analysis_only=False)
class InferTypes(FunctionPass):
    """Numba's type inference, started again where a loop makes a plain variable a number."""

    _name = "dualtape_type_inference"

    def __init__(self) -> None:
        FunctionPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        """Run on one function."""
        first: dict[str, Any] = {}
        number, told = highest_number(types.Tuple(state.args)), set[Any]()
        while True:
            inferer = _Inferer(
                state.typingctx, state.func_ir, errors.WarningsFixer(errors.NumbaWarning)
            )
            inferer.typevars = _Variables(state.typingctx, first)
            inferer.number, inferer.told = number, told
            try:
                state.typemap, state.return_type, state.calltypes = _inferred(state, inferer)
            except errors.TypingError:
                known = {name: v.type for name, v in inferer.typevars.items() if v.defined}
                wider = _carried(state.func_ir, inferer.typevars.widened)
                wider |= lists_of_numbers(state.func_ir, known, {})[0]
                if wider.items() <= first.items():
                    raise
            else:
                found = lists_of_numbers(state.func_ir, state.typemap, state.calltypes)
                wider, returned = found
                convert_results(state.func_ir, returned)
                if wider.items() <= first.items() and not returned:
                    break
            first = first | wider
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
        inferer.propagate()
        return inferer.unify()


def _carried(func_ir: Any, widened: dict[str, Any]) -> dict[str, Any]:
    """Return those of the widened variables at which values of several turns meet.

    The others are made of these. They are left to inference: what is seeded with a settled type
    would be recorded.
    """
    phis = {
        statement.target.name
        for block in func_ir.blocks.values()
        for statement in block.body
        if isinstance(statement, ir.Assign) and getattr(statement.value, "op", None) == "phi"
    }
    return {name: ty for name, ty in widened.items() if name in phis}
