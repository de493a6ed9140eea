"""Poisson regression: counts with an offset, exact Hessian, standard errors.

Cases of lung cancer in four Danish cities, 1968 to 1971, by age: Andersen (1977), the data set
`eba1977` of R's package ISwR.  The number of cases in a cell is Poisson distributed,

    log E[cases] = log(inhabitants) + intercept + city + age,

where log(inhabitants) is the offset: what is modelled is the rate.  The negative log-likelihood

    sum_i exp(eta_i) - y_i eta_i + log(y_i!)

is a plain NumPy function; ``trust-exact`` gets its gradient and Hessian, and the inverse of the
Hessian at the minimum is the covariance of the estimates: the standard errors of a table of
coefficients, and the confidence bands of the figure.

E. B. Andersen, "Multiplicative Poisson models with unequal cell rates", Scandinavian Journal of
Statistics 4 (1977) 153-158.

Run it from anywhere, with dualtape, SciPy and, for the figure, matplotlib installed (takes ten
seconds, most of it for the first compilation)::

    python examples/poisson_regression.py
    python examples/poisson_regression.py --figure rates.png
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from scipy.special import gammaln
from scipy.stats import chi2

import dualtape as ad

try:
    from matplotlib.figure import Figure
except ImportError:
    Figure = None

CITIES = ("Fredericia", "Horsens", "Kolding", "Vejle")
AGES = ("40-54", "55-59", "60-64", "65-69", "70-74", "75+")
CASES = np.array(
    [[11, 11, 11, 10, 11, 10], [13, 6, 15, 10, 12, 2], [4, 8, 7, 11, 9, 12], [5, 7, 10, 14, 8, 7]]
)
INHABITANTS = np.array(
    [
        [3059, 800, 710, 581, 509, 605],
        [2879, 1083, 923, 834, 634, 782],
        [3142, 1050, 895, 702, 535, 659],
        [2520, 878, 839, 631, 539, 619],
    ]
)


def design():
    """Return the matrix of the linear predictor: intercept, three cities, five ages."""
    city, age = np.divmod(np.arange(CASES.size), len(AGES))
    columns = [np.ones(CASES.size)]
    columns += [city == k for k in range(1, len(CITIES))]
    columns += [age == k for k in range(1, len(AGES))]
    return np.column_stack(columns).astype(float)


def negative_log_likelihood(beta, X, y, offset):
    """Return -log P(y) of independent Poisson counts with means exp(offset + X beta)."""
    eta = offset + X @ beta
    return np.sum(np.exp(eta) - y * eta + gammaln(y + 1.0))


def fit(X, y, offset):
    """Return the estimates and their covariance, the inverse of the observed information."""
    start = np.zeros(X.shape[1])
    start[0] = np.log(y.sum() / np.exp(offset).sum())
    result = ad.optimize.minimize(
        negative_log_likelihood, start, args=(X, y, offset), method="trust-exact"
    )
    information = ad.hessian(negative_log_likelihood)(result.x, X, y, offset)
    return result, np.linalg.inv(information)


def deviance(y, means):
    """Return twice the log-likelihood that a perfect fit would have more."""
    return 2.0 * np.sum(y * np.log(y / means) - (y - means))


def draw(path, X, beta, covariance):
    """Draw observed and fitted rates by age, a panel for each city, with 95 % bands."""
    figure = Figure(figsize=(10.0, 3.4), layout="constrained")
    axes = figure.subplots(1, len(CITIES), sharey=True)
    eta = (X @ beta).reshape(CASES.shape)
    errors = np.sqrt(np.einsum("ij,jk,ik->i", X, covariance, X)).reshape(CASES.shape)
    for k, ax in enumerate(axes):
        low, high = (1e3 * np.exp(eta[k] + s * 1.96 * errors[k]) for s in (-1.0, 1.0))
        ax.fill_between(AGES, low, high, alpha=0.25, label="95 % band of the fit")
        ax.plot(AGES, 1e3 * np.exp(eta[k]), label="fitted rate")
        ax.plot(AGES, 1e3 * CASES[k] / INHABITANTS[k], "ko", label="observed rate")
        ax.set_title(CITIES[k])
        ax.set_xlabel("age in years")
        ax.tick_params(axis="x", rotation=60)
    axes[0].set_ylabel("cases in four years\nper 1000 inhabitants")
    axes[1].legend(loc="upper left", fontsize="small")
    figure.savefig(path, dpi=120)
    print(f"figure: {path}")


def main(arguments=None):
    """Fit, print the table of coefficients, draw."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", type=Path, default=Path("poisson_regression.png"))
    parser.add_argument("--no-figure", action="store_true", help="print the table only")
    options = parser.parse_args(arguments)
    X, y = design(), CASES.ravel().astype(float)
    offset = np.log(INHABITANTS.ravel())
    print("fitting 9 coefficients to 24 counts ...", flush=True)
    result, covariance = fit(X, y, offset)
    names = ("intercept", *CITIES[1:], *AGES[1:])
    print(f"{'':12}{'estimate':>10}{'std. error':>12}{'z':>8}")
    for name, b, error in zip(names, result.x, np.sqrt(np.diag(covariance)), strict=True):
        print(f"{name:12}{b:10.4f}{error:12.4f}{b / error:8.2f}")
    d, freedom = deviance(y, np.exp(offset + X @ result.x)), y.size - X.shape[1]
    print(
        f"deviance {d:.3f} on {freedom} degrees of freedom (p = {chi2.sf(d, freedom):.3f}), "
        f"{result.nit} Newton steps, gradient {np.max(np.abs(result.jac)):.1e}"
    )
    if not options.no_figure and Figure is not None:
        draw(options.figure, X, result.x, covariance)
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main())
