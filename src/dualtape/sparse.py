"""Sparse Jacobians and Hessians as ``scipy.sparse`` arrays.

Rows and columns are flat indices: ``J[i, j] = dy_i/dx_j``, elements of arrays in row-major order,
the differentiated arguments one after another.  The pattern is that of the recording: an entry is
stored where x_j takes part in y_i on the branch taken, also if its value is zero.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from . import elimination
from .activate import twin
from .driver import Transform, as_float, count_numbers
from .elimination import EMPTY, METHODS
from .errors import ArgumentError, PatternError
from .live import live
from .making import cached, checked_argnums, checked_function, name_of, py_func_of
from .memory import remembered
from .sparse_reverse import sparse_driver
from .travel import Traveler, sent_as

__all__ = [
    "PreparedJacobian",
    "SparseJacobian",
    "Sparsity",
    "as_pattern",
    "core_signature",
    "filled",
    "frame_of",
    "frozen",
    "jacobian_sparsity",
    "prepare_sparse_jacobian",
    "sparse_jacobian",
    "value_and_sparse_jacobian",
]

Function = Callable[..., Any]


def sparse_jacobian(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    out: int | None = None,
    method: str = "auto",
) -> SparseJacobian:
    """Return a function that computes the Jacobian as a ``scipy.sparse.csr_array``.

    ``J[i, j] = dy_i/dx_j`` with flat indices: y and x are taken as vectors.

    Parameters
    ----------
    f : function
        Returns numbers, arrays or tuples of these, one after another; or writes its result into
        an argument, see `out`.
    argnums : int or tuple of int
        Which arguments to differentiate; the columns of several stand one after another.
    out : int, optional
        Position of the array that f writes y into, as right-hand sides ``f(x, out)`` or
        ``f(t, y, out)`` do. It tells the shape of y and the values it starts from, and is left
        unchanged. If it is the last argument, calls may leave it out: then it is like the first
        differentiated argument. So ``sparse_jacobian(f, 1, out=2)`` is a ``jac(t, y)`` for SciPy.
    method : {"auto", "elimination", "coloring"}
        Eliminate the intermediate rows of the recording; or sweep it for groups of outputs that
        share no input; "auto" takes what needs fewer multiplications. Products of arrays and
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
    if they happen to be zero. What depends on a product of arrays or on a checkpointed call is
    taken to depend on all inputs.

    Cost: one recording, and one multiplication for each of its entries where no intermediate value
    depends on many inputs. Where a call records the same structure as the one before, patterns are
    not looked at again.

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
    return _made("sparse_jacobian", f, argnums, out, method)


def value_and_sparse_jacobian(
    f: Function,
    argnums: int | tuple[int, ...] = 0,
    *,
    out: int | None = None,
    method: str = "auto",
) -> SparseJacobian:
    """Return a function that computes ``(f(x), sparse_jacobian(f)(x))`` in one recording.

    Parameters, errors and cost are those of `sparse_jacobian`; with `out` the value is a new array
    of what f writes.

    Returns
    -------
    function
        ``*args -> (value, J)``.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> def f(x, out):
    ...     out[:] = x**2
    >>> value, jacobian = ad.value_and_sparse_jacobian(f, out=1)(np.array([3.0, 4.0]))
    >>> value, jacobian.toarray()
    (array([ 9., 16.]), array([[6., 0.],
           [0., 8.]]))
    """
    return _made("value_and_sparse_jacobian", f, argnums, out, method)


def jacobian_sparsity(
    f: Function, argnums: int | tuple[int, ...] = 0, *, out: int | None = None
) -> Callable[..., Any]:
    """Return a function that computes where the Jacobian can be other than zero.

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
    jacobian = _made("sparse_jacobian", f, argnums, out, "auto")
    made = Sparsity(jacobian, f"jacobian_sparsity({name_of(f)})")
    return sent_as(made, "jacobian_sparsity", (f,), argnums, out=out)


def prepare_sparse_jacobian(
    f: Function,
    *args: Any,
    argnums: int | tuple[int, ...] = 0,
    out: int | None = None,
    method: str = "auto",
) -> PreparedJacobian:
    """Return the sparse Jacobian with the pattern that it has at one point.

    Parameters
    ----------
    f, argnums, out, method
        As in `sparse_jacobian`.
    *args
        The point: arguments of f. Derivatives there decide the pattern.

    Returns
    -------
    PreparedJacobian
        ``prepared(*args)`` is a ``csr_array`` whose ``indptr`` and ``indices`` have the same values
        at every point; they are shared by the results and read-only. ``prepared.pattern`` is a
        ``csr_array`` of bool.

    Raises
    ------
    PatternError
        When called at a point where another branch has entries outside of the pattern.
    ArgumentError, MissingRuleError, TapeMemoryError
        As in `sparse_jacobian`.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> jacobian = ad.prepare_sparse_jacobian(lambda x: x[1:] * x[:-1], np.zeros(3))
    >>> jacobian(np.array([1.0, 2.0, 3.0])).data
    array([2., 1., 3., 2.])
    """
    return PreparedJacobian(_made("sparse_jacobian", f, argnums, out, method), args)


class SparseJacobian(Traveler):
    """What `sparse_jacobian` returns; it remembers the structure of its last recording."""

    _share = False

    def __init__(self, core: Transform, f: Any, options: tuple[Any, ...]) -> None:
        self._core = core
        self._f = f
        self._argnums, self._out, self._method, self._with_value = options
        self._known: tuple[Any, Any, Any] = (EMPTY, None, None)  # program, empty result, order
        self.__name__ = self.__qualname__ = core.__name__
        self.__wrapped__ = py_func_of(f)  # inspect.signature

    def __repr__(self) -> str:
        return f"<dualtape {self.__name__}>"

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Return the Jacobian, after the value if that was asked for."""
        if named or len(args) == self._out:
            args = self._completed(args, named)
        known = self._known
        value, address, rows, data = self._core(known[0], *args)
        if address and data.size:
            elimination.sweep(address, known[0], data)
        elif address:
            known, data = self._analyzed(address, rows, args)
        _, frame, pick = known
        if pick is not None:
            data = np.append(data, 0.0)[pick]
        matrix = filled(frame, data, self._share)
        return (value, matrix) if self._with_value else matrix

    def _completed(self, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
        """Return all arguments by position, with the array that f writes to."""
        if named:
            bound = inspect.signature(self.__wrapped__).bind_partial(*args, **named)
            if bound.kwargs:
                raise ArgumentError(f"{self.__name__}: pass arguments by position")
            args = bound.args
        if len(args) == self._out:
            first = self._argnums[0]
            args = (*args, np.zeros_like(as_float(args[first], first, self.__name__)))
        return args

    def _analyzed(self, address: int, rows: Any, args: tuple[Any, ...]) -> Any:
        """Return what is known now of a new structure, and the entries of its first recording."""
        n = sum(count_numbers(args[i]) for i in self._argnums)
        program, data, pattern = elimination.first_filled(address, rows, n, self._method)
        known = (program, *self._arranged(*pattern, (rows.size, n)))
        self._known = known
        return known, data

    def _arranged(self, indptr: Any, indices: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
        """Return a result without entries, and the order of the entries of the Jacobian in it."""
        return frame_of(indptr, indices, shape), None


class Sparsity(Traveler):
    """What `jacobian_sparsity` and `hessian_sparsity` return: the pattern of a derivative."""

    def __init__(self, derivative: SparseJacobian, name: str) -> None:
        self._derivative = derivative
        self.__name__ = self.__qualname__ = name
        self.__wrapped__ = derivative.__wrapped__

    def __repr__(self) -> str:
        return f"<dualtape {self.__name__}>"

    def __call__(self, *args: Any, **named: Any) -> Any:
        """Return where the derivative has entries."""
        return as_pattern(self._derivative(*args, **named))


class PreparedJacobian(SparseJacobian):
    """What `prepare_sparse_jacobian` returns.

    Attributes
    ----------
    pattern : scipy.sparse.csr_array of bool
        Where entries are stored.
    """

    _share = True

    def __init__(self, jacobian: SparseJacobian, args: tuple[Any, ...]) -> None:
        self._start(jacobian, None)
        self.pattern = as_pattern(self(*args))

    def _start(self, jacobian: SparseJacobian, pattern: Any) -> None:
        options = jacobian._argnums, jacobian._out, jacobian._method, jacobian._with_value
        super().__init__(jacobian._core, jacobian._f, options)
        self._jacobian, self.pattern = jacobian, pattern

    def __reduce__(self) -> Any:
        return PreparedJacobian._with_pattern, (self._jacobian, self.pattern)

    @classmethod
    def _with_pattern(cls, jacobian: SparseJacobian, pattern: Any) -> PreparedJacobian:
        made = cls.__new__(cls)
        made._start(jacobian, pattern)
        return made

    def _arranged(self, indptr: Any, indices: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
        if self.pattern is None:
            return frozen(frame_of(indptr, indices, shape)), None
        pattern = self.pattern
        if shape != pattern.shape:
            raise PatternError(
                f"{self.__name__}: prepared for a Jacobian of shape {pattern.shape}, called with "
                f"one of shape {shape}; prepare another one."
            )
        pick = positions_in(pattern, indptr, indices)
        if pick is None:
            raise PatternError(
                f"{self.__name__}: at this point the Jacobian has entries outside of the prepared "
                "pattern, another branch was taken; prepare it at a point with the larger pattern "
                "or use sparse_jacobian."
            )
        same = pick.size == indices.size and np.array_equal(pick, np.arange(pick.size))
        frame = frozen(frame_of(pattern.indptr, pattern.indices, shape))
        return frame, None if same else pick


def positions_in(pattern: Any, indptr: Any, indices: Any) -> Any:
    """Return for every entry of `pattern` its place among others, -1 if missing.

    None if those are not all in the pattern.
    """
    wide = np.int64(max(pattern.shape[1], 1))

    def keys(starts: Any, columns: Any) -> Any:
        rows = np.repeat(np.arange(starts.size - 1, dtype=np.int64), np.diff(starts))
        return rows * wide + columns

    wanted, given = keys(pattern.indptr, pattern.indices), keys(indptr, indices)
    at = np.searchsorted(wanted, given)
    if np.any(at == wanted.size) or np.any(wanted[at] != given):
        return None
    pick = np.full(wanted.size, -1)
    pick[at] = np.arange(given.size)
    return pick


def frame_of(indptr: Any, indices: Any, shape: tuple[int, int], dtype: Any = np.float64) -> Any:
    """Return a matrix that `filled` makes others of the same pattern from."""
    from scipy.sparse import csr_array  # noqa: PLC0415  # takes longer than the package itself

    made = csr_array((np.zeros(indices.size, dtype), indices, indptr), shape=shape)
    made.has_canonical_format = True
    return made


def filled(frame: Any, data: Any, share: bool = False) -> Any:
    """Return a matrix with the pattern of `frame`, whose arrays it may share or own.

    It is what ``copy.copy`` does, a state put into a new object; the checks of the constructor take
    several times as long as a small Jacobian.
    """
    made = object.__new__(frame.__class__)
    state = {"data": data}
    if not share:
        state |= {"indices": frame.indices.copy(), "indptr": frame.indptr.copy()}
    made.__dict__ = frame.__dict__ | state
    return made


def frozen(frame: Any) -> Any:
    """Make the index arrays of a frame read-only, so that they can be shared; return it."""
    frame.indices.flags.writeable = frame.indptr.flags.writeable = False
    return frame


def as_pattern(matrix: Any) -> Any:
    """Return where a matrix has entries, as a matrix of bool."""
    return filled(matrix, np.ones(matrix.nnz, np.bool_))


def _made(kind: str, f: Any, argnums: Any, out: int | None, method: str) -> SparseJacobian:
    """Return the transform for these options, made once."""
    function = checked_function(f, kind)
    if method not in METHODS:
        raise ArgumentError(f"{kind}: method is {method!r}; expected one of {METHODS}")
    parameters = len(inspect.signature(py_func_of(function)).parameters)
    positions = _positions(kind, checked_argnums(kind, argnums), parameters)
    where = None if out is None else _positions(kind, (out,), parameters)[0]
    if where in positions:
        raise ArgumentError(f"{kind}: out={out} is one of the arguments to differentiate")
    key = (kind, positions, where, method)

    def make() -> SparseJacobian:
        with_value = kind.startswith("value")
        core = _core(kind, function, positions, where)
        made = SparseJacobian(core, function, (positions, where, method, with_value))
        return sent_as(made, kind, (f,), argnums, out=out, method=method)

    made: SparseJacobian = remembered(function, key, make)
    return made


def _positions(kind: str, argnums: tuple[int, ...], count: int) -> tuple[int, ...]:
    """Return argument numbers counted from the first."""
    for i in argnums:
        if type(i) is not int or not -count <= i < count:
            raise ArgumentError(f"{kind}: the function has {count} arguments, and none is {i!r}")
    return tuple(i % count for i in argnums)


@live
def _core(kind: str, f: Any, positions: tuple[int, ...], out: int | None) -> Transform:
    """Return the compiled ``(program, *args) -> (value, tape, rows, entries)``."""
    function, key = f, (kind, "core", positions, out)

    def make() -> Transform:
        with_value = kind.startswith("value")
        driver = sparse_driver(twin(function), positions, out, name=kind, with_value=with_value)
        inputs = positions if out is None else (*positions, out)
        name = f"{kind}({name_of(function)})"
        made = Transform(core_signature, driver, tuple(1 + i for i in inputs), name)
        return cached(made, function, key)

    made: Transform = remembered(function, key, make)
    return made


def core_signature(program, *args):  # type: ignore[no-untyped-def]
    """Have the signature of a core: a `Program` in one array, and the function's arguments."""
