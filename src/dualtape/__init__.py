"""Derivatives of Numba code: exact, compiled, of unmodified functions."""

from .dual import VectorDual as VectorDual
from .elementary import value as value
from .hyperdual import HyperDual as HyperDual
from .transforms import derivative as derivative
from .transforms import grad as grad
from .transforms import hessian as hessian
from .transforms import hvp as hvp
from .transforms import jacobian as jacobian
from .transforms import jvp as jvp
from .transforms import value_and_grad as value_and_grad
from .transforms import value_and_jacobian as value_and_jacobian
from .transforms import value_grad_hessian as value_grad_hessian
