"""Gradients of expectations by the score function: unbiased, with the errors they tell."""

import math
from typing import NamedTuple

import numba
import numpy as np
import pytest

import dualtape as ad

LIMIT = 4.5
"""Standard errors that no entry may be off by: seeds are fixed, so a failure is a failure."""
TARGET = np.array([0.45, 0.2, 0.9])
LOGITS = np.array([0.3, -0.8, 1.1])


def coins(logits):
    z = np.empty(logits.size)
    for i in range(z.size):
        z[i] = 1.0 if np.random.random() < 1.0 / (1.0 + math.exp(-logits[i])) else 0.0
    return z


def log_prob_of_coins(z, logits):
    return np.sum(z * logits - np.log1p(np.exp(logits)))


def cost_of_coins(z, logits):
    """Depends on the parameters by itself, too."""
    return 10.0 + np.sum((z - TARGET) ** 2) + z[0] * z[1] * logits[2]


def gradient_of_coins(logits):
    p = 1.0 / (1.0 + np.exp(-logits))
    slope = p * (1.0 - p)
    g = slope * (1.0 - 2.0 * TARGET)
    g[0] += slope[0] * p[1] * logits[2]
    g[1] += p[0] * slope[1] * logits[2]
    g[2] += p[0] * p[1]
    return g


@numba.njit
def category(theta, values):
    """Draw an integer from the softmax of theta."""
    p = np.exp(theta - np.max(theta))
    return np.searchsorted(np.cumsum(p) / np.sum(p), np.random.random(), side="right")


def log_prob_of_category(k, theta, values):
    return theta[k] - np.log(np.sum(np.exp(theta)))


def cost_of_category(k, theta, values):
    return values[k]


class Normal(NamedTuple):
    """Parameters of independent normal distributions."""

    mean: np.ndarray
    log_scale: float


def normal(p):
    return p.mean + math.exp(p.log_scale) * np.random.standard_normal(p.mean.size)


def log_density(z, p):
    u = (z - p.mean) * math.exp(-p.log_scale)
    return -0.5 * np.sum(u * u) - z.size * p.log_scale


def cost_of_normal(z, p):
    return np.sum(z**2) + 5.0


NORMAL = Normal(np.array([0.5, -1.2]), -0.3)


def within(found, exact):
    """Check an estimate against the exact gradient, by its standard errors."""
    deviation = np.abs(ad.ravel(found.gradient)[0] - ad.ravel(exact)[0])
    assert np.all(deviation < LIMIT * ad.ravel(found.standard_error)[0])


@pytest.mark.parametrize("baseline", ["loo", 10.5, None])
def test_coins(baseline):
    estimate = ad.score_grad(
        cost_of_coins, coins, log_prob_of_coins, samples=20000, baseline=baseline
    )
    found = estimate(LOGITS, 3)
    assert isinstance(found, ad.ScoreEstimate)
    within(found, gradient_of_coins(LOGITS))
    p = 1.0 / (1.0 + np.exp(-LOGITS))
    mean = 10.0 + np.sum(p * (1.0 - 2.0 * TARGET) + TARGET**2) + p[0] * p[1] * LOGITS[2]
    assert found.value == pytest.approx(mean, abs=0.05)
    bound = 0.3 if baseline is None else 0.01  # 10 / sqrt(20000) for the offset of the cost
    assert np.all(found.standard_error < bound)


def test_standard_errors_are_the_spread_of_estimates_and_there_is_no_bias():
    """With 8 draws, the mean of 4000 estimates: a bias of order 1 / samples would show."""
    exact = gradient_of_coins(LOGITS)
    for baseline in ("loo", None):
        estimate = ad.score_grad(
            cost_of_coins, coins, log_prob_of_coins, samples=8, baseline=baseline
        )
        found = [estimate(LOGITS, seed) for seed in range(4000)]
        gradients = np.array([e.gradient for e in found])
        spread = np.std(gradients, axis=0)
        assert np.all(np.abs(gradients.mean(axis=0) - exact) < LIMIT * spread / np.sqrt(4000))
        told = np.sqrt(np.mean([e.standard_error**2 for e in found], axis=0))
        np.testing.assert_allclose(told, spread, rtol=0.1)


def test_the_baseline_reduces_the_variance():
    errors = [
        ad.score_grad(cost_of_coins, coins, log_prob_of_coins, samples=2000, baseline=b)(LOGITS, 1)
        for b in (None, "loo", 10.5)
    ]
    none, loo, constant = (e.standard_error for e in errors)
    assert np.all(loo < 0.15 * none)
    assert np.all(constant < 0.15 * none)


def test_a_category_with_further_arguments():
    theta, values = np.array([0.2, -0.5, 1.0, 0.0]), np.array([3.0, -1.0, 0.5, 7.0])
    estimate = ad.score_grad(cost_of_category, category, log_prob_of_category, samples=20000)
    p = np.exp(theta) / np.sum(np.exp(theta))
    within(estimate(theta, 11, values), p * (values - p @ values))


def test_normal_distributions_with_parameters_in_a_named_tuple():
    estimate = ad.score_grad(cost_of_normal, normal, log_density, samples=20000)
    found = estimate(NORMAL, 5)
    exact = Normal(2.0 * NORMAL.mean, 4.0 * math.exp(2.0 * NORMAL.log_scale))
    within(found, exact)
    assert isinstance(found.gradient, Normal)
    again = estimate(NORMAL, 5)
    assert np.array_equal(again.gradient.mean, found.gradient.mean)
    assert not np.array_equal(estimate(NORMAL, 6).gradient.mean, found.gradient.mean)


def test_errors_say_what_was_expected():
    with pytest.raises(ad.ArgumentValueError, match="samples is 1; expected 2"):
        ad.score_grad(cost_of_coins, coins, log_prob_of_coins, samples=1)
    for wrong in ("mean", math.inf):
        with pytest.raises(ad.ArgumentValueError, match="expected 'loo', a finite number or None"):
            ad.score_grad(cost_of_coins, coins, log_prob_of_coins, samples=9, baseline=wrong)
    with pytest.raises(ad.ArgumentError, match="expected a Python function"):
        ad.score_grad(cost_of_coins, coins, 3.0, samples=9)
    estimate = ad.score_grad(cost_of_coins, coins, log_prob_of_coins, samples=9)
    with pytest.raises(ad.ArgumentError, match="real"):
        estimate(LOGITS + 1j, 1)
