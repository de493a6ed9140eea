"""A warning tells, once, of results that depend on inputs through comparisons only."""

import warnings

import numpy as np
import pytest

import dualtape as ad
from dualtape.twin import comparisons

X = np.array([0.3, 0.7])
LINE = r"line (\d+) of .*test_comparisons\.py: the result of {} depends on its inputs through"


def bisection():
    def root(x):
        a, b = 0.0, 2.0
        for _ in range(60):
            m = 0.5 * (a + b)
            if m * m > x[0]:  # here
                b = m
            else:
                a = m
        return a

    return root


def step():
    return lambda x: 1.0 if x[0] > x[1] else 0.0


def by_helper():
    root = bisection()
    return lambda x: root(x) * x[1]


def count_of_lists():
    def f(x):
        s = 0.0
        for v in x:
            if v > 0.5:
                s += 1.0
        return [s, 2.0]

    return f


@pytest.fixture(autouse=True)
def _nothing_told_yet():
    comparisons._TOLD.clear()  # the functions of these tests share their code


TRANSFORMS = {
    "grad": lambda f: ad.grad(f)(X),
    "reverse": lambda f: ad.grad(f, mode="reverse")(X),
    "hessian": lambda f: ad.hessian(f)(X),
    "jacobian": lambda f: ad.jacobian(f)(X),
    "jvp": lambda f: ad.jvp(f, (X,), (X,)),
    "minimize": lambda f: ad.optimize.minimize(f, X, method="bfgs", options={"maxiter": 1}),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_a_bisection(transform):
    f = bisection()
    with pytest.warns(ad.DualtapeWarning, match=LINE.format("root")) as caught:
        TRANSFORMS[transform](f)
    assert len(caught) == 1
    line = int(str(caught[0].message).split("line ")[1].split(" ")[0])
    with open(__file__, encoding="utf-8") as file:
        assert file.readlines()[line - 1].endswith("# here\n")
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TRANSFORMS[transform](f)  # once


@pytest.mark.parametrize(
    ("make", "transform", "name"),
    [(step, "grad", "<lambda>"), (count_of_lists, "jacobian", "f"), (by_helper, "grad", "root")],
)
def test_other_functions(make, transform, name):
    with pytest.warns(ad.DualtapeWarning, match=LINE.format(name)):
        TRANSFORMS[transform](make())


def constant(x):
    return 2.0


def index_of_largest(x):
    return x[np.argmax(x)] * (2.0 if x[0] > x[1] else 3.0)


def sign(x):
    return 1.0 if x > 0.0 else -1.0


def step_in_a_helper(x):
    return sign(x[0]) * x[1]


def count_in_a_helper(x):
    return how_many(x) * x[0]


def how_many(x):
    n = 0
    for v in x:
        if v > 0.5:
            n += 1
    return n


def rounded(x):
    return np.floor(x[0] * 10.0) if x[0] > 0.2 else 0.0


@pytest.mark.parametrize(
    "f", [constant, index_of_largest, step_in_a_helper, count_in_a_helper, rounded]
)
def test_no_warning(f):
    for mode in ("forward", "reverse"):
        ad.grad(f, mode=mode)(X)  # warnings are errors in these tests
