"""The options of transforms (argument numbers, modes, chunk sizes), and the number of arguments.

All transforms check them here, so that one mistake has one message.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ..errors import ArgumentError

Argnums = int | tuple[int, ...] | list[int]
MODES = ("auto", "forward", "reverse")
CHUNKS = (1, 2, 4, 8, 16)


def checked_mode(kind: str, mode: Any) -> str:
    """Return the mode, or raise."""
    return str(_one_of(kind, "mode", mode, MODES))


def checked_chunk(kind: str, chunk_size: Any) -> int | None:
    """Return the chunk size, or raise."""
    if chunk_size is None:
        return None
    return int(_one_of(kind, "chunk_size", _as_int(chunk_size), CHUNKS))


def checked_method(kind: str, method: Any, methods: tuple[str, ...]) -> str:
    """Return the method, or raise."""
    return str(_one_of(kind, "method", method, methods))


def _one_of(kind: str, option: str, value: Any, choices: tuple[Any, ...]) -> Any:
    if type(value) is not type(choices[0]) or value not in choices:
        raise ArgumentError(f"{kind}: {option} is {value!r}; expected one of {choices}")
    return value


def _as_int(number: Any) -> Any:
    return int(number) if isinstance(number, np.integer) else number


def checked_argnums(
    kind: str, argnums: Any, function: Any, option: str = "argnums"
) -> tuple[int, ...]:
    """Return the argument numbers as a tuple, or raise.

    They count from the first argument, unless the function takes any number of them (``*args``).
    """
    items = argnums if isinstance(argnums, tuple | list) else (argnums,)
    positions = tuple(map(_as_int, items))
    are_integers = {type(i) for i in positions} == {int}
    if not are_integers or len(set(positions)) != len(positions):
        raise ArgumentError(
            f"{kind}: {option} is {argnums!r}; expected an argument number, or a tuple or list of "
            "different ones"
        )
    code = getattr(function, "py_func", function).__code__
    name = f"{kind}({function.__name__})"
    if code.co_flags & inspect.CO_VARARGS:
        return _distinct(name, option, positions)
    count = code.co_argcount + code.co_kwonlyargcount
    return nonnegative(name, positions, count, f"{function.__name__} is a function", option)


def checked_argnum(kind: str, argnum: Any, function: Any, option: str = "argnums") -> int:
    """Return an option that is a single argument number, or raise."""
    if isinstance(argnum, tuple | list):
        raise ArgumentError(f"{kind}: {option} is {argnum!r}; expected one argument number")
    return checked_argnums(kind, argnum, function, option)[0]


def nonnegative(
    name: str, argnums: tuple[int, ...], count: int, subject: str, option: str = "argnums"
) -> tuple[int, ...]:
    """Return argument numbers counted from the first of `count`, or raise."""
    for i in argnums:
        if not -count <= i < count:
            raise ArgumentError(
                f"{name}: {option} asks for argument {i}, but {subject} with {count} "
                f"argument{'' if count == 1 else 's'}."
            )
    return _distinct(name, option, tuple(i % count for i in argnums))


def direction_position(name: str, argnums: tuple[int, ...]) -> int:
    """Return the position of the direction of hvp: after the last differentiated argument."""
    if min(argnums) < 0:
        raise ArgumentError(
            f"{name}: argnums {argnums} counts from the last argument of a function with *args; "
            "count from the first."
        )
    return max(argnums) + 1


def _distinct(name: str, option: str, positions: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(positions)) != len(positions):
        raise ArgumentError(f"{name}: {option} {positions} names one argument twice.")
    return positions


def require_count(name: str, function: Any, count: int) -> None:
    """Raise if a function is called with too few or too many arguments, as Numba does."""
    parameters = inspect.signature(function).parameters.values()
    kinds = [p.kind for p in parameters]
    needed = sum(p.default is p.empty and p.kind is not p.VAR_POSITIONAL for p in parameters)
    most = count if inspect.Parameter.VAR_POSITIONAL in kinds else len(kinds)
    if not needed <= count <= most:
        is_short = count < needed
        problem, bound = ("not enough", needed) if is_short else ("too many", most)
        limit = ("at least " if is_short else "at most ") * (needed < len(kinds)) + str(bound)
        raise ArgumentError(f"{name}: {problem} arguments: expected {limit}, got {count}")
