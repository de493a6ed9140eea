"""What of NumPy differentiates: one table, executed by test_numpy_table.py, printed in the README.

A row is a plain NumPy function of an array x (and of further arguments) with the names it covers.
What Numba itself cannot compile is in the table as such: its derivative is an error that says so.

``python tests/numpy_table.py`` writes the table into the README.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numba
import numpy as np

from dualtape import MissingRuleError, UnsupportedFunctionError

trapezoid = np.trapezoid if hasattr(np, "trapezoid") else np.trapz  # noqa: NPY201
README = Path(__file__).parent.parent / "README.md"
MARKS = ("<!-- coverage -->\n", "<!-- end coverage -->\n")

VECTOR = np.array([0.7, -1.3, 2.1, 0.4, -0.6, 1.9])
PASSIVE = np.array([1.2, 0.3, -0.8, 2.2, 0.9, -1.7])
MATRIX = np.array([[0.7, -1.3, 2.1, 0.4], [1.6, 0.9, -0.5, 1.2], [-2.2, 0.3, 0.8, 1.1]])
SQUARE = np.array([[1.7, -0.3, 0.2], [0.6, 2.9, -0.5], [-0.2, 0.3, 1.8]])
BLOCK = np.linspace(-1.0, 1.7, 12).reshape(2, 3, 2) ** 3 + 0.35
THREE = np.array([0.7, -1.3, 2.1])
WEIGHTS = np.array([[1.0, -2.0, 0.5], [0.3, 1.1, 2.0], [0.7, 0.2, -0.4], [2.0, 1.5, 0.9]])


@dataclass(frozen=True)
class Row:
    """A function of an array that covers some names of NumPy."""

    family: str
    names: str
    f: Callable[..., Any]
    args: tuple[Any, ...]
    error: type[Exception] | None = None
    is_quick: bool = False  # part of one compiled function that every run of the tests checks

    @property
    def id(self) -> str:
        """A name for the test."""
        return re.sub(r"[^\w+*/@%<>=-]+", "-", f"{self.family}-{self.names}").strip("-")


ROWS: list[Row] = []


def row(family: str, names: str, f: Callable[..., Any], *args: Any, is_quick: bool = False) -> None:
    """Add a row; the arguments are VECTOR where none are given."""
    ROWS.append(Row(family, names, f, args or (VECTOR,), None, is_quick))


def not_in_numba(family: str, names: str, f: Callable[..., Any], *args: Any) -> None:
    """Add a row of what Numba refuses with plain floats, too."""
    ROWS.append(Row(family, names, f, args or (VECTOR,), UnsupportedFunctionError))


def no_rule(family: str, names: str, f: Callable[..., Any], *args: Any) -> None:
    """Add a row of what Numba compiles, but not with active numbers."""
    ROWS.append(Row(family, names, f, args or (VECTOR,), MissingRuleError))


def readme_table() -> str:
    """Return the table as Markdown: a line for every family and outcome."""
    lines = ["| | functions | forward | hyper-dual | reverse |", "|---|---|---|---|---|"]
    outcomes = {None: "yes", UnsupportedFunctionError: "not in Numba", MissingRuleError: "no rule"}
    for family in dict.fromkeys(row.family for row in ROWS):
        for error, outcome in outcomes.items():
            names = [r.names for r in ROWS if r.family == family and r.error is error]
            if names:
                told = "; ".join(names).replace("|", "\\|")
                lines.append(f"| {family} | {told} | {outcome} | {outcome} | {outcome} |")
    return "\n".join(lines) + "\n"


# Elementwise

family = "elementwise"
row(family, "+ - * /", lambda x, a: (x + a) * (x - 2.0) / (a * x - 3.0), VECTOR, PASSIVE)
row(family, "// % divmod", lambda x: x % 0.9 + x // 0.75 * x + divmod(x[2], x[1])[1] * x)
row(
    family,
    "** with integer, float and array exponents",
    lambda x: x**3 + (x * x + 1.0) ** 1.5 + 2.0**x + (x * x) ** x,
)
row(family, "unary - + abs", lambda x: -x + (+x) * np.abs(x))
row(
    family,
    "exp exp2 expm1 log log2 log10 log1p",
    lambda x: (
        np.exp(x)
        + np.exp2(x) * np.expm1(x)
        + np.log(x * x + 1.0) * np.log2(x * x + 2.0) * np.log10(x * x + 0.5)
        + np.log1p(x * x)
    ),
)
row(
    family,
    "sqrt cbrt square reciprocal",
    lambda x: np.sqrt(x * x + 1.0) * np.cbrt(x * x + 0.5) + np.square(x) * np.reciprocal(x),
)
row(
    family,
    "sin cos tan arcsin arccos arctan",
    lambda x: (
        np.sin(x) * np.cos(x)
        + np.tan(0.5 * x)
        + np.arcsin(0.3 * x) * np.arccos(0.4 * x)
        + np.arctan(x)
    ),
)
row(
    family,
    "sinh cosh tanh arcsinh arccosh arctanh",
    lambda x: (
        np.sinh(x) * np.cosh(x)
        + np.tanh(x) * np.arcsinh(x)
        + np.arccosh(x * x + 1.5) * np.arctanh(0.4 * x)
    ),
)
row(
    family,
    "arctan2 hypot logaddexp copysign fmod",
    lambda x, a: (
        np.arctan2(x, a) * np.hypot(x, a) + np.logaddexp(x, a) + np.copysign(x, a) * np.fmod(x, a)
    ),
    VECTOR,
    PASSIVE,
)
row(
    family,
    "maximum minimum fmax fmin",
    lambda x, a: np.maximum(x, a) * np.minimum(x, 0.5) + np.fmax(a, x) * np.fmin(x, a),
    VECTOR,
    PASSIVE,
)
row(family, "clip", lambda x: np.clip(x, -1.0, 1.5) * x)
row(
    family,
    "clip with array bounds",
    lambda x, a: np.clip(x, np.minimum(a, 0.1), np.abs(a)) * x,
    VECTOR,
    PASSIVE,
)
row(
    family,
    "where",
    lambda x, a: np.where(x > a, x * x, a * x) + np.where(x > 0.0, 1.0, x),
    VECTOR,
    PASSIVE,
)
row(
    family,
    "sign floor ceil rint trunc round",
    lambda x: (
        x * (np.sign(x) + np.floor(x) + np.ceil(x) + np.rint(x) + np.trunc(x)) + np.round(x, 1)
    ),
)
row(
    family,
    "deg2rad rad2deg degrees radians sinc",
    lambda x: np.deg2rad(x) * np.rad2deg(x) + np.degrees(x) * np.radians(x) + np.sinc(x),
)
row(
    family,
    "broadcasting",
    lambda x, a: (x * a[:, :1] + x[:, :1] * a) / (x[0] ** 2 + 1.0) + a[0, 0] * x[1, 2],
    MATRIX,
    MATRIX + 0.3,
)
row(
    family,
    "broadcasting of 1-D, 2-D and 3-D",
    lambda x, a: x * a + x[0] * a + x[:, :1] * x[0, 0],
    BLOCK,
    np.array([1.5, -0.7]),
)
row(
    family,
    "comparisons, logical functions",
    lambda x, a: np.where(
        (x > a) & ~(x >= 2.0) | (x == a) | np.logical_and(np.less(x, 0.0), x != a), x * x, x
    ),
    VECTOR,
    PASSIVE,
)
row(
    family,
    "isnan isfinite isinf signbit",
    lambda x: np.where(np.isfinite(x) & ~np.isnan(x) & ~np.isinf(x) & np.signbit(x), x**3, x),
)
no_rule(family, "nan_to_num", lambda x: np.nan_to_num(x * x))
row(
    family,
    "isclose allclose array_equal",
    lambda x, a: (
        np.where(np.isclose(x, a), 1.0, x * x)
        + (x if np.allclose(x, a) else x**3)
        + (x if np.array_equal(x, a) else x * x)
    ),
    VECTOR,
    PASSIVE,
)


def plain_in_place(x, a):
    y = x.copy()
    y += a
    y -= 0.3 * x
    y *= x
    y /= a * a + 1.0
    y **= 2
    y += y
    return y


def in_place_remainder(x):
    y = 3.0 * x
    y %= 0.8
    z = x.copy()
    z //= 0.75
    return y * x + z * x


def in_place_on_slices(x):
    y = np.zeros(x.shape)
    y[1:] += x[:-1] * x[1:]
    y[::2] *= x[::2]
    y[0] -= x[1]
    y[-1] /= x[0]
    return y


def explicit_output(x, a):
    y = np.empty_like(x)
    np.multiply(x, a, y)
    np.exp(y, y)
    return y


family = "in place"
row(family, "+= -= *= /= **=", plain_in_place, VECTOR, PASSIVE)
row(family, "%= //=", in_place_remainder)
row(family, "operators on slices and elements", in_place_on_slices)
row(family, "ufuncs with an output argument", explicit_output, VECTOR, PASSIVE)


# Reductions

family = "reduction"
row(family, "sum", lambda x: np.sum(x * x) * x.sum(), MATRIX)
row(
    family,
    "sum(axis)",
    lambda x: np.append(np.sum(x * x, axis=1), (x**3).sum(axis=0) * np.sum(x, 0)),
    MATRIX,
)
row(family, "sum(axis) in 3-D", lambda x: np.sum(x * x, axis=1) * np.sum(x * x, axis=-2), BLOCK)
row(family, "prod", lambda x: np.prod(x) * x.prod())
row(
    family,
    "mean var std",
    lambda x: np.mean(x) * np.var(x) + np.std(x) * x.mean() + x.var() * x.std(),
    MATRIX,
)
row(
    family,
    "min max amin amax",
    lambda x: np.min(x) * np.max(x) ** 2 + x.min() * x.max() + np.amin(x) * np.amax(x),
    MATRIX,
)
row(family, "builtin min max sum", lambda x: max(x) * min(x) + sum(x) ** 2)
row(
    family,
    "argmin argmax",
    lambda x: x[np.argmin(x)] ** 2 * x[x.argmax()] * x[np.argmax(x)] * x[x.argmin()],
)
row(
    family,
    "argmin(axis) argmax(axis)",
    lambda x: x[0, np.argmax(x, axis=1)[0]] ** 2 * x[np.argmin(x, axis=0)[2], 2],
    MATRIX,
)
row(
    family,
    "any all count_nonzero",
    lambda x: (
        (x if np.any(x) and np.all(x > -9.0) and x.all() and x.any() else -x)
        * np.count_nonzero(x)
        * x
    ),
)
row(
    family,
    "cumsum cumprod",
    lambda x: np.cumsum(x) * x.cumsum() + np.cumprod(x) * x.cumprod(),
    is_quick=True,
)
row(family, "diff", lambda x: np.diff(x) * np.diff(x * x))
row(
    family,
    "diff of higher order, of matrices",
    lambda x: np.diff(x**3, 2) + np.diff(x)[:, 1:],
    MATRIX,
)
row(family, "ediff1d", lambda x: np.ediff1d(x**3))
row(family, "trapezoid", lambda x: trapezoid(x * x) * trapezoid(x**3, dx=0.5))
row(
    family,
    "trapezoid(x)",
    lambda x, a: trapezoid(x * x, np.cumsum(a * a)) + trapezoid(a, x**3),
    VECTOR,
    PASSIVE,
)
row(family, "trapezoid along the last axis", lambda x: trapezoid(x**2), MATRIX)
row(
    family,
    "logsumexp as np.logaddexp, and as the user writes it",
    lambda x: np.logaddexp(x[0], x[1]) + np.max(x) + np.log(np.sum(np.exp(x - np.max(x)))),
)
row(family, "linalg.norm", lambda x: np.linalg.norm(x) ** 3)
row(
    family,
    "linalg.norm of orders 1, 2, inf, -inf, 0, p",
    lambda x: (
        np.linalg.norm(x, 1) * np.linalg.norm(x, 2)
        + np.linalg.norm(x, np.inf) ** 2
        + np.linalg.norm(x, -np.inf) ** 2
        + np.linalg.norm(x, 3.0) * np.linalg.norm(x, 0)
    ),
)
row(
    family,
    "linalg.norm of matrices: Frobenius, 1, inf, -1, -inf",
    lambda x: (
        np.linalg.norm(x) ** 2
        + np.linalg.norm(x, 1) * np.linalg.norm(x, np.inf)
        + np.linalg.norm(x, -1) ** 2
        + np.linalg.norm(x, -np.inf) ** 2
    ),
    MATRIX,
)
row(family, "ptp", lambda x: np.ptp(x) ** 2, MATRIX)
row(family, "median", lambda x: np.median(x) ** 2 + np.median(x[1:]) ** 3)
row(
    family,
    "percentile quantile",
    lambda x: np.percentile(x, 30.0) ** 2 + np.quantile(x, 0.6) ** 3,
)
row(
    family,
    "average",
    lambda x, a: np.average(x**2) + np.average(x, weights=a * a) ** 2,
    VECTOR,
    PASSIVE,
)
row(
    family,
    "nansum nanprod nanmin nanmax nanmean",
    lambda x: np.nansum(x * x) * np.nanprod(x) + np.nanmin(x) * np.nanmax(x) + np.nanmean(x) ** 2,
)
no_rule(family, "cov corrcoef", lambda x: np.cov(x) * np.corrcoef(x), MATRIX)
row(
    family,
    "mean(axis) cumsum(axis)",
    lambda x: np.mean(x, axis=0) * np.cumsum(x, axis=1) * np.cumsum(x, 0),
    MATRIX,
)
for _name, _f in {
    "prod": lambda x: np.prod(x, axis=1),
    "var": lambda x: np.var(x, axis=0),
    "std": lambda x: np.std(x, axis=1),
    "min": lambda x: np.min(x, axis=0),
    "max": lambda x: np.max(x, axis=1),
    "any": lambda x: np.where(np.any(x > 0.0, axis=0), x, x * x),
    "all": lambda x: np.where(np.all(x > 0.0, axis=0), x, x * x),
    "cumprod": lambda x: np.cumprod(x, axis=1),
    "ptp": lambda x: np.ptp(x, axis=1),
    "median": lambda x: np.median(x, axis=1),
    "linalg.norm": lambda x: np.linalg.norm(x, axis=1),
    "diff": lambda x: np.diff(x, axis=0),
}.items():
    not_in_numba(family, f"{_name}(axis)", _f, MATRIX)


# Indexing


def writes_through_views(x):
    y = np.zeros((3, 4))
    top = y[:1]
    column = y.T[1]
    flat = y.reshape(12)
    top[0] = x[:4]
    column += x[2:5]
    flat[-1] = x[5] * x[0]
    y[1:, ::2] = x[0] * x[4]
    y[2] *= x[1]
    return y


def filled(x):
    y = np.empty(x.shape)
    y.fill(x[0, 1])
    np.fill_diagonal(y, x[0, 0] * x[1, 1])
    return y * x


def rows_and_columns(x):
    y = x.copy()
    y[0] = x[1] * x[2]
    y[:, 1] = x[:, 0] * x[:, 2]
    y[1:, 2:] = x[:2, :2]
    return y


def boolean_mask_stores(x):
    y = x.copy()
    y[x > 0.5] = 0.25
    return y * x


def integer_array_stores(x):
    y = x * x
    y[np.array([0, 3])] = x[np.array([1, 2])]
    return y


def iteration(x):
    s = 0.0
    for part in x:
        for v in part:
            s += v * v
    for i, v in enumerate(x.flat):
        s += i * v
    for (i, j), v in np.ndenumerate(x):
        s += (i - j) * v**3
    for v in np.nditer(x):
        s += v.item() ** 2
    return s


def overwritten(x):
    y = x.copy()
    z = np.exp(y)
    w = y * y
    y[:] = 0.0
    return z * w + y


family = "indexing"
row(family, "slices, steps, negative", lambda x: x[1:-1] * x[::-1][2:] + x[-4:] * x[:4] * x[-1])
row(
    family, "ellipsis, newaxis", lambda x: x[..., 1] * x[1:, ..., 0] + x[np.newaxis, 0, :, 1], BLOCK
)
row(family, "newaxis", lambda x: x[:, None] * x[None, :])
row(family, "integer arrays", lambda x: x[np.array([0, 2, -1, 2])] ** 2)
row(
    family,
    "integer arrays in matrices",
    lambda x: x[np.array([2, 0])] ** 2 + x[1:, np.array([3, 1, 1, 0])],
    MATRIX,
)
row(family, "take", lambda x: np.take(x, np.array([5, 0, 0])) ** 2 * x.take(3))
row(family, "boolean masks", lambda x: x[x > 0.0] ** 2)
row(
    family,
    "take_along_axis",
    lambda x: np.take_along_axis(x, np.array([[0, 1, 2, 1]]), 0) ** 2,
    MATRIX,
)
row(family, "stores of rows, columns, blocks", rows_and_columns, MATRIX)
row(family, "stores by boolean mask", boolean_mask_stores)
row(family, "stores by integer array", integer_array_stores)
row(family, "views and writes through views", writes_through_views)
row(family, "iteration, flat, ndenumerate, nditer", iteration, MATRIX)
row(family, "operands overwritten later", overwritten)
row(
    family,
    "select extract",
    lambda x: (
        np.select([x > 1.0, x < 0.0], [x * x, x**3], 0.0)[:3] + np.extract(x > 0.0, x * x)[:3]
    ),
)
row(
    family,
    "nonzero flatnonzero argwhere",
    lambda x: (
        x[np.nonzero(x > 0.0)[0]] * x[np.flatnonzero(x > 0.0)] * x[np.argwhere(x > 0.0)[0, 0]]
    ),
)
row(family, "fill fill_diagonal", filled, SQUARE)


# Shapes


def transposed(x):
    return np.transpose(x, (2, 0, 1)) * 2.0 + np.moveaxis(x, 2, 0) ** 2


def split(x):
    a, b = np.split(x, 2)
    c = np.array_split(x, 4)
    return a * b * c[0][0] * c[3][0]


family = "shape"
row(
    family,
    "reshape ravel flatten",
    lambda x: (
        x.reshape(2, 6) * np.reshape(x, (2, 6)) * x.ravel()[3]
        + np.ravel(x)[:6] * x.flatten()[6:]
        + x.reshape(-1)[1]
    ),
    MATRIX,
)
row(
    family,
    "T transpose swapaxes",
    lambda x: x.T * np.transpose(x) * x.transpose() + np.swapaxes(x, 0, 1) ** 2,
    MATRIX,
)
row(family, "transpose(axes) moveaxis", transposed, BLOCK)
row(
    family,
    "expand_dims atleast_1d atleast_2d atleast_3d",
    lambda x: (
        np.expand_dims(x, 1) * np.atleast_2d(x)
        + np.atleast_1d(x) * np.expand_dims(x, 0) * np.atleast_3d(x)[0, 0, 0]
    ),
)
not_in_numba(family, "squeeze", lambda x: np.squeeze(x[:1]), MATRIX)
row(family, "concatenate", lambda x, a: np.concatenate((x, a, x * x)), VECTOR, PASSIVE)
row(family, "concatenate(axis)", lambda x, a: np.concatenate((x, a * x), axis=1), MATRIX, MATRIX)
row(
    family,
    "stack hstack vstack dstack column_stack",
    lambda x, a: (
        np.stack((x, a)) * np.vstack((a, x))
        + np.hstack((x, x * a))[3] * np.stack((x, a), axis=1).T
        + (np.column_stack((x, a)) * np.dstack((x, x * x))[0]).T
    ),
    VECTOR,
    PASSIVE,
)
row(
    family,
    "append delete",
    lambda x: np.append(x, x[0] ** 2)[:5] * np.delete(x, 2),
    is_quick=True,
)
row(family, "repeat", lambda x: np.repeat(x, 2) ** 2)
row(family, "repeat with counts", lambda x: np.repeat(x, np.array([2, 0, 1, 3, 0, 1])) ** 2)
not_in_numba(family, "tile", lambda x: np.tile(x, 2) ** 2)
row(family, "roll", lambda x: np.roll(x, 2) * np.roll(x, -1))
row(family, "roll of matrices", lambda x: np.roll(x, 3) * x, MATRIX)
row(family, "flip fliplr flipud", lambda x: np.flip(x) * np.fliplr(x) * np.flipud(x), MATRIX)
row(family, "rot90", lambda x: np.rot90(x) ** 2, MATRIX)
row(family, "split array_split", split)
row(
    family,
    "vsplit hsplit",
    lambda x: np.hsplit(x, 2)[0] * np.hsplit(x, 2)[1] * np.vsplit(x, 3)[1][0, 1],
    MATRIX,
)
row(family, "broadcast_to", lambda x: np.broadcast_to(x, (2, 6)) * x, VECTOR)
row(
    family,
    "copy astype ascontiguousarray asarray asfortranarray",
    lambda x: np.copy(x) * x.astype(np.float64) * np.ascontiguousarray(x[::-1]) * np.asarray(x),
)
row(family, "resize trim_zeros", lambda x: np.resize(x, 8) ** 2)


# Sorting, searching, interpolation


def sorted_in_place(x):
    y = x.copy()
    y.sort()
    return y**2


family = "order"
row(family, "sort", lambda x: np.sort(x) ** 2)
row(family, "ndarray.sort", sorted_in_place)
row(family, "argsort", lambda x: x[np.argsort(x)] ** 2 * x[x.argsort()])
row(family, "sorted", lambda x: np.array(sorted(x)) ** 2)
row(
    family,
    "partition argpartition",
    lambda x: np.partition(x, 2)[2] ** 2 * x[np.argpartition(x, 2)[2]],
)
row(
    family,
    "searchsorted digitize",
    lambda x, a: (
        x[np.searchsorted(np.sort(a), 0.5)]
        * x[np.digitize(x, np.sort(a)) - 1] ** 2
        * np.searchsorted(np.sort(x), a)
    ),
    VECTOR,
    PASSIVE,
)
row(family, "unique", lambda x: np.unique(x) ** 2)
row(
    family,
    "interp",
    lambda x, a: np.interp(a, np.cumsum(np.exp(x)), x * x),
    VECTOR,
    np.array([0.5, 2.5, 6.2, 9.0, 30.0]),
)
row(
    family,
    "interp at active points",
    lambda x, a: (
        np.interp(x, np.array([-1.0, 0.0, 0.5, 2.0]), np.array([1.0, 3.0, 2.0, 5.0]))
        * np.interp(x[0] ** 3, np.array([-1.0, 0.0, 0.5, 2.0]), np.array([1.0, 3.0, 2.0, 5.0]))
    ),
    VECTOR,
    PASSIVE,
)
no_rule(
    family,
    "bincount with weights",
    lambda x: np.bincount(np.array([0, 2, 1, 2, 0, 3]), weights=x**2),
)


# Products and special matrices


def batched(x, a):
    y = np.zeros((2, 3, 2))
    for k in range(x.shape[0]):
        y[k] = x[k] @ a
    return y * x


family = "product"
row(
    family,
    "dot vdot @ of vectors",
    lambda x, a: np.dot(x, x) * (x @ a) + np.vdot(a, x) ** 2 + x.dot(a),
    VECTOR,
    PASSIVE,
)
row(
    family,
    "@ dot of matrix and vector",
    lambda x, a: (x @ a) * np.dot(x, x[0]) * (x[:, 0] @ x)[1],
    MATRIX,
    MATRIX[1] + 0.2,
)
row(family, "@ dot of matrices", lambda x, a: (x @ a) * np.dot(x, x.T) + a.T @ x.T, MATRIX, WEIGHTS)
row(family, "batched loops of products", batched, BLOCK, np.array([[1.0, -2.0], [0.5, 0.3]]))
not_in_numba(family, "matmul", np.matmul, MATRIX, WEIGHTS)
not_in_numba(family, "inner", np.inner, VECTOR, PASSIVE)
not_in_numba(family, "tensordot", lambda x, a: np.tensordot(x, a, 1), MATRIX, WEIGHTS)
not_in_numba(family, "einsum", lambda x, a: np.einsum("ij,jk->ik", x, a), MATRIX, WEIGHTS)
row(family, "outer", lambda x, a: np.outer(x, a) * np.outer(x, x), VECTOR, PASSIVE)
row(family, "kron", lambda x, a: np.kron(x, a) * np.kron(a, x), MATRIX, SQUARE)
row(family, "kron of vectors", np.kron, VECTOR, PASSIVE)
row(
    family,
    "cross",
    lambda x, a: np.cross(x, a) * np.cross(a, x * x),
    THREE,
    np.array([0.2, 1.5, -0.9]),
)
row(family, "cross of many vectors", np.cross, SQUARE, SQUARE.T + 0.1)
row(family, "trace", lambda x: np.trace(x) ** 2 * np.trace(x, 1), SQUARE)
row(family, "diag of a matrix", lambda x: np.diag(x) ** 2 * np.diag(x, 1)[0], SQUARE)
row(family, "diag of a vector", lambda x: np.diag(x) * x)
row(family, "diag with an offset", lambda x: np.diag(x[0], 1)[:3, 1:] * np.diag(x, -1)[1], SQUARE)
row(family, "diagflat", lambda x: np.diagflat(x) * 2.0, THREE)
row(family, "triu tril", lambda x: np.triu(x) * x + np.tril(x, -1) ** 2, SQUARE)
row(family, "eye identity", lambda x: np.eye(3) * x + np.identity(3) * x[0], SQUARE)
row(
    family,
    "linspace between active numbers",
    lambda x: np.linspace(x[0], x[1] * x[2], 5) ** 2,
    is_quick=True,
)
no_rule(family, "vander", lambda x: np.vander(x, 4))

row(family, "tri", lambda x: np.tri(3, 3) * x, SQUARE)
not_in_numba(family, "meshgrid", lambda x: np.meshgrid(x, x)[0])
row(
    family,
    "convolve correlate",
    lambda x, a: np.convolve(x, a) * np.convolve(a, x * x) + np.correlate(x, a[:3])[1],
    VECTOR,
    PASSIVE,
)
row(
    family,
    "convolve(mode)",
    lambda x, a: np.convolve(a[:3], x, "same") * np.convolve(x * x, x, "same"),
    VECTOR,
    PASSIVE,
)


# Constructors that receive active numbers


def made_empty(x):
    y = np.empty(6)
    z = np.empty_like(y)
    w = np.zeros_like(x)
    u = np.ones(6)
    t = np.arange(6) * 0.1
    for i in range(6):
        y[i] = x[i] * t[i]
        z[i] = y[i] ** 2
        w[i] += z[i]
        u[i] *= w[i]
    return y + z + w + u


def constructed(x):
    y = np.zeros(3)
    y[0] = x[0]
    z = np.ones_like(x)
    z[2:] *= x[0]
    w = np.full(3, x[1])
    v = np.full_like(x, x[2])
    u = np.array([x[0], 2.0, x[1] * x[2]])
    t = np.array([[x[0], 1.0], [0.0, x[1]]])
    return y * w * u * v[0] + z[:3] + t[0, 0] * t[1, 1]


family = "constructor"
row(family, "zeros ones_like full full_like array", constructed)
row(family, "empty empty_like zeros_like ones arange", made_empty)
row(
    family,
    "list and tuple to array",
    lambda x: np.array([v * v for v in x]) * np.asarray((x[0], x[1], x[2], x[3], x[4], x[5])),
    is_quick=True,
)


# Stencils


def stencil_1d(x):
    y = np.zeros_like(x)
    for i in range(1, x.size - 1):
        y[i] = x[i - 1] - 2.0 * x[i] * x[i + 1]
    return y


def stencil_2d(x):
    y = np.zeros_like(x)
    for i in range(1, x.shape[0] - 1):
        for j in range(1, x.shape[1] - 1):
            y[i, j] = x[i - 1, j] * x[i + 1, j] + x[i, j - 1] + x[i, j + 1] - 4.0 * x[i, j] ** 2
    return y


def stencil_steps(x):
    u = x.copy()
    for _ in range(3):
        u[1:-1] = u[1:-1] + 0.2 * (u[2:] - 2.0 * u[1:-1] + u[:-2]) * u[1:-1]
    return u


@numba.stencil
def neighbors(u):
    return u[-1, 0] * u[1, 0] + u[0, -1] - 4.0 * u[0, 0] ** 2 + u[0, 2]


@numba.stencil(cval=1.5, standard_indexing=("w",))
def weighted_neighbors(u, a, w):
    return w[0] * u[-1] * a[1] + w[2] * u[2] * a[0]


@numba.stencil(neighborhood=((-2, 0),))
def moving_product(u):
    p = 1.0
    for i in range(-2, 1):
        p *= u[i]
    return p


family = "stencil"
row(family, "1-D loop", stencil_1d)
row(family, "2-D loop", stencil_2d, MATRIX)
row(family, "steps on slices of an array in place", stencil_steps)
# Called from Python a stencil is compiled anew each time.
row(family, "numba.stencil", numba.njit(lambda x: neighbors(x * x)), MATRIX)
row(
    family,
    "numba.stencil with a border, more arrays, a neighborhood",
    numba.njit(lambda x, a: weighted_neighbors(x, a, x) + moving_product(x)),
    VECTOR,
    PASSIVE,
)


if __name__ == "__main__":
    before, _, rest = README.read_text().partition(MARKS[0])
    README.write_text(before + MARKS[0] + readme_table() + MARKS[1] + rest.partition(MARKS[1])[2])
