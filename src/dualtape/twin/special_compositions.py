"""Functions of `scipy.special` that are no rows of the tables but made of rows.

They return several values, choose by an option, or work on whole arrays.  Each is a plain function
with SciPy's parameters; a differentiated function calls its twin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import register_jitable

from ..arrays import special_rows  # noqa: F401  # registers the rows
from ..backend.jit import by_type
from ..numbers.registration import value
from ..rules import physics as ph
from ..rules import probability as pr

SQRT_HALF = 0.7071067811865476
SQRT_2PI = 2.5066282746310002
_COMPLEX = "it is one of complex numbers: use a function of real ones"


def airy(z: Any) -> Any:
    """Return Ai, Ai', Bi and Bi'."""
    return ph.airy_ai(z), ph.airy_ai_prime(z), ph.airy_bi(z), ph.airy_bi_prime(z)


def sici(x: Any) -> Any:
    """Return the sine and the cosine integral."""
    return ph.sine_integral(x), ph.cosine_integral(x)


def shichi(x: Any) -> Any:
    """Return the hyperbolic sine and cosine integrals."""
    return ph.hyperbolic_sine_integral(x), ph.hyperbolic_cosine_integral(x)


def spherical_jn(n: Any, z: Any, derivative: Any = False) -> Any:
    """Return j_n or its derivative; j_n(-z) = (-1)^n j_n(z)."""
    side, sign = 1.0 - 2.0 * (z < 0.0), 1.0 - 2.0 * ((z < 0.0) & (n % 2 == 1))
    x = side * z
    if derivative:
        slope = n * ph.spherical_j(np.fabs(n - 1.0), x) - (n + 1) * ph.spherical_j(n + 1.0, x)
        return side * sign * slope / (2 * n + 1)
    return sign * ph.spherical_j(n, x)


def spherical_yn(n: Any, z: Any, derivative: Any = False) -> Any:
    """Return y_n or its derivative; y_n(-z) = (-1)^(n + 1) y_n(z)."""
    side, sign = 1.0 - 2.0 * (z < 0.0), 1.0 - 2.0 * ((z < 0.0) & (n % 2 == 0))
    x = side * z
    if derivative:
        slope = n * ph.spherical_y(np.fabs(n - 1.0), x) - (n + 1) * ph.spherical_y(n + 1.0, x)
        return side * sign * slope / (2 * n + 1)
    return sign * ph.spherical_y(n, x)


def spherical_in(n: Any, z: Any, derivative: Any = False) -> Any:
    """Return i_n or its derivative; i_n(-z) = (-1)^n i_n(z)."""
    side, sign = 1.0 - 2.0 * (z < 0.0), 1.0 - 2.0 * ((z < 0.0) & (n % 2 == 1))
    x = side * z
    if derivative:
        slope = n * ph.spherical_i(np.fabs(n - 1.0), x) + (n + 1) * ph.spherical_i(n + 1.0, x)
        return side * sign * slope / (2 * n + 1)
    return sign * ph.spherical_i(n, x)


def spherical_kn(n: Any, z: Any, derivative: Any = False) -> Any:
    """Return k_n or its derivative, for positive z."""
    if derivative:
        slope = n * ph.spherical_k(np.fabs(n - 1.0), z) + (n + 1) * ph.spherical_k(n + 1.0, z)
        return -slope / (2 * n + 1)
    return ph.spherical_k(n, z)


def lambertw(z: Any, k: Any = 0, tol: Any = 1e-8) -> Any:
    """Return W of real numbers where it is real (k = 0 or -1), NaN elsewhere."""
    return ph.lambert_w(k, z)


def _zeta(x: Any, q: Any = None) -> Any:
    if isinstance(q, types.NoneType | types.Omitted) or q is None:
        return lambda x, q=None: pr.riemann_zeta(x)
    return lambda x, q=None: pr.hurwitz_zeta(x, q)


zeta = by_type(_zeta)
"""Riemann's zeta function, or Hurwitz's; their results may have different types."""


def voigt_profile(x: Any, sigma: Any, gamma: Any) -> Any:
    """Return the convolution of a normal and a Cauchy distribution, from w(z); sigma > 0."""
    real, imaginary = x / sigma * SQRT_HALF, gamma / sigma * SQRT_HALF
    return ph.faddeeva(0.0, 0.0, real, imaginary) / sigma / SQRT_2PI


@register_jitable
def _largest(a: Any) -> Any:
    """Return the largest element as a constant, 0 if it is infinite: what exponents are less."""
    largest = value(np.max(a))
    return largest if np.isfinite(largest) else 0.0


@register_jitable
def _log_sum(a: Any) -> Any:
    m = _largest(a)
    return np.log(np.sum(np.exp(a - m))) + m


@register_jitable
def _log_weighted_sum(a: Any, b: Any) -> Any:
    m = _largest(a)
    return np.log(np.sum(b * np.exp(a - m))) + m


def logsumexp(a: Any, axis: Any = None, b: Any = None) -> Any:
    """Return log(sum(b exp(a))) of all elements, or along an axis of a vector or a matrix."""
    if b is None:
        return _log_sums(a, axis)
    return _log_weighted_sums(a, axis, b)


@register_jitable
def _log_sums(a: Any, axis: Any) -> Any:
    if axis is None:  # conditions one by one, so that Numba drops what has another type
        return _log_sum(a)
    if a.ndim == 1:
        return _log_sum(a)
    rows = a if axis in (1, -1) else a.T
    out = rows[:, 0].copy()
    for i in range(rows.shape[0]):
        out[i] = _log_sum(rows[i])
    return out


@register_jitable
def _log_weighted_sums(a: Any, axis: Any, b: Any) -> Any:
    if axis is None:
        return _log_weighted_sum(a, b)
    if a.ndim == 1:
        return _log_weighted_sum(a, b)
    rows, weights = (a, b) if axis in (1, -1) else (a.T, b.T)
    out = rows[:, 0].copy()
    for i in range(rows.shape[0]):
        out[i] = _log_weighted_sum(rows[i], weights[i])
    return out


@register_jitable
def _log_softmax(a: Any) -> Any:
    rest = a - _largest(a)
    return rest - np.log(np.sum(np.exp(rest)))


@register_jitable
def _softmax(a: Any) -> Any:
    e = np.exp(a - _largest(a))
    return e / np.sum(e)


def log_softmax(x: Any, axis: Any = None) -> Any:
    """Return x - logsumexp(x), of all elements, or along an axis of a vector or a matrix."""
    if axis is None or x.ndim == 1:
        return _log_softmax(x)
    out, is_flipped = x.copy(), axis not in (1, -1)
    rows = out.T if is_flipped else out
    for i in range(rows.shape[0]):
        rows[i, :] = _log_softmax(rows[i].copy())
    return out


def softmax(x: Any, axis: Any = None) -> Any:
    """Return exp(x) / sum(exp(x)), of all elements, or along an axis of a vector or a matrix."""
    if axis is None or x.ndim == 1:
        return _softmax(x)
    out, is_flipped = x.copy(), axis not in (1, -1)
    rows = out.T if is_flipped else out
    for i in range(rows.shape[0]):
        rows[i, :] = _softmax(rows[i].copy())
    return out


COMPOSED = {
    function.__name__: function
    for function in (
        airy, sici, shichi, spherical_jn, spherical_yn, spherical_in, spherical_kn, lambertw,
        voigt_profile, logsumexp, log_softmax, softmax,
    )
}  # fmt: skip
REFUSED = {
    "wofz": f"{_COMPLEX}, erfcx, dawsn or voigt_profile",
    "hankel1": f"{_COMPLEX}, jv and yv",
    "hankel2": f"{_COMPLEX}, jv and yv",
}
"""What to do instead of calling a function."""
