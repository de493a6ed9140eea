"""Compile the kernels of the usual cases ahead: ``python -m dualtape.precompile``.

For container images and continuous integration: afterwards a first derivative only compiles the
user's function, and finds the kernels on disk.  The usual cases are double precision, arrays of up
to two dimensions, forward mode, hyper-duals, reverse mode and reverse mode over duals, products of
matrices, linear systems and sparse Jacobians.

``--target generic`` compiles for every processor of the architecture: an image built on one machine
then runs on others, which use these kernels if they have none for their own processor.
``--prune`` removes the files of older versions of the package and of Numba.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .backend.disk_cache import GENERIC, folder
from .backend.verbose import set_verbose


def _loop(x: Any) -> Any:
    s = 0.0
    for i in range(x.size - 1):
        s += (x[i + 1] - x[i] ** 2) ** 2 + np.exp(-x[i]) / (1.0 + x[i] * x[i])
        s += np.sin(x[i]) * np.cos(x[i]) + np.log(x[i + 1]) * np.sqrt(x[i]) + abs(np.tanh(x[i]))
    return s


def _scalar(x: Any) -> Any:
    return np.sin(x) * np.exp(-x * x) + np.sqrt(1.0 + x * x)


def _residuals(x: Any) -> Any:
    out = np.zeros(x.size)
    for i in range(1, x.size - 1):
        out[i] = x[i - 1] - 2.0 * x[i] + x[i + 1] + x[i] ** 2
    return out


def _arrays(x: Any) -> Any:
    y = np.tanh(x[1:] * x[:-1]) + 0.5 * x[1:]
    return np.sum(y * y) + np.mean(np.exp(-y)) + np.max(y)


def _table(a: Any) -> Any:
    return np.sum(np.sum(a * a, axis=0)) + np.sum(a.T) + np.mean(np.log(1.0 + a * a))


def _network(p: Any, x: Any, y: Any) -> Any:
    first, shift, second = p[:12].reshape(4, 3), p[12:16], p[16:20]
    residual = np.tanh(x @ first.T + shift) @ second - y
    return np.sum(residual**2)


def _matrices(a: Any) -> Any:
    m = a.reshape(3, 3)
    return np.sum(m @ m.T) + np.sum(np.linalg.solve(m, m[0])) + np.linalg.slogdet(m)[1]


def _cases() -> dict[str, list[Callable[[], Any]]]:
    """Return calls by kind; each compiles the kernels of one transform."""
    from .sparse.hessian import sparse_hessian
    from .sparse.jacobian import sparse_jacobian
    from .transforms.derivatives import grad, hessian, jacobian, value_and_grad
    from .transforms.products import derivative, hvp, jvp, vjp

    few, many = np.linspace(0.4, 1.3, 4), np.linspace(0.4, 1.3, 40)
    table, matrix = np.linspace(0.4, 1.3, 12).reshape(3, 4), np.arange(9.0) ** 1.5 + 1.0
    rows, targets, weights = np.ones((5, 3)), np.ones(5), np.linspace(-1.0, 1.0, 20)
    functions = [(_loop, few), (_arrays, few), (_table, table), (_matrices, matrix)]
    return {
        "forward": [
            *(lambda f=f, x=x: grad(f, mode="forward")(x) for f, x in functions),
            lambda: grad(_network, mode="forward")(weights, rows, targets),
            lambda: grad(_loop)(few[:2]),
            lambda: value_and_grad(_loop)(few),
            lambda: jacobian(_residuals, mode="forward")(few),
            lambda: derivative(_scalar)(0.5),
            lambda: jvp(_loop, (few,), (few,)),
        ],
        "hyper-dual": [
            *(lambda f=f, x=x: hessian(f, mode="forward")(x) for f, x in functions[:2]),
            lambda: derivative(_scalar, 2)(0.5),
            lambda: hvp(_loop)(few, few),
        ],
        "reverse": [
            *(lambda f=f, x=x: grad(f, mode="reverse")(x) for f, x in functions),
            lambda: grad(_network, mode="reverse")(weights, rows, targets),
            lambda: jacobian(_residuals, mode="reverse")(few),
            lambda: vjp(_residuals, few)[1](few),
        ],
        "reverse over duals": [
            *(lambda f=f, x=x: hessian(f, mode="reverse")(x) for f, x in functions[:2]),
            lambda: hessian(_network, mode="reverse")(weights, rows, targets),
            lambda: hvp(_loop, mode="reverse")(many, many),
        ],
        "sparse": [
            lambda: sparse_jacobian(_residuals)(many),
            lambda: sparse_hessian(_loop)(many),
        ],
    }


def _cache_size() -> tuple[int, int]:
    """Return the number of files in the cache, and their size in bytes."""
    place = folder()
    sizes = [p.stat().st_size for p in place.iterdir()] if place.exists() else []
    return len(sizes), sum(sizes)


def prune() -> int:
    """Remove the files of other versions of the package and its dependencies; return their bytes.

    These are all folders of kernels except the one in use, and the files that versions before
    this one wrote into Numba's own cache.
    """
    current, freed = folder(), 0
    beside = current.parent
    for path in [*beside.glob("dualtape-*"), *beside.glob("*.nb[ci]")] if beside.exists() else []:
        if path == current:
            continue
        files = list(path.rglob("*")) if path.is_dir() else [path]
        freed += sum(p.stat().st_size for p in files)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return freed


def _compile(only: str) -> None:
    selected = {name: calls for name, calls in _cases().items() if only in name}
    done, every = 0, sum(map(len, selected.values()))
    before, _ = _cache_size()
    for name, calls in selected.items():
        for call in calls:
            done += 1
            print(f"[{done}/{every}] {name}", flush=True)
            call()
    files, size = _cache_size()
    print(f"{files - before} files new, {files} in all, {size:,} bytes in {folder()}")


def main(arguments: list[str] | None = None) -> int:
    """Compile according to the command line."""
    parser = argparse.ArgumentParser(prog="python -m dualtape.precompile", description=__doc__)
    parser.add_argument("--target", choices=["host", "generic"], default="host")
    parser.add_argument("--only", default="", metavar="NAME", help="kinds whose name contains NAME")
    parser.add_argument("--prune", action="store_true", help="remove what older versions left")
    options = parser.parse_args(arguments)
    set_verbose(False)  # the lines below say more
    if options.prune:
        print(f"{prune():,} bytes of older versions removed")
    if options.target == "generic" and os.environ.get("NUMBA_CPU_NAME") != GENERIC[0]:
        # Numba reads its target when it is imported.
        processor = {"NUMBA_CPU_NAME": GENERIC[0], "NUMBA_CPU_FEATURES": GENERIC[1]}
        path = {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
        command = [sys.executable, "-m", "dualtape.precompile", "--target", "generic"]
        environment = os.environ | processor | path
        return subprocess.run(
            [*command, "--only", options.only], env=environment, check=False
        ).returncode
    _compile(options.only)
    return 0


if __name__ == "__main__":
    sys.exit(main())
