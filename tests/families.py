"""Functions that are compiled together: one function with a number that chooses among them."""

import functools

from numba import njit

TOGETHER = 6  # functions in one compilation


def chosen(f0, f1, f2, f3, f4, f5):
    def f(x, which):
        if which == 0:
            return f0(x)
        if which == 1:
            return f1(x)
        if which == 2:
            return f2(x)
        if which == 3:
            return f3(x)
        if which == 4:
            return f4(x)
        return f5(x)

    return f


_chosen = functools.cache(chosen)
_compiled = functools.cache(njit)


def together(name, functions):
    """Return the function of (x, which) that a function is in, and which it is.

    `functions` maps names to functions of one argument that are compiled together in their order.
    """
    names = list(functions)
    first = names.index(name) // TOGETHER * TOGETHER
    group = [names[(first + i) % len(names)] for i in range(TOGETHER)]
    made = _chosen(*(_compiled(functions[member]) for member in group))
    return made, names.index(name) - first
