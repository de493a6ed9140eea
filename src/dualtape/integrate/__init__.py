"""SciPy's integrators with exact derivatives, and derivatives of their results.

``from dualtape.integrate import solve_ivp``: signatures, defaults and results of `solve_ivp`,
`solve_bvp`, `odeint` and `quad` are those of `scipy.integrate`.  Implicit methods get the Jacobian
of the right-hand side, `solve_bvp` those of equations and boundary conditions; explicit methods
are used unchanged.  `quad` can be differentiated; `solve_ivp_sensitivity` and `solve_ivp_adjoint`
differentiate solutions of initial value problems.
"""

from .adjoint import solve_ivp_adjoint
from .faces import odeint, solve_bvp, solve_ivp
from .quad import quad
from .sensitivity import solve_ivp_sensitivity

__all__ = [
    "odeint",
    "quad",
    "solve_bvp",
    "solve_ivp",
    "solve_ivp_adjoint",
    "solve_ivp_sensitivity",
]
