"""The package's own errors: what happened, where in the user's code, what to do.

Every class derives from the built-in exception that Python itself would raise, so
``except TypeError`` keeps working, and from `DualtapeError`, so all of them can be caught
at once.  Exceptions raised by the user's function are never converted: they propagate
unchanged.
"""

from __future__ import annotations


class DualtapeError(Exception):
    """Base class of all errors raised by dualtape itself."""


class DualtapeWarning(UserWarning):
    """A compiled function and its derivatives use values of globals that have changed since.

    Call its ``recompile()``, or pass the value as an argument.
    """


class ArgumentError(DualtapeError, TypeError):
    """An argument of a transform or of a differentiated call has the wrong type."""


class ArgumentValueError(DualtapeError, ValueError):
    """An argument has the right type, but a wrong value, length or shape."""


class NotScalarError(DualtapeError, TypeError):
    """The function was expected to return a scalar and returned something else."""


class IntegerConversionError(DualtapeError, TypeError):
    """An active number was used as an integer, which would lose its derivative.

    Write ``int(x)`` if that is meant (an index into a table, say).
    """


class MixedNumbersError(DualtapeError, TypeError):
    """Two active numbers of the same level but of different types met in one operation."""


class MissingRuleError(DualtapeError, TypeError):
    """The function calls something that has no derivative rule; see `custom_rule`."""


class UnsupportedFunctionError(DualtapeError, TypeError):
    """The function cannot be compiled, by Numba itself or with derivatives."""


class DerivativeMismatchError(DualtapeError, AssertionError):
    """`check_grad` found a derivative that disagrees with its reference."""


class PatternError(DualtapeError, ValueError):
    """A prepared sparse derivative was called at a point where the pattern is larger."""


class TapeMemoryError(DualtapeError, MemoryError):
    """A recording would exceed the memory limit of a tape; see `checkpoint`."""


class ConvergenceError(DualtapeError, RuntimeError):
    """An iteration or an integration stopped before it converged."""


class SingularJacobianError(DualtapeError, ArithmeticError):
    """The Jacobian of an equation is singular at the solution, which has no derivative there."""


NO_COMPLEX = (
    "complex numbers have no derivative rules. Keep real and imaginary parts apart, or use "
    "dualtape.value(x) where x should count as constant."
)
