"""Stiff problems solved with exact Jacobians, against published end values.

ROBER, HIRES, OREGO, POLLU and VDPOL of E. Hairer and G. Wanner, Solving Ordinary Differential
Equations II, and of the Test Set for IVP Solvers (F. Mazzia and C. Magherini, release 2.4, 2008),
whose reference solutions were computed to 15 digits.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
from scipy.integrate import solve_ivp as without_jacobian

import dualtape as ad
from dualtape.integrate import solve_ivp


class Problem(NamedTuple):
    """An initial value problem and its solution at the end."""

    f: Callable
    y0: list
    end: float
    solution: list


def rober(t, y):
    out = np.empty(3)
    out[0] = -0.04 * y[0] + 1e4 * y[1] * y[2]
    out[2] = 3e7 * y[1] ** 2
    out[1] = -out[0] - out[2]
    return out


def hires(t, y):
    out = np.empty(8)
    fast = 280.0 * y[5] * y[7]
    out[0] = -1.71 * y[0] + 0.43 * y[1] + 8.32 * y[2] + 0.0007
    out[1] = 1.71 * y[0] - 8.75 * y[1]
    out[2] = -10.03 * y[2] + 0.43 * y[3] + 0.035 * y[4]
    out[3] = 8.32 * y[1] + 1.71 * y[2] - 1.12 * y[3]
    out[4] = -1.745 * y[4] + 0.43 * (y[5] + y[6])
    out[5] = -fast + 0.69 * y[3] + 1.71 * y[4] - 0.43 * y[5] + 0.69 * y[6]
    out[6] = fast - 1.81 * y[6]
    out[7] = -out[6]
    return out


def orego(t, y):
    return np.array(
        [
            77.27 * (y[1] + y[0] * (1.0 - 8.375e-6 * y[0] - y[1])),
            (y[2] - (1.0 + y[0]) * y[1]) / 77.27,
            0.161 * (y[0] - y[2]),
        ]
    )


def vdpol(t, y):
    return np.array([y[1], ((1.0 - y[0] ** 2) * y[1] - y[0]) / 1e-6])


RATES = np.array(
    [
        0.35, 26.6, 12300.0, 0.00086, 0.00082, 15000.0, 0.00013, 24000.0, 16500.0, 9000.0, 0.022,
        12000.0, 1.88, 16300.0, 4.8e6, 0.00035, 0.0175, 1e8, 4.44e11, 1240.0, 2.1, 5.78, 0.0474,
        1780.0, 3.12,
    ]
)  # fmt: skip
REACTIONS = np.array(
    [
        [1, 0], [2, 4], [5, 2], [7, 0], [7, 0], [7, 6], [9, 0], [9, 6], [11, 2], [11, 1], [13, 0],
        [10, 2], [14, 0], [1, 6], [3, 0], [4, 0], [4, 0], [16, 0], [16, 0], [17, 6], [19, 0],
        [19, 0], [1, 4], [19, 1], [20, 0],
    ]
)  # fmt: skip
"""The species whose concentrations a reaction multiplies, counted from 1; 0 is none."""


def pollu(t, y):
    r = np.empty(26)
    for k in range(25):
        r[k + 1] = RATES[k] * y[REACTIONS[k, 0] - 1]
        if REACTIONS[k, 1] > 0:
            r[k + 1] *= y[REACTIONS[k, 1] - 1]
    out = np.empty(20)
    out[0] = -r[1] - r[10] - r[14] - r[23] - r[24]
    out[0] += r[2] + r[3] + r[9] + r[11] + r[12] + r[22] + r[25]
    out[1] = -r[2] - r[3] - r[9] - r[12] + r[1] + r[21]
    out[2] = -r[15] + r[1] + r[17] + r[19] + r[22]
    out[3] = -r[2] - r[16] - r[17] - r[23] + r[15]
    out[4] = -r[3] + 2.0 * r[4] + r[6] + r[7] + r[13] + r[20]
    out[5] = -r[6] - r[8] - r[14] - r[20] + r[3] + 2.0 * r[18]
    out[6] = -r[4] - r[5] - r[6] + r[13]
    out[7] = r[4] + r[5] + r[6] + r[7]
    out[8] = -r[7] - r[8]
    out[9] = -r[12] + r[7] + r[9]
    out[10] = -r[9] - r[10] + r[8] + r[11]
    out[11] = r[9]
    out[12] = -r[11] + r[10]
    out[13] = -r[13] + r[12]
    out[14] = r[14]
    out[15] = -r[18] - r[19] + r[16]
    out[16] = -r[20]
    out[17] = r[20]
    out[18] = -r[21] - r[22] - r[24] + r[23] + r[25]
    out[19] = -r[25] + r[24]
    return out


PROBLEMS = {
    "ROBER": Problem(
        rober,
        [1.0, 0.0, 0.0],
        1e11,
        [0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050],
    ),
    "HIRES": Problem(
        hires,
        [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057],
        321.8122,
        [
            0.7371312573325668e-3, 0.1442485726316185e-3, 0.5888729740967575e-4,
            0.1175651343283149e-2, 0.2386356198831331e-2, 0.6238968252742796e-2,
            0.2849998395185769e-2, 0.2850001604814231e-2,
        ],
    ),
    "OREGO": Problem(
        orego,
        [1.0, 2.0, 3.0],
        360.0,
        [0.1000814870318523e1, 0.1228178521549917e4, 0.1320554942846706e3],
    ),
    "VDPOL": Problem(vdpol, [2.0, 0.0], 2.0, [0.1706167732170483e1, -0.8928097010247975]),
    "POLLU": Problem(
        pollu,
        [0, 0.2, 0, 0.04, 0, 0, 0.1, 0.3, 0.01, 0, 0, 0, 0, 0, 0, 0, 0.007, 0, 0, 0],
        60.0,
        [
            0.5646255480022769e-1, 0.1342484130422339, 0.4139734331099427e-8,
            0.5523140207484359e-2, 0.2018977262302196e-6, 0.1464541863493966e-6,
            0.7784249118997964e-1, 0.3245075353396018, 0.7494013383880406e-2,
            0.1622293157301561e-7, 0.1135863833257075e-7, 0.2230505975721359e-2,
            0.2087162882798630e-3, 0.1396921016840158e-4, 0.8964884856898295e-2,
            0.4352846369330103e-17, 0.6899219696263405e-2, 0.1007803037365946e-3,
            0.1772146513969984e-5, 0.5682943292316392e-4,
        ],
    ),
}  # fmt: skip
ATOL = {"ROBER": 1e-18, "POLLU": 1e-20}
"""Absolute tolerances below the smallest components; 1e-12 otherwise."""
LOOSEST = {"OREGO": 1e-4}
"""Relative errors that accumulate; 1e-5 otherwise.  (OREGO goes around its limit cycle.)"""


def solved(name, method, solve=solve_ivp):
    problem = PROBLEMS[name]
    options = {"method": method, "rtol": 1e-8, "atol": ATOL.get(name, 1e-12)}
    return solve(problem.f, (0.0, problem.end), np.array(problem.y0, float), **options)


# Each problem by one method, and Van der Pol's by all, in every run.
@pytest.mark.parametrize(
    ("name", "method"),
    [
        pytest.param(
            name,
            method,
            marks=[pytest.mark.slow] * (name != "VDPOL" and (i + j) % 3 > 0),
        )
        for i, name in enumerate(PROBLEMS)
        for j, method in enumerate(["Radau", "BDF", "LSODA"])
    ],
)
def test_end_values(name, method):
    found = solved(name, method)
    assert found.success, found.message
    expected = np.array(PROBLEMS[name].solution)
    error = np.max(np.abs(found.y[:, -1] - expected) / np.abs(expected))
    assert error < LOOSEST.get(name, 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_no_more_evaluations_than_with_differences(name):
    """Differences are not counted by SciPy; what they spoil is the convergence."""
    assert solved(name, "Radau").nfev <= 1.05 * solved(name, "Radau", without_jacobian).nfev


@pytest.mark.parametrize("name", PROBLEMS)
def test_jacobians_are_exact(name, rng):
    """Against complex steps, which have no cancellation."""
    f, n = PROBLEMS[name].f, len(PROBLEMS[name].y0)
    y = rng.uniform(0.5, 1.5, n)
    expected = np.empty((n, n))
    for j in range(n):
        expected[:, j] = np.imag(of_complex(f, y + 1e-30j * np.eye(n)[j])) / 1e-30
    scale = np.max(np.abs(expected))
    np.testing.assert_allclose(ad.jacobian(f, 1)(0.0, y), expected, rtol=1e-13, atol=1e-15 * scale)


def of_complex(f, y):
    """Run plain Python code whose arrays can hold complex numbers."""
    scope = dict(f.__globals__)

    class Numpy:
        array = staticmethod(np.array)

        @staticmethod
        def empty(n):
            return np.empty(n, complex)

    scope["np"] = Numpy
    return type(f)(f.__code__, scope)(0.0, y)
