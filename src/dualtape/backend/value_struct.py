"""By-value jitclasses: Numba jitclasses whose instances live in registers.

A plain ``@jitclass`` instance is a heap allocation with a reference count, about 20 ns for
every arithmetic result.  The classes made here are registered with their own instance type and
data model: fields, ``isinstance`` and class specs work as for any jitclass, the instance itself is
a plain struct that LLVM keeps in registers.  The gradient of a two-variable Rosenbrock function, in
one run: heap jitclass 170 times, by value 2.3 times as long as the hand-written derivative.

The name of such a type contains no memory address and the type pickles by its parameters, so
functions that take or return instances are cached on disk.

Numba internals used (seen in 0.66 to 0.68): ``jitclass.base.register_class_type``,
``ClassBuilder.class_impl_registry``, ``_mangle_attr``; ``types.ClassInstanceType`` and
``types.ClassType``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import cgutils, imputils, types
from numba.core.datamodel import default_manager, models
from numba.core.pythonapi import NativeValue, box, unbox
from numba.experimental.jitclass import base as jitclass_base


class ByValueInstance(types.ClassInstanceType):
    """Instance type: a plain struct, immutable once constructed."""

    mutable = False
    name_prefix = "byvalue"

    @property
    def key(self) -> Any:
        """Equal names mean equal types, in every process."""
        return self.class_type.name

    def __reduce__(self) -> Any:
        return self.class_type.reduction


class ByValueClass(types.ClassType):
    """Class type whose name is its parameters, so that caches can hit."""

    instance_type_class = ByValueInstance

    def __init__(self, reduction: Any, instance: type, *args: Any) -> None:
        class_def, _, struct = args[:3]
        super().__init__(*args)
        fields = ",".join(f"{name}:{ty}" for name, ty in struct.items())
        self.name = f"{class_def.__qualname__}<{fields}>"
        self.reduction = reduction
        self._instance = instance

    def __reduce__(self) -> Any:
        make, args = self.reduction
        return _class_type_of, (make, args)

    @property
    def instance_type(self) -> Any:
        """The type of the class's instances."""
        return self._instance(self)


def _class_type_of(make: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    return make(*args).class_type


class _StructByValue(models.StructModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        fields = fe_type.class_type.struct.items()
        members = [(jitclass_base._mangle_attr(name), ty) for name, ty in fields]
        super().__init__(dmm, fe_type, members)


default_manager.register(ByValueClass, models.OpaqueModel)
_registry = jitclass_base.ClassBuilder.class_impl_registry


@_registry.lower_getattr_generic(ByValueInstance)
def _get_field(context: Any, builder: Any, typ: Any, value: Any, attr: str) -> Any:
    if attr not in typ.struct:
        return jitclass_base.get_attr_impl(context, builder, typ, value, attr)
    struct = context.make_helper(builder, typ, value=value)
    field = getattr(struct, jitclass_base._mangle_attr(attr))
    return imputils.impl_ret_borrowed(context, builder, typ.struct[attr], field)


@_registry.lower_setattr_generic(ByValueInstance)
def _refuse_to_set(context: Any, builder: Any, sig: Any, args: Any, attr: str) -> None:
    raise AttributeError(f"{sig.args[0]} numbers are immutable")


@unbox(ByValueInstance)
def _unbox_instance(typ: Any, obj: Any, c: Any) -> Any:
    struct = c.context.make_helper(c.builder, typ)
    failed = cgutils.alloca_once_value(c.builder, cgutils.false_bit)
    for name, field_type in typ.struct.items():
        field = c.pyapi.object_getattr_string(obj, name)
        native = c.unbox(field_type, field)
        c.pyapi.decref(field)
        setattr(struct, jitclass_base._mangle_attr(name), native.value)
        with c.builder.if_then(native.is_error):
            c.builder.store(cgutils.true_bit, failed)
    return NativeValue(struct._getvalue(), is_error=c.builder.load(failed))


@box(ByValueInstance)
def _box_instance(typ: Any, val: Any, c: Any) -> Any:
    struct = c.context.make_helper(c.builder, typ, value=val)
    # The class travels as a pickle inside the module: no address, so the code can be cached.
    face = c.pyapi.unserialize(c.pyapi.serialize_object(typ.face))
    fields = [
        c.box(ty, getattr(struct, jitclass_base._mangle_attr(name)))
        for name, ty in typ.struct.items()
    ]
    boxed = c.pyapi.call_function_objargs(face, fields)
    for obj in (face, *fields):
        c.pyapi.decref(obj)
    return boxed


def by_value_jitclass(
    spec: list[tuple[str, Any]], reduction: Any, instance: type[ByValueInstance]
) -> Callable[[type], Any]:
    """Return a decorator like ``numba.experimental.jitclass`` for by-value instances.

    Parameters
    ----------
    spec : list of (name, type)
        The fields.
    reduction : (callable, args)
        How another process makes this class; pickled in place of its types.
    instance : type
        The instance type's class, a subclass of `ByValueInstance` with a ``face``, the Python
        class whose constructor takes the fields.
    """

    def decorate(cls: type) -> Any:
        def make_class_type(*args: Any) -> ByValueClass:
            return ByValueClass(reduction, instance, *args)

        default_manager.register(instance, _StructByValue)
        return jitclass_base.register_class_type(
            cls, spec, make_class_type, jitclass_base.ClassBuilder
        )

    return decorate
