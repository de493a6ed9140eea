"""Sparse Jacobians and Hessians as ``scipy.sparse`` arrays.

Read `jacobian` and `hessian` (what users call), `callables` (what these return), `cores`, `driver`
(the compiled part), `program` (elimination on a tape), `pattern`, `coloring` and `matrices`; then
`replay`, `replay_driver` and `places` (known structures, without a tape).
"""

OPEN: dict[str, str] = {
    "hessian": "sparse_hessian",
    "jacobian": "sparse_jacobian",
}
"""What other packages may use: names, by module."""
