"""Objects of ``numba.experimental.jitclass`` that hold active numbers.

In the twin of a function with active arguments a class is called as a class of the same methods
(their twins) whose floats are active: ``Oscillator(x[0], 1.0)`` may get active numbers later.  An
array field to which the constructor assigns an array of floats that it was given stays one of
floats, since a converted copy would not see what is written to the original.

Numba internals used (seen in 0.66 to 0.68): ``ClassType`` and its parts, ``ConstructorTemplate``;
``compiler.run_frontend``.
"""

from __future__ import annotations

import functools
import secrets
from typing import Any

from llvmlite import ir as llvm
from numba.core import cgutils, imputils, ir, types
from numba.core.compiler import run_frontend
from numba.core.imputils import lower_constant
from numba.core.registry import cpu_target
from numba.experimental.jitclass.base import ConstructorTemplate, _mangle_attr
from numba.extending import lower_builtin, models, register_model

from ..analysis.rewriting import statements
from ..backend.jit import by_type
from ..numbers.types import NumberType, highest_number
from .conversion import declared_type


class _ActiveClassType(types.ClassType):
    """Numba type of a class whose floats are active numbers."""

    number: NumberType
    mark: str  # which no other process uses: cached code of several may meet in one


register_model(_ActiveClassType)(models.OpaqueModel)


@lower_constant(_ActiveClassType)
def _lower_class(context: Any, builder: Any, ty: Any, value: Any) -> Any:
    return context.get_dummy_value()


@lower_builtin(_ActiveClassType, types.VarArg(types.Any))
def _construct(context: Any, builder: Any, sig: Any, args: Any) -> Any:
    """Do what Numba's constructor does, with a destructor that reads fields as they are stored."""
    instance = sig.return_type
    data_type = context.get_data_type(instance.get_data_type())
    size = context.get_constant(types.uintp, context.get_abi_sizeof(data_type))
    destructor = _destructor(context, builder.module, instance)
    meminfo = context.nrt.meminfo_alloc_dtor(builder, size, destructor)
    data = builder.bitcast(context.nrt.meminfo_data(builder, meminfo), data_type.as_pointer())
    builder.store(cgutils.get_null_value(data_type), data)
    struct = context.make_helper(builder, instance)
    struct.meminfo, struct.data = meminfo, data
    initializer = types.Dispatcher(instance.jit_methods["__init__"])
    initialize = context.get_function(initializer, types.void(instance, *sig.args))
    context.add_linking_libs(getattr(initialize, "libs", ()))
    initialize(builder, [struct._getvalue(), *args])
    return imputils.impl_ret_new_ref(context, builder, instance, struct._getvalue())


def _destructor(context: Any, module: Any, instance: Any) -> Any:
    """Return the function that drops the fields; Numba's reads numbers as they are in registers."""
    pointer, size = (context.get_value_type(ty) for ty in (types.voidptr, types.uintp))
    function_type = llvm.FunctionType(llvm.VoidType(), [pointer, size, pointer])
    name = f"dualtape_drop.{instance.classname}.{instance.class_type.mark}"
    function = cgutils.get_or_insert_function(module, function_type, name)
    if function.is_declaration:
        function.linkage = "linkonce_odr"
        builder = llvm.IRBuilder(function.append_basic_block())
        fields = instance.get_data_type()
        stored = builder.bitcast(function.args[0], context.get_data_type(fields).as_pointer())
        data = context.make_data_helper(builder, fields, ref=stored)
        for field, ty in instance.struct.items():
            context.nrt.decref(builder, ty, getattr(data, _mangle_attr(field)))
        builder.ret_void()
    return function


class _Constant:
    """A class as a constant of compiled code."""

    def __init__(self, class_type: Any) -> None:
        self._numba_type_ = class_type


@functools.cache
def class_of_numbers(cls: Any, number: NumberType, twin: Any) -> Any:
    """Return what stands for the class in a twin; ``twin(method)`` returns that of a method."""

    def construct(*args: Any) -> Any:
        active: Any = _Constant(_class_type(cls, number, _plain_fields(cls, args), twin))
        return lambda *args: active(*args)

    function = by_type(construct)
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    return function


@functools.cache
def _class_type(cls: Any, number: NumberType, plain: frozenset[str], twin: Any) -> Any:
    original = cls.class_type
    result = _ActiveClassType(
        cls,
        ConstructorTemplate,
        {
            name: ty if name in plain else declared_type(ty, number)
            for name, ty in original.struct.items()
        },
        {name: twin(method) for name, method in original.jit_methods.items()},
        {
            name: {kind: twin(method) for kind, method in parts.items()}
            for name, parts in original.jit_props.items()
        },
        {name: twin(method) for name, method in original.jit_static_methods.items()},
    )
    result.number, result.mark = number, secrets.token_hex(8)
    return result


def _plain_fields(cls: Any, args: Any) -> frozenset[str]:
    """Return the array fields to which the constructor assigns arrays of floats it was given."""
    func_ir = run_frontend(cls.class_type.methods["__init__"])
    plain = {
        i + 1
        for i, ty in enumerate(args)
        if isinstance(ty, types.Array) and highest_number(ty) is None
    }
    assigned = (s for s in statements(func_ir) if isinstance(s, ir.SetAttr))
    definitions = ((s.attr, func_ir.get_definition(s.value)) for s in assigned)
    return frozenset(
        name for name, value in definitions if isinstance(value, ir.Arg) and value.index in plain
    )
