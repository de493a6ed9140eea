"""Objects of users' classes: their methods as plain functions, their attributes as outside names.

``model.loss`` is a function of its other parameters.  Its code is the method's, in which ``self``
is a name like that of a module: ``self.rate`` is a constant that is looked at in every call, and
read from a cell or compiled anew if it has changed (see `memo`).  A callable object is its method
``__call__``; a property is a call of its function.
"""

from __future__ import annotations

import enum
import functools
import inspect
import sys
import weakref
from collections import OrderedDict
from types import FunctionType, MethodType, SimpleNamespace
from typing import Any

from numba.core.typing.typeof import typeof_impl

from .copies import OWNER, copy_function
from .interpolants import interpolant_of
from .libraries import is_library
from .partial import function_of_partial, with_bound

KEPT = 32
"""Number of methods whose functions, with what was derived from them, are kept alive.

An object cannot own them: they refer to it, and what it holds is the user's.
"""
_FUNCTIONS: weakref.WeakValueDictionary[Any, FunctionType] = weakref.WeakValueDictionary()
_RECENT: OrderedDict[Any, FunctionType] = OrderedDict()
_MEMBERS: weakref.WeakValueDictionary[int, Members] = weakref.WeakValueDictionary()


class Members:
    """The attributes of an object, looked up by name as in the dictionary of a module."""

    def __init__(self, owner: Any) -> None:
        self.owner = owner

    def __getitem__(self, name: str) -> Any:
        return self._shown(name, getattr(self.owner, name))

    def get(self, name: str, default: Any = None) -> Any:
        """Return an attribute; methods and properties as plain functions."""
        if is_property(self.owner, name):
            return self._shown(name, None)
        return self._shown(name, getattr(self.owner, name, default))

    def _shown(self, name: str, value: Any) -> Any:
        if is_property(self.owner, name):
            return plain_function(MethodType(getattr(type(self.owner), name).fget, self.owner))
        return plain_function(value) if isinstance(value, MethodType) else value


def members_of(owner: Any) -> Members:
    """Return the attributes of an object, the same as long as they are in use."""
    members = _MEMBERS.get(id(owner))
    return members if members is not None else _MEMBERS.setdefault(id(owner), Members(owner))


def is_property(owner: Any, name: str) -> bool:
    """Whether an attribute is computed by a function of the class."""
    return isinstance(getattr(type(owner), name, None), property)


def is_jitclass(value: Any) -> bool:
    """Whether a value is a class that Numba compiles."""
    module = str(type(value).__module__)  # of extension modules it is no text
    return isinstance(value, type) and module.partition(".")[0] == "numba"


@functools.lru_cache(1024)
def _is_users_class(kind: type) -> bool:
    """Whether Numba knows nothing of the instances of a class that no library defines."""
    is_python = any({"__weakref__", "__slots__"} & c.__dict__.keys() for c in kind.__mro__)
    is_standard = str(kind.__module__).partition(".")[0] in sys.stdlib_module_names
    if not is_python or is_standard:  # Numba knows random.gauss, for example
        return kind is SimpleNamespace
    if is_library(kind) or is_jitclass(kind) or issubclass(kind, type | enum.Enum):
        return False
    return bool(typeof_impl.dispatch(kind) is typeof_impl.dispatch(object))


def is_object(value: Any) -> bool:
    """Whether a value is an object of a user's class, or such a class, read by its attributes."""
    kind = value if isinstance(value, type) else type(value)
    if not _is_users_class(kind) or hasattr(value, "_numba_type_"):
        return False
    return not isinstance(value, FunctionType | MethodType | functools.partial)


def plain_function(f: Any) -> Any:
    """Return a partial function, a bound method or a callable object as an ordinary function.

    There is one for each of them; other values are returned as they are.
    """
    if isinstance(f, functools.partial):
        return function_of_partial(f)
    if isinstance(f, MethodType) and is_object(f.__self__):
        return _bound(f.__self__, f.__func__)
    if is_object(f) and not isinstance(f, type):
        call = inspect.getattr_static(type(f), "__call__", None)
        if isinstance(call, FunctionType):
            return _bound(f, call)
    return interpolant_of(f) or f


def _bound(owner: Any, method: Any) -> Any:
    """Return a method as a function of its other parameters."""
    if not isinstance(method, FunctionType) or is_library(method):
        return method
    key = id(owner), method
    function = _FUNCTIONS.get(key)
    if function is None:
        copy = copy_function(method)
        copy.__dict__[OWNER] = owner
        function = _FUNCTIONS.setdefault(key, with_bound(copy, (None,), {}))  # see `members`
    _RECENT.pop(key, None)
    _RECENT[key] = function  # the last one; other threads may do the same
    while len(_RECENT) > KEPT:
        _RECENT.popitem(last=False)
    return function
