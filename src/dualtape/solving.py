"""Linear systems and inverses of arrays of numbers, by implicit rules.

A X = B is differentiated as what it is, an equation (M. B. Giles, "Collected matrix derivative
results for forward and reverse mode algorithmic differentiation", 2008, sections 2.2 and 2.3):

    forward   A X_i = B_i - A_i X                      for every partial i,
    reverse   A^T L = X_bar,  B_bar += L,  A_bar -= L X^T.

For the second derivatives of hyper-duals the forward rule, applied to itself, gives
A X_12 = B_12 - A_12 X - A_1 X_2 - A_2 X_1.  The factors of A are made once, of plain floats; all
these systems are substitutions.  With X = A^-1: X_i = -X A_i X, A_bar -= X^T X_bar X^T.

Matrices are held transposed and right-hand sides as rows (see `lapack`); ``factors`` is the
transposed matrix with the floats at its bottom replaced by those of its LU factors.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ._jit import generic, kernel, specialized
from .adjoints import wide_like
from .blocks import (
    add_to_rows,
    adjoint_of,
    block_rows,
    gather_adjoint,
    has_rows,
    load_array,
    store_array,
    store_rows,
    tape_of,
)
from .conversion import values
from .lapack import PIVOT, solve_and_factor, substitute
from .layouts import first_tape, rows_in
from .matmul import number_like
from .matmul import times as careful_times
from .planes import (
    add_flat,
    copy_flat,
    family,
    from_planes,
    left_products,
    lowered,
    nested,
    planes_of,
    times,
    top_number,
    unnested,
    with_roots,
)
from .replay import track_result
from .seed import element_like, empty_numbers
from .tape import tape_at, typed_view

__all__ = ["inverse", "require_finite", "solved", "stacked", "system_solution", "turned"]

WHOLE = np.int64(0)
NOT_FINITE = "Array must not contain infs or NaNs."
SINGULAR = "Matrix is singular to machine precision."


TILE = 16  # rows and columns whose cache lines stay while a tile is turned


@kernel
def turned(a: Any) -> Any:
    """Return a C-contiguous transposed copy of a matrix."""
    rows, columns = a.shape
    out = empty_numbers((columns, rows), element_like(a))
    for top in range(0, rows, TILE):
        for left in range(0, columns, TILE):
            for j in range(left, min(left + TILE, columns)):
                for i in range(top, min(top + TILE, rows)):
                    out[j, i] = a[i, j]
    return out


@kernel
def negated(a: Any) -> Any:
    """Return -a as a C-contiguous array."""
    out = empty_numbers(a.shape, element_like(a))
    flat, source = out.reshape(out.size), a.flat
    for i in range(flat.size):
        flat[i] = -source[i]
    return out


@kernel
def require_finite(a: Any) -> None:
    """Raise where an element is infinite or NaN, as NumPy under Numba does."""
    for x in a.flat:
        if not np.isfinite(x):
            raise np.linalg.LinAlgError(NOT_FINITE)


def system_solution(a: Any, b: Any) -> Any:
    """Solve A x = b for each row of b (compiled code only)."""
    raise NotImplementedError


@specialized(system_solution)
def _system_solution(a: Any, b: Any) -> Any:
    number = top_number(a, b)
    kind = family(number)
    if kind == "hyper":
        return _hyper_system
    if kind == "dual":
        return _dual_system
    tracked = tracked_system.at(number.level)
    return lambda a, b: tracked(a, b)


def _hyper_system(a: Any, b: Any) -> Any:
    like = number_like(a, b)
    return unnested(system_solution(nested(a, like), nested(b, like)), like)


def _dual_system(a: Any, b: Any) -> Any:
    like = number_like(a, b)
    x, factors, pivots = factored_and_solved(turned(lowered(a, like)), lowered(b, like))
    right = residuals(a, b, x, True, like)
    return from_planes(x, solved(factors, pivots, stacked(right), False), like)


@generic
def stacked(planes: Any) -> Any:
    """Return the rows of all planes as those of one matrix."""
    return planes.reshape((planes.shape[0] * planes.shape[1], planes.shape[2]))


def factored_and_solved(at: Any, b: Any) -> tuple[Any, Any, Any]:
    """Solve A x = b for each row of b; return x, factors and pivots (compiled code only).

    The matrix is given transposed.  Values are those of the function itself, to the last bit.
    """
    raise NotImplementedError


@specialized(factored_and_solved)
def _factored_and_solved(at: Any, b: Any) -> Any:
    if family(top_number(at, b)) == "float":
        return lambda at, b: plain_solution(at, b)

    def of_numbers(at: Any, b: Any) -> Any:
        x, lu, pivots = plain_solution(values(at), values(b))
        factors = with_roots(at, lu)
        return with_roots(solved(factors, pivots, b, False), x), factors, pivots

    return of_numbers


@kernel
def plain_solution(at: Any, b: Any) -> Any:
    """Solve A x = b for each row of b; return x, factors and pivots of floats."""
    require_finite(at)
    x, lu, pivots, is_regular = solve_and_factor(at, b)
    if not is_regular:
        raise np.linalg.LinAlgError(SINGULAR)
    return x, lu, pivots


def solved(factors: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    """Solve A x = b, or A^T x = b if `flipped`, for each row of b (compiled code only).

    Without pivots `factors` is itself the transposed matrix, which is lower triangular.
    """
    raise NotImplementedError


@specialized(solved)
def _solved(factors: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    number = top_number(factors, b)
    kind = family(number)
    if kind == "tracked":
        tracked = tracked_solution.at(number.level)
        return lambda factors, pivots, b, flipped: tracked(factors, pivots, b, flipped)
    if kind == "float":
        return lambda factors, pivots, b, flipped: substitute(factors, pivots, b, flipped)
    return _hyper_solution if kind == "hyper" else _dual_solution


def _hyper_solution(factors: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    like = number_like(factors, b)
    return unnested(solved(nested(factors, like), pivots, nested(b, like), flipped), like)


def _dual_solution(factors: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    like = number_like(factors, b)
    factors0 = lowered(factors, like)
    x = solved(factors0, pivots, lowered(b, like), flipped)
    right = residuals(factors, b, x, flipped, like)
    return from_planes(x, solved(factors0, pivots, stacked(right), flipped), like)


def residuals(factors: Any, b: Any, x: Any, flipped: Any, like: Any) -> Any:
    """Return B_i - A_i X for every partial i, given A or, if not `flipped`, A^T (compiled only)."""
    raise NotImplementedError


@specialized(residuals)
def _residuals(factors: Any, b: Any, x: Any, flipped: Any, like: Any) -> Any:
    if factors.dtype != like:
        return lambda factors, b, x, flipped, like: planes_of(b, like)
    if b.dtype != like:
        return lambda factors, b, x, flipped, like: moved(planes_of(factors, like), x, flipped)

    def both(factors: Any, b: Any, x: Any, flipped: Any, like: Any) -> Any:
        out = moved(planes_of(factors, like), x, flipped)
        add_flat(out, planes_of(b, like))
        return out

    return both


@generic
def moved(planes: Any, x: Any, flipped: Any) -> Any:
    """Return -A_i X for every partial i; see `residuals`."""
    minus = negated(x)
    out = empty_numbers((planes.shape[0], x.shape[0], x.shape[1]), number_like(planes, x))
    for i in range(planes.shape[0]):
        if flipped:
            copy_flat(out[i], times(minus, planes[i].T))
        else:
            copy_flat(out[i], times(minus, planes[i]))
    return out


# Reverse mode: a solution is one block


@kernel
def tracked_system(a: Any, b: Any) -> Any:
    """Solve A x = b as a block."""
    number = number_like(a, b)
    x, factors, pivots = factored_and_solved(turned(lowered(a, number)), lowered(b, number))
    return recorded_solution(x, factors, pivots, a, b, False, True)


@kernel
def tracked_solution(factors: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    """Solve with given factors as a block."""
    number = number_like(factors, b)
    factors0 = lowered(factors, number)
    x = solved(factors0, pivots, lowered(b, number), flipped)
    return recorded_solution(x, factors0, pivots, factors, b, flipped, False)


@generic
def recorded_solution(
    x: Any, factors: Any, pivots: Any, matrix: Any, b: Any, flipped: Any, is_own: Any
) -> Any:
    """Enter a solution as a block, which keeps factors and solution.

    The numbers of the matrix are given transposed, unless `is_own` says that they are not.
    """
    number = number_like(matrix, b)
    rows, other_rows = rows_in(matrix, number), rows_in(b, number)
    address, first = first_tape(rows), WHOLE
    if address == 0:
        address = first_tape(other_rows)
    if address != 0:
        tape = tape_at(address)
        first = tape.reserve(x.size)
        kept_factors, kept = wide_like(factors), wide_like(x)
        told = np.array([x.shape[0], x.shape[1], int(flipped), pivots.size, 0, 0, 0, 0, 0, 0])
        told[4] = store_rows(address, rows)
        told[5] = store_rows(address, other_rows)
        told[6] = store_array(address, factors, kept_factors)
        told[7] = store_array(address, pivots, PIVOT)
        told[8] = store_array(address, x, kept)
        told[9] = int(flipped or is_own)
        offset = store_array(address, told, WHOLE)
        adjoint = address_of_adjoint((kept_factors, kept))
        tape.add_block(first, first + x.size, adjoint, offset)
    return track_result(x, first, address, number)


@kernel
def solution_adjoint(address: Any, block: Any, lane: Any, width: Any, kept: Any) -> None:
    """Solve the adjoint system; add to the adjoints of what is not constant."""
    first, offset = block_rows(address, block)
    told = load_array(address, offset, 10, WHOLE)
    count, n, flipped = told[0], told[1], told[2] != 0
    factors = load_array(address, told[6], n * n, kept[0]).reshape((n, n))
    pivots = load_array(address, told[7], told[3], PIVOT)
    adjoint = typed_view(tape_at(address).adjoint, kept[1])
    bar = empty_numbers((count, n), kept[1])
    gather_adjoint(adjoint, first, bar, lane, width)
    l = solved(factors, pivots, bar, not flipped)
    add_to_rows(address, told[5], adjoint, l, lane, width)
    if has_rows(address, told[4]):
        x = load_array(address, told[8], count * n, kept[1]).reshape((count, n))
        minus = negated(l)
        more = careful_times(minus.T, x) if told[9] != 0 else careful_times(x.T, minus)
        add_to_rows(address, told[4], adjoint, more, lane, width)


address_of_adjoint = adjoint_of(solution_adjoint)


# Inverses


def inverse(a: Any) -> Any:
    """Return the inverse of a matrix (compiled code only)."""
    raise NotImplementedError


@specialized(inverse)
def _inverse(a: Any) -> Any:
    kind = family(a.dtype)
    if kind == "tracked":
        tracked = tracked_inverse.at(a.dtype.level)
        return lambda a: tracked(a)
    if kind == "float":
        return lambda a: plain_inverse(a)
    return _hyper_inverse if kind == "hyper" else _dual_inverse


@kernel
def plain_inverse(a: Any) -> Any:
    """Return the inverse of a matrix of floats."""
    return np.ascontiguousarray(np.linalg.inv(a))


def _hyper_inverse(a: Any) -> Any:
    like = element_like(a)
    return unnested(inverse(nested(a, like)), like)


def _dual_inverse(a: Any) -> Any:
    like = element_like(a)
    x = inverse(lowered(a, like))
    minus, planes = negated(x), left_products(planes_of(a, like), x)
    for i in range(planes.shape[0]):
        copy_flat(planes[i], times(minus, planes[i]))
    return from_planes(x, planes, like)


@kernel
def tracked_inverse(a: Any) -> Any:
    """Invert as a block: the inverse is kept."""
    number = element_like(a)
    x = inverse(lowered(a, number))
    address, first = tape_of(a), WHOLE
    if address != 0:
        tape = tape_at(address)
        first = tape.reserve(x.size)
        kept = wide_like(x)
        told = np.array([x.shape[0], 0, 0])
        told[1] = store_rows(address, rows_in(a, number))
        told[2] = store_array(address, x, kept)
        at = store_array(address, told, WHOLE)
        tape.add_block(first, first + x.size, address_of_inverse_adjoint(kept), at)
    return track_result(x, first, address, number)


@kernel
def inverse_adjoint(address: Any, block: Any, lane: Any, width: Any, kept: Any) -> None:
    """Add -X^T X_bar X^T to the adjoints of the matrix."""
    first, offset = block_rows(address, block)
    told = load_array(address, offset, 3, WHOLE)
    n = told[0]
    x = load_array(address, told[2], n * n, kept).reshape((n, n))
    adjoint = typed_view(tape_at(address).adjoint, kept)
    bar = empty_numbers((n, n), kept)
    gather_adjoint(adjoint, first, bar, lane, width)
    more = careful_times(careful_times(negated(x).T, bar), x.T)
    add_to_rows(address, told[1], adjoint, more, lane, width)


address_of_inverse_adjoint = adjoint_of(inverse_adjoint)
