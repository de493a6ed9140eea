"""The table of jets, continued: functions of mathematical physics, with SciPy's values.

Bessel and Airy functions, elliptic and exponential integrals, hypergeometric functions, Lambert's
W and the error functions of the complex plane.  The contract is that of `table`; the first
`parameters` arguments of a row have no derivative.  Formulas are those of [1]_, by chapter.

References
----------
.. [1] Olver et al., *NIST Handbook of Mathematical Functions*, 2010.
"""

from math import inf, pi

import numpy as np

from . import special_values as sv
from .rule import Jet1, Jet2, Number, rule
from .special_functions import MILLS
from .special_rule import ULPS, special_rule
from .special_values import FAR, SQRT_PI, TERMS
from .table import TWO_OVER_SQRT_PI, gamma

SQRT_TWO_OVER_PI = 0.7978845608028654
SQRT_TWO = 1.4142135623730951

# A table: one blank line between rows.
# fmt: off
POSITIVE = (0.2, 18.0)
BOTH = (-3.2, 4.7)
ORDER = (-1.7, 3.4)
COUNT = ((0.0, 0.0), (1.0, 1.0), (2.0, 2.0), (5.0, 5.0))

# Bessel functions ([1]_ 10.6, 10.29): half the difference, or the sum, of the neighbors.

@special_rule("jv:dd", parameters=1, sample=(ORDER, POSITIVE))
def jv(v: Number, x: Number) -> Jet1:
    f, low, high = jv(v, x), jv(v - 2.0, x), jv(v + 2.0, x)
    return f, 0.5 * (jv(v - 1.0, x) - jv(v + 1.0, x)), 0.25 * (low - 2.0 * f + high)

@special_rule("yv:dd", parameters=1, sample=(ORDER, POSITIVE))
def yv(v: Number, x: Number) -> Jet1:
    f, low, high = yv(v, x), yv(v - 2.0, x), yv(v + 2.0, x)
    return f, 0.5 * (yv(v - 1.0, x) - yv(v + 1.0, x)), 0.25 * (low - 2.0 * f + high)

@special_rule("iv:dd", parameters=1, sample=(ORDER, POSITIVE))
def iv(v: Number, x: Number) -> Jet1:
    f, low, high = iv(v, x), iv(v - 2.0, x), iv(v + 2.0, x)
    return f, 0.5 * (iv(v - 1.0, x) + iv(v + 1.0, x)), 0.25 * (low + 2.0 * f + high)

@special_rule("kv:dd", parameters=1, sample=(ORDER, POSITIVE))
def kv(v: Number, x: Number) -> Jet1:
    f, low, high = kv(v, x), kv(v - 2.0, x), kv(v + 2.0, x)
    return f, -0.5 * (kv(v - 1.0, x) + kv(v + 1.0, x)), 0.25 * (low + 2.0 * f + high)

@special_rule("ive:dd", parameters=1, sample=((0.3, 3.4), POSITIVE), kinks={(0.0, 0.0): (0.0,)})
def ive(v: Number, x: Number) -> Jet1:
    f, s = ive(v, x), np.sign(x)
    neighbors = ive(v - 1.0, x) + ive(v + 1.0, x)
    curvature = 0.25 * (ive(v - 2.0, x) + 2.0 * f + ive(v + 2.0, x))
    return f, 0.5 * neighbors - s * f, curvature - s * neighbors + f

@special_rule("kve:dd", parameters=1, sample=(ORDER, POSITIVE))
def kve(v: Number, x: Number) -> Jet1:
    f, neighbors = kve(v, x), kve(v - 1.0, x) + kve(v + 1.0, x)
    curvature = 0.25 * (kve(v - 2.0, x) + 2.0 * f + kve(v + 2.0, x))
    return f, f - 0.5 * neighbors, curvature - neighbors + f

@special_rule("yn:ld->d", parameters=1, sample=(COUNT, POSITIVE))
def yn(n: Number, x: Number) -> Jet1:
    f, low, high = yn(n, x), yv(n - 2.0, x), yv(n + 2.0, x)
    return f, 0.5 * (yv(n - 1.0, x) - yv(n + 1.0, x)), 0.25 * (low - 2.0 * f + high)

@special_rule("kn:ld->d", parameters=1, sample=(COUNT, POSITIVE))
def kn(n: Number, x: Number) -> Jet1:
    f, low, high = kn(n, x), kv(n - 2.0, x), kv(n + 2.0, x)
    return f, -0.5 * (kv(n - 1.0, x) + kv(n + 1.0, x)), 0.25 * (low + 2.0 * f + high)

@special_rule("j0:d", sample=(-7.2, 18.0))
def j0(x: Number) -> Jet1:
    f = j0(x)
    return f, -j1(x), 0.5 * (jv(2.0, x) - f)

@special_rule("j1:d", sample=(-7.2, 18.0))
def j1(x: Number) -> Jet1:
    f = j1(x)
    return f, 0.5 * (j0(x) - jv(2.0, x)), 0.25 * (jv(3.0, x) - 3.0 * f)

@special_rule("y0:d", domain=(0.0, inf), sample=POSITIVE)
def y0(x: Number) -> Jet1:
    f = y0(x)
    return f, -y1(x), 0.5 * (yv(2.0, x) - f)

@special_rule("y1:d", domain=(0.0, inf), sample=POSITIVE)
def y1(x: Number) -> Jet1:
    f = y1(x)
    return f, 0.5 * (y0(x) - yv(2.0, x)), 0.25 * (yv(3.0, x) - 3.0 * f)

@special_rule("i0:d", sample=(-7.2, 18.0))
def i0(x: Number) -> Jet1:
    f = i0(x)
    return f, i1(x), 0.5 * (iv(2.0, x) + f)

@special_rule("i1:d", sample=(-7.2, 18.0))
def i1(x: Number) -> Jet1:
    f = i1(x)
    return f, 0.5 * (i0(x) + iv(2.0, x)), 0.25 * (iv(3.0, x) + 3.0 * f)

@special_rule("i0e:d", sample=(-7.2, 18.0), kinks={0.0: 0.0})
def i0e(x: Number) -> Jet1:
    f, s, odd = i0e(x), np.sign(x), i1e(x)
    return f, odd - s * f, 1.5 * f + 0.5 * ive(2.0, x) - 2.0 * s * odd

@special_rule("i1e:d", sample=(-7.2, 18.0))
def i1e(x: Number) -> Jet1:
    f, s = i1e(x), np.sign(x)
    neighbors = i0e(x) + ive(2.0, x)
    return f, 0.5 * neighbors - s * f, 1.75 * f + 0.25 * ive(3.0, x) - s * neighbors

@special_rule("k0:d", domain=(0.0, inf), sample=POSITIVE)
def k0(x: Number) -> Jet1:
    f = k0(x)
    return f, -k1(x), 0.5 * (kv(2.0, x) + f)

@special_rule("k1:d", domain=(0.0, inf), sample=POSITIVE)
def k1(x: Number) -> Jet1:
    f = k1(x)
    return f, -0.5 * (k0(x) + kv(2.0, x)), 0.25 * (kv(3.0, x) + 3.0 * f)

@special_rule("k0e:d", domain=(0.0, inf), sample=POSITIVE)
def k0e(x: Number) -> Jet1:
    f, odd = k0e(x), k1e(x)
    return f, f - odd, 1.5 * f + 0.5 * kve(2.0, x) - 2.0 * odd

@special_rule("k1e:d", domain=(0.0, inf), sample=POSITIVE)
def k1e(x: Number) -> Jet1:
    f, neighbors = k1e(x), k0e(x) + kve(2.0, x)
    return f, f - 0.5 * neighbors, 1.75 * f + 0.25 * kve(3.0, x) - neighbors

# Spherical Bessel functions ([1]_ 10.51): (2 n + 1) f_n' = n f_(n-1) -+ (n + 1) f_(n+1). Where a
# lower neighbor does not exist, its factor is 0.

@rule(value=sv.spherical_j, parameters=1, singular=True, ulps=ULPS, sample=(COUNT, POSITIVE),
    doc="scipy.special.spherical_jn")
def spherical_j(n: Number, x: Number) -> Jet1:
    f, a, b = spherical_j(n, x), n / (2.0 * n + 1.0), (n + 1.0) / (2.0 * n + 1.0)
    f1 = a * spherical_j(np.fabs(n - 1.0), x) - b * spherical_j(n + 1.0, x)
    below = (n - 1.0) * spherical_j(np.fabs(n - 2.0), x) - n * f
    above = (n + 1.0) * f - (n + 2.0) * spherical_j(n + 2.0, x)
    return f, f1, a * below / (2.0 * n - 1.0) - b * above / (2.0 * n + 3.0)

@rule(value=sv.spherical_y, parameters=1, singular=True, ulps=ULPS, sample=(COUNT, POSITIVE),
    doc="scipy.special.spherical_yn")
def spherical_y(n: Number, x: Number) -> Jet1:
    f, a, b = spherical_y(n, x), n / (2.0 * n + 1.0), (n + 1.0) / (2.0 * n + 1.0)
    f1 = a * spherical_y(np.fabs(n - 1.0), x) - b * spherical_y(n + 1.0, x)
    below = (n - 1.0) * spherical_y(np.fabs(n - 2.0), x) - n * f
    above = (n + 1.0) * f - (n + 2.0) * spherical_y(n + 2.0, x)
    return f, f1, a * below / (2.0 * n - 1.0) - b * above / (2.0 * n + 3.0)

@rule(value=sv.spherical_i, parameters=1, singular=True, ulps=ULPS, sample=(COUNT, POSITIVE),
    doc="scipy.special.spherical_in")
def spherical_i(n: Number, x: Number) -> Jet1:
    f, a, b = spherical_i(n, x), n / (2.0 * n + 1.0), (n + 1.0) / (2.0 * n + 1.0)
    f1 = a * spherical_i(np.fabs(n - 1.0), x) + b * spherical_i(n + 1.0, x)
    below = (n - 1.0) * spherical_i(np.fabs(n - 2.0), x) + n * f
    above = (n + 1.0) * f + (n + 2.0) * spherical_i(n + 2.0, x)
    return f, f1, a * below / (2.0 * n - 1.0) + b * above / (2.0 * n + 3.0)

@rule(value=sv.spherical_k, parameters=1, singular=True, ulps=ULPS, sample=(COUNT, POSITIVE),
    doc="scipy.special.spherical_kn")
def spherical_k(n: Number, x: Number) -> Jet1:
    f, a, b = spherical_k(n, x), n / (2.0 * n + 1.0), (n + 1.0) / (2.0 * n + 1.0)
    f1 = -a * spherical_k(np.fabs(n - 1.0), x) - b * spherical_k(n + 1.0, x)
    below = (n - 1.0) * spherical_k(np.fabs(n - 2.0), x) + n * f
    above = (n + 1.0) * f + (n + 2.0) * spherical_k(n + 2.0, x)
    return f, f1, a * below / (2.0 * n - 1.0) + b * above / (2.0 * n + 3.0)

# Struve functions ([1]_ 11.4), Airy functions ([1]_ 9.2): w'' = x w.

@special_rule("struve:dd", parameters=1, sample=((0.2, 3.4), POSITIVE))
def struve(v: Number, x: Number) -> Jet1:
    f, low, high = struve(v, x), struve(v - 2.0, x), struve(v + 2.0, x)
    half, g = 0.5 * x, SQRT_PI * gamma(v + 1.5)
    c = np.power(half, v) / g
    before, after = np.power(half, v - 1.0) / g, half * c / (v + 1.5)
    f1 = 0.5 * (struve(v - 1.0, x) - struve(v + 1.0, x) + c)
    return f, f1, 0.25 * (low - 2.0 * f + high + (2.0 * v + 0.5) * before - after)

@special_rule("airy:d->dddd", is_named=False, sample=(-6.2, 4.1))
def airy_ai(x: Number) -> Jet1:
    f = airy_ai(x)
    return f, airy_ai_prime(x), x * f

@special_rule("airy:d->dddd", output=1, is_named=False, sample=(-6.2, 4.1))
def airy_ai_prime(x: Number) -> Jet1:
    f, ai = airy_ai_prime(x), airy_ai(x)
    return f, x * ai, ai + x * f

@special_rule("airy:d->dddd", output=2, is_named=False, sample=(-6.2, 4.1))
def airy_bi(x: Number) -> Jet1:
    f = airy_bi(x)
    return f, airy_bi_prime(x), x * f

@special_rule("airy:d->dddd", output=3, is_named=False, sample=(-6.2, 4.1))
def airy_bi_prime(x: Number) -> Jet1:
    f, bi = airy_bi_prime(x), airy_bi(x)
    return f, x * bi, bi + x * f

# Hypergeometric functions ([1]_ 13.3, 15.5): parameters rise by one.

@special_rule("hyp2f1:dddd", parameters=3, domain=((-inf, inf),) * 3 + ((-inf, 1.0),),
    sample=((0.3, 2.1), (-0.8, 1.7), (1.2, 3.3), (-2.5, 0.9)))
def hyp2f1(a: Number, b: Number, c: Number, x: Number) -> Jet1:
    first = a * b / c
    second = first * ((a + 1.0) * (b + 1.0) / (c + 1.0))
    f1 = first * hyp2f1(a + 1.0, b + 1.0, c + 1.0, x)
    f11 = second * hyp2f1(a + 2.0, b + 2.0, c + 2.0, x)
    if x > 1.0:
        f1 = f11 = np.sqrt(1.0 - x)  # SciPy's value there is inf
    return hyp2f1(a, b, c, x), f1, f11

@special_rule("hyp1f1:ddd", parameters=2, sample=((0.3, 2.1), (1.2, 3.3), (-6.5, 7.9)))
def hyp1f1(a: Number, b: Number, x: Number) -> Jet1:
    first = a / b
    second = first * ((a + 1.0) / (b + 1.0))
    f1 = first * hyp1f1(a + 1.0, b + 1.0, x)
    return hyp1f1(a, b, x), f1, second * hyp1f1(a + 2.0, b + 2.0, x)

@special_rule("hyp0f1:dd", parameters=1, sample=((0.3, 2.1), (-6.5, 7.9)))
def hyp0f1(v: Number, x: Number) -> Jet1:
    first = 1.0 / v
    return hyp0f1(v, x), first * hyp0f1(v + 1.0, x), first / (v + 1.0) * hyp0f1(v + 2.0, x)

# Elliptic integrals. The complete ones are hypergeometric functions ([1]_ 19.5), whose derivatives
# do not cancel at m = 0.

@special_rule("ellipk:d", domain=(-inf, 1.0), sample=(-3.2, 0.9))
def ellipk(m: Number) -> Jet1:
    f, f1 = ellipk(m), 0.125 * pi * hyp2f1(1.5, 1.5, 2.0, m)
    f11 = 0.140625 * pi * hyp2f1(2.5, 2.5, 3.0, m)
    return (f, f1, f11) if m <= 1.0 else (f, f, f)

@special_rule("ellipe:d", domain=(-inf, 1.0), sample=(-3.2, 0.9))
def ellipe(m: Number) -> Jet1:
    f, f1 = ellipe(m), -0.125 * pi * hyp2f1(0.5, 1.5, 2.0, m)
    f11 = -0.046875 * pi * hyp2f1(1.5, 2.5, 3.0, m)
    return (f, f1, f11) if m <= 1.0 else (f, f, f)

# The incomplete ones and all their derivatives by m are moments of one kind; see
# `special_values.elliptic_moment`.

@rule(value=sv.elliptic_moment, parameters=2, singular=True, ulps=ULPS,
    domain=((-inf, inf),) * 3 + ((-inf, 1.0),),
    sample=(((1.0, 1.0), (3.0, 3.0)), ((0.0, 0.0), (1.0, 1.0)), (0.2, 1.5), (-2.3, 0.9)))
def elliptic_moment(n: Number, k: Number, phi: Number, m: Number) -> Jet2:
    s, c = np.sin(phi), np.cos(phi)
    square, d2 = s * s, 1.0 - m * (s * s) if m <= 1.0 else np.sqrt(1.0 - m)
    weight = np.power(d2, -0.5 * n)
    fx = np.power(square, k) * weight
    fxx = n * m * (s * c) * fx / d2
    if k != 0.0:
        fxx = fxx + 2.0 * k * (s * c) * np.power(square, k - 1.0) * weight
    fm = 0.5 * n * elliptic_moment(n + 2.0, k + 1.0, phi, m)
    fmm = 0.25 * n * (n + 2.0) * elliptic_moment(n + 4.0, k + 2.0, phi, m)
    return elliptic_moment(n, k, phi, m), fx, fm, fxx, 0.5 * n * square * fx / d2, fmm

@special_rule("ellipkinc:dd", domain=((-inf, inf), (-inf, 1.0)), sample=((0.2, 1.5), (-2.3, 0.9)))
def ellipkinc(phi: Number, m: Number) -> Jet2:
    s, c = np.sin(phi), np.cos(phi)
    d2 = 1.0 - m * (s * s) if m <= 1.0 else np.sqrt(1.0 - m)
    fx = 1.0 / np.sqrt(d2)
    fm, fmm = 0.5 * elliptic_moment(3.0, 1.0, phi, m), 0.75 * elliptic_moment(5.0, 2.0, phi, m)
    return ellipkinc(phi, m), fx, fm, m * (s * c) * fx / d2, 0.5 * (s * s) * fx / d2, fmm

@special_rule("ellipeinc:dd", domain=((-inf, inf), (-inf, 1.0)), sample=((0.2, 1.5), (-2.3, 0.9)))
def ellipeinc(phi: Number, m: Number) -> Jet2:
    s, c = np.sin(phi), np.cos(phi)
    fx = np.sqrt(1.0 - m * (s * s) if m <= 1.0 else 1.0 - m)
    fm, fmm = -0.5 * elliptic_moment(1.0, 1.0, phi, m), -0.25 * elliptic_moment(3.0, 2.0, phi, m)
    return ellipeinc(phi, m), fx, fm, -m * (s * c) / fx, -0.5 * (s * s) / fx, fmm

# Exponential integrals ([1]_ 6.2, 8.19), sine and cosine integrals, Lambert's W ([1]_ 4.13).

@special_rule("exp1:d", domain=(0.0, inf), sample=(0.05, 20.0))
def exp1(x: Number) -> Jet1:
    f = exp1(x)
    f1 = f if x < 0.0 else -np.exp(-x) / x
    return f, f1, -f1 * (1.0 + 1.0 / x)

@special_rule("expi:d", sample=((-9.0, -0.1), (0.05, 20.0)))
def expi(x: Number) -> Jet1:
    f1 = np.exp(x) / x
    return expi(x), f1, f1 * (1.0 - 1.0 / x)

@special_rule("expn:ld->d", parameters=1, domain=((0.0, inf), (0.0, inf)),
    sample=(COUNT, (0.1, 20.0)))
def expn(n: Number, x: Number) -> Jet1:
    # E_0 = exp(-x) / x, and E_-1 = E_0 (1 + 1 / x), E_-2 = E_0 (1 + 2 / x + 2 / x^2).
    e0, r = np.exp(-x) / x, 1.0 / x
    if n > 1.0:
        return expn(n, x), -expn(n - 1.0, x), expn(n - 2.0, x)
    if n > 0.0:
        return expn(n, x), -e0, e0 * (1.0 + r)
    return expn(n, x), -e0 * (1.0 + r), e0 * (1.0 + 2.0 * r * (1.0 + r))

@special_rule("sici:d->dd", is_named=False, sample=BOTH)
def sine_integral(x: Number) -> Jet1:
    return sine_integral(x), spherical_j(0.0, x), -spherical_j(1.0, x)

@special_rule("sici:d->dd", output=1, is_named=False, domain=(0.0, inf), sample=POSITIVE)
def cosine_integral(x: Number) -> Jet1:
    f1 = np.cos(x) / x if x >= 0.0 else np.sqrt(x)
    return cosine_integral(x), f1, -(np.sin(x) + f1) / x

@special_rule("shichi:d->dd", is_named=False, sample=BOTH)
def hyperbolic_sine_integral(x: Number) -> Jet1:
    return hyperbolic_sine_integral(x), spherical_i(0.0, x), spherical_i(1.0, x)

@special_rule("shichi:d->dd", output=1, is_named=False, domain=(0.0, inf), sample=(0.1, 9.0))
def hyperbolic_cosine_integral(x: Number) -> Jet1:
    f1 = np.cosh(x) / x if x >= 0.0 else np.sqrt(x)
    return hyperbolic_cosine_integral(x), f1, (np.sinh(x) - f1) / x

@special_rule("_lambertw:Dld->D", arrange=lambda k, x: [(x, 0.0), k, 1e-8], part="if_real",
    is_named=False, parameters=1, domain=((-inf, inf), (-0.36787944117144233, inf)),
    sample=(((0.0, 0.0), (0.0, 0.0)), (-0.3, 21.0)), doc="scipy.special.lambertw")
def lambert_w(k: Number, x: Number) -> Jet1:
    # W e^W = x gives W' = e^-W / (1 + W).
    f = lambert_w(k, x)
    f1 = np.exp(-f) / (1.0 + f)
    return f, f1, -f1 * f1 * (2.0 + f) / (1.0 + f)

# Error functions ([1]_ 7.2, 7.10): derivatives of Dawson's integral, of erfcx and of w(z) are what
# is left of two equal terms far out. There the series are
#     F(x) = 1 / (2 x) sum_n a_n u^n,  sqrt(pi) erfcx(x) = 1 / x sum_n a_n (-u)^n,
#     w(z) = i / (sqrt(pi) z) sum_n a_n u^n  with a_n = (2 n - 1)!!, u = 1 / (2 x^2).

@special_rule("dawsn:d", sample=((-3.2, 4.7), (11.0, 14.0)))
def dawsn(x: Number) -> Jet1:
    f = dawsn(x)
    f1 = 1.0 - 2.0 * x * f
    f11 = -2.0 * (f + x * f1)
    if np.absolute(x) > FAR:
        u = 0.5 / x / x
        first, second = 0.0 * u, 0.0 * u
        for n in range(TERMS, 0, -1):
            first = (1.0 + first) * (u * (2.0 * n + 1.0))
            second = (1.0 + second) * (u * ((2.0 * n + 1.0) * (n + 1.0) / n))
        f1, f11 = -u * (1.0 + first), 2.0 * u / x * (1.0 + second)
    return f, f1, f11

@special_rule("erfcx:d", sample=((-3.2, 4.7), (11.0, 14.0)))
def erfcx(x: Number) -> Jet1:
    f = erfcx(x)
    if x < 0.0:
        f1 = 2.0 * x * f - TWO_OVER_SQRT_PI
        return f, f1, 2.0 * (f + x * f1)
    if x > FAR:
        u = 0.5 / x / x
        first, second = 0.0 * u, 0.0 * u
        for n in range(TERMS, 0, -1):
            first = (1.0 + first) * (-u * (2.0 * n + 1.0))
            second = (1.0 + second) * (-u * ((2.0 * n + 1.0) * (n + 1.0) / n))
        scale = 2.0 * u / SQRT_PI
        return f, -scale * (1.0 + first), 2.0 * scale / x * (1.0 + second)
    # With z = sqrt(2) x and d of `MILLS`: f = sqrt(2 / pi) / (z + d).
    z = SQRT_TWO * x
    w = (z - 4.0) / (z + 4.0)
    p = 0.0 * w
    for c in MILLS:
        p = p * w + c
    d = p / (z + 1.25)
    f1 = -TWO_OVER_SQRT_PI * d / (z + d)
    return f, f1, 2.0 * SQRT_TWO_OVER_PI * (1.0 - z * d) / (z + d)

# Derivatives of the analytic w(x + i y) by y are those by x times i; see `special_values.faddeeva`.

@rule(value=sv.faddeeva, parameters=2, ulps=ULPS, doc="scipy.special.wofz",
    sample=(((0.0, 0.0), (1.0, 1.0)), ((0.0, 0.0), (1.0, 1.0)), (-3.2, 14.7), (0.1, 5.3)))
def faddeeva(part: Number, k: Number, x: Number, y: Number) -> Jet2:
    sign, other = 2.0 * part - 1.0, 1.0 - part
    fy, fxy = sign * faddeeva(other, k + 1.0, x, y), sign * faddeeva(other, k + 2.0, x, y)
    fx, fxx = faddeeva(part, k + 1.0, x, y), faddeeva(part, k + 2.0, x, y)
    return faddeeva(part, k, x, y), fx, fy, fxx, fxy, -fxx
