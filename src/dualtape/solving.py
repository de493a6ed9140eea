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
from .adjoints import rows_of, wide_like
from .blocks import (
    add_to_adjoint,
    adjoint_address,
    block_rows,
    gather_adjoint,
    load_array,
    store_array,
    tape_of,
)
from .conversion import values
from .lapack import PIVOT, factor, substitute
from .matmul import number_like
from .matmul import times as careful_times
from .numbertype import level
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

__all__ = ["factored", "inverse", "require_finite", "rows_on", "solved", "tape_on", "turned"]

WHOLE = np.int64(0)
NOT_FINITE = "Array must not contain infs or NaNs."
SINGULAR = "Matrix is singular to machine precision."


@kernel
def turned(a: Any) -> Any:
    """Return a C-contiguous transposed copy of a matrix."""
    out = empty_numbers((a.shape[1], a.shape[0]), element_like(a))
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
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


def factored(at: Any) -> tuple[Any, Any]:
    """Return factors and pivots of a matrix given transposed (compiled code only)."""
    raise NotImplementedError


@specialized(factored)
def _factored(at: Any) -> Any:
    if family(at.dtype) == "float":
        return _plain_factors

    def of_numbers(at: Any) -> Any:
        lu, pivots = _plain_factors(values(at))
        return with_roots(at, lu), pivots

    return of_numbers


@generic
def _plain_factors(at: Any) -> Any:
    require_finite(at)
    lu, pivots, is_regular = factor(at)
    if not is_regular:
        raise np.linalg.LinAlgError(SINGULAR)
    return lu, pivots


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
    return {"float": _plain_solution, "hyper": _hyper_solution, "dual": _dual_solution}[kind]


def _plain_solution(factors: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    return substitute(factors, pivots, b, flipped)


def _hyper_solution(factors: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    like = number_like(factors, b)
    return unnested(solved(nested(factors, like), pivots, nested(b, like), flipped), like)


def _dual_solution(factors: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    like = number_like(factors, b)
    factors0 = lowered(factors, like)
    x = solved(factors0, pivots, lowered(b, like), flipped)
    right = residuals(factors, b, x, flipped, like)
    rows = right.reshape((right.shape[0] * right.shape[1], right.shape[2]))
    return from_planes(x, solved(factors0, pivots, rows, flipped), like)


def residuals(factors: Any, b: Any, x: Any, flipped: Any, like: Any) -> Any:
    """Return B_i - A_i X for every partial i (compiled code only)."""
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
    """Return -A_i X for every partial i."""
    minus = negated(x)
    out = empty_numbers((planes.shape[0], x.shape[0], x.shape[1]), number_like(planes, x))
    for i in range(planes.shape[0]):
        if flipped:
            copy_flat(out[i], times(minus, planes[i].T))
        else:
            copy_flat(out[i], times(minus, planes[i]))
    return out


# Reverse mode: a solution is one block


def tape_on(a: Any, number: Any) -> int:
    """Return the tape of an array's elements of the type of `number`; 0 if they are all constant.

    An array of a lower level has a tape of its own, which is none here (compiled code only).
    """
    raise NotImplementedError


@specialized(tape_on)
def _tape_on(a: Any, number: Any) -> Any:
    if level(a.dtype) == number.level:
        return lambda a, number: tape_of(a)
    return lambda a, number: WHOLE


def rows_on(a: Any, number: Any) -> Any:
    """Return the rows of an array's elements; no rows if they are all constant (compiled only)."""
    raise NotImplementedError


@specialized(rows_on)
def _rows_on(a: Any, number: Any) -> Any:
    if level(a.dtype) != number.level:
        return lambda a, number: np.empty((0, 0), np.int64)
    return lambda a, number: rows_of(a) if tape_of(a) != 0 else np.empty((0, 0), np.int64)


@kernel
def tracked_solution(factors: Any, pivots: Any, b: Any, flipped: Any) -> Any:
    """Solve as a block: factors and solution are kept."""
    number = number_like(factors, b)
    factors0 = lowered(factors, number)
    x = solved(factors0, pivots, lowered(b, number), flipped)
    address = tape_on(factors, number)
    if address == 0:
        address = tape_on(b, number)
    first = WHOLE
    if address != 0:
        tape = tape_at(address)
        first = tape.reserve(x.size)
        rows_a, rows_b = rows_on(factors, number), rows_on(b, number)
        kept_factors, kept = wide_like(factors0), wide_like(x)
        told = np.array([x.shape[0], x.shape[1], int(flipped), pivots.size, rows_a.size,
                         rows_b.size, 0, 0, 0, 0, 0])  # fmt: skip
        told[6] = store_array(address, rows_a, WHOLE)
        told[7] = store_array(address, rows_b, WHOLE)
        told[8] = store_array(address, factors0, kept_factors)
        told[9] = store_array(address, pivots, PIVOT)
        told[10] = store_array(address, x, kept)
        at = store_array(address, told, WHOLE)
        tape.add_block(first, first + x.size, address_of_adjoint((kept_factors, kept)), at)
    return track_result(x, first, address, number)


def address_of_adjoint(kept: Any) -> int:
    """Return the address of `solution_adjoint` for what a block keeps (compiled code only)."""
    raise NotImplementedError


@specialized(address_of_adjoint)
def _address_of_adjoint(kept: Any) -> Any:
    made = solution_adjoint.at(level(kept[1]))
    return lambda kept: adjoint_address(made, kept)


@kernel
def solution_adjoint(address: Any, block: Any, lane: Any, width: Any, kept: Any) -> None:
    """Solve the adjoint system; add to the adjoints of what is not constant."""
    first, offset = block_rows(address, block)
    told = load_array(address, offset, 11, WHOLE)
    count, n, flipped = told[0], told[1], told[2] != 0
    rows_a = load_array(address, told[6], told[4], WHOLE)
    rows_b = load_array(address, told[7], told[5], WHOLE)
    factors = load_array(address, told[8], n * n, kept[0]).reshape((n, n))
    pivots = load_array(address, told[9], told[3], PIVOT)
    adjoint = typed_view(tape_at(address).adjoint, kept[1])
    bar = empty_numbers((count, n), kept[1])
    gather_adjoint(adjoint, first, bar, lane, width)
    l = solved(factors, pivots, bar, not flipped)
    add_to_adjoint(adjoint, rows_b, l, lane, width)
    if rows_a.size > 0:
        x = load_array(address, told[10], count * n, kept[1]).reshape((count, n))
        if flipped:
            add_to_adjoint(adjoint, rows_a, careful_times(negated(l).T, x), lane, width)
        else:
            add_to_adjoint(adjoint, rows_a, careful_times(x.T, negated(l)), lane, width)


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
    return {"float": _plain_inverse, "hyper": _hyper_inverse, "dual": _dual_inverse}[kind]


def _plain_inverse(a: Any) -> Any:
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
        told[1] = store_array(address, rows_of(a), WHOLE)
        told[2] = store_array(address, x, kept)
        at = store_array(address, told, WHOLE)
        tape.add_block(first, first + x.size, address_of_inverse_adjoint(kept), at)
    return track_result(x, first, address, number)


def address_of_inverse_adjoint(kept: Any) -> int:
    """Return the address of `inverse_adjoint` for a base type (compiled code only)."""
    raise NotImplementedError


@specialized(address_of_inverse_adjoint)
def _address_of_inverse_adjoint(kept: Any) -> Any:
    made = inverse_adjoint.at(level(kept))
    return lambda kept: adjoint_address(made, kept)


@kernel
def inverse_adjoint(address: Any, block: Any, lane: Any, width: Any, kept: Any) -> None:
    """Add -X^T X_bar X^T to the adjoints of the matrix."""
    first, offset = block_rows(address, block)
    told = load_array(address, offset, 3, WHOLE)
    n = told[0]
    rows = load_array(address, told[1], n * n, WHOLE)
    x = load_array(address, told[2], n * n, kept).reshape((n, n))
    adjoint = typed_view(tape_at(address).adjoint, kept)
    bar = empty_numbers((n, n), kept)
    gather_adjoint(adjoint, first, bar, lane, width)
    more = careful_times(careful_times(negated(x).T, bar), x.T)
    add_to_adjoint(adjoint, rows, more, lane, width)
