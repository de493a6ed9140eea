"""The examples run and show what they say."""

import importlib.util
import re
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
THREE = ["Misra1a", "Thurber", "Eckerle4"]

pytest.importorskip("scipy")


@pytest.fixture(scope="module")
def nist():
    """Return the module of the NIST example."""
    spec = importlib.util.spec_from_file_location(
        "nist_regression", EXAMPLES / "nist_regression.py"
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


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
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
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
