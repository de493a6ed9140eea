"""What a function is called in the cache: the same in every process, or nothing."""

import functools
import operator

import numpy as np
import pytest
from numba.core import types
from numba.extending import intrinsic

from dualtape.backend import disk_cache, identity, jit
from dualtape.backend.identity import NoIdentityError
from dualtape.numbers import access


def test_values_that_describe_themselves():
    values = [None, True, 1, 1.0, 1j, "1", b"1", np.dtype("f8"), (1, "1"), types.float64, (1, 2)]
    described = [identity.identity(value) for value in values]
    assert len(set(described)) == len(values)
    assert described == [identity.identity(value) for value in values]


def test_functions_of_modules_have_their_place():
    assert identity.identity(disk_cache.folder) == "dualtape.backend.disk_cache:folder"
    assert identity.identity(np.sin) == "numpy:sin"
    assert identity.identity(operator.mul) == "_operator:mul"
    assert identity.identity(access.seed_array).startswith(
        "kernel dualtape.numbers.access:seed_array:"
    )


def made(value):
    def inner(x):
        return x * value

    inner.__module__ = "dualtape.somewhere"
    return inner


def test_closures_are_told_apart_by_what_they_hold():
    described = {
        identity.identity(made(v)) for v in (1, 2, types.float32, access.seed_array, made(1))
    }
    assert len(described) == 5
    assert identity.identity(made(1)) == identity.identity(made(1))


@pytest.mark.parametrize(
    "value",
    [
        object(),
        [1],
        np.ones(2),
        functools.partial(made, 1),
        lambda x: x,  # of a user's: the place in the source does not say what it reads
        types.Dispatcher(jit.kernel(made(1))._dispatcher),
    ],
)
def test_what_does_not_describe_itself_has_no_identity(value):
    with pytest.raises(NoIdentityError):
        identity.identity(value)
    with pytest.raises(NoIdentityError):
        identity.identity(made(value))


def test_intrinsics_are_told_apart_by_their_definition():
    def definition(typingctx, x):
        return types.float64(x), None

    with pytest.raises(NoIdentityError):  # of a user's
        identity.identity(intrinsic(definition))
    assert identity.identity(access.flat_view).startswith(
        "intrinsic dualtape.numbers.access:flat_view"
    )


@pytest.mark.parametrize("text", ["<f at 0x7f>", "Tape#7f35"])
def test_addresses_are_not_faithful(text):
    assert not identity.is_faithful(text)
    assert identity.is_faithful("Array(float64, 1, 'C')")
