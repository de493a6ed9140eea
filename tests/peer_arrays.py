"""Functions of the kinds that other libraries test themselves with: of matrices, and array-valued.

The rest, and what a family is, stands in peer_kinds.py.
"""

import numpy as np
from numba import njit
from peer_kinds import family

# Numbers of matrices

matrix = family("matrix", [[1.3, 0.4, -0.3], [0.2, 0.9, 0.5], [-0.1, 0.6, 1.1]])


@matrix(terms=20.0)
def determinant_with_an_inverse(x):
    return np.linalg.det(x[0, 0] * np.linalg.inv(x @ x) + x)


@njit
def minor(a, row, used):
    """Return the determinant of the rows from `row` on, without the used columns."""
    if row == a.shape[0]:
        return 1.0
    total, sign = 0.0, 1.0
    for j in range(a.shape[1]):
        if (used >> j) & 1:
            continue
        total += sign * a[row, j] * minor(a, row + 1, used | (1 << j))
        sign = -sign
    return total


@matrix
def determinant_by_minors(x):
    return minor(x, 0, 0)


@matrix
def elimination_with_pivots(x):
    """The logarithm of the determinant of a matrix whose first pivot is not the largest."""
    a = x[::-1].copy()
    total = 0.0
    for k in range(3):
        pivot = k
        for i in range(k + 1, 3):
            if abs(a[i, k]) > abs(a[pivot, k]):
                pivot = i
        if pivot != k:
            for j in range(3):
                a[k, j], a[pivot, j] = a[pivot, j], a[k, j]
        total += np.log(abs(a[k, k]))
        for i in range(k + 1, 3):
            a[i, k:] -= a[i, k] / a[k, k] * a[k, k:]
    return total


@matrix(terms=10.0)
def mean_of_row_sums(x):
    return np.mean(np.sum(np.sin(x) @ x, axis=1))


@matrix
def softmax_of_rows(x):
    s = 0.0
    for i in range(3):
        e = np.exp(x[i] - np.max(x[i]))
        s += np.sum(e / np.sum(e) * x[:, i])
    return s


@matrix
def convolution_and_pooling(x):
    """A picture that is padded, filtered, and of which each quarter gives largest and mean."""
    padded = np.zeros((5, 5))
    padded[1:-1, 1:-1] = x
    out = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            out[i, j] = np.sum(padded[i : i + 2, j : j + 2] * x[:2, 1:]) - 2.0 * (i - j)
    s = 0.0
    for i in range(0, 4, 2):
        for j in range(0, 4, 2):
            window = out[i : i + 2, j : j + 2]
            s += np.max(window) * np.mean(window) + x[i // 2, j // 2] * np.min(window)
    return s


@matrix
def largest_so_far(x):
    """The running maximum and the running logarithm of a sum of exponentials."""
    flat = np.sin(4.0 * x.ravel())
    s, top, lse = 0.0, -np.inf, -np.inf
    for v in flat:
        top = max(top, v)
        lse = np.logaddexp(lse, v)
        s += top * lse
    return s


@matrix
def columns_that_a_loop_solves(x):
    """A tridiagonal system by Thomas's algorithm; the bands and the right-hand side are rows."""
    lower, diagonal, right = x[0], 3.0 + x[1], x[2].copy()
    d = diagonal.copy()
    for i in range(1, 3):
        w = lower[i] / d[i - 1]
        d[i] -= w * lower[i - 1]
        right[i] -= w * right[i - 1]
    right[2] /= d[2]
    for i in range(1, -1, -1):
        right[i] = (right[i] - lower[i] * right[i + 1]) / d[i]
    return np.sum(right**2)


# Arrays of numbers, vectors and matrices: J and the Hessian of every element

of_number = family("arrays of a number", 0.7, is_scalar=False)


@of_number
def cube_of_formulas(t):
    a, b, c = np.sin(t) ** 2 / np.cos(t) ** 2, 2.0 * t + np.sqrt(t * t * t), 10.31 ** (t + t) - t
    return np.array([a, b, c, a - b, b, c, b, 1.0 / (1.0 + np.exp(-t))]).reshape(2, 2, 2)


@of_number
def multiples_in_a_box(t):
    return np.sin(t * np.arange(1.0, 9.0)).reshape(2, 2, 2)


@of_number
def each_from_the_one_before(t):
    y = np.zeros((2, 2, 2))
    flat = y.reshape(8)
    for i in range(1, 8):
        flat[i] = (np.sin(t) + flat[i - 1]) ** 2 * 0.5
    return y


of_vector = family("arrays of a vector", [0.7, 1.2, 0.4, 1.05], is_scalar=False)


@of_vector
def chebyshev_sums(x):
    y = np.zeros(4)
    for v in x:
        before, now = 1.0, 2.0 * v - 1.0
        twice = 2.0 * now
        for i in range(y.size):
            y[i] += now
            before, now = now, twice * now - before
    for k in range(1, 4, 2):
        y[k] += 1.0 / ((k + 1.0) ** 2 - 1.0)
    return y / x.size


@of_vector
def almost_linear(x):
    y = np.zeros(4)
    c = np.sum(x) - (x.size + 1.0)
    for v in x[:-1]:
        y[:-1] += v + c
    y[-1] = np.prod(x) - 1.0
    return y


@of_vector
def sums_of_own_results(x):
    y = np.ones(4)
    for v in x:
        y[:] = np.cos(v) * y
    c = np.sum(y)
    for i in range(x.size):
        y[i] = np.sin(x[i]) * y[i] + x.size - c
    return y


@of_vector
def both_of_each(x):
    return np.concatenate((np.sin(x[:2]), np.cos(x[2:]) * x[:2]))


@of_vector
def cubes_of_differences(x):
    out = np.empty(4)
    out[:3] = np.diff(x) ** 3
    out[3] = np.sum(np.diff(x) ** 2)
    return out


@of_vector
def seen_by_a_camera(x):
    """A point is turned about an axis, projected, and moved by the distortion of the lens."""
    axis, depth = x[:3], 4.0
    angle = np.sqrt(np.sum(axis**2))
    c, s = np.cos(angle), np.sin(angle)
    unit = axis / angle
    point = np.array([0.3, -0.5, 0.2])
    turned = point * c + np.cross(unit, point) * s + unit * np.sum(unit * point) * (1.0 - c)
    flat = turned[:2] / (turned[2] + depth)
    r = np.sum(flat**2)
    seen = flat * (1.0 + x[3] * r + 0.1 * r * r)
    return np.array([seen[0], seen[1], r, angle])


@of_vector
def hand_of_two_bones(x):
    """Rotations one after the other move a tip; each has constant entries."""
    place, tip = np.eye(3), np.zeros(4)
    for k in range(2):
        c, s, d, e = np.cos(x[2 * k]), np.sin(x[2 * k]), np.cos(x[2 * k + 1]), np.sin(x[2 * k + 1])
        first = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
        second = np.array([[d, -e, 0.0], [e, d, 0.0], [0.0, 0.0, 1.0]])
        turned = np.zeros((3, 3))
        for i in range(3):
            for j in range(3):
                for m in range(3):
                    turned[i, j] += place[i, m] * np.sum(first[m] * second[:, j])
        place = turned
        tip[:3] += place[:, 0] * (1.0 + k)
    tip[3] = np.trace(place)
    return tip


of_matrices = family(
    "arrays of two matrices",
    [[[1.3, 0.4], [0.2, 0.9]], [[1.1, -0.3], [0.6, 0.8]]],
    is_scalar=False,
)


@of_matrices(terms=8.0)
def products_with_transposes(x):
    a, b = x[0], x[1]
    return a @ b.T + a.T @ b - a.T @ b.T


@of_matrices
def elementwise_operators(x):
    a, b = x[0], x[1]
    return (a + b) * (a - b) / (1.0 + b * b) + np.abs(a) ** b


@of_matrices(terms=8.0)
def division_from_the_left(x):
    return np.linalg.solve(x[0], x[1]) + np.linalg.inv(x[1])


@of_matrices
def rows_and_the_first(x):
    return x[0] + x[0, 0, :] + x[1, :, :1] * x[0, 0, 0]
