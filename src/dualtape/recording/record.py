"""Recordings to inspect: a tape at the prompt, and `record` for a whole function.

``Tape`` records operations of Python numbers as they happen.  ``record`` runs a compiled twin of a
function in which every operation has a row and a label.  Both return a `Recording`: rows with
operation, value, partials and adjoint, to be listed, printed step by step, or drawn (`graph`).
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..backend.jit import entry
from ..backend.symbols import DEFAULT_LIMIT
from ..drivers.dispatcher import Transform, as_float
from ..drivers.factory import checked_function, name_of, py_func_of
from ..drivers.vjp import record_driver
from ..errors import ArgumentError
from ..functions.libraries import is_package_file
from ..functions.memo import current, remembered
from ..numbers.tracked import Active
from ..reverse.sweep import call_adjoint, sweep_floats
from ..rules.rule import Rule
from ..tape.pool import release_tape
from ..tape.storage import BLOCK_FIELDS, Storage, tape_at, typed_view
from ..twin.activation import twin
from ..twin.labels import LABELS

_OPERATORS = {
    "__add__": "+", "__radd__": "+", "__sub__": "-", "__rsub__": "-", "__mul__": "*",
    "__rmul__": "*", "__truediv__": "/", "__rtruediv__": "/", "__pow__": "**", "__rpow__": "**",
    "__neg__": "-", "__abs__": "abs", "__mod__": "%", "__floordiv__": "//",
}  # fmt: skip


@dataclass(frozen=True)
class Statement:
    """One row of a tape.

    Attributes
    ----------
    row : int
        Its number.
    operation : str
        "input", an operator, or the name of a function; empty for rows inside of array functions.
    value : float
        NaN if it was not stored.
    operands : tuple of int
        Rows of the operands.
    partials : tuple of float
        Derivatives of the value with respect to them.
    line : str
        "file:line" of the user's code, if known.
    """

    row: int
    operation: str
    value: float
    operands: tuple[int, ...]
    partials: tuple[float, ...]
    line: str = ""


class Recording:
    """Rows of a tape with operation, value and partials; see `Tape` and `record`."""

    outputs: tuple[int, ...] = ()
    """Rows of the results."""
    names: Mapping[int, str] = {}
    """Names of inputs by row, where they are known."""

    def title(self, s: Statement) -> str:
        """Return the name of a row."""
        return f"{s.operation or 'step'} {self.names.get(s.row, '')}".rstrip()

    def statements(self) -> list[Statement]:
        """Return all rows, inputs first."""
        raise NotImplementedError

    def adjoints(self, y: Any = None) -> np.ndarray:
        """Return dy/d(row) for every row; entry 0 belongs to the constants.

        Parameters
        ----------
        y : Active or int, optional
            The result (or its row); the only one of the recording if not given.
        """
        statements = self.statements()
        adjoint = np.zeros(1 + len(statements))
        row = self._row(y)
        if row > 0:
            adjoint[row] = 1.0
            self._sweep(adjoint)
        return adjoint

    def _row(self, y: Any) -> int:
        if y is None:
            if len(self.outputs) != 1:
                raise ArgumentError(f"the recording has {len(self.outputs)} results; name one")
            return self.outputs[0]
        return int(y.row) if isinstance(y, Active) else int(y)

    def _sweep(self, adjoint: np.ndarray) -> None:
        raise NotImplementedError

    def steps(self, y: Any = None) -> Iterator[str]:
        """Yield the steps of the reverse sweep, row by row, in words.

        Examples
        --------
        >>> import dualtape as ad
        >>> tape = ad.Tape()
        >>> x, y = tape.variable(3.0), tape.variable(4.0)
        >>> for step in tape.steps(x * y + y):
        ...     print(step)
        row 4 (+) has adjoint 1.0: row 3 gets 1.0 * 1.0, row 2 gets 1.0 * 1.0
        row 3 (*) has adjoint 1.0: row 1 gets 4.0 * 1.0, row 2 gets 3.0 * 1.0
        row 2 (input) has adjoint 4.0
        row 1 (input) has adjoint 4.0
        """
        adjoint = self.adjoints(y)
        for s in reversed(self.statements()):
            a = float(adjoint[s.row])
            changes = [
                f"row {row} gets {p!r} * {a!r}"
                for row, p in zip(s.operands, s.partials, strict=True)
            ]
            tail = ": " + ", ".join(changes) if changes else ""
            yield f"row {s.row} ({self.title(s)}) has adjoint {a!r}{tail}"

    def __str__(self) -> str:
        """Return a table of all rows, with adjoints if there is one result."""
        adjoint = self.adjoints() if len(self.outputs) == 1 else None
        lines = [f"{'row':>4}  {'operation':<12} {'value':>12}  {'adjoint':>12}  partials"]
        for s in self.statements():
            pairs = zip(s.operands, s.partials, strict=True)
            partials = ", ".join(f"d/d{row} = {p:.6g}" for row, p in pairs)
            bar = f"{adjoint[s.row]:12.6g}" if adjoint is not None else " " * 12
            lines.append(f"{s.row:>4}  {self.title(s):<12} {s.value:>12.6g}  {bar}  {partials}")
        return "\n".join(line.rstrip() for line in lines)

    def to_scipy(self) -> Any:
        """Return the tape as a ``csr_array`` of local partials, L[row, operand]."""
        import scipy.sparse  # noqa: PLC0415  # slow to import, and needed here only

        statements = self.statements()
        size = 1 + len(statements)
        indptr = np.cumsum([0, 0] + [len(s.operands) for s in statements])
        indices = [row for s in statements for row in s.operands]
        data = [p for s in statements for p in s.partials]
        return scipy.sparse.csr_array((data, indices, indptr), shape=(size, size))


class Tape(Storage, Recording):
    """A tape at the prompt: every operation on its numbers is recorded.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> tape = ad.Tape()
    >>> x = tape.variable(3.0)
    >>> y = (x * x + 2.0 * x) * np.exp(-x)
    >>> round(tape.gradient(y, x), 12)
    -0.348509478575
    >>> print(tape)
     row  operation           value       adjoint  partials
       1  input                   3     -0.348509
       2  *                       9     0.0497871  d/d1 = 6
       3  *                       6     0.0497871  d/d1 = 2
       4  +                      15     0.0497871  d/d2 = 1, d/d3 = 1
       5  -                      -3      0.746806  d/d1 = -1
       6  exp             0.0497871            15  d/d5 = 0.0497871
       7  *                0.746806             1  d/d4 = 0.0497871, d/d6 = 15
    """

    def __init__(self) -> None:
        super().__init__(8, DEFAULT_LIMIT)
        self._statements: list[Statement] = []

    def variable(self, value: Any) -> Active:
        """Return a new input."""
        if not isinstance(value, float | int | np.number):
            raise ArgumentError(f"Tape.variable: expected a plain number, got {value!r}")
        row = self.reserve(1)
        self._statements.append(Statement(row, "input", float(value), (), ()))
        number: Active = Active.of(float(value), row, self)
        return number

    def append(self, value: Any, rows: Any, partials: Any) -> Any:
        """Record a statement with these operand rows and partials; return its result.

        Partials of equal rows are added; constants have row 0 and are not entered.
        """
        entries: dict[int, float] = {}
        for row, p in zip(rows, partials, strict=True):
            if row > 0:
                entries[row] = entries.get(row, 0.0) + float(p)
        if not entries:
            return Active.of(value, 0, self)
        if self.entries + len(entries) > self.capacity:
            self.grow(len(entries))
        start, row = self.entries, self.rows
        self.col[start : start + len(entries)] = list(entries)
        self.partial.view(np.float64)[start : start + len(entries)] = list(entries.values())
        self.entries += len(entries)
        self.row_end[row] = self.entries
        self.rows += 1
        operation, line = _caller()
        operands = tuple(entries), tuple(entries.values())
        self._statements.append(Statement(row, operation, float(value), *operands, line))
        return Active.of(value, row, self)

    @property
    def outputs(self) -> tuple[int, ...]:  # type: ignore[override]
        """The last row."""
        return (self.rows - 1,)

    def gradient(self, y: Any, x: Any) -> Any:
        """Return dy/dx, for one number or a tuple, list or array of numbers x."""
        if not isinstance(y, Active | float | int):
            raise ArgumentError(f"Tape.gradient: y is {y!r}; expected one number of this tape")
        if isinstance(y, Active) and y.tape is not self:
            raise ArgumentError("Tape.gradient: y is a number of another tape")
        adjoint = self.adjoints(y if isinstance(y, Active) else 0)
        return self._read(adjoint, x)

    def _read(self, adjoint: np.ndarray, x: Any) -> Any:
        if isinstance(x, Active) and x.tape is self:
            return float(adjoint[x.row])
        if isinstance(x, np.ndarray):
            return np.array([self._read(adjoint, item) for item in x.flat]).reshape(x.shape)
        if isinstance(x, tuple | list):
            items = [self._read(adjoint, item) for item in x]
            return type(x)(*items) if hasattr(x, "_fields") else type(x)(items)
        raise ArgumentError(f"Tape.gradient: {x!r} is not a number of this tape")

    def statements(self) -> list[Statement]:
        """Return all rows."""
        return self._statements[: self.rows - 1]

    def rewind(self, mark: tuple[int, int, int, int, int]) -> None:
        """Drop everything recorded after `mark`."""
        super().rewind(mark)
        del self._statements[self.rows - 1 :]

    def _sweep(self, adjoint: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            sweep_floats(self, adjoint, self.partial.view(np.float64), 1, self.rows)


def _caller() -> tuple[str, str]:
    """Return the operation and the line of the user's code that called the package."""
    frame: Any = sys._getframe(2)
    name, rule = "", ""
    while frame is not None and is_package_file(frame.f_code.co_filename):
        name = frame.f_code.co_name
        candidate = frame.f_locals.get("rule")
        rule = candidate.name if isinstance(candidate, Rule) else rule
        ufunc = frame.f_locals.get("ufunc")
        rule = rule or ("" if ufunc is None else _SYMBOLS.get(ufunc.__name__, ufunc.__name__))
        frame = frame.f_back
    line = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
    return _OPERATORS.get(name) or rule or name, line


_SYMBOLS = {"add": "+", "subtract": "-", "multiply": "*", "divide": "/", "negative": "-"}


class Recorded(Recording):
    """The recording of one call of a function; what `record` returns.

    Attributes
    ----------
    value
        The result of the function.
    inputs : int
        The number of inputs, which are the first rows after row 0.
    outputs : tuple of int
        Rows of the results.
    """

    def __init__(self, value: Any, rows: Any, arrays: Any, names: list[str]) -> None:
        self.value = value
        self.inputs = len(names)
        self.names = dict(enumerate(names, 1))
        self.outputs = tuple(_flat(rows))
        self.row_end, self.col, self.partial, labels, self._values = arrays
        self._labels = [LABELS[number] if number >= 0 else None for number in labels]

    def statements(self) -> list[Statement]:
        """Return all rows."""
        return [self._statement(row) for row in range(1, self.row_end.size)]

    def _statement(self, row: int) -> Statement:
        entries = slice(self.row_end[row - 1], self.row_end[row])
        operands = tuple(map(int, self.col[entries])), tuple(map(float, self.partial[entries]))
        if row <= self.inputs:
            return Statement(row, "input", float(self._values[row]), *operands)
        label = self._labels[row]
        if label is None:
            return Statement(row, "", float("nan"), *operands)
        line = f"{label.filename}:{label.line}"
        return Statement(row, label.operation, float(self._values[row]), *operands, line)

    def _sweep(self, adjoint: np.ndarray) -> None:
        with np.errstate(all="ignore"):
            sweep_floats(self, adjoint, self.partial, 1, self.row_end.size)


def record(f: Callable[..., Any], *args: Any) -> Recorded:
    """Record a call of a function, with a row for every operation, to list, print or draw it.

    Parameters
    ----------
    f : function
        Plain Python or njit, as for `grad`.
    *args
        Its arguments, all of them inputs: real scalars, arrays, or tuples of these.

    Returns
    -------
    Recorded
        With the value, and rows for inputs and operations; ``print`` shows a table of values,
        adjoints and partials, ``steps()`` describes the reverse sweep in words, `graph.dot` and
        `graph.draw` draw it.

    Raises
    ------
    ArgumentError, MissingRuleError, TapeMemoryError
        As in `vjp`.

    Notes
    -----
    For learning and debugging: the function is compiled again, with a row for every operation.
    Operations inside array functions have rows without a name.

    Examples
    --------
    >>> import dualtape as ad
    >>> def f(x, y):
    ...     return x**2 * y + y + 2.0
    >>> recording = ad.record(f, 3.0, 4.0)
    >>> print(recording)
     row  operation           value       adjoint  partials
       1  input x                 3            24
       2  input y                 4            10
       3  **                      9             4  d/d1 = 6
       4  *                      36             1  d/d3 = 4, d/d2 = 9
       5  +                      40             1  d/d4 = 1, d/d2 = 1
       6  +                      42             1  d/d5 = 1
    """
    function = current(checked_function(f, "record"))
    name = f"record({name_of(function)})"

    def make() -> Transform:
        driver = record_driver(twin(function, labels=True), scalarized=True)
        return Transform(_signature, driver, (0,), name)

    run = remembered(function, "record", make)
    primals = tuple(
        as_float(arg, f"argument {i} of the function", name) for i, arg in enumerate(args)
    )
    value, address, rows = run(primals)
    inputs = [float(v) for v in _flat(primals)]
    try:
        arrays = _tape_entry()(address, 1 + len(inputs))
    finally:
        release_tape(address)
    arrays[4][1 : 1 + len(inputs)] = inputs
    return Recorded(value, rows, arrays, _names(function, primals))


def _signature(primals: Any) -> None: ...


def _names(function: Any, primals: tuple[Any, ...]) -> list[str]:
    """Return a name for every input: x, or x[0], x[1], ..."""
    parameters = list(inspect.signature(py_func_of(function)).parameters)
    names: list[str] = []
    for i, primal in enumerate(primals):
        names += _names_in(parameters[min(i, len(parameters) - 1)], primal)
    return names


def _names_in(name: str, primal: Any) -> list[str]:
    if isinstance(primal, tuple):
        return [n for k, item in enumerate(primal) for n in _names_in(f"{name}[{k}]", item)]
    places = np.ndindex(*np.shape(primal))
    return [name + (f"[{', '.join(map(str, index))}]" if index else "") for index in places]


def _flat(structure: Any) -> list[Any]:
    if isinstance(structure, tuple):
        return [item for part in structure for item in _flat(part)]
    return list(np.ravel(structure).tolist())


@functools.cache
def _tape_entry() -> Any:
    return entry(_tape_arrays)


def _tape_arrays(address: Any, first: Any) -> Any:
    """Return row_end, col, partial, labels and values of a tape, with blocks as plain entries.

    The rows before `first` are the inputs; a recording does not write where they end.
    """
    tape = tape_at(address)
    like = 0.0
    row_end = np.zeros(tape.rows, np.uint32)
    cols, partials = [np.uint32(0) for _ in range(0)], [0.0 for _ in range(0)]
    partial = typed_view(tape.partial, like)
    block = 0
    for row in range(first, tape.rows):
        while block < tape.blocks and row >= tape.block[block * BLOCK_FIELDS + 1]:
            block += 1
        if block < tape.blocks and row >= tape.block[block * BLOCK_FIELDS]:
            tape.clear_adjoints(1)
            adjoint = typed_view(tape.adjoint, like)
            adjoint[row] = 1.0
            call_adjoint(tape.block[block * BLOCK_FIELDS + 2], address, block, 0, 1)
            for operand in range(1, tape.block[block * BLOCK_FIELDS]):
                if adjoint[operand] != 0.0:
                    cols.append(np.uint32(operand))
                    partials.append(adjoint[operand])
        else:
            for e in range(tape.row_end[row - 1], tape.row_end[row]):
                cols.append(tape.col[e])
                partials.append(partial[e])
        row_end[row] = len(cols)
    labels, values = np.full(tape.rows, -1, np.int32), np.full(tape.rows, np.nan)
    labelled = min(tape.rows, tape.label.size)
    for row in range(labelled):
        labels[row] = tape.label[row]
        if labels[row] >= 0:
            values[row] = tape.value[row]
    return row_end, np.array(cols), np.array(partials), labels, values
