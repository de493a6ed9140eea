"""Print gradient / primal for choices of K_MAX and KEEP: ``python -m benchmarks.tape_parameters``.

K_MAX is how many slots an expression may have before an operand is recorded, KEEP how many a value
used more than once.  Each choice runs in a process of its own; the figures are medians of ratios.
"""

import subprocess
import sys

CHOICES = [(2, 1), (4, 2), (8, 2), (8, 3), (12, 2), (12, 3), (12, 6), (16, 3), (16, 6)]


def measure(k_max, keep):
    """Print the ratios for one choice."""
    import numpy as np  # noqa: PLC0415  # numbers are set before anything is compiled

    import dualtape as ad  # noqa: PLC0415
    from dualtape import elementary, pending  # noqa: PLC0415

    from .bench_reverse import GRADIENTS  # noqa: PLC0415
    from .report import pin, ratios  # noqa: PLC0415

    pin()
    elementary.K_MAX, pending.KEEP = k_max, keep
    told = []
    for f, x in list(GRADIENTS.values())[:4]:
        gradient = ad.grad(f, mode="reverse")
        expected = ad.grad(f, mode="forward")(x)
        np.testing.assert_allclose(gradient(x), expected, atol=1e-9 * abs(expected).max())
        told.append(ratios(f, [gradient], x, calls=50, rounds=21)[0][0])
    print(f"{k_max:5d} {keep:4d}   " + "  ".join(f"{t:10.2f}" for t in told), flush=True)


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
