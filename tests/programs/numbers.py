"""The grammar of numbers: integers, indices, conditions, real numbers."""

from __future__ import annotations

from .writer import Scope, Shape, Writer

SMOOTH = ("sin", "cos", "tanh", "arctan")


class Numbers(Writer):
    """Writes expressions that are numbers; those of arrays come from `arrays`."""

    n: int  # the usual length of a vector
    helpers: list[tuple[str, str, Shape]]  # name, what it returns, the shape of its array

    def array(self, scope: Scope, shape: Shape, depth: int = 1) -> str:
        """Return an array; see `arrays`."""
        raise NotImplementedError

    # Integers, places in arrays

    def integer(self, scope: Scope) -> str:
        """Return an integer that is not negative."""
        integers, lists = scope.all("integer"), scope.all("list")
        arrays = scope.all("array")
        return self.draw(
            (2 * bool(integers), lambda: self.some(integers).name),
            (bool(integers), lambda: f"({self.some(integers).name} * 2 + {self.one_of(1, 2)})"),
            (bool(integers), lambda: f"({self.some(integers).name} // 2)"),
            (0.6 * bool(arrays), lambda: f"{self.some(arrays).name}.size"),
            (0.4 * bool(arrays), lambda: f"{self.some(arrays).name}.shape[0]"),
            (0.4 * bool(lists), lambda: f"len({self.some(lists).name})"),
            (0.6 * bool(scope.all("indices")), lambda: self.entry_of_indices(scope)),
            (1, lambda: str(self.random.randint(0, 4))),
        )

    def entry_of_indices(self, scope: Scope) -> str:
        """Return an element of an array of integers."""
        return f"{self.some(scope.all('indices')).name}[{self.random.randrange(self.n)}]"

    def index(self, scope: Scope, size: int) -> str:
        """Return a place in an axis of this size."""
        integers, vectors = scope.all("integer"), scope.all("array", (size,))
        integer = lambda: self.some(integers).name
        return self.draw(
            (2, lambda: str(self.random.randrange(size))),
            (1, lambda: str(-self.random.randint(1, size))),
            (3 * bool(integers), lambda: f"{integer()} % {size}"),
            (bool(integers), lambda: f"({integer()} + {self.one_of(1, 2)}) % {size}"),
            (0.7 * bool(integers), lambda: f"-1 - {integer()} % {size}"),
            (0.5 * bool(scope.all("indices")), lambda: f"{self.entry_of_indices(scope)} % {size}"),
            (0.2 * bool(vectors), lambda: f"np.argmax({self.some(vectors).name})"),
        )

    def element(self, scope: Scope, *, stored: bool = False) -> str:
        """Return an element of an array."""
        array = self.some(scope.all("array", stored=stored))
        places = ", ".join(self.index(scope, size) for size in array.shape)
        if len(array.shape) == 2 and self.chance(0.2):
            places = "][".join(places.split(", "))
        return f"{array.name}[{places}]"

    # Conditions

    def condition(self, scope: Scope, depth: int = 1) -> str:
        """Return a condition."""
        relation = self.one_of("<", ">", "<=", ">=")
        arrays = scope.all("array")
        return self.draw(
            (4, lambda: f"{self.leaf(scope)} {relation} {self.number(scope, 1)}"),
            (bool(arrays), lambda: f"{self.element(scope)} {relation} {self.constant()}"),
            (bool(scope.all("flag")), lambda: self.some(scope.all("flag")).name),
            (
                bool(scope.all("integer")),
                lambda: f"{self.integer(scope)} % {self.one_of(2, 3)} == {self.one_of(0, 1)}",
            ),
            (
                0.6 * depth,
                lambda: (
                    f"{self.condition(scope, 0)} {self.one_of('and', 'or')} "
                    f"{self.condition(scope, 0)}"
                ),
            ),
            (0.3 * depth, lambda: f"not ({self.condition(scope, 0)})"),
            (
                0.3 * bool(arrays),
                lambda: (
                    f"np.{self.one_of('any', 'all')}({self.some(arrays).name} {relation} "
                    f"{self.constant()})"
                ),
            ),
        )

    # Real numbers

    def leaf(self, scope: Scope) -> str:
        """Return a number without arithmetic."""
        numbers, arrays, lists = scope.all("number"), scope.all("array"), scope.all("list")
        return self.draw(
            (4 * bool(numbers), lambda: self.some(numbers).name),
            (5 * bool(arrays), lambda: self.element(scope)),
            (0.7 * bool(lists), lambda: f"{self.some(lists).name}[{self.one_of('0', '-1')}]"),
            (1, self.constant),
            (0.3, lambda: "K"),
        )

    def number(self, scope: Scope, depth: int = 2) -> str:
        """Return a number of some arithmetic."""
        if depth <= 0 or self.chance(0.15):
            return self.leaf(scope)
        lists, arrays = scope.all("list"), scope.all("array")
        helpers = [name for name, what, _ in self.helpers if what == "number"]
        a = lambda: self.number(scope, depth - 1)
        return self.draw(
            (5, lambda: f"({a()} {self.one_of('+', '-', '*', '*')} {a()})"),
            (3, lambda: self.called(a())),
            (1, lambda: self.power(scope, a())),
            (1, lambda: f"{a()} / (2.0 + math.sin({a()}))"),
            (1, lambda: f"{self.one_of('max', 'min', 'np.maximum', 'np.minimum')}({a()}, {a()})"),
            (0.8, lambda: f"({a()} if {self.condition(scope)} else {a()})"),
            (0.7, lambda: f"{a()} * {self.integer(scope)} * 0.3"),
            (0.4, lambda: f"{a()} * ({self.condition(scope, 0)})"),
            (1.2 * bool(helpers), lambda: self.call_helper(scope, "number")),
            (0.4 * bool(lists), lambda: f"sum({self.some(lists).name})"),
            (3 * bool(arrays), lambda: self.reduction(scope, depth)),
        )

    def called(self, a: str) -> str:
        """Return a function of a number."""
        name = self.one_of(*SMOOTH)
        return self.draw(
            (2, lambda: f"np.{name}({a})"),
            (1.5, lambda: f"math.{name.replace('arctan', 'atan')}({a})"),
            (1, lambda: f"math.exp(-({a}) ** 2)"),
            (1, lambda: f"math.sqrt(1.0 + ({a}) ** 2)"),
            (1, lambda: f"np.log(1.5 + math.sin({a}))"),
            (1, lambda: f"abs({a})"),
            (0.5, lambda: f"math.hypot({a}, {self.positive()})"),
            (0.5, lambda: f"math.atan2({a}, {self.positive()})"),
            (0.3, lambda: f"({a} - np.floor({a}))"),
            (0.5, lambda: f"(-{a})"),
        )

    def power(self, scope: Scope, a: str) -> str:
        """Return a power of a number."""
        return self.draw(
            (2, lambda: f"({a}) ** {self.one_of(2, 3)}"),
            (1, lambda: f"(1.0 + ({a}) ** 2) ** {self.constant()}"),
            (1, lambda: f"(1.5 + math.sin({a})) ** {self.leaf(scope)}"),
            (bool(scope.all("integer")), lambda: f"({a}) ** ({self.integer(scope)} % 4)"),
        )

    def reduction(self, scope: Scope, depth: int) -> str:
        """Return a number made of an array."""
        some = self.some(scope.all("array"))
        name, size = some.name, some.shape[0]
        integers = scope.all("integer")
        if self.chance(0.5):
            name = self.array(scope, some.shape, depth - 1)
        at = self.draw(
            (1, lambda: str(self.random.randint(0, size))),
            (1.5 * bool(integers), lambda: f"{self.some(integers).name} % {size + 1}"),
        )
        one, two = len(some.shape) == 1, len(some.shape) == 2
        square = two and some.shape[0] == some.shape[1]
        kept = self.some(scope.all("array", some.shape)).name
        return self.draw(
            (3, lambda: f"np.sum({name})"),
            (1.5, lambda: f"np.mean({name})"),
            (1, lambda: f"{kept}.sum()"),
            (0.8, lambda: f"np.{self.one_of('max', 'min')}({kept})"),
            (0.4, lambda: f"np.prod({kept})"),
            (0.4, lambda: f"np.var({name})"),
            (0.7, lambda: f"np.sum({kept} * {name})"),
            (1.5 * one, lambda: f"np.dot({name}, {kept})"),
            (one, lambda: f"({kept} @ {name})"),
            (1.2 * one, lambda: f"np.sum({kept}[{at}:])"),
            (0.6 * one, lambda: f"{kept}[:{at}].sum()"),
            (0.6 * one, lambda: f"np.sum({kept}[::-2] * {self.leaf(scope)})"),
            (0.6 * one, lambda: f"np.sum({kept}[{kept} > {self.constant()}])"),
            (0.3 * one, lambda: f"np.sum({kept}[{at}:{at}])"),
            (two, lambda: f"np.sum({kept}[{at}:, :-1])"),
            (two, lambda: f"np.sum({kept}[:, {self.index(scope, some.shape[1])}])"),
            (0.6 * square, lambda: f"np.trace({kept})"),
        )

    def call_helper(self, scope: Scope, what: str) -> str:
        """Return a call of a helper with an array of its shape and a number."""
        name, _, shape = self.random.choice([h for h in self.helpers if h[1] == what])
        return f"{name}({self.array(scope, shape, self.one_of(0, 0, 1))}, {self.leaf(scope)})"
