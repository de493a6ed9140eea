"""The README's table of transforms and their options, from the data here: every entry is called."""

from pathlib import Path
from typing import NamedTuple

import numba
import numpy as np
import pytest
from scenarios import assert_close

import dualtape as ad

README = (Path(__file__).parent.parent / "README.md").read_text()
MODES = ("auto", "forward", "reverse")


class Row(NamedTuple):
    """What a transform can do.

    `argnums` is "many" (an int, a tuple or a list), "one" or "all"; `value` names the form with the
    value, or what else gives it, after "no"; `sparse` names the sparse form.
    """

    argnums: str = "many"
    modes: tuple[str, ...] = MODES
    chunk_size: bool = True
    value: str = "itself"
    in_njit: bool = True
    sparse: str = "no"


SPARSE = Row(modes=("reverse",), chunk_size=False, value="no", in_njit=False, sparse="itself")
ROWS = {
    "grad": Row(value="value_and_grad"),
    "value_and_grad": Row(),
    "jacobian": Row(value="value_and_jacobian", sparse="sparse_jacobian"),
    "value_and_jacobian": Row(sparse="value_and_sparse_jacobian"),
    "hessian": Row(value="value_grad_hessian", sparse="sparse_hessian"),
    "value_grad_hessian": Row(sparse="no, sparse_hessian"),
    "hvp": Row(value="no, value_and_grad"),
    "derivative": Row("one", ("forward",), chunk_size=False, value="no, jvp"),
    "jvp": Row("all", ("forward",), chunk_size=False),
    "vjp": Row("all", ("reverse",), chunk_size=False),
    "sparse_jacobian": SPARSE._replace(value="value_and_sparse_jacobian"),
    "value_and_sparse_jacobian": SPARSE._replace(value="itself"),
    "jacobian_sparsity": SPARSE,
    "prepare_sparse_jacobian": SPARSE._replace(value="no, value_and_sparse_jacobian"),
    "sparse_hessian": SPARSE._replace(value="no, value_and_grad"),
    "hessian_sparsity": SPARSE,
    "prepare_sparse_hessian": SPARSE._replace(value="no, value_and_grad"),
    "check_grad": Row(modes=("auto",), chunk_size=False, value="no", in_njit=False),
}
HEAD = "| transform | argnums | mode | chunk_size | with the value | in njit code | sparse form |"
ARGNUMS = {"many": "int, tuple, list", "one": "int", "all": "no: all arguments"}


def shown(text):
    """Return an entry of the table that may name a function."""
    what, _, name = text.partition(", ")
    quoted = f"`{name or what}`"
    return text if text in ("itself", "no") else f"{what}: {quoted}" * bool(name) or quoted


def line(name):
    row = ROWS[name]
    entries = [
        f"`{name}`",
        ARGNUMS[row.argnums],
        ", ".join(row.modes),
        "yes" if row.chunk_size else "no",
        shown(row.value),
        "yes" if row.in_njit else "no",
        shown(row.sparse),
    ]
    return f"| {' | '.join(entries)} |"


def test_the_table_in_the_readme():
    table = "\n".join([HEAD, "|---|---|---|---|---|---|---|", *map(line, ROWS)])
    assert table in README, table


def test_every_transform_has_a_row():
    """A transform has options for the arguments it differentiates, or a form with them."""
    words = ("grad", "jacobian", "hessian", "sparsity", "hvp", "jvp", "vjp", "derivative")
    public = [name for name in dir(ad) if any(word in name for word in words)]
    assert set(public) - {"score_grad"} == set(ROWS)


def use(name, f, *args, prepared_at=None, **options):
    """Return what a transform computes at a point."""
    transform = getattr(ad, name)
    if name == "jvp":
        return transform(f, args, args, **options)
    if name == "vjp":
        value, pullback = transform(f, *args, **options)
        return value, pullback(np.ones_like(value))
    if name == "check_grad":
        return transform(f, *args, **options)
    if name.startswith("prepare"):
        return transform(f, *(prepared_at or args), **options)(*args)
    if name == "hvp":
        argnums = options.get("argnums", 0)
        many = isinstance(argnums, tuple | list)
        positions = [i % len(args) for i in (argnums if many else [argnums])]
        v = tuple(args[i] for i in positions)
        after = max(positions) + 1
        args = (*args[:after], v if many else v[0], *args[after:])
    return transform(f, **options)(*args)


# Functions of a vector and a number with derivatives by hand

X, Y = np.array([1.5, -0.5, 2.0]), 3.0


def scalar(x, y):
    return np.sum(x * x * x) * y * y


def vector(x, y):
    return x * x * y


def cube(a, t):
    return a * t * t * t


GRADIENT = (3.0 * X * X * Y * Y, 2.0 * np.sum(X**3) * Y)
HESSIAN = (
    (np.diag(6.0 * X * Y * Y), 6.0 * X * X * Y),
    (6.0 * X * X * Y, 2.0 * np.sum(X**3)),
)
JACOBIAN = (np.diag(2.0 * X * Y), X * X)
PRODUCT = (
    HESSIAN[0][0] @ X + HESSIAN[0][1] * Y,
    HESSIAN[1][0] @ X + HESSIAN[1][1] * Y,
)
FUNCTION = dict.fromkeys(ROWS, vector) | dict.fromkeys(
    [name for name in ROWS if "grad" in name or "hess" in name or name == "hvp"], scalar
)


def expected(name, argnums):
    """Return the derivative by one argument, or the tuple of those by several."""

    def pick(parts):
        return parts[argnums] if isinstance(argnums, int) else tuple(parts[i] for i in argnums)

    many = [argnums] if isinstance(argnums, int) else list(argnums)
    value = scalar(X, Y) if FUNCTION[name] is scalar else vector(X, Y)
    columns = np.hstack([JACOBIAN[i].reshape(3, -1) for i in many])
    blocks = [[np.reshape(HESSIAN[i][j], (np.size((X, Y)[i]), -1)) for j in many] for i in many]
    matrix = np.block(blocks)
    hessian = pick(HESSIAN)
    hessian = pick(hessian) if isinstance(argnums, int) else tuple(map(pick, hessian))
    product = PRODUCT if len(many) > 1 else ((HESSIAN[0][0] @ X, HESSIAN[1][1] * Y))
    return {
        "grad": lambda: pick(GRADIENT),
        "value_and_grad": lambda: (value, pick(GRADIENT)),
        "jacobian": lambda: pick(JACOBIAN),
        "value_and_jacobian": lambda: (value, pick(JACOBIAN)),
        "hessian": lambda: hessian,
        "value_grad_hessian": lambda: (value, pick(GRADIENT), hessian),
        "hvp": lambda: pick(product),
        "sparse_jacobian": lambda: columns,
        "value_and_sparse_jacobian": lambda: (value, columns),
        "jacobian_sparsity": lambda: 1.0 * (columns != 0.0),
        "prepare_sparse_jacobian": lambda: columns,
        "sparse_hessian": lambda: matrix,
        "hessian_sparsity": lambda: 1.0 * (matrix != 0.0),
        "prepare_sparse_hessian": lambda: matrix,
        "check_grad": lambda: None,
    }[name]()


def dense(found):
    if isinstance(found, tuple):
        return tuple(map(dense, found))
    return 1.0 * found.toarray() if hasattr(found, "toarray") else found


def agrees(name, argnums, **options):
    found = use(name, FUNCTION[name], X, Y, argnums=argnums, **options)
    wanted = expected(name, tuple(argnums) if isinstance(argnums, list) else argnums)
    assert_close(dense(found), wanted) if wanted is not None else None


MANY = [name for name in ROWS if ROWS[name].argnums == "many"]
TRANSFORMS = [name for name in MANY if not name.startswith(("prepare", "check"))]


@pytest.mark.parametrize("name", MANY)
def test_argnums(name):
    agrees(name, [0, 1])
    agrees(name, 1)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_lists_and_negative_numbers_are_other_spellings(name):
    transform, f = getattr(ad, name), FUNCTION[name]
    if "sparsity" not in name:
        assert transform(f, [1, 0]) is transform(f, (1, 0))
        assert transform(f, argnums=-1) is transform(f, 1)
        assert transform(f, [0, -1]) is transform(f, (0, 1))
    assert transform(f, np.int64(1))(X, Y, *[Y] * (name == "hvp")) is not None


@pytest.mark.parametrize(
    ("name", "mode"),
    [(name, mode) for name in MANY for mode in ROWS[name].modes if len(ROWS[name].modes) > 1],
)
def test_modes(name, mode):
    agrees(name, (0, 1), mode=mode)


@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name].chunk_size])
def test_chunk_sizes(name):
    agrees(name, (0, 1), chunk_size=2)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *((name, "mode") for name in ROWS if len(ROWS[name].modes) == 1),
        *((name, "chunk_size") for name in ROWS if not ROWS[name].chunk_size),
        *((name, "argnums") for name in ROWS if ROWS[name].argnums == "all"),
    ],
)
def test_options_that_there_are_not(name, option):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{option}'"):
        use(name, vector, X, Y, **{option: 1})


def test_transforms_with_other_arguments():
    assert ad.derivative(cube, argnums=1)(2.0, 3.0) == 54.0
    assert ad.derivative(cube, 2, argnums=-1)(2.0, 3.0) == 36.0
    assert ad.derivative(cube, 3, argnums=1)(2.0, 3.0) == 12.0
    assert ad.derivative(cube)(2.0, 3.0) == 27.0
    value, tangent = ad.jvp(vector, [X, Y], [np.ones(3), 2.0])
    assert_close(value, X * X * Y)
    assert_close(tangent, 2.0 * X * Y + 2.0 * X * X)
    value, pullback = ad.vjp(vector, X, Y)
    assert_close(pullback(np.ones(3)), (2.0 * X * Y, np.sum(X * X)))
    with pytest.raises(ad.ArgumentError, match=r"argnums is .0, 1.; expected one argument"):
        ad.derivative(cube, argnums=[0, 1])


@pytest.mark.parametrize("name", ROWS)
def test_forms_with_the_value(name):
    row = ROWS[name]
    if row.value == "itself":
        value = use(name, FUNCTION[name], X, Y)[0]
        assert_close(value, FUNCTION[name](X, Y))
    elif row.value.startswith("no"):
        assert not hasattr(ad, f"value_and_{name}")
    else:
        assert ROWS[row.value].value == "itself"


def test_sparse_forms_have_the_options_of_the_dense_ones():
    for row in ROWS.values():
        if row.sparse not in ("no", "itself") and not row.sparse.startswith("no"):
            assert ROWS[row.sparse].sparse == "itself"
            assert ROWS[row.sparse].argnums == row.argnums


def test_prepared_derivatives_have_the_same_attributes():
    jacobian = ad.prepare_sparse_jacobian(vector, X, Y)
    hessian = ad.prepare_sparse_hessian(scalar, X, Y)
    for made in (jacobian, hessian):
        assert made.pattern.dtype == np.bool_
        assert made.colors.shape == (3,)
        assert made.colors.max() == 0  # a diagonal matrix
        assert_close(made(X, y=Y).toarray(), made(X, Y).toarray())
        assert made.__name__.startswith("prepare_sparse_")
        assert repr(made) == f"<dualtape {made.__name__}>"


# In compiled code


@numba.njit
def njit_scalar(x, y):
    return np.sum(x * x * x) * y * y


@numba.njit
def njit_vector(x, y):
    return x * x * y


@numba.njit
def njit_cube(a, t):
    return a * t * t * t


@numba.njit
def in_njit_grad(x, y):
    return ad.grad(njit_scalar, [0, 1], chunk_size=4)(x, y)


@numba.njit
def in_njit_value_and_grad(x, y):
    return ad.value_and_grad(njit_scalar, (0, 1), mode="reverse")(x, y)


@numba.njit
def in_njit_jacobian(x, y):
    return ad.jacobian(njit_vector, [0, 1])(x, y)


@numba.njit
def in_njit_value_and_jacobian(x, y):
    return ad.value_and_jacobian(njit_vector, argnums=(0, 1))(x, y)


@numba.njit
def in_njit_hessian(x, y):
    return ad.hessian(njit_scalar, [0, 1], chunk_size=2)(x, y)


@numba.njit
def in_njit_value_grad_hessian(x, y):
    return ad.value_grad_hessian(njit_scalar, (0, 1))(x, y)


@numba.njit
def in_njit_hvp(x, y):
    return ad.hvp(njit_scalar, [0, 1])(x, y, (x, y))


@numba.njit
def in_njit_derivative(x, y):
    return ad.derivative(njit_cube, 2, argnums=1)(2.0, y)


@numba.njit
def in_njit_jvp(x, y):
    return ad.jvp(njit_vector, (x, y), (x, y))[1]


@numba.njit
def in_njit_vjp(x, y):
    return ad.vjp(njit_vector, x, y)[1](x)


OTHERS = {
    "derivative": 36.0,
    "jvp": 3.0 * X * X * Y,
    "vjp": (2.0 * X * X * Y, np.sum(X**3)),
}


@pytest.mark.parametrize("name", [name for name in ROWS if ROWS[name].in_njit])
def test_in_njit_code(name):
    found = globals()[f"in_njit_{name}"](X, Y)
    assert_close(found, OTHERS[name] if name in OTHERS else expected(name, (0, 1)))


@pytest.mark.parametrize("name", [name for name in ROWS if not ROWS[name].in_njit])
def test_not_in_njit_code(name):
    space = {"transform": getattr(ad, name), "f": njit_vector}
    exec("def call(x, y): return transform(f)(x, y)", space)
    with pytest.raises(numba.core.errors.TypingError):
        numba.njit(space["call"])(X, Y)


# The argument that a function writes to


def in_the_middle(t, out, y):
    for i in range(y.size):
        out[i] = t * y[i] * y[i]


def at_the_front(out, y, scale=2.0):
    for i in range(y.size):
        out[i] = scale * y[i] * y[i]


def test_output_argument():
    full = np.full(3, np.nan)
    wanted = np.diag(4.0 * X)
    jacobian = ad.sparse_jacobian(in_the_middle, 2, output_argnum=1)
    calls = [
        jacobian(2.0, X),
        jacobian(2.0, full, X),
        jacobian(2.0, y=X),
        jacobian(t=2.0, y=X),
        jacobian(2.0, full, y=X),
        jacobian(y=X, out=full, t=2.0),
        ad.sparse_jacobian(at_the_front, 1, output_argnum=0)(X),
        ad.sparse_jacobian(at_the_front, 1, output_argnum=0)(full, X),
        ad.sparse_jacobian(at_the_front, 1, output_argnum=0)(full, X, 2.0),
        ad.sparse_jacobian(at_the_front, 1, output_argnum=0)(X, scale=2.0),
        ad.prepare_sparse_jacobian(in_the_middle, 2.0, X, argnums=2, output_argnum=1)(2.0, X),
    ]
    for found in calls:
        assert_close(found.toarray(), wanted)
    value, _ = ad.value_and_sparse_jacobian(in_the_middle, 2, output_argnum=-2)(2.0, X)
    assert_close(value, 2.0 * X * X)
    with pytest.raises(TypeError, match="not enough arguments: expected 3, got 1"):
        jacobian(2.0)


def test_the_old_name_of_the_output_argument():
    for transform in (ad.sparse_jacobian, ad.value_and_sparse_jacobian):
        with pytest.warns(DeprecationWarning, match=r"_jacobian: out is called output_argnum now"):
            made = transform(in_the_middle, 2, out=1)
        assert made is transform(in_the_middle, 2, output_argnum=1)
    with pytest.warns(DeprecationWarning, match="out is called output_argnum now"):
        ad.jacobian_sparsity(in_the_middle, 2, out=1)
    with pytest.warns(DeprecationWarning, match="out is called output_argnum now"):
        ad.prepare_sparse_jacobian(in_the_middle, 2.0, X, argnums=2, out=1)
