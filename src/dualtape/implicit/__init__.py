"""Implicit functions: `functions` (derivatives of roots and minima), `newton`, `linear`."""

OPEN: dict[str, str] = {
    "functions": "implicit_root implicit_solution",
    "linear": "inverse newton_step",
}
"""What other packages may use: names, by module."""
