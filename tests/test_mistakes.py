"""One mistake, one message: the same class and the same words in every transform and mode."""

import gc
import math
import operator
import re

import numba
import numpy as np
import pytest
from test_interface import ROWS, use

import dualtape as ad

X, Y = np.array([1.5, -0.5, 2.0]), 3.0
MANY = np.linspace(0.5, 1.5, 50)  # inputs that "auto" takes reverse mode for
LINES = 10
SCALAR = ("grad", "value_and_grad", "hessian", "value_grad_hessian", "hvp")
SPARSE_SCALAR = ("sparse_hessian", "hessian_sparsity", "prepare_sparse_hessian")
WITH_ARGNUMS = [name for name in ROWS if ROWS[name].argnums != "all"]
WITH_MODE = [name for name in ROWS if len(ROWS[name].modes) > 1]
WITH_METHOD = [
    "sparse_jacobian",
    "value_and_sparse_jacobian",
    "prepare_sparse_jacobian",
    "sparse_hessian",
]
PREPARED = ("prepare_sparse_jacobian", "prepare_sparse_hessian")
CALLABLES = ["checkpoint", "record", "implicit_root", "implicit_minimum"]


@pytest.fixture(autouse=True, scope="module")
def no_tape_stays():
    """Tracebacks keep pullbacks, which have leased a tape."""
    yield
    gc.collect()


def f(x, y):
    return np.sum(x * x) * y


def vector(x, y):
    return x * y


def text(x, y):
    return "a"


def with_options(x, **options):
    return x


def used(f, *args, **options):
    return lambda name: use(name, f, *args, **options)


NO_NUMBER = r"derivatives need a real number, a real array, or a tuple of these\."
MISTAKES = {
    # What is differentiated.
    "no function": (
        [*ROWS, *CALLABLES],
        lambda name: getattr(ad, name)(3, *([(X,), (X,)] if name == "jvp" else [X] * needs(name))),
        ad.ArgumentError,
        r"{name}: expected a Python function or an njit function, got 3 of type int\.$",
    ),
    "an object that is callable": (
        ROWS,
        used(operator.itemgetter(0), X),
        ad.ArgumentError,
        r"{name}: expected a Python function .* Write a plain function \(def or lambda\)",
    ),
    "any keyword": (
        ROWS,
        used(with_options, X),
        ad.ArgumentError,
        r"{name}: with_options takes keyword arguments of any name",
    ),
    # Options.
    "argnums of a wrong kind": (
        WITH_ARGNUMS,
        used(f, X, Y, argnums=True),
        ad.ArgumentError,
        r"{name}: argnums is True; expected an argument number, or a tuple or list of",
    ),
    "argnums out of range": (
        WITH_ARGNUMS,
        used(f, X, Y, argnums=5),
        ad.ArgumentError,
        r"{name}\(f\): argnums asks for argument 5, but f is a function with 2 arguments\.$",
    ),
    "one argument twice": (
        [name for name in WITH_ARGNUMS if name != "derivative"],
        used(f, X, Y, argnums=[1, -1]),
        ad.ArgumentError,
        r"{name}\(f\): argnums \(1, 1\) names one argument twice\.$",
    ),
    "unknown mode": (
        WITH_MODE,
        used(f, X, Y, mode="sideways"),
        ad.ArgumentError,
        r"{name}: mode is 'sideways'; expected one of \('auto', 'forward', 'reverse'\)$",
    ),
    "bad chunk size": (
        WITH_MODE,
        used(f, X, Y, chunk_size=3),
        ad.ArgumentError,
        r"{name}: chunk_size is 3; expected one of \(1, 2, 4, 8, 16\)$",
    ),
    "chunk size of a wrong kind": (
        WITH_MODE,
        used(f, X, Y, chunk_size=True),
        ad.ArgumentError,
        r"{name}: chunk_size is True; expected one of \(1, 2, 4, 8, 16\)$",
    ),
    "unknown method": (
        WITH_METHOD,
        used(f, X, Y, method="dense"),
        ad.ArgumentError,
        r"{name}: method is 'dense'; expected one of \(",
    ),
    "unknown option": (
        [name for name in ROWS if name != "vjp"],
        used(f, X, Y, chunks=4),
        TypeError,
        r".*unexpected keyword argument 'chunks'",
    ),
    # Arguments.
    "too few arguments": (
        [name for name in ROWS if name != "derivative"],
        lambda name: use(name, f, X, prepared_at=(X, Y)),
        TypeError,
        r"({name}\(f\): )?not enough arguments: expected 2, got 1$",
    ),
    "too many arguments": (
        [name for name in ROWS if name != "derivative"],
        lambda name: use(name, f, X, Y, 1.0, prepared_at=(X, Y)),
        TypeError,
        r"({name}\(f\): )?too many arguments: expected 2, got 3$",
    ),
    "a complex argument": (
        ROWS,
        lambda name: use(name, f, X + 0j, Y, prepared_at=(X, Y)),
        ad.ArgumentError,
        r"{name}\(f\): (argument 0|a primal).* is complex \(complex128\); " + NO_NUMBER,
    ),
    "a string": (
        ROWS,
        lambda name: use(name, f, "abc", Y, prepared_at=(X, Y)),
        ad.ArgumentError,
        r"{name}\(f\): (argument 0|a primal).* is 'abc' of type str; " + NO_NUMBER,
    ),
    "an argument without a type": (
        [name for name in ROWS if name not in ("derivative", "jvp", "vjp", "check_grad")],
        lambda name: use(name, f, X, [], prepared_at=(X, Y)),
        ad.ArgumentError,
        r"{name}\(f\): argument 1 is \[\] of type list, which Numba cannot type",
    ),
    "no numbers": (
        [name for name in ROWS if name not in ("jvp", "vjp", "check_grad", *PREPARED)],
        used(f, (), Y),
        ad.ArgumentError,
        r"{name}\(f\): the arguments to differentiate hold no numbers\.$",
    ),
    # Results.
    "no scalar": (
        [*SCALAR, *SPARSE_SCALAR],
        used(vector, X, Y),
        ad.NotScalarError,
        r"{name}\(vector\): the function returns an array of 1 dimension, and a scalar is needed; "
        r"use (value_and_)?jacobian\.$",
    ),
    "no numbers are returned": (
        [name for name in ROWS if name not in (*SCALAR, *SPARSE_SCALAR, "check_grad")],
        lambda name: use(name, text, Y if name == "derivative" else X, Y),
        ad.NotScalarError,
        r"{name}\(text\): the function returns a result of type .*; expected a number, an array, "
        "or a tuple or list of numbers",
    ),
}
for _mode in ("forward", "reverse"):
    MISTAKES[f"no scalar, {_mode}"] = (
        SCALAR,
        used(vector, X, Y, mode=_mode),
        *MISTAKES["no scalar"][2:],
    )


def needs(name):
    return name in ("vjp", "check_grad", "record", *PREPARED)


def raises(error, message, call):
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error or error is TypeError
    assert re.match(message, str(caught.value)), str(caught.value)
    assert len(str(caught.value).splitlines()) <= LINES


@pytest.mark.parametrize(
    ("mistake", "name"), [(mistake, name) for mistake in MISTAKES for name in MISTAKES[mistake][0]]
)
def test_one_mistake_has_one_message(mistake, name):
    _, call, error, message = MISTAKES[mistake]
    raises(error, message.format(name=name), lambda: call(name))


# Directions and cotangents


@numba.njit
def total(x):
    return np.sum(x * x * x)


@numba.njit
def jvp_in_njit(x, v):
    return ad.jvp(total, (x,), (v,))


@numba.njit
def vjp_in_njit(x, v):
    _, pullback = ad.vjp(doubled, x)
    return pullback(v)


@numba.njit
def hvp_in_njit(x, v):
    return ad.hvp(total)(x, v)


@numba.njit
def doubled(x):
    return 2.0 * x


ALONG = {
    "jvp": lambda x, v: ad.jvp(total, (x,), (v,)),
    "jvp in njit": jvp_in_njit,
    "hvp": ad.hvp(total),
    "hvp forward": ad.hvp(total, mode="forward"),
    "hvp reverse": ad.hvp(total, mode="reverse"),
    "hvp in njit": hvp_in_njit,
    "vjp": lambda x, v: ad.vjp(doubled, x)[1](v),
    "vjp in njit": vjp_in_njit,
}
ONE_OF_THEM = r"(the direction|a tangent|a cotangent)"
WRONG = {
    "shape": (X[:2], ad.ArgumentValueError, "every array in the {what} must have the shape of "),
    "structure": ((X, X), ad.ArgumentError, "the {what} .* does not have the structure of the "),
    "number": (1.0, ad.ArgumentError, "the {what} .* does not have the structure of the "),
    "complex": (1j * X, ad.ArgumentError, ONE_OF_THEM + r" is complex .*; " + NO_NUMBER),
    "string": ("a", ad.ArgumentError, ONE_OF_THEM + r" is 'a' of type str; " + NO_NUMBER),
}


CONVERTED = ("complex", "string")  # compiled code converts nothing: there Numba's types tell


@pytest.mark.parametrize(
    ("along", "wrong"),
    [(a, w) for a in ALONG for w in WRONG if not (a.endswith("njit") and w in CONVERTED)],
)
def test_directions_that_do_not_fit(along, wrong):
    direction, error, message = WRONG[wrong]
    name = along.partition(" ")[0]
    what = "cotangent" if name == "vjp" else "direction"
    function = "doubled" if name == "vjp" else "total"
    message = rf"{name}\({function}\): " + message.format(what=what)
    for x in (X, MANY):
        raises(error, message, lambda x=x: ALONG[along](x, direction))
    assert ALONG[along](X, np.ones(3)) is not None


def test_numbers_of_a_wrong_shape():
    raises(
        ad.ArgumentValueError,
        "HyperDual: e12 holds 3 derivatives; e1 and e2 ask for 2 x 1$",
        lambda: ad.HyperDual(1.0, (1.0, 0.0), 1.0, (1.0, 2.0, 3.0)),
    )


# In compiled code


def compiled(source):
    space = {"ad": ad, "total": total, "doubled": doubled}
    exec(source, space)
    return numba.njit(space["g"])


IN_NJIT = {
    "def g(x): return ad.{name}(total, argnums=3)(x)": (
        r"{name}\(total\): argnums asks for argument 3, but total is a function with 1 argument\.$"
    ),
    "def g(x): return ad.{name}(total, mode='sideways')(x)": r"{name}: mode is 'sideways'; ",
    "def g(x): return ad.{name}(total, chunk_size=3)(x)": r"{name}: chunk_size is 3; expected one",
}


@pytest.mark.parametrize("source", IN_NJIT)
@pytest.mark.parametrize("name", WITH_MODE)
def test_options_in_compiled_code(name, source):
    call = compiled(source.format(name=name))
    raises(ad.ArgumentError, IN_NJIT[source].format(name=name), lambda: call(X))


def test_math_functions_are_functions():
    assert ad.grad(math.sin)(0.0) == 1.0
