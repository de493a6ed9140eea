"""Snapshots: the values of globals that a user's compiled function was compiled with.

A function decorated with ``njit`` keeps the globals, closures and helpers that it was compiled
with, until ``f.recompile()``.  Its derivative uses the same ones, so that function and derivative
agree; if they have changed since, a `DualtapeWarning` says so.

Numba does not record these values, so a listener notes them at each compilation.  For a function
that was compiled before, or loaded from Numba's cache, they are those that the derivative sees
first.

Numba internals used (seen in 0.66 to 0.68): the event ``numba:compile`` with its ``dispatcher``
and ``args`` (its ``is_failed`` is true of those that succeeded).
"""

from __future__ import annotations

from types import CellType, FunctionType, ModuleType
from typing import Any

import numpy as np
from numba.core import event
from numba.core.dispatcher import Dispatcher

from .cells import content_of
from .copies import copy_function
from .fingerprint import is_same
from .libraries import is_library, warn_user
from .reach import Binding, bindings, contents

SNAPSHOT = "_dualtape_snapshot"
"""Attribute of an njit function for its `Snapshot`."""
LARGEST_CONSTANT = 10**6
"""Size in bytes up to which Numba copies arrays into the code; it reads larger ones in place."""


class Snapshot:
    """The outside values of a function at one moment.

    Parameters
    ----------
    py_func : function
        The function.
    is_final : bool
        Whether it is compiled, and these values are in its code.
    """

    def __init__(self, py_func: FunctionType, *, is_final: bool) -> None:
        self.is_final = is_final
        self.seen = [(binding, _copied(binding.value)) for binding in bindings(py_func)]
        self._warned: set[str] = set()

    def changes(self) -> list[tuple[Binding, Any]]:
        """Return the bindings, as seen, whose values have changed, with the new values."""
        changed = []
        for binding, seen in self.seen:
            now = _now(binding)
            if now is not binding.value:
                is_changed = not is_same(binding.value, now)
            else:
                is_changed = seen is not now and content_of(seen) != content_of(now)
            if is_changed:
                changed.append((binding._replace(value=seen), now))
        return changed

    def warn(self, name: str) -> None:
        """Warn, once for every new value, of changes that are not in the compiled code."""
        for binding, now in self.changes():
            was, is_now = _described(binding.value), _described(now)
            news = f"{binding.label} is {is_now}" if was != is_now else f"{binding.label} changed"
            if news in self._warned:
                continue
            self._warned.add(news)
            before = f"when {binding.label} was {was}" if was != is_now else "before that"
            warn_user(
                f"{news} now, but {name} was compiled {before}; {name} and its derivatives keep "
                f"what they saw, as compiled functions do. Call {name}.recompile() to renew both, "
                "or pass the value as an argument."
            )


def _copied(value: Any) -> Any:
    """Return a constant with copies of the arrays that Numba copies (up to a megabyte)."""
    if isinstance(value, np.ndarray):
        is_frozen = value.flags.forc and value.nbytes <= LARGEST_CONSTANT
        return value.copy(order="K") if is_frozen else value
    if type(value) is tuple and any(isinstance(item, np.ndarray | tuple) for item in value):
        return tuple(map(_copied, value))
    return value


def _now(binding: Binding) -> Any:
    if isinstance(binding.holder, CellType):
        return contents(binding.holder)
    return binding.holder.get(binding.key)


def _described(value: Any) -> str:
    if isinstance(value, bool | int | float | complex | str) and len(repr(value)) < 40:
        return repr(value)
    return f"another {type(value).__name__}"


def is_users(function: Any) -> bool:
    """Whether this is a user's function that Numba compiles."""
    if not isinstance(function, Dispatcher) or getattr(function, "is_derivative", False):
        return False
    return not is_library(function.py_func)


def snapshot_of(function: Any) -> Snapshot:
    """Return the snapshot of a compiled function; if it is not compiled yet, the present one."""
    snapshot: Snapshot | None = function.__dict__.get(SNAPSHOT)
    if snapshot is None:
        snapshot = Snapshot(function.py_func, is_final=bool(function.overloads))
        setattr(function, SNAPSHOT, snapshot)
    return snapshot


def is_renewed(function: Any) -> bool:
    """Whether values of a function that is not compiled yet have changed; if so, update them."""
    if not snapshot_of(function).changes():
        return False
    setattr(function, SNAPSHOT, Snapshot(function.py_func, is_final=False))
    return True


def note(function: Any) -> None:
    """Take the snapshot of a function that was just compiled; drop derivatives of other values."""
    snapshot: Snapshot | None = function.__dict__.get(SNAPSHOT)
    if snapshot is not None:
        if (
            snapshot.is_final and len(function.overloads) > 1
        ):  # for other types: the first ones count
            return
        if not snapshot.changes():
            snapshot.is_final = True
            return
    setattr(function, SNAPSHOT, Snapshot(function.py_func, is_final=True))
    memory = getattr(function, "_dualtape_memory", None)
    if memory is not None:
        memory.forget()


class _Listener(event.Listener):
    def on_start(self, event: Any) -> None:
        """Do nothing: values are read while the function is compiled."""

    def on_end(self, event: Any) -> None:
        """Take a snapshot."""
        function = event.data["dispatcher"]
        if tuple(event.data["args"]) in function.overloads and is_users(function):
            note(function)


event.register("numba:compile", _Listener())


def warn_of_changes(function: Any, seen: frozenset[int] = frozenset()) -> None:
    """Warn if a compiled function, or one that it calls, contains outdated values."""
    if not is_users(function) or id(function) in seen or not snapshot_of(function).is_final:
        return
    snapshot = snapshot_of(function)
    snapshot.warn(function.__name__)
    for binding, _ in snapshot.seen:
        warn_of_changes(binding.value, seen | {id(function)})


def as_compiled(function: Any) -> FunctionType:
    """Return the Python function of a compiled one, with the globals it was compiled with."""
    py_func: FunctionType = getattr(function, "py_func", function)
    snapshot = snapshot_of(function) if is_users(function) else None
    changes = snapshot.changes() if snapshot is not None and snapshot.is_final else []
    if not changes:
        return py_func
    scope, closure = dict(py_func.__globals__), {id(c): c for c in py_func.__closure__ or ()}
    for binding, _ in changes:
        if isinstance(binding.holder, CellType):
            closure[id(binding.holder)] = CellType(binding.value)
        elif binding.holder is py_func.__globals__:
            scope[binding.key] = binding.value
        else:
            _bind_in_module(scope, binding)
    return copy_function(py_func, scope, (*closure.values(),))


def _bind_in_module(scope: dict[str, Any], binding: Binding) -> None:
    """Replace a member of a module that a function uses."""
    name = binding.label.partition(".")[0]
    module = scope[name]
    if isinstance(module, ModuleType) and vars(module) is binding.holder:
        copy = ModuleType(module.__name__)
        vars(copy).update(vars(module), **{binding.key: binding.value})
        scope[name] = copy
