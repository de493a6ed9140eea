"""The package's own errors: what happened, where in the user's code, what to do.

Every class derives from the built-in exception that Python itself would raise, so
``except TypeError`` keeps working, and from `DualtapeError`, so all of them can be caught
at once.  An exception raised by the user's function is never one of these: it comes
through unchanged.
"""

from __future__ import annotations

__all__ = [
    "NO_COMPLEX",
    "ArgumentError",
    "ArgumentValueError",
    "ConvergenceError",
    "DerivativeMismatchError",
    "DualtapeError",
    "IntegerConversionError",
    "MissingRuleError",
    "MixedNumbersError",
    "NotScalarError",
    "PatternError",
    "SingularJacobianError",
    "TapeMemoryError",
    "UnsupportedFunctionError",
]


class DualtapeError(Exception):
    """Base class of all errors raised by dualtape itself."""


class DualtapeWarning(UserWarning):
    """A compiled function and its derivatives hold globals that are others by now.

    Call its ``recompile()``, or pass the value as an argument.
    """


class ArgumentError(DualtapeError, TypeError):
    """An argument of a transform or of a differentiated call is of the wrong kind."""


class ArgumentValueError(DualtapeError, ValueError):
    """An argument is of the right kind, but not its value, its length or its shape."""


class NotScalarError(DualtapeError, TypeError):
    """A scalar result was needed and the function returned something else."""


class IntegerConversionError(DualtapeError, TypeError):
    """An active number was converted to an integer, which would lose its derivative.

    Use ``int(dualtape.value(x))`` where the conversion is meant (an index into a table, say).
    """


class MixedNumbersError(DualtapeError, TypeError):
    """Two active numbers of one level but of different kinds met in one operation."""


class MissingRuleError(DualtapeError, TypeError):
    """The function calls something that has no derivative rule; see `custom_rule`."""


class UnsupportedFunctionError(DualtapeError, TypeError):
    """The function cannot be compiled: by Numba itself, or not yet with derivatives."""


class DerivativeMismatchError(DualtapeError, AssertionError):
    """`check_grad` found a derivative that disagrees with its reference."""


class PatternError(DualtapeError, ValueError):
    """A prepared sparse derivative was called at a point where its pattern is larger."""


class TapeMemoryError(DualtapeError, MemoryError):
    """A recording would take more memory than a tape may; see `checkpoint`."""


class ConvergenceError(DualtapeError, RuntimeError):
    """An iteration or an integration stopped before it reached its result."""


class SingularJacobianError(DualtapeError, ArithmeticError):
    """An equation's Jacobian is singular at its solution, which has no derivative there."""


NO_COMPLEX = (
    "complex numbers have no derivative rules. Keep real and imaginary parts apart, or use "
    "dualtape.value(x) where x should count as constant."
)
