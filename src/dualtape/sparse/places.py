"""Where the partials of a recording of known structure go: places, and what remains to be done.

A replay (see `tape.stream`) stores the partials of its slots one after another at given places of a
buffer that begins with the entries of the Jacobian.  An entry that is a partial is stored there at
once.  Where intermediate rows are eliminated, the first partial by an input of every gradient is
stored in the gradient; others get places behind, and are added; partials by intermediate rows get
places of their own and are multiplied.  What no output needs, and what is passive, goes to the last
place.

The multiplications of `pattern.elimination_plan` are done level by level: a gradient's level is one
more than the highest of those that it is made of, so within a level the order is free.  There the
targets of equally many products follow one another, in loops that keep a sum in a register.
Measured in one run, for entries of Jacobians over the function, n = 1000: Burgers' equation with
fluxes in an array 6.6, and 9.2 in the order of the plan.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..backend.allocation import larger, zero_array
from ..backend.jit import entry, inlined, kernel
from ..numbers.streamed import K_MAX
from ..reverse.borrowing import array_at
from .pattern import Structure, own_entries
from .program import COPIES, ELIMINATE, GATHER, KIND, SCRATCH, SIZE, A, B, C, make_program


class Places(NamedTuple):
    """Places of slots in a buffer, and the operations on it that give the entries.

    Attributes
    ----------
    pattern : tuple of arrays
        ``indptr, indices`` of the Jacobian.
    size, total : int
        Entries of the Jacobian, and numbers in the buffer.
    place : array of uint32
        Of every slot, and of some more.
    sums : array of pairs (target, source)
        To be added.
    runs : array of pairs (number of products, number of targets)
        How often so many products are added to a target; see `finish`.
    targets : array
        The targets of all runs, each once.
    products : array of pairs (partial, gradient)
        Of one target after the other.
    copies : array of pairs (target, source)
        To be copied at the end.
    """

    pattern: Any
    size: int
    total: int
    place: Any
    sums: Any
    runs: Any
    targets: Any
    products: Any
    copies: Any


def places_of(captured: Structure, outputs: Any, n: int, method: str) -> Places | None:
    """Return the places for a captured structure; None if sweeps compute its Jacobian.

    Columns of passive slots are 0 in it.
    """
    kept = captured.col != 0
    position = np.concatenate([[0], np.cumsum(kept)])
    structure = captured._replace(
        col=captured.col[kept],
        partial=captured.partial[kept],
        row_end=position[captured.row_end].astype(np.uint32),
        first=position[captured.first],
        end=position[captured.end],
    )
    words, pattern = make_program(structure, outputs, n, method)
    slots, _ = own_entries(captured)  # every slot's entry
    active = np.flatnonzero(kept[slots])
    slot_of = np.full(position[-1] + 1, -1)
    slot_of[position[slots[active]]] = active
    make = {GATHER: _gathered, ELIMINATE: _eliminated}.get(int(words[KIND]))
    return None if make is None else make(words.astype(np.int64), pattern, slots.size, slot_of)


_NONE, _NO_PAIRS = np.zeros(0, np.uint32), np.zeros((0, 2), np.uint32)


def _gathered(words: Any, pattern: Any, slots: int, slot_of: Any) -> Places:
    size = int(words[SIZE])
    place = np.full(slots + K_MAX, size)
    place[slot_of[words[words[A] : words[B]]]] = np.arange(size)
    rest = _NO_PAIRS, _NO_PAIRS, _NONE, _NO_PAIRS, _NO_PAIRS
    return Places(pattern, size, size + 1, place.astype(np.uint32), *rest)


def _eliminated(words: Any, pattern: Any, slots: int, slot_of: Any) -> Places:
    size, one, copied = int(words[SIZE]), int(words[SIZE] + words[SCRATCH]), int(words[COPIES])
    target, source = words[words[A] : words[B]], words[words[B] : words[C]]
    count = target.size - copied
    copies = np.stack([target[count:], source[count:]], axis=-1)
    target, source, slot = target[:count], source[:count], slot_of[words[words[C] :]]
    total, place = one, np.full(slots + K_MAX, -1)  # the constant 1 has no place
    is_input = source == one
    direct, first = np.unique(target[is_input], return_index=True)
    is_first = np.zeros(count, np.bool_)
    is_first[np.flatnonzero(is_input)[first]] = True
    place[slot[is_first]] = target[is_first]
    others = np.flatnonzero(is_input & ~is_first)
    place[slot[others]] = total + np.arange(others.size)
    total += others.size
    multiplied = np.unique(slot[~is_input])
    place[multiplied] = total + np.arange(multiplied.size)
    total += multiplied.size
    place[place < 0] = total
    sums = np.stack([target, place[slot]], axis=-1)[others]
    products = np.stack([target, place[slot], source], axis=-1)[~is_input]
    parts = place, sums, *_runs(products, direct, total), copies
    place, *operations = (np.ascontiguousarray(part, np.uint32) for part in parts)
    return Places(pattern, size, total + 1, place, *operations)


def _runs(products: Any, direct: Any, total: int) -> tuple[Any, Any, Any]:
    """Return runs, targets and products by level; see `Places`.

    `direct` are the targets that have a value before; the runs of others are marked by `FRESH`.
    """
    level = _levels(products, total)
    targets, counts = np.unique(products[:, 0], return_counts=True)
    kinds = counts + np.where(np.isin(targets, direct), 0, FRESH)
    order = np.lexsort((targets, kinds, level[targets]))
    targets, kinds = targets[order], kinds[order]
    rank = np.zeros(total + 1, np.int64)
    rank[targets] = np.arange(targets.size)
    by_target = np.argsort(rank[products[:, 0]], kind="stable")
    steps = np.diff(level[targets], prepend=-1) | np.diff(kinds, prepend=-1)
    starts = np.flatnonzero(steps)
    lengths = np.diff(starts, append=targets.size)
    return np.stack([kinds[starts], lengths], axis=-1), targets, products[by_target, 1:]


@entry
def _levels(products: Any, total: Any) -> Any:
    """Return the level of every place; products come in the order of the plan."""
    level = zero_array(total + 1, np.int64)
    for k in range(products.shape[0]):
        target, source = products[k, 0], products[k, 2]
        level[target] = larger(level[target], level[source] + 1)
    return level


# In compiled code

FRESH = 2**30  # marks targets without a value
SLOTS, ENTRIES, TOTAL, DECISIONS, KEYS = range(5)  # sizes
PLACE, KNOWN, KEY, SUMS, RUNS, TARGETS, PRODUCTS, COPIED = range(5, 13)  # addresses
ADDITIONS, RUNNING, COPYINGS = range(13, 16)  # numbers of sums, runs and copies
HEADER = 16


def header_of(places: Places, known: Any, key: Any) -> tuple[Any, list[Any]]:
    """Return sizes and addresses of all parts in one array, and the arrays to be kept alive."""
    known = np.concatenate([known, np.zeros(1, np.uint8)])
    parts = [places.place, known, key, *places[4:]]
    slots = places.place.size - K_MAX
    sizes = [slots, places.size, places.total, known.size - 1, key.size]
    counts = [len(places.sums), len(places.runs), len(places.copies)]
    header = np.array([*sizes, *(part.ctypes.data for part in parts), *counts], np.int64)
    return header, [header, *parts]


@kernel
def finish(buffer: Any, header: Any) -> None:
    """Compute the entries at the beginning of a buffer from the partials in it."""
    words = array_at(header, HEADER, np.int64(0))
    sums = array_at(words[SUMS], 2 * words[ADDITIONS], np.uint32(0))
    for k in range(0, sums.size, 2):
        buffer[sums[k]] += buffer[sums[k + 1]]
    multiply(buffer, header)
    copies = array_at(words[COPIED], 2 * words[COPYINGS], np.uint32(0))
    for k in range(0, copies.size, 2):
        buffer[copies[k]] = buffer[copies[k + 1]]


@kernel
def multiply(buffer: Any, header: Any) -> None:
    """Add products to their targets, run by run."""
    words = array_at(header, HEADER, np.int64(0))
    runs = array_at(words[RUNS], 2 * words[RUNNING], np.uint32(0))
    target, product = words[TARGETS], words[PRODUCTS]
    for r in range(0, runs.size, 2):
        is_fresh = runs[r] >= FRESH
        count = np.int64(runs[r]) - (FRESH if is_fresh else 0)
        length = np.int64(runs[r + 1])
        targets = array_at(target, length, np.uint32(0))
        products = array_at(product, 2 * length * count, np.uint32(0))
        target += 4 * length
        product += 8 * length * count
        if count == 1:
            for k in range(length):
                s = 0.0 if is_fresh else buffer[targets[k]]
                buffer[targets[k]] = s + strong_product(buffer, products, 2 * k)
        elif count == 2:
            for k in range(length):
                s = 0.0 if is_fresh else buffer[targets[k]]
                s += strong_product(buffer, products, 4 * k)
                buffer[targets[k]] = s + strong_product(buffer, products, 4 * k + 2)
        else:
            for k in range(length):
                s = 0.0 if is_fresh else buffer[targets[k]]
                for q in range(k * count, (k + 1) * count):
                    s += strong_product(buffer, products, 2 * q)
                buffer[targets[k]] = s


@inlined
def strong_product(buffer: Any, products: Any, k: Any) -> Any:
    """Return a product, which is zero if a factor is, whatever the other one is."""
    p, g = buffer[products[k]], buffer[products[k + 1]]
    v = p * g
    if v != v and (p == 0.0 or g == 0.0):  # noqa: PLR0124
        return 0.0
    return v
