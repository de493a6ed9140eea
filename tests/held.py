"""What derivatives hold: allocations of Numba's runtime, tapes of the pool."""

from numba.core.runtime import rtsys

from dualtape.backend import symbols


def live_allocations():
    """Return how many allocations are not given back; see the fixture `allocation_statistics`."""
    stats = rtsys.get_allocation_stats()
    return stats.alloc - stats.free


def leased():
    """Return how many slots of the pool are taken."""
    return sum(symbols.TAPES[1 + 2 * slot] for slot in range(symbols.SLOTS))
