"""Recordings to inspect: `record` (statements of a function, a tape at the prompt), `graph`."""

OPEN: dict[str, str] = {}
"""What other packages may use: names, by module."""
