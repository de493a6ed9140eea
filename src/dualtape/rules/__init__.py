"""The mathematics of scalar functions: values, first and second derivatives; no Numba.

Read `rule` (what a rule is), then `table` (all of them); `special_functions` has values that `math`
and NumPy lack.
"""

OPEN: dict[str, str] = {
    "rule": "Rule",
    "special_functions": "__name__",
    "table": "LN2 RULES absolute builtin_max builtin_min floor_divide logaddexp maximum minimum "
    "power remainder",
}
"""What other packages may use: names, by module."""
