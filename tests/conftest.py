"""For all tests: random numbers, whose seed is shown where one fails, and less collecting."""

import gc
import signal

import numpy as np
import pytest
from numba.core.runtime import _nrt_python

SEED = 20240229

# Compiling makes many objects that stay; looking for garbage among them all, as Python does every
# 700 new ones, takes longer with every test.  What is alive after some tests is not looked at
# again: without that, collections took 44 % of the quick tests' time.  Tests of memory collect
# what they made themselves.
gc.set_threshold(200_000, 20, 20)
TESTS_BEFORE_FREEZING = 10
TESTS_DONE = pytest.StashKey[int]()

# A shell lets what it starts in the background ignore Ctrl-C, which some tests send to themselves
# and to children: Python then has no handler for it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item):
    done = item.session.stash.get(TESTS_DONE, 0)
    item.session.stash[TESTS_DONE] = done + 1
    if done % TESTS_BEFORE_FREEZING == 0:
        gc.collect()
        gc.freeze()


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=SEED, help="seed of the random test points")


@pytest.fixture
def rng(request):
    """Return a generator that gives every test the same numbers in every run."""
    seed = request.config.getoption("--seed")
    request.node.add_report_section("setup", "seed", f"drawn with pytest --seed={seed}")
    return np.random.default_rng(seed)


@pytest.fixture
def allocation_statistics():
    """Let Numba's runtime count allocations."""
    was_on = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()
    yield
    if not was_on:
        _nrt_python.memsys_disable_stats()
