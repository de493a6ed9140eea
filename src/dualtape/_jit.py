"""The one place with Numba options: how the package's own functions are compiled and kept.

``kernel`` compiles the package's own functions: no fastmath (derivatives must be exact),
NumPy's error model (a rule returns inf or nan, it never raises) and a cache on disk.  What
`specialized` chooses by types, and what is `generic`, inherits the options of its caller, as
Numba's own overloads do.

Code compiled here also contains what other files of the package generated, and code compiled for
a user's function contains the functions it calls, wherever they live: everything that took part is
in the identity under which code is kept, so a changed rule, helper or constant gives a new entry,
never stale code.

Numba internals used (seen in 0.66 to 0.68): ``Dispatcher._cache``;
``_OverloadFunctionTemplate._get_jit_decorator`` and ``make_overload_template``; ``ConfigStack``
(options that are inherited).
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import types
from numba.core.targetconfig import ConfigStack
from numba.core.typing.templates import (
    _OverloadFunctionTemplate,
    infer,
    infer_global,
    make_overload_template,
)

from .diskcache import DiskCache, folder, folder_beside
from .identity import NoIdentityError, identity

__all__ = [
    "compiled",
    "entry",
    "generic",
    "inlined",
    "internal",
    "kernel",
    "specialized",
    "use_cache",
]


def use_cache(dispatcher: Any, stamp: Callable[[], str], place: Any) -> None:
    """Keep what `dispatcher` compiles on disk, beside the source of `place`, under a stamp."""
    code = place.__code__
    where = (code.co_filename, code.co_firstlineno, place.__qualname__)
    dispatcher._cache = DiskCache(lambda: folder_beside(place), lambda: repr((where, stamp())))


def _keep(dispatcher: Any, inherited: str = "") -> Any:
    """Keep what a dispatcher of one of the package's functions compiles, if that is possible."""
    function = dispatcher.py_func
    try:
        place = _place_of(function)
        dispatcher._cache = DiskCache(folder, lambda: f"{place} {inherited}")
    except NoIdentityError:
        pass
    return dispatcher


def _place_of(function: Any) -> str:
    if not (function.__module__ or "").startswith("dualtape."):
        raise NoIdentityError(function)
    return f"{Path(function.__code__.co_filename).name} {identity(function)}"


def _internal_compiler(*args: Any) -> Any:
    from .linking import InternalCompiler  # noqa: PLC0415  # Numba's compiler is slow to import

    return InternalCompiler(*args)


def _inlined_compiler(*args: Any) -> Any:
    from .linking import InlinedCompiler  # noqa: PLC0415

    return InlinedCompiler(*args)


_INTERNAL: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _internal_compiler,
}
_EXACT: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "nogil": True}


class Kernel:
    """A function of the package, only ever called from compiled code.

    Compiled when first called, with a cache on disk.  It has no Python wrapper: arrays of active
    numbers have no NumPy dtype.  Until it is used there is no Numba dispatcher either; making fifty
    of them would be a fifth of the package's import time.
    """

    is_kernel = True

    def __init__(self, function: Callable[..., Any], *, is_inlined: bool = False) -> None:
        self.py_func = function
        self._is_inlined = is_inlined
        self.__doc__ = function.__doc__

    @functools.cached_property
    def _dispatcher(self) -> Any:
        compiler = _inlined_compiler if self._is_inlined else _internal_compiler
        options = {**_INTERNAL, **_EXACT, "pipeline_class": compiler}
        return _keep(numba.njit(**options)(self.py_func))

    @functools.cached_property
    def _numba_type_(self) -> Any:
        return types.Dispatcher(self._dispatcher)

    @functools.cache  # noqa: B019  # kernels live as long as the package
    def at(self, level: int) -> Kernel:
        """Return this kernel for numbers of one level.

        Numba refuses a function that calls itself for other types while those are inferred; the
        kernel of a level may call the one of a level below.
        """
        return Kernel(self.py_func, is_inlined=self._is_inlined)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of the package lazily; see `Kernel`."""
    return Kernel(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a kernel that is inlined however large it is: a hot one that gains by its caller."""
    return Kernel(function, is_inlined=True)


def internal(function: Callable[..., Any]) -> Any:
    """Compile a function made while a user's is compiled; only called from compiled code."""
    return numba.njit(nogil=True, **_INTERNAL)(function)


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function of the package that Python calls, lazily and with a cache on disk."""
    return _keep(numba.njit(**_EXACT)(function))


@functools.cache
def compiled(function: Callable[..., Any]) -> Any:
    """Return the one compiled form of a rule's jet or of a helper.

    Only the package's own functions are cached on disk, and only those without closure values:
    the cache knows a function by its place in the source, where all custom rules would be one.
    """
    if (function.__module__ or "").startswith("dualtape.") and function.__closure__ is None:
        return kernel(function)
    return numba.njit(error_model="numpy", nogil=True)(function)


class _SpecializedTemplate(_OverloadFunctionTemplate):
    """Numba's template of an overload, whose implementations are kept on disk."""

    def _get_jit_decorator(self) -> Any:
        def compile_chosen(**options: Any) -> Any:
            flags = ConfigStack.top_or_none()
            inherited = flags and (str(flags.fastmath), str(flags.error_model), flags.nrt)
            return lambda function: _keep(numba.njit(**options)(function), repr(inherited))

        return compile_chosen


def _overload(stub: Any, choose: Any, *, strict: bool = True) -> None:
    """Do what ``numba.extending.overload`` does, with our template."""
    made = make_overload_template(stub, choose, _INTERNAL, strict, "never", target="cpu")
    template = type(made)(made.__name__, (_SpecializedTemplate,), dict(made.__dict__))
    infer(template)
    infer_global(stub, types.Function(template))


def generic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper of the package into its callers, anew for every type.

    Unlike a kernel it may, through others, call itself for other types: rules for arrays recurse
    over the levels of their numbers.
    """
    function.__annotations__ = {}  # Numba would take them for types
    _overload(function, lambda *_args, **_named: function, strict=False)
    return function


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
        _overload(stub, chosen)
        return choose

    return register


def _without_annotations(function: Callable[..., Any]) -> inspect.Signature:
    parameters = inspect.signature(function).parameters.values()
    return inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
