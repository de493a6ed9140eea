"""Which twin failed to compile, and for which arguments: noted while an error goes up.

Numba retells the error of a called function in the texts of its callers, where neither the function
nor its argument types can be found again.  So every twin notes them as the error passes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["Failure", "compiling", "is_collecting", "told_by"]


class Failure:
    """A twin, and the types of the arguments that it was compiled for."""

    def __init__(self, twin: Any, arg_types: Any) -> None:
        self.twin = twin
        self.arg_types = tuple(arg_types)


class _Notes(threading.local):
    """The failures of the compilation that is under way in this thread, innermost first."""

    def __init__(self) -> None:
        self.failures: list[Failure] = []
        self.collectors = 0


_NOTES = _Notes()


@contextlib.contextmanager
def compiling(twin: Any, sig: Any) -> Iterator[None]:
    """Note what is raised while a twin is compiled."""
    try:
        yield
    except Exception:
        _NOTES.failures.append(Failure(twin, getattr(sig, "args", sig)))
        raise


@contextlib.contextmanager
def told_by(name: str, whole: Callable[[], Failure | None] | None = None) -> Iterator[None]:
    """Raise our own error, in the name of a transform, for whatever its compilation raises.

    Parameters
    ----------
    name : str
        ``grad(f)``.
    whole : callable, optional
        Returns what is at fault where no twin was begun, a `Failure` or None.
    """
    before, _NOTES.failures = _NOTES.failures, []
    _NOTES.collectors += 1
    try:
        yield
    except (Warning, MemoryError):  # a filter of the user's asks for the one; the other is no fault
        raise
    except Exception as error:
        from .retell import account

        failures = list(_NOTES.failures)
        if not failures and whole is not None:
            failures = [failure for failure in (whole(),) if failure is not None]
        told = account(error, name, failures)
        raise told from told.__cause__
    finally:
        _NOTES.failures = before
        _NOTES.collectors -= 1


def is_collecting() -> bool:
    """Whether somebody in this thread collects failures, and will tell of them."""
    return _NOTES.collectors > 0
