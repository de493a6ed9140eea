"""Linear systems of arrays of numbers, by implicit rules.

A X = B is differentiated as an equation (M. B. Giles, "Collected matrix derivative
results for forward and reverse mode algorithmic differentiation", 2008, sections 2.2 and 2.3):

    forward   A X_i = B_i - A_i X                      for every partial i,
    reverse   A^T L = X_bar,  B_bar += L,  A_bar -= L X^T.

For the second derivatives of hyper-duals the forward rule, applied to itself, gives
A X_12 = B_12 - A_12 X - A_1 X_2 - A_2 X_1.  The floats of A are factored once; all these
systems are substitutions.

Matrices are stored transposed and right-hand sides as rows (see `lapack`); ``factors`` is the
transposed matrix with its primals replaced by those of its LU factors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba.core import types

from ..arrays.array_rule import array_rule
from ..arrays.blas import careful_product
from ..arrays.conversion import values
from ..backend.jit import by_type, generic, kernel
from ..numbers.access import empty_numbers, number_like
from ..numbers.types import NumberType, promote
from .lapack import solve_and_factor, substitute
from .matrices import add_flat, copy_flat, negative, stacked_rows, transposed, with_roots
from .products import times

NOT_FINITE = "Array must not contain infs or NaNs."
SINGULAR = "Matrix is singular to machine precision."


@kernel
def require_finite(a: Any) -> None:
    """Raise where an element is infinite or NaN, as NumPy under Numba does."""
    for x in a.flat:
        if not np.isfinite(x):
            raise np.linalg.LinAlgError(NOT_FINITE)


class Solution(NamedTuple):
    """A solution, and the factors that gave it."""

    x: Any
    factors: Any
    pivots: Any


@array_rule(operands=2)
def system_solution(a: Any, b: Any) -> Any:
    """Solve A x = b for each row of b."""
    return plain_solution(transposed(a), b).x


@system_solution.keep
def system_data(a: Any, b: Any) -> Any:
    """Return the solution and the factors."""
    return solution_and_factors(transposed(a), b)


@system_solution.tangent
def system_tangent(data: Any, da: Any, db: Any) -> Any:
    """Solve A dX = dB - dA X."""
    planes = right_hand_sides(da, db, data.x, True)
    return backsolve(data.factors, stacked_rows(planes), data.pivots, False)


@system_solution.adjoint
def system_adjoint(data: Any, bar: Any, is_needed: Any) -> Any:
    """Solve A^T L = X_bar; return -L X^T and L."""
    l = backsolve(data.factors, bar, data.pivots, True)
    return matrix_adjoint(data.x, l, True, is_needed[0]), l


@by_type
def solution_and_factors(a_t: Any, b: Any) -> Any:
    """Solve A x = b for each row of b, given A^T; return x, factors and pivots.

    Values are those of the plain function, to the last bit. Factors may overwrite A^T.
    """
    if not isinstance(promote([a_t.dtype, b.dtype]), NumberType):
        return plain_solution

    def of_numbers(a_t: Any, b: Any) -> Any:
        x, lu, pivots = plain_solution(values(a_t), values(b))
        factors = with_roots(a_t, lu)
        return Solution(with_roots(backsolve(factors, b, pivots, False), x), factors, pivots)

    return of_numbers


@kernel
def plain_solution(a_t: Any, b: Any) -> Any:
    """Solve A x = b for each row of b, given A^T of floats, which the factors overwrite."""
    require_finite(a_t)
    x, lu, pivots, is_regular = solve_and_factor(a_t, b)
    if not is_regular:
        raise np.linalg.LinAlgError(SINGULAR)
    return Solution(x, lu, pivots)


# Substitutions


class Substitution(NamedTuple):
    """A solution with known factors."""

    x: Any
    factors: Any
    pivots: Any
    flipped: Any


@array_rule(operands=2)
def backsolve(factors: Any, b: Any, pivots: Any, flipped: Any) -> Any:
    """Solve A x = b, or A^T x = b if `flipped`, for each row of b.

    Without pivots `factors` is itself the transposed matrix, which is lower triangular.
    """
    return substitute(factors, pivots, b, flipped)


@backsolve.keep
def substitution_data(factors: Any, b: Any, pivots: Any, flipped: Any) -> Any:
    """Return the solution and its factors."""
    return Substitution(backsolve(factors, b, pivots, flipped), factors, pivots, flipped)


@backsolve.tangent
def substitution_tangent(data: Any, da: Any, db: Any) -> Any:
    """Solve A dX = dB - dA X, given dA transposed unless `flipped`."""
    planes = right_hand_sides(da, db, data.x, data.flipped)
    return backsolve(data.factors, stacked_rows(planes), data.pivots, data.flipped)


@backsolve.adjoint
def substitution_adjoint(data: Any, bar: Any, is_needed: Any) -> Any:
    """Solve A^T L = X_bar; return -L X^T, transposed unless `flipped`, and L."""
    l = backsolve(data.factors, bar, data.pivots, not data.flipped)
    return matrix_adjoint(data.x, l, data.flipped, is_needed[0]), l


@by_type
def right_hand_sides(da: Any, db: Any, x: Any, flipped: Any) -> Any:
    """Return dB - dA X for every direction, given dA or, if not `flipped`, transposed."""
    if isinstance(da, types.NoneType):
        return lambda da, db, x, flipped: db
    if isinstance(db, types.NoneType):
        return lambda da, db, x, flipped: minus_products(da, x, flipped)

    def both(da: Any, db: Any, x: Any, flipped: Any) -> Any:
        out = minus_products(da, x, flipped)
        add_flat(out, db)
        return out

    return both


@generic
def minus_products(da: Any, x: Any, flipped: Any) -> Any:
    """Return -dA X for every direction; see `right_hand_sides`."""
    minus = negative(x)
    out = empty_numbers((da.shape[0], x.shape[0], x.shape[1]), number_like(da, x))
    for i in range(da.shape[0]):
        if flipped:
            copy_flat(out[i], times(minus, da[i].T))
        else:
            copy_flat(out[i], times(minus, da[i]))
    return out


@generic
def matrix_adjoint(x: Any, l: Any, flipped: Any, is_needed: Any) -> Any:
    """Return -L X^T, or its transpose if not `flipped`; an empty matrix if it is not needed."""
    if not is_needed:
        return empty_numbers((0, 0), number_like(l, x))
    minus = negative(l)
    return careful_product(minus.T, x) if flipped else careful_product(x.T, minus)
