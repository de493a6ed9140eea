"""Results derived from a function are cached on the function and freed with it.

They are valid as long as the function reaches the same values: globals, closures, helpers, members
of modules.  `Memory.look` compares these, by identity first, and drops invalid results.
Derivatives called from Python are made for a copy of the function (`current`) whose compiled code
reads numbers and large arrays from cells: rebinding a name costs one compilation the first time,
none after that.  Code called from ``@njit`` functions is made for the function itself and keeps the
values that it was compiled with, as Numba's compiled code does.

Numba internals used (seen in 0.66 to 0.68): ``Dispatcher.add_overload`` and the field
``type_annotation`` of a compile result, which only ``inspect_types`` reads;
``Dispatcher._make_finalizer`` and ``_reset_overloads``.
"""

from __future__ import annotations

import operator
import weakref
from collections.abc import Callable, Iterator
from types import CellType, FunctionType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numba.core.registry import CPUDispatcher

from ..backend.forking import Lock
from .cells import CELLS, FIXED, Cell, cell_of, content_of, is_movable, key_of, make_cell
from .copies import copy_function
from .fingerprint import is_same
from .libraries import CUSTOM_RULES, is_library
from .objects import plain_function
from .reach import ABSENT, Binding, bindings, contents, is_named_by_library
from .snapshots import SNAPSHOT, is_renewed, is_users, snapshot_of, warn_of_changes

_LOCK = Lock()
_DEFINITION = [operator.attrgetter(f"__{part}__") for part in ("code", "defaults", "kwdefaults")]


class CollectableDispatcher(CPUDispatcher):
    """A dispatcher that can be collected with the function on which it is cached.

    Numba's dispatchers cannot: a dispatcher in use keeps its overloads alive, their annotation
    keeps the function alive, and the function the dispatcher.
    """

    alive: ClassVar[weakref.WeakSet[Any]] = weakref.WeakSet()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.alive.add(self)

    def add_overload(self, cres: Any) -> None:
        """Add compiled code without its annotation."""
        super().add_overload(cres._replace(type_annotation=None))

    def forget(self) -> None:
        """Drop compiled code, as ``Dispatcher.recompile`` does, and the identity on disk."""
        self._make_finalizer()()
        self._reset_overloads()
        self._cache.__dict__.pop("_identity", None)


class Place(NamedTuple):
    """Where a function takes a value from, and the value seen there.

    ``read(key)`` returns the value; `state` is the content of a constant with arrays, or the
    objects that must stay alive while code reads the cell, `cell`, of the name.
    """

    read: Callable[[Any], Any]
    key: Any
    seen: Any
    state: Any
    binding: Binding | None
    cell: Cell | None = None

    def is_changed(self) -> bool:
        """Whether the value is another one now, or code reads another one from the cell."""
        now = self.read(self.key)
        if now is not self.seen:
            return True
        if self.cell is None:
            return type(self.state) is bytes and content_of(now) != self.state
        return self.cell.held is not self.state or not self.has_cell()

    def has_cell(self) -> bool:
        """Whether the cell that code reads is still that of the name."""
        assert self.binding is not None
        return self.cell is not None and CELLS.get(key_of(self.binding)) is self.cell


class Glance:
    """The values that a function takes from outside, with a test whether they are unchanged.

    The test is generated for these names, since it runs in every call of a derivative.  Measured
    for a gradient of 0.70 us that reaches 1, 2, 4 and 8 numbers: 1.04, 1.03, 1.09 and 1.16 us with
    it, 1.08, 1.18, 1.35 and 1.72 us with a loop over the places.
    """

    def __init__(self, places: tuple[Place, ...]) -> None:
        self.places = places
        space: dict[str, Any] = {"content_of": content_of}
        tests = [test for i, place in enumerate(places) for test in _tests(i, place, space)]
        source = f"def is_same(): return {' and '.join(tests) or True}"
        exec(compile(source, "<names that a function takes from outside>", "exec"), space)
        self.is_same = space["is_same"]


def _tests(i: int, place: Place, space: dict[str, Any]) -> Iterator[str]:
    """Yield expressions that test whether a place is unchanged; define their names in `space`."""
    space.update({f"read{i}": place.read, f"key{i}": place.key, f"seen{i}": place.seen})
    if place.binding is None or place.read is contents or place.seen is None:
        yield f"read{i}(key{i}) is seen{i}"
    else:
        space[f"scope{i}"] = place.binding.holder
        yield f"scope{i}[{place.key!r}] is seen{i}"
    space[f"state{i}"] = place.state
    if place.cell is not None:  # another function may have seen another value since
        space[f"cell{i}"] = place.cell
        yield f"cell{i}.held is state{i}"
    if type(place.state) is bytes:
        yield f"content_of(seen{i}) == state{i}"


class Memory:
    """The results cached on one function; they are not pickled with it.

    Attributes
    ----------
    entries : dict
        The results.
    glance : Glance
        The values that are compared in every call of a derivative from Python.
    is_living : bool
        Whether the function is a copy that represents the current state of another one; such a
        copy is replaced as a whole.
    """

    def __init__(self, function: Any, *, is_living: bool = False) -> None:
        self.owner = weakref.ref(function)
        self.entries: dict[Any, Any] = {}
        self.is_living = is_living
        self.glance = Glance(())
        self._others: tuple[Place, ...] | None = None
        self._cells: list[Cell] = []  # which some code of this function may read
        self._copy: Any = None

    @property
    def places(self) -> tuple[Place, ...]:
        """Where the function and its helpers take values from that a user may rebind."""
        return self.glance.places

    def __reduce__(self) -> Any:
        return dict, ()  # where a function is unpickled, this package need not be installed

    def look(self) -> None:
        """Drop results that are no longer valid."""
        function = self.owner()
        if self.is_living:
            return
        if not is_plain(source_of(function)):
            if is_users(function):
                self._look_at_compiled(function)
            return
        with _LOCK:
            if self._others is None:
                self._collect(function)
            elif any(place.is_changed() for place in (*self.places, *self._others)):
                self._renew(function)

    def _look_at_compiled(self, function: Any) -> None:
        """Let the derivatives of a compiled function agree with the values in its code."""
        if snapshot_of(function).is_final:
            warn_of_changes(function)
        elif is_renewed(function):
            self.forget()

    def forget(self) -> None:
        """Drop the code of all results; it is compiled again with the current values."""
        for dispatcher in _collectable_in(list(self.entries.values())):
            dispatcher.forget()

    def current(self) -> Any:
        """Return the copy of the function that represents its current state."""
        self.look()
        function: Any = self.owner()
        if self.is_living or not self.places:
            return function
        with _LOCK:
            if self._copy is None:
                self._copy = copy_function(function)
                self._copy._dualtape_memory = Memory(self._copy, is_living=True)
            return self._copy

    def fix_numbers(self) -> list[tuple[int, str]]:
        """Turn numbers that are read from cells into constants; return their keys."""
        numbers = [
            key_of(place.binding)
            for place in self.places
            if place.binding and place.cell is not None and not isinstance(place.seen, np.ndarray)
        ]
        with _LOCK:
            FIXED.update(numbers)
            for key in numbers:
                CELLS.pop(key, None)
            if numbers:
                self._copy = None
                self.entries.clear()
                self._collect(self.owner())
        return numbers

    def _collect(self, function: Any) -> None:
        watched: dict[Any, Place] = {}
        others: dict[Any, Place] = {}
        cells: list[Cell] = []
        before = {place.cell for place in self.places}  # which all code reads, unless it is fresh
        for place in _places(function, set()):
            binding = place.binding
            if binding is None or is_named_by_library(binding):
                others[id(place.read), id(place.key), place.key] = place
                continue
            cell = cell_of(binding)
            if cell is not None:
                cells.append(cell)
            cell = cell if self._copy is None or cell in before else None
            state = content_of(place.seen) if cell is None else cell.held
            watched[key_of(binding)] = place._replace(state=state, cell=cell)
        self.glance, self._others = Glance((*watched.values(),)), (*others.values(),)
        self._cells = cells

    def _renew(self, function: Any) -> None:
        """Note new values; drop the cached results, unless their code reads the values."""
        is_fresh = is_other = False
        cells = []  # keeps them alive until `_collect` finds them
        for place in (*self.places, *(self._others or ())):
            if not place.is_changed():
                continue
            now = place.read(place.key)
            cell = place.cell
            if cell is not None and place.has_cell() and cell.takes(now):
                cell.show(now)
                is_other = True
            elif cell is not None or now is place.seen or not is_same(place.seen, now):
                is_fresh = True
                if self._copy is not None and place.binding is not None:
                    cells.append(_give_cell(place.binding._replace(value=now)))
        if is_fresh:
            self._copy = None
        if is_fresh or is_other:
            self.entries.clear()
        self._collect(function)


def _give_cell(binding: Binding) -> Cell | None:
    """Let code read the current value of a name from a cell."""
    if not is_movable(binding.value) or key_of(binding) in FIXED:
        return None
    cell = CELLS.get(key_of(binding))
    if cell is None or not cell.takes(binding.value):
        return make_cell(binding)
    cell.show(binding.value)
    return cell


def _places(function: Any, seen: set[int]) -> Iterator[Place]:
    """Yield the places of a function and of all functions it reaches, unless these are compiled."""
    function = source_of(plain_function(function))
    if is_users(function):
        snapshot, attributes = snapshot_of(function), function.__dict__
        yield _place(Binding(attributes, SNAPSHOT, "", snapshot))
        if snapshot.is_final:
            return
        function = function.py_func
    if id(function) in seen or not is_plain(function):
        return
    seen.add(id(function))
    for part in _DEFINITION:
        yield Place(part, function, part(function), None, None)
    for binding in bindings(function):
        yield _place(binding)
        value = binding.value
        for item in value if isinstance(value, tuple) else (value,):
            yield from _places(item, seen)


def _place(binding: Binding) -> Place:
    if isinstance(binding.holder, CellType):
        return Place(contents, binding.holder, binding.value, None, binding)
    value = None if binding.value is ABSENT else binding.value
    return Place(binding.holder.get, binding.key, value, None, binding)


def _collectable_in(result: Any) -> Iterator[Any]:
    """Yield the dispatchers in a cached result."""
    if isinstance(result, CollectableDispatcher):
        yield result
    elif isinstance(result, tuple | list):
        for item in result:
            yield from _collectable_in(item)


def source_of(function: Any) -> Any:
    """Return the plain function of a renewing transform; other functions as they are."""
    return (
        getattr(function, "source", function)
        if isinstance(function, CollectableDispatcher)
        else function
    )


def is_plain(function: Any) -> bool:
    """Whether a function is a user's plain Python function, without a rule of its own."""
    if not isinstance(function, FunctionType) or is_library(function):
        return False
    return function not in CUSTOM_RULES


def memory_of(function: Any) -> Memory:
    """Return the memory of a function.

    It refers to its owner because functools.wraps copies attributes to other functions.
    """
    with _LOCK:
        memory = getattr(function, "_dualtape_memory", None)
        if not isinstance(memory, Memory) or memory.owner() is not function:
            memory = function._dualtape_memory = Memory(function)
    return memory


def is_living(function: Any) -> bool:
    """Whether a function is a copy that represents the current state of another one."""
    memory = getattr(function, "_dualtape_memory", None)
    if not isinstance(memory, Memory) or memory.owner() is not function:
        return False
    return memory.is_living


def current(function: Any) -> Any:
    """Return the copy that represents the current state of a function in code called by Python."""
    if source_of(function) is not function:
        return function.version()
    return memory_of(function).current() if is_plain(function) else function


def remembered(function: Any, key: Any, make: Callable[[], Any]) -> Any:
    """Return the result cached for this function and key, or make it."""
    memory = memory_of(function)
    memory.look()
    entries = memory.entries
    if key in entries:
        return entries[key]
    # `make` may compile and take Numba's lock, so it does not run under ours. If two threads make
    # the same result, both return the one stored first.
    return entries.setdefault(key, make())
