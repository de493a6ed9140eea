"""Speed, measured beside hand-written derivatives and other libraries.

``python -m benchmarks.report`` measures everything; ``python -m pytest benchmarks`` is the same
problems under pytest-benchmark.  One `bench_` module for each problem or family says what is
compared, as data; `runner` is the only place that checks and times.
"""

from .machine import single_threaded

# Before NumPy, JAX or PyTorch is imported: they read their thread counts once.
single_threaded()
