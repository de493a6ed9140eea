"""Random numbers for all tests: seeded, and the seed is shown where a test fails."""

import numpy as np
import pytest

SEED = 20240229


def pytest_addoption(parser):
    parser.addoption("--seed", type=int, default=SEED, help="seed of the random test points")


@pytest.fixture
def rng(request):
    """Return a generator that gives every test the same numbers in every run."""
    seed = request.config.getoption("--seed")
    request.node.add_report_section("setup", "seed", f"drawn with pytest --seed={seed}")
    return np.random.default_rng(seed)
