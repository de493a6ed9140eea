"""Analyses of a user's function, on Numba's IR, before it is compiled for numbers.

Read `writes` (which arrays are written to) with `fresh` and `sharing` (which share memory) and
`effects` (of helpers); `scalars`, `influence` (values on which no result depends), `unbounded`
(values that may be infinite), `squares` (of kinks), `choice` (one of several functions);
`record_points` and `increments` determine where reverse mode records, `slot_keys` and `replayable`
what a sparse Jacobian can do without a tape; `casts` repeats the casts of
the plain function; `rewriting` has the common steps of all changes of IR.
"""

OPEN: dict[str, str] = {
    "casts": "Casts cast_to",
    "choice": "choose_by_number",
    "effects": "depth_of_type effects_of_call effects_on",
    "fresh": "INPUTS is_in",
    "increments": "COMPARISONS keep_rows",
    "influence": "drop_derivatives",
    "record_points": "record_pending recorded recorded_if_wide",
    "replayable": "NotReplayableError require_replayable",
    "rewriting": "call call_on_result load new_variable rewrite statements",
    "scalars": "scalars_of",
    "sharing": "constant_of",
    "slot_keys": "give_keys",
    "squares": "smooth_squares",
    "unbounded": "watch_products",
    "writes": "Aliases",
}
"""What other packages may use: names, by module."""
