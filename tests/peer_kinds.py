"""Functions of the kinds that other libraries test themselves with: data for test_peer_kinds.py.

The kinds are those of HIPS/autograd, ForwardDiff.jl and DiffTests.jl, DifferentiationInterface,
GradBench, JAX, num-dual, Zygote and CppAD that no other table here has; the functions are our own.
A family is a set of functions of one array (the same point for all) with results of one kind.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba import njit

import dualtape as ad


class Family(NamedTuple):
    """Functions of one array, the point, and whether they return numbers."""

    point: Any
    is_scalar: bool
    functions: dict[str, Callable[..., Any]]
    blas_terms: dict[str, float]


FAMILIES: dict[str, Family] = {}


def family(name, point, *, is_scalar=True):
    """Return a decorator that registers functions; `terms` as in `scenarios.Scenario`."""
    made = FAMILIES[name] = Family(np.array(point), is_scalar, {}, {})

    def kind(f=None, *, terms=0.0):
        if f is None:
            return lambda f: kind(f, terms=terms)
        assert f.__name__ not in made.functions
        made.functions[f.__name__] = f
        made.blas_terms[f.__name__] = terms
        return f

    return kind


# Numbers of vectors: formulas

formula = family("formula", [0.7, 1.2, 0.4, 1.05, 0.55, 0.9])


@formula
def does_not_depend(x):
    s = np.sum(x) + np.prod(x)
    return 1.0 if s == s else 2.0


@formula
def positive_parts(x):
    return np.sum(np.array([v * v * x[0] if v > 0.8 else 0.0 for v in x]))


@formula
def sum_of_a_generated_list(x):
    pairs = zip(x[:-1], x[1:])  # noqa: B905, RUF007
    return sum([100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in pairs])


@formula
def ackley(x):
    squares, waves = 0.0, 0.0
    for v in x:
        squares += v * v
        waves += np.cos(2.0 * math.pi * v)
    n = x.size
    return 20.0 + math.e - 20.0 * np.exp(-0.2 * np.sqrt(squares / n)) - np.exp(waves / n)


@formula
def all_pairs_of_powers(x):
    s = 0.0
    for i in range(x.size):
        for j in range(x.size):
            s += x[i] ** 4 * x[j] ** 6
    return s


@formula
def outer_product_of_powers(x):
    return np.sum(np.outer(x**4, x**6))


@formula(terms=8.0)
def logistic_of_own_square(x):
    return 1.0 / (1.0 + np.exp(-np.dot(x, x)))


@formula(terms=8.0)
def small_network(x):
    weights = x[:4].reshape(2, 2)
    hidden = np.log1p(np.exp(np.dot(weights, x[4:])))
    return 1.0 / (1.0 + np.exp(-(x[1] * hidden[0] - x[2] * hidden[1])))


@formula
def trace_of_logarithms(x):
    column, row = x.reshape(6, 1), x.copy().reshape(1, 6)
    return np.trace(np.log(1.5 + column * row + column - 0.5 * row))


@formula
def hard_sphere_mixture(x):
    """Free energy of a mixture in mole numbers x[:2], volume and temperature."""
    n, volume, t = x[:2], x[2] + 2.0, x[3]
    diameters = np.array([0.6, 0.8]) * (1.0 + 0.2 * np.exp(-1.0 / t))
    packing = np.sum(n * diameters**3) * math.pi / 6.0 / volume
    attraction = (n[0] * np.sqrt(x[4]) + n[1] * np.sqrt(x[5])) ** 2
    ideal = np.sum(n * (np.log(n / volume) - 1.0)) - 1.5 * np.sum(n) * np.log(t)
    repulsion = np.sum(n) * (4.0 * packing - 3.0 * packing**2) / (1.0 - packing) ** 2
    return t * (ideal + repulsion) - attraction / volume


@formula
def log_densities(x):
    a, b, mean, scale, shape, rate = x
    normal = -0.5 * ((0.3 - mean) / scale) ** 2 - np.log(scale)
    beta = (a - 1.0) * math.log(0.4) + (b - 1.0) * math.log(0.6)
    beta += math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
    gamma = shape * np.log(rate) - math.lgamma(shape) + (shape - 1.0) * 0.2 - 1.3 * rate
    student = math.lgamma(0.5 * (a + 1.0)) - math.lgamma(0.5 * a)
    student -= 0.5 * (a + 1.0) * np.log1p(0.7 / a) + 0.5 * np.log(a * math.pi)
    return normal + beta + gamma + student + np.log(math.erfc(-mean / scale))


@formula
def absolute_zero_product(x):
    """Zero times what is infinite is zero where the zero was chosen."""
    safe = np.where(x > 0.8, x, 1.0)
    return np.sum(np.where(x > 0.8, np.log(safe) * safe, 0.0)) * x[0]


# Numbers of vectors: control flow

flow = family("flow", [0.7, 1.2, 0.4, 1.05, 0.55, 0.9])


@njit
def power_by_recursion(v, n):
    if n == 0:
        return 1.0
    return v * power_by_recursion(v, n - 1)


@njit
def product_of_all(*factors):
    p = 1.0
    for factor in factors:
        p *= factor
    return p


@njit
def blended(a, share=0.5, b=2.0):
    return share * a + (1.0 - share) * b * a * a


@flow
def recursion_and_countdown(x):
    r, n = 1.0, 4
    while n > 0:
        n -= 1
        r *= x[n]
    return r + power_by_recursion(x[5], 5)


@flow
def calls_of_every_form(x):
    values = (x[0], x[1], x[2])
    times = lambda v: v * x[3]  # noqa: E731
    return product_of_all(*values) + blended(x[4], b=x[5]) * times(x[0]) + blended(b=1.5, a=x[1])


@flow
def three_branches_in_a_loop(x):
    s = x[0]
    for v in x:
        if v > 1.0:
            s *= v
        elif v > 0.6:
            s += v * v
        else:
            continue
        if s > 3.5:
            break
    else:
        s = s * s
    return s


@flow
def stack_of_numbers(x):
    stack = [x[0]]
    for v in x[1:]:
        if v > 1.0 and len(stack) > 1:
            stack.append(stack.pop() * stack.pop() + v)
        else:
            stack.append(v)
    total = 0.0
    while len(stack) > 0:
        total = total * 0.5 + stack.pop() ** 2
    return total


@flow
def series_until_it_stands(x):
    """The exponential function by its series; how many terms depends on the number."""
    total, term, k = 1.0, 1.0, 1
    while abs(term) > 1e-17:
        term *= x[0] * x[1] / k
        total += term
        k += 1
    return total


@flow
def square_root_by_iteration(x):
    root = 1.0
    for _ in range(30):
        root = 0.5 * (root + x[1] / root)
    return root * x[0]


@flow
def running_logsumexp(x):
    largest, total = -np.inf, 0.0
    for v in x:
        if v > largest:
            total = total * np.exp(largest - v) + 1.0
            largest = v
        else:
            total += np.exp(v - largest)
    return largest + np.log(total)


@flow
def table_by_search(x):
    knots, s = np.array([0.0, 0.5, 0.8, 1.5]), 0.0
    values = x[:4] * x[1]
    for v in x:
        k = 0
        while knots[k + 1] < v:
            k += 1
        share = (v - knots[k]) / (knots[k + 1] - knots[k])
        s += values[k] * (1.0 - share) + values[k + 1] * share**2
    return s


@flow
def places_from_values(x):
    """Sorted by another key, scattered by a computed index, cut where the largest stands."""
    order = np.argsort(np.cos(2.0 * x))
    ranked = x[order]
    bins = np.zeros(3)
    for v in x:
        bins[int(4.0 * ad.value(v)) % 3] += v * v
    start = np.argmax(x)
    cut = np.sum(x[start : start + 2] ** 3)
    return np.sum(ranked[:3] * ranked[3:]) + bins[0] * bins[1] * bins[2] + cut


@flow
def scan_in_strides(x):
    """Prefix sums of squares by a tree, in place."""
    y = x * x
    stride = 1
    while stride < y.size:
        y[stride:] = y[stride:] + y[:-stride]
        stride *= 2
    return np.prod(y[2:])


@flow
def buffers_that_swap(x):
    old, new = x.copy(), np.zeros(x.size)
    for _ in range(3):
        for i in range(x.size):
            new[i] = 0.5 * old[i] + 0.25 * old[i - 1] * old[(i + 1) % x.size]
        old, new = new, old
    return np.sum(old**2)


@flow
def overwritten_twice(x):
    y = np.ones(3)
    y[0] = x[0]
    y[0] = y[0] * x[1]
    y[1] *= x[2]
    y[1] *= x[2] * y[0]
    y[2] = np.sum(y)
    return y[2] * y[1]


# Numbers of vectors: simulations and fits

simulation = family("simulation", [0.7, 1.2, 0.4, 1.05, 0.55, 0.9])
TIMES = np.linspace(-1.0, 1.0, 9)
SERIES = np.array([0.4, -0.2, 0.9, 0.3, -0.5])
POINTS = np.array([[0.1, 0.3], [1.4, 0.8], [0.9, -0.2], [0.2, 1.1], [-0.3, 0.4]])


@simulation
def chain_of_rates(x):
    """Runge-Kutta steps of y_0' = x_0, y_i' = x_i y_(i-1)."""
    y, h = np.zeros(x.size), 0.25
    k = np.zeros((5, x.size))
    for _ in range(4):
        for stage in range(4):
            part = 0.0 if stage == 0 else (1.0 if stage == 3 else 0.5)
            z = y + part * h * k[stage]
            k[stage + 1, 0] = x[0]
            k[stage + 1, 1:] = x[1:] * z[:-1]
        y = y + h / 6.0 * (k[1] + 2.0 * k[2] + 2.0 * k[3] + k[4])
    return y[-1] + y[2]


@simulation
def polynomial_fit(x):
    s = 0.0
    for t in TIMES:
        p = 0.0
        for c in x[::-1]:
            p = p * t + c
        s += 0.5 * (np.sign(t) - p) ** 2
    return s


@simulation
def distances_to_the_nearest(x):
    centers = x.reshape(3, 2)
    s = 0.0
    for i in range(POINTS.shape[0]):
        best = np.inf
        for j in range(3):
            d = np.sum((POINTS[i] - centers[j]) ** 2)
            best = min(best, d)
        s += best
    return s


@simulation
def integral_by_extrapolation(x):
    """Romberg's scheme for the integral of exp(-a t) sin(b t) between c and d."""
    rows, a, b = 5, x[0], x[1]
    table = np.zeros((rows, rows))
    for i in range(rows):
        n = 2**i
        h = (x[3] - x[2]) / n
        s = 0.0
        for k in range(n + 1):
            t = x[2] + k * h
            s += (0.5 if k in (0, n) else 1.0) * np.exp(-a * t) * np.sin(b * t)
        table[i, 0] = s * h
        for j in range(1, i + 1):
            table[i, j] = table[i, j - 1] + (table[i, j - 1] - table[i - 1, j - 1]) / (4.0**j - 1.0)
    return table[rows - 1, rows - 1]


@simulation
def implicit_steps(x):
    """Backward Euler for a stiff pair of equations, four Newton steps each."""
    u, v, h = x[0], x[1], 0.1
    for _ in range(3):
        a, b = u, v
        for _ in range(4):
            f = a - u - h * (x[2] - 10.0 * a + x[3] * a * a * b)
            g = b - v - h * (x[4] * a - x[3] * a * a * b)
            fa, fb = 1.0 + h * (10.0 - 2.0 * x[3] * a * b), -h * x[3] * a * a
            ga, gb = -h * (x[4] - 2.0 * x[3] * a * b), 1.0 + h * x[3] * a * a
            det = fa * gb - fb * ga
            a, b = a - (f * gb - g * fb) / det, b - (fa * g - ga * f) / det
        u, v = a, b
    return u * v


@njit
def sigmoid(v):
    return 1.0 / (1.0 + np.exp(-v))


@simulation
def recurrent_cell(x):
    """A cell with gates over a sequence, and the log-probability of what comes next."""
    state, memory, loss = 0.0, 0.0, 0.0
    for k in range(SERIES.size - 1):
        forget = sigmoid(x[0] * SERIES[k] + x[1] * state)
        change = sigmoid(x[2] * SERIES[k] + x[3])
        memory = forget * memory + change * np.tanh(x[4] * SERIES[k] + state)
        state = change * np.tanh(memory)
        guess = np.array([x[5] * state, SERIES[k], state * state])
        loss -= guess[k % 3] - np.log(np.sum(np.exp(guess)))
    return loss


@simulation
def hidden_chain(x):
    """The forward pass of a hidden Markov model with a forbidden step, in logarithms."""
    moves = np.array([[x[0], x[1]], [-np.inf, x[2]]])
    alpha = np.array([x[3], x[4]])
    for y in SERIES:
        new = np.zeros(2)
        for j in range(2):
            terms = alpha + moves[:, j]
            top = np.max(terms)
            new[j] = top + np.log(np.sum(np.exp(terms - top))) - 0.5 * (y - j * x[5]) ** 2
        alpha = new
    return np.log(np.sum(np.exp(alpha)))


@simulation(terms=50.0)
def gaussian_process(x):
    """The log-likelihood of SERIES under a kernel with length, height, noise and a mean."""
    n = SERIES.size
    kernel = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            kernel[i, j] = x[0] * np.exp(-0.5 * ((TIMES[i] - TIMES[j]) / x[1]) ** 2)
        kernel[i, i] += x[2] ** 2
    r = SERIES - x[3]
    factor = np.linalg.cholesky(kernel)
    return -0.5 * r @ np.linalg.solve(kernel, r) - np.sum(np.log(np.diag(factor)))


# Derivatives inside: minima and saddle points that gradient descent finds


def game(y, x):
    return (x[0] - y[0] * x[2]) ** 2 + x[1] * y[0] * y[1] + (y[1] - x[3]) ** 2 + 0.1 * y[0] ** 4


inner_gradient = ad.grad(game, mode="forward")


@simulation
def value_at_an_inner_minimum(x):
    y = x[4:]
    for _ in range(5):
        y = y - 0.2 * inner_gradient(y, x)
    return game(y, x)
