"""The cache on disk: files that are whole or absent, one for each compiled function and its types.

Numba keeps an index file for every function and rewrites it at each save: two processes that do so
at once can give two signatures one data file, and one of them then runs the other's code.  Here
every entry is a file of its own, named by a digest of its key, written under a temporary name and
moved into place, and sealed: a checksum covers the file's name and its content, so that a file that
was cut, overwritten or put in another's place counts as absent.  Whatever cannot be read is
compiled anew and written again.

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

from .identity import is_faithful
from .restoring import reduced, restored

__all__ = ["DiskCache", "folder", "folder_beside", "package_stamp", "read_sealed", "write_sealed"]

_MAGIC = b"dualtape 1\n"
_CHECKSUM = hashlib.sha256().digest_size
GENERIC = ("generic", "")
"""Processor and features of code that runs on every processor of an architecture."""


@functools.cache
def package_stamp() -> str:
    """Return a digest of the package's sources: machine code outlives no change of them."""
    root, digest = Path(__file__).parent, hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode() + path.read_bytes())
    return digest.hexdigest()


def folder() -> Path:
    """Return the folder of the package's own entries and kernels; OSError if none is writable."""
    return _folder(config.CACHE_DIR)


@functools.cache
def _folder(_chosen_by_user: str) -> Path:
    return folder_beside(folder) / f"dualtape-{package_stamp()[:16]}"


def folder_beside(function: Any) -> Path:
    """Return the folder where Numba caches functions of this one's file; OSError if there is none.

    That is what ``NUMBA_CACHE_DIR`` names, else ``__pycache__``, else the user's cache folder.
    """
    try:
        locator = CompileResultCacheImpl(function).locator
    except (RuntimeError, TypeError) as error:  # no writable place; no source file, as at a prompt
        raise OSError(str(error)) from error
    return Path(locator.get_cache_path())


def _sealed(name: str, payload: bytes) -> bytes:
    return _MAGIC + hashlib.sha256(name.encode() + payload).digest()


def read_sealed(path: Path) -> bytes:
    """Return what `write_sealed` wrote; OSError if the file is absent or not as it was written."""
    data = path.read_bytes()
    start = len(_MAGIC) + _CHECKSUM
    payload = data[start:]
    if data[:start] != _sealed(path.name, payload):
        raise OSError(f"{path} is damaged")
    return payload


def write_sealed(path: Path, payload: bytes) -> None:
    """Write a file that other processes see whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        temporary.write_bytes(_sealed(path.name, payload) + payload)
        os.replace(temporary, path)
    except BaseException:  # also an interrupt
        temporary.unlink(missing_ok=True)
        raise


class DiskCache(NullCache):
    """What one dispatcher compiled, in files; takes the place of Numba's cache.

    Parameters
    ----------
    place : callable
        Returns the folder; OSError where there is none, then nothing is kept.
    identity : callable
        Returns a text that tells this function, with all it depends on, from all others.
    """

    def __init__(self, place: Callable[[], Path], identity: Callable[[], str]) -> None:
        self._place = place
        self._make_identity = identity

    @functools.cached_property
    def _identity(self) -> str:
        return self._make_identity()

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled code for a signature, None if there is none that can be used."""
        # The one part of ``target_context.refresh()`` that machine code needs: memory management.
        # The rest reads what thousands of functions register, for typing and lowering.
        rtsys.initialize(target_context)
        triple, *processor = target_context.codegen().magic_tuple()
        for built_for in (tuple(processor), GENERIC):
            found = self._read((sig, (triple, *built_for)), target_context)
            if found is not None:
                return found
        return None

    def _read(self, key: Any, target_context: Any) -> Any:
        if not is_faithful(repr(key)):
            return None
        try:
            written, data = pickle.loads(read_sealed(self._path(key)))
            if written != (self._identity, key):
                return None
            state = pickle.loads(data)  # loads the kernels that it calls, or raises OSError
            return restored(target_context, state)
        except Exception:  # whatever a file of another time, machine or module raises: a miss
            return None

    def save_overload(self, sig: Any, cres: Any) -> None:
        """Keep compiled code, unless it holds addresses of this process."""
        key = (sig, cres.codegen.magic_tuple())
        if cres.library.has_dynamic_globals or cres.lifted or not is_faithful(repr(key)):
            return
        # A full disk, or constants that cannot be pickled: compiled again by the next process.
        with contextlib.suppress(OSError, pickle.PicklingError, TypeError, AttributeError):
            data = dumps(reduced(cres))
            write_sealed(self._path(key), dumps(((self._identity, key), data)))

    def _path(self, key: Any) -> Path:
        described = repr((self._identity, key, numba.__version__))
        return self._place() / f"{hashlib.sha256(described.encode()).hexdigest()[:32]}.entry"
