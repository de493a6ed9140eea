"""Sparse Jacobians and Hessians: against dense ones of forward mode, and closed forms."""

import inspect
import math

import numpy as np
import pytest
import scipy.sparse

import dualtape as ad
from dualtape.backend.symbols import SLOTS, TAPES
from dualtape.errors import ArgumentError, NotScalarError, PatternError
from dualtape.sparse import program

slow = pytest.mark.slow
METHODS = ("elimination", "coloring", "auto")
# Elimination multiplies along the same paths as the other modes and adds in another order.
RTOL = 1e-13


@pytest.fixture(autouse=True)
def every_tape_comes_back():
    before = sum(TAPES[1::2][:SLOTS])
    yield
    assert sum(TAPES[1::2][:SLOTS]) == before


def assert_sparse(found, expected):
    """Compare with a dense matrix; check format, order and types."""
    expected = np.asarray(expected)
    assert isinstance(found, scipy.sparse.csr_array)
    assert found.dtype == np.float64
    assert found.shape == expected.shape
    assert np.all(np.diff(found.indptr) >= 0)
    fresh = scipy.sparse.csr_array((found.data, found.indices, found.indptr), shape=found.shape)
    assert fresh.has_sorted_indices
    assert fresh.has_canonical_format
    assert found.has_canonical_format
    scale = np.abs(expected[np.isfinite(expected)]).max(initial=0.0)
    np.testing.assert_allclose(found.toarray(), expected, rtol=RTOL, atol=RTOL * scale)


def dense(f, x, *args):
    made = ad.jacobian(f, mode="forward")(x, *args)
    return made.reshape(-1, np.size(x))


# One function with outputs of every kind; n >= 6.


def medley(x):
    n = x.size
    y = np.zeros(2 * n + 8)
    shared = np.sin(x[0]) * x[1]  # an intermediate value that all of a band uses
    for i in range(1, n - 1):
        y[i] = x[i - 1] * x[i] * x[i] + np.exp(x[i + 1]) * shared
    left = x[0] * x[0]
    for i in range(n):  # a recurrence: row i depends on all before
        left = 0.5 * left + x[i] * np.cos(left)
        y[n + i] = left
    total = 0.0
    for i in range(n):  # a sum that keeps its row
        total += x[i] * x[i] * x[i]
    y[2 * n] = total * x[2]
    y[2 * n + 1] = x[3]  # an input
    y[2 * n + 2] = x[3]  # again
    y[2 * n + 3] = 7.0  # a constant
    y[2 * n + 4] = y[1]  # an output once more
    y[2 * n + 5] = x[4] - x[4] + 0.0 * x[5]  # explicit zeros
    y[2 * n + 6] = total
    y[2 * n + 7] = x[1] / x[2] if x[0] > 0.0 else x[4] * x[5]
    return y


@pytest.mark.slow  # four functions; those below return arrays and write in place
@pytest.mark.parametrize("method", METHODS)
def test_outputs_of_every_kind(method, rng):
    """Sizes and branches alternate: programs are kept, replaced and made again."""
    jacobian = ad.sparse_jacobian(medley, method=method)
    for n in (6, 6, 23, 6, 23, 23):
        x = rng.normal(size=n)
        assert_sparse(jacobian(x), dense(medley, x))
    x = rng.normal(size=6)
    for _ in range(2):
        x[0] = -x[0]
        for _ in range(2):
            assert_sparse(jacobian(x), dense(medley, x))
            assert_sparse(jacobian(1.1 * x), dense(medley, 1.1 * x))


def test_pattern_is_structural(rng):
    """Explicit zeros are stored, at every point and by every method."""
    x = rng.normal(size=6)
    by_method = [ad.sparse_jacobian(medley, method=method)(x) for method in METHODS]
    row = by_method[0][[2 * 6 + 5]]
    np.testing.assert_array_equal(row.indices, [4, 5])
    np.testing.assert_array_equal(row.data, [0.0, 0.0])
    x[:] = 0.0
    by_method += [ad.sparse_jacobian(medley, method=method)(-x) for method in METHODS]
    # at 0 the other branch is taken: only the last row may differ
    for matrix in by_method[1:]:
        end = by_method[0].indptr[-2]
        np.testing.assert_array_equal(matrix.indptr[:-1], by_method[0].indptr[:-1])
        np.testing.assert_array_equal(matrix.indices[:end], by_method[0].indices[:end])


def test_results_are_their_own(rng):
    """What users do with a matrix does not reach the next one, nor does a later call reach it."""
    x = rng.normal(size=6)
    jacobian = ad.sparse_jacobian(medley)
    expected = dense(medley, x)
    first = jacobian(x)
    first.eliminate_zeros()
    first.data[:] = np.nan
    first.indices[:] = 0
    first.indptr[:] = 0
    second = jacobian(x)
    jacobian(2.0 * x)
    assert_sparse(second, expected)
    assert_sparse(jacobian(x), expected)


def test_a_frame_is_like_what_the_constructor_makes(rng):
    found = ad.sparse_jacobian(medley)(rng.normal(size=6))
    made = scipy.sparse.csr_array((found.data, found.indices, found.indptr), shape=found.shape)
    assert set(vars(found)) == set(vars(made)) | {"_has_canonical_format", "_has_sorted_indices"}
    assert (found @ np.ones(6)).shape == (20,)
    assert_sparse((found + found).tocsc().tocsr(), 2.0 * found.toarray())
    assert found.indices.dtype == made.indices.dtype


# Right-hand sides that write into an argument.


def rhs_in_place(t, y, out):
    n = y.size
    for i in range(n):
        out[i] = t * y[i] * y[(i + 1) % n] - y[i - 1]
    out[0] = out[0] + out[0] * y[2]  # reads what it wrote


def rhs(t, y):
    out = np.zeros_like(y)
    rhs_in_place(t, y, out)
    return out


def test_in_place(rng):
    y = rng.normal(size=7)
    out = np.full(7, np.nan)
    given, kept = out.copy(), y.copy()
    expected = dense(lambda y, t: rhs(t, y), y, 0.3)
    jacobian = ad.sparse_jacobian(rhs_in_place, 1, output_argnum=2)
    for args in ((0.3, y, out), (0.3, y), (0.3, y)):
        assert_sparse(jacobian(*args), expected)
    assert_sparse(jacobian(t=0.3, y=y), expected)
    assert_sparse(jacobian(0.3, list(y)), expected)
    np.testing.assert_array_equal(out, given)
    np.testing.assert_array_equal(y, kept)
    value, matrix = ad.value_and_sparse_jacobian(rhs_in_place, 1, output_argnum=-1)(0.3, y)
    assert_sparse(matrix, expected)
    np.testing.assert_array_equal(value, rhs(0.3, y))


@slow
def test_in_place_keeps_what_is_not_written(rng):
    """Elements that f does not write are constants: they have empty rows."""

    def f(x, out):
        out[1, 0] = out[0, 0] * x[0] * x[1]
        x[0] = 5.0  # of its own copy
        out[1, 1] = x[0] * x[1]

    x, out = np.array([2.0, 3.0]), np.full((2, 2), 10.0)
    value, matrix = ad.value_and_sparse_jacobian(f, output_argnum=1)(x, out)
    np.testing.assert_array_equal(value, [[10.0, 10.0], [60.0, 15.0]])
    assert_sparse(matrix, [[0.0, 0.0], [0.0, 0.0], [30.0, 20.0], [0.0, 5.0]])
    assert matrix.nnz == 3
    np.testing.assert_array_equal(x, [2.0, 3.0])
    np.testing.assert_array_equal(out, np.full((2, 2), 10.0))


@slow
def test_an_exception_of_the_function_comes_through(rng):
    def f(x, out):
        for i in range(x.size):
            out[i] = x[i] * x[i]
            if x[i] < 0.0:
                raise ValueError("negative")

    jacobian = ad.sparse_jacobian(f, output_argnum=1)
    for _ in range(3):
        with pytest.raises(ValueError, match="negative"):
            jacobian(np.array([1.0, -1.0]))
        assert_sparse(jacobian(np.array([1.0, 3.0])), np.diag([2.0, 6.0]))


# Blocks.


def with_blocks(x, a):
    m = x.reshape((2, 3)) @ (a * x[0])
    y = np.empty(8)
    for i in range(4):
        y[i] = m[i // 2, i % 2]
    y[4] = x[5] * x[5]
    y[5] = m[0, 0] * x[4]
    y[6] = x[1]
    y[7] = 1.0
    return y


@slow
@pytest.mark.parametrize("method", METHODS)
def test_blocks(method, rng):
    """They do not tell their operands: what depends on one may depend on every input."""
    jacobian = ad.sparse_jacobian(with_blocks, method=method)
    for _ in range(3):
        x, a = rng.normal(size=6), rng.normal(size=(3, 2))
        found = jacobian(x, a)
        assert_sparse(found, dense(with_blocks, x, a))
        np.testing.assert_array_equal(np.diff(found.indptr), [6, 6, 6, 6, 1, 6, 1, 0])
    zero = np.zeros(6)
    assert jacobian(zero, a).nnz == found.nnz


@slow
def test_checkpoints(rng):
    def step(u):
        v = u.copy()
        for i in range(1, u.size):
            v[i] = u[i] * u[i - 1]
        return v

    checkpointed = ad.checkpoint(step)

    def f(x):
        return checkpointed(checkpointed(x)) + x

    x = rng.normal(size=10)
    jacobian = ad.sparse_jacobian(f)
    for _ in range(2):
        assert_sparse(jacobian(x), dense(lambda x: step(step(x)) + x, x))


@pytest.mark.slow
def test_singular_partials():
    """What is multiplied by an exact zero is zero; everything else is IEEE arithmetic."""

    def f(x):
        root, ratio = np.sqrt(x[0]), x[1] / x[2]
        stored = np.empty(2)  # what is stored has a row of its own
        stored[0], stored[1] = root * 3.0, ratio * ratio
        a, b = stored[0], stored[1]
        return np.array([a, a * 0.0, math.log(x[0]), b * x[3], b * b + root, a - a])

    x = np.array([0.0, 1.0, 1e-310, 2.0])  # x[1] / x[2] and its partials are infinite
    with np.errstate(all="ignore"):
        for method in METHODS:
            found = ad.sparse_jacobian(f, method=method)(x).toarray()
            expected = ad.jacobian(f, mode="reverse")(x)
            np.testing.assert_array_equal(found, expected)
    assert expected[0, 0] == np.inf
    assert expected[1, 0] == 0.0
    np.testing.assert_array_equal(expected[3], [0.0, np.inf, -np.inf, np.inf])


# Shapes and arguments.


@slow
def test_arguments_of_every_kind():
    def f(p, x, k):
        a, (b, c) = p
        return [a * b[0], x * c * b[1], float(k)]

    p = (2.0, (np.array([3.0, 5.0]), 7.0))
    expected = np.array([[3.0, 2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 77.0, 55.0, 35.0], [0.0] * 5])
    found = ad.sparse_jacobian(f, (0, 1))(p, 11.0, 4)
    assert_sparse(found, expected)
    assert_sparse(ad.sparse_jacobian(f, -2)(p, 11, 4), expected[:, 4:])
    assert ad.sparse_jacobian(f, -2) is ad.sparse_jacobian(f, 1)
    assert str(inspect.signature(ad.sparse_jacobian(f))) == "(p, x, k)"


@slow
def test_small_shapes():
    assert_sparse(ad.sparse_jacobian(lambda x: x**2)(3.0), [[6.0]])
    assert_sparse(ad.sparse_jacobian(lambda x: 4.0)(3.0), [[0.0]])
    assert_sparse(ad.sparse_jacobian(lambda x: np.ones(3))(np.ones(2)), np.zeros((3, 2)))

    def squared(x):
        y = np.empty_like(x)
        for i in range(x.size):
            y[i] = x[i] * x[i]
        return y

    for method in METHODS:
        jacobian = ad.sparse_jacobian(squared, method=method)
        assert_sparse(jacobian(np.zeros(0)), np.zeros((0, 0)))
        for n in (1, 2, 8, 9):
            x = np.arange(n) + 1.0
            assert_sparse(jacobian(x), np.diag(2.0 * x))


@slow
def test_single_precision():
    x = np.array([1.0, 2.0, 3.0], np.float32)
    found = ad.sparse_jacobian(lambda x: x[1:] * x[:-1])(x)
    assert_sparse(found, [[2.0, 1.0, 0.0], [0.0, 3.0, 2.0]])


# Which method is taken.


def chain(x):
    """Return two sums, written into an array: gradients of n intermediate rows of i entries."""
    s = np.zeros(2)
    for i in range(x.size):
        s[i % 2] = s[i % 2] * 0.5 + x[i] * x[i]
    return s


def arrow(x):
    y = np.empty(x.size)
    y[0] = 0.0
    for i in range(1, x.size):
        y[i] = x[0] * x[i]
        y[0] = y[0] + x[i] * x[0]
    return y


def kind_of(f, x, method="auto"):
    jacobian = ad.sparse_jacobian(f, method=method)
    assert_sparse(jacobian(x), dense(f, x))
    return jacobian._analysis[0][program.KIND]


@slow
def test_the_cheaper_method_is_taken(rng):
    """A chain of n statements has n^2 / 2 multiplications, or two lanes of one sweep."""
    x = rng.normal(size=300)
    assert kind_of(chain, x) == program.SWEEP
    assert kind_of(chain, x, "elimination") == program.ELIMINATE
    assert kind_of(arrow, x, "coloring") == program.SWEEP
    assert kind_of(products, x) == program.GATHER


def products(x):
    return x[1:] * x[:-1]


def outputs_of_outputs(x):
    """Return as many numbers as entries of the tape: each, but the first, of the one before."""
    y = np.zeros(3)
    y[0] = np.sin(x[0])
    y[1] = np.cos(y[0])
    y[2] = np.exp(y[1])
    return y


@pytest.mark.parametrize("method", METHODS)
def test_outputs_that_depend_on_others_alone(method, rng):
    jacobian, x = ad.sparse_jacobian(outputs_of_outputs, method=method), rng.normal(size=1)
    first, second = math.sin(x[0]), math.cos(math.sin(x[0]))
    slopes = np.cumprod([math.cos(x[0]), -math.sin(first), math.exp(second)])
    for _ in range(2):
        assert_sparse(jacobian(x), slopes.reshape(3, 1))


def pairs(x, left, right):
    y = np.zeros(left.size)
    for k in range(left.size):
        y[k] = x[left[k]] * np.exp(x[right[k]])
    return y


def test_entries_of_one_place_are_added(rng):
    """The tape is the Jacobian while the two operands differ; where they do not, it is not."""
    x = rng.normal(size=4)
    jacobian = ad.sparse_jacobian(pairs)
    for left, right in (([0, 3, 1], [2, 0, 2]), ([0, 3, 1], [2, 3, 1]), ([2, 2, 0], [0, 1, 3])):
        a, b = np.array(left), np.array(right)
        expected = np.zeros((3, 4))
        np.add.at(expected, (range(3), a), np.exp(x[b]))
        np.add.at(expected, (range(3), b), x[a] * np.exp(x[b]))
        for _ in range(2):
            assert_sparse(jacobian(x, a, b), expected)


# Patterns and prepared Jacobians.


def two_branches(x):
    y = np.zeros(3)
    for i in range(3):
        y[i] = x[i] * x[i]
    if x[0] > 0.0:
        y[1] = y[1] * x[2]
    elif x[0] < -1.0:
        y[2] = x[0] * x[1]
    return y


def test_prepared_jacobian(rng):
    wide = np.array([1.0, 2.0, 3.0])
    narrow, other = np.array([-0.5, 2.0, 3.0]), np.array([-2.0, 2.0, 3.0])
    prepared = ad.prepare_sparse_jacobian(two_branches, wide)
    pattern = prepared.pattern
    assert pattern.dtype == np.bool_
    np.testing.assert_array_equal(
        pattern.toarray(), [[True, False, False], [False, True, True], [False, False, True]]
    )
    for x in (wide, narrow, narrow, 2.0 * wide):
        found = prepared(x)
        assert_sparse(found, dense(two_branches, x))
        np.testing.assert_array_equal(found.indices, pattern.indices)
        np.testing.assert_array_equal(found.indptr, pattern.indptr)
        assert not found.indices.flags.writeable  # shared by all results
    for _ in range(2):
        with pytest.raises(PatternError, match="outside of the prepared pattern"):
            prepared(other)
        assert_sparse(prepared(wide), dense(two_branches, wide))
    sparsity = ad.jacobian_sparsity(two_branches)
    np.testing.assert_array_equal(sparsity(wide).toarray(), pattern.toarray())
    assert sparsity(np.array([0.0, 0.0, 0.0])).nnz == 3


@slow
def test_prepared_for_another_size(rng):
    prepared = ad.prepare_sparse_jacobian(medley, rng.normal(size=6))
    with pytest.raises(PatternError, match="shape"):
        prepared(rng.normal(size=7))


# Hessians.


def energy(x):
    """Return a sum with a band, a corner, linear terms and cubes (flat at 0)."""
    s = x[0] * x[x.size - 1] + 3.0 * x[1]
    for i in range(x.size - 1):
        s += np.exp(0.3 * x[i]) * x[i + 1]
    for i in range(3, x.size):
        s += x[i] ** 3
    return s


def energy_pattern(n):
    pattern = np.eye(n, k=1, dtype=bool) | np.eye(n, k=-1, dtype=bool) | np.eye(n, dtype=bool)
    pattern[0, -1] = pattern[-1, 0] = True
    return pattern


@slow
@pytest.mark.parametrize("method", METHODS)
def test_hessian(method, rng):
    hessian, expected = ad.sparse_hessian(energy, method=method), ad.hessian(energy, mode="forward")
    for n in (7, 7, 12, 7):
        x = rng.normal(size=n)
        found = hessian(x)
        assert_sparse(found, expected(x))
        np.testing.assert_array_equal(found.toarray(), found.toarray().T)
        np.testing.assert_array_equal(
            ad.hessian_sparsity(energy)(0.0 * x).toarray(), energy_pattern(n)
        )


def test_prepared_hessian(rng):
    prepared = ad.prepare_sparse_hessian(energy, np.zeros(9))
    np.testing.assert_array_equal(prepared.pattern.toarray(), energy_pattern(9))
    sparsity = ad.hessian_sparsity(energy)(np.zeros(9))
    np.testing.assert_array_equal(sparsity.toarray(), energy_pattern(9))
    assert prepared.colors.max() < 5
    for _ in range(3):
        x = rng.normal(size=9)
        found = prepared(x)
        assert_sparse(found, ad.hessian(energy, mode="forward")(x))
        np.testing.assert_array_equal(found.indices, prepared.pattern.indices)
    with pytest.raises(PatternError, match="9 inputs"):
        prepared(np.zeros(8))


@slow
def test_prepared_hessian_refuses_a_larger_pattern():
    """A diagonal pattern takes one color: only the probe can tell what else there is."""

    def f(x, coupled):
        s = x[0] ** 2 + x[1] ** 4 + x[2] ** 2
        if coupled:
            s += 1e-6 * x[1] * x[2]
        return s

    x = np.array([1.0, 2.0, 3.0])
    prepared = ad.prepare_sparse_hessian(f, x, False)
    assert_sparse(prepared(x, False), np.diag([2.0, 48.0, 2.0]))
    with pytest.raises(PatternError, match="outside of the prepared pattern"):
        prepared(x, True)
    both = ad.prepare_sparse_hessian(f, x, True)
    assert both(x, False).nnz == 5
    assert_sparse(both(x, False), np.diag([2.0, 48.0, 2.0]))


@slow
def test_hessian_of_tuples_and_arrays():
    def f(p, scale):
        a, b = p
        return scale * a * np.sum(b * b)

    found = ad.sparse_hessian(f)((2.0, np.array([1.0, 3.0])), 10.0)
    assert_sparse(found, [[0.0, 20.0, 60.0], [20.0, 40.0, 0.0], [60.0, 0.0, 40.0]])
    assert found.nnz == 6
    prepared = ad.prepare_sparse_hessian(f, (2.0, np.array([1.0, 3.0])), 10.0)
    assert_sparse(prepared((2.0, np.array([1.0, 3.0])), 10.0), found.toarray())


@pytest.mark.slow
def test_options_are_checked():
    for made in (ad.sparse_jacobian, ad.value_and_sparse_jacobian, ad.sparse_hessian):
        with pytest.raises(ArgumentError, match="method is 'dense'"):
            made(rhs, method="dense")
    with pytest.raises(
        ArgumentError,
        match=r"output_argnum asks for argument 3, but rhs_in_place .* with 3 arguments",
    ):
        ad.sparse_jacobian(rhs_in_place, 1, output_argnum=3)
    with pytest.raises(ArgumentError, match="one of the arguments to differentiate"):
        ad.sparse_jacobian(rhs_in_place, 1, output_argnum=1)
    with pytest.raises(ArgumentError, match="expected an array"):
        ad.sparse_jacobian(rhs_in_place, 1, output_argnum=0)(0.5, np.ones(3), np.ones(3))
    with pytest.raises(ArgumentError, match="complex"):
        ad.sparse_jacobian(rhs, 1)(0.0, np.ones(3) * 1j)
    with pytest.raises(NotScalarError):
        ad.sparse_hessian(products)(np.ones(3))
    assert ad.sparse_jacobian(rhs, 1) is ad.sparse_jacobian(rhs, -1)
    assert ad.sparse_hessian(energy) is ad.sparse_hessian(energy)
