"""The examples run and show what they say."""

import contextlib
import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
THREE = ["Misra1a", "Thurber", "Eckerle4"]

curve_fit = pytest.importorskip("scipy.optimize").curve_fit


@contextlib.contextmanager
def example(name):
    """Provide the module of an example."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def nist():
    with example("nist_regression") as module:
        yield module


@pytest.fixture(scope="module")
def brusselator():
    with example("brusselator_2d") as module:
        yield module


@pytest.fixture(scope="module")
def burgers():
    with example("burgers_inverse") as module:
        yield module


@pytest.fixture(scope="module")
def pinn():
    with example("pinn_ode") as module:
        yield module


def is_png(path):
    return path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_nist_parser(nist):
    problem = nist.read_problem(EXAMPLES / "data" / "Misra1a.dat")
    assert problem.name == "Misra1a"
    assert problem.x.shape == problem.y.shape == (14,)
    assert (problem.x[0], problem.y[0]) == (77.6, 10.07)
    assert (problem.x[-1], problem.y[-1]) == (760.0, 81.78)
    np.testing.assert_array_equal(problem.starts, [[500.0, 0.0001], [250.0, 0.0005]])
    np.testing.assert_array_equal(problem.certified, [2.3894212918e02, 5.5015643181e-04])
    assert problem.rss == 1.2455138894e-01


def test_nist_models_match_files(nist):
    """Every file is read whole, and its model has the certified residuals."""
    assert sorted(nist.MODELS) == sorted(path.stem for path in (EXAMPLES / "data").glob("*.dat"))
    for name, model in nist.MODELS.items():
        path = EXAMPLES / "data" / f"{name}.dat"
        count = re.search(r"(\d+) Observations", path.read_text(encoding="ascii", errors="replace"))
        problem = nist.read_problem(path)
        assert problem.x.size == problem.y.size == int(count[1]), name
        found = [model(x, problem.certified) for x in problem.x]
        # The certified parameters are rounded to 11 digits: too few for residuals of 1e-13.
        np.testing.assert_allclose(
            np.sum((problem.y - found) ** 2), problem.rss, rtol=1e-6, atol=1e-19, err_msg=name
        )


def test_nist_digits(nist):
    certified = np.array([2.0, -3.0])
    assert nist.digits(certified.copy(), certified) == 11.0
    assert nist.digits(np.array([2.0 + 2e-7, -3.0]), certified) == pytest.approx(7.0)
    # The worst parameter counts.
    assert nist.digits(np.array([2.0 + 2e-7, -3.0 - 3e-4]), certified) == pytest.approx(4.0)
    assert nist.digits(np.array([200.0, -3.0]), certified) == 0.0
    assert nist.digits(np.array([np.nan, -3.0]), certified) == 0.0
    assert nist.digits(np.array([np.inf, -3.0]), certified) == 0.0


def test_nist_fits(nist, capsys):
    assert nist.main(["--problems", *THREE, "--figure", ""]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    last = "nist: 12 of 12 fits reach the certified parameters to 6 digits or more"
    assert lines[-1] == last
    assert [line.split()[0] for line in lines if line.startswith(tuple(THREE))] == [
        name for name in THREE for _ in range(2)
    ]
    assert printed.err == ""  # progress is for terminals only


def test_nist_figure(nist, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    path = tmp_path / "fits.png"
    assert nist.main(["--problems", "Misra1a", "Thurber", "--figure", str(path)]) == 0
    assert is_png(path)
    assert str(path) in capsys.readouterr().out


def test_nist_without_matplotlib(nist, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(nist, "Figure", None)
    path = tmp_path / "fits.png"
    assert nist.main(["--problems", "Misra1a", "--figure", str(path)]) == 0
    assert not path.exists()
    lines = capsys.readouterr().out.splitlines()
    assert "matplotlib is not installed" in lines[-2]
    assert lines[-1] == "nist: 4 of 4 fits reach the certified parameters to 6 digits or more"


@pytest.mark.slow
def test_nist_all(nist, capsys):
    assert nist.main(["--figure", ""]) == 0
    last = "nist: 80 of 80 fits reach the certified parameters to 6 digits or more"
    assert capsys.readouterr().out.splitlines()[-1] == last


# Differential equations


def periodic_laplacian(n):
    return np.roll(np.eye(n), 1, axis=0) + np.roll(np.eye(n), -1, axis=0) - 2.0 * np.eye(n)


def test_brusselator_right_hand_side(brusselator):
    """Against the formula in NumPy, within and outside of the disk that is fed."""
    n = 9
    y = brusselator.start(n)
    u, v = y.reshape(2, n, n)
    x = np.arange(n) / n
    np.testing.assert_allclose(u, np.tile(22.0 * x * (1.0 - x) ** 1.5, (n, 1)))
    np.testing.assert_allclose(v, np.tile(27.0 * x * (1.0 - x) ** 1.5, (n, 1)).T)
    second = periodic_laplacian(n) * n**2
    disk = (x[:, None] - 0.3) ** 2 + (x[None, :] - 0.6) ** 2 < 0.1**2
    for t, fed in ((1.0, 0.0), (1.2, 5.0)):
        du = 1.0 + u * u * v - 4.4 * u + 0.1 * (second @ u + u @ second) + fed * disk
        dv = 3.4 * u - u * u * v + 0.1 * (second @ v + v @ second)
        found = brusselator.brusselator(t, y, n).reshape(2, n, n)
        np.testing.assert_allclose(found[0], du, rtol=1e-12, atol=1e-10)
        np.testing.assert_allclose(found[1], dv, rtol=1e-12, atol=1e-10)


def test_brusselator_table_and_picture(brusselator, tmp_path, capsys, monkeypatch):
    path = tmp_path / "field.png"
    monkeypatch.setattr(brusselator, "MOST_FULL", {"BDF": 1000})
    arguments = ["--quick", "--methods", "BDF", "--figure", str(path)]
    assert brusselator.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    figures = [line[44:].split() for line in lines[1:4]]
    exact, pattern, full = (int(row[2]) for row in figures)
    assert exact < pattern < full
    assert all(float(row[4]) < 1e-3 for row in figures)
    if brusselator.Figure is None:
        assert lines[-1] == "no figure: matplotlib is not installed"
    else:
        assert is_png(path)
    monkeypatch.setattr(brusselator, "MOST_FULL", {"BDF": 0})
    monkeypatch.setattr(brusselator, "Figure", None)
    assert brusselator.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[3].endswith("not run: matrices of 0.00 GB")
    assert lines[-1] == "no figure: matplotlib is not installed"


def test_burgers_gradient(burgers):
    """Against differences of the objective, by the viscosity and along a wave."""
    given = burgers.experiment(16, 0.05)
    at = np.concatenate([[np.log(0.03)], 0.7 * burgers.initial_state(16)])
    gradient = given.objective(at)[1]
    for direction in (np.eye(17)[0], np.append(0.0, np.sin(np.arange(16.0)))):
        step = 1e-3 * direction
        values = [given.objective(at + k * step)[0] for k in (-2, -1, 1, 2)]
        expected = (values[0] - 8.0 * values[1] + 8.0 * values[2] - values[3]) / 12e-3
        np.testing.assert_allclose(gradient @ direction, expected, rtol=1e-3)


def test_burgers_recovers_the_truth(burgers, tmp_path, capsys):
    path = tmp_path / "state.png"
    assert burgers.main(["--quick", "--figure", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "160 observations with errors of 0.05, 33 unknowns"
    assert "relative error 0.0" in lines[3]
    assert burgers.Figure is None or is_png(path)
    assert burgers.main(["--quick", "--steps", "2", "--figure", ""]) == 1


@pytest.mark.slow
def test_burgers_on_the_finer_grid(burgers, capsys):
    assert burgers.main(["--figure", ""]) == 0


def test_pinn_network_and_residuals(pinn):
    """The network by matrices, its derivatives by differences."""
    theta = pinn.parameters(np.random.default_rng(0))
    w1, b1, w2, b2, w3, b3 = layers = pinn.unpacked(theta)

    def u(x):
        hidden = np.tanh(w2 @ np.tanh(np.outer(w1, x) + b1[:, None]) + b2[:, None])
        return w3 @ hidden + b3

    x, h = np.array([0.2, 0.9]), 1e-2
    np.testing.assert_allclose([pinn.network(each, layers) for each in x], u(x), rtol=1e-13)
    sides = [u(x + k * h) for k in (-2, -1, 1, 2)]
    second = (-sides[0] + 16.0 * sides[1] - 30.0 * u(x) + 16.0 * sides[2] - sides[3]) / (12 * h * h)
    ends = u(np.array([0.0, 1.0])) - [0.0, np.sin(1.0)]
    expected = np.append((second + u(x)) / np.sqrt(2.0), ends)
    np.testing.assert_allclose(pinn.oscillator(theta, x), expected, rtol=1e-6, atol=1e-7)


def test_pinn_by_least_squares(pinn, tmp_path, capsys, monkeypatch):
    path = tmp_path / "pinn.png"
    assert pinn.main(["--trainers", "least_squares", "--figure", str(path)]) == 0
    heading, row, *_ = capsys.readouterr().out.splitlines()
    assert heading.split()[0] == "oscillator"
    assert float(row.split()[-1]) < 1e-6
    assert pinn.Figure is None or is_png(path)
    monkeypatch.setattr(pinn, "Figure", None)
    assert "not installed" in pinn.save_figure(str(path), None, [])


@pytest.mark.slow
def test_pinn_by_all_trainers(pinn, capsys):
    assert pinn.main(["--quick", "--figure", ""]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:4]]
    losses = [float(row[3]) for row in rows]
    assert [row[0] for row in rows] == ["Adam", "L-BFGS-B", "least_squares"]
    assert losses[0] > losses[1] > losses[2]


@pytest.mark.slow
def test_pinn_estimates_the_rate(pinn, capsys):
    """The estimate and its error are those of a fit of the exact solution to the data."""
    assert pinn.main(["--problem", "logistic", "--trainers", "least_squares", "--figure", ""]) == 0
    found, _, deviation = capsys.readouterr().out.splitlines()[1].split()[-3:]
    times, data = pinn.problem("logistic").data

    def solution(t, r, first):
        return first / (first + (1.0 - first) * np.exp(-r * t))

    (rate, _), covariance = curve_fit(
        solution, times, data, [1.0, 0.1], np.full(times.size, pinn.NOISE), True
    )
    assert abs(float(found) - rate) < 0.3 * float(deviation)
    np.testing.assert_allclose(float(deviation), np.sqrt(covariance[0, 0]), rtol=0.3)


def test_poisson_regression(tmp_path, capsys):
    """The estimates and standard errors are those that R prints for its data set."""
    with example("poisson_regression") as module:
        figure = tmp_path / "rates.png"
        assert module.main(["--figure", str(figure)]) == 0
        printed = capsys.readouterr().out
        X, y = module.design(), module.CASES.ravel().astype(float)
        result, covariance = module.fit(X, y, np.log(module.INHABITANTS.ravel()))
    published = [-5.6321, -0.3301, -0.3715, -0.2723, 1.1010, 1.5186, 1.7677, 1.8569, 1.4197]
    errors = [0.2003, 0.1815, 0.1878, 0.1879, 0.2483, 0.2316, 0.2294, 0.2353, 0.2503]
    np.testing.assert_allclose(result.x, published, atol=6e-5)
    np.testing.assert_allclose(np.sqrt(np.diag(covariance)), errors, atol=6e-5)
    assert "deviance 23.447 on 15 degrees of freedom" in printed
    assert is_png(figure)
