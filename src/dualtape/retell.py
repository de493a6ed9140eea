"""Errors retold: from Numba's long reports to what happened, where, and what to do.

Numba internals used (seen to work with 0.68): the local variable ``constraint`` of
``ConstraintNetwork.propagate`` in a traceback, whose ``loc`` is the line being typed; the first
line of a ``TypingError``.
"""

from __future__ import annotations

import re
from typing import Any

import numba

from .errors import ArgumentError, DualtapeError, MissingRuleError, UnsupportedFunctionError
from .number import Number

__all__ = ["located", "retold"]


_CALLED = re.compile(r">>> ([\w.]+|<unknown function>)\((.*)\)")
_CAST = re.compile(r"Cannot cast (\w+)\([^ ]* to (\w+)")
_UNTYPED_GLOBAL = re.compile(r"Untyped global name '([^']*)'")
_CAPTURED = re.compile(r"Cannot capture the non-constant value .* variable '([^']*)'")
_LOWERED = re.compile(r'During: lowering ".*" at (\S+) \((\d+)\)')
_LINE = re.compile(r'File "([^"]+)", line (\d+)')


def located(error: DualtapeError, name: str) -> DualtapeError:
    """Return `error` with the line of the user's code in front, where it can be found."""
    if str(error).startswith(f"{name}: "):
        return error.with_traceback(None)  # about the call as a whole
    if str(error).startswith("line "):
        return type(error)(f"{name}: {error}")  # raised where the line was known
    line = None
    traceback = error.__traceback__
    while traceback is not None:
        loc = getattr(traceback.tb_frame.f_locals.get("constraint"), "loc", None)
        if loc is not None and not _is_ours(str(loc.filename)):
            line = loc
        traceback = traceback.tb_next
    where = "" if line is None else f"line {line.line} of {line.filename}: "
    return type(error)(f"{name}: {where}{error}")


_RANDOM = re.compile(
    r"Function\(<(?:bound method RandomState\.(\w+)|function NumPyRandomGeneratorType_(\w+))"
)
_DRAWN = (
    "draws from {} with an active parameter. Draws are constants: write them in terms of one that "
    "has no parameter (mu + sigma * np.random.standard_normal()), use dualtape.score_grad, or pass "
    "dualtape.value(x) if the parameter should count as constant."
)


def retold(error: Exception, name: str, py_func: Any) -> DualtapeError:
    """Return our account of a Numba error met while `name` was compiled."""
    text = _plain(str(error))
    where = _where(text)
    called = next((m for m in _CALLED.finditer(text) if m[1] != "run_driver"), None)
    if called is not None and _has_number(called[2]):
        if called[1] == "setitem":
            return MissingRuleError(f"{name}: {where}{_STORED.format('an item of another type')}")
        drawn = _RANDOM.search(text)
        if drawn is not None:
            return MissingRuleError(f"{name}: {where}{_DRAWN.format(drawn[1] or drawn[2])}")
        return MissingRuleError(
            f"{name}: {where}calls {_function_name(text, called[1])} on an active number, which "
            "has no derivative rule; give it one with dualtape.custom_rule, or pass it "
            "dualtape.value(x) if it should count as constant."
        )
    cast = _CAST.search(text)
    if cast is not None and _has_number(f"{cast[1]}("):
        return MissingRuleError(
            f"{name}: {where}{_STORED.format(f'a {cast[2]}, say of an object')}"
        )
    captured = _CAPTURED.search(text)
    if captured is not None:
        return ArgumentError(
            f"{name}: {where}captures {captured[1]!r} of the function around it, which is not a "
            "constant there; pass what varies as arguments."
        )
    unknown = _UNTYPED_GLOBAL.search(text)
    if unknown is not None:
        return UnsupportedFunctionError(
            f"{name}: {where}uses {unknown[1]!r}, which Numba cannot compile. If it is a function, "
            "give it a derivative rule with dualtape.custom_rule."
        )
    return UnsupportedFunctionError(
        f"{name}: {where}cannot be compiled by Numba: {_innermost(text)}. Check that "
        f"numba.njit({py_func.__name__}) itself compiles for these arguments (Numba "
        f"{numba.__version__}); Numba's full report is the cause of this error."
    )


_STORED = (
    "stores an active number where a plain value is kept ({}); "
    "store dualtape.value(x) there, or let arrays, lists or tuples hold the number."
)


def _has_number(text: str) -> bool:
    """Whether the types in a text are some of active numbers."""
    names, found = [], Number.__subclasses__()
    while found:
        face = found.pop()
        names.append(face.__name__)
        found += face.__subclasses__()
    return re.search(rf"\b(?:{'|'.join(names)})[\dx]*\(", text) is not None


def _innermost(text: str) -> str:
    """Return the first lines of the innermost complaint of a nested report."""
    inner = re.split(r"Failed in nopython mode pipeline \(step: [^)]*\)", text)[-1]
    lines = [line.strip() for line in inner.splitlines()]
    told = []
    for line in lines:
        if line.startswith(("During", "raised from", "File ")):
            break
        told.append(line)
    return " ".join(line for line in told if line)[:400].rstrip(". ")


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _where(text: str) -> str:
    """Return the innermost line of user code that a report names; it comes first."""
    lines = [(f, n) for f, n in _LOWERED.findall(text) + _LINE.findall(text) if not _is_ours(f)]
    return f"line {lines[0][1]} of {lines[0][0]} " if lines else ""


def _is_ours(filename: str) -> bool:
    parts = filename.replace("\\", "/").split("/")
    return "site-packages" in parts or "numba" in parts or "dualtape" in parts[-2:-1]


def _function_name(text: str, short: str) -> str:
    ufunc = re.search(r"Function\(<ufunc '(\w+)'>\)", text)
    if ufunc is not None:
        return f"np.{ufunc[1]}"
    function = re.search(r"Function\(<(?:built-in )?function (?!run_driver)(\w+)", text)
    if short.startswith("<"):
        function = re.search(r"Function\((\w+)\)", text)
    return function[1] if function is not None else short
