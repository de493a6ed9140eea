"""Sums of arrays in reverse mode: one statement with an entry for every element.

The sum of x_i has the partials 1, the sum of x_i^2 the partials 2 x_i, and a product of two vectors
those of either factor: the other factor.
"""

from __future__ import annotations

from typing import Any

from ..backend.jit import kernel
from ..numbers.access import as_number, base_like, number_like
from ..numbers.layouts import first_tape, rows_in
from ..reverse.blocks import add_entry, base_value, close_statement, open_statement, tape_of
from ..reverse.rows import active_number, row_of


@kernel
def tracked_dot(a: Any, b: Any) -> Any:
    """Product of two vectors as one statement."""
    if a.shape[0] != b.shape[0]:
        raise ValueError("incompatible array sizes for np.dot(a, b)")
    number = number_like(a, b)
    like = base_like(number)
    address = first_tape(rows_in(a, number))
    if address == 0:
        address = first_tape(rows_in(b, number))
    s = like * 0.0
    if address == 0:
        for k in range(a.size):
            s = s + base_value(a[k], like) * base_value(b[k], like)
        return active_number(s, 0, 0, number)
    open_statement(address, 2 * a.size)
    for k in range(a.size):
        x, y = base_value(a[k], like), base_value(b[k], like)
        s = s + x * y
        add_entry(address, row_of(as_number(a[k], number)), y)
        add_entry(address, row_of(as_number(b[k], number)), x)
    return active_number(s, close_statement(address), address, number)


@kernel
def tracked_sum(a: Any) -> Any:
    """Sum of all elements as one statement."""
    number = number_like(a, a)
    like = base_like(number)
    s = like * 0.0
    address = tape_of(a)
    if address == 0:
        for x in a.flat:
            s = s + base_value(x, like)
        return active_number(s, 0, 0, number)
    open_statement(address, a.size)
    one = as_number(1.0, like)  # an expression would be a pending number, of another size
    for x in a.flat:
        s = s + base_value(x, like)
        add_entry(address, x.row, one)
    return active_number(s, close_statement(address), address, number)


@kernel
def tracked_squares(a: Any) -> Any:
    """Sum of the squares of all elements as one statement."""
    number = number_like(a, a)
    like = base_like(number)
    s = like * 0.0
    address = tape_of(a)
    if address == 0:
        for x in a.flat:
            s = s + base_value(x, like) * base_value(x, like)
        return active_number(s, 0, 0, number)
    open_statement(address, a.size)
    for x in a.flat:
        v = base_value(x, like)
        s = s + v * v
        add_entry(address, x.row, as_number(v + v, like))
    return active_number(s, close_statement(address), address, number)
