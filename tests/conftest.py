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


# Wanted behaviour that is not there yet; strict, so that a fix must take its line out.
NOT_YET = {
    "test_a_function_and_its_gradient_can_be_collected": "something still holds the function",
}


def pytest_collection_modifyitems(items):
    for item in items:
        if item.name in NOT_YET:
            item.add_marker(pytest.mark.xfail(reason=NOT_YET[item.name], strict=True))
