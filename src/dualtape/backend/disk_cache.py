"""The cache on disk: files that are whole or absent, one for each compiled function and its types.

Numba keeps an index file for every function and rewrites it at each save: two processes that do so
at once can assign one data file to two signatures, and one of them then runs the other's code.
Here every entry is a separate file, named by a digest of its key, written under a temporary name
and moved into place, and sealed: a checksum covers the file's name and its content, so that a
truncated, overwritten or swapped file counts as absent.  Whatever cannot be read is compiled and
written again.

All files of one state of the package lie in one folder, named by a digest of the package's sources:
changed sources find an empty folder, and what older versions left can be removed by its name.

Numba internals used (seen in 0.66 to 0.68): ``Dispatcher._cache`` and the methods that
dispatchers call on it; the locators of
``caching.CacheImpl``, which choose a writable folder for a source file; ``Codegen.magic_tuple``
(processor and its features); ``rtsys.initialize``, which registers the memory management that
machine code calls.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import pickle
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import config
from numba.core.caching import CompileResultCacheImpl, NullCache
from numba.core.runtime import rtsys
from numba.core.serialize import dumps

from . import vector_math
from .cache_entry import payload_of, restore
from .identity import is_faithful

_MAGIC = b"dualtape 1\n"
_CHECKSUM = hashlib.sha256().digest_size
GENERIC = ("generic", "")
"""Processor and features of code that runs on every processor of an architecture."""

PLANES = os.environ.get("DUALTAPE_PLANES", "1")
"""Whether arrays of reverse mode may be planes ("1"); it decides what derivatives compile to."""


def package_stamp() -> str:
    """Return a digest of the package's sources and settings that decide on machine code."""
    return _stamp(f"{PLANES} {vector_math.is_on()} {vector_math.circumstances()}")


@functools.cache
def _stamp(settings: str) -> str:
    root, digest = Path(__file__).parents[1], hashlib.sha256(settings.encode())
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def folder() -> Path:
    """Return the folder of the package's own entries and kernels; OSError if none is writable."""
    return _folder(config.CACHE_DIR, package_stamp())


@functools.cache
def _folder(_chosen_by_user: str, stamp: str) -> Path:
    return folder_beside(folder) / f"dualtape-{stamp[:16]}"


def folder_beside(function: Any) -> Path:
    """Return the folder where Numba caches the functions of a file; OSError if there is none.

    This is ``NUMBA_CACHE_DIR`` if set, else ``__pycache__``, else the user's cache folder.
    """
    try:
        locator = CompileResultCacheImpl(function).locator
    except (RuntimeError, TypeError) as error:  # nothing is writable; no source file (a prompt)
        raise OSError(str(error)) from error
    return Path(locator.get_cache_path())


def _sealed(name: str, payload: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(name.encode() + payload).digest()


def read_sealed(path: Path) -> bytes:
    """Return what `write_sealed` wrote; OSError if the file is absent or damaged."""
    data = path.read_bytes()
    start = len(_MAGIC) + _CHECKSUM
    payload = data[start:]
    if data[:start] != _sealed(path.name, payload):
        raise OSError(f"{path} is damaged")
    return payload


def write_sealed(path: Path, payload: bytes) -> None:
    """Write a file that other processes see complete or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        temporary.write_bytes(_sealed(path.name, payload) + payload)
        os.replace(temporary, path)
    except BaseException:  # also an interrupt
        temporary.unlink(missing_ok=True)
        raise


class DiskCache(NullCache):
    """The compiled code of one dispatcher, in files; replaces Numba's cache.

    Parameters
    ----------
    place : callable
        Returns the folder; raises OSError if there is none, and nothing is stored then.
    identity : callable
        Returns a text that distinguishes this function, with all it depends on, from all others.
    """

    def __init__(self, place: Callable[[], Path], identity: Callable[[], str]) -> None:
        self._place = place
        self._make_identity = identity

    @functools.cached_property
    def _identity(self) -> str:
        return self._make_identity()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code for a signature; None if there is none that can be used."""
        # The one part of ``target_context.refresh()`` that machine code needs: memory management.
        # The rest reads the registrations of thousands of functions, for typing and lowering.
        rtsys.initialize(target_context)
        triple, *processor = target_context.codegen().magic_tuple()
        for built_for in (tuple(processor), GENERIC):
            cres = self._read((sig, (triple, *built_for)), target_context)
            if cres is not None:
                return cres
        return None

    def _read(self, key: Any, target_context: Any) -> Any:
        if not is_faithful(repr(key)):
            return None
        try:
            stored_key, data = pickle.loads(read_sealed(self._path(key)))
            if stored_key != (self._identity, key):
                return None
            state = pickle.loads(data)  # loads the kernels that it calls, or raises OSError
            return restore(target_context, state)
        except Exception:  # a file of another time, machine or module may raise anything: a miss
            return None

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Store compiled code, unless it contains addresses of this process."""
        key = (sig, cres.codegen.magic_tuple())
        if cres.library.has_dynamic_globals or cres.lifted or not is_faithful(repr(key)):
            return
        # If the disk is full or constants cannot be pickled, the next process compiles it again.
        with contextlib.suppress(OSError, pickle.PicklingError, TypeError, AttributeError):
            data = dumps(payload_of(cres))
            write_sealed(self._path(key), dumps(((self._identity, key), data)))

    def _path(self, key: Any) -> Path:
        described = repr((self._identity, key, numba.__version__))
        return self._place() / f"{hashlib.sha256(described.encode()).hexdigest()[:32]}.entry"
