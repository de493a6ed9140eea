"""Smooth stand-ins for sorting, ranking, the maximum and rounding.

Sorting and ranking are projections onto the permutahedron of a vector w, the convex hull of its
permutations (Blondel et al. 2020).  With z and w in ascending order, isotonic regression cuts the
indices into blocks, and the projection of z is

    (z_i - mean of z over the block of i) + mean of w over the block of i.

The blocks are found on the primals; within them the projection is linear.  So ordinary arithmetic
on active numbers gives its exact derivatives, in every mode and of every order, in linear time.  A
block of one element is w_i itself, which makes the hard limit exact.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types

from ..arrays.conversion import promoted_zero, values
from ..arrays.registration import register_elementwise
from ..backend.jit import entry, kernel, specialized
from ..errors import ArgumentError, ArgumentValueError
from ..numbers.access import as_number, element_like, empty_numbers
from ..numbers.registration import register_rule, value
from ..numbers.types import PLAIN, NumberType
from ..rules.rule import Rule


def soft_sort(x: Any, regularization_strength: float = 1.0) -> Any:
    """Return a differentiable stand-in for ``np.sort(x)``.

    The point nearest to ``(1, ..., n) / regularization_strength`` among the convex combinations of
    the permutations of x: ascending, with the sum of x.

    Parameters
    ----------
    x : array of shape (n,)
        What to sort.
    regularization_strength : float
        Positive. The larger it is, the closer all elements come to their mean. The result is
        ``np.sort(x)`` exactly where no two neighbors there differ by more than its reciprocal.

    Returns
    -------
    array of shape (n,)
        In ascending order.

    Raises
    ------
    ArgumentError
        If x is not a vector of real numbers.
    ArgumentValueError
        If the strength is not positive.

    Notes
    -----
    Cost: a sort and O(n) operations, also for the derivatives. It is piecewise linear in x; where
    two pieces meet, the derivative is that of the one with more blocks.

    References
    ----------
    M. Blondel, O. Teboul, Q. Berthet and J. Djolonga, "Fast Differentiable Sorting and Ranking",
    ICML 2020, PMLR 119, 950-959.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> x = np.array([2.9, 0.1, 1.2])
    >>> ad.soft_sort(x, 0.5)
    array([0.1, 1.2, 2.9])
    >>> ad.soft_sort(x, 1.0).round(12)
    array([0.4, 1.4, 2.4])
    """
    return _sort_entry(_vector(x, "soft_sort"), float(regularization_strength))


def soft_rank(x: Any, regularization_strength: float = 1.0) -> Any:
    """Return a differentiable stand-in for the ranks 1, ..., n of the elements of x.

    The point nearest to ``x / regularization_strength`` among the convex combinations of the
    permutations of (1, ..., n); the smallest element has the smallest rank.

    Parameters
    ----------
    x : array of shape (n,)
        What to rank.
    regularization_strength : float
        Positive. The larger it is, the closer all ranks come to (n + 1) / 2. The ranks are exact
        where no two elements differ by less than it; equal elements share the mean of their ranks.

    Returns
    -------
    array of shape (n,)
        The rank of every element.

    Raises
    ------
    ArgumentError, ArgumentValueError
        As in `soft_sort`.

    Notes
    -----
    Cost and derivatives as in `soft_sort`; the derivative of exact ranks is zero.

    References
    ----------
    M. Blondel, O. Teboul, Q. Berthet and J. Djolonga, "Fast Differentiable Sorting and Ranking",
    ICML 2020, PMLR 119, 950-959.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> x = np.array([2.9, 0.1, 1.2])
    >>> ad.soft_rank(x, 1.0)
    array([3., 1., 2.])
    >>> ad.jacobian(lambda x: ad.soft_rank(x, 1.25))(x).round(12)
    array([[ 0. ,  0. ,  0. ],
           [ 0. ,  0.4, -0.4],
           [ 0. , -0.4,  0.4]])
    """
    return _rank_entry(_vector(x, "soft_rank"), float(regularization_strength))


def smooth_maximum(x: Any, temperature: float = 1.0) -> Any:
    """Return a smooth upper bound of the largest element, ``T log(sum(exp(x / T)))``.

    Its gradient is the softmax ``exp(x_i / T) / sum_j exp(x_j / T)``.

    Parameters
    ----------
    x : array
        Of any shape, not empty. ``-smooth_maximum(-x, T)`` is a smooth minimum.
    temperature : float
        T > 0. The result exceeds ``np.max(x)`` by ``T log(x.size)`` at the most, which is where all
        elements are equal; differences of 750 T and more do not count at all.

    Returns
    -------
    float

    Raises
    ------
    ArgumentError
        If x is not an array of real numbers.
    ArgumentValueError
        If x is empty, or the temperature is not positive.

    Notes
    -----
    Cost: one exponential an element. Nothing overflows, whatever the elements are.

    References
    ----------
    S. Boyd and L. Vandenberghe, Convex Optimization, Cambridge University Press 2004, section
    3.1.5.

    Examples
    --------
    >>> import numpy as np, dualtape as ad
    >>> x = np.array([1.0, 3.0, 2.0])
    >>> round(ad.smooth_maximum(x, 0.1), 6)
    3.000005
    >>> ad.grad(lambda x: ad.smooth_maximum(x, 0.5))(x).round(6)
    array([0.015876, 0.866813, 0.11731 ])
    """
    return _maximum_entry(_array(x, "smooth_maximum"), float(temperature))


def round_ste(x: Any) -> Any:
    """Round to the nearest integer, with the derivative of the identity.

    The straight-through estimator: the value is ``np.rint(x)``, ties to even; the first derivative
    is 1 and the second 0, so that parameters before a quantization can be trained.

    Parameters
    ----------
    x : float or array
        What to round.

    Returns
    -------
    float or array

    Notes
    -----
    It is a custom rule; others of this kind are made with `custom_rule`.

    References
    ----------
    Y. Bengio, N. Leonard and A. Courville, "Estimating or Propagating Gradients Through Stochastic
    Neurons for Conditional Computation", arXiv:1308.3432, 2013.

    Examples
    --------
    >>> import dualtape as ad
    >>> ad.value_and_grad(lambda x: ad.round_ste(x) ** 2)(2.6)
    (9.0, 6.0)
    """
    return np.rint(x)


def _array(x: Any, name: str) -> Any:
    """Return an argument of a Python caller as an array of floats."""
    array = np.asarray(x)
    if array.dtype.kind not in "iuf" or array.ndim == 0:
        raise ArgumentError(f"{name}: x is {x!r}; expected an array of real numbers")
    return array if array.dtype == np.float32 else array.astype(np.float64)


def _vector(x: Any, name: str) -> Any:
    array = _array(x, name)
    if array.ndim != 1:
        raise ArgumentError(
            f"{name}: x has {array.ndim} dimensions; expected a vector, row by row for a matrix"
        )
    return array


def _check_type(x: Any, name: str, *, vector: bool) -> None:
    """Raise if the argument in compiled code is not an array (or vector) of real numbers."""
    is_array = isinstance(x, types.Array) and isinstance(x.dtype, types.Float | NumberType)
    if not is_array or (vector and x.ndim != 1):
        expected = "a vector" if vector else "an array"
        raise ArgumentError(f"{name}: x is of type {x}; expected {expected} of real numbers")


@specialized(soft_sort)
def _soft_sort(x: Any, regularization_strength: Any = 1.0) -> Any:
    _check_type(x, "soft_sort", vector=True)
    return lambda x, regularization_strength=1.0: sorted_softly(x, regularization_strength)


@specialized(soft_rank)
def _soft_rank(x: Any, regularization_strength: Any = 1.0) -> Any:
    _check_type(x, "soft_rank", vector=True)
    return lambda x, regularization_strength=1.0: ranked_softly(x, regularization_strength)


@specialized(smooth_maximum)
def _smooth_maximum(x: Any, temperature: Any = 1.0) -> Any:
    _check_type(x, "smooth_maximum", vector=False)
    return lambda x, temperature=1.0: log_sum_exp(x, temperature)


@kernel
def sorted_softly(x: Any, strength: Any) -> Any:
    """See `soft_sort`."""
    require_positive(value(strength))
    targets = np.arange(1.0, x.size + 1.0) / strength
    return projected(targets, np.sort(x))


@kernel
def ranked_softly(x: Any, strength: Any) -> Any:
    """See `soft_rank`."""
    require_positive(value(strength))
    order = np.argsort(values(x), kind="mergesort")
    ordered = projected(x[order] / strength, np.arange(1.0, x.size + 1.0))
    ranks = empty_numbers((x.size,), element_like(ordered))
    for i in range(x.size):
        ranks[order[i]] = ordered[i]
    return ranks


@kernel
def log_sum_exp(x: Any, temperature: Any) -> Any:
    """See `smooth_maximum`; the largest element, a constant, cancels out of the derivatives."""
    require_positive(value(temperature))
    if x.size == 0:
        raise ArgumentValueError("smooth_maximum: an empty array has no maximum")
    largest = np.max(values(x))
    shift = largest if np.isfinite(largest) else 0.0
    return temperature * np.log(np.sum(np.exp((x - shift) / temperature))) + shift


@kernel
def require_positive(strength: float) -> None:
    """Raise unless the temperature is positive."""
    if not strength > 0.0:
        raise ArgumentValueError(
            "the regularization strength, or temperature, must be positive; np.sort and np.max are "
            "the limit at zero"
        )


@kernel
def projected(z: Any, w: Any) -> Any:
    """Project z onto the permutahedron of w; both are in ascending order."""
    starts = pooled_blocks(values(z), values(w))
    like = promoted_zero(z, w, w)
    out = empty_numbers((z.size,), like)
    for block in range(starts.size - 1):
        first, last = starts[block], starts[block + 1]
        if last == first + 1:
            out[first] = as_number(w[first], like)
            continue
        center, level = np.mean(z[first:last]), np.mean(w[first:last])
        for i in range(first, last):
            out[i] = as_number(z[i] - center + level, like)
    return out


@kernel
def pooled_blocks(z: Any, w: Any) -> Any:
    """Return the starts of the blocks of the isotonic regression of z - w, and the vector's size.

    Adjacent blocks whose means are out of order are pooled (Best and Chakravarti 1990). The means
    of z and w are compared separately: z may be so large that z - w loses w.
    """
    starts = np.empty(z.size + 1, np.int64)
    z_means, w_means = np.empty(z.size), np.empty(z.size)
    count = 0
    for i in range(z.size):
        starts[count], z_means[count], w_means[count] = i, z[i], w[i]
        count += 1
        while count > 1:
            z_step = z_means[count - 1] - z_means[count - 2]
            w_step = w_means[count - 1] - w_means[count - 2]
            if not z_step < w_step:
                break
            count -= 1
            weight = (i + 1.0 - starts[count]) / (i + 1.0 - starts[count - 1])
            z_means[count - 1] += weight * z_step
            w_means[count - 1] += weight * w_step
    starts[count] = z.size
    return starts[: count + 1]


_sort_entry = entry(sorted_softly.py_func)
_rank_entry = entry(ranked_softly.py_func)
_maximum_entry = entry(log_sum_exp.py_func)


def _identity_jet(x: Any) -> Any:
    return np.rint(x), 1.0, 0.0


_REALS = (-np.inf, np.inf)
_rule = Rule(
    name="round_ste", jet=_identity_jet, value=np.rint, arity=1, targets=(round_ste,), scipy=(),
    domain=(_REALS,), sample=((_REALS,),), kinks={}, special={}, flat=False, linear=True,
    singular=False, ulps=(0.0, 0.0), doc="the straight-through estimator, not a derivative",
)  # fmt: skip
register_rule(_rule)
register_elementwise(round_ste)


@specialized(round_ste)
def _round_plain(x: Any) -> Any:
    def rounded(x: Any) -> Any:
        return np.rint(x)

    return rounded if isinstance(getattr(x, "dtype", x), PLAIN) else None
