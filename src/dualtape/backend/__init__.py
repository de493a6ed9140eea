"""What the package needs of Numba and LLVM; nothing here knows what a derivative is.

Compiling: `jit` (how the package's own functions are compiled), `linking` (internal functions are
optimized where they end up), `standalone` and `kernel_store` (large ones are compiled once, under a
name that is a digest of their code), `on_demand` (compiled when a call first needs it). On disk:
`disk_cache`, `identity` (names that mean the same in every process), `cache_entry`. Generated code:
`templates`, `calls`, `allocation`, `value_struct` (jitclasses whose instances live in registers),
`symbols` (addresses that cached code knows by name), `fortran` (BLAS and LAPACK), `special`
(SciPy's special functions), whose `addresses` and `scipy_addresses` change, `vector_math`,
`boxing`. Around it: `loading`, `interrupts`, `forking`, `heap`, `verbose`.
"""

OPEN: dict[str, str] = {
    "allocation": "array_over clear_items copy_items empty_array fill_items item_size_of larger "
    "new_array no_array same_items smaller zero_array",
    "boxing": "boxing_directly",
    "calls": "Value call_apart invoke",
    "disk_cache": "GENERIC PLANES folder package_stamp",
    "forking": "Lock",
    "fortran": "FLIPPED PLAIN UPPER as_pointer fortran",
    "jit": "by_type compiled entry generic inlined internal is_missing kernel specialized "
    "use_cache",
    "kernel_store": "calls",
    "linking": "Linked",
    "loading": "load",
    "on_demand": "Alternative by_size register",
    "special": "SpecialFunction",
    "symbols": "DEFAULT_LIMIT SLOTS SPECIAL_FUNCTIONS STREAM STREAM_SYMBOL TAPES TAPES_SYMBOL",
    "templates": "CPU_FIRST type_global",
    "value_struct": "ByValueInstance by_value_jitclass",
    "vector_math": "is_on switch",
    "verbose": "announced set_verbose",
}
"""What other packages may use: names, by module."""
