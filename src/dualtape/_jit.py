"""The one place with Numba options, and the on-disk caches.

``kernel`` compiles the package's own functions: no fastmath (derivatives must be exact),
NumPy's error model (a rule returns inf or nan, it never raises) and a cache on disk.

Numba's own cache knows one source file per function.  Code compiled here also contains what
other files of the package generated, and code compiled for a user's function contains the
functions it calls, wherever they live.  `StampedCache` therefore adds a stamp of everything
that took part: a changed rule, helper or constant gives a new entry, never stale code.

Numba internals used (seen to work with 0.68): ``Dispatcher._cache``,
``caching.FunctionCache`` (``_index_key`` and the locators of ``_impl_class``).
"""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numba.extending
from numba.core import types
from numba.core.caching import FunctionCache, NullCache

from .loading import Restored, prepare

__all__ = [
    "StampedCache",
    "compiled",
    "entry",
    "generic",
    "internal",
    "kernel",
    "package_stamp",
    "specialized",
    "use_cache",
]


@functools.cache
def package_stamp() -> str:
    """Return a digest of the package's sources: machine code outlives no change of them."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


class StampedCache(FunctionCache):
    """Numba's on-disk cache of one function, keyed by an additional stamp."""

    _impl_class = Restored

    def __init__(self, place: Callable[..., Any], stamp: str) -> None:
        super().__init__(place)
        self._stamp = stamp

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load compiled code, without what compiling needs."""
        prepare(target_context)
        return self._load_overload(sig, target_context)

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        return (sig, codegen.magic_tuple(), self._stamp)


class LazyCache(NullCache):
    """A `StampedCache` made at the first compilation.

    Making one looks for a writable directory (about 0.5 ms); an import makes fifty kernels.
    """

    def __init__(self, place: Callable[..., Any], stamp: Callable[[], str]) -> None:
        self._make = (place, stamp)

    @functools.cached_property
    def _cache(self) -> Any:
        place, stamp = self._make
        try:
            return StampedCache(place, stamp())
        except (RuntimeError, OSError, TypeError):
            return NullCache()  # no source file (a prompt) or no writable place: compile each time

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Load compiled code for a signature."""
        return self._cache.load_overload(sig, target_context)

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Save compiled code for a signature, unless it holds addresses of this process."""
        if cres.library.has_dynamic_globals:
            return  # a function among the arguments; Numba would warn
        self._cache.save_overload(sig, cres)


def use_cache(dispatcher: Any, stamp: Callable[[], str], place: Any = None) -> None:
    """Cache what `dispatcher` compiles on disk, beside the source of `place` if it has one."""
    dispatcher._cache = LazyCache(dispatcher.py_func if place is None else place, stamp)


def _internal_compiler(*args: Any) -> Any:
    from .linking import InternalCompiler  # noqa: PLC0415  # Numba's compiler is slow to import

    return InternalCompiler(*args)


_INTERNAL: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _internal_compiler,
}


class Kernel:
    """A function of the package, only ever called from compiled code.

    Compiled when first called, with a cache on disk.  It has no Python wrapper: arrays of active
    numbers have no NumPy dtype.  Until it is used there is no Numba dispatcher either; making fifty
    of them would be a fifth of the package's import time.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.py_func = function
        self.__doc__ = function.__doc__

    @functools.cached_property
    def _dispatcher(self) -> Any:
        dispatcher = numba.njit(error_model="numpy", nogil=True, **_INTERNAL)(self.py_func)
        use_cache(dispatcher, package_stamp)
        return dispatcher

    @functools.cached_property
    def _numba_type_(self) -> Any:
        return types.Dispatcher(self._dispatcher)

    @functools.cache  # noqa: B019  # kernels live as long as the package
    def at(self, level: int) -> Kernel:
        """Return this kernel for numbers of one level.

        Numba refuses a function that calls itself for other types while those are inferred; the
        kernel of a level may call the one of a level below.
        """
        return Kernel(self.py_func)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of the package lazily; see `Kernel`."""
    return Kernel(function)


def internal(function: Callable[..., Any]) -> Any:
    """Compile a function made while a user's is compiled; only called from compiled code."""
    return numba.njit(nogil=True, **_INTERNAL)(function)


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function of the package that Python calls, lazily and with a cache on disk."""
    dispatcher = numba.njit(error_model="numpy", nogil=True)(function)
    use_cache(dispatcher, package_stamp)
    return dispatcher


@functools.cache
def compiled(function: Callable[..., Any]) -> Any:
    """Return the one compiled form of a rule's jet or of a helper.

    Only the package's own functions are cached on disk, and only those without closure values:
    the cache knows a function by its place in the source, where all custom rules would be one.
    """
    if (function.__module__ or "").startswith("dualtape.") and function.__closure__ is None:
        return kernel(function)
    return numba.njit(error_model="numpy", nogil=True)(function)


def generic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper of the package into its callers, anew for every type.

    Unlike a kernel it may, through others, call itself for other types: rules for arrays recurse
    over the levels of their numbers.
    """
    function.__annotations__ = {}  # Numba would take them for types
    return numba.extending.register_jitable(**_INTERNAL)(function)


def specialized(stub: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Like ``numba.extending.overload``: the decorated function picks code by argument types.

    Numba wants equal annotations on both functions; ours are dropped before it looks.
    """

    def register(choose: Callable[..., Any]) -> Callable[..., Any]:
        def chosen(*args: Any, **kwargs: Any) -> Any:
            implementation = choose(*args, **kwargs)
            if implementation is not None:
                implementation.__annotations__ = {}
            return implementation

        chosen.__signature__ = _without_annotations(choose)  # type: ignore[attr-defined]
        numba.extending.overload(stub, jit_options=_INTERNAL)(chosen)
        return choose

    return register


def _without_annotations(function: Callable[..., Any]) -> inspect.Signature:
    parameters = inspect.signature(function).parameters.values()
    return inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
