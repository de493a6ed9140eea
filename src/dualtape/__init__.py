"""Derivatives of Numba code: exact, compiled, of unmodified functions.

``import dualtape as ad``; then ``ad.grad(f)``, ``ad.hessian(f)``, ``ad.jacobian(f)`` are compiled
functions that go straight into SciPy.  How to read the code: `transforms` (what users call),
`driver` (the compiled face of a transform), `activate` (the twin of a user's function), `forward`
and `second` (sweeps), `elementary` (rules meet number types), `rules` (the table of derivatives),
`dual` and `hyperdual` (the arithmetic).

`optimize` and `integrate` are loaded when they are first used, for SciPy's solvers take longer than
the whole package.
"""

import importlib as _importlib
import typing as _typing

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
from .pool import set_tape_limit as set_tape_limit
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
from .sparse_hessian import hessian_sparsity as hessian_sparsity
from .sparse_hessian import prepare_sparse_hessian as prepare_sparse_hessian
from .sparse_hessian import sparse_hessian as sparse_hessian
from .testing import check_grad as check_grad
from .transforms import grad as grad
from .transforms import hessian as hessian
from .transforms import jacobian as jacobian
from .transforms import value_and_grad as value_and_grad
from .transforms import value_and_jacobian as value_and_jacobian
from .transforms import value_grad_hessian as value_grad_hessian

__version__ = "0.1.0"


def __getattr__(name: str) -> _typing.Any:
    if name in ("integrate", "optimize"):
        return _importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
