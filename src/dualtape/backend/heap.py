"""One setting of the C library's heap, which decides whether large arrays are cheap to make.

glibc maps memory for an array above a threshold from the system, and gives the top of its heap back
where more than twice the threshold is free there.  Whoever then makes the next array pays for each
of its pages again: a product along a direction with arrays of 4 MB spent 70 % of its time on page
faults (6.8 times its function, 1.9 without).  The threshold grows to the size of the largest mapped
array that was ever freed, up to 32 MB: so one such array is made, not touched, and freed, as any
program does that has once used one.

M. Kerrisk, mallopt(3), M_MMAP_THRESHOLD: "dynamic mmap threshold".
"""

from __future__ import annotations

import contextlib

import numpy as np

LARGEST = 2**25  # bytes: DEFAULT_MMAP_THRESHOLD_MAX of glibc, of which a page or two are overhead


def raise_threshold() -> None:
    """Let the heap keep memory of large arrays; elsewhere than in glibc it does nothing."""
    with contextlib.suppress(MemoryError):  # where addresses are limited
        np.empty(LARGEST - 2**14, np.uint8)


raise_threshold()
