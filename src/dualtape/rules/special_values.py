"""Values of rows that SciPy does not have as they are; plain functions of floats.

References
----------
.. [1] Olver et al., *NIST Handbook of Mathematical Functions*, 2010, chapters 7, 10 and 19.
"""

from math import nan, pi

import numpy as np

from ..backend.special import SpecialFunction
from .table import ONE_OVER_SQRT_2PI, gammaln, xlogy

SQRT_PI = 1.7724538509055159
FAR = 12.0  # from here on the asymptotic series of error functions are exact after TERMS terms
TERMS = 12
SMALL = 0.1  # parameter of elliptic integrals below which closed forms of derivatives cancel

scipy_j = SpecialFunction("_spherical_jn:ld->d", 2)
scipy_y = SpecialFunction("_spherical_yn:ld->d", 2)
scipy_i = SpecialFunction("_spherical_in:ld->d", 2)
scipy_k = SpecialFunction("_spherical_kn:ld->d", 2)
scipy_w_real = SpecialFunction("wofz:D->D", 2, lambda x, y: [(x, y)], part="real")
scipy_w_imag = SpecialFunction("wofz:D->D", 2, lambda x, y: [(x, y)], part="imag")
scipy_e = SpecialFunction("ellipeinc:dd", 2)
scipy_f = SpecialFunction("ellipkinc:dd", 2)
scipy_xlog1py = SpecialFunction("xlog1py:dd", 2)
scipy_betaln = SpecialFunction("betaln:dd", 2)


def spherical_j(n: float, x: float) -> float:
    """Return j_n(x); j_n(-x) = (-1)^n j_n(x)."""
    return float(scipy_j(n, x) if not x < 0.0 else (-1.0) ** n * scipy_j(n, -x))


def spherical_y(n: float, x: float) -> float:
    """Return y_n(x); y_n(-x) = -(-1)^n y_n(x)."""
    return float(scipy_y(n, x) if not x < 0.0 else -((-1.0) ** n) * scipy_y(n, -x))


def spherical_i(n: float, x: float) -> float:
    """Return i_n(x); i_n(-x) = (-1)^n i_n(x)."""
    return float(scipy_i(n, x) if not x < 0.0 else (-1.0) ** n * scipy_i(n, -x))


def spherical_k(n: float, x: float) -> float:
    """Return k_n(x); k_n(-x) = -(-1)^n k_n(x) - pi i_n(x)."""
    if not x < 0.0:
        return float(scipy_k(n, x))
    return float(-((-1.0) ** n) * scipy_k(n, -x) - pi * scipy_i(n, -x))


def elliptic_moment(n: float, k: float, phi: float, m: float) -> float:
    """Return the integral of sin^2k D^-n from 0 to phi, D = sqrt(1 - m sin^2), for odd n >= -1.

    It is F for n = 1 and E for n = -1 (k = 0). The derivative of sin cos D^-n gives

        n (1 - m) I_n+2 = (n - 1) (2 - m) I_n + (2 - n) I_n-2 - m sin cos D^-n

    for k = 0, and m sin^2 = 1 - D^2 the other k. That cancels for small m, where the series in m
    converges, with the integrals S_k of sin^2k: 2 k S_k = (2 k - 1) S_k-1 - sin^(2k-1) cos.
    """
    s, c = np.sin(phi), np.cos(phi)
    d = np.sqrt(1.0 - m * (s * s))
    total, weight, j = 0.0, 1.0, 0
    if abs(m) < SMALL:
        integral, sines = phi, s * c
        while j < k + 20.0:
            if j >= k:
                total += weight * integral
                weight *= (0.5 * n + (j - k)) / (j - k + 1.0) * m
            j += 1
            integral = ((2.0 * j - 1.0) * integral - sines) / (2.0 * j)
            sines *= s * s
        return float(total)
    # (1 - D^2)^k D^-n is the sum of binomial(k, j) (-1)^j D^(2j - n).
    for j in range(int(k) + 1):
        low, high, order = scipy_e(phi, m), scipy_f(phi, m), 1.0
        while order < n - 2.0 * j:
            above = (order - 1.0) * (2.0 - m) * high + (2.0 - order) * low - m * s * c / d**order
            low, high, order = high, above / (order * (1.0 - m)), order + 2.0
        total += weight * (high if order == n - 2.0 * j else low)
        weight *= -(k - j) / (j + 1.0)
    return float(total / m**k)


def faddeeva(part: float, k: float, x: float, y: float) -> float:
    """Return the real (part 0) or imaginary part (1) of the k-th derivative of w(x + i y).

    w' = -2 z w + 2 i / sqrt(pi) gives w^(k+1) = -2 z w^(k) - 2 k w^(k-1). Far out that is what is
    left of two equal terms; there w is i / (sqrt(pi) z) sum_n (2 n - 1)!! / (2 z^2)^n.
    """
    z, w = complex(x, y), complex(scipy_w_real(x, y), scipy_w_imag(x, y))
    if k > 0.0 and y >= 0.0 and x * x + y * y > FAR * FAR:
        u, total, w = 0.5 / z / z, 0.0 * z, 1j / (SQRT_PI * z)
        for n in range(TERMS, 0, -1):
            total = (1.0 + total) * (u * ((2.0 * n + k - 1.0) * (2.0 * n + k) / (2.0 * n)))
        for j in range(int(k)):
            w = -w * (j + 1.0) / z
        w = w * (1.0 + total)
    elif k > 0.0:
        before, w = w, 2j / SQRT_PI - 2.0 * z * w
        for j in range(1, int(k)):
            before, w = w, -2.0 * z * w - 2.0 * j * before
    return float(w.real if part == 0.0 else w.imag)


def normal_density(x: float) -> float:
    """Return the density of the normal distribution."""
    return float(ONE_OVER_SQRT_2PI * np.exp(-0.5 * x * x))


def gamma_density(a: float, x: float) -> float:
    """Return the density of the gamma distribution of scale 1."""
    return float(np.exp(xlogy(a - 1.0, x) - x - gammaln(a)))


def gamma_slope(a: float, x: float) -> float:
    """Return the derivative of the logarithm of `gamma_density`."""
    if x < 0.0:
        return nan
    return float((a - 1.0) / x - 1.0) if a != 1.0 else -1.0 + 0.0 * x


def beta_slope(a: float, b: float, x: float) -> float:
    """Return the derivative of the logarithm of `beta_density`."""
    if x < 0.0 or x > 1.0:
        return nan
    slope = (a - 1.0) / x if a != 1.0 else 0.0 * x
    return float(slope - (b - 1.0) / (1.0 - x)) if b != 1.0 else float(slope)


def beta_density(a: float, b: float, x: float) -> float:
    """Return the density of the beta distribution."""
    return float(np.exp(xlogy(a - 1.0, x) + scipy_xlog1py(b - 1.0, -x) - scipy_betaln(a, b)))


def student_density(df: float, t: float) -> float:
    """Return the density of Student's distribution."""
    power = 0.5 * (df + 1.0) * np.log1p(t * t / df)
    return float(np.exp(-power - scipy_betaln(0.5 * df, 0.5)) / np.sqrt(df))
