"""Internal functions have no machine code of their own; callers link them in, also from a cache."""

import pickle

import numba
import numpy as np
import pytest
from numba.core.compiler import CompileResult

import dualtape as ad
from dualtape.backend.jit import entry, internal, kernel
from dualtape.backend.linking import InternalLibrary
from dualtape.twin.activation import twin


def square(x):
    return x * x


def made():
    """Return an internal function, and one that Python can call with the same code."""
    inner = internal(square)

    def outer(x):
        return inner(x) + 1.0

    return inner, numba.njit(outer)


def compiled_code(dispatcher):
    (found,) = dispatcher.overloads.values()
    return found


def test_internal_functions_have_no_machine_code():
    inner, outer = made()
    assert outer(3.0) == 10.0
    code = compiled_code(inner)
    assert isinstance(code.library, InternalLibrary)
    assert code.library.get_pointer_to_function(code.fndesc.llvm_func_name) == 0
    whole = compiled_code(outer)
    assert whole.library.get_pointer_to_function(whole.fndesc.llvm_func_name) != 0


def calls_of(dispatcher, callee):
    """Return how often the code of a function calls another one."""
    code, name = compiled_code(dispatcher), compiled_code(callee).fndesc.llvm_func_name
    own = code.library.get_function(code.fndesc.llvm_func_name)
    return sum(name in str(line) for b in own.blocks for line in b.instructions)


def test_callees_are_inlined_where_python_calls():
    inner = internal(square)
    middle = internal(lambda x: inner(x) + 1.0)
    outer = numba.njit(lambda x: middle(x) + 2.0)
    assert outer(3.0) == 12.0
    assert calls_of(middle, inner) == 1
    assert calls_of(outer, middle) == calls_of(outer, inner) == 0


def test_kernels_and_twins_are_internal():
    def f(x):
        return np.sin(x[0]) * x[1]

    gradient = ad.grad(f, mode="reverse")
    found = gradient(np.array([0.5, 2.0]))
    np.testing.assert_allclose(found, [2.0 * np.cos(0.5), np.sin(0.5)], rtol=1e-15)
    assert not isinstance(compiled_code(gradient).library, InternalLibrary)
    assert isinstance(compiled_code(twin(f)).library, InternalLibrary)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_names_are_no_others_in_any_process(mode):
    """Numba numbers functions from 1 on; code of two processes may meet in a third."""

    def f(x):
        return np.sin(x[0]) * x[1]

    gradient = ad.grad(f, mode=mode)
    gradient(np.array([0.5, 2.0]))
    for function in (gradient, twin(f)):
        numbers = [code.fndesc.uid for code in function.overloads.values()]
        assert numbers
        assert min(numbers) > 2**24  # one in 2^24 of random ones is smaller


def test_what_was_cached_is_linked_in():
    inner, outer = made()
    outer(3.0)
    code = compiled_code(inner)
    state = pickle.loads(pickle.dumps(code._reduce()))
    again = CompileResult._rebuild(code.target_context, *state)
    restored = internal(square)
    again.target_context.insert_user_function(again.entry_point, again.fndesc, [again.library])
    restored.add_overload(again)
    assert numba.njit(lambda x: restored(x) + 2.0)(3.0) == 11.0


@numba.njit
def ping(v, n):
    if n == 0:
        return v
    return v * pong(v, n - 1)


@numba.njit
def pong(v, n):
    if n == 0:
        return v * 2.0
    return v + ping(v, n - 1)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_functions_that_call_each_other_have_machine_code(mode):
    """They call by address: v (v + v (v + v (2 v))) = v^2 + v^3 + 2 v^4 ... with n = 5."""

    def f(x):
        return ping(x[0], 5) * x[1]

    v, w = 1.1, 0.5
    found = ad.grad(f, mode=mode)(np.array([v, w]))
    p = v**2 + v**3 + 2.0 * v**4
    np.testing.assert_allclose(found, [(2 * v + 3 * v**2 + 8 * v**3) * w, p], rtol=1e-14)


def test_kernels_are_linked_into_entries():
    inner = kernel(square)
    outer = entry(lambda x: inner(x) + 3.0)
    assert outer(3.0) == 12.0
    assert isinstance(compiled_code(inner._dispatcher).library, InternalLibrary) or (
        inner._dispatcher.stats.cache_hits
    )


def power(v, n):
    if n == 0:
        return 1.0
    return v * power(v, n - 1)


@pytest.mark.parametrize("mode", ["forward", "reverse"])
def test_a_function_calls_its_overload_for_another_type(mode):
    """The first call is typed for the literal 4, those inside for any integer."""

    def f(x):
        return power(x[0], 4) * x[1]

    found = ad.grad(f, mode=mode)(np.array([1.5, 2.0]))
    np.testing.assert_allclose(found, [4.0 * 1.5**3 * 2.0, 1.5**4], rtol=1e-15)
