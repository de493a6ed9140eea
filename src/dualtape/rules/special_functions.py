"""Functions of floats that `math` and NumPy lack, or that raise where a rule must not.

Each is plain Python that Numba can compile: one self-contained function, no call to another
function of this module. None of them raises; outside its domain each returns NaN, at a pole an
infinity. Derivatives are in `table`.

References
----------
.. [1] Abramowitz, Stegun, *Handbook of Mathematical Functions*, 1964.
.. [2] Olver et al., *NIST Handbook of Mathematical Functions*, 2010, chapters 5, 7 and 25.
.. [3] Shepherd, Laframboise, "Chebyshev approximation of (1 + 2x) exp(x^2) erfc x in 0 <= x < inf",
   *Mathematics of Computation* 36, 1981.
"""

from math import copysign, erfc, factorial, inf, lgamma, nan, pi
from math import gamma as math_gamma

import numpy as np

SQRT_HALF = 0.7071067811865476
LOG_SQRT_2PI = 0.9189385332046728

# Beyond these the C library returns inf, where Python's math raises OverflowError.
GAMMA_LARGEST = 171.6243769563027
GAMMA_SMALLEST = 5.562684646268003e-309
GAMMALN_LARGEST = 2.5563481638716905e305

# Positive root of digamma, in two parts.
ROOT = 1.4616321449683622
ROOT_LOW = 9.549995429965697e-17

# Coefficients, highest power first, of digamma(x) / (x - root) on 1 <= x <= 2 in powers of 2 x - 3:
# its Chebyshev series, truncated at 1.5e-17. The factor x - root keeps digits near the root.
DIGAMMA = np.array(
    [
        -8.50550766013261e-11, 2.478695345606839e-10, -2.7580994814377e-10, 8.657533672812613e-10,
        -3.7083753242807277e-09, 1.1039363482759935e-08, -3.162911147408454e-08,
        9.500659034300503e-08, -2.863161166883193e-07, 8.59134317611421e-07, -2.578093954045772e-06,
        7.741156049273805e-06, -2.3258242519113285e-05, 6.995020506384849e-05,
        -0.00021074841138175561, 0.0006368880282849916, -0.0019350666648613071,
        0.005936795278436479, -0.018550615381735008, 0.060135621060193475, -0.2118137106407303,
        0.951055876031833,
    ]
)  # fmt: skip

# B_2j / (2 j), j = 1..10: the asymptotic series of digamma, good to 1e-17 from x = 10.
STIRLING = np.array(
    [
        1 / 12, -1 / 120, 1 / 252, -1 / 240, 1 / 132, -691 / 32760, 1 / 12, -3617 / 8160,
        43867 / 14364, -174611 / 6600,
    ]
)  # fmt: skip

# B_2j / (2 j)!, j = 1..12: the correction terms of the Euler-Maclaurin formula.
EULER_MACLAURIN = np.array(
    [
        0.08333333333333333, -0.001388888888888889, 3.306878306878307e-05, -8.267195767195768e-07,
        2.08767569878681e-08, -5.284190138687493e-10, 1.3382536530684679e-11,
        -3.3896802963225827e-13, 8.586062056277845e-15, -2.174868698558062e-16,
        5.5090028283602295e-18, -1.3954464685812522e-19,
    ]
)  # fmt: skip

# Let phi and Phi be density and distribution of the normal law, z >= 0. Then
#     d(z) = phi(z) / Phi(-z) - z = 1 / (z + 2 / (z + 3 / (z + ...)))
# gives log_ndtr and both its derivatives without cancellation. Coefficients, highest
# power first, of (z + 5/4) d(z) in powers of (z - 4) / (z + 4), a Chebyshev series as in [3]_,
# truncated at 2e-17.
MILLS = np.array(
    [
        6.153295933975157e-09, 2.7904590995897916e-09, -6.754962087309244e-08,
        -2.2069880099076346e-09, 3.837840059032627e-07, -2.0930034524345943e-07,
        -1.5395924194295698e-06, 2.0428924318403356e-06, 4.875790430587051e-06,
        -1.1847764277302993e-05, -1.2051890103000121e-05, 5.284790724129358e-05,
        1.7180749123460826e-05, -0.00019809565043695621, 3.890635841987643e-05,
        0.0006412121123393074, -0.0004641139744087998, -0.001759721016890752,
        0.002491568737638462, 0.003681723238261603, -0.010095793216229111, -0.0027683668116408535,
        0.03236023191588967, -0.025396637048681683, -0.06750053480954152, 0.18248125713271846,
        -0.14259871052441345, -0.15540205677598162, 1.1844375085697232,
    ]
)  # fmt: skip

# With u = (pi x)^2 and a_k = (-1)^k 2 k pi^2 / (2 k + 1)!,
#     sinc'(x) = x sum_k a_k u^(k-1)  and  sinc''(x) = sum_k (2 k - 1) a_k u^(k-1),  k = 1, 2, ...
# The two coefficients of each power, highest power first, to 1e-17 for |x| <= 1/2.
SINC = np.array(
    [
        (a, (2 * k - 1) * a)
        for k in range(13, 0, -1)
        for a in [(-1) ** k * 2 * k * pi**2 / factorial(2 * k + 1)]
    ]
)


def builtin_max(x: float, y: float) -> float:
    """Return Python's ``max(x, y)``, which Numba cannot be handed as a function."""
    return y if y > x else x


def builtin_min(x: float, y: float) -> float:
    """Return Python's ``min(x, y)``, which Numba cannot be handed as a function."""
    return y if y < x else x


def expit(x: float) -> float:
    """Return ``1 / (1 + exp(-x))``, with the digits of the left tail."""
    if x < 0.0:
        e = np.exp(x)
        return float(e / (1.0 + e))
    return float(1.0 / (1.0 + np.exp(-x)))


def logit(x: float) -> float:
    """Return ``log(x / (1 - x))``; log1p loses no digits near the root at one half."""
    if 0.3 < x < 0.65:
        s = 2.0 * (x - 0.5)
        return float(np.log1p(s) - np.log1p(-s))
    return float(np.log(x) - np.log1p(-x))


def xlogy(x: float, y: float) -> float:
    """Return ``x * log(y)``, and 0 if x is 0, unless y is NaN."""
    if x == 0.0 and not np.isnan(y):
        return 0.0
    return float(x * np.log(y))


def gamma(x: float) -> float:
    """Return `math.gamma`, with the C library's infinities and NaN instead of exceptions."""
    if abs(x) < GAMMA_SMALLEST:
        return copysign(inf, x)
    if x < 0.0 and x == np.floor(x):
        return nan
    if x > GAMMA_LARGEST:
        return inf
    return math_gamma(x)


def gammaln(x: float) -> float:
    """Return `math.lgamma`, with the C library's infinities instead of exceptions."""
    if x > GAMMALN_LARGEST or (x <= 0.0 and x == np.floor(x)):
        return inf
    return lgamma(x)


def digamma(x: float) -> float:
    r"""Return the logarithmic derivative of the gamma function.

    Reflection :math:`\psi(x) = \psi(1 - x) - \pi \cot \pi x` for x < 0 ([1]_ 6.3.7); recurrence
    :math:`\psi(x + 1) = \psi(x) + 1 / x` to [1, 2], always in the direction in which terms of one
    sign are added; a polynomial there; Stirling's series ([1]_ 6.3.18) from 10.
    Accurate to a few ulp for x > 0. Next to the negative roots the error is a few ulp of the two
    terms of the reflection.
    """
    if x == 0.0:
        return copysign(inf, -x)
    psi = 0.0
    if x < 0.0:
        r = x - np.rint(x)
        if not abs(r) > 0.0:
            return nan
        psi = -pi / np.tan(pi * r)
        x = 1.0 - x
    if x >= 10.0:
        v = (1.0 / x) / x
        series = 0.0
        for c in STIRLING[::-1]:
            series = v * (c + series)
        return float(psi + (np.log(x) - (0.5 / x + series)))
    if x < 1.0:
        psi -= 1.0 / x
        x += 1.0
    while x > 2.0:
        x -= 1.0
        psi += 1.0 / x
    t = 2.0 * x - 3.0
    p = 0.0
    for c in DIGAMMA:
        p = p * t + c
    return float(psi + ((x - ROOT) - ROOT_LOW) * p)


def polygamma(k: float, x: float) -> float:
    r"""Return the k-th derivative of digamma; NaN unless k is an integer from 0 to 170.

    :math:`\psi_k(x) = (-1)^{k+1} k!\, \zeta(k + 1, x)` ([2]_ 25.11.12), Hurwitz' zeta function by
    the Euler-Maclaurin formula ([2]_ 25.11.5). For x < 0 let m be the integer next to -x and
    r = x + m; the sum of (x + j)^-s over j >= 0 is the sum of (r + j)^-s over j >= -m, in pieces

    .. math:: r^{-s} + \zeta(s, 1 + r) + (-1)^s (\zeta(s, 1 - r) - \zeta(s, 1 - x)) .

    k = 0 is digamma, with :math:`-\log` for the pole of zeta at s = 1, which the pieces share.
    """
    if not (0.0 <= k <= 170.0 and k == np.floor(k)):
        return nan
    s = k + 1.0
    sign = -1.0 if k % 2.0 == 0.0 else 1.0
    r = x - np.rint(x)
    if r == 0.0 and x <= 0.0:
        return nan if k == 0.0 and x < 0.0 else sign * inf
    total = 0.0
    for piece in range(1 if x >= -0.5 else 3):
        if piece == 0:
            q, weight = (x, 1.0) if x >= 0.5 else (1.0 + r, 1.0)
        else:
            q, weight = (1.0 - r, sign) if piece == 1 else (1.0 - x, -sign)
        # The correction terms shrink as ((s + 2 j) / (2 pi a))^2.
        n = int(max(0.0, np.ceil(8.0 + s - q)))
        a = q + n
        power = np.power(a, -k)
        zeta = 0.5 * power / a
        term = s * power / a / a
        for j in range(EULER_MACLAURIN.size):
            zeta += EULER_MACLAURIN[j] * term
            term = term * ((s + 2.0 * j + 1.0) / a) * ((s + 2.0 * j + 2.0) / a)
        zeta += -np.log(a) if k == 0.0 else power / k
        # From the smallest term to the largest; multiplication is faster and as good for small s.
        for i in range(n - 1, -1, -1):
            u = 1.0 / (q + i)
            if s == 2.0:
                zeta += u * u
            elif s == 3.0:
                zeta += u * u * u
            else:
                zeta += np.power(u, s)
        total += weight * zeta
    if x < 0.5:
        total += np.power(r, -s)
    factorial = sign
    for j in range(2, int(k) + 1):
        factorial *= j
    return float(factorial * total)


def log_ndtr(x: float) -> float:
    """Return the logarithm of the normal distribution function, for every finite x.

    With z = -x >= 0 it is ``log(phi(z)) - log(z + d(z))``; see `MILLS`.
    """
    if x > 0.0:
        return float(np.log1p(-0.5 * erfc(SQRT_HALF * x)))
    z = -x
    w = 1.0 - 8.0 / (z + 4.0)
    p = 0.0
    for c in MILLS:
        p = p * w + c
    return float(-0.5 * z * z - LOG_SQRT_2PI - np.log(z + p / (z + 1.25)))
