"""Sparse Hessians: the pattern from a recording of the gradient, the values from it or from H S.

The gradient of reverse mode is itself a function whose sparse Jacobian is the Hessian: recording it
(reverse over reverse) gives the exact pattern and, by elimination, the values in one go.  With the
pattern known, few products with sums of unit vectors, forward over reverse and eight at a time,
give them as well; a star coloring says which (see `coloring`).

A. H. Gebremedhin, A. Tarafdar, A. Pothen, A. Walther, "Efficient computation of sparse Hessians
using coloring and automatic differentiation", INFORMS J. Computing 21 (2009).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import coloring
from .driver import Transform, count_numbers
from .elimination import METHODS
from .errors import ArgumentError, PatternError
from .live import live
from .making import cached, checked_function, name_of
from .memory import remembered
from .modes import gradient
from .sparse import (
    SparseJacobian,
    Sparsity,
    as_pattern,
    core_signature,
    filled,
    frame_of,
    frozen,
)
from .sparse_reverse import LANES, compressed_driver, sparse_driver
from .travel import sent_as

__all__ = ["PreparedHessian", "hessian_sparsity", "prepare_sparse_hessian", "sparse_hessian"]

Function = Callable[..., Any]
# Products of forward over reverse agree to some hundred roundings; an entry outside of the pattern
# that is smaller, beside the others of its row, changes nothing that anyone could see.
PROBE_TOLERANCE = 1e-9


def sparse_hessian(f: Function, *, method: str = "auto") -> SparseHessian:
    """Return a function that computes the Hessian as a ``scipy.sparse.csr_array``.

    ``H[i, j] = d2f/dx_i dx_j`` with flat indices, symmetric exactly.

    Parameters
    ----------
    f : function
        Scalar function of a real scalar, array or tuple x and of further arguments.
    method : {"auto", "elimination", "coloring"}
        How the recording of the gradient becomes its Jacobian, see `sparse_jacobian`; "coloring"
        takes from it the pattern only and computes the values from compressed products H S, as a
        prepared Hessian does.

    Returns
    -------
    function
        ``(x, *args) -> csr_array`` of shape (x.size, x.size), both triangles, with sorted indices.

    Raises
    ------
    ArgumentError
        If x is not real or `method` is wrong.
    NotScalarError, MissingRuleError, TapeMemoryError
        As in `grad`.

    Notes
    -----
    An entry is stored where x_i and x_j meet in a nonlinear way on the branch taken, also if its
    value is zero.

    Cost: one recording of the gradient, and elimination. Where the pattern is the same at all
    points, `prepare_sparse_hessian` is cheaper.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> def f(x):
    ...     return x[1] * x[0] ** 2 + x[2] * x[1] ** 2
    >>> ad.sparse_hessian(f)(np.array([1.0, 2.0, 3.0])).toarray()
    array([[4., 2., 0.],
           [2., 6., 4.],
           [0., 4., 0.]])
    """
    function = checked_function(f, "sparse_hessian")
    if method not in METHODS:
        raise ArgumentError(f"sparse_hessian: method is {method!r}; expected one of {METHODS}")

    def make() -> SparseHessian:
        made = SparseHessian(function, method)
        return sent_as(made, "sparse_hessian", (f,), method=method)

    made: SparseHessian = remembered(function, ("sparse_hessian", method), make)
    return made


def hessian_sparsity(f: Function) -> Callable[..., Any]:
    """Return a function that computes where the Hessian can be other than zero.

    Parameters
    ----------
    f : function
        As in `sparse_hessian`.

    Returns
    -------
    function
        ``(x, *args) -> csr_array`` of bool, symmetric; the pattern of the branch taken.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.hessian_sparsity(lambda x: x[0] * x[1] + x[2])(np.zeros(3)).toarray()
    array([[False,  True, False],
           [ True, False, False],
           [False, False, False]])
    """
    made = Sparsity(sparse_hessian(f), f"hessian_sparsity({name_of(f)})")
    return sent_as(made, "hessian_sparsity", (f,))


def prepare_sparse_hessian(f: Function, x: Any, *args: Any) -> PreparedHessian:
    """Return the sparse Hessian with the pattern and the colors that it has at one point.

    Parameters
    ----------
    f : function
        As in `sparse_hessian`.
    x, *args
        The point whose pattern is kept.

    Returns
    -------
    PreparedHessian
        ``prepared(x, *args)`` is a ``csr_array`` with the same pattern at every point, whose index
        arrays are shared and read-only;
        ``prepared.pattern`` is a ``csr_array`` of bool, ``prepared.colors`` the coloring.

    Raises
    ------
    PatternError
        When called at a point whose Hessian has entries outside of the pattern: the matrix is
        checked against a product with a vector at every call.
    ArgumentError, NotScalarError, MissingRuleError, TapeMemoryError
        As in `sparse_hessian`.

    Notes
    -----
    Cost of a call: one recording and one sweep for every eight of p + 1 products, p being the
    number of colors: 3 for a tridiagonal Hessian, 2 for an arrow, of any size.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> hessian = ad.prepare_sparse_hessian(lambda x: x[0] * x[1] + x[1] ** 2, np.zeros(2))
    >>> hessian(np.ones(2)).toarray(), hessian.colors
    (array([[0., 1.],
           [1., 2.]]), array([1, 0], dtype=int32))
    """
    checked_function(f, "prepare_sparse_hessian")
    return PreparedHessian(f, x, *args)


class SparseHessian(SparseJacobian):
    """What `sparse_hessian` returns: the Jacobian of the gradient, made symmetric."""

    def __init__(self, f: Any, method: str) -> None:
        inner = "auto" if method == "coloring" else method
        super().__init__(_core(f), f, ((0,), None, inner, False))
        self._by_products = method == "coloring"

    def __call__(self, x: Any, *args: Any) -> Any:
        """Return the Hessian."""
        matrix = super().__call__(x, *args)
        if self._by_products:
            return filled(matrix, Compressed(self._f, matrix)(x, *args).data)
        return matrix

    def _arranged(self, indptr: Any, indices: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
        """Return the symmetric pattern, and its entries among those of the Jacobian."""
        start, columns = coloring.symmetric_pattern(indptr, indices)
        pick = coloring.upper_places(start, columns, indptr, indices)
        return frame_of(start, columns, shape), pick


class Compressed:
    """A Hessian of known pattern, from products with sums of unit vectors."""

    def __init__(self, f: Any, matrix: Any) -> None:
        self._product = _compressed(f)
        self.colors = coloring.star_coloring(matrix.indptr, matrix.indices)
        self.frame = frozen(filled(matrix, np.zeros(matrix.nnz)))
        places = coloring.star_places(matrix.indptr, matrix.indices, self.colors)
        count = int(self.colors.max(initial=-1)) + 1
        n = self.colors.size
        self._seeds = np.zeros((n, -(-(count + 1) // LANES) * LANES))
        self._seeds[np.arange(n), self.colors] = 1.0
        self._probe = count
        self._seeds[:, count] = 1.0 + np.modf(np.arange(1, n + 1) * np.sqrt(2.0))[0]
        self._flat = places[:, 0].astype(np.int64) * self._seeds.shape[1] + places[:, 1]

    def __call__(self, *args: Any) -> Any:
        """Return the Hessian, and the probe of what it misses."""
        return self.with_excess(*args)[0]

    def with_excess(self, *args: Any) -> tuple[Any, bool]:
        """Return the Hessian, and whether there are entries outside of the pattern.

        They show in the product with a vector that no coloring compresses.
        """
        products = self._product(self._seeds, *args)
        matrix = filled(self.frame, products.ravel()[self._flat], share=True)
        probe = self._seeds[:, self._probe]
        with np.errstate(all="ignore"):
            missed = abs(products[:, self._probe] - matrix @ probe)
            sizes = filled(self.frame, abs(matrix.data), share=True) @ probe
            sizes += abs(products[:, self._probe])
            return matrix, bool(np.any(missed > PROBE_TOLERANCE * sizes))


class PreparedHessian:
    """What `prepare_sparse_hessian` returns.

    Attributes
    ----------
    pattern : scipy.sparse.csr_array of bool
        Where entries are stored.
    colors : array of int
        A star coloring of its graph.
    """

    def __init__(self, f: Any, x: Any, *args: Any) -> None:
        hessian = sparse_hessian(f)
        self._start(hessian, hessian(x, *args))

    def _start(self, hessian: SparseHessian, matrix: Any) -> None:
        self.__name__ = f"prepare_{hessian.__name__}"
        self._known, self._hessian = hessian, Compressed(hessian._f, matrix)
        self.pattern = as_pattern(matrix)
        self.colors = self._hessian.colors

    def __reduce__(self) -> Any:
        return PreparedHessian._with_pattern, (self._known, self.pattern)

    @classmethod
    def _with_pattern(cls, hessian: SparseHessian, pattern: Any) -> PreparedHessian:
        made = cls.__new__(cls)
        made._start(hessian, pattern)
        return made

    def __repr__(self) -> str:
        return f"<dualtape {self.__name__}>"

    def __call__(self, x: Any, *args: Any) -> Any:
        """Return the Hessian."""
        n = count_numbers(x)
        if n != self.colors.size:
            raise PatternError(
                f"{self.__name__}: prepared for {self.colors.size} inputs, called with {n}; "
                "prepare another one."
            )
        matrix, exceeds = self._hessian.with_excess(x, *args)
        if exceeds:
            raise PatternError(
                f"{self.__name__}: at this point the Hessian has entries outside of the prepared "
                "pattern, another branch was taken; prepare it at a point with the larger pattern "
                "or use sparse_hessian."
            )
        return matrix


@live
def _core(f: Any) -> Transform:
    """Return the compiled core of the gradient; see `sparse.core_signature`."""
    function, key = f, ("sparse_hessian", "core")

    def make() -> Transform:
        driver = sparse_driver(
            gradient("grad", function, 0, "reverse", None), (0,), None,
            name="sparse_hessian", with_value=False,
        )  # fmt: skip
        name = f"sparse_hessian({name_of(function)})"
        return cached(Transform(core_signature, driver, (1,), name), function, key)

    made: Transform = remembered(function, key, make)
    return made


@live
def _compressed(f: Any) -> Transform:
    """Return the compiled ``(seeds, x, *args) -> H S``."""
    function, key = f, ("sparse_hessian", "products")

    def make() -> Transform:
        driver = compressed_driver(gradient("value_and_grad", function, 0, "reverse", None))
        name = f"sparse_hessian({name_of(function)})"
        return cached(Transform(_product_signature, driver, (1,), name), function, key)

    made: Transform = remembered(function, key, make)
    return made


def _product_signature(seeds, x, *args):  # type: ignore[no-untyped-def]
    ...
