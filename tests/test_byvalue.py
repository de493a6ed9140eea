"""Numbers are values: no allocation, no reference kept, and code that other processes load."""

import gc
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest
from algebra import assert_same
from numba.core import types
from numba.core.runtime import _nrt_python, rtsys

from dualtape import HyperDual, VectorDual
from dualtape.backend.value_struct import ByValueInstance
from dualtape.numbers.types import NumberType, member_type

NUMBERS = {
    "VectorDual1": VectorDual(1.25, [1.0]),
    "VectorDual4": VectorDual(1.25, [1.0, 0.0, -2.0, 0.5]),
    "HyperDual": HyperDual(1.25, 1.0, 2.0, 0.5),
    "HyperDual2x2": HyperDual(1.25, [1.0, 0.5], [2.0, 0.25]),
    "nested": VectorDual(HyperDual(1.25, 1.0, 2.0, 0.5), [1.0, 0.5]),
}
each_number = pytest.mark.parametrize("number", NUMBERS.values(), ids=NUMBERS)


def arithmetic(x, count):
    """Use operators, powers, rules, branches, tuples and construction of numbers."""
    total = x * 0.0
    for i in range(count):
        pair = (x * total, x / (2.0 + total * total))
        total = 0.5 * pair[0] + np.sin(pair[1]) + np.sqrt(x) - x**2 / (i + 1.0)
        if total > 3.0:
            total = 1.0 + 0 * total
        total += np.hypot(x, 2.0) ** 1.5 % 0.75
    return total


# Memory


@pytest.fixture
def allocations():
    """Return a function that counts how often Numba's runtime allocates during a call."""
    enabled = _nrt_python.memsys_stats_enabled()
    _nrt_python.memsys_enable_stats()

    def count(function, *args):
        before = rtsys.get_allocation_stats()
        function(*args)
        after = rtsys.get_allocation_stats()
        return after.alloc - before.alloc, after.mi_alloc - before.mi_alloc

    yield count
    if not enabled:
        _nrt_python.memsys_disable_stats()


@each_number
def test_arithmetic_allocates_nothing(number, allocations):
    loop = numba.njit(arithmetic)
    loop(number, 2)
    assert allocations(loop, number, 1000) == (0, 0)


def test_the_count_of_allocations_counts(allocations):
    """The control: an array, or an ordinary jitclass, would have been seen."""
    loop = numba.njit(lambda n: sum([np.ones(3)[0] for _ in range(n)]))
    loop(2)
    assert min(allocations(loop, 10)) >= 10


def references(number):
    """Return the reference counts of everything that a call with a number touches."""
    fields = [getattr(number, name) for name in number.FIELDS]
    return [sys.getrefcount(x) for x in (number, type(number), *fields, type(fields[-1]))]


@each_number
def test_calls_keep_no_reference_to_their_arguments(number):
    square = numba.njit(lambda x: (x * x, x))
    square(number)
    gc.collect()
    before = references(number)
    for _ in range(1000):
        square(number)
    assert references(number) == before


@each_number
def test_calls_leave_no_objects_behind(number):
    calls = 3000
    square = numba.njit(lambda x: x * x)
    square(number)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(calls):
        square(number)
    gc.collect()
    # One object lost per call would be 3000; the interpreter's own free lists are some hundreds.
    assert sys.getallocatedblocks() - before < calls / 2


def test_an_exception_in_a_call_keeps_no_reference():
    fail = numba.njit(lambda x: 1.0 / x)
    number = VectorDual(0.0, [1.0, 2.0])

    def call():
        with pytest.raises(ZeroDivisionError):
            fail(number)

    call()
    gc.collect()
    before = references(number)
    for _ in range(100):
        call()
    gc.collect()
    assert references(number) == before


def test_a_number_that_cannot_be_unpacked_is_an_error_and_not_a_crash():
    square = numba.njit(lambda x: x * x)
    good = VectorDual(1.0, [1.0, 2.0])
    square(good)
    for partials in ((1.0, "two"), (1.0, None)):
        bad = VectorDual.of(1.0, type(good.partials)(partials))
        before = references(bad)
        for _ in range(10):
            with pytest.raises((TypeError, ValueError)):
                square(bad)
        assert references(bad) == before
    assert_same(square(good), VectorDual(1.0, [2.0, 4.0]))


# Types


@each_number
def test_a_type_is_made_once_and_pickles_to_itself(number):
    ty = numba.typeof(number)
    assert isinstance(ty, ByValueInstance)
    assert numba.typeof(number * 2.0) is ty
    assert pickle.loads(pickle.dumps(ty)) is ty
    assert pickle.loads(pickle.dumps(ty.class_type)) is ty.class_type


@each_number
def test_names_of_types_hold_no_address(number):
    ty = numba.typeof(number)
    for name in (str(ty), repr(ty), ty.name, ty.class_type.name, ty.mangling_args[0]):
        assert "0x" not in name
        assert type(number).__name__ in name
        assert str(id(ty)) not in name


def test_types_are_told_apart_by_their_parameters():
    tys = [numba.typeof(number) for number in NUMBERS.values()]
    tys += [member_type(VectorDual, types.float32, 4), member_type(HyperDual, types.float32, 1, 1)]
    assert len(set(tys)) == len({ty.name for ty in tys}) == len(tys)
    assert all(isinstance(ty, NumberType) for ty in tys)
    assert str(tys[0]) == "VectorDual1(float64)"
    assert str(tys[3]) == "HyperDual2x2(float64)"
    assert str(tys[4]) == "VectorDual2(HyperDual1x1(float64))"


@pytest.mark.parametrize("n", [1, 2, 4, 8, 16])
def test_elements_of_arrays_lie_without_gaps(n):
    """A vector register of eight doubles is aligned to 64 bytes; in memory it must not be."""
    context = numba.core.registry.cpu_target.target_context
    ty = member_type(VectorDual, types.float64, n)
    assert context.get_abi_sizeof(context.get_data_type(ty)) == 8 * (1 + n)


# Code on disk

MODULE = """
import numba
import numpy as np
from dualtape import HyperDual, VectorDual


@numba.njit(cache=True)
def takes_and_returns(x):
    return np.sin(x) * x**2 + 1.0 / x


@numba.njit(cache=True)
def constructs(value):
    return VectorDual(value, (1.0, 0.0)) ** 3


if __name__ == "__main__":
    for x in (VectorDual(0.5, [1.0, -2.0]), HyperDual(0.5, 1.0, 1.0, 0.0), 0.5):
        print(repr(takes_and_returns(x)))
    print(repr(constructs(2.0)))
    for function in (takes_and_returns, constructs):
        print("hits", sum(function.stats.cache_hits.values()))
        print("misses", sum(function.stats.cache_misses.values()))
"""


def run_module(path, cache, place):
    environment = os.environ | {
        "NUMBA_CACHE_DIR": str(cache),
        "PYTHONPATH": os.pathsep.join([str(place), *sys.path]),
    }
    finished = subprocess.run(
        [sys.executable, str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    return lines[:4], [line.split() for line in lines[4:]]


def test_compiled_code_is_loaded_from_disk_in_a_second_process(tmp_path):
    path = tmp_path / "cached_numbers.py"
    path.write_text(MODULE)
    # The package's own compiled helpers go into the same fresh directory.
    first, made = run_module(path, tmp_path / "cache", tmp_path)
    second, loaded = run_module(path, tmp_path / "cache", tmp_path)
    assert made == [["hits", "0"], ["misses", "3"], ["hits", "0"], ["misses", "1"]]
    assert loaded == [["hits", "3"], ["misses", "0"], ["hits", "1"], ["misses", "0"]]
    assert second == first
    assert first[3] == "VectorDual(8.0, [12.0, 0.0])"
    assert any(Path(tmp_path / "cache").rglob("*.nbc"))


def test_a_pickled_number_and_type_are_those_of_another_process():
    script = (
        "import pickle, sys, numba; number, ty = pickle.load(sys.stdin.buffer); "
        "assert numba.typeof(number) is ty; "
        "names = ty.name, ty.class_type.name; "
        "sys.stdout.buffer.write(pickle.dumps((number * 2.0, ty, names)))"
    )
    for number in NUMBERS.values():
        payload = pickle.dumps((number, numba.typeof(number)))
        finished = subprocess.run(
            [sys.executable, "-c", script],
            input=payload,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=False,
            timeout=300,
        )
        assert finished.returncode == 0, finished.stderr.decode()
        doubled, ty, names = pickle.loads(finished.stdout)
        assert names == (ty.name, ty.class_type.name), "a name differs between processes"
        assert ty is numba.typeof(number)
        assert_same(doubled, 2.0 * number)
