"""The grammar of loops, and of patterns of several lines that numerical programs consist of."""

from __future__ import annotations

from .statements import STATEMENTS, Statements
from .writer import Scope


class Idioms(Statements):
    """Writes loops, time steps, recurrences, searches, buffers."""

    def loop(self, scope: Scope, head: str) -> None:
        """Write a loop with a few statements in it; some never run twice, some never at all."""
        self.loops += 1
        with self.indented(head):
            self.block(scope, self.random.randint(1, 3))
        self.loops -= 1

    def counted(self, scope: Scope) -> None:
        """A loop over integers, whose bounds may depend on others."""
        n, i, inner = self.n, self.new("i"), scope.inner()
        inner.add(i, "integer", is_rebound=False)
        integer = lambda: self.some(scope.all("integer")).name
        bounded = bool(scope.all("integer"))
        bounds = self.draw(
            (2, lambda: str(self.random.randint(1, 3))),
            (1, lambda: str(n)),
            (1, lambda: f"1, {n}"),
            (1, lambda: f"{n - 1}, {self.random.randint(-1, 1)}, -{self.one_of(1, 2)}"),
            (2 * bounded, lambda: f"{integer()} % 4"),
            (bounded, lambda: f"{integer()} % 3, {n}"),
            (0.2, lambda: "0"),
        )
        self.loop(inner, f"for {i} in range({bounds}):")

    def through_elements(self, scope: Scope) -> None:
        """A loop over the elements of vectors or lists, over the rows of a matrix."""
        inner, e = scope.inner(), self.new("e")
        vectors, lists = scope.all("array", ndim=1), scope.all("list")
        matrices = scope.all("array", ndim=2)
        kinds = ["element"] * bool(vectors) + ["list"] * bool(lists) + ["row"] * bool(matrices)
        kind = self.random.choice([*kinds, *(["zip", "enumerate"] if vectors else [])])
        over = self.some({"list": lists, "row": matrices}.get(kind, vectors)).name
        if kind == "row":
            rows = next(v for v in matrices if v.name == over)
            inner.add(e, "array", rows.shape[1:], is_rebound=False)
            self.loop(inner, f"for {e} in {over}:")
            return
        inner.add(e, "number", is_rebound=self.chance(0.5))
        if kind == "list":
            inner.freeze(over)  # or it might grow for ever
        head = f"for {e} in {over}:"
        if kind == "zip":
            other = inner.add(self.new("e"), "number")
            head = f"for {e}, {other} in zip({over}, {self.some(vectors).name}):"
        elif kind == "enumerate":
            i = inner.add(self.new("i"), "integer", is_rebound=False)
            head = f"for {i}, {e} in enumerate({over}):"
        self.loop(inner, head)

    def until(self, scope: Scope) -> None:
        """A loop that ends by a condition, at the latest after a few rounds."""
        i, inner = self.new("k"), scope.inner()
        self.emit(f"{i} = 0")
        test = f" and {self.condition(scope, 0)}" if self.chance(0.6) else ""
        inner.add(i, "integer", is_rebound=False)
        self.loops += 1
        with self.indented(f"while {i} < {self.random.randint(2, 4)}{test}:"):
            self.emit(f"{i} += 1")
            self.block(inner, self.random.randint(1, 3))
        self.loops -= 1

    def stepped(self, scope: Scope) -> None:
        """Time steps between two arrays that change places."""
        n, t, i = self.n, self.new("i"), self.new("i")
        old, new = self.new("a"), self.new("a")
        start = self.array(scope, (n,), 1)
        self.emit(f"{old} = 1.0 * {start}", f"{new} = np.zeros({n})")
        scope.add(old, "array", (n,))
        scope.add(new, "array", (n,))
        with self.indented(f"for {t} in range({self.one_of(1, 2, 3)}):"):
            if self.chance(0.5):
                with self.indented(f"for {i} in range(1, {n - 1}):"):
                    flow = f"{old}[{i} - 1] - 2.0 * {old}[{i}] + {old}[{i} + 1]"
                    self.emit(f"{new}[{i}] = {old}[{i}] + {self.constant()} * ({flow})")
            else:
                flow = f"{old}[:-2] - 2.0 * {old}[1:-1] + {old}[2:]"
                self.emit(f"{new}[1:-1] = {old}[1:-1] + {self.leaf(scope)} * ({flow})")
            self.emit(f"{new}[0] = {self.number(scope, 1)}")
            if self.chance(0.5):
                self.emit(f"{new}[-1] = {old}[-1] * {self.leaf(scope)}")
            self.emit(f"{old}, {new} = {new}, {old}")

    def recurred(self, scope: Scope) -> None:
        """Numbers that pass from one round to the next."""
        p, q, i = self.new("s"), self.new("s"), self.new("i")
        self.emit(f"{p}, {q} = {self.leaf(scope)}, {self.number(scope, 1)}")
        for name in (p, q):
            scope.add(name, "number")
        inner = scope.inner()
        inner.add(i, "integer", is_rebound=False)
        bound = self.integer(scope)
        with self.indented(f"for {i} in range({bound} % 5):"):
            step = f"{p} * {self.constant()} + math.sin({q}) * {self.leaf(inner)}"
            self.emit(f"{p}, {q} = {q}, {step}")

    def accumulated(self, scope: Scope) -> None:
        """A sum that a loop adds to, or takes from; it may be read while it grows."""
        total, other, i = self.new("s"), self.new("s"), self.new("i")
        self.emit(
            f"{total} = {self.one_of('0.0', '0.0', '1.0', self.leaf(scope))}", f"{other} = 0.5"
        )
        inner = scope.inner()
        inner.add(i, "integer", is_rebound=False)
        with self.indented(f"for {i} in range({self.one_of(2, 3, self.n)}):"):
            if self.chance(0.3):
                self.emit(f"{other} = {total}")
            self.emit(f"{total} {self.one_of('+=', '-=')} {self.number(inner, 1)}")
            if self.chance(0.4):
                self.emit(f"{other} {self.one_of('+=', '*=', '=')} {total} * {self.leaf(inner)}")
            if self.chance(0.2):
                self.emit(f"{total} -= {self.leaf(inner)} * {self.leaf(inner)}")
        scope.add(total, "number")
        scope.add(other, "number")

    def searched(self, scope: Scope) -> None:
        """The largest element and its place, by a loop."""
        best, at, i = self.new("s"), self.new("k"), self.new("i")
        vectors = scope.all("array", ndim=1)
        if not vectors:
            return self.counted(scope)
        v = self.some(vectors)
        self.emit(f"{best} = {v.name}[0]", f"{at} = 0")
        with (
            self.indented(f"for {i} in range(1, {v.name}.size):"),
            self.indented(f"if {v.name}[{i}] {self.one_of('<', '>')} {best}:"),
        ):
            self.emit(f"{best} = {v.name}[{i}]", f"{at} = {i}")
            if self.chance(0.3):
                self.emit("break")
        scope.add(best, "number")
        scope.add(at, "integer", is_rebound=False)
        return None

    def swept(self, scope: Scope) -> None:
        """A loop over all elements of a matrix, that accumulates."""
        n, k = self.n, self.k
        m, i, j = self.new("m"), self.new("i"), self.new("j")
        self.emit(f"{m} = {self.constructed(scope, (n, k))}")
        inner = scope.inner()
        inner.add(i, "integer", is_rebound=False)
        inner.add(j, "integer", is_rebound=False)
        with self.indented(f"for {i} in range({n}):"):
            bound = self.one_of(str(k), f"min({i}, {k})")
            with self.indented(f"for {j} in range({bound}):"):
                self.emit(f"{m}[{i}, {j}] {self.one_of('=', '+=')} {self.number(inner, 1)}")
        scope.add(m, "array", (n, k))

    def buffered(self, scope: Scope) -> None:
        """A buffer that is filled anew in every round, and read."""
        n, t, i = self.n, self.new("a"), self.new("i")
        total = self.new("s")
        self.emit(f"{t} = np.empty({n})", f"{total} = 0.0", f"{t}[:] = {self.leaf(scope)}")
        scope.add(t, "array", (n,))
        scope.add(total, "number")
        inner = scope.inner()
        inner.add(i, "integer", is_rebound=False)
        with self.indented(f"for {i} in range({self.one_of(2, 3)}):"):
            self.emit(f"{t}[:] = {self.array(inner, (n,), 1)}")
            self.emit(f"{t} *= {self.leaf(inner)}" if self.chance(0.5) else f"{t}[{i}] = {total}")
            self.emit(f"{total} += {self.one_of(f'np.sum({t})', f'{t}[-1] * {t}[0]')}")

    def reused(self, scope: Scope) -> None:
        """A temporary that is used for two things, one after the other."""
        t, first, second = self.new("a"), self.new("a"), self.new("a")
        n = self.n
        self.emit(f"{t} = {self.array(scope, (n,), 1)} * {self.leaf(scope)}")
        self.emit(f"{first} = {t} + {self.leaf(scope)}")
        again = self.one_of("", "[:]")
        self.emit(f"{t}{again} = {self.array(scope, (n,), 1)} - {first}")
        self.emit(f"{second} = {first} * {t}")
        for name in (t, first, second):
            scope.add(name, "array", (n,))


def _when_it_may_nest(weight: float):
    return lambda w, scope: weight * w.may_nest()


def _with_elements(weight: float):
    return lambda w, scope: weight * (w.may_nest() and bool(scope.all("array")))


Idioms.patterns = {
    "counted": _when_it_may_nest(2.5),
    "through_elements": _with_elements(1.5),
    "until": _when_it_may_nest(1),
    "stepped": _when_it_may_nest(0.6),
    "recurred": _when_it_may_nest(0.6),
    "accumulated": _when_it_may_nest(3),
    "searched": _when_it_may_nest(0.3),
    "swept": _when_it_may_nest(0.6),
    "buffered": _when_it_may_nest(0.6),
    "reused": lambda w, scope: 0.5,
}
FEATURES = (*STATEMENTS, *Idioms.patterns)
"""Names of everything that a statement may be."""
