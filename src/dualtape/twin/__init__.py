"""The twin of a user's function: the same function, compiled for numbers.

Read `activation` (the compiler pipeline and its main pass), `conversion` (of arrays, lists and
tuples), `inference` with `lists` and `views`, `fusion` (one loop for an expression); `plain_calls`,
`labels`, `constants`, `outputs`, `vectorized`, `overloads`, `scipy_functions`,
`special_compositions`, `jitclasses`, `members`, `tables`, `typed_containers` and `cell_reads` are
parts of that pass; `plane_conversions` makes arrays of numbers of planes; `apart` lowers functions
that need no tape; `comparisons` warns of results that are steps; `failures` and `messages` explain
errors.
"""

OPEN: dict[str, str] = {
    "activation": "twin",
    "comparisons": "is_constant warn_of_comparisons",
    "constants": "is_user_function",
    "conversion": "activate_value activated_type",
    "failures": "Failure compiling is_collecting own_errors",
    "labels": "LABELS",
}
"""What other packages may use: names, by module."""
