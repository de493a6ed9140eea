"""Kernels compiled ahead, for this processor or for all, and the word about long compilations."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dualtape as ad
from dualtape import precompile
from dualtape.backend import disk_cache, verbose

COUNT = """
from numba.core import event
import numpy as np
import dualtape as ad
from dualtape.backend.disk_cache import DiskCache

class Names(event.Listener):
    def on_start(self, e):
        if type(e.data["dispatcher"]._cache) is DiskCache:
            print("kernel", e.data["dispatcher"].py_func.__qualname__)
    def on_end(self, e):
        pass

event.register("numba:compile", Names())

def f(x):
    s = 0.0
    for i in range(x.size):
        s += np.sin(x[i]) * x[i]
    return s

x = np.array([0.5, 1.5])
print(np.array_equal(ad.sparse_hessian(f)(x).toarray(), ad.sparse_hessian(f)(x).toarray()))
"""


def run(cache, *command):
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": str(Path(ad.__file__).parents[1]),
    }
    done = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.mark.parametrize("target", ["host", pytest.param("generic", marks=pytest.mark.slow)])
def test_what_is_compiled_ahead_is_found(tmp_path, target):
    """Also by a process that does not know of the generic target."""
    said = run(tmp_path, "-m", "dualtape.precompile", "--target", target, "--only", "sparse")
    assert "[2/2] sparse" in said
    assert "bytes in" in said
    (place,) = tmp_path.rglob("dualtape-*")
    files = list(place.iterdir())
    assert f"{len(files)} files new, {len(files)} in all" in said
    assert f"{sum(p.stat().st_size for p in files):,} bytes" in said
    assert run(tmp_path, "-c", COUNT) == "True\n"


def test_every_usual_case_has_a_derivative():
    """The functions of the cases are right where they are differentiated in two modes."""
    few = np.linspace(0.4, 1.3, 4)
    for f in (precompile._loop, precompile._arrays):
        forward, reverse = (ad.grad(f, mode=mode)(few) for mode in ("forward", "reverse"))
        np.testing.assert_allclose(forward, reverse, rtol=1e-13)
    kinds = precompile._cases()
    assert list(kinds) == ["forward", "hyper-dual", "reverse", "reverse over duals", "sparse"]
    assert all(kinds.values())


def test_pruning_keeps_the_folder_in_use(tmp_path, monkeypatch):
    current = tmp_path / "dualtape-0123"
    for path in (current / "a.entry", tmp_path / "dualtape-9" / "b.entry", tmp_path / "f.1.nbc"):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"12345")
    (tmp_path / "module.pyc").write_bytes(b"1")
    monkeypatch.setattr(precompile, "folder", lambda: current)
    assert precompile.prune() == 10
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dualtape-0123", "module.pyc"]
    assert (current / "a.entry").exists()


@pytest.fixture
def fresh_state(monkeypatch):
    monkeypatch.setattr(verbose, "_STATE", verbose._State())
    monkeypatch.setattr(verbose, "PATIENCE", 0.0)
    return verbose._STATE


def compile_something(k):
    return ad.grad(lambda x: k * np.sum(x * x))(np.ones(3))


def test_a_long_compilation_is_announced_once(fresh_state, capfd):
    compile_something(2.0)
    compile_something(3.0)
    said = capfd.readouterr().err
    assert said.count("dualtape: compiling grad(<lambda>); its kernels are kept in ") == 1
    assert said.count("\n") == 1


@pytest.mark.parametrize("switch", ["call", "environment"])
def test_the_announcement_can_be_switched_off(fresh_state, monkeypatch, capfd, switch):
    if switch == "call":
        assert ad.set_verbose(False) is True
    else:
        monkeypatch.setenv("DUALTAPE_VERBOSE", "0")
        monkeypatch.setattr(verbose, "_STATE", verbose._State())
    compile_something(4.0)
    assert capfd.readouterr().err == ""


def test_a_place_that_cannot_be_written_is_named(fresh_state, monkeypatch, capfd):
    def missing():
        raise OSError

    monkeypatch.setattr(disk_cache, "folder", missing)
    verbose._say("grad(f)")
    assert "compiling grad(f); nothing is kept" in capfd.readouterr().err


def test_what_is_not_a_flag_is_refused():
    with pytest.raises(ad.ArgumentError, match="set_verbose: 2 is not True or False"):
        ad.set_verbose(2)
