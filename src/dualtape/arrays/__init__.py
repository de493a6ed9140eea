"""Arrays of numbers: NumPy's functions on them, and one loop for an elementwise expression.

Read `registration` (which function leads where), `expression`, `loop` with `loop_results` (forward
mode), `tracked_loop`, `block_loop` and `expression_block` (reverse mode), `reductions` with
`tracked_sums`, `rearranging`, `order`, `special_rows`, `construction`; `conversion` and `primal`
convert between numbers and plain values, `kinks` defines derivatives at ties; `plane_views` is what
planes do by themselves, `plane_loop`, `line_loop`, `lines` and `line_block` are their loops,
`dual_loop` and `dual_lines` those of planes with tangents; `byte_counts` and `stencil` are special.
`array_rule` makes functions of arrays from value, tangent and adjoint, with `planes` (forward mode)
and `blas` (products of floats).
"""

OPEN: dict[str, str] = {
    "array_rule": "array_rule",
    "blas": "NOT_FITTING careful_product matrix_product multiply",
    "byte_counts": "ATTRIBUTES",
    "conversion": "array_from promoted_zero values zero_of",
    "expression": "Expression Node Operands",
    "kinks": "euclidean norm_without_derivative smooth square_of_absolute square_of_deviation "
    "square_of_hypot square_of_norm square_of_root",
    "loop": "emit_expression",
    "plane_views": "knows_attribute",
    "primal": "derivative_order primal_of",
    "reductions": "extreme",
    "registration": "NODES inputs_of register_elementwise route route_method",
    "special_rows": "",
    "stencil": "is_stencil stencil_twin",
    "tracked_sums": "tracked_dot tracked_squares",
}
"""What other packages may use: names, by module."""
