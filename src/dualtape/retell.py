"""Errors retold: from Numba's long reports to what happened, where, and what to do.

Numba internals used (seen to work with 0.68): the local variable ``constraint`` of
``ConstraintNetwork.propagate`` in a traceback, whose ``loc`` is the line being typed; the first
line of a ``TypingError``.
"""

from __future__ import annotations

import re
from typing import Any

import numba
from numba.core import errors as numba_errors

from .errors import DualtapeError, MissingRuleError, UnsupportedFunctionError

__all__ = ["located", "retold"]

_UNKNOWN_FUNCTION = re.compile(
    r"No implementation of function (.*?) found for signature", re.DOTALL
)
_CALLED = re.compile(r">>> ([\w.]+)\(")
_UNTYPED_GLOBAL = re.compile(r"Untyped global name '([^']*)'")
_LINE = re.compile(r'File "([^"]+)", line (\d+)')


def located(error: DualtapeError, name: str) -> DualtapeError:
    """Return `error` with the line of the user's code in front, where it can be found."""
    line = None
    traceback = error.__traceback__
    while traceback is not None:
        loc = getattr(traceback.tb_frame.f_locals.get("constraint"), "loc", None)
        if (
            loc is not None
            and "dualtape" not in str(loc.filename).replace("\\", "/").split("/")[-2:-1]
        ):
            line = loc
        traceback = traceback.tb_next
    message = str(error)
    if line is None or "line " in message.partition(";")[0]:
        return error.with_traceback(None)
    return type(error)(f"{name}: line {line.line} of {line.filename}: {message}")


def retold(error: numba_errors.NumbaError, name: str, py_func: Any) -> DualtapeError:
    """Return our account of a Numba error met while `name` was compiled."""
    text = _plain(str(error))
    where = _where(text)
    active = "VectorDual" in text or "HyperDual" in text
    called = _CALLED.search(text)
    if active and _UNKNOWN_FUNCTION.search(text) and called is not None:
        return MissingRuleError(
            f"{name}: {where}calls {_function_name(text, called[1])} on an active number, which "
            "has no derivative rule; give it one with dualtape.custom_rule, or pass it "
            "dualtape.value(x) if it should count as constant."
        )
    unknown = _UNTYPED_GLOBAL.search(text)
    if unknown is not None:
        return UnsupportedFunctionError(
            f"{name}: {where}uses {unknown[1]!r}, which Numba cannot compile. If it is a function, "
            "give it a derivative rule with dualtape.custom_rule."
        )
    first = next((line for line in text.splitlines() if line.strip()), "")
    second = " ".join(line.strip() for line in text.splitlines()[1:4])
    return UnsupportedFunctionError(
        f"{name}: {where}cannot be compiled by Numba: {second or first}. Check that "
        f"numba.njit({py_func.__name__}) itself compiles for these arguments (Numba "
        f"{numba.__version__}); Numba's full report is the cause of this error."
    )


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _where(text: str) -> str:
    lines = [(file, line) for file, line in _LINE.findall(text) if "site-packages" not in file]
    lines = [(f, n) for f, n in lines if "/dualtape/" not in f.replace("\\", "/")]
    return f"line {lines[-1][1]} of {lines[-1][0]} " if lines else ""


def _function_name(text: str, short: str) -> str:
    ufunc = re.search(r"Function\(<ufunc '(\w+)'>\)", text)
    if ufunc is not None:
        return f"np.{ufunc[1]}"
    function = re.search(r"Function\(<(?:built-in )?function (\w+)", text)
    return function[1] if function is not None else short
