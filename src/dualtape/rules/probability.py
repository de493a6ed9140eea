"""The table of jets, continued: functions of probability and statistics, with SciPy's values.

Normal, gamma, beta, Student's and Fisher's distributions, their inverses, entropies, losses and
transforms.  The contract is that of `table`; the first `parameters` arguments of a row have no
derivative.

References
----------
.. [1] Olver et al., *NIST Handbook of Mathematical Functions*, 2010, chapters 5, 7, 8 and 25.
"""

from math import inf, nan

import numpy as np

from . import special_values as sv
from .physics import hyp1f1, hyp2f1
from .rule import Jet1, Jet2, Number, rule
from .special_rule import ULPS, special_rule
from .special_values import SQRT_PI
from .table import digamma, expit, polygamma

# A table: one blank line between rows.
# fmt: off
BOTH = (-3.2, 4.7)
PAIR = (BOTH, (-4.1, 3.3))
SHAPE, OTHER = (0.4, 8.3), (0.6, 9.1)
POSITIVE = (0.05, 15.0)
UNIT: tuple[float, float] = (0.0, 1.0)
INSIDE = (0.04, 0.93)
HALF_LINE = (0.0, inf)

# Densities, which are the derivatives of the distributions below, and their slopes: f' = s f,
# f'' = (s^2 + s') f, where s is the derivative of log f.

@rule(value=sv.normal_density, sample=BOTH, ulps=ULPS)
def normal_density(x: Number) -> Jet1:
    f, z = normal_density(x), np.maximum(-40.0, np.minimum(x, 40.0))
    return f, -z * f, (z * z - 1.0) * f

@rule(value=sv.gamma_slope, parameters=1, domain=((-inf, inf), HALF_LINE), sample=(SHAPE, POSITIVE),
    singular=True, ulps=ULPS)
def gamma_slope(a: Number, x: Number) -> Jet1:
    f1 = (1.0 - a) / x / x if a != 1.0 else 0.0 * x
    f11 = -2.0 * f1 / x if a != 1.0 else 0.0 * x
    f = gamma_slope(a, x)
    return (f, f1, f11) if x >= 0.0 else (f, f, f)

@rule(value=sv.gamma_density, parameters=1, domain=((-inf, inf), HALF_LINE),
    sample=(SHAPE, POSITIVE), singular=True, ulps=ULPS)
def gamma_density(a: Number, x: Number) -> Jet1:
    f, s = gamma_density(a, x), gamma_slope(a, x)
    ds = (1.0 - a) / x / x if a != 1.0 else 0.0 * x
    return f, s * f, (s * s + ds) * f

@rule(value=sv.beta_slope, parameters=2, domain=((-inf, inf), (-inf, inf), UNIT),
    sample=(SHAPE, OTHER, INSIDE), singular=True, ulps=ULPS)
def beta_slope(a: Number, b: Number, x: Number) -> Jet1:
    f, f1, f11, y = beta_slope(a, b, x), 0.0 * x, 0.0 * x, 1.0 - x
    if a != 1.0:
        f1, f11 = f1 - (a - 1.0) / x / x, f11 + 2.0 * (a - 1.0) / x / x / x
    if b != 1.0:
        f1, f11 = f1 - (b - 1.0) / y / y, f11 - 2.0 * (b - 1.0) / y / y / y
    return (f, f1, f11) if 0.0 <= x <= 1.0 else (f, f, f)

@rule(value=sv.beta_density, parameters=2, domain=((-inf, inf), (-inf, inf), UNIT),
    sample=(SHAPE, OTHER, INSIDE), singular=True, ulps=ULPS)
def beta_density(a: Number, b: Number, x: Number) -> Jet1:
    f, s, y = beta_density(a, b, x), beta_slope(a, b, x), 1.0 - x
    ds = 0.0 * x
    if a != 1.0:
        ds = ds - (a - 1.0) / x / x
    if b != 1.0:
        ds = ds - (b - 1.0) / y / y
    return f, s * f, (s * s + ds) * f

@rule(value=sv.student_density, parameters=1, sample=(SHAPE, BOTH), singular=True, ulps=ULPS)
def student_density(df: Number, t: Number) -> Jet1:
    f, h = student_density(df, t), df + t * t
    s = -(df + 1.0) * t / h
    return f, s * f, (s * s - (df + 1.0) * (df - t * t) / (h * h)) * f

# The normal distribution and error functions. With x = f(p), the inverse of F, f' = 1 / F'(x) and
# f'' = -F''(x) f'^3.

@special_rule("ndtr:d", sample=(-6.2, 4.7))
def ndtr(x: Number) -> Jet1:
    f1 = normal_density(x)
    return ndtr(x), f1, -np.maximum(-40.0, np.minimum(x, 40.0)) * f1

@special_rule("ndtri:d", domain=UNIT, sample=INSIDE)
def ndtri(p: Number) -> Jet1:
    f = ndtri(p)
    f1 = 1.0 / normal_density(f)
    return f, f1, f * f1 * f1

@special_rule("erfinv:d", domain=(-1.0, 1.0), sample=(-0.9, 0.95))
def erfinv(p: Number) -> Jet1:
    f = erfinv(p)
    f1 = 0.5 * SQRT_PI * np.exp(f * f)
    return f, f1, 2.0 * f * f1 * f1

@special_rule("erfcinv:d", domain=(0.0, 2.0), sample=(0.04, 1.9))
def erfcinv(p: Number) -> Jet1:
    f = erfcinv(p)
    f1 = -0.5 * SQRT_PI * np.exp(f * f)
    return f, f1, 2.0 * f * f1 * f1

@special_rule("log_expit:d", sample=BOTH)
def log_expit(x: Number) -> Jet1:
    f1 = expit(-x)
    return log_expit(x), f1, -f1 * expit(x)

# Gamma and beta functions, zeta.

@special_rule("loggamma:d", domain=HALF_LINE, sample=(0.05, 30.0))
def loggamma(x: Number) -> Jet1:
    f = loggamma(x)
    f1, f11 = digamma(x), polygamma(1.0, x)
    return (f, f1, f11) if x >= 0.0 else (f, f, f)

@special_rule("betaln:dd", sample=(SHAPE, OTHER))
def betaln(a: Number, b: Number) -> Jet2:
    c = a + b
    both, mixed = digamma(c), -polygamma(1.0, c)
    fa, fb = digamma(a) - both, digamma(b) - both
    return betaln(a, b), fa, fb, polygamma(1.0, a) + mixed, mixed, polygamma(1.0, b) + mixed

@special_rule("beta:dd", sample=(SHAPE, OTHER))
def beta(a: Number, b: Number) -> Jet2:
    f, c = beta(a, b), a + b
    both, mixed = digamma(c), -polygamma(1.0, c)
    p, q = digamma(a) - both, digamma(b) - both
    faa, fbb = p * p + polygamma(1.0, a) + mixed, q * q + polygamma(1.0, b) + mixed
    return f, f * p, f * q, f * faa, f * (p * q + mixed), f * fbb

@special_rule("_zeta:dd->d", parameters=1, is_named=False, domain=((1.0, inf), HALF_LINE),
    sample=((1.2, 7.3), (0.3, 9.1)), doc="scipy.special.zeta")
def hurwitz_zeta(x: Number, q: Number) -> Jet1:
    f1 = -x * hurwitz_zeta(x + 1.0, q)
    return hurwitz_zeta(x, q), f1, x * (x + 1.0) * hurwitz_zeta(x + 2.0, q)

@special_rule("_riemann_zeta:d->d", parameters=1, is_named=False, sample=(1.2, 7.3),
    doc="scipy.special.zeta")
def riemann_zeta(x: Number) -> tuple[Number, ...]:
    return (riemann_zeta(x),)

# Gamma distribution: gammainc, its complement and inverses, chi-squared and Poisson's.

@special_rule("gammainc:dd", parameters=1, domain=((0.0, inf), HALF_LINE), sample=(SHAPE, POSITIVE))
def gammainc(a: Number, x: Number) -> Jet1:
    f1 = gamma_density(a, x)
    return gammainc(a, x), f1, f1 * gamma_slope(a, x)

@special_rule("gammaincc:dd", parameters=1, domain=((0.0, inf), HALF_LINE),
    sample=(SHAPE, POSITIVE))
def gammaincc(a: Number, x: Number) -> Jet1:
    f1 = -gamma_density(a, x)
    return gammaincc(a, x), f1, f1 * gamma_slope(a, x)

@special_rule("gammaincinv:dd", parameters=1, domain=((0.0, inf), UNIT), sample=(SHAPE, INSIDE))
def gammaincinv(a: Number, p: Number) -> Jet1:
    f = gammaincinv(a, p)
    f1 = 1.0 / gamma_density(a, f)
    return f, f1, -gamma_slope(a, f) * f1 * f1

@special_rule("gammainccinv:dd", parameters=1, domain=((0.0, inf), UNIT), sample=(SHAPE, INSIDE))
def gammainccinv(a: Number, p: Number) -> Jet1:
    f = gammainccinv(a, p)
    f1 = -1.0 / gamma_density(a, f)
    return f, f1, -gamma_slope(a, f) * f1 * f1

@special_rule("chdtr:dd", parameters=1, domain=((0.0, inf), HALF_LINE), sample=(SHAPE, POSITIVE))
def chdtr(v: Number, x: Number) -> Jet1:
    a, y = 0.5 * v, 0.5 * x
    f1 = 0.5 * gamma_density(a, y)
    return chdtr(v, x), f1, 0.5 * f1 * gamma_slope(a, y)

@special_rule("chdtrc:dd", parameters=1, domain=((0.0, inf), HALF_LINE), sample=(SHAPE, POSITIVE))
def chdtrc(v: Number, x: Number) -> Jet1:
    a, y = 0.5 * v, 0.5 * x
    f1 = -0.5 * gamma_density(a, y) if x >= 0.0 else np.sqrt(x)
    return chdtrc(v, x), f1, 0.5 * f1 * gamma_slope(a, y)

@special_rule("chdtri:dd", parameters=1, domain=((0.0, inf), UNIT), sample=(SHAPE, INSIDE))
def chdtri(v: Number, p: Number) -> Jet1:
    f, a = chdtri(v, p), 0.5 * v
    f1 = -2.0 / gamma_density(a, 0.5 * f)
    return f, f1, -0.5 * gamma_slope(a, 0.5 * f) * f1 * f1

@special_rule("pdtr:dd", parameters=1, domain=((0.0, inf), HALF_LINE),
    sample=(((0.0, 0.0), (2.0, 2.0), (7.4, 7.4)), POSITIVE))
def pdtr(k: Number, m: Number) -> Jet1:
    n = np.floor(k)
    f1 = -gamma_density(n + 1.0, m)
    return pdtr(k, m), f1, f1 * gamma_slope(n + 1.0, m)

@special_rule("pdtrc:dd", parameters=1, domain=((0.0, inf), HALF_LINE),
    sample=(((0.0, 0.0), (2.0, 2.0), (7.4, 7.4)), POSITIVE))
def pdtrc(k: Number, m: Number) -> Jet1:
    n = np.floor(k)
    f1 = gamma_density(n + 1.0, m)
    return pdtrc(k, m), f1, f1 * gamma_slope(n + 1.0, m)

# Beta distribution: betainc and its inverse, Fisher's and the binomial; Student's.

@special_rule("betainc:ddd", parameters=2, domain=((0.0, inf), (0.0, inf), UNIT),
    sample=(SHAPE, OTHER, INSIDE))
def betainc(a: Number, b: Number, x: Number) -> Jet1:
    f1 = beta_density(a, b, x)
    return betainc(a, b, x), f1, f1 * beta_slope(a, b, x)

@special_rule("betaincinv:ddd", parameters=2, domain=((0.0, inf), (0.0, inf), UNIT),
    sample=(SHAPE, OTHER, INSIDE))
def betaincinv(a: Number, b: Number, p: Number) -> Jet1:
    f = betaincinv(a, b, p)
    f1 = 1.0 / beta_density(a, b, f)
    return f, f1, -beta_slope(a, b, f) * f1 * f1

@special_rule("fdtr:ddd", parameters=2, domain=((0.0, inf), (0.0, inf), HALF_LINE),
    sample=(SHAPE, OTHER, (0.1, 6.0)))
def fdtr(dfn: Number, dfd: Number, x: Number) -> Jet1:
    a, b, h = 0.5 * dfn, 0.5 * dfd, dfn * x + dfd
    w, dw = dfn * x / h, dfn / h * dfd / h
    f1 = beta_density(a, b, w) * dw
    slope = beta_slope(a, b, w) * dw - 2.0 * dfn / h
    return fdtr(dfn, dfd, x), f1, f1 * slope

@special_rule("fdtrc:ddd", parameters=2, domain=((0.0, inf), (0.0, inf), HALF_LINE),
    sample=(SHAPE, OTHER, (0.1, 6.0)))
def fdtrc(dfn: Number, dfd: Number, x: Number) -> Jet1:
    a, b, h = 0.5 * dfn, 0.5 * dfd, dfn * x + dfd
    w, dw = dfn * x / h, dfn / h * dfd / h
    f1 = -beta_density(a, b, w) * dw
    slope = beta_slope(a, b, w) * dw - 2.0 * dfn / h
    return fdtrc(dfn, dfd, x), f1, f1 * slope

@special_rule("bdtr:dld->d", parameters=2, domain=((-inf, inf), (-inf, inf), UNIT),
    sample=(((2.0, 2.0), (3.0, 3.0)), ((5.0, 5.0), (9.0, 9.0)), INSIDE))
def bdtr(k: Number, n: Number, p: Number) -> Jet1:
    f, k = bdtr(k, n, p), np.floor(k)
    if k >= n and f == f:
        return f, 0.0 * p, 0.0 * p
    f1 = -beta_density(n - k, k + 1.0, 1.0 - p)
    return f, f1, -f1 * beta_slope(n - k, k + 1.0, 1.0 - p)

@special_rule("bdtrc:dld->d", parameters=2, domain=((-inf, inf), (-inf, inf), UNIT),
    sample=(((2.0, 2.0), (3.0, 3.0)), ((5.0, 5.0), (9.0, 9.0)), INSIDE))
def bdtrc(k: Number, n: Number, p: Number) -> Jet1:
    f, k = bdtrc(k, n, p), np.floor(k)
    if k >= n and f == f:
        return f, 0.0 * p, 0.0 * p
    f1 = beta_density(n - k, k + 1.0, 1.0 - p)
    return f, f1, -f1 * beta_slope(n - k, k + 1.0, 1.0 - p)

@special_rule("stdtr:dd", parameters=1, sample=(SHAPE, BOTH))
def stdtr(df: Number, t: Number) -> Jet1:
    f1 = student_density(df, t)
    return stdtr(df, t), f1, -f1 * (df + 1.0) * t / (df + t * t)

@special_rule("stdtrit:dd", parameters=1, domain=((0.0, inf), UNIT), sample=(SHAPE, INSIDE))
def stdtrit(df: Number, p: Number) -> Jet1:
    f = stdtrit(df, p)
    f1 = 1.0 / student_density(df, f)
    return f, f1, (df + 1.0) * f / (df + f * f) * f1 * f1

# Entropies, losses, transforms.

@special_rule("entr:d", sample=(0.05, 21.0), special={0.0: (0.0, inf, -inf)})
def entr(x: Number) -> Jet1:
    f1 = -np.log(x) - 1.0
    return entr(x), f1, -1.0 / (x + 0.0) if x >= 0.0 else f1

@special_rule("rel_entr:dd", sample=((0.05, 21.0), (0.04, 18.0)))
def rel_entr(x: Number, y: Number) -> Jet2:
    r = x / y
    fx = np.log(r) + 1.0
    return rel_entr(x, y), fx, -r, 1.0 / x, -1.0 / y, r / y

@special_rule("kl_div:dd", sample=((0.05, 21.0), (0.04, 18.0)))
def kl_div(x: Number, y: Number) -> Jet2:
    r = x / y
    return kl_div(x, y), np.log(r), (y - x) / y, 1.0 / x, -1.0 / y, r / y

@special_rule("xlog1py:dd", domain=((-inf, inf), (-1.0, inf)), sample=(BOTH, (-0.9, 5.2)))
def xlog1py(x: Number, y: Number) -> Jet2:
    h = 1.0 + y
    fx = np.log1p(y)
    if y < -1.0:
        return xlog1py(x, y), fx, fx, 0.0, fx, fx
    return xlog1py(x, y), fx, x / h, 0.0, 1.0 / h, -x / h / h

@special_rule("huber:dd", domain=(HALF_LINE, (-inf, inf)), sample=((0.3, 3.1), BOTH))
def huber(delta: Number, r: Number) -> Jet2:
    f, a, s = huber(delta, r), np.absolute(r), np.sign(r)
    if delta < 0.0:
        return f, nan, nan, nan, nan, nan
    if a <= delta:
        return f, 0.0, r, 0.0, 0.0, 1.0
    return f, a - delta, delta * s, -1.0, s, 0.0

@special_rule("pseudo_huber:dd", domain=(HALF_LINE, (-inf, inf)), sample=((0.3, 3.1), BOTH))
def pseudo_huber(delta: Number, r: Number) -> Jet2:
    # With q = (r / delta)^2 and s = sqrt(1 + q), s - 1 = q / (1 + s).
    f, v = pseudo_huber(delta, r), r / delta
    if delta < 0.0:
        return f, nan, nan, nan, nan, nan
    q = v * v
    s = np.sqrt(1.0 + q)
    h, cube = q / (1.0 + s), s * s * s
    return f, delta * h * h / s, r / s, -h * h * (1.0 + 2.0 * s) / cube, v * q / cube, 1.0 / cube

# With t = lmbda log x: (x^lmbda - 1) / lmbda = log(x) g(t), and g^(k)(t), the integral of s^k e^ts
# over [0, 1], is a confluent hypergeometric function.
@special_rule("boxcox:dd", domain=(HALF_LINE, (-inf, inf)), sample=((0.05, 12.0), (-2.1, 3.3)))
def boxcox(x: Number, lmbda: Number) -> Jet2:
    log_x, fx = np.log(x), np.power(x, lmbda - 1.0)
    t, square = lmbda * log_x, log_x * log_x
    fy = 0.5 * square * hyp1f1(2.0, 3.0, t)
    fyy = square * log_x * hyp1f1(3.0, 4.0, t) / 3.0
    return boxcox(x, lmbda), fx, fy, (lmbda - 1.0) * fx / x, fx * log_x, fyy

# With u = lmbda y: the logarithm is y h(u), h(u) = log(1 + u) / u = 2F1(1, 1; 2; -u).
@special_rule("inv_boxcox:dd", sample=((0.05, 2.0), (0.1, 2.3)))
def inv_boxcox(y: Number, lmbda: Number) -> Jet2:
    f, u = inv_boxcox(y, lmbda), lmbda * y
    w, square = 1.0 + u, y * y
    a = -0.5 * square * hyp2f1(2.0, 2.0, 3.0, -u)
    b = 2.0 / 3.0 * square * y * hyp2f1(3.0, 3.0, 4.0, -u)
    fy = f / w
    return f, fy, f * a, fy * (1.0 - lmbda) / w, fy * (a - y / w), f * (a * a + b)
