"""SciPy's interpolating objects in functions, against the objects and their own derivatives."""

import numba
import numpy as np
import pytest
from scipy import interpolate

import dualtape as ad

T = np.array([0.0, 0.4, 1.1, 1.5, 2.3, 3.0])
Y = np.sin(2.0 * T) + T
POINTS = np.array([0.2, 0.4, 0.77, 1.5, 2.9, 3.0, -0.3, 3.4])
GRID = (np.array([0.0, 0.5, 1.5, 2.0]), np.array([-1.0, 0.0, 0.25, 1.0, 2.0]))
SURFACE = np.cos(np.add.outer(GRID[0], GRID[1] ** 2))
PLACES = np.array([[0.3, 0.1], [1.2, 1.7], [0.0, -1.0], [1.9, 0.6]])

SPLINES = {
    "cubic": interpolate.CubicSpline(T, Y),
    "natural, not outside": interpolate.CubicSpline(T, Y, bc_type="natural", extrapolate=False),
    "periodic": interpolate.CubicSpline(T, np.append(Y[:-1], Y[0]), bc_type="periodic"),
    "pchip": interpolate.PchipInterpolator(T, Y),
    "akima": interpolate.Akima1DInterpolator(T, Y),
    "hermite": interpolate.CubicHermiteSpline(T, Y, np.cos(T)),
    "antiderivative": interpolate.CubicSpline(T, Y).antiderivative(2),
    "constants": interpolate.PPoly(Y[None, :5], T),
    "b-spline": interpolate.make_interp_spline(T, Y, k=3),
    "b-spline of order 5": interpolate.make_interp_spline(T, Y, k=5),
    "b-spline, not outside": interpolate.BSpline(*interpolate.splrep(T, Y, k=2), extrapolate=False),
    "b-spline, periodic": interpolate.make_interp_spline(
        T, np.append(Y[:-1], Y[0]), bc_type="periodic"
    ),
}
VECTORS = {
    "cubic": interpolate.CubicSpline(T, np.column_stack([Y, Y**2])),
    "b-spline": interpolate.make_interp_spline(T, np.column_stack([Y, Y**2, T])),
}
MODES = ("forward", "reverse")


def assert_same(actual, expected, order=0):
    np.testing.assert_allclose(actual, expected, rtol=2e-14, atol=4e-14 * 10**order)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SPLINES)
def test_objects_as_they_are(name, mode):
    s = SPLINES[name]

    def at_numbers(x):
        return s(x) * x

    def at_arrays(x):
        return s(x) ** 2 + s(x[0])

    value_and_slope = ad.value_and_jacobian(at_numbers, mode=mode)
    for x in POINTS:
        value, slope = value_and_slope(x)
        assert_same(value, s(x) * x)
        assert_same(slope, s(x, 1) * x + s(x), 1)
    value, matrix = ad.value_and_jacobian(at_arrays, mode=mode)(POINTS)
    assert_same(value, s(POINTS) ** 2 + s(POINTS[0]))
    expected = np.diag(2.0 * s(POINTS) * s(POINTS, 1))
    expected[:, 0] += s(POINTS[0], 1)
    inside = np.isfinite(value)
    assert_same(matrix[inside], expected[inside], 1)
    assert inside.any()


@pytest.mark.parametrize("name", ["cubic", "pchip", "b-spline of order 5"])
def test_higher_derivatives(name):
    s = SPLINES[name]
    for mode in MODES:
        hessian = ad.hessian(lambda x: s(x) ** 2, mode=mode)
        for x in POINTS:
            assert_same(hessian(x), 2.0 * (s(x, 1) ** 2 + s(x) * s(x, 2)), 2)
    assert_same(ad.derivative(s, order=3)(0.77), s(0.77, 3), 3)
    assert_same(ad.grad(s)(0.77), s(0.77, 1), 1)


def test_derivatives_by_the_second_argument():
    s = SPLINES["cubic"]

    def f(x):
        return s(x, 1) + s(x[0], 2)

    matrix = ad.jacobian(f)(POINTS)
    expected = np.diag(s(POINTS, 2))
    expected[:, 0] += s(POINTS[0], 3)
    assert_same(matrix, expected, 3)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", VECTORS)
def test_splines_of_vectors(name, mode):
    s = VECTORS[name]
    value, slope = ad.value_and_jacobian(s, mode=mode)(0.77)
    assert_same(value, s(0.77))
    assert_same(slope, s(0.77, 1), 1)
    weights = np.arange(1.0, 1.0 + POINTS.size * value.size).reshape(POINTS.size, -1)
    gradient = ad.grad(lambda x: np.sum(s(x) * weights), mode=mode)(POINTS)
    assert_same(gradient, np.sum(s(POINTS, 1) * weights, axis=1), 2)


@pytest.mark.parametrize("mode", MODES)
def test_grids(mode):
    s = interpolate.RegularGridInterpolator(GRID, SURFACE)

    def at_tuples(x):
        return s((x[0], x[1])) * x[0]

    def at_points(x):
        return s(x)[0] + np.sum(s(np.array([[x[0], x[1]], [0.3, 0.4]])) ** 2)

    for x in PLACES[[0, 1, 3]]:  # multilinear: differences are exact in a cell
        for f in (at_tuples, at_points):
            value, gradient = ad.value_and_grad(f, mode=mode)(x)
            assert_same(value, f(x))
            h = 1e-3 * np.eye(2)
            assert_same(gradient, [(f(x + e) - f(x - e)) / 2e-3 for e in h], 2)
    value, matrix = ad.value_and_jacobian(s, mode=mode)(PLACES)
    assert_same(value, s(PLACES))
    assert matrix.shape == (4, 4, 2)


def test_grids_outside():
    extrapolating = interpolate.RegularGridInterpolator(
        GRID, SURFACE, bounds_error=False, fill_value=None
    )
    filling = interpolate.RegularGridInterpolator(GRID, SURFACE, bounds_error=False, fill_value=7.0)
    raising = interpolate.RegularGridInterpolator(GRID, SURFACE)
    outside = np.array([2.5, 0.5])
    value, gradient = ad.value_and_grad(lambda x: extrapolating((x[0], x[1])))(outside)
    assert_same(value, extrapolating(outside)[0])
    step = extrapolating([2.6, 0.5]) - extrapolating([2.4, 0.5])
    assert_same(gradient[0], step[0] / 0.2, 1)
    value, gradient = ad.value_and_grad(lambda x: filling((x[0], x[1])) * x[0])(outside)
    assert value == 7.0 * 2.5
    assert gradient.tolist() == [7.0, 0.0]
    with pytest.raises(ValueError, match="out of bounds"):
        ad.grad(lambda x: raising((x[0], x[1])))(outside)


def test_nearest():
    s = interpolate.RegularGridInterpolator(GRID, SURFACE, method="nearest")
    for x in PLACES:
        value, gradient = ad.value_and_grad(lambda x: s((x[0], x[1])) * x[1])(x)
        assert value == s(x)[0] * x[1]
        assert gradient.tolist() == [0.0, s(x)[0]]


def test_in_compiled_code():
    table, vectors = ad.interpolate(SPLINES["cubic"]), ad.interpolate(VECTORS["b-spline"])
    grid = ad.interpolate(interpolate.RegularGridInterpolator(GRID, SURFACE))

    @numba.njit
    def f(x):
        return table(x[0]) * np.sum(table(x)) + vectors(x[1])[1] + table(x[1], 1)

    s, v = SPLINES["cubic"], VECTORS["b-spline"]
    x = np.array([0.3, 0.9])
    expected = s(x[0]) * np.sum(s(x)) + v(x[1])[1] + s(x[1], 1)
    assert_same(f(x), expected)
    gradient = s(x[0]) * s(x, 1)
    gradient[0] += s(x[0], 1) * np.sum(s(x))
    gradient[1] += v(x[1], 1)[1] + s(x[1], 2)
    for mode in MODES:
        assert_same(ad.grad(f, mode=mode)(x), gradient, 2)
    assert_same(table(POINTS), s(POINTS))
    assert_same(grid((0.3, 0.1)), grid(np.array([0.3, 0.1]))[0])
    assert ad.interpolate(s) is table


def test_coefficients_are_never_stale():
    s = interpolate.CubicSpline(T, Y)

    def f(x):
        return s(x) * x

    gradient = ad.grad(f)
    for factor in (1.0, 2.0, 3.0):
        s.c[:] *= factor
        assert_same(gradient(0.77), s(0.77, 1) * 0.77 + s(0.77), 1)
    s = interpolate.PchipInterpolator(T, Y)
    assert_same(gradient(0.77), s(0.77, 1) * 0.77 + s(0.77), 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: interpolate.CubicSpline(T, np.outer([1.0, 2.0], Y), axis=1), "axis=1"),
        (lambda: interpolate.CubicSpline(T, Y * 1j), "complex coefficients"),
        (lambda: interpolate.RegularGridInterpolator(GRID, SURFACE, method="cubic"), "'cubic'"),
        (lambda: interpolate.UnivariateSpline(T, Y), "UnivariateSpline"),
        (lambda: np.sin, "expected a piecewise polynomial"),
    ],
)
def test_refused(make, message):
    s = make()
    with pytest.raises(ad.ArgumentError, match=message):
        ad.interpolate(s)
    if s is not np.sin:
        with pytest.raises(ad.DualtapeError):
            ad.grad(lambda x: s(x) * x)(0.5)
