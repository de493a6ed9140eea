"""Error messages: from Numba's long reports to what happened, where, and what to do.

Every error in the compilation of a derivative is explained here.  The function without derivatives
is compiled as well: if Numba refuses that, we report its reason; if not, the failure is this
package's, whatever the exception.

Numba internals used (seen in 0.66 to 0.68): the local variables ``constraint`` of
``ConstraintNetwork.propagate`` and ``inst`` of ``Lower.lower_block`` in a traceback, whose ``loc``
is the line being typed or lowered; the first line of a ``TypingError``.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Iterator
from typing import Any

from numba.core import errors as numba_errors
from numba.core.registry import CPUDispatcher

from ..errors import (
    NO_COMPLEX,
    ArgumentError,
    DualtapeError,
    MissingRuleError,
    UnsupportedFunctionError,
)
from ..functions.copies import copy_function
from ..functions.libraries import is_package_file
from ..numbers.number import Number
from ..numbers.types import plain_type

_CALLED = re.compile(r">>> ([\w.]+|<unknown function>)\((.*)\)")
_CAST = re.compile(r"Cannot cast (\w+)\([^ ]* to (\w+)")
_ATTRIBUTE = re.compile(r"Unknown attribute '(\w+)' of type (.*)")
_UNTYPED_GLOBAL = re.compile(r"Untyped global name '([^']*)'")
_CAPTURED = re.compile(r"Cannot capture the non-constant value .* variable '([^']*)'")
_LOWERED = re.compile(r'During: lowering ".*" at (\S+) \((\d+)\)')
_RAISED = re.compile(r"Raised from (\S+) \((\d+)\)")
_LINE = re.compile(r'File "([^"]+)", line (\d+)')


def explanation_of(error: Exception, name: str, failures: list[Any]) -> DualtapeError:
    """Return our own error for one that was raised while the transform `name` was compiled.

    Parameters
    ----------
    error : Exception
        Ours, Numba's, or any other.
    name : str
        ``grad(f)``.
    failures : list of Failure
        The twins through which it propagated, from the inside out; see `failures`.

    Returns
    -------
    DualtapeError
        With Numba's error as its cause.
    """
    if isinstance(error, DualtapeError):
        explanation = _located(error, name)
        explanation.__cause__ = error.__cause__
        return explanation
    refused = _refusal(failures[-1]) if failures else None
    explanation = _refused(refused, name, failures[-1]) if refused else _ours(error, name, failures)
    explanation.__cause__ = refused or error
    return explanation


def _refusal(failure: Any) -> Exception | None:
    """Return Numba's error for the function without derivatives; None if it compiles.

    Functions of SciPy that have rules, and plain Python functions that are called, are unknown to
    Numba but no mistake: a function whose twin compiles for plain arguments is not refused.
    """
    twin, plain_types = failure.twin, tuple(map(plain_type, failure.arg_types))
    function = copy_function(twin.py_func)  # which may be under compilation
    plain = CPUDispatcher(function, locals=twin.locals, targetoptions=twin.targetoptions)
    refused = _raised_by(lambda: plain.compile(plain_types))
    if refused is None or not getattr(twin, "is_twin", False):
        return refused
    second = _raised_by(lambda: twin.compile(plain_types))
    if second is None or isinstance(second, DualtapeError):
        return None
    return refused if _place_of(refused) == _place_of(second) else second


def _raised_by(compile_it: Any) -> Exception | None:
    try:
        compile_it()
    except Exception as error:  # Numba raises exceptions of any class
        return error
    return None


def _place_of(error: Exception) -> tuple[str, int] | None:
    return _place_in(_plain(str(error))) or _raised_at(error)


def _located(error: DualtapeError, name: str) -> DualtapeError:
    """Return `error` with the line of the user's code in front, if it can be found."""
    error = _of_second(error, name)
    if str(error).startswith(f"{name}: "):
        return error.with_traceback(None)  # about the call as a whole
    if str(error).startswith("line "):
        return type(error)(f"{name}: {error}")  # raised where the line was known
    return type(error)(f"{name}: {_line(_raised_at(error), ': ')}{error}")


_GRADIENT = re.compile(r"(?:value_and_)?grad(\([^:]*\)): ")


def _of_second(error: DualtapeError, name: str) -> DualtapeError:
    """Return what is said of a gradient that a second derivative of its function goes through."""
    head = _GRADIENT.match(str(error))
    kind, found, function = name.partition("(")
    if head is None or kind in ("grad", "value_and_grad") or head[1] != found + function:
        return error
    text = str(error)[head.end() :]
    rest = text if kind.startswith("value") else text.replace("value_and_jacobian", "jacobian")
    return type(error)(f"{name}: {rest}").with_traceback(error.__traceback__)


def _raised_at(error: Exception) -> tuple[str, int] | None:
    """Return the innermost line of the user's code that was being compiled."""
    place = None
    traceback = error.__traceback__
    while traceback is not None:
        for name in ("constraint", "inst", "statement"):
            loc = getattr(traceback.tb_frame.f_locals.get(name), "loc", None)
            if loc is not None and not _is_ours(str(loc.filename)):
                place = str(loc.filename), int(loc.line)
        traceback = traceback.tb_next
    return place


def _line(place: tuple[str, int] | None, end: str) -> str:
    return "" if place is None else f"line {place[1]} of {place[0]}{end}"


_RANDOM = re.compile(
    r"Function\(<(?:bound method RandomState\.(\w+)|function NumPyRandomGeneratorType_(\w+))"
)
_DRAWN = (
    "draws from {} with an active parameter. Draws are constants: write them in terms of one that "
    "has no parameter (mu + sigma * np.random.standard_normal()), use dualtape.score_grad, or pass "
    "dualtape.value(x) if the parameter should count as constant."
)


def _refused(error: Exception, name: str, failure: Any) -> DualtapeError:
    """Return the error for a function that Numba itself does not compile."""
    text = _plain(str(error))
    where = _line(_place_of(error), " ")
    captured = _CAPTURED.search(text)
    if captured is not None:
        return ArgumentError(
            f"{name}: {where}captures {captured[1]!r} of the function around it, which is not a "
            "constant there; pass what varies as arguments: quad(g, a, b, (x,)) with g(t, x), and "
            "so in odeint and dualtape.roots."
        )
    unknown = _UNTYPED_GLOBAL.search(text)
    if unknown is not None:
        return UnsupportedFunctionError(
            f"{name}: {where}uses {unknown[1]!r}, which Numba cannot compile. If it is a function, "
            "give it a derivative rule with dualtape.custom_rule."
        )
    function = failure.twin.py_func.__name__
    reason = _innermost(_readable(text)) or type(error).__name__
    return UnsupportedFunctionError(
        f"{name}: {where}cannot be compiled by Numba itself, with or without derivatives: "
        f"{reason}. Make numba.njit({function}) work for these arguments first; Numba's full "
        "report is the cause of this error."
    )


def _ours(error: Exception, name: str, failures: list[Any]) -> DualtapeError:
    """Return the error for a function that compiles without derivatives only."""
    text = _plain(str(error))
    by_numba = isinstance(error, numba_errors.NumbaError)
    place = (_place_in(text) if by_numba else None) or _raised_at(error)
    source = "" if place is None else linecache.getline(*place).strip()
    if place is None and failures:
        code = failures[0].twin.py_func.__code__
        place = code.co_filename, code.co_firstlineno
    where = _line(place, " ")
    call = next((m for m in _CALLED.finditer(text) if m[1] != "run_driver"), None)
    if by_numba and call is not None and _has_number(call[2]):
        return MissingRuleError(f"{name}: {where}{_missing_rule(text, call, source)}")
    cast = _CAST.search(text)
    if cast is not None and _has_number(f"{cast[1]}("):
        return MissingRuleError(
            f"{name}: {where}{_STORED.format(f'a {cast[2]}, say of an object')}"
        )
    attribute = _ATTRIBUTE.search(text)
    if attribute is not None and _has_number(attribute[2]):
        return MissingRuleError(
            f"{name}: {where}uses .{attribute[1]} of {_readable(attribute[2])}, which has no "
            "derivative rule; use that of dualtape.value(x) if it should count as constant."
        )
    what = f"this line yet: {source}" if source else "this function yet"
    reason = _innermost(_readable(text)) if by_numba else f"{type(error).__name__}: {text}"
    return UnsupportedFunctionError(
        f"{name}: {where}compiles without derivatives, but dualtape cannot differentiate {what} "
        f"({_readable(reason).rstrip(': ')[:300]}). Write it in another way, give the function "
        "that it calls a rule with dualtape.custom_rule, or use dualtape.value(x) there if its "
        "result should count as constant."
    )


def _missing_rule(text: str, call: re.Match[str], source: str) -> str:
    """Return the message for a call with an active number that has no rule."""
    if call[1] == "setitem":
        return _STORED.format("an item of another type")
    draw = _RANDOM.search(text)
    if draw is not None:
        return _DRAWN.format(draw[1] or draw[2])
    function = _function_name(text, call[1])
    if "complex" in call[2] or "cmath." in source:
        return (
            f"calls {function} on an active number, and it is one of complex numbers; {NO_COMPLEX}"
        )
    if "linalg." in source:
        return f"calls {function} on active numbers, which has no derivative rule; {_LINALG}"
    return (
        f"calls {function} on an active number, which has no derivative rule; give it one with "
        "dualtape.custom_rule, or pass it dualtape.value(x) if it should count as constant."
    )


_STORED = (
    "stores an active number where a plain value is kept ({}); "
    "store dualtape.value(x) there, or let arrays, lists or tuples hold the number."
)


_LINALG = (
    "write it with functions of np.linalg that have one (solve, inv, cholesky, eigh, svd, ...), "
    "or pass it dualtape.value(x) if it should count as constant."
)


def _number_names() -> Iterator[str]:
    classes = Number.__subclasses__()
    while classes:
        face = classes.pop()
        yield face.__name__
        classes += face.__subclasses__()


def _number_pattern() -> str:
    return rf"\b(?:{'|'.join(_number_names())})[\dx]*\("


def _has_number(text: str) -> bool:
    """Whether a text contains types of active numbers."""
    return re.search(_number_pattern(), text) is not None


def _readable(text: str) -> str:
    """Return a text about types without our class names and without addresses."""
    before = None
    while before != text:  # numbers over numbers, from the inside out
        before = text
        text = re.sub(_number_pattern() + r"(?:[^()]*)\)", "active", text)
    text = re.sub(r"type\(\w+\(<function ([\w.<>]+) at 0x\w+>\)\)", r"\1", text)
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def _innermost(text: str) -> str:
    """Return the first lines of the innermost complaint of a nested report."""
    inner = re.split(r"Failed in nopython mode pipeline \(step: [^)]*\)", text)[-1]
    lines = [line.strip() for line in inner.splitlines()]
    kept_lines = []
    for line in lines:
        if line.startswith(("During", "raised from", "File ")):
            break
        kept_lines.append(line)
    return " ".join(line for line in kept_lines if line)[:400].rstrip(". ")


def _plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def _place_in(text: str) -> tuple[str, int] | None:
    """Return the innermost line of user code in a report, which comes first."""
    places = [pair for pattern in (_LOWERED, _LINE, _RAISED) for pair in pattern.findall(text)]
    lines = [(file, number) for file, number in places if not _is_ours(file)]
    return (lines[0][0], int(lines[0][1])) if lines else None


def _is_ours(filename: str) -> bool:
    parts = filename.replace("\\", "/").split("/")
    return "site-packages" in parts or "numba" in parts or is_package_file(filename)


def _function_name(text: str, short: str) -> str:
    ufunc = re.search(r"Function\(<ufunc '(\w+)'>\)", text)
    if ufunc is not None:
        return f"np.{ufunc[1]}"
    function = re.search(r"Function\(<(?:built-in )?function (?!run_driver)(\w+)", text)
    if short.startswith("<"):
        function = re.search(r"Function\((\w+)\)", text)
    return function[1] if function is not None else short
