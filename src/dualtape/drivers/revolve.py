"""The binomial schedule of checkpointing: which states to save and where to continue from.

Reversing n steps with room for s states takes ``r n - beta(s + 1, r - 1)`` forward steps, the
fewest possible; ``beta(s, r) = (s + r)! / (s! r!)``, r is the smallest with ``beta(s, r) >= n``.

A. Griewank and A. Walther, "Algorithm 799: revolve", ACM Trans. Math. Softw. 26 (2000) 19-45.
"""

from __future__ import annotations

import numpy as np

ADVANCE, STORE, RESTORE, REVERSE = range(4)
"""(ADVANCE, from, to), (STORE, step, slot), (RESTORE, step, slot), (REVERSE, step, 0)."""


def split(n: int, slots: int) -> int:
    """Return how far to advance from the first of n states before the next one is saved.

    Parameters
    ----------
    n : int
        Steps to reverse, at least 2.
    slots : int
        Number of states that can be saved, including the first one.
    """
    if slots == 1:
        return n - 1
    # beta(slots, r), beta(slots, r - 1), beta(slots - 1, r - 1) for growing r
    r, whole, before, side = 1, slots + 1, 1, 1
    while whole < n:
        r += 1
        side = side * (slots + r - 2) // (r - 1)
        before = whole
        whole = whole * (slots + r) // r
    return max(1, min(before, n - side))


def schedule(n: int, slots: int) -> np.ndarray:
    """Return the actions that reverse n steps with room for `slots` states.

    Parameters
    ----------
    n : int
        Number of steps.
    slots : int
        Number of states that can be saved, including the first one; at least 1.

    Returns
    -------
    array of shape (actions, 3)
        (action, a, b); see ADVANCE, STORE, RESTORE, REVERSE. It begins at state 0.
    """
    actions = [(STORE, 0, 0)]
    present = 0
    todo = [(0, n, 0, slots)]
    while len(todo) > 0:
        low, high, slot, free = todo.pop()
        if high <= low:
            continue
        if present != low:
            actions.append((RESTORE, low, slot))
            present = low
        if high - low == 1:
            actions.append((REVERSE, low, 0))
            continue
        middle = low + split(high - low, free)
        actions.append((ADVANCE, low, middle))
        present = middle
        todo.append((low, middle, slot, free))
        if high - middle == 1:
            actions.append((REVERSE, middle, 0))
        else:
            actions.append((STORE, middle, slot + 1))
            todo.append((middle, high, slot + 1, free - 1))
    out = np.empty((len(actions), 3), np.int64)
    for i in range(len(actions)):
        out[i, 0], out[i, 1], out[i, 2] = actions[i]
    return out
