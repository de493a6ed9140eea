"""Derivatives by records and structured arrays, against differences of Numba's own code."""

import numba
import numpy as np
import pytest

import dualtape as ad

X = np.array([0.3, 0.7])
MODEL = np.dtype([("alpha", "f8"), ("beta", "f8"), ("w", "f8", (3,))])
RECORD = np.array((2.0, 0.5, [1.0, 2.0, 4.0]), MODEL)[()]
TABLE = np.zeros(4, [("a", "f8"), ("b", "f8"), ("c", "f8", (2,))])
TABLE["a"], TABLE["b"] = [1.0, 2.0, 3.0, 4.0], [0.5, 0.25, 2.0, 1.5]
TABLE["c"] = np.arange(8.0).reshape(4, 2) / 7.0


def record(p):
    s = p["alpha"] ** 2 * p.beta
    for v in p["w"]:
        s += v * v * p.alpha
    return s + np.sum(p.w) * p["beta"]


@numba.njit
def runoff(p, rain):
    return rain * p["alpha"] + p["w"][1] * np.exp(-p["beta"] * rain)


def record_in_helpers(p):
    s = 0.0
    for k in range(3):
        s += runoff(p, float(k)) ** 2
    return s


def table_by_positions(p):
    s = 0.0
    for i in range(len(p)):
        s += p[i].a * p["b"][i] ** 2 + p[i]["c"][1] * p[0]["a"]
    return s + p[-1].b * p.shape[0]


def table_by_elements(p):
    s = 0.0
    for row in p:
        s += row["a"] * row.b + row["c"][0] * row.c[1]
    return s


def table_by_fields(p):
    return np.sum(p["a"] * p.b) + np.sum(p["c"] ** 2) * p.size


@numba.njit
def total(q, k):
    s = 0.0
    for i in range(q.shape[0]):
        s += q[i]["a"] ** k
    return s


def table_in_helpers(p):
    table = p
    return total(table, 2) * total(p, 3)


def number_of_an_element(row):
    return row.a * row["b"]


def table_to_rows(p):
    s = 0.0
    for i in range(p.size):
        row = p[i]
        s += number_of_an_element(row) * row.a
    return s


CASES = {
    f.__name__: (f, RECORD if "record" in f.__name__ else TABLE)
    for f in (
        record,
        record_in_helpers,
        table_by_positions,
        table_by_elements,
        table_by_fields,
        table_in_helpers,
        table_to_rows,
    )
}


def differences(f, p):
    """Return central differences, extrapolated, as a record or structured array of the same."""
    flat = np.atleast_1d(np.array(p))
    numbers = flat.view(np.float64).copy()

    def value(v):
        changed = v.view(flat.dtype)
        return f(changed if getattr(p, "ndim", 0) else changed[0])

    def central(h):
        steps = np.eye(numbers.size) * h
        return np.array([(value(numbers + e) - value(numbers - e)) / (2.0 * h) for e in steps])

    result = ((4.0 * central(1e-4) - central(2e-4)) / 3.0).view(flat.dtype)
    return result if getattr(p, "ndim", 0) else result[0]


@pytest.mark.parametrize("mode", ["forward", "reverse"])
@pytest.mark.parametrize("name", CASES)
def test_gradients(name, mode):
    f, p = CASES[name]
    plain = numba.njit(f if name != "table_to_rows" else table_by_positions)
    if name == "table_to_rows":

        def plain(p):
            return np.sum(p["a"] ** 2 * p["b"])

    value, gradient = ad.value_and_grad(f, mode=mode)(p)
    expected = differences(plain, p)
    np.testing.assert_allclose(value, plain(p), rtol=1e-15)
    assert type(gradient) is type(p)
    assert gradient.dtype == p.dtype
    for field in p.dtype.names:
        np.testing.assert_allclose(gradient[field], expected[field], rtol=1e-8, atol=1e-9)


def test_other_types_and_transforms():
    mixed = np.array((2, 3.0), [("n", "i4"), ("x", "f4")])[()]

    def f(p, scale):
        return p.n**2 * p["x"] * scale

    gradient = ad.grad(f)(mixed, 2.0)
    assert gradient.dtype.names == mixed.dtype.names
    assert (gradient["n"], gradient["x"]) == (24.0, 8.0)
    by_both = ad.grad(f, argnums=(0, 1))(mixed, 2.0)
    assert by_both[1] == 12.0
    assert by_both[0]["x"] == 8.0
    nested = np.array(((1.5, 2.0), 3.0), [("inner", [("u", "f8"), ("v", "f8")]), ("z", "f8")])[()]
    gradient = ad.grad(lambda p: p["inner"]["u"] * p.inner.v * p.z)(nested)
    assert gradient["inner"]["u"] == 6.0
    assert gradient["inner"]["v"] == 4.5
    assert gradient["z"] == 3.0
    second = ad.hessian(lambda p: p["alpha"] ** 2 * p["beta"])(RECORD)
    assert second.alpha["alpha"] == 2.0 * RECORD["beta"]
    assert second.beta["alpha"] == 2.0 * RECORD["alpha"]


def test_every_structure_around_a_record():
    def f(pair):
        return pair[0].alpha * pair[1] ** 2

    record, number = ad.grad(f)((RECORD, 3.0))
    assert (record["alpha"], record["beta"], number) == (9.0, 0.0, 2.0 * 3.0 * 2.0)
    assert record.dtype == MODEL
    value, pullback = ad.vjp(lambda p: p.alpha**2 * p["beta"], RECORD)
    [cotangent] = pullback(2.0)
    assert value == 2.0
    assert (cotangent["alpha"], cotangent["beta"]) == (4.0, 8.0)
    assert cotangent["w"].tolist() == [0.0, 0.0, 0.0]
    product = ad.hvp(lambda p: p.alpha**2 * p["beta"])(RECORD, RECORD)
    assert (product["alpha"], product["beta"]) == (4.0, 8.0)
    value, tangent = ad.jvp(lambda p: p.alpha**2 * p["beta"], (RECORD,), (RECORD,))
    assert (value, tangent) == (2.0, 6.0)


def test_a_record_that_is_a_constant():
    def f(x, p):
        return p["alpha"] * x[0] ** 2 + p.w[1] * x[1]

    for mode in ("forward", "reverse"):
        assert ad.grad(f, mode=mode)(X, RECORD).tolist() == [2.0 * 2.0 * X[0], 2.0]


def test_fields_that_are_written_to():
    def f(p):
        p["a"][0] = p["b"][1] * p["b"][1]
        return p["a"][0] * p["a"][1]

    before = TABLE.copy()
    for mode in ("forward", "reverse"):
        gradient = ad.grad(f, mode=mode)(TABLE)
        assert gradient["a"].tolist() == [0.0, 0.0625, 0.0, 0.0]
        assert gradient["b"].tolist() == [0.0, 1.0, 0.0, 0.0]
    assert (before == TABLE).all()


def part(p):
    return np.sum(p[1:3].a)


def zipped(p):
    s = 0.0
    for row, k in zip(p, range(2), strict=False):
        s += row.a * k
    return s


def renamed(p):
    q = p
    if p.a[0] > 0.0:
        q = p
    return q[0].a


def misnamed(p):
    return p["nothing"][0]


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (part, "a part of a structured array"),
        (zipped, "uses a structured array as a whole"),
        (renamed, "is assigned again"),
        (misnamed, "nothing"),
    ],
)
def test_refused(f, message):
    for mode in ("forward", "reverse"):
        with pytest.raises(ad.DualtapeError, match=message):
            ad.grad(f, mode=mode)(TABLE)
