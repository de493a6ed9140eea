"""Functions of `scipy.special` that are no rows of the tables but made of rows.

They return several values, choose by an option, or work on whole arrays.  Each is a plain function
with SciPy's parameters; a differentiated function calls its twin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from ..arrays import special_rows  # noqa: F401  # registers the rows
from ..backend.jit import by_type, generic, is_missing
from ..errors import ArgumentValueError
from ..numbers.registration import value
from ..numbers.types import is_array
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


def _spherical(row: Any, below: float, above: float) -> Any:
    """Return a spherical Bessel function; below and above are the signs of its neighbors."""

    def function(n: Any, z: Any, derivative: Any = False) -> Any:
        if derivative:
            slope = below * n * row(np.fabs(n - 1.0), z) + above * (n + 1) * row(n + 1.0, z)
            return slope / (2 * n + 1)
        return row(n, z)

    return function


def lambertw(z: Any, k: Any = 0, tol: Any = 1e-8) -> Any:
    """Return W of real numbers where it is real (k = 0 or -1), NaN elsewhere."""
    return ph.lambert_w(k, z)


@by_type
def zeta(x: Any, q: Any = None) -> Any:
    """Return Riemann's zeta function, or Hurwitz's; their results may have different types."""
    if is_missing(q):
        return lambda x, q: pr.riemann_zeta(x)
    return lambda x, q: pr.hurwitz_zeta(x, q)


@by_type
def voigt_profile(x: Any, sigma: Any, gamma: Any) -> Any:
    """Return the convolution of a normal and a Cauchy distribution: the latter for sigma = 0."""
    if any(map(is_array, (x, sigma, gamma))):
        return lambda x, sigma, gamma: np.where(
            sigma * np.ones_like(x) == 0.0, cauchy(x, gamma), voigt(x, sigma, gamma)
        )

    def of_numbers(x: Any, sigma: Any, gamma: Any) -> Any:
        return cauchy(x, gamma) if sigma == 0.0 else voigt(x, sigma, gamma)

    return of_numbers


@generic
def cauchy(x: Any, gamma: Any) -> Any:
    """Return the density of Cauchy's distribution."""
    return gamma / np.pi / (x * x + gamma * gamma)


@generic
def voigt(x: Any, sigma: Any, gamma: Any) -> Any:
    """Return the profile from w(z), for sigma > 0."""
    real, imaginary = x / sigma * SQRT_HALF, gamma / sigma * SQRT_HALF
    return ph.faddeeva(0.0, 0.0, real, imaginary) / sigma / SQRT_2PI


@register_jitable
def _largest(a: Any) -> Any:
    """Return the largest element as a constant, 0 if it is infinite: what exponents are less."""
    largest = value(np.max(a))
    return largest if np.isfinite(largest) else 0.0


@register_jitable
def _require_axis(a: Any, axis: Any) -> None:
    if not -a.ndim <= axis < a.ndim:
        raise ValueError("the axis of logsumexp, softmax or log_softmax is out of bounds")


@register_jitable
def _log_sum(a: Any) -> Any:
    m = _largest(a)
    return np.log(np.sum(np.exp(a - m))) + m


@register_jitable
def _log_weighted_sum(a: Any, b: Any) -> Any:
    m = _largest(a)
    return np.log(np.sum(b * np.exp(a - m))) + m


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: Any = False, return_sign: Any = False
) -> Any:
    """Return log(sum(b exp(a))) of all elements, or along an axis of a vector or a matrix."""
    if keepdims or return_sign:
        raise ArgumentValueError(
            "logsumexp inside of a differentiated function has neither keepdims nor return_sign; "
            "write logsumexp(a, axis)[:, None], or the logarithm of a sum that may be negative out"
        )
    if b is None:
        return _log_sums(a, axis)
    return _log_weighted_sums(a, axis, b)


@register_jitable
def _log_sums(a: Any, axis: Any) -> Any:
    if axis is None:  # conditions one by one, so that Numba drops what has another type
        return _log_sum(a)
    _require_axis(a, axis)
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
    _require_axis(a, axis)
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
    if axis is None:
        return _log_softmax(x)
    _require_axis(x, axis)
    if x.ndim == 1:
        return _log_softmax(x)
    out, is_flipped = x.copy(), axis not in (1, -1)
    rows = out.T if is_flipped else out
    for i in range(rows.shape[0]):
        rows[i, :] = _log_softmax(rows[i].copy())
    return out


def softmax(x: Any, axis: Any = None) -> Any:
    """Return exp(x) / sum(exp(x)), of all elements, or along an axis of a vector or a matrix."""
    if axis is None:
        return _softmax(x)
    _require_axis(x, axis)
    if x.ndim == 1:
        return _softmax(x)
    out, is_flipped = x.copy(), axis not in (1, -1)
    rows = out.T if is_flipped else out
    for i in range(rows.shape[0]):
        rows[i, :] = _softmax(rows[i].copy())
    return out


COMPOSED = {
    "airy": airy, "sici": sici, "shichi": shichi, "lambertw": lambertw, "logsumexp": logsumexp,
    "log_softmax": log_softmax, "softmax": softmax,
    "spherical_jn": _spherical(ph.spherical_j, 1.0, -1.0),
    "spherical_yn": _spherical(ph.spherical_y, 1.0, -1.0),
    "spherical_in": _spherical(ph.spherical_i, 1.0, 1.0),
    "spherical_kn": _spherical(ph.spherical_k, -1.0, -1.0),
}  # fmt: skip
"""Functions of which a twin is made, by SciPy's names."""
BY_TYPE = {"zeta": zeta, "voigt_profile": voigt_profile}
"""Functions that compiled code calls as they are."""
REFUSED = {
    "wofz": f"{_COMPLEX}, erfcx, dawsn or voigt_profile",
    "hankel1": f"{_COMPLEX}, jv and yv",
    "hankel2": f"{_COMPLEX}, jv and yv",
}
"""What to do instead of calling a function."""
