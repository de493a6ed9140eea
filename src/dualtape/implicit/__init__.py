"""Implicit functions: `functions` (derivatives of roots and minima), `newton`, `linear`."""

OPEN: dict[str, str] = {}
"""What other packages may use: names, by module."""
