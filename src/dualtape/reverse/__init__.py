"""Around the tape: rows of inputs and results, blocks, and the sweeps.

Read `sweep` (adjoints backward), `rows` (rows for inputs, gradients from adjoints), `blocks`
(operations on whole arrays with an adjoint of their own) and their data: `block_data`, `borrowing`
and, for checkpoints, `leaf_data`.
"""

OPEN: dict[str, str] = {
    "block_data": "load",
    "blocks": "add_entry add_to_rows adjoint_of base_array base_value block_rows close_statement "
    "data_address emit_adjoint emit_block emit_function emit_load gather_adjoint has_rows "
    "open_statement place_in saved_type store_rows tape_of",
    "borrowing": "array_at borrow is_borrowable is_lasting",
    "leaf_data": "add_inputs clear close_data first_row gather_bar load_leaf load_number "
    "load_rows open_data require_same_size reserve scatter_bar seed_adjoint seed_from store_leaf "
    "tape_of_leaf track_result update_bar",
    "rows": "LANES_4 LANES_8 active_number copy_rows copy_seeds copy_values count_rows "
    "drop_inputs empty_rows first_extent input_adjoints input_array ravel reserve_inputs row_of "
    "rows_of sweep_gradient sweep_row sweep_rows track_array",
    "sweep": "call_adjoint reverse_sweep strong_product sweep_floats vector_sweep",
}
"""What other packages may use: names, by module."""
