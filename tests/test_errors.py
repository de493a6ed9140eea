"""What goes wrong is told in one line: what, in which function and line, what to do instead."""

import builtins
import functools
import inspect
import math
import operator
import os
import re
import runpy
from pathlib import Path

import numba
import numpy as np
import pytest
import scipy.special
from scenarios import assert_close

import dualtape as ad
from dualtape.functions.libraries import is_package_file

X = np.array([1.5, -0.5, 2.0])


def sum_of_squares(x):
    return np.sum(x * x)


def product(x, y):
    return x[0] * y


def square(t):
    return t * t


@pytest.fixture(autouse=True)
def next_call_is_right():
    """After every error the same transforms work, old ones and new ones."""
    old = ad.grad(sum_of_squares)
    yield
    assert_close(old(X), 2.0 * X)
    assert ad.derivative(square)(3.0) == 6.0


def marked_line(f):
    """Return the number of the line of f that says ``# here``."""
    lines, start = inspect.getsourcelines(f)
    return next(start + i for i, line in enumerate(lines) if line.rstrip().endswith("# here"))


def told(error, message, call, line_of=None):
    """Check class and first line of the error that `call` raises; return it."""
    with pytest.raises(ad.DualtapeError) as caught:
        call()
    assert type(caught.value) is error
    first = str(caught.value).splitlines()[0]
    assert re.search(message, first), first
    if line_of is not None:
        assert f"line {marked_line(line_of)} " in first, first
        assert "test_errors.py" in first, first
    return caught.value


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (ad.ArgumentError, TypeError),
        (ad.NotScalarError, TypeError),
        (ad.IntegerConversionError, TypeError),
        (ad.MixedNumbersError, TypeError),
        (ad.MissingRuleError, TypeError),
        (ad.UnsupportedFunctionError, TypeError),
        (ad.DerivativeMismatchError, AssertionError),
    ],
    ids=lambda e: e.__name__,
)
def test_errors_are_also_python_errors(error, builtin):
    assert issubclass(error, ad.DualtapeError)
    assert issubclass(error, builtin)
    assert error.__doc__


# Results that are not scalars

NOT_SCALAR = {
    "vector": (lambda x: 2.0 * x, "an array of 1 dimension,"),
    "matrix": (lambda x: np.outer(x, x), "an array of 2 dimensions,"),
    "tuple": (lambda x: (x[0], x[1]), "a result of type"),
    "list": (lambda x: [x[0], x[1]], "a result of type"),
    "none": (lambda x: None, "a result of type none"),
    "string": (lambda x: "a", "a result of type"),
}


@pytest.mark.parametrize("kind", NOT_SCALAR)
def test_gradient_of_a_result_that_is_not_a_scalar(kind):
    f, what = NOT_SCALAR[kind]
    message = rf"grad\(<lambda>\): the function returns {what}.*a scalar is needed; use jacobian\."
    told(ad.NotScalarError, message, lambda: ad.grad(f)(X))


@pytest.mark.parametrize(
    ("transform", "neighbour"),
    [
        (ad.value_and_grad, "value_and_jacobian"),
        (ad.hessian, "jacobian"),
        (ad.value_grad_hessian, "jacobian"),
    ],
    ids=lambda t: getattr(t, "__name__", t),
)
def test_other_transforms_of_a_vector_name_the_neighbour(transform, neighbour):
    def doubled(x):
        return 2.0 * x

    message = rf"{transform.__name__}\(doubled\): .* array of 1 dimension, .*use .*{neighbour}\."
    told(ad.NotScalarError, message, lambda: transform(doubled)(X))


def test_hvp_of_a_vector():
    told(
        ad.NotScalarError,
        r"hvp\(<lambda>\): the function returns an array of 1 dimension",
        lambda: ad.hvp(lambda x: 2.0 * x)(X, X),
    )


@pytest.mark.parametrize("f", [lambda x: None, lambda x: "a", lambda x: (x, "a")])
def test_jacobian_of_what_is_not_numbers(f):
    message = (
        r"jacobian\(<lambda>\): the function returns .*expected a number, an array, or a tuple"
    )
    told(ad.NotScalarError, message, lambda: ad.jacobian(f)(X))


def test_derivative_of_an_array_argument():
    for order in (1, 2):
        told(
            ad.ArgumentError,
            r"derivative\(sum_of_squares\): the argument is array\(float64.*expected one",
            lambda order=order: ad.derivative(sum_of_squares, order)(X),
        )


def test_error_inside_njit_code():
    @numba.njit
    def doubled(x):
        return 2.0 * x

    @numba.njit
    def f(x):
        return ad.grad(doubled)(x)

    told(ad.NotScalarError, r"grad\(doubled\): the function returns an array", lambda: f(X))


def test_error_inside_a_nested_derivative():
    inner = ad.grad(lambda x: 2.0 * x)

    def f(x):
        return np.sum(inner(x))

    told(
        ad.NotScalarError, r"grad\(<lambda>\): the function returns an array", lambda: ad.grad(f)(X)
    )


# Functions without a rule


def covariance(x):
    y = 2.0 * x
    return np.cov(x, y)[0, 1]  # here


def airy_integral(x):
    return scipy.special.itairy(x[0])[0]  # here


def calls_airy_integral(x):
    return airy_integral(x) * x[1]


def dilogarithm(x):
    return scipy.special.spence(x[0])  # here


def test_numpy_function_without_a_rule():
    message = r"grad\(covariance\): line .* calls (np\.)?cov .*no derivative rule.*custom_rule"
    error = told(ad.MissingRuleError, message, lambda: ad.grad(covariance)(X), covariance)
    assert isinstance(error.__cause__, numba.core.errors.NumbaError)


@pytest.mark.parametrize("f", [airy_integral, dilogarithm], ids=lambda f: f.__name__)
def test_scipy_function_without_a_rule(f):
    name = {airy_integral: "itairy", dilogarithm: "spence"}[f]
    message = rf"calls scipy\.special\.{name}, which has no derivative rule; .*custom_rule"
    told(ad.MissingRuleError, message, lambda: ad.grad(f)(X), f)
    told(ad.MissingRuleError, message, lambda: ad.hessian(f)(X), f)


def test_function_without_a_rule_in_a_called_function():
    message = r"calls scipy\.special\.itairy, which has no derivative rule"
    told(ad.MissingRuleError, message, lambda: ad.grad(calls_airy_integral)(X), airy_integral)


# Numbers stored where plain values are kept


@numba.experimental.jitclass([("length", numba.float64)])
class Box:
    """A passive object."""

    def __init__(self):
        self.length = 1.0


def stored_in_an_object(x, box):
    box.length = x[0]  # here
    return box.length * x[1]


def stored_in_a_typed_dict(x, table):
    table[0] = x[0]  # here
    return table[0]


def test_numbers_stored_in_passive_objects():
    table = numba.typed.Dict.empty(numba.int64, numba.float64)
    message = r"stores an active number where a plain value is kept .*; store dualtape\.value\(x\)"
    for f, arg in ((stored_in_an_object, Box()), (stored_in_a_typed_dict, table)):
        told(ad.MissingRuleError, message, lambda f=f, arg=arg: ad.grad(f)(X, arg), f)


# Numbers in place of integers


def stored_as_integer(x):
    k = np.zeros(2, dtype=np.int64)
    k[0] = x[0]  # here
    return x[k[0]]


def added_to_integers(x):
    k = np.zeros(3, dtype=np.int64)
    k += x  # here
    return k[0] * x[0]


def array_of_integers(x):
    return np.array([x[0]], dtype=np.int64)[0] * x[0]  # here


def as_index(x):
    return x[x[0]]  # here


def as_range(x):
    s = 0.0
    for i in range(x[0]):  # here
        s += x[i]
    return s


@pytest.mark.parametrize(
    "f",
    [
        stored_as_integer,
        added_to_integers,
        array_of_integers,
        as_index,
        as_range,
    ],
    ids=lambda f: f.__name__,
)
def test_integers_made_of_active_numbers(f):
    message = r"active number.* integer.*write int\(x\)"
    told(ad.IntegerConversionError, message, lambda: ad.grad(f)(X), f)


def complex_inside(x):
    return (x[0] * 1j).real  # here


def test_complex_numbers_inside():
    with pytest.raises(TypeError, match=f"line {marked_line(complex_inside)} "):
        ad.grad(complex_inside)(X)


# Arguments that have no derivative

BAD_ARGUMENTS = {
    "complex-array": (X + 0j, r"complex \(complex128\)"),
    "complex": (1j, "1j of type complex"),
    "list-of-complex": ([1j, 2.0], r"complex \(complex128\)"),
    "string": ("abc", "'abc' of type str"),
    "none": (None, "None of type NoneType"),
    "dict": ({}, "{} of type dict"),
    "object-array": (np.array([1.0, "a"], dtype=object), "of dtype object"),
    "array-of-strings": (np.array(["a", "b"]), "of dtype <U1"),
    "list-of-strings": (["a"], "of dtype <U1"),
    "dates": (np.array(["2020-01-01"], dtype="M8[D]"), r"of dtype datetime64\[D\]"),
    "tuple-with-a-string": ((1.0, "a"), "'a' of type str"),
}


@pytest.mark.parametrize("kind", BAD_ARGUMENTS)
@pytest.mark.parametrize("transform", [ad.grad, ad.hessian], ids=lambda t: t.__name__)
def test_arguments_without_derivative(transform, kind):
    argument, what = BAD_ARGUMENTS[kind]
    message = rf"{transform.__name__}\(sum_of_squares\): argument 0 is {what}; .*argnums"
    told(ad.ArgumentError, message, lambda: transform(sum_of_squares)(argument))


def test_bad_argument_at_another_position():
    message = r"grad\(product\): argument 1 is 'a' of type str"
    told(ad.ArgumentError, message, lambda: ad.grad(product, 1)(X, "a"))
    told(ad.ArgumentError, message, lambda: ad.grad(product, (0, -1))(X, "a"))


def test_passive_argument_that_numba_cannot_type():
    def f(x, items):
        return x[0] * len(items)

    message = r"grad\(f\): argument 1 is \[\] of type list, which Numba cannot type"
    told(ad.ArgumentError, message, lambda: ad.grad(f)(X, []))


def test_tuple_without_numbers():
    message = r"grad\(sum_of_squares\): the arguments to differentiate hold no numbers"
    told(ad.ArgumentError, message, lambda: ad.grad(sum_of_squares)(()))


def test_ragged_list():
    with pytest.raises((ad.ArgumentError, ValueError), match=r"argument 0|inhomogeneous"):
        ad.grad(sum_of_squares)([[1.0], [1.0, 2.0]])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((X,), "not enough arguments: expected 2, got 1"),
        ((X, 1.0, 2.0), "too many arguments: expected 2, got 3"),
    ],
    ids=["few", "many"],
)
def test_number_of_arguments_is_checked_as_by_numba(args, message):
    with pytest.raises(TypeError, match=message):
        ad.grad(product)(*args)


# argnums and other options


@pytest.mark.parametrize(
    "argnums",
    [1.0, "x", True, [0, 0], (0, 0), (), [], None, (0, 1.5), (0, True), [0, True]],
    ids=repr,
)
@pytest.mark.parametrize("transform", [ad.grad, ad.jacobian, ad.hessian], ids=lambda t: t.__name__)
def test_argnums_of_a_wrong_kind(transform, argnums):
    shown = repr(tuple(argnums) if isinstance(argnums, list) else argnums)
    message = rf"{transform.__name__}: argnums is {re.escape(shown)}; expected an argument"
    told(ad.ArgumentError, message, lambda: transform(product, argnums))


@pytest.mark.parametrize("argnums", [2, 5, -3, (0, 2)], ids=repr)
def test_argnums_out_of_range(argnums):
    wrong = argnums[1] if isinstance(argnums, tuple) else argnums
    message = rf"grad\(product\): argnums asks for argument {wrong}, but .* with 2 arguments"
    told(ad.ArgumentError, message, lambda: ad.grad(product, argnums)(X, 1.0))


def test_argnums_that_name_one_argument_twice():
    told(ad.ArgumentError, "argnums", lambda: ad.grad(product, (0, -2))(X, 1.0))
    told(ad.ArgumentError, "argnums", lambda: ad.hessian(product, (-1, 1))(X, 1.0))


@pytest.mark.parametrize("order", [0, -1, 1.0, "2", None, True], ids=repr)
def test_order_of_derivative(order):
    message = rf"derivative: order is {re.escape(repr(order))}; expected a positive integer"
    told(ad.ArgumentError, message, lambda: ad.derivative(math.sin, order))


@pytest.mark.parametrize("chunk_size", [0, 3, 32, -1, 2.5, "8"], ids=repr)
@pytest.mark.parametrize("transform", [ad.grad, ad.jacobian, ad.hvp], ids=lambda t: t.__name__)
def test_chunk_size(transform, chunk_size):
    message = rf"chunk_size is {re.escape(repr(chunk_size))}; expected one of \(1, 2, 4, 8, 16\)"
    told(ad.ArgumentError, message, lambda: transform(sum_of_squares, chunk_size=chunk_size))


@pytest.mark.parametrize("transform", [ad.grad, ad.jacobian, ad.hessian], ids=lambda t: t.__name__)
def test_mode(transform):
    message = rf"{transform.__name__}: mode is 'sideways'; expected"
    told(ad.ArgumentError, message, lambda: transform(sum_of_squares, mode="sideways"))


# What is differentiated


TRANSFORMS = [
    ad.grad,
    ad.value_and_grad,
    ad.jacobian,
    ad.value_and_jacobian,
    ad.hessian,
    ad.value_grad_hessian,
    ad.derivative,
    ad.hvp,
]


@pytest.mark.parametrize("f", [3, None, "f", [math.sin]], ids=repr)
@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: t.__name__)
def test_not_callable(transform, f):
    message = (
        rf"{transform.__name__}: expected a Python function or an njit function, got "
        rf"{re.escape(repr(f))} of type {type(f).__name__}\.$"
    )
    told(ad.ArgumentError, message, lambda: transform(f))


@pytest.mark.parametrize(
    "f",
    [functools.partial(dict, y=2.0), dict, operator.itemgetter(0)],
    ids=["partial", "class", "instance"],
)
def test_callable_but_not_a_function(f):
    message = r"grad: expected a Python function .*\. Write a plain function \(def or lambda\)"
    told(ad.ArgumentError, message, lambda: ad.grad(f))


def test_jvp_of_something_else():
    told(ad.ArgumentError, "jvp: expected a Python function", lambda: ad.jvp("f", (X,), (X,)))


JVP_ARGUMENTS = {
    "counts": ((X,), (X, X)),
    "no-tangent": ((X,), ()),
    "arrays": (X, X),
    "kinds": ((X,), (1.0,)),
    "scalar-with-array": ((1.0,), (X,)),
    "structure": (((X, 1.0),), ((X,),)),
    "dimensions": ((X,), (X.reshape(3, 1),)),
    "string": ((X,), ("a",)),
}


@pytest.mark.parametrize("kind", JVP_ARGUMENTS)
def test_jvp_with_tangents_that_do_not_fit(kind):
    primals, tangents = JVP_ARGUMENTS[kind]
    told(
        ad.ArgumentError,
        r"^jvp\(<lambda>\): ",
        lambda: ad.jvp(lambda x: x, primals, tangents),
    )


def test_jvp_with_a_tangent_of_another_length():
    message = r"^jvp\(sum_of_squares\): every array in the direction must have the shape of the arg"
    told(ad.ArgumentValueError, message, lambda: ad.jvp(sum_of_squares, (X,), (X[:2],)))


def test_hvp_with_a_direction_that_does_not_fit():
    message = r"^hvp\(sum_of_squares\): every array in the direction must have the shape of the arg"
    told(ad.ArgumentValueError, message, lambda: ad.hvp(sum_of_squares)(X, X[:2]))
    told(ad.ArgumentError, r"^hvp\(sum_of_squares\): ", lambda: ad.hvp(sum_of_squares)(X, 1.0))
    told(ad.ArgumentError, r"^hvp\(sum_of_squares\): ", lambda: ad.hvp(sum_of_squares)(X, (X, X)))


# Errors of the function itself


def wrong_shapes(x):
    return np.sum(x + np.zeros(2))


def test_shapes_that_do_not_broadcast():
    expected = ad.grad(wrong_shapes)(X[:2])
    with pytest.raises(ValueError, match="broadcast"):
        ad.grad(wrong_shapes)(X)
    with pytest.raises(ValueError, match="broadcast"):
        ad.hessian(wrong_shapes)(X)
    assert_close(ad.grad(wrong_shapes)(X[:2]), expected)
    assert_close(expected, np.ones(2))


def test_matrix_products_of_wrong_shapes():
    with pytest.raises(ValueError, match="incompatible array sizes"):
        ad.jacobian(lambda x: np.ones((2, 2)) @ x)(X)


def test_negative_axis_out_of_range():
    with pytest.raises(ValueError, match="axis"):
        ad.jacobian(lambda a: np.sum(a * a, axis=2))(np.ones((2, 2)))


def test_reduction_of_nothing():
    with pytest.raises(ValueError, match=r"empty|zero-size"):
        ad.grad(lambda x: np.max(x[:0]) + x[0])(X)


# Functions that Numba cannot compile


def imports_something(x):
    import os  # noqa: PLC0415

    return x[0] * len(os.sep)


def opens_a_file(x):
    with builtins.open("name") as file:
        return x[0] * len(file.read())


def uses_an_undefined_name(x):
    return x[0] * undefined_name  # noqa: F821  # here


def uses_an_unknown_numpy_function(x):
    return np.i0(x[0])  # here


def adds_a_string(x):
    return "a" + x[0]  # here


def calls_an_unknown_method(x):
    return x.unknown()  # here


def changes_type(x):
    s = "a"
    for _ in range(3):
        s = s * x[0]
    return s


UNSUPPORTED = {
    imports_something: "imports_something",
    opens_a_file: "opens_a_file",
    uses_an_undefined_name: "undefined_name",
    uses_an_unknown_numpy_function: "i0",
    calls_an_unknown_method: "unknown",
}


@pytest.mark.parametrize("f", UNSUPPORTED, ids=lambda f: f.__name__)
def test_functions_that_numba_cannot_compile(f):
    message = rf"^grad\({f.__name__}\): .*{UNSUPPORTED[f]}"
    line_of = f if "# here" in inspect.getsource(f) else None
    error = told(ad.UnsupportedFunctionError, message, lambda: ad.grad(f)(X), line_of)
    assert error.__cause__ is not None
    assert "intrinsic" not in str(error)


@pytest.mark.parametrize("f", [adds_a_string, changes_type], ids=lambda f: f.__name__)
def test_operations_that_do_not_exist(f):
    with pytest.raises(ad.DualtapeError, match=rf"^grad\({f.__name__}\): line \d+ of") as caught:
        ad.grad(f)(X)
    assert "intrinsic" not in str(caught.value)


def test_inner_function_that_captures_the_outer_variable():
    """Numba freezes closures: the message says what to do instead."""

    def f(x):
        def inner(y):
            return np.sum(y * y) * x[0]

        return np.sum(ad.grad(inner)(x))

    told(ad.ArgumentError, "pass what varies as arguments", lambda: ad.grad(f)(X))


def test_transform_of_a_function_argument():
    def f(x, g):
        return np.sum(ad.grad(g)(x))

    # A function that is an argument is a constant of what is compiled for it.
    np.testing.assert_array_equal(ad.grad(f)(X, numba.njit(sum_of_squares)), np.full(X.size, 2.0))

    def g(x, k):
        return np.sum(ad.grad(sum_of_squares, argnums=k)(x))

    message = "a transform inside a compiled function needs a function and options"
    told(ad.ArgumentError, message, lambda: ad.grad(g)(X, 0))


def test_argnums_known_only_at_run_time():
    @numba.njit
    def squares(x):
        return np.sum(x * x)

    def f(x, k):
        return np.sum(ad.grad(squares, k)(x))

    told(ad.ArgumentError, "options that are constants", lambda: ad.grad(f)(X, 0))
    with pytest.raises((TypeError, numba.core.errors.TypingError), match=r"constant|literal"):
        numba.njit(f)(X, 0)


# Numbers of different kinds


def test_numbers_made_by_the_user_meet_those_of_a_derivative():
    def f(x):
        return x[0] * ad.VectorDual(1.0, (1.0, 0.0))  # here

    told(ad.MixedNumbersError, "cannot meet in one operation", lambda: ad.grad(f)(X), f)


def test_a_number_made_by_the_user_is_not_a_result():
    """Nothing of x is in the result, and its partials are not derivatives by x."""

    def f(x):
        return ad.VectorDual(1.0, (1.0, 0.0))

    with pytest.raises(ad.DualtapeError):
        ad.grad(f)(X)


def makes_a_number(t):
    return t * ad.VectorDual(1.0, 1.0)  # here


def number_of_plain_values():
    return ad.VectorDual(1.0, 1.0)


def calls_what_makes_a_number(t):
    return t * number_of_plain_values()


@pytest.mark.parametrize("f", [makes_a_number, calls_what_makes_a_number])
def test_numbers_that_could_pass_for_those_of_the_derivative(f):
    """They have the type of the derivative's own: their directions would be added."""
    line_of = f if f is makes_a_number else None
    message = "number made of a plain value"
    told(ad.MixedNumbersError, message, lambda: ad.derivative(f)(2.0), line_of)
    told(ad.MixedNumbersError, message, lambda: ad.grad(f)(2.0), line_of)


def test_numbers_of_active_numbers_may_be_made():
    def slope_of_cube(t):
        return (ad.VectorDual(t, 1.0) ** 3).partials[0]

    assert ad.derivative(slope_of_cube)(2.0) == 12.0


# Custom rules and check_grad


@pytest.mark.parametrize(
    ("jet", "count"),
    [(lambda: (1.0,), 0), (lambda x, y, z: (x, y, z), 3)],
    ids=["none", "three"],
)
def test_custom_rule_with_a_wrong_number_of_arguments(jet, count):
    message = rf"custom_rule: the jet takes {count} arguments; expected 1 or 2"
    told(ad.ArgumentError, message, lambda: ad.custom_rule(lambda x: x, jet))


def test_custom_rule_with_a_jet_too_short():
    def half(x):
        return 0.5 * x

    ad.custom_rule(half, lambda x: (0.5 * x, 0.5))
    message = r"the jet .* for half returns 2 values; expected \(f, f1, f11\)"
    told(ad.ArgumentError, message, lambda: ad.hessian(lambda x: half(x))(1.0))  # noqa: PLW0108


def test_custom_rule_with_a_jet_that_returns_no_tuple():
    def half(x):
        return 0.5 * x

    ad.custom_rule(half, lambda x: 0.5 * x)
    message = r"the jet .* for half returns one value; expected \(f, f1, f11\)"
    told(ad.ArgumentError, message, lambda: ad.grad(lambda x: half(x))(1.0))  # noqa: PLW0108


def test_custom_rule_for_a_function_of_matrices():
    message = r"custom_rule: np\.linalg\.pinv works on matrices, and a rule is for"
    told(ad.ArgumentError, message, lambda: ad.custom_rule(np.linalg.pinv, lambda x: (x, 1.0, 0.0)))


@pytest.mark.parametrize("order", [0, 3, "1"], ids=repr)
def test_order_of_check_grad(order):
    message = rf"check_grad: order is {re.escape(repr(order))}; expected 1 or 2"
    told(ad.ArgumentError, message, lambda: ad.check_grad(sum_of_squares, X, order=order))


# The same transform after an error


def test_a_transform_works_after_an_error():
    gradient = ad.grad(sum_of_squares)
    for bad in ("abc", X + 0j, None):
        with pytest.raises(ad.ArgumentError):
            gradient(bad)
        assert_close(gradient(X), 2.0 * X)
        assert_close(gradient([1, 2]), np.array([2.0, 4.0]))


def test_a_function_that_fails_for_one_type_works_for_another():
    def f(x):
        return x[0] * x[1]

    gradient = ad.grad(f)
    with pytest.raises(ad.DualtapeError):
        gradient(1.0)
    assert_close(gradient(X), np.array([-0.5, 1.5, 0.0]))


def test_errors_do_not_repeat_the_head():
    with pytest.raises(ad.NotScalarError) as caught:
        ad.grad(lambda x: 2.0 * x)(X)
    assert str(caught.value).count("grad(<lambda>)") == 1


def test_users_folders_may_have_the_name_of_the_package(tmp_path):
    """Lines of the package, in whatever folder of it, are never shown; users' lines always are."""
    inside = Path(ad.__file__).parent / "linalg" / "solve.py"
    assert is_package_file(str(inside))
    assert is_package_file(os.path.relpath(inside))
    path = tmp_path / "dualtape" / "linalg" / "model.py"
    path.parent.mkdir(parents=True)
    path.write_text("import numpy as np\n\n\ndef f(x):\n    return np.linalg.eig(x)[0].sum()\n")
    assert not is_package_file(str(path))
    scope = runpy.run_path(str(path))
    with pytest.raises(ad.MissingRuleError, match=r"line 5 of .*dualtape.linalg.model\.py"):
        ad.grad(scope["f"])(np.eye(2))
