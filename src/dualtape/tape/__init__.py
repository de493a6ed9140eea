"""The tape of reverse mode: storage, a pool of tapes, and appending a statement.

Read `storage` (a sparse matrix of local partial derivatives), `statement` (the code emitted for
every recorded expression), `pool` (tapes are reused between calls), `held` (memory outside),
`stream` (statements of a known structure, which need no tape).
"""

OPEN: dict[str, str] = {
    "held": "hold_values owner_of",
    "pool": "acquire release release_tape",
    "statement": "Statements increment_statement provably_equal statement",
    "storage": "BLOCK_FIELDS MARK Storage field_pointer grow item_size native_type open_statements "
    "set_flag tape_at typed_view",
    "stream": "CELL CONFLICT DATA DECISION DECISIONS DIFFERS ENTRY KNOWN LIMIT PLACES TAPE "
    "capture_columns capture_decision compare_decision emit_give_back lease load_word same_row "
    "store_partials store_word",
}
"""What other packages may use: names, by module."""
