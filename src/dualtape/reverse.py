"""Reverse mode: record the function once, sweep the tape backward, read the adjoints.

A driver leases a tape (`pool`), gives every input a row, calls the activated twin, which appends a
row for every statement, and sweeps.  Cost: one recording and one sweep for a gradient, whatever the
number of inputs; a sweep for each further output.

A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapters 3, 4 and 6.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types

from . import adjoints, pool, read
from .active import Active
from .adjoints import make_tracked
from .borrowing import borrow, is_borrowable
from .emit import invoke
from .outputs import Outputs, jacobian_blocks
from .plan import Plan, base_type, is_active
from .run import Run
from .tape import set_flag

__all__ = ["gradient_driver", "jacobian_driver"]


class Recording:
    """Code of one recording being emitted: a leased tape and the result of the twin.

    With `own` the tape belongs to no pool, and goes when the last reference to it is dropped; with
    `spelled` elementwise operations are statements, so that the tape can be read as a matrix.  With
    `at_once` all sweeps follow before the arguments can change.
    """

    def __init__(
        self,
        run: Run,
        found: list[Any],
        *,
        own: bool = False,
        spelled: bool = False,
        at_once: bool = False,
    ) -> None:
        self.run = run
        self.found = found
        item, pooled = run.size_of(run.wide[0]), run.context.get_constant(types.boolean, not own)
        self.tape = run.kernel(pool.acquire, (types.int64, item), (types.boolean, pooled))
        run.lease(self._give_back)
        if spelled:
            set_flag(run.context, run.builder, self.tape, "spelled")
        if at_once:
            self._borrow()
        nbytes = run.constant(0)
        if any(isinstance(ty, types.Array) for ty, _, _ in found):
            nbytes = run.builder.mul(run.n, run.size_of(run.plan.number))
        sizes = (types.int64, run.n), (types.int64, nbytes)
        run.kernel(adjoints.reserve_inputs, self._address(), *sizes)
        self.result = run.call_twin(found, self._tracked())

    def _borrow(self) -> None:
        """Let the tape refer to what stays as it is.

        The first place stays empty: one of them is counted where global arrays are borrowed alone.
        """
        set_flag(self.run.context, self.run.builder, self.tape, "borrows")
        for ty, value in self.run.constants():
            if is_borrowable(ty):
                self.run.kernel(borrow, self._address(), (ty, value))

    def _address(self) -> tuple[Any, Any]:
        return types.int64, self.tape

    def _tracked(self) -> list[Any]:
        return [self._track(leaf) for leaf in self.found]

    def _track(self, leaf: Any) -> Any:
        run, number = self.run, self.run.plan.number
        ty, value, offset = leaf
        row = run.builder.add(offset, run.constant(1))
        if not isinstance(ty, types.Array):
            primal = run.context.cast(run.builder, value, ty, number.base)
            return make_tracked(run.context, run.builder, number, primal, row, self.tape)
        extents = run.extents(ty, value)
        made = adjoints.lent_array(run.context, run.builder, self.tape, offset, extents, number)
        lent = run.plan.active_leaf(ty), made
        rows = types.int64, row
        run.kernel(adjoints.track_array, lent, (ty, value), rows, self._address(), run.number)
        return made

    def row(self, ty: Any, value: Any) -> tuple[Any, Any]:
        """Return the row of a scalar result, which is recorded now if it is pending."""
        number = self.run.plan.number
        active = self.run.context.cast(self.run.builder, value, ty, number)
        struct = self.run.context.make_helper(self.run.builder, number, value=active)
        return types.int64, struct.m_row

    def rows(self, ty: Any, value: Any) -> tuple[Any, Any]:
        """Return the row of a number or the rows of an array."""
        if not isinstance(ty, types.Array):
            return self.row(ty, value)
        rows = types.Array(types.int64, ty.ndim, "C")
        return rows, self.run.kernel(adjoints.rows_of, (ty, value))

    def sweep(self, kernel: Any, *pairs: Any) -> None:
        """Call a kernel that sweeps."""
        lent = [self.run.borrowed(*pair) for pair in pairs]
        self.run.kernel(kernel, self._address(), *lent)

    def release_all(self) -> None:
        """Give back the tape and drop all there is."""
        self.release()
        self.run.clean_up()

    def release(self) -> None:
        """Give back the tape."""
        self.run.end_lease(self._give_back)
        self._give_back()

    def _give_back(self) -> None:
        invoke(
            self.run.context, self.run.builder, pool.release, (types.int64,), (self.tape,)
        )  # raises nothing


def gradient_driver(
    twin: Any, argnums: tuple[int, ...], *, single: bool, with_value: bool
) -> Callable[..., Any]:
    """Return the driver that computes (value and) gradient from the packed arguments."""
    name = "value_and_grad" if with_value else "grad"

    def gradient(typingctx: Any, packed: Any) -> Any:
        plan = Plan(typingctx, twin, packed, argnums, name)
        result = plan.run_twin(Active)
        plan.require_scalar()
        gradient_type = plan.gradient_type(single=single)
        value_type = base_type(result, plan.number)
        returned = types.Tuple((value_type, gradient_type)) if with_value else gradient_type

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, args[0])
            found = run.input_leaves()
            recording = Recording(run, found, at_once=True)
            flat = run.owned(run.zeros([run.n]))
            if is_active(result, plan.number):
                row = recording.row(result, recording.result)
                recording.sweep(adjoints.sweep_gradient, row, flat)
            recording.release()
            out = run.unflatten(found, flat, single=single)
            if not with_value:
                return out
            value = run.base_value(result, recording.result)[1]
            return context.make_tuple(builder, returned, [value, out])

        return returned(packed), codegen

    return gradient


def jacobian_driver(
    twin: Any, argnums: tuple[int, ...], *, single: bool, with_value: bool
) -> Callable[..., Any]:
    """Return the driver that computes (value and) Jacobian, one sweep per 8 outputs."""
    name = "value_and_jacobian" if with_value else "jacobian"

    def jacobian(typingctx: Any, packed: Any) -> Any:
        plan = Plan(typingctx, twin, packed, argnums, name)
        result = plan.run_twin(Active)
        outputs = Outputs(plan, result)
        y_type, value_type = outputs.flat_type, outputs.value_type
        jacobian_type = outputs.jacobian_type(single=single)
        returned = types.Tuple((value_type, jacobian_type)) if with_value else jacobian_type

        def codegen(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            run = Run(plan, context, builder, args[0])
            found = run.input_leaves()
            recording = Recording(run, found, at_once=True)
            y = outputs.flattened(run, recording.result)
            run.owned((y_type, y))
            shape = (y_type, y), (types.intp, run.n), (plan.base, run.base_like)
            made = types.Array(plan.base, 2, "C"), run.kernel(read.new_rows, *shape)
            matrix = run.owned(made)
            if isinstance(y_type, types.Array) and is_active(y_type, plan.number):
                shaped = types.Array(types.int64, y_type.ndim, "C")
                made = run.owned((shaped, run.kernel(adjoints.rows_of, (y_type, y))))
                flat = types.Array(types.int64, 1, "C"), run.kernel(adjoints.ravel, made)
                rows = run.owned(flat)
                each = types.none, context.get_dummy_value()
                recording.sweep(adjoints.sweep_rows, rows, each, matrix)
                run.release(*rows)
                run.release(*made)
            elif is_active(y_type, plan.number):
                recording.sweep(adjoints.sweep_row, recording.row(y_type, y), matrix)
            recording.release()
            value = value_type, outputs.value(run, recording.result, y)
            outputs.release(run, recording.result, y)
            out = jacobian_blocks(run, found, matrix, value, single=single)
            if not with_value:
                run.release(*value)
                return out
            return context.make_tuple(builder, returned, [value[1], out])

        return returned(packed), codegen

    return jacobian
