"""Derivatives of Numba code: exact, compiled, of unmodified functions.

``import dualtape as ad``; then ``ad.grad(f)``, ``ad.hessian(f)``, ``ad.jacobian(f)`` are compiled
functions that SciPy takes directly.  How to read the code: `transforms` (the functions that users
call), `drivers` (the code of one derivative), `twin` (the user's function, compiled for numbers),
`numbers` (their arithmetic, and where they meet rules), `rules` (the table of derivatives),
`reverse` and `tape` (reverse mode).  The docstring of each package says what it contains.

Public names are imported when they are first used, and modules that register functions with Numba
when something first compiles; see `backend.loading`.
"""

import importlib as _importlib
import typing as _typing

from .backend import heap as _heap  # noqa: F401
from .backend import interrupts as _interrupts
from .backend import loading as _loading
from .backend import on_demand as _on_demand  # noqa: F401  # of the symbols of compiled code
from .backend import symbols as _symbols  # noqa: F401

if _typing.TYPE_CHECKING:
    from .backend.symbols import set_tape_limit as set_tape_limit
    from .backend.verbose import set_verbose as set_verbose
    from .errors import ArgumentError as ArgumentError
    from .errors import ArgumentValueError as ArgumentValueError
    from .errors import ConvergenceError as ConvergenceError
    from .errors import DerivativeMismatchError as DerivativeMismatchError
    from .errors import DualtapeError as DualtapeError
    from .errors import DualtapeWarning as DualtapeWarning
    from .errors import IntegerConversionError as IntegerConversionError
    from .errors import MissingRuleError as MissingRuleError
    from .errors import MixedNumbersError as MixedNumbersError
    from .errors import NotScalarError as NotScalarError
    from .errors import PatternError as PatternError
    from .errors import SingularJacobianError as SingularJacobianError
    from .errors import TapeMemoryError as TapeMemoryError
    from .errors import UnsupportedFunctionError as UnsupportedFunctionError
    from .implicit.functions import implicit_minimum as implicit_minimum
    from .implicit.functions import implicit_root as implicit_root
    from .numbers.hyper_dual import HyperDual as HyperDual
    from .numbers.registration import value as value
    from .numbers.vector_dual import VectorDual as VectorDual
    from .recording import graph as graph
    from .recording.record import Tape as Tape
    from .recording.record import record as record
    from .sparse.hessian import hessian_sparsity as hessian_sparsity
    from .sparse.hessian import prepare_sparse_hessian as prepare_sparse_hessian
    from .sparse.hessian import sparse_hessian as sparse_hessian
    from .sparse.jacobian import jacobian_sparsity as jacobian_sparsity
    from .sparse.jacobian import prepare_sparse_jacobian as prepare_sparse_jacobian
    from .sparse.jacobian import sparse_jacobian as sparse_jacobian
    from .sparse.jacobian import value_and_sparse_jacobian as value_and_sparse_jacobian
    from .transforms.check import check_grad as check_grad
    from .transforms.checkpoint import checkpoint as checkpoint
    from .transforms.checkpoint import checkpoint_loop as checkpoint_loop
    from .transforms.custom_rule import custom_rule as custom_rule
    from .transforms.derivatives import grad as grad
    from .transforms.derivatives import hessian as hessian
    from .transforms.derivatives import jacobian as jacobian
    from .transforms.derivatives import value_and_grad as value_and_grad
    from .transforms.derivatives import value_and_jacobian as value_and_jacobian
    from .transforms.derivatives import value_grad_hessian as value_grad_hessian
    from .transforms.interpolate import interpolate as interpolate
    from .transforms.products import derivative as derivative
    from .transforms.products import hvp as hvp
    from .transforms.products import jvp as jvp
    from .transforms.products import vjp as vjp
    from .transforms.ravel import ravel as ravel
    from .transforms.relaxations import round_ste as round_ste
    from .transforms.relaxations import smooth_maximum as smooth_maximum
    from .transforms.relaxations import soft_rank as soft_rank
    from .transforms.relaxations import soft_sort as soft_sort
    from .transforms.score import ScoreEstimate as ScoreEstimate
    from .transforms.score import score_grad as score_grad
    from .transforms.vector_math import set_vector_math as set_vector_math

__version__ = "0.1.0"

_CONTENTS = {
    "recording.graph": "",
    "transforms.checkpoint": "checkpoint checkpoint_loop",
    "numbers.vector_dual": "VectorDual",
    "numbers.registration": "value",
    "errors": "ArgumentError ArgumentValueError ConvergenceError DerivativeMismatchError "
    "DualtapeError DualtapeWarning IntegerConversionError MissingRuleError MixedNumbersError "
    "NotScalarError PatternError SingularJacobianError TapeMemoryError UnsupportedFunctionError",
    "transforms.ravel": "ravel",
    "numbers.hyper_dual": "HyperDual",
    "implicit.functions": "implicit_minimum implicit_root",
    "transforms.interpolate": "interpolate",
    "transforms.products": "derivative hvp jvp vjp",
    "recording.record": "Tape record",
    "transforms.relaxations": "round_ste smooth_maximum soft_rank soft_sort",
    "transforms.custom_rule": "custom_rule",
    "transforms.score": "ScoreEstimate score_grad",
    "sparse.jacobian": "jacobian_sparsity prepare_sparse_jacobian sparse_jacobian "
    "value_and_sparse_jacobian",
    "sparse.hessian": "hessian_sparsity prepare_sparse_hessian sparse_hessian",
    "backend.symbols": "set_tape_limit",
    "transforms.check": "check_grad",
    "transforms.derivatives": "grad hessian jacobian value_and_grad value_and_jacobian "
    "value_grad_hessian",
    "backend.verbose": "set_verbose",
    "transforms.vector_math": "set_vector_math",
}
"""The table of contents: modules, and the public names of each."""
_COMPILING = ("transforms.registration", "drivers.pipeline")  # no public name imports them
_APART = ("integrate", "optimize", "roots")  # SciPy's solvers import slower than all the rest
_HOME = {name: module for module, names in _CONTENTS.items() for name in names.split()}
_MODULES = {"graph": "recording.graph", **{name: name for name in _APART}}

if not _typing.TYPE_CHECKING:
    __all__ = ["graph", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> _typing.Any:
    home = _HOME.get(name, _MODULES.get(name))
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _interrupts.interrupts_deferred():
        module = _importlib.import_module(f".{home}", __name__)
    globals()[name] = getattr(module, name) if name in _HOME else module
    return globals()[name]


def __dir__() -> list[str]:
    return sorted([*_HOME, *_MODULES, "__version__"])


def _import_all() -> None:
    for module in (*_CONTENTS, *_COMPILING):
        _importlib.import_module(f".{module}", __name__)


_loading.before_compilation(_import_all)
