"""Shared by `optimize` and `integrate`: `evaluation` (at most one per point), `matrix_form`."""

OPEN: dict[str, str] = {
    "evaluation": "curve_and_jacobian_for explaining_errors objective_for value_and_jacobian_for "
    "value_of",
    "matrix_form": "DenseOrSparse checked_form jacobian_for",
}
"""What other packages may use: names, by module."""
