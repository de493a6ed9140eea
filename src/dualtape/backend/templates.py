"""Typing templates of functions that the package registers with Numba.

Numba internals used (seen in 0.66 to 0.68): ``metadata = {"target": "cpu"}`` on a template puts it
before the generic ones.
"""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.typing.templates import infer_global

CPU_FIRST = {"target": "cpu"}
"""Makes Numba ask a template before its generic ones."""


def type_global(target: Any, template: type, **body: Any) -> None:
    """Let Numba type calls of `target` by a template (in addition to those it has)."""
    subclass = type(template.__name__, (template,), {"key": target, **body})
    infer_global(target, types.Function(subclass))
