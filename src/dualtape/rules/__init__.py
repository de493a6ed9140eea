"""The mathematics of scalar functions: values, first and second derivatives; no Numba.

Read `rule` (what a rule is), then `table` (elementary functions) and, with SciPy's values by
`special_rule`, `physics` and `probability`; `special_functions` has values that `math` and NumPy
lack, `special_values` those that SciPy lacks.
"""

OPEN: dict[str, str] = {
    "physics": "__name__ airy_ai airy_ai_prime airy_bi airy_bi_prime cosine_integral faddeeva "
    "hyperbolic_cosine_integral hyperbolic_sine_integral lambert_w sine_integral spherical_i "
    "spherical_j spherical_k spherical_y",
    "probability": "__name__ hurwitz_zeta riemann_zeta",
    "rule": "RULES Rule",
    "special_functions": "__name__",
    "table": "LN2 RULES absolute builtin_max builtin_min floor_divide logaddexp maximum minimum "
    "power remainder",
}
"""What other packages may use: names, by module."""
