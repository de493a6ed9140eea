"""Sparse Jacobians as ``scipy.sparse`` arrays.

Rows and columns are flat indices: ``J[i, j] = dy_i/dx_j``, elements of arrays in row-major order,
the differentiated arguments one after another.  The pattern is that of the recording: an entry is
stored where x_j takes part in y_i on the branch taken, also if its value is zero.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from ..drivers.factory import checked_function, py_func_of
from ..drivers.options import Argnums, checked_argnum, checked_argnums, checked_method
from ..errors import ArgumentError
from ..functions.memo import remembered
from ..functions.pickling import sent_as
from .callables import PreparedJacobian, SparseJacobian, Sparsity
from .cores import recording_core
from .matrices import as_pattern
from .program import METHODS

Function = Callable[..., Any]


def accepts_out(transform: Any) -> Any:
    """Let a transform take `output_argnum` under its old name, `out`."""

    @functools.wraps(transform)
    def wrapper(*args: Any, **options: Any) -> Any:
        if "out" in options:
            message = f"{transform.__name__}: out is called output_argnum now"
            warnings.warn(message, DeprecationWarning, stacklevel=2)
            options["output_argnum"] = options.pop("out")
        return transform(*args, **options)

    return wrapper


@accepts_out
def sparse_jacobian(
    f: Function, argnums: Argnums = 0, *, output_argnum: int | None = None, method: str = "auto"
) -> SparseJacobian:
    """Return a function that computes the Jacobian as a ``scipy.sparse.csr_array``.

    ``J[i, j] = dy_i/dx_j`` with flat indices: y and x are taken as vectors.

    Parameters
    ----------
    f : function
        Returns numbers, arrays or tuples of these, one after another; or writes its result into
        an argument, see `output_argnum`.
    argnums : int, tuple or list of int
        Which arguments to differentiate; the columns of several stand one after another.
    output_argnum : int, optional
        Which argument is the array that f writes y into, as right-hand sides ``f(x, out)``,
        ``f(out, x)`` or ``f(t, y, out)`` do. It has the shape of y and the values that f starts
        from, and is left unchanged. Calls may omit it: then it is zeros like the first argument to
        differentiate. So ``sparse_jacobian(f, 1, output_argnum=2)`` is a ``jac(t, y)`` for SciPy.
    method : {"auto", "elimination", "coloring"}
        Eliminate the intermediate rows of the recording; or sweep it for groups of outputs that
        share no input; "auto" chooses the way with fewer multiplications. Products of arrays and
        checkpointed calls can only be swept.

    Returns
    -------
    function
        With the signature of f; returns a ``csr_array`` of shape (y.size, x.size) in float64, with
        sorted indices and without duplicates.

    Raises
    ------
    ArgumentError
        If an option is wrong or an argument to differentiate is not real.
    NotScalarError, MissingRuleError, TapeMemoryError
        As in `jacobian`.

    Notes
    -----
    The pattern is that of the branch taken: entries are stored where x_j takes part in y_i, also
    if they happen to be zero. Outputs that depend on a product of arrays or on a checkpointed
    call are taken to depend on all inputs.

    Cost: one recording, and one multiplication for each of its entries where no intermediate value
    depends on many inputs. If a call records the same structure as the one before, patterns are not
    analyzed again.

    Where shapes, integers and comparisons decide what f records, calls need no recording once they
    have taken as long as compiling another version of f does (half a second): partials go straight
    into the matrix, and the comparisons of f are compared with the known ones; where one differs, f
    is recorded again.

    References
    ----------
    A. Griewank and A. Walther, Evaluating Derivatives, 2nd ed., SIAM 2008, chapters 7 to 9.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> def f(x):
    ...     return x[1:] * x[:-1] ** 2
    >>> ad.sparse_jacobian(f)(np.array([1.0, 2.0, 3.0])).toarray()
    array([[ 4.,  1.,  0.],
           [ 0., 12.,  4.]])
    """
    return _transform("sparse_jacobian", f, argnums, output_argnum, method)


@accepts_out
def value_and_sparse_jacobian(
    f: Function, argnums: Argnums = 0, *, output_argnum: int | None = None, method: str = "auto"
) -> SparseJacobian:
    """Return a function that computes ``(f(x), sparse_jacobian(f)(x))`` in one recording.

    Parameters, errors and cost are those of `sparse_jacobian`; with `output_argnum` the value is a
    new array of what f writes.

    Returns
    -------
    function
        ``*args -> (value, J)``.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> def f(x, out):
    ...     out[:] = x**2
    >>> value, jacobian = ad.value_and_sparse_jacobian(f, output_argnum=1)(np.array([3.0, 4.0]))
    >>> value, jacobian.toarray()
    (array([ 9., 16.]), array([[6., 0.],
           [0., 8.]]))
    """
    return _transform("value_and_sparse_jacobian", f, argnums, output_argnum, method)


@accepts_out
def jacobian_sparsity(
    f: Function, argnums: Argnums = 0, *, output_argnum: int | None = None
) -> Callable[..., Any]:
    """Return a function that computes the sparsity pattern of the Jacobian.

    Parameters, errors and cost are those of `sparse_jacobian`, and the pattern is that of its
    result: it belongs to the branch taken, and not to the values of the partials.

    Returns
    -------
    function
        ``*args -> csr_array`` of bool, SciPy's ``jac_sparsity``.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> ad.jacobian_sparsity(lambda x: x[1:] * x[:-1])(np.zeros(3)).toarray()
    array([[ True,  True, False],
           [False,  True,  True]])
    """
    sparsity = Sparsity(_transform("jacobian_sparsity", f, argnums, output_argnum))
    return sent_as(sparsity, "jacobian_sparsity", (f,), argnums, output_argnum=output_argnum)


@accepts_out
def prepare_sparse_jacobian(
    f: Function,
    *args: Any,
    argnums: Argnums = 0,
    output_argnum: int | None = None,
    method: str = "auto",
) -> PreparedJacobian:
    """Return the sparse Jacobian with the pattern that it has at one point.

    Parameters
    ----------
    f, argnums, output_argnum, method
        As in `sparse_jacobian`.
    *args
        The point: arguments of f. Derivatives there decide the pattern.

    Returns
    -------
    PreparedJacobian
        ``prepared(*args)`` is a ``csr_array`` whose ``indptr`` and ``indices`` have the same values
        at every point; they are shared by the results and read-only. ``prepared.pattern`` is a
        ``csr_array`` of bool, ``prepared.colors`` numbers groups of rows that share no column.

    Raises
    ------
    PatternError
        When called at a point where another branch has entries outside of the pattern.
    ArgumentError, MissingRuleError, TapeMemoryError
        As in `sparse_jacobian`.

    Notes
    -----
    Two more versions of f are compiled, with which calls need no tape where f takes the decisions
    that it took at the point (see `sparse_jacobian`).

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> jacobian = ad.prepare_sparse_jacobian(lambda x: x[1:] * x[:-1], np.zeros(3))
    >>> jacobian(np.array([1.0, 2.0, 3.0])).data
    array([2., 1., 3., 2.])
    """
    jacobian = _transform("prepare_sparse_jacobian", f, argnums, output_argnum, method)
    prepared = PreparedJacobian(jacobian)
    prepared.pattern = as_pattern(prepared(*args))
    prepared.prepare_replay(args)
    return prepared


def _transform(
    kind: str, f: Any, argnums: Any, output_argnum: int | None, method: str = "auto"
) -> SparseJacobian:
    """Return the transform for these options, made once."""
    function = checked_function(f, kind)
    checked_method(kind, method, METHODS)
    positions = checked_argnums(kind, argnums, py_func_of(function))
    out = None
    if output_argnum is not None:
        out = checked_argnum(kind, output_argnum, py_func_of(function), "output_argnum")
    if out in positions:
        raise ArgumentError(
            f"{kind}: output_argnum={output_argnum} is one of the arguments to differentiate"
        )
    key = (kind, positions, out, method)

    def make() -> SparseJacobian:
        with_value = kind.startswith("value")
        plain = kind if with_value else "sparse_jacobian"
        core = recording_core(plain, function, positions, out)
        jacobian = SparseJacobian(kind, core, function, (positions, out, method, with_value))
        return sent_as(jacobian, plain, (f,), argnums, output_argnum=output_argnum, method=method)

    jacobian: SparseJacobian = remembered(function, key, make)
    return jacobian
