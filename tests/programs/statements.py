"""The grammar of statements: assignments, stores, branches, jumps."""

from __future__ import annotations

from typing import ClassVar

from .arrays import Arrays
from .writer import Scope, Variable

DEEPEST = 4


class Statements(Arrays):
    """Writes statements that are neither loops nor patterns of several lines; see `idioms`."""

    k: int  # the second size
    is_closure: bool  # f and its helpers are made inside of a function
    is_scalar: bool
    budget: int  # how many statements may still be written
    loops: int = 0  # how many loops are around

    def statement(self, scope: Scope) -> None:
        """Write one statement."""
        self.budget -= 1
        names = [*STATEMENTS, *self.patterns]
        weights = [weight(self, scope) for weight in {**STATEMENTS, **self.patterns}.values()]
        name = self.random.choices(names, [float(w) for w in weights])[0]
        getattr(self, name)(scope)

    patterns: ClassVar[dict] = {}

    def may_nest(self) -> bool:
        """Whether another block may be begun."""
        return self.depth < DEEPEST + self.is_closure and self.budget > 0

    def block(self, scope: Scope, size: int) -> None:
        """Write statements whose new names are not used afterwards."""
        inner = scope.inner()
        for _ in range(size):
            self.statement(inner)

    def tame(self, value: str) -> str:
        """Return the value, half the time held within bounds."""
        return f"math.{self.one_of('sin', 'tanh')}({value})" if self.chance(0.5) else value

    # Numbers

    def number_named(self, scope: Scope) -> None:
        value = self.number(scope)
        self.emit(f"{scope.add(self.new('s'), 'number')} = {value}")

    def number_renamed(self, scope: Scope) -> None:
        name = self.some(scope.all("number", rebound=True)).name
        self.emit(f"{name} = {self.tame(self.number(scope))}")

    def number_changed(self, scope: Scope) -> None:
        name = self.some(scope.all("number", rebound=True)).name
        op = self.one_of("+=", "+=", "+=", "-=", "*=")
        value = self.number(scope)
        self.emit(f"{name} {op} {self.tame(value) if op == '*=' else value}")

    def numbers_swapped(self, scope: Scope) -> None:
        a, b = (v.name for v in self.random.sample(scope.all("number", rebound=True), 2))
        self.emit(
            self.one_of(
                f"{a}, {b} = {b}, {a}",
                f"{a}, {b} = {b}, math.sin({a} + {b})",
                f"{a}, {b} = {a} + 0.1 * {b}, {b} - 0.1 * math.sin({a})",
            )
        )

    def integer_named(self, scope: Scope) -> None:
        name = self.new("k")
        self.emit(f"{name} = {self.integer(scope)}")
        if self.chance(0.5):
            with self.indented(f"if {self.condition(scope)}:"):
                self.emit(f"{name} += {self.one_of(1, 2)}")
        scope.add(name, "integer", is_rebound=False)

    def flag_named(self, scope: Scope) -> None:
        condition = self.condition(scope)
        self.emit(f"{scope.add(self.new('f'), 'flag')} = {condition}")

    # Arrays

    def a_shape(self, scope: Scope) -> tuple[int, ...]:
        """Return a shape for a new array, most often that of an old one."""
        if self.chance(0.6):
            return self.some(scope.all("array")).shape
        n, k = self.n, self.k
        return self.one_of((n,), (n,), (k,), (n, k), (k, n), (n, n))

    def array_named(self, scope: Scope) -> None:
        shape = self.a_shape(scope)
        value = self.array(scope, shape, 2)
        if value in [v.name for v in scope.variables]:
            value = self.one_of(f"{value}.copy()", f"1.0 * {value}")
        self.emit(f"{scope.add(self.new('a'), 'array', shape)} = {value}")

    def array_renamed(self, scope: Scope) -> None:
        old = self.some(scope.all("array", rebound=True))
        self.emit(f"{old.name} = {self.array(scope, old.shape, self.one_of(0, 1, 2))}")

    def array_aliased(self, scope: Scope) -> None:
        """A second name, and most often a store through one of the two."""
        old = self.some(scope.all("array", stored=True))
        name = self.new("b")
        self.emit(f"{name} = {old.name}")
        if self.chance(0.7):
            places = ", ".join(self.index(scope, size) for size in old.shape)
            to, op = self.one_of(name, name, old.name), self.one_of("=", "+=")
            self.emit(f"{to}[{places}] {op} {self.number(scope, 1)}")
        scope.add(name, "array", old.shape)

    def array_viewed(self, scope: Scope) -> None:
        """A view, which is stored into at once."""
        old = self.some(scope.all("array", stored=True))
        place, shape = self.part_of(scope, old)
        name = self.new("w")
        self.emit(f"{name} = {old.name}{place}")
        if all(shape):
            scope.add(name, "array", shape)
            at = ", ".join(str(self.random.randrange(size)) for size in shape)
            op = self.one_of("=", "+=", "*=")
            self.emit(f"{name}[{at}] {op} {self.number(scope, 1)}")
        else:
            self.emit(f"{name} += {self.leaf(scope)}")

    def arrays_swapped(self, scope: Scope) -> None:
        own = scope.all("array", rebound=True)
        a = self.some(own)
        others = [v for v in own if v.shape == a.shape and v is not a]
        if not others:
            return self.array_renamed(scope)
        b = self.some(others)
        self.emit(
            self.one_of(
                f"{a.name}, {b.name} = {b.name}, {a.name}",
                f"{a.name}, {b.name} = {b.name}, {a.name} + 0.1 * {b.name}",
            )
        )
        return None

    # Stores

    def element_stored(self, scope: Scope) -> None:
        op = self.one_of("=", "=", "+=", "-=", "*=")
        self.emit(f"{self.element(scope, stored=True)} {op} {self.tame(self.number(scope))}")

    def part_of(self, scope: Scope, array: Variable) -> tuple[str, tuple[int, ...]]:
        """Return a part of an array as text, and the shape of that part."""
        if len(array.shape) == 2:
            return self.part_of_matrix(scope, array)
        [size] = array.shape
        k = self.random.randint(1, max(1, size - 1))
        return self.one_of(
            (f"[{k}:]", (size - k,)),
            (f"[:{k}]", (k,)),
            ("[::2]", ((size + 1) // 2,)),
            ("[::-1]", (size,)),
            ("[:]", (size,)),
            (f"[{k}:{k}]", (0,)),
        )

    def part_of_matrix(self, scope: Scope, array: Variable) -> tuple[str, tuple[int, ...]]:
        rows, columns = array.shape
        i, j = self.index(scope, rows), self.index(scope, columns)
        return self.one_of(
            (f"[{i}]", (columns,)),
            (f"[:, {j}]", (rows,)),
            (f"[{i}, ::-1]", (columns,)),
            ("[1:, :-1]", (rows - 1, columns - 1)),
            ("[:-1]", (rows - 1, columns)),
            (".T", (columns, rows)),
            (f".T[{j}]", (rows,)),
            ("[::2]", ((rows + 1) // 2, columns)),
        )

    def part_stored(self, scope: Scope) -> None:
        array = self.some(scope.all("array", stored=True))
        place, shape = self.part_of(scope, array)
        if "[" not in place:
            place += "[:]"
        op = self.one_of("=", "=", "+=", "-=", "*=")
        whole = all(shape) and self.chance(0.8)
        value = self.array(scope, shape, 1) if whole else self.leaf(scope)
        if "::-1" in value + place:  # Numba changes in place what it has still to read, Python not
            value = f"1.0 * {value}"
        self.emit(f"{array.name}{place} {op} {value}")

    def part_stored_from_itself(self, scope: Scope) -> None:
        """Parts that overlap, as in an explicit step of a difference scheme."""
        array = self.some(scope.all("array", stored=True))
        to, of = self.one_of(("[1:]", "[:-1]"), ("[:-1]", "[1:]"))
        op, factor = self.one_of("=", "+=", "*="), self.leaf(scope)
        self.emit(f"{array.name}{to} {op} {array.name}{of} * {factor}")

    def changed_in_place(self, scope: Scope) -> None:
        array = self.some(scope.all("array", stored=True))
        whole = self.chance(0.6)
        value = self.array(scope, array.shape, 1) if whole else self.leaf(scope)
        value = f"1.0 * {value}" if "::-1" in value else value
        self.emit(f"{array.name} {self.one_of('+=', '-=', '*=')} {value}")

    # Lists and tuples

    def list_named(self, scope: Scope) -> None:
        name = self.new("l")
        vectors = scope.all("array", ndim=1)
        if vectors and self.chance(0.3):
            self.emit(f"{name} = [z * {self.leaf(scope)} for z in {self.some(vectors).name}]")
        else:
            items = [self.leaf(scope) for _ in range(self.random.randint(1, 3))]
            self.emit(f"{name} = [{', '.join(items)}]")
        scope.add(name, "list")

    def list_changed(self, scope: Scope) -> None:
        name = self.some(scope.all("list", stored=True)).name
        value = self.number(scope, 1)
        self.emit(self.one_of(f"{name}.append({value})", f"{name}[0] = {value}"))

    def tuple_taken_apart(self, scope: Scope) -> None:
        array = self.some(scope.all("array", stored=True))
        name = self.new("t")
        self.emit(f"{name} = ({array.name}, {self.number(scope, 1)})")
        if self.chance(0.5):
            at = ", ".join(self.index(scope, size) for size in array.shape)
            self.emit(f"{name}[0][{at}] += {self.leaf(scope)}")
        a = scope.add(self.new("b"), "array", array.shape)
        self.emit(f"{a}, {scope.add(self.new('s'), 'number')} = {name}")

    def arrays_together(self, scope: Scope) -> None:
        """A list, or a tuple, of arrays; one is stored into by its place."""
        a = self.some(scope.all("array", stored=True))
        others = [v for v in scope.all("array", stored=True) if v.shape == a.shape]
        b = self.some(others)
        name = self.new("t")
        pair = f"{a.name}, {b.name}"
        self.emit(f"{name} = {self.one_of(f'[{pair}]', f'({pair})')}")
        at = ", ".join(self.index(scope, size) for size in a.shape)
        op, value = self.one_of("=", "+="), self.number(scope, 1)
        self.emit(f"{name}[{self.one_of(0, 1)}][{at}] {op} {value}")

    # Calls

    def writer_called(self, scope: Scope) -> None:
        shaped = [(h, shape) for h, what, shape in self.helpers if what == "writer"]
        name, shape = self.random.choice(shaped)
        own = scope.all("array", shape, stored=True)
        if own:
            self.emit(f"{name}({self.some(own).name}, {self.leaf(scope)})")

    def pair_called(self, scope: Scope) -> None:
        shaped = [(h, shape) for h, what, shape in self.helpers if what == "pair"]
        name, shape = self.random.choice(shaped)
        own = scope.all("array", shape, stored=True)
        array = self.some(own).name if own else self.array(scope, shape, 2)
        leaf = self.leaf(scope)
        a, s = scope.add(self.new("b"), "array", shape), scope.add(self.new("s"), "number")
        self.emit(f"{a}, {s} = {name}({array}, {leaf})")

    def function_inside(self, scope: Scope) -> None:
        """A function inside of f that sees f's names."""
        g, s = self.new("g"), self.new("s")
        seen = self.some(scope.all("number")).name if scope.all("number") else "K"
        body = f"math.sin(z) * {seen} + {self.element(scope)}"
        if self.chance(0.5):
            self.emit(f"{g} = lambda z: {body}")
        else:
            self.emit(f"def {g}(z):", f"    return {body}")
        self.emit(f"{s} = {g}({self.leaf(scope)}) + {g}({self.leaf(scope)})")
        scope.add(s, "number")

    # Branches and jumps

    def branched(self, scope: Scope) -> None:
        with self.indented(f"if {self.condition(scope)}:"):
            self.block(scope, self.random.randint(1, 2))
        if self.chance(0.3):
            with self.indented(f"elif {self.condition(scope)}:"):
                self.block(scope, 1)
        if self.chance(0.5):
            with self.indented("else:"):
                self.block(scope, self.random.randint(1, 2))

    def jumped(self, scope: Scope) -> None:
        with self.indented(f"if {self.condition(scope)}:"):
            self.emit(self.one_of("break", "continue"))

    def returned_early(self, scope: Scope) -> None:
        with self.indented(f"if {self.condition(scope)}:"):
            self.emit(f"return {self.number(scope, 1)} + 0.0")

    def became_active(self, scope: Scope) -> None:
        """A constant, or an array of plain data, becomes active in a branch or in a loop."""
        if self.chance(0.5):
            name, value = self.new("s"), self.number(scope, 1)
            self.emit(f"{name} = {self.constant()}")
            scope.add(name, "number")
        else:
            shape = self.a_shape(scope)
            name, value = self.new("a"), self.array(scope, shape, 1)
            self.emit(f"{name} = {self.constructed(Scope(), shape)}")
            scope.add(name, "array", shape)
        test = f"if {self.condition(scope)}:"
        with self.indented(test if self.chance(0.7) else f"for {self.new('i')} in range(2):"):
            self.emit(f"{name} = {value}")

    def without_use(self, scope: Scope) -> None:
        value = self.number(scope) if self.chance(0.5) else self.array(scope, (self.n,), 2)
        self.emit(f"{self.new('d')} = {value}")


def _several(kind: str, count: int, **wanted: bool):
    return lambda w, scope: len(scope.all(kind, **wanted)) >= count


def _weighted(weight: float, applies=lambda w, scope: True):
    return lambda w, scope: weight * applies(w, scope)


_numbers, _stored = _several("number", 1, rebound=True), _several("array", 1, stored=True)
STATEMENTS = {
    "number_named": _weighted(2),
    "number_renamed": _weighted(2, _numbers),
    "number_changed": _weighted(2.5, _numbers),
    "numbers_swapped": _weighted(1.2, _several("number", 2, rebound=True)),
    "integer_named": _weighted(0.6),
    "flag_named": _weighted(0.5),
    "array_named": _weighted(2.6),
    "array_renamed": _weighted(1.2, _several("array", 1, rebound=True)),
    "array_aliased": _weighted(2, _stored),
    "array_viewed": _weighted(1.2, _stored),
    "arrays_swapped": _weighted(1, _several("array", 2, rebound=True)),
    "element_stored": _weighted(3, _stored),
    "part_stored": _weighted(2.2, _stored),
    "part_stored_from_itself": _weighted(0.7, _stored),
    "changed_in_place": _weighted(1.3, _stored),
    "list_named": _weighted(0.8),
    "list_changed": _weighted(0.8, _several("list", 1, stored=True)),
    "tuple_taken_apart": _weighted(0.6, _stored),
    "arrays_together": _weighted(0.5, _several("array", 2, stored=True)),
    "writer_called": _weighted(1.5, lambda w, _: any(h[1] == "writer" for h in w.helpers)),
    "pair_called": _weighted(0.8, lambda w, _: any(h[1] == "pair" for h in w.helpers)),
    "function_inside": _weighted(0.4, lambda w, scope: not w.loops and scope.all("array") != []),
    "branched": _weighted(2.5, lambda w, _: w.may_nest()),
    "jumped": _weighted(1.5, lambda w, _: w.loops > 0),
    "returned_early": _weighted(0.3, lambda w, _: w.is_scalar and w.loops + w.depth > 1),
    "became_active": _weighted(0.6, lambda w, _: w.may_nest()),
    "without_use": _weighted(0.3),
}
