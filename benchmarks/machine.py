"""One core, one thread, and what it was measured on."""

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
}
PACKAGES = ("numba", "numpy", "scipy", "jax", "casadi", "autograd", "torch")


def single_threaded():
    """Tell BLAS and XLA to use one thread; what the user has set stays."""
    for name, value in THREADS.items():
        os.environ.setdefault(name, value)


def pin():
    """Stay on one core, where the system lets us."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def version(package):
    """Return the version of an installed package, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def processor():
    """Return the name of the processor and what matters of its vector units."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.name == "posix" else []
    fields = {k.strip(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
    name = fields.get("model name") or platform.processor() or platform.machine()
    flags = fields.get("flags", "").split()
    vectors = next((f for f in ("avx512f", "avx2", "avx") if f in flags), "")
    return f"{name}, {vectors}" if vectors else name


def describe():
    """Return what RESULTS says about the machine: a dictionary of short texts."""
    from numba import config  # after the thread counts are set

    import dualtape

    found = {name: version(name) for name in PACKAGES}
    versions = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{processor()}; {os.cpu_count()} cores, one used; {platform.system()}",
        "versions": f"Python {platform.python_version()}, dualtape {dualtape.__version__}, "
        f"{versions}; SVML {'found' if config.USING_SVML else 'absent'}",
    }
