"""Gradients of expectations by the score function, also if draws cannot be differentiated.

With z drawn from p(z | theta),

    d/dtheta E[f(z, theta)] = E[(f(z, theta) - b) d/dtheta log p(z | theta) + d/dtheta f(z, theta)]

for every baseline b that does not depend on z: the score has expectation zero.  The draws are
constants to all derivatives, so they may be discrete.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np

from ..drivers.dispatcher import as_float
from ..drivers.factory import checked_function, name_of
from ..errors import ArgumentValueError
from ..functions.memo import current, remembered
from ..functions.pickling import Traveler, sent_as
from ..twin.activation import twin
from .derivatives import grad, value_and_grad
from .ravel import ravel

Function = Callable[..., Any]


class ScoreEstimate(NamedTuple):
    """Estimates of an expectation and its gradient.

    Attributes
    ----------
    value : float
        The mean of f over the draws.
    gradient
        The estimated gradient, in the structure of the parameters.
    standard_error
        Of every entry of the gradient, in the same structure.
    """

    value: float
    gradient: Any
    standard_error: Any


def score_grad(
    f: Function,
    sample: Function,
    log_prob: Function,
    *,
    samples: int,
    baseline: float | str | None = "loo",
) -> Callable[..., ScoreEstimate]:
    """Return a function that estimates the gradient of ``E[f(z, theta)]``, z drawn given theta.

    Parameters
    ----------
    f : function
        ``f(z, theta, *args)`` returns a number; it need not be differentiable by z.
    sample : function
        ``sample(theta, *args)`` draws z with Numba's ``np.random``: a number, an array or a tuple.
    log_prob : function
        ``log_prob(z, theta, *args)`` returns the logarithm of the probability, or density, of z.
    samples : int
        Number of independent draws, at least 2.
    baseline : "loo", float or None
        What is subtracted from f in front of the score: for each draw the mean of f over the others
        (leave-one-out), a constant, or nothing. The estimate is unbiased with each of them.

    Returns
    -------
    function
        ``(theta, seed, *args) -> ScoreEstimate``, callable from Python; theta is a number, an array
        or a (named) tuple of these. Equal seeds give equal draws.

    Raises
    ------
    ArgumentError
        If one of the three is not a function, or theta is not real.
    ArgumentValueError
        If there are less than 2 samples, or the baseline is none of the above.
    MissingRuleError
        As in `grad`, for f and log_prob by theta.

    Notes
    -----
    Cost: per draw, one gradient of f and one of log_prob by theta; memory for two of them per draw.
    The standard errors are those of a mean of independent terms. With a leave-one-out baseline
    the terms share the mean of f, which matters in relative order 1 / samples only. It seeds
    Numba's ``np.random`` of the calling thread.

    References
    ----------
    R. J. Williams, "Simple statistical gradient-following algorithms for connectionist
    reinforcement learning", Machine Learning 8 (1992) 229-256.
    P. W. Glynn, "Likelihood ratio gradient estimation for stochastic systems", Communications of
    the ACM 33 (1990) 75-84.
    S. Mohamed, M. Rosca, M. Figurnov and A. Mnih, "Monte Carlo gradient estimation in machine
    learning", JMLR 21 (2020) 132.
    W. Kool, H. van Hoof and M. Welling, "Buy 4 REINFORCE samples, get a baseline for free!", ICLR
    2019 workshop "Deep Reinforcement Learning Meets Structured Prediction".

    Examples
    --------
    A coin that shows heads with probability ``1 / (1 + exp(-theta))`` and then costs 3; the
    gradient of the expected cost at 0 is 0.75.

    >>> import math, numpy as np, dualtape as ad
    >>> def toss(theta):
    ...     return 1.0 if np.random.random() < 1.0 / (1.0 + math.exp(-theta)) else 0.0
    >>> def log_prob(z, theta):
    ...     return z * theta - math.log1p(math.exp(theta))
    >>> estimate = ad.score_grad(lambda z, theta: 3.0 * z, toss, log_prob, samples=1000)
    >>> result = estimate(0.0, 1)
    >>> abs(result.gradient - 0.75) < 4.0 * result.standard_error < 0.02
    True
    """
    functions = tuple(checked_function(g, "score_grad") for g in (f, sample, log_prob))
    if samples != int(samples) or samples < 2:
        raise ArgumentValueError(f"score_grad: samples is {samples!r}; expected 2 or more")
    transform = ScoreGradient(functions, int(samples), _constant_baseline(baseline))
    origin = f, sample, log_prob
    return sent_as(transform, "score_grad", origin, samples=samples, baseline=baseline)


class ScoreGradient(Traveler):
    """The result of `score_grad`."""

    def __init__(self, functions: tuple[Any, ...], samples: int, constant: float) -> None:
        self._functions, self._samples, self._constant = functions, samples, constant
        self.__name__ = self.__qualname__ = f"score_grad({name_of(functions[0])})"

    def __repr__(self) -> str:
        return f"<dualtape {self.__name__}>"

    def __call__(self, theta: Any, seed: int, *args: Any) -> ScoreEstimate:
        """Return the estimate for these parameters and this seed."""
        vector, unravel = ravel(as_float(theta, "theta", self.__name__))
        run = _compiled_loop(tuple(map(current, self._functions)), unravel)
        value, gradient, error = run(vector, seed, self._samples, self._constant, args)
        return ScoreEstimate(value, unravel(gradient), unravel(error))


def _constant_baseline(baseline: Any) -> float:
    """Return a constant baseline; NaN stands for leave-one-out."""
    if baseline is None:
        return 0.0
    if isinstance(baseline, int | float) and math.isfinite(baseline):
        return float(baseline)
    if baseline == "loo":
        return math.nan
    raise ArgumentValueError(
        f"score_grad: baseline is {baseline!r}; expected 'loo', a finite number or None"
    )


def _compiled_loop(functions: tuple[Any, ...], unravel: Any) -> Any:
    """Return the compiled ``(vector, seed, count, constant, args) -> (value, gradient, error)``."""

    def make() -> Any:
        cost, draw, density = map(twin, functions)

        def cost_of(vector, z, args):  # type: ignore[no-untyped-def]
            return cost(z, unravel(vector), *args)

        def log_prob_of(vector, z, args):  # type: ignore[no-untyped-def]
            return density(z, unravel(vector), *args)

        value_and_slope, score = value_and_grad(cost_of).inner, grad(log_prob_of).inner

        def run(vector, seed, count, constant, args):  # type: ignore[no-untyped-def]
            np.random.seed(seed)  # noqa: NPY002  # Numba's own generator
            theta = unravel(vector)
            costs = np.empty(count)
            terms, scores = np.empty((count, vector.size)), np.empty((count, vector.size))
            for i in range(count):
                z = draw(theta, *args)
                costs[i], terms[i] = value_and_slope(vector, z, args)
                scores[i] = score(vector, z, args)
            return moments(costs, terms, scores, constant)

        return numba.njit(nogil=True)(run)

    return remembered(functions[0], ("score_grad", *functions[1:], unravel), make)


@numba.extending.register_jitable
def moments(costs: Any, terms: Any, scores: Any, constant: float) -> Any:
    """Return the mean cost, the mean of all terms and its standard error.

    `terms` holds the gradients of f, to which the score terms are added. With d the difference of a
    cost and the mean of all, the difference to the mean of all others is d count / (count - 1).
    """
    count = costs.size
    mean = np.mean(costs)
    for i in range(count):
        if np.isnan(constant):
            terms[i] += (costs[i] - mean) * count / (count - 1.0) * scores[i]
        else:
            terms[i] += (costs[i] - constant) * scores[i]
    gradient = np.sum(terms, axis=0) / count
    squares = np.zeros(gradient.size)
    for i in range(count):
        squares += (terms[i] - gradient) ** 2
    return mean, gradient, np.sqrt(squares / (count - 1.0) / count)
