"""The grammar of arrays: expressions of a given shape, one or two axes."""

from __future__ import annotations

from .numbers import SMOOTH, Numbers
from .writer import Scope, Shape


def text_of(shape: Shape) -> str:
    """Return a shape as NumPy's constructors take it."""
    return str(shape[0]) if len(shape) == 1 else f"({shape[0]}, {shape[1]})"


class Arrays(Numbers):
    """Writes expressions that are arrays."""

    constants: dict[str, Shape]  # arrays of plain data outside of f, never written to

    def array(self, scope: Scope, shape: Shape, depth: int = 1) -> str:
        """Return an array of this shape; without depth most often the name of one."""
        named, deep = scope.all("array", shape), depth > 0
        fixed = [name for name, own in self.constants.items() if own == shape]
        helpers = [h for h in self.helpers if h[1:] == ("array", shape)]
        a = lambda: self.array(scope, shape, depth - 1)
        return self.draw(
            ((3 if deep else 9) * bool(named), lambda: self.some(named).name),
            (0.6 * bool(fixed), lambda: f"({self.one_of(*fixed)} * {self.leaf(scope)})"),
            (0.8, lambda: self.constructed(scope, shape)),
            (4 * deep, lambda: f"({a()} {self.one_of('+', '-', '*', '*')} {a()})"),
            (2 * deep, lambda: self.scaled(scope, a())),
            (2 * deep, lambda: self.elementwise(a())),
            (0.7 * deep, lambda: self.selected(scope, shape, depth)),
            (0.5 * deep * bool(named), lambda: self.conditional(scope, shape)),
            (0.9 * deep * bool(helpers), lambda: self.call_array_helper(scope, helpers)),
            (
                (2.2 if deep or not named else 0.8),
                lambda: (
                    self.vector(scope, shape[0], depth)
                    if len(shape) == 1
                    else self.matrix(scope, shape, depth)
                ),
            ),
        )

    # Of any shape

    def constructed(self, scope: Scope, shape: Shape) -> str:
        """Return a new array of constants, of one number, or of listed numbers."""
        size = text_of(shape)
        one, square = len(shape) == 1, shape[0] == shape[-1]
        row = lambda m: "[" + ", ".join(self.leaf(scope) for _ in range(m)) + "]"
        return self.draw(
            (1, lambda: f"np.zeros({size})"),
            (0.6, lambda: f"np.ones({size})"),
            (1, lambda: f"np.full({size}, {self.leaf(scope)})"),
            (one, lambda: f"(np.arange({size}) * {self.leaf(scope)})"),
            (0.5 * one, lambda: f"np.linspace(0.0, 1.0, {size})"),
            (one, lambda: f"np.array({row(shape[0])})"),
            (0.6 * (not one and square), lambda: f"np.eye({shape[0]})"),
            (
                0.6 * (not one),
                lambda: f"np.array([{', '.join(row(shape[1]) for _ in range(shape[0]))}])",
            ),
        )

    def scaled(self, scope: Scope, a: str) -> str:
        """Return an array and a number."""
        s = self.leaf(scope)
        return self.draw(
            (2, lambda: f"{s} * {a}"),
            (1, lambda: f"({a} - {s})"),
            (1, lambda: f"{a} / (2.0 + math.sin({s}))"),
        )

    def elementwise(self, a: str) -> str:
        """Return a function of every element."""
        return self.draw(
            (3, lambda: f"np.{self.one_of(*SMOOTH)}({a})"),
            (0.7, lambda: f"np.abs({a})"),
            (1, lambda: f"np.exp(-({a}) ** 2)"),
            (1, lambda: f"np.sqrt(1.0 + ({a}) ** 2)"),
            (0.7, lambda: f"({a}) ** {self.one_of(2, 3)}"),
            (0.5, lambda: f"(-{a})"),
        )

    def selected(self, scope: Scope, shape: Shape, depth: int) -> str:
        """Return elements chosen by comparisons."""
        a, b = self.array(scope, shape, depth - 1), self.array(scope, shape, 0)
        return self.draw(
            (
                1.5,
                lambda: (
                    f"np.where({a} {self.one_of('<', '>')} {self.leaf(scope)}, {b}, "
                    f"{self.array(scope, shape, depth - 1)})"
                ),
            ),
            (1, lambda: f"np.clip({a}, -{self.positive()}, {self.positive()})"),
            (1, lambda: f"np.maximum({a}, {b})"),
            (1, lambda: f"np.minimum({a}, {self.leaf(scope)})"),
        )

    def conditional(self, scope: Scope, shape: Shape) -> str:
        """Return one array or another: an alias of either, perhaps."""
        a, b = self.array(scope, shape, 0), self.array(scope, shape, 0)
        return f"({a} if {self.condition(scope)} else {b})"

    def call_array_helper(self, scope: Scope, helpers: list[tuple[str, str, Shape]]) -> str:
        """Return what a helper makes of an array of its shape."""
        name, _, shape = self.random.choice(helpers)
        return f"{name}({self.array(scope, shape, self.one_of(0, 0, 1))}, {self.leaf(scope)})"

    # Vectors

    def piece(self, name: str, size: int, wanted: int) -> str:
        """Return a slice, forward, with a step or backward, of a vector."""
        first = self.random.randint(0, size - wanted)
        last = first + wanted
        steps = 2 * wanted - 1 <= size
        return self.draw(
            (3, lambda: f"{name}[{first}:{last}]"),
            (last == size, lambda: f"{name}[{first}:]"),
            (first == 0, lambda: f"{name}[:{last}]"),
            (1, lambda: f"{name}[{last - 1}:{first - 1 if first else ''}:-1]"),
            (steps, lambda: f"{name}[0:{2 * wanted - 1}:2]"),
        )

    def vector(self, scope: Scope, size: int, depth: int) -> str:
        """Return a vector made of others or of matrices."""
        longer = [v for v in scope.all("array", ndim=1) if v.shape[0] > size]
        same = scope.all("array", (size,))
        rows = [m for m in scope.all("array", ndim=2) if m.shape[1] == size]
        columns = [m for m in scope.all("array", ndim=2) if m.shape[0] == size]
        indices = scope.all("indices") if size == self.n else []
        if not (longer or same or rows or columns):
            return self.constructed(scope, (size,))
        return self.draw(
            (2 * bool(longer), lambda: self.piece_of(longer, size)),
            (0.6 * bool(same), lambda: f"{self.some(same).name}[::-1]"),
            (bool(rows), lambda: self.row(scope, self.some(rows), depth)),
            (bool(columns), lambda: self.column(scope, self.some(columns), depth)),
            (1.5 * bool(same), lambda: self.rearranged(scope, size, depth)),
            (0.8 * bool(same and indices), lambda: self.taken(scope, size)),
        )

    def piece_of(self, vectors: list, size: int) -> str:
        """Return a slice of one of the vectors."""
        longer = self.some(vectors)
        return self.piece(longer.name, longer.shape[0], size)

    def row(self, scope: Scope, matrix, depth: int) -> str:
        """Return a vector along the second axis of a matrix."""
        rows, size = matrix.shape
        name = matrix.name
        v = lambda: self.array(scope, (rows,), depth - 1)
        return self.draw(
            (2, lambda: f"{name}[{self.index(scope, rows)}]"),
            (0.7, lambda: f"{name}[{self.index(scope, rows)}, :]"),
            (1, lambda: f"np.sum({name}, axis=0)"),
            (0.6, lambda: f"{name}.sum(0)"),
            (1, lambda: f"({v()} @ {name})"),
            (0.8, lambda: f"np.dot({name}.T, {v()})"),
            (0.5 * (rows == size), lambda: f"np.diag({name}).copy()"),
        )

    def column(self, scope: Scope, matrix, depth: int) -> str:
        """Return a vector along the first axis of a matrix."""
        columns = matrix.shape[1]
        name = matrix.name
        v = lambda: self.array(scope, (columns,), depth - 1)
        return self.draw(
            (2, lambda: f"{name}[:, {self.index(scope, columns)}]"),
            (1, lambda: f"np.sum({name}, axis=1)"),
            (1.3, lambda: f"({name} @ {v()})"),
            (0.5, lambda: f"np.sum({name} * {v()}, axis=1)"),
        )

    def rearranged(self, scope: Scope, size: int, depth: int) -> str:
        """Return elements of vectors in another order, or sums of them."""
        named = scope.all("array", (size,))
        v, w = self.some(named).name, self.some(named).name
        k = self.random.randint(0, size)
        order = list(range(size))
        self.random.shuffle(order)
        a = lambda: self.array(scope, (size,), depth - 1)
        return self.draw(
            (1, lambda: f"np.cumsum({a()})"),
            (1, lambda: f"np.sort({a()})"),
            (1, lambda: f"np.roll({a()}, {self.random.randint(-2, 2)})"),
            (1, lambda: f"np.concatenate(({v}[{k}:], {w}[:{k}]))"),
            (0.7, lambda: f"{v}.copy()"),
            (0.6, lambda: f"np.append({v}[1:], {self.leaf(scope)})"),
            (0.5, lambda: f"np.diff(np.append({v}, {self.leaf(scope)}))"),
            (0.6, lambda: f"{v}[np.array({order})]"),
            (0.6, lambda: f"np.array([z * {self.leaf(scope)} for z in {v}])"),
            (0.5, lambda: f"{v}.copy().reshape(1, {size})[0]"),
            (0.4, lambda: f"np.where({v} > {w}, {v}, {self.leaf(scope)})"),
        )

    def taken(self, scope: Scope, size: int) -> str:
        """Return elements at places that are an argument."""
        v = self.some(scope.all("array", (size,))).name
        at = self.some(scope.all("indices")).name
        return self.draw((2, lambda: f"{v}[{at}]"), (1, lambda: f"np.take({v}, {at})"))

    # Matrices

    def matrix(self, scope: Scope, shape: Shape, depth: int) -> str:
        """Return a matrix made of vectors or of other matrices."""
        rows, columns = shape
        same, turned = scope.all("array", shape), scope.all("array", shape[::-1])
        deep = depth > 0 and bool(same)
        v = lambda: self.array(scope, (rows,), 0)
        w = lambda: self.array(scope, (columns,), 0)
        m = lambda: self.some(same).name
        return self.draw(
            (2, lambda: f"np.outer({v()}, {w()})"),
            (1, lambda: f"np.reshape({v()}.copy(), ({rows}, 1)) * {w()}"),
            (0.7, lambda: f"np.expand_dims({v()}, 1) + {w()}"),
            (0.7, lambda: f"np.stack(({', '.join(w() for _ in range(rows))}))"),
            (0.5, lambda: f"np.column_stack(({', '.join(v() for _ in range(columns))}))"),
            (0.4 * (rows == columns), lambda: f"np.diag({v()})"),
            (1.2 * deep, lambda: f"({m()} {self.one_of('+', '*', '-')} {w()})"),
            (0.8 * deep, lambda: f"({m()} * np.expand_dims({v()}, 1))"),
            (0.8 * deep * (rows == columns), lambda: f"({m()} @ {m()})"),
            (0.5 * deep, lambda: f"{m()}[{self.one_of('::-1', '::-1, ::-1', ':, ::-1')}]"),
            (0.5 * deep, lambda: f"np.vstack(({m()}[1:], {m()}[:1]))"),
            (0.5 * deep, lambda: f"{m()}.copy()"),
            (0.9 * bool(turned), lambda: f"{self.some(turned).name}.T"),
            (0.5 * bool(turned), lambda: f"{self.some(turned).name}.T.copy()"),
        )
