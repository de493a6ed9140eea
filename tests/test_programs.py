"""Random programs: all kinds of derivatives agree with each other and with a reference.

The same programs in every run, each with some of its kinds; ``python -m tests.programs`` runs any
number with all kinds.  The parts of that machinery are tested here, too: the grammar, the
reference, the comparison, the shrinking; and that wrong versions of the package are noticed.
"""

import ast
import dataclasses
import itertools
import math
from collections import Counter

import numpy as np
import pytest
from programs import comparison, kinds
from programs.comparison import check, rotating
from programs.generator import program
from programs.idioms import FEATURES
from programs.mutations import MUTATIONS, run_mutated, wrong_text
from programs.program import Argument, Program, flat
from programs.reference import DiscardError, Reference
from programs.shrinking import shrunk

import dualtape as ad

CHUNK = 15
"""Programs of one test, which share a process.

A few more are written: some have no derivative, and some Numba refuses, or mistakes.
"""
CHUNKS = 22
QUICK_CHUNKS = 4


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(2 * CHUNK * i, marks=[pytest.mark.slow] * (i >= QUICK_CHUNKS))
        for i in range(CHUNKS)
    ],
)
def test_derivatives_agree(first):
    compared = 0
    for seed in range(first, first + 2 * CHUNK):
        p = program(seed, short=True)
        outcome = check(p, rotating(p, 1))
        faults = [*outcome.faults, *outcome.refusals]
        assert not faults, "\n".join(map(str, [*faults, p.source]))
        compared += sum(outcome.comparisons.values()) > 0
        if compared == CHUNK:
            return
    pytest.fail(f"only {compared} programs could be compared")


# The grammar


def test_a_seed_makes_one_program():
    for seed in range(20):
        assert program(seed) == program(seed)
    assert len({program(seed).source for seed in range(200)}) == 200


def test_programs_have_everything_that_the_grammar_has():
    """By what it says, each feature is in at least one program of a hundred."""
    programs = [program(seed, short=True) for seed in range(CHUNK * CHUNKS)]
    nodes = Counter()
    for p in programs:
        nodes.update({type(node).__name__ for node in ast.walk(ast.parse(p.source))})
        nodes.update({a.kind for a in p.arguments} | {a.layout for a in p.arguments})
        nodes.update([f"argnums {np.ndim(p.argnums)}", "@njit"] * ("@njit" in p.source))
        nodes["closure"] += "def make(" in p.source
        nodes["checkpoint"] += "ad.checkpoint(" in p.source
        nodes["several"] += isinstance(p.argnums, tuple)
        nodes["plain array"] += any(
            a.kind in ("vector", "matrix") and i not in p.positions
            for i, a in enumerate(p.arguments)
        )
    wanted = {
        "For", "While", "If", "IfExp", "Break", "Continue", "List", "Tuple", "Lambda", "ListComp",
        "vector", "matrix", "number", "pair", "integer", "indices", "C", "F", "strided",
        "reversed", "closure", "checkpoint", "several", "plain array", "@njit",
    }  # fmt: skip
    assert {name for name in wanted if nodes[name] < len(programs) // 100} == set()
    assert nodes["closure"] > len(programs) // 5
    assert nodes["several"] > len(programs) // 5
    assert nodes["matrix"] > len(programs) // 3
    assert nodes["plain array"] > len(programs) // 3
    assert len(FEATURES) > 30


# The reference


def of(source, *arguments, argnums=0):
    """Return a program of a given text."""
    return Program(1, source, arguments, argnums, True)


VECTOR, MATRIX = Argument("x", "vector", (3,)), Argument("y", "matrix", (3, 2))


def test_reference_of_a_smooth_function():
    p = of("def f(x, y):\n    return np.sum(np.sin(x) @ y) + x[0] ** 3 * x[1] ** 2", VECTOR, MATRIX)
    x, y = p.at(0)
    value, jacobian = Reference(p).jacobian((x, y))
    gradient = np.cos(x) * np.sum(y, axis=1)
    gradient[0] += 3.0 * x[0] ** 2 * x[1] ** 2
    gradient[1] += 2.0 * x[0] ** 3 * x[1]
    np.testing.assert_allclose(value, np.sum(np.sin(x) @ y) + x[0] ** 3 * x[1] ** 2, rtol=1e-14)
    np.testing.assert_allclose(jacobian[0, :3], gradient, rtol=1e-14)
    np.testing.assert_allclose(jacobian[0, 3:], np.repeat(np.sin(x), 2), rtol=1e-14)
    product, error = Reference(p).hessian_product((x, y), np.eye(9)[0])
    expected = np.concatenate([np.zeros(3), np.cos(x[0]) * np.ones(2), np.zeros(4)])
    expected[0] = -np.sin(x[0]) * np.sum(y[0]) + 6.0 * x[0] * x[1] ** 2
    expected[1] = 6.0 * x[0] ** 2 * x[1]
    np.testing.assert_allclose(product, expected, rtol=0.0, atol=1e-10)
    assert error < 1e-8


FUNCTIONS = [
    ("math.sin(s)", math.cos),
    ("np.cos(s)", lambda s: -math.sin(s)),
    ("math.tanh(s)", lambda s: 1.0 / math.cosh(s) ** 2),
    ("math.atan(s)", lambda s: 1.0 / (1.0 + s * s)),
    ("math.exp(s)", math.exp),
    ("np.log(s)", lambda s: 1.0 / s),
    ("math.sqrt(s)", lambda s: 0.5 / math.sqrt(s)),
    ("math.hypot(s, 0.7)", lambda s: s / math.hypot(s, 0.7)),
    ("math.atan2(s, 0.7)", lambda s: 0.7 / (s * s + 0.49)),
    ("abs(-s)", lambda s: 1.0),
    ("(s - np.floor(3.0 * s))", lambda s: 1.0),
    ("s ** 3", lambda s: 3.0 * s * s),
    ("s ** -2", lambda s: -2.0 / s**3),
    ("s ** s", lambda s: s**s * (math.log(s) + 1.0)),
    ("s ** 0", lambda s: 0.0),
    ("max(s, -s)", lambda s: 1.0),
    ("np.max(np.array([s, 2.0 * s]))", lambda s: 2.0),
    ("np.minimum(s, 5.0)", lambda s: 1.0),
    ("np.sort(np.array([s, -s, 3.0 * s]))[0]", lambda s: -1.0),
    ("np.var(np.array([s, 3.0 * s]))", lambda s: 2.0 * s),
    ("(s if s > 0.0 else 0.0)", lambda s: 1.0),
]


@pytest.mark.parametrize(("text", "slope"), FUNCTIONS, ids=[text for text, _ in FUNCTIONS])
def test_functions_of_the_reference(text, slope):
    p = of(f"def f(s):\n    return {text}", Argument("s", "number"))
    (s,) = p.at(0)
    value, jacobian = Reference(p).jacobian((s,))
    names = {"math": math, "np": np, "s": s}
    assert value[0] == pytest.approx(eval(text, names), rel=1e-14)
    assert jacobian[0, 0] == pytest.approx(slope(s), rel=1e-13, abs=1e-14)


def test_reference_finds_kinks():
    p = of("def f(x):\n    return np.abs(x[0] - x[0] + 1e-12 * x[1])", VECTOR)
    reference = Reference(p)
    reference.jacobian(p.at(0))
    assert reference.gap < comparison.NEAREST_KINK
    step = of("def f(x):\n    return x[1] if x[0] > 0.0 else x[2] ** 2", VECTOR)
    with pytest.raises(DiscardError, match="a kink is near"):
        Reference(step).hessian_product((np.array([1e-3, 1.0, 2.0]),), np.ones(3))
    Reference(step).hessian_product((np.array([1e-1, 1.0, 2.0]),), np.ones(3))


def test_reference_leaves_arguments_alone():
    p = of("def f(x):\n    x[0] = 2.0 * x[1]\n    return np.sum(x)", VECTOR)
    args = p.at(0)
    before = flat(args)
    reference = Reference(p)
    reference.jacobian(args)
    assert reference.writes
    np.testing.assert_array_equal(flat(args), before)


# The comparison


CUBE = of("def f(x):\n    return np.sum(x ** 3)", VECTOR)
WRONG = {
    "derivative": lambda value, found: (value, found * (1.0 + 1e-8)),
    "value": lambda value, found: (value * (1.0 + 1e-8), found),
}


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("name", ["grad forward", "jvp", "hvp forward"])
def test_comparison_notices_what_is_wrong(name, what):
    kind = kinds.KINDS[name]
    if what == "value" and kind.order == 2:
        what = "derivative"  # products with Hessians come without a value

    def compute(*args):
        value, found = kind.compute(*args)
        scale = 1e3 if kind.order == 2 else 1.0  # extrapolated differences are less exact
        return WRONG[what](value, found * (1.0 + scale * 1e-8) if kind.order == 2 else found)

    outcome = check(CUBE, [dataclasses.replace(kind, compute=compute)])
    assert [fault.what for fault in outcome.faults] == [what]
    assert sum(check(CUBE, [kind]).comparisons.values()) == 3


def test_comparison_notices_arguments_that_change():
    def compute(p, f, args, probe):
        value, found = kinds.KINDS["grad forward"].compute(p, f, args, probe)
        args[0][0] += 1.0
        return value, found

    kind = dataclasses.replace(kinds.KINDS["grad forward"], compute=compute)
    assert [fault.what for fault in check(CUBE, [kind]).faults] == ["arguments"]


def test_comparison_tells_refusals_from_faults():
    refused = of("def f(x):\n    return np.sum(np.nan_to_num(x))", VECTOR)
    [kind] = comparison.names("grad forward")
    outcome = check(refused, [kind])
    assert [fault.what for fault in outcome.refusals] == ["MissingRuleError"]
    assert not outcome.faults
    untyped = of("def f(x):\n    return np.einsum('i->', x)", VECTOR)
    assert check(untyped, [kind]).discarded.startswith("Numba: ")


def test_every_kind_comes_in_turn():
    programs = map(program, range(CHUNK * CHUNKS))
    seen = Counter(kind.name for p in programs for kind in rotating(p, 1))
    assert set(seen) == set(kinds.KINDS)
    assert min(seen.values()) >= 5


# Shrinking


def test_shrinking_leaves_what_is_needed():
    """What "fails" here are programs that sort in a loop and still run."""

    def fails(candidate):
        tree = ast.parse(candidate.source)
        loops = [n for n in ast.walk(tree) if isinstance(n, ast.For)]
        if not any("np.sort" in ast.unparse(loop) for loop in loops):
            return False
        try:
            Reference(candidate).jacobian(candidate.at(0))
        except DiscardError:
            return False
        return True

    large = next(
        p for p in map(program, itertools.count()) if fails(p) and p.source.count("\n") > 20
    )
    small = shrunk(large, fails)
    assert fails(small)
    assert small.source.count("\n") <= 8


def test_a_script_to_paste_runs():
    p = program(3)
    space = {}
    exec(p.script("found = ad.value_and_grad(f, argnums)(*args.values())", 1), space)
    args = p.at(1)
    value, gradient = space["found"]
    expected, jacobian = Reference(p).jacobian(args)
    assert value == pytest.approx(expected[0], rel=1e-12)
    assert flat(gradient).size <= jacobian.shape[1]
    assert ad.grad(space["f"]) is ad.grad(space["f"])


# Wrong versions of the package


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_find_their_line(name):
    assert MUTATIONS[name].new in wrong_text(MUTATIONS[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTATIONS)
def test_mutations_are_noticed(name, tmp_path):
    noticed, text = run_mutated(MUTATIONS[name], tmp_path, programs=CHUNK * CHUNKS)
    assert noticed, text
