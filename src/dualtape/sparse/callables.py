"""What sparse transforms return: callables with the analysis of their last recording."""

from __future__ import annotations

import functools
import inspect
from time import perf_counter
from typing import Any

import numpy as np

from ..drivers.dispatcher import Transform, as_float, count_numbers
from ..drivers.factory import name_of, py_func_of
from ..drivers.options import require_count
from ..errors import DualtapeError, PatternError
from ..functions.pickling import Traveler
from . import coloring
from .cores import capture_core, replay_core
from .matrices import as_pattern, frame_of, frozen, positions_in, with_data
from .program import EMPTY, analyze, sweep
from .replay import Replay, Replays


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
        self._replays = self._new_replays()
        self._count_without_out, self._max_without_out = _counts_without(
            self.__wrapped__, self._out
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Return the Jacobian, after the value if that is requested."""
        if kwargs or len(args) <= self._max_without_out:
            args = self._completed(args, kwargs)
        replay = self._replays.present
        if replay is not None and (replay.memory is None or replay.is_current()):
            found = replay.call(replay.address, *args)
            if not self._with_value:
                if len(found):
                    return self._filled(replay, found)
            elif len(found[1]):
                return found[0], self._filled(replay, found[1])
        if replay is not None:
            self._replays.miss()
        return self._recorded(args)

    def _filled(self, replay: Replay, data: Any) -> Any:
        """Return the Jacobian with the entries of a replay."""
        if replay.order is not None:
            data = np.append(data, 0.0)[replay.order]
        matrix = object.__new__(replay.kind)  # see `with_data`
        state = replay.state.copy()
        state["data"] = data
        if not self._share:
            state["indices"], state["indptr"] = state["indices"].copy(), state["indptr"].copy()
        matrix.__dict__ = state
        return matrix

    def _recorded(self, args: tuple[Any, ...]) -> Any:
        """Return the Jacobian by a recording."""
        analysis, start = self._analysis, perf_counter()
        try:
            value, address, rows, data = self._core(analysis[0], *args)
        except DualtapeError as error:
            raise renamed(error, self._core.__name__, self.__name__) from error.__cause__
        if address and data.size:
            sweep(address, analysis[0], data)
        elif address:
            analysis, data = self._analyze(address, rows, args)
        _, frame, order = analysis
        if not address and self._replays.is_due(perf_counter() - start):
            self.prepare_replay(args)
        if order is not None:
            data = np.append(data, 0.0)[order]
        matrix = with_data(frame, data, self._share)
        return (value, matrix) if self._with_value else matrix

    def _completed(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        """Return all arguments by position, of a call that may omit the array written to."""
        if kwargs or len(args) <= self._max_without_out:
            is_plain = not kwargs and len(args) == self._count_without_out
            return self._with_output(args) if is_plain else self._complete(args, kwargs)
        return args

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

    def prepare_replay(self, args: tuple[Any, ...]) -> None:
        """Let the following calls do without a tape, if they can."""
        args = self._completed(args, {})
        n = sum(count_numbers(args[i]) for i in self._argnums)
        self._replays.capture(args, n, self._layout)

    def _new_replays(self) -> Replays:
        kind = "value_and_sparse_jacobian" if self._with_value else "sparse_jacobian"
        inputs = self._argnums if self._out is None else (*self._argnums, self._out)
        options = kind, self._f, self._argnums, self._out
        capture = functools.partial(capture_core, *options)
        return Replays(capture, functools.partial(replay_core, *options), inputs, self._method)

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
