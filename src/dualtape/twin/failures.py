"""Which twin failed to compile, and for which arguments: noted while an error propagates.

Numba includes the error of a called function in the texts of its callers' errors, from which
neither the function nor its argument types can be recovered.  So every twin notes them.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any


class Failure:
    """A twin, and the types of the arguments that it was compiled for."""

    def __init__(self, twin: Any, arg_types: Any) -> None:
        self.twin = twin
        self.arg_types = tuple(arg_types)


class _Notes(threading.local):
    """The failures of the current compilation in this thread, innermost first."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.collectors = 0


_NOTES = _Notes()


@contextlib.contextmanager
def compiling(twin: Any, sig: Any) -> Iterator[None]:
    """Note a failure if compiling a twin raises an error."""
    try:
        yield
    except Exception:
        _NOTES.failures.append(Failure(twin, getattr(sig, "args", sig)))
        raise


@contextlib.contextmanager
def own_errors(name: str, whole: Callable[[], Failure | None] | None = None) -> Iterator[None]:
    """Turn any error in the compilation of a transform into our own, which names the transform.

    Parameters
    ----------
    name : str
        ``grad(f)``.
    whole : callable, optional
        Returns the `Failure` to be reported if no twin failed, or None.
    """
    before, _NOTES.failures = _NOTES.failures, []
    _NOTES.collectors += 1
    try:
        yield
    except (Warning, MemoryError):  # an error by the user's filter; no fault of the function
        raise
    except Exception as error:
        from .messages import explanation_of

        failures = list(_NOTES.failures)
        if not failures and whole is not None:
            failures = [failure for failure in (whole(),) if failure is not None]
        explained = explanation_of(error, name, failures)
        raise explained from explained.__cause__
    finally:
        _NOTES.failures = before
        _NOTES.collectors -= 1


def is_collecting() -> bool:
    """Whether failures in this thread are being collected, and will be explained."""
    return _NOTES.collectors > 0
