"""Roots of equations, which can be differentiated by the parameters of the equation.

``from dualtape.roots import brentq``: `bisect`, `brentq`, `newton` and `fixed_point`, with the
signatures of `scipy.optimize`, for Python, compiled code and functions that are differentiated.  A
loop that converges to a root by comparisons has derivative zero, although its root depends on the
parameters; these functions have the derivative of the root.
"""

from .faces import bisect, brentq, fixed_point, newton

__all__ = ["bisect", "brentq", "fixed_point", "newton"]
