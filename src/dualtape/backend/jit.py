"""The one place with Numba options: how the package's own functions are compiled and cached.

``kernel`` compiles the package's own functions: no fastmath (derivatives must be exact),
NumPy's error model (a rule returns inf or nan, it never raises) and a cache on disk.  So do
`by_type`, which chooses an implementation by types, and `generic`: unlike Numba's own overloads,
they do not inherit the options of their callers.

Code compiled here also contains code that other files of the package generated, and code compiled
for a user's function contains the functions it calls, wherever they are: the identity under which
code is cached covers all of it, so a changed rule, helper or constant gives a new entry, never
stale code.

Numba internals used (seen in 0.66 to 0.68): ``Dispatcher._cache``;
``_OverloadFunctionTemplate._get_jit_decorator`` and ``make_overload_template``; ``ConfigStack``
(whether reference counts are used is inherited).
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

from . import vector_math
from .disk_cache import DiskCache, folder, folder_beside
from .identity import NoIdentityError, identity


def use_cache(dispatcher: Any, stamp: Callable[[], str], place: Any) -> None:
    """Cache what `dispatcher` compiles on disk, beside the source of `place`, under a stamp."""
    code = place.__code__
    where = (code.co_filename, code.co_firstlineno, place.__qualname__)
    dispatcher._cache = DiskCache(lambda: folder_beside(place), lambda: repr((where, stamp())))


def _keep(dispatcher: Any, inherited: str = "") -> Any:
    """Cache on disk what a dispatcher of the package compiles, if its function has an identity."""
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


def _vectorized_compiler(*args: Any) -> Any:
    from .linking import VectorizedCompiler  # noqa: PLC0415

    return VectorizedCompiler(*args)


_INTERNAL: dict[str, Any] = {
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": _internal_compiler,
}
_EXACT: dict[str, Any] = {"error_model": "numpy", "fastmath": False, "nogil": True}


class Kernel:
    """A function of the package that is only called from compiled code.

    It is compiled when first called, with a cache on disk.  It has no Python wrapper: arrays of
    active numbers have no NumPy dtype.  Its Numba dispatcher is made when first used; making fifty
    of them would take a fifth of the package's import time.
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

    @property
    def in_arrays(self) -> Kernel:
        """The same for loops over arrays, with vector forms of mathematical functions."""
        return self._vectorized if vector_math.is_on() else self

    @functools.cached_property
    def _vectorized(self) -> Kernel:
        return _VectorizedKernel(self.py_func)

    @functools.cache  # noqa: B019  # kernels live as long as the package
    def at(self, level: int) -> Kernel:
        """Return this kernel for numbers of one level.

        Numba refuses a function that calls itself for other types while those are inferred; but
        the kernel of one level may call that of the level below.
        """
        return Kernel(self.py_func, is_inlined=self._is_inlined)


class _VectorizedKernel(Kernel):
    """See `Kernel.in_arrays`."""

    @functools.cached_property
    def _dispatcher(self) -> Any:
        options = {**_INTERNAL, **_EXACT, "pipeline_class": _vectorized_compiler}
        return _keep(numba.njit(**options)(self.py_func), "vectorized")


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a function of the package lazily; see `Kernel`."""
    return Kernel(function)


def inlined(function: Callable[..., Any]) -> Any:
    """Compile a kernel that is always inlined: a hot one that its callers can optimise further."""
    return Kernel(function, is_inlined=True)


def internal(function: Callable[..., Any]) -> Any:
    """Compile a function generated for a user's function; only called from compiled code."""
    return numba.njit(nogil=True, **_INTERNAL)(function)


def entry(function: Callable[..., Any]) -> Any:
    """Compile a function of the package that Python calls; lazily, with a cache on disk."""
    return _keep(numba.njit(**_EXACT)(function))


@functools.cache
def compiled(function: Callable[..., Any]) -> Any:
    """Return the one compiled form of a rule's jet or of a helper.

    Only the package's own functions are cached on disk, and only those without closure values:
    the cache identifies a function by its place in the source, which all custom rules share.
    """
    if (function.__module__ or "").startswith("dualtape.") and function.__closure__ is None:
        return kernel(function)
    return numba.njit(error_model="numpy", nogil=True)(function)


class _SpecializedTemplate(_OverloadFunctionTemplate):
    """Numba's template of an overload whose implementations are kernels or cached on disk."""

    def _get_jit_decorator(self) -> Any:
        flags = ConfigStack.top_or_none()
        inherited = "" if flags is None else f"nrt={flags.nrt}"

        def compile_chosen(function: Any, options: Any) -> Any:
            if hasattr(function, "kernel"):
                return function.kernel._dispatcher
            return _keep(numba.njit(**options)(function), inherited)

        return lambda **options: functools.partial(compile_chosen, options=options)


def _overload(stub: Any, choose: Any, *, strict: bool = True) -> None:
    """Do what ``numba.extending.overload`` does, with our template."""
    options = {**_INTERNAL, **_EXACT}
    numba_template = make_overload_template(stub, choose, options, strict, "never", target="cpu")
    template = type(numba_template)(
        numba_template.__name__, (_SpecializedTemplate,), dict(numba_template.__dict__)
    )
    infer(template)
    infer_global(stub, types.Function(template))


def generic(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile a helper of the package into its callers, separately for every type.

    Unlike a kernel it may call itself, through others, for other types: rules for arrays recurse
    over the levels of their numbers.
    """
    function.__annotations__ = {}  # Numba would take them for types
    _overload(function, lambda *_args, **_kwargs: function, strict=False)
    return function


def by_type(choose: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function of compiled code whose implementation `choose` picks by argument types.

    `choose` returns a plain function, a `Kernel`, or None if the types do not fit.
    """

    def stub(*_args: Any, **_kwargs: Any) -> Any:
        raise NotImplementedError(f"{choose.__name__} is called in compiled code only")

    functools.update_wrapper(stub, choose)
    specialized(stub)(choose)
    return stub


def is_missing(ty: Any) -> bool:
    """Whether what `by_type` looks at is an optional argument that was not given, or is None."""
    return ty is None or isinstance(ty, types.NoneType | types.Omitted)


def specialized(stub: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Like `by_type`, for a function that Python can call as well: ``numba.extending.overload``.

    Numba requires equal annotations on both functions; ours are dropped first.
    """

    def register(choose: Callable[..., Any]) -> Callable[..., Any]:
        signature = _without_annotations(choose)

        def implementation_for(*args: Any, **kwargs: Any) -> Any:
            implementation = choose(*args, **kwargs)
            if isinstance(implementation, Kernel):
                return _stand_in_for(implementation, signature)
            if implementation is not None:
                implementation.__annotations__ = {}
                implementation.__defaults__ = choose.__defaults__
            return implementation

        implementation_for.__signature__ = signature  # type: ignore[attr-defined]
        _overload(stub, implementation_for)
        return choose

    return register


def _stand_in_for(kernel: Kernel, signature: inspect.Signature) -> Callable[..., Any]:
    """Return a function that stands for a kernel: an overload must return a function."""

    def stand_in() -> None:
        """Do nothing: the kernel is called instead."""

    stand_in.kernel, stand_in.__signature__ = kernel, signature  # type: ignore[attr-defined]
    return stand_in


def _without_annotations(function: Callable[..., Any]) -> inspect.Signature:
    parameters = inspect.signature(function).parameters.values()
    return inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
