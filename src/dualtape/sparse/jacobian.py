"""Sparse Jacobians as ``scipy.sparse`` arrays.

Rows and columns are flat indices: ``J[i, j] = dy_i/dx_j``, elements of arrays in row-major order,
the differentiated arguments one after another.  The pattern is that of the recording: an entry is
stored where x_j takes part in y_i on the branch taken, also if its value is zero.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from ..drivers.dispatcher import Transform, as_float, count_numbers
from ..drivers.factory import cached, checked_function, name_of, py_func_of
from ..drivers.live import live
from ..drivers.options import (
    Argnums,
    checked_argnum,
    checked_argnums,
    checked_method,
    require_count,
)
from ..errors import ArgumentError, DualtapeError, PatternError
from ..functions.memo import remembered
from ..functions.parameters import taking
from ..functions.pickling import Traveler, sent_as
from ..twin.activation import twin
from . import coloring
from .driver import sparse_driver
from .matrices import as_pattern, frame_of, frozen, positions_in, with_data
from .program import EMPTY, METHODS, analyze, sweep

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
    return prepared


class SparseDerivative(Traveler):
    """A derivative with the signature of a Python function."""

    def __init__(self, name: str, function: Any) -> None:
        self.__name__ = self.__qualname__ = name
        self.__wrapped__ = function  # for inspect.signature

    def __repr__(self) -> str:
        return f"<dualtape {self.__name__}>"


class SparseJacobian(SparseDerivative):
    """The result of `sparse_jacobian`, with the analysis of its last recording."""

    _share = False

    def __init__(self, kind: str, core: Transform, f: Any, options: tuple[Any, ...]) -> None:
        super().__init__(f"{kind}({name_of(f)})", py_func_of(f))
        self._core = core
        self._f = f
        self._argnums, self._out, self._method, self._with_value = options
        self._analysis: tuple[Any, Any, Any] = (EMPTY, None, None)  # program, frame, order
        self._count_without_out, self._max_without_out = _counts_without(
            self.__wrapped__, self._out
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the Jacobian, after the value if that is requested."""
        if kwargs or len(args) <= self._max_without_out:
            is_plain = not kwargs and len(args) == self._count_without_out
            args = self._with_output(args) if is_plain else self._complete(args, kwargs)
        analysis = self._analysis
        try:
            value, address, rows, data = self._core(analysis[0], *args)
        except DualtapeError as error:
            raise renamed(error, self._core.__name__, self.__name__) from error.__cause__
        if address and data.size:
            sweep(address, analysis[0], data)
        elif address:
            analysis, data = self._analyze(address, rows, args)
        _, frame, order = analysis
        if order is not None:
            data = np.append(data, 0.0)[order]
        matrix = with_data(frame, data, self._share)
        return (value, matrix) if self._with_value else matrix

    def _with_output(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the arguments of a call that omits only the array that f writes to."""
        first = self._argnums[0] % (len(args) + 1)
        output = self._output_like(args[first - (first > self._out)])
        return (*args[: self._out], output, *args[self._out :])

    def _output_like(self, x: Any) -> Any:
        return np.zeros_like(as_float(x, f"argument {self._argnums[0]}", self.__name__))

    def _complete(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return all arguments by position, with the array that f writes to."""
        signature = inspect.signature(self.__wrapped__)
        names = list(signature.parameters)
        passed = signature.bind_partial(*args, **kwargs).arguments
        out = None if self._out is None else names[self._out]
        if out is not None and not {out, *_required(signature)} <= passed.keys():
            others = [p for p in signature.parameters.values() if p.name != out]
            passed = signature.replace(parameters=others).bind_partial(*args, **kwargs).arguments
            first = self._argnums[0]
            if names[first] in passed:  # if not, `require_count` raises below
                passed[out] = self._output_like(passed[names[first]])
        bound = inspect.BoundArguments(signature, {n: passed[n] for n in names if n in passed})
        if bound.kwargs:  # a default precedes an argument that was passed
            bound.apply_defaults()
        require_count(self.__name__, self.__wrapped__, len(bound.args))
        return bound.args

    def _analyze(self, address: int, rows: Any, args: tuple[Any, ...]) -> Any:
        """Return the analysis of a new structure, and the entries of its first recording."""
        n = sum(count_numbers(args[i]) for i in self._argnums)
        program, data, pattern = analyze(address, rows, n, self._method)
        analysis = self._analysis = (program, *self._layout(*pattern, (rows.size, n)))
        return analysis, data

    def _layout(self, indptr: Any, indices: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
        """Return the frame of the result, and the order of the Jacobian's entries in it."""
        return frame_of(indptr, indices, shape), None


def _counts_without(function: Any, out: int | None) -> tuple[int, int]:
    """Return how many arguments a call has that omits only the one written to, and the most.

    The first is -1 where the parameters that are required do not come first.
    """
    if out is None:
        return -1, -1
    signature = inspect.signature(function)
    names, required = list(signature.parameters), _required(signature)
    others = len({*required} - {names[out]})
    is_plain = {*names[: others + 1]} == {*required, names[out]}
    return (others if is_plain else -1), max(out, others)


def _required(signature: inspect.Signature) -> list[str]:
    """Return the names of required parameters."""
    parameters = signature.parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]


def renamed(error: DualtapeError, inner: str, name: str) -> DualtapeError:
    """Return an error of the derivative `inner` under the name of its caller."""
    text, head = str(error), f"{inner}: "
    return type(error)(f"{name}: {text.removeprefix(head)}") if text.startswith(head) else error


class Sparsity(SparseDerivative):
    """The result of `jacobian_sparsity` and `hessian_sparsity`: the pattern of a derivative."""

    def __init__(self, derivative: SparseJacobian) -> None:
        super().__init__(derivative.__name__, derivative.__wrapped__)
        self._derivative = derivative

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the pattern."""
        return as_pattern(self._derivative(*args, **kwargs))


class PreparedJacobian(SparseJacobian):
    """The result of `prepare_sparse_jacobian`.

    Attributes
    ----------
    pattern : scipy.sparse.csr_array of bool
        Where entries are stored.
    """

    _share = True

    def __init__(self, jacobian: SparseJacobian, pattern: Any = None) -> None:
        options = jacobian._argnums, jacobian._out, jacobian._method, False
        super().__init__("prepare_sparse_jacobian", jacobian._core, jacobian._f, options)
        self._jacobian, self.pattern = jacobian, pattern

    def __reduce__(self) -> Any:
        return PreparedJacobian, (self._jacobian, self.pattern)

    @functools.cached_property
    def colors(self) -> Any:
        """Groups of rows that share no column, by number: a coloring of the pattern."""
        pattern = self.pattern
        return coloring.row_coloring(pattern.indptr, pattern.indices, pattern.shape[1])

    def _layout(self, indptr: Any, indices: Any, shape: tuple[int, int]) -> tuple[Any, Any]:
        if self.pattern is None:
            return frozen(frame_of(indptr, indices, shape)), None
        pattern = self.pattern
        if shape != pattern.shape:
            raise PatternError(
                f"{self.__name__}: prepared for a Jacobian of shape {pattern.shape}, called with "
                f"one of shape {shape}; prepare another one."
            )
        order = positions_in(pattern, indptr, indices)
        if order is None:
            raise PatternError(OUTSIDE_PATTERN.format(self.__name__, "Jacobian", "sparse_jacobian"))
        is_same = order.size == indices.size and np.array_equal(order, np.arange(order.size))
        frame = frozen(frame_of(pattern.indptr, pattern.indices, shape))
        return frame, None if is_same else order


OUTSIDE_PATTERN = (
    "{}: at this point the {} has entries outside of the prepared pattern, another branch was "
    "taken; prepare it at a point with the larger pattern or use {}."
)


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
        core = _core(plain, function, positions, out)
        jacobian = SparseJacobian(kind, core, function, (positions, out, method, with_value))
        return sent_as(jacobian, plain, (f,), argnums, output_argnum=output_argnum, method=method)

    jacobian: SparseJacobian = remembered(function, key, make)
    return jacobian


@live
def _core(kind: str, f: Any, positions: tuple[int, ...], out: int | None) -> Transform:
    """Return the compiled ``(program, *args) -> (value, tape, rows, entries)``."""

    def driver() -> Any:
        with_value = kind.startswith("value")
        return sparse_driver(twin(f), positions, out, name=kind, with_value=with_value)

    inputs = positions if out is None else (*positions, out)
    return compiled_core(f, (kind, "core", positions, out), inputs, driver)


def compiled_core(
    f: Any, key: Any, inputs: Any, driver: Callable[[], Any], parameter: str = "program"
) -> Transform:
    """Return the transform that runs a driver, made once; its name is the first item of the key.

    It takes the arguments of f after one of its own, `parameter`: a `Program` in one array.
    """

    def make() -> Transform:
        positions = tuple(i + (i >= 0) for i in inputs)
        name = f"{key[0]}({name_of(f)})"
        core = Transform(taking(parameter, "*args"), driver(), positions, name)
        core.label = lambda i: f"argument {i - 1}"
        return cached(core, f, key)

    core: Transform = remembered(f, key, make)
    return core
