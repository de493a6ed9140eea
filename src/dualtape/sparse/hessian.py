"""Sparse Hessians: the pattern from a recording of the gradient, the values from it or from H S.

The gradient of reverse mode is itself a function whose sparse Jacobian is the Hessian: recording it
(reverse over reverse) gives the exact pattern and, by elimination, the values in one go.  With the
pattern known, few products with sums of unit vectors, forward over reverse and eight at a time,
give them as well; a star coloring determines these (see `coloring`).

A. H. Gebremedhin, A. Tarafdar, A. Pothen, A. Walther, "Efficient computation of sparse Hessians
using coloring and automatic differentiation", INFORMS J. Computing 21 (2009).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..drivers.dispatcher import Transform, count_numbers
from ..drivers.factory import checked_function, name_of, py_func_of
from ..drivers.live import live
from ..drivers.options import Argnums, checked_argnums, checked_method
from ..drivers.select_mode import gradient
from ..errors import DualtapeError, PatternError
from ..functions.memo import remembered
from ..functions.pickling import sent_as
from . import coloring
from .callables import OUTSIDE_PATTERN, SparseDerivative, SparseJacobian, Sparsity, renamed
from .cores import compiled_core
from .driver import LANES, compressed_driver, sparse_driver
from .matrices import as_pattern, frame_of, frozen, with_data
from .program import METHODS

Function = Callable[..., Any]
# Products of forward over reverse agree to some hundred roundings: an entry outside of the pattern
# below this tolerance, relative to its row, is indistinguishable from rounding.
PROBE_TOLERANCE = 1e-9


def sparse_hessian(f: Function, argnums: Argnums = 0, *, method: str = "auto") -> SparseHessian:
    """Return a function that computes the Hessian as a ``scipy.sparse.csr_array``.

    ``H[i, j] = d2f/dx_i dx_j`` with flat indices, symmetric exactly.

    Parameters
    ----------
    f : function
        Scalar function of a real scalar, array or tuple x and of further arguments.
    argnums : int, tuple or list of int
        Which arguments x is; the rows and columns of several stand one after another.
    method : {"auto", "elimination", "coloring"}
        How the Jacobian of the gradient is computed from its recording, see `sparse_jacobian`;
        "coloring" uses only the pattern and computes the values from compressed products H S, as
        a prepared Hessian does.

    Returns
    -------
    function
        With the signature of f; returns a ``csr_array`` of shape (x.size, x.size), both triangles,
        with sorted indices.

    Raises
    ------
    ArgumentError
        If x is not real or `method` is wrong.
    NotScalarError, MissingRuleError, TapeMemoryError
        As in `grad`.

    Notes
    -----
    An entry is stored where x_i and x_j interact nonlinearly on the branch taken, also if its value
    is zero.

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
    return _transform("sparse_hessian", f, argnums, method)


def hessian_sparsity(f: Function, argnums: Argnums = 0) -> Callable[..., Any]:
    """Return a function that computes the sparsity pattern of the Hessian.

    Parameters
    ----------
    f, argnums
        As in `sparse_hessian`.

    Returns
    -------
    function
        ``*args -> csr_array`` of bool, symmetric; the pattern of the branch taken.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.hessian_sparsity(lambda x: x[0] * x[1] + x[2])(np.zeros(3)).toarray()
    array([[False,  True, False],
           [ True, False, False],
           [False, False, False]])
    """
    sparsity = Sparsity(_transform("hessian_sparsity", f, argnums))
    return sent_as(sparsity, "hessian_sparsity", (f,), argnums)


def prepare_sparse_hessian(f: Function, *args: Any, argnums: Argnums = 0) -> PreparedHessian:
    """Return the sparse Hessian with the pattern and the colors that it has at one point.

    Parameters
    ----------
    f, argnums
        As in `sparse_hessian`.
    *args
        The point whose pattern is used: arguments of f.

    Returns
    -------
    PreparedHessian
        ``prepared(*args)`` is a ``csr_array`` with the same pattern at every point, whose index
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
    hessian = _transform("prepare_sparse_hessian", f, argnums)
    return PreparedHessian(hessian, as_pattern(hessian(*args)))


class SparseHessian(SparseJacobian):
    """The result of `sparse_hessian`: the Jacobian of the gradient, made symmetric."""

    def __init__(self, kind: str, f: Any, positions: tuple[int, ...], method: str) -> None:
        inner = "auto" if method == "coloring" else method
        super().__init__(kind, _core(f, positions), f, (positions, None, inner, False))
        self._by_products = method == "coloring"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the Hessian."""
        args = self._complete(args, kwargs) if kwargs else args
        matrix = super().__call__(*args)
        if self._by_products:
            products = CompressedHessian(self._f, self._argnums, matrix)
            return with_data(matrix, products(*args)[0].data)
        return matrix

    def _layout(self, indptr: Any, indices: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
        """Return the frame of the symmetric matrix, and which entry each of its entries is."""
        union_ptr, union = coloring.symmetric_pattern(indptr, indices)
        places = coloring.upper_places(union_ptr, union, indptr, indices)
        return frame_of(union_ptr, union, shape), places


class CompressedHessian:
    """A Hessian of known pattern, from products with sums of unit vectors."""

    def __init__(self, f: Any, positions: tuple[int, ...], matrix: Any) -> None:
        self._product = _product(f, positions)
        self.colors = coloring.star_coloring(matrix.indptr, matrix.indices)
        self.frame = frozen(with_data(matrix, np.zeros(matrix.nnz)))
        places = coloring.star_places(matrix.indptr, matrix.indices, self.colors)
        count = int(self.colors.max(initial=-1)) + 1
        n = self.colors.size
        self._seeds = np.zeros((n, -(-(count + 1) // LANES) * LANES))
        self._seeds[np.arange(n), self.colors] = 1.0
        self._probe = count
        self._seeds[:, count] = 1.0 + np.modf(np.arange(1, n + 1) * np.sqrt(2.0))[0]
        self._flat = places[:, 0].astype(np.int64) * self._seeds.shape[1] + places[:, 1]

    def __call__(self, *args: Any) -> tuple[Any, bool]:
        """Return the Hessian, and whether there are entries outside of the pattern.

        They appear in the product with a vector without equal or zero elements, the probe.
        """
        products = self._product(self._seeds, *args)
        matrix = with_data(self.frame, products.ravel()[self._flat], share=True)
        probe = self._seeds[:, self._probe]
        with np.errstate(all="ignore"):
            excess = abs(products[:, self._probe] - matrix @ probe)
            sizes = with_data(self.frame, abs(matrix.data), share=True) @ probe
            sizes += abs(products[:, self._probe])
            return matrix, bool(np.any(excess > PROBE_TOLERANCE * sizes))


class PreparedHessian(SparseDerivative):
    """The result of `prepare_sparse_hessian`.

    Attributes
    ----------
    pattern : scipy.sparse.csr_array of bool
        Where entries are stored.
    colors : array of int
        A star coloring of its graph.
    """

    def __init__(self, hessian: SparseHessian, pattern: Any) -> None:
        super().__init__(f"prepare_sparse_hessian({name_of(hessian._f)})", hessian.__wrapped__)
        self._hessian, self.pattern = hessian, pattern
        self._compressed = CompressedHessian(hessian._f, hessian._argnums, pattern)
        self.colors = self._compressed.colors

    def __reduce__(self) -> Any:
        return PreparedHessian, (self._hessian, self.pattern)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the Hessian."""
        hessian = self._hessian
        args = hessian._complete(args, kwargs) if kwargs else args
        try:
            n = sum(count_numbers(args[i]) for i in hessian._argnums if i < len(args))
            if n != self.colors.size:
                hessian(*args)  # raises if there is another mistake
                raise PatternError(
                    f"{self.__name__}: prepared for {self.colors.size} inputs, called with {n}; "
                    "prepare another one."
                )
            matrix, exceeds = self._compressed(*args)
        except DualtapeError as error:
            raise renamed(error, hessian._core.__name__, self.__name__) from error.__cause__
        if exceeds:
            raise PatternError(OUTSIDE_PATTERN.format(self.__name__, "Hessian", "sparse_hessian"))
        return matrix


def _transform(kind: str, f: Any, argnums: Any, method: str = "auto") -> SparseHessian:
    """Return the transform for these options, made once."""
    function = checked_function(f, kind)
    checked_method(kind, method, METHODS)
    positions = checked_argnums(kind, argnums, py_func_of(function))

    def make() -> SparseHessian:
        hessian = SparseHessian(kind, function, positions, method)
        return sent_as(hessian, "sparse_hessian", (f,), argnums, method=method)

    hessian: SparseHessian = remembered(function, (kind, positions, method), make)
    return hessian


def _gradient(kind: str, f: Any, positions: tuple[int, ...]) -> Transform:
    """Return the gradient of reverse mode, which is no tuple for one argument."""
    argnums = positions[0] if len(positions) == 1 else positions
    return gradient(kind, f, argnums, "reverse", None)


@live
def _core(f: Any, positions: tuple[int, ...]) -> Transform:
    """Return the compiled ``(program, *args) -> (None, tape, rows, entries)`` of the gradient."""

    def driver() -> Any:
        inner = _gradient("grad", f, positions)
        return sparse_driver(inner, positions, None, name="sparse_hessian", with_value=False)

    return compiled_core(f, ("sparse_hessian", "core", positions), positions, driver)


@live
def _product(f: Any, positions: tuple[int, ...]) -> Transform:
    """Return the compiled ``(seeds, *args) -> H S``."""

    def driver() -> Any:
        return compressed_driver(_gradient("value_and_grad", f, positions), positions)

    key = ("sparse_hessian", "products", positions)
    return compiled_core(f, key, positions, driver, "seeds")
