"""The grammar of helpers: functions of an array and a number that f calls."""

from __future__ import annotations

from .statements import Statements
from .writer import Shape

# Bodies by what the helper is for.  {i} and {j} are places in the array, {a} and {b} constants,
# {h} the helper's own name; K is a constant outside.
VECTOR_BODIES = {
    "number": [
        "return math.sin(a[{i}]) * s + {a}",
        "t = {a}\nfor v in a:\n    t = t * s + math.tanh(v)\n    if t > 3.0:\n        break\n"
        "return t",
        "a = a * s\na[{i}] = a[{j}] * s\nreturn np.sum(a)",
        "if s > {a}:\n    return s * a[{i}]\nreturn {b}",
        "t = a[{i}]\nb = a.copy()\nb[{i}] = s\nreturn t * b[{i}] + np.dot(b, a)",
        "n = 0\nfor v in a:\n    if v > {a}:\n        n += 1\nreturn n * s * 0.5 + K",
    ],
    "array": [
        "return a * s + {a}",
        "return a",
        "return a[::-1]",
        "b = np.zeros(a.size)\nfor i in range(a.size):\n    b[i] = a[i - 1] * s\nreturn b",
        "b = np.empty_like(a)\nb[:] = s\nb[1:] += a[:-1]\nreturn b",
        "if s > {a}:\n    return a\nreturn a * {b}",
    ],
    "writer": [
        "a[{i}] = s * a[{j}]",
        "a += s",
        "a[1:] = a[:-1] * {b} + s",
        "b = a\nb[{i}] *= s\na = a * 2.0\na[{j}] = 0.0",
        "for i in range(1, a.size):\n    a[i] += {b} * a[i - 1] * s",
        "a[:] = {b}",
        "if s > {a}:\n    a[{i}] = {b}",
        "a.sort()",
        "b = a[1:]\nb *= s\nb[-1] = a[0]",
    ],
    "pair": [
        "a[{i}] += s\nreturn a, s * a[{j}]",
        "return a * s, a[{i}]",
        "return a[::-1], {b} * s",
    ],
    "recursive": [
        "if s > 2.0:\n    return a[{i}] * s\nreturn {h}(a, s + 0.7) * 0.5 + math.sin(s)",
        "if s > 2.0:\n    return np.sum(a)\nreturn {h}(a * 0.5, s + 0.9) + a[{i}] * s",
        "if a.size < 2:\n    return a[0] * s\nm = a.size // 2\n"
        "return {h}(a[:m], s) + {h}(a[m:], s * 0.5)",
    ],
    "checkpoint": [
        "t = s\nfor i in range(a.size):\n    t = math.sin(t * a[i]) + {a}\nreturn t",
        "b = a * s\nb[{i}] = {a}\nreturn np.sum(b * b)",
    ],
}
MATRIX_BODIES = {
    "number": [
        "return np.sum(a * a) * s",
        "t = s\nfor i in range(a.shape[0]):\n    for j in range(a.shape[1]):\n"
        "        t += a[i, j] * math.sin(t + j)\nreturn t",
        "b = a.copy()\nb[0] = s\nb[:, -1] *= {a}\nreturn np.sum(b * a)",
    ],
    "array": ["return a * s", "b = a.copy()\nb[0] += b[-1] * s\nreturn b", "return a"],
    "writer": [
        "a[0] = a[-1] * s",
        "a[:, 0] += s",
        "for r in a:\n    r *= {b}\n    r[0] = s",
        "a.T[0] = {b}",
        "b = a[1:, :-1]\nb += s * a[:-1, 1:]",
    ],
    "pair": ["return a * s, a[0, -1]", "a[0, 0] = s\nreturn a, a[-1, 0]"],
    "recursive": [
        "if s > 2.0:\n    return a[0, 0] * s\nreturn {h}(a * 0.5, s + 0.9) + a[-1, 0] * s",
    ],
    "checkpoint": ["b = np.tanh(a * s)\nb[0] = {a}\nreturn np.sum(b * a)"],
}
RETURNS = {"recursive": "number", "checkpoint": "number"}


class Helpers(Statements):
    """Writes helpers."""

    def helper(self) -> None:
        """Write one helper, before f."""
        shape: Shape = self.one_of((self.n,), (self.n,), (self.n, self.k))
        what = self.random.choices(
            ["number", "array", "writer", "pair", "recursive", "checkpoint"],
            [3, 2, 3, 1, 0.7 * (not self.is_closure), 0.7],
        )[0]
        bodies = VECTOR_BODIES if len(shape) == 1 else MATRIX_BODIES
        name = self.new("h")
        body = self.one_of(*bodies[what]).format(
            i=self.random.randrange(self.n),
            j=self.random.randrange(self.n),
            a=self.constant(),
            b=self.constant(),
            h=name,
        )
        if self.chance(0.3) or what == "recursive":
            self.emit("@njit")
        with self.indented(f"def {name}(a, s):"):
            self.emit(*body.split("\n"))
        self.emit("")
        if what == "checkpoint":
            self.emit(f"{name}c = ad.checkpoint({name})", "")
            name += "c"
        self.helpers.append((name, RETURNS.get(what, what), shape))
