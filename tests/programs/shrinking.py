"""From a program that fails to a smaller one that fails in the same way.

Only the text changes.  Statements are left out, blocks take the place of what is around them,
expressions that of larger ones; what still fails is kept, until nothing can be left out.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import time
from collections.abc import Callable, Iterator
from typing import Any

from .program import Program

SECONDS = 300.0


def shrunk(program: Program, fails: Callable[[Program], bool], seconds: float = SECONDS) -> Program:
    """Return the smallest program found for which `fails` is true, as it is of the given one."""
    until = time.monotonic() + seconds
    tree, tried = ast.parse(program.source), {program.source}
    progress = True
    while progress and time.monotonic() < until:
        progress = False
        for smaller in _smaller(tree):
            source = ast.unparse(ast.fix_missing_locations(smaller)) + "\n"
            if source in tried:
                continue
            tried.add(source)
            candidate = dataclasses.replace(program, source=source)
            if fails(candidate):
                program, tree, progress = candidate, ast.parse(source), True
                break
            if time.monotonic() > until:
                break
    return program


def _smaller(tree: ast.Module) -> Iterator[ast.Module]:
    """Return trees with a bit less, those with much less first."""
    for edits in (_without_statements, _with_blocks_opened, _with_parts_for_expressions):
        yield from edits(tree)


def _edited(tree: ast.Module, path: list[Any], edit: Callable[[Any], Any]) -> ast.Module | None:
    """Return a copy, in which `edit` has changed the node at a path."""
    new = copy.deepcopy(tree)
    node: Any = new
    for step in path:
        node = node[step] if isinstance(step, int) else getattr(node, step)
    return new if edit(node) is not False else None


def _bodies(node: Any, path: list[Any]) -> Iterator[tuple[list[Any], list[ast.stmt]]]:
    """Return paths to all lists of statements, and these."""
    for name in ("body", "orelse"):
        statements = getattr(node, name, None)
        if not isinstance(statements, list) or not statements:
            continue
        yield [*path, name], statements
        for i, statement in enumerate(statements):
            yield from _bodies(statement, [*path, name, i])


def _without_statements(tree: ast.Module) -> Iterator[ast.Module]:
    """Leave out a half, a quarter, ..., one of the statements of a block."""
    for path, statements in list(_bodies(tree, [])):
        size = len(statements)
        while size:
            for start in range(0, len(statements), size):

                def leave_out(
                    body: Any, start: int = start, size: int = size, path: Any = path
                ) -> Any:
                    gone = body[start : start + size]
                    if all(isinstance(s, ast.Pass) for s in gone):
                        return False
                    body[start : start + size] = []
                    if not body and path[-1] == "body":
                        body.append(ast.Pass())
                    return True

                found = _edited(tree, path, leave_out)
                if found is not None:
                    yield found
            size //= 2


def _with_blocks_opened(tree: ast.Module) -> Iterator[ast.Module]:
    """Put what is in a loop or in a branch in its place; decorators are left out."""
    for path, statements in list(_bodies(tree, [])):
        for i, statement in enumerate(statements):
            if isinstance(statement, ast.If | ast.For | ast.While):
                for inner in ("body", "orelse"):

                    def open_block(body: list[Any], i: int = i, inner: str = inner) -> Any:
                        statements = getattr(body[i], inner)
                        body[i : i + 1] = statements
                        return bool(statements)

                    found = _edited(tree, path, open_block)
                    if found is not None:
                        yield found
            if isinstance(statement, ast.FunctionDef) and statement.decorator_list:
                undecorated = _edited(
                    tree, [*path, i], lambda node: node.decorator_list.clear() or True
                )
                if undecorated is not None:
                    yield undecorated


def _with_parts_for_expressions(tree: ast.Module) -> Iterator[ast.Module]:
    """Put a part of an expression, or a constant, in its place; large expressions first."""
    places = [
        (path, node)
        for path, node in _expressions(tree, [])
        if not isinstance(node, ast.Constant | ast.Name)
    ]
    places.sort(key=lambda place: -sum(1 for _ in ast.walk(place[1])))
    for path, node in places:
        *above, last = path
        parts = [n for n in ast.iter_child_nodes(node) if isinstance(n, ast.expr)]
        for replacement in [*parts, ast.Constant(0.5), ast.Constant(1)]:

            def replace(parent: Any, last: Any = last, new: Any = replacement) -> None:
                if isinstance(last, int):
                    parent[last] = copy.deepcopy(new)
                else:
                    setattr(parent, last, copy.deepcopy(new))

            found = _edited(tree, above, replace)
            if found is not None:
                yield found


def _expressions(node: Any, path: list[Any]) -> Iterator[tuple[list[Any], ast.expr]]:
    """Return paths to all expressions that are read, and these."""
    if isinstance(node, list):
        children = [(i, child) for i, child in enumerate(node)]
    else:
        children = list(ast.iter_fields(node))
    for step, child in children:
        if isinstance(child, ast.expr) and isinstance(getattr(child, "ctx", ast.Load()), ast.Load):
            yield [*path, step], child
        if isinstance(child, ast.AST | list):
            yield from _expressions(child, [*path, step])
