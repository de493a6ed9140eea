"""Print where reverse mode becomes faster than forward: ``python -m benchmarks.modes``.

The figures are forward time / reverse time, medians of one run, by number of inputs; `modes` in the
package holds the sizes chosen from them.
"""

import numpy as np

import dualtape as ad

from .bench_rosenbrock import point, rosenbrock
from .machine import pin
from .problem import Call
from .runner import FULL, interleave, progress, spread

SIZES = (8, 16, 24, 32, 48, 64)


def applied(product):
    """Return H x as a function of x alone."""
    return lambda x: product(x, x)


def main():
    """Measure gradients, Hessians and products of Rosenbrock's function."""
    pin()
    f = rosenbrock
    cases = {
        "gradient": (ad.grad(f, mode="reverse"), ad.grad(f, mode="forward")),
        "Hessian": (ad.hessian(f, mode="reverse"), ad.hessian(f, mode="forward")),
        "H v": (applied(ad.hvp(f, mode="reverse")), applied(ad.hvp(f, mode="forward"))),
    }
    print("forward / reverse  " + "".join(f"{f'n = {n}':>10}" for n in SIZES))
    for name, (reverse, forward) in cases.items():
        progress(name)
        found = []
        for n in SIZES:
            x = point(n)
            np.testing.assert_allclose(reverse(x), forward(x), rtol=1e-9, atol=1e-9)
            calls = {"reverse": Call(reverse, (x,)), "forward": Call(forward, (x,))}
            seconds = interleave(calls, FULL)
            found.append(spread(seconds["forward"] / seconds["reverse"]).median)
        print(f"{name:<19}" + "".join(f"{ratio:10.2f}" for ratio in found), flush=True)


if __name__ == "__main__":
    main()
