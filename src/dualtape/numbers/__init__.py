"""The numbers of forward and reverse mode: their algebra, their Numba types, their functions.

The algebra is written once, for Python's floats and for emitted values (`emitted`, `partials`,
`strong_zero`): `number` (what all share), `vector_dual`, `hyper_dual`, `tracked` (reverse mode),
`streamed` (reverse mode of a known structure); `ufuncs` has NumPy's functions at the prompt.
`types` has their Numba types, `evaluation` applies a rule, and `registration` is where rules meet
numbers, `rule_values` where they meet plain ones; `base_two`, `mapped`, `members`, `named_items`,
`none_comparison` and `watched` register special cases. `plane_arrays` are arrays of reverse mode as
plain values with rows by address. `construction` makes numbers in compiled code; `access`,
`reading` and `layouts` are kernels around arrays of them.
"""

OPEN: dict[str, str] = {
    "access": "as_number base_like copy_of element_like empty_numbers flat_view flattened lane "
    "list_to_numbers make_flat make_seeded map_elements new_zeros number_like numbers_like "
    "seed_array seed_array_twice seed_direction seed_one_direction seed_tangent seed_tangents "
    "to_numbers wide_of zeros",
    "base_two": "",
    "construction": "refuse_foreign_numbers",
    "emitted": "Emitted EmittedPartials call find_emitted quotient strong strong_either unwrap "
    "wrap",
    "evaluation": "jet_of level_of primal",
    "hyper_dual": "HyperDual",
    "layouts": "COUNT DIMENSIONS EXTENTS FIRST emit_layout emit_rows first_tape has_steps hold "
    "layout_of line_of number_at offset_of row_at rows_in set_word set_words store word",
    "mapped": "map_rule",
    "members": "",
    "named_items": "",
    "none_comparison": "",
    "number": "INTEGER_CONVERSION Number",
    "partials": "PartialsType assemble split",
    "plane_arrays": "IN_USE MAKERS SHAPE_ONLY contiguous_values duals_from element_at emit_numbers "
    "emit_planes know_planes knows_planes new_duals numbers_of planes_from shape_of "
    "store_element values_in view_of",
    "reading": "array_of_list array_of_tuple entry new_rows put_array put_number read_block "
    "read_lanes read_row read_rows reshape_like second_of seconds_of size_of submatrix "
    "symmetrize tangent_of tangents_of values_of zeros_like",
    "registration": "ELEMENTWISE INPLACE_OF NumberTemplate PRIMAL_ONLY WITH_INTEGERS operand "
    "register register_rule value",
    "streamed": "Captured K_MAX Streamed as_numbers incremented is_same_memory is_streamed named "
    "nameless noted",
    "tracked": "Active Tracked make_active",
    "types": "NumberType PLAIN PlanesType has_planes highest_number holds_numbers is_array level "
    "map_leaves may_be_planes member_type operation_type partial_type plain_type present "
    "promote root tuple_like with_root without_planes",
    "vector_dual": "VectorDual",
    "watched": "WATCHED",
}
"""What other packages may use: names, by module."""
