"""Print gradient / primal for choices of K_MAX and KEEP: ``python -m benchmarks.tape_parameters``.

K_MAX is how many slots an expression may have before an operand is recorded, KEEP how many a value
used more than once.  Each choice runs in a process of its own; the figures are medians of ratios.
"""

import subprocess
import sys

CHOICES = [(2, 1), (4, 2), (8, 2), (8, 3), (12, 2), (12, 3), (12, 6), (16, 3), (16, 6)]


def measure(k_max, keep):
    """Print the ratios for one choice."""
    from dualtape.analysis import record_points  # set before anything is compiled
    from dualtape.numbers import registration

    from .bench_lennard_jones import bodies, lennard_jones
    from .bench_ode import INPUTS, lotka_volterra, smoother
    from .bench_rosenbrock import point, rosenbrock
    from .machine import pin

    pin()
    registration.K_MAX, record_points.KEEP = k_max, keep
    cases = (
        (rosenbrock, point(1000)),
        (lennard_jones, bodies()),
        (lotka_volterra, INPUTS),
        (smoother, point(50)),
    )
    told = [gradient_ratio(f, x) for f, x in cases]
    print(f"{k_max:5d} {keep:4d}   " + "  ".join(f"{t:10.2f}" for t in told), flush=True)


def gradient_ratio(f, x):
    """Return the median of reverse gradient over function, after a check."""
    import dualtape as ad

    from .problem import Problem, by_dualtape
    from .runner import FULL
    from .runner import measure as measured

    candidate = by_dualtape("reverse", lambda: ad.grad(f, mode="reverse"), x)
    expected = ad.grad(f, mode="forward")
    problem = Problem(f.__name__, "", f, (x,), lambda: expected(x), [candidate])
    return measured(problem, [candidate], FULL).ratio(candidate.label).median


def main():
    """Measure all choices."""
    print("K_MAX KEEP   Rosenbrock  Lennard-J.  Lotka-V.    smoother", flush=True)
    for k_max, keep in CHOICES:
        command = [sys.executable, "-m", "benchmarks.tape_parameters", str(k_max), str(keep)]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(int(sys.argv[1]), int(sys.argv[2]))
    else:
        main()
