"""SciPy's optimizers with exact derivatives.

``from dualtape.optimize import minimize``: the signatures, defaults and results are those of
`scipy.optimize`.  Derivatives that a method needs and the caller did not pass (gradient, Hessian,
its products with vectors, Jacobians of residuals and constraints) come from dualtape; those passed
are used unchanged.  A function that Numba cannot compile is an error; finite differences are never
used instead.
"""

from .faces import curve_fit, least_squares, root, root_scalar
from .minimize import minimize, multistart

__all__ = ["curve_fit", "least_squares", "minimize", "multistart", "root", "root_scalar"]
