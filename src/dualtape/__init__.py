"""Derivatives of Numba code: exact, compiled, of unmodified functions.

``import dualtape as ad``; then ``ad.grad(f)``, ``ad.hessian(f)``, ``ad.jacobian(f)`` are compiled
functions that go straight into SciPy.  How to read the code: `transforms` (what users call),
`driver` (the compiled face of a transform), `activate` (the twin of a user's function), `forward`
and `second` (sweeps), `elementary` (rules meet number types), `rules` (the table of derivatives),
`dual` and `hyperdual` (the arithmetic).

A public name is imported when it is first used, and what registers functions with Numba when
something first compiles; see `loading`.
"""

import importlib as _importlib
import typing as _typing

from . import alternative as _alternative  # noqa: F401  # of the symbols of compiled code
from . import interrupts as _interrupts
from . import loading as _loading
from . import symbols as _symbols  # noqa: F401

if _typing.TYPE_CHECKING:
    from . import graph as graph
    from .checkpointing import checkpoint as checkpoint
    from .checkpointing import checkpoint_loop as checkpoint_loop
    from .dual import VectorDual as VectorDual
    from .elementary import value as value
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
    from .flattening import ravel as ravel
    from .hyperdual import HyperDual as HyperDual
    from .implicit import implicit_minimum as implicit_minimum
    from .implicit import implicit_root as implicit_root
    from .products import derivative as derivative
    from .products import hvp as hvp
    from .products import jvp as jvp
    from .products import vjp as vjp
    from .recorder import Tape as Tape
    from .recorder import record as record
    from .relaxations import round_ste as round_ste
    from .relaxations import smooth_maximum as smooth_maximum
    from .relaxations import soft_rank as soft_rank
    from .relaxations import soft_sort as soft_sort
    from .rulemaking import custom_rule as custom_rule
    from .score import ScoreEstimate as ScoreEstimate
    from .score import score_grad as score_grad
    from .sparse import jacobian_sparsity as jacobian_sparsity
    from .sparse import prepare_sparse_jacobian as prepare_sparse_jacobian
    from .sparse import sparse_jacobian as sparse_jacobian
    from .sparse import value_and_sparse_jacobian as value_and_sparse_jacobian
    from .sparse_second import hessian_sparsity as hessian_sparsity
    from .sparse_second import prepare_sparse_hessian as prepare_sparse_hessian
    from .sparse_second import sparse_hessian as sparse_hessian
    from .symbols import set_tape_limit as set_tape_limit
    from .testing import check_grad as check_grad
    from .transforms import grad as grad
    from .transforms import hessian as hessian
    from .transforms import jacobian as jacobian
    from .transforms import value_and_grad as value_and_grad
    from .transforms import value_and_jacobian as value_and_jacobian
    from .transforms import value_grad_hessian as value_grad_hessian
    from .verbose import set_verbose as set_verbose

__version__ = "0.1.0"

_CONTENTS = {
    "graph": "",
    "checkpointing": "checkpoint checkpoint_loop",
    "dual": "VectorDual",
    "elementary": "value",
    "errors": "ArgumentError ArgumentValueError ConvergenceError DerivativeMismatchError "
    "DualtapeError DualtapeWarning IntegerConversionError MissingRuleError MixedNumbersError "
    "NotScalarError PatternError SingularJacobianError TapeMemoryError UnsupportedFunctionError",
    "flattening": "ravel",
    "hyperdual": "HyperDual",
    "implicit": "implicit_minimum implicit_root",
    "products": "derivative hvp jvp vjp",
    "recorder": "Tape record",
    "relaxations": "round_ste smooth_maximum soft_rank soft_sort",
    "rulemaking": "custom_rule",
    "score": "ScoreEstimate score_grad",
    "sparse": "jacobian_sparsity prepare_sparse_jacobian sparse_jacobian value_and_sparse_jacobian",
    "sparse_second": "hessian_sparsity prepare_sparse_hessian sparse_hessian",
    "symbols": "set_tape_limit",
    "testing": "check_grad",
    "transforms": "grad hessian jacobian value_and_grad value_and_jacobian value_grad_hessian",
    "verbose": "set_verbose",
}
"""The table of contents: modules, and the public names of each."""
_COMPILING = ("calling", "pipeline")  # what compiles, and no public name leads to
_WITH_SCIPY = ("integrate", "optimize")  # SciPy's solvers take longer than the whole package
_HOME = {name: module for module, names in _CONTENTS.items() for name in names.split()}

if not _typing.TYPE_CHECKING:
    __all__ = ["graph", *_HOME]  # noqa: PLE0604


def __getattr__(name: str) -> _typing.Any:
    if name not in (*_HOME, "graph", *_WITH_SCIPY):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _interrupts.held():
        found = _importlib.import_module(f".{_HOME.get(name, name)}", __name__)
    found = getattr(found, name) if name in _HOME else found
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME, "graph"})


def _import_all() -> None:
    for module in (*_CONTENTS, *_COMPILING):
        _importlib.import_module(f".{module}", __name__)


_loading.before_compilation(_import_all)
