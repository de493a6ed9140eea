"""The table of jets: every elementary function once, with its first and second derivatives.

Contract of a jet
-----------------
* A unary jet takes x and returns ``(f, f1, f11)``; a binary jet takes x, y and returns
  ``(f, fx, fy, fxx, fxy, fyy)``. f is, bit for bit, what Numba computes for each target.
* Later entries use earlier ones where that loses no digits. No differences of function values.
* Outside the domain every entry that is not identically zero is NaN. At a kink the gradient is the
  element of least norm of Clarke's subdifferential. A jet never raises.
* It is compiled with error_model="numpy" and without fastmath. Its arguments are floats, or numbers
  that carry derivatives themselves (nested differentiation): a jet may use comparisons, which look
  at the primal only, + - * / **, abs, NumPy functions that are rows, and rows by their own name. In
  a jet the name of a row is its `Rule`: ``erf(x)`` inside ``def erf(x)`` is the value of erf.
* So a formula must be differentiable wherever the function is: no abs(x) in a smooth function, and
  no constant, in a branch for a single point, where the entry depends on x.

The fields of a row are described in `Rule`. ``x + 0.0`` below turns -0.0 into 0.0, so that the
derivative at 0 is the one of x > 0.
"""

import math
from math import inf, nan, pi
from typing import Any, TypeAlias

import numpy as np

from . import special_functions as sp
from .rule import RULES as RULES  # noqa: PLC0414  # filled here
from .rule import Jet1, Jet2, Number, rule
from .special_functions import MILLS, SINC

LN2 = 0.6931471805599453
LN10 = 2.302585092994046
SQRT_HALF = 0.7071067811865476
TWO_OVER_SQRT_PI = 1.1283791670955126
ONE_OVER_SQRT_2PI = 0.3989422804014327
SMALLEST_NORMAL = 2.2250738585072014e-308

Row: TypeAlias = dict[str, Any]

# A table: one blank line between rows.
# fmt: off
BOTH = (-3.2, 4.7)  # where most rows are sampled: both signs, not symmetric
PAIR = (BOTH, (-4.1, 3.3))
# Where both terms of the reflection formula have one sign: next to its zeros on the negative axis
# the relative error of digamma and its kin is unbounded.
GAMMA = ((-2.4, -2.05), (-0.35, -0.05), (0.05, 30.0))
ORDERS = ((1.0, 1.0), (2.0, 2.0), (3.0, 3.0))
ROOT: Row = {"special": {0.0: (0.0, inf, None)}}
POWER = {
    (0.0, 0.0): (1.0, 0.0, 0.0, 0.0, None, None),
    (0.0, 1.0): (0.0, 1.0, 0.0, 0.0, None, None),
    (0.0, 2.0): (0.0, 0.0, 0.0, 2.0, None, None),
    (0.0, 3.0): (0.0, 0.0, 0.0, 0.0, None, None),
    (0.0, 0.5): (0.0, inf, 0.0, None, None, None),
    (0.0, 1.5): (0.0, 0.0, 0.0, inf, None, None),
    (0.0, -1.0): (inf, -inf, -inf, None, None, None),
    (-2.0, 0.5): (nan,) * 6,
    (-2.0, 3.0): (-8.0, 12.0, nan, -12.0, None, None),
}
LOG: Row = {
    "domain": (0.0, inf),
    "sample": (0.05, 21.0),
    "special": {0.0: (-inf, inf, -inf), 1.0: (0.0, None, None)},
}
ARC: Row = {"domain": (-1.0, 1.0), "sample": (-0.9, 0.95)}
X, Y = (1.0, 0.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0, 0.0)  # the derivatives of x, of y
TIE: Row = {"sample": PAIR, "kinks": {(1.5, 1.5): (0.5, 0.5)}, "linear": True}
NAN_WINS: Row = TIE | {"special": {(2.0, nan): (nan, *Y), (nan, 2.0): (nan, *X)}}
NAN_LOSES: Row = TIE | {"special": {(2.0, nan): (2.0, *X), (nan, 2.0): (2.0, *Y)}}
FIRST_WINS: Row = TIE | {"special": {(2.0, nan): (2.0, *X), (nan, 2.0): (nan, *X)}}
MOD: Row = {"sample": PAIR, "special": {(1.0, 0.0): (nan, nan, nan, 0.0, 0.0, 0.0)}, "linear": True}

# Signs and rounding

@rule(np.absolute, np.fabs, math.fabs, abs, sample=BOTH, kinks={0.0: 0.0}, linear=True)
def absolute(x: Number) -> Jet1:
    return np.absolute(x), np.sign(x), 0.0

@rule(np.sign, sample=BOTH, special={0.0: (0.0, 0.0, 0.0)}, flat=True)
def sign(x: Number) -> Jet1:
    return np.sign(x), 0.0, 0.0

@rule(np.floor, sample=BOTH, special={-2.0: (-2.0, 0.0, 0.0)}, flat=True)
def floor(x: Number) -> Jet1:
    return np.floor(x), 0.0, 0.0

@rule(np.ceil, sample=BOTH, special={3.0: (3.0, 0.0, 0.0)}, flat=True)
def ceil(x: Number) -> Jet1:
    return np.ceil(x), 0.0, 0.0

@rule(np.trunc, sample=BOTH, special={-2.0: (-2.0, 0.0, 0.0)}, flat=True)
def trunc(x: Number) -> Jet1:
    return np.trunc(x), 0.0, 0.0

@rule(np.rint, sample=BOTH, special={2.5: (2.0, 0.0, 0.0)}, flat=True)
def rint(x: Number) -> Jet1:
    return np.rint(x), 0.0, 0.0

@rule(np.copysign, math.copysign, sample=PAIR,
    special={(0.0, -2.0): (-0.0, -1.0, *[0.0] * 4), (-0.0, -2.5): (-0.0, 1.0, *[0.0] * 4)},
    linear=True)
def copysign(x: Number, y: Number) -> Jet2:
    return np.copysign(x, y), np.copysign(1.0, x) * np.copysign(1.0, y), 0.0, 0.0, 0.0, 0.0

# Extremes, remainders

@rule(np.maximum, **NAN_WINS)
def maximum(x: Number, y: Number) -> Jet2:
    fx = 0.5 if x == y else 1.0 if x > y or x != x else 0.0
    return np.maximum(x, y), fx, 1.0 - fx, 0.0, 0.0, 0.0

@rule(np.minimum, **NAN_WINS)
def minimum(x: Number, y: Number) -> Jet2:
    fx = 0.5 if x == y else 1.0 if x < y or x != x else 0.0
    return np.minimum(x, y), fx, 1.0 - fx, 0.0, 0.0, 0.0

@rule(np.fmax, **NAN_LOSES)
def fmax(x: Number, y: Number) -> Jet2:
    fx = 0.5 if x == y else 1.0 if x > y or y != y else 0.0
    return np.fmax(x, y), fx, 1.0 - fx, 0.0, 0.0, 0.0

@rule(np.fmin, **NAN_LOSES)
def fmin(x: Number, y: Number) -> Jet2:
    fx = 0.5 if x == y else 1.0 if x < y or y != y else 0.0
    return np.fmin(x, y), fx, 1.0 - fx, 0.0, 0.0, 0.0

@rule(max, value=sp.builtin_max, **FIRST_WINS, doc="y if y > x else x, for two numbers")
def builtin_max(x: Number, y: Number) -> Jet2:
    fx = 0.5 if x == y else 0.0 if y > x else 1.0
    return builtin_max(x, y), fx, 1.0 - fx, 0.0, 0.0, 0.0

@rule(min, value=sp.builtin_min, **FIRST_WINS, doc="y if y < x else x, for two numbers")
def builtin_min(x: Number, y: Number) -> Jet2:
    fx = 0.5 if x == y else 0.0 if y < x else 1.0
    return builtin_min(x, y), fx, 1.0 - fx, 0.0, 0.0, 0.0

@rule(np.fmod, math.fmod, **MOD)
def fmod(x: Number, y: Number) -> Jet2:
    # x / y may be rounded to the next integer; x - f is a multiple of y but for rounding.
    f = np.fmod(x, y)
    fx = 1.0 if f == f else nan
    return f, fx, -np.rint((x - f) / y) * fx, 0.0, 0.0, 0.0

@rule(np.remainder, **MOD)
def remainder(x: Number, y: Number) -> Jet2:
    f = np.remainder(x, y)
    fx = 1.0 if f == f else nan
    return f, fx, -np.rint((x - f) / y) * fx, 0.0, 0.0, 0.0

@rule(np.floor_divide, sample=PAIR, special={(7.0, 2.0): (3.0, *[0.0] * 5)}, flat=True)
def floor_divide(x: Number, y: Number) -> Jet2:
    return np.floor_divide(x, y), 0.0, 0.0, 0.0, 0.0, 0.0

# Powers

@rule(np.hypot, math.hypot, sample=PAIR, kinks={(0.0, 0.0): (0.0, 0.0)})
def hypot(x: Number, y: Number) -> Jet2:
    f = np.hypot(x, y)
    h = f if f != 0.0 else inf
    fx, fy = x / h, y / h
    return f, fx, fy, fy / h * fy, -(fx / h) * fy, fx / h * fx

@rule(np.power, math.pow, np.float_power, sample=((0.05, 6.3), (-3.6, 4.4)), special=POWER)
def power(x: Number, y: Number) -> Jet2:
    f = np.power(x, y)
    # f / x is better than a second power, whose exponent is rounded, unless f is out of range.
    p = f / x if x != 0.0 and SMALLEST_NORMAL < abs(f) < inf else np.power(x, y - 1.0)
    fx = y * p if y != 0.0 or abs(p) < inf else 0.0
    if x != 0.0 and SMALLEST_NORMAL < abs(fx) < 1e300:
        fxx = (y - 1.0) * fx / x
    else:
        c, q = y * (y - 1.0), np.power(x, y - 2.0)
        fxx = c * q if c != 0.0 or abs(q) < inf else 0.0
    log_x = np.log(x)
    fy, fxy, fyy = f * log_x, p * (1.0 + y * log_x), f * log_x * log_x
    if x == 0.0 and y >= 0.0:
        fy, fyy = 0.0, 0.0
        fxy = 0.0 if y == 0.0 or y > 1.0 else -inf
    return f, fx, fy, fxx, fxy, fyy

@rule(np.sqrt, math.sqrt, **LOG | ROOT)
def sqrt(x: Number) -> Jet1:
    f = np.sqrt(x)
    f1 = 0.5 / (f + 0.0)
    return f, f1, -0.5 * f1 / (x + 0.0)

@rule(np.cbrt, math.cbrt, scipy=("cbrt",), sample=BOTH, **ROOT)
def cbrt(x: Number) -> Jet1:
    f = np.cbrt(x)
    f1 = 1.0 / (f * f)
    # C libraries compute f to 1 to 4 ulp. An error e of f is one of -2 e here, of e in f / x.
    if 0.0 < abs(x) < inf:
        f1 = (f1 + 2.0 * (f / x)) / 3.0
    f1 = f1 / 3.0
    return f, f1, -2.0 * f1 / (3.0 * (x + 0.0))

@rule(np.square, sample=BOTH)
def square(x: Number) -> Jet1:
    return np.square(x), 2.0 * x, 2.0

@rule(np.reciprocal, sample=BOTH, special={0.0: (inf, -inf, inf)})
def reciprocal(x: Number) -> Jet1:
    f = np.reciprocal(x)
    f1 = -f * f
    return f, f1, -2.0 * f1 * f

# Exponentials and logarithms

@rule(np.exp, math.exp, sample=BOTH)
def exp(x: Number) -> Jet1:
    f = np.exp(x)
    return f, f, f

@rule(np.exp2, math.exp2, scipy=("exp2",), sample=BOTH)
def exp2(x: Number) -> Jet1:
    f = np.exp2(x)
    f1 = LN2 * f
    return f, f1, LN2 * f1

@rule(np.expm1, math.expm1, scipy=("expm1",), sample=BOTH)
def expm1(x: Number) -> Jet1:
    f1 = np.exp(x)
    return np.expm1(x), f1, f1

@rule(np.log, math.log, **LOG)
def log(x: Number) -> Jet1:
    f = np.log(x)
    f1 = f if x < 0.0 else 1.0 / (x + 0.0)
    return f, f1, -f1 / (x + 0.0)

@rule(np.log2, math.log2, **LOG)
def log2(x: Number) -> Jet1:
    f = np.log2(x)
    f1 = f if x < 0.0 else 1.0 / (LN2 * (x + 0.0))
    return f, f1, -f1 / (x + 0.0)

@rule(np.log10, math.log10, **LOG)
def log10(x: Number) -> Jet1:
    f = np.log10(x)
    f1 = f if x < 0.0 else 1.0 / (LN10 * (x + 0.0))
    return f, f1, -f1 / (x + 0.0)

@rule(np.log1p, math.log1p, scipy=("log1p",), domain=(-1.0, inf), sample=(-0.9, 5.2),
    special={-1.0: (-inf, inf, -inf), 0.0: (0.0, 1.0, -1.0)})
def log1p(x: Number) -> Jet1:
    f = np.log1p(x)
    f1 = f if x < -1.0 else 1.0 / (1.0 + x)
    return f, f1, -f1 * f1

@rule(np.logaddexp, sample=PAIR,
    special={(inf, inf): (inf, 0.5, 0.5, *[None] * 3), (-inf, -inf): (-inf, 0.5, 0.5, *[None] * 3)})
def logaddexp(x: Number, y: Number) -> Jet2:
    f = np.logaddexp(x, y)
    d = 0.0 if x == y and abs(x) == inf else x - y
    fx, fy = expit(d), expit(-d)
    # The rounding error of d, by Knuth's two-sum, is amplified d times if d is large.
    if 1.0 < abs(d) < 800.0:
        t = d - x
        error = (x - (d - t)) - (y + t)
        fx, fy = fx + fx * fy * error, fy - fx * fy * error
    return f, fx, fy, fx * fy, -fx * fy, fx * fy

@rule(value=sp.xlogy, scipy=("xlogy",), domain=((-inf, inf), (0.0, inf)),
    sample=(BOTH, (0.05, 21.0)),
    special={(0.0, 0.0): (0.0, -inf, 0.0, 0.0, inf, 0.0), (0.0, 1.0): (*[0.0] * 4, 1.0, 0.0)})
def xlogy(x: Number, y: Number) -> Jet2:
    z = y + 0.0
    f, fx = xlogy(x, y), np.log(z)
    fy, fxy = x / z, 1.0 / z
    fyy = -fy / z
    if y < 0.0:
        fy, fxy, fyy = fx, fx, fx
    elif x == 0.0 and y == 0.0:
        fy, fyy = 0.0, 0.0
    return f, fx, fy, 0.0, fxy, fyy

@rule(value=sp.expit, scipy=("expit",), sample=BOTH, special={0.0: (0.5, 0.25, 0.0)})
def expit(x: Number) -> Jet1:
    f = expit(x)
    f1 = f * expit(-x)
    return f, f1, -f1 * np.tanh(0.5 * x)

@rule(value=sp.logit, scipy=("logit",), domain=(0.0, 1.0), sample=(0.04, 0.97),
    special={0.0: (-inf, inf, -inf), 0.5: (0.0, 4.0, 0.0), 1.0: (inf, inf, inf)})
def logit(x: Number) -> Jet1:
    f = logit(x)
    f1 = f if x < 0.0 or x > 1.0 else 1.0 / ((x + 0.0) * (1.0 - x))
    return f, f1, (2.0 * x - 1.0) * f1 * f1

# Trigonometric and hyperbolic functions

@rule(np.sin, math.sin, sample=BOTH)
def sin(x: Number) -> Jet1:
    f = np.sin(x)
    return f, np.cos(x), -f

@rule(np.cos, math.cos, sample=BOTH)
def cos(x: Number) -> Jet1:
    f = np.cos(x)
    return f, -np.sin(x), -f

@rule(np.tan, math.tan, sample=((-1.3, 1.4), (1.8, 4.5)))
def tan(x: Number) -> Jet1:
    f = np.tan(x)
    f1 = 1.0 + f * f
    return f, f1, 2.0 * f * f1

@rule(np.arcsin, math.asin, **ARC, special={1.0: (pi / 2, inf, inf), -1.0: (-pi / 2, inf, -inf)})
def arcsin(x: Number) -> Jet1:
    w = (1.0 - x) * (1.0 + x)
    f1 = 1.0 / np.sqrt(w)
    return np.arcsin(x), f1, x * f1 / w

@rule(np.arccos, math.acos, **ARC, special={1.0: (0.0, -inf, -inf), -1.0: (pi, -inf, inf)})
def arccos(x: Number) -> Jet1:
    w = (1.0 - x) * (1.0 + x)
    f1 = -1.0 / np.sqrt(w)
    return np.arccos(x), f1, x * f1 / w

@rule(np.arctan, math.atan, sample=BOTH)
def arctan(x: Number) -> Jet1:
    h = np.hypot(1.0, x)
    f1 = 1.0 / h / h
    return np.arctan(x), f1, -2.0 * (x * f1) * f1

@rule(np.arctan2, math.atan2, sample=PAIR,
    special={(0.0, 0.0): (0.0, *[nan] * 5), (0.0, 2.0): (0.0, 0.5, 0.0, 0.0, -0.25, 0.0)})
def arctan2(y: Number, x: Number) -> Jet2:
    h = np.hypot(y, x)
    fy, fx = x / h / h, -(y / h / h)
    fyy = 2.0 * fy * fx
    return np.arctan2(y, x), fy, fx, fyy, ((y - x) / h / h) * ((y + x) / h / h), -fyy

@rule(np.sinh, math.sinh, sample=BOTH)
def sinh(x: Number) -> Jet1:
    f = np.sinh(x)
    return f, np.cosh(x), f

@rule(np.cosh, math.cosh, sample=BOTH)
def cosh(x: Number) -> Jet1:
    f = np.cosh(x)
    return f, np.sinh(x), f

@rule(np.tanh, math.tanh, sample=BOTH, special={1000.0: (1.0, 0.0, 0.0)})
def tanh(x: Number) -> Jet1:
    f, c = np.tanh(x), np.cosh(x)
    f1 = 1.0 / c / c
    return f, f1, -2.0 * f * f1

@rule(np.arcsinh, math.asinh, sample=BOTH)
def arcsinh(x: Number) -> Jet1:
    f1 = 1.0 / np.hypot(1.0, x)
    return np.arcsinh(x), f1, -(x * f1) * f1 * f1

@rule(np.arccosh, math.acosh, domain=(1.0, inf), sample=(1.05, 9.0),
    special={1.0: (0.0, inf, -inf)})
def arccosh(x: Number) -> Jet1:
    f1 = 1.0 / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0))
    return np.arccosh(x), f1, -(x * f1) * f1 * f1

@rule(np.arctanh, math.atanh, **ARC, special={1.0: (inf, inf, inf), -1.0: (-inf, inf, -inf)})
def arctanh(x: Number) -> Jet1:
    f = np.arctanh(x)
    f1 = f if abs(x) > 1.0 else 1.0 / ((1.0 - x) * (1.0 + x))
    return f, f1, 2.0 * x * f1 * f1

@rule(np.sinc, scipy=("sinc",), sample=BOTH, special={0.0: (1.0, 0.0, -pi * pi / 3.0)})
def sinc(x: Number) -> Jet1:
    if abs(x) < 0.5:
        u = (pi * x) * (pi * x)
        p, q = 0.0 * u, 0.0 * u
        for i in range(len(SINC)):
            p, q = p * u + SINC[i, 0], q * u + SINC[i, 1]
        f1, f11 = p * x, q
    else:
        # sinc solves x f'' + 2 f' + pi^2 x f = 0; x is reduced before its digits are lost in pi x.
        r = pi * (x - 2.0 * np.rint(0.5 * x))
        s = np.sin(r)
        f1 = (np.cos(r) - s / (pi * x)) / x
        f11 = -(2.0 * f1 + pi * s) / x
    return sinc(x), f1, f11

@rule(np.degrees, np.rad2deg, math.degrees, sample=BOTH, linear=True)
def degrees(x: Number) -> Jet1:
    return np.degrees(x), 180.0 / pi, 0.0

@rule(np.radians, np.deg2rad, math.radians, sample=BOTH, linear=True)
def radians(x: Number) -> Jet1:
    return np.radians(x), pi / 180.0, 0.0

# Error functions; exp(-z z) is exp(-t t) exp(-(z - t) (z + t)), with t so short that t t is exact.
# It is 0 from z = 28, so z is x bounded by a finite number. Then the gamma function.

@rule(math.erf, scipy=("erf",), sample=BOTH, special={inf: (1.0, 0.0, 0.0)})
def erf(x: Number) -> Jet1:
    z = np.maximum(-30.0, np.minimum(x, 30.0))
    t = np.trunc(16.0 * z) / 16.0
    f1 = TWO_OVER_SQRT_PI * np.exp(-t * t) * np.exp(-(z - t) * (z + t))
    return erf(x), f1, -2.0 * z * f1

@rule(math.erfc, scipy=("erfc",), sample=BOTH, special={-inf: (2.0, 0.0, 0.0)})
def erfc(x: Number) -> Jet1:
    z = np.maximum(-30.0, np.minimum(x, 30.0))
    t = np.trunc(16.0 * z) / 16.0
    f1 = -TWO_OVER_SQRT_PI * np.exp(-t * t) * np.exp(-(z - t) * (z + t))
    return erfc(x), f1, -2.0 * z * f1

@rule(value=sp.log_ndtr, scipy=("log_ndtr",), sample=(-6.2, 4.1), special={inf: (0.0, 0.0, 0.0)})
def log_ndtr(x: Number) -> Jet1:
    # f1 = phi(x) / Phi(x) and d = f1 + x, which is a difference for x < 0; see `MILLS`.
    if x > 0.0:
        z = np.minimum(x, 40.0)
        t = np.trunc(16.0 * z) / 16.0
        g = np.exp(-0.5 * t * t) * np.exp(-0.5 * (z - t) * (z + t))
        f1 = ONE_OVER_SQRT_2PI * g / (0.5 * erfc(-SQRT_HALF * z))
        d = f1 + z
    else:
        w = 1.0 - 8.0 / (4.0 - x)
        p = 0.0 * w
        for c in MILLS:
            p = p * w + c
        d = p / (1.25 - x)
        f1 = d - x
    return log_ndtr(x), f1, -f1 * d

@rule(math.gamma, value=sp.gamma, scipy=("gamma",), sample=GAMMA,
    special={0.0: (inf, -inf, inf), -1.0: (nan, nan, nan)},
    ulps=(8, 16))  # the C library's gamma alone is within 4
def gamma(x: Number) -> Jet1:
    f, psi = gamma(x), digamma(x)
    return f, f * psi, f * (psi * psi + polygamma(1.0, x))

@rule(math.lgamma, value=sp.gammaln, scipy=("gammaln",), sample=GAMMA,
    special={0.0: (inf, -inf, inf), -1.0: (inf, nan, inf)})
def gammaln(x: Number) -> Jet1:
    return gammaln(x), digamma(x), polygamma(1.0, x)

@rule(value=sp.digamma, scipy=("digamma", "psi"), sample=GAMMA,
    special={0.0: (-inf, inf, -inf), -1.0: (nan, inf, None)})
def digamma(x: Number) -> Jet1:
    return digamma(x), polygamma(1.0, x), polygamma(2.0, x)

@rule(value=sp.polygamma, scipy=("polygamma",), parameters=1, sample=(ORDERS, GAMMA),
    special={(1.0, 0.0): (inf, -inf, inf), (0.5, 1.0): (nan,) * 3})
def polygamma(k: Number, x: Number) -> Jet1:
    return polygamma(k, x), polygamma(k + 1.0, x), polygamma(k + 2.0, x)
