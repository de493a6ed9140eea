"""``np.linalg`` for arrays of numbers: NumPy's names lead here, to one kernel each."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._jit import generic, kernel, specialized
from .allocation import empty_array
from .arrays import route
from .conversion import values
from .determinants import determinant, log_determinant
from .numbertype import NumberType, promote
from .planes import family, times, with_roots
from .seed import element_like, empty_numbers
from .solving import inverse, require_finite, solved, system_solution, turned
from .symmetric import eigen, triangle

__all__: list[str] = []

NOT_SQUARE = "Last 2 dimensions of the array must be square."
NOT_FULL_RANK = (
    "lstsq: the matrix has not full rank; the solution of least norm is not differentiable there. "
    "Remove dependent columns or add a small multiple of the identity."
)
NOT_FITTING = "Incompatible array sizes, system is not dimensionally valid."


@kernel
def solve(a: Any, b: Any) -> Any:
    """np.linalg.solve."""
    require_square(a)
    if b.shape[0] != a.shape[0]:
        raise np.linalg.LinAlgError(NOT_FITTING)
    require_finite(values(b))
    return from_rows(system_solution(a, as_rows(b)), b)


@generic
def require_square(a: Any) -> None:
    """Raise unless a matrix is square."""
    if a.shape[0] != a.shape[1]:
        raise np.linalg.LinAlgError(NOT_SQUARE)


def as_rows(b: Any) -> Any:
    """Return right-hand sides as the rows of a new matrix (compiled code only)."""
    raise NotImplementedError


@specialized(as_rows)
def _as_rows(b: Any) -> Any:
    if b.ndim == 1:
        return lambda b: b.copy().reshape((1, b.size))
    return lambda b: turned(b)


def from_rows(x: Any, b: Any) -> Any:
    """Return rows as a vector or as columns, in the shape of b (compiled code only)."""
    raise NotImplementedError


@specialized(from_rows)
def _from_rows(x: Any, b: Any) -> Any:
    if b.ndim == 1:
        return lambda x, b: x.reshape(x.size)
    return lambda x, b: turned(x)


@kernel
def inv(a: Any) -> Any:
    """np.linalg.inv."""
    require_square(a)
    return inverse(a)


@kernel
def det(a: Any) -> Any:
    """np.linalg.det."""
    require_square(a)
    return determinant(a)


@kernel
def slogdet(a: Any) -> Any:
    """np.linalg.slogdet; the sign is passive, derivatives at a singular matrix are NaN."""
    require_square(a)
    return log_determinant(a)


@kernel
def cholesky(a: Any) -> Any:
    """np.linalg.cholesky, a function of the lower triangle."""
    require_square(a)
    return triangle(a)


@kernel
def eigh(a: Any) -> Any:
    """np.linalg.eigh, functions of the lower triangle."""
    require_square(a)
    return eigen(a)


@kernel
def eigvalsh(a: Any) -> Any:
    """np.linalg.eigvalsh, functions of the lower triangle."""
    require_square(a)
    return eigen(a)[0]


# Least squares


@kernel
def lstsq(a: Any, b: Any, rcond: Any = -1.0) -> Any:
    """np.linalg.lstsq of full rank: (solution, residuals, rank, None).

    With A^T (B - A X) = 0, or X = A^T Y and B - A A^T Y = 0 where there are fewer equations than
    unknowns, one step of Newton's method with the plain inverse of A^T A from the plain solution is
    right in all first derivatives, and one more step in those of one more order.  There is no rule
    for the singular values.
    """
    if b.shape[0] != a.shape[0]:
        raise np.linalg.LinAlgError(NOT_FITTING)
    plain_a = values(a)
    x0, squares, rank = plain_least_squares(plain_a, values(b), rcond)
    if rank < min(a.shape[0], a.shape[1]):
        raise np.linalg.LinAlgError(NOT_FULL_RANK)
    at, bt, xt = turned(a), as_rows(b), as_rows(x0)
    if a.shape[0] >= a.shape[1]:
        gram = gram_factor(plain_a)
        rows = refined(gram, at, a, bt, xt)
        rest = bt - times(rows, at)
    else:
        gram = gram_factor(turned(plain_a))
        start = inverse_gram(gram, as_rows(values(b)))
        rows = times(refined_wide(gram, at, a, bt, start), a)
        rest = bt - times(rows, at)
    x = with_roots(rows, xt)
    return from_rows(x, b), sums_of_squares(rest, squares), rank, None


@kernel
def plain_least_squares(a: Any, b: Any, rcond: Any) -> Any:
    """Return solution, residuals and rank of floats."""
    x, squares, rank, _ = np.linalg.lstsq(a, b, rcond)
    return x, squares, rank


@kernel
def gram_factor(a: Any) -> Any:
    """Return R^T, where A^T A = R^T R."""
    return turned(np.linalg.qr(a)[1])


@generic
def inverse_gram(factor: Any, b: Any) -> Any:
    """Solve R^T R x = b for each row of b, given R transposed."""
    none = empty_array(0, np.int32)
    return solved(factor, none, solved(factor, none, b, True), False)


@generic
def step(factor: Any, at: Any, a: Any, bt: Any, x: Any) -> Any:
    """Return Newton's next iterate for A^T (b - A x) = 0."""
    return x + inverse_gram(factor, times(bt - times(x, at), a))


@generic
def wide_step(factor: Any, at: Any, a: Any, bt: Any, y: Any) -> Any:
    """Return Newton's next iterate for b - A A^T y = 0."""
    return y + inverse_gram(factor, bt - times(times(y, a), at))


def orders_of(number: Any) -> int:
    """Return up to which order numbers of a type carry derivatives."""
    count = 0
    while isinstance(number, NumberType):
        count += 2 if family(number) == "hyper" else 1
        number = number.base
    return count


def refined(factor: Any, at: Any, a: Any, bt: Any, x: Any) -> Any:
    """Return a plain solution of A^T (b - A x) = 0 with derivatives (compiled code only)."""
    raise NotImplementedError


def refined_wide(factor: Any, at: Any, a: Any, bt: Any, x: Any) -> Any:
    """Return a plain solution of b - A A^T x = 0 with derivatives (compiled code only)."""
    raise NotImplementedError


def _steps(one: Any) -> Any:
    def choose(factor: Any, at: Any, a: Any, bt: Any, x: Any) -> Any:
        more = orders_of(promote([a.dtype, bt.dtype])) - 1
        if more == 0:
            return lambda factor, at, a, bt, x: one(factor, at, a, bt, x)

        def several(factor: Any, at: Any, a: Any, bt: Any, x: Any) -> Any:
            y = one(factor, at, a, bt, x)
            for _ in range(more):
                y = one(factor, at, a, bt, y)
            return y

        return several

    return choose


specialized(refined)(_steps(step))
specialized(refined_wide)(_steps(wide_step))


@kernel
def sums_of_squares(rest: Any, plain: Any) -> Any:
    """Return the sum of squares of each row, or nothing where NumPy gives nothing."""
    out = empty_numbers((plain.size,), element_like(rest))
    for i in range(plain.size):
        s = element_like(rest)
        for j in range(rest.shape[1]):
            s = s + rest[i, j] * rest[i, j]
        out[i] = s
    return out


for _target, _kernel in {
    np.linalg.solve: solve,
    np.linalg.inv: inv,
    np.linalg.det: det,
    np.linalg.slogdet: slogdet,
    np.linalg.cholesky: cholesky,
    np.linalg.eigh: eigh,
    np.linalg.eigvalsh: eigvalsh,
    np.linalg.lstsq: lstsq,
}.items():
    route(_target, _kernel)
